#include "output/symbols_files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/symbols.h"
#include "output/symbols_debuginfod.h"

#define SYSTEM_DIRECTORY "/usr/lib/debug"
#define BUILD_ID_MAX     64 /* bytes; 20 is usual */

static bool has_build_id(const struct elf *elf, const uint8_t *build_id, size_t size)
{
	return elf->build_id != NULL && elf->build_id_size == size &&
	       memcmp(elf->build_id, build_id, size) == 0;
}

/*
 * A file without symbols and without DWARF is of no use: a binary found by mistake, or what a link
 * points at.
 */
static bool is_useful(const struct elf *elf)
{
	struct elf_section section;

	return elf_section_named(elf, ".symtab", &section) ||
	       elf_section_named(elf, ".debug_info", &section) ||
	       elf_section_named(elf, ".zdebug_info", &section);
}

/* The next directory of the search path @at, and the system's at the end; NULL when done. */
static const char *next_directory(const char **at, char *out, size_t size)
{
	size_t length;

	while (*at != NULL) {
		if (**at == '\0') {
			*at = NULL;
			return SYSTEM_DIRECTORY;
		}
		length = strcspn(*at, ":");
		snprintf(out, size, "%.*s", (int)length, *at);
		*at += length;
		if (**at == ':')
			(*at)++;
		if (length > 0 && length < size)
			return out;
	}
	return NULL;
}

static const char *search_path(void)
{
	const char *path = secure_getenv("CPROF_DEBUG_PATH");

	return path != NULL ? path : "";
}

int symbols_add_directory(const char *directory)
{
	const char *others = search_path();
	char *path;
	int r;

	if (asprintf(&path, "%s%s%s", directory, others[0] != '\0' ? ":" : "", others) < 0)
		return -ENOMEM;
	r = setenv("CPROF_DEBUG_PATH", path, 1) < 0 ? -errno : 0;
	free(path);
	return r;
}

static int open_as_build_id(struct elf *ret, const char *path, const uint8_t *build_id, size_t size)
{
	if (elf_open(ret, path, NULL) < 0)
		return -ENOENT;
	if (has_build_id(ret, build_id, size) && is_useful(ret))
		return 0;
	elf_fini(ret);
	return -ENOENT;
}

static int open_in_directories(struct elf *ret, const uint8_t *build_id, size_t size)
{
	const char *at = search_path(), *directory;
	char hex[2 * BUILD_ID_MAX + 1], path[PATH_MAX], room[PATH_MAX / 2];

	if (size < 2 || size > BUILD_ID_MAX)
		return -ENOENT;
	for (size_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
	while ((directory = next_directory(&at, room, sizeof(room))) != NULL) {
		snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", directory, hex, hex + 2);
		if (open_as_build_id(ret, path, build_id, size) == 0)
			return 0;
	}
	return -ENOENT;
}

static int open_from_servers(struct elf *ret, const uint8_t *build_id, size_t size)
{
	char *path = debuginfod_find(build_id, size);
	int r = path != NULL ? open_as_build_id(ret, path, build_id, size) : -ENOENT;

	free(path);
	return r;
}

int files_open_by_build_id(struct elf *ret, const uint8_t *build_id, size_t size)
{
	int r = open_in_directories(ret, build_id, size);

	return r == 0 ? 0 : open_from_servers(ret, build_id, size);
}

/* The checksum of .gnu_debuglink: CRC-32 as zlib has it, over the whole file. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
	uint32_t table[256], c;

	for (uint32_t i = 0; i < 256; i++) {
		c = i;
		for (int bit = 0; bit < 8; bit++)
			c = (c & 1) != 0 ? 0xedb88320 ^ (c >> 1) : c >> 1;
		table[i] = c;
	}
	c = 0xffffffff;
	for (size_t i = 0; i < size; i++)
		c = table[(c ^ data[i]) & 0xff] ^ (c >> 8);
	return ~c;
}

static bool open_linked(struct elf *ret, const struct elf *elf, uint32_t sum, const char *directory,
			const char *below, size_t below_length, const char *sub, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%.*s%s%s", directory, (int)below_length, below, sub,
		     name) >= (int)sizeof(path))
		return false;
	if (elf_open(ret, path, NULL) < 0)
		return false;
	/*
	 * Not the file itself, which may have the name it links to; its build id saves reading it
	 * all.
	 */
	if ((ret->dev != elf->dev || ret->ino != elf->ino) && is_useful(ret) &&
	    (elf->build_id != NULL && ret->build_id != NULL
		     ? has_build_id(ret, elf->build_id, elf->build_id_size)
		     : checksum(ret->data, ret->size) == sum))
		return true;
	elf_fini(ret);
	return false;
}

static int open_by_link(struct elf *ret, const struct elf *elf, const char *path)
{
	const char *at = search_path(), *slash = strrchr(path, '/'), *directory, *name;
	struct elf_section link;
	size_t name_size, length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
	uint32_t sum;
	char room[PATH_MAX / 2];

	if (!elf_section_named(elf, ".gnu_debuglink", &link) || link.data == NULL)
		return -ENOENT;
	/* A name, a NUL, filled up to a multiple of four, then the checksum. */
	name = (const char *)link.data;
	name_size = (strnlen(name, link.header.sh_size) + 4) & ~(size_t)3;
	if (name[0] == '\0' || link.header.sh_size < 8 || name_size > link.header.sh_size - 4 ||
	    memchr(name, '/', name_size) != NULL)
		return -ENOENT;
	memcpy(&sum, link.data + name_size, sizeof(sum));
	if (open_linked(ret, elf, sum, "", path, length, "", name) ||
	    open_linked(ret, elf, sum, "", path, length, ".debug/", name))
		return 0;
	while (path[0] == '/' && (directory = next_directory(&at, room, sizeof(room))) != NULL)
		if (open_linked(ret, elf, sum, directory, path, length, "", name))
			return 0;
	return -ENOENT;
}

int files_open_debug(struct elf *ret, const struct elf *elf, const char *path)
{
	bool has_id = elf->build_id != NULL;

	if (has_id && open_in_directories(ret, elf->build_id, elf->build_id_size) == 0)
		return 0;
	if (open_by_link(ret, elf, path) == 0)
		return 0;
	return has_id ? open_from_servers(ret, elf->build_id, elf->build_id_size) : -ENOENT;
}
