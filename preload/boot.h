/*
 * boot: what the library finds when it is loaded.
 */
#pragma once

#include <stdint.h>

/* The end of the main thread's stack, 0 when unknown. */
uintptr_t boot_stack_end(void);

/* The launcher's socket, NULL without a launcher. */
const char *boot_session(void);
