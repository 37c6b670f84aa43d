/*
 * cprof: profiles of a running native program, in pprof's format.
 *
 *     #include <cprof/cprof.h>              cc app.c $(pkg-config --cflags --libs cprof)
 *
 *     cprof_enable(CPROF_CPU);              count from here on
 *     …
 *     cprof_write("cpu", fd, 0);            all that was counted so far
 *
 *     cprof_cpu_start(fd);                  or a window: everything between start and stop goes to fd
 *     …
 *     cprof_cpu_stop(fd);
 *
 * Functions return 0 or a negative errno, where they return anything. Any thread may call any of them; none may be called
 * from a signal handler, but for cprof_alloc() and cprof_free(), and none between vfork() and exec. With -DCPROF_WEAK nothing
 * of it needs the library at link time: the calls do nothing and return -ENOSYS unless libcprof.so is loaded, for instance
 * by `cprof run`.
 *
 * C99 and C++11.
 */
#ifndef CPROF_CPROF_H
#define CPROF_CPROF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CPROF_PUBLIC        __attribute__((visibility("default")))
#define CPROF_SENTINEL      __attribute__((sentinel))
#define CPROF_FORMAT(first) __attribute__((format(printf, 2, first)))
#else
#define CPROF_PUBLIC
#define CPROF_SENTINEL
#define CPROF_FORMAT(first)
#endif

#ifdef CPROF_WEAK
#define CPROF_API CPROF_PUBLIC __attribute__((weak))
#else
#define CPROF_API CPROF_PUBLIC
#endif

/* Profiles. Those that this version does not have are refused with -ENOTSUP. */
enum {
	CPROF_CPU = 1 << 0,          /* where CPU time goes */
	CPROF_WALL = 1 << 1,         /* where time goes, running or waiting */
	CPROF_HEAP = 1 << 2,         /* who allocates, who keeps */
	CPROF_BLOCK = 1 << 3,        /* who waited, for how long */
	CPROF_MUTEX = 1 << 4,        /* who made others wait */
	CPROF_THREADS = 1 << 5,      /* what every thread is doing, when it is written */
	CPROF_THREADCREATE = 1 << 6, /* who starts threads */
	CPROF_TRACE = 1 << 7,        /* what happened, in order, on every thread */
	CPROF_ALL = 0xffff           /* every profile that this version has */
};

#ifdef CPROF_SHORT_NAMES
enum {
	ALL = CPROF_ALL,
	CPU = CPROF_CPU,
	WALL = CPROF_WALL,
	HEAP = CPROF_HEAP,
	BLOCK = CPROF_BLOCK,
	MUTEX = CPROF_MUTEX,
	THREADS = CPROF_THREADS,
	TRACE = CPROF_TRACE
};
#endif

/*
 * Starts the profiles in @profiles, with the options of the environment variable CPROF or their defaults. Those
 * that run already go on. -ENOTSUP: one of them is not in this version (nothing was started); -ENOMEM, -EMFILE:
 * no segment could be made.
 */
CPROF_API int cprof_enable(unsigned profiles);

/* Stops counting. What was counted can still be written. */
CPROF_API int cprof_disable(unsigned profiles);

/*
 * Starts what @spec asks for, such as "cpu=250,out=DIR"; see cprof(7) for the words. With out= the profiles are written
 * there by cprof_stop(), or when the program exits. -EINVAL: a word is unknown or its value is out of range (said on
 * stderr; nothing was started); -EBUSY: profiles run already. @spec is copied.
 */
CPROF_API int cprof_start(const char *spec);

/* Stops all profiles and writes what out= asked for. -EIO and the like when that failed. */
CPROF_API int cprof_stop(void);

/*
 * A window on the CPU profile: what is sampled until cprof_cpu_stop(@fd) is written to @fd then, as runtime/pprof's
 * StartCPUProfile and StopCPUProfile do. Any number of windows may be open at once; they share one sampler, at the rate it
 * was first started with. -EINVAL: @fd has a window already; -ENOSPC: 64 windows are open.
 */
CPROF_API int cprof_cpu_start(int fd);
CPROF_API int cprof_cpu_stop(int fd); /* -EINVAL: @fd has no window */

