#include <errno.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/clock.h"
#include "tracer/format.h"
#include "tracer/sched_private.h"

#ifndef PERF_RECORD_MISC_SWITCH_OUT_PREEMPT
#define PERF_RECORD_MISC_SWITCH_OUT_PREEMPT (1 << 14)
#endif

#define ENDS_EVERY_NS \
	UINT64_C(1000000) /* then who waits spends a hundredth of a processor on being woken */

#define RECORD_MAX 256 /* of those that we read the longest has 48 bytes */

/* At the end of every record. */
struct record_tail {
	uint32_t pid, tid;
	uint64_t time_ns;
};

struct record_comm {
	uint32_t pid, tid;
	char name[16];
};

struct record {
	struct perf_event_header header;
	union {
		struct {
			uint32_t pid, parent_pid, tid, parent_tid;
		} task;
		struct record_comm comm;
		struct {
			uint64_t id, lost;
		} lost;
		unsigned char bytes[RECORD_MAX - sizeof(struct perf_event_header)];
	};
};

static void give(struct sched_ring *ring, struct sched_event *e, sched_each each, void *user)
{
	e->cpu = ring->cpu;
	/* the kernel's fast clock may step back by some ns when it is adjusted */
	if (e->time_ns < ring->last_ns)
		e->time_ns = ring->last_ns;
	ring->last_ns = e->time_ns;
	each(user, e);
}

static void give_lost(struct sched_ring *ring, uint64_t time_ns, uint64_t total, sched_each each,
		      void *user)
{
	struct sched_event e = {.time_ns = time_ns, .kind = SCHED_LOST};

	if (total <= ring->lost_said)
		return;
	e.lost = total - ring->lost_said;
	e.since_ns = ring->last_ns;
	ring->lost_said = total;
	ring->last_kind = 0;
	ring->running = 0;
	give(ring, &e, each, user);
}

/* The thread runs here, whatever was recorded of it. */
static void give_in(struct sched_ring *ring, const struct sched_event *e, sched_each each,
		    void *user)
{
	struct sched_event in = {
		.time_ns = e->time_ns, .pid = e->pid, .tid = e->tid, .kind = SCHED_IN};

	ring->running = e->tid;
	give(ring, &in, each, user);
}

static void copy_name(char *to, size_t size, const struct record *r)
{
	size_t bytes = r->header.size - sizeof(r->header) - offsetof(struct record_comm, name) -
		       sizeof(struct record_tail);

	memcpy(to, r->comm.name, bytes < size - 1 ? bytes : size - 1);
}

/* Enough of @r is there: its size is at least that of its kind. */
static void take(struct sched *s, struct sched_ring *ring, const struct record *r, sched_each each,
		 void *user)
{
	struct sched_event e = {.kind = 0};
	struct record_tail tail;

	memcpy(&tail, (const unsigned char *)r + r->header.size - sizeof(tail), sizeof(tail));
	e.time_ns = tail.time_ns;
	e.pid = tail.pid;
	e.tid = tail.tid;
	switch (r->header.type) {
	case PERF_RECORD_SWITCH:
		e.kind = SCHED_IN;
		if (r->header.misc & PERF_RECORD_MISC_SWITCH_OUT) {
			e.kind = SCHED_OUT;
			e.reason = r->header.misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT
					   ? TRACE_OUT_PREEMPTED
					   : TRACE_OUT_BLOCKED;
		}
		break;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		e.kind = r->header.type == PERF_RECORD_FORK ? SCHED_BORN : SCHED_ENDED;
		e.pid = r->task.pid;
		e.tid = r->task.tid;
		e.parent_pid = r->task.parent_pid;
		e.parent_tid = r->task.parent_tid;
		break;
	case PERF_RECORD_COMM:
		e.kind = SCHED_NAMED;
		e.pid = r->comm.pid;
		e.tid = r->comm.tid;
		e.is_exec = (r->header.misc & PERF_RECORD_MISC_COMM_EXEC) != 0;
		copy_name(e.name, sizeof(e.name), r);
		break;
	case PERF_RECORD_LOST:
		ring->lost_recorded += r->lost.lost;
		give_lost(ring, e.time_ns, ring->lost_recorded, each, user);
		return;
	default:
		return;
	}
	s->ended += e.kind == SCHED_ENDED;
	/* the events of a thread that is watched twice write one behind the other; otherwise no two records in a row are alike */
	if (s->can_double && e.kind == ring->last_kind && e.tid == ring->last_tid)
		return;
	ring->last_kind = e.kind;
	ring->last_tid = e.tid;
	if (e.is_exec && ring->running != e.tid)
		give_in(ring, &e, each, user); /* watched from here on */
	if (e.kind == SCHED_IN)
		ring->running = e.tid;
	else if (e.kind == SCHED_OUT || e.kind == SCHED_ENDED)
		ring->running = 0;
	give(ring, &e, each, user);
}

