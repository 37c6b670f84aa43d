/*
 * args: the command line of cprof-trace: [OPTIONS] FILE [SUBCOMMAND] [OPTIONS], in any order of options and operands.
 *
 * Each subcommand is a struct command in its cmd_NAME.c, and main.c lists them. Options that several know belong to a group, and
 * a subcommand says which groups it knows; its own come from a table of its own, into a struct of its own:
 *
 *     static struct { uint64_t slower_ns; bool errors; } own;
 *     static const struct args_option options[] = {
 *             {.name = "slower", .type = ARGS_DURATION, .offset = offsetof(…, slower_ns), .takes = "DUR", .about = "…"},
 *             {.name = "errors", .type = ARGS_FLAG, .offset = offsetof(…, errors), .about = "only those that failed"},
 *             {.name = NULL},
 *     };
 *
 * An option of the same name has the same letter, and takes a value or does not, wherever it is known: a lint compares them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/terminal.h"

/* Never to be used otherwise: cprof-trace(1) has promised them. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_DAMAGED = 3,
	STATUS_CONDITION = 4, /* what --fail-if asks for is true */
};

enum args_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_CSV };

/* Groups of common options. Those that every subcommand knows (--no-symbols, --strict, --color, --no-pager, -q, -v) have none. */
enum args_group {
	ARGS_RANGE = 1 << 0,   /* --from --to */
	ARGS_THREADS = 1 << 1, /* --threads */
	ARGS_SORT = 1 << 2,    /* --sort -r */
	ARGS_LIMIT = 1 << 3,   /* --limit */
	ARGS_JSON = 1 << 4,    /* --json */
	ARGS_CSV = 1 << 5,     /* --csv */
	ARGS_FORMAT = 1 << 6,  /* --format */
	ARGS_LOCK = 1 << 7,    /* --lock */
	ARGS_MIN = 1 << 8,     /* --min */
	ARGS_IDLE = 1 << 9,    /* --include-idle */
	ARGS_OUTPUT = 1 << 10, /* -o -f */

	ARGS_TABLE = ARGS_SORT | ARGS_LIMIT | ARGS_JSON | ARGS_CSV | ARGS_OUTPUT,
	ARGS_FILTER = ARGS_LOCK | ARGS_MIN | ARGS_IDLE,
};

enum args_type {
	ARGS_FLAG,     /* bool */
	ARGS_SET,      /* int: becomes @value */
	ARGS_WORD,     /* int: which of @words */
	ARGS_TEXT,     /* const char * */
	ARGS_COUNT,    /* uint64_t */
	ARGS_DURATION, /* uint64_t, ns: "10ms", "3us" */
};

struct args_option {
	const char *name;
	char letter; /* 0: none */
	enum args_type type;
	size_t offset;     /* in struct args, or of a subcommand's own, in what its own points to */
	const char *takes; /* "FILE"; NULL: no value */
	const char *about; /* a line for --help */
	const char *const *words; /* ended by NULL */
	int value;
	unsigned group; /* of a common one: enum args_group; 0: every subcommand knows it */
};

struct args;

struct command {
	const char *name;
	const char *about;    /* a line for --help */
	const char *synopsis; /* behind FILE: "events [OPTION...]" */
	const char *text;     /* for its own --help; lines of at most 100 columns */
	const char *operand;  /* what it needs besides FILE, "KIND"; NULL: nothing */
	unsigned groups;
	const struct args_option *options;   /* its own, ended by one without a name; may be NULL */
	void *own;                           /* where they go */
	int (*run)(const struct args *args); /* returns an enum status */
};

#define ARGS_LIMIT_DEFAULT UINT64_MAX /* as many as suit the form */

struct args {
	const struct command *command;
	const char *file;
	const char *operand; /* when its command needs one */
	const char *output;  /* -o, or NULL */
	const char *from, *to, *threads, *lock, *sort;
	uint64_t limit;  /* 0: all */
	uint64_t min_ns; /* 0: all */
	int format;      /* enum args_format */
	int colour;      /* enum terminal_colour */
	bool reverse, include_idle, no_symbols, strict, force, quiet, verbose, no_pager;
};

/*
 * @commands ends with NULL; @otherwise is what is done without a subcommand. Returns 0, or 1 + the status to end with when
 * that is all there is to do: the help was printed, or the mistake was named on standard error.
 */
int args_parse(int argc, char **argv, const struct command *const *commands,
	       const struct command *otherwise, struct args *ret);
