#!/usr/bin/env python3
"""An allocator's own operators new and delete, and jemalloc's own functions, are counted once each, whoever calls them."""

import ctypes.util
import json
import os

import tap
from cprof import LIBRARY, PROGRAMS, Box, program
from pprof import Profile

ALLOCATORS = {'libc': '', 'jemalloc': 'libjemalloc.so.2', 'tcmalloc': 'libtcmalloc.so.4', 'mimalloc': 'libmimalloc.so.2'}
FORMS = ['new_plain', 'new_array', 'new_nothrow', 'new_array_nothrow', 'new_aligned', 'new_array_aligned',
         'new_aligned_nothrow', 'new_array_aligned_nothrow', 'address']
ALLOCATED, IN_USE = 0, 2  # columns


def is_there(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


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
    if os.path.exists(program('operators_cxx_jemalloc')):
        under_cprof('jemalloc', 'operators_cxx_jemalloc', preload=False)
    tap.end()


main()
