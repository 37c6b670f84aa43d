/*
 * A process that scribbles in its own segment while its trace is drained: each pass ends, nothing is read beyond the segment, and
 * memory stays bounded. The input is what the process does: a row of steps, some of them passes. Built with -fsanitize=fuzzer;
 * see `make fuzz`.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/stacks.h"
#include "tracer/chunk.h"
#include "tracer/drain.h"
#include "tracer/object.h"

#define BYTES      SEGMENT_MIN_BYTES
#define GUARD      (UINT64_C(1) << 30) /* what lies behind the segment is nobody's */
#define STEPS_MAX  64
#define STEP_BYTES 8

enum step { STEP_PATCH, STEP_CHUNK, STEP_PASS, STEP_KINDS };

/* What is changed in the segment is undone behind each input: where, and how much. */
static struct {
	size_t where, bytes;
} changes[STEPS_MAX];
static unsigned changes_n;
static uint8_t *original, *shared;
static int nowhere;

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void make(void)
{
	uint64_t frames[3] = {0x400100, (UINT64_C(1) << 48) | 0x400200, FRAME_TRUNCATED};
	struct segment s;

	original = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, BYTES + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		      -1, 0);
	check(original != MAP_FAILED && shared != MAP_FAILED &&
	      mprotect(shared, BYTES, PROT_READ | PROT_WRITE) == 0 &&
	      segment_format(original, BYTES, &s) == 0);
	nowhere = open("/dev/null", O_WRONLY);
	s.header->pid = 0;
	s.header->trace_base_ns = 1000;
	s.header->trace_shift = 3;
	s.header->runs[RUN_TRACE].setting = 15;
	s.header->trace_serial = UINT32_MAX;
	*segment_module_at(&s, 0) =
		(struct segment_module){.start = 0x400000,
					.end = 0x480000,
					.path = segment_string(&s, "/a/file", 7),
					.state = MODULE_LOADED};
	s.header->modules_high = 1;
	stacks_intern(&s, SEGMENT_LASTING, frames, 3);
	memcpy(shared, original, BYTES);
}

/* The header's checksum as segment.c has it. */
static void seal(struct segment_header *h)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct segment_header, check); i++)
		sum = (sum ^ ((const uint8_t *)h)[i]) * UINT64_C(0x100000001b3);
	h->check = sum;
}

static size_t put(size_t where, const void *bytes, size_t n)
{
	if (changes_n == STEPS_MAX || where >= BYTES)
		return 0;
	n = n < BYTES - where ? n : BYTES - where;
	memcpy(shared + where, bytes, n);
	changes[changes_n].where = where;
	changes[changes_n++].bytes = n;
	return n;
}

/* A chunk as its thread would leave it, with anything for events. */
static void put_chunk(const uint8_t *step, const uint8_t *bytes, size_t n)
{
	const struct segment_header *h = (const struct segment_header *)original;
	const struct segment_place *place = &h->parts[SEGMENT_TRACE_CHUNKS];
	uint32_t index = step[1] % place->count,
		 room = place->stride - (uint32_t)sizeof(struct trace_chunk);
	union {
		struct trace_chunk c;
		uint8_t bytes[sizeof(struct trace_chunk) + 256];
	} made;

	n = n < 256 ? n : 256;
	memset(&made, 0, sizeof(made.c));
	made.c.serial = step[2] + 1u;
	made.c.first_ticks = 100;
	made.c.thread = step[3];
	made.c.tid = step[3];
	made.c.sequence = step[4];
	made.c.record = step[5];
	made.c.flags = step[6] & CHUNK_LAST;
	made.c.room = room;
	made.c.word =
		UINT64_C(200) << 16 | (step[6] & 2 ? CHUNK_CLOSED : 0) | (step[6] & 4 ? 0x7fff : n);
	if (step[6] & 8)
		made.c.gaps[0] = (uint32_t)step[7] << 16 | (step[7] + 5u);
	memcpy(made.bytes + offsetof(struct trace_chunk, bytes), bytes, n);
	put(place->offset + (size_t)index * place->stride, &made,
	    offsetof(struct trace_chunk, bytes) + n);
	((struct segment_header *)shared)->trace_free[index / 64] &= ~(UINT64_C(1) << index % 64);
}

/* Near the start of a part, or anywhere. */
static void patch(const uint8_t *step, const uint8_t *bytes, size_t n)
{
	const struct segment_header *h = (const struct segment_header *)original;
	uint32_t where;

	memcpy(&where, step + 2, sizeof(where));
	if (step[1] < SEGMENT_PLACES)
		where = (uint32_t)h->parts[step[1]].offset + where % 4096;
	else if (step[1] & 1)
		where %= sizeof(*h);
	put(where % BYTES, bytes, n);
}

static int open_nowhere(void *user)
{
	(void)user;
	return dup(nowhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct drain_setup setup = {.door = (struct segment_header *)shared, .open = open_nowhere};
	struct drain *d = NULL;
	struct why why = {""};

	if (original == NULL)
		make();
	setup.door = (struct segment_header *)shared;
	while (end - data > STEP_BYTES + 1) {
		const uint8_t *step = data, *bytes = data + STEP_BYTES + 1;
		size_t n = data[STEP_BYTES];

		n = n < (size_t)(end - bytes) ? n : (size_t)(end - bytes);
		data = bytes + n;
		switch (step[0] % STEP_KINDS) {
		case STEP_PATCH:
			patch(step, bytes, n);
			break;
		case STEP_CHUNK:
			put_chunk(step, bytes, n);
			break;
		case STEP_PASS:
			if (d == NULL) {
				/* a generation in each pass, or one for all */
				setup.ring.ns = step[1] & 2 ? 4 : 0;
				if (step[1] & 1)
					seal((struct segment_header *)shared);
				if (segment_attach(shared, BYTES, &setup.segment, &why) < 0 ||
				    drain_create(&d, &setup) < 0)
					goto out;
			}
			drain_pass(d);
			break;
		}
	}
	if (d != NULL)
		drain_end(d, TRACE_END_UNKNOWN, 0);
out:
	drain_destroy(d);
	while (changes_n > 0) {
		changes_n--;
		memcpy(shared + changes[changes_n].where, original + changes[changes_n].where,
		       changes[changes_n].bytes);
	}
	memcpy(shared, original, sizeof(struct segment_header));
	return 0;
}
