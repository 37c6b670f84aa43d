/* core/cfi on tables made by hand, instruction by instruction; on broken ones; and on those of this process. */
#include <dlfcn.h>
#include <link.h>

#include "core/cfi.h"
#include "core/mem.h"
#include "core/modules.h"
#include "tests/unit/segment_make.h"

#define PAGE 4096u
#define CODE 0x10000u /* where the code would be, from the tables' start: nobody reads it */
#define SIZE 200u     /* of the code */

static uint8_t *page; /* with one behind it that cannot be read: tables are put against its end */
static uint8_t *tables;
static size_t tables_size;
static struct segment_module module;
static struct cfi_state states[CFI_STATES];
static struct cfi_frame frame;

struct bytes {
	uint8_t at[600];
	size_t n;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	memcpy(b->at + b->n, data, n);
	b->n += n;
}

static void put4(struct bytes *b, uint32_t value)
{
	put(b, &value, 4);
}

static void put1(struct bytes *b, unsigned value)
{
	b->at[b->n++] = (uint8_t)value;
}

/* A header with its search table, a CIE that says what all code does (cfa rsp+8, rip at cfa-8), and one FDE. */
static void make_tables(const uint8_t *instructions, size_t n)
{
	struct bytes b = {.n = 0};
	size_t cie, fde;

	put(&b, "\1\x1b\3\x3b", 4);
	put4(&b, 20 - 4); /* .eh_frame is behind the table */
	put4(&b, 1);
	put4(&b, CODE);
	put4(&b, 20 + 24);
	cie = b.n;
	put4(&b, 20);
	put4(&b, 0);
	put(&b, "\1zR\0\1\x78\x10\1\x1b", 9); /* version, code 1, data -8, column 16, pc-relative */
	put(&b, "\x0c\7\10\x90\1\0\0", 7);
	fde = b.n;
	put4(&b, 0);
	put4(&b, (uint32_t)(fde + 4 - cie));
	put4(&b, (uint32_t)(CODE - b.n));
	put4(&b, SIZE);
	put1(&b, 0);
	put(&b, instructions, n);
	while (b.n % 4 != 0)
		put1(&b, 0);
	*(uint32_t *)(void *)(b.at + fde) = (uint32_t)(b.n - fde - 4);
	put4(&b, 0);

	tables_size = b.n;
	tables = page + PAGE - b.n;
	memcpy(tables, b.at, b.n);
	module = (struct segment_module){
		.start = (uintptr_t)tables + CODE,
		.end = (uintptr_t)tables + CODE + SIZE,
		.cfi_header = (uintptr_t)tables,
		.readable_start = (uintptr_t)tables,
		.readable_end = (uintptr_t)tables + b.n,
	};
}

static bool rules_at(unsigned offset)
{
	return cfi_rules(&module, module.start + offset, states, &frame);
}

