#!/usr/bin/env python3
"""
cprof's reports against those of go tool pprof, byte for byte.

    pprof_parity.py BUILD [PART...]

The profiles are those of tests/data, which Go wrote, some made for one purpose each, some from a generator (PARITY_FIRST is its first
seed, PARITY_SEEDS how many), some that cprof records here, and a Go program's.
"""

import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import tempfile
import urllib.request

import tap
from cprof import CPROF, PROGRAMS, Box
from profiles_made import generate, make_exact, make_special, make_waits

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')
GO_SERVER = os.path.join(PROGRAMS, 'served_go')
JOBS = int(os.environ.get('PARITY_JOBS', '2'))
SEEDS = int(os.environ.get('PARITY_SEEDS', '24'))
FIRST = int(os.environ.get('PARITY_FIRST', '1'))
VIEWS = ('top', 'tree', 'peek', 'traces', 'tags', 'raw')
ZONES = ('America/New_York', 'UTC', 'Asia/Kolkata', 'America/Sao_Paulo', 'Australia/Adelaide')

# Sets of options that each aim at one rule.
TOP = [
    [], ['-cum'], ['-nodecount=5'], ['-nodecount=1', '-cum'], ['-nodefraction=0'], ['-nodefraction=0.1'],
    ['-trim=false'], ['-sample_index=0'], ['-mean'], ['-unit=ms'], ['-unit=bytes'], ['-unit=auto'],
    ['-unit=kilobytes'], ['-lines'], ['-files'], ['-filefunctions'], ['-addresses'],
    ['-addresses', '-noinlines'], ['-noinlines'], ['-lines', '-noinlines', '-cum'],
    ['-focus=main|parse'], ['-ignore=fn1'], ['-hide=std::|leaf1'], ['-show=f.*'], ['-show_from=worker'],
    ['-focus=main', '-relative_percentages'], ['-focus=[a-d]', '-ignore=z', '-hide=fn', '-cum'],
    ['-tagfocus=thread=w1'], ['-tagfocus=w1,idle'], ['-tagignore=idle'], ['-tagfocus=bytes=1kb:'],
    ['-tagfocus=:64kb'], ['-tagfocus=4096'], ['-tagignore=request=1:10mb'], ['-divide_by=3'],
    ['-divide_by=0.01'], ['-divide_by=-2'], ['-drop_negative'], ['-compact_labels'], ['-edgefraction=0.2'],
    ['-nodecount=3', '-edgefraction=0.5', '-lines'], ['-focus=' + 'x' * 100 + '|.'], ['-focus=(?i)MAIN'],
    ['-focus=^fn\\d+$'], ['-show=prog'], ['-hide=libc'], ['-trim=false', '-addresses', '-cum'],
    ['-nodecount', '7', '--cum'], ['-mean', '-cum', '-lines'], ['-symbolize=none'], ['-sample_index=-1'],
    ['-sample_index=9'], ['-sample_index=inuse_space'], ['-sample_index=delay'], ['-alloc_space'],
    ['-contentions', '-total_delay'], ['-mean_delay'], ['-lines', '-files'], ['-prune_from=main|f[0-9]'],
]
VIEWED = [
    [], ['-cum'], ['-lines'], ['-addresses'], ['-nodecount=4'], ['-nodefraction=0.05', '-edgefraction=0.1'],
    ['-tagroot=thread'], ['-tagleaf=state,bytes', '-lines'], ['-tagroot=none,thread', '-tagleaf=request'], ['-taghide=thread'],
    ['-tagshow=state|bytes'], ['-prune_from=main|f[0-9]'], ['-mean', '-noinlines'], ['-unit=us', '-files'], ['-compact_labels'],
    ['-trim_path=/usr/src:./src', '-lines'], ['-source_path=/a/lib:src', '-filefunctions'], ['-call_tree'],
]
RAW = [[], ['-symbolize=none'], ['-focus=main|fn'], ['-ignore=a'], ['-hide=fn'], ['-show=m'], ['-tagfocus=thread=w.'],
       ['-tagignore=bytes=4096'], ['-show_from=parse'], ['-tagroot=thread', '-tagleaf=bytes'], ['-taghide=t']]
