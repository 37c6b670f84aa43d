#include "core/rows.h"

#include "core/modules.h"

/* For expressions that must not look at memory. */
static bool read_nothing(void *user, uintptr_t address, uintptr_t *ret)
{
	return false;
}

static bool fits(int64_t value, unsigned bits)
{
	return value >= -(INT64_C(1) << (bits - 1)) && value < INT64_C(1) << (bits - 1);
}

static row_t make_row(enum row_kind kind, uint32_t module, int64_t cfa, enum row_bp bp_rule,
		      int64_t bp)
{
	return (row_t)kind | (row_t)bp_rule << 4 | (row_t)((uint64_t)(bp / 8) & 0x3fff) << 6 |
	       (row_t)((uint64_t)cfa & 0xffffff) << 20 | (row_t)module << 44;
}

/* Evaluates @rule over registers that are all @base but the pc. */
static bool evaluate_at(const struct cfi_frame *f, const struct cfi_rule *rule, uintptr_t pc,
			uintptr_t base, bool has_cfa, uintptr_t *ret)
{
	struct arch_regs regs;

	for (unsigned i = 0; i < ARCH_REGS; i++)
		regs.r[i] = base;
	regs.r[ARCH_PC] = pc;
	return cfi_expression(f, rule, &regs, has_cfa, base, read_nothing, NULL, ret);
}

/* True when the rule means: the word at sp + @distance. */
static bool is_at_sp(const struct cfi_frame *f, unsigned reg, uintptr_t pc, uintptr_t distance)
{
	uintptr_t at;

	return f->state.rules[reg].kind == CFI_AT_EXPR &&
	       evaluate_at(f, &f->state.rules[reg], pc, 0x10000, true, &at) &&
	       at == 0x10000 + distance;
}

/* The bytes of an expression rule. */
static const uint8_t *bytes_of(const struct cfi_frame *f, const struct cfi_rule *rule)
{
	return (const uint8_t *)(f->module->readable_start + (uint32_t)rule->value);
}

static int64_t small_sleb(uint8_t byte)
{
	return (int64_t)((uint64_t)byte << 57) >> 57;
}

static row_t simplify(const struct cfi_frame *f, uintptr_t pc, uint32_t module)
{
	const struct cfi_rule *cfa = &f->state.cfa, *bp = &f->state.rules[ARCH_BP];
	const struct cfi_rule *ret_pc = &f->state.rules[f->pc_column];
	enum row_kind kind = ROW_FULL;
	enum row_bp bp_rule = ROW_BP_SAME;
	int64_t bp_distance = 0, distance = cfa->value;
	uintptr_t low, high;

	if (f->pc_column != ARCH_PC)
		return make_row(ROW_FULL, module, 0, ROW_BP_SAME, 0);
	if (ret_pc->kind == CFI_UNDEFINED)
		return make_row(ROW_END, module, 0, ROW_BP_SAME, 0);
	if (f->is_signal)
		return make_row(is_at_sp(f, ARCH_PC, pc, ARCH_SIGFRAME_PC) &&
						is_at_sp(f, ARCH_SP, pc, ARCH_SIGFRAME_SP) &&
						is_at_sp(f, ARCH_BP, pc, ARCH_SIGFRAME_BP)
					? ROW_SIGNAL
					: ROW_FULL,
				module, 0, ROW_BP_SAME, 0);

	if (cfa->kind == CFI_REGISTER && f->state.cfa_register == ARCH_SP) {
		kind = ROW_SP;
	} else if (cfa->kind == CFI_REGISTER && f->state.cfa_register == ARCH_BP) {
		kind = ROW_BP;
	} else if (cfa->kind == CFI_IS_EXPR) {
		const uint8_t *op = bytes_of(f, cfa);

		if (cfa->expr_size == 3 && op[0] == 0x76 && !(op[1] & 0x80) && op[2] == 0x06) {
			kind = ROW_BP_DEREF; /* breg6 n, deref: how gcc finds the caller of a realigned frame */
			distance = small_sleb(op[1]);
		} else if (evaluate_at(f, cfa, pc, 0x10000, false, &low) &&
			   evaluate_at(f, cfa, pc, 0x30000, false, &high) &&
			   high - low == 0x20000 && op[0] == 0x77) {
			kind = ROW_SP; /* breg7 and arithmetic on the pc: a PLT stub */
			distance = (int64_t)(low - 0x10000);
		}
	}
	if (bp->kind == CFI_AT_CFA && bp->value % 8 == 0 && fits(bp->value / 8, 14)) {
		bp_rule = ROW_BP_AT_CFA;
		bp_distance = bp->value;
	} else if (bp->kind == CFI_AT_EXPR && bp->expr_size == 2 && bytes_of(f, bp)[0] == 0x76 &&
		   !(bytes_of(f, bp)[1] & 0x80) && small_sleb(bytes_of(f, bp)[1]) % 8 == 0) {
		bp_rule = ROW_BP_AT_BP;
		bp_distance = small_sleb(bytes_of(f, bp)[1]);
	} else if (bp->kind != CFI_SAME && bp->kind != CFI_UNDEFINED) {
		kind = ROW_FULL;
	}
	if (ret_pc->kind != CFI_AT_CFA || ret_pc->value != -8 ||
	    f->state.rules[ARCH_SP].kind != CFI_SAME || !fits(distance, 24))
		kind = ROW_FULL;
	return make_row(kind, module, distance, bp_rule, bp_distance);
}

SIGSAFE row_t rows_compute(struct segment *s, uintptr_t pc, struct row_slot *slot,
			   struct cfi_state *states, struct cfi_frame *frame)
{
	/* read first: should the list change meanwhile, the row is kept under a serial that nobody asks for */
	uint64_t key = rows_key(rows_of(s), pc);
	uint32_t index = 0;
	const struct segment_module *m = modules_find(s, pc, &index);
	row_t row;

	if (m == NULL && modules_discover(s, pc)) {
		m = modules_find(s, pc, &index);
		key = rows_key(rows_of(s), pc);
	}
	if (m == NULL) {
		row = make_row(ROW_NONE, 0, 0, ROW_BP_SAME, 0);
	} else if (m->cfi_header != 0 && !modules_may_read(s, m, m->cfi_header)) {
		/* it may be on its way out: do not touch its tables, and do not remember */
		return make_row(ROW_NONE, index + 1, 0, ROW_BP_SAME, 0);
	} else if (cfi_rules(m, pc, states, frame)) {
		row = simplify(frame, pc, index + 1);
	} else {
		row = make_row(ROW_NONE, index + 1, 0, ROW_BP_SAME, 0);
	}
	atomic_store_explicit(&slot->row, row, memory_order_relaxed);
	atomic_store_explicit(&slot->check, key ^ row, memory_order_relaxed);
	return row;
}
