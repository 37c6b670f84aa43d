#include "core/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/rows.h"
#include "core/stacks.h"
#include "core/table.h"
#include "core/thread.h"

struct segment_live *segment_live_page;
/*
 * One for each process image; and in a child of fork its parent's, which a function may be at that a handler interrupted to fork.
 */
static struct segment segments[2];
static unsigned own; /* which of them */

static const char *const lost_names[LOST_KINDS][2] = {
	[LOST_STACKS_FULL] = {"stack table full", "samples"},
	[LOST_TABLE_FULL] = {"counter table full", "samples"},
	[LOST_THREADS] = {"threads without a timer", "threads"},
	[LOST_UNSAMPLED_NS] = {"CPU time without a sample", "ns"},
	[LOST_MODULES] = {"module list full", "modules"},
	[LOST_STRINGS] = {"string table full", "strings"},
	[LOST_STACK_ROOM] = {"alternate signal stack too small", "samples"},
	[LOST_HEAP_ROOM] = {"alternate signal stack too small", "blocks"},
	[LOST_CONFINED] = {"sampling stopped before a seccomp filter", "processes"},
	[LOST_CHILDREN] = {"child processes not followed", "processes"},
	[LOST_LIVE] = {"too many live blocks, a larger memory= holds more", "blocks"},
	[LOST_WAITS] = {"came where they could not be counted", "waits"},
	[LOST_RELEASES] = {"came where they could not be counted", "releases of locks"},
	[LOST_EVENTS] = {"no room in the trace's buffers", "events"},
	[LOST_OBJECTS] = {"more than the trace has numbers for", "locks"},
};

const char *segment_lost_name(enum segment_lost kind)
{
	return lost_names[kind][0];
}

const char *segment_lost_unit(enum segment_lost kind)
{
	return lost_names[kind][1];
}

/* FNV-1a: the header is small and the checksum guards against tearing and mix-ups, not against forgery. */
static uint64_t check_of(const struct segment_header *h)
{
	const uint8_t *bytes = (const uint8_t *)h;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct segment_header, check); i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static uint32_t power_of_two_below(uint64_t n)
{
	uint32_t p = 1;

	while ((uint64_t)p * 2 <= n && p < (UINT32_C(1) << 30))
		p *= 2;
	return p;
}

/* Grown, rather than more of them than there are bits for. */
static uint32_t chunk_bytes(uint64_t all)
{
	uint32_t bytes = TRACE_CHUNK_MIN_BYTES;

	while (all / bytes > TRACE_CHUNKS_MAX && bytes < TRACE_CHUNK_MAX_BYTES)
		bytes *= 2;
	return bytes;
}

static uint64_t chunk_count(uint64_t all)
{
	uint64_t n = all / chunk_bytes(all);

	return n < TRACE_CHUNKS_MAX ? n : TRACE_CHUNKS_MAX;
}

struct layout {
	uint64_t used, page;
	struct segment_header *header;
};

static void place(struct layout *l, unsigned index, uint64_t count, uint32_t stride)
{
	struct segment_place *p = &l->header->parts[index];

	p->offset = l->used;
	p->count = (uint32_t)count;
	p->stride = stride;
	l->used = (l->used + count * stride + l->page - 1) & ~(l->page - 1);
}

/*
 * How the bytes are shared out. Fractions of the whole, so that a small segment has a little of everything:
 * an eighth for what exists once, an eighth for live blocks, an eighth for chunks of the trace and five sixty-fourths for the
 * rest of it, half a sixty-fourth for what the program counts itself, three sixteenths for what lasts, and what is left for the
 * two generations, most of it for the words of stacks.
 */
