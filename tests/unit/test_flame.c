/*
 * The tree of stacks, its sizes, and what is written of it: names that would be markup, scripts or commands of a terminal in each of the
 * three forms. What a browser makes of the page is for tests/page/flame.test.mjs.
 */
#include <errno.h>

#include "flame/flame.h"
#include "output/gzip.h"
#include "tests/tap.h"

#define HOSTILE "</script><b onload=\"x\">'&\xe2\x80\xa8\xe2\x80\xae\x1b[31m\x01\xff"
#define COLUMN  1
#define TITLE   "a.pb.gz"
#define DEPTH   4

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

/* A location of function @name at @line; inlined into @outer, unless that is NULL. */
static uint32_t location(struct profile *p, const char *name, int64_t line, const char *outer)
{
	static uint64_t address = 0x1000;
	struct profile_line lines[2];
	struct profile_location l = {.address = address += 16, .mapping = 0, .lines = lines};
	const char *const names[] = {name, outer};

	for (; l.lines_n < 2 && names[l.lines_n] != NULL; l.lines_n++) {
		struct profile_function f = {.name = names[l.lines_n],
					     .system_name = names[l.lines_n],
					     .file = "a.c",
					     .start_line = 7};

		lines[l.lines_n] = (struct profile_line){profile_add_function(p, &f),
							 l.lines_n == 0 ? line : 90, 0};
	}
	return profile_add_location(p, &l);
}

static void stack(struct profile *p, const uint32_t *from_root, uint32_t n, int64_t value,
		  const char *thread)
{
	struct profile_label label = {.key = "thread", .str = thread, .num_unit = ""};
	uint32_t leaf_first[DEPTH];
	int64_t values[] = {value < 0 ? -1 : 1, value};

	for (uint32_t i = 0; i < n; i++)
		leaf_first[i] = from_root[n - 1 - i];
	profile_add_sample(p,
			   &(struct profile_sample){n, thread != NULL, leaf_first, values, &label});
}

/*
 * main → parse → read 30; main → parse (by another line) 10; main → draw, with blend inlined into it 20; main 4. The first of
 * them in two threads. @hostile is what main is called.
 */
static void make(struct report *r, const char *main_name, int64_t before)
{
	static struct report_options options;
	struct profile *p = &r->profile;
	struct why why = {""};
	uint32_t a, b[3], c[2], d[2];

	options = report_defaults;
	options.granularity = BY_ADDRESS;
	options.unit = "auto";
	memset(r, 0, sizeof(*r));
	r->options = &options;
	profile_init(p);
	profile_keep_bytes(p);
	profile_add_sample_type(p, "samples", "count");
	profile_add_sample_type(p, "cpu", "nanoseconds");
	profile_add_mapping(p, &(struct profile_mapping){
				       .start = 0x1000, .limit = 0x9000, .file = "/bin/demo"});
	a = location(p, main_name, 5, NULL);
	b[0] = c[0] = d[0] = a;
	b[1] = location(p, "parse", 10, NULL);
	b[2] = location(p, "read", 20, NULL);
	c[1] = location(p, "parse", 11, NULL);
	d[1] = location(p, "blend", 30, "draw");
	stack(p, c, 2, 10, "w1"); /* first, though it has less */
	stack(p, b, 3, 25, "w1");
	stack(p, b, 3, 5, "w2");
	stack(p, d, 2, 20, NULL);
	stack(p, &a, 1, 4, NULL);
	if (before != 0)
		stack(p, b, 2, -before, "w1");
	if (report_prepare(r, &why) < 0)
		abort();
}

/* The node below @parent with that name; 0: there is none. */
static uint32_t child(const struct flame *f, uint32_t parent, const char *name)
{
	for (uint32_t i = 1; i < f->nodes_n; i++)
		if (f->nodes[i].parent == parent &&
		    strcmp(f->frames[f->nodes[i].frame].name, name) == 0)
			return i;
	return 0;
}

