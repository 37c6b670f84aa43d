#!/usr/bin/env python3
"""The public functions, from programs that are linked with the library, and the examples."""

import os
import re
import shutil
import signal
import subprocess
import time

import tap
from cprof import BUILD, LIBRARY, Box, program, wait_for
from pprof import Profile

HEADER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'include')


def run(box, what):
    r = box.plain('linked', what, box.root)
    tap.ok(r.status == 0 and r.err == '' or what == 'errors', 'linked %s: every call returns what it should' % what, r.show())
    return r


def near(got, wanted, about, part=0.06):
    tap.between(got / wanted, 1 - part, 1 + part, about)


def at(box, name):
    return Profile.read(os.path.join(box.root, name))


def late_start():
    box = Box()
    r = run(box, 'late')
    p = at(box, 'late.pb.gz')
    # These threads have no last word: what comes after their last sample is lost, and what their samples are behind by
    # then. Eight on two processors: 1 to 3 ms each of 100, and twice that when others are at work here.
    near(p.within('burn_a'), r.truth['burn_a'], 'threads that ran before cprof_start(): their time', 0.08)
    tap.measured(p.within('burn_b') < 30e6, 'nothing from before', '%d ns' % p.within('burn_b'))
    box.close()


def windows():
    box = Box()
    r = run(box, 'windows')
    first, second, truth = at(box, 'first.pb.gz'), at(box, 'second.pb.gz'), r.truth
    # 100 Hz here: 60 samples each, 0.29 periods a gap: three standard deviations are 11 %
    near(first.within('burn_a'), truth['burn_a'], 'first window: a', 0.12)
    near(first.within('burn_b'), truth['burn_b'], 'first window: b', 0.12)
    near(second.within('burn_b'), truth['burn_b'], 'second window: b', 0.12)
    near(second.within('burn_c'), truth['burn_c'], 'second window: c', 0.12)
    tap.equal((first.within('burn_c') > 25e6, second.within('burn_a') > 25e6), (False, False),
              'nothing from outside a window')
    tap.between(first.duration_ns / 1e9, truth['least_ns'] / 1e9, truth['most_ns'] / 1e9, 'duration of the first')
    box.close()


def deltas():
    box = Box()
    run(box, 'deltas')
    delta, whole = at(box, 'delta.pb.gz'), at(box, 'all.pb.gz')
    near(delta.within('burn_b'), 200e6, 'cprof_write_delta: what ran meanwhile')
    tap.measured(delta.within('burn_a') < 15e6, 'cprof_write_delta: not what ran before')
    near(whole.within('burn_a'), 300e6, 'cprof_write: all')
    near(whole.within('burn_c'), 200e6, 'cprof_write: up to now')
    box.close()


def errors():
    box = Box()
    r = run(box, 'errors')
    tap.ok(r.status == 0 and all(line.startswith('cprof: ') for line in r.err.splitlines()),
           'error codes: as the header says', r.show())
    near(at(box, 'errors.pb.gz').within('burn_a'), 50e6, 'and the file that worked', 0.5)
    box.close()


def start_and_stop():
    for what in ('stop', 'exit'):
        box = Box()
        r = run(box, what)
        p = at(box, 'out/cpu.pb.gz')
        near(p.within('burn_a'), r.truth['burn_a'], 'out=, %s: the file' % what)
        tap.equal(p.within('burn_b'), 0, 'out=, %s: nothing after' % what)
        tap.equal(os.listdir(os.path.join(box.root, 'out')), ['cpu.pb.gz'], 'out=, %s: one file' % what)
        box.close()
    box = Box()
    run(box, 'onoff')
    tap.ok(at(box, 'onoff.pb.gz').total() > 0, 'on and off 200 times: a profile')
    box.close()


