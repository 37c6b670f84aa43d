#include "viewer/latency.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t shown[TRACE_STATES] = {TRACE_RUNNING, TRACE_RUNNABLE, TRACE_LOCK,
					    TRACE_WAIT,    TRACE_SYSCALL,  TRACE_IDLE,
					    TRACE_SPIN,    TRACE_UNKNOWN};

const struct column latency_states[TRACE_STATES] = {
	{.key = "states.running_ns", .kind = COLUMN_NS},
	{.key = "states.runnable_ns", .kind = COLUMN_NS},
	{.key = "states.lock_ns", .kind = COLUMN_NS},
	{.key = "states.wait_ns", .kind = COLUMN_NS},
	{.key = "states.syscall_ns", .kind = COLUMN_NS},
	{.key = "states.idle_ns", .kind = COLUMN_NS},
	{.key = "states.spin_ns", .kind = COLUMN_NS},
	{.key = "states.unknown_ns", .kind = COLUMN_NS},
};

void latency_cells(struct cell cells[TRACE_STATES], const uint64_t state_ns[TRACE_STATES])
{
	for (unsigned i = 0; i < TRACE_STATES; i++)
		cells[i] = (struct cell){.n = state_ns[shown[i]]};
}

void latency_words(struct name *name, const uint64_t state_ns[TRACE_STATES], uint64_t gap_ns,
		   bool has_ns)
{
	uint64_t ns[TRACE_STATES + 1], all = gap_ns;
	struct out text;
	bool is_first = true;
	unsigned most;

	for (unsigned i = 0; i < TRACE_STATES; i++) {
		ns[i] = state_ns[shown[i]];
		all += ns[i];
	}
	ns[TRACE_STATES] = gap_ns;
	for (;;) {
		most = 0;
		for (unsigned i = 1; i <= TRACE_STATES; i++)
			if (ns[i] > ns[most])
				most = i;
		if (ns[most] == 0 || (!is_first && ns[most] < all / 1000))
			return;
		name_format(name, "%s%s ", is_first ? "" : ", ",
			    most < TRACE_STATES ? story_state_name(shown[most]) : "gap");
		if (has_ns) {
			out_init(&text, -1, false);
			out_duration(&text, ns[most]);
			name_add(name, text.buffer, text.n);
		} else {
			name_format(name, "%.*f %%", ns[most] < all / 10 ? 1 : 0,
				    (double)ns[most] / (double)all * 100);
		}
		ns[most] = 0;
		is_first = false;
	}
}

const struct column latency_columns[LATENCY_COLUMNS] = {
	{.key = "name",
	 .title = "name",
	 .kind = COLUMN_TEXT,
	 .is_ascending = true,
	 .is_wide = true},
	{.key = "from_ns", .title = "from", .kind = COLUMN_NS, .is_ascending = true},
	{.key = "to_ns", .title = "to", .kind = COLUMN_NS, .is_ascending = true},
	{.key = "count", .title = "count", .kind = COLUMN_COUNT},
	{.key = "share", .title = "share", .kind = COLUMN_SHARE},
	{.title = "histogram", .kind = COLUMN_TEXT},
};

#define BAR 30

int latency_rows(struct table *table, const char *name, const struct histogram *h)
{
	static const char bar[BAR + 1] = "##############################";
	uint64_t counts[65] = {0}, most = 0;
	unsigned first = 65, last = 0, octave;
	int r = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t begin = histogram_begin(i);

		octave = begin == 0 ? 0 : 64 - (unsigned)__builtin_clzll(begin);
		counts[octave] += h->buckets[i];
		if (h->buckets[i] == 0)
			continue;
		first = octave < first ? octave : first;
		last = octave;
		most = counts[octave] > most ? counts[octave] : most;
	}
	for (octave = first; octave <= last && first < 65 && r == 0; octave++) {
		uint64_t length = most > 0 ? counts[octave] * BAR / most : 0;
		struct cell cells[LATENCY_COLUMNS] = {
			{.text = name},
			{.n = octave == 0 ? 0 : UINT64_C(1) << (octave - 1)},
			{.n = octave < 64 ? UINT64_C(1) << octave : UINT64_MAX},
			{.n = counts[octave]},
			{.share = (double)counts[octave] / (double)h->n},
			{.text = bar + BAR - (counts[octave] > 0 && length == 0 ? 1 : length)},
		};

		r = table_row(table, cells);
	}
	return r;
}

int latency_pattern(struct latency_pattern *p, const char *option, const char *text,
		    const struct tables *t, struct why *why)
{
	char said[128];
	int r;

	*p = (struct latency_pattern){0};
	if (text == NULL)
		return 0;
	r = regcomp(&p->expression, text, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		regerror(r, &p->expression, said, sizeof(said));
		why_set(why, "--%s %.80s: %s; a pattern as grep -E has them was expected", option,
			text, said);
		return -EINVAL;
	}
	p->tables = t;
	return 0;
}

bool latency_matches(struct latency_pattern *p, uint32_t str)
{
	uint32_t known;

	if (p->tables == NULL)
		return true;
	known = map_get(&p->known, str);
	if (known == MAP_NONE) {
		const char *text = tables_text(p->tables, str);

		known = regexec(&p->expression, text != NULL ? text : "", 0, NULL, 0) == 0;
		map_set(&p->known, str, known);
	}
	return known != 0;
}

void latency_pattern_fini(struct latency_pattern *p)
{
	if (p->tables != NULL)
		regfree(&p->expression);
	map_fini(&p->known);
	memset(p, 0, sizeof(*p));
}
