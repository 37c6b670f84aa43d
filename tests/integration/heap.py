#!/usr/bin/env python3
"""
Who allocates, who keeps: the profile "heap" beside what programs know of themselves that count their own allocations.

With heap=1 each allocation is a sample, and all four numbers of each function are exact. Otherwise an object of s bytes is
sampled with the probability p = 1 - exp(-s / R), and stands for 1 / p of its kind. So what is said of n such objects has a
standard deviation of sqrt(n * (1 - p) / p) objects; deviation() adds that up over the sizes of a site.
"""

import concurrent.futures
import gzip
import json
import math
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

import tap
import trace_file
from cprof import Box, CPROF, LIBRARY, program, wait_for
from pprof import Profile, message

COLUMNS = ['alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space']
UNITS = ['count', 'bytes', 'count', 'bytes']
PPROF = shutil.which('go')
# Large allocations that fail are reported by address there.
QUIET = {'TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD': str(1 << 62)}
# What they promise less than C and C++ do: some of its blocks are not aligned, and its operator new ends the program.
LOOSE = ['mimalloc']


def heap(directory, *below):
    return Profile.read(os.path.join(directory, *below, 'heap.pb.gz'))


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def truths(out):
    return [json.loads(line) for line in out.splitlines() if line.startswith('{')]


def spoken(out):
    """What a program says that is no truth, which depends on time and addresses."""
    return [line for line in out.splitlines() if not line.startswith('{')]


# It is not these that call the allocator, but a library's function for them, or a template's.
BY_LIBRARY = {'by_strdup', 'vector_grows', 'string_grows', 'map_grows', 'shared_is_made'}


def caller(names):
    """Who called the allocator."""
    return next((name for name in names if not name.startswith('operator new')), '')


def of_function(profile, name):
    """The four numbers of all that @name allocated."""
    found = [s.values for s in profile.samples if caller(s.names) == name or name in BY_LIBRARY and name in s.names]
    return [sum(values[i] for values in found) for i in range(4)]


def lost(r):
    return int(r.closing.group(2).replace(',', ''))


def in_parallel(box, jobs, at_once=2):
    """Each of @jobs, keyword arguments of box.run() with argv, by its key; in an order that does not depend on chance."""
    def one(item):
        key, (argv, keywords) = item
        return key, box.run(*argv, output=os.path.join(box.root, 'out-' + re.sub(r'\W+', '-', key)), **keywords)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return dict(pool.map(one, jobs.items()))


def pprof(*argv):
    done = subprocess.run(['go', 'tool', 'pprof'] + list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                          env=dict(os.environ, HOME=os.environ.get('HOME') or '/tmp', PPROF_BINARY_PATH='/nonexistent'))
    out = done.stdout.decode('utf-8', 'replace')
    return done.returncode, out, done.stderr.decode('utf-8', 'replace')


def check_same(about, plain, r):
    """The program does under cprof what it does by itself."""
    return tap.ok((r.status, spoken(r.out), r.own_err, r.closing is not None) == (plain.status, spoken(plain.out), plain.err, True),
                  about + ': the same output and status', 'by itself:\n%s\nunder cprof:\n%s' % (plain.show(), r.show()))


def check_header(about, path, period, default=''):
    with open(path, 'rb') as file:
        top = message(gzip.decompress(file.read()))
    strings = [s.decode() for s in top[6]]
    profile = Profile.read(path)
    period_type = message(top[11][-1])
    tap.equal(profile.types, list(zip(COLUMNS, UNITS)), about + ': columns')
    tap.equal((strings[period_type[1][0]], strings[period_type[2][0]], profile.period), ('space', 'bytes', period),
              about + ': period')
    tap.equal(strings[top.get(14, [0])[-1]], default, about + ': default column')
    tap.ok(abs(profile.time_ns / 1e9 - time.time()) < 600, about + ': the time it was made')
    return profile


def check_counts(about, profile, truth, may_miss=(), missing=0):
    """
    The four numbers of each function. Of those in @may_miss, @missing allocations in all may not have been recorded, which the
    profile has to say.
    """
    wrong, missed = [], 0
    for function, wanted in truth.items():
        got = of_function(profile, function)
        if function in may_miss:
            missed += wanted[0] - got[0]
            if any(g > w for g, w in zip(got, wanted)) or min(got) < 0:
                wrong.append('%s: got %s, at most %s' % (function, got, wanted))
        elif function == 'new_no_size':  # a byte each, with most libraries
            if got[::2] != wanted[::2] or got[1] not in (0, got[0]) or got[3] not in (0, got[2]):
                wrong.append('%s: got %s, wanted %s' % (function, got, wanted))
        elif got != wanted:
            wrong.append('%s: got %s, wanted %s' % (function, got, wanted))
    if may_miss:
        tap.ok(missed <= missing, about + ': what is not recorded is counted as lost (%d)' % missing,
               '%d are missing, %d were counted' % (missed, missing))
    return tap.ok(wrong == [], about + ': all four numbers of %d functions' % sum(w[0] > 0 for w in truth.values()),
                  '\n'.join(wrong))


