/* plugin: a library that comes and goes. Built twice, so that one is mapped where the other was. */
#include "tests/programs/host.h"

__attribute__((visibility("default"))) int64_t plugin_burn(int64_t ns);

BURNER(plugin_work)

int64_t plugin_burn(int64_t ns)
{
	return plugin_work(ns);
}
