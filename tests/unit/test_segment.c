/*
 * core/segment: its layout, a header that others wrote, strings, generations that are given up, and a writer that is
 * killed at any moment.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "core/table.h"
#include "core/thread.h"
#include "tests/unit/segment_make.h"

#define THREADS 8

/* As segment.c computes it: FNV-1a over all before it. */
static void seal(struct segment_header *h)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct segment_header, check); i++)
		sum = (sum ^ ((const uint8_t *)h)[i]) * UINT64_C(0x100000001b3);
	h->check = sum;
}

/* The lasting set has the heap's table and no other, the two others all but that. */
static bool is_there(unsigned place)
{
	unsigned each = SEGMENT_PARTS - SEGMENT_STACK_BUCKETS;
	unsigned set = place < SEGMENT_PARTS ? 0 : 1 + (place - SEGMENT_PARTS) / each;
	unsigned part = place - set * each;

	return part < SEGMENT_TABLE_CPU || (part == SEGMENT_TABLE_HEAP) == (set == SEGMENT_LASTING);
}

static void test_layout(void)
{
	static const uint64_t sizes[] = {SEGMENT_MIN_BYTES, SEGMENT_MIN_BYTES + 4096, 3 << 20,
					 64 << 20};
	struct segment s, again;
	struct why why;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t last = sizeof(struct segment_header);
		bool is_right = true;

		s = segment_make(sizes[i]);
		for (unsigned p = 0; p < SEGMENT_PLACES; p++) {
			is_right = is_right && s.parts[p].offset >= last &&
				   s.parts[p].offset % 4096 == 0 &&
				   (s.parts[p].count > 0) == is_there(p);
			last = s.parts[p].offset + (uint64_t)s.parts[p].count * s.parts[p].stride;
		}
		ok(is_right && last <= sizes[i],
		   "%" PRIu64 " bytes: parts follow each other and fit", sizes[i]);
		ok(segment_attach(s.base, s.size, &again, &why) == 0, "and are accepted");
		segment_unmake(&s);
	}
	ok(segment_format(NULL, SEGMENT_MIN_BYTES - 1, &s) == -EINVAL, "too small");
	ok(segment_format(NULL, SEGMENT_MAX_BYTES + 1, &s) == -EINVAL, "too large");
	for (unsigned i = 0; i < LOST_KINDS; i++)
		if (segment_lost_name((enum segment_lost)i) == NULL ||
		    segment_lost_unit((enum segment_lost)i) == NULL)
			ok(false, "lost kind %u has no name", i);
}

static bool is_refused(const struct segment *s, uint64_t size)
{
	struct segment other;
	struct why why = {""};

	return segment_attach(s->base, size, &other, &why) == -EBADMSG && why.text[0] != '\0';
}

static bool is_inside(const struct segment *s)
{
	for (unsigned p = 0; p < SEGMENT_PLACES; p++)
		if (s->parts[p].offset > s->size ||
		    (uint64_t)s->parts[p].count * s->parts[p].stride > s->size - s->parts[p].offset)
			return false;
	return true;
}

static void test_damaged(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES), other;
	static const uint64_t values[] = {0,
					  1,
					  7,
					  8,
					  4096,
					  SEGMENT_MIN_BYTES - 8,
					  SEGMENT_MIN_BYTES,
					  0x7fffffff,
					  0xffffffff,
					  0x100000000,
					  UINT64_MAX,
					  UINT64_MAX - 7};
	size_t accepted = 0, outside = 0;
	struct why why;

	for (size_t i = 0; i < offsetof(struct segment_header, check) + 8; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			s.base[i] ^= (uint8_t)(1 << bit);
			accepted += !is_refused(&s, s.size);
			s.base[i] ^= (uint8_t)(1 << bit);
		}
	}
	is_u64(accepted, 0, "no flipped bit of the header goes unseen");
	ok(is_refused(&s, s.size - 4096) && is_refused(&s, s.size + 4096) && is_refused(&s, 100) &&
		   is_refused(&s, 0),
	   "nor a wrong size");
	for (unsigned p = 0; p < SEGMENT_PLACES; p++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			struct segment_place *place = &s.header->parts[p], saved = *place;

			for (int field = 0; field < 3; field++) {
				*place = saved;
				if (field == 0)
					place->offset = values[v];
				else if (field == 1)
					place->count = (uint32_t)values[v];
				else
					place->stride = (uint32_t)values[v];
				seal(s.header);
				if (segment_attach(s.base, s.size, &other, &why) == 0)
					outside += !is_inside(&other);
			}
			*place = saved;
		}
	}
	is_u64(outside, 0, "with a right checksum no part may lie outside");
	seal(s.header);
	ok(segment_attach(s.base, s.size, &other, &why) == 0, "whole again");
	memset(s.header->parts, 0xff, sizeof(s.header->parts));
	ok(is_inside(&other) && segment_text(&other, 8)[0] == '\0',
	   "what is changed after the check is not used");
	segment_unmake(&s);
}

