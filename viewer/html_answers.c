/* What is asked of the whole run when a file is written, and names. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/syscalls.h"
#include "viewer/api_private.h"
#include "viewer/frames.h"
#include "viewer/html_private.h"

#define ROWS        5000 /* of a table */
#define EDGES       2000
#define STEPS       2000      /* of memory over time */
#define KEPT_MAX    (4 << 20) /* bytes of one answer; what is longer is said to be missing */
#define STACKS_MAX  20000
#define STEPS_LANES 1000 /* columns of lanes, of what is rare, and of locks along the run */
#define LANES       128  /* tracks that have theirs */
#define THINGS      8    /* locks and calls whose waits are told */
#define LOOK_MS     100

static int begin_answer(struct html *h, const char *key)
{
	out_text(h->out, h->answers++ > 0 ? ",\n" : "\n");
	out_json(h->out, key, strlen(key));
	out_char(h->out, ':');
	return h->out->error;
}

static void put_failure(struct html *h, const char *why)
{
	out_text(h->out, "{\"!\":");
	out_json(h->out, why, strlen(why));
	out_char(h->out, '}');
}

/* What is in @fd, when it is good and not too long. */
static int copy_answer(struct html *h, int fd, int status)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char bytes[16384];

	if (size > KEPT_MAX) {
		put_failure(h, "the answer is too long");
		return 0;
	}
	/* an error is an object with a sentence */
	if (status != 200)
		out_text(h->out, "{\"!\":");
	for (off_t at = 0; at < size;) {
		ssize_t n = pread(fd, bytes, sizeof(bytes), at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		out_bytes(h->out, bytes, (size_t)n);
		at += n;
	}
	if (status != 200)
		out_char(h->out, '}');
	return h->out->error;
}

static void on_work(void *context, const char *text, int fd, struct answer *ret)
{
	api_answer_work(context, text, fd, ret);
}

static void on_refuse(void *context, int status, const char *why, int fd, struct answer *ret)
{
	api_refuse(context, status, why, fd, ret);
}

/* Waits for the oldest of those that are at work, and keeps what it says. */
static int take_oldest(struct html *h)
{
	struct html_work w = h->works[0];
	struct pollfd over = {.fd = w.work.over, .events = POLLIN};
	int r = 0;

	h->works_n--;
	memmove(&h->works[0], &h->works[1], h->works_n * sizeof(h->works[0]));
	while (r == 0 && poll(&over, 1, LOOK_MS) <= 0)
		r = watch_step(h->ask->watch, 0, 0) ? -EINTR : 0;
	if (r == 0)
		r = begin_answer(h, w.key);
	if (r == 0 && !work_finish(&w.work, false))
		put_failure(h, "the process that worked on it came to an end");
	else if (r == 0)
		r = copy_answer(h, w.work.file, w.work.answer->status);
	work_fini(&w.work);
	return r;
}

static int begin_work(struct html *h, const char *key, const char *text)
{
	const struct work_ask ask = {.answer = on_work, .refuse = on_refuse, .context = h->api};
	struct html_work *w;
	int r = h->works_n == HTML_WORKS ? take_oldest(h) : 0;

	if (r < 0)
		return r;
	w = &h->works[h->works_n];
	snprintf(w->key, sizeof(w->key), "%s", key);
	r = work_begin(&w->work, &ask, text, false);
	h->works_n += r == 0;
	return r;
}

static int end_works(struct html *h, int r)
{
	while (h->works_n > 0 && r == 0)
		r = take_oldest(h);
	while (h->works_n > 0)
		work_fini(&h->works[--h->works_n].work);
	return r;
}

