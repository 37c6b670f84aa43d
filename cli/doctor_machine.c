/*
 * What the kernel lets us do, each thing as the code that needs it does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/doctor_proc.h"
#include "core/clock.h"
#include "core/segment.h"
#include "tracer/schedstat.h"

#define PATIENCE_NS \
	UINT64_C(1000000000) /* of CPU time, for a signal that is due after 4 ms of it */

static _Atomic unsigned strikes;

static void on_strike(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info, (void)context;
	atomic_fetch_add_explicit(&strikes, 1, memory_order_relaxed);
}

/* Works until @sig has come. 0 or -ETIME. */
static int wait_for_strike(void)
{
	uint64_t until = clock_read(CLOCK_THREAD_CPUTIME_ID) + PATIENCE_NS;

	while (atomic_load_explicit(&strikes, memory_order_relaxed) == 0)
		if (clock_read(CLOCK_THREAD_CPUTIME_ID) > until)
			return -ENODATA;
	return 0;
}

static void take(int sig)
{
	struct sigaction action = {.sa_sigaction = on_strike, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigaction(sig, &action, NULL);
}

/* ---- attempts, each in a child ---- */

static void try_memory(struct doctor_attempt *a, void *user)
{
	const uint64_t *wanted = user;
	struct segment *s;
	int fd;

	a->error = segment_create(*wanted, &s, &fd, &a->why);
	if (a->error == 0)
		a->numbers[0] = s->size;
}

static void try_timer(struct doctor_attempt *a, void *user)
{
	struct sigevent event = {.sigev_signo = SIGPROF, .sigev_notify = SIGEV_THREAD_ID};
	struct itimerspec spec = {{0, 4000000}, {0, 4000000}};
	int timer;

	(void)user;
	take(SIGPROF);
	event._sigev_un._tid = getpid();
	if (syscall(SYS_timer_create, clock_of_thread(getpid()), &event, &timer) < 0 ||
	    syscall(SYS_timer_settime, timer, 0, &spec, NULL) < 0)
		a->error = -errno;
	else
		a->error = wait_for_strike();
	if (a->error == -ENODATA)
		why_set(&a->why, "it is set, and its signal does not come");
	if (a->error == -EAGAIN)
		why_set(&a->why, "no more timers: each is a pending signal (ulimit -i)");
}

/* As profiles/cpu has it: first with a trap, which needs Linux 5.13. */
static int open_perf(bool has_trap)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000,
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.wakeup_events = 1,
		.sigtrap = has_trap,
		.remove_on_exec = has_trap,
	};
	struct f_owner_ex owner = {F_OWNER_TID, getpid()};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!has_trap && (fcntl(fd, F_SETFL, O_ASYNC) < 0 || fcntl(fd, F_SETSIG, SIGPROF) < 0 ||
			  fcntl(fd, F_SETOWN_EX, &owner) < 0))
		return -errno;
	return fd;
}

static void try_perf(struct doctor_attempt *a, void *user)
{
	bool has_trap = *(const bool *)user;
	int fd;

	take(has_trap ? SIGTRAP : SIGPROF);
	fd = open_perf(has_trap);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		a->error = fd < 0 ? fd : -errno;
	else
		a->error = wait_for_strike();
	if (a->error == -ENODATA)
		why_set(&a->why, "it is open, and its signal does not come");
}

static void try_membarrier(struct doctor_attempt *a, void *user)
{
	(void)user;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) <
		    0 ||
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) < 0)
		a->error = -errno;
}

/* A private copy of our own code, which nobody runs, is changed in both ways that there are. */
static void try_code(struct doctor_attempt *a, void *user)
{
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), memory;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *code;

	(void)user;
	code = exe < 0 ? MAP_FAILED : mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, exe, 0);
	if (code == MAP_FAILED) {
		a->error = -errno;
		return;
	}
	memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	a->numbers[0] = memory >= 0 && pwrite(memory, "cprof", 5, (off_t)(uintptr_t)code) == 5;
	if (mprotect(code, page, PROT_READ | PROT_WRITE) < 0 ||
	    mprotect(code, page, PROT_READ | PROT_EXEC) < 0)
		a->error = -errno;
	else
		a->numbers[1] = 1;
}

static void try_reading(struct doctor_attempt *a, void *user)
{
	char from = 'x', to = 0;
	struct iovec local = {&to, 1}, remote = {&from, 1};
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	(void)user;
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
		a->error = -errno;
	a->numbers[0] = memory >= 0 && pread(memory, &to, 1, (off_t)(uintptr_t)&from) == 1;
}

