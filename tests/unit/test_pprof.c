/*
 * profile.proto and gzip: what is written reads back, what Go wrote too, and what is refused says
 * why.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "output/gzip.h"
#include "output/pprof.h"
#include "tests/tap.h"

/* Something in every field. */
static void make(struct profile *p)
{
	struct profile_mapping m = {.start = 0x1000,
				    .limit = 0x9000,
				    .offset = 0x1000,
				    .file = "/bin/x",
				    .build_id = "0123abcd",
				    .has_functions = true,
				    .has_inline_frames = true};
	struct profile_function f = {
		.name = "f", .system_name = "_Z1fv", .file = "f.cc", .start_line = -3};
	struct profile_function g = {.name = "g", .system_name = "g", .file = ""};
	struct profile_line lines[] = {{0, 10, 7}, {1, -1, 0}};
	struct profile_location l = {
		.address = UINT64_MAX, .lines = lines, .lines_n = 2, .is_folded = true};
	struct profile_label labels[] = {{"thread", "w\xc3\xa9", 0, ""},
					 {"size", NULL, INT64_MIN, "bytes"}};
	uint32_t stack[] = {1, 0, 1};
	int64_t values[] = {INT64_MAX, -1};

	profile_init(p);
	profile_add_sample_type(p, "samples", "count");
	profile_add_sample_type(p, "cpu", "nanoseconds");
	profile_add_mapping(p, &m);
	profile_add_function(p, &f);
	profile_add_function(p, &g);
	profile_add_location(p, &l);
	l = (struct profile_location){.mapping = PROFILE_NONE};
	profile_add_location(p, &l);
	profile_add_sample(p, &(struct profile_sample){3, 2, stack, values, labels});
	profile_add_sample(p, &(struct profile_sample){0, 0, NULL, values, NULL});
	profile_add_comment(p, "first");
	profile_add_comment(p, "");
	p->period_type =
		(struct profile_value_type){"cpu", "nanoseconds"}; /* literals, not interned */
	p->period = 10000000;
	p->time_ns = 1700000000000000001;
	p->duration_ns = -5;
	p->default_sample_type = "cpu";
	p->drop_frames = "malloc";
	p->keep_frames = "x";
	p->doc_url = "http://example.com/";
}

static void test_round_trip(void)
{
	struct profile p, q;
	struct why why;
	uint8_t *one, *two, *packed;
	size_t one_n, two_n, packed_n;

	make(&p);
	ok(pprof_encode(&p, &one, &one_n) == 0, "encode");
	ok(pprof_decode(one, one_n, &q, &why) == 0, "decode");
	ok(pprof_encode(&q, &two, &two_n) == 0, "encode again");
	ok(one_n == two_n && memcmp(one, two, one_n) == 0, "the same bytes");
	ok(q.samples_n == 2 && q.samples[0].locations_n == 3 && q.samples[0].locations[2] == 1,
	   "stack");
	ok(q.samples[0].values[0] == INT64_MAX && q.samples[0].values[1] == -1, "values");
	ok(q.samples[0].labels[1].num == INT64_MIN && q.samples[0].labels[1].str == NULL,
	   "numeric label");
	is_str(q.samples[0].labels[1].num_unit, "bytes", "with its unit");
	is_str(q.samples[0].labels[0].str, "w\xc3\xa9", "text label");
	ok(q.locations[0].address == UINT64_MAX && q.locations[0].is_folded &&
		   q.locations[0].mapping == 0,
	   "location");
	ok(q.locations[0].lines[0].column == 7 && q.locations[0].lines[1].line == -1, "lines");
	ok(q.locations[1].mapping == PROFILE_NONE && q.locations[1].lines_n == 0,
	   "a location of nothing");
	ok(q.functions[0].start_line == -3, "function");
	ok(q.mappings[0].has_functions && !q.mappings[0].has_filenames &&
		   q.mappings[0].has_inline_frames,
	   "flags");
	ok(q.comments_n == 2 && strcmp(q.comments[1], "") == 0, "comments");
	ok(q.period == 10000000 && q.time_ns == p.time_ns && q.duration_ns == -5, "numbers");
	ok(strcmp(q.drop_frames, "malloc") == 0 && strcmp(q.doc_url, p.doc_url) == 0 &&
		   strcmp(q.default_sample_type, "cpu") == 0 &&
		   strcmp(q.period_type.unit, "nanoseconds") == 0,
	   "texts");

	ok(pprof_encode_gzip(&p, &packed, &packed_n) == 0 && packed[0] == 0x1f && packed[1] == 0x8b,
	   "gzip");
	profile_fini(&q);
	ok(pprof_decode(packed, packed_n, &q, &why) == 0 && q.samples_n == 2, "reads back");
	profile_fini(&q);
	free(one);
	free(two);
	free(packed);
	profile_fini(&p);
}

