#include "cli/tracing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli/reception.h"
#include "cli/switches.h"
#include "output/file.h"
#include "output/lock_names.h"
#include "output/memory.h"

#define PASS_MS     100
#define IDLE_MS     1000 /* when nothing happens; who fills half of the chunks wakes us */
#define BUSY_BYTES  (UINT64_C(256) << 10) /* in one pass: the next one follows at once */
#define BREATH_NS   1000000
#define STACK_BYTES (UINT32_C(1) << 20) /* what reads debugging information takes what it wants */
#define ASKS_MAX    16                  /* at once */
#define NAMED_MAX   16                  /* files for regions that lasted too long: a ring each */

_Static_assert(offsetof(struct segment_header, trace_given_back) + 8 <= RECEPTION_DOOR,
	       "what is written back lies behind the door");

enum course { RUNNING, PAUSED, ENDING };

struct tracing {
	struct drain *drain;
	const char *directory;
	pthread_t thread;
	bool has_thread, is_ending, is_finished;
	_Atomic int course;
	enum trace_end reason;
	uint32_t value;

	struct segment segment;
	pid_t pid;
	struct segment_header *door;
	struct memory_reader memory;
	struct switches *switches;
	bool has_asked_for_switches;
	bool looks_at_times; /* in their place: what is not looked at before the end is not known */
	struct symbols *symbols; /* at the end */
	pid_t owner;             /* of our processes, the one whose thread it is */

	struct taken { /* a snapshot under way: the thread's own */
		bool is_there;
		unsigned number; /* of its name; 0: for those who ask */
		struct file file;
		int asks[ASKS_MAX]; /* who gets it */
		unsigned asks_n;
		uint64_t since_ns;
	} taken;
	uint32_t triggered; /* regions that lasted too long, of those that were looked at */
	uint64_t left_out;  /* of them: without a snapshot */

	pthread_mutex_t lock; /* for what follows */
	char below[128];
	bool has_file;
	int fd;
	struct why why;
	int asks[ASKS_MAX]; /* connections of those who wait for a snapshot */
	unsigned asks_n;
	uint64_t asks_since_ns; /* which need not have what was before; 0: all of it */
	unsigned named_n;       /* files trace.N.out */
};

/* The file */

static int open_place(const struct tracing *t, const char *below, struct why *why)
{
	int fd = file_open_directory(t->directory, why), above = fd;

	if (fd >= 0 && below[0] != '\0') {
		fd = file_open_below(above, below, why);
		close(above);
	}
	return fd;
}

/* Under its own name at once: it grows, and must be there when we are not any more. One that was there goes. */
static int open_file(void *user)
{
	struct tracing *t = user;
	int directory, fd;

	pthread_mutex_lock(&t->lock);
	directory = fd = open_place(t, t->below, &t->why);
	if (directory >= 0) {
		unlinkat(directory, TRACING_FILE, 0);
		fd = openat(directory, TRACING_FILE,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0) {
			fd = -errno;
			why_set(&t->why, "cannot write %s%s%s/%s: %s", t->directory,
				t->below[0] ? "/" : "", t->below, TRACING_FILE, strerror(-fd));
		}
		close(directory);
	}
	t->has_file = fd >= 0;
	t->fd = fd;
	pthread_mutex_unlock(&t->lock);
	return fd;
}

#define NAME_MAX_BYTES 32

static void name_snapshot(unsigned number, char ret[NAME_MAX_BYTES])
{
	snprintf(ret, NAME_MAX_BYTES, "trace.%u.out", number);
}

void tracing_move(struct tracing *t, const char *below)
{
	struct why why = {""};
	char name[NAME_MAX_BYTES];
	int from, to;

	pthread_mutex_lock(&t->lock);
	if (t->has_file) {
		from = open_place(t, t->below, &why);
		to = open_place(t, below, &why);
		if (from >= 0 && to >= 0)
			renameat(from, TRACING_FILE, to, TRACING_FILE);
		for (unsigned i = 1; i <= t->named_n && from >= 0 && to >= 0; i++) {
			name_snapshot(i, name);
			renameat(from, name, to, name);
		}
		if (from >= 0)
			close(from);
		if (to >= 0)
			close(to);
	}
	snprintf(t->below, sizeof(t->below), "%s", below);
	pthread_mutex_unlock(&t->lock);
}

