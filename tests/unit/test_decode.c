/*
 * tracer/syscalls/decode: lengths and what may move, for instructions of every form; and over this program's C library, that
 * each jump meets the start of an instruction.
 */
#include <link.h>

#include "core/cfi.h"
#include "tests/tap.h"
#include "tracer/syscalls/decode.h"

#define CODE(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
enum {
	MOVES = INSN_CAN_MOVE,
	SETS = INSN_SETS_FLAGS,
	READS = INSN_READS_FLAGS,
	UNCLEAR = INSN_IS_UNCLEAR
};
enum { NOTHING = INSN_NO_REGISTER };

static const struct {
	const char *text;
	const uint8_t *code;
	size_t size;
	uint8_t kind, flags, written;
} instructions[] = {
	{"syscall", CODE(0x0f, 0x05), INSN_SYSCALL, UNCLEAR, NOTHING},
	{"mov $39, %eax", CODE(0xb8, 39, 0, 0, 0), INSN_PLAIN, MOVES, 0},
	{"mov $15, %rax", CODE(0x48, 0xc7, 0xc0, 15, 0, 0, 0), INSN_PLAIN, MOVES, 0},
	{"movabs, %rax", CODE(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8), INSN_PLAIN, MOVES, 0},
	{"mov $1, %r8w", CODE(0x66, 0x41, 0xb8, 1, 0), INSN_PLAIN, MOVES, 8},
	{"xor %eax, %eax", CODE(0x31, 0xc0), INSN_PLAIN, MOVES | SETS, 0},
	{"xor $0x80, %sil", CODE(0x40, 0x80, 0xf6, 0x80), INSN_PLAIN, MOVES | SETS, 6},
	{"xor $0x80, %dh", CODE(0x80, 0xf6, 0x80), INSN_PLAIN, MOVES | SETS, 2},
	{"cmp $-4096, %rax", CODE(0x48, 0x3d, 0, 0xf0, 0xff, 0xff), INSN_PLAIN, MOVES | SETS,
	 NOTHING},
	{"sbb %eax, %eax", CODE(0x19, 0xc0), INSN_PLAIN, MOVES | SETS | READS, 0},
	{"mov %r12d, %eax", CODE(0x44, 0x89, 0xe0), INSN_PLAIN, MOVES, 0},
	{"mov 8(%rsp), %r9", CODE(0x4c, 0x8b, 0x4c, 0x24, 8), INSN_PLAIN, MOVES, 9},
	{"mov %eax, %fs:(%rcx)", CODE(0x64, 0x89, 0x01), INSN_PLAIN, MOVES, NOTHING},
	{"lea 16(%rip), %rsi", CODE(0x48, 0x8d, 0x35, 16, 0, 0, 0), INSN_PLAIN, MOVES, 6},
	{"movl $1, 16(%rip)", CODE(0xc7, 0x05, 16, 0, 0, 0, 1, 0, 0, 0), INSN_PLAIN, MOVES,
	 NOTHING},
	{"lea 8(,%rdi,8), %edi", CODE(0x8d, 0x3c, 0xfd, 8, 0, 0, 0), INSN_PLAIN, MOVES, 7},
	{"lea 0x7fff(%rsp), %rsp", CODE(0x48, 0x8d, 0xa4, 0x24, 0xff, 0x7f, 0, 0), INSN_PLAIN, 0,
	 4},
	{"sub $16, %rsp", CODE(0x48, 0x83, 0xec, 16), INSN_PLAIN, SETS, 4},
	{"sub $16, %r12", CODE(0x49, 0x83, 0xec, 16), INSN_PLAIN, MOVES | SETS, 12},
	{"cmovbe %r8, %rsi", CODE(0x49, 0x0f, 0x46, 0xf0), INSN_PLAIN, MOVES | READS, 6},
	{"movzbl (%rax), %eax", CODE(0x0f, 0xb6, 0x00), INSN_PLAIN, MOVES, 0},
	{"movups %xmm0, 0x10(%rbx)", CODE(0x0f, 0x11, 0x43, 0x10), INSN_PLAIN, MOVES, NOTHING},
	{"test %rax, %rax", CODE(0x48, 0x85, 0xc0), INSN_PLAIN, MOVES | SETS, NOTHING},
	{"test $1, 5(%rax)", CODE(0xf6, 0x40, 5, 1), INSN_PLAIN, MOVES | SETS, NOTHING},
	{"neg %eax", CODE(0xf7, 0xd8), INSN_PLAIN, MOVES | SETS, 0},
	{"testl $1, (%rax)", CODE(0xf7, 0x00, 1, 0, 0, 0), INSN_PLAIN, MOVES | SETS, NOTHING},
	{"div %ecx", CODE(0xf7, 0xf1), INSN_PLAIN, UNCLEAR, NOTHING},
	{"nopw", CODE(0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0), INSN_PADDING, MOVES, NOTHING},
	{"nop", CODE(0x90), INSN_PADDING, MOVES, NOTHING},
	{"endbr64", CODE(0xf3, 0x0f, 0x1e, 0xfa), INSN_PLAIN, MOVES, NOTHING},
	{"push %rdi", CODE(0x57), INSN_PLAIN, UNCLEAR, NOTHING},
	{"pop %rsp", CODE(0x5c), INSN_PLAIN, UNCLEAR, NOTHING},
	{"lock cmpxchg", CODE(0xf0, 0x0f, 0xb1, 0x17), INSN_PLAIN, UNCLEAR, NOTHING},
	{"ret", CODE(0xc3), INSN_RETURN, UNCLEAR, NOTHING},
	{"bnd ret", CODE(0xf2, 0xc3), INSN_RETURN, UNCLEAR, NOTHING},
	{"call", CODE(0xe8, 0, 0, 0, 0), INSN_CALL, UNCLEAR, NOTHING},
	{"data16 data16 rex.W call", CODE(0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0), INSN_CALL, UNCLEAR,
	 NOTHING},
	{"jmp", CODE(0xeb, 0xfe), INSN_JUMP, UNCLEAR, NOTHING},
	{"jae", CODE(0x0f, 0x83, 0, 0, 0, 0), INSN_JUMP_IF, UNCLEAR, NOTHING},
	{"jrcxz", CODE(0xe3, 0), INSN_LOOP, UNCLEAR, NOTHING},
	{"notrack jmp *%rax", CODE(0x3e, 0xff, 0xe0), INSN_JUMP_BY_TABLE, UNCLEAR, NOTHING},
	{"jmp *8(%rip)", CODE(0xff, 0x25, 8, 0, 0, 0), INSN_JUMP_BY_GOT, UNCLEAR, NOTHING},
	{"enter", CODE(0xc8, 1, 0, 0), INSN_PLAIN, UNCLEAR, NOTHING},
	{"vpbroadcastb", CODE(0xc4, 0xe2, 0x7d, 0x78, 0xc0), INSN_PLAIN, UNCLEAR, NOTHING},
	{"vzeroupper", CODE(0xc5, 0xf8, 0x77), INSN_PLAIN, UNCLEAR, NOTHING},
	{"vpcmpeqb, evex", CODE(0x62, 0xf1, 0x75, 0x20, 0x74, 0x47, 0x01), INSN_PLAIN, UNCLEAR,
	 NOTHING},
	{"vpternlogd", CODE(0x62, 0xf3, 0x6d, 0x20, 0x25, 0xd8, 0xde), INSN_PLAIN, UNCLEAR,
	 NOTHING},
	{"pcmpistri", CODE(0x66, 0x0f, 0x3a, 0x63, 0xc1, 0x1a), INSN_PLAIN, UNCLEAR, NOTHING},
	{"mov %cr0, %rax", CODE(0x0f, 0x20, 0x00), INSN_PLAIN, UNCLEAR, NOTHING},
	{"movabs 8 bytes, %al", CODE(0xa0, 1, 2, 3, 4, 5, 6, 7, 8), INSN_PLAIN, UNCLEAR, NOTHING},
};

