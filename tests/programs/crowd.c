/*
 * crowd: threads of every kind.
 *
 *     crowd WHAT MILLISECONDS
 *
 * Prints {"burn_a": ns, "process_ns": ns}: what the threads burnt, by their own clocks.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_main)

static int64_t amount;
static _Atomic int64_t burnt;
static _Atomic int finished;

static int print(void)
{
	printf("{\"burn_a\": %lld, \"process_ns\": %lld}\n", (long long)burnt,
	       (long long)process_ns());
	return 0;
}

static void *just_burn(void *arg)
{
	(void)arg;
	burnt += burn_a(amount);
	finished++;
	return NULL;
}

static int plain(void)
{
	pthread_t id[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&id[i], NULL, just_burn, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(id[i], NULL);
	return print();
}

static void *storm_main(void *arg)
{
	int64_t begun = thread_ns();

	(void)arg;
	host_spin();
	burnt += thread_ns() - begun;
	return NULL;
}

/* Threads that live for a fraction of a period. */
static int storm(int n)
{
	for (int i = 0; i < n; i += 10) {
		pthread_t id[10];

		for (int j = 0; j < 10; j++)
			if (pthread_create(&id[j], NULL, storm_main, NULL) != 0)
				return 1;
		for (int j = 0; j < 10; j++)
			pthread_join(id[j], NULL);
	}
	printf("{\"storm_main\": %lld, \"process_ns\": %lld}\n", (long long)burnt,
	       (long long)process_ns());
	return 0;
}

static void *block_and_burn(void *how)
{
	sigset_t set;

	sigfillset(&set);
	if (how == NULL)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	else
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8); /* past every wrapper */
	return just_burn(NULL);
}

static int blocked(int by_kernel)
{
	pthread_t id[2];
	sigset_t all, old;

	if (!by_kernel) { /* as libraries do around creating their threads, which inherit it */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&id[i], NULL, i == 0 || by_kernel ? block_and_burn : just_burn,
			       by_kernel ? (void *)1 : NULL);
	if (!by_kernel)
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	return print();
}

static void *exit_main(void *arg)
{
	just_burn(arg);
	pthread_exit(NULL);
	return NULL;
}

static void *cancel_main(void *arg)
{
	just_burn(arg);
	while (finished > 0) /* until it is cancelled */
		pause();
	return NULL;
}

static int leaving(void)
{
	pthread_t id[3];
	pthread_attr_t attr;

	pthread_create(&id[0], NULL, exit_main, NULL);
	pthread_create(&id[1], NULL, cancel_main, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_create(&id[2], &attr, just_burn, NULL);
	while (finished < 3)
		usleep(1000);
	pthread_cancel(id[1]);
	pthread_join(id[0], NULL);
	pthread_join(id[1], NULL);
	return print();
}

/* The main thread leaves, the others go on. */
static void *last_main(void *main_thread)
{
	pthread_join(*(pthread_t *)main_thread, NULL);
	just_burn(NULL);
	print();
	exit(0);
}

static void main_leaves(void)
{
	static pthread_t self;
	pthread_t id;

	self = pthread_self();
	burnt += burn_a(amount);
	pthread_create(&id, NULL, last_main, &self);
	pthread_exit(NULL);
}

static int small_stacks(void)
{
	static char stacks[4][16384] __attribute__((aligned(4096)));
	pthread_attr_t attr;
	pthread_t id[8];

	for (int i = 0; i < 8; i++) {
		pthread_attr_init(&attr);
		if (i < 4)
			pthread_attr_setstacksize(&attr, 16384);
		else
			pthread_attr_setstack(&attr, stacks[i - 4], 16384);
		if (pthread_create(&id[i], &attr, just_burn, NULL) != 0)
			return 1;
	}
	for (int i = 0; i < 8; i++)
		pthread_join(id[i], NULL);
	return print();
}

#define CLONE_ALL (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static int raw_clock(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &t);
	return 0;
}

/* Without a thread block of the C library's own: it must do without errno and such. */
static int clone_main(void *arg)
{
	int64_t ns;

	(void)arg;
	raw_clock();
	ns = burn_a(amount);
	burnt += ns;
	finished = 1;
	syscall(SYS_futex, &finished, FUTEX_WAKE, 1, NULL, NULL, 0);
	syscall(SYS_exit, 0);
	return 0;
}

static char *new_stack(void)
{
	char *memory = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	return memory + (1 << 18) - 64;
}

static void sleep_until_finished(void)
{
	while (!finished)
		syscall(SYS_futex, &finished, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static int by_clone(void)
{
	/* the thread shares the main one's thread block, which stays asleep meanwhile */
	if (clone(clone_main, new_stack(), CLONE_ALL, NULL) < 0)
		return 1;
	sleep_until_finished();
	return print();
}

/* clone() by hand, as languages with a run-time of their own do: nobody is told of the thread. */
static int by_instruction(void)
{
	long tid;
	register char *stack __asm__("rsi") = new_stack();
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "xor %%edi, %%edi\n\t"
			 "call *%[entry]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(tid)
			 : "a"((long)SYS_clone), "D"((long)CLONE_ALL), "r"(stack), "d"(0L),
			   "r"(r10), "r"(r8), [entry] "b"(clone_main)
			 : "rcx", "r11", "memory");
	if (tid < 0)
		return 1;
	sleep_until_finished();
	return print();
}

static void key_ends(void *value)
{
	(void)value;
	burnt += burn_a(amount);
}

static void *key_main(void *key)
{
	pthread_setspecific(*(pthread_key_t *)key, key);
	return NULL;
}

/* The work is done by a destructor of thread-specific data. */
static int in_destructor(void)
{
	pthread_key_t key;
	pthread_t id;

	pthread_key_create(&key, key_ends);
	pthread_create(&id, NULL, key_main, &key);
	pthread_join(id, NULL);
	return print();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc < 3)
		return 2;
	amount = atoll(argv[2]) * MS;
	if (strcmp(what, "plain") == 0)
		return plain();
	if (strcmp(what, "storm") == 0)
		return storm(atoi(argv[2]));
	if (strcmp(what, "blocked") == 0)
		return blocked(0);
	if (strcmp(what, "blockedraw") == 0)
		return blocked(1);
	if (strcmp(what, "leaving") == 0)
		return leaving();
	if (strcmp(what, "mainleaves") == 0)
		main_leaves();
	if (strcmp(what, "small") == 0)
		return small_stacks();
	if (strcmp(what, "clone") == 0)
		return by_clone();
	if (strcmp(what, "instruction") == 0)
		return by_instruction();
	if (strcmp(what, "destructor") == 0)
		return in_destructor();
	return 2;
}
