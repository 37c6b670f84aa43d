/* core/stacks: the same stack has one id, whoever adds it; a reader follows no id out of the segment. */
#include "core/stacks.h"
#include "core/table.h"
#include "tests/unit/segment_make.h"

#define THREADS 8
#define STACKS  400

/* A stack that can be told right from wrong by itself: word i follows from word 0 and the depth. */
static uint32_t make_stack(uint64_t seed, uint64_t *frames)
{
	uint32_t depth = 1 + (uint32_t)(seed % 30);

	for (uint32_t i = 0; i < depth; i++)
		frames[i] = (seed * 2654435761 + i * 40503 + depth) & UINT64_C(0xffffffffffff);
	return depth;
}

static bool is_stack(const struct segment *s, unsigned generation, uint32_t id, uint64_t seed)
{
	uint64_t want[32];
	uint32_t depth = make_stack(seed, want), got_depth = 0;
	const uint64_t *got = stacks_frames(s, generation, id, &got_depth);

	return got != NULL && got_depth == depth && memcmp(got, want, depth * sizeof(*want)) == 0;
}

static void test_one_by_one(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint64_t frames[1024] = {0}, used;
	uint32_t ids[100], depth, n_same = 0, n_right = 0;

	for (unsigned i = 0; i < 100; i++)
		ids[i] = stacks_intern(&s, 0, frames, make_stack(i, frames));
	used = s.header->generations[0].stack_used;
	for (unsigned i = 0; i < 100; i++) {
		depth = make_stack(i, frames);
		n_same += stacks_intern(&s, 0, frames, depth) == ids[i];
		n_right += is_stack(&s, 0, ids[i], i);
	}
	is_u64(n_same, 100, "the same stack has the same id");
	is_u64(n_right, 100, "an id leads to its frames");
	is_u64(s.header->generations[0].stack_used, used, "what is there takes no room again");

	depth = make_stack(29, frames);
	ok(stacks_intern(&s, 0, frames, depth) != stacks_intern(&s, 0, frames, depth - 1),
	   "a stack and its beginning are two");
	memset(frames, 0, sizeof(frames));
	ok(stacks_intern(&s, 0, frames, 1) != stacks_intern(&s, 0, frames, 2), "frames of 0 count");
	ids[0] = stacks_intern(&s, 0, frames, 0);
	ok(ids[0] != 0 && stacks_frames(&s, 0, ids[0], &depth) != NULL && depth == 0,
	   "the empty stack is one");
	ids[0] = stacks_intern(&s, 0, frames, 1024);
	ok(ids[0] != 0 && stacks_frames(&s, 0, ids[0], &depth) != NULL && depth == 1024,
	   "1024 frames");
	ok(stacks_intern(&s, 1, frames, 3) != 0, "the other generation has its own");
	segment_unmake(&s);
}

static void test_full(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t room = segment_count(&s, SEGMENT_STACK_WORDS, 0), n = 0, n_right = 0, id;
	uint64_t frames[32], used;

	while ((id = stacks_intern(&s, 0, frames, make_stack(n, frames))) != 0)
		n++;
	ok(n > 500 && s.header->generations[0].stack_used <= room, "%u stacks fill a generation",
	   n);
	for (uint32_t i = 0; i < n; i++)
		n_right += is_stack(&s, 0, stacks_intern(&s, 0, frames, make_stack(i, frames)), i);
	is_u64(n_right, n, "all are found when it is full");
	used = s.header->generations[0].stack_used;
	for (int i = 0; i < 1000; i++)
		stacks_intern(&s, 0, frames, make_stack(1000000 + (uint64_t)i, frames));
	ok(s.header->generations[0].stack_used <= used + 64,
	   "years of attempts do not push the counter");
	segment_unmake(&s);
}

static void test_hostile(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t room = segment_count(&s, SEGMENT_STACK_WORDS, 0), depth, n_outside = 0;
	uint64_t *words = segment_part(&s, SEGMENT_STACK_WORDS, 0), frames[32];

	for (unsigned i = 0; i < 300; i++)
		stacks_intern(&s, 0, frames, make_stack(i, frames));
	for (uint64_t round = 0; round < 3; round++) {
		for (uint64_t id = 0; id < room + 100; id++) {
			const uint64_t *at = stacks_frames(&s, 0, (uint32_t)id, &depth);

			n_outside +=
				at != NULL && (at < words || depth > (uint64_t)(words + room - at));
		}
		for (uint32_t i = 0; i < room;
		     i++) /* depths that end just inside, just outside, nowhere */
			words[i] = round == 0 ? (uint64_t)(room - i - (i % 4)) << 32 : UINT64_MAX;
	}
	is_u64(n_outside, 0, "no id leads out of the words");
	ok(stacks_frames(&s, 0, 0, &depth) == NULL && stacks_frames(&s, 0, 1, &depth) == NULL &&
		   stacks_frames(&s, 0, UINT32_MAX, &depth) == NULL,
	   "ids that no stack has");
	segment_unmake(&s);
}

struct race {
	struct segment *s;
	uint32_t ids[THREADS][STACKS];
};

static void intern_all(unsigned number, void *user)
{
	struct race *race = user;
	uint64_t frames[32];

	for (unsigned i = 0; i < STACKS; i++) {
		/* the same for all, in another order for each */
		unsigned which = (i + number * 37) % STACKS;

		race->ids[number][which] =
			stacks_intern(race->s, 0, frames, make_stack(which, frames));
		stacks_intern(race->s, 0, frames, make_stack(100000 + number * 1000 + i, frames));
	}
}

static void test_threads(void)
{
	static struct race race;
	uint32_t different = 0, wrong = 0;

	for (unsigned round = 0; round < 20; round++) {
		struct segment s = segment_make(16 << 20);

		race.s = &s;
		on_threads(THREADS, intern_all, &race);
		for (unsigned i = 0; i < STACKS; i++) {
			for (unsigned t = 1; t < THREADS; t++)
				different += race.ids[t][i] != race.ids[0][i];
			wrong += !is_stack(&s, 0, race.ids[0][i], i);
		}
		segment_unmake(&s);
	}
	is_u64(different, 0, "eight threads get the same ids for the same stacks");
	is_u64(wrong, 0, "and each leads to its frames");
}

int main(void)
{
	plan_begin();
	test_one_by_one();
	test_full();
	test_hostile();
	test_threads();
	return plan_end();
}
