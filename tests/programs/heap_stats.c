/*
 * heap_stats: a program on jemalloc that asks it for its numbers itself, in the end. Linked, or preloaded.
 *
 *     heap_stats HOW [MIB]
 *
 * It takes blocks of a mebibyte and gives them back for most of a second, with MIB of them in use all the time (default 8). HOW says
 * from where:
 *
 *     main      its first thread
 *     threads   four of them, while the first makes children, which do so, too
 *     handler   a signal's handler
 *     fork      the handlers of pthread_atfork()
 *     context   a stack of its own
 *     hooks     its first thread, after it has given an arena functions of its own
 *
 * The last line is what jemalloc said, in JSON.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define MIB     ((size_t)1 << 20)
#define KEPT    256
#define SECONDS 0.7
#define STACK   (MIB / 2)

extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

static char *kept[KEPT];
static unsigned kept_n = 8;
static double ends;
static ucontext_t main_context, other_context;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nap(void)
{
	nanosleep(&(struct timespec){0, 2000000}, NULL);
}

/* A place changes hands with each block: several threads may be here. */
static void take(unsigned i)
{
	char *block = malloc(MIB);

	if (block == NULL)
		abort();
	memset(block, 1, MIB);
	free(__atomic_exchange_n(&kept[i % kept_n], block, __ATOMIC_ACQ_REL));
}

static void *takes(void *unused)
{
	for (unsigned i = 0; now() < ends; i++) {
		take(i);
		nap();
	}
	return unused;
}

static void takes_one(void)
{
	static unsigned i;

	take(i++);
}

static void on_signal(int sig)
{
	(void)sig;
	takes_one();
}

static void on_stack(void)
{
	takes(NULL);
}

static int by_threads(void)
{
	pthread_t threads[4];
	int bad = 0;

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, takes, NULL);
	while (now() < ends) {
		pid_t pid = fork();
		int status = 0;

		if (pid == 0) {
			for (unsigned i = 0; i < 20; i++)
				takes_one();
			_exit(7);
		}
		bad += pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		       WEXITSTATUS(status) != 7;
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return bad;
}

static void by_handlers(void)
{
	signal(SIGUSR1, on_signal);
	while (now() < ends) {
		raise(SIGUSR1);
		nap();
	}
}

static int by_forks(void)
{
	int bad = pthread_atfork(takes_one, takes_one, takes_one);

	while (now() < ends) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		bad += pid < 0 || waitpid(pid, NULL, 0) != pid;
		nap();
	}
	return bad;
}

static int by_context(void)
{
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED || getcontext(&other_context) != 0)
		return 1;
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = STACK;
	other_context.uc_link = &main_context;
	makecontext(&other_context, on_stack, 0);
	return swapcontext(&main_context, &other_context) != 0;
}

/* extent_hooks_t: nine functions, of which this one is only ever asked for memory by an arena that nobody uses. */
struct hooks {
	void *(*alloc)(struct hooks *hooks, void *new, size_t size, size_t alignment, _Bool *zero,
		       _Bool *commit, unsigned arena);
	void *others[8];
};

static void *hook(struct hooks *hooks, void *new, size_t size, size_t alignment, _Bool *zero,
		  _Bool *commit, unsigned arena)
{
	char *p;

	(void)hooks;
	(void)arena;
	if (new != NULL)
		return NULL;
	p = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		return NULL;
	*zero = *commit = 1;
	return p + (alignment - (uintptr_t)p % alignment) % alignment;
}

static int add_hooks(void)
{
	static struct hooks hooks = {.alloc = hook};
	struct hooks *wanted = &hooks;
	unsigned arena;
	size_t size = sizeof(arena);

	return mallctl("arenas.create", &arena, &size, &wanted, sizeof(wanted));
}

static size_t number(const char *name)
{
	size_t value = 0, size = sizeof(value);

	mallctl(name, &value, &size, NULL, 0);
	return value;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "main";
	uint64_t epoch = 1;
	int bad = 0;

	if (argc > 2)
		kept_n = (unsigned)atoi(argv[2]);
	if (mallctl == NULL || kept_n == 0 || kept_n > KEPT) {
		puts("no jemalloc");
		return 2;
	}
	ends = now() + SECONDS;
	if (strcmp(how, "threads") == 0)
		bad = by_threads();
	else if (strcmp(how, "handler") == 0)
		by_handlers();
	else if (strcmp(how, "fork") == 0)
		bad = by_forks();
	else if (strcmp(how, "context") == 0)
		bad = by_context();
	else if (strcmp(how, "hooks") == 0)
		bad = add_hooks();
	takes(NULL);
	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	printf("{\"failures\": %d, \"allocated\": %zu, \"active\": %zu, \"metadata\": %zu, "
	       "\"resident\": %zu, \"mapped\": %zu, \"retained\": %zu}\n",
	       bad, number("stats.allocated"), number("stats.active"), number("stats.metadata"),
	       number("stats.resident"), number("stats.mapped"), number("stats.retained"));
	return bad != 0;
}
