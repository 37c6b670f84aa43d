/*
 * lockedges: who lets go of a lock where that is hard to say, and what is a wait for an initialization and what is not.
 *
 *     lockedges conditions          releases inside of waits for conditions, which may end in any way
 *     lockedges once                initializations that a fork finds in the middle, and one whose thread is cancelled
 *     lockedges readers ROUNDS N    N readers leave a lock at once, and a writer waits
 *
 * A function each. What it made another wait is known from the other's clock: from the wait's beginning to just before the
 * release at least, to the wait's end at most.
 *
 *     {"mutex": {"h_last": {"count": 1, "least_ns": …, "most_ns": …}, "w_inner": {"count": 0, …}}, "block": {…}}
 */
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define NO_TAIL_CALL  __asm__ volatile("" ::: "memory")

static void sleep_ms(int ms)
{
	struct timespec t = {0, ms * MS};

	nanosleep(&t, NULL);
}

/* ---- the truth ---- */

struct known {
	const char *profile, *function;
	int count;
	int64_t least_ns, most_ns;
};

static struct known known[64];
static int known_n;

static struct known *is_known(const char *profile, const char *function)
{
	for (int i = 0; i < known_n; i++)
		if (strcmp(known[i].profile, profile) == 0 &&
		    strcmp(known[i].function, function) == 0)
			return &known[i];
	known[known_n] = (struct known){.profile = profile, .function = function};
	return &known[known_n++];
}

static void know(const char *profile, const char *function, int64_t least_ns, int64_t most_ns)
{
	struct known *k = is_known(profile, function);

	k->count++;
	k->least_ns += least_ns;
	k->most_ns += most_ns;
}

static void print_known(void)
{
	static const char *const profiles[] = {"mutex", "block"};

	for (size_t p = 0; p < LENGTH(profiles); p++) {
		const char *comma = "";

		printf("%s\"%s\": {", p == 0 ? "{" : ", ", profiles[p]);
		for (int i = 0; i < known_n; i++) {
			if (strcmp(known[i].profile, profiles[p]) != 0)
				continue;
			printf("%s\"%s\": {\"count\": %d, \"least_ns\": %lld, \"most_ns\": %lld}",
			       comma, known[i].function, known[i].count,
			       (long long)known[i].least_ns, (long long)known[i].most_ns);
			comma = ", ";
		}
		printf("}");
	}
	printf("}\n");
}

/* ---- one that waits for a lock ---- */

static struct waiter {
	struct other o;
	int (*lock)(void *), (*unlock)(void *);
	void *object;
	_Atomic int64_t begun, ended;
	int64_t let;
} waiter;

static int wait_for_it(void *arg)
{
	struct waiter *w = arg;
	int r;

	w->begun = host_clock(CLOCK_MONOTONIC);
	r = w->lock(w->object);
	w->ended = host_clock(CLOCK_MONOTONIC);
	return r != 0 ? r : w->unlock(w->object);
}

static void waiter_begin(int (*lock)(void *), int (*unlock)(void *), void *object)
{
	waiter.lock = lock;
	waiter.unlock = unlock;
	waiter.object = object;
	other_begin(&waiter.o, wait_for_it, &waiter);
	OTHER_ASLEEP_SOMEWHERE("the waiter", &waiter.o);
	sleep_ms(10);
}

/* Just before it is let. */
static void now_it_is_let(void)
{
	waiter.let = host_clock(CLOCK_MONOTONIC);
}

static void waiter_end(const char *by)
{
	other_end(&waiter.o, NULL);
	if (waiter.o.result != 0)
		say("the waiter", waiter.o.result, KEPT);
	know("mutex", by, waiter.let - waiter.begun, waiter.ended - waiter.begun);
}

static int lock_mutex(void *m)
{
	return pthread_mutex_lock(m);
}

static int unlock_mutex(void *m)
{
	return pthread_mutex_unlock(m);
}

static int lock_mtx(void *m)
{
	return mtx_lock(m);
}

static int unlock_mtx(void *m)
{
	return mtx_unlock(m);
}

/* A function that does one thing, so that it is known by its name on a stack. */
#define ONE(name, parameter, call)      \
	KEEP static int name(parameter) \
	{                               \
		int r;                  \
                                        \
		now_it_is_let();        \
		r = (call);             \
		NO_TAIL_CALL;           \
		return r;               \
	}

/* ---- conditions ---- */

