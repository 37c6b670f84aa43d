#include "core/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "core/clock.h"
#include "core/helper_private.h"

struct helper helper;
int helper_task_directory = -1;
uint32_t helper_serial;
static int memory_file = -1; /* /proc/self/mem, where process_vm_readv() is forbidden */

/* The files came as a copy of the host's table: a pipe that the host closes must not stay open because of us. */
static void let_go_of_files(void)
{
	char path[] = "/proc/thread-self/fd";
	struct {
		uint64_t inode;
		int64_t offset;
		uint16_t length;
		uint8_t type;
		char name[1024 - 19];
	} entries;
	long n;
	int fd;

	if (sys3(SYS_close_range, 0, ~0u, 0) == 0)
		return;
	/* before Linux 5.9 */
	fd = (int)sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	while (fd >= 0 && (n = sys3(SYS_getdents64, fd, &entries, sizeof(entries))) > 0) {
		bool has_closed = false;

		for (long at = 0; at < n;) {
			const uint8_t *entry = (const uint8_t *)&entries + at;
			int number = 0;

			for (const char *c = (const char *)entry + 19; *c >= '0' && *c <= '9'; c++)
				number = number * 10 + (*c - '0');
			at += entry[16] | entry[17] << 8;
			if (entry[19] != '.' && number != fd) {
				sys1(SYS_close, number);
				has_closed = true;
			}
		}
		if (has_closed)
			sys3(SYS_lseek, fd, 0, SEEK_SET);
	}
	if (fd >= 0)
		sys1(SYS_close, fd);
}

/* The host's main thread and all others have ended: the process stays because of us alone. */
static bool is_alone(void)
{
	int pid = (int)sys1(SYS_getpid, 0);
	char status[256];
	struct stat st;
	int n;

	if (helper_task_directory < 0 ||
	    sys4(SYS_newfstatat, helper_task_directory, "", &st, AT_EMPTY_PATH) != 0 ||
	    st.st_nlink > 4)
		return false;
	/* a main thread that has ended stays in the list as a zombie for as long as others live */
	n = helper_read_task(pid, "stat", status, sizeof(status));
	for (int i = n - 1; i > 2; i--)
		if (status[i - 2] == ')')
			return status[i] == 'Z';
	return false;
}

SIGSAFE bool helper_is_caller(void)
{
	return thread_self_block != NULL && thread_self_block == helper.thread;
}

/* When to come back to the launcher's request: HELPER_NEVER when there is none. */
static uint64_t obey(uint64_t now)
{
	struct segment_request *request = &helper.segment->header->request;
	helper_job run =
		atomic_load_explicit(&helper.jobs[HELPER_REQUESTS].run, memory_order_acquire);

	if (run == NULL || atomic_load_explicit(&request->asked, memory_order_acquire) ==
				   atomic_load_explicit(&request->done, memory_order_relaxed))
		return HELPER_NEVER;
	return run(helper.segment, helper.thread, now);
}

/* The next moment of all jobs; runs those that are due. */
static uint64_t run_jobs(uint64_t now)
{
	uint64_t next = obey(now);

	for (unsigned i = 0; i < HELPER_REQUESTS; i++) {
		helper_job run = atomic_load_explicit(&helper.jobs[i].run, memory_order_acquire);
		uint32_t asked = atomic_load_explicit(&helper.jobs[i].asked, memory_order_seq_cst);
		uint64_t planned =
			atomic_load_explicit(&helper.jobs[i].next_ns, memory_order_seq_cst);
		uint64_t at = planned;

		uint32_t wanted =
			i == HELPER_THREADS
				? atomic_load_explicit(&helper.segment->header->snapshots_asked,
						       memory_order_seq_cst)
				: 0;

		if (run == NULL)
			continue;
		if (wanted != helper.jobs[i].wanted)
			at = now; /* by the launcher, which can do no more than leave word */
		helper.jobs[i].wanted = wanted;
		if (asked != atomic_load_explicit(&helper.jobs[i].done, memory_order_relaxed) ||
		    at <= now) {
			if (!thread_enter(helper.segment, helper.thread))
				continue;
			/* pairs: helper_stop, which takes it off first and waits for @inside */
			if (atomic_load_explicit(&helper.jobs[i].run, memory_order_seq_cst) == run)
				at = run(helper.segment, helper.thread, now);
			thread_leave(helper.thread);
			/* unless it was roused meanwhile */
			if (!atomic_compare_exchange_strong_explicit(
				    &helper.jobs[i].next_ns, &planned, at, memory_order_seq_cst,
				    memory_order_relaxed))
				at = 0;
			atomic_store_explicit(&helper.jobs[i].done, asked, memory_order_release);
			sys3(SYS_futex, &helper.jobs[i].done, FUTEX_WAKE_PRIVATE, INT32_MAX);
		}
		if (at < next)
			next = at;
	}
	return next;
}

