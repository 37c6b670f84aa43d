#include <string.h>

#include "compare/print.h"

#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

static const char *colour_of(const struct compare_row *row)
{
	if (row->is_failed)
		return RED;
	return row->verdict == ROW_MORE ? YELLOW : row->verdict == ROW_LESS ? GREEN : "";
}

/* What a terminal takes for a command stays out of it. */
static void print_name(const char *name, FILE *to)
{
	for (; *name != '\0'; name++)
		fputc((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name, to);
}

static bool has_cum(const struct compare_result *r)
{
	for (uint32_t i = 0; i < r->rows_n; i++)
		if (r->rows[i].sum == RUNS_CUM && !r->rows[i].is_all)
			return true;
	return false;
}

static void print_row(const struct compare_result *r, const struct compare_row *row, FILE *to,
		      bool has_what, bool has_colour)
{
	const char *colour = has_colour ? colour_of(row) : "";

	fprintf(to, "%s%10s %10s %10s %9s %8s  %-7s  ", colour, words_value(r, row, 0).text,
		words_value(r, row, 1).text, words_change(r, row).text, words_percent(row).text,
		words_p(row).text, words_verdict(r, row));
	if (has_what)
		fprintf(to, "%-4s  ", row->is_all ? "" : row->sum == RUNS_CUM ? "cum" : "flat");
	if (row->is_all)
		fputs("(total)", to);
	else
		print_name(row->name, to);
	fprintf(to, "%s\n", colour[0] != '\0' ? PLAIN : "");
}

static void print_conditions(const struct compare_result *r, FILE *to, bool has_colour)
{
	for (uint32_t i = 0; i < r->options->conditions_n; i++) {
		const struct compare_row *worst = r->worst[i];
		enum condition_verdict verdict = r->verdicts[i];
		const char *colour = !has_colour                   ? ""
				     : verdict == CONDITION_FAILED ? RED
				     : verdict == CONDITION_PASSED ? ""
								   : YELLOW;

		fprintf(to, "%s-fail-on ", colour);
		print_name(r->options->conditions[i].text, to);
		fprintf(to, ": %s%s\n", words_condition(verdict), colour[0] != '\0' ? PLAIN : "");
		if (worst != NULL && verdict != CONDITION_PASSED)
			fprintf(to, "    %s\n", words_sentence(r, worst).text);
		if (worst == NULL)
			fprintf(to,
				"    no samples of it on either side, or none above -min-share\n");
	}
}

void print_text(const struct compare_result *r, FILE *to, uint32_t rows_max, bool has_colour)
{
	bool has_what = has_cum(r);

	fprintf(to, "Type: %s/%s\n", r->runs->type, r->runs->unit);
	fprintf(to, "Base: %s\nNew:  %s\n", words_side(r, 0).text, words_side(r, 1).text);
	fprintf(to, "%s\n", words_method(r).text);
	for (unsigned i = 0; i < r->warnings_n; i++)
		fprintf(to, "Warning: %s\n", r->warnings[i].text);
	if (r->rows_n > 0)
		fprintf(to, "\n%10s %10s %10s %9s %8s  %-7s  %sfunction\n", "base", "new", "change",
			"", "p", "", has_what ? "what  " : "");
	for (uint32_t i = 0; i < r->rows_n && (rows_max == 0 || i < rows_max); i++)
		print_row(r, &r->rows[i], to, has_what, has_colour);
	if (rows_max != 0 && r->rows_n > rows_max)
		fprintf(to, "%u more; -nodecount=0 shows all\n", r->rows_n - rows_max);
	fputc('\n', to);
	print_conditions(r, to, has_colour);
	fprintf(to, "%s%s%s\n", has_colour && r->failed_n > 0 ? RED : "", words_summary(r).text,
		has_colour && r->failed_n > 0 ? PLAIN : "");
}
