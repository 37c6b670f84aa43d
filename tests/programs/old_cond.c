/*
 * A condition variable of the older kind, as programs of before 2003 have it: a pointer, to what the first call allocates. The
 * functions have the names of the newer ones and another version. What is taken for the newer kind writes 40 bytes beyond.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

__asm__(".symver old_init, pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_wait, pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_timedwait, pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_signal, pthread_cond_signal@GLIBC_2.2.5");
__asm__(".symver old_destroy, pthread_cond_destroy@GLIBC_2.2.5");

int old_init(void *cond, const pthread_condattr_t *attr);
int old_wait(void *cond, pthread_mutex_t *mutex);
int old_timedwait(void *cond, pthread_mutex_t *mutex, const struct timespec *until);
int old_signal(void *cond);
int old_destroy(void *cond);

static struct {
	void *cond;
	unsigned char behind[64];
} old;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int is_ready;

static void *make_ready(void *unused)
{
	struct timespec pause = {0, 20000000};

	nanosleep(&pause, NULL);
	pthread_mutex_lock(&mutex);
	is_ready = 1;
	old_signal(&old.cond);
	pthread_mutex_unlock(&mutex);
	return unused;
}

__attribute__((noinline)) static int wait_until_ready(void)
{
	int r = 0;

	while (!is_ready)
		r |= old_wait(&old.cond, &mutex);
	return r;
}

int main(void)
{
	struct timespec until;
	pthread_t id;

	memset(old.behind, 0x5a, sizeof(old.behind));
	printf("init %d\n", old_init(&old.cond, NULL));
	pthread_create(&id, NULL, make_ready, NULL);
	pthread_mutex_lock(&mutex);
	printf("wait %d\n", wait_until_ready());
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec -= 1;
	printf("timedwait %d\n", old_timedwait(&old.cond, &mutex, &until) == ETIMEDOUT);
	pthread_mutex_unlock(&mutex);
	pthread_join(id, NULL);
	printf("destroy %d\n", old_destroy(&old.cond));
	for (size_t i = 0; i < sizeof(old.behind); i++)
		if (old.behind[i] != 0x5a)
			printf("byte %zu behind it is 0x%02x\n", i, old.behind[i]);
	return 0;
}
