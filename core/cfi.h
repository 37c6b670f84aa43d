/*
 * cfi: the rules for one place in the code, out of .eh_frame, computed on the spot.
 *
 * The tables belong to files that others made: each read is checked against the loaded segment that holds them, loops
 * are bounded, and anything not understood gives "no rules" rather than a guess.
 *
 * Sources: DWARF 5 section 6.4, Linux Standard Base "Exception Frames", System V ABI for AMD64.
 */
#pragma once

#include "core/arch.h"
#include "core/segment.h"

#define CFI_STATES   8   /* nesting of DW_CFA_remember_state; compilers use one */
#define CFI_RED_ZONE 128 /* bytes below the stack pointer that belong to a leaf function */

enum cfi_rule_kind {
	CFI_SAME,      /* unchanged */
	CFI_UNDEFINED, /* lost; for the pc: this is the outermost frame */
	CFI_AT_CFA,    /* saved at cfa + value */
	CFI_IS_CFA,    /* is cfa + value */
	CFI_REGISTER,  /* is in register value */
	CFI_AT_EXPR,   /* saved where the expression says */
	CFI_IS_EXPR,   /* is what the expression says */
};

struct cfi_rule {
	uint8_t kind;
	uint16_t expr_size;
	int32_t value; /* or the expression's distance from the module's readable_start */
};

struct cfi_state {
	struct cfi_rule rules[ARCH_REGS];
	struct cfi_rule cfa; /* CFI_REGISTER: register cfa_register plus value; CFI_IS_EXPR */
	uint8_t cfa_register;
};

struct cfi_frame {
	struct cfi_state state;
	const struct segment_module *module;
	bool is_signal; /* the code that returns from a signal handler */
	uint8_t pc_column;
};

/* Reads 8 bytes of the walked thread's memory; false when they are not mapped. */
typedef bool (*cfi_read_word)(void *user, uintptr_t address, uintptr_t *ret);

/* Finds the rules for @pc in @m. False: none, or not understood. @states is scratch for CFI_STATES. */
SIGSAFE bool cfi_rules(const struct segment_module *m, uintptr_t pc, struct cfi_state *states,
		       struct cfi_frame *ret);

/* The function, or the part of one, that the tables know at @pc, or the last one before it. False: none. */
struct cfi_function {
	uint64_t start, size;
	bool has_handlers; /* places in it are entered by exceptions, and by cancellation */
	bool is_signal; /* what returns from a signal handler: @start may lie one byte before its code */
};
SIGSAFE bool cfi_function_at(const struct segment_module *m, uintptr_t pc,
			     struct cfi_function *ret);

/* Evaluates a DWARF expression over @regs. @cfa is pushed first when @has_cfa. False: not understood or unreadable. */
SIGSAFE bool cfi_expression(const struct cfi_frame *f, const struct cfi_rule *rule,
			    const struct arch_regs *regs, bool has_cfa, uintptr_t cfa,
			    cfi_read_word read, void *user, uintptr_t *ret);

/*
 * One step with all registers: @regs become the caller's. 1 done, 0 outermost frame, -1 no way on.
 */
SIGSAFE int cfi_step(const struct cfi_frame *f, struct arch_regs *regs, cfi_read_word read,
		     void *user);

/*
 * A search table for a module without a usable .eh_frame_hdr: pairs of (code, FDE) as distances from @m->start and
 * readable_start, sorted. In private memory; *ret_count pairs. Normal context.
 */
struct cfi_own_entry {
	int32_t code, fde;
};
/* Where the code of the FDE at @address begins; false when it is no FDE. */
bool cfi_fde_code(const struct segment_module *m, uint64_t address, uint64_t *ret_code);
int cfi_build_table(const struct segment_module *m, uintptr_t eh_frame, struct cfi_own_entry **ret,
		    uint32_t *ret_count);
