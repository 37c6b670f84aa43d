#include "output/idle.h"

#include <string.h>

bool idle_concerns(const struct profile *p)
{
	for (uint32_t i = 0; i < p->sample_types_n; i++)
		if (strcmp(p->sample_types[i].type, "contentions") == 0)
			return true;
	return false;
}

bool idle_is(const struct profile_sample *sample)
{
	for (uint32_t i = 0; i < sample->labels_n; i++)
		if (sample->labels[i].str != NULL && strcmp(sample->labels[i].key, "idle") == 0)
			return strcmp(sample->labels[i].str, "yes") == 0;
	return false;
}

void idle_take_out(struct profile *p, int64_t **ret_sums)
{
	int64_t *sums = NULL;
	uint32_t kept = 0;

	*ret_sums = NULL;
	for (uint32_t i = 0; i < p->samples_n; i++) {
		const struct profile_sample *sample = &p->samples[i];

		if (!idle_is(sample)) {
			p->samples[kept++] = *sample;
			continue;
		}
		if (sums == NULL)
			sums = profile_alloc(p, p->sample_types_n * sizeof(*sums));
		if (sums == NULL)
			return;
		for (uint32_t c = 0; c < p->sample_types_n; c++)
			sums[c] = (int64_t)((uint64_t)sums[c] + (uint64_t)sample->values[c]);
	}
	p->samples_n = kept;
	*ret_sums = sums;
}
