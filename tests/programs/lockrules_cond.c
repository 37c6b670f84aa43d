/* lockrules: condition variables, those of today and those of programs that were linked before 2003. */
#include <unistd.h>

#include "tests/programs/lockrules.h"

/* Condition variables. The mutex knows its owner: after each wait it has to be the waiter. */

static pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static int happened;

static int try_mutex(void *none)
{
	int r = pthread_mutex_trylock(&mutex);

	(void)none;
	if (r == 0)
		pthread_mutex_unlock(&mutex);
	return r;
}

struct waiting {
	void *cond;
	int (*wait)(void *cond);
};

static int wait_for_it(void *arg)
{
	struct waiting *w = arg;
	int r = 0, mine;

	pthread_mutex_lock(&mutex);
	while (!happened && r == 0)
		r = w->wait(w->cond);
	if (happened > 0)
		happened--;
	mine = pthread_mutex_trylock(&mutex);
	if (mine != EBUSY)
		say("the mutex after a wait", mine, KEPT);
	pthread_mutex_unlock(&mutex);
	return r;
}

static int wait_plain(void *c)
{
	return pthread_cond_wait(c, &mutex);
}

static int wait_timed(void *c)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_cond_timedwait(c, &mutex, &at);
}

#if __GLIBC_PREREQ(2, 30)
static int wait_clock(void *c)
{
	struct timespec at = in_ms(CLOCK_MONOTONIC, 60000);

	return pthread_cond_clockwait(c, &mutex, CLOCK_MONOTONIC, &at);
}

static int wait_realtime(void *c)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return pthread_cond_clockwait(c, &mutex, CLOCK_REALTIME, &at);
}
#endif

/* Several wait, one or all are woken. */
static void wakes(pthread_cond_t *c, int (*wait)(void *), const char *name, int is_all)
{
	struct other o[3] = {{0}};
	struct waiting w = {c, wait};
	int count = is_all ? 3 : 1;

	say_text(name, is_all ? "broadcast" : "signal");
	for (int i = 0; i < count; i++) {
		other_start(&o[i]);
		other_begin(&o[i], wait_for_it, &w);
		OTHER_ASLEEP(name, &o[i], c);
	}
	SAY("the mutex meanwhile", pthread_mutex_lock(&mutex));
	happened = count;
	SAY("waking", is_all ? pthread_cond_broadcast(c) : pthread_cond_signal(c));
	SAY("unlock", pthread_mutex_unlock(&mutex));
	for (int i = 0; i < count; i++) {
		other_end(&o[i], name);
		other_leave(&o[i]);
	}
}

static void times_of_conditions(pthread_cond_t *c, clockid_t clock, struct other *o)
{
	struct timespec bad = bad_time(), negative = {-1, 0};

	pthread_mutex_lock(&mutex);
	SAY_TIMED("timedwait, 5 ms", clock, 5, pthread_cond_timedwait(c, &mutex, &at));
	other_do(o, "the mutex after it", try_mutex, NULL);
	SAY_TIMED("timedwait, past", clock, -1000, pthread_cond_timedwait(c, &mutex, &at));
	SAY("timedwait, bad time", pthread_cond_timedwait(c, &mutex, &bad));
	SAY("timedwait, negative", pthread_cond_timedwait(c, &mutex, &negative));
	other_do(o, "the mutex after it", try_mutex, NULL);
#if __GLIBC_PREREQ(2, 30)
	SAY_TIMED("clockwait, 5 ms", CLOCK_MONOTONIC, 5,
		  pthread_cond_clockwait(c, &mutex, CLOCK_MONOTONIC, &at));
	other_do(o, "the mutex after it", try_mutex, NULL);
	SAY_TIMED("clockwait, realtime", CLOCK_REALTIME, 5,
		  pthread_cond_clockwait(c, &mutex, CLOCK_REALTIME, &at));
	SAY_TIMED("clockwait, past", CLOCK_MONOTONIC, -1000,
		  pthread_cond_clockwait(c, &mutex, CLOCK_MONOTONIC, &at));
	SAY_TIMED("clockwait, bad clock", CLOCK_REALTIME, 0,
		  pthread_cond_clockwait(c, &mutex, CLOCK_PROCESS_CPUTIME_ID, &at));
	SAY("clockwait, bad time", pthread_cond_clockwait(c, &mutex, CLOCK_MONOTONIC, &bad));
	other_do(o, "the mutex after it", try_mutex, NULL);
#endif
	SAY("unlock", pthread_mutex_unlock(&mutex));
	SAY("unlock, again", pthread_mutex_unlock(&mutex));
	/* with a mutex that is not the caller's */
	SAY("wait, mutex free", pthread_cond_wait(c, &mutex));
	SAY_TIMED("timedwait, mutex free", clock, 5, pthread_cond_timedwait(c, &mutex, &at));
	pthread_mutex_lock(&mutex);
	other_do(o, "wait, another's mutex", wait_plain, c);
	pthread_mutex_unlock(&mutex);
#if __GLIBC_PREREQ(2, 30)
	SAY_TIMED("clockwait, mutex free", CLOCK_MONOTONIC, 5,
		  pthread_cond_clockwait(c, &mutex, CLOCK_MONOTONIC, &at));
#endif
	SAY("the mutex", pthread_mutex_trylock(&mutex));
	pthread_mutex_unlock(&mutex);
}

