#!/usr/bin/env python3
"""
Who waits and who makes them wait: the profiles "block" and "mutex" beside what programs measured themselves, and that whoever
locks and waits gets the same answers as without.
"""

import os
import sys

import tap
from cprof import LIBRARY, Box, program

RULES = ('mutex', 'rwlock', 'spin', 'cond', 'oldcond', 'sem', 'barrier', 'join', 'once', 'c11', 'futex', 'cancel', 'jump',
         'fork')
# None: preloaded and off
RULE_SPECS = (None, 'block=1ns,mutex=1', 'block,mutex', 'block=rate:100,mutex=1,block.io=on', 'cpu,wall', 'all')


def knows(word):
    """Whether this cprof has a profile of that name."""
    box = Box()
    r = box.command('run', '-p', word, '-o', os.path.join(box.root, 'o'), '--', 'true')
    box.close()
    return r.status == 0


def spoken(r):
    """Two threads, or two processes, speak as they come."""
    return r.status, sorted(r.out.splitlines()), r.own_err


def first_difference(mine, theirs):
    """The lines that only one of them has."""
    one, other = list(theirs[1]), []
    for line in mine[1]:
        if line in one:
            one.remove(line)
        else:
            other.append(line)
    return 'status %r, plain %r\nonly here: %s\nonly plain: %s\nerr: %s' % (
        mine[0], theirs[0], '\n  '.join(other[:8]), '\n  '.join(one[:8]), mine[2][:400])


def answers_of_locks():
    """Every result and errno of every function that locks or waits."""
    box = Box()
    has_block = knows('block')
    if not has_block:
        tap.skip('block and mutex', 'this cprof has no such profiles')
    names = [('lockrules', rule) for rule in RULES]
    if program('lockrules_cxx') != 'lockrules_cxx':
        names.append(('lockrules_cxx',))
    for argv in names:
        plain = spoken(box.plain(*argv))
        about = ' '.join(argv)
        tap.ok(plain[0] == 0 and len(plain[1]) > 5, about + ': runs', str(plain)[-600:])
        # what differs from run to run, by itself, would be no proof of anything
        again = spoken(box.plain(*argv))
        tap.ok(again == plain, about + ': the same twice', first_difference(again, plain))
        for spec in RULE_SPECS:
            if spec is None:
                r = box.plain(*argv, env={'LD_PRELOAD': LIBRARY})
            elif 'block' in spec and not has_block:
                continue
            else:
                r = box.run(*argv, spec=spec)
            mine = spoken(r)
            tap.ok(mine == plain, '%s, %s: the same' % (about, spec or 'preloaded'), first_difference(mine, plain))
    box.close()


GROUPS = {
    'same': (answers_of_locks,),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
