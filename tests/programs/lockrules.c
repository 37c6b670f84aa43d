/*
 * lockrules: what every function that locks or waits answers, printed. See lockrules.h.
 *
 *     lockrules [GROUP]
 *
 * GROUP: alone, mutex, givenup, rwlock, spin, cond, oldcond, sem, barrier, join, once, c11, futex, cancel, jump, fork; without it all.
 * Some of what it asks is undefined by POSIX and settled by glibc: then glibc's answer is what has to stay.
 */
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Mutexes: what another thread does with one. */

static int lock(void *m)
{
	return pthread_mutex_lock(m);
}

static int try_lock(void *m)
{
	return pthread_mutex_trylock(m);
}

static int unlock(void *m)
{
	return pthread_mutex_unlock(m);
}

static int timed_lock_5(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 5);

	return pthread_mutex_timedlock(m, &at);
}

static int timed_lock_past(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, -1000);

	return pthread_mutex_timedlock(m, &at);
}

static int timed_lock_long(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_mutex_timedlock(m, &at);
}

static int timed_lock_bad(void *m)
{
	struct timespec at = bad_time();

	return pthread_mutex_timedlock(m, &at);
}

static int timed_lock_negative(void *m)
{
	struct timespec at = {-1, 0};

	return pthread_mutex_timedlock(m, &at);
}

#if __GLIBC_PREREQ(2, 30)
static int clock_lock_5(void *m)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 5);

	return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &at);
}

static int clock_lock_long(void *m)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 60000);

	return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &at);
}

static int clock_lock_realtime(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_mutex_clocklock(m, CLOCK_REALTIME, &at);
}

static int clock_lock_bad_clock(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 5);

	return pthread_mutex_clocklock(m, CLOCK_PROCESS_CPUTIME_ID, &at);
}

static int clock_lock_no_clock(void *m)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 5);

	return pthread_mutex_clocklock(m, 4711, &at);
}

static int clock_lock_bad(void *m)
{
	struct timespec at = bad_time();

	return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &at);
}
#endif

/* Each way to take a lock, and whether it can be waited in. */
static const struct way {
	const char *name;
	int (*take)(void *);
	int waits, comes_back;
} ways[] = {
	{"lock", lock, 1, 0},
	{"trylock", try_lock, 0, 1},
	{"timedlock, 5 ms", timed_lock_5, 0, 1},
	{"timedlock, past", timed_lock_past, 0, 1},
	{"timedlock, negative", timed_lock_negative, 0, 1},
	{"timedlock, 60 s", timed_lock_long, 1, 0},
	{"timedlock, bad time", timed_lock_bad, 0, 1},
#if __GLIBC_PREREQ(2, 30)
	{"clocklock, 5 ms", clock_lock_5, 0, 1},
	{"clocklock, 60 s", clock_lock_long, 1, 0},
	{"clocklock, realtime", clock_lock_realtime, 1, 0},
	{"clocklock, bad clock", clock_lock_bad_clock, 0, 1},
	{"clocklock, no clock", clock_lock_no_clock, 0, 1},
	{"clocklock, bad time", clock_lock_bad, 0, 1},
#endif
};

static const char *named(const char *way, const char *what)
{
	static char text[120];

	snprintf(text, sizeof(text), "%s, %s", way, what);
	return text;
}

struct kind {
	int type, protocol, robust, shared;
};

static int make_mutex(pthread_mutex_t *m, const struct kind *k)
{
	pthread_mutexattr_t a;
	int r;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, k->type);
	pthread_mutexattr_setprotocol(&a, k->protocol);
	pthread_mutexattr_setrobust(&a, k->robust);
	pthread_mutexattr_setpshared(&a, k->shared);
	r = pthread_mutex_init(m, &a);
	pthread_mutexattr_destroy(&a);
	return r;
}

