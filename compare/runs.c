#include "compare/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t hash_of(const struct runs *r, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ r->seed;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static uint32_t slot_of(const struct runs *r, const char *name)
{
	uint32_t slot = (uint32_t)hash_of(r, name) & (r->slots_n - 1);

	while (r->slots[slot] != 0 && strcmp(r->names[r->slots[slot] - 1], name) != 0)
		slot = (slot + 1) & (r->slots_n - 1);
	return slot;
}

static int grow_names(struct runs *r)
{
	uint32_t room = r->names_room == 0 ? 256 : 2 * r->names_room;
	char **names = realloc(r->names, room * sizeof(*names));
	uint32_t *slots;

	/* names come from files that others may have written: where they collide is not for them to choose */
	if (r->names_room == 0 && getrandom(&r->seed, sizeof(r->seed), GRND_NONBLOCK) < 0)
		r->seed = (uintptr_t)names;
	if (names == NULL)
		return -ENOMEM;
	r->names = names;
	slots = calloc((size_t)room * 2, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(r->slots);
	r->slots = slots;
	r->slots_n = room * 2;
	r->names_room = room;
	for (uint32_t i = 0; i < r->names_n; i++)
		r->slots[slot_of(r, r->names[i])] = i + 1;
	return 0;
}

static int refuse(int error, struct why *why)
{
	if (error == -E2BIG)
		why_set(why, "more than %d functions in all files together; fewer files, or -focus",
			VALUES_MAX);
	else
		why_set(why, "out of memory");
	return error;
}

int runs_name(struct runs *r, const char *name, uint32_t *ret, struct why *why)
{
	uint32_t slot;

	if (r->names_n == VALUES_MAX)
		return refuse(-E2BIG, why);
	if (r->names_n == r->names_room && grow_names(r) < 0)
		return refuse(-ENOMEM, why);
	slot = slot_of(r, name);
	if (r->slots[slot] == 0) {
		r->names[r->names_n] = strdup(name);
		if (r->names[r->names_n] == NULL)
			return refuse(-ENOMEM, why);
		r->slots[slot] = ++r->names_n;
	}
	*ret = r->slots[slot] - 1;
	return 0;
}

uint32_t runs_find(const struct runs *r, const char *name)
{
	return r->slots_n == 0 ? PROFILE_NONE : r->slots[slot_of(r, name)] - 1;
}

int runs_begin(struct runs *r, unsigned side, const struct run *run, struct why *why)
{
	uint32_t n = r->run_n[side];
	struct run *grown;

	if (n == RUNS_MAX) {
		why_set(why, "more than %d files on one side; fewer tell as much", RUNS_MAX);
		return -E2BIG;
	}
	if ((n & (n - 1)) == 0) {
		grown = realloc(r->run[side], (n == 0 ? 1 : 2 * (size_t)n) * sizeof(*grown));
		if (grown == NULL)
			return refuse(-ENOMEM, why);
		r->run[side] = grown;
	}
	r->run[side][n] = *run;
	r->run_n[side]++;
	return 0;
}

int runs_add(struct runs *r, unsigned side, uint32_t function, const double sum[RUNS_SUMS],
	     const double spread[RUNS_SUMS], struct why *why)
{
	uint32_t room = r->values_room == 0 ? 1024 : 2 * r->values_room;
	struct runs_value *grown;

	if (r->values_n == VALUES_MAX)
		return refuse(-E2BIG, why);
	if (r->values_n == r->values_room) {
		grown = realloc(r->values, room * sizeof(*grown));
		if (grown == NULL)
			return refuse(-ENOMEM, why);
		r->values = grown;
		r->values_room = room;
	}
	r->values[r->values_n++] = (struct runs_value){
		.function = function,
		.run = r->run_n[side] - 1,
		.side = (uint8_t)side,
		.sum = {sum[0], sum[1]},
		.spread = {spread[0], spread[1]},
	};
	return 0;
}

static int compare_values(const void *left, const void *right)
{
	const struct runs_value *a = left, *b = right;

	if (a->function != b->function)
		return a->function < b->function ? -1 : 1;
	if (a->side != b->side)
		return a->side < b->side ? -1 : 1;
	return a->run < b->run ? -1 : a->run > b->run;
}

void runs_sort(struct runs *r)
{
	if (r->values_n > 0)
		qsort(r->values, r->values_n, sizeof(*r->values), compare_values);
}

void runs_fini(struct runs *r)
{
	for (uint32_t i = 0; i < r->names_n; i++)
		free(r->names[i]);
	free(r->names);
	free(r->slots);
	free(r->values);
	free(r->run[0]);
	free(r->run[1]);
	memset(r, 0, sizeof(*r));
}
