/*
 * Which frame of a stack is the program's own, and what threads are called of which several have one name.
 */
#include "tests/tap.h"
#include "tests/unit/trace_make.h"
#include "viewer/names.h"
#include "viewer/streams.h"

enum { APP = 1, LIBC, OURS, LIBUV };
enum { IS_OURS = 1, IS_RUNTIME = 2 };

/* A place of the test: a frame, and its lines, innermost first. */
static const struct place {
	uint32_t module;
	const char *function[3], *file[3];
} places[] = {
	{LIBC, {"pthread_mutex_lock"}, {"nptl/pthread_mutex_lock.c"}},
	{OURS, {"wrapped_lock"}, {"preload/wrap_lock.c"}},
	{APP, {"cache_get"}, {"src/cache.cc"}},
	{APP, {"main"}, {"src/main.cc"}},
	{APP,
	 {"__gthread_mutex_lock", "lock_guard", "evict"},
	 {"gthr-default.h", "/usr/include/c++/12/bits/std_mutex.h", "src/cache.cc"}},
	{APP, {"std::thread::_State_impl<work>::_M_run()"}, {"/usr/include/c++/12/thread"}},
	{APP, {"uv_mutex_lock"}, {"deps/uv/src/unix/thread.c"}},
	{APP, {"<std::sync::Mutex<T>>::lock"}, {""}},
	{APP, {"stdio_flush"}, {"src/std.c"}},
	{APP, {NULL}, {NULL}},
};

enum { LOCK, WRAP, GET, MAIN, INLINED, RUN, UV, RUST, STDIO, BARE, PLACES };

static const struct stack {
	uint32_t depth;
	unsigned places[4];
	const char *one, *two, *about;
} stacks[] = {
	{3,
	 {LOCK, GET, MAIN},
	 "cache_get cache.cc:1",
	 "cache_get cache.cc:1 < main main.cc:1",
	 "libc is not the program"},
	{4,
	 {WRAP, LOCK, GET, MAIN},
	 "cache_get cache.cc:1",
	 "cache_get cache.cc:1 < main main.cc:1",
	 "nor are we"},
	{3,
	 {LOCK, INLINED, MAIN},
	 "evict cache.cc:3",
	 "evict cache.cc:3 < main main.cc:1",
	 "nor what C++'s headers have inlined"},
	{4,
	 {LOCK, UV, RUN, MAIN},
	 "main main.cc:1",
	 "main main.cc:1",
	 "nor libraries in the program's file"},
	{3, {LOCK, RUST, GET}, "cache_get cache.cc:1", "cache_get cache.cc:1", "Rust's, too"},
	{2,
	 {LOCK, STDIO},
	 "stdio_flush std.c:1",
	 "stdio_flush std.c:1",
	 "a name that only begins like one is the program's"},
	{2, {LOCK, BARE}, "app+0x1009", "app+0x1009", "without a name it is the program's"},
	{3,
	 {LOCK, UV, RUN},
	 "uv_mutex_lock thread.c:1",
	 "uv_mutex_lock thread.c:1",
	 "only libraries: the first in the program's file"},
	{2,
	 {WRAP, LOCK},
	 "wrapped_lock wrap_lock.c:1",
	 "wrapped_lock wrap_lock.c:1",
	 "nothing else: the top"},
};

#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

static uint64_t frame_of(unsigned place)
{
	return FRAME(places[place].module,
		     (uint64_t)places[place].module * 0x100000 + 0x1000 + place);
}

static void make(struct made *m)
{
	static const char *const modules[] = {"", "/bin/app", "/lib/libc.so.6",
					      "/lib/libcprof.so.0", "/lib/libuv.so.1"};
	static const uint64_t flags[] = {0, 0, IS_RUNTIME, IS_OURS, 0};
	uint64_t frames[4];
	uint32_t string = 10;

	made_begin(m);
	for (uint32_t i = 1; i <= LIBUV; i++)
		made_string(m, i, modules[i]);
	made_string(m, 8, "worker");
	made_string(m, 9, "main");
	for (unsigned i = 0; i < PLACES; i++)
		for (unsigned k = 0; k < 3 && places[i].function[k] != NULL; k++) {
			made_string(m, string++, places[i].function[k]);
			made_string(m, string++, places[i].file[k]);
		}
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	for (uint64_t i = 1; i <= LIBUV; i++)
		made_record(m, 8, i, i * 0x100000, i * 0x100000 + 0x10000, U(0), i * 0x100000, i,
			    U(0), flags[i]);
	made_end_block(m, (struct made_block){.kind = MADE_MODULES, .needs = {string}});
	for (uint32_t i = 0; i < STACKS; i++) {
		for (uint32_t k = 0; k < stacks[i].depth; k++)
			frames[k] = frame_of(stacks[i].places[k]);
		made_stack(m, i + 1, stacks[i].depth, frames);
	}
	made_end_block(
		m, (struct made_block){.kind = MADE_STACKS, .needs = {string, 0, 0, LIBUV + 1}});
	string = 10;
	for (unsigned i = 0; i < PLACES; i++) {
		unsigned n = 0;

		while (n < 3 && places[i].function[n] != NULL)
			n++;
		if (n == 0)
			continue;
		made_record(m, 2, frame_of(i), U(n));
		for (unsigned k = 0; k < n; k++, string += 2) {
			m->records--;
			made_record(m, 3, U(string), U(string + 1), U(k + 1));
		}
	}
	made_end_block(
		m, (struct made_block){.kind = MADE_SYMBOLS, .needs = {string, 0, 0, LIBUV + 1}});
	made_record(m, 6, U(1), U(100), U(0), U(0), U(9), U(0));
	made_record(m, 6, U(2), U(101), U(0), U(1), U(8), U(0));
	made_record(m, 6, U(3), U(102), U(0), U(1), U(8), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {string}});
	made_end(m, 2, 0);
}

static void is_named(const struct tables *t, uint64_t stack, unsigned n, const char *wanted,
		     const char *about)
{
	struct name name;

	name_clear(&name);
	name_stack_host(&name, t, stack, n);
	is_str(name_text(&name), wanted, "%s", about);
}

static void is_thread(const struct tables *t, uint32_t index, const char *wanted, const char *about)
{
	struct name name;

	name_clear(&name);
	name_one_thread(&name, t, index);
	is_str(name_text(&name), wanted, "%s", about);
}

int main(void)
{
	struct made m = {0};
	struct reader *reader;
	struct tables t;
	struct why why = {""};

	plan_begin();
	make(&m);
	tables_init(&t);
	if (reader_open_bytes(&reader, "test", m.file.at, m.file.n, &why) < 0 ||
	    tables_load(&t, reader, &why) < 0)
		abort();
	for (uint32_t i = 0; i < STACKS; i++) {
		is_named(&t, i + 1, 1, stacks[i].one, stacks[i].about);
		is_named(&t, i + 1, 2, stacks[i].two, "and who called it");
	}
	is_named(&t, 0, 1, "(no stack)", "no stack");
	is_named(&t, STACKS + 1, 1, "stack#10", "one that the trace has not");
	is_thread(&t, 1, "main", "a name that nobody shares");
	is_thread(&t, 3, "worker/102", "one of several has its id behind it");
	is_thread(&t, 7, "thread-7", "one that the trace has not");
	tables_fini(&t);
	reader_close(reader);
	made_free(&m);
	return plan_end();
}
