/*
 * cmd: the subcommands of cprof, and what they share.
 *
 * Each takes its own name as argv[0] and returns the exit status.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cli/source.h"
#include "core/why.h"
#include "output/text.h"

int cmd_run(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_raw(int argc, char **argv);
int cmd_web(int argc, char **argv);
int cmd_tree(int argc, char **argv);
int cmd_peek(int argc, char **argv);
int cmd_traces(int argc, char **argv);
int cmd_tags(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_flame(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_symbolize(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* What a subcommand that reads returns. check and diff have more, see their pages. */
enum {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

/*
 * Options are spelled as pprof has them: -name or --name, a value behind = or as the next argument;
 * one that is yes or no takes a value behind = only. Options may stand between files; "--" ends
 * them; "-" is a file.
 */
enum cmd_option_type {
	CMD_FLAG,  /* bool *to */
	CMD_WORD,  /* const char **to = text: one of several flags for a text, no two of them */
	CMD_TEXT,  /* const char **to */
	CMD_INT,   /* int *to */
	CMD_FLOAT, /* double *to */
	CMD_LIST,  /* struct cmd_list *to: may be given again */
	CMD_LATER, /* known, but not here: text says why */
	CMD_FILES, /* struct cmd_files *to, with room for argc: each is one more; value 1: files behind it, too */
};

struct cmd_option {
	const char *name; /* NULL ends the list */
	enum cmd_option_type type;
	void *to;
	int value;
	const char *text;
};

struct cmd_list {
	char **items; /* from realloc */
	size_t n;
};

/* How profiles are fetched that are no files, of a struct sources: a part of a list. */
#define CMD_SOURCE_OPTIONS(s)                                           \
	{"seconds", CMD_INT, &(s)->seconds, 0, NULL},                   \
		{"timeout", CMD_INT, &(s)->timeout, 0, NULL},           \
		{"tls_ca", CMD_TEXT, &(s)->tls.authorities, 0, NULL},   \
		{"tls_cert", CMD_TEXT, &(s)->tls.certificate, 0, NULL}, \
	{                                                               \
		"tls_key", CMD_TEXT, &(s)->tls.key, 0, NULL             \
	}

struct cmd_files {
	char **paths; /* into argv */
	size_t n;
};

/*
 * Reads the options; what is left are files. Returns 0, 1 (the help was asked for and printed), or
 * -EINVAL (said on stderr).
 */
int cmd_parse(int argc, char **argv, const struct cmd_option *options, const char *help,
	      struct cmd_files *ret);

/* CMD_USAGE after saying so, when no file is named. */
int cmd_need_files(const char *command, const struct cmd_files *files);
/* The program that stands before the profiles, recognised by being an ELF file; else NULL. */
const char *cmd_take_program(struct cmd_files *files);

/* The last @parts of a path. */
const char *cmd_tail(const char *path, unsigned parts);
/* "cpu.pb.gz and 2 more", of the last @parts; from malloc, or NULL. */
char *cmd_title(const struct cmd_files *files, unsigned parts);

/* One line on stderr: "cprof: top: …". */
__attribute__((format(printf, 2, 3))) void cmd_complain(const char *command, const char *format,
							...);

/*
 * Adds @files up into a fresh @ret, as they are; those that are no files are fetched by @s, whose options are set. 0, -EINVAL (what was
 * typed is no good) or another negative errno, with @why.
 */
int cmd_read(const struct cmd_files *files, struct sources *s, struct report_options *how,
	     struct profile *ret, struct why *why);

#define CMD_REPORT_OPTIONS_MAX 64
#define CMD_COLUMNS            7

/* What the commands that print profiles share: the options of a report, and from files to a prepared one. */
struct cmd_report {
	struct report_options options;
	const char *granularity, *sort, *symbolize;
	bool trim, call_tree;
	bool columns[CMD_COLUMNS]; /* which of them are asked for by a flag of their own */
	struct cmd_list bases, diff_bases;
	struct sources sources;
	struct report report;
};

void cmd_report_init(struct cmd_report *r);
void cmd_report_fini(struct cmd_report *r);
/* Fills @options, CMD_REPORT_OPTIONS_MAX of them. */
void cmd_report_options(struct cmd_report *r, struct cmd_option *options);
/* The two halves of cmd_report_load(), for what goes between them. */
int cmd_report_read(struct cmd_report *r, const char *command, struct cmd_files *files);
int cmd_report_prepare(struct cmd_report *r, const char *command);
/* Loads and prepares. Returns CMD_OK, or what to exit with, after saying why. */
int cmd_report_load(struct cmd_report *r, const char *command, struct cmd_files *files);

/* A command that is no more than one kind of report. */
struct cmd_view {
	const char *help;
	int (*print)(struct report *r, FILE *to, struct why *why);
	bool has_expression; /* the first argument is one, for options.expression */
	bool has_idle;       /* what is idle is there without asking */
	bool is_by_line;     /* whatever the options say */
	bool is_everything;  /* by address, inlined calls too, whatever the options say */
};

int cmd_view(int argc, char **argv, const struct cmd_view *view);
