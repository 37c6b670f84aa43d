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
