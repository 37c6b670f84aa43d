#include "viewer/cmd_timeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/announce.h"
#include "viewer/api.h"
#include "viewer/server.h"

#define FRAGMENT 256

struct show {
	struct cmd *c;
	struct page *page;
	char fragment[FRAGMENT]; /* "t=1000ns+5000ns&marks=3000ns" */
};

/* ---- where it opens ---- */

static uint64_t since(const struct cmd *c, uint64_t ns)
{
	uint64_t begun = cmd_begun_ns(c);

	return ns > begun ? ns - begun : 0;
}

__attribute__((format(printf, 2, 3))) static void add(struct show *s, const char *format, ...)
{
	size_t n = strlen(s->fragment);
	va_list args;

	va_start(args, format);
	vsnprintf(s->fragment + n, sizeof(s->fragment) - n, format, args);
	va_end(args);
}

static void add_view(struct show *s, uint64_t from_ns, uint64_t to_ns)
{
	add(s, "%st=%" PRIu64 "ns+%" PRIu64 "ns", s->fragment[0] != '\0' ? "&" : "",
	    since(s->c, from_ns), to_ns - from_ns);
}

/* "1.2s..1.3s", "1.2s..+10ms" */
static int read_select(struct show *s, uint64_t *ret_from, uint64_t *ret_to, struct why *why)
{
	const char *text = s->page->select, *dots = strstr(text, "..");
	char *first = dots != NULL ? strndup(text, (size_t)(dots - text)) : NULL;
	int r = dots == NULL ? -EINVAL : first == NULL ? -ENOMEM : 0;

	if (r == -EINVAL)
		why_set(why, "--select %s: A..B was expected, such as 1.2s..1.3s or 1.2s..+10ms",
			text);
	if (r == 0)
		r = cmd_time(s->c, first, cmd_begun_ns(s->c), ret_from, why);
	if (r == 0)
		r = cmd_time(s->c, dots + 2, *ret_from, ret_to, why);
	if (r == 0 && *ret_from >= *ret_to) {
		why_set(why, "--select %s: the second must be behind the first", text);
		r = -EINVAL;
	}
	free(first);
	return r;
}

/* Is it in the trace? */
static int check_time(const struct show *s, const char *option, const char *text, uint64_t ns,
		      const struct page_times *t, struct why *why)
{
	if (ns >= t->begin_ns && ns <= t->end_ns)
		return 0;
	why_set(why, "%s %s: the trace is from %.9fs to %.9fs", option, text,
		(double)since(s->c, t->begin_ns) / 1e9, (double)since(s->c, t->end_ns) / 1e9);
	return -EINVAL;
}

/* --from and --to say what is seen; else --at does, else --select. */
static int make_fragment(struct show *s, const struct page_times *t, struct why *why)
{
	uint64_t at = 0, from = 0, to = 0, width = (t->end_ns - t->begin_ns) / 200;
	bool has_view = s->c->args->from != NULL || s->c->args->to != NULL;
	int r = 0;

	if (s->page->at != NULL) {
		r = cmd_time(s->c, s->page->at, cmd_begun_ns(s->c), &at, why);
		if (r == 0)
			r = check_time(s, "--at", s->page->at, at, t, why);
	}
	if (r == 0 && s->page->select != NULL) {
		r = read_select(s, &from, &to, why);
		if (r == 0)
			r = check_time(s, "--select", s->page->select, from, t, why);
	}
	if (r < 0)
		return r;
	width = width < 500 ? 500 : width;
	if (has_view)
		add_view(s, t->from_ns, t->to_ns);
	else if (s->page->at != NULL)
		add_view(s, at > t->begin_ns + width ? at - width : t->begin_ns, at + width);
	else if (s->page->select != NULL)
		add_view(s,
			 from > t->begin_ns + (to - from) / 10 ? from - (to - from) / 10
							       : t->begin_ns,
			 to + (to - from) / 10);
	if (s->page->select != NULL)
		add(s, "&area=%" PRIu64 "ns+%" PRIu64 "ns", since(s->c, from), to - from);
	if (s->page->at != NULL)
		add(s, "&marks=%" PRIu64 "ns", since(s->c, at));
	/* the server tells what --from and --to say by itself */
	if (has_view && s->page->select == NULL && s->page->at == NULL)
		s->fragment[0] = '\0';
	return 0;
}

/* ---- served ---- */

static void say(void *context, const char *text)
{
	(void)context;
	cmd_complain("%s", text);
}

static struct announce announcement(const struct show *s)
{
	return (struct announce){.fragment = s->fragment,
				 .is_quiet = s->c->args->quiet,
				 .opens = s->page->open,
				 .never_opens = s->page->no_open,
				 .say = say};
}

static void on_ready(void *context, const char *url, const char *host, uint16_t port, bool is_open)
{
	const struct announce a = announcement(context);

	announce(&a, url, host, port, is_open);
}

