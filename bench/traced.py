"""Whole programs with all of the trace: what they take longer, and what it takes to have it written."""

import glob
import shutil

from place import note
from rounds import Rounds, in_turn, run

THREADS = '''import queue, threading
q, found = queue.Queue(64), []
def work():
    while (i := q.get()) is not None:
        found.append(sum(hash((i, j)) for j in range(40)))
workers = [threading.Thread(target=work) for _ in range(4)]
for w in workers: w.start()
for i in range(20000): q.put(i)
for w in workers: q.put(None)
for w in workers: w.join()
'''


def workloads(place):
    with open(place.work + '/threads.py', 'w') as f:
        f.write(THREADS)
    text = place.work + '/text'
    return {
        'xz, 2 threads': ['xz', '-6', '-T2', '--block-size=128KiB', '-k', '-c', text],
        'zstd, 2 threads': ['zstd', '-15', '-T2', '-q', '-c', text],
        'sqlite3': ['sqlite3', place.work + '/base', '.read ' + place.work + '/sql'],
        'python3, 5 threads': ['/usr/bin/python3', place.work + '/threads.py'],
    }


def measure(place, way, command):
    """CPU and elapsed seconds of the program, CPU seconds of the launcher, and what the trace has."""
    inner, outer, out = place.new(), place.new(), place.new()
    before = [place.cprof, 'run', '-p', 'trace=all', '-o', out, '--'] if way == 'cprof' else []
    run(['rm', '-f', place.work + '/base'])
    run([place.program('spend'), outer] + before + [place.program('spend'), inner] + command)
    with open(inner) as f, open(outer) as g:
        (cpu, elapsed), whole = [int(word) / 1e9 for word in f.read().split()[:2]], int(g.read().split()[0]) / 1e9
    of = {}
    if way == 'cprof':
        # the program is a child of the one that measures it
        traces = [place.trace(path) for path in glob.glob(out + '/*/')]
        of = {what: sum(t[what] for t in traces) for what in ('events', 'lost', 'bytes')}
        shutil.rmtree(out, ignore_errors=True)
    return cpu, elapsed, whole - cpu, of


def part_traced(place, is_quick):
    """{program: {cpu, elapsed, floor: [median, low, high], seconds, events, lost, bytes, drain}}"""
    result = {}
    print('\nWhole programs with trace=all, against none (middle half of the rounds)')
    for name, command in workloads(place).items():
        if shutil.which(command[0]) is None:
            note('%s is not installed' % command[0])
            continue
        cpu, elapsed, drain, of = Rounds(), Rounds(), Rounds(), {}
        for _, way in in_turn(['none', 'cprof', 'none again'], 3 if is_quick else 9):
            values = measure(place, way, command)
            cpu.add(way, values[0])
            elapsed.add(way, values[1])
            drain.add(way, values[2])
            of = values[3] or of
        result[name] = {'cpu': cpu.ratio('cprof', 'none', 'none again'), 'floor': cpu.ratio('none again', 'none'),
                        'elapsed': elapsed.ratio('cprof', 'none', 'none again'), 'seconds': cpu.median('none'),
                        'drain': drain.median('cprof'), **of}
        print('  %-20s CPU x %.3f [%.3f .. %.3f], elapsed x %.3f, none again %.3f; launcher %.3f s of %.2f s; '
              '%d events, %d lost, %.2f bytes each' % (
                  name, *result[name]['cpu'], result[name]['elapsed'][0], result[name]['floor'][0], result[name]['drain'],
                  result[name]['seconds'], of['events'], of['lost'], of['bytes'] / max(of['events'], 1)), flush=True)
    return result


def traced_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for name, of in r['traced'].items():
        yield target('%s, trace=all: events lost of %d' % (name, of['events']), of['lost'], 0,
                     'CPU %.3f, launcher %.3f of it' % (of['cpu'][0], of['drain'] / of['seconds']), 0)


def page_traced(r, table):
    yield '## Programs, traced\n'
    yield ('All of the trace, against the program alone, median of the rounds (their middle half). The launcher is CPU time of '
           'its own, beside the program: it empties the chunks, compresses and writes them, and ends with the tables.\n')
    yield table(['', 'alone', 'CPU', 'elapsed', 'none again', 'launcher', 'events', 'lost', 'bytes an event'],
                [[name, '%.2f s' % of['seconds'], '%.3f (%.3f to %.3f)' % tuple(of['cpu']),
                  '%.3f (%.3f to %.3f)' % tuple(of['elapsed']), '%.3f' % of['floor'][0], '%.3f s' % of['drain'],
                  str(of['events']), str(of['lost']), '%.2f' % (of['bytes'] / max(of['events'], 1))]
                 for name, of in r['traced'].items()])


def traced_groups(r):
    """(heading, target, [(label, percent, is ours)]) for the picture."""
    for name, of in r['traced'].items():
        yield name, None, [('cprof', 100 * (of['cpu'][0] - 1), True), ('none again (noise)', 100 * (of['floor'][0] - 1), False)]
