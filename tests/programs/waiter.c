/*
 * waiter: threads that wait in every way there is, and look at the clock.
 *
 *     waiter MILLISECONDS
 *
 * Each worker waits, short and long, between bursts of computing. Printed is how many waits of each kind there were, and how
 * many were cut short: by EINTR, by the clock, or because what was waited for had not happened.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
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
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define WORKERS       6
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

BURNER(burn_between)

static int64_t now(clockid_t clock)
{
	return host_clock(clock);
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ns / 1000000000, ns % 1000000000};
}

static struct timespec until(clockid_t clock, int64_t ns)
{
	return timespec_of(now(clock) + ns);
}

/* ---- the waits ---- */

/* Held, full, empty or never signalled for as long as the program lives. */
static pthread_mutex_t held_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t held_lock = PTHREAD_RWLOCK_INITIALIZER;
static mtx_t held_mtx;
static pthread_t held_thread;
static int full_listener, idle_queue, idle_set;
static struct sockaddr_un full_address;
static socklen_t full_length;
static char queue_name[40];

struct worker;

/* One who does, a while later, what a worker waits for. */
struct partner {
	struct worker *worker;
	pthread_t id;
	sem_t go, ready;
	void (*before)(struct worker *w), (*act)(struct worker *w);
	int64_t delay_ns;
	_Atomic int64_t acted_ns;
	int ends;
};

struct worker {
	int number;
	uint64_t random;
	pthread_t id;
	struct partner partner;

	int pipe[2], pair[2], impatient[2], epoll, file;
	sem_t sem, posted;
	pthread_mutex_t mutex, lock;
	pthread_rwlock_t rwlock;
	pthread_cond_t cond, monotonic_cond;
	mtx_t mtx;
	cnd_t cnd;
	mqd_t queue;
	pthread_barrier_t barrier;
	int flag;
	_Atomic uint32_t word;
};

static uint64_t random_of(struct worker *w, uint64_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random % below;
}

/* What a wait came to: 0 when it went as it should, else the errno, or ODD for any other wrong result. */
#define ODD 1000
static int timed_out(int r, int wanted)
{
	return r == 0 ? ODD : errno == wanted ? 0 : errno;
}
static int is_timeout(int r)
{
	return r == ETIMEDOUT ? 0 : r == 0 ? ODD : r;
}
static int is_zero(int r)
{
	return r < 0 ? errno : r == 0 ? 0 : ODD;
}

/* The time is up on a clock other than the monotonic one: this may be a little off it. */
/*
 * A timeout of a socket counts ticks of the kernel: one that comes late, because the machine stood still, brings the next
 * ones with it, and the wait ends before its time.
 */
enum { ON_MONOTONIC, ON_REALTIME, ON_TICKS };
#define TICKS_NS (8 * MS)

#define WAIT(name) static int name(struct worker *w, int64_t ns)

