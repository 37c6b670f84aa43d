/*
 * The container of a trace: what is whole is read, what is damaged is told and costs a block at most, what cannot be is refused.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/checksum.h"
#include "tests/tap.h"
#include "tests/unit/trace_sample.h"
#include "viewer/repair.h"
#include "viewer/varint.h"

/* All that there is to know of some bytes. */
struct seen {
	int error;
	bool is_damaged, has_loss;
	uint64_t events, good_blocks, bad_blocks, holes, needs_missing;
	struct verify v;
	char why[320], what[232];
};

static struct seen look(const void *bytes, size_t size)
{
	struct reader *r = NULL;
	struct streams s;
	struct tables t;
	struct seen seen = {0};
	struct why why = {""};

	seen.error = reader_open_bytes(&r, "test", bytes, size, &why);
	memcpy(seen.why, why.text, sizeof(seen.why));
	if (seen.error < 0)
		return seen;
	tables_init(&t);
	seen.error = streams_init(&s, r);
	if (seen.error == 0)
		seen.error = verify_trace(&seen.v, r, &s, &t, NULL, &why);
	seen.is_damaged = verify_is_damaged(&seen.v, r, &s);
	seen.has_loss = verify_has_loss(&seen.v, r, &s);
	seen.events = seen.v.events;
	seen.good_blocks = seen.v.blocks - seen.v.blocks_bad;
	seen.bad_blocks = seen.v.blocks_bad;
	seen.holes = s.holes_n;
	if (r->damages_kept > 0)
		memcpy(seen.what, r->damages[0].what, sizeof(seen.what));
	tables_fini(&t);
	streams_fini(&s);
	reader_close(r);
	return seen;
}

static void test_checksums(void)
{
	uint8_t bytes[300];
	bool is_same = true;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 3);
	is_u64(checksum_crc32c(0, "123456789", 9), 0xe3069283, "CRC-32C as everybody has it");
	is_u64(checksum_xxh32("", 0), 0x02cc5d05, "xxh32 of nothing");
	for (unsigned n = 0; n < sizeof(bytes); n++)
		is_same = is_same && checksum_crc32c(0, bytes, n) == made_crc(bytes, n, 0) &&
			  checksum_xxh32(bytes, n) == made_xxh32(bytes, n);
	ok(is_same, "both, of every length, as another implementation has them");
	is_u64(checksum_crc32c(checksum_crc32c(0, bytes, 100), bytes + 100, 200),
	       checksum_crc32c(0, bytes, 300), "in two steps");
}

static void test_varint(void)
{
	static const uint8_t too_long[32] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					     0x80, 0x80, 0x80, 0x80, 0x01};
	static const uint8_t too_large[32] = {0xff, 0xff, 0xff, 0xff, 0xff,
					      0xff, 0xff, 0xff, 0xff, 0x02};
	static const uint8_t padded[32] = {0x81, 0x80, 0x00};
	uint8_t bytes[32] = {0};
	uint64_t value = 0;
	bool is_same = true;

	for (unsigned bit = 0; bit < 64; bit++) {
		for (int64_t more = -1; more <= 1; more++) {
			uint64_t number = (UINT64_C(1) << bit) + (uint64_t)more;
			const uint8_t *end;

			memset(bytes, 0xff, sizeof(bytes));
			end = varint_put(bytes, number);
			is_same = is_same && varint_get(bytes, &value) == end && value == number;
			is_same = is_same &&
				  varint_signed(ZIGZAG((int64_t)number)) == (int64_t)number;
		}
	}
	ok(is_same, "numbers of every length come back");
	ok(varint_get(too_long, &value) == NULL, "one that does not end is none");
	ok(varint_get(too_large, &value) == NULL, "one of more than 64 bits is none");
	ok(varint_get(padded, &value) == padded + 3 && value == 1,
	   "one that is longer than it needs to be");
}

