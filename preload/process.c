#include "preload/process.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/helper.h"
#include "core/labels.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/look.h"
#include "core/modules.h"
#include "core/profile.h"
#include "core/sampled.h"
#include "core/scan.h"
#include "core/session.h"
#include "core/signals.h"
#include "core/walk.h"
#include "preload/allocator.h"
#include "preload/boot.h"
#include "preload/handlers.h"
#include "preload/http.h"
#include "preload/own_work.h"
#include "preload/real.h"
#include "preload/rebind.h"
#include "preload/requests.h"
#include "preload/windows.h"
#include "preload/wrap_alloc.h"
#include "preload/wrap_operators.h"
#include "preload/writing.h"
#include "profiles/cpu/cpu.h"
#include "profiles/custom/custom.h"
#include "profiles/heap/heap.h"
#include "tracer/sync.h"
#include "tracer/trace.h"
#include "tracer/user.h"

static struct process {
	struct lock lock; /* LOCK_CONTROL: what follows */
	_Atomic unsigned running;
	struct option_set options; /* as last started */
	struct option_set environment;
	bool has_session;           /* a launcher reads the segment: nothing to write here */
	bool has_files;             /* out= was given and is not written yet */
	_Atomic bool main_has_left; /* the main thread, by pthread_exit() */
	bool is_set_up;             /* the hooks below are in place */
	bool is_confined;           /* it filters its system calls: none of ours any more */
	pthread_key_t thread_key;
	_Atomic uint64_t threads; /* that were counted */
	_Atomic unsigned libraries_asked,
		libraries_found; /* calls of dlopen(), seen and looked after */
	int owner;               /* the pid that made the segment */
} process = {.lock = {.rank = LOCK_CONTROL}};

unsigned process_available(void)
{
	unsigned bits = 0;

	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		bits |= (*p)->bit;
	return bits;
}

unsigned process_running(void)
{
	return atomic_load_explicit(&process.running, memory_order_acquire);
}

void process_set_environment(const struct option_set *options)
{
	if (options != NULL)
		process.environment = *options;
	else
		option_defaults(&process.environment);
}

const struct option_set *process_options(void)
{
	return &process.environment;
}

bool process_is_ours(const struct segment *s)
{
	return s != NULL && !process.is_confined && (int)sys1(SYS_getpid, 0) == s->header->pid;
}

#define KEY_ROUNDS 2 /* of the four that POSIX promises; the rest is for keys that are set late */

/*
 * The end of a thread. A key's destructor runs after C++'s thread_local ones; it asks to be called again until the last
 * round, so that destructors of other keys are still sampled.
 */
static void thread_ends(void *thread)
{
	struct segment *s = segment_live();
	struct thread *t = thread;
	bool is_heard;

	if (!process_is_ours(s) || t != thread_self_block)
		return;
	if (t->ends++ < KEY_ROUNDS) {
		pthread_setspecific(process.thread_key, t);
		return;
	}
	is_heard = trace_hears_last_call();
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->thread_ends != NULL)
			(*p)->thread_ends(s, t);
	if (t->tid == s->header->pid)
		process.main_has_left = true;
	if (!is_heard) {
		thread_self_block = NULL;
		thread_release(s, t);
	}
	if (process.main_has_left) {
		helper_look_around(s);
		http_look_around();
	}
}

/* Also for a thread that somebody else found, in signal context. */
static void thread_is_known(struct segment *s, struct thread *t)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->thread_begins != NULL)
			(*p)->thread_begins(s, t);
}

static void thread_is_gone(struct segment *s, struct thread *t)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->thread_gone != NULL)
			(*p)->thread_gone(s, t);
}

static void thread_begins(struct segment *s, struct thread *t)
{
	thread_self_block = t;
	own_work_begins(); /* a program with many keys before ours */
	pthread_setspecific(process.thread_key, t);
	own_work_ends();
	thread_is_known(s, t);
}

