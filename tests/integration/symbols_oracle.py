#!/usr/bin/env python3
"""Compares output/symbols with llvm-symbolizer, place by place.

usage: symbols_oracle.py SYMBOLS_PRINT PROGRAMS_DIRECTORY [FILE...]

Builds the programs of PROGRAMS_DIRECTORY in many ways, takes places of .text at random (fixed seed) in each and in every
FILE, and compares all frames: linkage name, base name of the file, line. Prints TAP.

What is not a difference: the clone suffix of a function (llvm-symbolizer takes the last name from the symbol table,
foo.isra.0, where DWARF and a profile say foo), which of several names of one address is told, and places between
functions, where no code runs.
"""
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

PLACES = 1500
LEAST = 0.99  # of the places must agree

VARIANTS = [
    # compiler of C, of C++, flags
    ("gcc", "g++", "-O2 -g"),
    ("gcc", "g++", "-O2 -g -gdwarf-4"),
    ("gcc", "g++", "-O3 -g -no-pie -fno-pie"),
    ("gcc", "g++", "-O1 -g -gz"),
    ("gcc", "g++", "-O2 -g -fdebug-types-section"),
    ("gcc", "g++", "-O2 -g -ffunction-sections -Wl,--gc-sections"),
    ("gcc", "g++", "-O2 -g -flto"),
    ("clang", "clang++", "-O2 -g"),
    ("clang", "clang++", "-O2 -g -gdwarf-4"),
    ("clang", "clang++", "-O3 -g -fdebug-types-section -ffunction-sections"),
    ("clang", "clang++", "-O1 -gline-tables-only"),
]


def text_of(file):
    out = subprocess.run(["readelf", "-SW", file], capture_output=True, text=True, check=True).stdout
    m = re.search(r"\] \.text +PROGBITS +(\w+) (\w+) (\w+)", out)
    return int(m[1], 16), int(m[3], 16)


def places_of(file):
    start, size = text_of(file)
    r = random.Random(20240607)
    return [start + r.randrange(size) for _ in range(PLACES)]


def frames_of(text):
    lines = text.strip("\n").split("\n")
    frames = []
    for name, place in zip(lines[0::2], lines[1::2]):
        place = re.sub(r" \(discriminator.*", "", place)
        m = re.match(r"(.*?):([0-9?]+)(:[0-9]+)?$", place)
        frames.append((name, os.path.basename(m[1]), int(m[2].replace("?", "0"))))
    return frames


def answers(command, file, places):
    text = "".join("0x%x\n" % p for p in places)
    out = subprocess.run(command + [file] if "symbolizer" not in command[0] else command + ["-e", file], input=text,
                         capture_output=True, text=True, check=True).stdout
    return [frames_of(a) for a in out.strip("\n").split("\n\n")]


def plain(name):
    return re.sub(r"\.(isra|constprop|part|cold|lto_priv|llvm)\b.*", "", name)


def names_at(file):
    """All names of each function, by any of them."""
    same = collections.defaultdict(set)
    out = subprocess.run(["readelf", "-sW", file], capture_output=True, text=True).stdout
    by_address = collections.defaultdict(set)
    for line in out.splitlines():
        f = line.split()
        if len(f) >= 8 and f[3] in ("FUNC", "IFUNC"):
            by_address[f[1]].add(plain(f[7].split("@")[0]))
    for names in by_address.values():
        for n in names:
            same[n] |= names
    return same


def difference(ours, theirs, same):
    if ours[-1][0] == "??" or theirs[-1][0] == "??":
        return "" if theirs[-1][0] == "??" else "nothing"
    if len(ours) != len(theirs):
        return "depth"
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a[0] != b[0] and plain(a[0]) != plain(b[0]):
            # Only the last frame is taken from the symbol table.
            if not (i == len(ours) - 1 and (plain(b[0]) in same[plain(a[0])] or not same[plain(a[0])])):
                return "name"
        if a[1] != b[1] and a[1] != "??":
            return "file"
        if a[2] != b[2]:
            return "line"
    return ""


def compare(printer, file):
    places = places_of(file)
    ours = answers([printer], file, places)
    theirs = answers(["llvm-symbolizer", "--inlines", "--no-demangle", "--functions=linkage"], file, places)
    same = names_at(file)
    kinds = collections.Counter()
    examples = []
    for place, a, b in zip(places, ours, theirs):
        kind = difference(a, b, same)
        kinds[kind] += 1
        if kind and len(examples) < 5:
            examples.append("%s at 0x%x\n#   ours   %s\n#   theirs %s" % (kind, place, a, b))
    inlined = sum(len(a) > 1 for a in ours)
    return kinds[""] / len(places), len(places), inlined, kinds, examples


def main():
    printer, programs, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    if shutil.which("llvm-symbolizer") is None or shutil.which("readelf") is None:
        print("1..0 # SKIP llvm-symbolizer (package llvm) or readelf (binutils) is not installed")
        return 0
    count = failed = 0
    with tempfile.TemporaryDirectory() as work:
        subjects = [(f, f) for f in files]
        for c, cxx, flags in VARIANTS:
            for compiler, source in ((c, "symbols_c.c"), (cxx, "symbols_cxx.cc")):
                what = "%s %s %s" % (compiler, flags, source)
                out = os.path.join(work, "program%d" % len(subjects))
                if shutil.which(compiler) is None:
                    subjects.append((what + " # SKIP no " + compiler, None))
                    continue
                r = subprocess.run([compiler, *flags.split(), "-w", os.path.join(programs, source), "-o", out],
                                   capture_output=True, text=True)
                subjects.append((what if r.returncode == 0 else what + " # SKIP cannot be built so",
                                 out if r.returncode == 0 else None))
        for what, file in subjects:
            count += 1
            if file is None:
                print("ok %d - %s" % (count, what))
                continue
            share, n, inlined, kinds, examples = compare(printer, file)
            good = share >= LEAST
            failed += not good
            print("%sok %d - %.2f %% of %d places agree (%d with inlined calls): %s" %
                  ("" if good else "not ", count, 100 * share, n, inlined, what))
            if share < 1:
                print("# " + ", ".join("%s %d" % (k or "same", v) for k, v in kinds.items()))
                for e in examples:
                    print("# " + e)
            sys.stdout.flush()
    print("1..%d" % count)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
