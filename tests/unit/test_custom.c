/*
 * profiles/custom and output/catalog: names, entries at any load, what a forked child goes on with, and what readers make of
 * segments that others wrote.
 */
#include <errno.h>
#include <unistd.h>

#include "core/labels.h"
#include "core/modules.h"
#include "core/stacks.h"
#include "core/thread.h"
#include "output/catalog.h"
#include "profiles/custom/custom.h"
#include "tests/unit/reading_make.h"

#define THREADS 8
#define LIVE    (UINT64_C(1) << 63)

static struct segment *segment;

/* The process's, as process.c makes it; @parent: in its child. */
static void begin(const struct segment *parent)
{
	struct why why = {""};
	int fd;

	if (segment_create(parent != NULL ? parent->size : SEGMENT_MIN_BYTES, &segment, &fd, &why) <
		    0 ||
	    thread_init(segment) < 0) {
		printf("Bail out! %s\n", why.text);
		exit(1);
	}
	close(fd);
	if (parent != NULL)
		segment_copy_names(segment, parent);
	else
		modules_refresh(segment);
	custom_begin(segment, parent);
	segment_publish(segment);
}

static void forget(void)
{
	segment_forget();
	thread_self_block = NULL;
}

static int count_row(void *user, const struct table_row *row)
{
	uint64_t *sums = user;

	sums[0] += row->values[0];
	sums[1] += row->stack != 0;
	sums[2] += row->labels;
	return row->generation == SEGMENT_LASTING && row->kind == 0 ? 0 : -1;
}

/* How many entries the segment has of @name, and how many of them have a stack. */
static uint64_t shared(const char *name, uint64_t *ret_stacks)
{
	const struct profile_ops *ops = custom_find(name);
	uint64_t sums[3] = {0};

	if (ops->read(segment, ops, count_row, sums) != 0)
		ok(false, "%s: rows are of the lasting set", name);
	if (ret_stacks != NULL)
		*ret_stacks = sums[1];
	return sums[0];
}

static void test_names(void)
{
	static const char *const good[] = {"a",
					   "handles",
					   "db.connections-open_2",
					   "A",
					   "0",
					   "_",
					   "123456789012345678901234567890123456789012345678"};
	static const char *const bad[] = {
		"",         ".a",  "-a",
		"a/b",      "a b", "a\n",
		"\xc3\xa4", "a%",  "1234567890123456789012345678901234567890123456789"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(custom_is_name(good[i]), "a name: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!custom_is_name(bad[i]) && custom_make(segment, bad[i]) == -EINVAL, "none: %zu",
		   i);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->name[0] != '\0')
			is_u64((uint64_t)-custom_make(segment, (*p)->name), EEXIST, "ours: %s",
			       (*p)->name);
	is_u64((uint64_t)-custom_make(segment, "goroutine"), EEXIST, "a name of Go's");
	is_u64((uint64_t)-custom_make(segment, "delta_x"), EEXIST, "a name of godeltaprof's");
	ok(!custom_is_used(), "none is made yet");
}

static void test_registry(void)
{
	struct catalog *catalog = catalog_create(all_profiles);
	const struct profile_ops *const *list = catalog_list(catalog, segment), *first;
	size_t before = 0, n = 0;
	char name[16];

	while (list[before] != NULL)
		before++;
	is_u64((uint64_t)custom_make(segment, "a"), 0, "the first");
	is_u64((uint64_t)custom_make(segment, "b"), 1, "the second");
	is_u64((uint64_t)-custom_make(segment, "a"), EEXIST, "the first, again");
	list = catalog_list(catalog, segment);
	first = list[before];
	is_str(first->name, "a", "listed behind all others");
	is_str(list[before + 1]->name, "b", "in their order");
	ok(list[before + 2] == NULL, "and no more");
	ok(first->run == RUN_CUSTOM && reading_is_there(segment, first) && !first->is_view &&
		   first->member == NULL,
	   "as a profile like others");
	ok(custom_number(custom_handle(1)) == 1, "a handle and its number");
	ok(custom_number(NULL) == -EINVAL && custom_number(custom_handle(2)) == -EINVAL &&
		   custom_number((char *)custom_handle(1) + 1) == -EINVAL &&
		   custom_number(&n) == -EINVAL,
	   "what is no handle");
	for (int i = 2; i < SEGMENT_CUSTOMS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		n += custom_make(segment, name) == i;
	}
	is_u64(n, SEGMENT_CUSTOMS - 2, "as many as there may be");
	is_u64((uint64_t)-custom_make(segment, "more"), ENOSPC, "and no more");
	list = catalog_list(catalog, segment);
	ok(list[before] == first, "what was listed stays where it is");
	for (n = 0; list[n] != NULL;)
		n++;
	is_u64(n, before + SEGMENT_CUSTOMS, "all are listed");
	catalog_destroy(catalog);
}

