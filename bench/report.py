#!/usr/bin/env python3
"""Turns measurements into a page and a picture: report.py RESULTS DIRECTORY

Prints the table of targets, and writes DIRECTORY/bench.md and DIRECTORY/bench.svg.
"""

import datetime
import html
import json
import math
import os
import sys
import time

import events
import heap
import locks
import reading
import sched
import syscalls
import traced
import viewer
import wall

OURS, PEER, TARGET, INK, FAINT = '#1f6f8b', '#b9c4cc', '#c0392b', '#22303a', '#dde4e8'


def first_line(path, start=''):
    try:
        with open(path) as f:
            for line in f:
                if line.startswith(start):
                    return line.split(':', 1)[-1].strip()
    except OSError:
        pass
    return 'unknown'


def kernel_hz():
    """The tick, as coarse clocks show it."""
    return round(1 / time.clock_getres(6))  # CLOCK_MONOTONIC_COARSE


def machine():
    return '%s, %d cores in use, Linux %s, HZ=%d, perf_event_paranoid %s' % (
        first_line('/proc/cpuinfo', 'model name'), len(os.sched_getaffinity(0)), os.uname().release, kernel_hz(),
        first_line('/proc/sys/kernel/perf_event_paranoid'))


def worst(cells, what):
    values = [abs(cell[what]) for cell in cells if what in cell]
    return max(values) if values else None


class Target:
    def __init__(self, work, measured, limit, peer='', digits=2, at_least=False, unit='', chance=0):
        self.work, self.measured, self.limit, self.peer = work, measured, limit, peer
        self.digits, self.at_least, self.unit, self.chance = digits, at_least, unit, chance

    def verdict(self):
        """A miss that two standard errors of the sampling itself explain is no proof of one."""
        over = self.limit - self.measured if self.at_least else self.measured - self.limit
        return 'met' if over <= 0 else 'chance' if over <= 2 * self.chance else 'missed'

    def row(self):
        number = '%%.%df%s' % (self.digits, self.unit)
        return (self.work, ('>= ' if self.at_least else '<= ') + number % self.limit, number % self.measured,
                self.verdict(), self.peer)


def stack_targets(r):
    handler = r['stacks']['without frame pointers']['handler']
    first = r['stacks']['first']
    ours = handler['cprof']
    for depth in ('10', '30', '100'):
        if 'unw_backtrace' in ours[depth]:
            yield Target('one stack in a handler, depth %s, to unw_backtrace' % depth, ours[depth]['unw_backtrace'][0],
                         0.6, 'backtrace() %.1f' % handler['backtrace'][depth]['unw_backtrace'][0])
    changing = r['stacks']['without frame pointers']['changing']['cprof']['30']
    if 'unw_backtrace' in changing:
        yield Target('the same at depth 30, every frame changing', changing['unw_backtrace'][0], 0.6)
    if 'gperftools' in ours['30']:
        yield Target('the same at depth 30, to gperftools', ours['30']['gperftools'][0], 1 / 50, digits=4)
    peer = first.get('unw_backtrace')
    yield Target('first walk of a thread', first['cprof']['thread_us'], 10,
                 'unw_backtrace %.0f us' % peer['thread_us'] if peer else '', 1, unit=' us')
    yield Target('memory of a walked thread', first['cprof']['bytes'] / 1024, 4,
                 'unw_backtrace %.0f KB' % (peer['bytes'] / 1024) if peer else '', 1, unit=' KB')


def peers(cells, what, digits, *names):
    return ', '.join('%s %.*f' % (name, digits, cells[name][what]) for name in names
                     if name in cells and what in cells[name])


