#include "cli/serving.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/option.h"
#include "core/session.h"
#include "endpoint/endpoint.h"
#include "endpoint/server.h"
#include "http/listen.h"
#include "output/reading.h"

#define LOOK_NS (5 * NS_PER_SECOND) /* as long as SIGQUIT waits for it */
#define TRIES   3
#define TEND_NS (NS_PER_SECOND / 200)
/*
 * For the process to do what it is told, and a little more than change.c gives it: where many want the processors, the kernel may
 * take seconds to show new code to all threads.
 */
#define TRIES_NS (21 * NS_PER_SECOND)

/*
 * How many want a profile on. The process is told one word at a time, and the next when that was answered: so a word of an
 * earlier window never meets a later one.
 */
struct wish {
	unsigned holders;
	int word; /* the socket that an answer is waited for at, + 1; 0: none */
	bool is_start;
};

struct served {
	struct served *next;
	struct serving *serving;
	struct endpoint *endpoint;
	struct segment segment;
	struct segment_header *door; /* NULL: nothing can be asked of it */
	pid_t pid;

	_Atomic unsigned
		started; /* bits of those that run because somebody here wants them, and for nobody else */

	/* the server's thread's */
	struct wish wishes[SEGMENT_RUNS];
	struct window *open;
	bool is_looking;
	uint64_t look_serial;
};

/* A window, and whether it holds its profile on. */
struct window {
	struct window *next;
	struct reading_window *reading;
	const struct profile_ops *ops;
	bool holds;
};

struct serving {
	const struct profile_ops *const *profiles;
	const char *session;
	struct server *server;
	pthread_t thread;
	pthread_mutex_t lock; /* what follows; taken by the server's thread inside its own */
	struct served *all;
};

/* ---- where ---- */

static int check_directory(const char *path, struct why *why)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	why_set(why, "%s is not a directory of this user's alone (mode 0700)", path);
	return -EPERM;
}

int serving_path(pid_t pid, bool should_make, char *ret, size_t size, struct why *why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char directory[96];
	int r;

	if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < 64)
		snprintf(directory, sizeof(directory), "%s/cprof", runtime);
	else
		snprintf(directory, sizeof(directory), "/tmp/cprof.%u", (unsigned)geteuid());
	if (should_make && mkdir(directory, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		why_set(why, "cannot make %s: %s", directory, strerror(-r));
		return r;
	}
	r = check_directory(directory, why);
	if (r < 0)
		return r;
	snprintf(ret, size, "%s/%d.sock", directory, (int)pid);
	return 0;
}

/* ---- a segment of somebody else as a source ---- */

static const struct segment *hold(void *user)
{
	return &((struct served *)user)->segment;
}

static void release(void *user)
{
	(void)user;
}

static unsigned running(const struct served *d)
{
	return atomic_load_explicit(&d->segment.header->running, memory_order_acquire);
}

/* Asks the main thread, again and again while somebody else is at it. 0, -EINPROGRESS, or what the answer was. */
static int ask(struct served *d, struct endpoint_call *call, enum session_what what,
	       const char *text, int *ret_fd, struct why *why)
{
	int sock, r;

	if (call->state == 0) {
		sock = session_ask_begin(d->serving->session, d->pid, what, text, why);
		if (sock < 0)
			return sock;
		call->state = sock + 1;
	}
	r = session_ask_end((int)call->state - 1, what, 0, ret_fd, why);
	if (r == -EINPROGRESS)
		return r;
	call->state = 0;
	if (r == -EBUSY && call->patience.waited_ns < TRIES_NS)
		return -EINPROGRESS;
	return r;
}

/* As SPEC has it: some have other names here. */
static const char *word_of(enum segment_run_id run)
{
	return option_words[run].name;
}

/*
 * Brings a profile nearer to what is wished: 0 it is as it should be, -EINPROGRESS, or why it cannot be on. @run's bit is its
 * place.
 */
