/* lockrules: locks that two processes have, forks while some are held, and counting right while all of it goes on. */
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

/* What both processes see. */
static struct shared {
	pthread_mutex_t m, robust, robust_inherit;
	pthread_rwlock_t rw;
	pthread_cond_t c;
	pthread_barrier_t b;
	pthread_spinlock_t spin;
	sem_t s, turn;
	int happened;
	_Atomic int spins;
} * both;

static void make_shared(void)
{
	pthread_mutexattr_t a;
	pthread_rwlockattr_t ra;
	pthread_condattr_t ca;
	pthread_barrierattr_t ba;

	both = mmap(NULL, sizeof(*both), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&both->m, &a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&both->robust, &a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&both->robust_inherit, &a);
	pthread_rwlockattr_init(&ra);
	pthread_rwlockattr_setpshared(&ra, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&both->rw, &ra);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&both->c, &ca);
	pthread_barrierattr_init(&ba);
	pthread_barrierattr_setpshared(&ba, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&both->b, &ba, 2);
	pthread_spin_init(&both->spin, PTHREAD_PROCESS_SHARED);
	sem_init(&both->s, 1, 0);
	sem_init(&both->turn, 1, 0);
}

static void end_of(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		;
	say_number("the child's status", status);
}

/* A child that waits, and the parent that lets it. */
static void child_waits(const char *name, int (*wait)(void), const void *object, size_t size,
			int (*hold)(void), int (*let)(void), int (*give_back)(void))
{
	pid_t child;

	say_before = name;
	if (hold != NULL)
		SAY("parent holds", hold());
	child = fork();
	if (child == 0) {
		alarm(60);
		SAY("child waits", wait());
		if (give_back != NULL)
			SAY("child gives back", give_back());
		_exit(3);
	}
	until_asleep("child", child, child, object, size, -1);
	SAY("parent lets", let());
	end_of(child);
}

#define CALL(name, call)       \
	static int name(void)  \
	{                      \
		return (call); \
	}

CALL(lock_m, pthread_mutex_lock(&both->m))
CALL(unlock_m, pthread_mutex_unlock(&both->m))
CALL(lock_robust, pthread_mutex_lock(&both->robust))
CALL(unlock_robust, pthread_mutex_unlock(&both->robust))
CALL(lock_robust_inherit, pthread_mutex_lock(&both->robust_inherit))
CALL(unlock_robust_inherit, pthread_mutex_unlock(&both->robust_inherit))
CALL(read_rw, pthread_rwlock_rdlock(&both->rw))
CALL(write_rw, pthread_rwlock_wrlock(&both->rw))
CALL(unlock_rw, pthread_rwlock_unlock(&both->rw))
CALL(wait_sem, sem_wait(&both->s))
CALL(post_sem, sem_post(&both->s))

static int wait_cond(void)
{
	int r = 0;

	pthread_mutex_lock(&both->m);
	while (!both->happened && r == 0)
		r = pthread_cond_wait(&both->c, &both->m);
	both->happened = 0;
	return r;
}

static int signal_cond(void)
{
	int r;

	pthread_mutex_lock(&both->m);
	both->happened = 1;
	r = pthread_cond_signal(&both->c);
	pthread_mutex_unlock(&both->m);
	return r;
}

static int wait_barrier(void)
{
	int r = pthread_barrier_wait(&both->b);

	/* the kernel chooses which of the two it is */
	return r == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : r;
}

static void two_processes(void)
{
	child_waits("shared mutex", lock_m, &both->m, sizeof(both->m), lock_m, unlock_m, unlock_m);
	child_waits("shared robust", lock_robust, &both->robust, sizeof(both->robust), lock_robust,
		    unlock_robust, unlock_robust);
	child_waits("shared robust inherit", lock_robust_inherit, &both->robust_inherit,
		    sizeof(both->robust_inherit), lock_robust_inherit, unlock_robust_inherit,
		    unlock_robust_inherit);
	child_waits("shared rwlock, reader", read_rw, &both->rw, sizeof(both->rw), write_rw,
		    unlock_rw, unlock_rw);
	child_waits("shared rwlock, writer", write_rw, &both->rw, sizeof(both->rw), read_rw,
		    unlock_rw, unlock_rw);
	child_waits("shared cond", wait_cond, &both->c, sizeof(both->c), NULL, signal_cond,
		    unlock_m);
	child_waits("shared sem", wait_sem, &both->s, sizeof(both->s), NULL, post_sem, NULL);
	child_waits("shared barrier", wait_barrier, &both->b, sizeof(both->b), NULL, wait_barrier,
		    NULL);
}

