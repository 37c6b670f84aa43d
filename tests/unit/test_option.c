#include <errno.h>
#include <string.h>

#include "core/option.h"
#include "tests/tap.h"

#define EVERYTHING (OPTION_PROFILES | OPTION_HTTP)

static struct option_set set;
static struct why why;

static int parse(const char *text)
{
	memset(&why, 0, sizeof(why));
	return option_parse(text, EVERYTHING, &set, &why);
}

/* Is @text refused with just this sentence, with nothing stored? */
static void refuses(const char *text, const char *sentence)
{
	struct option_set before;
	int r;

	memset(&set, 0x5a, sizeof(set));
	before = set;
	r = parse(text);
	ok(r == -EINVAL, "refused: %s", sentence);
	is_str(why.text, sentence, "with this sentence");
	ok(memcmp(&before, &set, sizeof(set)) == 0, "and nothing stored");
}

/* Does @text read, and print as @canonical, and that read back to the same? */
static void prints(const char *text, const char *canonical)
{
	char buf[OPTION_TEXT_MAX], again[OPTION_TEXT_MAX];
	struct option_set first;
	int r;

	if (!ok(parse(text) == 0, "%s reads", text)) {
		note("%s", why.text);
		return;
	}
	r = option_print(&set, buf, sizeof(buf));
	is_u64(r, strlen(canonical), "%s: length", text);
	is_str(buf, canonical, "%s: canonical text", text);
	first = set;
	ok(parse(buf) == 0, "%s: canonical text reads", text);
	option_print(&set, again, sizeof(again));
	is_str(again, buf, "%s: and prints the same", text);
	first.given = set.given;
	ok(memcmp(&first, &set, sizeof(set)) == 0, "%s: and means the same", text);
}

static void test_defaults(void)
{
	ok(parse("") == 0, "empty text");
	is_u64(set.profiles, 0, "asks for nothing");
	is_u64(set.given, 0, "gives nothing");
	is_u64(set.cpu_hz, 100, "cpu");
	is_u64(set.wall_hz, 99, "wall");
	is_u64(set.heap_bytes, 524288, "heap");
	is_u64(set.block_ns, 10000, "block");
	is_u64(set.mutex_n, 10, "mutex");
	is_u64(set.trace, OPTION_TRACE_ALL, "trace");
	is_u64(set.ring_ns | set.ring_bytes, 0, "ring is off");
	is_str(set.out, "cprof.%n.%p", "out");
	is_str(set.http, "", "http is off");
	is_u64(set.depth, 128, "depth");
	is_u64(set.memory_bytes, 64 << 20, "memory");
	is_u64(set.unwind, OPTION_UNWIND_AUTO, "unwind");
	is_u64(set.follow, 1, "follow");
}

static void test_profiles(void)
{
	ok(parse("cpu") == 0, "cpu");
	is_u64(set.profiles, OPTION_CPU, "cpu alone");
	is_u64(set.cpu_hz, 100, "at its default");
	ok(option_is_given(&set, OPTION_ID_CPU) && !option_is_given(&set, OPTION_ID_WALL), "given");

	ok(parse("cpu=250,heap=64k,out=DIR") == 0, "several");
	is_u64(set.profiles, OPTION_CPU | OPTION_HEAP, "two profiles");
	is_u64(set.cpu_hz, 250, "rate");
	is_u64(set.heap_bytes, 65536, "size");
	is_str(set.out, "DIR", "directory");

	ok(parse("all") == 0, "all");
	is_u64(set.profiles, OPTION_PROFILES, "is every profile");
	ok(parse("cpu=7,all") == 0 && set.cpu_hz == 7 && set.profiles == OPTION_PROFILES,
	   "all keeps a value before it");
	ok(parse("all,cpu=7") == 0 && set.cpu_hz == 7 && set.profiles == OPTION_PROFILES,
	   "and after it");
	ok(option_parse("all", OPTION_CPU, &set, &why) == 0 && set.profiles == OPTION_CPU,
	   "all is what this version has");

	ok(parse("threads,threadcreate") == 0, "profiles without a value");
	is_u64(set.profiles, OPTION_THREADS | OPTION_THREADCREATE, "both");
	ok(parse("depth=9") == 0 && set.profiles == 0 && set.depth == 9, "a setting alone");
}

