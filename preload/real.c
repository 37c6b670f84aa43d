#include "preload/real.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/arch.h"
#include "core/dynamic.h"
#include "preload/looks.h"

static void find_allocator(void);
static _Atomic bool allocator_is_known;

static _Atomic enum { NOT_YET, DONE } state;

/* As long as a name begins like this its function returns an error number, else -1 and errno. */
#define RETURNS_ERROR(name) (strncmp(name, "pthread_", 8) == 0)

#define ALLOCATES(result, name, parameters, arguments, otherwise) \
	static result early_##name parameters                     \
	{                                                         \
		find_allocator();                                 \
		if (real.name != early_##name)                    \
			return real.name arguments;               \
		return otherwise;                                 \
	}
#define FREES(name, parameters, arguments, otherwise) \
	static void early_##name parameters           \
	{                                             \
		find_allocator();                     \
		if (real.name != early_##name)        \
			real.name arguments;          \
		else                                  \
			otherwise;                    \
	}
#define X(result, name, parameters, arguments)                                 \
	static result early_##name parameters                                  \
	{                                                                      \
		real_early(#name, &real.name);                                 \
		if (real.name != early_##name)                                 \
			return real.name arguments;                            \
		if (!RETURNS_ERROR(#name))                                     \
			errno = ENOSYS;                                        \
		return (result)(intptr_t)(RETURNS_ERROR(#name) ? ENOSYS : -1); \
	}
#define DOES(name, parameters, arguments)      \
	static void early_##name parameters    \
	{                                      \
		real_early(#name, &real.name); \
		if (real.name != early_##name) \
			real.name arguments;   \
	}
#include "preload/wrapped.def"

static int early_old_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	real_resolve();
	return real.old_cond_wait != early_old_wait ? real.old_cond_wait(cond, mutex) : ENOSYS;
}

static int early_old_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
			       const struct timespec *until)
{
	real_resolve();
	return real.old_cond_timedwait != early_old_timedwait
		       ? real.old_cond_timedwait(cond, mutex, until)
		       : ENOSYS;
}

static int early_old_signal(pthread_cond_t *cond)
{
	real_resolve();
	return real.old_cond_signal != early_old_signal ? real.old_cond_signal(cond) : ENOSYS;
}

static int early_old_broadcast(pthread_cond_t *cond)
{
	real_resolve();
	return real.old_cond_broadcast != early_old_broadcast ? real.old_cond_broadcast(cond)
							      : ENOSYS;
}

/* One that is tried: it is busy, or the call itself will find out. */
#define TRIED(name, parameters, arguments, busy)                                 \
	static int early_##name parameters                                       \
	{                                                                        \
		real_resolve();                                                  \
		return real.name != early_##name ? real.name arguments : (busy); \
	}

TRIED(pthread_tryjoin_np, (pthread_t thread, void **result), (thread, result), EBUSY)

long (*real_syscall)(long number, ...);
void *(*real_dlopen)(const char *path, int flags);

struct real real = {
#define X(result, name, parameters, arguments) .name = early_##name,
#include "preload/wrapped.def"
	.pthread_tryjoin_np = early_pthread_tryjoin_np,
	.old_cond_wait = early_old_wait,
	.old_cond_timedwait = early_old_timedwait,
	.old_cond_signal = early_old_signal,
	.old_cond_broadcast = early_old_broadcast,
};

struct tries tries = {
	.mutex = looks_at_mutex,
	.read = looks_at_read,
	.write = looks_at_write,
	.spin = looks_at_spin,
	.mtx = looks_at_mtx,
};

/*
 * Condition variables have two ABIs on x86-64. A name without a version stands for the newer one in most places, and this
 * must be sure.
 */
static bool is_twofold(const char *name)
{
#ifdef __x86_64__
	return strcmp(name, "pthread_cond_wait") == 0 ||
	       strcmp(name, "pthread_cond_timedwait") == 0 ||
	       strcmp(name, "pthread_cond_signal") == 0 ||
	       strcmp(name, "pthread_cond_broadcast") == 0 ||
	       strcmp(name, "pthread_cond_init") == 0 || strcmp(name, "pthread_cond_destroy") == 0;
#else
	return false;
#endif
}

/* @place is a pointer to a function, which ISO C does not let us assign a void pointer to; POSIX makes them alike. */
static void find_next(const char *name, void *place)
{
	void *symbol = is_twofold(name) ? dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2") : NULL;

	if (symbol == NULL)
		symbol = dlsym(RTLD_NEXT, name);
	if (symbol != NULL)
		memcpy(place, &symbol, sizeof(symbol));
	else
		dlerror(); /* the host, asking for its own errors, must not be told of ours */
}

/* Nobody asks for these but who knows them by this version. */
static void find_old(const char *name, void *place)
{
	void *symbol = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");

	if (symbol != NULL)
		memcpy(place, &symbol, sizeof(symbol));
	else
		dlerror();
}

/* Files in the loader's order, which is that of its search. */
struct allocator_search {
	bool is_behind_us; /* what stands before us is not for us to call */
};

static int visit_allocator(struct dl_phdr_info *info, size_t size, void *user)
{
	struct allocator_search *search = user;
	struct dynamic d;
	uintptr_t at;

	(void)size;
	if (dynamic_read(&d, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum) < 0)
		return 0;
	if (dynamic_contains(&d, (uintptr_t)visit_allocator, PF_X)) {
		search->is_behind_us = true;
		return 0;
	}
	if (!search->is_behind_us)
		return 0;
#define X(result, name, parameters, arguments)
#define TAKE(name)                                                             \
	if (real.name == early_##name && dynamic_find(&d, #name, &at) != NULL) \
		memcpy(&real.name, &at, sizeof(at));
#define ALLOCATES(result, name, parameters, arguments, otherwise) TAKE(name)
#define FREES(name, parameters, arguments, otherwise)             TAKE(name)
#include "preload/wrapped.def"
#undef TAKE
	return 0;
}

/*
 * The loader's own. A sanitizer's runtime stands in front of it with one that must not be called before the runtime has set
 * itself up, in the course of which it calls malloc(). The look-up finds something, and so allocates nothing.
 */
static void each_file(int (*visit)(struct dl_phdr_info *info, size_t size, void *user), void *user)
{
	__typeof__(dl_iterate_phdr) *iterate = dl_iterate_phdr;
#ifdef __x86_64__
	void *symbol = dlvsym(RTLD_NEXT, "dl_iterate_phdr", "GLIBC_2.2.5");

	if (symbol != NULL)
		memcpy(&iterate, &symbol, sizeof(symbol));
#endif
	iterate(visit, user);
}

/*
 * The allocator's functions are looked up in the files themselves. Whoever calls them may be the loader inside dlsym(), or a
 * library inside its own constructor that cannot bear another call of malloc() now, which an unsuccessful dlsym() makes.
 */
static void find_allocator(void)
{
	struct allocator_search search = {false};
	int saved = errno;

	if (atomic_load_explicit(&allocator_is_known, memory_order_acquire))
		return;
	each_file(visit_allocator, &search);
	if (real.malloc == early_malloc) { /* we came late, and stand behind the C library */
		search.is_behind_us = true;
		each_file(visit_allocator, &search);
	}
	atomic_store_explicit(&allocator_is_known, real.malloc != early_malloc,
			      memory_order_release);
	errno = saved;
}

/* The file that the C library's functions for locks are in: its code. */
struct lock_file {
	uintptr_t address, start, end; /* of one of them, that nobody else defines */
};

static int visit_lock_file(struct dl_phdr_info *info, size_t size, void *user)
{
	struct lock_file *file = user;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || file->address < start ||
		    file->address - start >= ph->p_memsz)
			continue;
		file->start = start;
		file->end = start + ph->p_memsz;
		return 1;
	}
	return 0;
}

/* False: it is of that file, or not there at all. */
#define IS_OTHERS(file, name)         \
	(real.name != early_##name && \
	 ((uintptr_t)real.name < (file).start || (uintptr_t)real.name >= (file).end))

static void choose_tries(void)
{
	struct lock_file file = {0, 0, 0};

	find_next("pthread_mutexattr_gettype", &file.address);
	if (file.address != 0)
		each_file(visit_lock_file, &file);
	if (!IS_OTHERS(file, pthread_mutex_lock) && !IS_OTHERS(file, pthread_mutex_timedlock) &&
	    !IS_OTHERS(file, pthread_mutex_clocklock) && !IS_OTHERS(file, pthread_mutex_unlock) &&
	    !IS_OTHERS(file, pthread_mutex_trylock)) {
		tries.mutex = real.pthread_mutex_trylock;
		/* its checkers of threads want to see the call */
		tries.takes_words = !arch_is_translated();
	}
	if (!IS_OTHERS(file, pthread_rwlock_rdlock) &&
	    !IS_OTHERS(file, pthread_rwlock_timedrdlock) &&
	    !IS_OTHERS(file, pthread_rwlock_clockrdlock) &&
	    !IS_OTHERS(file, pthread_rwlock_unlock) && !IS_OTHERS(file, pthread_rwlock_tryrdlock))
		tries.read = real.pthread_rwlock_tryrdlock;
	if (!IS_OTHERS(file, pthread_rwlock_wrlock) &&
	    !IS_OTHERS(file, pthread_rwlock_timedwrlock) &&
	    !IS_OTHERS(file, pthread_rwlock_clockwrlock) &&
	    !IS_OTHERS(file, pthread_rwlock_unlock) && !IS_OTHERS(file, pthread_rwlock_trywrlock))
		tries.write = real.pthread_rwlock_trywrlock;
	if (!IS_OTHERS(file, pthread_spin_lock) && !IS_OTHERS(file, pthread_spin_unlock) &&
	    !IS_OTHERS(file, pthread_spin_trylock))
		tries.spin = real.pthread_spin_trylock;
	if (!IS_OTHERS(file, mtx_lock) && !IS_OTHERS(file, mtx_timedlock) &&
	    !IS_OTHERS(file, mtx_unlock) && !IS_OTHERS(file, mtx_trylock))
		tries.mtx = real.mtx_trylock;
	if (IS_OTHERS(file, pthread_join) || IS_OTHERS(file, pthread_timedjoin_np) ||
	    IS_OTHERS(file, pthread_clockjoin_np) || IS_OTHERS(file, thrd_join) ||
	    IS_OTHERS(file, pthread_tryjoin_np))
		real.pthread_tryjoin_np = looks_at_thread;
}

static void find_all(void)
{
	find_allocator();
#define ALLOCATES(result, name, parameters, arguments, otherwise)
#define FREES(name, parameters, arguments, otherwise)
#define X(result, name, parameters, arguments) \
	if (real.name == early_##name)         \
		find_next(#name, &real.name);
#include "preload/wrapped.def"
	find_next("prctl", &real.prctl);
	find_next("_exit", &real._exit);
	find_next("syscall", &real_syscall);
	find_next("dlopen", &real_dlopen);
	find_next("clone", &real.clone);
	find_next("longjmp", &real.longjmp);
	find_next("_longjmp", &real._longjmp);
	find_next("siglongjmp", &real.siglongjmp);
	find_next("__longjmp_chk", &real.__longjmp_chk);
	find_next("pthread_tryjoin_np", &real.pthread_tryjoin_np);
	find_old("pthread_cond_wait", &real.old_cond_wait);
	find_old("pthread_cond_timedwait", &real.old_cond_timedwait);
	find_old("pthread_cond_signal", &real.old_cond_signal);
	find_old("pthread_cond_broadcast", &real.old_cond_broadcast);
	choose_tries();
	/* The last look-up must not be a tail call: dlsym takes the caller from the return address. */
	__asm__ volatile("" ::: "memory");
}

void real_resolve(void)
{
	int saved = errno;

	if (atomic_load_explicit(&state, memory_order_acquire) == DONE)
		return;
	find_all();
	atomic_store_explicit(&state, DONE, memory_order_release);
	errno = saved;
}

/*
 * Only the one: who calls may be an allocator that holds its own lock, while it sets itself up for the first malloc(). A
 * look-up that finds something allocates nothing, and what is called is there; but of all the names some are always missing,
 * and for the error's text the loader calls malloc().
 */
void real_early(const char *name, void *place)
{
	int saved = errno;

	if (atomic_load_explicit(&state, memory_order_acquire) != DONE)
		find_next(name, place);
	errno = saved;
}
