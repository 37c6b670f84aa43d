#!/usr/bin/env python3
"""
The endpoint beside Go's net/http/pprof: one list of requests, both servers asked, and what they say compared.

Of every answer the status and the headers of HEADERS have to be the same, and the body as the row's rule says:

    SAME      to the byte
    ANY       not compared
    PROFILE   valid for all readers, with the same columns, period and default; it has a duration where Go's has one
    DELTA     the same, of a window: a number may be below 0
    TEXT      lines of the same form, ordered by the same number
    THREADS   a block for each thread
    INDEX     links to the same, and more
    SYMBOL    "0xPC NAME" of the address that was asked for
    CMDLINE   the arguments of the program that was asked
    TRACE     of each its own tools' trace

Where we differ by intention a row says so, with what each of the two has to say.
"""

import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import namedtuple

import tap
from cprof import BUILD, Box, wait_for
from endpoint import BASE, GO, NAMED, SECONDS, Go, Ours, Proxy, ask, connect, host_of, pprof
from pprof import Profile
from pprof_rules import problems, unpacked

HEADERS = ('Content-Type', 'Content-Disposition', 'X-Content-Type-Options', 'X-Go-Pprof', 'Location')
SAME, ANY, PROFILE, DELTA, TEXT, THREADS, INDEX, SYMBOL, CMDLINE, TRACE = (
    'same', 'any', 'profile', 'delta', 'text', 'threads', 'index', 'symbol', 'cmdline', 'trace')
FORM = {'Content-Type': 'application/x-www-form-urlencoded'}
SPEC = 'all,heap=16k'  # as served.go
VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')

# {pc}: an address inside a function, of the server that is asked. group: those of one are asked one after the other, since
# Go has one CPU profile and one trace at a time. ours: (status, rule, why) where we differ.
Row = namedtuple('Row', 'path rule method headers body group ours')


def row(path, rule, method='GET', headers=None, body=None, group='quick', ours=None):
    return Row(path if path.startswith('/') else BASE + path, rule, method, headers or {}, body, group, ours)


def form(path, rule, body, **more):
    return row(path, rule, 'POST', FORM, body.encode(), **more)


