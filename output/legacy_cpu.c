#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/legacy.h"

/* How words are written: the machine's own way, which may have been another. */
struct words {
	size_t width;
	bool is_big;
};

static bool take(struct legacy *l, const struct words *w, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(l->end - l->at) < w->width)
		return false;
	for (size_t i = 0; i < w->width; i++)
		value |= (uint64_t)(uint8_t)l->at[i] << 8 * (w->is_big ? w->width - 1 - i : i);
	l->at += w->width;
	*ret = value;
	return true;
}

/* 0, 3, 0, period, 0; third 1 is Java's. Leaves l->at behind it. */
static bool find_header(struct legacy *l, struct words *w, uint64_t header[5])
{
	const char *begin = l->at;
	int i;

	for (w->width = 4; w->width <= 8; w->width += 4) {
		for (w->is_big = false;; w->is_big = true) {
			l->at = begin;
			for (i = 0; i < 5 && take(l, w, &header[i]); i++)
				;
			if (i == 5 && header[0] == 0 && header[1] == 3 && header[2] <= 1 &&
			    header[3] > 0 && header[4] == 0)
				return true;
			if (w->is_big)
				break;
		}
	}
	l->at = begin;
	return false;
}

static int read_samples(struct legacy *l, const struct words *w)
{
	const char *begin = l->at;
	uint64_t count, depth, address = 0;
	int64_t values[2];
	int r = 0;

	while (l->at < l->end && r == 0) {
		size_t offset = (size_t)(l->at - begin) + 5 * w->width;

		if (!take(l, w, &count) || !take(l, w, &depth) ||
		    depth > (size_t)(l->end - l->at) / w->width)
			return legacy_refuse(
				l,
				"at offset %zu: a stack is longer than what is left of the "
				"CPU profile: it was cut off, or the program did not "
				"finish it; take it again",
				offset);
		for (uint64_t i = 0; i < depth && r == 0; i++) {
			take(l, w, &address);
			/* of callers the call, not what is behind it */
			r = legacy_push(l, i > 0 ? address - 1 : address);
		}
		if (r == 0 && count == 0 && depth == 1 &&
		    l->p->locations[l->stack[0]].address == 0) {
			l->stack_n = 0;
			return 0;
		}
		if (r == 0 && (count > INT64_MAX ||
			       __builtin_mul_overflow((int64_t)count, l->p->period, &values[1])))
			return legacy_refuse(
				l,
				"at offset %zu: a stack was seen %llu times, more than "
				"there can be: the file is damaged; take it again",
				offset, (unsigned long long)count);
		values[0] = (int64_t)count;
		if (r == 0)
			r = legacy_add_sample(l, values, NULL);
	}
	return r; /* a missing end is none of our business */
}

static uint64_t second_of(const struct profile *p, const struct profile_sample *s)
{
	return p->locations[s->locations[1]].address;
}

static void drop_second(struct profile_sample *s)
{
	s->locations_n--;
	memmove(&s->locations[1], &s->locations[2], (s->locations_n - 1) * sizeof(*s->locations));
}

/*
 * A second frame that nearly all samples have is the signal's, which the profiler has walked through. By majority: what is in
 * 31 of 32 stacks is left over when others cancel it out one by one.
 */
static void drop_signal_frame(struct profile *p)
{
	uint64_t address = 0;
	uint32_t i, count = 0, found_n = 0;

	for (i = 0; i < p->samples_n; i++) {
		if (p->samples[i].locations_n < 2)
			continue;
		if (count == 0)
			address = second_of(p, &p->samples[i]);
		count += second_of(p, &p->samples[i]) == address ? 1 : -1;
	}
	for (i = 0; i < p->samples_n; i++)
		found_n += p->samples[i].locations_n > 1 && second_of(p, &p->samples[i]) == address;
	if (found_n == 0 || found_n < p->samples_n - p->samples_n / 32)
		return;
	for (i = 0; i < p->samples_n; i++)
		if (p->samples[i].locations_n > 1 && second_of(p, &p->samples[i]) == address)
			drop_second(&p->samples[i]);
}

int legacy_read_cpu(struct legacy *l)
{
	struct profile *p = l->p;
	uint64_t header[5];
	struct words w;
	int r;

	if (!find_header(l, &w, header))
		return -ENOENT;
	if (header[2] == 1)
		return legacy_refuse(l, "this is a CPU profile of Java in the old binary format; "
					"'pprof -proto FILE > NEW.pb.gz' converts it");
	if (header[3] > INT64_MAX / 1000)
		return legacy_refuse(l,
				     "a period of %llu microseconds cannot be: the file is "
				     "damaged; take it again",
				     (unsigned long long)header[3]);
	profile_add_sample_type(p, "samples", "count");
	profile_add_sample_type(p, "cpu", "nanoseconds");
	p->period_type.type = profile_string(p, "cpu");
	p->period_type.unit = profile_string(p, "nanoseconds");
	p->period = (int64_t)header[3] * 1000;
	r = read_samples(l, &w);
	if (r < 0)
		return r;
	drop_signal_frame(p);
	drop_signal_frame(p);
	r = legacy_read_maps(l);
	/* the leaf again, from the stack */
	for (uint32_t i = 0; i < p->samples_n && r == 0; i++) {
		struct profile_sample *s = &p->samples[i];

		if (s->locations_n > 1 &&
		    p->locations[s->locations[0]].address == second_of(p, s) + 1)
			drop_second(s);
	}
	return r;
}