static void test_tree(void)
{
	struct flame_sizes s;
	struct report r;
	struct flame f;
	struct why why;
	uint32_t top, parse, read, draw, blend;

	make(&r, "main", 0);
	ok(flame_init(&f, &r, BY_FUNCTION, false, &why) == 0, "a tree");
	top = child(&f, 0, "main");
	parse = child(&f, top, "parse");
	read = child(&f, parse, "read");
	draw = child(&f, top, "draw");
	blend = child(&f, draw, "blend");
	is_u64(f.nodes_n, 6, "as many nodes as there are ways, and the root");
	ok(top != 0 && parse != 0 && read != 0 && draw != 0 && blend != 0, "each is there");
	is_u64(f.nodes[blend].depth, 3, "three below the root");
	ok(f.nodes[blend].is_inlined && !f.nodes[draw].is_inlined, "what is inlined is marked");
	is_u64((uint64_t)f.nodes[parse].line, 10, "of two lines the one that has more");
	is_str(f.frames[f.nodes[parse].frame].module, "/bin/demo", "the module");
	is_u64((uint64_t)f.frames[f.nodes[parse].frame].start_line, 7, "where it begins");
	is_u64(f.samples_n, 5, "stacks by node and labels");
	is_u64(f.labels_n, 3, "no labels, and two threads");
	for (uint32_t i = 1; i < f.nodes_n; i++)
		if (f.nodes[i].parent >= i)
			ok(false, "a parent has a smaller number");
	ok(flame_sizes_init(&s, &f, COLUMN) == 0, "sizes");
	is_u64((uint64_t)s.of[0].now, 64, "of all");
	is_u64((uint64_t)s.of[top].self_now, 4, "of main itself");
	is_u64((uint64_t)s.of[parse].now, 40, "of parse, by both lines");
	is_u64((uint64_t)s.of[parse].self_now, 10, "itself");
	is_u64((uint64_t)s.of[draw].self_now, 0, "what is inlined is not its caller's own");
	is_u64(s.of[top].children_n, 2, "main has two below it");
	is_u64(s.order[s.of[top].children], parse, "the widest first");
	flame_sizes_fini(&s);
	flame_fini(&f);
	report_fini(&r);
}

static void test_inverted(void)
{
	struct flame_sizes s;
	struct report r;
	struct flame f;
	struct why why;
	uint32_t read, parse;

	make(&r, "main", 0);
	ok(flame_init(&f, &r, BY_FUNCTION, true, &why) == 0 &&
		   flame_sizes_init(&s, &f, COLUMN) == 0,
	   "an inverted tree");
	read = child(&f, 0, "read");
	parse = child(&f, 0, "parse");
	is_u64((uint64_t)s.of[0].now, 64, "of all, the same");
	is_u64((uint64_t)s.of[read].now, 30, "read has its own");
	is_u64((uint64_t)s.of[parse].now, 10, "and so has parse");
	is_u64((uint64_t)s.of[child(&f, child(&f, read, "parse"), "main")].now, 30, "and callers");
	ok(child(&f, child(&f, child(&f, 0, "blend"), "draw"), "main") != 0,
	   "what is inlined is called by what it is inlined into");
	flame_sizes_fini(&s);
	flame_fini(&f);
	report_fini(&r);
}

static void test_lines(void)
{
	struct report r;
	struct flame f;
	struct why why;
	uint32_t top;

	make(&r, "main", 0);
	ok(flame_init(&f, &r, BY_LINE, false, &why) == 0, "a tree of lines");
	top = child(&f, 0, "main a.c:5");
	ok(child(&f, top, "parse a.c:10") != 0 && child(&f, top, "parse a.c:11") != 0,
	   "each line is a box");
	flame_fini(&f);
	report_fini(&r);
	make(&r, "main", 0);
	ok(flame_init(&f, &r, BY_FILE, false, &why) == 0, "a tree of files");
	is_u64(f.frames_n, 1, "all of it is in one");
	is_str(f.frames[0].name, "a.c", "by its name");
	flame_fini(&f);
	report_fini(&r);
}

static void test_difference(void)
{
	struct flame_sizes s;
	struct report r;
	struct flame f;
	struct why why;
	uint32_t top, parse;

	make(&r, "main", 16);
	ok(flame_init(&f, &r, BY_FUNCTION, false, &why) == 0 &&
		   flame_sizes_init(&s, &f, COLUMN) == 0,
	   "a difference");
	top = child(&f, 0, "main");
	parse = child(&f, top, "parse");
	ok(f.is_diff, "is one");
	is_u64((uint64_t)s.of[parse].now, 40, "parse now");
	is_u64((uint64_t)s.of[parse].before, 16, "and before");
	is_u64((uint64_t)s.of[parse].width, 46, "its width: the larger, stack by stack: 30 and 16");
	ok(flame_change(&s.of[parse]) == (40.0 - 16) / 40, "three fifths more");
	ok(flame_change(&s.of[child(&f, top, "draw")]) == 1, "what is new");
	flame_sizes_fini(&s);
	flame_fini(&f);
	report_fini(&r);
}

