/*
 * answer: what goes with the bytes of an answer to a page, which are in a file. Fixed in size: it is handed from one process to another.
 */
#pragma once

#include <stdbool.h>

#define ANSWER_MAX (64 << 20) /* bytes */

enum answer_type {
	ANSWER_JSON,
	ANSWER_BYTES,
	ANSWER_PAGE, /* HTML that has all its files in it, and says what it may do */
};

struct answer {
	int status; /* of HTTP */
	enum answer_type type;
	bool is_immutable, is_packed; /* by gzip: pack.h */
	char filename[64];            /* of what is to be saved; "": nothing is */
};
