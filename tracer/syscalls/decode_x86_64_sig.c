/*
 * Sources: Intel SDM volume 2 appendix A (opcode maps) and chapter 2 (prefixes, VEX, EVEX); AMD APM volume 3.
 */
#include "tracer/syscalls/decode.h"

#include <string.h>

/* Opcode maps come in ranges, which both compilers know in a switch and ISO C does not. */
#pragma GCC diagnostic ignored "-Wpedantic"

/* What follows an opcode: in the low bits, how many bytes of immediate or distance when no prefix changes that. */
enum {
	BYTES = 15,
	MODRM = 1 << 4,
	BAD = 1 << 5,
	PREFIX = 1 << 6,
	ESCAPE = 1 << 7,      /* another map, or VEX, EVEX, XOP */
	DISTANCE = 1 << 8,    /* from the next instruction */
	SHRINKS = 1 << 9,     /* to 2 bytes with an operand size prefix */
	GROWS = 1 << 10,      /* to 8 bytes with REX.W */
	IS_ADDRESS = 1 << 11, /* 4 bytes with an address size prefix */
	BY_MODRM = 1 << 12,   /* there is an immediate when modrm says so */
	IMM8 = 1,
	IMM16 = 2,
	IMM32 = 4 | SHRINKS,
	IMMFULL = 4 | SHRINKS | GROWS,
	ADDRESS = 8 | IS_ADDRESS,
	REL8 = 1 | DISTANCE,
	REL32 = 4 | DISTANCE,
	MODRM8 = MODRM | IMM8,
	MODRM32 = MODRM | IMM32,
};

#define ALU(op)                                                                              \
	[op] = MODRM, [op + 1] = MODRM, [op + 2] = MODRM, [op + 3] = MODRM, [op + 4] = IMM8, \
	[op + 5] = IMM32
static const uint16_t one_byte[256] = {
	ALU(0x00),
	[0x06 ... 0x07] = BAD,
	ALU(0x08),
	[0x0e] = BAD,
	[0x0f] = ESCAPE,
	ALU(0x10),
	[0x16 ... 0x17] = BAD,
	ALU(0x18),
	[0x1e ... 0x1f] = BAD,
	ALU(0x20),
	[0x26] = PREFIX,
	[0x27] = BAD,
	ALU(0x28),
	[0x2e] = PREFIX,
	[0x2f] = BAD,
	ALU(0x30),
	[0x36] = PREFIX,
	[0x37] = BAD,
	ALU(0x38),
	[0x3e] = PREFIX,
	[0x3f] = BAD,
	[0x40 ... 0x4f] = BAD, /* REX, behind another REX */
	[0x60 ... 0x61] = BAD,
	[0x62] = ESCAPE,
	[0x63] = MODRM,
	[0x64 ... 0x67] = PREFIX,
	[0x68] = IMM32,
	[0x69] = MODRM32,
	[0x6a] = IMM8,
	[0x6b] = MODRM8,
	[0x70 ... 0x7f] = REL8,
	[0x80] = MODRM8,
	[0x81] = MODRM32,
	[0x82] = BAD,
	[0x83] = MODRM8,
	[0x84 ... 0x8e] = MODRM,
	[0x8f] = ESCAPE,
	[0x9a] = BAD,
	[0xa0 ... 0xa3] = ADDRESS,
	[0xa8] = IMM8,
	[0xa9] = IMM32,
	[0xb0 ... 0xb7] = IMM8,
	[0xb8 ... 0xbf] = IMMFULL,
	[0xc0 ... 0xc1] = MODRM8,
	[0xc2] = IMM16,
	[0xc4 ... 0xc5] = ESCAPE,
	[0xc6] = MODRM8,
	[0xc7] = MODRM32,
	[0xc8] = 3,
	[0xca] = IMM16,
	[0xcd] = IMM8,
	[0xce] = BAD,
	[0xd0 ... 0xd3] = MODRM,
	[0xd4 ... 0xd6] = BAD,
	[0xd8 ... 0xdf] = MODRM,
	[0xe0 ... 0xe3] = REL8,
	[0xe4 ... 0xe7] = IMM8,
	[0xe8 ... 0xe9] = REL32,
	[0xea] = BAD,
	[0xeb] = REL8,
	[0xf0] = PREFIX,
	[0xf2 ... 0xf3] = PREFIX,
	[0xf6 ... 0xf7] = MODRM | BY_MODRM,
	[0xfe ... 0xff] = MODRM,
};