/*
 * Writes the profile @name ("cpu", "wall", "heap", "allocs", "block", "mutex", "threads", "threadcreate", or one of
 * cprof_profile_new()) to @fd: all that was counted so far or, of the threads, what they do now: they are looked at first,
 * which takes a second at most. "allocs" is "heap" with what was allocated shown first in place of what is in use.
 *
 *     @debug 0   pprof's protobuf, gzipped
 *            1   text: each stack with its number, the largest first, its functions with file and line; the heap as
 *                Go's "heap profile:", with the blocks as they were sampled; waits as Go's "--- contention:" and
 *                "--- mutex:", without those that are idle
 *            2   the threads one by one: id, state, time in it, name, labels, stack; waits as 1, with those that are idle;
 *                other profiles as 1
 *
 * -EINVAL: another @debug; -ENOENT: no such profile; -EAGAIN: it never ran; -ETIMEDOUT: the threads were not looked at in
 * time.
 */
CPROF_API int cprof_write(const char *name, int fd, int debug);

/*
 * The same, as protobuf, for the next @seconds only; returns when they have passed. Of the threads: how many more or fewer
 * there are at each stack than before. Of the heap: what was allocated meanwhile, and how much more or less is in use.
 */
CPROF_API int cprof_write_delta(const char *name, int fd, double seconds);

/*
 * Labels: what this thread records from now on carries the pairs, over those it has already. New threads inherit them.
 * The result restores the labels from before; sets are cheap, but limited in number (thousands), so a label is a kind of
 * request rather than its id. At most 15 on a thread. The list of keys and values ends with NULL.
 *
 *     cprof_labels before = cprof_labels_set("tenant", "acme", "endpoint", "/search", NULL);
 *     …
 *     cprof_labels_restore(before);
 */
typedef unsigned cprof_labels;
CPROF_API cprof_labels cprof_labels_set(const char *key, const char *value, ...) CPROF_SENTINEL;
CPROF_API void cprof_labels_restore(cprof_labels before);

/*
 * For a pool or an arena: blocks that it hands out show in the heap profile as those of malloc() do, at the stack that calls
 * this. cprof_alloc(): @p is the program's from now on, @size bytes of it. cprof_free(): no longer. A block that changes
 * its size is freed and allocated.
 *
 * @p is any address, and stands for one block at a time; NULL is none. Call cprof_free() before the address can be handed out
 * again. What is allocated while the profile is off is not seen, nor is its end.
 *
 * Any thread, any context, signal handlers too. They take no lock, and no longer than malloc() and free() take for their
 * counting: a load where the profile is off.
 *
 * The memory that the pool itself has from malloc() counts as well, at the pool's own stack. Have it from mmap() where that
 * is in the way.
 */
CPROF_API void cprof_alloc(const void *p, size_t size);
CPROF_API void cprof_free(const void *p);

/*
 * Profiles of the program's own, of what it has and gives back: open files, connections, sessions. Each entry is a value, such as
 * the thing's address or number, and stands at the stack that added it: so the profile shows who has what is there now. It
 * is in all that cprof writes and serves, under @name, and starts with the first call: nothing has to be switched on.
 *
 *     connections = cprof_profile_new("connections");           once, wherever the program begins
 *     cprof_profile_add(connections, c, 0);                     where one is made
 *     cprof_profile_remove(connections, c);                     where it ends: before its address can be another's
 *
 * @name has 1 to 48 of the letters, digits, '_', '-' and '.', of which the last two do not come first. Profiles stay until the
 * program ends, and there are 32 at most. NULL, with errno: EINVAL, not such a name; EEXIST: a profile of that name is there,
 * which cprof_profile_find() finds, or cprof has the name itself; ENOSPC: there are 32, or no room for the name; else why
 * nothing can be recorded, such as ENOMEM. All calls take NULL.
 *
 * cprof_profile_add(): the stack begins at its caller, or @skip frames above: functions that were inlined are no frames.
 * -EEXIST: the value is there, and stays as it was added; -ENOSPC: no room for it, counted as lost; -EINVAL: @profile is none,
 * @skip is negative; -EAGAIN: nothing is recorded in this process, such as a child with follow=no. A value is compared, and
 * never followed: NULL and numbers are as good as addresses.
 *
 * cprof_profile_remove(): -ENOENT: it is not there; -EINVAL and -EAGAIN as above.
 * cprof_profile_count(): how many are there; or -EINVAL.
 *
 * Any thread; not from a signal handler. They allocate nothing by malloc(), and wait for no lock that is held for longer than it
 * takes to find a value. A child of fork() has the entries that its parent had then, and its own from then on.
 */
