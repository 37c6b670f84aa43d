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
#include "core/scan.h"
#include "core/session.h"
#include "core/signals.h"
#include "core/walk.h"
#include "preload/api.h"
#include "preload/boot.h"
#include "preload/own_work.h"
#include "preload/real.h"
#include "preload/rebind.h"
#include "preload/wrap_alloc.h"
#include "preload/wrap_operators.h"
#include "preload/writing.h"
#include "profiles/cpu/cpu.h"
#include "profiles/heap/heap.h"

static struct process {
	struct lock lock; /* LOCK_CONTROL: what follows */
	_Atomic unsigned running;
	struct option_set options; /* as last started */
	struct option_set environment;
	bool has_session;   /* a launcher reads the segment: nothing to write here */
	bool has_files;     /* out= was given and is not written yet */
	bool main_has_left; /* the main thread, by pthread_exit() */
	bool is_set_up;     /* the hooks below are in place */
	pthread_key_t thread_key;
	_Atomic uint64_t threads; /* that were counted */
	int owner;                /* the pid that made the segment */
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
	return s != NULL && (int)sys1(SYS_getpid, 0) == s->header->pid;
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

	if (!process_is_ours(s) || t != thread_self_block)
		return;
	if (t->ends++ < KEY_ROUNDS) {
		pthread_setspecific(process.thread_key, t);
		return;
	}
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->thread_ends != NULL)
			(*p)->thread_ends(s, t);
	if (t->tid == s->header->pid)
		process.main_has_left = true;
	thread_self_block = NULL;
	thread_release(s, t);
	if (process.main_has_left)
		helper_look_around(s);
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
	heap_prepare = wrap_operators_prepare;
	heap_turned = wrap_alloc_turn;
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

static int start_profiles(struct segment *s, const struct option_set *options, struct why *why)
{
	unsigned started = 0, left_off = 0;
	int r = 0;

	for (const struct profile_ops *const *p = all_profiles; *p != NULL && r == 0; p++) {
		if ((*p)->is_view || !(options->profiles & (*p)->bit) ||
		    (process_running() & (*p)->bit))
			continue;
		r = (*p)->start(s, options, why);
		if (r == 0)
			started |= (*p)->bit;
		if (r == -ENOTSUP && ((*p)->bit | left_off) != options->profiles) {
			left_off |= (*p)->bit;
			leave_off(s, *p, why);
			r = 0;
		}
	}
	if (r < 0) {
		for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
			if (!(*p)->is_view && (started & (*p)->bit))
				(*p)->stop(s);
		return r;
	}
	atomic_fetch_or_explicit(&process.running, started, memory_order_acq_rel);
	return 0;
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
		segment_publish(s);
		know_caller(s);
	}
	r = start_profiles(s, options, why);
	if (r == 0) {
		process.options = *options;
		process.has_files = process.has_files || option_is_given(options, OPTION_ID_OUT);
	}
out:
	lock_give(&process.lock);
	own_work_ends();
	return r;
}

void process_stop(unsigned profiles)
{
	struct segment *s = segment_live();

	lock_take(&process.lock);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if (s != NULL && !(*p)->is_view && (profiles & process_running() & (*p)->bit))
			(*p)->stop(s);
	atomic_fetch_and_explicit(&process.running, ~profiles, memory_order_acq_rel);
	lock_give(&process.lock);
}

void process_confined(void)
{
	struct segment *s = segment_live();
	int saved = errno;

	if (process_is_ours(s) && process_running() != 0) {
		segment_count_lost(s, LOST_CONFINED, 1);
		process_stop(OPTION_PROFILES);
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

bool process_has_files(void)
{
	bool has_files;

	lock_take(&process.lock);
	has_files = process.has_files;
	lock_give(&process.lock);
	return has_files;
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

/* The launcher may see the parent end before the child has spoken: it must know that there is one. */
static void fork_parent(void)
{
	struct segment *s = segment_live();

	if (process_is_ours(s) && process_running() != 0 && process.options.follow)
		segment_count_note(s, NOTE_FORKS, 1);
}

/*
 * In the child of fork. The parent's other threads are gone, in whatever they held, so nothing here may wait for a lock
 * of the loader's or the allocator's: the module list is the parent's, copied.
 */
static void fork_child(void)
{
	struct segment parent;
	unsigned running = process_running();
	uint32_t labels = labels_of_forker();
	unsigned char held = held_by(thread_self_block);
	struct why why = {"out of memory"};
	int r;

	if (process.owner == 0 || segment_own() == NULL)
		return;
	parent = *segment_own();
	segment_disown();
	process.lock = (struct lock){.rank = LOCK_CONTROL};
	process.threads = 0;
	modules_forked();
	rebind_forked();
	scan_forked();
	helper_forked();
	look_forked();
	api_forked();
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->forked != NULL)
			(*p)->forked();
	atomic_store_explicit(&process.running, 0, memory_order_relaxed);
	thread_self_block = NULL;
	process.owner = 0;
	process.has_files = process.has_files && !process.has_session;

	if (running != 0 && process.options.follow) {
		r = begin(&process.options, true, &why);
		if (r == 0) {
			struct segment *s = segment_own();

			segment_copy_names(s, &parent);
			segment_publish(s);
			know_caller(s);
			if (thread_self_block != NULL) {
				atomic_store_explicit(&thread_self_block->record->labels, labels,
						      memory_order_relaxed);
				atomic_store_explicit(&thread_self_block->held, held,
						      memory_order_relaxed);
			}
			r = start_profiles(s, &process.options, &why);
		}
		if (r < 0) {
			segment_count_lost(&parent, LOST_CHILDREN,
					   1); /* the one word a child writes there */
			log_debug("child %d is not followed: %s", (int)getpid(), why.text);
		}
	}
	segment_release(&parent);
}

void process_thread_created(void)
{
	struct segment *s = segment_live();
	struct thread *creator = process_running() != 0 ? process_self() : NULL;

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

	/* glibc puts a thread's own block at the top of its stack: all between is stack */
	if (block > frame && block - frame < 1 << 20)
		high = block;
	/* the guard page, and what lies above the block, come off the size; a little more does no harm */
	if (t->stack_bytes > 32768)
		low = high - (t->stack_bytes - 16384);
	signals_host_blocks = t->host_blocks;
	if (s != NULL) {
		published = thread_publish(s, t, (int)sys1(SYS_gettid, 0));
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
		look_note_name(t, name);
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
	thread_is_known(s, t);
}

struct thread *process_exec_begins(struct wait *w)
{
	struct segment *s = segment_live();
	struct thread *t = thread_self_block;

	if (s != NULL)
		signals_before_exec();
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

void process_exec_failed(struct thread *t, struct wait *w)
{
	struct segment *s = segment_live();
	int saved = errno;

	if (s != NULL)
		signals_after_exec();
	errno = saved;
	if (s == NULL || t == NULL)
		return;
	wait_end(w);
	for (const struct profile_ops *const *p = all_profiles; *p != NULL; p++)
		if ((*p)->exec != NULL && (process_running() & (*p)->bit))
			(*p)->exec(s, t, true);
	errno = saved;
}
