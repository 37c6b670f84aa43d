#!/usr/bin/env python3
"""Where profiles come from: a process, its socket, a server, some of which mean no good."""

import base64
import gzip
import json
import os
import pty
import socket
import ssl
import subprocess
import threading

import tap
from cprof import Box, program, wait_for

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')
HEAP = os.path.join(DATA, 'go-heap.pb.gz')
BODY = open(HEAP, 'rb').read()


def reply(body, status='200 OK', head=''):
    return ('HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n' % (status, head, len(body))).encode() + body


def chunks(body, size, end=b'0\r\n\r\n'):
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b''.join(
        b'%x;x=y\r\n%s\r\n' % (len(part), part) for part in parts) + end


class Server:
    """Answers with the bytes that stand for a path, whatever else was asked; None: it never does."""

    def __init__(self, replies, family=socket.AF_INET, address=('127.0.0.1', 0), together=0, tls=None):
        self.replies, self.asked, self.waiting = replies, [], []
        self.barrier = threading.Barrier(together) if together else None
        self.s, self.tls = socket.socket(family), tls
        self.s.bind(address)
        self.s.listen(50)
        self.at = 'localhost:%d' % self.s.getsockname()[1] if family == socket.AF_INET else address
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c = self.s.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.answer, args=(c,), daemon=True).start()

    def answer(self, c):
        question = b''
        if self.tls:
            try:
                c = self.tls.wrap_socket(c, server_side=True)
            except (OSError, ssl.SSLError):  # he does not like us
                return
        while b'\r\n\r\n' not in question:
            piece = c.recv(4096)
            if not piece:
                return
            question += piece
        self.asked.append(question.decode())
        if self.barrier:
            self.barrier.wait(60)
        answer = self.replies.get(question.split(b' ', 2)[1].decode())
        if answer is None:
            self.waiting.append(c)
            return
        try:
            if callable(answer):
                answer(c)
            else:
                c.sendall(answer)
        except OSError:  # it had enough
            pass
        c.close()

    def close(self):
        self.s.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.s.close()


