#include "viewer/api_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/syscalls.h"
#include "viewer/resolve.h"
#include "viewer/threads.h"

/* The clock's highest bits that the page need not know: what is left is a whole number of JavaScript. */
#define ORIGIN_MASK ((UINT64_C(1) << 52) - 1)

#define ESTIMATE_CELLS   (UINT32_C(128) << 10) /* 8 MiB */
#define ESTIMATE_COLUMNS 1024

/* ---- what is known of threads ---- */

static int compare_tracks(const void *x, const void *y)
{
	const struct api_track *a = x, *b = y;

	if (a->begin_ns != b->begin_ns)
		return a->begin_ns < b->begin_ns ? -1 : 1;
	return a->thread < b->thread ? -1 : a->thread > b->thread;
}

static uint64_t group_of(const struct api *a, uint32_t thread)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct name name;
	size_t n;

	name_clear(&name);
	name_thread(&name, a->tables, thread);
	n = threads_group_length(name.text, name.n);
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)name.text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* After tracks[] was filled. */
static int sort_tracks(struct api *a)
{
	int r = 0;

	qsort(a->tracks, a->tracks_n, sizeof(*a->tracks), compare_tracks);
	map_fini(&a->track_of);
	map_fini(&a->groups);
	for (uint32_t i = 0; i < a->tracks_n && r == 0; i++) {
		struct api_track *t = &a->tracks[i];
		uint32_t members;

		t->group = group_of(a, t->thread);
		members = map_get(&a->groups, t->group);
		r = map_set(&a->track_of, t->thread, i);
		if (r == 0)
			r = map_set(&a->groups, t->group, members != MAP_NONE ? members + 1 : 1);
	}
	return r;
}

static int new_tracks(struct api *a, uint32_t n)
{
	free(a->tracks);
	a->tracks_n = 0;
	a->tracks = calloc((size_t)n + 1, sizeof(*a->tracks));
	if (a->tracks == NULL)
		return -ENOMEM;
	a->tracks_n = n;
	return 0;
}

static int estimate(struct api *a, struct why *why)
{
	uint32_t threads = a->streams->streams_n > 0 ? a->streams->streams_n : 1,
		 columns = ESTIMATE_CELLS / threads;
	struct timeline_ask ask = {
		.from_ns = a->begin_ns, .to_ns = a->end_ns, .cells_max = ESTIMATE_CELLS};
	struct timeline *t = &a->estimate;
	int r;

	ask.columns = columns > ESTIMATE_COLUMNS ? ESTIMATE_COLUMNS : columns > 0 ? columns : 1;
	r = timeline_init(t, &ask, a->tables);
	if (r == 0)
		r = timeline_estimate(t, a->reader, a->streams, NULL, why);
	if (r == 0)
		r = new_tracks(a, t->rows_n);
	a->tracks_n = 0;
	for (uint32_t i = 0; r == 0 && i < t->rows_n; i++) {
		const struct timeline_row *row = &t->rows[i];
		struct api_track *track = &a->tracks[a->tracks_n];

		/* what belongs to the process is no thread's */
		if (row->thread == TRACE_ALL)
			continue;
		*track = (struct api_track){.thread = row->thread,
					    .at = i,
					    .begin_ns = row->begin_ns,
					    .end_ns = row->end_ns};
		memcpy(track->state_ns, row->state_ns, sizeof(track->state_ns));
		a->tracks_n++;
	}
	return r == 0 ? sort_tracks(a) : r;
}

int api_init(struct api *a, struct why *why)
{
	why_set(why, "out of memory");
	a->origin = a->begun_ns & ORIGIN_MASK;
	a->out = malloc(sizeof(*a->out));
	return a->out != NULL ? estimate(a, why) : -ENOMEM;
}

void api_fini(struct api *a)
{
	index_give_up(a->making);
	index_close(a->index);
	timeline_fini(&a->estimate);
	map_fini(&a->track_of);
	map_fini(&a->groups);
	free(a->tracks);
	free(a->out);
}

