/*
 * rows: the cache of unwind rows, by pc, process-wide and without locks.
 *
 * A row says in one word how to get from a frame to its caller's. Nearly all code needs only: the caller's frame
 * begins at sp + n or bp + n, and bp was saved at this distance from it, or was not.
 *
 * A slot holds the row and, beside it, key ^ row. A slot torn by two writers does not give back its key, so it is a
 * miss and is computed again. The key holds a serial that changes with the module list: old rows then never match.
 */
#pragma once

#include "core/cfi.h"
#include "core/segment.h"

struct row_slot {
	_Atomic uint64_t check; /* key ^ row */
	_Atomic uint64_t row;
};

enum row_kind {
	ROW_NONE = 1, /* no CFI here: try the frame pointer */
	ROW_SP,       /* the caller's frame begins at sp + cfa */
	ROW_BP,       /* at bp + cfa */
	ROW_BP_DEREF, /* at what lies at bp + cfa: a realigned stack */
	ROW_SIGNAL, /* the kernel's frame of a signal: the interrupted registers lie on the stack */
	ROW_END,    /* the outermost frame */
	ROW_FULL,   /* anything else: needs all registers */
};

enum row_bp { ROW_BP_SAME, ROW_BP_AT_CFA, ROW_BP_AT_BP };

/* kind:4 │ bp rule:2 │ bp distance / 8:14 │ cfa distance:24 │ module:16 */
typedef uint64_t row_t;

static inline enum row_kind row_kind(row_t row)
{
	return (enum row_kind)(row & 15);
}

static inline enum row_bp row_bp(row_t row)
{
	return (enum row_bp)(row >> 4 & 3);
}

static inline intptr_t row_bp_distance(row_t row)
{
	return ((int64_t)(row << 44) >> 50) * 8;
}

static inline intptr_t row_cfa(row_t row)
{
	return (int64_t)(row << 20) >> 40;
}

/* The row's module in the place where a stack's word has it. */
static inline uint64_t row_module_bits(row_t row)
{
	return row << 4 & (UINT64_C(0xffff) << 48);
}

static inline uint32_t row_module(row_t row)
{
	return (uint32_t)(row >> 44) & 0xffff;
}

/* The cache as a walk sees it: looked up once, used for every frame. */
struct rows {
	struct row_slot *slots;
	uint64_t mask, key_bits;
};

static inline struct rows rows_of(const struct segment *s)
{
	uint64_t serial = atomic_load_explicit(&s->header->modules_serial, memory_order_relaxed);

	return (struct rows){segment_part(s, SEGMENT_ROWS, 0),
			     segment_count(s, SEGMENT_ROWS, 0) - 1,
			     serial << 48 | UINT64_C(1) << 47};
}

static inline struct row_slot *rows_slot(struct rows rows, uintptr_t pc)
{
	return &rows.slots[(pc * UINT64_C(0x9e3779b97f4a7c15)) >> 40 & rows.mask];
}

static inline uint64_t rows_key(struct rows rows, uintptr_t pc)
{
	return pc ^ rows.key_bits;
}

/* Computes the row for @pc and keeps it in @slot. Scratch as for cfi_rules(). Signal safe. */
SIGSAFE row_t rows_compute(struct segment *s, uintptr_t pc, struct row_slot *slot,
			   struct cfi_state *states, struct cfi_frame *frame);
