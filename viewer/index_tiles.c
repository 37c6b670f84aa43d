#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "viewer/index_private.h"

/* ---- borders that rise ---- */

/* The interval behind the one that is open, of the same leaf. */
static int next_interval(struct index_sweep *w)
{
	const struct index *x = w->x;
	const uint8_t *bytes = x->bytes + w->at, *end = x->bytes + x->rows[w->row].bytes, *next;
	uint64_t length;

	w->interval_flags = bytes < end ? *bytes >> 5 : 0;
	next = index_pass(bytes, end, &w->state, &length);
	if (next == NULL)
		return -EBADMSG;
	w->begin_ns = w->end_ns;
	w->end_ns += length;
	w->at = (uint32_t)(next - x->bytes);
	w->left--;
	return 0;
}

static int open_row(struct index_sweep *w, uint64_t row)
{
	struct index *x = w->x;
	const struct index_row *r = &x->rows[row];

	if (index_read_leaf(x, r->offset, r->bytes, r->crc) < 0)
		return -EBADMSG;
	w->row = row;
	w->at = 0;
	w->left = r->spans;
	w->end_ns = r->begin_ns;
	memcpy(w->before_ns, r->before_ns, sizeof(w->before_ns));
	return next_interval(w);
}

/* From the leaf that is open to the one that has @ns, which is behind it, or to the end. */
static int skip(struct index_sweep *w, uint64_t ns)
{
	const struct index *x = w->x;
	const struct index_entry *e = &x->tracks[w->track];
	uint64_t to = ns < e->track.end_ns ? index_row_at(x, e, ns) : e->first + e->n;

	for (uint64_t i = w->row + 1; i < to; i++)
		w->flags |= x->rows[i].flags;
	if (to < e->first + e->n)
		return to > w->row ? open_row(w, to) : -EBADMSG;
	w->is_over = true;
	memcpy(w->before_ns, e->track.state_ns, sizeof(w->before_ns));
	return 0;
}

/* Makes the interval that has @ns the one that is open. */
static int forward(struct index_sweep *w, uint64_t ns)
{
	const struct index *x = w->x;
	const struct index_entry *e = &x->tracks[w->track];
	int r = 0;

	while (!w->is_over && w->end_ns <= ns && r == 0) {
		bool is_behind = ns >= index_row_end(x, e, w->row);

		w->flags |= w->interval_flags;
		/* what is left of a leaf that is left need not be looked at, when nothing in it is rare */
		if (is_behind && (w->left == 0 || (x->rows[w->row].flags & ~w->flags) == 0)) {
			r = skip(w, ns);
		} else if (w->left > 0) {
			w->before_ns[w->state] += w->end_ns - w->begin_ns;
			r = next_interval(w);
		} else {
			r = -EBADMSG;
		}
	}
	return r;
}

int index_sweep_begin(struct index_sweep *w, struct index *x, uint32_t track, uint64_t from_ns,
		      uint64_t ret[TRACE_STATES])
{
	const struct index_entry *e = &x->tracks[track];
	int r = 0;

	*w = (struct index_sweep){.x = x, .track = track};
	if (from_ns >= e->track.end_ns) {
		w->is_over = true;
		memcpy(w->before_ns, e->track.state_ns, sizeof(w->before_ns));
	} else {
		r = open_row(w, index_row_at(x, e, from_ns));
	}
	return r == 0 ? index_sweep_to(w, from_ns, ret) : r;
}

int index_sweep_to(struct index_sweep *w, uint64_t ns, uint64_t ret[TRACE_STATES])
{
	int r;

	w->flags = 0;
	r = forward(w, ns);
	memcpy(ret, w->before_ns, sizeof(w->before_ns));
	if (!w->is_over && ns > w->begin_ns) {
		ret[w->state] += ns - w->begin_ns;
		w->flags |= w->interval_flags;
	}
	return r;
}

/* ---- tiles ---- */

/* What is lost by rounding goes to the largest. */
void index_shares(const uint64_t state_ns[TRACE_STATES], uint8_t ret[TRACE_STATES])
{
	uint64_t all = 0;
	unsigned left = 255, largest = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++) {
		all += state_ns[i];
		if (state_ns[i] > state_ns[largest])
			largest = i;
	}
	memset(ret, 0, TRACE_STATES);
	if (all == 0)
		return;
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		ret[i] = (uint8_t)((double)state_ns[i] / (double)all * 255.0);
		left -= ret[i];
	}
	ret[largest] = (uint8_t)(ret[largest] + left);
}

/* A tile before its times become shares. */
struct sums {
	uint64_t ns[INDEX_BUCKETS][TRACE_STATES];
	uint8_t flags[INDEX_BUCKETS];
};

/* From rows and leaves: one for each border at most, and no more than there are. */
static int sum_leaves(struct index *x, uint32_t track, unsigned level, uint64_t number,
		      struct sums *ret)
{
	const struct index_entry *e = &x->tracks[track];
	uint64_t last[TRACE_STATES], now[TRACE_STATES], width = UINT64_C(1) << level,
							ns = number * INDEX_BUCKETS << level;
	struct index_sweep w;
	unsigned i = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	/* it may live in the last of 512 */
	if (ns < e->track.begin_ns)
		i = (e->track.begin_ns - ns) >> level < INDEX_BUCKETS
			    ? (unsigned)((e->track.begin_ns - ns) >> level)
			    : INDEX_BUCKETS;
	ns += (uint64_t)i << level;
	if (i == INDEX_BUCKETS || ns >= e->track.end_ns)
		return 0;
	r = index_sweep_begin(&w, x, track, ns, last);
	for (; i < INDEX_BUCKETS && r == 0 && ns < e->track.end_ns; i++) {
		ns += width;
		r = index_sweep_to(&w, ns, now);
		for (unsigned k = 0; k < TRACE_STATES; k++)
			ret->ns[i][k] = now[k] - last[k];
		ret->flags[i] = (uint8_t)w.flags;
		memcpy(last, now, sizeof(last));
	}
	return r;
}

