#include "profiles/cpu/cpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/helper.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/scan.h"
#include "core/signals.h"

static size_t threads_bytes;

static bool kernel_is_at_least(int major, int minor)
{
	struct utsname name;
	int have_major = 0, have_minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &have_major, &have_minor) == 2 &&
	       (have_major > major || (have_major == major && have_minor >= minor));
}

/* A debugger stops at every SIGTRAP. */
static bool is_traced(void)
{
	char status[2048];
	const char *line;
	int fd = (int)sys4(SYS_openat, -100 /* AT_FDCWD */, "/proc/self/status", 0, 0);
	long n = fd >= 0 ? sys3(SYS_read, fd, status, sizeof(status) - 1) : 0;

	if (fd >= 0)
		sys1(SYS_close, fd);
	status[n > 0 ? n : 0] = '\0';
	line = strstr(status, "TracerPid:\t");
	return line != NULL && line[11] != '0';
}

static bool host_owns(int sig)
{
	struct sigaction action;

	return !signals_is_taken(sig) && sigaction(sig, NULL, &action) == 0 &&
	       action.sa_handler != SIG_DFL;
}

/* The kernel's tick: coarse clocks advance with it. */
static uint64_t tick_ns(void)
{
	struct timespec resolution = {0, 4000000};

	clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
	return clock_of_timespec(resolution);
}

static void choose_clocks(uint64_t hz)
{
	struct rlimit files = {0, 0};

	getrlimit(RLIMIT_NOFILE, &files);
	cpu_settings.files_max =
		files.rlim_cur < INT32_MAX ? (int)(files.rlim_cur / 4 * 3) : INT32_MAX;
	cpu_settings.entry = getauxval(AT_ENTRY);
	cpu_settings.period_ns = NS_PER_SECOND / hz;
	cpu_settings.tick_ns = tick_ns();
	/* with half a period between two moments, a CPU timer serves up to half the tick's rate */
	cpu_settings.try_perf =
		cpu_settings.period_ns < 2 * cpu_settings.tick_ns && !helper_is_caller();
	/* before 5.18 it ended the process when the signal was blocked */
	cpu_settings.try_sigtrap = cpu_settings.try_perf && kernel_is_at_least(5, 18) &&
				   !is_traced() && !host_owns(SIGTRAP);
}

/* True when @t has our signal blocked, or nobody says. */
static bool is_deaf(const struct thread *t)
{
	static const char key[] = "\nSigBlk:\t";
	char path[48], status[2048];
	uint64_t mask = 0;
	const char *line;
	long n;
	int fd;

	if (t == thread_self_block &&
	    sys4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask)) == 0)
		return mask >> (SIGPROF - 1) & 1;
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", t->tid);
	fd = (int)sys4(SYS_openat, -100 /* AT_FDCWD */, path, 0, 0);
	n = fd >= 0 ? sys3(SYS_read, fd, status, sizeof(status) - 1) : 0;
	if (fd >= 0)
		sys1(SYS_close, fd);
	status[n > 0 ? n : 0] = '\0';
	line = strstr(status, key);
	return line == NULL || strtoull(line + sizeof(key) - 1, NULL, 16) >> (SIGPROF - 1) & 1;
}

static void settle(struct segment *s, struct thread *t, uint64_t now)
{
	/* asked only when it may matter: there may be ten thousand of them */
	cpu_settle(s, t, now,
		   now > cpu_threads[t->index].last_ns + 2 * cpu_settings.tick_ns && is_deaf(t));
}

static void disarm_one(struct thread *t, void *user)
{
	uint64_t now = clock_read(clock_of_thread(t->tid));

	if (now != 0) /* else it is gone */
		settle(user, t, now);
	cpu_disarm(&cpu_threads[t->index]);
}

static void rearm_one(struct thread *t, void *user)
{
	cpu_disarm(&cpu_threads[t->index]);
	cpu_arm(user, t);
}

bool cpu_has_files(void)
{
	for (size_t i = 0; cpu_threads != NULL && i < threads_bytes / sizeof(*cpu_threads); i++)
		if (atomic_load_explicit(&cpu_threads[i].way, memory_order_acquire) == CPU_PERF)
			return true;
	return false;
}

static void cpu_stop(struct segment *s)
{
	/* pairs: cpu_on_signal, which looks again once it is inside */
	if (!atomic_exchange_explicit(&cpu_is_on, 0, memory_order_seq_cst))
		return;
	cpu_scout_stop();
	thread_each(s, disarm_one, s);
	thread_wait_outside(s, NULL, NS_PER_SECOND / 10);
	atomic_store_explicit(&s->header->runs[RUN_CPU].ended_ns, clock_monotonic(),
			      memory_order_release);
}

