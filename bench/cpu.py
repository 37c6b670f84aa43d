#!/usr/bin/env python3
"""Measures cprof beside its peers: cpu.py BUILD PROGRAMS RESULTS [PART...]

BUILD is a meson build directory, PROGRAMS where bench/run has put the programs of this folder, RESULTS a JSON file
that is updated part by part: stacks, delivery, sample, programs, start, wall, heap, locks, sched, syscalls, events, traced,
viewer, reading.
With QUICK=1 in the environment there are fewer rounds.
"""

import concurrent.futures
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

import events
import heap
import locks
import reading
import samples
import sched
import syscalls
import traced
import viewer
import wall
from place import NOTES, Place, note, spent
from rounds import Rounds, in_turn, run, spread

QUICK = os.environ.get('QUICK', '') not in ('', '0')
NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']


# One stack

DEPTHS = (10, 30, 100)


def stacks_cost(place, name, rounds):
    """{place: {way: {depth: {ns, frames, ratio to unw_backtrace}}}}"""
    table = {}
    for depth in DEPTHS:
        values, frames = {'plain': Rounds(), 'handler': Rounds(), 'changing': Rounds()}, {}
        for line in run([place.program(name), 'cost', depth, rounds], cpu=0).splitlines():
            way, where, _, ns, count = line.split()
            values[where].add(way, float(ns))
            frames[where, way] = int(count)
        for where, of in values.items():
            for way in of.values:
                cell = {'ns': of.median(way), 'frames': frames[where, way]}
                for peer in ('unw_backtrace', 'gperftools'):
                    if peer in of.values:
                        cell[peer] = of.ratio(way, peer)
                table.setdefault(where, {}).setdefault(way, {})[depth] = cell
    return table


def stacks_first(place, ways, times):
    values = {way: [] for way in ways}
    for _, way in in_turn(ways, times):
        values[way].append([float(word) for word in run([place.program('stacks'), 'first', way], cpu=0).split()[1:]])
    return {way: {'process_us': statistics.median(line[0] for line in lines),
                  'thread_us': statistics.median(us for line in lines for us in line[1:]),
                  'bytes': int(run([place.program('stacks'), 'memory', way]).split()[1])}
            for way, lines in values.items()}


def part_stacks(place):
    rounds = 15 if QUICK else 41
    result = {'without frame pointers': stacks_cost(place, 'stacks', rounds),
              'with frame pointers': stacks_cost(place, 'stacks-fp', rounds)}
    ways = list(result['without frame pointers']['handler'])
    result['first'] = stacks_first(place, [way for way in ways if way != 'cprof+count'], 5 if QUICK else 21)
    for kind in ('without frame pointers', 'with frame pointers'):
        print('\nOne stack, ns (ratio to unw_backtrace), code %s' % kind)
        print('%-10s%-16s' % ('', '') + ''.join('%22s' % ('depth %d' % depth) for depth in DEPTHS))
        for where, of in result[kind].items():
            for way, cells in of.items():
                print('%-10s%-16s' % (where, way) + ''.join(
                    '%22s' % ('%.0f (%s)' % (cell['ns'], ratio_text(cell.get('unw_backtrace'))))
                    for cell in cells.values()))
    print('\n%-26s%20s%20s%20s' % ('first walk, depth 30', 'of the process', 'of a thread', 'bytes a thread'))
    for way, of in result['first'].items():
        print('%-26s%17.1f us%17.1f us%20d' % (way, of['process_us'], of['thread_us'], of['bytes']))
    return result


def ratio_text(ratio, digits=2):
    return '-' if ratio is None else '%.*f' % (digits, ratio[0])


# Samples delivered, and to whom

RATES = (100, 250, 1000, 4000)


