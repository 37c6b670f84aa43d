/*
 * What the timeline's page asks, without a server: requests taken to pieces, the answers' form, estimates before there is an index,
 * and the command lines that tables become. Whether numbers are right is for tests/integration/viewer_serve.py.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <stdio.h>

#include "tests/tap.h"
#include "tests/unit/api_make.h"

static int parse(const char *text, struct api_request *ret)
{
	static char copy[4096];
	struct why why = {""};
	int r;

	snprintf(copy, sizeof(copy), "%s", text);
	r = api_parse(copy, ret, &why);
	if (r < 0 && why.text[0] == '\0')
		return -EIO; /* a refusal has a reason */
	return r;
}

static bool has(const struct api_request *q, unsigned i, const char *key, const char *value)
{
	return i < q->n && strcmp(q->parameters[i].key, key) == 0 &&
	       strcmp(q->parameters[i].value, value) == 0;
}

static void test_parse(void)
{
	struct api_request q;

	ok(parse("names?q=a%20b+c%26%3d&max=7", &q) == 0 && q.n == 2 &&
		   has(&q, 0, "q", "a b c&=") && has(&q, 1, "max", "7"),
	   "parameters, decoded once");
	ok(parse("names?%71=%2571", &q) == 0 && has(&q, 0, "q", "%71"), "not twice");
	ok(parse("tile/1/2/3", &q) == 0 && strcmp(q.rest, "1/2/3") == 0 && !api_is_work(NULL, &q),
	   "what is behind the path's name");
	ok(parse("table/threads?sort=", &q) == 0 && has(&q, 0, "sort", "") && api_is_work(NULL, &q),
	   "an empty value");
	ok(parse("meta?", &q) == 0 && q.n == 0 && parse("meta?&&", &q) == 0 && q.n == 0, "none");
	ok(parse("", &q) == -ENOENT, "no path");
	ok(parse("tiles/1", &q) == -ENOENT, "a path that has nothing behind it");
	ok(parse("tile", &q) == -ENOENT, "one that must have");
	ok(parse("meta%00", &q) == -ENOENT, "a zero byte in it");
	ok(parse("m%65ta", &q) == 0, "a letter in another form");
	ok(parse("names?q=%0", &q) == -EINVAL, "half a byte");
	ok(parse("names?q=%", &q) == -EINVAL, "none of it");
	ok(parse("names?q=%00", &q) == -EINVAL, "a zero byte");
	ok(parse("names?q=a&q=b", &q) == -EINVAL, "twice");
	ok(parse("names?kin=a", &q) == -EINVAL, "a part of a parameter's name");
	ok(parse("names?q%20kind=a", &q) == -EINVAL, "two of them in one");
	ok(parse("names?=a", &q) == -EINVAL, "no name");
}

/* Brackets and quotes in pairs, no byte that may not be, one value: enough to see that nothing was forgotten. */
static bool is_json(const char *text)
{
	char open[64];
	unsigned depth = 0;
	bool is_text = false;

	for (const char *at = text; *at != '\0'; at++) {
		if (is_text) {
			if (*at == '\\')
				at++;
			else if (*at == '"')
				is_text = false;
			else if ((unsigned char)*at < ' ')
				return false;
		} else if (*at == '"') {
			is_text = true;
		} else if (*at == '{' || *at == '[') {
			if (depth == sizeof(open) || at[1] == ',')
				return false;
			open[depth++] = *at == '{' ? '}' : ']';
		} else if (*at == '}' || *at == ']') {
			if (depth == 0 || open[--depth] != *at || at[-1] == ',' || at[-1] == ':')
				return false;
			if (depth == 0)
				return at[1] == '\0';
		} else if (*at == ',' && (at[1] == ',' || at[1] == '}' || at[1] == ']')) {
			return false;
		}
	}
	return false;
}

static char *ask(struct api_made *m, const char *text, int *ret_status)
{
	struct api_request q;
	struct answer answer;
	size_t size;
	char *bytes;

	if (parse(text, &q) < 0)
		abort();
	bytes = api_ask(m, &q, &answer, &size);
	*ret_status = answer.status;
	return bytes;
}