static const uint16_t two_bytes[256] = {
	[0x00 ... 0x03] = MODRM,
	[0x04] = BAD,
	[0x0a] = BAD,
	[0x0c] = BAD,
	[0x0d] = MODRM,
	[0x0f] = MODRM8,
	[0x10 ... 0x23] = MODRM,
	[0x24 ... 0x27] = BAD,
	[0x28 ... 0x2f] = MODRM,
	[0x36] = BAD,
	[0x38] = ESCAPE,
	[0x39] = BAD,
	[0x3a] = ESCAPE,
	[0x3b ... 0x3f] = BAD,
	[0x40 ... 0x6f] = MODRM,
	[0x70 ... 0x73] = MODRM8,
	[0x74 ... 0x76] = MODRM,
	[0x78 ... 0x7b] = BAD,
	[0x7c ... 0x7f] = MODRM,
	[0x80 ... 0x8f] = REL32,
	[0x90 ... 0x9f] = MODRM,
	[0xa3] = MODRM,
	[0xa4] = MODRM8,
	[0xa5] = MODRM,
	[0xa6 ... 0xa7] = BAD,
	[0xab] = MODRM,
	[0xac] = MODRM8,
	[0xad ... 0xb9] = MODRM,
	[0xba] = MODRM8,
	[0xbb ... 0xc1] = MODRM,
	[0xc2] = MODRM8,
	[0xc3] = MODRM,
	[0xc4 ... 0xc6] = MODRM8,
	[0xc7] = MODRM,
	[0xd0 ... 0xff] = MODRM,
};
#undef ALU

/* The kinds of what has only one; 0 is INSN_PLAIN. */
static const uint8_t one_byte_kind[256] = {
	[0x70 ... 0x7f] = INSN_JUMP_IF,
	[0xe0 ... 0xe3] = INSN_LOOP,
	[0xe8] = INSN_CALL,
	[0xe9] = INSN_JUMP,
	[0xeb] = INSN_JUMP,
	[0xc2 ... 0xc3] = INSN_RETURN,
	[0xca ... 0xcb] = INSN_RETURN,
	[0xcf] = INSN_RETURN,
};

struct state {
	const uint8_t *code; /* at least INSN_LONGEST bytes of it can be read */
	unsigned at;
	uint8_t rex, legacy_prefix; /* the last of f2, f3 */
	bool has_operand_prefix, has_address_prefix, has_lock;
	bool is_vex;
	uint8_t map; /* 1: one byte, 2: 0f, 3: 0f 38, 4: 0f 3a */
	uint8_t op, modrm;
};

static void take_prefixes(struct state *s)
{
	for (; s->at < INSN_LONGEST - 2; s->at++) {
		uint8_t byte = s->code[s->at];

		if (!(one_byte[byte] & PREFIX))
			return;
		if (byte == 0x66)
			s->has_operand_prefix = true;
		else if (byte == 0x67)
			s->has_address_prefix = true;
		else if (byte == 0xf0)
			s->has_lock = true;
		else if (byte >= 0xf2)
			s->legacy_prefix = byte;
	}
}

/* Behind the byte that announces it, a VEX or EVEX prefix of @size bytes and the opcode. */
static uint16_t take_vex(struct state *s, unsigned map, unsigned size)
{
	if (s->rex != 0 || map == 0 || (map > 3 && map != 5 && map != 6))
		return BAD;
	s->is_vex = true;
	s->map = (uint8_t)(map > 3 ? 3 : map + 1);
	s->at += size;
	s->op = s->code[s->at++];
	if (s->map == 2 && s->op == 0x77)
		return 0; /* vzeroupper */
	if (s->map == 4 || (s->map == 2 && ((s->op >= 0x70 && s->op <= 0x73) || s->op == 0xc2 ||
					    (s->op >= 0xc4 && s->op <= 0xc6))))
		return MODRM8;
	return MODRM;
}

static uint16_t take_escape(struct state *s)
{
	uint8_t next = s->code[s->at];

	switch (s->op) {
	case 0xc5:
		return take_vex(s, 1, 1);
	case 0xc4:
		return take_vex(s, next & 0x1f, 2);
	case 0x62:
		return take_vex(s, next & 7, 3);
	case 0x8f: /* XOP has 8 or more where `pop` has 0 */
		return (next & 0x38) == 0 ? MODRM : BAD;
	}
	s->op = next;
	s->at++;
	s->map = 2;
	if (s->op != 0x38 && s->op != 0x3a)
		return two_bytes[s->op];
	s->map = s->op == 0x38 ? 3 : 4;
	s->op = s->code[s->at++];
	return s->map == 3 ? MODRM : MODRM8;
}

