#!/usr/bin/env python3
"""
Asks as Parca and Alloy do, again and again, and as an operator does meanwhile: every answer is 200 and valid, what only grows
does, and what is a difference adds up: endpoint_scrapers.py BUILD [SECONDS]

A short round has short intervals; what is asked at once, and in which ways, is theirs.
"""

import glob
import os
import sys
import threading
import time

SHORT = 12
SECONDS = max(SHORT, int(sys.argv.pop(2)) // 2 if len(sys.argv) > 2 and sys.argv[2].isdigit() else 0)  # of each of the two

import tap
from cprof import Box
from endpoint import BASE, GO, Go, Ours, ask, usage
from pprof import Profile
from pprof_rules import problems, unpacked

# pkg/config/config.go: DefaultScrapeConfig. Each has a loop of its own, an interval of 10 s, and a timeout 3 s longer.
PARCA = {'memory': 'allocs', 'block': 'block', 'goroutine': 'goroutine', 'mutex': 'mutex', 'process_cpu': 'profile?seconds=%d'}
PARCA_HEADERS = {'User-Agent': 'conprof/0.24.0', 'Accept': '', 'Accept-Encoding': 'gzip'}
# internal/component/pyroscope/scrape: NewDefaultProfilingConfig, and what is off there. Of an interval of 15 s, 14 for a window.
ALLOY = dict(PARCA)
ALLOY_OWN = {'fgprof': '/debug/fgprof?seconds=%d', 'godeltaprof_memory': 'delta_heap', 'godeltaprof_block': 'delta_block',
             'godeltaprof_mutex': 'delta_mutex'}
ALLOY_HEADERS = {'User-Agent': 'Alloy/v1.4.0', 'Accept-Encoding': 'gzip'}
GROWS = {'allocs': (0, 1), 'block': (0, 1), 'mutex': (0, 1)}  # columns
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')


class Scrape:
    """One answer: when it was asked for and when it was there, on one clock, and what it was."""

    def __init__(self, path, begun, ended, answer):
        self.path, self.begun, self.ended, self.answer = path, begun, ended, answer
        self.problems = ['status %s: %r' % (answer.status, answer.body[:200])] if answer.status != 200 else problems(answer.body)
        self.profile = None if self.problems else Profile(unpacked(answer.body))

    def totals(self, columns):
        return tuple(self.profile.total(c) for c in columns)


class Loop(threading.Thread):
    """A target's loop: at once, then every interval; late ones are left out, as they do."""

    def __init__(self, server, path, interval, seconds, headers, stop):
        super().__init__()
        self.server, self.interval, self.headers, self.stop = server, interval, headers, stop
        self.path = path % seconds if '%d' in path else path
        self.name_of = self.path.split('?')[0]
        self.scrapes, self.failure, self.late = [], None, 0

    def run(self):
        path = self.path if self.path.startswith('/') else BASE + self.path
        due = time.monotonic()
        try:
            while True:
                begun = time.monotonic()
                answer = ask(self.server.address, path, headers=self.headers)
                self.scrapes.append(Scrape(self.path, begun, time.monotonic(), answer))
                due += self.interval
                while due < time.monotonic():
                    due, self.late = due + self.interval, self.late + 1
                if self.stop.wait(due - time.monotonic()):
                    return
        except Exception as error:
            self.failure = repr(error)


def stacks(profile, columns):
    """What each stack has, by its addresses and labels."""
    found = {}
    for s in profile.samples:
        key = (tuple(f[2] for f in s.frames), tuple(sorted(s.labels.items())))
        before = found.get(key, (0,) * len(columns))
        found[key] = tuple(b + s.values[c] for b, c in zip(before, columns))
    return found


def grows(loop, about):
    columns = GROWS[loop.name_of]
    wrong = []
    for a, b in zip(loop.scrapes, loop.scrapes[1:]):
        before, after = stacks(a.profile, columns), stacks(b.profile, columns)
        wrong += ['%r: %r, then %r' % (key[0][:3], before[key], after.get(key)) for key in before
                  if any(x > y for x, y in zip(before[key], after.get(key, (0,) * len(columns))))]
    first, last = loop.scrapes[0].totals(columns), loop.scrapes[-1].totals(columns)
    about = '%s: %s by %s' % (about, loop.path, loop.headers.get('User-Agent', 'hand'))
    tap.ok(not wrong, about + ' only grows, each stack of it', '%d: %s' % (len(wrong), wrong[:3]))
    tap.ok(len(loop.scrapes) < 2 or all(x < y for x, y in zip(first, last)), about + ' has grown',
           '%r, %r' % (first, last))


def within(window, readings, columns):
    """
    The most and the least that can have come in a window: by the readings of what grows that lie around it and inside it.
    """
    before = [r.totals(columns) for r in readings if r.ended <= window.begun]
    after = [r.totals(columns) for r in readings if r.begun >= window.ended]
    if not before or not after:
        return None
    return tuple(a - b for a, b in zip(after[0], before[-1]))


def scraped(server, about, has_own, for_seconds):
    stop = threading.Event()
    loops = []
    parca, alloy = (10, 15) if for_seconds >= 60 else (3, 4)
    for paths, interval, seconds, headers in ((PARCA, parca, parca, PARCA_HEADERS), (ALLOY, alloy, alloy - 1, ALLOY_HEADERS),
                                              (ALLOY_OWN if has_own else {}, alloy, alloy - 1, ALLOY_HEADERS)):
        for path in paths.values():
            if server.name == 'Go' and headers is ALLOY_HEADERS and path.startswith('profile'):
                continue  # it has one for both: "already in use"
            loops.append(Loop(server, path, interval, seconds, headers, stop))
    # an operator's, in between
    windows = [Loop(server, '%s?seconds=1' % name, 1.5, 1, {}, stop) for name in GROWS]
    readings = {name: Loop(server, name, 0.5, 1, {}, stop) for name in GROWS}
    if server.name != 'Go':
        loops.append(Loop(server, 'profile?seconds=1', 2, 1, {}, stop))
    everybody = loops + windows + list(readings.values())
    cpu_before, began = server_cpu(server), time.monotonic()
    for loop in everybody:
        loop.start()
    time.sleep(for_seconds)
    stop.set()
    for loop in everybody:
        loop.join()
    cpu_ns = server_cpu(server) - cpu_before
    for loop in everybody:
        bad = [s for s in loop.scrapes if s.problems]
        tap.ok(loop.failure is None and loop.scrapes and not bad, '%s: %s by %s: %d times' % (
            about, loop.path, loop.headers.get('User-Agent', 'hand'), len(loop.scrapes)), loop.failure or [b.problems[:3] for b in bad[:3]])
    whole = [l for l in everybody if l.scrapes and not any(s.problems for s in l.scrapes)]
    late = sum(l.late for l in everybody)
    tap.note('%s: %d answers in %.1f s, %d rounds left out; %d KB at most' % (
        about, sum(len(l.scrapes) for l in everybody), time.monotonic() - began, late,
        max(len(s.answer.body) for l in everybody for s in l.scrapes) >> 10))
    for loop in whole:
        if loop.path in GROWS:
            grows(loop, about)
    for loop in windows:
        name = loop.name_of
        if loop not in whole or readings[name] not in whole:
            continue
        wrong, compared = [], 0
        for s in loop.scrapes:
            most = within(s, readings[name].scrapes, GROWS[name])
            if most is not None:
                compared += 1
                if any(not 0 <= x <= m for x, m in zip(s.totals(GROWS[name]), most)):
                    wrong.append('%r, at most %r' % (s.totals(GROWS[name]), most))
        tap.ok(compared > 0 and not wrong, '%s: %s: no more than came meanwhile, %d times' % (about, loop.path, compared), wrong[:5])
    for loop in whole:
        if loop.name_of == 'profile':
            one_at_a_time = sum(s.profile.total(1) for s in loop.scrapes)
            # a sample stands for the time since the one before, which may have come before the window: a period of each thread
            slack = len(loop.scrapes) * usage(server.pid)['threads'] * loop.scrapes[0].profile.period * 2
            tap.ok(0 < one_at_a_time <= cpu_ns + slack, '%s: %s by %s: its windows are no more than all CPU time (%.2f of %.2f s)' % (
                about, loop.path, loop.headers.get('User-Agent', 'hand'), one_at_a_time / 1e9, cpu_ns / 1e9))
    if has_own:
        deltas(server, about, loops, readings)


def deltas(server, about, loops, readings):
    """All that delta_NAME has said is what NAME says: the first is all up to then."""
    for path, name in (('delta_heap', 'allocs'), ('delta_block', 'block'), ('delta_mutex', 'mutex')):
        loop = next(l for l in loops if l.path == path)
        if not loop.scrapes or any(s.problems for s in loop.scrapes):
            continue
        summed, wrong = (0, 0), []
        for s in loop.scrapes:
            summed = tuple(a + b for a, b in zip(summed, s.totals(GROWS[name])))
            low = [r.totals(GROWS[name]) for r in readings[name].scrapes if r.ended <= s.begun]
            high = [r.totals(GROWS[name]) for r in readings[name].scrapes if r.begun >= s.ended]
            if low and any(a > b for a, b in zip(low[-1], summed)):
                wrong.append('%r are less than %r' % (summed, low[-1]))
            if high and any(a < b for a, b in zip(high[0], summed)):
                wrong.append('%r are more than %r' % (summed, high[0]))
        tap.ok(not wrong, '%s: what %s said adds up, %d times' % (about, path, len(loop.scrapes)), wrong[:5])


def server_cpu(server):
    """Nanoseconds of the process that is profiled, all threads that were."""
    with open('/proc/%d/stat' % server.pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000000000 // os.sysconf('SC_CLK_TCK')


def rules():
    """What Go wrote is taken; a byte changed in what matters is not."""
    for path in sorted(glob.glob(os.path.join(DATA, 'go-*.pb.gz'))):
        with open(path, 'rb') as f:
            body = f.read()
        taken = Profile(unpacked(body)).time_ns / 1e9
        tap.equal(problems(body, now=taken), [], 'rules take ' + os.path.basename(path))
        data = unpacked(body)
        tap.ok(problems(body, now=taken + 7200), 'not when it is two hours old')
        for what, bad in (('nothing', b''), ('a half', data[:len(data) // 2]), ('a gzip that ends early', body[:-9]),
                          ('text', b'Unknown profile\n'), ('three values', data + b'\x12\x05\x12\x03\x01\x02\x03'),
                          ('a location that is not there', data + b'\x12\x04\x0a\x02\xff\x7f'),
                          ('a hole between ids', data + b'\x1a\x02\x08\x4d'), ('a string that is not UTF-8', data + b'\x32\x01\xff')):
            tap.ok(problems(bad, now=taken), 'not with ' + what)


def oracle():
    if not os.path.exists(GO):
        tap.skip('Go', 'no Go here')
        return
    with Go() as go:
        scraped(go, 'Go', False, SHORT)


def ours(listen, about):
    box = Box()
    try:
        with Ours(box, 'all,heap=16k', listen) as server:
            scraped(server, about, True, SECONDS)
        tap.equal(server.process.returncode, 0, about + ': it ends well')
    finally:
        box.close()


def launched():
    ours(None, 'cprof run')


def in_process():
    ours('unix', 'http=unix')


tap.run(rules, oracle, launched, in_process)
