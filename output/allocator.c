#include "output/allocator.h"

#include <stddef.h>
#include <string.h>

static const char *const names[] = {
	"aligned_alloc",
	"calloc",
	"malloc",
	"memalign",
	"posix_memalign",
	"pvalloc",
	"realloc",
	"reallocarray",
	"valloc",
	/* glibc */
	"__libc_calloc",
	"__libc_malloc",
	"__libc_memalign",
	"__libc_pvalloc",
	"__libc_realloc",
	"__libc_reallocarray",
	"__libc_valloc",
	"__posix_memalign",
	/* gperftools */
	"tc_calloc",
	"tc_malloc",
	"tc_memalign",
	"tc_new",
	"tc_new_nothrow",
	"tc_newarray",
	"tc_newarray_nothrow",
	"tc_posix_memalign",
	"tc_pvalloc",
	"tc_realloc",
	"tc_valloc",
};

/* What the compiler calls, and the default and the program's own behind it. */
static const char *const rust_names[] = {
	"__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc",
	"__rdl_alloc",  "__rdl_alloc_zeroed",  "__rdl_realloc",
	"__rg_alloc",   "__rg_alloc_zeroed",   "__rg_realloc",
};

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}
#define IS_ONE_OF(name, list) is_one_of(name, list, sizeof(list) / sizeof((list)[0]))

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* The last part of a path like _RNvCs…_7___rustc12___rust_alloc, which newer compilers make of __rust_alloc. */
static const char *rust_name(const char *name)
{
	static const char crate[] = "7___rustc";
	const char *at = begins(name, "_RNvC") ? strstr(name, crate) : NULL;

	if (at == NULL)
		return name;
	at += sizeof(crate) - 1;
	at += strspn(at, "0123456789");
	return *at == '_' ? at + 1 : at;
}

bool allocator_has(const char *system_name)
{
	/* operator new, new[]: with whatever parameters, but not a class's own */
	if (begins(system_name, "_Znw") || begins(system_name, "_Zna") ||
	    begins(system_name, "_ZN8tcmalloc"))
		return true;
	return IS_ONE_OF(system_name, names) || IS_ONE_OF(rust_name(system_name), rust_names);
}
