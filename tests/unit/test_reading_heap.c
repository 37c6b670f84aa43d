/*
 * The heap in output/reading and output/listing: from segments made by hand to profiles and texts.
 */
#include <math.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "output/listing.h"
#include "profiles/heap/heap_private.h"
#include "tests/unit/reading_make.h"

#define MEAN UINT64_C(524288)

static struct segment make(uint64_t mean)
{
	struct segment s = reading_make();

	run(&s, RUN_HEAP, mean);
	return s;
}

/* The counters of @frames, @labels and the class of @size. */
static _Atomic uint64_t *row(struct segment *s, const uint64_t *frames, uint32_t depth,
			     uint32_t labels, uint64_t size)
{
	uint32_t stack =
		depth > 0 ? stacks_intern(s, SEGMENT_LASTING, frames, depth) : STACKS_FIRST_ID - 1;
	struct table_slot *slot = table_slot(s, SEGMENT_TABLE_HEAP, SEGMENT_LASTING, stack,
					     heap_row_labels(labels, size));

	if (slot == NULL) {
		printf("Bail out! no room for a row\n");
		exit(1);
	}
	return slot->values;
}

static void sampled(_Atomic uint64_t *values, unsigned first, uint64_t blocks, uint64_t size)
{
	values[first] += blocks;
	values[first + 1] += blocks * size;
}

/* What so many blocks of one size stand for, by another way than the code's. */
static int64_t stands_for(uint64_t blocks, double size)
{
	return (int64_t)((double)blocks / -expm1(-size / (double)MEAN));
}

static void test_profile(void)
{
	static const char *const pairs[] = {"tenant", "acme"};
	struct segment s = make(MEAN);
	struct reading_counts counts;
	_Atomic uint64_t *values;
	struct profile p;
	char want[1024];

	/* two sizes of one class are one row; one of another class has its own, and so have labels */
	values = row(&s, (uint64_t[]){0x1000, 0x2000}, 2, 0, 1033);
	sampled(values, HEAP_ALLOCATED, 3, 1033);
	ok(row(&s, (uint64_t[]){0x1000, 0x2000}, 2, 0, 1100) == values,
	   "sizes of one class share a row");
	sampled(values, HEAP_ALLOCATED, 1, 1100);
	sampled(values, HEAP_FREED, 2, 1033);
	sampled(row(&s, (uint64_t[]){0x1000, 0x2000}, 2, 0, 5000), HEAP_ALLOCATED, 2, 5000);
	values = row(&s, (uint64_t[]){0x1000, 0x2000}, 2, labels_overlay(&s, 0, pairs, 1), 4000000);
	sampled(values, HEAP_ALLOCATED, 5, 4000000);
	sampled(values, HEAP_FREED, 5, 4000000);
	row(&s, (uint64_t[]){0x5000}, 1, 0, 16); /* nothing was counted there yet */
	s.header->notes[NOTE_TRUNCATED] = 4;
	p = read_it(&s, &heap_profile, NULL, NULL);
	snprintf(want, sizeof(want),
		 "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " : 1000 2000 bytes=1049\n"
		 "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " : 1000 2000 bytes=5000\n"
		 "5 %" PRId64 " 0 0 : 1000 2000 tenant=acme bytes=4000000\n",
		 stands_for(4, (3 * 1033 + 1100) / 4.), stands_for(3 * 1033 + 1100, 4199 / 4.),
		 stands_for(2, (1033 + 1100) / 2.), stands_for(1033 + 1100, 2133 / 2.),
		 stands_for(2, 5000), stands_for(10000, 5000), stands_for(2, 5000),
		 stands_for(10000, 5000), stands_for(20000000, 4000000));
	is_str(show(&p), want, "heap: by stack, labels and class, unsampled with the mean size");
	ok(p.sample_types_n == 4 && strcmp(p.sample_types[0].type, "alloc_objects") == 0 &&
		   strcmp(p.sample_types[0].unit, "count") == 0 &&
		   strcmp(p.sample_types[1].type, "alloc_space") == 0 &&
		   strcmp(p.sample_types[1].unit, "bytes") == 0 &&
		   strcmp(p.sample_types[2].type, "inuse_objects") == 0 &&
		   strcmp(p.sample_types[3].type, "inuse_space") == 0,
	   "heap: four columns");
	ok(strcmp(p.period_type.type, "space") == 0 && strcmp(p.period_type.unit, "bytes") == 0 &&
		   p.period == (int64_t)MEAN,
	   "heap: its period");
	is_str(p.default_sample_type, "", "heap: what is in use is shown, the last");
	is_u64((uint64_t)(p.time_ns - BEGUN_REAL), 3 * SECOND, "heap: the moment of the reading");
	is_u64((uint64_t)p.duration_ns, 0, "heap: no duration");
	ok(has_comment(&p, "11 blocks sampled, one in 524288 bytes; 4 stacks truncated") &&
		   p.comments_n == 2,
	   "heap: how many were sampled");
	profile_fini(&p);
	p = read_it(&s, &allocs_profile, NULL, NULL);
	is_str(show(&p), want, "allocs: the same");
	is_str(p.default_sample_type, "alloc_space", "allocs: shows what was allocated");
	profile_fini(&p);
	reading_count(&s, &heap_profile, &counts);
	is_u64(counts.samples, 11, "heap: count");
	is_u64(counts.lost, 0, "heap: nothing lost");
	segment_unmake(&s);
}