/* As soon as the process traces. Where the kernel does not permit it, the trace does not say that it has them. */
static void open_switches(struct tracing *t)
{
	struct why why = {""};

	/* acquire pairs: trace_start() */
	if (t->has_asked_for_switches ||
	    !(atomic_load_explicit(&t->segment.header->trace_level, memory_order_acquire) &
	      TRACE_LEVEL_SCHED))
		return;
	t->has_asked_for_switches = true;
	if (switches_open(&t->switches, t->pid, &why) < 0) {
		drain_note(t->drain, "switches", why.text);
		drain_use_schedstat(t->drain);
		t->looks_at_times = true;
	} else if (t->door != NULL) {
		atomic_fetch_or_explicit(&t->door->trace_has, TRACE_HAS_SWITCHES,
					 memory_order_relaxed);
	}
}

/* What others than the process itself know of it: when its threads ran, how much memory it has. */
static void add_others(struct drain *d, uint64_t now_ns, void *user)
{
	struct tracing *t = user;
	struct memory_now now;

	switches_pass(t->switches, d, t->is_ending);
	if (memory_read(&t->memory, &t->segment, (int)t->pid, now_ns, &now))
		drain_add_event(d, TRACE_HEAP_SAMPLE_EVENT,
				(const uint64_t[]){now.live_bytes, now.live_objects,
						   now.allocated_bytes, now.freed_bytes,
						   now.mapped_bytes, now.rss_bytes},
				6);
}

static bool name_object(void *user, uint64_t address, bool is_site, char *ret, size_t size)
{
	struct tracing *t = user;

	if (t->symbols == NULL)
		symbols_create(&t->symbols);
	return lock_names_find(&t->segment, t->symbols, address, is_site, ret, size);
}

static void end_drain(struct tracing *t)
{
	t->is_ending = true;
	t->memory.next_ns = 0; /* the last state, whenever it was looked at */
	drain_end(t->drain, t->reason, t->value);
	symbols_destroy(t->symbols);
	t->symbols = NULL;
}

/*
 * Snapshots: files in the directory of the trace, written by this thread between its passes, so that recording goes on. Those
 * that somebody has asked for have no name.
 */

void tracing_ask(struct tracing *t, int connection, uint64_t since_ns)
{
	bool has_room;

	pthread_mutex_lock(&t->lock);
	has_room = t->has_thread && t->asks_n < ASKS_MAX;
	if (has_room) {
		t->asks[t->asks_n++] = connection;
		/* they share one: it has what any of them wants */
		if (t->asks_n == 1 || since_ns < t->asks_since_ns)
			t->asks_since_ns = since_ns;
	}
	pthread_mutex_unlock(&t->lock);
	if (has_room)
		drain_rouse(t->drain);
	else
		reception_answer(
			connection, t->has_thread ? -EBUSY : -ENOMEM,
			t->has_thread
				? "too many ask for it at once"
				: "the trace is written at the end only: no memory for a thread",
			-1);
}

static void answer_asks(struct taken *s, int error, const char *text, int fd)
{
	while (s->asks_n > 0)
		reception_answer(s->asks[--s->asks_n], error, text, fd);
}

static int open_snapshot(struct tracing *t, struct taken *s, struct why *why)
{
	char name[NAME_MAX_BYTES];
	int directory, r;

	name_snapshot(s->number, name);
	pthread_mutex_lock(&t->lock);
	directory = open_place(t, t->below, why);
	pthread_mutex_unlock(&t->lock);
	if (directory < 0)
		return directory;
	r = file_create(&s->file, directory, t->directory, name, why);
	if (r < 0)
		close(directory);
	else if (s->number == 0)
		unlinkat(directory, s->file.temporary, 0);
	return r;
}

static void close_snapshot(struct taken *s)
{
	file_abandon(&s->file);
	close(s->file.directory);
	s->is_there = false;
}

