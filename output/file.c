#include "output/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_make_directory(const char *path, struct why *why)
{
	char part[4096];
	struct stat st;
	size_t length = strlen(path);
	int r;

	if (length == 0 || length >= sizeof(part)) {
		why_set(why, "%s: a directory's name has 1 to %zu bytes", path, sizeof(part) - 1);
		return -ENAMETOOLONG;
	}
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0777) == 0 || errno == EEXIST)
			continue;
		r = -errno;
		if (stat(part, &st) == 0)
			continue; /* a read-only file system says so even of what is there */
		why_set(why, "cannot make directory %s: %s; name another with -o DIR", part,
			strerror(-r));
		return r;
	}
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		why_set(why, "%s is not a directory; name another with -o DIR", path);
		return -ENOTDIR;
	}
	if (access(path, W_OK | X_OK) != 0) {
		r = -errno;
		why_set(why, "cannot write in %s: %s; name another with -o DIR", path,
			strerror(-r));
		return r;
	}
	return 0;
}

int file_create(struct file *f, const char *directory, const char *name, struct why *why)
{
	int r;

	f->fd = -1;
	f->directory = open(directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (f->directory < 0) {
		r = -errno;
		why_set(why, "cannot open directory %s: %s", directory, strerror(-r));
		return r;
	}
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->temporary, sizeof(f->temporary), ".%s.%d.part", f->name, (int)getpid());
	unlinkat(f->directory, f->temporary, 0);
	f->fd = openat(f->directory, f->temporary,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		r = -errno;
		why_set(why, "cannot write %s/%s: %s", directory, name, strerror(-r));
		close(f->directory);
		return r;
	}
	return 0;
}

void file_abandon(struct file *f)
{
	unlinkat(f->directory, f->temporary, 0);
	close(f->fd);
	close(f->directory);
}

int file_commit(struct file *f, struct why *why)
{
	int r = 0;

	if (close(f->fd) < 0)
		r = -errno;
	if (r == 0 && renameat(f->directory, f->temporary, f->directory, f->name) < 0)
		r = -errno;
	if (r < 0) {
		why_set(why, "cannot finish %s: %s", f->name, strerror(-r));
		unlinkat(f->directory, f->temporary, 0);
	}
	close(f->directory);
	return r;
}
