#include "viewer/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE      UINT32_MAX
#define MARKS_MAX 4096                /* of a thread, until its intervals have come */
#define SEEN_MAX  (UINT32_C(1) << 20) /* names on threads */
#define NAMED_MAX 16 /* deeper ones have no name at their end: docs/trace-format.md */

/* A region that is open, or whose intervals are still to come. */
struct region_open {
	struct region region;
	uint64_t inside_ns; /* in regions inside it */
	uint32_t outer;     /* or the next free one */
};

/* A beginning or an end that waits for the interval that it lies in. */
struct region_mark {
	uint64_t ns;
	uint32_t open;
	bool is_end;
};

struct region_lane {
	uint32_t thread, innermost, depth;
	uint32_t over;    /* those that are too deep */
	bool has_said;    /* something of regions; until then a status tells which are open */
	uint32_t to_come; /* regions that a status still has to name */
	uint64_t told_ns;
	uint64_t state_ns[TRACE_STATES]; /* from the beginning to told_ns */
	struct region_mark *marks;
	uint32_t marks_n, marks_room;
};

/* Makes room for one more of @size bytes in a list that doubles. */
static void *room_for_one(void *list, uint32_t n, size_t size)
{
	return (n & (n - 1)) == 0 ? realloc(list, (n != 0 ? 2 * (size_t)n : 1) * size) : list;
}

static struct region_lane *lane_of(struct regions *r, uint32_t thread)
{
	uint32_t i = map_get(&r->lanes_of, thread);
	struct region_lane *lanes;

	if (i != MAP_NONE)
		return &r->lanes[i];
	lanes = room_for_one(r->lanes, r->lanes_n, sizeof(*lanes));
	if (lanes == NULL)
		return NULL;
	r->lanes = lanes;
	if (map_set(&r->lanes_of, thread, r->lanes_n) < 0)
		return NULL;
	lanes[r->lanes_n] = (struct region_lane){.thread = thread, .innermost = NONE};
	return &lanes[r->lanes_n++];
}

static struct region_name *name_of(struct regions *r, uint32_t name)
{
	uint32_t i = map_get(&r->names_of, name);
	bool is_rest = i == MAP_NONE && r->names_n >= REGIONS_NAMES_MAX;
	struct region_name *names;

	if (is_rest && r->rest != 0)
		return &r->names[r->rest - 1];
	if (i != MAP_NONE)
		return &r->names[i];
	names = room_for_one(r->names, r->names_n, sizeof(*names));
	if (names == NULL)
		return NULL;
	r->names = names;
	if (!is_rest && map_set(&r->names_of, name, r->names_n) < 0)
		return NULL;
	names[r->names_n] = (struct region_name){.name = is_rest ? 0 : name, .is_rest = is_rest};
	if (is_rest)
		r->rest = r->names_n + 1;
	return &names[r->names_n++];
}

static uint64_t length(const struct region *region)
{
	return region->end_ns - region->begin_ns;
}

/* Of two that took as long, the one that began first comes first. */
static int by_length(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	if (length(x) != length(y))
		return length(x) > length(y) ? -1 : 1;
	return x->begin_ns != y->begin_ns ? (x->begin_ns < y->begin_ns ? -1 : 1) : 0;
}

/* A heap whose first is the shortest. */
static int keep_slow(struct regions *r, const struct region *region)
{
	struct region *slowest = r->slowest;
	uint32_t i, child;

	if (r->slowest_n < r->slowest_max) {
		slowest = room_for_one(slowest, r->slowest_n, sizeof(*slowest));
		if (slowest == NULL)
			return -ENOMEM;
		r->slowest = slowest;
		for (i = r->slowest_n++; i > 0 && by_length(&slowest[(i - 1) / 2], region) < 0;
		     i = (i - 1) / 2)
			slowest[i] = slowest[(i - 1) / 2];
		slowest[i] = *region;
		return 0;
	}
	if (r->slowest_max == 0 || by_length(region, &slowest[0]) >= 0)
		return 0;
	for (i = 0; (child = 2 * i + 1) < r->slowest_n; i = child) {
		if (child + 1 < r->slowest_n && by_length(&slowest[child], &slowest[child + 1]) < 0)
			child++;
		if (by_length(&slowest[child], region) < 0)
			break;
		slowest[i] = slowest[child];
	}
	slowest[i] = *region;
	return 0;
}