static int lay_out(struct segment_header *h, uint64_t size)
{
	struct layout l = {sizeof(*h), 4096, h};
	uint64_t lasting = size / 16 * 3;
	uint64_t turns =
		(size - size / 8 * 3 - size / 64 * 5 - size / 128 - lasting) / SEGMENT_GENERATIONS;
	static const struct {
		enum segment_part table;
		unsigned columns, share; /* one part in so many of a generation */
		bool lasts;
	} tables[] = {
		{SEGMENT_TABLE_CPU, CPU_COLUMNS, 16, false},
		{SEGMENT_TABLE_WALL, WALL_COLUMNS, 16, false},
		{SEGMENT_TABLE_CREATE, CREATE_COLUMNS, 128, false},
		{SEGMENT_TABLE_BLOCK, BLOCK_COLUMNS, 32, false},
		{SEGMENT_TABLE_MUTEX, MUTEX_COLUMNS, 32, false},
		{SEGMENT_TABLE_HEAP, HEAP_COLUMNS, 4, true},
	};

	l.used = (l.used + l.page - 1) & ~(l.page - 1);
	place(&l, SEGMENT_THREADS, size / 32 / sizeof(struct thread_record),
	      sizeof(struct thread_record));
	place(&l, SEGMENT_MODULES, size / 128 / sizeof(struct segment_module),
	      sizeof(struct segment_module));
	place(&l, SEGMENT_STRING_BUCKETS, power_of_two_below(size / 512 / sizeof(uint32_t)),
	      sizeof(uint32_t));
	place(&l, SEGMENT_STRING_BYTES, size / 64, 1);
	place(&l, SEGMENT_LABEL_SETS,
	      power_of_two_below(size / 128 / sizeof(struct segment_label_set)),
	      sizeof(struct segment_label_set));
	place(&l, SEGMENT_ROWS, power_of_two_below(size / 64 / sizeof(struct row_slot)),
	      sizeof(struct row_slot));
	place(&l, SEGMENT_LIVE, power_of_two_below(size / 8 / LIVE_STRIDE), LIVE_STRIDE);
	place(&l, SEGMENT_CUSTOM, power_of_two_below(size / 128 / sizeof(uint64_t)),
	      sizeof(uint64_t));
	place(&l, SEGMENT_TRACE_CHUNKS, chunk_count(size / 8), chunk_bytes(size / 8));
	place(&l, SEGMENT_TRACE_THREADS, h->parts[SEGMENT_THREADS].count, TRACE_THREAD_STRIDE);
	place(&l, SEGMENT_TRACE_OBJECTS, size / 64 / TRACE_OBJECT_STRIDE, TRACE_OBJECT_STRIDE);
	place(&l, SEGMENT_TRACE_OBJECT_BUCKETS, power_of_two_below(size / 512 / sizeof(uint32_t)),
	      sizeof(uint32_t));
	for (unsigned g = 0; g < SEGMENT_SETS; g++) {
		unsigned at = g * (SEGMENT_PARTS - SEGMENT_STACK_BUCKETS);
		uint64_t each = g == SEGMENT_LASTING ? lasting : turns;

		place(&l, at + SEGMENT_STACK_BUCKETS,
		      power_of_two_below(each / 16 / sizeof(uint32_t)), sizeof(uint32_t));
		place(&l, at + SEGMENT_STACK_WORDS, each / 2 / sizeof(uint64_t), sizeof(uint64_t));
		for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
			place(&l, at + tables[i].table,
			      tables[i].lasts == (g == SEGMENT_LASTING)
				      ? power_of_two_below(each / tables[i].share /
							   TABLE_STRIDE(tables[i].columns))
				      : 0,
			      TABLE_STRIDE(tables[i].columns));
	}
	return l.used <= size ? 0 : -EINVAL;
}

static void give_access(struct segment_header *h, uint64_t size, struct segment *ret)
{
	*ret = (struct segment){.header = h, .base = (uint8_t *)h, .size = size};
	memcpy(ret->parts, h->parts, sizeof(ret->parts));
}

int segment_format(void *base, uint64_t size, struct segment *ret)
{
	struct segment_header *h = base;
	int r;

	if (size < SEGMENT_MIN_BYTES || size > SEGMENT_MAX_BYTES)
		return -EINVAL;
	memcpy(h->magic, SEGMENT_MAGIC, sizeof(h->magic));
	h->version = SEGMENT_VERSION;
	h->header_bytes = sizeof(*h);
	h->size = size;
	r = lay_out(h, size);
	if (r < 0)
		return r;
	h->check = check_of(h);
	atomic_store_explicit(&h->strings_used, 8, memory_order_relaxed); /* id 0 means none */
	for (uint32_t i = 0; i < h->parts[SEGMENT_TRACE_CHUNKS].count; i++)
		atomic_fetch_or_explicit(&h->trace_free[i / 64], UINT64_C(1) << i % 64,
					 memory_order_relaxed);
	atomic_store_explicit(&h->generations[0].serial, 1, memory_order_relaxed);
	atomic_store_explicit(&h->generations[SEGMENT_LASTING].serial, 1, memory_order_relaxed);
	for (unsigned g = 0; g < SEGMENT_SETS; g++)
		atomic_store_explicit(&h->generations[g].stack_used, STACKS_FIRST_ID,
				      memory_order_relaxed);
	give_access(h, size, ret);
	return 0;
}

