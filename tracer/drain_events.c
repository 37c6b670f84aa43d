#include <stdlib.h>

#include "core/syscalls.h"
#include "tracer/drain_private.h"

#define BLOCK_BYTES   (UINT32_C(48) << 10) /* a block is full when it has so many */
#define PENDING_BYTES (UINT64_C(16) << 20) /* in all threads' blocks together */

/* What arguments of each type are. */

enum kind { NUMBER, TEXT, STACK, OBJECT };

struct info {
	uint8_t n, class;
	uint8_t order; /* which one is the order of the object that is the first; 0: it has none */
	bool is_known;
	uint8_t kinds[TRACE_ARGUMENTS_MAX];
};

#define EVENT_NAME(number, NAME, text, class, ends, arguments)      [number] = text,
#define EVENT_ARGUMENTS(number, NAME, text, class, ends, arguments) [number] = arguments,
#define EVENT_ENDS(number, NAME, text, class, ends, arguments)      [number] = ends,
#define EVENT_CLASS(number, NAME, text, class, ends, arguments)     [number] = TRACE_CLASS_##class,

const char *const drain_event_names[256] = {TRACE_EVENTS(EVENT_NAME)};
const char *const drain_event_arguments[256] = {TRACE_EVENTS(EVENT_ARGUMENTS)};
const uint8_t drain_event_ends[256] = {TRACE_EVENTS(EVENT_ENDS)};
static const uint8_t classes[256] = {TRACE_EVENTS(EVENT_CLASS)};

static struct info infos[256];

static void read_arguments(struct info *info, const char *text)
{
	while (*text != '\0' && info->n < TRACE_ARGUMENTS_MAX) {
		const char *kind = strchr(text, ':') + 1;

		if (strncmp(text, "order:", 6) == 0)
			info->order = info->n;
		info->kinds[info->n++] = strncmp(kind, "str", 3) == 0   ? TEXT
					 : strncmp(kind, "stk", 3) == 0 ? STACK
					 : strncmp(kind, "obj", 3) == 0 ? OBJECT
									: NUMBER;
		text = kind + strcspn(kind, " ");
		text += strspn(text, " ");
	}
}

__attribute__((constructor)) static void make_infos(void)
{
	for (unsigned type = 0; type < 256; type++) {
		if (drain_event_names[type] == NULL)
			continue;
		infos[type] = (struct info){.class = classes[type], .is_known = true};
		read_arguments(&infos[type], drain_event_arguments[type]);
	}
}

/* What a thread does */

static enum trace_state state_of(const struct drain_thread *t)
{
	if (t->wait != 0)
		return t->wait;
	if (t->call != 0)
		return syscalls_is_idle(t->call - 1) ? TRACE_IDLE : TRACE_SYSCALL;
	return TRACE_RUNNING;
}

/* The time up to @ticks was spent in what it did last; the end of it, @of_calls, in system calls. */
static void account(struct drain_thread *t, uint64_t ticks, uint64_t of_calls)
{
	uint64_t since = ticks - t->state_since;

	if (of_calls > since)
		of_calls = since;
	t->state_ticks[TRACE_SYSCALL] += of_calls;
	t->state_ticks[state_of(t)] += since - of_calls;
	t->state_since = ticks;
}

static void begin_wait(struct drain_thread *t, enum trace_state state, unsigned type,
		       uint64_t object, uint64_t ticks)
{
	t->wait = state;
	t->wait_type = type;
	t->wait_object = (uint32_t)object;
	t->wait_since = ticks;
}

static void take_lock(struct drain_thread *t, uint64_t object, uint64_t mode, uint64_t ticks)
{
	if (t->held_n < HELD_MAX) {
		t->held[t->held_n].object = (uint32_t)object;
		t->held[t->held_n].mode = (uint32_t)mode;
		t->held[t->held_n].since = ticks;
	}
	t->held_n++;
}

static void give_lock(struct drain_thread *t, uint64_t object)
{
	for (uint32_t i = t->held_n < HELD_MAX ? t->held_n : HELD_MAX; i > 0; i--) {
		if (t->held[i - 1].object != object)
			continue;
		t->held_n--;
		if (i < HELD_MAX)
			memmove(&t->held[i - 1], &t->held[i], (HELD_MAX - i) * sizeof(t->held[0]));
		return;
	}
	if (t->held_n > HELD_MAX)
		t->held_n--;
}

