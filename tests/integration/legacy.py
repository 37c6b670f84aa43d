#!/usr/bin/env python3
"""
Profiles in the formats that were before profile.proto: cprof raw shows what go tool pprof -raw does, of files made here for each
rule and of what gperftools and jemalloc write. What is damaged gets a sentence.
"""

import glob
import os
import random
import re
import shutil
import struct

import tap
from cprof import PROGRAMS, Box
from pprof import Profile

box = Box()
GO = shutil.which('go')
env = {'TZ': 'UTC', 'PPROF_TMPDIR': box.root, 'HOME': box.root, 'PPROF_BINARY_PATH': box.root}
LIBRARIES = '/usr/lib/x86_64-linux-gnu/'
MAPS = ('00400000-00408000 r-xp 00000000 08:01 77 /bin/prog\n00608000-00609000 rw-p 00008000 08:01 77 /bin/prog\n'
        '7f0000000000-7f0000010000 r-xp 00002000 08:01 78 /lib/libx.so.6\n'
        '7f0000010000-7f0000020000 r-xp 00012000 08:01 78 /lib/libx.so.6\n7f1000000000-7f1000002000 r-xp 00000000 00:00 0 [vdso]\n')


def at(name):
    return os.path.join(box.root, name)


def write(name, data):
    with open(at(name), 'wb') as f:
        f.write(data.encode() if isinstance(data, str) else data)
    return at(name)


def same(path, about):
    """What pprof makes of the file, to the byte."""
    r = box.command('raw', '-symbolize=none', path)
    if GO is None:
        tap.skip(about, 'there is no go')
        return
    want = box.plain(GO, 'tool', 'pprof', '-symbolize=none', '-raw', path, env=env)
    if not tap.equal(r.status != 0, want.status != 0, '%s: both read it, or neither' % about):
        tap.note(r.err + want.err)
    elif r.status == 0:
        got, want = r.out.splitlines(), want.out.splitlines()
        odd = [(a, b) for a, b in zip(got + [''] * len(want), want + [''] * len(got)) if a != b]
        tap.equal(odd[:3], [], '%s: all %d lines as pprof has them' % (about, len(want)))


def cpu_profile(samples, width=8, order='<', period=10000, java=0, end=True, maps=MAPS):
    code = {4: 'I', 8: 'Q'}[width]
    words = [0, 3, java, period, 0]
    for count, stack in samples:
        words += [count, len(stack)] + stack
    if end:
        words += [0, 1, 0]
    return struct.pack('%s%d%s' % (order, len(words), code), *words) + maps.encode()


def cpu():
    plain = [(3, [0x400123, 0x400200, 0x400300]), (1, [0x7f0000001111 % (1 << 32), 0x400300]), (2, [0x400123])]
    for width in (4, 8):
        for order in '<>':
            same(write('cpu', cpu_profile(plain, width, order)), 'words of %d bytes, %s' % (width, order))
    same(write('cpu', cpu_profile([(1, [0x7f0000001111, 0x7f0000010005, 0x400300]), (4, [0x7f1000000001])])), 'libraries')
    same(write('cpu', cpu_profile(plain, end=False, maps='')), 'without an end')
    signal = [(1, [0x400100 + i, 0x401111, 0x400400 + i, 0x400500]) for i in range(40)]
    same(write('cpu', cpu_profile(signal)), 'the signal\'s frame in all stacks')
    same(write('cpu', cpu_profile(signal + [(1, [0x400100, 0x400900])])), 'in all but one of 41')
    same(write('cpu', cpu_profile(signal + [(1, [0x400100, 0x400900])] * 2)), 'in all but two of 42')
    same(write('cpu', cpu_profile([(1, [a, 0x401111, 0x402222, b]) for a, b in ((1, 2), (3, 4))])), 'two frames of signals')
    same(write('cpu', cpu_profile([(1, [0x400100, 0x400101, 0x400200]), (2, [0x400105, 0x400300, 0x400200])])), 'the leaf twice')
    same(write('cpu', cpu_profile([])), 'no samples')
    r = random.Random(5)
    for i in range(6):
        samples = [(r.randint(1, 99), [r.choice((0x400000, 0x7f0000000000, 0x7f0000018000, 0x123, 0x7e0000000000)) + r.randint(0, 0x900)
                                       for _ in range(r.randint(1, 9))]) for _ in range(r.randint(1, 80))]
        same(write('cpu', cpu_profile(samples)), 'at random, %d samples' % len(samples))


HEAP = ('  3:  4096 [   7:   9216] @ 0x00400123 0x400200\n# a comment\n\n  1:   100 [   1:    100] @ 0x7f0000001111 0x400300\n'
        '  0:     0 [   4:     64] @ 0x400123\n')


