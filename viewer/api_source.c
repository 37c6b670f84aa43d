/*
 * Lines of the source of a frame. Which file that is, a symbol says, and a trace may bring symbols of its own: so a name leads to a
 * file only beneath the directory that the user has named, or, without one, when it is the debugging information of the program
 * itself, on this machine, that has it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "viewer/api_private.h"
#include "viewer/frames.h"

#define AROUND_MAX 100
#define FILE_MAX   (16 << 20) /* bytes; no source is longer */
#define SHOWN_MAX  1000       /* bytes that are shown */
#define FLAGS      (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Frame @at of a stack, counted as stack/ID lists them. */
static int find_line(struct frames *frames, uint32_t stack, uint64_t at, const struct frame **ret,
		     const struct frame_line **ret_line)
{
	const uint64_t *words;
	uint32_t n = frames_stack(frames, stack, &words);

	*ret_line = NULL;
	for (uint32_t i = 0; i < n; i++) {
		const struct frame *frame = frames_get(frames, words[i]);
		uint32_t lines;

		if (frame == NULL)
			return -ENOMEM;
		lines = frame->n > 0 ? frame->n : 1;
		if (at < lines) {
			*ret = frame;
			*ret_line = frame->n > 0 ? &frame->lines[at] : NULL;
			return 0;
		}
		at -= lines;
	}
	return -ENOENT;
}

/* The longest end of @file that is beneath @root, and never anything else. */
static int open_beneath(const char *root, const char *file)
{
	struct open_how how = {.flags = FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;

	for (const char *end = file; directory >= 0 && fd < 0 && end != NULL;
	     end = strchr(end, '/')) {
		end += strspn(end, "/");
		if (*end == '\0')
			break;
		fd = (int)syscall(SYS_openat2, directory, end, &how, sizeof(how));
	}
	if (directory >= 0)
		close(directory);
	return fd;
}

static int open_source(const struct api *a, const struct frame *frame, const char *file,
		       struct stat *st, struct why *why)
{
	int fd = -1;

	if (a->source_root != NULL) {
		fd = open_beneath(a->source_root, file);
		if (fd < 0)
			why_set(why, "%.200s is not beneath %.200s", file, a->source_root);
	} else if (file[0] != '/' || tables_symbol(a->tables, frame->word) != NULL) {
		why_set(why,
			"%.200s: where that is here is not known for certain; "
			"--source-root DIR says where sources are",
			file);
	} else {
		fd = open(file, FLAGS);
		if (fd < 0)
			why_set(why, "%.200s: %s", file, strerror(errno));
	}
	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size > FILE_MAX)) {
		why_set(why, "%.200s is no file of source", file);
		close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd : -ENOENT;
}

/* Lines from @first to @last, as far as there are. Returns how many were there before and within. */
static void put_lines(struct api *a, FILE *f, uint64_t first, uint64_t last)
{
	char *text = NULL;
	size_t room = 0;
	struct name name;
	ssize_t n;

	api_open(a, "lines", '[');
	for (uint64_t i = 1; i <= last && (n = getline(&text, &room, f)) >= 0; i++) {
		if (i < first)
			continue;
		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		name_clear(&name);
		name_add(&name, text, n < SHOWN_MAX ? (size_t)n : SHOWN_MAX);
		api_put_name(a, NULL, &name);
	}
	api_close(a, ']');
	free(text);
}

static int put_source(struct api *a, const struct frame *frame, const struct frame_line *line,
		      uint64_t around, struct why *why)
{
	uint64_t at = (uint64_t)line->line, first = at > around ? at - around : 1;
	const struct reader *r = a->reader;
	struct stat st;
	int fd = open_source(a, frame, line->file, &st, why);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (f == NULL) {
		if (fd >= 0)
			close(fd);
		return fd >= 0 ? -ENOMEM : fd;
	}
	api_open(a, NULL, '{');
	api_put_text(a, "file", line->file);
	api_put_u64(a, "line", at);
	api_put_u64(a, "first", first);
	/* it may not be what ran */
	api_put_bool(a, "is_newer",
		     r->has_header && r->header.begun_realtime_ns != 0 &&
			     (uint64_t)st.st_mtim.tv_sec >
				     r->header.begun_realtime_ns / 1000000000);
	put_lines(a, f, first, at + around);
	api_close(a, '}');
	fclose(f);
	return 0;
}

static int answer_source(struct api *a, const struct api_request *q, struct answer *ret,
			 struct why *why)
{
	const struct frame_line *line;
	const struct frame *frame = NULL;
	uint64_t stack, at, around;
	struct frames *frames;
	int r = api_number(q, "stack", 1, UINT32_MAX, 0, &stack, why);

	if (r == 0)
		r = api_number(q, "frame", 0, UINT32_MAX, 0, &at, why);
	if (r == 0)
		r = api_number(q, "around", 0, AROUND_MAX, 8, &around, why);
	if (r == 0 && (stack == 0 || tables_stack(a->tables, stack) == NULL)) {
		why_set(why, "stack=: there is no such stack");
		r = -ENOENT;
	}
	if (r == 0)
		r = frames_create(&frames, a->tables);
	if (r < 0)
		return r;
	ret->is_immutable = false;
	r = find_line(frames, (uint32_t)stack, at, &frame, &line);
	if (r == -ENOENT ||
	    (r == 0 && (line == NULL || line->file[0] == '\0' || line->line <= 0))) {
		why_set(why, "where that is in a source is not known");
		r = -ENOENT;
	}
	if (r == 0)
		r = put_source(a, frame, line, around, why);
	frames_destroy(frames);
	return r;
}

const struct api_path api_paths_source[] = {
	{.name = "source", .takes = "stack frame around", .is_work = true, .answer = answer_source},
	{.name = NULL},
};