static int cpu_start(struct segment *s, const struct option_set *options, struct why *why)
{
	int r;

	if (cpu_threads == NULL) {
		threads_bytes = segment_count(s, SEGMENT_THREADS, 0) * sizeof(*cpu_threads);
		cpu_threads = mem_map(threads_bytes);
		if (cpu_threads == NULL)
			return -ENOMEM;
	}
	choose_clocks(options->cpu_hz);
	r = signals_take(SIGPROF, cpu_on_signal);
	if (helper_is_caller() && cpu_settings.period_ns < 2 * cpu_settings.tick_ns)
		why_set(why,
			"cpu: %u samples a second at most: faster clocks are files of the "
			"program's, "
			"to be had when it is started",
			(unsigned)(NS_PER_SECOND / (2 * cpu_settings.tick_ns)));
	if (r == 0 && cpu_settings.try_sigtrap)
		r = signals_take(SIGTRAP, cpu_on_signal);
	if (r < 0) {
		why_set(why, "cpu: cannot take SIGPROF: %s", strerrordesc_np(-r));
		return r;
	}
	if (atomic_load_explicit(&s->header->runs[RUN_CPU].begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&s->header->runs[RUN_CPU].begun_ns, clock_monotonic(),
				      memory_order_relaxed);
	atomic_store_explicit(&s->header->runs[RUN_CPU].period, cpu_settings.period_ns,
			      memory_order_relaxed);
	atomic_store_explicit(&s->header->runs[RUN_CPU].ended_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&cpu_is_on, 1, memory_order_seq_cst);
	thread_each(s, rearm_one, s); /* those that have a record */
	scan_all(s);                  /* those that have none */
	if (kernel_is_at_least(6, 4))
		cpu_scout_start();
	return 0;
}

static void cpu_thread_begins(struct segment *s, struct thread *t)
{
	if (atomic_load_explicit(&cpu_is_on, memory_order_acquire))
		cpu_arm(s, t);
}

static void cpu_thread_ends(struct segment *s, struct thread *t)
{
	if (cpu_threads == NULL)
		return;
	settle(s, t, clock_read(CLOCK_THREAD_CPUTIME_ID));
	cpu_disarm(&cpu_threads[t->index]);
}

static void cpu_thread_gone(struct segment *s, struct thread *t)
{
	(void)s;
	if (cpu_threads != NULL)
		cpu_disarm(&cpu_threads[t->index]);
}

/* Threads that burn time with the signal blocked; the others are about to end and have had their samples. */
static void settle_blocked(struct thread *t, void *user)
{
	struct cpu_thread *ct = &cpu_threads[t->index];
	uint64_t now = clock_read(clock_of_thread(t->tid));

	if (now > ct->last_ns + 16 * ct->timer_period_ns)
		settle(user, t, now);
}

/* Whether more is due than chance explains; a child that did next to nothing leaves nothing. */
static bool is_behind(const struct cpu_thread *ct, uint64_t now)
{
	switch (atomic_load_explicit(&ct->way, memory_order_relaxed)) {
	case CPU_TIMER:
		return now >= ct->last_ns + 2 * cpu_settings.tick_ns;
	case CPU_PERF:
		return now >= ct->given_ns + 2 * ct->timer_period_ns;
	default:
		return false;
	}
}

/*
 * The calling thread's time up to this moment. A timer that has struck waits for the kernel's tick, and what perf does not see,
 * such as a debugger's way with each signal, is made good little by little: who looks at what was counted after its own
 * work, or ends after it, would miss the rest, on a busy machine the most part of it.
 */
static void settle_own(struct segment *s)
{
	uint64_t all = ~UINT64_C(0), before;
	struct thread *t = thread_self_block;

	/* the last: a tick that is due may still come */
	if (t == NULL || !is_behind(&cpu_threads[t->index], clock_read(CLOCK_THREAD_CPUTIME_ID)) ||
	    is_deaf(t))
		return;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	cpu_settle(s, t, clock_read(CLOCK_THREAD_CPUTIME_ID), false);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
}

static int cpu_refresh(struct segment *s)
{
	if (atomic_load_explicit(&cpu_is_on, memory_order_acquire))
		settle_own(s);
	return 0;
}

static void cpu_settle_all(struct segment *s)
{
	if (!atomic_load_explicit(&cpu_is_on, memory_order_acquire))
		return;
	settle_own(s);
	thread_each(s, settle_blocked, s);
}

static void cpu_forked(void)
{
	/* timers are not inherited, and perf files watch the parent's threads: only the files are ours to close */
	for (size_t i = 0; cpu_threads != NULL && i < threads_bytes / sizeof(*cpu_threads); i++)
		if (cpu_threads[i].way != CPU_OFF)
			cpu_close_perf(&cpu_threads[i]);
	atomic_store_explicit(&cpu_is_on, 0, memory_order_seq_cst);
	mem_unmap(cpu_threads, threads_bytes);
	cpu_threads = NULL;
}

static void cpu_exec(struct segment *s, struct thread *t, bool failed)
{
	/* a signal that is still on its way would find the new program without a handler */
	if (failed) {
		cpu_arm(s, t);
		return;
	}
	cpu_disarm(&cpu_threads[t->index]);
}

const struct profile_ops cpu_profile = {
	.name = "cpu",
	.bit = OPTION_CPU,
	.about = "where CPU time goes",
	.values = (const struct value_type[]){{"samples", "count"}, {"cpu", "nanoseconds"}, {0}},
	.period = {"cpu", "nanoseconds"},
	.table = SEGMENT_TABLE_CPU,
	.run = RUN_CPU,
	.start = cpu_start,
	.stop = cpu_stop,
	.refresh = cpu_refresh,
	.thread_begins = cpu_thread_begins,
	.thread_ends = cpu_thread_ends,
	.thread_gone = cpu_thread_gone,
	.settle = cpu_settle_all,
	.forked = cpu_forked,
	.exec = cpu_exec,
};