static void test_missing(void)
{
	struct option_set none;

	ok(option_parse("heap", OPTION_CPU, &set, &why) == -EINVAL, "heap is not there");
	is_str(why.text, "heap: not in this version; available: cpu", "says what is");
	ok(option_parse("cpu,heap=x", OPTION_CPU | OPTION_WALL, &set, &why) == -EINVAL, "first");
	is_str(why.text, "heap: not in this version; available: cpu, wall", "before its value");
	ok(option_parse("ring=5s", OPTION_CPU, &set, &why) == -EINVAL, "ring needs trace");
	ok(option_parse("http=unix:/x", OPTION_CPU, &set, &why) == -EINVAL, "http");
	is_str(why.text, "http: not in this version; available: cpu", "too");
	ok(option_parse("heap", 0, &none, &why) == -EINVAL, "nothing is there");
	is_str(why.text, "heap: not in this version; available: no profile", "says so");
	ok(option_parse("hepa", OPTION_CPU, &set, &why) == -EINVAL, "a slip");
	is_str(why.text, "unknown word \"hepa\" in \"hepa\"; did you mean \"heap\"?", "is a slip");
}

static void test_words(void)
{
	refuses("cpuu=100", "unknown word \"cpuu\" in \"cpuu=100\"; did you mean \"cpu\"?");
	refuses("cup", "unknown word \"cup\" in \"cup\"; did you mean \"cpu\"?");
	refuses("CPU", "unknown word \"CPU\" in \"CPU\"; did you mean \"cpu\"?");
	refuses("cpu, heap", "unknown word \" heap\" in \" heap\"; did you mean \"heap\"?");
	refuses("mem=4m", "unknown word \"mem\" in \"mem=4m\"; did you mean \"memory\"?");
	refuses("thread", "unknown word \"thread\" in \"thread\"; did you mean \"threads\"?");
	refuses("treads", "unknown word \"treads\" in \"treads\"; did you mean \"threads\"?");
	refuses("threadscreate", "unknown word \"threadscreate\" in \"threadscreate\"; "
				 "did you mean \"threadcreate\"?");
	refuses("folow=no", "unknown word \"folow\" in \"folow=no\"; did you mean \"follow\"?");
	refuses("xyzzy", "unknown word \"xyzzy\"; the words are cpu wall heap block mutex threads "
			 "threadcreate trace all ring out http depth memory unwind follow seed "
			 "block.io trace.on");
	refuses("=3", "unknown word \"\"; the words are cpu wall heap block mutex threads "
		      "threadcreate trace all ring out http depth memory unwind follow seed "
		      "block.io trace.on");
	refuses("cpu,,heap", "empty word in \"cpu,,heap\"");
	refuses(",cpu", "empty word in \",cpu\"");
	refuses(",", "empty word in \",\"");
	refuses("cpu,", "\"cpu,\" ends with a comma");
	refuses("cpu,cpu", "cpu: given twice");
	refuses("cpu=5,wall,cpu=5", "cpu: given twice");
	refuses("all,all", "all: given twice");
	refuses("out=a,out=b", "out: given twice");
	refuses("\x1b[31mcpu", "unknown word \"?[31mcpu\"; the words are cpu wall heap block mutex "
			       "threads threadcreate trace all ring out http depth memory unwind "
			       "follow seed block.io trace.on");
}

