#!/usr/bin/env python3
"""Traces of programs that know what they do: trace.py BUILD GROUP"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import tap
import trace_file
from trace_story import CALLS as SYSCALLS
from cprof import BUILD, PROGRAMS, Box, program, wait_for

CLOSING = re.compile(r'^cprof: ([\d,]+) events, ([\d,]+) lost.* in (\S+?)(?:; .*)?$', re.MULTILINE)
RETURN, PROCESS, LOST = 1, 3, 4  # reasons of thread.exit


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(result, *below):
    """The trace of a run, which is as it should be."""
    path = os.path.join(result.directory, *below, 'trace.out')
    return check_file(path)


def check_file(path):
    trace = trace_file.read(path)
    if trace.problems:
        tap.ok(False, 'the trace is as the format has it', '%s: %s' % (path, trace.problems[:5]))
    if shutil.which('lz4'):
        done = subprocess.run(['lz4', '-tq', path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode != 0:
            tap.ok(False, 'lz4 -t', '%s: %s' % (path, done.stdout.decode()))
    return trace


def check_lives(trace, about):
    """Every thread starts once, after it was created, and ends once, behind all that it did."""
    starts = {e.thread: e for e in trace.named('thread.start')}
    ends = {e.thread: e for e in trace.named('thread.exit')}
    created = {e['thread']: e for e in trace.named('thread.create')}
    wrong = [e for e in trace.named('thread.start') if starts[e.thread] is not e]
    wrong += [e for e in trace.named('thread.exit') if ends[e.thread] is not e]
    wrong += [e for n, e in created.items() if n in starts and not
              (e.ns <= starts[n].ns and starts[n]['parent'] == e.thread)]
    wrong += [e for n, e in starts.items() if n not in ends or ends[n].ns < e.ns]
    wrong += [e for n, e in starts.items() if n != 1 and n not in created]
    wrong += [n for n, e in starts.items() if n not in trace.threads or trace.threads[n].tid != e['tid']]
    tap.equal(wrong[:3], [], '%s: threads are created, start, and end' % about)
    last = {}
    for e in trace.events:
        last[e.thread] = e
    tap.equal([e for n, e in last.items() if n in ends and e is not ends[n] and e.ns > ends[n].ns][:3], [],
              '%s: an end is the end' % about)
    return starts, ends, created


SPEC = 'trace=threads'


def churn():
    box = Box()
    n = 10000
    plain = box.plain('traced', 'churn', n)
    r = box.run('traced', 'churn', n, spec=SPEC)
    tap.equal((r.status, re.sub(r'\d+}', '}', r.out)), (plain.status, re.sub(r'\d+}', '}', plain.out)),
              'churn: status and output as without')
    t = read(r)
    starts, ends, created = check_lives(t, 'churn')
    tap.equal((len(starts), len(ends), len(created)), (n + 1, n + 1, n), 'churn: as many as there were')
    tap.equal(sum(e['reason'] == RETURN for e in ends.values()), n, 'churn: they returned')
    tap.equal(t.lost(), 0, 'churn: nothing lost')
    tap.equal(t.end, ('exited', 0), 'churn: how it ended')
    tap.equal([e['code'] for e in t.named('process.exit')], [0], 'churn: and with which status')
    at = CLOSING.search(r.err)
    tap.ok(at is not None and int(at.group(1).replace(',', '')) >= 3 * n and at.group(2) == '0', 'churn: the closing line',
           r.err)
    tap.ok('next: cprof-trace %s/trace.out' % r.directory in r.err, 'churn: what to do next', r.err)
    with_stack = [e for e in created.values() if any('traced' in path for path, _ in t.stack(e['stack']))]
    tap.equal(len(with_stack), n, 'churn: each creation has a stack of the program')
    tap.equal({e['tid'] for e in starts.values()} & {0}, set(), 'churn: each has a number of the kernel\'s')
    tap.equal(os.stat(os.path.join(r.directory, 'trace.out')).st_mode & 0o777, 0o600, 'churn: nobody else may read it')
    box.close()


def endings():
    ways = {'exit': (6, ('exited', 6), PROCESS), '_exit': (7, ('exited', 7), PROCESS), 'main': (5, ('exited', 5), PROCESS),
            'kill': (-9, ('signal', 9), LOST), 'segv': (-11, ('signal', 11), LOST)}
    for way, (status, end, reason) in ways.items():
        box = Box()
        r = box.run('traced', 'stay', way, spec=SPEC, before=no_core)
        tap.equal(r.status, status, '%s: status' % way)
        t = read(r)
        starts, ends, _ = check_lives(t, way)
        tap.equal(t.end, end, '%s: how it ended' % way)
        tap.equal(len(starts), 5, '%s: all its threads' % way)
        tap.equal({e['reason'] for e in ends.values()}, {reason}, '%s: they ended with it' % way)
        tap.equal([(e['code'], e['signal']) for e in t.named('process.exit')],
                  [(end[1] if end[0] == 'exited' else 0, end[1] if end[0] == 'signal' else 0)], '%s: process.exit' % way)
        tap.equal(len(t.thread_named('number-two')), 1, '%s: a name' % way)
        tap.equal(t.lost(), 0, '%s: nothing lost' % way)
        tap.equal(box.leftovers(), [], '%s: nothing left behind' % way)
        box.close()


def forks():
    box = Box()
    n = 300
    r = box.run('traced', 'forks', n, spec=SPEC)
    tap.equal(r.status, 0, 'forks: status')
    t = read(r)
    tap.equal(len(t.named('thread.start')), 1, 'forks: the parent\'s one thread')
    children = r.children()
    tap.equal(len(children), n, 'forks: each child has a directory')
    wrong, ends = [], []
    for name in children:
        c = check_file(os.path.join(r.directory, name, 'trace.out'))
        counts = c.counts()
        ends.append(c.end[0])
        if (counts['thread.start'], counts['thread.create'], counts['thread.exit'], c.lost()) != (3, 2, 3, 0):
            wrong.append((name, dict(counts)))
        if c.metadata['pid'] != name.split('.')[-1]:
            wrong.append((name, c.metadata))
    tap.equal(wrong[:3], [], 'forks: each with its own threads')
    tap.equal(ends.count('exited'), n - n // 3, 'forks: those that were not killed say how they ended')
    box.close()


def exec_keeps_both():
    box = Box()
    r = box.run('traced', 'exec', 5, spec=SPEC)
    tap.equal(r.status, 0, 'exec: status')
    t = read(r)
    tap.equal(t.counts()['thread.create'], 5, 'exec: what it became, in the directory itself')
    tap.equal(len(r.children()), 1, 'exec: what it was, below')
    t = read(r, r.children()[0])
    tap.equal((t.counts()['thread.create'], t.end[0]), (2, 'exec'), 'exec: and how it ended')
    tap.equal([(e['path'], e['result']) for e in t.named('exec')], [('/proc/self/exe', 0)], 'exec: the event')
    box.close()


def raw():
    box = Box()
    r = box.run('traced', 'raw', 0, spec=SPEC)
    tap.equal(r.status, 0, 'raw: status')
    t = read(r)
    tap.equal(len(t.named('thread.create')), 1, 'raw: its creation')
    box.close()


def outlives():
    """The program ends, a process of its goes on: its trace goes on, too, in the keeper's hands."""
    box = Box()
    r = box.run('sh', '-c', '%s names 3 > /dev/null 2>&1 &' % program('traced'), spec='trace=threads')
    tap.equal(r.status, 0, 'outlives: status')
    tap.ok('still run' in r.err, 'outlives: is told', r.err)
    found = []

    def is_there():
        found[:] = [c for c in r.children() if c.startswith('traced.')]
        paths = [os.path.join(r.directory, c, 'trace.out') for c in found]
        return paths and all(os.path.exists(p) and trace_file.read(p).end is not None for p in paths)

    tap.ok(wait_for(is_there, 30), 'outlives: its trace comes to an end')
    t = read(r, found[0])
    names = t.named('thread.name')
    tap.equal([e['name'] for e in names[:3]], ['n0', 'n1', 'n2'], 'outlives: from its beginning')
    tap.ok(names[-1].ns - names[0].ns > 1.5e9, 'outlives: to its end', names[-1].ns - names[0].ns)
    tap.equal(([n for n, e in enumerate(names) if e['name'] != 'n%d' % n][:3], t.lost()), ([], 0),
              'outlives: and nothing is missing')
    box.close()


