/*
 * sheet: a page of ours as one file: its style, its modules as one script, and, where there is no server to ask, what it shows, packed.
 *
 *     index.html        stands as it is, but for the lines that name other files:
 *     <link … href="x.css">     is the style, in place
 *     <script type="module">    is what the page shows, then main.js and all that it imports, at the end of the body
 *
 * What others wrote stands in base64, or in JSON without a "<": no name can be taken for markup, and the policy lets nothing else run
 * or be fetched.
 * A server sends the same: what would be forty requests, each for what the last one named, is one.
 */
#pragma once

#include "core/why.h"
#include "output/gzip.h"
#include "output/out.h"
#include "page/assets.h"

struct sheet {
	const struct asset *assets; /* the page's files */
	char nonce[33];             /* what its own style and script are known by */
	bool is_served;             /* it is asked of a server, whose policy it has */
};

/* 0 or a negative errno. */
int sheet_init(struct sheet *s, const struct asset *files);

/* Writes what the page shows, as sections; NULL: it asks. 0 or a negative errno, with @why. */
typedef int sheet_data(void *context, struct out *out, struct why *why);

/* The whole page. 0, -EINVAL (the files are not what was expected) or another negative errno, with @why. */
int sheet_write(const struct sheet *s, sheet_data *data, void *context, struct out *out,
		struct why *why);

/* The same, from malloc, NULL: @why. */
char *sheet_text(const struct sheet *s, sheet_data *data, void *context, size_t *ret_size,
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

/* What a page would ask first, it finds in itself: what it would ask, and the answer, which is JSON; one by one. */
void sheet_open_given(struct out *out);
void sheet_give(struct out *out, bool is_first, const char *question, const char *json,
		size_t size);
void sheet_close_given(struct out *out);

/* The element that a section stands in, by its id. */
void sheet_open_section(struct out *out, const char *id);
void sheet_close_section(struct out *out);

int sheet_section_begin(struct sheet_section *s, struct out *to);
int sheet_section_put(void *section, const void *bytes, size_t size);
int sheet_section_end(struct sheet_section *s);
void sheet_section_fini(struct sheet_section *s);
