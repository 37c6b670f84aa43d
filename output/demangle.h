/*
 * demangle: C++ and Rust names as pprof shows them, by libiberty.
 */
#pragma once

#include <stddef.h>

/*
 * Writes the readable form of @mangled to @out, ended by a NUL: no parameters of the function
 * itself, no template arguments, no return type, no clone suffix. Returns its length, or 0 when
 * @mangled is not a mangled name, is broken, or would need too much time or room; @out is then
 * unspecified.
 *
 * The name may be hostile. Real names need 16 KiB of stack, the worst of 8 KiB some 500.
 */
size_t demangle(const char *mangled, char *out, size_t out_size);
