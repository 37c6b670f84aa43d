/*
 * The pprof reader, and all that comes after it, on any bytes: clang
 * -fsanitize=fuzzer,address,undefined.
 *
 * What is read is checked, written and read again (twice the same bytes), merged with itself, printed
 * and converted.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output/check.h"
#include "output/convert.h"
#include "output/info.h"
#include "output/pprof.h"
#include "output/raw.h"
#include "output/tags.h"
#include "output/text.h"
#include "output/text_filter.h"
#include "output/top.h"
#include "output/traces.h"
#include "output/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(int is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "fuzz_pprof: %s\n", what);
	abort();
}

static void ignore(void *context, const struct check_finding *finding)
{
	*(size_t *)context += strlen(finding->text);
}

/*
 * What is written reads back, and is written the same again, unless two names became one by being
 * made UTF-8.
 */
static void round_trip(const struct profile *p, bool is_utf8)
{
	struct profile again;
	struct why why;
	uint8_t *first, *second;
	size_t first_n, second_n;

	require(pprof_encode(p, &first, &first_n) == 0, "what was read cannot be written");
	if (first_n > 0) {
		require(pprof_decode(first, first_n, &again, &why) == 0,
			"what was written cannot be read");
		require(again.samples_n == p->samples_n && again.locations_n == p->locations_n,
			"what was read back is something else");
		require(pprof_encode(&again, &second, &second_n) == 0,
			"what was read back cannot be written");
		require(!is_utf8 || (first_n == second_n && memcmp(first, second, first_n) == 0),
			"written twice, two ways");
		free(second);
		profile_fini(&again);
	}
	free(first);
}

static void print(struct profile *p, FILE *to, uint8_t choice)
{
	struct report_options options = report_defaults;
	struct report r = {.options = &options};
	struct profile *sources[] = {p, p};
	struct why why;

	if (profile_merge(sources, choice & 1 ? 2 : 1, &r.profile, &why) < 0)
		return;
	options.granularity = (enum granularity)(choice >> 1 & 3);
	options.focus = choice & 8 ? "a|[^b-z]" : NULL;
	options.hide = choice & 16 ? "x$" : NULL;
	options.tag_focus = choice & 32 ? "1:" : NULL;
	options.is_cum_sort = choice & 64;
	options.is_mean = choice & 128;
	options.tag_root = choice & 4 ? "a,b" : NULL;
	options.tag_leaf = choice & 2 ? "thread" : NULL;
	options.prune_from = choice & 16 ? "^b" : NULL;
	options.trim_path = choice & 32 ? "/a:" : NULL;
	if (filter_drop_frames(&r.profile, &why) == 0 && report_prepare(&r, &why) == 0) {
		switch (choice % 6) {
		case 0:
			raw_print(&r, to, &why);
			break;
		case 1:
			top_print(&r, to, &why);
			break;
		case 2:
			tree_print(&r, to, &why);
			break;
		case 3:
			traces_print(&r, to, &why);
			break;
		case 4:
			tags_print(&r, to, &why);
			break;
		default:
			info_print(&r, "fuzzed", choice & 128, to, &why);
		}
	}
	report_fini(&r);
}

static int drop(void *context, const void *bytes, size_t size)
{
	*(size_t *)context += size + (size > 0 && ((const char *)bytes)[0] == '\0');
	return 0;
}

/* In the form of each other viewer. */
static void convert(struct profile *p, uint8_t choice)
{
	static struct out out;

	for (size_t i = 0; convert_forms[i] != NULL; i++) {
		struct report_options options = report_defaults;
		struct report r = {.options = &options};
		struct profile *sources[] = {p};
		struct why why;
		struct convert c = {.r = &r, .out = &out, .why = &why};
		size_t length = 0;

		if (profile_merge(sources, 1, &r.profile, &why) < 0)
			return;
		out_init_sink(&out, drop, &length);
		options.granularity = convert_forms[i]->granularity;
		options.unit = choice & 1 ? "minimum" : "seconds";
		if (report_prepare(&r, &why) == 0)
			convert_write(&c, convert_forms[i]);
		report_fini(&r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static FILE *null;
	struct profile profile;
	struct pprof_wire wire;
	struct why why = {""};
	size_t length = 0;

	if (null == NULL)
		null = fopen("/dev/null", "w");
	if (pprof_decode_wire(bytes, size, &profile, &wire, &why) < 0) {
		require(why.text[0] != '\0', "refused without a reason");
		return 0;
	}
	check_profile(&profile, &wire, 0, ignore, &length);
	if (check_valid(&profile, &wire, &why) == 0) {
		round_trip(&profile, wire.bad_utf8_n == 0);
		if (size > 0)
			print(&profile, null, bytes[size - 1]);
		print(&profile, null, 0);
		convert(&profile, (uint8_t)size);
	}
	profile_fini(&profile);
	return 0;
}
