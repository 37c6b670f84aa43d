#include "tests/integration/walk_oracle.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/walk_sig.c" /* for walk_full() */

#define DEPTH         256
#define SHADOW        1024
#define TRAP_FLAG     0x100
#define DIFFS         512
#define SEGMENT_BYTES (32u << 20)

struct stack {
	uint64_t frames[DEPTH + 1];
	uint32_t depth;
	bool is_truncated;
};

struct stepping {
	struct stepping *outer;
	uint64_t steps, limit;
	unsigned every;
	bool has_truth;
	uintptr_t last_pc, last_sp;
	uint32_t calls_n;
	struct {
		uintptr_t slot, back;
	} calls[SHADOW];
	struct stack base;
};

struct difference {
	enum oracle_kind kind;
	uint64_t at, ours, theirs; /* the last common frame, and what either says is its caller */
	uint64_t count;
};

bool oracle_knows_truth = true;

static struct segment segment;
/* Shared with the child that a region runs in. */
static struct results {
	struct oracle_counts counts;
	struct difference differences[DIFFS];
	unsigned differences_n;
} * results;

static __thread struct thread *self, *other; /* other: for walks that know of no last one */
static __thread struct stepping *stepping;
static __thread struct stack ours, alone, full, theirs, truth;
static __thread uint32_t turn, taken;

static void keep(struct stack *to, struct walk_result from)
{
	to->depth = from.depth;
	to->is_truncated = from.is_truncated;
	memcpy(to->frames, from.frames, from.depth * sizeof(*from.frames));
}

/* The frames without the mark of a cut. */
static uint32_t length(const struct stack *s)
{
	return s->depth - (s->is_truncated && s->depth > 0);
}

/* How many frames are the same, from the leaf on. */
static uint32_t common(const struct stack *a, const struct stack *b)
{
	uint32_t n = 0;

	while (n < length(a) && n < length(b) &&
	       FRAME_ADDRESS(a->frames[n]) == FRAME_ADDRESS(b->frames[n]))
		n++;
	return n;
}

static bool is_same(const struct stack *a, const struct stack *b)
{
	return length(a) == length(b) && common(a, b) == length(a) &&
	       a->is_truncated == b->is_truncated;
}

static uint64_t frame_at(const struct stack *s, uint32_t i)
{
	return i < length(s) ? FRAME_ADDRESS(s->frames[i]) : 0;
}

static void differ(enum oracle_kind kind, const struct stack *a, const struct stack *b)
{
	uint32_t n = common(a, b);
	uint64_t at = n > 0 ? frame_at(a, n - 1) : 0;
	struct difference *differences = results->differences;

	for (unsigned i = 0; i < results->differences_n; i++) {
		if (differences[i].kind == kind && differences[i].at == at) {
			differences[i].count++;
			return;
		}
	}
	if (results->differences_n < DIFFS)
		differences[results->differences_n++] =
			(struct difference){kind, at, frame_at(a, n), frame_at(b, n), 1};
}

/*
 * While longjmp() and the C++ runtime go elsewhere they write the target's registers into their own frames and load
 * them, so tables lead from there to the target and not to the caller. No walk can tell; it lasts a few instructions.
 */
static bool is_in_transfer(const struct stack *wrong)
{
	uint32_t parting = common(wrong, &truth);
	Dl_info info;

	for (uint32_t i = 0; i <= parting && i < length(&truth); i++)
		if (dladdr((void *)FRAME_ADDRESS(truth.frames[i]), &info) != 0 &&
		    info.dli_sname != NULL &&
		    (strncmp(info.dli_sname, "_Unwind_", 8) == 0 ||
		     strstr(info.dli_sname, "longjmp") != NULL))
			return true;
	return false;
}

/* Can @address be a caller? 0, the end, counts as one. */
static bool is_behind_call(uint64_t address)
{
	uint32_t index;

	return address == 0 || (modules_find(&segment, address, &index) != NULL &&
				arch_is_after_call((const uint8_t *)address + 1));
}

