/*
 * symbolize: names for the addresses of a profile that came without.
 *
 * The rules are pprof's: a mapping that has some names already is left alone; so is what is no file
 * ("[heap]", "//anon", a device, an address on the net). Addresses are taken as they are: whoever
 * wrote the profile has put those of callers into the call.
 *
 * Where some places of a mapping stay without a name it becomes two, one with names and one without,
 * so that others may try the rest.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"
#include "output/profile.h"

struct symbolize {
	/* what to do */
	char *const
		*directories; /* where files are looked for, too: by build id, by path, by name */
	uint32_t directories_n;
	bool is_forced;                 /* also where there are names */
	void (*note)(const char *text); /* why a mapping has no names */

	/* what was done */
	uint32_t wanted_n, named_n;   /* places that had no name, those of them that have one now */
	uint32_t mappings_n, known_n; /* mappings they are in, those of which a file was found */
};

/* Changes @p. Returns 0 or -ENOMEM. */
int symbolize_profile(struct symbolize *s, struct profile *p);
