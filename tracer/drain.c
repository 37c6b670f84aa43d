#include "tracer/drain.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracer/drain_private.h"

#define GENERATION_NS        (2 * NS_PER_SECOND)
#define GENERATION_THREAD_NS (10 * UINT64_C(1000000)) /* a status is 150 bytes: 15 KB/s at most */
#define GENERATION_BYTES     (UINT64_C(16) << 20)
#define SUSPICIONS           2 /* times that a thread is found gone before it is */
#define TIMES_NS             (100 * UINT64_C(1000000))
#define TIMES_THREAD_NS      UINT64_C(1000000) /* a look takes 10 us: one per cent of a processor */

#define LOAD(object) atomic_load_explicit(&(object), memory_order_relaxed)

/* Threads */

static struct drain_thread **bucket_of(struct drain *d, uint32_t number)
{
	return &d->threads[number % THREAD_BUCKETS];
}

static struct drain_thread *find_thread(struct drain *d, uint32_t number)
{
	struct drain_thread *t = *bucket_of(d, number);

	while (t != NULL && t->number != number)
		t = t->next;
	return t;
}

static uint32_t tid_bucket(int32_t tid)
{
	return (uint32_t)tid % THREAD_BUCKETS;
}

static void unlink_tid(struct drain *d, struct drain_thread *t)
{
	struct drain_thread **at = &d->threads_of_tid[tid_bucket(t->tid)];

	while (*at != NULL && *at != t)
		at = &(*at)->next_of_tid;
	if (*at != NULL)
		*at = t->next_of_tid;
}

void drain_set_tid(struct drain *d, struct drain_thread *t, int32_t tid)
{
	struct drain_thread **bucket = &d->threads_of_tid[tid_bucket(tid)];

	unlink_tid(d, t);
	t->tid = tid;
	t->next_of_tid = *bucket;
	*bucket = t;
}

static struct drain_thread *add_thread(struct drain *d, uint32_t number, int32_t tid,
				       uint32_t record)
{
	struct drain_thread *t = d->threads_n < THREADS_LIVE ? calloc(1, sizeof(*t)) : NULL;

	if (t == NULL)
		return NULL;
	t->number = number;
	drain_set_tid(d, t, tid);
	t->record = record < segment_count(d->s, SEGMENT_TRACE_THREADS, 0) ? record : 0;
	t->next = *bucket_of(d, number);
	*bucket_of(d, number) = t;
	d->threads_n++;
	return t;
}

static void drop_thread(struct drain *d, struct drain_thread *t)
{
	struct drain_thread **at = bucket_of(d, t->number);

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	unlink_tid(d, t);
	d->pending_bytes -= t->room;
	d->threads_n--;
	free(t->bytes);
	free(t);
}

static void each_thread(struct drain *d, void (*each)(struct drain *d, struct drain_thread *t))
{
	for (unsigned i = 0; i < THREAD_BUCKETS; i++) {
		for (struct drain_thread *t = d->threads[i], *next; t != NULL; t = next) {
			next = t->next;
			each(d, t);
		}
	}
}

static void link_gone(struct drain *d, uint32_t i)
{
	uint32_t *bucket = &d->gone_of_tid[tid_bucket(d->gone[i].tid)];

	d->gone[i].next = *bucket;
	*bucket = i + 1;
}

static void note_gone(struct drain *d, const struct drain_thread *t)
{
	struct drain_gone *grown = d->gone;

	if (d->gone_n == d->gone_room) {
		grown = realloc(grown, (d->gone_room * 2 + 64) * sizeof(*grown));
		if (grown == NULL)
			return;
		d->gone = grown;
		d->gone_room = d->gone_room * 2 + 64;
	}
	d->gone[d->gone_n] = (struct drain_gone){.tid = t->tid, .number = t->number};
	link_gone(d, d->gone_n++);
}

/* A pass begins. */
static void forget_gone(struct drain *d)
{
	if (d->gone_n == 0)
		return;
	d->gone_n -= d->gone_before;
	memmove(d->gone, d->gone + d->gone_before, d->gone_n * sizeof(*d->gone));
	d->gone_before = d->gone_n;
	memset(d->gone_of_tid, 0, sizeof(d->gone_of_tid));
	for (uint32_t i = 0; i < d->gone_n; i++)
		link_gone(d, i);
}

