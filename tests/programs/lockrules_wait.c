/* lockrules: semaphores, barriers, joins, once, and the locks of C11. */
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

/* Semaphores */

static int sem_wait_on(void *s)
{
	return sem_wait(s);
}

static int sem_timed_on(void *s)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return sem_timedwait(s, &at);
}

#if __GLIBC_PREREQ(2, 30)
static int sem_clock_on(void *s)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 60000);

	return sem_clockwait(s, CLOCK_MONOTONIC, &at);
}
#endif

static void value_of(sem_t *s)
{
	int value = -4711;

	SAY("getvalue", sem_getvalue(s, &value));
	say_number("the value", value);
}

static void waits_of_semaphore(sem_t *s, struct other *o)
{
	static const struct {
		const char *name;
		int (*wait)(void *);
	} sem_ways[] = {
		{"sem_wait", sem_wait_on},
		{"sem_timedwait", sem_timed_on},
#if __GLIBC_PREREQ(2, 30)
		{"sem_clockwait", sem_clock_on},
#endif
	};
	char name[80];

	for (size_t i = 0; i < sizeof(sem_ways) / sizeof(sem_ways[0]); i++) {
		other_begin(o, sem_ways[i].wait, s);
		OTHER_ASLEEP(sem_ways[i].name, o, s);
		value_of(s);
		SAY("post", sem_post(s));
		other_end(o, sem_ways[i].name);
		value_of(s);
		for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
			int is_restarted = flags && i == 0;

			count_signals(SIGUSR1, flags);
			other_begin(o, sem_ways[i].wait, s);
			OTHER_ASLEEP(sem_ways[i].name, o, s);
			pthread_kill(o->id, SIGUSR1);
			wait_for_signals(1);
			if (is_restarted) {
				OTHER_ASLEEP("sem_wait, restarted", o, s);
				sem_post(s);
			}
			snprintf(name, sizeof(name), "%s, a handler%s", sem_ways[i].name,
				 flags ? " with SA_RESTART" : "");
			other_end(o, name);
		}
		value_of(s);
	}
}

void rules_of_semaphores(void)
{
	struct timespec bad = bad_time();
	struct other o = {0};
	sem_t s, *named;
	char name[64];

	say_before = "sem";
	other_start(&o);
	SAY("init, too much", sem_init(&s, 0, SEM_VALUE_MAX + 1u));
	for (int shared = 0; shared < 2; shared++) {
		say_before = shared ? "sem, shared" : "sem";
		SAY("init", sem_init(&s, shared, 2));
		SAY("wait, 2 there", sem_wait(&s));
		SAY("trywait, 1 there", sem_trywait(&s));
		SAY("trywait, empty", sem_trywait(&s));
		SAY_TIMED("timedwait, empty, 5 ms", CLOCK_REALTIME, 5, sem_timedwait(&s, &at));
		SAY_TIMED("timedwait, empty, past", CLOCK_REALTIME, -1000, sem_timedwait(&s, &at));
		SAY("timedwait, empty, bad time", sem_timedwait(&s, &bad));
		SAY("post", sem_post(&s));
		SAY_TIMED("timedwait, 1 there, past", CLOCK_REALTIME, -1000,
			  sem_timedwait(&s, &at));
		sem_post(&s);
		SAY("timedwait, 1 there, bad time", sem_timedwait(&s, &bad));
		value_of(&s);
		while (sem_trywait(&s) == 0)
			;
#if __GLIBC_PREREQ(2, 30)
		SAY_TIMED("clockwait, empty, 5 ms", CLOCK_MONOTONIC, 5,
			  sem_clockwait(&s, CLOCK_MONOTONIC, &at));
		SAY_TIMED("clockwait, empty, past", CLOCK_REALTIME, -5,
			  sem_clockwait(&s, CLOCK_REALTIME, &at));
		SAY("clockwait, empty, bad time", sem_clockwait(&s, CLOCK_MONOTONIC, &bad));
		SAY_TIMED("clockwait, empty, bad clock", CLOCK_REALTIME, 0,
			  sem_clockwait(&s, CLOCK_THREAD_CPUTIME_ID, &at));
		sem_post(&s);
		SAY_TIMED("clockwait, 1 there, bad clock", CLOCK_REALTIME, 0,
			  sem_clockwait(&s, CLOCK_THREAD_CPUTIME_ID, &at));
		while (sem_trywait(&s) == 0)
			;
#endif
		waits_of_semaphore(&s, &o);
		SAY("destroy", sem_destroy(&s));
		SAY("init, as much as can be", sem_init(&s, shared, SEM_VALUE_MAX));
		SAY("post, too often", sem_post(&s));
		SAY("wait", sem_wait(&s));
		SAY("post", sem_post(&s));
		value_of(&s);
		sem_destroy(&s);
	}
	say_before = "sem, named";
	snprintf(name, sizeof(name), "/lockrules.%d", (int)getpid());
	errno = KEPT;
	named = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	say("open", named == SEM_FAILED ? -1 : 0, errno);
	if (named != SEM_FAILED) {
		waits_of_semaphore(named, &o);
		SAY("close", sem_close(named));
		SAY("unlink", sem_unlink(name));
	}
	other_leave(&o);
	say_before = "";
}

