#!/usr/bin/env python3
"""
Profiles that the program makes itself (tests/programs/held.c): what each call returns, what every way out shows, and what is
left of them in children, after a storm of threads and after SIGKILL. All numbers are exact.
"""

import collections
import os
import re
import subprocess

import tap
from cprof import PROGRAMS, Box, wait_for
from endpoint import BASE, ask, is_open, pprof, sockets_of
from pprof import Profile
from pprof_rules import problems, unpacked

LONG = '123456789012345678901234567890123456789.45_78-Az'
LEAVES = ('open_two', 'open_one', 'accept_one', 'calls', '[no frame left by skip]')


def leaf_counts(profile):
    """How many entries each leaf has."""
    counts = collections.Counter()
    for s in profile.samples:
        counts[s.names[0]] += s.values[0]
    return dict(counts)


def read(directory, name='handles', below='.'):
    return Profile.read(os.path.join(directory, below, name + '.pb.gz'))


def check_calls(about, directory):
    p = read(directory)
    tap.equal(p.types, [('handles', 'count')], about + ': its column')
    tap.equal((p.period, p.period_type, p.duration_ns), (1, [('handles', 'count')], 0), about + ': its period, as Go\'s')
    tap.equal(leaf_counts(p), {'open_one': 5, 'open_two': 1, 'accept_one': 1, '[no frame left by skip]': 1},
              about + ': each at its stack')
    tap.equal([s.values[0] for s in p.samples if 'open_two' in s.names], [3, 1], about + ': three by one way, one with skip')
    data = open(os.path.join(directory, 'handles.pb.gz'), 'rb').read()
    tap.equal(problems(data), [], about + ': valid for all readers')


def calls():
    box = Box()
    r = box.plain('held', 'calls', box.root)
    tap.ok(r.status == 0 and r.err == '', 'linked: every call returns what it should', r.show())
    check_calls('cprof_write', box.root)
    lines = open(box.root + '/handles.txt').read().split('\n')
    tap.equal(lines[0], 'handles profile: total 8', 'as text: the first line')
    heads = [l for l in lines if re.fullmatch(r'\d+ @( 0x[0-9a-f]+)+', l)]
    tap.equal([int(l.split()[0]) for l in heads], [3, 1, 1, 1, 1, 1], 'as text: the largest first')
    tap.equal(open(box.root + '/handles2.txt').read().split('\n'), lines, 'debug=2 is the same')
    tap.equal(open(box.root + '/empty.txt').read(), 'p31 profile: total 0\n', 'an empty one')
    r = box.run('held', 'calls', box.root, spec='cpu')
    tap.ok(r.status == 0 and r.own_err == '', 'cprof run: the same', r.show())
    check_calls('cprof run', r.directory)
    wanted = {'handles', LONG} | {'p%d' % i for i in range(2, 32)}
    found = {f[:-len('.pb.gz')] for f in os.listdir(r.directory) if f.endswith('.pb.gz')} - {'cpu'}
    tap.equal(found, wanted, 'a file for each, the empty ones too')
    r = box.plain('held', 'calls', box.root, env={'CPROF': 'cpu,out=' + box.root + '/own'})
    tap.ok(r.status == 0 and r.err == '', 'out=: the same', r.show())
    check_calls('out=', box.root + '/own')
    status, out, err = pprof('-top', box.root + '/own/handles.pb.gz')
    tap.ok(status == 0 and re.search(r'^\s+5 62\.50%.* open_one$', out, re.MULTILINE), 'go tool pprof reads it', out + err)
    box.close()


def storm():
    box = Box()
    r = box.plain('held', 'storm', box.root)
    tap.ok(r.status == 0 and r.err == '', 'eight threads, the same values and others: every call says what it did', r.show())
    tap.equal(open(box.root + '/storm.txt').readline(), 'storm profile: total 4000\n', 'what is left')
    r = box.run('held', 'storm', spec='cpu=1000,block=1us')
    tap.ok(r.status == 0 and r.own_err == '', 'sampled meanwhile: the same', r.show())
    tap.equal(leaf_counts(read(r.directory, 'storm')), {'open_one': 4000}, 'sampled meanwhile: what is left')
    box.close()


def family():
    box = Box()
    r = box.run('held', 'family', spec='threadcreate')
    tap.ok(r.status == 0 and r.own_err == '', 'children of fork: every call returns what it should', r.show())
    tap.equal(leaf_counts(read(r.directory)), {'open_one': 20}, 'the parent has what it had')
    found = [leaf_counts(read(r.directory, below=c)) for c in r.children()]
    tap.equal(sorted(f['accept_one'] for f in found), [1, 2, 3, 4], 'children have their own, and one that adds nothing is not there')
    tap.equal([f['open_one'] for f in found], [10] * 4, 'and what they left of their parent\'s')
    wrong = [s.names for c in r.children() for s in read(r.directory, below=c).samples if 'main' not in s.names]
    tap.equal(wrong, [], 'with its whole stack')
    r = box.plain('held', 'family')
    tap.ok(r.status == 0 and r.err == '', 'without cprof run: the same', r.show())
    box.close()


