#include "endpoint/functions.h"

__attribute__((visibility("default"))) const struct endpoint_functions cprof_endpoint_functions = {
	.abi = ENDPOINT_ABI,
	.create = endpoint_create,
	.destroy = endpoint_destroy,
	.begin = endpoint_begin,
	.step = endpoint_step,
	.end = endpoint_end,
	.hurry = endpoint_hurry,
	.headers = endpoint_headers,
	.listen_open = listen_open,
	.server_load = server_load,
	.server_create = server_create,
	.server_listen = server_listen,
	.server_run = server_run,
	.server_end = server_end,
	.server_destroy = server_destroy,
};
