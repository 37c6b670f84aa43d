/*
 * answers: what calls that may wait return, and in errno, in good cases and bad. One line each, the same whoever else is in the
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int idle_queue, idle_set;
static char queue_name[40];
static pthread_t held_thread;
static sem_t let_go;

static struct timespec until(int64_t ns)
{
	ns += host_clock(CLOCK_REALTIME);
	return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static const char *name_of(int error)
{
	const char *name = strerrorname_np(error);

	return name != NULL ? name : "?";
}

/* errno is 0 before each, so that one that leaves it alone is seen to. */
#define SHOW(call)                                                             \
	do {                                                                   \
		long long shown;                                               \
                                                                               \
		errno = 0;                                                     \
		shown = (long long)(call);                                     \
		printf("%s = %lld, errno %s\n", #call, shown, name_of(errno)); \
	} while (0)

/* Functions whose result is an error number. */
#define SHOW_E(call)                                                                  \
	do {                                                                          \
		int shown;                                                            \
                                                                                      \
		errno = 0;                                                            \
		shown = (call);                                                       \
		printf("%s = %s, errno %s\n", #call, name_of(shown), name_of(errno)); \
	} while (0)

/* By way of which the compiler does not see what is wrong with them. */
static void *volatile nowhere = NULL;
static volatile int no_file = -1;
static volatile nfds_t too_many = 1u << 30, one = 1;
static volatile size_t three =
	3; /* where the compiler cannot tell that it fits, a program built with care looks */

static struct timespec past = {0, 0}, instant = {0, 0}, odd = {0, 1000000000}, negative = {-1, 0},
		       soon = {0, 1000000};

static void answers_of_sleeps(void)
{
	struct timespec left = {5, 5};

	SHOW(nanosleep(&instant, NULL));
	SHOW(nanosleep(&soon, &left));
	SHOW(left.tv_sec);
	SHOW(nanosleep(&odd, NULL));
	SHOW(nanosleep(&negative, NULL));
	SHOW(nanosleep(nowhere, NULL));
	SHOW_E(clock_nanosleep(CLOCK_MONOTONIC, 0, &soon, NULL));
	SHOW_E(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
	SHOW_E(clock_nanosleep(12345, 0, &soon, NULL));
	SHOW_E(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &soon, NULL));
	SHOW_E(clock_nanosleep(CLOCK_MONOTONIC, 0, &odd, NULL));
	SHOW(usleep(0));
	SHOW(usleep(10));
	SHOW(sleep(0));
	SHOW(thrd_sleep(&instant, NULL));
	SHOW(thrd_sleep(&odd, NULL));
}

static void answers_of_files(void)
{
	int fds[2], pair[2], file = (int)syscall(SYS_memfd_create, "waiter", 0u), other;
	char buffer[64] = "0123456789";
	struct iovec parts[2] = {{buffer, 4}, {buffer + 10, 4}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	struct mmsghdr messages[2] = {{message, 0}, {message, 0}};
	struct sockaddr_un address = {.sun_family = AF_UNIX}, peer;
	socklen_t length = sizeof(peer);
	off_t offset = 2;
	off64_t offset64 = 0;
	int64_t page = sysconf(_SC_PAGESIZE);
	char *mapped;

	if (pipe2(fds, O_NONBLOCK) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		exit(1);
	SHOW(read(no_file, buffer, 1));
	SHOW(read(fds[0], buffer, 1));
	SHOW(read(fds[0], buffer, 0));
	SHOW(read(fds[1], buffer, 1));
	SHOW(write(fds[1], buffer, 10));
	SHOW(write(fds[1], nowhere, 10));
	SHOW(write(no_file, buffer, 1));
	SHOW(write(fds[0], buffer, 1));
	SHOW(read(fds[0], nowhere, 3));
	SHOW(read(fds[0], buffer + 20, three));
	SHOW(read(fds[0], buffer + 20, 30));
	SHOW(writev(fds[1], parts, 2));
	SHOW(writev(fds[1], parts, no_file));
	SHOW(writev(no_file, parts, 1));
	SHOW(readv(fds[0], parts, 2));
	SHOW(readv(fds[0], parts, 2));
	SHOW(readv(fds[0], nowhere, 1));
	SHOW(pwrite(file, "abcdefgh", 8, 0));
	SHOW(pwrite(file, "abcdefgh", 8, -1));
	SHOW(pwrite64(file, "ABC", 3, 4));
	SHOW(pread(file, buffer, 8, 2));
	SHOW(pread(file, buffer, three, 2));
	SHOW(pread64(file, buffer, three, 4));
	SHOW(pread64(file, buffer, 8, 100));
	SHOW(pread(fds[0], buffer, 8, 0));
	SHOW(preadv(file, parts, 2, 0));
	SHOW(preadv64(file, parts, 2, 6));
	SHOW(preadv2(file, parts, 2, 0, 0));
	SHOW(preadv2(file, parts, 2, 0, 1 << 20));
	SHOW(preadv64v2(file, parts, 1, -1, 0));
	SHOW(pwritev(file, parts, 2, 8));
	SHOW(pwritev64(file, parts, 2, 8));
	SHOW(pwritev2(file, parts, 2, 8, RWF_DSYNC));
	SHOW(pwritev64v2(file, parts, 2, -1, 0));
	SHOW(recv(pair[0], buffer, 1, MSG_DONTWAIT));
	SHOW(recv(file, buffer, 1, 0));
	SHOW(send(pair[1], "hello", 5, 0));
	SHOW(recv(pair[0], buffer, three, MSG_PEEK));
	SHOW(recvfrom(pair[0], buffer, three, MSG_PEEK, NULL, NULL));
	SHOW(recvfrom(file, buffer, three, MSG_PEEK, NULL, NULL));
	SHOW(recv(pair[0], buffer, 2, 0));
	SHOW(recvfrom(pair[0], buffer, 2, 0, (struct sockaddr *)&peer, &length));
	SHOW(length);
	SHOW(recvmsg(pair[0], &message, 0));
	SHOW(recvmsg(pair[0], nowhere, MSG_DONTWAIT));
	SHOW(recvmmsg(pair[0], messages, 2, MSG_DONTWAIT, NULL));
	SHOW(recvmmsg(pair[0], messages, 2, 0, &odd));
	SHOW(sendto(pair[1], "ho", 2, 0, NULL, 0));
	SHOW(sendmsg(pair[1], &message, 0));
	SHOW(sendmmsg(pair[1], messages, 2, 0));
	SHOW(recvmmsg(pair[0], messages, 2, MSG_DONTWAIT, NULL));
	SHOW(send(no_file, "x", 1, 0));
	SHOW(sendfile(pair[1], file, &offset, 3));
	SHOW(offset);
	SHOW(sendfile64(pair[1], file, &offset64, 3));
	SHOW(sendfile(pair[1], no_file, NULL, 3));
	SHOW(splice(file, &offset64, fds[1], NULL, 4, 0));
	SHOW(splice(file, &offset64, file, &offset64, 4, 0));
	SHOW(tee(fds[0], fds[0], 4, 0));
	SHOW(vmsplice(fds[1], parts, 1, 0));
	SHOW(connect(no_file, (struct sockaddr *)&address, sizeof(address)));
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path, "/nonexistent/socket");
	SHOW(connect(other, (struct sockaddr *)&address, sizeof(address)));
	SHOW(connect(other, nowhere, 200));
	SHOW(accept(other, NULL, NULL));
	SHOW(accept(no_file, NULL, NULL));
	SHOW(accept4(other, NULL, NULL, 1 << 20));
	SHOW(flock(file, LOCK_SH));
	SHOW(flock(file, 77));
	SHOW(flock(no_file, LOCK_SH));
	SHOW(lockf(file, F_LOCK, 10));
	SHOW(lockf64(file, F_ULOCK, 10));
	SHOW(lockf(file, 99, 1));
	SHOW(fsync(file));
	SHOW(fsync(fds[0]));
	SHOW(fdatasync(no_file));
	mapped = mmap(NULL, (size_t)page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SHOW(msync(mapped, (size_t)page, MS_SYNC));
	SHOW(msync(nowhere, (size_t)page, MS_SYNC));
	SHOW(tcdrain(file));
	SHOW(getrandom(buffer, 4, 0));
	SHOW(getrandom(nowhere, 4, 0));
	SHOW(getrandom(buffer, 4, 0x1000));
}

static void answers_of_polls(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct timeval short_time = {0, 1000}, odd_time = {-1, 0};
	int fds[2], epoll = epoll_create1(0);
	sigset_t none;
	fd_set set;

	sigemptyset(&none);
	if (pipe(fds) != 0)
		exit(1);
	struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}};

	SHOW(poll(p, 2, 0));
	SHOW(poll(p, 2, -1));
	SHOW(poll(p, 1, 1));
	SHOW(poll(p, one, 1));
	SHOW(ppoll(p, one, &soon, &none));
	SHOW(ppoll(p, one, &odd, &none));
	SHOW(poll(NULL, 0, 1));
	SHOW(poll(nowhere, 1, 1));
	SHOW(poll(p, too_many, 1));
	SHOW(ppoll(p, 1, &soon, &none));
	SHOW(soon.tv_nsec);
	SHOW(ppoll(p, 1, &odd, NULL));
	SHOW(ppoll(p, 2, NULL, NULL));
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	SHOW(select(fds[0] + 1, &set, NULL, NULL, &short_time));
	SHOW(short_time.tv_usec);
	SHOW(select(fds[0] + 1, &set, NULL, NULL, &odd_time));
	SHOW(select(-1, NULL, NULL, NULL, &short_time));
	FD_ZERO(&set);
	FD_SET(fds[1], &set);
	SHOW(select(fds[1] + 1, NULL, &set, NULL, NULL));
	SHOW(pselect(fds[1] + 1, NULL, NULL, &set, &soon, &none));
	SHOW(pselect(1000, &set, NULL, NULL, &odd, &none));
	SHOW(epoll_wait(epoll, &event, 1, 1));
	SHOW(epoll_wait(epoll, &event, 0, 1));
	SHOW(epoll_wait(no_file, &event, 1, 1));
	SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event));
	SHOW(epoll_pwait(epoll, &event, 1, 1, &none));
	SHOW(write(fds[1], "x", 1));
	SHOW(epoll_pwait(epoll, &event, 1, -1, NULL));
	SHOW(epoll_wait(epoll, nowhere, 1, -1));
#if __GLIBC_PREREQ(2, 35)
	SHOW(epoll_pwait2(epoll, &event, 1, &soon, NULL));
	SHOW(epoll_pwait2(epoll, &event, 1, &odd, NULL));
#endif
}