static void test_whole(void)
{
	struct made m = {0}, packed = {.is_packed = true};
	struct seen seen;

	make_sample(&m);
	seen = look(m.file.at, m.file.n);
	is_u64(seen.error, 0, "a trace is opened");
	ok(!seen.is_damaged && seen.has_loss, "it is whole, and tells of what was lost");
	is_u64(seen.events, SAMPLE_EVENTS, "all events");
	is_u64(seen.good_blocks, SAMPLE_BLOCKS, "all blocks");
	is_u64(seen.v.lost, 12, "what was lost");
	is_u64(seen.v.generations, 2, "generations");
	make_sample(&packed);
	ok(packed.file.n < m.file.n, "packed it is smaller");
	seen = look(packed.file.at, packed.file.n);
	ok(!seen.is_damaged && seen.events == SAMPLE_EVENTS, "and the same");
	made_free(&m);
	made_free(&packed);
}

/* The new trace that repair makes of @bytes, from malloc; NULL when they are no trace. */
static uint8_t *repaired(const void *bytes, size_t size, size_t *ret_size)
{
	int fd = memfd_create("repaired", MFD_CLOEXEC);
	struct reader *r = NULL;
	struct streams s;
	struct tables t;
	struct verify v;
	struct repair done;
	struct why why = {""};
	uint8_t *out = NULL;
	ssize_t n = -1;

	if (reader_open_bytes(&r, "test", bytes, size, &why) < 0) {
		close(fd);
		return NULL;
	}
	tables_init(&t);
	if (streams_init(&s, r) == 0 && verify_trace(&v, r, &s, &t, NULL, &why) == 0 &&
	    repair_write(&done, r, &s, &t, &v, fd, NULL, &why) == 0) {
		out = malloc(done.bytes + 1);
		n = pread(fd, out, done.bytes, 0);
		*ret_size = n == (ssize_t)done.bytes ? done.bytes : 0;
	}
	tables_fini(&t);
	streams_fini(&s);
	reader_close(r);
	close(fd);
	return out;
}

/* Is it a row of LZ4's frames, as lz4 -t has it? By the bytes alone. */
static bool is_lz4(const uint8_t *at, size_t n)
{
	const uint8_t *end = at + n;

	while (end - at >= 8) {
		uint32_t magic = made_word(at), size = made_word(at + 4);

		if ((magic & 0xfffffff0) == 0x184D2A50) {
			if (size > end - at - 8)
				return false;
			at += 8 + size;
			continue;
		}
		if (magic != 0x184D2204 || at[4] != 0x70 ||
		    at[6] != (made_xxh32(at + 4, 2) >> 8 & 0xff))
			return false;
		at += 7;
		while (end - at >= 4 && (size = made_word(at) & 0x7fffffff) != 0) {
			if (size + 8 > (size_t)(end - at) ||
			    made_xxh32(at + 4, size) != made_word(at + 4 + size))
				return false;
			at += 8 + size;
		}
		if (end - at < 4)
			return false;
		at += 4;
	}
	return at == end;
}

/* A repaired trace has all that was good, and is whole. */
static bool is_repaired(const void *bytes, size_t size, const struct seen *before)
{
	size_t new_size = 0;
	uint8_t *new = repaired(bytes, size, &new_size);
	struct seen after;
	bool is_good;

	if (new == NULL)
		return false;
	after = look(new, new_size);
	is_good = after.error == 0 && !after.is_damaged && after.events == before->events &&
		  after.bad_blocks == 0 && is_lz4(new, new_size);
	if (!is_good)
		note("repaired: error %d, events %" PRIu64 " of %" PRIu64 ", bad %" PRIu64 ", %s",
		     after.error, after.events, before->events, after.bad_blocks, after.what);
	free(new);
	return is_good;
}

/* How many blocks end before @size. */
static unsigned whole_blocks(const struct made *m, size_t size)
{
	unsigned n = 0;

	/* what follows the last block is the trailer: 8 + 32 bytes */
	while (n + 1 < m->blocks_n && m->blocks[n + 1] <= size)
		n++;
	return n + (n + 1 == m->blocks_n && size >= m->file.n - 40);
}