/* A process dies with a lock: by itself, and by SIGKILL. */
static void processes_that_die(void)
{
	for (int i = 0; i < 4; i++) {
		pthread_mutex_t *m = i % 2 ? &both->robust_inherit : &both->robust;
		pid_t child = fork();
		int r;

		say_before = i % 2 ? "dies with robust inherit" : "dies with robust";
		if (child == 0) {
			alarm(60);
			SAY("child locks", pthread_mutex_lock(m));
			sem_post(&both->turn);
			if (i / 2)
				for (;;)
					pause();
			_exit(4);
		}
		while (sem_wait(&both->turn) != 0)
			;
		if (i / 2)
			kill(child, SIGKILL);
		errno = KEPT;
		r = pthread_mutex_lock(m);
		say("lock", r, errno);
		SAY("consistent", pthread_mutex_consistent(m));
		SAY("unlock", pthread_mutex_unlock(m));
		end_of(child);
	}
}

/* Forks while this thread, or another, holds something, and a third waits for it. */

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;

static int lock_plain(void *none)
{
	(void)none;
	return pthread_mutex_lock(&plain);
}

static int unlock_plain(void *none)
{
	(void)none;
	return pthread_mutex_unlock(&plain);
}

static int write_here(void *none)
{
	(void)none;
	return pthread_rwlock_wrlock(&rw);
}

static int unlock_here(void *none)
{
	(void)none;
	return pthread_rwlock_unlock(&rw);
}

static void forks_while_held(void)
{
	struct other holder = {0}, waiter = {0}, writer = {0};
	pid_t child;

	say_before = "fork, held";
	other_start(&holder);
	other_start(&waiter);
	other_start(&writer);
	pthread_mutex_lock(&checked);
	pthread_mutex_lock(&recursive);
	pthread_rwlock_rdlock(&rw);
	other_do(&holder, "holder", lock_plain, NULL);
	other_begin(&waiter, lock_plain, NULL);
	OTHER_ASLEEP("waiter", &waiter, &plain);
	other_begin(&writer, write_here, NULL);
	OTHER_ASLEEP("writer", &writer, &rw);
	child = fork();
	if (child == 0) {
		alarm(60);
		SAY("child: trylock, another's", pthread_mutex_trylock(&plain));
		SAY_TIMED("child: timedlock, another's", CLOCK_REALTIME, 5,
			  pthread_mutex_timedlock(&plain, &at));
		/* its number is another than its parent's */
		SAY("child: unlock, errorcheck", pthread_mutex_unlock(&checked));
		SAY("child: trylock, errorcheck", pthread_mutex_trylock(&checked));
		SAY("child: unlock, recursive", pthread_mutex_unlock(&recursive));
		SAY("child: tryrdlock", pthread_rwlock_tryrdlock(&rw));
		SAY("child: unlock, another's", pthread_mutex_unlock(&plain));
		SAY("child: lock", pthread_mutex_lock(&plain));
		SAY("child: unlock", pthread_mutex_unlock(&plain));
		{
			/* and threads of its own, which contend */
			struct other o = {0};

			other_start(&o);
			pthread_mutex_lock(&plain);
			other_begin(&o, lock_plain, NULL);
			OTHER_ASLEEP("child's thread", &o, &plain);
			pthread_mutex_unlock(&plain);
			other_end(&o, "child's thread");
			other_do(&o, "child's thread", unlock_plain, NULL);
			other_leave(&o);
		}
		_exit(5);
	}
	end_of(child);
	OTHER_ASLEEP("waiter, after the fork", &waiter, &plain);
	other_do(&holder, "holder unlocks", unlock_plain, NULL);
	other_end(&waiter, "waiter");
	other_do(&waiter, "waiter unlocks", unlock_plain, NULL);
	SAY("unlock, reader", pthread_rwlock_unlock(&rw));
	other_end(&writer, "writer");
	other_do(&writer, "writer unlocks", unlock_here, NULL);
	SAY("unlock, errorcheck", pthread_mutex_unlock(&checked));
	SAY("unlock, recursive", pthread_mutex_unlock(&recursive));
	other_leave(&holder);
	other_leave(&waiter);
	other_leave(&writer);
}

