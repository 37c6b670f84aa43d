#include "tracer/drain_private.h"

#define LOOKS   5    /* at both clocks: the one that was interrupted least is taken */
#define FITS_NS 25.0 /* what a look is off by */

/* Both clocks at one moment. */
static uint64_t look(const struct drain_clock *c, double *ret_ns)
{
	uint64_t best = UINT64_MAX, count = 0;

	if (!c->is_counter) {
		uint64_t ns = clock_monotonic();

		*ret_ns = (double)(int64_t)(ns - c->base_ns);
		return ns - c->base;
	}
	for (int i = 0; i < LOOKS; i++) {
		uint64_t before = arch_counter(), ns = clock_monotonic(), after = arch_counter();

		if (after - before < best) {
			best = after - before;
			count = before + best / 2 - c->base;
			*ret_ns = (double)(int64_t)(ns - c->base_ns);
		}
	}
	return count;
}

static double ns_of(const struct clock_knot *k, uint64_t count)
{
	return k->ns + (double)(int64_t)(count - k->count) * k->rate;
}

void drain_clock_start(struct drain_clock *c, const struct segment_header *h)
{
	double ns = 0;
	uint64_t count;

	*c = (struct drain_clock){
		.base = h->trace_base,
		.shift = h->trace_shift & 31,
		.base_ns = h->trace_base_ns,
		.is_counter = h->trace_is_counter != 0,
		.knots = {{0, 0, 1.0}},
		.knots_n = 1,
	};
	if (!c->is_counter) {
		c->base_ns = c->base;
		return;
	}
	count = look(c, &ns);
	c->looked = count;
	if (count != 0 && ns > 0)
		c->knots[0].rate = ns / (double)count;
}

uint64_t drain_clock_look(struct drain_clock *c)
{
	struct clock_knot *last = &c->knots[c->knots_n - 1];
	double ns = 0, off, before;
	uint64_t count = look(c, &ns);

	if (!c->is_counter)
		return count >> c->shift;
	off = ns - ns_of(last, count);
	if ((off > FITS_NS || off < -FITS_NS) && (int64_t)(count - c->looked) > 0) {
		/* from where the old line was at the last look, so that no time is passed twice */
		before = ns_of(last, c->looked);
		if (c->knots_n == CLOCK_KNOTS) {
			memmove(c->knots, c->knots + 1, (CLOCK_KNOTS - 1) * sizeof(c->knots[0]));
			c->knots_n--;
		}
		last = &c->knots[c->knots_n++];
		*last = (struct clock_knot){c->looked, before, 0};
		if (ns > before)
			last->rate = (ns - before) / (double)(count - c->looked);
	}
	c->looked = count;
	return count >> c->shift;
}

uint64_t drain_clock_ns(const struct drain_clock *c, uint64_t ticks)
{
	uint64_t count = ticks << c->shift;
	unsigned i = c->knots_n - 1;
	double ns;

	while (i > 0 && (int64_t)(count - c->knots[i].count) < 0)
		i--;
	ns = ns_of(&c->knots[i], count);
	return c->base_ns + (ns > 0 && ns < 9e18 ? (uint64_t)ns : 0);
}

uint32_t drain_clock_tick_fs(const struct drain_clock *c)
{
	double fs = c->knots[c->knots_n - 1].rate * (double)(UINT64_C(1) << c->shift) * 1e6;

	return fs > 0 && fs < 4e9 ? (uint32_t)(fs + 0.5) : 0;
}