static void test_numbers(void)
{
	ok(parse("cpu=1") == 0 && set.cpu_hz == 1, "least rate");
	ok(parse("cpu=10000") == 0 && set.cpu_hz == 10000, "greatest rate");
	ok(parse("cpu=100hz") == 0 && set.cpu_hz == 100, "hz");
	ok(parse("cpu=100Hz") == 0 && set.cpu_hz == 100, "Hz");
	ok(parse("cpu=000100") == 0 && set.cpu_hz == 100, "not octal");
	refuses("cpu=0", "cpu=0: the rate must be 1 to 10000 samples a second, such as cpu=100");
	refuses("cpu=10001",
		"cpu=10001: the rate must be 1 to 10000 samples a second, such as cpu=100");
	refuses("cpu=18446744073709551716", "cpu=18446744073709551716: the rate must be 1 to 10000 "
					    "samples a second, such as cpu=100");
	refuses("cpu=-5", "cpu=-5: the rate must be a whole number, 1 to 10000 samples a second, "
			  "such as cpu=100");
	refuses("cpu=+5", "cpu=+5: the rate must be a whole number, 1 to 10000 samples a second, "
			  "such as cpu=100");
	refuses("cpu=fast", "cpu=fast: the rate must be a whole number, 1 to 10000 samples a "
			    "second, such as cpu=100");
	refuses("cpu=1.5",
		"cpu=1.5: unknown unit \".5\"; write the number alone or with hz, such as cpu=100");
	refuses("cpu=100 ",
		"cpu=100 : unknown unit \" \"; write the number alone or with hz, such as cpu=100");
	refuses("cpu=", "cpu=: a value is expected: cpu=HZ");
	refuses("cpu==5", "cpu==5: the rate must be a whole number, 1 to 10000 samples a second, "
			  "such as cpu=100");
	refuses("wall=1001",
		"wall=1001: the rate must be 1 to 1000 looks a second, such as wall=99");
	refuses("mutex=0", "mutex=0: the number must be 1 to 1000000, such as mutex=10");
	refuses("mutex=x",
		"mutex=x: the number must be a whole number, 1 to 1000000, such as mutex=10");
	refuses("mutex=10x",
		"mutex=10x: unknown unit \"x\"; write the number alone, such as mutex=10");
	refuses("depth=1025", "depth=1025: the depth must be 1 to 1024 frames, such as depth=128");
	refuses("threads=2", "threads=2: threads takes no value");
	refuses("threads=", "threads=: threads takes no value");
	refuses("all=1", "all=1: all takes no value");
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
		{"heap=1", 1},
		{"heap=1b", 1},
		{"heap=64k", 65536},
		{"heap=64K", 65536},
		{"heap=64KiB", 65536},
		{"heap=64kib", 65536},
		{"heap=64KB", 64000},
		{"heap=2m", 2 << 20},
		{"heap=2MiB", 2 << 20},
		{"heap=2MB", 2000000},
		{"heap=1g", 1 << 30},
		{"heap=1GiB", 1 << 30},
		{"heap=1GB", 1000000000},
	};
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ok(parse(sizes[i].text) == 0, "%s reads", sizes[i].text);
		is_u64(set.heap_bytes, sizes[i].bytes, "%s", sizes[i].text);
	}
	ok(parse("memory=4g") == 0 && set.memory_bytes == 4ull << 30, "more than 32 bits");
	refuses("heap=0",
		"heap=0: the size must be 1 to 1g bytes between samples, such as heap=512k");
	refuses("heap=2g",
		"heap=2g: the size must be 1 to 1g bytes between samples, such as heap=512k");
	refuses("heap=17179869184g", "heap=17179869184g: the size must be 1 to 1g bytes between "
				     "samples, such as heap=512k");
	refuses("heap=3x", "heap=3x: unknown unit \"x\"; write k, m or g after the number, or "
			   "nothing for bytes, such as heap=512k");
	refuses("memory=64", "memory=64: the bound must be 1m to 4g bytes, such as memory=64m");
}

