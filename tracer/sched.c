#include "tracer/sched.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tracer/sched_private.h"

#define FORMAT_LOST (1u << 4) /* PERF_FORMAT_LOST, Linux 6.0 */

#define CPUS_MAX   8192 /* as the kernel has it at most */
#define LONG_BITS  (8 * sizeof(long))
#define PASSES_MAX 16 /* over the list of threads, while their parents make more */

/* ---- what the kernel says of itself ---- */

static ssize_t read_text(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, to, size - 1);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

/* -1000 when it is not there */
static long read_number(const char *path)
{
	char text[32];

	return read_text(path, text, sizeof(text)) > 0 ? strtol(text, NULL, 10) : -1000;
}

/*
 * The processors of a list such as "0-3,8" into @cpus; how many. Without one all that there may be: those that are not
 * online are found out later.
 */
static unsigned read_cpus(uint32_t *cpus, unsigned room)
{
	char text[4096];
	const char *c = text;
	unsigned count = 0;

	if (read_text("/sys/devices/system/cpu/online", text, sizeof(text)) > 0) {
		while (*c >= '0' && *c <= '9') {
			char *end;
			unsigned long first = strtoul(c, &end, 10), last = first;

			if (*end == '-')
				last = strtoul(end + 1, &end, 10);
			for (; first <= last && count < room; first++)
				cpus[count++] = (uint32_t)first;
			c = *end == ',' ? end + 1 : end;
		}
	}
	if (count == 0) {
		long all = sysconf(_SC_NPROCESSORS_CONF);

		while (count < room && (long)count < (all > 0 ? all : 1)) {
			cpus[count] = count;
			count++;
		}
	}
	return count;
}

/*
 * Leaves out of @cpus what a process in our own cpuset cannot get to, whatever it asks for: a mask of all is cut by the kernel
 * to just that. Each processor less spares every new thread an event. The caller's own mask is as before when this returns.
 */
static unsigned keep_reachable(pid_t pid, uint32_t *cpus, unsigned count)
{
	unsigned long before[CPUS_MAX / LONG_BITS], reach[CPUS_MAX / LONG_BITS];
	char path[32], ours[256], theirs[256];
	unsigned kept = 0;
	long bytes;

	snprintf(path, sizeof(path), "/proc/%d/cpuset", (int)pid);
	if (pid == 0 || count == 1 || read_text("/proc/self/cpuset", ours, sizeof(ours)) <= 0 ||
	    read_text(path, theirs, sizeof(theirs)) <= 0 || strcmp(ours, theirs) != 0)
		return count;
	bytes = syscall(SYS_sched_getaffinity, 0, sizeof(before), before);
	if (bytes <= 0)
		return count;
	memset(reach, 0xff, sizeof(reach));
	if (syscall(SYS_sched_setaffinity, 0, sizeof(reach), reach) < 0)
		return count;
	memset(reach, 0, sizeof(reach));
	if (syscall(SYS_sched_getaffinity, 0, sizeof(reach), reach) <= 0)
		memset(reach, 0xff, sizeof(reach));
	syscall(SYS_sched_setaffinity, 0, (size_t)bytes, before);
	for (unsigned i = 0; i < count; i++)
		if (cpus[i] < CPUS_MAX &&
		    (reach[cpus[i] / LONG_BITS] >> cpus[i] % LONG_BITS & 1) != 0)
			cpus[kept++] = cpus[i];
	return kept != 0 ? kept : count;
}

/* ---- events ---- */

static void set_attr(struct perf_event_attr *attr, unsigned flags)
{
	*attr = (struct perf_event_attr){
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(*attr),
		.config = PERF_COUNT_SW_DUMMY,
		/* no PERF_SAMPLE_CPU: the ring tells, and records are shorter by a quarter */
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.read_format = FORMAT_LOST,
		.disabled = (flags & SCHED_ON_EXEC) != 0,
		.enable_on_exec = (flags & SCHED_ON_EXEC) != 0,
		.inherit = 1,
		.inherit_thread = (flags & SCHED_THREADS) != 0,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.sample_id_all = 1,
		.context_switch = 1,
		.task = 1,
		.comm = 1,
		.comm_exec = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1, /* of 0: half the ring, whatever its size turns out to be */
	};
}

