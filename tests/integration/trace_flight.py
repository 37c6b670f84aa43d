#!/usr/bin/env python3
"""Snapshots of a trace that goes on: by the program, from outside, and by a region that took too long."""

import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import tap
import trace_file
from cprof import BUILD, LIBRARY, Box, program, wait_for

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
EAGAIN, EPIPE, ENOSPC, EFBIG, EBADF, ESRCH, ENOTSUP = 11, 32, 28, 27, 9, 3, 95


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check(path, about, is_ring=True):
    """A trace file that both readers find right."""
    trace = trace_file.read(path)
    tap.equal(trace.problems, [], '%s: the file is whole' % about)
    tap.equal(bool(trace.header.flags & trace_file.HAS['ring']), is_ring, '%s: is it of a ring' % about)
    done = subprocess.run([VIEWER, path, 'check'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.equal(done.returncode, 0, '%s: cprof-trace check' % about) or tap.note(done.stdout.decode())
    return trace


def counts(trace, name):
    """What a thread has counted, in order."""
    return [e['value'] for e in trace.named('counter') if e['name'] == name]


def missing(trace, workers, starts_at_0=False):
    """Where workers' counts have holes that nothing tells of."""
    holes = []
    for i in range(workers):
        seen = counts(trace, 'flight%d' % i)
        if not seen or seen != list(range(seen[0], seen[0] + len(seen))) or (starts_at_0 and seen[0] != 0):
            holes.append((i, seen[:3], len(seen)))
    return holes


def one_after_the_other(spec, is_ring):
    box = Box()
    r = box.run('flight', 'snapshots', box.root, 4, 3, spec=spec)
    tap.equal((r.status, r.truth['results']), (0, [0] * 4), '%s: four snapshots' % spec) or tap.note(r.show())
    ids = set()
    for i in range(4):
        about = '%s: snapshot %d' % (spec, i)
        t = check(os.path.join(box.root, '%d.out' % i), about, is_ring)
        tap.equal(t.end, ('snapshot', 0), '%s: says what it is' % about)
        tap.equal(counts(t, 'before')[-1:], [i], '%s: has what came before it' % about)
        tap.equal(counts(t, 'after')[-1:], [i - 1] if i > 0 else [], '%s: and nothing from after' % about)
        tap.equal((t.lost(), missing(t, 3, not is_ring)), (0, []), '%s: without holes' % about)
        tap.equal(len([e for e in t.named('thread.status') if e.ns >= t.events[-1].ns - 50e6]) >= 4, True,
                  '%s: and what all threads do' % about)
        ids.add(t.header.uuid)
    t = check(os.path.join(r.directory, 'trace.out'), '%s: the trace' % spec, is_ring)
    tap.equal((t.end, t.lost(), missing(t, 3, not is_ring)), (('exited', 0), 0, []), '%s: the trace goes on' % spec)
    tap.equal(len(ids | {t.header.uuid}), 5, '%s: each is a trace of its own' % spec)
    tap.equal(sorted(os.listdir(r.directory)), ['trace.out'], '%s: nothing else is left' % spec)
    box.close()


def rings():
    one_after_the_other('trace=threads,ring=1s', True)


def logs():
    one_after_the_other('trace=threads', False)


def all_levels():
    box = Box()
    r = box.run('flight', 'both', box.root, 3, 2, spec='trace,ring=64k')
    tap.equal((r.status, r.truth['results']), (0, [0] * 3), 'three at once, of everything') or tap.note(r.show())
    for i in range(3):
        t = check(os.path.join(box.root, '%d.out' % i), 'at once %d' % i)
        tap.equal(t.end, ('snapshot', 0), 'at once %d: says what it is' % i)
    check(os.path.join(r.directory, 'trace.out'), 'at once: the trace')
    box.close()


def fails():
    box = Box()
    r = box.run('flight', 'fails', box.root, spec='trace=threads,ring=1s')
    tap.equal(r.status, 0, 'fails: the program goes on') or tap.note(r.show())
    truth = r.truth
    bytes_read = truth.pop('bytes')
    tap.equal(truth, {'pipe': -EPIPE, 'full': -ENOSPC, 'nothing': -EBADF, 'read_only': -EBADF, 'limit': -EFBIG,
                      'blocked': -EPIPE, 'pending': 1, 'seen': 1, 'reader': 0},
              'fails: each way is an error, and no signal comes that was not there')
    tap.ok(bytes_read > 1000, 'fails: a reader gets it')
    check(os.path.join(r.directory, 'trace.out'), 'fails: the trace')
    r = box.run('flight', 'both', box.root, 1, 1, spec='cpu')
    tap.equal(r.truth['results'], [-EAGAIN], 'fails: where nothing is traced')
    box.close()


def deaths():
    for way, number in (('kill', 9), ('segv', 11)):
        box = Box()
        r = box.run('flight', 'ends', way, spec='trace=threads,ring=1s', before=no_core)
        tap.equal(r.status, -number, '%s: status' % way)
        t = check(os.path.join(r.directory, 'trace.out'), way)
        tap.equal(t.end, ('signal', number), '%s: how it ended' % way)
        tap.equal(counts(t, 'last word'), [7], '%s: its last word is there' % way)
        last = t.named('counter')[-1].ns
        tap.equal(missing(t, 4), [], '%s: the last seconds are without holes' % way)
        first = max(e.ns for e in [next(e for e in t.named('counter') if e['name'] == 'flight%d' % i) for i in range(4)])
        tap.ok(last - first > 0.9e9 and counts(t, 'flight0')[0] > 0, '%s: the last second, and not all' % way, last - first)
        box.close()


class Running:
    """The program that stays, under `cprof run`."""

    def __init__(self, box, spec, threads=3, **more):
        self.output = os.path.join(box.root, 'stays')
        self.p = subprocess.Popen([box.cprof, 'run', '-p', spec, '-o', self.output, '--', program('flight'), 'stays',
                                   str(threads)], cwd=box.cwd, env=box.environment(), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.pid = json.loads(self.p.stdout.readline())['pid']

    def end(self):
        _, err = self.p.communicate(timeout=60)
        return self.p.returncode, err.decode()


def from_outside():
    box = Box()
    running = Running(box, 'trace=threads,ring=1s')
    for i in range(3):
        r = box.command('ctl', running.pid, 'dump', 'trace', *(['-o', 'here.out'] if i > 0 else []))
        tap.equal((r.status, r.out), (0, ''), 'ctl %d: done' % i) or tap.note(r.show())
        name = 'here.out' if i > 0 else 'trace.%d.out' % running.pid
        tap.ok(re.search(r'^cprof: \d+ bytes in %s; next: cprof-trace %s$' % (name, name), r.err), 'ctl %d: says where' % i, r.err)
        path = os.path.join(box.cwd, name)
        t = check(path, 'ctl %d' % i)
        tap.equal((t.end, t.lost(), missing(t, 3), t.header.pid), (('snapshot', 0), 0, [], running.pid), 'ctl %d: what it was' % i)
        tap.equal(os.stat(path).st_mode & 0o777, 0o600, 'ctl %d: for nobody else' % i)
    done = subprocess.run([box.cprof, 'ctl', str(running.pid), 'dump', 'trace', '-o', '-'], env=box.environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tap.equal((done.returncode, done.stderr, done.stdout[8:16]), (0, b'', b'CPROFTRC'), 'ctl: to standard output')
    tap.equal(sorted(os.listdir(box.cwd)), ['here.out', 'trace.%d.out' % running.pid], 'ctl: nothing else is left')

    # who wants to write where it cannot
    for where, words in (('/dev/full', 'no regular file'), (os.path.join(box.root, 'none', 'x', ''), 'name is expected')):
        r = box.command('ctl', running.pid, 'dump', 'trace', '-o', where)
        tap.ok(r.status == 1 and words in r.err, 'ctl: %s is an error' % os.path.basename(where), r.show())
    with open('/dev/full', 'w') as full:
        done = subprocess.run([box.cprof, 'ctl', str(running.pid), 'dump', 'trace', '-o', '-'], env=box.environment(),
                              stdout=full, stderr=subprocess.PIPE)
    tap.equal((done.returncode, done.stderr), (1, b'cprof: ctl: standard output: No space left on device\n'), 'ctl: a full disk')
    tap.equal(running.end()[0], 0, 'ctl: the program ends as ever')
    check(os.path.join(running.output, 'trace.out'), 'ctl: the trace')
    r = box.command('ctl', running.pid, 'dump', 'trace')
    tap.equal((r.status, r.err), (1, 'cprof: ctl: there is no process %d\n' % running.pid), 'ctl: no such process')
    r = box.command('ctl', os.getpid(), 'dump', 'trace')
    tap.ok(r.status == 1 and 'process %d does not run under `cprof run`' % os.getpid() in r.err, 'ctl: one without cprof', r.err)
    for words in ([], ['1'], ['x', 'dump', 'trace'], ['1', 'dump'], ['1', 'dumm', 'trace'], ['1', 'dump', ''],
                  ['1', 'dump', 'trace', 'more'], ['-5', 'dump', 'trace'], ['1', 'dump', 'trace', '-x']):
        r = box.command('ctl', *words)
        tap.ok(r.status == 2 and r.err.startswith('cprof: ctl: ') and r.out == '', 'ctl: usage: %s' % ' '.join(words), r.show())
    r = box.command('ctl', '--help')
    tap.ok(r.status == 0 and 'dump NAME' in r.out and r.err == '', 'ctl: help')
    box.close()


def windows():
    """The next second of a trace that runs already: without what was long before, and as whole as all of it."""
    box = Box()
    running = Running(box, 'trace=threads')
    path = os.path.join(box.cwd, 'all.out')
    first = 0
    for i in range(2):
        # a generation has two seconds: what was before the one that is under way is not wanted
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() > begun + 2.5)
        r = box.command('ctl', running.pid, 'dump', 'trace', '-seconds', '1', '-o', 'window.out')
        tap.equal((r.status, r.out), (0, ''), 'window %d: done' % i) or tap.note(r.show())
        t = check(os.path.join(box.cwd, 'window.out'), 'window %d' % i)
        tap.equal((t.end, t.lost(), missing(t, 3)), (('snapshot', 0), 0, []), 'window %d: without holes' % i)
        seen = counts(t, 'flight0')
        box.command('ctl', running.pid, 'dump', 'trace', '-o', path)
        whole = counts(check(path, 'window %d: all of it' % i, False), 'flight0')
        tap.ok(whole[0] == 0 and whole[-1] >= seen[-1], 'window %d: who asks for all of it has all of it' % i, (whole[0], whole[-1]))
        tap.ok(seen[0] > first, 'window %d: not from the beginning, and later than the one before' % i, (first, seen[0], seen[-1]))
        first = seen[0]
    running.end()
    tap.equal(missing(check(os.path.join(running.output, 'trace.out'), 'windows: the trace', False), 3, True), [], 'windows: the trace has all')
    box.close()


def ask_as_nobody(path, pid):
    """The error that another user gets."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(struct.pack('<QiI', 0x314b534146525043, pid, 0))
        os.write(theirs, b'%d' % struct.unpack('<Qi', s.recv(1000)[:12])[1])
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, 'rb') as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def others_may_not():
    """Nor those of another user, nor who talks nonsense; and the environment may be written over."""
    box = Box()
    running = Running(box, 'cpu')
    r = box.command('ctl', running.pid, 'dump', 'trace')
    tap.equal((r.status, r.err), (1, 'cprof: ctl: process %d is not traced: `cprof run -p trace` does that\n' % running.pid),
              'others: one that is not traced')
    running.end()

    running = Running(box, 'trace=threads,ring=1s')
    path = next(os.path.join(d, f) for d, _, files in os.walk(box.runtime) for f in files if not f.endswith('.sock'))
    for message, closes in ((b'CPRFASK1', True), (b'CPRFASK1' + bytes(7), True), (b'CPRFASK1' + bytes(9), True),
                            (struct.pack('<QiI', 0x314b534146525043, -1, 0), False),
                            (struct.pack('<QiI', 0x314b534146525043, 1, 0), False),
                            (struct.pack('<QiI', 0x314b534146525043, 0, 7), False)):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(path)
            s.sendall(message)
            answer = s.recv(1000)
            if closes:
                tap.equal(answer, b'', 'others: %r is not answered' % message)
            else:
                tap.equal(struct.unpack('<Qi', answer[:12]), (0x31534e4146525043, -ESRCH), 'others: %r is refused' % message)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for s in waiting:  # asks, and goes away without having read the answer
        s.connect(path)
        s.sendall(struct.pack('<QiI', 0x314b534146525043, running.pid, 0))
        s.close()
    r = box.command('ctl', running.pid, 'dump', 'trace', '-o', 'after.out')
    for _ in range(100):
        if 'too many ask' not in r.err:
            break
        time.sleep(0.1)
        r = box.command('ctl', running.pid, 'dump', 'trace', '-o', 'after.out')
    tap.equal(r.status, 0, 'others: those who leave do not matter') or tap.note(r.show())
    check(os.path.join(box.cwd, 'after.out'), 'others: after them')
    if os.geteuid() == 0:
        shown = box.publish()
        done = subprocess.run([os.path.join(shown, 'cli', 'cprof'), 'ctl', str(running.pid), 'dump', 'trace', '-o', '-'],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=box.environment(), user=65534, group=65534,
                              extra_groups=[])
        tap.equal((done.returncode, done.stdout, done.stderr), (1, b'', b'cprof: ctl: process %d is another user\'s\n' % running.pid),
                  'others: another user by the command')
        tap.equal(ask_as_nobody(path, running.pid), b'-1', 'others: and one who knows the socket')
    else:
        tap.skip('others: another user', 'root only')
    tap.equal(running.end()[0], 0, 'others: the program ends as ever')
    check(os.path.join(running.output, 'trace.out'), 'others: the trace')
    box.close()


def covered():
    """A program that writes over its environment is found all the same."""
    box = Box()
    running = Running(box, 'trace=threads,ring=1s')
    environment = open('/proc/%d/environ' % running.pid, 'rb').read()
    begin, end = (int(n) for n in open('/proc/%d/stat' % running.pid).read().rsplit(')', 1)[1].split()[47:49])
    with open('/proc/%d/mem' % running.pid, 'r+b', buffering=0) as memory:
        memory.seek(begin)
        memory.write(bytes(end - begin))
    tap.ok(b'CPROF_SESSION' in environment and b'CPROF' not in open('/proc/%d/environ' % running.pid, 'rb').read(),
           'covered: it has no environment any more')
    r = box.command('ctl', running.pid, 'dump', 'trace', '-o', 'covered.out')
    tap.equal(r.status, 0, 'covered: it is found') or tap.note(r.show())
    check(os.path.join(box.cwd, 'covered.out'), 'covered')
    running.end()
    box.close()


def triggered(directory):
    """The snapshots that are there, by their numbers."""
    found = [re.match(r'trace\.(\d+)\.out$', name) for name in os.listdir(directory)]
    return sorted(int(m.group(1)) for m in found if m)


def regions():
    limit = 200
    for spec, has_ring in (('trace=threads,trace.on=work>%dms' % limit, True),
                           ('trace=threads,ring=16MiB,trace.on=work>%dms' % limit, True)):
        box = Box()
        output = os.path.join(box.root, 'out')
        r = box.run('flight', 'regions', output, limit, spec=spec, output=output)
        tap.equal(r.status, 0, 'regions: status') or tap.note(r.show())
        took = [r for r in r.truth['regions'] if r is not None and r[0] == 'work']
        nested = 3  # the last ones, which end together
        # the how manieth they are; a machine that stands still makes one too long that was not to be
        sure = [i for i, (_, inside, _) in enumerate(took[:-nested], 1) if inside > limit * 1000000]
        maybe = [outside for _, inside, outside in took[:-nested] if inside <= limit * 1000000 < outside]
        files = triggered(output)
        tap.equal(files, list(range(1, len(files) + 1)), 'regions: snapshots by their numbers')
        tap.ok(len(sure) + 1 <= len(files) <= len(sure) + len(maybe) + nested,
               'regions: as many as were too long: %d' % len(files), (files, took))
        for n, ended in enumerate(sure if not maybe else [], 1):
            t = check(os.path.join(output, 'trace.%d.out' % n), 'regions: snapshot %d' % n, has_ring)
            ends = [e for e in t.named('region.end') if e['name'] == 'work']
            begins = [e for e in t.named('region.begin') if e['name'] == 'work']
            tap.ok(t.end == ('snapshot', 0) and ends[-1].ns - begins[-1].ns > limit * 1e6 and len(ends) == ended,
                   'regions: snapshot %d is of the region that was too long' % n, (t.end, len(ends)))
        tap.ok('; %d snapshots by trace.on=' % len(files) in r.err and 'no snapshot' not in r.err, 'regions: the closing line', r.err)
        check(os.path.join(output, 'trace.out'), 'regions: the trace', has_ring)
        tap.equal(len(os.listdir(output)), len(files) + 1, 'regions: nothing else is there')
        box.close()


def many():
    box = Box()
    output = os.path.join(box.root, 'out')
    r = box.run('flight', 'many', output, 21, spec='trace=threads,trace.on=work>1ms', output=output)
    tap.equal((r.status, r.truth), (0, {'seen': 16}), 'many: status') or tap.note(r.show())
    tap.equal(triggered(output), list(range(1, 17)), 'many: sixteen are enough')
    tap.ok('; 16 snapshots by trace.on=; 5 regions longer than trace.on= says had no snapshot any more' in r.err,
           'many: the rest is counted', r.err)
    for n in (1, 16):
        t = check(os.path.join(output, 'trace.%d.out' % n), 'many: %d' % n)
        tap.equal(len(t.named('region.end')), n, 'many: %d: up to that one' % n)
    r = box.run('flight', 'many', output, 0, spec='trace=threads,trace.on=work>1ms', output=output)
    tap.ok('trace.on' not in r.err, 'many: where there was none', r.err)
    box.close()


def families():
    """Snapshots lie beside the trace that they are of."""
    box = Box()
    spec = 'trace=threads,trace.on=work>1ms'
    output = os.path.join(box.root, 'execs')
    r = box.run('flight', 'execs', output, spec=spec, output=output)
    tap.equal((r.status, r.truth), (0, {'seen': 2}), 'execs: status') or tap.note(r.show())
    tap.equal(triggered(output), [1, 2], 'execs: those of the program that it is now')
    before = r.children()
    tap.equal(len(before), 1, 'execs: and of what it was')
    below = os.path.join(output, before[0])
    tap.equal(sorted(os.listdir(below)), ['trace.1.out', 'trace.out'], 'execs: have their place')
    a, b = (check(os.path.join(where, 'trace.1.out'), 'execs') for where in (below, output))
    tap.equal((len(a.named('region.end')), len(b.named('region.end'))), (1, 1), 'execs: each with its own region')
    tap.equal(check(os.path.join(below, 'trace.out'), 'execs: the first').end, ('exec', 0), 'execs: the first ends with it')
    tap.ok('; 3 snapshots by trace.on=' in r.err, 'execs: the closing line', r.err)

    output = os.path.join(box.root, 'forks')
    r = box.run('flight', 'forks', output, spec=spec, output=output)
    below = 'flight.%d' % r.truth['child']
    tap.equal((r.status, r.children(), triggered(output)), (0, [below], []), 'forks: the child has its own')
    t = check(os.path.join(output, below, 'trace.1.out'), 'forks')
    tap.equal((t.header.pid, len(t.named('region.end'))), (r.truth['child'], 1), 'forks: its own')
    tap.ok('; 1 snapshot by trace.on=' in r.err, 'forks: the closing line', r.err)
    box.close()


def keeper():
    """`cprof run` has ended, and who goes on in its place answers."""
    box = Box()
    r = box.run('flight', 'outlives', spec='trace=threads,ring=1s')
    child = r.truth['child']
    tap.ok('still run' in r.err, 'keeper: is told', r.err)
    at = os.path.join(box.cwd, 'kept.out')

    def both_work():
        return box.command('ctl', child, 'dump', 'trace', '-o', at).status == 0 and missing(trace_file.read(at), 2) == []

    tap.ok(wait_for(both_work), 'keeper: answers')
    t = check(at, 'keeper')
    tap.equal((t.end, t.header.pid), (('snapshot', 0), child), 'keeper: what it was')
    os.kill(child, signal.SIGKILL)
    path = os.path.join(r.directory, 'flight.%d' % child, 'trace.out')
    tap.ok(wait_for(lambda: os.path.exists(path) and trace_file.read(path).end is not None, 30), 'keeper: ends with it')
    check(path, 'keeper: the trace')
    box.close()


def crowded():
    """A small file system: what finds no room is no half of a snapshot, and is counted."""
    if os.geteuid() != 0:
        tap.skip('crowded', 'only root mounts a file system')
        return
    box = Box()
    small = os.path.join(box.root, 'small')
    os.mkdir(small)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=160k', 'none', small], stderr=subprocess.DEVNULL).returncode:
        tap.skip('crowded', 'no file system may be mounted here')
        box.close()
        return
    try:
        output = os.path.join(small, 'out')
        r = box.run('flight', 'crowded', spec='trace=threads,trace.on=work>1ms', output=output)
        tap.equal(r.status, 0, 'crowded: the program does not notice')
        tap.ok('; 1 region longer than trace.on= says had no snapshot any more' in r.err, 'crowded: is told', r.err)
        tap.equal(os.listdir(output), ['trace.out'], 'crowded: no part of one is left')
        r = box.run('flight', 'both', box.root, 1, 8, spec='trace=threads,ring=5s', output=output)
        tap.ok(r.status == 0 and r.truth['results'] in ([0], [-ENOSPC]), 'crowded: who asks is told', r.show())
    finally:
        subprocess.run(['umount', small])
        box.close()


def in_process():
    """Without a launcher: what the segment holds, from its beginning."""
    box = Box()
    output = os.path.join(box.root, 'out')
    env = {'LD_PRELOAD': LIBRARY, 'CPROF': 'trace=threads,out=' + output}
    r = box.plain('flight', 'snapshots', box.root, 3, 3, env=env)
    tap.equal((r.status, r.truth['results'], r.err), (0, [0] * 3, ''), 'in process: three snapshots') or tap.note(r.show())
    for i in range(3):
        about = 'in process: snapshot %d' % i
        t = check(os.path.join(box.root, '%d.out' % i), about, False)
        tap.equal(t.end, ('snapshot', 0), '%s: says what it is' % about)
        tap.equal((counts(t, 'before'), counts(t, 'after')), (list(range(i + 1)), list(range(i))), '%s: has what came before' % about)
        tap.equal((t.lost(), missing(t, 3, True)), (0, []), '%s: without holes' % about)
    t = check(os.path.join(output, 'trace.out'), 'in process: the trace', False)
    tap.ok(t.end[0] in ('stopped', 'exited'), 'in process: how it ended', t.end)
    tap.equal((t.lost(), missing(t, 3, True), counts(t, 'after')), (0, [], [0, 1, 2]), 'in process: all of it')
    tap.equal(t.metadata.get('exe'), os.path.realpath(program('flight')), 'in process: and what it is of')

    output = os.path.join(box.root, 'calls')
    r = box.plain('flight', 'starts', output, 'trace', env={'LD_PRELOAD': LIBRARY})
    tap.equal((r.status, r.truth['results'], r.err), (0, [0] * 4, ''), 'in process: by calls') or tap.note(r.show())
    t = check(os.path.join(output, 'trace.out'), 'in process: by calls', False)
    tap.equal((t.end, missing(t, 2, True), t.lost()), (('stopped', 0), [], 0), 'in process: by calls: all of it')
    t = check(os.path.join(output, 'again', 'trace.out'), 'in process: again', False)
    tap.equal((counts(t, 'between'), counts(t, 'again')), ([], [1]), 'in process: again: with what came after')

    # more than finds room
    output = os.path.join(box.root, 'small')
    r = box.plain('flight', 'snapshots', box.root, 8, 8, env={'LD_PRELOAD': LIBRARY, 'CPROF': 'trace=threads,memory=1m,out=' + output})
    tap.equal((r.status, r.truth['results']), (0, [0] * 8), 'in process: a small one') or tap.note(r.show())
    t = check(os.path.join(output, 'trace.out'), 'in process: a small one', False)
    tap.ok(t.lost() > 0 and len(t.named('counter')) > 1000, 'in process: what found no room is counted', t.lost())

    r = box.plain('flight', 'starts', output, 'trace,trace.on=x>1s', env={'LD_PRELOAD': LIBRARY})
    tap.equal(r.truth['results'][0], -ENOTSUP, 'in process: nobody writes for trace.on=')
    tap.ok("cprof run -p 'trace,trace.on=x" in r.err, 'in process: is told', r.err)
    box.close()


def in_process_ring():
    """The end of it, as much as there is room for."""
    box = Box()
    output = os.path.join(box.root, 'out')
    env = {'LD_PRELOAD': LIBRARY, 'CPROF': 'trace,ring=1s,memory=1m,out=' + output}
    r = box.plain('flight', 'snapshots', box.root, 10, 4, env=env)
    tap.equal((r.status, r.truth['results'], r.err), (0, [0] * 10, ''), 'ring in process: snapshots') or tap.note(r.show())
    for i in (0, 8, 9):
        about = 'ring in process: snapshot %d' % i
        t = check(os.path.join(box.root, '%d.out' % i), about)
        tap.equal((t.end, counts(t, 'before')[-1:], t.lost(), missing(t, 4)), (('snapshot', 0), [i], 0, []), '%s: up to then' % about)
        tap.ok(all(any(name.startswith('flight') for name in [t.threads[n].name]) for n in t.threads), '%s: all have names' % about,
               t.threads)
    t = check(os.path.join(output, 'trace.out'), 'ring in process: the trace')
    tap.equal((counts(t, 'after')[-1:], missing(t, 4)), ([9], []), 'ring in process: to the end')
    tap.ok(counts(t, 'flight0')[0] > 0, 'ring in process: not from the beginning', counts(t, 'flight0')[0])
    box.close()


tap.run(rings, logs, all_levels, fails, deaths, from_outside, windows, others_may_not, covered, regions, many, families, keeper,
        crowded, in_process, in_process_ring)
