/* lockrules: waits that are left before they end, by cancelling the thread or by a jump out of a signal handler. */
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* All that one can wait for here; none of it comes by itself. */
static pthread_mutex_t held = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t held_robust, held_inherit;
static pthread_mutex_t with_cond = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t held_rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t read_rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, clock_cond = PTHREAD_COND_INITIALIZER;
static mtx_t c11_mutex, c11_held;
static cnd_t c11_cond;
static sem_t sem, never;
static pthread_barrier_t barrier;
static pthread_t sleeper;
static _Atomic int word;
static int quiet_pipe[2];

static int wait_mutex(void)
{
	return pthread_mutex_lock(&held);
}

static int wait_robust(void)
{
	return pthread_mutex_lock(&held_robust);
}

static int wait_inherit(void)
{
	return pthread_mutex_lock(&held_inherit);
}

static int wait_mutex_timed(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_mutex_timedlock(&held, &at);
}

static int wait_mtx(void)
{
	return mtx_lock(&c11_held);
}

static int wait_read(void)
{
	return pthread_rwlock_rdlock(&held_rw);
}

static int wait_write(void)
{
	return pthread_rwlock_wrlock(&held_rw);
}

static int wait_write_timed(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_rwlock_timedwrlock(&held_rw, &at);
}

static int wait_for_reader(void)
{
	return pthread_rwlock_wrlock(&read_rw);
}

/* The handler of a wait for a condition has the mutex again. */
static void says_who_has_it(void *m)
{
	say("in the handler, the mutex", pthread_mutex_lock(m), KEPT);
	say("in the handler, unlock", pthread_mutex_unlock(m), KEPT);
}

#define IN_COND(name, call)                                            \
	static int name(void)                                          \
	{                                                              \
		struct timespec at = in_ms(CLOCK_REALTIME, 60000);     \
		struct timespec later = in_ms(CLOCK_MONOTONIC, 60000); \
		int r;                                                 \
                                                                       \
		(void)at;                                              \
		(void)later;                                           \
		pthread_mutex_lock(&with_cond);                        \
		pthread_cleanup_push(says_who_has_it, &with_cond);     \
		r = call;                                              \
		pthread_cleanup_pop(1);                                \
		return r;                                              \
	}

IN_COND(wait_cond, pthread_cond_wait(&cond, &with_cond))
IN_COND(wait_cond_timed, pthread_cond_timedwait(&cond, &with_cond, &at))
#if __GLIBC_PREREQ(2, 30)
IN_COND(wait_cond_clock, pthread_cond_clockwait(&clock_cond, &with_cond, CLOCK_MONOTONIC, &later))
#endif

static void says_c11(void *m)
{
	say_text("in the handler, the mutex", mtx_trylock(m) == thrd_busy ? "held" : "free");
	mtx_unlock(m);
}

static int wait_cnd(void)
{
	int r;

	mtx_lock(&c11_mutex);
	pthread_cleanup_push(says_c11, &c11_mutex);
	r = cnd_wait(&c11_cond, &c11_mutex);
	pthread_cleanup_pop(1);
	return r;
}

static int wait_cnd_timed(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);
	int r;

	mtx_lock(&c11_mutex);
	pthread_cleanup_push(says_c11, &c11_mutex);
	r = cnd_timedwait(&c11_cond, &c11_mutex, &at);
	pthread_cleanup_pop(1);
	return r;
}

static int wait_sem(void)
{
	return sem_wait(&sem);
}

static int wait_sem_timed(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return sem_timedwait(&sem, &at);
}

#if __GLIBC_PREREQ(2, 30)
static int wait_sem_clock(void)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 60000);

	return sem_clockwait(&sem, CLOCK_MONOTONIC, &at);
}
#endif

static int wait_barrier(void)
{
	return pthread_barrier_wait(&barrier);
}

static int wait_join(void)
{
	return pthread_join(sleeper, NULL);
}

static int wait_join_timed(void)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_timedjoin_np(sleeper, NULL, &at);
}

static int wait_thrd_join(void)
{
	return thrd_join(sleeper, NULL);
}

static int wait_futex(void)
{
	return (int)syscall(SYS_futex, &word, 128 /* FUTEX_WAIT_PRIVATE */, 0, NULL, NULL, 0);
}

/*
 * What makes the wait end. A point of cancelling ends with it; another only where the thread may be cancelled at any time, or
 * else when what it waits for comes, which `let` sees to.
 */
static int let_mutex(void)
{
	return pthread_mutex_unlock(&held);
}

static int let_robust(void)
{
	return pthread_mutex_unlock(&held_robust);
}

static int let_inherit(void)
{
	return pthread_mutex_unlock(&held_inherit);
}