def delivery_targets(r):
    table = r['delivery']
    ours = [way for way in table['one']['100'] if way.startswith('cprof')]
    for load, words in (('one', '1 thread'), ('unequal', '4 unequal threads')):
        for way in ours:
            cell = table[load]['100'][way]
            yield Target('%s: samples at 100 Hz, off by, %s' % (way, words), abs(cell['counted'] - 1), 0.01,
                         'delivered: ' + peers(table[load]['100'], 'counted', 2, 'gperftools', 'itimer'), 3,
                         chance=cell['count_chance'])
            yield Target('%s: CPU time at 100 Hz, off by, %s' % (way, words), abs(cell['cpu'] - 1), 0.01, '', 3)
        for way in ours:
            if 'no perf' not in way:
                yield Target('%s: real samples at 1000 Hz, %s' % (way, words), table[load]['1000'][way]['real'], 0.98,
                             peers(table[load]['1000'], 'real', 2, 'gperftools', 'itimer'), 3, True,
                             chance=table[load]['1000'][way]['count_chance'])
    for hz in ('100', '1000'):
        for way in ours:
            yield Target('%s: shares of 4 threads at %s Hz' % (way, hz), table['unequal'][hz][way]['thread_error'], 0.5,
                         peers(table['unequal'][hz], 'thread_error', 1, 'gperftools', 'itimer'), unit=' points')
    for hz in ('100', '1000'):
        for way in ours:
            # what one sample more or less moves at this rate is no error: the mean of the rounds
            beats = [table[load][hz][way] for load in ('period:10000', 'period:1000')]
            yield Target('%s: program that beats with the period, %s Hz' % (way, hz), worst(beats, 'share_mean'), 3,
                         ', '.join('%s %.1f' % (peer, worst([table[load][hz][peer] for load in (
                             'period:10000', 'period:1000')], 'share_mean') or 0)
                             for peer in ('gperftools', 'itimer') if peer in table['period:1000'][hz]),
                         1, unit=' points', chance=worst(beats, 'share_chance'))
            yield Target('%s: half in the kernel, %s Hz' % (way, hz), abs(table['kernel'][hz][way]['share_mean']), 3,
                         peers(table['kernel'][hz], 'share_mean', 1, 'gperftools', 'itimer'), 1, unit=' points',
                         chance=table['kernel'][hz][way]['share_chance'])


def sample_targets(r):
    """Whole programs differ by more from run to run than what a hundred samples a second cost: told from one sample's cost."""
    us = r['sample']['4000']['us']
    for hz, limit in ((100, 1.01), (1000, 1.03)):
        yield Target('CPU at %d Hz against none, by what one sample costs' % hz, 1 + us['cprof'][0] * hz / 1e6, limit,
                     'an empty handler %.4f' % (1 + us['perf'][0] * hz / 1e6) if 'perf' in us else '', 4)


def program_targets(r):
    for name, of in r['programs'].items():
        floor = 'none again %.3f' % of['none again'][0]
        for hz, limit in (('100', 1.01), ('1000', 1.03)):
            peer = of.get('libprofiler ' + hz)
            yield Target('%s, CPU at %s Hz against none' % (name, hz), of['cprof ' + hz][0], limit,
                         ('libprofiler %.3f, ' % peer[0] if peer else '') + floor, 3,
                         chance=abs(of['none again'][0] - 1) / 2)


def start_targets(r):
    for name in ('preloaded, off', 'preloaded, cpu'):
        yield Target('start-up added, ' + name, r['start'][name]['added_ms'], 2,
                     'none again %+.2f' % r['start']['none again']['added_ms'], 2, unit=' ms')


def wall_targets(r):
    return wall.wall_targets(r, Target)


def heap_targets(r):
    return heap.heap_targets(r, Target)


def locks_targets(r):
    return locks.locks_targets(r, Target)


def sched_targets(r):
    return sched.sched_targets(r, Target)


def syscalls_targets(r):
    return syscalls.syscalls_targets(r, Target)


def events_targets(r):
    return events.events_targets(r, Target)


def traced_targets(r):
    return traced.traced_targets(r, Target)


def viewer_targets(r):
    return viewer.viewer_targets(r, Target)


def reading_targets(r):
    return reading.reading_targets(r, Target)


PARTS = {'stacks': stack_targets, 'delivery': delivery_targets, 'sample': sample_targets,
         'programs': program_targets, 'start': start_targets, 'wall': wall_targets, 'heap': heap_targets, 'locks': locks_targets,
         'sched': sched_targets, 'syscalls': syscalls_targets, 'events': events_targets, 'traced': traced_targets,
         'viewer': viewer_targets, 'reading': reading_targets}


# The picture

