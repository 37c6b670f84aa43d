"""The heap profile beside allocators that sample themselves and beside heaptrack: measured, judged and told."""

import concurrent.futures
import glob
import math
import os
import random
import re
import shutil
import statistics
import subprocess

import samples
from place import library, note, spent
from rounds import Rounds, in_turn, run

EVERY = 512 << 10
HEAP = 'heap=512k'
BASES = ('glibc', 'glibc again')
PAIRS = {'small, 1 thread': ('small', 1, 3000000), 'mixed, 1 thread': ('mixed', 1, 1000000),
         'small, 2 threads': ('small', 2, 3000000), 'mixed, 2 threads': ('mixed', 2, 1000000)}
# megabytes: runs; few samples make each estimate poor, and many runs tell how poor
SIZES = {8: 120, 64: 120, 512: 60}
COLUMNS = ('allocated', 'live')


class Way:
    """How malloc is had: @env of the program, @profile for cprof run, @own: the ways that it is a profiler on top of."""

    def __init__(self, name, own=(), preload=(), profile=None, **env):
        self.name, self.own, self.profile, self.env = name, own, profile, env
        if preload:
            env['LD_PRELOAD'] = ':'.join(preload)

    def before(self, place, more=''):
        """Words to put before a command, and the directory that is written then."""
        if self.profile is None:
            return [], None
        out = place.new()
        return [place.cprof, 'run', '-p', self.profile + more, '-o', out, '--'], out


def has_prof(jemalloc):
    """Is its profiler built in?"""
    env = {**os.environ, 'LD_PRELOAD': jemalloc, 'MALLOC_CONF': 'stats_print:true'}
    return 'config.prof: true' in subprocess.run(['true'], env=env, capture_output=True, text=True).stderr


def ways_here(place):
    jemalloc, tcmalloc = library('libjemalloc.so.2'), library('libtcmalloc.so.4')
    heaptrack = [path for above in ('/usr/lib*', '/usr/lib/*')
                 for path in glob.glob(above + '/heaptrack/libheaptrack_preload.so')]
    ways = [Way('glibc'), Way('cprof off', BASES, [place.library]), Way('cprof', BASES, profile=HEAP)]
    if jemalloc is None:
        note('jemalloc is not installed')
    else:
        ways.append(Way('jemalloc', (), [jemalloc]))
        if has_prof(jemalloc):
            ways.append(Way('jemalloc prof', ['jemalloc'], [jemalloc],
                            MALLOC_CONF='prof:true,lg_prof_sample:%d' % math.log2(EVERY)))
        else:
            note('jemalloc is built without its profiler here')
        ways.append(Way('cprof on jemalloc', ['jemalloc'], [jemalloc], HEAP))
    if tcmalloc is None:
        note('tcmalloc is not installed')
    else:
        ways += [Way('tcmalloc', (), [tcmalloc]),
                 Way('tcmalloc sampling', ['tcmalloc'], [tcmalloc], TCMALLOC_SAMPLE_PARAMETER=str(EVERY)),
                 Way('cprof on tcmalloc', ['tcmalloc'], [tcmalloc], HEAP)]
    if not heaptrack:
        note('heaptrack is not installed')
    else:
        ways.append(Way('heaptrack', BASES, heaptrack[:1], DUMP_HEAPTRACK_OUTPUT='/dev/null'))
    ways.append(Way('glibc again', BASES[:1]))
    return ways


def ratios(values, ways):
    """{way: {median, own: ratio to what it is a profiler on top of, glibc: ratio}}"""
    table = {}
    for way in ways:
        cell = table[way.name] = {'median': values.median(way.name)}
        if way.own:
            cell['own'] = values.ratio(way.name, *way.own)
        if way.name not in BASES:
            cell['glibc'] = values.ratio(way.name, *BASES)
    return table


def show(heading, cells, form):
    print(heading)
    for name, cell in cells.items():
        print('  %-20s' % name + form % cell['median'] + ''.join(
            '%-34s' % ('   x %.3f [%.3f .. %.3f]' % tuple(cell[base]) if base in cell else '')
            for base in ('own', 'glibc')), flush=True)


# A pair of malloc() and free()

def cost_of_pair(place, way, pattern, threads, pairs):
    before, out = way.before(place)
    if way.name == 'heaptrack':
        pairs //= 20
    said = run(before + [place.program('heap'), 'pairs', pattern, threads, pairs], way.env, 0 if threads == 1 else None)
    if out is not None:
        shutil.rmtree(out)
    return float(said.split()[1])