static void test_cut(bool is_packed)
{
	struct made m = {.is_packed = is_packed};
	unsigned wrong = 0, refused = 0, not_repaired = 0;

	make_sample(&m);
	for (size_t size = 0; size < m.file.n; size++) {
		uint8_t *cut = malloc(size + 1); /* so that a sanitizer sees where it ends */
		struct seen seen;

		memcpy(cut, m.file.at, size);
		seen = look(cut, size);
		refused += seen.error < 0;
		if (seen.error < 0 && (size >= 72 || seen.why[0] == '\0'))
			wrong++;
		if (seen.error == 0 &&
		    (!seen.is_damaged || seen.good_blocks != whole_blocks(&m, size))) {
			note("cut at %zu: %" PRIu64 " blocks of %u, %s", size, seen.good_blocks,
			     whole_blocks(&m, size), seen.what);
			wrong++;
		}
		if (seen.error == 0 && size % 3 == 0)
			not_repaired += !is_repaired(cut, size, &seen);
		free(cut);
	}
	is_u64(wrong, 0, "%s: cut at every byte, all whole blocks are read",
	       is_packed ? "packed" : "as it is");
	is_u64(refused, 72, "only without a whole header it is no trace");
	is_u64(not_repaired, 0, "and repaired it is whole");
	made_free(&m);
}

static void test_flipped(uint8_t with)
{
	struct made m = {.is_packed = with & 1};
	unsigned wrong = 0, unseen = 0, not_repaired = 0;

	make_sample(&m);
	for (size_t at = 0; at < m.file.n; at++) {
		uint8_t *flipped = malloc(m.file.n);
		struct seen seen;

		memcpy(flipped, m.file.at, m.file.n);
		flipped[at] ^= with;
		seen = look(flipped, m.file.n);
		if (seen.error < 0 || seen.good_blocks + 1 < SAMPLE_BLOCKS) {
			note("flipped at %zu: error %d, %" PRIu64 " blocks, %s %s", at, seen.error,
			     seen.good_blocks, seen.why, seen.what);
			wrong++;
		}
		unseen += !seen.is_damaged;
		if (at % 7 == 0)
			not_repaired += !is_repaired(flipped, m.file.n, &seen);
		free(flipped);
	}
	is_u64(wrong, 0, "every byte ^ %#x: a block is lost at most", with);
	is_u64(unseen, 0, "and it is always noticed");
	is_u64(not_repaired, 0, "and repaired it is whole");
	made_free(&m);
}

/* Bytes that are gone, or too many, anywhere: nothing is lost but the block they are in. */
static void test_moved(void)
{
	struct made m = {.is_packed = true};
	unsigned wrong = 0;

	make_sample(&m);
	for (size_t at = 0; at < m.file.n; at += 5) {
		uint8_t *bytes = malloc(m.file.n + 9);
		struct seen seen;

		memcpy(bytes, m.file.at, at);
		memcpy(bytes + at, m.file.at + at + 1, m.file.n - at - 1);
		seen = look(bytes, m.file.n - 1);
		wrong += seen.error < 0 || seen.good_blocks + 1 < SAMPLE_BLOCKS || !seen.is_damaged;
		memset(bytes + at, 0x5c, 9);
		memcpy(bytes + at + 9, m.file.at + at, m.file.n - at);
		seen = look(bytes, m.file.n + 9);
		wrong += seen.error < 0 || seen.good_blocks + 1 < SAMPLE_BLOCKS || !seen.is_damaged;
		free(bytes);
	}
	is_u64(wrong, 0, "a byte less, or nine more: a block is lost at most");
	/* a block that is gone without a trace but its number, and the footer's list */
	{
		size_t from = m.blocks[11], to = m.blocks[12];
		struct seen seen;

		memmove(m.file.at + from, m.file.at + to, m.file.n - to);
		seen = look(m.file.at, m.file.n - (to - from));
		ok(seen.error == 0 && seen.is_damaged && seen.good_blocks == SAMPLE_BLOCKS - 1,
		   "a block that was taken out is noticed");
		ok(seen.v.listed_missing > 0, "the footer lists it");
	}
	made_free(&m);
}

