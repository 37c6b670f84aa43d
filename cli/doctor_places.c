/*
 * What surrounds us: where sockets go, what limits leave, what is installed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/doctor_proc.h"
#include "cli/reception.h"
#include "cli/serving.h"
#include "output/symbols.h"
#include "output/symbols_dw.h"

#define FILES_FEW  256
#define MEMORY_FEW (UINT64_C(128) << 20) /* twice what a segment may grow to */

/* ---- attempts, each in a child ---- */

static void try_session(struct doctor_attempt *a, void *user)
{
	struct reception *r;

	(void)user;
	a->error = reception_open(&r, &a->why);
	if (a->error < 0)
		return;
	snprintf(a->why.text, sizeof(a->why.text), "%s", reception_path(r));
	snprintf(a->socket, sizeof(a->socket), "%s", reception_path(r));
	reception_close(r, true);
}

static void try_endpoint(struct doctor_attempt *a, void *user)
{
	char path[108];

	(void)user;
	a->error = serving_path(1, false, path, sizeof(path), &a->why);
	a->numbers[0] = a->error == -ENOENT;
	if (a->numbers[0])
		a->error = serving_path(1, true, path, sizeof(path), &a->why);
	if (a->error < 0)
		return;
	*strrchr(path, '/') = '\0';
	if (a->numbers[0])
		rmdir(path); /* as it was */
	snprintf(a->why.text, sizeof(a->why.text), "%s", path);
}

static void try_libdw(struct doctor_attempt *a, void *user)
{
	(void)user;
	a->error = dw_load(&a->why);
}

static void try_debuginfod(struct doctor_attempt *a, void *user)
{
	(void)user;
	a->error = symbols_use_debuginfod(&a->why);
}

/* ---- what they mean ---- */

static void add_sockets(struct doctor *d)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct doctor_attempt a;
	char why[320];

	doctor_try(try_session, NULL, &a);
	if (a.error < 0)
		doctor_add(
			d, DOCTOR_NO, OPTION_PROFILES, "session",
			"set XDG_RUNTIME_DIR to a directory of yours, short, on a disk with room",
			"programs cannot hand in their records: %s",
			doctor_reason(&a, why, sizeof(why)));
	else
		doctor_add(d, DOCTOR_OK, OPTION_PROFILES, "session", "",
			   "programs hand in their records at %.*s%s",
			   (int)(strrchr(a.why.text, '/') - a.why.text), a.why.text,
			   runtime == NULL ? " (XDG_RUNTIME_DIR is not set)" : "");
	if (a.error < 0)
		return;
	doctor_try(try_endpoint, NULL, &a);
	if (a.error < 0)
		doctor_add(d, DOCTOR_NOTE, 0, "endpoint",
			   "remove what is there, or set XDG_RUNTIME_DIR",
			   "%s: `cprof ctl PID dump` and `top` reach nobody",
			   doctor_reason(&a, why, sizeof(why)));
	else
		doctor_add(d, DOCTOR_OK, 0, "endpoint", "",
			   "each program that is recorded answers at %s/PID.sock", a.why.text);
}

static const char *show_limit(rlim_t value, char *buffer, size_t size)
{
	if (value == RLIM_INFINITY)
		snprintf(buffer, size, "unlimited");
	else
		snprintf(buffer, size, "%" PRIu64, (uint64_t)value);
	return buffer;
}

static rlim_t limit_of(int resource)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(resource, &limit);
	return limit.rlim_cur;
}

static void add_limits(struct doctor *d)
{
	char files[32], locked[32], signals[32];
	rlim_t n = limit_of(RLIMIT_NOFILE), pending = limit_of(RLIMIT_SIGPENDING);

	doctor_add(d, n < FILES_FEW ? DOCTOR_NOTE : DOCTOR_OK, OPTION_TRACE | OPTION_CPU, "limits",
		   n < FILES_FEW ? "ulimit -n 1024, or more" : "",
		   "open files %s, locked memory %s bytes, pending signals %s%s",
		   show_limit(n, files, sizeof(files)),
		   show_limit(limit_of(RLIMIT_MEMLOCK), locked, sizeof(locked)),
		   show_limit(pending, signals, sizeof(signals)),
		   n < FILES_FEW ? ": switch records need a file for each thread and processor"
				 : "");
}

