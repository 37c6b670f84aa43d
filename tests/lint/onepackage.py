#!/usr/bin/env python3
"""Is each package known to one file only? onepackage.py ROOT

So that another zlib, unwinder or web server is a change in one place. Tests and bench use what they like.
"""

import fnmatch
import sys

import sources
import tap

# Package: (headers, files that may include them, how many of these files may do so)
PACKAGES = {
    'zlib': (['zlib.h', 'zconf.h'], ['output/gzip.c'], 1),
    'protobuf-c': (['protobuf-c/*', '*.pb-c.h'], ['output/pprof_*.c', '*.pb-c.[ch]'], None),
    'libdw': (['elfutils/*', 'libelf.h', 'gelf.h'], ['output/symbols*.c'], 1),
    'libunwind': (['libunwind*.h', 'unwind.h'], ['core/walk_libunwind.c'], 1),
    'libiberty': (['demangle.h', 'libiberty/*', 'libiberty.h'], ['output/demangle.c'], 1),
    'lz4': (['lz4*.h'], ['tracer/writer.c', 'viewer/reader.c'], None),
    'libmicrohttpd': (['microhttpd.h'], ['http/carrier.c', 'examples/microhttpd.c'], None),
    'jemalloc': (['jemalloc/*'], [], 0),
}


def main():
    root = sys.argv[1]
    users = {package: {} for package in PACKAGES}
    for path in sources.files(root):
        if path.startswith(('tests/', 'bench/')):
            continue
        for line, _, included in sources.includes(root, path):
            for package, (headers, _, _) in PACKAGES.items():
                if any(fnmatch.fnmatch(included, header) for header in headers):
                    users[package].setdefault(path, '%s:%d: %s' % (path, line, included))
    for package, (_, allowed, most) in PACKAGES.items():
        found = users[package]
        problems = ['%s: belongs to %s' % (where, ', '.join(allowed) or 'no file of ours')
                    for path, where in found.items()
                    if not any(fnmatch.fnmatch(path, pattern) for pattern in allowed)]
        if most is not None and len(found) > max(most, len(problems)):
            problems += ['%s: %d files are one too many' % (where, len(found))
                         for where in found.values()]
        tap.point(problems, package + ' has one place')
    tap.end()


main()
