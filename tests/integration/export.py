#!/usr/bin/env python3
"""
cprof export: each form has every stack of the profile with its value, no more and no less.

What is in the profile, under the same options, is what go tool pprof -proto has left of it, read by pprof.py.
"""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys

import browser
import firefox
import profiles_made
import tap
from cprof import Box
from pprof import Profile

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')
box = Box()
env = dict(box.environment(), TZ='UTC', PPROF_TMPDIR=box.root, HOME=box.root, PPROF_BINARY_PATH=box.root)
OPTIONS = [[], ['-sample_index=0'], ['-focus=main|parse|fn1'], ['-ignore=runtime|a'], ['-hide=fn|std::'], ['-show_from=worker|main'],
           ['-tagfocus=thread=w1'], ['-tagignore=bytes=4096']]


def at(name):
    return os.path.join(box.root, name)


def sources():
    paths = [os.path.join(DATA, f) for f in sorted(os.listdir(DATA)) if f.endswith('.pb.gz')]
    paths += [p for p in profiles_made.make_special(box.root) if not p.endswith(('bytes.pb.gz', 'huge.pb.gz', 'empty.pb.gz'))]
    for seed in range(1, 15):
        paths.append(at('seed%d.pb.gz' % seed))
        profiles_made.generate(seed, paths[-1])
    return paths


def stacks(path, options, column=None):
    """{names, root first: value} of what pprof leaves, and the unit, None when some values are below zero."""
    out = at('left.pb.gz')
    r = box.plain(shutil.which('go'), 'tool', 'pprof', '-symbolize=none', '-proto', '-output=' + out, *options, path, env=env)
    if r.status != 0:
        return None, r.err
    p = Profile.read(out)
    if column is None:
        column = 0 if '-sample_index=0' in options else len(p.types) - 1
        names = [t for t, _ in p.types]
        if p.default_type in names and '-sample_index=0' not in options:
            column = names.index(p.default_type)
    files = {m['id']: m['file'] for m in p.mappings}
    found = {}
    for s in p.samples:
        names = []
        for mapping, lines, _ in reversed(s.frames):
            for name in [line[0] for line in reversed(lines)] or ['']:
                file = files.get(mapping, '')
                base = os.path.basename(file.rstrip('/')) or '/'
                names.append(name or ('[%s]' % base if file else '<unknown>'))
        key = tuple(names)
        found[key] = found.get(key, 0) + s.values[column]
    unit = p.types[column][1] if all(s.values[column] >= 0 for s in p.samples) else None
    return {k: v for k, v in found.items() if v > 0}, unit


def export(form, path, *options, status=0):
    out = at('out')
    r = box.command('export', '-symbolize=none', '-format=' + form, '-o', out, *options, path)
    if r.status != status:
        tap.ok(False, 'export %s %s' % (form, os.path.basename(path)), r.show())
    with open(out, 'rb') as f:
        return f.read(), r


def of_folded(data):
    found = {}
    for line in data.decode().splitlines():
        names, _, value = line.rpartition(' ')
        key = tuple(names.split(';'))
        if key in found:
            raise ValueError('twice: %s' % line)
        found[key] = int(value)
    return found


def of_speedscope(data, index=None):
    whole = json.loads(data)
    frames = [f['name'] for f in whole['shared']['frames']]
    p = whole['profiles'][whole['activeProfileIndex'] if index is None else index]
    if len(p['samples']) != len(p['weights']) or sum(p['weights']) != p['endValue'] - p['startValue']:
        raise ValueError('weights')
    found = {}
    for stack, weight in zip(p['samples'], p['weights']):
        key = tuple(frames[f] for f in stack)
        found[key] = found.get(key, 0) + weight
    return found


def of_firefox(data):
    p = firefox.Profile(data)
    if p.problems:
        raise ValueError(p.problems)
    found = {}
    for _, value, stack in p.threads[0].samples:
        stack = tuple(re.sub('^[0-9a-f]{16} ', '', name) for name in stack)  # of what has no name
        found[stack] = found.get(stack, 0) + value
    return found


READERS = {'folded': of_folded, 'speedscope': of_speedscope, 'firefox': of_firefox}
NS = {'nanoseconds': 1, 'microseconds': 10**3, 'ms': 10**6, 'milliseconds': 10**6, 's': 10**9, 'hour': 3600 * 10**9}