def good():
    box = Box()
    plain = box.command('top', HEAP)
    tap.ok(plain.status == 0 and len(plain.out.splitlines()) > 8, 'a file', plain.show())
    server = Server({'/debug/pprof/heap': reply(BODY), '/chunks': chunks(BODY, 1000), '/chunk': chunks(BODY, 10**6),
                     '/bytes': chunks(BODY, 1), '/end': b'HTTP/1.0 200 OK\r\n\r\n' + BODY,
                     '/plain': reply(gzip.decompress(BODY)), '/continue': b'HTTP/1.1 100 Continue\r\n\r\n' + reply(BODY),
                     '/moved': reply(b'', '302 Found', 'Location: /debug/pprof/heap\r\n'),
                     '/thin': b'HTTP/1.1 200\nContent-length:%d\n\n' % len(BODY) + BODY,
                     '/debug/pprof/profile': reply(BODY), '/debug/pprof/profile?seconds=7': reply(BODY),
                     '/p?a=b&seconds=7': reply(BODY)})
    server.replies['/far'] = reply(b'', '301 Moved Permanently', 'Location: http://%s/moved\r\n' % server.at)
    for path in ('/debug/pprof/heap', '/chunks', '/chunk', '/bytes', '/end', '/plain', '/continue', '/moved', '/far',
                 '/thin', '', '/'):
        for scheme in ('http://', ''):
            r = box.command('top', scheme + server.at + path)
            tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'top %sHOST:PORT%s' % (scheme, path))
    for command in ('raw', 'check'):
        r = box.command(command, 'http://%s/chunks' % server.at)
        want = box.command(command, HEAP)
        tap.equal((r.status, r.out.split('ok:')[-1], r.err), (want.status, want.out.split('ok:')[-1], ''), command)
    r = box.command('top', HEAP, server.at + '/chunks', HEAP)
    tap.equal(r.out, box.command('top', HEAP, HEAP, HEAP).out, 'with files before and behind it')
    r = box.command('top', '-base', server.at + '/chunks', HEAP)
    tap.equal((r.status, r.out), (0, box.command('top', '-base', HEAP, HEAP).out), 'as a base')
    for words in (['-seconds=7', server.at], ['-seconds', '7', server.at + '/p?seconds=3&a=b']):
        r = box.command('top', *words)
        tap.equal((r.status, r.out), (0, plain.out), 'top ' + words[0])
    r = box.command('top', 'http://me:p%%40ss@%s/end' % server.at)
    asked = server.asked[-1]
    tap.ok('\r\nAuthorization: Basic %s\r\n' % base64.b64encode(b'me:p@ss').decode() in asked, 'a name and a password', asked)
    tap.ok('\r\nHost: %s\r\n' % server.at in asked and 'User-Agent: cprof/' in asked, 'who asks whom', asked)
    server.close()
    there = os.path.join(box.root, 'a b.sock')  # nobody says that a path has no blank
    server = Server({'/debug/pprof/heap': reply(BODY), '/debug/pprof/profile?seconds=30': reply(BODY),
                     '/debug/x?y': chunks(BODY, 999), '/debug/x?y&seconds=7': reply(BODY),
                     '/debug/pprof/heap?seconds=7': reply(BODY)}, socket.AF_UNIX, there)
    for behind in ('/heap', '', '/cpu', '/debug/pprof/heap', '/debug/x?y'):
        for name in (there, 'unix:' + there):
            r = box.command('top', name + behind)
            tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'top %sSOCKET%s' % (name.replace(there, ''), behind))
    for behind in ('/heap', '/debug/x?seconds=5&y'):
        r = box.command('top', '-seconds=7', there + behind)
        tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'top -seconds=7 SOCKET%s' % behind)
    server.close()
    box.close()


def at_once():
    """Each of two is answered only when the other one has asked, too."""
    box = Box()
    server = Server({'/a': reply(BODY), '/b': reply(BODY)}, together=2)
    r = box.command('top', server.at + '/a', server.at + '/b')
    tap.equal((r.status, r.out), (0, box.command('top', HEAP, HEAP).out), 'two are fetched at once')
    server.close()
    server = Server({'/silent': None, '/never': None, '/no': reply(b'', '404 No')})
    r = box.command('top', server.at + '/silent', server.at + '/no', server.at + '/never')
    tap.ok(r.status == 1 and r.err == 'cprof: top: http://%s/no: No (404)\n' % server.at, 'the first that fails ends it', r.show())
    server.close()
    box.close()


