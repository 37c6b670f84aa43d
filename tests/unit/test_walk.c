/*
 * core/walk: a thread's walks one after the other. Whatever has become of its stack in between, a walk that uses the last
 * one finds what it would have found without.
 *
 * The stacks are made by hand out of frames of every kind; their functions never run.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/modules.h"
#include "core/rows.h"
#include "core/walk.h"
#include "tests/unit/segment_make.h"

/* A call, and behind it where the callee returns to. */
#define CODE(name, rules)                                                       \
	"	.cfi_startproc\n" rules "	.byte 0xe8, 0, 0, 0, 0\n" #name \
	": nop\n	.cfi_endproc\n"

extern uint8_t code_plain[], code_big[], code_saves[], code_saves_low[], code_saves_far[],
	code_pointer[], code_deref[], code_by_bp[], code_r10[], code_end[], code_none[];
__asm__(".text\n" CODE(code_plain, ".cfi_def_cfa_offset 32\n") CODE(
	code_big,
	".cfi_def_cfa_offset 4096\n") CODE(code_saves,
					   ".cfi_def_cfa_offset 48\n	.cfi_offset rbp, -16\n")
		CODE(code_saves_low, ".cfi_def_cfa_offset 64\n	.cfi_offset rbp, -64\n") CODE(
			code_saves_far, ".cfi_def_cfa_offset 2200\n	.cfi_offset rbp, -2192\n")
			CODE(code_pointer, ".cfi_def_cfa rbp, 16\n	.cfi_offset rbp, -16\n")
				CODE(code_deref, ".cfi_escape 0x0f, 3, 0x76, 0x78, 6\n	"
						 ".cfi_escape 0x10, 6, 2, 0x76, 0\n")
					CODE(code_by_bp,
					     ".cfi_def_cfa_offset 40\n	.cfi_escape 0x10, "
					     "6, 2, 0x76, 0\n") CODE(code_r10,
								     ".cfi_def_cfa r10, 0\n")
						CODE(code_end,
						     ".cfi_undefined rip\n") "	.byte 0xe8, 0, 0, "
									     "0, "
									     "0\ncode_none: "
									     "nop\n	"
									     ".p2align 4\n");

enum kind {
	PLAIN,
	BIG,
	SAVES,
	SAVES_LOW,
	SAVES_FAR,
	POINTER,
	DEREF,
	BY_BP,
	NONE,
	JIT,
	R10,
	SIGNAL,
	END,
	KINDS
};

static uint8_t jit_code[64]; /* of no file's code */
static uint8_t *code[KINDS] = {
	[PLAIN] = code_plain,
	[BIG] = code_big,
	[SAVES] = code_saves,
	[SAVES_LOW] = code_saves_low,
	[SAVES_FAR] = code_saves_far,
	[POINTER] = code_pointer,
	[DEREF] = code_deref,
	[BY_BP] = code_by_bp,
	[NONE] = code_none,
	[JIT] = jit_code + 32,
	[R10] = code_r10,
	[END] = code_end,
};

#define STACK_BYTES (256u << 10)
#define FRAMES_MOST 400

static struct segment s;
static struct thread *t, *other; /* other: walks from nothing every time */
static uint8_t *stack;

/* The stack as it is: the outermost frame first. */
static struct frame {
	enum kind kind;
	uintptr_t sp, bp;
} frames[FRAMES_MOST];
static unsigned depth;

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(random_state >> 4) * n >> 28);
}

static void put(uintptr_t address, uintptr_t word)
{
	*(uintptr_t *)address = word;
}

static uintptr_t top(void)
{
	return (uintptr_t)stack + STACK_BYTES;
}

