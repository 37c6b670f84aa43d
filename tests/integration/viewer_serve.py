#!/usr/bin/env python3
"""The server of cprof-trace FILE timeline, by a client of its own on plain sockets: who is let in, what is refused, what bad clients
do to others, and whether every answer is what the commands and the spans themselves say: docs/viewer-api.md."""

import gzip
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

import cprof
import tap
from cprof import Box

BUILD = os.path.abspath(sys.argv[1])
TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
SECONDS = 60  # for what hangs
STATES = ['running', 'runnable', 'lock', 'wait', 'syscall', 'idle', 'spin', 'unknown']

root = tempfile.mkdtemp(prefix='cprof-serve-test.')
seed = int(os.environ.get('SEED', random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


def made(name, *what):
    path = os.path.join(root, name)
    subprocess.run([MAKE, *what, path], check=True)
    return path


def environment(more=None):
    env = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY', 'SSH_CONNECTION', 'LD_PRELOAD')}
    env.update(XDG_CACHE_HOME=os.path.join(root, 'cache'), TMPDIR=root)
    env.update(more or {})
    return env


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def read_answer(sock, head=False):
    """The next one on a connection, or None when it was closed before one was whole."""
    data = b''
    try:
        while b'\r\n\r\n' not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        top, body = data.split(b'\r\n\r\n', 1)
        lines = top.decode('latin-1').split('\r\n')
        headers = {k.lower(): v.strip() for k, _, v in (l.partition(':') for l in lines[1:])}
        wanted = 0 if head else int(headers.get('content-length', 0))
        while len(body) < wanted:
            more = sock.recv(65536)
            if not more:
                return None
            body += more
        return Answer(int(lines[0].split()[1]), headers, body)
    except ConnectionError:
        return None


class Server:
    def __init__(self, trace, *args, env=None):
        self.process = subprocess.Popen([TRACE, trace, 'timeline', '--no-open', '--port', '0', *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment(env))
        self.url = self.process.stdout.readline().decode().rstrip('\n')
        parts = urllib.parse.urlsplit(self.url)
        self.port, self.base = parts.port, parts.path
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.process.stdout.closed:
            self.end()

    def end(self, by=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.said = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode

    def connect(self, family=socket.AF_INET):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(SECONDS)
        sock.connect(('::1' if family == socket.AF_INET6 else '127.0.0.1', self.port))
        return sock

    def raw(self, data, head=False):
        with self.connect() as sock:
            try:
                sock.sendall(data)
            except ConnectionError:
                pass
            return read_answer(sock, head)

    def request(self, path, method='GET', host=None, headers=(), absolute=False):
        lines = ['%s %s HTTP/1.1' % (method, path if absolute else self.base + path)]
        if host is not False:
            lines.append('Host: ' + (host if host is not None else '127.0.0.1:%d' % self.port))
        lines += ['Connection: close', *headers]
        return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')

    def get(self, path, **how):
        return self.raw(self.request(path, **how), head=how.get('method') == 'HEAD')

    def api(self, path, **parameters):
        text = 'api/v1/' + path
        if parameters:
            text += '?' + urllib.parse.urlencode({k.replace('_', '-'): v for k, v in parameters.items()})
        return self.get(text)

    def children(self):
        with open('/proc/%d/task/%d/children' % (self.pid, self.pid)) as file:
            return [int(pid) for pid in file.read().split()]

    def rss_kb(self):
        with open('/proc/%d/status' % self.pid) as file:
            return int(re.search(r'^VmRSS:\s+(\d+)', file.read(), re.MULTILINE).group(1))

    def wait_ready(self):
        return until(lambda: self.api('progress').json['state'] == 'ready')


def until(condition):
    """Whether it becomes true."""
    for _ in range(SECONDS * 200):
        result = condition()
        if result:
            return result
        time.sleep(0.005)
    return False


def is_alive(server):
    answer = server.get('api/v1/meta')
    return server.process.poll() is None and answer is not None and answer.status == 200


sample = made('trace.out', 'timeline')
big = made('big.out', 'big', '2000000', '8')


# ---- who is let in ----

def doors():
    with Server(sample) as s:
        tap.ok(re.fullmatch(r'http://127\.0\.0\.1:\d+/[0-9a-f]{32}/', s.url), 'the URL is a line of its own', s.url)
        token = s.base.strip('/')
        for host in ('localhost', '127.0.0.1', '[::1]', 'LocalHost:%d' % s.port, '127.0.0.1:%d' % s.port, '[::1]:%d' % s.port):
            tap.equal(s.get('', host=host).status, 200, 'Host: ' + host)
        for host in ('example.com', 'localhost.example.com', '127.0.0.1.example.com', 'localhost:%d' % (s.port ^ 1), 'localhost:',
                     'localhost:%d0' % s.port, '127.0.0.2', '0.0.0.0', '[::1', '', 'localhost, example.com', 'xlocalhost'):
            for path in ('', 'api/v1/meta', 'api/v1/table/threads'):
                answer = s.get(path, host=host)
                tap.ok(answer is not None and answer.status in (400, 403) and b'trace' not in answer.body,
                       'Host: %s: not for %s' % (host, path or 'the page'), answer and (answer.status, answer.body))
        answer = s.raw(('GET %sapi/v1/meta HTTP/1.0\r\n\r\n' % s.base).encode())
        tap.ok(answer is None or answer.status in (400, 403), 'no Host at all')
        for path in ('/', '/api/v1/meta', '/' + token, '/' + token[:-1] + '/api/v1/meta', '/' + token + 'a/api/v1/meta',
                     '/' + '0' * 32 + '/api/v1/meta', '/' + token.upper() + 'A/', '//' + token + '/', '*', '/favicon.ico'):
            answer = s.get(path, absolute=True)
            tap.ok(answer is None or answer.status in (400, 404), 'without the token: %s' % path.replace(token, 'TOKEN'))
        with Server(sample) as other:
            tap.ok(other.base != s.base, 'each has a token of its own')
            tap.equal(s.get(other.base, absolute=True).status, 404, 'which does not open the other')
        try:
            with s.connect(socket.AF_INET6) as sock:
                sock.sendall(s.request('api/v1/meta'))
                tap.equal(read_answer(sock).status, 200, '::1 answers, too')
        except OSError:
            tap.skip('::1 answers, too', 'there is no IPv6 here')
        tap.ok(is_alive(s), 'it goes on')


def methods():
    with Server(sample) as s:
        for path in ('', 'api/v1/meta', 'api/v1/table/threads'):
            got, head = s.get(path), s.get(path, method='HEAD')
            same = ('content-type', 'content-length', 'cache-control', 'content-security-policy')
            tap.ok(head.status == 200 and head.body == b'' and all(head.headers.get(k) == got.headers.get(k) for k in same),
                   'HEAD: %s' % path, (head.headers, got.headers))
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'FOO'):
            answer = s.get('api/v1/meta', method=method)
            tap.ok(answer.status == 405 and answer.headers.get('allow') == 'GET, HEAD', method, answer.status)
        answer = s.raw(s.request('api/v1/meta', headers=['Content-Length: 5']) + b'12345')
        tap.ok(answer is None or answer.status >= 400, 'a body is for nobody')
        for path, how in (('', {}), ('nothing', {}), ('api/v1/meta', {}), ('api/v1/nothing', {}), ('', {'host': 'example.com'}),
                          ('', {'method': 'POST'}), ('api/v1/table/threads', {})):
            headers = s.get(path, **how).headers
            policy = headers.get('content-security-policy', '')
            tap.ok("default-src 'none'" in policy and 'unsafe' not in policy and '*' not in policy and
                   headers.get('x-content-type-options') == 'nosniff' and headers.get('referrer-policy') == 'no-referrer' and
                   not any(k.startswith('access-control') for k in headers), 'its headers: %s %r' % (path, how), headers)


def assets():
    outside = os.path.join(root, 'outside.html')
    with open(outside, 'w') as file:
        file.write('outside')
    web = os.path.join(root, 'web')
    os.mkdir(web)
    with open(os.path.join(web, 'index.html'), 'w') as file:
        file.write('from the directory')
    with open(os.path.join(web, 'secret.txt'), 'w') as file:
        file.write('outside')
    os.symlink(outside, os.path.join(web, 'link.html'))
    with Server(sample) as s, Server(sample, env={'CPROF_TRACE_WEB_DIR': web}) as from_directory:
        plain, packed = s.get(''), s.get('', headers=['Accept-Encoding: br, gzip'])
        tap.ok(plain.status == 200 and plain.headers['content-type'] == 'text/html; charset=utf-8' and b'<' in plain.body,
               'the page is there')
        tap.ok('content-encoding' not in plain.headers and packed.headers.get('content-encoding') == 'gzip' and
               gzip.decompress(packed.body) == plain.body, 'packed for who can unpack it')
        tap.ok(s.get('index.html').body == plain.body and s.get('main.js').status == 404 and b'src=' not in plain.body, 'in one piece')
        nonce = re.search(rb'<script nonce="(\w{32})">', plain.body).group(1).decode()
        policy = plain.headers['content-security-policy']
        tap.ok(policy.count("'nonce-%s'" % nonce) == 2 and "script-src 'self'" not in policy and 'unsafe' not in policy,
               'nothing else may run', policy)
        tap.ok(nonce not in s.api('meta').body.decode(), 'and nobody is told its name')
        s.wait_ready()
        given = json.loads(re.search(rb'<script type="application/json" id="given">([^<]*)</script>', s.get('').body).group(1))
        tap.equal(given, {'meta': s.api('meta').json, 'tracks?limit=10000': s.api('tracks', limit=10000).json,
                          'columns': s.api('columns').json}, 'what the page asks first stands in it')
        tap.equal(from_directory.get('').body, b'from the directory', 'or from a directory')
        for server in (s, from_directory):
            for path in ('../outside.html', '..%2foutside.html', '%2e%2e/outside.html', '/etc/passwd', './/etc/passwd',
                         '....//outside.html', 'link.html', 'secret.txt', '.hidden', 'index.html%00.js', 'index.html/', '\\..\\x',
                         'api/v1/../../index.html', 'api/v1/%2e%2e/meta', 'api/v1/stack/../../etc/passwd', 'api/v1/profile/..%2fx',
                         'api/v1/export/--help', 'api/v1/export/csv%20-o%20x', 'x' * 5000):
                answer = server.get(path)
                tap.ok(answer is not None and answer.status in (400, 404) and b'outside' not in answer.body and
                       b'root:' not in answer.body, 'not to be had: ' + path[:40], answer and answer.status)
            tap.ok(is_alive(server), 'it goes on')


# ---- what is refused ----

def refused():
    with Server(sample) as s:
        s.wait_ready()
        track = s.api('tracks').json['tracks'][0]['track']
        most = str((1 << 64) - 1)
        for path, wanted in (('meta?x=1', 400), ('tracks?limit=0', 400), ('tracks?limit=-1', 400), ('tracks?limit=1&limit=1', 400),
                             ('tracks?limit=' + '9' * 400, 400), ('tracks?limit=%zz', 400), ('tracks?limit=%00', 400),
                             ('tracks?limit=1e3', 400), ('tracks?limit=', 400), ('tracks?%=1', 400), ('tracks?=1', 400),
                             ('tracks?limit%20cursor=1', 400), ('tracks?cursor=4294967295', 200), ('tracks?&&', 200),
                             ('tile/1', 400), ('tile/1/2', 400), ('tile/%d/41/0' % track, 400), ('tile/%d/0/%s' % (track, most), 400),
                             ('tile/%d/40/16' % track, 200), ('tile/%d/40/17' % track, 400), ('tile/%d/0/8796093022207' % track, 200), ('tile/99999/0/0', 404),
                             ('tile/%d/1/2/3' % track, 400), ('tiles', 400), ('tiles?list=,', 400), ('tiles?list=1.2', 400),
                             ('tiles?list=' + ','.join(['%d.20.0' % track] * 129), 400),
                             ('tiles?list=' + ','.join(['%d.20.0' % track] * 128), 200),
                             ('spans?from=0&to=1', 400), ('spans?tracks=%d&from=2&to=1' % track, 400),
                             ('spans?tracks=%d&from=0&to=%s' % (track, most), 400), ('spans?tracks=%d,x' % track, 400),
                             ('spans?tracks=99999', 404), ('spans?tracks=%d&max=5000' % track, 400), ('sums?tracks=1,,', 400),
                             ('span/1', 404), ('span/x.y', 404), ('span/99999.0', 404), ('span/%d.%s' % (track, most), 404),
                             ('stack/0', 404), ('stack/x', 404), ('stack/99999999', 404), ('edges?max=0', 400),
                             ('edges?tracks=99999', 404), ('columns?columns=0', 400), ('columns?columns=2001', 400),
                             ('names', 400), ('names?q=', 400), ('names?q=a&kind=x', 400), ('find?q=a&direction=x', 400),
                             ('find', 400), ('table', 404), ('table/', 404), ('table/nothing', 404), ('table/threads/', 404),
                             ('table/threads?o=1', 400), ('table/threads?output=x', 400), ('table/threads?from=1s', 400),
                             ('table/threads?sort=nothing', 400), ('table/threads?reverse=2', 400),
                             ('table/events?limit=0', 400), ('table/events?limit=10001', 400), ('table/chain?at=@x', 400),
                             ('lanes', 400), ('lanes?tracks=99999', 404), ('lanes?tracks=%d&columns=1001' % track, 400),
                             ('lanes?tracks=' + ','.join(['%d' % track] * 33), 400), ('rare', 400), ('rare?tracks=%d&columns=0' % track, 400),
                             ('contended?max=0', 400), ('contended?max=65', 400), ('lock/0', 404), ('lock/x', 404), ('lock/99999999', 404),
                             ('lock/1?x=1', 400), ('file/0', 404), ('file/' + most, 404), ('task/x', 404), ('task/' + most, 200),
                             ('task/1%s' % most, 404), ('histogram', 400), ('histogram?call=read&lock=1', 400), ('histogram?call=nothing', 404),
                             ('histogram?call=', 404), ('histogram?lock=0', 400), ('histogram?lock=99999999', 404),
                             ('source', 404), ('source?stack=99999999', 404), ('source?stack=1&frame=99999', 404),
                             ('source?stack=1&around=101', 400), ('source?file=/etc/passwd', 400), ('profile/nothing', 400), ('export/nothing', 400), ('profile', 404)):
            answer = s.get('api/v1/' + path)
            good = answer is not None and answer.status == wanted
            if good and wanted >= 400:
                good = answer.json['error'] != '' and 'cprof-trace:' not in answer.json['error'] and \
                    answer.headers['cache-control'] == 'no-store'
            tap.ok(good, '%d: %s' % (wanted, path[:60]), answer and (answer.status, answer.body[:300]))
        answer = s.api('table/threads', sort='nothing').json['error']
        tap.ok('life_ns' in answer and 'null' not in answer, 'a column that is not there: which there are', answer)
        for what, data in (('a long URL', s.request('api/v1/names?q=' + 'a' * 20000)),
                           ('a very long URL', s.request('api/v1/names?q=' + 'a' * 2000000)),
                           ('many parameters', s.request('api/v1/meta?' + '&'.join('k%d=1' % i for i in range(3000)))),
                           ('a long header', s.request('api/v1/meta', headers=['X: ' + 'a' * 100000])),
                           ('many headers', s.request('api/v1/meta', headers=['X%d: 1' % i for i in range(20000)])),
                           ('no request at all', b'\0\1\2\3' * 1000 + b'\r\n\r\n'),
                           ('a line that does not end', b'GET ' + b'/' * 300000),
                           ('a bad version', ('GET %s HTTP/9.9\r\nHost: localhost\r\n\r\n' % s.base).encode())):
            with s.connect() as sock:
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                answer = read_answer(sock)
            tap.ok(answer is None or answer.status >= 400, what, answer and answer.status)
        for _ in range(300):
            junk = bytes(chance.choice(b'/?&=%.,0123456789abcdeftracksilemnp-\xff ') for _ in range(chance.randrange(60)))
            s.raw(b'GET ' + s.base.encode() + b'api/v1/' + chance.choice([b'tile/', b'tiles?list=', b'spans?', b'tracks?', b'']) +
                  junk + b' HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
        tap.ok(is_alive(s), 'it goes on after 300 requests by chance')


# ---- bad clients, and many ----

def crowd():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with Server(sample) as s:
        s.wait_ready()
        waiting = {}
        for _ in range(1000):
            sock = s.connect()
            sock.sendall(s.request('api/v1/tracks'))
            waiting[sock.fileno()] = sock
        wanted, right = s.get('api/v1/tracks').body, 0
        for sock in waiting.values():
            answer = read_answer(sock)
            right += answer is not None and answer.status == 200 and answer.body == wanted
            sock.close()
        tap.equal(right, 1000, 'a thousand at a time are all answered')
        with s.connect() as sock:
            one = s.request('api/v1/meta').replace(b'Connection: close\r\n', b'')
            answers = []
            for _ in range(50):
                sock.sendall(one)
                answers.append(read_answer(sock))
            tap.ok(all(a is not None and a.status == 200 for a in answers), 'one after another on one connection')


def sources():
    """Lines of a program's source: where it says, or beneath the directory that was named, and nowhere else."""
    out, elsewhere = os.path.join(root, 'planted'), os.path.join(root, 'elsewhere')
    os.makedirs(elsewhere)
    subprocess.run([os.path.join(BUILD, 'cli', 'cprof'), 'run', '-p', 'trace', '-o', out, '--', os.path.join(BUILD, 'tests', 'programs', 'planted'), 'wake'],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    name = 'planted_time.c'
    with open(os.path.join(elsewhere, name), 'w') as file:
        file.write(''.join('other line %d\n' % n for n in range(1, 400)))
    os.symlink('/etc/passwd', os.path.join(elsewhere, 'planted.c'))
    trace = os.path.join(out, 'trace.out')
    for args, word in (((), 'ring_bell'), (('--source-root', elsewhere), 'other line')):
        with Server(trace, *args) as s:
            s.wait_ready()
            found, refused = None, None
            for stack in range(1, 40):
                answer = s.api('stack/%d' % stack)
                for n, frame in enumerate(answer.json.get('frames', []) if answer.status == 200 else []):
                    if str(frame.get('file', '')).endswith(name) and frame.get('function') == 'ring_bell':
                        found = s.api('source?stack=%d&frame=%d&around=20' % (stack, n))
                    elif str(frame.get('file', '')).endswith('planted.c'):
                        refused = s.api('source?stack=%d&frame=%d' % (stack, n))
            tap.ok(found is not None and found.status == 200 and word in found.body.decode(), 'source lines: %s' % ' '.join(args), found and found.body[:300])
            if args:
                tap.ok(refused is not None and refused.status == 404 and b'root:' not in refused.body, 'a link that leads out of there is none', refused and refused.body[:200])


def slow():
    with Server(sample) as s:
        s.wait_ready()
        request = s.request('api/v1/meta')
        silent = [s.connect() for _ in range(20)]
        halves = [s.connect() for _ in range(20)]
        for sock in halves:
            sock.sendall(request[:40])
        # one that always has a little more to say
        dripping = s.connect()
        dripping.setblocking(False)
        tap.ok(is_alive(s), 'others are answered meanwhile')
        open_still, sent = set(silent + halves + [dripping]), 0
        ends = time.monotonic() + SECONDS
        while open_still and time.monotonic() < ends:
            if dripping in open_still:
                try:
                    dripping.send(request[sent:sent + 1] if sent < 30 else b'X')
                    sent += 1
                except OSError:
                    open_still.discard(dripping)
            for sock in select.select(list(open_still), [], [], 0.3)[0]:
                try:
                    if not sock.recv(1000):
                        open_still.discard(sock)
                except OSError:
                    open_still.discard(sock)
        tap.equal(len(open_still), 0, 'who does not come to the point is let go')
        for sock in silent + halves + [dripping]:
            sock.close()
        # and some who ask and ask, and read nothing
        deaf = [s.connect() for _ in range(5)]
        track = s.api('tracks').json['tracks'][0]['track']
        tiles = s.request('api/v1/tiles?list=' + ','.join(['%d.10.0' % track] * 100)).replace(b'Connection: close\r\n', b'')
        for sock in deaf:
            sock.setblocking(False)
            try:
                while True:
                    sock.send(tiles)
            except BlockingIOError:
                pass
        tap.ok(is_alive(s), 'others are answered while some do not listen')
        for sock in deaf:
            sock.close()
        tap.ok(is_alive(s), 'and after')


def hostile():
    """A thousand at a time, of whom none means well, and somebody who does."""
    with Server(sample) as s:
        s.wait_ready()
        tracks = [t['track'] for t in s.api('tracks').json['tracks']]
        paths = ['', 'api/v1/meta', 'api/v1/tracks', 'api/v1/sums', 'api/v1/tile/%d/20/0' % tracks[0], 'api/v1/table/threads']
        wanted = [s.get(path).body for path in paths]
        before = s.rss_kb()

        def asks(path, **how):
            return s.request(path, **how).replace(b'Connection: close\r\n', b'')

        tiles = asks('api/v1/tiles?list=' + ','.join(['%d.10.0' % tracks[0]] * 128))
        kinds = [('silent', b'', 250), ('half a request', asks('')[:40], 250), ('another token', asks('/' + '0' * 32 + '/', absolute=True), 80),
                 ('another Host', asks('', host='example.com'), 80), ('a huge parameter', asks('api/v1/tracks?limit=' + '9' * 15000), 80),
                 ('out of the folder', asks('../../../../etc/passwd'), 80), ('who ask and do not listen', tiles * 20, 180)]
        bad = [said for _, said, n in kinds for _ in range(n)]
        chance.shuffle(bad)
        socks, most, threads = [], 0, set()
        for said in bad:
            sock = s.connect()
            sock.setblocking(False)
            try:
                sock.send(said)
            except OSError:
                pass
            socks.append(sock)
            if len(socks) % 50 == 0:
                most = max(most, s.rss_kb())
                threads.add(len(os.listdir('/proc/%d/task' % s.pid)))
        tap.equal(len(socks), 1000, 'a thousand who mean no good')
        good = 0
        for _ in range(5):
            for path, body in zip(paths, wanted):
                answer = s.get(path)
                # the index's progress and the like are the same: nothing changes any more
                good += answer is not None and answer.status == 200 and answer.body == body
                most = max(most, s.rss_kb())
                threads.add(len(os.listdir('/proc/%d/task' % s.pid)))
        tap.equal(good, 5 * len(paths), 'one who means well is answered meanwhile')
        # 64 MiB of answers that nobody takes, what 256 connections have in buffers, and its own
        tap.ok(most - before < 96 << 10, 'with no more memory than that (%d to %d KiB)' % (before, most))
        tap.equal(threads, {1}, 'and no more threads')
        tap.ok(len(os.listdir('/proc/%d/fd' % s.pid)) < 300, 'nor files')
        for sock in socks:
            sock.close()
        tap.ok(is_alive(s), 'and after')


def works():
    with Server(big) as s:
        tap.ok(s.wait_ready(), 'the index is made')
        until(lambda: not s.children())
        tap.equal(s.children(), [], 'nobody is left who made it')
        # two that go through all of the trace, and are held there
        asked, children = [], []
        for i in range(2):
            asked.append(s.connect())
            asked[i].sendall(s.request('api/v1/edges?max=%d' % (i + 1)))
            children += until(lambda: [pid for pid in s.children() if pid not in children])
            os.kill(children[i], signal.SIGSTOP)
        # 16 in line; what is beyond is told so at once
        asked += [s.connect() for _ in range(18)]
        for sock in asked[2:]:
            sock.sendall(s.request('api/v1/table/info'))
        until(lambda: len(select.select(asked[2:], [], [], 0)[0]) >= 2)
        refused = [read_answer(sock) for sock in select.select(asked[2:], [], [], 0)[0]]
        tap.ok(len(refused) == 2 and all(a is not None and a.status == 503 and a.headers.get('retry-after') == '1' for a in refused),
               'too many in line are told to come again', [a and a.status for a in refused])
        tap.equal(sorted(s.children()), sorted(children), 'two at a time')
        track = s.api('tracks').json['tracks'][0]['track']
        tap.equal(s.api('tile/%d/20/0' % track).status, 200, 'tiles do not wait for them')
        for sock in asked:
            sock.close()
        tap.ok(until(lambda: not set(children) & set(s.children())), 'they end when nobody waits for them')
        tap.ok(until(lambda: not s.children()), 'also those in line')
        with s.connect() as sock:
            sock.sendall(s.request('api/v1/edges'))
            child = until(s.children)[0]
            os.kill(child, signal.SIGKILL)
            answer = read_answer(sock)
            tap.ok(answer.status == 500 and answer.json['error'], 'one that dies is an error, no more', (answer.status, answer.body[:300]))
        tap.equal(s.api('table/info').status, 200, 'the next one is answered')
        with s.connect() as sock:
            sock.sendall(s.request('api/v1/edges'))
            child = until(s.children)[0]
            os.kill(child, signal.SIGSTOP)
            tap.equal(s.end(signal.SIGINT), 0, 'Ctrl-C ends it')
            tap.ok(until(lambda: not os.path.exists('/proc/%d' % child)), 'and those that work')


def memory():
    with Server(sample) as s:
        s.wait_ready()
        end = s.api('meta').json['end_ns']
        tracks = [t['track'] for t in s.api('tracks').json['tracks']]
        paths = ['', 'api/v1/meta', 'api/v1/tracks', 'api/v1/nothing', 'api/v1/names?q=a', 'api/v1/sums',
                 'api/v1/spans?tracks=%s' % ','.join(map(str, tracks)), 'api/v1/tile/%d/20/0' % tracks[0], 'api/v1/tracks?x=1',
                 'api/v1/tiles?list=%d.20.0,%d.10.0' % (tracks[0], tracks[-1])]

        def ask(n):
            for i in range(n):
                s.get(paths[i % len(paths)])
            for i in range(n // 50):
                s.api('table/threads', to=end - i)

        ask(1000)
        before = s.rss_kb()
        ask(4000)
        after = s.rss_kb()
        tap.ok(after - before < 4096, 'its memory does not grow with what it is asked (%d to %d KiB)' % (before, after))


# ---- while there is no index ----

def early():
    with Server(big, env={'XDG_CACHE_HOME': os.path.join(root, 'cache-early')}) as s:
        child = s.children()[0]
        os.kill(child, signal.SIGSTOP)
        meta = s.api('meta').json
        tap.ok(meta['index']['state'] == 'making' and 0 <= meta['index']['done'] < 1, 'the index is being made', meta['index'])
        tracks = s.api('tracks')
        tap.ok(not tracks.json['is_exact'] and len(tracks.json['tracks']) == 8 and
               all(t['intervals'] is None for t in tracks.json['tracks']) and tracks.headers['cache-control'] == 'no-store',
               'threads are there')
        track = tracks.json['tracks'][0]
        level = 22
        answer = s.api('tile/%d/%d/%d' % (track['track'], level, (meta['origin'] + track['begin_ns']) >> (level + 9)))
        version, flags, shares = answer.body[0], answer.body[1], answer.body[32:]
        sums = [sum(shares[i:i + 8]) for i in range(0, len(shares), 8)]
        tap.ok(version == 1 and flags == 1 and set(sums) <= {0, 255} and 255 in sums and
               answer.headers['cache-control'] == 'no-store', 'a tile says that it is an estimate', (version, flags, set(sums)))
        for path in ('spans?tracks=%d' % track['track'], 'sums', 'span/%d.0' % track['track']):
            answer = s.get('api/v1/' + path)
            tap.ok(answer.status == 503 and answer.json['index'] == 'making' and answer.headers.get('retry-after') == '1',
                   'has to wait: ' + path, (answer.status, answer.body))
        tap.ok(not s.api('columns', columns=10).json['is_exact'], 'columns are an estimate')
        os.kill(child, signal.SIGCONT)
        tap.ok(s.wait_ready(), 'then it is there')
        tap.equal(s.api('sums').status, 200, 'and is asked')
        threads = {t['track']: t for t in s.api('tracks').json['tracks']}
        tap.ok(len(threads) == 8 and s.api('tracks').json['is_exact'], 'the same threads are there, exactly')
    with Server(big, env={'XDG_CACHE_HOME': os.path.join(root, 'cache-late')}) as s:
        os.kill(s.children()[0], signal.SIGKILL)
        tap.ok(until(lambda: s.api('meta').json['index']['state'] == 'failed') and s.api('meta').json['index']['error'],
               'one that cannot be made is said to be')
        tap.equal((s.api('sums').status, s.api('table/info').status), (500, 200), 'and the rest goes on')
    with Server(sample, env={'XDG_CACHE_HOME': '/proc/nothing'}) as s:
        tap.ok(s.wait_ready() and s.api('sums').status == 200, 'where nothing can be kept, it is there all the same')


# ---- what is answered ----

def printed(trace, name, parameters):
    flags = ('reverse', 'include-idle', 'order', 'chains', 'causes', 'intervals', 'stacks', 'errors')
    words = []
    for key, value in parameters.items():
        words.append('--' + key if key in flags else '--%s=%s%s' % (key, value, 'ns' if key in ('from', 'to', 'at') else ''))
    return subprocess.run([TRACE, trace, name, '--json', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment())


def tables():
    choices = {
        'threads': {'sort': ['life_ns', 'name'], 'limit': ['0', '2'], 'group': ['name', 'none'], 'reverse': ['1']},
        'syscalls': {'by': ['number', 'file', 'thread', 'stack'], 'limit': ['3'], 'include-idle': ['1'], 'min': ['1us']},
        'locks': {'by': ['lock', 'holder'], 'include-idle': ['1'], 'sort': ['total_ns']},
        'blocked': {'by': ['waiter', 'holder'], 'limit': ['5'], 'min': ['10us']},
        'tasks': {'limit': ['4']}, 'regions': {'limit': ['4']}, 'summary': {'include-idle': ['1']},
        'events': {'limit': ['7', '100'], 'stacks': ['1']}, 'critical-path': {'limit': ['5'], 'causes': ['1']},
        'info': {}, 'check': {}, 'chain': {},
    }
    for trace in (sample, made('errand.out', 'errand'), made('names.out', 'names')):
        with Server(trace) as s:
            s.wait_ready()
            meta = s.api('meta').json
            names = [t['name'] for t in s.api('tracks').json['tracks'] if re.fullmatch(r'[\w-]+', t['name'])]
            tap.equal(sorted(meta['tables']), sorted(choices), 'the tables that there are')
            for name, options in choices.items():
                for turn in range(5):
                    p = {k: chance.choice(v) for k, v in options.items() if chance.random() < 0.5}
                    if name not in ('info', 'check', 'chain', 'critical-path') and turn > 0:
                        a, b = sorted(chance.sample(range(meta['end_ns'] + 1), 2))
                        p.update({'from': a, 'to': b})
                        if names and chance.random() < 0.5:
                            p['threads'] = ','.join(chance.sample(names, chance.randrange(1, len(names) + 1)))
                    elif name == 'chain':
                        p['at'] = chance.randrange(meta['end_ns'])
                    if name == 'events':
                        p.setdefault('limit', '1000')
                    wanted, got = printed(trace, name, p), s.api('table/' + name, **p)
                    good = got is not None and (got.body == wanted.stdout and got.status == 200 if wanted.returncode == 0 else
                                                got.status == {1: 500, 2: 400}.get(wanted.returncode))
                    if not good or turn == 0:
                        tap.ok(good, '%s: as printed: %s %r (seed %d)' % (os.path.basename(trace), name, p, seed),
                               (got and got.status, got and got.body[:300], wanted.returncode, wanted.stdout[:300], wanted.stderr))
            wanted = subprocess.run([TRACE, trace, 'export', 'csv', '-q'], stdout=subprocess.PIPE, env=environment()).stdout
            got = s.api('export/csv')
            tap.ok(got.body == wanted and 'attachment' in got.headers['content-disposition'], 'an export is what is written')
            wanted = subprocess.run([TRACE, trace, 'pprof', 'all'], stdout=subprocess.PIPE, env=environment()).stdout
            tap.equal(s.api('profile/all').body, wanted, 'a profile is what is written')


def shares_of(ns):
    """As docs/viewer-api.md has them: rounded down, and the rest for the largest; the first of those that are the same in the
    trace's own order, which has what is unknown first."""
    whole = sum(ns)
    if whole == 0:
        return [0] * 8
    order = [7, 0, 1, 2, 3, 4, 5, 6]
    result = [int(n / whole * 255.0) for n in ns]
    largest = order[0]
    for i in order:
        if ns[i] > ns[largest]:
            largest = i
    result[largest] += 255 - sum(result)
    return result


def within(spans, a, b):
    ns = [0] * 8
    for x in spans:
        n = min(x['end_ns'], b) - max(x['begin_ns'], a)
        if n > 0:
            ns[STATES.index(x['state'])] += n
    return ns


def numbers():
    for trace in (sample, made('errand2.out', 'errand')):
        with Server(trace) as s:
            s.wait_ready()
            meta, tracks = s.api('meta').json, s.api('tracks').json['tracks']
            end = meta['end_ns']
            tap.ok([x['name'] for x in meta['states']] == STATES and ''.join(x['letter'] for x in meta['states']) == 'RrLCSZX?',
                   'the states, in their order')
            spans, good = {}, True
            for t in tracks:
                answer = s.api('spans', tracks=t['track'], max=4096).json['tracks'][0]
                spans[t['track']] = answer['spans']
                good &= not answer['more'] and len(answer['spans']) == t['intervals'] and \
                    all(a['end_ns'] == b['begin_ns'] for a, b in zip(answer['spans'], answer['spans'][1:])) and \
                    within(answer['spans'], 0, end) == [t['states'][n + '_ns'] for n in STATES]
            tap.ok(good, 'spans follow one another, and add up to the threads')
            bad = []
            for _ in range(60):
                t, level = chance.choice(tracks)['track'], chance.randrange(8, 32)
                index = (meta['origin'] + chance.randrange(end)) >> (level + 9)
                body = s.api('tile/%d/%d/%d' % (t, level, index)).body
                version, flags, states, its, buckets, track, _, number, begin = struct.unpack('<BBBBIIIQq', body[:32])
                good = (version, flags & ~14, states, its, buckets, track, number) == (1, 0, 8, level, 512, t, index) and \
                    begin == (index << (level + 9)) - meta['origin'] and len(body) == 4128
                for i in range(0, 512, 7):
                    a = begin + (i << level)
                    good &= list(body[32 + 8 * i:40 + 8 * i]) == shares_of(within(spans[t], a, a + (1 << level)))
                if not good:
                    bad.append((t, level, index))
            tap.ok(not bad, 'tiles at any level are the shares of the spans in each bucket (seed %d)' % seed, bad)
            asked = 'api/v1/spans?max=4096&tracks=' + ','.join(str(t['track']) for t in tracks)
            plain, packed = s.get(asked), s.get(asked, headers=['Accept-Encoding: br, gzip'])
            tap.ok('content-encoding' not in plain.headers and packed.headers.get('content-encoding') == 'gzip' and
                   gzip.decompress(packed.body) == plain.body and len(packed.body) * 4 < len(plain.body),
                   'an answer is packed for who can unpack it', (plain.headers, packed.headers))
            asked = 'api/v1/table/events?limit=100'
            plain, packed = s.get(asked), s.get(asked, headers=['Accept-Encoding: gzip'])
            tap.ok(packed.headers.get('content-encoding') == 'gzip' and gzip.decompress(packed.body) == plain.body, 'a table, too')
            tap.ok('content-encoding' not in s.get('api/v1/export/csv', headers=['Accept-Encoding: gzip']).headers and
                   'content-encoding' not in s.get('api/v1/progress', headers=['Accept-Encoding: gzip']).headers,
                   'but not what is to be saved, nor what is short')
            wanted = [(t['track'], 20, (meta['origin'] >> 29) + i) for t in tracks for i in range(2)]
            tap.equal(s.api('tiles', list=','.join('%d.%d.%d' % w for w in wanted)).body,
                      b''.join(s.api('tile/%d/%d/%d' % w).body for w in wanted), 'many tiles are each of them')
            bad = []
            for _ in range(20):
                # of what begins before the end of a range, a command sees what is written 100 ms later at the latest
                ranges = (sorted(chance.sample(range(end + 1), 2)) for _ in range(500))
                a, b = next((r for r in ranges if all(x['end_ns'] <= r[1] + 100000000 for t in spans.values() for x in t
                                                      if x['begin_ns'] < r[1])), (chance.randrange(end), end))
                sums = s.api('sums', **{'from': a, 'to': b}).json
                by_tid = {r['tid']: r['states'] for r in s.api('table/threads', **{'from': a, 'to': b}).json}
                tids = {t['track']: t['tid'] for t in tracks}
                got = {tids[x['track']]: x['states'] for x in sums['tracks']}
                columns = s.api('columns', **{'from': a, 'to': b, 'columns': chance.randrange(1, 100)}).json
                if got != by_tid or any(sum(columns['states'][k]) != sums['states'][k] for k in sums['states']) or \
                        any(sum(x[k] for x in got.values()) != sums['states'][k] for k in sums['states']):
                    bad.append((a, b, got, by_tid))
            tap.ok(not bad, 'sums, columns and the table of threads agree (seed %d)' % seed, bad[:1])
            bad, every = [], ','.join('%d' % t['track'] for t in tracks)
            for _ in range(20):
                width = 1 << chance.randrange(10, 30)
                a = chance.randrange(end // width + 1) * width
                asked = {'from': a, 'columns': chance.randrange(1, min(2000, (end - a) // width + 3) + 1)}
                asked['to'] = a + width * asked['columns']
                got = [s.api('columns', **asked, **more).json for more in ({}, {'tracks': every})]
                if got[0] != got[1]:
                    bad.append((asked, got))
            tap.ok(not bad, 'columns of a power of two are those of all tracks (seed %d)' % seed, bad[:1])
            bad = []
            for k in range(20):
                a, b = sorted(chance.sample(range(end + 1), 2)) if k > 0 else (0, end)
                got = s.api('columns', **({'from': a, 'to': b} if k > 0 else {})).json
                begin, over = got['from_ns'], got['to_ns']
                width = (over - begin) // got['columns']
                if begin + width * got['columns'] != over or width & width - 1 != 0 or begin % width != 0 or begin > a or over < b or \
                        a - begin >= width or over - b >= width or got['columns'] > 1401 or \
                        got != s.api('columns', **{'from': begin, 'to': over, 'columns': got['columns']}).json:
                    bad.append((a, b, begin, over, got['columns']))
            tap.ok(not bad, 'or are chosen, and cover what was asked (seed %d)' % seed, bad[:1])
            refused = s.api('columns', to=(1 << 64) - 1)
            tap.ok(refused.status == 400 and 'to=' in refused.json['error'], 'unless they would end beyond all time', refused.json)
            bad = []
            for _ in range(20):
                t = chance.choice(tracks)['track']
                a, b = sorted(chance.sample(range(end + 1), 2))
                most = chance.randrange(1, 50)
                there = [x for x in spans[t] if x['end_ns'] > a and x['begin_ns'] < b]
                got = s.api('spans', **{'tracks': t, 'from': a, 'to': b, 'max': most}).json['tracks'][0]
                if got['spans'] != there[:most] or got['more'] != (len(there) > most):
                    bad.append((t, a, b, most))
            tap.ok(not bad, 'spans of a range (seed %d)' % seed, bad)
            bad = []
            for _ in range(15):
                t = chance.choice(tracks)['track']
                at = chance.randrange(len(spans[t]))
                x, near = spans[t][at], spans[t]
                d = s.api('span/' + x['id']).json
                same = [y['id'] for y in near if (y['state'], y['object'], y['call']) == (x['state'], x['object'], x['call'])]
                i = same.index(x['id'])
                if d['span'] != x or d['previous'] != (near[at - 1]['id'] if at else None) or \
                        d['next'] != (near[at + 1]['id'] if at + 1 < len(near) else None) or \
                        d['previous_same'] != (same[i - 1] if i else None) or \
                        d['next_same'] != (same[i + 1] if i + 1 < len(same) else None) or d['thread'] not in d['sentence']:
                    bad.append((x, d))
            tap.ok(not bad, 'a span knows itself and those beside it (seed %d)' % seed, bad[:1])
            all_edges = s.api('edges', max=2000).json
            few = s.api('edges', max=2).json
            tap.ok(few['edges'] == all_edges['edges'][:2] and few['left_out'] == max(0, len(all_edges['edges']) - 2) and
                   all_edges['left_out'] == 0, 'the longest edges, and how many are left out')
            if all_edges['edges']:
                e = all_edges['edges'][0]
                mine = s.api('edges', tracks=e['to']).json['edges']
                tap.ok(e in mine and all(e['to'] in (x['from'], x['to']) for x in mine), 'edges of a thread')
            found = s.api('names', q=tracks[0]['name'].upper(), kind='thread').json['names']
            tap.ok({'kind': 'thread', 'name': tracks[0]['name'], 'id': tracks[0]['track']} in found, 'a thread by its name')


# ---- what lies beneath states ----

def beneath():
    for trace in (sample, made('errand3.out', 'errand')):
        with Server(trace) as s:
            s.wait_ready()
            end, tracks = s.api('meta').json['end_ns'], s.api('tracks').json['tracks']
            whole = {'from': 0, 'to': end + 1}
            events = s.api('table/events', limit=10000).json
            bad = []
            for t in tracks:
                got = s.api('lanes', tracks=t['track'], columns=chance.randrange(1, 1000), **whole).json
                lanes = got['tracks'][0]
                of = {'threads': t['tid'], **whole}
                for lane, table in (('calls', 'syscalls'), ('regions', 'regions')):
                    rows = s.api('table/' + table, **of).json
                    rows = rows if isinstance(rows, list) else rows[table]
                    if sum(x['count'] for x in lanes[lane]) != sum(r['count'] for r in rows):
                        bad.append((t['name'], lane, lanes[lane], rows))
                errors = sum(r['errors'] for r in s.api('table/syscalls', **of).json)
                if sum(x['errors'] for x in lanes['calls']) != errors:
                    bad.append((t['name'], 'errors', errors))
                said = [e for e in events if e['type'] == 'log' and e['tid'] == t['tid']]
                if sum(x['count'] for x in lanes['marks']) != len(said):
                    bad.append((t['name'], 'marks', lanes['marks'], said))
                rare = s.api('rare', tracks=t['track'], columns=chance.randrange(1, 1000), **whole).json['tracks'][0]['rare']
                flags = 0
                for _, x in rare:
                    flags |= x
                if (flags & 3) != (1 if errors else 0) + (2 if said else 0) or [x for x, _ in rare] != sorted({x for x, _ in rare}):
                    bad.append((t['name'], 'rare', rare, errors, len(said)))
                worked = [x for x in s.api('spans', tracks=t['track'], max=4096).json['tracks'][0]['spans'] if x['task']]
                tasks = lanes['tasks']
                if bool(worked) != bool(tasks) or worked and ((tasks[0]['begin_ns'], tasks[-1]['end_ns']) !=
                                                             (worked[0]['begin_ns'], worked[-1]['end_ns']) or
                                                             {x['label'] for x in tasks} - {'task ' + x['task'] for x in worked} - {None}):
                    bad.append((t['name'], 'tasks', tasks, worked))
                if not got['is_whole'] or got['left_out'] or any(x['begin_ns'] > x['end_ns'] or x['count'] < 1 for k in
                                                                ('regions', 'calls', 'samples', 'marks', 'tasks') for x in lanes[k]):
                    bad.append((t['name'], 'items', got))
            tap.ok(not bad, 'lanes have as many regions, calls, errors and messages as the tables (seed %d)' % seed, bad[:1])
            bad, names = [], [r['name'] for r in s.api('table/syscalls').json]
            for _ in range(20):
                a, b = sorted(chance.sample(range(end + 1), 2))
                of = {'from': a, 'to': b}
                if chance.randrange(2):
                    of['threads'] = chance.choice(tracks)['tid']
                name = chance.choice(names)
                row = next((r for r in s.api('table/syscalls', **of).json if r['name'] == name),
                           {k: 0 for k in ('count', 'total_ns', 'p50_ns', 'p99_ns', 'max_ns')})
                got = s.api('histogram', call=name, **of).json
                if any(got[k] != row[k] for k in ('count', 'total_ns', 'p50_ns', 'p99_ns', 'max_ns')) or \
                        sum(n for _, _, n in got['buckets']) != row['count']:
                    bad.append((name, of, got, row))
            tap.ok(not bad, 'histograms of calls are those of the table (seed %d)' % seed, bad[:1])
            bad, locks = [], [o for o in s.api('names', q='o', kind='object', max=1000).json['names']]
            for o in locks[:12]:
                rows = [r for r in s.api('table/locks', lock=o['name'], **whole).json if r['name'] == o['name']]
                got = s.api('histogram', lock=o['id'], **whole).json
                if (got['count'], got['total_ns']) != (sum(r['waits'] for r in rows), sum(r['total_ns'] for r in rows)):
                    bad.append((o, got, rows))
                all_of = [r for r in s.api('table/locks', lock=o['name'], **{'include-idle': 1}, **whole).json if r['name'] == o['name']]
                along = s.api('lock/%d' % o['id'], columns=chance.randrange(1, 1000), **whole).json
                if sum(along['waiting_ns']) != sum(r['total_ns'] for r in all_of) or along['name'] != o['name']:
                    bad.append((o, along, all_of))
            tap.ok(not bad and locks, 'waits for a lock, and its row, are those of the table', bad[:1])
            waited = s.api('contended', max=64).json
            top = waited['locks']
            tap.ok(sum(l['waited_ns'] for l in top) == sum(t['states']['lock_ns'] for t in tracks) and
                   top == sorted(top, key=lambda l: (-l['waited_ns'], l['object'])) and waited['locks_in_all'] == len(top),
                   'the locks that are waited for: all of that time', waited)


# ---- the program around it ----

def counters():
    """What the program counted itself: the last value of each by the end of each column, as the events have them."""
    box = Box()
    for argv, spec, of_bytes in ((('marks', 'say', 4, 200), 'trace=threads', False),
                                 (('heap_stats_jemalloc', 'main', 3), 'heap,trace=threads', True)):
        if cprof.program(argv[0]) == argv[0]:
            tap.skip(argv[0], 'not built here')
            continue
        r = box.run(*argv, spec=spec)
        path = os.path.join(r.directory, 'trace.out')
        lines = subprocess.run([TRACE, path, 'events'], stdout=subprocess.PIPE, check=True).stdout.decode()
        said = {}
        for seconds, nanoseconds, name, value in re.findall(r'^(\d+)\.(\d{9})  .*  counter  name=(\S+) value=(-?\d+)$', lines, re.MULTILINE):
            said.setdefault(name, []).append((int(seconds + nanoseconds), int(value)))
        tap.ok(len(said) >= 4 and all(len(values) >= 4 for values in said.values()), argv[0] + ': has counters', said.keys())
        with Server(path) as s:
            s.wait_ready()
            for columns in (1, 7, 512):
                got = s.api('memory', columns=columns).json
                begin, end = got['from_ns'], got['to_ns']
                ends = [begin + (end - begin) * (i + 1) // columns for i in range(columns)]
                want = [{'name': name, 'is_bytes': of_bytes, 'values': [next((v for ns, v in reversed(values) if ns < at), None) for at in ends]}
                        for name, values in said.items()]
                tap.ok(got['counters'] == want and got['left_out'] == 0, '%s: in %d columns' % (argv[0], columns), (got['counters'], want))
    box.close()


def program():
    def fails(*args, env=None):
        return subprocess.run([TRACE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS,
                              env=environment(env))

    with Server(sample) as s:
        r = fails(sample, 'timeline', '-n', '--port', str(s.port))
        tap.ok(r.returncode == 1 and b'is taken' in r.stderr and not r.stdout, 'a port that is taken', r.stderr)
    for args in (('--port', '65536'), ('--http', '0.0.0.0:0'), ('--http', '[::]:0'), ('--http', '127.0.0.1'), ('--http', ':80'),
                 ('--http', '::1:80'), ('--http', 'localhost:x'), ('--http', '[::1:80')):
        r = fails(sample, 'timeline', '-n', *args)
        tap.ok(r.returncode == 2 and not r.stdout and r.stderr, 'not an address: ' + ' '.join(args), r.stderr)
    for args in (('--threads', 'main'), ('--sort', 'name'), ('-o', os.path.join(root, 'x')), ('--limit', '3')):
        r = fails(sample, 'timeline', '-n', *args)
        tap.ok(r.returncode == 2 and not r.stdout and b'--text' in r.stderr, 'not for the page: ' + args[0], r.stderr)
    r = fails('-', 'timeline', '-n')
    tap.ok(r.returncode == 2 and b'pipe' in r.stderr, 'not of what comes through a pipe')
    with Server(sample, '--http', 'localhost:0') as s:
        tap.ok(s.url.startswith('http://localhost:') and is_alive(s), 'another name', s.url)
    with Server(sample, '--idle-timeout', '200ms') as s:
        tap.equal(s.process.wait(SECONDS), 0, 'it ends when nobody asks')
    moving = os.path.join(root, 'moving.out')
    shutil.copy(sample, moving)
    with Server(moving) as s:
        s.wait_ready()
        shutil.copy(big, moving + '.new')
        os.rename(moving + '.new', moving)
        answer = s.api('table/threads')
        tap.ok(answer.status == 500 and 'start again' in answer.json['error'], 'another file in its place is not mistaken for it',
               answer.body)
        tap.equal(s.api('sums').status, 200, 'what is open goes on')
    strange = os.path.join(root, '--json')
    shutil.copy(sample, strange)
    cwd = os.getcwd()
    os.chdir(root)
    try:
        process = subprocess.Popen([TRACE, 'timeline', '-n', '--', '--json'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=environment())
        s = Server.__new__(Server)
        s.process, s.url = process, process.stdout.readline().decode().strip()
        parts = urllib.parse.urlsplit(s.url)
        s.port, s.base, s.pid = parts.port, parts.path, process.pid
        tap.equal(s.api('table/info').status, 200, 'a file with the name of an option')
        process.terminate()
        process.wait(SECONDS)
        process.stdout.close()
    finally:
        os.chdir(cwd)


def browser():
    """On a terminal with a display the URL is given to $BROWSER, as one word and nothing else; else to nobody."""
    told = os.path.join(root, 'told')
    script = os.path.join(root, 'browser')
    with open(script, 'w') as file:
        file.write('#!/bin/sh\nprintf "%s|" "$@" $(grep SigBlk /proc/self/status) >' + told + '.part\nmv ' + told + '.part ' + told + '\n')
    os.chmod(script, 0o700)

    def show(args, env):
        if os.path.exists(told):
            os.unlink(told)
        here, there = os.openpty()
        process = subprocess.Popen([TRACE, sample, 'timeline', *args], stdin=there, stdout=there, stderr=subprocess.DEVNULL,
                                   env=environment(env))
        os.close(there)
        url = b''
        while not url.endswith(b'\n'):
            url += os.read(here, 1000)
        url = url.decode().strip()
        if not args and 'SSH_CONNECTION' not in env and 'DISPLAY' in env:
            until(lambda: os.path.exists(told))
        else:
            # it is told after the URL was printed, and before anybody is answered
            parts = urllib.parse.urlsplit(url)
            with socket.create_connection(('127.0.0.1', parts.port), SECONDS) as sock:
                sock.sendall(('GET %sapi/v1/meta HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' % parts.path).encode())
                read_answer(sock)
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)
        os.close(here)
        with open(told) if os.path.exists(told) else open(os.devnull) as file:
            return url, file.read()

    url, got = show([], {'DISPLAY': ':0', 'BROWSER': '/nothing/there:%s --new %%s' % script})
    tap.equal(got, '--new|%s|SigBlk:|0000000000000000|' % url, 'a browser is given the URL')
    for what, args, env in (('-n', ['-n'], {'DISPLAY': ':0'}), ('no display', [], {}),
                            ('somebody elsewhere', [], {'DISPLAY': ':0', 'SSH_CONNECTION': '10.0.0.1 1 10.0.0.2 22'})):
        tap.equal(show(args, dict(env, BROWSER=script))[1], '', 'not with ' + what)


def has_server():
    """Whether it was built with libmicrohttpd, and that is here."""
    process = subprocess.Popen([TRACE, sample, 'timeline', '--no-open', '--idle-timeout', '1ms'], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    _, said = process.communicate(timeout=SECONDS)
    return b'libmicrohttpd' not in said


try:
    if not has_server():
        tap.skip_all('there is no libmicrohttpd')
    tap.note('seed %d' % seed)
    tap.run(doors, methods, assets, refused, crowd, sources, slow, hostile, works, memory, early, tables, numbers, counters, beneath, program, browser)
finally:
    shutil.rmtree(root)
