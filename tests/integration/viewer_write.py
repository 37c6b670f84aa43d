#!/usr/bin/env python3
"""What cprof-trace makes of a recording: a trace with names in it, and a piece of one."""

import ctypes
import http.server
import json
import os
import random
import re
import shutil
import subprocess
import threading

import tap
import trace_file
from cprof import BUILD, PROGRAMS, Box

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(PROGRAMS, 'make_trace')
PLAN = 'timetable_cxx' if os.path.exists(os.path.join(PROGRAMS, 'timetable_cxx')) else 'timetable'
SOURCE = PLAN + ('.cc' if PLAN.endswith('cxx') else '.c')
BEGINNING = ('thread.status', 'status.held', 'status.region', 'clock.sync', 'sched.in')
BOOK = ('thread.status', 'status.held', 'status.region', 'clock.sync', 'lost')

box = Box()
there = os.path.join(box.root, 'bin')
program = os.path.join(there, 'plan')


def at(name):
    return os.path.join(box.root, name)


def run(*args, env=None, stdin=None):
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=stdin,
                       env=box.environment(env), timeout=300)
    r.text, r.said = r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace')
    return r


def one_line(said):
    return said.strip().replace(box.root, '').replace('\n', '; ')


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def record(name, source):
    """A recording of a copy of @source, which is the program from then on."""
    shutil.copy2(source, program)
    r = box.run(program, '3', spec='cpu,trace', output=at(name))
    path = os.path.join(at(name), 'trace.out')
    # its status says whether it could keep to its plan, which is nothing to us
    tap.ok(r.status >= 0 and os.path.exists(path), '%s is recorded' % name, r.show())
    return path


def make(*args, env=None):
    """What is written by a subcommand, which @args tell."""
    path = at('new%d' % len(os.listdir(box.root)))
    r = run(*args, '-o', path, env=env)
    tap.ok(r.returncode == 0 and os.path.exists(path), ' '.join(os.path.basename(a) for a in args[:6]),
           '%d %s' % (r.returncode, r.said))
    return path, r