/* The calling thread becomes known, with the bounds of its stack where they are cheap to have. */
static void know_caller(struct segment *s)
{
	struct thread *t = thread_self_block;
	char name[THREAD_NAME_SIZE] = "";
	struct rlimit limit;

	if (t == NULL)
		t = thread_find(s, (int)sys1(SYS_gettid, 0));
	if (t == NULL) {
		t = thread_reserve(s);
		if (t == NULL)
			return;
		t->number =
			atomic_fetch_add_explicit(&process.threads, 1, memory_order_relaxed) + 1;
		t = thread_publish(s, t, (int)sys1(SYS_gettid, 0));
	}
	if (sys2(SYS_prctl, PR_GET_NAME, name) == 0)
		look_note_name(t, name);
	if (t->tid == s->header->pid && boot_stack_end() != 0) {
		uint64_t size =
			8
			<< 20; /* what is asked about is always less deep than the limit at start */

		if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < size)
			size = limit.rlim_cur;
		t->stack_high = boot_stack_end();
		t->stack_low = t->stack_high - size;
	}
	thread_begins(s, t);
}

static void fork_parent(void);
struct thread *process_self(void)
{
	struct segment *s = segment_live();

	if (!process_is_ours(s))
		return NULL;
	if (thread_self_block == NULL) /* it was there before us, or came by a raw clone() */
		know_caller(s);
	return thread_self_block;
}

static void fork_child(void);

static void library_changed(struct segment *s, const char *path, bool is_there)
{
	(void)s;
	if (trace_runs())
		trace_library(is_there ? TRACE_LIBRARY_OPENED : TRACE_LIBRARY_CLOSED, path);
}

static int prepare_heap(struct why *why)
{
	int r = wrap_operators_prepare(why);

	if (r == 0)
		allocator_find();
	return r;
}

static int set_up_once(struct why *why)
{
	int r;

	if (process.is_set_up)
		return 0;
	r = pthread_key_create(&process.thread_key, thread_ends);
	if (r == 0)
		r = pthread_atfork(NULL, fork_parent, fork_child);
	if (r != 0) {
		why_set(why, "no room to watch threads and forks: %s", strerrordesc_np(r));
		return -r;
	}
	scan_hooks = (struct scan_hooks){thread_is_known, thread_is_gone};
	modules_ours = (uintptr_t)set_up_once;
	heap_prepare = prepare_heap;
	heap_turned = wrap_alloc_turn;
	sync_turned = contention_watch;
	sampled_cpu = trace_cpu_sample;
	modules_changed = library_changed;
	signals_host_runs = handlers_shared;
	process.is_set_up = true;
	return 0;
}

/* Gives the launcher its view of the segment. Without one, the memory is ours alone. */
static void hand_over(struct segment *s, int fd)
{
	const char *socket_path = boot_session();
	int r;

	process.has_session = false;
	if (socket_path == NULL)
		return;
	r = session_send(socket_path, fd, s->size);
	if (r == 0) {
		process.has_session = true;
		s->header->is_kept = 1;
	} else {
		/* it has ended, and this process lives on; or there are more children at once than it can take in */
		log_debug("the launcher at %s does not answer: %s", socket_path,
			  strerrordesc_np(-r));
	}
}

static void describe(struct segment *s)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	s->header->program = segment_string(s, program_invocation_short_name,
					    strlen(program_invocation_short_name));
	if (n > 0)
		s->header->executable = segment_string(s, path, (size_t)n);
}

/* A segment with what the process is at this moment; live when it returns 0. */
static int begin(const struct option_set *options, bool is_forked, struct why *why)
{
	struct segment *s;
	int fd, r;

	r = set_up_once(why);
	if (r == 0 && options->unwind == OPTION_UNWIND_LIBUNWIND && walk_settings.libunwind == NULL)
		r = walk_libunwind_init(why);
	if (r < 0)
		return r;
	walk_settings.depth = (uint32_t)options->depth;
	walk_settings.way = (enum walk_way)options->unwind;
	r = segment_create(options->memory_bytes, &s, &fd, why);
	if (r < 0)
		return r;
	r = thread_init(s);
	if (r < 0) {
		why_set(why, "no memory for %u thread blocks",
			segment_count(s, SEGMENT_THREADS, 0));
		close(fd);
		segment_forget();
		return r;
	}
	process.owner = s->header->pid;
	s->header->is_forked = is_forked;
	describe(s);
	hand_over(s, fd);
	close(fd);
	return 0;
}

