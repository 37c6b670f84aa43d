#include "output/source_files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX      256   /* files */
#define LINE_SIZE_MAX 65535 /* pprof reads no further than to a longer one */

int source_files_init(struct source_files *s, struct report *r, struct why *why)
{
	const struct report_options *o = r->options;
	char *directory;

	memset(s, 0, sizeof(*s));
	s->profile = &r->profile;
	s->trim_path = o->trim_path;
	s->search_path = o->source_path;
	if (s->search_path == NULL || s->search_path[0] == '\0') {
		directory = get_current_dir_name();
		if (directory == NULL) {
			why_set(why,
				"the working directory has no name: %s; -source_path=DIR says "
				"where sources are",
				strerror(errno));
			return -errno;
		}
		s->search_path = profile_string_raw(&r->profile, directory, strlen(directory));
		free(directory);
	}
	return 0;
}

static void forget(struct source_files *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->all[i].bytes);
		free(s->all[i].lines);
	}
	free(s->all);
	s->all = NULL;
	s->n = s->bytes = 0;
}

void source_files_fini(struct source_files *s)
{
	forget(s);
}

/* ---- finding ---- */

/* The directory above @directory, as filepath.Dir has it. */
static const char *parent_of(struct profile *p, const char *directory)
{
	const char *slash = strrchr(directory, '/');

	if (slash == NULL)
		return ".";
	return path_clean(p, profile_string_raw(p, directory, (size_t)(slash - directory) + 1));
}

static const char *join(struct profile *p, const char *directory, const char *name)
{
	char *both;
	const char *r;

	if (directory[0] == '\0')
		return path_clean(p, name);
	if (asprintf(&both, "%s/%s", directory, name) < 0)
		return name;
	r = path_clean(p, both);
	free(both);
	return r;
}

/* A file to read from, or a negative errno. */
static int open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return fd;
	close(fd);
	return -ENXIO;
}

/* In @directory and all that are above it. */
static int open_above(struct profile *p, const char *directory, const char *name)
{
	const char *above;
	int fd;

	for (;;) {
		fd = open_file(join(p, directory, name));
		above = parent_of(p, directory);
		if (fd >= 0 || strcmp(above, directory) == 0)
			return fd;
		directory = above;
	}
}

/* Go's words for it. */
static const char *say(struct source_files *s, const char *format, const char *path,
		       const char *more)
{
	const char *r = "out of memory";
	char *text;

	if (asprintf(&text, format, path, more) < 0)
		return r;
	r = profile_string_raw(s->profile, text, strlen(text));
	free(text);
	return r;
}

static int open_source(struct source_files *s, const char *name, const char **ret_error)
{
	const char *path = path_trim(name, s->trim_path, s->search_path);
	char words[64], *list, *rest, *directory;
	int fd = -ENOENT;

	if (path[0] == '/') {
		fd = open_file(path);
		if (fd >= 0)
			return fd;
		snprintf(words, sizeof(words), "%s",
			 fd == -ENXIO ? "it is no regular file" : strerror(-fd));
		words[0] = (char)tolower((unsigned char)words[0]);
		*ret_error = say(s, "open %s: %s", path, words);
		return fd;
	}
	list = rest = strdup(s->search_path);
	while (fd < 0 && rest != NULL && (directory = strsep(&rest, ":")) != NULL)
		fd = open_above(s->profile, directory, path);
	free(list);
	if (fd < 0)
		*ret_error = say(s, "could not find file %s on path %s", path, s->search_path);
	return fd;
}

/* ---- reading ---- */

/* Where each line begins. What follows one that is too long for pprof is not there. */
static int find_lines(struct source_file *f, size_t size)
{
	size_t n = 1, at = 0, length;
	const char *end;

	for (const char *c = f->bytes; (c = memchr(c, '\n', size - (size_t)(c - f->bytes))) != NULL;
	     c++)
		n++;
	f->lines = calloc(n + 1, sizeof(*f->lines));
	if (f->lines == NULL)
		return -ENOMEM;
	while (at < size) {
		end = memchr(f->bytes + at, '\n', size - at);
		length = end != NULL ? (size_t)(end - f->bytes) - at : size - at;
		if (length > LINE_SIZE_MAX)
			break;
		f->lines_n++;
		at += length + (end != NULL);
		f->lines[f->lines_n] = at;
	}
	return 0;
}