static int let_mtx(void)
{
	return mtx_unlock(&c11_held);
}

static int let_rw(void)
{
	return pthread_rwlock_unlock(&held_rw);
}

static int let_reader(void)
{
	return pthread_rwlock_unlock(&read_rw);
}

static int let_cond(void)
{
	pthread_mutex_lock(&with_cond);
	pthread_cond_signal(&cond);
	pthread_cond_signal(&clock_cond);
	return pthread_mutex_unlock(&with_cond);
}

static int let_cnd(void)
{
	mtx_lock(&c11_mutex);
	cnd_signal(&c11_cond);
	return mtx_unlock(&c11_mutex);
}

static int let_sem(void)
{
	return sem_post(&sem);
}

static int let_barrier(void)
{
	pthread_barrier_wait(&barrier);
	return 0;
}

static int let_join(void)
{
	return sem_post(&never);
}

static int let_futex(void)
{
	return syscall(SYS_futex, &word, 129 /* FUTEX_WAKE_PRIVATE */, 1, NULL, NULL, 0) < 0;
}

static const struct wait {
	const char *name;
	int (*wait)(void);
	int (*let)(void);
	int (*give_back)(void); /* what the wait has taken */
	const void *object;
	size_t size;
	int (*take)(void); /* by the main thread, again, what it let go */
} all_waits[] = {
	{"mutex_lock", wait_mutex, let_mutex, let_mutex, &held, sizeof(held), wait_mutex},
	{"mutex_lock, robust", wait_robust, let_robust, let_robust, &held_robust,
	 sizeof(held_robust), wait_robust},
	{"mutex_lock, inherit", wait_inherit, let_inherit, let_inherit, &held_inherit,
	 sizeof(held_inherit), wait_inherit},
	{"mutex_timedlock", wait_mutex_timed, let_mutex, let_mutex, &held, sizeof(held),
	 wait_mutex},
	{"mtx_lock", wait_mtx, let_mtx, let_mtx, &c11_held, sizeof(c11_held), wait_mtx},
	{"rwlock_rdlock", wait_read, let_rw, let_rw, &held_rw, sizeof(held_rw), wait_write},
	{"rwlock_wrlock", wait_write, let_rw, let_rw, &held_rw, sizeof(held_rw), wait_write},
	{"rwlock_timedwrlock", wait_write_timed, let_rw, let_rw, &held_rw, sizeof(held_rw),
	 wait_write},
	{"rwlock_wrlock after a reader", wait_for_reader, let_reader, let_reader, &read_rw,
	 sizeof(read_rw), NULL},
	{"cond_wait", wait_cond, let_cond, NULL, &cond, sizeof(cond), NULL},
	{"cond_timedwait", wait_cond_timed, let_cond, NULL, &cond, sizeof(cond), NULL},
#if __GLIBC_PREREQ(2, 30)
	{"cond_clockwait", wait_cond_clock, let_cond, NULL, &clock_cond, sizeof(clock_cond), NULL},
#endif
	{"cnd_wait", wait_cnd, let_cnd, NULL, &c11_cond, sizeof(c11_cond), NULL},
	{"cnd_timedwait", wait_cnd_timed, let_cnd, NULL, &c11_cond, sizeof(c11_cond), NULL},
	{"sem_wait", wait_sem, let_sem, NULL, &sem, sizeof(sem), NULL},
	{"sem_timedwait", wait_sem_timed, let_sem, NULL, &sem, sizeof(sem), NULL},
#if __GLIBC_PREREQ(2, 30)
	{"sem_clockwait", wait_sem_clock, let_sem, NULL, &sem, sizeof(sem), NULL},
#endif
	{"barrier_wait", wait_barrier, let_barrier, NULL, &barrier, sizeof(barrier), NULL},
	{"join", wait_join, let_join, NULL, NULL, 0, NULL},
	{"timedjoin", wait_join_timed, let_join, NULL, NULL, 0, NULL},
	{"thrd_join", wait_thrd_join, let_join, NULL, NULL, 0, NULL},
	{"futex by syscall()", wait_futex, let_futex, NULL, &word, sizeof(word), NULL},
};

static void *never_ends(void *none)
{
	(void)none;
	while (sem_wait(&never) != 0)
		;
	return NULL;
}

/* Not by way of destroy: it would wait for those that left. */
static void new_barrier(void)
{
	memset(&barrier, 0, sizeof(barrier));
	pthread_barrier_init(&barrier, NULL, 2);
}

