/*
 * Modules as one script. A file opened from a disk may not load modules, and one import map of data: would have to allow every script:
 *
 *     import { a } from './x.js';          const { a } = $x;
 *     import * as x from './x.js';         const x = $x;
 *     export function f() {                function f() {        … return { f };
 *     export let n = 0;                    let n = 0;            … return { get n() { return n; } };
 *
 * What changes is to be imported with all of its module, as x.n: a name of its own would keep what it was.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "page/sheet.h"

#define MODULES  64
#define NAMES    64
#define NAME     64
#define FILE_MAX (4 << 20)

struct bundle {
	const struct asset *assets;
	struct out *out;
	struct why *why;
	const struct asset *done[MODULES], *open[MODULES];
	unsigned done_n, open_n;
};

static int refuse(struct bundle *b, const char *module, const char *line)
{
	why_set(b->why, "the page's %s cannot be put into one script: %.*s", module,
		(int)strcspn(line, "\n") < 80 ? (int)strcspn(line, "\n") : 80, line);
	return -EINVAL;
}

static const struct asset *find(const struct bundle *b, const char *name, size_t n)
{
	for (const struct asset *a = b->assets; a->name != NULL; a++)
		if (strlen(a->name) == n && memcmp(a->name, name, n) == 0)
			return a;
	return NULL;
}

/* "$api" of "api.js" */
static void put_variable(struct bundle *b, const struct asset *a)
{
	out_char(b->out, '$');
	for (const char *at = a->name; *at != '\0' && *at != '.'; at++)
		out_char(b->out, (char)(isalnum((unsigned char)*at) ? *at : '_'));
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* What an import names: " from './x.js';" at its end. NULL: another form. */
static const struct asset *source_of(const struct bundle *b, const char *line, const char *end,
				     const char **ret_what_end)
{
	static const char from[] = " from './";
	const char *at = memmem(line, (size_t)(end - line), from, sizeof(from) - 1), *quote;

	if (at == NULL)
		return NULL;
	*ret_what_end = at;
	at += sizeof(from) - 1;
	quote = memchr(at, '\'', (size_t)(end - at));
	return quote != NULL ? find(b, at, (size_t)(quote - at)) : NULL;
}

static void put_import(struct bundle *b, const struct asset *from, const char *what,
		       const char *end)
{
	static const char all[] = "* as ";

	out_text(b->out, "const ");
	if (begins(what, all))
		what += sizeof(all) - 1;
	for (; what < end; what++) {
		/* { a as b } is { a: b } */
		if (end - what > 4 && memcmp(what, " as ", 4) == 0) {
			out_text(b->out, ": ");
			what += 3;
		} else {
			out_char(b->out, *what);
		}
	}
	out_text(b->out, " = ");
	put_variable(b, from);
	out_char(b->out, ';');
}

static int put_module(struct bundle *b, const struct asset *a);

/* All that @text imports comes first. */
static int put_needed(struct bundle *b, const struct asset *a, const char *text)
{
	int r = 0;

	for (const char *line = text, *end, *what; r == 0 && *line != '\0'; line = end) {
		end = strchrnul(line, '\n');
		if (begins(line, "import ")) {
			const struct asset *from;

			end = strchrnul(line, ';');
			from = source_of(b, line, end, &what);
			r = from != NULL ? put_module(b, from) : refuse(b, a->name, line);
		}
		end += *end != '\0';
	}
	return r;
}

/* The name that "export …" gives; its length, 0: another form. */
static size_t exported(const char *line, const char **ret_rest, const char **ret_name)
{
	static const char *const forms[] = {"function ", "async function ", "class ", "const ",
					    "let "};
	const char *rest = line + strlen("export ");

	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (!begins(rest, forms[i]))
			continue;
		*ret_rest = rest;
		*ret_name = rest + strlen(forms[i]);
		return strspn(*ret_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789_$");
	}
	return 0;
}

static int put_text(struct bundle *b, const struct asset *a, const char *text)
{
	char names[NAMES][NAME];
	bool changes[NAMES];
	unsigned n = 0;

	out_text(b->out, "const ");
	put_variable(b, a);
	out_text(b->out, " = (() => {\n");
	for (const char *line = text, *end; *line != '\0'; line = end) {
		const char *rest = line, *name, *what = line;
		const struct asset *from;

		end = strchrnul(line, '\n');
		end += *end != '\0';
		if (begins(line, "import ")) {
			end = strchrnul(line, ';');
			from = source_of(b, line, end, &what);
			put_import(b, from, line + strlen("import "), what);
			end += *end != '\0';
			continue;
		}
		if (begins(line, "export ")) {
			size_t length = exported(line, &rest, &name);

			if (length == 0 || length >= NAME || n == NAMES)
				return refuse(b, a->name, line);
			changes[n] = begins(rest, "let ");
			snprintf(names[n++], NAME, "%.*s", (int)length, name);
		}
		out_bytes(b->out, rest, (size_t)(end - rest));
	}
	out_text(b->out, "return { ");
	for (unsigned i = 0; i < n; i++)
		out_format(b->out, changes[i] ? "get %s() { return %s; }, " : "%s, ", names[i],
			   names[i]);
	out_text(b->out, "};\n})();\n");
	return 0;
}

static int put_module(struct bundle *b, const struct asset *a)
{
	uint8_t *bytes = NULL;
	char *text;
	size_t size;
	int r;

	for (unsigned i = 0; i < b->done_n; i++)
		if (b->done[i] == a)
			return 0;
	for (unsigned i = 0; i < b->open_n; i++)
		if (b->open[i] == a)
			return refuse(b, a->name, "it imports what imports it");
	if (b->open_n == MODULES || b->done_n == MODULES)
		return refuse(b, a->name, "there are too many modules");
	r = gzip_unpack(a->bytes, a->packed_size, FILE_MAX, &bytes, &size, b->why);
	text = r == 0 ? strndup((const char *)bytes, size) : NULL;
	if (r == 0 && text == NULL)
		r = -ENOMEM;
	/* either would end the script that it stands in */
	if (r == 0 && (strcasestr(text, "</script") != NULL || strstr(text, "<!--") != NULL))
		r = refuse(b, a->name, "it has what ends a script");
	b->open[b->open_n++] = a;
	if (r == 0)
		r = put_needed(b, a, text);
	b->open_n--;
	if (r == 0)
		r = put_text(b, a, text);
	if (r == 0)
		b->done[b->done_n++] = a;
	free(text);
	free(bytes);
	return r;
}

int sheet_script(const struct asset *files, struct out *out, struct why *why)
{
	struct bundle b = {.assets = files, .out = out, .why = why};
	const struct asset *main = find(&b, "main.js", 7);

	if (main == NULL) {
		why_set(why, "the page has no main.js");
		return -EINVAL;
	}
	out_text(out, "'use strict';\n");
	return put_module(&b, main);
}
