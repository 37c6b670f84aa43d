/*
 * cmd: the subcommands of cprof-trace, and what they share: an opened trace, and somewhere to write.
 */
#pragma once

#include "output/file.h"
#include "output/out.h"
#include "viewer/args.h"
#include "viewer/select.h"
#include "viewer/story.h"
#include "viewer/table.h"
#include "viewer/verify.h"

/* In the file of that name each. */
extern const struct command command_blocked;
extern const struct command command_chain;
extern const struct command command_check;
extern const struct command command_critical;
extern const struct command command_cut;
extern const struct command command_diff;
extern const struct command command_events;
extern const struct command command_export;
extern const struct command command_info;
extern const struct command command_locks;
extern const struct command command_pprof;
extern const struct command command_regions;
extern const struct command command_repair;
extern const struct command command_summary;
extern const struct command command_symbolize;
extern const struct command command_syscalls;
extern const struct command command_tasks;
extern const struct command command_threads;
extern const struct command command_timeline;

/* One line on stderr: "cprof-trace: …". */
__attribute__((format(printf, 1, 2))) void cmd_complain(const char *format, ...);
/* The same of a sentence with names in it that others chose. @context is not used. */
void cmd_complain_name(void *context, const char *text);

/* Runs a command line, as main() does, and returns its status. In a process that does nothing else: options stay as they are set. */
int cmd_run(int argc, char **argv);

/* What --from, --to and --threads say; all of it when nothing does. */
struct cmd_range {
	uint64_t from_ns, to_ns; /* inclusive, of the trace's clock; 0 and UINT64_MAX: no end */
	struct select_threads threads; /* ask select_has_thread() */
};

struct resolver;

struct cmd {
	const struct args *args;
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct resolver *resolver; /* of names that the trace has not; NULL: nobody is asked */
	struct terminal_progress progress;
	struct cmd_range range;
	bool is_interrupted; /* what there is until then is shown, and the status is STATUS_FAILED */

	struct out *out;
	bool is_file, has_pager;
	int fd, directory;
	struct file file;
};

/*
 * Most subcommands, which tell a story and print a table, are
 *
 *     status = cmd_begin(&c, args);
 *     if (status == STATUS_OK)
 *             status = cmd_tell(&c, &listener, &counts);
 *     … the rows …
 *     if (status == STATUS_OK)
 *             status = cmd_table(&c, table, "total_ns", &counts);
 *     return cmd_close(&c, status);
 *
 * Each returns STATUS_OK, or the status to end with, after saying why.
 */

/* Opens the trace. */
int cmd_open(struct cmd *c, const struct args *args);
/* The same, loads its tables, and reads the range. */
int cmd_begin(struct cmd *c, const struct args *args);
/* story_tell() over the range. An interrupt ends it early, and is STATUS_OK until cmd_close(). */
int cmd_tell(struct cmd *c, const struct story_listener *listener, struct story_counts *ret);
/* Sorted and limited as the options say, else by @sort, with notes of what it does not know; into what -o says. */
int cmd_table(struct cmd *c, struct table *table, const char *sort,
	      const struct story_counts *counts);
/*
 * Those that write a trace. The first opens it and what -o says, which must be given and be no terminal; where that is not STATUS_OK,
 * @c is closed. The second closes @c after @r, a negative errno with @why, else with @status. The third: a file has its name now.
 */
int cmd_begin_trace(struct cmd *c, const struct args *args);
int cmd_end_trace(struct cmd *c, int r, const struct why *why, int status);
bool cmd_has_written(const struct cmd *c, int status);
/* Opens what -o says, or standard output, with a pager when @is_long and it is a terminal. */
int cmd_open_out(struct cmd *c, bool is_long);
/* Ends the output, if there is one: a file gets its name when @status is good. Returns the status to end with. */
int cmd_close(struct cmd *c, int status);

/* The range by itself; the tables must be loaded. cmd_close() gives it back. 0 or a negative errno, with @why. */
int cmd_range(struct cmd *c, struct why *why);
/* One time, as --from has it: select_time(), and "@" with the name of a log message, task or region. NULL leaves *@ret_ns alone. */
int cmd_time(struct cmd *c, const char *text, uint64_t relative_ns, uint64_t *ret_ns,
	     struct why *why);

/* Says, unless -q, when there is no thread that @list, of which @threads were made, means. */
void cmd_warn_threads(struct cmd *c, struct select_threads *threads, const char *list);

/* What a table of a story does not know: unknown time, lost events, idle waits that are left out, damage. 0 or -ENOMEM. */
int cmd_notes(struct cmd *c, struct table *table, const struct story_counts *counts);

/* Below text that is no table: the same, and the notes that @more has already; it may be NULL. Returns the status to end with. */
int cmd_put_notes(struct cmd *c, struct table *more, const struct story_counts *counts);

/* Says why, or that it was interrupted. STATUS_USAGE for -EINVAL, else STATUS_FAILED. */
int cmd_failed(struct cmd *c, int error, const struct why *why);

/* Says that the trace is damaged, unless -q. STATUS_OK, or STATUS_DAMAGED with --strict. */
int cmd_warn_damage(struct cmd *c, uint64_t unreadable);

/* ns since the trace's beginning, from which its times are counted. */
uint64_t cmd_begun_ns(const struct cmd *c);
