#!/usr/bin/env python3
"""Tables of cprof-trace: their forms and options, and whether what they say of real runs is so."""

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import termios

import tap
import trace_file
from cprof import BUILD, Box

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden', 'trace-1.0.out')
STATES = ['running', 'runnable', 'lock', 'wait', 'syscall', 'idle', 'spin', 'unknown']


def run(*args, env=None):
    environment = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'COLUMNS')}
    environment.update(env or {})
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=300)
    r.text, r.said = r.stdout.decode(), r.stderr.decode()
    return r


def rows_of(*args):
    r = run(*args, '--json')
    tap.ok(r.returncode == 0 and '\x1b' not in r.text, 'JSON: %s' % ' '.join(a for a in args if '/' not in a), r.said)
    return json.loads(r.text)


def forms():
    rows = rows_of(GOLDEN, 'threads')
    tap.equal(sorted(r['name'] for r in rows), ['main', 'worker-1', 'worker-3'], 'a row for each thread')
    tap.equal(sorted(r['tid'] for r in rows), [4711, 4712, 4713], 'with its id')
    tap.ok(all(list(r['states']) == [s + '_ns' for s in STATES] for r in rows), 'and its states')
    r = run(GOLDEN, 'threads', '--csv')
    table = list(csv.DictReader(io.StringIO(r.text, newline='')))
    tap.ok(r.text.count('\r\n') == 4 and [row['name'] for row in table] == [row['name'] for row in rows] and
           [int(row['states.lock_ns']) for row in table] == [row['states']['lock_ns'] for row in rows], 'CSV', r.text)
    r = run(GOLDEN, 'threads')
    lines = r.text.splitlines()
    tap.ok(r.returncode == 0 and r.said == '' and lines[0].split()[:3] == ['name', 'tid', 'life'] and lines[4] == '' and
           '12 events were lost in 1 gap' in r.text, 'text, and what it does not know', r.text + r.said)
    tap.ok('spin' not in lines[0], 'without states that nobody was in', lines[0])
    tap.ok('\x1b[1m' + lines[0] in run(GOLDEN, 'threads', '--color=always').text, 'headings are bold')
    tap.ok(max(map(len, run(GOLDEN, 'threads', env={'COLUMNS': '300'}, *['-v']).text.splitlines()[:4])) > 100, '-v has more columns')


def options():
    def names(*args):
        return [r['name'] for r in rows_of(GOLDEN, 'threads', *args)]

    tap.equal(names('--sort', 'name'), ['main', 'worker-1', 'worker-3'], '--sort by text ascends')
    tap.equal(names('--sort', 'life', '-r')[-1], names('--sort', 'life_ns')[0], '-r is the other way round')
    tap.equal(names('--sort=tid', '--limit', '2'), ['main', 'worker-1'], '--limit')
    tap.equal(names('--threads', 'worker'), sorted(names('--threads', 'worker')), '--threads')
    r = run(GOLDEN, 'threads', '--limit=1')
    tap.ok('… and 2 more (--limit 0)' in r.text, 'what is left out is said', r.text)
    r = run(GOLDEN, 'threads', '--sort', 'nmae')
    tap.ok(r.returncode == 2 and 'nmae' in r.said and 'life_ns' in r.said and r.stdout == b'', 'an unknown column', r.said)
    groups = rows_of(GOLDEN, 'threads', '--group', 'name')
    tap.equal(sorted((g['name'], g['threads'], g['tid']) for g in groups), [('main', 1, None), ('worker', 2, None)], '--group name')
    single = rows_of(GOLDEN, 'threads')
    tap.equal(sum(g['life_ns'] for g in groups), sum(t['life_ns'] for t in single), 'has the same in sum')
    r = run(GOLDEN, 'threads', '--group', 'colour')
    tap.ok(r.returncode == 2 and 'start' in r.said, 'an unknown group', r.said)
    r = run(GOLDEN, 'threads', '--from', '3s', '--to', '2s', '--json')
    tap.equal((r.returncode, r.stdout), (2, b''), 'a range that ends before it begins')
    tap.ok('--to 2s is before --from 3s' in r.said, 'and why', r.said)
    tap.ok('no threads' in run(GOLDEN, 'threads', '--from', '9s').text, 'in words')


