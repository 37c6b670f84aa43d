/*
 * A host whose every system call is watched: each case does what is dangerous to watch, and knows what has to come of it. The
 * same with and without libsyscalls_seen.so; with it, it also compares what was counted.
 *
 *     syscalls_host CASE
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/programs/syscalls_seen.h"

extern char **environ;

static struct seen *seen; /* NULL: nobody counts */

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			fprintf(stderr, "%d: %s (errno %d)\n", __LINE__, #condition, errno); \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

static void open_seen(void)
{
	const char *path = getenv("SYSCALLS_SEEN");
	int fd = path != NULL ? open(path, O_RDWR) : -1;

	if (fd < 0)
		return;
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(seen != MAP_FAILED);
	close(fd);
	if (seen->starts == 0)
		seen = NULL;
}

static uint64_t entered(long number)
{
	return seen != NULL ? seen->entered[number] : 0;
}

static uint64_t left(long number)
{
	return seen != NULL ? seen->left[number] : 0;
}

/* @more calls since @before, and every one of them has been left. */
#define COUNTED(number, before, more)                                          \
	do {                                                                   \
		if (seen != NULL) {                                            \
			CHECK(entered(number) - (before) == (uint64_t)(more)); \
			CHECK(entered(number) == left(number));                \
			CHECK(seen->unpaired == 0);                            \
		}                                                              \
	} while (0)

static void wait_for(pid_t pid, int status)
{
	int got;

	CHECK(waitpid(pid, &got, 0) == pid);
	CHECK(got == status);
}

static void vforks(void)
{
	for (volatile int i = 0; i < 100; i++) {
		volatile int shared = 0;
		pid_t pid = vfork();

		if (pid == 0) {
			shared = 1;
			if (i % 2)
				execl("/bin/true", "true", NULL);
			_exit(i % 2 ? 99 : 7);
		}
		CHECK(pid > 0);
		CHECK(shared == 1);
		wait_for(pid, i % 2 ? 0 : 7 << 8);
	}
	if (seen != NULL)
		CHECK(seen->childs == 100); /* one each: execve() or exit_group() */
	COUNTED(SYS_wait4, 0, 100);
}

static void spawns(void)
{
	char *const argv[] = {"sh", "-c", "echo $0 $$ >/dev/null; exit 3", NULL};
	posix_spawn_file_actions_t actions;

	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, 5, "/dev/null", O_RDONLY, 0) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, 5, 6) == 0);
	for (int i = 0; i < 30; i++) {
		pid_t pid;

		CHECK(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ) == 0);
		wait_for(pid, 3 << 8);
	}
	CHECK(system("exit 5") == 5 << 8);
	posix_spawn_file_actions_destroy(&actions);
}

static void forks(void)
{
	uint64_t before = entered(SYS_getppid);

	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			pid_t inner = fork();

			if (inner == 0)
				_exit(getppid() > 0 ? 4 : 5);
			wait_for(inner, 4 << 8);
			_exit(6);
		}
		wait_for(pid, 6 << 8);
	}
	COUNTED(SYS_getppid, before, 50);
}

static int clone_main(void *arg)
{
	*(volatile int *)arg = 1;
	for (int i = 0; i < 10; i++)
		getppid();
	return 9;
}

static uint8_t clone_stack[4][65536] __attribute__((aligned(16)));

static void from_new_stack(void)
{
	syscall(SYS_exit, 11);
}

static void clones(void)
{
	uint64_t before = entered(SYS_getppid);
	uint8_t *top = clone_stack[1] + sizeof(clone_stack[1]) - 64;
	void (*entry)(void) = from_new_stack;
	volatile int done = 0;
	long pid;

	/* its own stack, our memory */
	pid = clone(clone_main, clone_stack[0] + sizeof(clone_stack[0]), CLONE_VM | SIGCHLD,
		    (void *)&done);
	CHECK(pid > 0);
	wait_for((pid_t)pid, 9 << 8);
	CHECK(done == 1);
	COUNTED(SYS_getppid, before, 10);
	/* a fork by hand */
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(8);
	CHECK(pid > 0);
	wait_for((pid_t)pid, 8 << 8);
	/* by hand, with a stack on which the call returns to somewhere else */
	memcpy(top - 8, &entry, sizeof(entry));
	pid = syscall(SYS_clone, SIGCHLD | CLONE_VM, top - 8, 0, 0, 0);
	CHECK(pid > 0);
	wait_for((pid_t)pid, 11 << 8);
	COUNTED(SYS_wait4, 0, 3);
}