def table():
    rows = [row('', INDEX), row('?x=1', INDEX), row('', INDEX, 'POST'), row('', ANY, 'HEAD'),
            row('/debug/pprof', ANY), row('/debug/pprof?x=1', ANY), row('/debug//pprof/heap', ANY), row('./heap', ANY),
            row('../pprof/heap', ANY), row('/', SAME), row('/debug/', SAME), row('/debug/pproff', SAME), row('/nothing', SAME),
            row('cmdline', CMDLINE), row('cmdline?debug=1', CMDLINE), row('cmdline', CMDLINE, 'POST'), row('cmdline', ANY, 'HEAD')]
    for name in NAMED + ('handles',):
        rows += [row(name, PROFILE), row(name + '?debug=0', PROFILE), row(name + '?debug=', PROFILE),
                 row(name + '?debug=1', TEXT), row(name, ANY, 'HEAD'),
                 row(name + '?debug=1', ANY, 'HEAD'), row(name, PROFILE, 'POST', body=b'')]
        for seconds in ('0', '-1', '1.5', 'x', '%20', '1s', '0x1', '1_0', '9999999999999999999', '1%00', '%2B', '-', '+1', '1%20'):
            rows.append(row('%s?seconds=%s' % (name, seconds), SAME))
    for name in NAMED:
        rows += [row(name + '?seconds=1&debug=1', SAME), row(name + '?seconds=2&debug=-1', SAME),
                 row(name + '?seconds=1', DELTA, group=name), row(name + '?seconds=1&debug=x', DELTA, group=name)]
    rows += [row('handles?seconds=1', SAME), row('handles?seconds=1&debug=1', SAME)]
    rows += [row('heap?seconds=%2B1', DELTA, group='heap'), row('heap?seconds=01', DELTA, group='allocs'),
             row('heap?seconds=1&seconds=x', DELTA, group='block'), form('mutex', DELTA, 'seconds=1', group='mutex'),
             form('mutex?seconds=x', DELTA, 'seconds=1', group='goroutine'), form('mutex?seconds=1', SAME, 'seconds=x')]
    # parameters
    rows += [row('heap?gc=1', PROFILE), row('heap?gc=1&debug=1', TEXT), row('heap?gc=x', PROFILE), row('heap?gc=-1', PROFILE),
             row('heap?debug=2', TEXT), row('heap?debug=3', TEXT), row('heap?debug=x', PROFILE), row('heap?debug=1x', PROFILE),
             row('heap?debug=-1', ANY), row('heap?debug=%2B1', TEXT), row('heap?debug=0x1', PROFILE),
             row('heap?debug=99999999999999999999', ANY), row('heap?debug=1&debug=0', TEXT), row('heap?debug=0&debug=1', PROFILE),
             row('heap?debug=1;x=1', PROFILE), row('heap?DEBUG=1', PROFILE), row('heap?%64ebug=1', TEXT),
             row('heap?x=%zz&debug=1', TEXT), row('heap?debug=%31', TEXT), row('heap?&&debug=1&', TEXT), row('heap?=1', PROFILE),
             row('heap?', PROFILE), row('heap?debug', PROFILE), row('goroutine?debug=2', THREADS), row('goroutine?debug=3', THREADS),
             row('block?debug=2', TEXT), row('mutex?debug=2', TEXT), row('threadcreate?debug=2', TEXT),
             form('heap', TEXT, 'debug=1'), form('heap?debug=0', TEXT, 'debug=1'), form('heap?debug=1', PROFILE, 'debug=0'),
             row('heap', PROFILE, 'POST', {'Content-Type': 'text/plain'}, b'debug=1'),
             row('heap', TEXT, 'PUT', FORM, b'debug=1'), row('heap', PROFILE, 'DELETE', FORM, b'debug=1'),
             row('heap', PROFILE, 'GET', FORM, b'debug=1'), row('heap', PROFILE, 'OPTIONS'), row('heap', PROFILE, 'BREW')]
    # names
    rows += [row(name, SAME) for name in (
        'nothing', 'nothing?seconds=1', 'nothing?seconds=x&debug=1', 'HEAP', 'heap/', 'heap/x', 'cmdline/', 'profile/', 'trace/',
        'symbol/', 'index', 'heap%00', 'heap%2f', 'a%20b', 'heap%0d%0aX-Evil:%201', '%3Cscript%3E', '%ff', 'x' * 1000, 'heap.pb.gz',
        'delta_nothing')]
    rows += [row('%68eap', PROFILE), row('/debug/%70prof/heap', PROFILE), row('nothing', SAME, 'POST'), row('nothing', ANY, 'HEAD')]
    # symbol
    rows += [row(p, SAME) for p in ('symbol', 'symbol?', 'symbol?0x1', 'symbol?0x1+0x2', 'symbol?+', 'symbol?nonsense', 'symbol?-1',
                                    'symbol?0', 'symbol?0x', 'symbol?99999999999999999999999', 'symbol?%30x1', 'symbol?a=b&c=d',
                                    'symbol?' + '+'.join(['0x1'] * 500), 'symbol?' + 'a' * 5000)]
    rows += [row('symbol', SAME, 'POST', body=b) for b in (b'', b'0x1', b'+++', b'\x00\xff', b'0x1+' * 3000, b'a' * 4095,
                                                           b'a' * 5000 + b'+0x1', b'a' * 5000)]
    rows += [row('symbol?{pc}', SYMBOL), row('symbol?0x1+{pc}', SYMBOL), row('symbol?{pc}+0x1+', SYMBOL),
             row('symbol?{decimal}', SYMBOL), row('symbol?{upper}', SYMBOL), row('symbol?{padded}', SYMBOL),
             row('symbol?{under}', SYMBOL), row('symbol?{octal}', SYMBOL),
             row('symbol?{pc}', SAME, 'POST', body=b''), row('symbol?{pc}', SYMBOL, 'PUT', body=b'0x1'),
             row('symbol', SYMBOL, 'POST', body=b'{pc}'), row('symbol', SYMBOL, 'POST', body=b'0x1+{pc}+0x2'),
             row('symbol', SYMBOL, 'POST', {'Content-Type': 'application/octet-stream'}, b'{pc}'),
             row('symbol', SYMBOL, 'POST', FORM, b'{pc}'), row('symbol', ANY, 'HEAD')]
    # windows
    rows += [row('profile?seconds=1', PROFILE, group='cpu'), row('profile?seconds=%2B1', PROFILE, group='cpu'),
             row('profile?seconds=1&debug=1', PROFILE, group='cpu'), form('profile', PROFILE, 'seconds=1', group='cpu'),
             row('profile?seconds=1', ANY, 'HEAD', group='cpu'),
             row('trace?seconds=0.2', TRACE, group='trace'), row('trace?seconds=2e-1', TRACE, group='trace'),
             row('trace', TRACE, group='trace'), row('trace?seconds=x', TRACE, group='trace'),
             row('trace?seconds=-1', TRACE, group='trace'), row('trace?seconds=0', TRACE, group='trace'),
             form('trace', TRACE, 'seconds=0.2', group='trace'), row('trace?seconds=0.1', ANY, 'HEAD', group='trace'),
             row('trace?seconds=0x1p-2', TRACE, group='trace'), row('trace?seconds=.25', TRACE, group='trace')]
    return rows