# Of the profile made for it: what is just as large as the limit, directories, labels without a unit.
EXACT = [
    ['-edgefraction=0.1', '-nodefraction=0'], ['-edgefraction=0.05', '-nodefraction=0.1'], ['-drop_negative', '-edgefraction=0.05'],
    ['-drop_negative', '-nodefraction=0', '-edgefraction=0.1'], ['-nodecount=5'], ['-nodecount=3', '-cum'], ['-tagroot=plain', '-unit=s'],
    ['-tagleaf=plain,size', '-unit=kb'], ['-tagleaf=thread,plain', '-lines'], ['-lines', '-source_path=/here/project:src'],
    ['-files', '-source_path=src/'], ['-filefunctions', '-trim_path=/usr:/home/me/'], ['-lines', '-trim_path=:/usr'],
    ['-lines', '-trim_path=/usr', '-source_path=src'], ['-lines', '-source_path=/'], ['-unit=us'], ['-noinlines'],
]
NAMES = ['main', 'fn[0-5]', 'f', 'std::|worker', 'parse|a', '^fn\\d$', '(?i)MALLOC', 'nothing at all', 'c', 'prog', '[a-m]']
KEYS = ['thread', 'state', 'bytes', 'request', 'thread,state', 'bytes,none', ',state,']
# Each is taken or not; one of its options is.
CHOICES = [
    ['-cum', '-flat'], ['-lines', '-files', '-filefunctions', '-addresses', '-functions'], ['-noinlines'],
    ['-focus=' + n for n in NAMES], ['-ignore=' + n for n in NAMES], ['-hide=' + n for n in NAMES], ['-show=' + n for n in NAMES],
    ['-show_from=' + n for n in NAMES], ['-prune_from=' + n for n in NAMES],
    ['-tagfocus=thread=w1', '-tagfocus=w', '-tagfocus=bytes=1:', '-tagfocus=:64kb', '-tagfocus=w1,run'],
    ['-tagignore=idle', '-tagignore=state=run', '-tagignore=request=4kb'], ['-tagshow=thread', '-tagshow=.', '-tagshow=x'],
    ['-taghide=state', '-taghide=b', '-taghide=x'], ['-tagroot=' + k for k in KEYS], ['-tagleaf=' + k for k in KEYS],
    ['-sample_index=0', '-sample_index=1', '-alloc_space', '-total_delay', '-contentions'], ['-mean', '-mean_delay'],
    ['-unit=ms', '-unit=kb', '-unit=auto', '-unit=widgets'], ['-divide_by=3', '-divide_by=0.5', '-divide_by=-1'],
    ['-nodecount=1', '-nodecount=7', '-nodecount=40', '-nodecount=0'], ['-nodefraction=0', '-nodefraction=0.04', '-nodefraction=0.3'],
    ['-edgefraction=0', '-edgefraction=0.05', '-edgefraction=0.4'], ['-trim=false'], ['-drop_negative'], ['-compact_labels'],
    ['-relative_percentages'], ['-trim_path=/usr', '-trim_path=/usr/src/:/x', '-trim_path=.:'], ['-source_path=/home/me/src', '-source_path=lib:a'],
]


def pick(r):
    """Options at random: many sets have two or three, some have ten."""
    share = r.choice([0.05, 0.1, 0.1, 0.3])
    return [r.choice(choice) for choice in CHOICES if r.random() < share]