/* A signal does not end a wait. */
static void signals_of_conditions(pthread_cond_t *c)
{
	struct other o = {0};
	struct waiting w = {c, wait_plain};

	other_start(&o);
	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		count_signals(SIGUSR1, flags);
		other_begin(&o, wait_for_it, &w);
		OTHER_ASLEEP("wait", &o, c);
		pthread_kill(o.id, SIGUSR1);
		wait_for_signals(1);
		OTHER_ASLEEP("wait, after a signal", &o, c);
		pthread_mutex_lock(&mutex);
		happened = 1;
		pthread_cond_signal(c);
		pthread_mutex_unlock(&mutex);
		other_end(&o, flags ? "wait, a handler with SA_RESTART" : "wait, a handler");
	}
	other_leave(&o);
}

/* Whose owner dies while one waits for something else. */
struct robust_wait {
	pthread_mutex_t m;
	pthread_cond_t c;
};

static int wait_robust(void *arg)
{
	struct robust_wait *w = arg;
	int r;

	pthread_mutex_lock(&w->m);
	r = pthread_cond_wait(&w->c, &w->m);
	if (r == EOWNERDEAD)
		say("consistent", pthread_mutex_consistent(&w->m), KEPT);
	if (r != ENOTRECOVERABLE)
		say("unlock", pthread_mutex_unlock(&w->m), KEPT);
	return r;
}

static void *signals_and_dies(void *arg)
{
	struct robust_wait *w = arg;

	pthread_mutex_lock(&w->m);
	pthread_cond_signal(&w->c);
	return NULL;
}

static void *locks_and_dies(void *arg)
{
	struct robust_wait *w = arg;

	pthread_mutex_lock(&w->m);
	return NULL;
}

static void robust_conditions(void)
{
	struct robust_wait w;
	struct other o = {0};
	pthread_mutexattr_t a;
	pthread_t id;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&w.m, &a);
	pthread_cond_init(&w.c, NULL);
	other_start(&o);
	for (int i = 0; i < 2; i++) {
		other_begin(&o, wait_robust, &w);
		OTHER_ASLEEP("wait", &o, &w.c);
		pthread_create(&id, NULL, signals_and_dies, &w);
		pthread_join(id, NULL);
		other_end(&o, "wait, the owner of the mutex died");
		SAY("lock after", pthread_mutex_lock(&w.m));
		pthread_mutex_unlock(&w.m);
	}
	/* given up by one while another waits for something else */
	other_begin(&o, wait_robust, &w);
	OTHER_ASLEEP("wait", &o, &w.c);
	pthread_mutex_lock(&w.m);
	pthread_create(&id, NULL, locks_and_dies, &w);
	pthread_mutex_unlock(&w.m);
	pthread_join(id, NULL);
	SAY("lock, its owner is dead", pthread_mutex_lock(&w.m));
	SAY("unlock, not consistent", pthread_mutex_unlock(&w.m));
	pthread_cond_signal(&w.c);
	other_end(&o, "wait, given up meanwhile");
	other_leave(&o);
	pthread_mutexattr_destroy(&a);
}

static pthread_cond_t static_cond = PTHREAD_COND_INITIALIZER;

