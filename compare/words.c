#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "compare/print.h"
#include "output/text_unit.h"

__attribute__((format(printf, 2, 3))) static void append(struct words *w, const char *format, ...)
{
	size_t n = strlen(w->text);
	va_list args;

	va_start(args, format);
	vsnprintf(w->text + n, sizeof(w->text) - n, format, args);
	va_end(args);
}

/* A name on its way to a line: whole characters, as many bytes of it as a line has room for. */
static struct words shown_name(const char *name)
{
	struct words w = {""};
	size_t n = strlen(name), cut = n < 160 ? n : 157;

	while (cut < n && cut > 0 && ((unsigned char)name[cut] & 0xc0) == 0x80)
		cut--;
	append(&w, "%.*s%s", (int)cut, name, cut < n ? "…" : "");
	for (char *at = w.text; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	return w;
}

static struct words amount(const struct compare_result *r, double value)
{
	struct unit_label label = unit_label(unit_truncate(value), r->runs->unit, "auto");
	struct words w = {""};

	append(&w, "%.40s%s", label.number, label.unit);
	return w;
}

struct words words_value(const struct compare_result *r, const struct compare_row *row,
			 unsigned side)
{
	struct words w = {""};

	if (!row->is_share)
		return amount(r, row->value[side]);
	append(&w, "%.2f %%", 100 * row->value[side]);
	return w;
}

struct words words_change(const struct compare_result *r, const struct compare_row *row)
{
	double change = row->value[1] - row->value[0];
	struct words w = {""};

	if (row->is_share)
		append(&w, "%+.2f pp", 100 * change);
	else
		append(&w, "%s%s", change > 0 ? "+" : "", amount(r, change).text);
	return w;
}

struct words words_percent(const struct compare_row *row)
{
	struct words w = {""};

	if (row->value[0] <= 0 || row->value[1] <= 0)
		append(&w, "%s", row->value[0] > 0 ? "gone" : row->value[1] > 0 ? "new" : "-");
	else if (row->value[1] / row->value[0] >= 10)
		append(&w, "%.3gx", row->value[1] / row->value[0]);
	else
		append(&w, "%+.1f %%", 100 * (row->value[1] / row->value[0] - 1));
	return w;
}

struct words words_p(const struct compare_row *row)
{
	struct words w = {""};

	if (row->verdict == ROW_FEW)
		append(&w, "-");
	else if (row->p < 0.0001)
		append(&w, "<0.0001");
	else
		append(&w, row->p < 0.001 ? "%.4f" : "%.3f", row->p);
	return w;
}

/* Is it time that is spent, so that more of it is slower? */
static bool is_time(const struct compare_result *r)
{
	return unit_is_compatible(r->runs->unit, "nanoseconds") &&
	       strcmp(r->runs->type, "delay") != 0;
}

const char *words_verdict(const struct compare_result *r, const struct compare_row *row)
{
	switch (row->verdict) {
	case ROW_ALIKE:
		return "";
	case ROW_MORE:
		return is_time(r) ? "slower" : "more";
	case ROW_LESS:
		return is_time(r) ? "faster" : "less";
	case ROW_FEW:
		return "too few";
	}
	return "";
}

const char *words_condition(enum condition_verdict verdict)
{
	switch (verdict) {
	case CONDITION_PASSED:
		return "passed";
	case CONDITION_CHANCE:
		return "passed: beyond the limit, but that may be chance";
	case CONDITION_FAILED:
		return "failed";
	case CONDITION_FEW:
		return "cannot be told: too few samples or runs";
	}
	return "";
}

/* "8.2 %"; small ones with two digits behind the point. */
static void append_share(struct words *w, double share, const char *unit)
{
	append(w, fabs(share) < 0.00995 ? "%.2f %s" : "%.1f %s", 100 * share, unit);
}

struct words words_sentence(const struct compare_result *r, const struct compare_row *row)
{
	double change = fabs(row->value[1] - row->value[0]);
	struct words w = shown_name(row->is_all ? "the whole" : row->name);