static void one_event(struct made *m, struct made_block b)
{
	b.kind = b.kind != 0 ? b.kind : MADE_EVENTS;
	b.thread = 1;
	b.first_ns = b.last_ns = b.last_ns != 0 ? b.last_ns : MADE_BEGUN;
	made_event(m, 67, 0, 1, U(1));
	made_end_block(m, b);
}

static void test_versions(void)
{
	struct made m = {.major = 3};
	struct seen seen;

	make_sample(&m);
	seen = look(m.file.at, m.file.n);
	ok(seen.error == -ENOTSUP && strstr(seen.why, "3.0") != NULL,
	   "a newer major is refused: %s", seen.why);
	made_free(&m);

	m = (struct made){.minor = 1};
	made_begin(&m);
	sample_tables(&m);
	one_event(&m, (struct made_block){
			      .header_more = 24, .has_summary = true, .summary = {[11] = 1}});
	made_event(&m, 77, 0, 1, U(1));
	made_end_block(&m, (struct made_block){.kind = 99});
	one_event(&m, (struct made_block){.sequence = 1});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	ok(seen.error == 0 && !seen.is_damaged,
	   "a newer minor: longer headers and other blocks are passed over");
	is_u64(seen.events, 2, "and events are read");
	made_free(&m);

	m = (struct made){0};
	made_begin(&m);
	made_event(&m, 67, 0, 1, U(1));
	made_event(&m, 201, 0, 1, U(1));
	made_event(&m, 67, 0, 1, U(1));
	made_end_block(&m, (struct made_block){
				   .kind = MADE_EVENTS, .thread = 1, .first_ns = 1, .last_ns = 1});
	one_event(&m, (struct made_block){.sequence = 1});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	ok(!seen.is_damaged && seen.has_loss && seen.events == 2 && seen.v.unreadable == 2,
	   "a type that nobody declared ends its block: %s", seen.v.undeclared_what);
	ok(is_repaired(m.file.at, m.file.n, &seen), "which is not damaged, and is kept");
	made_free(&m);
}

/* Each is a header whose checksum is right. */
static void test_hostile(void)
{
	static const struct {
		const char *about;
		struct made_block block;
	} cases[] = {
		{"a payload of 4 GiB", {.raw_claimed = UINT32_MAX}},
		{"more than a block may have", {.raw_claimed = (1 << 20) + 1}},
		{"more than the payload has", {.raw_claimed = 100}},
		{"less than the payload has", {.raw_claimed = 2}},
		{"a frame of 4 GiB", {.stored_claimed = UINT32_MAX}},
		{"a frame that goes beyond the file",
		 {.raw_claimed = 1 << 20, .stored_claimed = 1 << 20}},
		{"a frame of nothing", {.stored_claimed = 1}},
		{"a frame that is too long", {.stored_claimed = 23}},
		{"four thousand million events", {.records_claimed = UINT32_MAX}},
		{"an event more", {.records_claimed = 2, .raw_claimed = 0}},
		{"a time that no clock has", {.last_ns = UINT64_MAX}},
	};
	struct made m;
	struct seen seen;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = (struct made){0};
		made_begin(&m);
		one_event(&m, (struct made_block){0});
		m.listed_n = 1;
		{
			struct made_block b = cases[i].block;

			b.sequence = 1;
			one_event(&m, b);
		}
		one_event(&m, (struct made_block){.sequence = 2});
		made_end(&m, 1, 0);
		seen = look(m.file.at, m.file.n);
		ok(seen.error == 0 && seen.is_damaged && seen.events >= 2 && seen.events <= 3,
		   "%s: %s", cases[i].about, seen.what);
		made_free(&m);
	}
}

