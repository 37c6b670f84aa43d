/*
 * marker: a preloaded library that does no more than say where a preloaded library's constructor runs, to whoever watches the
 * program's system calls.
 */
#include <sys/prctl.h>

__attribute__((constructor)) static void mark(void)
{
	prctl(0x63707266, 0, 0, 0, 0);
}
