#include "viewer/names.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/resolve.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void name_clear(struct name *name)
{
	name->n = 0;
}

void name_add(struct name *name, const char *bytes, size_t size)
{
	size_t left = sizeof(name->text) - name->n;

	size = size < left ? size : left;
	memcpy(name->text + name->n, bytes, size);
	name->n += size;
}

void name_format(struct name *name, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	name_add(name, text, strlen(text));
}

const char *name_text(struct name *name)
{
	name->text[name->n < sizeof(name->text) ? name->n : sizeof(name->text) - 1] = '\0';
	return name->n > 0 ? name->text : NULL;
}

void name_out(const struct name *name, struct out *o, enum names_form form)
{
	if (form == NAMES_WORD)
		out_word(o, name->text, name->n);
	else if (form == NAMES_JSON)
		out_json(o, name->text, name->n);
	else
		out_name(o, name->text, name->n);
}

static int add_string(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_text *text = tables_string(t, id);

	if (text == NULL || text->length == 0)
		return -1;
	name_add(name, text->text, text->length);
	return 0;
}

void name_thread(struct name *name, const struct tables *t, uint32_t index)
{
	const struct table_thread *thread = tables_thread(t, index);

	if (index == TRACE_ALL)
		name_format(name, "process");
	else if (thread == NULL || add_string(name, t, thread->name) < 0)
		name_format(name, "thread-%" PRIu32, index);
}

void name_one_thread(struct name *name, const struct tables *t, uint32_t index)
{
	const struct table_thread *thread = tables_thread(t, index);

	name_thread(name, t, index);
	for (uint32_t i = 0; thread != NULL && i < t->threads_n; i++) {
		if (t->threads[i].name == thread->name && t->threads[i].index != index) {
			name_format(name, "/%" PRIu32, thread->tid);
			return;
		}
	}
}

/* A line of a frame: by the trace's symbols, else by whoever resolves what it has none for. */
struct line {
	const char *function, *file;
	size_t function_n, file_n;
	uint32_t line;
};

static uint32_t count_lines(const struct tables *t, uint64_t frame)
{
	const struct table_symbol *symbol = tables_symbol(t, frame);

	if (symbol != NULL && symbol->n > 0)
		return symbol->n;
	return t->resolver != NULL ? resolver_find(t->resolver, frame).n : 0;
}

/* 0, or -1 when nothing is known. */
static int find_line(const struct tables *t, uint64_t frame, uint32_t i, struct line *ret)
{
	const struct table_symbol *symbol = tables_symbol(t, frame);
	struct resolver_symbol resolved = {0};
	const struct table_text *text;

	*ret = (struct line){.file = ""};
	if (symbol != NULL && symbol->n > 0) {
		if (i >= symbol->n)
			return -1;
		text = tables_string(t, symbol->lines[i].function);
		if (text == NULL || text->length == 0)
			return -1;
		ret->function = text->text;
		ret->function_n = text->length;
		text = tables_string(t, symbol->lines[i].file);
		if (text != NULL) {
			ret->file = text->text;
			ret->file_n = text->length;
		}
		ret->line = symbol->lines[i].line;
		return 0;
	}
	if (t->resolver != NULL)
		resolved = resolver_find(t->resolver, frame);
	if (i >= resolved.n || resolved.lines[i].function[0] == '\0')
		return -1;
	*ret = (struct line){resolved.lines[i].function, resolved.lines[i].file,
			     strlen(resolved.lines[i].function), strlen(resolved.lines[i].file),
			     resolved.lines[i].line};
	return 0;
}

/* The last part of a path. */
static void add_base(struct name *name, const char *path, size_t n)
{
	const char *slash = memrchr(path, '/', n);
	size_t skip = slash != NULL ? (size_t)(slash + 1 - path) : 0;

	name_add(name, path + skip, n - skip);
}