/* What glibc keeps of who has it, where somebody else may have written it down. */
static void say_words(const char *before, const pthread_mutex_t *m)
{
#ifdef __GLIBC__
	/* where this is the word itself there are bits above */
	long word = m->__data.__lock, tid = syscall(SYS_gettid);

	say_number(named(before, "its word"), word == tid ? -1 : word);
	say_number(named(before, "its owner"), m->__data.__owner == tid ? -1 : m->__data.__owner);
	say_number(named(before, "its users"), (long)m->__data.__nusers);
	say_number(named(before, "its count"), (long)m->__data.__count);
#endif
}

/* A program of one thread, where glibc leaves out what is for several. */
static void rules_of_one_thread(void)
{
	static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
	static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

	for (int i = 0; i < 2; i++) {
		SAY("plain, lock", pthread_mutex_lock(&plain));
		say_words("plain, taken", &plain);
		SAY("plain, trylock", pthread_mutex_trylock(&plain));
		SAY("plain, unlock", pthread_mutex_unlock(&plain));
		say_words("plain, given back", &plain);
		SAY("recursive, lock", pthread_mutex_lock(&recursive));
		SAY("recursive, lock again", pthread_mutex_lock(&recursive));
		say_words("recursive, taken", &recursive);
		SAY("recursive, unlock", pthread_mutex_unlock(&recursive));
		SAY("recursive, unlock again", pthread_mutex_unlock(&recursive));
		say_words("recursive, given back", &recursive);
	}
}

/* By one way on a free lock, by every way on one that somebody else or oneself has. */
static void take_it(pthread_mutex_t *m, const struct kind *k, const struct way *way,
		    struct other *o)
{
	int is_checked = k->type == PTHREAD_MUTEX_ERRORCHECK || k->type == PTHREAD_MUTEX_RECURSIVE;
	int r;

	errno = KEPT;
	r = way->take(m);
	say(named(way->name, "free"), r, errno);
	if (r == 0) {
		say_words(way->name, m);
		other_do(o, named(way->name, "trylock by another after"), try_lock, m);
		/* once more by its owner: where that ends */
		if (is_checked || way->comes_back) {
			errno = KEPT;
			r = way->take(m);
			say(named(way->name, "mine"), r, errno);
			if (r == 0)
				SAY(named(way->name, "unlock, second"), pthread_mutex_unlock(m));
		}
		SAY(named(way->name, "unlock"), pthread_mutex_unlock(m));
	}
	pthread_mutex_lock(m);
	if (way->comes_back) {
		other_do(o, named(way->name, "held by another"), way->take, m);
		if (o->result == 0)
			other_do(o, named(way->name, "unlock"), unlock, m);
	}
	if (way->waits) {
		other_begin(o, way->take, m);
		OTHER_ASLEEP(named(way->name, "held by another"), o, m);
	}
	pthread_mutex_unlock(m);
	if (way->waits) {
		other_end(o, named(way->name, "after a wait"));
		if (o->result == 0)
			other_do(o, named(way->name, "unlock after a wait"), unlock, m);
	}
	SAY(named(way->name, "free again"), pthread_mutex_trylock(m));
	pthread_mutex_unlock(m);
}

/* Whoever is not its owner. */
static void not_mine(pthread_mutex_t *m, const struct kind *k, struct other *o)
{
	int is_checked = k->type == PTHREAD_MUTEX_ERRORCHECK || k->type == PTHREAD_MUTEX_RECURSIVE;

	if (is_checked || k->robust) {
		SAY("unlock, free", pthread_mutex_unlock(m));
		pthread_mutex_lock(m);
		other_do(o, "unlock by another", unlock, m);
		SAY("unlock by its owner", pthread_mutex_unlock(m));
	}
	SAY("consistent, nothing wrong", pthread_mutex_consistent(m));
}

static void counts(pthread_mutex_t *m, struct other *o)
{
	for (int i = 0; i < 3; i++)
		SAY("again and again", pthread_mutex_lock(m));
	for (int i = 0; i < 3; i++) {
		other_do(o, "trylock by another", try_lock, m);
		SAY("unlock", pthread_mutex_unlock(m));
	}
	SAY("trylock", pthread_mutex_trylock(m));
#ifdef __GLIBC__
	/* the most it can count to */
	m->__data.__count = UINT_MAX;
	SAY("lock, too often", pthread_mutex_lock(m));
	SAY("trylock, too often", pthread_mutex_trylock(m));
	m->__data.__count = 1;
#endif
	SAY("unlock", pthread_mutex_unlock(m));
}