struct cprof_profile;
CPROF_API struct cprof_profile *cprof_profile_new(const char *name);
CPROF_API struct cprof_profile *cprof_profile_find(const char *name); /* NULL: there is none */
CPROF_API int cprof_profile_add(struct cprof_profile *profile, const void *value, int skip);
CPROF_API int cprof_profile_remove(struct cprof_profile *profile, const void *value);
CPROF_API int64_t cprof_profile_count(const struct cprof_profile *profile);

/*
 * What follows is for the trace: each call is an event of the calling thread, with its time. While no trace runs it costs a
 * branch, and says nothing. None of it fails: an event for which there is no room is counted, and the gap is shown.
 *
 * Names (of types, regions, counters, keys) are UTF-8, copied, and cut after 255 bytes. They are few: what is particular to
 * one request belongs into an attribute or the log. NULL is "".
 *
 * Any thread; not from a signal handler. errno stays as it is.
 */

/*
 * A task is a piece of work that may go through many hands: a request, a transaction, a frame. It has a number, 0 is none.
 * cprof_task_begin() gives it one (0 while no trace runs, and every call takes that); it makes nobody work for it.
 * cprof_task_switch() does: the calling thread works for @task from now on, 0: for none. Its result is what it worked for
 * before, to be switched back to. A task may be worked for by several threads at once, and ends once.
 *
 *     cprof_task request = cprof_task_begin("request", 0);            wherever it comes in
 *
 *     cprof_task before = cprof_task_switch(request);                 wherever something is done for it
 *     …
 *     cprof_task_switch(before);
 *
 *     cprof_task_end(request);                                        by whoever is the last
 *
 * Who ends the task that it works for works for none. New threads work for none. @parent: the task that this one is a part
 * of, 0, or CPROF_TASK_CURRENT: the one that the calling thread works for.
 */
typedef uint64_t cprof_task;
#define CPROF_TASK_CURRENT ((cprof_task)-1)
CPROF_API cprof_task cprof_task_begin(const char *type, cprof_task parent);
CPROF_API void cprof_task_end(cprof_task task);
CPROF_API cprof_task cprof_task_switch(cprof_task task);

/*
 * A region is a stretch of time on one thread, with a name. Regions lie inside each other: cprof_region_end() ends the
 * innermost, on the thread that began it. One that is never ended, and an end too many, are kept as they are: who looks at
 * the trace is told.
 */
CPROF_API void cprof_region_begin(const char *name);
CPROF_API void cprof_region_end(void);

/* A line, as printf() would make it, of a category such as "cache". Both are cut: after 127 and 896 bytes. */
CPROF_API void cprof_log(const char *category, const char *format, ...) CPROF_FORMAT(3);
CPROF_API void cprof_vlog(const char *category, const char *format, va_list args) CPROF_FORMAT(0);

/* From now on the number @name is @value: a level, such as the length of a queue, or a sum that grows. In any unit. */
CPROF_API void cprof_counter(const char *name, int64_t value);

/*
 * A flow is what is handed from one thread to another in ways of the program's own: it is drawn as an arrow from each of its
 * steps to the next. @flow is any number that stands for what is handed over until the flow ends, such as its address.
 */
CPROF_API void cprof_flow_begin(uint64_t flow, const char *name);
CPROF_API void cprof_flow_step(uint64_t flow, const char *name);
CPROF_API void cprof_flow_end(uint64_t flow, const char *name);

/* Of the innermost open region of this thread or, without one, of the task that it works for. @value is cut after 769 bytes. */
CPROF_API void cprof_attribute(const char *key, const char *value);