/* "cache_get cache.c:41" */
static void add_line(struct name *name, const struct line *line)
{
	name_add(name, line->function, line->function_n);
	if (line->file_n == 0)
		return;
	name_add(name, " ", 1);
	add_base(name, line->file, line->file_n);
	if (line->line != 0)
		name_format(name, ":%" PRIu32, line->line);
}

/* Is it "server+0x1246", what a place without a symbol was called at the end of the recording? */
static bool is_offset(const struct table_text *text)
{
	const char *plus = text != NULL ? strstr(text->text, "+0x") : NULL;

	return plus != NULL && memchr(text->text, ' ', text->length) == NULL &&
	       plus[3 + strspn(plus + 3, "0123456789abcdef")] == '\0';
}

/*
 * The place that made it, where the trace has no name of it or none with a function. The function itself, not what is inlined
 * in it: a constructor says less than who called it.
 */
static int add_site(struct name *name, const struct tables *t, const struct table_object *object)
{
	struct line line;
	uint32_t n;

	if (object->site == 0 ||
	    (object->name != 0 &&
	     !(object->flags & TRACE_OBJECT_MADE_AT && is_offset(tables_string(t, object->name)))))
		return -1;
	n = count_lines(t, object->site);
	if (n == 0 || find_line(t, object->site, n - 1, &line) < 0)
		return -1;
	add_line(name, &line);
	return 0;
}

const char *name_kind(unsigned kind)
{
	static const char *const kinds[] = {
		[TRACE_OBJECT_UNKNOWN] = "object",  [TRACE_OBJECT_MUTEX] = "mutex",
		[TRACE_OBJECT_RWLOCK] = "rwlock",   [TRACE_OBJECT_SPIN] = "spin",
		[TRACE_OBJECT_COND] = "cond",       [TRACE_OBJECT_SEM] = "sem",
		[TRACE_OBJECT_BARRIER] = "barrier", [TRACE_OBJECT_ONCE] = "once",
		[TRACE_OBJECT_FUTEX] = "futex",     [TRACE_OBJECT_USER] = "user",
	};

	return kind < COUNT(kinds) ? kinds[kind] : "object";
}

void name_object(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_object *object = tables_object(t, id);

	if (object == NULL) {
		name_format(name, "object#%" PRIu64, id);
		return;
	}
	if (add_site(name, t, object) < 0) {
		if (add_string(name, t, object->name) < 0)
			name_format(name, "%s", name_kind(object->kind));
		else if (!(object->flags & TRACE_OBJECT_MADE_AT))
			return;
	}
	name_format(name, "@%#" PRIx64, object->address);
	if (object->generation > 0)
		name_format(name, "#%" PRIu32, object->generation + 1);
}

static const char *const fd_kinds[] = {
	[TRACE_FD_UNKNOWN] = "unknown", [TRACE_FD_FILE] = "file",
	[TRACE_FD_PIPE] = "pipe",       [TRACE_FD_SOCKET] = "socket",
	[TRACE_FD_EVENT] = "eventfd",   [TRACE_FD_TIMER] = "timerfd",
	[TRACE_FD_EPOLL] = "epoll",     [TRACE_FD_SIGNAL] = "signalfd",
	[TRACE_FD_INOTIFY] = "inotify", [TRACE_FD_MEMORY] = "memory",
	[TRACE_FD_OTHER] = "other",
};

void name_file(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_file *file = tables_file(t, id);

	if (file == NULL) {
		name_format(name, "file#%" PRIu64, id);
		return;
	}
	name_file_as(name, t, file);
}

void name_file_as(struct name *name, const struct tables *t, const struct table_file *file)
{
	name_format(name, "%" PRIu32 ":", file->number);
	if (add_string(name, t, file->name) < 0)
		name_format(name, "%s",
			    file->kind < COUNT(fd_kinds) ? fd_kinds[file->kind] : "file");
}

uint32_t name_frame_lines(const struct tables *t, uint64_t frame)
{
	uint32_t n = count_lines(t, frame);

	return n > 0 ? n : 1;
}

