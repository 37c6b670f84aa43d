#!/usr/bin/env python3
"""cprof ctl: profiles and traces of a program that runs, by the socket that its launcher answers at."""

import ctypes
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

import tap
import trace_file
from cprof import LIBRARY, Box, program, wait_for
from pprof import Profile

STILL_S = 21  # more than a process is waited for


class Running:
    """A program that works until its input ends, under `cprof run`."""

    def __init__(self, box, spec):
        command = [box.cprof, 'run', '-p', spec, '-o', os.path.join(box.root, 'out'), '--', program('switched'), '2']
        self.box = box
        self.p = subprocess.Popen(command, cwd=box.cwd, env=box.environment(), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = json.loads(self.p.stdout.readline())['pid']
        wait_for(lambda: answers_at(path_of(box, self.pid)))

    def on(self):
        return re.findall(r'^on +(\w+)', self.box.command('ctl', self.pid, 'status').out, re.MULTILINE)

    def end(self):
        err = self.p.communicate(timeout=300)[1]
        return self.p.returncode, err.decode()


def path_of(box, pid):
    return os.path.join(box.runtime, 'cprof', '%d.sock' % pid)


def answers_at(path):
    """It is there before anybody listens."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def get(address, target, head='Host: cprof\r\n'):
    """The whole answer, as bytes."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as s:
        s.settimeout(120)
        s.connect(address if isinstance(address, str) else ('127.0.0.1', address))
        s.sendall(('GET %s HTTP/1.0\r\n%s\r\n' % (target, head)).encode())
        data = b''
        while True:
            piece = s.recv(65536)
            if not piece:
                return data
            data += piece


def status_of(answer):
    return int(answer.split(b' ', 2)[1])


def dumps():
    box = Box()
    p = Running(box, 'heap=1')
    there = path_of(box, p.pid)
    tap.equal(stat.S_IMODE(os.stat(there).st_mode), 0o600, 'the socket is for its user alone')
    tap.equal(stat.S_IMODE(os.stat(os.path.dirname(there)).st_mode), 0o700, 'so is the directory')

    r = box.command('ctl', p.pid, 'dump', 'heap')
    tap.ok(r.status == 0, 'dump heap', r.show())
    heap = Profile.read(os.path.join(box.cwd, 'heap.%d.pb.gz' % p.pid))
    tap.ok(len(heap.samples) > 0, 'it has samples')
    r = box.command('ctl', p.pid, 'dump', 'cpu', '-seconds', '1', '-o', 'cpu.pb.gz')
    tap.ok(r.status == 0, 'dump cpu, which is off', r.show())
    cpu = Profile.read(os.path.join(box.cwd, 'cpu.pb.gz'))
    tap.ok(len(cpu.samples) > 0, 'it ran for it', repr(cpu.samples))
    tap.ok(wait_for(lambda: 'cpu' not in p.on()), 'and is off again')
    r = box.command('ctl', p.pid, 'dump', 'threads', '-debug', '2', '-o', '-')
    tap.ok(r.status == 0 and re.search(r'^thread %d \[' % p.pid, r.out, re.MULTILINE), 'threads, one by one', r.show())
    tap.ok(wait_for(lambda: 'threads' not in p.on()), 'and no longer')
    r = box.command('ctl', p.pid, 'dump', 'trace', '-seconds', '1', '-o', 't.out')
    tap.ok(r.status == 0, 'dump trace, which is off', r.show())
    tap.ok(len(trace_file.read(os.path.join(box.cwd, 't.out')).events) > 0, 'it has events')
    r = box.command('ctl', p.pid, 'top', 'heap')
    tap.ok(r.status == 0 and 'flat%' in r.out, 'top', r.show())
    r = box.command('ctl', p.pid, 'dump', 'nix')
    tap.equal((r.status, r.err), (1, 'cprof: ctl: Unknown profile (404)\n'), 'one that there is not')
    r = box.command('ctl', os.getpid(), 'top')
    tap.ok(r.status == 1 and 'does not run under `cprof run`' in r.err, 'a process without a launcher', r.show())
    for argv in (['dump'], ['dump', '../x'], ['top', 'trace'], ['dump', 'heap', '-seconds', '1', '-debug', '1']):
        tap.equal(box.command('ctl', p.pid, *argv).status, 2, 'wrong usage: ' + ' '.join(argv))
    status, err = p.end()
    tap.ok(status == 17, 'the program ends as it would', err)
    tap.ok(not os.path.exists(os.path.dirname(there)), 'nothing is left of the sockets')
    box.close()


ASKS = """import ctypes, errno
PRIVATE_EXPEDITED_SYNC_CORE = 1 << 5
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(324, PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), errno.errorcode.get(ctypes.get_errno()))
"""


def ready_for_new_code():
    """A trace that is switched on later changes code: the process is registered for it while it has one thread, and so are children."""
    if os.uname().machine != 'x86_64':
        tap.skip('ready for new code', 'the number of the call is of another processor')
        return
    box = Box()
    forks = 'import os\nif os.fork() != 0: os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n'
    tap.equal(box.plain(sys.executable, '-c', ASKS).out, '-1 EPERM\n', 'a process is not registered for changed code')
    for about, code in (('under cprof run it is', ASKS), ('and so is its child', forks + ASKS)):
        r = box.run(sys.executable, '-c', code, spec='heap')
        tap.equal((r.status, r.out), (0, '0 None\n'), about)
    box.close()


class Held:
    """The library's own thread in a program, held as by a debugger: the program goes on, and does not answer."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
    LIBC = ctypes.CDLL(None, use_errno=True)

    def __init__(self, pid):
        self.tid = None
        wait_for(lambda: self.find('/proc/%d/task' % pid))

    def find(self, tasks):
        for t in os.listdir(tasks):
            with open('%s/%s/comm' % (tasks, t)) as f:
                if f.read() == 'cprof\n':
                    self.tid = int(t)
        return self.tid is not None

    def call(self, what):
        if self.LIBC.ptrace(what, self.tid, None, None) < 0:
            raise OSError(ctypes.get_errno(), 'ptrace')

    def __enter__(self):
        self.call(self.SEIZE)
        self.call(self.INTERRUPT)
        os.waitpid(self.tid, 0x40000000)  # __WALL

    def __exit__(self, *what):
        self.call(self.DETACH)


def is_stopped(pid):
    with open('/proc/%d/stat' % pid) as f:
        return f.read().rsplit(')', 1)[1].split()[0] == 'T'


def all_stands_still():
    """A machine that stops for longer than a process is waited for: it is nobody's fault, and goes on as if nothing were."""
    box = Box()
    p = Running(box, 'heap')
    # not a trace, for which the kernel has work to do, too
    command = ('ctl', p.pid, 'dump', 'cpu', '-seconds', '1', '-o', 'c.pb.gz')
    try:
        with Held(p.pid):
            pass
    except PermissionError:
        tap.skip('a process that is held', 'ptrace() is not permitted here')
        p.end()
        box.close()
        return
    with Held(p.pid):
        asking = subprocess.Popen([box.cprof] + [str(word) for word in command], cwd=box.cwd, env=box.environment(), stderr=subprocess.PIPE)
        time.sleep(1)  # it has asked, and the launcher waits for the program
        os.kill(p.p.pid, signal.SIGSTOP)
        time.sleep(STILL_S)
        os.kill(p.p.pid, signal.SIGCONT)
        time.sleep(0.5)  # who waits is the first to go on
        tap.ok(asking.poll() is None, 'when all have stood still, nobody is given up')
    err = asking.communicate(timeout=120)[1]
    tap.ok(asking.returncode == 0, 'and it goes on', err)
    tap.ok(len(Profile.read(os.path.join(box.cwd, 'c.pb.gz')).samples) > 0, 'up to the profile')
    tap.ok(wait_for(lambda: 'cpu' not in p.on()), 'which is off again')

    os.kill(p.pid, signal.SIGSTOP)
    wait_for(lambda: is_stopped(p.pid))
    stopped = subprocess.Popen([box.cprof, 'ctl', str(p.pid), 'status'], cwd=box.cwd, env=box.environment(), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    said = stopped.stderr.readline().decode()
    tap.equal(said, 'cprof: process %d is stopped, and may not answer before it goes on: kill -CONT %d\n' % (p.pid, p.pid),
              'a job that is stopped, its launcher with it')
    os.kill(p.pid, signal.SIGCONT)
    os.kill(p.p.pid, signal.SIGCONT)
    tap.equal((stopped.communicate(timeout=60)[1], stopped.returncode), (b'', 0), 'answers when both go on')

    with Held(p.pid):
        r = box.command(*command)
    tap.ok(r.status == 1 and 'has not answered' in r.err, 'a program that does not answer while others run is', r.show())
    status, err = p.end()
    tap.ok(status == 17, 'it ends as it would', err)
    box.close()


def windows_end_with_the_program():
    box = Box()
    p = Running(box, 'cpu=100')
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(120)
        s.connect(path_of(box, p.pid))
        s.sendall(b'GET /debug/pprof/profile?seconds=3000 HTTP/1.0\r\nHost: cprof\r\n\r\n')
        get(path_of(box, p.pid), '/debug/pprof/cmdline')  # one thread answers: it has seen the other by then
        status, err = p.end()
        answer = b''
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
    tap.ok(status == 17, 'a program that ends while somebody waits', err)
    tap.ok(answer.startswith(b'HTTP/1.') and status_of(answer) == 200, 'he gets what there is', repr(answer[:200]))
    box.close()


def listening():
    """http= under cprof run: the launcher's, and refused where it must be."""
    box = Box()
    there = os.path.join(box.root, 'own.sock')
    r = box.run('nothing', spec='cpu,http=unix:%s/none/x' % box.root)
    tap.ok(r.status == 0 and 'cannot listen there: No such file' in r.err, 'a directory that is not there', r.show())
    p = Running(box, 'cpu,http=unix:' + there)
    tap.equal(status_of(get(there, '/debug/pprof/heap')), 200, 'served where it was asked for')
    environment = open('/proc/%d/environ' % p.pid, 'rb').read()
    files = [os.readlink('/proc/%d/fd/%s' % (p.pid, n)) for n in os.listdir('/proc/%d/fd' % p.pid)]
    tap.ok(not any('socket' in f for f in files), 'nothing of it is in the program', repr(files))
    tap.ok(b'CPROF=' in environment, 'which has the words')
    os.kill(p.p.pid, signal.SIGKILL)
    os.kill(p.pid, signal.SIGKILL)
    p.p.communicate()
    tap.ok(os.path.exists(there), 'a launcher that was killed leaves its socket')
    p = Running(box, 'cpu,http=unix:' + there)
    tap.equal(status_of(get(there, '/debug/pprof/heap')), 200, 'and another one takes its place')
    r = box.run('nothing', spec='cpu,http=unix:' + there)
    tap.ok(r.status == 0 and 'Address already in use' in r.err, 'not that of one who lives', r.show())
    p.end()
    with open(there, 'w') as f:
        f.write('precious')
    r = box.run('nothing', spec='cpu,http=unix:' + there)
    tap.ok(r.status == 0 and open(there).read() == 'precious', 'and no file', r.show())
    box.close()


def in_a_host():
    """The library's own thread: hosts that end, that have no main thread any more, that fork."""
    box = Box()
    there = os.path.join(box.root, 'host.sock')
    env = {'CPROF': 'heap=64k,http=unix:' + there, 'LD_PRELOAD': LIBRARY, 'CPROF_LOG': ''}
    plain = box.plain('crowd', 'mainleaves')
    r = box.plain('crowd', 'mainleaves', env=dict(env, CPROF='http=unix:' + there), timeout=120)
    tap.equal(r.status, plain.status, 'the main thread goes first: the process ends all the same')
    tap.ok(not os.path.exists(there), 'and takes its socket with it')
    r = box.plain('/bin/sh', '-c', '%s; exec %s' % (program('nothing'), program('nothing')), env=env)
    tap.ok(r.status == 0 and r.err == '', 'one that runs others, and then becomes another', r.show())
    r = box.plain('nothing', env=dict(env, CPROF='http=0.0.0.0:6060'))
    tap.ok(r.status == 0 and 'needs ?token=FILE&cert=FILE&key=FILE' in r.err, 'an address for all is refused', r.show())
    r = box.plain('nothing', env=dict(env, CPROF='http=0.0.0.0:6060?token=/none&cert=/none&key=/none'))
    tap.ok(r.status == 0 and 'cannot read /none' in r.err, 'so is one whose token is not there', r.show())
    box.close()


tap.run(dumps, ready_for_new_code, all_stands_still, windows_end_with_the_program, listening, in_a_host)