# What is too long for the server: Go's has a write timeout of 20 s, ours a limit of its own.
TOO_LONG = ['profile?seconds=%s' % n for n in ('1000000', '9223372036854775807')] + \
           ['%s?seconds=1000000' % n for n in NAMED] + ['trace?seconds=%s' % n for n in ('1e6', '1e300', 'inf', '%2BInf', 'Infinity')]
# What is 30 s: Go's server says that its 20 s are less.
DEFAULTS = ('profile', 'profile?seconds=', 'profile?seconds=0', 'profile?seconds=-5', 'profile?seconds=x', 'profile?seconds=1.5',
            'profile?seconds=99999999999999999999', 'profile?seconds=+1')


def a_function(server):
    """(address, name) of a function that has made others wait; by then there is something in every profile."""
    def found():
        text = ask(server.address, BASE + 'mutex?debug=1').text
        has_blocks = re.search(r'^[1-9]\d*: .*@ 0x', ask(server.address, BASE + 'heap?debug=1').text, re.MULTILINE)
        return has_blocks and [f for f in re.findall(r'^#\t(0x[0-9a-f]+)\t(\S+)\+0x', text, re.MULTILINE)
                               if f[1] in ('contend', 'main.contend')]

    if not wait_for(found, SECONDS):
        raise ValueError('nobody waits')
    return found()[0]


def filled(text, pc):
    n = int(pc, 16)
    ways = {'pc': pc, 'decimal': str(n), 'upper': '0X%X' % n, 'padded': '0x%020x' % n, 'under': '0x_%x' % n, 'octal': '0%o' % n}
    for key, value in ways.items():
        text = text.replace('{%s}' % key, value)
    return text


def send(server, r, pc):
    body = None if r.body is None else filled(r.body.decode('latin-1'), pc).encode('latin-1')
    return ask(server.address, filled(r.path, pc), r.method, r.headers, body)


# Bodies: each a list of what is wrong with ours beside Go's.

