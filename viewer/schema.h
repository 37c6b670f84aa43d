/*
 * schema: what each type of event is called and which arguments it has.
 *
 * This version's own types are known; a trace's schema blocks tell of others, and of arguments that a newer version has
 * added. So an event can be passed over, and printed, that nobody here has heard of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"
#include "tracer/format.h"

#define SCHEMA_NAME          40
#define SCHEMA_ARGUMENT_NAME 24
#define SCHEMA_ARGUMENTS_MAX 16 /* of which an event keeps the first TRACE_ARGUMENTS_MAX */

enum argument_kind {
	ARGUMENT_NUMBER,
	ARGUMENT_SIGNED,
	ARGUMENT_TICKS,
	ARGUMENT_NS,
	ARGUMENT_STRING,
	ARGUMENT_STACK,
	ARGUMENT_OBJECT,
	ARGUMENT_THREAD,
	ARGUMENT_FD,
	ARGUMENT_TASK,
	ARGUMENT_ADDRESS,
	ARGUMENT_ERROR,
	ARGUMENT_MODE,
	ARGUMENT_RESULT, /* signed */
	ARGUMENT_KINDS,
};

struct event_argument {
	char name[SCHEMA_ARGUMENT_NAME];
	uint8_t kind; /* enum argument_kind; one that is not known here is a number */
};

struct event_type {
	char name[SCHEMA_NAME]; /* "" for a type that nobody has declared */
	uint8_t class;          /* enum trace_class; TRACE_CLASSES when it is not ours */
	uint8_t ends;           /* the type that this one ends, or 0 */
	uint8_t n;
	uint8_t kinds
		[SCHEMA_ARGUMENTS_MAX]; /* of the arguments, side by side for who reads many events */
	struct event_argument arguments[SCHEMA_ARGUMENTS_MAX];
	/* which argument it is, or -1 */
	int8_t stack, object, order, thread;
};

struct schema {
	struct event_type types[256];
	bool is_declared; /* by the trace itself */
};

void schema_init(struct schema *schema);

/*
 * A trace says that @type has @arguments, "name:kind …". Returns 0, -EEXIST (it has them already), or -EINVAL when it cannot
 * be: too many of them, or others than this version knows. The type is then as it was before.
 */
int schema_declare(struct schema *schema, uint64_t type, const char *name, const char *arguments,
		   uint64_t ends, struct why *why);

/* The type called @name, or NULL. */
const struct event_type *schema_find(const struct schema *schema, const char *name);
