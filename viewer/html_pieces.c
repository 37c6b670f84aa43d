/* Intervals in a few bytes each; the short ones put together when they would be too many. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "output/gzip.h"
#include "viewer/api_private.h"
#include "viewer/html_private.h"
#include "viewer/varint.h"

#define CHUNK     (UINT64_C(1) << 20) /* bytes, unpacked: a track that begins before is in it */
#define PIECE_MAX (16 + 20 * VARINT_BYTES_MAX)
#define STEP      4096 /* intervals, after which somebody may want no more of it */
#define SHORTS    64

/* The first byte of a piece. */
#define PIECE_MIXED \
	0x08 /* several intervals: a mask of states, the ns of each, how many there were */
#define PIECE_CERTAINTY 4    /* bits to the left: two of them */
#define PIECE_GAP       0x40 /* it does not begin where the last one ended */
#define PIECE_MORE      0x80 /* a byte that says what follows: */

#define MORE_OBJECT 1
#define MORE_CALL   2
#define MORE_STACK  4
#define MORE_OTHER  8
#define MORE_TASK   16
#define MORE_JOIN   32 /* its label is the other's name */
#define MORE_FILE   64

/* ---- the first look ---- */

struct look_state {
	const struct watch *watch;
	struct html_found *found;
	uint64_t open_ns[SHORTS],
		open_n[SHORTS]; /* of the short ones that are put together, by how short */
	uint64_t end_ns, done, total;
	bool is_ended;
};

static int kind_of(const struct interval *i)
{
	return i->state == TRACE_LOCK      ? 0
	       : i->state == TRACE_WAIT    ? HTML_WAITS
	       : i->state == TRACE_SPIN    ? HTML_SPINS
	       : i->state == TRACE_SYSCALL ? HTML_SYSCALLS
					   : -1;
}

/* The longest are kept in order, the longest first. */
static void keep_longest(struct html_found *f, const struct interval *i)
{
	int kind = kind_of(i);
	uint64_t ns = i->end_ns - i->begin_ns;
	struct html_detail *list;
	unsigned at;

	if (kind < 0)
		return;
	list = f->details[kind];
	at = f->details_n[kind];
	if (at == HTML_DETAILS && list[at - 1].ns >= ns)
		return;
	if (at < HTML_DETAILS)
		f->details_n[kind]++;
	else
		at--;
	for (; at > 0 && list[at - 1].ns < ns; at--)
		list[at] = list[at - 1];
	list[at] = (struct html_detail){i->begin_ns, ns, i->thread, i->stack, i->object, i->call};
}

/* Nothing of the track is put to what is open any more, of those that are below 2^@from ns. */
static void end_open(struct look_state *s, unsigned from)
{
	for (unsigned k = from; k < SHORTS; k++) {
		s->found->pieces[k] += s->open_n[k] > 0;
		s->open_ns[k] = s->open_n[k] = 0;
	}
}

static int on_look(void *context, const struct interval *i)
{
	struct look_state *s = context;
	uint64_t ns = i->end_ns - i->begin_ns;

	if (++s->done % STEP == 0 && watch_step(s->watch, s->done, s->total))
		return -EINTR;
	if (i->begin_ns != s->end_ns)
		end_open(s, 1);
	s->end_ns = i->end_ns;
	s->found->intervals++;
	s->found->pieces[0]++;
	for (unsigned k = 1; k < SHORTS; k++) {
		uint64_t least = UINT64_C(1) << k;

		if (ns >= least) {
			s->found->pieces[k] += 1 + (s->open_n[k] > 0);
			s->open_ns[k] = s->open_n[k] = 0;
			continue;
		}
		s->open_ns[k] += ns;
		s->open_n[k]++;
		if (s->open_ns[k] >= least) {
			s->found->pieces[k]++;
			s->open_ns[k] = s->open_n[k] = 0;
		}
	}
	keep_longest(s->found, i);
	return 0;
}

static int each_track(struct api *a, uint32_t track, int (*take)(void *, const struct interval *),
		      void *context, struct why *why)
{
	int r = index_each(a->index, a->tracks[track].at, 0, UINT64_MAX, false, take, context);

	if (r == -EBADMSG)
		why_set(why, "the index was changed by somebody; start again");
	return r;
}

static uint64_t intervals_of(const struct api *a)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < a->tracks_n; i++)
		n += a->tracks[i].intervals;
	return n;
}

int html_look(struct api *a, const struct watch *watch, struct html_found *ret, struct why *why)
{
	struct look_state s = {.watch = watch, .found = ret, .total = intervals_of(a)};
	int r = 0;

	*ret = (struct html_found){0};
	for (uint32_t i = 0; i < a->tracks_n && r == 0; i++) {
		s.end_ns = 0;
		r = each_track(a, i, on_look, &s, why);
		end_open(&s, 1);
	}
	return r;
}

/* ---- writing ---- */

struct put_state {
	struct html_pieces *p;
	struct sheet_section section;
	uint64_t offset; /* in the chunk */
	uint64_t end_ns; /* of what was put last, since the trace's beginning */
	uint64_t done, total;
	uint32_t pieces;
	/* short ones that follow one another */
	struct interval first;
	uint64_t open_end_ns, open_n, sums[TRACE_STATES];
};

static int put(struct put_state *s, const uint8_t *bytes, const uint8_t *end)
{
	s->offset += (uint64_t)(end - bytes);
	s->pieces++;
	return sheet_section_put(&s->section, bytes, (size_t)(end - bytes));
}

static uint8_t state_of(unsigned state)
{
	return (uint8_t)((state + TRACE_STATES - TRACE_RUNNING) % TRACE_STATES);
}