static const struct {
	const char *text;
	const uint8_t *code;
	size_t size;
} unknown[] = {
	{"push %es", CODE(0x06)},
	{"les or VEX behind REX", CODE(0x48, 0xc5, 0xf8, 0x77, 0, 0)},
	{"jmp with two bytes of distance, for some", CODE(0x66, 0xe9, 0, 0, 0, 0)},
	{"0f 04", CODE(0x0f, 0x04, 0, 0, 0, 0)},
	{"prefixes without end", CODE(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
				      0x66, 0x66, 0x66, 0x66, 0x66, 0x90)},
	{"xop", CODE(0x8f, 0xe8, 0x78, 0xa2, 0xc0, 0x10)},
};

static void test_each(void)
{
	for (size_t i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		struct insn insn = {0}, cut;
		uint8_t code[32];
		bool is_cut = false;

		memset(code, 0xcc, sizeof(code));
		memcpy(code, instructions[i].code, instructions[i].size);
		ok(insn_decode(code, sizeof(code), &insn) && insn.size == instructions[i].size &&
			   insn.kind == instructions[i].kind &&
			   insn.flags == instructions[i].flags &&
			   insn.written == instructions[i].written,
		   "%s", instructions[i].text);
		if (insn.size != instructions[i].size || insn.flags != instructions[i].flags)
			note("size %d kind %d flags %d written %d", insn.size, insn.kind,
			     insn.flags, insn.written);
		for (size_t room = 0; room < instructions[i].size; room++)
			is_cut = is_cut || insn_decode(code, room, &cut);
		ok(!is_cut, "%s: not from a part of it", instructions[i].text);
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct insn insn;
		uint8_t code[32] = {0};

		memcpy(code, unknown[i].code, unknown[i].size);
		ok(!insn_decode(code, sizeof(code), &insn), "not understood: %s", unknown[i].text);
	}
}

static void test_numbers(void)
{
	static const uint8_t eax[] = {0xb8, 0xe7, 0, 0, 0}, rax[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0},
			     zero[] = {0x31, 0xc0}, other[] = {0xb9, 1, 0, 0, 0};
	struct insn insn;
	uint64_t value = 0;

	ok(insn_decode(eax, 5, &insn) && insn_loads_rax(eax, &insn, &value) && value == 231,
	   "a number in eax");
	ok(insn_decode(rax, 7, &insn) && insn_loads_rax(rax, &insn, &value) && value == 15,
	   "a number in rax");
	ok(insn_decode(zero, 2, &insn) && insn_loads_rax(zero, &insn, &value) && value == 0,
	   "zero");
	ok(insn_decode(other, 5, &insn) && !insn_loads_rax(other, &insn, &value),
	   "another register");
}

/* Bytes at random never make it read beyond its room, or say more than fits. */
static void test_random(void)
{
	uint64_t x = 88172645463325252u;
	unsigned wrong = 0;

	for (int i = 0; i < 2000000; i++) {
		uint8_t code[24];
		struct insn insn;

		for (int k = 0; k < 3; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			memcpy(code + 8 * k, &x, 8);
		}
		if (insn_decode(code, x % 16, &insn) &&
		    (insn.size == 0 || insn.size > x % 16 ||
		     insn.distance_at + insn.distance_size > insn.size))
			wrong++;
	}
	is_u64(wrong, 0, "two million random ones");
}

int main(void)
{
	plan_begin();
	test_each();
	test_numbers();
	test_random();
	return plan_end();
}
