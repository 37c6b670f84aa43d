#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checksum.h"
#include "output/file.h"
#include "viewer/index_private.h"

#define BUFFER (UINT32_C(1) << 20)
#define RARE_KEPT \
	4 /* of a thread, that its intervals have not come to; of more, the last is the latest */

enum { HAS_OBJECT = 1, HAS_CALL = 2, HAS_FILE = 4, HAS_STACK = 8, HAS_OTHER = 16, HAS_TASK = 32 };

uint8_t *index_put(uint8_t *at, const struct interval *i, unsigned flags)
{
	uint8_t has = (uint8_t)((i->wait != 0 || i->object != 0 ? HAS_OBJECT : 0) |
				(i->call != 0 ? HAS_CALL : 0) | (i->file != 0 ? HAS_FILE : 0) |
				(i->stack != 0 ? HAS_STACK : 0) | (i->other != 0 ? HAS_OTHER : 0) |
				(i->task != 0 ? HAS_TASK : 0));

	*at++ = (uint8_t)(i->state | i->certainty << 3 | flags << 5);
	*at++ = has;
	at = varint_put(at, i->end_ns - i->begin_ns);
	if (has & HAS_OBJECT) {
		at = varint_put(at, i->wait);
		at = varint_put(at, i->object);
	}
	if (has & HAS_CALL)
		at = varint_put(at, i->call);
	if (has & HAS_FILE)
		at = varint_put(at, i->file);
	if (has & HAS_STACK)
		at = varint_put(at, i->stack);
	if (has & HAS_OTHER)
		at = varint_put(at, i->other);
	if (has & HAS_TASK)
		at = varint_put(at, i->task);
	return at;
}

static inline const uint8_t *get_u32(const uint8_t *at, bool is_there, uint32_t *ret)
{
	uint64_t n = 0;

	if (at != NULL && is_there)
		at = varint_get(at, &n);
	*ret = (uint32_t)n;
	return n <= UINT32_MAX ? at : NULL;
}

const uint8_t *index_get(const uint8_t *at, const uint8_t *end, uint64_t begin_ns,
			 struct interval *ret, uint8_t *ret_flags)
{
	uint64_t length, task = 0;
	uint32_t wait;
	uint8_t has;

	if (end - at < 3)
		return NULL;
	*ret = (struct interval){
		.begin_ns = begin_ns, .state = at[0] & 7, .certainty = at[0] >> 3 & 3};
	*ret_flags = at[0] >> 5;
	has = at[1];
	at = varint_get(at + 2, &length);
	at = get_u32(at, has & HAS_OBJECT, &wait);
	at = get_u32(at, has & HAS_OBJECT, &ret->object);
	at = get_u32(at, has & HAS_CALL, &ret->call);
	at = get_u32(at, has & HAS_FILE, &ret->file);
	at = get_u32(at, has & HAS_STACK, &ret->stack);
	at = get_u32(at, has & HAS_OTHER, &ret->other);
	if (at != NULL && has & HAS_TASK)
		at = varint_get(at, &task);
	if (at == NULL || at > end || wait > UINT8_MAX || length == 0 ||
	    length > UINT64_MAX - begin_ns)
		return NULL;
	ret->end_ns = begin_ns + length;
	ret->wait = (uint8_t)wait;
	ret->task = task;
	return at;
}

const uint8_t *index_pass(const uint8_t *at, const uint8_t *end, uint8_t *ret_state,
			  uint64_t *ret_length)
{
	unsigned has, left;

	if (end - at < 3)
		return NULL;
	*ret_state = at[0] & 7;
	has = at[1];
	at = varint_get(at + 2, ret_length);
	left = (unsigned)__builtin_popcount(has) + (has & HAS_OBJECT ? 1 : 0);
	/* behind the end there are zeros */
	for (; left > 0 && at != NULL && at < end; left--)
		while (*at++ & 0x80)
			;
	return at != NULL && at <= end && left == 0 ? at : NULL;
}

/* ---- making one ---- */

struct rare {
	uint64_t ns;
	unsigned flag;
};

/* A thread's, as it grows. */
struct growing {
	struct index_track track;
	struct index_row *rows;
	uint64_t n, room;
	uint8_t leaf[INDEX_LEAF * INDEX_SPAN_BYTES];
	uint32_t used, spans;
	uint32_t last; /* interval: where it begins */
	struct {
		uint32_t object;
		uint64_t ns;
	} locks[INDEX_LEAF]; /* of the leaf */
	uint32_t locks_n;
	struct rare rare[RARE_KEPT];
	uint32_t rare_n;
	const struct reader_block *lost; /* the last one with something missing before it */
	uint64_t first_tile, tiles;
};

