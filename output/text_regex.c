#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/hex.h"
#include "output/text_regex.h"

#define RUNE_MAX   0x10ffff
#define RUNE_BAD   0xfffd
#define REPEAT_MAX 1000
#define NEST_MAX   200 /* of parentheses: the parser recurses */

enum op {
	OP_MATCH,
	OP_RUNE,  /* a: the character; fold: either case */
	OP_CLASS, /* a: first range, b: how many; fold, is_negated */
	OP_SPLIT, /* to a and b */
	OP_JUMP,  /* to a */
	OP_TEXT_BEGIN,
	OP_TEXT_END,
	OP_LINE_BEGIN,
	OP_LINE_END,
	OP_WORD_EDGE,
	OP_NO_WORD_EDGE,
};

struct instruction {
	uint8_t op;
	bool fold, is_negated;
	uint32_t a, b;
};

struct range {
	uint32_t low, high;
};

struct regex {
	struct instruction *code;
	uint32_t code_n, code_max;
	struct range *ranges;
	uint32_t ranges_n, ranges_max;

	/* the instructions alive before and after a character; in[] finds a member of list[] */
	struct state_set {
		uint32_t n;
		uint32_t *list, *in;
	} now, next;
	uint32_t *stack;
};

/* Next character of @text, U+FFFD for what is none. */
static uint32_t decode(const char **text)
{
	const unsigned char *s = (const unsigned char *)*text;
	uint32_t rune = s[0], low;
	int i, n;

	if (rune < 0x80) {
		(*text)++;
		return rune;
	}
	if (rune >= 0xc2 && rune <= 0xdf) {
		n = 1, rune &= 0x1f, low = 0x80;
	} else if ((rune & 0xf0) == 0xe0) {
		n = 2, rune &= 0x0f, low = 0x800;
	} else if (rune >= 0xf0 && rune <= 0xf4) {
		n = 3, rune &= 0x07, low = 0x10000;
	} else {
		(*text)++;
		return RUNE_BAD;
	}
	for (i = 1; i <= n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			(*text)++;
			return RUNE_BAD;
		}
		rune = rune << 6 | (s[i] & 0x3f);
	}
	if (rune < low || rune > RUNE_MAX || (rune >= 0xd800 && rune <= 0xdfff)) {
		(*text)++;
		return RUNE_BAD;
	}
	*text += n + 1;
	return rune;
}