void name_counter(struct name *name, const struct tables *t, uint64_t id)
{
	if (add_string(name, t, id) < 0)
		name_format(name, "counter#%" PRIu64, id);
}

bool name_counts_bytes(const struct name *name)
{
	static const char ours[] = "jemalloc.";

	return name->n > sizeof(ours) - 1 && memcmp(name->text, ours, sizeof(ours) - 1) == 0;
}

void name_frame(struct name *name, const struct tables *t, uint64_t frame, uint32_t i)
{
	const struct table_module *module;
	const struct table_text *file;
	uint64_t address = TRACE_FRAME_ADDRESS(frame);
	struct line line;

	if (TRACE_FRAME_MODULE(frame) == TRACE_FRAME_NAMED) {
		if (address == 0)
			name_format(name, "[truncated]");
		else if (add_string(name, t, address) < 0)
			name_format(name, "[string#%" PRIu64 "]", address);
		return;
	}
	if (find_line(t, frame, i, &line) == 0) {
		add_line(name, &line);
		return;
	}
	module =
		TRACE_FRAME_MODULE(frame) != 0 ? tables_module(t, TRACE_FRAME_MODULE(frame)) : NULL;
	file = module != NULL ? tables_string(t, module->path) : NULL;
	if (file == NULL || file->length == 0) {
		name_format(name, "%#" PRIx64, address);
		return;
	}
	add_base(name, file->text, file->length);
	name_format(name, "+%#" PRIx64, address - module->bias);
}

void name_address(struct name *name, const struct tables *t, uint64_t address)
{
	uint64_t frame = tables_frame_at(t, address);

	name_frame(name, t, frame != 0 ? frame : TRACE_FRAME_ADDRESS(address), 0);
}

void name_function(struct name *name, const struct tables *t, uint64_t address)
{
	uint64_t frame = tables_frame_at(t, address);
	uint32_t n = frame != 0 ? count_lines(t, frame) : 0;
	struct line line;

	if (n > 0 && find_line(t, frame, n - 1, &line) == 0)
		name_add(name, line.function, line.function_n);
	else
		name_format(name, "%#" PRIx64, address);
}

void name_stack_top(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_stack *stack = id != 0 ? tables_stack(t, id) : NULL;

	if (stack != NULL && stack->depth > 0)
		name_frame(name, t, stack->frames[0], 0);
	else if (stack == NULL && id != 0)
		name_format(name, "stack#%" PRIu64, id);
}

/* libc and its like, libcprof.so itself, and what is known by a name only. */
static bool is_of_host(const struct tables *t, uint64_t frame)
{
	const struct table_module *module = tables_module(t, TRACE_FRAME_MODULE(frame));

	return TRACE_FRAME_MODULE(frame) != TRACE_FRAME_NAMED &&
	       (module == NULL ||
		!(module->flags & (TRACE_MODULE_IS_OURS | TRACE_MODULE_IS_RUNTIME)));
}