def shown(form, want, unit):
    """The same in the unit and with the names that the form has. None: it has no numbers that large, or stacks cancel out."""
    if unit is None and form != 'folded':
        return None
    factor = 1
    if form == 'firefox':
        factor = NS.get(unit, 1024 if unit == 'kilobytes' else 1)
    elif form == 'speedscope':
        factor = {'hour': 3600, 'kilobytes': 1024}.get(unit, 1)
    names = (lambda n: n.replace(';', ':')) if form == 'folded' else (lambda n: n)
    found = {}
    for stack, value in want.items():
        key = tuple(names(n) for n in stack) or (('<unknown>',) if form == 'folded' else ())
        found[key] = found.get(key, 0) + value * factor
    return found if all(value < 1 << 62 for value in found.values()) else None


def same_stacks():
    if shutil.which('go') is None:
        tap.skip('all stacks', 'there is no go')
        return
    r = random.Random(7)
    for path in sources():
        for options in [[]] + r.sample(OPTIONS[1:], 2):
            want, unit = stacks(path, options)
            if want is None:
                continue
            for form, read in READERS.items():
                got, want_shown = read(export(form, path, *options)[0]), shown(form, want, unit)
                if want_shown is None:
                    continue
                about = '%s %s %s' % (form, os.path.basename(path), ' '.join(options))
                if got != want_shown:
                    odd = [(k, got.get(k), want_shown.get(k)) for k in set(got) | set(want_shown) if got.get(k) != want_shown.get(k)]
                    tap.ok(False, about, '%d of %d, such as %r' % (len(odd), len(want_shown), odd[:2]))
                elif not options or form == 'folded':
                    tap.ok(True, '%s: %d stacks' % (about, len(got)))


def callgrind():
    """To the byte what go tool pprof -callgrind writes."""
    if shutil.which('go') is None:
        tap.skip('callgrind', 'there is no go')
        return
    r = random.Random(11)
    choices = OPTIONS[1:] + [['-cum'], ['-mean'], ['-unit=ms'], ['-divide_by=3'], ['-drop_negative'], ['-noinlines'], ['-lines']]
    for path in sources() + [at('special_' + n) for n in namesakes()]:
        for options in [[]] + r.sample(choices, 2):
            if stacks(path, options)[1] is None:
                continue  # calls of 2 and -2 are in an order that pprof leaves to chance
            want = box.plain(shutil.which('go'), 'tool', 'pprof', '-symbolize=none', '-callgrind', '-output=' + at('want'), *options,
                             path, env=env)
            if want.status != 0:
                continue
            with open(at('want'), 'rb') as f:
                want = f.read().split(b'\n')
            got = export('callgrind', path, *options)[0].split(b'\n')
            odd = [(a, b) for a, b in itertools.zip_longest(got, want) if a != b]
            tap.ok(not odd, 'callgrind %s %s: %d lines' % (os.path.basename(path), ' '.join(options), len(want)), odd[:3])


def gperftools():
    """Read back by us and by pprof: the same addresses with the same values."""
    def of(path, types):
        p, found = Profile.read(path), {}
        columns = [[t for t, _ in p.types].index(t) for t in types]
        for s in p.samples:
            values = [s.values[c] for c in columns]
            key = tuple(address for _, _, address in s.frames if address)
            found[key] = [a + b for a, b in zip(found.get(key, [0] * len(values)), values)]
        return {key: values for key, values in found.items() if any(values)}

    r = box.command('run', '-p', 'heap=64k', '-o', at('recorded'), '--', 'python3', '-c', 'x = [bytes(2000) for _ in range(30000)]')
    paths = [os.path.join(DATA, n + '.pb.gz') for n in ('go-heap', 'go-allocs', 'go-mutex', 'go-block')]
    for path in paths + [os.path.join(at('recorded'), 'heap.pb.gz')]:
        types = [t for t, _ in Profile.read(path).types]
        text, _ = export('gperftools', path, '-symbolize=none')
        with open(at('text'), 'wb') as f:
            f.write(text)
        for who, argv in (('us', [box.cprof, 'merge', '-o', at('back.pb.gz'), at('text')]),
                          ('pprof', [shutil.which('go'), 'tool', 'pprof', '-symbolize=none', '-proto', '-output=' + at('back.pb.gz'), at('text')])):
            if argv[0] is None:
                continue
            r2 = box.plain(*argv, env=env)
            tap.ok(r2.status == 0 and of(at('back.pb.gz'), types) == of(path, types), 'gperftools %s, read by %s' % (os.path.basename(path), who), r2.show())
    r = box.command('export', '-format=gperftools', os.path.join(DATA, 'go-cpu.pb.gz'))
    tap.ok(r.status == 1 and r.out == '' and 'memory and of waiting only' in r.err, 'gperftools: a profile of CPU time is refused', r.show())
    r = box.command('export', '-format=gperftools', '-functions', os.path.join(DATA, 'go-heap.pb.gz'))
    tap.ok(r.status == 1 and 'without any address' in r.err, 'gperftools: so are places without addresses', r.show())