/* Is what happened on a thread between the two wanted? */
static bool is_asked_for(const struct regions *r, uint32_t thread, uint64_t task, uint64_t begin_ns,
			 uint64_t end_ns)
{
	return end_ns >= r->from_ns && begin_ns <= r->to_ns && (r->task == 0 || r->task == task) &&
	       (r->threads == NULL || select_has_thread(r->threads, thread));
}

static int count_region(struct regions *r, const struct region *region)
{
	uint64_t key = (uint64_t)region->thread << 32 | region->name;
	struct region_name *name;

	if (!is_asked_for(r, region->thread, region->task, region->begin_ns, region->end_ns) ||
	    length(region) < r->min_ns ||
	    (r->is_wanted != NULL && !r->is_wanted(r->context, region)))
		return 0;
	name = name_of(r, region->name);
	if (name == NULL)
		return -ENOMEM;
	name->count++;
	name->self_ns += region->self_ns;
	name->disordered += region->is_disordered;
	if (region->has_begin && region->has_end)
		histogram_add(&name->length, length(region));
	else
		name->open += !region->is_disordered;
	if (!region->is_inner) {
		name->total_ns += length(region);
		for (unsigned i = 0; i < TRACE_STATES; i++)
			name->state_ns[i] += region->state_ns[i];
	}
	if (map_get(&r->seen, key) == MAP_NONE && r->seen.used < SEEN_MAX) {
		if (map_set(&r->seen, key, 1) < 0)
			return -ENOMEM;
		name->threads++;
	}
	return keep_slow(r, region);
}

/* Marks */

/* What the thread had done in each state up to the mark, of which @state is the one that it is in from told_ns on. */
static int pass_mark(struct regions *r, struct region_lane *lane, const struct region_mark *mark,
		     unsigned state)
{
	struct region_open *open = &r->opens[mark->open];
	uint64_t *ns = open->region.state_ns, sum = 0;
	bool is_wrong = false;
	int result;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		ns[i] = lane->state_ns[i] +
			(i == state && mark->ns > lane->told_ns ? mark->ns - lane->told_ns : 0) -
			(mark->is_end ? ns[i] : 0);
	if (!mark->is_end)
		return 0;
	/* nobody may have told all of it */
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		is_wrong |= ns[i] > length(&open->region);
		sum += ns[i];
	}
	if (is_wrong || sum > length(&open->region)) {
		memset(ns, 0, sizeof(open->region.state_ns));
		sum = 0;
	}
	ns[TRACE_UNKNOWN] += length(&open->region) - sum;
	result = count_region(r, &open->region);
	open->outer = r->free;
	r->free = mark->open;
	return result;
}

static int pass_marks(struct regions *r, struct region_lane *lane, uint64_t until_ns,
		      unsigned state)
{
	uint32_t n = 0;
	int result = 0;

	while (n < lane->marks_n && lane->marks[n].ns <= until_ns && result == 0)
		result = pass_mark(r, lane, &lane->marks[n++], state);
	lane->marks_n -= n;
	if (n > 0)
		memmove(lane->marks, lane->marks + n, lane->marks_n * sizeof(*lane->marks));
	return result;
}

static int add_mark(struct regions *r, struct region_lane *lane, struct region_mark mark)
{
	struct region_mark *marks;
	int result;

	if (mark.ns <= lane->told_ns && lane->marks_n == 0)
		return pass_mark(r, lane, &mark, TRACE_UNKNOWN);
	if (lane->marks_n == MARKS_MAX) { /* what was not told by now is unknown */
		result = pass_marks(r, lane, UINT64_MAX, TRACE_UNKNOWN);
		if (result < 0)
			return result;
	}
	if (lane->marks_n == lane->marks_room) {
		marks = realloc(lane->marks, (lane->marks_room != 0 ? 2 * lane->marks_room : 8) *
						     sizeof(*marks));
		if (marks == NULL)
			return -ENOMEM;
		lane->marks = marks;
		lane->marks_room = lane->marks_room != 0 ? 2 * lane->marks_room : 8;
	}
	lane->marks[lane->marks_n++] = mark;
	return 0;
}

