/* The profile model: strings, adders, merging of samples and of profiles, limits. */
#include <errno.h>

#include "output/profile.h"
#include "tests/tap.h"

static void test_strings(void)
{
	struct profile p;
	const char *a;
	char text[] = "main";

	ok(profile_init(&p) == 0, "a fresh profile");
	a = profile_string(&p, text);
	ok(a != text && a == profile_string(&p, "main"), "one text, one address");
	ok(profile_string(&p, NULL)[0] == '\0', "NULL is the empty string");
	is_str(profile_string(&p, "caf\xc3\xa9"), "caf\xc3\xa9", "UTF-8 stays");
	is_str(profile_string(&p, "a\xff"
				  "b\xc3"),
	       "a\xef\xbf\xbd"
	       "b\xef\xbf\xbd",
	       "what is not UTF-8 becomes U+FFFD");
	is_str(profile_string(&p, "\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
	       "nor are surrogates");
	is_str(profile_string(&p, "\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd", "nor the overlong");
	is_str(profile_string_raw(&p, "a\xff", 2), "a\xff", "raw bytes stay");
	is_str(profile_string_raw(&p, "a\0b", 3),
	       "a\xef\xbf\xbd"
	       "b",
	       "but a NUL cannot");
	profile_fini(&p);
	profile_fini(&p);
	ok(p.store == NULL, "fini twice");
}

static void test_adders(void)
{
	struct profile p;
	struct profile_mapping m = {
		.start = 0x1000, .limit = 0x2000, .file = "/bin/x", .build_id = "ab"};
	struct profile_function f = {
		.name = "f", .system_name = "_f", .file = "f.c", .start_line = 3};
	struct profile_line lines[] = {{0, 10, 1}, {1, 20, 0}};
	struct profile_location l = {.address = 0x1010, .lines = lines, .lines_n = 2};
	char name[16];
	uint32_t i, first, wrong = 0;

	profile_init(&p);
	is_u64(profile_add_mapping(&p, &m), 0, "first mapping");
	is_u64(profile_add_mapping(&p, &m), 0, "the same again");
	m.has_functions = true;
	is_u64(profile_add_mapping(&p, &m), 1, "with symbols it is another");

	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		f.name = name;
		wrong += profile_add_function(&p, &f) != i;
	}
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		f.name = name;
		wrong += profile_add_function(&p, &f) != i;
	}
	is_u64(wrong, 0, "5000 functions are found again");
	is_u64(p.functions_n, 5000, "and are there once");

	first = profile_add_location(&p, &l);
	lines[1].line = 21;
	is_u64(profile_add_location(&p, &l), first + 1, "another line, another location");
	lines[1].line = 20;
	is_u64(profile_add_location(&p, &l), first, "the first one again");
	is_u64(p.locations[first + 1].lines[1].line, 21, "lines are copied");
	l.mapping = PROFILE_NONE;
	is_u64(profile_add_location(&p, &l), first + 2, "without a mapping it is another");

	profile_append_function(&p)->name = profile_string(&p, "appended");
	f = (struct profile_function){.name = "appended", .system_name = "", .file = ""};
	is_u64(profile_add_function(&p, &f), 5000, "what was appended is found");
	is_u64(profile_error(&p), 0, "no error");
	profile_fini(&p);
}

static void add(struct profile *p, uint32_t leaf, int64_t a, int64_t b,
		struct profile_label *labels, uint32_t n)
{
	uint32_t stack[] = {leaf, 0};
	int64_t values[] = {a, b};

	profile_add_sample(p, &(struct profile_sample){2, n, stack, values, labels});
}