static void test_strings(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t a = segment_string(&s, "one", 3), b = segment_string(&s, "two", 3), n = 0,
		 n_right = 0;
	uint32_t size = segment_count(&s, SEGMENT_STRING_BYTES, 0);
	uint8_t *bytes = segment_part(&s, SEGMENT_STRING_BYTES, 0);
	char text[64];
	size_t longest = 0;

	ok(a != 0 && b != 0 && a != b && segment_string(&s, "one", 3) == a,
	   "the same text has the same id");
	ok(segment_string(&s, "one more", 3) == a, "of the length that was given");
	is_str(segment_text(&s, a), "one", "the text");
	is_u64(segment_string(&s, NULL, 0), 0, "no text");
	is_str(segment_text(&s, segment_string(&s, "", 0)), "", "the empty text");
	segment_copy_text(&s, b, text, sizeof(text));
	is_str(text, "two", "copied");
	segment_copy_text(&s, b, text, 3);
	is_str(text, "tw", "cut");
	segment_copy_text(&s, b, text, 1);
	is_str(text, "", "cut to nothing");
	for (;; n++) {
		snprintf(text, sizeof(text), "string number %u", n);
		if (segment_string(&s, text, strlen(text)) == 0)
			break;
	}
	ok(n > 100 && s.header->lost[LOST_STRINGS] == 1,
	   "%u strings fill it, the next one is counted", n);
	ok(s.header->strings_used <= size, "and nothing lies outside");
	ok(segment_string(&s, (const char *)s.base, size + 9) == 0, "longer than all of it");
	for (uint32_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "string number %u", i);
		n_right +=
			strcmp(segment_text(&s, segment_string(&s, text, strlen(text))), text) == 0;
	}
	is_u64(n_right, n, "all are found");
	for (uint32_t round = 0; round < 2; round++) {
		for (uint64_t id = 0; id < size + 64u; id++) {
			const char *at = segment_text(&s, (uint32_t)id);

			segment_copy_text(&s, (uint32_t)id, text, sizeof(text));
			if (at[0] != '\0' && strlen(at) > longest)
				longest = strlen(at);
		}
		memset(bytes, 0xff, size);
	}
	ok(longest < size, "no id leads out of the part");
	is_str(segment_text(&s, UINT32_MAX - 7), "", "nor one near the end of all ids");
	segment_unmake(&s);
}

struct race {
	struct segment *s;
	uint32_t ids[THREADS][200];
};

static void add_strings(unsigned number, void *user)
{
	struct race *race = user;
	char text[32];

	for (unsigned i = 0; i < 200; i++) {
		unsigned which = (i + number * 11) % 200;

		snprintf(text, sizeof(text), "shared %u", which);
		race->ids[number][which] = segment_string(race->s, text, strlen(text));
	}
}

static void test_string_threads(void)
{
	static struct race race;
	struct segment s = segment_make(16 << 20);
	unsigned wrong = 0;

	race.s = &s;
	on_threads(THREADS, add_strings, &race);
	for (unsigned i = 0; i < 200; i++) {
		char text[32];

		snprintf(text, sizeof(text), "shared %u", i);
		for (unsigned t = 0; t < THREADS; t++)
			wrong += strcmp(segment_text(&s, race.ids[t][i]), text) != 0;
	}
	is_u64(wrong, 0, "eight threads get the texts they asked for");
	segment_unmake(&s);
}

/* Word i of a stack follows from its first, so a stack can be told right from wrong by itself. */
static uint32_t make_stack(uint64_t seed, uint64_t *frames)
{
	uint32_t depth = 2 + (uint32_t)(seed % 12);

	for (uint32_t i = 0; i < depth; i++)
		frames[i] = i == 0 ? seed : (seed * 40503 + i) & UINT64_C(0xffffffffffff);
	return depth;
}

struct sums {
	const struct segment *s;
	uint64_t rows, broken, values[2];
	unsigned only; /* 1 + generation, 0 all */
};