static void test_overflow(void)
{
	struct flame_sizes s;
	struct report r;
	struct flame f;
	struct why why;

	make(&r, "main", 0);
	for (uint32_t i = 0; i < r.profile.samples_n; i++)
		r.profile.samples[i].values[COLUMN] = INT64_MAX - i;
	ok(flame_init(&f, &r, BY_FUNCTION, false, &why) == 0 &&
		   flame_sizes_init(&s, &f, COLUMN) == 0,
	   "values whose sum is too large");
	is_u64((uint64_t)s.of[0].now, INT64_MAX, "stay at the end");
	flame_sizes_fini(&s);
	flame_fini(&f);
	report_fini(&r);
}

/* What @put makes of a tree whose main is called that. */
static char *written(const char *name, const struct flame_ask *ask,
		     int (*put)(const struct flame *, const struct flame_ask *, struct out *,
				struct why *))
{
	struct out *out = malloc(sizeof(*out));
	struct bytes text = {0};
	struct report r;
	struct flame f;
	struct why why;

	make(&r, name, 0);
	out_init_sink(out, append, &text);
	if (flame_init(&f, &r, BY_FUNCTION, false, &why) < 0 || put(&f, ask, out, &why) < 0)
		abort();
	flame_fini(&f);
	report_fini(&r);
	free(out);
	return text.at;
}

static void test_text(void)
{
	struct flame_ask ask = {.title = TITLE, .fraction = -1, .width = 60};
	char *text = written("main", &ask, flame_put_text);
	const char *tree = strstr(text, "      64ns");

	is_str(tree,
	       "      64ns 100.0%  ███████████████ all\n"
	       "      64ns 100.0%  ███████████████ └ main\n"
	       "      40ns  62.5%  █████████▍        ├ parse\n"
	       "      30ns  46.9%  ███████           │ read\n"
	       "      20ns  31.2%  ████▊             └ draw\n"
	       "      20ns  31.2%  ████▊               blend\n",
	       "lines of text");
	free(text);
	ask.is_ascii = true;
	ask.fraction = 0.5;
	text = written("main", &ask, flame_put_text);
	is_str(strstr(text, "      64ns"),
	       "      64ns 100.0%  ############### all\n"
	       "      64ns 100.0%  ############### ` main\n"
	       "      40ns  62.5%  #########         parse\n"
	       "Left out: 2 boxes below 50%, and what is in them\n",
	       "in ASCII, without what is below a half");
	free(text);
	ask.fraction = -1;
	text = written(HOSTILE, &ask, flame_put_text);
	ok(strchr(text, '\033') == NULL && strchr(text, '\001') == NULL &&
		   strstr(text, "\xe2\x80\xae") == NULL && strchr(text, '\xff') == NULL,
	   "nothing in a name steers a terminal");
	free(text);
}

static void test_svg(void)
{
	struct flame_ask ask = {.title = HOSTILE, .fraction = -1, .width = 600};
	char *text = written(HOSTILE, &ask, flame_put_svg);

	ok(strstr(text, "<b") == NULL && strstr(text, "</script") == NULL &&
		   strstr(text, "<script") == NULL,
	   "a name is no markup in a drawing");
	ok(strstr(text, "&lt;/script&gt;&lt;b onload=&quot;x&quot;&gt;'&amp;") != NULL,
	   "it is text");
	ok(strchr(text, '\033') == NULL && strchr(text, '\001') == NULL &&
		   strchr(text, '\xff') == NULL,
	   "without what XML cannot have");
	ok(strstr(text,
		  "<title>parse: 40ns (62.50%), itself 10ns (15.62%)\na.c:10\n/bin/demo</title>") !=
		   NULL,
	   "a box's numbers are its title");
	free(text);
}

