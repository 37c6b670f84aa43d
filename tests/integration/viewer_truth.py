#!/usr/bin/env python3
"""
Programs whose answers are known (tests/programs/planted.c), and a trace that was made up (bench/trace_make.c): what
trace_story.py counts in them is what they say of themselves. So it can be relied on where cprof-trace is compared with it.

What a program measures is around what the trace has: it looks at its clock before the call and after it. In between it may have
to wait for a processor, so only the sums of what is long are compared from both sides.
"""

import collections
import os
import re
import subprocess

import tap
import trace_file
import trace_story as story
from cprof import BUILD, Box, program

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
PROGRAM = os.path.realpath(program('planted'))
FIT = 20e3  # ns by which stamps of the counter, fitted to the clock, may be beside it
ENOENT = 2
ENDED = 3  # a reason of sched.out


def check(path, about):
    t = trace_file.read(path)
    tap.equal(t.problems, [], about + ': a whole trace')
    done = subprocess.run([VIEWER, path, 'check'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tap.equal((done.returncode, done.stdout.decode() if done.returncode else ''), (0, ''), about + ': cprof-trace check')
    return t


TICK_NS = 1000000000 // os.sysconf('SC_CLK_TCK')


def stolen_ns():
    """What a hypervisor took of the processors, in whole ticks."""
    with open('/proc/stat') as f:
        return int(f.readline().split()[8]) * TICK_NS


def planted(box, *argv, spec='trace=all', status=0):
    about = ' '.join(argv)
    stolen = stolen_ns()
    r = box.run('planted', *argv, spec=spec)
    stolen = stolen_ns() - stolen + os.cpu_count() * TICK_NS
    tap.equal((r.status, r.own_err), (status, ''), about + ': runs')
    t = check(os.path.join(r.directory, 'trace.out'), about)
    t.about, t.truth, t.stolen = about, r.truth, stolen
    if argv[0] != 'lost':
        tap.equal(t.lost(), 0, about + ': nothing is lost')
    t.numbers = {each.tid: n for n, each in t.threads.items()}
    t.named_threads = {each['name']: t.numbers[each['tid']] for each in t.truth.get('threads', []) if each['tid'] in t.numbers}
    t.has_switches = bool(t.header.flags & trace_file.HAS['switches'])
    check_states(t)
    check_cpu(t)
    return t


def check_states(t):
    """What a thread does has no gaps, and is what its waits and calls are."""
    lives = {n: events[-1].ns - events[0].ns for n, events in story.own(t).items()}
    of = story.states(t)
    tap.equal({n: sum(each.values()) for n, each in of.items()}, lives, t.about + ': states fill the lives of threads')
    locks = collections.Counter()
    for w in story.waits(t):
        if w.kind == 'lock' and w.until is not None:
            locks[w.thread] += w.until - w.since
    if t.end[0] == 'exited' and t.lost() == 0:
        tap.equal({n: each['lock'] for n, each in of.items() if each['lock']}, {n: ns for n, ns in locks.items() if ns},
                  t.about + ': time in locks is that of the waits for them')


def check_cpu(t):
    """
    What threads ran by the kernel's switches is what their own clocks say. Of those that run for some time: what it takes to switch,
    which the record of it is in the middle of, is most of what the others do (tens of microseconds where there is a hypervisor).
    A thread's clock stands still while a hypervisor has its processor for others, and not all of that is in /proc/stat, so that of a
    thread that never sleeps it is its life without what it waited for a processor that counts.
    """
    if not t.has_switches or t.lost() > 0 or 'threads' not in t.truth:
        return
    cpus, own, wrong, seen, open_end = story.on_cpu(t), story.own(t), [], [], []
    for each in t.truth['threads']:
        number = t.numbers[each['tid']]
        pieces = cpus.get(number, [])
        # where the recorder had no processor either, records begin later than the thread
        if not pieces or pieces[0][0] > own[number][0].ns:
            tap.note('no records of the beginning of ' + each['name'])
            continue
        ran = sum(until - since for since, until, _ in pieces)
        clock = each['until'] - each['from'] - each['waited'] if each['waited'] > 0 else each['cpu_ns']
        seen.append((each['name'], ran, clock, len(pieces)))
        if clock > 50e6 and abs(ran - clock) > 0.01 * clock + t.stolen:
            wrong.append(seen[-1])
        # of one that was killed nobody says when it last ran
        if t.end[0] == 'exited' and pieces[-1][2] != ENDED:
            open_end.append(each['name'])
    tap.equal(open_end, [], t.about + ': the last that the kernel says of a thread is that it ended')
    tap.equal([e for e in t.named('sched.in', 'sched.out') if e['thread'] == 0], [], t.about + ': each switch is of a thread that is known')
    tap.measured(not wrong, t.about + ': CPU time by switches is that of the threads\' clocks', wrong)
    tap.note('ran, by switches and by clock: ' + ', '.join('%s %.2f %.2f ms, %d times' % (name, a / 1e6, b / 1e6, n) for name, a, b, n in seen) +
             '; stolen at most %.0f ms' % (t.stolen / 1e6))


def name_of(t, number):
    return t.objects[number].name if number in t.objects else str(number)


def within(t, trace, truth, about, share=0.95):
    """A sum that the trace has, and the one around it."""
    tap.measured(share * truth <= trace <= truth + FIT, '%s: %s' % (t.about, about), 'the trace has %d, the program %d' % (trace, truth))


def same_calls(t, sums, key, truth, about):
    """Count, and time: what the program measures has the look at its clock in it, and the walk of the stack after a slow call."""
    s = sums.get(key, story.Sum(0, 0, 0, 0))
    tap.equal(s.count, truth['count'], '%s: %s: as many' % (t.about, about))
    tap.measured(0.9 * truth['ns'] - 30000 * truth['count'] <= s.total <= truth['ns'] + FIT, '%s: %s: time' % (t.about, about), (s, truth))
    tap.measured(s.max <= truth['max'] + FIT, '%s: %s: the longest' % (t.about, about), (s, truth))


def same_holds(t, sums, name, truth):
    """Here the program looks at its clock inside."""
    s = sums.get(name, story.Sum(0, 0, 0, 0))
    tap.equal(s.count, truth['count'], '%s: %s: as many holds' % (t.about, name))
    tap.measured(truth['ns'] - FIT <= s.total <= truth['ns'] * 1.05 + 1e6, '%s: %s: how long it is held' % (t.about, name), (s, truth))


def all_names(t, items):
    return story.sums(items, lambda each: name_of(t, each.object))


def why():
    box = Box()
    t = planted(box, 'why')
    w, h, at = t.truth['waiter'], t.truth['holder'], t.truth['at']
    waiter, holder = t.named_threads[w['thread']], t.named_threads[h['thread']]
    waits = [each for each in story.waits(t) if each.thread == waiter and each.since <= at <= each.until]
    tap.equal([(each.kind, name_of(t, each.object), each.holder) for each in waits], [('lock', w['lock'], holder)],
              'why: what it waits for, and who has that')
    tap.ok(w['from'] - FIT <= waits[0].since < at < waits[0].until <= w['until'] + FIT, 'why: since when', (waits, w))
    within(t, waits[0].until - waits[0].since, w['until'] - w['from'], 'for how long')
    tap.equal(story.place(t, waits[0].stack, PROGRAM), (w['function'], w['line']), 'why: and where')
    tap.equal([(each.thread, name_of(t, each.object)) for each in story.holds(t)
               if not each.is_short and each.since <= at <= each.until and name_of(t, each.object) == w['lock']], [(holder, w['lock'])], 'why: who holds it')
    calls = [each for each in story.calls(t) if each.thread == holder and each.since <= at <= (each.until or at)]
    tap.equal([each.name for each in calls], [h['call']], 'why: and what that one does')
    tap.ok((calls[0].file or '').startswith('pipe'), 'why: on which file', calls)
    tap.equal(story.place(t, calls[0].stack, PROGRAM)[0], h['function'], 'why: and where')
    if t.has_switches:
        for thread in (waiter, holder):
            on = [each for each in story.on_cpu(t)[thread] if each[0] <= at < each[1]]
            tap.equal(on, [], 'why: neither runs')
    box.close()


def lock():
    box = Box()
    t = planted(box, 'lock')
    waits = [each for each in story.waits(t) if each.kind == 'lock']
    sums, truth = all_names(t, waits), t.truth['locks']
    for name in truth:
        tap.equal(sums[name].count, truth[name]['count'], 'lock: %s: as many waits' % name)
        within(t, sums[name].total, truth[name]['ns'], name + ': for how long', 0.9)
        within(t, sums[name].max, truth[name]['max'], name + ': the longest', 0.9)
    tap.equal(max(sums, key=lambda name: sums[name].total), 'g_cache', 'lock: which costs most')
    evictor = t.named_threads[t.truth['holder']['thread']]
    mine = [each for each in waits if name_of(t, each.object) == 'g_cache']
    places = collections.Counter(story.place(t, each.stack, PROGRAM) for each in mine if each.stack)
    tap.equal(set(places), {(t.truth['waiters']['function'], t.truth['waiters']['line'])}, 'lock: where they wait')
    tap.ok(all(each.holder == evictor for each in mine), 'lock: for whom', collections.Counter(each.holder for each in mine))
    long_ones = [each for each in story.holds(t) if each.thread == evictor and name_of(t, each.object) == 'g_cache']
    same_holds(t, {'g_cache': story.sums(long_ones, lambda each: 0)[0]}, 'g_cache', t.truth['holds']['g_cache'])
    tap.equal({story.place(t, each.stack, PROGRAM)[0] for each in long_ones}, {t.truth['holder']['function']},
              'lock: who lets go, and where')
    cache = [each for each in story.edges(t) if name_of(t, each.sink['object']) == 'g_cache']
    tap.equal(len(cache), len(mine), 'lock: everybody got it from somebody')
    tap.equal(sum(each.source.thread == evictor for each in cache), t.truth['holds']['g_cache']['count'],
              'lock: each time one of them from who cleaned up')
    box.close()


def wake():
    box = Box()
    t = planted(box, 'wake')
    truth = t.truth['wakes']
    caller, butler = (t.named_threads[t.truth[who]['thread']] for who in ('waker', 'woken'))
    edges = [each for each in story.edges(t) if name_of(t, each.sink['object']) == t.truth['object']]
    tap.equal([(each.source.thread, each.sink.thread) for each in edges], [(caller, butler)] * len(truth), 'wake: who woke whom')
    tap.ok(all(w['posting'] - FIT <= each.source.ns <= w['posted'] + FIT and each.sink.ns <= w['answered'] + FIT
               for each, w in zip(edges, truth)), 'wake: when', [(each, w) for each, w in zip(edges, truth)])
    tap.equal({story.place(t, each.source['stack'], PROGRAM) for each in edges},
              {(t.truth['waker']['function'], t.truth['waker']['line'])}, 'wake: from where')
    waits = [each for each in story.waits(t) if each.thread == butler and each.kind == 'sem']
    tap.equal({story.place(t, each.stack, PROGRAM) for each in waits},
              {(t.truth['woken']['function'], t.truth['woken']['line'])}, 'wake: where it waited')
    if t.has_switches:
        runs = story.on_cpu(t)[butler]
        late = [min(since for since, _, _ in runs if since > each.source.ns) - each.source.ns for each in edges]
        told = [w['answered'] - w['posting'] for w in truth]
        tap.note('late: %r of %r' % (late, told))
        tap.ok(all(a <= b + FIT for a, b in zip(late, told)), 'wake: it ran before it answered', (late, told))
        tap.measured(max(late) > 1e6, 'wake: and late', late)
    box.close()


def task():
    box = Box()
    t = planted(box, 'task')
    truth = t.truth['requests']
    tasks = story.tasks(t)
    tap.equal(sorted(tasks), sorted(r['task'] for r in truth), 'task: all that there are')
    tap.ok(all(r['from'] - FIT <= tasks[r['task']].since <= tasks[r['task']].until <= r['until'] + FIT for r in truth),
           'task: from when to when', truth)
    times = sorted((tasks[r['task']].until - tasks[r['task']].since, i) for i, r in enumerate(truth))
    tap.equal(times[-1][1], t.truth['slowest'], 'task: the slowest')
    tap.note('median %.2f ms, slowest %.2f ms' % (times[len(times) // 2][0] / 1e6, times[-1][0] / 1e6))
    slow = tasks[truth[t.truth['slowest']]['task']]
    server, journal = (t.named_threads[t.truth[who]['thread']] for who in ('waiter', 'holder'))
    tap.equal({each[0] for each in slow.worked}, {server}, 'task: who works for it')
    waits = [each for each in story.waits(t) if each.kind == 'lock' and each.thread == server]
    tap.equal([(name_of(t, each.object), each.holder) for each in waits], [(t.truth['lock'], journal)], 'task: it waits for a lock')
    tap.ok(slow.since <= waits[0].since < waits[0].until <= slow.until, 'task: meanwhile', (slow, waits))
    within(t, waits[0].until - waits[0].since, truth[t.truth['slowest']]['waited'], 'for how long')
    tap.equal(story.place(t, waits[0].stack, PROGRAM), (t.truth['waiter']['function'], t.truth['waiter']['line']), 'task: and where')
    (hold, calls), = [each for each in story.calls_inside(t) if each[0].thread == journal and name_of(t, each[0].object) == t.truth['lock']]
    tap.measured(t.truth['holder']['held'] - FIT <= hold.until - hold.since <= 1.05 * t.truth['holder']['held'] + 1e6, 'task: who held it, how long', hold)
    sums = story.sums(calls, lambda each: each.name)
    for name, of in t.truth['calls'].items():
        same_calls(t, sums, name, of, name + ' meanwhile')
    regions = [each for each in story.regions(t) if each.thread == server]
    tap.equal([each.name for each in regions], ['parse', 'journal', 'reply'] * len(truth), 'task: its regions')
    tap.equal([each.task for each in regions], [r['task'] for r in truth for _ in range(3)], 'task: which task they are of')
    box.close()


def calls():
    box = Box()
    t = planted(box, 'calls')
    reader = t.named_threads[t.truth['thread']]
    mine = [each for each in story.calls(t) if each.thread == reader]
    sums = story.sums(mine, lambda each: (os.path.basename(each.file or ''), each.name))
    for name, of in t.truth['files'].items():
        for call, truth in of.items():
            same_calls(t, sums, (name, call), truth, '%s of %s' % (call, name))
    tap.equal(max((s.total, key) for key, s in sums.items())[1], (t.truth['file'], 'read'), 'calls: what costs most')
    slow = [each for each in mine if each.name == 'read' and each.stack and os.path.basename(each.file or '') == t.truth['file']]
    tap.equal({story.place(t, each.stack, PROGRAM)[0] for each in slow}, {t.truth['function']}, 'calls: where')
    failed = [each for each in mine if each.name == 'openat' and each.result == -ENOENT]
    same_calls(t, story.sums(failed, lambda each: each.name), 'openat', t.truth['failed']['openat'], 'openat in vain')
    box.close()


def heldio():
    box = Box()
    t = planted(box, 'heldio')
    inside = collections.defaultdict(list)
    for hold, of in story.calls_inside(t):
        inside[name_of(t, hold.object)] += of
    sums = story.sums(inside[t.truth['lock']], lambda each: each.name.replace('clock_nanosleep', 'nanosleep'))
    tap.equal(sorted(sums), sorted(t.truth['calls']), 'heldio: what is called')
    for name, truth in t.truth['calls'].items():
        same_calls(t, sums, name, truth, name)
    tap.equal(inside[t.truth['clean']], [], 'heldio: and nothing under the other lock')
    tap.equal({os.path.basename(each.file) for each in inside[t.truth['lock']] if each.file}, {t.truth['file']}, 'heldio: on which file')
    holds = all_names(t, story.holds(t))
    for name, truth in t.truth['holds'].items():
        same_holds(t, holds, name, truth)
    box.close()


def order():
    box = Box()
    t = planted(box, 'order')
    tap.equal({tuple(sorted(name_of(t, each) for each in pair)) for pair in story.cycles(t)}, {tuple(t.truth['cycle'])},
              'order: which two are taken in both orders')
    pairs = {tuple(name_of(t, each) for each in pair): {thread for thread, _ in of} for pair, of in story.nested(t).items()}
    forward, backward = t.named_threads['forward'], t.named_threads['backward']
    one, other = t.truth['cycle']
    third, fourth = t.truth['gated']
    tap.equal((pairs[one, other], pairs[other, one]), ({forward}, {backward}), 'order: by whom')
    tap.equal((pairs[third, fourth], pairs[fourth, third]), ({forward}, {backward}), 'order: so are two others, which is harmless')
    box.close()


def deadlock():
    box = Box()
    t = planted(box, 'deadlock', status=-9)
    one, other = t.truth['cycle']
    forward, backward = t.named_threads['forward'], t.named_threads['backward']
    waits = [each for each in story.waits(t) if each.kind == 'lock' and each.until is None]
    tap.equal({(each.thread, name_of(t, each.object), each.holder) for each in waits},
              {(forward, other, backward), (backward, one, forward)}, 'deadlock: who waits for what, and for whom')
    held = story.held_in_the_end(t)
    tap.equal([{name_of(t, o) for o in held[n]} for n in (forward, backward)], [{one}, {other}], 'deadlock: and holds what')
    for each in waits:
        truth = t.truth['forward' if each.thread == forward else 'backward']
        tap.ok(truth['since'] - FIT <= each.since, 'deadlock: since when', (truth, each))
        tap.equal(story.place(t, each.stack, PROGRAM), (truth['function'], truth['lines'][1]), 'deadlock: and where')
    tap.equal({tuple(sorted(name_of(t, each) for each in pair)) for pair in story.cycles(t)}, {(one, other)}, 'deadlock: it is a circle')
    box.close()


def overlap(pieces, since, until):
    return sum(max(0, min(b, until) - max(a, since)) for a, b, _ in pieces)


def parallel():
    box = Box()
    t = planted(box, 'parallel')
    if not t.has_switches:
        tap.skip('parallel', 'no records of switches here')
        return
    cpus, alone = story.on_cpu(t), t.named_threads[t.truth['thread']]
    own = sum(overlap(cpus[alone], *each) for each in t.truth['serial'])
    rest = sum(overlap(cpus[n], *each) for each in t.truth['serial'] for n in t.named_threads.values() if n != alone)
    clock = sum(t.truth['serial_cpu'])
    tap.measured(abs(own - clock) <= 0.01 * clock + t.stolen, 'parallel: the one that works alone has a processor', (own, clock, t.stolen))
    tap.measured(rest < 0.01 * t.truth['serial_ns'], 'parallel: and nobody else', (rest, t.truth['serial_ns']))
    waits = [each for each in story.waits(t) if each.kind == 'barrier']
    tap.equal(collections.Counter(each.thread for each in waits), {n: 2 * len(t.truth['serial']) for n in t.named_threads.values()},
              'parallel: they wait for each other')
    share = t.truth['serial_ns'] / (t.truth['until'] - t.truth['from'])
    tap.note('serial: %.1f %% of the time' % (100 * share))
    box.close()


def diff():
    box = Box()
    both = {}
    for variant in ('slow', 'fast'):
        t = planted(box, 'diff', variant)
        tasks = story.sums(story.tasks(t).values(), lambda each: each.type)
        tap.equal(tasks['lookup'].count, t.truth['tasks']['lookup']['count'], t.about + ': as many tasks')
        # a task is around what the program measures
        tap.measured(t.truth['tasks']['lookup']['ns'] - FIT <= tasks['lookup'].total <= 1.05 * t.truth['tasks']['lookup']['ns'] + 1e6,
               t.about + ': how long they are', (tasks, t.truth['tasks']))
        same_holds(t, all_names(t, story.holds(t)), t.truth['lock'], t.truth['holds'][t.truth['lock']])
        mine = story.sums([each for each in story.calls(t) if os.path.basename(each.file or '') == t.truth['file']], lambda each: each.name)
        for name, truth in t.truth['calls'].items():
            same_calls(t, mine, name, truth, name)
        both[variant] = tasks['lookup'].total
    tap.measured(both['slow'] > 2 * both['fast'], 'diff: one of them takes longer', both)
    box.close()


def lost():
    box = Box()
    t = planted(box, 'lost', 'stop', spec='trace=all,memory=4m')
    got = len([e for e in t.named('sem.post')])
    tap.ok(0 < got < t.truth['posts'] <= got + t.lost(), 'lost: what is missing is counted', (got, t.lost(), t.truth['posts']))
    thread, since, until = t.named_threads['hidden'], t.truth['hidden']['from'], t.truth['hidden']['until']
    calls = [each for each in story.calls(t) if each.thread == thread and each.name == 'futex' and since <= each.since <= until]
    waits = [each for each in story.waits(t) if each.thread == thread]
    tap.equal((calls, waits), ([], []), 'lost: a lock of its own making is seen by nobody')
    if t.has_switches:
        tap.between(story.states(t)[thread]['unknown'] / (until - since), 0.95, 1.01, 'lost: but that it did not run is known')
    box.close()


def made():
    """The trace that was made up is one that could have been."""
    box = Box()
    path = os.path.join(box.root, 'made.out')
    tap.equal(box.plain('trace_make', 300000, path, 7).status, 0, 'made: is written')
    t = check(path, 'made')
    if box.plain('lz4', '-tq', path).status != 0:
        tap.ok(False, 'made: lz4 -t')
    tap.ok(300000 <= len(t.events) < 301000, 'made: as many events as it should', len(t.events))
    tap.note(dict(t.counts()))
    wrong = []
    for by in ('cpu', 'thread'):
        pieces = collections.defaultdict(list)
        if by == 'thread':
            pieces = story.on_cpu(t)
        else:
            since = {}
            for e in t.named('sched.in', 'sched.out'):
                if e.name == 'sched.in':
                    since[e.thread] = e.ns
                else:
                    pieces[e.thread].append((since[e.thread], e.ns, e['reason']))
        for number, of in pieces.items():
            wrong += [(by, number, a, b) for a, b in zip(of, of[1:]) if a[1] > b[0]]
    tap.equal(wrong[:3], [], 'made: one thread at a time on a processor, and a thread on one')
    cpus, book, wrong = story.on_cpu(t), ('thread.status', 'status.held', 'status.region', 'thread.exit'), []
    for thread, events in story.own(t).items():
        pieces, i = cpus.get(thread, []), 0
        for e in events:
            if e.name in book or thread == trace_file.ALL:
                continue
            while i < len(pieces) and pieces[i][1] < e.ns:
                i += 1
            if i == len(pieces) or not pieces[i][0] <= e.ns:
                wrong.append(e)
    tap.equal(wrong[:3], [], 'made: a thread writes while it runs')
    held = collections.defaultdict(list)
    for h in story.holds(t):
        held[h.object].append(h)
    wrong = []
    for of in held.values():
        of.sort(key=lambda h: h.since)
        wrong += [(a, b) for a, b in zip(of, of[1:]) if a.until > b.since + 20]
    tap.equal(wrong[:3], [], 'made: one holds a lock at a time')
    edges, got = story.edges(t), t.named('lock.acquired')
    locks = [each for each in edges if each.sink.name == 'lock.acquired']
    tap.equal(len(locks), len(got), 'made: each that waited got the lock from somebody')
    tap.ok(got and all(0 <= each.sink.ns - each.source.ns for each in edges), 'made: after that one')
    wrong = [b for b in t.blocks if b.kind == 'events' and b.classes and
             collections.Counter({name: n for name, n in b.classes.items() if n}) != collections.Counter(CLASS[e.name] for e in b.events)]
    tap.equal(len(wrong), 0, 'made: summaries count their events')
    wrong = [(sum(b.states.values()), b.last_ns - b.first_ns) for b in t.blocks if b.kind == 'events' and b.states
             and b.thread != trace_file.ALL and sum(b.states.values()) < b.last_ns - b.first_ns]
    tap.equal(wrong[:3], [], 'made: and their time')
    states = collections.Counter()
    for each in story.states(t).values():
        states += each
    tap.note({name: '%.1f ms' % (ns / 1e6) for name, ns in states.items()})
    tap.equal(states['unknown'], 0, 'made: nobody leaves a processor without a reason')
    tasks = story.tasks(t).values()
    tap.ok(sum(each.until is not None for each in tasks) > 100, 'made: requests are answered', len(tasks))
    box.close()


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tracer', 'format.h')) as header:
    CLASS = {name: of.lower() for name, of in re.findall(r'X\(\d+, \w+, "([\w.]+)",\s*(\w+)', header.read())}

tap.run(why, lock, wake, task, calls, heldio, order, deadlock, parallel, diff, lost, made)