#define MAKE(...) \
	make_tables((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static bool cfa_is(unsigned reg, int value)
{
	return frame.state.cfa.kind == CFI_REGISTER && frame.state.cfa_register == reg &&
	       frame.state.cfa.value == value;
}

static bool rule_is(unsigned reg, enum cfi_rule_kind kind, int value)
{
	return frame.state.rules[reg].kind == kind && frame.state.rules[reg].value == value;
}

static void test_rows(void)
{
	MAKE(0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x02, 20, 0x0c, 7, 8, 0xc6, 0x41, 0x0b);
	ok(rules_at(0) && cfa_is(ARCH_SP, 8) && rule_is(ARCH_PC, CFI_AT_CFA, -8) &&
		   rule_is(ARCH_BP, CFI_SAME, 0),
	   "the first instruction");
	ok(rules_at(1) && cfa_is(ARCH_SP, 16) && rule_is(ARCH_BP, CFI_AT_CFA, -16),
	   "behind the push");
	ok(rules_at(4) && cfa_is(ARCH_BP, 16), "behind mov rsp, rbp");
	ok(rules_at(23) && cfa_is(ARCH_BP, 16) && rules_at(24) && cfa_is(ARCH_SP, 8) &&
		   rule_is(ARCH_BP, CFI_SAME, 0),
	   "behind the pop");
	ok(rules_at(25) && cfa_is(ARCH_BP, 16) && rule_is(ARCH_BP, CFI_AT_CFA, -16),
	   "and as before the ret");
	ok(rules_at(SIZE - 1) && !rules_at(SIZE) && !rules_at((unsigned)-1),
	   "code before and behind has none");

	MAKE(0x05, 3, 3, 0x11, 12, 0x7d, 0x14, 13, 2, 0x15, 14, 0x7e, 0x09, 15, 3, 0x07, 2, 0x08, 1,
	     0x2f, 5, 4);
	ok(rules_at(0) && rule_is(ARCH_RBX, CFI_AT_CFA, -24) && rule_is(ARCH_R12, CFI_AT_CFA, 24) &&
		   rule_is(ARCH_R13, CFI_IS_CFA, -16) && rule_is(ARCH_R14, CFI_IS_CFA, 16) &&
		   rule_is(ARCH_R15, CFI_REGISTER, 3) && rule_is(2, CFI_UNDEFINED, 0) &&
		   rule_is(1, CFI_SAME, 0) && rule_is(5, CFI_AT_CFA, 32),
	   "every way to say where a register is");
	MAKE(0x12, 6, 0x7e, 0x03, 1, 0, 0x13, 0x7d, 0x04, 1, 0, 0, 0, 0x0e, 77);
	ok(rules_at(0) && cfa_is(ARCH_BP, 16) && rules_at(1) && cfa_is(ARCH_BP, 24) &&
		   rules_at(2) && cfa_is(ARCH_BP, 77),
	   "factored distances, advances in 2 and 4 bytes");
	MAKE(0x83, 1, 0xa0, 1, 0xae, 1);
	ok(rules_at(0), "registers that no frame depends on are passed over");
}

static void test_refused(void)
{
	MAKE(0x0b);
	ok(!rules_at(0), "restored, and nothing remembered");
	MAKE(0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a);
	ok(!rules_at(0), "remembered too often");
	MAKE(0x0c, 40, 8);
	ok(!rules_at(0), "a CFA by a register that we do not have");
	MAKE(0x3f);
	ok(!rules_at(0), "an instruction that nobody knows");
	MAKE(0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
	ok(!rules_at(0), "a distance of more than 31 bits");
	MAKE(0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
	ok(!rules_at(0), "a number without an end");
	MAKE(0x0f, 2, 0x77, 8, 0x0e, 16);
	ok(!rules_at(0), "an offset for a CFA that is an expression");
	MAKE(0x0f, 100, 0x77, 8);
	ok(!rules_at(0), "an expression that is longer than the table");
}

static bool read_stack(void *user, uintptr_t address, uintptr_t *ret)
{
	if (address < 0x1000 || address >= 0x9000)
		return false;
	*ret = address * 2;
	return true;
}

static bool value_of(const uint8_t *expression, size_t n, uintptr_t *ret)
{
	uint8_t code[300] = {0x16, 3, (uint8_t)n}; /* rbx is what the expression says */
	struct arch_regs regs;

	memcpy(code + 3, expression, n);
	make_tables(code, n + 3);
	if (!rules_at(0))
		return false;
	for (unsigned i = 0; i < ARCH_REGS; i++)
		regs.r[i] = 0x2000 + i;
	regs.r[ARCH_SP] = 0x3000;
	return cfi_expression(&frame, &frame.state.rules[ARCH_RBX], &regs, true, 0x3008, read_stack,
			      NULL, ret);
}

#define VALUE(want, ...)                                                                          \
	do {                                                                                      \
		uintptr_t got = 0;                                                                \
		if (!value_of((const uint8_t[]){__VA_ARGS__},                                     \
			      sizeof((const uint8_t[]){__VA_ARGS__}), &got) ||                    \
		    got != (uintptr_t)(want))                                                     \
			ok(false, "%s is %lx, wanted %lx", #__VA_ARGS__, got, (uintptr_t)(want)); \
		else                                                                              \
			n_right++;                                                                \
	} while (0)
#define NO_VALUE(...)                                                       \
	do {                                                                \
		uintptr_t got = 0;                                          \
		if (value_of((const uint8_t[]){__VA_ARGS__},                \
			     sizeof((const uint8_t[]){__VA_ARGS__}), &got)) \
			ok(false, "%s has a value", #__VA_ARGS__);          \
		else                                                        \
			n_right++;                                          \
	} while (0)

static void test_expressions(void)
{
	unsigned n_right = 0;

	VALUE(0x3008, 0x96);
	VALUE(0x3008, 0x12);
	VALUE(0x3008, 0x12, 0x13);
	VALUE(0x6010, 0x06);
	VALUE(0x20, 0x06, 0x94, 1);
	VALUE(31, 0x4f);
	VALUE(0x3010, 0x77, 16);
	VALUE(0x2fff, 0x77, 0x7f);
	VALUE(0x2010, 0x92, 16, 0);
	VALUE(0x1234, 0x0a, 0x34, 0x12);
	VALUE(-1, 0x09, 0xff);
	VALUE(255, 0x08, 0xff);
	VALUE(-2, 0x0b, 0xfe, 0xff);
	VALUE(-2, 0x0d, 0xfe, 0xff, 0xff, 0xff);
	VALUE(0xfffffffe, 0x0c, 0xfe, 0xff, 0xff, 0xff);
	VALUE(5, 0x0e, 5, 0, 0, 0, 0, 0, 0, 0);
	VALUE(300, 0x10, 0xac, 2);
	VALUE(-3, 0x11, 0x7d);
	VALUE(9, 0x35, 0x34, 0x22);
	VALUE(1, 0x35, 0x34, 0x1c);
	VALUE(20, 0x35, 0x34, 0x1e);
	VALUE(2, 0x39, 0x34, 0x1b);
	VALUE(1, 0x39, 0x34, 0x1d);
	VALUE(40, 0x35, 0x33, 0x24);
	VALUE(1, 0x3f, 0x33, 0x25);
	VALUE(-1, 0x09, 0xf0, 0x34, 0x26);
	VALUE(6, 0x35, 0x33, 0x27);
	VALUE(7, 0x35, 0x33, 0x21);
	VALUE(1, 0x35, 0x33, 0x1a);
	VALUE(-5, 0x35, 0x1f);
	VALUE(5, 0x35, 0x1f, 0x19);
	VALUE(~5ul, 0x35, 0x20);
	VALUE(15, 0x35, 0x23, 10);
	VALUE(5, 0x35, 0x34, 0x14, 0x13, 0x13);
	VALUE(5, 0x35, 0x34, 0x16);
	VALUE(5, 0x35, 0x34, 0x15, 1);
	VALUE(4, 0x33, 0x34, 0x35, 0x17);
	VALUE(1, 0x35, 0x34, 0x2b);
	VALUE(0, 0x35, 0x34, 0x2c);
	VALUE(1, 0x35, 0x35, 0x2a);
	VALUE(0, 0x35, 0x35, 0x2e);
	VALUE(1, 0x35, 0x35, 0x29);
	VALUE(1, 0x09, 0xff, 0x31, 0x2d);
	VALUE(7, 0x37, 0x31, 0x28, 1, 0, 0x38);
	VALUE(8, 0x37, 0x30, 0x28, 1, 0, 0x38);
	VALUE(7, 0x37, 0x2f, 1, 0, 0x38);
	/* the one that linkers write for stubs: rsp + 8, and 8 more from the 11th byte of 16 on */
	VALUE(0x3008 + ((module.start & 15) >= 11) * 8, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a,
	      0x33, 0x24, 0x22);
	NO_VALUE(0x13);
	NO_VALUE(0x13, 0x13);
	NO_VALUE(0x22);
	NO_VALUE(0x30, 0x1b);
	NO_VALUE(0x30, 0x1d);
	NO_VALUE(0x35, 0x06);
	NO_VALUE(0x15, 9);
	NO_VALUE(0x2f, 0xfd, 0xff);
	NO_VALUE(0x2f, 0xf0, 0xff);
	NO_VALUE(0x2f, 9, 0);
	NO_VALUE(0x12, 0x2f, 0xfc, 0xff);
	NO_VALUE(0x88, 0);
	NO_VALUE(0x92, 17, 0);
	NO_VALUE(0x94, 9);
	NO_VALUE(0xe0);
	NO_VALUE(0x0a, 1);
	is_u64(n_right, 63, "expressions");
}

static void test_steps(void)
{
	struct arch_regs regs = {{0}};

	MAKE(0x41, 0x0e, 16, 0x86, 2);
	regs.r[ARCH_SP] = 0x2000;
	regs.r[ARCH_BP] = 5;
	ok(rules_at(1) && cfi_step(&frame, &regs, read_stack, NULL) == 1 &&
		   regs.r[ARCH_SP] == 0x2010 && regs.r[ARCH_PC] == 0x2008 * 2 &&
		   regs.r[ARCH_BP] == 0x2000 * 2,
	   "a step");
	MAKE(0x07, 16);
	ok(rules_at(0) && cfi_step(&frame, &regs, read_stack, NULL) == 0, "the outermost frame");
	MAKE(0x83, 0xc0, 0);
	regs.r[ARCH_SP] = 0x1100;
	ok(rules_at(0) && cfi_step(&frame, &regs, read_stack, NULL) == 1 && regs.r[ARCH_RBX] == 0 &&
		   regs.r[ARCH_PC] == 0x2200,
	   "a register that cannot be read is lost, the frame is not");
	regs.r[ARCH_SP] = 0x100;
	ok(rules_at(0) && cfi_step(&frame, &regs, read_stack, NULL) == -1 &&
		   regs.r[ARCH_SP] == 0x100,
	   "a return address that cannot be read ends it");
	MAKE(0x10, 6, 2, 0x76, 0);
	regs.r[ARCH_SP] = 0x2000;
	regs.r[ARCH_BP] = 0x5000;
	ok(rules_at(0) && cfi_step(&frame, &regs, read_stack, NULL) == 1 &&
		   regs.r[ARCH_BP] == 0x5000,
	   "rbp said to be where rbp points, and it points out of the frame: it is restored "
	   "already");
}

/* Every table cut at every byte, and some thousand with bytes changed. What is behind cannot be read. */
static void test_broken(void)
{
	static const uint8_t code[] = {0x41, 0x0e, 16,   0x86, 2,    0x0a, 0x10, 3, 2,
				       0x77, 8,    0x42, 0x0b, 0x0f, 3,    0x76, 8, 6,
				       0x02, 9,    0xc,  6,    16,   3,    1,    1};
	struct arch_regs regs = {{0}};
	uint32_t random = 1, count;
	struct cfi_own_entry *own;
	size_t whole;

	make_tables(code, sizeof(code));
	whole = tables_size;
	for (size_t cut = 0; cut < whole; cut++) {
		make_tables(code, sizeof(code));
		tables = page + PAGE - (whole - cut);
		memmove(tables, page + PAGE - whole, whole - cut);
		module.cfi_header = module.readable_start = (uintptr_t)tables;
		module.start = module.readable_start + CODE;
		module.end = module.start + SIZE;
		module.readable_end = (uintptr_t)page + PAGE;
		for (unsigned at = 0; at < 30; at += 3)
			if (rules_at(at))
				cfi_step(&frame, &regs, read_stack, NULL);
	}
	for (int i = 0; i < 60000; i++) {
		make_tables(code, sizeof(code));
		for (int n = 0; n < 1 + i % 3; n++) {
			random = random * 1664525 + 1013904223;
			tables[(random >> 8) % tables_size] ^= (uint8_t)(1 + (random >> 24));
		}
		for (unsigned at = 0; at < 30; at += 5) {
			regs.r[ARCH_SP] = regs.r[ARCH_BP] = 0x2000;
			if (rules_at(at))
				cfi_step(&frame, &regs, read_stack, NULL);
		}
		if (cfi_build_table(&module, module.readable_start + 20, &own, &count) == 0)
			mem_unmap(own, count * sizeof(*own));
	}
	ok(true, "broken tables are read to an end");
}

/* A table of our own says of all code of the C library what the linker's says. */
static void test_own_table(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);
	const struct segment_module *libc;
	struct segment_module mine;
	struct cfi_own_entry *own;
	uint32_t index, count = 0, differ = 0, none = 0;
	int32_t relative;

	modules_refresh(&s);
	libc = modules_find(&s, (uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), &index);
	if (libc == NULL || libc->cfi_header == 0) {
		skip("the C library has no search table");
		return;
	}
	memcpy(&relative, (const void *)(libc->cfi_header + 4), 4);
	ok(cfi_build_table(libc, libc->cfi_header + 4 + (uintptr_t)(intptr_t)relative, &own,
			   &count) == 0 &&
		   count > 1000,
	   "%u entries", count);
	mine = *libc;
	mine.own_table = (uintptr_t)own;
	mine.own_table_count = count;
	for (uint32_t i = 0; i < count; i++) {
		uintptr_t pc = libc->start + (uintptr_t)own[i].code + i % 2;
		struct cfi_frame other;
		bool has = cfi_rules(libc, pc, states, &frame),
		     has_mine = cfi_rules(&mine, pc, states, &other);

		none += !has;
		differ += has != has_mine ||
			  (has && memcmp(&frame.state, &other.state, sizeof(other.state)) != 0);
	}
	is_u64(differ, 0, "both lead to the same rules");
	ok(none < count / 100, "which are there for nearly all code");
	mem_unmap(own, count * sizeof(*own));
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	page = mmap(NULL, 2 * (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (page == MAP_FAILED || mprotect(page + PAGE, PAGE, PROT_NONE) < 0)
		return 1;
	test_rows();
	test_refused();
	test_expressions();
	test_steps();
	test_broken();
	test_own_table();
	return plan_end();
}