/*
 * A block that is damaged has the beginning of another within it, which would go beyond the file's end, and such a one follows
 * it. Whoever goes back to look within it gets to the same place again.
 */
static void test_back_and_forth(void)
{
	struct made m = {0}, inner = {0};
	struct seen seen;

	made_event(&inner, 67, 0, 1, U(1));
	made_end_block(&inner, (struct made_block){.kind = MADE_EVENTS,
						   .raw_claimed = 1 << 20,
						   .stored_claimed = 1 << 20});
	made_begin(&m);
	made_put(&m.payload, inner.file.at, inner.file.n);
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS, .records = 1});
	m.file.at[m.file.n - 5] ^= 1; /* the payload's checksum */
	made_put(&m.file, inner.file.at, inner.file.n);
	seen = look(m.file.at, m.file.n);
	ok(seen.error == 0 && seen.is_damaged, "looking within a damaged block comes to an end");
	made_free(&inner);
	made_free(&m);
}

static void test_ids(void)
{
	struct made m = {0};
	struct seen seen;

	made_begin(&m);
	made_event(&m, 36, 0, 1, U(7));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .first_ns = 1,
					       .last_ns = 1,
					       .needs = {0, 0, 7}});
	made_event(&m, 36, 0, 1, U(6));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .sequence = 1,
					       .first_ns = 1,
					       .last_ns = 1,
					       .needs = {0, 0, 7}});
	made_event(&m, 18, 0, 8, U(1), UINT64_MAX, UINT64_MAX, U(0), UINT64_MAX, UINT64_MAX,
		   UINT64_MAX, U(0));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .sequence = 2,
					       .first_ns = 1,
					       .last_ns = 1});
	made_event(&m, 67, 5, 1, U(1));
	made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
					       .thread = 1,
					       .sequence = 3,
					       .first_ns = 1,
					       .last_ns = 1,
					       .span = 4});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	is_u64(seen.bad_blocks, 2,
	       "identifiers at the mark, and times behind the end, are damage: %s", seen.what);
	is_u64(seen.events, 2, "below it, and of any size otherwise, they are not");
	is_u64(seen.v.needs_missing[NEEDS_OBJECTS], 2,
	       "blocks that need what no table has are counted");
	made_free(&m);
}

static void test_holes(void)
{
	struct made m = {0};
	struct seen seen;

	made_begin(&m);
	one_event(&m, (struct made_block){0});
	one_event(&m, (struct made_block){.sequence = 2});
	one_event(&m, (struct made_block){.sequence = 5, .flags = 2});
	one_event(&m, (struct made_block){.sequence = 5});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	ok(seen.holes == 2 && seen.is_damaged, "holes in the numbers");
	is_u64(seen.bad_blocks, 1, "a number that comes twice");
	is_u64(seen.events, 3, "counts once");
	made_free(&m);

	m = (struct made){.flags = 1 << 6};
	m.table_sequence = 9;
	made_begin(&m);
	sample_tables(&m);
	one_event(&m, (struct made_block){.sequence = 7});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	ok(seen.holes == 0 && !seen.is_damaged, "a ring begins with any number");
	made_free(&m);

	m = (struct made){0};
	made_begin(&m);
	one_event(&m, (struct made_block){0});
	m.flags = 0;
	m.table_sequence = 3;
	made_string(&m, 1, "a");
	made_end_block(&m, (struct made_block){.kind = MADE_STRINGS});
	made_end(&m, 1, 0);
	seen = look(m.file.at, m.file.n);
	ok(seen.holes == 1 && seen.is_damaged, "tables that are missing");
	made_free(&m);
}

