#include "viewer/merge.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/weave.h"

/*
 * Between the two threads: a ring of strips.
 *
 *     strips   … │ done │ read │ full │ full │ woven │ …
 *                         ^ taken              ^ given
 *
 * taken <= given <= taken + STRIPS; both only grow, and change under the lock. Strips from taken on, up to given, are the reader's;
 * the others are the weaver's, and so is the weave, while it runs. Who waits is woken when half the ring is
 * ready for it, so that they do not wake each other for every strip.
 */
#define STRIPS 32 /* 1.5 MiB: what one is ahead while the other ends a generation */
#define ALONE  64 /* strips, before a second thread is worth its start */

struct merge {
	struct reader *reader;
	struct weave *weave;
	struct merge_counts counts;

	/* the strip that is read */
	struct strip *strip;
	uint32_t at, note,
		stop; /* the event and the note that are next; the event at which there is a note, or the end */

	struct strip strips[STRIPS]; /* the first, while there is one thread */
	uint32_t strips_n;           /* that were made */
	uint32_t alone_n;            /* strips that are woven before the second thread begins */

	/* since there is one */
	bool has_weaver;
	pthread_t weaver;
	pthread_mutex_t lock;
	pthread_cond_t is_given, is_taken;
	uint64_t given, taken;
	bool is_over; /* nothing more is given */
	bool is_left; /* nothing more is taken */
	bool reader_waits, weaver_waits;
};

/* ---- the second thread ---- */

/* Whether there is room, or the reader is gone. The weaver waits for it, and does something else meanwhile. Holds the lock. */
static void wait_for_room(struct merge *m)
{
	bool has_work = true;

	while (m->given - m->taken == STRIPS && !m->is_left) {
		if (has_work) {
			pthread_mutex_unlock(&m->lock);
			has_work = weave_ahead(m->weave);
			pthread_mutex_lock(&m->lock);
			continue;
		}
		m->weaver_waits = true;
		pthread_cond_wait(&m->is_taken, &m->lock);
		m->weaver_waits = false;
	}
}

