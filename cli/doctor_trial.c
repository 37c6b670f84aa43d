/*
 * The trial: a small program of ours, run as `cprof run` runs one, with every profile on. What it has recorded is read from its
 * segment; no file is written.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/program.h"
#include "cli/reception.h"
#include "core/session.h"
#include "output/reading.h"
#include "tracer/format.h"
#include "tracer/sched.h"

#define LOOK_MS 20

struct trial {
	const char *spec, *library;
	bool is_unwatched; /* without switch records: to ask for them ends whoever asks */

	bool has_come; /* its segment is here */
	int status;    /* as waitpid() has it */
	uint64_t bytes;
	uint32_t trace_has;
	uint64_t perf_threads, timer_threads, signals, lost[LOST_KINDS];
	uint64_t switches, switches_lost;
	struct why refused, switches_why, shortcomings;
	char said[240]; /* on its standard error */
	struct trial_profile {
		uint64_t samples, lost;
		struct why left_off;
	} profiles[SEGMENT_RUNS];
};

/* ---- who runs it: in a process of its own, with @t in shared memory ---- */

static int be_host(const struct trial *t, const char *session, int gate, int errors)
{
	const char *before = getenv("LD_PRELOAD");
	char preload[8192];
	char *const argv[] = {(char *)"cprof", (char *)"doctor", (char *)DOCTOR_HOST, NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(gate, STDIN_FILENO);
	dup2(errors, STDERR_FILENO);
	snprintf(preload, sizeof(preload), "%s%s%s", t->library, before && *before ? ":" : "",
		 before ? before : "");
	if (setenv("LD_PRELOAD", preload, 1) == 0 && setenv("CPROF", t->spec, 1) == 0 &&
	    setenv(SESSION_VARIABLE, session, 1) == 0)
		execv("/proc/self/exe", argv);
	return errno;
}

static void count_switch(void *user, const struct sched_event *event)
{
	struct trial *t = user;

	t->switches += event->kind == SCHED_IN || event->kind == SCHED_OUT;
	t->switches_lost += event->kind == SCHED_LOST ? event->lost : 0;
}

static uint64_t note_of(const struct segment *s, enum segment_note note)
{
	return atomic_load_explicit(&s->header->notes[note], memory_order_relaxed);
}

static void read_segment(struct trial *t, const struct segment *s)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++) {
		struct trial_profile *to = &t->profiles[(*p)->run];
		struct reading_counts counts = {0};
		uint64_t left_off =
			atomic_load_explicit(&profile_run(s, *p)->left_off, memory_order_acquire);

		if ((*p)->is_view)
			continue;
		if (left_off != 0)
			segment_copy_text(s, (uint32_t)left_off, to->left_off.text,
					  sizeof(to->left_off.text));
		if ((*p)->is_log) {
			to->samples = atomic_load_explicit(&s->header->trace_serial,
							   memory_order_relaxed);
		} else if (reading_is_there(s, *p)) {
			reading_count(s, *p, &counts);
			to->samples = counts.samples;
			to->lost = counts.lost;
		}
	}
	t->bytes = s->size;
	t->trace_has = atomic_load_explicit(&s->header->trace_has, memory_order_relaxed);
	for (int i = 0; i < LOST_KINDS; i++)
		t->lost[i] = atomic_load_explicit(&s->header->lost[i], memory_order_relaxed);
	t->perf_threads = note_of(s, NOTE_PERF_THREADS);
	t->timer_threads = note_of(s, NOTE_TIMER_THREADS);
	t->signals = note_of(s, NOTE_SIGNALS);
}

/* Waits until it has handed in its segment, or ended without. */
static bool receive(struct trial *t, struct reception *r, pid_t pid, struct segment *ret)
{
	struct pollfd files[RECEPTION_FILES];
	struct arrival arrival;
	bool has_ended = false;

	for (;;) {
		while (reception_take(r, &arrival)) {
			if (arrival.connection >= 0)
				close(arrival.connection);
			t->refused = arrival.why;
			if (arrival.segment.header != NULL && arrival.pid == pid) {
				*ret = arrival.segment;
				return true;
			}
			if (arrival.has_none)
				return false;
		}
		if (has_ended)
			return false;
		has_ended = waitpid(pid, &t->status, WNOHANG) != 0;
		poll(files, reception_files(r, files), has_ended ? 0 : LOOK_MS);
	}
}