WAIT(by_nanosleep)
{
	struct timespec t = timespec_of(ns);

	return is_zero(nanosleep(&t, NULL));
}
WAIT(by_clock_nanosleep)
{
	struct timespec t = timespec_of(ns);

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}
WAIT(by_clock_nanosleep_until)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
WAIT(by_usleep)
{
	return is_zero(usleep((useconds_t)(ns / 1000 + 1)));
}
WAIT(by_thrd_sleep)
{
	struct timespec t = timespec_of(ns);

	return is_zero(thrd_sleep(&t, NULL));
}
WAIT(by_raw_nanosleep)
{
	struct timespec t = timespec_of(ns);

	return is_zero((int)syscall(SYS_nanosleep, &t, NULL));
}
WAIT(by_futex)
{
	struct timespec t = timespec_of(ns);

	return timed_out((int)syscall(SYS_futex, &w->word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0),
			 ETIMEDOUT);
}
WAIT(by_raw_poll)
{
	struct pollfd p = {w->pipe[0], POLLIN, 0};

	return is_zero((int)syscall(SYS_poll, &p, 1, (int)(ns / MS + 1)));
}
WAIT(by_poll)
{
	struct pollfd p = {w->pipe[0], POLLIN, 0};

	return is_zero(poll(&p, 1, (int)(ns / MS + 1)));
}
WAIT(by_ppoll)
{
	struct pollfd p = {w->pipe[0], POLLIN, 0};
	struct timespec t = timespec_of(ns);

	return is_zero(ppoll(&p, 1, &t, NULL));
}
WAIT(by_select)
{
	struct timeval t = {ns / 1000000000, ns % 1000000000 / 1000 + 1};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->pipe[0], &set);
	return is_zero(select(w->pipe[0] + 1, &set, NULL, NULL, &t));
}
WAIT(by_pselect)
{
	struct timespec t = timespec_of(ns);
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->pipe[0], &set);
	return is_zero(pselect(w->pipe[0] + 1, &set, NULL, NULL, &t, NULL));
}
WAIT(by_epoll_wait)
{
	struct epoll_event event;

	return is_zero(epoll_wait(w->epoll, &event, 1, (int)(ns / MS + 1)));
}
WAIT(by_epoll_pwait)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return is_zero(epoll_pwait(w->epoll, &event, 1, (int)(ns / MS + 1), &none));
}
WAIT(by_sem_timedwait)
{
	struct timespec t = until(CLOCK_REALTIME, ns);

	return timed_out(sem_timedwait(&w->sem, &t), ETIMEDOUT);
}
WAIT(by_sem_clockwait)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);

	return timed_out(sem_clockwait(&w->sem, CLOCK_MONOTONIC, &t), ETIMEDOUT);
}
WAIT(by_cond_timedwait)
{
	struct timespec t = until(CLOCK_REALTIME, ns);
	int r;

	pthread_mutex_lock(&w->mutex);
	r = pthread_cond_timedwait(&w->cond, &w->mutex, &t);
	pthread_mutex_unlock(&w->mutex);
	return is_timeout(r);
}
WAIT(by_cond_timedwait_monotonic)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);
	int r;

	pthread_mutex_lock(&w->mutex);
	r = pthread_cond_timedwait(&w->monotonic_cond, &w->mutex, &t);
	pthread_mutex_unlock(&w->mutex);
	return is_timeout(r);
}
WAIT(by_cond_clockwait)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);
	int r;

	pthread_mutex_lock(&w->mutex);
	r = pthread_cond_clockwait(&w->cond, &w->mutex, CLOCK_MONOTONIC, &t);
	pthread_mutex_unlock(&w->mutex);
	return is_timeout(r);
}
WAIT(by_cnd_timedwait)
{
	struct timespec t = until(CLOCK_REALTIME, ns);
	int r;

	mtx_lock(&w->mtx);
	r = cnd_timedwait(&w->cnd, &w->mtx, &t);
	mtx_unlock(&w->mtx);
	return r == thrd_timedout ? 0 : ODD;
}
WAIT(by_mutex_timedlock)
{
	struct timespec t = until(CLOCK_REALTIME, ns);

	return is_timeout(pthread_mutex_timedlock(&held_mutex, &t));
}
WAIT(by_mutex_clocklock)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);

	return is_timeout(pthread_mutex_clocklock(&held_mutex, CLOCK_MONOTONIC, &t));
}
WAIT(by_mtx_timedlock)
{
	struct timespec t = until(CLOCK_REALTIME, ns);

	return mtx_timedlock(&held_mtx, &t) == thrd_timedout ? 0 : ODD;
}
WAIT(by_timedrdlock)
{
	struct timespec t = until(CLOCK_REALTIME, ns);

	return is_timeout(pthread_rwlock_timedrdlock(&held_lock, &t));
}
WAIT(by_clockwrlock)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);

	return is_timeout(pthread_rwlock_clockwrlock(&held_lock, CLOCK_MONOTONIC, &t));
}
WAIT(by_timedjoin)
{
	struct timespec t = until(CLOCK_REALTIME, ns);

	return is_timeout(pthread_timedjoin_np(held_thread, NULL, &t));
}
WAIT(by_clockjoin)
{
	struct timespec t = until(CLOCK_MONOTONIC, ns);

	return is_timeout(pthread_clockjoin_np(held_thread, NULL, CLOCK_MONOTONIC, &t));
}
WAIT(by_sigtimedwait)
{
	struct timespec t = timespec_of(ns);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return timed_out(sigtimedwait(&set, NULL, &t), EAGAIN);
}
WAIT(by_semtimedop)
{
	struct timespec t = timespec_of(ns);
	struct sembuf down = {0, -1, 0};

	return timed_out(semtimedop(idle_set, &down, 1, &t), EAGAIN);
}
WAIT(by_mq_timedreceive)
{
	struct timespec t = until(CLOCK_REALTIME, ns);
	char message[64];

	return timed_out((int)mq_timedreceive(w->queue, message, sizeof(message), NULL, &t),
			 ETIMEDOUT);
}