void rules_of_conditions(void)
{
	struct other o = {0};

	other_start(&o);
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = {"cond", "cond, monotonic", "cond, shared",
						    "cond, monotonic, shared", "cond, static"};
		clockid_t clock = i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
		pthread_cond_t made, *c = i == 4 ? &static_cond : &made;
		pthread_condattr_t a;

		say_before = names[i];
		pthread_condattr_init(&a);
		SAY("setclock", pthread_condattr_setclock(&a, clock));
		SAY("setclock, a bad one", pthread_condattr_setclock(&a, CLOCK_THREAD_CPUTIME_ID));
		pthread_condattr_setpshared(&a, i / 2 % 2);
		if (i < 4)
			SAY("init", pthread_cond_init(c, &a));
		SAY("signal, nobody waits", pthread_cond_signal(c));
		SAY("broadcast, nobody waits", pthread_cond_broadcast(c));
		for (int is_all = 0; is_all < 2; is_all++) {
			wakes(c, wait_plain, "wait", is_all);
			if (clock == CLOCK_REALTIME)
				wakes(c, wait_timed, "timedwait", is_all);
#if __GLIBC_PREREQ(2, 30)
			wakes(c, wait_clock, "clockwait", is_all);
			wakes(c, wait_realtime, "clockwait, realtime", is_all);
#endif
		}
		times_of_conditions(c, clock, &o);
		signals_of_conditions(c);
		SAY("destroy", pthread_cond_destroy(c));
		pthread_condattr_destroy(&a);
	}
	other_leave(&o);
	say_before = "cond, robust mutex";
	robust_conditions();
	say_before = "";
}

/* Those of programs that were linked before 2003: a pointer to a condition variable that is made at its first use. */
#if defined(__x86_64__) && defined(__GLIBC__)
typedef struct {
	void *cond;
} old_cond;

int old_init(old_cond *c, const pthread_condattr_t *a);
int old_destroy(old_cond *c);
int old_wait(old_cond *c, pthread_mutex_t *m);
int old_timedwait(old_cond *c, pthread_mutex_t *m, const struct timespec *at);
int old_signal(old_cond *c);
int old_broadcast(old_cond *c);
__asm__(".symver old_init, pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_destroy, pthread_cond_destroy@GLIBC_2.2.5");
__asm__(".symver old_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_signal, pthread_cond_signal@GLIBC_2.2.5");
__asm__(".symver old_broadcast, pthread_cond_broadcast@GLIBC_2.2.5");

static int wait_old(void *c)
{
	return old_wait(c, &mutex);
}

static int wait_old_timed(void *c)
{
	struct timespec at = in_ms(CLOCK_REALTIME, 60000);

	return old_timedwait(c, &mutex, &at);
}

void rules_of_old_conditions(void)
{
	static old_cond first;
	/* what lies behind it is not its own: the new functions would use more than a pointer */
	struct {
		old_cond c;
		unsigned char other[64];
	} guarded;
	struct other o[3] = {{0}};
	struct timespec bad = bad_time();
	int changed = 0;

	say_before = "cond of GLIBC_2.2.5";
	memset(&guarded, 0x5a, sizeof(guarded));
	SAY("init", old_init(&guarded.c, NULL));
	for (int i = 0; i < 3; i++)
		other_start(&o[i]);
	for (int i = 0; i < 8; i++) {
		struct waiting w = {i / 4 ? &first : &guarded.c, i % 2 ? wait_old_timed : wait_old};
		int count = i / 2 % 2 ? 3 : 1;

		for (int j = 0; j < count; j++) {
			other_begin(&o[j], wait_for_it, &w);
			OTHER_ASLEEP_SOMEWHERE("wait", &o[j]);
		}
		pthread_mutex_lock(&mutex);
		happened = count;
		SAY("waking", count > 1 ? old_broadcast(w.cond) : old_signal(w.cond));
		pthread_mutex_unlock(&mutex);
		for (int j = 0; j < count; j++)
			other_end(&o[j], i % 2 ? "timedwait" : "wait");
	}
	pthread_mutex_lock(&mutex);
	SAY_TIMED("timedwait, 5 ms", CLOCK_REALTIME, 5, old_timedwait(&guarded.c, &mutex, &at));
	SAY_TIMED("timedwait, past", CLOCK_REALTIME, -1000, old_timedwait(&guarded.c, &mutex, &at));
	SAY("timedwait, bad time", old_timedwait(&guarded.c, &mutex, &bad));
	other_do(&o[0], "the mutex after it", try_mutex, NULL);
	pthread_mutex_unlock(&mutex);
	SAY("wait, mutex free", old_wait(&guarded.c, &mutex));
	SAY("signal, nobody waits", old_signal(&guarded.c));
	SAY("broadcast, nobody waits", old_broadcast(&guarded.c));
	SAY("destroy", old_destroy(&guarded.c));
	SAY("destroy, static", old_destroy(&first));
	for (size_t i = 0; i < sizeof(guarded.other); i++)
		changed += guarded.other[i] != 0x5a;
	say_number("bytes changed behind it", changed);
	for (int i = 0; i < 3; i++)
		other_leave(&o[i]);
	say_before = "";
}
#else
void rules_of_old_conditions(void)
{
	say_text("cond of GLIBC_2.2.5", "not on this processor");
}
#endif