class Picture:
    def __init__(self, width):
        self.width, self.y, self.parts = width, 0, []

    def text(self, x, y, words, size=12, color=INK, anchor='start', weight='normal'):
        # white around the letters keeps them readable on a line
        self.parts.append('<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s" font-weight="%s" '
                          'stroke="#ffffff" stroke-width="3" paint-order="stroke">%s</text>'
                          % (x, y, size, color, anchor, weight, html.escape(words)))

    def box(self, x, y, width, height, color):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' %
                          (x, y, max(width, 1), height, color))

    def line(self, x1, y1, x2, y2, color, width=1.0, dash=''):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"%s/>' % (
            x1, y1, x2, y2, color, width, ' stroke-dasharray="%s"' % dash if dash else ''))

    def panel(self, title, about, groups, show, scale, ticks):
        """Groups of bars: (heading, target or None, [(label, value, is_ours)]). @scale puts a value in 0 to 1."""
        left, right = 290, self.width - 90
        self.y += 34
        self.text(24, self.y, title, 15, weight='bold')
        self.y += 18
        self.text(24, self.y, about, 11, '#5c6b75')
        self.y += 20
        top = self.y

        def at(value):
            return left + (right - left) * min(max(scale(value), 0), 1)

        for heading, target, bars in groups:
            self.text(24, self.y + 12, heading, 12, weight='bold')
            begin, labels = self.y, []
            zero = at(0) if scale(0) > 0 else left
            for label, value, is_ours in bars:
                self.text(left - 8, self.y + 12, label, 11, anchor='end', color=INK if is_ours else '#5c6b75')
                self.box(min(at(value), zero), self.y + 2, abs(at(value) - zero), 12, OURS if is_ours else PEER)
                labels.append((max(at(value), zero) + 6, self.y + 12, show(value), 11))
                self.y += 17
            if target is not None:
                self.line(at(target), begin, at(target), self.y, TARGET, 2)
            for label in labels:
                self.text(*label)
            self.y += 8
        for tick in ticks:
            self.parts.insert(0, '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>' %
                              (at(tick), top - 2, at(tick), self.y - 4, FAINT))
            self.text(at(tick), self.y + 8, show(tick), 10, '#8a969e', 'middle')
        self.y += 14

    def svg(self):
        height = self.y + 24
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
                'font-family="DejaVu Sans, Verdana, sans-serif">\n<rect width="%d" height="%d" fill="#ffffff"/>\n%s\n'
                '</svg>\n' % (self.width, height, self.width, height, self.width, height, '\n'.join(self.parts)))


def is_ours(way):
    return way.startswith('cprof')


