#!/usr/bin/env python3
"""cprof-trace summary, syscalls and diff: on recordings, beside another reader of them; as text; on what is damaged."""

import collections
import json
import os
import random
import shutil
import subprocess
import sys

import tap
import trace_file
from cprof import BUILD, Box

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden', 'trace-1.0')
MOVES = {'read', 'pread64', 'readv', 'preadv', 'preadv2', 'recvfrom', 'recvmsg', 'write', 'pwrite64', 'writev', 'pwritev',
         'pwritev2', 'sendto', 'sendmsg', 'sendfile', 'splice', 'copy_file_range'}
TWICE = ('clone', 'clone3', 'vfork')  # hardly anybody writes down when they return
THREADS = ('import threading, time\n'
           'lock = threading.Lock()\n'
           'def work():\n'
           '    for i in range(50):\n'
           '        with lock: open("out%d" % (i % 3), "w").write("x" * 100)\n'
           '        time.sleep(0.0002)\n'
           'threads = [threading.Thread(target=work) for i in range(4)]\n'
           'for t in threads: t.start()\n'
           'for t in threads: t.join()\n'
           'open("nothing")\n')
SMALL = ('import os, select\n'
         'file = os.open("small", os.O_CREAT | os.O_WRONLY)\n'
         'for i in range(1500): os.write(file, b"x")\n')
AGAIN = ('import os\n'
         'r, w = os.pipe()\n'
         'os.set_blocking(r, False)\n'
         'for i in range(300):\n'
         '    try: os.read(r, 1)\n'
         '    except BlockingIOError: pass\n')
POLLS = ('import os, select\n'
         'r, w = os.pipe()\n'
         'p = select.poll()\n'
         'p.register(r, select.POLLIN)\n'
         'for i in range(1500): p.poll(0)\n')

box = Box()
sample = os.path.join(box.root, 'sample.out')


