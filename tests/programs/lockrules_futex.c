/* lockrules: the futex system call as a program makes it by syscall(): Rust's and C++'s own locks wait like this. */
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/lockrules.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static _Atomic uint32_t word, other_word;

static long futex(void *at, int op, uint32_t value, const void *timeout, void *second,
		  uint32_t third)
{
	return syscall(SYS_futex, at, op, value, timeout, second, third);
}

/* How many, or -1 and why. */
#define SAY_N(what, call)                        \
	do {                                     \
		int say_n;                       \
		errno = KEPT;                    \
		say_n = (call);                  \
		if (say_n < 0 || errno != KEPT)  \
			say(what, say_n, errno); \
		else                             \
			say_number(what, say_n); \
	} while (0)

struct call {
	void *at;
	int op;
	uint32_t value, third;
	void *second;
	const struct timespec *timeout;
};

static int make_call(void *arg)
{
	struct call *c = arg;

	return (int)futex(c->at, c->op, c->value, c->timeout, c->second, c->third);
}

/* Several wait, and some of them are woken. */
static void wakes(int private)
{
	struct other o[3] = {{0}};
	struct call wait = {.at = &word, .op = FUTEX_WAIT | private};
	struct call wait_bits = {.at = &word, .op = FUTEX_WAIT_BITSET | private, .third = 6};

	for (int i = 0; i < 3; i++)
		other_start(&o[i]);
	SAY_N("wake, nobody", (int)futex(&word, FUTEX_WAKE | private, 1, NULL, NULL, 0));
	for (int i = 0; i < 3; i++) {
		other_begin(&o[i], make_call, &wait);
		OTHER_ASLEEP("wait", &o[i], &word);
	}
	/* in the order in which they came */
	SAY_N("wake 1 of 3", (int)futex(&word, FUTEX_WAKE | private, 1, NULL, NULL, 0));
	other_end(&o[0], "wait, woken");
	SAY_N("wake all of 2", (int)futex(&word, FUTEX_WAKE | private, INT_MAX, NULL, NULL, 0));
	other_end(&o[1], "wait, woken");
	other_end(&o[2], "wait, woken");

	other_begin(&o[0], make_call, &wait_bits);
	OTHER_ASLEEP("wait, bits", &o[0], &word);
	SAY_N("wake, other bits", (int)futex(&word, FUTEX_WAKE_BITSET | private, 1, NULL, NULL, 1));
	SAY_N("wake, a common bit",
	      (int)futex(&word, FUTEX_WAKE_BITSET | private, 1, NULL, NULL, 2));
	other_end(&o[0], "wait, bits");
	SAY_N("wake, no bits", (int)futex(&word, FUTEX_WAKE_BITSET | private, 1, NULL, NULL, 0));
	SAY("wait, no bits", (int)futex(&word, FUTEX_WAIT_BITSET | private, 0, NULL, NULL, 0));

	/* from one word to another */
	for (int i = 0; i < 3; i++) {
		other_begin(&o[i], make_call, &wait);
		OTHER_ASLEEP("wait", &o[i], &word);
	}
	SAY_N("requeue, another value",
	      (int)futex(&word, FUTEX_CMP_REQUEUE | private, 1, (void *)1, &other_word, 1));
	SAY_N("requeue, 1 wakes, 1 moves",
	      (int)futex(&word, FUTEX_CMP_REQUEUE | private, 1, (void *)1, &other_word, 0));
	other_end(&o[0], "wait, woken by requeue");
	SAY_N("wake, who stayed", (int)futex(&word, FUTEX_WAKE | private, 5, NULL, NULL, 0));
	other_end(&o[2], "wait, stayed");
	SAY_N("wake, who moved", (int)futex(&other_word, FUTEX_WAKE | private, 5, NULL, NULL, 0));
	other_end(&o[1], "wait, moved");
	other_begin(&o[0], make_call, &wait);
	OTHER_ASLEEP("wait", &o[0], &word);
	SAY_N("requeue, moves all",
	      (int)futex(&word, FUTEX_REQUEUE | private, 0, (void *)100, &other_word, 0));
	SAY_N("wake by an operation",
	      (int)futex(&word, FUTEX_WAKE_OP | private, 1, (void *)1, &other_word,
			 FUTEX_OP(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)));
	SAY_N("what it has set", (int)other_word);
	other_end(&o[0], "wait, woken by an operation");
	other_word = 0;
	for (int i = 0; i < 3; i++)
		other_leave(&o[i]);
}