def draw(r):
    p = Picture(860)
    p.y = 34
    p.text(24, p.y, 'cprof beside its peers', 19, weight='bold')
    p.y += 20
    p.text(24, p.y, 'Ratios of measurements that took turns in one run. Red marks are the targets.', 12, '#5c6b75')
    if 'stacks' in r:
        handler = r['stacks']['without frame pointers']['handler']
        groups = [('depth ' + depth, 0.6, [(way, of[depth]['unw_backtrace'][0], is_ours(way))
                                           for way, of in handler.items() if 'unw_backtrace' in of[depth]])
                  for depth in ('10', '30', '100')]
        p.panel('One stack, in a handler', "time against libunwind's unw_backtrace; less is better; logarithmic", groups,
                lambda v: '%.2f' % v if v < 10 else '%.0f' % v,
                lambda v: math.log(v / 0.2) / math.log(300 / 0.2) if v > 0 else 0, (0.2, 1, 10, 100))
    if 'programs' in r:
        groups = []
        for hz, limit in (('100', 1), ('1000', 3)):
            for name, of in r['programs'].items():
                bars = [(way.split()[0], 100 * (of[way][0] - 1), is_ours(way))
                        for way in ('cprof ' + hz, 'libprofiler ' + hz) if way in of]
                bars.append(('none again (noise)', 100 * (of['none again'][0] - 1), False))
                groups.append(('%s, %s Hz' % (name, hz), limit, bars))
        values = [value for _, _, bars in groups for _, value, _ in bars]
        low, high = math.floor(min(values + [-1])), math.ceil(max(values + [5]))
        p.panel('CPU time of whole programs', 'percent above the program alone, the launcher aside; less is better', groups,
                lambda v: '%+.1f %%' % v, lambda v: (v - low) / (high - low), range(low - low % 5 + 5 * (low % 5 > 0),
                                                                                  high + 1, 5))
    if 'delivery' in r:
        groups = [('%s, %s Hz' % (words, hz), 1 if hz != '1000' else 0.98,
                   [(way, cell['real'], is_ours(way)) for way, cell in r['delivery'][load][hz].items()])
                  for load, words in (('one', '1 thread'), ('unequal', '4 threads')) for hz in ('100', '1000', '4000')]
        p.panel('Samples really taken', 'against CPU seconds x rate; 1 is what was asked for', groups,
                lambda v: '%.2f' % v, lambda v: v / 1.3, (0, 0.25, 0.5, 0.75, 1, 1.25))
        names = {'split:9:1': '90/10 split', 'split:7:3': '70/30 split', 'kernel': 'half in the kernel',
                 'period:10000': 'beat of 10 ms', 'period:1000': 'beat of 1 ms'}
        groups = [('4 threads, %s Hz' % hz, 0.5, [(way, cell['thread_error'], is_ours(way))
                                                 for way, cell in r['delivery']['unequal'][hz].items()])
                  for hz in ('100', '1000')]
        groups += [('%s, %s Hz' % (words, hz), 3, [(way, abs(cell['share_mean']), is_ours(way))
                                                  for way, cell in r['delivery'][load][hz].items()
                                                  if 'share_mean' in cell])
                   for load, words in names.items() for hz in ('100', '1000')]
        p.panel('Whose time it is said to be', 'error of shares in percent points, mean of the rounds; less is better',
                groups, lambda v: '%.1f' % v, lambda v: v / 20, (0, 5, 10, 15, 20))
    if 'wall' in r:
        p.panel('Watching threads', 'percent of a CPU at 99 Hz, beside signalling all; less is better; logarithmic',
                list(wall.wall_groups(r)), lambda v: '%.2f %%' % v if v < 10 else '%.0f %%' % v,
                lambda v: math.log(max(v, 0.01) / 0.01) / math.log(300 / 0.01), (0.01, 0.1, 1, 10, 100))
    if 'heap' in r:
        p.panel('A pair of malloc and free', 'percent above the allocator alone; less is better; long bars are cut',
                list(heap.heap_groups(r, 'pairs')), lambda v: '%+.0f %%' % v, lambda v: (v + 10) / 110,
                (0, 25, 50, 75, 100))
        p.panel('CPU time of programs that mostly allocate',
                'percent above the same with the allocator alone; less is better; long bars are cut',
                list(heap.heap_groups(r, 'programs')), lambda v: '%+.1f %%' % v, lambda v: (v + 5) / 35, (0, 10, 20, 30))
        p.panel('How wrong the heap profile is', 'root mean square error in percent; less is better',
                list(heap.error_groups(r)), lambda v: '%.1f %%' % v, lambda v: v / 45, (0, 10, 20, 30, 40))
    if 'locks' in r:
        p.panel('A lock and an unlock', 'ratio to the program alone; less is better; logarithmic',
                list(locks.locks_groups(r)), lambda v: '%.2f' % v if v < 10 else '%.0f' % v,
                lambda v: math.log(max(v, 0.5) / 0.5) / math.log(100 / 0.5), (0.5, 1, 2, 5, 10, 20, 50, 100))
    if 'sched' in r:
        p.panel('Switches of threads recorded', 'ratio to the program alone, as a user without rights; less is better',
                list(sched.sched_groups(r)), lambda v: '%.2f' % v, lambda v: v / 2.5, (0, 0.5, 1, 1.5, 2))
    if 'syscalls' in r:
        p.panel('A system call', 'ratio to the program alone; less is better; logarithmic',
                list(syscalls.syscalls_groups(r)), lambda v: '%.2f' % v if v < 10 else '%.0f' % v,
                lambda v: math.log(max(v, 0.5) / 0.5) / math.log(300 / 0.5), (0.5, 1, 2, 5, 10, 20, 50, 100, 200))
    if 'events' in r:
        p.panel('One event of the program\'s own', 'ns; less is better; the target is drawn for a counter', list(events.events_groups(r)),
                lambda v: '%.0f' % v, lambda v: v / 200, (0, 50, 100, 150, 200))
        p.panel('What an event takes in the file', 'bytes; less is better', list(events.bytes_groups(r)),
                lambda v: '%.1f' % v, lambda v: v / 20, (0, 5, 10, 15, 20))
    if 'traced' in r:
        p.panel('Whole programs, all traced', 'percent of CPU time above the program alone; less is better', list(traced.traced_groups(r)),
                lambda v: '%+.1f %%' % v, lambda v: (v + 5) / 35, (0, 10, 20, 30))
    if 'viewer' in r:
        p.panel('Opening a trace', 'seconds; less is better; logarithmic; the target is drawn for the first picture',
                list(viewer.time_groups(r)), lambda v: '%.2g s' % v if v < 10 else '%.0f s' % v,
                lambda v: math.log(max(v, 0.01) / 0.01) / math.log(300 / 0.01), (0.01, 0.1, 1, 10, 100))
        p.panel('Memory that it takes', 'resident, MB; less is better; logarithmic', list(viewer.memory_groups(r)),
                lambda v: '%.0f MB' % v, lambda v: math.log(max(v, 1)) / math.log(10000), (1, 10, 100, 1000))
    return p.svg()


