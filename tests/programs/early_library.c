/*
 * early: a library whose constructor does what others do in main(). Constructors of what a program needs run before those of
 * what is preloaded into it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/early.h"

#define VISIBLE __attribute__((visibility("default")))

VISIBLE struct early_result early_results[EARLY_RESULTS];
VISIBLE int early_count;

#define NOTE(what)                                                                         \
	do {                                                                               \
		long noted;                                                                \
                                                                                           \
		errno = 0;                                                                 \
		noted = (long)(what);                                                      \
		early_results[early_count++] = (struct early_result){#what, noted, errno}; \
	} while (0)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static _Atomic int begun;

/* Two of these at once, as their first calls. */
static void *use_at_once(void *number)
{
	struct timespec soon = {0, 1000};
	struct pollfd none;
	long r = 0;

	begun++;
	while (begun < 2)
		;
	r += nanosleep(&soon, NULL);
	r += poll(&none, 0, 0);
	r += pthread_rwlock_rdlock(&rwlock);
	r += pthread_rwlock_unlock(&rwlock);
	r += (long)(intptr_t)number;
	return (void *)(intptr_t)r;
}

static int seven(void *unused)
{
	(void)unused;
	return 7;
}

static int jump(void)
{
	static sigjmp_buf back;
	int r = sigsetjmp(back, 1);

	if (r == 0)
		siglongjmp(back, 5);
	return r;
}

__attribute__((constructor)) static void begin(void)
{
	struct timespec now, soon = {0, 1000}, past = {0, 0};
	struct pollfd p = {-1, POLLIN, 0};
	struct timeval at_once = {0, 0};
	pthread_t ids[2];
	void *results[2] = {NULL, NULL};
	char buffer[8] = "early", *nothing[] = {NULL};
	struct iovec part = {buffer, 2};
	int fds[2], pair[2], thrd_result = 0;
	sem_t sem;
	thrd_t thrd;

	NOTE(pipe2(fds, O_CLOEXEC));
	NOTE(write(fds[1], buffer, 5));
	NOTE(read(fds[0], buffer, 3));
	NOTE(readv(fds[0], &part, 1));
	NOTE(read(-1, buffer, 3));
	NOTE(poll(&p, 1, 0));
	NOTE(select(0, NULL, NULL, NULL, &at_once));
	NOTE(nanosleep(&soon, NULL));
	NOTE(clock_nanosleep(77, 0, &soon, NULL));
	NOTE(usleep(1));
	NOTE(pthread_mutex_lock(&mutex));
	NOTE(pthread_mutex_timedlock(&mutex, &past));
	NOTE(pthread_cond_timedwait(&cond, &mutex, &past));
	NOTE(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &past));
	NOTE(pthread_mutex_unlock(&mutex));
	NOTE(pthread_rwlock_wrlock(&rwlock));
	NOTE(pthread_rwlock_rdlock(&rwlock));
	NOTE(pthread_rwlock_unlock(&rwlock));
	NOTE(sem_init(&sem, 0, 1));
	NOTE(sem_wait(&sem));
	NOTE(sem_timedwait(&sem, &past));
	NOTE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	NOTE(send(pair[0], buffer, 2, 0));
	NOTE(recv(pair[1], buffer, 8, 0));
	NOTE(accept(pair[0], NULL, NULL));
	NOTE(waitpid(-1, NULL, 0));
	NOTE(getrandom(buffer, 4, 0));
	NOTE(syscall(SYS_getpid) == getpid());
	NOTE(prctl(PR_GET_DUMPABLE));
	NOTE(execve("/nonexistent", nothing, nothing));
	NOTE(signal(SIGUSR1, SIG_IGN) == SIG_DFL);
	NOTE(jump());
	/* what the loader has to say is the host's own */
	NOTE(dlsym(RTLD_DEFAULT, "no_such_name") == NULL);
	NOTE(strstr(dlerror(), "no_such_name") != NULL);
	NOTE(dlerror() == NULL);
	for (int i = 0; i < 2; i++)
		NOTE(pthread_create(&ids[i], NULL, use_at_once, NULL));
	for (int i = 0; i < 2; i++)
		NOTE(pthread_join(ids[i], &results[i]));
	NOTE(results[0] == NULL && results[1] == NULL);
	NOTE(thrd_create(&thrd, seven, NULL));
	NOTE(thrd_join(thrd, &thrd_result));
	NOTE(thrd_result);
	clock_gettime(CLOCK_MONOTONIC, &now);
	NOTE(pthread_setname_np(pthread_self(), "early"));
	NOTE(close(fds[0]) + close(fds[1]) + close(pair[0]) + close(pair[1]));
}
