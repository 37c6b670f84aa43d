#include "core/syscalls.h"

#include <stddef.h>
#include <sys/syscall.h>

static const char *const names[] = {
#include "core/syscall_names.inc"
};

SIGSAFE const char *syscalls_name(unsigned number)
{
	return number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;
}

SIGSAFE bool syscalls_is_idle(unsigned number)
{
	switch (number) {
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter: /* it may only hand work over, but that takes no time */
		return true;
	}
	return false;
}