static void try_tasks(struct doctor_attempt *a, void *user)
{
	static const char *const names[] = {"status", "stat", "syscall", "wchan"};
	char path[64], text[64];

	(void)user;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)getpid(), names[i]);
		a->numbers[i] = proc_read(path, text, sizeof(text)) > 0;
	}
	a->error = access("/proc/self/maps", R_OK) < 0 ? -errno : 0;
}

static void try_sums(struct doctor_attempt *a, void *user)
{
	(void)user;
	a->error = sched_delta_check(&a->why);
}

/* ---- what they mean ---- */

static void add_kernel(struct doctor *d)
{
	struct utsname name = {0};
	char source[64];

	uname(&name);
	if (strcmp(name.machine, "x86_64") == 0)
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "kernel", "", "%s %s %s", name.sysname,
			   name.release, name.machine);
	else
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "kernel", "",
			   "%s %s %s: only x86-64 programs can be profiled", name.sysname,
			   name.release, name.machine);
	if (proc_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", source,
		      sizeof(source)) <= 0)
		doctor_add(d, DOCTOR_NOTE, OPTION_TRACE, "clock", "mount /sys",
			   "/sys does not tell which clock the kernel trusts");
	else if (strcmp(source, "tsc") == 0)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "clock", "",
			   "the kernel trusts the processor's counter (tsc)");
	else
		doctor_add(d, DOCTOR_NOTE, OPTION_TRACE, "clock",
			   "clocksource=tsc on the kernel's command line, if the machine is known "
			   "to keep it in step",
			   "the kernel uses %s, not the processor's counter", source);
}

static void add_memory(struct doctor *d)
{
	struct doctor_attempt a;
	struct option_set standard;
	char why[320];

	option_defaults(&standard);
	doctor_try(try_memory, &standard.memory_bytes, &a);
	if (a.error < 0)
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "shared memory",
			   "allow memfd_create and mmap, or raise the limit", "%s",
			   doctor_reason(&a, why, sizeof(why)));
	else if (a.numbers[0] < standard.memory_bytes)
		doctor_add(d, DOCTOR_PARTLY, OPTION_PROFILES, "shared memory",
			   "raise ulimit -f and -v",
			   "%" PRIu64 " KiB instead of %" PRIu64
			   ": a limit leaves no more, so long or large programs lose samples",
			   a.numbers[0] >> 10, standard.memory_bytes >> 10);
	else
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "shared memory", "",
			   "memfd_create, sealed, %" PRIu64 " MiB of address space",
			   a.numbers[0] >> 20);
}

static void add_timer(struct doctor *d)
{
	struct doctor_attempt a;
	char why[320];

	doctor_try(try_timer, NULL, &a);
	if (a.error == 0)
		doctor_add(d, DOCTOR_OK, OPTION_CPU, "CPU timers", "",
			   "a timer on a thread's CPU time strikes");
	else
		doctor_add(d, DOCTOR_NO, OPTION_CPU, "CPU timers",
			   "allow timer_create and timer_settime; wall needs none of them",
			   "timer_create on a thread's CPU time: %s",
			   doctor_reason(&a, why, sizeof(why)));
}

static void add_perf(struct doctor *d)
{
	struct doctor_attempt trap, file;
	const bool yes = true, no = false;
	char why[320], paranoid[32];

	if (proc_read("/proc/sys/kernel/perf_event_paranoid", paranoid, sizeof(paranoid)) <= 0)
		strcpy(paranoid, "not known");
	doctor_try(try_perf, (void *)&yes, &trap);
	doctor_try(try_perf, (void *)&no, &file);
	if (trap.error == 0 || file.error == 0)
		doctor_add(d, DOCTOR_OK, OPTION_CPU | OPTION_TRACE, "perf events", "",
			   "the software clock strikes, by %s%s%s; kernel.perf_event_paranoid is "
			   "%s",
			   trap.error == 0 ? "SIGTRAP" : "",
			   trap.error == 0 && file.error == 0 ? " and " : "",
			   file.error == 0 ? "a file's signal" : "", paranoid);
	else
		doctor_add(
			d, DOCTOR_NOTE, OPTION_CPU | OPTION_TRACE, "perf events",
			atoi(paranoid) > 2
				? "as root: sysctl kernel.perf_event_paranoid=2"
				: "allow perf_event_open in the seccomp profile of the container",
			"%s; kernel.perf_event_paranoid is %s",
			doctor_reason(&file, why, sizeof(why)), paranoid);
}

static bool has_mdwe(void)
{
	return prctl(66 /* PR_GET_MDWE */, 0, 0, 0, 0) > 0;
}

