/*
 * log: one line to stderr, from normal and hook context.
 */
#pragma once

/* "cprof: …\n" by one write(2). errno is kept. */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* The same when CPROF_LOG=debug was in the environment. */
__attribute__((format(printf, 1, 2))) void log_debug(const char *format, ...);

void log_set_debug(int on);
