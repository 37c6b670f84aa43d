/*
 * C++ for the tests that walk the stack at each instruction: exceptions, virtual calls, templates, destructors.
 */
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/programs/walk_places.h"

static volatile int sink;

struct guard {
	int n;
	explicit guard(int n_) : n(n_)
	{
	}
	__attribute__((noinline)) ~guard()
	{
		sink += n;
	}
};

struct base {
	virtual ~base()
	{
	}
	virtual int work(int n) = 0;
};

struct other {
	virtual ~other()
	{
	}
	virtual int more(int n)
	{
		return n + 1;
	}
};

struct derived : base, other {
	int work(int n) override
	{
		return n * 3;
	}
	int more(int n) override
	{
		return n * 5;
	} /* reached through a thunk */
};

__attribute__((noinline)) static int deep(int n)
{
	guard g(n);

	if (n == 0)
		throw std::runtime_error("the bottom");
	return deep(n - 1) + g.n;
}

static void throws(void *)
{
	for (int i = 0; i < 3; i++) {
		try {
			sink += deep(i);
		} catch (const std::exception &e) {
			sink += e.what()[0];
		}
	}
}

__attribute__((noinline)) static int call(other *o, base *b, int n)
{
	return o->more(n) + b->work(n);
}

static void classes(void *)
{
	std::map<std::string, int> words;
	std::vector<int> numbers;
	std::function<int(int)> add = [&](int n) { return n + static_cast<int>(numbers.size()); };
	auto d = std::make_unique<derived>();

	for (int i = 0; i < 20; i++) {
		numbers.push_back(i * 7 % 20);
		words["word number " + std::to_string(i % 6)] += add(i);
	}
	std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a > b; });
	sink += call(d.get(), d.get(), words.begin()->second);
}

const struct walk_place walk_places[] = {
	{"classes", classes},
	{"throws", throws},
	{"throws again", throws},
	{nullptr, nullptr},
};
