/*
 * select: which events are wanted: --from, --to, --type, --threads.
 */
#pragma once

#include "viewer/merge.h"

/*
 * A time as people write it, in ns of the trace's clock: "1.5s", "250ms", "10us", "800ns" and "1.5" (seconds) are from
 * @begun_ns on; "+10ms" from @relative_ns; "2026-11-21T12:03:04.5" is a wall clock, UTC or with "+01:00" or "Z" behind it. Texts
 * with "@" are not for this. 0 or -EINVAL, with @why.
 */
int select_time(const char *text, const struct reader *r, uint64_t begun_ns, uint64_t relative_ns,
		uint64_t *ret_ns, struct why *why);

/* "10ms", "3us", "1.5" (seconds), in ns. 0 or -EINVAL, with @why. */
int select_duration(const char *text, uint64_t *ret_ns, struct why *why);

/* Marks the types that @list ("lock.*,syscall") has. 0 or -EINVAL. */
int select_types(const char *list, const struct schema *schema, bool wanted[256], struct why *why);

/*
 * Threads by @list: "worker-1,4711,io-.*". A number is a thread's id, a name is that thread; what is neither is a pattern that
 * is found anywhere in a name. A zeroed one selects all.
 */
struct select_threads {
	const struct tables *tables;
	struct select_pattern *patterns;
	size_t n;
	struct map known; /* by index: 1 or 0 */
};
int select_threads(struct select_threads *s, const char *list, const struct tables *t,
		   struct why *why);
void select_threads_fini(struct select_threads *s);
bool select_has_thread(struct select_threads *s, uint32_t index);
