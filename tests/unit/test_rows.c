/* core/rows and the walk over them: what a row says of code whose frames are known, and that a bad slot is a miss. */
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/modules.h"
#include "core/rows.h"
#include "core/thread.h"
#include "core/walk.h"
#include "tests/unit/segment_make.h"

/* Code that never runs, with frames of every kind. */
extern const uint8_t at_sp[], at_bp[], at_deref[], at_r10[], at_end[], at_stub[], at_none[],
	at_far[];
__asm__(".text\n"
	"	.cfi_startproc\n	.cfi_def_cfa_offset 24\n	.cfi_offset rbp, -16\n"
	"at_sp:	nop\n	nop\n	.cfi_endproc\n"
	"	.cfi_startproc\n	.cfi_def_cfa rbp, 16\n	.cfi_offset rbp, -16\n"
	"at_bp:	nop\n	nop\n	.cfi_endproc\n"
	"	.cfi_startproc\n	.cfi_escape 0x0f, 3, 0x76, 0x78, 6\n	.cfi_escape 0x10, "
	"6, 2, 0x76, 0\n"
	"at_deref: nop\n	nop\n	.cfi_endproc\n"
	"	.cfi_startproc\n	.cfi_def_cfa r10, 0\n"
	"at_r10: nop\n	nop\n	.cfi_endproc\n"
	"	.cfi_startproc\n	.cfi_undefined rip\n"
	"at_end: nop\n	nop\n	.cfi_endproc\n"
	"	.p2align 4\n"
	"	.cfi_startproc\n"
	"	.cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22\n"
	"at_stub: .skip 16, 0x90\n	.cfi_endproc\n"
	"	.cfi_startproc\n	.cfi_def_cfa_offset 0x1000000\n"
	"at_far: nop\n	nop\n	.cfi_endproc\n"
	"at_none: nop\n	nop\n	.p2align 4\n");

static struct segment s;
static struct thread *t;
static struct cfi_state states[CFI_STATES];
static struct cfi_frame frame;

static row_t row_at(const void *pc)
{
	return rows_compute(&s, (uintptr_t)pc, rows_slot(rows_of(&s), (uintptr_t)pc), states,
			    &frame);
}

static void test_kinds(void)
{
	uint32_t index;
	row_t row = row_at(at_sp);
	struct {
		void *handler;
		unsigned long flags;
		uint8_t *restorer;
		unsigned long mask;
	} action;

	ok(modules_find(&s, (uintptr_t)at_sp, &index) != NULL && row_module(row) == index + 1 &&
		   FRAME_MODULE(row_module_bits(row)) == index + 1,
	   "a row knows its module");
	ok(row_kind(row) == ROW_SP && row_cfa(row) == 24 && row_bp(row) == ROW_BP_AT_CFA &&
		   row_bp_distance(row) == -16,
	   "by the stack pointer");
	row = row_at(at_bp);
	ok(row_kind(row) == ROW_BP && row_cfa(row) == 16 && row_bp(row) == ROW_BP_AT_CFA &&
		   row_bp_distance(row) == -16,
	   "by the frame pointer");
	row = row_at(at_deref);
	ok(row_kind(row) == ROW_BP_DEREF && row_cfa(row) == -8 && row_bp(row) == ROW_BP_AT_BP &&
		   row_bp_distance(row) == 0,
	   "a realigned frame");
	ok(row_kind(row_at(at_r10)) == ROW_FULL, "one that lies by r10");
	ok(row_kind(row_at(at_end)) == ROW_END, "the outermost");
	ok(row_kind(row_at(at_stub)) == ROW_SP && row_cfa(row_at(at_stub)) == 8 &&
		   row_cfa(row_at(at_stub + 10)) == 8 && row_cfa(row_at(at_stub + 11)) == 16 &&
		   row_cfa(row_at(at_stub + 15)) == 16,
	   "a stub of the linkage table, before and behind its push");
	ok(row_kind(row_at(at_far)) == ROW_FULL, "a frame that is too large for a row");
	ok(row_kind(row_at(at_none)) == ROW_NONE && row_module(row_at(at_none)) == index + 1,
	   "code without rules");
	row = row_at(&s);
	ok(row_kind(row) == ROW_NONE && row_module(row) == 0, "no code");
	row = row_at(NULL);
	ok(row_kind(row) == ROW_NONE && row_module(row) == 0, "nothing");

	memset(&action, 0, sizeof(action));
	signal(SIGUSR1, SIG_IGN);
	syscall(SYS_rt_sigaction, SIGUSR1, NULL, &action, 8);
	row = row_at(action.restorer - 1);
	ok(action.restorer != NULL && row_kind(row) == ROW_SIGNAL &&
		   row_kind(row_at(action.restorer)) == ROW_SIGNAL,
	   "the way out of a handler");
	ok(row_kind(row_at((const void *)getauxval(AT_ENTRY))) == ROW_END,
	   "where the program began");
}

