/*
 * heap_edges: allocations where allocating is unusual: in handlers, constructors, destructors, children.
 *
 *     heap_edges WHAT
 *
 * What it prints is the same each time, but for lines of JSON; the last of these is the truth. (LEAF is what it runs.)
 */
#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>

#define SITES(X)            \
	X(in_constructor)   \
	X(in_main)          \
	X(in_handler)       \
	X(in_loop)          \
	X(in_loop_pool)     \
	X(after_jump)       \
	X(plugin_begins)    \
	X(plugin_works)     \
	X(plugin_ends)      \
	X(in_key_end)       \
	X(in_tss_end)       \
	X(at_exit)          \
	X(on_exit_too)      \
	X(in_destructor)    \
	X(in_parent)        \
	X(in_parent_thread) \
	X(in_child)         \
	X(in_clone)         \
	X(in_leaf)          \
	X(at_the_bottom)

#include "tests/programs/heap.h"
#include "tests/programs/heap_plugin.h"

extern char **environ;

/* @n blocks of @size bytes, of which every @keep-th stays, if @keep is not 0. */
#define ALLOCATE(name)                                                     \
	SITE static void name(int n, size_t size, int keep)                \
	{                                                                  \
		for (int i = 0; i < n; i++) {                              \
			struct block b = {0};                              \
                                                                           \
			made(&b, SITE_##name, malloc(size), size);         \
			if (b.p != NULL && (keep == 0 || i % keep != 0)) { \
				char *p = b.p;                             \
                                                                           \
				gone(&b);                                  \
				free(p);                                   \
			}                                                  \
		}                                                          \
	}

ALLOCATE(in_constructor)
ALLOCATE(in_main)
ALLOCATE(in_handler)
ALLOCATE(in_loop)
ALLOCATE(after_jump)
ALLOCATE(in_key_end)
ALLOCATE(in_tss_end)
ALLOCATE(at_exit)
ALLOCATE(on_exit_too)
ALLOCATE(in_destructor)
ALLOCATE(in_parent)
ALLOCATE(in_parent_thread)
ALLOCATE(in_child)
ALLOCATE(in_clone)
ALLOCATE(in_leaf)
ALLOCATE(at_the_bottom)

/* Addresses that nobody has, so that nothing but the hook is in this loop. */
SITE static void in_loop_pool(int n, size_t size, int keep)
{
	static uintptr_t next = (uintptr_t)1 << 44;

	if (cprof_alloc == NULL || cprof_free == NULL)
		return;
	for (int i = 0; i < n; i++) {
		uintptr_t p = __atomic_fetch_add(&next, 4096, __ATOMIC_RELAXED);

		/* first what is true: whoever leaves by longjmp() does not come back to say it */
		count_made(SITE_in_loop_pool, 1, size);
		cprof_alloc((void *)p, size);
		if (keep == 0 || i % keep != 0) {
			count_gone(SITE_in_loop_pool, 1, size);
			cprof_free((void *)p);
		}
	}
}

__attribute__((constructor(101))) static void begin_first(void)
{
	in_constructor(10, 1000, 2);
}

__attribute__((constructor)) static void begin(void)
{
	in_constructor(6, 500, 3);
}

/* A clock that ticks a thousand times a second, in this thread. */
static volatile sig_atomic_t ticks;

static void set_clock(void (*handler)(int), int flags, int is_on)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
	struct itimerval each_ms = {{0, 1000}, {0, 1000}}, never = {0};

	if (is_on)
		sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, is_on ? &each_ms : &never, NULL);
	if (!is_on)
		signal(SIGALRM, SIG_IGN);
}

static void allocate_at_tick(int sig)
{
	ticks++;
	in_handler(3, 300, 2);
	(void)sig;
}

static void pool_at_tick(int sig)
{
	ticks++;
	in_loop_pool(3, 300, 2);
	(void)sig;
}

/* Interrupts code that does not allocate: the handler may. */
static void interrupts_nothing(void)
{
	set_clock(allocate_at_tick, 0, 1);
	while (ticks < 300)
		host_spin();
	set_clock(NULL, 0, 0);
}

/* The same with no more room than such handlers need: the kernel's frame, twice, and 2 KiB for each handler. */
static void interrupts_on_small_stack(void)
{
	size_t least = getauxval(AT_MINSIGSTKSZ), damaged = 0;
	size_t size = 2 * (least > 1024 ? least : 2048) + 4096;
	char *memory =
		mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = {.ss_sp = memory + 16384, .ss_size = size}, none = {.ss_flags = SS_DISABLE};

	memset(memory, 0x5a, 65536);
	sigaltstack(&stack, NULL);
	set_clock(allocate_at_tick, SA_ONSTACK, 1);
	while (ticks < 300)
		host_spin();
	set_clock(NULL, 0, 0);
	sigaltstack(&none, NULL);
	for (size_t i = 0; i < 16384; i++)
		damaged += memory[i] != 0x5a;
	say("bytes damaged below the stack: %zu\n", damaged);
}