static void make_all(void)
{
	pthread_mutexattr_t a;
	static int is_made;

	if (!is_made) {
		pthread_mutexattr_init(&a);
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
		pthread_mutex_init(&held_robust, &a);
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_STALLED);
		pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
		pthread_mutex_init(&held_inherit, &a);
		pthread_mutexattr_destroy(&a);
		mtx_init(&c11_mutex, mtx_plain);
		mtx_init(&c11_held, mtx_plain);
		cnd_init(&c11_cond);
		sem_init(&never, 0, 0);
		if (pipe(quiet_pipe) != 0)
			abort();
	}
	is_made = 1;
	sem_init(&sem, 0, 0);
	new_barrier();
}

static void hold_all(void)
{
	pthread_mutex_lock(&held);
	pthread_mutex_lock(&held_robust);
	pthread_mutex_lock(&held_inherit);
	mtx_lock(&c11_held);
	pthread_rwlock_wrlock(&held_rw);
	pthread_rwlock_rdlock(&read_rw);
}

static void release_all(void)
{
	SAY("mutex_unlock at the end", pthread_mutex_unlock(&held));
	SAY("mutex_unlock, robust, at the end", pthread_mutex_unlock(&held_robust));
	SAY("mutex_unlock, inherit, at the end", pthread_mutex_unlock(&held_inherit));
	SAY("mtx_unlock at the end", mtx_unlock(&c11_held));
	SAY("rwlock_unlock at the end", pthread_rwlock_unlock(&held_rw));
	SAY("rwlock_unlock, reader, at the end", pthread_rwlock_unlock(&read_rw));
}

/* Cancelling */

enum how { DEFERRED, BEFORE, DISABLED, ASYNCHRONOUS };

struct victim {
	const struct wait *wait;
	enum how how;
	_Atomic int tid;
	sem_t may_go;
};

static void says_cleanup(void *name)
{
	say_text(name, "cleaned up");
}

static void *victim_main(void *arg)
{
	struct victim *v = arg;
	int old, r, error;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	v->tid = (int)gettid();
	if (v->how == BEFORE)
		while (sem_wait(&v->may_go) != 0)
			;
	pthread_cleanup_push(says_cleanup, (void *)(uintptr_t)v->wait->name);
	if (v->how == ASYNCHRONOUS)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	if (v->how != DISABLED)
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	errno = KEPT;
	r = v->wait->wait();
	error = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old);
	say(v->wait->name, r, error);
	if (v->wait->give_back != NULL)
		say("given back", v->wait->give_back(), KEPT);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	pthread_testcancel();
	say_text(v->wait->name, "was not cancelled");
	pthread_cleanup_pop(0);
	return NULL;
}

static void is_it_over(void *value)
{
	say_text("its value", value == PTHREAD_CANCELED ? "PTHREAD_CANCELED"
			      : value == NULL           ? "0"
							: "strange");
}

/* Which of them are points of cancelling is not asked of the manual: a thread that is one ends, another goes on waiting. */
static int has_ended(pthread_t id, const struct victim *v, void **ret_value)
{
	int64_t end = host_clock(CLOCK_MONOTONIC) + 8000 * MS;

	do {
		struct timespec at = in_ms(CLOCK_REALTIME, 3);

		if (pthread_timedjoin_np(id, ret_value, &at) == 0)
			return 1;
		/* asleep again, 20 times, is asleep for good */
		for (int i = 0; i < 20; i++) {
			char path[80], text[200];
			int tid = v->tid;
			FILE *f;

			snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
			f = fopen(path, "r");
			if (f == NULL)
				break;
			text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
			fclose(f);
			if (strrchr(text, ')') == NULL || strrchr(text, ')')[2] != 'S')
				break;
			at = in_ms(CLOCK_REALTIME, 1);
			if (pthread_timedjoin_np(id, ret_value, &at) == 0)
				return 1;
			if (i == 19)
				return 0;
		}
	} while (host_clock(CLOCK_MONOTONIC) < end);
	return 0;
}

static void cancel_one(const struct wait *wait, enum how how)
{
	struct victim v = {.wait = wait, .how = how};
	pthread_t id;
	void *value = NULL;

	sem_init(&v.may_go, 0, 0);
	if (wait->wait == wait_join || wait->wait == wait_join_timed ||
	    wait->wait == wait_thrd_join)
		pthread_create(&sleeper, NULL, never_ends, NULL);
	else
		sleeper = pthread_self();
	pthread_create(&id, NULL, victim_main, &v);
	while (v.tid == 0)
		sched_yield();
	if (how != BEFORE)
		until_asleep(wait->name, getpid(), v.tid, wait->object, wait->size, -1);
	SAY("cancel", pthread_cancel(id));
	if (how == BEFORE)
		sem_post(&v.may_go);
	if (has_ended(id, &v, &value)) {
		say_text(wait->name, "ended by it");
		is_it_over(value);
		if (!pthread_equal(sleeper, pthread_self())) {
			let_join();
			SAY("join of whom it joined", pthread_join(sleeper, NULL));
		}
	} else {
		say_text(wait->name, "waits on");
		SAY("let go", wait->let());
		SAY("join", pthread_join(id, &value));
		is_it_over(value);
		if (wait->take != NULL)
			SAY("taken again", wait->take());
		else if (wait->wait == wait_for_reader)
			SAY("taken again", pthread_rwlock_rdlock(&read_rw));
	}
	while (sem_trywait(&sem) == 0)
		;
	sem_destroy(&v.may_go);
}

