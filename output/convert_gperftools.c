/*
 * The text that gperftools writes of memory and of waiting, which its pprof, Go's and many other tools read:
 *
 *     heap profile: 3: 4096 [7: 9216] @ heapprofile        --- contention:
 *       1: 1024 [2: 2048] @ 0x401136 0x401170              cycles/second = 1000000000
 *                                                          sampling period = 1
 *     MAPPED_LIBRARIES:                                    1500 3 @ 0x401136 0x401170
 *     00401000-00402000 r-xp 00001000 00:00 0 /bin/demo    --- Memory map: --- (and the same)
 *
 * It has addresses and no names: who reads it looks for these in the files. Values are whole, not sampled ones. An address is where a
 * call returns to, which is one behind what the profile has.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "output/convert.h"

enum { NONE = -1 };

static int find_column(const struct profile *p, const char *type)
{
	for (uint32_t i = 0; i < p->sample_types_n; i++)
		if (strcmp(p->sample_types[i].type, type) == 0)
			return (int)i;
	return NONE;
}

static int64_t value_of(const struct convert *c, const struct profile_sample *s, int column)
{
	return column == NONE ? 0 : convert_value(c->r, (uint32_t)column, s->values[column]);
}

/* What stands for frames that are not known has no address, and is left out. */
static int put_stack(struct convert *c, const struct profile_sample *s)
{
	const struct profile *p = &c->r->profile;
	uint32_t n = 0;

	out_text(c->out, "@");
	for (uint32_t i = 0; i < s->locations_n; i++) {
		uint64_t address = p->locations[s->locations[i]].address;

		if (address == 0)
			continue;
		out_format(c->out, " 0x%" PRIx64, address + 1);
		n++;
	}
	out_char(c->out, '\n');
	if (n > 0 || s->locations_n == 0)
		return c->out->error;
	why_set(c->why,
		"the profile has stacks without any address, and gperftools' text has nothing "
		"else");
	return -EINVAL;
}

/* ---- memory ---- */

struct counts {
	int used_n, used, allocated_n, allocated; /* columns */
};

static void put_counts(struct out *out, int64_t used_n, int64_t used, int64_t allocated_n,
		       int64_t allocated)
{
	out_format(out, "%" PRId64 ": %" PRId64 " [%" PRId64 ": %" PRId64 "] ", used_n, used,
		   allocated_n, allocated);
}

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int put_heap(struct convert *c, const struct counts *of)
{
	const struct profile *p = &c->r->profile;
	int64_t all[4] = {0};
	int r = 0;

	for (uint32_t i = 0; i < p->samples_n; i++) {
		const struct profile_sample *s = &p->samples[i];

		all[0] = add(all[0], value_of(c, s, of->used_n));
		all[1] = add(all[1], value_of(c, s, of->used));
		all[2] = add(all[2], value_of(c, s, of->allocated_n));
		all[3] = add(all[3], value_of(c, s, of->allocated));
	}
	out_text(c->out, "heap profile: ");
	put_counts(c->out, all[0], all[1], all[2], all[3]);
	out_text(c->out, "@ heapprofile\n");
	for (uint32_t i = 0; i < p->samples_n && r == 0; i++) {
		const struct profile_sample *s = &p->samples[i];

		put_counts(c->out, value_of(c, s, of->used_n), value_of(c, s, of->used),
			   value_of(c, s, of->allocated_n), value_of(c, s, of->allocated));
		r = put_stack(c, s);
	}
	return r;
}

/* ---- waiting ---- */

static int put_contention(struct convert *c, int count, int delay)
{
	const struct profile *p = &c->r->profile;
	int r = 0;

	out_text(c->out, "--- contention:\ncycles/second = 1000000000\nsampling period = 1\n");
	if (p->duration_ns > 0)
		out_format(c->out, "ms since reset = %" PRId64 "\n", p->duration_ns / 1000000);
	for (uint32_t i = 0; i < p->samples_n && r == 0; i++) {
		const struct profile_sample *s = &p->samples[i];
		int64_t times = value_of(c, s, count), ns = value_of(c, s, delay);

		if (times < 0 || ns < 0) {
			c->left_out_n++;
			continue;
		}
		out_format(c->out, "%" PRId64 " %" PRId64 " ", ns, times);
		r = put_stack(c, s);
	}
	return r;
}

/* ---- both ---- */

/* A line has one name, and a blank ends nothing. */
static void put_maps(struct convert *c, const char *title)
{
	const struct profile *p = &c->r->profile;

	out_text(c->out, title);
	for (uint32_t i = 0; i < p->mappings_n; i++) {
		const struct profile_mapping *m = &p->mappings[i];

		if (m->limit <= m->start)
			continue;
		out_format(c->out, "%08" PRIx64 "-%08" PRIx64 " r-xp %08" PRIx64 " 00:00 0 ",
			   m->start, m->limit, m->offset);
		for (const char *at = m->file; *at != '\0'; at++)
			out_char(c->out, *at == '\n' || *at == '\r' ? ' ' : *at);
		out_char(c->out, '\n');
	}
}

static int write(struct convert *c)
{
	const struct profile *p = &c->r->profile;
	struct counts of = {find_column(p, "inuse_objects"), find_column(p, "inuse_space"),
			    find_column(p, "alloc_objects"), find_column(p, "alloc_space")};
	int count = find_column(p, "contentions"), delay = find_column(p, "delay"), r;

	if (of.used == NONE) {
		of.used_n = find_column(p, "objects");
		of.used = find_column(p, "space");
	}
	if (of.used_n != NONE && of.used != NONE) {
		/* with nothing else known, what is in use was allocated */
		if (of.allocated_n == NONE || of.allocated == NONE) {
			of.allocated_n = of.used_n;
			of.allocated = of.used;
		}
		r = put_heap(c, &of);
		if (r == 0)
			put_maps(c, "\nMAPPED_LIBRARIES:\n");
	} else if (count != NONE && delay != NONE) {
		r = put_contention(c, count, delay);
		if (r == 0)
			put_maps(c, "--- Memory map: ---\n");
	} else {
		why_set(c->why,
			"gperftools has text for profiles of memory and of waiting only, and "
			"this is one of %.60s",
			p->sample_types[c->r->column].type);
		return -EINVAL;
	}
	return r;
}

const struct convert_form convert_gperftools = {
	.name = "gperftools",
	.about = "text of memory and waiting: gperftools' pprof, and what reads its files",
	.granularity = BY_ADDRESS,
	.write = write,
};
