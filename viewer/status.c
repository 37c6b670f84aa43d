#include "viewer/status.h"

#include <string.h>

#include "core/syscalls.h"

static enum trace_state state_of(const struct status *s)
{
	if (s->wait != 0)
		return (enum trace_state)s->wait;
	if (s->call != 0)
		return syscalls_is_idle(s->call - 1) ? TRACE_IDLE : TRACE_SYSCALL;
	return TRACE_RUNNING;
}

/* The time up to @ns was spent in what it did last; the end of it, @of_calls, in system calls. */
static void account(struct status *s, uint64_t ns, uint64_t of_calls)
{
	uint64_t since = ns > s->ns ? ns - s->ns : 0;

	if (!s->is_known)
		since = 0;
	if (of_calls > since)
		of_calls = since;
	s->state_ns[TRACE_SYSCALL] += of_calls;
	s->state_ns[state_of(s)] += since - of_calls;
	s->ns = ns;
}

static void begin_wait(struct status *s, enum trace_state state, const struct event *event,
		       uint64_t object)
{
	s->wait = (uint8_t)state;
	s->wait_type = event->type;
	s->wait_object = (uint32_t)object;
	s->wait_ns = event->ns;
}

static void take_lock(struct status *s, uint64_t object, uint64_t mode, uint64_t since_ns)
{
	if (s->held_n < STATUS_HELD_MAX) {
		s->held[s->held_n].object = (uint32_t)object;
		s->held[s->held_n].mode = (uint32_t)mode;
		s->held[s->held_n].since_ns = since_ns;
	}
	s->held_n++;
}

static void give_lock(struct status *s, uint64_t object)
{
	for (uint32_t i = s->held_n < STATUS_HELD_MAX ? s->held_n : STATUS_HELD_MAX; i > 0; i--) {
		if (s->held[i - 1].object != object)
			continue;
		s->held_n--;
		if (i < STATUS_HELD_MAX)
			memmove(&s->held[i - 1], &s->held[i],
				(STATUS_HELD_MAX - i) * sizeof(s->held[0]));
		return;
	}
	if (s->held_n > STATUS_HELD_MAX)
		s->held_n--;
}

static uint64_t before(uint64_t ns, uint64_t by)
{
	return by < ns ? ns - by : 0;
}

/* What its recorder said of it: from here on nothing else is known. */
static void take_status(struct status *s, const struct event *event, const struct ticks *ticks)
{
	const uint64_t *a = event->arguments;
	uint64_t since_ns = before(event->ns, ticks_to_ns(ticks, a[4]));

	s->wait = 0;
	s->call = 0;
	if (a[0] == TRACE_LOCK || a[0] == TRACE_WAIT) {
		s->wait = (uint8_t)a[0];
		s->wait_type = (uint8_t)a[1];
		s->wait_object = (uint32_t)a[2];
		s->wait_ns = since_ns;
	} else if (a[0] == TRACE_SYSCALL || a[0] == TRACE_IDLE) {
		s->call = a[1] <= UINT32_MAX ? (uint32_t)a[1] : 0;
		s->call_ns = since_ns;
	}
	s->task = a[3];
	s->held_n = s->regions_n = 0;
}

