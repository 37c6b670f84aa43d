#include "preload/windows.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"
#include "cprof/cprof.h"
#include "preload/own_work.h"
#include "preload/process.h"
#include "preload/writing.h"
#include "profiles/custom/custom.h"

#define WINDOWS_MAX 128

static struct lock windows_lock = {
	.rank = LOCK_WINDOWS}; /* what follows, and that nothing is wiped */
static struct open_window {
	struct reading_window *window; /* NULL: free */
	const struct profile_ops *ops;
	int fd; /* of cprof_cpu_start(); -1 */
	bool starts, has_stopped;
} windows[WINDOWS_MAX];
static _Atomic unsigned started; /* bits of those that run for windows alone */
static unsigned traces;          /* windows on the trace */

struct segment *windows_hold(void)
{
	struct segment *s = segment_live();

	if (!process_is_ours(s))
		return NULL;
	lock_take(&windows_lock);
	return s;
}

/*
 * Gives up the older tables when the newer ones are in use and no window began before these: a process that lives for
 * months goes on recording.
 */
static void recycle(struct segment *s)
{
	const struct output_functions *output = writing_functions(NULL);
	uint64_t needed = UINT64_MAX;

	for (int i = 0; i < WINDOWS_MAX && output != NULL; i++) {
		uint64_t serial = windows[i].window != NULL
					  ? output->window_serial(windows[i].window)
					  : UINT64_MAX;

		if (serial < needed)
			needed = serial;
	}
	if (output != NULL && !process_has_files())
		segment_recycle(s, needed, NS_PER_SECOND / 100);
}

void windows_release(void)
{
	own_work_begins();
	recycle(segment_live());
	own_work_ends();
	lock_give(&windows_lock);
}

void windows_keep(unsigned profiles)
{
	atomic_fetch_and_explicit(&started, ~profiles, memory_order_relaxed);
}

unsigned windows_others(unsigned profiles)
{
	return profiles & ~atomic_load_explicit(&started, memory_order_relaxed);
}

void windows_forked(void)
{
	windows_lock = (struct lock){.rank = LOCK_WINDOWS};
	memset(windows, 0, sizeof(windows)); /* they look at the parent's tables */
	started = traces = 0;
}

/* Switches on what is off. */
static int start(unsigned bit, struct why *why)
{
	struct option_set options = *process_options();
	int r;

	if (process_running() & bit)
		return 0;
	options.profiles = bit;
	r = process_start(&options, why);
	if (r == 0)
		atomic_fetch_or_explicit(&started, bit, memory_order_relaxed);
	return r;
}

static void stop(unsigned bit)
{
	if (atomic_fetch_and_explicit(&started, ~bit, memory_order_relaxed) & bit)
		process_stop(bit);
}

int windows_look(const struct profile_ops *ops, bool starts, struct why *why)
{
	bool was_off = !(process_running() & ops->bit);
	int r = 0;

	if (ops->refresh == NULL)
		return 0;
	if (starts && was_off)
		r = start(ops->bit, why);
	own_work_begins();
	if (r == 0 && (process_running() & ops->bit))
		r = ops->refresh(segment_live());
	own_work_ends();
	if (starts && was_off)
		stop(ops->bit);
	return r;
}

void windows_look_at_all(void)
{
	if (windows_hold() == NULL)
		return;
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		windows_look(*p, false, NULL);
	windows_release();
}

/* NULL: one that is free. */
static struct open_window *find_window(const struct reading_window *window)
{
	for (int i = 0; i < WINDOWS_MAX; i++)
		if (windows[i].window == window)
			return &windows[i];
	return NULL;
}

static struct open_window *find_file(int fd)
{
	for (int i = 0; i < WINDOWS_MAX; i++)
		if (windows[i].window != NULL && windows[i].fd == fd)
			return &windows[i];
	return NULL;
}

static void stop_window(struct open_window *w)
{
	w->has_stopped = true;
	for (int i = 0; i < WINDOWS_MAX; i++)
		if (windows[i].window != NULL && windows[i].starts && !windows[i].has_stopped &&
		    windows[i].ops->bit == w->ops->bit)
			return;
	if (w->starts)
		stop(w->ops->bit);
}

int windows_begin(const struct profile_ops *ops, bool starts, struct reading_window **ret,
		  struct why *why)
{
	const struct output_functions *output = writing_functions(why);
	struct open_window *w = find_window(NULL);
	int r;

	if (output == NULL)
		return -ELIBACC;
	if (w == NULL)
		return -ENOSPC;
	if (starts) {
		r = start(ops->bit, why);
		if (r < 0)
			return r;
	}
	*w = (struct open_window){.ops = ops, .fd = -1, .starts = starts};
	own_work_begins();
	r = output->window_begin(segment_live(), ops, &w->window);
	own_work_ends();
	if (r < 0)
		stop_window(w);
	else
		*ret = w->window;
	return r;
}