/* Until the table is full, and empty again: what is in is found, what is not is not, whatever was there before. */
static void test_entries(void)
{
	uint32_t room = segment_count(segment, SEGMENT_CUSTOM, 0);
	struct segment_run *run = &segment->header->customs[0].run;
	uint64_t in = 0, found = 0, stacks;

	is_u64(room, 1024, "room in the smallest segment");
	for (uint64_t i = 0; i < 2 * room; i++)
		in += custom_add(segment, 0, i * 16, 0) == 0;
	is_u64(in, room, "every place is taken");
	is_u64(run->setting, room, "added");
	is_u64(run->lost, room, "lost");
	is_u64((uint64_t)custom_count(0), room, "counted");
	is_u64(shared("a", &stacks), room, "in the segment");
	is_u64(stacks, room, "with their stacks");
	for (uint64_t i = 0; i < room; i++)
		found += custom_add(segment, 0, i * 16, 0) == -EEXIST;
	is_u64(found, room, "each is there once, in a full table too");
	is_u64((uint64_t)-custom_remove(segment, 1, 16), ENOENT, "but not in another profile");
	for (uint64_t i = 0; i < room; i += 2)
		found -= custom_remove(segment, 0, i * 16) == 0;
	is_u64(found, room / 2, "every other one goes");
	for (uint64_t i = 0; i < room; i += 2)
		found += custom_add(segment, 1, i * 16, 0) == 0;
	is_u64(shared("b", NULL), room / 2, "the same values in another profile");
	is_u64(shared("a", NULL), room / 2, "beside the rest");
	for (uint64_t i = 0; i < room; i++)
		found -= custom_remove(segment, i % 2 == 0, i * 16) == 0;
	is_u64(found, 0, "all go");
	is_u64(shared("a", NULL) + shared("b", NULL), 0, "nothing is in the segment");
	is_u64((uint64_t)(custom_count(0) + custom_count(1)), 0, "nothing is counted");

	for (uint64_t i = 0; i < 100000; i++)
		found += custom_add(segment, 0, i, 0) == 0 && custom_remove(segment, 0, i) == 0;
	is_u64(found, 100000, "and again and again");
	for (uint64_t i = 0; i < 4; i++)
		custom_add(segment, 0, (uint64_t[]){0, 1, UINT64_MAX, LIVE}[i], 0);
	is_u64(shared("a", NULL), 4, "any number is a value");
	for (uint64_t i = 0; i < 4; i++)
		found -= custom_remove(segment, 0, (uint64_t[]){0, 1, UINT64_MAX, LIVE}[i]) == 0;
	is_u64(found, 100000 - 4, "and goes");
}

__attribute__((noinline)) static int add_here(uint64_t value, unsigned skip)
{
	int r = custom_add(segment, 0, value, skip);

	__asm__ volatile("" ::: "memory");
	return r;
}