def is_whole(path, about):
    r = run(path, 'check')
    tap.ok(r.returncode == 0, '%s: check has nothing against it' % about, r.text)
    trace = trace_file.read(path)
    tap.equal(trace.problems, [], '%s: nor has another reader' % about)
    if shutil.which('lz4'):
        done = subprocess.run(['lz4', '-t', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        tap.equal(done.returncode, 0, '%s: nor lz4 -t' % about)
    return trace


def event_blocks(path, trace):
    """The bytes of each block of events, header and payload."""
    data = read(path)
    return [data[b.offset:b.offset + 8 + b.header_bytes + b.stored_bytes] for b in trace.blocks if b.kind == 'events']


def symbolize():
    old = record('plain', os.path.join(PROGRAMS, PLAN))
    named = run(old, 'events', '--stacks')
    tap.ok(SOURCE + ':' in named.text and named.returncode == 0, 'on the same machine there are names', named.said)
    bare = run(old, 'events', '--stacks', '--no-symbols').text
    tap.ok(SOURCE + ':' not in bare.replace('@0x', '') or 'plan+0x' in bare, 'without asking there are none')
    tap.ok('plan+0x' in bare and '(inline)' not in bare, 'but places in files')
    new, r = make(old, 'symbolize')
    tap.ok(re.search(r'names of \d+ places of \d+; next', r.said), 'it says how many: %s' % one_line(r.said))
    before, after = trace_file.read(old), is_whole(new, 'symbolized')
    tap.equal(event_blocks(new, after), event_blocks(old, before), 'events are the same byte for byte')
    tap.equal(after.header, before.header, 'it is the same trace')
    functions = {line[0] for lines in after.symbols.values() for line in lines}
    tap.ok(any(f.endswith('cxx_sleep') for f in functions) or PLAN == 'timetable', 'functions by their names', sorted(functions))
    deep = [lines for lines in after.symbols.values() if len(lines) > 1]
    tap.ok(deep, 'with the calls that were inlined')
    again, _ = make(new, 'symbolize')
    tap.equal(read(again), read(new), 'a second time changes nothing')
    os.rename(program, program + '.away')
    tap.equal(run(new, 'events', '--stacks', '--no-symbols').text, named.text, 'where the program is gone, all is as it was')
    tap.ok(SOURCE + ':' not in run(old, 'events', '--no-symbols', '--type', 'sample.*').text, 'which the old one needs it for')
    again, r = make(new, 'symbolize')
    tap.ok('plan: ' in r.said and 'as they were' in r.said, 'and says: %s' % one_line(r.said), r.said)
    tap.equal(run(again, 'events', '--stacks', '--no-symbols').text, named.text, 'names that are there are not lost')
    # another file of that name
    shutil.copy2(os.path.join(PROGRAMS, 'burn'), program)
    other, r = make(old, 'symbolize')
    tap.ok('build id' in r.said and program in r.said, 'another build is refused: %s' % one_line(r.said))
    text = run(other, 'events', '--stacks', '--no-symbols').text
    tap.ok('plan+0x' in text, 'its places stay numbers')
    tap.ok('plan+0x' in run(old, 'events', '--stacks').text, 'on demand, too')
    r = run(old, 'events', '-v', '--stacks')
    tap.ok('build id' in r.said, '-v says why', r.said)
    quiet = run(old, 'symbolize', '-q', '-f', '-o', other)
    tap.equal((quiet.returncode, quiet.said), (0, ''), '-q says nothing')
    through = run('-', 'symbolize', '-q', '-o', '-', stdin=read(old))
    tap.equal(run('-', 'check', stdin=through.stdout).returncode, 0, 'through pipes')


class Debuginfod(http.server.BaseHTTPRequestHandler):
    """Has one debug file"""
    files = {}
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        found = self.files.get(self.path)
        self.send_response(200 if found else 404)
        self.send_header('Content-Length', str(len(found or b'')))
        self.end_headers()
        self.wfile.write(found or b'')

    def log_message(self, *args):
        pass


def from_server(old, build_id, debug, wanted):
    r = run(old, 'symbolize', '--debuginfod', '-o', at('never'), env={'DEBUGINFOD_URLS': ''})
    tap.ok(r.returncode == 2 and 'DEBUGINFOD_URLS' in r.said and not os.path.exists(at('never')),
           'without a server --debuginfod says so: %s' % one_line(r.said), r.said)
    try:
        ctypes.CDLL('libdebuginfod.so.1')
    except OSError:
        r = run(old, 'symbolize', '--debuginfod', '-o', at('never'), env={'DEBUGINFOD_URLS': 'http://127.0.0.1:9'})
        tap.ok(r.returncode == 2 and 'libdebuginfod1' in r.said, 'without a client it says so: %s' % one_line(r.said), r.said)
        return
    Debuginfod.files['/buildid/%s/debuginfo' % build_id] = read(debug)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Debuginfod)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {'DEBUGINFOD_URLS': 'http://127.0.0.1:%d' % server.server_port, 'DEBUGINFOD_CACHE_PATH': at('debuginfod'),
           'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1'}
    bare, _ = make(old, 'symbolize', env=env)
    tap.ok(SOURCE not in run(bare, 'events', '--stacks', '--no-symbols').text and not Debuginfod.asked,
           'a server is not asked unless --debuginfod says so')
    new, r = make(old, 'symbolize', '--debuginfod', env=env)
    tap.equal(run(new, 'events', '--stacks', '--no-symbols').text, wanted, 'with it names are those of the debug file')
    tap.ok('/buildid/%s/debuginfo' % build_id in Debuginfod.asked, 'which the server was asked for', Debuginfod.asked)
    server.shutdown()
    server.server_close()


def stripped():
    if not all(shutil.which(tool) for tool in ('objcopy', 'strip', 'readelf')):
        tap.skip('stripped programs', 'no binutils')
        return
    whole, bare, debug = at('whole'), at('bare'), at('plan.debug')
    shutil.copy2(os.path.join(PROGRAMS, PLAN), whole)
    subprocess.run(['objcopy', '--only-keep-debug', whole, debug], check=True)
    subprocess.run(['strip', '--strip-all', '-o', bare, whole], check=True)
    old = record('stripped', bare)
    new, _ = make(old, 'symbolize')
    tap.ok(SOURCE not in run(new, 'events', '--stacks', '--no-symbols').text, 'a stripped program has no lines')
    build_id = re.search(r'Build ID: (\w+)', subprocess.run(['readelf', '-n', whole], stdout=subprocess.PIPE,
                                                            universal_newlines=True).stdout)[1]
    directory = at('debug')
    os.makedirs(os.path.join(directory, '.build-id', build_id[:2]))
    shutil.copy2(debug, os.path.join(directory, '.build-id', build_id[:2], build_id[2:] + '.debug'))
    new, _ = make(old, 'symbolize', '--debug-dir', directory)
    text = run(new, 'events', '--stacks', '--no-symbols').text
    tap.ok(SOURCE + ':' in text and '(inline)' in text, 'its debugging information is found where --debug-dir says')
    from_server(old, build_id, debug, text)
    os.remove(program)
    gone, _ = make(old, 'symbolize', '--debug-dir', directory)

    def told(names):
        # a sample may fall on a stub of the PLT, which only the program itself has
        return re.sub(r'\w+@plt|\b%s\+0x[0-9a-f]+' % PLAN, '(stub)', names)

    tap.equal(told(run(gone, 'events', '--stacks', '--no-symbols').text), told(text), 'also when the program is gone')
    waits = [json.loads(line.rstrip(',')) for line in
             run(gone, 'events', '--json', '--no-symbols', '--type', 'lock.*,cond.*').text.splitlines() if '{' in line]
    places = [row['args']['obj'] for row in waits if ' ' in row['args'].get('obj', '')]
    tap.ok(all(re.search(r' \S+:\d+@0x', place) for place in places), 'locks that are called by their place: %d' % len(places),
           sorted(set(places))[:5])


def rows(path, *args):
    """Events without the processor, which is known from a thread's next switch on."""
    found = json.loads(run(path, 'events', '--json', '--stacks', '--no-symbols', '-q', *args).text)
    for row in found:
        row.pop('cpu')
    return found


def without_beginning(found, wanted, begin):
    """What is left of @found without what was added at its first moment."""
    left, k = [], 0
    for row in found:
        if k < len(wanted) and row == wanted[k]:
            k += 1
        elif row['time_ns'] == begin and row['type'] in BEGINNING:
            continue
        left.append(row)
    return left


def difference(got, wanted):
    for i, (a, b) in enumerate(zip(got, wanted)):
        if a != b:
            return 'at %d: %r, not %r' % (i, a, b)
    return '%d, not %d' % (len(got), len(wanted))


def cut():
    old = record('cut', os.path.join(PROGRAMS, PLAN))
    every = rows(old)
    times = [row['time_ns'] for row in every]
    middle, later = times[len(times) // 3], times[len(times) * 2 // 3]
    names = sorted({row['thread'] for row in every if row['thread'] and row['type'].startswith('lock')})
    for begin, end, threads, drop in ((None, None, None, None), (middle, later, None, None), (middle + 1, middle + 30000000, None, None),
                                      (None, middle, None, 'sched.*'), (later, None, ','.join(names[:2]), None),
                                      (middle, later, names[0], 'syscall*,sample.*'), (None, None, None, 'lock.*,cond.*'),
                                      (times[-1], None, None, None), (0, times[0], None, None)):
        options = (['--from', '%dns' % begin] if begin is not None else []) + (['--to', '%dns' % end] if end is not None else []) + \
                  (['--threads', threads] if threads else [])
        about = 'cut %s' % ' '.join(options + (['--drop', drop] if drop else []))
        path, r = make(old, 'cut', *options, *(['--drop', drop] if drop else []))
        trace = is_whole(path, about)
        wanted = rows(old, *options)
        if drop:
            patterns = [re.compile(p.replace('.', r'\.').replace('*', '.*') + '$') for p in drop.split(',')]
            wanted = [row for row in wanted if row['type'] in BOOK or not any(p.match(row['type']) for p in patterns)]
        found = rows(path)
        if threads:
            # clocks and losses of the process are those of every thread
            found = [row for row in found if row['thread'] in threads.split(',')]
        found = without_beginning(found, wanted, begin if begin is not None else -1)
        tap.ok(found == wanted, '%s: the events that were asked for: %d' % (about, len(wanted)), difference(found, wanted))
        tap.equal(sum(b.count for b in trace.blocks if b.kind == 'events'), int(re.search(r'(\d+) events', r.said)[1]),
                  '%s: as many as it says' % about)
        wrong = [b.classes for b in trace.blocks if b.kind == 'events' and b.summary and sum(b.classes.values()) != b.count]
        tap.equal(wrong, [], '%s: summaries add up' % about)
        wrong = [b.states for b in trace.blocks if b.kind == 'events' and b.summary and b.count and
                 sum(b.states.values()) > (b.last_ns - trace.header.monotonic_ns) + 1000]
        tap.equal(wrong, [], '%s: their times, too' % about)
        if begin == middle and not threads:
            alive = {e.thread for e in trace.named('thread.status') if e.ns == trace.header.monotonic_ns + begin}
            lived = {e.thread for e in trace_file.read(old).events if e.name not in ('sched.in', 'sched.out') and
                     e.thread != trace_file.ALL and e.ns < trace.header.monotonic_ns + begin}
            ended = {e.thread for e in trace_file.read(old).named('thread.exit') if e.ns < trace.header.monotonic_ns + begin}
            tap.equal(alive, lived - ended, '%s: it begins with what every thread does' % about)
        text = run(path, 'info').text
        tap.ok('  cut  ' in text, '%s: info says so' % about, text)
    twice, _ = make(path, 'cut', '--drop', 'syscall')
    tap.equal(run(twice, 'info').text.count('  cut  '), 2, 'a piece of a piece says so twice')
    both, _ = make(make(old, 'symbolize')[0], 'cut', '--from', '%dns' % middle)
    is_whole(both, 'symbolized, then cut')
    tap.ok(SOURCE + ':' in run(both, 'events', '--stacks', '--no-symbols').text, 'a piece keeps names')
    mark, _ = make(old, 'cut', '--from', '%dns' % middle, '--to', '+10ms')
    tap.equal({row['time_ns'] - middle <= 10000000 for row in rows(mark)}, {True}, 'times as they are written')


def refused():
    old = os.path.join(at('cut'), 'trace.out')
    data = read(old)
    for args, words in ((['cut'], ['-o']), (['symbolize'], ['-o']), (['cut', '-o', at('x'), '--from', '2s', '--to', '1s'], ['before']),
                        (['cut', '-o', at('x'), '--drop', 'lokc'], ['lokc']), (['cut', '-o', at('x'), '--from', 'noon'], ['noon']),
                        (['cut', '-o', at('x'), '--debug-dir', '/'], ['--debug-dir', 'cut']),
                        (['symbolize', '-o', at('x'), '--from', '1s'], ['--from', 'symbolize'])):
        r = run(old, *args)
        tap.ok(r.returncode == 2 and all(w in r.said for w in words) and not os.path.exists(at('x')),
               'usage: %s' % ' '.join(os.path.basename(a) for a in args), '%d %s' % (r.returncode, r.said))
    for command in ('cut', 'symbolize'):
        mine = at('mine')
        with open(mine, 'wb') as file:
            file.write(b'mine')
        r = run(old, command, '-o', mine)
        tap.ok(r.returncode == 1 and read(mine) == b'mine' and '-f' in r.said, '%s leaves alone what is there' % command, r.said)
        tap.equal(run(old, command, '-q', '-f', '-o', mine).returncode, 0, '-f replaces it')
        r = run(old, command, '-f', '-o', old)
        tap.ok(r.returncode == 1 and 'itself' in r.said and read(old) == data, '%s: never in place' % command, r.said)
        r = run(old, command, '-o', at('no/such'))
        tap.ok(r.returncode == 1, '%s into no directory' % command)
        r = run(MAKE, command, '-o', at('x'))
        tap.ok(r.returncode == 1 and not os.path.exists(at('x')), '%s of what is no trace' % command, r.said)
    tap.equal([n for n in os.listdir(box.root) if 'part' in n], [], 'nothing is left behind')


def damaged():
    old = os.path.join(at('cut'), 'trace.out')
    data, chance = read(old), random.Random(4)
    path, new, wrong = at('damaged'), at('made'), []
    for n in range(60):
        bytes_ = bytearray(data[:chance.randrange(100, len(data))] if n % 2 else data)
        for _ in range(n % 5):
            bytes_[chance.randrange(len(bytes_))] ^= 1 << chance.randrange(8)
        with open(path, 'wb') as file:
            file.write(bytes_)
        for args in (['symbolize'], ['cut', '--from', '0.5s', '--to', '2s', '--drop', 'sched.*']):
            r = run(path, *args, '-q', '-f', '-o', new)
            after = run(new, 'check') if r.returncode == 0 else r
            if r.returncode not in (0, 1) or (r.returncode == 0 and after.returncode != 0):
                wrong.append((n, args[0], r.returncode, r.said, after.text))
    tap.equal(wrong, [], 'of what is cut off and damaged, a whole trace is made, or none')
    with open(path, 'wb') as file:
        file.write(data[:len(data) - 200])
    r = run(path, 'cut', '--strict', '-f', '-o', new)
    tap.equal(r.returncode, 3, '--strict')


def large():
    big = at('big')
    subprocess.run([MAKE, 'big', '1000000', '200', big], check=True)
    end = json.loads(run(big, 'info', '--json', '-q').text)['duration_ns']
    path = at('piece')
    command = [TRACE, big, 'cut', '-q', '--from', '%dns' % (end // 4), '--to', '%dns' % (end * 3 // 4), '-o', path]
    if os.path.exists('/usr/bin/time'):
        r = subprocess.run(['/usr/bin/time', '-f', '%M', *command], stderr=subprocess.PIPE)
        tap.ok(int(r.stderr.split()[-1]) < 100 << 10, 'a large one in less than 100 MiB: %d KiB' % int(r.stderr.split()[-1]))
    else:
        r = subprocess.run(command, stderr=subprocess.PIPE)
    tap.equal((r.returncode, run(path, 'check').returncode), (0, 0), 'and what is made of it is whole')


def begin():
    os.mkdir(there)


def end():
    box.close()


tap.run(begin, symbolize, stripped, cut, refused, damaged, large, end)
