/*
 * The page in one file: modules that become a script, pieces that have all the time that the intervals have, and a file below its
 * bound in which no name of a trace stands as it is. Whether its answers are the server's is for tests/page/file.test.mjs.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <stdlib.h>

#include "output/gzip.h"
#include "tests/tap.h"
#include "tests/unit/api_make.h"
#include "viewer/html_private.h"

#define FILES 8

static struct asset files[FILES];
static unsigned files_n;

struct bytes {
	char *at;
	size_t n;
};

static int append(void *context, const void *bytes, size_t size)
{
	struct bytes *b = context;

	b->at = realloc(b->at, b->n + size + 1);
	if (b->at == NULL)
		abort();
	memcpy(b->at + b->n, bytes, size);
	b->n += size;
	b->at[b->n] = '\0';
	return 0;
}

static void add_file(const char *name, const char *text)
{
	struct gzip_packer *packer;
	struct bytes packed = {0};

	if (gzip_pack_create(&packer, append, &packed) < 0 ||
	    gzip_pack(packer, text, strlen(text)) < 0 || gzip_pack_finish(packer) < 0)
		abort();
	gzip_pack_destroy(packer);
	files[files_n++] = (struct asset){.name = name,
					  .type = "",
					  .bytes = (const uint8_t *)packed.at,
					  .size = strlen(text),
					  .packed_size = packed.n};
}

static void drop_files(void)
{
	for (unsigned i = 0; i < files_n; i++)
		free((void *)files[i].bytes);
	memset(files, 0, sizeof(files));
	files_n = 0;
}

/* The script of the files, from malloc; NULL when there is none, which @why explains. */
static char *script(struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	struct bytes text = {0};

	why_set(why, "%s", "");
	out_init_sink(out, append, &text);
	if (sheet_script(files, out, why) < 0) {
		free(text.at);
		text.at = NULL;
	} else {
		out_flush(out);
	}
	free(out);
	return text.at;
}

static void is_script(const char *want, const char *about)
{
	struct why why;
	char *got = script(&why);

	if (!ok(got != NULL && strcmp(got, want) == 0, "%s", about))
		printf("# %s\n", got != NULL ? got : why.text);
	free(got);
	drop_files();
}

static void is_refused(const char *says, const char *about)
{
	struct why why;
	char *got = script(&why);

	if (!ok(got == NULL && strstr(why.text, says) != NULL, "%s", about))
		printf("# %s\n", got != NULL ? got : why.text);
	free(got);
	drop_files();
}

static void test_script(void)
{
	add_file("main.js", "import { a,\n\tb as c } from './x.js';\nimport * as y from "
			    "'./y.js';\na(c, y.n);\n");
	add_file("x.js",
		 "import { n } from './y.js';\nexport function a() {\n}\nexport const b = n;\n");
	add_file("y.js",
		 "export class Y {\n}\nexport async function n() {\n}\nexport let m = 0;\n");
	is_script("'use strict';\n"
		  "const $y = (() => {\nclass Y {\n}\nasync function n() {\n}\nlet m = 0;\n"
		  "return { Y, n, get m() { return m; }, };\n})();\n"
		  "const $x = (() => {\nconst { n } = $y;\nfunction a() {\n}\nconst b = n;\n"
		  "return { a, b, };\n})();\n"
		  "const $main = (() => {\nconst { a,\n\tb: c } = $x;\nconst y = $y;\na(c, y.n);\n"
		  "return { };\n})();\n",
		  "modules in the order in which they need each other, each once");
	add_file("main.js", "import { a } from './x.js';\n");
	add_file("x.js", "import { b } from './y.js';\nexport const a = 1;\n");
	add_file("y.js", "import { a } from './x.js';\nexport const b = 1;\n");
	is_refused("x.js cannot be put into one script: it imports what imports it", "a circle");
	add_file("main.js", "export default 1;\n");
	is_refused("main.js cannot be put into one script: export default 1;",
		   "an export of another form");
	add_file("main.js", "import x from 'elsewhere';\n");
	is_refused("import x from 'elsewhere'", "an import of another form");
	add_file("main.js", "import { x } from './x.js';\n");
	is_refused("import { x } from './x.js'", "a module that is not there");
	add_file("main.js", "const text = '</SCRIPT>';\n");
	is_refused("what ends a script", "what would end it");
	add_file("x.js", "");
	is_refused("no main.js", "nothing to begin with");
}

static void test_pieces(void)
{
	struct html_found found;
	struct html_pieces p = {0};
	struct why why = {""};
	struct api_made m;
	uint64_t sum = 0;
	bool is_right = true;

	api_make(&m, true);
	ok(html_look(&m.api, NULL, &found, &why) == 0, "intervals are looked at");
	for (uint32_t i = 0; i < m.api.tracks_n; i++)
		sum += m.api.tracks[i].intervals;
	ok(found.intervals == sum && found.pieces[0] == sum, "all of them");
	ok(found.details_n[0] == 8 && found.details[0][0].ns == 250 * MS &&
		   found.details[0][7].ns == 250 * MS && found.details[0][0].thread == 3,
	   "the waits for locks");
	ok(found.details_n[3] == 32 && found.details[3][0].ns == 150 * MS &&
		   found.details[3][31].ns == 50 * MS,
	   "system calls, the longest first");
	p.api = &m.api;
	p.places = calloc(m.api.tracks_n, sizeof(*p.places));
	for (unsigned k = 0; k < 64; k++) {
		p.short_ns = k > 0 ? UINT64_C(1) << k : 0;
		if (html_put_pieces(&p, NULL, &why) < 0 || p.pieces != found.pieces[k]) {
			printf("# %u: %" PRIu64 ", %" PRIu64 " were foreseen\n", k, p.pieces,
			       found.pieces[k]);
			is_right = false;
		}
	}
	ok(is_right, "as many pieces as were foreseen, however short the short ones are");
	/* one has a gap in it */
	ok(found.pieces[63] <= m.api.tracks_n + 1 && found.pieces[63] >= m.api.tracks_n,
	   "in the end one of each track");
	for (unsigned i = 0; i < HTML_NAMED; i++)
		map_fini(&p.named[i]);
	free(p.places);
	api_unmake(&m);
}

