#!/usr/bin/env python3
"""
cprof diff: what it says of profiles with known sums, beside the same tests worked out here in another way, and what it refuses.

    gate.py BUILD [TEST…]
"""

import gzip
import itertools
import json
import math
import os
import random
import re
import shutil
import subprocess
import tempfile

import cprof
import tap
from profiles_made import Profile

CPU = [('samples', 'count'), ('cpu', 'nanoseconds')]
HEAP = [('alloc_objects', 'count'), ('alloc_space', 'bytes')]
ROOT = tempfile.mkdtemp(prefix='gate')
FEW, OTHERS = 5, 6


def make(name, counts, types=None, each=1000000, period=('cpu', 'nanoseconds'), period_value=1000000, program='/bin/prog',
         build='abcd', duration=0):
    """A profile with functions called by main(): name → how many samples, or (count, value)."""
    p = Profile()
    for kind, unit in types or CPU:
        p.sample_type(kind, unit)
    p.mapping(1, 0x1000, 0x9000, file=program, build=build)
    p.function(1, 'main')
    p.location(1, 1, 0x1000, [(1, 1)])
    for i, (function, count) in enumerate(counts.items(), 2):
        p.function(i, function)
        p.location(i, 1, 0x1000 + 16 * i, [(i, 1)])
        values = count if isinstance(count, tuple) else (count, count * each)
        if values[0] != 0:
            p.sample([i, 1], values)
    p.header(period=period_value, period_type=period, duration=duration)
    path = os.path.join(ROOT, name)
    p.write(path)
    return path