static void push(enum kind kind)
{
	static const unsigned sizes[KINDS] = {
		[PLAIN] = 32,       [BIG] = 4096, [SAVES] = 48, [SAVES_LOW] = 64,
		[SAVES_FAR] = 2200, [BY_BP] = 40, [END] = 64,
	};
	const struct frame *caller = depth > 0 ? &frames[depth - 1] : NULL;
	uintptr_t cfa = depth > 0 ? caller->sp : top() - 64, bp = depth > 0 ? caller->bp : 0;
	struct frame f = {kind, cfa - sizes[kind], bp};

	if (depth == FRAMES_MOST || (depth == 0 && kind == SIGNAL) ||
	    cfa - (uintptr_t)stack < 16384)
		return;
	if (depth > 0)
		put(cfa - 8, (uintptr_t)code[caller->kind]);
	switch (kind) {
	case SAVES:
		put(cfa - 16, bp);
		f.bp = random_below(3) == 0 ? bp
		       : random_below(2)    ? random_below(1000)
					    : cfa - random_below(64);
		break;
	case SAVES_LOW:
		put(cfa - 64, bp);
		f.bp = random_below(1000);
		break;
	case SAVES_FAR:
		put(cfa - 2192, bp);
		f.bp = random_below(1000);
		break;
	case POINTER:
	case NONE:
	case JIT:
		put(cfa - 16, bp);
		f.bp = cfa - 16;
		f.sp = cfa - 16 - 8 * random_below(20);
		break;
	case DEREF:
		f.bp = (cfa - 32) & ~(uintptr_t)31;
		put(f.bp, bp);
		put(f.bp - 8, cfa);
		f.sp = f.bp - 8 - 8 * random_below(10);
		break;
	case BY_BP:
		f.bp = cfa - 24;
		put(f.bp, bp);
		break;
	case R10:
		f.sp = cfa - 16;
		break;
	case SIGNAL: /* the caller is interrupted, and the handler returns to what this frame is */
		f.sp = (cfa - 1024) & ~(uintptr_t)15;
		put(f.sp + ARCH_SIGFRAME_PC, (uintptr_t)code[caller->kind]);
		put(f.sp + ARCH_SIGFRAME_SP, cfa);
		put(f.sp + ARCH_SIGFRAME_BP, bp);
		f.bp = random_below(1000);
		break;
	default:
		break;
	}
	frames[depth++] = f;
}

/* Most functions are of the common kinds. */
static enum kind any_kind(void)
{
	static const enum kind common[] = {PLAIN, PLAIN,     PLAIN,   SAVES,
					   SAVES, SAVES_LOW, POINTER, POINTER};

	if (random_below(40) == 0)
		return (enum kind)random_below(END);
	if (random_below(12) == 0)
		return random_below(3) == 0 ? DEREF : random_below(2) ? NONE : JIT;
	return common[random_below(sizeof(common) / sizeof(common[0]))];
}

static void push_some(unsigned n)
{
	while (n-- > 0) {
		enum kind kind = any_kind();

		push((kind == R10 && random_below(8)) || depth == 0 ? PLAIN : kind);
	}
}

static void new_stack(unsigned n)
{
	depth = 0;
	if (random_below(8) > 0)
		push(END);
	push_some(n);
}

static void know_stack(struct thread *thread, bool knows)
{
	thread->stack_low = knows ? (uintptr_t)stack : 0;
	thread->stack_high = knows ? top() : 0;
}

static struct walk_result walk_by(struct thread *thread, const struct frame *leaf)
{
	struct arch_regs regs;

	for (unsigned r = 0; r < ARCH_REGS; r++)
		regs.r[r] = leaf->sp + 64;
	regs.r[ARCH_PC] = (uintptr_t)code[leaf->kind];
	regs.r[ARCH_SP] = leaf->sp;
	regs.r[ARCH_BP] = leaf->bp;
	return walk_regs(&s, thread, &regs);
}

/*
 * Walks from @leaf, and again from nothing. Returns how many frames came from the walk before, or WRONG when the two
 * are not the same.
 *
 * Kept words are marked before, in the bits that no walk compares, and made good after.
 */
#define MARK  0x7abcu
#define WRONG UINT32_MAX

static uint32_t taken(const struct frame *leaf)
{
	struct walk_result last = walk_last(t), mine, full;
	uint32_t n = 0;
	bool same;

	for (uint32_t i = 0; i + last.is_truncated < last.depth; i++)
		((uint64_t *)last.frames)[i] = FRAME_ADDRESS(last.frames[i]) | (uint64_t)MARK << 48;
	mine = walk_by(t, leaf);
	walk_forget(other->scratch);
	full = walk_by(other, leaf);
	same = mine.depth == full.depth && mine.is_truncated == full.is_truncated;
	for (uint32_t i = 0; same && i < mine.depth; i++) {
		if (FRAME_MODULE(mine.frames[i]) == MARK) {
			n++;
			((uint64_t *)mine.frames)[i] = FRAME_ADDRESS(mine.frames[i]) |
						       (uint64_t)FRAME_MODULE(full.frames[i]) << 48;
		}
		same = mine.frames[i] == full.frames[i];
	}
	return same ? n : WRONG;
}

