#!/usr/bin/env python3
"""Children, of every kind, have profiles of their own; parents keep theirs."""

import os
import signal

import tap
from cprof import Box, program, wait_for
from pprof import Profile

BURN_MS = 400
# of 400 samples
NEARLY = (0.95, 1.05)


def only(profile, name, others):
    """The samples within @name, after checking that @others have none."""
    for other in others:
        tap.equal(profile.within(other), 0, 'no sample of %s where only %s ran' % (other, name))
    return profile.within(name)


def check(way, parent_ms, children):
    """@children: list of (function, milliseconds)."""
    box = Box()
    plain = box.plain('family', way, 1)
    r = box.run('family', way, BURN_MS)
    tap.equal((r.status, r.own_err), (plain.status, plain.err), '%s: status and stderr are the program\'s' % way)
    tap.equal(len(r.out.splitlines()), len(plain.out.splitlines()), '%s: as many lines of output' % way)
    ms = only(r.profile(), 'burn_parent', [name for name, _ in children]) / 1e6
    tap.between(ms / parent_ms, *NEARLY, '%s: the parent\'s time' % way)
    found = []
    for child in r.children():
        profile = r.profile(child)
        for name in ('burn_child', 'burn_grandchild', 'burn_leaf'):
            if profile.within(name) > 0:
                found.append((name, profile.within(name) / 1e6))
        tap.equal(profile.within('burn_parent'), 0, '%s: nothing of the parent in %s' % (way, child.split('.')[0]))
    for name, ms in children:
        got = [m for n, m in found if n == name]
        if tap.equal(len(got), 1, '%s: one directory with %s' % (way, name)):
            tap.between(got[0] / ms, *NEARLY, '%s: time of %s' % (way, name))
    tap.equal(box.leftovers(), [], '%s: nothing left behind' % way)
    box.close()


def fork():
    check('fork', BURN_MS, [('burn_child', BURN_MS)])


def fork_and_exec():
    check('forkexec', BURN_MS, [('burn_leaf', BURN_MS)])


def fork_burn_and_exec():
    check('forkburnexec', BURN_MS, [('burn_child', BURN_MS), ('burn_leaf', BURN_MS)])


def vfork_and_exec():
    check('vfork', 2 * BURN_MS, [('burn_leaf', BURN_MS)])


def vfork_whose_exec_fails():
    check('vforkfail', 2 * BURN_MS, [])


def posix_spawn():
    check('spawn', BURN_MS, [('burn_leaf', BURN_MS)])


def system():
    check('system', BURN_MS, [('burn_leaf', BURN_MS)])


def popen():
    check('popen', BURN_MS, [('burn_leaf', BURN_MS)])


def fork_in_a_thread():
    check('thread', 1.5 * BURN_MS, [('burn_child', BURN_MS)])


def double_fork():
    check('double', BURN_MS, [('burn_child', BURN_MS), ('burn_grandchild', BURN_MS)])


def child_killed():
    check('killed', BURN_MS, [('burn_child', BURN_MS)])


def daemon():
    """The launcher ends with its program; the daemon's profile follows when the daemon ends."""
    box = Box()
    r = box.run('family', 'daemon', BURN_MS)
    tap.equal(r.status, 0, 'daemon: the launcher does not wait for it')
    tap.ok('still runs' in r.err, 'daemon: the closing line speaks of it', r.err)
    before = len(r.children())
    there = lambda: [c for c in r.children() if os.path.exists(os.path.join(r.directory, c, 'cpu.pb.gz'))]
    tap.ok(wait_for(lambda: len(there()) == 1), 'daemon: its directory comes later', '%d before' % before)
    if there():
        tap.between(r.profile(there()[0]).within('burn_child') / 1e6 / BURN_MS, *NEARLY, 'daemon: its time')
    tap.ok(wait_for(lambda: box.leftovers() == []), 'daemon: the session\'s socket is gone at the end', box.leftovers())
    box.close()