/* Interrupts the hook, and nothing of the allocator. */
static void interrupts_hook(void)
{
	set_clock(allocate_at_tick, 0, 1);
	while (ticks < 1000)
		cprof_alloc != NULL ? in_loop_pool(64, 64, 8) : host_spin();
	set_clock(NULL, 0, 0);
}

/* Interrupts the allocator, too, and tells of blocks of its own. */
static void interrupts_allocator(void)
{
	set_clock(pool_at_tick, 0, 1);
	for (int i = 0; ticks < 1000; i++)
		in_loop(100, 64 + (size_t)(i % 1000), i % 100 == 0 ? 10 : 0);
	set_clock(NULL, 0, 0);
}

static sigjmp_buf back;
static volatile sig_atomic_t may_jump;

static void jump_at_tick(int sig)
{
	ticks++;
	if (may_jump && sig == SIGALRM)
		siglongjmp(back, 1);
}

/* Leaves the code that a tick has interrupted, and allocates. */
static void jumps(int out_of_hook)
{
	set_clock(jump_at_tick, 0, 1);
	for (volatile int i = 0; i < 100; i++) {
		if (sigsetjmp(back, 1) == 0) {
			may_jump = 1;
			for (;;)
				out_of_hook &&cprof_alloc != NULL ? in_loop_pool(64, 64, 1)
								  : host_spin();
		}
		may_jump = 0;
		after_jump(10, 100, 2);
	}
	set_clock(NULL, 0, 0);
}

/* Libraries that allocate as they come, while they are there, and as they go. */
static void libraries(void)
{
	static const char *const names[] = {"libheap_plugin_one.so", "libheap_plugin_two.so"};

	for (int i = 0; i < 60; i++) {
		void *library = dlopen(names[i % 2], i % 3 == 0 ? RTLD_NOW : RTLD_LAZY);
		void (*work)(int) = NULL;

		if (library == NULL) {
			wrong(dlerror(), "dlopen");
			return;
		}
		for (int j = 0; j < 20; j++)
			work = (void (*)(int))(uintptr_t)dlsym(library, "heap_plugin");
		if (dlsym(library, "no such name") != NULL || dlerror() == NULL)
			wrong("finds what is not there", "dlsym");
		work(PLUGIN_WORKS);
		count_made(SITE_plugin_works, PLUGIN_WORKS, PLUGIN_WORKS * PLUGIN_SIZE);
		dlclose(library);
		/* each keeps one of what it makes when it comes, and gives all else back */
		count_made(SITE_plugin_begins, PLUGIN_BEGINS, PLUGIN_BEGINS * PLUGIN_SIZE);
		count_gone(SITE_plugin_begins, PLUGIN_BEGINS - 1,
			   (PLUGIN_BEGINS - 1) * PLUGIN_SIZE);
		count_gone(SITE_plugin_works, PLUGIN_WORKS, PLUGIN_WORKS * PLUGIN_SIZE);
		count_made(SITE_plugin_ends, PLUGIN_ENDS, PLUGIN_ENDS * PLUGIN_SIZE);
		count_gone(SITE_plugin_ends, PLUGIN_ENDS, PLUGIN_ENDS * PLUGIN_SIZE);
	}
}

static pthread_key_t key;
static tss_t tss;

