"""
Points of the Test Anything Protocol, for the scripts of this folder.

Most points are exact: they hold, or something is wrong. Some compare what two clocks measured of the same thing, one in the program
and one in the recorder, or ask how long something took. A machine that takes a processor away between the two readings (a
hypervisor's does, and nothing inside tells) makes them differ by that much, however exact both are. Such a point is measured():
when it fails, the whole test is done again, a few times, and fails unless all of it once holds. What is wrong in the code is wrong
each time. An exact point that fails is final.
"""

import sys
import traceback

ATTEMPTS = 3

_count = 0
_failed = 0
_doubtful = []  # points of the present attempt that are measured, and failed: (about, why)


def note(text):
    for line in str(text).splitlines():
        print('# ' + line)
    sys.stdout.flush()


def ok(passed, about, why=None):
    """One point. @why is shown when it fails."""
    global _count, _failed
    _count += 1
    _failed += not passed
    print('%sok %d - %s' % ('' if passed else 'not ', _count, about.replace('#', '')))
    if not passed and why is not None:
        note(why)
    sys.stdout.flush()
    return bool(passed)


def measured(passed, about, why=None):
    """A point that may also fail because the machine was busy with something else; see above."""
    if passed:
        return ok(True, about)
    _doubtful.append((about, why))
    return False


def equal(got, want, about):
    return ok(got == want, about, 'got %r, wanted %r' % (got, want))


def between(got, low, high, about):
    """A measured point: a number that is near another."""
    return measured(low <= got <= high, '%s (%.4g)' % (about, got), 'got %r, wanted %r to %r' % (got, low, high))


def skip(about, reason):
    global _count
    _count += 1
    print('ok %d - %s # SKIP %s' % (_count, about, reason))
    sys.stdout.flush()


def skip_all(reason):
    print('1..0 # SKIP ' + reason)
    sys.exit(0)


def _take_doubtful(is_last):
    """What is measured and failed: said, and counted when there is no other attempt. True: try again."""
    doubtful = list(_doubtful)
    _doubtful.clear()
    for about, why in doubtful:
        if is_last:
            ok(False, about, why)
        else:
            note('measured, and not so: %s' % about)
            note(why)
    return doubtful and not is_last


def end():
    _take_doubtful(True)
    print('1..%d' % _count)
    sys.exit(1 if _failed else 0)


def _attempt(test):
    try:
        test()
    except Exception:
        ok(False, test.__name__ + ' came to its end', traceback.format_exc())


def run(*tests):
    """Calls each of the functions. One that throws is one failed point, and the rest still run."""
    wanted = sys.argv[2:]
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        before = _failed
        for left in reversed(range(ATTEMPTS)):
            _attempt(test)
            if not _take_doubtful(left == 0 or _failed > before):
                break
            note('%s: once more' % test.__name__)
    end()