def diff(*args):
    done = subprocess.run([cprof.CPROF, 'diff', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def rows_of(*args):
    status, out, err = diff('-json', *args)
    found = json.loads(out)
    return status, found, {row['function']: row for row in found['rows']}


def fisher(hits, n):
    k, all_n = sum(hits), sum(n)
    ways = {x: math.comb(n[1], x) * math.comb(n[0], k - x) for x in range(max(0, k - n[0]), min(k, n[1]) + 1)}
    return sum(w for w in ways.values() if w <= ways[hits[1]]) / math.comb(all_n, k)


def ranks(values):
    """Twice their ranks, ties in the middle."""
    ordered = sorted(values)
    return [2 * ordered.index(v) + 1 + ordered.count(v) for v in values]


def mann_whitney(a, b):
    """Every way to share them out."""
    all_ranks = ranks(a + b)
    mean = len(a) * (len(all_ranks) + 1)
    off = abs(sum(all_ranks[:len(a)]) - mean)
    ways = [abs(sum(some) - mean) >= off for some in itertools.combinations(all_ranks, len(a))]
    return sum(ways) / len(ways)


def mann_whitney_normal(a, b):
    values = a + b
    n = len(values)
    off = abs(sum(ranks(values)[:len(a)]) / 2 - len(a) * (n + 1) / 2) - 0.5
    ties = sum(values.count(v) ** 3 - values.count(v) for v in set(values))
    return math.erfc(max(0, off) / math.sqrt(len(a) * len(b) / 6 * (n + 1 - ties / (n * (n - 1)))))


def holm(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    out, largest = list(p), 0
    for place, i in enumerate(order):
        largest = max(largest, min(1, p[i] * (len(p) - place)))
        out[i] = largest
    return out


def near(got, want):
    return abs(got - want) <= 1e-6 * abs(want) + 1e-12


def is_near(got, want, about):
    tap.ok(near(got, want), about, 'got %r, wanted %r' % (got, want))


def test_counts():
    base = make('count_a', {'parse': 82, 'hash': 300, 'copy': 118, 'rest': 500})
    new = make('count_b', {'parse': 123, 'hash': 290, 'copy': 107, 'rest': 480})
    status, found, rows = rows_of(base, new)
    want = {f: fisher(hits, (1000, 1000)) for f, hits in
            {'parse': (82, 123), 'hash': (300, 290), 'copy': (118, 107), 'rest': (500, 480)}.items()}
    tap.equal(status, 0, 'no condition, no failure')
    tap.equal(found['test'], 'fisher', 'one file a side: counts')
    tap.equal(sorted(rows), sorted(want), 'main has nothing of its own and is not tested')
    for f, p in want.items():
        is_near(rows[f]['p_alone'], p, "Fisher's p of " + f)
    for f, p in zip(want, holm(list(want.values()))):
        is_near(rows[f]['p'], p, "Holm's p of " + f)
    tap.equal([rows['parse'][k] for k in ('base', 'new', 'verdict')], [0.082, 0.123, 'more'], 'what has changed')
    status, out, _ = diff(base, new, '-fail-on', 'flat:parse>+2pp', '-fail-on', 'flat:hash>+2pp')
    tap.equal(status, 1, 'a condition that is true')
    tap.equal(out.splitlines()[-1], 'parse got 4.1 pp slower (8.2 % → 12.3 %), p = 0.006; 1 of 2 conditions failed', 'a sentence')
    for condition, want_status in (('flat:parse>+5pp', 0), ('flat:copy>+1%', 0), ('flat:hash<-0.5pp', 0), ('cum:main>+1%', 0),
                                   ('flat:parse>+49%', 1), ('cum:par*>+49%', 1), ('flat:none>+2pp', FEW), ('total>+1%', FEW)):
        tap.equal(diff(base, new, '-fail-on=' + condition)[0], want_status, condition)
    tap.equal(diff(base, new, '-alpha=0.001', '-fail-on=flat:parse>+2pp')[0], 0, 'another alpha')
    tap.equal(diff(base, new, '-min-share=40%', '-json')[1].count('"function"'), 2, 'and another least share')
    tap.equal(diff(new, '-base', base, '-fail-on=flat:parse>+2pp')[0], 1, 'new before -base')
    small = make('count_c', {'parse': 5, 'rest': 60})
    tap.equal(diff(small, small, '-fail-on=flat:parse>+2pp')[0], FEW, 'few samples')
    tap.equal(diff(small, small)[0], 0, 'and nobody asked')


def top(path, unit, *options):
    """name → (flat, cum), as cprof top has it, which is pprof's text."""
    done = subprocess.run([cprof.CPROF, 'top', '-trim=false', '-unit=' + unit, *options, path], stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    found = {}
    for line in lines[[line.split()[:1] == ['flat'] for line in lines].index(True) + 1:]:
        flat, _, _, cum, _, name = line.split(None, 5)
        found[re.sub(r' \((partial-)?inline\)$', '', name)] = tuple(int(re.match(r'-?\d+', text)[0]) for text in (flat, cum))
    return found


def test_sums():
    """Flat and cum are those of top: recursion, inlined calls, frames without names."""
    for name, unit, options in (('go-cpu', 'nanoseconds', ()), ('go-cpu2', 'nanoseconds', ('-noinlines',)),
                                ('go-heap', 'bytes', ('-sample_index=alloc_space',)), ('go-goroutine', 'count', ()),
                                ('go-allocs', 'count', ('-sample_index=alloc_objects', '-hide=^runtime'))):
        path = os.path.join(os.path.dirname(__file__), '..', 'data', name + '.pb.gz')
        wanted = top(path, unit, *options)
        for i, measure in enumerate(('flat', 'cum')):
            _, _, rows = rows_of(path, path, '-absolute', '-min-share=0%', '-' + measure, *options)
            got = {f: row['base'] for f, row in rows.items() if f is not None}
            tap.equal(got, {f: sums[i] for f, sums in wanted.items() if sums[i] != 0}, '%s of %s' % (measure, name))


def make_runs(prefix, n, seed, more):
    chance = random.Random(seed)
    made, values = [], []
    for i in range(n):
        counts = {f: chance.randint(40, 60) * 10 for f in ('hash', 'copy', 'sort')}
        counts['parse'] = chance.randint(10, 20) * 10 + more
        values.append(counts)
        made.append(make('%s%d' % (prefix, i), counts, duration=10 ** 9))
    return made, values


def test_runs():
    for n, m, more, test in ((10, 10, 60, mann_whitney), (5, 7, 30, mann_whitney), (25, 22, 10, mann_whitney_normal)):
        a, a_counts = make_runs('run_a%d_' % n, n, n, 0)
        b, b_counts = make_runs('run_b%d_' % m, m, m + 100, more)
        for options, part in (((), lambda run, f: run[f] / sum(run.values())), (('-absolute',), lambda run, f: run[f])):
            _, found, rows = rows_of('-base', *a, '-new', *b, *options)
            tap.equal(found['test'], 'mann-whitney', '%d and %d files: ranks' % (n, m))
            tested = ('hash', 'copy', 'sort', 'parse')
            p = {f: test([part(r, f) for r in a_counts], [part(r, f) for r in b_counts]) for f in tested}
            if options:
                p[None] = test([sum(r.values()) for r in a_counts], [sum(r.values()) for r in b_counts])
            for f, want in p.items():
                is_near(rows[f]['p_alone'], want, 'p of %s, %d and %d files %s' % (f or 'the whole', n, m, ' '.join(options)))
            for f, want in zip(p, holm(list(p.values()))):
                is_near(rows[f]['p'], want, 'after Holm')
            middle = sorted(part(r, 'parse') for r in a_counts)
            scale = 10 ** 6 if options else 1
            is_near(rows['parse']['base'], scale * (middle[(n - 1) // 2] + middle[n // 2]) / 2, 'the middle run')
    a, _ = make_runs('run_a10_', 10, 10, 0)
    b, _ = make_runs('run_b10_', 10, 110, 60)
    tap.equal(diff('-base', *a, '-new', *b, '-fail-on', 'flat:parse>+1pp')[0], 1, 'the gate')
    tap.equal(diff('-base', *a, '-new', *b, '-fail-on', 'total>50%')[0], 0, 'of the whole')
    status, out, _ = diff('-base', *a[:3], '-new', *b[:3], '-fail-on', 'flat>+1pp')
    tap.equal(status, FEW, 'three runs a side')
    tap.ok('at least 5 a side' in out, 'it says how many it takes', out)
    tap.equal(diff('-base', a[0], '-new', *b, '-fail-on', 'flat:parse>+1pp')[0], FEW, 'one against ten')


def test_memory():
    """Values that are no counts: one large block is one sample, whatever it is a part of."""
    blocks = {'small': (524288 * 16, 524288 * 16 * 16), 'large': (1, 60 << 20), 'other': (1 << 20, 1 << 24)}
    more = dict(blocks, large=(2, 120 << 20))
    a = make('heap_a', blocks, HEAP, period=('space', 'bytes'), period_value=524288)
    b = make('heap_b', more, HEAP, period=('space', 'bytes'), period_value=524288)
    _, found, rows = rows_of(a, b)
    tap.ok(0.1 < rows['large']['change'] and rows['large']['verdict'] != 'more', 'twice one block is no more than chance',
           repr(rows['large']))
    # 16 bytes each, one in 512 KiB: 128 MiB are 256 samples, 16 MiB 32; 60 MiB are one of 60 MiB
    is_near(found['base']['samples'], 204 ** 2 / (128 * 0.5 + 16 * 0.5 + 60 ** 2), 'how many samples they are worth')
    tap.equal(found['unit'], 'bytes', 'in bytes')


def test_refused():
    good = make('good', {'parse': 82, 'rest': 900})
    with open(os.path.join(ROOT, 'text'), 'w') as file:
        file.write('not a profile')
    with open(good, 'rb') as file, open(os.path.join(ROOT, 'cut'), 'wb') as cut:
        cut.write(file.read()[:-20])
    nothing = make('nothing', {})
    negative = make('negative', {'parse': (-1, -5)})
    heap = make('heap', {'parse': (1, 5)}, HEAP, period=('space', 'bytes'))
    wall = make('wall', {'parse': 82}, period=('wallclock', 'nanoseconds'))
    other = make('other', {'unheard': 900}, program='/bin/other')
    micro = make('micro', {'parse': 82, 'rest': 900}, [('samples', 'count'), ('cpu', 'microseconds')], each=1000)
    huge = make('huge', {'parse': (1 << 62, 1 << 62), 'rest': (1 << 62, 1 << 62)})
    for args, want, says in (
            (('text', good), 3, 'text'), ((good, 'cut'), 3, 'cut'), ((good, 'missing'), 3, 'missing'),
            ((good, heap), OTHERS, 'different kinds'), ((good, wall), OTHERS, 'wallclock'),
            ((good, other), OTHERS, 'no function'), ((good, negative), OTHERS, 'below 0'),
            ((good,), 2, 'which profiles'), ((), 2, 'which profiles'), ((good, good, good), 2, 'which profiles'),
            (('-base', good), 2, 'which profiles'), ((good, good, '-fail-on', 'slow'), 2, 'flat, cum'),
            ((good, good, '-min-share=2'), 2, '0.5%'), ((good, good, '-alpha=7'), 2, '0.05'),
            ((good, good, '-alpha=nan'), 2, '0.05'), ((good, good, '-sort=cum'), 2, 'no option -sort'),
            ((good, '-base', good, '-new', good), 2, 'base or new'), ((good, good, '-json', '-markdown'), 2, 'one of them'),
            ((good, good, '-fail-on'), 2, 'needs a value'), ((good, good, '-focus=('), 2, 'focus')):
        status, out, err = diff(*args)
        tap.equal(status, want, 'status of ' + ' '.join(os.path.basename(a) for a in args))
        tap.ok(says in err and out == '' and err.count('\n') == 1, 'one sentence about it', out + err)
    status, out, _ = diff('-json', good, heap)
    tap.equal((status, json.loads(out)['verdict']), (OTHERS, 'not_comparable'), 'JSON, too')
    tap.ok(diff('-markdown', good, heap)[1].startswith('### cprof diff: not comparable'), 'and Markdown')
    status, found, rows = rows_of(good, micro)
    tap.equal((status, rows['parse']['change'], found['base']['total']), (0, 0, found['new']['total']), 'another unit is the same')
    tap.equal(diff(nothing, good, '-fail-on=flat>1pp')[0], FEW, 'nothing at all on one side')
    tap.equal(diff(huge, huge)[0], 0, 'more than anybody can have counted')
    status, out, _ = diff(good, make('renamed', {'parse': 82, 'rest': 900}, program='/bin/prog2', build='ef'))
    tap.ok(status == 0 and 'Warning: different programs: prog and prog2' in out, 'another name is a warning', out)


def test_outputs():
    odd = 'a|b`c&d\x1b[31m\\"'
    base = make('odd_a', {odd: 100, 'rest': 9900})
    new = make('odd_b', {odd: 300, 'rest': 9700})
    status, out, _ = diff(base, new, '-fail-on=flat>1pp')
    tap.ok(status == 1 and '\x1b' not in out, 'no commands for the terminal, and no colours into a pipe', repr(out))
    status, out, _ = diff('-markdown', base, new, '-fail-on=flat>1pp')
    table = [line for line in out.splitlines() if line.startswith('| `a')]
    tap.equal((status, table), (1, ["| `a\\|b'c&d?[31m\\\"` | 1.00 % | 3.00 % | +2.00 pp | +200.0 % | <0.0001 | **slower** |"]),
              'a row of Markdown')
    tap.ok(out.startswith('### cprof diff: failed\n'), 'under a heading', out)
    status, found, rows = rows_of(base, new, '-fail-on=flat>1pp')
    tap.ok(odd in rows and rows[odd]['failed'] and found['rows'][found['conditions'][0]['worst']]['function'] == odd,
           'the name as it is in JSON', repr(found))
    many = make('many', {'f%d' % i: 100 for i in range(60)})
    tap.ok('40 more; -nodecount=0' in diff(many, many)[1], 'twenty rows')
    tap.equal(diff(many, many, '-nodecount=0')[1].count('\n    1.67 %'), 60, 'all rows')
    for f in ('-focus=^parse$', '-ignore=rest'):
        _, _, rows = rows_of(make('f_a', {'parse': 100, 'rest': 100}), make('f_b', {'parse': 150, 'rest': 100}), f)
        tap.equal(sorted(rows), ['parse'], f)
    tap.equal(diff('-help')[0], 0, 'help')


try:
    tap.run(test_counts, test_sums, test_runs, test_memory, test_refused, test_outputs)
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
