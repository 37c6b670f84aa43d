/*
 * The public functions; include/cprof/cprof.h has their contracts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/log.h"
#include "core/profile.h"
#include "core/session.h"
#include "cprof/cprof.h"
#include "preload/api.h"
#include "preload/boot.h"
#include "preload/own_work.h"
#include "preload/process.h"
#include "preload/windows.h"
#include "preload/writing.h"
#include "profiles/custom/custom.h"
#include "profiles/heap/heap.h"
#include "tracer/user.h"

#define IS_SAME(a, b) ((unsigned)(a) == (unsigned)(b))
_Static_assert(IS_SAME(CPROF_CPU, OPTION_CPU) && IS_SAME(CPROF_WALL, OPTION_WALL) &&
		       IS_SAME(CPROF_HEAP, OPTION_HEAP) && IS_SAME(CPROF_BLOCK, OPTION_BLOCK) &&
		       IS_SAME(CPROF_MUTEX, OPTION_MUTEX) &&
		       IS_SAME(CPROF_THREADS, OPTION_THREADS) &&
		       IS_SAME(CPROF_THREADCREATE, OPTION_THREADCREATE) &&
		       IS_SAME(CPROF_TRACE, OPTION_TRACE),
	       "the public bits are the option parser's");

static int start(const struct option_set *options)
{
	struct why why = {""};
	int r = process_start(options, &why);

	if (r < 0)
		log_line("%s", why.text);
	return r;
}

CPROF_PUBLIC int cprof_enable(unsigned profiles)
{
	struct option_set options = *process_options();

	if (profiles == CPROF_ALL)
		profiles = process_available();
	if (profiles == 0)
		return -EINVAL;
	if (profiles & ~process_available())
		return -ENOTSUP;
	options.profiles = profiles;
	windows_keep(profiles);
	return start(&options);
}

CPROF_PUBLIC int cprof_disable(unsigned profiles)
{
	process_stop(profiles);
	return 0;
}

CPROF_PUBLIC int cprof_start(const char *spec)
{
	struct option_set options;
	struct why why = {""};

	if (spec == NULL ||
	    option_parse(spec, process_available() | OPTION_HTTP, &options, &why) < 0) {
		log_line("cprof_start: %s", spec == NULL ? "no words" : why.text);
		return -EINVAL;
	}
	if (windows_others(process_running()) & options.profiles)
		return -EBUSY;
	windows_keep((unsigned)options.profiles);
	return start(&options);
}

CPROF_PUBLIC int cprof_stop(void)
{
	if (process_is_ours(segment_live()) && process_has_files())
		windows_look_at_all(); /* the last time: stopped profiles do not look any more */
	process_stop(OPTION_PROFILES);
	return process_write_files();
}

static void set_labels(struct thread *t, uint32_t before, uint32_t after)
{
	atomic_store_explicit(&t->record->labels, after, memory_order_relaxed);
	if (before != after && trace_runs())
		trace_labels(after);
}

CPROF_PUBLIC cprof_labels cprof_labels_set(const char *key, const char *value, ...)
{
	struct thread *t = process_self();
	const char *pairs[2 * LABEL_SET_PAIRS];
	unsigned count = 0;
	uint32_t before, after;
	va_list args;

	if (t == NULL)
		return 0;
	va_start(args, value);
	while (key != NULL && value != NULL && count < LABEL_SET_PAIRS) {
		pairs[2 * count] = key;
		pairs[2 * count + 1] = value;
		count++;
		key = va_arg(args, const char *);
		value = key != NULL ? va_arg(args, const char *) : NULL;
	}
	va_end(args);
	before = atomic_load_explicit(&t->record->labels, memory_order_relaxed);
	after = labels_overlay(segment_live(), before, pairs, count);
	set_labels(t, before, after);
	return before;
}

CPROF_PUBLIC void cprof_labels_restore(cprof_labels before)
{
	struct thread *t = process_self();

	if (t != NULL && (before == 0 || labels_set(segment_live(), before) != NULL))
		set_labels(t, atomic_load_explicit(&t->record->labels, memory_order_relaxed),
			   before);
}

CPROF_PUBLIC void cprof_alloc(const void *p, size_t size)
{
	heap_pool_alloc(p, size);
}

CPROF_PUBLIC void cprof_free(const void *p)
{
	heap_pool_free(p);
}

CPROF_PUBLIC struct cprof_profile *cprof_profile_new(const char *name)
{
	struct why why = {""};
	int saved = errno, r = name != NULL && custom_is_name(name) ? 0 : -EINVAL;

	if (r == 0)
		r = process_begin(&why);
	if (r < 0 && why.text[0] != '\0')
		log_line("cprof_profile_new: %s", why.text);
	if (r == 0)
		r = custom_make(segment_live(), name);
	errno = r < 0 ? -r : saved;
	return r < 0 ? NULL : custom_handle((unsigned)r);
}

CPROF_PUBLIC struct cprof_profile *cprof_profile_find(const char *name)
{
	const struct profile_ops *ops = name != NULL ? custom_find(name) : NULL;

	return ops != NULL ? custom_handle(ops->run - RUN_CUSTOM) : NULL;
}