def check_leaves(about, profile, truth):
    """The function that called the allocator is the leaf, with its file and line, whatever stands between the two."""
    mine = [s for s in profile.samples if caller(s.names) in truth]
    wrong = {tuple(s.names[:3]) for s in mine if s.names[0] not in truth}
    tap.equal(sorted(wrong)[:6], [], about + ': the leaf is who called the allocator')
    lines = {s.names[0]: s.frames[0][1][0][1:] for s in mine if s.names[0] in truth}
    unlined = {name for name, (file, line) in lines.items() if not re.search(r'heap\w*\.(c|cc|h)$', file) or line <= 0}
    tap.equal(unlined, set(), about + ': with file and line')
    # in the format a number that is 0 is none
    labels = [s for s in mine if s.labels.get('bytes', 0) != s.values[1] // max(1, s.values[0])]
    tap.ok(labels == [], about + ': label bytes', str([(s.labels, s.values) for s in labels[:4]]))


def check_exact(about, plain, r):
    if not check_same(about, plain, r):
        return None
    tap.equal(lost(r), 0, about + ': none lost')
    profile = check_header(about, os.path.join(r.directory, 'heap.pb.gz'), 1)
    check_counts(about, profile, r.truth)
    check_leaves(about, profile, r.truth)
    return profile


FEW = 20000


def check_few(about, plain, r):
    """
    Where some are sampled and most are not, each entry point meets blocks of both kinds. What is said of n bytes has a variance of
    R * n at most.
    """
    if not check_same(about, plain, r):
        return
    tap.equal(lost(r), 0, about + ': none lost')
    profile, wrong = heap(r.directory), []
    for function, wanted in r.truth.items():
        got = of_function(profile, function)
        for i in (1, 3):
            if function != 'new_no_size' and abs(got[i] - wanted[i]) > 6 * math.sqrt(FEW * max(wanted[i], FEW)):
                wrong.append('%s, %s: got %d, wanted %d' % (function, COLUMNS[i], got[i], wanted[i]))
    tap.equal(wrong, [], about + ': bytes, as far as chance goes')


def is_built(name):
    if program(name) == name:
        tap.skip(name, 'not built here')
        return False
    return True


EXACT = [('heap', 'exact'), ('heap_fp', 'exact'), ('heap_cxx', 'exact'), ('heap_cxx', 'edges'), ('heap_cxx_fp', 'exact'),
         ('heap_cxx_static', 'exact'), ('heap_cxx_static', 'edges'), ('heap_cxx_own', 'exact'), ('heap_cxx_own', 'edges')]


def exact():
    box = Box()
    argvs = [argv for argv in EXACT if is_built(argv[0])]
    for about, r in in_parallel(box, {' '.join(argv): (argv, {'spec': 'heap=1'}) for argv in argvs}).items():
        profile = check_exact(about, box.plain(*about.split()), r)
        if profile is None:
            continue
        # an operator that throws allocates the exception, too
        between = {s.names[0] for s in profile.samples if s.names[0].startswith(('operator new', 'watched_', 'heap_'))}
        tap.equal(between, set(), about + ': no frame of what stands between')
        tap.ok(all(any(s.names) for s in profile.samples), about + ': every sample has a stack')
    jobs = {' '.join(argv): (argv, {'spec': 'heap=%d,seed=5' % FEW}) for argv in argvs}
    for about, r in in_parallel(box, {key + ', few': job for key, job in jobs.items()}).items():
        check_few(about, box.plain(*about.split(',')[0].split()), r)
    tap.equal(box.leftovers(), [], 'exact: nothing left behind')
    box.close()


def nothing_but_heap_has_jemallocs():
    """Programs ask whether there is a mallocx() to find out whether they run on jemalloc."""
    box = Box()
    plain = box.plain('heap_mallocx')
    for spec in ('heap=1', 'cpu'):
        r = box.run('heap_mallocx', spec=spec)
        tap.equal((r.status, r.out), (plain.status, plain.out), 'without jemalloc, %s: no mallocx()' % spec)
    box.close()


# (least, greatest size, number, kept) of a site, uniformly distributed: as in tests/programs/heap.c.
RATE = 512 << 10
SITES = {
    'site_mixed': (16, 4096, 2400000, 1 / 64),
    'site_32k': (32768, 32768, 136000, 1 / 2),
    'site_1m': (1 << 20, 1 << 20, 2048, 3 / 4),
    'site_4m': (4 << 20, 4 << 20, 256, 1 / 2),
}
# These may be off by five in a hundred, their mean by one.
TIGHT = [('site_mixed', 1), ('site_32k', 0), ('site_32k', 1), ('site_1m', 0), ('site_1m', 1), ('site_1m', 2), ('site_1m', 3),
         ('site_4m', 0), ('site_4m', 1), ('site_4m', 2), ('site_4m', 3)]
SEEDS = 20


def deviation(site, column):
    """The standard deviation of what is said of a column, as a part of it."""
    least, most, n, kept = SITES[site]
    sizes = range(least, most + 1)
    n *= kept if column >= 2 else 1
    power = column % 2
    odds = [(s, math.exp(-s / RATE) / -math.expm1(-s / RATE)) for s in sizes]
    variance = n * sum(s ** (2 * power) * odd for s, odd in odds) / len(sizes)
    return math.sqrt(variance) / (n * sum(s ** power for s in sizes) / len(sizes))


def sampled():
    box = Box()
    jobs = {'seed %d' % seed: (('heap', 'sites', 1), {'spec': 'heap=512k,seed=%d' % seed}) for seed in range(1, SEEDS + 1)}
    jobs['again'] = jobs['seed 1']
    jobs['no seed'] = (('heap', 'sites', 1), {'spec': 'heap'})
    runs = in_parallel(box, jobs)
    truth = {site: runs['seed 1'].truth[site] for site in SITES}
    tap.note('%.1f GB in all' % (sum(values[1] for values in truth.values()) / 1e9))
    found = {}
    for key, r in runs.items():
        if not tap.ok((r.status, r.own_err, r.closing is not None) == (0, '', True), key + ': runs', r.show()):
            box.close()
            return
        profile = heap(r.directory)
        found[key] = {site: of_function(profile, site) for site in SITES}
        tap.equal(lost(r), 0, key + ': none lost')
    profile = check_header('512k', os.path.join(runs['no seed'].directory, 'heap.pb.gz'), RATE)
    sizes = [s for s in profile.samples if 'site_1m' in s.names]
    tap.equal({s.labels.get('bytes') for s in sizes}, {1 << 20}, 'label bytes is the size of a block')
    tap.ok(found['again'] == found['seed 1'], 'the same seed: the same samples', '%s\n%s' % (found['again'], found['seed 1']))
    tap.ok(len({json.dumps(f) for f in found.values()}) == SEEDS + 1, 'another seed: other samples')
    for site, wanted in truth.items():
        for column, name in enumerate(COLUMNS):
            sigma = deviation(site, column)
            errors = [found['seed %d' % seed][site][column] / wanted[column] - 1 for seed in range(1, SEEDS + 1)]
            is_tight = (site, column) in TIGHT
            about = '%s, %s' % (site, name)
            if is_tight:
                tap.ok(4 * sigma <= 0.05 and 4 * sigma / SEEDS ** 0.5 <= 0.0105, about + ': its limits are 4 deviations and more',
                       'one is %.5f' % sigma)
            limit = 0.05 if is_tight else 4.5 * sigma
            limit_of_mean = 0.01 if is_tight else 4.5 * sigma / SEEDS ** 0.5
            worst, mean = max(errors, key=abs), statistics.mean(errors)
            tap.ok(abs(worst) <= limit, '%s: off by %+.2f %% at most, may be by %.2f' % (about, 100 * worst, 100 * limit))
            tap.ok(abs(mean) <= limit_of_mean,
                   '%s: by %+.3f %% on average, may be by %.3f' % (about, 100 * mean, 100 * limit_of_mean))
            if sigma > 0.002:  # else it is the cut to whole objects that one sees
                # chi-square of 20: out of these limits once in 20,000 times
                spread = math.sqrt(sum(e * e for e in errors) / SEEDS) / sigma
                tap.between(spread, 0.45, 1.65, about + ': spread over what chance makes')
    tap.equal(box.leftovers(), [], 'sampled: nothing left behind')
    box.close()


# mode: functions that may miss some
EDGES = {
    'constructors': (),
    'handler': (),
    'smallstack': ('in_handler',),
    'hook': ('in_handler', 'in_loop_pool'),
    'allocator': ('in_loop_pool',),
    'jump': (),
    'jumphook': ('in_loop_pool',),
    'libraries': (),
    'keys': (),
    'exits': (),
    'fork': (),
    'runs': (),
    'clone': (),
    'deep': (),
}
CHILDREN = {'fork': 'in_child', 'runs': 'in_leaf'}


def check_edge(about, mode, plain, r):
    if not check_same(about, plain, r):
        return
    truth, may_miss = r.truth, EDGES[mode]
    in_children = CHILDREN.get(mode)
    wanted = truth.pop(in_children, None)
    profile = heap(r.directory)
    if not may_miss:
        tap.equal(lost(r), 0, about + ': none lost')
    if mode == 'jumphook':  # what is left by longjmp() was made or not: the program does not know
        truth['in_loop_pool'][0] += 100
    check_counts(about, profile, truth, may_miss, lost(r) + (200 if mode == 'jumphook' else 0))
    tap.ok(all(min(s.values) >= 0 for s in profile.samples), about + ': nothing is negative')
    if in_children is None:
        return
    tap.equal(of_function(profile, in_children)[0], 0, about + ': none of the children\'s in the parent')
    profiles = [heap(r.directory, c) for c in r.children() if os.path.exists(os.path.join(r.directory, c, 'heap.pb.gz'))]
    sums = [sum(column) for column in zip(*(of_function(p, in_children) for p in profiles))]
    tap.equal(sums, wanted, about + ': all four numbers of %d children' % len(profiles))
    foreign = {n for p in profiles for s in p.samples for n in s.names if n.startswith('in_parent') or n == 'forks' and
               'in_child' not in s.names}
    tap.equal(foreign, set(), about + ': none of the parent\'s in a child')


def edges():
    box = Box()
    jobs = {mode: (('heap_edges', mode), {'spec': 'heap=1'}) for mode in EDGES}
    for mode, r in in_parallel(box, jobs).items():
        check_edge(mode, mode, box.plain('heap_edges', mode), r)
    tap.equal(box.leftovers(), [], 'edges: nothing left behind')
    box.close()


def edges_sampled():
    """The same where few are sampled: it runs, and nothing is left that was given back."""
    box = Box()
    jobs = {mode: (('heap_edges', mode), {'spec': 'cpu=1000,wall,heap=2k'}) for mode in EDGES}
    for mode, r in in_parallel(box, jobs).items():
        check_same(mode + ' with cpu and wall', box.plain('heap_edges', mode), r)
        profiles = [heap(r.directory, *below) for below in [[]] + [[c] for c in r.children()]
                    if os.path.exists(os.path.join(r.directory, *below, 'heap.pb.gz'))]
        bad = [(s.names[:2], s.values) for p in profiles for s in p.samples
               if min(s.values) < 0 or s.values[2] > s.values[0] or s.values[3] > s.values[1]]
        tap.equal(bad[:6], [], mode + ' with cpu and wall: no more in use than was allocated')
    box.close()


ALLOCATORS = {'jemalloc': ['libjemalloc.so.2'], 'tcmalloc': ['libtcmalloc.so.4'], 'tcmalloc_minimal': ['libtcmalloc_minimal.so.4'],
              'mimalloc': ['libmimalloc.so.2', 'libmimalloc.so.2.0']}


def preload_of(box, allocator):
    """The name under which the loader finds it here; None: it does not."""
    for name in ALLOCATORS[allocator]:
        if box.plain('true', env={'LD_PRELOAD': name}).err == '':
            return name
    return None


def allocator(which):
    """All programs on another allocator, preloaded beside us: cprof comes before it, and its functions are the ones that are called."""
    def test():
        box = Box()
        name = preload_of(box, which)
        if name is None:
            tap.skip(which, 'there is no %s here' % ALLOCATORS[which][0])
            return
        env = dict(QUIET, LD_PRELOAD=name)
        loose = ['loose'] if which in LOOSE else []
        argvs = [list(argv) + (loose if argv[1] == 'exact' else []) for argv in EXACT
                 if argv[0] in ('heap', 'heap_cxx', 'heap_cxx_own') and is_built(argv[0])]
        argvs += [['heap_edges', mode] for mode in EDGES]
        jobs = {' '.join(argv): (argv, {'spec': 'heap=1', 'env': env}) for argv in argvs}
        for key, r in in_parallel(box, jobs).items():
            argv, about = key.split(), '%s: %s' % (which, key)
            plain = box.plain(*argv, env=env)
            if plain.status not in (0, 5) or 'allocator' in argv and plain.err:
                tap.skip(about, 'it fails without cprof, with status %d' % plain.status)
            elif argv[0] == 'heap_edges':
                check_edge(about, argv[1], plain, r)
            else:
                check_exact(about, plain, r)
        jobs = {' '.join(argv) + ', few': (argv, {'spec': 'heap=%d,seed=5' % FEW, 'env': env}) for argv in argvs
                if argv[0] != 'heap_edges'}
        for key, r in in_parallel(box, jobs).items():
            check_few('%s: %s' % (which, key), box.plain(*key.split(',')[0].split(), env=env), r)
        if which == 'jemalloc':
            r = box.run('heap_mallocx', spec='heap=1', env=env)
            check_exact('jemalloc: heap_mallocx', box.plain('heap_mallocx', env=env), r)
            r = box.run('heap_mallocx', spec='heap=%d,seed=5' % FEW, env=env)
            check_few('jemalloc: heap_mallocx, few', box.plain('heap_mallocx', env=env), r)
        tap.equal(box.leftovers(), [], which + ': nothing left behind')
        box.close()
    test.__name__ = which
    return test


def jemalloc_linked():
    box = Box()
    argvs = [('heap_jemalloc', 'exact'), ('heap_cxx_jemalloc', 'exact'), ('heap_cxx_jemalloc', 'edges'),
             ('heap_mallocx_jemalloc',)] + [('heap_edges_jemalloc', mode) for mode in EDGES]
    argvs = [argv for argv in argvs if program(argv[0]) != argv[0]]
    if not argvs:
        tap.skip('jemalloc, linked', 'not built here: configured without jemalloc')
        return
    jobs = {' '.join(argv): (argv, {'spec': 'heap=1'}) for argv in argvs}
    for about, r in in_parallel(box, jobs).items():
        argv = about.split()
        if argv[0] == 'heap_edges_jemalloc':
            check_edge(about, argv[1], box.plain(*argv), r)
        else:
            check_exact(about, box.plain(*argv), r)
    box.close()


def check_grown(about, r, status, slack=(0, 0)):
    """@slack: objects and bytes that may have come after the program last spoke."""
    if not tap.ok(r.status == status and r.own_err.strip() in ('', 'Killed') and r.closing is not None, about + ': its status',
                  r.show()[-1500:]):
        return
    path = os.path.join(r.directory, 'heap.pb.gz')
    if not tap.ok(os.path.exists(path), about + ': there is a profile'):
        return
    wanted = r.truth['grow_here']
    got = of_function(heap(r.directory), 'grow_here')
    tap.ok(all(w <= g <= w + slack[i % 2] for i, (g, w) in enumerate(zip(got, wanted))), about + ': what it held at the end, %d MB' %
           (wanted[3] >> 20), 'got %s, wanted %s' % (got, wanted))
    if PPROF is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    status, out, err = pprof('-top', path)
    lines = out.splitlines()
    header = [i for i, line in enumerate(lines) if line.split()[:2] == ['flat', 'flat%']]
    tap.ok(status == 0 and header and lines[header[0] + 1].split()[-1] == 'grow_here', about + ': pprof -top has it on top', out + err)


ENDS = {'exit': 3, '_exit': 7, 'abort': -signal.SIGABRT, 'kill': -signal.SIGKILL, 'term': -signal.SIGTERM}


def endings():
    box = Box()
    for how, status in ENDS.items():
        check_grown(how, box.run('heap', 'grow', 64, how, spec='heap=1', before=no_core), status)
    # 64 MB of 128 samples, if they are small; in blocks of a megabyte, which are nearly all sampled, 4 deviations are 20 %
    r = box.run('heap', 'grow', 64, 'kill', 1024, spec='heap', before=no_core)
    got, wanted = of_function(heap(r.directory), 'grow_here')[3], r.truth['grow_here'][3]
    tap.between(got / wanted, 0.8, 1.2, 'kill, 512k: what it held')
    tap.equal(box.leftovers(), [], 'endings: nothing left behind')
    box.close()


def without_a_launcher():
    """A process that writes its own file when it ends: what that takes is not in it."""
    box = Box()
    for argv, status in ((('heap', 'exact'), 0), (('heap_edges', 'exits'), 5), (('heap_cxx', 'edges'), 0)):
        where = os.path.join(box.root, argv[0])
        about = 'preloaded by hand: ' + ' '.join(argv)
        r = box.plain(*argv, env={'LD_PRELOAD': LIBRARY, 'CPROF': 'heap=1,out=' + where})
        if not tap.equal((r.status, r.err), (status, ''), about + ': status and stderr'):
            continue
        profile, truth = heap(where), r.truth
        # it is written while the program's last functions run, before them or after
        late = {'at_exit', 'on_exit_too', 'in_destructor', 'in_static_object', 'in_static_end'}
        check_counts(about, profile, {name: values for name, values in truth.items() if name not in late})
        ours = {n for s in profile.samples for n in s.names if re.match(r'(pprof|output|symbols|gzip|perftools__|dwfl?)_', n)}
        tap.equal(ours, set(), about + ': nothing of cprof\'s own')
    tap.equal(box.leftovers(), [], 'preloaded by hand: nothing left behind')
    box.close()


def no_more_address_space():
    """Under a limit that is there from the start, malloc() fails in the end, and the program aborts."""
    box = Box()
    limit = 'ulimit -v %d && exec "$@"' % (700 << 10)
    argv = ['sh', '-c', limit, 'sh', program('heap'), 'grow', 0, 'limit', 256]
    plain = box.plain(*argv, before=no_core)
    tap.equal(plain.status, -signal.SIGABRT, 'ulimit -v: ends by itself')
    for spec in ('heap=1', 'heap', 'cpu,wall,heap=1'):
        r = box.run(*argv, spec=spec, before=no_core)
        about = 'ulimit -v, ' + spec
        if spec != 'heap':
            check_grown(about, r, plain.status)
        elif tap.equal((r.status, r.own_err), (plain.status, plain.err), about + ': its status'):
            got, wanted = of_function(heap(r.directory), 'grow_here')[3], r.truth['grow_here'][3]
            tap.between(got / wanted, 0.8, 1.2, about + ': what it held')
        # what the program got for itself, beside what it would have had alone
        part = r.truth['grow_here'][3] / plain.truth['grow_here'][3]
        tap.between(part, 0.7, 1.0, about + ': it leaves the program room')
    # less than the segment would like to have
    limit = 'ulimit -v %d && exec "$@"' % (60 << 10)
    argv = ['sh', '-c', limit, 'sh', program('heap'), 'grow', 8, 'exit', 64]
    r = box.run(*argv, spec='heap=1', before=no_core)
    tap.ok(r.status == box.plain(*argv).status, 'ulimit -v of 60 MB: the program does not notice', r.show())
    box.close()


def memory_cgroup():
    """A directory of a memory cgroup of 64 MB, and its file of processes; or the reason why there is none."""
    for top, name, limit in (('/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 64 << 20), ('/sys/fs/cgroup', 'memory.max', 64 << 20)):
        path = os.path.join(top, 'cprof-test-%d' % os.getpid())
        try:
            if name == 'memory.max':
                with open(os.path.join(top, 'cgroup.subtree_control'), 'w') as f:
                    f.write('+memory')
            os.mkdir(path)
        except OSError as e:
            reason = '%s: %s' % (top, e.strerror)
            continue
        try:
            with open(os.path.join(path, name), 'w') as f:
                f.write(str(limit))
            for swap, value in (('memory.swap.max', '0'), ('memory.memsw.limit_in_bytes', str(limit))):
                if os.path.exists(os.path.join(path, swap)):
                    with open(os.path.join(path, swap), 'w') as f:
                        f.write(value)
            return path, ''
        except OSError as e:
            reason = '%s: %s' % (path, e.strerror)
            os.rmdir(path)
    return None, reason


def out_of_memory():
    """The kernel ends it, in the middle of anything."""
    box = Box()
    group, reason = memory_cgroup()
    if group is None:
        tap.skip('out of memory', 'no memory cgroup can be made: ' + reason)
        return
    try:
        procs = os.path.join(group, 'cgroup.procs')

        def join():
            no_core()
            with open(procs, 'w') as f:
                f.write(str(os.getpid()))

        inside = ['sh', '-c', 'echo $$ > %s && exec "$@"' % procs, 'sh', program('heap'), 'grow', 0, 'touch', 16]
        plain = box.plain(*inside, before=no_core)
        if plain.status != -signal.SIGKILL:
            tap.skip('out of memory', 'the kernel does not end a program that has no more here: status %d' % plain.status)
            return
        slack = (65, 65 << 14)  # a megabyte, and the one that it was about to say
        check_grown('out of memory', box.run(*inside, spec='heap=1', before=no_core), -signal.SIGKILL, slack)
        check_grown('out of memory, cpu and wall, too', box.run(*inside, spec='cpu,wall,heap=1', before=no_core), -signal.SIGKILL, slack)
        # as in a container, the launcher is in there, too
        r = box.run('heap', 'grow', 0, 'touch', 16, spec='heap=1', before=join)
        check_grown('out of memory, launcher too', r, -signal.SIGKILL, slack)
        tap.equal(box.leftovers(), [], 'out of memory: nothing left behind')
    finally:
        wait_for(lambda: open(procs).read() == '')
        os.rmdir(group)
        box.close()


PYTHON = '''
import re, json
words = {}
for i in range(60000):
    words[str(i * 7919 % 10007)] = words.get(str(i % 5000), "") + str(i)[-2:]
print(len(json.dumps(words, sort_keys=True)), len(words))
'''
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i+1 from n where i<100000) "
       "insert into t select i*7919%100003, 'text '||i from n; create index x on t(a); "
       "select count(*), sum(a), max(b) from t where a between 100 and 90000; "
       "select a%10, count(*) from t group by 1 order by 1;")
PROGRAM_C = ''.join('int f%d(int x) { int s = 0; for (int i = 0; i < x; i++) { s += i * %d; s ^= x << (i & 7); } return s; }\n' % (i, i)
                    for i in range(300))
PROGRAM_CXX = '''
#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <variant>
#include <vector>
template <int N> struct fold { static auto at(std::vector<std::variant<int, std::string>> v) {
	std::map<std::string, decltype(v)> m; m[std::to_string(N)] = v;
	std::sort(v.begin(), v.end()); return fold<N - 1>::at(m.begin()->second); } };
template <> struct fold<0> { static auto at(std::vector<std::variant<int, std::string>> v) { return v.size(); } };
int main() { return (int)fold<40>::at({1, "2"}) + std::regex_match("a", std::regex("[a-z]")); }
'''


def real_programs_of(box):
    path = lambda name: os.path.join(box.cwd, name)
    for name, text in (('program.c', PROGRAM_C), ('program.cc', PROGRAM_CXX)):
        with open(path(name), 'w') as f:
            f.write(text)
    return [
        ('python3', ['/usr/bin/python3', '-c', PYTHON], {'PYTHONMALLOC': 'malloc', 'PYTHONHASHSEED': '1'}),
        ('sqlite3', ['sqlite3', ':memory:', SQL], {}),
        ('gcc', ['gcc', '-O1', '-S', '-o', '-', path('program.c')], {}),
        ('g++', ['g++', '-std=c++17', '-O1', '-S', '-o', '-', path('program.cc')], {}),
        ('sort', ['sort', '--parallel=2', '-k2', path('program.c'), path('program.cc')], {'LC_ALL': 'C'}),
    ]


def look(about, path):
    """All four columns, as we and go tool pprof show them."""
    profile = check_header(about, path, RATE)
    top = {}
    for s in profile.samples:
        top[s.names[0]] = top.get(s.names[0], 0) + s.values[1]
    tap.note('%s: %s' % (about, ', '.join('%s %d' % (n, v) for n, v in sorted(top.items(), key=lambda kv: -kv[1])[:4])))
    tap.ok(all(s.values[0] >= s.values[2] >= 0 and s.values[1] >= s.values[3] >= 0 for s in profile.samples),
           about + ': no more in use than was allocated')
    between = {s.names[0] for s in profile.samples if s.names[0].startswith(('operator new', 'watched_', 'heap_'))}
    tap.equal(between, set(), about + ': no frame of what stands between')
    tap.between(profile.truncated(), 0, max(0.01, 2 / max(1, len(profile.samples))), about + ': stacks cut')
    check = subprocess.run([CPROF, 'check', path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.ok(check.returncode == 0, about + ': cprof check', check.stdout.decode()[:500])
    if PPROF is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    compare_tops(about, path)


def compare_tops(about, path):
    for column in COLUMNS:
        ours = subprocess.run([CPROF, 'top', '-sample_index=' + column, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        status, out, err = pprof('-top', '-sample_index=' + column, path)
        tap.ok((ours.returncode, ours.stdout.decode('utf-8', 'replace')) == (status, out) and status == 0 and 'Type: ' + column in out,
               '%s: cprof top -sample_index=%s is pprof\'s' % (about, column),
               'ours:\n%s\n%s\ntheirs:\n%s\n%s' % (ours.stdout.decode()[:1500], ours.stderr.decode()[:300], out[:1500], err[:300]))


def real():
    box = Box()
    for about, argv, env in real_programs_of(box):
        if shutil.which(argv[0]) is None:
            tap.skip(about, 'not installed')
            continue
        plain, r = box.plain(*argv, env=env), box.run(*argv, spec='heap', env=env)
        if not tap.ok((r.status, r.out == plain.out, r.own_err) == (plain.status, True, plain.err),
                      about + ': the same output and status', r.show()[:1500]):
            continue
        # a compiler's work is done by a child
        paths = [os.path.join(r.directory, *below, 'heap.pb.gz') for below in [[]] + [[c] for c in r.children()]]
        path = max(filter(os.path.exists, paths), key=lambda p: Profile.read(p).total(1))
        look(about, path)
    box.close()


def redis():
    """A server on jemalloc, with a load of its own making."""
    box = Box()
    if shutil.which('redis-server') is None or shutil.which('redis-benchmark') is None:
        tap.skip('redis', 'not installed')
        return
    sock = os.path.join(box.root, 's')
    argv = ['redis-server', '--port', '0', '--unixsocket', sock, '--save', '', '--appendonly', 'no', '--daemonize', 'no']
    output = os.path.join(box.root, 'redis')
    server = subprocess.Popen([box.cprof, 'run', '-p', 'heap,trace=threads', '-o', output, '--'] + argv, cwd=box.cwd, env=box.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        there = wait_for(lambda: subprocess.run(['redis-cli', '-s', sock, 'ping'], stdout=subprocess.PIPE,
                                                stderr=subprocess.DEVNULL).stdout == b'PONG\n')
        tap.ok(there, 'redis: answers')
        load = subprocess.run(['redis-benchmark', '-s', sock, '-q', '-n', '40000', '-r', '100000', '-d', '500', '-P', '16', '-t',
                               'set,get,lpush,lrange_100,hset'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)
        tap.ok(load.returncode == 0, 'redis: bears the load', load.stderr.decode())
        ask = lambda *words: subprocess.run(['redis-cli', '-s', sock] + list(words), stdout=subprocess.PIPE).stdout.decode()
        tap.equal((ask('memory', 'purge').strip(), ask('bgsave').strip()), ('OK', 'Background saving started'), 'redis: purges and saves')
        time.sleep(0.5)
        # it is asked when something is allocated: a little more of that, with nothing else going on
        subprocess.run(['redis-benchmark', '-s', sock, '-q', '-n', '20000', '-r', '100000', '-t', 'get'], stdout=subprocess.DEVNULL)
        time.sleep(0.5)  # it asks jemalloc itself, ten times a second
        said = dict(re.findall(r'^(\w+):(\S+?)\r?$', ask('info', 'memory'), re.MULTILINE))
        used, allocator_name = int(said['used_memory']), said['mem_allocator']
        ask('shutdown', 'nosave')
        out, err = server.communicate(timeout=60)
    finally:
        if server.poll() is None:
            server.kill()
            server.communicate()
    tap.equal(server.returncode, 0, 'redis: its status')
    profile = heap(output)
    # it counts what its allocator gave, which is up to a quarter more than it asked for; 4 deviations are 4 * sqrt(R / total)
    part = profile.total(3) / used
    chance = 4 * math.sqrt(RATE / used)
    tap.note('redis on %s: it says %.1f MB, the profile %.1f' % (allocator_name, used / 1e6, profile.total(3) / 1e6))
    tap.between(part, 0.7 - chance, 1.1 + chance, 'redis: what is in use, over what it says of itself')
    look('redis', os.path.join(output, 'heap.pb.gz'))
    if not allocator_name.startswith('jemalloc'):
        tap.skip('redis: what jemalloc says', 'it is on ' + allocator_name)
    else:
        trace = trace_file.read(os.path.join(output, 'trace.out'))
        last = {e['name']: e['value'] for e in trace.named('counter')}
        for ours, its in (('jemalloc.allocated', 'allocator_allocated'), ('jemalloc.active', 'allocator_active')):
            tap.between(last.get(ours, 0) / int(said[its]), 0.95, 1.05, 'redis: %s, over %s' % (ours, its))
    box.close()


def texts(path):
    """The header's numbers, and those of each line."""
    with open(path) as file:
        text = file.read()
    line = r'(\d+): (\d+) \[(\d+): (\d+)\] @'
    header = re.match(r'heap profile: %s heap/(\d+)\n' % line, text)
    rows = re.findall(r'^ *' + line + r'((?: 0x[0-9a-f]+)+)$', text, re.MULTILINE)
    return text, [int(n) for n in header.groups()], [[int(n) for n in row[:4]] + [row[4]] for row in rows]


def scale(objects, space, rate):
    """Go's scaleHeapSample."""
    if objects == 0 or space == 0:
        return 0, 0
    if rate <= 1:
        return objects, space
    factor = 1 / -math.expm1(-space / objects / rate)
    return int(objects * factor), int(space * factor)


def check_text(about, directory, rate, truth):
    path = lambda name: os.path.join(directory, name)
    profile = check_header(about, path('heap.pb.gz'), rate)
    check_header(about + ', allocs', path('allocs.pb.gz'), rate, 'alloc_space')
    text, header, rows = texts(path('heap.txt'))
    tap.equal(header[4], 2 * rate, about + ': the text says twice the rate')
    tap.equal(header[:4], [sum(row[i] for row in rows) for i in range(4)], about + ': its first line is the sum of the others')
    tap.ok(rows == sorted(rows, key=lambda row: -row[1]), about + ': the most bytes in use first')
    tap.ok('# runtime.MemStats' in text or '# MaxRSS = ' in text, about + ': it ends with what it says of memory', text[-300:])
    tap.ok(re.search(r'^#\t0x[0-9a-f]+\tkeep_small\+0x[0-9a-f]+\t+\S*heap_text\.c:\d+', text, re.MULTILINE), about + ': functions and lines',
           text[:800])
    scaled = [0, 0, 0, 0]
    for row in rows:
        for i, (objects, space) in enumerate((row[:2], row[2:4])):
            a, b = scale(objects, space, rate)
            scaled[2 - 2 * i] += a
            scaled[3 - 2 * i] += b
    totals = [profile.total(i) for i in range(4)]
    tap.equal(scaled, totals, about + ': unsampled, it is what the protobuf says')
    if rate == 1:
        check_counts(about, profile, dict(truth, keep_meanwhile=[0, 0, 0, 0]))
    if PPROF is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    for column in COLUMNS:
        total = []
        for name in ('heap.txt', 'heap.pb.gz'):
            status, out, err = pprof('-top', '-nodefraction=0', '-unit=' + ('count' if 'objects' in column else 'B'),
                                     '-sample_index=' + column, path(name))
            total += re.findall(r' of ([\d.e+]+)(?:B|) total', out)
        tap.ok(len(total) == 2 and float(total[0]) == float(total[1]), '%s: pprof reads the same %s in both' % (about, column), str(total))
    status, out, err = pprof('-top', path('allocs.pb.gz'))
    tap.ok('Type: alloc_space' in out, about + ': pprof shows alloc_space of allocs', out + err)
    status, out, err = pprof('-top', path('allocs.txt'))
    tap.ok(status == 0, about + ': pprof reads the text of allocs', err)


def text():
    box = Box()
    if not is_built('heap_text'):
        return
    for rate, word in ((1, 'heap=1'), (4096, 'heap=4k,seed=7'), (RATE, 'heap,seed=7')):
        directory = os.path.join(box.root, 'rate%d' % rate)
        os.mkdir(directory)
        about = word.split(',')[0]
        r = box.plain('heap_text', directory, word)
        if not tap.ok((r.status, r.err) == (0, ''), about + ': runs', r.show()):
            continue
        check_text(about, directory, rate, r.truth)
        delta = Profile.read(os.path.join(directory, 'delta.pb.gz'))
        allocated = {n for s in delta.samples for n in s.names if n.startswith('keep_') and s.values[0] > 0}
        tap.equal(allocated, {'keep_meanwhile'}, about + ': a delta has what was allocated meanwhile')
        got, wanted = of_function(delta, 'keep_meanwhile'), r.truth['keep_meanwhile']
        freed = of_function(delta, 'keep_to_free')
        tap.ok(freed[:2] == [0, 0] and freed[3] < 0, about + ': less is in use of what was given back', str(freed))
        if rate == 1:
            tap.equal(got, wanted, about + ': all four numbers of it')
            tap.equal(freed, [0, 0, -500, -500 * 20000], about + ': and of what was given back')
        else:
            chance = 4.5 * math.sqrt(rate / wanted[1])
            tap.between(got[1] / wanted[1], 1 - chance, 1 + chance, about + ': bytes of it')
        if PPROF is not None:
            compare_tops(about, os.path.join(directory, 'heap.pb.gz'))
    box.close()


GROUPS = {
    'exact': (exact, nothing_but_heap_has_jemallocs),
    'sampled': (sampled,),
    'edges': (edges,),
    'edges_sampled': (edges_sampled,),
    'ends': (endings, without_a_launcher, no_more_address_space, out_of_memory),
    'real': (real, redis),
    'text': (text,),
    'jemalloc': (allocator('jemalloc'),),
    'jemalloc_linked': (jemalloc_linked,),
    'tcmalloc': (allocator('tcmalloc'),),
    'tcmalloc_minimal': (allocator('tcmalloc_minimal'),),
    'mimalloc': (allocator('mimalloc'),),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
