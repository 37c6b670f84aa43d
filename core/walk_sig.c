#include "core/walk.h"

#include "core/modules.h"
#include "core/rows.h"

#define PAGE 4096u
#define WALK_STEPS \
	(WALK_DEPTH_MAX + 64) /* signal frames and the like do not count as kept frames */

struct walk_settings walk_settings = {.way = WALK_AUTO, .depth = 128};

/*
 * Memory known to be mapped around the part of the stack where the walk is: a word can be read at @low + 0 … @words_span - 1.
 * Kept as a value in registers by the loop that walks; only rare steps take its address.
 */
struct memory {
	uintptr_t low, words_span;
};

static inline bool has_word(struct memory m, uintptr_t address)
{
	return address - m.low < m.words_span;
}

static inline struct memory memory_between(uintptr_t low, uintptr_t high)
{
	return (struct memory){low, high - low >= 8 ? high - low - 7 : 0};
}

static struct memory memory_at(const struct thread *t, uintptr_t sp)
{
	/* between the stack pointer and the end of the thread's own stack everything is mapped */
	if (sp >= t->stack_low && sp < t->stack_high)
		return memory_between(sp, t->stack_high);
	return (struct memory){0, 0};
}

/* Asks the kernel; what it grants is remembered by the page. */
static bool widen(struct memory *m, uintptr_t address)
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

/* What a broken table leads to need not be aligned. */
typedef uintptr_t __attribute__((aligned(1), may_alias)) any_word;

/* AddressSanitizer's poisoned places are between the frames that it must read. */
__attribute__((no_sanitize("address"))) static inline bool read_word(void *user, uintptr_t address,
								     uintptr_t *ret)
{
	struct memory *m = user;

	if (unlikely(!has_word(*m, address)) && !widen(m, address))
		return false;
	*ret = *(const any_word *)address;
	return true;
}

/*
 * A step by the frame pointer, for code without CFI. Taken only when what it finds looks like a frame: further up the
 * same stack, aligned, and a return address that stands behind a call.
 */
static bool step_by_pointer(const struct segment *s, struct memory *memory, uintptr_t *pc,
			    uintptr_t *sp, uintptr_t *bp)
{
	const struct segment_module *m;
	uintptr_t saved, back;
	uint32_t index;

	if (*bp < *sp || *bp % 8 != 0 || *bp - *sp > 1u << 20)
		return false;
	if (!read_word(memory, *bp, &saved) || !read_word(memory, *bp + 8, &back) || back < PAGE)
		return false;
	m = modules_find(s, back - 1, &index);
	if (m != NULL && (back < m->start + 8 || !modules_may_read(s, m, back - 8) ||
			  !arch_is_after_call((const uint8_t *)back)))
		return false;
	if (m == NULL && modules_find(s, *pc, &index) != NULL)
		return false; /* from a file into nowhere: data, not a caller */
	*sp = *bp + 16;
	*bp = saved;
	*pc = back;
	return true;
}

static struct walk_result finish(struct segment *s, uint64_t *frames, uint32_t depth,
				 bool is_complete)
{
	if (!is_complete) {
		frames[depth++] = FRAME_TRUNCATED;
		segment_count_note(s, NOTE_TRUNCATED, 1);
	}
	return (struct walk_result){frames, depth, !is_complete};
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
	struct memory memory = memory_at(t, regs->r[ARCH_SP]);
	uint32_t depth = 0;
	bool is_exact = true;

	for (unsigned steps = 0; steps < WALK_STEPS; steps++) {
		uintptr_t look = regs->r[ARCH_PC] - !is_exact, sp = regs->r[ARCH_SP];
		const struct segment_module *m;
		bool is_further;
		uint32_t index;
		int r = -1;

		if (depth == walk_settings.depth)
			return finish(s, scratch->frames, depth, false);
		scratch->frames[depth++] = frame_word(s, look);
		m = modules_find(s, look, &index);
		is_exact = false;
		if (m != NULL && modules_may_read(s, m, m->cfi_header) &&
		    cfi_rules(m, look, scratch->states, &scratch->frame)) {
			r = cfi_step(&scratch->frame, regs, read_word, &memory);
			is_exact = scratch->frame.is_signal;
		} else if (step_by_pointer(s, &memory, &regs->r[ARCH_PC], &regs->r[ARCH_SP],
					   &regs->r[ARCH_BP])) {
			r = 1;
		}
		if (r == 0 || (r == 1 && regs->r[ARCH_PC] == 0))
			return finish(s, scratch->frames, depth, true);
		/* Callers lie further up. vfork's is as high as itself: it keeps the return address in a register. */
		is_further =
			regs->r[ARCH_SP] > sp || is_exact || (regs->r[ARCH_SP] == sp && depth == 1);
		if (r < 0 || !is_further)
			return finish(s, scratch->frames, depth, false);
	}
	return finish(s, scratch->frames, depth, false);
}

