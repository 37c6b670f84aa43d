/*
 * A segment in which anything may stand is refused with a sentence, or read to an end within its bounds. The input is
 * a list of patches over a segment that has something of everything. Built with -fsanitize=fuzzer; see `make fuzz`.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "core/table.h"
#include "core/thread.h"
#include "output/reading.h"

#define BYTES      SEGMENT_MIN_BYTES
#define PATCH_HEAD 6 /* where: 4 bytes, how many: 1, from which part on: 1 */

static const struct profile_ops ops = {
	.name = "cpu",
	.values = (const struct value_type[]){{"samples", "count"}, {"cpu", "nanoseconds"}, {0}},
	.period = {"cpu", "nanoseconds"},
	.table = SEGMENT_TABLE_CPU,
	.run = RUN_CPU,
};

static uint8_t *original, *patched;
static uint64_t sink;

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void make_original(void)
{
	static const char *const pairs[] = {"key", "value", "tenant", "acme"};
	struct segment s;

	original = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	patched = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(original != MAP_FAILED && patched != MAP_FAILED &&
	      segment_format(original, BYTES, &s) == 0);
	s.header->runs[RUN_CPU].period = 10000000;
	s.header->program = segment_string(&s, "program", 7);
	for (uint32_t i = 0; i < 3; i++) {
		struct segment_module *m = segment_module_at(&s, i);

		*m = (struct segment_module){.start = 0x400000 + i * 0x100000,
					     .end = 0x480000 + i * 0x100000,
					     .path = segment_string(&s, "/no/such/file", 13),
					     .state = MODULE_LOADED};
		s.header->modules_high = i + 1;
	}
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t frames[4] = {0x400100 + i, (UINT64_C(1) << 48) | (0x400200 + i),
				      FRAME_TRUNCATED, i << 44};
		uint64_t values[CPU_COLUMNS] = {i + 1, i * 1000};

		table_record(&s, SEGMENT_TABLE_CPU, frames, 1 + i % 4,
			     i % 2 ? labels_overlay(&s, 0, pairs, 2) : 0, values);
	}
	check(segment_next_generation(&s, 0) == 1);
	table_record(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x400777}, 1, 0, (uint64_t[]){1, 2});
	memcpy(patched, original, BYTES);
}

/* The header's checksum as segment.c has it, so that what is behind it is reached. */
static void seal(struct segment_header *h)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct segment_header, check); i++)
		sum = (sum ^ ((const uint8_t *)h)[i]) * UINT64_C(0x100000001b3);
	h->check = sum;
}

static int read_row(void *user, const struct table_row *row)
{
	const struct segment *s = user;
	uint32_t pairs[LABEL_SET_PAIRS][2], depth = 0, n = labels_copy(s, row->labels, pairs);
	const uint64_t *frames = stacks_frames(s, row->generation, row->stack, &depth);
	char text[64];

	for (uint32_t i = 0; frames != NULL && i < depth; i++)
		sink += frames[i];
	for (uint32_t i = 0; i < n; i++) {
		segment_copy_text(s, pairs[i][1], text, sizeof(text));
		sink += strlen(text) + strlen(segment_text(s, pairs[i][0]));
	}
	return 0;
}

static void read_all(const struct segment *s)
{
	struct reading_counts counts;
	struct reading_window *window = NULL;
	struct profile profile;
	struct why why = {""};

	table_read(s, SEGMENT_TABLE_CPU, read_row, (void *)s);
	reading_count(s, &ops, &counts);
	if (reading_window_begin(s, &ops, &window) == 0)
		sink += reading_window_serial(window);
	for (int with_window = 0; with_window < 2; with_window++) {
		if (reading_profile(s, &ops, with_window ? window : NULL, NULL, &profile, &counts,
				    &why) == 0)
			profile_fini(&profile);
		else
			check(why.text[0] != '\0');
	}
	reading_window_end(window);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segment s;
	struct why why = {""};
	const uint8_t *at = data + 1, *end = data + size;
	struct {
		uint32_t where, n;
	} patches[64];
	unsigned patches_n = 0;

	if (size == 0)
		return 0;
	if (original == NULL)
		make_original();
	while (end - at > PATCH_HEAD && patches_n < 64) {
		uint32_t where, n = at[4], left;

		memcpy(&where, at, sizeof(where));
		/* near the start of a part, or anywhere */
		if (at[5] < SEGMENT_PLACES)
			where = (uint32_t)((struct segment_header *)original)->parts[at[5]].offset +
				where % 2048;
		where %= BYTES;
		at += PATCH_HEAD;
		left = (uint32_t)(end - at);
		n = n < left ? n : left;
		n = n < BYTES - where ? n : (uint32_t)BYTES - where;
		memcpy(patched + where, at, n);
		at += n;
		patches[patches_n].where = where;
		patches[patches_n++].n = n;
	}
	if (data[0] & 1)
		seal((struct segment_header *)patched);
	if (segment_attach(patched, BYTES, &s, &why) == 0)
		read_all(&s);
	else
		check(why.text[0] != '\0');
	for (unsigned i = 0; i < patches_n; i++)
		memcpy(patched + patches[i].where, original + patches[i].where, patches[i].n);
	memcpy(patched, original, sizeof(struct segment_header));
	return 0;
}
