/*
 * result: the file that a command writes: -o NAME, beside it and renamed when it is whole; or standard output.
 */
#pragma once

#include <stdbool.h>

#include "core/why.h"
#include "output/file.h"
#include "output/profile.h"

struct result {
	int fd; /* to write to */
	bool is_file;
	struct file file;
};

/* @path NULL or "-" is standard output. 0, or a negative errno with @why. */
int result_open(struct result *r, const char *path, struct why *why);
int result_commit(struct result *r, struct why *why);
void result_abandon(struct result *r);

/* All of it: a profile, gzipped. */
int result_write_profile(const struct profile *p, const char *path, struct why *why);

/* What is not text, of @what: not for a terminal, and so CMD_USAGE after saying so; else CMD_OK. */
int result_check_terminal(const char *path, const char *command, const char *what);
