"""What one event of a trace costs, beside LTTng-UST's tracepoint, and how many bytes it takes, beside LTTng and Go."""

import os
import shutil

from gotrace import go_events
from lttng import PTHREAD, Lttng, compressed, lttng_wrapper
from place import note
from rounds import Rounds, in_turn, run

TRACEPOINT = 'bench:event'
# way: load, how many events one time of it is
OURS = {'cprof_counter': ('counter', 1), 'a region, per event': ('region', 2), 'cprof_log': ('log', 1)}
PEERS = {'tracepoint, idle': ('tracepoint', 1), 'tracepoint, recording': ('tracepoint', 1)}
STAMP_LIMIT, PEER_LIMIT, BYTES_LIMIT = 1.5, 0.25, 2.5
# words: program, arguments, how much is traced, LTTng's program and events of one time, Go's
LOADS = {
    'locks': ('locks', ['contended', 2, 20000], 'locks', ('locks', 30 * 2 * 3, [PTHREAD])),
    'threads that take turns': ('events', ['handover', 400000], 'locks', None),
    'locks, counters, calls': ('events', ['mixed', 400000], 'all', ('events-lttng', 4, [PTHREAD, TRACEPOINT])),
}


def cost(place, way, count):
    """Nanoseconds an event."""
    if way == 'stamp':
        return float(run([place.program('events'), 'stamp', count]))
    load, n = {**OURS, **PEERS}[way]
    if way in OURS:
        out = place.new()
        said = run([place.cprof, 'run', '-p', 'trace=threads', '-o', out, '--', place.program('events'), load, count])
        shutil.rmtree(out, ignore_errors=True)
        return float(said) / n
    if way == 'tracepoint, idle':
        return float(run([place.program('events-lttng'), load, count],
                         {'LTTNG_HOME': '/nonexistent', 'HOME': '/nonexistent', 'LTTNG_UST_REGISTER_TIMEOUT': '0'}))
    session = Lttng(place, TRACEPOINT)
    try:
        why = session.start()
        return why or float(run([place.program('events-lttng'), load, count], session.env))
    finally:
        session.stop()


def bytes_of_ours(place, words):
    program, arguments, level, _ = LOADS[words]
    out = place.new()
    run([place.cprof, 'run', '-p', 'trace=' + level, '-o', out, '--', place.program(program)] + arguments)
    of = place.trace(out)
    raw = int(run(['sh', '-c', 'lz4 -dc <"$1" | wc -c', 'sh', out + '/trace.out']))
    shutil.rmtree(out, ignore_errors=True)
    return {'events': of['events'], 'lost': of['lost'], 'raw': raw / of['events'], 'stored': of['bytes'] / of['events']}


def bytes_of_lttng(place, words):
    """The same, or why not. Its events are counted by what the program does."""
    arguments, (program, each, events) = LOADS[words][1], LOADS[words][3]
    session = Lttng(place, *events)
    try:
        why = session.start()
        if why is not None:
            return why
        run([place.program(program)] + arguments, {**session.env, 'LD_PRELOAD': lttng_wrapper()})
        raw, stored, lost = session.written()
        n = arguments[-1] * each - lost
        return {'events': n, 'lost': lost, 'raw': raw / n, 'stored': stored / n} if n > 0 else 'lttng discards all'
    finally:
        session.stop()


def bytes_of_go(place, turns):
    """Of two goroutines that take turns."""
    out = place.new()
    run([place.program('gotrace'), 'pingpong', turns, out])
    n = go_events(out)
    raw, stored = os.path.getsize(out), compressed([out])
    os.remove(out)
    return {'events': n, 'lost': 0, 'raw': raw / n, 'stored': stored / n}