def on_terminal(columns):
    """What a terminal of that width gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'COLUMNS')}
    p = subprocess.Popen([TRACE, GOLDEN, 'threads', '-v'], stdout=theirs, stderr=subprocess.PIPE,
                         env=dict(env, PAGER='cat', TERM='xterm'))
    os.close(theirs)
    text = b''
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    p.wait(timeout=60)
    os.close(ours)
    return text.decode().replace('\r\n', '\n')


def widths():
    def text(columns):
        return run(GOLDEN, 'threads', '-v', env={'COLUMNS': str(columns)}).text

    def longest(columns):
        return max(map(len, text(columns).splitlines()))

    whole = longest(1000)
    tap.ok('…' not in text(1000) and text(whole) == text(1000), 'a table as it comes', whole)
    tap.ok(longest(whole - 1) == whole - 1 and '…' in text(whole - 1), 'is as wide as COLUMNS says', text(whole - 1))
    tap.equal(run(GOLDEN, 'threads', '-v').text, text(100), '100 where nothing says')
    wide = on_terminal(1000)
    tap.equal(wide.replace('\x1b[1m', '').replace('\x1b[2m', '').replace('\x1b[0m', ''), text(1000), 'or as a terminal is')
    tap.ok(wide.startswith('\x1b[1mname'), 'in colour there')


def damage():
    box = Box()
    with open(GOLDEN, 'rb') as file:
        whole = file.read()
    cut = os.path.join(box.root, 'cut')
    with open(cut, 'wb') as file:
        file.write(whole[:-60])
    r = run(cut, 'threads')
    tap.ok(r.returncode == 0 and 'the trace is damaged' in r.text and r.said == '', 'text says that it is damaged', r.text + r.said)
    r = run(cut, 'threads', '--json')
    tap.ok(r.returncode == 0 and json.loads(r.text) and 'is damaged' in r.said, 'JSON warns', r.said)
    r = run(cut, 'threads', '--json', '-q')
    tap.ok(r.returncode == 0 and r.said == '', 'unless -q', r.said)
    for more in ([], ['--json'], ['--csv']):
        tap.equal(run(cut, 'threads', '--strict', *more).returncode, 3, '--strict %s' % ' '.join(more))
    tap.equal(run(GOLDEN, 'threads', '--strict').returncode, 0, 'of a whole one is 0')
    box.close()


def check_sums(path, about):
    """States add up to lives, whole and in parts, and lives are those of the events."""
    t = trace_file.read(path)
    starts = {e.thread: e.ns for e in t.named('thread.start')}
    ends = {e.thread: e.ns for e in t.named('thread.exit')}
    lives = {t.threads[n].tid: ends[n] - starts[n] for n in starts if n in ends}
    rows = rows_of(path, 'threads')
    wrong = [(r['tid'], r['life_ns'], sum(r['states'].values())) for r in rows if sum(r['states'].values()) != r['life_ns']]
    tap.equal(wrong, [], '%s: states add up to lives' % about)
    told = {r['tid']: r['life_ns'] for r in rows}
    tap.equal({tid: told.get(tid) for tid in lives}, lives, '%s: which are those of the events' % about)
    parts = {}
    cuts = [0] + [int(rows_span(rows) * share) for share in (0.2, 0.41, 0.5, 0.9)] + [None]
    for a, b in zip(cuts, cuts[1:]):
        part = rows_of(path, 'threads', '--from', '%dns' % a, *(['--to', '%dns' % b] if b is not None else []))
        wrong = [r for r in part if sum(r['states'].values()) != r['life_ns']]
        tap.equal(wrong, [], '%s: and from %r to %r' % (about, a, b))
        for r in part:
            parts[r['tid']] = parts.get(r['tid'], 0) + r['life_ns']
    tap.equal(parts, told, '%s: and the parts to the whole' % about)
    return t, rows


def rows_span(rows):
    return max(r['life_ns'] for r in rows)


def sums():
    box = Box()
    for argv, spec in ((['schedules', 'queue'], 'trace=all'), (['schedules', 'philosophers'], 'trace=locks'),
                       (['schedules', 'convoy'], 'trace=all'), (['schedules', 'join'], 'trace=all'),
                       (['schedules', 'pipe'], 'trace=all'), (['traced'], 'trace=threads')):
        r = box.run(*argv, spec=spec)
        check_sums(os.path.join(r.directory, 'trace.out'), '%s %s' % (argv[-1], spec))
    box.close()


def on_processors(t):
    """By the kernel's records, from the first of them on: ns that each thread was on a processor; and when that was."""
    records = t.named('sched.in', 'sched.out')
    begin = records[0].ns
    ends = {e.thread: e.ns for e in t.named('thread.exit')}
    starts = {e.thread: max(e.ns, begin) for e in t.named('thread.start')}
    ran, since = {}, {}
    for e in records:
        n = e['thread']
        if n not in starts:
            continue
        if n not in ran:
            ran[n], since[n] = 0, starts[n] if e.name == 'sched.out' else None
        if e.name == 'sched.in':
            since[n] = e.ns
        elif since[n] is not None:
            ran[n] += max(0, min(e.ns, ends[n]) - max(since[n], starts[n]))
            since[n] = None
    for n, ns in since.items():
        if ns is not None:
            ran[n] += max(0, ends[n] - max(ns, starts[n]))
    return begin, {t.threads[n].tid: ns for n, ns in ran.items()}


