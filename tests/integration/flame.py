#!/usr/bin/env python3
"""
cprof flame beside go tool pprof: the same sums, the same options; its three forms of a program's profiles; and what it refuses.
What a browser makes of the page is for tests/page/flame.test.mjs.
"""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
import xml.dom.minidom

import tap
from cprof import CPROF, Box
from pprof import Profile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
DATA = os.path.join(ROOT, 'tests', 'data')


def cprof(*args, cwd=None, env=None):
    r = subprocess.run([CPROF, 'flame', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                       env={**os.environ, 'LC_ALL': 'C', 'COLUMNS': '80', 'NO_COLOR': '1', **(env or {})})
    return r.returncode, r.stdout.decode('utf-8', 'surrogateescape'), r.stderr.decode()


def tree(text):
    """(value, way from the root) of each line of -text -width=2000 and more: long enough for all names."""
    rows, names = {}, []
    for line in text.splitlines():
        match = re.match(r'^ *(\d+)ns +[\d.]+%  [ #]{40} (.*)$', line) or re.match(r'^ *(\d+)B? +[\d.]+%  [ #]{40} (.*)$', line)
        if not match:
            continue
        rest = match.group(2)
        lead = re.match(r'(?:\| |  |\+ |` )*', rest).group(0)
        names.append((int(match.group(1)), lead, rest[len(lead):].replace(' (inline)', '')))
    # a line that begins with no mark of its own is the only child of the line before it
    ways, levels = [], []
    for value, lead, name in names:
        level = len(lead) // 2
        if lead.endswith(('+ ', '` ')):
            while levels and levels[-1][0] >= level:
                levels.pop()
        way = [n for _, n in levels] + [name]
        levels.append((level, name))
        ways.append((value, tuple(way)))
    for value, way in ways:
        rows[way] = rows.get(way, 0) + value
    return rows


def truth(path, column):
    """The same from the file."""
    rows = {('all',): 0}
    for sample in Profile.read(path).samples:
        value = sample.values[column]
        if value == 0 or sample.labels.get('idle') == 'yes':
            continue
        way = ('all',) + tuple(reversed(sample.names))
        for n in range(1, len(way) + 1):
            rows[way[:n]] = rows.get(way[:n], 0) + value
    return {way: value for way, value in rows.items() if value != 0}


def plain(rows):
    """Without what is cut from names that the linker would write the same."""
    out = {}
    for way, value in rows.items():
        key = tuple(re.sub(r'\[.*?\]|<.*?>|\(.*?\)', '', name) for name in way)
        out[key] = out.get(key, 0) + value
    return out


def sums(folder):
    for name, column, unit in (('go-cpu', 1, 'ns'), ('go-heap', 3, 'B'), ('go-mutex', 1, 'ns'), ('go-allocs', 1, 'B')):
        path = os.path.join(DATA, name + '.pb.gz')
        status, out, err = cprof('-text', '-trim=false', '-width=4000', '-unit=' + unit, '-sample_index=%d' % column, '-idle', path)
        got, want = plain(tree(out)), plain(truth(path, column))
        if not tap.ok(status == 0 and got == want, '%s: each box has what the file says' % name):
            tap.note('%s\nmore: %r\nless: %r' % (err, sorted(got.items() - want.items())[:5], sorted(want.items() - got.items())[:5]))


def parity(folder):
    if not shutil.which('go'):
        return tap.skip('the totals of go tool pprof', 'there is no go')
    path = os.path.join(DATA, 'go-cpu.pb.gz')
    for options in (['-focus=spin'], ['-ignore=recurse'], ['-hide=spin'], ['-show=main'], ['-show_from=spin'], ['-tagfocus=worker=c'], ['-noinlines']):
        _, out, _ = cprof('-text', '-trim=false', '-width=4000', '-unit=ns', *options, path)
        rows = tree(out)
        theirs = subprocess.run(['go', 'tool', 'pprof', '-top', '-unit=ns', '-nodefraction=0', *options, path], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, universal_newlines=True).stdout
        flat = {m.group(2): int(m.group(1)) for m in re.finditer(r'^ *(\d+)(?:ns)? .*?%.*?%.*?%  (.*?)(?: \((?:partial-)?inline\))?$', theirs, re.M)}
        ours = {}
        for way, value in rows.items():
            below = sum(v for w, v in rows.items() if len(w) == len(way) + 1 and w[:-1] == way)
            if len(way) > 1:
                ours[way[-1]] = ours.get(way[-1], 0) + value - below
        tap.equal(ours, flat, 'what functions have themselves is what pprof says: %s' % ' '.join(options))


def forms(folder):
    box = Box()
    try:
        r = box.run('burn', 'split', '90', '0.3')
        path = os.path.join(r.directory, 'cpu.pb.gz')
        status, out, err = cprof(path, cwd=folder)
        tap.ok(status == 0 and os.path.exists(os.path.join(folder, 'cpu.html')) and 'cpu.html has' in err, 'a page is named for its profile', err)
        with open(os.path.join(folder, 'cpu.html')) as file:
            text = file.read()
        tap.ok("connect-src 'none'" in text and 'burn_a' not in text and 'http:' not in text and 'https:' not in text,
               'which asks nobody, and has no name as it is')
        tap.equal(os.stat(os.path.join(folder, 'cpu.html')).st_mode & 0o777, 0o600, 'and is for its owner')
        status, out, err = cprof('-svg', path, '-o', '-')
        names = {t.firstChild.data.split(':')[0] for t in xml.dom.minidom.parseString(out).getElementsByTagName('title')}
        tap.ok(status == 0 and {'all', 'burn_a', 'burn_b'} <= names and '<script' not in out, 'a drawing is XML, without scripts', names)
        status, out, err = cprof('-text', path, env={'LC_ALL': 'C.UTF-8', 'COLUMNS': '60'})
        tap.ok(status == 0 and 'burn_a' in out and '█' in out and '\033' not in out, 'text has bars', out)
        tap.ok(all(len(line) <= 60 for line in out.splitlines()[4:]), 'that fit', out)
        status, out, err = cprof('-text', path)
        tap.ok(status == 0 and out.isascii() and '####' in out, 'of ASCII where the terminal has no more', out)
        status, out, err = cprof('-text', path, env={'NO_COLOR': '', 'CLICOLOR_FORCE': '1'})
        tap.ok('\033[32m' in out, 'and colours where they are wanted')
        status, out, err = cprof('-text', '-diff_base=' + path, path)
        tap.ok(status == 0 and '+0.0%' in out and 'Compared with: ' in out, 'a profile is as it was', out)
    finally:
        box.close()


def differences(folder):
    one, two = (os.path.join(DATA, n) for n in ('go-cpu.pb.gz', 'go-cpu2.pb.gz'))
    _, out, _ = cprof('-text', '-diff_base=' + one, two)
    rows = {m.group(3): (m.group(1), m.group(2)) for m in re.finditer(r'^ *(\S+) +[\d.]+% +(\S+)  .{20} [|+` ]*(\S+)', out, re.M)}
    tap.equal((rows['all'], rows['runtime.main']), (('470ms', '+2.2%'), ('470ms', '+4.4%')), 'now, and how it has changed')
    _, out, _ = cprof('-text', '-normalize', '-diff_base=' + one, two)
    tap.ok(re.search(r'^ *460ms 100.0% +[-+]0.0%', out, re.M), 'the same in all, when it is brought to the same', out)
    heap = os.path.join(DATA, 'go-heap.pb.gz')
    status, out, err = cprof('-text', '-diff_base=' + heap, two)
    tap.ok(status == 1 and out == '' and err.count('\n') == 1, 'what cannot be compared is refused', err)


def refused(folder):
    good = os.path.join(DATA, 'go-cpu.pb.gz')
    damaged = os.path.join(folder, 'damaged.pb.gz')
    with open(good, 'rb') as file, open(damaged, 'wb') as to:
        to.write(file.read()[:-40])
    bomb = os.path.join(folder, 'bomb.pb.gz')
    with open(bomb, 'wb') as to:
        to.write(gzip.compress(bytes(1 << 20), 9) * 1100)
    out = os.path.join(folder, 'out.html')
    cases = [
        ([damaged], 1, 'damaged.pb.gz'), ([bomb], 1, 'bomb.pb.gz'), (['/nowhere/x.pb.gz'], 1, '/nowhere/x.pb.gz'),
        ([], 2, 'which profile?'), (['-text', '-svg', good], 2, 'one of them'), (['-mean', good], 2, 'means do not'),
        (['-width=5', '-text', good], 2, '40 to 20000'), (['-width=100', good], 2, 'window'), (['-normalize', good], 2, '-diff_base'),
        (['-nodefraction=2', good], 2, '0 to 1'), (['-focus=(', good], 2, '-focus'), (['-sample_index=x', good], 2, 'the profile has'),
        (['-inverse', good], 2, 'did you mean -inverted'), (['-diff_base=/nowhere/y', good], 1, '/nowhere/y'),
    ]
    for args, status, says in cases:
        got = cprof(*args, '-o', out)
        tap.ok(got[0] == status and says in got[2] and got[2].count('\n') == 1 and not os.path.exists(out),
               'refused: %s' % ' '.join(os.path.basename(a) for a in args), got)
    full = cprof('-svg', good, '-o', '/dev/full')
    tap.ok(full[0] == 1 and full[2].count('\n') == 1, 'a place that is no file', full)
    with open('/dev/full', 'w') as to:
        r = subprocess.run([CPROF, 'flame', '-svg', good, '-o', '-'], stdout=to, stderr=subprocess.PIPE)
    tap.ok(r.returncode == 1 and b'was not taken' in r.stderr, 'a full disk', r.stderr)
    status, out, err = cprof('--help')
    tap.ok(status == 0 and out.startswith('usage: cprof flame') and all(len(line) <= 80 for line in out.splitlines()), 'the help', out)


def in_folder(test):
    def run():
        with tempfile.TemporaryDirectory(prefix='flame') as folder:
            test(folder)
    run.__name__ = test.__name__
    return run


tap.run(*map(in_folder, (sums, parity, forms, differences, refused)))