/*
 * Writes the trace up to this moment to @fd, as a whole file of its own: with ring=TIME what the ring holds, the last seconds;
 * else all of it. Recording goes on. Without a launcher it is what the process has room for, see cprof(7). Blocks as long as
 * write() to @fd does; one that does not block is waited for, 10 s without a byte at most. No SIGPIPE. Any thread; not from a
 * signal handler.
 *
 * Returns 0; -EAGAIN (nothing is traced), -ENOTCONN (the launcher has ended), -ETIMEDOUT (it did not answer within 10 s, or
 * @fd takes nothing), -EBUSY (16 others ask at the same time), -EPERM (the process has become another user's), -ELIBACC as
 * cprof_write() has it, or what its file or write() to @fd said, such as -EPIPE or -ENOSPC: then a part was written.
 */
CPROF_API int cprof_trace_snapshot(int fd);

/*
 * Serves all of this over HTTP, under /debug/pprof/ with the paths, parameters and replies of Go's net/http/pprof: at
 * "unix:PATH", a socket with mode 0600, or at "127.0.0.1:6060". Any other address needs a token, which a file has, and TLS:
 * "ADDRESS:PORT?token=FILE&cert=FILE&key=FILE". See cprof(3). A CPU profile that nobody switched on runs while somebody asks
 * for one.
 *
 * By a thread of cprof's, which blocks all signals and is in no profile. A child of fork() does not serve.
 *
 * 0; -EINVAL (said on stderr, as all reasons are); -EBUSY: it serves already; -EADDRINUSE; -ELIBACC, -ENOSYS: the library
 * for it is not there.
 */
CPROF_API int cprof_http_start(const char *listen);
/* Replies that wait are given what there is. */
CPROF_API int cprof_http_stop(void);

/*
 * The same for a program that has a server of its own, or none: answers one request, and returns when it is answered, which
 * may be after as many seconds as it asked for. Who may ask is the caller's to decide. Any number of threads.
 *
 * @path: decoded, from "/debug/" on; @query: what stands behind "?", NULL without. begin() is called once, with name and value
 * of each header by turns, ended by NULL; then write() for each piece of the body. What they return, when it is negative,
 * ends the reply and is returned.
 */
struct cprof_writer {
	void *user;
	int (*begin)(void *user, int status, const char *const *headers);
	int (*write)(void *user, const void *bytes, size_t size);
};
CPROF_API int cprof_handle(const char *method, const char *path, const char *query,
			   const void *body, size_t body_size, const struct cprof_writer *writer);

#ifdef __cplusplus
}
#endif

#ifdef CPROF_WEAK
#define CPROF_ABSENT                 (-38) /* -ENOSYS */
#define cprof_enable(profiles)       (cprof_enable ? (cprof_enable)(profiles) : CPROF_ABSENT)
#define cprof_disable(profiles)      (cprof_disable ? (cprof_disable)(profiles) : CPROF_ABSENT)
#define cprof_start(spec)            (cprof_start ? (cprof_start)(spec) : CPROF_ABSENT)
#define cprof_stop()                 (cprof_stop ? (cprof_stop)() : CPROF_ABSENT)
#define cprof_cpu_start(fd)          (cprof_cpu_start ? (cprof_cpu_start)(fd) : CPROF_ABSENT)
#define cprof_cpu_stop(fd)           (cprof_cpu_stop ? (cprof_cpu_stop)(fd) : CPROF_ABSENT)
#define cprof_write(name, fd, debug) (cprof_write ? (cprof_write)(name, fd, debug) : CPROF_ABSENT)
#define cprof_write_delta(name, fd, seconds) \
	(cprof_write_delta ? (cprof_write_delta)(name, fd, seconds) : CPROF_ABSENT)
#define cprof_labels_set(...) (cprof_labels_set ? (cprof_labels_set)(__VA_ARGS__) : 0u)
#define cprof_labels_restore(before) \
	(cprof_labels_restore ? (cprof_labels_restore)(before) : (void)0)
#define cprof_alloc(p, size) (cprof_alloc ? (cprof_alloc)(p, size) : (void)0)
#define cprof_free(p)        (cprof_free ? (cprof_free)(p) : (void)0)
#define cprof_profile_new(name) \
	(cprof_profile_new ? (cprof_profile_new)(name) : (struct cprof_profile *)0)
