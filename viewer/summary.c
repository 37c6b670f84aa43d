#include "viewer/summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define LOCK_WEIGHT    10 /* a wait for a lock is as bad as another that is so many times as long */
#define WORST_LEAST_NS UINT64_C(1000000)
#define PARKED_WAITS   3 /* from as many on the story knows whether a thread is idle */
/* The row of @key, of @size bytes; a new one, zeroed, when there is none. NULL: no room for it, or (-ENOMEM) no memory. */
static void *row_at(struct summary *s, struct summary_rows *rows, size_t size, uint32_t key,
		    int *ret_error)
{
	uint32_t i = map_get(&rows->of, key), room = rows->room != 0 ? 2 * rows->room : 16;
	void *grown;

	*ret_error = 0;
	if (i != MAP_NONE)
		return (char *)rows->list + i * size;
	if (rows->n == SUMMARY_ROWS_MAX) {
		s->left_out++;
		return NULL;
	}
	*ret_error = -ENOMEM;
	if (rows->n == rows->room) {
		grown = realloc(rows->list, room * size);
		if (grown == NULL)
			return NULL;
		rows->list = grown;
		rows->room = room;
	}
	if (map_set(&rows->of, key, rows->n) < 0)
		return NULL;
	*ret_error = 0;
	return memset((char *)rows->list + rows->n++ * size, 0, size);
}

static struct summary_object *object_at(struct summary *s, uint32_t id, int *ret_error)
{
	struct summary_object *o =
		row_at(s, &s->by_object, sizeof(struct summary_object), id, ret_error);

	if (o != NULL)
		o->object = id;
	return o;
}

static bool is_wanted(struct summary *s, uint32_t thread)
{
	return s->threads == NULL || select_has_thread(s->threads, thread);
}

/* Where a thread begins, so that what it does first is in its place (parallel.h). */
static int take_event(void *context, const struct merged *m)
{
	struct summary *s = context;
	uint64_t ns = m->event->ns > s->from_ns ? m->event->ns : s->from_ns;

	s->events += m->event->ns >= s->from_ns && m->event->ns <= s->to_ns;
	if (reader_is_switches(m->block) || ns > s->to_ns ||
	    map_get(&s->parallel.thread_of, m->thread) != MAP_NONE || !is_wanted(s, m->thread))
		return 0;
	return parallel_add(&s->parallel, m->thread, ns, ns, false);
}

/* Who waits for a lock has something to do; who waits for a condition or a peer may have nothing. */
static uint64_t weight(const struct interval *i)
{
	uint64_t ns = i->end_ns - i->begin_ns;

	return i->state == TRACE_LOCK || i->state == TRACE_SPIN ? LOCK_WEIGHT * ns : ns;
}

static void take_worst(struct summary *s, const struct interval *i)
{
	if (i->end_ns - i->begin_ns >= WORST_LEAST_NS && weight(i) > weight(&s->worst))
		s->worst = *i;
}

/*
 * Which waits can be the worst: not idle ones; not those for a processor, which are no fault of the program; and not those for the end
 * of a thread or process, for who waits for that waits for all that it does.
 */
static void look_for_worst(struct summary *s, const struct interval *i)
{
	switch ((enum trace_state)i->state) {
	case TRACE_LOCK:
	case TRACE_SPIN:
		take_worst(s, i);
		return;
	case TRACE_WAIT: /* if it is worth a word when it is over */
		if (i->thread != s->pending.thread || weight(i) > weight(&s->pending))
			s->pending = *i;
		return;
	case TRACE_SYSCALL:
		if (i->call != SYS_futex + 1 && i->call != SYS_wait4 + 1 &&
		    i->call != SYS_waitid + 1 && i->call != SYS_vfork + 1 &&
		    i->call != SYS_exit_group + 1)
			take_worst(s, i);
		return;
	default:
		return;
	}
}

/*
 * A condition may be one for work, or only let time pass: not the first waits of a thread, of which nobody can tell whether it is
 * parked there, and none whose time was up.
 */
