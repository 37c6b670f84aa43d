#include "viewer/schema.h"

#include <errno.h>
#include <string.h>

/* In the order of enum argument_kind. */
static const char *const kinds[ARGUMENT_KINDS] = {"u",    "s",   "ticks", "ns", "str",
						  "stk",  "obj", "thr",   "fd", "task",
						  "addr", "err", "mode",  "res"};

/* Letters that a name may have; anything else in it becomes '?'. */
static void copy_name(char *to, size_t size, const char *from, size_t n)
{
	size_t i;

	if (n >= size)
		n = size - 1;
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from[i];

		to[i] = c > ' ' && c < 0x7f && c != '=' && c != ',' && c != '"' && c != ';'
				? (char)c
				: '?';
	}
	to[n] = '\0';
}

static uint8_t find_kind(const char *text, size_t n)
{
	for (uint8_t i = 0; i < ARGUMENT_KINDS; i++)
		if (strlen(kinds[i]) == n && memcmp(kinds[i], text, n) == 0)
			return i;
	return ARGUMENT_NUMBER;
}

/* "name:kind name:kind" into @type. */
static int parse_arguments(struct event_type *type, const char *text)
{
	type->n = 0;
	type->stack = type->object = type->order = type->thread = -1;
	for (;;) {
		struct event_argument *argument = &type->arguments[type->n];
		size_t n, colon;

		text += strspn(text, " ");
		n = strcspn(text, " ");
		if (n == 0)
			return 0;
		if (type->n == SCHEMA_ARGUMENTS_MAX)
			return -EINVAL;
		colon = strcspn(text, ": ");
		copy_name(argument->name, sizeof(argument->name), text, colon);
		argument->kind =
			colon < n ? find_kind(text + colon + 1, n - colon - 1) : ARGUMENT_NUMBER;
		type->kinds[type->n] = argument->kind;
		/* The first stack is where it happened, the first object what it happened to. */
		if (type->n < TRACE_ARGUMENTS_MAX) {
			if (argument->kind == ARGUMENT_STACK && type->stack < 0)
				type->stack = (int8_t)type->n;
			if (argument->kind == ARGUMENT_OBJECT && type->object < 0)
				type->object = (int8_t)type->n;
			if (argument->kind == ARGUMENT_THREAD && type->thread < 0)
				type->thread = (int8_t)type->n;
			if (strcmp(argument->name, "order") == 0 && type->order < 0)
				type->order = (int8_t)type->n;
		}
		type->n++;
		text += n;
	}
}

void schema_init(struct schema *schema)
{
	static const struct {
		uint8_t number, class, ends;
		const char *name, *arguments;
	} own[] = {
#define OWN(number, NAME, text, class, ends, arguments) \
	{number, TRACE_CLASS_##class, ends, text, arguments},
		TRACE_EVENTS(OWN)
#undef OWN
	};

	memset(schema, 0, sizeof(*schema));
	for (unsigned i = 0; i < 256; i++) {
		schema->types[i].class = TRACE_CLASSES;
		parse_arguments(&schema->types[i], "");
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		struct event_type *type = &schema->types[own[i].number];

		snprintf(type->name, sizeof(type->name), "%s", own[i].name);
		type->class = own[i].class;
		type->ends = own[i].ends;
		parse_arguments(type, own[i].arguments);
	}
}

int schema_declare(struct schema *schema, uint64_t number, const char *name, const char *arguments,
		   uint64_t ends, struct why *why)
{
	struct event_type *type, told = {.class = TRACE_CLASSES};
	uint8_t common;

	if (number == 0 || number > 255 || name[0] == '\0') {
		why_set(why, "type %llu \"%.40s\" cannot be: 1 to 255 and a name were expected",
			(unsigned long long)number, name);
		return -EINVAL;
	}
	if (parse_arguments(&told, arguments) < 0) {
		why_set(why, "type %u \"%.40s\" has more than %d arguments", (unsigned)number, name,
			SCHEMA_ARGUMENTS_MAX);
		return -EINVAL;
	}
	copy_name(told.name, sizeof(told.name), name, strlen(name));
	told.ends = ends <= 255 ? (uint8_t)ends : 0;
	type = &schema->types[number];
	/* What is known here means what it means here. More arguments may have come since, or not yet have been. */
	common = told.n < type->n ? told.n : type->n;
	for (uint8_t i = 0; i < common && type->name[0] != '\0'; i++) {
		if (told.arguments[i].kind != type->arguments[i].kind) {
			why_set(why,
				"type %u \"%.40s\" has an argument %u of kind %s; %s was expected",
				(unsigned)number, name, i + 1U, kinds[told.arguments[i].kind],
				kinds[type->arguments[i].kind]);
			return -EINVAL;
		}
	}
	schema->is_declared = true;
	if (type->name[0] != '\0') {
		if (told.n == type->n)
			return -EEXIST;
		told.class = type->class;
		told.ends = type->ends;
		memcpy(told.name, type->name, sizeof(told.name));
	}
	*type = told;
	return 0;
}

const struct event_type *schema_find(const struct schema *schema, const char *name)
{
	for (unsigned i = 1; i < 256; i++)
		if (strcmp(schema->types[i].name, name) == 0)
			return &schema->types[i];
	return NULL;
}
