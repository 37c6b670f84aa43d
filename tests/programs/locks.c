/*
 * locks: waits for locks at known places, and how long each of them really was.
 *
 *     locks timetable [ROUNDS]    every way to wait, ROUNDS times each (5)
 *     locks short COUNT SEED      COUNT waits of random length at a dozen places, from 20 us to 5 ms
 *     locks pool                  8 threads parked on a queue, and 2 that contend
 *     locks uncontended COUNT     every way to lock, COUNT times, and nobody else there
 *
 * A site is a function w_NAME that waits, and h_NAME that lets it. Nobody lets go before the other is known to be asleep, and
 * some milliseconds more. The truth is what the waiter's own clock says before and after the call, not what was planned:
 *
 *     {"sites": {"w_normal": {"kind": "mutex", "lock": "g_normal", "holder": "h_normal", "count": 5, "ns": …, "held_ns": …}}}
 *
 * held_ns: of ns, what went by until the holder let go. The rest is the way back to a processor.
 */
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define NO_TAIL_CALL  __asm__ volatile("" ::: "memory")

static struct timespec in_a_minute(clockid_t clock)
{
	return in_ms(clock, 60000);
}

/* A function that does one thing, so that it is known by its name on a stack. */
#define ONE(name, call)                           \
	KEEP static int name(void)                \
	{                                         \
		struct timespec at;               \
		int r;                            \
                                                  \
		at = in_a_minute(CLOCK_REALTIME); \
		(void)at;                         \
		r = (call);                       \
		NO_TAIL_CALL;                     \
		return r;                         \
	}
#define ONE_MONOTONIC(name, call)                  \
	KEEP static int name(void)                 \
	{                                          \
		struct timespec at;                \
		int r;                             \
                                                   \
		at = in_a_minute(CLOCK_MONOTONIC); \
		r = (call);                        \
		NO_TAIL_CALL;                      \
		return r;                          \
	}
/* Nobody comes: it ends when its time is up. */
#define ONE_IN_VAIN(name, clock, call)   \
	KEEP static int name(void)       \
	{                                \
		struct timespec at;      \
		int r;                   \
                                         \
		at = in_ms((clock), 15); \
		r = (call);              \
		NO_TAIL_CALL;            \
		return r;                \
	}

/* ---- the locks ---- */

