#!/usr/bin/env python3
"""Threads of every kind are sampled, from their first moment to their last."""

import tap
from cprof import Box


def check(box, what, ms, low=0.95, high=1.05, name='burn_a', spec='cpu=1000', argv=None, whole=True):
    r = box.run(*(argv or ('crowd', what, ms)), spec=spec)
    if not tap.ok(r.status == 0 and r.own_err == '', '%s: runs' % what, r.show()):
        return None
    profile, truth = r.profile(), r.truth
    tap.between(profile.within(name) / truth[name], low, high, '%s: time of the threads' % what)
    # of a thread that lives for 0.1 ms, making and ending it is the larger part, and is not sampled
    if whole:
        tap.between(profile.total() / truth['process_ns'], min(low, 0.95), max(high, 1.06),
                    '%s: time of the process' % what)
    return profile


def posix_threads():
    box = Box()
    # 8 threads of 200 ms: 1,600 samples, and at each end of a thread half a period of chance
    p = check(box, 'plain', 200)
    tap.ok(p.truncated() < 0.01, 'plain: whole stacks', '%.3f truncated' % p.truncated())
    p = check(box, 'small', 300, 0.93)
    tap.ok(p.truncated() < 0.01, 'small stacks: whole', '%.3f truncated' % p.truncated())
    # a sample costs a good part of a period at this rate; what is in the profile is not the point
    r = box.run('crowd', 'small', 100, spec='cpu=10000')
    tap.ok(r.status == 0 and r.own_err == '', 'small stacks at 10 kHz: run', r.show())
    check(box, 'leaving', 300)
    check(box, 'mainleaves', 300)
    check(box, 'destructor', 300)
    check(box, 'plain', 300, 0.85, 1.15, spec='cpu')
    box.close()


def storm():
    """
    10,000 threads of a tenth of a period: each has one sample with a probability of a tenth, some 1,000 in all. Their
    number has a standard deviation of 3 %, so 12 % are four. A perf clock does not strike before 50 us: moments that
    belong to the first steps of a thread, a tenth of it, fall into storm_main.
    """
    box = Box()
    check(box, 'storm', 10000, 0.88, 1.25, name='storm_main', whole=False)
    box.close()


def blocked_signals():
    box = Box()
    check(box, 'blocked', 300)
    # by a system call of its own, nothing can be sampled: it is said, and nothing else is wrong
    r = box.run('crowd', 'blockedraw', 300)
    profile, truth = r.profile(), r.truth
    tap.equal(r.status, 0, 'blocked by the kernel: runs')
    tap.between(profile.total() / truth['process_ns'], 0.9, 1.1, 'blocked by the kernel: the time is accounted for')
    tap.ok(profile.within('[lost: signal blocked]') + profile.within('burn_a') > 0.9 * truth['burn_a'],
           'blocked by the kernel: under a name that says so', str([s.names for s in profile.samples][:5]))
    box.close()


def raw_threads():
    """clone() by hand: the scout finds it within a fifth of a second of CPU time."""
    box = Box()
    check(box, 'clone', 1000)
    check(box, 'instruction', 2000, 0.85, 1.05)
    check(box, 'instruction', 3000, 0.85, 1.1, spec='cpu')
    box.close()


def cplusplus():
    box = Box()
    p = check(box, 'C++', 0, argv=('crowd_cxx',))
    names = {name for s in p.samples for name in s.names}
    tap.ok(any('shop' in n and '::work' in n for n in names), 'C++: names are readable', str(sorted(names))[:600])
    tap.ok(any('burner::~burner' in n for n in names), 'C++: destructors of thread_local are sampled')
    tap.ok(p.truncated() < 0.01, 'C++: whole stacks', '%.3f truncated' % p.truncated())
    box.close()


tap.run(posix_threads, storm, blocked_signals, raw_threads, cplusplus)
