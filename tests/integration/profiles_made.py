"""
Profiles that no program recorded: each for one purpose, or from a seed.

    generate(7, 'seed7.pb.gz')
    paths = make_special(directory)
    path = make_waits(directory)
    path = make_exact(directory)
"""

import gzip
import os
import random


# profile.proto by hand: an encoder that shares nothing with the one under test.

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n) if n else b""


def chunk(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


class Profile:
    """Collects the parts of a profile; ids are given by the caller, so they may be odd."""

    def __init__(self):
        self.strings = {b"": 0}
        self.body = bytearray()
        self.functions = 0

    def s(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        return self.strings.setdefault(data, len(self.strings))

    def add(self, field, data):
        self.body += chunk(field, data)

    def sample_type(self, kind, unit):
        self.add(1, number(1, self.s(kind)) + number(2, self.s(unit)))

    def sample(self, locations, values, labels=(), packed=True):
        out = bytearray()
        if packed:
            out += chunk(1, b"".join(varint(l) for l in locations)) if locations else b""
            out += chunk(2, b"".join(varint(v) for v in values)) if values else b""
        else:
            for l in locations:
                out += varint(1 << 3) + varint(l)
            for v in values:
                out += varint(2 << 3) + varint(v)
        for key, value, unit in labels:
            if isinstance(value, int):
                out += chunk(3, number(1, self.s(key)) + number(3, value) + number(4, self.s(unit)))
            else:
                out += chunk(3, number(1, self.s(key)) + number(2, self.s(value)))
        self.add(2, bytes(out))

    def mapping(self, id, start, limit, offset=0, file="", build="", flags=0):
        out = number(1, id) + number(2, start) + number(3, limit) + number(4, offset)
        out += number(5, self.s(file)) + number(6, self.s(build))
        for bit in range(4):
            out += number(7 + bit, flags >> bit & 1)
        self.add(3, out)

    def location(self, id, mapping, address, lines=(), folded=False):
        out = number(1, id) + number(2, mapping) + number(3, address)
        for function, line in lines:
            out += chunk(4, number(1, function) + number(2, line))
        self.add(4, out + number(5, folded))

    def function(self, id, name, system_name=None, file="", start=0):
        system_name = name if system_name is None else system_name
        self.add(5, number(1, id) + number(2, self.s(name)) + number(3, self.s(system_name)) +
                 number(4, self.s(file)) + number(5, start))

    def header(self, time=0, duration=0, period=0, period_type=None, comments=(), default="",
               drop="", keep=""):
        out = number(7, self.s(drop)) + number(8, self.s(keep)) + number(9, time) + number(10, duration)
        if period_type:
            out += chunk(11, number(1, self.s(period_type[0])) + number(2, self.s(period_type[1])))
        out += number(12, period)
        for comment in comments:
            out += number(13, self.s(comment))
        self.body += out + number(14, self.s(default))

    def write(self, path, compress=True):
        data = bytes(self.body) + b"".join(chunk(6, text) for text in self.strings)
        with open(path, "wb") as f:
            f.write(gzip.compress(data, mtime=0) if compress else data)


# Names that pprof treats in some way of its own.
NAMES = [
    "main", "worker", "do_work", "parse", "a", "b", "z::y::x", "std::vector::push_back", "f<int, g<char>>",
    "ns::tmpl<a::b>::run(int, char const*)", "(anonymous namespace)::hidden", "cls::operator()(int)",
    "main.(*Server).Handle", "main.Map[...].Get", "main.(*Map[...]).Put", "runtime.mallocgc", "[truncated]",
    "java.lang.Object.<init>", "_start", "caf\u00e9", "name with blanks", ".dotted", "x.y.z", "malloc",
]
MANGLED = [
    "_ZN2ns1CIiE1fEi", "_Z1fv", "_ZN12_GLOBAL__N_16hiddenEv", "_ZNSt6vectorIiSaIiEE9push_backERKi", "_ZN1AC2Ev",
    "_ZN1AD0Ev", "_ZNK1AclEi", "_ZN1AlsEi", "_ZZ4mainENKUlvE_clEv", "_Zbroken", "_ZN4core3fmt5Write9write_fmtE",
    "main", "_start", "_ZN3foo3barEv.part.0", "_ZN3foo3barEv.isra.0.cold", "_ZTV1A", "_ZThn8_N1A1fEv",
    "_ZN3abc3def17h0123456789abcdefE", "_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_", "_ZN1AcviEv",
]
FILES = ["", "main.c", "./src/main.c", "/usr/src//a/../b.c", "/proc/self/cwd/lib/x.cc", "/proc/self/cwd/./y.cc",
         "../up.c", "a/./b.c", "/", "dir/", "/..//x", "a/../../b"]
OBJECTS = ["/usr/bin/prog", "/lib/libc.so.6", "[vdso]", "", "prog2/", "//anon", "http://host/path", "/a (deleted)"]
VALUES = [
    lambda r: r.randint(1, 100), lambda r: r.randint(1, 10**6), lambda r: r.randint(1, 10**10),
    lambda r: 10**r.randint(0, 17), lambda r: r.randint(-1000, 1000), lambda r: 0,
]
UNITS = [
    [("samples", "count"), ("cpu", "nanoseconds")],
    [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")],
    [("contentions", "count"), ("delay", "microseconds")],
    [("time", "s")], [("energy", "GCU")], [("objects", "count"), ("space", "kilobytes")],
    [("n", "widgets")], [("x", "")], [("delay", "ms"), ("weird", "\u00b5foo")], [("hours", "hour")],
]


def generate(seed, path):
    r = random.Random(seed)
    p = Profile()
    types = r.choice(UNITS)
    for kind, unit in types:
        p.sample_type(kind, unit)

    odd_ids = r.random() < 0.3
    step = r.choice([1, 1, 7, 1 << 40]) if odd_ids else 1
    mappings_n = r.choice([0, 1, 1, 2, 4])
    bases = []
    for i in range(mappings_n):
        start = 0x400000 + i * 0x10000000 if r.random() < 0.9 else 0
        bases.append(start)
        p.mapping((i + 1) * step, start, start + r.choice([0x1000, 0x234567, 0]), r.choice([0, 0x1000]),
                  r.choice(OBJECTS) if i or r.random() < 0.2 else "/usr/bin/prog",
                  r.choice(["", "", "deadbeef%d" % i]), r.randint(0, 15))
    functions_n = r.choice([1, 4, 12, 40])
    for i in range(functions_n):
        name = r.choice(NAMES) if r.random() < 0.7 else "fn%d" % r.randint(0, 30)
        if r.random() < 0.05:
            name = ""
        system = r.choice([name, name, "_sys_" + name, ""])
        p.function((i + 1) * step, name, system, r.choice(FILES), r.choice([0, 0, 10, 1000]))
    locations_n = r.choice([1, 5, 30, 120])
    for i in range(locations_n):
        m = r.randrange(mappings_n + 1) if mappings_n else 0
        address = bases[m - 1] + r.randint(0, 0x2000) if m else r.choice([0, r.randint(1, 2**64 - 1)])
        lines = [((r.randrange(functions_n) + 1) * step, r.choice([0, r.randint(1, 500)]))
                 for _ in range(r.choice([0, 1, 1, 1, 1, 2, 3]))]
        p.location((i + 1) * step, m * step, address & (2**64 - 1), lines, r.random() < 0.05)
    value = r.choice(VALUES)
    skewed = r.random() < 0.4
    keys = r.choice([[], [], ["thread"], ["thread", "state", "bytes", "request"]])
    for i in range(r.choice([0, 1, 10, 60, 300])):
        depth = r.choice([0, 1, 3, 8, 25])
        stack = [(r.randrange(locations_n) + 1) * step for _ in range(depth)]
        if depth > 2 and r.random() < 0.3:
            stack += stack[:2]  # recursion
        values = [value(r) // (1 + i * i * skewed) if r.random() < 0.9 else 0 for _ in types]
        labels = []
        for key in keys:
            for _ in range(r.choice([0, 1, 1, 2])):
                if key in ("bytes", "request") or r.random() < 0.15:
                    labels.append((key, r.choice([0, 1, 4096, 65536, -5, 10**9]),
                                   r.choice(["", "", "bytes", "kilobytes"])))
                else:
                    labels.append((key, r.choice(["w1", "w2", "run ning", "x:y", "idle"]), ""))
        r.shuffle(labels)
        if r.random() < 0.02:
            labels.append(("pprof::base", "true", ""))
        p.sample(stack, values, labels, r.random() < 0.8)
    p.header(
        time=r.choice([0, 1700000000123456789, 1500000000000000000, 1719792000500000000]),
        duration=r.choice([0, 30 * 10**9, 1, 1500, 10**12 + 5, 15 * 10**6, 59999999999, 3661 * 10**9]),
        period=r.choice([0, 10000000, 524288]),
        period_type=r.choice([None, ("cpu", "nanoseconds"), ("space", "bytes")]),
        comments=r.choice([(), ("one",), ("# hidden", "shown", "shown")]),
        default=r.choice(["", types[0][0], "nonsense"]),
        drop=r.choice(["", "", "", "malloc|fn1.*", r"std::.*|parse"]),
        keep=r.choice(["", "", "fn1[0-5]"]))
    p.write(path, r.random() < 0.8)


def make_special(directory):
    """Profiles that each aim at one rule. Returns their paths."""
    paths = []

    def done(p, name):
        path = os.path.join(directory, name + ".pb.gz")
        p.write(path)
        paths.append(path)

    p = Profile()  # many equal values: only names and then all fields order them
    p.sample_type("cpu", "nanoseconds")
    p.mapping(1, 0x1000, 0x9000, 0, "/bin/x")
    for i in range(1, 41):
        p.function(i, "f%d" % (i % 7), "s%d" % i, "file%d.c" % (i % 3), i)
        p.location(i, 1, 0x1000 + i, [(i, i % 4)])
        p.sample([i], [10**7 if i % 2 else -10**7])
    p.header(duration=10**9)
    done(p, "ties")

    p = Profile()  # one large value over many that fall under the fractions
    p.sample_type("samples", "count")
    p.sample_type("cpu", "nanoseconds")
    p.function(1, "root")
    p.location(1, 0, 1, [(1, 1)])
    for i in range(2, 400):
        p.function(i, "leaf%d" % i)
        p.location(i, 0, i, [(i, 5), (1, 7)] if i % 3 == 0 else [(i, 5)])
        p.sample([i, i // 2 + 1, 1], [1, 10**9 // i**2 + 1])
    p.header(time=1700000000 * 10**9, duration=5 * 10**9, period=1, period_type=("cpu", "nanoseconds"))
    done(p, "tail")

    p = Profile()  # inlined here, called there
    p.sample_type("cpu", "nanoseconds")
    for i, name in enumerate(["main", "caller", "small", "tiny"], 1):
        p.function(i, name)
    p.location(1, 0, 0x10, [(1, 1)])
    p.location(2, 0, 0x20, [(4, 9), (3, 5), (2, 2)])
    p.location(3, 0, 0x30, [(3, 5)])
    p.location(4, 0, 0x40, [(4, 9), (3, 6)])
    for i, stack in enumerate([[2, 1], [3, 1], [4, 2, 1], [4, 3, 1], [2, 2, 1]]):
        p.sample(stack, [100 + i])
    p.header()
    done(p, "inline")

    p = Profile()  # the largest and the smallest there are
    p.sample_type("huge", "bytes")
    for i in range(1, 5):
        p.function(i, "h%d" % i)
        p.location(i, 0, i, [(i, 0)])
    for i, v in enumerate([2**63 - 1, -2**63, 2**62, -1], 1):
        p.sample([i], [v])
    p.header(duration=2**62)
    done(p, "huge")

    p = Profile()  # no samples at all, and no mapping
    p.sample_type("cpu", "nanoseconds")
    p.header(time=1)
    done(p, "empty")

    p = Profile()  # values that cancel out
    p.sample_type("cpu", "nanoseconds")
    p.function(1, "plus")
    p.function(2, "minus")
    p.location(1, 0, 1, [(1, 0)])
    p.location(2, 0, 2, [(2, 0)])
    p.sample([1], [5])
    p.sample([1], [-5])
    p.sample([2, 1], [7])
    p.sample([1, 2], [-7])
    p.header()
    done(p, "cancel")

    p = Profile()  # names that are not UTF-8
    p.sample_type("cpu", "nanoseconds")
    p.function(1, b"bad\xff\xfename", b"bad\xff\xfename", b"\xc3.c")
    p.location(1, 0, 1, [(1, 3)])
    p.sample([1], [5], [("key", b"v\xe2\x82", "")])
    p.header(comments=("caf\u00e9",))
    done(p, "bytes")

    p = Profile()  # names as the linker has them
    p.sample_type("cpu", "nanoseconds")
    for i, name in enumerate(MANGLED, 1):
        p.function(i, name if i % 2 else "", name)
        p.location(i, 0, i, [(i, 0)])
        p.sample([i], [i])
    p.header()
    done(p, "mangled")

    p = Profile()  # a mean, and percentages that need all digits
    p.sample_type("n", "count")
    p.sample_type("delay", "nanoseconds")
    for i in range(1, 30):
        p.function(i, "m%02d" % i)
        p.location(i, 0, i, [(i, 0)])
        p.sample([i], [i, 3**i])
        p.sample([i, 1], [0, i])
    p.header(duration=10**9)
    done(p, "mean")
    return paths


def make_waits(directory):
    """A block profile in which most of the time is that of threads without work."""
    path = os.path.join(directory, "waits.pb.gz")
    p = Profile()
    p.sample_type("contentions", "count")
    p.sample_type("delay", "nanoseconds")
    for i, name in enumerate(["main", "worker", "pop", "get", "put"], 1):
        p.function(i, name)
        p.location(i, 0, 0x10 * i, [(i, i)])
    p.sample([3, 2, 1], [12, 98 * 10**9], [("idle", "yes", ""), ("kind", "cond", "")])
    p.sample([4, 2, 1], [7, 3 * 10**9 + 1], [("kind", "mutex", ""), ("lock", "g_cache", "")])
    p.sample([5, 2, 1], [9, 10**8], [("idle", "no", ""), ("kind", "mutex", ""), ("lock", "table+0x28", "")])
    p.sample([3, 1], [1, 10**7], [("kind", "cond", "")])
    p.header(time=1700000000 * 10**9, period=1, period_type=("contentions", "count"))
    p.write(path)
    return path


def make_exact(directory):
    """Values at the edges of what is left out, values below zero, files below directories, labels without a unit."""
    path = os.path.join(directory, "exact.pb.gz")
    p = Profile()
    p.sample_type("cpu", "milliseconds")
    p.mapping(1, 0x1000, 0x9000, 0, "/bin/exact")
    files = ["/home/me/project/src/main.c", "/usr/src/a.c", "src/b.c", "/proc/self/cwd/c.c", "/d.c", "/x/src/y/e.c"]
    for i in range(1, 13):
        p.function(i, "f%d" % i, None, files[i % len(files)])
        p.location(i, 1, 0x1000 + i, [(i, i)] if i % 4 else [(i, i), (i - 1, 1)])
    for i, (stack, value) in enumerate([([2, 1], 100), ([3, 1], 99), ([4, 3, 1], 101), ([5, 1], 200), ([6, 5, 1], 300), ([7, 1], -3),
                                        ([8, 7, 2, 1], -2), ([9, 7, 1], 4), ([10, 1], 50), ([11, 10, 1], 50), ([12, 11], 101)]):
        labels = [[("size", i, "")], [("size", 4096 * i, "bytes"), ("plain", i, "")], [("plain", 7, ""), ("thread", "a", "")],
                  [("thread", "b\xff\tc", ""), ("thread", "a", ""), ("", "empty", "")]][i % 4]
        p.sample(stack, [value], labels)
    p.header(period=1, period_type=("cpu", "milliseconds"))
    p.write(path)
    return path
