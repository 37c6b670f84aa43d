#include "profiles/cpu/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/clock.h"
#include "core/look.h"
#include "core/modules.h"
#include "core/sampled.h"
#include "core/scan.h"
#include "core/signals.h"
#include "core/table.h"
#include "core/walk.h"

struct cpu_thread *cpu_threads;
struct cpu_settings cpu_settings;
_Atomic uint32_t cpu_is_on;

/* Marks our timers' and perf events' signals: the upper half of the value they carry; the lower is a thread's index. */
#define TAG_THREAD UINT64_C(0x6370726600000000)
#define TAG_SCOUT  UINT64_C(0x6370727300000000)
#define TAG_MASK   UINT64_C(0xffffffff00000000)

#define TRAP_PERF_CODE 6 /* si_code of a SIGTRAP from perf; in <signal.h> only since glibc 2.35 */

static uint64_t random_next(struct cpu_thread *ct)
{
	ct->random ^= ct->random << 13;
	ct->random ^= ct->random >> 7;
	ct->random ^= ct->random << 17;
	return ct->random;
}

/* The distance to the next moment: one period on average, half to one and a half. */
static uint64_t gap(struct cpu_thread *ct, uint64_t period_ns)
{
	return period_ns / 2 + random_next(ct) % period_ns;
}

/*
 * The distance from a thread's birth to its first moment: as if the sequence had been running forever. A longer gap is
 * the likelier to be the one we fall into, in proportion, and we fall anywhere into it.
 * Threads that live less than a period are then sampled exactly as often as they should be.
 */
static uint64_t first_gap(struct cpu_thread *ct, uint64_t period_ns)
{
	uint64_t g;

	do
		g = gap(ct, period_ns);
	while (random_next(ct) % (period_ns + period_ns / 2) >= g);
	return 1 + random_next(ct) % g;
}

/*
 * The next moment. Should its signal be lost, because the host's handler left ours by longjmp() or took the signal for
 * an instant, another comes after eight periods.
 */
static void set_timer(int32_t timer, uint64_t at_ns, uint64_t again_ns, int flags)
{
	struct itimerspec spec = {clock_to_timespec(again_ns), clock_to_timespec(at_ns)};

	sys4(SYS_timer_settime, timer, flags, &spec, NULL);
}

static int32_t create_timer(clockid_t clock, int tid, uint64_t tag)
{
	struct sigevent event = {.sigev_signo = SIGPROF,
				 .sigev_notify = tid != 0 ? SIGEV_THREAD_ID : SIGEV_SIGNAL};
	int32_t timer = -1;

	event.sigev_value.sival_ptr = (void *)tag;
	event._sigev_un._tid = tid;
	return sys3(SYS_timer_create, clock, &event, &timer) == 0 ? timer : -1;
}

#define PERF_FILES_FROM 512

/*
 * Perf's clock strikes on at the distance it was last given, in the kernel too, until the handler gives it another. At a few
 * microseconds its interrupts take all the time there is: the thread never gets back to user code, where the signal
 * that would end it waits. 50 us is ten times what an interrupt costs in a virtual machine.
 */
#define PERF_SHORTEST_NS UINT64_C(50000)

static uint64_t perf_shortest(const struct cpu_thread *ct)
{
	return ct->period_ns / 8 > PERF_SHORTEST_NS ? ct->period_ns / 8 : PERF_SHORTEST_NS;
}

/* A perf clock on @t's user code that strikes after perf_gap_ns for the first time; -1 when it is not to be had. */
static int32_t open_perf(const struct thread *t, struct cpu_thread *ct, bool sigtrap)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = ct->perf_gap_ns,
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.wakeup_events = 1,
		.sigtrap = sigtrap,
		.remove_on_exec = sigtrap,
		.sig_data = TAG_THREAD | t->index,
	};
	struct f_owner_ex owner = {F_OWNER_TID, t->tid};
	long fd = sys5(SYS_perf_event_open, &attr, t->tid, -1, -1, PERF_FLAG_FD_CLOEXEC), high;

	if (fd < 0)
		return -1;
	/* out of the way of programs that count on getting low numbers; no file is worth the host's last ones */
	high = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, PERF_FILES_FROM);
	sys1(SYS_close, fd);
	fd = high;
	if (fd < 0)
		return -1;
	if (fd >= cpu_settings.files_max ||
	    sys3(SYS_ioctl, fd, PERF_EVENT_IOC_ID, &ct->perf_id) < 0) {
		sys1(SYS_close, fd);
		return -1;
	}
	if (!sigtrap && (sys3(SYS_fcntl, fd, F_SETFL, O_ASYNC) < 0 ||
			 sys3(SYS_fcntl, fd, F_SETSIG, SIGPROF) < 0 ||
			 sys3(SYS_fcntl, fd, F_SETOWN_EX, &owner) < 0)) {
		sys1(SYS_close, fd);
		return -1;
	}
	return (int32_t)fd;
}