static _Atomic int handled; /* any thread can be the one */

static void on_signal(int sig)
{
	(void)sig;
	handled++;
	getppid();
}

static void set_handler(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	CHECK(sigaction(sig, &action, NULL) == 0);
}

static void sigreturns(void)
{
	uint64_t before = entered(SYS_getppid);
	stack_t alternate = {.ss_sp = clone_stack[2], .ss_size = 8192};

	set_handler(SIGUSR1, on_signal, 0);
	for (int i = 0; i < 20000; i++)
		raise(SIGUSR1);
	CHECK(handled == 20000);
	CHECK(sigaltstack(&alternate, NULL) == 0);
	set_handler(SIGUSR1, on_signal, SA_ONSTACK);
	for (int i = 0; i < 1000; i++)
		raise(SIGUSR1);
	CHECK(handled == 21000);
	COUNTED(SYS_getppid, before, 21000);
}

/* Cancellation has to go through the frames between: the cleanup of this one is by the unwinder's tables. */
static _Atomic int cleaned, cleaned_by_tables, reached;

static void by_tables(int *unused)
{
	(void)unused;
	cleaned_by_tables++;
}

static void by_list(void *unused)
{
	(void)unused;
	cleaned++;
}

static int fds[2];

__attribute__((noinline)) static void block(int how)
{
	int guard __attribute__((cleanup(by_tables))) = 0;
	char c;

	reached++;
	switch (how) {
	case 0:
		CHECK(read(fds[0], &c, 1) != 1);
		break;
	case 1:
		pause();
		break;
	case 2:
		poll(NULL, 0, -1);
		break;
	case 3:
		sleep(1000);
		break;
	case 4: { /* through a slot: the number is not known there */
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
		syscall(SYS_pause);
		break;
	}
	case 5: {
		struct iovec v = {&c, 1};

		CHECK(readv(fds[0], &v, 1) != 1);
		break;
	}
	default:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
		for (;;)
			getppid();
	}
	CHECK(guard == 1);
}

