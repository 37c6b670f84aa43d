#!/usr/bin/env python3
"""
cprof-trace locks, blocked and chain: on programs of a known schedule (tests/programs/schedules.c), whose sums are made here from the
events themselves, to the ns; as text of two widths; and on traces that are damaged.
"""

import csv
import io
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict

import tap
from cprof import BUILD, Box

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden')
ROUNDS = 50
LOCK_KINDS = {'mutex', 'rwlock', 'spin'}
UPDATE = os.environ.get('CPROF_TEST_UPDATE') == '1'


def run(*args, columns=None):
    env = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'LD_PRELOAD', 'COLUMNS')}
    if columns is not None:
        env['COLUMNS'] = str(columns)
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env,
                       timeout=300)
    r.text, r.said = r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace')
    return r


def rows(path, *args):
    r = run(path, *args, '--json')
    tap.ok(r.returncode == 0 and r.said == '', '%s: runs' % ' '.join(args), r.said)
    return json.loads(r.text)


class Truth:
    """Who waited for which lock from when to when, by the events as they are printed."""

    def __init__(self, path):
        self.events = json.loads(run(path, 'events', '--json', '--raw').text)
        self.waits = []  # (object, thread, begin, end, got it)
        self.taken = Counter()
        self.last_ns = max(e['time_ns'] for e in self.events)
        begun = {}
        for e in self.events:
            kind, args, thread = e['type'], e['args'], e['thread']
            if kind == 'lock.wait.begin':
                begun[thread] = (args['object'], e['time_ns'])
            elif kind in ('lock.acquired', 'lock.failed') and thread in begun:
                number, ns = begun.pop(thread)
                self.waits.append((number, thread, ns, e['time_ns'], kind == 'lock.acquired'))
            if kind in ('lock.pair', 'lock.pair.shared', 'lock.held', 'lock.released'):
                self.taken[args['object']] += 1
        self.open = [(number, thread, ns) for thread, (number, ns) in begun.items()]
        self.waits = [w for w in self.waits if w[3] > w[2]]

    def sums(self):
        found = defaultdict(list)
        for number, _, begin, end, _ in self.waits:
            found[number].append(end - begin)
        for number, _, begin in self.open:
            found[number].append(self.last_ns - begin)
        return sorted((len(v), sum(v), max(v)) for v in found.values())


def traced(box, what, spec='trace=locks'):
    r = box.run('schedules', what, spec=spec)
    tap.equal(r.status, 0, '%s: is recorded' % what)
    return os.path.join(r.directory, 'trace.out')