static void *locks_and_ends(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}

static void owner_dies(pthread_mutex_t *m)
{
	pthread_t id;

	if (pthread_create(&id, NULL, locks_and_ends, m) != 0)
		abort();
	pthread_join(id, NULL);
}

struct dying {
	pthread_mutex_t *m;
	int locked[2], go[2];
};

static void *locks_and_ends_when_told(void *arg)
{
	struct dying *d = arg;
	char c;

	pthread_mutex_lock(d->m);
	if (write(d->locked[1], "", 1) != 1 || read(d->go[0], &c, 1) != 1)
		abort();
	return NULL;
}

static void robustness(pthread_mutex_t *m, const struct kind *k, struct other *o)
{
	int is_checked = k->type == PTHREAD_MUTEX_ERRORCHECK || k->type == PTHREAD_MUTEX_RECURSIVE;

	for (size_t i = 0; i < LENGTH(ways); i++) {
		int r;

		owner_dies(m);
		errno = KEPT;
		r = ways[i].take(m);
		say(named(ways[i].name, "its owner is dead"), r, errno);
		if (r != EOWNERDEAD) {
			r = pthread_mutex_lock(m);
			say("then lock", r, KEPT);
		}
		if (is_checked) {
			errno = KEPT;
			r = ways[i].take(m);
			say(named(ways[i].name, "mine and not consistent"), r, errno);
			if (r == 0)
				pthread_mutex_unlock(m);
		}
		SAY("consistent", pthread_mutex_consistent(m));
		SAY("consistent, again", pthread_mutex_consistent(m));
		other_do(o, "trylock by another", try_lock, m);
		SAY("unlock", pthread_mutex_unlock(m));
		SAY("lock, repaired", pthread_mutex_lock(m));
		SAY("unlock, repaired", pthread_mutex_unlock(m));
	}
	/* it dies while one waits */
	for (size_t i = 0; i < LENGTH(ways); i++) {
		struct dying d = {.m = m};
		pthread_t id;
		char c;

		if (!ways[i].waits || k->protocol == PTHREAD_PRIO_INHERIT)
			continue;
		if (pipe(d.locked) != 0 || pipe(d.go) != 0 ||
		    pthread_create(&id, NULL, locks_and_ends_when_told, &d) != 0)
			abort();
		if (read(d.locked[0], &c, 1) != 1)
			abort();
		other_begin(o, ways[i].take, m);
		OTHER_ASLEEP(ways[i].name, o, m);
		if (write(d.go[1], "", 1) != 1)
			abort();
		pthread_join(id, NULL);
		other_end(o, named(ways[i].name, "its owner dies meanwhile"));
		other_do(o, "consistent by another", (int (*)(void *))pthread_mutex_consistent, m);
		other_do(o, "unlock by another", unlock, m);
		for (int j = 0; j < 2; j++) {
			close(d.locked[j]);
			close(d.go[j]);
		}
	}
}

/* Given up, with one that waits and without. */
static void give_up(pthread_mutex_t *m, struct other *o)
{
	owner_dies(m);
	SAY("lock, its owner is dead", pthread_mutex_lock(m));
	other_begin(o, lock, m);
	OTHER_ASLEEP("lock, not consistent", o, m);
	SAY("unlock, not consistent", pthread_mutex_unlock(m));
	other_end(o, "lock, given up meanwhile");
	/* glibc lets timedlock wait for one that trylock found given up: not for a minute */
	for (size_t i = 0; i < LENGTH(ways); i++)
		if (ways[i].take == lock || ways[i].comes_back)
			SAY(named(ways[i].name, "given up"), ways[i].take(m));
	SAY("consistent, given up", pthread_mutex_consistent(m));
}