/* Limits of sockets. */
static void be_patient_for(int fd, int option, int64_t ns)
{
	struct timeval t = {ns / 1000000000, ns % 1000000000 / 1000 + 1};

	setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t));
}
WAIT(by_recv)
{
	char c;

	be_patient_for(w->impatient[0], SO_RCVTIMEO, ns);
	return timed_out((int)recv(w->impatient[0], &c, 1, 0), EAGAIN);
}
WAIT(by_recvmsg)
{
	char c;
	struct iovec part = {&c, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	be_patient_for(w->impatient[0], SO_RCVTIMEO, ns);
	return timed_out((int)recvmsg(w->impatient[0], &message, 0), EAGAIN);
}
WAIT(by_accept)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;
	struct sockaddr_un any = {.sun_family = AF_UNIX};

	if (bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)) != 0 || listen(fd, 1) != 0)
		return errno;
	be_patient_for(fd, SO_RCVTIMEO, ns);
	r = timed_out(accept(fd, NULL, NULL), EAGAIN);
	close(fd);
	return r;
}
WAIT(by_connect)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	be_patient_for(fd, SO_SNDTIMEO, ns);
	r = timed_out(connect(fd, (struct sockaddr *)&full_address, full_length), EAGAIN);
	close(fd);
	return r;
}

/* Until the partner did it. */
static void ask_partner(struct worker *w, int64_t ns, void (*before)(struct worker *),
			void (*act)(struct worker *))
{
	struct partner *p = &w->partner;

	p->before = before;
	p->act = act;
	p->delay_ns = ns;
	atomic_store(&p->acted_ns, 0);
	sem_post(&p->go);
	while (sem_wait(&p->ready) != 0)
		;
}

