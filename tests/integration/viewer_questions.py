#!/usr/bin/env python3
"""
The ten questions that a trace is to answer, each on a program that has its answer planted (tests/programs/planted.c): one command, and
what is asked for is on its first screen.

With CPROF_TRANSCRIPTS=FILE the commands and what they print are written there: docs/questions.md is made of it.
"""

import json
import os
import re
import shutil
import subprocess

import tap
from cprof import BUILD, Box, program

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
LINES, COLUMNS = 30, 132  # of a screen
PROGRAM = os.path.realpath(program('planted'))
transcripts = []


def shown(text, box):
    """As on a machine of no one's: the working directory has another name of the same length, cut or not."""
    here = os.path.join(os.path.realpath(box.root), 'cwd')
    there = ('/srv/planted/' + 'output' * 20)[:len(here)]
    text = text.replace(here, there).replace(os.path.dirname(PROGRAM) + '/', '')
    for n in range(1, len(here)):
        text = text.replace('…' + here[n:] + '/', '…' + there[n:] + '/')
    return text


class Planted:
    """A program's recording, and what it says of itself."""

    def __init__(self, box, *argv, spec='trace', status=0):
        self.box, self.argv = box, argv
        r = box.run('planted', *argv, spec=spec)
        tap.equal(r.status, status, ' '.join(argv) + ': runs')
        self.path = os.path.join(r.directory, 'trace.out')
        self.truth = r.truth
        told = subprocess.run([VIEWER, self.path, 'info', '--json'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.begun = json.loads(told.stdout)['begun_monotonic_ns']

    def at(self, ns):
        return '%.3fs' % ((ns - self.begun) / 1e9)

    def screen(self, *argv):
        """What is seen of a command without scrolling."""
        env = dict(os.environ, COLUMNS=str(COLUMNS))
        done = subprocess.run([VIEWER, self.path, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, cwd=os.path.dirname(self.path))
        tap.equal((done.returncode, done.stderr.decode()), (0, ''), ' '.join(self.argv[:1] + argv[:1]))
        text = '\n'.join(done.stdout.decode().replace(os.path.dirname(self.path) + '/', '').splitlines()[:LINES])
        words = ['slow.out' if a.startswith('/') else a for a in argv]
        self.command = ' '.join(['cprof-trace trace.out'] + ["'%s'" % a if re.search(r'[ \[*>]', a) else a for a in words])
        self.text = text
        return text

    def tell(self, question, answer, *wanted):
        """The screen has all that is @wanted: texts, or patterns of one line."""
        missing = [w for w in wanted if not re.search(w, self.text, re.MULTILINE)]
        tap.ok(not missing, '%s: %s' % (self.argv[0], question), '%s is not in\n%s' % (missing, self.text))
        transcripts.append((question, 'cprof run -p trace -- planted ' + ' '.join(self.argv), self.command, shown(self.text, self.box), answer))


def near(function, line, file):
    """The place, a line or two beside: a call that is spread over several has one of them."""
    return r'%s %s:(%s)' % (function, file, '|'.join(str(n) for n in range(line - 2, line + 3)))


def why(box):
    p = Planted(box, 'why')
    waiter, holder = p.truth['waiter'], p.truth['holder']
    p.screen('chain', '--at', p.at(p.truth['at']), '--thread', waiter['thread'])
    p.tell('What was a thread doing at a moment, and why was it not running?',
           'It waited for a lock; who has it waits for an answer through a pipe.',
           r'^%s waits .* for mutex %s at .*%s' % (waiter['thread'], waiter['lock'],
                                                   near(waiter['function'], waiter['line'], 'planted_locks.c')),
           r'held by %s' % holder['thread'], r'^%s is in %s\(.*%s' % (holder['thread'], holder['call'], holder['function']))


def lock(box):
    p = Planted(box, 'lock')
    p.screen('locks', '--by', 'holder')
    p.tell('Which lock costs the most, who holds it while others wait, and at which line?',
           'Of all waiting, nearly all is for the thread that empties the cache.',
           r'^g_cache +evict_all planted_locks\.c:\d+ .* mutex')
    p.screen('locks')
    first = p.text.splitlines()[1].split()
    tap.equal(first[0], 'g_cache', 'lock: the first row is the one that costs most')


def wake(box):
    p = Planted(box, 'wake')
    late = max(p.truth['wakes'], key=lambda w: w['answered'] - w['posted'])
    p.screen('chain', '--at', p.at(late['posting'] - 500000), '--thread', p.truth['woken']['thread'])
    p.tell('It woke up. Who woke it, from where, and how late did it then run?',
           'The bell was rung at that line; the thread had to wait for a processor.',
           r'%s' % p.truth['object'], p.truth['waker']['thread'],
           near(p.truth['waker']['function'], p.truth['waker']['line'], 'planted_time.c'), r'runs [\d.]+(ms|us) after')


def task(box):
    p = Planted(box, 'task')
    slowest = max(p.truth['requests'], key=lambda r: r['until'] - r['from'])
    p.screen('critical-path', '--task', str(slowest['task']))
    p.tell('Why did this request take 80 ms when the median is 3?',
           'It waited for the journal, whose thread wrote and synced a file with the lock in its hand.',
           r'journal', r'fsync', r'planted\.journal')


def calls(box):
    p = Planted(box, 'calls')
    p.screen('syscalls', '--by', 'path')
    rows = [line for line in p.text.splitlines()[1:] if line]
    tap.ok('planted.feed' in rows[0] or 'planted.feed' in rows[1], 'calls: the file that costs most comes first', p.text)
    p.tell('Which system call on which file costs the time? What are its median, 99th percentile and maximum?',
           'Reading the feed: mostly 10 ms, once 150.', r'planted\.feed .*1[0-9][0-9]ms', r'P50 .*P99 .*MAX')


def heldio(box):
    p = Planted(box, 'heldio')
    p.screen('locks', '--held-across', 'syscall')
    p.tell('Is a critical section doing I/O, or sleeping, while it holds the lock?',
           'g_store is held across a write, an fsync and a sleep; g_index is not.',
           r'g_store .*fsync', r'g_store .*nanosleep', r'\.store')
    tap.ok('g_index' not in p.text, 'heldio: the other lock is not', p.text)


def order(box):
    p = Planted(box, 'order')
    p.screen('locks', '--order')
    p.tell('Can this program deadlock?', 'Two locks are taken in both orders; two others, too, but under a third one.',
           r'possible deadlock', r'g_first', r'g_second')
    tap.ok(not re.search(r'deadlock.*(g_third|g_fourth)', p.text), 'order: what a gate makes harmless is not', p.text)
    p = Planted(box, 'deadlock', status=-9)
    p.screen('chain', '--thread', 'forward')
    p.tell('And did it?', 'It did: each has what the other one waits for.', r'deadlock', r'g_first', r'g_second')


def parallel(box):
    p = Planted(box, 'parallel')
    p.screen()
    serial = p.truth['serial_ns'] / (p.truth['until'] - p.truth['from'])
    said = re.search(r'serial: ([\d.]+) %', p.text)
    tap.ok(said is not None and serial > 0.1, 'parallel: a serial share', p.text)
    p.tell('How many threads were really in parallel? Where is the serial section?',
           'One thread alone does what all others wait for.', r'RUNNING AT ONCE', r'serial')


def diff(box):
    a, b = Planted(box, 'diff', 'fast'), Planted(box, 'diff', 'slow')
    a.screen('diff', b.path)
    a.tell('What changed between these two traces?', 'The lock is held three times as long, and there is an fsync.',
           r'g_table', r'fsync planted\.table|fsync .*planted\.table', r'lookup')


def lost(box):
    p = Planted(box, 'lost', 'stop', spec='trace,memory=2m')
    p.screen()
    p.tell('What is missing from this trace?', 'Events were lost, and the summary says so, and where to look.', r'CPT-LOST .*events')


def write_transcripts(path):
    with open(path, 'w') as out:
        out.write('# Ten questions\n\n'
                  'A trace is looked at because of a question. Each of these has one command, and the answer is on its first screen. The\n'
                  'programs have their answers planted (`tests/programs/planted.c`), and a test looks for them (`viewer_questions.py`), which\n'
                  'has also written this page: `CPROF_TRANSCRIPTS=docs/questions.md`.\n')
        for n, (question, run, command, text, answer) in enumerate(transcripts, 1):
            out.write('\n## %d. %s\n\n    $ %s\n    $ %s\n%s\n\n%s\n' % (
                n, question, run, command, '\n'.join(('    ' + line).rstrip() for line in text.splitlines()), answer))


def called():
    """A program goes by the name it was called, not by that of the file that this is a link to."""
    box = Box()
    link = os.path.join(box.root, 'dozer')
    os.symlink(shutil.which('sleep'), link)
    r = box.run(link, '0.05', spec='trace')
    said = subprocess.run([VIEWER, os.path.join(r.directory, 'trace.out'), 'summary', '--json'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=False).stdout
    tap.equal(json.loads(said)['program'], 'dozer', 'a link to a program')
    box.close()


def main():
    box = Box()

    def point(test):
        def run():
            test(box)
        run.__name__ = test.__name__
        return run
    path = os.environ.get('CPROF_TRANSCRIPTS')
    path = os.path.abspath(path) if path else None

    def written():
        if path:
            write_transcripts(path)
    tap.run(*map(point, (why, lock, wake, task, calls, heldio, order, parallel, diff, lost)), called, written)


main()
