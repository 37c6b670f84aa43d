#!/usr/bin/env python3
"""Profiles that are started, changed and stopped in a program that runs, from outside."""

import array
import json
import os
import random
import re
import socket
import struct
import subprocess

import tap
import trace_file
from cprof import BUILD, Box, is_perf_permitted, program
from pprof import Profile

ASK, ANSWER = 0x314b534146525043, 0x31534e4146525043
START, STOP, STATUS = 1, 2, 3
EPERM, ESRCH, EBUSY, EINVAL, ENOTSUP = 1, 3, 16, 22, 95
OTHERS = ('wall', 'heap', 'block', 'mutex', 'threads', 'threadcreate', 'trace')


class Running:
    """The program that works all the time, under `cprof run`."""

    def __init__(self, box, spec, *arguments, name='switched', **more):
        self.box, self.output = box, os.path.join(box.root, 'out')
        self.p = subprocess.Popen([box.cprof, 'run', '-p', spec, '-o', self.output, '--', program(name)] +
                                  [str(a) for a in arguments], cwd=box.cwd, env=box.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, **more)
        self.pid = json.loads(self.p.stdout.readline())['pid']
        environment = open('/proc/%d/environ' % self.pid, 'rb').read().split(b'\0')
        self.socket = next(v for v in environment if v.startswith(b'CPROF_SESSION=')).split(b'=', 1)[1].decode()

    def look(self):
        """What it has done up to now."""
        self.p.stdin.write(b'\n')
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def ask(self, what, text='', pid=None):
        """(error, text), or of a file its text."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.socket)
            s.sendall(struct.pack('<QiI', ASK, self.pid if pid is None else pid, what) + text.encode())
            files = array.array('i')
            data, ancillary, _, _ = s.recvmsg(1000, socket.CMSG_SPACE(4))
            for _, _, content in ancillary:
                files.frombytes(content[:4])
            if len(data) < 12:
                return None, ''
            _, error = struct.unpack('<Qi', data[:12])
            said = data[12:].split(b'\0', 1)[0].decode()
            for fd in files:
                said = os.pread(fd, 10000, 0).decode()
                os.close(fd)
            return error, said

    def on(self):
        return sorted(re.findall(r'^on +(\w+)', self.ask(STATUS)[1], re.MULTILINE))

    def end(self):
        out, err = self.p.communicate(timeout=300)
        return self.p.returncode, json.loads(out.splitlines()[-1]), err.decode()

    def profile(self, name):
        return Profile.read(os.path.join(self.output, name + '.pb.gz'))


class Done:
    """What was surely done, and what at most, while something was on."""

    def __init__(self):
        self.least, self.most = {}, {}

    def add(self, outer_begin, inner_begin, inner_end, outer_end):
        for key in inner_begin:
            if key == 'pid':
                continue
            pairs = isinstance(inner_begin[key], list)
            least = inner_end[key][0] - inner_begin[key][1] if pairs else inner_end[key] - inner_begin[key]
            most = outer_end[key][1] - outer_begin[key][0] if pairs else outer_end[key] - outer_begin[key]
            self.least[key] = self.least.get(key, 0) + max(0, least)
            self.most[key] = self.most.get(key, 0) + most


def count(profile, name, column, label=None):
    return sum(s.values[column] for s in profile.samples
               if name in s.names and (label is None or s.labels.get(label[0]) == label[1]))


def ended(running, threads, about):
    status, truth, err = running.end()
    tap.equal((status, truth), (17, {'wrong': 0, 'threads': threads}), '%s: the program ends as ever' % about) or tap.note(err)
    return err


def exact():
    """Every allocation and every wait between two requests, in many windows, and none outside."""
    box = Box()
    running = Running(box, 'threadcreate')
    done = Done()
    cycles = 100
    errors = []
    for _ in range(cycles):
        before = running.look()
        errors.append(running.ask(START, 'heap=1,block=1us'))
        begin = running.look()
        end = running.look()
        while end['waits'][0] - begin['waits'][1] < 5:
            end = running.look()
        errors.append(running.ask(STOP, 'block,heap'))
        done.add(before, begin, end, running.look())
    tap.equal([e for e in errors if e != (0, '')], [], 'exact: %d times on and off' % cycles)
    tap.equal(running.on(), ['threadcreate'], 'exact: what is on after it')
    ended(running, 8, 'exact')
    heap, block = running.profile('heap'), running.profile('block')
    # a thread that is in the middle of it when it begins, or ends, may not be seen
    n = count(heap, 'allocate_some', 0)
    tap.ok(done.least['allocates'] <= n <= done.most['allocates'], 'exact: allocations', (done.least, n, done.most))
    tap.equal(count(heap, 'allocate_some', 1), n * 1000, 'exact: and their bytes')
    tap.equal([count(heap, 'allocate_some', c) for c in (2, 3)], [0, 0], 'exact: all were freed')
    n = count(block, 'wait_some', 0)
    tap.ok(done.least['waits'] <= n <= done.most['waits'], 'exact: waits', (done.least, n, done.most))
    tap.ok(count(block, 'wait_some', 1) >= n * 1000000 * 0.9, 'exact: and how long they were')
    tap.ok(done.least['waits'] >= 5 * cycles, 'exact: there was something to see')
    box.close()


def shares():
    """CPU time: no more than was used while it was on, and nearly all of it; with rates that change."""
    box = Box()
    running = Running(box, 'wall=10')
    done = Done()
    for hz in (100, 50, 100):
        before = running.look()
        tap.equal(running.ask(START, 'cpu=%d' % hz), (0, ''), 'shares: cpu=%d' % hz)
        begin = end = running.look()
        while end['cpu_ns'] - begin['cpu_ns'] < 1.5e9:
            end = running.look()
        if hz == 100:
            tap.equal(running.ask(STOP, 'cpu')[0], 0, 'shares: off')
        done.add(before, begin, end, running.look())
    ended(running, 8, 'shares')
    total = running.profile('cpu').total()
    # the second window ends in the third one, whose outer bounds hold both
    tap.measured(0.8 * done.least['cpu_ns'] <= total <= done.most['cpu_ns'], 'shares: CPU time', (done.least, total, done.most))
    box.close()


def at_random():
    """Whatever is asked for in whatever order."""
    seed = 20261122
    box = Box()
    running = Running(box, 'cpu')
    chance = random.Random(seed)
    on = {'cpu'}
    differ = []
    begin = running.look()
    values = {'cpu': ('=100', '=37', ''), 'wall': ('', '=20'), 'block': ('=1us', '=1ms'), 'mutex': ('=1', '=3'),
              'trace': ('', '=threads', '=locks')}
    for i in range(300):
        names = chance.sample(('cpu',) + OTHERS, chance.randint(1, 3))
        if chance.random() < 0.5:
            text = ','.join(n + chance.choice(values.get(n, ('',))) for n in names)
            error, said = running.ask(START, text)
            on |= set(names)
        else:
            text = ','.join(names)
            error, said = running.ask(STOP, text)
            on -= set(names)
        if error != 0 or running.on() != sorted(on):
            differ.append((i, text, error, said, running.on(), sorted(on)))
    tap.equal(differ[:3], [], 'at random: 300 requests, and what is on after each')
    end = running.look()
    tap.ok(all(end[k][0] > begin[k][0] for k in ('burns', 'allocates', 'waits', 'locks')), 'at random: the program works on')
    tap.equal(running.ask(START, ','.join(('cpu',) + OTHERS))[0], 0, 'at random: all on at the end')
    ended(running, 8, 'at random')
    for name in ('cpu', 'wall', 'heap', 'block', 'mutex', 'threads'):
        tap.ok(running.profile(name).samples, 'at random: %s is there' % name)
    trace = trace_file.read(os.path.join(running.output, 'trace.out'))
    tap.equal((trace.problems, trace.end), ([], ('exited', 17)), 'at random: the trace is whole')
    box.close()


NUMBERS = {'read': 0, 'write': 1, 'close': 3, 'getppid': 110}
RESULTS = {'read': 1, 'write': 1, 'close': -9}


def patched(said):
    found = re.match(r'(\d+) of (\d+) in \d+ files are patched', said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def calls_exact():
    """Every system call from the moment on that tracing is on, whatever its threads were at then; and none after it is off."""
    for spec in ('trace=syscalls', 'trace'):
        box = Box()
        running = Running(box, 'threadcreate,follow=no', 4, 500, name='busycalls')
        done = Done()
        said = []
        for _ in range(10):
            before = running.look()
            said.append(running.ask(START, spec))
            begin = end = running.look()
            while min(end[name][0] - begin[name][1] for name in NUMBERS) < 500:
                end = running.look()
            said.append(running.ask(STOP, 'trace'))
            done.add(before, begin, end, running.look())
        tap.equal([error for error, _ in said], [0] * 20, 'calls: %s on and off' % spec) or tap.note(said)
        n, of = patched(said[0][1])
        tap.ok(n > of / 2, 'calls: %d of %d sites are patched' % (n, of))
        status, truth, err = running.end()
        tap.equal((status, truth), (17, {'wrong': 0, 'same': 1, 'some': 1}), 'calls: the program is as ever') or tap.note(err)
        trace = trace_file.read(os.path.join(running.output, 'trace.out'))
        tap.equal(trace.problems, [], 'calls: the trace is whole')
        for name, number in NUMBERS.items():
            found = [e for e in trace.named('syscall', 'syscall.end')
                     if e['number'] == number and e['result'] == RESULTS.get(name, e['result'])]
            # what a busy machine has no room for is counted
            tap.ok(done.least[name] - trace.lost() <= len(found) <= done.most[name], 'calls: %s, %s' % (spec, name),
                   (done.least[name], trace.lost(), len(found), done.most[name]))
        tap.ok(trace.lost() < done.least['read'] / 10, 'calls: little is lost', trace.lost())
        box.close()


def code_changes():
    """While threads run through it, handlers interrupt it, and others are cancelled in it: again and again, in a new program."""
    wrong, sites = [], set()
    calls = 0
    for i in range(40):
        box = Box()
        running = Running(box, 'threadcreate,follow=no,memory=16m', 4, name='busycalls')
        for what, text in ((START, 'trace=syscalls'), (STOP, 'trace'), (START, 'trace'), (STOP, 'trace')):
            error, said = running.ask(what, text)
            if what == START:
                sites.add(patched(said))
            seen = running.look()
            begun = seen['getppid'][0]
            while seen['getppid'][0] - begun < 10000:
                seen = running.look()
            if error != 0:
                wrong.append((i, text, error, said))
        calls += sum(seen[name][0] for name in NUMBERS)
        status, truth, err = running.end()
        if (status, truth) != (17, {'wrong': 0, 'same': 1, 'some': 1}):
            wrong.append((i, status, truth, err))
        box.close()
    tap.equal(wrong[:3], [], 'code: 40 programs, while they make %d calls' % calls)
    tap.equal(len(sites), 1, 'code: the same sites each time')


def last_look():
    """What is now, as it was when it was stopped."""
    box = Box()
    running = Running(box, 'cpu')
    tap.equal(running.ask(START, 'threads'), (0, ''), 'last look: on')
    tap.equal(running.ask(STOP, 'threads'), (0, ''), 'last look: off')
    err = ended(running, 8, 'last look')
    tap.ok('no snapshot' not in err, 'last look: is there', err)
    seen = running.profile('threads')
    tap.equal([sum(s.values[0] for s in seen.samples if name in s.names) for name in ('work', 'main')], [8, 1],
              'last look: every thread')
    box.close()


def refused():
    box = Box()
    running = Running(box, 'cpu')
    for what, text, error, words in (
            (START, '', -EINVAL, 'no profile'), (START, 'cpu=0', -EINVAL, 'cpu'), (START, 'spu', -EINVAL, 'cpu'),
            (START, 'out=/tmp', -EINVAL, 'out= is chosen when the program is started'),
            (START, 'cpu,depth=3', -EINVAL, 'depth='), (START, 'wall,wall', -EINVAL, 'wall'),
            (STOP, '', -EINVAL, 'which'), (STOP, 'nothing', -EINVAL, 'nothing'), (STOP, 'depth=3', -EINVAL, 'which'),
            (START, 'x' * 511, -EINVAL, ''), (9, '', -EINVAL, 'not known'), (0, 'x', -EINVAL, 'not known'), (0, '-1', -EINVAL, 'not known')):
        got = running.ask(what, text)
        tap.ok(got[0] == error and words in got[1], 'refused: %d %s' % (what, text[:40]), got)
        tap.equal(running.on(), ['cpu'], 'refused: %d %s: nothing has changed' % (what, text[:40]))
    for what, text in ((START, 'x' * 512), (START, 'cpu\0wall'), (STATUS, 'x'), (0, '1\0')):
        tap.equal(running.ask(what, text)[0], None, 'refused: %d %r is not answered' % (what, text[:40]))
    tap.equal(running.ask(START, 'cpu', pid=1)[0], -ESRCH, 'refused: one that is not recorded')
    tap.equal(running.ask(START, 'heap=1k'), (0, ''), 'refused: a heap profile')
    got = running.ask(START, 'heap=2k')
    tap.ok(got[0] == -EBUSY and 'once in 1024 bytes' in got[1], 'refused: it stays at its rate', got)
    tap.equal(running.on(), ['cpu', 'heap'], 'refused: and goes on')

    # by the command
    for words, status in ((['status'], 0), (['start', 'wall'], 0), (['stop', 'wall', 'heap'], 0), (['start', 'wall=x'], 1),
                          (['start'], 2), (['stop'], 2), (['status', 'more'], 2), (['begin', 'cpu'], 2), (['start', 'x' * 600], 2)):
        r = box.command('ctl', running.pid, *words)
        tap.equal((r.status, r.out != '', r.err != ''), (status, words == ['status'], status != 0),
                  'refused: ctl %s' % ' '.join(words)[:40]) or tap.note(r.show())
    tap.equal(running.on(), ['cpu'], 'refused: what is on after that')
    ended(running, 8, 'refused')
    r = box.command('ctl', running.pid, 'status')
    tap.equal(r.status, 1, 'refused: it has ended')
    box.close()


def by_files():
    """Where the program has files that sample it, only it can close them."""
    if not is_perf_permitted():
        tap.skip('by files', 'no perf clock here')
        return
    box = Box()
    running = Running(box, 'cpu=1000')
    for what, text in ((START, 'cpu=50'), (STOP, 'cpu')):
        got = running.ask(what, text)
        tap.ok(got[0] == -ENOTSUP and 'goes on as it is' in got[1], 'by files: %s' % text, got)
    tap.equal(running.ask(START, 'cpu=1000,wall'), (0, ''), 'by files: what is as it was asked for is left alone')
    ended(running, 8, 'by files')
    box.close()


def confined():
    """A program that forbids itself nearly all system calls: no thread of ours may be there then, whatever is on or off."""
    box = Box()
    for stopped in ([], ['cpu'], ['cpu', 'wall'], ['cpu', 'heap', 'wall']):
        about = 'confined: after %s' % (' and '.join(stopped) + ' stopped' if stopped else 'nothing')
        running = Running(box, 'cpu,wall,heap' if len(stopped) != 1 else 'cpu', name='confines')
        for name in stopped:
            tap.equal(running.ask(STOP, name), (0, ''), '%s: %s off' % (about, name))
        out, err = running.p.communicate(b'\n', timeout=300)
        if running.p.returncode == 77:
            tap.skip(about, 'no filter may be set here')
            continue
        tap.equal((running.p.returncode, out), (17, b'{}\n'), '%s: the program ends as ever' % about) or tap.note(err.decode())
        # what still ran was stopped, which is said
        tap.equal(b'seccomp' in err, len(stopped) < 3 and stopped != ['cpu'], '%s: what was lost is told' % about) or tap.note(err.decode())
    box.close()


tap.run(exact, shares, at_random, last_look, refused, by_files, calls_exact, code_changes, confined)