/* It is there, and the api's now. */
static int set_index(struct api *a, struct index *x)
{
	int r = new_tracks(a, index_tracks(x));

	a->index = x;
	for (uint32_t i = 0; r == 0 && i < a->tracks_n; i++) {
		const struct index_track *t = index_track(x, i);

		a->tracks[i] = (struct api_track){.thread = t->thread,
						  .at = i,
						  .begin_ns = t->begin_ns,
						  .end_ns = t->end_ns,
						  .intervals = t->intervals};
		memcpy(a->tracks[i].state_ns, t->state_ns, sizeof(t->state_ns));
	}
	if (r == 0)
		r = sort_tracks(a);
	if (r == 0) {
		timeline_fini(&a->estimate);
		a->state = API_INDEX_READY;
	}
	return r;
}

static void take_index(struct api *a, int r, struct index *x)
{
	if (r == 0)
		r = set_index(a, x);
	if (r < 0)
		a->state = API_INDEX_FAILED;
}

int api_open_index(struct api *a, bool is_kept, const struct watch *watch, struct why *why)
{
	struct index *x;
	int r = index_open(&x, a->reader, a->streams, a->tables, is_kept, watch, why);

	return r == 0 ? set_index(a, x) : r;
}

void api_begin_index(struct api *a, bool is_kept)
{
	struct index *x = NULL;
	int r = is_kept ? index_find(&x, a->reader, a->tables) : -ENOENT;

	why_set(&a->why, "out of memory");
	if (r == -ENOENT)
		r = index_begin(&a->making, a->reader, a->streams, a->tables, is_kept, &a->why);
	if (r != 0 || x != NULL)
		take_index(a, r, x);
}

void api_look_at_index(struct api *a)
{
	struct index *x = NULL;
	int r = index_step(a->making, &x, &a->done, &a->why);

	if (r == -EAGAIN)
		return;
	index_give_up(a->making);
	a->making = NULL;
	take_index(a, r, x);
}

/* ---- requests ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent signs, and plus signs in a parameter, in place. -EINVAL: not what they should be, or a byte of 0. */
static int decode(char *text, bool is_parameter)
{
	char *to = text;

	for (; *text != '\0'; text++, to++) {
		*to = is_parameter && *text == '+' ? ' ' : *text;
		if (*text != '%')
			continue;
		int high = hex(text[1]), low = high >= 0 ? hex(text[2]) : -1;

		if (low < 0 || high + low == 0)
			return -EINVAL;
		*to = (char)(high * 16 + low);
		text += 2;
	}
	*to = '\0';
	return 0;
}

static const struct api_path *find_path(const char *path, const char **ret_rest)
{
	static const struct api_path *const all[] = {api_paths_now,    api_paths_work,
						     api_paths_lanes,  api_paths_histogram,
						     api_paths_source, api_paths_table};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (const struct api_path *p = all[i]; p->name != NULL; p++) {
			size_t n = strlen(p->name);

			if (strncmp(path, p->name, n) != 0 || path[n] != (p->has_rest ? '/' : '\0'))
				continue;
			*ret_rest = p->has_rest ? path + n + 1 : "";
			return p;
		}
	}
	return NULL;
}

/* Is @word, which may be anything, one of @words? */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *at = words;

	while (n > 0 && strchr(word, ' ') == NULL && (at = strstr(at, word)) != NULL) {
		if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
		at++;
	}
	return false;
}

static int take_parameter(struct api_request *q, char *text, struct why *why)
{
	char *value = strchr(text, '=');

	if (value != NULL)
		*value++ = '\0';
	else
		value = text + strlen(text);
	if (decode(text, true) < 0 || decode(value, true) < 0) {
		why_set(why, "a percent sign and two hexadecimal digits were expected");
		return -EINVAL;
	}
	if (q->path->takes != NULL && !has_word(q->path->takes, text)) {
		why_set(why, "%s takes no \"%.40s\"", q->path->name, text);
		return -EINVAL;
	}
	if (api_text(q, text) != NULL || q->n == API_PARAMETERS) {
		why_set(why, "\"%.40s\": once was expected", text);
		return -EINVAL;
	}
	q->parameters[q->n++] = (struct api_parameter){text, value};
	return 0;
}