/* Barriers: of all one is told that it was the serial one, whichever it is. */

static int at_barrier(void *b)
{
	return pthread_barrier_wait(b);
}

void rules_of_barriers(void)
{
	struct other o[3] = {{0}};
	pthread_barrier_t b;

	say_before = "barrier";
	SAY("init, 0", pthread_barrier_init(&b, NULL, 0));
	for (int i = 0; i < 3; i++)
		other_start(&o[i]);
	SAY("init, 1", pthread_barrier_init(&b, NULL, 1));
	SAY("wait, alone", pthread_barrier_wait(&b));
	SAY("destroy", pthread_barrier_destroy(&b));
	for (int shared = 0; shared < 2; shared++) {
		pthread_barrierattr_t a;

		pthread_barrierattr_init(&a);
		pthread_barrierattr_setpshared(&a, shared);
		SAY("init, 4", pthread_barrier_init(&b, &a, 4));
		for (int round = 0; round < 5; round++) {
			int serial, strange = 0, r;

			for (int i = 0; i < 3; i++)
				other_begin(&o[i], at_barrier, &b);
			for (int i = 0; i < 3; i++)
				OTHER_ASLEEP("wait", &o[i], &b);
			errno = KEPT;
			r = pthread_barrier_wait(&b);
			serial = r == PTHREAD_BARRIER_SERIAL_THREAD;
			strange += r != 0 && r != PTHREAD_BARRIER_SERIAL_THREAD;
			strange += errno != KEPT;
			for (int i = 0; i < 3; i++) {
				other_end(&o[i], NULL);
				serial += o[i].result == PTHREAD_BARRIER_SERIAL_THREAD;
				strange += o[i].result != 0 &&
					   o[i].result != PTHREAD_BARRIER_SERIAL_THREAD;
				strange += o[i].error != KEPT;
			}
			say_number("wait, of 4 serial", serial);
			say_number("wait, other results", strange);
		}
		SAY("destroy", pthread_barrier_destroy(&b));
		pthread_barrierattr_destroy(&a);
	}
	for (int i = 0; i < 3; i++)
		other_leave(&o[i]);
	say_before = "";
}

/* Joining */

static void *returns(void *arg)
{
	return arg;
}

static void *leaves(void *arg)
{
	pthread_exit((char *)arg + 1);
}

static void *waits_for_post(void *s)
{
	while (sem_wait(s) != 0)
		;
	return (void *)0x1234;
}

static void say_value(const void *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)(intptr_t)value);
	say_text("its value", value == PTHREAD_CANCELED ? "PTHREAD_CANCELED" : text);
}

static int join_it(void *arg)
{
	return pthread_join(*(pthread_t *)arg, NULL);
}

