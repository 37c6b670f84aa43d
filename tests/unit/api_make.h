/*
 * api_make: an api of the trace of trace_timeline.h, and its answers in memory.
 */
#pragma once

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/trace_timeline.h"
#include "viewer/api.h"

struct api_made {
	struct made made;
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct api api;
	int fd; /* the answer */
};

/* Ends the program when it cannot be. */
static inline void api_make(struct api_made *m, bool with_index)
{
	struct why why = {"out of memory"};
	bool is_good;

	memset(m, 0, sizeof(*m));
	make_timeline(&m->made);
	tables_init(&m->tables);
	is_good =
		reader_open_bytes(&m->reader, "made", m->made.file.at, m->made.file.n, &why) == 0 &&
		streams_init(&m->streams, m->reader) == 0 &&
		tables_load(&m->tables, m->reader, &why) == 0;
	if (is_good) {
		m->api = (struct api){.reader = m->reader,
				      .streams = &m->streams,
				      .tables = &m->tables,
				      .begun_ns = m->reader->header.begun_monotonic_ns,
				      .file = "made"};
		timeline_range(m->reader, &m->api.begin_ns, &m->api.end_ns);
		m->api.from_ns = m->api.begin_ns;
		m->api.to_ns = m->api.end_ns;
		is_good = api_init(&m->api, &why) == 0;
	}
	if (is_good && with_index) {
		api_begin_index(&m->api, false);
		while (m->api.making != NULL)
			api_look_at_index(&m->api);
		is_good = m->api.state == API_INDEX_READY;
	}
	m->fd = memfd_create("answer", MFD_CLOEXEC);
	if (!is_good || m->fd < 0) {
		fprintf(stderr, "%s\n", why.text);
		abort();
	}
}

static inline void api_unmake(struct api_made *m)
{
	close(m->fd);
	api_fini(&m->api);
	tables_fini(&m->tables);
	streams_fini(&m->streams);
	reader_close(m->reader);
	made_free(&m->made);
}

/* The answer to @q as it is, ended by a zero byte; the caller's to free. */
static inline char *api_ask(struct api_made *m, const struct api_request *q, struct answer *ret,
			    size_t *ret_size)
{
	off_t size;
	char *text;

	if (ftruncate(m->fd, 0) < 0 || lseek(m->fd, 0, SEEK_SET) < 0)
		abort();
	api_answer(&m->api, q, m->fd, ret);
	size = lseek(m->fd, 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	if (text == NULL || pread(m->fd, text, (size_t)size, 0) != size)
		abort();
	*ret_size = (size_t)size;
	return text;
}
