/*
 * What walk_sig.c and walk_rows_sig.c share: reading the stack, and ending a walk.
 */
#pragma once

#include "core/walk.h"

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

static inline struct memory memory_at(const struct thread *t, uintptr_t sp)
{
	/* between the stack pointer and the end of the thread's own stack everything is mapped */
	if (sp >= t->stack_low && sp < t->stack_high)
		return memory_between(sp, t->stack_high);
	return (struct memory){0, 0};
}

/* Asks the kernel whether a word can be read at @address; what it grants is remembered by the page. */
SIGSAFE bool walk_widen(struct memory *m, uintptr_t address);

/* What a broken table leads to need not be aligned. */
typedef uintptr_t __attribute__((aligned(1), may_alias)) any_word;

/* The word at @address by the quick way, or by asking. The local copy keeps @memory itself in registers. */
#define READ_OR(otherwise, address, ret)                               \
	do {                                                           \
		if (likely(has_word(memory, address))) {               \
			*(ret) = *(const any_word *)(address);         \
		} else {                                               \
			struct memory wider = memory;                  \
                                                                       \
			if (!walk_widen(&wider, address)) {            \
				otherwise;                             \
			} else {                                       \
				memory = wider;                        \
				*(ret) = *(const any_word *)(address); \
			}                                              \
		}                                                      \
	} while (0)

struct walk_place {
	uintptr_t look; /* an address inside the instruction */
	uintptr_t sp, bp;
};

/* A step by the frame pointer. False when it does not lead to what looks like a frame. */
SIGSAFE bool walk_step_by_pointer(const struct segment *s, struct memory *memory,
				  struct walk_place *at);

/* What a walk returns that found @depth words at @frames. */
SIGSAFE static inline struct walk_result walk_end(struct segment *s, uint64_t *frames,
						  uint32_t depth, bool is_complete)
{
	if (unlikely(!is_complete)) {
		frames[depth++] = FRAME_TRUNCATED;
		segment_count_note(s, NOTE_TRUNCATED, 1);
	}
	return (struct walk_result){frames, depth, !is_complete};
}

/* By rows. Nothing, not even frames, when one of them needs all registers. */
SIGSAFE struct walk_result walk_rows(struct segment *s, struct thread *t, uintptr_t pc,
				     uintptr_t sp, uintptr_t bp);