/* Beginnings and ends */

static uint32_t take_open(struct regions *r)
{
	uint32_t n = r->opens_n != 0 ? 2 * r->opens_n : 64, at;
	struct region_open *opens;

	if (r->opens_n == 0 || r->free == NONE) {
		if (n > REGIONS_OPEN_MAX)
			return NONE;
		opens = realloc(r->opens, n * sizeof(*opens));
		if (opens == NULL)
			return NONE;
		r->opens = opens;
		for (uint32_t i = r->opens_n; i < n; i++)
			opens[i].outer = i + 1 < n ? i + 1 : NONE;
		r->free = r->opens_n;
		r->opens_n = n;
	}
	at = r->free;
	r->free = r->opens[at].outer;
	return at;
}

static int begin_region(struct regions *r, struct region_lane *lane, struct region region)
{
	bool is_too_deep = lane->over > 0 || lane->depth == REGIONS_DEPTH_MAX;
	uint32_t at = is_too_deep ? NONE : take_open(r);

	if (at == NONE) {
		r->too_deep += is_too_deep;
		r->left_out += !is_too_deep;
		lane->over++;
		return 0;
	}
	region.thread = lane->thread;
	region.depth = lane->depth++;
	for (uint32_t i = lane->innermost; i != NONE && !region.is_inner; i = r->opens[i].outer)
		region.is_inner = r->opens[i].region.name == region.name;
	r->opens[at] = (struct region_open){.region = region, .outer = lane->innermost};
	lane->innermost = at;
	return add_mark(r, lane, (struct region_mark){region.begin_ns, at, false});
}

/* Ends the innermost. */
static int end_region(struct regions *r, struct region_lane *lane, uint64_t ns, bool has_end,
		      bool is_disordered)
{
	uint32_t at = lane->innermost;
	struct region_open *open = &r->opens[at];
	uint64_t took;

	open->region.end_ns = ns > open->region.begin_ns ? ns : open->region.begin_ns;
	open->region.has_end = has_end;
	open->region.is_disordered = is_disordered;
	took = length(&open->region);
	open->region.self_ns = took > open->inside_ns ? took - open->inside_ns : 0;
	lane->innermost = open->outer;
	lane->depth--;
	if (lane->innermost != NONE)
		r->opens[lane->innermost].inside_ns += took;
	return add_mark(r, lane, (struct region_mark){open->region.end_ns, at, true});
}

static int on_end(struct regions *r, struct region_lane *lane, const struct merged *m)
{
	uint32_t name = (uint32_t)m->event->arguments[0], at = lane->innermost, inside = 0;
	struct region_name *row;
	int result = 0;

	if (lane->over > 0) {
		lane->over--;
		return 0;
	}
	if (name != 0 || lane->depth <= NAMED_MAX)
		for (; at != NONE && r->opens[at].region.name != name; at = r->opens[at].outer)
			inside++;
	if (at == NONE) {
		if (!is_asked_for(r, lane->thread, r->task, m->event->ns, m->event->ns))
			return 0;
		r->ended++;
		row = name_of(r, name);
		if (row == NULL)
			return -ENOMEM;
		row->ended++;
		return 0;
	}
	while (inside-- > 0 && result == 0)
		result = end_region(r, lane, m->event->ns, false, true);
	return result < 0 ? result : end_region(r, lane, m->event->ns, true, false);
}

/* All but @n of them: their ends are missing. */
static int leave_open(struct regions *r, struct region_lane *lane, uint64_t ns, uint32_t n)
{
	int result = 0;

	lane->over = 0;
	while (lane->depth > n && result == 0)
		result = end_region(r, lane, ns, false, false);
	return result;
}