def encrypted():
    box = Box()

    def make(name, host, *more):
        paths = [os.path.join(box.root, name + end) for end in ('.crt', '.key')]
        done = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-out',
                               paths[0], '-keyout', paths[1], '-subj', '/CN=' + name, '-addext', 'subjectAltName=' + host] + list(more),
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return paths

    def serve(pair, trusted=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        if trusted:
            context.load_verify_locations(trusted)
            context.verify_mode = ssl.CERT_REQUIRED
        server = Server({'/a': reply(BODY), '/chunks': chunks(BODY, 100), '/b': None,
                         '/end': lambda c: (c.sendall(b'HTTP/1.0 200 OK\r\n\r\n' + BODY), c.unwrap()),
                         '/cut': lambda c: (c.sendall(b'HTTP/1.0 200 OK\r\n\r\n' + BODY), c.shutdown(socket.SHUT_RDWR))}, tls=context)
        server.port = server.at.split(':')[1]
        return server

    local, other, me = make('local', 'DNS:localhost,IP:127.0.0.1'), make('other', 'DNS:example.org'), make('me', 'DNS:me')
    plain = box.command('top', HEAP)
    server = serve(local)
    r = box.command('top', 'https://localhost:%s/a' % server.port)
    if 'without GnuTLS' in r.err or 'cannot be loaded' in r.err:
        tap.skip('https', r.err.strip())
        return
    for host in ('localhost', '127.0.0.1'):
        for path in ('/a', '/chunks', '/end'):
            r = box.command('top', '-tls_ca', local[0], 'https://%s:%s%s' % (host, server.port, path))
            tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'https://%s%s' % (host, path))
    r = box.command('top', 'https+insecure://localhost:%s/a' % server.port)
    tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'whoever it is')
    r = box.command('check', '-q', 'https+insecure://localhost:%s/a' % server.port)
    tap.equal((r.status, r.err), (box.command('check', '-q', HEAP).status, ''), 'check')
    for words, said in ((['https://localhost:%s/a' % server.port], 'localhost is not proved to be who answers: The certificate is NOT trusted'),
                        (['-tls_ca', other[0], 'https://localhost:%s/a' % server.port], 'is not proved'),
                        (['-tls_ca', local[1], 'https://localhost:%s/a' % server.port], 'no certificate to be read'),
                        (['-tls_cert', me[0], '-tls_key', local[1], 'https://localhost:%s/a' % server.port], '-tls_key='),
                        (['-timeout=1', '-tls_ca', local[0], 'https://localhost:%s/b' % server.port], 'no whole answer within 1 s'),
                        (['-tls_ca', local[0], 'https://localhost:%s/cut' % server.port], 'the connection broke')):
        r = box.command('top', *words)
        tap.ok(r.status in (1, 2) and r.out == '' and said in r.err and r.err.count('\n') == 1, said, r.show())
    r = box.command('top', '-tls_cert', me[0], 'https://localhost:%s/a' % server.port)
    tap.ok(r.status == 2 and 'one needs the other' in r.err, 'a certificate without a key', r.show())
    r = box.command('top', 'http://localhost:%s/a' % server.port)
    tap.ok(r.status == 1 and r.out == '', 'http to where it is https', r.show())
    server.close()
    server = serve(other)
    r = box.command('top', '-tls_ca', other[0], 'https://localhost:%s/a' % server.port)
    tap.ok(r.status == 1 and 'localhost is not proved' in r.err, 'the name of another', r.show())
    server.close()
    server = serve(local, me[0])
    r = box.command('top', '-tls_ca', local[0], '-tls_cert', me[0], '-tls_key', me[1], 'https://localhost:%s/a' % server.port)
    tap.equal((r.status, r.out, r.err), (0, plain.out, ''), 'who shows a certificate')
    r = box.command('top', '-tls_ca', local[0], 'https://localhost:%s/a' % server.port)
    tap.ok(r.status == 1 and r.out == '', 'who shows none', r.show())
    server.close()
    server = Server({'/a': reply(BODY)})
    r = box.command('top', '-timeout=1', 'https://%s/a' % server.at)
    tap.ok(r.status == 1 and r.out == '', 'https to where it is http', r.show())
    server.close()
    box.close()


def drip(c):
    while True:
        c.sendall(b'x')


