#include "viewer/print.h"

#include <string.h>

static const char *key_of(const struct print *p, const struct event_argument *argument)
{
	return !p->is_raw && strcmp(argument->name, "object") == 0 ? "obj" : argument->name;
}

/* Is 0 of this kind "none" or "not known"? */
static bool is_id(uint8_t kind)
{
	return kind == ARGUMENT_STACK || kind == ARGUMENT_OBJECT || kind == ARGUMENT_THREAD ||
	       kind == ARGUMENT_FD || kind == ARGUMENT_TASK || kind == ARGUMENT_MODE;
}

/* Fills p->name with what @value is called. Returns 0, or -1 for what is but a number. */
static int call(struct print *p, const struct merged *m, unsigned i, uint8_t kind, uint64_t value)
{
	const struct table_text *text;
	const char *word = name_value(m->event->type, i, value);

	name_clear(&p->name);
	if (word != NULL) {
		name_add(&p->name, word, strlen(word));
		return 0;
	}
	switch (kind) {
	case ARGUMENT_STRING:
		text = tables_string(p->tables, value);
		if (text != NULL)
			name_add(&p->name, text->text, text->length);
		else
			name_format(&p->name, "string#%llu", (unsigned long long)value);
		return 0;
	case ARGUMENT_STACK:
		name_stack_top(&p->name, p->tables, value);
		return 0;
	case ARGUMENT_OBJECT:
		name_object(&p->name, p->tables, value);
		return 0;
	case ARGUMENT_THREAD:
		name_thread(&p->name, p->tables, (uint32_t)value);
		return 0;
	case ARGUMENT_FD:
		name_file(&p->name, p->tables, value);
		return 0;
	case ARGUMENT_ADDRESS:
		if (m->event->type == TRACE_THREAD_CREATE_EVENT && i == 1)
			name_function(&p->name, p->tables, value);
		else
			name_format(&p->name, "%#llx", (unsigned long long)value);
		return 0;
	case ARGUMENT_ERROR:
		word = name_error(value);
		if (word != NULL)
			name_format(&p->name, "%s", word);
		return word != NULL ? 0 : -1;
	case ARGUMENT_RESULT:
		word = (value & 1) ? name_error((value >> 1) + 1)
				   : NULL; /* zigzag of a small negative */
		if (word != NULL)
			name_format(&p->name, "-%s", word);
		return word != NULL ? 0 : -1;
	default:
		return -1;
	}
}

static void number(struct print *p, uint8_t kind, uint64_t value)
{
	if (kind == ARGUMENT_SIGNED || kind == ARGUMENT_RESULT)
		out_s64(p->out, (int64_t)(value >> 1) ^ -(int64_t)(value & 1));
	else
		out_u64(p->out, value);
}

static bool is_duration(uint8_t kind)
{
	return kind == ARGUMENT_TICKS || kind == ARGUMENT_NS;
}

static uint64_t to_ns(const struct merged *m, uint8_t kind, uint64_t value)
{
	return kind == ARGUMENT_TICKS ? ticks_to_ns(&m->ticks, value) : value;
}

/* The value of an argument in a line of text, or in a field of CSV, where durations are whole ns. */
static void text_value(struct print *p, const struct merged *m, unsigned i, uint8_t kind,
		       uint64_t value)
{
	if (p->is_raw) {
		number(p, kind, value);
	} else if (is_duration(kind)) {
		if (p->format == PRINT_CSV)
			out_u64(p->out, to_ns(m, kind, value));
		else
			out_duration(p->out, to_ns(m, kind, value));
	} else if (is_id(kind) && value == 0) {
		out_char(p->out, '-');
	} else if (call(p, m, i, kind, value) == 0) {
		/* an empty text is one, and not nothing */
		if (p->name.n > 0)
			name_out(&p->name, p->out, NAMES_WORD);
	} else {
		number(p, kind, value);
	}
}

static void json_value(struct print *p, const struct merged *m, unsigned i, uint8_t kind,
		       uint64_t value)
{
	if (is_duration(kind) && !p->is_raw)
		out_u64(p->out, to_ns(m, kind, value));
	else if (is_id(kind) && value == 0 && !p->is_raw)
		out_text(p->out, "null");
	else if (!p->is_raw && call(p, m, i, kind, value) == 0)
		name_out(&p->name, p->out, NAMES_JSON);
	else
		number(p, kind, value);
}

/* Arguments that have a place of their own: the stack behind all others, a switched thread in its column. */
static bool has_own_place(const struct print *p, const struct merged *m,
			  const struct event_type *type, unsigned i)
{
	if (p->is_raw)
		return false;
	return (int)i == type->stack || ((int)i == type->thread && reader_is_switches(m->block));
}