/* The data as the page unpacks it: names, a NUL, numbers. */
static void test_data(void)
{
	/* main, parse, read, draw, blend: how far the parent is, frame and inlined, line */
	static const uint8_t nodes[] = {1, 0, 5, 1, 2, 10, 1, 4, 20, 3, 8, 90, 1, 7, 30};
	/* the node after the last one's, labels, the samples and the nanoseconds, zigzag */
	static const uint8_t samples[] = {1, 0,  2, 8, 1, 1,  2, 20, 1, 1,
					  2, 50, 0, 2, 2, 10, 2, 0,  2, 40};
	struct flame_ask ask = {.title = HOSTILE, .base_title = "b"};
	struct bytes data = {0};
	struct report r;
	struct flame f;
	struct why why;
	size_t n;

	make(&r, "main", 0);
	ok(flame_init(&f, &r, BY_FUNCTION, false, &why) == 0 &&
		   flame_put_data(&f, &ask, append, &data, &why) == 0,
	   "the data of a page");
	n = strlen(data.at) + 1;
	is_u64(data.n - n, sizeof(nodes) + sizeof(samples), "as many numbers as there should be");
	ok(data.n - n == sizeof(nodes) + sizeof(samples) &&
		   memcmp(data.at + n, nodes, sizeof(nodes)) == 0,
	   "nodes");
	ok(data.n - n == sizeof(nodes) + sizeof(samples) &&
		   memcmp(data.at + n + sizeof(nodes), samples, sizeof(samples)) == 0,
	   "samples");
	ok(strstr(data.at, "\"labels\":[[],\n[[\"thread\",\"w1\"]],\n[[\"thread\",\"w2\"]]]") !=
		   NULL,
	   "labels");
	ok(strchr(data.at, '\033') == NULL && strchr(data.at, '\xff') == NULL &&
		   strstr(data.at, "onload=\\\"x\\\"") != NULL,
	   "names are JSON");
	flame_fini(&f);
	report_fini(&r);
	free(data.at);
}

static struct asset file_of(const char *name, const char *text)
{
	struct gzip_packer *packer;
	struct bytes packed = {0};

	if (gzip_pack_create(&packer, append, &packed) < 0 ||
	    gzip_pack(packer, text, strlen(text)) < 0 || gzip_pack_finish(packer) < 0)
		abort();
	gzip_pack_destroy(packer);
	return (struct asset){name, "", (uint8_t *)packed.at, strlen(text), packed.n};
}

static void test_page(void)
{
	struct asset files[] = {
		file_of("index.html", "<html>\n<meta charset=\"utf-8\">\n"
				      "<link rel=\"stylesheet\" href=\"theme.css\">\n"
				      "<link rel=\"stylesheet\" href=\"style.css\">\n"
				      "<script type=\"module\" src=\"main.js\"></script>\n"
				      "<body>\n</body>\n</html>\n"),
		file_of("theme.css", ":root { }\n"),
		file_of("style.css", "body { }\n"),
		file_of("main.js", "run();\n"),
		{0},
	};
	struct flame_ask ask = {.title = HOSTILE};
	struct out *out = malloc(sizeof(*out));
	struct bytes page = {0};
	struct report r;
	struct flame f;
	struct why why = {""};

	make(&r, HOSTILE, 0);
	out_init_sink(out, append, &page);
	ok(flame_init(&f, &r, BY_FUNCTION, false, &why) == 0 &&
		   flame_put_page(&f, &ask, files, out, &why) == 0 && out_flush(out) == 0,
	   "a page");
	ok(strstr(page.at, "onload") == NULL && strstr(page.at, "parse") == NULL,
	   "no name of the profile stands in it as it is");
	ok(strstr(page.at, "connect-src 'none'") != NULL && strstr(page.at, "href=") == NULL &&
		   strstr(page.at, " src=") == NULL,
	   "it has a policy, and nothing in it is elsewhere");
	ok(strstr(page.at, ":root { }") != NULL && strstr(page.at, "body { }") != NULL &&
		   strstr(page.at, "run();") != NULL && strstr(page.at, "id=\"data\">H4sI") != NULL,
	   "both styles, script and data are there");
	free(page.at);
	page = (struct bytes){0};
	free((void *)(uintptr_t)files[1].bytes);
	files[1] = file_of("other.css", "");
	out_init_sink(out, append, &page);
	ok(flame_put_page(&f, &ask, files, out, &why) == -EINVAL &&
		   strstr(why.text, "theme.css") != NULL,
	   "a file that is missing is named");
	for (unsigned i = 0; files[i].name != NULL; i++)
		free((void *)(uintptr_t)files[i].bytes);
	free(page.at);
	free(out);
	flame_fini(&f);
	report_fini(&r);
}

int main(void)
{
	plan_begin();
	test_tree();
	test_inverted();
	test_lines();
	test_difference();
	test_overflow();
	test_text();
	test_svg();
	test_data();
	test_page();
	return plan_end();
}