static unsigned perf_signal(const struct cpu_thread *ct)
{
	return ct->perf_traps ? SIGNALS_TRAP : SIGNALS_PROF;
}

/* The timer from its next moment on, perf from where it is; or neither, where its signal is one of @held. */
static void run_clocks(struct cpu_thread *ct, unsigned held)
{
	if (ct->timer >= 0)
		set_timer(ct->timer, held & SIGNALS_PROF ? 0 : ct->next_ns,
			  held & SIGNALS_PROF ? 0 : 8 * ct->timer_period_ns, TIMER_ABSTIME);
	if (ct->perf >= 0)
		sys3(SYS_ioctl, ct->perf,
		     held & perf_signal(ct) ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0);
}

SIGSAFE void cpu_arm(struct segment *s, struct thread *t)
{
	struct cpu_thread *ct = &cpu_threads[t->index];
	clockid_t clock = clock_of_thread(t->tid);
	enum cpu_way way = CPU_TIMER;
	uint32_t off = CPU_OFF;

	/* whoever is first: the thread itself at its start, or another that found it */
	if (!atomic_compare_exchange_strong_explicit(&ct->way, &off, CPU_ARMING,
						     memory_order_acq_rel, memory_order_relaxed))
		return;
	ct->timer = ct->perf = -1;
	ct->is_first = true;
	ct->is_second = false;
	ct->timer_alone = 0;
	ct->has_stack = false;
	ct->owed_ns = 0;
	ct->period_ns = ct->timer_period_ns = cpu_settings.period_ns;
	ct->random =
		(clock_monotonic() ^ (uint64_t)t->tid << 32) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	ct->perf_gap_ns = first_gap(ct, ct->period_ns);
	if (ct->perf_gap_ns <
	    PERF_SHORTEST_NS) /* no more than that: many threads live for less than a period */
		ct->perf_gap_ns = PERF_SHORTEST_NS;
	if (cpu_settings.try_perf)
		ct->perf = open_perf(t, ct, cpu_settings.try_sigtrap);
	ct->perf_traps = cpu_settings.try_sigtrap && ct->perf >= 0;
	if (cpu_settings.try_sigtrap && ct->perf < 0)
		ct->perf = open_perf(t, ct, false);
	if (ct->perf >= 0) {
		way = CPU_PERF;
		if (ct->timer_period_ns < 2 * cpu_settings.tick_ns)
			ct->timer_period_ns =
				2 * cpu_settings.tick_ns; /* two moments never share a tick */
	}

	ct->timer = create_timer(clock, t->tid, TAG_THREAD | t->index);
	if (ct->timer < 0 && way == CPU_TIMER) {
		segment_count_lost(s, LOST_THREADS, 1);
		atomic_store_explicit(&ct->way, CPU_OFF, memory_order_release);
		return;
	}
	ct->last_ns = clock_read(clock);
	ct->given_ns = ct->last_ns;
	ct->perf_next_ns = ct->last_ns + ct->perf_gap_ns;
	ct->next_ns = ct->last_ns + first_gap(ct, ct->timer_period_ns);
	atomic_store_explicit(&ct->way, way,
			      memory_order_release); /* pairs: cpu_on_signal, on that thread */
	run_clocks(ct, atomic_load_explicit(&t->held, memory_order_relaxed));
	segment_count_note(s, way == CPU_TIMER ? NOTE_TIMER_THREADS : NOTE_PERF_THREADS, 1);
}

