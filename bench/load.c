/*
 * load: programs with a known answer to "where does the CPU time go".
 *
 *     load [-i HZ] LOAD SECONDS      SECONDS of CPU time, all threads together
 *
 *     one            one thread
 *     four           four threads, a quarter each
 *     unequal        four threads: 40, 30, 20 and 10 %
 *     split:A:B      one thread, two functions in this proportion, taking turns every few microseconds
 *     kernel         one thread, about half in read() of /dev/zero, in turns of random length
 *     period:US      one thread, 30 % in one function and 70 % in another, once every US microseconds exactly
 *
 * Part a (and worker threads) lies in sections of its own, so an address tells which one it belongs to. At the end:
 *
 *     cpu_ns N                       of the process, by getrusage()
 *     truth PERCENT                  what part a really used of both, where there are two parts
 *     thread I NS                    each worker's CPU clock
 *     range NAME FROM TO             addresses of a, b, worker0 …
 *
 * -i HZ samples with setitimer(ITIMER_PROF), the oldest way, and adds what its handler saw:
 *
 *     itimer SAMPLES A B T0 T1 T2 T3
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define WORKERS     4
#define IN(name)    __attribute__((noinline, noclone, section(#name)))
#define RANGE(name) extern const char __start_##name[], __stop_##name[]

RANGE(part_a);
RANGE(part_b);
RANGE(worker0);
RANGE(worker1);
RANGE(worker2);
RANGE(worker3);

static uint64_t turns_per_us;
static double shares[WORKERS];
static uint64_t used_ns[WORKERS], truth_a, truth_b, all_ns;
static int workers = 1, part_a_us = 1, part_b_us, period_us;
static int is_kernel;
static volatile uint64_t sink;

static _Atomic uint64_t samples, samples_a, samples_b, samples_of[WORKERS];
static __thread int worker_index = -1;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* A chain of dependent steps: the same number takes the same time. */
#define BURN(n)                                                               \
	uint64_t x = (n) | 1;                                                 \
                                                                              \
	for (uint64_t i = (n); i-- > 0;) {                                    \
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u; \
		__asm__ volatile("" : "+r"(x));                               \
	}                                                                     \
	sink = x

IN(part_a) static void burn_a(uint64_t n)
{
	BURN(n);
}

IN(part_b) static void burn_b(uint64_t n)
{
	BURN(n);
}

/* The instruction itself stands here, so that the leaf alone tells the part. */
IN(part_b) static void read_zeros(int fd, char *buffer, size_t size, int times)
{
	while (times-- > 0) {
		long r;

		__asm__ volatile("syscall"
				 : "=a"(r)
				 : "0"(0L), "D"((long)fd), "S"(buffer), "d"(size)
				 : "rcx", "r11", "memory");
	}
}

static uint32_t random_below(uint32_t n)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state % n);
}

static void burn_and_read(uint64_t until)
{
	static char buffer[65536];
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	uint64_t from = thread_ns(), middle, end;

	while (from < until) {
		read_zeros(fd, buffer, sizeof(buffer), 20 + (int)random_below(180));
		middle = thread_ns();
		burn_a((middle - from) * turns_per_us / 1000);
		end = thread_ns();
		truth_b += middle - from;
		truth_a += end - middle;
		from = end;
	}
	close(fd);
}

/* Turns are counted from the thread's CPU clock, so that they never drift. */
static void burn_in_time(uint64_t until)
{
	uint64_t begun = thread_ns(), now = begun, period_ns = (uint64_t)period_us * 1000, middle,
		 from;
	uint64_t step = turns_per_us * (uint64_t)period_us / 300;

	for (uint64_t turn = 0; now < until; turn++) {
		from = now;
		middle = begun + turn * period_ns + period_ns * 3 / 10;
		while (now < middle) {
			burn_a(step);
			now = thread_ns();
		}
		truth_a += now - from;
		from = now;
		while (now < begun + (turn + 1) * period_ns) {
			burn_b(step);
			now = thread_ns();
		}
		truth_b += now - from;
	}
}

static void burn_by_turns(uint64_t until)
{
	while (thread_ns() < until) {
		for (int i = 0; i < 50; i++) {
			burn_a(turns_per_us * (uint64_t)part_a_us);
			if (part_b_us > 0)
				burn_b(turns_per_us * (uint64_t)part_b_us);
		}
	}
}

