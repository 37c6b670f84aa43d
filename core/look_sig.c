#include "core/look.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/clock.h"
#include "core/helper.h"
#include "core/labels.h"
#include "core/look_private.h"
#include "core/modules.h"
#include "core/signals.h"
#include "core/table.h"
#include "core/walk_far.h"

_Atomic(look_sink) look_sinks[LOOK_KINDS];
_Atomic uint32_t look_names_serial = 1;

/* thread.asked: a bit for each that looks, and while the thread is at its answer: */
#define ANSWERING 0x100u

/* Marks our question among SIGPROFs. */
#define TAG_ASK UINT64_C(0x6370726c00000000)

static void give(struct segment *s, struct thread *t, enum look_for who, const struct look *look)
{
	look_sink sink = atomic_load_explicit(&look_sinks[who], memory_order_acquire);

	if (sink != NULL)
		sink(s, t, look);
}

/* ---- a thread that says what it waits for ---- */

/* False: it moved meanwhile. */
static bool look_at_waiting(struct segment *s, struct thread *t, uint64_t word, enum look_for who,
			    bool is_busy)
{
	struct thread *self = thread_self_block;
	uint64_t *frames = self->scratch->words;
	struct wait_place place = t->waits_at;
	struct walk_far_start at = {place.pc, place.sp, place.bp, false};
	struct look look = {.code = WAIT_CODE(word), .word = word, .frames = frames};
	uint32_t index, first = 0;

	look.since_ns = atomic_load_explicit(&t->record->waits_since_ns, memory_order_relaxed);
	if (is_busy) {
		static const char text[] = "[in the kernel, or a signal handler]";

		frames[first++] = FRAME_NAMED(segment_string(s, text, sizeof(text) - 1));
		look.code = WAIT_NOT;
	}
	if (place.callee != 0) {
		frames[first++] =
			FRAME_ADDRESS(place.callee) |
			(modules_find(s, place.callee, &index) ? (uint64_t)(index + 1) << 48 : 0);
	}
	look.depth = first + walk_far(s, self->rules, at, frames + first).depth;
	/* pairs: wait_announce, which takes the word away before it changes the place */
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&t->record->waits, memory_order_relaxed) != word)
		return false;
	segment_count_note(s, NOTE_LOOKS_WAITING, 1);
	give(s, t, who, &look);
	return true;
}

/* ---- a thread that does not say ---- */

struct in_kernel {
	bool is_known, is_running;
	long number; /* system call, -1 none */
	uint64_t arguments[6];
	uintptr_t sp, pc;
};

static const char *parse_hex(const char *c, uint64_t *ret)
{
	*ret = 0;
	while (*c == ' ')
		c++;
	if (c[0] == '0' && c[1] == 'x')
		c += 2;
	for (;; c++) {
		unsigned digit = *c >= '0' && *c <= '9'   ? (unsigned)(*c - '0')
				 : *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a' + 10)
							  : 16;

		if (digit == 16)
			return c;
		*ret = *ret << 4 | digit;
	}
}

/* /proc/PID/task/TID/syscall: "running", or number, six arguments, sp and pc; or -1, sp and pc. */
static struct in_kernel ask_kernel(int tid, int *file)
{
	struct in_kernel k = {.number = -1};
	char text[256];
	const char *c = text;
	uint64_t word;

	if ((file != NULL ? helper_read_kept(tid, "syscall", file, text, sizeof(text))
			  : helper_read_task(tid, "syscall", text, sizeof(text))) <= 0)
		return k;
	k.is_known = true;
	if (*c == 'r') {
		k.is_running = true;
		return k;
	}
	if (*c == '-') {
		c += 2;
	} else {
		k.number = 0;
		while (*c >= '0' && *c <= '9')
			k.number = k.number * 10 + (*c++ - '0');
		for (int i = 0; i < 6; i++)
			c = parse_hex(c, &k.arguments[i]);
	}
	c = parse_hex(c, &word);
	k.sp = word;
	parse_hex(c, &word);
	k.pc = word;
	return k;
}

/*
 * Calls that go on after a handler with SA_RESTART as if nothing had been (signal(7)). What has a timeout ends with EINTR
 * in some forms, so those forms are left out; and so is what writes, which ends with the part that it has written.
 */