# The page

def cell_text(value, digits=3):
    return '-' if value is None else '%.*f' % (digits, value)


def table(head, rows):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    return '\n'.join(lines + ['| ' + ' | '.join(row) + ' |' for row in rows]) + '\n'


def page_stacks(r):
    yield '## One stack\n'
    yield ('Ratio to `unw_backtrace` in the same round, median of the rounds; in brackets the median time. In a handler, '
           '`unw_backtrace`, `backtrace` and gperftools also walk the two frames of the handler itself: they begin where '
           'they are. `cprof+count` adds what a sample does next: finding the stack its number and adding to the '
           'counters. From walk to walk the last one to four frames change, as between the samples of a program; '
           '`changing`: all of them, as when tasks share a thread.\n')
    for kind in ('without frame pointers', 'with frame pointers'):
        rows = []
        for where, of in r['stacks'][kind].items():
            for way, cells in of.items():
                rows.append([where, way] + ['%s (%.0f ns)' % (cell_text(cells[d].get('unw_backtrace', [None])[0], 2),
                                                             cells[d]['ns']) for d in ('10', '30', '100')])
        yield 'Code built %s:\n' % kind
        yield table(['', 'way', 'depth 10', 'depth 30', 'depth 100'], rows)
    yield 'First walks, depth 30:\n'
    yield table(['way', 'first of the process', 'first of a thread', 'resident memory of a thread'],
                [[way, '%.1f us' % of['process_us'], '%.1f us' % of['thread_us'], '%d bytes' % of['bytes']]
                 for way, of in r['stacks']['first'].items()])


def page_delivery(r):
    yield '## Samples\n'
    yield ('Against CPU seconds x rate: samples really taken / samples counted (a sample stands for all moments of its '
           'sequence that have passed) / CPU time in the profile against `getrusage`. `cprof, user` is an unprivileged '
           'user, `cprof, no perf` a process that may not use perf, so that the CPU timer stands alone.\n')
    rates = ('100', '250', '1000', '4000')
    for load, words in (('one', 'One thread'), ('unequal', 'Four threads with 40, 30, 20 and 10 % of the work')):
        of = r['delivery'][load]
        yield words + ':\n'
        yield table(['way'] + [hz + ' Hz' for hz in rates],
                    [[way] + [' / '.join(cell_text(of[hz][way].get(what)) for what in ('real', 'counted', 'cpu'))
                              for hz in rates] for way in of['100']])
    of = r['delivery']['unequal']
    yield 'Largest error of the four threads\' shares, percent points:\n'
    yield table(['way'] + [hz + ' Hz' for hz in rates],
                [[way] + [cell_text(of[hz][way].get('thread_error'), 2) for hz in rates] for way in of['100']])
    loads = [load for load in r['delivery'] if load not in ('one', 'unequal')]
    yield ('Error of the share of one of two functions, percent points: mean of all rounds (worst round). `split` takes '
           'turns of a few microseconds, `kernel` is half in `read()`, `period` goes 30/70 in time with 10 or 1 ms.\n')
    for hz in ('100', '1000'):
        of = r['delivery']
        ways = of['kernel'][hz]
        yield table(['%s Hz' % hz] + loads,
                    [[way] + ['%+.1f (%+.1f)' % (of[load][hz][way]['share_mean'], of[load][hz][way]['share_worst'])
                              if 'share_mean' in of[load][hz].get(way, {}) else '-' for load in loads]
                     for way in ways])


