#!/usr/bin/env python3
"""
Every number that cprof-trace prints, beside a count of the same events that shares nothing with it (trace_tables.py): of programs with a
known schedule, a compiler, python3, sqlite3, sort and a server under load; of the whole trace, of ranges of time and of some threads.

Ranges are drawn by chance; CPROF_SEED=N draws those of another run.
"""

import collections
import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys

import tap
import trace_file
import trace_story as story
import trace_tables
from cprof import BUILD, Box, wait_for
from pprof import Profile

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
SEED = int(os.environ.get('CPROF_SEED') or random.SystemRandom().randrange(1 << 32))
LOCK_KINDS = {'mutex', 'rwlock', 'spin', 'object'}
MIXED = ('wait', 'idle', 'runnable')  # which of them it is, of what has no strict order, is for the viewer to judge

box = Box()
dice = random.Random(SEED)


def view(*args):
    env = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'LD_PRELOAD')}
    r = subprocess.run([VIEWER, *(str(a) for a in args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=env, timeout=300)
    r.said = r.stderr.decode(errors='replace')
    return r


class Recording:
    def __init__(self, name, path):
        self.name, self.path = name, path
        self.story = trace_tables.Story(trace_file.read(path))
        self.t = self.story.t
        self.length = self.story.last - self.story.begun

    def ranges(self):
        """(options, Range): all of it, a range of time, and some of the threads from some moment on."""
        yield [], trace_tables.Range(self.story)
        since, until = sorted(dice.randrange(self.length) for _ in range(2))
        yield ['--from', '%dns' % since, '--to', '%dns' % until], trace_tables.Range(self.story, since, until)
        tids = sorted(self.t.threads[n].tid for n in self.story.lives)
        some = set(dice.sample(tids, max(1, len(tids) // 2)))
        since = dice.randrange(self.length // 2)
        yield (['--threads', ','.join(map(str, sorted(some))), '--from', '%dns' % since],
               trace_tables.Range(self.story, since, None, some))


class Asked:
    """A recording in one of its ranges: what does not agree is collected, and is one point."""

    def __init__(self, recording, options, wanted):
        self.recording, self.options, self.range, self.wrong = recording, options, wanted, []

    def ask(self, *command):
        r = view(self.recording.path, *command, *self.options, '-q')
        if r.returncode != 0:
            raise RuntimeError('%s: %d %s' % (' '.join(command), r.returncode, r.said))
        return r.stdout

    def rows(self, *command):
        return json.loads(self.ask(*command, '--json', '--no-symbols'))

    def same(self, about, got, want):
        if got == want:
            return
        if isinstance(got, dict) and isinstance(want, dict):
            keys = [k for k in set(got) | set(want) if got.get(k) != want.get(k)]
            self.wrong += [(about, k, 'got', got.get(k), 'wanted', want.get(k)) for k in sorted(keys, key=str)[:3]]
        else:
            self.wrong.append((about, 'got', got, 'wanted', want))

    def near(self, about, got, of, share):
        """A percentile is right within 7 %, and never above the largest."""
        want = of.at(share)
        if got is None or not (0.93 * want - 1 <= got <= 1.07 * want + 1 and got <= of.max):
            self.wrong.append((about, share, 'got', got, 'wanted', want))


def bag(rows):
    """What is there, and how often."""
    return collections.Counter(rows)


# ---- threads ----

def mixed(states, is_mixed):
    found = {name: states.get(name, 0) for name in trace_tables.STATES}
    if is_mixed:
        found['wait'] = sum(found.pop(name) for name in MIXED)
    return found


def threads(a):
    w, s = a.range, a.range.s
    rows = {r['tid']: r for r in a.rows('threads')}
    counted, states = w.threads(), w.states()
    a.same('threads', set(rows), set(counted))
    numbers = {s.t.threads[n].tid: n for n in s.lives}
    cpu = sum(each['running'] + each['spin'] for each in states.values())
    for tid, (life, calls, waits, preempted, blocked) in counted.items():
        row, n = rows.get(tid), numbers[tid]
        if row is None:
            continue
        got = {name[:-3]: ns for name, ns in row['states'].items()}
        a.same('states of %s' % row['name'], mixed(got, n in s.unordered), mixed(states[n], n in s.unordered))
        a.same('thread %s' % row['name'], (row['life_ns'], row['calls'], row['waits']), (life, calls, waits))
        if row['switches']['voluntary'] is not None:
            a.same('switches', (row['switches']['involuntary'], row['switches']['voluntary']), (preempted, blocked))
        mine = states[n]['running'] + states[n]['spin']
        if cpu:
            a.same('share of the CPU time', '%.6g' % row['cpu_share'], '%.6g' % (mine / cpu))
    return states


def check_threads(a):
    states = threads(a)
    groups = a.rows('threads', '--group', 'name')
    a.same('groups', (sum(g['threads'] for g in groups), sum(g['life_ns'] for g in groups)),
           (len(states), sum(each[0] for each in a.range.threads().values())))


# ---- system calls ----

def row_of(sums, all_ns, kind=None):
    work = sums.total - sums.more['idle_ns']
    return (sums.count, sums.more['errors'], sums.total, sums.total // sums.count if sums.count else 0, sums.max, sums.more['bytes'],
            sums.more['idle_count'], sums.more['idle_ns'], sums.more['open'],
            None if sums.count == sums.more['idle_count'] else '%.6g' % (work / all_ns if all_ns else 0))


def row_as(r):
    return (r['count'], r['errors'], r['total_ns'], r['mean_ns'], r['max_ns'], r['bytes'], r['idle_count'], r['idle_ns'], r['open'],
            None if r['share'] is None else '%.6g' % r['share'])


def check_syscalls(a):
    w, s = a.range, a.range.s
    everything = w.syscalls(w.by_number)
    all_ns = sum(each.total - each.more['idle_ns'] for each in everything.values())
    rows = a.rows('syscalls')
    a.same('syscalls', {r['name']: row_as(r) for r in rows}, {name: row_of(of, all_ns) for name, of in everything.items()})
    for r in rows:
        if r['name'] in everything:
            a.near('syscalls: ' + r['name'], r['p50_ns'], everything[r['name']], 0.5)
            a.near('syscalls: ' + r['name'], r['p99_ns'], everything[r['name']], 0.99)
    found = w.syscalls(w.by_thread)
    a.same('syscalls --by thread', {r['tid']: row_as(r) for r in a.rows('syscalls', '--by', 'thread')},
           {tid: row_of(of, all_ns) for tid, of in found.items()})
    found = w.syscalls(w.by_stack)
    a.same('syscalls --by stack', bag(row_as(r) for r in a.rows('syscalls', '--by', 'stack')), bag(row_of(of, all_ns) for of in found.values()))
    found = w.syscalls(w.by_file)
    a.same('syscalls --by file', bag((r['name'], r['kind']) + row_as(r) for r in a.rows('syscalls', '--by', 'file')),
           bag((name if isinstance(name, str) else s.file(name), kind) + row_of(of, all_ns) for (name, kind), of in found.items()))
    found = w.syscalls(w.by_path)
    a.same('syscalls --by path', {r['name']: row_as(r) for r in a.rows('syscalls', '--by', 'path')},
           {name: row_of(of, all_ns) for name, of in found.items()})
    found = w.syscalls(w.by_peer)
    a.same('syscalls --by peer', bag((r['name'],) + row_as(r) for r in a.rows('syscalls', '--by', 'peer')),
           bag((name if isinstance(name, str) else s.file(name),) + row_of(of, all_ns) for name, of in found.items()))
    found = w.syscalls(w.by_error)
    a.same('syscalls --errors', bag((r['name'], r['count'], r['total_ns'], r['max_ns'], '%.6g' % r['of_calls'])
                                    for r in a.rows('syscalls', '--errors')),
           bag((name, of.count, of.total, of.max, '%.6g' % (of.count / everything[name].count)) for (name, _), of in found.items()))
    slow = a.rows('syscalls', '--slower', '50us', '--include-idle')
    a.same('syscalls --slower', bag((r['begin_ns'], r['took_ns'], r['tid'], r['name'], r['result'], r['open']) for r in slow),
           bag((max(0, c.since - s.begun), s.until(c) - c.since, s.t.threads[c.thread].tid, c.name, c.result, c.until is None)
               for c in w.calls() if s.until(c) - c.since > 50000))


# ---- locks ----

def length_of(of):
    return (of.total, of.count, of.total // of.count, of.max) if of.count else (0, 0, None, None)


def check_locks(a, are_apart=True):
    w, s = a.range, a.range.s
    rows = a.rows('locks', '--include-idle')
    wanted = w.locks()
    want = collections.Counter()
    for (number, side), (waits, holds, handed, more) in wanted.items():
        want[(s.object(number), s.kind(number), side) + length_of(waits) + (more['taken'], holds.total if holds.count else None,
             holds.max if holds.count else None, handed.max if handed.count else None, more['failed'], more['open'])] += 1
    a.same('locks', bag((r['name'], r['kind'], r['side'], r['total_ns'], r['waits'], r['mean_ns'], r['max_ns'], r['acquisitions'],
                         r['held_ns'], r['held_max_ns'], r['handover_max_ns'], r['failed'], r['open']) for r in rows), want)
    named = collections.Counter((s.object(number), side) for number, side in wanted)
    numbers = {(s.object(number), side): (number, side) for number, side in wanted}
    for r in rows:
        key = (r['name'], r['side'])
        if named[key] != 1:
            continue  # two of one name
        waits, holds, _, _ = wanted[numbers[key]]
        if waits.count:
            a.near('locks: ' + r['name'], r['p50_ns'], waits, 0.5)
            a.near('locks: ' + r['name'], r['p99_ns'], waits, 0.99)
        if holds.count:
            a.near('locks, held: ' + r['name'], r['held_p50_ns'], holds, 0.5)
            a.near('locks, held: ' + r['name'], r['held_p99_ns'], holds, 0.99)
        low, high = w.queue(*numbers[key])
        if not low <= r['queue'] <= high:
            a.wrong.append(('locks: queue of ' + r['name'], r['queue'], low, high))
    a.same('locks --by site', bag((r['total_ns'], r['waits'], r['mean_ns'], r['max_ns'], r['failed'], r['open'])
                                  for r in a.rows('locks', '--by', 'site', '--include-idle')),
           bag(length_of(of) + (more['failed'], more['open']) for of, more in w.sites().values()))
    holders = w.holders()
    parts = [r['total_ns'] for r in a.rows('locks', '--by', 'holder', '--include-idle')]
    # of two holds at the same time either may be who is waited for
    a.same('locks --by holder', bag(parts) if are_apart else sum(parts), bag(holders.values()) if are_apart else sum(holders.values()))
    a.same('blocked --by holder', sum(r['total_ns'] for r in a.rows('blocked', '--kind', 'lock', '--by', 'holder')), sum(holders.values()))
    locks = collections.defaultdict(trace_tables.Sum)
    for x in w.waits():
        if x.kind == 'lock' and x.object:
            locks[s.object(x.object)].add(w.ns(x))
    chains = collections.defaultdict(lambda: [0, 0, 0])
    for r in a.rows('locks', '--chains'):
        of = chains[r['name']]
        of[0] += r['total_ns']
        of[1] += r['waits']
        of[2] = max(of[2], r['max_ns'])
    a.same('locks --chains', {name: tuple(of) for name, of in chains.items()},
           {name: (of.total, of.count, of.max) for name, of in locks.items()})


def check_order(a):
    """
    Which locks are taken while others are held does not depend on --threads. How often, where the outer one was free when it was taken:
    that is told when it is let go, and of what was the same before, the viewer knows when the last four were. So it may be less.
    """
    w, s = a.range, a.range.s
    pairs = w.orders()
    circles = trace_tables.cycles(pairs, s.t)
    rows = a.rows('locks', '--order')
    got, want = collections.Counter(), collections.Counter()
    for r in rows:
        got[r['held'], r['taken']] += r['count']
    for (one, other), of in pairs.items():
        want[s.object(one), s.object(other)] += len(of)
    a.same('locks --order: more than there are', {pair: n for pair, n in got.items() if n > want[pair]}, {})
    # so many takings of a thread are remembered until it is known what it held (RANGES_MAX in lock_order.c)
    if w.most_inside() <= 128:
        a.same('locks --order', bag((r['held'], r['taken'], r['is_in_cycle']) for r in rows),
               bag((s.object(one), s.object(other), (one, other) in circles) for one, other in pairs))
        a.same('locks --order: fewer than there are', {pair: n for pair, n in got.items() if n < min(4, want[pair])}, {})


def check_across(a):
    """A file that is named anew in between, such as a socket that is bound, is told by its last name: of those it is the sums."""
    w, s = a.range, a.range.s
    named = {e['fd'] for e in s.t.named('fd.name')}
    names = {e['name'] for e in s.t.named('fd.open', 'fd.name') if e['fd'] in named}

    def by_name(rows):
        found, anew = collections.Counter(), collections.defaultdict(lambda: [0, 0, 0])
        for name, done, file, total, count, longest in rows:
            if file not in names:
                found[name, done, file, total, count, longest] += 1
                continue
            of = anew[name, done]
            of[0], of[1], of[2] = of[0] + total, of[1] + count, max(of[2], longest)
        for key, of in anew.items():
            found[(*key, 'named anew', *of)] += 1
        return found

    for what in ('syscall', 'wait', 'any'):
        want = [(s.object(number), done, s.file(int(file[1:])).split(':', 1)[1] if file and file[0] == '#' else file, of.total, of.count, of.max)
                for (number, done, file), of in w.across(what != 'wait', what != 'syscall').items()]
        got = [(r['name'], r['what'], r['file'].split(':', 1)[1] if r['file'] else None, r['total_ns'], r['count'], r['max_ns'])
               for r in a.rows('locks', '--held-across', what)]
        a.same('locks --held-across ' + what, by_name(got), by_name(want))


# ---- intervals ----

def call_name(number):
    return story.CALLS.get(number, 'syscall#%d' % number)


def kind_of(i):
    if i.state == 'idle' and i.call is not None and call_name(i.call) in trace_tables.SLEEPS:
        return 'sleep'
    return {'lock': 'lock', 'spin': 'lock', 'wait': 'cond', 'syscall': 'syscall', 'runnable': 'sched', 'idle': 'idle'}.get(i.state)


def check_blocked(a):
    s, want, mine = a.range.s, collections.Counter(), collections.Counter()
    for i in a.range.intervals():
        kind = kind_of(i)
        mixed_kind = 'cond' if kind in ('idle', 'sched') else kind  # see MIXED
        if kind is not None:
            want[mixed_kind] += i.until - i.since
        if kind in ('lock', 'syscall', 'sleep') or kind == 'idle' and i.call is not None:
            name = '%s %s' % (s.kind(i.object), s.object(i.object)) if i.object else call_name(i.call) + (' ' + s.file(i.fd, i.until) if i.fd else '')
            mine[kind, name.split(' ')[0] + (name.split(':', 1)[-1] if i.fd else '')] += i.until - i.since
    rows = a.rows('blocked', '--kind', 'all')
    got, his = collections.Counter(), collections.Counter()
    for r in rows:
        got['cond' if r['kind'] in ('idle', 'sched') else r['kind']] += r['total_ns']
        if r['kind'] in ('lock', 'syscall', 'sleep') or r['kind'] == 'idle' and r['name'].split(' ')[0] in story.IDLE:
            has_file = r['kind'] != 'lock' and ' ' in r['name']
            his[r['kind'], r['name'].split(' ')[0] + (r['name'].split(':', 1)[-1] if has_file else '')] += r['total_ns']
    a.same('blocked', dict(got), dict(want))
    a.same('blocked, by name', dict(his), dict(mine))


def check_exports(a):
    s = a.range.s
    table = list(csv.DictReader(io.StringIO(a.ask('export', 'csv', '--no-symbols').decode(), newline='')))
    got, want, places = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter), {}
    for r in table:
        begin, end, tid = int(r['begin_ns']), int(r['end_ns']), int(r['tid'])
        got[tid][r['state']] += end - begin
        if begin < places.get(tid, begin) or end < begin:
            a.wrong.append(('export csv: an interval before the one before', r))
        places[tid] = end
    for i in a.range.intervals():
        want[s.t.threads[i.thread].tid][i.state] += i.until - i.since
    unordered = {s.t.threads[n].tid for n in s.unordered}
    a.same('export csv', {tid: mixed(of, tid in unordered) for tid, of in got.items()},
           {tid: mixed(of, tid in unordered) for tid, of in want.items()})
    # to the ns, where nothing is for anybody to judge
    def run_together(rows):
        found = []
        for row in rows:
            if found and found[-1][0] == row[0] and found[-1][2] == row[1] and found[-1][3:] == row[3:]:
                found[-1] = found[-1][:2] + (row[2],) + row[3:]
            else:
                found.append(row)
        return found
    for n in sorted(a.range.numbers - s.unordered):
        mine = run_together((n, i.since - s.begun, i.until - s.begun, i.state, call_name(i.call) if i.call is not None else '',
                             s.object(i.object) if i.object else '') for i in a.range.intervals() if i.thread == n)
        his = run_together((n, int(r['begin_ns']), int(r['end_ns']), r['state'], r['call'], r['object']) for r in table
                           if int(r['tid']) == s.t.threads[n].tid)
        a.same('export csv: intervals of ' + s.thread(n), next(((x, y) for x, y in zip(his, mine) if x != y), len(his)), len(mine))
    folded = collections.Counter()
    for line in a.ask('export', 'folded', '--no-symbols').decode().splitlines():
        stack, _, ns = line.rpartition(' ')
        name, state = stack.split(';')[:2]
        folded[name, 'wait' if state in MIXED else state] += int(ns)
    want = collections.Counter()
    for i in a.range.intervals():
        want[s.thread(i.thread).replace(';', ':'), 'wait' if i.state in MIXED else i.state] += i.until - i.since
    a.same('export folded', dict(folded), dict(want))


def profile(a, kind, *more):
    path = os.path.join(box.root, 'profile.pb.gz')
    a.ask('pprof', kind, '-f', '-o', path, '--include-idle', '--no-symbols', *more)
    return Profile.read(path)


def check_profiles(a):
    w, s = a.range, a.range.s
    # those that were over at once count, too
    waits = [x for x in s.waits if w.has(x) and (w.ns(x) > 0 or s.until(x) == x.since)]
    kinds = {'sync': lambda x: True, 'lock': lambda x: x.kind == 'lock', 'cond': lambda x: x.kind == 'cond'}
    for kind, is_one in kinds.items():
        p, of = profile(a, kind), [x for x in waits if is_one(x)]
        a.same('pprof ' + kind, (p.total(0), p.total(1)), (len(of), sum(w.ns(x) for x in of)))
        if kind != 'cond':
            q = profile(a, kind, '--by', 'holder')
            a.same('pprof %s --by holder' % kind, (q.total(0), q.total(1)), (p.total(0), p.total(1)))
        want = collections.Counter()
        for x in of:
            want[s.object(x.object) if x.object else None] += w.ns(x)
        a.same('pprof %s: by object' % kind, {name: p.labelled('lock', name) for name in want}, dict(want))
    calls = [c for c in w.calls() if w.ns(c) > 0 or s.until(c) == c.since]
    p, want = profile(a, 'syscall'), collections.Counter()
    for c in calls:
        want[c.name] += w.ns(c)
    a.same('pprof syscall', (p.total(0), {name: p.labelled('syscall', name) for name in want}), (len(calls), dict(want)))
    want = collections.Counter()
    for i in w.intervals():
        want[i.state] += i.until - i.since
    p = profile(a, 'all')
    off = profile(a, 'offcpu').total(1)
    a.same('pprof all', mixed({name: p.labelled('kind', name) for name in trace_tables.STATES}, s.unordered), mixed(want, s.unordered))
    a.same('pprof offcpu', off, sum(ns for name, ns in want.items() if name not in ('running', 'spin', 'unknown')))
    a.same('pprof sched, idle', (profile(a, 'sched').total(1), profile(a, 'idle').total(1)),
           (p.labelled('kind', 'runnable'), p.labelled('kind', 'idle')))
    samples = [e for e in s.t.named('sample.cpu') if (e['thread'] or e.thread) in w.numbers and w.since <= e.ns <= w.until]
    p = profile(a, 'cpu')
    a.same('pprof cpu', (p.total(0), p.total(1)), (len(samples), sum(e['weight'] for e in samples)))


# ---- the whole of it ----

def check_summary(a):
    w, s = a.range, a.range.s
    found = json.loads(a.ask('summary', '--json', '--include-idle', '--no-symbols'))
    states = w.states()
    total = collections.Counter()
    for of in states.values():
        total.update(of)
    is_mixed = bool(s.unordered)
    a.same('summary: states', mixed({name[:-3]: ns for name, ns in found['states'].items()}, is_mixed), mixed(total, is_mixed))
    a.same('summary: events, threads', (found['events'], found['threads']),
           (sum(w.since <= e.ns <= w.until for e in s.t.events), len(states)))
    parallel = w.parallel()
    most = max((n for n in parallel if parallel[n] > 0), default=0)
    a.same('summary: running at once', found['parallel']['ns'], [parallel[n] for n in range(most + 1)] or [0])
    everything = sum(parallel.values())
    running = sum(n * ns for n, ns in parallel.items())
    if everything:
        a.same('summary: on average', '%.6g' % found['parallel']['mean'], '%.6g' % (running / everything))
    if running:
        a.same('summary: serial', '%.6g' % found['parallel']['serial_share'], '%.6g' % (parallel[1] / running))
    busy = {s.t.threads[n].tid: (sum(ns for name, ns in of.items() if name not in ('idle', 'unknown')), of['running'])
            for n, of in states.items() if n not in s.unordered}
    for r in found['top_threads']:
        if r['tid'] in busy:
            a.same('summary: ' + r['name'], (r['busy_ns'], r['running_ns']), busy[r['tid']])
    sizes = [r['busy_ns'] for r in found['top_threads']]
    a.same('summary: threads by size', sizes, sorted(sizes, reverse=True))
    calls = w.syscalls(w.by_number)
    a.same('summary: calls', [(r['total_ns'], r['count']) for r in found['top_syscalls']],
           [(calls[r['name']].total, calls[r['name']].count) for r in found['top_syscalls']])
    a.same('summary: the longest of them', sorted((r['total_ns'] for r in found['top_syscalls']), reverse=True),
           sorted((of.total for of in calls.values() if of.total), reverse=True)[:5])
    locks = collections.Counter()
    for x in w.waits():
        if x.kind == 'lock' and x.object:
            locks[x.object, w.side(x.object, x.mode)] += w.ns(x)
    a.same('summary: locks', [r['wait_ns'] for r in found['top_locks']], sorted((ns for ns in locks.values() if ns), reverse=True)[:5])
    if w.whole and not a.options:
        slowest = sorted((t.until - t.since for t in trace_tables.tasks(s).values()), reverse=True)[:5]
        a.same('summary: tasks', [t['latency_ns'] for t in found['slowest_tasks']], slowest)
        longest = sorted((r.until - r.since for r in trace_tables.regions(s)), reverse=True)[:5]
        a.same('summary: regions', [r['length_ns'] for r in found['slowest_regions']], longest)


def check_tasks(a):
    w, s = a.range, a.range.s
    wanted = {n: t for n, t in trace_tables.tasks(s).items() if t.until >= w.since and t.since <= w.until
              and ('--threads' not in a.options or t.threads & w.numbers or {t.begun_by, t.ended_by} & w.numbers)}
    rows = {r['task']: r for r in a.rows('tasks', '--slowest', '100000')}
    a.same('tasks', set(rows), set(wanted))
    types = collections.defaultdict(lambda: (trace_tables.Sum(), collections.Counter()))
    for n, t in wanted.items():
        sum_of, more = types[t.type]
        more.update(count=1, open=not t.is_ended, total=t.until - t.since, gap=t.gap, overlap=t.overlap)
        more.update({'in ' + name: ns for name, ns in t.states.items()})
        if t.is_ended:
            sum_of.add(t.until - t.since)
        r = rows.get(n)
        if r is None:
            continue
        states = {name[:-3]: ns for name, ns in r['states'].items()}
        a.same('task %d' % n, (r['type'], r['parent'] or 0, r['begin_ns'], r['latency_ns'], r['gap_ns'], r['overlap_ns'], r['threads'], r['at_once'],
               r['open']), (t.type, t.parent, t.since - s.begun, t.until - t.since, t.gap, t.overlap, len(t.threads), t.at_once, not t.is_ended))
        a.same('states of task %d' % n, mixed(states, True), mixed(t.states, True))
    rows = {r['type']: r for r in a.rows('tasks')}
    a.same('tasks by type', {name: (r['count'], r['open'], r['total_ns'], r['max_ns'], r['gap_ns'], r['overlap_ns']) for name, r in rows.items()},
           {name: (of['count'], of['open'], of['total'], ended.max if ended.count else None, of['gap'], of['overlap'])
            for name, (ended, of) in types.items()})
    for name, (ended, of) in types.items():
        if name in rows:
            a.same('states of ' + name, mixed({x[:-3]: ns for x, ns in rows[name]['states'].items()}, True),
                   mixed({x: of['in ' + x] for x in trace_tables.STATES}, True))
            if ended.count:
                a.near('tasks: ' + name, rows[name]['p50_ns'], ended, 0.5)
                a.near('tasks: ' + name, rows[name]['p99_ns'], ended, 0.99)
    if rows:
        counts = collections.Counter()
        for r in a.rows('tasks', '--histogram'):
            counts[r['name']] += r['count']
        a.same('tasks --histogram', dict(+counts), {name: ended.count for name, (ended, _) in types.items() if ended.count})


def check_regions(a):
    w, s = a.range, a.range.s
    wanted = [r for r in trace_tables.regions(s) if r.until >= w.since and r.since <= w.until and r.thread in w.numbers]
    rows = a.rows('regions', '--slowest', '100000')
    a.same('regions --slowest', bag((r['name'], r['task'] or 0, r['begin_ns'], r['took_ns'], r['self_ns'], r['open'], r['depth'],
                                     str(mixed({x[:-3]: ns for x, ns in r['states'].items()}, True))) for r in rows),
           bag((r.name, r.task, r.since - s.begun, r.until - r.since, r.own, not r.is_ended, r.depth, str(mixed(r.states, True)))
               for r in wanted))
    found = collections.defaultdict(collections.Counter)
    threads_of, ended = collections.defaultdict(set), collections.defaultdict(trace_tables.Sum)
    for r in wanted:
        found[r.name].update(count=1, open=not r.is_ended, total=0 if r.is_inner else r.until - r.since, own=r.own)
        threads_of[r.name].add(r.thread)
        if r.is_ended:
            ended[r.name].add(r.until - r.since)
        else:
            ended[r.name]
    rows = {r['name']: r for r in a.rows('regions')}
    a.same('regions', {name: (r['count'], r['open'], r['total_ns'], r['self_ns'], r['threads'], r['max_ns']) for name, r in rows.items()},
           {name: (of['count'], of['open'], of['total'], of['own'], len(threads_of[name]), ended[name].max if ended[name].count else None)
            for name, of in found.items()})
    for name, of in ended.items():
        if of.count and name in rows:
            a.near('regions: ' + name, rows[name]['p50_ns'], of, 0.5)
            a.near('regions: ' + name, rows[name]['p99_ns'], of, 0.99)


# ---- who waits for whom ----

def state_at(s, n, at):
    return next((i for i in s.intervals[n] if i.since <= at < i.until), None)


def one_chain(a, at, steps):
    """Each step is what its thread did then, and the next one is whoever it waits for."""
    s, tids = a.range.s, {t.tid: n for n, t in a.recording.t.threads.items()}
    for step, following in zip(steps, steps[1:] + [None]):
        n = tids[step['tid']]
        here, why = state_at(s, n, at), step['why']
        about = 'chain at %d: %s' % (at - s.begun, step['thread'])
        if why == 'gone':
            a.same(about, s.lives[n].since <= at < s.lives[n].until, False)
            continue
        if here is None:
            a.wrong.append((about, 'does not live', step))
            continue
        is_same = here.state == step['state'] or n in s.unordered and {here.state, step['state']} <= set(MIXED)
        a.same(about + ': state', (is_same, step['state'], here.state), (True, step['state'], here.state))
        waits = [w for w in s.waits if w.thread == n and w.since <= at and (w.until is None or at < w.until)]
        calls = [c for c in s.calls if c.thread == n and c.since <= at and (c.until is None or at < c.until)]
        if why in ('held', 'handover', 'waker', 'nobody', 'work'):
            if not waits:
                a.wrong.append((about, 'waits for nothing', step))
                continue
            w = max(waits, key=lambda w: w.since)
            a.same(about + ': waits', (step['for_ns'], step['name']), (at - w.since, s.object(w.object) if w.object else None))
        elif why == 'call':
            if not calls:
                a.wrong.append((about, 'is in no call', step))
                continue
            c = max(calls, key=lambda c: c.since)
            a.same(about + ': call', (step['for_ns'], step['name']), (at - c.since, c.name))
        if why == 'held':
            having = [h for h in s.holds if h.object == w.object and h.thread != n and h.since <= at and (h.until is None or at < h.until)]
            by = tids[following['tid']] if following else None
            if step['held_ns'] is not None:
                a.same(about + ': who has it', [h.thread == by and at - h.since == step['held_ns'] for h in having].count(True) > 0 or
                       following is None and any(at - h.since == step['held_ns'] for h in having), True)
            elif following:
                a.same(about + ': who had it when the wait began', by, w.holder)
            if step['woken_ns'] is not None:
                source = next((e.source for e in s.edges if e.sink.thread == n and e.sink.ns == w.until and e.sink.args.get('object') == w.object), None)
                a.same(about + ': who lets go', (step['woken_ns'], step['woken_by'].split('/')[0]),
                       source and (source.ns - s.begun, s.thread(source.thread)))


def check_chain(a):
    s = a.range.s
    low, high = max(s.first, a.range.since), min(s.last - 1, a.range.until)
    # most of the moments of some recordings are dull: half of those that are looked at lie in a wait for a lock
    inside = [w for w in s.waits if w.kind == 'lock' and s.until(w) > w.since + 1]
    for i in range(3):
        w = dice.choice(inside) if inside and i else None
        at = dice.randrange(w.since, s.until(w)) if w else dice.randrange(low, max(low + 1, high))
        r = view(a.recording.path, 'chain', '--at', '%dns' % (at - s.begun), '--json', '--no-symbols', '-q')
        everybody = json.loads(r.stdout)
        alive = {a.recording.t.threads[n].tid for n, life in s.lives.items()
                 if life.since <= at < life.until or not life.is_ended and at == life.until}
        a.same('chain: who is there at %d' % (at - s.begun), {step['tid'] for step in everybody}, alive)
        for step in everybody:
            one_chain(a, at, [step])
        if w:
            r = view(a.recording.path, 'chain', '--at', '%dns' % (at - s.begun), '--thread', a.recording.t.threads[w.thread].tid, '--json',
                     '--no-symbols', '-q')
            steps = json.loads(r.stdout)
            a.same('chain: begins with the thread', steps[0]['tid'], a.recording.t.threads[w.thread].tid)
            one_chain(a, at, steps)


DEEDS = {'release': ('lock.released',), 'signal': ('cond.signal',), 'post': ('sem.post',), 'barrier': ('barrier.wait.begin',),
         'once': ('once.end',), 'exit': ('thread.exit',), 'create': ('thread.create',), 'futex': ('futex.wake',),
         'flow': ('flow.begin', 'flow.step', 'flow.end')}


def one_way(a, way, begin, end):
    """Segments follow one another, each is what its thread did, and where the thread changes somebody made another go on."""
    s = a.range.s
    at, segments = way['begin_ns'], way['segments']
    about = 'critical path %d' % at
    a.same(about + ': where', (way['begin_ns'], way['took_ns']), (begin, end - begin))
    for segment, after in zip(segments, segments[1:] + [None]):
        if segment['begin_ns'] != at:
            a.wrong.append((about, 'a gap at', at, segment))
        at += segment['took_ns']
        threads_called = [n for n in s.lives if s.thread(n) == segment['thread'].split('/')[0]]
        since, until = segment['begin_ns'] + s.begun, at + s.begun
        fits = []
        for n in threads_called:
            of = [i for i in s.intervals[n] if i.since < until and i.until > since]
            covered = sum(min(i.until, until) - max(i.since, since) for i in of)
            fits.append(all(i.state == segment['state'] or n in s.unordered and {i.state, segment['state']} <= set(MIXED) for i in of)
                        and (covered == until - since or segment['state'] == 'unknown'))
        if not any(fits):
            a.wrong.append((about, 'nobody did that', segment))
        if segment['edge'] is None:
            if after is not None and after['thread'] != segment['thread']:
                a.wrong.append((about, 'another thread without a reason', segment, after))
        elif segment['edge'] == 'pipe':
            if not any(c.since == until and c.thread in threads_called and c.fd for c in s.calls):
                a.wrong.append((about, 'nobody wrote', segment))
        elif not any(e.ns == until and e.thread in threads_called for e in s.t.named(*DEEDS[segment['edge']])):
            a.wrong.append((about, 'nobody did so', segment))
        if segment['edge'] in ('release', 'signal', 'post') and after is not None:
            names = [n for n in s.lives if s.thread(n) == after['thread'].split('/')[0]]
            if not any(e.source.ns == until and e.source.thread in threads_called and e.sink.thread in names for e in s.edges):
                a.wrong.append((about, 'no such wake', segment, after))
    a.same(about + ': its length', at, way['begin_ns'] + way['took_ns'])
    a.same(about + ': causes', sum(c['total_ns'] for c in way['causes']), way['took_ns'])
    a.same(about + ': shares', all(c['total_ns'] <= c['saved_at_most_ns'] <= way['took_ns'] for c in way['causes']), True)
    by_state, of_causes = collections.Counter(), collections.Counter()
    for segment in segments:
        by_state[segment['state']] += segment['took_ns']
    for c in way['causes']:
        of_causes[c['state']] += c['total_ns']
    a.same(about + ': causes by state', +of_causes, +by_state)


def check_critical(a):
    s = a.range.s
    if '--threads' in a.options:
        return
    since = max(s.first, a.range.since) - s.begun
    if s.begun + since >= min(s.last, a.range.until):
        r = view(a.recording.path, 'critical-path', '--json', *a.options)
        a.same('critical path of nothing', (r.returncode, r.stdout), (1, b''))
        return
    n = dice.choice(sorted(s.lives))
    way = json.loads(a.ask('critical-path', '--json', '--no-symbols', '--thread', str(s.t.threads[n].tid)))
    end = min(s.lives[n].until, a.range.until) if a.range.whole else min(s.last, a.range.until)
    one_way(a, way, since, max(since, end - s.begun))
    if not a.range.whole:
        return
    first = min(s.lives)
    one_way(a, json.loads(a.ask('critical-path', '--json', '--no-symbols')), since, s.lives[first].until - s.begun)
    wanted = trace_tables.tasks(s)
    for task in dice.sample(sorted(wanted), min(3, len(wanted))):
        one_way(a, json.loads(a.ask('critical-path', '--json', '--no-symbols', '--task', str(task))), wanted[task].since - s.begun,
                wanted[task].until - s.begun)
    of = [r for r in trace_tables.regions(s) if r.is_ended]
    if of:
        name = dice.choice(of).name
        longest = max((r for r in of if r.name == name), key=lambda r: (r.until - r.since, -r.since))
        one_way(a, json.loads(a.ask('critical-path', '--json', '--no-symbols', '--region', '^%s$' % name)), longest.since - s.begun,
                longest.until - s.begun)


# ---- the trace itself ----

def check_info(a):
    if a.options:
        return
    t, s = a.range.s.t, a.range.s
    found = json.loads(view(a.recording.path, 'info', '--json').stdout)
    counts, own = t.counts(), story.own(t)
    a.same('info', {key: found[key] for key in ('bytes', 'pid', 'begun_monotonic_ns', 'begun_realtime_ns', 'events', 'lost', 'blocks', 'complete',
                                                'damaged', 'stacks', 'objects', 'end', 'duration_ns')},
           {'bytes': os.path.getsize(a.recording.path), 'pid': t.header.pid, 'begun_monotonic_ns': s.begun, 'begun_realtime_ns': t.header.realtime_ns,
            'events': len(t.events), 'lost': t.lost(), 'blocks': len(t.blocks), 'complete': t.end is not None, 'damaged': False,
            'stacks': len(t.stacks) - 1, 'objects': len(t.objects), 'end': {'reason': t.end[0], 'value': t.end[1]} if t.end else None,
            'duration_ns': max(b.last_ns for b in t.blocks if b.kind == 'events') - s.begun})
    a.same('info: types', {each['name']: each['count'] for each in found['types']}, dict(counts))
    a.same('info: threads', {each['tid']: each['events'] for each in found['threads'] if each['tid']},
           {t.threads[n].tid: len(own[n]) for n in t.threads if n in own})
    a.same('info: metadata', {each['key']: each['value'] for each in found['metadata']}, t.metadata)
    a.same('info: modules', bag((m['path'], m['build_id'], m['start'], m['end']) for m in found['modules']),
           bag((m.path, m.build_id, m.start, m.end) for m in t.modules.values()))
    r = view(a.recording.path, 'check', '--json')
    found = json.loads(r.stdout)
    a.same('check', (r.returncode, {key: found[key] for key in ('damaged', 'complete', 'bytes', 'blocks', 'bad_blocks', 'events', 'lost_events',
                                                                'damaged_bytes', 'missing_blocks', 'unreadable_events', 'damages', 'holes')}),
           (0, {'damaged': False, 'complete': t.end is not None, 'bytes': os.path.getsize(a.recording.path), 'blocks': len(t.blocks),
                'bad_blocks': 0, 'events': len(t.events), 'lost_events': t.lost(), 'damaged_bytes': 0, 'missing_blocks': 0,
                'unreadable_events': 0, 'damages': [], 'holes': []}))


def as_written(t, e):
    """The arguments of an event as numbers: those of texts, ticks and signs are not looked at."""
    kinds = dict(t.schema[e.type][1])
    return tuple(sorted((name, value) for name, value in e.args.items() if kinds[name] not in ('str', 'ticks', 's', 'res')))


def owner(e):
    return e['thread'] if e.name in ('sched.in', 'sched.out') else e.thread


def check_events(a):
    w, t = a.range, a.range.s.t
    rows = json.loads(a.ask('events', '--json', '--raw'))
    kinds = {of[0]: dict(of[1]) for of in t.schema.values()}
    got = bag((r['time_ns'], r['type'], tuple(sorted((name, value) for name, value in r['args'].items()
               if kinds[r['type']][name] not in ('str', 'ticks', 's', 'res')))) for r in rows)
    is_wanted = (lambda e: owner(e) in w.numbers) if '--threads' in a.options else lambda e: True
    wanted = [e for e in t.events if w.since <= e.ns <= w.until and is_wanted(e)]
    a.same('events', got, bag((e.ns, e.name, as_written(t, e)) for e in wanted))
    a.same('events: by time', [r['time_ns'] for r in rows], sorted(r['time_ns'] for r in rows))
    rows = json.loads(a.ask('events', '--json', '--type', 'lock.*,syscall', '--no-symbols'))
    a.same('events --type', bag((r['time_ns'] + a.range.s.begun, r['type'], r['tid'], r['args'].get('took_ns'), r['args'].get('result')
                                 if r['type'] == 'syscall' and not isinstance(r['args'].get('result'), str) else None) for r in rows),
           bag((e.ns, e.name, t.threads[e.thread].tid, e.args.get('took'), e['result'] if e.name == 'syscall' and e['result'] >= 0 else None)
               for e in wanted if e.name.startswith('lock.') or e.name == 'syscall'))


# ---- two of them ----

def named(s, number):
    """A lock as another run has it, too: without an address."""
    o = s.t.objects.get(number)
    name = s.object(number)
    return name if o is None or o.name and not o.flags & trace_tables.MADE_AT else name.rsplit('@', 1)[0]


def differences(w):
    """{(what, name): Sum}"""
    s, found = w.s, collections.defaultdict(trace_tables.Sum)
    for n, of in w.states().items():
        name = s.thread(n)
        bare = name.rstrip('0123456789-_.:#/ ')
        for state, ns in of.items():
            if ns:
                found['threads.' + state, bare + '*' if bare and bare != name else name].add(ns)
    for x in s.waits:
        if w.has(x) and x.kind == 'lock':
            found['locks.wait', named(s, x.object)].add(w.ns(x))
    for h in w.holds():
        found['locks.hold', named(s, h.object)].add(w.ns(h))
    for c in w.calls():
        if c.name not in story.IDLE:
            path = w.by_path(c)
            found['calls', c.name + (' ' + path if path else '')].add(w.ns(c))
    if w.whole:
        for t in trace_tables.tasks(s).values():
            if t.is_ended:
                found['tasks', t.type].add(t.until - t.since)
        for r in trace_tables.regions(s):
            if r.is_ended:
                found['regions', r.name].add(r.until - r.since)
    return found


def two():
    """Of a trace and another one; in a range the tasks and regions are not looked at, which are whole or not there."""
    for name, other in (('diff fast', 'diff slow'), ('philosophers', 'queue'), ('sqlite3', 'python3'), ('errands', 'why')):
        if name not in recordings or other not in recordings:
            continue
        one, two = recordings[name], recordings[other]
        at = dice.randrange(min(one.length, two.length))
        for options, since in (([], None), (['--from', '%dns' % at], at)):
            a = Asked(one, options, trace_tables.Range(one.story, since))
            mine, his = differences(a.range), differences(trace_tables.Range(two.story, since))
            rows = {(r['what'], r['name']): r for r in a.rows('diff', two.path)}
            unordered = one.story.unordered or two.story.unordered
            judged = {'threads.' + state for state in MIXED} if unordered else set()
            if since is not None:
                judged |= {'tasks', 'regions'}
            keys = {key for key in set(mine) | set(his) if key[0] not in judged}
            a.same('diff: rows', {key for key in rows if key[0] not in judged}, keys)
            for key in keys & set(rows):
                r, x, y = rows[key], mine.get(key), his.get(key)
                total = [of.total if of else None for of in (x, y)]
                a.same('diff: %s %s' % key, (r['a_total_ns'], r['b_total_ns'], r['a_count'], r['b_count'], r['change_ns']),
                       (total[0], total[1], x.count if x else 0, y.count if y else 0, abs((total[1] or 0) - (total[0] or 0))))
                if total[0]:
                    a.same('diff: ratio of %s %s' % key, '%.6g' % r['ratio'], '%.6g' % ((total[1] or 0) / total[0]))
                for of, side in ((x, 'a'), (y, 'b')):
                    if of:
                        a.near('diff: %s %s' % key, r[side + '_p50_ns'], of, 0.5)
                        a.near('diff: %s %s' % key, r[side + '_p99_ns'], of, 0.99)
            tap.ok(not a.wrong, 'diff of %s and %s %s' % (name, other, ' '.join(options)), a.wrong[:4])


# ---- forms, and how it ends ----

def flat(row, before=''):
    found = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found.update(flat(value, before + key + '.'))
        else:
            found[before + key] = '' if value is None else ('true' if value else 'false') if isinstance(value, bool) else value
    return found


def is_same_cell(text, value):
    if isinstance(value, float):
        return float(text) == value
    return text == str(value)


def forms():
    """CSV has the rows of JSON in their order, column by column."""
    for name in ('errands', 'philosophers', 'python3', 'heldio', 'order'):
        r, wrong, n = recordings[name], [], 0
        for command in (['threads'], ['threads', '--group', 'name'], ['threads', '--group', 'start'], ['syscalls'],
                        *(['syscalls', '--by', by] for by in ('file', 'path', 'peer', 'thread', 'stack')), ['syscalls', '--errors'],
                        ['syscalls', '--slower', '10us'], ['locks'], ['locks', '--by', 'site'], ['locks', '--by', 'holder'],
                        ['locks', '--order'], ['locks', '--chains'], ['locks', '--held-across', 'any'], ['blocked', '--kind', 'all'],
                        ['blocked', '--by', 'holder'], ['chain'], ['tasks'], ['tasks', '--slowest', '100'], ['tasks', '--histogram'],
                        ['regions'], ['regions', '--slowest', '100'], ['regions', '--histogram'], ['diff', recordings['why'].path]):
            made = [view(r.path, *command, form, '-q') for form in ('--json', '--csv')]
            if [each.returncode for each in made] != [0, 0]:
                wrong.append((command, [each.said for each in made]))
                continue
            rows = [flat(row) for row in json.loads(made[0].stdout)]
            table = list(csv.DictReader(io.StringIO(made[1].stdout.decode('utf-8', 'surrogateescape'), newline='')))
            n += len(rows)
            if len(rows) != len(table):
                wrong.append((command, len(rows), len(table)))
            for row, line in zip(rows, table):
                if list(row) != list(line) or not all(is_same_cell(line[key], row[key]) for key in row):
                    wrong.append((command, row, line))
                    break
        rows = json.loads(view(r.path, 'critical-path', '--json', '-q').stdout)
        for key, more in (('segments', []), ('causes', ['--causes'])):
            table = list(csv.DictReader(io.StringIO(view(r.path, 'critical-path', '--csv', '-q', *more).stdout.decode(), newline='')))
            if len(table) != len(rows[key]) or not all(is_same_cell(line[k], value) for row, line in zip(rows[key], table)
                                                       for k, value in flat(row).items()):
                wrong.append(('critical-path', key))
        events = json.loads(view(r.path, 'events', '--json', '--limit', '500').stdout)
        table = list(csv.DictReader(io.StringIO(view(r.path, 'events', '--csv', '--limit', '500').stdout.decode(), newline='')))
        if [(str(e['time_ns']), e['thread'] or '', str(e['tid']), '' if e['cpu'] is None else str(e['cpu']), e['type']) for e in events] != \
                [(e['time_ns'], e['thread'], e['tid'], e['cpu'], e['type']) for e in table]:
            wrong.append('events')
        tap.ok(not wrong, '%s: CSV has the %d rows of JSON' % (name, n), wrong[:3])


COMMANDS = (['summary'], ['info'], ['events', '--limit', '1'], ['check'], ['threads'], ['syscalls'], ['locks'], ['locks', '--order'], ['locks', '--chains'],
            ['locks', '--held-across', 'any'], ['blocked'], ['chain'], ['tasks'], ['regions'], ['critical-path'], ['timeline', '--text'],
            ['export', 'csv'], ['export', 'folded'], ['export', 'chrome-json'], ['export', 'speedscope'], ['export', 'perfetto'],
            ['pprof', 'sync', '-o', '-'], ['diff', None])


def statuses():
    whole, none = recordings['errands'].path, os.path.join(box.root, 'none')
    damaged = os.path.join(box.root, 'damaged.out')
    with open(whole, 'rb') as file:
        data = bytearray(file.read())
    block = next(b for b in recordings['errands'].t.blocks if b.kind == 'events' and b.count > 50)
    data[block.offset + 8 + block.header_bytes + 30] ^= 0x55  # in what is packed: its checksum is wrong
    with open(damaged, 'wb') as file:
        file.write(data)
    wrong = []
    for command in COMMANDS:
        args = [whole if word is None else word for word in command]
        for path, more, status in ((whole, [], 0), (none, [], 1), (whole, ['--no-such-option'], 2), (whole, ['--limit', 'x'], 2),
                                   (whole, ['--strict'], 0), (damaged, ['--strict'], 3), (damaged, [], 3 if args[0] == 'check' else 0)):
            r = view(path, *args, *more)
            if r.returncode != status:
                wrong.append((args, os.path.basename(path), more, r.returncode, status, r.said[-200:]))
            if status in (1, 2) and (r.stdout or not r.said.startswith('cprof-trace: ')):
                wrong.append((args, more, 'says', r.stdout[:100], r.said))
    tap.equal(wrong[:5], [], 'how each of %d commands ends: 0, 1, 2, 3' % len(COMMANDS))
    one, two = recordings['diff fast'].path, recordings['diff slow'].path
    mine = {name: sum(of.total for key, of in differences(trace_tables.Range(recordings[name].story)).items() if key[0] == 'tasks')
            for name in ('diff fast', 'diff slow')}
    ratio = mine['diff slow'] / mine['diff fast']
    ends = [view(one, 'diff', two, '--fail-if', text).returncode
            for text in ('tasks>%.3fx' % (ratio * 0.99), 'tasks>%.3fx' % (ratio * 1.01), 'tasks<%.3fx' % (ratio * 1.01),
                         'tasks.count>1000000,calls.count[fsync]>1000000', 'tasks>')]
    tap.equal(ends, [4, 0, 4, 0, 2], '--fail-if: 4 where it is true, by what is counted')
    for command in (['cut'], ['repair'], ['symbolize']):
        new = os.path.join(box.root, command[0] + '.out')
        tap.equal([view(whole, *command, '-o', new).returncode, view(whole, *command, '-o', new).returncode, view(whole, *command).returncode,
                   view(new, 'check', '--strict').returncode], [0, 1, 2, 0], '%s: 0, 1 for what is there already, 2 without a name' % command[0])


# ---- clocks that differ ----

def move_clocks(r, most):
    """Every second thread's clock is somewhat ahead; returns the path of the trace, and {event: its stamp}."""
    with open(r.path, 'rb') as file:
        data = bytearray(file.read())
    size = trace_file.BLOCK_HEADER.size
    for number in sorted(r.story.lives)[1::2]:
        by = dice.randrange(most // 2, most)
        for b in r.t.blocks:
            if b.kind == 'events' and b.thread == number and not b.flags & trace_file.SWITCHES:
                at = b.offset + 8
                header = list(trace_file.BLOCK_HEADER.unpack_from(data, at))
                header[10:12] = [ns + by for ns in header[10:12]]  # first_ns, last_ns
                trace_file.BLOCK_HEADER.pack_into(data, at, *header)
                header[-1] = trace_file.crc32c(bytes(data[at:at + size - 4]) + bytes(data[at + size:at + b.header_bytes]))
                trace_file.BLOCK_HEADER.pack_into(data, at, *header)
    path = os.path.join(box.root, 'skewed.out')
    with open(path, 'wb') as file:
        file.write(data)
    return path


def skewed():
    """Some threads' clocks are moved by hand: the stamps say otherwise than the numbers, and both readers put that in order alike."""
    for name in ('philosophers', 'lock', 'queue', 'sem', 'rwlock'):
        path = move_clocks(recordings[name], 2000000)
        t = trace_file.read(path)
        stamps = {id(e): e.ns for e in t.events}
        skew = Recording(name + ', skewed', path)
        story.in_order(t)
        moved = sum(e.ns != stamps[id(e)] for e in t.events)
        a = Asked(skew, [], trace_tables.Range(skew.story))
        check_events(a)
        check_locks(a, are_apart=False)  # stamps that were moved have holds lie above each other
        about = '%s: clocks that are up to 2 ms beside each other, %d events moved' % (name, moved)
        tap.equal(a.wrong[:4], [], about)


def far_ends():
    """Ranges at whose end something goes on for long."""
    for name in ('deadlock', 'why', 'lock'):
        r = recordings[name]
        s, wrong = r.story, []
        w = max((w for w in s.waits if w.kind == 'lock'), key=lambda w: s.until(w) - w.since)
        since, until = w.since - s.begun + 1000, w.since - s.begun + (s.until(w) - w.since) // 3
        a = Asked(r, ['--from', '%dns' % since, '--to', '%dns' % until], trace_tables.Range(s, since, until))
        for check in (check_threads, check_locks, check_syscalls):
            check(a)
        tap.equal(a.wrong[:2], [], '%s: in the midst of a long wait' % name)


# ---- what is looked at ----

THREADS = ('import threading, time\n'
           'lock = threading.Lock()\n'
           'def work():\n'
           '    for i in range(12):\n'
           '        with lock: open("out%d" % (i % 3), "w").write("x" * 100)\n'
           '        time.sleep(0.0002)\n'
           'threads = [threading.Thread(target=work) for i in range(4)]\n'
           'for t in threads: t.start()\n'
           'for t in threads: t.join()\n'
           'open("nothing")\n')
PLANTED = ('why', 'lock', 'task', 'heldio', 'order', 'deadlock')
SCHEDULES = ('queue', 'philosophers', 'convoy', 'rwlock', 'timed', 'barrier', 'sem', 'join', 'pipe')
recordings = {}


def add(name, path):
    recordings[name] = Recording(name, path)
    t = recordings[name].t
    tap.equal((t.problems, t.lost()), ([], 0), '%s: a whole trace of %d events' % (name, len(t.events)))


def record(name, *argv, spec='trace', below=None, **more):
    r = box.run(*argv, spec=spec, **more)
    children = [c for c in r.children() if below and c.startswith(below)]
    add(name, os.path.join(r.directory, *children[:1], 'trace.out'))


def server():
    """redis, whose load is of many clients."""
    if None in (shutil.which('redis-server'), shutil.which('redis-benchmark'), shutil.which('redis-cli')):
        tap.skip('redis', 'not installed')
        return
    socket, out = os.path.join(box.root, 'redis'), os.path.join(box.root, 'redis-out')
    command = [box.cprof, 'run', '-p', 'trace', '-o', out, '--', 'redis-server', '--port', '0', '--unixsocket', socket, '--save', '',
               '--io-threads', '2']
    p = subprocess.Popen(command, cwd=box.cwd, env=box.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: os.path.exists(socket), 60)
    bench = box.plain('redis-benchmark', '-s', socket, '-q', '-n', 300, '-c', 8, '-t', 'set,get')
    box.plain('redis-cli', '-s', socket, 'shutdown', 'nosave')
    p.communicate(timeout=60)
    tap.equal((bench.status, p.returncode), (0, 0), 'redis: runs')
    add('redis', os.path.join(out, 'trace.out'))


def record_all():
    tap.note('CPROF_SEED=%d' % SEED)
    for name in SCHEDULES:
        record(name, 'schedules', name, spec='trace=locks' if name == 'timed' else 'trace')
    for name in PLANTED:
        record(name, 'planted', name)
    for name in ('diff fast', 'diff slow'):
        record(name, 'planted', *name.split())
    record('errands', 'errands', 60)
    record('marks', 'marks', 'say', 3, 20)
    record('burn', 'burn', 'split', 90, 1, spec='trace,cpu=1000')
    record('python3', sys.executable, '-I', '-c', THREADS)
    with open(os.path.join(box.cwd, 'program.c'), 'w') as file:
        file.write('#include <stdio.h>\nint main(void) { return 0; }\n')
    record('a compiler', 'gcc', '-O2', '-S', '-o', os.devnull, 'program.c', below='cc1')
    with open(os.path.join(box.cwd, 'numbers'), 'w') as file:
        file.writelines('%d\n' % (i * 7919 % 100003) for i in range(50000))
    record('sort', 'sort', '-n', '-o', os.devnull, '--parallel=2', 'numbers')
    if shutil.which('sqlite3'):
        record('sqlite3', 'sqlite3', 'data.db', 'create table t(a); insert into t select value from generate_series(1,2000);')
    else:
        tap.skip('sqlite3', 'not installed')
    server()


CHECKS = (check_threads, check_syscalls, check_locks, check_order, check_across, check_blocked, check_exports, check_profiles, check_summary,
          check_tasks, check_regions, check_chain, check_critical, check_info, check_events)


def numbers():
    for recording in recordings.values():
        asked = [Asked(recording, *each) for each in recording.ranges()]
        for check in CHECKS:
            wrong = []
            for a in asked:
                a.wrong = []
                try:
                    check(a)
                except RuntimeError as error:
                    a.wrong.append((str(error),))
                wrong += [(' '.join(a.options),) + each for each in a.wrong]
            tap.ok(not wrong, '%s: %s' % (recording.name, check.__name__[6:]), '\n'.join(map(str, wrong[:6])))


def end():
    box.close()


if __name__ == '__main__':
    tap.run(record_all, numbers, far_ends, two, forms, statuses, skewed, end)