static void test_keys(void)
{
	uint64_t key = rows_key(rows_of(&s), 0x1234567);

	ok(key != rows_key(rows_of(&s), 0x1234568) && key != 0, "keys differ by place");
	s.header->modules_serial++;
	ok(key != rows_key(rows_of(&s), 0x1234567), "and by the state of the module list");
}

/* A stack of known callers. */

static struct walk_result result;
static uint64_t kept[8][64];
static uint32_t kept_depth[8];

__attribute__((noinline)) static void walk_into(unsigned slot)
{
	result = walk_here(&s, t);
	memcpy(kept[slot], result.frames, result.depth * sizeof(uint64_t));
	kept_depth[slot] = result.depth;
	__asm__ volatile("" : : : "memory");
}

__attribute__((noinline)) static void third(unsigned slot)
{
	walk_into(slot);
	__asm__ volatile("" : : : "memory");
}

__attribute__((noinline)) static void second(unsigned slot)
{
	char volatile *space = __builtin_alloca(slot * 32 + 16);

	space[0] = 1;
	third(slot);
	__asm__ volatile("" : : : "memory");
}

static bool is_in(uint64_t word, void (*function)(unsigned))
{
	return FRAME_ADDRESS(word) > (uintptr_t)function &&
	       FRAME_ADDRESS(word) < (uintptr_t)function + 200;
}

static bool is_right(unsigned slot)
{
	return kept_depth[slot] > 4 && is_in(kept[slot][0], walk_into) &&
	       is_in(kept[slot][1], third) && is_in(kept[slot][2], second) &&
	       kept[slot][kept_depth[slot] - 1] != FRAME_TRUNCATED;
}

static void test_walk(void)
{
	uint32_t count = segment_count(&s, SEGMENT_ROWS, 0), random = 1;
	struct row_slot *slots = segment_part(&s, SEGMENT_ROWS, 0);
	unsigned n_right = 0;

	second(0);
	ok(is_right(0), "a walk with an empty cache");
	second(0);
	ok(is_right(0), "and with a full one");
	for (int round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < count; i++) { /* as if torn by two writers */
			random = random * 1664525 + 1013904223;
			if (round % 2)
				slots[i].row = random * UINT64_C(0x100000001);
			else
				slots[i].check ^= UINT64_C(1) << (random >> 26);
		}
		second(0);
		n_right += is_right(0);
	}
	is_u64(n_right, 200, "torn slots are computed again");
	t->stack_high = t->stack_low = 0;
	second(0);
	ok(is_right(0), "on a stack of which nothing is known");
	walk_forget(t->scratch); /* whoever changes the depth has to */
	walk_settings.depth = 3;
	second(0);
	ok(kept_depth[0] == 3 && kept[0][2] == FRAME_TRUNCATED,
	   "cut at the depth that is wanted, and marked");
	walk_forget(t->scratch);
	walk_settings.depth = 60;
	walk_settings.way = WALK_FP;
	second(0);
	ok(kept_depth[0] > 0, "by frame pointers, which there may be none of");
	walk_settings.way = WALK_AUTO;
}

/* Registers that lead anywhere: the walk ends, and reads nothing that is not there. */
static void test_hostile(void)
{
	static uint64_t loop[64];
	struct arch_regs regs;
	uint32_t random = 7, n = 0, deepest = 0;

	for (unsigned i = 0; i < 64; i++)
		loop[i] = (uintptr_t)&loop[(i * 7 + 2) % 60];
	for (int i = 0; i < 20000; i++) {
		const void *places[] = {at_sp,   at_bp,   at_deref, at_r10, at_end,
					at_stub, at_none, at_far,   loop,   &s};

		for (unsigned r = 0; r < ARCH_REGS; r++) {
			random = random * 1664525 + 1013904223;
			switch (random >> 29) {
			case 0:
				regs.r[r] = (uintptr_t)random << (random % 33);
				break;
			case 1:
				regs.r[r] = (uintptr_t)places[random % 10];
				break;
			case 2:
				regs.r[r] = UINTPTR_MAX - (random & 31);
				break;
			case 3:
				regs.r[r] = random & 31;
				break;
			default:
				regs.r[r] = (uintptr_t)&loop[random % 64];
				break;
			}
		}
		if (random % 3)
			regs.r[ARCH_PC] = (uintptr_t)places[random % 10] + (random >> 10) % 2;
		result = walk_regs(&s, t, &regs);
		n += result.depth > 0;
		deepest = result.depth > deepest ? result.depth : deepest;
	}
	is_u64(n, 20000, "walks from anywhere end");
	ok(deepest <= walk_settings.depth + 1, "within the depth");
}

int main(void)
{
	plan_begin();
	s = segment_make(SEGMENT_MIN_BYTES);
	walk_settings.depth = 60;
	walk_settings.shallow = 0;
	thread_init(&s);
	t = thread_publish(&s, thread_reserve(&s), (int)syscall(SYS_gettid));
	modules_refresh(&s);
	test_kinds();
	test_keys();
	test_walk();
	test_hostile();
	return plan_end();
}