/* @r as it should be, and not before the partner acted. */
static int came(struct worker *w, int is_right)
{
	int saved = errno;

	if (!is_right)
		return saved != 0 ? saved : ODD;
	return atomic_load(&w->partner.acted_ns) != 0 ? 0 : ODD;
}
static void nothing(struct worker *w)
{
	(void)w;
}
static int quiet_write(int fd)
{
	return write(fd, "x", 1) == 1;
}
static void write_pipe(struct worker *w)
{
	quiet_write(w->pipe[1]);
}
static void write_pair(struct worker *w)
{
	quiet_write(w->pair[1]);
}
WAIT(by_read)
{
	char c;

	ask_partner(w, ns, nothing, write_pipe);
	errno = 0;
	return came(w, read(w->pipe[0], &c, 1) == 1);
}
WAIT(by_readv)
{
	char c;
	struct iovec part = {&c, 1};

	ask_partner(w, ns, nothing, write_pair);
	errno = 0;
	return came(w, readv(w->pair[0], &part, 1) == 1);
}
WAIT(by_recvfrom)
{
	char c;

	ask_partner(w, ns, nothing, write_pair);
	errno = 0;
	return came(w, recvfrom(w->pair[0], &c, 1, 0, NULL, NULL) == 1);
}
static void post(struct worker *w)
{
	sem_post(&w->posted);
}
WAIT(by_sem_wait)
{
	ask_partner(w, ns, nothing, post);
	errno = 0;
	return came(w, sem_wait(&w->posted) == 0);
}
static void take_mutex(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
}
static void give_mutex(struct worker *w)
{
	pthread_mutex_unlock(&w->lock);
}
WAIT(by_mutex_lock)
{
	int r;

	ask_partner(w, ns, take_mutex, give_mutex);
	errno = 0;
	r = came(w, pthread_mutex_lock(&w->lock) == 0);
	pthread_mutex_unlock(&w->lock);
	return r;
}
static void take_rwlock(struct worker *w)
{
	pthread_rwlock_wrlock(&w->rwlock);
}
static void give_rwlock(struct worker *w)
{
	pthread_rwlock_unlock(&w->rwlock);
}
WAIT(by_rdlock)
{
	int r;

	ask_partner(w, ns, take_rwlock, give_rwlock);
	errno = 0;
	r = came(w, pthread_rwlock_rdlock(&w->rwlock) == 0);
	pthread_rwlock_unlock(&w->rwlock);
	return r;
}
static void signal_cond(struct worker *w)
{
	pthread_mutex_lock(&w->mutex);
	w->flag = 1;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mutex);
}
WAIT(by_cond_wait)
{
	int r;

	w->flag = 0;
	ask_partner(w, ns, nothing, signal_cond);
	errno = 0;
	pthread_mutex_lock(&w->mutex);
	r = w->flag ? 0 : pthread_cond_wait(&w->cond, &w->mutex);
	r = came(w, r == 0 && w->flag);
	pthread_mutex_unlock(&w->mutex);
	return r;
}
static void come_to_barrier(struct worker *w)
{
	pthread_barrier_wait(&w->barrier);
}
WAIT(by_barrier)
{
	int r;

	ask_partner(w, ns, nothing, come_to_barrier);
	errno = 0;
	r = pthread_barrier_wait(&w->barrier);
	return came(w, r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void lock_file(struct worker *w)
{
	flock(w->file, LOCK_EX);
}
static void unlock_file(struct worker *w)
{
	flock(w->file, LOCK_UN);
}
WAIT(by_flock)
{
	char path[40];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->file);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ask_partner(w, ns, lock_file, unlock_file);
	errno = 0;
	r = came(w, flock(fd, LOCK_EX) == 0);
	close(fd);
	return r;
}
static _Thread_local volatile sig_atomic_t hits;
static void on_usr1(int sig)
{
	(void)sig;
	hits++;
}
static void send_usr1(struct worker *w)
{
	pthread_kill(w->id, SIGUSR1);
}
/* A signal of the program's own ends the wait, and nothing else does. */
WAIT(by_sigsuspend)
{
	sigset_t usr1, before, open_to;
	int r, had = hits;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &before);
	open_to = before;
	sigdelset(&open_to, SIGUSR1);
	ask_partner(w, ns, nothing, send_usr1);
	errno = 0;
	r = sigsuspend(&open_to) == -1 && errno == EINTR && hits == had + 1;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return came(w, r) != 0 ? ODD : 0;
}
static void *sleep_for(void *ns)
{
	struct timespec t = timespec_of(*(int64_t *)ns);

	nanosleep(&t, NULL);
	return NULL;
}
WAIT(by_join)
{
	pthread_t id;
	int r = pthread_create(&id, NULL, sleep_for, &ns);

	(void)w;
	return r != 0 ? r : pthread_join(id, NULL);
}
static int thrd_sleep_for(void *ns)
{
	struct timespec t = timespec_of(*(int64_t *)ns);

	thrd_sleep(&t, NULL);
	return 7;
}
WAIT(by_thrd_join)
{
	thrd_t id;
	int result = 0;

	(void)w;
	if (thrd_create(&id, thrd_sleep_for, &ns) != thrd_success)
		return ODD;
	return thrd_join(id, &result) == thrd_success && result == 7 ? 0 : ODD;
}
/* The child does without the C library: it is one of many threads that forked. */
static pid_t sleep_in_child(int64_t ns)
{
	struct timespec t = timespec_of(ns);
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		syscall(SYS_nanosleep, &t, NULL);
		syscall(SYS_exit_group, 3);
	}
	return child;
}
WAIT(by_waitpid)
{
	pid_t child = sleep_in_child(ns);
	int status = 0;

	(void)w;
	return waitpid(child, &status, 0) != child ? errno : WEXITSTATUS(status) == 3 ? 0 : ODD;
}
WAIT(by_waitid)
{
	pid_t child = sleep_in_child(ns);
	siginfo_t info;

	(void)w;
	return waitid(P_PID, (id_t)child, &info, WEXITED) != 0 ? errno
	       : info.si_status == 3                           ? 0
							       : ODD;
}