static void test_merge_samples(void)
{
	struct profile p;
	struct profile_label one[] = {{"thread", "w", 0, ""}, {"bytes", NULL, 4, "bytes"}};
	struct profile_label two[] = {{"bytes", NULL, 4, "bytes"}, {"thread", "w", 0, ""}};
	uint32_t i;

	profile_init(&p);
	profile_add_sample_type(&p, "samples", "count");
	profile_add_sample_type(&p, "cpu", "nanoseconds");
	add(&p, 1, 0, 0, NULL, 0);
	add(&p, 2, 1, 10, NULL, 0);
	add(&p, 1, 1, 10, one, 2);
	add(&p, 2, 2, 20, NULL, 0);
	add(&p, 1, 1, 10, two, 2);
	add(&p, 3, 5, 5, NULL, 0);
	add(&p, 3, -5, -5, NULL, 0);
	is_u64(profile_merge_samples(&p), 1, "one stack adds up to zero");
	is_u64(p.samples_n, 2, "two are left");
	ok(p.samples[0].locations[0] == 2 && p.samples[0].values[1] == 30,
	   "in order of first sight, added up");
	ok(p.samples[1].values[0] == 2, "labels in another order are the same labels");
	is_str(p.samples[1].labels[0].key, "thread", "strings come before numbers");

	for (i = 0; i < 100000; i++)
		add(&p, i % 1000, 1, 1, NULL, 0);
	profile_merge_samples(&p);
	is_u64(p.samples_n, 1001, "100000 samples of 1000 stacks");
	is_u64(p.samples[0].values[0], 103, "with all values");
	profile_fini(&p);
}

/* One sample of one function at @base + 0x10. */
static void make(struct profile *p, uint64_t base, const char *unit, int64_t value)
{
	struct profile_mapping m = {
		.start = base, .limit = base + 0x1234, .file = "/bin/x", .build_id = "ab"};
	struct profile_function f = {.name = "f", .system_name = "f", .file = "f.c"};
	struct profile_line line = {0, 1, 0};
	struct profile_location l = {.address = base + 0x10, .lines = &line, .lines_n = 1};
	uint32_t stack[] = {0};

	profile_init(p);
	profile_add_sample_type(p, "cpu", unit);
	profile_add_mapping(p, &m);
	profile_add_function(p, &f);
	profile_add_location(p, &l);
	profile_add_sample(p, &(struct profile_sample){1, 0, stack, &value, NULL});
}

static void test_merge_profiles(void)
{
	struct profile a, b, sum, *sources[] = {&a, &b};
	struct why why;

	make(&a, 0x10000, "nanoseconds", 7);
	make(&b, 0x7f0000, "microseconds", 2);
	ok(profile_merge(sources, 2, &sum, &why) == 0, "two runs at two addresses");
	ok(sum.mappings_n == 1 && sum.locations_n == 1 && sum.samples_n == 1,
	   "have one mapping, location, sample");
	is_u64(sum.samples[0].values[0], 2007, "in the finer unit");
	is_str(sum.sample_types[0].unit, "nanoseconds", "which is the first one's");
	profile_fini(&a);
	profile_fini(&b);
	profile_fini(&sum);

	make(&a, 0x10000, "nanoseconds", 7);
	make(&b, 0x10000, "bytes", 2);
	ok(profile_merge(sources, 2, &sum, &why) == -EINVAL, "time and memory do not add up");
	ok(strstr(why.text, "cpu/bytes") != NULL, "and the sentence says which");
	profile_fini(&a);
	profile_fini(&b);

	make(&a, 0x10000, "count", 7);
	make(&b, 0x10000, "count", -7);
	ok(profile_merge(sources, 2, &sum, &why) == 0 && sum.samples_n == 0 && sum.locations_n == 0,
	   "what adds up to nothing leaves nothing");
	ok(sum.mappings_n == 1, "but the main program");
	profile_fini(&a);
	profile_fini(&b);
	profile_fini(&sum);
}

static void test_limit(void)
{
	struct profile p;
	char name[32];
	int i;

	profile_init(&p);
	profile_limit(&p, 200000);
	for (i = 0; i < 100000 && profile_error(&p) == 0; i++) {
		snprintf(name, sizeof(name), "function number %d", i);
		profile_add_function(&p, &(struct profile_function){
						 .name = name, .system_name = "", .file = ""});
	}
	ok(profile_error(&p) == -E2BIG, "past the limit is an error");
	ok(i > 500, "but not before it (%d functions)", i);
	profile_add_sample_type(&p, "a", "b");
	profile_add_comment(&p, "c");
	profile_add_sample(&p, &(struct profile_sample){0});
	profile_merge_samples(&p);
	ok(profile_error(&p) == -E2BIG, "which stays, and harms nobody");
	profile_fini(&p);
}

int main(void)
{
	plan_begin();
	test_strings();
	test_adders();
	test_merge_samples();
	test_merge_profiles();
	test_limit();
	return plan_end();
}
