#!/usr/bin/env python3
"""Programs that everybody has: the same output and status as without, and profiles that make sense to pprof, too."""

import os
import re
import shutil
import subprocess

import tap
from cprof import Box, CPROF

PPROF = shutil.which('go')
TEXT = ''.join('line %d of some text that packs well, %d\n' % (i, i * i % 9973) for i in range(120000))
PROGRAM_C = '''
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
%s
int main(void) { return 0; }
''' % '\n'.join('int f%d(int x) { int s = 0; for (int i = 0; i < x; i++) { s += i * %d; s ^= x << (i & 7); '
                'if (s & 1) s = abs(s) + (int)strlen("a%d"); } printf("%%d", s); return s; }' % (i, i, i)
                for i in range(400))
PYTHON = '''
import re, json, hashlib
words = {}
for i in range(90000):
    word = hashlib.md5(str(i % 5000).encode()).hexdigest()[:6]
    words[word] = words.get(word, 0) + len(re.sub("[a-f]", "", word))
print(len(json.dumps(words, sort_keys=True)), sum(sorted(words.values())))
'''
PERL = 'my %h; for my $i (1..700000) { $h{$i % 1000} .= "x" if $i =~ /7$/; } print scalar(keys %h), "\\n";'
NODE = 'let a = []; for (let i = 0; i < 2e6; i++) a.push(i * 7 % 1013 + "x"); console.log(a.sort()[12345], a.length);'
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i+1 from n where i<250000) "
       "insert into t select i*7919%100003, 'text '||i from n; create index x on t(a); "
       "select count(*), sum(a), max(b) from t where a between 100 and 90000; "
       "select a%10, count(*) from t group by 1 order by 1;")


def programs(box):
    path = lambda name: os.path.join(box.cwd, name)
    with open(path('text'), 'w') as f:
        f.write(TEXT)
    with open(path('program.c'), 'w') as f:
        f.write(PROGRAM_C)
    shuffled = TEXT.splitlines(True)
    with open(path('lines'), 'w') as f:
        f.write(''.join(sorted(shuffled * 3, key=lambda line: hash(line[5:9]) ^ len(line))))
    return [
        ('xz', ['xz', '-6', '-c', '-T1', path('text')]),
        ('gzip', ['gzip', '-9', '-n', '-c', path('text')]),
        ('python3', ['/usr/bin/python3', '-c', PYTHON]),
        ('sqlite3', ['sqlite3', ':memory:', SQL]),
        ('gcc', ['gcc', '-O2', '-S', '-o', '-', path('program.c')]),
        ('perl', ['perl', '-e', PERL]),
        ('tar', ['tar', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-cf', '-',
                 '/usr/include/linux', '/usr/include/x86_64-linux-gnu']),
        ('sort', ['sort', '--parallel=2', '-k5', path('lines')]),
        ('openssl', ['openssl', 'dgst', '-sha512', path('lines'), path('text')]),
        ('node', ['node', '-e', NODE]),
    ]


def pprof(*argv):
    home = os.environ.get('HOME') or '/tmp'
    done = subprocess.run(['go', 'tool', 'pprof'] + list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, HOME=home, PPROF_BINARY_PATH='/nonexistent'), timeout=100)
    return done.returncode, done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace')