/* Asks for @text, and keeps the answer as that of @key. */
static int keep(struct html *h, const char *key, const char *text)
{
	struct answer answer;
	struct api_request q;
	struct why why = {""};
	char copy[4096];
	bool is_good;
	int r;

	snprintf(copy, sizeof(copy), "%s", text);
	is_good = api_parse(copy, &q, &why) == 0;
	if (is_good && api_is_work(h->api, &q))
		return begin_work(h, key, text);
	r = begin_answer(h, key);
	if (r < 0)
		return r;
	if (!is_good) {
		put_failure(h, why.text);
		return 0;
	}
	if (ftruncate(h->scratch, 0) < 0 || lseek(h->scratch, 0, SEEK_SET) < 0)
		return -errno;
	api_answer(h->api, &q, h->scratch, &answer);
	return copy_answer(h, h->scratch, answer.status);
}

static int keep_tracks(struct html *h)
{
	char key[64] = "tracks", text[64];
	int r = 0;

	for (uint32_t at = 0; r == 0 && (at == 0 || at < h->api->tracks_n); at += 10000) {
		snprintf(text, sizeof(text), "tracks?limit=10000&cursor=%" PRIu32, at);
		if (at > 0)
			snprintf(key, sizeof(key), "tracks?cursor=%" PRIu32, at);
		r = keep(h, key, text);
	}
	return r;
}

/*
 * Names of code are looked up here once: each span is told in a process of its own, which has what is known by then, and would open
 * the same files again.
 */
static void warm(struct html *h)
{
	struct tables *t = h->api->tables;
	const uint64_t *words;
	struct frames *frames;
	uint32_t n;

	t->resolver = h->api->resolver;
	if (frames_create(&frames, t) == 0) {
		for (unsigned k = 0; k < HTML_KINDS; k++) {
			for (unsigned i = 0; i < h->found.details_n[k]; i++) {
				n = frames_stack(frames, h->found.details[k][i].stack, &words);
				for (uint32_t w = 0; w < n; w++)
					frames_get(frames, words[w]);
			}
		}
		frames_destroy(frames);
	}
	t->resolver = NULL;
}

static int keep_details(struct html *h)
{
	char text[64];
	int r = 0;

	warm(h);
	for (unsigned k = 0; k < HTML_KINDS; k++) {
		for (unsigned i = 0; i < h->found.details_n[k] && i < h->details && r == 0; i++) {
			const struct html_detail *d = &h->found.details[k][i];

			snprintf(text, sizeof(text), "span/%" PRIu32 ".%" PRIu64, d->thread,
				 api_since(h->api, d->begin_ns));
			r = keep(h, text, text);
		}
	}
	return r;
}

/* "rare/0" of @text, for as many tracks at a time as may be asked for, up to @max of them. */
static int keep_by_tracks(struct html *h, const char *what, unsigned at_once, uint32_t max)
{
	char *text = NULL, key[32];
	uint32_t n = h->api->tracks_n < max ? h->api->tracks_n : max;
	size_t size;
	FILE *to;
	int r = 0;

	for (uint32_t at = 0; at < n && r == 0; at += at_once) {
		to = open_memstream(&text, &size);
		if (to == NULL)
			return -ENOMEM;
		fprintf(to, "%s?columns=%d&tracks=", what, STEPS_LANES);
		for (uint32_t i = at; i < at + at_once && i < n; i++)
			fprintf(to, "%s%" PRIu32, i > at ? "," : "", h->api->tracks[i].thread);
		fclose(to);
		snprintf(key, sizeof(key), "%s/%" PRIu32, what, at / at_once);
		r = keep(h, key, text);
		free(text);
	}
	return r;
}

/* Is it one of @list, which has room for @max? It is then. */
static bool is_known(uint32_t *list, uint32_t *n, uint32_t max, uint32_t id)
{
	for (uint32_t i = 0; i < *n; i++)
		if (list[i] == id)
			return true;
	if (*n == max || id == 0)
		return true;
	list[(*n)++] = id;
	return false;
}