static void *joins_main(void *arg)
{
	struct {
		pthread_t main;
		int tid;
	} *told = arg;

	told->tid = (int)gettid();
	return (void *)(intptr_t)pthread_join(told->main, NULL);
}

static void joins_with_time(sem_t *s)
{
	struct timespec later;
	void *value = NULL;
	pthread_t id;

	pthread_create(&id, NULL, waits_for_post, s);
	SAY("tryjoin, running", pthread_tryjoin_np(id, &value));
	SAY_TIMED("timedjoin, 5 ms", CLOCK_REALTIME, 5, pthread_timedjoin_np(id, &value, &at));
	SAY_TIMED("timedjoin, past", CLOCK_REALTIME, -1000, pthread_timedjoin_np(id, &value, &at));
#if __GLIBC_PREREQ(2, 31)
	SAY_TIMED("clockjoin, 5 ms", CLOCK_MONOTONIC, 5,
		  pthread_clockjoin_np(id, &value, CLOCK_MONOTONIC, &at));
	SAY_TIMED("clockjoin, bad clock", CLOCK_REALTIME, 0,
		  pthread_clockjoin_np(id, &value, CLOCK_THREAD_CPUTIME_ID, &at));
#endif
	sem_post(s);
	later = in_ms(CLOCK_REALTIME, 60000);
	SAY("timedjoin, 60 s", pthread_timedjoin_np(id, &value, &later));
	say_value(value);
}

