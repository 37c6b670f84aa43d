#include "viewer/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/resolve.h"

#define LIMIT 20 /* rows of text, unless --limit says: a table, not a wall */

void cmd_complain(const char *format, ...)
{
	va_list args;

	fputs("cprof-trace: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void cmd_complain_name(void *context, const char *text)
{
	static struct out out;

	(void)context;
	out_init(&out, STDERR_FILENO, false);
	out_text(&out, "cprof-trace: ");
	out_name(&out, text, strlen(text));
	out_char(&out, '\n');
	out_flush(&out);
}

int cmd_open(struct cmd *c, const struct args *args)
{
	struct why why = {"out of memory"};

	*c = (struct cmd){.args = args, .fd = -1, .directory = -1};
	tables_init(&c->tables);
	terminal_watch(&c->progress, "reading", args->quiet);
	if (reader_open(&c->reader, args->file, &c->progress.watch, &why) < 0) {
		terminal_watch_end(&c->progress);
		cmd_complain("%s", why.text);
		return STATUS_FAILED;
	}
	if (streams_init(&c->streams, c->reader) < 0) {
		terminal_watch_end(&c->progress);
		cmd_complain("%s: out of memory", c->reader->name);
		return STATUS_FAILED;
	}
	if (!args->no_symbols &&
	    resolver_create(&c->resolver, &c->tables, c->reader->header.begun_realtime_ns) == 0)
		c->tables.resolver = c->resolver;
	return STATUS_OK;
}

/* An event that carries a name which people chose: what @ looks for. */
static const char *mark_of(const struct cmd *c, const struct event *event)
{
	if (event->type == TRACE_LOG_EVENT)
		return tables_text(&c->tables, event->arguments[1]);
	if (event->type == TRACE_REGION_BEGIN_EVENT)
		return tables_text(&c->tables, event->arguments[0]);
	if (event->type == TRACE_TASK_BEGIN_EVENT)
		return tables_text(&c->tables, event->arguments[2]);
	return NULL;
}

/* The time of the first event from @after on that is called @text. */
static int find_mark(struct cmd *c, const char *text, uint64_t after_ns, uint64_t *ret_ns,
		     struct why *why)
{
	struct merge *merge;
	struct merged m;
	const char *mark;
	int r = merge_create(&merge, c->reader, &c->streams, &c->tables);

	if (r < 0)
		return r;
	while ((r = merge_next(merge, &m, &c->progress.watch, why)) > 0) {
		mark = m.event->ns >= after_ns ? mark_of(c, m.event) : NULL;
		if (mark != NULL && strcmp(mark, text) == 0) {
			*ret_ns = m.event->ns;
			break;
		}
	}
	merge_destroy(merge);
	if (r == 0) {
		why_set(why, "@%s: no log message, task or region has that name", text);
		return -EINVAL;
	}
	return r < 0 ? r : 0;
}

int cmd_time(struct cmd *c, const char *text, uint64_t relative_ns, uint64_t *ret_ns,
	     struct why *why)
{
	if (text == NULL)
		return 0;
	if (text[0] == '@')
		return find_mark(c, text + 1, relative_ns, ret_ns, why);
	return select_time(text, c->reader, cmd_begun_ns(c), relative_ns, ret_ns, why);
}

void cmd_warn_threads(struct cmd *c, struct select_threads *threads, const char *list)
{
	for (uint32_t i = 0; i < c->streams.streams_n; i++)
		if (!c->streams.streams[i].is_switches &&
		    select_has_thread(threads, c->streams.streams[i].thread))
			return;
	if (!c->args->quiet)
		cmd_complain(
			"%s: no thread has that name or id; 'cprof-trace %s threads' lists them",
			list, c->args->file);
}

int cmd_range(struct cmd *c, struct why *why)
{
	struct cmd_range *range = &c->range;
	int r;

	*range = (struct cmd_range){.to_ns = UINT64_MAX};
	r = cmd_time(c, c->args->from, cmd_begun_ns(c), &range->from_ns, why);
	if (r == 0)
		r = cmd_time(c, c->args->to, range->from_ns != 0 ? range->from_ns : cmd_begun_ns(c),
			     &range->to_ns, why);
	if (r == 0 && range->to_ns < range->from_ns) {
		why_set(why, "--to %s is before --from %s", c->args->to, c->args->from);
		return -EINVAL;
	}
	if (r == 0 && c->args->threads != NULL)
		r = select_threads(&range->threads, c->args->threads, &c->tables, why);
	if (r == 0 && c->args->threads != NULL)
		cmd_warn_threads(c, &range->threads, c->args->threads);
	return r;
}

int cmd_failed(struct cmd *c, int error, const struct why *why)
{
	terminal_watch_end(&c->progress);
	cmd_complain("%s", error == -EINTR ? "interrupted" : why->text);
	return error == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
}

int cmd_begin(struct cmd *c, const struct args *args)
{
	struct why why = {"out of memory"};
	int status = cmd_open(c, args), r;

	if (status != STATUS_OK)
		return status;
	r = tables_load(&c->tables, c->reader, &why);
	if (r == 0)
		r = cmd_range(c, &why);
	return r < 0 ? cmd_failed(c, r, &why) : STATUS_OK;
}

int cmd_tell(struct cmd *c, const struct story_listener *listener, struct story_counts *ret)
{
	struct why why = {"out of memory"};
	int r = story_tell(c->reader, &c->streams, &c->tables, c->range.from_ns, c->range.to_ns,
			   listener, ret, &c->progress.watch, &why);

	terminal_watch_end(&c->progress);
	if (r == -EINTR) {
		c->is_interrupted = true;
		cmd_complain("interrupted: this is what was read until then");
		return STATUS_OK;
	}
	return r < 0 ? cmd_failed(c, r, &why) : STATUS_OK;
}

/* Whoever says /dev/null does not want another file there. */
static int refuse_existing(struct cmd *c)
{
	struct stat st;

	if (fstatat(c->directory, c->file.name, &st, 0) == 0 && !S_ISREG(st.st_mode)) {
		cmd_complain("%s is there and no regular file; -o - is standard output",
			     c->args->output);
		return -EEXIST;
	}
	if (c->args->force || fstatat(c->directory, c->file.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	cmd_complain("%s is there already, and stays as it is; -f replaces it", c->args->output);
	return -EEXIST;
}

/* Is what -o names the trace itself? It may have several names. */
static bool is_same_file(const struct cmd *c, const char *name)
{
	struct stat out, in;

	return fstatat(c->directory, name, &out, 0) == 0 &&
	       (strcmp(c->args->file, "-") == 0 ? fstat(STDIN_FILENO, &in)
						: stat(c->args->file, &in)) == 0 &&
	       out.st_dev == in.st_dev && out.st_ino == in.st_ino;
}

static int open_file(struct cmd *c)
{
	const char *path = c->args->output, *slash = strrchr(path, '/'),
		   *name = slash != NULL ? slash + 1 : path;
	char *directory = slash == path ? strdup("/")
					: strndup(path, slash != NULL ? (size_t)(slash - path) : 0);
	struct why why = {"out of memory"};

	if (directory == NULL || name[0] == '\0' || strlen(name) > 200) {
		cmd_complain("-o %s: the name of a file was expected", path);
		free(directory);
		return -EINVAL;
	}
	c->directory =
		open(directory[0] != '\0' ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->directory < 0) {
		cmd_complain("cannot write %s: %s: %s", path, directory, strerror(errno));
		free(directory);
		return -ENOENT;
	}
	snprintf(c->file.name, sizeof(c->file.name), "%s", name);
	if (is_same_file(c, name)) {
		cmd_complain("%s is the trace itself; name another file with -o", path);
		free(directory);
		return -EEXIST;
	}
	if (refuse_existing(c) < 0 ||
	    file_create_nameless(&c->file, c->directory, directory[0] != '\0' ? directory : ".",
				 name, &why) < 0) {
		if (why.text[0] != '\0' && strcmp(why.text, "out of memory") != 0)
			cmd_complain("%s", why.text);
		free(directory);
		return -EIO;
	}
	free(directory);
	c->is_file = true;
	c->fd = c->file.fd;
	return 0;
}

int cmd_open_out(struct cmd *c, bool is_long)
{
	const struct args *args = c->args;
	bool is_stdout = args->output == NULL || strcmp(args->output, "-") == 0;

	c->out = malloc(sizeof(*c->out));
	if (c->out == NULL) {
		cmd_complain("out of memory");
		return STATUS_FAILED;
	}
	c->fd = STDOUT_FILENO;
	if (!is_stdout && open_file(c) < 0) {
		free(c->out);
		c->out = NULL;
		return STATUS_FAILED;
	}
	out_init(c->out, c->fd,
		 args->format == FORMAT_TEXT &&
			 terminal_has_colour(c->is_file ? -1 : STDOUT_FILENO,
					     (enum terminal_colour)args->colour));
	if (is_stdout && is_long && !args->no_pager) {
		terminal_watch_end(&c->progress);
		c->out->fd = c->fd = terminal_begin_pager();
		c->has_pager = c->fd != STDOUT_FILENO;
		/* Progress and a pager want the same screen. */
		c->progress.is_quiet = c->progress.is_quiet || isatty(STDOUT_FILENO);
	}
	return STATUS_OK;
}

static int finish_file(struct cmd *c, int status)
{
	struct why why = {""};

	if (status == STATUS_FAILED || status == STATUS_USAGE || refuse_existing(c) < 0) {
		file_abandon(&c->file);
		return status == STATUS_OK || status == STATUS_DAMAGED ? STATUS_FAILED : status;
	}
	if (file_commit(&c->file, &why) < 0) {
		cmd_complain("%s", why.text);
		return STATUS_FAILED;
	}
	return status;
}

int cmd_close(struct cmd *c, int status)
{
	terminal_watch_end(&c->progress);
	if (c->is_interrupted && (status == STATUS_OK || status == STATUS_DAMAGED))
		status = STATUS_FAILED;
	if (c->out != NULL) {
		out_flush(c->out);
		if (c->out->error == -EPIPE && !c->is_file) {
			/* Nobody wants any more, which is what head(1) does. */
			status = STATUS_OK;
		} else if (c->out->error < 0) {
			cmd_complain("%s cannot be written: %s",
				     c->is_file ? c->args->output : "standard output",
				     strerror(-c->out->error));
			status = STATUS_FAILED;
		}
		if (c->is_file)
			status = finish_file(c, status);
		if (c->has_pager)
			terminal_end_pager(c->fd);
	}
	free(c->out);
	if (c->directory >= 0)
		close(c->directory);
	select_threads_fini(&c->range.threads);
	if (c->resolver != NULL && c->args->verbose)
		resolver_problems(c->resolver, cmd_complain_name, NULL);
	resolver_destroy(c->resolver);
	tables_fini(&c->tables);
	streams_fini(&c->streams);
	reader_close(c->reader);
	return status;
}

/* Is the trace damaged? @ret says how, behind its name. */
static bool is_damaged(const struct cmd *c, uint64_t unreadable, struct why *ret)
{
	const struct reader *r = c->reader;

	if (r->damages_n > 0 || c->streams.holes_unknown > 0) {
		why_set(ret,
			"is damaged: %" PRIu64 " bytes in %zu place%s cannot be used, with %" PRIu64
			" events or more; 'cprof-trace %s check' says where",
			r->damaged_bytes, r->damages_n, r->damages_n == 1 ? "" : "s", unreadable,
			r->name);
		return true;
	}
	why_set(ret, "has no end: the recording was cut short, or is still running; what is there "
		     "is shown");
	return !r->has_trailer && !r->is_interrupted;
}

int cmd_begin_trace(struct cmd *c, const struct args *args)
{
	const char *name = args->command->name;
	int status;

	if (args->output == NULL) {
		cmd_complain("%s: where to? 'cprof-trace %s %s -o NEW'; %s itself stays as it is",
			     name, args->file, name, args->file);
		return STATUS_USAGE;
	}
	status = cmd_open(c, args);
	if (status == STATUS_OK)
		status = cmd_open_out(c, false);
	if (status == STATUS_OK && !c->is_file && isatty(STDOUT_FILENO)) {
		cmd_complain("a trace is not for a terminal; name a file with -o");
		status = STATUS_USAGE;
	}
	return status == STATUS_OK ? STATUS_OK : cmd_close(c, status);
}

int cmd_end_trace(struct cmd *c, int r, const struct why *why, int status)
{
	terminal_watch_end(&c->progress);
	if (r == -EPIPE && !c->is_file)
		return cmd_close(c, STATUS_OK);
	if (r < 0) {
		cmd_complain("%s", r == -EINTR ? "interrupted; nothing was written" : why->text);
		return cmd_close(c, r == -EINVAL ? STATUS_USAGE : STATUS_FAILED);
	}
	return cmd_close(c, status);
}

bool cmd_has_written(const struct cmd *c, int status)
{
	return (status == STATUS_OK || status == STATUS_DAMAGED) && c->is_file;
}

int cmd_warn_damage(struct cmd *c, uint64_t unreadable)
{
	struct why why;

	if (!is_damaged(c, unreadable, &why))
		return STATUS_OK;
	terminal_watch_end(&c->progress);
	if (!c->args->quiet) {
		if (c->out != NULL)
			out_flush(c->out);
		cmd_complain("%s %s", c->reader->name, why.text);
	}
	return c->args->strict ? STATUS_DAMAGED : STATUS_OK;
}

static const char *percent(char text[16], uint64_t part, uint64_t all)
{
	double share = (double)part / (double)all * 100;

	if (share < 0.05)
		return "less than 0.1 %";
	snprintf(text, 16, "%.*f %%", share < 9.95 ? 1 : 0, share);
	return text;
}

static int note_certainty(struct table *table, const struct story_counts *counts)
{
	const uint64_t *ns = counts->uncertain_ns;
	uint64_t all = 0, unknown = counts->state_ns[TRACE_UNKNOWN];
	char text[16], more[16];
	int r = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		all += counts->state_ns[i];
	if (unknown > 0 && ns[STORY_INFERRED] > 0)
		r = table_note(table, "%s of the threads' time is unknown, %s is inferred",
			       percent(text, unknown, all), percent(more, ns[STORY_INFERRED], all));
	else if (unknown > 0)
		r = table_note(table, "%s of the threads' time is unknown",
			       percent(text, unknown, all));
	else if (ns[STORY_INFERRED] > 0)
		r = table_note(table, "%s of the threads' time is inferred",
			       percent(text, ns[STORY_INFERRED], all));
	if (r == 0 && ns[STORY_PROPORTIONAL] > 0)
		r = table_note(table, "of %s only the length is known, not where in time it lies",
			       percent(text, ns[STORY_PROPORTIONAL], all));
	if (r == 0 && !counts->has_switches)
		r = table_note(table, "when threads ran is not known: no switches were recorded "
				      "(perf)");
	return r;
}

int cmd_notes(struct cmd *c, struct table *table, const struct story_counts *counts)
{
	uint64_t idle = counts->state_ns[TRACE_IDLE];
	struct out text;
	struct why why;
	int r = note_certainty(table, counts);

	if (r == 0 && counts->lost_events > 0)
		r = table_note(table, "%" PRIu64 " events were lost in %" PRIu64 " gap%s",
			       counts->lost_events, counts->gaps, counts->gaps == 1 ? "" : "s");
	if (r == 0 && (c->args->command->groups & ARGS_IDLE) && !c->args->include_idle &&
	    idle > 0) {
		out_init(&text, -1, false);
		out_duration(&text, idle);
		r = table_note(table, "idle waits of %.*s are left out; --include-idle",
			       (int)text.n, text.buffer);
	}
	if (r == 0 && is_damaged(c, counts->merge.unreadable, &why))
		r = table_note(table, "the trace %s", why.text);
	return r;
}

static int write_table(struct cmd *c, struct table *table, const char *sort,
		       const struct story_counts *counts)
{
	const struct args *args = c->args;
	bool is_text = args->format == FORMAT_TEXT;
	uint64_t limit = args->limit != ARGS_LIMIT_DEFAULT ? args->limit : is_text ? LIMIT : 0;
	struct why why = {"out of memory"};
	int r = table_sort(table, args->sort, sort, args->reverse, &why);

	if (r == 0 && is_text)
		r = cmd_notes(c, table, counts);
	if (r < 0)
		return cmd_failed(c, r, &why);
	if (cmd_open_out(c, true) != STATUS_OK)
		return STATUS_FAILED;
	table_out(table, c->out, (enum args_format)args->format, limit, tty_width());
	return STATUS_OK;
}

int cmd_table(struct cmd *c, struct table *table, const char *sort,
	      const struct story_counts *counts)
{
	bool is_text = c->args->format == FORMAT_TEXT;
	struct why why;
	int status = write_table(c, table, sort, counts);

	terminal_watch_end(&c->progress);
	if (status != STATUS_OK)
		return status;
	if (!is_text && !c->args->quiet && counts->lost_events > 0)
		cmd_complain("%s has lost %" PRIu64 " events in %" PRIu64 " gap%s", c->reader->name,
			     counts->lost_events, counts->gaps, counts->gaps == 1 ? "" : "s");
	/* text says it below the table */
	if (is_text)
		return c->args->strict && is_damaged(c, counts->merge.unreadable, &why)
			       ? STATUS_DAMAGED
			       : STATUS_OK;
	return cmd_warn_damage(c, counts->merge.unreadable);
}

int cmd_put_notes(struct cmd *c, struct table *more, const struct story_counts *counts)
{
	struct table *notes = more;
	struct why why;
	int r = 0, status = STATUS_OK;

	if (notes == NULL)
		r = table_create(&notes, "notes", NULL, 0);
	if (r == 0)
		r = cmd_notes(c, notes, counts);
	if (r < 0) {
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	} else {
		out_char(c->out, '\n');
		table_out_notes(notes, c->out);
		if (c->args->strict && is_damaged(c, counts->merge.unreadable, &why))
			status = STATUS_DAMAGED;
	}
	if (more == NULL)
		table_destroy(notes);
	return status;
}

uint64_t cmd_begun_ns(const struct cmd *c)
{
	uint64_t first = UINT64_MAX;

	if (c->reader->has_header)
		return c->reader->header.begun_monotonic_ns;
	for (size_t i = 0; i < c->reader->blocks_n; i++)
		if (c->reader->blocks[i].kind == TRACE_BLOCK_EVENTS &&
		    c->reader->blocks[i].first_ns < first)
			first = c->reader->blocks[i].first_ns;
	return first != UINT64_MAX ? first : 0;
}