/* All of @fd. A directory can be opened, too, and has no lines: that is how pprof sees it. */
static int read_lines(struct source_files *s, struct source_file *f, int fd)
{
	struct stat st;
	size_t size = 0;
	ssize_t n = 1;

	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
		st.st_size = 0;
	if ((uint64_t)st.st_size > SOURCE_FILES_MAX / 2) {
		f->error = say(s, "open %s: %s", f->name, "it is larger than any source");
		return 0;
	}
	f->bytes = malloc((size_t)st.st_size + 1);
	if (f->bytes == NULL)
		return -ENOMEM;
	while (size < (size_t)st.st_size && n > 0) {
		n = read(fd, f->bytes + size, (size_t)st.st_size - size);
		size += n > 0 ? (size_t)n : 0;
	}
	s->bytes += size;
	return find_lines(f, size);
}

const struct source_file *source_files_get(struct source_files *s, const char *name)
{
	struct source_file *bigger, *f;
	int fd, r;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->all[i].name, name) == 0)
			return &s->all[i];
	if (s->n == KEPT_MAX || s->bytes > SOURCE_FILES_MAX / 2)
		forget(s);
	bigger = realloc(s->all, (s->n + 1) * sizeof(*bigger));
	if (bigger == NULL)
		return NULL;
	s->all = bigger;
	f = &s->all[s->n];
	*f = (struct source_file){.name = name};
	fd = open_source(s, name, &f->error);
	if (fd < 0 && s->missing == NULL)
		s->missing = name;
	r = fd < 0 ? 0 : read_lines(s, f, fd);
	if (fd >= 0)
		close(fd);
	s->n++;
	return r == 0 ? f : NULL;
}

const char *source_file_line(const struct source_file *f, int64_t number, size_t *ret_size)
{
	const char *line;
	size_t size;

	if (number < 1 || (uint64_t)number > f->lines_n)
		return NULL;
	line = f->bytes + f->lines[number - 1];
	size = f->lines[number] - f->lines[number - 1];
	if (size > 0 && line[size - 1] == '\n')
		size--;
	if (size > 0 && line[size - 1] == '\r')
		size--;
	*ret_size = size;
	return line;
}

/* ---- what to type ---- */

/* A last part of @missing that lies below @directory: the longest. What is before it, into @ret_prefix. */
static bool lies_below(const struct source_files *s, const char *directory, int *ret_prefix)
{
	struct stat st;

	for (const char *at = strchr(s->missing, '/'); at != NULL; at = strchr(at + 1, '/')) {
		*ret_prefix = (int)(at - s->missing);
		if (at > s->missing && stat(join(s->profile, directory, at), &st) == 0 &&
		    S_ISREG(st.st_mode))
			return true;
	}
	return false;
}

const char *source_files_advise(const struct source_files *s)
{
	char *list, *rest, *directory, *text = NULL;
	const char *r = NULL;
	int prefix;

	if (s->missing == NULL)
		return NULL;
	list = rest = strdup(s->search_path);
	while (text == NULL && rest != NULL && (directory = strsep(&rest, ":")) != NULL)
		if (lies_below(s, directory, &prefix) &&
		    asprintf(&text,
			     "%s is here under another name; -trim_path=%.*s -source_path=%s finds "
			     "it",
			     s->missing, prefix, s->missing, directory) < 0)
			text = NULL;
	if (text == NULL &&
	    asprintf(&text, "%s is not here; -source_path=DIR looks for it in DIR%s", s->missing,
		     s->missing[0] == '/' ? ", with -trim_path=PREFIX by its name without PREFIX"
					  : "") < 0)
		text = NULL;
	if (text != NULL)
		r = profile_string_raw(s->profile, text, strlen(text));
	free(text);
	free(list);
	return r;
}
