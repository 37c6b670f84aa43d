/* The rules of pprof, Parca and Pyroscope: each broken once. */
#include "output/check.h"
#include "tests/tap.h"

static char said[4096];

static void say(void *context, const struct check_finding *finding)
{
	size_t n = strlen(said);

	(void)context;
	snprintf(said + n, sizeof(said) - n, "%s%s: %s\n", finding->is_warning ? "warning: " : "",
		 finding->who, finding->text);
}

static int check(const char *bytes, size_t size, int64_t now_ns)
{
	struct profile p;
	struct pprof_wire wire;
	struct why why;
	int n;

	said[0] = '\0';
	if (pprof_decode_wire(bytes, size, &p, &wire, &why) < 0) {
		snprintf(said, sizeof(said), "unread: %s", why.text);
		return -1;
	}
	n = check_profile(&p, &wire, now_ns, say, NULL);
	profile_fini(&p);
	return n;
}

#define S                  \
	"\x32\x00\x32\x01" \
	"a"                \
	"\x32\x03"         \
	"b-c"              \
	"\x32\x02"         \
	"\xff\xff"
#define CPU                \
	"\x32\x00\x32\x03" \
	"cpu"              \
	"\x32\x02"         \
	"ns"               \
	"\x0a\x04\x08\x01\x10\x02"

static void broken(const char *bytes, size_t size, int n, const char *words, const char *name)
{
	int got = check(bytes, size, 0);

	if (!ok(got == n && strstr(said, words) != NULL, "%s", name))
		note("%d found: %s", got, said);
}

#define BROKEN(bytes, n, words, name) broken(bytes, sizeof(bytes) - 1, n, words, name)

static void test_good(void)
{
	static const char good[] = CPU "\x12\x04\x08\x01\x10\x07"
				       "\x22\x04\x08\x01\x18\x10"
				       "\x48\x80\x80\x01";

	is_u64(check(good, sizeof(good) - 1, 16384), 0, "nothing wrong");
	is_str(said, "", "and nothing said");
	check(good, sizeof(good) - 1, INT64_C(3600000000000) + 16385);
	ok(strstr(said, "warning: pyroscope: taken more") != NULL, "an old one is a warning");
	check(good, sizeof(good) - 1, 16384 - INT64_C(600000000001));
	ok(strstr(said, "warning: pyroscope: taken more") != NULL, "as is one from the future");
}

static void test_rules(void)
{
	BROKEN("\x32\x00\x12\x00", 1, "pprof: missing sample type information",
	       "samples without types");
	BROKEN(CPU "\x12\x04\x10\x01\x10\x02", 1,
	       "pprof: mismatch: sample has 2 values vs. 1 types", "values");
	BROKEN(CPU "\x12\x04\x08\x05\x10\x01", 1, "pprof: sample has nil location", "location");
	BROKEN(CPU "\x1a\x00", 2, "pprof: found mapping with reserved ID=0", "mapping 0");
	BROKEN(CPU "\x1a\x02\x08\x01\x1a\x02\x08\x01", 2,
	       "pprof: multiple mappings with same id: 1", "mapping twice");
	BROKEN(CPU "\x2a\x00", 2, "pprof: found function with reserved ID=0", "function 0");
	BROKEN(CPU "\x2a\x02\x08\x03\x2a\x02\x08\x03", 2,
	       "pprof: multiple functions with same id: 3", "function twice");
	BROKEN(CPU "\x22\x00", 2, "pprof: found location with reserved id=0", "location 0");
	BROKEN(CPU "\x22\x02\x08\x01\x22\x02\x08\x01", 2,
	       "pprof: multiple locations with same id: 1", "location twice");
	BROKEN(CPU "\x22\x06\x08\x01\x22\x02\x08\x09", 1,
	       "pprof: location id: 1 has a line with nil function", "line");
	BROKEN(CPU "\x22\x02\x08\x02", 1,
	       "parca: location ids must be 1 to 1 in table order: entry 1 has id 2", "ids");
	BROKEN(CPU "\x22\x02\x08\x02\x22\x02\x08\x01", 1, "parca: location ids", "order");
	BROKEN(CPU "\x12\x06\x10\x01\x1a\x02\x10\x01", 1, "parca: a label without a key", "key");
	BROKEN(S "\x0a\x04\x08\x02\x10\x01", 2, "pyroscope: sample type 'b-c' has a '-'", "dash");
	BROKEN(S "\x0a\x04\x08\x01\x10\x01", 1, "pyroscope: 1 strings are not UTF-8", "UTF-8");
	BROKEN(CPU "\x22\x04\x08\x01\x10\x04", 0, "warning: cprof: 1 locations name a mapping",
	       "dangling mapping");
	BROKEN(CPU "\x12\x06\x10\x01\x1a\x02\x08\x01", 0, "warning: cprof: a numeric label of 0",
	       "label of nothing");
	BROKEN(CPU "\x70\x02", 0, "warning: cprof: the default sample type 'ns'", "default type");
	BROKEN(CPU "\x1a\x06\x08\x01\x10\x10\x18\x20\x22\x06\x08\x01\x10\x01\x18\x30", 0,
	       "warning: cprof: address 0x30 is outside its mapping", "address");
	BROKEN(CPU "\x1a\x06\x08\x01\x10\x20\x18\x10", 0,
	       "warning: cprof: mapping 1 ends before it begins", "mapping");
	BROKEN(CPU "\x12\x0e\x10\x01\x1a\x04\x08\x01\x10\x02\x1a\x04\x08\x01\x10\x02", 0,
	       "warning: cprof: a label that a sample has twice (sample 1)", "label twice");
	BROKEN("\x32\x00\x32\x03"
	       "cpu"
	       "\x32\x08"
	       "pprof::x"
	       "\x0a\x02\x08\x01\x12\x08\x10\x01\x1a\x04\x08\x02\x10\x01",
	       0, "warning: cprof: a label that begins with 'pprof::'", "reserved label");
}

static void test_own(void)
{
	struct profile p;
	uint32_t stack[] = {0};
	int64_t values[] = {1};
	struct why why;
	uint32_t i;

	profile_init(&p);
	profile_add_sample_type(&p, "cpu", "nanoseconds");
	profile_add_location(&p, &(struct profile_location){.mapping = PROFILE_NONE, .address = 1});
	for (i = 0; i < 16001; i++)
		profile_add_sample(&p, &(struct profile_sample){1, 0, stack, values, NULL});
	ok(check_valid(&p, NULL, &why) == 0, "one that was never in a file");
	said[0] = '\0';
	is_u64(check_profile(&p, NULL, 0, say, NULL), 0, "nothing wrong");
	ok(strstr(said, "warning: pyroscope: 16001 samples") != NULL, "but many samples");
	p.samples[0].locations[0] = 7;
	ok(check_valid(&p, NULL, &why) < 0, "an index outside its table");
	profile_fini(&p);
}

int main(void)
{
	plan_begin();
	test_good();
	test_rules();
	test_own();
	return plan_end();
}
