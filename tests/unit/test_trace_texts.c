/*
 * Texts get numbers, each one.
 */
#include <stdio.h>
#include <string.h>

#include "tests/tap.h"
#include "viewer/texts.h"

int main(void)
{
	struct texts t = {0};
	char text[32];
	unsigned wrong = 0;
	const char *got;
	size_t size;

	plan_begin();
	is_u64(texts_add(&t, "", 0), 0, "the first has number 0, though it is empty");
	is_u64(texts_add(&t, "a\0b", 3), 1, "bytes are bytes");
	is_u64(texts_add(&t, "a", 1), 2, "of which a part is another text");
	is_u64(texts_add(&t, "", 0), 0, "again, the same");
	is_u64(texts_add(&t, "a\0b", 3), 1, "again, the same");
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 50000; i++) {
			int n = snprintf(text, sizeof(text), "text %u", i);

			wrong += texts_add(&t, text, (size_t)n) != 3 + i;
		}
	is_u64(wrong, 0, "many, twice");
	is_u64(t.n, 50003, "and no more than that");
	for (unsigned i = 0; i < 50000; i++) {
		int n = snprintf(text, sizeof(text), "text %u", i);

		got = texts_get(&t, 3 + i, &size);
		wrong += size != (size_t)n || memcmp(got, text, size) != 0;
	}
	is_u64(wrong, 0, "each is what it was");
	got = texts_get(&t, 1, &size);
	ok(size == 3 && memcmp(got, "a\0b", 3) == 0, "the first ones, too");
	texts_fini(&t);
	return plan_end();
}