static void rules_of_kind(const struct kind *k, struct other *o)
{
	pthread_mutex_t m;

	if (make_mutex(&m, k) != 0) {
		say_text("init", "not here");
		return;
	}
	for (size_t i = 0; i < LENGTH(ways); i++)
		take_it(&m, k, &ways[i], o);
	not_mine(&m, k, o);
	if (k->type == PTHREAD_MUTEX_RECURSIVE)
		counts(&m, o);
	pthread_mutex_lock(&m);
	SAY("destroy, held", pthread_mutex_destroy(&m));
	pthread_mutex_unlock(&m);
	/* a robust one is destroyed all the same */
	make_mutex(&m, k);
	if (k->robust)
		robustness(&m, k, o);
	SAY("destroy", pthread_mutex_destroy(&m));
	/* a lock of glibc knows that it is none any more */
	for (size_t i = 0; i < LENGTH(ways); i++)
		SAY(named(ways[i].name, "destroyed"), ways[i].take(&m));
	SAY("unlock, destroyed", pthread_mutex_unlock(&m));
}

static void rules_of_ceilings(void)
{
	pthread_mutex_t m;
	pthread_mutexattr_t a;
	int before = -1;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_PROTECT);
	SAY("setprioceiling, 1000", pthread_mutexattr_setprioceiling(&a, 1000));
	SAY("setprioceiling, 10", pthread_mutexattr_setprioceiling(&a, 10));
	SAY("init", pthread_mutex_init(&m, &a));
	SAY("getprioceiling", pthread_mutex_getprioceiling(&m, &before));
	say_number("the ceiling", before);
	SAY("setprioceiling, free", pthread_mutex_setprioceiling(&m, 12, &before));
	SAY("trylock", pthread_mutex_trylock(&m));
	SAY("setprioceiling, mine", pthread_mutex_setprioceiling(&m, 14, &before));
	SAY("unlock", pthread_mutex_unlock(&m));
	SAY("setprioceiling, bad", pthread_mutex_setprioceiling(&m, -4, &before));
	SAY("destroy", pthread_mutex_destroy(&m));
	pthread_mutexattr_destroy(&a);
}

