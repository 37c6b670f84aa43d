#include "viewer/index_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/checksum.h"

#define LOCKS_EXACT 4 /* leaves in which each lock is counted */

bool index_is_new(const struct index *x)
{
	return x->is_new;
}

const struct story_counts *index_counts(const struct index *x)
{
	return &x->counts;
}

uint32_t index_tracks(const struct index *x)
{
	return (uint32_t)x->n.tracks;
}

const struct index_track *index_track(const struct index *x, uint32_t track)
{
	return &x->tracks[track].track;
}

uint32_t index_track_of(const struct index *x, uint32_t thread)
{
	return map_get(&x->track_of, thread);
}

uint32_t index_series_n(const struct index *x)
{
	return (uint32_t)x->n.series;
}

const struct index_series *index_series(const struct index *x, uint32_t series)
{
	return &x->series[series].series;
}

uint32_t index_series_of(const struct index *x, enum index_kind kind, uint32_t name)
{
	return map_get(&x->series_of, index_series_key(kind, name));
}

/* ---- leaves ---- */

int index_read_bytes(struct index *x, void *to, uint64_t offset, uint32_t bytes, uint32_t crc)
{
	uint8_t *at = to;
	uint32_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(x->fd, at + done, bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (uint32_t)n;
	}
	if (done == bytes && checksum_crc32c(0, to, bytes) == crc)
		return 0;
	index_distrust(x);
	return -EBADMSG;
}

int index_read_leaf(struct index *x, uint64_t offset, uint32_t bytes, uint32_t crc)
{
	if (x->read == offset + 1)
		return 0;
	x->read = 0;
	if (index_read_bytes(x, x->bytes, offset, bytes, crc) < 0)
		return -EBADMSG;
	memset(x->bytes + bytes, 0, VARINT_BYTES_MAX * 8);
	x->read = offset + 1;
	return 0;
}

/* Unpacks leaf @at, a row's. */
static int open_leaf(struct index *x, const struct index_entry *e, uint64_t at)
{
	const struct index_row *row = &x->rows[at];
	const uint8_t *bytes = x->bytes, *end = x->bytes + row->bytes;
	uint64_t begin = row->begin_ns;

	if (x->leaf == at + 1)
		return 0;
	x->leaf = 0;
	if (index_read_leaf(x, row->offset, row->bytes, row->crc) < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < row->spans; i++) {
		bytes = index_get(bytes, end, begin, &x->spans[i], &x->flags[i]);
		if (bytes == NULL)
			return -EBADMSG;
		x->spans[i].thread = e->track.thread;
		begin = x->spans[i].end_ns;
	}
	x->spans_n = row->spans;
	x->leaf = at + 1;
	return 0;
}

