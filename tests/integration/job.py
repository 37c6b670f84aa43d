#!/usr/bin/env python3
"""Signals reach the program once, whoever sends them to whom; its stops are seen by the shell; nothing ever hangs."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import tap
from cprof import Box, program, wait_for

RT = signal.SIGRTMIN + 1


def state(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0]
    except OSError:
        return ''


def children(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            return [int(n) for n in f.read().split()]
    except OSError:
        return []


def is_settled(pid, sig, is_witness=False):
    """Whether @sig neither waits for this process nor is being handled by it. The witness has all of them blocked."""
    try:
        with open('/proc/%d/status' % pid) as f:
            masks = {line.split(':')[0]: int(line.split()[1], 16) for line in f if re.match('(Sig|Shd)[A-Z]', line)
                     and not line.startswith('SigQ')}
    except OSError:
        return True
    busy = masks['SigPnd'] | masks['ShdPnd'] | (0 if is_witness else masks['SigBlk'])
    return not busy >> (sig - 1) & 1


class Job:
    """`cprof run signalled`, leader of a session of its own; or, with under_cprof False, the program itself."""

    def __init__(self, box, *argv, under_cprof=True, stdin=subprocess.PIPE):
        self.output = os.path.join(box.root, 'out')
        command = [program('signalled'), *argv]
        if under_cprof:
            command = [box.cprof, 'run', '-o', self.output, '--', *command]
        self.p = subprocess.Popen(command, cwd=box.cwd, env=box.environment(), stdin=stdin, start_new_session=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.p.pid
        self.children = []

    def ready(self):
        line = self.p.stdout.readline()
        if line != b'ready\n':
            raise RuntimeError('not ready: %r' % line)
        self.children = children(self.pid)
        return self

    @property
    def program(self):
        return self.children[0] if self.children else children(self.pid)[0]

    def settle(self, sig):
        """Until @sig has gone all its ways: a second one that comes before that would melt into it."""
        ways = [(pid, i == 1) for i, pid in enumerate(self.children)]
        # the program comes last: the launcher passes it on when the witness has spoken
        for pid, is_witness in ways[1:] + [(self.pid, False)] + ways[:1]:
            if not wait_for(lambda: is_settled(pid, sig, is_witness)):
                tap.note('%s is not settled in %d' % (sig, pid))

    def wait(self, seconds=20):
        """It ends a second after the last signal, as long as its input stays open."""
        try:
            self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def end(self, send=b'', timeout=20):
        try:
            out, err = self.p.communicate(send, timeout=timeout)
        except subprocess.TimeoutExpired:
            for pid in children(self.pid) + [self.pid]:
                os.kill(pid, signal.SIGKILL)
            self.p.communicate()
            return 'hangs', {}, ''
        lines = [line for line in out.decode().splitlines() if line.startswith('{')]
        return self.p.returncode, json.loads(lines[-1]) if lines else {}, err.decode()


def counted(box, about, send, want, *argv):
    """@send(job) sends something; the program must count @want, and no more, with us as by itself."""
    got = []
    for under_cprof in (False, True):
        job = Job(box, *argv, under_cprof=under_cprof).ready()
        send(job)
        job.wait()
        status, counts, err = job.end()
        counts.pop('value', None)
        got.append((status, counts))
    tap.equal(got, [(3, {str(int(k)): v for k, v in want.items()})] * 2, about)


def once_each():
    box = Box()
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
               signal.SIGALRM, signal.SIGWINCH, signal.SIGCONT, signal.SIGABRT, RT]
    for sig in signals:
        name = 'SIGRTMIN+1' if sig == RT else sig.name
        counted(box, '%s to the launcher: once' % name, lambda job: os.kill(job.pid, sig), {sig: 1})
        counted(box, '%s to the group: once' % name, lambda job: os.killpg(job.pid, sig), {sig: 1})

    def several(job):
        for _ in range(5):
            os.killpg(job.pid, signal.SIGTERM)
            job.settle(signal.SIGTERM)
            os.kill(job.pid, signal.SIGTERM)
            job.settle(signal.SIGTERM)

    counted(box, 'now to the group, now to the launcher: each once', several, {signal.SIGTERM: 10})
    counted(box, 'of three queued to the group each once', lambda job: [os.killpg(job.pid, RT) for _ in range(3)], {RT: 3})
    # sent to its own group, by itself: a shell's `kill 0`
    for sig in (signal.SIGTERM, signal.SIGUSR1):
        counted(box, '%s by the program to its group: once' % sig.name, lambda job: None, {sig: 1}, 'group',
                str(int(sig)))
    # a group that it has left
    job = Job(box, 'own').ready()
    os.killpg(job.pid, signal.SIGUSR1)
    os.kill(job.pid, signal.SIGUSR2)
    job.wait()
    status, counts, _ = job.end()
    counts.pop('value')
    tap.equal((status, counts), (3, {str(int(signal.SIGUSR2)): 1}), 'a group that it has left: only what is for the launcher')
    # the value that comes with a queued one
    job = Job(box).ready()
    done = subprocess.run([shutil.which('kill') or '/bin/kill', '-q', '4711', '-s', str(int(RT)), str(job.pid)],
                          stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        job.wait()
        status, counts, _ = job.end()
        tap.equal((status, counts.get('value')), (3, 4711), 'a queued signal keeps its value')
    else:
        job.end(b'\n')
        tap.skip('a queued signal keeps its value', 'this kill(1) has no -q')
    tap.equal(box.leftovers(), [], 'signals: nothing left behind')
    box.close()


def to_the_parent():
    """What the program sends to its parent is for whoever started us."""
    got = []
    before = signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    box = Box()
    job = Job(box, 'parent', str(int(signal.SIGUSR1))).ready()
    status, counts, _ = job.end(b'\n')
    counts.pop('value')
    tap.equal((len(got), status, counts), (1, 3, {}), 'to its parent: passed up, not back')
    signal.signal(signal.SIGUSR1, before)
    # the alarm clock that was set before exec is the program's
    out = os.path.join(box.root, 'alarm')
    r = box.plain('sh', '-c', 'exec python3 -c "import os, signal, sys; signal.alarm(1); os.execv(sys.argv[1], sys.argv[1:])" '
                  '"$@"', 'sh', box.cprof, 'run', '-o', out, '--', 'sleep', '10')
    tap.equal(r.status, -signal.SIGALRM, 'an alarm set before us: the program\'s')
    box.close()


def the_witness():
    """It is nobody's business: not the first child, not found by name, gone with the launcher, and not needed."""
    box = Box()
    job = Job(box).ready()
    tap.equal(len(job.children), 2, 'two children: the program and the witness')
    witness = job.children[1]
    with open('/proc/%d/cmdline' % witness, 'rb') as f:
        tap.ok(b'cprof' not in f.read(), 'the witness is not found by the launcher\'s words')
    tap.equal(os.listdir('/proc/%d/fd' % witness), ['0'], 'and holds nothing open')
    os.kill(witness, signal.SIGKILL)
    for _ in range(3):
        os.kill(job.pid, signal.SIGTERM)
        job.settle(signal.SIGTERM)
    status, counts, _ = job.end(b'\n')
    tap.equal((status, counts.get(str(int(signal.SIGTERM)))), (3, 3), 'without it signals still arrive')
    job = Job(box).ready()
    witness, launched = job.children[1], job.program
    os.kill(job.pid, signal.SIGKILL)
    job.p.wait()
    tap.ok(wait_for(lambda: state(witness) in ('', 'Z'), 5), 'it goes with the launcher')
    os.kill(launched, signal.SIGKILL)
    job.p.communicate()
    shutil.rmtree(box.runtime)
    os.mkdir(box.runtime, 0o700)
    job = Job(box).ready()
    witness = job.children[1]
    job.end(b'\n')
    tap.ok(state(witness) in ('', 'Z'), 'and with the program')
    box.close()


