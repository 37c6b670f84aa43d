/*
 * heap_cxx: allocations by every way that C++ has, counted. Built with operators of its own, too (-DOWN_OPERATORS).
 *
 *     heap_cxx exact [loose]    eight threads, that delete each other's blocks
 *     heap_cxx edges            destructors of threads and of static objects, exceptions, containers
 *
 * The last line is the truth in JSON.
 */
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <stddef.h>

#define SITES(X)                \
	X(new_plain)            \
	X(new_array)            \
	X(new_nothrow)          \
	X(new_array_nothrow)    \
	X(new_aligned)          \
	X(new_array_aligned)    \
	X(new_aligned_nothrow)  \
	X(new_array_al_nothrow) \
	X(new_no_size)          \
	X(new_expression)       \
	X(new_objects)          \
	X(new_over_aligned)     \
	X(malloc_beside)        \
	X(fail_new)             \
	X(fail_new_nothrow)     \
	X(fail_new_array)       \
	X(fail_with_handler)    \
	X(in_static_object)     \
	X(in_static_end)        \
	X(in_thread_object)     \
	X(in_thread_end)        \
	X(in_exception)         \
	X(vector_grows)         \
	X(string_grows)         \
	X(map_grows)            \
	X(shared_is_made)

#include "tests/programs/heap.h"

#ifdef OWN_OPERATORS
#pragma GCC diagnostic ignored "-Wmismatched-new-delete" /* as these are seen inlined, they do not match */
/* As a program has them that replaces the library's: by way of malloc(), and in no library that anybody could look into. */
#define OWN_NEW(name)                                    \
	void *operator name(size_t size)                 \
	{                                                \
		void *p = malloc(size == 0 ? 1 : size);  \
                                                         \
		if (p == nullptr)                        \
			throw std::bad_alloc();          \
		return p;                                \
	}
OWN_NEW(new)
OWN_NEW(new[])
void operator delete(void *p) noexcept
{
	free(p);
}
void operator delete[](void *p) noexcept
{
	free(p);
}
void operator delete(void *p, size_t) noexcept
{
	free(p);
}
void operator delete[](void *p, size_t) noexcept
{
	free(p);
}
#endif

enum kind { PLAIN, ARRAY, ALIGNED, ARRAY_ALIGNED, EXPRESSION, OBJECTS, OVER_ALIGNED, MALLOC };

struct object {
	char bytes[48];
	object() { bytes[0] = 1; }
	~object() { host_sink = host_sink + (uint64_t)(unsigned char)bytes[0]; } /* so that arrays keep their length */
};

struct alignas(128) aligned_object {
	char bytes[256];
};

