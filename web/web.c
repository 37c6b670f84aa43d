#include "web/web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flame/flame.h"
#include "http/query.h"
#include "output/out.h"
#include "web/views.h"

#define TEXT_MAX (2 << 10) /* bytes of a parameter */
#define ROWS     2000      /* of a table, unless all are asked for */

/* ---- what a question changes ---- */

/* Options that are text, by the names that they have on the command line. */
enum { FOCUS, IGNORE, HIDE, SHOW, SHOW_FROM, TAG_FOCUS, TAG_IGNORE, COLUMN, EXPRESSION, TEXTS };

static const char *const names[TEXTS] = {
	[FOCUS] = "focus",
	[IGNORE] = "ignore",
	[HIDE] = "hide",
	[SHOW] = "show",
	[SHOW_FROM] = "show_from",
	[TAG_FOCUS] = "tagfocus",
	[TAG_IGNORE] = "tagignore",
	[COLUMN] = "sample_index",
	[EXPRESSION] = "expression",
};

static const char *const granularities[] = {
	[BY_FUNCTION] = "functions", [BY_FILE_FUNCTION] = "filefunctions", [BY_FILE] = "files",
	[BY_LINE] = "lines",         [BY_ADDRESS] = "addresses",
};

struct question {
	const char *query; /* behind the "?" */
	struct report_options options;
	char texts[TEXTS][TEXT_MAX];
};

static bool is_yes(const char *query, const char *name, bool otherwise)
{
	char text[8];

	return query_get(query, name, text, sizeof(text)) ? strcmp(text, "1") == 0 : otherwise;
}

static int read_granularity(struct question *q, struct why *why)
{
	char text[40];

	if (!query_get(q->query, "granularity", text, sizeof(text)) || text[0] == '\0')
		return 0;
	for (unsigned i = 0; i < sizeof(granularities) / sizeof(granularities[0]); i++)
		if (strcmp(granularities[i], text) == 0) {
			q->options.granularity = (enum granularity)i;
			return 0;
		}
	why_set(why,
		"granularity=%s: functions, filefunctions, files, lines or addresses was expected",
		text);
	return -EINVAL;
}

static int read_count(struct question *q, struct why *why)
{
	char text[40];
	int64_t n;

	if (!query_get(q->query, "nodecount", text, sizeof(text)))
		return 0;
	if (query_int(text, &n) < 0 || n < 0 || n > INT32_MAX) {
		why_set(why, "nodecount=%s: a whole number was expected", text);
		return -EINVAL;
	}
	q->options.node_count = (int)n;
	return 0;
}

/* What is not asked for stays as the command line has it. */
static int read_question(const struct web *w, const char *text, struct question *q, struct why *why)
{
	const char **fields[TEXTS] = {
		[FOCUS] = &q->options.focus,
		[IGNORE] = &q->options.ignore,
		[HIDE] = &q->options.hide,
		[SHOW] = &q->options.show,
		[SHOW_FROM] = &q->options.show_from,
		[TAG_FOCUS] = &q->options.tag_focus,
		[TAG_IGNORE] = &q->options.tag_ignore,
		[COLUMN] = &q->options.sample_index,
		[EXPRESSION] = &q->options.expression,
	};
	int r;

	q->query = strchrnul(text, '?');
	q->query += *q->query == '?';
	q->options = *w->report->options;
	for (unsigned i = 0; i < TEXTS; i++) {
		if (!query_get(q->query, names[i], q->texts[i], TEXT_MAX))
			continue;
		if (strlen(q->texts[i]) == TEXT_MAX - 1) {
			why_set(why, "%s is too long: %d bytes at most were expected", names[i],
				TEXT_MAX - 2);
			return -EINVAL;
		}
		*fields[i] = q->texts[i][0] != '\0' ? q->texts[i] : NULL;
	}
	q->options.no_inlines = is_yes(q->query, "noinlines", q->options.no_inlines);
	q->options.with_idle = is_yes(q->query, "idle", q->options.with_idle);
	q->options.no_trim = !is_yes(q->query, "trim", !q->options.no_trim);
	if (q->options.node_count < 0)
		q->options.node_count = ROWS;
	r = read_granularity(q, why);
	return r < 0 ? r : read_count(q, why);
}

/* ---- answers ---- */