SIGSAFE void cpu_close_perf(struct cpu_thread *ct)
{
	uint64_t id;

	/* a host that closes all its files closed this one, and the number may be its own file's by now */
	if (ct->perf >= 0 && sys3(SYS_ioctl, ct->perf, PERF_EVENT_IOC_ID, &id) == 0 &&
	    id == ct->perf_id)
		sys1(SYS_close, ct->perf);
	ct->perf = -1;
}

SIGSAFE void cpu_disarm(struct cpu_thread *ct)
{
	if (atomic_exchange_explicit(&ct->way, CPU_OFF, memory_order_acq_rel) == CPU_OFF)
		return;
	/* a copy of the file in a child keeps the event alive: closing alone would not stop it */
	if (ct->perf >= 0)
		sys3(SYS_ioctl, ct->perf, PERF_EVENT_IOC_DISABLE, 0);
	cpu_close_perf(ct);
	if (ct->timer >= 0)
		sys1(SYS_timer_delete, ct->timer);
	ct->timer = -1;
}

/* Moments of the sequence that have passed by @now; sets the next one. */
static uint64_t moments_passed(struct cpu_thread *ct, uint64_t now)
{
	uint64_t n = 0;

	if (now > ct->next_ns && now - ct->next_ns > 64 * ct->timer_period_ns) {
		/* the signal was held back for long: nobody needs those moments one by one */
		n = (now - ct->next_ns) / ct->timer_period_ns;
		ct->next_ns += n * ct->timer_period_ns;
	}
	for (; ct->next_ns <= now; n++)
		ct->next_ns += gap(ct, ct->timer_period_ns);
	return n;
}

/*
 * Perf's moments that fell into the kernel were passed over, at the same distance. The next one counts from the moment
 * that struck, not from now, or each would be late by what a sample costs.
 */
static void perf_moment_passed(struct cpu_thread *ct, uint64_t now)
{
	if (now > ct->perf_next_ns)
		ct->perf_next_ns += (now - ct->perf_next_ns) / ct->perf_gap_ns * ct->perf_gap_ns;
	ct->perf_gap_ns = gap(ct, ct->period_ns);
	ct->perf_next_ns += ct->perf_gap_ns;
}

struct sample {
	uint64_t periods, ns;
};

/* A sample of one clock that sees all of the thread's time: it stands for everything since the last. */
static struct sample sample_of_all(struct cpu_thread *ct, uint64_t now, uint64_t periods)
{
	struct sample x = {periods, now - ct->last_ns};

	/*
	 * What lies before the first belongs to it only by chance: on average it is 13/24 of a period, and so is what lies
	 * behind the last. The first stands for a whole period and the second makes up for the twelfth that is missing.
	 */
	if (ct->is_first)
		x.ns = periods * ct->period_ns;
	else if (ct->is_second)
		x.ns += ct->period_ns / 12;
	ct->is_second = ct->is_first;
	ct->is_first = false;
	ct->last_ns = now;
	return x;
}

/*
 * A sample of one of two clocks that add up; see cpu.h. What the sum is behind the thread's clock is made good
 * within 64 ms of samples, in proportion to what each stands for, so that no kind gains by it.
 */
#define MEND_NS INT64_C(64000000)

static struct sample sample_of_part(struct cpu_thread *ct, uint64_t now, uint64_t nominal_ns)
{
	int64_t nominal = (int64_t)nominal_ns, behind = (int64_t)(now - ct->given_ns) - nominal,
		ns = nominal;
	struct sample x;

	/*
	 * No clock struck for longer than the timer would have let a system call run: the machine stood still, or the
	 * host held our signals back. Nobody else will claim that time.
	 */
	if (now - ct->last_ns > 2 * ct->timer_period_ns)
		nominal = MEND_NS;
	else if (behind > MEND_NS)
		behind = MEND_NS;
	if (!ct->is_first)
		ns += nominal < MEND_NS ? behind * nominal / MEND_NS : behind;
	if (ns < 0)
		ns = 0;
	x.ns = (uint64_t)ns;
	/* at least one, and on the whole as many as the time makes: those that struck an interrupt are made up for */
	ct->owed_ns += ns;
	x.periods =
		ct->owed_ns >= (int64_t)ct->period_ns ? (uint64_t)ct->owed_ns / ct->period_ns : 1;
	ct->owed_ns -= (int64_t)(x.periods * ct->period_ns);
	if (ct->owed_ns < -64 * (int64_t)ct->period_ns)
		ct->owed_ns = -64 * (int64_t)ct->period_ns;
	ct->is_first = false;
	ct->given_ns += x.ns;
	ct->last_ns = now;
	return x;
}