static void work(int index)
{
	uint64_t from = thread_ns(), until = from + (uint64_t)(shares[index] * (double)all_ns);

	worker_index = index;
	if (is_kernel)
		burn_and_read(until);
	else if (period_us > 0)
		burn_in_time(until);
	else
		burn_by_turns(until);
	used_ns[index] = thread_ns() - from;
}

#define WORKER(n)                                                                    \
	IN(worker##n) static void *run_worker##n(void *unused)                       \
	{                                                                            \
		work(n);                                                             \
		return (void *)(uintptr_t)n; /* not a tail call: this frame stays */ \
	}
WORKER(0)
WORKER(1)
WORKER(2)
WORKER(3)
static void *(*const run_worker[WORKERS])(void *) = {run_worker0, run_worker1, run_worker2,
						     run_worker3};

static void on_signal(int sig, siginfo_t *info, void *uc)
{
	uintptr_t pc = (uintptr_t)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];

	samples++;
	samples_a += pc >= (uintptr_t)__start_part_a && pc < (uintptr_t)__stop_part_a;
	samples_b += pc >= (uintptr_t)__start_part_b && pc < (uintptr_t)__stop_part_b;
	if (worker_index >= 0)
		samples_of[worker_index]++;
}

static void set_itimer(long hz)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval every = {{hz == 1, hz == 1 ? 0 : 1000000 / hz},
				  {hz == 1, hz == 1 ? 0 : 1000000 / hz}};

	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
}

static void calibrate(void)
{
	uint64_t best = UINT64_MAX, n = 200000;

	for (int i = 0; i < 20; i++) {
		uint64_t from = thread_ns(), spent;

		burn_b(n);
		spent = thread_ns() - from;
		best = spent < best ? spent : best;
	}
	turns_per_us = n * 1000 / best;
}

static int parse(const char *load)
{
	static const double quarter[WORKERS] = {.25, .25, .25, .25},
			    unequal[WORKERS] = {.4, .3, .2, .1};

	shares[0] = 1;
	if (strcmp(load, "four") == 0 || strcmp(load, "unequal") == 0) {
		workers = WORKERS;
		memcpy(shares, load[0] == 'f' ? quarter : unequal, sizeof(shares));
	} else if (strcmp(load, "kernel") == 0) {
		is_kernel = 1;
	} else if (strcmp(load, "one") != 0 &&
		   sscanf(load, "split:%d:%d", &part_a_us, &part_b_us) != 2 &&
		   sscanf(load, "period:%d", &period_us) != 1) {
		return -1;
	}
	return 0;
}

static void print_range(const char *name, const char *from, const char *to)
{
	printf("range %s %lu %lu\n", name, (unsigned long)from, (unsigned long)to);
}

static void report(long hz)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	printf("cpu_ns %.0f\n",
	       1e9 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       1e3 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
	if (part_b_us > 0)
		printf("truth %.3f\n", 100.0 * part_a_us / (part_a_us + part_b_us));
	if (truth_a > 0)
		printf("truth %.3f\n", 100.0 * (double)truth_a / (double)(truth_a + truth_b));
	for (int i = 0; i < workers; i++)
		printf("thread %d %lu\n", i, used_ns[i]);
	print_range("a", __start_part_a, __stop_part_a);
	print_range("b", __start_part_b, __stop_part_b);
	print_range("worker0", __start_worker0, __stop_worker0);
	print_range("worker1", __start_worker1, __stop_worker1);
	print_range("worker2", __start_worker2, __stop_worker2);
	print_range("worker3", __start_worker3, __stop_worker3);
	if (hz > 0)
		printf("itimer %lu %lu %lu %lu %lu %lu %lu\n", samples, samples_a, samples_b,
		       samples_of[0], samples_of[1], samples_of[2], samples_of[3]);
}

int main(int argc, char **argv)
{
	pthread_t threads[WORKERS];
	long hz = 0;
	int option;

	while ((option = getopt(argc, argv, "i:")) == 'i')
		hz = atol(optarg);
	if (option != -1 || argc - optind != 2 || parse(argv[optind]) < 0) {
		fputs("usage: load [-i HZ] one|four|unequal|split:A:B|kernel|period:US SECONDS\n",
		      stderr);
		return 2;
	}
	all_ns = (uint64_t)(atof(argv[optind + 1]) * 1e9);
	calibrate();
	if (hz > 0)
		set_itimer(hz);
	for (int i = 0; i < workers; i++)
		pthread_create(&threads[i], NULL, run_worker[i], NULL);
	for (int i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	if (hz > 0)
		setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
	report(hz);
	return 0;
}