/* One each: the way from a release to the waiter goes with the lock's next charge. */
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t held_once = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static mtx_t c11, c11_held_once;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static cnd_t c11_never;
static struct timespec soon, bad;

ONE(w_inner, void, pthread_cond_timedwait(&never, &recursive, &soon))
ONE(h_first, void, pthread_mutex_unlock(&recursive))
ONE(h_last, void, pthread_mutex_unlock(&recursive))
ONE(w_outer, void, pthread_cond_timedwait(&never, &held_once, &soon))
ONE(w_inner_c11, void, cnd_timedwait(&c11_never, &c11, &soon))
ONE(h_first_c11, void, mtx_unlock(&c11))
ONE(h_last_c11, void, mtx_unlock(&c11))
ONE(w_outer_c11, void, cnd_timedwait(&c11_never, &c11_held_once, &soon))
ONE(w_refused, void, pthread_cond_wait(&never, &checked))
ONE(w_bad_time, void, pthread_cond_timedwait(&never, &checked, &bad))
ONE(h_after_refusal, void, pthread_mutex_unlock(&checked))

static void held_more_than_once(void)
{
	pthread_mutex_lock(&recursive);
	pthread_mutex_lock(&recursive);
	waiter_begin(lock_mutex, unlock_mutex, &recursive);
	soon = in_ms(CLOCK_REALTIME, 15);
	w_inner();
	is_known("mutex", "w_inner");
	h_first();
	is_known("mutex", "h_first");
	sleep_ms(5);
	h_last();
	waiter_end("h_last");

	pthread_mutex_lock(&held_once);
	waiter_begin(lock_mutex, unlock_mutex, &held_once);
	soon = in_ms(CLOCK_REALTIME, 30);
	w_outer();
	pthread_mutex_unlock(&held_once);
	waiter_end("w_outer");

	mtx_lock(&c11);
	mtx_lock(&c11);
	waiter_begin(lock_mtx, unlock_mtx, &c11);
	soon = in_ms(CLOCK_REALTIME, 15);
	w_inner_c11();
	is_known("mutex", "w_inner_c11");
	h_first_c11();
	is_known("mutex", "h_first_c11");
	sleep_ms(5);
	h_last_c11();
	waiter_end("h_last_c11");

	mtx_lock(&c11_held_once);
	waiter_begin(lock_mtx, unlock_mtx, &c11_held_once);
	soon = in_ms(CLOCK_REALTIME, 30);
	w_outer_c11();
	mtx_unlock(&c11_held_once);
	waiter_end("w_outer_c11");
}

/* Calls that fail release nothing. */
static int is_refused(void *none)
{
	(void)none;
	return w_refused();
}

static void refused(void)
{
	struct other o = {0};

	other_start(&o);
	pthread_mutex_lock(&checked);
	waiter_begin(lock_mutex, unlock_mutex, &checked);
	other_begin(&o, is_refused, NULL);
	other_end(&o, NULL);
	is_known("mutex", "w_refused");
	bad = bad_time();
	w_bad_time();
	is_known("mutex", "w_bad_time");
	h_after_refusal();
	waiter_end("h_after_refusal");
	other_leave(&o);
}

/* Calls that are left: each with a condition of its own, which stays in disorder. */

struct left {
	const char *name;
	int (*wait)(struct left *);
	void (*leave)(pthread_t, struct left *);
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	_Atomic int tid, is_held, may_wait;
};

static __thread sigjmp_buf out;

#define LEFT(name) ONE(name, struct left *l, pthread_cond_wait(&l->cond, &l->mutex))
LEFT(c_cancelled)
LEFT(c_jumped)
LEFT(c_exited)
LEFT(c_stayed)

static void unlock_left(void *l)
{
	pthread_mutex_unlock(&((struct left *)l)->mutex);
}

static void *left_main(void *arg)
{
	struct left *volatile l = arg;

	if (sigsetjmp(out, 1) != 0)
		return NULL;
	pthread_mutex_lock(&l->mutex);
	pthread_cleanup_push(unlock_left, l);
	l->tid = (int)gettid();
	l->is_held = 1;
	while (!l->may_wait)
		sched_yield();
	l->wait(l);
	pthread_cleanup_pop(1);
	return NULL;
}

static void by_cancelling(pthread_t id, struct left *l)
{
	(void)l;
	pthread_cancel(id);
}

