#include "tracer/user.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/labels.h"
#include "core/modules.h"
#include "core/stacks.h"

/* At most @most bytes, and no character of UTF-8 in part. */
static struct trace_text text_of(const char *text, uint32_t most, uint32_t before)
{
	struct trace_text t = {text != NULL ? text : "", most, before};
	const char *end = memchr(t.text, '\0', (size_t)most + 1);

	if (end != NULL) {
		t.length = (uint32_t)(end - t.text);
		return t;
	}
	while (t.length > 0 && ((unsigned char)t.text[t.length] & 0xc0) == 0x80)
		t.length--;
	return t;
}

/* An event with a text and what else it has; the argument of the text itself is passed over. */
static void write_named(unsigned type, uint64_t ticks, const uint64_t *arguments, unsigned n,
			unsigned name_before, const char *name)
{
	struct trace_text text = text_of(name, TRACE_NAME_MAX, name_before);

	trace_write_text(type, ticks, arguments, n, &text, 1);
}

static uint64_t current_task(void)
{
	const struct trace_thread *t = trace_own();

	return t != NULL ? atomic_load_explicit(&t->task, memory_order_relaxed) : 0;
}

SIGSAFE uint64_t trace_task_begin(const char *type, uint64_t parent)
{
	struct segment *s = segment_live();
	uint64_t arguments[4];

	if (s == NULL)
		return 0;
	arguments[0] =
		atomic_fetch_add_explicit(&s->header->trace_tasks, 1, memory_order_relaxed) + 1;
	arguments[1] = parent == TRACE_TASK_CURRENT ? current_task() : parent;
	arguments[3] = trace_stack(0);
	write_named(TRACE_TASK_BEGIN_EVENT, trace_ticks(), arguments, 4, 2, type);
	return arguments[0];
}

SIGSAFE uint64_t trace_task_switch(uint64_t task)
{
	struct trace_thread *t = trace_own();
	uint64_t before;

	if (t == NULL)
		return 0;
	before = atomic_exchange_explicit(&t->task, task, memory_order_relaxed);
	if (before != task)
		TRACE_WRITE(TRACE_TASK_SWITCH_EVENT, trace_ticks(), task);
	return before;
}

SIGSAFE void trace_task_end(uint64_t task)
{
	if (current_task() == task)
		trace_task_switch(0);
	TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), task);
}

struct trace_watched trace_watched;

static bool is_watched(uint32_t id)
{
	return unlikely(id != 0 &&
			id == atomic_load_explicit(&trace_watched.name, memory_order_relaxed));
}

/*
 * A handler may begin and end regions of its own anywhere in these two: what it leaves behind is what it found, but for
 * places above the count.
 */