/* A file, or a negative errno. What an older kernel does not know is left out of @attr, for the next ones, too. */
static int open_event(struct perf_event_attr *attr, pid_t tid, uint32_t cpu)
{
	for (;;) {
		long fd =
			syscall(SYS_perf_event_open, attr, tid, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd >= 0)
			return (int)fd;
		if (errno != EINVAL)
			return -errno;
		if (attr->read_format != 0)
			attr->read_format = 0;
		else if (attr->inherit_thread)
			attr->inherit_thread = 0;
		else
			return -EINVAL;
	}
}

static void explain_refusal(const struct sched *s, struct perf_event_attr *attr, int error,
			    struct why *why)
{
	long paranoid = read_number("/proc/sys/kernel/perf_event_paranoid");
	int own = s->pid != 0 ? open_event(attr, 0, s->rings[0].cpu) : -1;

	if (own >= 0) {
		close(own);
		why_set(why,
			"the kernel does not let this user watch process %d: it has other rights "
			"than the user (another "
			"user's, set-user-ID, or not dumpable)",
			(int)s->pid);
	} else if (paranoid > 2) {
		why_set(why,
			"the kernel keeps perf events to root: kernel.perf_event_paranoid is %ld, "
			"2 is enough (sysctl "
			"kernel.perf_event_paranoid=2)",
			paranoid);
	} else {
		why_set(why,
			"perf_event_open is refused (%s) though kernel.perf_event_paranoid is %ld: "
			"by a seccomp filter, as "
			"containers have it, or by a security module",
			strerror(error), paranoid);
	}
}

static void explain_open(const struct sched *s, struct perf_event_attr *attr, int error,
			 struct why *why)
{
	switch (error) {
	case EPERM:
	case EACCES:
		explain_refusal(s, attr, error, why);
		break;
	case ENOSYS:
		why_set(why, "this kernel has no perf events");
		break;
	case ESRCH:
		why_set(why, "process %d is gone", (int)s->pid);
		break;
	case EMFILE:
	case ENFILE:
		why_set(why,
			"no more files: a file is needed for each of the threads and each of %u "
			"processors (ulimit -n)",
			s->rings_count);
		break;
	case EINVAL:
	case ENOENT:
	case EOPNOTSUPP:
		why_set(why, "this kernel does not record switches of threads; Linux 4.3 does");
		break;
	case ENODEV:
		why_set(why, "no processor is online, as perf sees it");
		break;
	default:
		why_set(why, "perf_event_open: %s", strerror(error));
	}
}

/* Room for one more thread. */
static int grow_files(struct sched *s)
{
	uint32_t room = s->files_room == 0 ? s->rings_count * 4 : s->files_room * 2;
	int *files;

	if (s->files_count + s->rings_count <= s->files_room)
		return 0;
	files = mem_map(room * sizeof(*files));
	if (files == NULL)
		return -ENOMEM;
	if (s->files_count > 0)
		memcpy(files, s->files, s->files_count * sizeof(*files));
	mem_unmap(s->files, s->files_room * sizeof(*files));
	s->files = files;
	s->files_room = room;
	return 0;
}

static void close_files(struct sched *s, uint32_t from)
{
	for (uint32_t i = from; i < s->files_count; i++)
		if (s->files[i] >= 0)
			close(s->files[i]);
	s->files_count = from;
}

/* ---- rings ---- */

static void unmap_rings(struct sched *s)
{
	for (uint32_t i = 0; i < s->rings_count; i++) {
		if (s->rings[i].map != NULL)
			munmap(s->rings[i].map, s->page_bytes + (size_t)s->ring_bytes);
		s->rings[i].map = NULL;
	}
}

/* All rings, of s->ring_bytes each. */
static int map_rings(struct sched *s)
{
	for (uint32_t i = 0; i < s->rings_count; i++) {
		struct sched_ring *ring = &s->rings[i];

		if (ring->file < 0)
			continue;
		ring->map = mmap(NULL, s->page_bytes + (size_t)s->ring_bytes,
				 PROT_READ | PROT_WRITE, MAP_SHARED, ring->file, 0);
		if (ring->map == MAP_FAILED) {
			int error = errno;

			ring->map = NULL;
			unmap_rings(s);
			return -error;
		}
	}
	return 0;
}

