/* output/memory: sums of a heap's rows, and what the kernel says of a process. */
#include "output/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/table.h"
#include "tests/unit/segment_make.h"

static void add(struct segment *s, uint32_t stack, uint64_t blocks, uint64_t bytes, uint64_t freed,
		uint64_t freed_bytes)
{
	uint64_t values[HEAP_COLUMNS] = {blocks, bytes, freed, freed_bytes};

	ok(table_add(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING, stack, 0, values), "a row");
}

int main(void)
{
	struct segment s = segment_make(8 << 20);
	struct memory_reader reader = {0};
	struct memory_now now = {0};
	uint64_t at = clock_monotonic();
	int pid = getpid();

	plan_begin();
	ok(memory_read(&reader, &s, pid, at, &now), "the first reading");
	is_u64(now.live_bytes + now.allocated_bytes + now.live_objects + now.freed_bytes, 0,
	       "no heap profile");
	ok(now.mapped_bytes > now.rss_bytes && now.rss_bytes > 100000, "the kernel's numbers");
	ok(!memory_read(&reader, &s, pid, at + 1000000, &now), "not again after a millisecond");

	atomic_store(&s.header->runs[RUN_HEAP].period, 1);
	add(&s, 2, 10, 1000, 4, 400);
	add(&s, 3, 1, 5000, 1, 5000);
	at = reader.next_ns;
	ok(memory_read(&reader, &s, pid, at, &now), "when it is due");
	is_u64(now.allocated_bytes, 6000, "allocated");
	is_u64(now.live_bytes, 600, "live");
	is_u64(now.live_objects, 6, "blocks");
	is_u64(now.freed_bytes, 5400, "freed");

	atomic_store(&s.header->runs[RUN_HEAP].period, 1000);
	add(&s, 4, 0, 0, 1, 100); /* its allocation is not there yet */
	ok(memory_read(&reader, &s, pid, reader.next_ns, &now), "sampled");
	/* 600 bytes in 6 blocks: each stands for 1 / (1 - exp(-100/1000)) */
	is_u64(now.live_objects, 63, "what they stand for");
	ok(now.live_bytes > 6300 && now.live_bytes < 6310, "bytes of it");

	add(&s, 5, 1, 100, 0, 0);
	pid = 0x7ffffff0;
	ok(memory_read(&reader, &s, pid, reader.next_ns, &now) && now.live_objects > 63 &&
		   now.mapped_bytes == 0 && now.rss_bytes == 0,
	   "a process that is gone: what it had");
	ok(!memory_read(&reader, &s, pid, reader.next_ns, &now), "once");
	segment_unmake(&s);
	return plan_end();
}
