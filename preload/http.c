#include "preload/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"
#include "cprof/cprof.h"
#include "preload/api.h"
#include "preload/own_work.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/windows.h"
#include "preload/writing.h"

#define STACK_BYTES (4u << 20) /* names of C++ are read by recursion */
#define PULSE_NS    (NS_PER_SECOND / 20)
/* A second is given to who takes a reply; the rest is for the names of one module, which are read in one go. */
#define STOP_NS (3 * NS_PER_SECOND)

enum state { STATE_NONE, STATE_STARTING, STATE_SERVING, STATE_FAILED };

static struct http {
	struct lock lock; /* starting and stopping */
	_Atomic uint32_t state;
	const struct endpoint_functions *functions;
	_Atomic(struct endpoint *) endpoint;
	struct server *server;
	char listen[300], path[108];
	struct why why;
	int error;
	int tid, wake; /* the end of a pipe to write to, among the thread's files */
	_Atomic uint32_t is_ending;
	_Atomic int32_t alive; /* 1 until the thread's last step */
} http = {.lock = {.rank = LOCK_HTTP}};

/* ---- the process as a source ---- */

static const struct segment *hold(void *user)
{
	(void)user;
	return windows_hold();
}

static void release(void *user)
{
	(void)user;
	windows_release();
}

static int look(void *user, struct endpoint_call *call, const struct profile_ops *ops,
		struct why *why)
{
	(void)user, (void)call;
	return windows_look(ops, ops->is_instant, why);
}

static int window_begin(void *user, struct endpoint_call *call, const struct profile_ops *ops,
			bool starts, struct reading_window **ret, struct why *why)
{
	(void)user, (void)call;
	return windows_begin(ops, starts, ret, why);
}

static void window_stop(void *user, struct reading_window *window)
{
	(void)user;
	windows_stop(window);
}

static void window_end(void *user, struct reading_window *window)
{
	(void)user;
	windows_end(window);
}

static int trace_begin(void *user, struct endpoint_call *call, struct why *why)
{
	(void)user, (void)call;
	return windows_begin_trace(why);
}

static int trace_write(void *user, struct endpoint_call *call, uint64_t since_ns, int fd,
		       struct why *why)
{
	int r = api_trace_snapshot(fd, since_ns);

	(void)user, (void)call;
	if (r < 0)
		why_set(why, "%s", strerrordesc_np(-r));
	return r;
}

static void trace_end(void *user)
{
	(void)user;
	windows_end_trace();
}

static int start(void *user, struct endpoint_call *call, const char *spec, struct why *why)
{
	struct option_set words;
	int r = option_parse(spec, process_available(), &words, why);

	(void)user, (void)call;
	if (r == 0)
		r = process_change(&words, why);
	if (r == 0)
		windows_keep((unsigned)words.profiles);
	return r == -EALREADY ? -EINPROGRESS : r;
}

static int stop(void *user, struct endpoint_call *call, const char *names, struct why *why)
{
	struct option_set words;
	int r = option_parse(names, process_available(), &words, why);

	(void)user, (void)call;
	if (r == 0)
		r = process_drop((unsigned)words.profiles & OPTION_PROFILES, why);
	return r == -EALREADY ? -EINPROGRESS : r;
}

static const struct endpoint_source source = {
	.profiles = all_profiles,
	.hold = hold,
	.release = release,
	.look = look,
	.window_begin = window_begin,
	.window_stop = window_stop,
	.window_end = window_end,
	.trace_begin = trace_begin,
	.trace_write = trace_write,
	.trace_end = trace_end,
	.start = start,
	.stop = stop,
};

/* ---- the thread ---- */

