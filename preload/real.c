#include "preload/real.h"

#include <string.h>

#define X(result, name, parameters, arguments) \
	static result early_##name parameters  \
	{                                      \
		real_resolve();                \
		return real.name arguments;    \
	}
#include "preload/wrapped.def"

long (*real_syscall)(long number, ...);

struct real real = {
#define X(result, name, parameters, arguments) .name = early_##name,
#include "preload/wrapped.def"
};

/* @place is a pointer to a function, which ISO C does not let us assign a void pointer to; POSIX makes them alike. */
static void find_next(const char *name, void *place)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (symbol != NULL)
		memcpy(place, &symbol, sizeof(symbol));
}

void real_resolve(void)
{
#define X(result, name, parameters, arguments) find_next(#name, &real.name);
#include "preload/wrapped.def"
	find_next("clone", &real.clone);
	find_next("prctl", &real.prctl);
	find_next("syscall", &real_syscall);
	/* The last look-up must not be a tail call: dlsym takes the caller from the return address. */
	__asm__ volatile("" ::: "memory");
}
