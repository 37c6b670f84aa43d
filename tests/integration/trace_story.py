"""
What a trace tells, counted from its events by docs/trace-format.md alone: what `cprof-trace` prints can be compared with it, and
it with what a program knows of itself. Shares nothing with the viewer.

    t = trace_file.read(path)
    in_order(t)                      events have the times that they have among all others; before all else, where it matters
    lives(t)               {thread: Life}
    calls(t)               [Call]    system calls: sums(calls(t), lambda c: c.name) is a table
    waits(t)               [Wait]    for locks, conditions, semaphores, barriers, once, join and futexes
    holds(t)               [Hold]    of locks
    edges(t)               [Edge]    who let whom go on
    nested(t), cycles(t)             which locks are taken while others are held, and in circles
    held_in_the_end(t)               {thread: {object}}: with waits that have no end, who is in a deadlock
    calls_inside(t)                  [(Hold, [Call])]: what is called while a lock is held
    tasks(t), regions(t)   {number: Task}, [Region]
    on_cpu(t)              {thread: [(from, until, reason)]} by the kernel's records of switches
    states(t)              {thread: Counter of ns}

Times are ns of CLOCK_MONOTONIC as they are in the file, unless in_order() was called. What had not ended with the trace has no
`until`; `seen` is where the thread's life ended in place of it.
"""

import collections
import re
import subprocess

from trace_file import STATES, SWITCHES

Life = collections.namedtuple('Life', 'thread since until is_begun is_ended')
Call = collections.namedtuple('Call', 'thread name since until result file stack number fd path seen kind arguments')
Wait = collections.namedtuple('Wait', 'thread kind object since until result holder order stack mode seen target mutex')
Hold = collections.namedtuple('Hold', 'thread object mode since until stack is_short order waiters')
Edge = collections.namedtuple('Edge', 'source sink')
Task = collections.namedtuple('Task', 'number type parent thread since until worked')
Region = collections.namedtuple('Region', 'thread name task since until depth')
Sum = collections.namedtuple('Sum', 'count errors total max')

BEGINS = {'lock.wait.begin': 'lock', 'cond.wait.begin': 'cond', 'sem.wait.begin': 'sem', 'barrier.wait.begin': 'barrier',
          'once.begin': 'once', 'futex.wait.begin': 'futex', 'join.begin': 'join'}
ENDS = {'lock.acquired': 'lock', 'lock.failed': 'lock', 'cond.wait.end': 'cond', 'sem.wait.end': 'sem',
        'barrier.wait.end': 'barrier', 'once.end': 'once', 'once.run': 'once', 'futex.wait.end': 'futex', 'join.end': 'join'}
SOURCES = {'lock.released': 'lock', 'cond.signal': 'cond', 'sem.post': 'sem'}
IDLE = {'poll', 'ppoll', 'select', 'pselect6', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'nanosleep', 'clock_nanosleep',
        'pause', 'rt_sigsuspend', 'rt_sigtimedwait', 'io_getevents', 'io_pgetevents', 'io_uring_enter'}  # they wait for work
PREEMPTED = 1
SHARED = 2
SYSCALL, IDLING = STATES.index('syscall'), STATES.index('idle')
FOREIGN = 1 << 24
MAKES = {'lock.released', 'cond.signal', 'sem.post', 'barrier.wait.begin'}
ORDERED = MAKES | {'lock.acquired', 'cond.wait.end', 'sem.wait.end', 'barrier.wait.end'}
TWICE = {'clone', 'clone3', 'vfork'}  # hardly anybody writes down when they return