class Oracle:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='cprof-parity-')
        self.env = dict(os.environ, TZ=ZONES[0], PPROF_TMPDIR=os.path.join(self.directory, 'tmp'), HOME=self.directory,
                        PPROF_BINARY_PATH=os.path.join(self.directory, 'none'), LC_ALL='C.UTF-8', GOFLAGS='',
                        GOCACHE=os.path.join(self.directory, 'cache'))
        for name in ('LD_LIBRARY_PATH', 'http_proxy', 'HTTP_PROXY'):
            self.env.pop(name, None)
        # the program itself: 'go tool' takes as long again as pprof
        self.pprof = self.run(['go', 'tool', '-n', 'pprof'])[1].decode().strip()

    def run(self, command, env=None):
        done = subprocess.run(command, env=env or self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout, done.stderr

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def untied(text):
    """Without the order of what is equal: callers and callees, and values of a label, of the same size but for the sign."""
    blocks = re.split(rb'(?m)^(-{5}.*|\S.*|.*\| .*)$', text)
    return sorted(b''.join(sorted(block.splitlines())) for block in blocks), sorted(text.splitlines())


def first_difference(words, got, want):
    got, want = got.split(b'\n'), want.split(b'\n')
    for i in range(max(len(got), len(want))):
        a = got[i] if i < len(got) else b'(end)'
        b = want[i] if i < len(want) else b'(end)'
        if a != b:
            return '%s: line %d\n  cprof %r\n  pprof %r' % (words, i + 1, a, b)
    return words


def compare(oracle, index, view, options, files, expression='main|f'):
    """None, or what differs. pprof leaves the order of what is equal but for its sign to chance: then its own texts differ, too."""
    env = dict(oracle.env, TZ=ZONES[index % len(ZONES)])
    known = [o for o in options if o != '-idle']  # pprof has no such option: it shows all
    command = [oracle.pprof, '-' + view + ('=' + expression if view == 'peek' else '')] + known + files
    want_status, want, _ = oracle.run(command, env)
    status, got, stderr = oracle.run([CPROF, view] + options + ([expression] if view == 'peek' else []) + files, env)
    words = ' '.join([view] + options + [os.path.basename(f) for f in files])
    if (status != 0) != (want_status != 0):
        return '%s: exit status %d, pprof has %d: %s' % (words, status, want_status, stderr.decode('utf-8', 'replace'))
    if status != 0 and not re.match(rb'cprof: [^\n]+\n$', stderr[stderr.rfind(b'cprof: '):]):
        return '%s: no sentence that says why: %r' % (words, stderr)
    if got == want:
        return None
    if b'-' in got and b'-' in want and view in ('tree', 'peek', 'tags') and untied(got) == untied(want):
        if any(oracle.run(command, env)[1] != want for _ in range(60)):
            return None
    return first_difference(words, got, want)


def compare_all(oracle, jobs):
    """jobs: (name, [(view, options, files)]). A point for each."""
    compared = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        def work(job):
            return [w for w in (compare(oracle, jobs.index(job), *case) for case in job[1]) if w]
        for (name, cases), wrong in zip(jobs, pool.map(work, jobs)):
            compared += len(cases)
            tap.ok(not wrong, '%s: %d comparisons' % (name, len(cases)), '\n'.join(wrong))
    tap.note('%d comparisons with %s' % (compared, oracle.pprof))


def data_files():
    return sorted(os.path.join(DATA, f) for f in os.listdir(DATA) if f.endswith('.pb.gz'))


def of_data(word):
    return [f for f in data_files() if word in f]


def top_raw():
    """Each option of top on profiles for each purpose."""
    oracle = Oracle()
    jobs = [(os.path.basename(path), [('top', o, [path]) for o in TOP[i % 5::5] + [[]]] + [('raw', o, [path]) for o in RAW[i % 3::3]])
            for i, path in enumerate(data_files() + make_special(oracle.directory))]
    waits = make_waits(oracle.directory)
    jobs.append(('waits', [('raw', o, [waits]) for o in RAW[::2]] + [('top', o, [waits]) for o in WAITS]))
    cpu = of_data('cpu')
    jobs.append(('several files', [(v, o, cpu + cpu[:1]) for v in VIEWS for o in ([], ['-cum'])]))
    compare_all(oracle, jobs)
    oracle.close()


def views():
    """tree, peek, traces and tags on the same."""
    oracle = Oracle()
    paths = data_files() + make_special(oracle.directory)
    jobs = []
    for i, path in enumerate(paths):
        cases = [(view, [], [path]) for view in ('tree', 'peek', 'traces', 'tags')]
        cases += [(('tree', 'peek', 'traces', 'tags')[(i + k) % 4], o, [path]) for k, o in enumerate(VIEWED[i % 2::2])]
        jobs.append((os.path.basename(path), cases))
    waits = make_waits(oracle.directory)
    jobs.append(('waits', [(v, ['-idle'] + o, [waits]) for v in ('tree', 'peek', 'traces', 'tags') for o in VIEWED[::5]] +
                 [(v, ['-tagroot=idle'], [waits]) for v in VIEWS]))
    exact = make_exact(oracle.directory)
    jobs += [('exact: ' + view, [(view, o, [exact]) for o in EXACT]) for view in ('tree', 'traces')]
    jobs.append(('exact: tags', [('tags', o, [exact]) for o in EXACT[5:8]]))
    compare_all(oracle, jobs)
    oracle.close()


def at_random():
    """Generated profiles, generated options."""
    oracle = Oracle()
    jobs = []
    for seed in range(FIRST, FIRST + SEEDS):
        path = os.path.join(oracle.directory, 'seed%d.pb.gz' % seed)
        generate(seed, path)
        r = random.Random(seed)
        cases = [(view, [], [path]) for view in VIEWS]
        cases += [(r.choice(VIEWS), pick(r), [path]) for _ in range(14)]
        cases.append(('raw', [], [path, path]))
        jobs.append(('seed %d' % seed, cases))
    compare_all(oracle, jobs)
    oracle.close()


def differences():
    """-base, -diff_base, -normalize."""
    oracle = Oracle()
    cpu, cpu2 = of_data('go-cpu')
    heap, allocs = of_data('heap')[0], of_data('allocs')[0]
    jobs = []

    def cases_of(new, old, r, n):
        cases = []
        for how in (['-base=' + old], ['-diff_base=' + old], ['-base=' + old, '-normalize'], ['-diff_base=' + old, '-normalize']):
            cases += [(view, how, [new]) for view in VIEWS]
            cases += [(r.choice(VIEWS), how + pick(r), [new]) for _ in range(n)]
        return cases

    jobs.append(('cpu', cases_of(cpu, cpu2, random.Random(1), 3)))
    jobs.append(('heap', cases_of(allocs, heap, random.Random(2), 3)))
    jobs.append(('itself', cases_of(cpu, cpu, random.Random(3), 0)))
    jobs.append(('refused', [('top', o, [cpu]) for o in (['-normalize'], ['-base=' + cpu, '-diff_base=' + cpu], ['-base=' + heap],
                                                        ['-base=/nonexistent'], ['-base=', '-cum'])]))
    previous = None
    for seed in range(FIRST + 1000, FIRST + 1000 + SEEDS):
        path = os.path.join(oracle.directory, 'seed%d.pb.gz' % seed)
        generate(seed, path)
        r = random.Random(seed)
        how = ['-base=' + path, '-diff_base=' + path] if r.random() < 0.05 else [r.choice(['-base=', '-diff_base=']) + (previous or path)]
        cases = [(r.choice(VIEWS), how + pick(r) + ['-normalize'] * (r.random() < 0.4), [path]) for _ in range(4)]
        jobs.append(('seed %d' % seed, cases))
        previous = path
    compare_all(oracle, jobs)
    oracle.close()


def mixed(paths, seed, n):
    """Every view of each profile, and @n sets of options."""
    jobs = []
    for path in paths:
        r = random.Random('%d %s' % (seed, os.path.basename(path)))
        cases = [(view, ['-idle'] if view != 'raw' else [], [path]) for view in VIEWS]
        cases += [(view, ['-idle'] + r.choice(VIEWED + TOP), [path]) for view in r.choices(VIEWS[:5], k=n)]
        jobs.append((os.path.basename(path), cases))
    return jobs


def recorded():
    """What cprof records: cpu, wall, heap and waits, with labels."""
    oracle, box = Oracle(), Box()
    runs = [box.run('linked', 'labels', box.root), box.run('contended', spec='block=1ns,mutex=1'),
            box.run('timetable', '0.7', 'ABCD', spec='cpu,wall,heap=1,threads')]
    paths = []
    for number, r in enumerate(runs):
        for name in sorted(os.listdir(r.directory)):
            if name.endswith('.pb.gz'):
                path = os.path.join(oracle.directory, '%d-%s' % (number, name))
                shutil.copy(os.path.join(r.directory, name), path)
                paths.append(path)
    names = {os.path.basename(p) for p in paths}
    tap.ok({'0-cpu.pb.gz', '1-block.pb.gz', '1-mutex.pb.gz', '2-wall.pb.gz', '2-heap.pb.gz'} <= names, 'recorded: %s' % sorted(names))
    compare_all(oracle, mixed(paths, 1, 8))
    cpu = [p for p in paths if 'cpu' in p]
    compare_all(oracle, [('the difference of two', [(v, [o + cpu[0]], [cpu[1]]) for v in VIEWS for o in ('-base=', '-diff_base=')])])
    box.close()
    oracle.close()


def go_program():
    """What a Go program records today, whatever its version."""
    if not os.path.exists(GO_SERVER):
        tap.skip('a Go program', 'it is not built')
        return
    oracle = Oracle()
    server = subprocess.Popen([GO_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    paths = []
    try:
        port = int(server.stdout.readline())
        for name in ('profile?seconds=1', 'heap', 'allocs', 'mutex', 'block', 'goroutine', 'threadcreate'):
            path = os.path.join(oracle.directory, name.split('?')[0] + '.pb.gz')
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open('http://127.0.0.1:%d/debug/pprof/%s' % (port, name)) as reply, open(path, 'wb') as to:
                shutil.copyfileobj(reply, to)
            paths.append(path)
    finally:
        server.stdin.close()
        server.wait()
    compare_all(oracle, mixed(paths, 2, 8))
    oracle.close()


# cprof leaves out what is idle and says so. With -idle it is all there, and with a filter by labels it is what that leaves.
WAITS = [['-idle'], ['-idle', '-cum'], ['-idle', '-mean'], ['-idle', '-contentions'], ['-idle', '-lines'],
         ['-tagignore=idle=yes'], ['-tagfocus=kind=cond'], ['-tagfocus=lock=g_cache', '-relative_percentages']]


def idle():
    """What cprof shows by itself is what pprof shows of the rest."""
    oracle = Oracle()
    waits = make_waits(oracle.directory)
    for view in ('top', 'tree'):
        for options in ([], ['-cum'], ['-contentions']):
            want = oracle.run([oracle.pprof, '-' + view, '-tagignore=idle=yes', '-relative_percentages'] + options + [waits])[1]
            want = want.replace(b'Active filters:\n   tagignore=idle=yes\n', b'')
            got = oracle.run([CPROF, view] + options + [waits])[1].split(b'\n')
            said = [line for line in got if line.startswith(b'Left out as idle: ')]
            words = ' '.join([view] + options)
            tap.ok(len(said) == 1 and said[0].endswith(b'; -idle shows it'), '%s says once what is left out' % words, got)
            tap.equal(b'\n'.join(line for line in got if line not in said), want, '%s: the rest is pprof\'s' % words)
    oracle.close()


def main():
    if shutil.which('go') is None:
        tap.skip_all('there is no go, whose pprof is what cprof is compared with')
    tap.run(top_raw, views, at_random, differences, recorded, go_program, idle)


if __name__ == '__main__':
    main()