static const struct kind {
	const char *name;
	int (*wait)(struct worker *w, int64_t ns);
	int clock;
} kinds[] = {
	{"nanosleep", by_nanosleep, 0},
	{"clock_nanosleep", by_clock_nanosleep, 0},
	{"clock_nanosleep_until", by_clock_nanosleep_until, 0},
	{"usleep", by_usleep, 0},
	{"thrd_sleep", by_thrd_sleep, 0},
	{"raw_nanosleep", by_raw_nanosleep, 0},
	{"futex", by_futex, 0},
	{"raw_poll", by_raw_poll, 0},
	{"poll", by_poll, 0},
	{"ppoll", by_ppoll, 0},
	{"select", by_select, 0},
	{"pselect", by_pselect, 0},
	{"epoll_wait", by_epoll_wait, 0},
	{"epoll_pwait", by_epoll_pwait, 0},
	{"sem_timedwait", by_sem_timedwait, ON_REALTIME},
	{"sem_clockwait", by_sem_clockwait, 0},
	{"cond_timedwait", by_cond_timedwait, ON_REALTIME},
	{"cond_timedwait_monotonic", by_cond_timedwait_monotonic, 0},
	{"cond_clockwait", by_cond_clockwait, 0},
	{"cnd_timedwait", by_cnd_timedwait, ON_REALTIME},
	{"mutex_timedlock", by_mutex_timedlock, ON_REALTIME},
	{"mutex_clocklock", by_mutex_clocklock, 0},
	{"mtx_timedlock", by_mtx_timedlock, ON_REALTIME},
	{"timedrdlock", by_timedrdlock, ON_REALTIME},
	{"clockwrlock", by_clockwrlock, 0},
	{"timedjoin", by_timedjoin, ON_REALTIME},
	{"clockjoin", by_clockjoin, 0},
	{"sigtimedwait", by_sigtimedwait, 0},
	{"semtimedop", by_semtimedop, 0},
	{"mq_timedreceive", by_mq_timedreceive, ON_REALTIME},
	{"recv", by_recv, ON_TICKS},
	{"recvmsg", by_recvmsg, ON_TICKS},
	{"accept", by_accept, ON_TICKS},
	{"connect", by_connect, ON_TICKS},
	{"read", by_read, 0},
	{"readv", by_readv, 0},
	{"recvfrom", by_recvfrom, 0},
	{"sem_wait", by_sem_wait, 0},
	{"mutex_lock", by_mutex_lock, 0},
	{"rdlock", by_rdlock, 0},
	{"cond_wait", by_cond_wait, 0},
	{"barrier", by_barrier, 0},
	{"flock", by_flock, 0},
	{"sigsuspend", by_sigsuspend, 0},
	{"join", by_join, 0},
	{"thrd_join", by_thrd_join, 0},
	{"waitpid", by_waitpid, 0},
	{"waitid", by_waitid, 0},
};