/* "key=value key=value", with @before in front of the first. */
static void arguments(struct print *p, const struct merged *m, const struct event_type *type,
		      const char *before)
{
	for (unsigned i = 0; i < m->event->n; i++) {
		const struct event_argument *argument = &type->arguments[i];

		if (has_own_place(p, m, type, i))
			continue;
		out_text(p->out, before);
		before = " ";
		out_text(p->out, key_of(p, argument));
		if (p->format == PRINT_CSV && is_duration(argument->kind) && !p->is_raw)
			out_text(p->out, "_ns");
		out_char(p->out, '=');
		text_value(p, m, i, argument->kind, m->event->arguments[i]);
	}
}

static uint64_t stack_of(const struct merged *m, const struct event_type *type)
{
	return type->stack >= 0 ? m->event->arguments[type->stack] : 0;
}

static uint64_t time_of(const struct print *p, const struct merged *m)
{
	if (p->is_raw)
		return m->event->ns;
	return m->event->ns > p->begun_ns ? m->event->ns - p->begun_ns : 0;
}

static uint32_t tid_of(const struct print *p, uint32_t index)
{
	const struct table_thread *thread = tables_thread(p->tables, index);

	return thread != NULL ? thread->tid : 0;
}

static void stack_lines(struct print *p, const struct merged *m, const struct event_type *type)
{
	const struct table_stack *stack = tables_stack(p->tables, stack_of(m, type));
	unsigned row = 0;

	for (uint32_t i = 0; stack != NULL && i < stack->depth; i++) {
		uint32_t lines = name_frame_lines(p->tables, stack->frames[i]);

		for (uint32_t line = 0; line < lines; line++) {
			name_clear(&p->name);
			name_frame(&p->name, p->tables, stack->frames[i], line);
			out_format(p->out, "    #%-3u ", row++);
			name_out(&p->name, p->out, NAMES_PLAIN);
			out_text(p->out, line + 1 < lines ? " (inline)\n" : "\n");
		}
	}
}

static void print_text(struct print *p, const struct merged *m, const struct event_type *type)
{
	struct out *o = p->out;

	if (p->is_raw)
		out_u64(o, time_of(p, m));
	else
		out_seconds(o, time_of(p, m));
	out_text(o, "  ");
	if (p->is_raw) {
		out_u64(o, m->thread);
	} else if (m->thread == 0) {
		out_char(o, '-');
	} else {
		name_clear(&p->name);
		name_thread(&p->name, p->tables, m->thread);
		name_out(&p->name, o, NAMES_WORD);
		out_char(o, '/');
		out_u64(o, tid_of(p, m->thread));
	}
	out_text(o, "  ");
	if (m->cpu == MERGE_NO_CPU)
		out_char(o, '-');
	else
		out_u64(o, m->cpu);
	out_text(o, "  ");
	out_colour(o, OUT_BOLD);
	out_text(o, type->name);
	out_colour(o, OUT_PLAIN);
	arguments(p, m, type, "  ");
	name_clear(&p->name);
	if (!p->is_raw)
		name_stack_top(&p->name, p->tables, stack_of(m, type));
	if (p->name.n > 0) {
		out_colour(o, OUT_DIM);
		out_text(o, "  ; ");
		name_out(&p->name, o, NAMES_PLAIN);
		out_colour(o, OUT_PLAIN);
	}
	out_char(o, '\n');
	if (p->with_stacks)
		stack_lines(p, m, type);
}

static void json_stack(struct print *p, const struct merged *m, const struct event_type *type)
{
	const struct table_stack *stack = tables_stack(p->tables, stack_of(m, type));
	bool is_first = true;

	out_text(p->out, ",\"stack\":[");
	for (uint32_t i = 0; stack != NULL && i < stack->depth; i++) {
		uint32_t lines = name_frame_lines(p->tables, stack->frames[i]);

		for (uint32_t line = 0; line < lines; line++) {
			if (!is_first)
				out_char(p->out, ',');
			is_first = false;
			name_clear(&p->name);
			name_frame(&p->name, p->tables, stack->frames[i], line);
			name_out(&p->name, p->out, NAMES_JSON);
		}
	}
	out_char(p->out, ']');
}

