#include "output/recognise.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/*
 * What people hand to a profile reader by mistake, by its first bytes. Only asked once the bytes
 * did not read as a profile, so no profile is refused for looking like something else.
 */
static const struct lookalike {
	const char *start;
	size_t size;
	const char *advice;
} lookalikes[] = {
#define STARTS(text) text, sizeof(text) - 1
	{STARTS("PERFILE2"),
	 "this is a perf.data file, not a profile; record with 'cprof run', or convert it "
	 "with perf_to_profile (github.com/google/perf_data_converter)"},
	{STARTS("\177ELF"),
	 "this is a program or a library, not a profile; name the file that 'cprof run' wrote"},
	{STARTS("heap profile:"),
	 "this is a heap profile in the old text format; 'cprof merge -o NEW.pb.gz FILE' makes a "
	 "profile of it"},
	{STARTS("heap_v2/"), "this is a heap profile of jemalloc; 'cprof merge -o "
			     "NEW.pb.gz FILE' makes a profile of it"},
	{STARTS("goroutine profile: total"), "this is the text form of a profile; 'cprof merge -o "
					     "NEW.pb.gz FILE' makes a profile of it"},
	{STARTS("threadcreate profile: total"), "this is the text form of a profile; 'cprof merge "
						"-o NEW.pb.gz FILE' makes a profile of it"},
	{STARTS("--- contention"),
	 "this is a contention profile in the old text format; 'cprof merge -o NEW.pb.gz FILE' "
	 "makes a profile of it"},
	{STARTS("--- mutex:"),
	 "this is a mutex profile in the old text format; 'cprof merge -o NEW.pb.gz FILE' makes a "
	 "profile of it"},
	{STARTS("--- threadz"), "this is a list of threads in the old text format; convert it with "
				"'pprof -proto FILE > NEW.pb.gz'"},
	{STARTS("go 1."), "this is an execution trace of Go; 'go tool trace' shows it"},
	{STARTS("\x04\x22\x4d\x18"),
	 "this is LZ4 data, perhaps a trace; 'cprof-trace FILE' shows traces"},
	{STARTS("\x28\xb5\x2f\xfd"), "this is zstd data; unpack it first with 'zstd -d FILE'"},
	{STARTS("\xfd"
		"7zXZ"),
	 "this is xz data; unpack it first with 'xz -d FILE'"},
	{STARTS("BZh"), "this is bzip2 data; unpack it first with 'bzip2 -d FILE'"},
	{STARTS("PK\x03\x04"), "this is a zip archive; unpack it first with 'unzip FILE'"},
	{STARTS("{\""), "this is JSON, not a profile"},
#undef STARTS
};

static uint64_t legacy_word(const uint8_t *bytes, size_t word, int width, bool is_big)
{
	uint64_t value = 0;
	int i;

	for (i = 0; i < width; i++)
		value |= (uint64_t)bytes[word * (size_t)width + (size_t)i]
			 << 8 * (is_big ? width - 1 - i : i);
	return value;
}

/* gperftools writes words of the machine: 0, 3, 0, period, 0, or 0, 3, 1 … from Java. */
static bool is_gperftools_cpu(const uint8_t *bytes, size_t size)
{
	int width, is_big;

	for (width = 4; width <= 8; width += 4) {
		for (is_big = 0; is_big < 2; is_big++) {
			if (size < 5 * (size_t)width)
				continue;
			if (legacy_word(bytes, 0, width, is_big) == 0 &&
			    legacy_word(bytes, 1, width, is_big) == 3 &&
			    legacy_word(bytes, 2, width, is_big) <= 1 &&
			    legacy_word(bytes, 3, width, is_big) != 0 &&
			    legacy_word(bytes, 4, width, is_big) == 0)
				return true;
		}
	}
	return false;
}

static bool is_html(const uint8_t *bytes, size_t size)
{
	static const char *const starts[] = {"<!doctype html", "<html", "<head", "<?xml"};
	size_t i, at = 0;

	while (at < size && isspace(bytes[at]))
		at++;
	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (size - at >= strlen(starts[i]) &&
		    strncasecmp((const char *)bytes + at, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

static bool is_text(const uint8_t *bytes, size_t size)
{
	size_t i;

	for (i = 0; i < size && i < 256; i++)
		if ((bytes[i] < ' ' || bytes[i] == 0x7f) && !isspace(bytes[i]))
			return false;
	return true;
}

void recognise(const uint8_t *bytes, size_t size, uint64_t fields_n, struct why *why)
{
	struct why sentence = *why;
	size_t i;

	for (i = 0; i < sizeof(lookalikes) / sizeof(lookalikes[0]); i++) {
		if (size >= lookalikes[i].size &&
		    memcmp(bytes, lookalikes[i].start, lookalikes[i].size) == 0) {
			why_set(why, "%s", lookalikes[i].advice);
			return;
		}
	}
	if (is_gperftools_cpu(bytes, size))
		why_set(why, "this is a CPU profile in the old binary format of gperftools; "
			     "'cprof merge -o NEW.pb.gz FILE' makes a profile of it");
	else if (is_html(bytes, size))
		why_set(why, "this is a web page, not a profile; was it fetched from an address "
			     "that asks for a "
			     "login, or from /debug/pprof/ without the profile's name?");
	else if (is_text(bytes, size))
		why_set(why, "this is a text file, not a profile; a gzipped profile.proto was "
			     "expected, as "
			     "'cprof run' and /debug/pprof/ write it");
	else if (fields_n < 3)
		why_set(why,
			"this is not a profile: %.120s. A gzipped profile.proto was expected, as "
			"'cprof run' "
			"and /debug/pprof/ write it",
			sentence.text);
}