static uint8_t *put_times(struct put_state *s, uint8_t *at, uint64_t begin_ns, uint64_t end_ns)
{
	uint64_t begin = api_since(s->p->api, begin_ns), end = api_since(s->p->api, end_ns);

	if (begin != s->end_ns)
		at = varint_put(at, begin - s->end_ns);
	s->end_ns = end;
	return varint_put(at, end - begin);
}

static int name_it(struct put_state *s, enum html_named what, uint64_t id)
{
	struct map *map = &s->p->named[what];

	return map->used < HTML_NAMED_MAX && map_get(map, id) == MAP_NONE ? map_set(map, id, 1) : 0;
}

static int put_one(struct put_state *s, const struct interval *i)
{
	uint8_t bytes[PIECE_MAX],
		*at = bytes + 1,
		more = (uint8_t)((i->object != 0 ? MORE_OBJECT : 0) |
				 (i->call != 0 ? MORE_CALL : 0) | (i->stack != 0 ? MORE_STACK : 0) |
				 (i->other != 0 ? MORE_OTHER : 0) | (i->task != 0 ? MORE_TASK : 0) |
				 (i->wait == TRACE_JOIN_BEGIN_EVENT ? MORE_JOIN : 0) |
				 (i->file != 0 ? MORE_FILE : 0));
	int r = 0;

	bytes[0] = (uint8_t)(state_of(i->state) | (i->certainty & 3) << PIECE_CERTAINTY |
			     (api_since(s->p->api, i->begin_ns) != s->end_ns ? PIECE_GAP : 0) |
			     (more != 0 ? PIECE_MORE : 0));
	at = put_times(s, at, i->begin_ns, i->end_ns);
	if (more != 0)
		*at++ = more;
	if (i->object != 0) {
		at = varint_put(at, i->object);
		r = name_it(s, HTML_OBJECTS, i->object);
	}
	if (i->call != 0 && r == 0) {
		at = varint_put(at, i->call - 1);
		r = name_it(s, HTML_CALLS, i->call - 1);
	}
	if (i->stack != 0 && r == 0) {
		at = varint_put(at, i->stack);
		r = name_it(s, HTML_STACKS, i->stack);
	}
	if (i->other != 0)
		at = varint_put(at, i->other);
	if (i->task != 0)
		at = varint_put(at, i->task);
	if (i->file != 0 && r == 0) {
		at = varint_put(at, i->file);
		r = name_it(s, HTML_FILES, i->file);
	}
	return r == 0 ? put(s, bytes, at) : r;
}

static int put_open(struct put_state *s)
{
	uint8_t bytes[PIECE_MAX], *at = bytes + 1, *mask;
	uint64_t n = s->open_n;

	s->open_n = 0;
	if (n == 0)
		return 0;
	if (n == 1)
		return put_one(s, &s->first);
	bytes[0] =
		(uint8_t)(PIECE_MIXED |
			  (api_since(s->p->api, s->first.begin_ns) != s->end_ns ? PIECE_GAP : 0));
	at = put_times(s, at, s->first.begin_ns, s->open_end_ns);
	mask = at++;
	*mask = 0;
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		if (s->sums[api_state(i)] == 0)
			continue;
		*mask = (uint8_t)(*mask | 1 << i);
		at = varint_put(at, s->sums[api_state(i)]);
	}
	at = varint_put(at, n);
	return put(s, bytes, at);
}

static int on_put(void *context, const struct interval *i)
{
	struct put_state *s = context;
	uint64_t ns = i->end_ns - i->begin_ns;
	int r = 0;

	if (++s->done % STEP == 0 && watch_step(s->p->watch, s->done, s->total))
		return -EINTR;
	if (s->open_n > 0 && (ns >= s->p->short_ns || i->begin_ns != s->open_end_ns))
		r = put_open(s);
	if (r < 0 || ns >= s->p->short_ns)
		return r < 0 ? r : put_one(s, i);
	if (s->open_n++ == 0) {
		s->first = *i;
		memset(s->sums, 0, sizeof(s->sums));
	}
	s->sums[i->state] += ns;
	s->open_end_ns = i->end_ns;
	return s->open_end_ns - s->first.begin_ns >= s->p->short_ns ? put_open(s) : 0;
}

static int end_chunk(struct put_state *s, struct out *to)
{
	int r = sheet_section_end(&s->section);

	s->p->bytes += s->section.bytes;
	sheet_section_fini(&s->section);
	if (to != NULL)
		sheet_close_section(to);
	s->p->chunks++;
	return r;
}

static void open_chunk(struct out *to, uint32_t n)
{
	char id[24];

	snprintf(id, sizeof(id), "kept-%u", (unsigned)n);
	sheet_open_section(to, id);
}

int html_put_pieces(struct html_pieces *p, struct out *to, struct why *why)
{
	struct put_state s = {.p = p, .total = intervals_of(p->api)};
	int r = 0;

	p->chunks = 0;
	p->pieces = p->bytes = 0;
	for (uint32_t i = 0; i < p->api->tracks_n && r == 0; i++) {
		if (s.offset == 0) {
			if (to != NULL)
				open_chunk(to, p->chunks);
			r = sheet_section_begin(&s.section, to);
		}
		p->places[i] = (struct html_place){.chunk = p->chunks, .offset = s.offset};
		s.end_ns = 0;
		s.pieces = 0;
		if (r == 0)
			r = each_track(p->api, i, on_put, &s, why);
		if (r == 0)
			r = put_open(&s);
		p->places[i].pieces = s.pieces;
		p->pieces += s.pieces;
		if (r == 0 && (s.offset >= CHUNK || i + 1 == p->api->tracks_n)) {
			r = end_chunk(&s, to);
			s.offset = 0;
		}
	}
	sheet_section_fini(&s.section);
	return r;
}