static const struct frame *leaf(void)
{
	return &frames[depth - 1];
}

static void push_kind(enum kind kind, unsigned n)
{
	while (n-- > 0)
		push(kind);
}

static void test_taken(void)
{
	walk_forget(t->scratch);
	depth = 0;
	push(END);
	for (int i = 0; i < 30; i++)
		push(i % 3 ? SAVES : PLAIN);
	is_u64(taken(leaf()), 0, "nothing to begin with");
	is_u64(walk_last(t).depth, 31, "the last walk");
	is_u64(taken(leaf()), 31, "is all of the same again");
	push(PLAIN);
	push(SAVES);
	/* where a leaf was interrupted, and where its callee will return to, are two places */
	is_u64(taken(leaf()), 30, "all but the new leaves");
	is_u64(walk_last(t).depth, 33, "which come before");
	depth -= 4;
	is_u64(taken(leaf()), 28, "after returns");
	is_u64(walk_last(t).depth, 29, "there are fewer");
	s.header->modules_serial++;
	is_u64(taken(leaf()), 0, "nothing when files have come or gone");
	is_u64(taken(leaf()), 29, "but again after");
	thread_release(&s, t);
	ok(thread_reserve(&s) == t && walk_last(t).depth == 0, "another thread");
	know_stack(t, true);
	is_u64(taken(leaf()), 0, "has no last walk");
	depth -= 20;
	push_kind(PLAIN, 100);
	is_u64(taken(leaf()), 9, "what is left below many new leaves");
	push_kind(PLAIN, 100);
	is_u64(taken(leaf()), 0, "nothing when there is no place for both");
	is_u64(taken(leaf()), walk_settings.depth - 1,
	       "all but the last frame of a stack that is cut");
	push_kind(PLAIN, 3);
	is_u64(taken(leaf()), walk_settings.depth - 4, "and fewer further down");
	depth -= 100;
	is_u64(taken(leaf()), 26, "those that were not cut off");
	is_u64(walk_last(t).depth, 112, "and the rest");
}

/* Words of the stack are others than the last time. */
static void test_words(void)
{
	struct frame changed;
	uintptr_t place;

	walk_forget(t->scratch);
	depth = 0;
	push(END);
	push_kind(SAVES, 10);
	push(POINTER);
	push(PLAIN);
	push_kind(SAVES, 10);
	is_u64(taken(leaf()), 0, "once");
	/* return addresses lie below the caller's sp, and bp was saved 8 bytes further down */
	place = frames[5].sp - 8;
	is_u64(*(uintptr_t *)place, (uintptr_t)code_saves, "a return address");
	put(place, (uintptr_t)code_saves_low);
	is_u64(taken(leaf()), 16, "is another");
	put(place, 0);
	is_u64(taken(leaf()), 16, "is the end");
	is_u64(walk_last(t).depth, 17, "of a shorter stack");
	is_u64(taken(leaf()), 16, "again");
	put(place, (uintptr_t)code_saves);
	is_u64(taken(leaf()), 16, "is there again");
	is_u64(taken(leaf()), 23, "and stays");

	put(frames[20].sp - 16, 12345);
	is_u64(taken(leaf()), 23, "a saved bp that no row asks for");
	place = frames[12].sp - 16;
	is_u64(*(uintptr_t *)place, frames[11].bp, "one that a row asks for, two frames up");
	put(place, frames[11].bp + 16);
	put(frames[11].bp + 24, (uintptr_t)code_saves);
	ok(taken(leaf()) != WRONG, "leads elsewhere");
	put(place, 8);
	ok(taken(leaf()) != WRONG, "leads nowhere");
	ok(walk_last(t).is_truncated, "which is said");
	put(place, frames[11].bp);
	ok(taken(leaf()) != WRONG, "leads back");
	is_u64(taken(leaf()), 23, "and stays");

	changed = *leaf();
	changed.bp++;
	is_u64(taken(&changed), 23, "a register that no row asks for");
	depth = 13;
	is_u64(taken(leaf()), 12, "one that is asked for");
	is_u64(taken(leaf()), 13, "and is the same");
	changed = *leaf();
	changed.bp += 8;
	is_u64(taken(&changed), 0, "and is another");
}