def judge_profile(ours, go, is_delta):
    wrong = problems(ours.body)
    if wrong:
        return wrong
    a, b = Profile(unpacked(ours.body)), Profile(unpacked(go.body))
    for what in ('types', 'period', 'period_type') + (() if is_delta else ('default_type',)):  # which Go's Merge() forgets
        mine, theirs = getattr(a, what), getattr(b, what)
        if mine != theirs:
            wrong.append('%s: %r, Go: %r' % (what, mine, theirs))
    if (a.duration_ns > 0) != (b.duration_ns > 0):
        wrong.append('duration: %d, Go: %d' % (a.duration_ns, b.duration_ns))
    if not is_delta and any(v < 0 for s in a.samples for v in s.values):
        wrong.append('a number below 0')
    if is_delta and any(not any(s.values) for s in a.samples):
        wrong.append('a row of zeros')
    return wrong


PCS = r'(?: 0x[0-9a-f]+)+'
# Go aligns the last column; without debug information there is no line of a file; a stack that could not be followed says so
COMMENT = r'#\t0x[0-9a-f]+(?:\t\S.*\+0x[0-9a-f]+\t+\S.*)?|#\t0x0\t\[truncated\]'
GRAMMARS = {  # first lines, one stack, and which number of it goes down
    'heap profile: ': (r'heap profile: \d+: \d+ \[\d+: \d+\] @ heap/\d+$', r'\d+: (\d+) \[\d+: \d+\] @' + PCS),
    '--- contention:': (r'--- contention:$', r'(\d+) \d+ @' + PCS),
    '--- mutex:': (r'--- mutex:$', r'(\d+) \d+ @' + PCS),
    '': (r'\w+ profile: total \d+$', r'(\d+) @(?: 0x[0-9a-f]+)*'),
}


def judge_text(ours, go):
    lines, theirs = ours.text.split('\n'), go.text.split('\n')
    start = next(s for s in GRAMMARS if theirs[0].startswith(s))
    first, stack = GRAMMARS[start]
    strip = lambda line: re.sub(r'\d+', 'N', line)
    if not re.match(first, lines[0]) or strip(lines[0]) != strip(theirs[0]):
        return ['first line %r, Go: %r' % (lines[0], theirs[0])]
    wrong, last, count, at = [], None, 0, 1
    while at < len(lines) and '=' in lines[at] and not lines[at].startswith('#'):
        at += 1
    if [strip(l) for l in lines[1:at]] != [strip(l) for l in theirs[1:at]]:
        wrong.append('%r, Go: %r' % (lines[1:at], theirs[1:at]))
    for line in lines[at:]:
        found = re.fullmatch(stack, line)
        if found:
            number = int(found.group(1))
            if last is not None and number > last:
                wrong.append('%d comes after %d' % (number, last))
            last, count = number, count + 1
        elif line and not re.fullmatch(COMMENT, line) and not line.startswith('# '):
            wrong.append('line %r' % line)
    if not ours.text.endswith('\n'):
        wrong.append('the last line has no end')
    if count == 0:
        wrong.append('no stacks')
    return wrong


def judge_threads(ours, _):
    blocks = ours.text.rstrip('\n').split('\n\n')
    wrong = ['block begins with %r' % b.split('\n')[0] for b in blocks
             if not re.match(r'(goroutine|thread) \d+ \[[^\]]+\].*:$', b.split('\n')[0])]
    if 'main' not in ours.text:
        wrong.append('nobody is in main')
    return wrong[:5]


def judge_index(ours, go):
    """By any parameters; who looks for goroutines finds threads."""
    links = lambda a: {l.split('?')[0] for l in re.findall(r'''href=["']([^"']*)["']''', a.text)}
    mine = links(ours)
    wrong = ['no link to ' + l for l in links(go) if l not in mine and not (l == 'goroutine' and 'threads' in mine)]
    if '<title>/debug/pprof/</title>' not in ours.text:
        wrong.append('title')
    return wrong


