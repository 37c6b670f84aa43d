/*
 * The public functions; include/cprof/cprof.h has their contracts.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/profile.h"
#include "cprof/cprof.h"
#include "preload/api.h"
#include "preload/own_work.h"
#include "preload/process.h"
#include "preload/writing.h"
#include "profiles/heap/heap.h"

#define IS_SAME(a, b) ((unsigned)(a) == (unsigned)(b))
_Static_assert(IS_SAME(CPROF_CPU, OPTION_CPU) && IS_SAME(CPROF_WALL, OPTION_WALL) &&
		       IS_SAME(CPROF_HEAP, OPTION_HEAP) && IS_SAME(CPROF_BLOCK, OPTION_BLOCK) &&
		       IS_SAME(CPROF_MUTEX, OPTION_MUTEX) &&
		       IS_SAME(CPROF_THREADS, OPTION_THREADS) &&
		       IS_SAME(CPROF_THREADCREATE, OPTION_THREADCREATE) &&
		       IS_SAME(CPROF_TRACE, OPTION_TRACE),
	       "the public bits are the option parser's");

/* The open windows: of cprof_cpu_start(), and with fd -1 of cprof_write_delta(). */
#define WINDOWS_MAX 64
static struct lock windows_lock = {.rank = LOCK_WINDOWS};
static struct open_window {
	struct reading_window *window; /* NULL: free */
	int fd;
} windows[WINDOWS_MAX];
static bool started_by_window; /* the last window to close stops the sampler again */

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

	if (spec == NULL || option_parse(spec, process_available(), &options, &why) < 0) {
		log_line("cprof_start: %s", spec == NULL ? "no words" : why.text);
		return -EINVAL;
	}
	if (process_running() & options.profiles)
		return -EBUSY;
	return start(&options);
}

/*
 * What is now, such as the threads, is looked at when it is asked for. A profile that was stopped shows what it last saw.
 * Held: windows_lock, so that what is read is of one look.
 */
static int refresh(struct segment *s, const struct profile_ops *ops)
{
	int r = 0;

	own_work_begins();
	if (ops->refresh != NULL && (process_running() & ops->bit))
		r = ops->refresh(s);
	own_work_ends();
	return r;
}

CPROF_PUBLIC int cprof_stop(void)
{
	struct segment *s = segment_live();

	lock_take(&windows_lock);
	if (process_is_ours(s) && process_has_files())
		for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
			refresh(s, *p); /* the last time: stopped profiles do not look any more */
	lock_give(&windows_lock);
	process_stop(OPTION_PROFILES);
	return process_write_files();
}

static const struct profile_ops *find_profile(const char *name)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if (name != NULL && strcmp((*p)->name, name) == 0)
			return *p;
	return NULL;
}

/* What every way of writing needs. */
struct target {
	struct segment *segment;
	const struct profile_ops *ops;
	const struct output_functions *output;
};

static int find_target(const char *name, struct target *ret)
{
	struct why why = {""};

	ret->ops = find_profile(name);
	if (ret->ops == NULL)
		return -ENOENT;
	ret->segment = segment_live();
	if (ret->segment == NULL || !process_is_ours(ret->segment))
		return -EAGAIN;
	ret->output = writing_functions(&why);
	if (ret->output == NULL) {
		log_line("%s", why.text);
		return -ELIBACC;
	}
	return 0;
}

void api_forked(void)
{
	windows_lock = (struct lock){.rank = LOCK_WINDOWS};
	memset(windows, 0, sizeof(windows)); /* they look at the parent's tables */
	started_by_window = false;
}

static struct open_window *find_window(int fd, bool wants_free)
{
	for (int i = 0; i < WINDOWS_MAX; i++)
		if (wants_free ? windows[i].window == NULL
			       : windows[i].window != NULL && windows[i].fd == fd)
			return &windows[i];
	return NULL;
}

/*
 * Gives up the older tables when the newer ones are in use and no window began before these: a process that lives for
 * months goes on recording. Held: windows_lock.
 */
static void recycle(const struct target *t)
{
	uint64_t needed = UINT64_MAX;

	for (int i = 0; i < WINDOWS_MAX; i++) {
		uint64_t serial = windows[i].window != NULL
					  ? t->output->window_serial(windows[i].window)
					  : UINT64_MAX;

		if (serial < needed)
			needed = serial;
	}
	if (!process_has_files())
		segment_recycle(t->segment, needed, NS_PER_SECOND / 100);
}

