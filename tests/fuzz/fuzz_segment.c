/*
 * A segment in which anything may stand is refused with a sentence, or read to an end within its bounds: every profile, as
 * a profile and as text, and the trace. The input is a list of patches over a segment that has something of everything. Built with
 * -fsanitize=fuzzer; see `make fuzz`.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "core/table.h"
#include "core/thread.h"
#include "output/catalog.h"
#include "output/listing.h"
#include "output/reading.h"
#include "profiles/heap/heap_private.h"
#include "tracer/chunk.h"
#include "tracer/drain.h"
#include "tracer/object.h"

#define BYTES      SEGMENT_MIN_BYTES
#define PATCH_HEAD 6 /* where: 4 bytes, how many: 1, from which part on: 1 */

static uint8_t *original, *patched;
static uint64_t sink;
static int nowhere;

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

/* Threads that wall owes some looks, and that the last snapshot saw, or not. */
static void make_threads(struct segment *s, const struct table_row *rows, unsigned rows_n)
{
	struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);

	for (unsigned i = 0; i < rows_n; i++) {
		struct thread_record *record = &records[i + 1];

		record->tid = (int32_t)(100 + i);
		memcpy(record->name, "worker", 6);
		record->idle_row = (uint64_t)rows[i].labels << 32 | rows[i].stack;
		record->idle_generation = rows[i].generation;
		record->idle_looks = i;
		record->idle_ns = i * 10101010;
		record->snapshot_row = record->idle_row;
		record->snapshot_generation = rows[i].generation;
		record->snapshot_serial = 2 + i % 3 / 2;
		record->snapshot_since_ns = i % 4 ? i * 1000 : 0;
		record->snapshot_state = i % 2 ? i : 256 + i;
		record->snapshot_channel = i % 5 ? 0 : segment_string(s, "pipe_read", 9);
	}
	s->header->threads_high = rows_n + 1;
	s->header->snapshot_serial = 2;
	s->header->snapshot_ns = 1000000000;
}

/* Blocks of many sizes, some of them freed, two of them between two words when the process died. */
static void make_heap(struct segment *s, const uint64_t *frames, uint32_t depth, uint32_t labels,
		      uint64_t i)
{
	uint32_t stack = stacks_intern(s, SEGMENT_LASTING, frames, depth);
	uint64_t size = UINT64_C(1) << i * 2;
	struct table_slot *slot = table_slot(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING, stack,
					     heap_row_labels(labels, size));

	check(slot != NULL);
	slot->values[HEAP_ALLOCATED] = i + 1;
	slot->values[HEAP_ALLOCATED + 1] = i != 4 ? (i + 1) * size : 0;
	slot->values[HEAP_FREED] = i / 2;
	slot->values[HEAP_FREED + 1] = i != 8 ? i / 2 * size : 0;
}

/* One event of each type, in chunks of three threads: one open, one closed, one that was the last. */
static void make_trace(struct segment *s, uint32_t stack)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TRACE_CHUNKS, 0);
	struct trace_object *object = segment_part(s, SEGMENT_TRACE_OBJECTS, 0);
	struct trace_thread *threads = segment_part(s, SEGMENT_TRACE_THREADS, 0);
	static const char *const arguments[256] = {
#define FUZZ_ARGUMENTS(number, NAME, text, class, ends, words) [number] = words,
		TRACE_EVENTS(FUZZ_ARGUMENTS)
#undef FUZZ_ARGUMENTS
	};

	s->header->trace_base_ns = 1000;
	s->header->trace_shift = 3;
	s->header->runs[RUN_TRACE].setting = 15;
	s->header->trace_serial = 4;
	object[0] = (struct trace_object){.address = 0x4c0010, .kind = 1, .site = 0x400210};
	for (uint32_t i = 0; i < 4; i++) {
		struct trace_chunk *c =
			(struct trace_chunk *)(s->base + place->offset + i * place->stride);
		uint8_t *at = c->bytes;

		*c = (struct trace_chunk){.serial = i + 1,
					  .first_ticks = 100,
					  .thread = 1 + i / 2,
					  .tid = (int32_t)(100 + i / 2),
					  .sequence = i % 2,
					  .record = 1 + i / 2,
					  .flags = i == 1 ? CHUNK_LAST : 0,
					  .room = place->stride - (uint32_t)sizeof(*c)};
		for (unsigned type = 0; type < 256; type++) {
			if (arguments[type] == NULL || type % 2 != i % 2)
				continue;
			*at++ = (uint8_t)type;
			*at++ = 10;
			for (const char *w = arguments[type]; (w = strchr(w, ':')) != NULL; w++) {
				bool is_text = strncmp(w, ":str", 4) == 0;

				at = trace_encode(at, strncmp(w, ":stk", 4) == 0 ? stack
						      : is_text                  ? 3
										 : 1);
				if (is_text) {
					memcpy(at, "abc", 3);
					at += 3;
				}
			}
		}
		c->word = UINT64_C(200) << 16 | (i != 3 ? CHUNK_CLOSED : 0) |
			  (uint64_t)(at - c->bytes);
		s->header->trace_free[0] &= ~(UINT64_C(1) << i);
		threads[1 + i / 2].thread = 1 + i / 2;
		threads[1 + i / 2].operation = 150 << 16 | 1;
		threads[1 + i / 2].held[i] = (struct trace_held){.object = 1, .mode = 1};
	}
}