def stops(pid, seconds=20):
    """The status with which a child of ours has stopped, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got, status = os.waitpid(pid, os.WUNTRACED | os.WNOHANG)
        if got == pid:
            return signal.Signals(os.WSTOPSIG(status)) if os.WIFSTOPPED(status) else 'ended'
        time.sleep(0.01)
    return None


def own_stops():
    """A program that stops itself, or is stopped: the launcher does the same, and goes on with it, whoever says so."""
    box = Box()
    ways = {
        'the launcher is continued': lambda job: os.kill(job.pid, signal.SIGCONT),
        'the group is continued': lambda job: os.killpg(job.pid, signal.SIGCONT),
        'the program alone is continued': lambda job: os.kill(job.program, signal.SIGCONT),
    }
    for about, go_on in ways.items():
        for how in ('by itself', 'from outside', 'in a group of its own'):
            job = Job(box, *{'by itself': ['stop'], 'from outside': [], 'in a group of its own': ['own', 'stop']}[how])
            if how == 'from outside':
                job.ready()
                os.kill(job.program, signal.SIGSTOP)
            tap.equal(stops(job.pid), signal.SIGSTOP, 'stopped %s: so is the launcher' % how)
            tap.equal((state(job.program), state(job.pid)), ('T', 'T'), 'stopped %s: both stand still' % how)
            time.sleep(0.2)
            go_on(job)
            if how != 'from outside':
                job.ready()
            status, counts, _ = job.end(b'\n')
            tap.equal(status, 3, 'stopped %s, %s: it ends as it should' % (how, about))
    # killed while it is stopped
    job = Job(box).ready()
    os.kill(job.program, signal.SIGSTOP)
    tap.equal(stops(job.pid), signal.SIGSTOP, 'stopped from outside')
    os.kill(job.program, signal.SIGKILL)
    tap.equal(job.end()[0], -signal.SIGKILL, 'killed while stopped: seen')
    # many times, everybody at once
    job = Job(box).ready()
    for i in range(100):
        os.killpg(job.pid, signal.SIGSTOP)
        os.killpg(job.pid, signal.SIGCONT)
        if i % 3 == 0:
            os.kill(job.program, signal.SIGSTOP)
            os.kill(job.program, signal.SIGCONT)
    tap.ok(wait_for(lambda: state(job.pid) in 'SR' and state(job.program) in 'SR'), 'a hundred stops: all go on')
    tap.equal(job.end(b'\n')[0], 3, 'a hundred stops: it ends as it should')
    # the launcher alone
    job = Job(box).ready()
    os.kill(job.pid, signal.SIGTSTP)
    tap.ok(stops(job.pid, 1) is None and state(job.program) in 'SR', 'SIGTSTP without a terminal stops nobody')
    tap.equal(job.end(b'\n')[0], 3, 'SIGTSTP without a terminal: it ends as it should')
    tap.equal(box.leftovers(), [], 'stops: nothing left behind')
    box.close()


class Terminal:
    """A shell with job control on a terminal of its own."""

    def __init__(self, box, *argv):
        self.text = ''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(box.cwd)
            os.execvpe(argv[0], list(argv), dict(box.environment(), PS1='$ ', HISTFILE='/dev/null', TERM='dumb',
                                                 CPROF_RUN='%s run -o %s/out --' % (box.cprof, box.root),
                                                 S=program('signalled')))

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, word, seconds=30):
        """Reads until @word has come; it and what is before it is forgotten."""
        end = time.monotonic() + seconds
        while word not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.fd, 4096).decode('utf-8', 'replace') if ready else ''
            except OSError:
                data = ''
            if data == '':
                tap.note('instead of %r: %r' % (word, self.text))
                return None
            self.text += data
        before, _, self.text = self.text.partition(word)
        return before

    def has(self, word, seconds):
        """Whether @word comes within this time; it is not forgotten."""
        end = time.monotonic() + seconds
        while word not in self.text and select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            self.text += os.read(self.fd, 4096).decode('utf-8', 'replace')
        return word in self.text

    def in_front(self):
        """The group of processes that has the terminal."""
        return os.tcgetpgrp(self.fd)

    def name_in_front(self):
        try:
            with open('/proc/%d/comm' % self.in_front(), encoding='utf-8') as file:
                return file.read().strip()
        except OSError:
            return None

    def counts(self):
        before = self.expect('"value": 0}')
        return None if before is None else json.loads('{' + before.rpartition('{')[2] + '"value": 0}')

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def on_a_terminal():
    if shutil.which('bash') is None:
        tap.skip('job control', 'no bash here')
        return
    box = Box()
    t = Terminal(box, 'bash', '--norc', '--noprofile', '-i')
    t.expect('$ ')
    for key, sig in (('\x03', signal.SIGINT), ('\x1c', signal.SIGQUIT)):
        t.type('$CPROF_RUN $S\n')
        t.expect('ready')
        t.type(key)
        tap.equal(t.counts(), {str(int(sig)): 1, 'value': 0}, '%s by the terminal: once' % sig.name)
        t.type('echo status $?\n')
        tap.ok(t.expect('status 3') is not None, '%s by the terminal: its status' % sig.name)

    def stopped(about):
        tap.ok(t.expect('Stopped') is not None, about + ': the shell says so')
        t.expect('$ ')
        t.type('jobs -l\n')
        tap.ok(t.expect('Stopped') is not None, about + ': and keeps it as a job')
        t.expect('$ ')

    for about, argv in (('Ctrl-Z', ''), ('a program that stops itself', 'stop'), ('by SIGTSTP', 'tstp'),
                        ('in a group of its own', 'own stop')):
        t.type('$CPROF_RUN $S %s\n' % argv)
        if not argv:
            t.expect('ready')
            t.type('\x1a')
        stopped(about)
        t.type('fg\n')
        if argv:
            tap.ok(t.expect('ready') is not None, about + ': goes on')
        if argv.startswith('own'):
            t.expect('samples')  # by itself: it may not read from the terminal, as it could not without us
        else:
            t.type('\n')
            tap.equal(t.counts(), {str(int(signal.SIGCONT)): 1, 'value': 0}, about + ': goes on, told once')
        t.type('echo status $?\n')
        tap.ok(t.expect('status 3') is not None, about + ': its status')
    # one that ignores the key
    t.type('$CPROF_RUN $S ignore %d\n' % signal.SIGTSTP)
    t.expect('ready')
    t.type('\x1a')
    time.sleep(0.5)
    t.type('\n')
    tap.equal(t.counts(), {'value': 0}, 'Ctrl-Z ignored: nobody stops')
    # in the background it stops when it reads
    t.type('$CPROF_RUN sh -c "read x; echo got:\\$x" &\n')
    # the shell tells of it with the next prompt that it writes after it has learnt of it
    tap.ok(wait_for(lambda: t.type('\n') or t.has('Stopped', 0.5)), 'reading in the background: stopped')
    t.expect('Stopped')
    shell = t.in_front()
    t.type('fg\n')
    wait_for(lambda: t.in_front() != shell)
    t.type('word\n')
    tap.ok(t.expect('got:word') is not None, 'reading in the background: goes on in front')
    t.expect('$ ')
    # a shell inside, which makes groups of its own, suspended and taken up again
    t.type('$CPROF_RUN bash --norc --noprofile -i\n')
    t.expect('$ ')
    t.type('echo in$((1+1))side\n')
    tap.ok(t.expect('in2side') is not None, 'a shell inside: it has the terminal')
    t.type('suspend\n')
    stopped('a shell inside, suspended')
    t.type('fg\n')
    t.type('echo in$((2+1))side\n')
    tap.ok(t.expect('in3side') is not None, 'a shell inside, suspended: it has the terminal again')
    t.type('sleep 600\n')
    # bash itself, ours or not, loses a key that comes between its fork() and its execve()
    wait_for(lambda: t.name_in_front() == 'sleep')
    t.type('\x03')
    t.type('echo in$((3+1))side\n')
    tap.ok(t.expect('in4side') is not None, 'a shell inside: Ctrl-C is for its own job')
    t.type('exit 6\n')
    t.expect('samples')
    t.type('echo status $?\n')
    tap.ok(t.expect('status 6') is not None, 'a shell inside: its status')
    t.close()
    box.close()


tap.run(once_each, to_the_parent, the_witness, own_stops, on_a_terminal)