int segment_attach(void *base, uint64_t size, struct segment *ret, struct why *why)
{
	static const uint32_t strides[SEGMENT_PARTS] = {
		sizeof(struct thread_record),
		sizeof(struct segment_module),
		sizeof(uint32_t),
		1,
		sizeof(struct segment_label_set),
		sizeof(struct row_slot),
		LIVE_STRIDE,
		sizeof(uint64_t),
		TRACE_CHUNK_MIN_BYTES,
		TRACE_THREAD_STRIDE,
		TRACE_OBJECT_STRIDE,
		sizeof(uint32_t),
		sizeof(uint32_t),
		sizeof(uint64_t),
		TABLE_STRIDE(CPU_COLUMNS),
		TABLE_STRIDE(WALL_COLUMNS),
		TABLE_STRIDE(CREATE_COLUMNS),
		TABLE_STRIDE(BLOCK_COLUMNS),
		TABLE_STRIDE(MUTEX_COLUMNS),
		TABLE_STRIDE(HEAP_COLUMNS),
	};
	struct segment_header copy = {
		0}; /* what is checked is what is used, whoever writes meanwhile */
	const struct segment_header *h = &copy;

	if (size >= SEGMENT_MIN_BYTES)
		memcpy(&copy, base, offsetof(struct segment_header, check) + sizeof(copy.check));
	if (memcmp(h->magic, SEGMENT_MAGIC, sizeof(h->magic)) != 0) {
		why_set(why, "not a cprof segment: it does not begin with \"%s\"", SEGMENT_MAGIC);
		return -EBADMSG;
	}
	if (h->version != SEGMENT_VERSION || h->header_bytes != sizeof(*h)) {
		why_set(why,
			"segment version %u, this cprof reads %u: use the cprof that came with its "
			"library",
			h->version, SEGMENT_VERSION);
		return -EBADMSG;
	}
	if (h->size != size || h->check != check_of(h)) {
		why_set(why, "segment header damaged: size %llu of %llu bytes, checksum %s",
			(unsigned long long)h->size, (unsigned long long)size,
			h->check == check_of(h) ? "right" : "wrong");
		return -EBADMSG;
	}
	for (unsigned i = 0; i < sizeof(h->parts) / sizeof(h->parts[0]); i++) {
		const struct segment_place *p = &h->parts[i];
		unsigned each = SEGMENT_PARTS - SEGMENT_STACK_BUCKETS;
		unsigned part =
			i < SEGMENT_PARTS ? i : SEGMENT_STACK_BUCKETS + (i - SEGMENT_PARTS) % each;
		bool is_table = part >= SEGMENT_TABLE_CPU;
		bool is_hash = part == SEGMENT_STRING_BUCKETS || part == SEGMENT_STACK_BUCKETS ||
			       part == SEGMENT_ROWS || part == SEGMENT_LABEL_SETS ||
			       part == SEGMENT_LIVE || part == SEGMENT_TRACE_OBJECT_BUCKETS ||
			       is_table;
		uint32_t stride =
			part == SEGMENT_TRACE_CHUNKS ? chunk_bytes(size / 8) : strides[part];

		if (p->stride != stride || p->offset % 8 != 0 || p->offset < sizeof(*h) ||
		    p->offset > size || (uint64_t)p->count * p->stride > size - p->offset ||
		    (p->count == 0 && !is_table) ||
		    (part == SEGMENT_TRACE_CHUNKS && p->count > TRACE_CHUNKS_MAX) ||
		    (is_hash && (p->count & (p->count - 1)) != 0)) {
			why_set(why,
				"segment part %u lies outside the segment or has an unknown shape",
				i);
			return -EBADMSG;
		}
	}
	give_access(base, size, ret);
	memcpy(ret->parts, h->parts, sizeof(ret->parts));
	return 0;
}

