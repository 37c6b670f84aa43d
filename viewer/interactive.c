#include "viewer/interactive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "viewer/interactive_private.h"
#include "viewer/look.h"
#include "viewer/sentence.h"

#define SHOW_NS   UINT64_C(150000000) /* work that takes longer says so */
#define KEYS_NS   UINT64_C(10000000)  /* how often work looks for a key */
#define MAKING_MS 100                 /* how often it is looked whether there is an index */
#define SMALL     UINT64_C(300000)    /* events whose index is made at once: that is no time */
#define ZOOM      1.5
#define ZOOM_FAST 7.6 /* five times that */

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}
static void show_help(struct interactive *in)
{
	int key;

	do {
		screen_size(&in->columns, &in->lines);
		draw_help(in);
		key = screen_key(-1);
	} while (key == KEY_CHANGED || key == KEY_NONE);
	in->is_over = key == 'q' || key == KEY_CLOSED;
}

/* ---- work ---- */

static bool moves_only(int key)
{
	return key == 'j' || key == 'k' || key == KEY_UP || key == KEY_DOWN || key == KEY_PAGE_UP ||
	       key == KEY_PAGE_DOWN;
}

static void press(struct interactive *in, int key);

/* In the middle of reading: a key ends it, unless that only goes to another row. */
static bool step(void *context, uint64_t done, uint64_t total)
{
	struct interactive *in = context;
	uint64_t now = clock_ns();
	char text[80];

	if (now - in->looked_ns < KEYS_NS)
		return false;
	in->looked_ns = now;
	while (in->now != NULL && moves_only(screen_peek())) {
		press(in, screen_key(0));
		draw_all(in);
	}
	if (screen_peek() != KEY_NONE)
		return true;
	if (now - in->work_ns >= SHOW_NS && now - in->shown_ns >= SHOW_NS) {
		in->shown_ns = now;
		snprintf(text, sizeof(text), "%s: %.0f %%   a key ends it", in->work,
			 total > 0 ? (double)done * 100 / (double)total : 0);
		draw_keys(in, text);
		out_flush(in->out);
	}
	return in->out->error < 0;
}

static void begin_work(struct interactive *in, const char *what)
{
	in->work = what;
	in->work_ns = in->shown_ns = in->looked_ns = clock_ns();
}

static struct look look_of(struct interactive *in, const char *what)
{
	begin_work(in, what);
	return (struct look){.reader = in->ask.reader,
			     .streams = in->ask.streams,
			     .tables = in->ask.tables,
			     .threads = in->ask.threads,
			     .index = in->pictures.index,
			     .watch = &in->watch};
}

/* @r is what a look returned. Says what became of it, and returns whether there is something. */
static bool was_found(struct interactive *in, int r, const char *otherwise)
{
	if (r > 0)
		return true;
	view_say(in, "%s", r == 0 ? otherwise : r == -EINTR ? "given up" : in->why.text);
	return false;
}

/* Intervals are known once there is an index. */
static bool has_index(struct interactive *in)
{
	if (in->pictures.index == NULL)
		view_say(in, in->making != NULL ? "not known yet: the index is being made"
						: "not known: there is no index");
	return in->pictures.index != NULL;
}

static void step_interval(struct interactive *in, bool is_next)
{
	const struct timeline_row *row = view_row(in);
	struct interval i, other;
	struct look look;
	int r;

	if (row == NULL || row->members > 1) {
		view_say(in, "one thread has intervals; x shows the threads of a group");
		return;
	}
	if (!has_index(in))
		return;
	look = look_of(in, "looking");
	if (!view_interval(in, &i)) {
		/* nothing here: from the cursor's time on */
		i = (struct interval){.begin_ns = view_cursor_ns(in), .end_ns = view_cursor_ns(in)};
	}
	if (is_next)
		r = look_next(&look, row->thread, i.begin_ns, &other, &in->why);
	else
		r = look_before(&look, row->thread, i.begin_ns, &other, &in->why);
	if (was_found(in, r, is_next ? "there is none behind it" : "there is none before it"))
		view_select(in, &other);
}

