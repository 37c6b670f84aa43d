/* core/table: sums are exact whoever adds, what finds no room is counted, full generations are followed by the next. */
#include "core/stacks.h"
#include "core/table.h"
#include "tests/unit/segment_make.h"

#define THREADS 8
#define ADDS    20000

struct sums {
	uint64_t rows, values[TABLE_COLUMNS_MAX], keys;
	uint32_t stack, labels; /* count this row alone; 0 all */
};

static int sum_row(void *user, const struct table_row *row)
{
	struct sums *sums = user;

	if (sums->stack != 0 && (row->stack != sums->stack || row->labels != sums->labels))
		return 0;
	sums->rows++;
	for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
		sums->values[c] += row->values[c];
	return 0;
}

static struct sums sum_of(const struct segment *s, uint32_t stack, uint32_t labels)
{
	struct sums sums = {.stack = stack, .labels = labels};

	table_read(s, SEGMENT_TABLE_CPU, sum_row, &sums);
	return sums;
}

static bool add(struct segment *s, uint32_t stack, uint32_t labels, uint64_t count, uint64_t ns)
{
	return table_add(s, SEGMENT_TABLE_CPU, 0, stack, labels,
			 (uint64_t[CPU_COLUMNS]){count, ns});
}

static int stop_at_second(void *user, const struct table_row *row)
{
	return ++*(int *)user == 2 ? -7 : 0;
}

static void test_sums(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	struct sums sums;
	int n = 0;

	ok(add(&s, 5, 0, 1, 100) && add(&s, 5, 0, 2, 50) && add(&s, 5, 1, 7, 0) &&
		   add(&s, 6, 0, 0, 3),
	   "adds");
	sums = sum_of(&s, 5, 0);
	ok(sums.rows == 1 && sums.values[0] == 3 && sums.values[1] == 150,
	   "one row for a stack and labels");
	sums = sum_of(&s, 5, 1);
	ok(sums.rows == 1 && sums.values[0] == 7 && sums.values[1] == 0,
	   "another for other labels");
	is_u64(sum_of(&s, 0, 0).rows, 3, "rows");
	is_u64(sum_of(&s, 0, 0).values[2], 0, "columns that the table has not are zero");
	is_u64((uint64_t)-table_read(&s, SEGMENT_TABLE_CPU, stop_at_second, &n), 7,
	       "reading ends when asked to");
	is_u64((uint64_t)n, 2, "at once");
	segment_unmake(&s);
}

static void test_full(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t slots = segment_count(&s, SEGMENT_TABLE_CPU, 0), n = 0, again = 0;

	while (n < slots && add(&s, n + 2, 0, 1, 1))
		n++;
	ok(n > slots / 10 * 8, "%u of %u slots before it counts as full", n, slots);
	for (uint32_t i = 0; i < n; i++)
		again += add(&s, i + 2, 0, 1, 0);
	is_u64(again, n, "rows that are there are still added to");
	is_u64(sum_of(&s, 0, 0).values[0], 2 * n, "and none is lost");
	segment_unmake(&s);
}

static void test_generations(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint64_t recorded = 0, frames[3], at_switch = 0, lost;

	for (uint64_t i = 0; i < 60000; i++) {
		frames[0] = i + 1;
		frames[1] = i * 3;
		frames[2] = 77;
		table_record(&s, SEGMENT_TABLE_CPU, frames, 3, 0, (uint64_t[]){2, 5});
		recorded += 2;
		if (s.header->generation == 1 && at_switch == 0)
			at_switch = i;
	}
	lost = s.header->lost[LOST_STACKS_FULL] + s.header->lost[LOST_TABLE_FULL];
	ok(at_switch > 0, "the second generation is begun after %" PRIu64 " stacks", at_switch);
	is_u64(s.header->generations[1].serial, 2, "its serial");
	ok(s.header->generations[1].begun_ns != 0, "and when it was begun");
	ok(lost > 0 && lost < recorded,
	   "when both are full, samples are lost: %" PRIu64 " of %" PRIu64, lost, recorded);
	is_u64(sum_of(&s, 0, 0).values[0] + lost, recorded,
	       "what is there and what is lost are all");
	is_u64(segment_next_generation(&s, 0), 1, "whoever comes late goes on in the second");
	is_u64(segment_next_generation(&s, 1), 1, "there is no third");
	segment_unmake(&s);
}

static void add_many(unsigned number, void *user)
{
	uint64_t frames[4] = {1, 2, 3, 4};

	for (uint64_t i = 0; i < ADDS; i++) {
		frames[0] = i % 500;
		frames[1] = i % 3 == 0 ? number : 9;
		table_record(user, SEGMENT_TABLE_CPU, frames, 4, (uint32_t)(i % 2),
			     (uint64_t[]){1, i});
	}
}

static void test_threads(void)
{
	uint64_t each = (uint64_t)ADDS * (ADDS - 1) / 2;

	for (unsigned round = 0; round < 5; round++) {
		/* with room for all, and so small that generations fill and change under way */
		struct segment s = segment_make(round < 3 ? 32 << 20 : SEGMENT_MIN_BYTES);
		struct sums sums;
		uint64_t lost;

		on_threads(THREADS, add_many, &s);
		sums = sum_of(&s, 0, 0);
		lost = s.header->lost[LOST_STACKS_FULL] + s.header->lost[LOST_TABLE_FULL];
		is_u64(sums.values[0] + lost, THREADS * ADDS,
		       "every sample is counted or lost, by eight threads");
		if (round < 3) {
			is_u64(lost, 0, "none is lost when there is room");
			is_u64(sums.values[1], THREADS * each, "sums are exact");
		}
		segment_unmake(&s);
	}
}

/* Counters never go back while others add. */
static void read_or_add(unsigned number, void *user)
{
	struct segment *s = ((void **)user)[0];
	uint64_t *backwards = ((void **)user)[1], last = 0;

	if (number != 0) {
		add_many(number, s);
		return;
	}
	for (int i = 0; i < 300; i++) {
		uint64_t now = sum_of(s, 0, 0).values[0];

		*backwards += now < last;
		last = now;
	}
}

static void test_reading(void)
{
	struct segment s = segment_make(4 << 20);
	uint64_t backwards = 0;

	on_threads(4, read_or_add, (void *[]){&s, &backwards});
	is_u64(backwards, 0, "a reader never sees less than before");
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	test_sums();
	test_full();
	test_generations();
	test_threads();
	test_reading();
	return plan_end();
}