/* A counter's. */
struct growing_series {
	struct index_series series;
	struct index_point_row *rows;
	uint64_t n, room;
	uint8_t leaf[INDEX_POINTS * INDEX_POINT_BYTES];
	uint32_t used;
};

struct maker {
	int fd;
	uint64_t offset; /* of what is in the buffer */
	uint32_t used, crc;
	uint8_t *buffer;
	struct growing **tracks;
	uint32_t n, room;
	struct growing_series **series;
	uint32_t series_n;
	struct map track_of, series_of;
	struct index_tiler tiler;
	struct index_grower all;
};

static int flush(struct maker *m)
{
	int r = file_write(m->fd, m->buffer, m->used);

	m->offset += m->used;
	m->used = 0;
	return r;
}

static int put(struct maker *m, const void *bytes, size_t size)
{
	int r = 0;

	if (size > BUFFER - m->used)
		r = flush(m);
	if (r < 0)
		return r;
	if (size > BUFFER) {
		m->offset += size;
		return file_write(m->fd, bytes, size);
	}
	memcpy(m->buffer + m->used, bytes, size);
	m->used += (uint32_t)size;
	return 0;
}

/* @array has @n of @room elements of @size bytes: room for one more. */
static void *grow(void *array, uint64_t n, uint64_t *room, size_t size)
{
	if (n < *room)
		return array;
	*room = *room != 0 ? *room * 2 : 4;
	return reallocarray(array, *room, size);
}

static int begin_leaf(struct growing *g, uint64_t begin_ns)
{
	struct index_row *grown = grow(g->rows, g->n, &g->room, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	g->rows = grown;
	memset(&g->rows[g->n], 0, sizeof(*grown));
	g->rows[g->n].begin_ns = begin_ns;
	memcpy(g->rows[g->n].before_ns, g->track.state_ns, sizeof(g->track.state_ns));
	g->n++;
	return 0;
}

static int end_leaf(struct maker *m, struct growing *g)
{
	struct index_row *row;
	int r;

	if (g->spans == 0)
		return 0;
	row = &g->rows[g->n - 1];
	row->offset = m->offset + m->used;
	row->bytes = g->used;
	row->spans = (uint16_t)g->spans;
	row->crc = checksum_crc32c(0, g->leaf, g->used);
	for (uint32_t i = 0; i < g->locks_n; i++) {
		if (g->locks[i].ns <= row->lock_ns)
			continue;
		row->lock = g->locks[i].object;
		row->lock_ns = g->locks[i].ns;
	}
	r = put(m, g->leaf, g->used);
	g->used = g->spans = g->locks_n = 0;
	return r;
}

static struct growing *growing_of(struct maker *m, uint32_t thread)
{
	uint32_t at = map_get(&m->track_of, thread), room;
	struct growing **grown;

	if (at != MAP_NONE)
		return m->tracks[at];
	if (m->n == m->room) {
		room = m->room != 0 ? m->room * 2 : 16;
		grown = reallocarray(m->tracks, room, sizeof(struct growing *));
		if (grown == NULL)
			return NULL;
		m->tracks = grown;
		m->room = room;
	}
	m->tracks[m->n] = calloc(1, sizeof(**m->tracks));
	if (m->tracks[m->n] == NULL || map_set(&m->track_of, thread, m->n) < 0) {
		free(m->tracks[m->n]);
		return NULL;
	}
	m->tracks[m->n]->track.thread = thread;
	return m->tracks[m->n++];
}

/* ---- what is rare ---- */

static void flag_last(struct growing *g, unsigned flag)
{
	g->leaf[g->last] |= (uint8_t)(flag << 5);
	g->rows[g->n - 1].flags |= (uint8_t)flag;
}

/* Something at @ns: its interval was the last, or is yet to come. */
static void note_rare(struct growing *g, uint64_t ns, unsigned flag)
{
	if (g->spans > 0 && ns < g->track.end_ns) {
		flag_last(g, flag);
		return;
	}
	if (g->rare_n == RARE_KEPT)
		g->rare[--g->rare_n].flag |= flag;
	else
		g->rare[g->rare_n].flag = flag;
	g->rare[g->rare_n++].ns = ns;
}

/* Its last interval has come. */
static void flag_rare(struct growing *g)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < g->rare_n; i++)
		if (g->rare[i].ns < g->track.end_ns)
			flag_last(g, g->rare[i].flag);
		else
			g->rare[left++] = g->rare[i];
	g->rare_n = left;
}