static int look_at_wait(struct summary *s, const struct story_wait *w)
{
	uint32_t waits = map_get(&s->waits_of, w->thread);
	bool is_of_it = s->pending.thread == w->thread && s->pending.begin_ns >= w->begin_ns;

	if (w->type == TRACE_LOCK_WAIT_EVENT)
		return 0;
	waits = waits != MAP_NONE ? waits : 0;
	if (is_of_it && w->type != TRACE_JOIN_BEGIN_EVENT && w->error != ETIMEDOUT &&
	    waits >= PARKED_WAITS)
		take_worst(s, &s->pending);
	s->pending = (struct interval){0};
	return w->type != TRACE_JOIN_BEGIN_EVENT && waits < PARKED_WAITS
		       ? map_set(&s->waits_of, w->thread, waits + 1)
		       : 0;
}

static int take_interval(void *context, const struct interval *i)
{
	struct summary *s = context;

	if (!is_wanted(s, i->thread))
		return 0;
	s->state_ns[i->state] += i->end_ns - i->begin_ns;
	look_for_worst(s, i);
	return parallel_add(&s->parallel, i->thread, i->begin_ns, i->end_ns,
			    i->state == TRACE_RUNNING);
}

/* The second of what is kept of the arguments is the timeout of these. */
static bool has_zero_timeout(const struct story_call *c)
{
	return (c->number == SYS_poll || c->number == SYS_epoll_wait ||
		c->number == SYS_epoll_pwait) &&
	       (int32_t)c->arguments[1] == 0;
}

/* Does it wait for what others do, in this program or elsewhere? */
static bool waits_for_others(const struct summary *s, const struct story_call *c)
{
	const struct table_file *file = c->file != 0 ? tables_file(s->tables, c->file) : NULL;

	switch (c->number) {
	case SYS_futex:
	case SYS_wait4:
	case SYS_waitid:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_recvmmsg:
	case SYS_flock:
	case SYS_msgrcv:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_vfork:
	case SYS_execve:
		return true;
	}
	return c->is_idle || c->is_open ||
	       (calls_moves_bytes(c->number) && (file == NULL || file->kind != TRACE_FD_FILE));
}

static int take_file(struct summary *s, const struct story_call *c)
{
	struct summary_file *f;
	int error;

	f = row_at(s, &s->by_file, sizeof(*f), c->file, &error);
	if (f == NULL)
		return error;
	f->file = c->file;
	f->tries++;
	f->again += f->was_again && c->result == -EAGAIN;
	f->was_again = c->result == -EAGAIN;
	if (c->result <= 0 || !calls_moves_bytes(c->number))
		return 0;
	if (calls_reads(c->number)) {
		f->reads++;
		f->small_reads += c->result < SMALL_BYTES;
	} else {
		f->writes++;
		f->small_writes += c->result < SMALL_BYTES;
	}
	return 0;
}

static int take_call(void *context, const struct story_call *c)
{
	struct summary *s = context;
	struct tally_row *row;

	if (!is_wanted(s, c->thread))
		return 0;
	if (!waits_for_others(s, c)) {
		row = tally_at(&s->prompt, c->number);
		if (row == NULL)
			return -ENOMEM;
		histogram_add(&row->took, c->end_ns - c->begin_ns);
	}
	if (!c->is_open && has_zero_timeout(c)) {
		s->polls++;
		s->polls_empty += c->result == 0;
	}
	if (c->file != 0 && !c->is_open && take_file(s, c) < 0)
		return -ENOMEM;
	return calls_call(&s->calls, c);
}

static int take_wait(void *context, const struct story_wait *w)
{
	struct summary *s = context;
	struct summary_object *o;
	int error;

	if (!is_wanted(s, w->thread))
		return 0;
	error = look_at_wait(s, w);
	if (error < 0 || w->object == 0 || w->type == TRACE_LOCK_WAIT_EVENT)
		return error;
	o = object_at(s, w->object, &error);
	if (o == NULL)
		return error;
	o->waits += !w->is_open;
	o->again += w->is_again;
	return 0;
}