static void watch(struct trial *t, pid_t pid, const struct segment *s, int gate)
{
	struct sched *sched = NULL;

	if (!t->is_unwatched && sched_open(pid, SCHED_THREADS, 0, &sched, &t->switches_why) == 0)
		sched_shortcomings(sched, &t->shortcomings);
	close(gate); /* it begins */
	waitpid(pid, &t->status, 0);
	if (sched != NULL)
		sched_drain_last(sched, count_switch, t);
	sched_close(sched);
	t->has_come = true;
	read_segment(t, s);
}

static void try_host(struct doctor_attempt *a, void *user)
{
	struct trial *t = user;
	struct reception *r;
	struct segment s = {0};
	int gate[2], errors[2], error;
	ssize_t n;
	pid_t pid;

	a->error = reception_open(&r, &a->why);
	if (a->error < 0)
		return;
	snprintf(a->socket, sizeof(a->socket), "%s", reception_path(r));
	if (pipe(gate) < 0 || pipe(errors) < 0 || (pid = fork()) < 0) {
		a->error = -errno;
		reception_close(r, true);
		return;
	}
	if (pid == 0) {
		close(gate[1]);
		error = be_host(t, reception_path(r), gate[0], errors[1]);
		dprintf(STDERR_FILENO, "cannot run /proc/self/exe: %s\n", strerror(error));
		_exit(127);
	}
	close(gate[0]);
	close(errors[1]);
	if (receive(t, r, pid, &s)) {
		watch(t, pid, &s, gate[1]);
	} else {
		close(gate[1]);
		waitpid(pid, &t->status, 0);
	}
	reception_close(r, true);
	n = read(errors[0], t->said, sizeof(t->said) - 1);
	t->said[n > 0 ? n : 0] = '\0';
	t->said[strcspn(t->said, "\n")] = '\0';
}

/* ---- what it means ---- */

static void add_profile(struct doctor *d, const struct trial *t, const struct profile_ops *ops)
{
	const struct trial_profile *p = &t->profiles[ops->run];
	bool is_needless = ops->is_log || ops->is_instant; /* numbers that tell nothing */

	if (p->left_off.text[0] != '\0')
		doctor_add(d, DOCTOR_NO, ops->bit, ops->name, "", "stays off: %s",
			   p->left_off.text);
	else if (p->samples == 0)
		doctor_add(
			d, DOCTOR_NO, ops->bit, ops->name,
			"see what does not work above; CPROF_LOG=debug cprof run says more",
			"it was on, and has recorded nothing of a program that gave it enough to "
			"do (%" PRIu64 " timers, %" PRIu64 " signals, %" PRIu64 " lost)",
			t->timer_threads, t->signals, p->lost);
	else if (is_needless)
		doctor_add(d, DOCTOR_OK, ops->bit, ops->name, "", "records");
	else
		doctor_add(d, DOCTOR_OK, ops->bit, ops->name, "", "records: %" PRIu64 " sample%s",
			   p->samples, p->samples == 1 ? "" : "s");
}

static void add_trace(struct doctor *d, const struct trial *t)
{
	if (t->trace_has & TRACE_HAS_SITES)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "system calls", "",
			   "the calls inside of libraries are seen: their code was patched");
	else
		doctor_add(
			d, DOCTOR_PARTLY, OPTION_TRACE, "system calls",
			"see \"code in memory\" above",
			"code could not be patched: only calls that go through wrapped functions "
			"of the C library are in the trace");
	if (t->trace_has & TRACE_IS_TSC)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "stamps", "",
			   "events have the processor's own counter as their time");
	else
		doctor_add(d, DOCTOR_NOTE, OPTION_TRACE, "stamps", "",
			   "the kernel does not trust the processor's counter: each event asks "
			   "clock_gettime(), and costs more");
	if (t->is_unwatched)
		doctor_add(
			d, DOCTOR_NO, OPTION_TRACE, "switch records",
			"let the seccomp filter answer EPERM for perf_event_open",
			"a seccomp filter ends who asks for perf events, as `cprof run` does for a "
			"trace");
	else if (t->switches > 0 && t->shortcomings.text[0] != '\0')
		doctor_add(d, DOCTOR_PARTLY, OPTION_TRACE, "switch records",
			   "as root: sysctl kernel.perf_event_mlock_kb=2048, or a higher ulimit -l",
			   "%s", t->shortcomings.text);
	else if (t->switches > 0)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "switch records", "",
			   "the kernel tells when each thread ran: %" PRIu64 " switches",
			   t->switches);
	else
		doctor_add(d, DOCTOR_PARTLY, OPTION_TRACE, "switch records", "",
			   "%s: the trace knows how long threads ran and waited for a processor, "
			   "not when",
			   t->switches_why.text[0] ? t->switches_why.text : "the kernel gave none");
}