static uint32_t other_case(uint32_t rune)
{
	if ((rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z'))
		return rune ^ 0x20;
	return rune;
}

static bool is_word(uint32_t rune)
{
	return rune < 0x80 && (isalnum((int)rune) || rune == '_');
}

/*
 * The parser
 *
 * It writes instructions as it reads. A piece of expression is a run of instructions [start,
 * code_n) that is entered at its start and left at its end; jumps inside are absolute, so copying a
 * piece for {n,m} shifts them.
 */

struct parser {
	struct regex *re;
	const char *start, *at;
	struct why *why;
	int error;
	int depth;
	bool fold, dot_all, multi_line;
	bool is_quoting; /* inside \Q…\E */
};

__attribute__((format(printf, 2, 3))) static void refuse(struct parser *p, const char *format, ...)
{
	char text[128];
	va_list args;

	if (p->error < 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	p->error = -EINVAL;
	why_set(p->why, "at character %td of '%.80s': %s", p->at - p->start + 1, p->start, text);
}

static void out_of_memory(struct parser *p)
{
	if (p->error == 0) {
		p->error = -ENOMEM;
		why_set(p->why, "out of memory");
	}
}

/* Makes room for @n instructions at @where, shifting what follows. */
static struct instruction *insert(struct parser *p, uint32_t where, uint32_t n)
{
	struct regex *re = p->re;
	struct instruction *bigger;
	uint32_t i;

	if (p->error < 0)
		return NULL;
	if (re->code_n + n > REGEX_SIZE_MAX) {
		refuse(p, "the expression is too large; repeat counts multiply");
		return NULL;
	}
	if (re->code_n + n > re->code_max) {
		bigger = realloc(re->code, (re->code_n + n) * 2 * sizeof(*bigger));
		if (bigger == NULL) {
			out_of_memory(p);
			return NULL;
		}
		re->code = bigger;
		re->code_max = (re->code_n + n) * 2;
	}
	memmove(re->code + where + n, re->code + where, (re->code_n - where) * sizeof(*re->code));
	re->code_n += n;
	for (i = where + n; i < re->code_n; i++) { /* only what moved has jumps to what moved */
		struct instruction *code = &re->code[i];

		if (code->op == OP_SPLIT || code->op == OP_JUMP)
			code->a += n;
		if (code->op == OP_SPLIT)
			code->b += n;
	}
	memset(re->code + where, 0, n * sizeof(*re->code));
	return re->code + where;
}

static void emit(struct parser *p, enum op op, uint32_t a, uint32_t b)
{
	struct instruction *code = insert(p, p->re->code_n, 1);

	if (code != NULL)
		*code = (struct instruction){.op = (uint8_t)op, .a = a, .b = b};
}

static void emit_rune(struct parser *p, uint32_t rune)
{
	emit(p, OP_RUNE, rune, 0);
	if (p->error == 0)
		p->re->code[p->re->code_n - 1].fold = p->fold && other_case(rune) != rune;
}

static void add_range(struct parser *p, uint32_t low, uint32_t high)
{
	struct regex *re = p->re;
	struct range *bigger;

	if (p->error < 0)
		return;
	if (re->ranges_n == re->ranges_max) {
		if (re->ranges_n >= 8 * REGEX_SIZE_MAX) {
			refuse(p, "the expression has too many character ranges");
			return;
		}
		bigger = realloc(re->ranges, (re->ranges_max * 2 + 16) * sizeof(*bigger));
		if (bigger == NULL) {
			out_of_memory(p);
			return;
		}
		re->ranges = bigger;
		re->ranges_max = re->ranges_max * 2 + 16;
	}
	re->ranges[re->ranges_n++] = (struct range){low, high};
}

/* Adds the characters of @set, pairs of bounds in order, or those outside it. */
static void add_set(struct parser *p, const char *set, bool is_negated)
{
	uint32_t from = 0;

	for (; set[0] != '\0'; set += 2) {
		if (!is_negated)
			add_range(p, (unsigned char)set[0], (unsigned char)set[1]);
		else if ((unsigned char)set[0] > from)
			add_range(p, from, (unsigned char)set[0] - 1u);
		from = (unsigned char)set[1] + 1u;
	}
	if (is_negated)
		add_range(p, from, RUNE_MAX);
}

static const char *perl_set(char letter)
{
	switch (tolower((unsigned char)letter)) {
	case 'd':
		return "09";
	case 's':
		return "\t\n\f\r  ";
	case 'w':
		return "09AZ__az";
	}
	return NULL;
}

static const struct {
	const char *name, *set;
} named_sets[] = {
	{"alnum", "09AZaz"},
	{"alpha", "AZaz"},
	{"ascii", "\001\177"},
	{"blank", "\t\t  "},
	{"cntrl", "\001\037\177\177"},
	{"digit", "09"},
	{"graph", "!~"},
	{"lower", "az"},
	{"print", " ~"},
	{"punct", "!/:@[`{~"},
	{"space", "\t\r  "},
	{"upper", "AZ"},
	{"word", "09AZ__az"},
	{"xdigit", "09AFaf"},
};

static void emit_class(struct parser *p, uint32_t first, bool is_negated)
{
	emit(p, OP_CLASS, first, p->re->ranges_n - first);
	if (p->error == 0) {
		p->re->code[p->re->code_n - 1].is_negated = is_negated;
		p->re->code[p->re->code_n - 1].fold = p->fold;
	}
}

/* The character that the escape at p->at, behind its backslash, stands for. */
static uint32_t parse_escape(struct parser *p)
{
	static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
	const char *found;
	uint32_t rune = 0;
	int i;

	char c = *p->at;

	if (c == '\0') {
		refuse(p, "a backslash at the end");
		return 0;
	}
	p->at++;
	found = strchr(from, c);
	if (found != NULL)
		return (unsigned char)to[found - from];
	if (c == '0') {
		for (i = 0; i < 2 && *p->at >= '0' && *p->at <= '7'; i++)
			rune = rune * 8 + (uint32_t)(*p->at++ - '0');
		return rune;
	}
	if (c == 'x' && *p->at == '{') {
		for (p->at++; hex_digit(*p->at) >= 0 && rune <= RUNE_MAX; p->at++)
			rune = rune * 16 + (uint32_t)hex_digit(*p->at);
		if (*p->at != '}' || rune > RUNE_MAX)
			refuse(p, "\\x{…} needs hexadecimal digits up to 10ffff");
		else
			p->at++;
		return rune;
	}
	if (c == 'x') {
		for (i = 0; i < 2 && hex_digit(*p->at) >= 0; i++)
			rune = rune * 16 + (uint32_t)hex_digit(*p->at++);
		if (i < 2)
			refuse(p, "\\x needs two hexadecimal digits");
		return rune;
	}
	if (isalnum((unsigned char)c)) {
		if (c == 'p' || c == 'P')
			refuse(p, "\\%c: Unicode classes are not supported here", c);
		else if (isdigit((unsigned char)c))
			refuse(p, "\\%c: back references are not supported", c);
		else
			refuse(p, "\\%c is no known escape", c);
		return 0;
	}
	p->at--;
	return decode(&p->at);
}

/* One [:name:] at p->at; true when there was one. */
static bool parse_named_set(struct parser *p)
{
	const char *end = strstr(p->at, ":]"), *name = p->at + 2;
	bool is_negated;
	size_t i;

	if (p->at[0] != '[' || p->at[1] != ':' || end == NULL || end < name)
		return false;
	is_negated = *name == '^';
	name += is_negated;
	for (i = 0; i < sizeof(named_sets) / sizeof(named_sets[0]); i++) {
		if (strlen(named_sets[i].name) != (size_t)(end - name) ||
		    memcmp(named_sets[i].name, name, (size_t)(end - name)) != 0)
			continue;
		add_set(p, named_sets[i].set, is_negated);
		p->at = end + 2;
		return true;
	}
	refuse(p, "'%.*s' is no known class of characters",
	       (int)(end + 2 - p->at > 20 ? 20 : end + 2 - p->at), p->at);
	return true;
}

static uint32_t parse_class_rune(struct parser *p)
{
	if (*p->at == '\\') {
		p->at++;
		return parse_escape(p);
	}
	if (*p->at == '\0') {
		refuse(p, "missing ]");
		return 0;
	}
	return decode(&p->at);
}

static void parse_class(struct parser *p)
{
	uint32_t first = p->re->ranges_n, low, high;
	bool is_negated = false, is_first = true;

	p->at++; /* [ */
	if (*p->at == '^') {
		is_negated = true;
		p->at++;
	}
	for (; p->error == 0 && (*p->at != ']' || is_first); is_first = false) {
		if (*p->at == '\0') {
			refuse(p, "missing ]");
			return;
		}
		if (parse_named_set(p))
			continue;
		if (*p->at == '\\' && p->at[1] != '\0' && perl_set(p->at[1]) != NULL) {
			add_set(p, perl_set(p->at[1]), isupper((unsigned char)p->at[1]));
			p->at += 2;
			continue;
		}
		low = high = parse_class_rune(p);
		if (p->at[0] == '-' && p->at[1] != ']' && p->at[1] != '\0') {
			p->at++;
			high = parse_class_rune(p);
			if (high < low)
				refuse(p, "the range's end is before its start");
		}
		add_range(p, low, high);
	}
	p->at++; /* ] */
	emit_class(p, first, is_negated);
}

static void parse_either(struct parser *p);

/* What follows "(?": flags, or a group without number. True when a group was opened. */
static bool parse_group_flags(struct parser *p)
{
	bool value = true;

	if (p->at[0] == 'P' && p->at[1] == '<') {
		const char *end = strchr(p->at, '>');

		if (end == NULL || end == p->at + 2)
			refuse(p, "a group's name needs (?P<name>");
		else
			p->at = end + 1;
		return true;
	}
	for (;; p->at++) {
		switch (*p->at) {
		case 'i':
			p->fold = value;
			break;
		case 's':
			p->dot_all = value;
			break;
		case 'm':
			p->multi_line = value;
			break;
		case 'U': /* greedy or not makes no difference to whether there is a match */
			break;
		case '-':
			value = false;
			break;
		case ':':
			p->at++;
			return true;
		case ')':
			p->at++;
			return false;
		default:
			refuse(p, "(?%c is not known; (?i), (?s), (?m) and (?:…) are",
			       *p->at == '\0' ? ' ' : *p->at);
			return false;
		}
	}
}

/* True when there is something that an operator may repeat. */
static bool parse_group(struct parser *p)
{
	bool fold = p->fold, dot_all = p->dot_all, multi_line = p->multi_line;

	p->at++; /* ( */
	if (*p->at == '?') {
		p->at++;
		if (!parse_group_flags(p))
			return false;
	}
	if (++p->depth > NEST_MAX) {
		refuse(p, "more than %d parentheses inside each other", NEST_MAX);
		return false;
	}
	parse_either(p);
	p->depth--;
	if (p->error == 0 && *p->at != ')')
		refuse(p, "missing )");
	p->at++;
	p->fold = fold;
	p->dot_all = dot_all;
	p->multi_line = multi_line;
	return true;
}

/* What follows a backslash outside [ ]. True as above. */
static bool parse_backslash(struct parser *p)
{
	uint32_t first = p->re->ranges_n;

	switch (p->at[1]) {
	case 'Q':
		p->is_quoting = true;
		p->at += 2;
		return false;
	case 'E': /* without \Q: nothing */
		p->at += 2;
		return false;
	case 'A':
		p->at += 2;
		emit(p, OP_TEXT_BEGIN, 0, 0);
		return true;
	case 'z':
		p->at += 2;
		emit(p, OP_TEXT_END, 0, 0);
		return true;
	case 'b':
		p->at += 2;
		emit(p, OP_WORD_EDGE, 0, 0);
		return true;
	case 'B':
		p->at += 2;
		emit(p, OP_NO_WORD_EDGE, 0, 0);
		return true;
	}
	if (p->at[1] != '\0' && perl_set(p->at[1]) != NULL) {
		add_set(p, perl_set(p->at[1]), isupper((unsigned char)p->at[1]));
		p->at += 2;
		emit_class(p, first, false);
		return true;
	}
	p->at++;
	emit_rune(p, parse_escape(p));
	return true;
}

/* One thing that * + ? {} may follow. True as above. */
static bool parse_one(struct parser *p)
{
	uint32_t first = p->re->ranges_n;

	if (p->is_quoting) {
		if (p->at[0] == '\\' && p->at[1] == 'E') {
			p->is_quoting = false;
			p->at += 2;
			return false;
		}
		emit_rune(p, decode(&p->at));
		return true;
	}
	switch (*p->at) {
	case '(':
		return parse_group(p);
	case '[':
		parse_class(p);
		return true;
	case '\\':
		return parse_backslash(p);
	case '.':
		p->at++;
		if (!p->dot_all) {
			add_range(p, '\n', '\n');
			emit_class(p, first, true);
		} else {
			emit_class(p, first, true); /* not one of none: any */
		}
		return true;
	case '^':
		p->at++;
		emit(p, p->multi_line ? OP_LINE_BEGIN : OP_TEXT_BEGIN, 0, 0);
		return true;
	case '$':
		p->at++;
		emit(p, p->multi_line ? OP_LINE_END : OP_TEXT_END, 0, 0);
		return true;
	case '*':
	case '+':
	case '?':
		refuse(p, "nothing before %c to repeat", *p->at);
		return false;
	default:
		emit_rune(p, decode(&p->at));
		return true;
	}
}

/* Appends a copy of [start, end). */
static void copy_piece(struct parser *p, uint32_t start, uint32_t end)
{
	uint32_t to = p->re->code_n, i;

	if (insert(p, to, end - start) == NULL)
		return;
	for (i = 0; i < end - start; i++) {
		struct instruction code = p->re->code[start + i];

		if (code.op == OP_SPLIT || code.op == OP_JUMP)
			code.a += to - start;
		if (code.op == OP_SPLIT)
			code.b += to - start;
		p->re->code[to + i] = code;
	}
}

/* [start, code_n) once or not at all. */
static void make_optional(struct parser *p, uint32_t start)
{
	struct instruction *split = insert(p, start, 1);

	if (split != NULL)
		*split = (struct instruction){.op = OP_SPLIT, .a = start + 1, .b = p->re->code_n};
}

/* … once or more often. */
static void make_loop(struct parser *p, uint32_t start)
{
	emit(p, OP_SPLIT, start, p->re->code_n + 1);
}

/* Reads {n}, {n,} or {n,m}; anything else in braces is literal. @ret_max is -1 for no limit. */
static bool parse_counts(struct parser *p, int *ret_min, int *ret_max)
{
	const char *at = p->at + 1;
	long min = 0, max;

	if (!isdigit((unsigned char)*at))
		return false;
	while (isdigit((unsigned char)*at) && min <= REPEAT_MAX)
		min = min * 10 + (*at++ - '0');
	max = min;
	if (*at == ',') {
		at++;
		max = -1;
		if (isdigit((unsigned char)*at))
			max = 0;
		while (isdigit((unsigned char)*at) && max <= REPEAT_MAX)
			max = max * 10 + (*at++ - '0');
	}
	if (min <= REPEAT_MAX && max <= REPEAT_MAX && *at != '}')
		return false;
	if (min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && max < min))
		refuse(p, "a repeat count goes from small to large, at most %d", REPEAT_MAX);
	p->at = at + 1;
	*ret_min = (int)min;
	*ret_max = (int)max;
	return true;
}

static void repeat(struct parser *p, uint32_t start, int min, int max)
{
	uint32_t end = p->re->code_n, last = start;
	int i;

	if (p->error < 0)
		return;
	if (max == 0) {
		p->re->code_n = start; /* matches nothing, always */
		return;
	}
	if (min == 0 && max != 1 && max >= 0) { /* x{0,m} is (x{1,m})? */
		repeat(p, start, 1, max);
		make_optional(p, start);
		return;
	}
	for (i = 1; i < min && p->error == 0; i++) {
		last = p->re->code_n;
		copy_piece(p, start, end);
	}
	if (max < 0) {
		if (min == 0) {
			make_loop(p, start);
			make_optional(p, start);
		} else {
			make_loop(p, last);
		}
		return;
	}
	if (min == 0) {
		make_optional(p, start);
		return;
	}
	for (i = min; i < max && p->error == 0;
	     i++) { /* xx(x)?(x)?: as good as nested for a match or none */
		last = p->re->code_n;
		copy_piece(p, start, end);
		make_optional(p, last);
	}
}

static void parse_sequence(struct parser *p)
{
	uint32_t start;
	bool is_repeatable;
	int min, max;

	while (p->error == 0 && *p->at != '\0' &&
	       (p->is_quoting || (*p->at != '|' && *p->at != ')'))) {
		start = p->re->code_n;
		is_repeatable = parse_one(p);
		if (p->error < 0 || p->is_quoting)
			continue;
		if (*p->at == '*')
			min = 0, max = -1, p->at++;
		else if (*p->at == '+')
			min = 1, max = -1, p->at++;
		else if (*p->at == '?')
			min = 0, max = 1, p->at++;
		else if (*p->at != '{' || !parse_counts(p, &min, &max))
			continue;
		if (!is_repeatable) {
			refuse(p, "nothing to repeat");
			continue;
		}
		if (*p->at == '?') /* lazy */
			p->at++;
		repeat(p, start, min, max);
		if (*p->at == '*' || *p->at == '+' || *p->at == '?')
			refuse(p, "two repeat operators in a row; use (?:…)");
	}
}

static void parse_either(struct parser *p)
{
	uint32_t start = p->re->code_n, jump;
	struct instruction *split;

	parse_sequence(p);
	while (p->error == 0 && *p->at == '|') { /* a|b|c is (a|b)|c */
		p->at++;
		split = insert(p, start, 1);
		jump = p->re->code_n;
		emit(p, OP_JUMP, 0, 0);
		if (split == NULL || p->error < 0)
			return;
		p->re->code[start] =
			(struct instruction){.op = OP_SPLIT, .a = start + 1, .b = p->re->code_n};
		parse_sequence(p);
		if (p->error == 0)
			p->re->code[jump].a = p->re->code_n;
	}
}

int regex_create(struct regex **ret, const char *pattern, struct why *why)
{
	struct regex *re = calloc(1, sizeof(*re));
	struct parser p = {.re = re, .start = pattern, .at = pattern, .why = why};
	uint32_t *states;

	if (re == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	parse_either(&p);
	if (p.error == 0 && *p.at == ')')
		refuse(&p, "a ) without its (");
	emit(&p, OP_MATCH, 0, 0);
	if (p.error == 0) {
		states = calloc((size_t)re->code_n * 7 + 2, sizeof(*states));
		if (states == NULL)
			out_of_memory(&p);
		re->now.list = states;
	}
	if (p.error < 0) {
		regex_destroy(re);
		return p.error;
	}
	re->now.in = re->now.list + re->code_n;
	re->next.list = re->now.in + re->code_n;
	re->next.in = re->next.list + re->code_n;
	re->stack = re->next.in + re->code_n; /* each instruction pushes two at most, once */
	*ret = re;
	return 0;
}

void regex_destroy(struct regex *re)
{
	uint32_t *states;

	if (re == NULL)
		return;
	states = re->now.list < re->next.list ? re->now.list
					      : re->next.list; /* matching swaps them */
	free(states != NULL ? states : re->now.list);
	free(re->code);
	free(re->ranges);
	free(re);
}

/*
 * Matching: the set of instructions that some way of reading the text so far has come to. Each is
 * in the set once, so a character costs at most as much as the expression is long.
 */

struct place {
	bool is_text_begin, is_text_end, is_line_begin, is_line_end, is_word_edge;
};

static bool has_state(const struct state_set *set, uint32_t state)
{
	return set->in[state] < set->n && set->list[set->in[state]] == state;
}

static bool holds(enum op op, const struct place *place)
{
	switch (op) {
	case OP_TEXT_BEGIN:
		return place->is_text_begin;
	case OP_TEXT_END:
		return place->is_text_end;
	case OP_LINE_BEGIN:
		return place->is_line_begin;
	case OP_LINE_END:
		return place->is_line_end;
	case OP_WORD_EDGE:
		return place->is_word_edge;
	default:
		return !place->is_word_edge;
	}
}

/* Adds @state and all that it leads to without a character. True when that is a match. */
static bool add_state(struct regex *re, struct state_set *set, uint32_t state,
		      const struct place *place)
{
	uint32_t stack_n = 0;

	re->stack[stack_n++] = state;
	while (stack_n > 0) {
		const struct instruction *code;

		state = re->stack[--stack_n];
		if (has_state(set, state))
			continue;
		set->in[state] = set->n;
		set->list[set->n++] = state;
		code = &re->code[state];
		switch ((enum op)code->op) {
		case OP_MATCH:
			return true;
		case OP_RUNE:
		case OP_CLASS:
			break;
		case OP_SPLIT:
			re->stack[stack_n++] = code->b;
			re->stack[stack_n++] = code->a;
			break;
		case OP_JUMP:
			re->stack[stack_n++] = code->a;
			break;
		case OP_TEXT_BEGIN:
		case OP_TEXT_END:
		case OP_LINE_BEGIN:
		case OP_LINE_END:
		case OP_WORD_EDGE:
		case OP_NO_WORD_EDGE:
			if (holds((enum op)code->op, place))
				re->stack[stack_n++] = state + 1;
			break;
		}
	}
	return false;
}

static bool is_in_ranges(const struct regex *re, const struct instruction *code, uint32_t rune)
{
	uint32_t i;

	for (i = code->a; i < code->a + code->b; i++)
		if (rune >= re->ranges[i].low && rune <= re->ranges[i].high)
			return true;
	return false;
}

static bool takes(const struct regex *re, const struct instruction *code, uint32_t rune)
{
	bool is_in;

	if (code->op == OP_RUNE)
		return rune == code->a || (code->fold && other_case(rune) == code->a);
	if (code->op != OP_CLASS)
		return false;
	is_in = is_in_ranges(re, code, rune) ||
		(code->fold && is_in_ranges(re, code, other_case(rune)));
	return is_in != code->is_negated;
}

static struct place place_between(uint32_t before, uint32_t after, bool is_begin, bool is_end)
{
	bool word_before = !is_begin && is_word(before), word_after = !is_end && is_word(after);

	return (struct place){
		.is_text_begin = is_begin,
		.is_text_end = is_end,
		.is_line_begin = is_begin || before == '\n',
		.is_line_end = is_end || after == '\n',
		.is_word_edge = word_before != word_after,
	};
}

bool regex_is_match(struct regex *re, const char *text)
{
	struct state_set swap;
	struct place place;
	uint32_t before = 0, rune, i;
	const char *at = text, *after;

	re->now.n = 0;
	for (;;) {
		/* what begins here; what came here was added with the last character */
		rune = 0;
		after = at;
		if (*at != '\0')
			rune = decode(&after);
		place = place_between(before, rune, at == text, *at == '\0');
		if (add_state(re, &re->now, 0, &place))
			return true;
		if (*at == '\0')
			return false;

		/* over the character; what lies behind decides about \b and $ there */
		before = rune;
		at = after;
		rune = 0;
		if (*at != '\0')
			rune = decode(&after);
		place = place_between(before, rune, false, *at == '\0');
		re->next.n = 0;
		for (i = 0; i < re->now.n; i++) {
			uint32_t state = re->now.list[i];

			if (takes(re, &re->code[state], before) &&
			    add_state(re, &re->next, state + 1, &place))
				return true;
		}
		swap = re->now;
		re->now = re->next;
		re->next = swap;
	}
}