/* By frame pointers from the first frame on: unwind=fp. */
static struct walk_result walk_pointers(struct segment *s, struct thread *t, uintptr_t pc,
					uintptr_t sp, uintptr_t bp)
{
	struct memory memory = memory_at(t, sp);
	uint64_t *frames = t->scratch->frames;
	uint32_t depth = 0;

	frames[depth++] = frame_word(s, pc);
	while (depth < walk_settings.depth) {
		if (!step_by_pointer(s, &memory, &pc, &sp, &bp))
			return finish(s, frames, depth, bp == 0);
		frames[depth++] = frame_word(s, pc - 1);
	}
	return finish(s, frames, depth, false);
}

struct start {
	uintptr_t pc, sp, bp;
};

/*
 * The common case. Everything a frame needs comes from one 16-byte slot and two words of the stack.
 * Sets *ret_full when a frame needs more; nothing is lost then but the time.
 */
/* The word at @address by the quick way, or by asking. The local copy keeps @memory itself in registers. */
#define READ_OR(otherwise, address, ret)                          \
	do {                                                      \
		if (likely(has_word(memory, address))) {          \
			*(ret) = *(const any_word *)(address);    \
		} else {                                          \
			struct memory wider = memory;             \
			uintptr_t word;                           \
                                                                  \
			if (!read_word(&wider, address, &word)) { \
				otherwise;                        \
			} else {                                  \
				memory = wider;                   \
				*(ret) = word;                    \
			}                                         \
		}                                                 \
	} while (0)

