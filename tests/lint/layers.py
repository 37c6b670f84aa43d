#!/usr/bin/env python3
"""Does each file include only what its layer may? layers.py ROOT

The table is the one of CONTRIBUTING.md. A layer may always include itself; tests and bench anything.
"""

import fnmatch
import os
import sys

import sources
import tap

LAYERS = {
    'include': [],
    'core': [],
    'profiles': ['core/*', 'tracer/trace.h'],
    'tracer': ['core/*'],
    'output': ['core/*', 'tracer/drain.h'],
    'compare': ['core/why.h', 'output/*'],
    'page': ['core/clock.h', 'core/why.h', 'output/file.h', 'output/gzip.h', 'output/out.h'],
    'flame': ['core/why.h', 'output/*', 'page/*'],
    'http': ['core/*', 'page/*', 'output/file.h', 'output/gzip.h'],
    'web': ['core/why.h', 'flame/*', 'http/*', 'output/*'],
    'endpoint': ['core/*', 'output/*', 'http/*'],
    'preload': ['cprof/*', 'core/*', 'profiles/*', 'tracer/*', 'output/*', 'http/listen.h', 'endpoint/*'],
    'cli': ['cprof/*', 'compare/*', 'endpoint/*', 'flame/*', 'http/*', 'web/*', 'core/clock.h', 'core/option.h', 'core/patience.h', 'core/profile.h', 'core/session.h', 'core/why.h', 'core/segment*.h', 'core/log.h', 'output/*', 'tracer/*'],
    'viewer': ['tracer/format.h', 'http/*', 'page/*', 'compare/limit.h', 'core/checksum.h', 'core/clock.h', 'core/why.h', 'core/syscalls.h', 'output/file.h',
               'output/gzip.h', 'output/out.h', 'output/tty.h', 'output/pprof.h', 'output/profile.h', 'output/symbols.h'],
    'examples': ['cprof/*'],
}
FREE = ('tests', 'bench')
GENERATED = ('*.pb-c.h', 'core/syscall_names.inc')


def is_sibling(path, included):
    """Are these in two folders of profiles/? The list in profiles/ itself may name them all."""
    mine, theirs = path.split('/'), included.split('/')
    return mine[0] == theirs[0] == 'profiles' and len(mine) > 2 and len(theirs) > 2 and \
        mine[1] != theirs[1]


def judge(root, path, quote, included):
    """What is wrong with one include line, or None."""
    layer = path.split('/')[0]
    top = included.split('/')[0]
    is_ours = top in LAYERS or top in FREE or included.startswith('cprof/')
    if quote == '<':
        if is_ours and not included.startswith('cprof/'):
            return 'our own header is written with quotes'
        if not is_ours:
            return None
    elif '/' not in included or included.startswith('.') or not is_ours:
        return 'not written from the root'
    where = os.path.join('include', included) if included.startswith('cprof/') else included
    if not os.path.exists(os.path.join(root, where)) and not any(fnmatch.fnmatch(included, g) for g in GENERATED):
        return 'there is no such file'
    if layer in FREE:
        return None
    if is_sibling(path, included):
        return 'a profile never includes a sibling'
    if top == layer or any(fnmatch.fnmatch(included, allowed) for allowed in LAYERS[layer]):
        return None
    return layer + ' may not include it'


def main():
    root = sys.argv[1]
    problems = {layer: [] for layer in list(LAYERS) + list(FREE)}
    homeless = []
    for path in sources.files(root):
        layer = path.split('/')[0]
        if layer not in problems:
            homeless.append('%s: in no layer' % path)
            continue
        for line, quote, included in sources.includes(root, path):
            wrong = judge(root, path, quote, included)
            if wrong:
                problems[layer].append('%s:%d: %s: %s' % (path, line, included, wrong))
    for layer, found in problems.items():
        tap.point(found, 'what %s includes' % layer)
    tap.point(homeless, 'every file has a layer')
    tap.end()


main()