def heap():
    for kind in ('heap_v2/524288', 'heapz_v2/1024', 'heap/1048576', 'heapprofile', 'heap_v2/1', 'heap_v2', 'growthz', 'growth',
                 'fragmentation', 'heap', 'heapstats', 'heap_v2/0'):
        text = 'heap profile:     4:     4196 [    12:     9380] @ %s\n' % kind + HEAP
        same(write('heap', text + '\nMAPPED_LIBRARIES:\n' + MAPS), kind)
    same(write('heap', 'heap profile: 1: 2 [ 1: 2] @ heapprofile\n1: 2 [1: 2] @ 0x400123\nMAPPED_LIBRARIES:\n' + MAPS),
         'nothing was freed: one pair of columns')
    same(write('heap', 'heap profile: 1: 2 [ 0: 0] @ heap_v2/512\n-3: -300 [0: 0] @ 0x400123\n'), 'below zero')
    same(write('heap', 'heap profile: 1: 2 [ 1: 2] @ heapprofile\n0: 2 [1: 2] @ 0x400123\n'), 'bytes of no blocks')
    same(write('heap', 'heap profile: 1: 2 [ 1: 2] @ heapprofile\n1: 2 [1: 2] @ 0x1ffffffffffffffff\n'), 'an address that is too long')
    same(write('heap', 'heap profile: 1: 2 [ 1: 2] @ heapprofile\nwhat is this\n'), 'a line that is none')
    same(write('heap', 'heap profile: 1: 2 [ 1: 2] @ heapprofile\n1: 99999999999999999999 [1: 2] @ 0x1\n'), 'a number that is too large')


def waits():
    samples = '  1200 3 @ 0x400123 0x400200\n 70 1 @ 0x7f0000001111 0x400300\n#\t0x400122\tmain.f+0x1\t/x.go:3\n'
    for first in ('--- contentionz 1 ---', '--- contention:', '--- mutex:'):
        text = first + '\ncycles/second=2000000000\nsampling period=100\nms since reset=5000\ndiscarded samples=3\n' + samples
        same(write('waits', text + '--- Memory map: ---\n' + MAPS), first)
    same(write('waits', '--- mutex:\n' + samples), 'without attributes')
    same(write('waits', '--- contention:\ncycles/second = 3000000000\n' + samples), 'blanks around the sign')
    same(write('waits', '--- contention:\nformat = java\n' + samples), 'another format')
    same(write('waits', '--- contention:\n1 2\n'), 'no addresses')


def counts():
    same(write('counts', 'goroutine profile: total 9\n5 @ 0x400123 0x400200\n#\t0x400122\tmain.f+0x1\t/x.go:3\n\n4 @ 0x400300\n'), 'goroutines')
    same(write('counts', '\n# first\nthreadcreate profile: total 1\n1 @ 0x400123\n--- Memory map: ---\n' + MAPS), 'threads')
    same(write('counts', 'goroutine profile: total 9\nfive @ 0x400123\n'), 'no number')


def maps():
    start = 'heap profile: 1: 2 [ 1: 2] @ heapprofile\n1: 2 [1: 2] @ 0x400123 0x7f0000000800 0x7f0000010001 0x30 0x0\nMAPPED_LIBRARIES:\n'
    for about, text in (
            ('program behind libraries', '7f0000000000-7f0000001000 r-xp 0 08:01 1 /lib/a.so\n400000-401000 r-xp 0 08:01 1 /bin/x\n'),
            ('names of libraries', '400000-401000 r-xp 0 08:01 1 /a.so.b/x_so\n7f0000000000-7f0000001000 r-xp 0 08:01 1 /lib/a.so_1\n'),
            ('a remapped start', '00401000-00402000 r-xp 00001000 08:01 77 /bin/prog\n'),
            ('the first part is missing', '7f0000001000-7f0000002000 r-xp 00001000 08:01 77 /bin/prog\n'),
            ('huge pages', '400000-600000 r-xp 0 00:00 0 /anon_hugepage\n600000-700000 r-xp 00200000 08:01 77 /bin/prog\n'),
            ('brief', '0x400000-0x401000: /bin/prog (@1000) abcdef12\n7f0000000000-7f0000020000 /lib/libx.so\n'),
            ('brief, with rights', '400000-401000 r-xp /bin/prog\n7f0000000000-7f0000020000 rw-p /data\n'),
            ('in parts', '400000-400100 r-xp 0 08:01 1 /bin/x\n400100-401000 r-xp 100 08:01 1 /bin/x\n401000-402000 r-xp 0 08:01 1\n'),
            ('nonsense', 'zzz\n\n-\nx-y r-xp\n'), ('deleted', '400000-401000 r-xp 0 08:01 1 /bin/x (deleted)\n')):
        same(write('maps', start + text), about)