static bool goes_on(const struct in_kernel *k)
{
	switch (k->number) {
	case SYS_futex:
		return k->arguments[3] == 0;
	case SYS_read:
	case SYS_readv:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_flock:
		return signals_restarts(SIGPROF);
	default:
		return false;
	}
}

/* A signal, with a value by which it is known. When the queue for such values is full the kernel sends it without. */
static long send_question(const struct thread *t)
{
	siginfo_t info;
	long pid = sys1(SYS_getpid, 0);

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGPROF;
	info.si_code = SI_QUEUE;
	info.si_pid = (int)pid;
	info.si_value.sival_ptr = (void *)(TAG_ASK | t->index);
	return sys4(SYS_rt_tgsigqueueinfo, pid, t->tid, SIGPROF, &info);
}

enum asking { ASK_SENT, ASK_WAITS, ASK_GONE };

static enum asking ask(struct thread *t, enum look_for who)
{
	uint32_t bit = 1u << who;
	uint32_t before = atomic_fetch_or_explicit(&t->asked, bit, memory_order_seq_cst);

	/* pairs: wait_announce, which sets the word first and looks at @asked after; both seq_cst */
	if (atomic_load_explicit(&t->record->waits, memory_order_seq_cst) != 0) {
		/* if it has begun to answer, that is as good */
		if (!look_forget(t, who))
			return ASK_SENT;
		/* it may have waited for the signal in vain */
		atomic_store_explicit(&t->deaf, 0, memory_order_relaxed);
		return ASK_WAITS;
	}
	if (before != 0)
		return ASK_SENT; /* one signal serves all who ask */
	if (send_question(t) == 0)
		return ASK_SENT;
	look_forget(t, who);
	return ASK_GONE;
}

/* What the kernel tells of a thread that is not to be signalled, or did not answer. */
static void look_by_kernel(struct segment *s, struct thread *t, const struct in_kernel *k,
			   enum look_for who)
{
	struct thread *self = thread_self_block;
	struct walk_far_start at = {k->pc, k->sp, 0, true};
	struct look look = {.code = k->number >= 0 ? wait_code_of_syscall(k->number) : WAIT_NOT,
			    .frames = self->scratch->words};

	look.depth = walk_far(s, self->rules, at, self->scratch->words).depth;
	segment_count_note(s, NOTE_LOOKS_KERNEL, 1);
	give(s, t, who, &look);
}

/* True when it has our signal blocked: the mask in /proc/PID/task/TID/status. */
static bool is_blocked(int tid)
{
	static const char key[] = "\nSigBlk:\t";
	char text[2048];
	uint64_t mask = 0;
	int n = helper_read_task(tid, "status", text, sizeof(text));

	for (int i = 0; i + (int)sizeof(key) < n; i++) {
		if (memcmp(text + i, key, sizeof(key) - 1) == 0) {
			parse_hex(text + i + sizeof(key) - 1, &mask);
			break;
		}
	}
	return mask >> (SIGPROF - 1) & 1;
}

/* One that gave up waiting for our signal, or did not answer, may have had other reasons. */
static bool is_deaf(struct thread *t)
{
	if (!atomic_load_explicit(&t->deaf, memory_order_relaxed))
		return false;
	if (is_blocked(t->tid))
		return true;
	atomic_store_explicit(&t->deaf, 0, memory_order_relaxed);
	return false;
}

/*
 * A thread that said it waits, and has used a processor all the same: in the kernel, for the call, or in a handler of the
 * host's that interrupted it. It is not asked: a call that has moved part of its bytes would end with these.
 */
static bool is_at_work(const struct thread *t, int *file)
{
	struct in_kernel k = ask_kernel(t->tid, file);

	return k.is_running;
}

