#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "viewer/server.h"

bool server_is_us(const char *host, const char *address, uint16_t port)
{
	const char *const names[] = {"localhost", "127.0.0.1", "[::1]", address};
	char suffix[8];

	snprintf(suffix, sizeof(suffix), ":%" PRIu16, port);
	for (unsigned i = 0; host != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = names[i] != NULL ? strlen(names[i]) : 0;

		if (n > 0 && strncasecmp(host, names[i], n) == 0 &&
		    (host[n] == '\0' || strcmp(host + n, suffix) == 0))
			return true;
	}
	return false;
}