static _Atomic int rounds[LENGTH(kinds)], interrupted[LENGTH(kinds)], early[LENGTH(kinds)],
	wrong[LENGTH(kinds)], late[LENGTH(kinds)];
static _Atomic int stop;

/*
 * A partner's delay begins before the worker's wait does, so only the result tells whether that was cut short. In the others
 * the clock does.
 */
static int has_partner(const struct kind *k)
{
	return k->wait == by_read || k->wait == by_readv || k->wait == by_recvfrom ||
	       k->wait == by_sem_wait || k->wait == by_mutex_lock || k->wait == by_rdlock ||
	       k->wait == by_cond_wait || k->wait == by_barrier || k->wait == by_flock ||
	       k->wait == by_sigsuspend;
}

static void wait_once(struct worker *w, size_t kind)
{
	static const int64_t slack[] = {0, 2 * MS, TICKS_NS};
	const struct kind *k = &kinds[kind];
	/* mostly short, so that there are many; some so long that several looks fall into one */
	int64_t ns = random_of(w, 8) != 0 ? (int64_t)random_of(w, 3 * MS)
					  : (int64_t)(20 * MS + random_of(w, 60 * MS));
	int64_t begun = now(CLOCK_MONOTONIC), took;
	int r = k->wait(w, ns);

	took = now(CLOCK_MONOTONIC) - begun;
	rounds[kind]++;
	if (r == EINTR)
		interrupted[kind]++;
	else if (r != 0)
		wrong[kind]++;
	else if (!has_partner(k) && took < ns - slack[k->clock])
		early[kind]++;
	late[kind] += took > ns + 1000 * MS;
	if (r != 0 && r != EINTR)
		fprintf(stderr, "%s: %s\n", k->name, r == ODD ? "wrong" : strerror(r));
}

static void *partner_main(void *partner)
{
	struct partner *p = partner;

	for (;;) {
		struct timespec t;

		while (sem_wait(&p->go) != 0)
			;
		if (p->ends)
			return NULL;
		p->before(p->worker);
		sem_post(&p->ready);
		t = timespec_of(p->delay_ns);
		nanosleep(&t, NULL);
		atomic_store(&p->acted_ns, now(CLOCK_MONOTONIC));
		p->act(p->worker);
	}
}

static void *worker_main(void *worker)
{
	struct worker *w = worker;

	/* each kind once at least, in an order of its own */
	for (size_t i = 0; i < LENGTH(kinds) || !stop; i++) {
		size_t kind = i < LENGTH(kinds) ? (i + (size_t)w->number * 7) % LENGTH(kinds)
						: random_of(w, LENGTH(kinds));

		if (random_of(w, 3) == 0)
			burn_between((int64_t)random_of(w, 2 * MS));
		wait_once(w, kind);
	}
	return NULL;
}

static int be_worker(struct worker *w, int number)
{
	pthread_condattr_t monotonic;

	w->number = number;
	w->random = 88172645463325252u + (uint64_t)number * 7919;
	w->partner.worker = w;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	w->epoll = epoll_create1(0);
	w->file = (int)syscall(SYS_memfd_create, "waiter", 0u);
	w->queue = mq_open(queue_name, O_RDONLY);
	if (pipe(w->pipe) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, w->pair) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, w->impatient) != 0 || w->queue == (mqd_t)-1)
		return errno;
	sem_init(&w->sem, 0, 0);
	sem_init(&w->posted, 0, 0);
	sem_init(&w->partner.go, 0, 0);
	sem_init(&w->partner.ready, 0, 0);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_mutex_init(&w->lock, NULL);
	pthread_rwlock_init(&w->rwlock, NULL);
	pthread_cond_init(&w->cond, NULL);
	pthread_cond_init(&w->monotonic_cond, &monotonic);
	mtx_init(&w->mtx, mtx_plain);
	cnd_init(&w->cnd);
	pthread_barrier_init(&w->barrier, NULL, 2);
	return pthread_create(&w->partner.id, NULL, partner_main, &w->partner);
}