pthread_mutex_t g_normal = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t g_recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
pthread_mutex_t g_errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
pthread_mutex_t g_adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
pthread_mutex_t g_robust, g_inherit, g_shared, g_alias = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t g_timed = PTHREAD_MUTEX_INITIALIZER, g_clock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t g_in_vain = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t g_static = PTHREAD_MUTEX_INITIALIZER;
struct {
	char other[0x28];
	pthread_mutex_t lock;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t *heap_mutex;
pthread_mutex_t g_three = PTHREAD_MUTEX_INITIALIZER;
mtx_t g_mtx, g_mtx_timed;
pthread_rwlock_t g_read = PTHREAD_RWLOCK_INITIALIZER, g_write = PTHREAD_RWLOCK_INITIALIZER;
pthread_rwlock_t g_write_write = PTHREAD_RWLOCK_INITIALIZER,
		 g_rw_timed = PTHREAD_RWLOCK_INITIALIZER;
pthread_rwlock_t g_rw_clock = PTHREAD_RWLOCK_INITIALIZER, g_rw_alias = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t *heap_rwlock;
pthread_spinlock_t g_spin;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER, g_cond_timed = PTHREAD_COND_INITIALIZER;
pthread_cond_t g_cond_clock = PTHREAD_COND_INITIALIZER, g_cond_in_vain = PTHREAD_COND_INITIALIZER;
cnd_t g_cnd;
sem_t g_sem;
static sem_t *heap_sem;
pthread_barrier_t g_barrier;
pthread_once_t g_once;
_Atomic uint32_t g_word;

KEEP static void make_heap_mutex(void)
{
	heap_mutex = malloc(sizeof(*heap_mutex));
	pthread_mutex_init(heap_mutex, NULL); /* made here */
}

KEEP static void make_heap_rwlock(void)
{
	heap_rwlock = malloc(sizeof(*heap_rwlock));
	pthread_rwlock_init(heap_rwlock, NULL); /* made here */
}

KEEP static void make_heap_sem(void)
{
	heap_sem = malloc(sizeof(*heap_sem));
	sem_init(heap_sem, 0, 0); /* made here */
}

/* The names by which libraries call them that were linked to an older C library. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define HAS_OLD_NAMES
#define OLD_NAME(name, of) __asm__(".symver " #name ", " of "@GLIBC_2.2.5")
int alias_lock(pthread_mutex_t *m);
int alias_unlock(pthread_mutex_t *m);
int alias_write(pthread_rwlock_t *l);
int alias_rw_unlock(pthread_rwlock_t *l);
OLD_NAME(alias_lock, "__pthread_mutex_lock");
OLD_NAME(alias_unlock, "__pthread_mutex_unlock");
OLD_NAME(alias_write, "__pthread_rwlock_wrlock");
OLD_NAME(alias_rw_unlock, "__pthread_rwlock_unlock");
#endif

/* ---- waiting for them, and letting go ---- */

ONE(w_normal, pthread_mutex_lock(&g_normal))
ONE(h_normal, pthread_mutex_unlock(&g_normal))
ONE(a_normal, pthread_mutex_unlock(&g_normal))
ONE(w_recursive, pthread_mutex_lock(&g_recursive))
ONE(h_recursive, pthread_mutex_unlock(&g_recursive))
ONE(a_recursive, pthread_mutex_unlock(&g_recursive))
ONE(w_errorcheck, pthread_mutex_lock(&g_errorcheck))
ONE(h_errorcheck, pthread_mutex_unlock(&g_errorcheck))
ONE(a_errorcheck, pthread_mutex_unlock(&g_errorcheck))
ONE(w_adaptive, pthread_mutex_lock(&g_adaptive))
ONE(h_adaptive, pthread_mutex_unlock(&g_adaptive))
ONE(a_adaptive, pthread_mutex_unlock(&g_adaptive))
ONE(w_robust, pthread_mutex_lock(&g_robust))
ONE(h_robust, pthread_mutex_unlock(&g_robust))
ONE(a_robust, pthread_mutex_unlock(&g_robust))
ONE(w_inherit, pthread_mutex_lock(&g_inherit))
ONE(h_inherit, pthread_mutex_unlock(&g_inherit))
ONE(a_inherit, pthread_mutex_unlock(&g_inherit))
ONE(w_shared, pthread_mutex_lock(&g_shared))
ONE(h_shared, pthread_mutex_unlock(&g_shared))
ONE(a_shared, pthread_mutex_unlock(&g_shared))
#ifdef HAS_OLD_NAMES
ONE(w_alias, alias_lock(&g_alias))
ONE(h_alias, alias_unlock(&g_alias))
ONE(a_alias, alias_unlock(&g_alias))
#endif
ONE(w_static, pthread_mutex_lock(&g_static))
ONE(h_static, pthread_mutex_unlock(&g_static))
ONE(a_static, pthread_mutex_unlock(&g_static))
ONE(w_member, pthread_mutex_lock(&table.lock))
ONE(h_member, pthread_mutex_unlock(&table.lock))
ONE(a_member, pthread_mutex_unlock(&table.lock))
ONE(w_heap, pthread_mutex_lock(heap_mutex))
ONE(h_heap, pthread_mutex_unlock(heap_mutex))
ONE(a_heap, pthread_mutex_unlock(heap_mutex))
ONE(w_timed, pthread_mutex_timedlock(&g_timed, &at))
ONE(h_timed, pthread_mutex_unlock(&g_timed))
ONE(a_timed, pthread_mutex_unlock(&g_timed))
ONE_IN_VAIN(w_in_vain, CLOCK_REALTIME, pthread_mutex_timedlock(&g_in_vain, &at))
ONE(w_mtx, mtx_lock(&g_mtx))
ONE(h_mtx, mtx_unlock(&g_mtx))
ONE(a_mtx, mtx_unlock(&g_mtx))
ONE(w_mtx_timed, mtx_timedlock(&g_mtx_timed, &at))
ONE(h_mtx_timed, mtx_unlock(&g_mtx_timed))
ONE(a_mtx_timed, mtx_unlock(&g_mtx_timed))
ONE(w_read, pthread_rwlock_rdlock(&g_read))
ONE(h_read, pthread_rwlock_unlock(&g_read))
ONE(a_read, pthread_rwlock_unlock(&g_read))
ONE(w_write, pthread_rwlock_wrlock(&g_write))
ONE(h_write, pthread_rwlock_unlock(&g_write))
ONE(a_write, pthread_rwlock_unlock(&g_write))
ONE(w_write_write, pthread_rwlock_wrlock(&g_write_write))
ONE(h_write_write, pthread_rwlock_unlock(&g_write_write))
ONE(a_write_write, pthread_rwlock_unlock(&g_write_write))
ONE(w_read_timed, pthread_rwlock_timedrdlock(&g_rw_timed, &at))
ONE(h_read_timed, pthread_rwlock_unlock(&g_rw_timed))
ONE(a_read_timed, pthread_rwlock_unlock(&g_rw_timed))
ONE(w_write_timed, pthread_rwlock_timedwrlock(&g_rw_timed, &at))
ONE(h_write_timed, pthread_rwlock_unlock(&g_rw_timed))
ONE(a_write_timed, pthread_rwlock_unlock(&g_rw_timed))
#ifdef HAS_OLD_NAMES
ONE(w_rw_alias, alias_write(&g_rw_alias))
ONE(h_rw_alias, alias_rw_unlock(&g_rw_alias))
ONE(a_rw_alias, alias_rw_unlock(&g_rw_alias))
#endif
ONE(w_heap_rw, pthread_rwlock_wrlock(heap_rwlock))
ONE(h_heap_rw, pthread_rwlock_unlock(heap_rwlock))
ONE(a_heap_rw, pthread_rwlock_unlock(heap_rwlock))
ONE(w_spin, pthread_spin_lock(&g_spin))
ONE(h_spin, pthread_spin_unlock(&g_spin))
ONE(a_spin, pthread_spin_unlock(&g_spin))
ONE(w_sem, sem_wait(&g_sem))
ONE(h_sem, sem_post(&g_sem))
ONE(w_heap_sem, sem_wait(heap_sem))
ONE(h_heap_sem, sem_post(heap_sem))
ONE(w_sem_timed, sem_timedwait(&g_sem, &at))
ONE(h_sem_timed, sem_post(&g_sem))
ONE_IN_VAIN(w_sem_in_vain, CLOCK_REALTIME, sem_timedwait(&g_sem, &at))
ONE(w_barrier, pthread_barrier_wait(&g_barrier))
ONE(h_barrier, pthread_barrier_wait(&g_barrier))
ONE(h_futex, (int)syscall(SYS_futex, &g_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0))
ONE(w_futex, (int)syscall(SYS_futex, &g_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
ONE_MONOTONIC(w_futex_bits, (int)syscall(SYS_futex, &g_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &at,
					 NULL, FUTEX_BITSET_MATCH_ANY))
ONE(h_futex_bits, (int)syscall(SYS_futex, &g_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0))
ONE_IN_VAIN(w_futex_in_vain, CLOCK_MONOTONIC,
	    (int)syscall(SYS_futex, &g_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL,
			 FUTEX_BITSET_MATCH_ANY))
#if __GLIBC_PREREQ(2, 30)
ONE_MONOTONIC(w_clock, pthread_mutex_clocklock(&g_clock, CLOCK_MONOTONIC, &at))
ONE(h_clock, pthread_mutex_unlock(&g_clock))
ONE(a_clock, pthread_mutex_unlock(&g_clock))
ONE_MONOTONIC(w_read_clock, pthread_rwlock_clockrdlock(&g_rw_clock, CLOCK_MONOTONIC, &at))
ONE(h_read_clock, pthread_rwlock_unlock(&g_rw_clock))
ONE(a_read_clock, pthread_rwlock_unlock(&g_rw_clock))
ONE_MONOTONIC(w_write_clock, pthread_rwlock_clockwrlock(&g_rw_clock, CLOCK_MONOTONIC, &at))
ONE(h_write_clock, pthread_rwlock_unlock(&g_rw_clock))
ONE(a_write_clock, pthread_rwlock_unlock(&g_rw_clock))
ONE_MONOTONIC(w_sem_clock, sem_clockwait(&g_sem, CLOCK_MONOTONIC, &at))
ONE(h_sem_clock, sem_post(&g_sem))
#endif

/* Conditions: their mutexes are free when they are woken. */
static pthread_mutex_t with_cond = PTHREAD_MUTEX_INITIALIZER;
static mtx_t with_cnd;

ONE(w_cond, pthread_cond_wait(&g_cond, &with_cond))
ONE(h_cond, pthread_cond_signal(&g_cond))
ONE(w_cond_timed, pthread_cond_timedwait(&g_cond_timed, &with_cond, &at))
ONE(h_cond_timed, pthread_cond_broadcast(&g_cond_timed))
ONE_IN_VAIN(w_cond_in_vain, CLOCK_REALTIME,
	    pthread_cond_timedwait(&g_cond_in_vain, &with_cond, &at))
ONE(w_cnd, cnd_wait(&g_cnd, &with_cnd))
ONE(h_cnd, cnd_signal(&g_cnd))
ONE(w_cnd_timed, cnd_timedwait(&g_cnd, &with_cnd, &at))
ONE(h_cnd_timed, cnd_signal(&g_cnd))
#if __GLIBC_PREREQ(2, 30)
ONE_MONOTONIC(w_cond_clock, pthread_cond_clockwait(&g_cond_clock, &with_cond, CLOCK_MONOTONIC, &at))
ONE(h_cond_clock, pthread_cond_signal(&g_cond_clock))
#endif
#ifdef HAS_OLD_NAMES
static struct {
	void *cond;
} g_old_cond;
int old_wait(void *c, pthread_mutex_t *m);
int old_signal(void *c);
OLD_NAME(old_wait, "pthread_cond_wait");
OLD_NAME(old_signal, "pthread_cond_signal");
ONE(w_old_cond, old_wait(&g_old_cond, &with_cond))
ONE(h_old_cond, old_signal(&g_old_cond))
#endif

/* Joins: the thread ends when it is told. */
static pthread_t to_join;
static int tell[2];

static void *ends_when_told(void *none)
{
	char c;

	(void)none;
	while (read(tell[0], &c, 1) != 1)
		;
	return NULL;
}

ONE(w_join, pthread_join(to_join, NULL))
ONE(w_join_timed, pthread_timedjoin_np(to_join, NULL, &at))
ONE(w_thrd_join, thrd_join(to_join, NULL))
#if __GLIBC_PREREQ(2, 31)
ONE_MONOTONIC(w_join_clock, pthread_clockjoin_np(to_join, NULL, CLOCK_MONOTONIC, &at))
#endif
ONE(h_join, (int)write(tell[1], "", 1) - 1)

/* Once: one is in the middle of it. */
static void slow_init(void)
{
	ends_when_told(NULL);
}

static void *does_once(void *none)
{
	pthread_once(&g_once, slow_init);
	return none;
}

ONE(w_once, pthread_once(&g_once, slow_init))

/* ---- the table ---- */

enum {
	IN_VAIN = 1, /* nobody lets it */
	MAKES_THREAD = 2,
	SPINS = 4,
	IN_ONCE = 8,
	ANY_RESULT = 4711,
};

struct site {
	const char *name, *kind, *lock, *holder;
	int (*wait)(void), (*let)(void);
	int (*before)(void); /* by the holder: takes it. With conditions nobody does. */
	int (*after)(void);  /* by the waiter: gives it back */
	int (*first)(void);  /* by the waiter, before the wait */
	void *object;
	size_t size;
	int flags;
	int result; /* of the wait */

	int count, wrong;
	int64_t ns, held_ns, begun;
};

ONE(take_normal, pthread_mutex_lock(&g_normal))
ONE(take_cond, pthread_mutex_lock(&with_cond))
ONE(give_cond, pthread_mutex_unlock(&with_cond))
ONE(take_cnd, mtx_lock(&with_cnd))
ONE(give_cnd, mtx_unlock(&with_cnd))
ONE(take_in_vain, pthread_mutex_lock(&g_in_vain))
ONE(give_in_vain, pthread_mutex_unlock(&g_in_vain))
ONE(read_write, pthread_rwlock_rdlock(&g_write))
ONE(write_read, pthread_rwlock_wrlock(&g_read))
ONE(read_timed, pthread_rwlock_wrlock(&g_rw_timed))
ONE(read_clock, pthread_rwlock_wrlock(&g_rw_clock))

/* A lock that its waiter takes, by the same function that its holder takes it by: that it does not wait then is part of it. */
#define AT(n, its_kind, its_lock, its_object)                                                      \
	.name = #n, .kind = (its_kind), .lock = (its_lock), .wait = w_##n, .object = (its_object), \
	.size = sizeof(*(its_object))
#define LOCK_BY(n, kind, lock, object, take)                                                  \
	{                                                                                     \
		AT(n, kind, lock, object), .holder = "h_" #n, .let = h_##n, .before = (take), \
					   .after = a_##n                                     \
	}
#define LOCK(n, kind, lock, object) LOCK_BY(n, kind, lock, object, w_##n)
#define EVENT(n, kind, lock, object)                    \
	{                                               \
		AT(n, kind, lock, object), .let = h_##n \
	}
#define IN_VAIN_AT(n, kind, lock, object, error)                               \
	{                                                                      \
		AT(n, kind, lock, object), .flags = IN_VAIN, .result = (error) \
	}
#define CONDITION(n, lock, object, take, give)                                              \
	{                                                                                   \
		AT(n, "cond", lock, object), .let = h_##n, .first = (take), .after = (give) \
	}
#define JOIN(n)                                                                                 \
	{                                                                                       \
		.name = #n, .kind = "join", .wait = w_##n, .let = h_join, .flags = MAKES_THREAD \
	}

static struct site sites[] = {
	LOCK(normal, "mutex", "g_normal", &g_normal),
	LOCK(recursive, "mutex", "g_recursive", &g_recursive),
	LOCK(errorcheck, "mutex", "g_errorcheck", &g_errorcheck),
	LOCK(adaptive, "mutex", "g_adaptive", &g_adaptive),
	LOCK(robust, "mutex", "g_robust", &g_robust),
	LOCK(inherit, "mutex", "g_inherit", &g_inherit),
	LOCK(shared, "mutex", "g_shared", &g_shared),
	LOCK(static, "mutex", "g_static", &g_static),
	LOCK(member, "mutex", "table+0x28", &table.lock),
	LOCK(heap, "mutex", "make_heap_mutex locks.c:", (pthread_mutex_t *)NULL),
	LOCK(timed, "mutex", "g_timed", &g_timed),
	{AT(in_vain, "mutex", "g_in_vain", &g_in_vain), .holder = "give_in_vain",
	 .let = give_in_vain, .before = take_in_vain, .flags = IN_VAIN, .result = ETIMEDOUT},
	LOCK(mtx, "mutex", "g_mtx", &g_mtx),
	LOCK(mtx_timed, "mutex", "g_mtx_timed", &g_mtx_timed),
	LOCK_BY(read, "rwlock", "g_read", &g_read, write_read),
	LOCK_BY(write, "rwlock", "g_write", &g_write, read_write),
	LOCK(write_write, "rwlock", "g_write_write", &g_write_write),
	LOCK_BY(read_timed, "rwlock", "g_rw_timed", &g_rw_timed, read_timed),
	LOCK_BY(write_timed, "rwlock", "g_rw_timed", &g_rw_timed, read_timed),
	LOCK(heap_rw, "rwlock", "make_heap_rwlock locks.c:", (pthread_rwlock_t *)NULL),
	{AT(spin, "mutex", "g_spin", (char *)(uintptr_t)&g_spin), .holder = "h_spin", .let = h_spin,
	 .before = w_spin, .after = a_spin, .flags = SPINS},
	EVENT(sem, "sem", "g_sem", &g_sem),
	EVENT(sem_timed, "sem", "g_sem", &g_sem),
	EVENT(heap_sem, "sem", "make_heap_sem locks.c:", (sem_t *)NULL),
	IN_VAIN_AT(sem_in_vain, "sem", "g_sem", &g_sem, -1),
	{AT(barrier, "barrier", "g_barrier", &g_barrier), .let = h_barrier, .result = ANY_RESULT},
	EVENT(futex, "futex", "g_word", &g_word),
	EVENT(futex_bits, "futex", "g_word", &g_word),
	IN_VAIN_AT(futex_in_vain, "futex", "g_word", &g_word, -1),
	CONDITION(cond, "g_cond", &g_cond, take_cond, give_cond),
	CONDITION(cond_timed, "g_cond_timed", &g_cond_timed, take_cond, give_cond),
	{AT(cond_in_vain, "cond", "g_cond_in_vain", &g_cond_in_vain), .first = take_cond,
	 .after = give_cond, .flags = IN_VAIN, .result = ETIMEDOUT},
	CONDITION(cnd, "g_cnd", &g_cnd, take_cnd, give_cnd),
	CONDITION(cnd_timed, "g_cnd", &g_cnd, take_cnd, give_cnd),
#ifdef HAS_OLD_NAMES
	LOCK(rw_alias, "rwlock", "g_rw_alias", &g_rw_alias),
	LOCK(alias, "mutex", "g_alias", &g_alias),
	{.name = "old_cond",
	 .kind = "cond",
	 .lock = "g_old_cond",
	 .wait = w_old_cond,
	 .let = h_old_cond,
	 .first = take_cond,
	 .after = give_cond},
#endif
	JOIN(join),
	JOIN(join_timed),
	JOIN(thrd_join),
	{AT(once, "once", "g_once", &g_once), .let = h_join, .flags = IN_ONCE},
#if __GLIBC_PREREQ(2, 31)
	LOCK(clock, "mutex", "g_clock", &g_clock),
	LOCK_BY(read_clock, "rwlock", "g_rw_clock", &g_rw_clock, read_clock),
	LOCK_BY(write_clock, "rwlock", "g_rw_clock", &g_rw_clock, read_clock),
	EVENT(sem_clock, "sem", "g_sem", &g_sem),
	CONDITION(cond_clock, "g_cond_clock", &g_cond_clock, take_cond, give_cond),
	JOIN(join_clock),
#endif
};

static void make_all(void)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&g_shared, &a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_PRIVATE);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&g_robust, &a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_STALLED);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&g_inherit, &a);
	pthread_mutexattr_destroy(&a);
	mtx_init(&g_mtx, mtx_plain);
	mtx_init(&g_mtx_timed, mtx_timed);
	mtx_init(&with_cnd, mtx_plain);
	cnd_init(&g_cnd);
	sem_init(&g_sem, 0, 0);
	pthread_spin_init(&g_spin, 0);
	pthread_barrier_init(&g_barrier, NULL, 2);
	make_heap_mutex();
	make_heap_rwlock();
	make_heap_sem();
	if (pipe(tell) != 0)
		abort();
	for (size_t i = 0; i < LENGTH(sites); i++) {
		if (sites[i].wait == w_heap)
			sites[i].object = heap_mutex;
		if (sites[i].wait == w_heap_rw)
			sites[i].object = heap_rwlock;
		if (sites[i].wait == w_heap_sem)
			sites[i].object = heap_sem;
	}
}

