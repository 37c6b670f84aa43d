#include "cli/closing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/tracing.h"

/* 1,234,567 */
static const char *with_commas(uint64_t n, char *buffer, size_t size)
{
	char digits[32];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	size_t at = 0;

	for (int i = 0; i < length && at + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			buffer[at++] = ',';
		buffer[at++] = digits[i];
	}
	buffer[at] = '\0';
	return buffer;
}

/* "1,234 samples", and waits where they were looked for. */
static void list_amounts(const struct closing *c, char *ret, size_t size)
{
	const struct {
		bool is_there;
		uint64_t n;
		const char *what;
	} amounts[] = {
		{c->has_samples || (!c->has_waits && !c->has_events), c->samples, "samples"},
		{c->has_waits, c->waits, "waits"},
		{c->has_events, c->events, "events"},
	};
	char number[40];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
		if (amounts[i].is_there && used < size)
			used += (size_t)snprintf(
				ret + used, size - used, "%s%s %s", used != 0 ? ", " : "",
				with_commas(amounts[i].n, number, sizeof(number)), amounts[i].what);
}

/* "; 2 threads had no timer", and the like. */
static void list_missed(const struct closing *c, char *ret, size_t size)
{
	static const struct {
		enum segment_lost kind;
		const char *one, *many;
	} words[] = {
		{LOST_CONFINED, "process was not sampled any more after it set a seccomp filter",
		 "processes were not sampled any more after they set seccomp filters"},
		{LOST_LIVE,
		 "sampled block found no room among those in use, and counts as freed: memory= "
		 "gives more",
		 "sampled blocks found no room among those in use, and count as freed: memory= "
		 "gives more"},
		{LOST_THREADS, "thread had no timer", "threads had no timer"},
		{LOST_CHILDREN, "child process was not followed",
		 "child processes were not followed"},
	};

	ret[0] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint64_t n = c->missed[words[i].kind];
		size_t used = strlen(ret);

		if (n > 0)
			snprintf(ret + used, size - used, "; %" PRIu64 " %s", n,
				 n == 1 ? words[i].one : words[i].many);
	}
}

/* "; 3 snapshots by trace.on=" */
static void list_snapshots(const struct closing *c, char *ret, size_t size)
{
	int n = 0;

	ret[0] = '\0';
	if (c->triggered > 0)
		n = snprintf(ret, size, "; %u snapshot%s by trace.on=", c->triggered,
			     c->triggered == 1 ? "" : "s");
	if (c->triggered_left_out > 0)
		snprintf(ret + n, size - (size_t)n,
			 "; %" PRIu64
			 " region%s longer than trace.on= says had no snapshot any more",
			 c->triggered_left_out, c->triggered_left_out == 1 ? "" : "s");
}

void closing_say(const struct closing *c, const char *directory, bool were_refused,
		 unsigned running)
{
	char amounts[160], lost[40], children[64] = "", kept[96] = "", missed[480], next[4200] = "";
	char snapshots[160];
	const struct closing_first *first =
		c->main_first.name[0] != '\0' ? &c->main_first : &c->child_first;

	if (c->failure.text[0] != '\0')
		fprintf(stderr, "cprof: %s\n", c->failure.text);
	if (!c->has_main && c->children == 0) {
		if (c->failure.text[0] == '\0')
			fprintf(stderr, "cprof: nothing was recorded%s\n",
				were_refused ? ""
					     : ": the program ended before its libraries were "
					       "loaded, or dropped LD_PRELOAD");
		return;
	}
	if (c->children > 0)
		snprintf(children, sizeof(children), " (and %u other program%s)", c->children,
			 c->children == 1 ? "" : "s");
	if (running > 0)
		snprintf(kept, sizeof(kept),
			 "; %u process%s still run%s: theirs follow when they end", running,
			 running == 1 ? "" : "es", running == 1 ? "s" : "");
	list_missed(c, missed, sizeof(missed));
	list_snapshots(c, snapshots, sizeof(snapshots));
	if (first->name[0] != '\0' && !first->is_log && c->samples + c->waits > 0)
		snprintf(next, sizeof(next), "; next: cprof top %s%s/%s%s.pb.gz", first->index,
			 directory, first == &c->main_first ? "" : "*/", first->name);
	else if (first->is_log && c->events > 0)
		snprintf(next, sizeof(next), "; next: cprof-trace %s/%s%s", directory,
			 first == &c->main_first ? "" : "*/", TRACING_FILE);
	list_amounts(c, amounts, sizeof(amounts));
	fprintf(stderr, "cprof: %s, %s lost%s in %s%s%s%s%s%s\n", amounts,
		with_commas(c->lost, lost, sizeof(lost)), children, directory, snapshots, missed,
		kept,
		c->has_no_snapshot ? "; no snapshot at the end, which came without exit()" : "",
		next);
}