static void end_thread(struct drain *d, struct drain_thread *t)
{
	note_gone(d, t);
	t->flags |= TRACE_BLOCK_LAST;
	drain_flush(d, t);
	drop_thread(d, t);
}

bool drain_is_ours(const struct drain *d, int tid)
{
	for (unsigned i = 0; i < OWN_THREADS; i++)
		if (tid == atomic_load_explicit(&d->s->header->own_tids[i], memory_order_relaxed))
			return true;
	return false;
}

uint32_t drain_thread_of(const struct drain *d, int tid)
{
	const struct drain_thread *t = d->threads_of_tid[tid_bucket(tid)];
	uint32_t i = d->gone_of_tid[tid_bucket(tid)];

	while (t != NULL && t->tid != tid)
		t = t->next_of_tid;
	if (t != NULL)
		return t->number;
	while (i != 0 && d->gone[i - 1].tid != tid)
		i = d->gone[i - 1].next;
	return i != 0 ? d->gone[i - 1].number : 0;
}

static const struct trace_thread *record_of(const struct drain *d, uint32_t record)
{
	return (const struct trace_thread *)((const uint8_t *)segment_part(
						     d->s, SEGMENT_TRACE_THREADS, 0) +
					     (size_t)record * TRACE_THREAD_STRIDE);
}

/* Times: what threads ran, where their switches are not recorded */

void drain_use_schedstat(struct drain *d)
{
	d->has_schedstat = true;
}

static void say_schedstat(struct drain *d)
{
	struct segment_header *door = d->setup.door;

	if (door != NULL)
		atomic_fetch_or_explicit(&door->trace_has, TRACE_HAS_SCHEDSTAT,
					 memory_order_relaxed);
}

static void look_at_times(struct drain *d, struct drain_thread *t)
{
	struct sched_times since;
	bool is_first = t->times_ns == 0;

	t->times_ns = d->now_ns;
	if (sched_delta(d->setup.pid, t->tid, &t->times, &since) <= 0)
		return;
	say_schedstat(d);
	/* the first counts from its beginning, which may have been long before this */
	if (is_first &&
	    since.ran_ns + since.waited_ns > d->now_ns - drain_clock_ns(&d->clock, t->begun_ticks))
		return;
	DRAIN_PUT(d, t, TRACE_SCHED_DELTA_EVENT, d->now_ticks, since.ran_ns, since.waited_ns,
		  since.slices, since.voluntary, since.involuntary);
}

static void look_now_and_then(struct drain *d, struct drain_thread *t)
{
	uint64_t between = d->threads_n * TIMES_THREAD_NS;

	if (d->now_ns - t->times_ns >= (between > TIMES_NS ? between : TIMES_NS))
		look_at_times(d, t);
}

/* The file */

static uint64_t clock_now(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return clock_of_timespec(now);
}

static void make_uuid(uint8_t ret[16])
{
	uint64_t now = clock_now(CLOCK_REALTIME);

	if (getrandom(ret, 16, GRND_NONBLOCK) != 16)
		memcpy(ret, &now, sizeof(now));
}

static void note_header(const struct drain *d, struct trace_file_header *ret)
{
	const struct segment_header *h = d->s->header;

	*ret = (struct trace_file_header){
		.begun_monotonic_ns = h->begun_monotonic_ns,
		.begun_realtime_ns = h->begun_realtime_ns,
		.pid = (uint32_t)h->pid,
		.flags = LOAD(h->trace_has),
		.level = (uint32_t)LOAD(h->runs[RUN_TRACE].setting),
	};
	make_uuid(ret->uuid);
}

uint64_t drain_busy(struct drain *d)
{
	uint64_t before = d->busy_ns;

	d->busy_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
	return d->busy_ns - before;
}

/* A generation's first words. */
static void put_clocks(struct drain *d)
{
	d->process.flags |= TRACE_BLOCK_STARTS;
	DRAIN_PUT(d, &d->process, TRACE_CLOCK_SYNC_EVENT, d->now_ticks, clock_now(CLOCK_MONOTONIC),
		  clock_now(CLOCK_REALTIME), clock_now(CLOCK_BOOTTIME), arch_counter());
	drain_flush(d, &d->process);
}

