#include "viewer/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/select.h"

static const char *const colours[] = {"auto", "always", "never", NULL};
static const char *const formats[] = {"text", "json", "csv", NULL};

#define FIELD(field) .offset = offsetof(struct args, field)

static const struct args_option common[] = {
	{.name = "from",
	 .type = ARGS_TEXT,
	 FIELD(from),
	 .takes = "TIME",
	 .about = "not what is before",
	 .group = ARGS_RANGE},
	{.name = "to",
	 .type = ARGS_TEXT,
	 FIELD(to),
	 .takes = "TIME",
	 .about = "not what is after",
	 .group = ARGS_RANGE},
	{.name = "threads",
	 .type = ARGS_TEXT,
	 FIELD(threads),
	 .takes = "LIST",
	 .about = "only these threads: names, ids, or patterns as grep -E has them",
	 .group = ARGS_THREADS},
	{.name = "lock",
	 .type = ARGS_TEXT,
	 FIELD(lock),
	 .takes = "NAME",
	 .about = "only locks whose name has this in it",
	 .group = ARGS_LOCK},
	{.name = "min",
	 .type = ARGS_DURATION,
	 FIELD(min_ns),
	 .takes = "DUR",
	 .about = "only what takes at least as long: 10ms, 3us",
	 .group = ARGS_MIN},
	{.name = "include-idle",
	 .type = ARGS_FLAG,
	 FIELD(include_idle),
	 .about = "also waits for work or for time to pass",
	 .group = ARGS_IDLE},
	{.name = "sort",
	 .type = ARGS_TEXT,
	 FIELD(sort),
	 .takes = "COL",
	 .about = "by this column",
	 .group = ARGS_SORT},
	{.name = "reverse",
	 .letter = 'r',
	 .type = ARGS_FLAG,
	 FIELD(reverse),
	 .about = "the other way round",
	 .group = ARGS_SORT},
	{.name = "limit",
	 .type = ARGS_COUNT,
	 FIELD(limit),
	 .takes = "N",
	 .about = "the first N only; 0, all of them",
	 .group = ARGS_LIMIT},
	{.name = "format",
	 .type = ARGS_WORD,
	 FIELD(format),
	 .takes = "FORMAT",
	 .about = "text, json or csv",
	 .words = formats,
	 .group = ARGS_FORMAT},
	{.name = "json",
	 .type = ARGS_SET,
	 FIELD(format),
	 .about = "JSON, times in whole ns",
	 .value = FORMAT_JSON,
	 .group = ARGS_JSON},
	{.name = "csv",
	 .type = ARGS_SET,
	 FIELD(format),
	 .about = "CSV (RFC 4180), times in whole ns",
	 .value = FORMAT_CSV,
	 .group = ARGS_CSV},
	{.name = "output",
	 .letter = 'o',
	 .type = ARGS_TEXT,
	 FIELD(output),
	 .takes = "FILE",
	 .about = "write to FILE; - is standard output",
	 .group = ARGS_OUTPUT},
	{.name = "force",
	 .letter = 'f',
	 .type = ARGS_FLAG,
	 FIELD(force),
	 .about = "replace what -o names, if it is there",
	 .group = ARGS_OUTPUT},
	{.name = "no-symbols",
	 .type = ARGS_FLAG,
	 FIELD(no_symbols),
	 .about = "no names that the trace itself does not have"},
	{.name = "strict",
	 .type = ARGS_FLAG,
	 FIELD(strict),
	 .about = "status 3 for a damaged trace, also where that is a warning"},
	{.name = "color",
	 .type = ARGS_WORD,
	 FIELD(colour),
	 .takes = "WHEN",
	 .about = "auto, always or never",
	 .words = colours},
	{.name = "no-pager", .type = ARGS_FLAG, FIELD(no_pager), .about = "no pager on a terminal"},
	{.name = "quiet",
	 .letter = 'q',
	 .type = ARGS_FLAG,
	 FIELD(quiet),
	 .about = "no progress, no warnings"},
	{.name = "verbose",
	 .letter = 'v',
	 .type = ARGS_FLAG,
	 FIELD(verbose),
	 .about = "more of what is found"},
	{.name = NULL},
};

/*
 * The options that @command knows, one after another: its own, then the common ones of its groups. NULL behind the last. @at
 * begins with 0.
 */
static const struct args_option *next_option(const struct command *command, size_t *at)
{
	size_t own = 0;

	while (command->options != NULL && command->options[own].name != NULL)
		own++;
	if (*at < own)
		return &command->options[(*at)++];
	for (const struct args_option *o = &common[*at - own]; o->name != NULL; o++) {
		*at = own + (size_t)(o - common) + 1;
		if (o->group == 0 || (o->group & command->groups))
			return o;
	}
	return NULL;
}