static int pursue(struct served *d, enum segment_run_id run, struct why *why)
{
	struct wish *w = &d->wishes[run];
	unsigned bit = 1u << run;
	int none = -1, r = 0;

	if (w->word != 0) {
		r = session_ask_end(w->word - 1, SESSION_START, 0, &none, why);
		if (r == -EINPROGRESS)
			return r;
		if (none >= 0)
			close(none);
		w->word = 0;
		if (r == -EBUSY)
			return -EINPROGRESS; /* another word is under way: it is tried again */
		if (r == 0 && w->is_start)
			atomic_fetch_or_explicit(&d->started, bit, memory_order_relaxed);
		else
			atomic_fetch_and_explicit(&d->started, ~bit, memory_order_relaxed);
	}
	if (r < 0 && w->is_start)
		return r;
	if ((w->holders > 0) == ((running(d) & bit) != 0))
		return 0;
	if (w->holders == 0 && !(atomic_load_explicit(&d->started, memory_order_relaxed) & bit))
		return 0; /* it is somebody else's */
	w->is_start = w->holders > 0;
	r = session_ask_begin(d->serving->session, d->pid,
			      w->is_start ? SESSION_START : SESSION_STOP, word_of(run), why);
	if (r < 0)
		return r == -EAGAIN ? -EINPROGRESS : r;
	w->word = r + 1;
	return -EINPROGRESS;
}

static void let_go(struct served *d, enum segment_run_id run)
{
	if (--d->wishes[run].holders == 0)
		pursue(d, run, NULL);
}

#define HOLDS(run) (-(intptr_t)(run)-1) /* the state of a call that has a share in a wish */

/* On, by now or already. From the first try on the call has a share in it, which is the caller's when it is 0. */
static int switch_on(struct served *d, struct endpoint_call *call, enum segment_run_id run,
		     struct why *why)
{
	int r;

	if (d->door == NULL)
		return running(d) & 1u << run ? 0 : -EAGAIN;
	if (call->state == 0) {
		d->wishes[run].holders++;
		call->state = HOLDS(run);
	}
	r = pursue(d, run, why);
	if (r == -EINPROGRESS && call->patience.waited_ns > TRIES_NS) {
		why_set(why, "the process has not answered; it may do it later, or hang");
		r = -ETIMEDOUT;
	}
	if (r < 0 && r != -EINPROGRESS) {
		call->state = 0;
		let_go(d, run);
	}
	return r == -ENOTSUP ? -EAGAIN : r;
}

static void cancel(void *user, struct endpoint_call *call)
{
	if (call->state < 0)
		let_go(user, (enum segment_run_id)(-call->state - 1));
	else
		close((int)call->state - 1);
	call->state = 0;
}

/* In every round of the server's: words that nobody waits for any more. */
static uint64_t tend(void *user, uint64_t now)
{
	struct serving *serving = user;
	bool is_pending = false;

	pthread_mutex_lock(&serving->lock);
	for (struct served *d = serving->all; d != NULL; d = d->next)
		for (unsigned run = 0; run < SEGMENT_RUNS; run++)
			if (d->wishes[run].holders == 0 &&
			    (d->wishes[run].word != 0 ||
			     (atomic_load_explicit(&d->started, memory_order_relaxed) & running(d) &
			      1u << run)))
				is_pending = pursue(d, run, NULL) == -EINPROGRESS || is_pending;
	pthread_mutex_unlock(&serving->lock);
	return is_pending ? now + TEND_NS : UINT64_MAX;
}

static int look(void *user, struct endpoint_call *call, const struct profile_ops *ops,
		struct why *why)
{
	struct served *d = user;
	uint64_t serial;
	int r;