int api_parse(char *text, struct api_request *ret, struct why *why)
{
	char *parameters = strchr(text, '?'), *next;
	int r = 0;

	*ret = (struct api_request){0};
	if (parameters != NULL)
		*parameters++ = '\0';
	if (decode(text, false) == 0)
		ret->path = find_path(text, &ret->rest);
	if (ret->path == NULL) {
		why_set(why, "there is no such path");
		return -ENOENT;
	}
	for (; r == 0 && parameters != NULL; parameters = next) {
		next = strchr(parameters, '&');
		if (next != NULL)
			*next++ = '\0';
		if (*parameters != '\0')
			r = take_parameter(ret, parameters, why);
	}
	return r;
}

bool api_is_work(const struct api *a, const struct api_request *q)
{
	return q->path->is_work && (q->path->is_soon == NULL || !q->path->is_soon(a, q));
}

const char *api_text(const struct api_request *q, const char *key)
{
	for (unsigned i = 0; i < q->n; i++)
		if (strcmp(q->parameters[i].key, key) == 0)
			return q->parameters[i].value;
	return NULL;
}

bool api_digits(const char *text, const char *end, uint64_t most, uint64_t *ret)
{
	uint64_t n = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || digit > most || n > (most - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return true;
}

int api_number(const struct api_request *q, const char *key, uint64_t least, uint64_t most,
	       uint64_t otherwise, uint64_t *ret, struct why *why)
{
	const char *text = api_text(q, key);
	uint64_t n = otherwise;

	if (text != NULL && (!api_digits(text, text + strlen(text), most, &n) || n < least)) {
		why_set(why, "%s=%.40s: a number from %" PRIu64 " to %" PRIu64 " was expected", key,
			text, least, most);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

int api_range(const struct api *a, const struct api_request *q, uint64_t *ret_from_ns,
	      uint64_t *ret_to_ns, struct why *why)
{
	uint64_t most = UINT64_MAX - a->begun_ns, from, to, end = api_since(a, a->end_ns);
	int r = api_number(q, "from", 0, most, api_since(a, a->begin_ns), &from, why);

	/* all of a trace of one moment is something, too */
	if (r == 0 && end <= from && api_text(q, "from") == NULL)
		end = from + 1;
	if (r == 0)
		r = api_number(q, "to", 0, most, end, &to, why);
	if (r < 0)
		return r;
	if (from >= to) {
		why_set(why, "from=%" PRIu64 "&to=%" PRIu64 ": from must be below to", from, to);
		return -EINVAL;
	}
	*ret_from_ns = a->begun_ns + from;
	*ret_to_ns = a->begun_ns + to;
	return 0;
}

int api_tracks(const struct api *a, const struct api_request *q, uint32_t *ret, uint32_t max,
	       uint32_t *ret_n, struct why *why)
{
	const char *at = api_text(q, "tracks"), *end;
	uint64_t thread;
	uint32_t track;

	*ret_n = 0;
	for (; at != NULL && *at != '\0'; at = *end == ',' ? end + 1 : end) {
		end = strchrnul(at, ',');
		if (!api_digits(at, end, UINT32_MAX, &thread)) {
			why_set(why, "tracks=: numbers with commas between them were expected");
			return -EINVAL;
		}
		track = map_get(&a->track_of, thread);
		if (track == MAP_NONE) {
			why_set(why, "there is no track %" PRIu64, thread);
			return -ENOENT;
		}
		if (*ret_n == max) {
			why_set(why, "tracks=: %" PRIu32 " at most were expected", max);
			return -EINVAL;
		}
		ret[(*ret_n)++] = track;
	}
	return 0;
}

int api_columns(const struct api *a, const struct api_request *q, struct timeline_ask *ret,
		struct why *why)
{
	uint64_t columns;
	int r = api_range(a, q, &ret->from_ns, &ret->to_ns, why);

	if (r == 0)
		r = api_number(q, "columns", 1, TIMELINE_COLUMNS_MAX, 512, &columns, why);
	if (r == 0)
		ret->columns = (uint32_t)columns;
	return r;
}

/* ---- answers ---- */

void api_open_columns(struct api *a, const struct timeline_ask *ask)
{
	api_open(a, NULL, '{');
	api_put_u64(a, "from_ns", api_since(a, ask->from_ns));
	api_put_u64(a, "to_ns", api_since(a, ask->to_ns));
	api_put_u64(a, "columns", ask->columns);
}

static void comma(struct api *a, const char *key)
{
	if (!a->is_first)
		out_char(a->out, ',');
	a->is_first = false;
	if (key == NULL)
		return;
	out_char(a->out, '"');
	out_text(a->out, key);
	out_text(a->out, "\":");
}

void api_open(struct api *a, const char *key, char bracket)
{
	comma(a, key);
	out_char(a->out, bracket);
	a->is_first = true;
}

void api_close(struct api *a, char bracket)
{
	out_char(a->out, bracket);
	a->is_first = false;
}

void api_put_text(struct api *a, const char *key, const char *text)
{
	comma(a, key);
	if (text != NULL)
		out_json(a->out, text, strlen(text));
	else
		out_text(a->out, "null");
}

void api_put_name(struct api *a, const char *key, const struct name *name)
{
	comma(a, key);
	name_out(name, a->out, NAMES_JSON);
}

void api_put_u64(struct api *a, const char *key, uint64_t n)
{
	comma(a, key);
	out_u64(a->out, n);
}

void api_put_s64(struct api *a, const char *key, int64_t n)
{
	comma(a, key);
	out_s64(a->out, n);
}

void api_put_bool(struct api *a, const char *key, bool is)
{
	comma(a, key);
	out_text(a->out, is ? "true" : "false");
}

void api_put_null(struct api *a, const char *key)
{
	comma(a, key);
	out_text(a->out, "null");
}

void api_put_id(struct api *a, const char *key, uint64_t id)
{
	if (id != 0)
		api_put_u64(a, key, id);
	else
		api_put_null(a, key);
}

void api_put_states(struct api *a, const char *key, const uint64_t state_ns[TRACE_STATES])
{
	char member[32];

	api_open(a, key, '{');
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		snprintf(member, sizeof(member), "%s_ns", story_state_name(api_state(i)));
		api_put_u64(a, member, state_ns[api_state(i)]);
	}
	api_close(a, '}');
}

void api_put_thread(struct api *a, const char *key, uint32_t thread)
{
	struct name name;

	name_clear(&name);
	name_thread(&name, a->tables, thread);
	api_put_name(a, key, &name);
}

static void put_label(struct api *a, const struct interval *i)
{
	const char *call = i->call != 0 ? syscalls_name(i->call - 1) : NULL;
	struct name name;

	name_clear(&name);
	if (i->wait == TRACE_JOIN_BEGIN_EVENT && i->other != 0)
		name_thread(&name, a->tables, i->other);
	else if (i->object != 0)
		name_object(&name, a->tables, i->object);
	else if (call != NULL)
		name_format(&name, "%s", call);
	else if (i->call != 0)
		name_format(&name, "%" PRIu32, i->call - 1);
	if (name.n > 0)
		api_put_name(a, "label", &name);
	else
		api_put_null(a, "label");
}

void api_put_span(struct api *a, const struct interval *i)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu64, i->thread, api_since(a, i->begin_ns));
	api_put_text(a, "id", text);
	api_put_u64(a, "begin_ns", api_since(a, i->begin_ns));
	api_put_u64(a, "end_ns", api_since(a, i->end_ns));
	api_put_text(a, "state", story_state_name(i->state));
	api_put_text(a, "certainty", story_certainty_name(i->certainty));
	put_label(a, i);
	api_put_id(a, "object", i->object);
	api_put_id(a, "file", i->file);
	api_put_text(a, "call", i->call != 0 ? syscalls_name(i->call - 1) : NULL);
	api_put_id(a, "stack", i->stack);
	api_put_id(a, "other", i->other);
	snprintf(text, sizeof(text), "%" PRIu64, i->task);
	api_put_text(a, "task", i->task != 0 ? text : NULL);
}