def killed():
    box = Box()
    r = box.run('held', 'killed', spec='cpu')
    tap.equal((r.status, leaf_counts(read(r.directory))), (-9, {'open_one': 6}), 'after SIGKILL all are there')
    tap.ok(os.path.exists(r.directory + '/handles.txt'), 'also as text')
    box.close()


def full():
    box = Box()
    r = box.run('held', 'full', spec='threadcreate,memory=1m')
    added = r.truth['added']
    tap.ok(r.status == 0 and r.own_err == '', 'full: every call says so', r.show())
    tap.equal(added, 1024, 'full: as many as there is room for')
    p = read(r.directory)
    tap.equal(leaf_counts(p), {'accept_one': 1}, 'full: what is gone left room')
    text = 'lost: %d entries: no room when they were added, a larger memory= has more' % (3000 - added)
    tap.ok(text in p.comments, 'full: said in the profile', p.comments)
    tap.equal(r.closing and r.closing.group(2).replace(',', ''), str(3000 - added), 'full: and in the closing line')
    box.close()


def labelled():
    box = Box()
    r = box.run('held', 'labelled', spec='cpu')
    found = sorted(s.labels.get('tenant', '') for s in read(r.directory).samples)
    tap.equal(found, ['', 'acme', 'acme'], 'entries have the labels of who added them')
    box.close()


def check_served(about, address, n):
    a = ask(address, BASE + 'handles')
    tap.equal((a.status, a.header('Content-Disposition')), (200, 'attachment; filename="handles"'), about + ': served')
    tap.equal(Profile(unpacked(a.body)).total(0), n, about + ': what is there now')
    a = ask(address, BASE + 'handles?debug=1')
    tap.equal(a.text.split('\n')[0], 'handles profile: total %d' % n, about + ': as text')
    tap.equal((ask(address, BASE + 'delta_handles').status, ask(address, BASE + 'handle').status), (404, 404),
              about + ': nothing else is')
    row = re.search(r'<tr><td class="n">(\d+)</td><td class="n">(\d*)</td><td><a href="handles\?debug=1">handles</a></td><td>(\w+)',
                    ask(address, BASE).text)
    tap.equal(row and row.groups(), (str(n), '', 'on'), about + ': its row on the index page')
    line = re.search(r'^handles +(\w+) +(\d+) +(\d+)', ask(address, '/debug/cprof/status').text, re.MULTILINE)
    tap.equal(line and line.groups(), ('on', str(n), '0'), about + ': its line of the state')


class Waiting:
    """held waits, until its end."""

    def __init__(self, box, command, env):
        self.process = subprocess.Popen(command, cwd=box.cwd, env=box.environment(env), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()

    def add(self):
        self.process.stdin.write(b'x')
        self.process.stdin.flush()
        self.process.stdout.readline()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def served():
    box = Box()
    held = [os.path.join(PROGRAMS, 'held'), 'waits']
    address = box.root + '/http'
    one = Waiting(box, held, {'CPROF': 'http=unix:' + address})
    wait_for(lambda: is_open(address))
    check_served('http=', address, 5)
    one.add()
    check_served('http=, one more', address, 6)
    tap.equal(one.end(), 0, 'http=: it ends well')

    out = box.root + '/out'
    one = Waiting(box, [box.cprof, 'run', '-p', 'threadcreate', '-o', out, '--'] + held, {})
    wait_for(lambda: sockets_of(box))
    address = sockets_of(box)[0]
    pid = os.path.basename(address)[:-len('.sock')]
    check_served('cprof run', address, 5)
    one.add()
    check_served('cprof run, one more', address, 6)
    r = box.command('ctl', pid, 'dump', 'handles', '-o', box.root + '/dumped.pb.gz')
    tap.equal((r.status, leaf_counts(Profile.read(box.root + '/dumped.pb.gz'))), (0, {'open_one': 6}), 'cprof ctl dump')
    r = box.command('ctl', pid, 'dump', 'handles', '-debug', '1', '-o', '-')
    tap.ok(r.status == 0 and r.out.startswith('handles profile: total 6\n'), 'cprof ctl dump -debug 1', r.show())
    r = box.command('ctl', pid, 'top', 'handles')
    tap.ok(r.status == 0 and re.search(r'^ +6 +100% .* open_one$', r.out, re.MULTILINE), 'cprof ctl top', r.show())
    r = box.command('ctl', pid, 'status')
    tap.ok(re.search(r'^on +handles   6 samples, 0 lost$', r.out, re.MULTILINE), 'cprof ctl status', r.show())
    tap.equal(re.findall(r'^on +(\w+)', r.out, re.MULTILINE), ['threadcreate', 'handles'], 'nothing was switched on for it')
    r = box.command('ctl', pid, 'dump', 'handle')
    tap.ok(r.status == 1 and 'Unknown profile' in r.err, 'cprof ctl dump: one that is not there', r.show())
    tap.equal((one.end(), leaf_counts(read(out))), (0, {'open_one': 6}), 'cprof run: it ends well, and the file is there')
    box.close()


tap.run(calls, storm, family, killed, full, labelled, served)