static int never(int argc, char **argv)
{
	return 1;
}

static int write_all(struct api_made *m, uint64_t max, struct bytes *ret, struct why *why)
{
	const struct html_ask ask = {
		.api = &m->api, .assets = files, .fragment = "t=1s+2s", .size_max = max};
	struct out *out = malloc(sizeof(*out));
	struct html_counts counts;
	int r;

	*ret = (struct bytes){0};
	out_init_sink(out, append, ret);
	r = html_write(&ask, out, &counts, why);
	free(out);
	return r;
}

static bool stop(void *context, uint64_t done, uint64_t total)
{
	return true;
}

static void test_file(void)
{
	static const char index[] =
		"<html>\n<meta charset=\"utf-8\">\n"
		"<link rel=\"stylesheet\" href=\"style.css\">\n"
		"<script type=\"module\" src=\"main.js\"></script>\n<body>\n</body>\n</html>\n";
	const struct watch watch = {.step = stop};
	struct html_ask ask = {
		.assets = files, .fragment = "", .size_max = HTML_SIZE, .watch = &watch};
	struct html_counts counts;
	struct why why = {""};
	struct bytes whole, small;
	struct api_made m;
	struct out *out = malloc(sizeof(*out));

	api_make(&m, true);
	m.api.command = never;
	add_file("index.html", index);
	add_file("style.css", "body { }\n");
	add_file("main.js", "run();\n");
	ok(write_all(&m, HTML_SIZE, &whole, &why) == 0, "a file");
	ok(strstr(whole.at, "connect-src 'none'") != NULL && strstr(whole.at, "href=") == NULL &&
		   strstr(whole.at, " src=") == NULL,
	   "with a policy, and with nothing in it that is elsewhere");
	ok(strstr(whole.at, "evil") == NULL && strstr(whole.at, "\033") == NULL &&
		   strstr(whole.at, "g_cache") == NULL,
	   "no name of the trace stands in it as it is");
	ok(strstr(whole.at, "body { }") != NULL && strstr(whole.at, "run();\n") != NULL &&
		   strstr(whole.at, "id=\"kept\">H4sI") != NULL &&
		   strstr(whole.at, "id=\"kept-0\">H4sI") != NULL,
	   "but style, script, answers and pieces do");
	/* a little more than it was is foreseen */
	ok(write_all(&m, whole.n + 5000, &small, &why) == 0 && small.n == whole.n, "one that fits");
	free(small.at);
	ok(write_all(&m, 1000, &small, &why) == -EFBIG && strstr(why.text, "--html-size") != NULL,
	   "none that cannot");
	free(small.at);
	ask.api = &m.api;
	out_init_sink(out, append, &small);
	small = (struct bytes){0};
	ok(html_write(&ask, out, &counts, &why) == -EINTR, "who does not want it any more ends it");
	free(small.at);
	free(whole.at);
	drop_files();
	add_file("index.html", "<html>\n</html>\n");
	add_file("main.js", "");
	ok(write_all(&m, HTML_SIZE, &small, &why) == -EINVAL, "a page of another form is none");
	free(small.at);
	free(out);
	drop_files();
	api_unmake(&m);
}

static int give(void *context, struct out *out, struct why *why)
{
	static const char json[] = "{\"name\":\"</script><!-- <script>\"}";

	sheet_open_given(out);
	sheet_give(out, true, "a?b=\"1\"", json, strlen(json));
	sheet_give(out, false, "c", "7", 1);
	sheet_close_given(out);
	return 0;
}

static void test_served(void)
{
	struct sheet s;
	struct why why = {""};
	size_t size;
	char *text;

	add_file("index.html",
		 "<html>\n<meta charset=\"utf-8\">\n"
		 "<link rel=\"stylesheet\" href=\"style.css\">\n"
		 "<script type=\"module\" src=\"main.js\"></script>\n<body>\n</body>\n");
	add_file("style.css", "body { }\n");
	add_file("main.js", "run();\n");
	sheet_init(&s, files);
	s.is_served = true;
	text = sheet_text(&s, give, NULL, &size, &why);
	ok(text != NULL && strlen(text) == size, "a page that a server has");
	ok(strstr(text, "Content-Security-Policy") == NULL && strstr(text, s.nonce) != NULL &&
		   strstr(text, "run();\n") != NULL,
	   "its policy is the server's");
	ok(strstr(text, "id=\"given\">{\"a?b=\\\"1\\\"\":{\"name\":\"\\u003c/script>\\u003c!-- "
			"\\u003cscript>\"},\"c\":7}</script>") != NULL,
	   "what it would ask stands in it, and ends nothing");
	free(text);
	text = sheet_text(&s, NULL, NULL, &size, &why);
	ok(text != NULL && strstr(text, "id=\"given\"") == NULL, "or it asks");
	free(text);
	drop_files();
	ok(sheet_text(&s, NULL, NULL, &size, &why) == NULL &&
		   strstr(why.text, "index.html") != NULL,
	   "a page without its file is none");
}

int main(void)
{
	test_script();
	test_served();
	test_pieces();
	test_file();
	return plan_end();
}
