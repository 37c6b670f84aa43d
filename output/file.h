/*
 * file: profiles as files: mode 0600, written beside and renamed, never through a symbolic link that somebody else made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/why.h"

/*
 * Opens directory @path, and makes it and its parents, 0777 less umask, where they are missing. A symbolic link on the way
 * is followed when it belongs to this user or to root; another's is refused. Returns a file or a negative errno.
 */
int file_open_directory(const char *path, struct why *why);

/* The same for @name in @directory. Nobody has typed that name, so no link is followed, whoever made it. */
int file_open_below(int directory, const char *name, struct why *why);

/*
 * Opens a new file in @directory, which errors call @shown, that will be @name. file_commit() gives it its name,
 * replacing what had it; file_abandon() removes it. @directory stays the caller's.
 */
struct file {
	int fd, directory;
	bool is_nameless;
	char name[256], temporary[288];
};
int file_create(struct file *f, int directory, const char *shown, const char *name,
		struct why *why);
/* The same, and where the file system can, it has no other name before: whoever is killed meanwhile leaves nothing behind. */
int file_create_nameless(struct file *f, int directory, const char *shown, const char *name,
			 struct why *why);
int file_commit(struct file *f, struct why *why);
void file_abandon(struct file *f);

/* Writes all of it: 0 or a negative errno. */
int file_write(int fd, const void *bytes, size_t size);
/* The same as a sink: @fd is the address of one. */
int file_sink(void *fd, const void *bytes, size_t size);

/*
 * A file for bytes that only we read: without a name, in $TMPDIR or /tmp; where the file system has no such thing, one whose name is
 * removed at once. Returns it or a negative errno.
 */
int file_open_unnamed(const char **ret_directory);