static void times(int private)
{
	struct timespec five_ms = {0, 5 * MS}, bad = {0, 1000000000}, none = {0, 0};

	SAY("wait, another value", (int)futex(&word, FUTEX_WAIT | private, 1, NULL, NULL, 0));
	SAY_TIMED("wait, 5 ms", CLOCK_MONOTONIC, 5,
		  (int)futex(&word, FUTEX_WAIT | private, 0, &five_ms, NULL, 0));
	SAY("wait, 0 ms", (int)futex(&word, FUTEX_WAIT | private, 0, &none, NULL, 0));
	SAY("wait, bad time", (int)futex(&word, FUTEX_WAIT | private, 0, &bad, NULL, 0));
	SAY("wait, bad time, another value",
	    (int)futex(&word, FUTEX_WAIT | private, 1, &bad, NULL, 0));
	SAY_TIMED("wait until", CLOCK_MONOTONIC, 5,
		  (int)futex(&word, FUTEX_WAIT_BITSET | private, 0, &at, NULL,
			     FUTEX_BITSET_MATCH_ANY));
	SAY_TIMED("wait until, realtime", CLOCK_REALTIME, 5,
		  (int)futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | private, 0, &at,
			     NULL, FUTEX_BITSET_MATCH_ANY));
	SAY_TIMED("wait until, past", CLOCK_MONOTONIC, -1000,
		  (int)futex(&word, FUTEX_WAIT_BITSET | private, 0, &at, NULL,
			     FUTEX_BITSET_MATCH_ANY));
	SAY("wait, not aligned",
	    (int)futex((char *)&word + 1, FUTEX_WAIT | private, 0, &five_ms, NULL, 0));
	SAY("wait, nowhere", (int)futex((void *)16, FUTEX_WAIT | private, 0, &five_ms, NULL, 0));
	SAY_N("wake, nowhere", (int)futex((void *)16, FUTEX_WAKE | private, 1, NULL, NULL, 0));
	SAY("wait, time nowhere", (int)futex(&word, FUTEX_WAIT | private, 0, (void *)16, NULL, 0));
	SAY("an unknown operation", (int)futex(&word, 99 | private, 0, NULL, NULL, 0));
}

static void interrupts(int private)
{
	struct timespec minute = {60, 0};
	struct other o = {0};

	other_start(&o);
	for (int i = 0; i < 4; i++) {
		static const char *const names[] = {
			"wait, a handler", "wait, a handler with SA_RESTART",
			"wait 60 s, a handler", "wait 60 s, a handler with SA_RESTART"};
		struct call wait = {
			.at = &word, .op = FUTEX_WAIT | private, .timeout = i / 2 ? &minute : NULL};

		count_signals(SIGUSR1, i % 2 ? SA_RESTART : 0);
		other_begin(&o, make_call, &wait);
		OTHER_ASLEEP("wait", &o, &word);
		pthread_kill(o.id, SIGUSR1);
		wait_for_signals(1);
		if (i == 1) {
			OTHER_ASLEEP("wait, restarted", &o, &word);
			futex(&word, FUTEX_WAKE | private, 1, NULL, NULL, 0);
		}
		other_end(&o, names[i]);
	}
	other_leave(&o);
}

