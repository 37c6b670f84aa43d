#include "output/symbols_debuginfod.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "output/symbols.h"

/* Of elfutils/debuginfod.h, which not every system that has the library has. */
struct debuginfod_client;

static struct {
	struct debuginfod_client *(*begin)(void);
	int (*find_debuginfo)(struct debuginfod_client *client, const unsigned char *build_id,
			      int build_id_size, char **ret_path);
} lib;

/* One for all: it keeps its connections. It stays until the program ends. */
static struct debuginfod_client *client;

int symbols_use_debuginfod(struct why *why)
{
	const char *servers = getenv("DEBUGINFOD_URLS");
	void *handle;

	if (servers == NULL || servers[0] == '\0') {
		why_set(why, "DEBUGINFOD_URLS names no server, such as "
			     "https://debuginfod.debian.net");
		return -EINVAL;
	}
	handle = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		why_set(why, "libdebuginfod.so.1 cannot be loaded (package libdebuginfod1 or "
			     "elfutils-debuginfod-client)");
		return -ENOSYS;
	}
	*(void **)&lib.begin = dlsym(handle, "debuginfod_begin");
	*(void **)&lib.find_debuginfo = dlsym(handle, "debuginfod_find_debuginfo");
	if (lib.begin != NULL && lib.find_debuginfo != NULL)
		client = lib.begin();
	if (client == NULL) {
		why_set(why, "libdebuginfod.so.1 does not work: another version was expected");
		return -ENOSYS;
	}
	return 0;
}

char *debuginfod_find(const uint8_t *build_id, size_t build_id_size)
{
	char *path = NULL;
	int fd;

	if (client == NULL || build_id_size == 0 || build_id_size > 64)
		return NULL;
	fd = lib.find_debuginfo(client, build_id, (int)build_id_size, &path);
	if (fd < 0)
		return NULL;
	close(fd);
	return path;
}
