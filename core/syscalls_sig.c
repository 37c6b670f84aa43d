#include "core/syscalls.h"

#include <stddef.h>

static const char *const names[] = {
#include "core/syscall_names.inc"
};

SIGSAFE const char *syscalls_name(unsigned number)
{
	return number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;
}
