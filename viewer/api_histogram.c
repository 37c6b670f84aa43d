/* How long calls of one name, or waits for one lock, took: the numbers of the tables, with all that they are made of. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/api_private.h"
#include "viewer/calls.h"
#include "viewer/locks.h"

static void put_histogram(struct api *a, const struct histogram *h)
{
	api_put_u64(a, "count", h->n);
	api_put_u64(a, "total_ns", h->sum);
	api_put_u64(a, "p50_ns", histogram_at(h, 0.5));
	api_put_u64(a, "p99_ns", histogram_at(h, 0.99));
	api_put_u64(a, "max_ns", h->max);
	api_open(a, "buckets", '[');
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		api_open(a, NULL, '[');
		api_put_u64(a, NULL, histogram_begin(i));
		api_put_u64(a, NULL,
			    histogram_begin(i + 1) < UINT64_MAX / 2 ? histogram_begin(i + 1)
								    : UINT64_MAX / 2);
		api_put_u64(a, NULL, h->buckets[i]);
		api_close(a, ']');
	}
	api_close(a, ']');
}

struct wanted {
	uint64_t from_ns, to_ns;
	struct select_threads threads;
	struct story_counts counts;
};

static int tell(struct api *a, struct wanted *w, const struct story_listener *listener,
		struct why *why)
{
	return story_tell(a->reader, a->streams, a->tables, w->from_ns, w->to_ns, listener,
			  &w->counts, NULL, why);
}

/* Of a call's number. */
static int of_call(struct api *a, struct wanted *w, uint64_t number, struct why *why)
{
	static const struct histogram none;
	struct calls calls = {.tables = a->tables,
			      .threads = &w->threads,
			      .by = CALLS_NUMBER,
			      .from_ns = w->from_ns,
			      .to_ns = w->to_ns,
			      .slower_ns = UINT64_MAX};
	const struct story_listener listener = {.context = &calls, .call = calls_call};
	const struct tally_row *row;
	int r = tell(a, w, &listener, why);

	row = tally_find(&calls.tally, number);
	if (r == 0)
		put_histogram(a, row != NULL ? &row->took : &none);
	calls_fini(&calls);
	return r;
}

static bool wants_object(void *context, uint32_t object)
{
	return *(const uint64_t *)context == object;
}

/* Of a lock: all waits for it, whether to read or to write. */
static int of_lock(struct api *a, struct wanted *w, uint64_t object, struct why *why)
{
	struct locks locks = {.by = LOCKS_BY_LOCK,
			      .from_ns = w->from_ns,
			      .to_ns = w->to_ns,
			      .threads = &w->threads,
			      .wants_object = wants_object,
			      .context = &object};
	const struct story_listener listener = locks_listener(&locks);
	struct histogram all = {0};
	int r = tell(a, w, &listener, why);

	if (r == 0)
		locks_finish(&locks, w->counts.end_ns);
	for (uint32_t i = 0; i < locks.rows_n && r == 0; i++) {
		const struct durations *d = &locks.rows[i].wait;

		for (uint64_t k = 0; d->many == NULL && k < d->n; k++)
			histogram_add(&all, d->few[k]);
		if (d->many == NULL)
			continue;
		for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++)
			all.buckets[k] += d->many->buckets[k];
		all.n += d->many->n;
		all.sum += d->many->sum;
		all.max = d->many->max > all.max ? d->many->max : all.max;
	}
	if (r == 0)
		put_histogram(a, &all);
	locks_fini(&locks);
	return r;
}

static int find_call(const char *name, uint64_t *ret)
{
	for (uint32_t i = 0; i < 1024; i++) {
		const char *known = syscalls_name(i);

		if (known != NULL && strcmp(known, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return api_digits(name, name + strlen(name), UINT32_MAX - 1, ret) ? 0 : -ENOENT;
}

static int answer_histogram(struct api *a, const struct api_request *q, struct answer *ret,
			    struct why *why)
{
	const char *call = api_text(q, "call"), *lock = api_text(q, "lock"),
		   *threads = api_text(q, "threads");
	uint64_t id = 0;
	struct wanted w = {0};
	int r = api_range(a, q, &w.from_ns, &w.to_ns, why);

	if (r == 0 && (call == NULL) == (lock == NULL)) {
		why_set(why, "call=NAME or lock=OBJECT was expected, and one of them");
		return -EINVAL;
	}
	if (r == 0 && call != NULL && find_call(call, &id) < 0) {
		why_set(why, "call=%.40s: there is no such system call", call);
		return -ENOENT;
	}
	if (r == 0 && lock != NULL)
		r = api_number(q, "lock", 1, UINT32_MAX, 0, &id, why);
	if (r == 0 && lock != NULL && tables_object(a->tables, id) == NULL) {
		why_set(why, "lock=%.40s: there is no such object", lock);
		return -ENOENT;
	}
	if (r == 0 && threads != NULL)
		r = select_threads(&w.threads, threads, a->tables, why);
	if (r < 0)
		return r;
	w.threads.tables = a->tables;
	api_open(a, NULL, '{');
	r = call != NULL ? of_call(a, &w, id, why) : of_lock(a, &w, id, why);
	api_close(a, '}');
	select_threads_fini(&w.threads);
	return r;
}

const struct api_path api_paths_histogram[] = {
	{.name = "histogram",
	 .takes = "call lock from to threads",
	 .is_work = true,
	 .answer = answer_histogram},
	{.name = NULL},
};