/* The rest goes on without it. Said once: by the launcher where there is one, which also puts it into its files. */
static void leave_off(struct segment *s, const struct profile_ops *ops, const struct why *why)
{
	atomic_store_explicit(&profile_run(s, ops)->left_off,
			      segment_string(s, why->text, strlen(why->text)),
			      memory_order_release);
	if (!process.has_session)
		log_line("%s", why->text);
}

/* Starts those that are logs, or those that are not. Adds to what was started and what was left off. */
static int start_some(struct segment *s, const struct option_set *options, unsigned changed,
		      bool are_logs, unsigned *started, unsigned *left_off, struct why *why)
{
	unsigned running = process_running();
	int r = 0;

	for (const struct profile_ops *const *p = all_profiles; *p != NULL && r == 0; p++) {
		if ((*p)->is_view || (*p)->is_log != are_logs || !(options->profiles & (*p)->bit) ||
		    (running & ~changed & (*p)->bit))
			continue;
		if (are_logs && (running & (*p)->bit))
			(*p)->stop(s); /* the others can be started again */
		r = (*p)->start(s, options, why);
		if (r == 0)
			*started |= (*p)->bit & ~running;
		if (r == -ENOTSUP && ((*p)->bit | *left_off) != options->profiles) {
			*left_off |= (*p)->bit;
			leave_off(s, *p, why);
			r = 0;
		}
	}
	return r;
}

static void set_running(struct segment *s, unsigned running)
{
	atomic_store_explicit(&process.running, running, memory_order_release);
	atomic_store_explicit(&s->header->running, running, memory_order_release);
}

/* @changed: those of them that run go on with what @options say. */
static int start_profiles(struct segment *s, const struct option_set *options, unsigned changed,
			  struct why *why)
{
	unsigned started = 0, left_off = 0;
	int r;

	/* logs first: they have all samples of the others */
	if (options->profiles & ~process_running() & OPTION_TRACE && !helper_is_caller()) {
		/* where ours is the only other thread, all code can be changed that system calls are made from */
		helper_pause(s);
		r = start_some(s, options, changed, true, &started, &left_off, why);
		helper_resume(s);
	} else {
		r = start_some(s, options, changed, true, &started, &left_off, why);
	}
	if (r == 0)
		r = start_some(s, options, changed, false, &started, &left_off, why);
	if (r < 0) {
		for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
			if (!(*p)->is_view && (started & (*p)->bit))
				(*p)->stop(s);
		return r;
	}
	set_running(s, process_running() | started);
	if (started & OPTION_TRACE)
		handlers_traced();
	return 0;
}

/* After the destructors of all libraries, ours too, when it was set before main(). */
static void exits(int status, void *user)
{
	process_exits(status);
	(void)user;
}

static void watch_exit(void)
{
	static bool is_watched;

	if (!is_watched && on_exit(exits, NULL) == 0)
		is_watched = true;
}

/*
 * The launcher may ask for more later, and what asks the loader or the C library's lists cannot be done then: it is done now.
 * Without a thread for us there is no more to ask for.
 */
static void begin_obeying(struct segment *s, bool is_forked)
{
	struct why why = {""};

	if (!process.has_session ||
	    atomic_load_explicit(&s->header->is_obeying, memory_order_relaxed))
		return;
	if (!is_forked) {
		prepare_heap(&why);
		watch_exit();
	}
	if (helper_start(s, HELPER_REQUESTS, requests_obey, HELPER_NEVER, &why) < 0)
		log_debug("nothing can be changed from outside: %s", why.text);
	else
		atomic_store_explicit(&s->header->is_obeying, 1, memory_order_release);
}