static bool begins_with(const char *text, size_t n, const char *with)
{
	return n >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* What a library's header or archive put into the program's own file. */
static bool is_of_library(const struct line *line)
{
	static const char *const functions[] = {
		"std::",    "<std::",      "core::",     "<core::", "alloc::",
		"<alloc::", "__gnu_cxx::", "__gthread_", "uv_"};

	for (size_t i = 0; i < COUNT(functions); i++)
		if (begins_with(line->function, line->function_n, functions[i]))
			return true;
	return begins_with(line->file, line->file_n, "/usr/include/c++/");
}

/* Which line of @frame is the program's own; false: none. */
static bool find_own_line(const struct tables *t, uint64_t frame, uint32_t *ret)
{
	uint32_t n = name_frame_lines(t, frame);
	struct line line;

	if (!is_of_host(t, frame))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (find_line(t, frame, i, &line) == 0 && is_of_library(&line))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

void name_stack_host(struct name *name, const struct tables *t, uint64_t id, unsigned n)
{
	const struct table_stack *stack = id != 0 ? tables_stack(t, id) : NULL;
	unsigned done = 0;
	uint32_t line;

	for (uint32_t i = 0; stack != NULL && i < stack->depth && done < n; i++) {
		if (!find_own_line(t, stack->frames[i], &line))
			continue;
		name_format(name, "%s", done++ > 0 ? " < " : "");
		name_frame(name, t, stack->frames[i], line);
	}
	/* all of it is libraries': where the program's file begins */
	for (uint32_t i = 0; stack != NULL && i < stack->depth && done == 0; i++)
		if (is_of_host(t, stack->frames[i])) {
			name_frame(name, t, stack->frames[i], 0);
			done++;
		}
	if (done == 0 && id == 0)
		name_format(name, "(no stack)");
	else if (done == 0)
		name_stack_top(name, t, id);
}

static const char *const states[] = {
	[TRACE_UNKNOWN] = "unknown", [TRACE_RUNNING] = "running", [TRACE_RUNNABLE] = "runnable",
	[TRACE_LOCK] = "lock",       [TRACE_WAIT] = "wait",       [TRACE_SYSCALL] = "syscall",
	[TRACE_IDLE] = "idle",       [TRACE_SPIN] = "spin",
};
static const char *const exits[] = {
	[TRACE_EXIT_UNKNOWN] = "unknown",     [TRACE_EXIT_RETURN] = "return",
	[TRACE_EXIT_CANCELLED] = "cancelled", [TRACE_EXIT_PROCESS] = "process",
	[TRACE_EXIT_LOST] = "lost",
};
static const char *const outs[] = {
	[TRACE_OUT_UNKNOWN] = "unknown",
	[TRACE_OUT_PREEMPTED] = "preempted",
	[TRACE_OUT_BLOCKED] = "blocked",
	[TRACE_OUT_ENDED] = "ended",
};
static const char *const losts[] = {
	[TRACE_LOST_UNKNOWN] = "unknown", [TRACE_LOST_FULL] = "full",
	[TRACE_LOST_NESTED] = "nested",   [TRACE_LOST_BLOCK] = "block",
	[TRACE_LOST_KERNEL] = "kernel",
};
static const char *const classes[] = {
	[TRACE_CLASS_THREAD] = "thread", [TRACE_CLASS_SYSCALL] = "syscall",
	[TRACE_CLASS_SYNC] = "sync",     [TRACE_CLASS_SCHED] = "sched",
	[TRACE_CLASS_SAMPLE] = "sample", [TRACE_CLASS_USER] = "user",
	[TRACE_CLASS_BOOK] = "book",
};
static const char *const modes[] = {"unknown", "excl", "shared"};

/* Which argument of which type is one of a list. */
static const struct value_list {
	uint8_t type, argument;
	const char *const *names;
	size_t n;
} value_lists[] = {
	{TRACE_THREAD_EXIT_EVENT, 0, exits, COUNT(exits)},
	{TRACE_THREAD_STATUS_EVENT, 0, states, COUNT(states)},
	{TRACE_WALL_SAMPLE_EVENT, 1, states, COUNT(states)},
	{TRACE_SCHED_OUT_EVENT, 1, outs, COUNT(outs)},
	{TRACE_LOST_EVENT, 3, losts, COUNT(losts)},
	{TRACE_THROTTLE_EVENT, 0, classes, COUNT(classes)},
	{TRACE_FD_OPEN_EVENT, 2, fd_kinds, COUNT(fd_kinds)},
	{TRACE_FD_NAME_EVENT, 3, fd_kinds, COUNT(fd_kinds)},
	{TRACE_STATUS_HELD_EVENT, 1, modes, COUNT(modes)},
	{TRACE_LOCK_WAIT_EVENT, 1, modes, COUNT(modes)},
	{TRACE_LOCK_ACQUIRED_EVENT, 1, modes, COUNT(modes)},
	{TRACE_LOCK_FAILED_EVENT, 1, modes, COUNT(modes)},
	{TRACE_LOCK_RELEASED_EVENT, 1, modes, COUNT(modes)},
	{TRACE_LOCK_HELD_EVENT, 1, modes, COUNT(modes)},
};

const char *name_value(uint8_t type, unsigned i, uint64_t value)
{
	if (i == 0 && (type == TRACE_SYSCALL_EVENT || type == TRACE_SYSCALL_BEGIN_EVENT ||
		       type == TRACE_SYSCALL_END_EVENT))
		return value <= UINT32_MAX ? syscalls_name((unsigned)value) : NULL;
#if __GLIBC_PREREQ(2, 32)
	if (type == TRACE_SIGNAL_EVENT && i == 0)
		return value <= 64 ? sigabbrev_np((int)value) : NULL;
#endif
	for (size_t k = 0; k < COUNT(value_lists); k++)
		if (value_lists[k].type == type && value_lists[k].argument == i)
			return value < value_lists[k].n ? value_lists[k].names[value] : NULL;
	return NULL;
}

const char *name_error(uint64_t error)
{
#if __GLIBC_PREREQ(2, 32)
	if (error > 0 && error < 4096)
		return strerrorname_np((int)error);
#endif
	return NULL;
}

const char *name_end(uint32_t reason)
{
	static const char *const reasons[] = {
		[TRACE_END_UNKNOWN] = "unknown",     [TRACE_END_STOPPED] = "stopped",
		[TRACE_END_EXITED] = "exited",       [TRACE_END_SIGNAL] = "signal",
		[TRACE_END_DISK_FULL] = "disk full", [TRACE_END_EXEC] = "exec",
		[TRACE_END_SNAPSHOT] = "snapshot",
	};

	return reason < COUNT(reasons) ? reasons[reason] : "unknown";
}

/* The @i-th word of those whose bit is set. */
static const char *nth_word(uint32_t bits, const char *const *words, size_t n, unsigned i)
{
	for (size_t bit = 0; bit < n; bit++)
		if ((bits >> bit & 1) && i-- == 0)
			return words[bit];
	return NULL;
}

const char *name_has(uint32_t flags, unsigned i)
{
	static const char *const words[] = {"wrappers",  "sites",   "all-syscalls", "switches",
					    "schedstat", "samples", "ring",         "tsc"};

	return nth_word(flags, words, COUNT(words), i);
}

uint32_t names_missing(uint32_t has, uint32_t level)
{
	uint32_t wanted = TRACE_HAS_WRAPPERS;

	if (level & TRACE_LEVEL_SYSCALLS)
		wanted |= TRACE_HAS_SITES;
	if (level & TRACE_LEVEL_SCHED)
		wanted |= TRACE_HAS_SWITCHES;
	return wanted & ~has;
}

const char *name_level(uint32_t level, unsigned i)
{
	static const char *const words[] = {"threads", "locks", "syscalls", "sched"};

	return nth_word(level, words, COUNT(words), i);
}

bool name_program(struct name *name, const struct tables *t)
{
	const char *exe = tables_metadata(t, "exe"), *called = tables_metadata(t, "cmdline");
	size_t before = name->n, n = exe != NULL ? strlen(exe) : 0, word;

	/* its words have blanks between them, and a path may have some, too */
	if (called != NULL && !(n > 0 && strncmp(called, exe, n) == 0)) {
		/* a shell that somebody logs in to, and one that has a title: "-bash", "nginx: master process" */
		called += *called == '-';
		word = strcspn(called, " ");
		add_base(name, called, word > 0 && called[word - 1] == ':' ? word - 1 : word);
	}
	if (name->n == before && n > 0)
		add_base(name, exe, n);
	if (name->n == before && t->modules_n > 0) {
		exe = tables_text(t, t->modules[0].path);
		add_base(name, exe, strlen(exe));
	}
	return name->n > before;
}
