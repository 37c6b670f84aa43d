/*
 * cpu: where CPU time goes.
 *
 * Each thread has a timer on its own CPU clock. The moments at which it should fire are a random sequence, half to one
 * and a half periods apart, so that a program which beats in time with the period is not misjudged. Whatever the kernel
 * delivers, a sample counts the moments that have passed (column samples) and the CPU time since the thread's last
 * sample (column cpu), so totals and the threads' shares come out right.
 *
 * The kernel looks at CPU timers at its tick, 250 times a second or so. Faster rates need a perf clock, where that is
 * permitted:
 *
 *     way     clocks                                  sees the kernel's time
 *     TIMER   CPU timer                               yes, at the system call
 *     PERF    perf on user code, and a CPU timer      the timer's samples that fall behind a system call
 *
 * PERF adds up two samplers. Each perf sample stands for its distance from the last strike, each timer sample in the kernel for the timer's period;
 * timer samples in user code are dropped. What the thread's CPU clock says beyond that sum is handed out in small
 * parts with the samples that follow. Perf never watches the kernel, not even where it may: a signal raised there
 * could interrupt a blocking call, or meet the new program after exec. CPU timers are raised on the way back to user
 * code (docs/adr/0002-clocks.md).
 */
#pragma once

#include <signal.h>

#include "core/profile.h"

extern const struct profile_ops cpu_profile;

enum cpu_way { CPU_OFF, CPU_ARMING, CPU_TIMER, CPU_PERF };

struct cpu_thread {
	_Atomic uint32_t way;     /* enum cpu_way */
	int32_t timer;            /* the kernel's id, -1 none */
	int32_t perf;             /* file, -1 none */
	bool perf_traps;          /* its signal is SIGTRAP, not SIGPROF */
	uint64_t perf_id;         /* the kernel's, to know the file again */
	bool is_first, is_second; /* the next sample is */
	uint64_t period_ns, timer_period_ns;
	uint64_t next_ns;                   /* the timer's next moment, on the thread's CPU clock */
	uint64_t perf_next_ns, perf_gap_ns; /* perf's next moment, and its distance from the last */
	uint64_t perf_struck_ns,
		perf_stands_ns; /* its last strike, and what the next one stands for */
	uint64_t last_ns;       /* its clock at the last sample */
	uint64_t given_ns;      /* PERF: what samples stand for so far */
	bool has_stack;         /* it has been sampled: walk_last() is its last sample's */
	int64_t owed_ns;        /* PERF: time given out that no period was counted for yet */
	uint64_t random;
	uint32_t timer_alone; /* timer signals since the last perf one: is perf still there? */
};

struct cpu_settings {
	uint64_t period_ns;
	uint64_t tick_ns;
	bool try_perf, try_sigtrap;
	int files_max; /* perf files have lower numbers than this, so that the host keeps a quarter of its limit */
	uintptr_t entry; /* where the program begins: the outermost frame of its main thread */
};

/* True when a thread is sampled by a perf file: a number of the host's, which the helper cannot close. */
bool cpu_has_files(void);

/* What cpu.c and cpu_sig.c share. */
extern struct cpu_thread *cpu_threads; /* by thread index */
extern struct cpu_settings cpu_settings;
extern _Atomic uint32_t cpu_is_on;

/* Signal safe: starts sampling thread @t of this process, whoever calls; counts it as lost when the kernel refuses. */
SIGSAFE void cpu_arm(struct segment *s, struct thread *t);
SIGSAFE void cpu_disarm(struct cpu_thread *ct);
SIGSAFE void cpu_close_perf(struct cpu_thread *ct); /* the file alone, if it is still ours */

/*
 * What is to be counted when thread @t stops being sampled at @now on its CPU clock. @is_deaf: it has our signal blocked. A
 * long time without a sample does not tell: the kernel looks at CPU timers at its tick, and on a busy machine a thread may
 * use 200 ms in pieces that none of the ticks falls into.
 */
SIGSAFE void cpu_settle(struct segment *s, struct thread *t, uint64_t now, bool is_deaf);

/* The process-wide timer that finds threads nobody told us about. */
SIGSAFE void cpu_scout_start(void);
SIGSAFE void cpu_scout_stop(void);

/*
 * The calling thread, which is @t, has @held blocked from here on (SIGNALS_PROF, SIGNALS_TRAP): the clocks that would raise
 * them stand still, and what is pending is taken off. Those that it no longer has go on: what passed meanwhile belongs to
 * the next sample.
 */
SIGSAFE void cpu_hold(struct thread *t, unsigned held);

/* Signals of ours that are still pending on this thread, blocked by the host, are taken off it. */
SIGSAFE void cpu_drop_pending(void);

/* A signal that the host took from its queue, by sigwait() or the like. True: it was ours, and sampling goes on. */
SIGSAFE bool cpu_on_dequeued(int sig, const siginfo_t *info);

SIGSAFE bool cpu_on_signal(int sig, siginfo_t *info, void *ucontext);