/* How many bytes modrm begins: itself, sib, displacement. */
#define MODRM_ROW(other, sib, fifth) other, other, other, other, sib, fifth, other, other
#define MODRM_HALF(other, sib, fifth)                                                             \
	MODRM_ROW(other, sib, fifth), MODRM_ROW(other, sib, fifth), MODRM_ROW(other, sib, fifth), \
		MODRM_ROW(other, sib, fifth), MODRM_ROW(other, sib, fifth),                       \
		MODRM_ROW(other, sib, fifth), MODRM_ROW(other, sib, fifth),                       \
		MODRM_ROW(other, sib, fifth)
static const uint8_t modrm_bytes[256] = {
	MODRM_HALF(1, 2, 5),
	MODRM_HALF(2, 3, 2),
	MODRM_HALF(5, 6, 5),
	MODRM_HALF(1, 1, 1),
};

static void take_modrm(struct state *s, struct insn *insn)
{
	const uint8_t *at = s->code + s->at;

	s->modrm = at[0];
	if (!s->is_vex && s->map == 2 && (s->op & 0xfc) == 0x20) {
		s->at++; /* control and debug registers: never memory */
		return;
	}
	s->at += modrm_bytes[at[0]];
	if ((at[0] & 0xc7) == 5) {
		insn->distance_at = (uint8_t)(s->at - 4);
		insn->distance_size = 4;
	} else if ((at[0] & 0xc7) == 4 && (at[1] & 7) == 5) {
		s->at += 4;
	}
}

/* The immediate's size, where it is not the usual one. */
static unsigned change_size(const struct state *s, uint16_t what, unsigned bytes)
{
	bool is_wide = s->rex & 8;

	if (what & BY_MODRM) {
		if ((s->modrm & 0x38) >= 0x10)
			return 0;
		if (s->op == 0xf6)
			return 1;
		bytes = 4;
		what |= SHRINKS;
	}
	if ((what & GROWS) && is_wide)
		return 8;
	if ((what & SHRINKS) && s->has_operand_prefix && !is_wide)
		return 2;
	if ((what & IS_ADDRESS) && s->has_address_prefix)
		return 4;
	return bytes;
}

static uint8_t kind_of(const struct state *s, const struct insn *insn)
{
	if (s->is_vex || s->map > 2)
		return INSN_PLAIN;
	if (s->map == 2)
		return s->op == 0x05            ? INSN_SYSCALL
		       : (s->op & 0xf0) == 0x80 ? INSN_JUMP_IF
						: INSN_PLAIN;
	if (s->op == 0xff && ((s->modrm & 0x38) == 0x20 || (s->modrm & 0x38) == 0x28))
		return insn->distance_at != 0 ? INSN_JUMP_BY_GOT : INSN_JUMP_BY_TABLE;
	return one_byte_kind[s->op];
}

static bool measure(struct state *s, uint64_t room, struct insn *ret)
{
	uint8_t end[2 * INSN_LONGEST];
	unsigned bytes;
	uint16_t what;
	bool is_rex;

	*ret = (struct insn){0};
	if (room < INSN_LONGEST) {
		/* what is cut off turns out to be longer than the room */
		memset(end, 0, sizeof(end));
		memcpy(end, s->code, room);
		s->code = end;
	}
	if (one_byte[s->code[0]] & PREFIX)
		take_prefixes(s);
	is_rex = (s->code[s->at] & 0xf0) == 0x40;
	s->rex = is_rex ? s->code[s->at] : 0;
	s->at += is_rex;
	s->map = 1;
	s->op = s->code[s->at++];
	what = one_byte[s->op];
	if (what & ESCAPE)
		what = take_escape(s);
	/* the processors of one maker take a distance for two bytes behind this prefix, unless REX.W says otherwise */
	if ((what & (BAD | PREFIX)) || s->at >= INSN_LONGEST ||
	    ((what & REL32) == REL32 && s->has_operand_prefix && !(s->rex & 8)))
		return false;
	if (what & MODRM)
		take_modrm(s, ret);
	bytes = what & BYTES;
	if (what & (GROWS | SHRINKS | IS_ADDRESS | BY_MODRM))
		bytes = change_size(s, what, bytes);
	if (what & DISTANCE) {
		ret->distance_at = (uint8_t)s->at;
		ret->distance_size = (uint8_t)bytes;
	}
	s->at += bytes;
	if (s->at > INSN_LONGEST || s->at > room)
		return false;
	ret->size = (uint8_t)s->at;
	ret->kind = kind_of(s, ret);
	return true;
}