static bool is_own(const struct command *command, const struct args_option *option)
{
	const struct args_option *o = command->options;

	while (o != NULL && o->name != NULL && o != option)
		o++;
	return o == option;
}

/* The option of @command that is called @name, or @letter when that is not 0. */
static const struct args_option *find_option(const struct command *command, const char *name,
					     size_t n, char letter)
{
	const struct args_option *o;
	size_t at = 0;

	while ((o = next_option(command, &at)) != NULL)
		if (letter != 0 ? o->letter == letter
				: strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

static void print_usage(FILE *to, const struct command *const *commands,
			const struct command *otherwise)
{
	fputs("usage: cprof-trace [OPTION...] FILE [SUBCOMMAND] [OPTION...]\n"
	      "\n"
	      "Looks at a trace, such as trace.out of 'cprof run -p trace'. FILE may be -.\n"
	      "\n",
	      to);
	for (; *commands != NULL; commands++)
		fprintf(to, "  %-13s %s\n", (*commands)->name, (*commands)->about);
	fprintf(to,
		"\nWithout a subcommand: %s. 'cprof-trace SUBCOMMAND --help' has its options, "
		"and\ncprof-trace(1) says more.\n",
		otherwise->name);
	fputs("\n"
	      "  -h, --help       this\n"
	      "      --version    the version\n"
	      "\n"
	      "exit status: 0 done, 1 failed, 2 wrong usage, 3 the trace is damaged (check, or "
	      "with\n"
	      "--strict), 4 what --fail-if asks for is true\n"
	      "\n"
	      "example:  cprof-trace trace.out events --type 'lock.*' --from 1.2s --to +10ms\n",
	      to);
}

static void print_option(const struct args_option *o)
{
	char word[40];

	snprintf(word, sizeof(word), "--%s%s%s", o->name, o->takes != NULL ? " " : "",
		 o->takes != NULL ? o->takes : "");
	if (o->letter != 0)
		printf("  -%c, %-17s %s\n", o->letter, word, o->about);
	else
		printf("      %-17s %s\n", word, o->about);
}

static void print_help(const struct command *command)
{
	const struct args_option *o;
	size_t at = 0;

	printf("usage: cprof-trace FILE %s\n\n%s\n", command->synopsis, command->text);
	while ((o = next_option(command, &at)) != NULL)
		print_option(o);
	printf("  -h, %-17s %s\n\n", "--help", "this");
	if (command->groups & ARGS_RANGE)
		puts("TIME is 1.5s, 250ms, 10us or 800ns from the beginning; 1.5, which is "
		     "seconds; a wall\n"
		     "clock as 2026-11-21T12:03:04.5; @TEXT, the first log message, task or region "
		     "of that\n"
		     "name; behind --to also +10ms, from --from on.\n");
	puts("More: cprof-trace(1).");
}

/* Edit distance of short words, for "did you mean". */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32], corner, above;
	size_t a_n = strlen(a), b_n = strlen(b);

	if (a_n > 30 || b_n > 30)
		return 100;
	for (unsigned j = 0; j <= b_n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_n; i++) {
		corner = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_n; j++) {
			above = row[j];
			row[j] = corner + (a[i - 1] != b[j - 1]);
			if (above + 1 < row[j])
				row[j] = above + 1;
			if (row[j - 1] + 1 < row[j])
				row[j] = row[j - 1] + 1;
			corner = above;
		}
	}
	return row[b_n];
}

/*
 * The words of a command line, one after another. They are gone through twice: to find the subcommand among them, and then to
 * set its options. What takes a value must be known before the subcommand is, which is why all of them agree on it.
 */
struct words {
	const struct command *const *commands;
	int argc, at;
	char **argv;
	const char *rest; /* of -qf, behind the -q */
	bool is_over;     /* behind -- there are only operands */

	/* what the last word was */
	const struct args_option *option; /* NULL: an operand, or -h, --help, --version */
	const char *word, *value;
};

static const struct command *find_command(const struct command *const *commands, const char *word)
{
	for (; *commands != NULL; commands++)
		if (strcmp((*commands)->name, word) == 0)
			return *commands;
	return NULL;
}

static int complain_option(const struct words *w, const char *name, size_t n)
{
	const struct command *command = NULL;
	const struct args_option *o;
	const char *nearest = NULL;
	unsigned best = 3, d;
	char typed[40];

	for (int i = 1; i < w->argc && command == NULL; i++)
		command = find_command(w->commands, w->argv[i]);
	snprintf(typed, sizeof(typed), "%.*s", (int)(n < 39 ? n : 39), name);
	for (size_t i = 0, at = 0; w->commands[i] != NULL; i++, at = 0) {
		while ((o = next_option(w->commands[i], &at)) != NULL) {
			d = distance(typed, o->name);
			if (d < best) {
				best = d;
				nearest = o->name;
			}
		}
	}
	if (nearest != NULL)
		fprintf(stderr, "cprof-trace: there is no option %s; did you mean --%s?\n", w->word,
			nearest);
	else
		fprintf(stderr,
			"cprof-trace: there is no option %s; 'cprof-trace %s --help' lists them\n",
			w->word, command != NULL ? command->name : "SUBCOMMAND");
	return -EINVAL;
}

