/* core/labels: what a set contains, that equal sets have equal ids, and what happens when there is no room. */
#include "core/labels.h"
#include "tests/unit/segment_make.h"

#define THREADS 8

static bool has(const struct segment *s, uint32_t id, const char *key, const char *value)
{
	uint32_t pairs[LABEL_SET_PAIRS][2], n = labels_copy(s, id, pairs);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(segment_text(s, pairs[i][0]), key) == 0)
			return strcmp(segment_text(s, pairs[i][1]), value) == 0;
	return false;
}

static uint32_t count(const struct segment *s, uint32_t id)
{
	uint32_t pairs[LABEL_SET_PAIRS][2];

	return labels_copy(s, id, pairs);
}

static uint32_t overlay(struct segment *s, uint32_t base, const char *key, const char *value)
{
	const char *const pair[] = {key, value};

	return labels_overlay(s, base, pair, 1);
}

static void test_sets(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t a = overlay(&s, 0, "tenant", "acme"), b = overlay(&s, a, "path", "/x"), c,
		 pairs[LABEL_SET_PAIRS][2];
	const char *const both[] = {"path", "/x", "tenant", "acme"};

	ok(a != 0 && count(&s, a) == 1 && has(&s, a, "tenant", "acme"), "one label");
	ok(b != a && count(&s, b) == 2 && has(&s, b, "tenant", "acme") && has(&s, b, "path", "/x"),
	   "one over another");
	is_u64(labels_overlay(&s, 0, both, 2), b, "equal sets have equal ids, whatever the order");
	is_u64(labels_copy(&s, b, pairs), 2, "copied");
	ok(strcmp(segment_text(&s, pairs[0][0]), "path") == 0, "sorted by key");
	c = overlay(&s, b, "tenant", "other");
	ok(count(&s, c) == 2 && has(&s, c, "tenant", "other") && has(&s, b, "tenant", "acme"),
	   "a key again has the new value, the old set is as it was");
	is_u64(overlay(&s, c, "tenant", "acme"), b, "and back");
	is_u64(overlay(&s, b, "", "x"), b, "a label without a key is none");
	is_u64(labels_overlay(&s, 0, both, 0), 0, "no labels are set 0");
	is_u64(labels_overlay(&s, b, both, 0), b, "nothing over a set is the set");
	ok(overlay(&s, 0, "empty", "") != 0 && has(&s, overlay(&s, 0, "empty", ""), "empty", ""),
	   "an empty value counts");
	for (int i = 0; i < 20; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%02d", i);
		a = overlay(&s, i == 0 ? 0 : a, key, "v");
	}
	is_u64(count(&s, a), LABEL_SET_PAIRS, "as many labels as a set holds");
	ok(has(&s, a, "k00", "v") && !has(&s, a, "k19", "v"), "the first ones");
	segment_unmake(&s);
}

static void test_full(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t slots = segment_count(&s, SEGMENT_LABEL_SETS, 0), n = 0,
		 base = overlay(&s, 0, "base", "1"), id;
	char value[16];

	for (;; n++) {
		snprintf(value, sizeof(value), "%u", n);
		id = overlay(&s, base, "n", value);
		if (id == base)
			break;
	}
	ok(n + 2 >= slots / 2 && n <= slots, "%u sets in %u slots", n, slots);
	ok(s.header->lost[LOST_STRINGS] > 0,
	   "one that finds no room is counted, and the thread keeps what it has");
	ok(has(&s, overlay(&s, base, "n", "0"), "n", "0"), "those that are there are found");
	segment_unmake(&s);
}

static void test_hostile(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	uint32_t slots = segment_count(&s, SEGMENT_LABEL_SETS, 0),
		 id = overlay(&s, 0, "key", "value"), n_many = 0;
	struct segment_label_set *set =
		(struct segment_label_set *)segment_part(&s, SEGMENT_LABEL_SETS, 0) + id;

	for (uint64_t i = 0; i <= slots + 10u; i++)
		n_many += count(&s, (uint32_t)i) > LABEL_SET_PAIRS;
	is_u64(n_many, 0, "no id gives more than a set holds");
	is_u64(count(&s, UINT32_MAX), 0, "an id beyond the table leads nowhere");
	set->count = LABEL_SET_PAIRS + 1;
	is_u64(count(&s, id), 0, "a set that claims too many has none");
	set->count = 1;
	set->state = 1;
	is_u64(count(&s, id), 0, "a set that is being written has none");
	set->state = 2;
	set->pairs[0][0] = UINT32_MAX;
	is_str(segment_text(&s, UINT32_MAX), "", "a string that is nowhere is empty");
	overlay(&s, id, "more", "x"); /* over a broken set: no crash */
	segment_unmake(&s);
}

struct race {
	struct segment *s;
	uint32_t ids[THREADS][40];
};

static void label_all(unsigned number, void *user)
{
	struct race *race = user;
	char value[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(value, sizeof(value), "%u", (i + number * 5) % 40);
		race->ids[number][(i + number * 5) % 40] = overlay(race->s, 0, "n", value);
	}
}

static void test_threads(void)
{
	static struct race race;
	uint32_t wrong = 0, most = 0;

	for (unsigned round = 0; round < 30; round++) {
		struct segment s = segment_make(8 << 20);

		race.s = &s;
		on_threads(THREADS, label_all, &race);
		for (unsigned i = 0; i < 40; i++) {
			char value[16];

			snprintf(value, sizeof(value), "%u", i);
			for (unsigned t = 0; t < THREADS; t++)
				wrong += !has(&s, race.ids[t][i], "n", value);
		}
		if (s.header->label_sets_used > most)
			most = s.header->label_sets_used;
		segment_unmake(&s);
	}
	is_u64(wrong, 0, "every thread gets the labels it asked for");
	ok(most <= 40 * THREADS, "at worst each thread has its own: %u for 40 sets", most);
}

int main(void)
{
	plan_begin();
	test_sets();
	test_full();
	test_hostile();
	test_threads();
	return plan_end();
}
