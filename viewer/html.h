/*
 * html: the page as one file that asks nobody (page/sheet.h), and the answers to what it asks of a trace.
 *
 *     answers     what is asked of the whole run, word for word as the server says it: tables, edges, columns, the longest waits
 *     pieces      each track's intervals, of which any stretch is added up: tiles, spans, sums, columns
 *
 * All intervals are there when the file's bound allows it, and every number is then the server's. Else those that are shorter than
 * some length are put together with their neighbours, as times of states; the length is doubled until the file is small enough, and the
 * page says it. docs/viewer-api.md has the form.
 */
#pragma once

#include "page/assets.h"
#include "viewer/api.h"
#include "viewer/watch.h"

#define HTML_SIZE (UINT64_C(20) << 20) /* unless somebody says */

struct html_ask {
	struct api *api;            /* its index is there */
	const struct asset *assets; /* the page's files */
	const char *fragment;       /* where it opens: "t=1s+2ms"; "": all of it */
	uint64_t size_max;          /* bytes */
	const struct watch *watch;  /* or NULL */
};

struct html_counts {
	uint64_t pieces, intervals;
	uint64_t short_ns; /* intervals below are put together; 0: none is */
};

/* 0, -EINTR (the watch ended it), -EFBIG (what must be there is more than the bound), or another negative errno, with @why. */
int html_write(const struct html_ask *ask, struct out *out, struct html_counts *ret,
	       struct why *why);
