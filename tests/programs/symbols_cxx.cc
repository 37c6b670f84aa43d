// A program with much of what symbolization must understand: inlined chains, lambdas, local classes, virtual thunks,
// templates, cold parts, a main in .text.startup. tests/integration/symbols_oracle.py builds it in many ways.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace shop {

namespace {

int hidden(int x)
{
	if (x > 100000)
		throw std::runtime_error("hidden: " + std::to_string(x));
	return x * 3;
}

} // namespace

struct item {
	std::string name;
	int price;

	bool operator<(const item &o) const { return price < o.price || (price == o.price && name < o.name); }
};

template <class T, int N> class shelf {
	std::vector<T> items;

public:
	template <class F> int each(F f) const
	{
		int sum = 0;

		for (const auto &i : items)
			sum += f(i) % N;
		return sum;
	}
	void put(T i)
	{
		items.push_back(std::move(i));
		std::sort(items.begin(), items.end());
	}
	operator std::vector<T>() const { return items; }
};

struct priced {
	virtual ~priced() = default;
	virtual int price() const = 0;
};

struct named {
	virtual ~named() = default;
	virtual std::string name() const { return "nameless"; }
};

struct good : priced, named {
	int price() const override { return 7; }
	std::string name() const override { return "good"; }
};

__attribute__((noinline)) int stroll(const shelf<item, 7> &s, int argc)
{
	struct counter {
		int n;
		__attribute__((noinline)) int bump(int by)
		{
			n += by;
			return n;
		}
	} local{argc};
	auto add = [&](const item &i) { return local.bump(hidden(i.price)) + (int)i.name.size(); };

	return s.each(add);
}

} // namespace shop

int main(int argc, char **argv)
{
	shop::shelf<shop::item, 7> shelf;
	std::map<std::string, int> seen;
	std::unordered_map<int, std::vector<std::string>> by_length;
	std::vector<std::unique_ptr<shop::named>> all;
	std::function<int(int)> twice = [](int x) { return 2 * x; };
	int sum = 0;

	for (int i = 0; i < argc * 20; i++) {
		std::string name = std::string(argv[0]) + std::to_string(i);

		seen[name] += i;
		by_length[(int)name.size()].push_back(name);
		shelf.put({name, twice(i)});
	}
	all.emplace_back(new shop::good);
	all.emplace_back(new shop::named);
	try {
		sum = shop::stroll(shelf, argc);
	} catch (const std::exception &e) {
		std::fprintf(stderr, "%s\n", e.what());
		return EXIT_FAILURE;
	}
	for (auto &n : all)
		sum += (int)n->name().size();
	std::vector<shop::item> copy = shelf;
	std::stable_sort(copy.begin(), copy.end(), [](auto &a, auto &b) { return b < a; });
	std::printf("%d %zu %zu\n", sum, seen.size(), copy.size() + by_length.size());
	return 0;
}