static void follow(struct interactive *in, bool is_back)
{
	const struct timeline_row *row = view_row(in);
	struct name *name = in->name;
	struct look_around around;
	struct story_edge e;
	struct interval i;
	struct look look;
	int r;

	if (!has_index(in))
		return;
	if (row == NULL || row->members > 1 || !view_interval(in, &i)) {
		view_say(in, "there is no interval of one thread under the cursor");
		return;
	}
	look = look_of(in, "looking");
	r = look_around(&look, &i, is_back, !is_back, &around, &in->why);
	e = is_back ? around.cause : around.effect;
	if (!was_found(in,
		       r < 0     ? r
		       : is_back ? around.has_cause
				 : around.has_effect,
		       is_back ? "nobody is known to have ended it"
			       : "it woke nobody from here on"))
		return;
	if (!view_to_thread(in, is_back ? e.from : e.to))
		return;
	in->has_selected = false;
	view_visit(in, is_back ? e.from_ns : e.to_ns);
	name_clear(name);
	name_thread(name, in->ask.tables, e.from);
	name_format(name, " made ");
	name_thread(name, in->ask.tables, e.to);
	name_format(name, " go on: %s", story_edge_name(e.kind));
	if (e.object != 0) {
		name_format(name, " of ");
		if (e.kind == EDGE_PIPE)
			name_file(name, in->ask.tables, e.object);
		else
			sentence_object(name, in->ask.tables, e.object);
	}
	if (e.to_ns > e.from_ns) {
		name_format(name, ", ");
		sentence_duration(name, e.to_ns - e.from_ns);
		name_format(name, " later");
	}
	view_say(in, "%.*s", (int)name->n, name->text);
}

static void chain(struct interactive *in)
{
	const struct timeline_row *row = view_row(in);
	struct name *name = in->name;
	struct interval i;
	struct look look;
	uint64_t ns = view_cursor_ns(in), until = 0;

	if (row == NULL || row->members > 1) {
		view_say(in, "one thread waits; x shows the threads of a group");
		return;
	}
	if (view_interval(in, &i)) {
		if (ns < i.begin_ns || ns >= i.end_ns)
			ns = i.begin_ns + (i.end_ns - i.begin_ns) / 2;
		until = i.end_ns;
	}
	look = look_of(in, "looking");
	name_clear(name);
	if (was_found(in, look_chain(&look, row->thread, ns, until, name, &in->why), ""))
		view_say(in, "%.*s", (int)name->n, name->text);
}

/* A line of text at the bottom. Returns false when it was given up. */
static bool prompt(struct interactive *in, const char *what, char *text, size_t room)
{
	size_t n = 0;
	int key;

	text[0] = '\0';
	for (;;) {
		draw_prompt(in, what, text, n);
		key = screen_key(-1);
		if (key == KEY_ENTER)
			return n > 0;
		if (key == KEY_ESCAPE || key == KEY_CLOSED || (key == 127 && n == 0)) {
			in->is_over = key == KEY_CLOSED;
			return false;
		}
		if (key == KEY_CHANGED) {
			screen_size(&in->columns, &in->lines);
			draw_all(in);
		} else if (key == 127 || key == 8) {
			/* a whole character */
			while (n > 0 && ((unsigned char)text[--n] & 0xc0) == 0x80)
				;
		} else if (key >= ' ' && key < 256 && n + 1 < room) {
			text[n++] = (char)key;
		}
		text[n] = '\0';
	}
}

static void find(struct interactive *in, bool is_back)
{
	uint32_t rows = in->now != NULL ? in->now->rows_n : 0;
	struct interval i, here;
	struct look look;
	uint64_t ns = view_cursor_ns(in);

	if (in->search[0] == '\0') {
		view_say(in, "/ first says what to look for");
		return;
	}
	for (uint32_t k = 1; k <= rows; k++) {
		uint32_t row = (in->row + (is_back ? rows - k : k)) % rows;

		name_clear(in->name);
		timeline_name(in->now, &in->now->rows[row], in->name);
		if (!look_has(in->name->text, in->name->n, in->search))
			continue;
		if (row != in->row)
			in->has_selected = false;
		in->row = row;
		return;
	}
	if (!has_index(in))
		return;
	if (in->has_selected && view_interval(in, &here))
		ns = here.begin_ns;
	look = look_of(in, "searching");
	if (was_found(in, look_name(&look, in->search, ns, is_back, &i, &in->why),
		      is_back ? "no thread is called that, nor a lock or file that is waited for "
				"before this"
			      : "no thread is called that, nor a lock or file that is waited for "
				"from here on"))
		view_select(in, &i);
}