def stolen_ns():
    """Of all processors: what the machine below took, and interrupts, of which a thread's own clock knows nothing."""
    with open('/proc/stat') as file:
        ticks = [int(n) for n in file.readline().split()[1:]]
    return sum(ticks[5:8]) * 1e9 / os.sysconf('SC_CLK_TCK')


def processors():
    box = Box()
    stolen = stolen_ns()
    r = box.run('burn', 'threads', 1, spec='trace=all')
    stolen = stolen_ns() - stolen
    path = os.path.join(r.directory, 'trace.out')
    t, rows = check_sums(path, 'burn')
    told = json.loads(run(path, 'info', '--json').text)
    if 'switches' not in told['capabilities']:
        tap.skip('running time', 'no records of switches here')
        return
    begin, by_records = on_processors(t)
    running = {row['tid']: row['states']['running_ns']
               for row in rows_of(path, 'threads', '--from', '%dns' % (begin - told['begun_monotonic_ns']))}
    for tid, ns in sorted(by_records.items()):
        tap.between(running[tid] - ns, -1e5, 1e5, 'burn: it ran as long as the switches say: %d ns' % ns)
    workers = sorted((row for row in rows if row['start']), key=lambda row: row['tid'])
    for row, name in zip(workers, ('burn_1', 'burn_2', 'burn_3', 'burn_4')):
        ns, own = row['states'], r.truth[name]
        # its own clock stands still in what was stolen, and each switch takes some of it between two records; of what is
        # not known, it may have run all
        tap.between(ns['running_ns'] - own, -0.01 * own - ns['unknown_ns'], 0.01 * own + stolen,
                    'burn: as long as its own clock: %d ns' % own)
    tap.between(sum(row['cpu_share'] for row in rows), 0.9999, 1.0001, 'burn: shares of all CPU time are all of it')
    tap.ok(all(row['switches']['voluntary'] is not None for row in rows), 'burn: switches are counted')
    box.close()


def groups():
    box = Box()
    r = box.run('schedules', 'convoy', spec='trace=all')
    path = os.path.join(r.directory, 'trace.out')
    rows = rows_of(path, 'threads')
    by_start = rows_of(path, 'threads', '--group', 'start')
    starts = {row['start'] for row in rows}
    tap.equal({g['start'] for g in by_start}, starts, 'a row for each function that threads began with')
    tap.equal({g['name'] for g in by_start if g['start']}, starts - {None}, 'which is its name')
    tap.ok(len(by_start) < len(rows) and None in starts, 'of which some have several, and the first thread none', by_start)
    for key in ('life_ns', 'calls', 'waits'):
        tap.equal(sum(g[key] for g in by_start), sum(row[key] for row in rows), 'groups add up: ' + key)
    tap.equal({row['parent'] for row in rows if row['start']}, {rows_main(rows)}, 'the first thread began them all')
    tap.ok(all(row['exit'] for row in rows), 'and all of them ended', [row['exit'] for row in rows])
    box.close()


def rows_main(rows):
    return next(row['name'] for row in rows if row['start'] is None)


tap.run(forms, options, widths, damage, sums, processors, groups)
