/*
 * across: locks that were held while their thread was in a system call, or waited for something else.
 *
 * Of a hold the last ACROSS_KEPT calls and waits of its thread are looked at.
 */
#pragma once

#include "viewer/same_file.h"
#include "viewer/select.h"
#include "viewer/story.h"

#define ACROSS_KEPT     256 /* as many as the story keeps of a thread */
#define ACROSS_ROWS_MAX (UINT32_C(1) << 18)

struct across_row {
	uint32_t lock; /* the object that was held */
	bool is_wait;
	uint8_t wait_type;
	uint32_t call, file; /* the number; same_file()'s */
	uint32_t object;     /* that was waited for meanwhile */
	uint64_t n, sum_ns;
	/* the longest */
	uint64_t max_ns, max_begin_ns;
	uint32_t max_stack, max_thread;
};

struct across {
	/* set before the story */
	uint64_t from_ns, to_ns;
	uint64_t min_ns; /* of a call or wait */
	bool with_calls, with_waits;
	const struct tables *tables;
	struct select_threads *threads;
	bool (*wants_object)(void *context, uint32_t object);
	void *context;

	/* after it */
	struct across_row *rows;
	uint32_t rows_n;
	uint64_t left_out; /* beyond ACROSS_ROWS_MAX */
	uint64_t cut;      /* holds with more in them than is kept */

	struct map row_of, thread_of;
	struct same_files files;
	struct across_thread **threads_list;
	uint32_t threads_n;
};

struct story_listener across_listener(struct across *a);
void across_fini(struct across *a);