/* Of the only entry. */
static uint32_t depth_of_only(uint64_t value, unsigned skip, uint64_t *ret_leaf)
{
	const _Atomic uint64_t *entries = segment_part(segment, SEGMENT_CUSTOM, 0);
	const uint64_t *frames = NULL;
	uint32_t depth = 0;

	add_here(value, skip);
	for (uint32_t i = 0; i < segment_count(segment, SEGMENT_CUSTOM, 0); i++)
		if (entries[i] & LIVE)
			frames = stacks_frames(segment, SEGMENT_LASTING, (uint32_t)entries[i],
					       &depth);
	*ret_leaf = frames != NULL ? frames[0] : 0;
	custom_remove(segment, 0, value);
	return depth;
}

static void test_skip(void)
{
	uint64_t leaf, next;
	uint32_t depth = depth_of_only(1, 0, &leaf);

	ok(depth > 3, "a stack of %u frames", depth);
	is_u64(depth_of_only(1, 1, &next), depth - 1, "skip 1: one less");
	ok(next != leaf, "from the other end");
	is_u64(depth_of_only(1, depth - 1, &next), 1, "all but the outermost");
	is_u64(depth_of_only(1, depth, &next), 1, "none is left: a name");
	ok((next & FRAME_TRUNCATED) == FRAME_TRUNCATED && next != FRAME_TRUNCATED, "which says so");
	is_u64(depth_of_only(1, 1u << 30, &leaf), 1, "any number");
	is_u64(leaf, next, "the same");
}

static void work(unsigned number, void *user)
{
	uint64_t own = (uint64_t)(number + 1) << 40, *wrong = user;

	for (uint64_t i = 0; i < 5000; i++) {
		int r = custom_add(segment, 2, i / 100, 0); /* what all add */

		if (r == 0 && i % 2 == 0)
			r = custom_remove(segment, 2, i / 100);
		if ((r != 0 && r != -EEXIST) || custom_add(segment, 2, own + i, 0) != 0 ||
		    (i >= 50 && custom_remove(segment, 2, own + i - 50) != 0))
			__atomic_fetch_add(wrong, 1, __ATOMIC_RELAXED);
	}
}

static void test_threads(void)
{
	uint64_t wrong = 0, left = THREADS * 50;

	on_threads(THREADS, work, &wrong);
	is_u64(wrong, 0, "%u threads at once: every call says what it did", THREADS);
	for (uint64_t i = 0; i < 50; i++)
		custom_remove(segment, 2,
			      i); /* of some of them the last add was not followed by a remove */
	is_u64((uint64_t)custom_count(2), THREADS * 50, "what is left is exact");
	is_u64(shared("p2", NULL), THREADS * 50, "in the segment, too");
	for (uint64_t i = 0; i < THREADS * 50; i++)
		left -= custom_remove(segment, 2, ((i / 50 + 1) << 40) + 4950 + i % 50) == 0;
	is_u64(left, 0, "each is found");
	is_u64((uint64_t)custom_count(2), 0, "and they are the last");
}

/* Each entry's stack is there, whole, and one that @of has, too. */
static bool has_stacks_of(const struct segment *of)
{
	const _Atomic uint64_t *mine = segment_part(segment, SEGMENT_CUSTOM, 0);
	const _Atomic uint64_t *theirs = segment_part(of, SEGMENT_CUSTOM, 0);
	bool are_there = true;

	for (uint32_t i = 0; i < segment_count(segment, SEGMENT_CUSTOM, 0); i++) {
		const uint64_t *a, *b;
		uint32_t depth = 0, their_depth = 1;

		if (!(mine[i] & LIVE))
			continue;
		a = stacks_frames(segment, SEGMENT_LASTING, (uint32_t)mine[i], &depth);
		b = stacks_frames(of, SEGMENT_LASTING, (uint32_t)theirs[i], &their_depth);
		are_there = are_there && a != NULL && b != NULL && depth == their_depth &&
			    memcmp(a, b, depth * sizeof(*a)) == 0;
	}
	return are_there;
}

