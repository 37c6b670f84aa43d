/* server.h where libmicrohttpd was not there to build with. */
#include <errno.h>

#include "endpoint/server.h"

int server_load(struct why *why)
{
	why_set(why, "http: cprof was built without libmicrohttpd");
	return -ENOSYS;
}

int server_create(struct server **ret, const struct server_watch *watch, struct why *why)
{
	(void)ret, (void)watch;
	return server_load(why);
}

int server_listen(struct server *s, struct listen *l, struct endpoint *e, struct why *why)
{
	(void)s, (void)l, (void)e, (void)why;
	return -ENOSYS;
}

void server_forget(struct server *s, struct endpoint *e)
{
	(void)s, (void)e;
}

void server_run(struct server *s)
{
	(void)s;
}

void server_end(struct server *s)
{
	(void)s;
}

void server_destroy(struct server *s)
{
	(void)s;
}
