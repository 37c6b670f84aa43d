#include "core/cfi.h"

#include <string.h>

/*
 * A place in the tables. Reads beyond the bounds give zero and set @bad, which is asked once at the end of each
 * loop: shorter than a check at every byte, and as safe.
 */
struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static struct reader reader_at(const struct segment_module *m, uint64_t address, uint64_t size)
{
	struct reader r = {NULL, NULL, true};

	if (address < m->readable_start || address > m->readable_end ||
	    size > m->readable_end - address)
		return r;
	r.at = (const uint8_t *)address;
	r.end = r.at + size;
	r.bad = false;
	return r;
}

static uint64_t fixed(struct reader *r, unsigned size)
{
	uint64_t value = 0;

	if (r->bad || (size_t)(r->end - r->at) < size) {
		r->bad = true;
		return 0;
	}
	memcpy(&value, r->at, size);
	r->at += size;
	return value;
}

static int64_t fixed_signed(struct reader *r, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (int64_t)(fixed(r, size) << shift) >> shift;
}

static uint64_t uleb(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint64_t byte = fixed(r, 1);

		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->bad = true;
	return 0;
}

static int64_t sleb(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint64_t byte = fixed(r, 1);

		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			if (byte & 0x40 && shift + 7 < 64)
				value |= ~UINT64_C(0) << (shift + 7);
			return (int64_t)value;
		}
	}
	r->bad = true;
	return 0;
}

enum { PE_OMIT = 0xff, PE_PCREL = 0x10, PE_DATAREL = 0x30, PE_INDIRECT = 0x80 };

/* An address in one of the encodings of the Linux Standard Base. @data_base: what "data relative" is relative to. */
static uint64_t encoded(struct reader *r, uint8_t encoding, uint64_t data_base)
{
	uint64_t place = (uint64_t)r->at, value;

	if (encoding == PE_OMIT)
		return 0;
	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c:
		value = fixed(r, 8);
		break;
	case 0x01:
		value = uleb(r);
		break;
	case 0x02:
		value = fixed(r, 2);
		break;
	case 0x03:
		value = fixed(r, 4);
		break;
	case 0x09:
		value = (uint64_t)sleb(r);
		break;
	case 0x0a:
		value = (uint64_t)fixed_signed(r, 2);
		break;
	case 0x0b:
		value = (uint64_t)fixed_signed(r, 4);
		break;
	default:
		r->bad = true;
		return 0;
	}
	switch (encoding & 0x70) {
	case 0x00:
		break;
	case PE_PCREL:
		value += place;
		break;
	case PE_DATAREL:
		value += data_base;
		break;
	default:
		r->bad = true;
		return 0;
	}
	return value; /* PE_INDIRECT occurs for personality routines only, which nobody asks for */
}

struct cie {
	struct reader instructions;
	uint64_t code_align;
	int64_t data_align;
	uint64_t pc_column;
	uint8_t fde_encoding, handlers_encoding;
	bool has_augmentation_size, is_signal;
};

