/* core/wait: what a thread says of itself, and that a looker who signals those that say nothing ends nobody's sleep. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/segment.h"
#include "core/thread.h"
#include "core/wait.h"
#include "tests/tap.h"

/* Not for AddressSanitizer, which does not learn of frames that the end of a thread leaves. */
#ifdef __clang__
#define KEEP __attribute__((noinline, no_sanitize("address")))
#else
#define KEEP                                                                     \
	__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"), \
		       no_sanitize("address")))
#endif

static struct segment *segment;

/* The calling thread becomes known, as it would be in a host. */
static struct thread *know_me(void)
{
	struct thread *t = thread_reserve(segment);

	thread_self_block = thread_publish(segment, t, (int)syscall(SYS_gettid));
	return thread_self_block;
}

static void begin(void)
{
	struct why why;
	int fd;

	if (segment_create(SEGMENT_MIN_BYTES * 4, &segment, &fd, &why) < 0 ||
	    thread_init(segment) < 0 || segment_publish(segment) < 0) {
		printf("Bail out! no segment: %s\n", why.text);
		exit(1);
	}
	close(fd);
	know_me();
}

static uint64_t word(void)
{
	return atomic_load(&thread_self_block->record->waits);
}

static void is_name(unsigned code, const char *wanted)
{
	char buffer[WAIT_NAME_SIZE];

	is_str(wait_name(code, buffer), wanted, "%s", wanted);
}

static void test_names(void)
{
	is_name(WAIT_NOT, "running");
	is_name(WAIT_LOCK, "lock");
	is_name(WAIT_SLEEP, "sleep");
	is_name(WAIT_SYSCALL + SYS_poll, "syscall:poll");
	is_name(WAIT_SYSCALL + SYS_epoll_pwait2, "syscall:epoll_pwait2");
	is_name(WAIT_SYSCALL + 60000, "syscall:60000");
	is_u64(wait_code_of_syscall(SYS_nanosleep), WAIT_SLEEP, "nanosleep is sleep");
	is_u64(wait_code_of_syscall(SYS_futex), WAIT_FUTEX, "futex is futex");
	is_u64(wait_code_of_syscall(-1), WAIT_NOT, "no call");
	is_u64(wait_code_of_syscall(1 << 20), WAIT_NOT, "no call that there could be");
}

static uint64_t seen_word;
static struct wait_place seen_place;

static void look(void)
{
	seen_word = word();
	seen_place = thread_self_block->waits_at;
}

KEEP static int says(unsigned code, void (*meanwhile)(void))
{
	WAITING(code, look, NULL);
	errno = 5;
	meanwhile();
	return errno;
}

static void test_word(void)
{
	struct wait_place here;

	is_u64(word(), 0, "it runs");
	wait_is_on = 0;
	says(WAIT_LOCK, look);
	is_u64(seen_word, 0, "nobody looks: nothing is said");
	wait_is_on = 1;
	is_u64((uint64_t)says(WAIT_LOCK, look), 5, "errno is kept");
	is_u64(WAIT_CODE(seen_word), WAIT_LOCK, "what it waits for");
	is_u64(word(), 0, "and then no more");
	here = WAIT_HERE(look);
	ok(seen_place.pc > (uintptr_t)test_word && seen_place.pc < (uintptr_t)test_word + 2000,
	   "where it goes on");
	/* the frame of the function that called says() is this one's */
	ok(seen_place.bp == (uintptr_t)__builtin_frame_address(0) && seen_place.sp < here.sp,
	   "with which frame");
	is_u64(seen_place.callee, (uintptr_t)look, "and in what it waits");
}

/* ---- calls within calls ---- */

static uint64_t outer_word, outer_since;
static struct wait_place outer_place;

static void see_inner(void)
{
	look();
}

static void wait_inside(void)
{
	outer_word = word();
	outer_place = thread_self_block->waits_at;
	outer_since = atomic_load(&thread_self_block->record->waits_since_ns);
	says(WAIT_SYSCALL + SYS_write, see_inner);
	look();
}

/* What longjmp() leaves: a word nobody takes back. */
KEEP static void leave_word(void)
{
	struct wait left = {0};

	wait_announce(&left, WAIT_SEM, WAIT_HERE(look));
	__asm__ volatile("" ::"r"(&left) : "memory");
}

KEEP static void leave_deeper(volatile char *room)
{
	char more[512];

	memset(more, *room, sizeof(more));
	leave_word();
	__asm__ volatile("" ::"r"(more) : "memory");
}

