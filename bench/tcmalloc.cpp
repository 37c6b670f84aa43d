/* heap_of_tcmalloc: tcmalloc's sampled heap into a file. It has this in C++ alone; preloaded beside tcmalloc. */
#include <cstdio>
#include <gperftools/malloc_extension.h>
#include <string>

extern "C" void heap_of_tcmalloc(const char *path)
{
	std::string text;
	FILE *f = std::fopen(path, "w");

	if (f == nullptr)
		return;
	MallocExtension::instance()->GetHeapSample(&text);
	std::fwrite(text.data(), 1, text.size(), f);
	std::fclose(f);
}