static void judge(bool has_truth)
{
	struct oracle_counts *c = &results->counts;
	bool agree = is_same(&ours, &theirs);

	c->places++;
	c->frames += length(&ours);
	c->as_theirs += agree;
	c->taken += taken;
	c->as_full += is_same(&ours, &full);
	if (is_same(&ours, &alone) &&
	    memcmp(ours.frames, alone.frames, ours.depth * sizeof(*ours.frames)) == 0)
		c->as_alone++;
	else
		differ(LAST_DIFFERS, &ours, &alone);
	if (!is_same(&ours, &full))
		differ(FULL_DIFFERS, &ours, &full);
	if (has_truth) {
		c->truths++;
		c->ours_true += is_same(&ours, &truth);
		c->theirs_true += is_same(&theirs, &truth);
		if (!is_same(&ours, &truth)) {
			bool transfer = is_in_transfer(&ours);

			c->transfers += transfer;
			differ(transfer ? TRANSFER : OURS_WRONG, &ours, &truth);
		} else if (!agree) {
			if (common(&theirs, &truth) == length(&theirs))
				c->theirs_gave_up++;
			else
				c->theirs_went_wrong++;
			differ(THEIRS_WRONG, &truth, &theirs);
		}
		return;
	}
	if (agree)
		return;
	if (is_behind_call(frame_at(&ours, common(&ours, &theirs))) &&
	    !is_behind_call(frame_at(&theirs, common(&ours, &theirs)))) {
		c->theirs_went_wrong++;
		differ(THEIRS_WRONG, &ours, &theirs);
	} else if (common(&ours, &theirs) == length(&theirs)) {
		c->ours_longer++;
		differ(OURS_LONGER, &ours, &theirs);
	} else if (common(&ours, &theirs) == length(&ours)) {
		c->theirs_longer++;
		differ(THEIRS_LONGER, &ours, &theirs);
	} else {
		c->different++;
		differ(DIFFERENT, &ours, &theirs);
	}
}

/*
 * Every other time the words of the last walk are marked before a walk, where it does not look, to see which it takes
 * over. Those get back what the mark replaced.
 */
#define MARK 0x7abcu

static void mark_last(void)
{
	struct walk_result last = walk_last(self);

	for (uint32_t i = 0; i + last.is_truncated < last.depth; i++)
		((uint64_t *)last.frames)[i] = FRAME_ADDRESS(last.frames[i]) | (uint64_t)MARK << 48;
}

static void count_marked(void)
{
	struct walk_result last = walk_last(self);

	taken = 0;
	for (uint32_t i = 0; i < last.depth; i++) {
		if (FRAME_MODULE(last.frames[i]) != MARK)
			continue;
		taken++;
		((uint64_t *)last.frames)[i] = frame_word(&segment, FRAME_ADDRESS(last.frames[i]));
	}
}

static void walk_by_all(const ucontext_t *uc)
{
	struct arch_regs regs;
	uintptr_t high = self->stack_high;

	if (turn++ % 16 == 0)
		self->stack_high = other->stack_high = 0; /* as a thread that we know nothing of */
	if (turn % 2)
		mark_last();
	self->scratch->in_vain = 0;
	walk_settings.way = WALK_AUTO;
	walk_signal(&segment, self, uc);
	if (turn % 2)
		count_marked();
	keep(&ours, walk_last(self));
	walk_forget(other->scratch);
	other->scratch->pause = turn % 2;
	keep(&alone, walk_signal(&segment, other, uc));
	arch_regs_from(&regs, uc);
	keep(&full, walk_full(&segment, other, &regs));
	walk_settings.way = WALK_LIBUNWIND;
	keep(&theirs, walk_signal(&segment, other, uc));
	walk_settings.way = WALK_AUTO;
	self->stack_high = other->stack_high = high;
}

/* Is the instruction at @pc a call? */
static bool is_call(const uint8_t *pc)
{
	while ((*pc >= 0x40 && *pc <= 0x4f) || *pc == 0x66 || *pc == 0x67 || *pc == 0xf2 ||
	       *pc == 0x3e || *pc == 0x2e)
		pc++;
	return *pc == 0xe8 || (*pc == 0xff && (pc[1] & 0x38) == 0x10);
}

