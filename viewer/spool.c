#include "viewer/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output/file.h"

/* A chunk: where the next one is, + 1; its size; bytes. Where it lies is settled when the one before it is written. */
struct chunk {
	uint64_t next;
	uint64_t size;
};
#define CHUNK_BYTES (SPOOL_CHUNK - sizeof(struct chunk))

static int failed(const struct spool *s, int error, struct why *why)
{
	why_set(why,
		"what is being exported is kept in a file in %s, which failed: %s; set TMPDIR to "
		"a directory with room",
		s->directory != NULL ? s->directory : "TMPDIR", strerror(-error));
	return error;
}

static int write_chunk(struct spool *s, uint64_t at, const uint8_t *chunk)
{
	size_t done = 0;

	while (done < SPOOL_CHUNK) {
		ssize_t n = pwrite(s->fd, chunk + done, SPOOL_CHUNK - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static int flush(struct spool *s, struct spool_list *list, uint64_t next, struct why *why)
{
	struct chunk head = {next, list->n};
	int r = 0;

	if (s->fd < 0) {
		s->fd = file_open_unnamed(&s->directory);
		r = s->fd < 0 ? s->fd : 0;
	}
	memcpy(list->buffer, &head, sizeof(head));
	if (r == 0)
		r = write_chunk(s, list->at - 1, list->buffer);
	list->n = 0;
	return r < 0 ? failed(s, r, why) : 0;
}

static uint64_t reserve(struct spool *s)
{
	uint64_t at = s->end;

	s->end += SPOOL_CHUNK;
	return at + 1;
}

int spool_put(struct spool *s, struct spool_list *list, const void *bytes, size_t size,
	      struct why *why)
{
	uint64_t next;
	int r;

	if (list->buffer == NULL) {
		list->buffer = malloc(SPOOL_CHUNK);
		if (list->buffer == NULL) {
			why_set(why, "out of memory");
			return -ENOMEM;
		}
		list->first = list->at = reserve(s);
	}
	if (list->n + size > CHUNK_BYTES) {
		next = reserve(s);
		r = flush(s, list, next, why);
		if (r < 0)
			return r;
		list->at = next;
	}
	memcpy(list->buffer + sizeof(struct chunk) + list->n, bytes, size);
	list->n += size;
	return 0;
}

int spool_seal(struct spool *s, struct spool_list *list, struct why *why)
{
	int r = list->buffer != NULL ? flush(s, list, 0, why) : 0;

	free(list->buffer);
	list->buffer = NULL;
	return r;
}

int spool_next(const struct spool *s, const struct spool_list *list, uint64_t *at,
	       uint8_t chunk[SPOOL_CHUNK], const uint8_t **ret, struct why *why)
{
	uint64_t from = *at == 0 ? list->first : *at;
	struct chunk head;
	size_t done = 0;

	if (from == 0 || from == UINT64_MAX)
		return 0;
	while (done < SPOOL_CHUNK) {
		ssize_t n =
			pread(s->fd, chunk + done, SPOOL_CHUNK - done, (off_t)(from - 1 + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failed(s, n < 0 ? -errno : -EIO, why);
		done += (size_t)n;
	}
	memcpy(&head, chunk, sizeof(head));
	if (head.size > CHUNK_BYTES)
		return failed(s, -EIO, why);
	*at = head.next != 0 ? head.next : UINT64_MAX;
	*ret = chunk + sizeof(head);
	return (int)head.size;
}

void spool_list_fini(struct spool_list *list)
{
	free(list->buffer);
	memset(list, 0, sizeof(*list));
}

void spool_fini(struct spool *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
