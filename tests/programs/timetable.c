/*
 * timetable: threads that compute and wait by a known plan, and what each of them really did.
 *
 *     timetable SECONDS [LETTERS [ENDING]]
 *
 *     A    computes 30 %, sleeps 70 %, in cycles of 80 to 160 ms
 *     R    computes 10 %, sleeps by syscall()
 *     S    computes 10 %, sleeps by an instruction of its own, past the C library
 *     B C  C holds a mutex while it computes and sleeps; B waits for a semaphore, then for the mutex
 *     D    in poll     E  in read on a pipe     F  in pthread_cond_wait     I  at a barrier
 *     J    waits by syscall(SYS_futex)          K  in read on a pipe, by an instruction of its own
 *     W    waits for a rwlock                   L  in epoll_wait
 *     H    blocks all signals past the C library, computes 10 %, sleeps in the C library; Q sleeps by an instruction
 *     G    two threads G1 and G2 on one processor, which compute all the time
 *
 * Without LETTERS all but G. The main thread joins A, and the others at the end.
 *
 * ENDING: "exit" (after all threads), "_exit", "kill", "term" (with the threads still there, the main thread asleep before),
 * "fork" (a child with the threads D and A; the parent waits for it), "forkexec" (the child becomes timetable DA),
 * "mainleaves" (the main thread leaves by pthread_exit(), and the last thread ends the process).
 *
 * Prints a line of JSON for each process: timed.h says what of a thread. "namesakes_ns" is how long new threads had the main
 * thread's name, until they got to giving themselves their own; "before_main_ns" how long the process was there when the main
 * thread's life began, by the kernel's tick; "looker_late_ns" how long a thread called "cprof" waited for a processor each
 * time, on average.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "tests/programs/timed.h"

static int64_t begun_ns, end_ns;

/* Time */

static int64_t now_ns(void)
{
	return host_clock(CLOCK_MONOTONIC);
}

static struct timespec time_of(int64_t ns)
{
	return (struct timespec){ns > 0 ? ns / 1000000000 : 0, ns > 0 ? ns % 1000000000 : 0};
}

/* A system call that nobody sees: not in the C library's code. */
KEEP static long call_past_libc(long number, long a, long b, long c, long d)
{
	long r;
#ifdef __x86_64__
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
#else
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	r = x0;
#endif
	return r;
}

/* The threads' own functions: one for each thing that they do. */

#define NO_TAIL_CALL __asm__ volatile("" ::: "memory")

BURNER(a_compute)
BURNER(r_compute)
BURNER(s_compute)
BURNER(c_compute)
BURNER(h_compute)
BURNER(q_compute)
BURNER(g_compute)

KEEP static void sleep_in_libc(struct timed *t, int64_t ns)
{
	struct timespec left = time_of(ns);

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		t->interrupted++;
	NO_TAIL_CALL;
}

KEEP static void a_sleep(struct timed *t, int64_t ns)
{
	sleep_in_libc(t, ns);
	NO_TAIL_CALL;
}

KEEP static void h_sleep(struct timed *t, int64_t ns)
{
	sleep_in_libc(t, ns);
	NO_TAIL_CALL;
}

KEEP static void c_sleep(struct timed *t, int64_t ns)
{
	sleep_in_libc(t, ns);
	NO_TAIL_CALL;
}

KEEP static void r_sleep(struct timed *t, int64_t ns)
{
	struct timespec left = time_of(ns);

	while (syscall(SYS_nanosleep, &left, &left) != 0 && errno == EINTR)
		t->interrupted++;
}

KEEP static void s_sleep(struct timed *t, int64_t ns)
{
	struct timespec left = time_of(ns);

	while (call_past_libc(SYS_nanosleep, (long)&left, (long)&left, 0, 0) == -EINTR)
		t->interrupted++;
}

KEEP static void q_sleep(struct timed *t, int64_t ns)
{
	s_sleep(t, ns);
	NO_TAIL_CALL;
}

/*
 * Computes @percent of each cycle and sleeps for the rest. Cycles of 80 to 160 ms, so that no rate of looking is in step with
 * them, and so few that what is off by chance at each change adds up to little.
 */
static void alternate(struct timed *t, int percent, int64_t (*compute)(int64_t),
		      const char *compute_name, void (*sleep_for)(struct timed *, int64_t),
		      const char *sleep_name)
{
	uint32_t random = (uint32_t)t->name[0] * 7919;
	int64_t at;

	while ((at = now_ns()) < end_ns) {
		int64_t cycle, now;

		random = random * 1664525 + 1013904223;
		cycle = 80 * MS + random % (uint32_t)(80 * MS);
		at += cycle;
		PHASE(t, "running", compute_name, compute(cycle * percent / 100));
		now = now_ns();
		PHASE(t, "sleep", sleep_name, sleep_for(t, at > now + MS ? at - now : MS));
	}
}

