/*
 * symbols_files: where the file that holds a module's debugging information is.
 */
#pragma once

#include "output/symbols_elf.h"

/*
 * Opens the file that @build_id names, below CPROF_DEBUG_PATH (directories, by colons) or
 * /usr/lib/debug, or that a server has (symbols_debuginfod.h). 0 or -ENOENT.
 */
int files_open_by_build_id(struct elf *ret, const uint8_t *build_id, size_t build_id_size);

/*
 * Opens the separate debug file of @elf, which lies at @path: by build id, then by its
 * .gnu_debuglink, then from a server. 0 or -ENOENT.
 */
int files_open_debug(struct elf *ret, const struct elf *elf, const char *path);
