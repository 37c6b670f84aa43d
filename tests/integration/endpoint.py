"""
Servers of /debug/pprof/ and a client that adds nothing of its own.

    with Go() as go, Ours(box) as ours:
        a = ask(ours.address, '/debug/pprof/heap?debug=1')       a.status, a.header('Content-Type'), a.body
    with Proxy(ours.address) as proxy:                           for clients that know no Unix sockets: proxy.port

An address is the path of a Unix socket, or a port of 127.0.0.1.
"""

import glob
import http.client
import os
import re
import socket
import struct
import subprocess
import threading

from cprof import CPROF, LIBRARY, PROGRAMS, wait_for

SECONDS = 120  # for what hangs
GO = os.path.join(PROGRAMS, 'served_go')
BASE = '/debug/pprof/'
NAMED = ('allocs', 'block', 'goroutine', 'heap', 'mutex', 'threadcreate')


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        found = [v for k, v in self.headers if k.lower() == name.lower()]
        return ', '.join(found) if found else None

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    def show(self):
        return '%d %r %r' % (self.status, self.headers, self.body[:200])


def connect(address, timeout=SECONDS, host='127.0.0.1'):
    unix = isinstance(address, str)
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(address if unix else (host, address))
    except OSError:
        sock.close()
        raise
    return sock


def host_of(address):
    return 'cprof' if isinstance(address, str) else '127.0.0.1:%d' % address


class Connection(http.client.HTTPConnection):
    def __init__(self, address, timeout=SECONDS):
        super().__init__('127.0.0.1', timeout=timeout)
        self.address = address

    def connect(self):
        self.sock = connect(self.address, self.timeout)

    def ask(self, path, method='GET', headers=(), body=None):
        """@headers: pairs; a Host of None is none at all. A body has a length."""
        given = dict(headers)
        self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if given.get('Host', '') is not None:
            self.putheader('Host', given.pop('Host', host_of(self.address)))
        for name, value in given.items():
            if value is not None:
                self.putheader(name, value)
        if body is not None:
            self.putheader('Content-Length', str(len(body)))
        self.endheaders(body)
        reply = self.getresponse()
        return Answer(reply.status, reply.getheaders(), reply.read())


def ask(address, path, method='GET', headers=(), body=None, timeout=SECONDS):
    connection = Connection(address, timeout)
    try:
        return connection.ask(path, method, headers, body)
    finally:
        connection.close()


class Server:
    """What both have: a program that works until its standard input ends."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Its status."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        return self.process.returncode


class Go(Server):
    name = 'Go'

    def __init__(self, *args):
        self.process = subprocess.Popen([GO, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = int(self.process.stdout.readline())
        self.pid = self.process.pid
        self.pids = [self.pid]

    def done(self):
        return 0, 0


class Ours(Server):
    """
    The same load under `cprof run`, whose launcher serves; or, with @listen, in a process that serves for itself: "unix", "tcp",
    or "tcp?" and parameters.
    """
    name = 'cprof'

    def __init__(self, box, spec='all', listen=None, host='127.0.0.1'):
        box.count += 1
        self.directory = os.path.join(box.root, 'out%d' % box.count)
        self.counts = os.path.join(box.root, 'done%d' % box.count)
        self.errors = open(os.path.join(box.root, 'err%d' % box.count), 'w+b')
        command = [os.path.join(PROGRAMS, 'served'), self.counts]
        env = box.environment()
        if listen is None:
            command = [CPROF, 'run', '-p', spec, '-o', self.directory, '--'] + command
        else:
            self.address = os.path.join(box.root, 'http%d' % box.count) if listen == 'unix' else free_port()
            where = 'unix:' + self.address if listen == 'unix' else '%s:%d%s' % (host, self.address, listen[3:])
            env.update(LD_PRELOAD=LIBRARY, CPROF='%s,out=%s,http=%s' % (spec, self.directory, where))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=env,
                                        cwd=box.cwd)
        if self.process.stdout.readline() != b'ready\n':
            raise RuntimeError('%r ended with %r: %s' % (command, self.process.wait(), self.said()))
        self.pid, self.pids = self.process.pid, [self.process.pid]
        if listen is None:
            if not wait_for(lambda: sockets_of(box)):
                self.end()
                raise RuntimeError('no socket: %s' % self.said())
            self.address = sockets_of(box)[0]
            self.pid = int(os.path.basename(self.address)[:-len('.sock')])
            self.pids.append(self.pid)
        elif not wait_for(lambda: is_open(self.address, host)):
            self.end()
            raise RuntimeError('nobody listens: %s' % self.said())

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode('utf-8', 'replace')

    def done(self):
        """(rounds, nanoseconds of CPU time) up to now."""
        with open(self.counts, 'rb') as f:
            return struct.unpack('<QQ', f.read(16))


def sockets_of(box):
    return sorted(glob.glob(os.path.join(box.runtime, 'cprof', '*.sock')))


def is_open(address, host='127.0.0.1'):
    try:
        connect(address, host=host).close()
        return True
    except OSError:
        return False


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Proxy:
    """Listens on 127.0.0.1, and passes bytes to and fro."""

    def __init__(self, address):
        self.address = address
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
                server = connect(self.address)
            except OSError:
                return
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def pprof(*argv, timeout=300):
    """go tool pprof: (status, what it prints, what it says)."""
    env = {k: v for k, v in os.environ.items() if k not in ('LD_PRELOAD', 'http_proxy', 'HTTP_PROXY')}
    env.setdefault('HOME', '/tmp')
    env.update(PPROF_BINARY_PATH='/nonexistent', PPROF_TMPDIR=os.path.join(os.environ.get('TMPDIR', '/tmp'), 'cprof-pprof-test'))
    done = subprocess.run(['go', 'tool', 'pprof', *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env, timeout=timeout)
    return done.returncode, done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace')


def usage(pid):
    """
    What must not grow: {'fds', 'threads', 'anon_kb'} of a process. The segment, which is shared, is not in it, nor are the files
    of /proc that the wall profile keeps of as many threads as there were at once. A thread may have a table of files to itself:
    the longest counts.
    """
    with open('/proc/%d/status' % pid) as f:
        status = f.read()
    number = lambda name: int(re.search(r'^%s:\s+(\d+)' % name, status, re.MULTILINE).group(1))
    fds = 0
    for table in glob.glob('/proc/%d/task/*/fd' % pid):
        try:
            links = [os.readlink(f) for f in glob.glob(table + '/*')]
            fds = max(fds, sum(not l.startswith('/proc/') for l in links))
        except OSError:
            pass  # a thread that is gone
    return {'fds': fds, 'threads': number('Threads'), 'anon_kb': number('RssAnon')}