static void a_main(struct timed *t)
{
	alternate(t, 30, a_compute, "a_compute", a_sleep, "a_sleep");
}

static void r_main(struct timed *t)
{
	alternate(t, 10, r_compute, "r_compute", r_sleep, "r_sleep");
}

static void s_main(struct timed *t)
{
	alternate(t, 10, s_compute, "s_compute", s_sleep, "s_sleep");
}

static void block_all(void)
{
	uint64_t all = UINT64_MAX;

	call_past_libc(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8);
}

static void h_main(struct timed *t)
{
	block_all();
	alternate(t, 10, h_compute, "h_compute", h_sleep, "h_sleep");
}

static void q_main(struct timed *t)
{
	block_all();
	alternate(t, 10, q_compute, "q_compute", q_sleep, "q_sleep");
}

/* C takes the mutex, tells B, holds it for 80 to 160 ms, and leaves it alone for 40. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t turn;
static _Atomic int has_c_ended;

KEEP static void c_hold(struct timed *t, int64_t ns)
{
	int64_t at = now_ns() + ns, now;

	PHASE(t, "running", "c_compute", c_compute(ns / 10));
	now = now_ns();
	PHASE(t, "sleep", "c_sleep", c_sleep(t, at > now + MS ? at - now : MS));
	NO_TAIL_CALL;
}

KEEP static void c_rest(struct timed *t)
{
	sleep_in_libc(t, 40 * MS);
	NO_TAIL_CALL;
}

static void c_main(struct timed *t)
{
	uint32_t random = 4711;

	while (now_ns() < end_ns) {
		random = random * 1664525 + 1013904223;
		PHASE(t, "lock", "c_main", pthread_mutex_lock(&mutex));
		sem_post(&turn);
		c_hold(t, 80 * MS + random % (uint32_t)(80 * MS));
		pthread_mutex_unlock(&mutex);
		PHASE(t, "sleep", "c_rest", c_rest(t));
	}
	has_c_ended = 1;
	sem_post(&turn);
}

KEEP static void b_turn(struct timed *t)
{
	while (sem_wait(&turn) != 0)
		t->interrupted++;
}

KEEP static void b_lock(void)
{
	pthread_mutex_lock(&mutex);
	NO_TAIL_CALL;
}

static void b_main(struct timed *t)
{
	for (;;) {
		PHASE(t, "sem", "b_turn", b_turn(t));
		if (has_c_ended)
			return;
		PHASE(t, "lock", "b_lock", b_lock());
		pthread_mutex_unlock(&mutex);
	}
}

/* Those that wait for one thing until the end. The main thread holds the other ends. */

static int poll_pipe[2], read_pipe[2], asm_pipe[2], epoll_pipe[2], epoll_fd;
static pthread_mutex_t cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int cond_is_true;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic int futex_word;

KEEP static void d_poll(struct timed *t)
{
	struct pollfd p = {poll_pipe[0], POLLIN, 0};

	while (poll(&p, 1, -1) < 0)
		t->interrupted++;
}

KEEP static void e_read(struct timed *t)
{
	char c;

	while (read(read_pipe[0], &c, 1) < 0)
		t->interrupted++;
}

KEEP static void f_wait(void)
{
	pthread_mutex_lock(&cond_mutex);
	while (!cond_is_true)
		pthread_cond_wait(&cond, &cond_mutex);
	pthread_mutex_unlock(&cond_mutex);
}

KEEP static void i_wait(void)
{
	pthread_barrier_wait(&barrier);
	NO_TAIL_CALL;
}

KEEP static void j_wait(struct timed *t)
{
	while (futex_word == 0)
		if (syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) < 0 &&
		    errno == EINTR)
			t->interrupted++;
}

KEEP static void k_read(struct timed *t)
{
	char c;

	while (call_past_libc(SYS_read, asm_pipe[0], (long)&c, 1, 0) < 0)
		t->interrupted++;
}

KEEP static void l_wait(struct timed *t)
{
	struct epoll_event event;

	while (epoll_wait(epoll_fd, &event, 1, -1) < 0)
		t->interrupted++;
}

KEEP static void w_lock(void)
{
	pthread_rwlock_wrlock(&rwlock);
	NO_TAIL_CALL;
}

static void d_main(struct timed *t)
{
	PHASE(t, "syscall:poll", "d_poll", d_poll(t));
}

static void e_main(struct timed *t)
{
	PHASE(t, "syscall:read", "e_read", e_read(t));
}