/* The two bytes before the pc may lie in another page, which need not be there; and code need not be readable. */
static bool is_behind_syscall(uintptr_t pc)
{
	return memory_is_readable(pc - 8) && arch_is_after_syscall((const uint8_t *)pc);
}

/* What a strike's way into the handler took. One that is later than this was not heard at its moment. */
static uint64_t delivery_ns(const struct cpu_thread *ct, uint64_t now)
{
	return now > ct->perf_next_ns && now - ct->perf_next_ns < ct->perf_gap_ns / 4
		       ? now - ct->perf_next_ns
		       : 0;
}

/* Decides what a signal of the timer or of perf stands for. False: nothing. */
static bool weigh(struct cpu_thread *ct, bool is_perf, const ucontext_t *uc, struct sample *ret)
{
	uint64_t now = clock_read(CLOCK_THREAD_CPUTIME_ID), periods;

	switch (atomic_load_explicit(&ct->way, memory_order_acquire)) {
	case CPU_TIMER:
		periods = is_perf ? 0 : moments_passed(ct, now);
		if (periods > 0)
			*ret = sample_of_all(ct, now, periods);
		break;
	case CPU_PERF:
		if (is_perf) {
			ct->timer_alone = 0;
			periods = 1;
			/* the first: what lies before it belongs to it only by chance */
			*ret = sample_of_part(ct, now,
					      ct->is_first
						      ? ct->period_ns
						      : ct->perf_stands_ns + delivery_ns(ct, now));
			perf_moment_passed(ct, now);
			ct->perf_struck_ns = now;
		} else {
			periods = moments_passed(ct, now);
			if (periods > 0 && is_behind_syscall(arch_pc(uc))) {
				*ret = sample_of_part(ct, now, periods * ct->timer_period_ns);
			} else {
				ct->timer_alone += periods > 0;
				periods = 0;
			}
		}
		break;
	default:
		return false;
	}
	return periods > 0;
}

static void rearm(struct cpu_thread *ct, bool is_perf)
{
	if (atomic_load_explicit(&ct->way, memory_order_relaxed) == CPU_OFF)
		return;
	if (is_perf) {
		uint64_t now = clock_read(CLOCK_THREAD_CPUTIME_ID), in_ns = perf_shortest(ct);

		if (ct->perf_next_ns > now + in_ns)
			in_ns = ct->perf_next_ns - now;
		/*
		 * Whether the next strike comes from here or is the first after a long time in the kernel, where the
		 * clock strikes on at this distance unheard: it stands for this much of user code. A period for each
		 * would favour what runs behind system calls.
		 */
		ct->perf_stands_ns = now + in_ns - ct->perf_struck_ns;
		sys3(SYS_ioctl, ct->perf, PERF_EVENT_IOC_PERIOD, &in_ns);
		return;
	}
	/*
	 * The host closed our file, as programs that close all of theirs do: go on by the timer alone.
	 * Eight timer periods in user code without one perf sample do not happen by chance.
	 */
	if (ct->timer_alone > 8) {
		ct->timer_alone = 0;
		ct->timer_period_ns = ct->period_ns;
		ct->next_ns = clock_read(CLOCK_THREAD_CPUTIME_ID) + gap(ct, ct->period_ns);
		ct->perf = -1; /* the number may be the host's by now: not ours to close */
		atomic_store_explicit(&ct->way, CPU_TIMER, memory_order_relaxed);
	}
	if (ct->timer >= 0)
		set_timer(ct->timer, ct->next_ns, 8 * ct->timer_period_ns, TIMER_ABSTIME);
}

static void record(struct segment *s, struct thread *t, const uint64_t *frames, uint32_t depth,
		   const struct sample *sample)
{
	uint64_t values[CPU_COLUMNS] = {sample->periods, sample->ns};

	table_record(s, SEGMENT_TABLE_CPU, frames, depth,
		     atomic_load_explicit(&t->record->labels, memory_order_relaxed), values);
	if (sampled_cpu != NULL)
		sampled_cpu(s, t, frames, depth, sample->ns);
}

