/*
 * assets: the files of a page, in the program, packed when it is built, by page/embed.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct asset {
	const char *name; /* "index.html"; NULL ends the list */
	const char *type; /* "text/html; charset=utf-8" */
	const uint8_t *bytes;
	size_t size, packed_size; /* of the file, and of the bytes: gzip */
};

/* By the name's ending; NULL: none that is known. */
static inline const char *asset_type(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".json", "application/json"},
	};
	size_t n = strlen(name);

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t m = strlen(types[i].ending);

		if (n > m && strcmp(name + n - m, types[i].ending) == 0)
			return types[i].type;
	}
	return NULL;
}