static void jump(int sig)
{
	(void)sig;
	siglongjmp(out, 1);
}

static void leave(int sig)
{
	(void)sig;
	pthread_exit(NULL);
}

static void stay(int sig)
{
	sigjmp_buf here;

	(void)sig;
	if (sigsetjmp(here, 0) == 0)
		siglongjmp(here, 1);
}

static void by_signal(pthread_t id, void (*handler)(int))
{
	struct sigaction action = {0};

	action.sa_handler = handler;
	sigaction(SIGUSR2, &action, NULL);
	pthread_kill(id, SIGUSR2);
}

static void by_jumping(pthread_t id, struct left *l)
{
	(void)l;
	by_signal(id, jump);
}

static void by_exiting(pthread_t id, struct left *l)
{
	(void)l;
	by_signal(id, leave);
}

static void not_at_all(pthread_t id, struct left *l)
{
	by_signal(id, stay);
	sleep_ms(20);
	pthread_cond_signal(&l->cond);
}

#define LEFT_BY(name, by)                                                                     \
	{                                                                                     \
#name, name, by, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 \
	}
static struct left left[] = {
	LEFT_BY(c_cancelled, by_cancelling),
	LEFT_BY(c_jumped, by_jumping),
	LEFT_BY(c_exited, by_exiting),
	LEFT_BY(c_stayed, not_at_all),
};

static void are_left(void)
{
	for (size_t i = 0; i < LENGTH(left); i++) {
		struct left *l = &left[i];
		pthread_t id;

		pthread_create(&id, NULL, left_main, l);
		while (!l->is_held)
			sched_yield();
		waiter_begin(lock_mutex, unlock_mutex, &l->mutex);
		l->may_wait = 1;
		waiter_end(l->name);
		until_asleep(l->name, getpid(), l->tid, &l->cond, sizeof(l->cond), -1);
		l->leave(id, l);
		pthread_join(id, NULL);
	}
}

static int conditions(void)
{
	other_start(&waiter.o);
	mtx_init(&c11, mtx_timed | mtx_recursive);
	mtx_init(&c11_held_once, mtx_timed | mtx_recursive);
	cnd_init(&c11_never);
	held_more_than_once();
	refused();
	are_left();
	print_known();
	return 0;
}

/* ---- once ---- */

static pthread_once_t forked_once = PTHREAD_ONCE_INIT;
static once_flag forked_c11 = ONCE_FLAG_INIT;
static pthread_once_t child_once = PTHREAD_ONCE_INIT, taken_once = PTHREAD_ONCE_INIT;
static sem_t begun, may_end;
static _Atomic int runs, is_child;
static _Atomic int64_t taken_over;

/* The first to come stays until it is told to go, others for 20 ms. */
static void slow_init(void)
{
	if (runs++ == 0 && !is_child) {
		sem_post(&begun);
		while (sem_wait(&may_end) != 0)
			;
	} else {
		taken_over = host_clock(CLOCK_MONOTONIC);
		sleep_ms(20);
	}
}

static int do_once(void *once)
{
	return pthread_once(once, slow_init);
}

static int do_call_once(void *once)
{
	call_once(once, slow_init);
	return 0;
}

#define ONCE(name, type, call)                                \
	KEEP static int64_t name(type *once)                  \
	{                                                     \
		int64_t before = host_clock(CLOCK_MONOTONIC); \
                                                              \
		call(once, slow_init);                        \
		return host_clock(CLOCK_MONOTONIC) - before;  \
	}
ONCE(o_again, pthread_once_t, pthread_once)
ONCE(o_again_c11, once_flag, call_once)
ONCE(o_in_child, pthread_once_t, pthread_once)
ONCE(o_taken_over, pthread_once_t, pthread_once)

/* In a child whose parent was in the middle of both; tells how long it waited for one of its own. */
static void in_child(int to)
{
	struct other o = {0};
	int64_t ns;

	is_child = 1;
	alarm(60);
	if (o_again(&forked_once) < 15 * MS || o_again_c11(&forked_c11) < 15 * MS)
		_exit(1);
	other_start(&o);
	other_begin(&o, do_once, &child_once);
	while ((__atomic_load_n(&child_once, __ATOMIC_ACQUIRE) & 1) == 0)
		sched_yield();
	ns = o_in_child(&child_once);
	other_end(&o, NULL);
	other_leave(&o);
	if (write(to, &ns, sizeof(ns)) != sizeof(ns))
		_exit(2);
	_exit(0);
}