def judge_trace(answer, server):
    with tempfile.NamedTemporaryFile() as f:
        f.write(answer.body)
        f.flush()
        if server.name == 'Go':
            return [] if answer.body.startswith(b'go 1.') else ['no trace of Go: %r' % answer.body[:16]]
        done = subprocess.run([VIEWER, f.name, 'check'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return [] if done.returncode == 0 else [done.stdout.decode('utf-8', 'replace')[:300]]


def judge_cmdline(answer, server):
    with open('/proc/%d/cmdline' % server.pid, 'rb') as f:
        want = f.read()[:-1]
    return [] if answer.body == want else ['%r, wanted %r' % (answer.body, want)]


def judge_symbol(answer, function):
    want = 'num_symbols: 1\n%s %s\n' % function
    return [] if answer.text == want else ['%r, wanted %r' % (answer.text, want)]


def judge(r, servers, answers, functions):
    go, ours = answers
    if r.ours:
        status, rule, _ = r.ours
        wrong = [] if ours.status == status else ['status %d, wanted %d' % (ours.status, status)]
        return wrong + (problems(ours.body) if rule == PROFILE else [])
    wrong = [] if ours.status == go.status else ['status %d, Go: %d' % (ours.status, go.status)]
    for name in HEADERS:
        if name == 'X-Content-Type-Options' and ours.header(name) == 'nosniff':
            continue  # to the redirections of its server Go adds none
        if ours.header(name) != go.header(name):
            wrong.append('%s: %r, Go: %r' % (name, ours.header(name), go.header(name)))
    if r.rule == SAME and ours.body != go.body:
        wrong.append('%r, Go: %r' % (ours.body[:300], go.body[:300]))
    if r.method == 'HEAD' and ours.body:
        wrong.append('a body')
    if wrong and ours.status != go.status:
        return wrong + [ours.show()]
    if r.rule in (PROFILE, DELTA):
        wrong += judge_profile(ours, go, r.rule == DELTA)
    elif r.rule in (TEXT, THREADS, INDEX):
        wrong += {TEXT: judge_text, THREADS: judge_threads, INDEX: judge_index}[r.rule](ours, go)
    elif r.rule in (TRACE, CMDLINE, SYMBOL):
        for server, answer, function in zip(servers, answers, functions):
            if r.rule == TRACE:
                wrong += judge_trace(answer, server)
            elif r.rule == CMDLINE:
                wrong += judge_cmdline(answer, server)
            else:
                wrong += judge_symbol(answer, function)
    return wrong


def about(r):
    text = '%s %s' % (r.method, r.path if len(r.path) < 80 else r.path[:60] + '… (%d)' % len(r.path))
    if r.body:
        text += ' with %r' % (r.body if len(r.body) < 30 else b'%s... (%d)' % (r.body[:20], len(r.body)))
    return text + (': ' + r.ours[2] if r.ours else '')


def asked(servers, rows):
    """The answers of both to each row, in order; groups at once."""
    functions = [a_function(s) if any(r.rule == SYMBOL for r in rows) else ('0x1', '') for s in servers]
    groups = {}
    for i, r in enumerate(rows):
        groups.setdefault(r.group, []).append(i)
    answers = [[None] * len(rows), [None] * len(rows)]

    def ask_group(of, group):
        for i in groups[group]:
            try:
                answers[of][i] = send(servers[of], rows[i], functions[of][0])
            except OSError as error:
                answers[of][i] = error
            except Exception as error:  # no HTTP
                answers[of][i] = error

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda which: ask_group(*which), [(of, g) for g in groups for of in (0, 1)]))
    return functions, answers


def compare(go, ours):
    compare_rows(go, ours, table())


def compare_rows(go, ours, rows):
    functions, answers = asked((go, ours), rows)
    for i, r in enumerate(rows):
        pair = [a[i] for a in answers]
        broken = [repr(a) for a in pair if isinstance(a, Exception)]
        wrong = broken or judge(r, (go, ours), pair, functions)
        tap.ok(not wrong, '%s: %s' % (ours.about, about(r)), '\n'.join(wrong[:6]))