def measure_pairs(place, ways, rounds):
    """{pattern: what ratios() makes}"""
    result = {}
    print('\nCPU ns of a pair of malloc and free; against its own allocator; against glibc (middle half of the rounds)')
    for name, what in PAIRS.items():
        values = Rounds()
        for _, way in in_turn(ways, rounds):
            values.add(way.name, cost_of_pair(place, way, *what))
        result[name] = ratios(values, ways)
        show(name, result[name], '%8.2f ns')
    return result


# Whole programs

def told(*command):
    return run(command).strip() if shutil.which(command[0]) is not None else ''


CPLUSPLUS = '''#include <algorithm>
#include <map>
#include <string>
#include <vector>
template <int N> struct number { static constexpr int value = number<N - 1>::value + N; };
template <> struct number<0> { static constexpr int value = 0; };
template <int N> std::map<std::string, std::vector<int>> fill()
{
	std::map<std::string, std::vector<int>> m;
	auto f = [](int x) { return x + number<N>::value; };
	for (int i = 0; i < N; i++)
		m[std::to_string(f(i))].push_back(i);
	for (auto &p : m)
		std::sort(p.second.begin(), p.second.end(), [](int a, int b) { return a + N < b + N; });
	return m;
}
%s'''


def make_inputs(work):
    """Something to do for each program, some tenths of a second in which it mostly allocates."""
    chance = random.Random(1)
    with open(work + '/heap.py', 'w') as f:
        f.write('import json\n'
                'd = {"k%d" % i: [i, {"a": i * 2, "b": "x" * (i % 50)}] for i in range(5000)}\n'
                'for _ in range(7):\n'
                '    e = json.loads(json.dumps(d))\n'
                '    f = {k[::-1]: v for k, v in e.items()}\n')
    with open(work + '/heap.sql', 'w') as f:
        f.write('create table t(a integer primary key, b integer, c text);\nbegin;\n')
        for i in range(14000):
            f.write("insert into t values(%d, %d, '%s');\n" % (i, chance.randrange(1000), 'x' * chance.randint(5, 60)))
        f.write('commit;\ncreate index i on t(b);\n')
        for i in range(1000):
            f.write('select group_concat(c || a) from t where b = %d;\n' % i)
        f.write('select max(x) from (select s.c || t.c as x from t s join t on s.b = t.b where s.a < 1500 order by x);\n')
    with open(work + '/heap.cpp', 'w') as f:
        f.write(CPLUSPLUS % '\n'.join('template std::map<std::string, std::vector<int>> fill<%d>();' % i for i in range(8)))
    return {
        'python3': ['PYTHONMALLOC=malloc', '/usr/bin/python3', work + '/heap.py'],
        'sqlite3': ['sqlite3', ':memory:', '.read ' + work + '/heap.sql'],
        # not through its driver: heaptrack does not follow children
        'g++': [told('g++', '-print-prog-name=cc1plus'), '-quiet', '-imultiarch', told('g++', '-print-multiarch'),
                '-D_GNU_SOURCE', work + '/heap.cpp', '-o', '/dev/null'],
    }


def measure_programs(place, ways, rounds):
    """{program: what ratios() makes, in seconds}"""
    result = {}
    ways = [way for way in ways if ' on ' not in way.name]
    print('\nCPU time of whole programs; against its own allocator; against glibc (middle half of the rounds)')
    for name, command in make_inputs(place.work).items():
        if shutil.which(name) is None:
            note('%s is not installed' % command[0])
            continue
        values = Rounds()
        for _, way in in_turn(ways, rounds):
            before, out = way.before(place)
            # the last program to start: heaptrack lets go of whatever comes after that
            set_up = ['env'] + ['%s=%s' % item for item in way.env.items()]
            values.add(way.name, spent(place, before, set_up + command)[0])
            if out is not None:
                shutil.rmtree(out)
        result[name] = ratios(values, ways)
        show(name, result[name], '%8.3f s ')
    return result


# How right the estimate is

def unsampled(count, size):
    """Bytes that @count samples of @size in all stand for, as jeprof and pprof make it."""
    return size / (1 - math.exp(-size / count / EVERY)) if count > 0 else 0


def of_text(path, is_ours):
    """{column: bytes} in the text that jemalloc and tcmalloc write: counts, then the addresses, or both on one line."""
    line = re.compile(r'\s*(?:t\*:)?\s*(\d+):\s*(\d+) \[\s*(\d+):\s*(\d+)\] ?(?:@(.*))?$')
    bytes_of, stack = dict.fromkeys(COLUMNS, 0), ''
    with open(path) as f:
        for text in f:
            if text.startswith('@'):
                stack = text[1:]
            match = line.match(text)
            if match is None or not is_ours(int(word, 16) for word in (match.group(5) or stack).split()):
                continue
            numbers = [int(word) for word in match.groups()[:4]]
            bytes_of['live'] += unsampled(*numbers[:2])
            bytes_of['allocated'] += unsampled(*numbers[2:])
    return bytes_of