static bool parse_cie(const struct segment_module *m, uint64_t address, struct cie *ret)
{
	struct reader r = reader_at(m, address, 4);
	const char *augmentation;
	uint64_t length = fixed(&r, 4), size;
	uint8_t version;

	if (r.bad || length == 0 || length == UINT32_MAX)
		return false;
	r = reader_at(m, address + 4, length);
	if (fixed(&r, 4) != 0) /* a CIE has 0 where an FDE says where its CIE is */
		return false;
	version = (uint8_t)fixed(&r, 1);
	if (version != 1 && version != 3 && version != 4)
		return false;
	augmentation = (const char *)r.at;
	while (!r.bad && fixed(&r, 1) != 0)
		;
	if (version == 4)
		fixed(&r, 2); /* address and segment selector size */
	*ret = (struct cie){.code_align = uleb(&r), .handlers_encoding = PE_OMIT};
	ret->data_align = sleb(&r);
	ret->pc_column = version == 1 ? fixed(&r, 1) : uleb(&r);
	if (r.bad)
		return false;
	ret->instructions = r;
	if (augmentation[0] == '\0')
		return true;
	if (augmentation[0] != 'z')
		return false; /* "eh" of gcc 2: nobody has made it for twenty years */
	size = uleb(&r);
	if (r.bad || size > (uint64_t)(r.end - r.at))
		return false;
	ret->instructions.at = r.at + size;
	ret->has_augmentation_size = true;
	for (const char *a = augmentation + 1; *a != '\0' && !r.bad; a++) {
		uint8_t encoding;

		switch (*a) {
		case 'R':
			ret->fde_encoding = (uint8_t)fixed(&r, 1);
			break;
		case 'P':
			encoding = (uint8_t)fixed(&r, 1);
			encoded(&r, encoding, 0);
			break;
		case 'L':
			ret->handlers_encoding = (uint8_t)fixed(&r, 1);
			break;
		case 'S':
			ret->is_signal = true;
			break;
		default:
			return !r.bad; /* what follows cannot be told apart; the size has got us past it */
		}
	}
	return !r.bad;
}

struct fde {
	struct cie cie;
	uint64_t start, size; /* of the code */
	bool has_handlers;
	struct reader instructions;
};

static bool parse_fde(const struct segment_module *m, uint64_t address, struct fde *ret)
{
	struct reader r = reader_at(m, address, 4);
	uint64_t length = fixed(&r, 4), back;

	if (r.bad || length == 0 || length == UINT32_MAX)
		return false;
	r = reader_at(m, address + 4, length);
	back = fixed(&r, 4);
	if (r.bad || back == 0 || back > address + 4 - m->readable_start ||
	    !parse_cie(m, address + 4 - back, &ret->cie))
		return false;
	ret->start = encoded(&r, ret->cie.fde_encoding, m->cfi_header);
	ret->size = encoded(&r, ret->cie.fde_encoding & 0x0f, 0);
	if (ret->cie.has_augmentation_size) {
		uint64_t size = uleb(&r);

		if (r.bad || size > (uint64_t)(r.end - r.at))
			return false;
		/* where they are is nobody's question; none at all is written as zeros, whatever the encoding */
		ret->has_handlers = false;
		for (uint64_t i = 0; i < size && ret->cie.handlers_encoding != PE_OMIT; i++)
			ret->has_handlers = ret->has_handlers || r.at[i] != 0;
		r.at += size;
	} else {
		ret->has_handlers = false;
	}
	ret->instructions = r;
	return !r.bad;
}

/* Word @i of a search table, which nobody has promised to align. */
static int32_t table_word(const uint8_t *table, uint64_t i)
{
	int32_t word;

	memcpy(&word, table + i * sizeof(word), sizeof(word));
	return word;
}

/* Finds the FDE for @pc by the header's search table: pairs of (code, FDE), relative to the header, sorted. */
static uint64_t find_fde(const struct segment_module *m, uintptr_t pc)
{
	const uint8_t *table = NULL;
	uint64_t count = 0, base = m->cfi_header, low = 0;
	int64_t wanted;

	if (m->own_table != 0) {
		table = (const uint8_t *)m->own_table;
		count = m->own_table_count;
		base = m->readable_start;
		wanted = (int64_t)(pc - m->start);
	} else {
		struct reader r = reader_at(m, m->cfi_header, 4);
		uint8_t frame_encoding, count_encoding, table_encoding;

		if (m->cfi_header == 0 || fixed(&r, 1) != 1)
			return 0;
		frame_encoding = (uint8_t)fixed(&r, 1);
		count_encoding = (uint8_t)fixed(&r, 1);
		table_encoding = (uint8_t)fixed(&r, 1);
		r.end = (const uint8_t *)m->readable_end;
		encoded(&r, frame_encoding, base);
		count = encoded(&r, count_encoding, base);
		if (r.bad || table_encoding != (PE_DATAREL | 0x0b) || count_encoding == PE_OMIT ||
		    count > (uint64_t)(r.end - r.at) / 8)
			return 0;
		table = r.at;
		wanted = (int64_t)(pc - base);
	}
	if (count == 0 || wanted != (int32_t)wanted || table_word(table, 0) > wanted)
		return 0;
	for (uint64_t high = count; high - low > 1;) {
		uint64_t middle = low + (high - low) / 2;

		if (table_word(table, 2 * middle) <= wanted)
			low = middle;
		else
			high = middle;
	}
	return base + (uint64_t)(int64_t)table_word(table, 2 * low + 1);
}