/* No room to walk: the sample keeps its weight and loses its stack. */
static void lose_sample(struct segment *s, const struct sample *sample)
{
	segment_count_lost(s, LOST_STACK_ROOM, sample->periods);
	segment_count_note(s, NOTE_SIGNALS, 1);
}

static void take_sample(struct segment *s, struct thread *t, const struct sample *sample,
			const ucontext_t *uc)
{
	struct walk_result stack = walk_signal(s, t, uc);

	cpu_threads[t->index].has_stack = true;
	record(s, t, stack.frames, stack.depth, sample);
	segment_count_note(s, NOTE_SIGNALS, 1);
}

/*
 * A sample without a signal, at a thread's end: for the stack of its last one, or when it had none for where it began, which is
 * all that is known.
 */
static void record_end(struct segment *s, struct thread *t, const struct sample *sample)
{
	struct walk_result last;
	uintptr_t begin;
	uint64_t start;
	uint32_t index;

	if (!thread_enter(s, t))
		return;
	begin = t->start != NULL           ? (uintptr_t)t->start
		: t->tid == s->header->pid ? cpu_settings.entry
					   : 0;
	last = walk_last(t);
	if (cpu_threads[t->index].has_stack && last.depth > 0) {
		record(s, t, last.frames, last.depth, sample);
	} else if (begin != 0) {
		start = FRAME_ADDRESS(begin) |
			(modules_find(s, begin, &index) ? (uint64_t)(index + 1) << 48 : 0);
		record(s, t, &start, 1, sample);
	}
	thread_leave(t);
}

/*
 * The last words of a thread. What no sample stands for, although more time went by than chance allows, was spent with our
 * signal blocked, if it is: it is lost. A moment that passed since the last tick found no signal any more, and perf's samples
 * may stand for a little less than the thread used: that is made good, so that short threads count in full.
 */
SIGSAFE void cpu_settle(struct segment *s, struct thread *t, uint64_t now, bool is_deaf)
{
	struct cpu_thread *ct = &cpu_threads[t->index];
	/* a signal may have come between the reading of the clock and here, and samples may be ahead of it */
	uint64_t since = now > ct->last_ns ? now - ct->last_ns : 0;
	uint64_t behind = now > ct->given_ns ? now - ct->given_ns : 0;
	struct sample sample;

	switch (atomic_load_explicit(&ct->way, memory_order_acquire)) {
	case CPU_TIMER:
		if (is_deaf && since > 4 * ct->period_ns + 2 * cpu_settings.tick_ns) {
			segment_count_lost(s, LOST_UNSAMPLED_NS, since);
			ct->last_ns = now;
			return;
		}
		sample.periods = since > 0 ? moments_passed(ct, now) : 0;
		if (sample.periods > 0) {
			sample = sample_of_all(ct, now, sample.periods);
			record_end(s, t, &sample);
		}
		return;
	case CPU_PERF:
		if (is_deaf && behind > 4 * (ct->period_ns + ct->timer_period_ns) &&
		    since > 2 * ct->timer_period_ns) {
			segment_count_lost(s, LOST_UNSAMPLED_NS, behind);
		} else if (behind > 0 && !ct->is_first) {
			ct->owed_ns += (int64_t)behind;
			sample.ns = behind;
			sample.periods =
				ct->owed_ns > 0 ? (uint64_t)ct->owed_ns / ct->period_ns : 0;
			record_end(s, t, &sample);
		}
		ct->given_ns = ct->last_ns = now;
		return;
	default:
		return;
	}
}

/*
 * The scout: threads that came by a raw clone() are found by looking at the process's task list, at most ten times a
 * second, from the handler of any thread that is sampled. For the case that only unknown threads run there is a timer on
 * the process's CPU clock, pushed ahead by every look. Since Linux 6.4 its signal goes to the thread that runs.
 */
#define SCOUT_NS (NS_PER_SECOND / 10)

static _Atomic uint64_t scout_looked_ns, scout_pushed_ns;
static _Atomic int32_t scout_timer = -1;

SIGSAFE void cpu_scout_start(void)
{
	int32_t timer = create_timer(CLOCK_PROCESS_CPUTIME_ID, 0, TAG_SCOUT);

	atomic_store_explicit(&scout_timer, timer, memory_order_release);
	if (timer >= 0)
		set_timer(timer, 2 * SCOUT_NS, 0, 0);
}

