/* cmd_timeline, the page: served, or written into a file. */
#pragma once

#include "viewer/cmd.h"
#include "viewer/html.h"

/* Options, and what came of them. */
struct page {
	bool open, no_open;
	uint64_t port, idle_ns;
	const char *http, *html, *html_size, *at, *select, *source_root;
	struct html_counts counts;
};

/* Of the trace's clock: the trace, and what is to be seen first. */
struct page_times {
	uint64_t begin_ns, end_ns, from_ns, to_ns;
};

/* @keeps_index: what was made of the trace is looked for and left. Returns an enum status. */
int page_show(struct cmd *c, struct page *page, const struct page_times *times, bool keeps_index);
/* Behind cmd_close(): what was written is said, and shown. */
void page_end(struct cmd *c, struct page *page, int status);