CPROF_PUBLIC int cprof_profile_add(struct cprof_profile *profile, const void *value, int skip)
{
	int number = custom_number(profile);
	struct segment *s = segment_live();

	if (number < 0 || skip < 0)
		return -EINVAL;
	return s == NULL ? -EAGAIN
			 : custom_add(s, (unsigned)number, (uintptr_t)value, (unsigned)skip);
}

CPROF_PUBLIC int cprof_profile_remove(struct cprof_profile *profile, const void *value)
{
	int number = custom_number(profile);
	struct segment *s = segment_live();

	if (number < 0)
		return number;
	return s == NULL ? -EAGAIN : custom_remove(s, (unsigned)number, (uintptr_t)value);
}

CPROF_PUBLIC int64_t cprof_profile_count(const struct cprof_profile *profile)
{
	int number = custom_number(profile);

	return number < 0 ? number : custom_count((unsigned)number);
}

/* True: a trace runs, and knows the calling thread. */
static inline bool is_traced(void)
{
	if (likely(!trace_runs()))
		return false;
	return thread_self_block != NULL || process_self() != NULL;
}

CPROF_PUBLIC cprof_task cprof_task_begin(const char *type, cprof_task parent)
{
	return is_traced() ? trace_task_begin(type, parent) : 0;
}

CPROF_PUBLIC void cprof_task_end(cprof_task task)
{
	if (is_traced() && task != 0)
		trace_task_end(task);
}

CPROF_PUBLIC cprof_task cprof_task_switch(cprof_task task)
{
	return is_traced() ? trace_task_switch(task) : 0;
}

CPROF_PUBLIC void cprof_region_begin(const char *name)
{
	if (is_traced())
		trace_region_begin(name);
}

CPROF_PUBLIC void cprof_region_end(void)
{
	if (is_traced())
		trace_region_end();
}

CPROF_PUBLIC void cprof_vlog(const char *category, const char *format, va_list args)
{
	int saved = errno;

	if (!is_traced())
		return;
	own_work_begins(); /* printf() may allocate */
	errno = saved;     /* %m */
	trace_log(category, format, args);
	own_work_ends();
	errno = saved;
}

CPROF_PUBLIC void cprof_log(const char *category, const char *format, ...)
{
	va_list args;

	if (likely(!trace_runs()))
		return;
	va_start(args, format);
	cprof_vlog(category, format, args);
	va_end(args);
}

CPROF_PUBLIC void cprof_counter(const char *name, int64_t value)
{
	if (is_traced())
		trace_counter(name, value);
}

CPROF_PUBLIC void cprof_flow_begin(uint64_t flow, const char *name)
{
	if (is_traced())
		trace_flow(TRACE_FLOW_BEGIN_EVENT, flow, name);
}

CPROF_PUBLIC void cprof_flow_step(uint64_t flow, const char *name)
{
	if (is_traced())
		trace_flow(TRACE_FLOW_STEP_EVENT, flow, name);
}

CPROF_PUBLIC void cprof_flow_end(uint64_t flow, const char *name)
{
	if (is_traced())
		trace_flow(TRACE_FLOW_END_EVENT, flow, name);
}

CPROF_PUBLIC void cprof_attribute(const char *key, const char *value)
{
	if (is_traced())
		trace_attribute(key, value);
}

#define SNAPSHOT_MS 10000 /* for the launcher to answer, and between two bytes that a file takes */

/* What the launcher has, as a file. */
static int ask_launcher(uint64_t since_ns, int *ret_file, struct why *why)
{
	char since[24];
	int r;

	snprintf(since, sizeof(since), "%" PRIu64, since_ns);
	r = session_ask(boot_session(), 0, SESSION_TRACE, since, SNAPSHOT_MS, ret_file, why);

	return r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET ? -ENOTCONN : r;
}

/* What the segment has. */
static int make_snapshot(int *ret_file, struct why *why)
{
	const struct output_functions *output = writing_functions(why);
	int file, r;

	if (output == NULL)
		return -ELIBACC;
	file = memfd_create("cprof", MFD_CLOEXEC);
	if (file < 0) {
		why_set(why, "cprof_trace_snapshot: %s", strerrordesc_np(errno));
		return -errno;
	}
	r = output->write_trace(segment_live(), file, true, why);
	if (r < 0)
		sys1(SYS_close, file);
	else
		*ret_file = file;
	return r;
}

int api_trace_snapshot(int fd, uint64_t since_ns)
{
	struct why why = {""};
	int file = -1, saved = errno, r;

	if (fd < 0)
		return -EBADF;
	if (!process_is_ours(segment_live()))
		return -EAGAIN;
	own_work_begins();
	r = process_has_session() ? ask_launcher(since_ns, &file, &why)
				  : make_snapshot(&file, &why);
	if (r == 0) {
		r = session_copy(file, fd, SNAPSHOT_MS);
		sys1(SYS_close, file);
	} else if (r == -ENODATA || r == -ESRCH) {
		r = -EAGAIN;
	} else {
		log_line("%s", why.text);
	}
	own_work_ends();
	errno = saved;
	return r;
}

CPROF_PUBLIC int cprof_trace_snapshot(int fd)
{
	return api_trace_snapshot(fd, 0);
}