static void *weave_all(void *context)
{
	struct merge *m = context;
	struct strip *strip;

	pthread_mutex_lock(&m->lock);
	while (!m->is_over) {
		wait_for_room(m);
		if (m->is_left)
			break;
		strip = &m->strips[m->given % STRIPS];
		pthread_mutex_unlock(&m->lock);
		weave_fill(m->weave, strip);
		pthread_mutex_lock(&m->lock);
		m->given++;
		m->is_over = strip->result <= 0;
		if (m->reader_waits && (m->is_over || m->given - m->taken >= STRIPS / 2))
			pthread_cond_signal(&m->is_given);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* Signals are for the thread that began it all. False: there is none, and all goes on alone. */
static bool start_weaver(struct merge *m)
{
	sigset_t all, before;
	int r;

	for (; m->strips_n < STRIPS; m->strips_n++)
		if (strip_init(&m->strips[m->strips_n]) < 0)
			return false;
	if (pthread_mutex_init(&m->lock, NULL) != 0)
		return false;
	pthread_cond_init(&m->is_given, NULL);
	pthread_cond_init(&m->is_taken, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&m->weaver, NULL, weave_all, m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	m->has_weaver = r == 0;
	return m->has_weaver;
}

static void end_weaver(struct merge *m)
{
	if (!m->has_weaver)
		return;
	pthread_mutex_lock(&m->lock);
	m->is_left = true;
	pthread_cond_signal(&m->is_taken);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->weaver, NULL);
	pthread_cond_destroy(&m->is_given);
	pthread_cond_destroy(&m->is_taken);
	pthread_mutex_destroy(&m->lock);
}

/* ---- the first ---- */

/* Gives back the strip before, and takes the next. */
static struct strip *take_strip(struct merge *m)
{
	struct strip *strip;

	pthread_mutex_lock(&m->lock);
	m->taken += m->strip != NULL;
	if (m->weaver_waits && m->given - m->taken <= STRIPS / 2)
		pthread_cond_signal(&m->is_taken);
	while (m->given == m->taken) {
		m->reader_waits = true;
		pthread_cond_wait(&m->is_given, &m->lock);
		m->reader_waits = false;
	}
	strip = &m->strips[m->taken % STRIPS];
	pthread_mutex_unlock(&m->lock);
	return strip;
}

static void next_strip(struct merge *m)
{
	if (!m->has_weaver && m->alone_n == 0) {
		m->alone_n = UINT32_MAX;
		m->strip = NULL;
		start_weaver(m);
	}
	if (m->has_weaver) {
		m->strip = take_strip(m);
	} else {
		m->alone_n -= m->alone_n != UINT32_MAX;
		m->strip = &m->strips[0];
		weave_fill(m->weave, m->strip);
	}
	m->at = m->note = m->stop = 0;
}

/* What a note says. 0 or -EINTR. */
static int heed(struct merge *m, const struct strip_note *note, const struct watch *watch)
{
	uint64_t events = m->counts.events;

	if (note->is_step && watch_step(watch, note->bytes_done, weave_bytes(m->weave)))
		return -EINTR;
	m->counts = note->counts;
	m->counts.events = events;
	if (note->block != STRIP_NONE)
		reader_spoil(m->reader, &m->reader->blocks[note->block], note->what);
	return 0;
}

/* Goes on to where there is an event. What merge_next() returns. */
static int find_event(struct merge *m, const struct watch *watch, struct why *why)
{
	struct strip *strip;
	int r;

	for (;;) {
		strip = m->strip;
		while (strip != NULL && m->note < strip->notes_n &&
		       strip->notes[m->note].at == m->at) {
			r = heed(m, &strip->notes[m->note], watch);
			if (r < 0)
				return r;
			m->note++;
		}
		if (strip != NULL) {
			m->stop = m->note < strip->notes_n ? strip->notes[m->note].at : strip->n;
			if (m->at < m->stop)
				return 1;
			if (strip->result < 0 && why != NULL)
				*why = strip->why;
			if (strip->result <= 0)
				return strip->result;
		}
		next_strip(m);
	}
}

int merge_next(struct merge *m, struct merged *ret, const struct watch *watch, struct why *why)
{
	const struct strip_event *e;
	int r;

	if (m->at == m->stop) {
		r = find_event(m, watch, why);
		if (r <= 0)
			return r;
	}
	e = &m->strip->events[m->at++];
	ret->event = &e->event;
	ret->block = &m->reader->blocks[e->block];
	ret->ticks = *weave_ticks(m->weave, e->block);
	ret->thread = e->thread;
	ret->stream = e->stream;
	ret->cpu = e->cpu;
	m->counts.events++;
	return 1;
}

/* How many strips one thread makes before there are two. */
static uint32_t alone(void)
{
	const char *workers = getenv("CPROF_TRACE_WORKERS");
	cpu_set_t set;

	if (workers != NULL && strcmp(workers, "2") == 0)
		return 0;
	if ((workers != NULL && strcmp(workers, "1") == 0) ||
	    sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 2)
		return UINT32_MAX;
	return ALONE;
}

int merge_create(struct merge **ret, struct reader *r, const struct streams *s,
		 const struct tables *t)
{
	struct merge *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->reader = r;
	m->alone_n = alone();
	if (strip_init(&m->strips[0]) < 0 || weave_create(&m->weave, r, s, &t->schema) < 0) {
		merge_destroy(m);
		return -ENOMEM;
	}
	m->strips_n = 1;
	*ret = m;
	return 0;
}

void merge_seek(struct merge *m, uint64_t ns)
{
	weave_seek(m->weave, ns);
}

void merge_destroy(struct merge *m)
{
	if (m == NULL)
		return;
	end_weaver(m);
	for (uint32_t i = 0; i < STRIPS; i++)
		strip_fini(&m->strips[i]);
	weave_destroy(m->weave);
	free(m);
}

struct merge_counts merge_counts(const struct merge *m)
{
	return m->counts;
}