static void forked(void)
{
	struct other o[2] = {{0}};
	int from_child[2], status = -1;
	int64_t ns = 0;
	pid_t child;

	for (int i = 0; i < 2; i++) {
		runs = 0;
		other_start(&o[i]);
		if (i == 0)
			other_begin(&o[i], do_once, &forked_once);
		else
			other_begin(&o[i], do_call_once, &forked_c11);
		while (sem_wait(&begun) != 0)
			;
	}
	if (pipe(from_child) != 0)
		abort();
	child = fork();
	if (child == 0)
		in_child(from_child[1]);
	if (read(from_child[0], &ns, sizeof(ns)) != sizeof(ns))
		say_text("child", "said nothing");
	while (waitpid(child, &status, 0) < 0)
		;
	say_number("the child's status", status);
	is_known("block", "o_again");
	is_known("block", "o_again_c11");
	know("block", "o_in_child", ns, ns);
	for (int i = 0; i < 2; i++) {
		sem_post(&may_end);
		other_end(&o[i], NULL);
	}
	for (int i = 0; i < 2; i++)
		other_leave(&o[i]);
}

static void *begins_and_is_cancelled(void *none)
{
	pthread_once(&taken_once, slow_init);
	return none;
}

static int takes_over(void *ns)
{
	*(int64_t *)ns = host_clock(CLOCK_MONOTONIC);
	o_taken_over(&taken_once);
	return 0;
}

static void cancelled(void)
{
	struct other o = {0};
	pthread_t id;
	int64_t since;

	runs = 0;
	pthread_create(&id, NULL, begins_and_is_cancelled, NULL);
	while (sem_wait(&begun) != 0)
		;
	other_start(&o);
	other_begin(&o, takes_over, &since);
	OTHER_ASLEEP("takes over", &o, &taken_once);
	sleep_ms(10);
	pthread_cancel(id);
	pthread_join(id, NULL);
	other_end(&o, NULL);
	other_leave(&o);
	know("block", "o_taken_over", taken_over - since, taken_over - since);
}

static int once(void)
{
	sem_init(&begun, 0, 0);
	sem_init(&may_end, 0, 0);
	forked();
	cancelled();
	print_known();
	return 0;
}

/* ---- readers ---- */

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic int round_of, taken, gone;

static int lock_write(void *l)
{
	return pthread_rwlock_wrlock(l);
}

static int unlock_write(void *l)
{
	return pthread_rwlock_unlock(l);
}

KEEP static void r_leave(void)
{
	pthread_rwlock_unlock(&rw);
	NO_TAIL_CALL;
}

/* In odd rounds it takes the lock, in even ones it leaves. */
static void *reader_main(void *rounds)
{
	for (int i = 1; i <= 2 * (int)(intptr_t)rounds; i += 2) {
		while (round_of < i)
			sched_yield();
		pthread_rwlock_rdlock(&rw);
		taken++;
		while (round_of < i + 1)
			;
		r_leave();
		gone++;
	}
	return NULL;
}

/* All leave as soon as they are told to, and who tells them is one of them. */
static int readers(int rounds, int n)
{
	pthread_t ids[64];

	other_start(&waiter.o);
	for (int i = 0; i < n - 1; i++)
		pthread_create(&ids[i], NULL, reader_main, (void *)(intptr_t)rounds);
	for (int i = 0; i < rounds; i++) {
		pthread_rwlock_rdlock(&rw);
		taken = gone = 0;
		round_of = 2 * i + 1;
		while (taken < n - 1)
			sched_yield();
		waiter.lock = lock_write;
		waiter.unlock = unlock_write;
		waiter.object = &rw;
		other_begin(&waiter.o, wait_for_it, &waiter);
		OTHER_ASLEEP("the writer", &waiter.o, &rw);
		now_it_is_let();
		round_of = 2 * i + 2;
		r_leave();
		waiter_end("r_leave");
		while (gone < n - 1)
			sched_yield();
	}
	for (int i = 0; i < n - 1; i++)
		pthread_join(ids[i], NULL);
	print_known();
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "conditions") == 0)
		return conditions();
	if (strcmp(what, "once") == 0)
		return once();
	if (strcmp(what, "readers") == 0 && argc > 3 && atoi(argv[3]) <= 64)
		return readers(atoi(argv[2]), atoi(argv[3]));
	return 2;
}