int process_start(const struct option_set *options, struct why *why)
{
	struct segment *s;
	int r = 0;

	own_work_begins();
	lock_take(&process.lock);
	s = segment_live();
	if (s == NULL) {
		r = begin(options, false, why);
		if (r < 0)
			goto out;
		s = segment_own();
		modules_refresh(s);
		custom_begin(s, NULL);
		segment_publish(s);
		know_caller(s);
		trace_prepare(boot_session());
	}
	r = start_profiles(s, options, 0, why);
	if (r == 0) {
		begin_obeying(s, false);
		if (process_running() & OPTION_TRACE)
			watch_exit();
		process.options = *options;
		process.options.profiles = process_running(); /* children have the same */
		process.has_files = process.has_files || option_is_given(options, OPTION_ID_OUT);
	}
out:
	lock_give(&process.lock);
	own_work_ends();
	return r;
}

int process_begin(struct why *why)
{
	struct option_set none = process.environment;

	none.profiles = 0;
	return segment_live() != NULL ? 0 : process_start(&none, why);
}

/* Held: process.lock. */
static void stop_profiles(struct segment *s, unsigned profiles)
{
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if (s != NULL && !(*p)->is_view && (profiles & process_running() & (*p)->bit))
			(*p)->stop(s);
	if (s != NULL)
		set_running(s, process_running() & ~profiles);
}

void process_stop(unsigned profiles)
{
	struct segment *s = segment_live();

	lock_take(&process.lock);
	stop_profiles(s, profiles);
	lock_give(&process.lock);
}