SIGSAFE enum look_result look_at(struct segment *s, struct thread *t, enum look_for who,
				 unsigned running, bool has_run, int *file)
{
	if (t->name_serial != atomic_load_explicit(&look_names_serial, memory_order_relaxed))
		look_name(t);
	for (int tries = 0; tries < 3; tries++) {
		uint64_t word = atomic_load_explicit(&t->record->waits, memory_order_acquire);
		struct in_kernel k;

		if (word != 0) {
			if (look_at_waiting(s, t, word, who, has_run && is_at_work(t, file)))
				return LOOK_DONE;
			continue;
		}
		k = ask_kernel(t->tid, file);
		if (k.is_known && !k.is_running && k.pc == 0)
			return LOOK_GONE; /* it is ending */
		if (k.is_running || !k.is_known || goes_on(&k)) {
			t->asked_code = k.number >= 0 ? wait_code_of_syscall(k.number) : running;
			if (is_deaf(t)) {
				look_unanswered(s, t, who);
				return LOOK_DONE;
			}
			switch (ask(t, who)) {
			case ASK_SENT:
				return LOOK_ASKED;
			case ASK_GONE:
				return LOOK_GONE;
			case ASK_WAITS:
				continue;
			}
		}
		/* it may have announced itself since */
		if (atomic_load_explicit(&t->record->waits, memory_order_acquire) != 0)
			continue;
		look_by_kernel(s, t, &k, who);
		return LOOK_DONE;
	}
	/* on its way in and out of calls all the time: it runs */
	t->asked_code = running;
	return ask(t, who) == ASK_GONE ? LOOK_GONE : LOOK_ASKED;
}

SIGSAFE bool look_forget(struct thread *t, enum look_for who)
{
	uint32_t seen = atomic_load_explicit(&t->asked, memory_order_acquire);

	while (!(seen & ANSWERING) && (seen & 1u << who))
		if (atomic_compare_exchange_weak_explicit(&t->asked, &seen, seen & ~(1u << who),
							  memory_order_acq_rel,
							  memory_order_acquire))
			return true;
	return false;
}

/* "[no answer: do_wait]": the place in the kernel, where it may be told. */
SIGSAFE void look_unanswered(struct segment *s, struct thread *t, enum look_for who)
{
	struct in_kernel k = ask_kernel(t->tid, NULL);
	char channel[64], text[96] = "[no answer: ";
	uint64_t frame;
	struct look look = {.code = k.number >= 0 ? wait_code_of_syscall(k.number) : t->asked_code,
			    .frames = &frame,
			    .depth = 1};
	int n = helper_read_task(t->tid, "wchan", channel, sizeof(channel));
	size_t at = strlen(text);

	if (n <= 0 || (n == 1 && channel[0] == '0')) {
		const char *instead = atomic_load_explicit(&t->deaf, memory_order_relaxed)
					      ? "signal blocked"
					      : "waits for a processor";

		n = (int)strlen(instead);
		memcpy(channel, instead, (size_t)n);
	}
	memcpy(text + at, channel, (size_t)n);
	text[at + (size_t)n] = ']';
	look.channel = segment_string(s, channel, (size_t)n);
	frame = FRAME_NAMED(segment_string(s, text, at + (size_t)n + 1));
	segment_count_note(s, NOTE_LOOKS_DEAF, 1);
	give(s, t, who, &look);
}

SIGSAFE enum look_result look_again(struct thread *t, enum look_for who)
{
	if (!look_forget(t, who))
		return atomic_load_explicit(&t->asked, memory_order_acquire) != 0 ? LOOK_ASKED
										  : LOOK_DONE;
	if (is_blocked(t->tid)) {
		atomic_store_explicit(&t->deaf, 1, memory_order_relaxed);
		return LOOK_DEAF;
	}
	/* one that slept waits for a processor because we asked: what it did is to sleep */
	if (t->asked_code == WAIT_NOT)
		t->asked_code = WAIT_RUNNABLE;
	return LOOK_LATE;
}

/* ---- the thread that is asked ---- */

static bool is_question(int sig, const siginfo_t *info)
{
	return sig == SIGPROF && info->si_code == SI_QUEUE &&
	       ((uint64_t)info->si_value.sival_ptr & UINT64_C(0xffffffff00000000)) == TAG_ASK;
}

/* The calling thread's block; one that came by a raw clone() may have none, or its maker's. */
static struct thread *own_block(struct segment *s, bool has_value, const siginfo_t *info)
{
	struct thread *t = thread_self_block;
	int tid = (int)sys1(SYS_gettid, 0);

	if ((t == NULL || t->tid != tid) && has_value)
		t = thread_at(s, (uint32_t)(uint64_t)info->si_value.sival_ptr);
	return t != NULL && t->record != NULL && t->tid == tid ? t : NULL;
}

SIGSAFE bool look_on_dequeued(int sig, const siginfo_t *info)
{
	struct segment *s = segment_live();
	struct thread *t;

	if (!is_question(sig, info))
		return false;
	t = s != NULL ? own_block(s, true, info) : NULL;
	if (t != NULL) /* the look that asked finds no answer, and the next asks again */
		atomic_store_explicit(&t->deaf, 0, memory_order_relaxed);
	return true;
}

