#!/usr/bin/env python3
"""
A tracer under all that hurts it at once: soak.py BUILD [SECONDS]

The program ends as by itself, its trace is whole, and what it counted is there, or counted as lost.
"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

import tap
import trace_file
from cprof import BUILD, PROGRAMS, Box

SOAK = os.path.join(BUILD, 'tests', 'stress', 'soak')
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'soak.c')
PLUGINS = [os.path.join(PROGRAMS, 'plugins', 'libplugin_%s.so' % n) for n in ('one', 'two')]
VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
SECONDS = int(sys.argv.pop(2)) if len(sys.argv) > 2 and sys.argv[2].isdigit() else 20
ROUND = 10  # seconds: a million events, which this reader has for breakfast
RETURN, ASKED, GETPPID = 1, 2, 110
OF_LEVEL = {'locks': ('posts of handlers', 'posts of threads', 'locks that nobody else wants', 'a lock that all want', 'joins'),
            'syscalls': ('calls',)}


def missing(t, truth):
    """{what: how many are not there}; less than 0: there are more than were made."""
    at = {n: o.address for n, o in t.objects.items()}
    posts, locks = {}, {}
    for e in t.named('sem.post'):
        posts[at[e['object']]] = posts.get(at[e['object']], 0) + 1
    for e in t.named('lock.pair', 'lock.held', 'lock.released'):
        locks[at[e['object']]] = locks.get(at[e['object']], 0) + 1
    own = sum(n for a, n in locks.items() if 0 <= a - truth['own'] < truth['own_bytes'])
    counts = t.counts()
    gone = {
        'signals': truth['signals'] - counts['signal'],
        'posts of handlers': truth['signals'] - posts.get(truth['from_handlers'], 0),
        'posts of threads': truth['posts'] - posts.get(truth['from_threads'], 0),
        'locks that nobody else wants': truth['pairs'] - own,
        'a lock that all want': truth['taken'] - locks.get(truth['busy'], 0),
        'creations': truth['threads'] - counts['thread.create'],
        'starts': truth['threads'] + 1 - counts['thread.start'],
        'ends': truth['threads'] - sum(e['reason'] == RETURN for e in t.named('thread.exit')),
        'joins': truth['threads'] - counts['join.end'],
        'calls': truth['calls'] - sum(e['number'] == GETPPID for e in t.named('syscall')),
        'children': truth['forks'] + truth['spawns'] - counts['fork'],
        'libraries': truth['opened'] - sum(e['opened'] == ASKED for e in t.named('library')),
    }
    for level, kinds in OF_LEVEL.items():
        if not t.header.level & trace_file.LEVELS[level]:
            for kind in kinds:
                del gone[kind]
    return gone


def soaked(box, seconds, spec, path=SOAK, env=None, about=None, is_exact=True):
    about = about or spec
    r = box.run(path, seconds, *PLUGINS, spec=spec, timeout=seconds * 10 + 200, env=env)
    said = ''.join(line for line in r.own_err.splitlines(True) if not line.startswith('cprof: '))
    if not tap.ok(r.status == 0 and said == '', about + ': ends well', r.show()):
        return
    truth, trace = r.truth, os.path.join(r.directory, 'trace.out')
    kinds = ['signals', 'threads', 'spawns', 'cancelled', 'opened'] + ['forks'] * ('thread' not in about)
    tap.ok(min(truth[k] for k in kinds) > 5 * seconds,
           about + ': it was wet', r.out)
    wrong = []
    for where, _, names in os.walk(r.directory):
        if 'trace.out' in names:
            done = subprocess.run([VIEWER, os.path.join(where, 'trace.out'), 'check'], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                wrong.append((where, done.stdout.decode('utf-8', 'replace')[-500:]))
    tap.ok(not wrong, about + ': cprof-trace check, of all processes', wrong[:3])
    t = trace_file.read(trace)
    tap.equal(t.problems, [], about + ': a whole trace')
    gone, lost = missing(t, truth), t.lost()
    tap.note('%s: %d events, %d lost, missing: %s; %s' % (about, len(t.events), lost, {k: v for k, v in gone.items() if v}, r.out.strip()))
    if is_exact:
        # a thread that is cancelled in a handler has not counted what it did there
        more = {'signals': truth['unfinished'], 'posts of handlers': truth['unfinished']}
        tap.ok(all(n >= -more.get(what, 0) for what, n in gone.items()), about + ': nothing is there that was not', gone)
        tap.ok(sum(gone.values()) <= lost, about + ': what is missing is counted', '%d lost, %r' % (lost, gone))
    tap.equal(lost, int(r.closing.group(2).replace(',', '')), about + ': and said at the end')


def plain():
    box = Box()
    # one for each setting, and then again
    specs = ['trace=all,memory=256m', 'trace=all,memory=8m', 'trace=locks', 'trace=syscalls:full', 'all']
    seconds = SECONDS
    for i in range(1000):
        length = min(ROUND, max(2, SECONDS // 10))
        if seconds <= 0:
            break
        soaked(box, length, specs[i % len(specs)])
        shutil.rmtree(os.path.join(box.root, 'out%d' % box.count), ignore_errors=True)
        seconds -= length
    tap.equal(box.leftovers(), [], 'nothing left behind')
    box.close()


def sanitizers():
    """Whose runtimes stand between the program and us: what they make of it is theirs."""
    box = Box()
    env = {'TSAN_OPTIONS': 'report_bugs=0:report_signal_unsafe=0', 'ASAN_OPTIONS': 'detect_leaks=0'}
    for compiler in ('gcc', 'clang'):
        for sanitizer in ('address', 'thread'):
            path, about = os.path.join(box.root, compiler + sanitizer), '%s -fsanitize=%s' % (compiler, sanitizer)
            # its runtime may hold a lock of its own on another thread, for which a forked child then waits for ever, with us or without
            more = ['-DFORKS_TOO=false'] if sanitizer == 'thread' else []
            if shutil.which(compiler) is None or subprocess.run(
                    [compiler, '-D_GNU_SOURCE', '-g', '-O1', '-fsanitize=' + sanitizer, *more, '-o', path, SOURCE, '-lpthread', '-ldl'],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT).returncode != 0:
                tap.skip(about, 'not to be had here')
                continue
            try:
                status = box.plain(path, 1, *PLUGINS, env=env, timeout=30).status
            except subprocess.TimeoutExpired:
                status = 'nothing in 30 s'
            if status != 0:
                tap.skip(about, 'does not work by itself: %s' % status)
                continue
            soaked(box, max(2, min(10, SECONDS // 20)), 'trace=all', path, env, about, False)
    box.close()


tap.run(plain, sanitizers)
