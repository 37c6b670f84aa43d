#!/usr/bin/env python3
"""An allocator's own operators new and delete, and jemalloc's own functions, are counted once each, whoever calls them."""

import json
import os
import subprocess

import tap
from cprof import LIBRARY, PROGRAMS, Box, program
from pprof import Profile

ALLOCATORS = {'libc': '', 'jemalloc': 'libjemalloc.so.2', 'tcmalloc': 'libtcmalloc.so.4', 'mimalloc': 'libmimalloc.so.2'}
FORMS = ['new_plain', 'new_array', 'new_nothrow', 'new_array_nothrow', 'new_aligned', 'new_array_aligned',
         'new_aligned_nothrow', 'new_array_aligned_nothrow', 'address']
ALLOCATED, IN_USE = 0, 2  # columns


def is_there(library):
    """Not by opening it: some are only for being there from the start."""
    done = subprocess.run(['true'], env={'LD_PRELOAD': library, 'PATH': os.environ['PATH']}, stderr=subprocess.PIPE)
    return done.stderr == b''


def plugin(way):
    return os.path.join(PROGRAMS, 'plugins', 'liboperators_%s.so' % way)


def counts(profile, name):
    return profile.within(name, ALLOCATED), profile.within(name, IN_USE)


def said(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith('{')]


def check(profile, prefix, has_jemalloc, about):
    wanted = {f: (10, 3) for f in FORMS}
    if has_jemalloc:
        wanted.update({'mallocx': (10, 3), 'rallocx': (6, 3), 'xallocx': (6, 3)})
    got = {f: counts(profile, '%s_%s' % (prefix, f)) for f in wanted}
    tap.equal({f: c for f, c in got.items() if c != wanted[f]}, {}, '%s: %s: blocks allocated and in use' % (about, prefix))


def under_cprof(allocator, *argv, preload=True):
    """Runs it plainly and under cprof with @allocator: the same is said, and every block is counted."""
    box = Box()
    about = '%s, %s%s' % (' '.join(os.path.basename(str(a)) for a in argv), allocator, '' if preload else ' linked')
    env = {'LD_PRELOAD': ALLOCATORS[allocator]} if preload and ALLOCATORS[allocator] else {}
    plain = box.plain(*argv, env=env)
    r = box.run(*argv, spec='heap=1', env=env)
    tap.equal((r.status, r.out, r.own_err), (0, plain.out, plain.err), about + ': is not disturbed')
    profile = Profile.read(os.path.join(r.directory, 'heap.pb.gz'))
    for line in said(r.out):
        if line['name'] != 'nopie':  # there a weak name that nobody has is absent for good
            tap.equal(line['jemalloc'], allocator == 'jemalloc', about + ': whether it is jemalloc')
        tap.equal(line['too_much'], 'en', about + ': too much is refused as C++ has it')
        check(profile, line['name'], line['jemalloc'], about)
    box.close()


def start_late(allocator):
    """The profile starts when calls are bound, pages are read-only and threads are there."""
    box = Box()
    about = 'late, ' + allocator
    r = box.plain('operators_host', 'late', plugin('lazy'), plugin('late'), box.root + '/late',
                  env={'LD_PRELOAD': LIBRARY + ' ' + ALLOCATORS[allocator]})
    if not tap.ok(r.status == 0 and r.err == '', about + ': runs', r.show()):
        return
    lines = said(r.out)
    tap.equal([line['name'] for line in lines], ['lazy', 'lazy', 'late'], about + ': what was called')
    tap.equal(lines[1]['rights'], lines[0]['rights'], about + ': pages have the rights they had')
    profile = Profile.read(box.root + '/late/heap.pb.gz')
    for line in lines[1:]:
        check(profile, line['name'], line['jemalloc'], about)
    box.close()


def hidden():
    """Another malloc() before ours: nothing can be seen, which is said once, and nothing else changes."""
    for library in list(ALLOCATORS.values())[1:]:
        if not is_there(library):
            continue
        box = Box()
        env = {'LD_PRELOAD': library + ' ' + LIBRARY, 'CPROF': 'heap=1,out=' + box.root + '/out'}
        r = box.plain('operators_cxx_now', env=env, timeout=20)
        tap.equal(r.status, 0, library + ' before us: runs')
        tap.ok(r.err.count('\n') == 1 and library in r.err and 'before libcprof.so' in r.err, library + ': is named', r.show())
        tap.ok(not os.path.exists(box.root + '/out'), library + ': no profile is written')
        env['CPROF'] = 'cpu=1000,heap,threadcreate,out=' + box.root + '/out'
        r = box.plain('operators_cxx_now', env=env, timeout=20)
        tap.ok(r.status == 0 and r.err.count(library) == 1, library + ': once, too, when others go on', r.show())
        tap.equal(sorted(os.listdir(box.root + '/out')), ['cpu.pb.gz', 'threadcreate.pb.gz'], library + ': and they do')
        box.close()
    # linked to a fixed address, malloc() is a stub in the program itself
    box = Box()
    r = box.run('operators_nopie', spec='heap=1')
    tap.equal((r.status, r.own_err), (0, ''), 'a program that takes the address of malloc(): runs')
    tap.equal(counts(Profile.read(os.path.join(r.directory, 'heap.pb.gz')), 'main'), (1, 1), 'and is seen')
    box.close()


def storm():
    """Started while other threads open and close libraries: nothing breaks, and what is bound by then is seen."""
    box = Box()
    for i in range(15):
        out = '%s/%d' % (box.root, i)
        r = box.plain('operators_host', 'storm', plugin('lazy'), plugin('late'), out, env={'LD_PRELOAD': LIBRARY + ' libjemalloc.so.2'})
        if r.status != 0 or r.err != '':
            break
        check(Profile.read(out + '/heap.pb.gz'), 'lazy', True, 'storm %d' % i)
    tap.ok(r.status == 0 and r.err == '', 'storm: runs', r.show())
    box.close()


def main():
    for allocator, library in ALLOCATORS.items():
        if library and not is_there(library):
            tap.skip(allocator, 'it is not installed')
            continue
        for way in ('lazy', 'now', 'nopie'):
            under_cprof(allocator, 'operators_cxx_' + way)
        under_cprof(allocator, 'operators_host', 'lazy', plugin('lazy'))
        under_cprof(allocator, 'operators_host', 'now', plugin('now'))
        start_late(allocator)
    hidden()
    if is_there(ALLOCATORS['jemalloc']):
        storm()
    if os.path.exists(program('operators_cxx_jemalloc')):
        under_cprof('jemalloc', 'operators_cxx_jemalloc', preload=False)
    tap.end()


main()
