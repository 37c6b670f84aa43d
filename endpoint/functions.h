/*
 * functions: what libcprof-output.so has of endpoint/, for libcprof.so, which opens it when somebody wants an endpoint.
 */
#pragma once

#include "endpoint/endpoint.h"
#include "endpoint/server.h"
#include "http/listen.h"

#define ENDPOINT_SYMBOL "cprof_endpoint_functions"
#define ENDPOINT_ABI    2

struct endpoint_functions {
	unsigned abi;
	struct endpoint *(*create)(const struct endpoint_source *source);
	void (*destroy)(struct endpoint *e);
	struct endpoint_request *(*begin)(struct endpoint *e, const struct endpoint_ask *ask);
	struct endpoint_reply *(*step)(struct endpoint_request *q, uint64_t now_ns, bool is_last,
				       uint64_t *ret_next_ns);
	void (*end)(struct endpoint_request *q);
	void (*hurry)(struct endpoint *e, bool is_wanted);
	unsigned (*headers)(const struct endpoint_reply *reply,
			    struct endpoint_header ret[ENDPOINT_HEADERS_MAX]);

	int (*listen_open)(const char *text, struct listen *ret, struct why *why);
	int (*server_load)(struct why *why);
	int (*server_create)(struct server **ret, const struct server_watch *watch,
			     struct why *why);
	int (*server_listen)(struct server *s, struct listen *l, struct endpoint *e,
			     struct why *why);
	void (*server_run)(struct server *s);
	void (*server_end)(struct server *s);
	void (*server_destroy)(struct server *s);
};

extern const struct endpoint_functions cprof_endpoint_functions;