def look(about, path, profile):
    # one in a hundred, or one where there are fewer samples than that
    tap.between(profile.truncated(), 0, max(0.01, 2.0 / max(1, profile.total(0))), '%s: stacks cut' % about)
    top = {}
    for s in profile.samples:
        top[s.names[0]] = top.get(s.names[0], 0) + s.values[1]
    first = max(top, key=top.get)
    # without libc's debug information the places where threads begin have no name; but they are few
    unnamed = {s.names[-1] for s in profile.samples if s.names[-1].startswith('0x')}
    roots = sum(s.values[0] for s in profile.samples if (len(unnamed) <= 4 and s.names[-1] in unnamed) or s.names[-1] in
                ('_start', '[truncated]', 'start_thread', 'clone3', '__clone3', 'clone', '__clone', '_dl_start_user') or
                any(n in ('main', '_start', '__libc_start_main_impl', '__libc_start_main') for n in s.names[-6:]))
    if first.startswith('0x'):
        # a distribution strips its files of all names but those that others link to
        leaf = max(profile.samples, key=lambda s: s.values[1]).frames[0]
        mapping = [m for m in profile.mappings if m['id'] == leaf[0]]
        tap.ok(mapping and mapping[0]['build_id'], '%s: the top function is of a stripped file with a build id' % about)
        names = {n for s in profile.samples for n in s.names if n[0].isalpha() or n[0] == '_'}
        first = sorted(names, key=profile.within)[-1]
    else:
        tap.ok(True, '%s: the top function has a name: %s' % (about, first))
    tap.ok(roots > 0.9 * profile.total(0), '%s: stacks end where programs begin' % about,
           '%d of %d; others end in %s' % (roots, profile.total(0), sorted({s.names[-1] for s in profile.samples})[:8]))
    r = subprocess.run([CPROF, 'top', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check = subprocess.run([CPROF, 'check', path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.ok(check.returncode == 0, '%s: cprof check' % about, check.stdout.decode()[:500])
    if PPROF is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    status, out, err = pprof('-top', path)
    tap.equal((r.returncode, r.stdout.decode('utf-8', 'replace').splitlines()), (status, out.splitlines()),
              '%s: cprof top is pprof -top' % about)
    for how in (['-tree'], ['-peek', re.escape(first)], ['-traces'], ['-list', re.escape(first)], ['-raw']):
        status, out, err = pprof(*how, path)
        # a listing needs sources, which a distribution's programs do not come with
        tap.ok(status == 0 and out or how[0] == '-list' and 'no such file' in err + out or 'could not find' in err,
               '%s: pprof %s' % (about, how[0]), err[:300])
    if shutil.which('dot') is None:
        tap.skip(about + ': pprof -svg', 'no graphviz')
    else:
        status, out, err = pprof('-svg', '-output', os.devnull, path)
        tap.ok(status == 0, '%s: pprof -svg' % about, err[:300])


def real_programs():
    box = Box()
    for about, argv in programs(box):
        if shutil.which(argv[0]) is None:
            tap.skip(about, 'not installed')
            continue
        plain, r = box.plain(*argv), box.run(*argv)
        noise = lambda text: re.sub(r"(removing leading|tar: Removing).*\n", '', text, flags=re.I)
        if not tap.ok((r.status, r.out == plain.out, noise(r.own_err)) == (plain.status, True, noise(plain.err)),
                      '%s: the same output and status' % about, r.show()[:800]):
            continue
        # gcc's work is done by a child
        below = [[]] + [[c] for c in r.children()]
        profiles = [(r.profile(*b), os.path.join(r.directory, *b, 'cpu.pb.gz')) for b in below]
        profile, path = max(profiles, key=lambda p: p[0].total())
        tap.ok(profile.total(0) > 10, '%s: there is a profile' % about, '%d samples' % profile.total(0))
        tap.note('%s: %d samples, %d signals, %.3f %% truncated' % (
            about, profile.total(0), profile.signals, 100 * profile.truncated()))
        if profile.truncated() > 0.01:
            broken = {}
            for s in profile.samples:
                if '[truncated]' in s.names:
                    at = s.names[s.names.index('[truncated]') - 1] if len(s.names) > 1 else '?'
                    broken[at] = broken.get(at, 0) + s.values[0]
            tap.note('walks break in: %s' % sorted(broken.items(), key=lambda kv: -kv[1])[:8])
        look(about, path, profile)
    box.close()


TOOLS = ('ar as awk bash bzip2 c++filt cat clang clang-format cmp cp cpp curl cut dash date dd diff dot du env expr factor file find '
         'flex bison g++ gawk gcc gdb git go grep gzip head id jq less ld ls lz4 m4 make md5sum mawk meson nice ninja nl nm node '
         'objcopy objdump od openssl paste patch perl pgrep pkg-config pr printf ps psql pwd python3 ranlib readelf redis-cli '
         'redis-server rev rsync ruby rustc sed seq sha256sum size sort split sqlite3 ssh stat strace strings strip tac tail tar tee '
         'timeout top touch tr tty uname uniq unxz valgrind vim watch wc wget which xargs xz zip zstd').split()


def first_words():
    """What a program says of itself: hundreds of libraries' constructors, with all that may stand in front of them."""
    box = Box()
    run = 0
    for tool in TOOLS:
        # a directory of programs' own, before those that a user has put in front
        path = next((p for p in ('/usr/bin/' + tool, '/bin/' + tool) if os.access(p, os.X_OK)), None)
        if path is None:
            continue
        plain = box.plain(path, '--version', timeout=60)
        if plain.status == 125:
            continue
        run += 1
        for spec in ('heap=1', 'all'):
            r = box.run(path, '--version', spec=spec, timeout=60)
            # of one that brings its own malloc() cprof says that it cannot see it
            said = ''.join(line for line in r.own_err.splitlines(True) if not line.startswith('cprof: '))
            tap.equal((r.status, r.out, said), (plain.status, plain.out, plain.err), '%s --version under %s' % (tool, spec))
    box.close()
    tap.ok(run > 30, '%d programs' % run)


tap.run(real_programs, first_words)