/* From here on what it opens takes no number of the host's, and what the host closes is closed. */
static int part_files(void)
{
	struct rlimit limit = {1024, 1024};

	if (sys3(SYS_close_range, 0, ~0u, 2 /* CLOSE_RANGE_UNSHARE */) != 0) {
		int r = (int)sys1(SYS_unshare, 0x400 /* CLONE_FILES */);

		if (r < 0)
			return r;
		getrlimit(RLIMIT_NOFILE, &limit);
		for (unsigned fd = 0; fd < limit.rlim_cur && fd < 1 << 20; fd++)
			sys1(SYS_close, fd);
	}
	for (int fd = 0; fd < 3; fd++)
		sys4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	return 0;
}

/* Are there other threads than the main one, which has ended, our helper and this one? */
static bool is_alone(void)
{
	int pid = (int)sys1(SYS_getpid, 0), others = 0;
	struct segment *s = segment_live();
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;

	while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
		int tid = atoi(entry->d_name);
		const struct thread *t = tid > 0 && s != NULL ? thread_find(s, tid) : NULL;

		others += tid > 0 && tid != pid &&
			  !(t != NULL &&
			    atomic_load_explicit(&t->record->flags, memory_order_relaxed) &
				    THREAD_IS_OURS);
	}
	if (tasks != NULL)
		closedir(tasks);
	return tasks != NULL && others == 0;
}

static uint64_t watch(void *user, uint64_t now)
{
	(void)user;
	if (atomic_load_explicit(&http.is_ending, memory_order_seq_cst))
		http.functions->server_end(http.server);
	if (!process_main_has_left())
		return UINT64_MAX;
	if (is_alone())
		http.functions->server_end(http.server);
	return now + PULSE_NS;
}

static struct thread *become_ours(struct segment *s)
{
	struct thread *t = thread_reserve(s);

	if (t == NULL)
		return NULL;
	atomic_store_explicit(&t->record->flags, THREAD_IS_OURS, memory_order_relaxed);
	memcpy(t->record->name, "cprof-http", 11);
	t = thread_publish(s, t, (int)sys1(SYS_gettid, 0));
	atomic_store_explicit(&t->record->flags, THREAD_IS_OURS, memory_order_relaxed);
	thread_self_block = t;
	atomic_store_explicit(&s->header->own_tids[OWN_SERVER], t->tid, memory_order_relaxed);
	return t;
}