static void f_main(struct timed *t)
{
	PHASE(t, "cond", "f_wait", f_wait());
}

static void i_main(struct timed *t)
{
	PHASE(t, "barrier", "i_wait", i_wait());
}

static void j_main(struct timed *t)
{
	PHASE(t, "futex", "j_wait", j_wait(t));
}

static void k_main(struct timed *t)
{
	PHASE(t, "syscall:read", "k_read", k_read(t));
}

static void l_main(struct timed *t)
{
	PHASE(t, "syscall:epoll_wait", "l_wait", l_wait(t));
}

static void w_main(struct timed *t)
{
	PHASE(t, "lock", "w_lock", w_lock());
	pthread_rwlock_unlock(&rwlock);
}

/* The first processor that may be used. */
static void stay_on_one(void)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	sched_getaffinity(0, sizeof(all), &all);
	for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void g_main(struct timed *t)
{
	stay_on_one();
	while (now_ns() < end_ns)
		PHASE(t, "running", "g_compute", g_compute(2 * MS));
}

/* The whole */

static const struct row {
	char letter;
	const char *name;
	void (*main)(struct timed *t);
} rows[] = {
	{'A', "A", a_main},  {'R', "R", r_main}, {'S', "S", s_main}, {'C', "C", c_main},
	{'B', "B", b_main},  {'D', "D", d_main}, {'E', "E", e_main}, {'F', "F", f_main},
	{'I', "I", i_main},  {'J', "J", j_main}, {'K', "K", k_main}, {'L', "L", l_main},
	{'W', "W", w_main},  {'H', "H", h_main}, {'Q', "Q", q_main}, {'G', "G1", g_main},
	{'G', "G2", g_main},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct timed timeds[ROWS], main_timed, last_timed;
static pthread_t ids[ROWS];
static char is_there[ROWS];
static int64_t made_ns[ROWS], named_ns[ROWS];
static const char *letters;

static void *thread_main(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;

	timeds[i].name = rows[i].name;
	timed_begin(&timeds[i]);
	named_ns[i] = now_ns();
	rows[i].main(&timeds[i]);
	timed_end(&timeds[i]);
	return NULL;
}

static int start(const char *whom, int64_t ns)
{
	struct epoll_event event = {.events = EPOLLIN};

	letters = whom;
	memset(timeds, 0, sizeof(timeds));
	memset(is_there, 0, sizeof(is_there));
	memset(named_ns, 0, sizeof(named_ns));
	has_c_ended = 0;
	begun_ns = now_ns();
	end_ns = begun_ns + ns;
	if (pipe(poll_pipe) != 0 || pipe(read_pipe) != 0 || pipe(asm_pipe) != 0 ||
	    pipe(epoll_pipe) != 0 || sem_init(&turn, 0, 0) != 0 ||
	    pthread_barrier_init(&barrier, NULL, 2) != 0)
		return -1;
	epoll_fd = epoll_create1(0);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, epoll_pipe[0], &event);
	pthread_rwlock_rdlock(&rwlock);
	for (size_t i = 0; i < ROWS; i++) {
		if (strchr(letters, rows[i].letter) == NULL)
			continue;
		made_ns[i] = now_ns();
		if (pthread_create(&ids[i], NULL, thread_main, (void *)(uintptr_t)i) != 0)
			return -1;
		is_there[i] = 1;
	}
	return 0;
}

static void release(void)
{
	int *const pipes[] = {poll_pipe, read_pipe, asm_pipe, epoll_pipe};

	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++)
		if (write(pipes[i][1], "", 1) != 1)
			abort();
	pthread_mutex_lock(&cond_mutex);
	cond_is_true = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&cond_mutex);
	futex_word = 1;
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	pthread_rwlock_unlock(&rwlock);
	if (strchr(letters, 'I') != NULL)
		pthread_barrier_wait(&barrier);
}

KEEP static void main_join(size_t i)
{
	pthread_join(ids[i], NULL);
	NO_TAIL_CALL;
}

KEEP static void main_sleep(struct timed *t)
{
	sleep_in_libc(t, end_ns - now_ns());
	NO_TAIL_CALL;
}

/* Waits for the end of all threads. */
static void finish(struct timed *t)
{
	if (is_there[0])
		PHASE(t, "join", "main_join", main_join(0));
	else
		PHASE(t, "sleep", "main_sleep", main_sleep(t));
	release();
	for (size_t i = 1; i < ROWS; i++)
		if (is_there[i])
			PHASE(t, "join", "main_join", main_join(i));
}

static int64_t before_main_ns;