/* The option that @name begins with, and its value: behind "=", in the same word, or as the next. */
static int read_option(struct words *w, const char *name, bool is_long)
{
	size_t n = is_long ? strcspn(name, "=") : 1;
	const char *behind = name + n + (is_long && name[n] == '=');

	w->option = NULL;
	for (size_t i = 0; w->commands[i] != NULL && w->option == NULL; i++)
		w->option = find_option(w->commands[i], name, n, is_long ? 0 : name[0]);
	if (w->option == NULL)
		return complain_option(w, name, n);
	w->value = NULL;
	if (w->option->takes == NULL) {
		if (is_long && name[n] != '\0') {
			fprintf(stderr, "cprof-trace: --%s takes no value\n", w->option->name);
			return -EINVAL;
		}
		w->rest = is_long || *behind == '\0' ? NULL : behind;
		return 1;
	}
	if (name[n] != '\0') {
		w->value = behind;
	} else if (w->at == w->argc) {
		fprintf(stderr, "cprof-trace: %s needs a value: %s\n", w->word, w->option->takes);
		return -EINVAL;
	} else {
		w->value = w->argv[w->at++];
	}
	return 1;
}

/* The next word. 1, 0 behind the last, -EINVAL. */
static int next_word(struct words *w)
{
	const char *rest = w->rest;

	w->rest = NULL;
	if (rest != NULL)
		return read_option(w, rest, false);
	w->option = NULL;
	if (w->at == w->argc)
		return 0;
	w->word = w->argv[w->at++];
	if (!w->is_over && strcmp(w->word, "--") == 0) {
		w->is_over = true;
		return next_word(w);
	}
	if (w->is_over || w->word[0] != '-' || w->word[1] == '\0' || strcmp(w->word, "-h") == 0 ||
	    strcmp(w->word, "--help") == 0 || strcmp(w->word, "--version") == 0)
		return 1;
	return read_option(w, w->word[1] == '-' ? w->word + 2 : w->word + 1, w->word[1] == '-');
}

static int choose(const struct args_option *o, const char *value, int *to)
{
	for (int i = 0; o->words[i] != NULL; i++) {
		if (strcmp(o->words[i], value) == 0) {
			*to = i;
			return 0;
		}
	}
	fprintf(stderr, "cprof-trace: --%s %s: one of", o->name, value);
	for (int i = 0; o->words[i] != NULL; i++)
		fprintf(stderr, "%s %s", i > 0 ? "," : "", o->words[i]);
	fputs(" was expected\n", stderr);
	return -EINVAL;
}

static int set_option(void *object, const struct args_option *o, const char *value)
{
	void *to = (char *)object + o->offset;
	struct why why;
	char *end;

	switch (o->type) {
	case ARGS_FLAG:
		*(bool *)to = true;
		return 0;
	case ARGS_SET:
		*(int *)to = o->value;
		return 0;
	case ARGS_TEXT:
		*(const char **)to = value;
		return 0;
	case ARGS_WORD:
		return choose(o, value, to);
	case ARGS_COUNT:
		errno = 0;
		*(uint64_t *)to = strtoull(value, &end, 10);
		if (errno == 0 && end != value && *end == '\0' && value[0] >= '0' &&
		    value[0] <= '9')
			return 0;
		fprintf(stderr, "cprof-trace: --%s %s: a whole number was expected\n", o->name,
			value);
		return -EINVAL;
	case ARGS_DURATION:
		if (select_duration(value, to, &why) == 0)
			return 0;
		fprintf(stderr, "cprof-trace: --%s %s\n", o->name, why.text);
		return -EINVAL;
	}
	return -EINVAL;
}

static int complain_operand(const struct command *const *commands, const char *word)
{
	/* half of it may be wrong, and three letters */
	size_t n = strlen(word);
	unsigned best = n < 6 ? (unsigned)n / 2 + 1 : 4, d;
	const char *nearest = NULL;

	for (; *commands != NULL; commands++) {
		d = distance(word, (*commands)->name);
		if (d < best) {
			best = d;
			nearest = (*commands)->name;
		}
	}
	if (nearest != NULL)
		fprintf(stderr, "cprof-trace: there is no subcommand \"%s\"; did you mean %s?\n",
			word, nearest);
	else
		fprintf(stderr,
			"cprof-trace: there is no subcommand \"%s\"; 'cprof-trace --help' lists "
			"them\n",
			word);
	return -EINVAL;
}

