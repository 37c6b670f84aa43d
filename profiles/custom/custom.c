#include "profiles/custom/custom.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/lock.h"
#include "core/mem.h"
#include "core/stacks.h"
#include "core/walk.h"

/* The word of an entry that is there has this bit, and from the top: profile, label set, stack. */
#define LIVE         (UINT64_C(1) << 63)
#define NUMBER_SHIFT 56
#define LABELS_SHIFT 32
#define LABELS_MAX   ((1u << (NUMBER_SHIFT - LABELS_SHIFT)) - 1) /* 262,144 in the largest segment */
_Static_assert(SEGMENT_CUSTOMS <= 1 << 7, "its number has bits 56 to 62");

#define NEVER UINT64_C(0) /* nothing was ever here: a search ends */
#define GONE  UINT64_C(1)

#define REGION_MAX \
	1024u /* entries: fills evenly up to nine tenths; searched to the end in a microsecond */
#define LOCKS 64u

struct entry {
	uint64_t value;
	_Atomic uint64_t what;
};

static struct custom {
	struct profile_member member;
	_Atomic int64_t live;
} all[SEGMENT_CUSTOMS];
static _Atomic unsigned all_n;
static struct lock making = {.rank = LOCK_MAKING}; /* of one more */

static struct lock locks[LOCKS]; /* of the regions, which are not more or share them */
static struct entry *entries;    /* before there is a profile; NULL: no memory in a child of fork */
static uint32_t entries_n;       /* a power of two, as many as in the segment */

/* ---- names ---- */

bool custom_is_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";
	size_t n = strlen(name);

	return n > 0 && n <= PROFILE_NAME_MAX && name[strspn(name, letters)] == '\0' &&
	       name[0] != '-' && name[0] != '.';
}