def view(*args, columns=100):
    env = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'LD_PRELOAD')}
    env['COLUMNS'] = str(columns)
    r = subprocess.run([VIEWER, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                       timeout=300)
    r.text, r.said = r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace')
    return r


def rows(*args):
    r = view(*args, '--json', '--limit', '0')
    return json.loads(r.text) if r.returncode == 0 else tap.note(r.said) or []


def record(*argv):
    r = box.run(*argv, spec='trace=all')
    return os.path.join(r.directory, 'trace.out')


def names():
    text = subprocess.run(['cc', '-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'], stdout=subprocess.PIPE,
                          universal_newlines=True).stdout
    found = (line.split() for line in text.splitlines() if line.startswith('#define __NR_'))
    return {int(parts[2]): parts[1][5:] for parts in found if len(parts) == 3 and parts[2].isdigit()}


class Truth:
    """What another reader adds up of each call, by a key of it."""

    def __init__(self, path, key):
        t, numbers = trace_file.read(path), names()
        tap.equal(t.problems, [], 'a whole trace')
        self.count, self.errors, self.bytes, self.total, self.open = (collections.Counter() for _ in range(5))
        begun, last = {}, {}
        for e in sorted(t.events, key=lambda e: e.ns):
            last[e.thread] = e.ns
            if e.name == 'syscall.begin':
                if e.thread in begun:  # clone, whose return nobody writes down
                    self.count[begun[e.thread][1]] += 1
                    self.open[begun[e.thread][1]] += 1
                begun[e.thread] = (e, key(t, e, numbers))
            elif e.name in ('syscall', 'syscall.end'):
                first, name = begun.pop(e.thread) if e.name == 'syscall.end' else (e, key(t, e, numbers))
                self.count[name] += 1
                self.total[name] += e['took'] if e.name == 'syscall' else e.ns - first.ns
                self.errors[name] += e['result'] < 0
                if numbers.get(e['number']) in MOVES and e['result'] > 0:
                    self.bytes[name] += e['result']
        for first, name in begun.values():
            self.count[name] += 1
            self.open[name] += 1


def same(about, path, found, key, but=()):
    """@found: rows of syscalls, by name."""
    truth = Truth(path, key)
    got = {row['name']: row for row in found}
    tap.equal({n: r['count'] for n, r in got.items()}, {n: c for n, c in truth.count.items() if n is not None},
              about + ': counts')
    tap.equal({n: r['errors'] for n, r in got.items()}, {n: truth.errors[n] for n in got}, about + ': failures')
    tap.equal({n: r['bytes'] for n, r in got.items()}, {n: truth.bytes[n] for n in got}, about + ': bytes')
    tap.equal({n: r['open'] for n, r in got.items()}, {n: truth.open[n] for n in got}, about + ': without an end')
    # a ns for the rounding of each; what a call without an end took is the rest of its thread's life
    wrong = {n: (r['total_ns'], truth.total[n]) for n, r in got.items()
             if truth.open[n] == 0 and abs(r['total_ns'] - truth.total[n]) > r['count']}
    tap.equal(wrong, {}, about + ': how long')


def by_number(t, e, numbers):
    return numbers.get(e['number'], str(e['number']))


def by_thread(t, e, numbers):
    return t.threads[e.thread].tid


def recordings():
    global threads, sort
    with open(os.path.join(box.cwd, 'numbers'), 'w') as file:
        file.writelines('%d\n' % (i * 7919 % 100003) for i in range(50000))
    sort = record('sort', '-n', 'numbers')
    threads = record(sys.executable, '-I', '-c', THREADS)
    for about, path in (('sort', sort), ('python3, threads', threads)):
        same(about, path, rows(path, 'syscalls'), by_number)
    if shutil.which('sqlite3'):
        path = record('sqlite3', 'data.db', 'create table t(a); insert into t select value from generate_series(1,2000);')
        same('sqlite3', path, rows(path, 'syscalls'), by_number)
    else:
        tap.skip('sqlite3', 'not installed')
    found = rows(threads, 'syscalls', '--by', 'thread')
    for row in found:
        row['name'] = row['tid']
    same('python3, by thread', threads, found, by_thread)


def numbers_agree():
    """Of one trace, whatever it is asked."""
    found = rows(threads, 'syscalls')
    count = sum(r['count'] for r in found)
    for by in ('thread', 'stack'):
        tap.equal(sum(r['count'] for r in rows(threads, 'syscalls', '--by', by)), count, 'by %s: no call is left out' % by)
        tap.equal(sum(r['total_ns'] for r in rows(threads, 'syscalls', '--by', by)), sum(r['total_ns'] for r in found),
                  'by %s: nor any time' % by)
    tap.ok(abs(sum(r['share'] or 0 for r in found) - 1) < 1e-4, 'shares add up to one')
    idle = {r['name'] for r in found if r['share'] is None}
    tap.ok(idle and idle <= {'poll', 'select', 'clock_nanosleep', 'nanosleep', 'pselect6', 'epoll_wait'},
           'what is idle has none: %s' % idle)
    tap.equal([r['share'] is None for r in found], sorted(r['share'] is None for r in found), 'and is below the others')
    shares = [r['share'] for r in rows(threads, 'syscalls', '--include-idle')]
    tap.ok(None not in shares and shares == sorted(shares, reverse=True), '--include-idle')
    errors = rows(threads, 'syscalls', '--errors')
    tap.equal(sum(r['count'] for r in errors), sum(r['errors'] for r in found), '--errors: all of them')
    tap.ok(any(r['name'] == 'openat' and r['error'] == 'ENOENT' for r in errors), '--errors: by name')
    files = {r['name']: r for r in rows(threads, 'syscalls', '--by', 'file')}
    written = {n: files[n]['bytes'] for n in files if os.path.basename(n).startswith('out')}
    tap.equal(sorted(written.values()), [6400, 6800, 6800], '--by file: bytes of each')
    tap.ok(all(files[n]['kind'] == 'file' for n in written), '--by file: what it is')
    paths = {r['name']: r for r in rows(threads, 'syscalls', '--by', 'path')}
    tap.ok('nothing' in paths and paths['nothing']['errors'] == 1, '--by path: one that is not there')
    slow = rows(threads, 'syscalls', '--slower', '1us')
    took = [r['took_ns'] for r in slow]
    tap.ok(took and took == sorted(took, reverse=True) and took[-1] > 1000, '--slower: the longest first')
    tap.ok(not any(r['idle'] for r in slow), '--slower: none that is idle')
    tap.equal(len(rows(threads, 'syscalls', '--slower', '1us', '--include-idle')),
              len(longer(1000)), '--slower: as many as there are')
    one = rows(threads, 'syscalls', '--threads', str(os.getpid()))
    tap.equal(one, [], '--threads that are none')
    tid = max(rows(threads, 'threads'), key=lambda r: r['life_ns'])['tid']
    row, = [r for r in rows(threads, 'syscalls', '--by', 'thread') if r['tid'] == tid]
    tap.equal(sum(r['count'] for r in rows(threads, 'syscalls', '--threads', str(tid))), row['count'], '--threads')
    found = view(threads, 'syscalls', '--csv').text.splitlines()
    tap.ok(found[0].startswith('name,count,errors,total_ns') and len(found) == len(rows(threads, 'syscalls')) + 1, 'CSV')


def longer(least):
    """Calls that took longer; those without an end until their thread's, or what it did next."""
    t, begun, found, last, numbers = trace_file.read(threads), {}, [], {}, names()
    for e in sorted(t.events, key=lambda e: e.ns):
        last[e.thread] = e.ns
        if e.thread in begun and begun[e.thread][1] in TWICE and e.name not in ('fork', 'exec') and \
                not (e.name == 'syscall.end' and numbers.get(e['number']) == begun[e.thread][1]):
            next_ns = e.ns - (e['took'] if e.name == 'syscall' else 0)
            found += [e] * (next_ns - begun.pop(e.thread)[0] > least)
        if e.name == 'syscall.begin':
            begun[e.thread] = e.ns, numbers.get(e['number'])
        elif e.name == 'syscall' and e['took'] > least:
            found.append(e)
        elif e.name == 'syscall.end' and e.ns - begun.pop(e.thread)[0] > least:
            found.append(e)
    return found + [thread for thread, (ns, _) in begun.items() if last[thread] - ns > least]


def summary():
    found = json.loads(view(threads, '--json').text)
    lives = rows(threads, 'threads')
    tap.equal(sum(found['states'].values()), sum(r['life_ns'] for r in lives), 'states: all of the threads\' time')
    tap.equal(found['states'], {k: sum(r['states'][k] for r in lives) for k in found['states']}, 'each as threads has it')
    p = found['parallel']
    tap.equal(sum(n * ns for n, ns in enumerate(p['ns'])), found['states']['running_ns'], 'at once: all that ran')
    tap.equal(sum(p['ns']), max(r['begin_ns'] + r['life_ns'] for r in lives) - min(r['begin_ns'] for r in lives)
              if 'begin_ns' in lives[0] else sum(p['ns']), 'at once: all of the run')
    tap.ok(p['most'] <= len(lives) and p['ns'][p['most']] > 0 and len(p['ns']) == p['most'] + 1, 'at once: at most')
    tap.equal((found['threads'], found['end'], found['lost_events']), (len(lives), {'reason': 'exited', 'value': 1}, 0),
              'threads, end, loss')
    calls = {r['name']: r for r in rows(threads, 'syscalls')}
    tap.equal([(c['count'], c['p99_ns']) for c in found['top_syscalls']],
              [(calls[c['name']]['count'], calls[c['name']]['p99_ns']) for c in found['top_syscalls']], 'calls as syscalls has them')
    tap.ok('Traceback' not in found['command'] and found['program'].startswith('python'), 'what it is')
    r = view(threads, columns=80)
    lines = r.text.splitlines()
    tap.ok(r.returncode == 0 and r.said == '' and 20 <= len(lines) <= 40, 'one screen: %d lines' % len(lines), r.text + r.said)
    tap.ok(max(len(line) for line in lines if 'cprof-trace ' not in line) <= 80, 'in 80 columns', r.text)
    tap.equal(view(threads, 'summary').text, view(threads).text, 'is what is done without a subcommand')


def warned(path):
    return [w['id'] for w in json.loads(view(path, '--json').text)['warnings']]


def warnings():
    for program, wanted in ((SMALL, 'CPT-SMALL-IO'), (AGAIN, 'CPT-EAGAIN'), (POLLS, 'CPT-POLL-ZERO')):
        path = record(sys.executable, '-I', '-c', program)
        tap.equal([w for w in warned(path) if w in ('CPT-SMALL-IO', 'CPT-EAGAIN', 'CPT-POLL-ZERO')], [wanted], 'planted: ' + wanted)
        text = view(path).text
        tap.ok(wanted in text and 'cprof-trace %s syscalls' % path in text, 'and what to type next', text)
        line = [line for line in text.splitlines() if line.startswith('    cprof-trace ')][0].split()
        tap.equal(view(*line[1:]).returncode, 0, 'which can be typed: %s' % ' '.join(line[2:]))
    # what it waits for while it is loaded nobody knows
    tap.equal([w for w in warned(record('true')) if w != 'CPT-UNKNOWN'], [], 'nothing is wrong with nothing')


def differences():
    other = record(sys.executable, '-I', '-c', THREADS.replace('range(50)', 'range(200)'))
    found = rows(threads, 'diff', threads)
    tap.ok(found and all(r['ratio'] == (1 if r['a_total_ns'] else None) and r['change_ns'] == 0 and r['a_count'] == r['b_count'] for r in found),
           'a trace and itself: no difference')
    tap.equal(rows(threads, 'diff', threads, '--threshold', '1'), [], '--threshold: none is worth a word')
    tap.equal(view(threads, 'diff', threads, '--fail-if', 'calls>0%,calls<0%,calls.p99>1x,threads.running<1x').returncode, 0,
              '--fail-if: not true')
    found = rows(threads, 'diff', other)
    writes = {r['name']: r for r in found if r['what'] == 'calls' and r['name'].startswith('write ')
              and '/out' in r['name']}
    tap.equal(sorted((r['a_count'], r['b_count']) for r in writes.values()), [(64, 264), (68, 268), (68, 268)], 'counts of both')
    tap.ok(not any(r['few'] for r in writes.values()), 'which are enough')
    tap.equal([r['change_ns'] for r in found], sorted((r['change_ns'] for r in found), reverse=True), 'what changed most first')
    r = view(threads, 'diff', other, '--fail-if', 'calls.count[write *out*]>299%')
    tap.ok(r.returncode == 4 and 'is true: 200 before, 800 now' in r.said and r.text, '--fail-if: true', r.said)
    tap.equal(view(threads, 'diff', other, '--fail-if', 'calls.count[write *out*]>4x').returncode, 0, '--fail-if: not quite')
    tap.equal(view('diff', threads, other, '--json').text, view(threads, 'diff', other, '--json').text, 'diff A B')
    a, b = (json.loads(view(t, '--json').text)['duration_ns'] / 1e9 for t in (threads, other))
    one, = [r for r in rows(threads, 'diff', other, '--per', 'second') if r['name'] == 'futex']
    all_of, = [r for r in found if r['name'] == 'futex']
    tap.equal((one['a_total_ns'], one['b_total_ns']), (int(all_of['a_total_ns'] / a + 0.5), int(all_of['b_total_ns'] / b + 0.5)),
              '--per second')
    tap.equal((one['a_count'], one['b_count']), (all_of['a_count'], all_of['b_count']), 'the counts behind it stay')
    r = view(threads, 'diff', other, '--per', 'task')
    tap.ok(r.returncode == 1 and 'no task' in r.said, '--per task where there are none', r.said)
    r = view(threads, 'diff', other, columns=80)
    tap.ok(max(len(line) for line in r.text.splitlines()) <= 80, 'in 80 columns', r.text)
    for args, words in (([threads, 'diff'], ['diff', 'FILE']), ([threads, 'diff', other, 'x'], ['x']),
                        ([threads, 'diff', other, '--per', 'hour'], ['hour', 'second']),
                        ([threads, 'diff', other, '--fail-if', 'calls'], ['calls', '>']),
                        ([threads, 'syscalls', '--by', 'colour'], ['colour', 'stack']),
                        ([threads, 'syscalls', '--errors', '--by', 'file'], ['--by', '--errors']),
                        ([threads, 'syscalls', '--slower', 'much'], ['much']),
                        ([threads, 'syscalls', '--sort', 'beauty'], ['beauty', 'total_ns'])):
        r = view(*args)
        tap.ok(r.returncode == 2 and r.text == '' and all(w in r.said for w in words), 'usage: %s' % ' '.join(args[1:]),
               '%d %s' % (r.returncode, r.said))
    r = view(threads, 'diff', os.path.join(box.root, 'none'))
    tap.ok(r.returncode == 1 and 'none' in r.said and r.text == '', 'a file that is not there')


def text():
    subprocess.run([MAKE, 'sample', sample], check=True)
    errand = os.path.join(box.root, 'errand.out')
    subprocess.run([MAKE, 'errand', errand], check=True)
    for name, path, args in (('summary', sample, ['summary']), ('syscalls', sample, ['syscalls', '--histogram']),
                             ('errand-summary', errand, ['summary']), ('errand-syscalls', errand, ['syscalls', '--by', 'file']),
                             ('diff', sample, ['diff', errand])):
        for width in (80, 200):
            got = view(path, *args, columns=width).text.replace(box.root + '/', '')
            golden = '%s.%s.%d' % (GOLDEN, name, width)
            if os.environ.get('CPROF_GOLDEN'):
                with open(golden, 'w') as file:
                    file.write(got)
            with open(golden) as file:
                tap.equal(got, file.read(), '%s at %d columns' % (name, width))
    tap.ok('\x1b' not in view(sample).text and '\x1b' in view(sample, '--color=always').text, 'colour where it is wanted')
    tap.ok('\x1b' not in view(sample, '--json', '--color=always').text, 'never in JSON')
    r = view(sample, '-o', os.path.join(box.root, 'summary.txt'))
    with open(os.path.join(box.root, 'summary.txt')) as file:
        tap.ok(r.text == '' and file.read() == view(sample).text, '-o')


def hostile():
    with open(sample, 'rb') as file:
        whole = file.read()
    empty = os.path.join(box.root, 'empty.out')
    with open(empty, 'wb') as file:
        file.write(whole[:72])
    for args in ([empty], [empty, 'syscalls'], [empty, 'syscalls', '--slower', '1ns'], [empty, 'diff', empty], [sample, 'diff', empty],
                 [empty, '--json'], [empty, 'syscalls', '--errors', '--json']):
        r = view(*args)
        tap.ok(r.returncode == 0 and r.text, 'a trace without anything in it: %s' % ' '.join(args[1:]), '%d %s' % (r.returncode, r.said))
    seeded, bad, path = random.Random(4711), [], os.path.join(box.root, 'hostile.out')
    for i in range(60):
        data = bytearray(whole)
        for _ in range(seeded.randrange(1, 9)):
            data[seeded.randrange(len(data))] = seeded.randrange(256)
        with open(path, 'wb') as file:
            file.write(data[:seeded.randrange(100, len(data))] if i % 5 == 0 else data)
        for args in ([path], [path, '--json'], [path, 'syscalls', '--by', ('file', 'path', 'peer', 'stack')[i % 4]],
                     [path, 'diff', sample]):
            r = view(*args)
            if r.returncode not in (0, 1) or '\x1b' in r.text:
                bad.append((i, args[1:], r.returncode, r.said))
            elif '--json' in args and r.returncode == 0:
                json.loads(r.text)
    tap.equal(bad, [], 'bytes that are wrong: an answer or a reason')


def end():
    box.close()


tap.run(recordings, numbers_agree, summary, warnings, differences, text, hostile, end)