static void go_to(struct interactive *in)
{
	char text[64];
	uint64_t ns;

	if (!prompt(in, "go to: ", text, sizeof(text)))
		return;
	if (select_time(text, in->ask.reader, in->ask.begun_ns, view_cursor_ns(in), &ns, &in->why) <
	    0) {
		view_say(in, "%s", in->why.text);
		return;
	}
	in->has_selected = false;
	view_visit(in, ns);
}

static void bookmark(struct interactive *in)
{
	if (in->marks_n == BOOKMARKS) {
		view_say(in, "there are nine bookmarks already");
		return;
	}
	in->marks[in->marks_n++] = view_cursor_ns(in);
	view_say(in, "bookmark %u: ' %u comes back here", in->marks_n, in->marks_n);
}

static void go_to_bookmark(struct interactive *in)
{
	int key;

	draw_keys(in, "which bookmark? 1 to 9");
	out_flush(in->out);
	while ((key = screen_key(-1)) == KEY_NONE)
		;
	if (key < '1' || key > '9' || (unsigned)(key - '1') >= in->marks_n) {
		view_say(in, "there is no such bookmark; m makes them");
		return;
	}
	in->has_selected = false;
	view_visit(in, in->marks[key - '1']);
}

/* The middle; when it is there already, all of it. */
static void centre_or_fit(struct interactive *in)
{
	struct view before = in->view;
	struct interval i;
	double begin, length;

	if (!view_interval(in, &i)) {
		view_centre(in, view_cursor_ns(in));
		return;
	}
	view_centre(in, i.begin_ns + (i.end_ns - i.begin_ns) / 2);
	in->selected = i;
	in->has_selected = true;
	if (before.from_ns != in->view.from_ns || before.to_ns != in->view.to_ns)
		return;
	begin = (double)(i.begin_ns - in->ask.begin_ns);
	length = (double)(i.end_ns - i.begin_ns);
	view_go(in, view_fitted(in, begin - length * 0.1, length * 1.2));
	view_put_cursor(in, i.begin_ns + (i.end_ns - i.begin_ns) / 2);
}

static void toggle_groups(struct interactive *in)
{
	const struct timeline_row *row = view_row(in);

	in->thread = row != NULL ? row->thread : TRACE_ALL;
	in->by_group = !in->by_group;
	in->has_selected = false;
	view_say(in, in->by_group ? "threads whose names differ by a number are one row"
				  : "a row for each thread");
	in->row = in->top = 0;
}

static void clear(struct interactive *in)
{
	in->has_selected = false;
	in->search[0] = '\0';
}

/* Keys that take the view or the cursor elsewhere. */
static bool press_move(struct interactive *in, int key)
{
	switch (key) {
	case 'w':
		view_zoom(in, 1 / ZOOM);
		break;
	case 'W':
	case KEY_SHIFT_UP:
		view_zoom(in, 1 / ZOOM_FAST);
		break;
	case 's':
		view_zoom(in, ZOOM);
		break;
	case 'S':
	case KEY_SHIFT_DOWN:
		view_zoom(in, ZOOM_FAST);
		break;
	case 'a':
		view_pan(in, -0.1);
		break;
	case 'A':
		view_pan(in, -0.5);
		break;
	case 'd':
		view_pan(in, 0.1);
		break;
	case 'D':
		view_pan(in, 0.5);
		break;
	case '0':
		view_go(in, (struct view){in->ask.begin_ns, in->ask.end_ns});
		break;
	case 'j':
	case KEY_DOWN:
		view_move_row(in, 1);
		break;
	case 'k':
	case KEY_UP:
		view_move_row(in, -1);
		break;
	case KEY_PAGE_DOWN:
		view_move_row(in, draw_rows_shown(in));
		break;
	case KEY_PAGE_UP:
		view_move_row(in, -(int64_t)draw_rows_shown(in));
		break;
	case KEY_LEFT:
		view_move_column(in, -1);
		break;
	case KEY_RIGHT:
		view_move_column(in, 1);
		break;
	case KEY_SHIFT_LEFT:
		view_move_column(in, -5);
		break;
	case KEY_SHIFT_RIGHT:
		view_move_column(in, 5);
		break;
	case KEY_HOME:
		in->column = 0;
		in->has_selected = false;
		break;
	case KEY_END:
		in->column = in->chart.cells - 1;
		in->has_selected = false;
		break;
	case 'z':
	case 'Z':
		view_undo(in, key == 'Z');
		in->has_selected = false;
		break;
	default:
		return false;
	}
	return true;
}