def disk_full():
    """A small file system: the program does not notice."""
    if os.geteuid() != 0:
        tap.skip('disk full', 'only root mounts a file system')
        return
    box = Box()
    small = os.path.join(box.root, 'small')
    os.mkdir(small)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=512k', 'none', small], stderr=subprocess.DEVNULL).returncode:
        tap.skip('disk full', 'no file system may be mounted here')
        box.close()
        return
    try:
        r = box.run('traced', 'names', 3, spec=SPEC, output=os.path.join(small, 'out'))
        tap.equal(r.status, 0, 'disk full: status')
        tap.ok('trace.out ends before the program did' in r.err, 'disk full: is told', r.err)
        t = read(r)
        tap.equal(t.end and t.end[0], 'disk full', 'disk full: the file says so')
        names = [e['name'] for e in t.named('thread.name')]
        tap.ok(len(names) > 1000 and names == ['n%d' % i for i in range(len(names))], 'disk full: what fits is there',
               len(names))
    finally:
        subprocess.run(['umount', small])
        box.close()


def size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def killed_launcher():
    """Nobody can end a file after SIGKILL; what is in it can be read."""
    box = Box()
    output = os.path.join(box.root, 'out')
    p = subprocess.Popen([box.cprof, 'run', '-p', 'trace=threads', '-o', output, '--', program('traced'), 'names', '20'],
                         cwd=box.cwd, env=box.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = os.path.join(output, 'trace.out')
    # tables come before the events that need them
    wait_for(lambda: size(path) > 50000 and len(trace_file.read(path).named('thread.name')) > 1000, 60)
    p.kill()
    p.wait()
    t = check_cut(os.path.join(output, 'trace.out'))
    tap.ok(t.end is None and len(t.named('thread.name')) > 1000, 'launcher killed: what was written by then is there',
           len(t.named('thread.name')))
    box.close()


def check_cut(path):
    trace = trace_file.read(path)
    tap.equal(trace.problems, [], 'launcher killed: the file is right as far as it goes')
    return trace


def interrupted():
    box = Box()
    output = os.path.join(box.root, 'out')
    for sig in (signal.SIGINT, signal.SIGTERM):
        where = '%s.%d' % (output, sig)
        p = subprocess.Popen([box.cprof, 'run', '-p', 'trace=threads', '-o', where, '--', program('traced'), 'names', '30'],
                             cwd=box.cwd, env=box.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: size(os.path.join(where, 'trace.out')) > 10000, 60)
        p.send_signal(sig)
        p.communicate(timeout=60)
        t = check_file(os.path.join(where, 'trace.out'))
        tap.equal((p.returncode, t.end), (-sig, ('signal', sig)), '%s: how it ended' % sig.name)
        tap.ok(len(t.named('thread.name')) > 100, '%s: what it did is there' % sig.name)
    box.close()


def ring():
    box = Box()
    r = box.run('traced', 'names', 4, spec='trace=threads,ring=1s')
    tap.equal(r.status, 0, 'ring: status')
    t = read(r)
    names = t.named('thread.name')
    span = (names[-1].ns - names[0].ns) / 1e9
    tap.ok(0.9 < span < 3 and t.header.flags & trace_file.HAS['ring'], 'ring: the last second, or a little more', span)
    tap.ok(names[0]['name'] != 'n0' and t.named('thread.status'), 'ring: and what was then')
    box.close()


def with_profiles():
    box = Box()
    r = box.run('traced', 'churn', 200, spec='cpu,trace')
    tap.equal(r.status, 0, 'all: status')
    tap.ok(os.path.exists(os.path.join(r.directory, 'cpu.pb.gz')), 'all: the profile is there, too')
    read(r)
    tap.ok(re.search(r'^cprof: [\d,]+ samples, [\d,]+ events, 0 lost', r.err, re.MULTILINE), 'all: the closing line', r.err)
    again = box.run('traced', 'churn', 10, spec='trace', output=r.directory)
    tap.equal(read(again).counts()['thread.create'], 10, 'all: a second run in the same place')
    box.close()


def paths():
    """Names of files stand before the calls that they were given to, also where there is no such file."""
    box = Box()
    there, gone = os.path.join(box.root, 'there'), os.path.join(box.root, 'not-there', 'x')
    with open(there, 'w'):
        pass
    r = box.run('mv', there, there + '-now', spec='trace=syscalls')
    tap.equal(r.status, 0, 'paths: status')
    found = paths_of(read(r))
    tap.ok((there, there + '-now') in [f[1:] for f in found if f[0].startswith('rename')], 'paths: both names of a rename', found)
    r = box.run('cat', gone, spec='trace=syscalls')
    tap.equal(r.status, 1, 'paths: status of one that fails')
    found = paths_of(read(r))
    tap.ok(('openat', gone) in found, 'paths: a file that is not there', found)
    box.close()


def paths_of(t):
    """(call, path…) of each call that has some."""
    found, names = [], []
    for e in t.of(1):
        if e.name == 'syscall.path':
            names.append(e['path'])
        elif names:
            found.append((SYSCALLS.get(e.args.get('number'), e.name), *names))
            names = []
    return found


def info(path):
    return json.loads(subprocess.run([os.path.join(BUILD, 'viewer', 'cprof-trace'), path, 'info', '--json'],
                                     stdout=subprocess.PIPE, check=True).stdout.decode())


def not_seen():
    """What a trace could not see is told, and what stands in its place."""
    box = Box()
    for about, launcher, spec, missing in (
            ('threads', [], 'trace=threads', []), ('locks', [], 'trace=locks', []),
            ('syscalls', [], 'trace=syscalls', []), ('full', [], 'trace=syscalls:full', []),
            ('no perf', [program('noperf')], 'trace=all', ['switches'])):
        r = box.run('burn', 'split', 50, 0.6, spec=spec, launcher=launcher)
        tap.equal(r.status, 0, '%s: runs' % about)
        t = read(r)
        told = info(os.path.join(r.directory, 'trace.out'))
        tap.equal(told['missing'], missing, '%s: what it did not see' % about)
        tap.equal('sites' in told['capabilities'], 'syscalls' in told['level'], '%s: what it saw' % about)
        tap.equal(re.match(r'\d+ of \d+ in \d+ files', t.metadata.get('syscalls', '')) is not None,
                  'syscalls' in told['level'], '%s: how much of that' % about)
        deltas = t.named('sched.delta')
        if missing:
            tap.ok('schedstat' in told['capabilities'] and 'perf' in t.metadata['switches'],
                   'no perf: why, and what is in its place', t.metadata)
            ran = sum(e['ran'] for e in deltas)
            tap.between(ran / 1e9, 0.35, 0.65, 'no perf: how long it ran, but for the end')
            gaps = [b.ns - a.ns for a, b in zip(deltas, deltas[1:])]
            tap.measured(len(deltas) >= 3 and min(gaps) > 50e6, 'no perf: now and then', [(e.ns, e.args) for e in deltas])
        else:
            tap.equal((deltas, 'schedstat' in told['capabilities']), ([], False), '%s: no sums of times' % about)
    library = os.path.join(PROGRAMS, 'plugins', 'libbusy.so')
    r = box.run('burn', 'split', 50, 0.1, spec='trace', env={'LD_PRELOAD': library})
    told = info(os.path.join(r.directory, 'trace.out'))
    tap.equal((r.status, told['missing']), (0, []), 'threads at the start: calls are seen')
    sites = re.match(r'(\d+) of (\d+) in \d+ files', read(r).metadata['syscalls'])
    tap.ok(sites and 0.8 < int(sites[1]) / int(sites[2]) < 1, 'threads at the start: of how many sites', read(r).metadata)
    busy = sum(b.recorder_ns for b in t.blocks)
    tap.measured(0 < busy < 3e8, 'what it took to write the trace down', busy)
    box.close()


# for a second, some more each 10 ms
GROWS = 'import time; kept = [(bytearray(1 << 18), time.sleep(0.01)) for i in range(100)]'


def heap():
    """How much memory there is, now and then."""
    box = Box()
    r = box.run('heap', 'grow', 64, 'exit', spec='heap,trace')
    tap.equal(r.status, 3, 'heap: runs')
    t = read(r)
    events = t.named('heap')
    tap.ok(events and all(e.thread == trace_file.ALL for e in events), 'heap: events of the process', len(events))
    last = events[-1]
    tap.between(last['live_bytes'] / (64 << 20), 0.7, 1.3, 'heap: what is in use in the end')
    tap.ok(last['live_objects'] > 0 and last['allocated_bytes'] == last['live_bytes'] + last['freed_bytes'],
           'heap: and all else', last)
    # it is looked at 10 times a second at least, and written when it is another
    r = box.run(sys.executable, '-I', '-c', GROWS, spec='heap,trace')
    events = read(r).named('heap')
    tap.measured(len(events) >= 3 and 0 < events[0]['rss_bytes'] <= events[0]['mapped_bytes'], 'heap: now and then', events)
    box.close()


GROUPS = {
    'core': [paths, churn, endings, forks, exec_keeps_both, raw, outlives, disk_full, killed_launcher, interrupted, ring,
             with_profiles, not_seen, heap],
}

GROUPS['all'] = [churn, endings, forks, exec_keeps_both, raw, disk_full]

group = sys.argv.pop(2) if len(sys.argv) > 2 else 'core'
SPEC = 'trace=all' if group == 'all' else SPEC
tap.run(*GROUPS[group])
