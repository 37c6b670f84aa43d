/*
 * interactive, inside: interactive.c has keys and what they do, interactive_view.c what is looked at and where the cursor is,
 * interactive_draw.c the screen.
 */
#pragma once

#include "viewer/interactive.h"
#include "viewer/screen.h"

#define COLUMNS_MIN 30 /* of a terminal on which there is something to see */
#define ROWS_MIN    8
#define UNDO_MAX    64
#define BOOKMARKS   9

struct view {
	uint64_t from_ns, to_ns;
};

struct interactive {
	struct interactive_ask ask;
	struct out *out;
	struct chart chart;
	struct pictures pictures;
	struct watch watch;
	struct why why;
	struct name *name;
	struct index_making *making; /* of pictures.index; NULL: it is there, or cannot be */
	double making_share;

	unsigned columns, lines; /* of the terminal */
	struct view view;
	struct view undo[UNDO_MAX];
	unsigned undo_n, undo_at; /* views before the present one are below undo_at */
	bool by_group, hides_idle;

	const struct timeline *now; /* what is drawn; NULL before the first */
	bool is_guess;              /* it is not yet what was asked for */
	uint32_t row, top;
	uint32_t column;
	uint32_t
		thread; /* whose row is to be the current one when there is a picture; TRACE_ALL: none */
	bool has_selected;
	struct interval selected; /* that , . [ ] and n have led to */

	uint64_t marks[BOOKMARKS];
	unsigned marks_n;
	char search[64];
	char message[1024]; /* printable */
	bool is_over;

	uint64_t work_ns, shown_ns,
		looked_ns; /* since when it works, when it said so, looked for keys */
	const char *work;
};

/* ---- interactive_view.c ---- */

struct timeline_ask view_ask(const struct interactive *in);
uint64_t view_whole_ns(const struct interactive *in);
uint64_t view_cursor_ns(const struct interactive *in);
const struct timeline_row *view_row(const struct interactive *in);
/* What is under the cursor. Returns false where that is nothing, or not known. */
bool view_interval(struct interactive *in, struct interval *ret);

/* Another view, which undo comes back from. */
void view_go(struct interactive *in, struct view v);
/* One from @from ns of the trace on, as much of @span as the trace has, and not narrower than a column for each ns. */
struct view view_fitted(const struct interactive *in, double from, double span);
void view_undo(struct interactive *in, bool is_redo);
void view_zoom(struct interactive *in, double factor);
void view_pan(struct interactive *in, double share);
void view_centre(struct interactive *in, uint64_t ns);

void view_put_cursor(struct interactive *in, uint64_t ns);
/* The cursor to a time; the view only when it is not in it. */
void view_visit(struct interactive *in, uint64_t ns);
void view_move_row(struct interactive *in, int64_t by);
void view_move_column(struct interactive *in, int64_t by);
/* The row of a thread becomes the current one. Returns false, and says so, when it has none. */
bool view_to_thread(struct interactive *in, uint32_t thread);
void view_select(struct interactive *in, const struct interval *i);
/* What the line at the bottom has until the next key. */
__attribute__((format(printf, 2, 3))) void view_say(struct interactive *in, const char *format,
						    ...);

/* ---- interactive_draw.c ---- */

void draw_all(struct interactive *in);
/* The line of keys, or what stands there @instead. */
void draw_keys(struct interactive *in, const char *instead);
/* @text behind @what, with a cursor, in the place of the keys. */
void draw_prompt(struct interactive *in, const char *what, const char *text, size_t n);
void draw_help(struct interactive *in);
/* Lines of rows: what the header, the ruler, bookmarks, two of details, a message and the keys leave. */
unsigned draw_rows_shown(const struct interactive *in);