#define cprof_profile_find(name) \
	(cprof_profile_find ? (cprof_profile_find)(name) : (struct cprof_profile *)0)
#define cprof_profile_add(profile, value, skip) \
	(cprof_profile_add ? (cprof_profile_add)(profile, value, skip) : CPROF_ABSENT)
#define cprof_profile_remove(profile, value) \
	(cprof_profile_remove ? (cprof_profile_remove)(profile, value) : CPROF_ABSENT)
#define cprof_profile_count(profile) \
	(cprof_profile_count ? (cprof_profile_count)(profile) : (int64_t)CPROF_ABSENT)
#define cprof_task_begin(type, parent) \
	(cprof_task_begin ? (cprof_task_begin)(type, parent) : (cprof_task)0)
#define cprof_task_end(task)     (cprof_task_end ? (cprof_task_end)(task) : (void)0)
#define cprof_task_switch(task)  (cprof_task_switch ? (cprof_task_switch)(task) : (cprof_task)0)
#define cprof_region_begin(name) (cprof_region_begin ? (cprof_region_begin)(name) : (void)0)
#define cprof_region_end()       (cprof_region_end ? (cprof_region_end)() : (void)0)
#define cprof_log(...)           (cprof_log ? (cprof_log)(__VA_ARGS__) : (void)0)
#define cprof_vlog(category, format, args) \
	(cprof_vlog ? (cprof_vlog)(category, format, args) : (void)0)
#define cprof_counter(name, value)   (cprof_counter ? (cprof_counter)(name, value) : (void)0)
#define cprof_flow_begin(flow, name) (cprof_flow_begin ? (cprof_flow_begin)(flow, name) : (void)0)
#define cprof_flow_step(flow, name)  (cprof_flow_step ? (cprof_flow_step)(flow, name) : (void)0)
#define cprof_flow_end(flow, name)   (cprof_flow_end ? (cprof_flow_end)(flow, name) : (void)0)
#define cprof_attribute(key, value)  (cprof_attribute ? (cprof_attribute)(key, value) : (void)0)
#define cprof_trace_snapshot(fd)     (cprof_trace_snapshot ? (cprof_trace_snapshot)(fd) : CPROF_ABSENT)
#define cprof_http_start(listen)     (cprof_http_start ? (cprof_http_start)(listen) : CPROF_ABSENT)
#define cprof_http_stop()            (cprof_http_stop ? (cprof_http_stop)() : CPROF_ABSENT)
#define cprof_handle(method, path, query, body, body_size, writer) \
	(cprof_handle ? (cprof_handle)(method, path, query, body, body_size, writer) : CPROF_ABSENT)
#endif

/*
 * For a scope of C++:
 *
 *     cprof::region region("parse");
 *     cprof::task task("request");            begun, worked for, and ended; part of the one that was worked for
 *     cprof::working working(task_of_job);    one that was begun elsewhere
 */
#if defined(__cplusplus) && __cplusplus >= 201103L
namespace cprof
{

class region
{
      public:
	explicit region(const char *name)
	{
		cprof_region_begin(name);
	}
	~region()
	{
		cprof_region_end();
	}
	region(const region &) = delete;
	region &operator=(const region &) = delete;
};

class working
{
      public:
	explicit working(cprof_task task) : before(cprof_task_switch(task))
	{
	}
	~working()
	{
		cprof_task_switch(before);
	}
	working(const working &) = delete;
	working &operator=(const working &) = delete;

      private:
	cprof_task before;
};

class task
{
      public:
	explicit task(const char *type, cprof_task parent = CPROF_TASK_CURRENT)
	    : number(cprof_task_begin(type, parent)), before(cprof_task_switch(number))
	{
	}
	~task()
	{
		cprof_task_switch(before);
		cprof_task_end(number);
	}
	task(const task &) = delete;
	task &operator=(const task &) = delete;

	cprof_task id() const
	{
		return number;
	}

      private:
	cprof_task number, before;
};

} // namespace cprof
#endif

#endif