static const int type_of[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
			      PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
static pthread_mutex_t static_mutexes[] = {
	PTHREAD_MUTEX_INITIALIZER,
	PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
	PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
	PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
};

static void each_kind(int are_given_up)
{
	static const char *const types[] = {"normal", "recursive", "errorcheck", "adaptive"};
	static const char *const protocols[] = {"", ", inherit", ", protect"};
	static const int protocol_of[] = {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT,
					  PTHREAD_PRIO_PROTECT};
	struct other o = {0};
	char name[100];

	other_start(&o);
	for (int i = 0; i < 4 * 3 * 2 * 2; i++) {
		struct kind k = {type_of[i % 4], protocol_of[i / 4 % 3],
				 i / 12 % 2 ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED,
				 i / 24 ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE};
		pthread_mutex_t m;

		snprintf(name, sizeof(name), "mutex %s%s%s%s", types[i % 4], protocols[i / 4 % 3],
			 k.robust ? ", robust" : "", k.shared ? ", shared" : "");
		say_before = name;
		if (!are_given_up)
			rules_of_kind(&k, &o);
		else if (k.robust && make_mutex(&m, &k) == 0)
			give_up(&m, &o);
	}
	for (size_t i = 0; i < LENGTH(static_mutexes) && !are_given_up; i++) {
		struct kind k = {type_of[i], PTHREAD_PRIO_NONE, 0, 0};

		snprintf(name, sizeof(name), "mutex %s, static", types[i]);
		say_before = name;
		for (size_t j = 0; j < LENGTH(ways); j++)
			take_it(&static_mutexes[i], &k, &ways[j], &o);
	}
	say_before = "";
	other_leave(&o);
}

static void rules_of_mutexes(void)
{
	each_kind(0);
	say_before = "mutex ceiling";
	rules_of_ceilings();
	say_before = "";
}

static void rules_of_giving_up(void)
{
	each_kind(1);
}

/* Read-write locks */

static int read_lock(void *l)
{
	return pthread_rwlock_rdlock(l);
}

static int write_lock(void *l)
{
	return pthread_rwlock_wrlock(l);
}

static int try_read(void *l)
{
	return pthread_rwlock_tryrdlock(l);
}

static int try_write(void *l)
{
	return pthread_rwlock_trywrlock(l);
}

static int release(void *l)
{
	return pthread_rwlock_unlock(l);
}

#define TIMED_RW(name, call, clock, ms)                  \
	static int name(void *l)                         \
	{                                                \
		struct timespec at = in_ms((clock), ms); \
                                                         \
		return call;                             \
	}
#define BAD_RW(name, call)                       \
	static int name(void *l)                 \
	{                                        \
		struct timespec at = bad_time(); \
                                                 \
		return call;                     \
	}

TIMED_RW(timed_read_5, pthread_rwlock_timedrdlock(l, &at), CLOCK_REALTIME, 5)
TIMED_RW(timed_read_past, pthread_rwlock_timedrdlock(l, &at), CLOCK_REALTIME, -1000)
TIMED_RW(timed_read_long, pthread_rwlock_timedrdlock(l, &at), CLOCK_REALTIME, 60000)
BAD_RW(timed_read_bad, pthread_rwlock_timedrdlock(l, &at))
TIMED_RW(timed_write_5, pthread_rwlock_timedwrlock(l, &at), CLOCK_REALTIME, 5)
TIMED_RW(timed_write_past, pthread_rwlock_timedwrlock(l, &at), CLOCK_REALTIME, -1000)
TIMED_RW(timed_write_long, pthread_rwlock_timedwrlock(l, &at), CLOCK_REALTIME, 60000)
BAD_RW(timed_write_bad, pthread_rwlock_timedwrlock(l, &at))
#if __GLIBC_PREREQ(2, 30)
TIMED_RW(clock_read_5, pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC, 5)
TIMED_RW(clock_read_long, pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC,
	 60000)
TIMED_RW(clock_read_clock, pthread_rwlock_clockrdlock(l, CLOCK_THREAD_CPUTIME_ID, &at),
	 CLOCK_REALTIME, 5)
BAD_RW(clock_read_bad, pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &at))
TIMED_RW(clock_write_5, pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC, 5)
TIMED_RW(clock_write_long, pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC,
	 60000)
TIMED_RW(clock_write_clock, pthread_rwlock_clockwrlock(l, CLOCK_THREAD_CPUTIME_ID, &at),
	 CLOCK_REALTIME, 5)
BAD_RW(clock_write_bad, pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &at))
#endif

static const struct rw_way {
	const char *name;
	int (*take)(void *);
	int waits, writes;
} rw_ways[] = {
	{"rdlock", read_lock, 1, 0},
	{"tryrdlock", try_read, 0, 0},
	{"timedrdlock, 5 ms", timed_read_5, 0, 0},
	{"timedrdlock, past", timed_read_past, 0, 0},
	{"timedrdlock, 60 s", timed_read_long, 1, 0},
	{"timedrdlock, bad time", timed_read_bad, 0, 0},
	{"wrlock", write_lock, 1, 1},
	{"trywrlock", try_write, 0, 1},
	{"timedwrlock, 5 ms", timed_write_5, 0, 1},
	{"timedwrlock, past", timed_write_past, 0, 1},
	{"timedwrlock, 60 s", timed_write_long, 1, 1},
	{"timedwrlock, bad time", timed_write_bad, 0, 1},
#if __GLIBC_PREREQ(2, 30)
	{"clockrdlock, 5 ms", clock_read_5, 0, 0},
	{"clockrdlock, 60 s", clock_read_long, 1, 0},
	{"clockrdlock, bad clock", clock_read_clock, 0, 0},
	{"clockrdlock, bad time", clock_read_bad, 0, 0},
	{"clockwrlock, 5 ms", clock_write_5, 0, 1},
	{"clockwrlock, 60 s", clock_write_long, 1, 1},
	{"clockwrlock, bad clock", clock_write_clock, 0, 1},
	{"clockwrlock, bad time", clock_write_bad, 0, 1},
#endif
};

