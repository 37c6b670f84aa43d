/*
 * A host that does what is awkward to be traced, and prints what came of it: the same, whoever looks.
 *
 *     awkward CASE          without a case: their names
 *
 * The line "calls N" at the end is how many getppid() it made on its own thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define CHECK(condition)                                                            \
	do {                                                                        \
		if (!(condition)) {                                                 \
			printf("%d: %s (errno %d)\n", __LINE__, #condition, errno); \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t calls;

static void pair(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
	pthread_mutex_unlock(m);
}

static void call(void)
{
	getppid();
	calls = calls + 1;
}

static void set_handler(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	sigemptyset(&action.sa_mask);
	CHECK(sigaction(sig, &action, NULL) == 0);
}

static void set_timer(int which, long microseconds)
{
	struct itimerval every = {{0, microseconds}, {0, microseconds}};

	CHECK(setitimer(which, &every, NULL) == 0);
}

/* ---- registers ---- */

#if defined(__x86_64__)
/* As small as a library has it, and with room for a patch. */
long awkward_call(void);
__asm__(".text\n.globl awkward_call\n.type awkward_call, @function\n.p2align 4\nawkward_call:\n"
	".cfi_startproc\n\t"
	"nop\n\tnopl 0(%rax)\n\tsyscall\n\tcmpq $-4095, %rax\n\tnopl 0(%rax)\n\tret\n"
	".cfi_endproc\n.size awkward_call, . - awkward_call\n.p2align 8\n");

#define EACH(what) ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t" what "\n.endr\n\t"

/* A call with all vector registers full, and what is in them behind it. */
static long call_with_vectors(long number, long a, long b, long c, const uint8_t *in, uint8_t *out)
{
	__asm__ volatile(EACH("vmovdqu \\i*32(%[in]), %%ymm\\i") "call awkward_call\n\t" EACH(
				 "vmovdqu %%ymm\\i, \\i*32(%[out])") "vzeroupper"
			 : "+a"(number), "+D"(a), "+S"(b), "+d"(c)
			 : [in] "r"(in), [out] "r"(out)
			 : "rcx", "r8", "r9", "r10", "r11", "memory", "xmm0", "xmm1", "xmm2",
			   "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			   "xmm12", "xmm13", "xmm14", "xmm15");
	return number;
}

static void vectors(void)
{
	struct timespec soon = {0, 1000000};
	uint8_t in[512], out[512];
	bool is_same[3] = {true, true, true};
	char byte;

	if (!__builtin_cpu_supports("avx")) {
		puts("no avx");
		return;
	}
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + 1);
	/* a file that is new, a call that is long, a chunk that is full */
	for (int i = 0; i < 3000; i++) {
		int fd;

		fd = (int)call_with_vectors(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY, in,
					    out);
		CHECK(fd >= 0);
		is_same[0] &= memcmp(in, out, sizeof(in)) == 0;
		call_with_vectors(SYS_read, fd, (long)&byte, 1, in, out);
		is_same[1] &= memcmp(in, out, sizeof(in)) == 0;
		if (i % 100 == 0) {
			call_with_vectors(SYS_nanosleep, (long)&soon, 0, 0, in, out);
			is_same[2] &= memcmp(in, out, sizeof(in)) == 0;
		}
		close(fd);
	}
	printf("kept: open %d, read %d, sleep %d\n", is_same[0], is_same[1], is_same[2]);
}
#else
static void vectors(void)
{
	puts("no avx");
}
#endif

/* ---- small stacks ---- */

#define GUARD_BYTES 65536