void windows_stop(const struct reading_window *window)
{
	struct open_window *w = find_window(window);

	if (w != NULL)
		stop_window(w);
}

void windows_end(struct reading_window *window)
{
	struct open_window *w = find_window(window);

	if (w == NULL)
		return;
	stop_window(w);
	w->window = NULL;
	own_work_begins();
	writing_functions(NULL)->window_end(window);
	own_work_ends();
}

int windows_begin_trace(struct why *why)
{
	int r = start(OPTION_TRACE, why);

	if (r == 0)
		traces++;
	return r;
}

void windows_end_trace(void)
{
	if (--traces == 0)
		stop(OPTION_TRACE);
}

/* ---- the public functions ---- */

static const struct profile_ops *find_profile(const char *name)
{
	const struct profile_ops *found = name != NULL ? profile_find(all_profiles, name) : NULL;

	return found != NULL || name == NULL ? found : custom_find(name);
}

/* What every way of writing needs. */
struct target {
	const struct profile_ops *ops;
	const struct output_functions *output;
};

static int find_target(const char *name, struct target *ret)
{
	struct why why = {""};

	ret->ops = find_profile(name);
	if (ret->ops == NULL)
		return -ENOENT;
	if (!process_is_ours(segment_live()))
		return -EAGAIN;
	ret->output = writing_functions(&why);
	if (ret->output == NULL) {
		log_line("%s", why.text);
		return -ELIBACC;
	}
	return 0;
}

/* Held, so that what is written is not wiped meanwhile. */
static int write_target(const struct target *t, const struct reading_window *window, int fd,
			int debug)
{
	struct why why = {""};
	int r = windows_look(t->ops, false, &why);

	own_work_begins();
	if (r < 0)
		why_set(&why, "%s: %s", t->ops->name, strerrordesc_np(-r));
	else
		r = t->output->write(segment_live(), t->ops, window, fd, debug, &why);
	own_work_ends();
	if (r < 0 && r != -EAGAIN)
		log_line("%s", why.text);
	return r;
}

CPROF_PUBLIC int cprof_write(const char *name, int fd, int debug)
{
	struct target t;
	int r = debug < 0 || debug > OUTPUT_DEBUG_MAX ? -EINVAL : find_target(name, &t);

	if (r < 0)
		return r;
	if (windows_hold() == NULL)
		return -EAGAIN;
	r = write_target(&t, NULL, fd, debug);
	windows_release();
	return r;
}

CPROF_PUBLIC int cprof_write_delta(const char *name, int fd, double seconds)
{
	struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	struct reading_window *window = NULL;
	struct why why = {""};
	struct target t;
	int r = find_target(name, &t);

	if (r == 0 && !(seconds > 0 && seconds < 1e9))
		r = -EINVAL;
	if (r == 0 && windows_hold() == NULL)
		r = -EAGAIN;
	if (r < 0)
		return r;
	r = windows_look(t.ops, false, &why);
	if (r == 0)
		r = windows_begin(t.ops, false, &window, &why);
	windows_release();
	if (r < 0)
		return r;
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	if (windows_hold() == NULL)
		return -EAGAIN;
	r = write_target(&t, window, fd, 0);
	windows_end(window);
	windows_release();
	return r;
}

CPROF_PUBLIC int cprof_cpu_start(int fd)
{
	struct reading_window *window = NULL;
	struct why why = {""};
	struct target t;
	int r;

	if (fd < 0)
		return -EBADF;
	r = process_begin(&why);
	if (r == 0)
		r = find_target("cpu", &t);
	if (r == 0 && windows_hold() == NULL)
		r = -EAGAIN;
	if (r == 0) {
		r = find_file(fd) != NULL ? -EINVAL : 0;
		if (r == 0)
			windows_look(t.ops, false, &why);
		if (r == 0)
			r = windows_begin(t.ops, true, &window, &why);
		if (r == 0)
			find_window(window)->fd = fd;
		windows_release();
	}
	if (r < 0 && why.text[0] != '\0')
		log_line("%s", why.text);
	return r;
}

CPROF_PUBLIC int cprof_cpu_stop(int fd)
{
	struct open_window *w;
	struct target t;
	int r = -EINVAL;

	if (fd < 0 || windows_hold() == NULL)
		return -EINVAL;
	w = find_file(fd);
	if (w != NULL)
		r = find_target("cpu", &t);
	if (r == 0) {
		stop_window(w);
		r = write_target(&t, w->window, fd, 0);
		windows_end(w->window);
	}
	windows_release();
	return r;
}