void rules_of_joining(void)
{
	static struct {
		pthread_t main;
		int tid;
	} told;
	static sem_t of_detached;
	struct other o = {0};
	pthread_attr_t a;
	void *value = NULL;
	pthread_t id;
	sem_t s;
	int r;

	say_before = "join";
	sem_init(&s, 0, 0);
	sem_init(&of_detached, 0, 0);
	other_start(&o);
	pthread_create(&id, NULL, returns, (void *)77);
	SAY("join", pthread_join(id, &value));
	say_value(value);
	pthread_create(&id, NULL, leaves, (void *)77);
	SAY("join", pthread_join(id, &value));
	say_value(value);
	pthread_create(&id, NULL, waits_for_post, &s);
	pthread_cancel(id);
	SAY("join, cancelled", pthread_join(id, &value));
	say_value(value);
	SAY("join, myself", pthread_join(pthread_self(), NULL));
	SAY("tryjoin, myself", pthread_tryjoin_np(pthread_self(), NULL));

	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_create(&id, &a, waits_for_post, &of_detached);
	SAY("join, detached", pthread_join(id, &value));
	SAY("tryjoin, detached", pthread_tryjoin_np(id, &value));
	SAY("detach, detached", pthread_detach(id));
	sem_post(&of_detached);
	pthread_attr_destroy(&a);

	pthread_create(&id, NULL, waits_for_post, &s);
	other_begin(&o, join_it, &id);
	OTHER_ASLEEP_SOMEWHERE("join", &o);
	SAY("tryjoin, another joins it", pthread_tryjoin_np(id, NULL));
	count_signals(SIGUSR1, 0);
	pthread_kill(o.id, SIGUSR1);
	wait_for_signals(1);
	OTHER_ASLEEP_SOMEWHERE("join, after a signal", &o);
	sem_post(&s);
	other_end(&o, "join by another");

	/* the main thread; that it may not be joined by it in turn is not noticed by every glibc */
	told.main = pthread_self();
	pthread_create(&id, NULL, joins_main, &told);
	while (__atomic_load_n(&told.tid, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	until_asleep("join of the main thread", getpid(), told.tid, NULL, 0, -1);
	r = pthread_cancel(id);
	SAY("cancel", r);
	SAY("join, cancelled in a join", pthread_join(id, &value));
	say_value(value);
	joins_with_time(&s);
	other_leave(&o);
	sem_destroy(&s);
	say_before = "";
}

/* Once */

static pthread_once_t once = PTHREAD_ONCE_INIT, cancelled_once = PTHREAD_ONCE_INIT;
static sem_t once_begun, once_may_end;
static _Atomic int once_runs;

static void init_slowly(void)
{
	once_runs++;
	sem_post(&once_begun);
	while (sem_wait(&once_may_end) != 0)
		;
}

static int do_once(void *control)
{
	return pthread_once(control, init_slowly);
}

static void *do_once_to_be_cancelled(void *control)
{
	pthread_once(control, init_slowly);
	return NULL;
}

void rules_of_once(void)
{
	struct other o[3] = {{0}};
	void *value;
	pthread_t id;

	say_before = "once";
	sem_init(&once_begun, 0, 0);
	sem_init(&once_may_end, 0, 0);
	for (int i = 0; i < 3; i++) {
		other_start(&o[i]);
		other_begin(&o[i], do_once, &once);
		if (i == 0)
			sem_wait(&once_begun);
		else
			OTHER_ASLEEP("once", &o[i], &once);
	}
	sem_post(&once_may_end);
	for (int i = 0; i < 3; i++)
		other_end(&o[i], "once");
	SAY("once, done", pthread_once(&once, init_slowly));
	say_number("runs", once_runs);

	/* who is in it is cancelled: the next one is the first again */
	once_runs = 0;
	pthread_create(&id, NULL, do_once_to_be_cancelled, &cancelled_once);
	sem_wait(&once_begun);
	other_begin(&o[0], do_once, &cancelled_once);
	OTHER_ASLEEP("once", &o[0], &cancelled_once);
	pthread_cancel(id);
	SAY("join", pthread_join(id, &value));
	say_value(value);
	sem_wait(&once_begun);
	sem_post(&once_may_end);
	other_end(&o[0], "once, after a cancelled one");
	say_number("runs", once_runs);
	for (int i = 0; i < 3; i++)
		other_leave(&o[i]);
	say_before = "";
}

/* C11 */

static mtx_t mtx;
static cnd_t cnd;
static int is_told;

static void say_thrd(const char *what, int r)
{
	static const struct {
		int value;
		const char *name;
	} names[] = {{thrd_success, "thrd_success"},
		     {thrd_busy, "thrd_busy"},
		     {thrd_error, "thrd_error"},
		     {thrd_nomem, "thrd_nomem"},
		     {thrd_timedout, "thrd_timedout"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].value == r)
			say_text(what, errno == KEPT ? names[i].name : "and errno changed");
}

#define SAY_C11(what, call)              \
	do {                             \
		int c11_r;               \
		errno = KEPT;            \
		c11_r = (call);          \
		say_thrd((what), c11_r); \
	} while (0)

static int c11_lock(void *none)
{
	(void)none;
	return mtx_lock(&mtx);
}

static int c11_unlock(void *none)
{
	(void)none;
	return mtx_unlock(&mtx);
}

static int c11_try(void *none)
{
	(void)none;
	return mtx_trylock(&mtx);
}

static int c11_timed(void *none)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	(void)none;
	return mtx_timedlock(&mtx, &at);
}

static int c11_wait(void *is_timed)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);
	int r = thrd_success;

	mtx_lock(&mtx);
	while (!is_told && r == thrd_success)
		r = is_timed != NULL ? cnd_timedwait(&cnd, &mtx, &at) : cnd_wait(&cnd, &mtx);
	is_told = 0;
	mtx_unlock(&mtx);
	return r;
}

static int c11_main(void *arg)
{
	return (int)(intptr_t)arg;
}

static once_flag c11_once = ONCE_FLAG_INIT;
static int c11_runs;

static void c11_run(void)
{
	c11_runs++;
}

