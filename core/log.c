#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/arch.h"

#include <sys/syscall.h>

static int is_debug;

static void write_line(const char *format, va_list args)
{
	char line[512] = "cprof: ";
	int saved = errno, n;

	/* glibc's vsnprintf allocates for wide strings and huge precisions only; none of ours has them */
	n = vsnprintf(line + 7, sizeof(line) - 8, format, args);
	if (n > (int)sizeof(line) - 9)
		n = (int)sizeof(line) - 9;
	if (n > 0) {
		line[7 + n] = '\n';
		sys3(SYS_write, STDERR_FILENO, line, 8 + n);
	}
	errno = saved;
}

void log_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!is_debug)
		return;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void log_set_debug(int on)
{
	is_debug = on;
}