static void make_original(void)
{
	static const char *const pairs[] = {"key", "value", "tenant", "acme"};
	static const char *const locks[][6] = {
		{"idle", "yes", "kind", "cond", "lock", "data:0x4c0010"},
		{"idle", "no", "kind", "mutex", "lock", "init:0x400210"},
		{"idle", "", "kind", "", "lock", "data:0xffffffffffffffff"},
		{"idle", "yes", "kind", "sem", "lock", "g_cache"},
	};
	struct table_row rows[20];
	uint32_t name;
	struct segment s;

	original = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	patched = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(original != MAP_FAILED && patched != MAP_FAILED &&
	      segment_format(original, BYTES, &s) == 0);
	nowhere = open("/dev/null", O_WRONLY);
	for (unsigned i = 0; i < SEGMENT_RUNS; i++)
		s.header->runs[i].period = i < 2 ? 10000000 : i == RUN_HEAP ? 524288 : 1;
	for (unsigned i = 0; i < LOST_KINDS; i++)
		s.header->lost[i] = i * 1000;
	s.header->pid = 100;
	s.header->program = segment_string(&s, "program", 7);
	for (uint32_t i = 0; i < 3; i++) {
		struct segment_module *m = segment_module_at(&s, i);

		*m = (struct segment_module){.start = 0x400000 + i * 0x100000,
					     .end = 0x480000 + i * 0x100000,
					     .image_start = 0x400000 + i * 0x100000,
					     .image_end = 0x4f0000 + i * 0x100000,
					     .path = segment_string(&s, "/no/such/file", 13),
					     .state = MODULE_LOADED,
					     .is_ours = i == 2};
		s.header->modules_high = i + 1;
	}
	for (uint32_t i = 0; i < 3; i++) {
		_Atomic uint64_t *entries = segment_part(&s, SEGMENT_CUSTOM, 0);

		s.header->customs[i].run.period = 1;
		s.header->customs[i].run.lost = i;
		s.header->customs[i].name = segment_string(&s, "handles" + i, 7 - i);
		for (uint64_t n = 0; n < 20; n++) /* as custom.h has it */
			entries[i * 20 + n] =
				UINT64_C(1) << 63 | (uint64_t)i << 56 | n << 32 | (2 + n * 3);
	}
	name = segment_string(&s, "[kernel] poll", 13);
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t frames[6] = {0x400100 + i,
				      (UINT64_C(1) << 48) | (0x400200 + i),
				      (UINT64_C(3) << 48) | (0x600200 + i),
				      FRAME_TRUNCATED,
				      i << 44,
				      FRAME_NAMED(name)};
		uint64_t values[CPU_COLUMNS] = {i + 1, i * 1000};
		uint32_t depth = 1 + (uint32_t)i % 6,
			 labels = i % 2 ? labels_overlay(&s, 0, pairs, 2) : 0;

		table_record(&s, SEGMENT_TABLE_CPU, frames, depth, labels, values);
		table_record(&s, SEGMENT_TABLE_CREATE, frames + 5 - i % 6, 1, labels, values);
		make_heap(&s, frames, depth, labels, i);
		rows[i] = table_record(&s, SEGMENT_TABLE_WALL, frames, depth, labels, values);
		labels = labels_overlay(&s, labels, locks[i % 4], 3);
		table_record(&s, SEGMENT_TABLE_BLOCK, frames, depth, labels, values);
		table_record(&s, SEGMENT_TABLE_MUTEX, frames + 5 - i % 6, 1, labels, values);
	}
	make_threads(&s, rows, 20);
	make_trace(&s, stacks_intern(&s, SEGMENT_LASTING, (uint64_t[]){0x400100, FRAME_NAMED(name)},
				     2));
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