def labels():
    box = Box()
    r = box.run('linked', 'labels', box.root)
    p = r.profile()
    near(p.labelled('tenant', 'acme'), 800e6, 'labels: tenant=acme')
    near(p.labelled('page', 'search'), 400e6, 'labels: page=search')
    near(p.labelled('page', 'cart'), 400e6, 'labels: page=cart, in a thread that inherits it, too')
    near(p.total() - p.labelled('tenant', 'acme'), 400e6, 'labels: none before and after')
    cart = {n for s in p.samples if s.labels.get('page') == 'cart' for n in s.names if n.startswith('burn_')}
    tap.equal(cart, {'burn_b', 'burn_c'}, 'labels: on the right functions')
    child = r.profile(r.children()[0])
    near(child.labelled('page', 'cart'), 200e6, 'labels: inherited by a child')
    path = os.path.join(r.directory, 'cpu.pb.gz')
    top = box.command('top', '-tagfocus', 'page=search', path)
    tap.ok(top.status == 0 and 'burn_a' in top.out and 'burn_c' not in top.out, 'cprof top -tagfocus', top.show())
    box.close()


COLUMNS = {'alloc_objects': 0, 'alloc_space': 1, 'inuse_objects': 2, 'inuse_space': 3}


def of_heap(p, name):
    """(allocated blocks, bytes, blocks in use, bytes) with @name anywhere on the stack."""
    return tuple(p.within(name, column) for column in range(4))