/* The bytes that limits of this process allow, at most @wanted. */
static uint64_t within_limits(uint64_t wanted)
{
	struct rlimit limit;

	/* ftruncate() beyond RLIMIT_FSIZE would end the host by SIGXFSZ, on a memfd too */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < wanted)
		wanted = limit.rlim_cur;
	/* address space is the host's to spend: with a limit on it, a thirty-second for this and as much for thread blocks */
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur / 32 < wanted)
		wanted = limit.rlim_cur / 32 > SEGMENT_MIN_BYTES ? limit.rlim_cur / 32
								 : SEGMENT_MIN_BYTES;
	return wanted & ~UINT64_C(4095);
}

static bool is_file_limited(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < SEGMENT_MIN_BYTES;
}

#define NOEXEC_SEAL 0x0008u /* MFD_NOEXEC_SEAL: vm.memfd_noexec=2 allows no other */

static int map_memfd(uint64_t size, void **ret_base, int *ret_fd)
{
	int fd = (int)syscall(SYS_memfd_create, "cprof",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
	void *base;
	int r;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = (int)syscall(SYS_memfd_create, "cprof", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		goto fail;
	/* a reader must not meet SIGBUS because the file shrank under it */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	base = mem_map_file(size, fd);
	if (base == NULL)
		goto fail;
	*ret_base = base;
	*ret_fd = fd;
	return 0;

fail:
	r = -errno;
	close(fd);
	return r;
}

int segment_create(uint64_t memory_bytes, struct segment **ret, int *ret_fd, struct why *why)
{
	uint64_t size = within_limits(memory_bytes);
	struct segment_header *h;
	void *base = NULL;
	int fd = -1, r;

	if (segment_live_page == NULL) {
		struct segment_live *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) < 0) {
			why_set(why, "no page that fork leaves empty: %s", strerrordesc_np(errno));
			return -errno;
		}
		segment_live_page = page;
	}
	do {
		if (size < SEGMENT_MIN_BYTES) {
			why_set(why,
				"%s leaves no room for %u KiB of shared memory, the least that is "
				"needed",
				is_file_limited() ? "the limit on the size of files (ulimit -f)"
						  : "the address space (ulimit -v)",
				(unsigned)(SEGMENT_MIN_BYTES >> 10));
			return -ENOMEM;
		}
		r = map_memfd(size, &base, &fd);
		if (r == -EAGAIN)
			r = -ENOMEM; /* beyond what may be locked, in a host that locks all it maps */
		if (r == -ENOMEM)
			size = size / 2 & ~UINT64_C(4095);
	} while (r == -ENOMEM);
	if (r < 0) {
		why_set(why, "no shared memory (memfd_create): %s", strerrordesc_np(-r));
		return r;
	}
	r = segment_format(base, size, &segments[own]);
	if (r < 0) {
		mem_unmap(base, size);
		close(fd);
		why_set(why, "the segment's layout does not fit in %llu bytes",
			(unsigned long long)size);
		return r;
	}
	h = segments[own].header;
	h->pid = getpid();
	h->begun_monotonic_ns = clock_monotonic();
	h->begun_realtime_ns = clock_realtime();
	atomic_store_explicit(&h->generations[0].begun_ns, h->begun_monotonic_ns,
			      memory_order_relaxed);
	atomic_store_explicit(&h->generations[SEGMENT_LASTING].begun_ns, h->begun_monotonic_ns,
			      memory_order_relaxed);
	*ret = &segments[own];
	*ret_fd = fd;
	return 0;
}

int segment_publish(struct segment *s)
{
	atomic_store_explicit(&segment_live_page->segment, s,
			      memory_order_release); /* pairs: segment_live */
	return 0;
}

struct segment *segment_own(void)
{
	return segments[own].base != NULL ? &segments[own] : NULL;
}

void segment_release(struct segment *s)
{
	mem_unmap(s->base, s->size);
	*s = (struct segment){0};
}

