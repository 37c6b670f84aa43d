#include <string.h>

#include "compare/print.h"

/* As code, where nothing is markup but the end of it, and the end of a column. */
static void print_code(const char *text, FILE *to)
{
	fputc('`', to);
	for (; *text != '\0'; text++) {
		if (*text == '|')
			fputc('\\', to);
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?'
		      : *text == '`'                              ? '\''
								  : *text,
		      to);
	}
	fputc('`', to);
}

/* A sentence with a function's name in it. */
static void print_escaped(const char *text, FILE *to)
{
	for (; *text != '\0'; text++) {
		if (*text == '<' || *text == '>' || *text == '&')
			fprintf(to, "&#%d;", *text);
		else if (strchr("\\`*_[]|~#@$", *text) != NULL)
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

static const char *headline(const struct compare_result *r)
{
	return r->failed_n > 0                ? "failed"
	       : r->few_n > 0                 ? "too few samples or runs"
	       : r->options->conditions_n > 0 ? "passed"
					      : "what has changed";
}

static void print_row(const struct compare_result *r, const struct compare_row *row, FILE *to)
{
	fputs("| ", to);
	if (row->is_all)
		fputs("total", to);
	else
		print_code(row->name, to);
	fprintf(to, "%s | %s | %s | %s | %s | %s | %s%s%s |\n",
		row->sum == RUNS_CUM && !row->is_all ? " (cum)" : "", words_value(r, row, 0).text,
		words_value(r, row, 1).text, words_change(r, row).text, words_percent(row).text,
		words_p(row).text, row->is_failed ? "**" : "", words_verdict(r, row),
		row->is_failed ? "**" : "");
}

void print_markdown(const struct compare_result *r, FILE *to, uint32_t rows_max)
{
	struct words method = words_method(r);
	char *second = strchr(method.text, '\n');

	if (second != NULL)
		*second++ = '\0';
	fprintf(to, "### cprof diff: %s\n\n", headline(r));
	print_escaped(words_summary(r).text, to);
	fputs("\n\n", to);
	for (unsigned i = 0; i < r->warnings_n; i++) {
		fputs("> Warning: ", to);
		print_escaped(r->warnings[i].text, to);
		fputs("\n\n", to);
	}
	if (r->options->conditions_n > 0)
		fputs("| condition | verdict |\n|---|---|\n", to);
	for (uint32_t i = 0; i < r->options->conditions_n; i++) {
		fputs("| ", to);
		print_code(r->options->conditions[i].text, to);
		fprintf(to, " | %s%s%s |\n", r->verdicts[i] == CONDITION_FAILED ? "**" : "",
			words_condition(r->verdicts[i]),
			r->verdicts[i] == CONDITION_FAILED ? "**" : "");
	}
	if (r->options->conditions_n > 0)
		fputc('\n', to);
	if (r->rows_n > 0)
		fputs("| function | base | new | change | | p | |\n"
		      "|---|---:|---:|---:|---:|---:|---|\n",
		      to);
	for (uint32_t i = 0; i < r->rows_n && (rows_max == 0 || i < rows_max); i++)
		print_row(r, &r->rows[i], to);
	if (rows_max != 0 && r->rows_n > rows_max)
		fprintf(to, "\n%u more rows.\n", r->rows_n - rows_max);
	fprintf(to, "\n%s/%s. Base: %s; new: %s. %s.%s%s\n", r->runs->type, r->runs->unit,
		words_side(r, 0).text, words_side(r, 1).text, method.text,
		second != NULL ? " " : "", second != NULL ? second : "");
}

void print_markdown_not_comparable(const char *why, FILE *to)
{
	fputs("### cprof diff: not comparable\n\n", to);
	print_escaped(why, to);
	fputc('\n', to);
}