static sem_t let_go;

static void *hold(void *unused)
{
	(void)unused;
	while (sem_wait(&let_go) != 0)
		;
	return NULL;
}

/* A listener whose queue is full, so that connect() waits. */
static int fill_listener(void)
{
	int fd;

	full_length = sizeof(full_address);
	full_listener = socket(AF_UNIX, SOCK_STREAM, 0);
	full_address.sun_family = AF_UNIX;
	/* a name that the kernel makes up */
	if (bind(full_listener, (struct sockaddr *)&full_address, sizeof(sa_family_t)) != 0 ||
	    listen(full_listener, 0) != 0 ||
	    getsockname(full_listener, (struct sockaddr *)&full_address, &full_length) != 0)
		return errno;
	do
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	while (connect(fd, (struct sockaddr *)&full_address, full_length) == 0);
	return errno == EAGAIN ? 0 : errno;
}

static int prepare(void)
{
	struct sigaction action = {.sa_handler = on_usr1};
	struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 64};
	sigset_t set;
	mqd_t queue;

	sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_mutex_lock(&held_mutex);
	pthread_rwlock_wrlock(&held_lock);
	mtx_init(&held_mtx, mtx_timed);
	mtx_lock(&held_mtx);
	sem_init(&let_go, 0, 0);
	idle_set = semget(IPC_PRIVATE, 1, 0600);
	idle_queue = msgget(IPC_PRIVATE, 0600);
	snprintf(queue_name, sizeof(queue_name), "/waiter.%d", (int)getpid());
	queue = mq_open(queue_name, O_RDONLY | O_CREAT, 0600, &attributes);
	if (idle_set < 0 || idle_queue < 0 || queue == (mqd_t)-1)
		return errno;
	mq_close(queue);
	return pthread_create(&held_thread, NULL, hold, NULL);
}

static void clean_up(void)
{
	semctl(idle_set, 0, IPC_RMID);
	msgctl(idle_queue, IPC_RMID, NULL);
	mq_unlink(queue_name);
	sem_post(&let_go);
	pthread_join(held_thread, NULL);
}

/* Those that are not 0. */
static void print_counts(const char *name, const _Atomic int *counts, const char *after)
{
	int is_first = 1;

	printf("\"%s\": {", name);
	for (size_t i = 0; i < LENGTH(kinds); i++) {
		if (counts[i] == 0)
			continue;
		printf("%s\"%s\": %d", is_first ? "" : ", ", kinds[i].name, counts[i]);
		is_first = 0;
	}
	printf("}%s", after);
}

static int waits(int64_t ms)
{
	static struct worker workers[WORKERS];
	struct timespec whole = timespec_of(ms * MS);
	int r = prepare();

	if (r == 0)
		r = fill_listener();
	for (int i = 0; i < WORKERS && r == 0; i++)
		r = be_worker(&workers[i], i);
	if (r != 0) {
		fprintf(stderr, "waiter: %s\n", strerror(r));
		return 77;
	}
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&workers[i].id, NULL, worker_main, &workers[i]);
	nanosleep(&whole, NULL);
	stop = 1;
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].id, NULL);
		workers[i].partner.ends = 1;
		sem_post(&workers[i].partner.go);
		pthread_join(workers[i].partner.id, NULL);
	}
	clean_up();
	printf("{");
	print_counts("interrupted", interrupted, ", ");
	print_counts("early", early, ", ");
	print_counts("wrong", wrong, ", ");
	print_counts("late", late, ", ");
	print_counts("rounds", rounds, "}\n");
	return 0;
}

int main(int argc, char **argv)
{
	return argc > 1 ? waits(atoll(argv[1])) : 2;
}
