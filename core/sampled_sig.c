#include "core/sampled.h"

void (*sampled_cpu)(struct segment *s, struct thread *t, const uint64_t *frames, uint32_t depth,
		    uint64_t ns);
