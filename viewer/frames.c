#include "viewer/frames.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/resolve.h"

#define LINES_MAX 64 /* inlined calls at one address; deeper ones lose their outermost */

struct frames {
	const struct tables *tables;
	struct map frame_of; /* by word */
	struct frame **list;
	uint32_t n, room;
	uint64_t stack[FRAMES_DEPTH_MAX];
};

int frames_create(struct frames **ret, const struct tables *t)
{
	struct frames *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->tables = t;
	*ret = f;
	return 0;
}

void frames_destroy(struct frames *f)
{
	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->n; i++) {
		free((void *)f->list[i]->lines);
		free(f->list[i]);
	}
	free(f->list);
	map_fini(&f->frame_of);
	free(f);
}

static const char *text_of(const struct tables *t, uint32_t id)
{
	const char *text = tables_text(t, id);

	return text != NULL ? text : "";
}

static int keep_lines(struct frame *frame, const struct frame_line *lines, uint32_t n)
{
	struct frame_line *kept;

	if (n == 0)
		return 0;
	kept = malloc(n * sizeof(*kept));
	if (kept == NULL)
		return -ENOMEM;
	memcpy(kept, lines, n * sizeof(*kept));
	frame->lines = kept;
	frame->n = n;
	return 0;
}

static int look_into_file(struct frames *f, struct frame *frame)
{
	struct resolver_symbol found = {0};
	struct frame_line lines[LINES_MAX];
	uint32_t n = 0;

	if (f->tables->resolver != NULL) {
		found = resolver_find(f->tables->resolver, frame->word);
		frame->has_lines = resolver_has_lines(f->tables->resolver, frame->word);
	}
	for (; n < found.n && n < LINES_MAX; n++)
		lines[n] = (struct frame_line){found.lines[n].function, found.lines[n].system_name,
					       found.lines[n].file, found.lines[n].line,
					       found.lines[n].start_line};
	return keep_lines(frame, lines, n);
}

static int look_up(struct frames *f, struct frame *frame)
{
	const struct tables *t = f->tables;
	const struct table_symbol *symbol = tables_symbol(t, frame->word);
	uint64_t address = TRACE_FRAME_ADDRESS(frame->word);
	struct frame_line lines[LINES_MAX];
	uint32_t n = 0;

	if (TRACE_FRAME_MODULE(frame->word) == TRACE_FRAME_NAMED) {
		const char *name = address != 0 ? text_of(t, (uint32_t)address) : "[truncated]";

		lines[0] = (struct frame_line){name, name, "", 0, 0};
		return keep_lines(frame, lines, name[0] != '\0');
	}
	if (TRACE_FRAME_MODULE(frame->word) != 0)
		frame->module = tables_module(t, TRACE_FRAME_MODULE(frame->word));
	for (; symbol != NULL && n < symbol->n && n < LINES_MAX; n++) {
		const char *name = text_of(t, symbol->lines[n].function);

		lines[n] = (struct frame_line){name, name, text_of(t, symbol->lines[n].file),
					       symbol->lines[n].line, 0};
	}
	frame->has_lines = true;
	if (n > 0 || frame->module == NULL)
		return keep_lines(frame, lines, n);
	return look_into_file(f, frame);
}

const struct frame *frames_get(struct frames *f, uint64_t word)
{
	uint32_t at = map_get(&f->frame_of, word);
	struct frame **list, *frame;

	if (at != MAP_NONE)
		return f->list[at];
	if (f->n == f->room) {
		list = realloc(f->list, (f->room * 2 + 64) * sizeof(struct frame *));
		if (list == NULL)
			return NULL;
		f->list = list;
		f->room = f->room * 2 + 64;
	}
	frame = calloc(1, sizeof(*frame));
	if (frame == NULL)
		return NULL;
	frame->word = word;
	frame->number = f->n + 1;
	if (look_up(f, frame) < 0 || map_set(&f->frame_of, word, f->n) < 0) {
		free((void *)frame->lines);
		free(frame);
		return NULL;
	}
	f->list[f->n++] = frame;
	return frame;
}

const struct frame *frames_nth(const struct frames *f, uint32_t number)
{
	return f->list[number - 1];
}

static bool is_ours(const struct tables *t, uint64_t word)
{
	uint32_t number = TRACE_FRAME_MODULE(word);
	const struct table_module *module =
		number != 0 && number != TRACE_FRAME_NAMED ? tables_module(t, number) : NULL;

	return module != NULL && (module->flags & TRACE_MODULE_IS_OURS) != 0;
}

uint32_t frames_stack(struct frames *f, uint32_t id, const uint64_t **ret)
{
	const struct table_stack *stack = id != 0 ? tables_stack(f->tables, id) : NULL;
	uint32_t depth = stack == NULL                     ? 0
			 : stack->depth < FRAMES_DEPTH_MAX ? stack->depth
							   : FRAMES_DEPTH_MAX,
		 n = 0;

	*ret = f->stack;
	for (uint32_t i = 0; i < depth; i++)
		if (!is_ours(f->tables, stack->frames[i]))
			f->stack[n++] = stack->frames[i];
	if (n == 0 && depth > 0) {
		memcpy(f->stack, stack->frames, depth * sizeof(*f->stack));
		n = depth;
	}
	return n;
}

void frames_function(struct name *name, const struct tables *t, const struct frame *frame,
		     uint32_t line)
{
	if (line < frame->n && frame->lines[line].function[0] != '\0')
		name_add(name, frame->lines[line].function, strlen(frame->lines[line].function));
	else
		name_frame(name, t, frame->word, 0);
}

void frames_top(struct name *name, const struct tables *t, const struct frame *frame)
{
	const char *file = frame->n > 0 ? frame->lines[0].file : "", *slash = strrchr(file, '/');

	frames_function(name, t, frame, 0);
	if (frame->n == 0 || frame->lines[0].function[0] == '\0' || file[0] == '\0')
		return;
	name_format(name, " %s", slash != NULL ? slash + 1 : file);
	if (frame->lines[0].line != 0)
		name_format(name, ":%" PRId64, frame->lines[0].line);
}