static void press(struct interactive *in, int key)
{
	in->message[0] = '\0';
	if (press_move(in, key))
		return;
	switch (key) {
	case 'f':
	case 'F':
		centre_or_fit(in);
		break;
	case ',':
	case '.':
		step_interval(in, key == '.');
		break;
	case '[':
	case ']':
		follow(in, key == '[');
		break;
	case 'l':
	case 'L':
		chain(in);
		break;
	case '/':
		if (prompt(in, "find: ", in->search, sizeof(in->search)))
			find(in, false);
		break;
	case 'n':
	case 'N':
		find(in, key == 'N');
		break;
	case 'g':
		go_to(in);
		break;
	case 'm':
		bookmark(in);
		break;
	case '\'':
		go_to_bookmark(in);
		break;
	case 'i':
		in->hides_idle = in->chart.hides_idle = !in->hides_idle;
		view_say(in, in->hides_idle ? "idle is not drawn" : "idle is drawn");
		break;
	case 'x':
		toggle_groups(in);
		break;
	case '?':
		show_help(in);
		break;
	case KEY_ESCAPE:
		clear(in);
		break;
	case 'q':
	case KEY_CLOSED:
		in->is_over = true;
		break;
	}
}

/* The longest name decides how wide names are: of all threads, so that nothing moves. */
static unsigned longest_name(struct interactive *in)
{
	unsigned most = 0;

	for (uint32_t i = 0; i < in->ask.tables->threads_n; i++) {
		unsigned columns;

		if (in->ask.threads != NULL &&
		    !select_has_thread(in->ask.threads, in->ask.tables->threads[i].index))
			continue;
		name_clear(in->name);
		name_thread(in->name, in->ask.tables, in->ask.tables->threads[i].index);
		columns = chart_name_columns(&in->chart, in->name);
		most = columns > most ? columns : most;
	}
	return most;
}

static void resize(struct interactive *in, unsigned name_columns)
{
	uint64_t ns = in->chart.cells > 0 ? view_cursor_ns(in) : in->view.from_ns;

	screen_size(&in->columns, &in->lines);
	chart_measure(&in->chart, in->columns, name_columns);
	view_put_cursor(in, ns);
}

/* After rows were put together, or apart. */
static void to_wanted_thread(struct interactive *in)
{
	uint32_t row = in->now != NULL && in->thread != TRACE_ALL
			       ? timeline_row_of(in->now, in->thread)
			       : MAP_NONE;

	if (row == MAP_NONE)
		return;
	in->row = row;
	in->thread = TRACE_ALL;
}

/* Pictures come from @x from now on, or NULL: from headers. The current row stays that of its thread. */
static void set_index(struct interactive *in, struct index *x)
{
	const struct timeline_row *row = view_row(in);

	if (row != NULL)
		in->thread = row->thread;
	in->now = NULL;
	index_close(in->pictures.index);
	pictures_set_index(&in->pictures, x);
}

/* Begins one, in the background. Without it the picture stays as headers have it. */
static void begin_index(struct interactive *in)
{
	if (index_begin(&in->making, in->ask.reader, in->ask.streams, in->ask.tables,
			in->ask.is_kept, &in->why) < 0)
		view_say(in, "there is no index: %s", in->why.text);
}