static void *cancelled(void *how)
{
	pthread_cleanup_push(by_list, NULL);
	block((int)(intptr_t)how);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancel_some(int how, int times, int pause_us)
{
	void *result;

	cleaned = cleaned_by_tables = reached = 0;
	for (int i = 0; i < times; i++) {
		pthread_t thread;

		CHECK(pthread_create(&thread, NULL, cancelled, (void *)(intptr_t)how) == 0);
		while (reached == i)
			sched_yield();
		if (pause_us > 0)
			usleep((useconds_t)(pause_us + i % 7));
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	CHECK(cleaned == times);
	/* a loop of calls that cannot throw has parts that no table knows */
	CHECK(cleaned_by_tables == times || how == 6);
}

static void cancels(void)
{
	CHECK(pipe(fds) == 0);
	for (int how = 0; how < 6; how++) {
		cancel_some(how, 20, 3000);
		cancel_some(how, 20, 0);
	}
}

static void cancels_async(void)
{
	cancel_some(6, 3000, 1);
}

static void restarts(void)
{
	struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	uint64_t before = entered(SYS_read), before_poll = entered(SYS_poll);
	char c;

	CHECK(pipe(fds) == 0);
	set_handler(SIGALRM, on_signal, SA_RESTART);
	if (fork() == 0) {
		usleep(300000);
		CHECK(write(fds[1], "x", 1) == 1);
		_exit(0);
	}
	handled = 0;
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	CHECK(read(fds[0], &c, 1) == 1 && c == 'x');
	CHECK(handled >= 5);
	COUNTED(SYS_read, before, 1);
	set_handler(SIGALRM, on_signal, 0);
	errno = 0;
	CHECK(read(fds[0], &c, 1) == -1 && errno == EINTR);
	CHECK(poll(NULL, 0, 1000) == -1 && errno == EINTR);
	COUNTED(SYS_read, before, 2);
	COUNTED(SYS_poll, before_poll, 1);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	wait(NULL);
}

static _Atomic int stop_all;
static _Atomic uint64_t made;

static void *busy(void *unused)
{
	char c;
	int zero = open("/dev/zero", O_RDONLY);

	(void)unused;
	while (!stop_all) {
		CHECK(read(zero, &c, 1) == 1);
		CHECK(getppid() > 0);
		CHECK(syscall(SYS_getppid) > 0);
		made++;
	}
	close(zero);
	return NULL;
}

static void on_storm(int sig)
{
	int saved = errno;
	char c;

	(void)sig;
	handled++;
	CHECK(getpid() > 0);
	CHECK(read(-1, &c, 1) == -1 && errno == EBADF);
	CHECK(syscall(SYS_getuid) >= 0);
	errno = saved;
}

static void storm_for(int milliseconds, int threads_count)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec often = {{0, 200000}, {0, 200000}};
	pthread_t threads[8];
	timer_t timer;

	set_handler(SIGALRM, on_storm, SA_RESTART);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &often, NULL) == 0);
	for (int i = 0; i < threads_count; i++)
		CHECK(pthread_create(&threads[i], NULL, busy, NULL) == 0);
	for (int i = 0; i < milliseconds / 10; i++) {
		struct timespec t = {0, 10000000};

		while (nanosleep(&t, &t) < 0)
			;
	}
	stop_all = 1;
	for (int i = 0; i < threads_count; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	timer_delete(timer);
	CHECK(handled > milliseconds / 4);
}

static void storm(void)
{
	uint64_t before = entered(SYS_getppid), before_uid = entered(SYS_getuid);

	storm_for(1500, 3);
	COUNTED(SYS_getppid, before, 2 * made);
	COUNTED(SYS_getuid, before_uid, handled);
	COUNTED(SYS_read, 0, entered(SYS_read));
}

static sigjmp_buf jump;

static void on_jump(int sig)
{
	(void)sig;
	getppid();
	siglongjmp(jump, 1);
}

