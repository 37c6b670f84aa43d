#include "viewer/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/file.h"

#define COPY_BYTES (64 << 10)

/* Copies what comes out of @from, so that it can be read at any offset. */
static int keep(int from, const char *shown, struct why *why)
{
	const char *directory;
	uint8_t *buffer = NULL;
	int fd = file_open_unnamed(&directory), r = 0;
	ssize_t n;

	if (fd < 0) {
		r = fd;
		why_set(why,
			"%s: a trace from a pipe is kept in a file in %s, which cannot be made: "
			"%s; "
			"set TMPDIR to a directory with room",
			shown, directory, strerror(-r));
		return r;
	}
	buffer = malloc(COPY_BYTES);
	if (buffer == NULL)
		r = -ENOMEM;
	while (r == 0 && (n = read(from, buffer, COPY_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? -errno : file_write(fd, buffer, (size_t)n);
	}
	free(buffer);
	if (r == 0)
		return fd;
	why_set(why, "%s: what comes through the pipe cannot be kept in %s: %s", shown, directory,
		strerror(-r));
	close(fd);
	return r;
}

int source_open(struct source *source, const char *path, struct why *why)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *shown = is_stdin ? "standard input" : path;
	struct stat st;
	int fd, kept, r;

	fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
		      : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		why_set(why, "%s: cannot be opened: %s", shown, strerror(-r));
		goto fail;
	}
	if (S_ISDIR(st.st_mode)) {
		r = -EISDIR;
		why_set(why, "%s is a directory; the trace in it is %s/trace.out", shown, path);
		goto fail;
	}
	if (isatty(fd)) {
		r = -EINVAL;
		why_set(why, "%s is a terminal; a trace was expected, as in 'cprof-trace - <FILE'",
			shown);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		kept = keep(fd, shown, why);
		if (kept < 0) {
			r = kept;
			goto fail;
		}
		close(fd);
		fd = kept;
		if (fstat(fd, &st) < 0) {
			r = -errno;
			why_set(why, "%s: %s", shown, strerror(-r));
			goto fail;
		}
	}
	*source = (struct source){
		.fd = fd,
		.size = (uint64_t)st.st_size,
		.stamp_ns = (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000) +
			    (uint64_t)st.st_mtim.tv_nsec,
	};
	return 0;

fail:
	if (fd >= 0)
		close(fd);
	return r;
}

void source_from_bytes(struct source *source, const void *bytes, size_t size)
{
	*source = (struct source){.fd = -1, .bytes = bytes, .size = size};
}

void source_close(struct source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

int source_read(const struct source *source, uint64_t offset, void *to, size_t size)
{
	uint8_t *at = to;

	if (offset > source->size || size > source->size - offset)
		return -ENODATA;
	if (source->fd < 0) {
		memcpy(to, source->bytes + offset, size);
		return 0;
	}
	while (size > 0) {
		ssize_t n = pread(source->fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA; /* somebody made it shorter */
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}
