"""
Tables of a trace, counted from its events by trace_story.py: rows as `cprof-trace` prints them with --json, made in another way. Times
that it prints from the beginning on are ns from there.

    s = Story(trace_file.read(path))
    w = Range(s, since, until, {thread, …})     ns from the beginning, both inclusive; all of it without them
    w.threads()  w.syscalls(key)  …             what there is in this range: waits, calls and holds are cut where it ends

Which of a thread's waits are idle, for they are at its usual place, is for the viewer to judge: with --include-idle nothing depends on
it but the names `wait` and `idle` of a state. The states of a thread that waits for what has no strict order (see `is_strict`) are
compared with both, and `runnable`, together.
"""

import bisect
import collections
import itertools

import trace_story as story
from trace_file import SWITCHES, STATES

Interval = collections.namedtuple('Interval', 'thread since until state object call fd stack task kind')
KINDS = ['object', 'mutex', 'rwlock', 'spin', 'cond', 'sem', 'barrier', 'once', 'futex', 'user']
FILES = ['unknown', 'file', 'pipe', 'socket', 'eventfd', 'timerfd', 'epoll', 'signalfd', 'inotify', 'memory', 'other']
MADE_AT = 1
FILE, SOCKET, SPIN = 1, 3, 3
OFF = 50000  # ns by which a record of a switch may be beside what the thread writes, who is then on a processor
READS = {'read', 'pread64', 'readv', 'preadv', 'preadv2', 'recvfrom', 'recvmsg'}
MOVES = READS | {'write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'sendto', 'sendmsg', 'sendfile', 'splice', 'copy_file_range'}
BOOK = {'thread.status', 'status.held', 'status.region', 'thread.exit'}  # somebody else may write it for a thread
KEPT = 256
SLEEPS = {'nanosleep', 'clock_nanosleep'}
Activity = collections.namedtuple('Activity', 'state object call fd stack kind woken')
RUNNING = Activity('running', 0, None, 0, 0, None, None)
UNKNOWN = Activity('unknown', 0, None, 0, 0, None, None)


class Story:
    def __init__(self, t):
        self.t, self.begun = t, t.header.monotonic_ns
        story.in_order(t)
        self.lives, self.calls, self.waits = story.lives(t), story.calls(t), story.waits(t)
        self.edges = story.edges(t)
        self.woken = {}
        for e in self.edges:
            self.woken[e.sink.thread, id(e.sink)] = e.source
        self.has_switches = any(e.name in ('sched.in', 'sched.out') for e in t.events)
        self.switches_ns = min((b.first_ns for b in t.blocks if b.kind == 'events' and b.flags & SWITCHES), default=0)
        self.first, self.last = t.events[0].ns, t.events[-1].ns
        self.holds = self._holds()
        self.intervals = {thread: self._intervals(thread) for thread in self.lives}
        self.unordered = {w.thread for w in self.waits if w.kind != 'lock'}

    # ---- names ----

    def object(self, number):
        o = self.t.objects.get(number)
        if o is None:
            return 'object#%d' % number
        if o.name and not o.flags & MADE_AT:
            return o.name
        return '%s@%#x%s' % (o.name or KINDS[o.kind], o.address, '#%d' % (o.generation + 1) if o.generation else '')

    def kind(self, number):
        return KINDS[self.t.objects[number].kind] if number in self.t.objects else 'object'

    def thread(self, number):
        return self.t.threads[number].name or 'thread-%d' % number

    def file(self, number, at=None):
        """As it is called at that time, or in the end."""
        named, kind, name = None, 0, ''
        if number in self.t.files:
            named, kind, name = self.t.files[number]
        for e in self.t.named('fd.open', 'fd.name'):
            if e['fd'] == number and (at is None or e.ns <= at):
                if e.name == 'fd.open':
                    named, kind = e['number'], e['kind']
                name = e['name']
        return 'file#%d' % number if named is None else '%d:%s' % (named, name or FILES[kind])

    # ---- what threads do ----

    def _holds(self):
        """Those that are known: what others may have ended, and what is open in the end, too."""
        found, held = [], collections.defaultdict(dict)
        ends = {thread: life.until for thread, life in self.lives.items()}
        waiting, stacks = {}, {}

        def end(thread, e, mode):
            ns = e.args['held']
            since = held[thread].pop(e['object'], None)
            owner = thread
            if ns == 0 and since is None:
                owner = next((n for n in held if e['object'] in held[n]), thread)
                since = held[owner].pop(e['object'], None)
            begun = e.ns - ns if ns else since[0] if since else e.ns
            # where it was let go, else where it was waited for
            stack = e.args.get('stack', 0) or (since[2] if since else 0)
            found.append(story.Hold(owner, e['object'], mode, begun, e.ns, stack, False, e.args.get('order', 0),
                                    e.args.get('waiters', 0)))

        for e in self.t.events:
            if e.block.flags & SWITCHES or e.thread not in ends:
                continue
            if e.name in ('lock.pair', 'lock.pair.shared'):
                found.append(story.Hold(e.thread, e['object'], 1 if e.name == 'lock.pair' else 2, e.ns, e.ns, 0, True, 0, 0))
            elif e.name in ('lock.held', 'lock.released'):
                end(e.thread, e, e['mode'])
            elif e.name == 'lock.wait.begin':
                stacks[e.thread] = e['stack']
            elif e.name == 'lock.acquired':
                held[e.thread].setdefault(e['object'], (e.ns, e['mode'], stacks.get(e.thread, 0)))
            elif e.name == 'cond.wait.begin':
                waiting[e.thread] = e['mutex'], e['stack']
            elif e.name == 'cond.wait.end' and waiting.get(e.thread, (0, 0))[0]:
                mutex, stack = waiting.pop(e.thread)
                held[e.thread].setdefault(mutex, (e.ns, 1, stack))
            elif e.name == 'status.held':
                held[e.thread].setdefault(e['object'], (e.ns - e['since'], e['mode'], 0))
            elif e.name == 'thread.exit':
                for number, (since, mode, _) in held.pop(e.thread, {}).items():
                    found.append(story.Hold(e.thread, number, mode, since, None, 0, False, 0, 0))
        for thread, of in held.items():
            for number, (since, mode, _) in of.items():
                found.append(story.Hold(thread, number, mode, since, None, 0, False, 0, 0))
        return found

    def until(self, item):
        """Where it ended, or its thread."""
        if item.until is not None:
            return item.until
        return item.seen if hasattr(item, 'seen') else self.lives[item.thread].until

    def _activities(self, thread, events):
        """[(since, until, Activity, task)] without gaps."""
        found, at, life = [], events[0].ns, self.lives[thread]
        begun, opened, task = [], [], 0

        def now():
            if begun:
                b = begun[-1]
                is_spin = b.name == 'lock.wait.begin' and b['object'] in self.t.objects and self.t.objects[b['object']].kind == SPIN
                state = 'spin' if is_spin else 'lock' if b.name == 'lock.wait.begin' else 'wait'
                return Activity(state, b.args.get('object', 0), None, 0, b['stack'], story.BEGINS[b.name], None)
            if opened:
                name = story.CALLS.get(opened[-1]['number'], '')
                return Activity('idle' if name in story.IDLE else 'syscall', 0, opened[-1]['number'], opened[-1]['fd'], 0, None, None)
            return RUNNING

        def until(ns, what):
            nonlocal at
            if ns > at:
                found.append((at, ns, what, task))
                at = ns

        for e in events:
            if e.name == 'lost':
                del begun[:], opened[:]
                until(e.ns, UNKNOWN)
            elif opened and story.returned(opened[-1], e) is not None:
                until(story.returned(opened[-1], e), now())
                opened.pop()
            if e.name == 'syscall':
                if opened and isinstance(opened[-1], story.Told):
                    opened.pop()
                if not begun:
                    if e.ns - e['took'] > at:
                        until(e.ns - e['took'], now())
                    name = story.CALLS.get(e['number'], '')
                    until(e.ns, Activity('idle' if name in story.IDLE else 'syscall', 0, e['number'], e['fd'], e['stack'], None, None))
            elif e.name == 'syscall.begin':
                if not begun:
                    until(e.ns, now())
                opened.append(e)
            elif e.name == 'syscall.end':
                while opened and opened[-1]['number'] != e['number']:
                    opened.pop()
                if opened:
                    if not begun:
                        until(e.ns, now()._replace(stack=e['stack']))
                    opened.pop()
            elif e.name in story.BEGINS:
                until(e.ns, now())
                begun.append(e)
            elif e.name in story.ENDS:
                if any(story.BEGINS[b.name] == story.ENDS[e.name] for b in begun):
                    while story.BEGINS[begun[-1].name] != story.ENDS[e.name]:
                        begun.pop()
                    source = self.woken.get((thread, id(e)))
                    until(e.ns, now()._replace(woken=source.ns if source is not None else None))
                    begun.pop()
            elif e.name in ('task.switch', 'region.begin', 'region.end'):
                until(e.ns, now())
                if e.name == 'task.switch':
                    task = e['task']
            elif e.name == 'thread.status':
                task = e['task']
                if not opened and not begun and story.told_call(e):
                    opened.append(story.told_call(e))
        until(life.until, now())
        return found

    def _pieces(self, thread, events):
        """[(since, state)]: whether it has a processor. What it writes itself is written on one."""
        life = self.lives[thread]
        found = [(life.since, 'on')]
        mine = [(e.ns, 1, e) for e in events if e.name not in BOOK and e.ns > life.since]
        records = [(e.ns, 0, e) for e in self.t.named('sched.in', 'sched.out') if e['thread'] == thread
                   and life.since <= e.ns <= life.until]
        last = life.since
        for ns, own, e in sorted(mine + records, key=lambda each: each[:2]):
            state = found[-1][1]
            if own:
                if state != 'on' and ns > found[-1][0] + OFF:
                    found.append((ns, 'on'))
                last = ns
            elif e.name == 'sched.in':
                if state == 'on' and ns > max(found[-1][0], last) + OFF:
                    found.append((max(found[-1][0], last), 'blocked'))  # it must have left it before
                found.append((ns, 'on'))
            else:
                found.append((ns, 'preempted' if e['reason'] == story.PREEMPTED else 'blocked'))
        return found

    def _intervals(self, thread):
        events = story.own(self.t)[thread]
        found, activities = [], self._activities(thread, events)
        if not self.has_switches:
            return [Interval(thread, since, until, a.state, a.object, a.call, a.fd, a.stack, task, a.kind)
                    for since, until, a, task in activities]
        pieces = self._pieces(thread, events)
        ends = [since for since, _ in pieces[1:]] + [self.lives[thread].until + 1]
        i = 0

        def add(since, until, state, a, task):
            if until > since:
                found.append(Interval(thread, since, until, state, a.object, a.call, a.fd, a.stack, task, a.kind))

        for since, until, a, task in activities:
            at = since
            while at < until:
                while ends[i] <= at:
                    i += 1
                end, state = min(until, ends[i]), pieces[i][1]
                if state == 'on' and at < self.switches_ns and a.state != 'running':
                    end = min(end, self.switches_ns)
                    add(at, end, a.state, a, task)  # nobody looked yet
                elif state == 'on':
                    add(at, end, 'spin' if a.state == 'spin' else 'running', a, task)
                elif state == 'preempted':
                    add(at, end, 'runnable', a, task)
                elif a.state in ('running', 'unknown'):
                    add(at, end, 'unknown', a, task)
                elif a.woken is not None and at < a.woken < end:
                    add(at, a.woken, a.state, a, task)
                    add(a.woken, end, 'runnable', a, task)
                else:
                    add(at, end, a.state, a, task)
                at = end
        return found


class Sum:
    """How often and how long."""

    def __init__(self):
        self.ns, self.more = [], collections.Counter()

    def add(self, ns, **more):
        self.ns.append(ns)
        self.more.update(more)

    @property
    def count(self):
        return len(self.ns)

    @property
    def total(self):
        return sum(self.ns)

    @property
    def max(self):
        return max(self.ns, default=0)

    def at(self, share):
        ns = sorted(self.ns)
        return ns[min(int(share * len(ns)), len(ns) - 1)] if ns else 0


class Range:
    def __init__(self, s, since=None, until=None, threads=None):
        self.s, self.whole = s, since is None and until is None
        self.since = s.begun + since if since is not None else 0
        self.until = s.begun + until if until is not None else 1 << 63
        self.numbers = {n for n in s.lives if threads is None or s.t.threads[n].tid in threads}

    def cut(self, since, until):
        return max(0, min(until, self.until) - max(since, self.since))

    def has(self, item):
        return item.thread in self.numbers and self.s.until(item) >= self.since and item.since <= self.until

    def ns(self, item):
        return self.cut(item.since, self.s.until(item))

    def calls(self):
        return [c for c in self.s.calls if self.has(c)]

    def waits(self):
        """What was over at once was none."""
        return [w for w in self.s.waits if self.has(w) and self.s.until(w) > w.since]

    def holds(self):
        return [h for h in self.s.holds if self.has(h)]

    def intervals(self):
        for n in sorted(self.numbers):
            for i in self.s.intervals[n]:
                if self.cut(i.since, i.until) > 0:
                    yield i._replace(since=max(i.since, self.since), until=min(i.until, self.until))

    # ---- tables ----

    def states(self):
        found = {n: collections.Counter() for n in self.numbers if self.alive(n)}
        for i in self.intervals():
            found[i.thread][i.state] += i.until - i.since
        return found

    def alive(self, n):
        life = self.s.lives[n]
        return life.until >= self.since and life.since <= self.until

    def threads(self):
        """{tid: (life, calls, waits, preempted, blocked)}"""
        s, found = self.s, {}
        calls = collections.Counter(c.thread for c in self.calls())
        waits = collections.Counter(w.thread for w in self.waits())
        outs = collections.Counter((e['thread'], e['reason'] == story.PREEMPTED) for e in s.t.named('sched.out')
                                   if self.since <= e.ns <= self.until)
        for n in self.numbers:
            if self.alive(n):
                life = s.lives[n]
                found[s.t.threads[n].tid] = (self.cut(life.since, life.until), calls[n], waits[n], outs[n, True], outs[n, False])
        return found

    def parallel(self):
        """[ns in which so many threads ran]; threads are there from the first one's beginning to the last one's end."""
        changes, lives = collections.Counter(), [self.s.lives[n] for n in self.numbers if self.alive(n)]
        for i in self.intervals():
            if i.state == 'running':
                changes[i.since] += 1
                changes[i.until] -= 1
        begin = max(self.since, min((life.since for life in lives), default=0))
        end = min(self.until, max((life.until for life in lives), default=0))
        found, at, n = collections.Counter(), begin, 0
        for ns in sorted(changes):
            found[n] += ns - at
            at, n = ns, n + changes[ns]
        found[n] += max(0, end - at)
        return found

    def syscalls(self, by):
        """{key: Sum}; a call that has no key is left out."""
        found = collections.defaultdict(Sum)
        for c in self.calls():
            key, ns, idle = by(c), self.ns(c), c.name in story.IDLE
            if key is None:
                continue
            result = c.result or 0
            found[key].add(ns, errors=c.until is not None and -4095 <= result < 0, open=c.until is None,
                           bytes=result if c.name in MOVES and result > 0 else 0, idle_count=idle, idle_ns=ns if idle else 0)
        return found

    def by_number(self, c):
        return c.name

    def by_thread(self, c):
        return self.s.t.threads[c.thread].tid

    def by_stack(self, c):
        return c.stack

    def by_file(self, c):
        if c.fd == 0:
            return None
        return (c.file, FILES[c.kind]) if c.file else (c.fd, FILES[c.kind])

    def by_path(self, c):
        return c.path if c.path else c.file if c.fd and c.kind == FILE and c.file else None

    def by_peer(self, c):
        if c.fd == 0 or c.kind != SOCKET:
            return None
        if not c.file:
            return c.fd
        kind, _, rest = c.file.partition(' ')
        return kind + ' ' + rest.split('->', 1)[1] if '->' in rest else c.file

    def by_error(self, c):
        return (c.name, -c.result) if c.until is not None and -4095 <= c.result < 0 else None

    def side(self, number, mode):
        if self.s.kind(number) != 'rwlock':
            return None
        return 'readers' if mode == story.SHARED else 'writers'

    def locks(self):
        """{(number, side): (waits, holds of known length, hand-overs; and counters: taken, failed, open)}"""
        found = collections.defaultdict(lambda: (Sum(), Sum(), Sum(), collections.Counter()))
        ends = {}
        for w in self.waits():
            if w.object == 0:
                continue
            row = found[w.object, self.side(w.object, w.mode)]
            row[0].add(self.ns(w))
            row[3].update(failed=w.kind not in ('barrier', 'once') and bool(w.result), open=w.until is None)
            ends[w.thread, w.object, w.until] = row
        for h in self.holds():
            row = found[h.object, self.side(h.object, h.mode)]
            row[3]['taken'] += 1
            if self.s.until(h) > h.since:
                row[1].add(self.ns(h))
        for e in self.s.edges:
            key = e.sink.thread, e.sink['object'], e.sink.ns
            if e.sink.name == 'lock.acquired' and key in ends and e.sink.ns >= self.since and e.source.ns <= self.until:
                ends[key][2].add(self.cut(e.source.ns, e.sink.ns))
        return found

    def queue(self, number, side):
        """How many at most waited at once, when one of this row's waits ended: the fewest, the most that it can have been."""
        low, high, of = 0, 0, [w for w in self.s.waits if w.object == number]
        for w in self.waits():
            if w.object == number and self.side(number, w.mode) == side:
                end = self.s.until(w)
                low = max(low, 1 + sum(o is not w and o.since < end < self.s.until(o) for o in of))
                high = max(high, sum(o.since <= end <= self.s.until(o) for o in of))
        return low, high

    def sites(self):
        found = collections.defaultdict(lambda: (Sum(), collections.Counter()))
        for w in self.waits():
            row = found[w.stack if w.stack else -w.object]
            row[0].add(self.ns(w))
            row[1].update(failed=w.kind not in ('barrier', 'once') and bool(w.result), open=w.until is None)
        return found

    def holders(self):
        """
        {place where it was let go, or -thread, or 0: nobody had it: ns}. Who had it together with others is waited for by the last
        of them; of a wait that was in vain the rest is for who had it when it began.
        """
        found, by_object = collections.Counter(), collections.defaultdict(list)
        for h in self.s.holds:
            if not h.is_short and (h.order or h.waiters or h.until is None) and self.s.until(h) >= self.since and h.since <= self.until:
                by_object[h.object].append(h)
        for of in by_object.values():
            of.sort(key=self.s.until)
        for w in self.waits():
            if w.kind != 'lock' or not w.object:
                continue
            end, is_had = self.s.until(w), w.until is None or bool(w.result)

            def nobody(since, until):
                found[-w.holder if is_had else 0] += self.cut(since, until)

            for h in reversed(by_object[w.object]):
                until = min(self.s.until(h), end)
                if h.thread == w.thread or h.since >= end or until <= w.since or self.s.until(h) > self.s.until(w) and h.until is not None:
                    continue
                nobody(until, end)
                is_had, end = False, max(h.since, w.since)
                found[h.stack if h.stack else -h.thread] += self.cut(end, until)
            nobody(w.since, end)
        return collections.Counter({key: ns for key, ns in found.items() if ns > 0})

    def orders(self):
        """
        {(held, taken): [(thread, all that was held)]}. Of two that are taken within one tick, 1 ns for what is rounded, the one that is
        held longer is the outer one.
        """
        found, by_thread = collections.defaultdict(list), collections.defaultdict(list)
        for h in self.s.holds:
            if self.s.until(h) >= self.since and h.since <= self.until:
                by_thread[h.thread].append((h.since, self.s.until(h), h.object))
        for w in self.s.waits:
            if w.kind == 'lock' and w.until is None:
                by_thread[w.thread].append((w.since, w.since, w.object))
        for thread, of in by_thread.items():
            held = []
            of.sort()
            for n, (since, until, taken) in enumerate(of):
                held = [h for h in held if h[1] > since]
                outer = [h for h in held if h[2] != taken and (h[0] + 1 < since or h[1] > until)]
                outer += [h for h in itertools.takewhile(lambda h: h[0] <= since + 1, itertools.islice(of, n + 1, None))
                          if h[2] != taken and h[1] > until]
                for _, _, other in outer:
                    found[other, taken].append((thread, frozenset(h[2] for h in outer)))
                held.append((since, until, taken))
        return found

    def most_inside(self):
        """How many locks one thread takes, at most, while it holds another one."""
        by_thread, most = collections.defaultdict(list), 0
        for h in self.s.holds:
            by_thread[h.thread].append((h.since, self.s.until(h)))
        for of in by_thread.values():
            begins = sorted(since for since, _ in of)
            most = max([most] + [bisect.bisect_left(begins, until) - bisect.bisect_right(begins, since) for since, until in of])
        return most

    def across(self, calls=True, waits=True):
        """{(lock, what, name of file): Sum}; of what a thread does in a hold, the last KEPT calls and waits are looked at (across.h)."""
        found, by_thread = collections.defaultdict(Sum), collections.defaultdict(list)
        mine = [(w, 'join' if w.kind == 'join' else '%s %s' % (self.s.kind(w.object), self.s.object(w.object)), None)
                for w in self.waits()] if waits else []
        if calls:
            inside = collections.defaultdict(list)
            for w in self.s.waits:
                inside[w.thread].append((w.since, self.s.until(w)))
            mine += [(c, c.name, (c.file or '#%d' % c.fd) if c.fd else None) for c in self.calls()
                     if not any(a <= c.since and self.s.until(c) <= b for a, b in inside[c.thread])]
        for each in sorted(mine, key=lambda each: self.s.until(each[0])):
            by_thread[each[0].thread].append(each)
        for h in self.holds():
            if self.s.until(h) > h.since:
                done = [each for each in by_thread[h.thread] if self.s.until(each[0]) <= self.s.until(h)]
                for item, what, file in done[-KEPT:]:
                    if h.since <= item.since:
                        found[h.object, what, file].add(self.ns(item))
        return found


def cycles(pairs, t):
    """
    Circles among them that may be a deadlock: {pair}. Not those by one thread alone, and not where a lock was always held around two
    of its pairs. What only reads is not looked at.
    """
    found, out = set(), collections.defaultdict(set)
    for held, taken in pairs:
        out[held].add(taken)
    threads = {pair: {thread for thread, _ in of} for pair, of in pairs.items()}
    gates = {pair: frozenset.intersection(*(held for _, held in of)) - {pair[0]} for pair, of in pairs.items()}

    def walk(path):
        for taken in out[path[-1]]:
            if taken == path[0]:
                way = list(zip(path, path[1:] + [taken]))
                if len(set().union(*(threads[p] for p in way))) > 1 and \
                        not any(gates[a] & gates[b] for i, a in enumerate(way) for b in way[:i]):
                    found.update(way)
            elif taken > path[0] and taken not in path and len(path) < 6:
                walk(path + [taken])

    for start in sorted(out):
        walk([start])
    return found


Task = collections.namedtuple('Task', 'type parent since until is_ended gap overlap threads at_once states begun_by ended_by')
Region = collections.namedtuple('Region', 'thread name task since until own is_ended is_inner depth states')


def inside(s, thread, since, until):
    """Counter of the states that it was in between."""
    found = collections.Counter()
    for i in s.intervals[thread]:
        if i.since >= until:
            break
        if i.until > since:
            found[i.state] += min(i.until, until) - max(i.since, since)
    return found


def tasks(s):
    """{number: Task}, which others may have begun: what is done for a part of it is done for it, too."""
    found, of = {}, story.tasks(s.t)
    ended_by = {e['task']: e.thread for e in s.t.named('task.end')}
    begun_by = {e['task']: e.thread for e in s.t.named('task.begin')}
    worked = collections.defaultdict(list)
    for thread, events in story.own(s.t).items():
        now, at = 0, None
        for e in events:
            if e.name in ('task.switch', 'thread.status', 'thread.exit'):
                task = 0 if e.name == 'thread.exit' else e['task']
                if task != now:
                    if now:
                        worked[now].append((thread, at, e.ns))
                    now, at = task, e.ns
        if now:
            worked[now].append((thread, at, s.lives[thread].until))
    for number, task in of.items():
        until = task.until if task.until is not None else s.last
        mine, more = [], [number]
        while more:
            n = more.pop()
            mine += worked[n]
            more += [k for k, each in of.items() if each.parent == n and k != n]
        mine = [(thread, max(a, task.since), min(b, until)) for thread, a, b in mine if a <= until and b > task.since]
        states, changes = collections.Counter(), collections.Counter()
        for thread, a, b in mine:
            states.update(inside(s, thread, a, b))
            changes[a] += 1
            changes[b] -= 1
        covered = most = n = at = 0
        for ns in sorted(changes):
            covered += ns - at if n > 0 else 0
            at, n = ns, n + changes[ns]
            most = max(most, n)
        all_ns = sum(b - a for _, a, b in mine)
        found[number] = Task(task.type, task.parent, task.since, until, task.until is not None, until - task.since - covered, all_ns - covered,
                             {thread for thread, _, _ in mine}, most, states, begun_by[number], ended_by.get(number))
    return found


def regions(s):
    found = []
    of = sorted(story.regions(s.t), key=lambda r: (r.thread, r.depth))
    by_thread = collections.defaultdict(list)
    for r in of:
        by_thread[r.thread].append(r._replace(until=r.until if r.until is not None else s.lives[r.thread].until))
    ends = {(r.thread, r.since, r.depth): r.until is not None for r in of}
    for thread, mine in by_thread.items():
        for r in mine:
            within = [x for x in mine if x.depth == r.depth + 1 and r.since <= x.since and x.until <= r.until]
            outer = [x for x in mine if x.depth < r.depth and x.since <= r.since and r.until <= x.until]
            found.append(Region(thread, r.name, r.task, r.since, r.until, r.until - r.since - sum(x.until - x.since for x in within),
                                ends[thread, r.since, r.depth], any(x.name == r.name for x in outer), r.depth,
                                inside(s, thread, r.since, r.until)))
    return found