def lengths(slow, ours):
    """What is too long, and what is 30 s."""
    for path in TOO_LONG:
        a, b = ask(slow.address, BASE + path), ask(ours.address, BASE + path)
        tap.equal((b.status, b.text, b.header('X-Go-Pprof')), (a.status, a.text, a.header('X-Go-Pprof')), ours.about + ': ' + path)
    for path in DEFAULTS:
        tap.equal(ask(slow.address, BASE + path).status, 400, 'Go: 30 s: ' + path)
    with concurrent.futures.ThreadPoolExecutor(len(DEFAULTS)) as pool:
        answers = list(pool.map(lambda p: ask(ours.address, BASE + p), DEFAULTS))
    for path, a in zip(DEFAULTS, answers):
        wrong = problems(a.body) if a.status == 200 else [a.show()]
        seconds = 0 if wrong else Profile(unpacked(a.body)).duration_ns / 1e9
        tap.ok(not wrong and seconds >= 29.9, '%s: 30 s: %s (%.2f)' % (ours.about, path, seconds), wrong)


def both_at_once(go, ours):
    """The one thing that we do otherwise: each reader has a window of its own."""
    refusals = {'profile': b'Could not enable CPU profiling: cpu profiling already in use\n',
                'trace': b'Could not enable tracing: runtime error: tracing is already enabled\n'}
    for what in ('profile', 'trace'):
        path = BASE + what + '?seconds=%d'
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            theirs, mine = ([pool.submit(ask, s.address, path % n) for n in (2, 2)] for s in (go, ours))
            theirs, mine = [f.result() for f in theirs], [f.result() for f in mine]
        refused = [a for a in theirs if a.status == 500]
        tap.ok(len(refused) == 1 and refused[0].body == refusals[what], 'Go: one %s at a time' % what, [a.show() for a in theirs])
        tap.ok(all(a.status == 200 for a in mine), '%s: each has a %s of its own' % (ours.about, what), [a.show() for a in mine])


def connections(go, ours):
    """What a connection bears: requests one after the other and at once, versions, no Host."""
    requests = {
        'two at once': ('GET %scmdline HTTP/1.1\r\nHost: {host}\r\n\r\nGET %snothing HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'
                        % (BASE, BASE), [200, 404]),
        'HTTP/1.0': ('GET %scmdline HTTP/1.0\r\n\r\n' % BASE, [200]),
        'no Host': ('GET %scmdline HTTP/1.1\r\nConnection: close\r\n\r\n' % BASE, [400]),
        'two Hosts': ('GET %scmdline HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nConnection: close\r\n\r\n' % BASE, [400]),
        'an absolute one': ('GET http://{host}%scmdline HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n' % BASE, [200]),
        'a body in pieces': ('POST %ssymbol HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
                             '3\r\n0x1\r\n2\r\n+0\r\n0\r\n\r\n' % BASE, [200]),
        'more after the length': ('POST %ssymbol HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nConnection: close\r\n\r\n0x1GET / HT'
                                  % BASE, [200]),
        'a bad escape': ('GET %s%%zz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n' % BASE, [400]),
        'no request': ('nonsense\r\n\r\n', [400]),
        'another version': ('GET / HTTP/3.0\r\nHost: {host}\r\n\r\n', [505]),
    }
    for what, (text, want) in requests.items():
        for server in (go, ours):
            with connect(server.address) as sock:
                sock.sendall(text.format(host=host_of(server.address)).encode())
                data = b''
                while True:
                    try:
                        more = sock.recv(65536)
                    except ConnectionError:
                        break
                    if not more:
                        break
                    data += more
            got = [int(s) for s in re.findall(rb'HTTP/1\.[01] (\d{3}) ', data)]
            about_server = 'Go' if server is go else ours.about
            if got != want and server is ours and want[-1] >= 400:
                # which refusal it is belongs to the server's library; that it is one does not
                tap.ok(all(400 <= s < 600 for s in got), '%s: %s is refused' % (about_server, what), repr(data[:300]))
            else:
                tap.equal(got, want, '%s: %s' % (about_server, what))


