#!/usr/bin/env python3
"""cprof merge: what go tool pprof makes of the same files; what it writes is a profile for everybody, or nothing at all."""

import os
import shutil
import stat
import subprocess
import sys

import pprof_rules
import profiles_made
import tap
from cprof import Box
from pprof import Profile

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')
box = Box()
env = dict(box.environment(), TZ='UTC', PPROF_TMPDIR=box.root, HOME=box.root, PPROF_BINARY_PATH=box.root)


def data(*names):
    return [os.path.join(DATA, 'go-%s.pb.gz' % name) for name in names]


def raw(files):
    """The whole of what pprof sees in the files together."""
    r = box.plain(shutil.which('go'), 'tool', 'pprof', '-symbolize=none', '-raw', *files, env=env)
    return r.out if r.status == 0 else r.err


def merge(files, name='merged.pb.gz'):
    out = os.path.join(box.root, name)
    return box.command('merge', '-o', out, *files), out


def same(about, files):
    r, out = merge(files)
    if not tap.ok(r.status == 0 and r.out == r.err == '', '%s: merged' % about, r.show()):
        return
    tap.equal(raw([out]).split('\n'), raw(files).split('\n'), '%s: pprof sees the same in it' % about)
    with open(out, 'rb') as f:
        wrong = [p for p in pprof_rules.problems(f.read()) if not any(word in p for word in may_be_wrong)]
    tap.equal(wrong, [], '%s: a profile that everybody takes' % about)


# what the sources of these tests may have and a merge does not mend
may_be_wrong = ('taken at', 'outside its mapping', ' keys')


def oracle():
    if shutil.which('go') is None:
        tap.skip('merged as pprof does', 'there is no go')
        return
    same('two of Go\'s', data('cpu', 'cpu2'))
    same('one twice', data('heap', 'heap'))
    same('heap and allocs', data('heap', 'allocs'))
    same('one alone', data('mutex'))
    same('seventy', data('cpu', 'cpu2') * 35)
    for path in profiles_made.make_special(box.root):
        if os.path.basename(path) == 'huge.pb.gz':  # pprof's sums wrap
            same('huge.pb.gz', [path])
            r, _ = merge([path, path])
            tap.ok(r.status == 1 and '63 bits' in r.err, 'sums that are too large are refused', r.show())
        elif os.path.basename(path) != 'bytes.pb.gz':  # what is not UTF-8 is mended
            same(os.path.basename(path), [path, path])
    for seed in range(1, 13):
        path = os.path.join(box.root, 'seed%d.pb.gz' % seed)
        profiles_made.generate(seed, path)
        same('seed %d' % seed, [path, path, path])


def make(name, unit, base, value, build='', time=0):
    path = os.path.join(box.root, name)
    p = profiles_made.Profile()
    p.sample_type('cpu', unit)
    p.mapping(1, base, base + 0x5000, 0x1000, '/bin/prog.' + name, build)
    p.function(1, 'main')
    p.location(1, 1, base + 0x123, [(1, 7)])
    p.sample([1], [value])
    p.header(time=time, duration=10**9, period=10, period_type=('cpu', unit))
    p.write(path)
    return path


def facts():
    """What is known of the sum without an oracle."""
    a, b = make('a', 'milliseconds', 0x1000, 3, 'abcd', 2000), make('b', 'nanoseconds', 0x70000000, 5, 'abcd', 1000)
    r, out = merge([a, b])
    tap.equal(r.status, 0, 'other units, other addresses, one build id')
    p = Profile.read(out)
    tap.equal([(s.names, s.values) for s in p.samples], [(['main'], [3000005])], 'one sample, in the finer unit')
    tap.equal((p.types, p.time_ns, p.duration_ns, p.period), ([('cpu', 'nanoseconds')], 1000, 2 * 10**9, 10 * 10**6),
              'type, earliest time, both durations, the longer period')
    tap.equal([m['file'] for m in p.mappings], ['/bin/prog.a'], 'one mapping')
    r, out = merge([make('a', 'nanoseconds', 0x1000, 3), make('b', 'nanoseconds', 0x1000, 5)])
    tap.equal(len(Profile.read(out).mappings), 2, 'without a build id the file\'s name decides')
    r, out = merge([sys.executable] + data('cpu'))
    tap.equal(Profile.read(out).mappings[0]['file'], sys.executable, 'a program before the files is the main one')
    r = box.command('merge', *data('cpu', 'cpu2'), env={'LC_ALL': 'C'})
    tap.ok(r.status == 0 and r.out != '', 'without -o it goes to standard output')


def files():
    """Whole or not at all."""
    r, out = merge(data('cpu'))
    tap.equal(stat.S_IMODE(os.stat(out).st_mode), 0o600, 'for its owner only')
    before = open(out, 'rb').read()
    for about, arguments in (('kinds that differ', data('cpu', 'heap')), ('a file that is not there', ['/nonexistent']),
                             ('a file that is none', [os.path.abspath(__file__)])):
        r = box.command('merge', '-o', out, *arguments)
        tap.ok(r.status == 1 and r.out == '' and r.err.startswith('cprof: merge: ') and r.err.count('\n') == 1,
               '%s: one sentence' % about, r.show())
        tap.ok(open(out, 'rb').read() == before, '%s: what was there stays' % about)
    r = box.command('merge', '-o', out)
    tap.ok(r.status == 2 and 'which profile' in r.err, 'no file named', r.show())
    for to in ('/dev/null', '/proc/none/here', box.root + '/'):
        r = box.command('merge', '-o', to, *data('cpu'))
        tap.ok(r.status == 1 and r.err.count('\n') == 1, 'nothing can be written at %s' % to.replace(box.root, '…'), r.show())
    r = box.command('merge', '-o', out, out, *data('cpu'))
    tap.equal((r.status, Profile.read(out).total()), (0, 2 * Profile.read(data('cpu')[0]).total()), 'over one of its sources')
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([box.cprof, 'merge'] + data('cpu'), stdout=full, stderr=-1, env=env)
    tap.ok(done.returncode == 1 and b'No space left' in done.stderr, 'a full disk', done.stderr)
    tap.equal([n for n in os.listdir(box.root) if n.endswith('.part')], [], 'nothing half-written lies about')


tap.run(oracle, facts, files, box.close)
