#!/usr/bin/env python3
"""Does code that runs in a signal handler call only what it may? sig_symbols.py BUILD

The file name *_sig.c is the promise, this is the check: whatever such an object leaves undefined must be defined in
another *_sig.o, be data of ours, or be in the list below.
"""

import os
import subprocess
import sys

import tap

# Of libc, without a lock, an allocation or a wait; signal-safety(7) and their sources say so.
ALLOWED = {
    'clock_gettime',     # the vdso, else a system call
    'syscall',
    'timer_settime',     # a system call and nothing else for timers with SIGEV_THREAD_ID
    '__errno_location',  # returns an address in static TLS
    '__stack_chk_fail',  # ends a program whose stack is overwritten already
    '_GLOBAL_OFFSET_TABLE_',
}
# Not __tls_get_addr: it allocates on the first use of a library's block in a thread.
# In preload/bytes.c: the C library's use registers that nobody has saved around a system call.
BYTES = {'memcpy', 'memset', 'memcmp', 'memmove', 'memchr', 'strlen', 'strcmp'}
SANITIZERS = ('__asan_', '__ubsan_', '__tsan_', '__msan_', '__sanitizer_', '__gcov_', '__llvm_')
DATA = 'BbDdRrSsGgCVv'


def objects(build):
    """(all objects of the product, those of signal context)."""
    found = []
    for folder, below, names in os.walk(build):
        below[:] = sorted(d for d in below if d not in ('tests', 'bench', 'examples'))
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith('.c.o')]
    return found, [path for path in found if path.endswith('_sig.c.o')]


def symbols(path, *flags):
    """{name: type letter}"""
    text = subprocess.run(['nm', '--format=posix', *flags, path], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout
    pairs = (line.split() for line in text.splitlines() if line)
    return {pair[0]: pair[1] for pair in pairs}


def main():
    build = sys.argv[1]
    every, sig = objects(build)
    if not sig:
        tap.skip_all('no *_sig.c is built here')
    try:
        undefined = {path: symbols(path, '--undefined-only') for path in sig}
    except FileNotFoundError:
        tap.skip_all('nm is not installed')
    if any(name.startswith(SANITIZERS) for names in undefined.values() for name in names):
        tap.skip_all('a sanitizer or coverage is built in')

    known = ALLOWED | BYTES
    for path in every:
        for name, kind in symbols(path, '--defined-only', '--extern-only').items():
            if path in undefined or kind in DATA:
                known.add(name)
    for path in sig:
        source = os.path.basename(path)[:-2]
        tap.point(['%s calls %s' % (source, name) for name in sorted(undefined[path])
                   if name not in known], '%s keeps to signal context' % source)
    library = symbols(os.path.join(build, 'preload', 'libcprof.so.0'), '--dynamic', '--undefined-only')
    tap.point(sorted(BYTES & {name.split('@')[0] for name in library}), 'libcprof.so has these functions of its own')
    tap.end()


main()
