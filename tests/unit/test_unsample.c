/* output/unsample and output/allocator. */
#include <math.h>

#include "output/allocator.h"
#include "output/unsample.h"
#include "profiles/heap/sample.h"
#include "tests/tap.h"

/* As Go's scaleHeapSample gives them. */
static const struct {
	int64_t blocks, bytes;
	uint64_t mean;
	int64_t want_blocks, want_bytes;
} known[] = {
	{1, 1, 524288, 524288, 524288},
	{1, 16, 524288, 32768, 524296},
	{3, 3072, 524288, 1537, 1574400},
	{1, 524288, 524288, 1, 829411},
	{7, 7000000, 524288, 8, 8220531},
	{5, INT64_C(5497558138880), 524288, 5, INT64_C(5497558138880)},
	{2, 33, 524288, 63551, 1048592},
	{1, 1, 2, 2, 2},
	{1000000, 8000000, 524288, INT64_C(65536500001), INT64_C(524292000011)},
	{10, 655360, 65536, 15, 1036764},
	/* every block was taken */
	{1, 100, 1, 1, 100},
	{4, 400, 0, 4, 400},
	{5, 0, 1, 5, 0},
	/* nothing of one is nothing of both */
	{0, 5, 512, 0, 0},
	{5, 0, 512, 0, 0},
	/* what nobody can have counted */
	{-1, 5, 512, 0, 0},
	{1, -5, 512, 0, 0},
	{INT64_MIN, INT64_MIN, 512, 0, 0},
	{INT64_MAX, 1, 512, INT64_MAX, INT64_MAX},
	{INT64_MAX, INT64_MAX, 512, INT64_MAX, INT64_MAX},
	{1, INT64_MAX, UINT64_MAX, 2, INT64_MAX},
};

static void test_known(void)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		int64_t blocks = known[i].blocks, bytes = known[i].bytes;

		unsample(known[i].mean, &blocks, &bytes);
		if (!ok(blocks == known[i].want_blocks && bytes == known[i].want_bytes,
			"%" PRId64 " blocks of %" PRId64 " bytes, one in %" PRIu64, known[i].blocks,
			known[i].bytes, known[i].mean))
			note("got %" PRId64 ", %" PRId64, blocks, bytes);
	}
}

/* Blocks drawn as a program's are come out as many as there were. */
static void test_drawn(void)
{
	static const uint64_t sizes[] = {24, 1000, 65536, 524288, 4000000};
	uint64_t state = random_seed(42);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t left = sample_gap(&state, 524288), n, blocks = 0, bytes = 0;

		n = INT64_C(2000) * 524288 / (int64_t)sizes[i] + 10000;
		for (int64_t k = 0; k < n; k++) {
			left -= (int64_t)sizes[i];
			if (left >= 0)
				continue;
			blocks++;
			bytes += (int64_t)sizes[i];
			left = sample_gap(&state, 524288);
		}
		unsample(524288, &blocks, &bytes);
		/* some 2,000 samples: four standard deviations */
		if (!ok(fabs((double)blocks / (double)n - 1) < 0.09,
			"%" PRId64 " blocks of %" PRIu64 " bytes", n, sizes[i]))
			note("got %" PRId64, blocks);
	}
}

static const char *const allocators[] = {
	"malloc",
	"posix_memalign",
	"__libc_calloc",
	"tc_newarray_nothrow",
	"_Znwm",
	"_Znam",
	"_Znwj",
	"_ZnwmRKSt9nothrow_t",
	"_ZnamSt11align_val_tRKSt9nothrow_t",
	"_ZN8tcmalloc13allocate_fullEm",
	"__rust_alloc",
	"__rdl_alloc_zeroed",
	"__rg_realloc",
	"_RNvCs3rGTYkH3Ivf_7___rustc12___rust_alloc",
	"_RNvCs3rGTYkH3Ivf_7___rustc14___rust_realloc",
	"_RNvCs3rGTYkH3Ivf_7___rustc18___rdl_alloc_zeroed",
};

static const char *const others[] = {
	"",
	"main",
	"mallocator",
	"xmalloc",
	"strdup",
	"allocate",
	"_M_allocate",
	"__rust_allocator",
	"_ZN3FoonwEm", /* a class's own */
	"_ZNSt15__new_allocatorIiE8allocateEmPKv",
	"_ZN9__gnu_cxx13new_allocatorIcE8allocateEmPKv",
	"_ZdlPv",
	"_RNvCs3rGTYkH3Ivf_7___rustc",
	"_RNvCs3rGTYkH3Ivf_7___rustc11rust_panics",
	"_RNvCs3rGTYkH3Ivf_5mycod12___rust_alloc",
};

static void test_names(void)
{
	for (size_t i = 0; i < sizeof(allocators) / sizeof(allocators[0]); i++)
		ok(allocator_has(allocators[i]), "the allocator has %s", allocators[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ok(!allocator_has(others[i]), "and has not %s", others[i]);
}

int main(void)
{
	plan_begin();
	test_known();
	test_drawn();
	test_names();
	return plan_end();
}