static void copy_out(const struct sched *s, const struct sched_ring *ring, uint64_t from, void *to,
		     size_t bytes)
{
	const unsigned char *data = (const unsigned char *)ring->map + s->page_bytes;
	uint32_t at = (uint32_t)(from & (s->ring_bytes - 1));
	size_t first = s->ring_bytes - at < bytes ? s->ring_bytes - at : bytes;

	memcpy(to, data + at, first);
	memcpy((unsigned char *)to + first, data, bytes - first);
}

/* The least size of a record of this type that we read, its tail included. */
static size_t least_bytes(uint32_t type)
{
	size_t frame = sizeof(struct perf_event_header) + sizeof(struct record_tail);

	switch (type) {
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		return frame + 24;
	case PERF_RECORD_COMM:
		return frame + 16;
	case PERF_RECORD_LOST:
		return frame + 16;
	default:
		return frame;
	}
}

static void drain_ring(struct sched *s, struct sched_ring *ring, sched_each each, void *user)
{
	struct perf_event_mmap_page *page = ring->map;
	uint64_t head = __atomic_load_n(
		&page->data_head,
		__ATOMIC_ACQUIRE);       /* pairs: the kernel's store, after the records */
	uint64_t tail = page->data_tail; /* ours */
	struct record r;

	while (head - tail >= sizeof(r.header)) {
		copy_out(s, ring, tail, &r.header, sizeof(r.header));
		if (r.header.size < sizeof(r.header) || r.header.size > head - tail)
			break; /* nothing that the kernel writes */
		if (r.header.size <= sizeof(r) && r.header.size >= least_bytes(r.header.type)) {
			copy_out(s, ring, tail, &r, r.header.size);
			take(s, ring, &r, each, user);
		}
		tail += r.header.size;
	}
	__atomic_store_n(
		&page->data_tail, head,
		__ATOMIC_RELEASE); /* pairs: the kernel's load, before it writes there again */
}

/* Takes the wake-ups that have come, before what they are about is read: a later one is for a later drain. */
static void take_wakeups(struct sched *s)
{
	struct epoll_event events[16];
	long n;

	do {
		n = s->wait_file < 0 ? 0
				     : sys6(SYS_epoll_pwait, s->wait_file, events, 16, 0, NULL, 8);
		for (long i = 0; i < n; i++)
			if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0 &&
			    events[i].data.u32 < s->rings_count)
				s->rings[events[i].data.u32].is_over = true;
	} while (n == 16);
}

SIGSAFE void sched_drain(struct sched *s, sched_each each, void *user)
{
	uint64_t now_ns = clock_monotonic();

	s->ended = 0;
	take_wakeups(s);
	for (uint32_t i = 0; i < s->rings_count; i++)
		if (s->rings[i].map != NULL)
			drain_ring(s, &s->rings[i], each, user);
	s->wakes_often = s->ended > (now_ns - s->drained_ns) / ENDS_EVERY_NS;
	s->drained_ns = now_ns;
}

SIGSAFE void sched_drain_last(struct sched *s, sched_each each, void *user)
{
	sched_drain(s, each, user);
	if (!s->has_lost_count)
		return;
	for (uint32_t i = 0; i < s->rings_count; i++) {
		uint64_t total = 0, said[2]; /* of the event: its count, and what was lost */

		for (uint32_t f = i; f < s->files_count; f += s->rings_count)
			if (s->files[f] >= 0 &&
			    sys3(SYS_read, s->files[f], said, sizeof(said)) == sizeof(said))
				total += said[1];
		give_lost(&s->rings[i], clock_monotonic(), total, each, user);
	}
}

SIGSAFE bool sched_is_over(const struct sched *s)
{
	if (s->can_double)
		return false; /* the rings' own files are the first thread's */
	for (uint32_t i = 0; i < s->rings_count; i++)
		if (!s->rings[i].is_over)
			return false;
	return true;
}
