#!/usr/bin/env python3
"""cprof list against go tool pprof -list, byte for byte: profiles of Go and of C, files made here, sources that are elsewhere."""

import os
import random
import re
import shutil
import subprocess

import profiles_made as made
import tap
from cprof import Box

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')

PROGRAM = '''\
#include "part.h"
#include <stdio.h>
#include <time.h>

static unsigned long long cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

__attribute__((noinline)) unsigned burn(unsigned x)
{
	for (int i = 0; i < 1000; i++)
		x = step(x);
	return x;
}

int main(void)
{
	unsigned x = 1;

	while (cpu_ms() < 300)
		x = burn(x);
	return printf("%u\\n", x) < 0;
}
'''
PART = '''\
/* Inlined. */
static inline __attribute__((always_inline)) unsigned twist(unsigned x)
{
	return x * 2654435761u ^ x >> 7;
}

static inline __attribute__((always_inline)) unsigned step(unsigned x)
{
	for (int i = 0; i < 50; i++)
		x = twist(x) + 1;
	return x;
}
'''


class Place:
    """A directory to ask from, and the environment in which pprof finds nothing of anybody else."""

    def __init__(self):
        self.box = Box()
        self.cwd = self.box.cwd
        self.env = dict(self.box.environment(), HOME=self.box.root, PPROF_TMPDIR=os.path.join(self.box.root, 'tmp'), TZ='UTC',
                        PPROF_BINARY_PATH=os.path.join(self.box.root, 'none'), GOFLAGS='', GOCACHE=os.path.join(self.box.root, 'cache'))

    def run(self, *command, cwd=None):
        cwd = cwd or self.cwd
        return subprocess.run(command, cwd=cwd, env=dict(self.env, PWD=cwd), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def write(self, name, text):
        path = os.path.join(self.cwd, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def pprof(self, expression, *words, cwd=None):
        return self.run('go', 'tool', 'pprof', '-list=' + expression, *words, cwd=cwd)

    def same(self, about, expression, *words, cwd=None):
        """None, or what differs. What cprof prints is returned as well."""
        got = self.run(self.box.cprof, 'list', expression, *words, cwd=cwd)
        want = self.pprof(expression, *words, cwd=cwd)
        if (got.returncode != 0) != (want.returncode != 0) or got.stdout != want.stdout:
            return '%s: list %s %s\n%s%s\n--- pprof\n%s%s' % (about, expression, ' '.join(words), got.stdout.decode(errors='replace'),
                                                            got.stderr.decode(errors='replace'), want.stdout.decode(errors='replace'),
                                                            want.stderr.decode(errors='replace'))
        return None

    def check(self, about, expression, *words, cwd=None):
        wrong = self.same(about, expression, *words, cwd=cwd)
        tap.ok(wrong is None, about, wrong)


OPTIONS = [
    [], ['-focus=main|f'], ['-ignore=fn1'], ['-hide=std::|leaf1'], ['-show=f.*'], ['-show_from=worker'], ['-noinlines'], ['-sample_index=0'],
    ['-mean'], ['-unit=ms'], ['-divide_by=3'], ['-relative_percentages', '-focus=a'], ['-tagfocus=thread=w1'], ['-tagignore=idle'],
    ['-drop_negative'], ['-nodecount=2', '-nodefraction=0.5'], ['-files'], ['-trim_path=/usr/src'], ['-trim_path=/usr/src/:a', '-source_path=/usr'],
    ['-source_path=SRC'], ['-source_path=SRC/src:SRC'], ['-source_path=/nowhere/src', '-trim_path=/x'], ['-source_path=.'], ['-source_path=SRC/'],
]


def generated():
    """Profiles made at random. Functions begin at one line each, without which pprof is not of one mind: see below."""
    place = Place()
    for name in ('main.c', 'src/main.c', 'lib/x.cc', 'y.cc', 'b.c', 'a/b.c', 'dir/in.c', 'deep/src/b.c', 'deep/main.c'):
        place.write(name, ''.join('%s %d\n' % (name, i) for i in range(1, 300)))
    original = made.Profile.function
    for seed in range(1, 31):
        r = random.Random(seed)
        start = r.choice([0, 0, 10])
        made.Profile.function = lambda self, id, name, system=None, file='', _=0: original(self, id, name, system, file, start)
        path = os.path.join(place.box.root, 'seed%d.pb.gz' % seed)
        made.generate(seed, path)
        wrong = None
        for options in [[]] + r.sample(OPTIONS, 3):
            words = [o.replace('SRC', os.path.join(place.cwd, 'deep')) for o in options]
            wrong = wrong or place.same('seed %d' % seed, r.choice(['.', 'main|fn', '^$', 'parse', 'nothing at all', 'f', '::']), *words, path)
        tap.ok(wrong is None, 'seed %d' % seed, wrong)
    made.Profile.function = original
    place.box.close()


def simple(place, name, lines, files=('x.c',), names=('f',), start=0, object='/bin/x'):
    """A profile in which each of @lines is a sample of its own value; a line is (file, name, line) by number."""
    p = made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    p.mapping(1, 0x1000, 0x9000, 0, object)
    p.mapping(2, 0x10000, 0x90000, 0, '/lib/y.so')
    for i, file in enumerate(files):
        for j, function in enumerate(names):
            p.function(1 + i * len(names) + j, function, None, file, start if isinstance(start, int) else start[i * len(names) + j])
    for i, (file, function, line, mapping) in enumerate(lines, 1):
        p.location(i, mapping, 0x1000 * mapping + i, [(1 + file * len(names) + function, line)])
        p.sample([i, 1], [10**6 * i])
    p.header()
    path = os.path.join(place.box.root, name + '.pb.gz')
    p.write(path)
    return path


def rules():
    place = Place()
    text = ''.join('line %d\n' % i for i in range(1, 51))
    place.write('x.c', text)
    path = simple(place, 'lines', [(0, 0, 3, 1), (0, 0, 20, 1), (0, 0, 20, 2), (0, 0, 49, 1)])
    place.check('lines without a beginning', 'f', path)
    place.check('two programs have the same lines', 'f', path, path)
    path = simple(place, 'start', [(0, 0, 9, 1), (0, 0, 12, 1)], start=7)
    place.check('lines with one', 'f', path)
    path = simple(place, 'odd', [(0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 51, 1), (0, 0, 2**62, 1)], start=1)
    place.check('lines that are not there', 'f', path)
    place.check('behind the end', 'f', simple(place, 'behind', [(0, 0, 90, 1)]))
    place.check('the largest', 'f', simple(place, 'largest', [(0, 0, 2**63 - 1, 1), (0, 0, 4, 1)], start=2))
    for name, content in (('none', b''), ('blank', b'\n' * 9), ('endless', b'a\nb\nc'), ('dos', b'a\r\nb\r\r\nc\r\n'), ('bytes', b'\xff\x00\x1b[31m\n' * 9),
                          ('tabs', b'\tx\t\n \t\n' * 5), ('long', b'a\n' + b'x' * 65535 + b'\nb\n'), ('longer', b'a\n' + b'x' * 65536 + b'\nb\n'),
                          ('longest', b'a\n' + b'x' * 65535), ('last', b'a\n' + b'x' * 65536)):
        place.write('x.c', content)
        place.check('a file: ' + name, 'f', simple(place, 'file', [(0, 0, 2, 1), (0, 0, 3, 1)]))
    place.write('x.c', text)
    place.check('two files of one function', 'f', simple(place, 'two', [(1, 0, 3, 1), (0, 0, 9, 1), (1, 0, 9, 2)], ('x.c', 'a/x.c')))
    place.write('a/x.c', 'another\n' * 9)
    path = simple(place, 'twice', [(1, 0, 3, 1), (0, 0, 9, 1), (2, 1, 9, 2), (3, 1, 4, 2)], ('x.c', 'a/x.c', '', './x.c'), ('f', 'g', 'fg'))
    for expression in ('f', 'g', '^f$', 'fg', '.', 'F', '(?i)G', '[fg]$'):
        place.check('the same name twice: %r' % expression, expression, path)
    r = place.run(place.box.cprof, 'list', 'f', simple(place, 'no', [(0, 0, 0, 1)], ('',)))
    tap.ok(r.stdout.endswith(b'No source information for f\n') and b'built with -g?' in r.stderr, 'no lines at all', r.stdout + r.stderr)
    place.check('a file that is none of the function', 'f', simple(place, 'no', [(0, 0, 1, 1)], ('',)))
    os.makedirs(os.path.join(place.cwd, 'dir.c'))
    place.check('a directory', 'f', simple(place, 'dir', [(0, 0, 1, 1), (1, 0, 1, 1)], ('dir.c', os.path.join(place.cwd, 'dir.c'))))
    place.check('not there', 'f', simple(place, 'gone', [(0, 0, 1, 1), (1, 0, 1, 1), (2, 0, 1, 1)],
                                         ('gone.c', '/none/gone.c', os.path.join(place.cwd, 'x.c', 'y'))))
    place.check('a name that is too long', 'f', simple(place, 'name', [(0, 0, 1, 1)], ('/' + 'x' * 300,)))
    path = simple(place, 'values', [(0, 0, i, 1) for i in range(1, 9)])
    for words in (['-divide_by=7'], ['-unit=us'], ['-unit=s'], ['-sample_index=0', '-mean'], ['-relative_percentages'], ['-cum'], ['-trim=false']):
        place.check(' '.join(words), 'f', *words, path)
    place.check('a difference', 'f', '-base=' + path, simple(place, 'more', [(0, 0, i, 1) for i in range(3, 20)]))

    # What is idle is left out, and it says so; pprof has no such thing.
    waits = made.make_waits(place.box.root)
    place.write('w.c', 'w\n' * 9)
    place.check('labels', 'pop|get|put|worker', '-tagignore=idle=yes', waits)
    everything, rest = (place.run(place.box.cprof, 'list', 'worker', *words, waits).stdout for words in (['-idle'], []))
    tap.equal(everything, place.pprof('worker', waits).stdout, 'what is idle, too')
    tap.ok(rest.startswith(b'Left out as idle: ') and b'\nTotal: 3.11s\n' in rest, 'what is idle is left out', rest)

    # Where functions of one name begin at several lines, what pprof prints depends on the order of a Go map.
    path = simple(place, 'starts', [(0, 0, 12, 1), (0, 1, 30, 1)], ('x.c',), ('f', 'f'), (10, 5))
    got = place.run(place.box.cprof, 'list', 'f', path).stdout
    tap.ok(any(place.pprof('f', path).stdout == got for _ in range(60)) and b' 35:line 35\n' in got, 'beginnings: what pprof prints at best', got)
    place.box.close()


def elsewhere():
    """-source_path and -trim_path, and what is said to those who need them."""
    place = Place()
    build, there = '/none/build/app/src', os.path.join(place.box.root, 'app')
    os.makedirs(os.path.join(there, 'src', 'sub'))
    for name in ('src/x.c', 'src/sub/y.c', 'z.c'):
        with open(os.path.join(there, name), 'w') as f:
            f.writelines('%s %d\n' % (name, i) for i in range(1, 20))
    path = simple(place, 'moved', [(0, 0, 3, 1), (1, 0, 3, 1), (2, 0, 3, 1)], (build + '/x.c', build + '/sub/y.c', 'z.c'))
    other = os.path.join(place.box.root, 'other')
    os.symlink(there, other)
    for words in ([], ['-source_path=' + there], ['-source_path=' + there + '/src'], ['-source_path=' + other], ['-source_path=%s:%s' % (other, there)],
                  ['-trim_path=/none/build/app', '-source_path=' + other], ['-trim_path=' + build, '-source_path=' + other + '/src'],
                  ['-trim_path=/x:' + build + '/', '-source_path=' + there + '/src/sub'], ['-source_path=../app'], ['-source_path=' + there + '/none'],
                  ['-trim_path=' + build], ['-source_path=:' + there + ':'], ['-source_path=/']):
        place.check(' '.join(words).replace(place.box.root, ''), 'f', *words, path)
    for cwd in (there, there + '/src', there + '/src/sub', other, '/'):
        place.check('in ' + cwd.replace(place.box.root, ''), 'f', path, cwd=cwd)

    path = simple(place, 'hint', [(0, 0, 3, 1)], (build + '/x.c',))
    os.rename(there, there + '2')
    r = place.run(place.box.cprof, 'list', 'f', path, cwd=there + '2')
    words = re.findall(rb'-\w+_path=\S+', r.stderr)
    tap.equal(words, [b'-trim_path=/none/build/app', b'-source_path=' + there.encode() + b'2'], 'what to type')
    r = place.run(place.box.cprof, 'list', 'f', *words, path)
    tap.ok(b'src/x.c 3\n' in r.stdout and r.stderr == b'', 'and it is found', r.stdout + r.stderr)
    r = place.run(place.box.cprof, 'list', 'f', path)
    tap.ok(r.returncode == 0 and r.stderr.startswith(b'cprof: ' + build.encode() + b'/x.c is not here; -source_path=DIR'), 'nobody knows', r.stderr)

    fifo = os.path.join(place.box.root, 'pipe')
    os.mkfifo(fifo)
    for file in (fifo, '/dev/zero', '/dev/tty'):
        r = place.run(place.box.cprof, 'list', 'f', simple(place, 'device', [(0, 0, 3, 1)], (file,)))
        tap.ok(r.returncode == 0 and b' Error: open %s: it is no regular file\n' % file.encode() in r.stdout, 'no source: ' + os.path.basename(file),
               r.stdout + r.stderr)
    with open(fifo + 'large', 'wb') as f:
        f.truncate(1 << 40)
    r = place.run(place.box.cprof, 'list', 'f', simple(place, 'large', [(0, 0, 3, 1)], (fifo + 'large',)))
    tap.ok(b'it is larger than any source' in r.stdout, 'one without end', r.stdout + r.stderr)
    place.box.close()


def recorded():
    """A program of C, its lines as cprof recorded them: inlined calls, a header, a build in another directory, a deleted source."""
    place = Place()
    place.write('app/burn.c', PROGRAM)
    place.write('app/include/part.h', PART)
    app, binary = os.path.join(place.cwd, 'app'), os.path.join(place.cwd, 'app', 'burn')
    done = subprocess.run(['cc', '-g', '-O1', '-Iinclude', '-o', 'burn', 'burn.c'], cwd=app, stderr=subprocess.PIPE)
    tap.ok(done.returncode == 0, 'built', done.stderr)
    r = place.box.run(binary, spec='cpu=1000')
    path = os.path.join(r.directory, 'cpu.pb.gz')
    tap.ok(r.status == 0 and os.path.exists(path), 'recorded', r.show())
    r = place.run(place.box.cprof, 'list', '^(burn|twist)$', path).stdout.decode()
    tap.ok('ROUTINE ======================== burn in %s/burn.c\n' % app in r and re.search(r' 1[67]:\t+x = step\(x\);', r), 'the caller', r)
    tap.ok('ROUTINE ======================== twist in %s/include/part.h\n' % app in r and
           re.search(r'^ +[\d.]+m?s +[\d.]+m?s +4:\treturn x \* 2654435761u', r, re.M), 'what was inlined, in its own file', r)
    for words in ([], ['-noinlines'], ['-focus=main'], ['-sample_index=samples'], ['-cum'], ['-hide=twist']):
        for expression in ('^burn$', 'twist|step', '.'):
            place.check('recorded: %s %s' % (expression, ' '.join(words)), expression, *words, path)
    os.rename(app, app + '2')
    place.check('moved', '^burn$', path)
    place.check('moved, and found', '^burn|step$', '-trim_path=' + app, '-source_path=' + app + '2', path)
    os.unlink(os.path.join(app + '2', 'include', 'part.h'))
    place.check('one is gone', '^burn|step$', '-trim_path=' + app, '-source_path=' + app + '2', path)
    place.box.close()


def go_profiles():
    place = Place()
    place.write('profiles.go', ''.join('line %d\n' % i for i in range(1, 400)))
    for name in sorted(os.listdir(DATA)):
        if name.startswith('go-') and name.endswith('.pb.gz'):
            path = os.path.join(DATA, name)
            place.check(name, 'main', path)
            place.check(name + ', all', '.', '-noinlines', path)
    place.box.close()


def refused():
    place = Place()
    path = simple(place, 'f', [(0, 0, 1, 1)])
    for words, status, said in ((['list'], 2, 'which functions?'), (['list', 'f'], 2, 'which profile?'), (['list', '(', path], 2, '('),
                                (['list', 'nothing', path], 1, "no function's name matches nothing"), (['list', 'f', path + 'x'], 1, 'no such file'),
                                (['list', '-source_pth=x', 'f', path], 2, 'did you mean -source_path?')):
        r = place.run(place.box.cprof, *words)
        tap.ok(r.returncode == status and r.stdout == b'' and said.encode() in r.stderr and r.stderr.count(b'\n') == 1, 'cprof ' + ' '.join(words[:2]),
               r.stderr)
    r = place.run('sh', '-c', '%s list f %s > /dev/full' % (place.box.cprof, path))
    tap.ok(r.returncode == 1 and b'the output was not taken' in r.stderr, 'a full disk', r.stderr)
    r = place.run(place.box.cprof, 'list', '--help')
    tap.ok(r.returncode == 0 and r.stdout.startswith(b'usage: cprof list'), 'cprof list --help')
    place.box.close()


if shutil.which('go') is None:
    tap.skip_all('there is no go, whose pprof is what cprof is compared with')
tap.run(rules, elsewhere, recorded, go_profiles, generated, refused)
