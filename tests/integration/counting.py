#!/usr/bin/env python3
"""
Shares and totals against the CPU clocks of the program itself.

At 1000 Hz ten seconds give 10,000 samples. Moments are half to one and a half periods apart and slices last several
periods, so a share errs by a fraction of a slice at each change: far below 1 point, which is what we promise. Where the
kernel's time is sampled by its tick, every 8 ms, 5 s of it give 600 samples: 3 points are four standard deviations of
what the slices leave to chance.

CPU timers are looked at by the kernel at its tick, and on a busy machine a tick does not meet each thread: a moment is
found to have passed 14 ms late on average, 100 ms late at times. Then there are fewer signals, which stand for unequal
times, and limits follow from these.
"""

import json
import os
import shutil
import sys
import time

import tap
from cprof import BUILD, PROGRAMS, Box, is_perf_permitted, program

NOBODY = 65534


TICK_HZ = 1 / time.clock_getres(time.CLOCK_MONOTONIC_COARSE) if hasattr(time, 'CLOCK_MONOTONIC_COARSE') else 250


def points_of(spread):
    """Four standard deviations of a share of a half; @spread: the root of the samples' squares over their sum."""
    return 400 * 0.5 * spread


def points_late(profile, seconds, rate):
    """
    Of samples that are all a timer's. What comes late is as good as exponential, and adds to gaps of half to one and a half
    periods: m is the mean distance, in periods. None when the timer struck as often as it can.
    """
    m = seconds * min(rate, TICK_HZ) / max(1, profile.signals)
    if m < 1.1:
        return None
    return points_of(((1 + (1 / 12 + (m - 1) ** 2) / m ** 2) / profile.signals) ** 0.5)


# A program that computes and asks for its clock every 0.1 ms is behind a system call for 1.4 % of its time.
IN_CALLS = 0.02


def spread_of_timer(r, seconds, period_ms):
    """Of a program that has had a timer of that period beside: by the distances at which that struck. None as above."""
    own = json.loads(next(line for line in r.out.splitlines() if 'squares_ms2' in line))
    spread = own['squares_ms2'] ** 0.5 / (seconds * 1000)
    tap.note('a timer of %d ms struck %d times in %.1f s of CPU time' % (period_ms, own['struck'], seconds))
    return spread if spread > 1.1 * (period_ms / 1000 / seconds) ** 0.5 else None


def check(r, about, points, rate, by_timer=False, timer_ms=None):
    """
    Shares of each function within @points of the truth, and samples and time complete. Whose samples come by the kernel's
    tick, @by_timer, or in part, with @timer_ms, may be further off on a busy machine.
    """
    if not tap.ok(r.status == 0 and r.closing is not None, '%s: runs' % about, r.show()):
        return
    profile, truth = r.profile(), r.truth
    whole = truth.pop('process_ns')
    known = sum(truth.values())
    late = points_late(profile, whole / 1e9, rate) if by_timer else None
    spread = spread_of_timer(r, whole / 1e9, timer_ms) if timer_ms else None
    if spread is not None:
        # of what perf does not see, and stands for all the time since the tick before, a part falls to either side
        late = points_of(spread) if 'burn_kernel' in truth else points_of(spread) * IN_CALLS ** 0.5
    if late is not None:
        tap.note('%s: ticks came late, %.1f points rather than %.1f' % (about, max(points, late), points))
        points = max(points, late)
    for name, ns in sorted(truth.items()):
        got, wanted = 100 * profile.within(name) / max(1, profile.total()), 100 * ns / whole
        tap.measured(abs(got - wanted) <= points, '%s: share of %s is %.2f %%, truly %.2f %%' % (about, name, got, wanted))
    tap.measured(known > 0.9 * whole, '%s: the program knows its own time' % about)
    moments = whole / 1e9 * rate
    # gaps between moments have a standard deviation of 0.29 periods: four of those for their sum
    slack = 0.01 + 4 * 0.29 / moments ** 0.5
    tap.between(profile.total() / whole, 0.98, 1.02, '%s: CPU time in the profile over the program\'s' % about)
    tap.between(profile.total(0) / moments, 1 - slack, 1 + slack,
                '%s: samples over CPU seconds times rate' % about)
    tap.ok(profile.truncated() < 0.01, '%s: stacks reach their first frame' % about,
           '%.2f %% truncated' % (100 * profile.truncated()))
    return profile


def ninety_ten():
    box = Box()
    p = check(box.run('burn', 'split', 90, 10, 8000), '90/10 at 1000 Hz', 1.0, 1000, timer_ms=8)
    if p and is_perf_permitted():
        tap.between(p.signals / p.total(0), 0.95, 1.01, '90/10 at 1000 Hz: most samples are a signal of their own')
    box.close()


def seventy_thirty():
    box = Box()
    check(box.run('burn', 'split', 70, 10, 8000), '70/30 at 1000 Hz', 1.0, 1000, timer_ms=8)
    box.close()


def four_threads():
    box = Box()
    check(box.run('burn', 'threads', 10), 'four threads at 1000 Hz', 1.0, 1000)
    box.close()


def hundred_hertz():
    """30 s of CPU time on four threads: 3,000 samples, with the kernel's tick of 4 ms below the period."""
    box = Box()
    p = check(box.run('burn', 'threads', 30, spec='cpu'), 'four threads at 100 Hz', 1.0, 100)
    if p:  # on a busy machine ticks come late, and a signal then stands for two moments
        tap.note('%d signals for %d samples' % (p.signals, p.total(0)))
    box.close()


