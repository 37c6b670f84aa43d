"""Points of the Test Anything Protocol, for the scripts of this folder."""

import sys

_count = 0
_failed = 0


def point(problems, about):
    """One point: passes when the list @problems is empty, else says each of them."""
    global _count, _failed
    _count += 1
    _failed += bool(problems)
    print('%sok %d - %s' % ('not ' if problems else '', _count, about))
    for problem in problems:
        print('# ' + problem)


def skip(about, reason):
    global _count
    _count += 1
    print('ok %d - %s # SKIP %s' % (_count, about, reason))


def skip_all(reason):
    print('1..0 # SKIP ' + reason)
    sys.exit(0)


def end():
    print('1..%d' % _count)
    sys.exit(1 if _failed else 0)