void api_refuse(struct api *a, int status, const char *why, int fd, struct answer *ret)
{
	static const char *const states[] = {[API_INDEX_MAKING] = "making",
					     [API_INDEX_READY] = "ready",
					     [API_INDEX_FAILED] = "failed"};

	*ret = (struct answer){.status = status, .type = ANSWER_JSON};
	/* what a handler may have written until then */
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return;
	out_init(a->out, fd, false);
	a->is_first = true;
	api_open(a, NULL, '{');
	api_put_text(a, "error", why);
	if (status == 503)
		api_put_text(a, "index", states[a->state]);
	api_close(a, '}');
	out_flush(a->out);
}

void api_answer(struct api *a, const struct api_request *q, int fd, struct answer *ret)
{
	struct why why = {"out of memory"};
	int r = 0, status;

	*ret = (struct answer){.status = 200, .type = ANSWER_JSON, .is_immutable = true};
	out_init(a->out, fd, false);
	a->is_first = true;
	if (q->path->needs_index && a->state != API_INDEX_READY) {
		why_set(&why, "the index is not there yet");
		if (a->state == API_INDEX_FAILED)
			why = a->why;
		r = a->state == API_INDEX_FAILED ? -EIO : -EAGAIN;
	}
	if (r == 0)
		r = q->path->answer(a, q, ret, &why);
	if (r == 0 && out_flush(a->out) < 0) {
		status = a->out->error == -EFBIG ? 504 : 500;
		api_refuse(a, status,
			   status == 504 ? "the answer is too long" : strerror(-a->out->error), fd,
			   ret);
	} else if (r < 0) {
		status = r == -EINVAL   ? 400
			 : r == -ENOENT ? 404
			 : r == -EAGAIN ? 503
			 : r == -EFBIG  ? 504
					: 500;
		api_refuse(a, status, why.text, fd, ret);
	}
}