def parents_that_leave():
    """A program that ends as soon as it has a child: the child is only being loaded then."""
    box = Box()
    for how in ('spawnleave', 'vforkleave'):
        followed = 0
        for _ in range(10):
            r = box.run('family', how, 100)
            there = lambda: [c for c in r.children() if os.path.exists(os.path.join(r.directory, c, 'cpu.pb.gz'))]
            followed += wait_for(lambda: len(there()) == 1) and r.profile(there()[0]).within('burn_leaf') > 50e6
        tap.equal(followed, 10, '%s: the child is followed, ten times out of ten' % how)
    # one that will never come keeps nobody
    r = box.run('sh', '-c', 'env -u LD_PRELOAD sleep 60 >/dev/null 2>&1 & echo $!')
    os.kill(int(r.out), signal.SIGKILL)
    tap.equal((r.status, r.own_err), (0, ''), 'a child that hides from us is not waited for')
    tap.ok(wait_for(lambda: box.leftovers() == []), 'parents that leave: nothing left behind', box.leftovers())
    box.close()


def two_hundred():
    ms = 20
    box = Box()
    r = box.run('family', 'many', ms, spec='cpu=1000')
    tap.equal(r.status, 0, '200 forks: status')
    names = r.children()
    # 20 ms hold 20 samples: none of the children can be without
    tap.equal(len(names), 200, '200 forks: a directory each')
    total = sum(r.profile(n).within('burn_child') for n in names)
    truth = sum(int(line.split(': ')[-1].rstrip('}')) for line in r.out.splitlines() if '"child"' in line)
    # a child's clock starts with its fork, the sampling some 0.2 ms later
    # a life of 20 ms is too short to make good what went into taking the samples
    tap.between(total / truth, 0.88, 1.03, '200 forks: CPU time of all children')
    tap.equal(box.leftovers(), [], '200 forks: nothing left behind')
    box.close()


def idle_children():
    box = Box()
    # at 100 Hz the 0.5 ms of each of 20 children hold a moment once in a while
    r = box.run('family', 'quick', 50, spec='cpu=1')
    tap.equal(r.children(), [], 'children that did nothing leave nothing')
    box.close()


def follow_no():
    box = Box()
    r = box.run('family', 'fork', BURN_MS, spec='cpu=1000,follow=no')
    tap.equal((r.status, r.children()), (0, []), 'follow=no: the child has no profile')
    tap.between(r.profile().within('burn_parent') / 1e6 / BURN_MS, *NEARLY, 'follow=no: the parent has')
    r = box.run('family', 'forkexec', BURN_MS, spec='cpu=1000,follow=no')
    tap.equal((r.status, r.children()), (0, []), 'follow=no: nor has the child that ran exec')
    box.close()


def without_a_launcher():
    """CPROF= and LD_PRELOAD by hand: each process writes its own files when it ends."""
    from cprof import LIBRARY
    box = Box()
    where = os.path.join(box.root, 'own.%p')
    r = box.plain('family', 'fork', BURN_MS,
                  env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu=1000,out=' + where})
    tap.equal((r.status, r.err), (0, ''), 'preloaded by hand: status and stderr')
    profiles = [Profile.read(os.path.join(box.root, d, 'cpu.pb.gz')) for d in os.listdir(box.root)
                if d.startswith('own.')]
    # the child leaves by _exit: nobody can write for it
    tap.equal([p.within('burn_parent') > 0 for p in profiles], [True], 'preloaded by hand: the parent wrote its file')
    tap.between(profiles[0].within('burn_parent') / 1e6 / BURN_MS, *NEARLY, 'preloaded by hand: its time')
    tap.equal(box.leftovers(), [], 'preloaded by hand: nothing left behind')
    box.close()


tap.run(fork, fork_and_exec, fork_burn_and_exec, vfork_and_exec, vfork_whose_exec_fails, posix_spawn, system, popen,
        fork_in_a_thread, double_fork, child_killed, daemon, parents_that_leave, two_hundred, idle_children, follow_no,
        without_a_launcher)