/* As large as the kernel lets them be. */
static int map_what_fits(struct sched *s, struct why *why)
{
	struct rlimit lock = {0, 0};
	int r;

	for (;;) {
		r = map_rings(s);
		if ((r != -EPERM && r != -ENOMEM) || s->ring_bytes / 2 < s->page_bytes ||
		    s->ring_bytes <= SCHED_RING_LEAST)
			break;
		s->ring_bytes /= 2;
	}
	if (r == -EPERM) {
		getrlimit(RLIMIT_MEMLOCK, &lock);
		why_set(why,
			"no memory for records of switches, not even %u KiB for each of %u "
			"processors: "
			"kernel.perf_event_mlock_kb (%ld) is used up by this user's programs, and "
			"ulimit -l is %lu",
			s->ring_bytes >> 10, s->rings_count,
			read_number("/proc/sys/kernel/perf_event_mlock_kb"),
			(unsigned long)lock.rlim_cur >> 10);
	} else if (r < 0) {
		why_set(why, "rings of %u KiB for records of switches: %s", s->ring_bytes >> 10,
			strerror(-r));
	}
	return r;
}

static int add_waits(struct sched *s)
{
	s->wait_file = epoll_create1(EPOLL_CLOEXEC);
	if (s->wait_file < 0)
		return -errno;
	for (uint32_t i = 0; i < s->rings_count; i++) {
		/* by edges: that nobody writes any more is told once */
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u32 = i}};

		if (s->rings[i].file < 0)
			s->rings[i].is_over = true;
		else if (epoll_ctl(s->wait_file, EPOLL_CTL_ADD, s->rings[i].file, &event) < 0)
			return -errno;
	}
	return 0;
}

/* ---- threads ---- */

struct task_entry {
	uint64_t inode, offset;
	unsigned short bytes;
	unsigned char type;
	char name[];
};

struct opening {
	struct sched *s;
	struct perf_event_attr attr;
	struct why *why;

	/* threads that were seen; one that is gone stays, its number is not used again so soon */
	pid_t *seen;
	uint32_t seen_count, seen_room;
};

/*
 * One event for each processor on thread @tid. The first thread's tell which processors are online, and have the rings; all
 * others write into these. 0, or -ESRCH when it has ended meanwhile, or another negative errno with the reason.
 */
static int watch_thread(struct opening *o, pid_t tid)
{
	struct sched *s = o->s;
	uint32_t from = s->files_count;
	bool is_first = from == 0;
	int r = grow_files(s);

	if (r < 0)
		goto fail;
	for (uint32_t i = 0; i < s->rings_count; i++) {
		struct sched_ring *ring = &s->rings[i];
		int fd = is_first || ring->map != NULL ? open_event(&o->attr, tid, ring->cpu)
						       : -ENODEV;

		r = fd < 0 && fd != -ENODEV ? fd : 0;
		s->files[s->files_count++] = fd < 0 ? -1 : fd;
		if (is_first)
			ring->file = fd < 0 ? -1 : fd;
		else if (fd >= 0 && ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->file) < 0)
			r = -errno;
		if (r < 0)
			goto fail;
	}
	return is_first ? map_what_fits(s, o->why) : 0;

fail:
	close_files(s, from);
	if (r != -ESRCH)
		explain_open(s, &o->attr, -r, o->why);
	return r;
}

/* 1 when @tid is new, 0, or -ENOMEM. */
static int see(struct opening *o, pid_t tid)
{
	for (uint32_t i = o->seen_count; i-- > 0;)
		if (o->seen[i] == tid)
			return 0;
	if (o->seen_count == o->seen_room) {
		uint32_t room = o->seen_room == 0 ? 1024 : o->seen_room * 2;
		pid_t *seen = mem_map(room * sizeof(*seen));

		if (seen == NULL)
			return -ENOMEM;
		if (o->seen_count > 0)
			memcpy(seen, o->seen, o->seen_count * sizeof(*seen));
		mem_unmap(o->seen, o->seen_room * sizeof(*seen));
		o->seen = seen;
		o->seen_room = room;
	}
	o->seen[o->seen_count++] = tid;
	return 1;
}