static void read_or_write(pthread_rwlock_t *l, const struct rw_way *way, struct other *o)
{
	int r;

	errno = KEPT;
	r = way->take(l);
	say(named(way->name, "free"), r, errno);
	if (r == 0) {
		other_do(o, named(way->name, "tryrdlock by another after"), try_read, l);
		if (o->result == 0)
			other_do(o, NULL, release, l);
		other_do(o, named(way->name, "trywrlock by another after"), try_write, l);
		SAY(named(way->name, "unlock"), pthread_rwlock_unlock(l));
	}
	/* by whoever writes already; a reader that wants to write would wait for ever where it may */
	pthread_rwlock_wrlock(l);
	SAY(named(way->name, "I write"), way->take(l));
	if (way->waits) {
		other_begin(o, way->take, l);
		OTHER_ASLEEP(named(way->name, "another writes"), o, l);
	} else {
		other_do(o, named(way->name, "another writes"), way->take, l);
	}
	SAY("unlock, writer", pthread_rwlock_unlock(l));
	if (way->waits) {
		other_end(o, named(way->name, "after a wait for a writer"));
		other_do(o, "unlock after a wait", release, l);
	}
	pthread_rwlock_rdlock(l);
	if (!way->writes || !way->waits) {
		errno = KEPT;
		r = way->take(l);
		say(named(way->name, "I read"), r, errno);
		if (r == 0)
			pthread_rwlock_unlock(l);
		other_do(o, named(way->name, "another reads"), way->take, l);
		if (o->result == 0)
			other_do(o, NULL, release, l);
	} else {
		other_begin(o, way->take, l);
		OTHER_ASLEEP(named(way->name, "another reads"), o, l);
	}
	SAY("unlock, reader", pthread_rwlock_unlock(l));
	if (way->writes && way->waits) {
		other_end(o, named(way->name, "after a wait for a reader"));
		other_do(o, "unlock after a wait", release, l);
	}
}

/* One reads, one waits to write: may a third read, and the first once more? */
static void who_is_preferred(pthread_rwlock_t *l, struct other *o, struct other *third)
{
	pthread_rwlock_rdlock(l);
	other_begin(o, write_lock, l);
	OTHER_ASLEEP("a writer waits", o, l);
	for (size_t i = 0; i < LENGTH(rw_ways); i++) {
		const struct rw_way *way = &rw_ways[i];
		int r;

		if (way->waits)
			continue;
		other_do(third, named(way->name, "a writer waits"), way->take, l);
		if (third->result == 0)
			other_do(third, NULL, release, l);
		errno = KEPT;
		r = way->take(l);
		say(named(way->name, "I read, a writer waits"), r, errno);
		if (r == 0)
			pthread_rwlock_unlock(l);
	}
	SAY("unlock", pthread_rwlock_unlock(l));
	other_end(o, "the writer");
	/* several readers come in when it leaves */
	other_begin(third, read_lock, l);
	OTHER_ASLEEP("a reader waits", third, l);
	other_do(o, "the writer's unlock", release, l);
	other_end(third, "the reader");
	SAY("rdlock beside it", pthread_rwlock_rdlock(l));
	other_do(third, "the reader's unlock", release, l);
	SAY("unlock", pthread_rwlock_unlock(l));
}

