/* heap_plugin: a library that allocates as it comes, while it is there, and as it goes. Built twice, as plugin.c is. */
#include "tests/programs/heap_plugin.h"
#include "tests/programs/host.h"

__attribute__((visibility("default"))) void heap_plugin(int n);

static char *volatile blocks[PLUGIN_BEGINS];

KEEP static void *plugin_begins(void)
{
	return (char *)malloc(PLUGIN_SIZE) + 0 * host_sink;
}

KEEP static void plugin_works(int n)
{
	for (int i = 0; i < n; i++) {
		char *volatile p = (char *)malloc(PLUGIN_SIZE);

		free(p);
	}
}

KEEP static void plugin_ends(void)
{
	for (int i = 0; i < PLUGIN_ENDS; i++) {
		char *volatile p = (char *)malloc(PLUGIN_SIZE);

		free(p);
	}
}

__attribute__((constructor)) static void begin(void)
{
	for (int i = 0; i < PLUGIN_BEGINS; i++)
		blocks[i] = (char *)plugin_begins();
}

void heap_plugin(int n)
{
	plugin_works(n);
}

/* All but one. */
__attribute__((destructor)) static void end(void)
{
	for (int i = 1; i < PLUGIN_BEGINS; i++)
		free(blocks[i]);
	plugin_ends();
}