static void note_call(struct stepping *st, uintptr_t pc, uintptr_t sp)
{
	if (st->last_pc != 0 && sp == st->last_sp - 8 && is_call((const uint8_t *)st->last_pc)) {
		if (st->calls_n < SHADOW) {
			st->calls[st->calls_n].slot = sp;
			st->calls[st->calls_n++].back = *(const uintptr_t *)sp;
		} else {
			st->has_truth = false;
		}
	}
	while (st->calls_n > 0 && st->calls[st->calls_n - 1].slot < sp)
		st->calls_n--;
	st->last_pc = pc;
	st->last_sp = sp;
}

static void tell_truth(const struct stepping *st, uintptr_t pc)
{
	truth.depth = 0;
	truth.frames[truth.depth++] = pc;
	for (uint32_t i = st->calls_n; i > 0 && truth.depth < DEPTH; i--)
		truth.frames[truth.depth++] = st->calls[i - 1].back - 1;
	for (uint32_t i = 1; i < length(&st->base) && truth.depth < DEPTH; i++)
		truth.frames[truth.depth++] = st->base.frames[i];
	truth.is_truncated = truth.depth == DEPTH;
	if (truth.is_truncated)
		truth.frames[truth.depth++] = FRAME_TRUNCATED;
}

static void on_trap(int sig, siginfo_t *info, void *user)
{
	ucontext_t *uc = user;
	struct stepping *st = stepping;
	int saved = errno;

	if (st == NULL || st->steps >= st->limit) {
		uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
		return;
	}
	note_call(st, arch_pc(uc), arch_sp(uc));
	if (st->steps == 0) {
		walk_by_all(uc);
		st->base = full;
		st->has_truth = st->has_truth && !full.is_truncated;
	}
	if (st->steps++ % st->every == 0) {
		walk_by_all(uc);
		if (st->has_truth)
			tell_truth(st, arch_pc(uc));
		judge(st->has_truth);
	}
	errno = saved;
}

/* The trap flag on and off. Functions of their own, so that nothing lies in the red zone. */
void trap_on(void);
void trap_off(void);
__asm__(".text\n"
	".type trap_on, @function\n"
	"trap_on:\n\t.cfi_startproc\n"
	"\tpushfq\n\t.cfi_adjust_cfa_offset 8\n"
	"\torq $0x100, (%rsp)\n"
	"\tpopfq\n\t.cfi_adjust_cfa_offset -8\n"
	"\tret\n\t.cfi_endproc\n\t.size trap_on, .-trap_on\n"
	".type trap_off, @function\n"
	"trap_off:\n\t.cfi_startproc\n"
	"\tpushfq\n\t.cfi_adjust_cfa_offset 8\n"
	"\tandq $~0x100, (%rsp)\n"
	"\tpopfq\n\t.cfi_adjust_cfa_offset -8\n"
	"\tret\n\t.cfi_endproc\n\t.size trap_off, .-trap_off\n");

__attribute__((noinline)) void oracle_step(void (*run)(void *), void *argument, unsigned every,
					   uint64_t limit)
{
	struct stepping *st = calloc(1, sizeof(*st));

	st->outer = stepping;
	st->every = every;
	st->limit = limit;
	st->has_truth = oracle_knows_truth;
	stepping = st;
	trap_on();
	run(argument);
	trap_off();
	stepping = st->outer;
	free(st);
}

void oracle_step_on(unsigned every, uint64_t limit)
{
	struct stepping *st = calloc(1, sizeof(*st));

	st->every = every;
	st->limit = limit;
	stepping = st;
	trap_on();
}

static _Atomic int target;

static void on_sample(int sig, siginfo_t *info, void *user)
{
	int saved = errno;

	if (self != NULL && atomic_load(&target) != 0) {
		walk_by_all(user);
		judge(false);
	}
	errno = saved;
}

static void *send_signals(void *user)
{
	uint32_t random = 1;
	int pid = getpid(), tid;

	while ((tid = atomic_load(&target)) != 0) {
		random = random * 1664525 + 1013904223;
		for (volatile uint32_t i = random >> 20; i > 0; i--)
			;
		syscall(SYS_tgkill, pid, tid, SIGPROF);
		usleep(10);
	}
	return NULL;
}