def of_pprof(path, is_ours):
    """The same in what cprof writes: it has unsampled already."""
    bytes_of = dict.fromkeys(COLUMNS, 0)
    for columns, stack in samples.of_pprof(path)[0]:
        if is_ours(stack):
            bytes_of['allocated'] += columns[1]
            bytes_of['live'] += columns[3]
    return bytes_of


def estimate(place, way, megabytes, seed):
    """({column: error in parts of the truth}, {column: what theory expects of it})"""
    before, out = way.before(place, ',seed=%d' % seed)
    path, env = place.new(), way.env
    if way.name == 'tcmalloc sampling':
        env = {**env, 'LD_PRELOAD': place.program('tcmalloc.so') + ':' + env['LD_PRELOAD']}
    elif way.name == 'jemalloc prof':
        env = {**env, 'MALLOC_CONF': env['MALLOC_CONF'] + ',prof_accum:true'}
    said = {}
    for text in run(before + [place.program('heap'), 'sizes', megabytes, seed, path], env).splitlines():
        word, *values = text.split()
        said[word] = [float(value) for value in values]
    low, high = said.pop('text')

    def is_ours(stack):
        return any(low <= address < high for address in stack)

    if out is not None:
        found = of_pprof(out + '/heap.pb.gz', is_ours)
        shutil.rmtree(out)
    else:
        found = of_text(path, is_ours)
        os.remove(path)
    if way.name == 'tcmalloc sampling':
        del found['allocated']  # it keeps those that live
    truth = 0 if way.name == 'cprof' else 1  # allocators count blocks as large as they make them
    return ({column: found[column] / said[column][truth] - 1 for column in found},
            {column: said[column][2] ** .5 / said[column][0] for column in said})


def measure_errors(place, ways, part):
    """{megabytes: {way or theory: {column: {rms, mean}, runs}}}, and {way: {column: rms in units of theory's}} over all."""
    ways = [way for way in ways if way.name in ('cprof', 'jemalloc prof', 'tcmalloc sampling')]
    if not os.path.exists(place.program('tcmalloc.so')):
        ways = [way for way in ways if way.name != 'tcmalloc sampling']
    jobs = [(way, megabytes, seed + 1) for megabytes, runs in SIZES.items() for seed in range(max(8, int(runs * part)))
            for way in ways]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda job: estimate(place, *job), jobs))
    result, over = {}, {}
    for (way, megabytes, _), (errors, expected) in zip(jobs, found):
        of = result.setdefault(megabytes, {})
        for name, values in ((way.name, errors), ('theory', expected)):
            for column, value in values.items():
                of.setdefault(name, {}).setdefault(column, []).append(value)
        for column, value in errors.items():
            over.setdefault(way.name, {}).setdefault(column, []).append(value / expected[column])
    print('\nError of the estimate, percent of the bytes: root mean square (mean)')
    print('%-20s' % '' + ''.join('%22s' % ('%d MB %s' % (megabytes, column)) for megabytes in result for column in COLUMNS))
    for megabytes, of in result.items():
        for name, columns in of.items():
            of[name] = {column: {'rms': statistics.fmean(value * value for value in values) ** .5,
                                 'mean': statistics.fmean(values), 'runs': len(values)}
                        for column, values in columns.items()}
    for name in [way.name for way in ways] + ['theory']:
        print('%-20s' % name + ''.join('%22s' % error_text(of[name].get(column), name)
                                       for of in result.values() for column in COLUMNS))
    over = {name: {column: {'rms': statistics.fmean(value * value for value in values) ** .5, 'runs': len(values)}
                   for column, values in of.items()} for name, of in over.items()}
    for name, of in over.items():
        print('%-20s against theory over all: %s' % (name, ', '.join(
            '%s %.3f' % (column, cell['rms']) for column, cell in of.items())))
    return {'sizes': result, 'over': over}


def error_text(cell, name):
    if cell is None:
        return '-'
    return '%.1f %%' % (100 * cell['rms']) + (' (%+.1f)' % (100 * cell['mean']) if name != 'theory' else '')


def part_heap(place, is_quick):
    ways = ways_here(place)
    return {'pairs': measure_pairs(place, ways, 5 if is_quick else 11),
            'programs': measure_programs(place, ways, 3 if is_quick else 9),
            'errors': measure_errors(place, ways, 0.1 if is_quick else 1)}


