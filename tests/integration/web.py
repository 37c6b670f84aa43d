#!/usr/bin/env python3
"""cprof web: what the page is told is what the commands print; who is let in; hostile profiles and questions; and the way to pprof."""

import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import tap
from cprof import CPROF, Box
from pprof import Profile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
DATA = os.path.join(ROOT, 'tests', 'data')
SECONDS = 60  # for what hangs

root = tempfile.mkdtemp(prefix='cprof-web-test.')
seed = int(os.environ.get('SEED', random.SystemRandom().randrange(1 << 32)))
chance = random.Random(seed)


def environment(more=None):
    env = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY', 'SSH_CONNECTION', 'LD_PRELOAD')}
    return {**env, 'TMPDIR': root, 'LC_ALL': 'C', **(more or {})}


def cprof(*args):
    r = subprocess.run([CPROF, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), timeout=SECONDS)
    return r.returncode, r.stdout.decode('utf-8', 'replace'), r.stderr.decode('utf-8', 'replace')


class Web:
    def __init__(self, *args, env=None, cwd=None):
        self.process = subprocess.Popen([CPROF, 'web', '-no_browser', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(env), cwd=cwd)
        self.url = self.process.stdout.readline().decode().rstrip('\n')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self, by=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.said = self.process.stderr.read().decode() if not self.process.stderr.closed else self.said
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode

    def get(self, path, headers=None):
        """(status, headers, body)"""
        request = urllib.request.Request(self.url + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def ask(self, view, **query):
        status, _, body = self.get('api/v1/%s?%s' % (view, urllib.parse.urlencode(query)))
        return status, json.loads(body)


# ---- the same as the commands ----

def rows_of(text):
    """(flat, flat%, cum, cum%, name) of cprof top."""
    rows = []
    for line in text.split('cum%\n', 1)[1].splitlines():
        flat, share, _, cum, cum_share, name = line.split(None, 5)
        rows.append((flat, share, cum, cum_share, name))
    return rows


def option_sets(path):
    p = Profile.read(path)
    names = [re.escape(n) for s in p.samples for n in s.names]
    some = chance.choice(names)
    yield {}
    yield {'focus': some}
    yield {'ignore': some}
    yield {'hide': some, 'granularity': 'lines'}
    yield {'show_from': some, 'granularity': 'filefunctions'}
    yield {'noinlines': '1', 'granularity': 'addresses'}
    yield {'sample_index': '0', 'trim': '0'}


def same(path):
    name = os.path.basename(path)
    with Web('-nodecount=40', path) as web:
        for options in option_sets(path):
            words = ['-%s=%s' % (k, {'0': 'false', '1': 'true'}.get(v, v) if k in ('noinlines', 'trim') else v) for k, v in options.items()]
            status, out, err = cprof('top', '-nodecount=40', *words, path)
            code, answer = web.ask('top', **options)
            got = [(r['flat'][1], r['flat'][2], r['cum'][1], r['cum'][2], r['text'] + r['mark']) for r in answer.get('rows', [])]
            tap.equal((code, got), (200, rows_of(out)), '%s: top is what cprof top prints: %s' % (name, ' '.join(words)))
            facts = out.split('      flat', 1)[0].splitlines()
            tap.equal(answer.get('facts'), facts, '%s: and so is what stands above: %s' % (name, ' '.join(words)))


def peeked(text):
    """{name: (flat, cum, [callers], [callees])} of cprof peek."""
    places = {}
    for block in text.split('calls calls% + context', 1)[1].split('-' * 20):
        lines = [line for line in block.splitlines() if '|' in line and not set(line) <= set('-+| ')]
        above, below, at = [], [], None
        for line in lines:
            left, right = line.split('|', 1)
            if re.match(r'^ {3}', right):
                (below if at else above).append((*left.split(), right.strip()))
            else:
                fields = left.split()
                at = (fields[0], fields[3], right.strip())
        if at:
            places[at[2]] = (at[0], at[1], above, below)
    return places


def peek(path):
    name = os.path.basename(path)
    names = sorted({n for s in Profile.read(path).samples for n in s.names})
    with Web(path) as web:
        for one in chance.sample(names, min(6, len(names))):
            expression = '^%s$' % re.sub(r'([\\^$.*+?()\[\]{}|])', r'\\\1', one)
            status, out, err = cprof('peek', expression, path)
            code, answer = web.ask('peek', expression=expression)
            if status != 0:
                tap.equal((code, answer['error'] in err), (404, True), '%s: nothing to peek at: %s' % (name, one))
                continue
            got = {p['text']: (p['flat'][1], p['cum'][1], [(e['calls'][1], e['calls'][2], e['text'] + e['mark']) for e in p['callers']],
                               [(e['calls'][1], e['calls'][2], e['text'] + e['mark']) for e in p['callees']]) for p in answer['places']}
            tap.equal(got, peeked(out), '%s: peek is what cprof peek prints: %s' % (name, one))


def source(box):
    r = box.run('burn', 'split', '90', '0.3')
    path = os.path.join(r.directory, 'cpu.pb.gz')
    status, out, err = cprof('list', '^burn_a$', path)
    with Web(path) as web:
        code, answer = web.ask('source', expression='^burn_a$')
        lines = []
        for f in answer['functions']:
            lines.append('ROUTINE ======================== %s in %s' % (f['name'], f['file']))
            lines.append('%10s %10s (flat, cum) %s of Total' % (f['flat'][1], f['cum'][1], f['cum'][2].rjust(6)))
            for number, flat, cum, text in f['lines']:
                lines.append('%10s %10s %6d:%s' % (flat[1] if flat else '.', cum[1] if cum else '.', number, text))
        tap.equal((code, lines), (200, out.splitlines()[1:]), 'source is what cprof list prints')
        tap.ok(any(line[2] for line in answer['functions'][0]['lines']), 'with lines that cost')
        code, answer = web.ask('tags')
        status, out, err = cprof('tags', path)
        keys = {k['key']: [v[0] for v in k['values']] for k in answer['keys']}
        wanted = {}
        for line in out.splitlines():
            if re.match(r'^\s*\S+: +Total ', line):
                key = line.strip().split(':')[0]
                wanted[key] = []
            elif line.strip():
                wanted[key].append(line.split(': ', 1)[1].strip())
        tap.equal((code, keys), (200, wanted), 'tags are those of cprof tags')
        code, headers, body = web.get('api/v1/flame?focus=burn_a')
        tap.ok(code == 200 and headers['Content-Type'].startswith('text/html') and b'id="data"' in body, 'flame is the page of cprof flame')
        tap.ok("frame-ancestors 'self'" in headers['Content-Security-Policy'] and b"connect-src 'none'" in body, 'which may be in our own frame only, and asks nobody')
    return path


def differences():
    base, new = os.path.join(DATA, 'go-cpu.pb.gz'), os.path.join(DATA, 'go-cpu2.pb.gz')
    with Web('-diff_base=' + base, new) as web:
        code, meta = web.ask('meta')
        tap.ok(code == 200 and meta['base'] and '-diff_base=' in meta['command'], 'what is compared with is said', meta)
        code, answer = web.ask('top')
        status, out, err = cprof('top', '-diff_base=' + base, new)
        got = [(r['flat'][1], r['flat'][2], r['cum'][1], r['cum'][2], r['text'] + r['mark']) for r in answer['rows']]
        tap.ok(got == rows_of(out) and any(r['flat'][0] < 0 for r in answer['rows']), 'and is taken away', (got, out))


# ---- who is let in ----

def refused(path):
    with Web('-focus=burn', path) as web:
        code, headers, body = web.get('')
        tap.ok(code == 200 and b'<script nonce=' in body and "default-src 'none'" in headers['Content-Security-Policy'] and
               "frame-ancestors 'none'" in headers['Content-Security-Policy'], 'the page')
        code, meta = web.ask('meta')
        tap.equal((code, meta['focus'], meta['sample_index']), (200, 'burn', 'cpu'), 'begins with what the command line says')
        parts = urllib.parse.urlsplit(web.url)
        for about, path_, headers, want in (
                ('without the token', '/', {}, 404), ('with a wrong one', '/' + '0' * 32 + '/', {}, 404),
                ('as another host', parts.path, {'Host': 'evil.example:%d' % parts.port}, 403)):
            request = urllib.request.Request('http://127.0.0.1:%d%s' % (parts.port, path_), headers=headers)
            try:
                code = urllib.request.urlopen(request, timeout=SECONDS).status
            except urllib.error.HTTPError as error:
                code = error.code
            tap.equal(code, want, 'asked %s' % about)
        for about, view, query, want, word in (
                ('a bad expression', 'top', {'focus': '('}, 400, 'focus'), ('a bad granularity', 'top', {'granularity': 'x'}, 400, 'granularity'),
                ('a bad column', 'top', {'sample_index': 'x'}, 400, 'sample_index'), ('no expression', 'peek', {}, 400, 'expression'),
                ('a bad count', 'top', {'nodecount': '-1'}, 400, 'nodecount'), ('an expression of nothing', 'source', {'expression': 'zzzz'}, 404, 'zzzz'),
                ('no such view', 'passwd', {}, 404, 'no such view'), ('one too long', 'top', {'focus': 'a' * 5000}, 400, 'too long'),
                ('one of 30 kB', 'top', {'focus': 'a' * 30000}, 400, 'too long')):
            code, answer = web.ask(view, **query)
            tap.ok(code == want and word in answer['error'], '%s: a sentence' % about, (code, answer))
        for name in ('../main.js', '%2e%2e/%2e%2e/etc/passwd', '/etc/passwd', 'x.js'):
            tap.equal(web.get(name)[0], 404, 'no such file: %s' % name)
        code, answer = web.ask('top', focus='burn_a')
        tap.ok(code == 200 and all('burn_b' != r['name'] for r in answer['rows']), 'and after all of it: an answer')
        tap.equal(web.end(), 0, 'Ctrl-C ends it')
    with Web('-idle_timeout=1', path) as web:
        web.ask('meta')
        try:
            status = web.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        tap.equal(status, 0, 'it ends when nobody asks for as long as was said')
    for about, args, word in (('no file', [], 'which profile'), ('a file that is none', [os.path.join(root, 'none')], 'none'), ('a bad address', ['-http=x', path], 'ADDR:PORT'),
                              ('open and no_browser', ['-open', '-no_browser', path], 'one of them')):
        status, out, err = cprof('web', *args)
        tap.ok(status in (1, 2) and word in err and out == '', '%s: a sentence' % about, err)
    taken = socket.create_server(('127.0.0.1', 0))
    status, out, err = cprof('web', '-http=127.0.0.1:%d' % taken.getsockname()[1], path)
    tap.ok(status == 1 and 'is taken' in err, 'a port that is taken', err)
    taken.close()


def hostile():
    """Damaged profiles make an answer, or a sentence; the server stays."""
    with open(os.path.join(DATA, 'go-cpu.pb.gz'), 'rb') as file:
        good = gzip.decompress(file.read())
    opened = 0
    for i in range(12):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = os.path.join(root, 'hostile.pb')
        with open(path, 'wb') as file:
            file.write(data)
        with Web(path) as web:
            if web.url == '':
                web.end()
                if web.process.returncode != 1:
                    tap.ok(False, 'damaged, seed %d, round %d: no sentence' % (seed, i), web.said)
                continue
            opened += 1
            for view in ('meta', 'top', 'peek', 'source', 'tags', 'flame'):
                code, _, body = web.get('api/v1/%s?expression=a&trim=0' % view)
                if code not in (200, 400, 404) or web.process.poll() is not None:
                    tap.ok(False, 'damaged, seed %d, round %d: %s' % (seed, i, view), (code, body[:200]))
    tap.note('damaged: %d of 12 opened, seed %d' % (opened, seed))
    tap.ok(web.process.returncode in (0, 1), 'the last server ended as it should', web.process.returncode)


# ---- the way to pprof ----

def handed(path):
    bin_ = os.path.join(root, 'bin')
    os.makedirs(bin_)
    said = os.path.join(root, 'said')
    with open(os.path.join(bin_, 'pprof'), 'w') as file:
        file.write('#!/bin/sh\nprintf "%%s\\n" "$@" > %s\nfor last; do :; done\ncp "$last" %s.pb.gz\nexit 7\n' % (said, said))
    os.chmod(file.name, 0o755)
    env = {'PATH': bin_ + ':' + os.environ['PATH']}
    r = subprocess.run([CPROF, 'web', '-pprof', '-focus', 'burn', '-http=localhost:1', path], env=environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(said) as file:
        words = file.read().splitlines()
    tap.equal((r.returncode, words), (7, ['-no_browser', '-focus', 'burn', '-http=localhost:1', path]), 'pprof has what was typed, and its status is ours')
    r = subprocess.run([CPROF, 'web', '-pprof', '-open', path], env=environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(said) as file:
        words = file.read().splitlines()
    tap.equal((r.returncode, words), (7, ['-http=localhost:', '-no_browser', path]), 'an address of its own')
    server = subprocess.Popen([sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', '0'], cwd=os.path.dirname(path), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env={**os.environ, 'PYTHONUNBUFFERED': '1'})
    port = re.search(rb'port (\d+)', server.stdout.readline()).group(1).decode()
    r = subprocess.run([CPROF, 'web', '-pprof', '-seconds', '1', 'http://127.0.0.1:%s/%s' % (port, os.path.basename(path))], env=environment(env),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.kill()
    server.wait()
    with open(said) as file:
        words = file.read().splitlines()
    tap.ok(r.returncode == 7 and len(words) == 3 and words[2].endswith('profile.pb.gz') and not os.path.exists(os.path.dirname(words[2])),
           'what is no file is fetched for it, and removed behind it', (words, r.stderr))
    tap.equal(Profile.read(said + '.pb.gz').total(), Profile.read(path).total(), 'with all that it has')
    empty = os.path.join(root, 'empty')
    os.makedirs(empty)
    r = subprocess.run([CPROF, 'web', '-pprof', path], env=environment({'PATH': empty}), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tap.ok(r.returncode == 1 and b'neither pprof nor go' in r.stderr, 'where there is neither: a sentence', r.stderr)


def same_as_commands():
    for name in ('go-cpu', 'go-heap', 'go-mutex'):
        same(os.path.join(DATA, name + '.pb.gz'))
        peek(os.path.join(DATA, name + '.pb.gz'))


def of_a_program():
    box = Box()
    try:
        path = source(box)
        same(path)
        refused(path)
        handed(path)
    finally:
        box.close()


try:
    tap.run(same_as_commands, of_a_program, differences, hostile)
finally:
    shutil.rmtree(root, ignore_errors=True)