bool insn_measure(const uint8_t *code, uint64_t room, struct insn *ret)
{
	struct state s = {.code = code};

	return measure(&s, room, ret);
}

static uint8_t reg_of(const struct state *s)
{
	return (uint8_t)((s->modrm >> 3 & 7) | (s->rex & 4) << 1);
}

/* The register that modrm's other half names; none when it is memory. */
static uint8_t rm_of(const struct state *s)
{
	if (s->modrm >> 6 != 3)
		return INSN_NO_REGISTER;
	return (uint8_t)((s->modrm & 7) | (s->rex & 1) << 3);
}

/* Of eight bits: without REX, 4 to 7 are the second bytes of the first four. */
static uint8_t byte_register(const struct state *s, uint8_t reg)
{
	return s->rex == 0 && reg >= 4 && reg < 8 ? (uint8_t)(reg - 4) : reg;
}

static void moves(struct insn *insn, uint8_t written, uint8_t flags)
{
	insn->written = written;
	insn->flags = flags | INSN_CAN_MOVE;
}

static void classify_one_byte(const struct state *s, struct insn *insn)
{
	uint8_t op = s->op, reg = reg_of(s), rm = rm_of(s), extension = s->modrm >> 3 & 7;
	uint8_t rex_b = (uint8_t)((s->rex & 1) << 3);

	switch (op) {
	case 0x00 ... 0x3d: {
		/* add or adc sbb and sub xor cmp, in six forms each */
		uint8_t operation = op >> 3 & 7, form = op & 7, to;

		if (form == 4 || form == 5)
			to = 0;
		else if (form < 2)
			to = form == 0 && rm != INSN_NO_REGISTER ? byte_register(s, rm) : rm;
		else
			to = form == 2 ? byte_register(s, reg) : reg;
		moves(insn, operation == 7 ? INSN_NO_REGISTER : to,
		      (uint8_t)(INSN_SETS_FLAGS |
				(operation == 2 || operation == 3 ? INSN_READS_FLAGS : 0)));
		return;
	}
	case 0x63:
	case 0x8b:
	case 0x8d:
		moves(insn, reg, 0);
		return;
	case 0x80:
	case 0x81:
	case 0x83:
		if (op == 0x80 && rm != INSN_NO_REGISTER)
			rm = byte_register(s, rm);
		moves(insn, extension == 7 ? INSN_NO_REGISTER : rm,
		      (uint8_t)(INSN_SETS_FLAGS |
				(extension == 2 || extension == 3 ? INSN_READS_FLAGS : 0)));
		return;
	case 0x84:
	case 0x85:
	case 0xa8:
	case 0xa9:
		moves(insn, INSN_NO_REGISTER, INSN_SETS_FLAGS);
		return;
	case 0x88:
		moves(insn, rm == INSN_NO_REGISTER ? rm : byte_register(s, rm), 0);
		return;
	case 0x89:
		moves(insn, rm, 0);
		return;
	case 0x8a:
		moves(insn, byte_register(s, reg), 0);
		return;
	case 0x90:
		if (s->rex == 0 && s->legacy_prefix != 0xf2)
			insn->kind = INSN_PADDING;
		if (s->rex == 0)
			moves(insn, INSN_NO_REGISTER, 0);
		return;
	case 0x98:
		moves(insn, 0, 0);
		return;
	case 0x99:
		moves(insn, 2, 0);
		return;
	case 0xb0 ... 0xb7:
		moves(insn, byte_register(s, (uint8_t)((op & 7) | rex_b)), 0);
		return;
	case 0xb8 ... 0xbf:
		moves(insn, (uint8_t)((op & 7) | rex_b), 0);
		return;
	case 0xc0:
	case 0xc1:
	case 0xd0:
	case 0xd1:
		/* a shift by nothing leaves the flags alone */
		if (extension != 2 && extension != 3)
			moves(insn,
			      (op & 1) == 0 && rm != INSN_NO_REGISTER ? byte_register(s, rm) : rm,
			      INSN_READS_FLAGS);
		return;
	case 0xc6:
	case 0xc7:
		if (extension == 0)
			moves(insn,
			      op == 0xc6 && rm != INSN_NO_REGISTER ? byte_register(s, rm) : rm, 0);
		return;
	case 0xf6:
	case 0xf7:
		if (op == 0xf6 && rm != INSN_NO_REGISTER)
			rm = byte_register(s, rm);
		if (extension < 2)
			moves(insn, INSN_NO_REGISTER, INSN_SETS_FLAGS);
		else if (extension == 2)
			moves(insn, rm, 0); /* not */
		else if (extension == 3)
			moves(insn, rm, INSN_SETS_FLAGS); /* neg */
		return;
	case 0xcc: /* what linkers fill with */
		insn->kind = INSN_PLAIN;
		return;
	}
}

