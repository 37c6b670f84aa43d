#include "output/demangle.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#define MANGLED_MAX (8 << 10)   /* names of 4 KiB exist; c++filt gives up at 1 KiB */
#define VISITS_MAX  (256 << 10) /* nodes of the name with every back reference written out */
#define SCOPES_MAX  (16 << 10)  /* libiberty has templates * scopes times 16 bytes on the stack */

/*
 * What libiberty prints, in pieces. A short name can stand for an endless text (S_ refers to all
 * that came before it, twice at each step), and libiberty offers no way to stop, so a full buffer
 * leaves by longjmp. What it then holds is on the stack or is the tree, which is ours to free.
 */
struct printer {
	char *out;
	size_t used, size;
	jmp_buf full;
};

static void take_text(const char *text, size_t length, void *opaque)
{
	struct printer *p = opaque;

	if (length >= p->size - p->used)
		longjmp(p->full, 1);
	memcpy(p->out + p->used, text, length);
	p->used += length;
}

struct tree_size {
	int visits, templates, scopes;
};

/* What libiberty would set aside, and the time it would take, before it is asked to. */
static void measure(const struct demangle_component *c, struct tree_size *size)
{
	if (c == NULL || ++size->visits > VISITS_MAX)
		return;
	switch (c->type) {
	case DEMANGLE_COMPONENT_NAME:
	case DEMANGLE_COMPONENT_TEMPLATE_PARAM:
	case DEMANGLE_COMPONENT_FUNCTION_PARAM:
	case DEMANGLE_COMPONENT_SUB_STD:
	case DEMANGLE_COMPONENT_BUILTIN_TYPE:
	case DEMANGLE_COMPONENT_EXTENDED_BUILTIN_TYPE:
	case DEMANGLE_COMPONENT_OPERATOR:
	case DEMANGLE_COMPONENT_CHARACTER:
	case DEMANGLE_COMPONENT_NUMBER:
	case DEMANGLE_COMPONENT_UNNAMED_TYPE:
		return;
	case DEMANGLE_COMPONENT_CTOR:
		measure(c->u.s_ctor.name, size);
		return;
	case DEMANGLE_COMPONENT_DTOR:
		measure(c->u.s_dtor.name, size);
		return;
	case DEMANGLE_COMPONENT_EXTENDED_OPERATOR:
		measure(c->u.s_extended_operator.name, size);
		return;
	case DEMANGLE_COMPONENT_FIXED_TYPE:
		measure(c->u.s_fixed.length, size);
		return;
	case DEMANGLE_COMPONENT_DEFAULT_ARG:
	case DEMANGLE_COMPONENT_LAMBDA:
		measure(c->u.s_unary_num.sub, size);
		return;
	case DEMANGLE_COMPONENT_GLOBAL_CONSTRUCTORS:
	case DEMANGLE_COMPONENT_GLOBAL_DESTRUCTORS:
		measure(c->u.s_binary.left, size);
		return;
	case DEMANGLE_COMPONENT_TEMPLATE:
		size->templates++;
		break;
	case DEMANGLE_COMPONENT_REFERENCE:
	case DEMANGLE_COMPONENT_RVALUE_REFERENCE:
		size->scopes++;
		break;
	default:
		break;
	}
	measure(c->u.s_binary.left, size);
	measure(c->u.s_binary.right, size);
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$' || (c & 0x80) != 0;
}

/*
 * Length of the operator that stands at @p, "operator" included, when it is one written in signs;
 * else 0.
 */
static size_t operator_length(const char *start, const char *p)
{
	static const char *const signs[] = {
		"<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">",
	};
	size_t n;

	if (strncmp(p, "operator", 8) != 0 || (p > start && is_name_char(p[-1])))
		return 0;
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strncmp(p + 8, signs[i], strlen(signs[i])) == 0)
			return 8 + strlen(signs[i]);
	n = strspn(p + 8, "+-*/%^&|~!=,");
	return n != 0 ? 8 + n : 0;
}

/*
 * Behind the bracket that closes the one at @p; signs inside parentheses and braces are not ours.
 */
static const char *skip_arguments(const char *start, const char *p)
{
	int angles = 0, others = 0;
	size_t n;

	for (; *p != '\0'; p++) {
		n = operator_length(start, p);
		if (n != 0)
			p += n - 1;
		else if (*p == '(' || *p == '{' || *p == '[')
			others++;
		else if (*p == ')' || *p == '}' || *p == ']')
			others--;
		else if (*p == '<' && others == 0)
			angles++;
		else if (*p == '>' && others == 0 && --angles == 0)
			return p + 1;
	}
	return p;
}

/*
 * Takes the template arguments out of @text, in place. They follow a name or an operator at once
 * (or one space after operator< and operator<<); a sign in an expression follows a parenthesis, so
 * it is told apart.
 */
static size_t strip_templates(char *text)
{
	const char *p = text;
	char *out = text, before;
	size_t n;

	while (*p != '\0') {
		n = operator_length(text, p);
		if (n != 0) {
			memmove(out, p, n);
			out += n;
			p += n;
			if (p[0] == ' ' && p[1] == '<')
				p++;
			if (*p == '<')
				p = skip_arguments(text, p);
			continue;
		}
		before = p > text ? p[-1] : '\0';
		if (*p == '<' && (is_name_char(before) || before == ']' || before == '"')) {
			p = skip_arguments(text, p);
			continue;
		}
		*out++ = *p++;
	}
	*out = '\0';
	return (size_t)(out - text);
}

static bool print_rust(const char *mangled, struct printer *p)
{
	if (setjmp(p->full) != 0)
		return false;
	return rust_demangle_callback(mangled, DMGL_NO_OPTS, take_text, p) != 0;
}

static bool print_cxx(struct demangle_component *tree, struct printer *p)
{
	if (setjmp(p->full) != 0)
		return false;
	return cplus_demangle_print_callback(DMGL_NO_OPTS, tree, take_text, p) != 0;
}

size_t demangle(const char *mangled, char *out, size_t out_size)
{
	struct printer p = {.out = out, .size = out_size};
	struct demangle_component *tree;
	struct tree_size size = {0};
	void *memory = NULL;
	bool is_printed;

	if (mangled[0] != '_' || out_size == 0 || strnlen(mangled, MANGLED_MAX) == MANGLED_MAX)
		return 0;
	if (strncmp(mangled, "_Z", 2) != 0 && strncmp(mangled, "_R", 2) != 0 &&
	    strncmp(mangled, "_GLOBAL_", 8) != 0)
		return 0;

	if (print_rust(mangled, &p) && p.used > 0) {
		out[p.used] = '\0';
		return p.used;
	}
	p.used = 0;
	tree = cplus_demangle_v3_components(mangled, DMGL_NO_OPTS, &memory);
	if (tree == NULL)
		return 0;
	measure(tree, &size);
	is_printed = size.visits <= VISITS_MAX &&
		     (uint64_t)(size.templates + 1) * (uint64_t)(size.scopes + 1) <= SCOPES_MAX &&
		     print_cxx(tree, &p);
	free(memory);
	if (!is_printed)
		return 0;
	out[p.used] = '\0';
	return strip_templates(out);
}
