#include "core/mem.h"

#include <sys/mman.h>

void *mem_map(size_t size_bytes)
{
	void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void mem_unmap(void *memory, size_t size_bytes)
{
	if (memory != NULL)
		munmap(memory, size_bytes);
}
