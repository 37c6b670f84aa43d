/*
 * Any text is either refused with a sentence and nothing stored, or means the same as its canonical
 * text. Built with -fsanitize=fuzzer; see `make fuzz`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/option.h"

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void check_expand(const struct option_set *set)
{
	struct option_names names = {set->http, set->out, 4194304, (int64_t)set->block_ns};
	char buf[600];
	struct why why;
	int r;

	r = option_expand(set->out, &names, buf, sizeof(buf), &why);
	check(r == -ENAMETOOLONG || (r >= 0 && strlen(buf) == (size_t)r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned available =
		size > 0 && data[0] == '!' ? OPTION_CPU : OPTION_PROFILES | OPTION_HTTP;
	char text[OPTION_TEXT_MAX], again[OPTION_TEXT_MAX];
	struct option_set set, copy;
	struct why why = {""};
	char *input;
	int n;

	input = malloc(size + 1); /* of just this size, so that a read beyond it is seen */
	check(input != NULL);
	memcpy(input, data, size);
	input[size] = '\0';
	memset(&set, 0xa5, sizeof(set));
	copy = set;
	if (option_parse(input + (available == OPTION_CPU), available, &set, &why) < 0) {
		check(why.text[0] != '\0' && strpbrk(why.text, "\n\r\033") == NULL);
		check(memcmp(&set, &copy, sizeof(set)) == 0);
		free(input);
		return 0;
	}
	free(input);

	check((set.profiles & ~(uint64_t)available) == 0);
	n = option_print(&set, text, sizeof(text));
	check(n >= 0 && strlen(text) == (size_t)n);
	check(option_parse(text, available, &copy, &why) == 0);
	check(option_print(&copy, again, sizeof(again)) == n && strcmp(text, again) == 0);
	copy.given = set.given; /* "all" is spelled out */
	check(memcmp(&copy, &set, sizeof(set)) == 0);
	check_expand(&set);
	return 0;
}