def sums(box):
    """Each wait is in each table, as a whole or in pieces, and nothing else."""
    for what in ('pingpong', 'queue', 'philosophers', 'convoy', 'rwlock', 'nested', 'timed', 'inversion'):
        path = traced(box, what)
        truth = Truth(path)
        wanted = truth.sums()
        all_ns = sum(ns for _, ns, _ in wanted)
        locks = [r for r in rows(path, 'locks') if r['kind'] in LOCK_KINDS]
        got = sorted((r['waits'], r['total_ns'], r['max_ns']) for r in locks if r['waits'] > 0)
        if what != 'rwlock':  # which has two rows
            tap.equal(got, wanted, '%s: waits of each lock, their sum and the longest' % what)
        tap.equal(sum(r['total_ns'] for r in locks), all_ns, '%s: all of them' % what)
        tap.equal(sum(r['acquisitions'] for r in locks), sum(truth.taken.values()), '%s: each time that a lock was taken' % what)
        site = [r for r in rows(path, 'locks', '--by', 'site') if r['kind'] in LOCK_KINDS]
        tap.equal((sum(r['waits'] for r in site), sum(r['total_ns'] for r in site)), (sum(n for n, _, _ in wanted), all_ns),
                  '%s: by place the same' % what)
        tap.equal(sum(r['total_ns'] for r in rows(path, 'locks', '--by', 'holder')), all_ns,
                  '%s: by holder the same, divided' % what)
        chains = rows(path, 'locks', '--chains')
        tap.equal(sum(r['total_ns'] for r in chains), all_ns, '%s: and all are in chains' % what)
        tap.equal(sum(r['waits'] for r in chains), sum(n for n, _, _ in wanted), '%s: each once' % what)
        tap.equal(sum(r['total_ns'] for r in rows(path, 'blocked', '--kind', 'lock', '--by', 'holder')), all_ns,
                  '%s: the tree of holders, too' % what)
        # where no switches are recorded, a wait is an interval
        tap.equal(sum(r['total_ns'] for r in rows(path, 'blocked', '--kind', 'lock')), all_ns,
                  '%s: and that of waiters' % what)
        half = truth.events[len(truth.events) // 2]['time_ns']
        begun = truth.events[0]['time_ns']
        first = rows(path, 'locks', '--to', '%dns' % (half - info_begun(path)))
        if half > begun:
            want = sum(min(end, half) - begin for _, _, begin, end, _ in truth.waits if begin < half)
            want += sum(half - begin for _, _, begin in truth.open if begin < half)
            tap.equal(sum(r['total_ns'] for r in first if r['kind'] in LOCK_KINDS), want, '%s: up to a moment' % what)


def info_begun(path):
    first = json.loads(run(path, 'events', '--json', '--raw', '--limit', '1').text)[0]['time_ns']
    text = run(path, 'events', '--limit', '1').text.split('  ')[0]
    seconds, ns = text.split('.')
    return first - int(seconds) * 1000000000 - int(ns)


def orders(box):
    found = rows(traced(box, 'philosophers'), 'locks', '--order')
    pairs = sorted((r['held'], r['taken']) for r in found)
    forks = ['forks', 'forks+0x28', 'forks+0x50', 'forks+0x78', 'forks+0xa0']
    tap.equal(pairs, sorted(list(zip(forks, forks[1:])) + [(forks[0], forks[4])]), 'philosophers: who reaches for what')
    tap.equal({r['count'] for r in found}, {ROUNDS // 5}, 'philosophers: each as often as they eat')
    tap.equal([r for r in found if r['is_in_cycle']], [], 'philosophers: in order, so no deadlock')

    path = traced(box, 'inversion')
    found = rows(path, 'locks', '--order')
    tap.equal(sorted((r['held'], r['taken'], r['count'], r['is_in_cycle']) for r in found),
              [('one', 'two', ROUNDS, True), ('two', 'one', ROUNDS, True)], 'inversion: both orders, as often as they are taken')
    text = run(path, 'locks', '--order').text
    tap.ok(re.search(r'^possible deadlock: (one -> two -> one|two -> one -> two)$', text, re.MULTILINE) is not None and
           '1 possible deadlock\n' in text, 'inversion: a possible deadlock', text)
    dot = run(path, 'locks', '--dot').text
    tap.ok(dot.startswith('digraph ') and dot.count(' -> ') == 2 and dot.count('color=red') == 2 and dot.rstrip().endswith('}'),
           'inversion: as a graph', dot)

    path = traced(box, 'gated')
    r = run(path, 'locks', '--order', '-v')
    tap.ok('\n0 possible deadlocks\n' in r.text and 'always with forks held' in r.text, 'gated: a gate makes it harmless', r.text)
    tap.ok('1 cycles are harmless' in run(path, 'locks', '--order').text, 'gated: which is said')
    tap.equal([row for row in rows(path, 'locks', '--order') if row['is_in_cycle']], [], 'gated: no row is marked')


def deadlock(box):
    path = traced(box, 'deadlock')
    text = run(path, 'locks', '--order').text
    tap.ok('possible deadlock: ' in text and 'deadlock at the end of the trace:' in text and text.count(' waits for ') == 2,
           'deadlock: it could happen, and did', text)
    truth = Truth(path)
    tap.equal(len(truth.open), 2, 'deadlock: two waits have no end')
    tids = [str(t['tid']) for t in rows(path, 'threads') if t['tid'] != pid_of(path)]
    steps = rows(path, 'chain', '--thread', tids[0])
    tap.equal((len(steps), [s['is_deadlock'] for s in steps], {s['name'] for s in steps}), (2, [True, True], {'one', 'two'}),
              'deadlock: a chain of two that leads back')
    text = run(path, 'chain', '--thread', tids[0]).text
    tap.ok(re.search(r'^deadlock: .* wait for each other$', text, re.MULTILINE) is not None, 'deadlock: it says so', text)
    tap.ok('does not go on until the trace ends' in text, 'deadlock: for good', text)


def pid_of(path):
    return json.loads(run(path, 'info', '--json').text)['pid']


def chains(box):
    """The main thread sleeps with the lock in hand, and four wait for it."""
    path = traced(box, 'convoy', 'trace=all')
    truth = Truth(path)
    begun = info_begun(path)
    released = [e for e in truth.events if e['type'] == 'lock.released'][0]
    last = max(e['time_ns'] for e in truth.events if e['type'] == 'lock.wait.begin' and e['time_ns'] < released['time_ns'])
    at = (last + released['time_ns']) // 2
    everyone = rows(path, 'chain', '--at', '%dns' % (at - begun))
    waiting = [s for s in everyone if s['why'] == 'held']
    tap.equal((len(everyone), len(waiting), {s['name'] for s in waiting}), (5, 4, {'one'}), 'chain: four of five wait for it')
    for s in waiting:
        steps = rows(path, 'chain', '--at', '%dns' % (at - begun), '--thread', str(s['tid']))
        wait = [w for w in truth.waits if w[3] > at >= w[2] and w[2] == at - s['for_ns']]
        tap.equal([(p['why'], p['by'] is not None) for p in steps], [('held', True), ('call', False)],
                  'chain: it waits for who sleeps')
        tap.ok(len(wait) == 1 and steps[0]['for_ns'] == at - wait[0][2] and steps[0]['held_ns'] >= steps[0]['for_ns'] and
               steps[1]['tid'] == pid_of(path) and steps[1]['name'] in ('clock_nanosleep', 'nanosleep'),
               'chain: since when, for whom, and in which call', steps)
        owner = [e for e in truth.events if e['type'] == 'lock.released' and e['time_ns'] <= wait[0][3]][-1]
        tap.equal(steps[0]['woken_ns'], owner['time_ns'] - begun, 'chain: whose release let it go on')
    text = run(path, 'chain', '--at', '%dns' % (at - begun), '--thread', str(waiting[0]['tid'])).text
    tap.ok(re.search(r' waits \S+ for mutex one at .*, held by .* since \S+', text) is not None and
           re.search(r' goes on \S+ later: .* lets go of it', text) is not None, 'chain: in words', text)
    first = rows(path, 'locks', '--chains')[0]
    tap.ok('who waits in clock_nanosleep' in first['chain'] or 'who is in clock_nanosleep' in first['chain'],
           'chains: the largest ends in the sleep', first)
    across = rows(path, 'locks', '--held-across', 'syscall')
    slept = [r for r in across if 'nanosleep' in r['what']]
    tap.equal([(r['name'], r['count']) for r in slept], [('one', 5)], 'held-across: five slept with it')
    tap.equal(rows(path, 'locks', '--held-across', 'wait', '--min', '1s'), [], 'held-across: nobody waited with it so long')
    listed = list(csv.reader(io.StringIO(run(path, 'locks', '--csv').text)))
    tap.ok(listed[0][0] == 'name' and len(listed) > 1 and len({len(r) for r in listed}) == 1, 'CSV')
    tap.equal([r['name'] for r in rows(path, 'locks', '--lock', 'nothing is called so')], [], '--lock')


VIEWS = (['locks', '--include-idle'], ['locks', '--by', 'site'], ['locks', '--by', 'holder'], ['locks', '--order'],
         ['locks', '--chains'], ['locks', '--held-across', 'any'], ['locks', '--dot'], ['blocked', '--kind', 'all'],
         ['blocked', '--by', 'holder', '--depth', '2'], ['chain'], ['chain', '--at', '170us'],
         ['chain', '--at', '170us', '--thread', 'worker-3'])


def golden():
    for columns in (80, 200):
        text = ''
        for view in VIEWS:
            r = run(os.path.join(GOLDEN, 'trace-1.0.out'), *view, columns=columns)
            tap.ok(r.returncode == 0 and r.said == '', '%d columns: %s' % (columns, ' '.join(view)), r.said)
            text += '$ %s\n%s\n' % (' '.join(view), r.text)
        path = os.path.join(GOLDEN, 'locks-%d.txt' % columns)
        if UPDATE:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        with open(path, encoding='utf-8') as file:
            wanted = file.read()
        tap.ok(text == wanted, 'as before with %d columns' % columns, text)
        tap.ok(all(len(line) <= columns for line in text.splitlines() if not re.search(r' (waits|runs|is in|goes on) ', line)),
               'no line of a table is wider')
        tap.ok('\x1b' not in text, 'and none has colour')


def damaged(box):
    """Whatever is in the file: an answer or a sentence, and an end."""
    with open(traced(box, 'philosophers', 'trace=all'), 'rb') as file:
        whole = file.read()
    dice = random.Random(6)
    wrong = []
    for i in range(40):
        data = bytearray(whole)
        if i % 4 == 0:
            del data[dice.randrange(len(data)):]
        for _ in range(dice.choice((1, 1, 4, 30))):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        path = os.path.join(box.root, 'damaged')
        with open(path, 'wb') as file:
            file.write(data)
        for view in VIEWS[:9:2] + (VIEWS[9],):
            r = run(path, *view)
            if r.returncode not in (0, 1) or (r.returncode == 1 and 'cprof-trace: ' not in r.said):
                wrong.append((i, view, r.returncode, r.said[-200:]))
    tap.equal(wrong, [], 'damaged traces: an answer, or why there is none')


def usage():
    path = os.path.join(GOLDEN, 'trace-1.0.out')
    for args, words in ((['locks', '--order', '--chains'], ['only one']), (['locks', '--by', 'x'], ['lock', 'site', 'holder']),
                        (['locks', '--held-across', 'x'], ['syscall']), (['locks', '--sort', 'x'], ['total_ns']),
                        (['locks', '--dot', '--json'], ['--dot']), (['blocked', '--kind', 'x'], ['lock', 'sched']),
                        (['blocked', '--by', 'holder', '--kind', 'cond'], ['holder']), (['chain', '--at', 'noon'], ['noon']),
                        (['chain', '--thread', '('], ['(']), (['locks', '--min', 'x'], ['x'])):
        r = run(path, *args)
        tap.ok(r.returncode == 2 and r.stdout == b'' and all(w in r.said for w in words), 'usage: %s' % ' '.join(args),
               '%d %s' % (r.returncode, r.said))


def main():
    box = Box()
    try:
        usage()
        golden()
        sums(box)
        orders(box)
        deadlock(box)
        chains(box)
        damaged(box)
    finally:
        box.close()
    tap.end()


main()
