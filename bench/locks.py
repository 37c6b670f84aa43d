"""
What a lock costs: plain, with cprof there and off, with its block and mutex profiles, traced, and beside lttng-ust's wrapper. And
with a bare stamp, which no trace is below.
"""

import shutil

from lttng import PTHREAD, Lttng, lttng_wrapper
from place import note
from rounds import Rounds, in_turn, run, told

# words, arguments, limit by way
LOADS = (
    ('one thread', ['alone', 40000], {'off': 1.2, 'block, mutex': 1.35, 'traced': 1.6}),
    ('one of two threads', ['pair', 40000], {'off': 1.2, 'block, mutex': 1.35, 'traced': 1.6}),
    ('2 threads that contend', ['contended', 2, 40000], {'traced': 2}),
    ('8 threads that contend', ['contended', 8, 10000], {'traced': 2}),
)
PEERS = ('lttng, idle', 'lttng, recording')


def measure(place, way, arguments, lttng):
    """Nanoseconds a pair."""
    env, before, out = {}, [], None
    if way == 'off':
        env = {'LD_PRELOAD': place.library}
    elif way == 'block, mutex':
        out = place.new()
        before = [place.cprof, 'run', '-p', 'block,mutex', '-o', out, '--']
    elif way == 'traced':
        out = place.new()
        before = [place.cprof, 'run', '-p', 'trace=locks', '-o', out, '--']
    elif way == 'stamped':
        arguments = [arguments[0] + '-stamped'] + arguments[1:]
    elif way == 'lttng, idle':
        # no daemon at its home: registered nowhere, and not waited for
        env = {'LD_PRELOAD': lttng['wrapper'], 'LTTNG_HOME': '/nonexistent', 'HOME': '/nonexistent',
               'LTTNG_UST_REGISTER_TIMEOUT': '0'}
    elif way == 'lttng, recording':
        env = {**lttng['session'].env, 'LD_PRELOAD': lttng['wrapper']}
    said = run(before + [place.program('locks')] + arguments, env)
    if out:
        shutil.rmtree(out, ignore_errors=True)
    return float(said.split()[0])


def part_locks(place, is_quick):
    """{words: {way: {ns, ratio: [median, low, high]}}}"""
    ways = ['none', 'stamped', 'off', 'block, mutex', 'traced']
    lttng = {'wrapper': lttng_wrapper()}
    if lttng['wrapper'] is None:
        note('liblttng-ust-pthread-wrapper.so is not installed: lttng is left out')
    else:
        ways.append('lttng, idle')
        lttng['session'] = Lttng(place, PTHREAD)
        why = lttng['session'].start()
        if why is None:
            ways.append('lttng, recording')
        else:
            note('lttng records nothing here (%s): its wrapper is measured idle only' % why)
    ways.append('none again')
    alone = ('stamped',)  # of one thread
    result = {}
    print('\nA lock and an unlock, ns (ratio to none in the same round, middle half of the rounds)')
    try:
        for words, arguments, _ in LOADS:
            values, here = Rounds(), [w for w in ways if arguments[0] != 'contended' or w not in alone]
            arguments = arguments[:-1] + [arguments[-1] // (5 if is_quick else 1)]
            for _, way in in_turn(here, 5 if is_quick else 15):
                slow = 10 if way in PEERS else 1
                values.add(way, measure(place, way, arguments[:-1] + [arguments[-1] // slow], lttng))
            result[words] = told(words, values, here)
    finally:
        if 'session' in lttng:
            lttng['session'].stop()
    return result


def locks_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for words, _, limits in LOADS:
        of = r['locks'].get(words)
        if of is None:
            continue
        beside = ', '.join('%s %.1f' % (way, of[way]['ratio'][0]) for way in PEERS + ('none again',) if way in of)
        for way, limit in limits.items():
            yield target('lock and unlock, %s, %s' % (words, way), of[way]['ratio'][0], limit, beside, 3)
        if words == 'one thread' and PEERS[1] in of:
            yield target('lock and unlock, traced, against lttng recording', of['traced']['ns'] / of[PEERS[1]]['ns'], 0.05,
                         'a bare stamp %.1f of none' % of['stamped']['ratio'][0], 3)


def page_locks(r, table):
    yield '## Locks\n'
    yield ('A lock and an unlock of a mutex against the same program alone, median of the rounds (their middle half), and '
           'the median time. Off: preloaded, and nothing asked for. The peer is lttng-ust\'s wrapper of the same functions, '
           'with nobody who records and with a session that does.\n')
    ways = list(dict.fromkeys(way for of in r['locks'].values() for way in of))
    yield table(['against none'] + list(r['locks']),
                [[way] + ['%.2f (%.2f to %.2f), %.1f ns' % (*of[way]['ratio'], of[way]['ns']) if way in of else '-'
                          for of in r['locks'].values()] for way in ways])


def locks_groups(r):
    """(heading, target, [(label, ratio, is ours)]) for the picture."""
    for words, _, limits in LOADS:
        of = r['locks'].get(words)
        if of is not None:
            yield words, limits.get('block, mutex'), [
                ({'stamped': 'a bare stamp'}.get(way, way if way in PEERS + ('none again',) else 'cprof, ' + way), cell['ratio'][0], way in ('off', 'block, mutex', 'traced'))
                for way, cell in of.items() if way != 'none']
