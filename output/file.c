#include "output/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel has it */

/*
 * One step of a way: the directory @name in @at. -ELOOP with *ret_link for a symbolic link. Opened for reading where that
 * is allowed, for only so is a file system mounted that waits for its first visitor.
 */
static int step(int at, const char *name, int *ret_link)
{
	int flags = O_NOFOLLOW | O_CLOEXEC, fd, r;
	struct stat st;

	fd = openat(at, name, O_RDONLY | O_DIRECTORY | flags);
	if (fd < 0 && errno == EACCES)
		fd = openat(at, name, O_PATH | O_DIRECTORY | flags);
	if (fd >= 0 || (errno != ENOTDIR && errno != ELOOP))
		return fd >= 0 ? fd : -errno;
	fd = openat(at, name, O_PATH | flags);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR;
	if (r == -ELOOP)
		*ret_link = fd;
	else
		close(fd);
	return r;
}

static int make_and_step(int at, const char *name, int *ret_link)
{
	int r = step(at, name, ret_link);

	if (r != -ENOENT)
		return r;
	if (mkdirat(at, name, 0777) < 0 && errno != EEXIST)
		return -errno;
	return step(at, name, ret_link);
}

/* Puts what the link @fd leads to before @rest. Another user's is refused: he could lead us wherever we may write. */
static int follow(int fd, const char *path, char *rest, size_t size, struct why *why)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
	int r = n < 0 || fstat(fd, &st) < 0 ? -errno : 0;

	close(fd);
	if (r < 0)
		return r;
	target[n] = '\0';
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		why_set(why,
			"%s leads through a symbolic link of another user, to %s; name the "
			"directory itself with -o DIR",
			path, target);
		return -EPERM;
	}
	if ((size_t)n + strlen(rest) + 2 > size)
		return -ENAMETOOLONG;
	memmove(rest + n + 1, rest, strlen(rest) + 1);
	memcpy(rest, target, (size_t)n);
	rest[n] = '/';
	return 0;
}

/* Opens @path, step by step, so that what was looked at is what is used. What is missing is made. */
static int walk(const char *path, struct why *why)
{
	char rest[2 * PATH_MAX], name[NAME_MAX + 1];
	int at = -1, next, link = -1, links = 0;
	size_t length;

	snprintf(rest, sizeof(rest), "%s", path);
	for (;;) {
		if (at < 0 || rest[0] == '/') {
			next = open(rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
			if (at >= 0)
				close(at);
			if (next < 0)
				return -errno;
			at = next;
		}
		length = strspn(rest, "/");
		memmove(rest, rest + length, strlen(rest + length) + 1);
		length = strcspn(rest, "/");
		if (length == 0)
			return at;
		if (length >= sizeof(name)) {
			next = -ENAMETOOLONG;
			break;
		}
		memcpy(name, rest, length);
		name[length] = '\0';
		/* what is left is the way from there: no slash before it */
		length += strspn(rest + length, "/");
		memmove(rest, rest + length, strlen(rest + length) + 1);
		next = make_and_step(at, name, &link);
		if (next == -ELOOP) {
			next = ++links > LINKS_MAX ? -ELOOP
						   : follow(link, path, rest, sizeof(rest), why);
			if (next < 0)
				break;
			continue;
		}
		if (next < 0)
			break;
		close(at);
		at = next;
	}
	close(at);
	return next;
}

int file_open_directory(const char *path, struct why *why)
{
	struct why own = {""};
	size_t length = strlen(path);
	int fd, r;

	if (length == 0 || length >= PATH_MAX) {
		why_set(why, "%s: a directory's name has 1 to %d bytes", path, PATH_MAX - 1);
		return -ENAMETOOLONG;
	}
	fd = walk(path, &own);
	if (fd == -ENOTDIR)
		why_set(&own, "%s is not a directory; name another with -o DIR", path);
	else if (fd < 0 && own.text[0] == '\0')
		why_set(&own, "cannot make directory %s: %s; name another with -o DIR", path,
			strerror(-fd));
	if (fd < 0) {
		*why = own;
		return fd;
	}
	if (faccessat(fd, ".", W_OK | X_OK, 0) != 0) {
		r = -errno;
		why_set(why, "cannot write in %s: %s; name another with -o DIR", path,
			strerror(-r));
		close(fd);
		return r;
	}
	return fd;
}

int file_open_below(int directory, const char *name, struct why *why)
{
	int link = -1, fd = make_and_step(directory, name, &link);

	if (fd == -ELOOP)
		close(link);
	if (fd < 0)
		why_set(why, "cannot make directory %s: %s", name,
			fd == -ELOOP ? "there is a symbolic link" : strerror(-fd));
	return fd;
}

static void begin(struct file *f, int directory, const char *name)
{
	f->directory = directory;
	f->is_nameless = false;
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->temporary, sizeof(f->temporary), ".%s.%d.part", f->name, (int)getpid());
}

int file_create(struct file *f, int directory, const char *shown, const char *name, struct why *why)
{
	int r;

	begin(f, directory, name);
	unlinkat(f->directory, f->temporary, 0);
	f->fd = openat(f->directory, f->temporary,
		       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		r = -errno;
		why_set(why, "cannot write %s/%s: %s", shown, name, strerror(-r));
		return r;
	}
	return 0;
}

/* How a file without a name gets one, for who has no rights beyond its own. */
static void link_of(const struct file *f, char ret[32])
{
	snprintf(ret, 32, "/proc/self/fd/%d", f->fd);
}

int file_create_nameless(struct file *f, int directory, const char *shown, const char *name,
			 struct why *why)
{
	char link[32];

	begin(f, directory, name);
	f->fd = openat(f->directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return file_create(f, directory, shown, name, why);
	link_of(f, link);
	if (faccessat(AT_FDCWD, link, F_OK, 0) < 0) {
		close(f->fd);
		return file_create(f, directory, shown, name, why);
	}
	f->is_nameless = true;
	return 0;
}

void file_abandon(struct file *f)
{
	if (!f->is_nameless)
		unlinkat(f->directory, f->temporary, 0);
	close(f->fd);
}

int file_commit(struct file *f, struct why *why)
{
	char link[32];
	int r = 0;

	if (f->is_nameless) {
		link_of(f, link);
		unlinkat(f->directory, f->temporary, 0);
		if (linkat(AT_FDCWD, link, f->directory, f->temporary, AT_SYMLINK_FOLLOW) < 0)
			r = -errno;
	}
	if (close(f->fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(f->directory, f->temporary, f->directory, f->name) < 0)
		r = -errno;
	if (r < 0) {
		why_set(why, "cannot finish %s: %s", f->name, strerror(-r));
		unlinkat(f->directory, f->temporary, 0);
	}
	return r;
}

int file_write(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_sink(void *fd, const void *bytes, size_t size)
{
	return file_write(*(const int *)fd, bytes, size);
}

int file_open_unnamed(const char **ret_directory)
{
	const char *directory = getenv("TMPDIR");
	char path[4096];
	int fd;

	if (directory == NULL || directory[0] == '\0')
		directory = "/tmp";
	*ret_directory = directory;
	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 &&
	    snprintf(path, sizeof(path), "%s/cprof.XXXXXX", directory) < (int)sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	return fd >= 0 ? fd : -errno;
}
