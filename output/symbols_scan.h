/*
 * symbols_scan: where the functions of a compilation unit are, found by walking its entries without
 * understanding them.
 *
 * A unit of a C++ program has 100,000 entries, of which a hundred are functions. libdw looks at
 * each through a call, a hash table and a lock; here an entry of a kind that is of no interest is a
 * table look-up and an addition. What a function is called and what was inlined into it is then
 * libdw's to say.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "output/symbols_bytes.h"

struct scan_table; /* the kinds of entries, from .debug_abbrev */

struct scan_sections {
	struct bytes info, abbrev, addr; /* .debug_info, .debug_abbrev, .debug_addr */
};

struct scan_function {
	uint64_t offset; /* in .debug_info */
	uint64_t low, high;
	bool has_range; /* low and high are known; else libdw knows them (DW_AT_ranges) */
	int depth;
};

/*
 * Calls @found for each function with code in the unit at @offset. @addr_base is where its part of
 * .debug_addr begins. @table is kept for the next unit, which often has the same; starts as NULL,
 * ended by scan_table_destroy().
 *
 * 0, -EINVAL (broken, or something that is not understood: use libdw), -ENOMEM, or what @found
 * returned.
 */
int scan_unit(const struct scan_sections *sections, uint64_t offset, uint64_t addr_base,
	      struct scan_table **table,
	      int (*found)(void *data, const struct scan_function *function), void *data);
void scan_table_destroy(struct scan_table *table);
