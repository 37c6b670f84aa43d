#!/usr/bin/env python3
"""
Clients that mean no good, or know no better, and fifty scrapers among them: everybody who asks properly is answered, the host
works on, and when they are gone nothing is left of them: endpoint_hostile.py BUILD [SECONDS]
"""

import base64
import os
import random
import re
import selectors
import shutil
import socket
import struct
import sys
import threading
import time

STORM = 6  # seconds
SECONDS = max(STORM, int(sys.argv.pop(2)) // 6 if len(sys.argv) > 2 and sys.argv[2].isdigit() else 0)  # six storms of ours

import tap
from cprof import LIBRARY, Box, wait_for
from endpoint import BASE, GO, NAMED, Connection, Go, Ours, ask, connect, free_port, host_of, pprof, usage
from pprof_rules import problems

SCRAPERS, SLOW = 50, 200
PATHS = [BASE + n for n in NAMED] + [BASE + 'cmdline', BASE, BASE + 'heap?debug=1', BASE + 'goroutine?debug=2',
                                     BASE + 'block?seconds=1', BASE + 'symbol?0x1', BASE + 'nothing']
LEAST_ROUNDS = 2
LEAK_KB = 8 << 10  # of a storm that brings some hundred MB
MOST_STORMS = 5
MB = 1 << 20
seed = int(os.environ.get('SEED', random.SystemRandom().randrange(1 << 32)))


class Slow(threading.Thread):
    """Connections that say a byte now and then, and never all; a new one for each that the server gives up."""

    REQUESTS = [b'GET %sheap HTTP/1.1\r\nHost: cprof\r\nX-Slow: ' % BASE.encode() + b'a' * 100000,
                b'POST %ssymbol HTTP/1.1\r\nHost: cprof\r\nContent-Length: 100000\r\n\r\n' % BASE.encode() + b'0x1+' * 25000,
                b'G' * 100000, b'', b'GET /debug/pprof/profile?seconds=' + b'1' * 100000]

    def __init__(self, address, stop, count=SLOW):
        super().__init__()
        self.address, self.stop, self.count = address, stop, count
        self.opened = self.refused = 0
        self.failure = None

    def run(self):
        ready, all_of_them = selectors.DefaultSelector(), {}
        try:
            while not self.stop.is_set():
                for _ in range(self.count - len(all_of_them)):
                    try:
                        sock = connect(self.address, 5)
                    except OSError:
                        self.refused += 1
                        break
                    sock.setblocking(False)
                    all_of_them[sock] = [self.REQUESTS[self.opened % len(self.REQUESTS)], 0]
                    ready.register(sock, selectors.EVENT_READ)
                    self.opened += 1
                for sock, state in list(all_of_them.items()):
                    try:
                        sock.send(state[0][state[1]:state[1] + 1])
                        state[1] += 1
                    except BlockingIOError:
                        pass
                    except OSError:
                        self.drop(ready, all_of_them, sock)
                for key, _ in ready.select(0):
                    try:
                        if not key.fileobj.recv(65536):
                            self.drop(ready, all_of_them, key.fileobj)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self.drop(ready, all_of_them, key.fileobj)
                self.stop.wait(0.2)
        except Exception as error:
            self.failure = repr(error)
        for sock in list(all_of_them):
            self.drop(ready, all_of_them, sock)

    @staticmethod
    def drop(ready, all_of_them, sock):
        if all_of_them.pop(sock, None) is not None:
            ready.unregister(sock)
            sock.close()


class Scraper(threading.Thread):
    """Asks properly, on a connection that it keeps. To be told to come later is fine; to be hung up on is not."""

    def __init__(self, address, stop, number):
        super().__init__()
        self.address, self.stop, self.number = address, stop, number
        self.good, self.later, self.dropped, self.wrong = 0, 0, 0, []

    def run(self):
        connection, turn = None, self.number
        while not self.stop.is_set() or self.good < LEAST_ROUNDS:
            path = PATHS[turn % len(PATHS)]
            turn += 1
            try:
                if connection is None:
                    connection = Connection(self.address)
                a = connection.ask(path)
                if a.header('Connection') == 'close':
                    connection.close()
                    connection = None
            except Exception as error:
                # a connection too many, or one that was kept too long, may be closed before it is answered
                self.dropped += 1
                if self.dropped > 200 + 20 * self.good:
                    self.wrong.append('%s: %r' % (path, error))
                    return
                if connection is not None:
                    connection.close()
                connection = None
                self.stop.wait(0.2)
                time.sleep(0.02)
                continue
            if a.status in (429, 503) and a.header('Retry-After'):
                self.later += 1
                self.stop.wait(0.2)
                time.sleep(0.02)
                continue
            want = 404 if path.endswith('nothing') else 200
            bad = ['status %d: %r' % (a.status, a.body[:100])] if a.status != want else \
                problems(a.body) if a.header('Content-Type') == 'application/octet-stream' else []
            if bad:
                self.wrong.append('%s: %s' % (path, bad[:3]))
            self.good += 1
            time.sleep(0.05)
        if connection is not None:
            connection.close()


def say(address, data, wait=True, linger=False, end=False):
    """Sends @data for as long as it is taken, with @end says that this was all; then what is said to it, or None."""
    try:
        sock = connect(address, 60)
    except OSError:
        return None
    try:
        if linger:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        try:
            for piece in data if not isinstance(data, bytes) else [data]:
                sock.sendall(piece)
            if end:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = b''
        while wait and len(got) < MB:
            try:
                more = sock.recv(65536)
            except OSError:
                break
            if not more:
                break
            got += more
        return got
    finally:
        sock.close()


def statuses(said):
    return [int(s) for s in re.findall(rb'HTTP/1\.[01] (\d{3}) ', said or b'')]


def head(address, path, *more, method='GET', host=None):
    lines = ['%s %s HTTP/1.1' % (method, path), 'Host: ' + (host or host_of(address)), *more]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')


def too_much(address):
    """Each is refused, or the connection closed; what is taken in of it is small. (about, data)"""
    top = head(address, BASE + 'heap', 'Connection: close')[:-2]
    return [
        ('a header of 16 MB', [top, b'X-Big: '] + [b'a' * MB] * 16 + [b'\r\n\r\n']),
        ('100,000 headers', [top] + [b''.join(b'X-%d: y\r\n' % i for i in range(j, j + 1000)) for j in range(0, 100000, 1000)] + [b'\r\n']),
        ('a path of 16 MB', [b'GET /debug/pprof/'] + [b'a' * MB] * 16 + [b' HTTP/1.1\r\nHost: x\r\n\r\n']),
        ('16 MB of no line', [b'\0' * MB] * 16),
        ('a body of 64 MB', [head(address, BASE + 'symbol', 'Content-Length: %d' % (64 * MB), 'Connection: close', method='POST')]
         + [b'0x1+' * (MB // 4)] * 64),
        ('a body that says it has 2^63', [head(address, BASE + 'symbol', 'Content-Length: 9223372036854775807', 'Connection: close',
                                               method='POST')] + [b'0x1+' * (MB // 4)] * 16),
        ('a body of pieces without end', [head(address, BASE + 'symbol', 'Transfer-Encoding: chunked', 'Connection: close', method='POST')]
         + [b'100000\r\n' + b'0x1+' * (MB // 4) + b'\r\n'] * 64),
    ]


def nonsense(address):
    """No request, or one that is two: an error, or the connection closed."""
    chance = random.Random(seed)
    post = lambda *more: head(address, BASE + 'symbol', 'Connection: close', *more, method='POST')
    return [
        ('a length below 0', post('Content-Length: -1')), ('no number as length', post('Content-Length: x')),
        ('two lengths', post('Content-Length: 3', 'Content-Length: 4') + b'0x1+'),
        ('a piece of no length', post('Transfer-Encoding: chunked') + b'zz\r\n0x1\r\n0\r\n\r\n'),
        ('a piece too long', post('Transfer-Encoding: chunked') + b'ffffffffffffffffffff\r\n0x1\r\n0\r\n\r\n'),
        ('TLS', bytes.fromhex('16030100f5010000f10303') + b'\x01' * 240), ('HTTP/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        ('no version', b'GET /debug/pprof/ HTTP\r\n\r\n'),
    ] + [('%d bytes by chance (SEED=%d)' % (n, seed), chance.randbytes(n) + b'\r\n\r\n') for n in (1, 10, 100, 1000, 10000)]


class Rude(threading.Thread):
    """Those that go in the middle: of a request, of a window, of an answer."""

    def __init__(self, address, stop, number):
        super().__init__()
        self.address, self.stop = address, stop
        self.chance = random.Random(seed + number)
        self.count = 0

    def run(self):
        a = self.address
        ways = [
            lambda: say(a, head(a, BASE + 'profile?seconds=600'), wait=False),
            lambda: say(a, head(a, BASE + 'profile?seconds=600'), wait=False, linger=True),
            lambda: say(a, head(a, BASE + 'heap?seconds=600'), wait=False, linger=True),
            lambda: say(a, head(a, BASE + 'trace?seconds=600'), wait=False),
            lambda: say(a, head(a, BASE + 'trace?seconds=600'), wait=False, linger=True),
            lambda: say(a, head(a, BASE + 'heap') * 50, wait=False, linger=True),
            lambda: say(a, head(a, BASE + 'goroutine?debug=2'), wait=False),
            lambda: say(a, head(a, BASE + 'symbol', 'Content-Length: 1000', method='POST') + b'0x1+', wait=False),
            lambda: say(a, head(a, BASE + 'symbol', 'Content-Length: 1000', 'Expect: 100-continue', method='POST'), wait=False),
            lambda: say(a, b'GET ', wait=False, linger=True),
            lambda: say(a, b'', wait=False),
        ]
        while not self.stop.is_set():
            self.chance.choice(ways)()
            self.count += 1
            time.sleep(self.chance.uniform(0, 0.1))


def storm(server, about, seconds):
    """All of them at once, and how much of its own the host has done meanwhile."""
    stop = threading.Event()
    scrapers = [Scraper(server.address, stop, i) for i in range(SCRAPERS)]
    slow = Slow(server.address, stop)
    rude = [Rude(server.address, stop, i) for i in range(4)]
    # those with much to say come one by one
    much = threading.Thread(target=lambda: [say(server.address, d, end=True) for _, d in too_much(server.address) if not stop.is_set()])
    before, begun = server.done(), time.monotonic()
    everybody = [slow, *rude, *scrapers, much]
    for thread in everybody:
        thread.start()
    time.sleep(seconds)
    after, ended = server.done(), time.monotonic()
    stop.set()
    for thread in everybody:
        thread.join()
    wrong = [w for s in scrapers for w in s.wrong]
    tap.ok(not wrong, about + ': who asks properly is answered properly: %d' % sum(s.good for s in scrapers), wrong[:5])
    tap.ok(all(s.good >= LEAST_ROUNDS for s in scrapers), about + ': and everybody is', sorted(s.good for s in scrapers)[:10])
    tap.ok(slow.failure is None and slow.opened >= SLOW, about + ': %d slow ones' % slow.opened, slow.failure)
    tap.note('%s: answered %d, told to come later %d, hung up on %d; %d slow, %d of them refused; %d rude' % (
        about, sum(s.good for s in scrapers), sum(s.later for s in scrapers), sum(s.dropped for s in scrapers), slow.opened,
        slow.refused, sum(r.count for r in rude)))
    return speed(before, after, ended - begun)


def speed(before, after, seconds):
    """Rounds of the host each second, and each second of its CPU time."""
    rounds, cpu_s = after[0] - before[0], (after[1] - before[1]) / 1e9
    return rounds / seconds, rounds / cpu_s if cpu_s else 0


def settled(server, before):
    """As many threads and files as before, on all processes that have to do with it; else what is left."""
    now = {}
    kinds = ('fds',) if server.name == 'Go' else ('fds', 'threads')  # Go's threads stay

    def as_before():
        now.update({pid: usage(pid) for pid in server.pids})
        return all(now[pid][k] <= before[pid][k] for pid in server.pids for k in kinds)

    # a window of a client that is gone, and a connection on which nothing comes, end in their time
    return wait_for(as_before, 180), now


def one_by_one(server, about):
    a = server.address
    for what, data in too_much(a) + nonsense(a):
        said = say(a, data, end=True)
        got = statuses(said)
        # of a body that cannot be read the answer may say so; Go takes one of any length
        is_fine = all(400 <= s < 600 for s in got) or b'\nreading request: ' in said or (server.name == 'Go' and 'MB' in what)
        tap.ok(is_fine, '%s: %s is refused: %s' % (about, what, got or 'closed'), repr(said[:300]))
    # libmicrohttpd ends a path at a NUL: asked for is what stands before it
    got = statuses(say(a, b'GET %scmdline\0/../heap HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' % (BASE.encode(), host_of(a).encode())))
    tap.ok(got in ([200], [400]), '%s: a path with a NUL: %r' % (about, got))
    many = say(a, head(a, BASE + 'cmdline') * 99 + head(a, BASE + 'cmdline', 'Connection: close'))
    tap.equal(statuses(many), [200] * 100, about + ': a hundred on one connection, at once')
    if server.name != 'Go' and not isinstance(a, str):
        for host in ('evil.example', 'evil.example:%d' % a, '127.0.0.1.evil.example', 'localhost.evil.example:%d' % a, '127.0.0.2:%d' % a,
                     '[::ffff:10.0.0.1]:%d' % a, 'cprof@evil.example', '0:%d' % a):
            said = say(a, head(a, BASE + 'heap', 'Connection: close', host=host))
            tap.equal(statuses(said), [403], '%s: of a host that we are not: %s' % (about, host))
        for host in ('127.0.0.1:%d' % a, 'localhost:%d' % a, 'LOCALHOST:%d' % a, 'localhost', '127.0.0.1', '[::1]:%d' % a):
            said = say(a, head(a, BASE + 'heap', 'Connection: close', host=host))
            tap.equal(statuses(said), [200], '%s: of a host that we are: %s' % (about, host))


def held(server, about, seconds):
    every = [ask(server.address, p) for p in PATHS]
    tap.ok(all(a.status == (404 if p.endswith('nothing') else 200) for a, p in zip(every, PATHS)), about + ': answers', [a.show() for a in every])
    one_by_one(server, about)
    # what is set up once for many is there after the first storm
    idle = usage_of(server)
    begun, t = server.done(), time.monotonic()
    time.sleep(5)
    alone = speed(begun, server.done(), time.monotonic() - t)
    first = storm(server, about + ', first storm', seconds)
    ok, after = settled(server, idle)
    tap.ok(ok, about + ': no thread and no file is left of it', 'before %r, after %r' % (idle, after))
    usages = [after]
    # an allocator keeps what most of it took at once, which may be a later storm's; a leak is there after each of them
    while len(usages) < 2 or (grown(usages) and len(usages) < MOST_STORMS):
        last = storm(server, '%s, storm %d' % (about, len(usages) + 1), seconds)
        ok, after = settled(server, idle)
        tap.ok(ok, '%s: nor of storm %d' % (about, len(usages) + 1), 'before %r, after %r' % (idle, after))
        usages.append(after)
    tap.ok(not grown(usages), about + ': nor memory', 'before %r, after each storm %r' % (idle, usages))
    tap.note('%s: idle %r, after storms %r' % (about, idle, usages))
    if alone[0]:
        tap.note('%s: the host: %.0f rounds a second alone, %.0f and %.0f in storms; of a second of its CPU time %.0f, %.0f, %.0f' % (
            about, alone[0], first[0], last[0], alone[1], first[1], last[1]))
    every = [ask(server.address, p) for p in PATHS]
    wrong = [a.show() for a, p in zip(every, PATHS) if a.status != (404 if p.endswith('nothing') else 200) or
             (a.header('Content-Type') == 'application/octet-stream' and problems(a.body))]
    tap.ok(not wrong, about + ': answers as before', wrong)


def grown(usages):
    """Whether the last storm has left more memory than the one before it."""
    before, after = usages[-2:]
    return any(after[p]['anon_kb'] - before[p]['anon_kb'] >= LEAK_KB for p in after)


def usage_of(server):
    return {pid: usage(pid) for pid in server.pids}


def oracle():
    if not os.path.exists(GO):
        tap.skip('Go', 'no Go here')
        return
    with Go() as go:
        held(go, 'Go', STORM)


def ours(listen, about):
    box = Box()
    try:
        with Ours(box, listen=listen) as server:
            held(server, about, SECONDS)
            said = server.said()
        tap.equal(server.process.returncode, 0, about + ': it ends well')
        tap.equal(said, '', about + ': and has said nothing')
    finally:
        box.close()


def launched():
    ours(None, 'cprof run')


def in_process():
    ours('unix', 'http=unix')


def by_port():
    ours('tcp', 'http=tcp')


def basic(user, password):
    return 'Basic ' + base64.b64encode(('%s:%s' % (user, password)).encode()).decode()


def token():
    """Who has it is let in, by either way of HTTP; nobody else, whatever is asked for."""
    box, word = Box(), 'a-word-that-is-long-enough'
    path = os.path.join(box.root, 'token')
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
        f.write(word + '\n')
    with Ours(box, listen='tcp?token=' + path) as server:
        bad = [None, '', 'Bearer', 'Bearer ', 'Bearer x', 'Bearer ' + word[:-1], 'Bearer ' + word + 'x', 'Bearer ' + word.upper(),
               'Bearer ' + word * 2, 'Bearer ' + 'x' * 4000, 'Basic', 'Basic !', 'Basic ' + 'QUJD' * 1000, basic(word, ''), basic('', 'x'),
               basic('', word + 'x'), basic(word, 'x' + word), 'Token ' + word, word]
        for value in bad:
            for path in ('heap', 'profile?seconds=600', '', 'nothing'):
                a = ask(server.address, BASE + path, headers={'Authorization': value})
                tap.ok(a.status == 401 and a.header('WWW-Authenticate') and word not in a.text, 'token: %r: not %s' % ((value or '')[:40], path),
                       a.show())
        for value in ('Bearer ' + word, 'bearer ' + word, basic('', word), basic('anybody', word)):
            a = ask(server.address, BASE + 'heap', headers={'Authorization': value})
            tap.ok(a.status == 200 and not problems(a.body), 'token: let in by ' + value, a.show())
        if shutil.which('go') is not None:
            status, out, err = pprof('-top', 'http://me:%s@127.0.0.1:%d%sheap' % (word, server.address, BASE))
            tap.ok(status == 0, 'token: go tool pprof has it as password', err)
    tap.equal((server.process.returncode, server.said()), (0, ''), 'token: it ends well')
    box.close()


def refused():
    """Where others can reach it, and where nothing can be: said why, and the program runs as without."""
    box = Box()
    secret, open_one = os.path.join(box.root, 'secret'), os.path.join(box.root, 'open')
    for path, mode in ((secret, 0o600), (open_one, 0o644)):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), 'w') as f:
            f.write('a-word-that-is-long-enough\n')
    port, file = free_port(), os.path.join(box.root, 'file')
    with open(file, 'w') as f:
        f.write('mine')
    os.symlink(file, os.path.join(box.root, 'link'))
    for where in ('0.0.0.0:%d' % port, '[::]:%d' % port, ':%d' % port, '10.1.2.3:%d' % port, '0.0.0.0:%d?token=%s' % (port, secret),
                  '127.0.0.1:%d?token=%s' % (port, open_one), '127.0.0.1:%d?token=/nonexistent' % port, '127.0.0.1:x', '127.0.0.1:65536',
                  'example.com:%d' % port, 'unix:', 'unix:' + 'x' * 200, 'unix:' + file, 'unix:%s/link' % box.root, 'unix:/nonexistent/a'):
        env = {'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu,http=' + where}
        r = box.plain('/bin/sh', '-c', 'echo done', env=env)
        said = [l for l in r.err.splitlines() if l.startswith('cprof: ')]
        tap.ok(r.status == 0 and r.out == 'done\n' and said and len(said) == len(r.err.splitlines()), 'http=%s is refused: %s' % (
            where[:60], said[:1]), r.show())
    with open(file) as f:
        tap.equal(f.read(), 'mine', 'the file that lies there is as it was')
    box.close()


tap.run(oracle, launched, in_process, by_port, token, refused)
