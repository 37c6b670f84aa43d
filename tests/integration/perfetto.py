"""
Reads an export in Perfetto's form without any of cprof's code, and looks whether it keeps the rules of that form.

    t = perfetto.Trace(data)
    t.problems          what is not as it should be: [] is right
    t.tracks            uuid → Track: name, parent, thread (tid), kind, slices, instants, counters, states
"""

import struct

from pprof import fields, message, numbers, signed

INTERNED = {1: 'category', 3: 'annotation', 5: 'function', 6: 'frame', 7: 'callstack', 16: 'build id', 17: 'path', 18: 'source',
            19: 'mapping'}
RUNNING = 3


def one(m, number, otherwise=None):
    return m.get(number, [otherwise])[-1]


def text(value):
    return value.decode('utf-8') if value is not None else None


class Slice:
    def __init__(self, name, begin, category, notes, stack):
        self.name, self.begin, self.end, self.category, self.notes, self.stack = name, begin, None, category, notes, stack
        self.depth = 0


class Track:
    def __init__(self, uuid):
        self.uuid, self.parent, self.name, self.tid, self.kind = uuid, None, None, None, 'track'
        self.events, self.slices, self.instants, self.counters, self.states = [], [], [], [], []


class Sequence:
    def __init__(self):
        self.last, self.track, self.known = 0, None, {kind: {} for kind in INTERNED.values()}