static void test_durations(void)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} durations[] = {
		{"block=1ns", 1},
		{"block=10us", 10000},
		{"block=10\xc2\xb5s", 10000},
		{"block=10\xce\xbcs", 10000},
		{"block=5ms", 5000000},
		{"block=2s", 2000000000},
		{"block=3m", 180000000000},
		{"block=3min", 180000000000},
		{"block=1h", 3600000000000},
	};
	size_t i;

	for (i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		ok(parse(durations[i].text) == 0, "%s reads", durations[i].text);
		is_u64(set.block_ns, durations[i].ns, "%s", durations[i].text);
	}
	refuses("block=10", "block=10: the unit is missing; write ns, us, ms, s, m or h after the "
			    "number, such as block=10us");
	refuses("block=10M", "block=10M: unknown unit \"M\"; write ns, us, ms, s, m or h after the "
			     "number, such as block=10us");
	refuses("block=0ns", "block=0ns: the shortest wait must be 1ns to 1h, such as block=10us");
	refuses("block=2h", "block=2h: the shortest wait must be 1ns to 1h, such as block=10us");
	ok(parse("block=rate:20us") == 0, "a rate, as Go has it");
	is_u64(set.block_rate_ns, 20000, "block=rate:20us");
	ok(parse("block") == 0 && set.block_rate_ns == 0, "there is none unless asked for");
	ok(parse("block=rate:200000") == 0 && set.block_rate_ns == 200000,
	   "of nanoseconds, as Go has it");
	ok(parse("block=rate:1") == 0 && set.block_rate_ns == 1, "the least");
	ok(parse("block=rate:200us") == 0 && set.block_rate_ns == 200000, "or with a unit");
	refuses("block=rate:",
		"block=rate:: a value is expected: block=rate:NS, such as block=rate:10us");
	refuses("block=rate:0",
		"block=rate:0: the rate must be 1ns to 1h, such as block=rate:10us");
	refuses("block=rate:x", "block=rate:x: the rate must be a whole number, 1ns to 1h, such as "
				"block=rate:10us");
	refuses("block=rate:-1", "block=rate:-1: the rate must be a whole number, 1ns to 1h, such "
				 "as block=rate:10us");
	refuses("block=rate:5x",
		"block=rate:5x: unknown unit \"x\"; write ns, us, ms, s, m or h after the number, "
		"or nothing for nanoseconds, such as block=rate:10us");
	refuses("block=rate:2h",
		"block=rate:2h: the rate must be 1ns to 1h, such as block=rate:10us");
	refuses("block=rate:3600000000001",
		"block=rate:3600000000001: the rate must be 1ns to 1h, such as block=rate:10us");
	refuses("block=rate", "block=rate: the shortest wait must be a whole number, 1ns to 1h, "
			      "such as block=10us");
	refuses("block=0", "block=0: the unit is missing; write ns, us, ms, s, m or h after the "
			   "number, such as block=10us");
	refuses("block=x",
		"block=x: the shortest wait must be a whole number, 1ns to 1h, such as block=10us");
	ok(parse("block,block.io=on") == 0 && set.block_io == 1, "waits for files too");
	ok(parse("block") == 0 && set.block_io == 0, "or not");
	refuses("block.io=yes", "block.io=yes: the answer must be one of off, on");
	refuses("block.io", "block.io: a value is expected: block.io=on|off");
	refuses("block=99999999999h",
		"block=99999999999h: the shortest wait must be 1ns to 1h, such as block=10us");
}

static void test_choices(void)
{
	ok(parse("trace=threads") == 0 && set.trace == OPTION_TRACE_THREADS, "threads");
	ok(parse("trace=locks") == 0 && set.trace == OPTION_TRACE_LOCKS, "locks");
	ok(parse("trace=syscalls") == 0 && set.trace == OPTION_TRACE_SYSCALLS, "syscalls");
	ok(parse("trace=syscalls:full") == 0 && set.trace == OPTION_TRACE_SYSCALLS_FULL, "full");
	ok(parse("trace=all") == 0 && set.trace == OPTION_TRACE_ALL, "all");
	ok(parse("unwind=fp") == 0 && set.unwind == OPTION_UNWIND_FP, "fp");
	ok(parse("unwind=libunwind") == 0 && set.unwind == OPTION_UNWIND_LIBUNWIND, "libunwind");
	ok(parse("follow=no") == 0 && set.follow == 0, "no");
	ok(parse("follow=yes") == 0 && set.follow == 1, "yes");
	refuses("follow", "follow: a value is expected: follow=yes|no");
	refuses("follow=1", "follow=1: the answer must be one of no, yes");
	refuses("trace=lock", "trace=lock: unknown level; did you mean \"locks\"?");
	refuses("trace=sys", "trace=sys: unknown level; did you mean \"syscalls\"?");
	refuses("unwind=libunwnd", "unwind=libunwnd: unknown way to walk; "
				   "did you mean \"libunwind\"?");
	refuses("unwind=dwarf", "unwind=dwarf: the way to walk must be one of "
				"auto, fp, libunwind");
}

static void test_ring(void)
{
	ok(parse("ring=30s") == 0 && set.ring_ns == 30000000000 && set.ring_bytes == 0, "time");
	ok(parse("ring=10min") == 0 && set.ring_ns == 600000000000, "minutes");
	ok(parse("ring=16M") == 0 && set.ring_bytes == 16 << 20 && set.ring_ns == 0, "size");
	ok(parse("ring=16MiB") == 0 && set.ring_bytes == 16 << 20, "size in full");
	ok(parse("ring=64k") == 0 && set.ring_bytes == 64 << 10, "least size");
	refuses("ring=10m", "ring=10m: minutes or mebibytes? write min or MiB");
	refuses("ring=100000", "ring=100000: a time or a size is expected, with its unit: "
			       "100ms to 24h, or 64KiB to 4GiB");
	refuses("ring=25h", "ring=25h: a time or a size is expected, with its unit: "
			    "100ms to 24h, or 64KiB to 4GiB");
	refuses("ring=", "ring=: a value is expected: ring=TIME|BYTES");
	refuses("ring", "ring: a value is expected: ring=TIME|BYTES");
}

