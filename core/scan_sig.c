#include "core/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/arch.h"

static void nothing(struct segment *s, struct thread *t)
{
	(void)s;
	(void)t;
}

struct scan_hooks scan_hooks = {nothing, nothing};
static _Atomic uint32_t is_busy;

/* How many threads the process has, by the link count of its task directory. */
static uint32_t scan_alive(void)
{
	struct stat st;

	if (sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &st, 0) != 0 || st.st_nlink < 2)
		return 0;
	return (uint32_t)(st.st_nlink - 2);
}

static uint32_t threads_known(struct segment *s)
{
	struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire), n = 0;

	for (uint32_t i = 1; i < high && i < segment_count(s, SEGMENT_THREADS, 0); i++)
		n += atomic_load_explicit(&records[i].tid, memory_order_relaxed) > 0;
	return n;
}

static int parse_tid(const char *name)
{
	int tid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = tid * 10 + (*name - '0');
	return *name == '\0' ? tid : 0;
}

struct linux_dirent64 {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/*
 * One look costs a few dozen system calls at most, whatever the number of threads: it goes on where the last one ended.
 */
#define SCAN_RECORDS 64
#define SCAN_READS   4 /* of 1 KiB, 32 to 42 threads each */

static struct scan {
	uint32_t record;              /* the next one to look at */
	int64_t directory;            /* where in the task directory, 0 its start */
	alignas(8) char buffer[1024]; /* not on the interrupted stack, which may be tiny */
} scan;

static void drop_the_gone(struct segment *s)
{
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	int pid = (int)sys1(SYS_getpid, 0);

	for (unsigned n = 0; n < SCAN_RECORDS && n < high; n++) {
		struct thread *t = thread_at(s, scan.record);

		if (t != NULL && t->record != NULL &&
		    atomic_load_explicit(&t->record->tid, memory_order_acquire) > 0 &&
		    sys3(SYS_tgkill, pid, t->tid, 0) == -ESRCH) {
			scan_hooks.ends(s, t);
			thread_release(s, t);
		}
		scan.record = scan.record + 1 < high ? scan.record + 1 : 1;
	}
}

SIGSAFE bool scan_adopt(struct segment *s, int tid)
{
	struct thread *t;

	if (thread_find(s, tid) != NULL)
		return true;
	t = thread_reserve(s);
	if (t == NULL)
		return false;
	t = thread_try_publish(s, t, tid);
	if (t != NULL)
		scan_hooks.begins(s, t);
	return true;
}

static void adopt_unknown(struct segment *s, unsigned reads)
{
	int fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/task",
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool has_room = true;
	long n = 0;

	if (fd < 0)
		return;
	if (scan.directory != 0)
		sys3(SYS_lseek, fd, scan.directory, SEEK_SET);
	while (has_room && reads-- > 0 &&
	       (n = sys3(SYS_getdents64, fd, scan.buffer, sizeof(scan.buffer))) > 0) {
		for (long at = 0; at < n && has_room;) {
			struct linux_dirent64 *entry = (struct linux_dirent64 *)(scan.buffer + at);
			int tid = parse_tid(entry->name);

			at += entry->length;
			scan.directory = entry->offset;
			if (tid > 0)
				has_room = scan_adopt(s, tid);
		}
	}
	if (n <= 0)
		scan.directory = 0;
	sys1(SYS_close, fd);
}

static void scan_reads(struct segment *s, unsigned reads)
{
	uint32_t free = 0;

	if (!atomic_compare_exchange_strong_explicit(&is_busy, &free, 1, memory_order_acquire,
						     memory_order_relaxed))
		return; /* another thread is looking already */
	drop_the_gone(s);
	if (threads_known(s) + 1 <
	    segment_count(s, SEGMENT_THREADS, 0)) /* else they are counted as lost already */
		adopt_unknown(s, reads);
	atomic_store_explicit(&is_busy, 0, memory_order_release);
}

SIGSAFE void scan_all(struct segment *s)
{
	scan.directory = 0;
	scan_reads(s, UINT32_MAX);
}

SIGSAFE void scan_some(struct segment *s)
{
	if (scan_alive() != threads_known(s))
		scan_reads(s, SCAN_READS);
}

SIGSAFE void scan_forked(void)
{
	atomic_store_explicit(&is_busy, 0, memory_order_relaxed);
}
