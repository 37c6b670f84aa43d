/*
 * What a page shows, in few bytes: JSON with the names, a NUL, then numbers of seven bits a byte, the lowest first:
 *
 *     nodes     each but the root: how much less its parent's number is, frame * 2 + inlined, line
 *     samples   how much more the node's number is than the last one's, labels, then for each column the value, zigzag
 *
 * flame/page/data.js reads it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flame/flame.h"

#define NUMBER_BYTES 10

/* Texts, each once, by their address: those of a profile are equal when their addresses are. */
struct texts {
	const char **at;
	uint32_t n, room, *slots;
};

static int grow_texts(struct texts *t);

static int text_number(struct texts *t, const char *text, uint32_t *ret)
{
	uint32_t slot;

	if (t->n * 2 >= t->room && grow_texts(t) < 0)
		return -ENOMEM;
	slot = (uint32_t)(((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->room - 1);
	while (t->slots[slot] != 0 && t->at[t->slots[slot] - 1] != text)
		slot = (slot + 1) & (t->room - 1);
	if (t->slots[slot] == 0) {
		t->at[t->n] = text;
		t->slots[slot] = ++t->n;
	}
	*ret = t->slots[slot] - 1;
	return 0;
}

static int grow_texts(struct texts *t)
{
	struct texts bigger = {.room = t->room == 0 ? 256 : t->room * 2};
	uint32_t number;

	bigger.at = calloc(bigger.room, sizeof(*bigger.at));
	bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
	if (bigger.at == NULL || bigger.slots == NULL) {
		free(bigger.at);
		free(bigger.slots);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->n; i++)
		text_number(&bigger, t->at[i], &number);
	free(t->at);
	free(t->slots);
	*t = bigger;
	return 0;
}

static void put_string(struct out *out, const char *text)
{
	out_json(out, text, strlen(text));
}

/* The lines on top of any report, but for the type, which the page has a choice of. */
static int put_facts(const struct flame *f, struct out *out)
{
	char *text = NULL, *line, *next;
	size_t size, n = 0;
	FILE *to = open_memstream(&text, &size);

	if (to == NULL)
		return -ENOMEM;
	report_print_header(f->report, to);
	report_print_filters(f->report, to);
	report_print_idle(f->report, to);
	if (fclose(to) != 0) {
		free(text);
		return -ENOMEM;
	}
	out_text(out, ",\n\"facts\":[");
	for (line = text; *line != '\0'; line = next) {
		next = strchrnul(line, '\n');
		if (strncmp(line, "Type: ", 6) != 0) {
			if (n++ > 0)
				out_char(out, ',');
			out_json(out, line, (size_t)(next - line));
		}
		next += *next != '\0';
	}
	out_char(out, ']');
	free(text);
	return 0;
}

static void put_columns(const struct flame *f, struct out *out)
{
	const struct report *r = f->report;

	out_text(out, ",\n\"columns\":[");
	for (uint32_t i = 0; i < r->profile.sample_types_n; i++) {
		const struct profile_value_type *type = &r->profile.sample_types[i];
		const char *wanted = r->options->unit;
		struct unit_value one = unit_scale(1000000000, type->unit, wanted);
		bool is_fixed = strcmp(wanted, "minimum") != 0 && strcmp(wanted, "auto") != 0;

		out_text(out, i > 0 ? ",[" : "[");
		put_string(out, type->type);
		out_char(out, ',');
		put_string(out, type->unit);
		/* in the unit that was asked for, one is so much */
		if (is_fixed) {
			out_format(out, ",%.17g,", one.value / 1e9);
			put_string(out, one.unit);
		}
		out_char(out, ']');
	}
	out_format(out, "],\"column\":%" PRIu32 ",\"ratio\":%.17g", r->column, r->ratio);
}

/* "key" and "value" of a label, as they are read. */
static void put_label(struct out *out, const struct profile_label *label)
{
	struct unit_label number;
	char text[400];

	out_char(out, '[');
	put_string(out, label->key);
	out_char(out, ',');
	if (label->str != NULL) {
		put_string(out, label->str);
	} else {
		number = unit_label(label->num, label->num_unit, "auto");
		snprintf(text, sizeof(text), "%s%s", number.number, number.unit);
		put_string(out, text);
	}
	out_char(out, ']');
}

static void put_labels(const struct flame *f, struct out *out)
{
	out_text(out, ",\n\"labels\":[");
	for (uint32_t i = 0; i < f->labels_n; i++) {
		out_text(out, i > 0 ? ",\n[" : "[");
		for (uint32_t j = 0; j < f->labels[i].n; j++) {
			if (j > 0)
				out_char(out, ',');
			put_label(out, &f->labels[i].at[j]);
		}
		out_char(out, ']');
	}
	out_char(out, ']');
}

static int put_frames(const struct flame *f, struct out *out)
{
	struct texts texts = {0};
	uint32_t name, file, module;
	int r = 0;

	out_text(out, ",\n\"frames\":[");
	for (uint32_t i = 0; i < f->frames_n && r == 0; i++) {
		const struct flame_frame *frame = &f->frames[i];

		r = text_number(&texts, frame->name, &name);
		if (r == 0)
			r = text_number(&texts, frame->file[0] != '\0' ? frame->file : "", &file);
		if (r == 0)
			r = text_number(&texts, frame->module[0] != '\0' ? frame->module : "",
					&module);
		out_format(out, "%s%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRId64, i > 0 ? "," : "",
			   name, file, module,
			   frame->start_line > 0 && frame->start_line < INT32_MAX
				   ? frame->start_line
				   : 0);
	}
	out_text(out, "],\n\"texts\":[");
	for (uint32_t i = 0; i < texts.n && r == 0; i++) {
		out_text(out, i > 0 ? ",\n" : "");
		put_string(out, texts.at[i]);
	}
	out_char(out, ']');
	free(texts.at);
	free(texts.slots);
	return r;
}

static void put_number(struct out *out, uint64_t number)
{
	char bytes[NUMBER_BYTES];
	unsigned n = 0;

	for (; number >= 0x80; number >>= 7)
		bytes[n++] = (char)(number | 0x80);
	bytes[n++] = (char)number;
	out_bytes(out, bytes, n);
}

static void put_numbers(const struct flame *f, struct out *out)
{
	uint32_t columns = f->report->profile.sample_types_n, last = 0;

	for (uint32_t i = 1; i < f->nodes_n; i++) {
		const struct flame_node *node = &f->nodes[i];

		put_number(out, i - node->parent);
		put_number(out, (uint64_t)node->frame << 1 | node->is_inlined);
		put_number(out,
			   node->line > 0 && node->line < INT32_MAX ? (uint64_t)node->line : 0);
	}
	for (uint32_t i = 0; i < f->samples_n; i++) {
		const struct flame_sample *s = &f->samples[i];

		put_number(out, s->node - last);
		last = s->node;
		put_number(out, s->labels);
		for (uint32_t c = 0; c < columns; c++)
			put_number(out,
				   (uint64_t)s->values[c] << 1 ^ (uint64_t)(s->values[c] >> 63));
	}
}

int flame_put_data(const struct flame *f, const struct flame_ask *ask,
		   int (*put)(void *context, const void *bytes, size_t size), void *context,
		   struct why *why)
{
	struct out *out = malloc(sizeof(*out));
	int r = -ENOMEM;

	if (out != NULL) {
		out_init_sink(out, put, context);
		out_text(out, "{\"form\":1,\"title\":");
		put_string(out, ask->title);
		if (ask->base_title != NULL) {
			out_text(out, ",\"base\":");
			put_string(out, ask->base_title);
		}
		out_format(out,
			   ",\"inverted\":%s,\"up\":%s,\"diff\":%s,\"nodes\":%" PRIu32
			   ",\"samples\":%" PRIu32,
			   ask->is_inverted ? "true" : "false", ask->grows_up ? "true" : "false",
			   f->is_diff ? "true" : "false", f->nodes_n, f->samples_n);
		put_columns(f, out);
		r = put_facts(f, out);
		put_labels(f, out);
		if (r == 0)
			r = put_frames(f, out);
		out_bytes(out, "}", 2); /* its NUL ends the names */
		put_numbers(f, out);
		if (r == 0)
			r = out_flush(out);
	}
	free(out);
	if (r < 0)
		why_set(why, "%s", strerror(-r));
	return r;
}