/* Finds the index, or makes it: at once where that takes no time. */
static int open_index(struct interactive *in)
{
	struct index *x = NULL;
	int r = -ENOENT;

	if (timeline_events(in->ask.reader, 0, UINT64_MAX) <= SMALL)
		r = index_open(&x, in->ask.reader, in->ask.streams, in->ask.tables, false, NULL,
			       &in->why);
	else if (in->ask.is_kept)
		r = index_find(&x, in->ask.reader, in->ask.tables);
	if (r == 0)
		set_index(in, x);
	else if (r == -ENOENT)
		begin_index(in);
	return r == -ENOENT ? 0 : r;
}

/* Looks whether the index is there. */
static void poll_index(struct interactive *in)
{
	struct index *x = NULL;
	int r;

	if (in->making == NULL)
		return;
	r = index_step(in->making, &x, &in->making_share, &in->why);
	if (r == -EAGAIN)
		return;
	index_give_up(in->making);
	in->making = NULL;
	if (r == 0)
		set_index(in, x);
	else
		view_say(in, "there is no index: %s", in->why.text);
}

/* Gets the picture of the view: one that is there, or what is known, then a new one. Returns 0, -EINTR (a key), or what failed. */
static int show(struct interactive *in)
{
	struct timeline_ask ask = view_ask(in);
	int r = 0;

	in->now = pictures_have(&in->pictures, &ask);
	in->is_guess = in->now == NULL && in->pictures.index == NULL;
	if (in->is_guess) {
		in->now = pictures_guess(&in->pictures, &ask);
		to_wanted_thread(in);
		draw_all(in);
	}
	if (in->now == NULL || in->is_guess) {
		begin_work(in, "reading");
		r = pictures_make(&in->pictures, &ask, in->ask.key, in->ask.is_reverse, &in->watch,
				  &in->why);
	}
	if (r == -EBADMSG && in->pictures.index != NULL) {
		/* somebody has changed its file: away with it */
		set_index(in, NULL);
		begin_index(in);
		return show(in);
	}
	if (r < 0)
		return r;
	in->now = pictures_have(&in->pictures, &ask);
	in->is_guess = false;
	to_wanted_thread(in);
	draw_all(in);
	return 0;
}

static int loop(struct interactive *in)
{
	unsigned name_columns = longest_name(in);
	int r = open_index(in);

	if (r < 0)
		return r;
	resize(in, name_columns);
	while (!in->is_over && in->out->error == 0) {
		int key;

		r = show(in);
		if (r < 0 && r != -EINTR)
			return r;
		/* of keys that were typed meanwhile, only where they lead to is drawn */
		key = screen_key(in->making != NULL ? MAKING_MS : -1);
		do {
			if (key == KEY_CHANGED)
				resize(in, name_columns);
			else if (key != KEY_NONE)
				press(in, key);
			key = screen_key(0);
		} while (key != KEY_NONE && !in->is_over);
		poll_index(in);
	}
	return 0;
}

int interactive_run(const struct interactive_ask *ask, struct why *why)
{
	struct interactive *in = calloc(1, sizeof(*in));
	int r = -ENOMEM;

	why_set(why, "out of memory");
	if (in == NULL)
		return r;
	in->ask = *ask;
	in->view = (struct view){ask->from_ns, ask->to_ns};
	in->by_group = ask->by_group;
	in->thread = TRACE_ALL;
	in->watch = (struct watch){step, in};
	in->pictures = (struct pictures){
		.reader = ask->reader, .streams = ask->streams, .tables = ask->tables};
	in->out = malloc(sizeof(*in->out));
	in->name = malloc(sizeof(*in->name));
	if (in->out == NULL || in->name == NULL)
		goto out;
	out_init(in->out, STDOUT_FILENO, ask->has_colour);
	if (chart_init(&in->chart, in->out, ask->tables, ask->begun_ns) < 0)
		goto out;
	in->chart.is_ascii = ask->is_ascii;
	in->chart.has_blocks = ask->has_blocks;
	r = screen_begin(why);
	if (r == 0) {
		r = loop(in);
		screen_end();
		if (r < 0)
			*why = in->why;
	}
out:
	index_give_up(in->making);
	index_close(in->pictures.index);
	pictures_fini(&in->pictures);
	chart_fini(&in->chart);
	free(in->name);
	free(in->out);
	free(in);
	return r;
}