def sampled_by(place, way, hz, load, seconds, cpu):
    """Runs a load under one profiler. What the load said, samples, signals, and whether only leaves are known."""
    out = place.new()
    env, command, hold = {}, [place.program('load')], []
    if way == 'itimer':
        command += ['-i', hz]
    elif way == 'gperftools':
        env = {'CPUPROFILE': out, 'CPUPROFILE_FREQUENCY': str(hz), 'LD_PRELOAD': place.libprofiler}
    else:
        hold = {'cprof': [], 'cprof, user': NOBODY, 'cprof, no perf': [place.program('noperf')]}[way]
        command = [place.cprof, 'run', '-p', 'cpu=%d' % hz, '-o', out, '--'] + command
    said = {'ranges': {}, 'threads': []}
    for line in run(hold + command + [load, seconds], env, cpu).splitlines():
        word, *values = line.split()
        if word == 'range':
            said['ranges'][values[0]] = (int(values[1]), int(values[2]))
        elif word == 'thread':
            said['threads'].append(float(values[1]))
        elif word == 'itimer':
            said['itimer'] = [int(value) for value in values]
        else:
            said[word] = float(values[0])
    if way == 'itimer':
        return said, None, said['itimer'][0]
    if way == 'gperftools':
        found = samples.of_gperftools(out)
        os.remove(out)
        return said, found, sum(columns[0] for columns, _ in found)
    found, signals = samples.of_pprof(out + '/cpu.pb.gz')
    shutil.rmtree(out)
    return said, found, signals


def weight_in(found, area, column):
    """What samples with a frame in @area weigh, in their last column."""
    low, high = area
    return sum(columns[column] for columns, stack in found if any(low <= pc < high for pc in stack))


def judged(said, found, signals, hz):
    """Delivered against asked, and the error of shares in percent points where there are some."""
    expected = said['cpu_ns'] / 1e9 * hz
    result = {'real': signals / expected, 'seconds': said['cpu_ns'] / 1e9}
    if found is None:
        result['counted'] = signals / expected
        parts = said['itimer'][1:3]
        threads = said['itimer'][3:]
    else:
        result['counted'] = sum(columns[0] for columns, _ in found) / expected
        if any(len(columns) > 1 for columns, _ in found):
            result['cpu'] = sum(columns[1] for columns, _ in found) / said['cpu_ns']
        parts = [weight_in(found, said['ranges'][name], -1) for name in 'ab']
        threads = [weight_in(found, said['ranges']['worker%d' % i], -1) for i in range(4)]
    if 'truth' in said and sum(parts) > 0:
        result['share_error'] = 100 * parts[0] / sum(parts) - said['truth']
    if len(said['threads']) > 1 and sum(threads) > 0:
        result['thread_error'] = max(abs(100 * got / sum(threads) - 100 * used / sum(said['threads']))
                                     for got, used in zip(threads, said['threads']))
    return result


def ways_here(place):
    ways = ['cprof', 'itimer']
    if place.libprofiler is not None:
        ways.insert(1, 'gperftools')
    if os.geteuid() == 0 and shutil.which('setpriv'):
        ways.append('cprof, user')
    else:
        note('not root: "cprof" is an unprivileged user\'s, and there is no second user to measure')
    return ways + ['cprof, no perf']