/* The child does without the C library, and without us. */
static pid_t sleep_in_child(void)
{
	struct timespec t = {0, MS};
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		syscall(SYS_nanosleep, &t, NULL);
		syscall(SYS_exit_group, 3);
	}
	return child;
}

static void answers_of_children(void)
{
	struct rusage usage;
	siginfo_t info;
	int status = 0;
	pid_t child;

	SHOW(wait(&status));
	SHOW(waitpid(-1, &status, 0));
	SHOW(waitpid(getpid(), &status, 77 << 10));
	child = sleep_in_child();
	SHOW(waitpid(child, &status, WNOHANG));
	SHOW(waitpid(child, &status, 0) == child);
	SHOW(status);
	child = sleep_in_child();
	SHOW(wait(nowhere) == child);
	child = sleep_in_child();
	SHOW(wait3(&status, 0, &usage) == child);
	child = sleep_in_child();
	SHOW(wait4(child, &status, 0, NULL) == child);
	SHOW(waitid(P_ALL, 0, &info, WEXITED));
	SHOW(waitid(P_ALL, 0, &info, 0));
	child = sleep_in_child();
	SHOW(waitid(P_PID, (id_t)child, &info, WEXITED));
}

static void answers_of_queues(void)
{
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0}, at_once = {0, -1, IPC_NOWAIT},
		      far = {9, 1, 0};
	struct {
		long type;
		char text[8];
	} message = {1, "text"};
	char text[64];
	unsigned int priority = 0;
	mqd_t queue = mq_open(queue_name, O_RDWR);

	SHOW(semop(idle_set, &up, 1));
	SHOW(semop(idle_set, &down, 1));
	SHOW(semop(idle_set, &at_once, 1));
	SHOW(semop(idle_set, &far, 1));
	SHOW(semop(-1, &up, 1));
	SHOW(semtimedop(idle_set, &down, 1, &soon));
	SHOW(semtimedop(idle_set, &down, 1, &odd));
	SHOW(msgrcv(idle_queue, &message, 8, 0, IPC_NOWAIT));
	SHOW(msgsnd(idle_queue, &message, 8, 0));
	SHOW(msgsnd(idle_queue, &message, (size_t)-1, 0));
	SHOW(msgrcv(idle_queue, &message, 2, 0, 0));
	SHOW(msgrcv(idle_queue, &message, 8, 0, 0));
	SHOW(msgsnd(-1, &message, 8, 0));
	SHOW(mq_send(queue, "hello", 5, 3));
	SHOW(mq_send(queue, "hello", 5, 1u << 31));
	SHOW(mq_timedsend(queue, "hello", 500, 1, &soon));
	SHOW(mq_timedsend(queue, "hello", 5, 1, &odd));
	SHOW(mq_timedsend(queue, "hello", 5, 1, &past));
	SHOW(mq_receive(queue, text, 2, NULL));
	SHOW(mq_receive(queue, text, sizeof(text), &priority));
	SHOW(priority);
	SHOW(mq_timedreceive(queue, text, sizeof(text), &priority, &past));
	SHOW(mq_timedreceive((mqd_t)no_file, text, sizeof(text), &priority, &past));
	mq_close(queue);
}