static void classify_two_bytes(const struct state *s, struct insn *insn)
{
	uint8_t op = s->op, reg = reg_of(s), rm = rm_of(s);

	switch (op) {
	case 0x10 ... 0x17: /* moves to and from vector registers */
	case 0x28:
	case 0x29:
	case 0x54 ... 0x57:
	case 0x60 ... 0x62:
	case 0x6c:
	case 0x6d:
	case 0x6f ... 0x70:
	case 0x7f:
	case 0xc6:
	case 0xd4:
	case 0xd6:
	case 0xdb:
	case 0xeb:
	case 0xef:
	case 0xfe:
		moves(insn, INSN_NO_REGISTER, 0);
		return;
	case 0x6e:
		moves(insn, INSN_NO_REGISTER, 0);
		return;
	case 0x7e:
		moves(insn, s->legacy_prefix == 0xf3 ? INSN_NO_REGISTER : rm, 0);
		return;
	case 0x1e:
		if (s->legacy_prefix == 0xf3 && (s->modrm == 0xfa || s->modrm == 0xfb))
			moves(insn, INSN_NO_REGISTER, 0); /* endbr */
		return;
	case 0x1f:
		insn->kind = INSN_PADDING;
		moves(insn, INSN_NO_REGISTER, 0);
		return;
	case 0x40 ... 0x4f:
		moves(insn, reg, INSN_READS_FLAGS);
		return;
	case 0x90 ... 0x9f:
		moves(insn, rm == INSN_NO_REGISTER ? rm : byte_register(s, rm), INSN_READS_FLAGS);
		return;
	case 0xaf:
		moves(insn, reg, INSN_READS_FLAGS); /* leaves some of them undefined */
		return;
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
		moves(insn, reg, 0);
		return;
	}
}

bool insn_decode(const uint8_t *code, uint64_t room, struct insn *ret)
{
	struct state s = {.code = code};

	if (!measure(&s, room, ret))
		return false;
	ret->flags = INSN_IS_UNCLEAR;
	ret->written = INSN_NO_REGISTER;
	if (ret->kind != INSN_PLAIN || s.is_vex || s.map > 2)
		return true;
	if (s.map == 2)
		classify_two_bytes(&s, ret);
	else
		classify_one_byte(&s, ret);
	/* of what writes the stack pointer, the unwinder's tables would have to know */
	if (ret->written == 4 || s.has_lock || s.has_address_prefix)
		ret->flags &= (uint8_t)~INSN_CAN_MOVE;
	return true;
}

uint64_t insn_target(const uint8_t *code, uint64_t address, const struct insn *insn)
{
	int32_t distance;

	if (insn->distance_size == 1)
		distance = (int8_t)code[insn->distance_at];
	else
		memcpy(&distance, code + insn->distance_at, sizeof(distance));
	return address + insn->size + (uint64_t)(int64_t)distance;
}

bool insn_loads_rax(const uint8_t *code, const struct insn *insn, uint64_t *ret_value)
{
	uint32_t value = 0;

	if (insn->size == 5 && code[0] == 0xb8)
		memcpy(&value, code + 1, sizeof(value));
	else if (insn->size == 7 && code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0)
		memcpy(&value, code + 3, sizeof(value));
	else if (insn->size != 2 || (code[0] != 0x31 && code[0] != 0x33) || code[1] != 0xc0)
		return false;
	*ret_value = value;
	return true;
}