static void tell(enum state state)
{
	atomic_store_explicit(&http.state, state, memory_order_release);
	sys3(SYS_futex, &http.state, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

static int begin(int pipe[2])
{
	struct server_watch watching = {.look = watch};
	struct listen at = {.fd = -1};
	int r = part_files();

	if (r == 0 && pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		why_set(&http.why, "http: no files of its own: %s", strerrordesc_np(-r));
		return r;
	}
	watching.fd = pipe[0];
	http.wake = pipe[1];
	r = http.functions->server_create(&http.server, &watching, &http.why);
	if (r == 0)
		r = http.functions->listen_open(http.listen, &at, &http.why);
	if (r == 0) {
		strcpy(http.path, at.path);
		r = http.functions->server_listen(http.server, &at, http.endpoint, &http.why);
	}
	return r;
}

static void *serve(void *unused)
{
	struct segment *s = segment_live();
	int pipe[2] = {-1, -1};
	struct thread *t;

	(void)unused;
	own_work_begins(); /* for good */
	sys2(SYS_prctl, PR_SET_NAME, "cprof-http");
	http.tid = (int)sys1(SYS_gettid, 0);
	t = become_ours(s);
	http.error = t != NULL ? begin(pipe) : -EAGAIN;
	if (t == NULL)
		why_set(&http.why, "http: no thread record is free; raise memory=");
	tell(http.error == 0 ? STATE_SERVING : STATE_FAILED);
	if (http.error == 0)
		http.functions->server_run(http.server);
	http.functions->server_destroy(http.server);
	http.server = NULL;
	http.functions->hurry(http.endpoint, false);
	thread_self_block = NULL;
	if (t != NULL)
		thread_release(s, t);
	atomic_store_explicit(&http.state, STATE_NONE, memory_order_relaxed);
	atomic_store_explicit(&http.alive, 0, memory_order_release);
	sys3(SYS_futex, &http.alive, FUTEX_WAKE_PRIVATE, INT32_MAX);
	return NULL;
}

/* ---- starting and stopping ---- */

static int make_endpoint(struct why *why)
{
	int r;

	if (http.endpoint != NULL)
		return 0;
	http.functions = writing_endpoint(why);
	if (http.functions == NULL)
		return -ELIBACC;
	r = process_begin(why);
	if (r < 0)
		return r;
	own_work_begins();
	http.endpoint = http.functions->create(&source);
	own_work_ends();
	return http.endpoint != NULL ? 0 : -ENOMEM;
}

static int start_thread(struct why *why)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	uint32_t state;
	int r;

	http.server = NULL;
	http.why.text[0] = '\0';
	http.path[0] = '\0';
	atomic_store_explicit(&http.is_ending, 0, memory_order_relaxed);
	atomic_store_explicit(&http.alive, 1, memory_order_relaxed);
	atomic_store_explicit(&http.state, STATE_STARTING, memory_order_relaxed);
	/* the C library keeps its own two out of it: setuid() waits for all threads' answers */
	sigfillset(&all);
	real.pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = -real.pthread_create(&thread, &attr, serve, NULL);
	pthread_attr_destroy(&attr);
	real.pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) {
		why_set(why, "http: no thread: %s", strerrordesc_np(-r));
		http.state = STATE_NONE;
		http.alive = 0;
		return r;
	}
	while ((state = atomic_load_explicit(&http.state, memory_order_acquire)) == STATE_STARTING)
		sys4(SYS_futex, &http.state, FUTEX_WAIT_PRIVATE, STATE_STARTING, NULL);
	if (http.error < 0)
		*why = http.why;
	return http.error;
}

int http_start(const char *listen, struct why *why)
{
	int saved = errno, r;

	own_work_begins();
	lock_take(&http.lock);
	if (atomic_load_explicit(&http.alive, memory_order_acquire)) {
		why_set(why, "http: it serves already, at %.200s", http.listen);
		r = -EBUSY;
	} else if (strlen(listen) >= sizeof(http.listen)) {
		why_set(why, "http: that is too long for an address");
		r = -EINVAL;
	} else {
		r = make_endpoint(why);
		if (r == 0)
			r = http.functions->server_load(why);
		if (r == 0) {
			strcpy(http.listen, listen);
			r = start_thread(why);
		}
	}
	lock_give(&http.lock);
	own_work_ends();
	errno = saved;
	return r;
}

