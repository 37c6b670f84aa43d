"""Points of the Test Anything Protocol, for the scripts of this folder."""

import sys
import traceback

_count = 0
_failed = 0


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


def equal(got, want, about):
    return ok(got == want, about, 'got %r, wanted %r' % (got, want))


def between(got, low, high, about):
    return ok(low <= got <= high, '%s (%.4g)' % (about, got), 'got %r, wanted %r to %r' % (got, low, high))


def skip(about, reason):
    global _count
    _count += 1
    print('ok %d - %s # SKIP %s' % (_count, about, reason))
    sys.stdout.flush()


def skip_all(reason):
    print('1..0 # SKIP ' + reason)
    sys.exit(0)


def end():
    print('1..%d' % _count)
    sys.exit(1 if _failed else 0)


def run(*tests):
    """Calls each of the functions. One that throws is one failed point, and the rest still run."""
    wanted = sys.argv[2:]
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        try:
            test()
        except Exception:
            ok(False, test.__name__ + ' came to its end', traceback.format_exc())
    end()