uint64_t index_search(const void *rows, size_t size, uint64_t n, uint64_t ns)
{
	uint64_t low = 0, high = n, begin;

	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		memcpy(&begin, (const uint8_t *)rows + middle * size, sizeof(begin));
		if (begin <= ns)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t index_row_at(const struct index *x, const struct index_entry *e, uint64_t ns)
{
	return e->first + index_search(&x->rows[e->first], sizeof(*x->rows), e->n, ns);
}

uint64_t index_row_end(const struct index *x, const struct index_entry *e, uint64_t at)
{
	return at + 1 < e->first + e->n ? x->rows[at + 1].begin_ns : e->track.end_ns;
}

uint64_t index_leaves(const struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns)
{
	const struct index_entry *e = &x->tracks[track];

	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 0;
	return index_row_at(x, e, to_ns) - index_row_at(x, e, from_ns) + 1;
}

/* ---- sums ---- */

/* Between two rows, all of the states evenly. */
static void between(const struct index *x, const struct index_entry *e, uint64_t at, uint64_t ns,
		    uint64_t ret[TRACE_STATES])
{
	__extension__ typedef unsigned __int128 wide;
	const struct index_row *row = &x->rows[at];
	const uint64_t *after = at + 1 < e->first + e->n ? row[1].before_ns : e->track.state_ns;
	uint64_t length = index_row_end(x, e, at) - row->begin_ns, part = ns - row->begin_ns;

	for (unsigned i = 0; i < TRACE_STATES && length > 0; i++)
		ret[i] += (uint64_t)((wide)(after[i] - row->before_ns[i]) * part / length);
}

int index_before(struct index *x, uint32_t track, uint64_t ns, bool is_rough,
		 uint64_t ret[TRACE_STATES])
{
	const struct index_entry *e = &x->tracks[track];
	struct index_sweep w;
	uint64_t at;

	if (!is_rough)
		return index_sweep_begin(&w, x, track, ns, ret);
	memset(ret, 0, TRACE_STATES * sizeof(*ret));
	if (ns <= e->track.begin_ns)
		return 0;
	if (ns >= e->track.end_ns) {
		memcpy(ret, e->track.state_ns, sizeof(e->track.state_ns));
		return 0;
	}
	at = index_row_at(x, e, ns);
	memcpy(ret, x->rows[at].before_ns, sizeof(x->rows[at].before_ns));
	between(x, e, at, ns, ret);
	return 0;
}

int index_sum(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
	      uint64_t ret[TRACE_STATES])
{
	struct index_sweep w;
	uint64_t before[TRACE_STATES];
	int r = index_sweep_begin(&w, x, track, from_ns, before);

	if (r == 0)
		r = index_sweep_to(&w, to_ns > from_ns ? to_ns : from_ns, ret);
	for (unsigned i = 0; i < TRACE_STATES && r == 0; i++)
		ret[i] -= before[i];
	return r;
}

/* ---- intervals ---- */

int index_spans(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
		struct interval *ret, uint32_t max, uint32_t *ret_n)
{
	const struct index_entry *e = &x->tracks[track];

	*ret_n = 0;
	if (to_ns < e->track.begin_ns || from_ns > e->track.end_ns)
		return 0;
	for (uint64_t at = index_row_at(x, e, from_ns); at < e->first + e->n; at++) {
		if (x->rows[at].begin_ns > to_ns)
			break;
		if (open_leaf(x, e, at) < 0)
			return -EBADMSG;
		for (uint32_t i = 0; i < x->spans_n; i++) {
			if (x->spans[i].end_ns <= from_ns)
				continue;
			if (x->spans[i].begin_ns >= to_ns)
				return 0;
			if (*ret_n == max)
				return 1;
			ret[(*ret_n)++] = x->spans[i];
		}
	}
	return 0;
}

int index_each(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, bool is_backwards,
	       int (*take)(void *context, const struct interval *i), void *context)
{
	const struct index_entry *e = &x->tracks[track];
	uint64_t first, n;
	int r = 0;

	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 0;
	first = index_row_at(x, e, from_ns);
	n = index_row_at(x, e, to_ns) - first + 1;
	for (uint64_t i = 0; i < n && r == 0; i++) {
		r = open_leaf(x, e, is_backwards ? first + n - 1 - i : first + i);
		for (uint32_t k = 0, spans = x->spans_n; k < spans && r == 0; k++) {
			const struct interval *at = &x->spans[is_backwards ? spans - 1 - k : k];

			if (at->end_ns > from_ns && at->begin_ns < to_ns)
				r = take(context, at);
		}
	}
	return r;
}

/* The longest part of an interval of leaf @at that is in the stretch, if it is longer than *@ret_ns. */
static int longest_in(struct index *x, const struct index_entry *e, uint64_t at, uint64_t from_ns,
		      uint64_t to_ns, struct interval *ret, uint64_t *ret_ns)
{
	if (open_leaf(x, e, at) < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < x->spans_n; i++) {
		uint64_t ns =
			story_within(x->spans[i].begin_ns, x->spans[i].end_ns, from_ns, to_ns);

		if (ns <= *ret_ns)
			continue;
		*ret = x->spans[i];
		*ret_ns = ns;
	}
	return 0;
}

int index_longest(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
		  struct interval *ret)
{
	const struct index_entry *e = &x->tracks[track];
	uint64_t first, last, longest, ns = 0, most = 0;
	int r;

	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 1;
	first = longest = index_row_at(x, e, from_ns);
	last = index_row_at(x, e, to_ns);
	r = longest_in(x, e, first, from_ns, to_ns, ret, &ns);
	for (uint64_t at = first + 1; at < last; at++) {
		if (x->rows[at].longest_ns <= most)
			continue;
		most = x->rows[at].longest_ns;
		longest = at;
	}
	if (r == 0 && most > ns)
		r = longest_in(x, e, longest, from_ns, to_ns, ret, &ns);
	if (r == 0 && last != first)
		r = longest_in(x, e, last, from_ns, to_ns, ret, &ns);
	return r < 0 ? r : ns == 0;
}

int index_flags(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, unsigned *ret)
{
	const struct index_entry *e = &x->tracks[track];

	*ret = 0;
	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 0;
	for (uint64_t at = index_row_at(x, e, from_ns); at < e->first + e->n; at++) {
		const struct index_row *row = &x->rows[at];

		if (row->begin_ns >= to_ns)
			break;
		/* of one that is partly in it, only where that can tell something new */
		if ((row->flags & ~*ret) == 0)
			continue;
		if (row->begin_ns >= from_ns && index_row_end(x, e, at) <= to_ns) {
			*ret |= row->flags;
			continue;
		}
		if (open_leaf(x, e, at) < 0)
			return -EBADMSG;
		for (uint32_t i = 0; i < x->spans_n; i++)
			if (x->spans[i].end_ns > from_ns && x->spans[i].begin_ns < to_ns)
				*ret |= x->flags[i];
	}
	return 0;
}

int index_rare(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns,
	       int (*take)(void *context, bool is_leaf, uint64_t begin_ns, uint64_t end_ns,
			   unsigned flags),
	       void *context)
{
	const struct index_entry *e = &x->tracks[track];

	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 0;
	for (uint64_t at = index_row_at(x, e, from_ns); at < e->first + e->n; at++) {
		const struct index_row *row = &x->rows[at];

		if (row->begin_ns >= to_ns)
			break;
		if (row->flags == 0 ||
		    take(context, true, row->begin_ns, index_row_end(x, e, at), row->flags) == 0)
			continue;
		if (open_leaf(x, e, at) < 0)
			return -EBADMSG;
		for (uint32_t i = 0; i < x->spans_n; i++)
			if (x->flags[i] != 0 && x->spans[i].end_ns > from_ns &&
			    x->spans[i].begin_ns < to_ns)
				take(context, false, x->spans[i].begin_ns, x->spans[i].end_ns,
				     x->flags[i]);
	}
	return 0;
}

int index_locks(struct index *x, uint32_t track, uint64_t from_ns, uint64_t to_ns, bool is_rough,
		void (*take)(void *context, uint32_t object, uint64_t ns), void *context)
{
	const struct index_entry *e = &x->tracks[track];
	uint64_t first, last;

	if (to_ns <= e->track.begin_ns || from_ns >= e->track.end_ns)
		return 0;
	first = index_row_at(x, e, from_ns);
	last = index_row_at(x, e, to_ns);
	for (uint64_t at = first; at <= last; at++) {
		const struct index_row *row = &x->rows[at];

		if (row->lock == 0)
			continue;
		if (is_rough || (last - first >= LOCKS_EXACT && at > first && at < last)) {
			take(context, row->lock, row->lock_ns);
			continue;
		}
		if (open_leaf(x, e, at) < 0)
			return -EBADMSG;
		for (uint32_t i = 0; i < x->spans_n; i++) {
			uint64_t ns = story_within(x->spans[i].begin_ns, x->spans[i].end_ns,
						   from_ns, to_ns);

			if (ns > 0 && x->spans[i].state == TRACE_LOCK && x->spans[i].object != 0)
				take(context, x->spans[i].object, ns);
		}
	}
	return 0;
}

/* ---- values ---- */

static int open_points(struct index *x, uint64_t at)
{
	const struct index_point_row *row = &x->point_rows[at];
	const uint8_t *bytes = x->bytes, *end = x->bytes + row->bytes;
	struct index_point p = {.ns = row->begin_ns};
	uint64_t ns, value;

	if (x->point_leaf == at + 1)
		return 0;
	x->point_leaf = 0;
	if (index_read_leaf(x, row->offset, row->bytes, row->crc) < 0)
		return -EBADMSG;
	for (uint32_t i = 0; i < row->points; i++) {
		bytes = varint_get(bytes, &ns);
		if (bytes != NULL)
			bytes = varint_get(bytes, &value);
		if (bytes == NULL || bytes > end || ns > UINT64_MAX - p.ns)
			return -EBADMSG;
		p.ns += ns;
		p.value = (int64_t)((uint64_t)p.value + value);
		x->points[i] = p;
	}
	x->points_n = (uint32_t)row->points;
	x->point_leaf = at + 1;
	return 0;
}

static void take_values(struct index_values *v, uint64_t points, int64_t min, int64_t max)
{
	v->min = v->points == 0 || min < v->min ? min : v->min;
	v->max = v->points == 0 || max > v->max ? max : v->max;
	v->points += points;
}

int index_values(struct index *x, uint32_t series, uint64_t from_ns, uint64_t to_ns,
		 struct index_values *ret)
{
	const struct index_series_entry *e = &x->series[series];
	const struct index_point_row *rows = &x->point_rows[e->first];
	uint64_t first;

	*ret = (struct index_values){0};
	if (to_ns <= e->series.begin_ns)
		return 0;
	first = index_search(rows, sizeof(*rows), e->n, from_ns);
	/* leaves before may have values of just that time */
	while (first > 0 && rows[first - 1].end_ns >= from_ns)
		first--;
	for (uint64_t i = first; i < e->n && rows[i].begin_ns < to_ns; i++) {
		if (rows[i].end_ns < to_ns &&
		    (rows[i].begin_ns >= from_ns || rows[i].end_ns < from_ns)) {
			if (rows[i].begin_ns >= from_ns)
				take_values(ret, rows[i].points, rows[i].min, rows[i].max);
			ret->last = rows[i].last;
			ret->has_last = true;
			continue;
		}
		if (open_points(x, e->first + i) < 0)
			return -EBADMSG;
		for (uint32_t k = 0; k < x->points_n && x->points[k].ns < to_ns; k++) {
			ret->last = x->points[k].value;
			ret->has_last = true;
			if (x->points[k].ns >= from_ns)
				take_values(ret, 1, x->points[k].value, x->points[k].value);
		}
	}
	return 0;
}
