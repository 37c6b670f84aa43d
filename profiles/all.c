/*
 * The list of profiles. A plain list can be searched, and its order is known.
 */
#include "core/profile.h"
#include "profiles/cpu/cpu.h"

const struct profile_ops *const all_profiles[] = {
	&cpu_profile,
	NULL,
};