def page_sample(r):
    yield '## One sample\n'
    yield ('CPU time of one sample with all that comes with it, interrupt, signal and return, from programs that do the same work '
           'each time; us. `perf` is a clock of the kernel\'s with a handler that does nothing: what any sampler has to pay '
           'here.\n')
    ways = list(r['sample']['4000']['us'])
    yield table([''] + ways, [['%s Hz' % hz] + ['%.1f (%.1f to %.1f)' % tuple(of['us'][way]) if way in of['us'] else '-'
                                                 for way in ways] for hz, of in r['sample'].items()])


def page_programs(r):
    yield '## Whole programs\n'
    yield ('User and system CPU time against the program alone, median of the rounds and their middle half, pinned to one '
           'core. What the program itself costs and what the launcher does around it (it reads the symbols and '
           'writes the profile when the program has ended) are told apart.\n')
    names = list(r['programs'])
    rows = [way for way in r['programs'][names[0]] if way != 'seconds']
    yield table(['against none'] + ['%s (%.2f s)' % (name, r['programs'][name]['seconds']) for name in names],
                [[way] + ['%.4f (%.4f to %.4f)' % tuple(r['programs'][name][way]) for name in names] for way in rows])


def page_start(r):
    yield '## Start\n'
    yield 'A program that does nothing; milliseconds added to each run, and the ratio to none.\n'
    yield table(['', 'CPU added', 'elapsed added', 'ratio'],
                [[name, '%.2f ms' % of['cpu_added_ms'], '%.2f ms' % of['added_ms'], '%.2f' % of['ratio'][0]]
                 for name, of in r['start'].items() if name != 'none'])


def page_wall(r):
    return wall.page_wall(r, table)


def page_heap(r):
    return heap.page_heap(r, table)


def page_locks(r):
    return locks.page_locks(r, table)


def page_sched(r):
    return sched.page_sched(r, table)


def page_syscalls(r):
    return syscalls.page_syscalls(r, table)


def page_events(r):
    return events.page_events(r, table)


def page_traced(r):
    return traced.page_traced(r, table)


def page_viewer(r):
    return viewer.page_viewer(r, table)


def page_reading(r):
    return reading.page_reading(r, table)


PAGES = {'stacks': page_stacks, 'delivery': page_delivery, 'sample': page_sample,
         'programs': page_programs, 'start': page_start, 'wall': page_wall, 'heap': page_heap, 'locks': page_locks,
         'sched': page_sched, 'syscalls': page_syscalls, 'events': page_events, 'traced': page_traced,
         'viewer': page_viewer, 'reading': page_reading}


def page(r, rows):
    yield '# What cprof costs, and how right it is\n'
    yield ('`make bench` prints these tables and draws the picture. Everything is a ratio of two measurements that took '
           'turns in one run; times are there to show what the ratios are made of, and hold for this machine only.\n')
    yield '%s. %s.\n' % (datetime.date.today().isoformat(), machine())
    if r.get('is_quick') or r.get('load', 0) > 1:
        yield ('Read these with care: %sthe machine had a load of %.1f when it began.\n' %
               ('this is a short run (`QUICK=1`), and ' if r.get('is_quick') else '', r.get('load', 0)))
    yield '![bars of the ratios below, with the targets marked](bench.svg)\n'
    yield '## Targets\n'
    yield ('`chance`: over the target, but by no more than two standard errors of so many samples. Few samples in a short '
           'run say no more. For whole programs: by no more than two runs of the program alone differ.\n')
    yield table(['work', 'target', 'measured', '', 'beside it'], [[c.replace('<=', '≤').replace('>=', '≥') for c in row]
                                                                 for row in rows])
    for name, part in PAGES.items():
        if name in r:
            yield from part(r)
    for text in r.get('notes', []):
        yield 'Note: %s.\n' % text


def main():
    with open(sys.argv[1]) as f:
        r = json.load(f)
    rows = [target.row() for name, part in PARTS.items() if name in r for target in part(r)]
    print('\n%-60s%16s%16s  %-8s%s' % ('target', '', 'measured', '', 'beside it'))
    for row in rows:
        print('%-60s%16s%16s  %-8s%s' % row)
    with open(sys.argv[2] + '/bench.md', 'w') as f:
        f.write('\n'.join(page(r, rows)))
    with open(sys.argv[2] + '/bench.svg', 'w') as f:
        f.write(draw(r))
    print('\n%s/bench.md and bench.svg are written.' % os.path.relpath(sys.argv[2]))


if __name__ == '__main__':
    main()
