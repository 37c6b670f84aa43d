#!/usr/bin/env python3
"""cprof-trace timeline: what --text draws, and --interactive on a terminal that is a pseudo-terminal here: what is on its screen,
and whether it is given back as it was."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

import tap

BUILD = os.path.abspath(sys.argv[1])
TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden')
SECONDS = 30  # for what hangs

root = tempfile.mkdtemp(prefix='cprof-timeline-test.')
CACHE = os.path.join(root, 'cache', 'cprof')


def indexes():
    return [name for name in os.listdir(CACHE) if name.endswith('.idx')] if os.path.exists(CACHE) else []


def made(name, *what):
    path = os.path.join(root, name)
    subprocess.run([MAKE, *what, path], check=True)
    return path


sample = made('trace.out', 'timeline')


def environment(more):
    env = {k: v for k, v in os.environ.items() if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'COLUMNS', 'LINES', 'LD_PRELOAD')}
    env.update(TERM='xterm-256color', PAGER='cat', XDG_CACHE_HOME=os.path.dirname(CACHE))
    env.update(more or {})
    return env


def run(*args, env=None, stdin=None):
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(env), timeout=300,
                       input=stdin)
    r.text, r.said = r.stdout.decode(), r.stderr.decode()
    return r


def text(*args, env=None):
    r = run(args[0], 'timeline', '--text', *args[1:], env=env)
    if r.returncode != 0 or r.said:
        tap.note('%r: %d %s' % (args, r.returncode, r.said))
    return r.text


# ---- --text ----

def golden():
    for name, args in (('80', ['--width', '80']), ('200', ['--width', '200']),
                       ('ascii', ['--width', '80', '--ascii', '--sort', 'lock', '--group', 'name']),
                       ('one', ['--width', '100', '--threads', 'main', '--from', '600ms', '--to', '1.8s'])):
        path = os.path.join(GOLDEN, 'timeline.' + name)
        got = text(sample, *args)
        if os.environ.get('GOLDEN_WRITE'):
            with open(path, 'w', encoding='utf-8') as file:
                file.write(got)
        with open(path, encoding='utf-8') as file:
            wanted = file.read()
        tap.ok(got == wanted, 'as it was: %s' % name, got)
        limit = 200 if name == '200' else 100 if name == 'one' else 80
        lines = [l for l in got.splitlines() if '(perf)' not in l]
        tap.ok(all(len(l) <= limit for l in lines), 'in %d columns: %s' % (limit, name),
               max(lines, key=len))


def rows(got):
    """{name: cells} of the threads of a picture"""
    return {m.group(1): m.group(2) for m in re.finditer(r'^(\S+) +([RrLCSZX?lcszx+-][RrLCSZX?lcszx +-]*?)(?:  .*)?$', got, re.MULTILINE)
            if not m.group(1) in ('R', 'Rare', 'Heap', 'Resident', 'Running')}


def options():
    got = text(sample, '--width', '120')
    tap.equal(set(rows(got)) >= {'main', 'io-1', 'worker-1', 'worker-2'}, True, 'a row for each thread')
    tap.ok('\x1b' not in got and '\x07' not in got and '\x9b' not in got and '\u202e' not in got,
           'what a name has for a terminal does not come out')
    tap.ok('\x1b' not in text(sample, '--from', '1s', '--to', '2.1s', '--threads', '4711', '--width', '120'), 'nor in a log')
    tap.ok('g_cache.lock' in got and 'lock 42 %' in got, 'the lock that worker-1 waits for', got)
    tap.ok('7 events were lost in 1 gap' in got, 'what was lost')
    tap.equal(list(rows(text(sample, '--sort', 'lock', '--threads', 'worker,io')))[0], 'worker-1', '--sort lock')
    tap.equal(list(rows(text(sample, '--sort', 'name', '--threads', 'worker,io', '-r')))[0], 'worker-2', '--sort name -r')
    tap.equal(list(rows(text(sample, '--sort', 'run', '--threads', 'worker,io')))[0], 'worker-2', '--sort run')
    got = text(sample, '--group', 'name', '--width', '120')
    tap.ok('worker*' in got and 'worker-1 ' not in got, '--group name', got)
    got = text(sample, '--limit', '2')
    tap.ok('and 3 more (--limit 0)' in got and len(rows(got)) == 2, '--limit', got)
    got = text(sample, '--ascii', '--width', '100')
    tap.ok(got.isascii() and '@' in got, '--ascii', got)
    # 600 to 700 ms: it runs, and then reads for 50 of 100
    got = rows(text(sample, '--threads', 'main', '--from', '600ms', '--to', '1.2s', '--width', '40'))['main']
    tap.ok(re.fullmatch('R+[SR]S*R+[RZ]Z+', got) and abs(got.count('Z') / len(got) - 350 / 600) < 0.05, '--from --to', got)
    tap.equal(text(sample, env={'COLUMNS': '120'}), text(sample, '--width', '120'), 'COLUMNS')
    plain = text(sample, '--width', '80')
    colour = text(sample, '--width', '80', '--color', 'always')
    tap.ok('\x1b[0;48;5;36' in colour and re.sub('\x1b\\[[0-9;]*m', '', colour) == plain, 'with --color only colours are added')
    tap.equal(text(sample, '--width', '80', env={'CLICOLOR_FORCE': '1'}), colour, 'CLICOLOR_FORCE')
    got = text(sample, '--width', '80', '--color', 'always', '--blocks')
    tap.ok('\x1b[0;38;5;36m█' in got, '--blocks', got)
    out = os.path.join(root, 'picture')
    run(sample, 'timeline', '--text', '--width', '80', '-o', out)
    with open(out, encoding='utf-8') as file:
        tap.equal(file.read(), plain, '-o')
    with open(sample, 'rb') as file:
        tap.equal(run('-', 'timeline', '--text', '--width', '80', stdin=file.read()).text.split('  ', 1)[1], plain.split('  ', 1)[1],
                  'through a pipe')


def usage():
    for args, words in ((['--sort', 'name'], ['--text', '--interactive']), (['--text', '--width', '5'], ['--width 5', '40']),
                        (['--text', '--sort', 'colour'], ['colour', 'lock']), (['--text', '--group', 'x'], ['x', 'name']),
                        (['--text', '--from', '3s', '--to', '2s'], ['--from']), (['--text', '--from', '9s'], ['--from', '4.8']),
                        (['--interactive'], ['terminal', '--text'])):
        r = run(sample, 'timeline', *args)
        tap.ok(r.returncode == 2 and not r.stdout and all(w in r.said for w in words), 'usage: ' + ' '.join(args), r.said)


def extremes():
    got = text(made('empty.out', 'empty'))
    tap.ok('0 events' in got and 'no threads' in got, 'a trace without events', got)
    got = text(made('one.out', 'threads', '1'), '--width', '80')
    tap.ok('1 thread ' in got and 'worker-0' in got and '+' not in got.splitlines()[3], 'one thread', got)
    many = made('many.out', 'threads', '1000')
    got = text(many, '--limit', '0', '--width', '100')
    found = rows(got)
    tap.ok(len(found) == 1000 and '1000 threads' in got, '1,000 threads')
    tap.ok('and 960 more' in text(many), 'of which a page is shown')
    got = text(many, '--group', 'name')
    tap.ok(len(rows(got)) == 1 and 'worker*' in got, 'or one row', got)


def blank_payloads(path):
    """The same trace, with the blocks of events zeroed behind their headers."""
    with open(path, 'rb') as file:
        data = bytearray(file.read())
    at = n = 0
    while True:
        at = data.find(b'CPB1', at)
        if at < 0:
            break
        header, kind = struct.unpack_from('<HB', data, at + 4)
        stored = struct.unpack_from('<I', data, at + 24)[0]
        if kind == 1:
            data[at + header:at + header + stored] = bytes(stored)
            n += 1
        at += 4
    with open(path + '.blank', 'wb') as file:
        file.write(data)
    return path + '.blank', n


def headers():
    big = made('big.out', 'big', '5100000', '4')
    got = run(big, 'timeline', '--text', '--width', '80')
    tap.ok(got.text.splitlines()[-1].startswith('from headers') and '--exact' in got.text, 'a large trace is drawn from headers',
           got.text + got.said)
    blank, n = blank_payloads(big)
    again = run(blank, 'timeline', '--text', '--width', '80').text
    tap.ok(n > 100 and again.splitlines()[1:] == got.text.splitlines()[1:], 'alone: events are not looked at', again)
    small = text(big, '--width', '80', '--to', '1ms')
    tap.ok('from headers' not in small, 'a part of it is read')
    tap.equal(indexes(), [], 'none of them leaves an index')
    exact = text(big, '--width', '80', '--exact', '--no-cache')
    tap.ok('from headers' not in exact and 'g_cache' in exact, 'and all of it with --exact', exact)
    tap.equal(indexes(), [], 'nor does --no-cache')
    tap.equal(text(big, '--width', '80', '--exact'), exact, 'nor is anything else with an index')
    kept = indexes()
    tap.equal(len(kept), 1, 'which is kept')
    tap.equal(text(big, '--width', '80'), exact, 'and from then on all is exact')
    tap.ok('from headers' in text(big, '--width', '80', '--no-cache'), 'unless it is not wanted')
    tap.equal(text(big, '--width', '80', '--threads', 'worker-1', '--exact').splitlines()[2:],
              text(big, '--width', '80', '--threads', 'worker-1').splitlines()[2:], 'one thread, from its story and from the index')
    path = os.path.join(CACHE, kept[0])
    size = os.path.getsize(path)
    for about, at, length in (('a leaf', size // 3, size), ('a row', size - 4000, size), ('the end', size - 20, size), ('cut', 0, size // 2),
                              ('empty', None, 0)):
        with open(path, 'r+b') as file:
            file.truncate(length)
            if at is not None:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 0x10]))
        got = run(big, 'timeline', '--text', '--width', '80', '--exact')
        tap.ok(got.returncode == 0 and got.said == '' and got.text == exact, 'an index that is damaged is made anew: ' + about, got.said)
        tap.ok(os.path.getsize(path) == size and text(big, '--width', '80') == exact, 'and is there again')


# ---- --interactive ----

# Between the terminal and the program, as a shell would be: the program is a group of its own, in the foreground, and may stop.
LAUNCH = '''
import os, signal, sys
report = int(sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.close(report)
    os.execv(sys.argv[2], sys.argv[2:])
os.write(report, b'pid %d\\n' % pid)
while True:
    _, status = os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)
    if os.WIFSTOPPED(status):
        os.write(report, b'stopped\\n')
    elif os.WIFCONTINUED(status):
        os.write(report, b'continued\\n')
    else:
        os.write(report, b'exit %d\\n' % os.WEXITSTATUS(status) if os.WIFEXITED(status) else b'signal %d\\n' % os.WTERMSIG(status))
        break
'''


class Screen:
    """A terminal, and the program on it. What it draws is in @lines; what a terminal should not be sent, in @odd."""

    def __init__(self, *args, columns=100, lines=24, env=None, path=None):
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines, tell=False)
        self.settings = termios.tcgetattr(self.slave)
        self.reports, report = os.pipe()
        self.told, self.odd, self.rest, self.wide = '', [], b'', False
        self.is_other = False
        self.has_cursor = True
        self.process = subprocess.Popen(
            [sys.executable, '-c', LAUNCH, str(report), TRACE, path or sample, 'timeline', '--interactive', *args], stdin=self.slave,
            stdout=self.slave, stderr=self.slave, env=environment(env), pass_fds=[report], preexec_fn=self.own)
        os.close(report)
        self.pid = int(self.report('pid (\\d+)'))

    def own(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)

    def resize(self, columns, lines, tell=True):
        self.columns, self.height = columns, lines
        self.cells = [[' '] * columns for _ in range(lines)]
        self.marked = None
        self.x = self.y = 0
        self.reverse = False
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))

    def report(self, pattern):
        """Waits until the launcher has told @pattern, and takes it."""
        end = time.monotonic() + SECONDS
        while True:
            m = re.search(pattern + '\n', self.told)
            if m:
                self.told = self.told[m.end():]
                return m.group(1) if m.groups() else m.group(0)
            if time.monotonic() > end:
                raise AssertionError('no %r in %r; the screen:\n%s' % (pattern, self.told, self.all()))
            ready, _, _ = select.select([self.reports, self.master], [], [], 1)
            if self.reports in ready:
                got = os.read(self.reports, 1000).decode()
                self.told += got
                if not got:
                    raise AssertionError('the launcher is gone: %r' % self.told)
            if self.master in ready:
                self.take()

    def put(self, char):
        if self.x >= self.columns:
            self.wide = True
            self.x, self.y = 0, min(self.y + 1, self.height - 1)
        self.cells[self.y][self.x] = char
        if self.reverse:
            self.marked = (self.x, self.y)
        self.x += 1

    def sequence(self, body, last):
        numbers = [int(n) if n else 0 for n in body.lstrip('?').split(';')] if body.lstrip('?') else []
        if last == 'H':
            self.y, self.x = numbers[0] - 1, numbers[1] - 1
            if not (0 <= self.y < self.height and 0 <= self.x < self.columns):
                self.odd.append('to %d,%d' % (self.x, self.y))
                self.y, self.x = min(self.y, self.height - 1), min(self.x, self.columns - 1)
        elif last == 'K':
            self.cells[self.y][self.x:] = [' '] * (self.columns - self.x)
        elif last == 'J' and body == '2':
            self.cells = [[' '] * self.columns for _ in range(self.height)]
        elif last == 'm':
            self.reverse = (self.reverse or 7 in numbers) if 0 not in numbers and numbers else 7 in numbers
            if 48 in numbers or 38 in numbers:
                self.reverse = 7 in numbers[:3] and 48 not in numbers[:2]
        elif body == '?1049' and last in 'hl':
            self.is_other = last == 'h'
        elif body == '?25' and last in 'hl':
            self.has_cursor = last == 'h'
        else:
            self.odd.append(body + last)

    def take(self):
        try:
            data = self.rest + os.read(self.master, 65536)
        except OSError:
            return
        at = 0
        while at < len(data):
            if data[at] == 27:
                m = re.match(rb'\x1b\[([?0-9;]*)([@-~])', data[at:at + 40])
                if m is None and len(data) - at < 40:
                    break
                if m is None:
                    self.odd.append(data[at:at + 10])
                    at += 1
                    continue
                self.sequence(m.group(1).decode(), m.group(2).decode())
                at += m.end()
            elif data[at] == 10:
                self.y = min(self.y + 1, self.height - 1)
                at += 1
            elif data[at] == 13:
                self.x = 0
                at += 1
            elif data[at] < 32 or data[at] == 127:
                self.odd.append(data[at:at + 10])
                at += 1
            else:
                n = 1 if data[at] < 0x80 else 2 if data[at] < 0xe0 else 3 if data[at] < 0xf0 else 4
                if at + n > len(data):
                    break
                char = data[at:at + n].decode(errors='replace')
                if n == 2 and ord(char[0]) < 0xa0:
                    self.odd.append(data[at:at + n])
                self.put(char[0])
                at += n
        self.rest = data[at:]

    def lines(self):
        return [''.join(line).rstrip() for line in self.cells]

    def said(self):
        return ' '.join(line for line in self.lines() if line)

    def all(self):
        return '\n'.join(self.lines())

    def type(self, keys):
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def wait(self, what, about=None):
        """Until @what, a pattern or a function, is on the screen. A point when @about is given."""
        end = time.monotonic() + SECONDS
        while True:
            # sentences are broken between words
            found = what(self) if callable(what) else re.search(what, self.all()) or re.search(what, self.said())
            if found or time.monotonic() > end:
                break
            if select.select([self.master], [], [], 0.5)[0]:
                self.take()
            elif select.select([self.reports], [], [], 0)[0]:
                self.told += os.read(self.reports, 1000).decode()
                if 'exit' in self.told or 'signal' in self.told:
                    break
        if about or not found:
            tap.ok(found, about or 'waited for %r' % what, self.all())
        return found

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.settings and not self.is_other and self.has_cursor

    def close(self):
        if self.process.poll() is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for fd in (self.master, self.slave, self.reports):
            if fd >= 0:
                os.close(fd)

    def leave(self, keys='q'):
        """Ends it by a key. How it ended."""
        self.type(keys)
        how = self.report('((?:exit|signal) \\d+)')
        while select.select([self.master], [], [], 0)[0]:
            self.take()
        return how


def span(screen):
    """What the header says is shown, in ms."""
    m = re.search(r'  ([0-9.]+)(ns|us|ms|s) of ', screen.lines()[0])
    return float(m.group(1)) * {'ns': 1e-6, 'us': 1e-3, 'ms': 1, 's': 1000}[m.group(2)] if m else None


def current(screen):
    """The name of the row that the cursor is on."""
    for line in screen.lines():
        m = re.match(r'(\S+) *>', line)
        if m:
            return m.group(1)
    return None


def keys():
    s = Screen()
    s.wait(r'4\.80s of 4\.80s  5 threads', 'the whole trace')
    s.wait(r'lock 42 %')
    tap.equal(current(s), 'main', 'the first thread')
    tap.ok(s.is_other and not s.has_cursor, 'on the other screen')
    s.type('jj')
    s.wait(lambda s: current(s) == 'worker-1', 'j goes to the next rows')
    s.type('k')
    s.wait(lambda s: current(s) == 'io-1', 'k back')
    s.type('\x1b[B')
    s.wait(lambda s: current(s) == 'worker-1', 'an arrow down')
    s.type('w')
    s.wait(lambda s: abs(span(s) - 3200) < 10, 'w zooms in')
    s.type('W')
    s.wait(lambda s: abs(span(s) - 421) < 10, 'W five times faster')
    s.type('s')
    s.wait(lambda s: abs(span(s) - 632) < 10, 's zooms out')
    s.type('z')
    s.wait(lambda s: abs(span(s) - 421) < 10, 'z undoes')
    s.type('Z')
    s.wait(lambda s: abs(span(s) - 632) < 10, 'Z does it again')
    s.type('0')
    s.wait(r'4\.80s of 4\.80s', '0 is the whole trace')
    # the third wait of worker-1 is from 1.4 to 1.65 s
    s.type('g1.5s\r')
    s.wait(r'worker-1 waited 250ms for mutex g_cache\.lock, held by worker-2, at cache_get cache\.c:41', 'the sentence under the cursor')
    s.type('.')
    s.wait(r'worker-1 ran 350ms', '. is the next interval')
    s.type(',,')
    s.wait(lambda s: current(s) == 'worker-1' and 'worker-1 ran 350ms' in s.all() and '1.' in s.lines()[-4], ', the one before')
    s.type('.')
    s.wait(r'worker-1 waited 250ms')
    s.type('L')
    s.wait(r'worker-1 waits for mutex g_cache\.lock, held by worker-2, which runs', 'L: who holds what it waits for')
    s.type('[')
    s.wait(lambda s: current(s) == 'worker-2' and 'worker-2 made worker-1 go on: release of mutex g_cache.lock' in s.all(),
           '[ goes to who woke it')
    s.type(']')
    s.wait(lambda s: current(s) == 'worker-1', '] back to whom it woke')
    s.type(',ff')
    s.wait(lambda s: abs(span(s) - 300) < 1, 'f twice: as large as fits')
    s.type('d')
    s.wait(r'from|1\.')
    s.type('0')
    s.wait(r'4\.80s of 4\.80s')
    s.type('/IO-\r')
    s.wait(lambda s: current(s) == 'io-1', '/ finds a thread')
    s.type('/cache.l\r')
    s.wait(lambda s: current(s) == 'worker-1' and 'waited 250ms' in s.all(), '/ finds a lock')
    first = s.lines()[-4]
    s.type('n')
    s.wait(lambda s: 'waited 250ms' in s.all() and s.lines()[-4] != first, 'n the next one')
    s.type('N')
    s.wait(lambda s: s.lines()[-4] == first, 'N the one before')
    s.type('/var/log\r')
    s.wait(lambda s: current(s) in ('main', 'io-1') and '7:/var/log/app' in s.all(), '/ finds a file')
    s.type('/nothing\r')
    s.wait(r'nor a lock or file', '/ finds nothing')
    s.type('m')
    s.wait(r"bookmark 1: ' 1 comes back", 'm makes a bookmark')
    s.type("\x1b[H")
    s.wait(r'\n0\.0\d+s  ')
    s.type("'1")
    s.wait(lambda s: not re.search(r'\n0\.0\d+s  ', s.all()), "' goes back to it")
    s.type('i')
    s.wait(lambda s: 'idle is not drawn' in s.all() and not re.search('^main .*Z', s.all(), re.MULTILINE), 'i hides what is idle')
    s.type('i')
    s.wait(lambda s: re.search('^main .*Z', s.all(), re.MULTILINE), 'and shows it')
    s.type('x')
    s.wait(lambda s: 'worker*' in s.all() and 'worker-1' not in s.all(), 'x puts threads together')
    s.type('x')
    s.wait(r'worker-1', 'and apart')
    s.type('?')
    s.wait(r'five times faster', '? is the help')
    s.type(' ')
    s.wait(r'4\.80s of 4\.80s', 'which a key leaves')
    s.resize(140, 40)
    s.wait(lambda s: 'run 58 % lock 42 %  g_cache.lock' in s.all() and 'q quit' in s.lines()[39], 'another size')
    s.resize(60, 15)
    s.wait(lambda s: re.match(r'trace\.out', s.lines()[0]) and 'zoom' in s.lines()[14], '60 columns and 15 lines')
    tap.equal(s.leave(), 'exit 0', 'q leaves it')
    tap.ok(s.is_restored(), 'and the terminal is as it was')
    tap.ok(not s.odd, 'nothing a terminal should not be sent', s.odd)
    tap.ok(not s.wide, 'nothing beyond the last column')
    s.close()


def sizes():
    for columns, lines in ((60, 15), (30, 8), (20, 5), (200, 60), (1, 1), (400, 9)):
        s = Screen(columns=columns, lines=lines)
        if columns >= 30:
            s.wait(lambda s: s.lines()[0].startswith('trace.out'), '%d columns, %d lines' % (columns, lines))
            s.type('jjj')
            s.wait(lambda s: current(s) == 'worker-2', 'rows go up and down in them')
        elif columns > 1:
            s.wait('too small', '%d columns, %d lines' % (columns, lines))
        else:
            s.wait('t|~|…|.', 'one column, one line')
        tap.equal(s.leave(), 'exit 0', 'left')
        tap.ok(s.is_restored() and not s.odd and not s.wide, 'restored, nothing beyond it', (s.odd, s.wide))
        s.close()


def ways_out():
    ready = r'lock 42 %'
    for about, leave, how in (
            ('q', lambda s: s.type('q'), 'exit 0'),
            ('Ctrl-C', lambda s: s.type('\x03'), 'signal %d' % signal.SIGINT),
            ('Ctrl-\\', lambda s: s.type('\x1c'), 'signal %d' % signal.SIGQUIT),
            ('SIGTERM', lambda s: os.kill(s.pid, signal.SIGTERM), 'signal %d' % signal.SIGTERM),
            ('SIGHUP', lambda s: os.kill(s.pid, signal.SIGHUP), 'signal %d' % signal.SIGHUP),
            ('a crash', lambda s: os.kill(s.pid, signal.SIGSEGV), 'signal %d' % signal.SIGSEGV),
            ('abort()', lambda s: os.kill(s.pid, signal.SIGABRT), 'signal %d' % signal.SIGABRT)):
        s = Screen()
        s.wait(ready)
        tap.ok(not s.is_restored(), 'before %s the terminal is another' % about)
        leave(s)
        tap.equal(s.report('((?:exit|signal) \\d+)'), how, '%s ends it' % about)
        while select.select([s.master], [], [], 0)[0]:
            s.take()
        tap.ok(s.is_restored(), '%s: the terminal is as it was' % about, s.all())
        s.close()

    s = Screen()
    s.wait(ready)
    s.type('\x1a')
    s.report('stopped')
    while select.select([s.master], [], [], 0)[0]:
        s.take()
    tap.ok(s.is_restored(), 'Ctrl-Z: the terminal is as it was')
    s.cells = [[' '] * s.columns for _ in range(s.height)]
    os.kill(s.pid, signal.SIGCONT)
    s.wait(ready, 'and is drawn again when it goes on')
    tap.ok(not s.is_restored(), 'on the other screen')
    # somebody stops it who gives it no time to put things back, and a shell does
    os.kill(s.pid, signal.SIGSTOP)
    s.report('stopped')
    termios.tcsetattr(s.slave, termios.TCSANOW, s.settings)
    s.cells = [[' '] * s.columns for _ in range(s.height)]
    os.kill(s.pid, signal.SIGCONT)
    s.wait(ready, 'SIGSTOP: drawn again')
    s.type('j')
    s.wait(lambda s: current(s) == 'io-1', 'and has its keys')
    tap.equal(s.leave(), 'exit 0', 'left')
    tap.ok(s.is_restored(), 'the terminal is as it was')
    s.close()

    s = Screen()
    s.wait(ready)
    os.close(s.master)
    s.master, master = -1, s.master
    os.close(s.slave)
    s.slave = -1
    end = time.monotonic() + SECONDS
    told = s.told
    while not re.search('(exit|signal) \\d+', told) and time.monotonic() < end:
        if select.select([s.reports], [], [], 1)[0]:
            told += os.read(s.reports, 1000).decode()
    tap.ok(re.search('(exit|signal) \\d+', told), 'a terminal that is closed ends it', told)
    s.close()


def terminals():
    s = Screen(env={'TERM': 'dumb'})
    tap.equal(s.report('((?:exit|signal) \\d+)'), 'exit 2', 'a terminal that can do nothing is refused')
    s.close()
    s = Screen('--color', 'never')
    s.wait(r'lock 42 %')
    tap.ok(s.marked is not None, 'without colour the cursor can be seen')
    s.leave()
    s.close()
    for about, trace in (('no events', made('empty.out', 'empty')), ('one thread', made('one.out', 'threads', '1')),
                         ('1,000 threads', made('many.out', 'threads', '1000'))):
        s = Screen(path=trace)
        s.wait(r'of \S+  \d+ thread', about)
        s.type('jkwasd,.[]Lfn0\x1b[6~')
        s.wait(lambda s: 'q quit' in s.lines()[-1])
        tap.equal(s.leave(), 'exit 0', 'all keys, and left')
        tap.ok(s.is_restored() and not s.odd, 'restored', s.odd)
        s.close()
    # a large one: keys work while it reads
    big = made('big.out', 'big', '3000000', '4')
    s = Screen(path=big)
    s.type('q')
    tap.equal(s.report('((?:exit|signal) \\d+)'), 'exit 0', 'a key ends the reading')
    tap.ok(termios.tcgetattr(s.slave) == s.settings, 'restored')
    s.close()


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
        return [int(child) for child in file.read().split()]


def is_there(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def meanwhile():
    """The index of a large trace is made while its picture is on the screen."""
    shutil.rmtree(CACHE, ignore_errors=True)
    big = made('big.out', 'big', '3000000', '4')
    s = Screen(path=big)
    s.wait(r'from headers  index \d+ %', 'from headers at first, and how far the index is')
    making = children(s.pid)
    tap.equal(len(making), 1, 'which a process of its own makes')
    # it stands still, and keys do not
    os.kill(making[0], signal.SIGSTOP)
    whole = span(s)
    s.type('jw')
    s.wait(lambda s: abs(span(s) - whole / 1.5) < whole / 100 and current(s) != 'main', 'keys go on')
    s.type('.')
    s.wait('not known yet: the index is being made', 'what needs it says so')
    os.kill(making[0], signal.SIGCONT)
    s.wait(lambda s: 'index' not in s.lines()[0] and 'from headers' not in s.lines()[0], 'the picture gets exact')
    tap.ok(not children(s.pid) and len(indexes()) == 1, 'the index is kept')
    s.type('0')
    s.wait(lambda s: abs(span(s) - whole) < whole / 100)
    s.wait(r' (waited|ran|wanted|was) ', 'there is something under the cursor')
    before = s.lines()[-4]
    s.type('.')
    s.wait(lambda s: s.lines()[-4] != before, 'and behind it')
    tap.equal(s.leave(), 'exit 0', 'left')
    s.close()
    # somebody spoils it: what is in the leaves is looked at when it is needed
    path = os.path.join(CACHE, indexes()[0])
    with open(path, 'r+b') as file:
        file.write(bytes(os.path.getsize(path) * 2 // 3))
    s = Screen(path=big)
    s.wait(r'index \d+ %', 'a damaged one is made anew')
    s.wait(lambda s: 'index' not in s.lines()[0] and 'from headers' not in s.lines()[0], 'and is there')
    s.leave()
    s.close()
    s = Screen(path=big)
    s.wait(lambda s: s.lines()[0].startswith('big.out') and 'Running' in s.all(), 'found at once')
    tap.ok('from headers' not in s.lines()[0] and not children(s.pid), 'the next time')
    s.leave()
    s.close()
    # who leaves does not wait for it
    shutil.rmtree(CACHE)
    for leave in (lambda s: s.type('q'), lambda s: os.kill(s.pid, signal.SIGKILL)):
        s = Screen(path=big)
        s.wait(r'index [1-9]\d* %')  # it is at work: one that is stopped before it begins never knows that it is alone
        making = children(s.pid)
        os.kill(making[0], signal.SIGSTOP)
        leave(s)
        s.report('((?:exit|signal) \\d+)')
        deadline = time.monotonic() + SECONDS
        while is_there(making[0]) and time.monotonic() < deadline:
            select.select([], [], [], 0.05)
        tap.ok(not is_there(making[0]), 'nobody goes on making an index that nobody waits for')
        s.close()
    tap.equal(indexes(), [], 'nor is there half of one')
    s = Screen('--no-cache', path=big)
    s.wait(r'index \d+ %', 'with --no-cache one is made')
    s.wait(lambda s: 'index' not in s.lines()[0] and 'from headers' not in s.lines()[0], 'and used')
    s.leave()
    s.close()
    tap.equal(indexes(), [], 'and not kept')


def end():
    shutil.rmtree(root)


tap.run(golden, options, usage, extremes, headers, keys, sizes, ways_out, terminals, meanwhile, end)