/* ---- what the story tells ---- */

static void add_lock(struct growing *g, uint32_t object, uint64_t ns)
{
	uint32_t i = 0;

	while (i < g->locks_n && g->locks[i].object != object)
		i++;
	if (i == g->locks_n) {
		g->locks[g->locks_n].object = object;
		g->locks[g->locks_n++].ns = 0;
	}
	g->locks[i].ns += ns;
}

static int on_interval(void *context, const struct interval *i)
{
	uint64_t ns = i->end_ns - i->begin_ns;
	struct maker *m = context;
	struct growing *g = growing_of(m, i->thread);
	struct index_row *row;
	int r = 0;

	if (g == NULL)
		return -ENOMEM;
	/* a full leaf goes when the next one begins: until then something rare may come to its last interval */
	if (g->spans == INDEX_LEAF)
		r = end_leaf(m, g);
	if (r == 0 && g->spans == 0)
		r = begin_leaf(g, i->begin_ns);
	if (r < 0)
		return r;
	row = &g->rows[g->n - 1];
	if (ns > row->longest_ns) {
		row->longest_ns = ns;
		row->longest = (uint8_t)g->spans;
	}
	if (i->state == TRACE_LOCK && i->object != 0)
		add_lock(g, i->object, ns);
	g->last = g->used;
	g->used = (uint32_t)(index_put(g->leaf + g->used, i, 0) - g->leaf);
	if (g->track.intervals++ == 0)
		g->track.begin_ns = i->begin_ns;
	g->track.end_ns = i->end_ns;
	g->track.state_ns[i->state] += ns;
	g->spans++;
	if (g->rare_n > 0)
		flag_rare(g);
	index_grow(&m->all, i);
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	struct growing *g;

	if (c->result >= 0 || c->is_open)
		return 0;
	g = growing_of(context, c->thread);
	if (g == NULL)
		return -ENOMEM;
	/* in a wait, whose interval ends later */
	note_rare(g, c->end_ns > c->begin_ns ? c->end_ns - 1 : c->end_ns, INDEX_ERROR);
	return 0;
}

static int end_points(struct maker *m, struct growing_series *g)
{
	struct index_point_row *row;
	int r;

	if (g->used == 0)
		return 0;
	row = &g->rows[g->n - 1];
	row->offset = m->offset + m->used;
	row->bytes = g->used;
	row->crc = checksum_crc32c(0, g->leaf, g->used);
	r = put(m, g->leaf, g->used);
	g->used = 0;
	return r;
}

static struct growing_series *series_of(struct maker *m, unsigned kind, uint32_t name)
{
	uint32_t at = map_get(&m->series_of, index_series_key(kind, name));
	struct growing_series *g;

	if (at != MAP_NONE)
		return m->series[at];
	g = calloc(1, sizeof(*g));
	if (g == NULL || map_set(&m->series_of, index_series_key(kind, name), m->series_n) < 0) {
		free(g);
		return NULL;
	}
	g->series.kind = kind;
	g->series.name = name;
	return m->series[m->series_n++] = g;
}

