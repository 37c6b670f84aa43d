#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewer/cmd.h"
#include "viewer/names.h"

/* Threads in the order of their index, with what they have. */
struct thread_row {
	uint32_t index;
	uint64_t events, first_ns, last_ns;
};

struct rows {
	struct thread_row *list;
	uint32_t n;
};

static int compare_rows(const void *a, const void *b)
{
	const struct thread_row *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int collect_threads(const struct cmd *c, struct rows *ret)
{
	struct rows rows = {
		malloc((c->streams.streams_n + c->tables.threads_n + 1) * sizeof(*rows.list)), 0};
	uint32_t kept = 0;

	if (rows.list == NULL)
		return -1;
	for (uint32_t i = 0; i < c->streams.streams_n; i++) {
		const struct stream *s = &c->streams.streams[i];
		struct thread_row *row = &rows.list[rows.n];

		if (s->is_switches || s->n == 0)
			continue;
		*row = (struct thread_row){.index = s->thread};
		for (uint32_t k = 0; k < s->n; k++) {
			const struct reader_block *block =
				&c->reader->blocks[c->streams.order[s->first + k]];

			row->events += block->events;
			if (k == 0)
				row->first_ns = block->first_ns;
			row->last_ns =
				block->last_ns > row->last_ns ? block->last_ns : row->last_ns;
		}
		rows.n++;
	}
	for (uint32_t i = 0; i < c->tables.threads_n; i++)
		rows.list[rows.n++] = (struct thread_row){.index = c->tables.threads[i].index};
	qsort(rows.list, rows.n, sizeof(*rows.list), compare_rows);
	/* of one index, the one with events */
	for (uint32_t i = 0; i < rows.n; i++) {
		if (kept > 0 && rows.list[kept - 1].index == rows.list[i].index) {
			if (rows.list[i].events > 0)
				rows.list[kept - 1] = rows.list[i];
		} else {
			rows.list[kept++] = rows.list[i];
		}
	}
	rows.n = kept;
	*ret = rows;
	return 0;
}

static void put_uuid(struct out *o, const uint8_t *uuid)
{
	for (unsigned i = 0; i < 16; i++)
		out_format(o, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static void put_wall_clock(struct out *o, uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[40] = "?";

	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	out_format(o, "%s.%03uZ", text, (unsigned)(ns % 1000000000 / 1000000));
}

static void put_words(struct out *o, const char *(*word)(uint32_t bits, unsigned i), uint32_t bits,
		      bool is_json)
{
	const char *text;

	if (is_json)
		out_char(o, '[');
	for (unsigned i = 0; (text = word(bits, i)) != NULL; i++)
		out_format(o, is_json ? "%s\"%s\"" : "%s%s",
			   i == 0    ? ""
			   : is_json ? ","
				     : " ",
			   text);
	if (is_json)
		out_char(o, ']');
	else if (bits == 0)
		out_text(o, "nothing");
}

static void put_string(struct cmd *c, uint32_t id, enum names_form form)
{
	const struct table_text *text = tables_string(&c->tables, id);
	struct name name;

	name_clear(&name);
	if (text != NULL)
		name_add(&name, text->text, text->length);
	name_out(&name, c->out, form);
}

static void put_thread_name(struct cmd *c, uint32_t index, enum names_form form)
{
	struct name name;

	name_clear(&name);
	name_thread(&name, &c->tables, index);
	name_out(&name, c->out, form);
}

static uint32_t tid_of(const struct cmd *c, uint32_t index)
{
	const struct table_thread *thread = tables_thread(&c->tables, index);

	return thread != NULL ? thread->tid : 0;
}

static uint64_t since_begin(const struct cmd *c, uint64_t ns)
{
	uint64_t begun = cmd_begun_ns(c);

	return ns > begun ? ns - begun : 0;
}

static void say_title(struct cmd *c, const char *title)
{
	out_colour(c->out, OUT_BOLD);
	out_text(c->out, title);
	out_colour(c->out, OUT_PLAIN);
	out_char(c->out, '\n');
}

static void say_head(struct cmd *c, const struct verify *v)
{
	const struct reader *r = c->reader;
	struct out *o = c->out;

	out_text(o, "file       ");
	out_name(o, r->name, strlen(r->name));
	out_text(o, ", ");
	out_size(o, r->source.size);
	if (r->has_header)
		out_format(o, ", format %u.%u", r->header.major, r->header.minor);
	out_text(o, "\nprocess    ");
	if (r->has_header)
		out_format(o, "%" PRIu32 ", from ", r->header.pid);
	if (r->has_header)
		put_wall_clock(o, r->header.begun_realtime_ns);
	else
		out_text(o, "not known: the file's header is damaged");
	out_text(o, ", for ");
	out_duration(o, since_begin(c, v->last_ns));
	out_text(o, "\nended      ");
	if (r->has_trailer)
		out_text(o, name_end(r->trailer.end_reason));
	else
		out_text(o, "not properly: killed, cut off, or still running");
	if (r->has_trailer && (r->trailer.end_reason == TRACE_END_EXITED ||
			       r->trailer.end_reason == TRACE_END_SIGNAL))
		out_format(o, " %" PRIu32, r->trailer.end_value);
	out_text(o, "\nsaw        ");
	put_words(o, name_has, r->header.flags, false);
	out_text(o, "\nlevel      ");
	put_words(o, name_level, r->header.level, false);
	out_text(o, "\nnot seen   ");
	put_words(o, name_has, names_missing(r->header.flags, r->header.level), false);
	out_text(o, "\nuuid       ");
	put_uuid(o, r->header.uuid);
	out_text(o, "\nevents     ");
	out_grouped(o, v->events);
	out_text(o, " in ");
	out_grouped(o, v->blocks);
	out_text(o, " blocks, ");
	out_grouped(o, v->generations);
	out_text(o, " generations; lost ");
	out_grouped(o, v->lost + v->unreadable);
	out_text(o, "\ntables     ");
	out_grouped(o, c->tables.strings_n);
	out_text(o, " strings, ");
	out_grouped(o, c->tables.stacks_n);
	out_text(o, " stacks, ");
	out_grouped(o, c->tables.objects_n);
	out_text(o, " objects, ");
	out_grouped(o, c->tables.symbols_n);
	out_text(o, " symbols\n");
}

static void say_text(struct cmd *c, const struct verify *v, const struct rows *rows)
{
	struct out *o = c->out;

	say_head(c, v);
	if (c->tables.metadata_n > 0)
		say_title(c, "\nmetadata");
	for (uint32_t i = 0; i < c->tables.metadata_n; i++) {
		out_text(o, "  ");
		put_string(c, c->tables.metadata[i].key, NAMES_WORD);
		out_text(o, "  ");
		put_string(c, c->tables.metadata[i].value, NAMES_PLAIN);
		out_char(o, '\n');
	}
	say_title(c, "\nthreads");
	out_format(o, "  %10s  %12s  %12s  %12s  %s\n", "tid", "events", "first s", "last s",
		   "name");
	for (uint32_t i = 0; i < rows->n; i++) {
		const struct thread_row *row = &rows->list[i];

		out_format(o, "  %10" PRIu32 "  %12" PRIu64 "  %12.6f  %12.6f  ",
			   tid_of(c, row->index), row->events,
			   (double)since_begin(c, row->first_ns) / 1e9,
			   (double)since_begin(c, row->last_ns) / 1e9);
		put_thread_name(c, row->index, NAMES_PLAIN);
		out_char(o, '\n');
	}
	if (c->tables.modules_n > 0)
		say_title(c, "\nmodules");
	for (uint32_t i = 0; i < c->tables.modules_n; i++) {
		const struct table_module *m = &c->tables.modules[i];

		out_format(o, "  %012" PRIx64 "-%012" PRIx64 "  ", m->start, m->end);
		put_string(c, m->build_id, NAMES_WORD);
		out_text(o, "  ");
		put_string(c, m->path, NAMES_PLAIN);
		out_char(o, '\n');
	}
	say_title(c, "\nevents by type");
	for (unsigned i = 0; i < 256; i++) {
		if (v->by_type[i] == 0)
			continue;
		out_format(o, "  %12" PRIu64 "  ", v->by_type[i]);
		out_text(o, c->tables.schema.types[i].name);
		out_char(o, '\n');
	}
}

static void json_head(struct cmd *c, const struct verify *v)
{
	const struct reader *r = c->reader;
	struct out *o = c->out;

	out_text(o, "{\"file\":");
	out_json(o, r->name, strlen(r->name));
	out_format(o, ",\"bytes\":%" PRIu64 ",\"format\":\"%u.%u\",\"uuid\":\"", r->source.size,
		   r->header.major, r->header.minor);
	put_uuid(o, r->header.uuid);
	out_format(o,
		   "\",\"pid\":%" PRIu32 ",\"begun_realtime_ns\":%" PRIu64
		   ",\"begun_monotonic_ns\":%" PRIu64 ",\"duration_ns\":%" PRIu64,
		   r->header.pid, r->header.begun_realtime_ns, cmd_begun_ns(c),
		   since_begin(c, v->last_ns));
	out_text(o, ",\"capabilities\":");
	put_words(o, name_has, r->header.flags, true);
	out_text(o, ",\"level\":");
	put_words(o, name_level, r->header.level, true);
	out_text(o, ",\"missing\":");
	put_words(o, name_has, names_missing(r->header.flags, r->header.level), true);
	out_format(o,
		   ",\"complete\":%s,\"damaged\":%s,\"end\":{\"reason\":\"%s\",\"value\":%" PRIu32
		   "}",
		   r->has_trailer ? "true" : "false",
		   verify_is_damaged(v, r, &c->streams) ? "true" : "false",
		   name_end(r->trailer.end_reason), r->trailer.end_value);
	out_format(o,
		   ",\"events\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"blocks\":%" PRIu64
		   ",\"generations\":%" PRIu32 ",\"strings\":%" PRIu32 ",\"stacks\":%" PRIu32
		   ",\"objects\":%" PRIu32 ",\"symbols\":%" PRIu32,
		   v->events, v->lost + v->unreadable, v->blocks, v->generations,
		   c->tables.strings_n, c->tables.stacks_n, c->tables.objects_n,
		   c->tables.symbols_n);
}

static void say_json(struct cmd *c, const struct verify *v, const struct rows *rows)
{
	struct out *o = c->out;
	bool is_first = true;

	json_head(c, v);
	out_text(o, ",\"metadata\":[");
	for (uint32_t i = 0; i < c->tables.metadata_n; i++) {
		out_text(o, i > 0 ? ",{\"key\":" : "{\"key\":");
		put_string(c, c->tables.metadata[i].key, NAMES_JSON);
		out_text(o, ",\"value\":");
		put_string(c, c->tables.metadata[i].value, NAMES_JSON);
		out_char(o, '}');
	}
	out_text(o, "],\"threads\":[");
	for (uint32_t i = 0; i < rows->n; i++) {
		const struct thread_row *row = &rows->list[i];

		out_text(o, i > 0 ? ",{\"name\":" : "{\"name\":");
		put_thread_name(c, row->index, NAMES_JSON);
		out_format(o,
			   ",\"tid\":%" PRIu32 ",\"index\":%" PRIu32 ",\"events\":%" PRIu64
			   ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64 "}",
			   tid_of(c, row->index), row->index, row->events,
			   since_begin(c, row->first_ns), since_begin(c, row->last_ns));
	}
	out_text(o, "],\"modules\":[");
	for (uint32_t i = 0; i < c->tables.modules_n; i++) {
		const struct table_module *m = &c->tables.modules[i];

		out_text(o, i > 0 ? ",{\"path\":" : "{\"path\":");
		put_string(c, m->path, NAMES_JSON);
		out_text(o, ",\"build_id\":");
		put_string(c, m->build_id, NAMES_JSON);
		out_format(o, ",\"start\":%" PRIu64 ",\"end\":%" PRIu64 "}", m->start, m->end);
	}
	out_text(o, "],\"types\":[");
	for (unsigned i = 0; i < 256; i++) {
		if (v->by_type[i] == 0)
			continue;
		out_text(o, is_first ? "{\"name\":\"" : ",{\"name\":\"");
		is_first = false;
		out_text(o, c->tables.schema.types[i].name);
		out_format(o, "\",\"type\":%u,\"count\":%" PRIu64 "}", i, v->by_type[i]);
	}
	out_text(o, "]}\n");
}

static int run(const struct args *args)
{
	struct why why = {""};
	struct rows rows = {0};
	struct verify v;
	struct cmd c;
	int status;

	status = cmd_open(&c, args);
	if (status != STATUS_OK)
		return cmd_close(&c, status);
	if (verify_trace(&v, c.reader, &c.streams, &c.tables, &c.progress.watch, &why) < 0) {
		cmd_complain("%s", why.text);
		return cmd_close(&c, STATUS_FAILED);
	}
	terminal_watch_end(&c.progress);
	if (v.is_interrupted)
		cmd_complain("interrupted: this is what was read until then");
	if (collect_threads(&c, &rows) < 0) {
		cmd_complain("%s: out of memory", c.reader->name);
		return cmd_close(&c, STATUS_FAILED);
	}
	status = cmd_warn_damage(&c, v.unreadable);
	if (cmd_open_out(&c, true) != STATUS_OK) {
		free(rows.list);
		return cmd_close(&c, STATUS_FAILED);
	}
	if (args->format == FORMAT_JSON)
		say_json(&c, &v, &rows);
	else
		say_text(&c, &v, &rows);
	free(rows.list);
	return cmd_close(&c, v.is_interrupted ? STATUS_FAILED : status);
}

const struct command command_info = {
	.name = "info",
	.about = "what was recorded: program, threads, modules, counts",
	.synopsis = "[info] [OPTION...]",
	.text = "What a trace says of itself, and how many events of each type it has.\n",
	.groups = ARGS_JSON | ARGS_OUTPUT,
	.run = run,
};
