/*
 * Hook context, but for the last two functions. Compiled with -fexceptions: the allocator's operator new throws through ours.
 *
 * Some allocators' operators call malloc() or free() by name, which is then ours as well (jemalloc's, of blocks that need
 * care). What was counted inside is not counted again; a block that was freed inside is not found again.
 */
#include "preload/wrap_operators.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "preload/real.h"
#include "preload/rebind.h"
#include "profiles/heap/heap.h"

/*
 * Mangled names: w and a are new and new[], d and a delete and delete[], m is size_t, St11align_val_t the alignment and
 * RKSt9nothrow_t the reference to std::nothrow.
 */
#define NEWS(X)                                                                             \
	X(_Znwm, (size_t size), (size))                                                     \
	X(_Znam, (size_t size), (size))                                                     \
	X(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))         \
	X(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow))         \
	X(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment))         \
	X(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment))         \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t,                                               \
	  (size_t size, size_t alignment, const void *nothrow), (size, alignment, nothrow)) \
	X(_ZnamSt11align_val_tRKSt9nothrow_t,                                               \
	  (size_t size, size_t alignment, const void *nothrow), (size, alignment, nothrow)) \
	X(mallocx, (size_t size, int flags), (size, flags))

#define DELETES(X)                                                                                \
	X(_ZdlPv, (void *p), (p))                                                                 \
	X(_ZdaPv, (void *p), (p))                                                                 \
	X(_ZdlPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                     \
	X(_ZdaPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                     \
	X(_ZdlPvm, (void *p, size_t size), (p, size))                                             \
	X(_ZdaPvm, (void *p, size_t size), (p, size))                                             \
	X(_ZdlPvSt11align_val_t, (void *p, size_t alignment), (p, alignment))                     \
	X(_ZdaPvSt11align_val_t, (void *p, size_t alignment), (p, alignment))                     \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t alignment, const void *nothrow),  \
	  (p, alignment, nothrow))                                                                \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t alignment, const void *nothrow),  \
	  (p, alignment, nothrow))                                                                \
	X(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t alignment), (p, size, alignment)) \
	X(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t alignment), (p, size, alignment)) \
	X(dallocx, (void *p, int flags), (p, flags))                                              \
	X(sdallocx, (void *p, size_t size, int flags), (p, size, flags))

#define NEW(name, parameters, arguments)                      \
	static void *(*real_##name)parameters;                \
	HOOKSAFE static void *our_##name parameters           \
	{                                                     \
		int64_t mark;                                 \
		void *p;                                      \
                                                              \
		if (likely(!(heap_watches() & HEAP_SAMPLES))) \
			return real_##name arguments;         \
		mark = heap_mark();                           \
		p = real_##name arguments;                    \
		if (!heap_counted_since(mark))                \
			heap_on_alloc(p, size);               \
		return p;                                     \
	}
NEWS(NEW)

#define DELETE(name, parameters, arguments)                  \
	static void(*real_##name) parameters;                \
	HOOKSAFE static void our_##name parameters           \
	{                                                    \
		if (unlikely(heap_watches() & HEAP_FOLLOWS)) \
			heap_on_free(p);                     \
		real_##name arguments;                       \
	}
DELETES(DELETE)

static void *(*real_rallocx)(void *p, size_t size, int flags);
static size_t (*real_xallocx)(void *p, size_t size, size_t extra, int flags);

HOOKSAFE static void *our_rallocx(void *old, size_t size, int flags)
{
	unsigned watches = heap_watches();
	struct heap_taken taken;
	int64_t mark;
	void *p;

	if (likely(watches == 0))
		return real_rallocx(old, size, flags);
	taken = heap_on_realloc_begin(old);
	mark = heap_mark();
	p = real_rallocx(old, size, flags);
	if (p == NULL) {
		heap_on_realloc_failed(taken, old);
		return NULL;
	}
	heap_on_realloc_done(taken);
	if ((watches & HEAP_SAMPLES) && !heap_counted_since(mark))
		heap_on_alloc(p, size);
	return p;
}

/* Changes a block where it lies, or leaves it as it is, and says which by the size that the block then has. */
HOOKSAFE static size_t our_xallocx(void *p, size_t size, size_t extra, int flags)
{
	unsigned watches = heap_watches();
	struct heap_taken taken;
	size_t now;

	if (likely(watches == 0))
		return real_xallocx(p, size, extra, flags);
	taken = heap_on_realloc_begin(p);
	now = real_xallocx(p, size, extra, flags);
	if (now < size) {
		heap_on_realloc_failed(taken, p);
		return now;
	}
	heap_on_realloc_done(taken);
	if (watches & HEAP_SAMPLES)
		heap_on_alloc(p, size);
	return now;
}

static int rebind_all(void)
{
#define ENTRY(name, parameters, arguments) \
	{#name, (rebind_function)our_##name, (rebind_function *)&real_##name},
	static const struct rebinding list[] = {
		/* clang-format off */
		NEWS(ENTRY)
		DELETES(ENTRY)
		ENTRY(rallocx, , )
		ENTRY(xallocx, , )
		/* clang-format on */
	};

	return rebind_allocator((const void *)(uintptr_t)real.malloc, list,
				sizeof(list) / sizeof(list[0]));
}

int wrap_operators_prepare(struct why *why)
{
	static char hidden_by[4096];
	static _Atomic bool is_known;
	int r;

	/* in a child of fork this is not asked again: it takes the loader's lock */
	if (!atomic_load_explicit(&is_known, memory_order_acquire)) {
		if (!rebind_malloc_is_hidden(hidden_by, sizeof(hidden_by)))
			hidden_by[0] = '\0';
		atomic_store_explicit(&is_known, true, memory_order_release);
	}
	if (hidden_by[0] != '\0') {
		why_set(why,
			"heap: malloc() is that of %s, which comes before libcprof.so: allocations "
			"cannot be seen",
			hidden_by);
		return -ENOTSUP;
	}
	r = rebind_all();
	if (r < 0)
		log_debug("heap: what the allocator has beside malloc() is not seen: %s",
			  strerrordesc_np(-r));
	else if (r > 0)
		log_debug("heap: %d functions of the allocator's own are seen", r);
	return 0;
}
