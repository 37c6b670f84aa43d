/*
 * burn: CPU time in known shares.
 *
 *     burn split PERCENT SECONDS [US]  burn_a PERCENT of the time, burn_b the rest
 *     burn threads SECONDS          four threads, one, two, three and four tenths of it
 *     burn kernel SECONDS [US]      half in user code (burn_a), half in read() (burn_kernel)
 *     burn beat PERIOD_US SECONDS N  burn_a and burn_b by turns, half a period each, in N threads
 *     burn deep DEPTH SECONDS       in a recursion
 *
 * Prints what it measured by its own clocks: {"burn_a": ns, …, "process_ns": ns}. With US: a CPU timer of that many
 * microseconds runs beside, and {"struck": N, "squares_ms2": N} is when it really struck: the kernel looks at CPU timers at
 * its tick, which on a busy machine does not meet a thread for a long time. The second is the sum of the distances' squares.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tests/programs/host.h"

BURNER(burn_a)
BURNER(burn_b)
BURNER(burn_1)
BURNER(burn_2)
BURNER(burn_3)
BURNER(burn_4)

static void print(const char *const *names, const int64_t *ns, int n)
{
	printf("{");
	for (int i = 0; i < n; i++)
		printf("\"%s\": %lld, ", names[i], (long long)ns[i]);
	printf("\"process_ns\": %lld}\n", (long long)process_ns());
}

static volatile int64_t struck, struck_at, squares;

static void on_timer(int sig)
{
	int64_t now = thread_ns(), us = (now - struck_at) / 1000;

	(void)sig;
	struck++;
	struck_at = now;
	squares += us * us;
}

/*
 * Its signal has a higher number than a profiler's: when both come at once, the profiler finds the program where it was, not
 * on its way into this handler.
 */
static void run_timer(int64_t us)
{
	struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
	struct itimerspec each = {{0, us * 1000}, {0, us * 1000}};
	timer_t timer;

	struck_at = thread_ns();
	sigaction(SIGRTMIN + 3, &action, NULL);
	if (us > 0 && timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0)
		timer_settime(timer, 0, &each, NULL);
}

static void print_timer(int64_t us)
{
	if (us > 0)
		printf("{\"struck\": %lld, \"squares_ms2\": %lld}\n", (long long)struck,
		       (long long)squares / 1000000);
}

static int split(int percent, double seconds, int64_t timer_us)
{
	int64_t end = (int64_t)(seconds * 1e9), sum[2] = {0};
	uint32_t random = 12345;

	run_timer(timer_us);
	while (sum[0] + sum[1] < end) {
		/* slices of 3 to 9 ms, so that no rate is in step with them */
		int64_t slice;

		random = random * 1664525 + 1013904223;
		slice = 3 * MS + random % (6 * MS);
		/* whoever is behind its share */
		if (sum[0] * (100 - percent) <= sum[1] * percent)
			sum[0] += burn_a(slice);
		else
			sum[1] += burn_b(slice);
	}
	print_timer(timer_us);
	print((const char *const[]){"burn_a", "burn_b"}, sum, 2);
	return 0;
}

static double thread_seconds;
static int64_t thread_sums[4];

static void *thread_main(void *arg)
{
	static int64_t (*const burners[])(int64_t) = {burn_1, burn_2, burn_3, burn_4};
	int i = (int)(intptr_t)arg;
	int64_t end = (int64_t)(thread_seconds * (i + 1) / 10 * 1e9);

	while (thread_sums[i] < end)
		thread_sums[i] += burners[i](10 * MS);
	return NULL;
}

static int threads(double seconds)
{
	pthread_t id[4];

	thread_seconds = seconds;
	for (int i = 0; i < 4; i++)
		if (pthread_create(&id[i], NULL, thread_main, (void *)(intptr_t)i) != 0)
			return 1;
	for (int i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
	print((const char *const[]){"burn_1", "burn_2", "burn_3", "burn_4"}, thread_sums, 4);
	return 0;
}

KEEP static int64_t burn_kernel(int64_t ns)
{
	static char buffer[64 << 10];
	int fd = open("/dev/zero", O_RDONLY);
	int64_t begun = thread_ns(), now;

	do {
		for (int i = 0; i < 8; i++)
			if (read(fd, buffer, sizeof(buffer)) < 0)
				abort();
		now = thread_ns();
	} while (now < begun + ns);
	close(fd);
	return now - begun;
}

static int kernel(double seconds, int64_t timer_us)
{
	int64_t end = (int64_t)(seconds * 1e9), sum[2] = {0};

	run_timer(timer_us);
	while (sum[0] + sum[1] < end) {
		sum[0] += burn_a(7 * MS);
		while (sum[1] < sum[0])
			sum[1] += burn_kernel(7 * MS);
	}
	print_timer(timer_us);
	print((const char *const[]){"burn_a", "burn_kernel"}, sum, 2);
	return 0;
}

static int64_t beat_half, beat_end, beat_sums[8][2];

static void *beat_main(void *arg)
{
	int64_t *sum = arg, at = thread_ns();

	/* held to the clock: a half that lasted too long makes the next one shorter */
	while (sum[0] + sum[1] < beat_end) {
		int64_t now = thread_ns();

		at += beat_half;
		sum[0] += at > now ? burn_a(at - now) : 0;
		now = thread_ns();
		at += beat_half;
		sum[1] += at > now ? burn_b(at - now) : 0;
	}
	return NULL;
}

static int beat(int64_t period_us, double seconds, int n)
{
	int64_t sum[2] = {0};
	pthread_t id[8];

	beat_half = period_us * 500;
	beat_end = (int64_t)(seconds * 1e9);
	for (int i = 0; i < n; i++)
		if (pthread_create(&id[i], NULL, beat_main, beat_sums[i]) != 0)
			return 1;
	for (int i = 0; i < n; i++) {
		pthread_join(id[i], NULL);
		sum[0] += beat_sums[i][0];
		sum[1] += beat_sums[i][1];
	}
	print((const char *const[]){"burn_a", "burn_b"}, sum, 2);
	return 0;
}

static int64_t deep_sum;

KEEP static int descend(int depth, double seconds)
{
	int r = 0;

	if (depth > 0)
		r = descend(depth - 1, seconds) + 1;
	else
		deep_sum = burn_a((int64_t)(seconds * 1e9));
	__asm__ volatile("" ::: "memory");
	return r;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "split") == 0 && argc >= 4)
		return split(atoi(argv[2]), atof(argv[3]), argc > 4 ? atoll(argv[4]) : 0);
	if (strcmp(what, "threads") == 0 && argc == 3)
		return threads(atof(argv[2]));
	if (strcmp(what, "kernel") == 0 && argc >= 3)
		return kernel(atof(argv[2]), argc > 3 ? atoll(argv[3]) : 0);
	if (strcmp(what, "beat") == 0 && argc == 5 && atoi(argv[4]) <= 8)
		return beat(atoll(argv[2]), atof(argv[3]), atoi(argv[4]));
	if (strcmp(what, "deep") == 0 && argc == 4) {
		descend(atoi(argv[2]), atof(argv[3]));
		print((const char *const[]){"burn_a"}, &deep_sum, 1);
		return 0;
	}
	return 2;
}