static void set_rule(struct cfi_state *state, uint64_t reg, enum cfi_rule_kind kind, int64_t value,
		     bool *bad)
{
	if (reg >= ARCH_REGS)
		return; /* vector registers: no frame depends on them */
	if (value != (int32_t)value)
		*bad = true;
	state->rules[reg] = (struct cfi_rule){.kind = (uint8_t)kind, .value = (int32_t)value};
}

static void set_expression(const struct segment_module *m, struct cfi_rule *rule,
			   enum cfi_rule_kind kind, struct reader *r)
{
	uint64_t size = uleb(r);
	uint64_t distance = (uint64_t)r->at - m->readable_start;

	if (r->bad || size > (uint64_t)(r->end - r->at) || size > UINT16_MAX ||
	    distance > INT32_MAX) {
		r->bad = true;
		return;
	}
	*rule = (struct cfi_rule){(uint8_t)kind, (uint16_t)size, (int32_t)distance};
	r->at += size;
}

/* A factored offset. Unsigned, because the factors are whatever stands in the file. */
static int64_t factored(uint64_t offset, int64_t align)
{
	return (int64_t)(offset * (uint64_t)align);
}

/* The distance of a CFA that is a register and a number. */
static void set_distance(struct cfi_state *state, int64_t value, bool *bad)
{
	if (state->cfa.kind != CFI_REGISTER || value != (int32_t)value)
		*bad = true;
	else
		state->cfa.value = (int32_t)value;
}

struct machine {
	const struct segment_module *module;
	const struct cie *cie;
	struct cfi_state *state;
	const struct cfi_state *initial; /* NULL while the CIE's own instructions run */
	struct cfi_state *stack;
	unsigned depth;
};