SIGSAFE void cpu_scout_stop(void)
{
	int32_t timer = atomic_exchange_explicit(&scout_timer, -1, memory_order_acq_rel);

	if (timer >= 0)
		sys1(SYS_timer_delete, timer);
}

/* Of the process's CPU time: so much may pass without a sample of a known thread. */
static void scout_push(void)
{
	int32_t timer = atomic_load_explicit(&scout_timer, memory_order_acquire);

	if (timer >= 0)
		set_timer(timer, 2 * SCOUT_NS + 4 * cpu_settings.period_ns, 0, 0);
}

/*
 * The scout must not strike while known threads run: its signal could find them at work in their own handlers, and go to one
 * that waits. So it is pushed ahead far more often than it could come.
 */
#define SCOUT_PUSH_NS (NS_PER_SECOND / 100)

static void look_for_threads(struct segment *s)
{
	uint64_t now = clock_monotonic();
	uint64_t pushed = atomic_load_explicit(&scout_pushed_ns, memory_order_relaxed);
	uint64_t looked = atomic_load_explicit(&scout_looked_ns, memory_order_relaxed);

	if (now - pushed >= SCOUT_PUSH_NS &&
	    atomic_compare_exchange_strong_explicit(&scout_pushed_ns, &pushed, now,
						    memory_order_relaxed, memory_order_relaxed))
		scout_push();
	if (now - looked < SCOUT_NS ||
	    !atomic_compare_exchange_strong_explicit(&scout_looked_ns, &looked, now,
						     memory_order_relaxed, memory_order_relaxed))
		return;
	scan_some(s);
}

/* The process timer struck: whoever runs has used up its time without a sample of a known thread. */
static void on_scout(struct segment *s)
{
	int tid = (int)sys1(SYS_gettid, 0);

	/* It reached a thread that has nothing to do with it, and may have interrupted its wait: once, and no more. */
	if (thread_find(s, tid) != NULL) {
		cpu_scout_stop();
		return;
	}
	scan_adopt(s, tid);
	scout_push();
}

static uint64_t tag_of(int sig, const siginfo_t *info, bool *ret_perf)
{
	uint64_t tag = 0;

	*ret_perf = false;
	if (sig == SIGTRAP) {
		if (info->si_code == TRAP_PERF_CODE)
			memcpy(&tag, (const char *)info + 24,
			       sizeof(tag)); /* si_perf_data, behind si_addr */
		*ret_perf = true;
	} else if (info->si_code == SI_TIMER) {
		tag = (uint64_t)info->si_value.sival_ptr;
	} else if (info->si_code > 0 && info->si_fd >= PERF_FILES_FROM && cpu_settings.try_perf) {
		/* F_SETSIG: SIGPROF with a file. The file of a thread that is no longer sampled is ours all the same. */
		const struct segment *s = segment_live();
		const struct thread *t =
			s != NULL ? thread_find(s, (int)sys1(SYS_gettid, 0)) : NULL;

		*ret_perf = true;
		tag = TAG_THREAD;
		if (t != NULL && cpu_threads != NULL && cpu_threads[t->index].perf == info->si_fd)
			tag |= t->index;
	}
	return tag;
}

/* One of the process's or of the thread's alone, back to where it was. */
static void put_back(int sig, siginfo_t *info)
{
	long pid = sys1(SYS_getpid, 0);

	if (info->si_code == SI_TKILL)
		sys4(SYS_rt_tgsigqueueinfo, pid, sys1(SYS_gettid, 0), sig, info);
	else
		sys3(SYS_rt_sigqueueinfo, pid, sig, info);
}

static void drop_pending(int sig)
{
	unsigned long mask = 1ul << (sig - 1);
	struct timespec now = {0, 0};
	siginfo_t hosts[2];
	int n = 0;

	/* ours: a timer's, perf's, the scout's; the host's: one of the process's, one of the thread's */
	for (int i = 0; i < 5 && n < 2; i++) {
		uint64_t tag;
		bool is_perf;

		if (sys4(SYS_rt_sigtimedwait, &mask, &hosts[n], &now, sizeof(mask)) <= 0)
			break;
		tag = tag_of(sig, &hosts[n], &is_perf);
		n += (tag & TAG_MASK) != TAG_THREAD && tag != TAG_SCOUT &&
		     !look_on_dequeued(sig, &hosts[n]);
	}
	while (n > 0)
		put_back(sig, &hosts[--n]);
}