class Trace:
    def __init__(self, data):
        self.problems, self.tracks, self.sequences, self.flows = [], {}, {}, {}
        self.samples, self.switches, self.clocks, self.packets, self.dropped = [], [], [], 0, 0
        for number, value in fields(data):
            if number != 1:
                self.wrong('field %d in the file itself', number)
            self.packet(message(value))
        for track in self.tracks.values():
            self.settle(track)
        for flow, n in self.flows.items():
            if n < 2:
                self.wrong('flow %x is there once', flow)
        last = {}
        for ns, tid, state in self.switches:
            if state == RUNNING == last.get(tid):
                self.wrong('tid %d runs twice', tid)
            last[tid] = state

    def wrong(self, form, *args):
        if len(self.problems) < 20:
            self.problems.append(form % args)

    def named(self, name):
        return [t for t in self.tracks.values() if t.name == name]

    def packet(self, p):
        self.packets += 1
        s = one(p, 10, 0)
        flags = one(p, 13, 0)
        if 8 not in p or s == 0:
            self.wrong('a packet without a time or a sequence')
        if s not in self.sequences:
            self.sequences[s] = Sequence()
            if flags != 1 or not one(p, 87):
                self.wrong('sequence %d begins as if it went on', s)
        elif flags != 2:
            self.wrong('flags %r within sequence %d', flags, s)
        sequence, ns = self.sequences[s], one(p, 8, 0)
        if ns < sequence.last:
            self.wrong('sequence %d goes back by %d ns', s, sequence.last - ns)
        sequence.last = ns
        self.dropped += one(p, 42, 0)
        if 59 in p:
            defaults = message(one(p, 59))
            if one(defaults, 58) != 3:
                self.wrong('clock %r', one(defaults, 58))
            if 11 in defaults:
                sequence.track = one(message(one(defaults, 11)), 11)
        if len(p.get(12, [])) > 1:
            self.wrong('two sets of names in one packet')
        if 12 in p:
            self.intern(sequence, one(p, 12))
        payload = [n for n in (6, 11, 60, 117, 135) if n in p]
        if len(payload) != 1:
            self.wrong('%d things in one packet', len(payload))
        for n in payload:
            {6: self.clock, 11: self.event, 60: self.describe, 117: self.switch, 135: self.sample}[n](
                sequence, ns, message(one(p, n)))

    def intern(self, sequence, data):
        # in one message the order does not matter
        fresh = []
        for number, value in fields(data):
            kind, m = INTERNED[number], message(value)
            iid = one(m, 1, 0)
            if iid == 0 or iid in sequence.known[kind]:
                self.wrong('%s %r, which is none or known', kind, iid)
            sequence.known[kind][iid] = m
            fresh.append((kind, m))
        for kind, m in fresh:
            if kind == 'frame':
                self.needs(sequence, 'function', one(m, 2))
                self.needs(sequence, 'mapping', one(m, 3))
                self.needs(sequence, 'source', one(m, 5))
            elif kind == 'mapping':
                self.needs(sequence, 'build id', one(m, 2))
                for path in m.get(7, []):
                    self.needs(sequence, 'path', path)
            elif kind == 'callstack':
                for frame in m.get(2, []):
                    self.needs(sequence, 'frame', frame)

    def needs(self, sequence, kind, iid):
        if iid is None:
            return None
        if iid not in sequence.known[kind]:
            self.wrong('%s %d is used before it is said', kind, iid)
            return None
        return sequence.known[kind][iid]

    def stack(self, sequence, iid):
        """Function names, root first."""
        callstack = self.needs(sequence, 'callstack', iid)
        if callstack is None:
            return []
        frames = [sequence.known['frame'].get(f, {}) for f in callstack.get(2, [])]
        return [one(sequence.known['function'].get(one(f, 2), {}), 2, b'?').decode('utf-8', 'replace') for f in frames]

    def clock(self, sequence, ns, m):
        self.clocks.append({one(c, 1): one(c, 2) for c in map(message, m.get(1, []))})

    def describe(self, sequence, ns, m):
        uuid = one(m, 1, 0)
        if uuid == 0 or uuid in self.tracks:
            self.wrong('track %x is described twice, or is none', uuid)
        track = self.tracks[uuid] = Track(uuid)
        track.parent, track.name = one(m, 5), text(one(m, 2))
        if track.parent is not None and track.parent not in self.tracks:
            self.wrong('track %x has a parent that nobody knows', uuid)
        if 3 in m:
            process = message(one(m, 3))
            track.kind, track.name, track.tid = 'process', text(one(process, 6)), one(process, 1)
        if 4 in m:
            thread = message(one(m, 4))
            track.kind, track.name, track.tid = 'thread', text(one(thread, 5)), one(thread, 2)
        if 8 in m:
            track.kind = 'counter'
        if 18 in m:
            track.kind = 'state'

    def event(self, sequence, ns, m):
        uuid = one(m, 11, sequence.track)
        kind, name = one(m, 9, 0), text(one(m, 23))
        for flow in m.get(47, []) + m.get(48, []):
            self.flows[flow] = self.flows.get(flow, 0) + 1
        if uuid not in self.tracks:
            self.wrong('an event on track %r, which nobody has described', uuid)
            return
        category = self.needs(sequence, 'category', one(m, 3))
        notes = {}
        for note in map(message, m.get(4, [])):
            key = self.needs(sequence, 'annotation', one(note, 1)) or {}
            notes[text(one(key, 2, b'?'))] = text(one(note, 6)) if 6 in note else signed(one(note, 4, 0))
        self.tracks[uuid].events.append((ns, kind, name, text(one(category, 2)) if category else None, notes,
                                         self.stack(sequence, one(m, 56)), self.value(m)))

    def value(self, m):
        return struct.unpack('<d', struct.pack('<Q', one(m, 44)))[0] if 44 in m else signed(one(m, 30, 0))

    def switch(self, sequence, ns, m):
        self.switches.append((ns, one(m, 3), one(m, 4, 0)))

    def sample(self, sequence, ns, m):
        self.samples.append((ns, one(message(one(m, 1)), 3), self.stack(sequence, one(m, 6)), one(m, 11, 0)))

    def settle(self, track):
        """As a viewer does: by time, what came first first."""
        track.events.sort(key=lambda e: e[0])
        stack = []
        for ns, kind, name, category, notes, frames, value in track.events:
            if kind == 1:
                s = Slice(name, ns, category, notes, frames)
                s.depth = len(stack)
                stack.append(s)
                track.slices.append(s)
                if category == 'held' and len(stack) > 1:
                    self.wrong('two hold %s on one track', track.name)
            elif kind == 2 and not stack:
                self.wrong('an end without a begin on %s', track.name)
            elif kind == 2:
                stack.pop().end = ns
            elif kind == 3:
                track.instants.append((ns, name, category, notes))
            elif kind == 4:
                track.counters.append((ns, value))
            elif kind == 5:
                track.states.append((ns, name))
            else:
                self.wrong('an event of type %r', kind)