/* The library did not come to life in it. */
static void add_failure(struct doctor *d, const struct trial *t, const struct doctor_attempt *a)
{
	char buffer[sizeof(a->why.text)];

	if (a->error < 0)
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "recording",
			   a->signal == SIGSYS
				   ? "allow the system calls that cprof needs, or profile outside "
				     "of this sandbox"
				   : "",
			   "a program cannot be run under cprof: %s",
			   doctor_reason(a, buffer, sizeof(buffer)));
	else if (t->refused.text[0] != '\0')
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "recording", "",
			   "nothing is recorded: %s", t->refused.text);
	else if (WIFSIGNALED(t->status))
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "recording", "",
			   "a program with libcprof.so in it was ended by signal %d%s",
			   WTERMSIG(t->status),
			   WTERMSIG(t->status) == SIGSYS
				   ? ": a seccomp filter forbids what it needs"
				   : "");
	else
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "recording", "",
			   "libcprof.so was preloaded and did not come to life: %s",
			   t->said[0] ? t->said : "the loader left it out");
}

static void add_perf_clock(struct doctor *d, struct trial *t)
{
	struct doctor_attempt a;
	struct timespec tick = {0, 4000000};
	unsigned most;

	clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	most = (unsigned)(1000000000 / (2 * (tick.tv_nsec > 0 ? tick.tv_nsec : 4000000)));
	memset(t->profiles, 0, sizeof(t->profiles));
	t->has_come = false;
	t->spec = "cpu=1000";
	doctor_try(try_host, t, &a);
	if (a.error == 0 && t->has_come && t->perf_threads > 0)
		doctor_add(d, DOCTOR_OK, OPTION_CPU, "cpu, fast", "",
			   "above %u samples a second a clock of perf's strikes", most);
	else if (WIFSIGNALED(t->status))
		doctor_add(d, DOCTOR_PARTLY, OPTION_CPU, "cpu, fast",
			   "let the seccomp filter answer EPERM for perf_event_open",
			   "at more than %u samples a second the program is ended by signal %d",
			   most, WTERMSIG(t->status));
	else
		doctor_add(d, DOCTOR_NOTE, OPTION_CPU, "cpu, fast",
			   "for more, allow perf events, and 1024 open files (ulimit -n)",
			   "at more than %u samples a second, samples come at that rate, and each "
			   "stands for more time",
			   most);
}

void doctor_trial(struct doctor *d)
{
	struct trial *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct doctor_attempt a;
	struct why why = {""};
	char library[4096];

	d->part = "trial: a program run with all profiles on";
	if (t == MAP_FAILED || program_find_library(library, sizeof(library), &why) < 0) {
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "library", "", "%s",
			   why.text[0] ? why.text : "no memory");
		return;
	}
	t->library = library;
	t->spec = "all,mutex=1";
	doctor_try(try_host, t, &a);
	if (a.signal == SIGSYS) {
		t->is_unwatched = true;
		doctor_try(try_host, t, &a);
	}
	if (a.error < 0 || !t->has_come) {
		add_failure(d, t, &a);
	} else {
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "library", "",
			   "%s is preloaded, and hands its records over: room for %" PRIu64 " MiB",
			   library, t->bytes >> 20);
		for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
			if (!(*p)->is_view)
				add_profile(d, t, *p);
		add_trace(d, t);
		add_perf_clock(d, t);
	}
	munmap(t, sizeof(*t));
}