static void test_trigger(void)
{
	ok(parse("trace.on=request>200ms") == 0 && set.trace_on_ns == 200000000, "a trigger");
	is_str(set.trace_on, "request", "of a region");
	is_u64(set.ring_ns, 30000000000, "asks for a ring");
	ok(parse("trace.on=a>1s,ring=2s") == 0 && set.ring_ns == 2000000000,
	   "or takes what is given");
	ok(parse("ring=2s,trace.on=a>1s") == 0 && set.ring_ns == 2000000000, "in any order");
	ok(parse("trace.on=a>1s,ring=1MiB") == 0 && set.ring_ns == 0 && set.ring_bytes == 1 << 20,
	   "of bytes, too");
	ok(parse("trace.on=a>b>1us") == 0, "a name with its sign");
	is_str(set.trace_on, "a>b", "is split at the last");
	ok(parse("trace.on=a\\,b c=d>1h") == 0, "a name with a comma");
	is_str(set.trace_on, "a,b c=d", "as it is");
	prints("trace.on=a\\,b\\\\>1500us", "trace.on=a\\,b\\\\>1500us");
	prints("ring=2min,trace.on=x>60s,trace", "trace,ring=2min,trace.on=x>1min");
#define EXPECTED                                                                       \
	": a region's name and how long it may last are expected, 1us to 1h, such as " \
	"trace.on=request>200ms"
	refuses("trace.on=a", "trace.on=a" EXPECTED);
	refuses("trace.on=>5ms", "trace.on=>5ms" EXPECTED);
	refuses("trace.on=a>", "trace.on=a>" EXPECTED);
	refuses("trace.on=a>5", "trace.on=a>5" EXPECTED);
	refuses("trace.on=a>5parsec", "trace.on=a>5parsec" EXPECTED);
	refuses("trace.on=a>999ns", "trace.on=a>999ns" EXPECTED);
	refuses("trace.on=a>2h", "trace.on=a>2h" EXPECTED);
	refuses("trace.on=a\nb>2s", "trace.on=a?b: control character 0x0a");
	refuses("trace.on=", "trace.on=: a value is expected: trace.on=REGION>DURATION");
	refuses("trace.on", "trace.on: a value is expected: trace.on=REGION>DURATION");
	refuses("trace.on=0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567>1s",
		"trace.on: longer than 127 bytes");
}

