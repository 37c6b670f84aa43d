#include "output/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/table.h"
#include "output/unsample.h"

#define EVERY_NS (NS_PER_SECOND / 100)
#define SHARE    100 /* it takes one part in so many of a processor */

struct sum {
	uint64_t mean;
	struct memory_now *now;
};

/* One row: blocks and bytes that were allocated, and that were freed. */
static int add_row(void *user, const struct table_row *row)
{
	struct sum *sum = user;
	int64_t blocks = (int64_t)row->values[0], bytes = (int64_t)row->values[1];
	/* a free may have been counted that the allocation's columns do not show yet */
	int64_t live =
		row->values[0] > row->values[2] ? (int64_t)(row->values[0] - row->values[2]) : 0;
	int64_t live_bytes =
		row->values[1] > row->values[3] ? (int64_t)(row->values[1] - row->values[3]) : 0;

	unsample(sum->mean, &blocks, &bytes);
	unsample(sum->mean, &live, &live_bytes);
	sum->now->allocated_bytes += (uint64_t)bytes;
	sum->now->live_objects += (uint64_t)live;
	sum->now->live_bytes += (uint64_t)live_bytes;
	return 0;
}

static void read_heap(const struct segment *s, struct memory_now *now)
{
	struct sum sum = {
		atomic_load_explicit(&s->header->runs[RUN_HEAP].period, memory_order_relaxed), now};

	if (sum.mean == 0)
		return;
	table_read(s, SEGMENT_TABLE_HEAP, add_row, &sum);
	if (now->allocated_bytes > now->live_bytes)
		now->freed_bytes = now->allocated_bytes - now->live_bytes;
}

static void read_kernel(int pid, struct memory_now *now)
{
	unsigned long long pages, resident;
	char path[32], text[128];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%llu %llu", &pages, &resident) != 2)
		return;
	now->mapped_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	now->rss_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool memory_read(struct memory_reader *r, const struct segment *s, int pid, uint64_t now_ns,
		 struct memory_now *ret)
{
	struct memory_now now = {0};
	uint64_t began_ns, took_ns;

	if (now_ns < r->next_ns)
		return false;
	/* its own time: on a busy machine a look may last long, and cost little */
	began_ns = clock_read(CLOCK_THREAD_CPUTIME_ID);
	read_heap(s, &now);
	read_kernel(pid, &now);
	took_ns = clock_read(CLOCK_THREAD_CPUTIME_ID) - began_ns;
	r->next_ns = now_ns + (took_ns * SHARE > EVERY_NS ? took_ns * SHARE : EVERY_NS);
	if ((now.mapped_bytes == 0 && now.allocated_bytes == 0) ||
	    memcmp(&now, &r->last, sizeof(now)) == 0)
		return false;
	r->last = *ret = now;
	return true;
}
