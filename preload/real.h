/*
 * real: the functions behind our wrappers.
 *
 * Each pointer starts out at a function that looks it up and calls on, because other libraries'
 * constructors may call a wrapper before ours has run. Wrappers never ask whether they are ready.
 *
 * What this C library does not have stays at that function, which then fails with ENOSYS.
 */
#pragma once

#include <dlfcn.h>
#include <grp.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

struct real {
#define X(result, name, parameters, arguments) result(*name) parameters;
#include "preload/wrapped.def"
	int (*prctl)(int option, ...);
	void (*_exit)(int status);
	int (*clone)(int (*fn)(void *), void *stack, int flags, void *arg, ...);
	void (*longjmp)(jmp_buf to, int value);
	void (*_longjmp)(jmp_buf to, int value);
	void (*siglongjmp)(sigjmp_buf to, int value);
	void (*__longjmp_chk)(sigjmp_buf to, int value);

	/* not wrapped: what a wrapper tries first */
	int (*pthread_tryjoin_np)(pthread_t thread, void **result);

	/* the older kind of condition variables */
	int (*old_cond_wait)(pthread_cond_t *cond, pthread_mutex_t *mutex);
	int (*old_cond_timedwait)(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
	int (*old_cond_signal)(pthread_cond_t *cond);
	int (*old_cond_broadcast)(pthread_cond_t *cond);
};
extern struct real real __attribute__((visibility("hidden")));

/* What a wrapper tries first: the real functions, or looks (looks.h) until they are known, and where others stand before them. */
struct tries {
	int (*mutex)(pthread_mutex_t *mutex);
	bool takes_words; /* and may do itself what that does to a plain one: lock_words.h */
	int (*read)(pthread_rwlock_t *lock);
	int (*write)(pthread_rwlock_t *lock);
	int (*spin)(pthread_spinlock_t *lock);
	int (*mtx)(mtx_t *mutex);
};
extern struct tries tries __attribute__((visibility("hidden")));

/* Variables of their own: the wrappers are in assembly. */
extern long (*real_syscall)(long number, ...) __attribute__((visibility("hidden")));
extern void *(*real_dlopen)(const char *path, int flags) __attribute__((visibility("hidden")));

/* All that were not looked up yet. Keeps errno. */
void real_resolve(void);

/*
 * The one that @place is for, before all were looked up. The lookup may come back here: what the loader allocates comes from
 * the host's allocator, which takes locks and makes system calls.
 */
void real_early(const char *name, void *place);
