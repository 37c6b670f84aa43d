#include <stdlib.h>
#include <string.h>

#include "output/text.h"

const char *path_base(struct profile *p, const char *path)
{
	size_t end = strlen(path), start;

	if (end == 0)
		return ".";
	while (end > 0 && path[end - 1] == '/')
		end--;
	if (end == 0)
		return "/";
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	return profile_string_raw(p, path + start, end - start);
}

const char *path_clean(struct profile *p, const char *path)
{
	size_t n = strlen(path), to = 0, floor;
	bool is_rooted = path[0] == '/';
	const char *at = path, *result;
	char *out;

	out = malloc(n + 2);
	if (out == NULL)
		return path;
	if (is_rooted)
		out[to++] = '/';
	floor = to; /* ".." never goes back behind this */
	while (*at != '\0') {
		size_t part = strcspn(at, "/");

		if (part == 2 && at[0] == '.' && at[1] == '.') {
			if (to > floor) {
				for (to--; to > floor && out[to] != '/'; to--)
					;
			} else if (!is_rooted) {
				if (to > 0)
					out[to++] = '/';
				out[to++] = '.';
				out[to++] = '.';
				floor = to;
			}
		} else if (part > 0 && !(part == 1 && at[0] == '.')) {
			if (to > (is_rooted ? 1 : 0))
				out[to++] = '/';
			memcpy(out + to, at, part);
			to += part;
		}
		at += part;
		while (*at == '/')
			at++;
	}
	if (to == 0)
		out[to++] = '.';
	result = profile_string_raw(p, out, to);
	free(out);
	return result;
}

/* The part of a list by colons at *@list, which moves on; false at its end. An empty list has no parts. */
static bool next_part(const char **list, const char **ret, size_t *ret_size)
{
	if (*list == NULL)
		return false;
	*ret = *list;
	*ret_size = strcspn(*list, ":");
	*list = (*list)[*ret_size] == ':' ? *list + *ret_size + 1 : NULL;
	return true;
}

static const char *list_of(const char *option)
{
	return option == NULL || option[0] == '\0' ? NULL : option;
}

/* The last part of @dir as a directory within a path, "/name/"; NULL when out of memory. */
static char *as_directory(const char *dir, size_t size)
{
	size_t start;
	char *name;
	int n;

	while (size > 1 && dir[size - 1] == '/')
		size--;
	for (start = size; start > 0 && dir[start - 1] != '/'; start--)
		;
	if (size == 0)
		n = asprintf(&name, "/./");
	else if (size == 1 && dir[0] == '/')
		n = asprintf(&name, "///");
	else
		n = asprintf(&name, "/%.*s/", (int)(size - start), dir + start);
	return n < 0 ? NULL : name;
}

/* @path behind the first directory that is called as one of @source_path; NULL: there is none. */
static const char *behind_source(const char *path, const char *source_path)
{
	const char *list = list_of(source_path), *part, *found;
	char *name;
	size_t size;

	while (next_part(&list, &part, &size)) {
		name = as_directory(part, size);
		found = name == NULL ? NULL : strstr(path, name);
		if (found != NULL)
			found += strlen(name);
		free(name);
		if (found != NULL)
			return found;
	}
	return NULL;
}

/* @path behind @prefix and a slash; NULL: it does not begin so. */
static const char *behind_prefix(const char *path, const char *prefix, size_t size)
{
	if (strncmp(path, prefix, size) != 0)
		return NULL;
	path += size;
	if (size > 0 && prefix[size - 1] == '/')
		return path;
	return *path == '/' ? path + 1 : NULL;
}

const char *path_trim(const char *path, const char *trim_path, const char *source_path)
{
	/* Builds by Bazel have these in front of each file. */
	static const char *const always[] = {"/proc/self/cwd/./", "/proc/self/cwd/"};
	const char *list = list_of(trim_path), *part, *rest;
	size_t size, i;

	if (list == NULL) {
		rest = behind_source(path, source_path);
		if (rest != NULL)
			return rest;
	}
	while (next_part(&list, &part, &size)) {
		rest = behind_prefix(path, part, size);
		if (rest != NULL)
			return rest;
	}
	for (i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		rest = behind_prefix(path, always[i], strlen(always[i]));
		if (rest != NULL)
			return rest;
	}
	return path;
}