void status_take(struct status *s, const struct event *event, const struct ticks *ticks)
{
	const uint64_t *a = event->arguments;

	account(s, event->ns, event->type == TRACE_SYSCALL_EVENT ? ticks_to_ns(ticks, a[1]) : 0);
	s->is_known = true;
	switch ((enum trace_event_type)event->type) {
	case TRACE_THREAD_STATUS_EVENT:
		take_status(s, event, ticks);
		break;
	case TRACE_STATUS_HELD_EVENT:
		take_lock(s, a[0], a[1], before(event->ns, ticks_to_ns(ticks, a[2])));
		break;
	case TRACE_STATUS_REGION_EVENT:
	case TRACE_REGION_BEGIN_EVENT:
		if (s->regions_n < STATUS_REGIONS_MAX)
			s->regions[s->regions_n] = (uint32_t)a[0];
		s->regions_n++;
		break;
	case TRACE_REGION_END_EVENT:
		s->regions_n -= s->regions_n != 0;
		break;
	case TRACE_SYSCALL_BEGIN_EVENT:
		s->call = a[0] < UINT32_MAX ? (uint32_t)a[0] + 1 : 0;
		s->call_ns = event->ns;
		break;
	case TRACE_SYSCALL_EVENT:
	case TRACE_SYSCALL_END_EVENT:
		s->call = 0;
		break;
	case TRACE_LOCK_WAIT_EVENT:
		begin_wait(s, TRACE_LOCK, event, a[0]);
		break;
	case TRACE_LOCK_ACQUIRED_EVENT:
		s->wait = 0;
		take_lock(s, a[0], a[1], event->ns);
		break;
	case TRACE_LOCK_RELEASED_EVENT:
	case TRACE_LOCK_HELD_EVENT:
	case TRACE_LOCK_PAIR_EVENT:
	case TRACE_LOCK_PAIR_SHARED_EVENT:
	case TRACE_OBJECT_DESTROY_EVENT: /* whoever holds it */
		give_lock(s, a[0]);
		break;
	case TRACE_COND_WAIT_EVENT:
		give_lock(s, a[1]);
		s->mutex = (uint32_t)a[1];
		begin_wait(s, TRACE_WAIT, event, a[0]);
		break;
	case TRACE_COND_END_EVENT:
		/* it has it again; 0: it kept it */
		if (s->wait_type == TRACE_COND_WAIT_EVENT && s->wait != 0 && s->mutex != 0)
			take_lock(s, s->mutex, 1, event->ns);
		s->wait = 0;
		break;
	case TRACE_SEM_WAIT_EVENT:
	case TRACE_BARRIER_WAIT_EVENT:
	case TRACE_ONCE_BEGIN_EVENT:
	case TRACE_FUTEX_WAIT_EVENT:
		begin_wait(s, TRACE_WAIT, event, a[0]);
		break;
	case TRACE_JOIN_BEGIN_EVENT:
		begin_wait(s, TRACE_WAIT, event, 0);
		break;
	case TRACE_LOCK_FAILED_EVENT:
	case TRACE_SEM_END_EVENT:
	case TRACE_BARRIER_END_EVENT:
	case TRACE_ONCE_RUN_EVENT: /* it does what the others wait for */
	case TRACE_ONCE_END_EVENT:
	case TRACE_FUTEX_END_EVENT:
	case TRACE_JOIN_END_EVENT:
		s->wait = 0;
		break;
	case TRACE_TASK_SWITCH_EVENT:
		s->task = a[0];
		break;
	case TRACE_THREAD_EXIT_EVENT:
		s->is_over = true;
		break;
	default:
		break;
	}
}

uint32_t status_put(const struct status *s, const struct schema *schema, uint64_t ns,
		    uint8_t to[STATUS_BYTES], uint32_t *ret_events)
{
	uint32_t held = s->held_n < STATUS_HELD_MAX ? s->held_n : STATUS_HELD_MAX,
		 regions = s->regions_n < STATUS_REGIONS_MAX ? s->regions_n : STATUS_REGIONS_MAX;
	uint64_t since_ns = s->wait != 0 ? s->wait_ns : s->call != 0 ? s->call_ns : s->ns;
	uint64_t a[7] = {(uint64_t)state_of(s),
			 s->wait != 0 ? s->wait_type : s->call,
			 s->wait != 0 ? s->wait_object : 0,
			 s->task,
			 before(ns, since_ns),
			 held,
			 regions};
	uint8_t *at = event_put(to, schema, TRACE_THREAD_STATUS_EVENT, a, 7);

	for (uint32_t i = 0; i < held; i++) {
		uint64_t h[3] = {s->held[i].object, s->held[i].mode,
				 before(ns, s->held[i].since_ns)};

		at = event_put(at, schema, TRACE_STATUS_HELD_EVENT, h, 3);
	}
	for (uint32_t i = 0; i < regions; i++) {
		uint64_t region = s->regions[i];

		at = event_put(at, schema, TRACE_STATUS_REGION_EVENT, &region, 1);
	}
	*ret_events = 1 + held + regions;
	return (uint32_t)(at - to);
}
