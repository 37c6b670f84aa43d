/*
 * symbols_jit: reading /tmp/perf-PID.map; symbols.h has what others call.
 */
#pragma once

#include "core/why.h"
#include "output/symbols_spans.h"

struct symbols_jit;

struct symbols_jit *jit_open(int pid, struct why *why);
void jit_close(struct symbols_jit *jit);