static void track(struct drain *d, struct drain_thread *t, unsigned type, uint64_t ticks,
		  const uint64_t *a)
{
	switch ((enum trace_event_type)type) {
	case TRACE_LOCK_PAIR_EVENT:
	case TRACE_LOCK_HELD_EVENT:
	default:
		break;
	case TRACE_SYSCALL_EVENT:
		t->call = 0;
		break;
	case TRACE_SYSCALL_BEGIN_EVENT:
		t->call = (uint32_t)a[0] + 1;
		t->call_since = ticks;
		break;
	case TRACE_SYSCALL_END_EVENT:
		t->call = 0;
		break;
	case TRACE_LOCK_WAIT_EVENT:
		begin_wait(t, TRACE_LOCK, type, a[0], ticks);
		break;
	case TRACE_LOCK_ACQUIRED_EVENT:
		t->wait = 0;
		take_lock(t, a[0], a[1], ticks);
		break;
	case TRACE_LOCK_RELEASED_EVENT:
		give_lock(t, a[0]);
		break;
	case TRACE_COND_WAIT_EVENT:
		give_lock(t, a[1]);
		begin_wait(t, TRACE_WAIT, type, a[0], ticks);
		break;
	case TRACE_SEM_WAIT_EVENT:
	case TRACE_BARRIER_WAIT_EVENT:
	case TRACE_ONCE_BEGIN_EVENT:
	case TRACE_FUTEX_WAIT_EVENT:
		begin_wait(t, TRACE_WAIT, type, a[0], ticks);
		break;
	case TRACE_OBJECT_DESTROY_EVENT: /* whoever holds it */
		give_lock(t, a[0]);
		break;
	case TRACE_JOIN_BEGIN_EVENT:
		begin_wait(t, TRACE_WAIT, type, 0, ticks);
		break;
	case TRACE_LOCK_FAILED_EVENT:
	case TRACE_COND_END_EVENT:
	case TRACE_SEM_END_EVENT:
	case TRACE_BARRIER_END_EVENT:
	case TRACE_ONCE_RUN_EVENT: /* it does what the others wait for */
	case TRACE_ONCE_END_EVENT:
	case TRACE_FUTEX_END_EVENT:
	case TRACE_JOIN_END_EVENT:
		t->wait = 0;
		break;
	case TRACE_CONFIG_EVENT:
		drain_metadata(d, (uint32_t)a[0], (uint32_t)a[1]);
		break;
	case TRACE_FD_OPEN_EVENT:
		drain_file(d, a[0], a[1], a[2], a[3]);
		break;
	case TRACE_FD_NAME_EVENT:
		drain_file(d, a[0], a[2], a[3], a[1]);
		break;
	case TRACE_TASK_SWITCH_EVENT:
		t->task = a[0];
		break;
	case TRACE_REGION_BEGIN_EVENT:
		if (t->regions_n < REGIONS_MAX)
			t->regions[t->regions_n] = (uint32_t)a[0];
		t->regions_n++;
		break;
	case TRACE_REGION_END_EVENT:
		t->regions_n -= t->regions_n != 0;
		break;
	case TRACE_THREAD_START_EVENT:
		drain_set_tid(d, t, (int32_t)a[0]);
		t->pthread = a[1];
		t->parent = (uint32_t)a[2];
		t->name = (uint32_t)a[3];
		t->begun_ticks = ticks;
		drain_thread_record(d, t);
		break;
	case TRACE_THREAD_NAME_EVENT:
		t->name = (uint32_t)a[0];
		drain_thread_record(d, t);
		break;
	case TRACE_PROCESS_EXIT_EVENT:
		d->has_exited = true;
		d->exit_code = (int64_t)(a[0] >> 1) ^ -(int64_t)(a[0] & 1);
		break;
	}
}

/* Blocks */

static uint64_t ns_of(uint64_t ticks, uint32_t tick_fs)
{
	double ns = (double)ticks * tick_fs / 1e6;

	return ns < 9e18 ? (uint64_t)ns : INT64_MAX; /* its stamps may be anything */
}