/* In all rounds that the C library makes. */
static void end_key(void *round)
{
	in_key_end(4, 400, 2);
	if ((intptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS)
		pthread_setspecific(key, (void *)((intptr_t)round + 1));
}

static void end_tss(void *round)
{
	in_tss_end(4, 200, 2);
	if ((intptr_t)round < TSS_DTOR_ITERATIONS)
		tss_set(tss, (void *)((intptr_t)round + 1));
}

static void *with_keys(void *arg)
{
	pthread_setspecific(key, (void *)1);
	tss_set(tss, (void *)1);
	return arg;
}

static void keys(void)
{
	pthread_t ids[8];

	pthread_key_create(&key, end_key);
	tss_create(&tss, end_tss);
	for (int i = 0; i < 24; i += 8) {
		for (int j = 0; j < 8; j++)
			pthread_create(&ids[j], NULL, with_keys, NULL);
		for (int j = 0; j < 8; j++)
			pthread_join(ids[j], NULL);
	}
	say("rounds of keys: %d, of tss: %d\n", (int)(sites[SITE_in_key_end].made / 4 / 24),
	    (int)(sites[SITE_in_tss_end].made / 4 / 24));
}

static int is_exit_asked;

static void allocate_at_exit(void)
{
	at_exit(10, 100, 2);
}

static void allocate_on_exit(int status, void *arg)
{
	on_exit_too(10, 100, 2);
	(void)status;
	(void)arg;
}

/* The last of the program's own code; it prints what has become of all. */
__attribute__((destructor)) static void end(void)
{
	if (!is_exit_asked)
		return;
	in_destructor(10, 100, 2);
	print_truth();
}

static void exits(void)
{
	is_exit_asked = 1;
	atexit(allocate_at_exit);
	on_exit(allocate_on_exit, NULL);
	exit(5);
}

static volatile int stop;

static void *allocate_on(void *arg)
{
	while (!stop)
		in_parent_thread(100, 700, 0);
	return arg;
}

/* What has come by the fork is the parent's: that it is given back in the child changes nothing. */
static void forks(void)
{
	enum { FORKS = 200 };
	static char *inherited[4];
	pthread_t ids[4];
	int failed = 0, status;

	for (int i = 0; i < 4; i++) {
		inherited[i] = strdup("made before");
		pthread_create(&ids[i], NULL, allocate_on, NULL);
	}
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (child == 0) {
			for (int j = 0; j < 4; j++)
				free(inherited[j]);
			in_child(10, 100, 2);
			_exit(i % 100);
		}
		in_parent(3, 50, 3);
		failed += child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
			  WEXITSTATUS(status) != i % 100;
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(ids[i], NULL);
	say("children that failed: %d\n", failed);
	/* all of them together */
	count_made(SITE_in_child, 10 * FORKS, 1000 * FORKS);
	count_gone(SITE_in_child, 5 * FORKS, 500 * FORKS);
}

/* This program itself as a child, in three ways. */
static void runs(char *self)
{
	char *argv[] = {self, (char *)"leaf", NULL};
	int status = 0;
	pid_t child;

	in_parent(100, 100, 2);
	child = vfork();
	if (child == 0) {
		execv(self, argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	say("by vfork: %#x\n", (unsigned)status);
	in_parent(100, 100, 2);
	child = vfork();
	if (child == 0) {
		execl("/nonexistent", "none", (char *)NULL);
		_exit(126);
	}
	waitpid(child, &status, 0);
	say("by vfork, what is not there: %#x\n", (unsigned)status);
	in_parent(100, 100, 2);
	if (posix_spawn(&child, self, NULL, NULL, argv, environ) != 0)
		wrong("fails", "posix_spawn");
	waitpid(child, &status, 0);
	say("by posix_spawn: %#x\n", (unsigned)status);
	in_parent(100, 100, 2);
	count_made(SITE_in_leaf, 20, 2000);
	count_gone(SITE_in_leaf, 10, 1000);
}

/*
 * A thread with no thread block of its own: it has the main one's, which stays asleep meanwhile. The kernel says when it is gone
 * from its stack.
 */
static volatile int lives;

static int clone_main(void *arg)
{
	in_clone(100, 100, 2);
	syscall(SYS_exit, 0);
	(void)arg;
	return 0;
}

static void clones(void)
{
	char *memory = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	for (int i = 0; i < 10; i++) {
		in_main(10, 100, 2);
		lives = 1;
		if (clone(clone_main, memory + (1 << 18) - 64,
			  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				  CLONE_SYSVSEM | CLONE_CHILD_CLEARTID,
			  NULL, NULL, NULL, &lives) < 0)
			wrong("fails", "clone");
		while (lives)
			syscall(SYS_futex, &lives, FUTEX_WAIT, 1, NULL, NULL, 0);
	}
}

/* More frames than are kept. */
SITE static int go_down(int depth)
{
	if (depth == 0) {
		at_the_bottom(100, 100, 2);
		return 0;
	}
	return go_down(depth - 1) + 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "constructors") == 0)
		in_main(10, 100, 2);
	else if (strcmp(what, "handler") == 0)
		interrupts_nothing();
	else if (strcmp(what, "smallstack") == 0)
		interrupts_on_small_stack();
	else if (strcmp(what, "hook") == 0)
		interrupts_hook();
	else if (strcmp(what, "allocator") == 0)
		interrupts_allocator();
	else if (strcmp(what, "jump") == 0 || strcmp(what, "jumphook") == 0)
		jumps(strcmp(what, "jumphook") == 0);
	else if (strcmp(what, "libraries") == 0)
		libraries();
	else if (strcmp(what, "keys") == 0)
		keys();
	else if (strcmp(what, "exits") == 0)
		exits();
	else if (strcmp(what, "fork") == 0)
		forks();
	else if (strcmp(what, "runs") == 0)
		runs(argv[0]);
	else if (strcmp(what, "leaf") == 0)
		in_leaf(10, 100, 2);
	else if (strcmp(what, "clone") == 0)
		clones();
	else if (strcmp(what, "deep") == 0)
		say("went down: %d\n", go_down(500));
	else
		return 2;
	if (strcmp(what, "leaf") != 0)
		print_truth();
	return wrongs != 0;
}