static void test_texts(void)
{
	char text[1200];

	ok(parse("out=/tmp/a=b/%n-%p.%t@%h%%") == 0, "a pattern");
	is_str(set.out, "/tmp/a=b/%n-%p.%t@%h%%", "is kept as it is");
	ok(parse("out=a\\,b\\\\c\\d,cpu") == 0, "escapes");
	is_str(set.out, "a,b\\c\\d", "are undone");
	is_u64(set.profiles, OPTION_CPU, "and the next word is found");
	ok(parse("out=\xc3\xbc") == 0, "beyond ASCII");
	is_str(set.out, "\xc3\xbc", "is kept");
	ok(parse("out=a\\") == 0, "a backslash at the end");
	is_str(set.out, "a\\", "is one");

	memset(text, 'a', sizeof(text));
	memcpy(text, "out=", 4);
	text[4 + 511] = '\0';
	ok(parse(text) == 0 && strlen(set.out) == 511, "the longest name");
	text[4 + 511] = 'a';
	text[4 + 512] = '\0';
	refuses(text, "out: longer than 511 bytes");
	memset(text + 4, ':', 1);
	memcpy(text, "http=unix:", 10);
	text[10 + 107] = '\0';
	ok(parse(text) == 0 && strlen(set.http) == 112, "the longest socket");
	text[10 + 107] = 'a';
	text[10 + 108] = '\0';
	ok(parse(text) == -EINVAL, "a longer one");

	refuses("out=", "out=: a value is expected: out=PATTERN");
	refuses("out", "out: a value is expected: out=PATTERN");
	refuses("out=a%q", "out: unknown \"%q\" in the name; %n is the program, %p the pid, "
			   "%t the time, %h the host, %% a percent sign");
	refuses("out=a%", "out: unknown \"%\" in the name; %n is the program, %p the pid, "
			  "%t the time, %h the host, %% a percent sign");
	refuses("out=a\nb", "out=a?b: control character 0x0a");

	ok(parse("http=unix:/run/x.sock") == 0, "unix");
	is_str(set.http, "unix:/run/x.sock", "is kept");
	ok(parse("http=127.0.0.1:6060") == 0, "loopback");
	ok(parse("http=127.0.0.1:0") == 0, "any port");
	ok(parse("http=[::1]:65535") == 0, "loopback of version 6");
	refuses("http=127.0.0.1:65536", "http=127.0.0.1:65536: the port must be 0 to 65535");
	refuses("http=127.0.0.1:x", "http=127.0.0.1:x: the port must be 0 to 65535");
	refuses("http=unix:", "http=unix:: the path of a socket has 1 to 107 bytes");
	refuses("http=0.0.0.0:80",
		"http=0.0.0.0:80: unix:PATH, 127.0.0.1:PORT or [::1]:PORT is expected; any other "
		"address needs ?token=FILE&cert=FILE&key=FILE behind it");
	refuses("http=6060",
		"http=6060: unix:PATH, 127.0.0.1:PORT or [::1]:PORT is expected; any other address "
		"needs ?token=FILE&cert=FILE&key=FILE behind it");
	ok(parse("http=0.0.0.0:80?token=t&cert=c&key=k") == 0, "with a token and TLS");
	ok(parse("http=127.0.0.1:0?token=t") == 0, "with a token");
}

static void test_print(void)
{
	char buf[OPTION_TEXT_MAX], small[8];

	prints("", "");
	prints("cpu", "cpu");
	prints("cpu=100", "cpu");
	prints("cpu=250hz", "cpu=250");
	prints("follow=no,heap=65536,cpu", "cpu,heap=64k,follow=no");
	prints("all", "cpu,wall,heap,block,mutex,threads,threadcreate,trace");
	prints("all,cpu=3", "cpu=3,wall,heap,block,mutex,threads,threadcreate,trace");
	prints("heap=1000", "heap=1000");
	prints("heap=1", "heap=1");
	prints("block=1500us", "block=1500us");
	prints("block=60s", "block=1min");
	prints("block=90s", "block=90s");
	prints("block=rate:1500ns", "block=rate:1500ns");
	prints("block=rate:10us", "block=rate:10us");
	prints("block=rate:200000", "block=rate:200us");
	prints("block.io=on,block", "block,block.io=on");
	prints("ring=1MiB", "ring=1MiB");
	prints("ring=100000b", "ring=100000b");
	prints("ring=24h", "ring=24h");
	prints("ring=2min", "ring=2min");
	prints("trace=syscalls:full", "trace=syscalls:full");
	prints("out=a\\,b\\\\,cpu", "cpu,out=a\\,b\\\\");
	prints("memory=64m", "memory=64m");
	prints("unwind=fp,http=unix:/a\\,b", "http=unix:/a\\,b,unwind=fp");

	parse("cpu=250,out=x");
	is_u64(option_print(&set, buf, sizeof("cpu=250,out=x")), 13, "just fits");
	ok(option_print(&set, small, sizeof(small)) == -ENOSPC, "does not fit");
	is_str(small, "cpu=250", "and ends all the same");
	ok(option_print(&set, small, 0) == -ENOSPC, "no room at all");
	is_str(small, "cpu=250", "touches nothing");
}

static void test_add(void)
{
	char buf[OPTION_TEXT_MAX];

	parse("cpu");
	ok(option_add(&set, "out", "a,b\\", OPTION_CPU, &why) == 0, "a word beside the text");
	is_str(set.out, "a,b\\", "is taken as it is");
	option_print(&set, buf, sizeof(buf));
	is_str(buf, "cpu,out=a\\,b\\\\", "and printed with escapes");
	ok(option_add(&set, "out", "c", OPTION_CPU, &why) == -EINVAL, "twice");
	is_str(why.text, "out: given twice", "is refused");
	is_str(set.out, "a,b\\", "and changes nothing");
	ok(option_add(&set, "heap", NULL, OPTION_CPU, &why) == -EINVAL, "not available");
	ok(option_add(&set, "heap", NULL, EVERYTHING, &why) == 0, "available");
	is_u64(set.profiles, OPTION_CPU | OPTION_HEAP, "and asked for");
	ok(option_add(&set, "dept", "3", OPTION_CPU, &why) == -EINVAL, "unknown");
	is_str(why.text, "unknown word \"dept\" in \"dept\"; did you mean \"depth\"?",
	       "with advice");
}