static void enter_region(struct segment *s, struct trace_thread *t, const char *name)
{
	struct trace_text text = text_of(name, TRACE_NAME_MAX, 0);
	uint32_t n = atomic_load_explicit(&t->regions_n, memory_order_relaxed);
	uint32_t id = n < TRACE_REGIONS_MAX ? segment_string(s, text.text, text.length) : 0;

	atomic_store_explicit(&t->regions_n, n + 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (n < TRACE_REGIONS_MAX)
		atomic_store_explicit(&t->regions[n], id, memory_order_relaxed);
	if (is_watched(id))
		atomic_store_explicit(&t->regions_ns[n], clock_monotonic(), memory_order_relaxed);
}

/* *ret_is_long: it was one of those that are watched, and lasted longer. */
static uint32_t leave_region(struct trace_thread *t, bool *ret_is_long)
{
	uint32_t n = atomic_load_explicit(&t->regions_n, memory_order_relaxed), id = 0;

	if (n == 0)
		return 0;
	if (n <= TRACE_REGIONS_MAX)
		id = atomic_load_explicit(&t->regions[n - 1], memory_order_relaxed);
	if (is_watched(id))
		*ret_is_long = clock_monotonic() - atomic_load_explicit(&t->regions_ns[n - 1],
									memory_order_relaxed) >
			       atomic_load_explicit(&trace_watched.ns, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&t->regions_n, n - 1, memory_order_relaxed);
	return id;
}

SIGSAFE void trace_region_begin(const char *name)
{
	struct segment *s = segment_live();
	struct trace_thread *t = trace_own();
	uint64_t arguments[3] = {0, current_task(), trace_stack(0)};

	if (s != NULL && t != NULL)
		enter_region(s, t, name);
	write_named(TRACE_REGION_BEGIN_EVENT, trace_ticks(), arguments, 3, 0, name);
}

SIGSAFE void trace_region_end(void)
{
	uint64_t ticks = trace_ticks(), nothing[1] = {0};
	struct segment *s = segment_live();
	struct trace_thread *t = trace_own();
	bool is_long = false;
	uint32_t id = s != NULL && t != NULL ? leave_region(t, &is_long) : 0;

	write_named(TRACE_REGION_END_EVENT, ticks, nothing, 1, 0,
		    id != 0 ? segment_text(s, id) : "");
	if (unlikely(is_long)) {
		/* release pairs: who takes the snapshot, which has the event in it */
		atomic_fetch_add_explicit(&s->header->trace_triggered, 1, memory_order_release);
		trace_wake_reader(s);
	}
}

SIGSAFE void trace_counter(const char *name, int64_t value)
{
	uint64_t arguments[2] = {0, trace_zigzag(value)};
	struct trace_text text = text_of(name, TRACE_NAME_MAX, 0);

	trace_write_here(TRACE_COUNTER_EVENT, trace_ticks(), arguments, 2, &text, 1);
}

SIGSAFE void trace_flow(enum trace_event_type type, uint64_t flow, const char *name)
{
	uint64_t arguments[2] = {flow, 0};

	write_named(type, trace_ticks(), arguments, 2, 1, name);
}

SIGSAFE void trace_attribute(const char *key, const char *value)
{
	struct trace_text texts[2] = {text_of(key, TRACE_NAME_MAX, 0),
				      text_of(value, TRACE_TEXT_MAX - TRACE_NAME_MAX, 1)};
	uint64_t nothing[2] = {0, 0};

	trace_write_text(TRACE_ATTRIBUTE_EVENT, trace_ticks(), nothing, 2, texts, 2);
}

struct line {
	char text[TRACE_TEXT_MAX];
	uint32_t length; /* TRACE_TEXT_MAX and more: it did not fit */
};

static void put(struct line *l, char c)
{
	if (l->length < TRACE_TEXT_MAX)
		l->text[l->length] = c;
	l->length++;
}

static bool is_plain(const char *word)
{
	for (const char *c = word; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == '=' || *c == '"' || *c == '\\')
			return false;
	return *word != '\0';
}

static void put_word(struct line *l, const char *word)
{
	bool is_quoted = !is_plain(word);

	if (is_quoted)
		put(l, '"');
	for (; *word != '\0' && l->length <= TRACE_TEXT_MAX; word++) {
		if (*word == '"' || *word == '\\')
			put(l, '\\');
		put(l, *word);
	}
	if (is_quoted)
		put(l, '"');
}

SIGSAFE void trace_labels_at(struct segment *s, uint64_t ticks, uint32_t labels)
{
	const struct segment_label_set *set = labels_set(s, labels);
	uint64_t nothing[1] = {0};
	struct trace_text text;
	struct line l;

	l.length = 0;
	for (uint32_t i = 0; set != NULL && i < set->count; i++) {
		uint32_t fits = l.length;

		if (i > 0)
			put(&l, ' ');
		put_word(&l, segment_text(s, set->pairs[i][0]));
		put(&l, '=');
		put_word(&l, segment_text(s, set->pairs[i][1]));
		if (l.length > TRACE_TEXT_MAX) { /* whole pairs only */
			l.length = fits;
			break;
		}
	}
	text = (struct trace_text){l.text, l.length, 0};
	trace_write_text(TRACE_LABELS_EVENT, ticks, nothing, 1, &text, 1);
}

SIGSAFE void trace_labels(uint32_t labels)
{
	struct segment *s = segment_live();

	if (s != NULL)
		trace_labels_at(s, trace_ticks(), labels);
}

SIGSAFE void trace_fork(int pid, uint64_t ticks, uintptr_t callee)
{
	uint32_t stack = trace_stack(callee);

	TRACE_WRITE(TRACE_FORK_EVENT, ticks, (uint64_t)pid, stack);
}

SIGSAFE void trace_returned(long result, uintptr_t callee)
{
	struct trace_thread *record = trace_record_of(&trace_here);
	uint64_t operation =
		record != NULL ? atomic_load_explicit(&record->operation, memory_order_relaxed) : 0;

	if (operation == 0 || (operation & 0xffff) - 1 != SYS_clone)
		return;
	atomic_store_explicit(&record->operation, 0, memory_order_relaxed);
	TRACE_WRITE(TRACE_SYSCALL_END_EVENT, trace_ticks(), SYS_clone, trace_zigzag(result),
		    trace_stack(callee));
}

SIGSAFE void trace_makes_child(uintptr_t callee)
{
	int saved = errno;
	uint32_t stack = trace_stack(callee);

	/* it must have a chunk by then */
	trace_begin_thread();
	trace_here.makes_child = stack + 1;
	errno = saved;
}

SIGSAFE void trace_made_child(int pid)
{
	uint32_t stack = trace_here.makes_child;
	int saved = errno;

	trace_here.makes_child = 0;
	if (stack != 0 && pid >= 0 && trace_runs())
		TRACE_WRITE(TRACE_FORK_EVENT, trace_ticks(), (uint64_t)pid, stack - 1);
	errno = saved;
}

SIGSAFE void trace_exec(const char *path, int error)
{
	uint64_t arguments[2] = {0, (uint64_t)error};
	/* the kernel takes any address, and says EFAULT; what is aligned lies in one page */
	bool is_there = memory_is_readable((uintptr_t)path & ~(uintptr_t)7);
	struct trace_text text = text_of(is_there ? path : "", TRACE_TEXT_MAX, 0);

	trace_write_text(TRACE_EXEC_EVENT, trace_ticks(), arguments, 2, &text, 1);
}

SIGSAFE void trace_library(enum trace_library what, const char *path)
{
	uint64_t arguments[2] = {what, 0};
	struct trace_text text = text_of(path, TRACE_TEXT_MAX, 1);

	trace_write_text(TRACE_LIBRARY_EVENT, trace_ticks(), arguments, 2, &text, 1);
}

SIGSAFE void trace_signal(int sig)
{
	TRACE_WRITE(TRACE_SIGNAL_EVENT, trace_ticks(), (uint64_t)sig);
}

SIGSAFE void trace_cpu_sample(struct segment *s, struct thread *t, const uint64_t *frames,
			      uint32_t depth, uint64_t ns)
{
	uint32_t stack, cpu = 0;
	bool is_own;

	if (!trace_runs())
		return;
	stack = stacks_intern(s, SEGMENT_LASTING, frames, depth);
	if (stack == 0)
		segment_count_lost(s, LOST_STACKS_FULL, 1);
	is_own = thread_self_block != NULL ? t == thread_self_block
					   : t->tid == (int)sys1(SYS_gettid, 0);
	sys3(SYS_getcpu, &cpu, NULL, NULL);
	if (!(atomic_load_explicit(&s->header->trace_has, memory_order_relaxed) &
	      TRACE_HAS_SAMPLES))
		atomic_fetch_or_explicit(&s->header->trace_has, TRACE_HAS_SAMPLES,
					 memory_order_relaxed);
	TRACE_WRITE(TRACE_CPU_SAMPLE_EVENT, trace_ticks(), stack, ns, cpu,
		    is_own ? 0 : trace_thread_number(s, t));
}
