/*
 * announce: tells the person who asked for a page where it is, and shows it where that can be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"

struct announce {
	const char *fragment; /* of the URL, "t=1000ns+5000ns"; "": none */
	bool is_quiet;
	bool opens, never_opens; /* a browser; neither: where there is one to be seen */
	void (*say)(void *context, const char *text); /* a line for stderr */
	void *context;
};

/* The URL goes to standard output, alone on a line, for scripts. As site.ready() is told. */
void announce(const struct announce *a, const char *url, const char *host, uint16_t port,
	      bool is_open);
/* Opens a browser, where a->opens or the place says so. */
void announce_open(const struct announce *a, const char *url);

/*
 * "[::1]:8080" and "host:8080", as they are typed behind @option. @ret_address is the caller's to free. 0, -EINVAL or -ENOMEM, with @why.
 */
int announce_read(const char *option, const char *text, char **ret_address, uint16_t *ret_port,
		  struct why *why);
