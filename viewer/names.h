/*
 * names: what the numbers of a trace are called for people: threads, locks, places in code, files, system calls.
 */
#pragma once

#include "output/out.h"
#include "viewer/tables.h"

enum names_form {
	NAMES_WORD, /* no blanks: a column of text */
	NAMES_JSON, /* a string of JSON, with its quotes */
	NAMES_PLAIN,
};

/* Texts are made in here and then escaped as a whole. */
struct name {
	size_t n;
	char text[1024];
};

void name_clear(struct name *name);
void name_add(struct name *name, const char *bytes, size_t size);
__attribute__((format(printf, 2, 3))) void name_format(struct name *name, const char *format, ...);
/* The text, for a cell of a table; NULL when there is none. */
const char *name_text(struct name *name);
void name_out(const struct name *name, struct out *o, enum names_form form);
/* What the program was called as, without its directories: "redis-server", where that is a link to another. False: it is not known. */
bool name_program(struct name *name, const struct tables *t);

/* "worker-3", else "thread-7" for index 7. */
void name_thread(struct name *name, const struct tables *t, uint32_t index);
/* The same, but "worker/4711" where others are called so, too. */
void name_one_thread(struct name *name, const struct tables *t, uint32_t index);
/* "mutex"; @kind is an enum trace_object_kind. */
const char *name_kind(unsigned kind);
/* "g_cache.lock", else "mutex@0x55d0c8", with "#2" for the second at that address; "object#12" when nothing is known. */
void name_object(struct name *name, const struct tables *t, uint64_t id);
/* "7:/var/log/app", "7:socket", else "file#12". */
void name_file(struct name *name, const struct tables *t, uint64_t id);
void name_file_as(struct name *name, const struct tables *t, const struct table_file *file);
/* A counter's: its name, else "counter#12". */
void name_counter(struct name *name, const struct tables *t, uint64_t id);
/* Whether the counter with this name counts bytes: those that our own library makes do (preload/allocator.c). */
bool name_counts_bytes(const struct name *name);
/* "cache_get cache.c:41", else "libc.so.6+0x2a4f0", else "0x7f…"; @line is which of the inlined calls, innermost 0. */
void name_frame(struct name *name, const struct tables *t, uint64_t frame, uint32_t line);
/* The same for an address that is not a frame's: of a function, say. */
void name_address(struct name *name, const struct tables *t, uint64_t address);
/* How many lines a frame has: 1, or the calls that were inlined there. */
uint32_t name_frame_lines(const struct tables *t, uint64_t frame);
/* The function that begins at an address: "worker_main", else "0x401000". */
void name_function(struct name *name, const struct tables *t, uint64_t address);
/* The innermost of a stack; nothing when there is none. */
void name_stack_top(struct name *name, const struct tables *t, uint64_t stack);
/*
 * The innermost @n frames that are the program's own: "flush log.c:71 < main app.c:12". This is where a sentence says that something
 * happened. Not the program's own are libc, libstdc++ and their like, libcprof.so, and what of C++'s, Rust's or libuv's library was
 * compiled into the program. Where there is nothing else, it is the innermost of the program's file, else the innermost.
 */
void name_stack_host(struct name *name, const struct tables *t, uint64_t stack, unsigned n);

/* What the value of argument @i of an event's type means: "preempted", "read", "SEGV"; NULL when it is but a number. */
const char *name_value(uint8_t type, unsigned i, uint64_t value);
/* "EAGAIN", or NULL. */
const char *name_error(uint64_t error);
/* "exited", "signal" … */
const char *name_end(uint32_t reason);
/* The words of @flags, one of enum trace_has or trace_level after another; NULL behind the last. */
const char *name_has(uint32_t flags, unsigned i);
const char *name_level(uint32_t level, unsigned i);
/* What @level asks for and @has has not; words as name_has(). */
uint32_t names_missing(uint32_t has, uint32_t level);
