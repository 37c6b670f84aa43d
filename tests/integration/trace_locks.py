#!/usr/bin/env python3
"""
What threads do to each other, in the trace: programs of a known schedule (tests/programs/schedules.c), and whether the events
are those that it has, in that order, with the holds, waits and hand-overs that it has.
"""

import collections
import os
import re
import subprocess
import sys

import tap
import trace_file
from cprof import BUILD, Box, program

ROUNDS = 50
SPEC = sys.argv.pop(2) if len(sys.argv) > 2 and sys.argv[2].startswith('trace') else 'trace=locks'
ECANCELED, ETIMEDOUT, EBUSY = 125, 110, 16
READ, WRITE, GETPPID = 0, 1, 110  # system calls
LOCKS = ('lock.wait.begin', 'lock.acquired', 'lock.failed', 'lock.released', 'lock.pair', 'lock.pair.shared', 'lock.held')
RUNNING, WAITS = 1, 4
IDLE = 6  # in a sleep, where system calls are seen
MUTEX, RWLOCK, SPIN, COND, SEM, BARRIER, ONCE, FUTEX = range(1, 9)


def traced(box, *argv, host='schedules'):
    r = box.run(host, *argv, spec=SPEC)
    tap.equal(r.status, 0, '%s: runs' % argv[0])
    path = os.path.join(r.directory, 'trace.out')
    t = trace_file.read(path)
    t.path = path
    # in a handler that interrupted a change of buffers
    t.nested = sum(e['count'] for e in t.named('lost'))
    tap.equal((t.problems, t.nested if argv[0] != 'handler' else 0), ([], 0), '%s: a whole trace' % argv[0])
    t.said = dict((line.split()[0], int(line.split()[1])) for line in r.out.splitlines())
    check_orders(t, argv[0])
    check_waits(t, argv[0])
    check_lives(t, argv[0])
    return t


def check_lives(t, about):
    """Created before it starts, by who says so; joined after its end."""
    starts = {e.thread: e for e in t.named('thread.start')}
    exits = {e.thread: e for e in t.named('thread.exit')}
    created = {e['thread']: e for e in t.named('thread.create')}
    wrong = [e for e in starts.values() if e.thread != 1 and not
             (e.thread in created and created[e.thread].ns <= e.ns and created[e.thread].thread == e['parent'])]
    wrong += [e for n, e in created.items() if n not in starts or n not in exits]
    first, last = {}, {}
    for e in t.events:
        first.setdefault(e.thread, e)
        last[e.thread] = e
    wrong += [e for n, e in starts.items() if first[n].ns != e.ns]
    wrong += [e for n, e in exits.items() if last[n].ns != e.ns]
    for thread in t.threads:
        joins = [e for e in t.of(thread) if e.name in ('join.begin', 'join.end')]
        wrong += [(b, e) for b, e in zip(joins[::2], joins[1::2]) if e['result'] == 0 and b['thread'] in exits and
                  exits[b['thread']].ns > e.ns]
    tap.ok(not wrong, about + ': who is created starts, ends, and is joined', '\n'.join(map(str, wrong[:5])))


def of_kind(t, kind):
    return [n for n, o in t.objects.items() if o.kind == kind]


def check_orders(t, about):
    """Of each object every number once; a hole only before a thread that waited and got it from somebody who saw nobody."""
    wrong, holes = [], 0
    for number, o in t.objects.items():
        events = [e for e in t.events if e.args.get('object') == number and e.args.get('order') and
                  not e.name.startswith('barrier')]
        orders = [e['order'] for e in events]
        if len(set(orders)) != len(orders):
            wrong.append('object %d: an order twice: %r' % (number, orders[:20]))
        by_order = {e['order']: e for e in events}
        for n in range(1, max(orders, default=0)):
            after = by_order.get(n + 1)
            if n not in by_order and (after is None or after.name != 'lock.acquired'):
                holes += 1
                if holes > t.nested:
                    wrong.append('object %d: no %d before %r' % (number, n, after))
        # exclusive: what is done while it is held is in the order of time, too
        if o.kind == MUTEX and sorted(orders) != orders:
            by_time = sorted(events, key=lambda e: e['order'])
            late = [(a, b) for a, b in zip(by_time, by_time[1:]) if a.ns > b.ns + 2000]
            if late:
                wrong.append('object %d: %r' % (number, late[:2]))
    tap.ok(not wrong, about + ': each object\'s order has every number once', '\n'.join(wrong[:5]))


