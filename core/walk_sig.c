#include <sys/syscall.h>

#include "core/modules.h"
#include "core/walk_private.h"

#define PAGE 4096u
#define WALK_STEPS \
	(WALK_DEPTH_MAX + 64) /* signal frames and the like do not count as kept frames */

/* shallow: measured with a handful of frames that are new each time, comparing wins from a dozen frames on */
struct walk_settings walk_settings = {.way = WALK_AUTO, .depth = 128, .shallow = 16};

SIGSAFE bool walk_widen(struct memory *m, uintptr_t address)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE - 1),
		  end = ((address + 7) & ~(uintptr_t)(PAGE - 1)) + PAGE;

	if (address > UINTPTR_MAX - 2 * PAGE || !memory_is_readable(address))
		return false;
	/* a page further up the same stretch */
	*m = memory_between(
		m->words_span != 0 && page == m->low + m->words_span + 7 ? m->low : page, end);
	return true;
}

/* AddressSanitizer's poisoned places are between the frames that it must read. */
__attribute__((no_sanitize("address"))) static bool read_word(void *user, uintptr_t address,
							      uintptr_t *ret)
{
	struct memory *m = user;

	if (unlikely(!has_word(*m, address)) && !walk_widen(m, address))
		return false;
	*ret = *(const any_word *)address;
	return true;
}

/*
 * For code without CFI. Taken only when what it finds looks like a frame: further up the same stack, aligned, and a
 * return address that stands behind a call.
 */
SIGSAFE bool walk_step_by_pointer(const struct segment *s, struct memory *memory,
				  struct walk_place *at)
{
	const struct segment_module *m;
	uintptr_t bp = at->bp, saved, back;
	uint32_t index;

	if (bp < at->sp || bp % 8 != 0 || bp - at->sp > 1u << 20)
		return false;
	if (!read_word(memory, bp, &saved) || !read_word(memory, bp + 8, &back) || back < PAGE)
		return false;
	m = modules_find(s, back - 1, &index);
	if (m != NULL && (back < m->start + 8 || !modules_may_read(s, m, back - 8) ||
			  !arch_is_after_call((const uint8_t *)back)))
		return false;
	/* from a file into nowhere: data, not a caller, unless it is code that was made while the program runs */
	if (m == NULL && modules_find(s, at->look, &index) != NULL &&
	    !(memory_is_readable(back - 8) && arch_is_after_call((const uint8_t *)back)))
		return false;
	*at = (struct walk_place){back - 1, bp + 16, saved};
	return true;
}

static uint64_t frame_word(const struct segment *s, uintptr_t address)
{
	uint32_t index;

	return FRAME_ADDRESS(address) |
	       (modules_find(s, address, &index) ? (uint64_t)(index + 1) << 48 : 0);
}

/* With all registers, by CFI alone: slower by an order of magnitude, and right wherever there are rules. */
static struct walk_result walk_full(struct segment *s, struct thread *t, struct arch_regs *regs)
{
	struct walk_scratch *scratch = t->scratch;
	struct walk_rules *rules = t->rules;
	struct memory memory = memory_at(t, regs->r[ARCH_SP]);
	bool is_exact = true, is_complete = false;
	uint32_t depth = 0;

	walk_forget(scratch);
	for (unsigned steps = 0; steps < WALK_STEPS && depth < walk_settings.depth; steps++) {
		uintptr_t look = regs->r[ARCH_PC] - !is_exact, sp = regs->r[ARCH_SP];
		struct walk_place at = {look, sp, regs->r[ARCH_BP]};
		const struct segment_module *m;
		uint32_t index;
		int r = -1;

		scratch->words[depth++] = frame_word(s, look);
		m = modules_find(s, look, &index);
		is_exact = false;
		if (m != NULL && modules_may_read(s, m, m->cfi_header) &&
		    cfi_rules(m, look, rules->states, &rules->frame)) {
			r = cfi_step(&rules->frame, regs, read_word, &memory);
			is_exact = rules->frame.is_signal;
		} else if (walk_step_by_pointer(s, &memory, &at)) {
			regs->r[ARCH_PC] = at.look + 1;
			regs->r[ARCH_SP] = at.sp;
			regs->r[ARCH_BP] = at.bp;
			r = 1;
		}
		is_complete = r == 0 || (r == 1 && regs->r[ARCH_PC] == 0);
		/* Callers lie further up. vfork's is as high as itself: it keeps the return address in a register. */
		if (is_complete || r < 0 ||
		    !(regs->r[ARCH_SP] > sp || is_exact || (regs->r[ARCH_SP] == sp && depth == 1)))
			break;
	}
	return walk_end(s, scratch->words, depth, is_complete);
}