__attribute__((no_sanitize("address"))) static struct walk_result walk_rows(struct segment *s,
									    struct thread *t,
									    struct start at,
									    bool *ret_full)
{
	struct walk_scratch *scratch = t->scratch;
	uint64_t *frames = scratch->frames;
	struct memory memory = memory_at(t, at.sp);
	uintptr_t pc = at.pc, sp = at.sp, bp = at.bp, look = at.pc, cfa, back;
	uint32_t depth = 0, kept = walk_settings.depth;
	struct rows rows = rows_of(s);

	for (unsigned steps = 0; steps < WALK_STEPS && depth < kept; steps++) {
		struct row_slot *slot = rows_slot(rows, look);
		uint64_t key = rows_key(rows, look);
		row_t row = atomic_load_explicit(&slot->row, memory_order_relaxed);

		if (unlikely((atomic_load_explicit(&slot->check, memory_order_relaxed) ^ row) !=
			     key)) {
			row = rows_compute(s, look, slot, scratch->states, &scratch->frame);
			rows = rows_of(s); /* a file that was found changes the serial */
		}
		frames[depth++] = FRAME_ADDRESS(look) | row_module_bits(row);

		if (likely(row_kind(row) == ROW_SP)) {
			cfa = sp + (uintptr_t)row_cfa(row);
		} else if (likely(row_kind(row) == ROW_BP)) {
			cfa = bp + (uintptr_t)row_cfa(row);
		} else if (row_kind(row) == ROW_BP_DEREF) {
			READ_OR(goto cut, bp + (uintptr_t)row_cfa(row), &cfa);
		} else if (row_kind(row) == ROW_SIGNAL) {
			READ_OR(goto cut, sp + ARCH_SIGFRAME_PC, &pc);
			READ_OR(goto cut, sp + ARCH_SIGFRAME_BP, &bp);
			READ_OR(goto cut, sp + ARCH_SIGFRAME_SP, &sp);
			/* it may lie on another stack than the handler's */
			memory = memory_at(t, sp);
			look = pc;
			continue;
		} else if (row_kind(row) == ROW_END) {
			return finish(s, frames, depth, true);
		} else if (row_kind(row) == ROW_FULL) {
			*ret_full = true;
			return (struct walk_result){frames, 0, false};
		} else {
			struct start here = {pc, sp, bp};
			struct memory wider = memory;

			if (!step_by_pointer(s, &wider, &here.pc, &here.sp, &here.bp))
				goto cut;
			memory = wider;
			pc = here.pc;
			sp = here.sp;
			bp = here.bp;
			look = pc - 1;
			continue;
		}
		if (unlikely(cfa <= sp || cfa % 8 != 0))
			goto cut;
		READ_OR(goto cut, cfa - 8, &back);
		if (row_bp(row) == ROW_BP_AT_CFA) {
			/* lost, which matters only to a caller whose row asks for it */
			READ_OR(bp = 0, cfa + (uintptr_t)row_bp_distance(row), &bp);
		} else if (row_bp(row) == ROW_BP_AT_BP) {
			uintptr_t place = bp + (uintptr_t)row_bp_distance(row);

			/* outside of the frame it is not: bp has been restored already, see cfi_sig.c */
			if (place < cfa && place >= sp - CFI_RED_ZONE)
				READ_OR(bp = 0, place, &bp);
		}
		if (unlikely(back == 0))
			return finish(s, frames, depth, true);
		pc = back;
		sp = cfa;
		look = pc - 1;
	}
cut:
	return finish(s, frames, depth, false);
}

SIGSAFE struct walk_result walk_regs(struct segment *s, struct thread *t, struct arch_regs *regs)
{
	struct start at = {regs->r[ARCH_PC], regs->r[ARCH_SP], regs->r[ARCH_BP]};
	struct walk_result result;
	bool needs_full = false;

	if (walk_settings.way == WALK_FP)
		return walk_pointers(s, t, at.pc, at.sp, at.bp);
	result = walk_rows(s, t, at, &needs_full);
	return needs_full ? walk_full(s, t, regs) : result;
}

SIGSAFE struct walk_result walk_signal(struct segment *s, struct thread *t, const ucontext_t *uc)
{
	struct start at = {arch_pc(uc), arch_sp(uc), arch_bp(uc)};
	struct walk_result result;
	bool needs_full = false;

	if (unlikely(walk_settings.way == WALK_LIBUNWIND && walk_settings.libunwind != NULL)) {
		uint64_t *frames = t->scratch->frames;
		bool is_complete;
		int n = walk_settings.libunwind(uc, frames, (int)walk_settings.depth, &is_complete);

		for (int i = 0; i < n; i++)
			frames[i] = frame_word(s, frames[i]);
		return finish(s, frames, (uint32_t)n, is_complete);
	}
	if (unlikely(walk_settings.way == WALK_FP))
		return walk_pointers(s, t, at.pc, at.sp, at.bp);
	result = walk_rows(s, t, at, &needs_full);
	if (unlikely(needs_full)) {
		arch_regs_from(&t->scratch->regs, uc);
		result = walk_full(s, t, &t->scratch->regs);
	}
	return result;
}

SIGSAFE struct walk_result walk_here(struct segment *s, struct thread *t)
{
	struct walk_result result;

	arch_regs_here(&t->scratch->regs);
	result = walk_regs(s, t, &t->scratch->regs);
	/* the first frame is this function */
	if (result.depth > 1) {
		result.frames++;
		result.depth--;
	}
	return result;
}
