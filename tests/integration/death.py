#!/usr/bin/env python3
"""However a program ends, its status passes through and its samples are there."""

import json
import os
import resource
import signal
import subprocess
import time

import tap
from cprof import Box, program, signal_name
from pprof import Profile

BURN_MS = 800


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check_time(profile, truth, about, since_ns=None):
    """
    98 % of what was used in main(); before it, the loader ran, and cprof was not there yet. Moments are half to one and
    a half periods apart: 800 have a standard deviation of 8, or 1 %.
    """
    ns = truth['process_ns'] - (truth['begun_ns'] if since_ns is None else since_ns)
    most = truth['process_ns'] - (since_ns or 0)
    timed = tap.between(profile.total() / ns, 0.98, 1.03 * most / ns,
                        about + ': CPU time in the profile over the program\'s own')
    return timed & tap.between(profile.total(0) * profile.period / ns, 0.94, 1.06 * most / ns, about + ': samples times period over it')


def endings():
    ways = {'exit': 3, 'return': 4, '_exit': 7, 'atexit': 6, 'thread': 5, 'execfail': 8,
            'term': -signal.SIGTERM, 'segv': -signal.SIGSEGV, 'abort': -signal.SIGABRT,
            'kill': -signal.SIGKILL, 'prof': -signal.SIGPROF, 'trap': -signal.SIGTRAP,
            'xcpu': -signal.SIGXCPU, 'held': -signal.SIGKILL}
    for way, wanted in ways.items():
        box = Box()
        plain = box.plain('death', way, 1, before=no_core)
        tap.equal(plain.status, wanted, '%s: ends with %s by itself' % (way, signal_name(wanted)))
        r = box.run('death', way, BURN_MS, before=no_core)
        tap.equal(r.status, plain.status, '%s: the same under cprof' % way)
        tap.equal(r.own_err, plain.err, '%s: nothing else on stderr' % way)
        tap.ok(r.closing is not None, '%s: a closing line' % way, r.err)
        if not check_time(r.profile(), r.truth, way):
            tap.note(r.show())
        tap.equal(box.leftovers(), [], '%s: nothing left behind' % way)
        box.close()


def exec_keeps_both():
    """exec: the last image is in DIR itself, the one before in NAME.PID."""
    box = Box()
    r = box.run('death', 'exec', BURN_MS)
    tap.equal(r.status, 3, 'exec: the second image\'s status')
    spoken = [json.loads(line) for line in r.out.splitlines()]
    tap.equal(len(spoken), 2, 'exec: both images spoke')
    tap.equal(len(r.children()), 1, 'exec: the first image has a directory of its own')
    check_time(r.profile(r.children()[0]), spoken[0], 'exec, first image')
    # the CPU clock of the process runs on over exec
    check_time(r.profile(), spoken[1], 'exec, second image', spoken[1]['begun_ns'])
    box.close()


def first_child(pid):
    """The program that the launcher with @pid runs; 0 when it is not there yet."""
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return int((f.read().split() or ['0'])[0])


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        user, system = f.read().rsplit(')', 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def a_signal_from_outside():
    """SIGTERM sent to the launcher reaches the program; SIGKILL to the program by somebody else."""
    box = Box()
    output = os.path.join(box.root, 'out')
    for sig, to_launcher in ((signal.SIGTERM, True), (signal.SIGKILL, False), (signal.SIGINT, True)):
        where = '%s.%d' % (output, sig)
        p = subprocess.Popen([box.cprof, 'run', '-p', 'cpu=1000', '-o', where, '--', program('burn'), 'split', '50',
                              '60'], cwd=box.cwd, env=box.environment(), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        child = 0
        while child == 0 or cpu_seconds(child) < 0.5:
            time.sleep(0.05)
            child = first_child(p.pid)
        os.kill(p.pid if to_launcher else child, sig)
        _, err = p.communicate(timeout=30)
        name = signal.Signals(sig).name
        tap.equal(p.returncode, -sig, '%s from outside: ends cprof run in the same way' % name)
        total = Profile.read(os.path.join(where, 'cpu.pb.gz')).total()
        tap.ok(total > 0.45e9, '%s from outside: what it had used by then is there' % name, '%d ns' % total)
    tap.equal(box.leftovers(), [], 'signals from outside: nothing left behind')
    box.close()


def stop_and_go_on():
    """SIGSTOP and SIGCONT change nothing of what is counted."""
    box = Box()
    output = os.path.join(box.root, 'out')
    p = subprocess.Popen([box.cprof, 'run', '-p', 'cpu=1000', '-o', output, '--', program('burn'), 'split', '50', '1'],
                         cwd=box.cwd, env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child = 0
    while child == 0 or cpu_seconds(child) < 0.3:
        time.sleep(0.02)
        child = first_child(p.pid)
    os.kill(child, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(child, signal.SIGCONT)
    out, _ = p.communicate(timeout=60)
    total, ns = Profile.read(os.path.join(output, 'cpu.pb.gz')).total(), json.loads(out)['process_ns']
    tap.between(total / ns, 0.96, 1.03, 'stopped meanwhile: CPU time')
    tap.equal(p.returncode, 0, 'stopped meanwhile: its status')
    box.close()


tap.run(endings, exec_keeps_both, a_signal_from_outside, stop_and_go_on)
