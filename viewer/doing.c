#include "viewer/doing.h"

#include <inttypes.h>
#include <sys/syscall.h>

#include "core/syscalls.h"

static void add(struct name *name, const char *text)
{
	name_add(name, text, strlen(text));
}

void doing_object(struct name *name, const struct tables *t, uint8_t wait, uint32_t object)
{
	switch (wait) {
	case TRACE_LOCK_WAIT_EVENT:
		add(name, "lock");
		break;
	case TRACE_COND_WAIT_EVENT:
		add(name, "condition");
		break;
	case TRACE_SEM_WAIT_EVENT:
		add(name, "semaphore");
		break;
	case TRACE_BARRIER_WAIT_EVENT:
		add(name, "barrier");
		break;
	case TRACE_ONCE_BEGIN_EVENT:
		add(name, "once");
		break;
	case TRACE_FUTEX_WAIT_EVENT:
		add(name, "futex");
		break;
	}
	if (object == 0)
		return;
	if (wait != 0)
		add(name, " ");
	name_object(name, t, object);
}

void doing_call(struct name *name, const struct tables *t, uint32_t call, uint32_t file)
{
	const char *known = call != 0 ? syscalls_name(call - 1) : NULL;

	if (known != NULL)
		add(name, known);
	else if (call != 0)
		name_format(name, "syscall %" PRIu32, call - 1);
	else
		add(name, "a system call");
	if (file != 0) {
		add(name, " ");
		name_file(name, t, file);
	}
}

const char *doing_outside(const struct tables *t, uint32_t call, uint32_t file)
{
	const struct table_file *known = file != 0 ? tables_file(t, file) : NULL;

	if (known != NULL) {
		switch ((enum trace_fd_kind)known->kind) {
		case TRACE_FD_FILE:
			return "disk";
		case TRACE_FD_SOCKET:
			return "peer";
		case TRACE_FD_PIPE:
			return "pipe";
		case TRACE_FD_TIMER:
			return "timer";
		default:
			return NULL;
		}
	}
	switch (call != 0 ? call - 1 : UINT32_MAX) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return "timer";
	case SYS_wait4:
	case SYS_waitid:
		return "process";
	default:
		return NULL;
	}
}

void doing_end(struct name *name, const struct tables *t, uint32_t thread)
{
	add(name, "the end of ");
	if (thread != 0)
		name_one_thread(name, t, thread);
	else
		add(name, "a thread");
}

static void add_thread(struct name *name, const struct tables *t, const char *how, uint32_t thread)
{
	if (thread == 0)
		return;
	add(name, how);
	name_one_thread(name, t, thread);
}

void doing_words(struct name *name, const struct tables *t, const struct interval *i)
{
	switch ((enum trace_state)i->state) {
	case TRACE_RUNNING:
		add(name, i->call != 0 ? "ran in " : "ran");
		if (i->call != 0)
			doing_call(name, t, i->call, i->file);
		return;
	case TRACE_RUNNABLE:
		add(name, "wanted a processor");
		add_thread(name, t, ", woken by ", i->other);
		return;
	case TRACE_LOCK:
	case TRACE_WAIT:
		add(name, "waited for ");
		if (i->wait == TRACE_JOIN_BEGIN_EVENT) {
			doing_end(name, t, i->other);
			return;
		}
		doing_object(name, t, i->wait, i->object);
		add_thread(name, t, ", held by ", i->other);
		return;
	case TRACE_SPIN:
		add(name, "spun for ");
		doing_object(name, t, i->wait, i->object);
		add_thread(name, t, ", held by ", i->other);
		return;
	case TRACE_SYSCALL:
	case TRACE_IDLE:
		if (i->call != 0) {
			doing_call(name, t, i->call, i->file);
		} else {
			add(name, i->state == TRACE_IDLE ? "idle" : "a system call");
			if (i->object != 0) {
				add(name, ", waiting for ");
				doing_object(name, t, i->wait, i->object);
			}
		}
		return;
	case TRACE_UNKNOWN:
		add(name, i->wait == TRACE_THREAD_CREATE_EVENT ? "was started" : "not known");
		add_thread(name, t, " by ", i->other);
		return;
	}
}

void doing_where(struct name *name, const struct name *where)
{
	if (where->n == 0)
		return;
	add(name, "  ; ");
	name_add(name, where->text, where->n);
}
