#include "http/announce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/browser.h"

__attribute__((format(printf, 2, 3))) static void say(const struct announce *a, const char *format,
						      ...)
{
	char text[600];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	a->say(a->context, text);
}

void announce_open(const struct announce *a, const char *url)
{
	if (a->never_opens)
		return;
	if (browser_can(a->opens))
		browser_open(url);
	else if (a->opens)
		say(a, "there is no display to open a browser on");
}

void announce(const struct announce *a, const char *url, const char *host, uint16_t port,
	      bool is_open)
{
	const char *ssh = getenv("SSH_CONNECTION");
	char server[256] = "", whole[800];

	snprintf(whole, sizeof(whole), "%s%s%s", url, a->fragment[0] != '\0' ? "#" : "",
		 a->fragment);
	printf("%s\n", whole);
	fflush(stdout);
	if (is_open)
		say(a,
		    "%s can be asked from other machines, by everybody who knows that URL, and "
		    "nothing is encrypted",
		    host);
	if (ssh != NULL && !is_open && !a->is_quiet) {
		if (sscanf(ssh, "%*s %*s %255s", server) != 1)
			gethostname(server, sizeof(server) - 1);
		say(a, "from where you are: ssh -N -L %" PRIu16 ":%s:%" PRIu16 " %s", port, host,
		    port, server);
	}
	if (!a->is_quiet)
		say(a, "Ctrl-C ends it");
	announce_open(a, whole);
}

int announce_read(const char *option, const char *text, char **ret_address, uint16_t *ret_port,
		  struct why *why)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;

	if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9' || *end != '\0' ||
	    port > UINT16_MAX || (text[0] == '[') != (colon[-1] == ']') ||
	    (text[0] != '[' && memchr(text, ':', (size_t)(colon - text)) != NULL)) {
		why_set(why, "%s %s: ADDR:PORT was expected, such as 10.0.0.1:8080 or [::1]:8080",
			option, text);
		return -EINVAL;
	}
	*ret_address = strndup(text, (size_t)(colon - text));
	*ret_port = (uint16_t)port;
	if (*ret_address != NULL)
		return 0;
	why_set(why, "out of memory");
	return -ENOMEM;
}
