/*
 * A profile without a sample, for one that never ran: those who poll expect one, with its types. And stacks on a line each.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/clock.h"
#include "core/option.h"
#include "endpoint/private.h"
#include "output/listing.h"
#include "output/pprof.h"

static int64_t standard_period(const struct profile_ops *ops)
{
	struct option_set options;

	option_defaults(&options);
	return ops->run == RUN_CPU    ? (int64_t)(NS_PER_SECOND / options.cpu_hz)
	       : ops->run == RUN_WALL ? (int64_t)(NS_PER_SECOND / options.wall_hz)
	       : ops->is_by_size      ? (int64_t)options.heap_bytes
				      : 1;
}

static void fill(const struct segment *s, const struct profile_ops *ops, struct profile *ret)
{
	char text[160];

	for (const struct value_type *v = ops->values; v->type != NULL; v++)
		profile_add_sample_type(ret, v->type, v->unit);
	ret->period_type = (struct profile_value_type){profile_string(ret, ops->period.type),
						       profile_string(ret, ops->period.unit)};
	ret->period = standard_period(ops);
	ret->time_ns = (int64_t)clock_realtime();
	if (ops->shown != NULL)
		ret->default_sample_type = profile_string(ret, ops->shown);
	snprintf(text, sizeof(text), "%s is not switched on: cprof ctl %d start %s", ops->name,
		 (int)s->header->pid, ops->run == RUN_HEAP ? "heap" : ops->name);
	profile_add_comment(ret, "cprof " CPROF_VERSION);
	profile_add_comment(ret, text);
}

int endpoint_write_empty(const struct segment *s, const struct profile_ops *ops, uint64_t window_ns,
			 int debug, int fd)
{
	struct profile profile;
	int r = profile_init(&profile);

	if (r == 0)
		fill(s, ops, &profile);
	profile.duration_ns = (int64_t)window_ns;
	if (r == 0)
		r = profile_error(&profile);
	if (r == 0 && debug == 0)
		r = pprof_write(&profile, fd);
	else if (r == 0 && ops->is_by_size)
		r = listing_heap(&profile, 0, fd);
	else if (r == 0 && (ops->run == RUN_BLOCK || ops->run == RUN_MUTEX))
		r = listing_contention(&profile, ops->run == RUN_MUTEX, 1, debug > 1, fd);
	else if (r == 0 && !(ops->is_instant && debug > 1))
		r = listing_stacks(&profile, ops->name, fd);
	profile_fini(&profile);
	return r;
}

/* A frame's name; what parts frames and what ends a line is not in it. */
static void put_frame(FILE *to, const char *name)
{
	for (; *name != '\0'; name++)
		fputc(*name == ';' || (unsigned char)*name <= ' ' ? '_' : *name, to);
}

int endpoint_write_folded(const struct profile *p, FILE *to)
{
	for (uint32_t i = 0; i < p->samples_n; i++) {
		const struct profile_sample *sample = &p->samples[i];
		bool is_first = true;

		for (uint32_t l = sample->locations_n; l-- > 0;) {
			const struct profile_location *at = &p->locations[sample->locations[l]];

			if (at->lines_n == 0) {
				fprintf(to, "%s0x%" PRIx64, is_first ? "" : ";", at->address);
				is_first = false;
			}
			for (uint32_t n = at->lines_n; n-- > 0;) {
				if (!is_first)
					fputc(';', to);
				put_frame(to, p->functions[at->lines[n].function].name);
				is_first = false;
			}
		}
		fprintf(to, " %" PRId64 "\n", sample->values[0]);
	}
	return ferror(to) ? -EIO : 0;
}