/* volatile: it lives across the jump */
static void longjmps(void)
{
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	volatile int jumps = 0;
	uint64_t before;

	set_handler(SIGALRM, on_jump, 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (jumps < 2000) {
		if (sigsetjmp(jump, 1) != 0) {
			jumps = jumps + 1;
			if (jumps % 3 == 0)
				syscall(SYS_pause);
		}
		while (jumps < 2000)
			if (jumps % 2)
				pause();
			else
				getppid();
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	set_handler(SIGALRM, SIG_IGN, 0);
	if (seen != NULL) {
		CHECK(seen->unpaired == 0);
		before = entered(SYS_getuid);
		for (int i = 0; i < 100; i++)
			getuid();
		CHECK(entered(SYS_getuid) - before == 100 &&
		      left(SYS_getuid) == entered(SYS_getuid));
	}
}

/* In syscalls_host_asm.c. */
long asm_red_zone(void);
long asm_red_zone_flags(void);
long asm_immediate(void);
long asm_jumped_to(long how);
long asm_jumped_behind(long how);
long asm_by_table(long how);
long asm_registers(long *six);
long asm_cancel(int *canceled, long number, ...);
extern const uint8_t asm_immediate_end[], asm_cancel_end[];

/* Whether the code of a function is what it was built as. */
static bool is_changed(const void *start, const void *end)
{
	static uint8_t bytes[4096];
	struct stat s;
	int fd = open("/proc/self/exe", O_RDONLY);
	uint8_t *file;
	size_t size = (size_t)((const char *)end - (const char *)start);
	bool found;

	CHECK(fd >= 0 && fstat(fd, &s) == 0 && size <= sizeof(bytes));
	memcpy(bytes, start, size);
	file = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(file != MAP_FAILED);
	found = memmem(file, (size_t)s.st_size, bytes, size) != NULL;
	munmap(file, (size_t)s.st_size);
	close(fd);
	return !found;
}

static void red_zone(void)
{
	uint64_t before = entered(SYS_getppid);
	long six[6];

	for (int i = 0; i < 1000; i++) {
		CHECK(asm_red_zone() == 0);
		CHECK(asm_red_zone_flags() == 0);
	}
	COUNTED(SYS_getppid, before, 2000);
	CHECK(asm_registers(six) == 0);
	for (int i = 0; i < 6; i++)
		CHECK(six[i] == 0x1111 * (i + 1));
}

static void shapes(void)
{
	uint64_t before = entered(SYS_getppid);
	int zero[2] = {0, 0};

	CHECK(asm_immediate() == 0x1050f050f050fl);
	CHECK(!is_changed((const void *)(uintptr_t)asm_immediate, asm_immediate_end));
	CHECK(asm_cancel(zero, SYS_getpid, 0l, 0l, 0l, 0l, 0l, 0l) == getpid());
	CHECK(!is_changed((const void *)(uintptr_t)asm_cancel, asm_cancel_end));
	for (long how = 0; how < 4; how++) {
		CHECK(asm_jumped_to(how) == getppid());
		CHECK(asm_jumped_behind(how) == (how & 1 ? 1000 + how : getppid() + 1000));
		CHECK(asm_by_table(how) == (how == 2 ? getppid() : 2000 + how));
	}
	/* 8 and 7 of ours; the others only where they can be seen */
	if (seen != NULL)
		CHECK(entered(SYS_getppid) - before >= 7);
}

static void run_confined(void (*confine)(void), void (*then)(void), int status)
{
	pid_t pid = fork();

	if (pid == 0) {
		confine();
		then();
	}
	wait_for(pid, status);
}

static void confine_strictly(void)
{
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
}

static void write_and_exit(void)
{
	for (int i = 0; i < 100; i++)
		if (write(fds[1], "yes", 3) != 3)
			syscall(SYS_exit, 1);
	syscall(SYS_exit, 12);
}

static uint64_t libc_start, libc_end;

static int find_libc(struct dl_phdr_info *info, size_t size, void *user)
{
	(void)size;
	(void)user;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) &&
		    strstr(info->dlpi_name, "/libc.so") != NULL) {
			libc_start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			libc_end = libc_start + info->dlpi_phdr[i].p_memsz;
		}
	return 0;
}

#define LOAD(what)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define HALF(what)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what) + 4)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)

static void set_filter(struct sock_filter *code, unsigned short n)
{
	struct sock_fprog program = {n, code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Calls from libc's code only. */
static void confine_by_address(void)
{
	struct sock_filter code[] = {
		HALF(instruction_pointer),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(libc_start >> 32), 0, 3),
		LOAD(instruction_pointer),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)libc_start, 0, 1),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)libc_end, 0, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	CHECK(libc_start >> 32 == libc_end >> 32);
	set_filter(code, sizeof(code) / sizeof(code[0]));
}

