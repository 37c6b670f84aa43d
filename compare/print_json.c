#include <stdlib.h>
#include <string.h>

#include "compare/print.h"
#include "output/profile.h"

static void print_string(const char *text, FILE *to)
{
	size_t n = strlen(text);
	char *mended = malloc(3 * n + 1);

	n = mended != NULL ? profile_mend_utf8(text, n, mended) : 0;
	fputc('"', to);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)mended[i];

		if (c < ' ' || c == 0x7f)
			fprintf(to, "\\u%04x", c);
		else
			fprintf(to, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	fputc('"', to);
	free(mended);
}

static const char *verdict_of(const struct compare_result *r)
{
	return r->failed_n > 0 ? "failed" : r->few_n > 0 ? "too_few" : "passed";
}

static void print_side(const struct compare_result *r, unsigned side, FILE *to)
{
	fprintf(to, "{\"runs\": %u, \"total\": %.9g, \"samples\": %.9g}", r->runs->run_n[side],
		r->total[side], r->counts[side]);
}

static const char *measure_of(const struct compare_row *row)
{
	return row->is_all ? "total" : row->sum == RUNS_CUM ? "cum" : "flat";
}

static void print_row(const struct compare_row *row, FILE *to)
{
	static const char *const verdicts[] = {[ROW_ALIKE] = "alike",
					       [ROW_MORE] = "more",
					       [ROW_LESS] = "less",
					       [ROW_FEW] = "too_few"};

	fputs("{\"function\": ", to);
	if (row->is_all)
		fputs("null", to);
	else
		print_string(row->name, to);
	fprintf(to,
		", \"measure\": \"%s\", \"scale\": \"%s\", \"base\": %.9g, \"new\": %.9g, "
		"\"change\": "
		"%.9g, \"ratio\": ",
		measure_of(row), row->is_share ? "share" : "total", row->value[0], row->value[1],
		row->value[1] - row->value[0]);
	if (row->value[0] > 0)
		fprintf(to, "%.9g", row->value[1] / row->value[0]);
	else
		fputs("null", to);
	fprintf(to, ", \"p\": %.9g, \"p_alone\": %.9g, \"verdict\": \"%s\", \"failed\": %s}",
		row->p, row->p_alone, verdicts[row->verdict], row->is_failed ? "true" : "false");
}

static void print_condition(const struct compare_result *r, uint32_t i, FILE *to)
{
	static const char *const verdicts[] = {[CONDITION_PASSED] = "passed",
					       [CONDITION_CHANCE] = "chance",
					       [CONDITION_FAILED] = "failed",
					       [CONDITION_FEW] = "too_few"};
	const struct compare_row *worst = r->worst[i];

	fputs("{\"text\": ", to);
	print_string(r->options->conditions[i].text, to);
	fprintf(to, ", \"verdict\": \"%s\", \"worst\": ", verdicts[r->verdicts[i]]);
	if (worst != NULL)
		fprintf(to, "%td}", worst - r->rows);
	else
		fputs("null}", to);
}

void print_json(const struct compare_result *r, FILE *to)
{
	fprintf(to, "{\"verdict\": \"%s\", \"summary\": ", verdict_of(r));
	print_string(words_summary(r).text, to);
	fputs(",\n \"type\": ", to);
	print_string(r->runs->type, to);
	fputs(", \"unit\": ", to);
	print_string(r->runs->unit, to);
	fprintf(to,
		", \"test\": \"%s\", \"alpha\": %.9g, \"min_share\": %.9g, \"dispersion\": %.9g",
		r->is_counts ? "fisher" : "mann-whitney", r->options->alpha, r->options->min_share,
		r->dispersion);
	fputs(",\n \"base\": ", to);
	print_side(r, 0, to);
	fputs(", \"new\": ", to);
	print_side(r, 1, to);
	fputs(",\n \"warnings\": [", to);
	for (unsigned i = 0; i < r->warnings_n; i++) {
		fputs(i > 0 ? ", " : "", to);
		print_string(r->warnings[i].text, to);
	}
	fputs("],\n \"conditions\": [", to);
	for (uint32_t i = 0; i < r->options->conditions_n; i++) {
		fputs(i > 0 ? ",\n  " : "\n  ", to);
		print_condition(r, i, to);
	}
	fputs("],\n \"rows\": [", to);
	for (uint32_t i = 0; i < r->rows_n; i++) {
		fputs(i > 0 ? ",\n  " : "\n  ", to);
		print_row(&r->rows[i], to);
	}
	fputs("]}\n", to);
}

void print_json_not_comparable(const char *why, FILE *to)
{
	fputs("{\"verdict\": \"not_comparable\", \"summary\": ", to);
	print_string(why, to);
	fputs("}\n", to);
}
