#!/usr/bin/env python3
"""jemalloc's own numbers as counters of a trace: that they are right, and that it is not asked where it must not be."""

import concurrent.futures
import ctypes.util
import os

import tap
import trace_file
from cprof import Box, program

NAMES = ('allocated', 'active', 'metadata', 'resident', 'mapped', 'retained')
MIB = 1 << 20
SPEC = 'heap,trace=threads,seed=1'
LIBRARY = 'libjemalloc.so.2'


def counters(directory):
    """[{name: value}, …], each time it was asked."""
    trace = trace_file.read(os.path.join(directory, 'trace.out'))
    if trace.problems:
        tap.ok(False, 'the file is whole', trace.problems)
    times = []
    for e in trace.named('counter'):
        whose, name = e['name'].split('.')
        if whose != 'jemalloc':
            continue
        if name == NAMES[0]:
            times.append({})
        times[-1][name] = e['value']
    return times


def ways():
    """(about, program, environment): linked with it, and with it preloaded."""
    found = []
    if program('heap_stats_jemalloc') != 'heap_stats_jemalloc':
        found.append(('linked', 'heap_stats_jemalloc', {}))
    if ctypes.util.find_library('jemalloc'):
        found.append(('preloaded', 'heap_stats', {'LD_PRELOAD': LIBRARY}))
    return found


def each_way(test):
    def all_ways():
        found = ways()
        if not found:
            tap.skip(test.__name__, 'there is no jemalloc')
        for about, name, env in found:
            box = Box()
            test(box, about, name, env)
            box.close()
    all_ways.__name__ = test.__name__
    return all_ways


def run(box, about, name, how, env, *arguments, spec=SPEC):
    return check(about, box.run(name, how, *arguments, env=env, spec=spec))


def check(about, r):
    tap.ok(r.status == 0 and r.truth['failures'] == 0, about + ': the program finds everything as it should be', r.show())
    return r, counters(r.directory)


@each_way
def numbers(box, about, name, env):
    for mib in (8, 24):
        r, times = run(box, '%s, %d MiB' % (about, mib), name, 'main', env, mib)
        about_it = '%s, %d MiB: ' % (about, mib)
        if not tap.ok(len(times) >= 4, about_it + 'asked again and again for a second', times):
            continue
        tap.ok(all(set(t) == set(NAMES) for t in times), about_it + 'each time all of them', times)
        # it is asked within the call that takes a block, before another is given back
        got, wanted = times[-1], r.truth
        tap.ok(abs(got['allocated'] - wanted['allocated'] - MIB) <= MIB // 16, about_it + 'allocated, and one block',
               'got %r, wanted %r' % (got, wanted))
        tap.ok(all(t['allocated'] <= t['active'] <= t['mapped'] and t['active'] < t['resident'] and t['metadata'] > 0 for t in times),
               about_it + 'they fit each other', times)
        tap.ok(abs(got['metadata'] - wanted['metadata']) <= MIB // 16, about_it + 'what it needs itself',
               'got %r, wanted %r' % (got, wanted))


@each_way
def many(box, about, name, env):
    """Threads and children. Each block is sampled, so that each call may be the one that asks."""
    r, times = run(box, about + ', threads', name, 'threads', env, spec='heap=1,trace=threads')
    tap.ok(len(times) >= 2, about + ', threads: asked', times)
    children = [counters(os.path.join(r.directory, d)) for d in r.children()]
    tap.ok(children and all(times and set(times[0]) == set(NAMES) for times in children),
           about + ', threads: each child is asked by itself', [len(times) for times in children])


@each_way
def not_asked(box, about, name, env):
    """Where a lock of its may be held, or waited for in turn."""
    profiled = dict(env, MALLOC_CONF='prof:true,prof_active:false')
    # where the stack is cut, its outermost frames are unknown: a handler's may be among them
    places = (('handler', env, SPEC, 'from a handler'), ('fork', env, SPEC, 'around fork()'), ('context', env, SPEC, 'from a stack of its own'),
              ('hooks', env, SPEC, 'with functions of the program that it calls'), ('main', profiled, SPEC, 'while it profiles itself'),
              ('main', env, SPEC + ',depth=2', 'where the stack is cut'))
    # they sleep most of the time
    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        done = list(pool.map(lambda i: box.run(name, places[i][0], env=places[i][1], spec=places[i][2],
                                               output=os.path.join(box.root, 'not%d' % i)), range(len(places))))
    for (_, _, _, why), r in zip(places, done):
        tap.equal(check('%s, %s' % (about, why), r)[1], [], '%s: not asked %s' % (about, why))


@each_way
def without(box, about, name, env):
    for spec in ('heap', 'trace=threads'):
        r = box.run(name, 'main', env=env, spec=spec)
        tap.ok(r.status == 0 and r.truth['failures'] == 0, '%s, %s: the program runs' % (about, spec), r.show())
        if spec != 'heap':
            tap.equal(counters(r.directory), [], '%s, %s: nobody asks' % (about, spec))


def others():
    """Another allocator is not asked anything."""
    box = Box()
    r = box.run('burn', 'split', '90', '1', spec=SPEC)
    tap.equal((r.status, counters(r.directory)), (0, []), 'the C library\'s: nothing')
    box.close()


tap.run(numbers, many, not_asked, without, others)