/* Once: a child whose parent was in the middle of it begins again. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t begun, may_end;
static _Atomic int is_child, runs;

static void init_in_parent(void)
{
	runs++;
	if (is_child)
		return;
	sem_post(&begun);
	while (sem_wait(&may_end) != 0)
		;
}

static int do_once(void *none)
{
	(void)none;
	return pthread_once(&once, init_in_parent);
}

static void forks_in_once(void)
{
	struct other o = {0};
	pid_t child;

	say_before = "fork in once";
	sem_init(&begun, 0, 0);
	sem_init(&may_end, 0, 0);
	other_start(&o);
	other_begin(&o, do_once, NULL);
	while (sem_wait(&begun) != 0)
		;
	child = fork();
	if (child == 0) {
		alarm(60);
		is_child = 1;
		SAY("child: once", pthread_once(&once, init_in_parent));
		say_number("child: runs", runs);
		_exit(6);
	}
	end_of(child);
	sem_post(&may_end);
	other_end(&o, "once");
	say_number("runs", runs);
	other_leave(&o);
}

/* Threads contend for all of it, and others fork all the while: nothing is counted wrong, nobody hangs. */
#define STORM_THREADS 4
#define STORM_ROUNDS  3000

static pthread_cond_t storm_cond = PTHREAD_COND_INITIALIZER;
static sem_t storm_sem;
static pthread_spinlock_t storm_spin;
static long in_plain, in_checked, in_rw, in_sem, in_spin, waits_ended;

static void *storm_main(void *arg)
{
	uint32_t random = (uint32_t)(uintptr_t)arg * 2654435761u;
	int wrong = 0;

	for (int i = 0; i < STORM_ROUNDS; i++) {
		struct timespec soon;

		random = random * 1664525 + 1013904223;
		wrong += pthread_mutex_lock(&plain) != 0;
		in_plain++;
		if (random >> 28 == 0)
			sched_yield();
		if (random >> 26 == 1) {
			int r;

			soon = in_ms(CLOCK_REALTIME, 0);
			soon.tv_nsec += soon.tv_nsec < 999000000 ? 50000 : 0;
			r = pthread_cond_timedwait(&storm_cond, &plain, &soon);
			wrong += r != 0 && r != ETIMEDOUT;
			waits_ended++;
		} else if (random >> 26 == 2) {
			wrong += pthread_cond_broadcast(&storm_cond) != 0;
		}
		wrong += pthread_mutex_unlock(&plain) != 0;
		wrong += pthread_mutex_lock(&checked) != 0;
		in_checked++;
		wrong += pthread_mutex_lock(&checked) != EDEADLK;
		wrong += pthread_mutex_unlock(&checked) != 0;
		if (random >> 30 == 0) {
			wrong += pthread_rwlock_wrlock(&rw) != 0;
			in_rw++;
		} else {
			wrong += pthread_rwlock_rdlock(&rw) != 0;
		}
		if (random >> 24 % 16 == 0)
			sched_yield();
		wrong += pthread_rwlock_unlock(&rw) != 0;
		while (sem_wait(&storm_sem) != 0)
			wrong += errno != EINTR;
		in_sem++;
		wrong += sem_post(&storm_sem) != 0;
		wrong += pthread_spin_lock(&storm_spin) != 0;
		in_spin++;
		wrong += pthread_spin_unlock(&storm_spin) != 0;
	}
	return (void *)(intptr_t)wrong;
}

static void storm(void)
{
	pthread_t ids[STORM_THREADS];
	int strange = 0, wrong = 0;

	say_before = "storm";
	sem_init(&storm_sem, 0, 1);
	pthread_spin_init(&storm_spin, 0);
	for (int i = 0; i < STORM_THREADS; i++)
		pthread_create(&ids[i], NULL, storm_main, (void *)(uintptr_t)(i + 1));
	for (int i = 0; i < 60; i++) {
		pid_t child = fork();
		int status = 0;

		if (child == 0) {
			struct other o = {0};
			pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

			alarm(60);
			other_start(&o);
			pthread_mutex_lock(&m);
			other_begin(&o, (int (*)(void *))pthread_mutex_lock, &m);
			free(malloc(100));
			pthread_mutex_unlock(&m);
			other_end(&o, NULL);
			other_leave(&o);
			_exit(o.result == 0 ? 9 : 1);
		}
		while (waitpid(child, &status, 0) < 0)
			;
		strange += !WIFEXITED(status) || WEXITSTATUS(status) != 9;
	}
	say_number("children that ended otherwise", strange);
	for (int i = 0; i < STORM_THREADS; i++) {
		void *value;

		pthread_join(ids[i], &value);
		wrong += (int)(intptr_t)value;
	}
	say_number("wrong results", wrong);
	say_number("counted too few", in_plain != STORM_THREADS * STORM_ROUNDS ||
					      in_checked != in_plain || in_sem != in_plain ||
					      in_spin != in_plain || in_rw == 0);
	say_number("waited", waits_ended > 0);
}

void rules_of_forking(void)
{
	make_shared();
	two_processes();
	processes_that_die();
	forks_while_held();
	forks_in_once();
	storm();
	say_before = "";
}
