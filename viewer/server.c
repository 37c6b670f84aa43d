#include "viewer/server.h"

#include "http/site.h"

#define LOOK_NS UINT64_C(50000000) /* how often the index is looked at while it is made */

static bool on_ask(void *context, const char *text, int fd, struct answer *ret)
{
	return api_answer_now(((const struct server_ask *)context)->api, text, fd, ret);
}

static void on_work(void *context, const char *text, int fd, struct answer *ret)
{
	api_answer_work(((const struct server_ask *)context)->api, text, fd, ret);
}

static void on_refuse(void *context, int status, const char *why, int fd, struct answer *ret)
{
	api_refuse(((const struct server_ask *)context)->api, status, why, fd, ret);
}

static uint64_t on_look(void *context, uint64_t now_ns)
{
	struct api *a = ((const struct server_ask *)context)->api;

	if (a->making != NULL)
		api_look_at_index(a);
	return a->making != NULL ? now_ns + LOOK_NS : UINT64_MAX;
}

static void on_begin(void *context)
{
	const struct server_ask *ask = context;

	api_begin_index(ask->api, ask->keeps_index);
}

static void on_ready(void *context, const char *url, const char *host, uint16_t port, bool is_open)
{
	const struct server_ask *ask = context;

	ask->ready(ask->context, url, host, port, is_open);
}

int server_run(const struct server_ask *ask, struct why *why)
{
	static const char *const given[] = {"meta", "tracks?limit=10000", "columns", NULL};
	struct server_ask copy = *ask;
	const struct site site = {
		.address = ask->address,
		.port = ask->port,
		.idle_ns = ask->idle_ns,
		.assets = timeline_page,
		.directory = ask->directory,
		.given = given,
		.begin = on_begin,
		.ready = on_ready,
		.ask = on_ask,
		.work = on_work,
		.refuse = on_refuse,
		.look = on_look,
		.context = &copy,
	};

	return site_run(&site, why);
}
