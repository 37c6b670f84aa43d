"""What it costs to have a program's switches recorded, as an unprivileged user: alone, watched by us, and by perf record."""

import os
import shutil
import statistics
import subprocess

from place import note
from rounds import Rounds, in_turn, run, told

NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
# words, arguments, limit
LOADS = (
    ('a byte to and fro, one processor', ['pingpong', 1, 200], 1.4),
    ('a byte to and fro, two processors', ['pingpong', 2, 20], 1.4),
    ('a thread made and joined', ['threads', 100], None),
)


def measure(place, way, user, arguments):
    """What the program said, in ns, and what the watcher said of itself."""
    program = [place.program('sched')] + arguments
    if way == 'cprof':
        first, second = run(user + [place.program('sched'), 'watch'] + program).splitlines()
        return float(first), [float(word) for word in second.split()]
    if way == 'perf record':
        out = place.new()
        said = run(user + ['perf', 'record', '-q', '-e', 'dummy:u', '--switch-events', '-o', out] + program)
        os.remove(out)
        return float(said.split()[0]), None
    return float(run(user + program).split()[0]), None


PACE, PACE_MS = 50000, 2000


def paced(place, user):
    """What is lost of so many switches a second, with all of a trace written: {asked, switches, seen, lost}."""
    out = place.new()
    said = run(user + [place.cprof, 'run', '-p', 'trace=all', '-o', out, '--', place.program('sched'), 'paced', PACE, PACE_MS])
    seen = run([place.viewer, out + '/trace.out', 'events', '--type', 'sched.out']).count('\n')
    result = {'a second': float(said), 'switches': float(said) * PACE_MS / 1e3, 'seen': seen, 'lost': place.trace(out)['lost']}
    shutil.rmtree(out, ignore_errors=True)
    print('%.0f switches a second, all traced: %d of %d seen, %d events lost' % (float(said), seen, result['switches'],
                                                                                  result['lost']))
    return result


def part_sched(place, is_quick):
    """{words: {way: {ns, ratio: [median, low, high]}, lost, switches, bytes, drain_ns}}"""
    user = NOBODY if os.geteuid() == 0 and shutil.which('setpriv') else []
    ways = ['none', 'cprof', 'perf record', 'none again']
    result = {}
    print('\nA program whose switches are recorded, ns (ratio to none in the same round, middle half of the rounds)')
    try:
        measure(place, 'cprof', user, LOADS[0][1])
    except subprocess.CalledProcessError as e:
        note('switches are not recorded here: ' + e.stderr.decode().strip())
        return result
    try:
        measure(place, 'perf record', user, LOADS[0][1])
    except (subprocess.CalledProcessError, OSError):
        note('perf is not installed, or does not record here')
        ways.remove('perf record')
    for words, arguments, _ in LOADS:
        values, own = Rounds(), []
        for _, way in in_turn(ways, 5 if is_quick else 15):
            ns, said = measure(place, way, user, arguments)
            values.add(way, ns)
            own += [said] if said else []
        result[words] = {'ways': told(words, values, ways),
                         'switches': sum(said[0] for said in own), 'lost': sum(said[1] for said in own),
                         'bytes': sum(said[2] for said in own) / sum(said[0] for said in own),
                         'drain_ns': statistics.median(said[3] for said in own)}
        print('  %d switches, %d lost, %.1f bytes each in a block before it is compressed, %.0f ns each of the drainer' %
              tuple(result[words][what] for what in ('switches', 'lost', 'bytes', 'drain_ns')))
    result['paced'] = paced(place, user)
    return result


def sched_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for words, _, limit in LOADS:
        of = r['sched'].get(words)
        if of is None:
            continue
        beside = ', '.join('%s %.2f' % (way, of['ways'][way]['ratio'][0]) for way in ('perf record', 'none again')
                           if way in of['ways'])
        if limit is not None:
            yield target('switches recorded: %s' % words, of['ways']['cprof']['ratio'][0], limit, beside, 2)
        yield target('switches recorded: %s: lost of %d' % (words, of['switches']), of['lost'], 0, '', 0)
    of = r['sched'].get('paced')
    if of is not None:
        yield target('events lost at %.0f switches a second, all traced' % of['a second'], of['lost'], 0,
                     '%d switches seen, %d made' % (of['seen'], of['switches']), 0)


def page_sched(r, table):
    yield '## Switches\n'
    yield ('A round, or a thread, against the same program alone, median of the rounds (their middle half), as a user without '
           'rights. The watcher reads the records and encodes them, without compressing or writing them. The peer is '
           '`perf record -e dummy:u --switch-events`.\n')
    loads = {words: of for words, of in r['sched'].items() if words != 'paced'}
    ways = list(dict.fromkeys(way for of in loads.values() for way in of['ways']))
    yield table(['against none'] + list(loads),
                [[way] + ['%.2f (%.2f to %.2f), %.0f ns' % (*of['ways'][way]['ratio'], of['ways'][way]['ns'])
                          for of in loads.values()] for way in ways] +
                [['bytes a switch'] + ['%.1f' % of['bytes'] for of in loads.values()],
                 ['lost'] + ['%d of %d' % (of['lost'], of['switches']) for of in loads.values()]])


def sched_groups(r):
    """(heading, target, [(label, ratio, is ours)]) for the picture."""
    for words, _, limit in LOADS:
        of = r['sched'].get(words)
        if of is not None:
            yield words, limit, [(way, cell['ratio'][0], way == 'cprof') for way, cell in of['ways'].items()
                                 if way != 'none']