void oracle_sample(void (*run)(void *), void *argument, unsigned ms)
{
	uint64_t until = clock_monotonic() + ms * UINT64_C(1000000);
	pthread_t sender;

	atomic_store(&target, (int)syscall(SYS_gettid));
	if (pthread_create(&sender, NULL, send_signals, NULL) != 0)
		return;
	while (clock_monotonic() < until)
		run(argument);
	atomic_store(&target, 0);
	pthread_join(sender, NULL);
}

void oracle_thread(bool know_stack)
{
	pthread_attr_t attr;
	void *low;
	size_t size;

	other = thread_reserve(&segment);
	self = thread_publish(&segment, thread_reserve(&segment), (int)syscall(SYS_gettid));
	if (!know_stack || pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	pthread_attr_getstack(&attr, &low, &size);
	self->stack_low = other->stack_low = (uintptr_t)low;
	self->stack_high = other->stack_high = (uintptr_t)low + size;
	pthread_attr_destroy(&attr);
}

/* Lets libunwind remember for each thread, without a lock and two system calls for each frame. */
static void hurry(void)
{
	void *library = dlopen("libunwind.so.8", RTLD_LAZY | RTLD_NOLOAD);
	int (*set_policy)(void *, int);
	void **space;

	if (library == NULL)
		return;
	*(void **)&set_policy = dlsym(library, "_ULx86_64_set_caching_policy");
	space = dlsym(library, "_ULx86_64_local_addr_space");
	if (set_policy != NULL && space != NULL)
		set_policy(*space, 2 /* UNW_CACHE_PER_THREAD */);
}

const char *oracle_init(void)
{
	void *memory = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	struct sigaction sample = {.sa_sigaction = on_sample,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	static struct why why;

	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	walk_settings.depth = DEPTH;
	walk_settings.shallow = 0;
	if (walk_libunwind_init(&why) < 0)
		return why.text;
	hurry();
	if (memory == MAP_FAILED || results == MAP_FAILED ||
	    segment_format(memory, SEGMENT_BYTES, &segment) < 0 || thread_init(&segment) < 0)
		return "no memory";
	modules_refresh(&segment);
	sigfillset(&trap.sa_mask);
	sigfillset(&sample.sa_mask);
	sigaction(SIGTRAP, &trap, NULL);
	sigaction(SIGPROF, &sample, NULL);
	return NULL;
}

void oracle_clear(void)
{
	memset(results, 0, sizeof(*results));
}

const struct oracle_counts *oracle_counts(void)
{
	return &results->counts;
}

static const char *name_of(uint64_t address, char *buffer, size_t size)
{
	Dl_info info;
	const char *file;

	if (address == 0)
		return "(end)";
	if (dladdr((void *)address, &info) == 0)
		return "(nowhere)";
	file = strrchr(info.dli_fname, '/');
	file = file != NULL ? file + 1 : info.dli_fname;
	if (info.dli_sname != NULL)
		snprintf(buffer, size, "%s+0x%lx [%s+0x%lx]", info.dli_sname,
			 address - (uintptr_t)info.dli_saddr, file,
			 address - (uintptr_t)info.dli_fbase);
	else
		snprintf(buffer, size, "[%s+0x%lx]", file, address - (uintptr_t)info.dli_fbase);
	return buffer;
}

static int compare_differences(const void *a, const void *b)
{
	const struct difference *x = a, *y = b;

	if (x->kind != y->kind)
		return (int)x->kind - (int)y->kind;
	return (x->count < y->count) - (x->count > y->count);
}

void oracle_explain(const char *region, unsigned most)
{
	static const char *const names[ORACLE_KINDS] = {
		"ours is wrong",    "in transfer", "theirs is wrong", "ours is longer",
		"theirs is longer", "differ",      "full differs",    "not as alone",
	};
	unsigned shown[ORACLE_KINDS] = {0};

	qsort(results->differences, results->differences_n, sizeof(struct difference),
	      compare_differences);
	for (unsigned i = 0; i < results->differences_n; i++) {
		const struct difference *d = &results->differences[i];
		char at[256], a[256], b[256];

		if (shown[d->kind]++ < most)
			printf("# %s: %s: %lu at %s: %s | %s\n", region, names[d->kind], d->count,
			       name_of(d->at, at, sizeof(at)), name_of(d->ours, a, sizeof(a)),
			       name_of(d->theirs, b, sizeof(b)));
	}
}