def _names():
    text = subprocess.run(['cc', '-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout
    return {int(number): name for name, number in re.findall(r'#define __NR_(\w+) (\d+)', text)}


CALLS = _names()


def own(t):
    """{thread: its events, in the order in which it wrote them}"""
    found = collections.defaultdict(list)
    for e in t.events:
        if not e.block.flags & SWITCHES:
            found[e.thread].append(e)
    return found


def in_order(t):
    """
    What goes on takes the time of what made it go on, and what its thread did then is not before that. Of two who share a lock
    neither waits for the other.
    """
    groups, threads = collections.defaultdict(list), own(t)
    for e in t.events:
        if e.name in ORDERED and e['order'] and e['object']:
            groups[e['object']].append(e)
    for events in groups.values():
        events.sort(key=lambda e: (e['order'], e.name in MAKES))
    moved = True
    while moved:
        moved = False
        for events in groups.values():
            all_before = alone_before = here = here_alone = 0
            number = None
            for e in events:
                if e['order'] != number:
                    number, all_before, alone_before = e['order'], max(all_before, here), max(alone_before, here_alone)
                is_shared = e.args.get('mode') == SHARED
                if e.name in MAKES:
                    here = max(here, e.ns)
                    here_alone = max(here_alone, 0 if is_shared else e.ns)
                elif e.ns < (alone_before if is_shared else all_before):
                    e.ns = alone_before if is_shared else all_before
                    moved = True
        for events in threads.values():
            at = 0
            for e in events:
                if e.ns < at:
                    e.ns = at
                    moved = True
                at = e.ns
    t.events.sort(key=lambda e: e.ns)


def lives(t):
    found, last = {}, max(e.ns for e in t.events)
    for thread, events in own(t).items():
        end = next((e for e in events if e.name == 'thread.exit'), None)
        if thread and thread < FOREIGN:
            found[thread] = Life(thread, events[0].ns, end.ns if end else last, events[0].name == 'thread.start', end is not None)
    return found


def sums(items, key):
    """{key: Sum} of what has since and until; what has not ended is left out."""
    found = {}
    for item in items:
        if item.until is None:
            continue
        ns, failed = item.until - item.since, (getattr(item, 'result', 0) or 0) < 0
        s = found.get(key(item), Sum(0, 0, 0, 0))
        found[key(item)] = Sum(s.count + 1, s.errors + failed, s.total + ns, max(s.max, ns))
    return found


def files(t):
    """{instance: name}"""
    found = {number: each.name for number, each in t.files.items()}
    for e in t.named('fd.open', 'fd.name'):
        found[e['fd']] = e['name'] or found.get(e['fd'], '')
    return found


class Told:
    """The beginning of a call or a wait, as a thread.status has it, who was in it when a generation began."""

    def __init__(self, e, name, args):
        self.ns, self.thread, self.name, self.args = e.ns - e['since'], e.thread, name, args

    def __getitem__(self, key):
        return self.args[key]


def told_call(e):
    if e.name == 'thread.status' and e['state'] in (SYSCALL, IDLING) and e['reason']:
        return Told(e, 'syscall.begin', {'number': e['reason'] - 1, 'fd': 0, 'a': 0, 'b': 0, 'c': 0})
    return None


def returned(b, e):
    """When one that returns twice is over, as its thread's next event has it; None: it goes on, or is none."""
    if CALLS.get(b['number']) not in TWICE or e.name in ('fork', 'exec') or (e.name == 'syscall.end' and e['number'] == b['number']):
        return None
    return max(b.ns, e.ns - (e['took'] if e.name == 'syscall' else 0))


def calls(t):
    """In the order of their ends. A file has the name that it has when the call is over, and a kind."""
    found, ends = [], {life.thread: life.until for life in lives(t).values()}
    known = {number: (each.name, each.kind) for number, each in t.files.items()}
    opened, paths = collections.defaultdict(list), collections.defaultdict(list)

    def add(b, since, until, seen, result, stack):
        name, kind = known.get(b['fd'], (None, 0))
        path = paths.pop(b.thread, [None])[0]
        found.append(Call(b.thread, CALLS.get(b['number'], str(b['number'])), since, until, result, name, stack, b['number'], b['fd'],
                          path, seen, kind, (b['a'], b['b'], b['c'])))

    for e in t.events:
        if e.block.flags & SWITCHES or e.thread not in ends:
            continue
        of = opened[e.thread]
        while of and returned(of[-1], e) is not None:
            b = of.pop()
            add(b, b.ns, None, returned(b, e), None, 0)
        if e.name in ('fd.open', 'fd.name'):
            kind = e['kind'] if e.name == 'fd.open' else known.get(e['fd'], ('', 0))[1]
            known[e['fd']] = (e['name'], kind)
        elif e.name == 'syscall.path':
            paths[e.thread].append(e['path'])
        elif e.name == 'thread.status' and not of and told_call(e):
            of.append(told_call(e))
        elif e.name == 'syscall':
            if of and isinstance(of[-1], Told):
                of.pop()  # that one: it is told as a whole
            add(e, e.ns - e['took'], e.ns, e.ns, e['result'], e['stack'])
        elif e.name == 'syscall.begin':
            of.append(e)
        elif e.name == 'syscall.end':
            # what is above it was left by a handler that did not return
            while of and of[-1]['number'] != e['number']:
                of.pop()
            if of:
                b = of.pop()
                add(b, b.ns, e.ns, e.ns, e['result'], e['stack'])
        elif e.name == 'thread.exit':
            for b in reversed(of):
                add(b, b.ns, None, e.ns, None, 0)
            del of[:]
    for thread, of in opened.items():
        for b in reversed(of):
            add(b, b.ns, None, ends[thread], None, 0)
    return found


def waits(t):
    """Who waits in a handler, which came in a wait, does so inside it."""
    found, ends = [], {life.thread: life.until for life in lives(t).values()}
    for thread, events in own(t).items():
        if thread not in ends:
            continue
        begun = []
        for e in events:
            if e.name in BEGINS:
                begun.append(e)
            elif e.name in ENDS and any(BEGINS[b.name] == ENDS[e.name] for b in begun):
                while BEGINS[begun[-1].name] != ENDS[e.name]:
                    begun.pop()
                found.append(_wait(thread, begun.pop(), e, e.ns))
        if begun:
            found.append(_wait(thread, begun[-1], None, ends[thread]))
    return found


def _wait(thread, begun, e, seen):
    return Wait(thread, BEGINS[begun.name], begun.args.get('object', 0), begun.ns, e.ns if e else None,
                e.args.get('result', 0) if e else None, begun.args.get('holder', 0), e.args.get('order', 0) if e else 0,
                begun['stack'], begun.args.get('mode', 0), seen, begun.args.get('thread', 0), begun.args.get('mutex', 0))


def holds(t):
    """Those that are over. How long a short one was is not known: until its thread's next event at most."""
    found = []
    for thread, events in own(t).items():
        for e in events:
            if e.name in ('lock.pair', 'lock.pair.shared'):
                found.append(Hold(thread, e['object'], 1 if e.name == 'lock.pair' else 2, e.ns, e.ns, 0, True, 0, 0))
            elif e.name in ('lock.held', 'lock.released') and e['held'] > 0:
                found.append(Hold(thread, e['object'], e['mode'], e.ns - e['held'], e.ns, e.args.get('stack', 0), False,
                                  e.args.get('order', 0), e.args.get('waiters', 0)))
    return found


def held_in_the_end(t):
    found = {}
    for thread, events in own(t).items():
        last = max((i for i, e in enumerate(events) if e.name == 'thread.status'), default=None)
        if last is None:
            continue
        found[thread] = {e['object'] for e in events[last + 1:last + 1 + events[last]['held']] if e.name == 'status.held'}
    return found


def edges(t):
    """
    Release n let acquisition n + 1 go on. Of conditions and semaphores it is the last signal and post with a smaller number; of a
    condition one that came after the wait began.
    """
    found, by_object, begun = [], collections.defaultdict(list), {}
    for e in t.events:
        if e.name in ENDS and e.args.get('order') and e.args.get('object') and ENDS[e.name] in ('lock', 'cond', 'sem'):
            by_object[e['object']].append(e)
        elif e.name in SOURCES and e['order']:
            by_object[e['object']].append(e)
    for thread, events in own(t).items():
        last = None
        for e in events:
            if e.name in BEGINS:
                last = e
            elif e.name in ENDS:
                begun[id(e)] = last
    for events in by_object.values():
        source = None
        for e in sorted(events, key=lambda e: e['order']):
            if e.name in SOURCES:
                source = e
            elif source is not None and not (e.name == 'lock.acquired' and source['order'] != e['order'] - 1) and \
                    not (e.name == 'cond.wait.end' and (e['result'] != 0 or begun[id(e)] is None or begun[id(e)].ns > source.ns)):
                found.append(Edge(source, e))
    return found


def nested(t):
    """{(held, taken): [(thread, all that was held)]}"""
    found, by_thread = collections.defaultdict(list), collections.defaultdict(list)
    for h in holds(t):
        by_thread[h.thread].append((h.since, h.until, h.object))
    for w in waits(t):
        if w.kind == 'lock' and w.until is None:
            by_thread[w.thread].append((w.since, w.since, w.object))
    ends = held_in_the_end(t)
    for thread, events in own(t).items():
        for e in events:
            if e.name == 'status.held' and e['object'] in ends.get(thread, ()):
                by_thread[thread].append((e.ns - e['since'], events[-1].ns + 1, e['object']))
    for thread, of in by_thread.items():
        held = []
        for since, until, taken in sorted(set(of)):
            held = [h for h in held if h[1] > since]
            for _, _, other in held:
                if other != taken:
                    found[other, taken].append((thread, frozenset(h[2] for h in held)))
            held.append((since, until, taken))
    return found


def cycles(t):
    """
    Two locks that are taken in both orders, by two threads, without a third that both held: {(one, other)}. Longer circles are not
    looked for.
    """
    found, pairs = set(), nested(t)
    for one, other in pairs:
        if one < other and (other, one) in pairs and any(
                a != b and not (held_a & held_b - {one, other})
                for a, held_a in pairs[one, other] for b, held_b in pairs[other, one]):
            found.add((one, other))
    return found


def calls_inside(t):
    """For each hold of a known length, the calls that its thread made meanwhile."""
    by_thread, found = collections.defaultdict(list), []
    for c in calls(t):
        by_thread[c.thread].append(c)
    for h in holds(t):
        if not h.is_short:
            found.append((h, [c for c in by_thread[h.thread] if c.since >= h.since and c.until is not None and
                              c.until <= h.until]))
    return found


def tasks(t):
    found, ends, worked, now = {}, {}, collections.defaultdict(list), {}
    for e in t.named('task.end'):
        ends[e['task']] = e.ns
    for thread, events in own(t).items():
        for e in events:
            if e.name == 'task.switch' or (e.name == 'task.end' and now.get(thread, (0,))[0] == e['task']):
                task, since = now.get(thread, (0, 0))
                if task:
                    worked[task].append((thread, since, e.ns))
                now[thread] = (e['task'] if e.name == 'task.switch' else 0, e.ns)
    for e in t.named('task.begin'):
        found[e['task']] = Task(e['task'], e['type'], e['parent'], e.thread, e.ns, ends.get(e['task']), worked[e['task']])
    return found


def regions(t):
    found = []
    for thread, events in own(t).items():
        opened = []
        for e in events:
            if e.name == 'region.begin':
                opened.append(e)
            elif e.name == 'region.end' and opened:
                b = opened.pop()
                found.append(Region(thread, b['name'], b['task'], b.ns, e.ns, len(opened)))
        found += [Region(thread, b['name'], b['task'], b.ns, None, i) for i, b in enumerate(opened)]
    return found


def on_cpu(t):
    """A last piece that has no end goes to where the trace ends, with the reason None."""
    switches, found = collections.defaultdict(list), {}
    for e in t.events:
        if e.block.flags & SWITCHES and e.name in ('sched.in', 'sched.out'):
            switches[e['thread']].append(e)
    for thread, events in switches.items():
        since, found[thread] = None, []
        for e in events:
            if e.name == 'sched.in':
                since = e.ns
            elif since is not None:
                found[thread].append((since, e.ns, e['reason']))
                since = None
        if since is not None:
            found[thread].append((since, t.events[-1].ns, None))
    return found


def _activities(events):
    """[(from, until, state)] of a thread between its first event and its last, without gaps, as its own events have it."""
    found, at = [], events[0].ns
    wait, opened = None, []

    def until(ns, state=None):
        nonlocal at
        if ns > at:
            found.append((at, ns, state or wait or (opened[-1] if opened else 'running')))
            at = ns

    for e in events:
        if e.name == 'syscall' and wait is None and not opened:
            until(e.ns - e['took'])
            until(e.ns, 'syscall')
        until(e.ns)
        if e.name in BEGINS:
            wait = 'lock' if e.name == 'lock.wait.begin' else 'wait'
        elif e.name in ENDS:
            wait = None
        elif e.name == 'syscall.begin':
            opened.append('idle' if CALLS.get(e['number']) in IDLE else 'syscall')
        elif e.name == 'syscall.end' and opened:
            opened.pop()
    return found


def states(t):
    """
    ns by state. What a thread waits for is its state from the wait's beginning to its end, on a processor or off. Where it waits for
    nothing, it runs if it has a processor, is runnable if that was taken from it, and unknown if it gave it up for what no event
    tells. Without records of switches all of that is `running`.
    """
    found, cpus = {}, on_cpu(t)
    for thread, events in own(t).items():
        total, pieces, i = collections.Counter(), cpus.get(thread), 0
        for since, until, state in _activities(events):
            if state != 'running' or pieces is None:
                total[state] += until - since
                continue
            while i < len(pieces) and pieces[i][1] <= since:
                i += 1
            at, k = since, i
            while at < until:
                reason = pieces[k - 1][2] if k > 0 else None  # it ran before anybody looked
                come = pieces[k][0] if k < len(pieces) else until
                if come > at:
                    total['runnable' if reason == PREEMPTED else 'unknown'] += min(come, until) - at
                    at = min(come, until)
                if at < until:
                    total['running'] += min(pieces[k][1], until) - at
                    at = min(pieces[k][1], until)
                    k += 1
        found[thread] = total
    return found


def place(t, stack, program):
    """(function, line) of the first frame in @program; (None, 0): there is none. Its frames are return addresses."""
    for path, address in t.stack(stack):
        if path == program:
            said = subprocess.run(['addr2line', '-fe', path, hex(address - 1)], stdout=subprocess.PIPE,
                                  universal_newlines=True).stdout.split()
            return said[0], int(re.match(r'\d*', said[1].rsplit(':', 1)[1]).group() or 0)
    return None, 0