/* Of a lock: who had it, and when; and how long all waited for it, unless that takes a pass over much. */
static int keep_lock(struct html *h, uint32_t object)
{
	char key[32], text[64];
	int r;

	snprintf(key, sizeof(key), "lock/%" PRIu32, object);
	snprintf(text, sizeof(text), "%s?columns=%d", key, STEPS_LANES);
	r = keep(h, key, text);
	snprintf(text, sizeof(text), "histogram?lock=%" PRIu32, object);
	return r == 0 && !h->is_long ? keep(h, text, text) : r;
}

static int keep_call(struct html *h, uint32_t number)
{
	const char *name = syscalls_name(number);
	char text[64];

	if (name == NULL || h->is_long)
		return 0;
	snprintf(text, sizeof(text), "histogram?call=%.40s", name);
	return keep(h, text, text);
}

/* What the longest waits and calls are about. */
static int keep_things(struct html *h)
{
	const struct html_detail *d;
	uint32_t objects[THINGS], calls[THINGS], objects_n = 0, calls_n = 0;
	int r = 0;

	for (unsigned i = 0; i < HTML_DETAILS && r == 0; i++) {
		d = &h->found.details[HTML_LOCKS][i];
		if (!is_known(objects, &objects_n, THINGS, d->object))
			r = keep_lock(h, d->object);
		d = &h->found.details[HTML_SYSCALLS][i];
		if (r == 0 && !is_known(calls, &calls_n, THINGS, d->call))
			r = keep_call(h, d->call - 1);
	}
	return r;
}

/* All that the page asks of the whole run. */
int html_keep_answers(struct html *h)
{
	static const struct {
		const char *key, *text;
		uint64_t number; /* behind it */
	} asked[] = {
		{"meta", "meta", 0},
		{"sums", "sums", 0},
		{"memory", "memory?columns=", STEPS},
		{"edges", "edges?max=", EDGES},
		{"contended", "contended?max=", 64},
		{"table/threads", "table/threads?limit=", ROWS},
		{"table/locks", "table/locks?limit=", ROWS},
		{"table/locks?by=holder", "table/locks?by=holder&limit=", ROWS},
		{"table/syscalls", "table/syscalls?limit=", ROWS},
		{"table/tasks", "table/tasks?limit=", ROWS},
		{"table/regions", "table/regions?limit=", ROWS},
		{"table/summary", "table/summary", 0},
		{"table/critical-path", "table/critical-path", 0},
	};
	char text[128];
	int r = keep_tracks(h);

	if (r == 0)
		r = keep(h, "columns", "columns");
	for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]) && r == 0; i++) {
		snprintf(text, sizeof(text), "%s", asked[i].text);
		if (asked[i].number > 0)
			snprintf(text, sizeof(text), "%s%" PRIu64, asked[i].text, asked[i].number);
		r = keep(h, asked[i].key, text);
	}
	if (r == 0)
		r = keep_by_tracks(h, "rare", API_TRACKS, UINT32_MAX);
	if (r == 0)
		r = keep_by_tracks(h, "lanes", 32, LANES);
	if (r == 0)
		r = keep_things(h);
	if (r == 0)
		r = keep_details(h);
	return end_works(h, r);
}

/* ---- names of what pieces have numbers of ---- */