static int serve(struct show *s, struct api *api, bool keeps_index)
{
	struct server_ask ask = {.api = api,
				 .port = (uint16_t)s->page->port,
				 .idle_ns = s->page->idle_ns,
				 .keeps_index = keeps_index,
				 .directory = getenv("CPROF_TRACE_WEB_DIR"),
				 .ready = on_ready,
				 .context = s};
	struct why why = {""};
	char *address = NULL;
	int r = 0;

	if (s->page->http != NULL)
		r = announce_read("--http", s->page->http, &address, &ask.port, &why);
	if (r < 0) {
		cmd_complain("%s", why.text);
		return r == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
	}
	ask.address = address;
	terminal_watch_end(&s->c->progress);
	r = server_run(&ask, &why);
	if (r == -ENOSYS)
		cmd_complain("no page is served: %s; 'cprof-trace %s timeline --html OUT' writes "
			     "it into a file, "
			     "--text draws it here, and --interactive has keys",
			     why.text, s->c->args->file);
	else if (r < 0)
		cmd_failed(s->c, r, &why);
	free(address);
	return r == 0 ? STATUS_OK : r == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
}

/* ---- in a file ---- */

/* "20M", "512k", "100000". */
static int read_size(const char *text, uint64_t *ret)
{
	static const char units[] = "kmg";
	char *end = NULL;
	unsigned shift = 0;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (*end != '\0') {
		const char *unit = strchr(units, *end | 0x20);

		shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 64;
		end++;
	}
	if (errno == 0 && text[0] >= '0' && text[0] <= '9' && shift < 64 && *end == '\0' &&
	    *ret > 0 && *ret <= UINT64_MAX >> shift) {
		*ret <<= shift;
		return STATUS_OK;
	}
	cmd_complain("--html-size %s: a size was expected, such as 20M", text);
	return STATUS_USAGE;
}

/* "file:///…", the path's bytes as a URL has them. */
static void open_file(const struct show *s)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-";
	const struct announce a = announcement(s);
	char *whole = realpath(s->page->html, NULL), *url = NULL;
	size_t size;
	FILE *to = whole != NULL ? open_memstream(&url, &size) : NULL;

	if (to != NULL) {
		fputs("file://", to);
		for (const char *at = whole; *at != '\0'; at++)
			fprintf(to, strchr(plain, *at) != NULL ? "%c" : "%%%02X",
				(unsigned char)*at);
		fclose(to);
		announce_open(&a, url);
	}
	free(url);
	free(whole);
}

static int write_file(struct show *s, struct api *api, bool keeps_index)
{
	struct html_ask ask = {.api = api,
			       .assets = timeline_page,
			       .fragment = s->fragment,
			       .size_max = HTML_SIZE,
			       .watch = &s->c->progress.watch};
	struct why why = {"out of memory"};
	struct cmd *c = s->c;
	int r, status = STATUS_OK;

	if (s->page->html_size != NULL)
		status = read_size(s->page->html_size, &ask.size_max);
	if (status == STATUS_OK)
		status = cmd_open_out(c, false);
	if (status != STATUS_OK)
		return status;
	if (!c->is_file && isatty(STDOUT_FILENO)) {
		cmd_complain("a page is not for a terminal; name a file");
		return STATUS_USAGE;
	}
	r = api_open_index(api, keeps_index, ask.watch, &why);
	if (r == 0)
		r = html_write(&ask, c->out, &s->page->counts, &why);
	terminal_watch_end(&c->progress);
	if (r == -EINTR)
		cmd_complain("interrupted; nothing was written");
	else if (r < 0 && c->out->error != r)
		cmd_failed(c, r, &why);
	return r < 0 ? STATUS_FAILED : STATUS_OK;
}

void page_end(struct cmd *c, struct page *page, int status)
{
	const struct show s = {.c = c, .page = page};
	const struct html_counts *n = &page->counts;

	if (page->html == NULL || !cmd_has_written(c, status))
		return;
	if (!c->args->quiet && n->short_ns == 0)
		cmd_complain("%s has all %" PRIu64 " intervals", page->html, n->intervals);
	else if (!c->args->quiet)
		cmd_complain("%s has %" PRIu64 " intervals in %" PRIu64
			     " pieces: those below %" PRIu64
			     " ns are put together; a larger --html-size has more of them",
			     page->html, n->intervals, n->pieces, n->short_ns);
	if (page->open)
		open_file(&s);
}

int page_show(struct cmd *c, struct page *page, const struct page_times *times, bool keeps_index)
{
	struct api api = {.reader = c->reader,
			  .streams = &c->streams,
			  .tables = &c->tables,
			  .resolver = c->resolver,
			  .begun_ns = cmd_begun_ns(c),
			  .begin_ns = times->begin_ns,
			  .end_ns = times->end_ns,
			  .from_ns = times->from_ns,
			  .to_ns = times->to_ns,
			  .command = cmd_run,
			  .file = c->args->file,
			  .no_symbols = c->args->no_symbols,
			  .source_root = page->source_root};
	struct show s = {.c = c, .page = page};
	struct why why = {"out of memory"};
	int r, status;

	if (page->open && page->no_open) {
		cmd_complain("--open and --no-open: one of them was expected");
		return STATUS_USAGE;
	}
	r = make_fragment(&s, times, &why);
	if (r < 0)
		return cmd_failed(c, r, &why);
	/* names are looked for where that may take its time */
	c->tables.resolver = NULL;
	r = api_init(&api, &why);
	if (r < 0)
		status = cmd_failed(c, r, &why);
	else
		status = page->html != NULL ? write_file(&s, &api, keeps_index)
					    : serve(&s, &api, keeps_index);
	api_fini(&api);
	return status;
}