static void test_answers(bool with_index)
{
	static const struct {
		const char *text;
		bool needs_index;
	} asked[] = {
		{"meta", false},
		{"progress", false},
		{"tracks", false},
		{"tracks?limit=1&cursor=2", false},
		{"names?q=o", false},
		{"spans?tracks=1,2&max=7", true},
		{"sums", true},
		{"sums?tracks=2&from=1&to=2", true},
		{"memory?columns=5", true},
		{"columns?columns=9", false},
		{"edges", false},
		{"span/1.500000000", true},
		{"stack/1", false},
		{"find?q=e&at=0", true},
	};
	struct api_made m;
	char *text;
	int status;

	api_make(&m, with_index);
	for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		int wanted = asked[i].needs_index && !with_index ? 503 : 200;

		text = ask(&m, asked[i].text, &status);
		if (!ok(status == wanted && is_json(text), "%s%s", asked[i].text,
			with_index ? "" : ", without an index"))
			printf("# %d %s\n", status, text);
		free(text);
	}
	api_unmake(&m);
}

/* The states of a tile's buckets, from the trace's own blocks: main runs from 0 to 100 ms of each 600. */
static void test_estimate(void)
{
	struct api_made m;
	struct api_request q;
	struct answer answer;
	char text[100], *bytes;
	bool adds_up = true, lives = false;
	size_t size;

	api_make(&m, false);
	/* one that has all of the trace */
	snprintf(text, sizeof(text), "tile/1/24/%" PRIu64, m.api.origin >> 33);
	ok(parse(text, &q) == 0, "a tile");
	bytes = api_ask(&m, &q, &answer, &size);
	is_u64(size, API_TILE_BYTES, "of one size");
	ok(answer.status == 200 && answer.type == ANSWER_BYTES && !answer.is_immutable,
	   "that may change");
	ok(bytes[0] == API_TILE_VERSION && bytes[1] == 1 && bytes[2] == TRACE_STATES &&
		   bytes[3] == 24,
	   "an estimate of that level");
	for (unsigned i = 32; i < size; i += TRACE_STATES) {
		unsigned sum = 0;

		for (unsigned k = 0; k < TRACE_STATES; k++)
			sum += (uint8_t)bytes[i + k];
		adds_up = adds_up && (sum == 0 || sum == 255);
		lives = lives || sum == 255;
	}
	ok(adds_up && lives, "whose shares add up");
	free(bytes);
	api_unmake(&m);
}

/* ---- tables ---- */

static char line[1000];

/* Prints its own command line. */
static int print_line(int argc, char **argv)
{
	line[0] = '\0';
	for (int i = 0; i < argc; i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s|", argv[i]);
	dprintf(STDOUT_FILENO, "%s", line);
	return 0;
}

/* What a path becomes: standard output is the answer's file for as long as it takes. */
static void becomes(struct api_made *m, const char *text, const char *wanted)
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), status;
	char *got;

	fflush(stdout);
	got = ask(m, text, &status);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	if (!ok(status == 200 && strcmp(got, wanted) == 0, "%s", text))
		printf("# %d %s\n", status, got);
	free(got);
}

static void test_tables(void)
{
	struct api_made m;

	api_make(&m, false);
	m.api.command = print_line;
	m.api.file = "-x";
	becomes(&m, "table/threads", "cprof-trace|--json|--|-x|threads|");
	becomes(&m, "table/threads?from=0&to=1500000000&sort=name&reverse=1",
		"cprof-trace|--json|--from=0ns|--to=1500000000ns|--sort=name|--reverse|--|-x|"
		"threads|");
	becomes(&m, "table/syscalls?by=file&errors=1&threads=--output%3dx",
		"cprof-trace|--json|--by=file|--errors|--threads=--output=x|--|-x|syscalls|");
	becomes(&m, "table/events", "cprof-trace|--json|--limit=1000|--|-x|events|");
	becomes(&m, "table/events?limit=7", "cprof-trace|--json|--limit=7|--|-x|events|");
	becomes(&m, "profile/lock?from=5", "cprof-trace|--from=5ns|--|-x|pprof|lock|");
	m.api.no_symbols = true;
	becomes(&m, "export/chrome-json", "cprof-trace|--no-symbols|--|-x|export|chrome-json|");
	api_unmake(&m);
}

int main(void)
{
	plan_begin();
	test_parse();
	test_answers(false);
	test_answers(true);
	test_estimate();
	test_tables();
	return plan_end();
}