#define BY(name, expression)                                \
	SITE void name(struct block *b, size_t size);       \
	SITE void name(struct block *b, size_t size)        \
	{                                                   \
		made(b, SITE_##name, expression, size);     \
	}

#define ALIGNMENT std::align_val_t(b->alignment)

BY(new_plain, ::operator new(size))
BY(new_array, ::operator new[](size))
BY(new_nothrow, ::operator new(size, std::nothrow))
BY(new_array_nothrow, ::operator new[](size, std::nothrow))
BY(new_aligned, ::operator new(size, ALIGNMENT))
BY(new_array_aligned, ::operator new[](size, ALIGNMENT))
BY(new_aligned_nothrow, ::operator new(size, ALIGNMENT, std::nothrow))
BY(new_array_al_nothrow, ::operator new[](size, ALIGNMENT, std::nothrow))
BY(malloc_beside, malloc(size))

/* That many bytes are asked for: one, or none, as the library has it. */
SITE void new_no_size(struct block *b);
SITE void new_no_size(struct block *b)
{
	volatile size_t nothing = 0;

	b->p = (char *)::operator new(nothing);
	count_made(SITE_new_no_size, 1, 0);
	b->site = SITE_new_no_size;
	b->size = 0;
}

SITE void new_expression(struct block *b);
SITE void new_expression(struct block *b)
{
	b->p = (char *)new object;
	b->size = sizeof(object);
	b->site = SITE_new_expression;
	count_made(SITE_new_expression, 1, sizeof(object));
}

/* The number of objects is kept before them. */
enum { OBJECTS_EACH = 9, COOKIE = sizeof(size_t) };

SITE void new_objects(struct block *b);
SITE void new_objects(struct block *b)
{
	b->p = (char *)new object[OBJECTS_EACH];
	b->size = OBJECTS_EACH * sizeof(object) + COOKIE;
	b->site = SITE_new_objects;
	count_made(SITE_new_objects, 1, b->size);
}

SITE void new_over_aligned(struct block *b);
SITE void new_over_aligned(struct block *b)
{
	b->p = (char *)new aligned_object;
	b->size = sizeof(aligned_object);
	b->site = SITE_new_over_aligned;
	if ((uintptr_t)b->p % alignof(aligned_object) != 0 && !is_loose)
		wrong("is not aligned", "new_over_aligned");
	count_made(SITE_new_over_aligned, 1, b->size);
}

static void make_one(uint64_t *state, struct block *b)
{
	static void (*const plain[])(struct block *, size_t) = {new_plain, new_nothrow};
	static void (*const array[])(struct block *, size_t) = {new_array, new_array_nothrow};
	static void (*const aligned[])(struct block *, size_t) = {new_aligned, new_aligned_nothrow};
	static void (*const array_aligned[])(struct block *, size_t) = {new_array_aligned,
									new_array_al_nothrow};
	size_t size = some_size(state);

	b->kind = (int)dice(state, 9);
	b->alignment = b->kind == ALIGNED || b->kind == ARRAY_ALIGNED ? (size_t)32 << dice(state, 8) : 0;
	if (b->alignment != 0) /* libraries ask the allocator for a multiple: then that is the size, to everybody */
		size = (size + b->alignment - 1) & ~(b->alignment - 1);
	switch (b->kind) {
	case PLAIN:
		plain[dice(state, 2)](b, size);
		break;
	case ARRAY:
		array[dice(state, 2)](b, size);
		break;
	case ALIGNED:
		aligned[dice(state, 2)](b, size);
		break;
	case ARRAY_ALIGNED:
		array_aligned[dice(state, 2)](b, size);
		break;
	case EXPRESSION:
		new_expression(b);
		break;
	case OBJECTS:
		new_objects(b);
		break;
	case OVER_ALIGNED:
		new_over_aligned(b);
		break;
	case MALLOC:
		malloc_beside(b, size);
		break;
	default:
		b->kind = PLAIN;
		new_no_size(b);
	}
}

static void end_one(uint64_t *state, struct block *b)
{
	void *p = b->p;
	size_t size = b->size;

	gone(b);
	switch (b->kind) {
	case PLAIN:
		switch (dice(state, 3)) {
		case 0:
			::operator delete(p);
			break;
		case 1:
			::operator delete(p, size);
			break;
		default:
			::operator delete(p, std::nothrow);
		}
		break;
	case ARRAY:
		switch (dice(state, 3)) {
		case 0:
			::operator delete[](p);
			break;
		case 1:
			::operator delete[](p, size);
			break;
		default:
			::operator delete[](p, std::nothrow);
		}
		break;
	case ALIGNED:
		switch (dice(state, 3)) {
		case 0:
			::operator delete(p, ALIGNMENT);
			break;
		case 1:
			::operator delete(p, size, ALIGNMENT);
			break;
		default:
			::operator delete(p, ALIGNMENT, std::nothrow);
		}
		break;
	case ARRAY_ALIGNED:
		switch (dice(state, 3)) {
		case 0:
			::operator delete[](p, ALIGNMENT);
			break;
		case 1:
			::operator delete[](p, size, ALIGNMENT);
			break;
		default:
			::operator delete[](p, ALIGNMENT, std::nothrow);
		}
		break;
	case EXPRESSION:
		delete (object *)p;
		break;
	case OBJECTS:
		delete[](object *) p;
		break;
	case OVER_ALIGNED:
		delete (aligned_object *)p;
		break;
	default:
		free(p);
	}
}

static volatile size_t huge = (size_t)PTRDIFF_MAX - 4096;
static int handled;

static void handle()
{
	if (++handled == 3)
		std::set_new_handler(nullptr);
}

SITE void fail_new();
SITE void fail_new()
{
	try {
		::operator delete(::operator new(huge));
	} catch (const std::bad_alloc &) {
		say("operator new: bad_alloc\n");
	}
}

SITE void fail_new_array();
SITE void fail_new_array()
{
	try {
		delete[] new char[huge];
	} catch (const std::bad_alloc &) {
		say("operator new[]: bad_alloc\n");
	}
	try {
		::operator delete[](::operator new[](huge, std::align_val_t(64)), std::align_val_t(64));
	} catch (const std::bad_alloc &) {
		say("operator new[], aligned: bad_alloc\n");
	}
}

SITE void fail_new_nothrow();
SITE void fail_new_nothrow()
{
	void *p = ::operator new(huge, std::nothrow);

	say("operator new, nothrow: %s\n", p == nullptr ? "NULL" : "memory");
	::operator delete(p);
	p = ::operator new[](huge, std::align_val_t(64), std::nothrow);
	say("operator new[], aligned, nothrow: %s\n", p == nullptr ? "NULL" : "memory");
	::operator delete[](p, std::align_val_t(64));
}

SITE void fail_with_handler();
SITE void fail_with_handler()
{
	std::set_new_handler(handle);
	try {
		::operator delete(::operator new(huge));
	} catch (const std::bad_alloc &) {
		say("operator new: bad_alloc after %d calls of the handler\n", handled);
	}
}

static void exact()
{
	static const struct passing how = {make_one, end_one};
	struct block b = {};
	void *p;

	if (!is_loose) { /* such an allocator ends the program */
		fail_new();
		fail_new_array();
		fail_new_nothrow();
		fail_with_handler();
	}
	errno = 77;
	new_plain(&b, 100);
	p = b.p;
	gone(&b);
	::operator delete(p);
	say("errno after new and delete: %d\n", errno);
	pass_around(&how);
}

#define ALLOCATE(name)                                        \
	SITE char *name(size_t size);                         \
	SITE char *name(size_t size)                          \
	{                                                     \
		char *p = new char[size];                     \
                                                              \
		*(char *volatile *)&p = p;                    \
		count_made(SITE_##name, 1, size);             \
		return p;                                     \
	}

ALLOCATE(in_static_object)
ALLOCATE(in_static_end)
ALLOCATE(in_thread_object)
ALLOCATE(in_thread_end)

static bool has_edges;

/* Made before main(), gone after it. */
struct static_object {
	char *p;
	static_object() : p(in_static_object(1000)) {}
	~static_object()
	{
		if (!has_edges)
			return;
		count_gone(SITE_in_static_object, 1, 1000);
		delete[] p;
		p = in_static_end(500);
		print_truth();
	}
};
static static_object made_first;

struct thread_object {
	char *p;
	thread_object() : p(in_thread_object(300)) {}
	~thread_object()
	{
		count_gone(SITE_in_thread_object, 1, 300);
		delete[] p;
		in_thread_end(200);
		count_gone(SITE_in_thread_end, 1, 100);
		delete[] in_thread_end(100);
	}
};
static thread_local thread_object of_thread;

static void use_thread_object()
{
	of_thread.p[0] = 1;
}

SITE void in_exception(int depth);
SITE void in_exception(int depth)
{
	std::unique_ptr<char[]> p(new char[800]);

	p[0] = 1;
	*(char *volatile *)&p = p.get();
	count_made(SITE_in_exception, 1, 800);
	count_gone(SITE_in_exception, 1, 800);
	if (depth == 0)
		throw std::string(100, 'x');
	in_exception(depth - 1);
}

/* What these ask for is the library's own affair; it is told of by the allocator that they are given. */
template <typename T, enum site where> struct counting {
	typedef T value_type;
	counting() {}
	template <typename U> counting(const counting<U, where> &) {}
	template <typename U> struct rebind {
		typedef counting<U, where> other;
	};
	T *allocate(size_t n)
	{
		count_made(where, 1, n * sizeof(T));
		return (T *)::operator new(n * sizeof(T));
	}
	void deallocate(T *p, size_t n)
	{
		count_gone(where, 1, n * sizeof(T));
		::operator delete(p);
	}
	template <typename U> bool operator==(const counting<U, where> &) const { return true; }
	template <typename U> bool operator!=(const counting<U, where> &) const { return false; }
};

SITE size_t vector_grows();
SITE size_t vector_grows()
{
	std::vector<int, counting<int, SITE_vector_grows>> v;

	for (int i = 0; i < 100000; i++)
		v.push_back(i);
	return v.size();
}

SITE size_t string_grows();
SITE size_t string_grows()
{
	std::basic_string<char, std::char_traits<char>, counting<char, SITE_string_grows>> s;

	for (int i = 0; i < 100000; i++)
		s += (char)i;
	return s.size();
}

SITE size_t map_grows();
SITE size_t map_grows()
{
	typedef std::map<int, int, std::less<int>,
			 counting<std::pair<const int, int>, SITE_map_grows>>
		kept;
	kept *m;
	static char memory[sizeof(kept)];

	m = new (memory) kept;
	for (int i = 0; i < 1000; i++)
		(*m)[i * 7 % 1009] = i;
	for (int i = 0; i < 500; i++)
		m->erase(i);
	return m->size();
}

SITE size_t shared_is_made();
SITE size_t shared_is_made()
{
	std::shared_ptr<object> p = std::allocate_shared<object>(counting<object, SITE_shared_is_made>());
	std::shared_ptr<object> another = p;

	return (size_t)another.use_count();
}

static void edges()
{
	has_edges = true;
	use_thread_object();
	for (int round = 0; round < 5; round++) {
		std::vector<std::thread> threads;

		for (int i = 0; i < 8; i++)
			threads.emplace_back(use_thread_object);
		for (std::thread &thread : threads)
			thread.join();
	}
	for (int i = 0; i < 20; i++) {
		try {
			in_exception(10);
		} catch (const std::string &s) {
			if (s.size() != 100)
				wrong("is another", "exception");
		}
	}
	say("vector %zu, string %zu, map %zu, shared %zu\n", vector_grows(), string_grows(), map_grows(),
	    shared_is_made());
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	is_loose = argc > 2 && strcmp(argv[2], "loose") == 0;
	if (strcmp(what, "exact") == 0)
		exact();
	else if (strcmp(what, "edges") == 0)
		edges();
	else
		return 2;
	if (!has_edges)
		print_truth();
	return wrongs != 0;
}