/* The segment of a child, made over the parent's. */
static void test_fork(void)
{
	static const char *const pairs[] = {"tenant", "acme"};
	struct thread *t = thread_reserve(segment);
	struct segment parent;
	uint64_t stacks, sums[3] = {0};
	const struct profile_ops *ops = custom_find("b");
	uint32_t labels = labels_overlay(segment, 0, pairs, 1);

	thread_self_block = thread_publish(segment, t, (int)gettid());
	thread_self_block->record->labels = labels;
	for (uint64_t i = 0; i < 10; i++)
		custom_add(segment, 1, i, 0);
	thread_self_block = NULL;
	parent = *segment_own();
	segment_disown();
	custom_profile.forked();
	begin(&parent);
	is_u64(shared("b", &stacks), 10, "a child has the entries");
	ok(stacks == 10 && has_stacks_of(&parent), "with their stacks");
	ops->read(segment, ops, count_row, sums);
	is_u64(sums[2], 10 * (uint64_t)labels, "and labels");
	is_u64(segment->header->customs[1].run.setting, 0, "which it has not added itself");
	is_u64((uint64_t)custom_count(1), 10, "counted");
	is_u64((uint64_t)-custom_add(segment, 1, 5, 0), EEXIST, "one of them, again");
	is_u64((uint64_t)-custom_remove(segment, 1, 5), 0, "one goes");
	is_u64((uint64_t)custom_add(segment, 1, 77, 0), 0, "one comes");
	is_u64(shared("b", NULL), 10, "in its segment");
	memcpy(&sums, &(uint64_t[3]){0}, sizeof(sums));
	ops->read(&parent, ops, count_row, sums);
	is_u64(sums[0], 10, "the parent's is as it was");
	segment_release(&parent);

	/* one that was not followed, and begins later */
	custom_profile.forked();
	forget();
	begin(NULL);
	is_u64(shared("b", NULL), 0, "without the parent's segment there is nothing");
	is_u64((uint64_t)custom_count(1), 0, "counted");
	is_u64((uint64_t)-custom_remove(segment, 1, 77), ENOENT, "nor found");
	is_u64((uint64_t)custom_add(segment, 1, 77, 0), 0, "but room");
	is_u64(shared("b", NULL), 1, "for a new one");
	is_u64(shared("a", NULL), 0, "of that profile alone");
}

/* ---- segments by hand ---- */

static void put_entry(struct segment *s, uint32_t at, uint64_t what)
{
	_Atomic uint64_t *entries = segment_part(s, SEGMENT_CUSTOM, 0);

	entries[at] = what;
}

static void put_custom(struct segment *s, unsigned index, const char *name)
{
	s->header->customs[index].run.period = 1;
	s->header->customs[index].run.begun_ns = BEGUN_MONO + SECOND;
	s->header->customs[index].name = segment_string(s, name, strlen(name));
}

static uint64_t entry(uint64_t number, uint64_t labels, uint32_t stack)
{
	return LIVE | number << 56 | labels << 32 | stack;
}

