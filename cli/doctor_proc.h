/*
 * doctor_proc: small files of /proc, /sys and their like.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Its bytes, as text without the last newline, cut where @ret is full; or a negative errno. 0: it is empty. */
ssize_t proc_read(const char *path, char *ret, size_t size);

/* The value behind "@key:" in /proc/PID/status. False: it is not there. */
bool proc_status(pid_t pid, const char *key, char *ret, size_t size);
