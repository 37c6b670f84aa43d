/*
 * Unwind tables in which anything may stand: no read outside of them, none of the stack but through the callback, and an
 * end in bounded time. The input is the tables themselves. Built with -fsanitize=fuzzer; see `make fuzz`.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cfi.h"
#include "core/mem.h"

#define CODE 0x400000u

static unsigned reads;

/* A stack that has something everywhere but at every eighth page. */
static bool read_word(void *user, uintptr_t address, uintptr_t *ret)
{
	reads++;
	*ret = address * 31 + 8;
	return (address >> 12) % 8 != 7;
}

static void try_at(const struct segment_module *m, uintptr_t pc)
{
	static struct cfi_state states[CFI_STATES];
	static struct cfi_frame frame;
	struct arch_regs regs;

	if (!cfi_rules(m, pc, states, &frame))
		return;
	for (unsigned i = 0; i < ARCH_REGS; i++)
		regs.r[i] = 0x7fff00000000u + i * 0x1008;
	regs.r[ARCH_PC] = pc;
	reads = 0;
	for (int i = 0; i < 4 && cfi_step(&frame, &regs, read_word, NULL) > 0; i++)
		;
	if (reads > 4 * ARCH_REGS * 300)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *tables =
		malloc(size + 1); /* of just this size, so that a read beyond it is seen */
	struct segment_module m = {.start = CODE, .end = CODE + 0x10000};
	struct cfi_own_entry *table = NULL;
	uint32_t count = 0, start;

	if (size < 16) {
		free(tables);
		return 0;
	}
	memcpy(tables, data, size);
	m.readable_start = m.cfi_header = (uintptr_t)tables;
	m.readable_end = m.readable_start + size;
	/* where the input wants the code to be, as the tables see it */
	memcpy(&start, data + size - 4, sizeof(start));
	m.start = m.readable_start + (start & 0xffff) * 16 - 0x80000;
	m.end = m.start + 0x100000;
	for (uintptr_t pc = m.start; pc < m.end; pc += 0x1000)
		try_at(&m, pc + (start >> 28));
	if (cfi_build_table(&m, m.readable_start, &table, &count) == 0) {
		if (count > size / 8)
			abort();
		m.own_table = (uintptr_t)table;
		m.own_table_count = count;
		for (uint32_t i = 0; i < count && i < 64; i++)
			try_at(&m, m.start + (uintptr_t)table[i].code + (start >> 30));
		mem_unmap(table, count * sizeof(*table));
	}
	free(tables);
	return 0;
}
