/* Two numbers, as an LTTng-UST tracepoint; read several times by its headers. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "bench/lttng_event.h"

#if !defined(BENCH_LTTNG_EVENT) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_LTTNG_EVENT
#include <lttng/tracepoint.h>

/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(bench, event, LTTNG_UST_TP_ARGS(int, number, int, value),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, number, number) lttng_ust_field_integer(int, value, value)))
/* clang-format on */
#endif

#include <lttng/tracepoint-event.h>
