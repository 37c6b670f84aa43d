#!/usr/bin/env python3
"""Does libcprof.so export what its list says, and no more? exports.py ROOT BUILD

The list is preload/libcprof.map. What is not cprof_* takes the place of another library's function and must have its line
in preload/wrapped.def.
"""

import fnmatch
import os
import re
import subprocess
import sys

import tap

# X(result, name, (parameters), (arguments)), WAITS(code, result, name, …), ALLOCATES(result, name, …), FREES(name, …),
# VARIADIC(name) and ASKED(name)
MACRO = re.compile(r'^\s*(?:(?:X|ALLOCATES)\([^,]*,\s*|WAITS\([^,]*,[^,]*,\s*|(?:VARIADIC|ASKED|FREES)\()([A-Za-z_]\w*)',
                   re.MULTILINE)
COMMENT = re.compile(r'/\*.*?\*/|^\s*#.*?$|//.*?$', re.DOTALL | re.MULTILINE)


def read(path):
    with open(path, encoding='utf-8') as file:
        return COMMENT.sub(' ', file.read())


def listed(path):
    """The names and patterns that the version script makes global."""
    names = []
    for body in re.findall(r'\{(.*?)\}', read(path), re.DOTALL):
        section = re.search(r'global\s*:(.*?)(?:local\s*:|$)', body, re.DOTALL)
        if section:
            names += [n.strip() for n in section.group(1).split(';') if n.strip()]
    return names


def exported(library):
    text = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout
    pairs = [line.split()[:2] for line in text.splitlines() if line]
    # A is the name of a version, not of a symbol.
    return sorted({name.split('@')[0] for name, kind in pairs if kind != 'A'})


def main():
    root, build = sys.argv[1], sys.argv[2]
    script = os.path.join(root, 'preload', 'libcprof.map')
    wrapped = os.path.join(root, 'preload', 'wrapped.def')
    library = os.path.join(build, 'preload', 'libcprof.so')
    if not os.path.exists(script):
        tap.skip_all('there is no preload/libcprof.map yet')
    if not os.path.exists(library):
        tap.skip_all('libcprof.so is not built here')

    try:
        names = exported(library)
    except FileNotFoundError:
        tap.skip_all('nm is not installed')
    patterns = listed(script)
    tap.point(['%s is exported' % n for n in names
               if not any(fnmatch.fnmatchcase(n, p) for p in patterns)],
              'nothing beyond preload/libcprof.map')
    tap.point(['%s is listed and missing' % p for p in patterns
               if not any(fnmatch.fnmatchcase(n, p) for n in names)],
              'everything in preload/libcprof.map')
    if not os.path.exists(wrapped):
        tap.skip('wrapped functions', 'there is no preload/wrapped.def yet')
        tap.end()
    wraps = MACRO.findall(read(wrapped))
    tap.point(['%s is exported and has no line' % n for n in names
               if not n.startswith('cprof_') and n not in wraps] +
              ['%s has a line and is not exported' % n for n in wraps if n not in names],
              'wrapped functions are those of preload/wrapped.def')
    tap.end()


main()