static void read_profile(const struct segment *s, const struct profile_ops *ops)
{
	struct reading_counts counts;
	struct reading_window *window = NULL;
	struct profile profile;
	struct why why = {""};

	reading_count(s, ops, &counts);
	if (reading_window_begin(s, ops, &window) == 0)
		sink += reading_window_serial(window);
	for (int with_window = 0; with_window < 2; with_window++) {
		if (reading_profile(s, ops, with_window ? window : NULL, NULL, &profile, &counts,
				    &why) == 0)
			profile_fini(&profile);
		else
			check(why.text[0] != '\0');
	}
	reading_window_end(window);
}

/*
 * Counts that only grow between a window's beginning and its end, and those that do anything: whatever is subtracted, what
 * comes out is a profile. The patches are undone below, so what is changed here is put back.
 */
static void read_changing(struct segment *s, const struct profile_ops *ops)
{
	const struct segment_place *place = segment_place(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING);
	struct reading_window *window = NULL;
	struct profile profile;
	struct why why = {""};
	uint8_t *kept, *table = s->base + place->offset;
	size_t size = (size_t)place->count * place->stride;

	if (!ops->is_by_size || reading_window_begin(s, ops, &window) != 0)
		return;
	kept = malloc(size);
	check(kept != NULL);
	memcpy(kept, table, size);
	for (size_t i = 0; i < size; i += 8)
		table[i + i / 8 % 8] ^= table[(i * 7 + 3) % size];
	if (reading_profile(s, ops, window, NULL, &profile, NULL, &why) == 0)
		profile_fini(&profile);
	memcpy(table, kept, size);
	free(kept);
	reading_window_end(window);
}

/* As text, without looking for symbols: the paths in a segment may be those of files that are there. */
static void write_texts(const struct segment *s, const struct profile_ops *ops)
{
	struct reading_thread *list = NULL;
	struct profile profile;
	struct why why = {""};

	if (ops->is_by_size && reading_sampled(s, ops, NULL, &profile, &why) == 0) {
		check(listing_heap(&profile, s->header->pid == 100 ? 4096 : 0, nowhere) == 0);
		profile_fini(&profile);
	}
	if (reading_profile(s, ops, NULL, NULL, &profile, NULL, &why) == 0) {
		check(listing_stacks(&profile, ops->name, nowhere) == 0);
		if (ops->run == RUN_BLOCK || ops->run == RUN_MUTEX)
			for (int with_idle = 0; with_idle < 2; with_idle++)
				check(listing_contention(&profile, ops->run == RUN_MUTEX,
							 reading_every(s, ops), with_idle,
							 nowhere) == 0);
		profile_fini(&profile);
	}
	if (ops->run == RUN_THREADS && reading_threads(s, ops, NULL, &profile, &list, &why) == 0) {
		check(listing_threads(&profile, list, nowhere) == 0);
		profile_fini(&profile);
		free(list);
	}
}

static int open_nowhere(void *user)
{
	(void)user;
	return dup(nowhere);
}

/* In two passes, with a generation between them: it may have changed. What it gives back is undone below. */
static void drain_trace(const struct segment *s)
{
	struct drain_setup setup = {.segment = *s, .door = s->header, .open = open_nowhere};
	struct drain *d;

	if (drain_create(&d, &setup) < 0)
		return;
	sink += drain_pass(d);
	sink += drain_pass(d);
	drain_end(d, TRACE_END_UNKNOWN, 0);
	sink += drain_counts(d).events;
	drain_destroy(d);
}

static void read_all(struct segment *s)
{
	struct catalog *catalog;

	table_read(s, SEGMENT_TABLE_CPU, read_row, (void *)s);
	table_read(s, SEGMENT_TABLE_HEAP, read_row, (void *)s);
	drain_trace(s);
	catalog = catalog_create(all_profiles);
	check(catalog != NULL);
	for (const struct profile_ops *const *p = catalog_list(catalog, s); *p != NULL; p++) {
		if ((*p)->is_log)
			continue;
		read_profile(s, *p);
		read_changing(s, *p);
		write_texts(s, *p);
	}
	catalog_destroy(catalog);
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
