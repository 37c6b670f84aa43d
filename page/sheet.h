/*
 * sheet: a page of ours as one file that asks nobody: its style, its modules as one script, and what it shows, packed.
 *
 *     index.html        stands as it is, but for the lines that name other files:
 *     <link … href="x.css">     is the style, in place
 *     <script type="module">    is what the page shows, then main.js and all that it imports, at the end of the body
 *
 * What others wrote stands in base64 only: no name can be taken for markup, and the policy lets nothing else run or be fetched.
 */
#pragma once

#include "core/why.h"
#include "output/gzip.h"
#include "output/out.h"
#include "page/assets.h"

struct sheet {
	const struct asset *assets; /* the page's files */
	char nonce[33];             /* what its own style and script are known by */
};

/* 0 or a negative errno. */
int sheet_init(struct sheet *s, const struct asset *files);

/* Writes what the page shows, as sections. 0 or a negative errno, with @why. */
typedef int sheet_data(void *context, struct out *out, struct why *why);

/* The whole page. 0, -EINVAL (the files are not what was expected) or another negative errno, with @why. */
int sheet_write(const struct sheet *s, sheet_data *data, void *context, struct out *out,
		struct why *why);

/*
 * The page's modules, main.js and what it imports, as one classic script: each a function that returns what it exports. Only what the
 * modules need of the language's forms is known. 0, -EINVAL (something else is there, or two import each other) or -ENOMEM, with @why.
 */
int sheet_script(const struct asset *files, struct out *out, struct why *why);

/* Packed bytes, as base64, on their way into the file; or only counted. */
struct sheet_section {
	struct gzip_packer *packer;
	struct out *to; /* NULL: they are counted */
	uint64_t bytes; /* of base64 */
	uint8_t carry[3];
	unsigned carried;
};

/* The element that a section stands in, by its id. */
void sheet_open_section(struct out *out, const char *id);
void sheet_close_section(struct out *out);

int sheet_section_begin(struct sheet_section *s, struct out *to);
int sheet_section_put(void *section, const void *bytes, size_t size);
int sheet_section_end(struct sheet_section *s);
void sheet_section_fini(struct sheet_section *s);
