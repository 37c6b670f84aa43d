#include <inttypes.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/names.h"

#define SHOWN 20 /* damages and holes, without -v */

static void say_thread(struct cmd *c, uint32_t index, bool is_switches)
{
	struct name name;

	if (is_switches) {
		out_format(c->out, "processor %" PRIu32, index);
		return;
	}
	name_clear(&name);
	name_thread(&name, &c->tables, index);
	out_text(c->out, "thread ");
	name_out(&name, c->out, NAMES_PLAIN);
}

static void say_hole(struct cmd *c, const struct stream_hole *hole)
{
	struct out *o = c->out;
	uint64_t begun = cmd_begun_ns(c);

	out_text(o, "  ");
	if (hole->is_tables)
		out_text(o, "tables");
	else
		say_thread(c, hole->thread, hole->is_switches);
	if (hole->n == 1)
		out_format(o, ": block %" PRIu32 " is not there", hole->first);
	else
		out_format(o, ": blocks %" PRIu32 " to %" PRIu32 " are not there", hole->first,
			   hole->first + hole->n - 1);
	if (!hole->is_tables && hole->to_ns >= hole->from_ns && hole->from_ns >= begun) {
		out_text(o, ", between ");
		out_seconds(o, hole->from_ns - begun);
		out_text(o, " and ");
		out_seconds(o, hole->to_ns - begun);
		out_text(o, " s");
	}
	out_text(o, hole->is_known ? " (the trace says so itself)\n" : "\n");
}

static void say_more(struct cmd *c, uint64_t all, uint64_t said, const char *what)
{
	if (said < all) {
		out_text(c->out, "  … and ");
		out_grouped(c->out, all - said);
		out_format(c->out, " %s%s\n", what, c->args->verbose ? "" : "; -v shows more");
	}
}

static void say_damage(struct cmd *c, const struct verify *v)
{
	const struct reader *r = c->reader;
	struct out *o = c->out;
	uint64_t most = c->args->verbose ? UINT64_MAX : SHOWN, said = 0;

	for (; said < r->damages_kept && said < most; said++) {
		const struct reader_damage *d = &r->damages[said];

		out_format(o, "  offset %" PRIu64 ", %" PRIu64 " bytes: ", d->offset, d->bytes);
		out_name(o, d->what, strlen(d->what));
		out_char(o, '\n');
	}
	say_more(c, r->damages_n, said, "damaged places");
	for (said = 0; said < c->streams.holes_kept && said < most; said++)
		say_hole(c, &c->streams.holes[said]);
	say_more(c, c->streams.holes_n, said, "holes");
	if (v->listed_missing > 0) {
		out_text(o, "  of the blocks that its footer lists, ");
		out_grouped(o, v->listed_missing);
		out_text(o, " are not where they should be, with ");
		out_grouped(o, v->listed_missing_events);
		out_text(o, " events\n");
	}
	if (v->is_footer_wrong)
		out_format(o,
			   "  its trailer says that the footer is at offset %" PRIu64
			   ", where none is\n",
			   r->trailer.footer_offset);
	if (!r->has_trailer && !r->is_interrupted)
		out_text(
			o,
			"  it has no end: the recording was cut short, or is still running, or the "
			"file was not copied as a whole\n");
}

static void say_loss(struct cmd *c, const struct verify *v)
{
	static const char *const tables[NEEDS] = {"strings", "stacks", "objects", "modules"};
	struct out *o = c->out;

	for (uint32_t i = 0; i < c->streams.streams_n; i++) {
		const struct stream *s = &c->streams.streams[i];

		if (s->lost == 0)
			continue;
		out_text(o, "  ");
		say_thread(c, s->thread, s->is_switches);
		out_text(o, ": ");
		out_grouped(o, s->lost);
		out_text(o, " events were lost while it was recorded\n");
	}
	for (unsigned i = 0; i < NEEDS; i++) {
		if (v->needs_missing[i] == 0)
			continue;
		out_text(o, "  ");
		out_grouped(o, v->needs_missing[i]);
		out_format(o,
			   " blocks need %s that no table before them has: these are shown as "
			   "numbers\n",
			   tables[i]);
	}
	if (v->undeclared > 0) {
		out_text(o, "  ");
		out_grouped(o, v->undeclared);
		out_format(o, " blocks cannot be read to their end: %s; a newer cprof-trace can\n",
			   v->undeclared_what);
	}
	if (c->tables.left_out > 0) {
		out_text(o, "  ");
		out_grouped(o, c->tables.left_out);
		out_format(o, " names are left out: the tables are larger than %" PRIu64 " MiB\n",
			   TABLES_BYTES_MAX >> 20);
	}
	if (c->tables.schema_bad > 0) {
		out_text(o, "  its schema cannot be as it says: ");
		out_name(o, c->tables.schema_why.text, strlen(c->tables.schema_why.text));
		out_char(o, '\n');
	}
}

static void say_name(struct out *o, const struct reader *r)
{
	out_name(o, r->name, strlen(r->name));
	out_text(o, ": ");
}