static void open_file(struct drain *d)
{
	struct trace_file_header header;
	int fd = d->setup.open(d->setup.user);

	d->is_open = true;
	if (fd < 0) {
		d->error = fd;
		return;
	}
	note_header(d, &header);
	d->error = writer_create(&d->writer, fd, &header, d->setup.ring);
	if (d->error < 0)
		return;
	drain_tables_begin(d);
	d->generation_ns = d->now_ns;
	put_clocks(d);
}

/* Chunks */

static struct trace_chunk *chunk_at(const struct drain *d, uint32_t index)
{
	const struct segment_place *place = segment_place(d->s, SEGMENT_TRACE_CHUNKS, 0);

	return (struct trace_chunk *)(d->s->base + place->offset + (size_t)index * place->stride);
}

static void give_back(struct drain *d, uint32_t index)
{
	struct segment_header *door = d->setup.door;

	d->chunks[index].is_finished = true;
	if (door == NULL)
		return;
	atomic_fetch_add_explicit(&door->trace_given_back, 1, memory_order_relaxed);
	/* release pairs: who takes it */
	atomic_fetch_or_explicit(&door->trace_free[index / 64], UINT64_C(1) << index % 64,
				 memory_order_release);
}

static int compare_work(const void *a, const void *b)
{
	const struct work *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* Puts a chunk on the list if there may be something in it that was not read. */
static void note_chunk(struct drain *d, uint32_t index, uint64_t serial_end)
{
	struct drain_chunk *known = &d->chunks[index];
	const struct trace_chunk *c = chunk_at(d, index);
	/* acquire pairs: who took it */
	uint64_t serial = atomic_load_explicit(&c->serial, memory_order_acquire);

	if (serial > serial_end) /* the one before it may not have been there when we looked */
		return;
	if (serial != known->serial)
		*known = (struct drain_chunk){.serial = serial, .ticks = c->first_ticks};
	if (serial == 0 || known->is_finished)
		return;
	d->work[d->work_n] = (struct work){.chunk = index, .thread = c->thread};
	d->work[d->work_n].order = (uint64_t)d->work[d->work_n].thread << 32 | c->sequence;
	d->work_n++;
}

/*
 * Chunks that are in use, by thread and in their order. Of the others not even the head is read: nobody has touched their
 * pages yet, and to look at one is to have it allocated.
 */
static void look_for_work(struct drain *d)
{
	const struct segment_header *h = d->s->header;
	/* acquire pairs: who took the last one. What came before it is there, also of other chunks of that thread */
	uint64_t serial = atomic_load_explicit(&h->trace_serial, memory_order_acquire);

	d->work_n = 0;
	for (uint32_t i = 0; i * 64 < d->chunks_n; i++) {
		uint64_t taken = ~atomic_load_explicit(&h->trace_free[i], memory_order_relaxed);

		if (d->chunks_n - i * 64 < 64)
			taken &= (UINT64_C(1) << (d->chunks_n - i * 64)) - 1;
		for (; taken != 0; taken &= taken - 1)
			note_chunk(d, i * 64 + (uint32_t)__builtin_ctzll(taken), serial);
	}
	qsort(d->work, d->work_n, sizeof(*d->work), compare_work);
}

/* What the host knows of it, where what it said itself is gone. */
static void know_thread(struct drain *d, struct drain_thread *t)
{
	const struct thread_record *records = segment_part(d->s, SEGMENT_THREADS, 0);
	char name[THREAD_NAME_SIZE];

	if (LOAD(record_of(d, t->record)->thread) != t->number)
		return;
	memcpy(name, records[t->record].name, sizeof(name));
	t->name = drain_string(d, name, (uint32_t)strnlen(name, sizeof(name)));
	drain_thread_record(d, t);
}

/* Its thread and what it should be: the thread's next. */
static struct drain_thread *thread_of(struct drain *d, const struct work *w,
				      const struct trace_chunk *c, bool is_new)
{
	struct drain_thread *t = find_thread(d, w->thread);
	uint32_t sequence = (uint32_t)w->order;

	if (w->thread == 0 || w->thread == TRACE_ALL)
		return NULL;
	if (t == NULL) {
		t = add_thread(d, w->thread, c->tid, c->record);
		if (t != NULL && sequence != 0)
			know_thread(d, t);
	}
	if (t != NULL && is_new) {
		if (sequence != t->next_sequence)
			t->flags |= TRACE_BLOCK_AFTER_GAP;
		t->next_sequence = sequence + 1;
	}
	return t;
}

/* From @at on: where no gap is. */
static uint32_t pass_gaps(const uint32_t *gaps, uint32_t at, uint32_t end)
{
	for (int i = 0; i < CHUNK_GAPS; i++) {
		if (gaps[i] >> 16 > at || (gaps[i] & 0xffff) <= at)
			continue;
		at = gaps[i] & 0xffff;
		i = -1; /* another may begin before the end of this one */
	}
	return at < end ? at : end;
}

/* What is in d->copy from @at to @end, but for the gaps that handlers left. */
static bool take_pieces(struct drain *d, struct drain_thread *t, const uint32_t *gaps, uint32_t at,
			uint32_t end, uint64_t *ticks)
{
	for (at = pass_gaps(gaps, at, end); at < end;) {
		uint32_t to = end;

		for (int i = 0; i < CHUNK_GAPS; i++)
			if (gaps[i] >> 16 > at && gaps[i] >> 16 < to)
				to = gaps[i] >> 16;
		if (!drain_take(d, t, d->copy + at, to - at, ticks))
			return false;
		at = pass_gaps(gaps, to, end);
	}
	return true;
}

/* What is in a chunk and was not read. Returns how much that was. */
static uint32_t read_chunk(struct drain *d, const struct work *w)
{
	const struct trace_chunk *c = chunk_at(d, w->chunk);
	struct drain_chunk *known = &d->chunks[w->chunk];
	uint32_t room = segment_place(d->s, SEGMENT_TRACE_CHUNKS, 0)->stride - (uint32_t)sizeof(*c);
	/* acquire pairs: the writer, who puts the bytes there first */
	uint64_t word = atomic_load_explicit(&c->word, memory_order_acquire);
	uint32_t used = CHUNK_USED(word), n, done = known->done, gaps[CHUNK_GAPS];
	struct trace_chunk head;
	struct drain_thread *t;

	if (used > room)
		used = room;
	n = used > done ? used - done : 0;
	/* also when nothing is in it yet: the next one may be read before there is */
	if (n == 0 && known->is_begun && !(word & CHUNK_CLOSED))
		return 0;
	memcpy(d->copy + done, c->bytes + done, n);
	for (int i = 0; i < CHUNK_GAPS; i++)
		gaps[i] = LOAD(c->gaps[i]);
	head = (struct trace_chunk){.tid = c->tid, .record = c->record};
	/* it was taken meanwhile, as one of the oldest; pairs: take_oldest() */
	atomic_thread_fence(memory_order_acquire);
	if (LOAD(c->serial) != known->serial) {
		known->is_finished = true;
		return 0;
	}
	t = thread_of(d, w, &head, !known->is_begun);
	known->is_begun = true;
	if (t == NULL) {
		d->counts.lost++;
	} else if (n != 0) {
		if (!take_pieces(d, t, gaps, done, used, &known->ticks)) {
			t->lost++; /* at least */
			d->counts.lost++;
			used = room;
		}
	}
	known->done = used > done ? used : done;
	if (word & CHUNK_CLOSED) {
		bool is_last = LOAD(c->flags) & CHUNK_LAST;

		give_back(d, w->chunk);
		if (t != NULL && is_last)
			end_thread(d, t);
	}
	return n;
}

/* Generations */

/* Is it gone without a word? What the host says of it, then what the kernel does. */
static bool is_gone(const struct drain *d, const struct drain_thread *t)
{
	const struct thread_record *records = segment_part(d->s, SEGMENT_THREADS, 0);
	char path[64];

	if (t->events_all != t->seen_events)
		return false;
	/* a segment's parts need not be of one size */
	if (t->record >= segment_count(d->s, SEGMENT_THREADS, 0))
		return true;
	/* one that has no record any more may still be at its last calls */
	if (d->setup.pid <= 0)
		return LOAD(record_of(d, t->record)->thread) != t->number ||
		       LOAD(records[t->record].tid) != t->tid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d", d->setup.pid, t->tid);
	return access(path, F_OK) != 0 && errno == ENOENT;
}

static void release_chunks(struct drain *d, uint32_t thread)
{
	for (uint32_t i = 0; i < d->work_n; i++)
		if (d->work[i].thread == thread && !d->chunks[d->work[i].chunk].is_finished)
			give_back(d, d->work[i].chunk);
}

static void look_after(struct drain *d, struct drain_thread *t)
{
	if (!is_gone(d, t)) {
		t->suspicions = 0;
		t->seen_events = t->events_all;
		return;
	}
	if (++t->suspicions < SUSPICIONS)
		return;
	DRAIN_PUT(d, t, TRACE_THREAD_EXIT_EVENT, d->now_ticks, TRACE_EXIT_LOST);
	release_chunks(d, t->number);
	end_thread(d, t);
}

static void put_status(struct drain *d, struct drain_thread *t)
{
	drain_put_status(d, t, d->now_ticks);
}

static uint64_t generation_bytes_max(const struct drain *d)
{
	uint64_t ring = d->setup.ring.bytes / 4;

	return ring != 0 && ring < GENERATION_BYTES ? ring : GENERATION_BYTES;
}

static uint64_t generation_ns_max(const struct drain *d)
{
	uint64_t ns = GENERATION_NS, ring = d->setup.ring.ns / 4;

	if (ns < d->threads_n * GENERATION_THREAD_NS)
		ns = d->threads_n * GENERATION_THREAD_NS;
	return ring != 0 && ring < ns ? ring : ns;
}

static void begin_generation(struct drain *d, void (*put)(struct drain *d, struct drain_thread *t))
{
	each_thread(d, drain_flush);
	drain_flush(d, &d->process);
	drain_modules(d);
	drain_tables_write(d);
	d->generation++;
	d->generation_ns = d->now_ns;
	d->generation_bytes = 0;
	d->generation_events = d->counts.events;
	put_clocks(d);
	each_thread(d, put);
}

static void turn_generation(struct drain *d)
{
	if (d->generation_bytes < generation_bytes_max(d) &&
	    d->now_ns - d->generation_ns < generation_ns_max(d))
		return;
	each_thread(d, look_after);
	/* a program in which nothing happens does not grow */
	if (d->counts.events != d->generation_events)
		begin_generation(d, put_status);
}

/* Passes */

static uint64_t pass(struct drain *d)
{
	const struct segment_header *h = d->s->header;
	uint64_t taken = 0;

	/* acquire pairs: who starts it, and has set the clock before */
	if (atomic_load_explicit(&h->runs[RUN_TRACE].setting, memory_order_acquire) == 0)
		return 0;
	if (!d->is_open)
		drain_clock_start(&d->clock, h);
	d->now_ticks = drain_clock_look(&d->clock);
	d->now_ns = drain_clock_ns(&d->clock, d->now_ticks);
	if (!d->is_open)
		open_file(d);
	if (d->writer == NULL)
		return 0;
	forget_gone(d);
	look_for_work(d);
	for (uint32_t i = 0; i < d->work_n; i++)
		taken += read_chunk(d, &d->work[i]);
	if (d->setup.each_pass != NULL)
		d->setup.each_pass(d, d->now_ns, d->setup.user);
	if (d->has_schedstat)
		each_thread(d, look_now_and_then);
	return taken;
}

uint64_t drain_pass(struct drain *d)
{
	uint64_t begun = clock_now(CLOCK_THREAD_CPUTIME_ID), taken;

	d->busy_ns = begun;
	taken = pass(d);
	if (d->writer != NULL) {
		writer_set_flags(d->writer, LOAD(d->s->header->trace_has));
		turn_generation(d);
		writer_flush(d->writer);
	}
	d->counts.busy_ns += clock_now(CLOCK_THREAD_CPUTIME_ID) - begun;
	return taken;
}

/* The system call that it is in and has written nothing of. */
static void note_operation(const struct drain *d, struct drain_thread *t)
{
	const struct trace_thread *record = record_of(d, t->record);
	uint64_t operation = LOAD(record->operation);

	if (LOAD(record->thread) != t->number || t->call != 0 || (operation & 0xffff) == 0)
		return;
	t->call = (uint32_t)(operation & 0xffff);
	t->call_since = operation >> 16;
}

/* Snapshots */

/* What it does at this moment. It goes on, and will say itself what it did. */
static void put_moment(struct drain *d, struct drain_thread *t)
{
	uint32_t call = t->call;
	uint64_t since = t->call_since;

	note_operation(d, t);
	put_status(d, t);
	t->call = call;
	t->call_since = since;
}

int drain_snapshot_begin(struct drain *d, int fd, uint64_t since_ns)
{
	uint8_t uuid[16];

	pass(d);
	if (d->writer == NULL || d->snapshot != NULL) {
		close(fd);
		return d->snapshot != NULL ? -EBUSY : d->error < 0 ? d->error : -ENODATA;
	}
	/* a generation ends here, and the beginning of the next is in it: what all threads do */
	begin_generation(d, put_moment);
	each_thread(d, drain_flush);
	drain_name_objects(d);
	drain_tables_write(d);
	make_uuid(uuid);
	return writer_snapshot_begin(&d->snapshot, d->writer, fd, uuid, since_ns);
}

int drain_snapshot_step(struct drain *d)
{
	int r = writer_snapshot_step(d->snapshot);

	if (r <= 0) {
		writer_snapshot_end(d->snapshot);
		d->snapshot = NULL;
	}
	return r;
}

/* The end */

/* No event of its own will speak of them any more. */
static void note_lost(struct drain *d, struct drain_thread *t)
{
	const struct trace_thread *record = record_of(d, t->record);
	uint64_t lost = LOAD(record->lost);

	if (LOAD(record->thread) != t->number)
		return;
	t->lost += lost;
	d->lost_told += lost;
}

/* What it was in when it stopped for good. */
static void end_of_process(struct drain *d, struct drain_thread *t)
{
	note_lost(d, t);
	note_operation(d, t);
	put_status(d, t);
	DRAIN_PUT(d, t, TRACE_THREAD_EXIT_EVENT, d->now_ticks,
		  d->has_exited ? TRACE_EXIT_PROCESS : TRACE_EXIT_LOST);
	end_thread(d, t);
}

static void end_of_recording(struct drain *d, struct drain_thread *t)
{
	note_lost(d, t);
	put_moment(d, t);
	t->flags |= TRACE_BLOCK_LAST;
	drain_flush(d, t);
}

/* What threads lost that ended before they had room to say so. */
static void put_rest_of_lost(struct drain *d)
{
	uint64_t lost = LOAD(d->s->header->lost[LOST_EVENTS]);

	if (lost > d->lost_told)
		d->process.lost += lost - d->lost_told;
	d->lost_told = lost;
}

int drain_end(struct drain *d, enum trace_end reason, uint32_t value)
{
	d->busy_ns = clock_now(CLOCK_THREAD_CPUTIME_ID);
	pass(d);
	if (d->writer == NULL)
		return d->error;
	if (d->has_schedstat && reason != TRACE_END_EXEC) /* whose it would be */
		each_thread(d, look_at_times);
	drain_name_objects(d);
	if ((reason == TRACE_END_UNKNOWN || reason == TRACE_END_STOPPED) && d->has_exited) {
		reason = TRACE_END_EXITED;
		value = (uint32_t)d->exit_code & 0xff;
	}
	if (reason == TRACE_END_STOPPED || reason == TRACE_END_SNAPSHOT) {
		each_thread(d, end_of_recording);
	} else {
		if (!d->has_exited && (reason == TRACE_END_EXITED || reason == TRACE_END_SIGNAL))
			DRAIN_PUT(d, &d->process, TRACE_PROCESS_EXIT_EVENT, d->now_ticks,
				  reason == TRACE_END_EXITED ? trace_zigzag((int32_t)value) : 0,
				  reason == TRACE_END_SIGNAL ? value : 0);
		d->has_exited = d->has_exited || reason != TRACE_END_SIGNAL;
		each_thread(d, end_of_process);
	}
	put_rest_of_lost(d);
	put_clocks(d);
	writer_set_flags(d->writer, LOAD(d->s->header->trace_has));
	writer_end(d->writer, reason, value);
	return writer_error(d->writer);
}

struct drain_counts drain_counts(const struct drain *d)
{
	struct drain_counts c = d->counts;

	c.error = d->error;
	c.lost += LOAD(d->s->header->lost[LOST_EVENTS]);
	if (d->writer != NULL) {
		struct writer_counts w = writer_counts(d->writer);

		c.bytes = w.bytes;
		c.raw_bytes = w.raw_bytes;
		c.unwritten = w.dropped;
		if (writer_error(d->writer) < 0)
			c.error = writer_error(d->writer);
	}
	return c;
}

void drain_add_block(struct drain *d, struct trace_block_header *header, const uint8_t *payload,
		     uint32_t bytes)
{
	uint32_t flags = header->flags & TRACE_BLOCK_SWITCHES, i = 0;

	if (d->writer == NULL || header->kind >= TRACE_BLOCK_KINDS || bytes > TRACE_RAW_MAX)
		return;
	while (i < d->foreign_n &&
	       (d->foreign[i].thread != header->thread || d->foreign[i].flags != flags))
		i++;
	if (i == d->foreign_n) {
		struct foreign *grown = realloc(d->foreign, (i + 1) * sizeof(*grown));

		if (grown == NULL)
			return;
		d->foreign = grown;
		d->foreign[d->foreign_n++] = (struct foreign){header->thread, flags, 0};
	}
	drain_tables_write(d);
	header->generation = d->generation;
	header->sequence = d->foreign[i].sequence++;
	writer_block(d->writer, header, NULL, 0, payload, bytes);
	d->generation_bytes += bytes;
}

void drain_add_event(struct drain *d, unsigned type, const uint64_t *arguments, unsigned n)
{
	drain_put(d, &d->process, type, d->now_ticks, arguments, n);
}

/* Waiting */

uint32_t drain_ticket(const struct drain *d)
{
	return atomic_load_explicit(&d->s->header->trace_wake, memory_order_seq_cst);
}

void drain_sleep(const struct drain *d, uint32_t ticket, unsigned ms)
{
	struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};

	syscall(SYS_futex, &d->s->header->trace_wake, FUTEX_WAIT, ticket, &wait, NULL, 0);
}

