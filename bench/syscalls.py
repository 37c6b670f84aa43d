"""What a traced system call costs, beside strace and perf trace; and what it takes to have them traced from the start."""

import os
import shutil
import subprocess

from place import note
from rounds import Rounds, in_turn, run, spread, told

# words, arguments
LOADS = (('getppid', ['getppid', 4000]), ('a byte read', ['read', 4000]))
LIMITS = {'cprof': 1.15, 'cprof, full': 1.4}
LEVELS = {'cprof': 'syscalls', 'cprof, full': 'syscalls:full'}
PEERS = {'strace': ['strace', '-f', '-o'], 'strace -c': ['strace', '-c', '-f', '-o'], 'perf trace': ['perf', 'trace', '-s', '-o']}
SLOW = 100  # times fewer calls under a peer
TIMES, START_MS = 20, 3


def measure(place, way, arguments):
    """Nanoseconds a call."""
    env, before, out = {}, [], place.new()
    if way == 'off':
        env = {'LD_PRELOAD': place.library}
    elif way in LEVELS:
        before = [place.cprof, 'run', '-p', 'trace=' + LEVELS[way], '-o', out, '--']
    elif way in PEERS:
        before, arguments = PEERS[way] + [out], [arguments[0], arguments[1] // SLOW]
    said = run(before + [place.program('syscalls')] + arguments, env)
    shutil.rmtree(out, ignore_errors=True)
    if os.path.exists(out):
        os.remove(out)
    return float(said.split()[0])


def start(place, is_quick):
    """{level: {cpu, elapsed: [median, low, high]}}: milliseconds that a program which does nothing takes longer."""
    ways, values = ['none', 'none again', *LEVELS.values()], {'cpu': Rounds(), 'elapsed': Rounds()}
    for _, way in in_turn(ways, 5 if is_quick else 15):
        inner, out = place.new(), place.new()
        run(([] if way.startswith('none') else [place.cprof, 'run', '-p', 'trace=' + way, '-o', out, '--']) +
            [place.program('spend'), '-n', TIMES, inner, place.program('nothing')])
        with open(inner) as f:
            for what, word in zip(values, f.read().split()):
                values[what].add(way, int(word) / TIMES / 1e6)
        shutil.rmtree(out, ignore_errors=True)
    return {way: {what: spread([a - b for a, b in zip(of.values[way], of.values['none'])]) for what, of in values.items()}
            for way in ways[1:]}


def part_syscalls(place, is_quick):
    """{calls: {words: {way: {ns, ratio}}}, start: {level: {cpu, elapsed}}}"""
    ways = ['none', 'off', *LEVELS, *PEERS, 'none again']
    for way in PEERS:
        try:
            measure(place, way, ['getppid', 1000])
        except (subprocess.CalledProcessError, OSError):
            note('%s is not installed, or does not trace here' % way)
            ways.remove(way)
    calls = {}
    print('\nA system call, ns (ratio to none in the same round, middle half of the rounds)')
    for words, arguments in LOADS:
        values = Rounds()
        for _, way in in_turn(ways, 5 if is_quick else 15):
            values.add(way, measure(place, way, arguments))
        calls[words] = told(words, values, ways)
    begun = start(place, is_quick)
    print('a program that does nothing, ms added')
    for way, of in begun.items():
        print('  %-24s %+.2f  [%+.2f .. %+.2f], CPU %+.2f' % (way, *of['elapsed'], of['cpu'][0]))
    return {'calls': calls, 'start': begun}


def syscalls_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for words, of in r['syscalls']['calls'].items():
        beside = ', '.join('%s %.*f' % (way, way == 'none again', of[way]['ratio'][0]) for way in [*PEERS, 'none again']
                           if way in of)
        for way, limit in LIMITS.items():
            yield target('system call, %s, %s' % (words, way), of[way]['ratio'][0], limit, beside, 3)
    of = r['syscalls']['start']
    for level in LEVELS.values():
        yield target('start-up added, trace=' + level, of[level]['elapsed'][0], START_MS,
                     'CPU %+.2f, none again %+.2f' % (of[level]['cpu'][0], of['none again']['elapsed'][0]), 2, unit=' ms')


def page_syscalls(r, table):
    yield '## System calls\n'
    yield ('A call against the same program alone, median of the rounds (their middle half), and the median time. Off: '
           'preloaded, and nothing asked for. `full` also sees calls that are not made at a known place.\n')
    calls = r['syscalls']['calls']
    ways = list(next(iter(calls.values())))
    yield table(['against none'] + list(calls), [[way] + ['%.2f (%.2f to %.2f), %.0f ns' % (*of[way]['ratio'], of[way]['ns'])
                                                          for of in calls.values()] for way in ways])
    yield 'A program that does nothing, milliseconds added to each run:\n'
    yield table(['', 'CPU added', 'elapsed added'],
                [[way] + ['%+.2f (%+.2f to %+.2f)' % tuple(of[what]) for what in ('cpu', 'elapsed')]
                 for way, of in r['syscalls']['start'].items()])


def syscalls_groups(r):
    """(heading, target, [(label, ratio, is ours)]) for the picture."""
    for words, of in r['syscalls']['calls'].items():
        yield words, LIMITS['cprof'], [('cprof, ' + way if way == 'off' else way, cell['ratio'][0], way in ('off', *LEVELS))
                                       for way, cell in of.items() if way != 'none']