def pprof_top(path, *options):
    """What go tool pprof -top says: the lines of its table."""
    done = subprocess.run(['go', 'tool', 'pprof', '-top', '-symbolize=none', '-nodefraction=0', '-nodecount=1000', *options, path],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = done.stdout.decode().splitlines()
    return [line.split() for line in lines[next((i for i, l in enumerate(lines) if 'flat%' in l), len(lines)) + 1:]]


def heap():
    box = Box()
    r = box.plain('linked', 'heap', box.root)
    tap.ok(r.status == 0 and all('at another rate' in line for line in r.err.splitlines()),
           'linked heap: every call returns what it should', r.show())
    p, again, last = at(box, 'heap.pb.gz'), at(box, 'again.pb.gz'), at(box, 'last.pb.gz')
    tap.equal([t for t, _ in p.types], list(COLUMNS), 'heap: its columns')
    tap.equal(of_heap(p, 'keep_blocks'), (100, 100000, 100, 100000), 'heap: what is kept')
    tap.equal(of_heap(p, 'drop_blocks'), (50, 100000, 0, 0), 'heap: what was given back')
    tap.equal(of_heap(p, 'use_pool'), (41, 3060, 31, 2420), 'heap: blocks of a pool, one where a block of malloc() is')
    sizes = {(n, s.labels.get('bytes')) for s in p.samples for n in s.names[:1]}
    tap.equal(sizes, {('keep_blocks', 1000), ('drop_blocks', 2000), ('use_pool', 64), ('use_pool', 500)},
              'heap: whoever asked is the leaf, with the size of its blocks; nothing else allocates')
    tap.equal([of_heap(again, n) for n in ('main', 'keep_blocks')], [of_heap(p, n) for n in ('main', 'keep_blocks')],
              'heap: four times written, and nothing of that is in it')
    tap.equal((p.period, p.duration_ns), (1, 0), 'heap: period and duration')
    delta = at(box, 'heap_delta.pb.gz')
    tap.equal(of_heap(delta, 'keep_blocks'), (0, 0, -40, -40000), 'cprof_write_delta: what was given back meanwhile')
    tap.equal(of_heap(delta, 'drop_blocks'), (50, 100000, 0, 0), 'cprof_write_delta: what came and went')
    tap.equal(of_heap(delta, 'use_pool'), (0, 0, 0, 0), 'cprof_write_delta: nothing of what stays')
    tap.between(delta.duration_ns / 1e9, 0.99, 30, 'cprof_write_delta: its duration')
    tap.equal((of_heap(last, 'drop_blocks'), of_heap(last, 'use_pool')[2:]), ((100, 200000, 0, 0), (30, 1920)),
              'cprof_disable: nothing new, but ends are followed')
    written = Profile.read(os.path.join(box.root, 'out', 'heap.pb.gz'))
    tap.equal(([of_heap(written, n) for n in ('keep_blocks', 'drop_blocks')], os.listdir(os.path.join(box.root, 'out'))),
              ([of_heap(last, n) for n in ('keep_blocks', 'drop_blocks')], ['heap.pb.gz']), 'cprof_stop: writes the heap, once')
    heap_forms(box)
    box.close()


def heap_forms(box):
    """Text, and both forms before pprof."""
    with open(os.path.join(box.root, 'heap.txt')) as f:
        text = f.read()
    with open(os.path.join(box.root, 'allocs.txt')) as f:
        other = f.read()
    tap.equal(text.splitlines()[0], 'heap profile: 131: 102420 [191: 203060] @ heap/2', 'heap, debug=1: its first line')
    tap.ok('100: 100000 [100: 100000] @ 0x' in text and '\tkeep_blocks+0x' in text and '# HeapObjects = 131\n' in text,
           'heap, debug=1: the rest', text)
    tap.equal(other.split('# MaxRSS')[0], text.split('# MaxRSS')[0], 'allocs, debug=2: the same text')
    paths = {name: os.path.join(box.root, name) for name in ('heap.pb.gz', 'allocs.pb.gz', 'heap_delta.pb.gz', 'heap.txt')}
    raw = {name: box.command('raw', path).out for name, path in paths.items() if name != 'heap.txt'}
    tap.ok('alloc_space/bytes[dflt]' in raw['allocs.pb.gz'] and '[dflt]' not in raw['heap.pb.gz'],
           'allocs: shows what was allocated', raw['allocs.pb.gz'])
    top = {name: box.command('top', path).out for name, path in paths.items() if name != 'heap.txt'}
    tap.ok('Type: inuse_space\n' in top['heap.pb.gz'] and 'Type: alloc_space\n' in top['allocs.pb.gz'] and
           ' 97.66kB 97.64%  keep_blocks\n' in top['heap.pb.gz'], 'cprof top: bytes in use, or allocated', top['heap.pb.gz'])
    tap.ok(box.command('check', *[p for n, p in paths.items() if n != 'heap.txt']).status == 0, 'cprof check: nothing wrong')
    if shutil.which('go') is None:
        tap.skip('the heap before pprof', 'go is not installed')
        return
    for index, column in COLUMNS.items():
        option = '-sample_index=' + index
        both = [[line[:6] for line in pprof_top(paths[name], option, '-addresses')] for name in ('heap.pb.gz', 'heap.txt')]
        tap.ok(both[0] == both[1] and len(both[0]) > 3, 'pprof reads the same from both forms: %s' % index, repr(both))
        for name in raw:
            want = subprocess.run(['go', 'tool', 'pprof', '-top', option, paths[name]], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL).stdout.decode()
            tap.equal(box.command('top', option, paths[name]).out, want, 'cprof top as pprof: %s of %s' % (index, name))


def by_lock(p, kind='mutex'):
    """lock → how often it was waited for."""
    found = {}
    for s in p.samples:
        if s.labels.get('kind') == kind:
            found[s.labels.get('lock')] = found.get(s.labels.get('lock'), 0) + s.values[0]
    return found


def without_place(name):
    """A creation site without directory and line."""
    return re.sub(r' \S*?([^/ ]+):\d+$', r' \1', name) if name else name


def lock_names():
    """The same locks in a program with symbols, at fixed addresses, stripped, and with a debug file."""
    box = Box()
    for way in ('', '_nopie', '_split', '_stripped'):
        name = 'contended' + way
        if program(name) == name:
            tap.skip(name, 'not built')
            continue
        r = box.run(name, spec='block=1ms,mutex=1')
        tap.ok(r.status == 0, '%s: runs' % name, r.show())
        n, inside = r.truth['rounds'], 'table+0x%x' % r.truth['offset']
        wanted = {'g_cache': n, 'hidden': n, inside: n, 'cache_new contended.c': n}
        for file in ('block', 'mutex'):
            found = by_lock(Profile.read(os.path.join(r.directory, file + '.pb.gz')))
            if way == '_stripped':
                tap.ok(len(found) == 4 and all(re.fullmatch(name + r'\+0x[0-9a-f]+', k) for k in found) and
                       set(found.values()) == {n}, '%s: %s: file and address where there are no symbols' % (name, file), repr(found))
            else:
                tap.equal({without_place(k): v for k, v in found.items()}, wanted, '%s: %s: its locks' % (name, file))
        tap.ok(re.search(r'^cprof: \d+ waits, 0 lost in .*; next: cprof top \S*/block\.pb\.gz$', r.err, re.MULTILINE),
               '%s: the closing line' % name, r.err)
    box.close()


def sums(lines):
    """[how often, how long] of all samples in what pprof -raw prints."""
    values = [re.match(r'\s+(-?\d+)\s+(-?\d+): ', line) for line in lines]
    return [sum(int(v[i]) for v in values if v) for i in (1, 2)]


def waits():
    """cprof_write() of block and mutex, in every form, and what pprof makes of them."""
    box = Box()
    r = box.run('contended', box.root, spec='block=1ms,mutex=2,seed=1')
    tap.ok(r.status == 0, 'contended: every call returns what it should', r.show())
    text = {}
    for name, column in (('block', 1), ('mutex', 1)):
        p = at(box, name + '.pb.gz')
        tap.equal((p.types, p.period, p.duration_ns), ([('contentions', 'count'), ('delay', 'nanoseconds')], 1, 0),
                  '%s: columns, period, no duration' % name)
        for debug in (1, 2):
            with open(os.path.join(box.root, '%s.%d.txt' % (name, debug))) as f:
                text[name, debug] = f.read()
    p = at(box, 'block.pb.gz')
    idle = [s for s in p.samples if s.labels.get('idle') == 'yes']
    tap.ok(len(idle) == 1 and idle[0].labels['kind'] == 'cond' and 'worker' in idle[0].names, 'block: the pool is idle',
           repr([(s.names, s.labels, s.values) for s in p.samples]))
    first = text['block', 1].splitlines()
    tap.equal(first[:2], ['--- contention:', 'cycles/second=1000000000'], 'block, debug=1: its first lines')
    tap.ok(re.fullmatch(r'# left out as idle: %d waits, [\d.]+m?s; debug=2 has them, too' % idle[0].values[0], first[-1]),
           'block, debug=1: its last line', first[-1])
    tap.ok('"idle":"yes"' not in text['block', 1] and '"idle":"yes"' in text['block', 2], 'block: debug=2 has what is idle')
    cycles = [int(line.split()[0]) for line in text['block', 2].splitlines() if ' @ 0x' in line]
    tap.ok(cycles == sorted(cycles, reverse=True) and sum(cycles) == p.total(1), 'block, debug=2: by delay', repr(cycles))
    tap.equal(text['mutex', 1].splitlines()[:3], ['--- mutex:', 'cycles/second=1000000000', 'sampling period=2'],
              'mutex, debug=1: its first lines')
    tap.equal(text['mutex', 1], text['mutex', 2], 'mutex: nobody is idle, so debug=2 is the same')
    m = at(box, 'mutex.pb.gz')
    tap.ok(all(v % 2 == 0 for s in m.samples for v in s.values) and m.within('hold', 0) > 0, 'mutex: one in two counts two',
           repr([(s.names, s.values) for s in m.samples]))
    tap.ok(box.command('check', os.path.join(box.root, 'block.pb.gz'), os.path.join(box.root, 'mutex.pb.gz')).status == 0,
           'cprof check: nothing wrong')
    waits_in_pprof(box, p, idle[0])
    box.close()


def waits_in_pprof(box, p, idle):
    path = {name: os.path.join(box.root, name) for name in os.listdir(box.root)}
    top = box.command('top', path['block.pb.gz']).out
    tap.ok(re.search(r'^Left out as idle: .*; -idle shows it$', top, re.MULTILINE),
           'cprof top: says what it leaves out', top)
    if shutil.which('go') is None:
        tap.skip('waits before pprof', 'go is not installed')
        return

    def pprof(*arguments):
        return subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode()

    for index in ('contentions', 'delay'):
        option = '-sample_index=' + index
        tap.equal(box.command('top', '-idle', option, path['block.pb.gz']).out, pprof('-top', option, path['block.pb.gz']),
                  'cprof top -idle as pprof: %s of block' % index)
        tap.equal(box.command('top', option, path['mutex.pb.gz']).out, pprof('-top', option, path['mutex.pb.gz']),
                  'cprof top as pprof: %s of mutex, where nothing is idle' % index)
        for name in ('block', 'mutex'):
            both = [[line[:6] for line in pprof_top(path[file], option, '-addresses')]
                    for file in (name + '.pb.gz', name + '.2.txt')]
            tap.ok(both[0] == both[1] and len(both[0]) > 3, 'pprof reads the same from both forms: %s of %s' % (index, name),
                   repr(both))
    rest = sums(pprof('-raw', path['block.1.txt']).splitlines())
    tap.equal([rest[i] + idle.values[i] for i in range(2)], [p.total(i) for i in range(2)],
              'pprof reads from debug=1 what is not idle')


def header():
    """As C99 and as C++11, with every warning."""
    box = Box()
    for compiler, language, standards in (('cc', 'c', ('c99', 'c11', 'c17')), ('c++', 'c++', ('c++11', 'c++20'))):
        for standard in standards:
            for defines in ([], ['-DCPROF_SHORT_NAMES'], ['-DCPROF_WEAK', '-DCPROF_SHORT_NAMES']):
                source = '#include <cprof/cprof.h>\nint main(void) { return cprof_enable(CPROF_ALL) != 0; }\n'
                done = subprocess.run([compiler, '-x', language, '-std=' + standard, '-Wall', '-Wextra', '-pedantic',
                                       '-Werror', '-I', HEADER, '-c', '-o', os.devnull, '-'] + defines,
                                      input=source.encode(), stderr=subprocess.PIPE, cwd=box.cwd)
                tap.ok(done.returncode == 0, 'the header as %s %s' % (standard, ' '.join(defines)),
                       done.stderr.decode()[:500])
    box.close()


def weak():
    box = Box()
    for name in ('weak', 'weak_cxx'):
        if program(name) == name:
            tap.skip(name, 'not built')
            continue
        tap.equal(box.plain(name).out, '0\n', '%s: without the library, nothing' % name)
        r = box.run(name)
        tap.equal(r.out, '1\n', '%s: under cprof run, the functions are there' % name)
        tap.ok(r.profile().labelled('weak', 'yes') > 0.5 * r.profile().total(), '%s: and its labels count' % name)
    box.close()


def examples():
    box = Box()
    there = os.path.join(BUILD, 'examples')
    file = os.path.join(box.root, 'window.pb.gz')
    r = box.plain(os.path.join(there, 'cpu_window'), file)
    tap.ok(r.status == 0 and Profile.read(file).total() > 100e6, 'examples/cpu_window', r.show())
    r = box.run(os.path.join(there, 'labels'))
    tap.ok(r.status == 0 and {'gold', 'free'} <= {s.labels.get('customer') for s in r.profile().samples},
           'examples/labels', r.show())
    r = box.run(os.path.join(there, 'pool'), spec='heap=4k,seed=1')
    p = Profile.read(os.path.join(r.directory, 'heap.pb.gz'))
    tap.ok(r.status == 0 and r.out == '100000 sessions\n', 'examples/pool', r.show())
    # 6,250 samples of it: four standard deviations are 5 %
    near(p.within('open_session', COLUMNS['inuse_space']), 25.6e6, 'examples/pool: who keeps')
    near(p.within('answer_request', COLUMNS['alloc_objects']), 400000, 'examples/pool: who asked')
    tap.equal(p.within('answer_request', COLUMNS['inuse_space']), 0, 'examples/pool: and has given back')
    file = os.path.join(box.root, 'service.pb.gz')
    service = subprocess.Popen([os.path.join(there, 'service'), file], stdout=subprocess.PIPE, env=box.environment())
    tap.equal(service.stdout.readline().split()[0], b'ready:', 'examples/service: starts')
    ticks = lambda: sum(int(n) for n in open('/proc/%d/stat' % service.pid).read().rsplit(')', 1)[1].split()[11:13])
    tap.ok(wait_for(lambda: ticks() >= 0.3 * os.sysconf('SC_CLK_TCK'), 120), 'examples/service: works')
    service.send_signal(signal.SIGUSR1)
    tap.ok(wait_for(lambda: os.path.exists(file)), 'examples/service: writes when asked')
    service.send_signal(signal.SIGTERM)
    tap.equal(service.wait(120), 0, 'examples/service: ends')
    tap.ok(Profile.read(file).total() > 200e6, 'examples/service: a profile')
    service.stdout.close()
    box.close()


tap.run(late_start, windows, deltas, errors, start_and_stop, labels, heap, lock_names, waits, header, weak, examples)