static int check_row(void *user, const struct table_row *row)
{
	struct sums *sums = user;
	uint64_t want[16];
	uint32_t depth = 0, pairs[LABEL_SET_PAIRS][2], n;
	const uint64_t *frames = stacks_frames(sums->s, row->generation, row->stack, &depth);

	if (sums->only != 0 && row->generation + 1 != sums->only)
		return 0;
	sums->rows++;
	sums->values[0] += row->values[0];
	sums->values[1] += row->values[1];
	if (frames == NULL || depth < 2 || depth > 14 || make_stack(frames[0], want) != depth ||
	    memcmp(frames, want, depth * sizeof(*want)) != 0)
		sums->broken++;
	n = labels_copy(sums->s, row->labels, pairs);
	if (row->labels != 0 &&
	    (n != 1 || strcmp(segment_text(sums->s, pairs[0][0]), "round") != 0))
		sums->broken++;
	return 0;
}

static struct sums sum_of(const struct segment *s, unsigned only)
{
	struct sums sums = {.s = s, .only = only};

	table_read(s, SEGMENT_TABLE_CPU, check_row, &sums);
	return sums;
}

static void test_recycle(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint64_t frames[16], recorded = 0, read = 0, seed = 0, busy = 0, generations = 0;
	struct thread *t;

	is_u64((uint64_t)-segment_recycle(&s, UINT64_MAX, 0), EBUSY,
	       "there is no old generation yet");
	while (generations < 150) {
		table_record(&s, SEGMENT_TABLE_CPU, frames, make_stack(++seed, frames), 0,
			     (uint64_t[]){1, 3});
		recorded++;
		if (s.header->generation == 0 || s.header->generations[0].serial == 0)
			if (s.header->generation == 1 || s.header->generations[1].serial == 0)
				continue;
		generations++;
		read += sum_of(&s, (s.header->generation + 1) % 2 + 1).values[0];
		busy += segment_recycle(
				&s, s.header->generations[(s.header->generation + 1) % 2].serial,
				0) == -EBUSY;
		if (segment_recycle(&s, UINT64_MAX, 0) != 0)
			break;
	}
	is_u64(generations, 150, "a hundred and fifty generations, each wiped for the next");
	is_u64(busy, generations, "one that is needed is left alone");
	is_u64(read + sum_of(&s, 0).values[0], recorded, "every record was in one of them");
	is_u64(sum_of(&s, 0).broken, 0, "with its stack");
	is_u64(s.header->lost[LOST_STACKS_FULL] + s.header->lost[LOST_TABLE_FULL], 0,
	       "none is lost");
	is_u64(s.header->notes[NOTE_RECYCLED], generations, "what was given up is noted");

	thread_init(&s);
	t = thread_publish(&s, thread_reserve(&s), 1234);
	for (int is_inside = 0; is_inside < 2; is_inside++) {
		uint32_t before = s.header->generation;

		if (is_inside)
			thread_enter(&s, t);
		while (s.header->generation == before)
			table_record(&s, SEGMENT_TABLE_CPU, frames, make_stack(++seed, frames), 0,
				     (uint64_t[]){1, 3});
		s.header->is_kept = 1;
		is_u64((uint64_t)-segment_recycle(&s, UINT64_MAX, 0), EBUSY,
		       "one that a launcher keeps is left alone");
		s.header->is_kept = 0;
		if (is_inside) {
			read = sum_of(&s, 0).rows;
			is_u64((uint64_t)-segment_recycle(&s, UINT64_MAX, 1000000), ETIMEDOUT,
			       "a handler that does not end is waited for");
			is_u64(sum_of(&s, 0).rows, read, "and nothing is wiped");
			thread_leave(t);
		}
		is_u64((uint64_t)-segment_recycle(&s, UINT64_MAX, 1000000), 0, "wiped");
	}
	segment_unmake(&s);
}

/* One thread gives up generations while others record: every record is read once or counted as lost. */
struct turnover {
	struct segment *s;
	_Atomic uint64_t recorded, read;
	_Atomic unsigned writers;
	uint64_t recycled;
};

static void turn_over(unsigned number, void *user)
{
	struct turnover *x = user;
	struct segment *s = x->s;
	uint64_t frames[16];
	struct thread *t;

	if (number > 0) {
		t = thread_publish(s, thread_reserve(s), 1000 + (int)number);
		for (uint64_t i = 0; i < 60000; i++) {
			if (!thread_enter(s, t))
				abort();
			table_record(s, SEGMENT_TABLE_CPU, frames,
				     make_stack(i * 8 + number, frames), 0, (uint64_t[]){1, 2});
			thread_leave(t);
			atomic_fetch_add(&x->recorded, 1);
			if (i % 64 == 0)
				usleep(300); /* still a hundred times the rate of a profile */
		}
		thread_release(s, t);
		atomic_fetch_sub(&x->writers, 1);
		return;
	}
	while (atomic_load(&x->writers) > 0) {
		unsigned old = (atomic_load(&s->header->generation) + 1) % 2;
		uint64_t serial = s->header->generations[old].serial;

		if (serial == 0 || serial > s->header->generations[1 - old].serial ||
		    thread_wait_generation(s, old, UINT64_C(1000000000)) < 0)
			continue;
		/* nobody writes in it any more */
		atomic_fetch_add(&x->read, sum_of(s, old + 1).values[0]);
		if (segment_recycle(s, UINT64_MAX, UINT64_C(1000000000)) != 0)
			abort();
		x->recycled++;
	}
}