	if (!ops->is_instant || profile_is_custom(ops) || d->door == NULL)
		return 0;
	r = switch_on(d, call, ops->run, why);
	if (r < 0)
		return r;
	serial = atomic_load_explicit(&d->segment.header->snapshot_serial, memory_order_acquire);
	if (!d->is_looking) {
		d->is_looking = true;
		d->look_serial = serial;
		atomic_fetch_add_explicit(&d->door->snapshots_asked, 1, memory_order_seq_cst);
		atomic_fetch_add_explicit(&d->door->helper_wake, 1, memory_order_seq_cst);
		syscall(SYS_futex, &d->door->helper_wake, FUTEX_WAKE, 1, NULL, NULL, 0);
		return -EINPROGRESS;
	}
	if (serial == d->look_serial && call->patience.waited_ns < LOOK_NS)
		return -EINPROGRESS;
	d->is_looking = false;
	call->state = 0;
	let_go(d, ops->run);
	return 0;
}

static int open_window(struct served *d, const struct profile_ops *ops, bool holds,
		       struct reading_window **ret)
{
	struct window *w;
	int r;

	if (!reading_is_there(&d->segment, ops))
		return -EAGAIN;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	r = reading_window_begin(&d->segment, ops, &w->reading);
	if (r < 0) {
		free(w);
		return r;
	}
	w->ops = ops;
	w->holds = holds;
	w->next = d->open;
	d->open = w;
	*ret = w->reading;
	return 0;
}

static int window_begin(void *user, struct endpoint_call *call, const struct profile_ops *ops,
			bool starts, struct reading_window **ret, struct why *why)
{
	struct served *d = user;
	int r = starts ? switch_on(d, call, ops->run, why) : 0;
	bool holds = call->state != 0;

	if (r < 0)
		return r;
	call->state = 0;
	r = open_window(d, ops, holds, ret);
	if (r < 0 && holds)
		let_go(d, ops->run);
	return r;
}

static struct window **find(struct served *d, const struct reading_window *reading)
{
	struct window **at = &d->open;

	while (*at != NULL && (*at)->reading != reading)
		at = &(*at)->next;
	return at;
}

static void window_stop(void *user, struct reading_window *reading)
{
	struct served *d = user;
	struct window *w = *find(d, reading);

	if (w == NULL || !w->holds)
		return;
	w->holds = false;
	let_go(d, w->ops->run);
}

static void window_end(void *user, struct reading_window *reading)
{
	struct served *d = user;
	struct window **at = find(d, reading), *w = *at;

	if (w == NULL)
		return;
	window_stop(d, reading);
	*at = w->next;
	reading_window_end(w->reading);
	free(w);
}

static int trace_begin(void *user, struct endpoint_call *call, struct why *why)
{
	struct served *d = user;
	int r = switch_on(d, call, RUN_TRACE, why);

	if (r == -EAGAIN) {
		why_set(why, "this process cannot be told to");
		return -ENOTSUP;
	}
	if (r == 0 && call->state == 0) /* without a door: it runs, and is let go all the same */
		d->wishes[RUN_TRACE].holders++;
	if (r == 0)
		call->state = 0;
	return r;
}

static int trace_write(void *user, struct endpoint_call *call, uint64_t since_ns, int fd,
		       struct why *why)
{
	struct served *d = user;
	char since[24];
	int file = -1, r;

	snprintf(since, sizeof(since), "%" PRIu64, since_ns);
	r = ask(d, call, SESSION_TRACE, since, &file, why);

	/* its file is begun a little after it was switched on */
	if (r == -ENODATA && call->patience.waited_ns < TRIES_NS)
		return -EINPROGRESS;
	if (r < 0)
		return r;
	r = session_copy(file, fd, 0);
	close(file);
	return r;
}

static void trace_end(void *user)
{
	struct served *d = user;

	let_go(d, RUN_TRACE);
}

static int start(void *user, struct endpoint_call *call, const char *spec, struct why *why)
{
	struct served *d = user;
	struct option_set words;
	int none = -1, r = ask(d, call, SESSION_START, spec, &none, why);

	if (none >= 0)
		close(none);
	if (r == 0 && option_parse(spec, OPTION_PROFILES, &words, NULL) == 0)
		serving_keep(d, (unsigned)words.profiles);
	return r;
}