SIGSAFE void helper_run(enum helper_job_id id)
{
	helper_job run = atomic_load_explicit(&helper.jobs[id].run, memory_order_acquire);

	if (run == NULL || !thread_enter(helper.segment, helper.thread))
		return;
	/* pairs: helper_stop, as in run_jobs() */
	if (atomic_load_explicit(&helper.jobs[id].run, memory_order_seq_cst) == run)
		run(helper.segment, helper.thread, clock_monotonic());
	thread_leave(helper.thread);
}

#define LOOK_AROUND_NS (NS_PER_SECOND / 4) /* is the host still there? */

SIGSAFE void helper_main(void)
{
	struct segment *s = helper.segment;
	uint64_t look_around = 0;

	thread_self_block = helper.thread;
	helper_serial++;
	let_go_of_files();
	sys1(SYS_chdir, (long)"/");
	sys2(SYS_prctl, 15 /* PR_SET_NAME */, "cprof");
	helper_task_directory =
		(int)sys4(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
	memory_file = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY, 0);

	for (;;) {
		uint32_t seen = atomic_load_explicit(&s->header->helper_wake, memory_order_seq_cst);
		uint64_t now = clock_monotonic(), next;
		struct timespec until;
		uint32_t soon;

		if (atomic_load_explicit(&helper.is_ending, memory_order_seq_cst))
			break;
		if (now >= look_around ||
		    atomic_load_explicit(&helper.look_soon, memory_order_acquire) ==
			    HELPER_LOOKS_SOON) {
			if (is_alone())
				break;
			soon = atomic_load_explicit(&helper.look_soon, memory_order_acquire);
			if (soon > 0)
				atomic_compare_exchange_strong_explicit(
					&helper.look_soon, &soon, soon - 1, memory_order_relaxed,
					memory_order_relaxed);
			look_around = now + (soon > 0 ? NS_PER_SECOND / 1000 : LOOK_AROUND_NS);
		}
		next = run_jobs(now);
		if (next > look_around)
			next = look_around;
		until = clock_to_timespec(next);
		sys6(SYS_futex, &s->header->helper_wake, FUTEX_WAIT_BITSET, seen, &until, NULL,
		     FUTEX_BITSET_MATCH_ANY);
	}
	sys1(SYS_exit, 0); /* this thread alone; the kernel clears helper.tid */
	__builtin_trap();
}

SIGSAFE void helper_rouse(struct segment *s, enum helper_job_id id)
{
	atomic_store_explicit(&helper.jobs[id].next_ns, 0, memory_order_seq_cst);
	atomic_fetch_add_explicit(&s->header->helper_wake, 1, memory_order_seq_cst);
	sys3(SYS_futex, &s->header->helper_wake, FUTEX_WAKE, 1);
}

SIGSAFE size_t helper_read_memory(uintptr_t address, void *to, size_t bytes)
{
	struct iovec local = {to, bytes}, remote = {(void *)address, bytes};
	long n = sys6(SYS_process_vm_readv, sys1(SYS_getpid, 0), &local, 1, &remote, 1, 0);

	if (n < 0 && n != -EFAULT && memory_file >= 0)
		n = sys4(SYS_pread64, memory_file, to, bytes, address);
	return n > 0 ? (size_t)n : 0;
}

static long open_task(int tid, const char *name)
{
	char path[32], digits[12];
	unsigned n = 0, at = 0;

	do
		digits[n++] = (char)('0' + tid % 10);
	while ((tid /= 10) != 0 && n < sizeof(digits));
	while (n > 0)
		path[at++] = digits[--n];
	path[at++] = '/';
	while (*name != '\0' && at + 1 < sizeof(path))
		path[at++] = *name++;
	path[at] = '\0';
	return sys4(SYS_openat, helper_task_directory, path, O_RDONLY, 0);
}

SIGSAFE int helper_read_task(int tid, const char *name, char *to, size_t size)
{
	long fd = open_task(tid, name), got;

	to[0] = '\0';
	if (fd < 0)
		return (int)fd;
	got = sys3(SYS_read, fd, to, size - 1);
	sys1(SYS_close, fd);
	to[got > 0 ? got : 0] = '\0';
	return (int)got;
}

#define KEPT_MAX \
	256 /* of the helper's own files, whose numbers a limit of the host's bounds, too */

SIGSAFE int helper_read_kept(int tid, const char *name, int *file, char *to, size_t size)
{
	long got;

	if (*file <= 0) {
		long fd = open_task(tid, name);

		if (fd < 0)
			return helper_read_task(tid, name, to, size);
		*file = (int)fd;
	}
	got = sys4(SYS_pread64, *file, to, size - 1, 0);
	to[got > 0 ? got : 0] = '\0';
	if (*file >= KEPT_MAX)
		helper_close_task(file);
	return (int)got;
}

SIGSAFE void helper_close_task(int *file)
{
	if (*file > 0)
		sys1(SYS_close, *file);
	*file = 0;
}
