/*
 * same_file: files in sums. A file that is opened again and again is another instance each time: all that have the same name are one
 * here. And a descriptor's name may change, as a socket's that is connected elsewhere: what it did before was with the one that it
 * had then.
 */
#pragma once

#include "viewer/names.h"

struct same_files {
	struct map of;           /* by name; of those without one, by instance */
	struct table_file *list; /* as they were met first */
	uint32_t n;
};

/* A number for the instance @file as it is called now; 0 for none, or when there is no memory. */
uint32_t same_file(struct same_files *s, const struct tables *t, uint32_t file);
/* Adds what it was called, as name_file() does. */
void same_file_name(const struct same_files *s, const struct tables *t, uint32_t number,
		    struct name *name);
void same_files_fini(struct same_files *s);