/* Runs call frame instructions up to the row that holds for @pc. */
static bool run(struct machine *vm, struct reader r, uint64_t location, uint64_t pc)
{
	struct cfi_state *state = vm->state;
	int64_t align = vm->cie->data_align;
	bool bad = false;

	while (r.at < r.end && !r.bad && !bad) {
		uint8_t op = (uint8_t)fixed(&r, 1), low = op & 0x3f;
		uint64_t reg, advance = 0;

		switch (op >> 6) {
		case 1: /* DW_CFA_advance_loc */
			advance = low * vm->cie->code_align;
			goto advance;
		case 2: /* DW_CFA_offset */
			set_rule(state, low, CFI_AT_CFA, factored(uleb(&r), align), &bad);
			continue;
		case 3: /* DW_CFA_restore */
			reg = low;
			goto restore;
		}
		switch (low) {
		case 0x00: /* DW_CFA_nop */
			continue;
		case 0x01: /* DW_CFA_set_loc */
			advance = encoded(&r, vm->cie->fde_encoding, vm->module->cfi_header) -
				  location;
			goto advance;
		case 0x02: /* DW_CFA_advance_loc1, 2, 4 */
			advance = fixed(&r, 1) * vm->cie->code_align;
			goto advance;
		case 0x03:
			advance = fixed(&r, 2) * vm->cie->code_align;
			goto advance;
		case 0x04:
			advance = fixed(&r, 4) * vm->cie->code_align;
			goto advance;
		case 0x05: /* DW_CFA_offset_extended */
			reg = uleb(&r);
			set_rule(state, reg, CFI_AT_CFA, factored(uleb(&r), align), &bad);
			continue;
		case 0x06: /* DW_CFA_restore_extended */
			reg = uleb(&r);
			goto restore;
		case 0x07: /* DW_CFA_undefined */
			set_rule(state, uleb(&r), CFI_UNDEFINED, 0, &bad);
			continue;
		case 0x08: /* DW_CFA_same_value */
			set_rule(state, uleb(&r), CFI_SAME, 0, &bad);
			continue;
		case 0x09: /* DW_CFA_register */
			reg = uleb(&r);
			set_rule(state, reg, CFI_REGISTER, (int64_t)uleb(&r), &bad);
			continue;
		case 0x0a:                               /* DW_CFA_remember_state */
			if (vm->depth == CFI_STATES - 1) /* the first is what the CIE says */
				return false;
			vm->stack[vm->depth++] = *state;
			continue;
		case 0x0b: /* DW_CFA_restore_state */
			if (vm->depth == 0)
				return false;
			*state = vm->stack[--vm->depth];
			continue;
		case 0x0c: /* DW_CFA_def_cfa */
		case 0x12: /* DW_CFA_def_cfa_sf */
			reg = uleb(&r);
			state->cfa = (struct cfi_rule){.kind = CFI_REGISTER};
			state->cfa_register = reg < ARCH_REGS ? (uint8_t)reg : 0;
			bad = bad || reg >= ARCH_REGS;
			set_distance(state,
				     low == 0x0c ? (int64_t)uleb(&r)
						 : factored((uint64_t)sleb(&r), align),
				     &bad);
			continue;
		case 0x0d: /* DW_CFA_def_cfa_register */
			reg = uleb(&r);
			state->cfa_register = reg < ARCH_REGS ? (uint8_t)reg : 0;
			bad = bad || reg >= ARCH_REGS || state->cfa.kind != CFI_REGISTER;
			continue;
		case 0x0e: /* DW_CFA_def_cfa_offset */
			set_distance(state, (int64_t)uleb(&r), &bad);
			continue;
		case 0x13: /* DW_CFA_def_cfa_offset_sf */
			set_distance(state, factored((uint64_t)sleb(&r), align), &bad);
			continue;
		case 0x0f: /* DW_CFA_def_cfa_expression */
			set_expression(vm->module, &state->cfa, CFI_IS_EXPR, &r);
			continue;
		case 0x10:   /* DW_CFA_expression */
		case 0x16: { /* DW_CFA_val_expression */
			struct cfi_rule rule = {0};

			reg = uleb(&r);
			set_expression(vm->module, &rule, low == 0x10 ? CFI_AT_EXPR : CFI_IS_EXPR,
				       &r);
			if (reg < ARCH_REGS)
				state->rules[reg] = rule;
			continue;
		}
		case 0x11: /* DW_CFA_offset_extended_sf */
			reg = uleb(&r);
			set_rule(state, reg, CFI_AT_CFA, factored((uint64_t)sleb(&r), align), &bad);
			continue;
		case 0x14: /* DW_CFA_val_offset */
			reg = uleb(&r);
			set_rule(state, reg, CFI_IS_CFA, factored(uleb(&r), align), &bad);
			continue;
		case 0x15: /* DW_CFA_val_offset_sf */
			reg = uleb(&r);
			set_rule(state, reg, CFI_IS_CFA, factored((uint64_t)sleb(&r), align), &bad);
			continue;
		case 0x2e: /* DW_CFA_GNU_args_size */
			uleb(&r);
			continue;
		case 0x2f: /* DW_CFA_GNU_negative_offset_extended */
			reg = uleb(&r);
			set_rule(state, reg, CFI_AT_CFA, factored(-uleb(&r), align), &bad);
			continue;
		default:
			return false;
		}
restore:
		if (vm->initial == NULL)
			return false;
		if (reg < ARCH_REGS)
			state->rules[reg] = vm->initial->rules[reg];
		continue;
advance:
		location += advance;
		if (location > pc)
			break;
	}
	return !r.bad && !bad;
}

