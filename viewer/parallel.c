#include "viewer/parallel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

static int add_ns(struct parallel_stretch *s, uint32_t running, uint64_t ns)
{
	uint32_t room = s->room != 0 ? s->room : 4;
	uint64_t *grown;

	while (room <= running)
		room *= 2;
	if (room > s->room) {
		grown = realloc(s->ns, room * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		memset(grown + s->room, 0, (room - s->room) * sizeof(*grown));
		s->ns = grown;
		s->room = room;
	}
	s->ns[running] += ns;
	return 0;
}

static uint64_t end_of(const struct parallel *p, uint32_t i)
{
	return i + 1 < p->n ? p->stretches[i + 1].begin_ns : p->swept_ns;
}

/* Of all that is in @from, as much as @part is of @whole goes to @to; what rounding leaves begins with the largest. */
static int share(struct parallel_stretch *from, struct parallel_stretch *to, uint64_t part,
		 uint64_t whole)
{
	uint64_t done = 0, moved;
	uint32_t largest = 0;

	for (uint32_t i = 0; i < from->room; i++) {
		moved = (uint64_t)((wide)from->ns[i] * part / whole);
		from->ns[i] -= moved;
		done += moved;
		if (moved > 0 && add_ns(to, i, moved) < 0)
			return -ENOMEM;
		if (from->ns[i] > from->ns[largest])
			largest = i;
	}
	/* less than a nanosecond for each of them */
	for (uint32_t i = largest, tried = 0; done < part && tried < from->room;
	     i = (i + 1) % from->room, tried++) {
		moved = from->ns[i] < part - done ? from->ns[i] : part - done;
		from->ns[i] -= moved;
		done += moved;
		if (moved > 0 && add_ns(to, i, moved) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Of @s, which ends at @end_ns, it is counted how many ran for how long. */
static int mix(struct parallel_stretch *s, uint64_t end_ns)
{
	uint32_t running = s->running;

	s->running = 0;
	return s->ns != NULL ? 0 : add_ns(s, running, end_ns - s->begin_ns);
}

/* What was in @s, which comes behind @before and ends at @end_ns, is in that one. */
static int add_all(struct parallel_stretch *before, struct parallel_stretch *s, uint64_t end_ns)
{
	if (mix(before, s->begin_ns) < 0)
		return -ENOMEM;
	if (s->ns == NULL)
		return add_ns(before, s->running, end_ns - s->begin_ns);
	for (uint32_t k = 0; k < s->room; k++)
		if (s->ns[k] > 0 && add_ns(before, k, s->ns[k]) < 0)
			return -ENOMEM;
	free(s->ns);
	return 0;
}

/* In both of them as many run all the time. */
static bool are_alike(const struct parallel_stretch *a, const struct parallel_stretch *b)
{
	return a->ns == NULL && b->ns == NULL && a->running == b->running;
}

/*
 * Those that begin before @settled_ns, those that are like the one before, and every second one of the first @half, become one
 * with that before them; where some thread's telling is at, one begins.
 */
static int join(struct parallel *p, uint64_t settled_ns, uint32_t half)
{
	bool was_joined = false;
	uint32_t kept = 1;

	for (uint32_t i = 1; i < p->n; i++) {
		struct parallel_stretch *before = &p->stretches[kept - 1], *s = &p->stretches[i];
		uint64_t end_ns = end_of(p, i);

		if (!s->is_told && are_alike(before, s))
			continue;
		was_joined = !s->is_told && (s->begin_ns < settled_ns || (i < half && !was_joined));
		if (!was_joined)
			p->stretches[kept++] = *s;
		else if (add_all(before, s, end_ns) < 0)
			return -ENOMEM;
	}
	p->n = kept;
	return 0;
}

/* No more of them than there may be. */
static int tidy(struct parallel *p, uint64_t settled_ns)
{
	uint32_t most = PARALLEL_STRETCHES + 2 * p->threads_n, before = UINT32_MAX;
	int r;

	if (p->n < most)
		return 0;
	r = join(p, settled_ns, 0);
	while (r == 0 && p->n > most / 4 * 3 && p->n < before) {
		before = p->n;
		r = join(p, 0, p->n / 2);
	}
	return r;
}

/* ---- the sweep ---- */

/* @more ran besides, all of it. */
static int shift(struct parallel_stretch *s, uint32_t more)
{
	uint32_t top = s->room;

	if (s->ns == NULL) {
		s->running = more < PARALLEL_MAX - s->running ? s->running + more : PARALLEL_MAX;
		return 0;
	}
	while (top > 0 && s->ns[top - 1] == 0)
		top--;
	if (top == 0 || more == 0)
		return 0;
	more = more < PARALLEL_MAX ? more : PARALLEL_MAX;
	if (add_ns(s, top - 1 + more < PARALLEL_MAX ? top - 1 + more : PARALLEL_MAX, 0) < 0)
		return -ENOMEM;
	while (top-- > 0) {
		uint64_t ns = s->ns[top];

		s->ns[top] = 0;
		s->ns[top + more < PARALLEL_MAX ? top + more : PARALLEL_MAX] += ns;
	}
	return 0;
}

#define DIGIT 11 /* bits: the counters stay in the nearest cache */

/* By ns, with room for as many in @spare. Returns that of the two which they are in then. */
static struct parallel_edge *sort(struct parallel_edge *edges, struct parallel_edge *spare,
				  uint32_t n)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (uint32_t i = 0; i < n; i++) {
		least = edges[i].ns < least ? edges[i].ns : least;
		most = edges[i].ns > most ? edges[i].ns : most;
	}
	for (unsigned bit = 0; bit < 64 && (most - least) >> bit != 0; bit += DIGIT) {
		uint32_t places[1 << DIGIT] = {0}, place = 0;
		struct parallel_edge *sorted = spare;

		for (uint32_t i = 0; i < n; i++)
			places[(edges[i].ns - least) >> bit & ((1 << DIGIT) - 1)]++;
		for (uint32_t i = 0; i < 1 << DIGIT; i++) {
			uint32_t here = places[i];

			places[i] = place;
			place += here;
		}
		for (uint32_t i = 0; i < n; i++)
			sorted[places[(edges[i].ns - least) >> bit & ((1 << DIGIT) - 1)]++] =
				edges[i];
		spare = edges;
		edges = sorted;
	}
	return edges;
}

/* One for each moment; those at which nothing changes go. Returns how many are left. */
static uint32_t sum_up(struct parallel_edge *edges, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n;) {
		struct parallel_edge e = edges[i++];

		for (; i < n && edges[i].ns == e.ns; i++) {
			e.more += edges[i].more;
			e.is_told = e.is_told || edges[i].is_told;
		}
		if (e.more != 0 || e.is_told)
			edges[kept++] = e;
	}
	return kept;
}

/* What is from @at to @end, within the stretch @from or, NULL, where nobody ran, is @ret. */
static int part(const struct parallel *p, struct parallel_stretch *from, uint64_t at, uint64_t end,
		struct parallel_stretch *ret)
{
	uint64_t whole_end;

	if (from == NULL)
		return 0;
	ret->running = from->running;
	if (from->ns == NULL)
		return 0;
	whole_end = end_of(p, (uint32_t)(from - p->stretches));
	if (end < whole_end)
		return share(from, ret, end - at, whole_end - at);
	ret->ns = from->ns;
	ret->room = from->room;
	from->ns = NULL;
	return 0;
}

/* The stretches, with what the @n edges say, are @made; returns how many, or -ENOMEM. */
static int64_t sweep(struct parallel *p, const struct parallel_edge *edges, uint32_t n,
		     struct parallel_stretch *made)
{
	uint32_t old = 0, next = 0, made_n = 0, more = 0;
	uint64_t at = p->begin_ns;

	while (at < p->now_ns) {
		struct parallel_stretch s = {.begin_ns = at}, *from = NULL;
		uint64_t end = p->now_ns;

		for (; next < n && edges[next].ns <= at; next++) {
			more += (uint32_t)edges[next].more;
			s.is_told = s.is_told || edges[next].is_told;
		}
		while (old < p->n && end_of(p, old) <= at)
			old++;
		if (old < p->n && p->stretches[old].begin_ns > at) {
			end = p->stretches[old].begin_ns;
		} else if (old < p->n) {
			from = &p->stretches[old];
			end = end_of(p, old);
		}
		if (next < n && edges[next].ns < end)
			end = edges[next].ns;
		if (part(p, from, at, end, &s) < 0 || shift(&s, more) < 0) {
			free(s.ns);
			while (made_n > 0)
				free(made[--made_n].ns);
			return -ENOMEM;
		}
		if (made_n == 0 || s.is_told || !are_alike(&made[made_n - 1], &s))
			made[made_n++] = s;
		at = end;
	}
	return made_n;
}

static int take_edges(struct parallel *p)
{
	uint32_t n = p->edges_n, room = n + p->threads_n + 1;
	struct parallel_edge *edges = malloc(2 * (size_t)room * sizeof(*edges)), *sorted;
	struct parallel_stretch *made = malloc(((size_t)p->n + room + 2) * sizeof(*made));
	uint64_t settled_ns = p->now_ns;
	int64_t made_n = -ENOMEM;

	if (edges != NULL && made != NULL) {
		if (n > 0)
			memcpy(edges, p->edges, n * sizeof(*edges));
		for (uint32_t i = 0; i < p->threads_n; i++) {
			if (p->told_ns[i] == UINT64_MAX)
				continue;
			edges[n++] = (struct parallel_edge){.ns = p->told_ns[i], .is_told = true};
			settled_ns = p->told_ns[i] < settled_ns ? p->told_ns[i] : settled_ns;
		}
		sorted = sort(edges, edges + room, n);
		made_n = sweep(p, sorted, sum_up(sorted, n), made);
	}
	free(edges);
	if (made_n < 0) {
		free(made);
		return -ENOMEM;
	}
	free(p->stretches);
	p->stretches = made;
	p->n = (uint32_t)made_n;
	p->swept_ns = p->now_ns;
	p->edges_n = 0;
	return tidy(p, settled_ns);
}

/* ---- what is told ---- */

static uint64_t *told_of(struct parallel *p, uint32_t thread, uint64_t begin_ns, bool *ret_is_new)
{
	uint32_t i = map_get(&p->thread_of, thread),
		 room = p->threads_room ? 2 * p->threads_room : 16;
	uint64_t *grown;

	*ret_is_new = i == MAP_NONE || p->told_ns[i] == UINT64_MAX;
	if (i != MAP_NONE) {
		if (*ret_is_new)
			p->told_ns[i] = begin_ns;
		return &p->told_ns[i];
	}
	if (p->threads_n == p->threads_room) {
		grown = realloc(p->told_ns, room * sizeof(*grown));
		if (grown == NULL)
			return NULL;
		p->told_ns = grown;
		p->threads_room = room;
	}
	if (map_set(&p->thread_of, thread, p->threads_n) < 0)
		return NULL;
	p->told_ns[p->threads_n] = begin_ns;
	return &p->told_ns[p->threads_n++];
}

static void note_time(struct parallel *p, uint64_t begin_ns, uint64_t end_ns)
{
	if (!p->has_begun || begin_ns < p->begin_ns)
		p->begin_ns = begin_ns;
	if (!p->has_begun || end_ns > p->now_ns)
		p->now_ns = end_ns;
	p->has_begun = true;
	if (end_ns > begin_ns && (!p->has_first || begin_ns < p->first_ns)) {
		p->first_ns = begin_ns;
		p->has_first = true;
	}
}

int parallel_add(struct parallel *p, uint32_t thread, uint64_t begin_ns, uint64_t end_ns,
		 bool is_running)
{
	bool is_new;
	uint64_t *told_ns = told_of(p, thread, begin_ns, &is_new);

	if (told_ns == NULL)
		return -ENOMEM;
	if (!is_new && begin_ns < *told_ns)
		begin_ns = *told_ns; /* nothing twice, whatever the trace says */
	if (end_ns <= begin_ns && !is_new)
		return 0;
	if (end_ns < begin_ns)
		end_ns = begin_ns;
	note_time(p, begin_ns, end_ns);
	*told_ns = end_ns;
	if (!is_running || end_ns == begin_ns)
		return 0;
	if (p->edges == NULL)
		p->edges = malloc(PARALLEL_EDGES * sizeof(*p->edges));
	if (p->edges == NULL)
		return -ENOMEM;
	p->edges[p->edges_n++] = (struct parallel_edge){.ns = begin_ns, .more = 1};
	p->edges[p->edges_n++] = (struct parallel_edge){.ns = end_ns, .more = -1};
	return p->edges_n == PARALLEL_EDGES ? take_edges(p) : 0;
}

void parallel_end(struct parallel *p, uint32_t thread)
{
	uint32_t i = map_get(&p->thread_of, thread);

	if (i != MAP_NONE)
		p->told_ns[i] = UINT64_MAX;
}

int parallel_sum(struct parallel *p, uint64_t *ret_ns)
{
	memset(ret_ns, 0, (PARALLEL_MAX + 1) * sizeof(*ret_ns));
	if (!p->has_first)
		return 0;
	if (take_edges(p) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n; i++) {
		const struct parallel_stretch *s = &p->stretches[i];

		if (s->ns == NULL)
			ret_ns[s->running] += end_of(p, i) - s->begin_ns;
		for (uint32_t k = 0; s->ns != NULL && k < s->room; k++)
			ret_ns[k < PARALLEL_MAX ? k : PARALLEL_MAX] += s->ns[k];
	}
	/* in front of it there are only moments */
	ret_ns[0] -= p->first_ns - p->begin_ns;
	return 0;
}

void parallel_fini(struct parallel *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		free(p->stretches[i].ns);
	free(p->stretches);
	free(p->edges);
	free(p->told_ns);
	map_fini(&p->thread_of);
	*p = (struct parallel){0};
}