static void print_json(struct print *p, const struct merged *m, const struct event_type *type)
{
	struct out *o = p->out;
	bool is_first = true;

	out_text(o, p->n == 0 ? "\n{\"time_ns\":" : ",\n{\"time_ns\":");
	out_u64(o, time_of(p, m));
	if (p->is_raw) {
		out_text(o, ",\"thread\":");
		out_u64(o, m->thread);
	} else {
		out_text(o, ",\"thread\":");
		name_clear(&p->name);
		if (m->thread != 0) {
			name_thread(&p->name, p->tables, m->thread);
			name_out(&p->name, o, NAMES_JSON);
		} else {
			out_text(o, "null");
		}
		out_text(o, ",\"tid\":");
		out_u64(o, tid_of(p, m->thread));
	}
	out_text(o, ",\"cpu\":");
	if (m->cpu == MERGE_NO_CPU)
		out_text(o, "null");
	else
		out_u64(o, m->cpu);
	out_text(o, ",\"type\":\"");
	out_text(o, type->name);
	out_text(o, "\",\"args\":{");
	for (unsigned i = 0; i < m->event->n; i++) {
		const struct event_argument *argument = &type->arguments[i];

		if (has_own_place(p, m, type, i))
			continue;
		if (!is_first)
			out_char(o, ',');
		is_first = false;
		out_char(o, '"');
		out_text(o, key_of(p, argument));
		out_text(o, is_duration(argument->kind) && !p->is_raw ? "_ns\":" : "\":");
		json_value(p, m, i, argument->kind, m->event->arguments[i]);
	}
	out_char(o, '}');
	if (!p->is_raw && stack_of(m, type) != 0) {
		out_text(o, ",\"top\":");
		name_clear(&p->name);
		name_stack_top(&p->name, p->tables, stack_of(m, type));
		name_out(&p->name, o, NAMES_JSON);
	}
	if (p->with_stacks && stack_of(m, type) != 0)
		json_stack(p, m, type);
	out_char(o, '}');
}

/* Fields that may need quotes are made as text, in an out of their own, and quoted as a whole. */
static void print_csv(struct print *p, const struct merged *m, const struct event_type *type)
{
	static struct out field;
	struct out *o = p->out;

	out_u64(o, time_of(p, m));
	out_char(o, ',');
	name_clear(&p->name);
	if (p->is_raw)
		name_format(&p->name, "%u", m->thread);
	else if (m->thread != 0)
		name_thread(&p->name, p->tables, m->thread);
	out_csv(o, p->name.text, p->name.n);
	out_char(o, ',');
	out_u64(o, tid_of(p, m->thread));
	out_char(o, ',');
	if (m->cpu != MERGE_NO_CPU)
		out_u64(o, m->cpu);
	out_char(o, ',');
	out_text(o, type->name);
	out_char(o, ',');
	out_init(&field, -1, false);
	p->out = &field;
	arguments(p, m, type, "");
	out_csv(o, field.buffer, field.n);
	out_char(o, ',');
	out_init(&field, -1, false);
	if (p->with_stacks && !p->is_raw) {
		const struct table_stack *stack = tables_stack(p->tables, stack_of(m, type));

		for (uint32_t i = 0; stack != NULL && i < stack->depth; i++) {
			uint32_t lines = name_frame_lines(p->tables, stack->frames[i]);

			for (uint32_t line = 0; line < lines && field.n < OUT_BYTES / 2; line++) {
				name_clear(&p->name);
				name_frame(&p->name, p->tables, stack->frames[i], line);
				if (field.n > 0)
					out_char(&field, ';');
				name_out(&p->name, &field, NAMES_PLAIN);
			}
		}
	} else if (!p->is_raw) {
		name_clear(&p->name);
		name_stack_top(&p->name, p->tables, stack_of(m, type));
		name_out(&p->name, &field, NAMES_PLAIN);
	}
	p->out = o;
	out_csv(o, field.buffer, field.n);
	out_text(o, "\r\n");
}

void print_begin(struct print *p)
{
	p->n = 0;
	if (p->format == PRINT_JSON)
		out_char(p->out, '[');
	else if (p->format == PRINT_CSV)
		out_text(p->out, "time_ns,thread,tid,cpu,type,arguments,stack\r\n");
}

void print_event(struct print *p, const struct merged *m)
{
	const struct event_type *type = &p->tables->schema.types[m->event->type];

	if (p->format == PRINT_JSON)
		print_json(p, m, type);
	else if (p->format == PRINT_CSV)
		print_csv(p, m, type);
	else
		print_text(p, m, type);
	p->n++;
}

void print_end(struct print *p)
{
	if (p->format == PRINT_JSON)
		out_text(p->out, p->n > 0 ? "\n]\n" : "]\n");
}