static int expand(const char *pattern, const char *program, char *buf, size_t size)
{
	struct option_names names = {program, "host.name", 1234, 1709251199};

	memset(&why, 0, sizeof(why));
	return option_expand(pattern, &names, buf, size, &why);
}

static void test_expand(void)
{
	static const struct {
		int64_t sec;
		const char *text;
	} times[] = {
		{0, "19700101T000000Z"},          {951782399, "20000228T235959Z"},
		{951782400, "20000229T000000Z"},  {951868800, "20000301T000000Z"},
		{1709251199, "20240229T235959Z"}, {1735689599, "20241231T235959Z"},
		{4107542400, "21000301T000000Z"}, {-5, "19700101T000000Z"},
	};
	char buf[128];
	size_t i;

	is_u64(expand("cprof.%n.%p", "/usr/bin/server", buf, sizeof(buf)), 17, "length");
	is_str(buf, "cprof.server.1234", "program and pid");
	expand("%h/%t%%", "x", buf, sizeof(buf));
	is_str(buf, "host.name/20240229T235959Z%", "host, time, percent");
	expand("%n", "..", buf, sizeof(buf));
	is_str(buf, "_.", "no way up");
	expand("%n", ".hidden", buf, sizeof(buf));
	is_str(buf, "_hidden", "not hidden");
	expand("a/%n", "a\nb\x7f", buf, sizeof(buf));
	is_str(buf, "a/a_b_", "no control characters");
	expand("%n", "dir/", buf, sizeof(buf));
	is_str(buf, "dir_", "no separator");
	expand("%n", "/", buf, sizeof(buf));
	is_str(buf, "_", "not the root");
	expand("%n", "", buf, sizeof(buf));
	is_str(buf, "unknown", "no name");
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct option_names names = {"p", "h", 1, times[i].sec};

		option_expand("%t", &names, buf, sizeof(buf), &why);
		is_str(buf, times[i].text, "%" PRId64 " seconds", times[i].sec);
	}
	ok(expand("%x", "p", buf, sizeof(buf)) == -EINVAL, "unknown name");
	ok(expand("%n", "12345678", buf, 9) == 8, "just fits");
	ok(expand("%n", "12345678", buf, 8) == -ENAMETOOLONG, "does not fit");
	is_str(why.text, "out: longer than 7 bytes once filled in", "says so");
}

/* What help and the manual are made of. */
static void test_table(void)
{
	const struct option_word *w;
	char range[64];

	for (w = option_words; w->name != NULL; w++) {
		ok(w->about != NULL && strlen(w->about) < 70, "%s: has a line", w->name);
		ok((w->value == NULL) == (w->kind == OPTION_KIND_NONE), "%s: value", w->name);
		ok(option_range(w, range, sizeof(range)) >= 0, "%s: range fits", w->name);
		ok(option_is_setting(w) == (w - option_words > OPTION_ID_ALL), "%s: side", w->name);
	}
	is_u64(w - option_words, OPTION_ID_N, "as many as there are ids");
	option_range(&option_words[OPTION_ID_CPU], range, sizeof(range));
	is_str(range, "1 to 10000 samples a second", "range of cpu");
	option_range(&option_words[OPTION_ID_UNWIND], range, sizeof(range));
	is_str(range, "auto, fp, libunwind", "choices");
	ok(option_range(&option_words[OPTION_ID_CPU], range, 4) == -ENOSPC, "too small");
}

int main(void)
{
	plan_begin();
	test_defaults();
	test_profiles();
	test_missing();
	test_words();
	test_numbers();
	test_sizes();
	test_durations();
	test_choices();
	test_ring();
	test_trigger();
	test_texts();
	test_print();
	test_add();
	test_expand();
	test_table();
	ok(option_parse("bogus", OPTION_CPU, &set, NULL) == -EINVAL, "no why is fine");
	return plan_end();
}
