#include "http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/private.h"

#define PULSE_NS (NS_PER_SECOND / 20) /* while it is about to end */

/* ---- connections ---- */

void place_do(struct place *p, enum doing doing)
{
	p->doing = doing;
	p->since_ns = clock_monotonic();
}

struct place *place_begin(struct http_server *s, int fd)
{
	struct place *p = s->accepting != NULL ? calloc(1, sizeof(*p)) : NULL;

	if (p == NULL)
		return NULL;
	p->door = s->accepting;
	p->fd = fd;
	place_do(p, DOING_ASK);
	p->next = s->places;
	p->link = &s->places;
	if (p->next != NULL)
		p->next->link = &p->next;
	s->places = p;
	p->door->connections++;
	s->connections++;
	return p;
}

void place_end(struct http_server *s, struct place *p)
{
	*p->link = p->next;
	if (p->next != NULL)
		p->next->link = p->link;
	p->door->connections--;
	s->connections--;
	free(p);
}

/* Has it said something that we have not come to? */
static bool is_unheard(const struct place *p)
{
	char c;

	return p->doing != DOING_TAKE && recv(p->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static uint64_t patience_of(const struct http_rules *rules, enum doing doing, bool is_crowd)
{
	const struct http_patience *p = doing == DOING_ASK    ? &rules->ask
					: doing == DOING_KEEP ? &rules->keep
							      : &rules->take;

	return is_crowd ? p->crowded_ns : p->ns;
}

/* Who was too slow goes. Returns when the next one will have been. */
static uint64_t look_at_places(struct http_server *s, uint64_t now)
{
	bool is_crowd = s->rules.crowd != 0 && s->connections >= s->rules.crowd;
	uint64_t next = UINT64_MAX, until;

	for (struct place *p = s->places; p != NULL; p = p->next) {
		bool is_over = s->is_ending && !p->is_busy;

		if (p->doing == DOING_GO || (p->doing == DOING_WAIT && !is_over))
			continue;
		until = p->since_ns + patience_of(&s->rules, p->doing, is_crowd);
		if (!is_over && until > now) {
			next = until < next ? until : next;
		} else if (!is_over && is_crowd && is_unheard(p)) {
			next = now;
		} else {
			shutdown(p->fd, SHUT_RDWR);
			p->doing = DOING_GO;
		}
	}
	return next;
}

/* ---- requests that wait ---- */

void http_wait(struct http_request *shown, int fd, uint64_t until_ns)
{
	struct request *q = request_of(shown);
	struct http_server *s = shown->server;

	q->fd = fd;
	q->until_ns = until_ns;
	q->is_ready = false;
	q->waits_on = true;
	if (q->is_waiting)
		return;
	q->is_waiting = true;
	q->next = s->waiting;
	q->link = &s->waiting;
	if (q->next != NULL)
		q->next->link = &q->next;
	s->waiting = q;
	s->waiting_n++;
	place_do(q->place, DOING_WAIT);
	carrier_suspend(q->connection);
}

void request_unlink(struct request *q)
{
	*q->link = q->next;
	if (q->next != NULL)
		q->next->link = q->link;
	q->is_waiting = false;
	q->shown.server->waiting_n--;
}

void request_stop_waiting(struct request *q)
{
	request_unlink(q);
	place_do(q->place, DOING_TAKE);
	carrier_resume(q->connection);
}

void request_end(struct request *q)
{
	if (!q->is_ended)
		q->shown.server->user.end(&q->shown);
	q->is_ended = true;
}

/* Who asked is gone, or the server is. */
static void drop(struct request *q)
{
	request_end(q);
	request_stop_waiting(q);
}

/* Who neither replies nor waits on is closed. */
static void step(struct request *q, enum http_why why, uint64_t now)
{
	q->waits_on = false;
	q->shown.server->user.step(&q->shown, why, now);
	if (q->is_waiting && (why == HTTP_END || !q->waits_on))
		drop(q);
}

/* Those whose time has come. */
static void step_all(struct http_server *s, uint64_t now)
{
	struct request *q, *next;

	for (q = s->waiting; q != NULL; q = next) {
		next = q->next;
		if (q->is_ready)
			step(q, HTTP_READY, now);
		else if (s->is_ending)
			step(q, HTTP_END, now);
		else if (q->until_ns <= now)
			step(q, HTTP_TIME, now);
	}
}

/* ---- doors ---- */

/* Those that have one of their own. */
static struct MHD_Daemon *own_daemon(const struct http_server *s, const struct door *door)
{
	return door->daemon != s->plain ? door->daemon : NULL;
}

static int choose_daemon(struct http_server *s, struct door *door, struct why *why)
{
	bool is_plain = door->listen.key == NULL;
	int r = http_load(why);

	if (r < 0)
		return r;
	door->daemon =
		is_plain && s->plain != NULL ? s->plain : carrier_start(s, &door->listen, why);
	if (is_plain)
		s->plain = door->daemon;
	return door->daemon != NULL ? 0 : -EIO;
}

static void accept_all(struct http_server *s, struct door *door)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	int fd;

	while (s->connections < s->rules.connections_max &&
	       (fd = accept4(door->listen.fd, (struct sockaddr *)&from, &size,
			     SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (door->daemon == NULL && choose_daemon(s, door, NULL) < 0) {
			close(fd);
			continue;
		}
		s->accepting = door;
		carrier_add(door->daemon, fd, (struct sockaddr *)&from, size);
		s->accepting = NULL;
		size = sizeof(from);
	}
}

static void close_door(struct door *door)
{
	listen_close(&door->listen);
	door->is_closed = true;
	door->user = NULL;
}

static void free_door(struct http_server *s, struct door *door)
{
	struct door **at = &s->doors;

	while (*at != door)
		at = &(*at)->next;
	*at = door->next;
	if (own_daemon(s, door) != NULL)
		carrier_stop(door->daemon);
	free(door);
}

/* Doors that nobody is in any more. */
static void sweep(struct http_server *s)
{
	struct door *door, *next;

	for (door = s->doors; door != NULL; door = next) {
		next = door->next;
		if (door->is_closed && door->connections == 0)
			free_door(s, door);
	}
}

static void run_daemons(struct http_server *s)
{
	if (s->plain != NULL)
		carrier_run(s->plain);
	for (struct door *d = s->doors; d != NULL; d = d->next)
		if (own_daemon(s, d) != NULL)
			carrier_run(d->daemon);
}

/* ---- the loop ---- */

enum { POLL_WOKEN, POLL_USER, POLL_PLAIN, POLL_WAITING };

/* What to wait for: returns how many, or -1 for want of memory. */
static int fill_polled(struct http_server *s)
{
	unsigned n = POLL_WAITING + 2 * s->waiting_n, at = POLL_WAITING;

	for (struct door *d = s->doors; d != NULL; d = d->next)
		n += 2;
	if (n > s->polled_room) {
		struct pollfd *polled = realloc(s->polled, 2 * n * sizeof(*polled));

		if (polled == NULL)
			return -1;
		s->polled = polled;
		s->polled_room = 2 * n;
	}
	s->polled[POLL_WOKEN] = (struct pollfd){s->woken, POLLIN, 0};
	s->polled[POLL_USER] = (struct pollfd){s->user.fd, POLLIN, 0};
	s->polled[POLL_PLAIN] =
		(struct pollfd){s->plain != NULL ? carrier_fd(s->plain) : -1, POLLIN, 0};
	/* who has gone, of those that wait for us: nobody else looks at their sockets */
	for (struct request *q = s->waiting; q != NULL; q = q->next) {
		s->polled[at++] = (struct pollfd){q->fd, POLLIN, 0};
		s->polled[at++] = (struct pollfd){q->place->fd, POLLRDHUP, 0};
	}
	for (struct door *d = s->doors; d != NULL; d = d->next) {
		bool accepts = !d->is_closed && s->connections < s->rules.connections_max;

		s->polled[at++] = (struct pollfd){accepts ? d->listen.fd : -1, POLLIN, 0};
		if (own_daemon(s, d) != NULL)
			s->polled[at++] = (struct pollfd){carrier_fd(d->daemon), POLLIN, 0};
	}
	return (int)at;
}

/* @at: where those that wait begin among what was polled. Nothing has changed since. */
static void look_at_waiting(struct http_server *s, const struct pollfd *at)
{
	struct request *q, *next;

	for (q = s->waiting; q != NULL; q = next, at += 2) {
		next = q->next;
		if ((at[1].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
			drop(q);
		else if (at[0].revents != 0)
			q->is_ready = true;
	}
}

static int milliseconds(uint64_t now, uint64_t next)
{
	uint64_t ms = next == UINT64_MAX ? 3600000 : next > now ? (next - now) / 1000000 + 1 : 0;

	return ms > 3600000 ? 3600000 : (int)ms;
}

/* What woke us is read away. */
static bool take_word(const struct pollfd *polled)
{
	char word[128]; /* as long as that of a signal */

	return polled->revents != 0 && read(polled->fd, word, sizeof(word)) >= 0;
}

/* Sleeps, and gives up the lock meanwhile: what was polled then is looked at only if all is as it was. */
static void sleep_until(struct http_server *s, uint64_t now, uint64_t next)
{
	unsigned serial = s->serial;
	int n = fill_polled(s);

	if (n < 0 && now + PULSE_NS < next)
		next = now + PULSE_NS;
	pthread_mutex_unlock(&s->lock);
	n = poll(s->polled, n > 0 ? (nfds_t)n : 0, milliseconds(now, next));
	pthread_mutex_lock(&s->lock);
	if (n <= 0)
		return;
	take_word(&s->polled[POLL_WOKEN]);
	s->has_come = take_word(&s->polled[POLL_USER]);
	if (serial == s->serial)
		look_at_waiting(s, s->polled + POLL_WAITING);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_moment(struct http_server *s, uint64_t now)
{
	uint64_t next = s->user.look(s->user.context, now, s->has_come);

	s->has_come = false;
	next = sooner(next, look_at_places(s, now));
	for (struct request *q = s->waiting; q != NULL; q = q->next)
		next = sooner(next, q->until_ns);
	if (s->plain != NULL)
		next = carrier_wish(s->plain, now, next);
	for (struct door *d = s->doors; d != NULL; d = d->next)
		if (own_daemon(s, d) != NULL)
			next = carrier_wish(d->daemon, now, next);
	return s->is_ending ? sooner(next, now + PULSE_NS) : next;
}

void http_run(struct http_server *s)
{
	uint64_t end_ns = UINT64_MAX, now;

	pthread_mutex_lock(&s->lock);
	while (true) {
		now = clock_monotonic();
		for (struct door *d = s->doors; d != NULL && !s->is_ending; d = d->next)
			if (!d->is_closed)
				accept_all(s, d);
		step_all(s, now);
		run_daemons(s);
		sweep(s);
		if (s->is_ending && end_ns == UINT64_MAX)
			end_ns = now + s->rules.end_ns;
		if (s->is_ending && (s->connections == 0 || now >= end_ns))
			break;
		sleep_until(s, now, next_moment(s, now));
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- beginning and end ---- */

int http_create(struct http_server **ret, const struct http_rules *rules,
		const struct http_user *user, struct why *why)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->rules = *rules;
	s->user = *user;
	s->asked_ns = clock_monotonic();
	s->woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->woken < 0) {
		why_set(why, "no file for it: %s", strerrordesc_np(errno));
		http_destroy(s);
		return -EMFILE;
	}
	*ret = s;
	return 0;
}

static void wake(struct http_server *s)
{
	const uint64_t one = 1;

	if (write(s->woken, &one, sizeof(one)) < 0)
		return; /* it has not heard of earlier words yet */
}

int http_listen(struct http_server *s, struct listen *l, void *user, struct why *why)
{
	struct door *door = calloc(1, sizeof(*door));
	int r;

	if (door == NULL) {
		listen_close(l);
		return -ENOMEM;
	}
	pthread_mutex_lock(&s->lock);
	door->listen = *l;
	door->user = user;
	/* else when somebody comes: most processes are never asked */
	r = carrier_is_loaded() || l->key != NULL ? choose_daemon(s, door, why) : 0;
	if (r == 0) {
		door->next = s->doors;
		s->doors = door;
		s->serial++;
		wake(s);
	} else {
		listen_close(&door->listen);
		free(door);
	}
	*l = (struct listen){.fd = -1};
	pthread_mutex_unlock(&s->lock);
	return r;
}

void http_forget(struct http_server *s, void *user)
{
	uint64_t now = clock_monotonic();
	struct request *q, *next;

	pthread_mutex_lock(&s->lock);
	for (q = s->waiting; q != NULL; q = next) {
		next = q->next;
		if (q->place->door->user == user)
			step(q, HTTP_END, now);
	}
	for (struct door *d = s->doors; d != NULL; d = d->next)
		if (d->user == user)
			close_door(d);
	s->serial++;
	wake(s);
	pthread_mutex_unlock(&s->lock);
}

void http_end(struct http_server *s)
{
	atomic_store_explicit(&s->is_ending, true, memory_order_seq_cst);
	wake(s);
}

void http_destroy(struct http_server *s)
{
	if (s == NULL)
		return;
	while (s->waiting != NULL)
		drop(s->waiting);
	run_daemons(s); /* so that they know of them again */
	for (struct door *d = s->doors; d != NULL; d = d->next) {
		close_door(d);
		if (own_daemon(s, d) != NULL)
			carrier_stop(d->daemon);
		d->daemon = s->plain;
	}
	if (s->plain != NULL)
		carrier_stop(s->plain);
	sweep(s);
	if (s->woken >= 0)
		close(s->woken);
	pthread_mutex_destroy(&s->lock);
	free(s->polled);
	free(s);
}

uint64_t http_asked_ns(const struct http_server *s)
{
	return s->waiting != NULL ? UINT64_MAX : s->asked_ns;
}

size_t http_held(const struct http_server *s)
{
	return s->held;
}

void http_doors(const struct http_server *s, void (*each)(void *door))
{
	for (const struct door *d = s->doors; d != NULL; d = d->next)
		if (!d->is_closed)
			each(d->user);
}

void http_leave(const struct http_server *s)
{
	for (const struct place *p = s->places; p != NULL; p = p->next)
		close(p->fd);
	for (const struct door *d = s->doors; d != NULL; d = d->next) {
		if (d->listen.fd >= 0)
			close(d->listen.fd);
		if (own_daemon(s, d) != NULL)
			close(carrier_fd(d->daemon));
	}
	if (s->plain != NULL)
		close(carrier_fd(s->plain));
	close(s->woken);
	if (s->user.fd >= 0)
		close(s->user.fd);
}
