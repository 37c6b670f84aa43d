#include "tracer/trace.h"

#include "core/syscalls.h"
#include "tracer/chunk.h"
#include "tracer/syscalls/sites.h"

SIGSAFE void trace_creates(struct segment *s, struct thread *creator, struct thread *t,
			   uintptr_t start, uintptr_t callee)
{
	uint64_t ticks;

	if (!trace_is_on(TRACE_LEVEL_THREADS) || creator == NULL)
		return;
	t->trace_parent = trace_thread_number(s, creator);
	ticks = trace_ticks();
	TRACE_WRITE(TRACE_THREAD_CREATE_EVENT, ticks, trace_thread_number(s, t), start,
		    trace_stack(callee));
}

SIGSAFE struct trace_announced trace_announced(struct segment *s, struct thread *t)
{
	struct trace_announced a = {0, t->trace_parent};

	if (trace_is_on(TRACE_LEVEL_THREADS))
		a.number = trace_thread_number(s, t);
	return a;
}

SIGSAFE void trace_set_announced(struct segment *s, struct thread *t, struct trace_announced a)
{
	t->trace_parent = a.parent;
	trace_set_number(s, t, a.number);
}

SIGSAFE void trace_names(const char *name)
{
	struct trace_text text = {name, (uint32_t)strlen(name), 0};

	if (!trace_is_on(TRACE_LEVEL_THREADS))
		return;
	if (text.length > THREAD_NAME_SIZE - 1)
		text.length = THREAD_NAME_SIZE - 1;
	trace_write_text(TRACE_THREAD_NAME_EVENT, trace_ticks(), (const uint64_t[]){0}, 1, &text,
			 1);
}

SIGSAFE void trace_exits(int status)
{
	if (trace_is_on(TRACE_LEVEL_THREADS))
		TRACE_WRITE(TRACE_PROCESS_EXIT_EVENT, trace_ticks(), trace_zigzag(status & 0xff),
			    0);
}

SIGSAFE void trace_thread_begins(struct segment *s, struct thread *t)
{
	if (!trace_is_on(TRACE_LEVEL_THREADS))
		return;
	if (t == thread_self_block)
		trace_begin_thread();
	else
		trace_thread_number(s, t);
}

SIGSAFE bool trace_hears_last_call(void)
{
	trace_here.is_leaving = trace_is_on(TRACE_LEVEL_SYSCALLS) && sites_see_exits();
	return trace_here.is_leaving;
}

SIGSAFE void trace_thread_ends(struct segment *s, struct thread *t)
{
	if (trace_here.is_leaving)
		return;
	if (trace_is_on(TRACE_LEVEL_THREADS))
		TRACE_WRITE(TRACE_THREAD_EXIT_EVENT, trace_ticks(), TRACE_EXIT_RETURN);
	trace_close(true);
	(void)s;
	(void)t;
}