	append(&w, is_time(r) ? " got " : " has ");
	if (row->is_share)
		append_share(&w, change, "pp");
	else
		append(&w, "%s", amount(r, change).text);
	append(&w, " %s%s (",
	       is_time(r)                      ? row->value[1] > row->value[0] ? "slower" : "faster"
	       : row->value[1] > row->value[0] ? "more"
					       : "less",
	       row->sum == RUNS_CUM && !row->is_all ? " with what it calls" : "");
	for (unsigned i = 0; i < 2; i++) {
		if (row->is_share)
			append_share(&w, row->value[i], "%");
		else
			append(&w, "%s", amount(r, row->value[i]).text);
		append(&w, i == 0 ? " → " : ")");
	}
	if (row->verdict != ROW_FEW)
		append(&w, ", p %s%s", row->p < 0.0001 ? "< " : "= ",
		       row->p < 0.0001 ? "0.0001" : words_p(row).text);
	return w;
}

static bool is_changed(const struct compare_row *row)
{
	return row->verdict == ROW_MORE || row->verdict == ROW_LESS;
}

struct words words_summary(const struct compare_result *r)
{
	uint32_t conditions_n = r->options->conditions_n, n = 0, told = 0;
	struct words w = {""};

	for (uint32_t i = 0; i < r->rows_n; i++) {
		const struct compare_row *row = &r->rows[i];

		told += row->verdict != ROW_FEW;
		if (!(conditions_n > 0 ? row->is_failed : is_changed(row)))
			continue;
		/* each is at most a third of what there is room for */
		if (++n <= 3 && strlen(w.text) < WORDS_BYTES / 2)
			append(&w, "%s; ", words_sentence(r, row).text);
	}
	if (r->failed_n > 0)
		append(&w, "%u of %u condition%s failed", r->failed_n, conditions_n,
		       conditions_n > 1 ? "s" : "");
	else if (r->few_n > 0)
		append(&w, "%u of %u condition%s cannot be told: too few samples or runs", r->few_n,
		       conditions_n, conditions_n > 1 ? "s" : "");
	else if (conditions_n > 0)
		append(&w, "no condition of %u failed", conditions_n);
	else if (n > 0)
		append(&w, "%u of %u function%s changed", n, r->rows_n, r->rows_n > 1 ? "s" : "");
	else if (told == 0)
		append(&w, "nothing can be told: too few samples or runs");
	else
		append(&w, "%u function%s, and no difference that could not be chance", r->rows_n,
		       r->rows_n > 1 ? "s" : "");
	return w;
}

struct words words_method(const struct compare_result *r)
{
	const struct compare_options *o = r->options;
	struct words w = {""};

	append(&w, "%s, Holm's correction over %u rows of at least %.3g %%, alpha %.3g",
	       r->is_counts ? "Fisher's exact test of two shares"
			    : "Mann-Whitney U test of the runs",
	       r->rows_n, 100 * o->min_share, o->alpha);
	if (r->is_counts && r->dispersion > 1)
		append(&w, ", counts divided by %.2f", r->dispersion);
	if (r->is_counts && o->is_absolute)
		append(&w,
		       "\nOne file a side: how much a total differs from run to run is not known; "
		       "with ten a side it is.");
	else if (r->is_counts)
		append(&w, "\nOne file a side: how much a run differs from the next is not known; "
			   "with ten a side it is.");
	else if (r->runs_wanted > 0)
		append(&w,
		       "\nSo few runs cannot show anything of so many rows: at least %u a side, or "
		       "fewer rows by -min-share or -fail-on.",
		       r->runs_wanted);
	return w;
}

struct words words_side(const struct compare_result *r, unsigned side)
{
	struct words w = {""};
	uint32_t n = r->runs->run_n[side];

	append(&w, n == 1 ? "%u run of %s" : "%u runs of %s", n, amount(r, r->total[side]).text);
	if (r->is_counts)
		append(&w, ", worth %.0f samples", r->counts[side]);
	return w;
}