/* What @words say of a profile, where it is another thing. Returns whose it was, as bits. */
static unsigned take_words(struct option_set *to, const struct option_set *words)
{
	unsigned changed = 0;

#define TAKE(word, field)                                                                  \
	do {                                                                               \
		if (option_is_given(words, OPTION_ID_##word) && to->field != words->field) \
			changed |= OPTION_##word;                                          \
		if (option_is_given(words, OPTION_ID_##word))                              \
			to->field = words->field;                                          \
	} while (0)
	TAKE(CPU, cpu_hz);
	TAKE(WALL, wall_hz);
	TAKE(HEAP, heap_bytes);
	TAKE(BLOCK, block_ns);
	TAKE(BLOCK, block_rate_ns);
	TAKE(MUTEX, mutex_n);
	TAKE(TRACE, trace);
#undef TAKE
	return changed;
}

/* Settings are of the process, and were chosen when it began. */
static int refuse_settings(const struct option_set *words, struct why *why)
{
	for (int id = OPTION_ID_ALL + 1; id < OPTION_ID_N; id++) {
		if (!option_is_given(words, (enum option_id)id))
			continue;
		why_set(why, "%s= is chosen when the program is started", option_words[id].name);
		return -EINVAL;
	}
	if ((words->profiles & OPTION_PROFILES) == 0) {
		why_set(why, "no profile is asked for");
		return -EINVAL;
	}
	return 0;
}

static int refuse_files(unsigned profiles, struct why *why)
{
	if (!(profiles & process_running() & OPTION_CPU) || !cpu_has_files())
		return 0;
	why_set(why,
		"cpu: it samples faster than the kernel's tick, by files of the program's, and "
		"goes on as it is");
	return -ENOTSUP;
}

int process_change(const struct option_set *words, struct why *why)
{
	struct segment *s = segment_live();
	struct option_set options;
	unsigned changed;
	int r;

	if (!process_is_ours(s)) {
		why_set(why, "the process is confined, and nothing is recorded any more");
		return -ENOTSUP;
	}
	r = refuse_settings(words, why);
	if (r < 0)
		return r;
	if (!lock_try(&process.lock))
		return -EALREADY;
	own_work_begins();
	options = process.options;
	changed = take_words(&options, words);
	options.profiles = words->profiles;
	r = refuse_files(changed, why);
	if (r == 0)
		r = start_profiles(s, &options, changed, why);
	if (r == 0) {
		process.options = options;
		process.options.profiles = process_running(); /* children have the same */
	}
	own_work_ends();
	lock_give(&process.lock);
	return r;
}

int process_drop(unsigned profiles, struct why *why)
{
	struct segment *s = segment_live();
	int r;

	if (!process_is_ours(s))
		return 0; /* confined: all has stopped */
	if (!lock_try(&process.lock))
		return -EALREADY;
	r = refuse_files(profiles, why);
	if (r == 0) {
		stop_profiles(s, profiles);
		process.options.profiles = process_running();
	}
	lock_give(&process.lock);
	return r;
}

static void stop_obeying(struct segment *s)
{
	lock_take(&process.lock);
	if (atomic_exchange_explicit(&s->header->is_obeying, 0, memory_order_acq_rel))
		helper_stop(s, HELPER_REQUESTS);
	lock_give(&process.lock);
}

void process_confined(void)
{
	struct segment *s = segment_live();
	int saved = errno;

	if (process_is_ours(s)) {
		/* even when nothing is recorded a thread of ours may be there, which a filter for all would meet */
		http_stop();
		stop_obeying(s);
		if (process_running() != 0) {
			segment_count_lost(s, LOST_CONFINED, 1);
			process_stop(OPTION_PROFILES);
		}
		/* who writes its files itself asks who it is once more */
		process.is_confined = process.has_session;
	}
	errno = saved;
}

void process_settle(void)
{
	struct segment *s = segment_live();

	if (!process_is_ours(s))
		return;
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->settle != NULL)
			(*p)->settle(s);
}

void process_exits(int status)
{
	int saved = errno;

	if (process_is_ours(segment_live()))
		trace_exits(status);
	errno = saved;
}

bool process_main_has_left(void)
{
	return process.main_has_left;
}

bool process_has_files(void)
{
	bool has_files;

	lock_take(&process.lock);
	has_files = process.has_files;
	lock_give(&process.lock);
	return has_files;
}

bool process_has_session(void)
{
	bool has_session;

	lock_take(&process.lock);
	has_session = process.has_session;
	lock_give(&process.lock);
	return has_session;
}

int process_write_files(void)
{
	struct segment *s = segment_live();
	bool has_files;

	lock_take(&process.lock);
	has_files = process.has_files && !process.has_session && process_is_ours(s);
	process.has_files = false;
	lock_give(&process.lock);
	return has_files ? writing_files(s, &process.options) : 0;
}

/* The labels that the forking thread had: the child's only thread goes on with them. */
static uint32_t labels_of_forker(void)
{
	const struct thread *t = thread_self_block;

	return t != NULL ? atomic_load_explicit(&t->record->labels, memory_order_relaxed) : 0;
}

/* What it has blocked, and its children inherit. */
static unsigned char held_by(const struct thread *t)
{
	return t != NULL ? atomic_load_explicit(&t->held, memory_order_relaxed) : 0;
}

/* A child records, too. */
static bool is_to_follow(void)
{
	return process_running() != 0 || custom_is_used();
}

/* The launcher may see the parent end before the child has spoken: it must know that there is one. */
static void fork_parent(void)
{
	struct segment *s = segment_live();

	if (process_is_ours(s) && is_to_follow() && process.options.follow)
		segment_count_note(s, NOTE_FORKS, 1);
}

/*
 * In the child of fork. The parent's other threads are gone, in whatever they held, so nothing here may wait for a lock
 * of the loader's or the allocator's: the module list is the parent's, copied.
 */
static void fork_child(void)
{
	struct segment parent;
	unsigned running = windows_others(process_running());
	uint32_t labels = labels_of_forker();
	unsigned char held = held_by(thread_self_block);
	struct why why = {"out of memory"};
	int r;

	if (process.owner == 0 || segment_own() == NULL || process.is_confined)
		return;
	parent = *segment_own();
	segment_disown();
	process.lock = (struct lock){.rank = LOCK_CONTROL};
	process.threads = 0;
	modules_forked();
	rebind_forked();
	allocator_forked();
	scan_forked();
	helper_forked();
	look_forked();
	windows_forked();
	http_forked();
	handlers_forked();
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->forked != NULL)
			(*p)->forked();
	atomic_store_explicit(&process.running, 0, memory_order_relaxed);
	thread_self_block = NULL;
	process.owner = 0;
	process.has_files = process.has_files && !process.has_session;

	if ((running != 0 || custom_is_used()) && process.options.follow) {
		r = begin(&process.options, true, &why);
		if (r == 0) {
			struct segment *s = segment_own();

			segment_copy_names(s, &parent);
			custom_begin(s, &parent);
			segment_publish(s);
			know_caller(s);
			if (thread_self_block != NULL) {
				atomic_store_explicit(&thread_self_block->record->labels, labels,
						      memory_order_relaxed);
				atomic_store_explicit(&thread_self_block->held, held,
						      memory_order_relaxed);
			}
			process.options.profiles &= running;
			r = start_profiles(s, &process.options, 0, &why);
			if (r == 0)
				begin_obeying(s, true);
		}
		if (r < 0) {
			segment_count_lost(&parent, LOST_CHILDREN,
					   1); /* the one word a child writes there */
			log_debug("child %d is not followed: %s", (int)getpid(), why.text);
		}
	}
	own_work_begins();
	segment_leave(&parent);
	own_work_ends();
}

void process_thread_created(void)
{
	struct segment *s = segment_live();
	struct thread *creator = process_running() != 0 ? process_self() : NULL;

	process_find_libraries(false);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL && creator != NULL; p++)
		if ((*p)->thread_created != NULL)
			(*p)->thread_created(s, creator);
}

struct thread *process_thread_reserve(const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	struct segment *s = segment_live();
	struct thread *self = thread_self_block, *t;
	pthread_attr_t standard;
	size_t size = 0;

	if (!process_is_ours(s))
		return NULL;
	t = thread_reserve(s);
	if (t == NULL)
		return NULL;
	if (attr != NULL) {
		pthread_attr_getstacksize(attr, &size);
	} else if (pthread_getattr_default_np(&standard) == 0) {
		pthread_attr_getstacksize(&standard, &size);
		pthread_attr_destroy(&standard);
	}
	t->number = atomic_fetch_add_explicit(&process.threads, 1, memory_order_relaxed) + 1;
	t->start = start;
	t->start_argument = arg;
	t->stack_bytes = size;
	t->host_blocks = signals_host_blocks;
	/*
	 * As we were told, not as it is: a sanitizer's runtime blocks everything around the creation by system calls of its
	 * own, and lets it in again in the same way.
	 */
	atomic_store_explicit(&t->held, held_by(self), memory_order_relaxed);
	if (self != NULL) {
		memcpy(t->record->name, self->record->name, THREAD_NAME_SIZE);
		t->name_serial = self->name_serial;
	}
	if (self != NULL)
		atomic_store_explicit(
			&t->record->labels,
			atomic_load_explicit(&self->record->labels, memory_order_relaxed),
			memory_order_relaxed);
	if (process_running() & OPTION_TRACE)
		trace_creates(s, process_self(), t, (uintptr_t)start,
			      (uintptr_t)real.pthread_create);
	return t;
}

void process_thread_cancel(struct thread *t)
{
	struct segment *s = segment_live();

	if (t != NULL && s != NULL)
		thread_release(s, t);
}

/*
 * The first words of a thread. The call of its routine is the last thing, so that it is a jump and leaves no frame of ours on
 * the thread's stack.
 */
void *process_thread_main(void *thread)
{
	struct thread *t = thread, *published;
	void *(*start)(void *) = t->start;
	void *argument = t->start_argument;
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0), block = (uintptr_t)pthread_self();
	uint32_t labels = atomic_load_explicit(&t->record->labels, memory_order_relaxed);
	unsigned char held = held_by(t);
	uint64_t number = t->number;
	uintptr_t high = frame + 16, low = 0;
	struct segment *s = segment_live();
	struct trace_announced announced;

	/* glibc puts a thread's own block at the top of its stack: all between is stack */
	if (block > frame && block - frame < 1 << 20)
		high = block;
	/* the guard page, and what lies above the block, come off the size; a little more does no harm */
	if (t->stack_bytes > 32768)
		low = high - (t->stack_bytes - 16384);
	signals_host_blocks = t->host_blocks;
	if (s != NULL) {
		/* for a handler that comes from here on, before anybody may find it */
		t->tid = (int)sys1(SYS_gettid, 0);
		t->stack_low = low;
		t->stack_high = low != 0 ? high : 0;
		atomic_signal_fence(memory_order_seq_cst);
		thread_self_block = t;
		announced = trace_announced(s, t);
		published = thread_publish(s, t, t->tid);
		trace_set_announced(s, published, announced);
		atomic_store_explicit(&published->held, held, memory_order_relaxed);
		published->number = number;
		published->stack_low = low;
		published->stack_high = low != 0 ? high : 0;
		atomic_store_explicit(&published->record->labels, labels, memory_order_relaxed);
		thread_begins(s, published);
	}
	return start(argument);
}

