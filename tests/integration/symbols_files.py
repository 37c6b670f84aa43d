#!/usr/bin/env python3
"""Where output/symbols finds what it needs: separate debug files, stubs, files that are gone, no libdw.

usage: symbols_files.py SYMBOLS_PRINT PROGRAMS_DIRECTORY

Prints TAP.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

count = failed = 0


def ok(good, what, *more):
    global count, failed
    count += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", count, what))
    if not good:
        for m in more:
            print("# %s" % (m,))


def skip(what, why):
    global count
    count += 1
    print("ok %d - %s # SKIP %s" % (count, what, why))


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def look(printer, file, addresses, **env):
    r = run(printer, file, input="".join("%x\n" % a for a in addresses), env={**os.environ, **env})
    answers = []
    for a in r.stdout.strip("\n").split("\n\n"):
        lines = a.split("\n")
        answers.append(list(zip(lines[0::2], lines[1::2])))
    return answers, r


def symbols(file):
    found = {}
    for line in run("nm", file).stdout.splitlines():
        f = line.split()
        if len(f) == 3:
            found[f[2]] = int(f[0], 16)
    return found


def build_id(file):
    return re.search(r"Build ID: (\w+)", run("readelf", "-n", file).stdout)[1]


def test_debug_files(printer, work, program, plain):
    main = [symbols(program)["split"] + 8]
    whole, _ = look(printer, program, main)
    ok("symbols_c.c:" in whole[0][-1][1], "lines from the file itself", whole)

    debug = os.path.join(work, "program.debug")
    stripped = os.path.join(work, "stripped")
    run("objcopy", "--only-keep-debug", program, debug)
    run("objcopy", "--strip-all", program, stripped)
    got, r = look(printer, stripped, main)
    ok(got != whole, "a stripped file alone does not have them", got, r.stderr)

    linked = os.path.join(work, "linked")
    run("objcopy", "--strip-all", "--add-gnu-debuglink=" + debug, program, linked)
    got, r = look(printer, linked, main)
    ok(got == whole, ".gnu_debuglink beside the file", got, whole, r.stderr)
    os.mkdir(os.path.join(work, ".debug"))
    shutil.move(debug, os.path.join(work, ".debug", "program.debug"))
    got, r = look(printer, linked, main)
    ok(got == whole, ".gnu_debuglink in .debug", got, whole, r.stderr)
    debug = shutil.move(os.path.join(work, ".debug", "program.debug"), debug)

    id = build_id(program)
    tree = os.path.join(work, "tree")
    os.makedirs(os.path.join(tree, ".build-id", id[:2]))
    by_id = os.path.join(tree, ".build-id", id[:2], id[2:] + ".debug")
    shutil.move(debug, by_id)
    got, r = look(printer, stripped, main, CPROF_DEBUG_PATH="/nonexistent:" + tree)
    ok(got == whole, "by build id below CPROF_DEBUG_PATH", got, whole, r.stderr)
    # Another program's debug file under our name must not be believed.
    run("objcopy", "--only-keep-debug", plain, by_id)
    got, r = look(printer, stripped, main, CPROF_DEBUG_PATH=tree)
    ok(got != whole, "a debug file of another build id is not taken", got)

    # Without build ids the checksum decides.
    bare = os.path.join(work, "bare")
    run("objcopy", "--remove-section=.note.gnu.build-id", program, bare)
    run("objcopy", "--only-keep-debug", bare, os.path.join(work, "bare.debug"))
    run("objcopy", "--strip-all", "--add-gnu-debuglink=" + os.path.join(work, "bare.debug"), bare, linked)
    got, r = look(printer, linked, main)
    ok(got == whole, "by checksum", got, whole, r.stderr)
    with open(os.path.join(work, "bare.debug"), "ab") as f:
        f.write(b"x")
    got, r = look(printer, linked, main)
    ok(got != whole, "a wrong checksum is refused", got)


def test_stubs(printer, file, what):
    wanted = {}
    for line in run("objdump", "-d", "--section=.plt", "--section=.plt.sec", "--section=.plt.got",
                    file).stdout.splitlines():
        m = re.match(r"([0-9a-f]+) <(\w+)(?:@.*)?@plt>:", line)
        if m is not None:
            wanted[int(m[1], 16)] = m[2] + "@plt"
    if not wanted:
        skip("stubs of " + what, "it has none")
        return
    got, _ = look(printer, file, wanted.keys())
    wrong = [(hex(a), w, g) for (a, w), g in zip(wanted.items(), got) if re.sub("@[A-Z].*@", "@", g[0][0]) != w]
    ok(not wrong, "%d stubs of %s" % (len(wanted), what), *wrong)


RESOLVED = """
static int one(int n) { return n + 1; }
static int two(int n) { return n * 2; }
static void *pick_first(void) { return one; }
static void *pick_second(void) { return two; }
int first(int n) __attribute__((ifunc("pick_first")));
int second(int n) __attribute__((ifunc("pick_second")));
int puts(const char *);
int main(int argc, char **argv) { (void)argv; puts("a stub in front of theirs"); return first(argc) + second(argc) == 4 ? 0 : 1; }
"""


def test_resolved(printer, work):
    """Stubs of functions that are resolved by a function have no name of their own: with its symbol, and where that is stripped."""
    source, out, bare = (os.path.join(work, n) for n in ("resolved.c", "resolved", "resolved_bare"))
    with open(source, "w") as f:
        f.write(RESOLVED)
    r = run("gcc", "-O1", "-w", source, "-o", out)
    if r.returncode != 0 or run("objcopy", "-S", out, bare).returncode != 0 or run(out).returncode != 0:
        skip("stubs that are resolved by a function", "cannot be built")
        return
    stubs = [int(a, 16) for a in re.findall(r"([0-9a-f]+) <\*ABS\*\+0x[0-9a-f]+@plt>:", run("objdump", "-d", out).stdout)]
    got, r = look(printer, out, stubs)
    names = sorted(g[0][0] for g in got)
    ok(len(stubs) == 2 and names in (["first@plt", "second@plt"], ["pick_first@plt", "pick_second@plt"]),
       "stubs that are resolved by a function", stubs, got, r)
    got, r = look(printer, bare, stubs)
    ok(r.returncode >= 0 and [g[0][1] for g in got] == ["??:0"] * 2 and not any("pick" in g[0][0] for g in got),
       "and of a stripped program", got, r)


def test_split(printer, work, source):
    for flags in ("-gdwarf-5", "-gdwarf-4"):
        out = os.path.join(work, "split_dwarf")
        r = run("gcc", "-O2", "-g", flags, "-gsplit-dwarf", "-w", source, "-o", out, cwd=work)
        if r.returncode != 0:
            skip("split DWARF " + flags, "cannot be built")
            continue
        main = [symbols(out)["split"] + 8]
        got, _ = look(printer, out, main)
        ok(got[0][-1][0] == "split" and "symbols_c.c:" in got[0][-1][1], "split DWARF " + flags, got)
        for f in os.listdir(work):
            if f.endswith(".dwo"):
                os.remove(os.path.join(work, f))
        got, _ = look(printer, out, main)
        ok(got[0][-1][0] == "split", "its .dwo is gone: the name is left " + flags, got)


def test_dwz(printer, work, program, source):
    if shutil.which("dwz") is None:
        skip("dwz", "dwz is not installed")
        return
    other = os.path.join(work, "dwz_other")
    one = os.path.join(work, "dwz_one")
    shutil.copy(program, one)
    run("g++", "-O3", "-g", "-w", source, "-o", other)
    r = run("dwz", "-m", os.path.join(work, "dwz_common"), one, other)
    if r.returncode != 0:
        skip("dwz", "dwz cannot do it: " + r.stderr.strip())
        return
    start = symbols(program)["main"]
    places = range(start, start + 400, 3)
    ok(look(printer, one, places)[0] == look(printer, program, places)[0], "dwz changes nothing")


def test_no_libdw(printer, work, program):
    empty = os.path.join(work, "no_libdw")
    os.mkdir(empty)
    open(os.path.join(empty, "libdw.so.1"), "w").close()
    got, r = look(printer, program, [symbols(program)["split"] + 8], LD_LIBRARY_PATH=empty)
    ok(got == [[("split", "??:0")]], "without libdw the symbol tables are left", got)
    ok("libdw" in r.stderr, "and it is said", r.stderr)


def main():
    printer, programs = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    for tool in ("gcc", "g++", "objcopy", "objdump", "readelf", "nm"):
        if shutil.which(tool) is None:
            print("1..0 # SKIP %s is not installed" % tool)
            return 0
    source = os.path.join(programs, "symbols_c.c")
    with tempfile.TemporaryDirectory() as work:
        program, cxx, lazy, got, branch = (os.path.join(work, n) for n in ("program", "cxx", "lazy", "got", "branch"))
        id = "-Wl,--build-id"
        run("gcc", "-O2", "-g", "-w", id, source, "-o", program)
        run("g++", "-O2", "-g", "-w", id, os.path.join(programs, "symbols_cxx.cc"), "-o", cxx)
        run("gcc", "-O2", "-w", "-fcf-protection=none", "-Wl,-z,lazy", source, "-o", lazy)
        run("gcc", "-O2", "-w", "-fcf-protection=full", "-Wl,-z,lazy", "-Wl,-z,ibtplt", source, "-o", got)
        run("gcc", "-O2", "-w", "-no-pie", "-static", source, "-o", branch)
        test_debug_files(printer, work, program, cxx)
        test_stubs(printer, program, "a program")
        test_stubs(printer, lazy, "a lazily bound program")
        test_stubs(printer, got, "a program with .plt.sec")
        test_stubs(printer, cxx, "a C++ program")
        test_resolved(printer, work)
        test_split(printer, work, source)
        test_dwz(printer, work, cxx, os.path.join(programs, "symbols_cxx.cc"))
        test_no_libdw(printer, work, program)
    print("1..%d" % count)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