static void test_reading(void)
{
	struct segment s = reading_make();
	struct catalog *catalog = catalog_create(all_profiles);
	static const char *const pairs[] = {"k", "v"};
	uint64_t frames[] = {0x1000, 0x1010};
	uint32_t stack = stacks_intern(&s, SEGMENT_LASTING, frames, 2), other;
	uint32_t labels = labels_overlay(&s, 0, pairs, 1);
	const struct profile_ops *ops;
	struct reading_window *window;
	struct reading_counts counts;
	struct profile p;

	frames[0] = 0x2000;
	other = stacks_intern(&s, SEGMENT_LASTING, frames, 2);
	put_custom(&s, 0, "handles");
	put_custom(&s, 1, "x");
	for (uint32_t i = 0; i < 3; i++)
		put_entry(&s, i * 7, entry(0, 0, stack));
	put_entry(&s, 1, entry(0, 0, other));
	put_entry(&s, 2, entry(0, labels, stack));
	put_entry(&s, 3, entry(0, 0, 0));
	put_entry(&s, 4, entry(1, 0, stack));
	put_entry(&s, 5, entry(0, 0, stack) & ~LIVE);
	s.header->customs[0].run.lost = 4;
	ops = profile_find(catalog_list(catalog, &s), "handles");
	p = read_it(&s, ops, NULL, NULL);
	is_str(show(&p),
	       "1 : [lost: tables full]\n3 : 1000 1010\n1 : 1000 1010 k=v\n1 : 2000 1010\n",
	       "handles: one row for each stack and labels");
	ok(p.period == 1 && strcmp(p.period_type.type, "handles") == 0 &&
		   strcmp(p.period_type.unit, "count") == 0 && p.sample_types_n == 1 &&
		   strcmp(p.sample_types[0].type, "handles") == 0 && p.duration_ns == 0,
	   "its header, as Go's");
	ok(has_comment(&p, "lost: 4 entries: no room when they were added, a larger memory= has "
			   "more"),
	   "what found no room is said, and no sample");
	profile_fini(&p);
	is_text(write_it(&s, profile_find(catalog_list(catalog, &s), "x"), 1),
		"x profile: total 1\n1 @ 0x1001 0x1011\n#\t0x1000\n#\t0x1010\n\n", "x: as text");
	reading_count(&s, ops, &counts);
	ok(counts.samples == 6 && counts.lost == 4, "counts");
	reading_window_begin(&s, ops, &window);
	put_entry(&s, 0, 0);
	put_entry(&s, 100, entry(0, 0, other));
	put_entry(&s, 101, entry(0, 0, other));
	p = read_it(&s, ops, window, NULL);
	is_str(show(&p), "-1 : 1000 1010\n2 : 2000 1010\n", "a window: more and less");
	profile_fini(&p);
	reading_window_end(window);
	catalog_destroy(catalog);
	segment_unmake(&s);
}

/* What others wrote: names that are none, entries of profiles that are none, stacks that lead nowhere. */
static void test_hostile(void)
{
	static const char *const names[] = {"ok",      "../etc/passwd", "",     "heap", "ok",
					    ".hidden", "a/b",           "a\nb", "cpu"};
	struct segment s = reading_make();
	struct catalog *catalog = catalog_create(all_profiles);
	const struct profile_ops *const *list = catalog_list(catalog, &s);
	uint64_t random = 88172645463325252u;
	size_t before = 0;
	struct profile p;

	while (list[before] != NULL)
		before++;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_custom(&s, i, names[i]);
	s.header->customs[20].name = 12345;
	s.header->customs[21].name = UINT32_MAX;
	list = catalog_list(catalog, &s);
	ok(list[before] != NULL && list[before + 1] == NULL, "one of these is a profile");
	for (uint32_t i = 0; i < segment_count(&s, SEGMENT_CUSTOM, 0); i++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		put_entry(&s, i, i % 4 == 0 ? random : entry(0, random >> 40, (uint32_t)random));
	}
	p = read_it(&s, list[before], NULL, NULL);
	ok(profile_error(&p) == 0, "entries at random: %u samples, and a valid profile",
	   p.samples_n);
	profile_fini(&p);
	catalog_destroy(catalog);
	segment_unmake(&s);
}

/* The table of strings is full: no name, no profile. */
static void test_no_room(void)
{
	char name[16];
	uint32_t used = segment->header->strings_used;

	segment->header->strings_used = segment_count(segment, SEGMENT_STRING_BYTES, 0);
	snprintf(name, sizeof(name), "unheard");
	is_u64((uint64_t)-custom_make(segment, name), ENOSPC, "no room for a name");
	ok(custom_find(name) == NULL, "then there is none");
	segment->header->strings_used = used;
}

int main(void)
{
	plan_begin();
	begin(NULL);
	test_names();
	test_no_room();
	test_registry();
	test_entries();
	test_skip();
	test_threads();
	test_fork();
	test_reading();
	test_hostile();
	return plan_end();
}
