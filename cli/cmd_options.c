#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"

void cmd_complain(const char *command, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "cprof: %s: ", command);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Edit distance, for "did you mean"; words longer than 30 letters are nobody's typing error. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], a_n = strlen(a), b_n = strlen(b), i, j, corner, above;

	if (a_n > 30 || b_n > 30)
		return 100;
	for (j = 0; j <= b_n; j++)
		row[j] = j;
	for (i = 1; i <= a_n; i++) {
		corner = row[0];
		row[0] = i;
		for (j = 1; j <= b_n; j++) {
			above = row[j];
			row[j] = corner + (a[i - 1] != b[j - 1]);
			if (above + 1 < row[j])
				row[j] = above + 1;
			if (row[j - 1] + 1 < row[j])
				row[j] = row[j - 1] + 1;
			corner = above;
		}
	}
	return row[b_n];
}

static void complain_unknown(const char *command, const char *name,
			     const struct cmd_option *options)
{
	const struct cmd_option *option, *nearest = NULL;
	size_t best = 3, d;

	for (option = options; option->name != NULL; option++) {
		d = distance(name, option->name);
		if (d < best) {
			best = d;
			nearest = option;
		}
	}
	if (nearest != NULL)
		cmd_complain(command, "there is no option -%s; did you mean -%s?", name,
			     nearest->name);
	else
		cmd_complain(command, "there is no option -%s; 'cprof %s --help' lists them", name,
			     command);
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
	size_t i;

	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

/* One of several words is chosen: another than before is a contradiction, as in pprof. */
static int choose_word(const char *command, const struct cmd_option *option)
{
	const char **to = option->to;

	if (*to != NULL && strcmp(*to, option->text) != 0) {
		cmd_complain(command, "-%s and %s: only one of them can be", option->name, *to);
		return -EINVAL;
	}
	*to = option->text;
	return 0;
}

static int add_to_list(const char *command, const struct cmd_option *option, const char *value)
{
	struct cmd_list *list = option->to;
	char **bigger;

	if (value[0] == '\0') /* as in pprof, none */
		return 0;
	bigger = realloc(list->items, (list->n + 1) * sizeof(*bigger));
	if (bigger == NULL) {
		cmd_complain(command, "out of memory");
		return -EINVAL;
	}
	list->items = bigger;
	list->items[list->n++] = (char *)(uintptr_t)value;
	return 0;
}

/* Sets @option from @value, NULL when there was none behind =. */
static int set_option(const char *command, const struct cmd_option *option, char *value)
{
	bool is_on = true;
	char *end = NULL;
	double real;
	long number;

	switch (option->type) {
	case CMD_FLAG:
	case CMD_WORD:
		if (value != NULL && parse_bool(value, &is_on) < 0) {
			cmd_complain(command, "-%s=%s: true or false was expected", option->name,
				     value);
			return -EINVAL;
		}
		if (option->type == CMD_FLAG)
			*(bool *)option->to = is_on;
		else if (is_on)
			return choose_word(command, option);
		return 0;
	case CMD_TEXT:
		*(const char **)option->to = value;
		return 0;
	case CMD_INT:
		errno = 0;
		number = strtol(value, &end, 0);
		if (errno != 0 || end == value || *end != '\0' || number < INT32_MIN ||
		    number > INT32_MAX) {
			cmd_complain(command, "-%s=%s: a whole number was expected", option->name,
				     value);
			return -EINVAL;
		}
		*(int *)option->to = (int)number;
		return 0;
	case CMD_FLOAT:
		errno = 0;
		real = strtod(value, &end);
		if (errno != 0 || end == value || *end != '\0') {
			cmd_complain(command, "-%s=%s: a number was expected", option->name, value);
			return -EINVAL;
		}
		*(double *)option->to = real;
		return 0;
	case CMD_LIST:
		return add_to_list(command, option, value);
	case CMD_LATER:
		cmd_complain(command, "-%s: %s", option->name, option->text);
		return -EINVAL;
	case CMD_FILES:
		((struct cmd_files *)option->to)->paths[((struct cmd_files *)option->to)->n++] =
			value;
		return 0;
	}
	return -EINVAL;
}

static bool wants_value(const struct cmd_option *option)
{
	return option->type == CMD_TEXT || option->type == CMD_INT || option->type == CMD_FLOAT ||
	       option->type == CMD_LIST || option->type == CMD_FILES;
}

int cmd_parse(int argc, char **argv, const struct cmd_option *options, const char *help,
	      struct cmd_files *ret)
{
	const struct cmd_option *option;
	struct cmd_files *to = ret;
	const char *name;
	char *value;
	bool is_over = false;
	size_t n;
	int i;

	ret->paths = argv + 1; /* files move to the front; there is always room */
	ret->n = 0;
	for (i = 1; i < argc; i++) {
		if (is_over || argv[i][0] != '-' || argv[i][1] == '\0') {
			to->paths[to->n++] = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			is_over = true;
			continue;
		}
		name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
		if (strcmp(name, "help") == 0 || strcmp(name, "h") == 0) {
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 1 : -EINVAL;
		}
		n = strcspn(name, "=");
		value = name[n] == '=' ? argv[i] + (name - argv[i]) + n + 1 : NULL;
		for (option = options; option->name != NULL; option++)
			if (strlen(option->name) == n && memcmp(option->name, name, n) == 0)
				break;
		if (option->name == NULL) {
			char word[40];

			snprintf(word, sizeof(word), "%.*s", (int)(n > 32 ? 32 : n), name);
			complain_unknown(argv[0], word, options);
			return -EINVAL;
		}
		if (value == NULL && wants_value(option)) {
			if (i + 1 == argc) {
				cmd_complain(argv[0], "-%s needs a value, as in -%s=VALUE",
					     option->name, option->name);
				return -EINVAL;
			}
			value = argv[++i];
		}
		if (set_option(argv[0], option, value) < 0)
			return -EINVAL;
		if (option->type == CMD_FILES && option->value == 1)
			to = option->to;
	}
	return 0;
}

int cmd_read(const struct cmd_files *files, struct sources *s, struct report_options *how,
	     struct profile *ret, struct why *why)
{
	int r = sources_add(s, files->paths, files->n, why);

	if (r == 0)
		r = sources_fetch(s, why);
	if (r < 0)
		return r;
	how->read = sources_read;
	how->read_user = s;
	why_set(why, "out of memory");
	r = report_read(ret, how, files->paths, files->n, why);
	return r == -EINVAL ? -EBADMSG : r; /* nothing is wrong with what was typed */
}

/* Reports */

void cmd_report_init(struct cmd_report *r)
{
	memset(r, 0, sizeof(*r));
	r->options = report_defaults;
	r->trim = true;
}

void cmd_report_fini(struct cmd_report *r)
{
	report_fini(&r->report);
	sources_fini(&r->sources);
	free(r->bases.items);
	free(r->diff_bases.items);
}

/* Columns with a flag of their own. Of several the first one here counts: pprof's order. */
static const struct {
	const char *option, *type;
	bool is_mean;
} columns[CMD_COLUMNS] = {
	{"total_delay", "delay", false},           {"mean_delay", "delay", true},
	{"contentions", "contentions", false},     {"inuse_space", "inuse_space", false},
	{"inuse_objects", "inuse_objects", false}, {"alloc_space", "alloc_space", false},
	{"alloc_objects", "alloc_objects", false},
};

void cmd_report_options(struct cmd_report *r, struct cmd_option *options)
{
	struct report_options *o = &r->options;
	const struct cmd_option all[] = {
		{"focus", CMD_TEXT, &o->focus, 0, NULL},
		{"ignore", CMD_TEXT, &o->ignore, 0, NULL},
		{"hide", CMD_TEXT, &o->hide, 0, NULL},
		{"show", CMD_TEXT, &o->show, 0, NULL},
		{"show_from", CMD_TEXT, &o->show_from, 0, NULL},
		{"tagfocus", CMD_TEXT, &o->tag_focus, 0, NULL},
		{"tagignore", CMD_TEXT, &o->tag_ignore, 0, NULL},
		{"tagshow", CMD_TEXT, &o->tag_show, 0, NULL},
		{"taghide", CMD_TEXT, &o->tag_hide, 0, NULL},
		{"tagroot", CMD_TEXT, &o->tag_root, 0, NULL},
		{"tagleaf", CMD_TEXT, &o->tag_leaf, 0, NULL},
		{"prune_from", CMD_TEXT, &o->prune_from, 0, NULL},
		{"sample_index", CMD_TEXT, &o->sample_index, 0, NULL},
		{"mean", CMD_FLAG, &o->is_mean, 0, NULL},
		{"unit", CMD_TEXT, &o->unit, 0, NULL},
		{"divide_by", CMD_FLOAT, &o->divide_by, 0, NULL},
		{"relative_percentages", CMD_FLAG, &o->is_relative, 0, NULL},
		{"idle", CMD_FLAG, &o->with_idle, 0, NULL},
		{"nodecount", CMD_INT, &o->node_count, 0, NULL},
		{"nodefraction", CMD_FLOAT, &o->node_fraction, 0, NULL},
		{"edgefraction", CMD_FLOAT, &o->edge_fraction, 0, NULL},
		{"trim", CMD_FLAG, &r->trim, 0, NULL},
		{"drop_negative", CMD_FLAG, &o->drop_negative, 0, NULL},
		{"compact_labels", CMD_FLAG, &o->is_compact, 0, NULL},
		{"noinlines", CMD_FLAG, &o->no_inlines, 0, NULL},
		CMD_SOURCE_OPTIONS(&r->sources),
		{"trim_path", CMD_TEXT, &o->trim_path, 0, NULL},
		{"source_path", CMD_TEXT, &o->source_path, 0, NULL},
		{"call_tree", CMD_FLAG, &r->call_tree, 0, NULL}, /* changes no text */
		{"symbolize", CMD_TEXT, &r->symbolize, 0, NULL},
		{"sort", CMD_TEXT, &r->sort, 0, NULL},
		{"cum", CMD_WORD, &r->sort, 0, "cum"},
		{"flat", CMD_WORD, &r->sort, 0, "flat"},
		{"granularity", CMD_TEXT, &r->granularity, 0, NULL},
		{"functions", CMD_WORD, &r->granularity, 0, "functions"},
		{"filefunctions", CMD_WORD, &r->granularity, 0, "filefunctions"},
		{"files", CMD_WORD, &r->granularity, 0, "files"},
		{"lines", CMD_WORD, &r->granularity, 0, "lines"},
		{"addresses", CMD_WORD, &r->granularity, 0, "addresses"},
		{columns[0].option, CMD_FLAG, &r->columns[0], 0, NULL},
		{columns[1].option, CMD_FLAG, &r->columns[1], 0, NULL},
		{columns[2].option, CMD_FLAG, &r->columns[2], 0, NULL},
		{columns[3].option, CMD_FLAG, &r->columns[3], 0, NULL},
		{columns[4].option, CMD_FLAG, &r->columns[4], 0, NULL},
		{columns[5].option, CMD_FLAG, &r->columns[5], 0, NULL},
		{columns[6].option, CMD_FLAG, &r->columns[6], 0, NULL},
		{"base", CMD_LIST, &r->bases, 0, NULL},
		{"diff_base", CMD_LIST, &r->diff_bases, 0, NULL},
		{"normalize", CMD_FLAG, &o->is_normalized, 0, NULL},
		{NULL, CMD_FLAG, NULL, 0, NULL},
	};

	_Static_assert(sizeof(all) / sizeof(all[0]) <= CMD_REPORT_OPTIONS_MAX,
		       "room for all options");
	memcpy(options, all, sizeof(all));
}

/* Turns the words of -granularity, -sort and -symbolize into what they mean. */
static int read_words(struct cmd_report *r, const char *command)
{
	static const char *const granularities[] = {
		[BY_FUNCTION] = "functions", [BY_FILE_FUNCTION] = "filefunctions",
		[BY_FILE] = "files",         [BY_LINE] = "lines",
		[BY_ADDRESS] = "addresses",
	};
	size_t i, n = sizeof(granularities) / sizeof(granularities[0]);

	if (r->granularity != NULL) {
		for (i = 0; i < n && strcmp(granularities[i], r->granularity) != 0; i++)
			;
		if (i == n) {
			cmd_complain(command,
				     "-granularity=%s: functions, filefunctions, files, lines or "
				     "addresses was expected",
				     r->granularity);
			return -EINVAL;
		}
		r->options.granularity = (enum granularity)i;
	}
	if (r->sort != NULL) {
		if (strcmp(r->sort, "cum") != 0 && strcmp(r->sort, "flat") != 0) {
			cmd_complain(command, "-sort=%s: flat or cum was expected", r->sort);
			return -EINVAL;
		}
		r->options.is_cum_sort = strcmp(r->sort, "cum") == 0;
	}
	if (r->symbolize != NULL) {
		if (strcmp(r->symbolize, "none") != 0) {
			cmd_complain(
				command,
				"-symbolize=%s: only none is known here, which leaves names as the "
				"file has them",
				r->symbolize);
			return -EINVAL;
		}
		r->options.keep_names = true;
	}
	r->options.no_trim = !r->trim;
	return 0;
}

static void note(const char *text)
{
	fprintf(stderr, "cprof: %s\n", text);
}

static void choose_column(struct cmd_report *r)
{
	struct report_options *o = &r->options;
	char text[80];
	size_t i;

	for (i = 0; i < CMD_COLUMNS; i++) {
		if (!r->columns[i])
			continue;
		o->is_mean |= columns[i].is_mean;
		if (o->sample_index == NULL || o->sample_index[0] == '\0') {
			o->sample_index = columns[i].type;
			continue;
		}
		snprintf(text, sizeof(text), "-%s is not followed: it is %.30s already",
			 columns[i].option, o->sample_index);
		note(text);
	}
}

static int choose_base(struct cmd_report *r, const char *command)
{
	struct report_options *o = &r->options;
	const struct cmd_list *bases = r->diff_bases.n > 0 ? &r->diff_bases : &r->bases;

	if (r->bases.n > 0 && r->diff_bases.n > 0) {
		cmd_complain(command, "-base and -diff_base: only one of them can be");
		return -EINVAL;
	}
	o->bases = bases->items;
	o->bases_n = bases->n;
	o->is_diff_base = r->diff_bases.n > 0;
	if (o->is_normalized && o->bases_n == 0) {
		cmd_complain(command, "-normalize: to which profile? It goes with -base=FILE or "
				      "-diff_base=FILE");
		return -EINVAL;
	}
	return 0;
}

static bool is_program(const char *path)
{
	char start[4] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool is_elf;

	if (fd < 0)
		return false;
	is_elf = read(fd, start, sizeof(start)) == (ssize_t)sizeof(start) &&
		 memcmp(start, "\177ELF", 4) == 0;
	close(fd);
	return is_elf;
}

const char *cmd_take_program(struct cmd_files *files)
{
	if (files->n < 2 || !is_program(files->paths[0]))
		return NULL;
	files->n--;
	return *files->paths++;
}

const char *cmd_tail(const char *path, unsigned parts)
{
	const char *at = path + strlen(path);

	for (; at > path; at--)
		if (at[-1] == '/' && at[0] != '\0' && --parts == 0)
			break;
	return at;
}

char *cmd_title(const struct cmd_files *files, unsigned parts)
{
	const char *first = cmd_tail(files->paths[0], parts);
	char *title;
	int n = files->n > 1 ? asprintf(&title, "%s and %zu more", first, files->n - 1)
			     : asprintf(&title, "%s", first);

	return n < 0 ? NULL : title;
}

int cmd_need_files(const char *command, const struct cmd_files *files)
{
	if (files->n > 0)
		return CMD_OK;
	cmd_complain(command, "which profile? 'cprof %s FILE', such as cpu.pb.gz of 'cprof run'",
		     command);
	return CMD_USAGE;
}

int cmd_report_read(struct cmd_report *r, const char *command, struct cmd_files *files)
{
	struct why why;
	int error;

	if (read_words(r, command) < 0 || choose_base(r, command) < 0)
		return CMD_USAGE;
	choose_column(r);
	if (files->n == 0) {
		cmd_complain(command,
			     "which profile? 'cprof %s FILE', such as cpu.pb.gz of 'cprof run', or "
			     "'cprof %s PID'",
			     command, command);
		return CMD_USAGE;
	}
	r->options.program = cmd_take_program(files);
	r->options.note = note;
	r->options.read = sources_read;
	r->options.read_user = &r->sources;
	error = sources_add(&r->sources, files->paths, files->n, &why);
	if (error == 0)
		error = sources_add(&r->sources, r->options.bases, r->options.bases_n, &why);
	if (error == 0)
		error = sources_fetch(&r->sources, &why);
	if (error < 0) {
		cmd_complain(command, "%s", why.text);
		return error == -EINVAL ? CMD_USAGE : CMD_FAILED;
	}
	why_set(&why, "out of memory");
	error = report_load(&r->report, &r->options, files->paths, files->n, &why);
	if (error < 0) {
		cmd_complain(command, "%s", why.text);
		return CMD_FAILED;
	}
	return CMD_OK;
}

int cmd_report_prepare(struct cmd_report *r, const char *command)
{
	struct why why;
	int error = report_prepare(&r->report, &why);

	if (error < 0) {
		cmd_complain(command, "%s", why.text);
		return error == -EINVAL ? CMD_USAGE : CMD_FAILED;
	}
	return CMD_OK;
}

int cmd_report_load(struct cmd_report *r, const char *command, struct cmd_files *files)
{
	int status = cmd_report_read(r, command, files);

	return status == CMD_OK ? cmd_report_prepare(r, command) : status;
}

/* The options and arguments that @view takes, in front of the files. */
static int read_view(struct cmd_report *r, int argc, char **argv, const struct cmd_view *view,
		     struct cmd_files *files)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX];
	int status;

	cmd_report_options(r, options);
	status = cmd_parse(argc, argv, options, view->help, files);
	if (status != 0 || !view->has_expression)
		return status;
	if (files->n == 0) {
		cmd_complain(argv[0],
			     "which functions? 'cprof %s EXPRESSION FILE', an expression such as "
			     "parse or ^main$",
			     argv[0]);
		return -EINVAL;
	}
	r->options.expression = *files->paths++;
	files->n--;
	return 0;
}

int cmd_view(int argc, char **argv, const struct cmd_view *view)
{
	struct cmd_report r;
	struct cmd_files files;
	struct why why;
	int status, error;

	cmd_report_init(&r);
	status = read_view(&r, argc, argv, view, &files);
	if (status != 0) {
		status = status > 0 ? CMD_OK : CMD_USAGE;
		goto out;
	}
	if (view->has_idle)
		r.options.with_idle = true;
	if (view->is_by_line)
		r.granularity = "lines";
	if (view->is_everything) {
		r.granularity = "addresses";
		r.options.no_inlines = false;
	}
	status = cmd_report_load(&r, argv[0], &files);
	if (status == CMD_OK) {
		error = view->print(&r.report, stdout, &why);
		if (error < 0) {
			cmd_complain(argv[0], "%s", why.text);
			status = error == -EINVAL ? CMD_USAGE : CMD_FAILED;
		}
	}
out:
	cmd_report_fini(&r);
	return status;
}
