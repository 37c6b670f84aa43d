#!/usr/bin/env python3
"""How long it takes to name 10,000 places of a large C++ program, beside addr2line and llvm-symbolizer.

usage: symbols.py SYMBOLS_PRINT [FILE...]

Without FILE a program is generated and built (some minutes): 40 files of standard containers, sorting and regular
expressions, -O2 -g, once with g++ and once with clang++. The tools take turns, all print readable names and inlined
calls; best of ROUNDS is told, with the memory used.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

PLACES = 10000
ROUNDS = 5
UNITS = 40

UNIT = r"""
#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>
namespace n%(i)d {
struct key { int a; std::string b; bool operator<(const key &o) const { return a < o.a || (a == o.a && b < o.b); }
	bool operator==(const key &o) const { return a == o.a && b == o.b; } };
struct hash { size_t operator()(const key &k) const { return k.a * 31 + std::hash<std::string>()(k.b); } };
struct shape { virtual ~shape() {} virtual double area() const = 0; };
struct circle : shape { double r; circle(double x) : r(x) {} double area() const override { return r * r * 3; } };
int run(int argc, char **argv)
{
	std::map<key, std::vector<std::string>> m;
	std::unordered_map<key, std::list<int>, hash> u;
	std::deque<key> d;
	std::set<std::string> s;
	std::mt19937 rng(%(i)d);
	int hits = 0;

	for (int k = 0; k < argc * 10; k++) {
		key x{int(rng() %% 100), std::to_string(k)};
		m[x].push_back(argv[0] + x.b);
		u[x].push_back(k);
		d.push_back(x);
		s.insert(x.b);
	}
	std::sort(d.begin(), d.end(), [](const key &p, const key &q) { return p.b < q.b; });
	std::stable_sort(d.begin(), d.end());
	std::regex re("a(b|c)*d%(i)d[x-z]+");
	std::smatch match;
	for (auto &p : m)
		for (auto &t : p.second)
			hits += std::regex_search(t, match, re);
	std::function<int(int)> f = [&](int x) { return x + hits + (int)s.size(); };
	std::unique_ptr<shape> c(new circle(argc));
	for (auto &p : u)
		hits += p.second.size();
	return f(hits) + (int)c->area();
}
}
"""


def build(work, compiler):
    objects = []
    for i in range(UNITS):
        source = os.path.join(work, "u%d.cc" % i)
        with open(source, "w") as f:
            f.write(UNIT % {"i": i})
        objects.append(source[:-2] + "o")
        subprocess.run([compiler, "-std=c++17", "-O2", "-g", "-c", source, "-o", objects[-1]], check=True)
    main = os.path.join(work, "main.cc")
    with open(main, "w") as f:
        for i in range(UNITS):
            f.write("namespace n%d { int run(int, char **); }\n" % i)
        f.write("int main(int c, char **v) { int s = 0;\n")
        for i in range(UNITS):
            f.write("s += n%d::run(c, v);\n" % i)
        f.write("return s & 1; }\n")
    out = os.path.join(work, "program_" + compiler)
    subprocess.run([compiler, "-O2", "-g", main, *objects, "-o", out], check=True)
    return out


def places_of(file):
    sections = subprocess.run(["readelf", "-SW", file], capture_output=True, text=True, check=True).stdout
    m = re.search(r"\] \.text +PROGBITS +(\w+) (\w+) (\w+)", sections)
    r = random.Random(20240607)
    return "".join("0x%x\n" % (int(m[1], 16) + r.randrange(int(m[3], 16))) for _ in range(PLACES))


def once(command, places):
    """Seconds and KiB of one run."""
    with open(places) as stdin, open(os.devnull, "w") as null:
        start = time.monotonic()
        pid = subprocess.Popen(command, stdin=stdin, stdout=null, stderr=null)
        _, status, usage = os.wait4(pid.pid, 0)
        pid.returncode = status
        return time.monotonic() - start, usage.ru_maxrss


def measure(printer, file, work):
    places = os.path.join(work, "places")
    with open(places, "w") as f:
        f.write(places_of(file))
    tools = {
        "cprof": [printer, "-C", file],
        "llvm-symbolizer": ["llvm-symbolizer", "--inlines", "-e", file],
        "addr2line": ["addr2line", "-fiCe", file],
    }
    tools = {name: command for name, command in tools.items() if shutil.which(command[0]) is not None}
    best = {name: (1e9, 0) for name in tools}
    for _ in range(ROUNDS):
        for name, command in tools.items():
            best[name] = min(best[name], once(command, places))
    print("%s, %.0f MB, %d places" % (os.path.basename(file), os.path.getsize(file) / 1e6, PLACES))
    for name, (seconds, memory) in best.items():
        print("  %-16s %7.3f s %7.1f MB   cprof / it: %.2f time, %.2f memory" %
              (name, seconds, memory / 1024, best["cprof"][0] / seconds, best["cprof"][1] / memory))


def main():
    printer, files = os.path.abspath(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as work:
        if not files:
            files = [build(work, c) for c in ("g++", "clang++") if shutil.which(c) is not None]
        for file in files:
            measure(printer, file, work)


if __name__ == "__main__":
    main()