void drain_flush(struct drain *d, struct drain_thread *t)
{
	uint32_t tick_fs = drain_clock_tick_fs(&d->clock);
	struct trace_block_header h = {
		.kind = TRACE_BLOCK_EVENTS,
		.flags = t->flags | TRACE_BLOCK_STEPS,
		.generation = d->generation,
		.thread = t->number,
		.sequence = t->sequence,
		.events = t->events,
		.first_ns = drain_clock_ns(&d->clock, t->first_ticks),
		.last_ns = drain_clock_ns(&d->clock, t->last_ticks),
		.span = t->last_ticks - t->first_ticks,
		.lost_before = t->lost,
		.tick_fs = tick_fs,
	};
	uint8_t summary[WRITER_SUMMARY_MAX], *at = summary;
	uint64_t busy_ns;

	if (t->events == 0 && t->lost == 0 && !(t->flags & TRACE_BLOCK_LAST))
		return;
	if (t->events == 0)
		h.first_ns = h.last_ns = d->now_ns, h.span = 0;
	/* two lines of the clock may meet between a thread's last event and this one */
	if (h.first_ns < t->written_ns)
		h.first_ns = t->written_ns;
	if (h.last_ns < h.first_ns)
		h.last_ns = h.first_ns;
	if (t->lost != 0)
		h.flags |= TRACE_BLOCK_AFTER_GAP;
	drain_tables_write(d);
	h.needs_strings = d->known_written[TABLE_STRINGS];
	h.needs_stacks = d->known_written[TABLE_STACKS];
	h.needs_objects = d->known_written[TABLE_OBJECTS];
	h.needs_modules = d->known_written[TABLE_MODULES];
	for (unsigned i = 0; i < TRACE_STATES; i++)
		at = trace_encode(at, ns_of(t->state_ticks[i], tick_fs));
	for (unsigned i = 0; i < TRACE_CLASSES; i++)
		at = trace_encode(at, t->classes[i]);
	busy_ns = drain_busy(d);
	h.recorder_ns = busy_ns < UINT32_MAX ? (uint32_t)busy_ns : UINT32_MAX;
	writer_block(d->writer, &h, summary, (uint32_t)(at - summary), t->bytes, t->used);
	d->generation_bytes += t->used;
	t->written_ns = h.last_ns;
	t->sequence++;
	t->used = t->events = 0;
	t->lost = 0;
	t->flags = 0;
	memset(t->state_ticks, 0, sizeof(t->state_ticks));
	memset(t->classes, 0, sizeof(t->classes));
	t->steps = (struct trace_steps){0};
}

/* All blocks go out, and their memory back. */
static void flush_threads(struct drain *d)
{
	for (unsigned i = 0; i < THREAD_BUCKETS; i++) {
		for (struct drain_thread *t = d->threads[i]; t != NULL; t = t->next) {
			drain_flush(d, t);
			d->pending_bytes -= t->room;
			free(t->bytes);
			t->bytes = NULL;
			t->room = 0;
		}
	}
}

static bool make_room(struct drain *d, struct drain_thread *t)
{
	uint32_t room;
	uint8_t *grown;

	if (t->used >= BLOCK_BYTES) {
		drain_flush(d, t);
		return true;
	}
	if (d->pending_bytes > PENDING_BYTES)
		flush_threads(d);
	room = t->room != 0 ? t->room * 2 : 512;
	grown = realloc(t->bytes, room);
	if (grown == NULL)
		return false;
	d->pending_bytes += room - t->room;
	t->bytes = grown;
	t->room = room;
	return true;
}

/* One event with numbers of the file. */
static void append(struct drain *d, struct drain_thread *t, unsigned type, uint64_t ticks,
		   const uint64_t *a, unsigned n)
{
	uint8_t *at;

	if (unlikely((t->room - t->used < TRACE_EVENT_MAX || t->used >= BLOCK_BYTES) &&
		     !make_room(d, t))) {
		t->lost++;
		d->counts.lost++;
		return;
	}
	if (unlikely(ticks < t->ticks)) /* the thread was late with it */
		ticks = t->ticks;
	if (unlikely(t->events == 0))
		t->first_ticks = t->last_ticks = ticks;
	if (unlikely(t->state_since == 0))
		t->state_since = ticks;
	account(t, ticks, type == TRACE_SYSCALL_EVENT ? a[1] : 0);
	at = t->bytes + t->used;
	*at++ = (uint8_t)type;
	at = trace_encode(at, ticks - t->last_ticks);
	for (unsigned i = 0; i < n; i++)
		at = trace_encode(at, i != 0 && i == infos[type].order
					      ? trace_step(&t->steps, a[0], a[i])
					      : a[i]);
	t->used = (uint32_t)(at - t->bytes);
	t->last_ticks = t->ticks = ticks;
	t->events++;
	t->classes[infos[type].class]++;
}

void drain_put(struct drain *d, struct drain_thread *t, unsigned type, uint64_t ticks,
	       const uint64_t *arguments, unsigned n)
{
	append(d, t, type, ticks, arguments, n);
}

/* From chunks */

/* NULL when it does not end before @end, or is too long. */
static inline const uint8_t *decode(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
	uint64_t n = 0;

	if (likely(at < end && *at < 0x80)) {
		*ret = *at;
		return at + 1;
	}
	for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
		uint8_t byte = *at++;

		n |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = n;
			return at;
		}
	}
	return NULL;
}

