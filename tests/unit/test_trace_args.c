/*
 * The command line of cprof-trace: which subcommand, which of its options, where their values go, and what is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/tap.h"
#include "viewer/args.h"

static struct {
	const char *by;
	uint64_t slower_ns;
	bool errors;
	int kind;
} own;

static const char *const kinds[] = {"lock", "cond", NULL};

#define OWN(field) .offset = offsetof(__typeof__(own), field)
static const struct args_option own_options[] = {
	{.name = "by", .letter = 'b', .type = ARGS_TEXT, OWN(by), .takes = "WHAT", .about = "x"},
	{.name = "slower", .type = ARGS_DURATION, OWN(slower_ns), .takes = "DUR", .about = "x"},
	{.name = "errors", .letter = 'e', .type = ARGS_FLAG, OWN(errors), .about = "x"},
	{.name = "kind", .type = ARGS_WORD, OWN(kind), .takes = "K", .about = "x", .words = kinds},
	{.name = NULL},
};

static const struct command calls = {.name = "calls",
				     .about = "",
				     .synopsis = "calls",
				     .text = "",
				     .groups = ARGS_RANGE | ARGS_TABLE,
				     .options = own_options,
				     .own = &own};
static const struct command plain = {
	.name = "plain", .about = "", .synopsis = "plain", .text = "", .groups = ARGS_OUTPUT};
static const struct command diff = {.name = "diff",
				    .about = "",
				    .synopsis = "diff B",
				    .text = "",
				    .operand = "B",
				    .groups = ARGS_FILTER};
static const struct command *const commands[] = {&calls, &plain, &diff, NULL};

static char said[4096]; /* on standard error, the last time */

static int parse(struct args *args, char *line)
{
	char *argv[20] = {"cprof-trace"}, name[] = "/tmp/cprof-args.XXXXXX";
	int argc = 1, result, file = mkstemp(name), before = dup(STDERR_FILENO);
	ssize_t n;

	for (char *word = strtok(line, " "); word != NULL && argc < 19; word = strtok(NULL, " "))
		argv[argc++] = word;
	memset(&own, 0, sizeof(own));
	unlink(name);
	dup2(file, STDERR_FILENO);
	result = args_parse(argc, argv, commands, &plain, args);
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	n = pread(file, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(before);
	close(file);
	return result;
}

#define PARSE(text)                     \
	do {                            \
		char line[] = text;     \
		r = parse(&args, line); \
	} while (0)

static void test_good(void)
{
	struct args args;
	int r;

	PARSE("t.out");
	ok(r == 0 && args.command == &plain && strcmp(args.file, "t.out") == 0 &&
		   args.limit == ARGS_LIMIT_DEFAULT && args.output == NULL,
	   "a file by itself is for the default subcommand");
	PARSE("t.out calls --from 1s --to=+5ms --sort total -r --limit 7 --csv");
	ok(r == 0 && args.command == &calls && strcmp(args.from, "1s") == 0 &&
		   strcmp(args.to, "+5ms") == 0 && strcmp(args.sort, "total") == 0 &&
		   args.reverse && args.limit == 7 && args.format == FORMAT_CSV,
	   "common options");
	PARSE("--slower 3us -eq -bstack calls t.out --kind cond");
	ok(r == 0 && args.command == &calls && own.slower_ns == 3000 && own.errors && args.quiet &&
		   strcmp(own.by, "stack") == 0 && own.kind == 1,
	   "own options, before the subcommand and behind the file");
	PARSE("t.out calls --by -b -- ");
	ok(r == 0 && strcmp(own.by, "-b") == 0, "a value may look like an option");
	PARSE("-qfo x t.out");
	ok(r == 0 && args.quiet && args.force && strcmp(args.output, "x") == 0,
	   "letters together, the last with a value");
	PARSE("diff a b --min 1.5ms --lock m --include-idle");
	ok(r == 0 && args.command == &diff && strcmp(args.file, "a") == 0 &&
		   strcmp(args.operand, "b") == 0 && args.min_ns == 1500000 && args.include_idle &&
		   strcmp(args.lock, "m") == 0,
	   "an operand more");
	PARSE("a diff b");
	ok(r == 0 && args.command == &diff && strcmp(args.operand, "b") == 0,
	   "and the other way round");
	PARSE("-- calls -q");
	ok(r == 0 && args.command == &calls && strcmp(args.file, "-q") == 0,
	   "behind -- there are only operands");
}

static void test_bad(void)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"t.out calls --slwoer 1", "did you mean --slower"},
		{"t.out plain --slower 1s", "--slower means nothing to plain"},
		{"t.out plain --from 1s", "--from means nothing to plain"},
		{"t.out calls --min 1s", "--min means nothing to calls"},
		{"t.out calls --slower noon", "noon is no duration"},
		{"t.out calls --slower -1s", "-1s is no duration"},
		{"t.out calls --slower", "needs a value: DUR"},
		{"t.out calls --kind sem", "lock, cond was expected"},
		{"t.out calls --limit 1x", "a whole number"},
		{"t.out calls --limit +1", "a whole number"},
		{"t.out calls --limit 99999999999999999999", "a whole number"},
		{"t.out calls --errors=1", "takes no value"},
		{"t.out calls -z", "no option -z"},
		{"t.out cals", "did you mean calls"},
		{"t.out calls x", "\"x\" is one too many"},
		{"t.out diff b c", "\"c\" is one too many"},
		{"t.out diff", "diff: which B?"},
		{"calls", "which trace?"},
		{"--quiet", "which trace?"},
	};
	struct args args;
	char line[100];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "%s", bad[i].line);
		if (!ok(parse(&args, line) == 1 + STATUS_USAGE && strstr(said, bad[i].says) != NULL,
			"refused: %s", bad[i].line))
			note("%s", said);
	}
}

int main(void)
{
	plan_begin();
	test_good();
	test_bad();
	return plan_end();
}
