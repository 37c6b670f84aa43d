#include "output/tty.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_MAX 10000 /* columns: what asks for more is no terminal */

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0';
}

bool tty_has_colour(int fd)
{
	const char *term = getenv("TERM"), *force = getenv("CLICOLOR_FORCE");

	if (is_set("NO_COLOR"))
		return false;
	if (force != NULL && force[0] != '\0' && strcmp(force, "0") != 0)
		return true;
	return isatty(fd) && term != NULL && strcmp(term, "dumb") != 0;
}

unsigned tty_width(void)
{
	const char *columns = getenv("COLUMNS");
	unsigned long n = columns != NULL ? strtoul(columns, NULL, 10) : 0;
	struct winsize size;

	if (n == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		n = size.ws_col;
	return n > 0 && n <= WIDTH_MAX ? (unsigned)n : 100;
}

bool tty_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is_set(names[i]))
			return strcasestr(getenv(names[i]), "utf-8") != NULL ||
			       strcasestr(getenv(names[i]), "utf8") != NULL;
	return false;
}
