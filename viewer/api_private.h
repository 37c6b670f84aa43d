/* api, inside: paths, parameters, and what several answers have. */
#pragma once

#include "viewer/api.h"

/* Who answers. Returns 0, or -EINVAL (400), -ENOENT (404), -EAGAIN (503), another negative errno (500), with @why. */
typedef int api_handler(struct api *a, const struct api_request *q, struct answer *ret,
			struct why *why);

struct api_path {
	const char *name;
	const char *
		takes; /* parameters, a blank around each: " from to "; NULL: the handler looks at them */
	bool has_rest, is_work, needs_index;
	/* no work this time, as it is little; NULL: never */
	bool (*is_soon)(const struct api *a, const struct api_request *q);
	api_handler *answer;
};

/* By file. Each ends with one without a name. */
extern const struct api_path api_paths_now[];
extern const struct api_path api_paths_work[];
extern const struct api_path api_paths_lanes[];
extern const struct api_path api_paths_histogram[];
extern const struct api_path api_paths_source[];
extern const struct api_path api_paths_table[];

/* Parameters. The value, or NULL. */
const char *api_text(const struct api_request *q, const char *key);
/* 0 or -EINVAL with @why; @otherwise when it is not given. */
int api_number(const struct api_request *q, const char *key, uint64_t least, uint64_t most,
	       uint64_t otherwise, uint64_t *ret, struct why *why);
/* from= and to=, of the trace's clock; the whole trace unless given. 0 or -EINVAL: from must be below to. */
int api_range(const struct api *a, const struct api_request *q, uint64_t *ret_from_ns,
	      uint64_t *ret_to_ns, struct why *why);
/* Digits up to @end, which they must reach. */
bool api_digits(const char *text, const char *end, uint64_t most, uint64_t *ret);
/* tracks=: places in api.tracks, into @ret, which has @max. *@ret_n: how many. 0, -EINVAL or -ENOENT. */
int api_tracks(const struct api *a, const struct api_request *q, uint32_t *ret, uint32_t max,
	       uint32_t *ret_n, struct why *why);

/* from=, to= and columns=; and the members of the answer that say what they were, in an object that stays open. */
int api_columns(const struct api *a, const struct api_request *q, struct timeline_ask *ret,
		struct why *why);
void api_open_columns(struct api *a, const struct timeline_ask *ask);

/* Since the trace's beginning. */
static inline uint64_t api_since(const struct api *a, uint64_t ns)
{
	return ns > a->begun_ns ? ns - a->begun_ns : 0;
}

/* JSON. Keys are ours; @key NULL: a value in an array. Each puts a comma before itself when need be. */
void api_open(struct api *a, const char *key, char bracket);
void api_close(struct api *a, char bracket);
void api_put_text(struct api *a, const char *key, const char *text); /* NULL is null */
void api_put_name(struct api *a, const char *key, const struct name *name);
void api_put_u64(struct api *a, const char *key, uint64_t n);
void api_put_s64(struct api *a, const char *key, int64_t n);
void api_put_bool(struct api *a, const char *key, bool is);
void api_put_null(struct api *a, const char *key);
/* The number, or null for 0. */
void api_put_id(struct api *a, const char *key, uint64_t id);
void api_put_states(struct api *a, const char *key, const uint64_t state_ns[TRACE_STATES]);
void api_put_thread(struct api *a, const char *key, uint32_t thread);
/* An interval as a span: its members, in an object that is open. */
void api_put_span(struct api *a, const struct interval *i);

/* The states in the order of the page: running first, unknown last. */
static inline unsigned api_state(unsigned i)
{
	return (i + TRACE_RUNNING) % TRACE_STATES;
}