def namesakes():
    """Functions of one name and file: in two libraries, and twice in one."""
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    for i in (1, 2):
        p.mapping(i, i << 20, (i << 20) + 0x1000, 0, '/lib/%d.so' % i)
    for i in range(1, 5):
        p.function(i, 'same' if i < 4 else 'other', file='x.c', start=i % 3)
        for m in (1, 2):
            p.location(2 * i + m, m, (m << 20) + 16 * i, [(i, i)])
    for a, b, v in ((3, 4, 5), (4, 5, 7), (5, 6, 7), (6, 10, 1), (10, 8, 2), (7, 3, 9), (9, 3, 4)):
        p.sample([a, b], [v])
    p.header()
    p.write(at('special_namesakes.pb.gz'))
    return ['namesakes.pb.gz']


def columns():
    """speedscope has all columns, the profile's own first."""
    path = os.path.join(DATA, 'go-heap.pb.gz')
    data = json.loads(export('speedscope', path)[0])
    tap.equal([(p['name'], p['unit']) for p in data['profiles']],
              [('alloc_objects', 'none'), ('alloc_space', 'bytes'), ('inuse_objects', 'none'), ('inuse_space', 'bytes')], 'columns')
    tap.equal(data['activeProfileIndex'], 3, 'the one that pprof shows is shown first')
    for i in range(4):
        tap.equal(of_speedscope(json.dumps(data), i), stacks(path, [], i)[0], 'column %d' % i)
    data = json.loads(export('speedscope', path, '-sample_index=alloc_space')[0])
    tap.equal([p['name'] for p in data['profiles']], ['alloc_space'], 'one that is asked for is alone')


def places():
    """What a frame is, and where it is."""
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    p.mapping(1, 0x1000, 0x9000, 0x200, '/usr/lib/lib x;y.so', 'ab' * 20, 15)
    p.function(1, 'root', file='r.c', start=3)
    p.function(2, 'a;b\n"\\', file='in;line.c', start=5)
    p.function(3, 'out', file='out.c')
    p.location(1, 1, 0x1111, [(1, 10)])
    p.location(2, 1, 0x2222, [(2, 20), (3, 30)])
    p.location(3, 1, 0x3333)
    p.location(4, 0, 0x4444)
    p.sample([3, 2, 1], [5], [('thread', 'one', '')])
    p.sample([3, 2, 1], [7], [('thread', 'two', '')])
    p.sample([4], [11])
    p.sample([1], [-17])
    p.header()
    path = at('places.pb')
    p.write(path, False)
    want = {'': ['root;out;a:b\\x0a"\\x5c;[lib x:y.so] 12', '<unknown> 11'],
            '-noinlines': ['root;out;[lib x:y.so] 12', '<unknown> 11'],
            '-filefunctions': ['root r.c;out out.c;a:b\\x0a"\\x5c in:line.c;[lib x:y.so] 12', '<unknown> 11'],
            '-lines': ['root r.c:10;out out.c:30;a:b\\x0a"\\x5c in:line.c:20;[lib x:y.so] 12', '<unknown> 11'],
            '-addresses': ['0000000000001111 root r.c:10;0000000000002222 out out.c:30;0000000000002222 a:b\\x0a"\\x5c in:line.c:20;'
                           '0000000000003333 [lib x:y.so] 12', '0000000000004444 <unknown> 11'],
            '-divide_by=0.5': ['root;out;a:b\\x0a"\\x5c;[lib x:y.so] 24', '<unknown> 22']}
    for option, lines in want.items():
        data, r = export('folded', path, *([option] if option else []))
        tap.equal(data.decode().splitlines(), lines, 'folded %s' % option)
        tap.ok('1 stacks below zero' in r.err, 'what is below zero is left out, and counted', r.err)
    frames = json.loads(export('speedscope', path)[0])['shared']['frames']
    tap.equal(frames, [{'name': '[lib x;y.so]'}, {'name': 'a;b\n"\\', 'file': 'in;line.c', 'line': 5},
                       {'name': 'out', 'file': 'out.c'}, {'name': 'root', 'file': 'r.c', 'line': 3}, {'name': '<unknown>'}],
              'speedscope: functions with where they begin')
    whole = firefox.Profile(export('firefox', path)[0])
    t = whole.whole['threads'][0]['frameTable']
    tap.equal((whole.problems, list(zip(t['address'], t['inlineDepth'], t['line']))),
              ([], [(0x2533, 0, None), (0x1422, 1, 20), (0x1422, 0, 30), (0x311, 0, 10), (-1, 0, None)]),
              'firefox: places in the file, inlined depth, lines')
    tap.equal([(l['name'], l['codeId'], l['breakpadId']) for l in whole.whole['libs']],
              [('lib x;y.so', 'ab' * 20, 'AB' * 16 + '0')], 'firefox: the library')


