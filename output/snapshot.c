#include "output/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/wait.h"

#define LOAD_RELAXED(object) atomic_load_explicit(&(object), memory_order_relaxed)

static int compare_threads(const void *a, const void *b)
{
	const struct snapshot_thread *x = a, *y = b;

	if (x->is_main != y->is_main)
		return x->is_main ? -1 : 1;
	if ((x->tid == 0) != (y->tid == 0))
		return x->tid == 0 ? 1 : -1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* What the snapshot @serial says of a thread, or one that is under way by now; false when it says nothing. */
static bool read_thread(const struct segment *s, struct thread_record *record, uint64_t serial,
			struct snapshot_thread *ret)
{
	uint64_t at = LOAD_RELAXED(s->header->snapshot_ns), since, row, of;

	if (!thread_in_snapshot(record, serial, &of))
		return false;
	row = LOAD_RELAXED(record->snapshot_row);
	*ret = (struct snapshot_thread){
		.tid = LOAD_RELAXED(record->snapshot_tid),
		.state = LOAD_RELAXED(record->snapshot_state),
		.channel = LOAD_RELAXED(record->snapshot_channel),
		.generation = LOAD_RELAXED(record->snapshot_generation),
		.stack = (uint32_t)row,
		.labels = (uint32_t)(row >> 32),
	};
	if (ret->generation >= SEGMENT_GENERATIONS)
		ret->generation = ret->stack = 0;
	since = LOAD_RELAXED(record->snapshot_since_ns);
	if (since != 0 && since < at)
		ret->for_ns = at - since;
	if (ret->tid < 0) /* none that a kernel gives */
		ret->tid = 0;
	ret->is_main = ret->tid != 0 && ret->tid == s->header->pid;
	memcpy(ret->name, record->name, THREAD_NAME_SIZE);
	atomic_thread_fence(memory_order_acquire);
	return LOAD_RELAXED(record->snapshot_serial) >= of; /* 0: it has ended */
}

int snapshot_read(const struct segment *s, struct snapshot_thread **ret, size_t *ret_n)
{
	struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	uint32_t high = LOAD_RELAXED(s->header->threads_high),
		 room = segment_count(s, SEGMENT_THREADS, 0);
	uint64_t serial =
		atomic_load_explicit(&s->header->snapshot_serial,
				     memory_order_acquire); /* pairs: the snapshot's release */
	struct snapshot_thread *found;
	size_t n = 0;

	if (high > room)
		high = room;
	found = calloc((size_t)high + 1, sizeof(*found));
	if (found == NULL)
		return -ENOMEM;
	for (uint32_t i = 1; i < high; i++)
		n += read_thread(s, &records[i], serial, &found[n]);
	if (n > 0)
		qsort(found, n, sizeof(*found), compare_threads);
	*ret = found;
	*ret_n = n;
	return 0;
}

void snapshot_add_sample(struct places *places, const struct snapshot_thread *t, int64_t value,
			 bool is_named, struct profile *ret)
{
	struct profile_label labels[PLACES_LABELS + 2];
	struct profile_sample sample = {.labels = labels, .values = &value};
	struct places_stack stack;
	char buffer[WAIT_NAME_SIZE];
	uint32_t n = places_labels(places, t->labels, labels);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(labels[i].key, "state") != 0 && strcmp(labels[i].key, "thread") != 0)
			labels[sample.labels_n++] = labels[i];
	if (is_named)
		labels[sample.labels_n++] = (struct profile_label){
			.key = "state", .str = wait_name(t->state, buffer), .num_unit = ""};
	if (is_named && t->name[0] != '\0')
		labels[sample.labels_n++] =
			(struct profile_label){.key = "thread", .str = t->name, .num_unit = ""};
	places_stack(places, t->generation, t->stack, &stack);
	sample.locations = stack.locations;
	sample.locations_n = stack.n;
	profile_add_sample(ret, &sample);
}