void segment_leave(struct segment *s)
{
	static struct segment left;
	static struct segment_header header;

	segment_release(&left);
	memcpy(&header, s->header, sizeof(header));
	memset(header.trace_free, 0, sizeof(header.trace_free));
	if (mmap(s->base, s->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
		segment_release(s);
		return;
	}
	memcpy(s->base, &header, sizeof(header));
	left = *s;
	*s = (struct segment){0};
}

void segment_disown(void)
{
	own ^= 1;
	segments[own] = (struct segment){0};
	if (segment_live_page != NULL)
		atomic_store_explicit(&segment_live_page->segment, NULL, memory_order_relaxed);
}

void segment_forget(void)
{
	if (segment_live_page != NULL)
		atomic_store_explicit(&segment_live_page->segment, NULL, memory_order_relaxed);
	segment_release(&segments[own]);
}

/* Zeroes a part; its pages go back to the kernel where the memory is a memfd's. */
static void wipe(struct segment *s, enum segment_part part, unsigned generation)
{
	const struct segment_place *place = segment_place(s, part, generation);
	uint64_t bytes = (uint64_t)place->count * place->stride;
	uint64_t pages =
		(bytes + 4095) &
		~UINT64_C(4095); /* lay_out() leaves what is behind it on its last page unused */

	if (pages > s->size - place->offset ||
	    madvise(s->base + place->offset, pages, MADV_REMOVE) < 0)
		memset(s->base + place->offset, 0, bytes);
}

int segment_recycle(struct segment *s, uint64_t needed, uint64_t wait_ns)
{
	unsigned now = atomic_load_explicit(&s->header->generation, memory_order_seq_cst);
	unsigned old = (now + 1) % SEGMENT_GENERATIONS;
	struct segment_generation *g;
	uint64_t serial;
	int r;

	if (now >= SEGMENT_GENERATIONS || s->header->is_kept)
		return -EBUSY;
	g = &s->header->generations[old];
	serial = atomic_load_explicit(&g->serial, memory_order_acquire);
	/* a greater one is the next, which a handler is just about to begin */
	if (serial == 0 || serial >= needed ||
	    serial >
		    atomic_load_explicit(&s->header->generations[now].serial, memory_order_acquire))
		return -EBUSY;

	/*
	 * Whoever comes in from here on sees that @old is not the one to write in. Who came when the one before it was
	 * has gone: it would have held up the wiping of that one.
	 */
	atomic_thread_fence(memory_order_seq_cst); /* pairs: thread_enter */
	r = thread_wait_generation(s, old, wait_ns);
	if (r < 0)
		return r;
	/* what leads to something before what it leads to, for a reader of a process that ends here */
	for (unsigned part = SEGMENT_PARTS; part-- > SEGMENT_STACK_BUCKETS;)
		wipe(s, (enum segment_part)part, old);
	atomic_store_explicit(&g->begun_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&g->stack_used, STACKS_FIRST_ID, memory_order_relaxed);
	atomic_store_explicit(&g->serial, 0,
			      memory_order_release); /* pairs: segment_next_generation */
	segment_count_note(s, NOTE_RECYCLED, 1);
	return 0;
}

static void copy_part(struct segment *to, const struct segment *from, enum segment_part part,
		      uint64_t count)
{
	const struct segment_place *place = segment_place(to, part, 0);

	if (count > place->count)
		count = place->count;
	memcpy(to->base + place->offset, from->base + place->offset, count * place->stride);
}

/*
 * The parent's other threads may be at work. So what refers to strings is copied before them, and the strings last:
 * what is referred to is then complete and below the copied @strings_used.
 */
void segment_copy_names(struct segment *s, const struct segment *from)
{
	struct segment_header *h = s->header, *f = from->header;
	uint32_t modules = atomic_load_explicit(&f->modules_high, memory_order_acquire), strings;

	if (s->size != from->size || h->check != f->check)
		return;
	h->program = f->program;
	h->executable = f->executable;
	copy_part(s, from, SEGMENT_MODULES, modules);
	atomic_store_explicit(&h->modules_high, modules, memory_order_relaxed);
	if (atomic_load_explicit(&f->label_sets_used, memory_order_relaxed) != 0)
		copy_part(s, from, SEGMENT_LABEL_SETS, UINT64_MAX);
	atomic_store_explicit(&h->label_sets_used,
			      atomic_load_explicit(&f->label_sets_used, memory_order_relaxed),
			      memory_order_relaxed);
	copy_part(s, from, SEGMENT_STRING_BUCKETS, UINT64_MAX);
	atomic_thread_fence(memory_order_acquire); /* pairs: segment_string release */
	strings = atomic_load_explicit(&f->strings_used, memory_order_relaxed);
	copy_part(s, from, SEGMENT_STRING_BYTES, strings);
	atomic_store_explicit(&h->strings_used, strings, memory_order_relaxed);
}
