/*
 * file: profiles as files: mode 0600, written beside and renamed, never through a symbolic link.
 */
#pragma once

#include "core/why.h"

/* Makes @path and its parents, 0777 less umask, if they are not there. */
int file_make_directory(const char *path, struct why *why);

/*
 * Opens a new file in @directory that will be @name. file_commit() gives it its name, replacing what had it;
 * file_abandon() removes it.
 */
struct file {
	int fd, directory;
	char name[256], temporary[288];
};
int file_create(struct file *f, const char *directory, const char *name, struct why *why);
int file_commit(struct file *f, struct why *why);
void file_abandon(struct file *f);
