#include "page/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/file.h"
#include "output/gzip.h"

static int read_all(int fd, char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, to + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int pack_file(int fd, bool *ret_is_packed)
{
	struct gzip_packer *packer = NULL;
	struct stat st;
	char *bytes;
	int r;

	*ret_is_packed = false;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < PACK_LEAST)
		return 0;
	bytes = malloc((size_t)st.st_size);
	r = bytes != NULL ? read_all(fd, bytes, (size_t)st.st_size) : -ENOMEM;
	if (r == 0 && (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		r = -errno;
	if (r == 0)
		r = gzip_pack_create(&packer, file_sink, &fd);
	if (r == 0) {
		gzip_pack_quickly(packer);
		r = gzip_pack(packer, bytes, (size_t)st.st_size);
	}
	if (r == 0)
		r = gzip_pack_finish(packer);
	gzip_pack_destroy(packer);
	free(bytes);
	*ret_is_packed = r == 0;
	return r;
}
