/*
 * decode: where the instructions of a function begin, and what moving one elsewhere would take.
 *
 * Enough of x86-64 to tell lengths for all that compilers and hand-written libraries contain. What is not understood makes
 * the whole function unknown: nothing in it is touched. What may be moved is a list of what may, not of what may not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum insn_kind {
	INSN_PLAIN,   /* goes on behind itself */
	INSN_SYSCALL, /* 0f 05 */
	INSN_JUMP_IF, /* conditional, to a fixed place */
	INSN_JUMP,    /* to a fixed place */
	INSN_CALL,    /* to a fixed place */
	INSN_LOOP,    /* loop, jrcxz: eight bits of distance and no longer form */
	INSN_RETURN,
	INSN_JUMP_BY_TABLE, /* to a place that a register or memory holds */
	INSN_JUMP_BY_GOT,   /* to another function, whose address lies in this file's data */
	INSN_PADDING,       /* nop */
};

enum insn_flags {
	INSN_CAN_MOVE = 1 << 0,
	INSN_SETS_FLAGS = 1 << 1, /* all that a condition can ask for */
	INSN_READS_FLAGS = 1 << 2,
	INSN_IS_UNCLEAR = 1 << 3, /* what it writes is not known */
};

#define INSN_NO_REGISTER 0xff /* writes memory or flags only */
#define INSN_LONGEST     15

struct insn {
	uint8_t size, kind, flags;
	uint8_t written; /* the register that it writes, unless it is unclear */
	uint8_t distance_at; /* a distance from the next instruction lies here in it; 0: there is none */
	uint8_t distance_size;
};

/* The instruction at @code, of which @room bytes may be read. False: not understood, or cut off. */
bool insn_decode(const uint8_t *code, uint64_t room, struct insn *ret);

/* The same without flags and what it writes; INSN_PADDING is INSN_PLAIN. Takes a fifth of the time. */
bool insn_measure(const uint8_t *code, uint64_t room, struct insn *ret);

/* Where @insn, at @address, jumps or points to. */
uint64_t insn_target(const uint8_t *code, uint64_t address, const struct insn *insn);

/* True when it sets rax to a constant. */
bool insn_loads_rax(const uint8_t *code, const struct insn *insn, uint64_t *ret_value);
