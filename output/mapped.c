#include "output/mapped.h"

#include <string.h>

uint32_t mapped_count(const struct segment *s)
{
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	uint32_t room = segment_count(s, SEGMENT_MODULES, 0);

	return high < room ? high : room;
}

bool mapped_read(const struct segment *s, uint32_t index, struct segment_module *ret)
{
	memcpy(ret, segment_module_at(s, index), sizeof(*ret));
	return ret->state != MODULE_FREE && ret->start < ret->end &&
	       ret->build_id_size <= sizeof(ret->build_id);
}

bool mapped_find(const struct segment *s, uint64_t address, struct segment_module *ret)
{
	struct segment_module module;
	uint32_t n = mapped_count(s);
	bool is_found = false;

	for (uint32_t i = 0; i < n; i++) {
		if (!mapped_read(s, i, &module))
			continue;
		if ((address < module.start || address >= module.end) &&
		    (address < module.image_start || address >= module.image_end))
			continue;
		*ret = module;
		is_found = true;
		if (module.state == MODULE_LOADED)
			break;
	}
	return is_found;
}

void mapped_path(const struct segment *s, const struct segment_module *module, char *ret,
		 size_t size)
{
	static const char deleted[] = " (deleted)";
	size_t length;

	segment_copy_text(s, module->path, ret, size);
	length = strlen(ret);
	if (length > sizeof(deleted) - 1 &&
	    strcmp(ret + length - (sizeof(deleted) - 1), deleted) == 0)
		ret[length - (sizeof(deleted) - 1)] = '\0';
}