static void put_text(struct out *out, const char *name, const char *text)
{
	out_format(out, ",\n\"%s\":", name);
	out_json(out, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* What does not change, and what the command line has chosen. */
static int view_meta(const struct web *w, struct out *out, struct why *why)
{
	const struct report *r = w->report;
	const struct report_options *o = r->options;
	const struct profile *p = &r->profile;
	const char *const chosen[TEXTS] = {
		[FOCUS] = o->focus,
		[IGNORE] = o->ignore,
		[HIDE] = o->hide,
		[SHOW] = o->show,
		[SHOW_FROM] = o->show_from,
		[TAG_FOCUS] = o->tag_focus,
		[TAG_IGNORE] = o->tag_ignore,
	};
	int error = report_choose_column(w->report, why);

	if (error < 0)
		return error;
	out_text(out, "{\"form\":1");
	put_text(out, "title", w->title);
	put_text(out, "base", w->base_title);
	put_text(out, "command", w->command);
	put_text(out, "granularity", granularities[o->granularity]);
	out_format(out, ",\n\"noinlines\":%s,\"idle\":%s,\"samples\":%u",
		   o->no_inlines ? "true" : "false", o->with_idle ? "true" : "false", p->samples_n);
	for (unsigned i = 0; i < COLUMN; i++)
		put_text(out, names[i], chosen[i]);
	put_text(out, names[COLUMN], p->sample_types[r->column].type);
	out_text(out, ",\n\"columns\":[");
	for (uint32_t i = 0; i < p->sample_types_n; i++) {
		out_text(out, i > 0 ? ",[" : "[");
		out_json(out, p->sample_types[i].type, strlen(p->sample_types[i].type));
		out_char(out, ',');
		out_json(out, p->sample_types[i].unit, strlen(p->sample_types[i].unit));
		out_char(out, ']');
	}
	out_text(out, "]}\n");
	return out_flush(out);
}

static int view_flame(const struct web *w, const struct question *q, enum granularity granularity,
		      struct out *out, struct why *why)
{
	const struct flame_ask ask = {.title = w->title,
				      .base_title = w->base_title,
				      .is_inverted = is_yes(q->query, "inverted", false)};
	struct flame f = {0};
	int r;

	if (strcmp(w->report->shown_unit, "minimum") == 0)
		w->report->shown_unit = "auto";
	r = flame_init(&f, w->report, granularity, false, why);
	if (r == 0)
		r = flame_put_page(&f, &ask, flame_page, out, why);
	if (r == 0)
		r = out_flush(out);
	flame_fini(&f);
	return r;
}

static const struct view {
	const char *name;
	int (*put)(struct report *r, struct out *out, struct why *why);
	bool has_expression, is_by_line, has_idle;
} views[] = {
	{"top", view_top, false, false, false},     {"peek", view_peek, true, false, false},
	{"source", view_source, true, true, false}, {"tags", view_tags, false, false, true},
	{"flame", NULL, false, false, false},       {"meta", NULL, false, false, false},
};

static const struct view *find_view(const char *text)
{
	size_t n = strcspn(text, "?");

	for (unsigned i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		if (strlen(views[i].name) == n && memcmp(views[i].name, text, n) == 0)
			return &views[i];
	return NULL;
}

static int answer(const struct web *w, const struct view *view, struct question *q, struct out *out,
		  struct answer *ret, struct why *why)
{
	enum granularity granularity = q->options.granularity;
	bool is_flame = strcmp(view->name, "flame") == 0;
	int r;

	if (strcmp(view->name, "meta") == 0)
		return view_meta(w, out, why);
	if (view->has_expression && q->options.expression == NULL) {
		why_set(why, "which functions? expression=RE was expected");
		return -EINVAL;
	}
	if (view->is_by_line)
		q->options.granularity = BY_LINE;
	if (is_flame)
		q->options.granularity = BY_ADDRESS;
	if (view->has_idle)
		q->options.with_idle = true;
	w->report->options = &q->options;
	r = report_prepare(w->report, why);
	if (r < 0 || !is_flame)
		return r < 0 ? r : view->put(w->report, out, why);
	ret->type = ANSWER_PAGE;
	return view_flame(w, q, granularity, out, why);
}

static void refuse(void *context, int status, const char *why, int fd, struct answer *ret)
{
	struct out *out = malloc(sizeof(*out));

	(void)context;
	*ret = (struct answer){.status = status, .type = ANSWER_JSON};
	/* what was written until then goes */
	if (out != NULL && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0) {
		out_init(out, fd, false);
		out_text(out, "{\"error\":");
		out_json(out, why, strlen(why));
		out_text(out, "}\n");
		out_flush(out);
	}
	free(out);
}

void web_answer(const struct web *w, const char *text, int fd, struct answer *ret)
{
	const struct view *view = find_view(text);
	struct question *q = calloc(1, sizeof(*q));
	struct out *out = malloc(sizeof(*out));
	struct why why = {""};
	int r = view == NULL ? -ESRCH : q == NULL || out == NULL ? -ENOMEM : 0;

	*ret = (struct answer){.status = 200, .type = ANSWER_JSON};
	if (r == 0)
		r = read_question(w, text, q, &why);
	if (r == 0) {
		out_init(out, fd, false);
		r = answer(w, view, q, out, ret, &why);
	}
	if (view == NULL)
		why_set(&why, "there is no such view: top, peek, source, tags, flame or meta was "
			      "expected");
	else if (r == -EFBIG)
		why_set(&why, "the answer is too long: a filter makes it shorter");
	else if (r < 0 && why.text[0] == '\0')
		why_set(&why, "%s", strerror(-r));
	if (r < 0)
		refuse(NULL,
		       r == -EINVAL                  ? 400
		       : r == -ENOENT || r == -ESRCH ? 404
		       : r == -EFBIG                 ? 504
						     : 500,
		       why.text, fd, ret);
	free(out);
	free(q);
}

/* ---- the site ---- */

static void on_ready(void *context, const char *url, const char *host, uint16_t port, bool is_open)
{
	const struct web *w = context;

	w->ready(w->context, url, host, port, is_open);
}

static void on_work(void *context, const char *text, int fd, struct answer *ret)
{
	web_answer(context, text, fd, ret);
}

int web_run(const struct web *w, struct why *why)
{
	struct web copy = *w;
	const struct site site = {.address = w->address,
				  .port = w->port,
				  .idle_ns = w->idle_ns,
				  .assets = web_page,
				  .directory = w->directory,
				  .ready = on_ready,
				  .work = on_work,
				  .refuse = refuse,
				  .context = &copy};

	return site_run(&site, why);
}
