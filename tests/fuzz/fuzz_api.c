/*
 * Whatever is asked behind api/v1/ of the timeline's server is refused with a sentence, or answered: with and without an index.
 * Works and tables are taken to pieces, and not done. Built with -fsanitize=fuzzer; see `make fuzz`.
 */
#define TRACE_MAKE_LZ4

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/api_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct api_made made[2];
	static bool is_made;
	struct api_request q;
	struct answer answer;
	struct why why = {""};
	char *text, *bytes;
	size_t n;

	if (!is_made)
		for (int i = 0; i < 2; i++)
			api_make(&made[i], i == 1);
	is_made = true;
	if (size > API_TEXT_MAX)
		return 0;
	text = malloc(size + 1); /* of just this size, so that a read beyond it is seen */
	check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (api_parse(text, &q, &why) < 0) {
		check(why.text[0] != '\0');
	} else if (!api_is_work(&q)) {
		for (int i = 0; i < 2; i++) {
			bytes = api_ask(&made[i], &q, &answer, &n);
			check(n > 0 && (answer.status == 200 || answer.status == 400 ||
					answer.status == 404 || answer.status == 503));
			check(answer.type == ANSWER_JSON ? bytes[0] == '{' && bytes[n - 1] == '}'
							 : n % API_TILE_BYTES == 0);
			free(bytes);
		}
	}
	free(text);
	return 0;
}