static void test_every_block(void)
{
	struct segment s = make(1);
	struct profile p;

	sampled(row(&s, (uint64_t[]){0x1000}, 1, 0, 24), HEAP_ALLOCATED, 7, 24);
	sampled(row(&s, (uint64_t[]){0x1000}, 1, 0, 24), HEAP_FREED, 2, 24);
	sampled(row(&s, (uint64_t[]){0x2000}, 1, 0, 0), HEAP_ALLOCATED, 3, 0);
	p = read_it(&s, &heap_profile, NULL, NULL);
	is_str(show(&p), "7 168 5 120 : 1000 bytes=24\n3 0 3 0 : 2000\n",
	       "every block: as it was counted");
	ok(has_comment(&p, "10 blocks sampled, all there were; 0 stacks truncated"),
	   "every block: and says so");
	profile_fini(&p);
	segment_unmake(&s);
}

/* A window is the difference of what two readings stand for: each has a mean size of its own. */
static void test_window(void)
{
	struct segment s = make(MEAN);
	struct reading_window *window = NULL;
	_Atomic uint64_t *grows, *frees, *stays, *both;
	int64_t before[4], after[4];
	struct profile p;
	char want[1024];

	grows = row(&s, (uint64_t[]){0x1000}, 1, 0, 500000);
	sampled(grows, HEAP_ALLOCATED, 4, 460000);
	frees = row(&s, (uint64_t[]){0x2000}, 1, 0, 3000);
	sampled(frees, HEAP_ALLOCATED, 10, 3000);
	stays = row(&s, (uint64_t[]){0x3000}, 1, 0, 64);
	sampled(stays, HEAP_ALLOCATED, 9, 64);
	both = row(&s, (uint64_t[]){0x4000}, 1, 0, 100);
	sampled(both, HEAP_ALLOCATED, 1, 100);
	is_u64((uint64_t)reading_window_begin(&s, &heap_profile, &window), 0, "a window");
	sampled(grows, HEAP_ALLOCATED, 6, 520000);
	sampled(frees, HEAP_FREED, 3, 3000);
	sampled(both, HEAP_ALLOCATED, 2, 100);
	sampled(both, HEAP_FREED, 3, 100);
	sampled(row(&s, (uint64_t[]){0x5000}, 1, 0, 8), HEAP_ALLOCATED, 1, 8);
	p = read_it(&s, &heap_profile, window, NULL);
	before[0] = stands_for(4, 460000);
	before[1] = stands_for(4 * 460000, 460000);
	after[0] = stands_for(10, 496000);
	after[1] = stands_for(10 * 496000, 496000);
	snprintf(want, sizeof(want),
		 "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " : 1000 bytes=520000\n"
		 "0 0 %" PRId64 " %" PRId64 " : 2000 bytes=3000\n"
		 "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " : 4000 bytes=100\n"
		 "65536 524292 65536 524292 : 5000 bytes=8\n",
		 after[0] - before[0], after[1] - before[1], after[0] - before[0],
		 after[1] - before[1], stands_for(7, 3000) - stands_for(10, 3000),
		 stands_for(21000, 3000) - stands_for(30000, 3000),
		 stands_for(3, 100) - stands_for(1, 100),
		 stands_for(300, 100) - stands_for(100, 100), -stands_for(1, 100),
		 -stands_for(100, 100));
	is_str(show(&p), want, "a window: what two readings stand for, one less the other");
	ok(after[1] - before[1] != stands_for(6 * 520000, 520000),
	   "it is another number than what the difference stands for");
	ok(has_comment(&p, "9 blocks sampled, one in 524288 bytes; 0 stacks truncated"),
	   "a window: its samples");
	profile_fini(&p);

	/* the sum of windows is the whole */
	reading_window_end(window);
	is_u64((uint64_t)reading_window_begin(&s, &heap_profile, &window), 0, "another window");
	p = read_it(&s, &heap_profile, window, NULL);
	is_u64(p.samples_n, 0, "nothing happened in it");
	profile_fini(&p);
	s.header->generations[0].serial = 7; /* given up since then */
	p = read_it(&s, &heap_profile, window, NULL);
	is_u64(p.samples_n, 0, "blocks are kept in a set that is never given up");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

static void test_lost(void)
{
	struct segment s = make(MEAN);
	struct reading_window *window = NULL;
	struct reading_counts counts;
	struct profile p;

	sampled(row(&s, (uint64_t[]){0x1000}, 1, 0, 1000000), HEAP_ALLOCATED, 1, 1000000);
	s.header->runs[RUN_CPU].period = 10000000;
	table_record(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x9000}, 1, 0, (uint64_t[]){1, 10000000});
	s.header->runs[RUN_HEAP].lost = 3;
	s.header->lost[LOST_STACKS_FULL] = 9; /* of all profiles */
	s.header->lost[LOST_HEAP_ROOM] = 2;
	s.header->lost[LOST_LIVE] = 4;
	s.header->lost[LOST_STACK_ROOM] = 5; /* the CPU profile's */
	s.header->lost[LOST_UNSAMPLED_NS] = 35000000;
	p = read_it(&s, &heap_profile, NULL, NULL);
	is_str(show(&p),
	       "1 1174361 1 1174361 : 1000 bytes=1000000\n"
	       "3 1572864 0 0 : [lost: tables full]\n"
	       "2 1048576 0 0 : [lost: alternate stack too small]\n",
	       "lost blocks stand for as many bytes as lie between samples");
	ok(has_comment(&p, "lost: 3 samples: tables full") &&
		   has_comment(&p, "lost: 2 blocks: alternate signal stack too small") &&
		   has_comment(&p, "lost: 4 blocks: too many live blocks, a larger memory= holds "
				   "more") &&
		   p.comments_n == 5,
	   "a comment for each kind of loss, and none of the CPU profile's");
	profile_fini(&p);
	reading_count(&s, &heap_profile, &counts);
	is_u64(counts.lost, 5, "lost");
	p = read_it(&s, &cpu, NULL, NULL);
	is_str(show(&p),
	       "1 10000000 : 9000\n"
	       "5 50000000 : [lost: alternate stack too small]\n"
	       "3 30000000 : [lost: signal blocked]\n",
	       "and none of the heap's in the CPU profile");
	is_u64(p.comments_n, 4, "nor in its comments");
	profile_fini(&p);
	reading_window_begin(&s, &heap_profile, &window);
	s.header->lost[LOST_HEAP_ROOM] = 3;
	p = read_it(&s, &heap_profile, window, NULL);
	is_str(show(&p), "1 524288 0 0 : [lost: alternate stack too small]\n", "in a window");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

/* What a process leaves that was killed between two words, and what nobody can have counted. */
static void test_damaged(void)
{
	struct segment s = make(MEAN);
	struct reading_window *window = NULL;
	_Atomic uint64_t *values;
	struct profile p;

	values = row(&s, (uint64_t[]){0x1000}, 1, 0, 1000000);
	sampled(values, HEAP_ALLOCATED, 2, 1000000);
	sampled(values, HEAP_FREED, 1, 1000000);
	values[HEAP_FREED]++; /* and its bytes were to follow */
	values = row(&s, (uint64_t[]){0x2000}, 1, 0, 100);
	sampled(values, HEAP_FREED, 2, 100); /* more than there were */
	values = row(&s, (uint64_t[]){0x3000}, 1, 0, 100);
	values[HEAP_ALLOCATED] = 1;
	values = row(&s, (uint64_t[]){0x4000}, 1, 0, 100);
	values[HEAP_ALLOCATED] = values[HEAP_ALLOCATED + 1] = UINT64_MAX;
	sampled(row(&s, NULL, 0, UINT32_MAX >> SAMPLE_CLASS_BITS, 7000000), HEAP_ALLOCATED, 1,
		7000000);
	reading_window_begin(&s, &heap_profile, &window);
	p = read_it(&s, &heap_profile, NULL, NULL);
	is_str(show(&p),
	       "2 2348723 0 0 : 1000 bytes=1000000\n"
	       "9223372036854775807 9223372036854775807 9223372036854775807 9223372036854775807 : "
	       "4000 bytes=1\n",
	       "rows that make no sense");
	profile_fini(&p);
	values[HEAP_ALLOCATED] = values[HEAP_ALLOCATED + 1] = 0;
	p = read_it(&s, &heap_profile, window, NULL);
	is_u64(p.samples_n, 1, "counters that went back");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

/* Functions of this program under the names that allocators have. */
#if defined(__x86_64__)
#define HERE "lea 0f(%%rip), %0\n0: nop"
#else
#define HERE "adr %0, ."
#endif
#define FUNCTION(function, symbol)                               \
	uintptr_t function(void) __asm__(symbol);                \
	__attribute__((noinline, used)) uintptr_t function(void) \
	{                                                        \
		uintptr_t pc;                                    \
                                                                 \
		__asm__ volatile(HERE : "=r"(pc));               \
		return pc;                                       \
	}
FUNCTION(operator_new, "_Znwm")
FUNCTION(rust_alloc, "__rust_alloc_zeroed")
FUNCTION(asks, "who_asks")
FUNCTION(calls, "who_calls")

extern const char __executable_start[], __etext[];

static uint64_t word(uint64_t pc)
{
	return UINT64_C(1) << 48 | pc;
}

static void test_allocators(void)
{
	struct segment s = make(1);
	struct symbols *symbols = NULL;
	uint64_t new = word(operator_new()), rust = word(rust_alloc());
	struct profile p;
	struct why why = {""};
	char self[1024], want[256], *text;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0) {
		skip("no /proc");
		segment_unmake(&s);
		return;
	}
	self[n] = '\0';
	*segment_module_at(&s, 0) = (struct segment_module){
		.start = (uintptr_t)__executable_start,
		.end = (uintptr_t)__etext,
		.bias = (uintptr_t)__executable_start,
		.path = segment_string(&s, self, (size_t)n),
		.state = MODULE_LOADED,
	};
	s.header->modules_high = 1;
	sampled(row(&s, (uint64_t[]){new, word(asks()), word(calls())}, 3, 0, 1), HEAP_ALLOCATED, 1,
		1);
	sampled(row(&s, (uint64_t[]){rust, new, word(asks()), new, word(calls())}, 5, 0, 2),
		HEAP_ALLOCATED, 1, 2);
	sampled(row(&s, (uint64_t[]){new, rust}, 2, 0, 3), HEAP_ALLOCATED, 1, 3);
	sampled(row(&s, (uint64_t[]){word(asks()), new}, 2, 0, 4), HEAP_ALLOCATED, 1, 4);
	symbols_create(&symbols);
	if (reading_profile(&s, &heap_profile, NULL, symbols, &p, NULL, &why) < 0)
		exit(1);
	is_str(show(&p),
	       "1 1 1 1 : who_asks who_calls bytes=1\n"
	       "1 2 1 2 : who_asks operator new who_calls bytes=2\n"
	       "1 3 1 3 : operator new __rust_alloc_zeroed bytes=3\n"
	       "1 4 1 4 : who_asks operator new bytes=4\n",
	       "the allocator is left out at the leaf, where something is left");
	profile_fini(&p);
	symbols_destroy(symbols);
	text = write_it(&s, &heap_profile, 1);
	snprintf(want, sizeof(want),
		 "1: 2 [1: 2] @ 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx\n#\t0x%lx\twho_asks+",
		 (unsigned long)rust_alloc() + 1, (unsigned long)operator_new() + 1,
		 (unsigned long)asks() + 1, (unsigned long)operator_new() + 1,
		 (unsigned long)calls() + 1, (unsigned long)asks());
	if (!ok(strstr(text, want) != NULL, "as text: among the addresses, not the functions"))
		note("%s", text);
	free(text);
	segment_unmake(&s);
}

static void make_text(struct segment *s)
{
	static const char *const pairs[] = {"tenant", "acme"};
	_Atomic uint64_t *values;

	values = row(s, (uint64_t[]){0x1000, 0x2000}, 2, 0, 1033);
	sampled(values, HEAP_ALLOCATED, 4, 1033);
	sampled(values, HEAP_FREED, 3, 1033);
	values = row(s, (uint64_t[]){0x1000, 0x2000}, 2, 0, 5000);
	sampled(values, HEAP_ALLOCATED, 2, 5000);
	values = row(s, (uint64_t[]){0x1800, 0x2000}, 2, labels_overlay(s, 0, pairs, 1), 4000000);
	sampled(values, HEAP_ALLOCATED, 5, 4000000);
	sampled(values, HEAP_FREED, 5, 4000000);
	values = row(s, (uint64_t[]){0x900, 0x2000}, 2, 0, 5000);
	sampled(values, HEAP_ALLOCATED, 2, 5000);
	values = row(s, (uint64_t[]){0x3000}, 1, 0, 5000);
	sampled(values, HEAP_ALLOCATED, 1, 5000);
	values[HEAP_FREED]++; /* its bytes were to follow */
	s->header->runs[RUN_HEAP].lost = 3;
}

static void test_text(void)
{
	struct segment s = make(MEAN);
	char want[2048], *text;

	make_text(&s);
	snprintf(want, sizeof(want),
		 "heap profile: 5: 21033 [14: 20029132] @ heap/1048576\n"
		 "2: 10000 [2: 10000] @ 0x1001 0x2001\n#\t0x1000\n#\t0x2000\n\n"
		 "2: 10000 [2: 10000] @ 0x901 0x2001\n#\t0x900\n#\t0x2000\n\n"
		 "1: 1033 [4: 4132] @ 0x1001 0x2001\n#\t0x1000\n#\t0x2000\n\n"
		 "0: 0 [5: 20000000] @ 0x1801 0x2001\n# labels: {\"tenant\":\"acme\"}\n"
		 "#\t0x1800\n#\t0x2000\n\n"
		 "0: 0 [1: 5000] @ 0x3001\n#\t0x3000\n\n"
		 "\n# estimates from the samples\n"
		 "# Alloc = %" PRId64 "\n# TotalAlloc = %" PRId64 "\n# Mallocs = %" PRId64
		 "\n# Frees = %" PRId64 "\n# HeapAlloc = %" PRId64 "\n# HeapObjects = %" PRId64 "\n"
		 "# cprof " CPROF_VERSION "\n"
		 "# 14 blocks sampled, one in 524288 bytes; 0 stacks truncated\n"
		 "# lost: 3 samples: tables full\n",
		 2 * stands_for(10000, 5000) + stands_for(1033, 1033),
		 2 * stands_for(10000, 5000) + stands_for(5000, 5000) + stands_for(4132, 1033) +
			 stands_for(20000000, 4000000),
		 2 * stands_for(2, 5000) + stands_for(1, 5000) + stands_for(4, 1033) + 5,
		 stands_for(1, 5000) + stands_for(4, 1033) + 5 - stands_for(1, 1033),
		 2 * stands_for(10000, 5000) + stands_for(1033, 1033),
		 2 * stands_for(2, 5000) + stands_for(1, 1033));
	for (int debug = 1; debug <= 2; debug++) {
		text = write_it(&s, debug == 1 ? &heap_profile : &allocs_profile, debug);
		is_str(text, want,
		       debug == 1 ? "as text: what was sampled" : "allocs, debug=2: the same");
		free(text);
	}
	s.header->pid = getpid();
	text = write_it(&s, &heap_profile, 1);
	ok(strstr(text, "\n# MaxRSS = ") != NULL && strstr(text, "\n# MaxRSS = 0\n") == NULL,
	   "a process that writes of itself knows its memory");
	free(text);
	segment_unmake(&s);
}

/* What pprof makes of the text, and of the protobuf. */
static void test_pprof(void)
{
	static const char *const columns[] = {"alloc_objects", "alloc_space", "inuse_objects",
					      "inuse_space"};
	char directory[] = "/tmp/cprof-test-XXXXXX", path[64], command[512];
	struct segment s = make(MEAN);
	struct why why = {""};

	if (system("go tool -n pprof >/dev/null 2>&1") != 0) {
		skip("pprof reads the text: go is not installed");
		segment_unmake(&s);
		return;
	}
	make_text(&s);
	s.header->runs[RUN_HEAP].lost = 0; /* the text has these as a comment */
	if (mkdtemp(directory) == NULL)
		exit(1);
	for (int debug = 0; debug < 2; debug++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%d", directory, debug);
		fd = open(path, O_WRONLY | O_CREAT, 0600);
		if (cprof_output_functions.write(&s, &heap_profile, NULL, fd, debug, &why) < 0)
			ok(false, "%s", why.text);
		close(fd);
	}
	for (unsigned c = 0; c < 4; c++) {
		/* without the name of the mapping, which the text has not, and the head */
		snprintf(command, sizeof(command),
			 "for i in 0 1; do go tool pprof -top -addresses -symbolize=none "
			 "-nodecount=100 -nodefraction=0 -sample_index=%s %s/$i 2>&1 | "
			 "sed -n '/flat%%/,$s/ [^ ]*$//p' >%s/top$i; done; "
			 "test $(wc -l <%s/top0) -gt 3 && cmp %s/top0 %s/top1",
			 columns[c], directory, directory, directory, directory, directory);
		if (!ok(system(command) == 0, "pprof reads the same from text and protobuf: %s",
			columns[c])) {
			snprintf(command, sizeof(command), "sed 's/^/# /' %s/top0 %s/top1",
				 directory, directory);
			if (system(command) < 0)
				exit(1);
		}
	}
	snprintf(command, sizeof(command), "rm -r %s", directory);
	if (system(command) != 0)
		exit(1);
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	test_profile();
	test_every_block();
	test_window();
	test_lost();
	test_damaged();
	test_allocators();
	test_text();
	test_pprof();
	return plan_end();
}