struct mutex_case {
	const char *name;
	int type, protocol, robust, shared;
};

static void *die_with(void *mutex)
{
	pthread_mutex_lock(mutex);
	return NULL;
}

/* A thread of its own for each: it ends, or not, with the lock in its hands. */
static void lose_owner(pthread_mutex_t *mutex)
{
	pthread_t id;

	pthread_create(&id, NULL, die_with, mutex);
	pthread_join(id, NULL);
}

static void *lock_and_tell(void *mutex)
{
	return (void *)(intptr_t)pthread_mutex_lock(mutex);
}

static void answers_of_mutexes(void)
{
	static const struct mutex_case cases[] = {
		{"normal", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, 0, 0},
		{"recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, 0, 0},
		{"errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 0, 0},
		{"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE, 0, 0},
		{"shared", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, 0, 1},
		{"shared errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 0, 1},
		{"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, 1, 0},
		{"robust recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, 1, 0},
		{"robust errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 1, 1},
		{"inherit", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0},
		{"inherit recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_INHERIT, 0, 0},
		{"inherit errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, 0, 0},
		{"inherit robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 1, 0},
		{"protect", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_PROTECT, 0, 0},
		{"protect errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_PROTECT, 0, 0},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct mutex_case *c = &cases[i];
		struct timespec in_a_moment = until(5 * MS);
		pthread_mutexattr_t attributes;
		pthread_mutex_t mutex;
		pthread_t id;
		void *result;

		printf("%s:\n", c->name);
		pthread_mutexattr_init(&attributes);
		pthread_mutexattr_settype(&attributes, c->type);
		pthread_mutexattr_setprotocol(&attributes, c->protocol);
		pthread_mutexattr_setrobust(&attributes, c->robust);
		pthread_mutexattr_setpshared(&attributes, c->shared);
		SHOW_E(pthread_mutex_init(&mutex, &attributes));
		SHOW_E(pthread_mutex_lock(&mutex));
		if (c->type == PTHREAD_MUTEX_RECURSIVE || c->type == PTHREAD_MUTEX_ERRORCHECK) {
			SHOW_E(pthread_mutex_lock(&mutex));
			SHOW_E(pthread_mutex_timedlock(&mutex, &in_a_moment));
			SHOW_E(pthread_mutex_clocklock(&mutex, CLOCK_REALTIME, &in_a_moment));
			SHOW_E(pthread_mutex_unlock(&mutex));
			SHOW_E(pthread_mutex_unlock(&mutex));
			SHOW_E(pthread_mutex_unlock(&mutex));
		} else {
			SHOW_E(pthread_mutex_timedlock(&mutex, &in_a_moment));
			SHOW_E(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &odd));
		}
		SHOW_E(pthread_mutex_unlock(&mutex));
		SHOW_E(pthread_mutex_timedlock(&mutex, &odd));
		SHOW_E(pthread_mutex_unlock(&mutex));
		SHOW_E(pthread_mutex_clocklock(&mutex, 77, &in_a_moment));
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
		if (!c->robust)
			continue;
		lose_owner(&mutex);
		SHOW_E(pthread_mutex_lock(&mutex));
		SHOW_E(pthread_mutex_consistent(&mutex));
		SHOW_E(pthread_mutex_unlock(&mutex));
		SHOW_E(pthread_mutex_lock(&mutex));
		SHOW_E(pthread_mutex_unlock(&mutex));
		lose_owner(&mutex);
		SHOW_E(pthread_mutex_timedlock(&mutex, &in_a_moment));
		SHOW_E(pthread_mutex_unlock(&mutex)); /* not made consistent: lost */
		SHOW_E(pthread_mutex_lock(&mutex));
		SHOW_E(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past));
		pthread_create(&id, NULL, lock_and_tell, &mutex);
		pthread_join(id, &result);
		SHOW_E((int)(intptr_t)result);
	}
}

static void *try_read(void *lock)
{
	struct timespec in_a_moment = until(5 * MS);
	int r = pthread_rwlock_timedrdlock(lock, &in_a_moment);

	if (r == 0)
		pthread_rwlock_unlock(lock);
	return (void *)(intptr_t)r;
}

static void *wait_to_write(void *lock)
{
	int r = pthread_rwlock_wrlock(lock);

	if (r == 0)
		pthread_rwlock_unlock(lock);
	return (void *)(intptr_t)r;
}

static _Atomic int has_read;

static void *wait_to_read(void *lock)
{
	int r = pthread_rwlock_rdlock(lock);

	has_read = 1;
	if (r == 0)
		pthread_rwlock_unlock(lock);
	return (void *)(intptr_t)r;
}

static int result_of(void *(*what)(void *), void *argument)
{
	pthread_t id;
	void *result;

	pthread_create(&id, NULL, what, argument);
	pthread_join(id, &result);
	return (int)(intptr_t)result;
}

static void answers_of_rwlocks(void)
{
	for (int kind = PTHREAD_RWLOCK_PREFER_READER_NP;
	     kind <= PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP; kind++) {
		struct timespec in_a_moment = until(5 * MS);
		pthread_rwlockattr_t attributes;
		pthread_rwlock_t lock;
		pthread_t writer, reader;

		printf("rwlock of kind %d:\n", kind);
		pthread_rwlockattr_init(&attributes);
		pthread_rwlockattr_setkind_np(&attributes, kind);
		pthread_rwlock_init(&lock, &attributes);
		SHOW_E(pthread_rwlock_rdlock(&lock));
		SHOW_E(pthread_rwlock_rdlock(&lock));
		SHOW_E(result_of(try_read, &lock));
		SHOW_E(pthread_rwlock_timedwrlock(&lock, &in_a_moment));
		SHOW_E(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &odd));
		/* with a writer waiting, may another read? */
		pthread_create(&writer, NULL, wait_to_write, &lock);
		usleep(50000);
		SHOW_E(result_of(try_read, &lock));
		has_read = 0;
		pthread_create(&reader, NULL, wait_to_read, &lock);
		usleep(50000);
		SHOW(has_read);
		SHOW_E(pthread_rwlock_unlock(&lock));
		SHOW_E(pthread_rwlock_unlock(&lock));
		pthread_join(writer, NULL);
		pthread_join(reader, NULL);
		SHOW_E(pthread_rwlock_wrlock(&lock));
		SHOW_E(pthread_rwlock_wrlock(&lock));
		SHOW_E(pthread_rwlock_rdlock(&lock));
		SHOW_E(pthread_rwlock_timedrdlock(&lock, &in_a_moment));
		SHOW_E(pthread_rwlock_clockrdlock(&lock, 77, &in_a_moment));
		SHOW_E(result_of(try_read, &lock));
		SHOW_E(pthread_rwlock_unlock(&lock));
		SHOW_E(pthread_rwlock_timedwrlock(&lock, &odd));
		SHOW_E(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &past));
	}
}

static int seven(void *unused)
{
	(void)unused;
	return 7;
}

static int minus_one(void *unused)
{
	(void)unused;
	thrd_exit(-1);
}

static void *short_lived(void *unused)
{
	return unused;
}

static void answers_of_threads(void)
{
	struct timespec in_a_moment = until(5 * MS);
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	pthread_barrier_t barrier;
	pthread_t id;
	sem_t sem;
	mtx_t mtx, recursive;
	cnd_t cnd;
	thrd_t thrd;
	int result = 0;
	void *value = NULL;

	pthread_mutex_lock(&mutex);
	SHOW_E(pthread_cond_timedwait(&cond, &mutex, &in_a_moment));
	SHOW_E(pthread_cond_timedwait(&cond, &mutex, &past));
	SHOW_E(pthread_cond_timedwait(&cond, &mutex, &odd));
	SHOW_E(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &past));
	SHOW_E(pthread_cond_clockwait(&cond, &mutex, 77, &past));
	sem_init(&sem, 0, 2);
	SHOW(sem_wait(&sem));
	SHOW(sem_timedwait(&sem, &odd));
	SHOW(sem_timedwait(&sem, &odd));
	SHOW(sem_timedwait(&sem, &past));
	SHOW(sem_clockwait(&sem, CLOCK_MONOTONIC, &past));
	SHOW(sem_clockwait(&sem, 77, &past));
	pthread_barrier_init(&barrier, NULL, 1);
	SHOW(pthread_barrier_wait(&barrier));
	SHOW_E(pthread_join(pthread_self(), NULL));
	SHOW_E(pthread_timedjoin_np(held_thread, NULL, &past));
	SHOW_E(pthread_clockjoin_np(held_thread, NULL, 77, &past));
	pthread_create(&id, NULL, short_lived, &result);
	SHOW_E(pthread_join(id, &value));
	SHOW(value == &result);
	mtx_init(&mtx, mtx_timed);
	mtx_init(&recursive, mtx_plain | mtx_recursive);
	cnd_init(&cnd);
	SHOW(mtx_lock(&mtx));
	SHOW(mtx_timedlock(&mtx, &past));
	SHOW(cnd_timedwait(&cnd, &mtx, &past));
	SHOW(mtx_unlock(&mtx));
	SHOW(mtx_lock(&recursive));
	SHOW(mtx_lock(&recursive));
	SHOW(mtx_unlock(&recursive));
	SHOW(thrd_create(&thrd, seven, NULL));
	SHOW(thrd_join(thrd, &result));
	SHOW(result);
	SHOW(thrd_create(&thrd, minus_one, NULL));
	SHOW(thrd_join(thrd, &result));
	SHOW(result);
	SHOW_E(pthread_setname_np(pthread_self(), "a name that is too long"));
	SHOW_E(pthread_setname_np(pthread_self(), "named"));
}

static void *hold(void *unused)
{
	while (sem_wait(&let_go) != 0)
		;
	return unused;
}

static int prepare(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 64};
	mqd_t queue;

	sem_init(&let_go, 0, 0);
	idle_set = semget(IPC_PRIVATE, 1, 0600);
	idle_queue = msgget(IPC_PRIVATE, 0600);
	snprintf(queue_name, sizeof(queue_name), "/answers.%d", (int)getpid());
	queue = mq_open(queue_name, O_RDONLY | O_CREAT, 0600, &attributes);
	if (idle_set < 0 || idle_queue < 0 || queue == (mqd_t)-1)
		return errno;
	mq_close(queue);
	return pthread_create(&held_thread, NULL, hold, NULL);
}

static void remove_queues(void)
{
	semctl(idle_set, 0, IPC_RMID);
	msgctl(idle_queue, IPC_RMID, NULL);
	mq_unlink(queue_name);
}

/* One that is checked ends by abort(), and the kernel's queues outlive it: 256 of them are all that a machine has. */
static void on_abort(int sig)
{
	(void)sig;
	remove_queues();
}

static void clean_up(void)
{
	remove_queues();
	sem_post(&let_go);
	pthread_join(held_thread, NULL);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (prepare() != 0)
		return 77;
	signal(SIGABRT, on_abort);
	answers_of_sleeps();
	answers_of_files();
	answers_of_polls();
	answers_of_children();
	answers_of_queues();
	answers_of_mutexes();
	answers_of_rwlocks();
	answers_of_threads();
	clean_up();
	return 0;
}