static void test_nesting(void)
{
	struct thread *t = thread_self_block;
	volatile char room = 0;

	says(WAIT_COND, wait_inside);
	is_u64(WAIT_CODE(outer_word), WAIT_COND, "the outer call");
	is_u64(WAIT_CODE(seen_word), WAIT_COND, "and again after a handler's own");
	ok(seen_word != outer_word, "by another number: it was elsewhere");
	ok(memcmp(&seen_place, &outer_place, sizeof(seen_place)) == 0, "at the same place");
	is_u64(atomic_load(&t->record->waits_since_ns), 0, "since when: back to what was before");
	is_u64(word(), 0, "and then none");

	t->stack_high = (uintptr_t)__builtin_frame_address(0) + 65536;
	t->stack_low = t->stack_high - (1 << 20);
	leave_deeper(&room);
	is_u64(WAIT_CODE(word()), WAIT_SEM, "a call that was left");
	says(WAIT_LOCK, look);
	is_u64(WAIT_CODE(seen_word), WAIT_LOCK, "the next one");
	is_u64(word(), 0, "ends it");
	t->stack_low = t->stack_high = 0;
	leave_deeper(&room);
	says(WAIT_LOCK, look);
	is_u64(WAIT_CODE(word()), WAIT_SEM,
	       "on a stack of unknown bounds it may be one that goes on");
	atomic_store(&t->record->waits, 0);
}

static void wait_and_fork(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		ok(segment_live() == NULL, "a child has nothing to say");
		/* as if it had been given back */
		ok(mprotect((void *)((uintptr_t)thread_self_block & ~UINT64_C(4095)), 4096,
			    PROT_NONE) == 0,
		   "and its parent's block no more");
		return;
	}
	waitpid(child, &status, 0);
	tap_count += 2; /* the child's */
	is_u64((uint64_t)status, 0, "a child that is made in a wait comes out of it");
}

static void test_fork(void)
{
	pid_t parent = getpid();

	says(WAIT_SLEEP, wait_and_fork);
	if (getpid() != parent)
		_exit(0);
	is_u64(word(), 0, "and the parent");
}

/* ---- ways out that do not return ---- */

static pthread_barrier_t arrived;
static uint64_t word_in_cleanup;

static void see_word(void *unused)
{
	word_in_cleanup = word();
}

static void sleep_long(void)
{
	pthread_barrier_wait(&arrived);
	for (;;)
		pause();
}

static void exit_now(void)
{
	pthread_exit(NULL);
}

KEEP static void *wait_for_end(void *how)
{
	void (*meanwhile)(void) = how == NULL ? sleep_long : exit_now;

	know_me();
	pthread_cleanup_push(see_word, NULL);
	says(WAIT_JOIN, meanwhile);
	pthread_cleanup_pop(0);
	return NULL;
}

static void test_ends(void)
{
	pthread_t id;
	void *result;

	pthread_barrier_init(&arrived, NULL, 2);
	word_in_cleanup = 1;
	pthread_create(&id, NULL, wait_for_end, NULL);
	pthread_barrier_wait(&arrived);
	pthread_cancel(id);
	pthread_join(id, &result);
	ok(result == PTHREAD_CANCELED, "cancelled in a wait");
	is_u64(word_in_cleanup, 0, "the word is taken back by then");
	word_in_cleanup = 1;
	pthread_create(&id, NULL, wait_for_end, &arrived);
	pthread_join(id, NULL);
	is_u64(word_in_cleanup, 0, "so it is when a handler ends the thread");
}

/* ---- the looker ---- */

static struct handshake {
	struct thread *sleeper;
	_Atomic int stop, ready;
	_Atomic uint64_t signals, waits, interrupted, rounds;
	bool is_rude;
} handshake;

static void on_prof(int sig)
{
	struct thread *t = thread_self_block;

	handshake.signals++;
	atomic_store(&t->deaf, 0);
	atomic_store(&t->asked, 0);
}

KEEP static int sleep_announced(const struct timespec *duration)
{
	WAITING(WAIT_SLEEP, nanosleep, NULL);
	return (int)syscall(SYS_nanosleep, duration, NULL);
}