static int compare_ids(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

/* The keys of @map in order, from malloc. */
static uint64_t *ids_of(const struct map *map, uint32_t *ret_n)
{
	uint64_t *ids = malloc(((size_t)map->used + 1) * sizeof(*ids));

	*ret_n = 0;
	for (uint32_t i = 0; ids != NULL && i < map->slots_n; i++)
		if (map->slots[i].value != MAP_NONE)
			ids[(*ret_n)++] = map->slots[i].key;
	if (ids != NULL)
		qsort(ids, *ret_n, sizeof(*ids), compare_ids);
	return ids;
}

static void put_name_of(struct html *h, enum html_named what, uint64_t id)
{
	const char *call = what == HTML_CALLS ? syscalls_name((unsigned)id) : NULL;
	struct name name;

	name_clear(&name);
	if (what == HTML_OBJECTS)
		name_object(&name, h->api->tables, id);
	else if (what == HTML_FILES)
		name_file(&name, h->api->tables, id);
	else if (call != NULL)
		name_format(&name, "%s", call);
	if (name.n > 0)
		name_out(&name, h->out, NAMES_JSON);
	else
		out_text(h->out, "null");
}

static int put_named(struct html *h, const char *key, enum html_named what)
{
	uint32_t n;
	uint64_t *ids = ids_of(&h->pieces.named[what], &n);

	if (ids == NULL)
		return -ENOMEM;
	out_format(h->out, ",\n\"%s\":{", key);
	for (uint32_t i = 0; i < n; i++) {
		out_format(h->out, "%s\"%" PRIu64 "\":", i > 0 ? "," : "", ids[i]);
		put_name_of(h, what, ids[i]);
	}
	out_char(h->out, '}');
	free(ids);
	return h->out->error;
}

static int put_stacks(struct html *h)
{
	struct tables *t = h->api->tables;
	struct resolver *resolver = t->resolver;
	struct answer answer;
	struct api_request q;
	char text[64];
	uint32_t n;
	uint64_t *ids = ids_of(&h->pieces.named[HTML_STACKS], &n);
	int r = ids != NULL ? 0 : -ENOMEM;

	h->stacks = n < STACKS_MAX ? n : STACKS_MAX;
	out_text(h->out, ",\n\"stacks\":{");
	/* here, and not in a process for each: files are opened once */
	t->resolver = h->api->resolver;
	for (uint32_t i = 0; i < h->stacks && r == 0; i++) {
		snprintf(text, sizeof(text), "stack/%" PRIu64, ids[i]);
		r = api_parse(text, &q, NULL);
		if (r == 0 && (ftruncate(h->scratch, 0) < 0 || lseek(h->scratch, 0, SEEK_SET) < 0))
			r = -errno;
		if (r < 0)
			break;
		api_answer(h->api, &q, h->scratch, &answer);
		out_format(h->out, "%s\"%" PRIu64 "\":", i > 0 ? ",\n" : "", ids[i]);
		r = copy_answer(h, h->scratch, answer.status);
		if (r == 0 && i % 64 == 0 && watch_step(h->ask->watch, i, n))
			r = -EINTR;
	}
	t->resolver = resolver;
	out_char(h->out, '}');
	free(ids);
	return r;
}

/* What follows the answers. */
int html_keep_directory(struct html *h)
{
	const struct html_pieces *p = &h->pieces;
	int r;

	out_format(h->out,
		   "},\n\"form\":1,\"chunks\":%" PRIu32 ",\"short_ns\":%" PRIu64
		   ",\"intervals\":%" PRIu64 ",\"pieces\":%" PRIu64
		   ",\"details\":%u,\"rows\":%d,\"edges\":%d,\"steps\":%d,\"fragment\":",
		   p->chunks, p->short_ns, h->found.intervals, p->pieces, h->details, ROWS, EDGES,
		   STEPS);
	out_json(h->out, h->ask->fragment, strlen(h->ask->fragment));
	out_text(h->out, ",\n\"tracks\":[");
	for (uint32_t i = 0; i < h->api->tracks_n; i++)
		out_format(h->out, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%" PRIu32 "]",
			   i > 0 ? "," : "", h->api->tracks[i].thread, p->places[i].chunk,
			   p->places[i].offset, p->places[i].pieces);
	out_char(h->out, ']');
	r = put_named(h, "objects", HTML_OBJECTS);
	if (r == 0)
		r = put_named(h, "calls", HTML_CALLS);
	if (r == 0)
		r = put_named(h, "files", HTML_FILES);
	if (r == 0)
		r = put_stacks(h);
	out_text(h->out, "}\n");
	return r;
}