/* Not every frame can be compared: the callers can, all the same. */
static void test_odd_frames(void)
{
	static const enum kind kinds[] = {SAVES_FAR, DEREF, SIGNAL};

	for (unsigned i = 0; i < 3; i++) {
		walk_forget(t->scratch);
		depth = 0;
		push(END);
		push_kind(SAVES, 9);
		push(kinds[i]);
		push_kind(SAVES, 10);
		taken(leaf());
		is_u64(taken(leaf()), 10, "the frames above one of kind %d", kinds[i]);
	}
	walk_forget(t->scratch);
	depth = 0;
	push_kind(POINTER, 1);
	push_kind(NONE, 10);
	push_kind(JIT, 10);
	taken(leaf());
	is_u64(taken(leaf()), 20, "frames without rules, to where they end");
	push(R10);
	walk_forget(t->scratch);
	taken(leaf());
	is_u64(taken(leaf()), 0, "nothing when all registers are needed");
}

/* A return address that no word of a stack can hold, as it is cut to 48 bits there. */
static void test_high_address(void)
{
	uintptr_t place;

	walk_forget(t->scratch);
	depth = 0;
	push(END);
	push(POINTER);
	push(PLAIN);
	push_kind(SAVES, 3);
	place = frames[2].sp - 8;
	put(place, (uintptr_t)code_plain | (uintptr_t)1 << 48);
	taken(leaf());
	is_u64(walk_last(t).depth, 5, "an address outside of all files: by frame pointer");
	put(place, (uintptr_t)code_plain);
	ok(taken(leaf()) != WRONG, "is not taken for the one inside");
	is_u64(walk_last(t).depth, 6, "which has rules");
}

/* A distance that a step cannot hold. */
static void test_far(void)
{
	size_t size = (size_t)1 << 28;
	uint8_t *both = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* steps leave the bits from 35 on out: one of the two halves has them the same throughout */
	bool is_cut = (uintptr_t)both >> 35 != ((uintptr_t)both + size) >> 35;
	uint8_t *far = both + (is_cut ? size : 0);
	struct frame f = {POINTER, (uintptr_t)far + 4096, (uintptr_t)far + size - 256};

	if (both == MAP_FAILED) {
		skip("no room for a large stack");
		return;
	}
	t->stack_low = other->stack_low = (uintptr_t)far;
	t->stack_high = other->stack_high = (uintptr_t)far + size;
	put(f.bp + 8, (uintptr_t)code_plain);
	put(f.bp + 16 + 24, (uintptr_t)code_end);
	walk_forget(t->scratch);
	is_u64(taken(&f), 0, "a frame of 256 MB");
	is_u64(walk_last(t).depth, 3, "and its callers");
	is_u64(taken(&f), 2, "which are taken, and it is not");
	munmap(both, 2 * size);
	know_stack(t, true);
	know_stack(other, true);
}

/* Stacks that are too shallow, or change too much. */
static void test_when_it_pays(void)
{
	unsigned n = 0;

	walk_settings.shallow = 16;
	walk_forget(t->scratch);
	depth = 0;
	push(END);
	push_kind(PLAIN, 14);
	for (int i = 0; i < 3; i++)
		is_u64(taken(leaf()), 0, "15 frames");
	push(PLAIN);
	taken(leaf());
	is_u64(taken(leaf()), 0, "16: kept");
	is_u64(taken(leaf()), 16, "and used");
	for (int i = 0; i < 1000; i++) {
		depth = 1;
		push_kind(i % 2 ? SAVES : PLAIN, 30);
		if (taken(leaf()) == WRONG)
			n++;
	}
	is_u64(n, 0, "stacks with nothing in common");
	n = 0;
	for (int i = 0; i < 100; i++)
		n += taken(leaf()) == 31;
	ok(n >= 68 && n < 100, "used again after a while: %u", n);
	walk_settings.shallow = 0;
}