static void say_text(struct cmd *c, const struct verify *v, bool is_damaged)
{
	const struct reader *r = c->reader;
	struct out *o = c->out;
	uint32_t threads = 0;

	for (uint32_t i = 0; i < c->streams.streams_n; i++)
		threads += !c->streams.streams[i].is_switches;
	say_name(o, r);
	out_colour(o, is_damaged ? OUT_RED : OUT_GREEN);
	out_text(o, v->is_interrupted ? "interrupted" : is_damaged ? "damaged" : "ok");
	out_colour(o, OUT_PLAIN);
	out_text(o, ": ");
	out_grouped(o, v->events);
	out_text(o, " events in ");
	out_grouped(o, v->blocks - v->blocks_bad);
	out_text(o, " blocks of ");
	out_grouped(o, threads);
	out_text(o, threads == 1 ? " thread, " : " threads, ");
	out_size(o, r->source.size);
	out_text(o, ", ");
	out_duration(o, v->last_ns - v->first_ns);
	out_text(o, "; lost ");
	out_grouped(o, v->lost + v->unreadable);
	if (r->has_trailer) {
		out_format(o, "; ended: %s", name_end(r->trailer.end_reason));
		if (r->trailer.end_reason == TRACE_END_EXITED ||
		    r->trailer.end_reason == TRACE_END_SIGNAL)
			out_format(o, " %" PRIu32, r->trailer.end_value);
	}
	out_char(o, '\n');
	if (c->args->quiet)
		return;
	say_damage(c, v);
	say_loss(c, v);
	if (is_damaged && !v->is_interrupted)
		out_text(o, "Next: 'cprof-trace FILE repair -o NEW' keeps what is good.\n");
}

static void say_json(struct cmd *c, const struct verify *v, bool is_damaged)
{
	const struct reader *r = c->reader;
	struct out *o = c->out;

	out_text(o, "{\"file\":");
	out_json(o, r->name, strlen(r->name));
	out_format(o,
		   ",\"damaged\":%s,\"complete\":%s,\"interrupted\":%s,\"bytes\":%" PRIu64
		   ",\"blocks\":%" PRIu64 ",\"bad_blocks\":%" PRIu64 ",\"events\":%" PRIu64
		   ",\"unreadable_events\":%" PRIu64 ",\"lost_events\":%" PRIu64,
		   is_damaged ? "true" : "false", r->has_trailer ? "true" : "false",
		   v->is_interrupted ? "true" : "false", r->source.size, v->blocks, v->blocks_bad,
		   v->events, v->unreadable, v->lost);
	out_format(o,
		   ",\"damaged_bytes\":%" PRIu64 ",\"missing_blocks\":%" PRIu64
		   ",\"listed_missing\":%" PRIu64 ",\"damages\":[",
		   r->damaged_bytes, c->streams.holes_blocks, v->listed_missing);
	for (size_t i = 0; i < r->damages_kept; i++) {
		const struct reader_damage *d = &r->damages[i];

		out_format(o, "%s{\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"what\":",
			   i > 0 ? "," : "", d->offset, d->bytes);
		out_json(o, d->what, strlen(d->what));
		out_char(o, '}');
	}
	out_text(o, "],\"holes\":[");
	for (uint64_t i = 0; i < c->streams.holes_kept; i++) {
		const struct stream_hole *h = &c->streams.holes[i];

		out_format(o,
			   "%s{\"of\":\"%s\",\"index\":%" PRIu32 ",\"first\":%" PRIu32
			   ",\"blocks\":%" PRIu32 ",\"known\":%s}",
			   i > 0 ? "," : "",
			   h->is_tables     ? "tables"
			   : h->is_switches ? "processor"
					    : "thread",
			   h->thread, h->first, h->n, h->is_known ? "true" : "false");
	}
	out_text(o, "]}\n");
}

static int run(const struct args *args)
{
	struct why why = {""};
	struct verify v;
	struct cmd c;
	bool is_damaged;
	int status;

	status = cmd_open(&c, args);
	if (status == STATUS_OK)
		status = cmd_open_out(&c, false);
	if (status != STATUS_OK)
		return cmd_close(&c, status);
	if (verify_trace(&v, c.reader, &c.streams, &c.tables, &c.progress.watch, &why) < 0) {
		cmd_complain("%s", why.text);
		return cmd_close(&c, STATUS_FAILED);
	}
	terminal_watch_end(&c.progress);
	is_damaged = verify_is_damaged(&v, c.reader, &c.streams);
	if (args->format == FORMAT_JSON)
		say_json(&c, &v, is_damaged);
	else
		say_text(&c, &v, is_damaged);
	if (is_damaged || (args->strict && verify_has_loss(&v, c.reader, &c.streams)))
		status = STATUS_DAMAGED;
	else if (v.is_interrupted)
		status = STATUS_FAILED;
	return cmd_close(&c, status);
}

const struct command command_check = {
	.name = "check",
	.about = "verify a trace, and account for what is lost",
	.synopsis = "check [OPTION...]",
	.text = "Reads all of a trace: every checksum, every number. Says what is damaged and "
		"where,\n"
		"what was lost and when, and whether the trace was ended properly.\n",
	.groups = ARGS_JSON | ARGS_OUTPUT,
	.run = run,
};
