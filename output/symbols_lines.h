/*
 * symbols_lines: the line table of one compilation unit, DWARF 2 to 5.
 *
 * libdw can read it too, but builds lists and sorts them. Naming 10,000 places of a C++ program of
 * 88 MB took 0.50 s and 133 MB with its tables and its walk over the entries, 0.30 s and 98 MB with
 * ours and symbols_scan.
 */
#pragma once

#include <stdint.h>

#include "output/symbols_bytes.h"
#include "output/symbols_spans.h"
#include "output/symbols_strings.h"

struct lines_input {
	struct bytes line, line_str, str; /* .debug_line, .debug_line_str, .debug_str */
	uint64_t text_start,
		text_end;  /* sequences outside are those of functions that the linker dropped */
	uint64_t rows_max; /* give up there */
};

struct lines_row {
	uint64_t address;
	uint32_t line, file;
};

struct lines {
	struct lines_row *rows;
	uint32_t rows_n, rows_room;
	struct spans sequences; /* what: the first row, rank: how many */

	struct lines_file *files;
	uint32_t files_n, files_room;
	const char **directories;
	uint32_t directories_n, directories_room;
	const char *base; /* the compilation directory, NULL: unknown */
	int version;
};

/* Reads the table at @offset of .debug_line. 0, -EINVAL (broken or unknown) or -ENOMEM. */
int lines_read(struct lines *lines, const struct lines_input *in, uint64_t offset,
	       const char *base);
void lines_fini(struct lines *lines); /* a zeroed one is fine */

const struct lines_row *lines_find(const struct lines *lines, uint64_t address); /* NULL: none */

/* The path of file number @file, joined with its directory; NULL when there is none. Made once. */
const char *lines_file(struct lines *lines, uint64_t file, struct strings *st);
