/*
 * Wrappers that tell us of threads.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>

#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"
#include "tracer/sync.h"
#include "tracer/user.h"

/* The number that the trace has for a thread that is yet to come; 0: none. */
static uint32_t number_of(struct thread *t)
{
	return t != NULL && wait_is_wanted(WAIT_TRACED) ? trace_thread_number(segment_live(), t)
							: 0;
}

static void is_created(uintptr_t pthread, uint32_t number)
{
	process_thread_created();
	if (number != 0)
		sync_thread_is(pthread, number);
}

CPROF_PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
				void *(*start)(void *), void *arg)
{
	struct thread *t = process_thread_reserve(attr, start, arg);
	uint32_t number = number_of(t);
	int r;

	if (t == NULL)
		r = real.pthread_create(thread, attr, start, arg);
	else
		r = real.pthread_create(thread, attr, process_thread_main, t);
	if (r == 0)
		is_created((uintptr_t)*thread, number);
	else
		process_thread_cancel(t);
	return r;
}

/*
 * The routine of a C11 thread returns an int, of ours a pointer, in the same register: what stands above the int is never
 * looked at.
 */
CPROF_PUBLIC int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	void *(*wide)(void *), *(*const ours)(void *) = process_thread_main;
	thrd_start_t narrow;
	struct thread *t;
	uint32_t number;
	int r;

	memcpy(&wide, &start, sizeof(wide));
	memcpy(&narrow, &ours, sizeof(narrow));
	t = process_thread_reserve(NULL, wide, arg);
	number = number_of(t);
	if (t == NULL)
		r = real.thrd_create(thread, start, arg);
	else
		r = real.thrd_create(thread, narrow, t);
	if (r == thrd_success)
		is_created((uintptr_t)*thread, number);
	else
		process_thread_cancel(t);
	return r;
}

CPROF_PUBLIC int pthread_setname_np(pthread_t thread, const char *name)
{
	int r = real.pthread_setname_np(thread, name);

	if (r == 0)
		process_thread_named(pthread_equal(thread, pthread_self()) ? name : NULL);
	return r;
}

/* The C library's own threads come by an inner name; this one is for hosts that make theirs by hand. */
CPROF_PUBLIC int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	pid_t *parent_tid, *child_tid;
	va_list args;
	void *tls;
	int tid;

	va_start(args, arg);
	parent_tid = va_arg(args, pid_t *);
	tls = va_arg(args, void *);
	child_tid = va_arg(args, pid_t *);
	va_end(args);
	if (real.clone == NULL)
		real_early("clone", &real.clone);
	tid = real.clone(fn, stack, flags, arg, parent_tid, tls, child_tid);
	if (tid > 0 && (flags & CLONE_THREAD)) {
		process_thread_adopt(tid);
	} else if (tid > 0 && trace_runs()) {
		int saved = errno;

		trace_fork(tid, trace_ticks(), (uintptr_t)real.clone);
		errno = saved;
	}
	return tid;
}