static void test_go(const char *data)
{
	static const struct {
		const char *name, *types;
	} files[] = {
		{"go-cpu", "samples/count cpu/nanoseconds "},
		{"go-heap",
		 "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes "},
		{"go-allocs",
		 "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes "},
		{"go-block", "contentions/count delay/nanoseconds "},
		{"go-mutex", "contentions/count delay/nanoseconds "},
		{"go-goroutine", "goroutine/count "},
		{"go-threadcreate", "threadcreate/count "},
		{"go-handles", "handles/count "},
	};
	struct profile p, q;
	struct why why;
	uint8_t *bytes;
	size_t size, i, j;
	char path[512], types[256];

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s.pb.gz", data, files[i].name);
		if (!ok(pprof_read(path, &p, &why) == 0, "%s reads", files[i].name)) {
			note("%s", why.text);
			continue;
		}
		types[0] = '\0';
		for (j = 0; j < p.sample_types_n; j++)
			snprintf(types + strlen(types), sizeof(types) - strlen(types), "%s/%s ",
				 p.sample_types[j].type, p.sample_types[j].unit);
		is_str(types, files[i].types, "its columns");
		pprof_encode(&p, &bytes, &size);
		ok(pprof_decode(bytes, size, &q, &why) == 0 && q.samples_n == p.samples_n &&
			   q.locations_n == p.locations_n && q.functions_n == p.functions_n &&
			   q.mappings_n == p.mappings_n,
		   "written and read it is as large");
		free(bytes);
		profile_fini(&p);
		profile_fini(&q);
	}
}

static void refuse(const void *bytes, size_t size, int error, const char *word, const char *name)
{
	struct profile p;
	struct why why = {""};
	int r = pprof_decode(bytes, size, &p, &why);

	if (!ok(r == error && strstr(why.text, word) != NULL, "%s", name))
		note("%d: %s", r, why.text);
	if (r == 0)
		profile_fini(&p);
}

#define REFUSE(bytes, word, name) refuse(bytes, sizeof(bytes) - 1, -EBADMSG, word, name)

static int append(void *context, const void *bytes, size_t size)
{
	struct {
		uint8_t *at;
		size_t n;
	} *to = context;

	memcpy(to->at + to->n, bytes, size);
	to->n += size;
	return 0;
}