void process_thread_named(const char *name)
{
	struct thread *t = thread_self_block;

	if (!process_is_ours(segment_live()))
		return;
	if (name != NULL && t != NULL && t->tid == (int)sys1(SYS_gettid, 0))
		look_note_name(t, name), trace_names(name);
	else
		atomic_fetch_add_explicit(&look_names_serial, 1, memory_order_relaxed);
}

void process_thread_adopt(int tid)
{
	struct segment *s = segment_live();
	struct thread *t;

	if (!process_is_ours(s))
		return;
	process_thread_created();
	if (thread_find(s, tid) != NULL)
		return;
	t = thread_reserve(s);
	if (t == NULL)
		return;
	t = thread_publish(s, t, tid);
	if (process_running() & OPTION_TRACE)
		trace_creates(s, process_self(), t, 0, (uintptr_t)real.clone);
	thread_is_known(s, t);
}

void process_expect_library(void)
{
	atomic_fetch_add_explicit(&process.libraries_asked, 1, memory_order_relaxed);
}

void process_find_libraries(bool is_last)
{
	struct segment *s = segment_live();
	unsigned asked = atomic_load_explicit(&process.libraries_asked, memory_order_relaxed);

	/* at the end once more: one that was on its way may have been missed */
	if (!trace_runs() || !process_is_ours(s) ||
	    asked == (is_last ? 0
			      : atomic_load_explicit(&process.libraries_found,
						     memory_order_relaxed)))
		return;
	atomic_store_explicit(&process.libraries_found, asked, memory_order_relaxed);
	own_work_begins();
	modules_refresh(s);
	own_work_ends();
}