/* Takes @text to pieces, which lie in @copy. False: what is wrong with it is answered. */
static bool parse(struct api *a, const char *text, char copy[API_TEXT_MAX + 1],
		  struct api_request *ret, int fd, struct answer *answer)
{
	struct why why = {""};
	size_t n = strlen(text);
	int r;

	if (n > API_TEXT_MAX) {
		api_refuse(a, 414, "the URL is too long", fd, answer);
		return false;
	}
	memcpy(copy, text, n + 1);
	r = api_parse(copy, ret, &why);
	if (r < 0)
		api_refuse(a, r == -ENOENT ? 404 : 400, why.text, fd, answer);
	return r == 0;
}

bool api_answer_now(struct api *a, const char *text, int fd, struct answer *ret)
{
	char copy[API_TEXT_MAX + 1];
	struct api_request q;

	if (!parse(a, text, copy, &q, fd, ret))
		return true;
	if (api_is_work(a, &q))
		return false;
	api_answer(a, &q, fd, ret);
	return true;
}

void api_answer_work(struct api *a, const char *text, int fd, struct answer *ret)
{
	char copy[API_TEXT_MAX + 1];
	struct api_request q;

	a->tables->resolver = a->resolver;
	if (parse(a, text, copy, &q, fd, ret))
		api_answer(a, &q, fd, ret);
}