EXTRAS = [  # what Go has not, by docs: path, status, content type, file name, columns
    ('/debug/fgprof?seconds=1', 'application/octet-stream', 'profile', [('samples', 'count'), ('time', 'nanoseconds')]),
    ('wall?seconds=1', 'application/octet-stream', 'wall-delta', [('samples', 'count'), ('time', 'nanoseconds')]),
    ('wall', 'application/octet-stream', 'wall', [('samples', 'count'), ('time', 'nanoseconds')]),
    ('threads', 'application/octet-stream', 'threads', [('threads', 'count')]),
    ('delta_heap', 'application/octet-stream', 'delta_heap', None), ('delta_block', 'application/octet-stream', 'delta_block', None),
    ('delta_mutex', 'application/octet-stream', 'delta_mutex', None),
]


def extras(ours):
    for path, kind, name, types in EXTRAS:
        a = ask(ours.address, path if path.startswith('/') else BASE + path)
        wrong = problems(a.body) if a.status == 200 else [a.show()]
        if not wrong and types and Profile(unpacked(a.body)).types != types:
            wrong.append('columns %r' % Profile(unpacked(a.body)).types)
        for header, want in (('Content-Type', kind), ('Content-Disposition', 'attachment; filename="%s"' % name),
                             ('X-Content-Type-Options', 'nosniff')):
            if a.header(header) != want:
                wrong.append('%s: %r' % (header, a.header(header)))
        tap.ok(not wrong, '%s: %s' % (ours.about, path), wrong)
    a = ask(ours.address, '/debug/fgprof?seconds=1&format=folded')
    wrong = [l for l in a.text.splitlines() if not re.fullmatch(r'\S.* [1-9]\d*', l)]
    tap.ok(a.status == 200 and a.text.endswith('\n') and not wrong, ours.about + ': fgprof, folded', wrong or a.show())


@contextlib.contextmanager
def reached(address):
    """A port by which go tool pprof gets there."""
    if isinstance(address, int):
        yield address
        return
    with Proxy(address) as proxy:
        yield proxy.port


def go_tool(server):
    """go tool pprof asks by itself; through a proxy where there is no port."""
    if shutil.which('go') is None:
        tap.skip('go tool pprof', 'no go here')
        return
    with reached(server.address) as port:
        url = 'http://127.0.0.1:%d%s' % (port, BASE)
        known = ('contend', 'compute', 'spin', 'allocate', 'work', 'nanosleep', 'host_spin', 'start_thread', 'goexit', 'allocm')
        runs = [(['-top', '-seconds', '1'], 'profile')] + [(['-top'], n) for n in NAMED] + \
               [(['-top'], n + '?seconds=1') for n in NAMED] + [(['-raw'], n) for n in NAMED] + \
               [(['-top', '-base', url + n], n) for n in ('allocs', 'block')] + \
               [(['-top', '-sample_index=alloc_space'], 'heap?seconds=1'), (['-traces'], 'goroutine')]
        for options, what in runs:
            status, out, err = pprof(*options, url + what)
            # nothing may have changed in between
            is_fine = status == 0 and (any(n in out for n in known) or 'seconds' in what or '-base' in options)
            tap.ok(is_fine, '%s: go tool pprof %s %s' % (server.about, ' '.join(options[:1]), what), (out + err)[-600:])
        # a listing without names: the client asks symbol for them
        for what in ('heap', 'block', 'mutex', 'goroutine'):
            status, out, err = pprof('-top', '-symbolize=remote', url + what + '?debug=1')
            tap.ok(status == 0 and re.search(r'(?:main\.)?(allocate|contend|work|main)\b', out),
                   '%s: go tool pprof %s?debug=1: names by symbol' % (server.about, what), (out + err)[-600:])
        status, out, err = pprof('-top', url + 'nothing')
        tap.ok(status != 0 and 'Unknown profile' in err, server.about + ': what it says of an error is shown', err)


