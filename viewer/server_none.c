/* Where cprof was built without libmicrohttpd. */
#include <errno.h>

#include "viewer/server.h"

int server_run(const struct server_ask *ask, struct why *why)
{
	(void)ask;
	why_set(why, "this cprof-trace was built without libmicrohttpd, and has no page");
	return -ENOSYS;
}