/* Where the trace is by now. */
static int give_name(struct tracing *t, struct taken *s, struct why *why)
{
	int directory, r;

	pthread_mutex_lock(&t->lock);
	directory = open_place(t, t->below, why);
	r = directory;
	if (directory >= 0) {
		r = renameat(s->file.directory, s->file.temporary, directory, s->file.name) < 0
			    ? -errno
			    : 0;
		close(directory);
	}
	if (r == 0)
		t->named_n = s->number;
	pthread_mutex_unlock(&t->lock);
	return r;
}

static void fail_snapshot(struct tracing *t, int error, struct why *why)
{
	struct taken *s = &t->taken;

	if (why->text[0] == '\0')
		why_set(why, "no snapshot of the trace: %s",
			error == -ENODATA ? "the program does not trace" : strerror(-error));
	answer_asks(s, error, why->text, -1);
	if (s->number == 0)
		return;
	t->left_out++;
	pthread_mutex_lock(&t->lock);
	t->why = *why;
	pthread_mutex_unlock(&t->lock);
}

/* Those since the last look share one: it is of the moment when they were too long. */
static bool is_triggered(struct tracing *t)
{
	/* acquire pairs: trace_region_end() */
	uint32_t now = atomic_load_explicit(&t->segment.header->trace_triggered,
					    memory_order_acquire),
		 since = now - t->triggered;

	t->triggered = now;
	if (since == 0 || t->named_n < NAMED_MAX)
		return since != 0;
	t->left_out += since;
	return false;
}

static bool take_asks(struct tracing *t)
{
	struct taken *s = &t->taken;

	pthread_mutex_lock(&t->lock);
	memcpy(s->asks, t->asks, t->asks_n * sizeof(t->asks[0]));
	s->asks_n = t->asks_n;
	s->since_ns = t->asks_since_ns;
	t->asks_n = 0;
	pthread_mutex_unlock(&t->lock);
	return s->asks_n > 0;
}

static bool begin_snapshot(struct tracing *t)
{
	struct taken *s = &t->taken;
	struct why why = {""};
	int r;

	s->since_ns = 0;
	s->number = is_triggered(t) ? t->named_n + 1 : 0;
	if (s->number == 0 && !take_asks(t))
		return false;
	r = open_snapshot(t, s, &why);
	if (r == 0) {
		r = drain_snapshot_begin(t->drain, fcntl(s->file.fd, F_DUPFD_CLOEXEC, 3),
					 s->since_ns);
		if (r < 0)
			close_snapshot(s);
	}
	if (r < 0)
		fail_snapshot(t, r, &why);
	s->is_there = r == 0;
	return true;
}

static void go_on_with_snapshot(struct tracing *t)
{
	struct taken *s = &t->taken;
	struct why why = {""};
	int r = drain_snapshot_step(t->drain);

	if (r == 1)
		return;
	if (r == 0 && s->number != 0)
		r = give_name(t, s, &why);
	if (r < 0)
		fail_snapshot(t, r, &why);
	else
		answer_asks(s, 0, "", s->file.fd);
	close_snapshot(s);
}

/* True when there was something to do. */
static bool serve_snapshots(struct tracing *t)
{
	if (!t->taken.is_there)
		return begin_snapshot(t);
	go_on_with_snapshot(t);
	return true;
}

unsigned tracing_snapshots(const struct tracing *t, uint64_t *ret_left_out)
{
	*ret_left_out = t->left_out;
	return t->named_n;
}

/* The thread */

/* However often somebody rouses us; but the end is not made to wait. */
static void take_breath(struct tracing *t)
{
	static const struct timespec breath = {0, BREATH_NS};

	syscall(SYS_futex, &t->course, FUTEX_WAIT_PRIVATE, RUNNING, &breath, NULL, 0);
}

