/*
 * operators: every form of C++'s new and delete, and jemalloc's own functions where the process has them. Each FORM allocates
 * ten blocks and frees seven; what jemalloc changes in size counts twice, three times over, and three remain.
 *
 *     operators_cxx_WAY        prints one line of JSON: what it found, and the rights of its pages that are read-only
 *                              once it is loaded
 *
 * Also built as libraries for operators_host.c, where operators_run() is called. -DFORM(name) says what functions are called.
 */
#include <dlfcn.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>

#define STRING_OF(x)          #x
#define STRING(x)             STRING_OF(x)
#define FORM_OF(prefix, name) prefix##_##name
#define FORM_IN(prefix, name) FORM_OF(prefix, name)
#define FORM(name)            extern "C" __attribute__((noinline)) void FORM_IN(PREFIX, name)(void)
#define CALL(name)            FORM_IN(PREFIX, name)()

extern "C" {
void *mallocx(size_t size, int flags) __attribute__((weak));
void *rallocx(void *p, size_t size, int flags) __attribute__((weak));
size_t xallocx(void *p, size_t size, size_t extra, int flags) __attribute__((weak));
void dallocx(void *p, int flags) __attribute__((weak));
void sdallocx(void *p, size_t size, int flags) __attribute__((weak));
extern char _DYNAMIC[] __attribute__((visibility("hidden")));
extern char _GLOBAL_OFFSET_TABLE_[] __attribute__((visibility("hidden")));
int operators_run(void);
}

static const size_t size = 200;
static const std::align_val_t alignment = std::align_val_t(64);

/* Ten blocks by ALLOCATE, of which four are freed by FREE and three by FREE_TOO. */
#define BLOCKS(ALLOCATE, FREE, FREE_TOO)    \
	void *blocks[10];                   \
	for (int i = 0; i < 10; i++) {      \
		blocks[i] = ALLOCATE;       \
		memset(blocks[i], i, size); \
	}                                   \
	for (int i = 0; i < 7; i++) {       \
		void *p = blocks[i];        \
		if (i < 4)                  \
			FREE;               \
		else                        \
			FREE_TOO;           \
	}

FORM(new_plain)
{
	BLOCKS(operator new(size), operator delete(p), operator delete(p, size));
}

FORM(new_array)
{
	BLOCKS(operator new[](size), operator delete[](p), operator delete[](p, size));
}

FORM(new_nothrow)
{
	BLOCKS(operator new(size, std::nothrow), operator delete(p, std::nothrow),
						 operator delete(p));
}

FORM(new_array_nothrow)
{
	BLOCKS(operator new[](size, std::nothrow), operator delete[](p, std::nothrow),
						   operator delete[](p));
}

FORM(new_aligned)
{
	BLOCKS(operator new(size, alignment), operator delete(p, alignment),
					      operator delete(p, size, alignment));
}

FORM(new_array_aligned)
{
	BLOCKS(operator new[](size, alignment), operator delete[](p, alignment),
						operator delete[](p, size, alignment));
}

FORM(new_aligned_nothrow)
{
	BLOCKS(operator new(size, alignment, std::nothrow),
	       operator delete(p, alignment, std::nothrow), operator delete(p, alignment));
}

FORM(new_array_aligned_nothrow)
{
	BLOCKS(operator new[](size, alignment, std::nothrow),
	       operator delete[](p, alignment, std::nothrow), operator delete[](p, alignment));
}

/* By addresses that the loader stored in the data of this file. */
void *(*volatile by_address)(size_t) = operator new;
void (*volatile back_by_address)(void *) = operator delete;

FORM(address)
{
	BLOCKS(by_address(size), back_by_address(p), back_by_address(p));
}

FORM(mallocx)
{
	BLOCKS(mallocx(size, 0), dallocx(p, 0), sdallocx(p, size, 0));
}

FORM(rallocx)
{
	for (int i = 0; i < 3; i++)
		memset(rallocx(mallocx(1000, 0), 5000, 0), i, 5000);
}

FORM(xallocx)
{
	for (int i = 0; i < 3; i++) {
		void *p = mallocx(1000, 0);

		if (xallocx(p, 900, 0, 0) < 900 || xallocx(p, 1 << 24, 0, 0) >= 1 << 24)
			printf("xallocx() does something else\n");
	}
}

/* More than there is: 'e' for an exception, 'n' for none and NULL. */
static char too_much(bool throws)
{
	volatile size_t much = ~static_cast<size_t>(0) / 4;
	void *p;

	if (dlsym(RTLD_DEFAULT, "mi_version") != nullptr) /* it ends the program */
		return throws ? 'e' : 'n';
	try {
		p = throws ? operator new(much) : operator new(much, std::nothrow);
	} catch (const std::bad_alloc &) {
		return 'e';
	}
	return p == nullptr ? 'n' : 'p';
}

static void print_rights(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], rights[5] = "";
	unsigned long start, end, at = reinterpret_cast<unsigned long>(address);

	while (maps != nullptr && fgets(line, sizeof(line), maps) != nullptr)
		if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 && at >= start &&
		    at < end)
			break;
	fclose(maps);
	printf("\"%s\"", rights);
}

int operators_run(void)
{
	CALL(new_plain);
	CALL(new_array);
	CALL(new_nothrow);
	CALL(new_array_nothrow);
	CALL(new_aligned);
	CALL(new_array_aligned);
	CALL(new_aligned_nothrow);
	CALL(new_array_aligned_nothrow);
	CALL(address);
	if (mallocx != nullptr) {
		CALL(mallocx);
		CALL(rallocx);
		CALL(xallocx);
	}
	printf("{\"name\": \"%s\", \"jemalloc\": %s, \"too_much\": \"%c%c\", \"rights\": [",
	       STRING(PREFIX), mallocx != nullptr ? "true" : "false", too_much(true),
	       too_much(false));
	print_rights(_DYNAMIC);
	printf(", ");
	print_rights(_GLOBAL_OFFSET_TABLE_);
	printf("]}\n");
	return 0;
}

#ifdef PROGRAM
int main()
{
	return operators_run();
}
#endif