static void *make_stack(size_t bytes)
{
	uint8_t *all = mmap(NULL, GUARD_BYTES + bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(all != MAP_FAILED);
	memset(all, 0xa5, GUARD_BYTES);
	return all + GUARD_BYTES;
}

static size_t count_damage(const uint8_t *stack)
{
	size_t n = 0;

	for (const uint8_t *p = stack - GUARD_BYTES; p < stack; p++)
		n += *p != 0xa5;
	return n;
}

static volatile int handled;
static int devnull;

static void on_small(int sig, siginfo_t *info, void *ucontext)
{
	int fd, saved = errno;
	char byte;

	(void)sig, (void)info, (void)ucontext;
	fd = dup(devnull);
	if (read(fd, &byte, 1) != 0)
		_exit(9);
	close(fd);
	pair(&inner);
	usleep(20);
	handled = handled + 1;
	errno = saved;
}

static void *small_thread(void *arg)
{
	size_t bytes = getauxval(AT_MINSIGSTKSZ);
	stack_t stack = {0}, none = {.ss_flags = SS_DISABLE};

	(void)arg;
	/* what the C library itself takes for a call, and no more */
	stack.ss_size = (bytes > 2048 ? bytes : 2048) + 1024;
	stack.ss_sp = make_stack(stack.ss_size);
	CHECK(sigaltstack(&stack, NULL) == 0);
	for (int i = 0; i < 2000; i++) {
		pthread_kill(pthread_self(), SIGUSR1);
		pair(&mutex);
	}
	CHECK(sigaltstack(&none, NULL) == 0);
	printf("handled %d, damaged %d\n", handled, count_damage(stack.ss_sp) != 0);
	return NULL;
}

static void small_stacks(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	devnull = open("/dev/null", O_RDONLY);
	set_handler(SIGUSR1, on_small, SA_ONSTACK);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, 16384 + (size_t)sysconf(_SC_MINSIGSTKSZ)) == 0);
	CHECK(pthread_create(&thread, &attr, small_thread, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	small_thread(NULL);
}

/* ---- handlers that do not return ---- */

static sigjmp_buf jump;
#define JUMPS 100
static volatile sig_atomic_t jumps;

static void on_outer(int sig, siginfo_t *info, void *ucontext)
{
	(void)sig, (void)info, (void)ucontext;
	for (int i = 0; i < 100; i++) {
		call();
		pair(&inner);
	}
}

/* In the middle of the other one, on the same stack. */
static void on_inner(int sig, siginfo_t *info, void *ucontext)
{
	char here;

	(void)sig, (void)info, (void)ucontext;
	(void)here;
	if (jumps < JUMPS) {
		pthread_mutex_init(&inner, NULL);
		siglongjmp(jump, 1);
	}
}

static void left(void)
{
	static char memory[1 << 16];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	CHECK(sigaltstack(&stack, NULL) == 0);
	set_handler(SIGVTALRM, on_inner, SA_ONSTACK);
	set_handler(SIGUSR1, on_outer, SA_ONSTACK);
	set_timer(ITIMER_VIRTUAL, 150);
	if (sigsetjmp(jump, 1) != 0)
		jumps = jumps + 1;
	while (jumps < JUMPS)
		raise(SIGUSR1);
	set_timer(ITIMER_VIRTUAL, 0);
	for (int i = 0; i < 20000; i++) {
		pair(&mutex);
		syscall(SYS_getuid);
	}
	printf("jumps %d\n", (int)jumps);
	calls = 0; /* nobody knows */
}

/* ---- every instruction ---- */

static volatile int steps;

static void on_step(int sig, siginfo_t *info, void *ucontext)
{
	int saved = errno;

	(void)sig, (void)info, (void)ucontext;
	steps = steps + 1;
	call();
	pair(&inner);
	errno = saved;
}

#define SET_STEP(on)                                                                               \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" on " $0x100, (%%rsp)\n\tpopfq\n\t" \
			 "lea 128(%%rsp), %%rsp" ::                                                \
				 : "memory", "cc")

static void steps_each(void)
{
	char byte;
	int fds[2];

	CHECK(pipe(fds) == 0);
	set_handler(SIGTRAP, on_step, 0);
	for (int i = 0; i < 3; i++) {
		SET_STEP("orq");
		call();
		pthread_mutex_lock(&mutex);
		CHECK(write(fds[1], "x", 1) == 1);
		CHECK(read(fds[0], &byte, 1) == 1);
		pthread_mutex_unlock(&mutex);
		CHECK(read(-1, &byte, 1) == -1 && errno == EBADF);
		__asm__ volatile(
			"lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\t"
			"lea 128(%%rsp), %%rsp" ::
				: "memory", "cc");
	}
	printf("stepped %d\n", steps > 300);
}

/* ---- children that a handler makes ---- */

static pid_t parent;
#define FORKS 60
static volatile int forks;

static void on_fork(int sig, siginfo_t *info, void *ucontext)
{
	int saved = errno;
	pid_t pid;

	(void)sig, (void)info, (void)ucontext;
	if (forks >= FORKS || getpid() != parent)
		return;
	forks = forks + 1;
	pid = fork();
	if (pid == 0) {
		set_timer(ITIMER_VIRTUAL, 0);
	} else {
		int status;

		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				_exit(8);
		if (status != 3 << 8)
			_exit(7);
	}
	errno = saved;
}

/* The child goes on where its parent was interrupted: in the middle of something. */
static void forked(void)
{
	parent = getpid();
	set_handler(SIGVTALRM, on_fork, 0);
	set_timer(ITIMER_VIRTUAL, 400);
	while (forks < FORKS && getpid() == parent) {
		call();
		pair(&mutex);
	}
	if (getpid() != parent) {
		for (int i = 0; i < 1000; i++) {
			call();
			pair(&mutex);
		}
		_exit(3);
	}
	set_timer(ITIMER_VIRTUAL, 0);
	printf("forks %d\n", forks);
}