static int take_hold(void *context, const struct story_hold *h)
{
	struct summary *s = context;
	uint64_t ns = h->end_ns - h->begin_ns;
	struct summary_object *o;
	int error;

	if (!is_wanted(s, h->thread) || ns < IO_NS)
		return 0;
	o = object_at(s, h->object, &error);
	if (o == NULL)
		return error;
	if (ns >= LONG_HOLD_NS && h->waiters > 0) {
		o->long_n++;
		o->long_ns += ns;
	}
	/* a futex is how a lock's holder wakes others: that takes long when it has to give up its processor */
	if (h->calls_ns >= IO_NS && h->longest_call != SYS_futex + 1) {
		o->io_n++;
		o->io_ns += h->calls_ns;
		if (h->longest_ns >= o->io_max_ns) {
			o->io_max_ns = h->longest_ns;
			o->io_call = h->longest_call;
		}
	}
	return 0;
}

static int take_life(void *context, const struct story_life *l)
{
	struct summary *s = context;

	parallel_end(&s->parallel, l->thread);
	return 0;
}

struct story_listener summary_listener(struct summary *s)
{
	struct listeners *l = &s->listeners;

	s->calls.tables = s->tables;
	s->calls.slower_ns = UINT64_MAX;
	s->calls.from_ns = s->from_ns;
	s->calls.to_ns = s->to_ns;
	threads_init(&s->by_thread, s->from_ns, s->to_ns);
	s->locks.from_ns = s->tasks.from_ns = s->regions.from_ns = s->from_ns;
	s->locks.to_ns = s->tasks.to_ns = s->regions.to_ns = s->to_ns;
	s->locks.threads = s->tasks.threads = s->regions.threads = s->threads;
	s->tasks.slowest_max = s->regions.slowest_max = SUMMARY_SLOWEST;
	listeners_add(l, (struct story_listener){
				 .context = s,
				 .event = take_event,
				 .interval = take_interval,
				 .call = take_call,
				 .wait = take_wait,
				 .hold = take_hold,
				 .life = take_life,
			 });
	listeners_add(l, threads_listener(&s->by_thread));
	listeners_add(l, locks_listener(&s->locks));
	listeners_add(l, lock_order_listener(&s->lock_order));
	listeners_add(l, tasks_listener(&s->tasks));
	listeners_add(l, regions_listener(&s->regions));
	return listeners_all(l);
}

int summary_end(struct summary *s, uint64_t end_ns)
{
	int r = threads_group(&s->by_thread, THREADS_BY_NONE, s->tables, s->threads);

	locks_finish(&s->locks, end_ns);
	if (r == 0)
		r = lock_order_finish(&s->lock_order);
	if (r == 0)
		r = tasks_end(&s->tasks, end_ns);
	return r == 0 ? regions_end(&s->regions, end_ns) : r;
}

int summary_parallel(struct summary *s, struct summary_parallel *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (parallel_sum(&s->parallel, ret->ns) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i <= PARALLEL_MAX; i++) {
		ret->all_ns += ret->ns[i];
		ret->running_ns += i * ret->ns[i];
		if (ret->ns[i] > 0)
			ret->most = i;
	}
	ret->serial_ns = ret->ns[1];
	if (ret->all_ns > 0)
		ret->mean = (double)ret->running_ns / (double)ret->all_ns;
	if (ret->running_ns > 0)
		ret->serial_share = (double)ret->serial_ns / (double)ret->running_ns;
	if (ret->serial_ns > 0)
		ret->bound = 1 / ret->serial_share;
	return 0;
}

void summary_fini(struct summary *s)
{
	calls_fini(&s->calls);
	tally_fini(&s->prompt);
	parallel_fini(&s->parallel);
	threads_fini(&s->by_thread);
	locks_fini(&s->locks);
	lock_order_fini(&s->lock_order);
	tasks_fini(&s->tasks);
	regions_fini(&s->regions);
	free(s->by_object.list);
	free(s->by_file.list);
	map_fini(&s->waits_of);
	map_fini(&s->by_object.of);
	map_fini(&s->by_file.of);
}
