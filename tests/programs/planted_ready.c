/* planted: who made ready what a thread waits for with poll and its like. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "tests/programs/planted.h"

/* ---- ready: a loop waits in many ways for a thread that writes when it sleeps ---- */

enum way { BY_EPOLL, BY_POLL, BY_PPOLL, BY_SELECT, BY_READ };

static int counter[2], fifo[2], pair[2],
	connection[2]; /* the end that is read, and the one that is written */
static struct ready {
	const char *name;
	int *ends;
	enum way way;
	int64_t at, writing, written, read;
} readies[] = {
	{.name = "epoll_wait of an eventfd", .ends = counter, .way = BY_EPOLL},
	{.name = "poll of a pipe", .ends = fifo, .way = BY_POLL},
	{.name = "ppoll of a pipe", .ends = fifo, .way = BY_PPOLL},
	{.name = "select of a pair", .ends = pair, .way = BY_SELECT},
	{.name = "epoll_wait of a connection", .ends = connection, .way = BY_EPOLL},
	{.name = "recv of a connection", .ends = connection, .way = BY_READ},
	{.name = "read of an eventfd", .ends = counter, .way = BY_READ},
};
static int ready_epoll, loop_tid, waits_for; /* how many it has come to */

static void await_ready(const struct ready *r)
{
	struct pollfd p = {r->ends[0], POLLIN, 0};
	struct epoll_event event;
	fd_set set;
	int n = 1;

	switch (r->way) {
	case BY_EPOLL:
		n = epoll_wait(ready_epoll, &event, 1, -1);
		break;
	case BY_POLL:
		n = poll(&p, 1, -1);
		break;
	case BY_PPOLL:
		n = ppoll(&p, 1, NULL, NULL);
		break;
	case BY_SELECT:
		FD_ZERO(&set);
		FD_SET(r->ends[0], &set);
		n = select(r->ends[0] + 1, &set, NULL, NULL, NULL);
		break;
	case BY_READ:
		break;
	}
	if (n != 1)
		planted_fail("nothing is ready");
}

static void loop_main(struct actor *self)
{
	uint64_t one;

	(void)self;
	for (size_t i = 0; i < LENGTH(readies); i++) {
		struct ready *r = &readies[i];

		__atomic_store_n(&waits_for, (int)i + 1, __ATOMIC_RELEASE);
		await_ready(r);
		if ((r->ends == connection ? recv(r->ends[0], &one, sizeof(one), 0)
					   : read(r->ends[0], &one, sizeof(one))) != sizeof(one))
			planted_fail("read");
		__atomic_store_n(&r->read, now_ns(), __ATOMIC_RELEASE);
	}
}

static bool is_asleep(int tid)
{
	char path[64], text[512] = "";
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL)
		planted_fail(path);
	fclose(f);
	end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' && end[2] == 'S';
}

static void feed(struct ready *r)
{
	uint64_t one = 1;

	r->writing = now_ns();
	if (write(r->ends[1], &one, sizeof(one)) != sizeof(one))
		planted_fail("write");
	r->written = now_ns();
}

static void feeder_main(struct actor *self)
{
	(void)self;
	for (size_t i = 0; i < LENGTH(readies); i++) {
		struct ready *r = &readies[i];

		while (__atomic_load_n(&waits_for, __ATOMIC_ACQUIRE) != (int)i + 1 ||
		       !is_asleep(loop_tid))
			sleep_ms(1);
		/* a moment for which stamps are right enough */
		sleep_ms(5);
		r->at = now_ns();
		sleep_ms(5);
		feed(r);
		while (__atomic_load_n(&r->read, __ATOMIC_ACQUIRE) == 0)
			sleep_ms(1);
	}
}

static void connect_to_self(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	connection[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&at, bytes) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &bytes) != 0 ||
	    connect(connection[1], (struct sockaddr *)&at, bytes) != 0)
		planted_fail("a connection");
	connection[0] = accept(listener, NULL, NULL);
	close(listener);
}

void plant_ready(void)
{
	struct actor a[] = {{.name = "loop", .what = loop_main},
			    {.name = "feeder", .what = feeder_main}};
	struct epoll_event event = {.events = EPOLLIN};

	counter[0] = counter[1] = eventfd(0, EFD_CLOEXEC);
	connect_to_self();
	ready_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (counter[0] < 0 || connection[0] < 0 || pipe(fifo) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
	    epoll_ctl(ready_epoll, EPOLL_CTL_ADD, counter[0], &event) != 0 ||
	    epoll_ctl(ready_epoll, EPOLL_CTL_ADD, connection[0], &event) != 0)
		planted_fail("files");
	actor_start(&a[0]);
	loop_tid = a[0].tid;
	actor_start(&a[1]);
	for (int i = 0; i < 2; i++)
		actor_join(&a[i]);
	printf("{");
	actors_print(a, 2, ", ");
	printf("\"waker\": \"feeder\", \"woken\": \"loop\", \"wakes\": [");
	for (size_t i = 0; i < LENGTH(readies); i++)
		printf("%s{\"name\": \"%s\", \"at\": %lld, \"writing\": %lld, \"written\": %lld, "
		       "\"read\": %lld}",
		       i > 0 ? ", " : "", readies[i].name, (long long)readies[i].at,
		       (long long)readies[i].writing, (long long)readies[i].written,
		       (long long)readies[i].read);
	printf("]}\n");
}