#define OPERANDS 3 /* FILE SUBCOMMAND KIND */

/* FILE SUBCOMMAND [KIND]; or SUBCOMMAND FILE [KIND], when there is no file of that name. */
static int take_operands(struct args *args, const struct command *const *commands,
			 const char *const *operands, int n)
{
	const struct command *first = n > 0 ? find_command(commands, operands[0]) : NULL,
			     *second = n > 1 ? find_command(commands, operands[1]) : NULL;
	int most;

	if (n == 0) {
		fputs("cprof-trace: which trace? 'cprof-trace FILE', such as trace.out of 'cprof "
		      "run "
		      "-p trace'\n",
		      stderr);
		return -EINVAL;
	}
	if (first != NULL && second == NULL && access(operands[0], F_OK) != 0) {
		args->command = first;
		args->file = n > 1 ? operands[1] : NULL;
	} else if (n > 1 && second == NULL) {
		return complain_operand(commands, operands[1]);
	} else {
		args->file = operands[0];
		if (second != NULL)
			args->command = second;
	}
	if (args->file == NULL) {
		fprintf(stderr, "cprof-trace: which trace? 'cprof-trace FILE %s'\n", operands[0]);
		return -EINVAL;
	}
	most = args->command->operand != NULL ? 3 : 2;
	if (n > most) {
		fprintf(stderr,
			"cprof-trace: \"%s\" is one too many: one file and one subcommand were "
			"expected\n",
			operands[n < OPERANDS ? n : OPERANDS - 1]);
		return -EINVAL;
	}
	if (args->command->operand != NULL && n < 3) {
		fprintf(stderr, "cprof-trace: %s: which %s? 'cprof-trace FILE %s'\n",
			args->command->name, args->command->operand, args->command->synopsis);
		return -EINVAL;
	}
	args->operand = n == 3 ? operands[2] : NULL;
	return 0;
}

/* Which of the command's options they are, and sets them. */
static int take_options(struct args *args, struct words *w)
{
	const struct command *command = args->command;
	const struct args_option *o;
	int r;

	while ((r = next_word(w)) > 0) {
		if (w->option == NULL)
			continue;
		o = find_option(command, w->option->name, strlen(w->option->name), 0);
		if (o == NULL) {
			fprintf(stderr,
				"cprof-trace: --%s means nothing to %s; 'cprof-trace %s --help' "
				"lists what does\n",
				w->option->name, command->name, command->name);
			return -EINVAL;
		}
		if (set_option(is_own(command, o) ? command->own : (void *)args, o, w->value) < 0)
			return -EINVAL;
	}
	return r;
}

static void help(const struct command *const *commands, const struct command *otherwise,
		 const char *const *operands, int n)
{
	const struct command *command = NULL;

	for (int i = n < 2 ? n - 1 : 1; i >= 0 && command == NULL; i--)
		command = find_command(commands, operands[i]);
	if (command != NULL)
		print_help(command);
	else
		print_usage(stdout, commands, otherwise);
}

int args_parse(int argc, char **argv, const struct command *const *commands,
	       const struct command *otherwise, struct args *ret)
{
	const char *operands[OPERANDS] = {NULL};
	const struct words begin = {.commands = commands, .argc = argc, .argv = argv, .at = 1};
	struct words w = begin;
	bool wants_help = false;
	int n = 0, r;

	*ret = (struct args){.command = otherwise, .limit = ARGS_LIMIT_DEFAULT};
	while ((r = next_word(&w)) > 0) {
		if (w.option != NULL) {
			continue;
		} else if (w.is_over || w.word[0] != '-' || w.word[1] == '\0') {
			operands[n < OPERANDS ? n : OPERANDS - 1] = w.word;
			n++;
		} else if (strcmp(w.word, "--version") == 0) {
			puts("cprof-trace " CPROF_VERSION);
			return 1 + STATUS_OK;
		} else {
			wants_help = true;
		}
	}
	if (r < 0)
		return 1 + STATUS_USAGE;
	if (wants_help ||
	    (n == 1 && strcmp(operands[0], "help") == 0 && access("help", F_OK) != 0)) {
		help(commands, otherwise, operands, n);
		return 1 + STATUS_OK;
	}
	if (argc <= 1) {
		print_usage(stderr, commands, otherwise);
		return 1 + STATUS_USAGE;
	}
	w = begin;
	if (take_operands(ret, commands, operands, n) < 0 || take_options(ret, &w) < 0)
		return 1 + STATUS_USAGE;
	return 0;
}