static int add_value(struct maker *m, unsigned kind, uint32_t name, uint64_t ns, int64_t value)
{
	struct index_point_row *row, *grown;
	struct growing_series *g;
	int64_t before;
	uint64_t delta;
	int r;

	if (m->series_n == INDEX_SERIES_MAX &&
	    map_get(&m->series_of, index_series_key(kind, name)) == MAP_NONE)
		return 0;
	g = series_of(m, kind, name);
	if (g == NULL)
		return -ENOMEM;
	if (ns < g->series.end_ns)
		ns = g->series.end_ns;
	if (g->used == 0 || g->rows[g->n - 1].points == INDEX_POINTS) {
		r = end_points(m, g);
		if (r < 0)
			return r;
		grown = grow(g->rows, g->n, &g->room, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		g->rows = grown;
		g->rows[g->n++] = (struct index_point_row){
			.begin_ns = ns, .end_ns = ns, .min = value, .max = value};
	}
	row = &g->rows[g->n - 1];
	before = row->points > 0 ? row->last : 0;
	delta = (uint64_t)value - (uint64_t)before;
	g->used = (uint32_t)(varint_put(g->leaf + g->used, ns - row->end_ns) - g->leaf);
	g->used = (uint32_t)(varint_put(g->leaf + g->used, delta) - g->leaf);
	row->end_ns = ns;
	row->last = value;
	row->min = value < row->min ? value : row->min;
	row->max = value > row->max ? value : row->max;
	row->points++;
	if (g->series.points++ == 0) {
		g->series.begin_ns = ns;
		g->series.min = g->series.max = value;
	}
	g->series.end_ns = ns;
	g->series.last = value;
	g->series.min = value < g->series.min ? value : g->series.min;
	g->series.max = value > g->series.max ? value : g->series.max;
	return 0;
}

static int note_event(struct maker *m, const struct merged *e, unsigned flag)
{
	struct growing *g = growing_of(m, e->thread);

	if (g == NULL)
		return -ENOMEM;
	/* what is missing is missing from where its thread was last seen */
	note_rare(g, flag == INDEX_LOST && g->track.end_ns > 0 ? g->track.end_ns : e->event->ns,
		  flag);
	return 0;
}

static int on_event(void *context, const struct merged *e)
{
	const uint64_t *a = e->event->arguments;
	struct maker *m = context;
	uint32_t at;
	int r;

	if (reader_is_switches(e->block))
		return 0;
	/* these may be of the process, and of no thread */
	switch (e->event->type) {
	case TRACE_HEAP_SAMPLE_EVENT:
		r = add_value(m, INDEX_HEAP_LIVE, 0, e->event->ns, (int64_t)a[0]);
		/* the process's last is without what the kernel knew */
		return r == 0 && a[5] > 0
			       ? add_value(m, INDEX_HEAP_RESIDENT, 0, e->event->ns, (int64_t)a[5])
			       : r;
	case TRACE_COUNTER_EVENT:
		return add_value(m, INDEX_COUNTER, (uint32_t)a[0], e->event->ns,
				 varint_signed(a[1]));
	}
	if (e->thread >= TRACE_THREAD_FOREIGN)
		return 0;
	/* a thread has a track once it has an interval: before, it cannot have lost anything */
	if (e->event->type != TRACE_LOG_EVENT && e->event->type != TRACE_LOST_EVENT &&
	    e->block->lost_before == 0)
		return 0;
	at = map_get(&m->track_of, e->thread);
	if (e->event->type == TRACE_LOG_EVENT) {
		r = note_event(m, e, INDEX_MARK);
		if (r < 0)
			return r;
	}
	if (at == MAP_NONE)
		return 0;
	if (e->event->type == TRACE_LOST_EVENT)
		return note_event(m, e, INDEX_LOST);
	if (e->block->lost_before > 0 && m->tracks[at]->lost != e->block) {
		m->tracks[at]->lost = e->block;
		return note_event(m, e, INDEX_LOST);
	}
	return 0;
}

/* ---- tiles ---- */

static int put_tile(void *context, const void *bytes, size_t size, uint64_t *ret_offset)
{
	struct maker *m = context;

	*ret_offset = m->offset + m->used;
	return put(m, bytes, size);
}

/* Behind all leaves, which are read once more for it. @x: a view of what is being written. */
static int make_tiles(struct maker *m, struct index *x)
{
	struct index_entry e = {0};
	int r = flush(m);

	x->fd = m->fd;
	x->file.directory = -1;
	x->tracks = &e;
	for (uint32_t i = 0; i < m->n && r == 0; i++) {
		struct growing *g = m->tracks[i];

		g->first_tile = m->tiler.n;
		e.track = g->track;
		e.n = g->n;
		x->rows = g->rows;
		r = g->n > 0 ? index_tiles_make(&m->tiler, x) : 0;
		g->tiles = m->tiler.n - g->first_tile;
	}
	return r;
}

/* ---- the end of the file ---- */

static int put_table(struct maker *m, const void *bytes, size_t size)
{
	m->crc = checksum_crc32c(m->crc, bytes, size);
	return put(m, bytes, size);
}

static int put_files(struct maker *m, const struct tables *t)
{
	int r = 0;

	for (uint32_t i = 0; i < t->files_n && r == 0; i++) {
		struct index_file f = {t->files[i].id, t->files[i].number, t->files[i].name,
				       t->files[i].kind};

		r = put_table(m, &f, sizeof(f));
	}
	return r;
}

/* The rows of all threads, one after the other, the threads; the same of series; and what is left. */
static int put_tables(struct maker *m, const struct tables *t, struct index_trailer *trailer)
{
	struct index_sizes *n = &trailer->sizes;
	struct index *view;
	int r = 0;

	for (uint32_t i = 0; i < m->n && r == 0; i++)
		r = end_leaf(m, m->tracks[i]);
	for (uint32_t i = 0; i < m->series_n && r == 0; i++)
		r = end_points(m, m->series[i]);
	view = calloc(1, sizeof(*view));
	if (r == 0)
		r = view != NULL ? make_tiles(m, view) : -ENOMEM;
	free(view);
	trailer->data_bytes = m->offset + m->used;
	for (uint32_t i = 0; i < m->n && r == 0; i++)
		r = put_table(m, m->tracks[i]->rows, m->tracks[i]->n * sizeof(struct index_row));
	for (uint32_t i = 0; i < m->n && r == 0; i++) {
		struct index_entry e = {m->tracks[i]->track, n->rows, m->tracks[i]->n,
					m->tracks[i]->first_tile, m->tracks[i]->tiles};

		n->rows += e.n;
		n->tracks += e.n > 0;
		/* one that only marks were noted of has none */
		r = e.n > 0 ? put_table(m, &e, sizeof(e)) : 0;
	}
	n->tile_rows = m->tiler.n;
	if (r == 0 && m->tiler.n > 0)
		r = put_table(m, m->tiler.rows, m->tiler.n * sizeof(*m->tiler.rows));
	for (uint32_t i = 0; i < m->series_n && r == 0; i++)
		r = put_table(m, m->series[i]->rows,
			      m->series[i]->n * sizeof(struct index_point_row));
	for (uint32_t i = 0; i < m->series_n && r == 0; i++) {
		struct index_series_entry e = {m->series[i]->series, n->point_rows,
					       m->series[i]->n};

		n->point_rows += e.n;
		r = put_table(m, &e, sizeof(e));
	}
	n->series = m->series_n;
	n->files = t->files_n;
	if (r == 0)
		r = put_files(m, t);
	index_grow_end(&m->all);
	n->borders = m->all.n;
	trailer->grid = m->all.grid;
	if (r == 0 && n->borders > 0)
		r = put_table(m, m->all.borders, n->borders * sizeof(*m->all.borders));
	memcpy(trailer->magic, INDEX_MAGIC, sizeof(trailer->magic));
	trailer->version = INDEX_VERSION;
	trailer->crc = checksum_crc32c(m->crc, trailer, offsetof(struct index_trailer, crc));
	if (r == 0)
		r = put(m, trailer, sizeof(*trailer));
	return r == 0 ? flush(m) : r;
}

int index_make(int fd, struct reader *r, const struct streams *s, struct tables *t,
	       const struct watch *watch, struct why *why)
{
	struct maker m = {.fd = fd,
			  .buffer = malloc(BUFFER),
			  .series = calloc(INDEX_SERIES_MAX, sizeof(struct growing_series *))};
	const struct story_listener listener = {
		.context = &m, .interval = on_interval, .call = on_call, .event = on_event};
	struct index_trailer trailer;
	int result = -ENOMEM;

	memset(&trailer, 0, sizeof(trailer));
	m.tiler = (struct index_tiler){.put = put_tile, .context = &m};
	trailer.trace_bytes = r->source.size;
	trailer.trace_stamp_ns = r->source.stamp_ns;
	if (r->has_header)
		memcpy(trailer.uuid, r->header.uuid, sizeof(trailer.uuid));
	if (m.buffer != NULL && m.series != NULL)
		result = index_grow_begin(&m.all, r);
	if (result == 0)
		result = story_tell(r, s, t, 0, UINT64_MAX, &listener, &trailer.counts, watch, why);
	if (result == 0) {
		result = put_tables(&m, t, &trailer);
		if (result < 0)
			why_set(why, "the index cannot be written: %s", strerror(-result));
	}
	if (result == -ENOMEM)
		why_set(why, "out of memory");
	for (uint32_t i = 0; i < m.n; i++) {
		free(m.tracks[i]->rows);
		free(m.tracks[i]);
	}
	for (uint32_t i = 0; i < m.series_n; i++) {
		free(m.series[i]->rows);
		free(m.series[i]);
	}
	free(m.tracks);
	free(m.series);
	free(m.buffer);
	free(m.tiler.rows);
	index_grow_fini(&m.all);
	map_fini(&m.track_of);
	map_fini(&m.series_of);
	return result;
}