static int on_status(struct regions *r, struct region_lane *lane, const struct merged *m)
{
	uint64_t regions = m->event->arguments[6];

	lane->to_come = lane->has_said ? 0 : (uint32_t)regions;
	lane->has_said = true;
	return regions < lane->depth && regions < NAMED_MAX
		       ? leave_open(r, lane, m->event->ns, (uint32_t)regions)
		       : 0;
}

static int on_event(void *context, const struct merged *m)
{
	struct regions *r = context;
	const uint64_t *a = m->event->arguments;
	struct region region = {.begin_ns = m->event->ns, .name = (uint32_t)a[0]};
	struct region_lane *lane;

	switch (m->event->type) {
	case TRACE_REGION_BEGIN_EVENT:
	case TRACE_REGION_END_EVENT:
	case TRACE_THREAD_START_EVENT:
	case TRACE_THREAD_STATUS_EVENT:
	case TRACE_STATUS_REGION_EVENT:
	case TRACE_THREAD_EXIT_EVENT:
		break;
	default:
		return 0;
	}
	lane = lane_of(r, m->thread);
	if (lane == NULL)
		return -ENOMEM;
	switch (m->event->type) {
	case TRACE_REGION_BEGIN_EVENT:
		lane->has_said = true;
		region.has_begin = true;
		region.task = a[1];
		region.stack = (uint32_t)a[2];
		return begin_region(r, lane, region);
	case TRACE_REGION_END_EVENT:
		lane->has_said = true;
		return on_end(r, lane, m);
	case TRACE_THREAD_STATUS_EVENT:
		return on_status(r, lane, m);
	case TRACE_STATUS_REGION_EVENT:
		if (lane->to_come == 0)
			return 0;
		lane->to_come--;
		return begin_region(r, lane, region);
	case TRACE_THREAD_EXIT_EVENT:
		return leave_open(r, lane, m->event->ns, 0);
	}
	lane->has_said = true;
	return 0;
}

/* The thread was in @state until then. */
static int tell(struct regions *r, struct region_lane *lane, uint64_t until_ns, unsigned state)
{
	int result;

	if (until_ns <= lane->told_ns)
		return 0;
	result = pass_marks(r, lane, until_ns, state);
	lane->state_ns[state] += until_ns - lane->told_ns;
	lane->told_ns = until_ns;
	return result;
}

static int on_interval(void *context, const struct interval *i)
{
	struct regions *r = context;
	struct region_lane *lane = lane_of(r, i->thread);
	int result;

	if (lane == NULL)
		return -ENOMEM;
	result = tell(r, lane, i->begin_ns, TRACE_UNKNOWN);
	return result < 0 ? result : tell(r, lane, i->end_ns, i->state % TRACE_STATES);
}

static int on_life(void *context, const struct story_life *l)
{
	struct regions *r = context;
	uint32_t i = map_get(&r->lanes_of, l->thread);

	return i != MAP_NONE ? leave_open(r, &r->lanes[i], l->end_ns, 0) : 0;
}

struct story_listener regions_listener(struct regions *r)
{
	return (struct story_listener){
		.context = r,
		.event = on_event,
		.interval = on_interval,
		.life = on_life,
	};
}

int regions_end(struct regions *r, uint64_t end_ns)
{
	int result = 0;

	for (uint32_t i = 0; i < r->lanes_n && result == 0; i++) {
		result = leave_open(r, &r->lanes[i], end_ns, 0);
		if (result == 0)
			result = pass_marks(r, &r->lanes[i], UINT64_MAX, TRACE_UNKNOWN);
	}
	if (r->slowest_n > 0)
		qsort(r->slowest, r->slowest_n, sizeof(*r->slowest), by_length);
	return result;
}

void regions_fini(struct regions *r)
{
	for (uint32_t i = 0; i < r->lanes_n; i++)
		free(r->lanes[i].marks);
	free(r->lanes);
	free(r->opens);
	free(r->names);
	free(r->slowest);
	map_fini(&r->names_of);
	map_fini(&r->lanes_of);
	map_fini(&r->seen);
	memset(r, 0, sizeof(*r));
}
