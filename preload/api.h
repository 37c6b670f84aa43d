/* api: what other doors of the library have in common with the public functions. */
#pragma once

#include <stdint.h>

/* cprof_trace_snapshot(), where the launcher has the trace from about @since_ns of CLOCK_MONOTONIC on; 0: all of it. */
int api_trace_snapshot(int fd, uint64_t since_ns);