static void rules_of_rwlocks(void)
{
	static const char *const kinds[] = {"readers first", "writers first",
					    "writers first, no recursion"};
	static const int kind_of[] = {PTHREAD_RWLOCK_PREFER_READER_NP,
				      PTHREAD_RWLOCK_PREFER_WRITER_NP,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP};
	struct other o = {0}, third = {0};
	char name[100];

	other_start(&o);
	other_start(&third);
	say_before = name;
	for (int i = 0; i < 3 * 2; i++) {
		pthread_rwlock_t l;
		pthread_rwlockattr_t a;

		snprintf(name, sizeof(name), "rwlock, %s%s", kinds[i % 3], i / 3 ? ", shared" : "");
		pthread_rwlockattr_init(&a);
		SAY("setkind", pthread_rwlockattr_setkind_np(&a, kind_of[i % 3]));
		pthread_rwlockattr_setpshared(&a, i / 3 ? PTHREAD_PROCESS_SHARED
							: PTHREAD_PROCESS_PRIVATE);
		SAY("init", pthread_rwlock_init(&l, &a));
		for (size_t j = 0; j < LENGTH(rw_ways); j++)
			read_or_write(&l, &rw_ways[j], &o);
		who_is_preferred(&l, &o, &third);
#ifdef __GLIBC__
		/* as many readers as can be */
		l.__data.__readers = 0x7ffffff8;
		SAY("rdlock, too many", pthread_rwlock_rdlock(&l));
		SAY("tryrdlock, too many", pthread_rwlock_tryrdlock(&l));
		l.__data.__readers = 0;
#endif
		SAY("destroy", pthread_rwlock_destroy(&l));
		pthread_rwlockattr_destroy(&a);
	}
	say_before = "";
	other_leave(&third);
	other_leave(&o);
}

/* Spin locks */

static pthread_spinlock_t spin;

static int spin_lock(void *is_trying)
{
	__atomic_store_n((int *)is_trying, 1, __ATOMIC_RELEASE);
	return pthread_spin_lock(&spin);
}

static int spin_try(void *none)
{
	(void)none;
	return pthread_spin_trylock(&spin);
}

static int spin_unlock(void *none)
{
	(void)none;
	return pthread_spin_unlock(&spin);
}

static void rules_of_spinning(void)
{
	struct other o = {0};
	int is_trying;

	other_start(&o);
	for (int shared = 0; shared < 2; shared++) {
		is_trying = 0;
		SAY("spin_init", pthread_spin_init(&spin, shared));
		SAY("spin_lock, free", pthread_spin_lock(&spin));
		SAY("spin_trylock, mine", pthread_spin_trylock(&spin));
		other_do(&o, "spin_trylock, held by another", spin_try, NULL);
		other_begin(&o, spin_lock, &is_trying);
		while (!__atomic_load_n(&is_trying, __ATOMIC_ACQUIRE))
			sched_yield();
		host_spin();
		SAY("spin_unlock", pthread_spin_unlock(&spin));
		other_end(&o, "spin_lock, held by another");
		SAY("spin_trylock, held by another", pthread_spin_trylock(&spin));
		other_do(&o, "spin_unlock by another", spin_unlock, NULL);
		SAY("spin_trylock, free", pthread_spin_trylock(&spin));
		SAY("spin_unlock", pthread_spin_unlock(&spin));
		SAY("spin_destroy", pthread_spin_destroy(&spin));
	}
	other_leave(&o);
}

static const struct group {
	const char *name;
	void (*rules)(void);
} groups[] = {
	{"alone", rules_of_one_thread},
	{"mutex", rules_of_mutexes},
	{"givenup", rules_of_giving_up},
	{"rwlock", rules_of_rwlocks},
	{"spin", rules_of_spinning},
	{"cond", rules_of_conditions},
	{"oldcond", rules_of_old_conditions},
	{"sem", rules_of_semaphores},
	{"barrier", rules_of_barriers},
	{"join", rules_of_joining},
	{"once", rules_of_once},
	{"c11", rules_of_c11},
	{"futex", rules_of_futexes},
	{"cancel", rules_of_cancelling},
	{"jump", rules_of_jumping},
	{"fork", rules_of_forking},
};

int main(int argc, char **argv)
{
	int found = 0;

	/* one that hangs is one that fails */
	alarm(25);
	for (size_t i = 0; i < LENGTH(groups); i++) {
		if (argc > 1 && strcmp(argv[1], groups[i].name) != 0)
			continue;
		groups[i].rules();
		found++;
	}
	return found > 0 ? 0 : 2;
}
