#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/check.h"
#include "output/pprof.h"

struct bytes {
	uint8_t *at;
	size_t size, room;
};

/* Reads the whole file. Returns 0 or a negative errno. */
static int slurp(int fd, uint8_t **ret_bytes, size_t *ret_size)
{
	struct bytes file = {0};
	struct stat st;
	uint8_t *bigger;
	ssize_t n;
	int r;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    (uint64_t)st.st_size <= PPROF_BYTES_MAX)
		file.room = (size_t)st.st_size + 1; /* one more, to see the end */
	else
		file.room = 64 << 10;
	file.at = malloc(file.room);
	if (file.at == NULL)
		return -ENOMEM;
	for (;;) {
		if (file.size == file.room) {
			bigger = file.size > PPROF_BYTES_MAX ? NULL
							     : realloc(file.at, file.room * 2);
			if (bigger == NULL) {
				r = file.size > PPROF_BYTES_MAX ? -EFBIG : -ENOMEM;
				goto fail;
			}
			file.at = bigger;
			file.room *= 2;
		}
		n = read(fd, file.at + file.size, file.room - file.size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			goto fail;
		}
		if (n == 0)
			break;
		file.size += (size_t)n;
	}
	*ret_bytes = file.at;
	*ret_size = file.size;
	return 0;

fail:
	free(file.at);
	return r;
}

/* Puts the file's name before the sentence; of a long one its end. */
static void name_file(const char *path, const char *sentence, struct why *why)
{
	size_t size = strlen(path);

	why_set(why, "%s%s: %s", size > 120 ? "…" : "", size > 120 ? path + size - 120 : path,
		sentence);
}

/* @fd -1: of the file called @path */
static int read_file(int fd, const char *path, uint8_t **ret_bytes, size_t *ret_size,
		     struct why *why)
{
	struct why sentence;
	bool is_ours = fd < 0;
	int r;

	if (is_ours)
		fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO)
					    : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		r = -errno;
	} else {
		r = slurp(fd, ret_bytes, ret_size);
		if (is_ours)
			close(fd);
	}
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		why_set(&sentence, "there is no such file; 'cprof run -o DIR PROGRAM' writes "
				   "profiles into DIR");
	else if (r == -EISDIR)
		why_set(&sentence,
			"this is a directory; name a profile in it, such as %.100s/cpu.pb.gz",
			path);
	else if (r == -EFBIG)
		why_set(&sentence, "it is larger than %zu MiB, more than any profile needs",
			PPROF_BYTES_MAX >> 20);
	else
		why_set(&sentence, "it cannot be read: %s", strerror(-r));
	name_file(path, sentence.text, why);
	return r;
}

int pprof_read_from(int fd, const char *name, struct profile *ret, struct pprof_wire *wire,
		    struct why *why)
{
	struct why sentence;
	uint8_t *bytes = NULL;
	size_t size = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = read_file(fd, name, &bytes, &size, why);
	if (r < 0)
		return r;
	r = wire != NULL ? pprof_decode_wire(bytes, size, ret, wire, &sentence)
			 : pprof_decode(bytes, size, ret, &sentence);
	if (r < 0)
		name_file(name, sentence.text, why);
	free(bytes);
	return r;
}

int pprof_read_wire(const char *path, struct profile *ret, struct pprof_wire *wire, struct why *why)
{
	return pprof_read_from(-1, path, ret, wire, why);
}

int pprof_read(const char *path, struct profile *ret, struct why *why)
{
	return pprof_read_from(-1, path, ret, NULL, why);
}