/* Watches each new thread of the list @task; how many there were, or a negative errno. */
static int watch_new(struct opening *o, int task)
{
	_Alignas(8) char buffer[8192];
	int watched = 0, r;
	long n;

	if (lseek(task, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, task, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n;) {
			const struct task_entry *entry = (const struct task_entry *)(buffer + at);
			pid_t tid = (pid_t)strtol(entry->name, NULL, 10);

			at += entry->bytes;
			r = tid > 0 ? see(o, tid) : 0;
			if (r > 0) {
				r = watch_thread(o, tid);
				watched += r == 0;
			}
			if (r < 0 && r != -ESRCH)
				return r;
		}
	return watched;
}

/*
 * All threads. One that another makes while we look is watched by inheritance if its parent was watched already, which nobody
 * can see from here: so it is watched once more, and sched_drain() drops what comes twice.
 */
static int watch_all(struct sched *s, struct why *why)
{
	struct opening o = {.s = s, .why = why};
	char path[32] = "/proc/self/task";
	int task, r = 1;

	set_attr(&o.attr, s->flags);
	if (s->pid != 0)
		snprintf(path, sizeof(path), "/proc/%d/task", (int)s->pid);
	task = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (task < 0) /* without /proc there is only the one that we know */
		r = watch_thread(&o, s->pid);
	for (int pass = 0; task >= 0 && r > 0 && pass < PASSES_MAX; pass++)
		r = watch_new(&o, task);
	if (r >= 0 && s->files_count == 0)
		r = -ESRCH;
	if (r == -ESRCH)
		explain_open(s, &o.attr, ESRCH, why);
	s->can_double = s->files_count > s->rings_count;
	s->has_lost_count = o.attr.read_format != 0;
	if (task >= 0)
		close(task);
	mem_unmap(o.seen, o.seen_room * sizeof(*o.seen));
	return r < 0 ? r : 0;
}

/* ---- */

static uint32_t choose_bytes(uint32_t asked, uint32_t page, unsigned cpus)
{
	uint32_t bytes = asked != 0 ? asked : SCHED_RING_BYTES;

	while (asked == 0 && bytes > SCHED_RING_LEAST && (uint64_t)bytes * cpus > SCHED_RINGS_BYTES)
		bytes /= 2;
	return bytes < page ? page : bytes;
}

int sched_open(pid_t pid, unsigned flags, uint32_t ring_bytes, struct sched **ret, struct why *why)
{
	uint32_t *cpus = mem_map(CPUS_MAX * sizeof(*cpus));
	unsigned count;
	struct sched *s;
	size_t bytes;
	int r;

	if (cpus == NULL)
		return -ENOMEM;
	count = keep_reachable(pid, cpus, read_cpus(cpus, CPUS_MAX));
	bytes = sizeof(*s) + count * sizeof(s->rings[0]);
	s = mem_map(bytes);
	if (s == NULL) {
		mem_unmap(cpus, CPUS_MAX * sizeof(*cpus));
		return -ENOMEM;
	}
	s->bytes = bytes;
	s->pid = pid;
	s->drained_ns = clock_monotonic();
	s->flags = flags;
	s->wait_file = -1;
	s->page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	s->wanted_bytes = s->ring_bytes = choose_bytes(ring_bytes, s->page_bytes, count);
	s->rings_count = count;
	s->rings = (struct sched_ring *)(s + 1);
	for (unsigned i = 0; i < count; i++) {
		s->rings[i].cpu = cpus[i];
		s->rings[i].file = -1;
	}
	mem_unmap(cpus, CPUS_MAX * sizeof(*cpus));

	r = watch_all(s, why);
	if (r < 0)
		goto fail;
	r = add_waits(s);
	if (r < 0) {
		why_set(why, "waiting for records of switches: %s", strerror(-r));
		goto fail;
	}
	*ret = s;
	return 0;

fail:
	sched_close(s);
	return r;
}

void sched_close(struct sched *s)
{
	if (s == NULL)
		return;
	unmap_rings(s);
	if (s->wait_file >= 0)
		close(s->wait_file);
	close_files(s, 0);
	mem_unmap(s->files, s->files_room * sizeof(*s->files));
	mem_unmap(s, s->bytes);
}

void sched_forked(struct sched *s)
{
	/* the kernel does not give rings to a child: what is mapped there now is something else */
	for (uint32_t i = 0; i < s->rings_count; i++)
		s->rings[i].map = NULL;
	sched_close(s);
}

unsigned sched_rings(const struct sched *s)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < s->rings_count; i++)
		count += s->rings[i].map != NULL;
	return count;
}

uint32_t sched_ring_bytes(const struct sched *s)
{
	return s->ring_bytes;
}

int sched_wait_fd(const struct sched *s)
{
	return s->wait_file;
}

bool sched_wakes_often(const struct sched *s)
{
	return s->wakes_often;
}

void sched_shortcomings(const struct sched *s, struct why *ret)
{
	ret->text[0] = '\0';
	if (s->ring_bytes < s->wanted_bytes)
		why_set(ret,
			"rings for records of switches have %u KiB instead of %u "
			"(kernel.perf_event_mlock_kb is %ld, shared by "
			"all of this user's programs; ulimit -l is in force beyond it): some may "
			"be lost when there are many",
			s->ring_bytes >> 10, s->wanted_bytes >> 10,
			read_number("/proc/sys/kernel/perf_event_mlock_kb"));
}