static void test_refused(void)
{
	static const char text[] = "Hello, this is something else, and longer than a header";
	struct made m = {0};
	struct seen seen;

	seen = look("", 0);
	ok(seen.error == -EBADMSG && strstr(seen.why, "empty") != NULL, "%s", seen.why);
	seen = look(text, sizeof(text));
	ok(seen.error == -EBADMSG && strstr(seen.why, "no trace") != NULL, "%s", seen.why);
	seen = look("\x1f\x8b\x08\0\0\0\0\0\0\0", 10);
	ok(seen.error == -EBADMSG && strstr(seen.why, "gzip") != NULL, "%s", seen.why);
	make_sample(&m);
	m.file.at[20] ^= 1;
	seen = look(m.file.at, m.blocks[1]);
	ok(seen.error == 0 && seen.is_damaged, "a header that is damaged, and a block behind it");
	seen = look(m.file.at, 100);
	ok(seen.error == -EBADMSG && strstr(seen.why, "damaged") != NULL, "%s", seen.why);
	/* two in one file */
	m.file.at[20] ^= 1;
	{
		size_t n = m.file.n;
		uint8_t *twice = malloc(2 * n);

		memcpy(twice, m.file.at, n);
		memcpy(twice + n, m.file.at, n);
		seen = look(twice, 2 * n);
		ok(seen.events == SAMPLE_EVENTS && seen.is_damaged &&
			   strstr(seen.what, "first trace") != NULL,
		   "%s", seen.what);
		free(twice);
	}
	made_free(&m);
	seen.error = 0;
	{
		struct reader *r = NULL;
		struct why why = {""};

		ok(reader_open(&r, "/no/such/file", NULL, &why) == -ENOENT && why.text[0] != '\0',
		   "%s", why.text);
		ok(reader_open(&r, "/", NULL, &why) == -EISDIR, "%s", why.text);
	}
}

/* More blocks than one footer has room for. */
static void test_many(void)
{
	struct made m = {0};
	uint32_t n = 20000;
	struct seen seen;

	made_begin(&m);
	for (uint32_t i = 0; i < n; i++)
		one_event(&m, (struct made_block){.sequence = i});
	seen = look(m.file.at, m.file.n);
	is_u64(seen.events, n, "many small blocks");
	ok(is_repaired(m.file.at, m.file.n, &seen), "repaired, with footers as many as it takes");
	made_free(&m);
}

static void test_pack(void)
{
	struct made m = {0};
	struct reader *r = NULL;
	uint8_t *raw = malloc(TRACE_RAW_MAX), *packed = malloc(TRACE_RAW_MAX + READER_FRAME_MORE);
	uint8_t *back = malloc(TRACE_RAW_MAX + READER_PAD);
	struct why why;
	unsigned wrong = 0;
	static const uint32_t sizes[] = {0, 1, 19, 65536, 65537, 262145, TRACE_RAW_MAX};

	make_sample(&m);
	for (uint32_t i = 0; i < TRACE_RAW_MAX; i++)
		raw[i] = (uint8_t)(i % 1000 < 500 ? i : i * i >> 7);
	for (unsigned i = 0; i < 7; i++) {
		struct reader_block b = {.raw_bytes = sizes[i]};

		b.stored_bytes = reader_pack(raw, sizes[i], packed);
		wrong += !is_lz4(packed, b.stored_bytes);
		if (reader_open_bytes(&r, "test", m.file.at, m.file.n, &why) < 0)
			continue;
		source_from_bytes(&r->source, packed, b.stored_bytes);
		r->stored = realloc(r->stored, b.stored_bytes + 1);
		wrong += reader_load(r, &b, back, &why) != 0 || memcmp(raw, back, sizes[i]) != 0;
		reader_close(r);
	}
	is_u64(wrong, 0, "what is packed is LZ4, and comes back");
	free(raw);
	free(packed);
	free(back);
	made_free(&m);
}

int main(void)
{
	plan_begin();
	test_checksums();
	test_varint();
	test_whole();
	test_cut(false);
	test_cut(true);
	test_flipped(0xff);
	test_flipped(0x01);
	test_flipped(0x80);
	test_moved();
	test_versions();
	test_hostile();
	test_back_and_forth();
	test_ids();
	test_holes();
	test_refused();
	test_many();
	test_pack();
	return plan_end();
}