SIGSAFE bool cfi_rules(const struct segment_module *m, uintptr_t pc, struct cfi_state *states,
		       struct cfi_frame *ret)
{
	struct fde fde;
	struct machine vm = {m, &fde.cie, &ret->state, NULL, states + 1, 0};
	uint64_t address = find_fde(m, pc);

	if (address == 0 || !parse_fde(m, address, &fde) || pc < fde.start ||
	    pc - fde.start >= fde.size || fde.cie.pc_column >= ARCH_REGS)
		return false;
	memset(&ret->state, 0, sizeof(ret->state));
	ret->state.cfa.kind = CFI_UNDEFINED;
	if (!run(&vm, fde.cie.instructions, 0, UINT64_MAX))
		return false;
	states[0] = ret->state;
	vm.initial = &states[0];
	vm.depth = 0;
	if (!run(&vm, fde.instructions, fde.start, pc))
		return false;
	ret->module = m;
	ret->is_signal = fde.cie.is_signal;
	ret->pc_column = (uint8_t)fde.cie.pc_column;
	return ret->state.cfa.kind == CFI_REGISTER || ret->state.cfa.kind == CFI_IS_EXPR;
}

#define EXPRESSION_STACK 16
#define EXPRESSION_STEPS 256

SIGSAFE bool cfi_expression(const struct cfi_frame *f, const struct cfi_rule *rule,
			    const struct arch_regs *regs, bool has_cfa, uintptr_t cfa,
			    cfi_read_word read, void *user, uintptr_t *ret)
{
	struct reader r = reader_at(f->module, f->module->readable_start + (uint32_t)rule->value,
				    rule->expr_size);
	const uint8_t *start = r.at;
	uint64_t stack[EXPRESSION_STACK] = {0};
	unsigned n = 0, steps = 0;

	if (has_cfa)
		stack[n++] = cfa;
	while (r.at < r.end && !r.bad) {
		uint8_t op = (uint8_t)fixed(&r, 1);
		uint64_t a, b, push = 0;
		unsigned pops = 0, pushes = 1;
		uintptr_t word;

		if (++steps > EXPRESSION_STEPS)
			return false;
		/* how many operands each takes, so that one check covers all */
		if (op >= 0x1a && op <= 0x2e && op != 0x1f && op != 0x20 && op != 0x23 &&
		    op != 0x28)
			pops = 2;
		if (op == 0x06 || op == 0x12 || op == 0x13 || op == 0x19 || op == 0x1f ||
		    op == 0x20 || op == 0x23 || op == 0x28 || op == 0x94)
			pops = 1;
		if (op == 0x14 || op == 0x16)
			pops = 2;
		if (op == 0x17)
			pops = 3;
		if (n < pops)
			return false;
		a = pops > 0 ? stack[n - 1] : 0;
		b = pops > 1 ? stack[n - 2] : 0;

		if (op >= 0x30 && op <= 0x4f) { /* DW_OP_lit0 … 31 */
			push = op - 0x30u;
		} else if (op >= 0x70 && op <= 0x8f) { /* DW_OP_breg0 … 31 */
			if (op - 0x70 >= ARCH_REGS)
				return false;
			push = regs->r[op - 0x70] + (uint64_t)sleb(&r);
		} else {
			switch (op) {
			case 0x03:
				push = fixed(&r, 8);
				break; /* addr */
			case 0x06:     /* deref */
				if (!read(user, a, &word))
					return false;
				push = word;
				break;
			case 0x08:
				push = fixed(&r, 1);
				break; /* const1u … consts */
			case 0x09:
				push = (uint64_t)fixed_signed(&r, 1);
				break;
			case 0x0a:
				push = fixed(&r, 2);
				break;
			case 0x0b:
				push = (uint64_t)fixed_signed(&r, 2);
				break;
			case 0x0c:
				push = fixed(&r, 4);
				break;
			case 0x0d:
				push = (uint64_t)fixed_signed(&r, 4);
				break;
			case 0x0e:
			case 0x0f:
				push = fixed(&r, 8);
				break;
			case 0x10:
				push = uleb(&r);
				break;
			case 0x11:
				push = (uint64_t)sleb(&r);
				break;
			case 0x12:
				pops = 0;
				push = a;
				break; /* dup */
			case 0x13:
				pushes = 0;
				break; /* drop */
			case 0x14:
				pops = 0;
				push = b;
				break; /* over */
			case 0x15: {   /* pick */
				uint64_t index = fixed(&r, 1);

				if (index >= n)
					return false;
				push = stack[n - 1 - index];
				break;
			}
			case 0x16: /* swap */
				stack[n - 1] = b;
				stack[n - 2] = a;
				continue;
			case 0x17: { /* rot */
				uint64_t c = stack[n - 3];

				stack[n - 1] = b;
				stack[n - 2] = c;
				stack[n - 3] = a;
				continue;
			}
			case 0x19:
				push = (int64_t)a < 0 ? -a : a;
				break; /* abs */
			case 0x1a:
				push = b & a;
				break;
			case 0x1b: /* div */
				if (a == 0 || (a == UINT64_MAX && b == UINT64_C(1) << 63))
					return false;
				push = (uint64_t)((int64_t)b / (int64_t)a);
				break;
			case 0x1c:
				push = b - a;
				break;
			case 0x1d: /* mod */
				if (a == 0)
					return false;
				push = b % a;
				break;
			case 0x1e:
				push = b * a;
				break;
			case 0x1f:
				push = -a;
				break;
			case 0x20:
				push = ~a;
				break;
			case 0x21:
				push = b | a;
				break;
			case 0x22:
				push = b + a;
				break;
			case 0x23:
				push = a + uleb(&r);
				break; /* plus_uconst */
			case 0x24:
				push = a < 64 ? b << a : 0;
				break;
			case 0x25:
				push = a < 64 ? b >> a : 0;
				break;
			case 0x26:
				push = (uint64_t)((int64_t)b >> (a < 64 ? a : 63));
				break;
			case 0x27:
				push = b ^ a;
				break;
			case 0x28: { /* bra */
				int64_t distance = fixed_signed(&r, 2);

				n--;
				if (a == 0)
					continue;
				if (distance < start - r.at || distance > r.end - r.at)
					return false;
				r.at += distance;
				continue;
			}
			case 0x29:
				push = b == a;
				break;
			case 0x2a:
				push = (int64_t)b >= (int64_t)a;
				break;
			case 0x2b:
				push = (int64_t)b > (int64_t)a;
				break;
			case 0x2c:
				push = (int64_t)b <= (int64_t)a;
				break;
			case 0x2d:
				push = (int64_t)b < (int64_t)a;
				break;
			case 0x2e:
				push = b != a;
				break;
			case 0x2f: { /* skip */
				int64_t distance = fixed_signed(&r, 2);

				if (distance < start - r.at || distance > r.end - r.at)
					return false;
				r.at += distance;
				continue;
			}
			case 0x92: { /* bregx */
				uint64_t reg = uleb(&r);

				if (reg >= ARCH_REGS)
					return false;
				push = regs->r[reg] + (uint64_t)sleb(&r);
				break;
			}
			case 0x94: { /* deref_size */
				uint64_t size = fixed(&r, 1);

				if (size == 0 || size > 8 || !read(user, a, &word))
					return false;
				push = size == 8 ? word : word & ((UINT64_C(1) << 8 * size) - 1);
				break;
			}
			case 0x96:
				continue; /* nop */
			default:
				return false;
			}
		}
		n -= pops;
		if (pushes == 0)
			continue;
		if (n == EXPRESSION_STACK)
			return false;
		stack[n++] = push;
	}
	if (r.bad || n == 0)
		return false;
	*ret = stack[n - 1];
	return true;
}