static int stop(void *user, struct endpoint_call *call, const char *names, struct why *why)
{
	int none = -1, r = ask(user, call, SESSION_STOP, names, &none, why);

	if (none >= 0)
		close(none);
	return r;
}

void serving_keep(struct served *served, unsigned profiles)
{
	if (served != NULL)
		atomic_fetch_and_explicit(&served->started, ~profiles, memory_order_relaxed);
}

/* ---- beginning and end ---- */

static void *serve(void *server)
{
	server_run(server);
	return NULL;
}

int serving_begin(struct serving **ret, const struct profile_ops *const *profiles,
		  const char *session, struct why *why)
{
	struct serving *serving = calloc(1, sizeof(*serving));
	struct server_watch watch = {.fd = -1, .look = tend, .user = serving};
	sigset_t all, before;
	int r;

	if (serving == NULL)
		return -ENOMEM;
	serving->profiles = profiles;
	serving->session = session;
	pthread_mutex_init(&serving->lock, NULL);
	r = server_create(&serving->server, &watch, why);
	if (r == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(&serving->thread, NULL, serve, serving->server);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r < 0)
			server_destroy(serving->server);
	}
	if (r < 0) {
		free(serving);
		return r;
	}
	*ret = serving;
	return 0;
}

static int listen_at(struct serving *serving, const char *text, struct served *d, struct why *why)
{
	struct listen at;
	int r = listen_open(text, &at, why);

	return r < 0 ? r : server_listen(serving->server, &at, d->endpoint, why);
}

struct served *serving_add(struct serving *serving, const struct segment *s,
			   struct segment_header *door, pid_t pid, const char *listen,
			   struct why *why)
{
	struct served *d = serving != NULL ? calloc(1, sizeof(*d)) : NULL;
	struct endpoint_source source = {
		.user = d,
		.profiles = serving != NULL ? serving->profiles : NULL,
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
		.cancel = cancel,
	};
	char path[108], text[128];
	struct why unsaid;
	int opened = 0;

	if (d == NULL)
		return NULL;
	d->serving = serving;
	d->segment = *s;
	d->door = door;
	d->pid = pid;
	d->endpoint = endpoint_create(&source);
	/* another launcher may just be taking the directory away */
	for (int i = 0; i < TRIES && d->endpoint != NULL && opened == 0; i++)
		if (serving_path(pid, true, path, sizeof(path), &unsaid) == 0) {
			snprintf(text, sizeof(text), "unix:%s", path);
			opened += listen_at(serving, text, d, &unsaid) == 0;
		}
	if (d->endpoint != NULL && listen != NULL)
		opened += listen_at(serving, listen, d, why) == 0;
	if (opened > 0) {
		pthread_mutex_lock(&serving->lock);
		d->next = serving->all;
		serving->all = d;
		pthread_mutex_unlock(&serving->lock);
		return d;
	}
	endpoint_destroy(d->endpoint);
	free(d);
	return NULL;
}

void serving_remove(struct serving *serving, struct served *served)
{
	struct served **at;

	if (served == NULL)
		return;
	pthread_mutex_lock(&serving->lock);
	for (at = &serving->all; *at != served;)
		at = &(*at)->next;
	*at = served->next;
	pthread_mutex_unlock(&serving->lock);
	server_forget(serving->server, served->endpoint);
	endpoint_destroy(served->endpoint);
	while (served->open != NULL)
		window_end(served, served->open->reading);
	for (unsigned run = 0; run < SEGMENT_RUNS; run++)
		if (served->wishes[run].word != 0)
			close(served->wishes[run].word - 1);
	free(served);
}

void serving_end(struct serving *serving)
{
	struct why why;
	char path[108];

	if (serving == NULL)
		return;
	server_end(serving->server);
	pthread_join(serving->thread, NULL);
	server_destroy(serving->server);
	free(serving);
	/* only if it is empty */
	if (serving_path(0, false, path, sizeof(path), &why) == 0) {
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
}