static void test_refused(void)
{
	static uint8_t zeros[1 << 20], bomb[8 << 20];
	struct {
		uint8_t *at;
		size_t n;
	} to = {bomb, 0};
	struct gzip_packer *packer;
	struct profile p;
	uint8_t *bytes, twice[2000];
	size_t size;
	int i;

	refuse("", 0, -EBADMSG, "empty", "an empty file");
	REFUSE("PERFILE2\0\0\0\0", "perf.data", "a perf.data file");
	REFUSE("\177ELF\2\1\1", "program", "a program");
	REFUSE("\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\x27\0\0\0\0\0\0\0\0\0\0\0\0\0"
	       "\0\0\1",
	       "cut off", "an old CPU profile that was cut off");
	REFUSE("heap profile: 1: 2 [3: 4] @ heap/524288\n1: 2 [3", "line 2",
	       "an old heap profile that was cut off");
	REFUSE("\n <HTML><head>", "web page", "a web page");
	REFUSE("some words\n", "text file", "a text file");
	REFUSE("\x1f\x8b\x08\0\0\0", "ends early", "the beginning of gzip data");
	REFUSE("\x1f\x8b\x09\0\0\0\0\0\0\0\0\0", "damaged", "gzip data of an unknown kind");
	REFUSE("\x32\x01x", "empty string", "a string table that begins with a string");
	REFUSE("\x0a\x00", "no string table", "no string table");
	REFUSE("\x0a\x02\x08\x05\x32\x00\x12\x00\x12\x00", "string number 5",
	       "a string that is not there");
	REFUSE("\x32\x00\x12\x05\x0a\x01", "cut off", "a message that ends early");
	REFUSE("\x32\x00\x0a\x00\x12\x03\x0a\x80\x80", "at offset 4: a sample of 3 bytes",
	       "a stack that ends early");
	REFUSE("\x32\x00\x0a\x00\x4a\x01\x05", "wire type 2; 0 was expected",
	       "a time in the wrong form");
	REFUSE("\x32\x00\x12\x00", "missing sample type", "samples of no type");
	REFUSE("\x32\x00\x0a\x00\x12\x00", "0 values vs. 1 types", "a sample without values");
	REFUSE("\x32\x00\x0a\x00\x12\x04\x08\x09\x10\x01", "nil location", "a stack of nothing");
	REFUSE("\x32\x00\x22\x00", "reserved id=0", "a location without an id");
	REFUSE("\x32\x00\x22\x02\x08\x01\x22\x02\x08\x01", "same id: 1", "two locations of one id");
	REFUSE("\x32\x00\x22\x06\x08\x01\x22\x02\x08\x03", "nil function", "a line of no function");

	make(&p);
	pprof_encode(&p, &bytes, &size);
	memcpy(twice, bytes, size);
	memcpy(twice + size, bytes, size);
	refuse(twice, size * 2, -EBADMSG, "concatenated", "two profiles in one file");
	free(bytes);
	profile_fini(&p);

	gzip_pack_create(&packer, append, &to);
	for (i = 0; i < 1025; i++)
		gzip_pack(packer, zeros, sizeof(zeros));
	gzip_pack_finish(packer);
	gzip_pack_destroy(packer);
	refuse(bomb, to.n, -EFBIG, "larger than 1024 MiB", "a gzip bomb");
}

static void test_members(void)
{
	struct profile p, q;
	struct why why;
	uint8_t *bytes, packed[4000];
	size_t size;
	struct {
		uint8_t *at;
		size_t n;
	} to = {packed, 0};
	struct gzip_packer *packer;
	int i, fd;

	make(&p);
	pprof_encode(&p, &bytes, &size);
	for (i = 0; i < 2; i++) {
		gzip_pack_create(&packer, append, &to);
		gzip_pack(packer, bytes + (i ? size / 2 : 0), i ? size - size / 2 : size / 2);
		gzip_pack_finish(packer);
		gzip_pack_destroy(packer);
	}
	ok(pprof_decode(packed, to.n, &q, &why) == 0 && q.samples_n == 2,
	   "a profile in two gzip members");
	profile_fini(&q);
	free(bytes);

	fd = memfd_create("profile", 0);
	ok(pprof_write(&p, fd) == 0, "write to a file");
	{
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ok(pprof_read(path, &q, &why) == 0 && q.samples_n == 2, "read it");
		profile_fini(&q);
	}
	close(fd);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	ok(pprof_write(&p, fd) == -ENOSPC, "a full disk");
	close(fd);
	ok(pprof_read("/nonexistent/x.pb.gz", &q, &why) == -ENOENT &&
		   strstr(why.text, "/nonexistent/x.pb.gz: "),
	   "a file that is not there is named");
	profile_fini(&p);
}

int main(int argc, char **argv)
{
	const char *data = argc > 1 ? argv[1] : getenv("CPROF_TEST_DATA");

	plan_begin();
	test_round_trip();
	test_go(data != NULL ? data : "tests/data");
	test_refused();
	test_members();
	return plan_end();
}