/* With an owner. */
static void owners(int private)
{
	struct other o = {0};
	struct call lock = {.at = &word, .op = FUTEX_LOCK_PI | private};
	struct call try = {.at = &word, .op = FUTEX_TRYLOCK_PI | private};
	struct call unlock = {.at = &word, .op = FUTEX_UNLOCK_PI | private};
	struct call lock2 = {.at = &word, .op = FUTEX_LOCK_PI2 | private};
	struct timespec soon;

	other_start(&o);
	for (int i = 0; i < 2; i++) {
		SAY("lock_pi, free", (int)futex(&word, lock.op, 0, NULL, NULL, 0));
		SAY("lock_pi, mine", (int)futex(&word, lock.op, 0, NULL, NULL, 0));
		other_do(&o, "trylock_pi by another", make_call, &try);
		other_do(&o, "unlock_pi by another", make_call, &unlock);
		soon = in_ms(CLOCK_REALTIME, 5);
		lock.timeout = &soon;
		other_do(&o, "lock_pi by another, 5 ms", make_call, &lock);
		lock.timeout = NULL;
		other_begin(&o, make_call, i == 0 ? &lock : &lock2);
		OTHER_ASLEEP("lock_pi", &o, &word);
		SAY("unlock_pi", (int)futex(&word, unlock.op, 0, NULL, NULL, 0));
		other_end(&o, "lock_pi by another");
		SAY("its owner", (word & FUTEX_TID_MASK) == (uint32_t)o.tid ? 0 : -1);
		other_do(&o, "unlock_pi by another", make_call, &unlock);
		word = 0;
	}
	/* a condition that hands over to a lock with an owner */
	{
		struct call wait = {
			.at = &other_word, .op = FUTEX_WAIT_REQUEUE_PI | private, .second = &word};

		futex(&word, lock.op, 0, NULL, NULL, 0);
		other_begin(&o, make_call, &wait);
		OTHER_ASLEEP("wait_requeue_pi", &o, &other_word);
		SAY("cmp_requeue_pi", (int)futex(&other_word, FUTEX_CMP_REQUEUE_PI | private, 1,
						 (void *)0, &word, 0));
		SAY("unlock_pi", (int)futex(&word, unlock.op, 0, NULL, NULL, 0));
		other_end(&o, "wait_requeue_pi");
		other_do(&o, "unlock_pi by another", make_call, &unlock);
		word = 0;
	}
	other_leave(&o);
}

#ifdef SYS_futex_waitv
static int waits_for_two(void *timeout)
{
	struct futex_waitv two[2] = {
		{.uaddr = (uintptr_t)&word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
		{.uaddr = (uintptr_t)&other_word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
	};

	return (int)syscall(SYS_futex_waitv, two, 2, 0, timeout, CLOCK_MONOTONIC);
}

static void several(void)
{
	struct other o = {0};
	struct timespec soon = in_ms(CLOCK_MONOTONIC, 5);
	int64_t end = host_clock(CLOCK_MONOTONIC) + 8000 * MS;
	int woken;

	SAY("waitv, 5 ms", waits_for_two(&soon));
	word = 1;
	SAY("waitv, another value", waits_for_two(NULL));
	word = 0;
	other_start(&o);
	other_begin(&o, waits_for_two, NULL);
	do
		woken = (int)futex(&other_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	while (woken == 0 && host_clock(CLOCK_MONOTONIC) < end);
	SAY_N("waitv, woken", woken);
	other_end(&o, NULL);
	say_number("waitv, which", o.result);
	other_leave(&o);
}
#else
static void several(void)
{
	say_text("waitv", "not here");
}
#endif

void rules_of_futexes(void)
{
	for (int i = 0; i < 2; i++) {
		int private = i ? FUTEX_PRIVATE_FLAG : 0;

		say_before = i ? "futex, private" : "futex";
		times(private);
		wakes(private);
		interrupts(private);
		owners(private);
	}
	say_before = "futex";
	several();
	say_before = "";
}