def oracle():
    """The rules take Go for Go."""
    if not os.path.exists(GO):
        tap.skip('Go beside Go', 'no Go here')
        return
    with Go() as one, Go() as other:
        one.about = other.about = 'Go beside Go'
        compare(one, other)
        go_tool(other)


def launched():
    parity(None, 'cprof run')


def in_process():
    parity('unix', 'http=unix')


def by_port():
    parity('tcp', 'http=tcp', compare)


def parity(listen, name, *tests):
    if not os.path.exists(GO):
        tap.skip(name + ' beside Go', 'no Go here')
        return
    box = Box()
    try:
        with Go() as go, Ours(box, SPEC, listen) as ours:
            ours.about = name
            for test in tests or (compare, both_at_once, connections):
                test(go, ours)
            extras(ours)
            go_tool(ours)
            if not tests:
                with Go('-write-timeout', '20s') as slow:
                    lengths(slow, ours)
        tap.equal(ours.process.returncode, 0, name + ': it ends well')
    finally:
        box.close()


def is_on(server, name):
    found = re.search(r'^%s\s+(\w+)' % name, ask(server.address, '/debug/cprof/status').text, re.MULTILINE)
    return found is not None and found.group(1) == 'on'


def off():
    """Nothing is switched on: all is there, valid and empty, and what needs a window is on for as long as it."""
    if not os.path.exists(GO):
        tap.skip('off beside Go', 'no Go here')
        return
    for listen, name in (('unix', 'http=unix'), (None, 'cprof run')):
        box = Box()
        with Go('-rate', '524288') as go, Ours(box, 'threadcreate', listen) as ours:  # what the heap profile would have
            ours.about = name + ', off'
            rows = [r for r in table() if r.rule in (PROFILE, DELTA, SAME) and (r.group == 'cpu' or not r.body)]
            compare_rows(go, ours, rows)
            for what in ('cpu', 'wall'):
                tap.ok(wait_for(lambda: not is_on(ours, what)), '%s: %s is off' % (ours.about, what))
            a = ask(ours.address, BASE + 'profile?seconds=2')
            wrong = problems(a.body) if a.status == 200 else [a.show()]
            tap.ok(not wrong and Profile(unpacked(a.body)).total(0) > 0, ours.about + ': a CPU profile of its window', wrong)
            tap.ok(wait_for(lambda: not is_on(ours, 'cpu')), ours.about + ': and it is off again')
            # who comes when another goes: it is not switched off under him
            counts = [Profile(unpacked(ask(ours.address, BASE + 'profile?seconds=1').body)).total(0) for _ in range(5)]
            tap.ok(min(counts) > 3, '%s: five windows, one after the other: %r' % (ours.about, counts))
            left_on = []
            for delay in (0, 0, 0, 0.01, 0.1, 0.5):  # at once: while it is being switched on
                sock = connect(ours.address)
                sock.sendall(b'GET %sprofile?seconds=600 HTTP/1.1\r\nHost: cprof\r\n\r\n' % BASE.encode())
                is_waiting = wait_for(lambda: is_on(ours, 'cpu'))
                time.sleep(delay)
                sock.close()
                if not is_waiting or not wait_for(lambda: not is_on(ours, 'cpu')):
                    left_on.append(delay)
                    break
            tap.ok(not left_on, ours.about + ': on for one who waits, off when he goes', 'not for who went after %r s' % left_on)
            a = ask(ours.address, BASE + 'trace?seconds=1')
            wrong = judge_trace(a, ours) if a.status == 200 else [a.show()]
            tap.ok(not wrong, ours.about + ': a trace of its window', wrong)
        tap.equal(ours.process.returncode, 0, ours.about + ': it ends well')
        box.close()


tap.run(oracle, launched, in_process, by_port, off)