/* Through the thread's own file, which is not among ours. */
static void wake(void)
{
	char path[64];
	long fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/fd/%d", http.tid, http.wake);
	fd = sys4(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return;
	sys3(SYS_write, fd, "w", 1);
	sys1(SYS_close, fd);
}

void http_stop(void)
{
	const struct timespec moment = {0, 100000};
	uint64_t until = clock_monotonic() + STOP_NS;

	if (!atomic_load_explicit(&http.alive, memory_order_acquire))
		return;
	atomic_store_explicit(&http.is_ending, 1, memory_order_seq_cst);
	http.functions->hurry(http.endpoint, true);
	wake();
	while (atomic_load_explicit(&http.alive, memory_order_acquire)) {
		uint64_t now = clock_monotonic();
		struct timespec left = clock_to_timespec(until > now ? until - now : 0);

		if (now >= until)
			return;
		sys4(SYS_futex, &http.alive, FUTEX_WAIT_PRIVATE, 1, &left);
	}
	/* its last steps are the C library's, who tells nobody of them */
	while (sys3(SYS_tgkill, sys1(SYS_getpid, 0), http.tid, 0) == 0 && clock_monotonic() < until)
		sys2(SYS_nanosleep, &moment, NULL);
}

bool http_pause(void)
{
	bool is_serving = atomic_load_explicit(&http.state, memory_order_acquire) == STATE_SERVING;

	http_stop();
	return is_serving;
}

void http_resume(bool was_serving)
{
	int saved = errno;
	char text[sizeof(http.listen)];
	struct why why;

	if (was_serving) {
		strcpy(text, http.listen);
		http_start(text, &why); /* else nobody answers: that says it */
	}
	errno = saved;
}

void http_leave(void)
{
	if (atomic_load_explicit(&http.alive, memory_order_acquire) && http.path[0] != '\0')
		unlink(http.path);
}

void http_look_around(void)
{
	if (atomic_load_explicit(&http.state, memory_order_acquire) == STATE_SERVING)
		wake();
}

void http_forked(void)
{
	memset(&http, 0, sizeof(http));
	http.lock.rank = LOCK_HTTP;
}

CPROF_PUBLIC int cprof_http_start(const char *listen)
{
	struct why why = {""};
	int r = listen != NULL ? http_start(listen, &why) : -EINVAL;

	if (r < 0 && why.text[0] != '\0')
		log_line("cprof_http_start: %s", why.text);
	return r;
}

CPROF_PUBLIC int cprof_http_stop(void)
{
	http_stop();
	return 0;
}

/* ---- without a server ---- */

static int put_reply(const struct cprof_writer *writer, const struct endpoint_reply *reply)
{
	struct endpoint_header headers[ENDPOINT_HEADERS_MAX];
	unsigned n = http.functions->headers(reply, headers);
	const char *pairs[2 * ENDPOINT_HEADERS_MAX + 1] = {NULL};
	char *buffer;
	off_t at = 0;
	ssize_t got;
	int r;

	for (unsigned i = 0; i < n; i++) {
		pairs[2 * i] = headers[i].name;
		pairs[2 * i + 1] = headers[i].value;
	}
	r = writer->begin(writer->user, reply->status, pairs);
	own_work_begins();
	buffer = malloc(65536);
	own_work_ends();
	if (buffer == NULL)
		return -ENOMEM;
	while (r >= 0 && reply->fd >= 0 && (got = pread(reply->fd, buffer, 65536, at)) > 0) {
		r = writer->write(writer->user, buffer, (size_t)got);
		at += got;
	}
	own_work_begins();
	free(buffer);
	own_work_ends();
	return r < 0 ? r : 0;
}

static struct endpoint_reply *await(struct endpoint_request *q)
{
	struct endpoint_reply *reply;
	uint64_t next = 0;

	while ((own_work_begins(), reply = http.functions->step(q, clock_monotonic(), false, &next),
		own_work_ends(), reply) == NULL) {
		uint64_t now = clock_monotonic();
		struct timespec left = clock_to_timespec(next > now ? next - now : 0);

		nanosleep(&left, NULL);
	}
	return reply;
}

CPROF_PUBLIC int cprof_handle(const char *method, const char *path, const char *query,
			      const void *body, size_t body_size, const struct cprof_writer *writer)
{
	struct endpoint_ask ask = {.method = method,
				   .path = path,
				   .query = query,
				   .body = body != NULL ? body : "",
				   .body_size = body != NULL ? body_size : 0};
	struct endpoint_request *q;
	struct why why = {""};
	int r;

	if (method == NULL || path == NULL || writer == NULL)
		return -EINVAL;
	own_work_begins();
	lock_take(&http.lock);
	r = make_endpoint(&why);
	lock_give(&http.lock);
	q = r == 0 ? http.functions->begin(http.endpoint, &ask) : NULL;
	own_work_ends();
	if (r < 0)
		log_line("cprof_handle: %s", why.text);
	if (q == NULL)
		return r < 0 ? r : -ENOMEM;
	r = put_reply(writer, await(q));
	own_work_begins();
	http.functions->end(q);
	own_work_ends();
	return r;
}
