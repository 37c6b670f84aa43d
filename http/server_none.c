/* server.h where libmicrohttpd was not there to build with: there is no server, so nothing is asked of it. */
#include <errno.h>

#include "http/server.h"

int http_load(struct why *why)
{
	why_set(why, "cprof was built without libmicrohttpd");
	return -ENOSYS;
}

int http_create(struct http_server **ret, const struct http_rules *rules,
		const struct http_user *user, struct why *why)
{
	(void)ret, (void)rules, (void)user;
	return http_load(why);
}

void http_destroy(struct http_server *s)
{
	(void)s;
}

int http_listen(struct http_server *s, struct listen *l, void *door, struct why *why)
{
	(void)s, (void)door;
	listen_close(l);
	return http_load(why);
}

void http_forget(struct http_server *s, void *door)
{
	(void)s, (void)door;
}

void http_run(struct http_server *s)
{
	(void)s;
}

void http_end(struct http_server *s)
{
	(void)s;
}

void http_leave(const struct http_server *s)
{
	(void)s;
}

void http_doors(const struct http_server *s, void (*each)(void *door))
{
	(void)s, (void)each;
}

uint64_t http_asked_ns(const struct http_server *s)
{
	(void)s;
	return UINT64_MAX;
}

size_t http_held(const struct http_server *s)
{
	(void)s;
	return 0;
}

const char *http_header_of(const struct http_request *q, const char *name)
{
	(void)q, (void)name;
	return NULL;
}

bool http_takes_gzip(const struct http_request *q)
{
	(void)q;
	return false;
}

bool http_is_foreign(const struct http_request *q)
{
	(void)q;
	return true;
}

void http_add(struct http_reply *reply, const char *name, const char *value)
{
	(void)reply, (void)name, (void)value;
}

void http_reply(struct http_request *q, const struct http_reply *reply)
{
	(void)q, (void)reply;
}

void http_wait(struct http_request *q, int fd, uint64_t until_ns)
{
	(void)q, (void)fd, (void)until_ns;
}