/* What means something else under /debug/pprof/, or as a file. */
static bool is_ours(const char *name)
{
	static const char *const others[] = {"all",   "cmdline", "fgprof", "goroutine",
					     "index", "profile", "symbol", "status"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if (strcmp(name, (*p)->name) == 0)
			return true;
	return strncmp(name, "delta_", 6) == 0;
}

static unsigned count_all(void)
{
	return atomic_load_explicit(&all_n, memory_order_acquire); /* pairs: custom_make */
}

const struct profile_ops *custom_find(const char *name)
{
	for (unsigned i = 0; i < count_all(); i++)
		if (strcmp(all[i].member.name, name) == 0)
			return &all[i].member.ops;
	return NULL;
}

void *custom_handle(unsigned number)
{
	return &all[number];
}

int custom_number(const void *handle)
{
	uintptr_t at = (uintptr_t)handle - (uintptr_t)all;

	return (uintptr_t)handle >= (uintptr_t)all && at % sizeof(all[0]) == 0 &&
			       at / sizeof(all[0]) < count_all()
		       ? (int)(at / sizeof(all[0]))
		       : -EINVAL;
}

bool custom_is_used(void)
{
	return count_all() != 0;
}

int64_t custom_count(unsigned number)
{
	return atomic_load_explicit(&all[number].live, memory_order_relaxed);
}

static void describe(unsigned number, const char *name, struct profile_member *ret)
{
	memcpy(ret->name, name, strlen(name) + 1);
	ret->values[0] = (struct value_type){ret->name, "count"};
	ret->values[1] = (struct value_type){0};
	ret->ops = custom_profile;
	ret->ops.name = ret->name;
	ret->ops.values = ret->values;
	ret->ops.period = ret->values[0];
	ret->ops.run = (enum segment_run_id)(RUN_CUSTOM + number);
	ret->ops.is_view = false;
	ret->ops.member = NULL;
}

/* Known to who reads the segment. -ENOSPC: there is no room for its name. */
static int announce(struct segment *s, unsigned number, const char *name)
{
	struct segment_custom *c = &s->header->customs[number];
	uint32_t id = segment_string(s, name, strlen(name));

	if (id == 0)
		return -ENOSPC;
	atomic_store_explicit(&c->run.period, 1, memory_order_relaxed);
	atomic_store_explicit(&c->run.begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&c->name, id, memory_order_release); /* pairs: custom_member */
	return 0;
}

static int map_entries(const struct segment *s)
{
	uint32_t n = segment_count(s, SEGMENT_CUSTOM, 0);

	if (entries != NULL)
		return 0;
	for (unsigned i = 0; i < LOCKS; i++)
		locks[i] = (struct lock){.rank = LOCK_ENTRIES};
	entries = mem_map((size_t)n * sizeof(*entries));
	entries_n = n;
	return entries != NULL ? 0 : -ENOMEM;
}

int custom_make(struct segment *s, const char *name)
{
	unsigned n;
	int r;

	if (!custom_is_name(name))
		return -EINVAL;
	lock_take(&making);
	n = count_all();
	r = is_ours(name) || custom_find(name) != NULL ? -EEXIST
	    : n == SEGMENT_CUSTOMS                     ? -ENOSPC
						       : map_entries(s);
	if (r == 0)
		r = announce(s, n, name);
	if (r == 0) {
		describe(n, name, &all[n].member);
		r = (int)n;
		atomic_store_explicit(&all_n, n + 1, memory_order_release); /* pairs: count_all */
	}
	lock_give(&making);
	return r;
}

/* ---- entries ---- */

struct region {
	struct lock *lock;
	struct entry *entries;
	uint32_t mask, home; /* where the search begins */
};

static struct region region_of(unsigned number, uint64_t value)
{
	__uint128_t product = (__uint128_t)(value ^ (uint64_t)number << NUMBER_SHIFT) *
			      UINT64_C(0x9e3779b97f4a7c15);
	uint32_t hash = (uint32_t)((uint64_t)product >> 32) ^ (uint32_t)(product >> 64);
	uint32_t n = entries_n < REGION_MAX ? entries_n : REGION_MAX;
	uint32_t first = hash & (entries_n - 1) & ~(n - 1);

	return (struct region){.lock = &locks[first / n % LOCKS],
			       .entries = entries + first,
			       .mask = n - 1,
			       .home = hash & (n - 1)};
}

static uint64_t what_of(const struct entry *e)
{
	return atomic_load_explicit(&e->what, memory_order_relaxed);
}

/* For readers of the segment, and for a child that is forked meanwhile. */
static void put(struct segment *s, struct entry *e, uint64_t what)
{
	_Atomic uint64_t *shared = segment_part(s, SEGMENT_CUSTOM, 0);

	atomic_store_explicit(&shared[e - entries], what & LIVE ? what : 0, memory_order_release);
	atomic_store_explicit(&e->what, what, memory_order_release);
}

/* The value's entry, NULL: it is not there, and *ret_free is one that it may have, or NULL. */
static struct entry *find(const struct region *r, unsigned number, uint64_t value,
			  struct entry **ret_free)
{
	*ret_free = NULL;
	for (uint32_t i = 0; i <= r->mask; i++) {
		struct entry *e = &r->entries[(r->home + i) & r->mask];
		uint64_t what = what_of(e);

		if (what & LIVE) {
			if (e->value == value && (what & ~LIVE) >> NUMBER_SHIFT == number)
				return e;
			continue;
		}
		if (*ret_free == NULL)
			*ret_free = e;
		if (what == NEVER)
			break;
	}
	return NULL;
}

/* Searches that came by here ended at the next one: they may as well end here. */
static void forget_gone(const struct region *r, const struct entry *from)
{
	uint32_t at = (uint32_t)(from - r->entries);

	if (what_of(&r->entries[(at + 1) & r->mask]) != NEVER)
		return;
	for (; what_of(&r->entries[at & r->mask]) == GONE; at--)
		atomic_store_explicit(&r->entries[at & r->mask].what, NEVER, memory_order_release);
}

/* Where it was added, less @skip frames; 0: that found no room. */
static uint32_t stack_here(struct segment *s, unsigned skip)
{
	static const char none[] = "[no frame left by skip]";
	struct thread *t = walk_has_room(thread_self_block) ? thread_begin(s) : NULL;
	struct walk_host host;
	uint64_t named;
	uint32_t id;

	if (t == NULL)
		return 0;
	host = walk_host(s, t, 0, 0);
	if (skip < host.depth) {
		id = stacks_intern(s, SEGMENT_LASTING, host.frames + skip, host.depth - skip);
	} else {
		named = FRAME_NAMED(segment_string(s, none, sizeof(none) - 1));
		id = stacks_intern(s, SEGMENT_LASTING, &named, 1);
	}
	walk_host_done(&host);
	thread_done(s, t);
	return id;
}

static int add(struct segment *s, unsigned number, uint64_t value, uint64_t where)
{
	struct region region;
	struct entry *e;
	int r = 0;

	if (entries == NULL)
		return -ENOSPC;
	region = region_of(number, value);
	lock_take(region.lock);
	if (find(&region, number, value, &e) != NULL) {
		r = -EEXIST;
	} else if (e == NULL) {
		r = -ENOSPC;
	} else {
		/* first: where no entry is counted, a child that is forked meanwhile does not look for one */
		atomic_fetch_add_explicit(&all[number].live, 1, memory_order_relaxed);
		e->value = value;
		put(s, e, LIVE | (uint64_t)number << NUMBER_SHIFT | where);
	}
	lock_give(region.lock);
	return r;
}

int custom_add(struct segment *s, unsigned number, uint64_t value, unsigned skip)
{
	const struct thread *self = thread_self_block;
	struct segment_run *run = &s->header->customs[number].run;
	uint64_t labels =
		self != NULL ? atomic_load_explicit(&self->record->labels, memory_order_relaxed)
			     : 0;
	uint32_t stack = stack_here(s, skip);
	int r;

	if (labels > LABELS_MAX)
		labels = 0;
	r = add(s, number, value, labels << LABELS_SHIFT | stack);
	if (r == 0 && stack == 0)
		segment_count_lost(s, LOST_STACKS_FULL, 1);
	if (r != -EEXIST)
		atomic_fetch_add_explicit(r == 0 ? &run->setting : &run->lost, 1,
					  memory_order_relaxed);
	return r;
}

int custom_remove(struct segment *s, unsigned number, uint64_t value)
{
	struct region region;
	struct entry *none, *e;

	if (entries == NULL)
		return -ENOENT;
	region = region_of(number, value);
	lock_take(region.lock);
	e = find(&region, number, value, &none);
	if (e != NULL) {
		put(s, e, GONE);
		forget_gone(&region, e);
		atomic_fetch_sub_explicit(&all[number].live, 1, memory_order_relaxed);
	}
	lock_give(region.lock);
	return e != NULL ? 0 : -ENOENT;
}

/* ---- a new segment ---- */

static void forget_entries(void)
{
	mem_unmap(entries, (size_t)entries_n * sizeof(*entries));
	entries = NULL;
	for (unsigned i = 0; i < SEGMENT_CUSTOMS; i++)
		all[i].live = 0;
}

/* The same entries, with the stacks that @parent has. */
static void inherit(struct segment *s, const struct segment *parent)
{
	int64_t live[SEGMENT_CUSTOMS] = {0};

	for (uint32_t i = 0; i < entries_n; i++) {
		uint64_t what = what_of(&entries[i]);
		const uint64_t *frames;
		uint32_t depth, stack = 0;

		if (!(what & LIVE))
			continue;
		frames = stacks_frames(parent, SEGMENT_LASTING, (uint32_t)what, &depth);
		if (frames != NULL)
			stack = stacks_intern(s, SEGMENT_LASTING, frames, depth);
		put(s, &entries[i], (what & ~(uint64_t)UINT32_MAX) | stack);
		live[(what & ~LIVE) >> NUMBER_SHIFT]++;
	}
	/* another thread of the parent's may have been between an entry and its count */
	for (unsigned i = 0; i < SEGMENT_CUSTOMS; i++)
		all[i].live = live[i];
}

static bool has_any(void)
{
	for (unsigned i = 0; i < count_all(); i++)
		if (custom_count(i) != 0)
			return true;
	return false;
}

void custom_begin(struct segment *s, const struct segment *parent)
{
	unsigned n = count_all();

	if (n == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		announce(s, i, all[i].member.name);
	if (parent == NULL || s->header->check != parent->header->check)
		forget_entries();
	else if (has_any())
		inherit(s, parent);
	map_entries(s);
}

static void forked(void)
{
	making = (struct lock){.rank = LOCK_MAKING};
	for (unsigned i = 0; i < LOCKS; i++)
		locks[i] = (struct lock){.rank = LOCK_ENTRIES};
}

/* ---- reading ---- */

static bool custom_member(const struct segment *s, unsigned index, struct profile_member *ret)
{
	char name[PROFILE_NAME_MAX + 2];
	uint32_t id;

	if (index >= SEGMENT_CUSTOMS)
		return false;
	id = atomic_load_explicit(&s->header->customs[index].name,
				  memory_order_acquire); /* pairs: announce */
	segment_copy_text(s, id, name, sizeof(name));
	if (!custom_is_name(name))
		return false;
	describe(index, name, ret);
	return true;
}

static int custom_read(const struct segment *s, const struct profile_ops *ops,
		       int (*each)(void *user, const struct table_row *row), void *user)
{
	const _Atomic uint64_t *shared = segment_part(s, SEGMENT_CUSTOM, 0);
	uint64_t number = (uint64_t)(ops->run - RUN_CUSTOM);
	int r = 0;

	for (uint32_t i = 0; i < segment_count(s, SEGMENT_CUSTOM, 0) && r == 0; i++) {
		uint64_t what = atomic_load_explicit(&shared[i], memory_order_acquire);
		struct table_row row = {
			.generation = SEGMENT_LASTING,
			.stack = (uint32_t)what,
			.labels = (uint32_t)(what >> LABELS_SHIFT) & LABELS_MAX,
			.values = {1},
		};

		if ((what & LIVE) && (what & ~LIVE) >> NUMBER_SHIFT == number)
			r = each(user, &row);
	}
	return r;
}

const struct profile_ops custom_profile = {
	.name = "",
	.about = "made by the program",
	.values = (const struct value_type[]){{0}},
	.table = SEGMENT_NO_TABLE,
	.run = RUN_CUSTOM,
	.is_instant = true,
	.is_view = true,
	.read = custom_read,
	.forked = forked,
	.member = custom_member,
};