/* Held: windows_lock, so that what is written is not wiped meanwhile. */
static int write_target(const struct target *t, const struct reading_window *window, int fd,
			int debug)
{
	struct why why = {""};
	int r = refresh(t->segment, t->ops);

	own_work_begins();
	if (r < 0)
		why_set(&why, "%s: %s", t->ops->name, strerrordesc_np(-r));
	else
		r = t->output->write(t->segment, t->ops, window, fd, debug, &why);

	if (r < 0 && r != -EAGAIN)
		log_line("%s", why.text);
	recycle(t);
	own_work_ends();
	return r;
}

static int open_window(const struct target *t, struct open_window *w, int fd)
{
	int r;

	own_work_begins();
	r = t->output->window_begin(t->segment, t->ops, &w->window);
	own_work_ends();
	if (r == 0)
		w->fd = fd;
	return r;
}

CPROF_PUBLIC int cprof_write(const char *name, int fd, int debug)
{
	struct target t;
	int r = debug < 0 || debug > OUTPUT_DEBUG_MAX ? -EINVAL : find_target(name, &t);

	if (r < 0)
		return r;
	lock_take(&windows_lock);
	r = write_target(&t, NULL, fd, debug);
	lock_give(&windows_lock);
	return r;
}

/* Writes what was counted since @w was opened, and frees it. Held: windows_lock. */
static int close_window(struct open_window *w, const struct target *t, int fd)
{
	struct reading_window *window = w->window;
	int r;

	w->window = NULL;
	r = write_target(t, window, fd, 0);
	own_work_begins();
	t->output->window_end(window);
	own_work_ends();
	return r;
}

CPROF_PUBLIC int cprof_write_delta(const char *name, int fd, double seconds)
{
	struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	struct open_window *w;
	struct target t;
	int r = find_target(name, &t);

	if (r == 0 && !(seconds > 0 && seconds < 1e9))
		r = -EINVAL;
	if (r < 0)
		return r;
	lock_take(&windows_lock);
	w = find_window(-1, true);
	r = w == NULL ? -ENOSPC : refresh(t.segment, t.ops);
	if (r == 0)
		r = open_window(&t, w, -1);
	lock_give(&windows_lock);
	if (r < 0)
		return r;
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	lock_take(&windows_lock);
	r = close_window(w, &t, fd);
	lock_give(&windows_lock);
	return r;
}

CPROF_PUBLIC int cprof_cpu_start(int fd)
{
	struct open_window *w;
	struct target t;
	bool was_running;
	int r;

	if (fd < 0)
		return -EBADF;
	lock_take(&windows_lock);
	was_running = process_running() & OPTION_CPU;
	r = find_window(fd, false) != NULL ? -EINVAL : find_window(fd, true) == NULL ? -ENOSPC : 0;
	if (r == 0)
		r = cprof_enable(CPROF_CPU);
	if (r == 0)
		r = find_target("cpu", &t);
	if (r == 0) {
		w = find_window(fd, true);
		refresh(t.segment, t.ops);
		r = open_window(&t, w, fd);
		if (r == 0 && !was_running)
			started_by_window = true;
	}
	if (r < 0 && !was_running)
		process_stop(OPTION_CPU & process_running());
	lock_give(&windows_lock);
	return r;
}

CPROF_PUBLIC int cprof_cpu_stop(int fd)
{
	struct open_window *w;
	struct target t;
	bool is_last = true;
	int r;

	lock_take(&windows_lock);
	w = find_window(fd, false);
	r = w == NULL ? -EINVAL : find_target("cpu", &t);
	if (r == 0) {
		for (int i = 0; i < WINDOWS_MAX; i++)
			is_last = is_last && (windows[i].window == NULL || &windows[i] == w);
		if (is_last && started_by_window) {
			process_stop(OPTION_CPU);
			started_by_window = false;
		}
		r = close_window(w, &t, fd);
	}
	lock_give(&windows_lock);
	return r;
}

CPROF_PUBLIC cprof_labels cprof_labels_set(const char *key, const char *value, ...)
{
	struct thread *t = process_self();
	const char *pairs[2 * LABEL_SET_PAIRS];
	unsigned count = 0;
	uint32_t before;
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
	atomic_store_explicit(&t->record->labels,
			      labels_overlay(segment_live(), before, pairs, count),
			      memory_order_relaxed);
	return before;
}

CPROF_PUBLIC void cprof_labels_restore(cprof_labels before)
{
	struct thread *t = process_self();

	if (t != NULL && (before == 0 || labels_set(segment_live(), before) != NULL))
		atomic_store_explicit(&t->record->labels, before, memory_order_relaxed);
}

CPROF_PUBLIC void cprof_alloc(const void *p, size_t size)
{
	heap_pool_alloc(p, size);
}

CPROF_PUBLIC void cprof_free(const void *p)
{
	heap_pool_free(p);
}