def half_in_the_kernel():
    box = Box()
    # four standard errors: the kernel's samples come every 8 ms at most, 1,250 moments in 10 s; 1,000 at 100 Hz
    check(box.run('burn', 'kernel', 10, 8000), 'half in the kernel at 1000 Hz', 5.7, 1000, timer_ms=8)
    check(box.run('burn', 'kernel', 10, spec='cpu'), 'half in the kernel at 100 Hz', 6.4, 100, by_timer=True)
    box.close()


def beats():
    """
    A program that works by turns in step with the period. Without dithering, one side would get all or nothing; with it,
    which side is hit is chance: the error of n samples is half a point over the root of n/10,000.
    """
    box = Box()
    # 4,000 samples: 3 points are 3.8 standard deviations. And with a tick of 4 ms five of them are two turns of it: while they
    # stay in step, three fall into one turn and two into the other, which is 10 points; how long they do is chance, too
    check(box.run('burn', 'beat', 10000, 20, 2, spec='cpu'), 'in step with 100 Hz', 5.0, 100, by_timer=True)
    check(box.run('burn', 'beat', 1000, 3, 2), 'in step with 1000 Hz', 3.0, 1000)
    # 2,000 samples: 5 points are 4.5 of them
    check(box.run('burn', 'beat', 8000, 10, 2, spec='cpu'), 'in step with the tick', 5.0, 100, by_timer=True)
    box.close()


def without_perf():
    """Where perf is forbidden, the kernel's tick serves 250 signals a second; they stand for what lies between."""
    box = Box()
    seccomp = [program('noperf')]
    p = check(box.run('burn', 'split', 70, 5, launcher=seccomp), 'no perf, 70/30', 1.5, 1000, by_timer=True)
    if p:
        tap.ok(p.signals < 0.6 * p.total(0), 'no perf: there really is none', '%d signals' % p.signals)
    check(box.run('burn', 'kernel', 5, launcher=seccomp), 'no perf, half in the kernel', 3.0, 1000,
          by_timer=True)
    box.close()


def as_nobody():
    if os.geteuid() != 0:
        tap.skip('as another user', 'only root can become one')
        return
    box = Box()
    there = box.publish()
    shutil.copy2(os.path.join(PROGRAMS, 'burn'), os.path.join(there, 'burn'))
    for directory in (box.cwd, box.runtime, box.root):
        os.chmod(directory, 0o777)
    os.chown(box.runtime, NOBODY, NOBODY)

    def become():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    burn = os.path.join(there, 'burn')
    check(box.run(burn, 'split', 70, 5, before=become), 'unprivileged, 70/30', 1.5, 1000)
    check(box.run(burn, 'kernel', 10, 8000, before=become), 'unprivileged, half in the kernel', 3.0, 1000, timer_ms=8)
    mode = os.stat(os.path.join(box.root, 'out1', 'cpu.pb.gz')).st_mode & 0o777
    tap.equal(mode, 0o600, 'unprivileged: the file is for its owner only')
    box.close()


def ways_of_building():
    """The same shares however the program was built; names where it has any."""
    box = Box()
    for way in ('nopie', 'fp', 'nofp', 'now', 'lazy', 'staticgcc', 'noopt', 'noehhdr', 'split', 'stripped'):
        name = 'burn_' + way
        if program(name) == name:
            tap.skip(name, 'not built here')
            continue
        r = box.run(name, 'split', 70, 1)
        if not tap.ok(r.status == 0, '%s: runs' % way, r.show()):
            continue
        profile, truth = r.profile(), r.truth
        tap.between(profile.total() / truth['process_ns'], 0.97, 1.03, '%s: CPU time' % way)
        tap.ok(profile.truncated() < 0.01, '%s: whole stacks' % way, '%.3f truncated' % profile.truncated())
        if way != 'stripped':
            # a second has 1,000 samples in slices of 6 ms: some 160 changes, each half a period off at most
            tap.between(profile.share('burn_a'), 0.67, 0.73, '%s: share of burn_a' % way)
            mains = sum(s.values[0] for s in profile.samples if 'main' in s.names[-4:])
            tap.ok(mains > 0.99 * profile.total(0), '%s: main near the root' % way)
    box.close()


def deep():
    """Stacks deeper than depth= say so and are counted, not lost."""
    box = Box()
    r = box.run('burn', 'deep', 90, 1)
    p = r.profile()
    tap.equal(max(s.names.count('descend') for s in p.samples), 91, '91 frames of a recursion')
    tap.ok(p.truncated() < 0.01, 'none of them cut')
    r = box.run('burn', 'deep', 400, 1)
    p = r.profile()
    tap.between(p.total() / r.truth['process_ns'], 0.97, 1.03, '400 deep: CPU time')
    tap.ok(p.truncated() > 0.9, '400 deep: marked as cut at 128')
    r = box.run('burn', 'deep', 400, 1, spec='cpu=1000,depth=500')
    tap.ok(r.profile().truncated() < 0.01, '400 deep, depth=500: whole')
    box.close()


GROUPS = {
    'shares': (ninety_ten, seventy_thirty, four_threads),
    'rates': (hundred_hertz, half_in_the_kernel),
    'beats': (beats, without_perf),
    'ways': (as_nobody, ways_of_building, deep),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