static void add_code(struct doctor *d)
{
	struct doctor_attempt a, barrier;
	char why[320], selinux[8];
	bool is_enforcing = proc_read("/sys/fs/selinux/enforce", selinux, sizeof(selinux)) > 0 &&
			    selinux[0] == '1';

	doctor_try(try_code, NULL, &a);
	if (a.numbers[0] || a.numbers[1])
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "code in memory", "",
			   "can be changed, by %s%s%s",
			   a.numbers[0] ? "/proc/self/mem" : "mprotect",
			   a.numbers[0] && a.numbers[1] ? " and mprotect" : "",
			   has_mdwe() ? " (though PR_SET_MDWE is set)" : "");
	else
		doctor_add(d, DOCTOR_PARTLY, OPTION_TRACE, "code in memory",
			   is_enforcing ? "setsebool -P allow_execmod on, or another domain" : "",
			   "may not be changed: %s%s%s: system calls are seen where functions of "
			   "the C library make them",
			   doctor_reason(&a, why, sizeof(why)),
			   has_mdwe() ? " (PR_SET_MDWE is set)" : "",
			   is_enforcing ? " (SELinux is enforcing)" : "");
	doctor_try(try_membarrier, NULL, &barrier);
	if (barrier.error == 0)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "membarrier", "",
			   "code can be changed while threads run: `cprof ctl PID start trace` "
			   "sees all system calls");
	else
		doctor_add(d, DOCTOR_NOTE, OPTION_TRACE, "membarrier",
			   "begin with `cprof run -p trace`",
			   "%s: a trace that begins while threads run sees no system calls inside "
			   "of libraries",
			   doctor_reason(&barrier, why, sizeof(why)));
}

static void add_proc(struct doctor *d)
{
	struct doctor_attempt a;
	char why[320];

	doctor_try(try_tasks, NULL, &a);
	if (a.error < 0 || !a.numbers[0] || !a.numbers[1])
		doctor_add(d, DOCTOR_PARTLY, OPTION_PROFILES, "/proc", "mount -t proc proc /proc",
			   "cannot be read (%s): threads that are there already are not found, "
			   "libraries have no names, waiting has no state",
			   a.error < 0 ? doctor_reason(&a, why, sizeof(why)) : "no tasks in it");
	else if (!a.numbers[2])
		doctor_add(d, DOCTOR_PARTLY, OPTION_WALL | OPTION_THREADS, "/proc",
			   "a kernel with CONFIG_HAVE_ARCH_TRACEHOOK, or a container that does "
			   "not hide it",
			   "does not tell in which system call a thread is: threads that wait are "
			   "disturbed to be looked at");
	else
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "/proc", "",
			   "is mounted, and tells what threads do");
	if (access("/proc/self", F_OK) == 0 && access("/proc/1", F_OK) < 0)
		doctor_add(d, DOCTOR_NOTE, 0, "other users", "",
			   "/proc hides their processes (hidepid): `cprof ctl` finds yours");
	doctor_try(try_sums, NULL, &a);
	if (a.error == 0)
		doctor_add(d, DOCTOR_OK, OPTION_TRACE, "times of threads", "",
			   "the kernel adds up how long each ran and waited for a processor");
	else
		doctor_add(d, DOCTOR_NOTE, OPTION_TRACE, "times of threads", "", "%s",
			   doctor_reason(&a, why, sizeof(why)));
	doctor_try(try_reading, NULL, &a);
	if (a.error == 0 || a.numbers[0])
		doctor_add(d, DOCTOR_OK, OPTION_WALL | OPTION_THREADS, "reading stacks", "",
			   "of other threads of a process, by %s",
			   a.error == 0 ? "process_vm_readv" : "/proc/self/mem");
	else
		doctor_add(d, DOCTOR_PARTLY, OPTION_WALL | OPTION_THREADS, "reading stacks",
			   "allow process_vm_readv in the seccomp profile of the container",
			   "%s: threads that wait are shown without callers",
			   doctor_reason(&a, why, sizeof(why)));
}

static void add_rights(struct doctor *d)
{
	char seccomp[16], alone[16];

	if (proc_status(getpid(), "Seccomp", seccomp, sizeof(seccomp)) && seccomp[0] != '0')
		doctor_add(d, DOCTOR_NOTE, 0, "seccomp", "",
			   "a filter of system calls is in force, as in containers: what it "
			   "forbids is told here");
	if (proc_status(getpid(), "NoNewPrivs", alone, sizeof(alone)) && alone[0] == '1')
		doctor_add(d, DOCTOR_NOTE, 0, "no_new_privs", "",
			   "is set: set-user-ID programs run without their rights");
}

void doctor_machine(struct doctor *d)
{
	d->part = "machine";
	add_kernel(d);
	add_memory(d);
	add_timer(d);
	add_perf(d);
	add_code(d);
	add_proc(d);
	add_rights(d);
}