SIGSAFE void cpu_drop_pending(void)
{
	drop_pending(SIGPROF);
	drop_pending(SIGTRAP);
}

SIGSAFE void cpu_hold(struct thread *t, unsigned held)
{
	unsigned before =
		atomic_exchange_explicit(&t->held, (unsigned char)held, memory_order_relaxed);
	struct cpu_thread *ct;
	uint32_t way;

	if (!atomic_load_explicit(&cpu_is_on, memory_order_acquire) || cpu_threads == NULL)
		return;
	ct = &cpu_threads[t->index];
	way = atomic_load_explicit(&ct->way, memory_order_acquire);
	/* while perf went on, the timer alone stood still: this system call is not all that it would have seen */
	if (way == CPU_PERF && (before & ~held & SIGNALS_PROF) && !(before & perf_signal(ct)))
		ct->next_ns = clock_read(CLOCK_THREAD_CPUTIME_ID) + gap(ct, ct->timer_period_ns);
	if (way == CPU_TIMER || way == CPU_PERF)
		run_clocks(ct, held);
	if (held & ~before)
		cpu_drop_pending();
}

SIGSAFE bool cpu_on_dequeued(int sig, const siginfo_t *info)
{
	bool is_perf;
	uint64_t tag = tag_of(sig, info, &is_perf);
	struct segment *s = segment_live();
	struct thread *t;

	if ((tag & TAG_MASK) != TAG_THREAD && tag != TAG_SCOUT)
		return false;
	t = s != NULL && tag != TAG_SCOUT ? thread_at(s, (uint32_t)tag) : NULL;
	if (t == NULL || t->record == NULL || t->tid != (int)sys1(SYS_gettid, 0) ||
	    !thread_enter(s, t))
		return true;
	if (atomic_load_explicit(&cpu_is_on, memory_order_seq_cst)) {
		struct cpu_thread *ct = &cpu_threads[t->index];

		/* no sample: there is no stack to blame. The next one stands for the time, too */
		if (!is_perf)
			ct->next_ns =
				clock_read(CLOCK_THREAD_CPUTIME_ID) + gap(ct, ct->timer_period_ns);
		rearm(ct, is_perf);
	}
	thread_leave(t);
	return true;
}

SIGSAFE bool cpu_on_signal(int sig, siginfo_t *info, void *ucontext)
{
	bool is_perf;
	uint64_t tag = tag_of(sig, info, &is_perf);
	struct segment *s = segment_live();
	struct sample sample;
	struct thread *t;

	/*
	 * With the process's share of queued signals used up, the kernel delivers perf's signal without saying whose it
	 * is. A kill() has a sender.
	 */
	if (info->si_code == SI_USER && info->si_pid == 0 && cpu_settings.try_perf)
		return true;
	if ((tag & TAG_MASK) != TAG_THREAD && tag != TAG_SCOUT)
		return false;
	if (s == NULL || !atomic_load_explicit(&cpu_is_on, memory_order_acquire))
		return true; /* late: stopped, or a child */
	if (tag == TAG_SCOUT) {
		on_scout(s);
		return true;
	}
	t = thread_at(s, (uint32_t)tag);
	/* the last: a signal that outlived its thread's record, which is another thread's by now */
	if (t == NULL || t->record == NULL || t->tid != (int)sys1(SYS_gettid, 0) ||
	    !thread_enter(s, t))
		return true;
	/* pairs: cpu_stop, which switches off first and then waits for @inside */
	if (atomic_load_explicit(&cpu_is_on, memory_order_seq_cst)) {
		struct cpu_thread *ct = &cpu_threads[t->index];

		bool has_room = signals_has_room(ucontext);

		if (weigh(ct, is_perf, ucontext, &sample)) {
			if (has_room)
				take_sample(s, t, &sample, ucontext);
			else
				lose_sample(s, &sample);
		}
		rearm(ct, is_perf);
		if (has_room)
			look_for_threads(s);
	}
	thread_leave(t);
	return true;
}
