#!/usr/bin/env python3
"""What a trace has is what happened, no more and no less: exact.py BUILD GROUP"""

import collections
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys

import tap
import trace_file
import trace_story
from cprof import BUILD, Box, wait_for

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
COUNTER = struct.Struct('<6Q')
LOCKED = ('lock.pair', 'lock.held', 'lock.released')
SYS_getppid = 110
RETURN = 1  # a reason of thread.exit


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check(box, path, about):
    """The trace, which both readers like."""
    t = trace_file.read(path)
    tap.equal(t.problems, [], about + ': a whole trace')
    done = subprocess.run([VIEWER, path, 'check'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    tap.equal(done.returncode, 0, about + ': cprof-trace check')
    if done.returncode != 0:
        tap.note(done.stdout.decode('utf-8', 'replace')[:2000])
    return t


# ---- loss ------------------------------------------------------------------------------------------------------

Counter = collections.namedtuple('Counter', 'posts pairs calls sem mutex tid')


def counters_of(path):
    with open(path, 'rb') as f:
        data = f.read()
    return [Counter(*COUNTER.unpack_from(data, i * COUNTER.size)) for i in range(5)]


def run_known(box, end, n, spec='trace=all'):
    path = os.path.join(box.root, 'counters%d' % box.count)
    r = box.run('known', path, end, n, spec=spec, before=no_core)
    return r, counters_of(path)


def seen(t, c):
    """How many of each kind are in the trace, of what @c counts."""
    objects = {o.address: n for n, o in t.objects.items()}
    sem, mutex = objects.get(c.sem), objects.get(c.mutex)
    threads = {n for n, each in t.threads.items() if each.tid == c.tid} if c.tid else set(t.threads)
    return (sum(e['object'] == sem for e in t.named('sem.post')),
            sum(e['object'] == mutex for e in t.named(*LOCKED)),
            sum(e['number'] == SYS_getppid and e.thread in threads for e in t.named('syscall')))


def killed():
    """Each thread may have written one event more than it could count: the rest is there to the last."""
    for end, status in (('kill', -9), ('segv', -11)):
        box = Box()
        r, counters = run_known(box, end, 20000)
        tap.equal(r.status, status, '%s: status' % end)
        t = check(box, os.path.join(r.directory, 'trace.out'), end)
        lost = t.lost()
        for i, c in enumerate(counters[:4]):
            got = seen(t, c)
            ahead = [g - w for g, w in zip(got, c)]
            if lost == 0:
                tap.ok(all(0 <= a <= 1 for a in ahead) and sum(ahead) <= 1,
                       '%s: thread %d: all its events (%d), but for the one in the making' % (end, i, sum(c[:3])), (got, c))
        made = sum(sum(c[:3]) for c in counters)
        got = sum(sum(seen(t, c)) for c in counters[:4])
        tap.ok(made <= got + lost, '%s: what is missing is counted' % end, (made, got, lost))
        tap.note('%s: %d events made, %d there, %d lost' % (end, made, got, lost))
        box.close()


def told(r):
    """What the closing line says is lost."""
    return int(r.closing.group(2).replace(',', ''))


BOOK = ('lost', 'clock.sync', 'thread.status', 'status.held', 'status.region', 'heap', 'sched.delta', 'cpu')


def full():
    """Buffers that nobody empties, and few of them: what is there and what is lost is what was made, one by one."""
    for end, n in (('stop', 60000), ('leave', 600)):
        box = Box()
        for spec in ('trace=all,memory=4m', 'trace=locks,memory=16m', 'trace=threads'):
            about = '%s at %s' % (end, spec)
            r, counters = run_known(box, end, n, spec)
            tap.equal(r.status, 0, about + ': status')
            t = check(box, os.path.join(r.directory, 'trace.out'), about)
            lost = t.lost()
            tap.equal(lost, told(r), about + ': as many lost in the file as in the closing line')
            if spec == 'trace=threads':
                continue
            posts = sum(seen(t, c)[0] for c in counters[:4])
            tap.ok(lost > 0 and posts > 0, about + ': some are lost, some are not', (lost, posts))
        box.close()


def made_of(t):
    """What the program wrote: ends that could not be told are the launcher's words."""
    return sum(e.name not in BOOK and (e.name != 'thread.exit' or e['reason'] == RETURN) and
               (e.name != 'process.exit' or e.thread != trace_file.ALL) for e in t.events)


def sums():
    """The same program with room and without: what was made is what is there and what is lost."""
    for end, n in (('stop', 20000), ('leave', 300), ('handler', 30000)):
        box = Box()
        r, counters = run_known(box, 'exit' if end == 'stop' else end, n, 'trace=locks,memory=512m')
        t = check(box, os.path.join(r.directory, 'trace.out'), end + ', with room')
        tap.equal((r.status, t.lost(), told(r)), (0, 0, 0), end + ': nothing is lost where there is room')
        for i, c in enumerate(counters[:4]):
            if c.sem:
                tap.equal(seen(t, c)[:2], c[:2], '%s: thread %d: all that it made' % (end, i))
        tap.equal(seen(t, counters[4])[0], counters[4].posts, end + ': and its handler')
        if end == 'handler':
            continue
        made = made_of(t)
        r, counters = run_known(box, end, n, 'trace=locks,memory=4m')
        t = check(box, os.path.join(r.directory, 'trace.out'), end + ', without')
        tap.equal((made_of(t) + t.lost(), told(r)), (made, t.lost()), '%s: %d of %d lost, the rest is there' % (end, t.lost(), made))
        box.close()


# ---- system calls ----------------------------------------------------------------------------------------------

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
MARKER = os.path.join(BUILD, 'tests', 'programs', 'libmarker.so')
LINE = re.compile(r'^(\d+) +(\w+)\((.*)')
RESUMED = re.compile(r'^(\d+) +<\.\.\. (\w+) resumed>(.*)')


class Strace:
    """What strace has of each process: how often each name, and of that before the marker, and what a child of vfork() did."""

    def __init__(self, path):
        self.calls, self.prefix, self.vforked = (collections.Counter() for _ in range(3))
        self.again = collections.Counter()
        self.forks = 0
        calls = self.whole(path)
        off, restarting, sharing = {calls[0][0]: True}, {}, set()
        for tid, name, rest in calls:
            if name in ('clone', 'clone3', 'vfork', 'fork') and 'CLONE_THREAD' not in rest:
                child = re.search(r'= (\d+)$', rest.rstrip())
                shares = name == 'vfork' or 'CLONE_VFORK' in rest
                self.forks += not shares
                if child and shares:
                    sharing.add(child.group(1))
            if name == 'prctl' and '0x63707266' in rest:
                off.pop(tid, None)
                continue
            if tid in off:
                self.prefix[name] += 1
                continue
            if name == restarting.pop(tid, None):
                self.again[name] += 1
                continue
            if 'ERESTARTSYS' in rest or 'ERESTARTNOINTR' in rest:
                restarting[tid] = name
            if tid in sharing:
                self.vforked[name] += 1
            else:
                self.calls[name] += 1
            if name == 'execve' and rest.rstrip().endswith(' = 0'):
                off[tid] = True
                sharing.discard(tid)

    @staticmethod
    def whole(path):
        """(tid, name, arguments and result) of each call, in the order of their beginnings."""
        calls, begun = [], {}
        with open(path, encoding='utf-8', errors='replace') as lines:
            for line in lines:
                match, resumed = LINE.match(line), RESUMED.match(line)
                if match:
                    calls.append(list(match.groups()))
                    if '<unfinished ...>' in line:
                        begun[match.group(1)] = calls[-1]
                elif resumed and resumed.group(1) in begun:
                    call = begun.pop(resumed.group(1))
                    call[2] = call[2].replace('<unfinished ...>', '').rstrip() + resumed.group(3)
        return calls


def traces_of(r):
    found = [os.path.join(d, 'trace.out') for d, _, names in os.walk(r.directory) if 'trace.out' in names]
    return [trace_file.read(path) for path in found]


def counts(traces, names):
    """By name: as many as began."""
    found = collections.Counter()
    for t in traces:
        for e in t.named('syscall', 'syscall.begin'):
            found[names.get(e['number'], str(e['number']))] += 1
    return found


def told_by_viewer(r, but):
    """By name: as many as cprof-trace syscalls has, of all traces."""
    found = collections.Counter()
    for path in [os.path.join(d, 'trace.out') for d, _, names in os.walk(r.directory) if 'trace.out' in names]:
        done = subprocess.run([VIEWER, path, 'syscalls', '--json', '--limit', '0'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, check=True)
        for row in json.loads(done.stdout.decode()):
            found[row['name']] += row['count']
    for name in but:
        found.pop(name, None)
    return found


def clean(box):
    for name in os.listdir(box.cwd):
        if name != 'numbers':
            os.unlink(os.path.join(box.cwd, name))


def compared(box, about, *argv, but=()):
    """@but: calls whose number differs from one run to the next also without cprof."""
    names = trace_story.CALLS
    log = os.path.join(box.root, 'strace')
    plain = box.plain('strace', '-f', '-qq', '-s', '64', '-o', log, '-E', 'LD_PRELOAD=' + MARKER, *argv)
    s = Strace(log)
    # glibc's first call in a child of fork(), before anybody is told of the child
    early = s.calls.pop('set_robust_list', 0) if s.forks else 0
    tap.equal(early, s.forks, about + ': one call in each child of fork is made before its trace begins')
    returns = s.calls.pop('rt_sigreturn', 0)
    for name in but:
        s.calls.pop(name, None)
    for spec in ('trace=all', 'trace=syscalls:full'):
        clean(box)
        r = box.run(*argv, spec=spec)
        tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), '%s at %s: the same' % (about, spec))
        traces = traces_of(r)
        got = counts(traces, names)
        for name in but:
            got.pop(name, None)
        told_of = told_by_viewer(r, but)
        tap.equal({n: (told_of[n], got[n]) for n in set(told_of) | set(got) if told_of[n] != got[n]}, {},
                  '%s at %s: and cprof-trace syscalls the same' % (about, spec))
        differ = {name: (got[name], s.calls[name]) for name in sorted(set(got) | set(s.calls)) if got[name] != s.calls[name]}
        tap.equal(differ, {}, '%s at %s: %d calls, of each name as many as strace has' % (about, spec, sum(s.calls.values())))
        tap.equal(sum(t.lost() for t in traces), 0, 'nothing lost')
    clean(box)
    tap.note('%s: not in the trace: %d calls before a preloaded library runs, %d by children of vfork before their exec, %d returns '
             'from handlers, %d first calls of children of fork, %d that the kernel began anew%s' % (
                 about, sum(s.prefix.values()), sum(s.vforked.values()), returns, early, sum(s.again.values()),
                 '; not compared: ' + ' '.join(but) if but else ''))


def syscalls():
    box = Box()
    if shutil.which('strace') is None or box.plain('strace', '-qq', '-o', '/dev/null', 'true').status != 0:
        tap.skip('system calls', 'strace may not trace here')
        return
    with open(os.path.join(box.cwd, 'numbers'), 'w') as file:
        file.writelines('%d\n' % (i * 7919 % 100003) for i in range(100003))
    compared(box, 'sort', 'sort', '--parallel=1', '-n', 'numbers')
    compared(box, 'sqlite3', 'sqlite3', 'data.db',
             'create table t(a); insert into t select value from generate_series(1,20000); select sum(a) from t; drop table t;')
    compared(box, 'gcc', 'gcc', '-O1', '-D_GNU_SOURCE', '-I', ROOT, '-c', '-o', 'x.o', os.path.join(ROOT, 'core', 'mem.c'),
             but=['brk', 'getrandom'])  # where the heap begins, and whether a temporary name is taken, is random
    compared(box, 'python3', sys.executable, '-I', '-c',
             'import json, subprocess\n'
             'print(subprocess.run(["/bin/echo", "x"], stdout=subprocess.PIPE).stdout)\n'
             'print(len(open("numbers").read()))')
    compared(box, 'python3, threads', sys.executable, '-I', '-c',
             'import threading\n'
             't = [threading.Thread(target=lambda: open("numbers").read()) for i in range(4)]\n'
             'for x in t: x.start(); x.join()', 
             but=['futex', 'mmap', 'munmap', 'mprotect'])  # who waits for whom, and which arena has room
    compared(box, 'sh', 'sh', '-c', 'for i in 1 2 3; do ls / | wc -l; done; (exit 3); echo $?')
    box.close()


# ---- programs --------------------------------------------------------------------------------------------------

MAKEFILE = 'all: a b c d\n' + ''.join('%s:\n\t@echo made %s > $@.txt; cat $@.txt > /dev/null\n' % (c, c) for c in 'abcd')
PYTHON = ('import hashlib, json, multiprocessing, re, subprocess, threading\n'
          'words = [hashlib.md5(str(i).encode()).hexdigest()[:6] for i in range(20000)]\n'
          'out = []\n'
          'threads = [threading.Thread(target=lambda: out.append(len(set(words)))) for i in range(8)]\n'
          'for t in threads: t.start()\n'
          'for t in threads: t.join()\n'
          'print(out, subprocess.run(["cat"], input=b"x", stdout=subprocess.PIPE).stdout)\n'
          'with multiprocessing.get_context("fork").Pool(2) as pool: print(sum(pool.map(len, words)))\n')
CXX = ('#include <algorithm>\n#include <iostream>\n#include <map>\n#include <string>\n#include <vector>\n'
       'int main() { std::map<std::string, int> m; for (int i = 0; i < 9; i++) m[std::to_string(i)] = i; std::cout << m.size(); }\n')
BASH = ('for i in 1 2 3; do echo $i | cat; done; x=$(ls / | sort -r | head -3); echo "$x"; (exit 5); echo $?; trap "echo bye" EXIT; '
        'sleep 0.1 & wait; coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} y; echo $y; kill $COPROC_PID; diff <(echo a) <(echo b)')
GO = 'package main\nimport "fmt"\nfunc main() { c := make(chan int); for i := 0; i < 4; i++ { go func() { c <- i }() }; ' \
     's := 0; for i := 0; i < 4; i++ { s += <-c }; fmt.Println(s >= 0) }\n'


def list_of_programs(box):
    def path(name):
        return os.path.join(box.cwd, name)

    with open(path('lines'), 'w') as f:
        f.writelines('%d line %d\n' % (i * 7919 % 100003, i) for i in range(100003))
    for name, text in (('a.cc', CXX), ('Makefile', MAKEFILE), ('a.go', GO), ('a.c', '#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n')):
        with open(path(name), 'w') as f:
            f.write(text)
    return [
        ('python3', [sys.executable, '-I', '-c', PYTHON]),
        ('perl', ['perl', '-e', 'use threads; print map { $_->join } map { my $n = $_; threads->create(sub { $n * 2 }) } 1..4; '
                                'print `ls /`; fork() or exit 3; wait; print $? >> 8, "\\n"']),
        ('sqlite3', ['sqlite3', ':memory:', 'create table t(a); insert into t select value from generate_series(1,50000); '
                                            'select sum(a), count(*) from t; create index i on t(a); select max(a) from t;']),
        ('gcc', ['gcc', '-O1', '-S', '-o', '-', 'a.c']),
        ('g++', ['g++', '-O1', '-S', '-o', '-', 'a.cc']),
        ('clang', ['clang', '-O1', '-S', '-o', '-', 'a.c']),
        ('xz -T2', ['xz', '-T2', '--block-size=300000', '-c', 'lines']),
        ('zstd -T2', ['zstd', '-q', '-T2', '-B200000', '-c', 'lines']),
        ('pigz', ['pigz', '-n', '-p', '3', '-c', 'lines']),
        ('sort --parallel', ['sort', '--parallel=4', '-S', '2M', '-n', 'lines']),
        ('git', ['git', '-C', ROOT, 'log', '--stat', '-5']),
        ('make -j2', ['make', '-s', '-j2', 'all']),
        ('openssl', ['openssl', 'dgst', '-sha512', 'lines']),
        ('bash', ['bash', '-c', BASH]),
        ('dash', ['dash', '-c', 'for i in 1 2 3; do echo $i | cat; done; ls / | sort -r; (exit 7)']),
        ('gdb', ['gdb', '-nx', '-q', '-batch', '-ex', 'print 6*7', '-ex', 'info line main', '/bin/true']),
        ('find | xargs', ['sh', '-c', 'find %s/core -name "*.h" | LC_ALL=C sort | xargs -P 2 -n 100 cksum | LC_ALL=C sort' % ROOT]),
        ('tar', ['tar', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-cf', '-', '-C', ROOT, 'core']),
        ('node', ['node', '-e', 'const {Worker, isMainThread} = require("worker_threads"); '
                                'const a = Array.from({length: 1e5}, (_, i) => i * 7 % 1013); a.sort((x, y) => x - y); console.log(a[500]); '
                                'const w = new Worker("require(\'worker_threads\').parentPort.postMessage(6)", {eval: true}); '
                                'w.on("message", m => console.log(m))']),
        ('rustc', ['rustc', '--version', '--verbose']),
    ]


def programs():
    box = Box()
    for about, argv in list_of_programs(box):
        if shutil.which(argv[0]) is None:
            tap.skip(about, 'not installed')
            continue
        plain = box.plain(*argv)
        for spec in ('trace', 'all'):
            r = box.run(*argv, spec=spec)
            said = ''.join(line for line in r.own_err.splitlines(True) if not line.startswith('cprof: '))
            tap.ok((r.status, r.out, said) == (plain.status, plain.out, plain.err), '%s at %s: the same' % (about, spec),
                   r.show()[:1500] + plain.show()[:1000])
            paths = [os.path.join(d, 'trace.out') for d, _, names in os.walk(r.directory) if 'trace.out' in names]
            wrong, events, lost = [], 0, 0
            for path in paths:
                done = subprocess.run([VIEWER, path, 'check'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
                if done.returncode != 0:
                    wrong.append((path, done.stdout.decode()[-300:]))
                found = re.search(r'([\d,]+) events', done.stdout.decode())
                events += int(found.group(1).replace(',', '')) if found else 0
            lost = told(r) if r.closing else -1
            tap.ok(paths and not wrong, '%s at %s: %d traces, all whole' % (about, spec, len(paths)), wrong[:3])
            tap.note('%s at %s: %d events, %d lost%s' % (about, spec, events, lost, ''.join(
                '; ' + line.strip() for line in r.own_err.splitlines(True) if line.startswith('cprof: '))))
    box.close()


def redis():
    if None in (shutil.which('redis-server'), shutil.which('redis-cli'), shutil.which('redis-benchmark')):
        tap.skip('redis', 'not installed')
        return
    box = Box()
    for spec in ('trace', 'all'):
        socket, out = os.path.join(box.root, 'redis.%s' % spec), os.path.join(box.root, 'redis-out.%s' % spec)
        server = subprocess.Popen([box.cprof, 'run', '-p', spec, '-o', out, '--', 'redis-server', '--port', '0', '--unixsocket', socket,
                                   '--save', '', '--dir', box.root, '--dbfilename', spec + '.rdb', '--io-threads', '2'], cwd=box.cwd, env=box.environment(),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.ok(wait_for(lambda: os.path.exists(socket), 60), 'redis at %s: is there' % spec)
        bench = box.run('redis-benchmark', '-s', socket, '-q', '-n', 3000, '-c', 8, '-t', 'set,get,incr,lpush', spec=spec)
        tap.equal((bench.status, bench.out.count('requests per second')), (0, 4), 'redis at %s: does what it is asked for' % spec)
        asked = box.run('redis-cli', '-s', socket, 'incrby', 'known', 41, spec=spec)
        asked = box.run('redis-cli', '-s', socket, 'incr', 'known', spec=spec)
        tap.equal((asked.status, asked.out.strip()), (0, '42'), 'redis at %s: and knows what it was told' % spec)
        box.run('redis-cli', '-s', socket, 'bgsave', spec=spec)
        box.plain('redis-cli', '-s', socket, 'shutdown', 'nosave')
        server.communicate(timeout=60)
        tap.equal(server.returncode, 0, 'redis at %s: ends well' % spec)
        t = check(box, os.path.join(out, 'trace.out'), 'redis at ' + spec)
        tap.ok(t.lost() == 0 and t.end == ('exited', 0), 'redis at %s: nothing lost' % spec, (t.lost(), t.end))
    box.close()


def static():
    """What nothing can be preloaded into says so, and works."""
    box = Box()
    path = os.path.join(box.cwd, 'a')
    with open(path + '.go', 'w') as f:
        f.write(GO)
    env = {'CGO_ENABLED': '0', 'GOCACHE': os.path.join(box.root, 'cache'), 'HOME': box.root, 'GO111MODULE': 'off', 'GOFLAGS': ''}
    if shutil.which('go') is None or box.plain('go', 'build', '-o', path, path + '.go', env=env).status != 0:
        tap.skip('a static program', 'no go here')
        box.close()
        return
    r = box.run(path, spec='trace')
    tap.ok(r.status == 125 and 'is statically linked' in r.err, 'a Go program: is refused, with the reason', r.err)
    script = path + '; echo $?; ls /'
    plain, r = box.plain('sh', '-c', script), box.run('sh', '-c', script, spec='trace')
    tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), 'a Go program, as a child: the same')
    traces = [t for t in traces_of(r) if 'ls' in t.metadata['exe'] or 'sh' in t.metadata['exe']]
    tap.ok(len(traces) >= 2, 'a Go program, as a child: the others are traced')
    box.close()


def point(group):
    return [globals()[name] for name in group.split()]


GROUPS = {
    'loss': 'killed full sums',
    'syscalls': 'syscalls',
    'programs': 'programs redis static',
}
group = sys.argv.pop(2) if len(sys.argv) > 2 else 'loss'
tap.run(*point(GROUPS[group]))
