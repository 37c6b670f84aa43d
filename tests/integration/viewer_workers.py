#!/usr/bin/env python3
"""cprof-trace with one thread and with two: every command says the same, to the byte, of whole traces and of damaged ones."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import tap
from cprof import BUILD, Box

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
LONG = os.path.join(BUILD, 'tests', 'programs', 'trace_make')
COMMANDS = (
    ['summary', '--json'],
    ['threads', '--json'],
    ['locks', '--json', '--limit', '0', '--include-idle'],
    ['locks', '--by', 'site', '--json', '--limit', '0'],
    ['locks', '--order', '--json'],
    ['locks', '--chains', '--json'],
    ['syscalls', '--json', '--limit', '0'],
    ['blocked', '--json', '--limit', '0'],
    ['tasks', '--json', '--limit', '0'],
    ['regions', '--json', '--limit', '0'],
    ['critical-path', '--json'],
    ['chain', '--json'],
    ['events', '--json', '--limit', '20000'],
    ['events', '--from', '0.01s', '--csv', '--limit', '0'],
    ['threads', '--to', '0.05s', '--json'],
    ['summary', '--from', '0.02s', '--to', '+0.05s', '--json'],
    ['timeline', '--text'],
    ['check', '--json'],
    ['info', '--json'],
    ['export', 'csv', '-o', '-'],
    ['export', 'chrome-json', '-o', '-'],
    ['export', 'perfetto', '-o', '-'],
)

root = tempfile.mkdtemp(prefix='cprof-workers-test.')
box = Box()


def run(workers, *args):
    """By itself it would take a second thread for a long trace only."""
    env = dict(os.environ, CPROF_TRACE_WORKERS=str(workers), XDG_CACHE_HOME=root)
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=300)
    return r.returncode, r.stdout, r.stderr


def damaged(path, to):
    """A byte in thirty places, and a piece that is missing."""
    chance = random.Random(1)
    data = bytearray(open(path, 'rb').read())
    for _ in range(30):
        data[chance.randrange(len(data) // 10, len(data))] ^= 0xff
    del data[len(data) // 2:len(data) // 2 + 5000]
    with open(to, 'wb') as f:
        f.write(data)
    return to


def make_traces():
    long = os.path.join(root, 'long')
    subprocess.run([LONG, '120000', long], check=True)
    errand = os.path.join(root, 'errand')
    subprocess.run([MAKE, 'errand', errand], check=True)
    r = box.run('schedules', 'queue', spec='trace')
    recorded = os.path.join(r.directory, 'trace.out')
    return {'long': long, 'long, damaged': damaged(long, os.path.join(root, 'damaged')), 'errand': errand,
            'recorded': recorded, 'recorded, damaged': damaged(recorded, os.path.join(root, 'broken'))}


def test_same(name, path):
    differ, said = [], 0
    for args in COMMANDS:
        one, two = run(1, path, *args), run(2, path, *args)
        said += len(one[1]) + len(one[2]) > 100
        if one != two:
            differ.append('%s: status %d and %d, %d and %d bytes, said %r and %r' % (
                ' '.join(args), one[0], two[0], len(one[1]), len(two[1]), one[2][:300], two[2][:300]))
    tap.ok(not differ, '%s: %d commands say the same with one thread and with two' % (name, len(COMMANDS)),
           '\n'.join(differ))
    tap.ok(said > len(COMMANDS) / 2, '%s: and say something (%d)' % (name, said))


def threads_of(pid):
    return len(os.listdir('/proc/%d/task' % pid))


def test_ends(path):
    """Who reads the output stops; Ctrl-C. Nobody is left waiting for the other thread."""
    for workers in (1, 2):
        env = dict(os.environ, CPROF_TRACE_WORKERS=str(workers))
        p = subprocess.Popen([TRACE, path, 'events', '--limit', '0'], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env)
        p.stdout.read(100000)
        # it writes into a full pipe, so it is in the midst of it
        tap.equal(threads_of(p.pid), workers, 'threads while it writes, of %d' % workers)
        p.send_signal(signal.SIGINT)
        p.stdout.read()
        status = p.wait(timeout=60)
        tap.ok(status != 0 and b'interrupted' in p.stderr.read(), 'Ctrl-C ends it, with %d (%d)' % (workers, status))
        p = subprocess.Popen([TRACE, path, 'events', '--limit', '0'], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=env)
        p.stdout.read(100000)
        p.stdout.close()
        p.wait(timeout=60)
        tap.ok(True, 'so does a reader that goes, with %d' % workers)


def same():
    for each, where in make_traces().items():
        test_same(each, where)


def ends():
    test_ends(os.path.join(root, 'long'))


def end():
    box.close()
    shutil.rmtree(root)


tap.run(same, ends, end)