# What is made of it

def beside(of, *names):
    return ', '.join('%s %.2f' % (name, of[name]['own'][0]) for name in names if name in of)


def heap_targets(r, target):
    """Yields target(work, measured, limit, peer, digits, chance=...) for each promise."""
    for name, of in r['heap']['pairs'].items():
        chance = abs(of['glibc again']['own'][0] - 1) / 2
        yield target('malloc pair, preloaded, off: ' + name, of['cprof off']['own'][0], 1.05,
                     'glibc again %.3f' % of['glibc again']['own'][0], 3, chance=chance)
        if name.startswith('mixed'):
            yield target('malloc pair, heap 512 KiB: ' + name, of['cprof']['own'][0], 1.05,
                         beside(of, 'jemalloc prof', 'tcmalloc sampling', 'heaptrack', 'glibc again'), 3, chance=chance)
    for name, of in r['heap']['programs'].items():
        yield target('%s, CPU with heap 512 KiB' % name, of['cprof']['own'][0], 1.02,
                     beside(of, 'jemalloc prof', 'tcmalloc sampling', 'heaptrack', 'glibc again'), 3,
                     chance=abs(of['glibc again']['own'][0] - 1) / 2)
    over = r['heap']['errors']['over']
    for column in COLUMNS:
        if column not in over.get('jemalloc prof', {}):
            continue
        ours, peer = over['cprof'][column], over['jemalloc prof'][column]
        # the standard error of a root mean square of n is one part in the root of 2n, and here are two of them
        yield target("error of %s bytes, to jemalloc's" % column, ours['rms'] / peer['rms'], 1,
                     'to theory: cprof %.2f, jemalloc %.2f' % (ours['rms'], peer['rms']), chance=ours['runs'] ** -.5)


def ratio_text(cell, base):
    return '%.3f (%.3f to %.3f)' % tuple(cell[base]) if base in cell else '-'


def page_heap(r, table):
    yield '## Heap\n'
    yield ('`cprof`, `jemalloc prof` and `tcmalloc sampling` take a sample each 512 KiB on average; `heaptrack` records every '
           'call, to /dev/null. First the ratio to the allocator that a profiler stands on, then to glibc; median of the '
           'rounds and their middle half. `glibc` is the mean of both times that it takes part in a round.\n')
    yield ('A pair of `malloc` and `free`. small: 32 bytes, freed at once; mixed: one of 8192 live blocks of 16 to 4095 '
           'bytes is replaced.\n')
    for what, unit, digits in (('pairs', 'ns', 1), ('programs', 's', 3)):
        if what == 'programs':
            yield ('User and system CPU time of programs that mostly allocate: python3 with `PYTHONMALLOC=malloc` writing '
                   'and reading JSON, sqlite3 in memory, g++ with templates. Without the launcher.\n')
        for name, of in r['heap'][what].items():
            yield table([name, 'median', 'to its own', 'to glibc'],
                        [[way, '%.*f %s' % (digits, cell['median'], unit), ratio_text(cell, 'own'),
                          ratio_text(cell, 'glibc')] for way, cell in of.items()])
    yield ('Error of the bytes that the profile tells, root mean square of all runs (mean): blocks of 16 bytes to 64 KiB, as '
           'many of each size as of its double, a random half freed. jemalloc and tcmalloc are held against the sizes that '
           'they round up to; tcmalloc knows of live blocks only, and samples none of the first 16 MB. Theory: what samples '
           'tell whose gaps are distributed exponentially.\n')
    sizes = r['heap']['errors']['sizes']
    names = list(dict.fromkeys(name for of in sizes.values() for name in of if name != 'theory')) + ['theory']
    yield table([''] + ['%s MB %s' % (megabytes, column) for megabytes in sizes for column in COLUMNS],
                [[name] + [error_text(of[name].get(column), name) for of in sizes.values() for column in COLUMNS]
                 for name in names])


def heap_groups(r, what):
    """(heading, target, [(label, percent above its own allocator, is ours)]) for the picture."""
    for name, of in r['heap'][what].items():
        limit = 2 if what == 'programs' else 5 if name.startswith('mixed') else None
        yield name, limit, [(way if way != 'glibc again' else 'glibc again (noise)', 100 * (cell['own'][0] - 1),
                             way.startswith('cprof')) for way, cell in of.items() if 'own' in cell]


def error_groups(r):
    for megabytes, of in r['heap']['errors']['sizes'].items():
        for column in COLUMNS:
            yield '%s MB, %s' % (megabytes, column), None, [
                (way, 100 * cell[column]['rms'], way == 'cprof') for way, cell in of.items() if column in cell]