/*
 * In a child of vfork(), which has its parent's memory and is, as long as that waits, the thread that made it. It may try
 * several paths.
 */
static void note_vfork(void)
{
	static int last;
	int pid = (int)sys1(SYS_getpid, 0);

	if (last != pid)
		trace_fork(pid, trace_ticks(), 0);
	last = pid;
}

struct thread *process_exec_begins(const char *path, struct wait *w)
{
	struct segment *s = segment_live();
	struct thread *t = thread_self_block;

	if (s != NULL)
		signals_before_exec();
	if (trace_runs() && process_is_ours(s))
		trace_exec(path, 0);
	else if (trace_runs())
		note_vfork();
	/* a child of vfork shares all memory with its parent, this block too: it must not touch the parent's timers */
	if (s == NULL || t == NULL || (int)sys1(SYS_gettid, 0) != t->tid)
		return NULL;
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->exec != NULL && (process_running() & (*p)->bit))
			(*p)->exec(s, t, false);
	/* nobody asks it from here on, and a question that waits behind its mask would meet the new program */
	wait_announce(w, WAIT_SYSCALL + SYS_execve, (struct wait_place){0});
	cpu_drop_pending();
	return t;
}

void process_exec_failed(const char *path, struct thread *t, struct wait *w)
{
	struct segment *s = segment_live();
	int saved = errno;

	if (s != NULL)
		signals_after_exec();
	if (trace_runs() && process_is_ours(s))
		trace_exec(path, saved);
	errno = saved;
	if (s == NULL || t == NULL)
		return;
	wait_end(w);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->exec != NULL && (process_running() & (*p)->bit))
			(*p)->exec(s, t, true);
	errno = saved;
}