def bad():
    box = Box()
    cut = len(BODY) // 2
    server = Server({
        '/404': reply(b'Unknown profile\n', '404 Not Found', 'Content-Type: text/plain; charset=utf-8\r\n'),
        '/chunked': b'HTTP/1.1 500 No\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nnot on\r\n0\r\n\r\n',
        '/html': reply(b'<html>' * 1000, '503 Service \x1b[31mUnavailable', 'Content-Type: text/html\r\n'),
        '/colour': reply(b'\x1b[31mred', '400 Bad', 'Content-Type: text/plain\r\n'),
        '/bare': b'HTTP/1.1 404\r\n\r\n', '/page': reply(b'<!DOCTYPE html><html>'),
        '/short': reply(BODY)[:-cut], '/chunks': chunks(BODY, 1000)[:-2000], '/end': b'HTTP/1.0 200 OK\r\n\r\n' + BODY[:cut],
        '/lastless': chunks(BODY, 1000, b''), '/sizeless': chunks(BODY, 1000, b'-1\r\n'), '/sizes': chunks(BODY, 1000, b'f' * 17 + b'\r\n'),
        '/empty': b'', '/noise': os.urandom(100) + b'\n' * 10, '/headless': b'HTTP/1.1 200 OK\r\n', '/none': reply(b''),
        '/large': b'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n',
        '/less': b'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n', '/words': b'HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n',
        '/gzip': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
        '/endless': lambda c: (c.sendall(b'HTTP/1.1 200 OK\r\nX: '), drip(c)),
        '/lines': lambda c: [c.sendall(b'HTTP/1.1 100 Continue\r\n\r\n' * 100) for _ in range(10**6)],
        '/loop': reply(b'', '302 Found', 'Location: /loop\r\n'), '/file': reply(b'', '302 Found', 'Location: file:///etc/passwd\r\n'),
        '/silent': None})
    for path, words in (('/404', ': Unknown profile (404)\n'), ('/chunked', ': not on (500)\n'),
                        ('/html', ': Service ?[31mUnavailable (503)\n'), ('/colour', ': ?[31mred (400)\n'),
                        ('/bare', ': an error (404)\n'), ('/page', 'this is a web page, not a profile'),
                        ('/short', 'the answer is cut off: %d of %d bytes are missing' % (cut, len(BODY))),
                        ('/chunks', 'the answer is cut off after'), ('/end', 'the gzip data'),
                        ('/lastless', 'the answer is cut off after %d bytes' % len(BODY)), ('/sizeless', 'a chunk has no size'),
                        ('/sizes', 'a chunk has no size'), ('/empty', 'it ends before its header does'),
                        ('/noise', 'is not HTTP'), ('/headless', 'it ends before its header does'), ('/none', 'the file is empty'),
                        ('/large', 'the answer is larger than 1024 MiB'), ('/less', 'Content-Length is no number'),
                        ('/words', 'Content-Length is no number'), ('/gzip', 'an encoding that nobody asked for'),
                        ('/endless', 'its header has no end'), ('/lines', 'its header has no end'),
                        ('/loop', 'to other places without end'), ('/file', 'only http:// and https:// are known')):
        r = box.command('top', 'http://me:secret@' + server.at + path)
        tap.ok(r.status == 1 and r.out == '' and r.err.startswith('cprof: top: http://%s%s: ' % (server.at, path)) and
               words in r.err and r.err.count('\n') == 1 and 'secret' not in r.err, path + ': ' + words.strip(' :\n'), r.show())
    r = box.command('top', '-timeout=1', HEAP, server.at + '/silent')
    tap.ok(r.status == 1 and 'there was no whole answer within 1 s; -timeout=SECONDS waits longer' in r.err, 'no answer', r.show())
    server.close()
    closed = server.at
    for words, status, said in (([closed + '/x'], 1, 'nobody answers at localhost:'), (['http://none.invalid/'], 1, 'there is no host none.invalid'),
                                (['ftp://x/y'], 2, 'only http:// and https:// are known'), (['http://a b/'], 2, 'a blank or a control'),
                                (['http://x:y/'], 2, 'its host and port'), (['-seconds=-1', HEAP], 2, '1 or more'),
                                (['-seconds=x', HEAP], 2, 'whole number'), (['unix:/none.sock'], 1, 'no such socket'),
                                (['cpu.pb.gz:x'], 1, 'no such file')):
        r = box.command('top', *words)
        tap.ok(r.status == status and r.out == '' and said in r.err and r.err.count('\n') == 1, 'top ' + ' '.join(words), r.show())
    there = os.path.join(box.root, 'moved.sock')
    server = Server({'/debug/pprof/heap': reply(b'', '302 Found', 'Location: http://localhost/\r\n')}, socket.AF_UNIX, there)
    r = box.command('top', there + '/heap')
    tap.ok(r.status == 1 and 'is to ask elsewhere (302)' in r.err, 'a socket that leads elsewhere', r.show())
    server.close()
    r = box.command('top', there)
    tap.ok(r.status == 1 and 'nobody answers there' in r.err, 'a socket that nobody listens at', r.show())
    box.close()