static void test_turnover(void)
{
	struct segment s = segment_make(2 << 20);
	struct turnover x = {.s = &s, .writers = 3};
	uint64_t lost;

	thread_init(&s);
	on_threads(4, turn_over, &x);
	lost = s.header->lost[LOST_STACKS_FULL] + s.header->lost[LOST_TABLE_FULL];
	is_u64(x.read + sum_of(&s, 0).values[0] + lost, x.recorded,
	       "nothing is counted twice or forgotten");
	ok(x.recycled > 3, "over %" PRIu64 " generations, %" PRIu64 " of %" PRIu64 " lost",
	   x.recycled, lost, x.recorded);
	is_u64(sum_of(&s, 0).broken, 0, "with their stacks");
	segment_unmake(&s);
}

/* Writes whatever a process writes, until it is killed. */
static void write_forever(struct segment *s)
{
	for (uint64_t i = 0;; i++) {
		char text[24];
		const char *const pair[] = {"round", text};
		uint64_t frames[16];

		snprintf(text, sizeof(text), "%u", (unsigned)(i % 50));
		table_record(s, SEGMENT_TABLE_CPU, frames, make_stack(i % 7000, frames),
			     i % 3 == 0 ? labels_overlay(s, 0, pair, 1) : 0, (uint64_t[]){1, 2});
		if (i % 4096 == 0)
			segment_recycle(s, UINT64_MAX, 0);
	}
}

static void test_killed(void)
{
	uint64_t rows = 0, broken = 0, refused = 0;
	unsigned random = 12345;

	for (int round = 0; round < 120; round++) {
		struct segment s = segment_make(SEGMENT_MIN_BYTES), seen;
		pid_t child = fork();
		struct sums sums;
		struct why why;

		if (child == 0) {
			write_forever(&s);
			_exit(1);
		}
		random = random * 1103515245 + 12345;
		usleep(300 + (random >> 16) % 9000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		refused += segment_attach(s.base, s.size, &seen, &why) != 0;
		sums = sum_of(&s, 0);
		rows += sums.rows;
		/* rows of a generation whose wiping was under way lead to stacks that are still there, or are gone */
		broken += sums.broken;
		segment_unmake(&s);
	}
	is_u64(refused, 0, "what a killed process leaves is a segment");
	is_u64(broken, 0, "and all its rows lead to whole stacks and labels");
	ok(rows > 1000, "%" PRIu64 " rows", rows);
}

static void test_names(void)
{
	struct segment from = segment_make(SEGMENT_MIN_BYTES), to = segment_make(SEGMENT_MIN_BYTES),
		       small;
	const char *const pair[] = {"key", "value"};
	uint32_t set = labels_overlay(&from, 0, pair, 1), id, pairs[LABEL_SET_PAIRS][2];

	from.header->program = segment_string(&from, "program", 7);
	segment_module_at(&from, 0)->path = segment_string(&from, "/lib/x.so", 9);
	from.header->modules_high = 1;
	segment_copy_names(&to, &from);
	is_str(segment_text(&to, to.header->program), "program",
	       "a child knows the names by the same ids");
	is_u64(segment_string(&to, "/lib/x.so", 9), segment_module_at(&to, 0)->path,
	       "and finds them");
	ok(labels_copy(&to, set, pairs) == 1 && labels_overlay(&to, 0, pair, 1) == set,
	   "label sets, too");
	id = segment_string(&to, "new", 3);
	ok(id >= from.header->strings_used && segment_text(&from, id)[0] == '\0',
	   "what is new is its own");
	small = segment_make(SEGMENT_MIN_BYTES * 2);
	segment_copy_names(&small, &from);
	is_u64(small.header->modules_high, 0, "from another layout nothing is taken");
	segment_unmake(&from);
	segment_unmake(&to);
	segment_unmake(&small);
}

int main(void)
{
	plan_begin();
	test_layout();
	test_damaged();
	test_strings();
	test_string_threads();
	test_recycle();
	test_turnover();
	test_killed();
	test_names();
	return plan_end();
}