static void share_out(const struct sums *sums, struct index_tile *ret)
{
	for (unsigned i = 0; i < INDEX_BUCKETS; i++)
		index_shares(sums->ns[i], ret->shares[i]);
	memcpy(ret->flags, sums->flags, sizeof(ret->flags));
}

static bool is_outside(unsigned level, uint64_t number)
{
	return level >= 54 || number > (UINT64_MAX >> level) / INDEX_BUCKETS - 1;
}

static const struct index_tile_row *find_tile(const struct index *x, uint32_t track, unsigned level,
					      uint64_t number)
{
	uint64_t key = INDEX_TILE_KEY(level, number), low = x->tracks[track].first_tile,
		 high = low + x->tracks[track].tiles;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (x->tile_rows[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < x->tracks[track].first_tile + x->tracks[track].tiles &&
			       x->tile_rows[low].key == key
		       ? &x->tile_rows[low]
		       : NULL;
}

int index_tile(struct index *x, uint32_t track, unsigned level, uint64_t number,
	       struct index_tile *ret)
{
	const struct index_tile_row *row;
	struct sums sums;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (is_outside(level, number))
		return 0;
	row = find_tile(x, track, level, number);
	if (row != NULL)
		return index_read_bytes(x, ret, row->offset, sizeof(*ret), row->crc);
	r = sum_leaves(x, track, level, number, &sums);
	if (r == 0)
		share_out(&sums, ret);
	return r;
}

/* ---- making those that are kept ---- */

static int keep(struct index_tiler *t, unsigned level, uint64_t number, const struct sums *sums)
{
	struct index_tile_row *grown, *row;
	struct index_tile tile;
	int r;

	if (t->n == t->room) {
		uint64_t room = t->room != 0 ? t->room * 2 : 16;

		grown = reallocarray(t->rows, room, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		t->rows = grown;
		t->room = room;
	}
	share_out(sums, &tile);
	row = &t->rows[t->n];
	*row = (struct index_tile_row){.key = INDEX_TILE_KEY(level, number),
				       .crc = checksum_crc32c(0, &tile, sizeof(tile))};
	r = t->put(t->context, &tile, sizeof(tile), &row->offset);
	if (r == 0)
		t->n++;
	return r;
}

/* A tile's sums: of what has few leaves from these, else from the two of the level below. */
static int make_tile(struct index_tiler *t, struct index *x, unsigned level, uint64_t number,
		     struct sums *ret)
{
	uint64_t begin = number * INDEX_BUCKETS << level,
		 end = begin + ((uint64_t)INDEX_BUCKETS << level);
	struct sums *half;
	int r = 0;

	if (level == 0 || index_leaves(x, 0, begin, end) <= INDEX_TILE_LEAVES)
		return sum_leaves(x, 0, level, number, ret);
	half = malloc(sizeof(*half));
	if (half == NULL)
		return -ENOMEM;
	for (unsigned h = 0; h < 2 && r == 0; h++) {
		r = make_tile(t, x, level - 1, number * 2 + h, half);
		for (unsigned i = 0; i < INDEX_BUCKETS && r == 0; i += 2) {
			unsigned to = (h * INDEX_BUCKETS + i) / 2;

			for (unsigned k = 0; k < TRACE_STATES; k++)
				ret->ns[to][k] = half->ns[i][k] + half->ns[i + 1][k];
			ret->flags[to] = half->flags[i] | half->flags[i + 1];
		}
	}
	free(half);
	return r == 0 ? keep(t, level, number, ret) : r;
}

static int compare_rows(const void *a, const void *b)
{
	const struct index_tile_row *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

int index_tiles_make(struct index_tiler *t, struct index *x)
{
	const struct index_track *track = &x->tracks[0].track;
	uint64_t life = track->end_ns - track->begin_ns, first = t->n;
	struct sums *sums;
	unsigned level = 0;
	int r = 0;

	/* the widest of which it has more buckets than that: of what is wider, there are no more borders in its life */
	while (level < INDEX_TILE_LEVELS - 1 && life >> (level + 1) > INDEX_TILE_LEAVES)
		level++;
	if (x->tracks[0].n <= INDEX_TILE_LEAVES || life >> level <= INDEX_TILE_LEAVES)
		return 0;
	sums = malloc(sizeof(*sums));
	if (sums == NULL)
		return -ENOMEM;
	for (uint64_t number = (track->begin_ns >> level) / INDEX_BUCKETS,
		      last = ((track->end_ns - 1) >> level) / INDEX_BUCKETS;
	     number <= last && r == 0; number++)
		r = make_tile(t, x, level, number, sums);
	free(sums);
	qsort(t->rows + first, t->n - first, sizeof(*t->rows), compare_rows);
	return r;
}