def check_waits(t, about):
    """Each wait of a thread ends before it does anything else of that kind."""
    wrong = []
    ends = {number: [k for k, v in t.schema.items() if v[2] == number] for number in t.schema}
    begins = {'lock.wait.begin', 'cond.wait.begin', 'sem.wait.begin', 'barrier.wait.begin', 'join.begin'}
    for thread in t.threads:
        open_wait = None
        for e in t.of(thread):
            if open_wait is not None:
                if e.type in ends[open_wait.type]:
                    if 'waited' in e.args and abs(e['waited'] - (e.ns - open_wait.ns)) > 100 + e['waited'] // 1000:
                        wrong.append('waited %d of %d: %r' % (e['waited'], e.ns - open_wait.ns, e))
                    open_wait = None
                elif e.name in begins:
                    wrong.append('%r in %r' % (e, open_wait))
                    open_wait = None
            if e.name in begins:
                open_wait = e
    tap.ok(not wrong, about + ': what begins ends', '\n'.join(wrong[:5]))


def holds(t, number):
    """(from, until, thread) of each hold whose length is known."""
    found = []
    for e in t.events:
        if e.args.get('object') == number and e.name in ('lock.held', 'lock.released') and e['held'] > 0:
            found.append((e.ns - e['held'], e.ns, e.thread))
    return sorted(found)


def overlaps(t, number):
    all_of = holds(t, number)
    return [(a, b) for a, b in zip(all_of, all_of[1:]) if a[1] > b[0] + 1000]


def pingpong(box):
    t = traced(box, 'pingpong')
    mutex, = of_kind(t, MUTEX)
    cond, = of_kind(t, COND)
    tap.equal(len(t.named('cond.signal')), 2 * ROUNDS, 'pingpong: each turn is signalled')
    tap.ok(all(e['broadcast'] == 1 and e['object'] == cond for e in t.named('cond.signal')), 'pingpong: by broadcasts')
    begins, ends = t.named('cond.wait.begin'), t.named('cond.wait.end')
    tap.equal(len(begins), len(ends), 'pingpong: as many waits as ends')
    released = [e for e in t.named('lock.pair', 'lock.held', 'lock.released') if e['object'] == mutex]
    tap.equal(len(released), 2 * ROUNDS + len(begins), 'pingpong: a release for each turn and each wait')
    tap.ok(all(e['mutex'] == mutex for e in begins), 'pingpong: with their mutex')
    # the latest signal before the end, by order, is of the other thread
    orders = {e['order']: e for e in t.named('cond.signal', 'cond.wait.end')}
    wrong = [e for e in ends if not any(orders.get(n) is not None and orders[n].name == 'cond.signal' and
                                        orders[n].thread != e.thread for n in range(e['order'] - 2, e['order']))]
    tap.equal(wrong, [], 'pingpong: each end has the other\'s signal before it')
    tap.equal(overlaps(t, mutex), [], 'pingpong: one holds the mutex at a time')


def queue(box):
    t = traced(box, 'queue')
    tap.equal(len(t.named('cond.signal')), 2 * ROUNDS, 'queue: each item is signalled twice')
    mutex, = of_kind(t, MUTEX)
    tap.equal(overlaps(t, mutex), [], 'queue: one holds the mutex at a time')
    got = sum(e.name in ('lock.pair', 'lock.held', 'lock.released') for e in t.events if e.args.get('object') == mutex)
    waits = len(t.named('cond.wait.begin'))
    tap.equal(got, 2 * ROUNDS + waits, 'queue: a release for each round and each wait')


