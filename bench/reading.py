"""
Reading a large profile: a million samples, 200,000 of their stacks different; `cprof top` and others beside go tool pprof.
"""

import os

from place import go_tool
from rounds import Rounds, in_turn, run, spread
from viewer import seconds_text, spent

STACKS, TIMES = 200000, 5
GO = {'top': ['-top'], 'tree': ['-tree']}
OURS = {'top': ['top'], 'tree': ['tree'], 'peek': ['peek', 'function_7$'], 'traces': ['traces'], 'flame': ['flame', '-o', '-'],
        'check': ['check']}
LIMIT = 0.5  # of time and memory, of top


def part_reading(place, is_quick):
    """{way: {s, mb, against: ratio of s, memory: ratio of mb}}, with the size of the file"""
    path, peer = place.new(), go_tool('pprof')
    run([place.program('profile_make'), STACKS, TIMES, path])
    commands = {'cprof ' + way: [place.cprof] + words + [path] for way, words in OURS.items()}
    if peer is not None:
        commands.update({'pprof ' + way: [peer] + words + [path] for way, words in GO.items()})
    seconds, memory = Rounds(), Rounds()
    for _, way in in_turn(list(commands), 1 if is_quick else 3):
        s, mb = spent(place, commands[way], {'PPROF_TMPDIR': place.work, 'HOME': place.work})
        seconds.add(way, s)
        memory.add(way, mb)
    result = {'bytes': os.path.getsize(path), 'ways': {}}
    os.remove(path)
    for way in commands:
        of = result['ways'][way] = {'s': spread(seconds.values[way]), 'mb': max(memory.values[way])}
        other = way.replace('cprof ', 'pprof ')
        if way.startswith('cprof ') and other in commands:
            of['against'] = seconds.ratio(way, other)
            of['memory'] = memory.ratio(way, other)
    print('\nReading a profile of %d samples, %d stacks, %.1f MB: seconds, peak of memory, against go tool pprof' %
          (STACKS * TIMES, STACKS, result['bytes'] / 1e6))
    for row in rows_of(result):
        print('  %-20s%12s%12s%24s%24s' % tuple(row))
    return result


def rows_of(r):
    for way, of in r['ways'].items():
        yield [way, seconds_text(of['s'][0]), '%.0f MB' % of['mb'],
               '%.2f (%.2f to %.2f)' % tuple(of['against']) if 'against' in of else '-',
               '%.2f (%.2f to %.2f)' % tuple(of['memory']) if 'memory' in of else '-']


def reading_targets(r, target):
    ways = r['reading']['ways']
    if 'against' in ways['cprof top']:
        of, peer = ways['cprof top'], ways['pprof top']
        yield target('top of a million samples, time against go tool pprof', of['against'][0], LIMIT,
                     '%s, %s' % (seconds_text(of['s'][0]), seconds_text(peer['s'][0])))
        yield target('the same, memory', of['memory'][0], LIMIT, '%.0f MB, %.0f MB' % (of['mb'], peer['mb']))


def page_reading(r, table):
    yield '## Reading profiles\n'
    yield ('A profile of %d samples, %d of their stacks different, up to 40 frames deep, %.1f MB (`bench/profile_make.c`). Whole '
           'processes: elapsed time and the peak of memory, medians (and the middle half) of rounds in turns, against go tool pprof '
           'where it has the same.\n' % (STACKS * TIMES, STACKS, r['reading']['bytes'] / 1e6))
    yield table(['', 'time', 'memory', 'time against pprof', 'memory against pprof'], list(rows_of(r['reading'])))
