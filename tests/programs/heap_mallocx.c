/*
 * heap_mallocx: jemalloc's own functions, counted. Only with jemalloc: linked, or preloaded.
 *
 *     heap_mallocx
 *
 * A block that xallocx() has made larger or smaller, where it is, counts as realloc()'s do. The last line is the truth in JSON.
 */
#define SITES(X)         \
	X(by_mallocx)    \
	X(by_mallocx_al) \
	X(by_mallocx_0)  \
	X(by_malloc)     \
	X(rallocx_grows) \
	X(rallocx_al)    \
	X(rallocx_fails) \
	X(xallocx_grows) \
	X(xallocx_fails) \
	X(mallocx_fails)

#include <malloc.h>

#include "tests/programs/heap.h"

/* jemalloc/jemalloc.h may be another version's than the library */
extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern void *rallocx(void *p, size_t size, int flags) __attribute__((weak));
extern size_t xallocx(void *p, size_t size, size_t extra, int flags) __attribute__((weak));
extern size_t sallocx(const void *p, int flags) __attribute__((weak));
extern void dallocx(void *p, int flags) __attribute__((weak));
extern void sdallocx(void *p, size_t size, int flags) __attribute__((weak));
extern size_t nallocx(size_t size, int flags) __attribute__((weak));

#define LG_ALIGN(lg) ((int)(lg))
#define ZERO         0x40
#define TCACHE_NONE  ((1 << 8))

SITE static void by_mallocx(struct block *b, size_t size)
{
	made(b, SITE_by_mallocx, mallocx(size, 0), size);
}

SITE static void by_mallocx_al(struct block *b, size_t size)
{
	made(b, SITE_by_mallocx_al, mallocx(size, LG_ALIGN(8) | TCACHE_NONE), size);
}

SITE static void by_mallocx_0(struct block *b, size_t size)
{
	char *p = (char *)mallocx(size, ZERO);

	for (size_t i = 0; p != NULL && i < size; i += 61)
		if (p[i] != 0)
			wrong("is not zero", "mallocx");
	made(b, SITE_by_mallocx_0, p, size);
}

SITE static void by_malloc(struct block *b, size_t size)
{
	made(b, SITE_by_malloc, malloc(size), size);
}

static void resized(struct block *b, enum site site, void *p, size_t size)
{
	size_t before = b->size;

	gone(b);
	b->p = (char *)p;
	b->size = before;
	if (!is_marked(b, before < size ? before : size))
		wrong("has lost what was in it", sites[site].name);
	b->alignment = 0;
	made(b, site, p, size);
}

SITE static void rallocx_grows(struct block *b, size_t size)
{
	resized(b, SITE_rallocx_grows, rallocx(b->p, size, 0), size);
}

SITE static void rallocx_al(struct block *b, size_t size)
{
	resized(b, SITE_rallocx_al, rallocx(b->p, size, LG_ALIGN(7)), size);
}

static volatile size_t huge = (size_t)PTRDIFF_MAX / 2;
static int grew, did_not;

SITE static void rallocx_fails(struct block *b)
{
	if (rallocx(b->p, huge, 0) != NULL || !is_marked(b, b->size))
		wrong("has not failed", "rallocx");
}

SITE static void mallocx_fails(void)
{
	if (mallocx(huge, 0) != NULL)
		wrong("has not failed", "mallocx");
}

/* To the end of what it has anyway, or into what lies behind it. */
SITE static void xallocx_grows(struct block *b, size_t size)
{
	if (xallocx(b->p, size, 0, 0) >= size) {
		__atomic_fetch_add(&grew, 1, __ATOMIC_RELAXED);
		resized(b, SITE_xallocx_grows, b->p, size);
	} else {
		__atomic_fetch_add(&did_not, 1, __ATOMIC_RELAXED);
	}
}

SITE static void xallocx_fails(struct block *b)
{
	if (xallocx(b->p, huge, 0, 0) >= huge)
		wrong("has not failed", "xallocx");
}

static void make_one(uint64_t *state, struct block *b)
{
	size_t size = some_size(state);

	switch (dice(state, 4)) {
	case 0:
		by_mallocx(b, size);
		break;
	case 1:
		b->alignment = 256;
		by_mallocx_al(b, size);
		break;
	case 2:
		by_mallocx_0(b, size);
		break;
	default:
		by_malloc(b, size);
	}
	if (sallocx(b->p, 0) < size || sallocx(b->p, 0) != malloc_usable_size(b->p) ||
	    nallocx(size, 0) < size)
		wrong("is less than was asked for", "sallocx");
}

static void end_one(uint64_t *state, struct block *b)
{
	char *p;
	size_t size;

	for (uint32_t n = dice(state, 4); n > 0; n--) {
		switch (dice(state, 6)) {
		case 0:
			rallocx_grows(b, b->size * 2 + 10);
			break;
		case 1:
			rallocx_al(b, b->size / 2 + 1);
			break;
		case 2:
			rallocx_fails(b);
			break;
		case 3:
			xallocx_fails(b);
			break;
		default:
			xallocx_grows(b, dice(state, 3) == 0 ? b->size * 2 : b->size + 1);
		}
	}
	p = b->p;
	size = dice(state, 2) != 0 ? nallocx(sallocx(p, 0), 0) : sallocx(p, 0); /* the same */
	gone(b);
	switch (dice(state, 3)) {
	case 0:
		free(p);
		break;
	case 1:
		dallocx(p, dice(state, 2) != 0 ? TCACHE_NONE : 0);
		break;
	default:
		sdallocx(p, size, 0);
	}
}

int main(void)
{
	static const struct passing how = {make_one, end_one};

	if (mallocx == NULL || rallocx == NULL || xallocx == NULL || sallocx == NULL ||
	    dallocx == NULL || sdallocx == NULL || nallocx == NULL) {
		say("no jemalloc\n");
		return 77;
	}
	mallocx_fails();
	pass_around(&how);
	say("xallocx makes some larger, not others: %d\n", grew > 100 && did_not > 100);
	print_truth();
	return wrongs != 0;
}