static bool apply_rule(const struct cfi_frame *f, unsigned reg, const struct arch_regs *regs,
		       uintptr_t cfa, cfi_read_word read, void *user, uintptr_t *ret)
{
	const struct cfi_rule *rule = &f->state.rules[reg];
	uintptr_t place;

	switch (rule->kind) {
	case CFI_SAME:
	case CFI_UNDEFINED:
		*ret = regs->r[reg];
		return true;
	case CFI_AT_CFA:
		return read(user, cfa + (uintptr_t)(intptr_t)rule->value, ret);
	case CFI_IS_CFA:
		*ret = cfa + (uintptr_t)(intptr_t)rule->value;
		return true;
	case CFI_REGISTER:
		if (rule->value < 0 || rule->value >= ARCH_REGS)
			return false;
		*ret = regs->r[rule->value];
		return true;
	case CFI_AT_EXPR:
		if (!cfi_expression(f, rule, regs, true, cfa, read, user, &place))
			return false;
		/*
		 * gcc says "saved where bp points" for realigned frames, also behind `leave`, when bp is the caller's
		 * already. What is not in the frame is not saved there: the register has been restored.
		 */
		if (!f->is_signal && (place >= cfa || place < regs->r[ARCH_SP] - CFI_RED_ZONE)) {
			*ret = regs->r[reg];
			return true;
		}
		return read(user, place, ret);
	default:
		return cfi_expression(f, rule, regs, true, cfa, read, user, ret);
	}
}