def costs(place, is_quick):
    ways, values = ['stamp', *OURS], Rounds()
    if os.path.exists(place.program('events-lttng')):
        why = cost(place, 'tracepoint, recording', 1000)
        ways += list(PEERS)[:1 if isinstance(why, str) else 2]
        if isinstance(why, str):
            note('lttng records nothing here (%s)' % why)
    else:
        note('liblttng-ust-dev is not installed: its tracepoint is left out')
    print('\nOne event, ns (ratio to a bare stamp)')
    for _, way in in_turn(ways, 3 if is_quick else 11):
        values.add(way, cost(place, way, 4000))
    result = {way: {'ns': values.median(way), 'ratio': values.ratio(way, 'stamp')} for way in ways}
    for way, cell in result.items():
        print('  %-24s %8.1f ns   x %.2f  [%.2f .. %.2f]' % (way, cell['ns'], *cell['ratio']))
    if 'tracepoint, recording' in ways:
        result['cprof_counter']['peer'] = values.ratio('cprof_counter', 'tracepoint, recording')
    return result


def part_events(place, is_quick):
    """{cost: {way: {ns, ratio}}, bytes: {load: {who: {events, lost, raw, stored}}}}"""
    result = {'cost': costs(place, is_quick), 'bytes': {}}
    has_lttng = 'tracepoint, recording' in result['cost'] and lttng_wrapper() is not None
    print('\nBytes an event: as they are, as the file has them (LTTng\'s and Go\'s by lz4 -1)')
    for words, (_, _, _, peer) in LOADS.items():
        of = result['bytes'][words] = {'cprof': bytes_of_ours(place, words)}
        if peer is not None and has_lttng:
            found = bytes_of_lttng(place, words)
            if isinstance(found, str):
                note('lttng, %s: %s' % (words, found))
            else:
                of['lttng'] = found
        if peer is None and os.path.exists(place.program('gotrace')):
            of['Go'] = bytes_of_go(place, 400000)
        elif peer is None:
            note('golang-go is not installed: its trace is left out')
        print(words)
        for who, cell in of.items():
            print('  %-10s %9d events, %d lost: %6.2f, %6.2f' % (who, *(cell[k] for k in ('events', 'lost', 'raw', 'stored'))))
    return result


def events_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    of = r['events']['cost']
    beside = ', '.join('%s %.1f ns' % (way, of[way]['ns']) for way in PEERS if way in of)
    yield target('one event, a counter, against a stamp', of['cprof_counter']['ratio'][0], STAMP_LIMIT, beside, 2)
    if 'peer' in of['cprof_counter']:
        yield target('the same against a tracepoint that is recorded', of['cprof_counter']['peer'][0], PEER_LIMIT, '', 2)
    for words, of in r['events']['bytes'].items():
        beside = ', '.join('%s %.1f' % (who, of[who]['stored']) for who in of if who != 'cprof')
        if words == 'locks':
            yield target('bytes an event in the file, ' + words, of['cprof']['stored'], BYTES_LIMIT, beside, 2)
        yield target('events lost of %d, %s' % (of['cprof']['events'], words), of['cprof']['lost'], 0, '', 0)


def page_events(r, table):
    yield '## Events\n'
    yield ('One event against a bare reading of the processor\'s counter, median of the rounds (their middle half). The '
           'tracepoint is LTTng-UST\'s with two numbers; a counter has its name and a number, a log line is formatted, a region '
           'has a stack.\n')
    yield table(['', 'against a stamp', 'time'], [[way, '%.2f (%.2f to %.2f)' % tuple(cell['ratio']), '%.1f ns' % cell['ns']]
                                                  for way, cell in r['events']['cost'].items()])
    yield ('Bytes an event, before it is compressed and in the file; LTTng\'s and Go\'s as `lz4 -1` makes them. A lock and an unlock '
           'is one event here and three of LTTng\'s; Go\'s program has no locks in its trace that nobody waited for.\n')
    yield table(['', 'whose', 'events', 'lost', 'bytes', 'in the file'],
                [[words, who, str(c['events']), str(c['lost']), '%.2f' % c['raw'], '%.2f' % c['stored']]
                 for words, of in r['events']['bytes'].items() for who, c in of.items()])


def events_groups(r):
    """(heading, target, [(label, ns, is ours)]) for the picture."""
    of = r['events']['cost']
    yield '', STAMP_LIMIT * of['stamp']['ns'], [(way, cell['ns'], way in OURS) for way, cell in of.items()]


def bytes_groups(r):
    for words, of in r['events']['bytes'].items():
        yield words, BYTES_LIMIT if words == 'locks' else None, [(who, cell['stored'], who == 'cprof') for who, cell in of.items()]
