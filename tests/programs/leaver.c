/*
 * leaver: threads that leave a wait otherwise than by its end, and work on.
 *
 *     leaver cancel                  they are cancelled, or a handler ends them
 *     leaver longjmp MILLISECONDS    a handler jumps out
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/programs/host.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

BURNER(burn_cleanup)
BURNER(burn_after)

static struct {
	int pipe[2], listener;
	sem_t sem;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	pthread_t other;
} endless;

static void at_end(void *name)
{
	burn_cleanup(30 * MS);
	printf("%s: cleaned up\n", (const char *)name);
}

static void *hold(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void unlock(void *unused)
{
	(void)unused;
	pthread_mutex_unlock(&endless.mutex);
}

#define ENDLESS(name, call)                                  \
	static void *name(void *unused)                      \
	{                                                    \
		char c;                                      \
                                                             \
		(void)c;                                     \
		(void)unused;                                \
		pthread_cleanup_push(at_end, (void *)#name); \
		for (;;)                                     \
			call;                                \
		pthread_cleanup_pop(0);                      \
		return NULL;                                 \
	}

ENDLESS(in_read, if (read(endless.pipe[0], &c, 1) == 1) break)
ENDLESS(in_pause, pause())
ENDLESS(in_sleep, sleep(100))
ENDLESS(in_poll, poll(NULL, 0, -1))
ENDLESS(in_sem_wait, sem_wait(&endless.sem))
ENDLESS(in_join, pthread_join(endless.other, NULL))
ENDLESS(in_accept, accept(endless.listener, NULL, NULL))

static void *in_cond_wait(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&endless.mutex);
	pthread_cleanup_push(at_end, (void *)"in_cond_wait");
	pthread_cleanup_push(unlock, NULL);
	for (;;)
		pthread_cond_wait(&endless.cond, &endless.mutex);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *in_computing(void *unused)
{
	(void)unused;
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cleanup_push(at_end, (void *)"in_computing");
	for (;;)
		host_spin();
	pthread_cleanup_pop(0);
	return NULL;
}

static void leave_thread(int sig)
{
	(void)sig;
	pthread_exit((void *)5);
}

static int cancel(void)
{
	static void *(*const mains[])(void *) = {in_read,   in_pause,     in_sleep,
						 in_poll,   in_sem_wait,  in_join,
						 in_accept, in_cond_wait, in_computing};
	struct sigaction action = {.sa_handler = leave_thread};

	if (pipe(endless.pipe) != 0)
		return 77;
	sigaction(SIGUSR1, &action, NULL);
	endless.listener = socket(AF_INET, SOCK_STREAM, 0);
	listen(endless.listener, 1); /* on a port that the kernel picks */
	sem_init(&endless.sem, 0, 0);
	pthread_mutex_init(&endless.mutex, NULL);
	pthread_cond_init(&endless.cond, NULL);
	pthread_create(&endless.other, NULL, hold, NULL);
	for (int by_signal = 0; by_signal < 2; by_signal++)
		for (size_t i = 0; i < LENGTH(mains); i++) {
			void *result = NULL;
			pthread_t id;

			/* nothing of glibc's own is in the way of a handler there */
			if (by_signal && mains[i] == in_computing)
				continue;
			pthread_create(&id, NULL, mains[i], NULL);
			usleep(60000);
			if (by_signal)
				pthread_kill(id, SIGUSR1);
			else
				pthread_cancel(id);
			pthread_join(id, &result);
			printf("%s: %ld\n", by_signal ? "ended" : "cancelled", (long)result);
		}
	printf("mutex: %d\n", pthread_mutex_trylock(&endless.mutex));
	return 0;
}

static sigjmp_buf back;

static void jump(int sig)
{
	siglongjmp(back, sig);
}

/* As an interpreter does whose user presses a key. */
static int leave_by_jump(int64_t ms)
{
	struct sigaction action = {.sa_handler = jump};
	struct itimerval soon_again = {{0, 0}, {0, 20000}};
	volatile int64_t burnt = 0;
	volatile int jumps = 0;
	int fds[2];
	char c;

	if (pipe(fds) != 0)
		return 77;
	sigaction(SIGALRM, &action, NULL);
	if (sigsetjmp(back, 1) != 0)
		jumps++;
	while (thread_ns() < ms * MS) {
		burnt += burn_after(20 * MS);
		setitimer(ITIMER_REAL, &soon_again, NULL);
		if (jumps % 2 == 0)
			read(fds[0], &c, 1) == 1 ? (void)jumps++ : (void)0;
		else
			sleep(10);
	}
	printf("{\"jumped\": %d, \"burn_after\": %lld}\n", jumps > 2, (long long)burnt);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "cancel") == 0)
		return cancel();
	if (strcmp(what, "longjmp") == 0)
		return leave_by_jump(argc > 2 ? atoll(argv[2]) : 1000);
	return 2;
}