/* A file of our control group, in the hierarchy of version 2 or that of @controller in version 1. */
static bool read_group(const char *controller, const char *two, const char *one, char *ret,
		       size_t size)
{
	char all[4096], path[4400], *at, *next;

	if (proc_read("/proc/self/cgroup", all, sizeof(all)) <= 0)
		return false;
	for (at = all; at != NULL; at = next) {
		char *name = strchr(at, ':'), *group = name != NULL ? strchr(name + 1, ':') : NULL;

		next = strchr(at, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (group == NULL)
			continue;
		*group++ = '\0';
		name++;
		if (*name == '\0')
			snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", group, two);
		else if (strcmp(name, controller) == 0)
			snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s/%s", controller, group,
				 one);
		else
			continue;
		if (proc_read(path, ret, size) > 0)
			return true;
		/* in a namespace of its own the group is the root of what is mounted */
		snprintf(path, sizeof(path),
			 *name == '\0' ? "/sys/fs/cgroup/%s" : "/sys/fs/cgroup/%s/%s",
			 *name == '\0' ? two : controller, one);
		if (proc_read(path, ret, size) > 0)
			return true;
	}
	return false;
}

static void add_group(struct doctor *d)
{
	char memory[64] = "", cpu[64] = "";
	bool has_memory = read_group("memory", "memory.max", "memory.limit_in_bytes", memory,
				     sizeof(memory)) &&
			  strtoull(memory, NULL, 10) > 0 &&
			  strtoull(memory, NULL, 10) < UINT64_C(1) << 60;
	bool has_cpu = read_group("cpu", "cpu.max", "cpu.cfs_quota_us", cpu, sizeof(cpu)) &&
		       cpu[0] >= '1' && cpu[0] <= '9';

	if (has_memory)
		doctor_add(d, strtoull(memory, NULL, 10) < MEMORY_FEW ? DOCTOR_NOTE : DOCTOR_OK, 0,
			   "memory of the control group",
			   strtoull(memory, NULL, 10) < MEMORY_FEW ? "cprof run -p cpu,memory=16m"
								   : "",
			   "%llu MiB: what is recorded counts, up to memory= (64m) a process",
			   strtoull(memory, NULL, 10) >> 20);
	if (has_cpu)
		doctor_add(d, DOCTOR_NOTE, 0, "processors of the control group", "",
			   "limited (%s): time in which the group is held back is shown as "
			   "runnable",
			   cpu);
}

static bool is_in_path(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char joined[4200];

	for (; path != NULL; path = *end == ':' ? end + 1 : NULL) {
		end = strchrnul(path, ':');
		snprintf(joined, sizeof(joined), "%.*s/%s", (int)(end - path), path, name);
		if (access(joined, X_OK) == 0)
			return true;
	}
	return false;
}

static void add_tools(struct doctor *d)
{
	struct doctor_attempt a;
	char why[320];

	doctor_try(try_libdw, NULL, &a);
	if (a.error == 0)
		doctor_add(d, DOCTOR_OK, 0, "libdw", "",
			   "reads debugging information: lines and inlined functions");
	else
		doctor_add(d, DOCTOR_PARTLY, 0, "libdw", "install libdw1 (elfutils-libs)",
			   "%s: functions have names, but no lines and no inlined calls",
			   doctor_reason(&a, why, sizeof(why)));
	doctor_try(try_debuginfod, NULL, &a);
	doctor_add(d, a.error == 0 ? DOCTOR_OK : DOCTOR_NOTE, 0, "debuginfod", "", "%s",
		   a.error == 0 ? "servers are named, and can be asked for what is not on this disk"
				: doctor_reason(&a, why, sizeof(why)));
	if (is_in_path("go") || is_in_path("pprof"))
		doctor_add(d, DOCTOR_OK, 0, "pprof", "", "%s reads the same files",
			   is_in_path("pprof") ? "pprof" : "go tool pprof");
	else
		doctor_add(d, DOCTOR_NOTE, 0, "pprof", "",
			   "neither go nor pprof is in $PATH: cprof's own reports need neither");
}

void doctor_places(struct doctor *d)
{
	d->part = "places, limits, tools";
	add_sockets(d);
	add_limits(d);
	add_group(d);
	add_tools(d);
}
