/*
 * pile: threads that pile up at one place, as when somebody forgets to end them.
 *
 *     pile DIRECTORY    two snapshots of the profile "threads", each as DIRECTORY/N.pb.gz and DIRECTORY/N.txt
 *     pile -            the second step when a line comes on standard input, the end when that ends
 *
 * In between, 50 more threads wait in pile_up(), where 10 were, and 15 of 20 stay in steady(). Prints
 * {"pile_up": N, "steady": N} at each step.
 */
#include <cprof/cprof.h>

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/programs/host.h"

static sem_t never, leave;
static _Atomic int begun, ended;

KEEP static void pile_up(void)
{
	begun++;
	while (sem_wait(&never) != 0)
		;
}

KEEP static void steady(void)
{
	begun++;
	while (sem_wait(&leave) != 0)
		;
}

static void *pile_main(void *arg)
{
	pile_up();
	return arg;
}

static void *steady_main(void *arg)
{
	steady();
	ended++;
	return arg;
}

static int started;

static void start(int n, void *(*run)(void *))
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < n; i++)
		started += pthread_create(&id, &attr, run, NULL) == 0;
}

static void say(int pile, int stay)
{
	while (begun < started)
		usleep(1000);
	usleep(100000); /* until they sleep, and others are gone */
	printf("{\"pile_up\": %d, \"steady\": %d}\n", pile, stay);
	fflush(stdout);
}

static int write_one(const char *directory, const char *name, int debug)
{
	char path[4096];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	r = cprof_write("threads", fd, debug);
	close(fd);
	if (r < 0)
		fprintf(stderr, "cprof_write: %s\n", strerror(-r));
	return r;
}

static void wait_for_line(void)
{
	char c;

	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : "-";
	int is_by_hand = strcmp(directory, "-") == 0, r = 0;

	sem_init(&never, 0, 0);
	sem_init(&leave, 0, 0);
	if (!is_by_hand)
		r |= cprof_start("threads");
	start(10, pile_main);
	start(20, steady_main);
	say(10, 20);
	if (is_by_hand)
		wait_for_line();
	else
		r |= write_one(directory, "1.pb.gz", 0) | write_one(directory, "1.txt", 1);
	start(50, pile_main);
	for (int i = 0; i < 5; i++)
		sem_post(&leave);
	while (ended < 5)
		usleep(1000);
	say(60, 15);
	if (is_by_hand)
		wait_for_line();
	else
		r |= write_one(directory, "2.pb.gz", 0) | write_one(directory, "2.txt", 1);
	return r != 0;
}