def idle():
    """Waiting that is idle is not there, and that is said."""
    path = profiles_made.make_waits(box.root)
    data, r = export('folded', path)
    tap.ok(b'main;worker;pop' not in data and 'Left out as idle' in r.err and '-idle' in r.err, 'without what is idle', r.err)
    data, r = export('folded', path, '-idle')
    tap.ok(b'main;worker;pop 98000000000\n' in data and r.err == '', '-idle', r.err)


def schema():
    """The schema that speedscope comes with."""
    modules = browser.modules('speedscope', 'ajv')
    if not modules:
        tap.skip('speedscope\'s schema', browser.missing)
        return
    paths = []
    for name in ('go-cpu', 'go-heap', 'go-mutex'):
        paths.append(at(name + '.json'))
        with open(paths[-1], 'wb') as f:
            f.write(export('speedscope', os.path.join(DATA, name + '.pb.gz'))[0])
    r = browser.speedscope_schema(modules, at('check.js'), paths)
    tap.ok(r.returncode == 0, 'speedscope\'s own schema has nothing against it', r.stdout.decode()[:500])


def refused():
    cpu = os.path.join(DATA, 'go-cpu.pb.gz')
    for about, arguments, status, words in (
            ('no format', [cpu], 2, 'folded, speedscope'), ('a format that is none', ['-format=svg', cpu], 2, 'svg'),
            ('no profile', ['-format=folded'], 2, 'which profile'), ('a mean', ['-format=folded', '-mean', cpu], 2, '-mean'),
            ('a column that is none', ['-format=folded', '-sample_index=x', cpu], 2, 'samples'),
            ('kinds that differ', ['-format=folded', cpu, os.path.join(DATA, 'go-heap.pb.gz')], 1, 'different kinds'),
            ('an option that is none', ['-format=folded', '-focsu=x', cpu], 2, '-focus')):
        r = box.command('export', '-o', at('never'), *arguments)
        tap.ok(r.status == status and r.out == '' and words in r.err and r.err.count('\n') == 1, about, r.show())
    tap.ok(not os.path.exists(at('never')), 'nothing was written')
    with open('/dev/full', 'wb') as full:
        for form in READERS:
            r = subprocess.run([box.cprof, 'export', '-format', form, cpu], stdout=full, stderr=subprocess.PIPE, env=env)
            tap.ok(r.returncode == 1 and b'No space left' in r.stderr, 'a full disk: %s' % form, r.stderr)
    r = box.command('export', '-format=folded', cpu, cpu)
    tap.equal(sum(of_folded(r.out.encode()).values()), 2 * Profile.read(cpu).total(), 'two files are added up')


tap.run(same_stacks, callgrind, gperftools, columns, places, idle, schema, refused, box.close)