/* ---- stacks of its own ---- */

#define COROUTINES 20
static ucontext_t scheduler, coroutines[COROUTINES];
static volatile int finished;

static void coroutine(int number)
{
	for (int i = 0; i < 500; i++) {
		pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
		int fd = dup(devnull);

		pthread_mutex_lock(&own);
		call();
		if (i % 7 == number % 7)
			swapcontext(&coroutines[number], &scheduler);
		pthread_mutex_unlock(&own);
		close(fd);
		pair(&mutex);
	}
	finished = finished + 1;
}

static void stacks(void)
{
	static uint8_t *memory[COROUTINES];
	static size_t damaged;
	const size_t bytes = 8192;

	devnull = open("/dev/null", O_RDONLY);
	for (int i = 0; i < COROUTINES; i++) {
		memory[i] = make_stack(bytes);
		CHECK(getcontext(&coroutines[i]) == 0);
		coroutines[i].uc_stack.ss_sp = memory[i];
		coroutines[i].uc_stack.ss_size = bytes;
		coroutines[i].uc_link = &scheduler;
		makecontext(&coroutines[i], (void (*)(void))coroutine, 1, i);
	}
	for (int n = 0; finished < COROUTINES; n++)
		if (n % COROUTINES >= 0) {
			static bool is_done[COROUTINES];
			int i = n % COROUTINES, before = finished;

			if (is_done[i])
				continue;
			CHECK(swapcontext(&scheduler, &coroutines[i]) == 0);
			is_done[i] = finished != before;
		}
	for (int i = 0; i < COROUTINES; i++)
		damaged += count_damage(memory[i]);
	printf("finished %d, damaged %d\n", finished, damaged != 0);
}

/* ---- processes that share the memory ---- */

static volatile int shared;

static int shares(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5000; i++) {
		char byte;

		syscall(SYS_getppid);
		(void)!read(-1, &byte, 1);
		shared = shared + 1;
	}
	syscall(SYS_exit, 5);
	return 0;
}

/* clone() without a thread's own block: two that write as one. */
static void shared_memory(void)
{
	static char memory[1 << 16] __attribute__((aligned(16)));

	for (int i = 0; i < 20; i++) {
		int status;
		pid_t pid = clone(shares, memory + sizeof(memory), CLONE_VM | SIGCHLD, NULL);

		CHECK(pid > 0);
		for (int k = 0; k < 2000; k++) {
			getuid();
			pair(&mutex);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(status == 5 << 8);
	}
	printf("shared %d\n", shared);
}

/* ---- calls that the program dispatches itself ---- */

static volatile char let_through;
static volatile int dispatched;

static void on_dispatch(int sig, siginfo_t *info, void *ucontext)
{
	(void)sig;
	let_through = 0;
	dispatched = dispatched + (info->si_syscall == SYS_getppid);
	((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void dispatches(void)
{
	int right = 0;

	set_handler(SIGSYS, on_dispatch, 0);
	if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &let_through) != 0) {
		puts("not here");
		return;
	}
	for (int i = 0; i < 100; i++) {
		let_through = 1;
		right += getppid() == 4711;
		let_through = 0;
		pair(&mutex);
	}
	prctl(59, 0, 0, 0, 0);
	printf("right %d, dispatched %d\n", right, dispatched);
}

/* A child of vfork() that does the same, then goes on: none of it is the parent's. */
static void nested_vforks(void)
{
	char *const argv[] = {"nothing", NULL};

	for (volatile int i = 0; i < 50; i++) {
		int status;
		pid_t pid = vfork();

		if (pid == 0) {
			execv("/nonexistent", argv);
			if (vfork() == 0)
				_exit(2);
			wait(&status);
			syscall(SYS_getuid);
			_exit(status == 2 << 8 ? 6 : 7);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 6 << 8);
	}
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getuid);
	puts("vforked");
}

static void simple(void)
{
	int n = 0;
	char byte;

	for (int i = 0; i < 20; i++) {
		n += getppid() > 0;
		n += read(-1, &byte, 1) == -1 && errno == EBADF;
		n += write(1, "", 0) == 0;
		pair(&mutex);
	}
	printf("simple %d\n", n);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{"vectors", vectors},
		{"small_stacks", small_stacks},
		{"left", left},
		{"steps", steps_each},
		{"forked", forked},
		{"stacks", stacks},
		{"shared_memory", shared_memory},
		{"nested_vforks", nested_vforks},
		{"dispatches", dispatches},
		{"simple", simple},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			return 0;
		} else if (argc == 1) {
			puts(cases[i].name);
		}
	return argc > 1;
}