/* ---- the timetable ---- */

static void sleep_ns(int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};

	nanosleep(&t, NULL);
}

/* In the waiter's thread. */
static int wait_at(void *arg)
{
	struct site *s = arg;
	int64_t begun, ended;
	int r;

	if (s->first != NULL)
		s->first();
	begun = host_clock(CLOCK_MONOTONIC);
	__atomic_store_n(&s->begun, begun, __ATOMIC_RELEASE);
	r = s->wait();
	ended = host_clock(CLOCK_MONOTONIC);
	s->ns += ended - begun;
	s->count++;
	if (s->after != NULL)
		s->after();
	return r;
}

static void until_spinning(const struct other *o, const struct site *s)
{
	clockid_t clock;
	int64_t begun;

	while (__atomic_load_n(&s->begun, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	pthread_getcpuclockid(o->id, &clock);
	begun = host_clock(clock);
	while (host_clock(clock) < begun + MS)
		sleep_ns(MS);
}

static void one_wait(struct site *s, struct other *o, int64_t ns)
{
	pthread_t in_once;

	s->begun = 0;
	if (s->before != NULL)
		s->before();
	if (s->flags & MAKES_THREAD)
		pthread_create(&to_join, NULL, ends_when_told, NULL);
	if (s->flags & IN_ONCE) {
		g_once = PTHREAD_ONCE_INIT;
		pthread_create(&in_once, NULL, does_once, NULL);
		/* glibc: 1 while somebody is in it */
		while ((__atomic_load_n(&g_once, __ATOMIC_ACQUIRE) & 1) == 0)
			sched_yield();
	}
	other_begin(o, wait_at, s);
	if (!(s->flags & IN_VAIN)) {
		if (s->flags & SPINS)
			until_spinning(o, s);
		else
			until_asleep(s->name, getpid(), o->tid, s->object, s->size, o->from[0]);
		sleep_ns(ns);
		s->held_ns += host_clock(CLOCK_MONOTONIC) - s->begun;
		s->let();
	}
	other_end(o, NULL);
	if (s->flags & IN_VAIN && s->let != NULL)
		s->let();
	if (s->flags & IN_ONCE)
		pthread_join(in_once, NULL);
	s->wrong += s->result != ANY_RESULT && o->result != s->result;
}

/* Three wait for one mutex: whoever lets go owes all of them. */
static struct {
	struct site site[3];
} three;

ONE(w_three, pthread_mutex_lock(&g_three))
ONE(h_three, pthread_mutex_unlock(&g_three))
ONE(pass_on, pthread_mutex_unlock(&g_three))

static void three_at_once(int64_t ns)
{
	struct other o[3] = {{0}};

	pthread_mutex_lock(&g_three);
	for (int i = 0; i < 3; i++) {
		three.site[i].wait = w_three;
		three.site[i].after = pass_on;
		other_start(&o[i]);
		other_begin(&o[i], wait_at, &three.site[i]);
		OTHER_ASLEEP("three", &o[i], &g_three);
	}
	sleep_ns(ns);
	for (int i = 0; i < 3; i++)
		three.site[i].held_ns += host_clock(CLOCK_MONOTONIC) - three.site[i].begun;
	h_three();
	for (int i = 0; i < 3; i++) {
		other_end(&o[i], NULL);
		other_leave(&o[i]);
	}
}

static const char *comma = "";

static void print_site(const struct site *s, const char *name)
{
	printf("%s\"w_%s\": {\"kind\": \"%s\", \"lock\": \"%s\", \"holder\": \"%s\", \"count\": "
	       "%d, "
	       "\"ns\": %lld, \"held_ns\": %lld, \"wrong\": %d}",
	       comma, name, s->kind, s->lock != NULL ? s->lock : "",
	       s->holder != NULL ? s->holder : "", s->count, (long long)s->ns,
	       (long long)s->held_ns, s->wrong);
	comma = ", ";
}

static int timetable(int rounds)
{
	struct site together = {.kind = "mutex", .lock = "g_three", .holder = "h_three"};
	struct other o = {0};

	other_start(&o);
	for (int i = 0; i < rounds; i++) {
		for (size_t j = 0; j < LENGTH(sites); j++)
			one_wait(&sites[j], &o, (10 + (int64_t)(j * 7 + (size_t)i) % 11) * MS);
		three_at_once(15 * MS);
	}
	other_leave(&o);
	for (int i = 0; i < 3; i++) {
		together.count += three.site[i].count;
		together.ns += three.site[i].ns;
		together.held_ns += three.site[i].held_ns;
	}
	printf("{\"sites\": {");
	for (size_t j = 0; j < LENGTH(sites); j++)
		print_site(&sites[j], sites[j].name);
	print_site(&together, "three");
	printf("}}\n");
	return 0;
}

/* ---- short waits ---- */

#define PLACES 12
#define PLACE(n)                                                        \
	static pthread_mutex_t g_short_##n = PTHREAD_MUTEX_INITIALIZER; \
	ONE(w_short_##n, pthread_mutex_lock(&g_short_##n))              \
	ONE(h_short_##n, pthread_mutex_unlock(&g_short_##n))            \
	ONE(a_short_##n, pthread_mutex_unlock(&g_short_##n))
PLACE(0)
PLACE(1)
PLACE(2)
PLACE(3)
PLACE(4)
PLACE(5)
PLACE(6)
PLACE(7)
PLACE(8)
PLACE(9)
PLACE(10)
PLACE(11)
#define SHORT(n) LOCK(short_##n, "mutex", "g_short_" #n, &g_short_##n)

static struct site short_sites[PLACES] = {SHORT(0), SHORT(1), SHORT(2),  SHORT(3),
					  SHORT(4), SHORT(5), SHORT(6),  SHORT(7),
					  SHORT(8), SHORT(9), SHORT(10), SHORT(11)};

/* A waiter that says that it is about to wait, and a holder that lets go a random while after it is asleep. */
struct round {
	_Atomic int turn; /* even: the holder prepares; odd: the waiter may begin */
	int count, place;
	int64_t *waits, *held; /* until the other let go */
	int *places;
};

static struct round short_round;

static int wait_shortly(void *none)
{
	(void)none;
	for (int i = 0; i < short_round.count; i++) {
		struct site *s;
		int64_t before;

		while (atomic_load(&short_round.turn) != 2 * i + 1)
			sched_yield();
		s = &short_sites[short_round.place];
		before = s->ns;
		wait_at(s);
		short_round.waits[i] = s->ns - before;
		short_round.places[i] = short_round.place;
		atomic_store(&short_round.turn, 2 * i + 2);
	}
	return 0;
}

/*
 * Lengths from 20 us to 5 ms, evenly over their logarithm. That the waiter is in the kernel is seen by the word of the mutex,
 * which is 2 when somebody waits; from there the time is counted.
 */
static int shortly(int count, uint32_t seed)
{
	struct other o = {0};

	short_round.count = count;
	short_round.waits = calloc((size_t)count, sizeof(*short_round.waits));
	short_round.held = calloc((size_t)count, sizeof(*short_round.held));
	short_round.places = calloc((size_t)count, sizeof(*short_round.places));
	other_start(&o);
	other_begin(&o, wait_shortly, NULL);
	for (int i = 0; i < count; i++) {
		struct site *s;
		int64_t ns = 20000, at;

		while (atomic_load(&short_round.turn) != 2 * i)
			sched_yield();
		seed = seed * 1664525 + 1013904223;
		short_round.place = (int)((seed >> 8) % PLACES);
		s = &short_sites[short_round.place];
		for (uint32_t steps = (seed >> 16) % 80; steps > 0; steps--)
			ns += ns / 14;
		s->before();
		atomic_store(&short_round.turn, 2 * i + 1);
		while (__atomic_load_n((int *)s->object, __ATOMIC_ACQUIRE) != 2)
			sched_yield();
		at = host_clock(CLOCK_MONOTONIC) + ns;
		while (host_clock(CLOCK_MONOTONIC) < at)
			if (at - host_clock(CLOCK_MONOTONIC) > 200000)
				sleep_ns(50000);
		short_round.held[i] = host_clock(CLOCK_MONOTONIC) - s->begun;
		s->held_ns += short_round.held[i];
		s->let();
	}
	while (atomic_load(&short_round.turn) != 2 * count)
		sched_yield();
	other_end(&o, NULL);
	other_leave(&o);
	printf("{\"waits\": [");
	for (int i = 0; i < count; i++)
		printf("%s[%d, %lld, %lld]", i > 0 ? ", " : "", short_round.places[i],
		       (long long)short_round.waits[i], (long long)short_round.held[i]);
	printf("], \"sites\": {");
	for (int i = 0; i < PLACES; i++)
		print_site(&short_sites[i], short_sites[i].name);
	printf("}}\n");
	return 0;
}

/* ---- a pool, and two that contend ---- */

#define POOL 8
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_cond = PTHREAD_COND_INITIALIZER;
static int queue_length, is_over;
static int64_t parked_ns[POOL], contended_ns[2];
static int parked_count[POOL], contended_count[2], done[POOL];

KEEP static void pool_take(int number)
{
	pthread_mutex_lock(&queue_lock);
	while (queue_length == 0 && !is_over) {
		int64_t begun = host_clock(CLOCK_MONOTONIC);

		pthread_cond_wait(&queue_cond, &queue_lock);
		parked_ns[number] += host_clock(CLOCK_MONOTONIC) - begun;
		parked_count[number]++;
	}
	if (queue_length > 0) {
		queue_length--;
		done[number]++;
	}
	pthread_mutex_unlock(&queue_lock);
}

static void *pool_main(void *number)
{
	int n = (int)(intptr_t)number, over;

	do {
		pool_take(n);
		host_spin();
		pthread_mutex_lock(&queue_lock);
		over = is_over;
		pthread_mutex_unlock(&queue_lock);
	} while (!over);
	return NULL;
}

pthread_mutex_t g_cache = PTHREAD_MUTEX_INITIALIZER;

KEEP static void contender_lock(int number)
{
	int64_t begun = host_clock(CLOCK_MONOTONIC);

	pthread_mutex_lock(&g_cache);
	contended_ns[number] += host_clock(CLOCK_MONOTONIC) - begun;
	contended_count[number]++;
}

KEEP static void contender_unlock(void)
{
	pthread_mutex_unlock(&g_cache);
	NO_TAIL_CALL;
}

static void *contender_main(void *number)
{
	for (int i = 0; i < 100; i++) {
		contender_lock((int)(intptr_t)number);
		sleep_ns(5 * MS);
		contender_unlock();
		sleep_ns(MS);
	}
	return NULL;
}

static int pool(void)
{
	pthread_t ids[POOL], contenders[2];
	int64_t parked = 0, contended;
	int jobs = 0, all_done = 0;

	for (intptr_t i = 0; i < POOL; i++)
		pthread_create(&ids[i], NULL, pool_main, (void *)i);
	for (intptr_t i = 0; i < 2; i++)
		pthread_create(&contenders[i], NULL, contender_main, (void *)i);
	/* a job now and then, so that each of them has waits that ended with one */
	for (jobs = 0; jobs < 100; jobs++) {
		sleep_ns(9 * MS);
		pthread_mutex_lock(&queue_lock);
		queue_length++;
		pthread_mutex_unlock(&queue_lock);
		pthread_cond_signal(&queue_cond);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(contenders[i], NULL);
	pthread_mutex_lock(&queue_lock);
	is_over = 1;
	pthread_mutex_unlock(&queue_lock);
	pthread_cond_broadcast(&queue_cond);
	for (int i = 0; i < POOL; i++) {
		pthread_join(ids[i], NULL);
		parked += parked_ns[i];
		all_done += done[i];
	}
	contended = contended_ns[0] + contended_ns[1];
	printf("{\"parked_ns\": %lld, \"contended_ns\": %lld, \"done\": %d, \"jobs\": %d}\n",
	       (long long)parked, (long long)contended, all_done, jobs);
	return 0;
}

/* ---- nobody else there ---- */

KEEP static void alone(int count)
{
	for (int i = 0; i < count; i++) {
		struct timespec at = in_a_minute(CLOCK_REALTIME);

		for (size_t j = 0; j < LENGTH(sites); j++)
			if (strcmp(sites[j].kind, "mutex") == 0 && sites[j].after != NULL) {
				sites[j].wait();
				sites[j].after();
			}
		pthread_rwlock_rdlock(&g_read);
		pthread_rwlock_rdlock(&g_read);
		pthread_rwlock_unlock(&g_read);
		pthread_rwlock_unlock(&g_read);
		pthread_rwlock_wrlock(&g_write);
		pthread_rwlock_unlock(&g_write);
		sem_post(&g_sem);
		sem_wait(&g_sem);
		sem_post(&g_sem);
		sem_timedwait(&g_sem, &at);
		sem_trywait(&g_sem);
		pthread_mutex_lock(&g_normal);
		pthread_mutex_trylock(&g_normal);
		pthread_mutex_unlock(&g_normal);
		pthread_mutex_lock(&g_recursive);
		pthread_mutex_lock(&g_recursive);
		pthread_mutex_unlock(&g_recursive);
		pthread_mutex_unlock(&g_recursive);
		pthread_mutex_lock(&g_errorcheck);
		pthread_mutex_lock(&g_errorcheck);
		pthread_mutex_unlock(&g_errorcheck);
		pthread_cond_signal(&g_cond);
		pthread_cond_broadcast(&g_cond);
		pthread_once(&g_once, slow_init);
		syscall(SYS_futex, &g_word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
		syscall(SYS_futex, &g_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "timetable";
	int n = argc > 2 ? atoi(argv[2]) : 0;

	make_all();
	if (strcmp(what, "timetable") == 0)
		return timetable(n > 0 ? n : 5);
	if (strcmp(what, "short") == 0 && argc > 3)
		return shortly(n, (uint32_t)atol(argv[3]));
	if (strcmp(what, "pool") == 0)
		return pool();
	if (strcmp(what, "uncontended") == 0) {
		/* so that once is done */
		if (write(tell[1], "", 1) != 1)
			return 1;
		alone(n);
		printf("{\"rounds\": %d}\n", n);
		return 0;
	}
	return 2;
}