void drain_rouse(const struct drain *d)
{
	struct segment_header *door = d->setup.door;

	if (door == NULL)
		return;
	atomic_fetch_add_explicit(&door->trace_wake, 1, memory_order_seq_cst);
	syscall(SYS_futex, &door->trace_wake, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Its life */

int drain_create(struct drain **ret, const struct drain_setup *setup)
{
	struct drain *d = calloc(1, sizeof(*d));
	const struct segment *s;

	if (d == NULL)
		return -ENOMEM;
	d->setup = *setup;
	d->s = s = &d->setup.segment;
	d->chunks_n = segment_count(s, SEGMENT_TRACE_CHUNKS, 0);
	d->chunks = calloc(d->chunks_n, sizeof(*d->chunks));
	d->work = calloc(d->chunks_n, sizeof(*d->work));
	d->copy = malloc(segment_place(s, SEGMENT_TRACE_CHUNKS, 0)->stride);
	d->stacks =
		calloc(segment_count(s, SEGMENT_STACK_WORDS, SEGMENT_LASTING), sizeof(*d->stacks));
	d->objects = calloc(segment_count(s, SEGMENT_TRACE_OBJECTS, 0) / 8 + 1, 1);
	d->modules = calloc(segment_count(s, SEGMENT_MODULES, 0), sizeof(*d->modules));
	d->process.number = TRACE_ALL;
	if (d->chunks == NULL || d->work == NULL || d->copy == NULL || d->stacks == NULL ||
	    d->objects == NULL || d->modules == NULL) {
		drain_destroy(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

void drain_destroy(struct drain *d)
{
	if (d == NULL)
		return;
	each_thread(d, drop_thread);
	writer_snapshot_end(d->snapshot);
	writer_destroy(d->writer);
	drain_tables_destroy(d);
	free(d->gone);
	free(d->process.bytes);
	free(d->foreign);
	free(d->modules);
	free(d->objects);
	free(d->stacks);
	free(d->copy);
	free(d->work);
	free(d->chunks);
	free(d);
}