def philosophers(box):
    t = traced(box, 'philosophers')
    forks = of_kind(t, MUTEX)
    tap.equal(len(forks), 5, 'philosophers: five forks')
    taken = collections.Counter(e['object'] for e in t.named('lock.pair', 'lock.held', 'lock.released'))
    tap.equal([taken[f] for f in forks], [2 * ROUNDS // 5] * 5, 'philosophers: each is taken as often as it is')
    tap.equal([overlaps(t, f) for f in forks], [[]] * 5, 'philosophers: by one at a time')
    tap.ok(all(t.objects[f].address - t.objects[forks[0]].address in range(-160, 161, 40) for f in forks),
           'philosophers: by their addresses')
    tap.equal(sorted(t.objects[f].name for f in forks), ['forks'] + ['forks+0x%x' % n for n in range(40, 200, 40)],
              'philosophers: by their names')
    tap.ok({'forks', 'forks+0x28'} <= shown_objects(t), 'philosophers: which is how they are shown', shown_objects(t))


def convoy(box):
    t = traced(box, 'convoy')
    mutex, = of_kind(t, MUTEX)
    waits, got = t.named('lock.wait.begin'), t.named('lock.acquired')
    released = [e for e in t.named('lock.released') if e['object'] == mutex]
    tap.equal((len(waits), len(got), len(released)), (4, 4, 5), 'convoy: four wait, and five let go')
    tap.ok(all(e['holder'] == 1 for e in waits), 'convoy: for the main thread', str(waits))
    tap.ok(all(e['stack'] != 0 for e in waits), 'convoy: each with its stack')
    tap.equal([e['waiters'] for e in sorted(released, key=lambda e: e['order'])], [4, 3, 2, 1, 0],
              'convoy: fewer and fewer wait')
    by_order = {e['order']: e for e in released}
    tap.ok(all(e['order'] - 1 in by_order for e in got), 'convoy: each gets it from one that let go', str(got))
    delays = [e.ns - by_order[e['order'] - 1].ns for e in got if e['order'] - 1 in by_order]
    tap.measured(all(-2000 < d < 100e6 for d in delays), 'convoy: at once', str(delays))
    first = min(released, key=lambda e: e['order'])
    tap.between(first['held'] / 1e6, 40, 400, 'convoy: held 40 ms at first')
    tap.measured(all(5e6 <= e['held'] < 200e6 for e in released if e is not first), 'convoy: then 5 ms each', str(released))
    tap.ok(any('schedules' in path for path, _ in t.stack(first['stack'])), 'convoy: the holder\'s stack')
    tap.equal(overlaps(t, mutex), [], 'convoy: one after the other')


def barrier(box):
    t = traced(box, 'barrier')
    gate, = of_kind(t, BARRIER)
    begins, ends = t.named('barrier.wait.begin'), t.named('barrier.wait.end')
    tap.equal((len(begins), len(ends)), (4 * ROUNDS, 4 * ROUNDS), 'barrier: four threads, every round')
    tap.equal(sorted(e['order'] for e in begins), list(range(1, 4 * ROUNDS + 1)), 'barrier: arrivals in an order')
    rounds = collections.Counter(e['order'] for e in ends)
    tap.equal(rounds, {n: 4 for n in range(1, ROUNDS + 1)}, 'barrier: four in each round')
    tap.equal(collections.Counter(e['order'] for e in ends if e['serial']), {n: 1 for n in range(1, ROUNDS + 1)},
              'barrier: one of them is told')
    last = {n: max(e.ns for e in begins if (e['order'] + 3) // 4 == n) for n in range(1, ROUNDS + 1)}
    tap.ok(all(e.ns >= last[e['order']] - 2000 for e in ends), 'barrier: none goes on before the last has come')


def join(box):
    t = traced(box, 'join')
    begins, ends = t.named('join.begin'), t.named('join.end')
    tap.equal([e['thread'] for e in begins], [2, 3], 'join: who is waited for')
    exits = {e.thread: e.ns for e in t.named('thread.exit')}
    tap.ok(all(exits[b['thread']] <= e.ns for b, e in zip(begins, ends)), 'join: goes on after the end')
    tap.between((ends[0].ns - begins[0].ns) / 1e6, 5, 400, 'join: 30 ms')
    tap.measured(ends[1].ns - begins[1].ns < 5e6, 'join: one that has ended at once')
    tap.equal([e['thread'] for e in t.named('thread.detach')], [4], 'join: one is detached')


def timed(box):
    t = traced(box, 'timed')
    one = next(e['object'] for e in t.named('lock.failed'))
    failed = t.named('lock.failed')
    tap.equal([(e['object'], e['result']) for e in failed], [(one, ETIMEDOUT), (one, EBUSY)],
              'timed: a lock that was not got, and tries in vain, once')
    begin, = t.named('lock.wait.begin')
    tap.measured(abs(failed[0].ns - begin.ns - t.said['mutex_ns']) < 5e6, 'timed: the mutex as long')
    (begin,), (end,) = t.named('cond.wait.begin'), t.named('cond.wait.end')
    tap.equal((begin['timed'], end['result']), (1, ETIMEDOUT), 'timed: the condition')
    tap.measured(abs(end.ns - begin.ns - t.said['cond_ns']) < 5e6, 'timed: the condition as long')
    (begin,), (end,) = t.named('sem.wait.begin'), t.named('sem.wait.end')
    tap.equal((end['result'], end['order']), (ETIMEDOUT, 0), 'timed: the semaphore')
    tap.measured(abs(end.ns - begin.ns - t.said['sem_ns']) < 5e6, 'timed: the semaphore as long')
    two = begin_of(t, 'cond.wait.begin')['mutex']
    mine = [e for e in t.named('lock.pair', 'lock.held', 'lock.released') if e['object'] == two]
    tap.equal(len(mine), 2, 'timed: its mutex is let go of by the wait and after it')
    tap.equal(mine[0].ns, begin_of(t, 'cond.wait.begin').ns, 'timed: at the wait\'s beginning')
    main = [e for e in t.named('lock.held', 'lock.released') if e['object'] == one]
    tap.ok(len(main) == 1 and main[0]['held'] > 45e6, 'timed: held all the time', str(main))


def shown_objects(t):
    """What cprof-trace calls them, where it tells events."""
    r = subprocess.run([os.path.join(BUILD, 'viewer', 'cprof-trace'), t.path, 'events'], stdout=subprocess.PIPE, check=True)
    return {word.replace('\\x20', ' ') for word in re.findall(r' obj=(\S+)', r.stdout.decode())}


def begin_of(t, name):
    return t.named(name)[0]


def rwlock(box):
    t = traced(box, 'rwlock')
    book, = of_kind(t, RWLOCK)
    readers = [e for e in t.named('lock.released') if e['mode'] == 2]
    # on a busy machine one may be done before the writer comes
    tap.between(len(readers), 1, 3, 'rwlock: readers, while a writer waits')
    got, = t.named('lock.acquired')
    tap.equal((got['mode'], got['order']), (1, len(readers) + 1), 'rwlock: the writer after the last')
    tap.ok(all(e.ns <= got.ns + 2000 and e['held'] >= 20e6 for e in readers), 'rwlock: all before it', str(readers))
    shared = [e for e in t.named('lock.pair.shared') if e['object'] == book]
    known = [e for e in t.named('lock.held') if e['object'] == book and e['mode'] == 2]
    tap.equal(len(shared) + len(known), ROUNDS + 3 - len(readers), 'rwlock: readers that nobody waits for')
    tap.ok(len(known) < 10, 'rwlock: without a second stamp')


def sem(box):
    t = traced(box, 'sem')
    posts, ends = t.named('sem.post'), t.named('sem.wait.end')
    tap.equal((len(posts), len(ends)), (2 * ROUNDS + 4, 2 * ROUNDS + 3), 'sem: posts and what they are for')
    for number in of_kind(t, SEM):
        tokens = low = 0
        for e in sorted((e for e in posts + ends if e['object'] == number), key=lambda e: e['order']):
            tokens += 1 if e.name == 'sem.post' else -1
            low = min(low, tokens)
        tap.equal(low, 0, 'sem: no token is taken before it is there')


def once(box):
    t = traced(box, 'once')
    begins, ends = t.named('once.begin'), t.named('once.end')
    tap.equal((len(begins), len(ends)), (3, 3), 'once: all three come')
    ran = [e for e in ends if e['ran']]
    tap.equal(len(ran), 1, 'once: and one does it')
    first = min(begins, key=lambda e: e.ns)
    runs = t.named('once.run')
    tap.equal([(e['object'], e.thread) for e in runs], [(ran[0]['object'], ran[0].thread)], 'once: which is known meanwhile')
    tap.ok(runs[0].ns <= ran[0].ns - 19e6, 'once: from its beginning on')
    tap.ok(all(e.ns >= first.ns + 19e6 for e in ends), 'once: the others wait for it')


def onces(box):
    t = traced(box, 'onces')
    ran = collections.Counter(e['object'] for e in t.named('once.end') if e['ran'])
    tap.equal((len(ran), set(ran.values())), (4 * ROUNDS, {1}), 'onces: each is run by one')
    tap.equal({(e['object'], e.thread) for e in t.named('once.run')},
              {(e['object'], e.thread) for e in t.named('once.end') if e['ran']}, 'onces: and it says so')


def pipe(box):
    """A byte to and fro: each read ends after the write that it got, and each write comes after the read before it."""
    t = traced(box, 'pipe')
    if 'all' not in SPEC:
        tap.equal(len(t.named('syscall', 'syscall.begin')), 0, 'pipe: no system calls')
        return
    files = {e['fd']: (e['number'], e['name']) for e in t.named('fd.open')}
    ours = {fd for fd, (number, name) in files.items() if name.startswith('pipe:') and number > 2}
    writes = [e for e in t.named('syscall') if e['number'] == WRITE and e['fd'] in ours]
    begins = [e for e in t.named('syscall.begin') if e['number'] == READ and e['fd'] in ours]
    ends = [e for e in t.named('syscall.end') if e['number'] == READ and any(b.thread == e.thread for b in begins)]
    tap.equal((len(writes), len(begins), len(ends)), (2 * ROUNDS + 1, 2 * ROUNDS, 2 * ROUNDS), 'pipe: every read and write')
    tap.ok(all(e['result'] == 1 for e in writes + ends), 'pipe: of a byte')
    tap.equal(len({e['fd'] for e in writes + begins}), 4, 'pipe: four ends')
    by_pipe = collections.defaultdict(lambda: ([], []))
    for e in writes:
        by_pipe[files[e['fd']][1]][0].append(e)
    for b in begins:
        end = next(e for e in ends if e.thread == b.thread and e.ns >= b.ns)
        by_pipe[files[b['fd']][1]][1].append(end)
    wrong = [(w, r) for puts, gets in by_pipe.values() for w, r in zip(puts, gets) if w.ns - w['took'] > r.ns]
    tap.equal((len(by_pipe), wrong), (2, []), 'pipe: what is read was being written')


def late(box):
    """What a destructor does after ours have run: all is there where a thread's last call is seen."""
    t = traced(box, 'late')
    taken = collections.Counter(e['object'] for e in t.named('lock.pair', 'lock.held'))
    tap.equal(len(t.named('thread.exit')) - 1, ROUNDS, 'late: all threads come to their end')
    tap.equal(sorted(taken.values()), [ROUNDS, 4 * ROUNDS] if 'all' in SPEC else [3 * ROUNDS], 'late: and do what they do')
    tap.equal(t.lost(), 0 if 'all' in SPEC else 2 * ROUNDS, 'late: or it is counted')
    if 'all' in SPEC:
        calls = [e for e in t.named('syscall') if e['number'] == GETPPID]
        exits = {e.thread: e.ns for e in t.named('thread.exit')}
        tap.equal([e.ns <= exits[e.thread] for e in calls], [True] * ROUNDS, 'late: and are heard to it')


def cxx_pingpong(box):
    t = traced(box, 'pingpong', host='schedules_cxx')
    tap.equal(len(t.named('cond.signal')), 2 * ROUNDS, 'C++ pingpong: each turn is signalled')
    mutex, = {e['mutex'] for e in t.named('cond.wait.begin')}
    tap.equal(overlaps(t, mutex), [], 'C++ pingpong: one holds the mutex at a time')
    orders = {(e['object'], e['order']): e for e in t.named('cond.signal', 'cond.wait.end')}
    wrong = [e for e in t.named('cond.wait.end') if not any(
        orders.get((e['object'], n)) is not None and orders[e['object'], n].name == 'cond.signal' and
        orders[e['object'], n].thread != e.thread for n in range(e['order'] - 2, e['order']))]
    tap.equal(wrong, [], 'C++ pingpong: each end has the other\'s signal before it')


def cxx_shared(box):
    t = traced(box, 'shared', host='schedules_cxx')
    got = [e for e in t.named('lock.acquired') if t.objects[e['object']].kind == RWLOCK]
    readers = [e for e in t.named('lock.released') if e['mode'] == 2]
    tap.equal((len(got), len(readers)), (1, 3), 'C++ shared: a writer waits for three readers')
    tap.ok(all(e.ns <= got[0].ns + 2000 and e['held'] >= 20e6 for e in readers), 'C++ shared: all before it', str(readers))
    tap.between(got[0]['waited'] / t.said['writer_ns'], 0.8, 1, 'C++ shared: as long as its clock says')


def cxx_timed(box):
    t = traced(box, 'timed', host='schedules_cxx')
    failed = [e for e in t.named('lock.failed') if e['result'] == ETIMEDOUT]
    tap.equal(len(failed), 1, 'C++ timed: a lock that was not got')
    begin, = [e for e in t.named('lock.wait.begin') if e['object'] == failed[0]['object']]
    tap.between((failed[0].ns - begin.ns) / t.said['mutex_ns'], 0.8, 1, 'C++ timed: the mutex as long')
    (begin,), (end,) = t.named('cond.wait.begin'), t.named('cond.wait.end')
    tap.equal((begin['timed'], end['result']), (1, ETIMEDOUT), 'C++ timed: the condition')
    tap.between((end.ns - begin.ns) / t.said['cond_ns'], 0.8, 1, 'C++ timed: the condition as long')


def cxx_jthread(box):
    t = traced(box, 'jthread', host='schedules_cxx')
    if 'no_jthread' in t.said:
        tap.skip('C++ jthread', 'this C++ has none')
        return
    (begin,), (end,) = t.named('cond.wait.begin'), t.named('cond.wait.end')
    signals = [e for e in t.named('cond.signal') if e['object'] == end['object'] and e['order'] < end['order']]
    tap.ok(end['result'] == 0 and len(signals) == 1 and begin.ns < signals[0].ns <= end.ns and signals[0].thread == 1,
           'C++ jthread: its request ends the wait', str(signals))
    join, = [e for e in t.named('join.begin') if e['thread'] == end.thread]
    tap.ok(join.ns >= signals[0].ns, 'C++ jthread: and it is joined then')


def nested(box):
    t = traced(box, 'nested')
    many = t.named('object.destroy')
    tap.equal(len(many), 12, 'nested: those that are destroyed')
    mine = collections.Counter((e.name) for e in t.events if e.args.get('object') in [m['object'] for m in many] and
                               e.name in LOCKS)
    tap.equal((mine['lock.released'], mine['lock.held'] + mine['lock.pair']), (4, 8),
              'nested: twelve at once, four of them since nobody knows when')
    tap.ok(all(t.objects[m['object']].site != 0 for m in many), 'nested: where they were made')
    names = {t.objects[m['object']].name for m in many}
    tap.ok(len(names) == 1 and re.match(r'\w+ schedules\.c:\d+$', *names), 'nested: as their name says', names)
    tap.ok('%s@%#x' % (*names, t.objects[many[0]['object']].address) in shown_objects(t),
           'nested: and the address, where they are shown', shown_objects(t))
    of = collections.Counter(e['object'] for e in t.named('lock.pair', 'lock.held', 'lock.released'))
    spin, = of_kind(t, SPIN)
    tap.equal(of[spin], 1, 'nested: the spin lock')
    again = [n for n in of_kind(t, MUTEX) if of[n] == 1 and n not in [m['object'] for m in many]]
    tap.equal(len(again), 2, 'nested: one that is taken three times by the same thread is taken once')
    longs = [e for e in t.named('lock.held') if e['held'] >= 1e6]
    # a short one in which a processor is taken away is a long one
    tap.measured(len(longs) == 20, 'nested: each of twenty long ones has its length', len(longs))
    tap.measured(all(e['held'] < 200e6 for e in longs), 'nested: and no more')


def held(box):
    t = traced(box, 'held')
    second = min(b.generation for b in t.blocks if b.generation > 0)
    # the last is of the end
    states = {e.thread: e for e in reversed(t.named('thread.status')) if e.block.generation == second}
    locks = [e for e in t.named('status.held') if e.block.generation == second]
    tap.equal([(e.thread, t.objects[e['object']].name, e['mode']) for e in locks], [(1, 'one', 1)],
              'held: what a thread holds is told where a generation begins')
    taken = min(e.ns for e in t.named('once.begin'))
    tap.ok(locks and abs(locks[0].ns - locks[0]['since'] - taken) < 50e6, 'held: and since when')
    tap.equal((states[1]['held'], states[2]['state'], states[3]['state']), (1, IDLE if 'all' in SPEC else RUNNING, WAITS),
              'held: who runs what others wait for does not wait')


def handler(box):
    t = traced(box, 'handler')
    mutex = of_kind(t, MUTEX)[0]
    pairs = sum(e['object'] == mutex for e in t.named('lock.pair', 'lock.held', 'lock.released'))
    tap.equal(pairs, t.said['pairs'], 'handler: every pair, whatever a handler interrupts')
    tap.equal(len(t.named('sem.post', 'signal')) + t.nested, 2 * t.said['tokens'],
              'handler: every signal and post, or a word that it is lost')
    tap.ok(t.nested < t.said['tokens'] / 5, 'handler: few are lost', '%d of %d' % (t.nested, t.said['tokens']))
    tap.equal(len(t.named('sem.wait.end')), t.said['tokens'], 'handler: every token')
    tap.ok(not [e for e in t.named('lock.released') if e['held'] == 0], 'handler: nothing is forgotten')


def left(box):
    t = traced(box, 'left')
    failed, = [e for e in t.named('lock.failed')]
    tap.equal(failed['result'], ECANCELED, 'left: a wait that a handler left')
    begin = next(e for e in t.named('lock.wait.begin') if e.thread == failed.thread)
    tap.between((failed.ns - begin.ns) / 1e6, 5, 60, 'left: after 20 ms')
    after = [e for e in t.of(failed.thread) if e.ns > failed.ns and e.name in ('lock.pair', 'lock.held')]
    tap.equal(len(after), 100, 'left: the thread goes on as ever')
    last = [e for e in t.named('lock.released', 'lock.held') if e['object'] == begin['object']]
    tap.ok(len(last) == 1 and last[0].args.get('waiters', 0) == 0 and last[0]['held'] >= 60e6,
           'left: and is not waited for any more', str(last))
    end, = t.named('sem.wait.end')
    tap.equal(end['result'], ECANCELED, 'left: a wait whose thread is cancelled')


CXX = (cxx_pingpong, cxx_shared, cxx_timed, cxx_jthread) if os.path.exists(program('schedules_cxx')) else ()


def main():
    box = Box()

    def point(test):
        def run():
            test(box)
        run.__name__ = test.__name__
        return run
    tap.run(*map(point, (pingpong, queue, philosophers, convoy, barrier, join, timed, rwlock, sem, once, onces, nested, held,
                         handler, left, pipe, late) + CXX))
    box.close()


main()
