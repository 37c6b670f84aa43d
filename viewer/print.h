/*
 * print: one event as a line of text, an object of JSON, or a row of CSV. The text's form is stable:
 *
 *     1.204118233  worker-3/4711  2  lock.wait.begin  obj=g_cache.lock mode=excl holder=worker-1  ; cache_get cache.c:41
 */
#pragma once

#include "viewer/merge.h"
#include "viewer/names.h"

enum print_format { PRINT_TEXT, PRINT_JSON, PRINT_CSV };

struct print {
	struct out *out;
	const struct tables *tables;
	enum print_format format;
	bool is_raw;      /* numbers as they are in the file */
	bool with_stacks; /* whole stacks, not their top */
	uint64_t begun_ns;
	uint64_t n; /* events so far */
	struct name name;
};

void print_begin(struct print *p);
void print_event(struct print *p, const struct merged *m);
void print_end(struct print *p);