static void answer(struct segment *s, struct thread *t, uint32_t who_all, const ucontext_t *uc)
{
	static const char small[] = "[alternate stack too small]";
	struct look look = {.code = t->asked_code};
	uint64_t no_room;

	if (signals_has_room(uc)) {
		struct walk_result stack = walk_signal(s, t, uc);

		look.frames = stack.frames;
		look.depth = stack.depth;
	} else {
		no_room = FRAME_NAMED(segment_string(s, small, sizeof(small) - 1));
		look.frames = &no_room;
		look.depth = 1;
	}
	segment_count_note(s, NOTE_LOOKS_ASKED, 1);
	for (unsigned who = 0; who < LOOK_KINDS; who++)
		if (who_all & 1u << who)
			give(s, t, (enum look_for)who, &look);
}

SIGSAFE bool look_on_signal(int sig, siginfo_t *info, void *ucontext)
{
	struct segment *s = segment_live();
	bool has_value = is_question(sig, info);
	/* the second: the queue was full; a kill() has a sender */
	bool is_ours =
		has_value || (sig == SIGPROF && info->si_code == SI_USER && info->si_pid == 0);
	struct thread *t = s != NULL ? own_block(s, has_value, info) : NULL;
	uint32_t seen;

	if (t == NULL)
		return is_ours;
	if (has_value)
		atomic_store_explicit(&t->deaf, 0, memory_order_relaxed);
	if (atomic_load_explicit(&t->asked, memory_order_acquire) == 0 || !thread_enter(s, t))
		return is_ours;
	seen = atomic_fetch_or_explicit(&t->asked, ANSWERING, memory_order_acq_rel);
	if (seen != 0)
		answer(s, t, seen, ucontext);
	atomic_store_explicit(&t->asked, 0, memory_order_release);
	thread_leave(t);
	return is_ours;
}

SIGSAFE bool look_is_in(struct thread *t, unsigned code, int *file)
{
	struct in_kernel k = ask_kernel(t->tid, file);

	return k.is_known && !k.is_running && k.number >= 0 &&
	       wait_code_of_syscall(k.number) == code;
}

SIGSAFE void look_in_passing(struct segment *s, struct thread *t, enum look_for who)
{
	static const char text[] = "[not looked at: out of time]";
	uint64_t word = atomic_load_explicit(&t->record->waits, memory_order_relaxed);
	uint64_t frame = FRAME_NAMED(segment_string(s, text, sizeof(text) - 1));
	struct look look = {.code = WAIT_CODE(word), .word = word, .frames = &frame, .depth = 1};

	segment_count_note(s, NOTE_LOOKS_DEAF, 1);
	give(s, t, who, &look);
}

SIGSAFE void look_note_name(struct thread *t, const char *name)
{
	size_t n = 0;

	while (n < THREAD_NAME_SIZE - 1 && name[n] != '\0')
		n++;
	memset(t->record->name, 0, THREAD_NAME_SIZE);
	memcpy(t->record->name, name, n);
	t->names++;
	t->name_serial = atomic_load_explicit(&look_names_serial, memory_order_relaxed);
}

SIGSAFE void look_name(struct thread *t)
{
	char name[THREAD_NAME_SIZE + 2];
	uint32_t serial = atomic_load_explicit(&look_names_serial, memory_order_relaxed);
	int n = helper_read_task(t->tid, "comm", name, sizeof(name));

	if (n <= 0)
		return;
	if (name[n - 1] == '\n')
		n--;
	if (n >= THREAD_NAME_SIZE)
		n = THREAD_NAME_SIZE - 1;
	memset(name + n, 0, sizeof(name) - (size_t)n);
	if (memcmp(t->record->name, name, THREAD_NAME_SIZE) != 0)
		t->names++;
	memcpy(t->record->name, name, THREAD_NAME_SIZE);
	t->name_serial = serial;
}

SIGSAFE uint32_t look_labels(struct segment *s, struct thread *t, uint32_t base, unsigned code)
{
	char buffer[WAIT_NAME_SIZE], name[THREAD_NAME_SIZE];
	const char *pairs[] = {"state", wait_name(code, buffer), "thread", name};

	memcpy(name, t->record->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	return labels_overlay(s, base, pairs, name[0] != '\0' ? 2 : 1);
}