def recorded():
    """By the libraries themselves."""
    for library in ('libprofiler.so.0', 'libtcmalloc.so.4', 'libjemalloc.so.2'):
        if not os.path.exists(LIBRARIES + library):
            tap.skip(library, 'it is not here')
    burn = os.path.join(PROGRAMS, 'burn')
    if os.path.exists(LIBRARIES + 'libprofiler.so.0'):
        box.plain(burn, 'split', 50, 0.3, env={'LD_PRELOAD': LIBRARIES + 'libprofiler.so.0', 'CPUPROFILE': at('gperf')})
        same(at('gperf'), 'gperftools\' CPU profile')
        box.command('symbolize', '-o', at('named.pb.gz'), at('gperf'))
        p = Profile.read(at('named.pb.gz'))
        tap.equal({s.names[-1] for s in p.samples if 'burn_a' in s.names}, {'_start'}, 'with names: from the first function on')
        r = box.command('check', at('named.pb.gz'))
        tap.equal(r.status, 0, 'it is sound')
    if os.path.exists(LIBRARIES + 'libtcmalloc.so.4'):
        box.plain('ls', '/', env={'LD_PRELOAD': LIBRARIES + 'libtcmalloc.so.4', 'HEAPPROFILE': at('tc')})
        for path in glob.glob(at('tc*.heap')):
            same(path, 'gperftools\' heap profile')
    if os.path.exists(LIBRARIES + 'libjemalloc.so.2'):
        box.plain('ls', '-lR', '/usr/share/doc', env={'LD_PRELOAD': LIBRARIES + 'libjemalloc.so.2', 'MALLOC_CONF':
                                                      'prof:true,lg_prof_sample:10,prof_final:true,prof_prefix:' + at('je')})
        for path in glob.glob(at('je*.heap')):
            jemalloc(path)


def jemalloc(path):
    """As jeprof has it, which prints what it adds up rounded."""
    if shutil.which('jeprof') is None:
        tap.skip('jemalloc\'s heap profile', 'there is no jeprof')
        return
    r = box.command('merge', '-o', at('je.pb.gz'), path)
    p = Profile.read(at('je.pb.gz'))
    for column, option in enumerate(('--inuse_objects', '--inuse_space')):
        text = box.plain('jeprof', '--text', '--show_bytes', option, '/bin/ls', path).out
        total = re.search(r'^Total: (\d+)', text, re.MULTILINE)
        each = len(p.samples)  # it rounds nothing down until the end
        got = sum(s.values[column] for s in p.samples)
        tap.ok(total is not None and 0 <= int(total[1]) - got <= each, 'jemalloc\'s %s: %d, as jeprof has them' % (option[2:], got),
               '%s: %r' % (text[:200], got))


def jemalloc_made():
    text = ('heap_v2/1\n  t*: 3: 400 [5: 900]\n  t0: 3: 400 [5: 900]\n@ 0x400124 0x400201\n  t*: 2: 300 [4: 800]\n  t0: 1: 100 [2: 400]\n'
            '  t1: 1: 200 [2: 400]\n@ 0x7f0000001112\n  t*: 1: 100 [1: 100]\n  t0: 1: 100 [1: 100]\n\nMAPPED_LIBRARIES:\n' + MAPS)
    r = box.command('merge', '-o', at('je.pb.gz'), write('je', text))
    p = Profile.read(at('je.pb.gz'))
    tap.equal([(s.values, s.names, s.labels) for s in p.samples],
              [([4, 800, 2, 300], ['0x400123', '0x400200'], {'bytes': 150}), ([1, 100, 1, 100], ['0x7f0000001111'], {'bytes': 100})],
              'jemalloc\'s: what all threads have of each stack')
    tap.equal([m['file'] for m in p.mappings], ['/bin/prog', '/lib/libx.so.6'], 'and its mappings')


def damaged():
    """One sentence each, that names the file and where in it."""
    good = cpu_profile([(3, [0x400123, 0x400200, 0x400300])] * 3, maps='')
    texts = 'heap profile: 1: 2 [ 1: 2] @ heap_v2/512\n1: 2 [1: 2] @ 0x400123\n'
    for about, data in (('cut in a stack', good[:-40]), ('2^60 times', cpu_profile([(1 << 60, [1])])),
                        ('a stack of 2^40', good[:40] + struct.pack('<QQ', 1, 1 << 40)),
                        ('a period of 2^62', cpu_profile([(1, [1])], period=1 << 62)), ('Java\'s', cpu_profile([], java=1)),
                        ('heap, cut in a line', texts + '1: 2 [1:'), ('contention, cut', '--- mutex:\n12 3'),
                        ('contention of 2^62', '--- mutex:\nsampling period=4611686018427387904\n1 4 @ 0x1\n'),
                        ('jemalloc\'s, cut', 'heap_v2/1\n  t*: 3: 400 [5: 900]\n@ 0x400124\n'),
                        ('jemalloc\'s, twice', 'heap_v2/1\n  t*: 3: 400 [5: 900]\n  t*: 3: 400 [5: 900]\n')):
        path = write('damaged', data)
        for command in (['top'], ['merge'], ['export', '-format=folded'], ['symbolize']):
            r = box.command(*command, path)
            if not (r.status == 1 and r.out == '' and r.err.startswith('cprof: %s: ' % command[0]) and r.err.count('\n') == 1
                    and path in r.err):
                tap.ok(False, '%s: %s' % (command[0], about), r.show())
        tap.ok(True, '%s: %s' % (about, r.err.strip().split('damaged: ')[-1]))
    r = box.command('check', write('heap', texts))
    tap.ok(r.status == 3 and 'cprof merge' in r.err, 'check says how to make a profile of it', r.show())


tap.run(cpu, heap, waits, counts, maps, jemalloc_made, recorded, damaged, box.close)