static void *run(void *tracing)
{
	struct tracing *t = tracing;
	unsigned ms = PASS_MS;

	for (;;) {
		uint32_t ticket = drain_ticket(t->drain);
		/* acquire pairs: set_course() */
		int course = atomic_load_explicit(&t->course, memory_order_acquire);
		uint64_t taken;

		bool was_asked = serve_snapshots(t);

		while (was_asked && course != RUNNING)
			was_asked = serve_snapshots(t);
		if (course == ENDING)
			end_drain(t);
		if (course != RUNNING)
			return NULL;
		open_switches(t);
		taken = drain_pass(t->drain);
		if (taken >= BUSY_BYTES || was_asked)
			continue;
		ms = taken > 0 || t->looks_at_times ? PASS_MS : ms < IDLE_MS / 2 ? ms * 2 : IDLE_MS;
		take_breath(t);
		drain_sleep(t->drain, ticket, ms);
	}
}

static void set_course(struct tracing *t, enum course course)
{
	atomic_store_explicit(&t->course, course, memory_order_release);
	syscall(SYS_futex, &t->course, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	drain_rouse(t->drain);
}

void tracing_resume(struct tracing *t)
{
	pthread_attr_t attributes;
	sigset_t all, before;

	if (t->has_thread || t->is_finished)
		return;
	if (t->owner != getpid()) { /* the kernel's records were our parent's */
		switches_forget(t->switches);
		t->switches = NULL;
		t->has_asked_for_switches = false;
		t->owner = getpid();
	}
	atomic_store_explicit(&t->course, RUNNING, memory_order_release);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* without one, what finds room in the chunks is written at the end */
	t->has_thread = pthread_create(&t->thread, &attributes, run, t) == 0;
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct tracing *tracing_begin(const struct segment *s, void *door, pid_t pid, const char *directory,
			      const char *below, struct writer_ring ring)
{
	struct tracing *t = calloc(1, sizeof(*t));
	struct drain_setup setup = {
		.segment = *s,
		.door = door,
		.pid = pid,
		.ring = ring,
		.open = open_file,
		.each_pass = add_others,
		.name = name_object,
		.user = t,
	};

	if (t == NULL || drain_create(&t->drain, &setup) < 0) {
		free(t);
		return NULL;
	}
	t->segment = *s;
	t->door = door;
	t->pid = pid;
	t->directory = directory;
	t->fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	snprintf(t->below, sizeof(t->below), "%s", below);
	drain_note_process(t->drain, pid);
	tracing_resume(t);
	return t;
}

void tracing_pause(struct tracing *t)
{
	if (!t->has_thread)
		return;
	if (atomic_load_explicit(&t->course, memory_order_relaxed) == RUNNING)
		set_course(t, PAUSED);
	pthread_join(t->thread, NULL);
	t->has_thread = false;
	t->is_finished = atomic_load_explicit(&t->course, memory_order_relaxed) == ENDING;
}

void tracing_end(struct tracing *t, enum trace_end reason, uint32_t value)
{
	if (t->is_finished || atomic_load_explicit(&t->course, memory_order_relaxed) == ENDING)
		return;
	t->reason = reason;
	t->value = value;
	set_course(t, ENDING);
}

struct drain_counts tracing_finish(struct tracing *t, struct why *why)
{
	struct drain_counts counts;

	if (t == NULL)
		return (struct drain_counts){0};
	tracing_end(t, TRACE_END_UNKNOWN, 0);
	if (t->has_thread)
		pthread_join(t->thread, NULL);
	else if (!t->is_finished)
		end_drain(t);
	t->has_thread = false;
	t->is_finished = true;
	counts = drain_counts(t->drain);
	if (counts.error < 0 && t->has_file)
		why_set(why, "%s%s%s/%s ends before the program did, after %llu bytes: %s",
			t->directory, t->below[0] ? "/" : "", t->below, TRACING_FILE,
			(unsigned long long)counts.bytes, strerror(-counts.error));
	else if (t->why.text[0] != '\0')
		*why = t->why;
	return counts;
}

int tracing_fd(const struct tracing *t)
{
	return t->has_file ? t->fd : -1;
}

void tracing_forget(struct tracing *t)
{
	if (t == NULL)
		return;
	tracing_pause(t);
	drain_destroy(t->drain);
	switches_close(t->switches);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