void rules_of_c11(void)
{
	static const int types[] = {mtx_plain, mtx_recursive, mtx_timed, mtx_timed | mtx_recursive};
	static const char *const names[] = {"mtx plain", "mtx recursive", "mtx timed",
					    "mtx timed recursive"};
	struct timespec bad = bad_time(), soon;
	struct other o = {0};
	thrd_t id;
	int value = 0;

	other_start(&o);
	say_before = "c11";
	SAY_C11("init, a bad type", mtx_init(&mtx, 4711));
	for (int i = 0; i < 4; i++) {
		say_before = names[i];
		SAY_C11("init", mtx_init(&mtx, types[i]));
		SAY_C11("lock", mtx_lock(&mtx));
		other_do(&o, "trylock by another", c11_try, NULL);
		SAY_C11("trylock, mine", mtx_trylock(&mtx));
		if (types[i] & mtx_recursive) {
			SAY_C11("lock, mine", mtx_lock(&mtx));
			SAY_C11("unlock", mtx_unlock(&mtx));
			SAY_C11("unlock", mtx_unlock(&mtx));
		} else {
			soon = in_ms(CLOCK_REALTIME, 5);
			SAY_C11("timedlock, mine", mtx_timedlock(&mtx, &soon));
			SAY_C11("timedlock, mine, bad time", mtx_timedlock(&mtx, &bad));
		}
		other_begin(&o, c11_lock, NULL);
		OTHER_ASLEEP("lock", &o, &mtx);
		SAY_C11("unlock", mtx_unlock(&mtx));
		other_end(&o, "lock by another");
		soon = in_ms(CLOCK_REALTIME, 5);
		SAY_C11("timedlock, another's", mtx_timedlock(&mtx, &soon));
		soon = in_ms(CLOCK_REALTIME, -1000);
		SAY_C11("timedlock, another's, past", mtx_timedlock(&mtx, &soon));
		SAY_C11("timedlock, another's, bad time", mtx_timedlock(&mtx, &bad));
		other_do(&o, "unlock by another", c11_unlock, NULL);
		soon = in_ms(CLOCK_REALTIME, -1000);
		SAY_C11("timedlock, free, past", mtx_timedlock(&mtx, &soon));
		other_begin(&o, c11_timed, NULL);
		OTHER_ASLEEP("timedlock", &o, &mtx);
		SAY_C11("unlock", mtx_unlock(&mtx));
		other_end(&o, "timedlock by another");
		other_do(&o, "unlock by another", c11_unlock, NULL);
		mtx_destroy(&mtx);
	}
	say_before = "cnd";
	mtx_init(&mtx, mtx_plain);
	SAY_C11("init", cnd_init(&cnd));
	SAY_C11("signal", cnd_signal(&cnd));
	for (int is_timed = 0; is_timed < 2; is_timed++)
		for (int is_all = 0; is_all < 2; is_all++) {
			other_begin(&o, c11_wait, is_timed ? &o : NULL);
			OTHER_ASLEEP("wait", &o, &cnd);
			mtx_lock(&mtx);
			is_told = 1;
			SAY_C11("waking", is_all ? cnd_broadcast(&cnd) : cnd_signal(&cnd));
			mtx_unlock(&mtx);
			other_end(&o, is_timed ? "timedwait" : "wait");
		}
	mtx_lock(&mtx);
	soon = in_ms(CLOCK_REALTIME, 5);
	SAY_C11("timedwait, 5 ms", cnd_timedwait(&cnd, &mtx, &soon));
	SAY_C11("timedwait, bad time", cnd_timedwait(&cnd, &mtx, &bad));
	SAY_C11("trylock, mine", mtx_trylock(&mtx));
	mtx_unlock(&mtx);
	cnd_destroy(&cnd);
	mtx_destroy(&mtx);

	say_before = "thrd";
	SAY_C11("create", thrd_create(&id, c11_main, (void *)(intptr_t)-77));
	SAY_C11("join", thrd_join(id, &value));
	say_number("its value", value);
	SAY_C11("join, myself", thrd_join(thrd_current(), &value));
	thrd_create(&id, c11_main, (void *)88);
	SAY_C11("detach", thrd_detach(id));
	call_once(&c11_once, c11_run);
	call_once(&c11_once, c11_run);
	say_number("call_once, runs", c11_runs);
	say_before = "";
	other_leave(&o);
}
