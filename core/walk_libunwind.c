/*
 * The walk of unwind=libunwind, and the reference that tests hold ours against.
 *
 * libunwind is opened by hand: as a needed library it would stand before glibc's backtrace() and the C++ runtime's
 * unwinder for the whole host. It asks the loader for its list of files and takes its own locks, with all signals
 * blocked: it may run in a handler, but it is not held to what the *_sig.c files promise. That is why it is a choice.
 */
#include "core/walk.h"

#include <dlfcn.h>
#include <errno.h>

#ifdef CPROF_HAVE_LIBUNWIND

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#define LIBRARY       "libunwind.so.8"
#define TEXT_OF(name) TEXT(name)
#define TEXT(name)    #name

static struct {
	__typeof__(unw_init_local2) *init;
	__typeof__(unw_step) *step;
	__typeof__(unw_get_reg) *get_reg;
	__typeof__(unw_is_signal_frame) *is_signal;
} real;

static __thread bool is_inside __attribute__((tls_model("initial-exec")));

/* Of the frames that @uc leads to, the addresses to look up, as walk.h keeps them. */
static int walk(const ucontext_t *uc, uint64_t *ret_addresses, int max, bool *ret_is_complete)
{
	unw_cursor_t cursor;
	bool is_exact = true;
	int n = 0, r;

	*ret_is_complete = false;
	if (is_inside || real.init(&cursor, (unw_context_t *)uc, UNW_INIT_SIGNAL_FRAME) < 0)
		return 0;
	is_inside = true;
	for (;;) {
		unw_word_t pc = 0;

		if (real.get_reg(&cursor, UNW_REG_IP, &pc) < 0)
			break;
		if (pc == 0) {
			*ret_is_complete = true;
			break;
		}
		if (n == max)
			break;
		ret_addresses[n++] = pc - !is_exact;
		r = real.step(&cursor);
		is_exact = real.is_signal(&cursor) > 0; /* of the frame that a signal interrupted */
		*ret_is_complete = r == 0;
		if (r <= 0)
			break;
	}
	is_inside = false;
	return n;
}

static int look_up(void *library, const char *name, void *ret_function, struct why *why)
{
	void *found = dlsym(library, name);

	if (found == NULL) {
		why_set(why, "unwind=libunwind: %s has no %s", LIBRARY, name);
		return -ENOTSUP;
	}
	*(void **)ret_function = found;
	return 0;
}

int walk_libunwind_init(struct why *why)
{
	void *library;
	int r;

	if (walk_settings.libunwind != NULL)
		return 0;
	library = dlopen(LIBRARY, RTLD_LOCAL | RTLD_NOW);
	if (library == NULL) {
		why_set(why, "unwind=libunwind: %s", dlerror());
		return -ENOTSUP;
	}
	r = look_up(library, TEXT_OF(unw_init_local2), &real.init, why);
	if (r == 0)
		r = look_up(library, TEXT_OF(unw_step), &real.step, why);
	if (r == 0)
		r = look_up(library, TEXT_OF(unw_get_reg), &real.get_reg, why);
	if (r == 0)
		r = look_up(library, TEXT_OF(unw_is_signal_frame), &real.is_signal, why);
	if (r < 0) {
		dlclose(library);
		return r;
	}
	walk_settings.libunwind =
		walk; /* the library stays open: a handler may be in it at any time */
	return 0;
}

#else

int walk_libunwind_init(struct why *why)
{
	why_set(why, "unwind=libunwind: this cprof was built without libunwind's headers; "
		     "install libunwind-dev and build again, or use unwind=auto");
	return -ENOTSUP;
}

#endif