def deliver(place, jobs):
    """Runs (way, hz, load, seconds) jobs two at a time: what is compared is each thread's own CPU clock."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    free = list(cores)
    lock = threading.Lock()

    def one(job):
        way, hz, load, seconds = job
        with lock:
            cpu = free.pop()
        try:
            # the four threads of a load share both cores
            said, found, signals = sampled_by(place, way, hz, load, seconds,
                                              None if load in ('four', 'unequal') else cpu)
            return job, judged(said, found, signals, hz)
        finally:
            with lock:
                free.append(cpu)

    with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(one, jobs))


def summary(results):
    """{load: {hz: {way: {what: mean, ...}}}}; thread_error: median; of shares also the worst round and what chance does."""
    table = {}
    for (way, hz, load, _), result in results:
        cell = table.setdefault(load, {}).setdefault(hz, {}).setdefault(way, {})
        for what, value in result.items():
            cell.setdefault(what, []).append(value)
    for load, by_hz in table.items():
        for hz, by_way in by_hz.items():
            for cell in by_way.values():
                seconds = sum(cell.pop('seconds'))
                shares = cell.pop('share_error', None)
                for what, values in cell.items():
                    cell[what] = statistics.median(values) if what == 'thread_error' else statistics.mean(values)
                taken = max(1, cell['real'] * seconds * hz)
                if load == 'kernel':
                    # the kernel's time is seen by the CPU timer alone, at every other tick of 4 ms at most
                    taken = min(taken, seconds * 125)
                # gaps of half to one and a half periods, evenly: their variance is a twelfth
                cell['count_chance'] = (1 / 12 / (seconds * hz)) ** .5
                if shares is not None:
                    # chance evens out over rounds, a beat with the period need not
                    cell['share_mean'] = statistics.mean(shares)
                    cell['share_worst'] = max(shares, key=abs)
                    cell['share_chance'] = 100 * (.25 / taken) ** .5
    return table


SHARES = ('split:9:1', 'split:7:3', 'kernel', 'period:10000', 'period:1000')


def part_delivery(place):
    ways = ways_here(place)
    rounds = 1 if QUICK else 3
    jobs = []
    for _ in range(rounds):
        for hz in RATES:
            for load in ('one', 'unequal'):
                # at 100 Hz a thread's last, unfinished period is still a large part of a second
                jobs += [(way, hz, load, (1 if QUICK else 4) if hz == 100 else 0.5 if QUICK else 2) for way in ways]
    for _ in range(rounds + 1):
        for hz in (100, 1000):
            for load in SHARES:
                # chance alone moves a share by 2 points in 3 s at 100 Hz: the mean of the rounds counts
                jobs += [(way, hz, load, (1 if QUICK else 3) if hz == 100 else 0.5 if QUICK else 1)
                         for way in ways if load[0] != 's' or 'no perf' not in way]
    table = summary(deliver(place, jobs))
    for load in ('one', 'unequal'):
        print('\nSamples against CPU seconds x rate, %s: real / counted / CPU time' %
              ('1 thread' if load == 'one' else '4 unequal threads'))
        print('%-16s' % '' + ''.join('%24s' % ('%d Hz' % hz) for hz in RATES))
        for way in ways:
            print('%-16s' % way + ''.join('%24s' % ' / '.join(
                '%.3f' % table[load][hz][way][what] if what in table[load][hz][way] else '-'
                for what in ('real', 'counted', 'cpu')) for hz in RATES))
    print('\nError of thread shares, 4 unequal threads, points')
    for way in ways:
        print('%-16s' % way + ''.join('%24.2f' % table['unequal'][hz][way]['thread_error'] for hz in RATES))
    for hz in (100, 1000):
        print('\nError of shares at %d Hz, points: mean of all rounds (worst round)' % hz)
        print('%-16s' % '' + ''.join('%18s' % load for load in SHARES))
        for way in ways:
            cells = [table[load][hz].get(way, {}) for load in SHARES]
            print('%-16s' % way + ''.join('%18s' % ('%+.1f (%+.1f)' % (cell['share_mean'], cell['share_worst'])
                                                    if 'share_mean' in cell else '-') for cell in cells))
    return table


# One sample

def part_sample(place):
    """What a sample costs in all, from the same work at rates at which it shows; and what an empty handler does."""
    ways = ['none', 'perf', 'cprof', 'none again']
    rates = (1000, 4000)
    result = {}
    print('\nOne sample, us of CPU time, all that comes with it (middle half of the rounds)')
    for hz in rates:
        costs, times = {}, Rounds()
        for _, way in in_turn(ways, 5 if QUICK else 21):
            out, before, how = place.new(), [], ['none']
            if way == 'cprof':
                before = [place.cprof, 'run', '-p', 'cpu=%d' % hz, '-o', out, '--']
            elif way == 'perf':
                how = ['perf', hz]
            try:
                said = run(before + [place.program('work')] + how, cpu=0).split()
            except subprocess.CalledProcessError:
                note('no perf clock here: what an empty handler costs is not known')
                ways = [one for one in ways if one != way]
                continue
            strikes = int(said[1])
            if way == 'cprof':
                strikes = samples.of_pprof(out + '/cpu.pb.gz')[1]
                shutil.rmtree(out)
            times.add(way, int(said[0]))
            costs.setdefault(way, []).append((int(said[0]), strikes))
        alone = [ns for way in ('none', 'none again') for ns, _ in costs[way]]
        base = statistics.median(alone)
        cells = {way: spread([(ns - base) / 1000 / max(1, strikes) for ns, strikes in of])
                 for way, of in costs.items() if way[:4] != 'none'}
        for way, us in cells.items():
            print('  %5d Hz  %-12s %6.1f  [%.1f .. %.1f]' % (hz, way, *us))
        result[hz] = {'us': cells, 'none again': times.ratio('none again', 'none')}
    return result


# Whole programs

def make_inputs(work):
    """Something to do for each program, half a second of it or more: many short rounds tell more than few long ones."""
    chance = random.Random(1)
    words = [bytes(chance.choices(b'abcdefghijklmnopqrstuvwxyz', k=chance.randint(2, 9))) for _ in range(3000)]
    with open(work + '/text', 'wb') as f:
        f.write(b' '.join(chance.choices(words, k=130000)))
    with open(work + '/sql', 'w') as f:
        f.write('create table t(a integer primary key, b integer, c text);\nbegin;\n')
        for i in range(30000):
            f.write("insert into t values(%d, %d, '%s');\n" % (i, chance.randrange(1000), 'x' * chance.randint(5, 60)))
        f.write('commit;\ncreate index i on t(b);\n')
        for i in range(22):
            f.write('select b, count(*), avg(length(c)) from t where a > %d group by b order by 2 limit 3;\n' % (i * 200))
    with open(work + '/script.py', 'w') as f:
        f.write('import json\n'
                'def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n'
                'd = {str(i): [i, {"k": i * 2}] for i in range(20000)}\n'
                'for _ in range(6):\n    json.loads(json.dumps(d))\n'
                'fib(27)\nsum(hash((i, i)) for i in range(700000))\n')


def part_programs(place):
    make_inputs(place.work)
    workloads = {
        'xz': ['xz', '-9', '-T1', '-k', '-c', place.work + '/text'],
        'sqlite3': ['sqlite3', ':memory:', '.read ' + place.work + '/sql'],
        'python3': ['/usr/bin/python3', place.work + '/script.py'],
    }
    variants = ['none', 'cprof 100', 'cprof 1000', 'none again']
    if place.libprofiler is not None:
        variants[3:3] = ['libprofiler 100', 'libprofiler 1000']
    result = {}
    print('\nCPU time of whole programs against none (middle half of the rounds)')
    for name, command in workloads.items():
        if shutil.which(command[0]) is None:
            note('%s is not installed' % command[0])
            continue
        host, whole = Rounds(), Rounds()
        for _, variant in in_turn(variants, 5 if QUICK else 21):
            what, _, hz = variant.partition(' ')
            before, env = [], None
            if what == 'cprof':
                out = place.new()
                before = [place.cprof, 'run', '-p', 'cpu=' + hz, '-o', out, '--']
            elif what == 'libprofiler':
                env = {'CPUPROFILE': place.new(), 'CPUPROFILE_FREQUENCY': hz, 'LD_PRELOAD': place.libprofiler}
            one, both = spent(place, before, command, env)
            host.add(variant, one)
            whole.add(variant, both)
            if what == 'cprof':
                shutil.rmtree(out)
        result[name] = {'seconds': host.median('none')}
        for variant in variants[1:]:
            bases = ['none'] if variant == 'none again' else ['none', 'none again']
            result[name][variant] = host.ratio(variant, *bases)
            if variant.startswith('cprof'):
                result[name][variant + ' with launcher'] = whole.ratio(variant, *bases)
        print('%s, %.2f s' % (name, result[name]['seconds']))
        for variant, ratio in result[name].items():
            if variant != 'seconds':
                print('  %-28s %.4f  [%.4f .. %.4f]' % (variant, *ratio))
    return result


# Start-up

def part_start(place):
    """What a program that does nothing costs, per run."""
    times = 20
    variants = {
        'none': [],
        'preloaded, off': ['env', 'LD_PRELOAD=' + place.library],
        'preloaded, cpu': ['env', 'LD_PRELOAD=' + place.library, 'CPROF=cpu'],
        'none again': [],
        'cprof run': [place.cprof, 'run', '-o', place.out + '/start', '--'],
    }
    cpu, elapsed = Rounds(), Rounds()
    for _, name in in_turn(list(variants), 4 if QUICK else 10):
        out = place.new()
        prefix = variants[name]
        if name == 'cprof run':
            command = [place.program('spend'), '-n', times, out] + prefix + [place.program('nothing')]
        else:
            command = prefix + [place.program('spend'), '-n', times, out, place.program('nothing')]
        run(command, cpu=0)
        with open(out) as f:
            values = [int(word) / times / 1e6 for word in f.read().split()[:2]]
        cpu.add(name, values[0])
        elapsed.add(name, values[1])
    result = {}
    print('\nA program that does nothing, ms a run (ratio to none)')
    print('%-20s%12s%12s%12s%12s' % ('', 'CPU', 'added', 'elapsed', 'added'))
    for name in variants:
        result[name] = {'cpu_ms': cpu.median(name), 'elapsed_ms': elapsed.median(name),
                        'cpu_added_ms': spread([a - b for a, b in zip(cpu.values[name], cpu.values['none'])])[0],
                        'added_ms': spread([a - b for a, b in zip(elapsed.values[name],
                                                                  elapsed.values['none'])])[0],
                        'ratio': elapsed.ratio(name, 'none')}
        of = result[name]
        print('%-20s%12.2f%12.2f%12.2f%12.2f   x %.2f' % (name, of['cpu_ms'], of['cpu_added_ms'], of['elapsed_ms'],
                                                       of['added_ms'], of['ratio'][0]))
    return result


def part_wall(place):
    return wall.part_wall(place, QUICK)


def part_heap(place):
    return heap.part_heap(place, QUICK)


def part_locks(place):
    return locks.part_locks(place, QUICK)


def part_sched(place):
    return sched.part_sched(place, QUICK)


def part_syscalls(place):
    return syscalls.part_syscalls(place, QUICK)


def part_events(place):
    return events.part_events(place, QUICK)


def part_traced(place):
    make_inputs(place.work)
    return traced.part_traced(place, QUICK)


def part_viewer(place):
    return viewer.part_viewer(place, QUICK)


def part_reading(place):
    return reading.part_reading(place, QUICK)


PARTS = {'stacks': part_stacks, 'delivery': part_delivery, 'sample': part_sample,
         'programs': part_programs, 'start': part_start, 'wall': part_wall, 'heap': part_heap, 'locks': part_locks, 'sched': part_sched,
         'syscalls': part_syscalls, 'events': part_events, 'traced': part_traced, 'viewer': part_viewer, 'reading': part_reading}


def main():
    build, programs, results, *wanted = sys.argv[1:]
    known = {}
    if os.path.exists(results):
        with open(results) as f:
            known = json.load(f)
    known.update({'is_quick': QUICK})
    known.setdefault('load', os.getloadavg()[0])
    place = Place(build, programs)
    try:
        for name in wanted or PARTS:
            begun = time.monotonic()
            known[name] = PARTS[name](place)
            print('%s: %.0f s' % (name, time.monotonic() - begun), flush=True)
            known['notes'] = sorted(set(known.get('notes', []) + NOTES))
            with open(results, 'w') as f:
                json.dump(known, f, indent=1)
    except subprocess.CalledProcessError as e:
        print('%s\n%s' % (e, (e.stderr or b'').decode()), file=sys.stderr)
        return 1
    finally:
        place.remove()
    return 0


if __name__ == '__main__':
    sys.exit(main())