static const uint8_t *take_text(struct drain *d, const uint8_t *at, const uint8_t *end,
				uint64_t *number)
{
	uint64_t length = *number;

	if (length > (uint64_t)(end - at))
		return NULL;
	*number = drain_string(d, (const char *)at, (uint32_t)length);
	return at + length;
}

/* What the thread writes of its own in ticks and we have better. */
static void take_lost(struct drain *d, uint64_t *a)
{
	d->lost_told += a[0];
	a[1] = drain_clock_ns(&d->clock, a[1]);
	a[2] = drain_clock_ns(&d->clock, a[2]);
}

bool drain_take(struct drain *d, struct drain_thread *t, const uint8_t *bytes, uint32_t n,
		uint64_t *ticks)
{
	const uint8_t *at = bytes, *end = bytes + n;
	uint64_t now = *ticks, since, a[TRACE_ARGUMENTS_MAX], events = 0;

	while (at < end) {
		unsigned type = *at++;
		const struct info *info = &infos[type];

		if (unlikely(!info->is_known))
			break;
		at = decode(at, end, &since);
		for (unsigned i = 0; at != NULL && i < info->n; i++) {
			at = decode(at, end, &a[i]);
			if (likely(info->kinds[i] == NUMBER) || at == NULL)
				continue;
			if (info->kinds[i] == OBJECT)
				a[i] = drain_object(d, a[i]);
			else if (info->kinds[i] == STACK)
				a[i] = drain_stack(d, a[i]);
			else
				at = take_text(d, at, end, &a[i]);
		}
		if (unlikely(at == NULL))
			break;
		now += since;
		if (unlikely(type == TRACE_LOST_EVENT))
			take_lost(d, a);
		append(d, t, type, now, a, info->n);
		track(d, t, type, t->ticks, a);
		events++;
	}
	*ticks = now;
	d->counts.events += events;
	t->events_all += events;
	return at == end;
}

/* The state as an event */

static void copy_held(const struct drain *d, struct drain_thread *t)
{
	const struct trace_thread *record =
		(const struct trace_thread *)((const uint8_t *)segment_part(
						      d->s, SEGMENT_TRACE_THREADS, 0) +
					      (size_t)t->record * TRACE_THREAD_STRIDE);

	if (atomic_load_explicit(&record->thread, memory_order_relaxed) != t->number)
		return;
	/* locks that it said nothing of when it took them: it would have when it gives them back */
	for (unsigned i = 0; i < TRACE_HELD_MAX; i++) {
		uint32_t object =
			atomic_load_explicit(&record->held[i].object, memory_order_relaxed);
		uint64_t since = __atomic_load_n(&record->held[i].since, __ATOMIC_RELAXED);
		uint32_t n = t->held_n < HELD_MAX ? t->held_n : HELD_MAX, k = 0;

		while (k < n && t->held[k].object != object)
			k++;
		if (object != 0 && k == n && since <= d->now_ticks)
			take_lock(t, object,
				  __atomic_load_n(&record->held[i].mode, __ATOMIC_RELAXED), since);
	}
}

static uint64_t before(uint64_t ticks, uint64_t since)
{
	return since <= ticks ? ticks - since : 0;
}

void drain_put_status(struct drain *d, struct drain_thread *t, uint64_t ticks)
{
	struct drain_thread now = *t;
	enum trace_state state = state_of(t);
	uint64_t reason = t->wait != 0 ? t->wait_type : t->call;
	uint64_t since = t->wait != 0 ? t->wait_since : t->call != 0 ? t->call_since : t->ticks;
	uint32_t held, regions;

	if (ticks < t->ticks)
		ticks = t->ticks;
	copy_held(d, &now);
	held = now.held_n < HELD_MAX ? now.held_n : HELD_MAX;
	regions = now.regions_n < REGIONS_MAX ? now.regions_n : REGIONS_MAX;
	DRAIN_PUT(d, t, TRACE_THREAD_STATUS_EVENT, ticks, state, reason,
		  t->wait != 0 ? t->wait_object : 0, t->task, before(ticks, since), held, regions);
	for (uint32_t i = 0; i < held; i++)
		DRAIN_PUT(d, t, TRACE_STATUS_HELD_EVENT, ticks, drain_object(d, now.held[i].object),
			  now.held[i].mode, before(ticks, now.held[i].since));
	for (uint32_t i = 0; i < regions; i++)
		DRAIN_PUT(d, t, TRACE_STATUS_REGION_EVENT, ticks, now.regions[i]);
}
