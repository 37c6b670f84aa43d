/*
 * A process that runs: whether it is recorded, what it would allow, and what its program is.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/asking.h"
#include "cli/doctor.h"
#include "cli/doctor_proc.h"
#include "cli/fetch.h"

#define FETCH_BYTES_MAX (1 << 20)
#define FETCH_SEC       5

/* Whether a file whose name has @word in it is mapped. -1: nobody tells us. */
static int maps(pid_t pid, const char *word)
{
	char path[48], *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	while (!found && getline(&line, &room, f) > 0)
		found = strstr(line, word) != NULL;
	if (!found && ferror(f))
		found = -1;
	free(line);
	fclose(f);
	return found;
}

/* Each line of what its launcher says of it. */
static void add_status(struct doctor *d, int fd)
{
	char text[8192], *at, *next;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	for (at = strchr(text, '\n'); at != NULL && at[1] != '\0'; at = next) {
		at++;
		next = strchr(at, '\n');
		doctor_add(d, DOCTOR_OK, 0, "profile", "", "%.*s",
			   next != NULL ? (int)(next - at) : (int)strlen(at), at);
	}
}

static void add_endpoint(struct doctor *d, pid_t pid)
{
	struct why why = {""};
	const struct fetch_limits limits = {.wait_sec = FETCH_SEC, .bytes_max = FETCH_BYTES_MAX};
	int fd = fetch_process(pid, "/debug/pprof/cmdline", &limits, &why);

	if (fd >= 0)
		close(fd);
	if (fd >= 0)
		doctor_add(d, DOCTOR_OK, 0, "endpoint", "", "it answers: `cprof ctl %d top` works",
			   (int)pid);
	else
		doctor_add(d, DOCTOR_PARTLY, 0, "endpoint",
			   "call it with the same XDG_RUNTIME_DIR as `cprof run`",
			   "nobody answers at its socket%s%s: `cprof ctl %d dump` and `top` do not "
			   "work",
			   why.text[0] ? ": " : "", why.text, (int)pid);
}

static void add_session(struct doctor *d, pid_t pid)
{
	const struct question q = {SESSION_STATUS, NULL};
	struct why why = {""};
	int fd = -1, r = asking(pid, &q, &fd, &why), is_loaded = maps(pid, "/libcprof.so");

	if (r == 0) {
		doctor_add(d, DOCTOR_OK, 0, "recording", "",
			   "it runs under `cprof run`, which answers for it: `cprof ctl %d` works",
			   (int)pid);
		add_status(d, fd);
		close(fd);
		add_endpoint(d, pid);
	} else if (is_loaded > 0) {
		doctor_add(d, DOCTOR_PARTLY, OPTION_PROFILES, "recording",
			   "ask it itself, by what CPROF=http= says, or start it by cprof run",
			   "libcprof.so is in it, and no `cprof run` answers for it: %s", why.text);
	} else {
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "recording",
			   "start it again by cprof run -- PROGRAM, or link it with -lcprof",
			   "%s; nothing can be loaded into a program that runs",
			   is_loaded == 0 ? "it is not recorded: libcprof.so is not in it"
					  : why.text);
	}
}

static void add_rights(struct doctor *d, pid_t pid)
{
	char seccomp[16], tracer[16], blocked[32];

	if (proc_status(pid, "Seccomp", seccomp, sizeof(seccomp)) && seccomp[0] != '0')
		doctor_add(d, DOCTOR_NOTE, 0, "seccomp", "",
			   "it filters its system calls: one that sets the filter itself is not "
			   "recorded from there on");
	if (proc_status(pid, "TracerPid", tracer, sizeof(tracer)) && tracer[0] != '0')
		doctor_add(d, DOCTOR_NOTE, OPTION_CPU, "debugger", "",
			   "process %s traces it, and stops at each of our signals", tracer);
	if (proc_status(pid, "SigBlk", blocked, sizeof(blocked)) &&
	    strtoull(blocked, NULL, 16) >> (SIGPROF - 1) & 1)
		doctor_add(d, DOCTOR_PARTLY, OPTION_CPU, "SIGPROF", "do not block it, or use wall",
			   "its main thread blocks it: the CPU time of such threads is told as "
			   "lost");
	if (proc_status(pid, "SigIgn", blocked, sizeof(blocked)) &&
	    strtoull(blocked, NULL, 16) >> (SIGPROF - 1) & 1)
		doctor_add(d, DOCTOR_NO, OPTION_CPU | OPTION_WALL, "SIGPROF", "do not ignore it",
			   "it ignores the signal that samples come by");
}

static void add_limits(struct doctor *d, pid_t pid)
{
	struct rlimit files, bytes, space;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, &files) < 0 ||
	    prlimit(pid, RLIMIT_FSIZE, NULL, &bytes) < 0 ||
	    prlimit(pid, RLIMIT_AS, NULL, &space) < 0)
		return;
	if (bytes.rlim_cur != RLIM_INFINITY || space.rlim_cur != RLIM_INFINITY)
		doctor_add(d, DOCTOR_NOTE, 0, "limits", "raise ulimit -f and -v",
			   "of files' size or of address space: what it can record is less than "
			   "memory= says");
	else
		doctor_add(d, DOCTOR_OK, 0, "limits", "", "open files %" PRIu64,
			   (uint64_t)files.rlim_cur);
}

static void add_program(struct doctor *d, pid_t pid)
{
	char path[48], name[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0) {
		doctor_add(d, DOCTOR_NOTE, 0, "program", "", "is not told: %s", strerror(errno));
		return;
	}
	name[n] = '\0';
	doctor_add(d, DOCTOR_OK, 0, "program", "", "%s", name);
	doctor_image(d, access(name, R_OK) == 0 ? name : path);
}

void doctor_process(struct doctor *d, pid_t pid)
{
	char path[32];
	struct stat st;

	d->part = "process";
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (kill(pid, 0) < 0 && errno == ESRCH) {
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "process", "", "there is no process %d",
			   (int)pid);
		return;
	}
	if (stat(path, &st) == 0 && st.st_uid != geteuid() && geteuid() != 0) {
		doctor_add(d, DOCTOR_NO, OPTION_PROFILES, "process", "ask as its user, or as root",
			   "process %d is another user's (%u)", (int)pid, (unsigned)st.st_uid);
		return;
	}
	add_session(d, pid);
	add_rights(d, pid);
	add_limits(d, pid);
	add_program(d, pid);
}