def process():
    box = Box()
    command = [box.cprof, 'run', '-p', 'heap=1', '-o', os.path.join(box.root, 'out'), '--', program('switched'), '2']
    p = subprocess.Popen(command, cwd=box.cwd, env=box.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    pid = json.loads(p.stdout.readline())['pid']
    there = os.path.join(box.runtime, 'cprof', '%d.sock' % pid)
    wait_for(lambda: os.path.exists(there))
    r = box.command('top', '%d/cpu' % pid, '-seconds=1')
    tap.ok(r.status == 0 and 'Type: cpu' in r.out and r.err == '', 'top PID/cpu -seconds=1', r.show())
    r = box.command('top', '-timeout=60', there + '/debug/pprof/profile?seconds=1')
    tap.ok(r.status == 0 and 'Type: cpu' in r.out and r.err == '', 'top SOCKET/debug/pprof/profile?seconds=1', r.show())
    r = box.command('top', '%d/threads' % pid)
    tap.ok(r.status == 0 and 'Type: threads' in r.out and r.err == '', 'top PID/threads', r.show())
    for words, status, said in ((['%d/nix' % pid], 1, '%d/nix: Unknown profile (404)' % pid), (['%d/trace' % pid], 2, 'a trace is no profile'),
                                (['%d/../x' % pid], 2, 'the name of a profile goes behind'), (['%d/' % 2**31], 1, 'no such file')):
        r = box.command('top', *words)
        tap.ok(r.status == status and r.out == '' and said in r.err, 'top ' + said, r.show())
    for words in (['merge'], ['symbolize']):
        to = os.path.join(box.root, words[0] + '.pb.gz')
        r = box.command(*words, '-seconds=1', '-o', to, '%d/cpu' % pid, there)
        tap.ok(r.status == 0 and box.command('info', to).status == 0, '%s of a process and a socket, of the next second' % words[0], r.show())
    r = box.command('merge', '-o', os.path.join(box.root, 'never'), '%d/../x' % pid)
    tap.ok(r.status == 2 and 'the name of a profile goes behind' in r.err and not os.path.exists(os.path.join(box.root, 'never')), 'merge: what is no name', r.show())
    r = box.command('top', os.getpid())
    tap.ok(r.status == 1 and 'does not run under `cprof run`' in r.err, 'a process without a launcher', r.show())
    with open(os.path.join(box.cwd, str(pid)), 'wb') as f:
        f.write(BODY)
    tap.equal(box.command('top', pid).out, box.command('top', HEAP).out, 'a file of that name is a file')
    terminal, end = pty.openpty()
    done = subprocess.run([box.cprof, 'top', '%d/heap' % pid, HEAP], cwd=box.cwd, env=box.environment(), stdout=subprocess.PIPE, stderr=end)
    said = os.read(terminal, 4096).decode()
    tap.equal((done.returncode, said), (0, 'cprof: fetching heap from process %d …\r\n' % pid), 'it says so at a terminal')
    done = subprocess.run([box.cprof, 'top', '-seconds=1', there], cwd=box.cwd, env=box.environment(), stdout=subprocess.PIPE, stderr=end)
    said = os.read(terminal, 4096).decode()
    tap.equal((done.returncode, said), (0, 'cprof: fetching cpu from %s for 1 s …\r\n' % there), 'and how long')
    p.communicate(timeout=60)
    gone = subprocess.Popen(['true'])
    gone.wait()
    r = box.command('top', gone.pid)
    tap.ok(r.status == 1 and 'there is no process %d' % gone.pid in r.err, 'a process that is gone', r.show())
    box.close()


tap.run(good, at_once, encrypted, bad, process)