static void many_and_exit(void)
{
	char c;

	for (int i = 0; i < 10; i++)
		if (getppid() <= 0 || syscall(SYS_getppid) <= 0 || read(-1, &c, 1) != -1 ||
		    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			_exit(1);
	_exit(13);
}

static volatile uintptr_t trapped_at;

static void on_sigsys(int sig, siginfo_t *info, void *ucontext)
{
	ucontext_t *uc = ucontext;

	if (sig != SIGSYS || info->si_syscall != SYS_getppid ||
	    info->si_code != 1 /* SYS_SECCOMP */)
		_exit(2);
	trapped_at = (uintptr_t)info->si_call_addr;
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void confine_by_trap(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		ANSWER(SECCOMP_RET_TRAP),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	CHECK(sigaction(SIGSYS, &action, NULL) == 0);
	set_filter(code, sizeof(code) / sizeof(code[0]));
}

static void trapped_and_exit(void)
{
	if (getppid() != 4711 || trapped_at < libc_start || trapped_at >= libc_end)
		_exit(3);
	if (syscall(SYS_getppid) != 4711)
		_exit(4);
	_exit(14);
}

static void confined(void)
{
	CHECK(pipe(fds) == 0);
	dl_iterate_phdr(find_libc, NULL);
	CHECK(libc_start != 0);
	run_confined(confine_strictly, write_and_exit, 12 << 8);
	run_confined(confine_by_address, many_and_exit, 13 << 8);
	run_confined(confine_by_trap, trapped_and_exit, 14 << 8);
}

static void dlopens(void)
{
	pthread_t threads[3];
	uint64_t before = entered(SYS_getuid);
	long (*plugin)(void);
	const char *path = getenv("SYSCALLS_PLUGIN");

	CHECK(path != NULL);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, busy, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		void *handle = dlopen(path, RTLD_NOW);

		CHECK(handle != NULL);
		plugin = (long (*)(void))(uintptr_t)dlsym(handle, "plugin_getuid");
		CHECK(plugin != NULL);
		for (int k = 0; k < 10; k++)
			CHECK(plugin() == (long)getuid());
		CHECK(dlclose(handle) == 0);
	}
	stop_all = 1;
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	/* as many by the plugin's own instruction as by libc's */
	COUNTED(SYS_getuid, before, 4000);
}

static volatile int walks, lost_walks;

static void on_walk(int sig)
{
	void *pcs[64];
	int n = backtrace(pcs, 64), found = 0;

	(void)sig;
	for (int i = 0; i < n; i++) {
		Dl_info info;

		/* exported for that: see meson.build */
		if (dladdr(pcs[i], &info) && info.dli_sname != NULL &&
		    strcmp(info.dli_sname, "walked_from") == 0)
			found = 1;
	}
	walks++;
	lost_walks += !found;
}

void walked_from(void);
__attribute__((noinline)) void walked_from(void)
{
	struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
	struct timespec t = {0, 3000000};

	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (int i = 0; i < 100; i++) {
		syscall(SYS_nanosleep, &t, NULL); /* in a slot */
		nanosleep(&t, NULL);
		for (int k = 0; k < 2000; k++)
			getppid();
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* By libgcc's unwinder. It takes the loader's lock, which a handler must not; here nobody else wants it. */
static void walked(void)
{
	void *first[4];

	backtrace(first, 4);
	set_handler(SIGALRM, on_walk, 0);
	walked_from();
	CHECK(walks > 100);
	CHECK(lost_walks == 0);
}

/* Every byte of libc's code is what its file says, again. */
static void stopped(void)
{
	int (*stop)(void) = (int (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "seen_stop");
	int (*start)(void) = (int (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "seen_start");
	uint64_t before;

	if (stop == NULL)
		return;
	for (int round = 0; round < 3; round++) {
		char line[512];
		FILE *maps;

		CHECK(stop() == 0);
		before = entered(SYS_getppid);
		getppid();
		CHECK(entered(SYS_getppid) == before);
		maps = fopen("/proc/self/maps", "r");
		while (fgets(line, sizeof(line), maps) != NULL) {
			unsigned long from, to, offset;
			char rights[5], path[300];
			uint8_t *file;
			int fd;

			if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %299s", &from, &to, rights,
				   &offset, path) != 5 ||
			    rights[2] != 'x' || path[0] != '/' ||
			    strstr(path, "syscalls_seen") != NULL)
				continue;
			CHECK(rights[1] != 'w');
			fd = open(path, O_RDONLY);
			file = mmap(NULL, to - from, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
			CHECK(file != MAP_FAILED && memcmp(file, (void *)from, to - from) == 0);
			munmap(file, to - from);
			close(fd);
		}
		fclose(maps);
		CHECK(start() == 0);
		before = entered(SYS_getppid);
		getppid();
		CHECK(entered(SYS_getppid) == before + 1);
	}
}

/* Code that was made while the program runs. Seen by dispatch, when that is on; right in any case. */
static long (*jit_getppid)(void);
static bool is_full;

static void make_code(void)
{
	static const uint8_t code[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
	uint8_t *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	memcpy(page, code, sizeof(code));
	CHECK(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
	memcpy(&jit_getppid, &page, sizeof(page));
	is_full = seen != NULL && getenv("SYSCALLS_FULL") != NULL;
}

static _Atomic int jit_made;

static void *call_jit(void *unused)
{
	long parent = getppid();

	(void)unused;
	for (int i = 0; i < 500; i++, jit_made++)
		CHECK(jit_getppid() == parent);
	return NULL;
}

static void on_signal_with_jit(int sig)
{
	(void)sig;
	call_jit(NULL);
	handled++;
}

static void on_own_sigsys(int sig, siginfo_t *info, void *ucontext)
{
	(void)ucontext;
	CHECK(sig == SIGSYS && info->si_code == SI_TKILL);
	handled++;
	call_jit(NULL);
}

static void jit(void)
{
	struct sigaction action = {.sa_handler = on_signal_with_jit}, old;
	struct sigaction own = {.sa_sigaction = on_own_sigsys, .sa_flags = SA_SIGINFO};
	uint64_t before = entered(SYS_getppid);
	sigset_t all, was;
	pthread_t thread;
	int times = 0;

	make_code();
	call_jit(NULL);
	times++;
	CHECK(pthread_create(&thread, NULL, call_jit, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	times++;
	if (is_full) {
		/* its own getppid() too, of each */
		COUNTED(SYS_getppid, before, times * 501);
	}
	/* in handlers that block everything, and with everything blocked */
	sigfillset(&action.sa_mask);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0);
	CHECK(sigismember(&old.sa_mask, SIGSYS) == 1 && old.sa_handler == on_signal_with_jit);
	raise(SIGUSR1);
	CHECK(handled == 1);
	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &was) == 0);
	CHECK(sigismember(&was, SIGSYS) == 0);
	call_jit(NULL);
	CHECK(pthread_create(&thread, NULL, call_jit, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &was, &all) == 0);
	CHECK(sigismember(&all, SIGSYS) == 1);
	/* again seen */
	before = entered(SYS_getppid);
	call_jit(NULL);
	if (is_full)
		COUNTED(SYS_getppid, before, 501);
	/* a signal of this number is the host's */
	CHECK(sigaction(SIGSYS, &own, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGSYS, NULL, &old) == 0 && old.sa_sigaction == on_own_sigsys);
	raise(SIGSYS);
	CHECK(handled == 2);
	before = entered(SYS_getppid);
	call_jit(NULL);
	if (is_full)
		COUNTED(SYS_getppid, before, 501);
	own.sa_handler = SIG_DFL;
	own.sa_flags = 0;
	CHECK(sigaction(SIGSYS, &own, NULL) == 0);
	/* a child of fork() */
	before = entered(SYS_getppid);
	if (fork() == 0) {
		call_jit(NULL);
		_exit(0);
	}
	CHECK(wait(&times) > 0 && times == 0);
	if (is_full)
		COUNTED(SYS_getppid, before, 501);
	if (fork() == 0) {
		raise(SIGSYS);
		_exit(0);
	}
	CHECK(wait(&times) > 0 && WIFSIGNALED(times) && WTERMSIG(times) == SIGSYS);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{"vforks", vforks},
		{"spawns", spawns},
		{"forks", forks},
		{"clones", clones},
		{"sigreturns", sigreturns},
		{"cancels", cancels},
		{"cancels_async", cancels_async},
		{"restarts", restarts},
		{"storm", storm},
		{"longjmps", longjmps},
		{"red_zone", red_zone},
		{"shapes", shapes},
		{"confined", confined},
		{"dlopens", dlopens},
		{"walked", walked},
		{"stopped", stopped},
		{"jit", jit},
	};

	open_seen();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			puts("done");
			return 0;
		} else if (argc == 1) {
			puts(cases[i].name);
		}
	return argc > 1;
}
