#include <inttypes.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/print.h"

static struct {
	const char *type;
	bool raw, stacks;
} own;

static const struct args_option options[] = {
	{.name = "type",
	 .letter = 't',
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), type),
	 .takes = "LIST",
	 .about = "only these types: lock.*,syscall"},
	{.name = "stacks",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), stacks),
	 .about = "whole stacks, not only their top"},
	{.name = "raw",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), raw),
	 .about = "numbers as they are in the file, no names"},
	{.name = NULL},
};

/* Files are opened and named by events, from where on they have that name. */
static void learn(struct cmd *c, const struct event *event)
{
	struct table_file file = {.id = (uint32_t)event->arguments[0]};
	const struct table_file *known = tables_file(&c->tables, event->arguments[0]);

	if (event->type == TRACE_FD_OPEN_EVENT) {
		file.number = (uint32_t)event->arguments[1];
		file.kind = event->arguments[2] <= 255 ? (uint8_t)event->arguments[2]
						       : TRACE_FD_UNKNOWN;
		file.name = (uint32_t)event->arguments[3];
	} else {
		if (known != NULL)
			file = *known;
		file.name = (uint32_t)event->arguments[1];
	}
	tables_set_file(&c->tables, &file);
}

static int print_all(struct cmd *c, const bool types[256], struct merge *merge, struct why *why)
{
	struct print print = {
		.out = c->out,
		.tables = &c->tables,
		.format = c->args->format == FORMAT_JSON  ? PRINT_JSON
			  : c->args->format == FORMAT_CSV ? PRINT_CSV
							  : PRINT_TEXT,
		.is_raw = own.raw,
		.with_stacks = own.stacks,
		.begun_ns = cmd_begun_ns(c),
	};
	struct merged m;
	int r;

	print_begin(&print);
	while ((r = merge_next(merge, &m, &c->progress.watch, why)) > 0) {
		if (m.event->type == TRACE_FD_OPEN_EVENT || m.event->type == TRACE_FD_NAME_EVENT)
			learn(c, m.event);
		if (m.event->ns > c->range.to_ns)
			break;
		if (m.event->ns < c->range.from_ns || !types[m.event->type] ||
		    !select_has_thread(&c->range.threads, m.thread))
			continue;
		print_event(&print, &m);
		if (c->out->error < 0 || print.n == c->args->limit)
			break;
	}
	print_end(&print);
	return r < 0 ? r : 0;
}

static int run(const struct args *args)
{
	struct why why = {"out of memory"};
	struct merge *merge = NULL;
	struct merge_counts counts = {0};
	bool types[256];
	struct cmd c;
	int status, r = 0;

	status = cmd_begin(&c, args);
	if (status != STATUS_OK)
		return cmd_close(&c, status);
	memset(types, 1, sizeof(types));
	if (own.type != NULL)
		r = select_types(own.type, &c.tables.schema, types, &why);
	if (r == 0)
		r = merge_create(&merge, c.reader, &c.streams, &c.tables);
	if (r == 0 && cmd_open_out(&c, true) != STATUS_OK) {
		status = STATUS_FAILED;
	} else if (r == 0) {
		r = print_all(&c, types, merge, &why);
		counts = merge_counts(merge);
	}
	terminal_watch_end(&c.progress);
	if (c.out != NULL)
		out_flush(c.out);
	if (r < 0) {
		status = cmd_failed(&c, r, &why);
	} else if (status == STATUS_OK && c.out->error == 0) {
		status = cmd_warn_damage(&c, counts.unreadable);
		if (counts.corrected > 0 && args->verbose)
			cmd_complain("%" PRIu64 " events take the time of what they waited for: by "
				     "%" PRIu64 " ns at most",
				     counts.corrected, counts.largest_ns);
	}
	merge_destroy(merge);
	return cmd_close(&c, status);
}

const struct command command_events = {
	.name = "events",
	.about = "print events as text, in the order of time",
	.synopsis = "events [OPTION...]",
	.text = "One line for each event:\n"
		"\n"
		"  time  thread/tid  cpu  type  key=value ...  ; top of its stack\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_LIMIT | ARGS_FORMAT | ARGS_JSON | ARGS_CSV |
		  ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