static void change_something(void)
{
	static const uintptr_t odd[] = {0, 1, 8, 4096, UINTPTR_MAX, UINTPTR_MAX - 7};
	uintptr_t used = top() - leaf()->sp, value;

	switch (random_below(16)) {
	case 0:
	case 1:
	case 2:
		push_some(1 + random_below(5));
		break;
	case 3:
	case 4:
	case 5:
		depth -= random_below(depth < 6 ? depth : 6);
		break;
	case 6: /* further down */
		depth -= random_below(depth);
		push_some(random_below(60));
		break;
	case 7:
		frames[depth - 1].bp =
			random_below(2) ? random_below(5000) : leaf()->sp + 8 * random_below(100);
		break;
	case 8:
		frames[depth - 1].kind = any_kind();
		break;
	case 9:
	case 10:
	case 11: /* a word, which stays until the function returns */
		value = random_below(3) == 0 ? odd[random_below(6)]
			: random_below(2)    ? (uintptr_t)code[random_below(KINDS)]
					     : leaf()->sp + 8 * random_below((uint32_t)used / 8);
		put(leaf()->sp + 8 * random_below((uint32_t)used / 8),
		    value + (random_below(20) == 0));
		break;
	case 12:
		if (random_below(10) == 0)
			s.header->modules_serial++;
		break;
	case 13:
		if (random_below(4) == 0)
			new_stack(1 + random_below(random_below(2) ? 100 : 300));
		break;
	default:
		break;
	}
	if (depth == 0)
		new_stack(1);
}

static void test_random(unsigned rounds)
{
	uint64_t n_taken = 0, n_frames = 0, n_wrong = 0;
	uintptr_t high;

	walk_forget(t->scratch);
	new_stack(20);
	for (unsigned i = 0; i < rounds; i++) {
		uint32_t n;

		change_something();
		if (i % 64 == 0) {
			/* all of the stack is known, a part, or nothing */
			high = top() - (random_below(2) ? 0 : 8 * random_below(1000));
			if (random_below(3) == 0)
				high = 0;
			t->stack_high = other->stack_high = high;
		}
		other->scratch->pause = (uint8_t)random_below(2);
		t->scratch->in_vain = t->scratch->pause = 0;
		n = taken(leaf());
		n_wrong += n == WRONG;
		n_taken += n == WRONG ? 0 : n;
		n_frames += walk_last(t).depth;
	}
	know_stack(t, true);
	know_stack(other, true);
	is_u64(n_wrong, 0, "%" PRIu64 " frames, %" PRIu64 " of them from the walk before", n_frames,
	       n_taken);
	ok(n_taken > n_frames / 8, "which are many");
}

/* Where nothing is known of the stack, and part of it is gone by the next walk. */
static void test_unmapped(void)
{
	uint64_t n_wrong = 0;

	know_stack(t, false);
	know_stack(other, false);
	for (unsigned i = 0; i < 300; i++) {
		uintptr_t at;

		new_stack(100);
		n_wrong += taken(leaf()) == WRONG;
		at = (leaf()->sp + random_below((uint32_t)(top() - leaf()->sp))) & ~(uintptr_t)4095;
		mprotect((void *)at, 4096, PROT_NONE);
		n_wrong += taken(leaf()) == WRONG;
		n_wrong += taken(leaf()) == WRONG;
		mprotect((void *)at, 4096, PROT_READ | PROT_WRITE);
		n_wrong += taken(leaf()) == WRONG;
	}
	is_u64(n_wrong, 0, "pages come and go");
	know_stack(t, true);
	know_stack(other, true);
}

/* Around @middle if possible. Between pages that cannot be read: what lies there may be a counter, and change. */
static void map_stack(uintptr_t middle)
{
	uint8_t *memory = mmap(middle == 0 ? NULL : (void *)(middle - STACK_BYTES / 2),
			       STACK_BYTES + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	stack = memory + 4096;
	if (memory == MAP_FAILED || mprotect(stack, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
		printf("Bail out! no memory\n");
		exit(1);
	}
}

static void begin(uint32_t most)
{
	walk_settings.depth = most;
	thread_init(&s);
	t = thread_reserve(&s);
	other = thread_reserve(&s);
	know_stack(t, true);
	know_stack(other, true);
}

int main(void)
{
	struct {
		void *handler;
		unsigned long flags;
		uint8_t *restorer;
		unsigned long mask;
	} action = {0};

	plan_begin();
	s = segment_make(SEGMENT_MIN_BYTES);
	map_stack(0);
	walk_settings.shallow = 0;
	signal(SIGUSR1, SIG_IGN);
	syscall(SYS_rt_sigaction, SIGUSR1, NULL, &action, 8);
	code[SIGNAL] = action.restorer;
	begin(128);
	modules_refresh(&s);
	test_taken();
	test_words();
	test_odd_frames();
	test_high_address();
	test_far();
	test_when_it_pays();
	test_unmapped();
	test_random(400000);
	begin(20);
	test_random(200000);
	map_stack((uintptr_t)1234 << 35); /* steps leave these bits out */
	begin(300);
	test_random(200000);
	return plan_end();
}
