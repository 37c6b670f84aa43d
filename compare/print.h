/*
 * print: what a comparison found, for people, for a pull request, for programs. The JSON's schema is in cprof-diff(1).
 *
 * Names come out of files: what a terminal would take for a command, and what Markdown would take for markup, is not passed on.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "compare/compare.h"

/* At most @rows_max rows, 0: all. */
void print_text(const struct compare_result *r, FILE *to, uint32_t rows_max, bool has_colour);
void print_markdown(const struct compare_result *r, FILE *to, uint32_t rows_max);
void print_json(const struct compare_result *r, FILE *to);

/* The same of sides that are not comparable. */
void print_markdown_not_comparable(const char *why, FILE *to);
void print_json_not_comparable(const char *why, FILE *to);

/* The words of all three. */
enum { WORDS_BYTES = 400 };

struct words {
	char text[WORDS_BYTES];
};

/* "8.20 %", "1.23s" */
struct words words_value(const struct compare_result *r, const struct compare_row *row,
			 unsigned side);
/* "+4.10 pp", "+120ms" */
struct words words_change(const struct compare_result *r, const struct compare_row *row);
/* "+50.0 %", "new", "gone" */
struct words words_percent(const struct compare_row *row);
/* "0.003", "<0.0001"; "-" where nothing could be told */
struct words words_p(const struct compare_row *row);
/* "slower", "less", "", "too few" */
const char *words_verdict(const struct compare_result *r, const struct compare_row *row);
const char *words_condition(enum condition_verdict verdict);
/* "parse got 4.1 pp slower (8.2 % → 12.3 %), p = 0.003" */
struct words words_sentence(const struct compare_result *r, const struct compare_row *row);
/* That of the three largest that matter, and what became of the conditions. */
struct words words_summary(const struct compare_result *r);
/* How it was tested, and what that cannot know: two lines at most, separated by \n. */
struct words words_method(const struct compare_result *r);
/* What a side is: "10 runs of 1.23s", "1 run of 1.23s, 998 samples' worth" */
struct words words_side(const struct compare_result *r, unsigned side);