static int64_t age_of_process(void)
{
	FILE *file = fopen("/proc/self/stat", "r");
	char text[1024] = "", *at;
	struct timespec now = {0, 0};
	int64_t ticks;

	if (file != NULL) {
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
	}
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	ticks = at != NULL ? strtoll(at, NULL, 10) : 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return at == NULL ? 0
			  : now.tv_sec * INT64_C(1000000000) + now.tv_nsec -
				    ticks * (INT64_C(1000000000) / sysconf(_SC_CLK_TCK));
}

static int64_t looker_late(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int64_t late = 0;

	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		char path[300], text[96] = "", *at = text;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file != NULL && fgets(text, sizeof(text), file) != NULL &&
		    strcmp(text, "cprof\n") == 0) {
			snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", entry->d_name);
			fclose(file);
			file = fopen(path, "r");
			if (file != NULL && fgets(text, sizeof(text), file) != NULL) {
				int64_t waited, times;

				strtoll(at, &at, 10);
				waited = strtoll(at, &at, 10);
				times = strtoll(at, NULL, 10);
				late = times > 0 ? waited / times : 0;
			}
		}
		if (file != NULL)
			fclose(file);
	}
	if (tasks != NULL)
		closedir(tasks);
	return late;
}

static int print(const char *what)
{
	int64_t namesakes = 0;
	int is_right = 1;

	/* in one piece: two processes may write at the same time */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	printf("{\"what\": \"%s\", \"pid\": %d, \"begun_ns\": %lld, \"threads\": {", what,
	       (int)getpid(), (long long)begun_ns);
	is_right &= timed_print(&main_timed, "");
	if (last_timed.name != NULL)
		is_right &= timed_print(&last_timed, ", ");
	for (size_t i = 0; i < ROWS; i++)
		if (is_there[i])
			is_right &= timed_print(&timeds[i], ", ");
	for (size_t i = 0; i < ROWS; i++)
		if (is_there[i])
			namesakes += (named_ns[i] > 0 ? named_ns[i] : now_ns()) - made_ns[i];
	printf("}, \"namesakes_ns\": %lld, \"before_main_ns\": %lld, \"looker_late_ns\": %lld, "
	       "\"is_right\": %s}\n",
	       (long long)namesakes, (long long)before_main_ns, (long long)looker_late(),
	       is_right ? "true" : "false");
	fflush(stdout);
	return is_right ? 0 : 3;
}

static void begin_main(void)
{
	memset(&main_timed, 0, sizeof(main_timed));
	main_timed.name = "main";
	before_main_ns = age_of_process();
	timed_begin(&main_timed);
}

KEEP static void main_wait(pid_t child)
{
	while (waitpid(child, NULL, 0) < 0)
		main_timed.interrupted++;
}

static int in_child(int64_t ns, const char *seconds, int has_exec)
{
	char self[4096] = "";

	if (has_exec) {
		if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
			execl(self, self, seconds, "DA", (char *)NULL);
		_exit(127);
	}
	pthread_rwlock_init(&rwlock, NULL);
	begin_main();
	if (start("DA", ns) != 0)
		_exit(1);
	finish(&main_timed);
	_exit(print("child"));
}

static void *last_main(void *arg)
{
	pthread_t main_thread = *(pthread_t *)arg;

	last_timed.name = "last";
	timed_begin(&last_timed);
	PHASE(&last_timed, "join", "last_main", pthread_join(main_thread, NULL));
	finish(&last_timed);
	exit(print("mainleaves"));
}

static int main_leaves(void)
{
	static pthread_t self;
	pthread_t id;

	timed_end(&main_timed);
	self = pthread_self();
	if (pthread_create(&id, NULL, last_main, &self) != 0)
		return 1;
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	const char *ending = argc > 3 ? argv[3] : "exit";
	int64_t ns = argc > 1 ? (int64_t)(atof(argv[1]) * 1e9) : 0;

	if (ns <= 0)
		return 2;
	begin_main();
	if (start(argc > 2 && argv[2][0] ? argv[2] : "ARSCBDEFIJKLWHQ", ns) != 0)
		return 1;
	if (strncmp(ending, "fork", 4) == 0) {
		pid_t child = fork();

		if (child == 0)
			in_child(ns, argv[1], strcmp(ending, "forkexec") == 0);
		PHASE(&main_timed, "syscall:wait4", "main_wait", main_wait(child));
	} else if (strcmp(ending, "mainleaves") == 0) {
		return main_leaves();
	} else if (strcmp(ending, "exit") != 0) {
		PHASE(&main_timed, "sleep", "main_sleep", main_sleep(&main_timed));
		print(ending);
		if (strcmp(ending, "kill") == 0)
			raise(SIGKILL);
		if (strcmp(ending, "term") == 0)
			raise(SIGTERM);
		_exit(7);
	}
	finish(&main_timed);
	return print(ending);
}
