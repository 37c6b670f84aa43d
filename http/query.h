/*
 * query: what stands behind the "?" of a URL, read as net/url and strconv of Go read it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The first value of @name, decoded, into @ret, cut to @size - 1 bytes. False, and "", when there is none. Parts that cannot be
 * decoded, or have a ";", are passed over. A NUL becomes another character that nothing of ours has.
 */
bool query_get(const char *query, const char *name, char *ret, size_t size);

/* The path of @uri, up to its "?", decoded. Its length; -1 when it cannot be, or is too long. */
int query_path(const char *uri, char *ret, size_t size);

/*
 * A number of base 10, as strconv.ParseInt has it: 0, -EINVAL with 0 in *ret, or -ERANGE with the nearest that there is.
 */
int query_int(const char *text, int64_t *ret);

/* As strconv.ParseFloat: 0, or -EINVAL with 0. What is too large is infinite. */
int query_float(const char *text, double *ret);

/* A number of any base by its prefix, 0 when it is none: strconv.ParseUint(text, 0, 64). @text has @size bytes. */
uint64_t query_address(const char *text, size_t size);