SIGSAFE int cfi_step(const struct cfi_frame *f, struct arch_regs *regs, cfi_read_word read,
		     void *user)
{
	struct arch_regs caller;
	uintptr_t cfa;

	if (f->state.rules[f->pc_column].kind == CFI_UNDEFINED)
		return 0;
	if (f->state.cfa.kind == CFI_REGISTER)
		cfa = regs->r[f->state.cfa_register] + (uintptr_t)(intptr_t)f->state.cfa.value;
	else if (!cfi_expression(f, &f->state.cfa, regs, false, 0, read, user, &cfa))
		return -1;
	for (unsigned reg = 0; reg < ARCH_REGS; reg++) {
		if (apply_rule(f, reg, regs, cfa, read, user, &caller.r[reg]))
			continue;
		if (reg == f->pc_column || reg == ARCH_SP)
			return -1;
		caller.r[reg] = 0; /* lost, which matters only to a caller whose rules ask for it */
	}
	if (f->state.rules[ARCH_SP].kind == CFI_SAME)
		caller.r[ARCH_SP] = cfa;
	if (f->pc_column != ARCH_PC)
		caller.r[ARCH_PC] = caller.r[f->pc_column];
	*regs = caller;
	return 1;
}

SIGSAFE bool cfi_function_at(const struct segment_module *m, uintptr_t pc, struct cfi_function *ret)
{
	uint64_t address = find_fde(m, pc);
	struct fde fde;

	if (address == 0 || !parse_fde(m, address, &fde) || pc < fde.start)
		return false;
	*ret = (struct cfi_function){fde.start, fde.size, fde.has_handlers, fde.cie.is_signal};
	return true;
}

/* Used by cfi.c, which scans a whole .eh_frame. */
bool cfi_fde_code(const struct segment_module *m, uint64_t address, uint64_t *ret_code)
{
	struct fde fde;

	if (!parse_fde(m, address, &fde))
		return false;
	*ret_code = fde.start;
	return true;
}