void rules_of_cancelling(void)
{
	static const char *const names[] = {"cancel", "cancel before", "cancel, disabled",
					    "cancel, asynchronous"};

	make_all();
	hold_all();
	for (int how = DEFERRED; how <= ASYNCHRONOUS; how++)
		for (size_t i = 0; i < LENGTH(all_waits); i++) {
			/*
			 * At any time is safe where the wait is one system call and nothing of the C
			 * library's is left half done; those that are may be asked.
			 */
			if (how == ASYNCHRONOUS && all_waits[i].wait != wait_mutex &&
			    all_waits[i].wait != wait_sem && all_waits[i].wait != wait_sem_timed &&
			    all_waits[i].wait != wait_futex && all_waits[i].wait != wait_mtx &&
			    all_waits[i].wait != wait_join && all_waits[i].wait != wait_barrier)
				continue;
			say_before = names[how];
			cancel_one(&all_waits[i], how);
			if (all_waits[i].wait == wait_barrier) {
				/* it has lost one that will not come */
				new_barrier();
			}
		}
	say_before = "cancel";
	release_all();
	say_before = "";
}

/* Jumping: the handler of a signal leaves the wait for good. */

static __thread sigjmp_buf out;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

struct jumper {
	const struct wait *wait;
	_Atomic int tid;
};

/* A jump out of a wait for a condition takes the mutex again: the C library's own handler of it is run. */
static void after_condition(const struct wait *wait)
{
	if (wait->object == &cond || wait->object == &clock_cond)
		SAY("unlock, after a condition", pthread_mutex_unlock(&with_cond));
	if (wait->object == &c11_cond) {
		say_text("after a condition",
			 mtx_trylock(&c11_mutex) == thrd_busy ? "held" : "free");
		mtx_unlock(&c11_mutex);
	}
}

/* And does what others do, as if nothing had been. */
static void goes_on(const struct wait *wait)
{
	pthread_mutex_t mine = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
	int wrong = 0;

	after_condition(wait);
	for (int i = 0; i < 1000; i++) {
		wrong += pthread_mutex_lock(&mine) != 0;
		wrong += pthread_mutex_lock(&mine) != EDEADLK;
		wrong += pthread_mutex_unlock(&mine) != 0;
		wrong += pthread_mutex_unlock(&mine) != EPERM;
	}
	say_number(wait->name, wrong);
}

static void *jumper_main(void *arg)
{
	struct jumper *volatile j = arg;

	if (sigsetjmp(out, 1) == 0) {
		j->tid = (int)gettid();
		j->wait->wait();
		say_text(j->wait->name, "came back");
		return NULL;
	}
	goes_on(j->wait);
	return j;
}

void rules_of_jumping(void)
{
	struct sigaction action = {0};
	pthread_t left[LENGTH(all_waits) * 2];
	size_t lefts = 0;

	make_all();
	hold_all();
	action.sa_handler = jump;
	sigaction(SIGUSR2, &action, NULL);
	say_before = "jump";
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < LENGTH(all_waits); i++) {
			struct jumper j = {.wait = &all_waits[i]};
			void *value = NULL;
			pthread_t id;

			/* whoever waits for a condition has left it in disorder: once each is enough */
			if (round > 0 && (all_waits[i].wait == wait_cond_timed ||
					  all_waits[i].wait == wait_cnd_timed))
				continue;
			pthread_create(&sleeper, NULL, never_ends, NULL);
			left[lefts++] = sleeper;
			pthread_create(&id, NULL, jumper_main, &j);
			while (j.tid == 0)
				sched_yield();
			until_asleep(all_waits[i].name, getpid(), j.tid, all_waits[i].object,
				     all_waits[i].size, -1);
			pthread_kill(id, SIGUSR2);
			SAY("join", pthread_join(id, &value));
			if (all_waits[i].wait == wait_barrier)
				new_barrier();
			say_text(all_waits[i].name, value == &j ? "left" : "not left");
		}
	/* whom somebody began to join and left */
	for (size_t i = 0; i < lefts; i++)
		let_join();
	for (size_t i = 0; i < lefts; i++)
		SAY("join of whom it joined", pthread_join(left[i], NULL));
	release_all();
	say_before = "";
}
