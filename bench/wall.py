"""The wall profile beside the way that knows no better, which signals every thread: measured, judged and told."""

import shutil
import statistics

from rounds import Rounds, in_turn, run

HZ = 99
# threads, kind, words, percent of a CPU that it may take (None: no promise), whether the peers are measured
LOADS = (
    (1000, 'libc', '1,000 sleeping threads', 1.0, True),
    (10, 'libc', '10 sleeping threads', 0.1, True),
    (1000, 'waking', '1,000 threads, 10 waking', None, True),
    (1000, 'raw', '1,000 sleeping threads, raw', 1.0, False),
    (10, 'raw', '10 sleeping threads, raw', 0.1, False),
    (1000, 'wakingraw', '1,000 threads, 10 waking, raw', None, False),
)
WAYS = {'none': [], 'cprof': [], 'empty': ['empty', HZ], 'walk': ['walk', HZ]}
WORDS = {'cprof': 'cprof', 'empty': 'signal all, empty handler', 'walk': 'signal all, unw_backtrace'}


def measure(place, way, threads, kind, seconds):
    """What a program said of itself: {word: number}."""
    before, out = [], place.new()
    if way == 'cprof':
        before = [place.cprof, 'run', '-p', 'wall=%d' % HZ, '-o', out, '--']
    said = run(before + [place.program('sleepers'), threads, kind, seconds] + WAYS[way])
    shutil.rmtree(out, ignore_errors=True)
    return {line.split()[0]: int(line.split()[1]) for line in said.splitlines()}


def part_wall(place, is_quick):
    """{words: {way: {percent: of a CPU added, low, high, interrupted, signals: a second, ratio: to signalling all}}}"""
    result = {}
    print('\nCPU that watching takes at %d Hz, percent of one, less the program alone; waits that ended early' % HZ)
    for threads, kind, words, _, has_peers in LOADS:
        ways = list(WAYS) if has_peers else ['none', 'cprof']
        percent, interrupted, signals = Rounds(), {}, {}
        for _, way in in_turn(ways, 2 if is_quick else 5):
            said = measure(place, way, threads, kind, 2 if is_quick else 4)
            seconds = said['wall_ns'] / 1e9
            percent.add(way, 100 * said['cpu_ns'] / said['wall_ns'])
            interrupted[way] = interrupted.get(way, 0) + said['interrupted']
            signals[way] = max(signals.get(way, 0), said['signals'] / seconds)
        result[words] = {}
        print(words)
        for way in ways[1:]:
            added = sorted(a - b for a, b in zip(percent.values[way], percent.values['none']))
            cell = {'percent': statistics.median(added), 'low': added[0], 'high': added[-1],
                    'interrupted': interrupted[way], 'signals': signals[way], 'alone': percent.median('none')}
            result[words][way] = cell
        for way, cell in result[words].items():
            if 'empty' in result[words] and way != 'empty':
                cell['ratio'] = max(cell['percent'], 0) / max(result[words]['empty']['percent'], 1e-3)
            print('  %-32s %8.3f %%  [%.3f .. %.3f]  %8d early   %10.0f signals/s%s' % (
                WORDS[way], cell['percent'], cell['low'], cell['high'], cell['interrupted'], cell['signals'],
                '   x %.4f of empty' % cell['ratio'] if 'ratio' in cell else ''))
    return result


def wall_targets(r, target):
    """Yields target(work, measured, limit, peer, digits, unit=...) for each promise."""
    for _, _, words, limit, _ in LOADS:
        of = r['wall'].get(words)
        if of is None:
            continue
        beside = ', '.join('%s %.1f %%' % (WORDS[way], of[way]['percent']) for way in ('empty', 'walk') if way in of)
        if limit is not None:
            yield target('wall: %s' % words, of['cprof']['percent'], limit, beside, 3, unit=' %% CPU')
        yield target('wall: %s: EINTR' % words, of['cprof']['interrupted'], 0,
                     ', '.join('%s %d' % (WORDS[way], of[way]['interrupted']) for way in ('empty', 'walk') if way in of), 0)


def page_wall(r, table):
    yield '## Watching threads\n'
    yield ('Percent of one CPU that the process takes more than alone, at 99 Hz, median of the rounds (all of them); the '
           'ratio to signalling each thread with an empty handler; and how many `poll` calls ended with EINTR in all rounds. '
           'Raw: the program makes the system call itself, past the C library, so that no wrapper sees it. Waking: 100 times a '
           'second, for some 10 microseconds of work.\n')
    rows = []
    for words, of in r['wall'].items():
        for way, cell in of.items():
            rows.append([words, WORDS[way], '%.3f %% (%.3f to %.3f)' % (cell['percent'], cell['low'], cell['high']),
                         '%.4f' % cell['ratio'] if 'ratio' in cell else '1' if way == 'empty' else '-',
                         '%d' % cell['interrupted']])
    yield table(['program', 'way', 'CPU', 'ratio', 'EINTR'], rows)


def wall_groups(r):
    """(heading, target, [(label, percent, is ours)]) for the picture."""
    for _, _, words, limit, _ in LOADS:
        of = r['wall'].get(words)
        if of is not None:
            yield words, limit, [
                (WORDS[way], max(cell['percent'], 0), way == 'cprof') for way, cell in of.items()]
