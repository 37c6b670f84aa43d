#!/usr/bin/env python3
"""Does libcprof.so export what its list says, and no more? exports.py ROOT BUILD

What is not cprof_* takes the place of another library's function and must have its line in preload/wrapped.def. Only those
that the C library has twice have a version.
"""

import fnmatch
import os
import re
import subprocess
import sys

import tap

# X(result, name, (parameters), (arguments)), WAITS(code, result, name, …), ALLOCATES(result, name, …), FREES(name, …),
# VARIADIC(name) and ASKED(name)
MACRO = re.compile(r'^\s*(?:(?:X|ALLOCATES)\([^,]*,\s*|WAITS\([^,]*,[^,]*,\s*|(?:VARIADIC|ASKED|FREES|DOES)\()([A-Za-z_]\w*)',
                   re.MULTILINE)
TWOFOLD = {'pthread_cond_wait@GLIBC_2.2.5', 'pthread_cond_timedwait@GLIBC_2.2.5', 'pthread_cond_wait@@GLIBC_2.3.2',
           'pthread_cond_timedwait@@GLIBC_2.3.2', 'pthread_cond_signal@GLIBC_2.2.5', 'pthread_cond_broadcast@GLIBC_2.2.5',
           'pthread_cond_signal@@GLIBC_2.3.2', 'pthread_cond_broadcast@@GLIBC_2.3.2',
           'posix_spawn@@GLIBC_2.15', 'posix_spawnp@@GLIBC_2.15',
           'pthread_cond_init@@GLIBC_2.3.2', 'pthread_cond_destroy@@GLIBC_2.3.2'}
COMMENT = re.compile(r'/\*.*?\*/|^\s*#.*?$|//.*?$', re.DOTALL | re.MULTILINE)


def read(path):
    with open(path, encoding='utf-8') as file:
        return COMMENT.sub(' ', file.read())


def exported(library):
    text = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout
    pairs = [line.split()[:2] for line in text.splitlines() if line]
    # A is the name of a version, not of a symbol.
    return sorted({name for name, kind in pairs if kind != 'A'})


def main():
    root, build = sys.argv[1], sys.argv[2]
    wrapped = os.path.join(root, 'preload', 'wrapped.def')
    library = os.path.join(build, 'preload', 'libcprof.so')
    if not os.path.exists(library):
        tap.skip_all('libcprof.so is not built here')

    try:
        versioned = exported(library)
    except FileNotFoundError:
        tap.skip_all('nm is not installed')
    names = sorted({n.split('@')[0] for n in versioned})
    wraps = MACRO.findall(read(wrapped))
    tap.point(['%s is exported and has no line' % n for n in names
               if not n.startswith('cprof_') and n not in wraps],
              'nothing beyond cprof_* and preload/wrapped.def')
    tap.point(['%s has a line and is not exported' % n for n in wraps if n not in names],
              'everything in preload/wrapped.def')
    with_version = {n for n in versioned if '@' in n}
    tap.point(['%s: wanted %s' % (' '.join(sorted(with_version ^ TWOFOLD)), ' '.join(sorted(TWOFOLD)))]
              if with_version and with_version != TWOFOLD else [],
              'versions only where the C library has two')
    tap.end()


main()