/* Each on a processor of its own, where there are two: else one runs while the other does not. */
static void stay_on(int n)
{
	int count = (int)sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n % count, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *sleep_often(void *unused)
{
	uint64_t random = 88172645463325252u;

	prctl(PR_SET_TIMERSLACK, 1);
	stay_on(0);
	handshake.sleeper = know_me();
	handshake.ready = 1;
	while (!handshake.stop) {
		struct timespec duration = {0, 1};

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		duration.tv_nsec = (long)(20000 + random % 50000);
		if (sleep_announced(&duration) != 0)
			handshake.interrupted++;
		for (volatile unsigned i = 0; i < random % 32768; i++)
			;
		handshake.rounds++;
	}
	/* one that comes now finds a thread */
	while (atomic_load(&handshake.sleeper->asked) != 0)
		;
	return NULL;
}

static void *look_often(void *unused)
{
	struct thread *t = handshake.sleeper;

	stay_on(1);
	while (!handshake.stop) {
		struct timespec rest = {0, 100000};

		if (handshake.is_rude) {
			syscall(SYS_tgkill, getpid(), t->tid, SIGPROF);
			nanosleep(&rest, NULL);
			continue;
		}
		if (atomic_load(&t->asked) != 0)
			continue;
		atomic_fetch_or(&t->asked, 1);
		if (atomic_load(&t->record->waits) != 0) {
			atomic_store(&t->asked, 0);
			handshake.waits++;
		} else {
			syscall(SYS_tgkill, getpid(), t->tid, SIGPROF);
		}
		for (volatile unsigned i = 0; i < 300; i++)
			;
	}
	return NULL;
}

static void *burn(void *unused)
{
	while (!handshake.stop)
		;
	return NULL;
}

static void run_handshake(unsigned burners, unsigned ms, bool is_rude)
{
	struct timespec duration = {ms / 1000, ms % 1000 * 1000000};
	pthread_t ids[8];

	memset(&handshake, 0, sizeof(handshake));
	handshake.is_rude = is_rude;
	pthread_create(&ids[0], NULL, sleep_often, NULL);
	while (!handshake.ready)
		sched_yield();
	pthread_create(&ids[1], NULL, look_often, NULL);
	for (unsigned i = 0; i < burners; i++)
		pthread_create(&ids[2 + i], NULL, burn, NULL);
	nanosleep(&duration, NULL);
	handshake.stop = 1;
	for (unsigned i = 0; i < 2 + burners; i++)
		pthread_join(ids[i], NULL);
	thread_release(segment, handshake.sleeper);
	note("%" PRIu64 " sleeps, %" PRIu64 " signals, %" PRIu64 " looks at a waiting thread, "
	     "%" PRIu64 " interrupted",
	     handshake.rounds, handshake.signals, handshake.waits, handshake.interrupted);
}

static void test_handshake(void)
{
	struct sigaction action = {.sa_handler = on_prof, .sa_flags = SA_RESTART};

	sigaction(SIGPROF, &action, NULL);
	run_handshake(0, 200, true);
	ok(handshake.interrupted > 0, "a looker that does not ask ends sleeps early");
	run_handshake(0, 1000, false);
	is_u64(handshake.interrupted, 0, "one that asks does not");
	run_handshake(4, 1000, false);
	is_u64(handshake.interrupted, 0, "nor on a busy machine");
}

/* ---- signals that do not come ---- */

static void *send_late(void *thread)
{
	struct timespec late = {0, 5000000};
	struct thread *t = thread;

	nanosleep(&late, NULL);
	syscall(SYS_tgkill, getpid(), t->tid, SIGPROF);
	return NULL;
}

static void nothing(void)
{
}

static void test_late(void)
{
	struct thread *t = thread_self_block;
	uint64_t begun = clock_monotonic();
	sigset_t prof;
	pthread_t id;

	sigemptyset(&prof);
	sigaddset(&prof, SIGPROF);
	atomic_store(&t->asked, 1);
	pthread_create(&id, NULL, send_late, t);
	says(WAIT_SLEEP, nothing);
	is_u64(t->asked, 0, "a signal that was late has come before the wait");
	ok(clock_monotonic() - begun >= 5000000, "however long that took");
	pthread_join(id, NULL);

	pthread_sigmask(SIG_BLOCK, &prof, NULL);
	atomic_store(&t->asked, 1);
	begun = clock_monotonic();
	says(WAIT_SLEEP, nothing);
	ok(clock_monotonic() - begun < 4000000, "a host that blocks the signal is not held up");
	is_u64(t->deaf, 1, "which is noted");
	begun = clock_monotonic();
	for (int i = 0; i < 1000; i++)
		says(WAIT_SLEEP, nothing);
	note("%.3f us a wait when the question stays open",
	     (double)(clock_monotonic() - begun) / 1e6);
	raise(SIGPROF);
	pthread_sigmask(SIG_UNBLOCK, &prof, NULL);
	is_u64(t->deaf | t->asked, 0, "until it comes");
}

static void test_cost(void)
{
	uint64_t begun = clock_monotonic();

	for (int i = 0; i < 1000000; i++)
		says(WAIT_SLEEP, nothing);
	note("%.1f ns a word, there and back", (double)(clock_monotonic() - begun) / 1e6);
}

int main(void)
{
	plan_begin();
	begin();
	test_names();
	test_word();
	test_nesting();
	test_fork();
	test_ends();
	test_handshake();
	test_late();
	test_cost();
	return plan_end();
}
