#!/usr/bin/env python3
"""Programs that the compilers' sanitizers watch: they start, find what they find without us, and are profiled."""

import os
import re
import shutil
import subprocess

import tap
from cprof import LIBRARY, Box, program

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
SOURCE = os.path.join(ROOT, 'tests', 'programs', 'sanitized.c')


def build(box, compiler, name, *flags):
    """The program, or None where compiler or sanitizer is missing."""
    path = os.path.join(box.root, name)
    if shutil.which(compiler) is None:
        return None
    done = subprocess.run([compiler, '-D_GNU_SOURCE', '-g', '-O1', '-I', ROOT, '-o', path, SOURCE, *flags, '-lpthread'],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return path if done.returncode == 0 else None


def same(text):
    """A report without what differs from run to run: numbers of processes, addresses, our frames, clocks."""
    lines = [line for line in text.splitlines() if not re.match(r'\s+#\d+ ', line) and not line.startswith('0x')]
    text = re.sub(r'0x[0-9a-f]+|\d+', 'N', '\n'.join(lines))
    # of two threads in a race, which one came second
    return re.sub(r'\bby (thread TN|main thread):', 'by a thread:', text)


def watched(box, path, about, what='none', env=None):
    plain, r = box.plain(path, what, env=env), box.run(path, what, env=env)
    # the bytes around a fault depend on where the blocks lie
    head = lambda text: same(text).split('Shadow bytes')[0]
    tap.equal((r.status, same(r.out), head(r.own_err)), (plain.status, same(plain.out), head(plain.err)),
              about + ': the same')
    if not tap.ok(r.closing is not None, about + ': recorded', r.show()):
        return
    p = r.profile()
    for name in ('burn_main', 'burn_thread'):
        truly = [int(ns) for ns in re.findall(r'"%s": (\d+)' % name, r.out)]
        if tap.equal(len(truly), 1, '%s: says how long %s ran' % (about, name)):
            tap.between(p.within(name) / truly[0], 0.9, 1.1, '%s: %s' % (about, name))
    # whoever else was at work may be so still: the program that a runtime starts to name places, say
    own = [child for child in r.children() if child.rsplit('.', 1)[0] == os.path.basename(path)]
    burnt = [r.profile(child).within('burn_child') / 1e6 / 100 for child in own]
    tap.measured(len([share for share in burnt if share > 0.8]) == 1, about + ': its child is recorded', (r.children(), burnt))


def locking(box, path, about):
    """The checker of lock orders sees the locks that the program takes, not what we try."""
    plain = box.plain(path, 'order')
    tap.ok('lock-order-inversion' in plain.err, about + ': finds a lock order', plain.show())
    for spec in ('block=1ns,mutex=1', 'wall'):
        r = box.run(path, 'order', spec=spec)
        # a runtime may leave no room for wall, which says so
        err = '\n'.join(line for line in r.own_err.splitlines() if not line.startswith('cprof: '))
        tap.equal((r.status, same(r.out), same(err)), (plain.status, same(plain.out), same(plain.err)),
                  '%s, a lock order, %s: the same' % (about, spec))


def all_of_them():
    finds = {'address': 'heap', 'undefined': 'overflow', 'thread': 'race', 'leak': 'leak',
             'address,undefined': 'overflow', 'memory': None}
    box = Box()
    for compiler in ('gcc', 'clang'):
        for sanitizer, defect in finds.items():
            about = '%s -fsanitize=%s' % (compiler, sanitizer)
            path = build(box, compiler, 'p-%s-%s' % (compiler, sanitizer), '-fsanitize=' + sanitizer)
            if path is None or box.plain(path).status != 3:
                tap.skip(about, 'not to be had here')
                continue
            watched(box, path, about)
            if defect:
                watched(box, path, '%s, %s' % (about, defect), defect)
            if sanitizer == 'thread':
                locking(box, path, about)
    tap.equal(box.leftovers(), [], 'nothing left behind')
    box.close()


def other_ways():
    """The runtime inside, as a library of clang's, for a program that brings options of its own, preloaded by hand."""
    box = Box()
    if build(box, 'gcc', 'shared', '-fsanitize=address') is None:
        tap.skip('ways of the address sanitizer', 'not to be had here')
        box.close()
        return
    ways = {'static': ('gcc', ['-static-libasan'], {}), 'own': ('gcc', ['-DOWN_OPTIONS'], {}),
            'ownenv': ('gcc', ['-DOWN_OPTIONS'], {'ASAN_OPTIONS': 'exitcode=42:detect_leaks=0'})}
    if shutil.which('clang'):
        where = subprocess.run(['clang', '-print-file-name=libclang_rt.asan-x86_64.so'], stdout=subprocess.PIPE).stdout
        where = {'LD_LIBRARY_PATH': os.path.dirname(where.decode().strip())}
        ways['clangshared'] = ('clang', ['-shared-libasan'], where)
        ways['clangown'] = ('clang', ['-shared-libasan', '-DOWN_OPTIONS'], where)
        ways['clangstaticown'] = ('clang', ['-DOWN_OPTIONS'], {})
    for name, (compiler, flags, env) in ways.items():
        path = build(box, compiler, name, '-fsanitize=address', *flags)
        if path is None or box.plain(path, env=env).status != 3:
            tap.skip(name, 'not to be had here')
            continue
        watched(box, path, name, env=env)
        watched(box, path, name + ', heap', 'heap', env=env)

    shared = os.path.join(box.root, 'shared')
    script = '%s heap 2>/dev/null; echo $?; echo "<$ASAN_OPTIONS>"' % shared
    plain, r = box.plain('sh', '-c', script), box.run('sh', '-c', script)
    tap.equal((r.status, same(r.out)), (plain.status, same(plain.out)), 'a child that is watched: the same')
    tap.ok(len(r.children()) >= 2, 'a child that is watched: recorded', r.children())
    # a child that is not watched does not become so
    r = box.run(shared, 'none')
    script = 'grep -c libasan /proc/self/maps; exit 0'
    tap.equal(box.run('sh', '-c', script).out, '0\n', 'the runtime goes into nobody else')
    libasan = subprocess.run(['gcc', '-print-file-name=libasan.so'], stdout=subprocess.PIPE).stdout.decode().strip()
    env = {'LD_PRELOAD': os.path.realpath(libasan), 'ASAN_OPTIONS': 'detect_leaks=0'}
    plain, r = box.plain('burn', 'split', 50, '0.2', env=env), box.run('burn', 'split', 50, '0.2', env=env)
    tap.equal((plain.status, r.status, r.own_err), (0, 0, plain.err), 'a runtime preloaded by hand: the same')
    tap.ok(r.closing is not None, 'a runtime preloaded by hand: recorded', r.show())
    out = os.path.join(box.root, 'by-hand')
    r = box.plain(shared, 'none', env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu=1000,out=' + out})
    tap.ok(r.status == 3 and os.path.exists(os.path.join(out, 'cpu.pb.gz')), 'preloaded by hand, without a launcher',
           r.show())
    box.close()


tap.run(all_of_them, other_ways)