/* By frame pointers from the first frame on: unwind=fp. */
static struct walk_result walk_pointers(struct segment *s, struct thread *t, struct walk_place at)
{
	struct walk_scratch *scratch = t->scratch;
	struct memory memory = memory_at(t, at.sp);
	bool is_complete = false;
	uint32_t depth = 0;

	walk_forget(scratch);
	scratch->words[depth++] = frame_word(s, at.look);
	while (depth < walk_settings.depth) {
		if (!walk_step_by_pointer(s, &memory, &at)) {
			is_complete = at.bp == 0;
			break;
		}
		scratch->words[depth++] = frame_word(s, at.look);
	}
	return walk_end(s, scratch->words, depth, is_complete);
}

static struct walk_result walk_by_libunwind(struct segment *s, struct thread *t,
					    const ucontext_t *uc)
{
	struct walk_scratch *scratch = t->scratch;
	bool is_complete;
	int n;

	walk_forget(scratch);
	n = walk_settings.libunwind(uc, scratch->words, (int)walk_settings.depth, &is_complete);
	for (int i = 0; i < n; i++)
		scratch->words[i] = frame_word(s, scratch->words[i]);
	return walk_end(s, scratch->words, (uint32_t)n, is_complete);
}

SIGSAFE struct walk_result walk_regs(struct segment *s, struct thread *t, struct arch_regs *regs)
{
	uintptr_t pc = regs->r[ARCH_PC], sp = regs->r[ARCH_SP], bp = regs->r[ARCH_BP];
	struct walk_result result;

	if (walk_settings.way == WALK_FP) {
		result = walk_pointers(s, t, (struct walk_place){pc, sp, bp});
	} else {
		result = walk_rows(s, t, pc, sp, bp);
		if (result.frames == NULL)
			result = walk_full(s, t, regs);
	}
	t->scratch->last = result;
	return result;
}

SIGSAFE struct walk_result walk_signal(struct segment *s, struct thread *t, const ucontext_t *uc)
{
	uintptr_t pc = arch_pc(uc), sp = arch_sp(uc), bp = arch_bp(uc);
	struct walk_result result;

	if (unlikely(walk_settings.way == WALK_LIBUNWIND && walk_settings.libunwind != NULL)) {
		result = walk_by_libunwind(s, t, uc);
	} else if (unlikely(walk_settings.way == WALK_FP)) {
		result = walk_pointers(s, t, (struct walk_place){pc, sp, bp});
	} else {
		result = walk_rows(s, t, pc, sp, bp);
		if (unlikely(result.frames == NULL)) {
			arch_regs_from(&t->rules->regs, uc);
			result = walk_full(s, t, &t->rules->regs);
		}
	}
	t->scratch->last = result;
	return result;
}

/*
 * A walk from a hook needs less than signals_has_room() asks for, but the host's function behind us is still to return:
 * 1.7 KiB for the deepest walk, and a reserve.
 */
#define HERE_BYTES 2560

SIGSAFE bool walk_has_room(const struct thread *t)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	stack_t alternate;

	if (t != NULL && here > t->stack_low && here < t->stack_high)
		return true;
	return sys2(SYS_sigaltstack, NULL, &alternate) != 0 || !(alternate.ss_flags & SS_ONSTACK) ||
	       here - (uintptr_t)alternate.ss_sp >= HERE_BYTES;
}

SIGSAFE struct walk_result walk_here(struct segment *s, struct thread *t)
{
	struct walk_result result;
	struct arch_regs regs;

	arch_regs_here(&regs);
	result = walk_regs(s, t, &regs);
	/* the first frame is this function */
	if (result.depth > 1) {
		result.frames++;
		result.depth--;
		t->scratch->last = result;
	}
	return result;
}
