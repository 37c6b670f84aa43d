/*
 * task_lines: the story of one task, line by line: who worked for it when and what came in between, until it ended.
 *
 * The lines with a length are what each thread did for it or for a part of it, and the gaps in which nobody did. Their sum is
 * the latency, and what several threads did at once besides.
 */
#pragma once

#include "viewer/story.h"

#define TASK_LINES_MAX (UINT32_C(1) << 18) /* 30 MB; those beyond are counted */
#define TASK_PARTS_MAX (UINT32_C(1) << 16)

enum task_line_kind {
	TASK_LINE_INTERVAL,
	TASK_LINE_GAP, /* thread: who ends it; 0: nobody did */
	TASK_LINE_BEGIN,
	TASK_LINE_END,
	TASK_LINE_JOIN,  /* works for it, too */
	TASK_LINE_LEAVE, /* does so no more, others do */
	TASK_LINE_PART_BEGIN,
	TASK_LINE_PART_END,
	TASK_LINE_LOG,          /* first: category, second: message */
	TASK_LINE_ATTRIBUTE,    /* key, value */
	TASK_LINE_REGION_BEGIN, /* name */
	TASK_LINE_REGION_END,
	TASK_LINE_FLOW, /* name */
};

struct task_line {
	uint64_t begin_ns, end_ns; /* the same for what has no length */
	uint64_t id;               /* of the part that it is about; 0: the task itself */
	uint32_t sequence;
	uint32_t thread;
	uint8_t kind;
	uint32_t first, second;   /* strs */
	struct interval interval; /* of kind INTERVAL; cut to the task */
};

struct task_lines {
	uint64_t id; /* set before */

	struct task_line *lines; /* after task_lines_end() by time */
	uint32_t n;
	uint64_t left_out, left_out_ns; /* beyond TASK_LINES_MAX, and how long those took */
	uint64_t parts_left_out;
	uint64_t begin_ns, end_ns, gap_ns, worked_ns;
	uint32_t type, begun_by, ended_by, at_once;
	bool is_found, has_begin, has_end;

	/* its own */
	struct map parts, at,
		last; /* ids; what a thread works for: an index into ids; a thread's last line */
	uint64_t *ids;
	uint32_t ids_n, workers, last_worker;
	uint64_t idle_since_ns;
};

/* A zeroed one but for the id. For a story of all of the trace. */
struct story_listener task_lines_listener(struct task_lines *t);
/* 0 or -ENOMEM. */
int task_lines_end(struct task_lines *t, uint64_t end_ns);
void task_lines_fini(struct task_lines *t);
