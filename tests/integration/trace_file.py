"""
A small reader of trace.out, by docs/trace-format.md alone: it shares no line with the one that cprof has.

    t = trace_file.read(path)
    t.events                     all of them, by time: e.ns, e.thread, e.name, e.args (a dict), e['object'] …
    t.of(3)  t.named('fork')     those of a thread, those with a name
    t.threads[3].name            the tables, by their numbers: strings, stacks, objects, modules, threads
    t.stack(e['stack'])          [(path, address in the file), …], leaf first
    t.blocks                     as they lie in the file: b.kind, b.flags, b.events, b.summary …
    t.end                        ('exited', 3); None when the file has no trailer
    t.problems                   what is not as the format has it: [] is right

A text argument is its text, a duration is in ns, a result has its sign; all else is the number that was written.
"""

import shutil
import struct
import subprocess
from collections import Counter, namedtuple

SKIPPABLE, LZ4 = 0x184D2A5C, 0x184D2204
ALL = 0xffffffff
KINDS = [None, 'events', 'strings', 'stacks', 'objects', 'modules', 'symbols', 'threads', 'schema', 'metadata', 'footer',
         'files']
ENDS = ['unknown', 'stopped', 'exited', 'signal', 'disk full', 'exec', 'snapshot']
STATES = ['unknown', 'running', 'runnable', 'lock', 'wait', 'syscall', 'idle', 'spin']
CLASSES = ['thread', 'syscall', 'sync', 'sched', 'sample', 'user', 'book']
LAST, AFTER_GAP, STARTS, SWITCHES, STEPS = 1, 2, 4, 8, 16
LEVELS = {'threads': 1, 'locks': 2, 'syscalls': 4, 'sched': 8}
HAS = {'wrappers': 1, 'sites': 2, 'all_syscalls': 4, 'switches': 8, 'schedstat': 16, 'samples': 32, 'ring': 64, 'tsc': 128}

FILE_HEADER = struct.Struct('<8sHHI16sQQIIII')
BLOCK_HEADER = struct.Struct('<4sHBBIIIIIIQQQIIIIQIIII')
TRAILER = struct.Struct('<8sQIIII')

Object = namedtuple('Object', 'kind flags address generation name site born_ns')
Module = namedtuple('Module', 'start end offset bias path build_id flags')
File = namedtuple('File', 'number kind name')
Thread = namedtuple('Thread', 'tid pthread parent name begun_ns')


class Event:
    __slots__ = ('ns', 'thread', 'type', 'name', 'args', 'block')

    def __init__(self, ns, thread, number, name, args, block):
        self.ns, self.thread, self.type, self.name, self.args, self.block = ns, thread, number, name, args, block

    def __getitem__(self, key):
        return self.args[key]

    def __repr__(self):
        return '%d %s %s %r' % (self.ns, self.thread, self.name, self.args)


class Block:
    pass


class BadTrace(Exception):
    pass


def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        table.append(i)
    return table


_CRC = _crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def lz4_block(data):
    """One block of LZ4, unpacked."""
    out, at = bytearray(), 0
    while at < len(data):
        token = data[at]
        at += 1
        length = token >> 4
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        out += data[at:at + length]
        at += length
        if at >= len(data):
            break
        back = data[at] | data[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        length += 4
        if back == 0 or back > len(out):
            raise BadTrace('a match from before the beginning')
        while length > 0:
            piece = out[len(out) - back:len(out) - back + length]
            out += piece
            length -= len(piece)
    return bytes(out)


def lz4_frame(data):
    """A frame as cprof writes it: one independent block with a checksum, which `lz4 -t` is left to look at."""
    if data[4] != 0x70:
        raise BadTrace('flags of an LZ4 frame are %#x' % data[4])
    size, = struct.unpack_from('<I', data, 7)
    body = data[11:11 + (size & 0x7fffffff)]
    if struct.unpack_from('<I', data, 15 + len(body))[0] != 0 or len(data) != 19 + len(body):
        raise BadTrace('an LZ4 frame of more than a block')
    return bytes(body) if size >> 31 else lz4_block(body)


def _unpacked(path):
    """All payloads in a row, by lz4 itself where it is, for it is a hundred times faster."""
    if shutil.which('lz4') is None:
        return None
    done = subprocess.run(['lz4', '-dcq', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout  # of a file that was cut: what is whole


def zigzag(n):
    return n >> 1 ^ -(n & 1)


class Numbers:
    """A payload, number by number."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def more(self):
        return self.at < len(self.data)

    def next(self):
        data, at = self.data, self.at
        n = data[at]
        at += 1
        if n >= 0x80:
            n &= 0x7f
            shift = 7
            while True:
                byte = data[at]
                at += 1
                n |= (byte & 0x7f) << shift
                if byte < 0x80:
                    break
                shift += 7
        self.at = at
        return n

    def take(self, n):
        if self.at + n > len(self.data):
            raise IndexError
        self.at += n
        return self.data[self.at - n:self.at]


class Trace:
    def __init__(self, path):
        self.path = path
        self.problems, self.blocks, self.events = [], [], []
        self.strings, self.stacks, self.objects, self.modules = {0: ''}, {0: ()}, {}, {}
        self.symbols, self.threads, self.schema, self.metadata, self.files = {}, {}, {}, {}, {}
        self.known = {'strings': 1, 'stacks': 1, 'objects': 0, 'modules': 0}  # numbers below this were told
        self.end, self.footer, self.header, self.is_cut = None, [], None, False
        with open(path, 'rb') as f:
            self._parse(f.read())
        self._check_sequences()
        self.events.sort(key=lambda e: e.ns)

    # what the file consists of

    def _parse(self, data):
        unpacked, unpacked_at, at = _unpacked(self.path), 0, 0
        trailer = footer_offset = None
        while at < len(data):
            if trailer is not None:
                self._problem('something behind the trailer')
            if len(data) - at < 8:
                self.is_cut = True
                break
            magic, length = struct.unpack_from('<II', data, at)
            if magic != SKIPPABLE:
                raise BadTrace('%s: at %d: magic number %#x' % (self.path, at, magic))
            if len(data) - at - 8 < length:
                self.is_cut = True
                break
            frame = data[at + 8:at + 8 + length]
            if frame[:8] == b'CPROFTRC':
                self._file_header(frame, at)
                at += 8 + length
                continue
            if frame[:8] == b'CPROFEND':
                _, footer_offset, reason, value, _, crc = trailer = TRAILER.unpack(frame)
                self._check(crc == crc32c(frame[:28]), 'checksum of the trailer')
                self.end = (ENDS[reason], value)
                at += 8 + length
                continue
            if frame[:4] != b'CPB1':
                raise BadTrace('%s: at %d: a frame of unknown kind %r' % (self.path, at, frame[:8]))
            block = self._block_header(frame, at)
            at += 8 + length
            if len(data) - at < block.stored_bytes:
                self.is_cut = True
                break
            if unpacked is None:
                payload = lz4_frame(data[at:at + block.stored_bytes])
            else:
                payload = unpacked[unpacked_at:unpacked_at + block.raw_bytes]
                unpacked_at += block.raw_bytes
            self._check(struct.unpack_from('<I', data, at)[0] == LZ4, 'no LZ4 frame behind the block header')
            self._check(len(payload) == block.raw_bytes, 'payload of %d bytes, not %d' % (len(payload), block.raw_bytes))
            self._check(block.raw_bytes <= 1 << 20, 'a payload of more than 1 MiB')
            at += block.stored_bytes
            self.blocks.append(block)
            self._payload(block, payload)
        if footer_offset is not None:
            footers = [b.offset for b in self.blocks if b.kind == 'footer']
            self._check(footers and footers[0] == footer_offset, 'the footer is not where the trailer says')
            self._check([f[1] for f in self.footer] == [b.offset for b in self.blocks if b.kind != 'footer'],
                        'the footer does not list the blocks')

    def _problem(self, text):
        if len(self.problems) < 50:
            self.problems.append(text)

    def _check(self, is_right, text):
        if not is_right:
            self._problem(text)

    def _file_header(self, frame, at):
        fields = FILE_HEADER.unpack_from(frame)
        names = 'magic major minor header_bytes uuid monotonic_ns realtime_ns pid flags level crc'.split()
        self.header = namedtuple('Header', names)(*fields)
        self._check(at == 0, 'a file header that is not at the beginning')
        self._check(self.header.header_bytes == len(frame) == FILE_HEADER.size, 'size of the file header')
        self._check(self.header.major in (1, 2), 'major version')
        self._check(self.header.crc == crc32c(frame[:FILE_HEADER.size - 4]), 'checksum of the file header')

    def _block_header(self, frame, at):
        b = Block()
        (_, b.header_bytes, kind, b.flags, b.generation, b.thread, b.sequence, b.raw_bytes, b.stored_bytes, b.count,
         b.first_ns, b.last_ns, b.span, *needs, b.lost_before, b.recorder_ns, b.tick_fs, summary_bytes,
         crc) = BLOCK_HEADER.unpack_from(frame)
        b.offset, b.kind = at, KINDS[kind] if kind < len(KINDS) else kind
        b.needs = dict(zip(('strings', 'stacks', 'objects', 'modules'), needs))
        summary = frame[BLOCK_HEADER.size:BLOCK_HEADER.size + summary_bytes]
        self._check(b.header_bytes == len(frame) == BLOCK_HEADER.size + summary_bytes, 'size of a block header')
        self._check(crc == crc32c(frame[:BLOCK_HEADER.size - 4] + summary), 'checksum of a block header')
        self._check(b.first_ns <= b.last_ns, 'a block that ends before it begins')
        numbers, values = Numbers(summary), []
        while numbers.more():
            values.append(numbers.next())
        b.states = dict(zip(STATES, values))
        b.classes = dict(zip(CLASSES, values[len(STATES):]))
        b.summary = values
        b.events = []
        return b

    def _check_sequences(self):
        seen = {}
        for b in self.blocks:
            if b.kind != 'events':
                continue
            key = (b.thread, bool(b.flags & SWITCHES))
            self._check(b.sequence == seen.get(key, 0) or self.header.flags & HAS['ring'],
                        'thread %d: block %d, not %d' % (b.thread, b.sequence, seen.get(key, 0)))
            seen[key] = b.sequence + 1

    # what is in a block

    def _payload(self, block, payload):
        numbers = Numbers(payload)
        for table, need in block.needs.items():
            self._check(need <= self.known[table], 'a block of %s needs %s below %d' % (block.kind, table, need))
        read = getattr(self, '_' + str(block.kind), None)
        if read is None:
            self._problem('a block of kind %s' % block.kind)
            return
        n = 0
        try:
            if block.kind == 'events':
                n = self._events_of(block, numbers)
            else:
                while numbers.more():
                    number = read(numbers)
                    n += 1
                    if block.kind in self.known:
                        self.known[block.kind] = max(self.known[block.kind], number + 1)
        except IndexError:
            self._problem('a block of %s ends in the middle of a record' % block.kind)
        self._check(n == block.count, '%d records in a block of %s, not %d' % (n, block.kind, block.count))

    def _strings(self, numbers):
        number, length = numbers.next(), numbers.next()
        self._check(number != 0 and number not in self.strings, 'string %d again' % number)
        self.strings[number] = numbers.take(length).decode('utf-8', 'replace')
        return number

    def text(self, number):
        if number not in self.strings:
            self._problem('string %d is not known' % number)
            return '?%d' % number
        return self.strings[number]

    def _stacks(self, numbers):
        number, depth = numbers.next(), numbers.next()
        word, frames = 0, []
        for _ in range(depth):
            word = (word + zigzag(numbers.next())) & (1 << 64) - 1
            frames.append(word)
        self._check(number != 0 and number not in self.stacks, 'stack %d again' % number)
        self.stacks[number] = tuple(frames)
        return number

    def _objects(self, numbers):
        number, kind, flags, address, generation, name, site, born = (numbers.next() for _ in range(8))
        self.objects[number] = Object(kind, flags, address, generation, self.text(name), site, born)
        return number

    def _modules(self, numbers):
        number, start, end, offset, bias, path, build_id, flags = (numbers.next() for _ in range(8))
        self.modules[number] = Module(start, end, offset, bias, self.text(path), self.text(build_id), flags)
        return number

    def _symbols(self, numbers):
        word, n = numbers.next(), numbers.next()
        self.symbols[word] = [(self.text(numbers.next()), self.text(numbers.next()), numbers.next()) for _ in range(n)]

    def _threads(self, numbers):
        number, tid, pthread, parent, name, begun = (numbers.next() for _ in range(6))
        self.threads[number] = Thread(tid, pthread, parent, self.text(name), begun)

    def _files(self, numbers):
        number, descriptor, kind, name = (numbers.next() for _ in range(4))
        self.files[number] = File(descriptor, kind, self.text(name))

    def _schema(self, numbers):
        number, name, arguments, pair, template = (numbers.next() for _ in range(5))
        self.schema[number] = (self.text(name), [a.split(':') for a in self.text(arguments).split()], pair,
                               self.text(template))

    def _metadata(self, numbers):
        key, value = numbers.next(), numbers.next()
        self.metadata[self.text(key)] = self.text(value)

    def _footer(self, numbers):
        self.footer.append(tuple(numbers.next() for _ in range(6)))

    def _events(self, numbers):
        raise AssertionError

    def _events_of(self, block, numbers):
        first, length, span = block.first_ns, block.last_ns - block.first_ns, block.span
        t, orders = 0, [0] * 16
        next_number = numbers.next
        while numbers.more():
            number = next_number()
            t += next_number()
            if number not in self.schema:
                self._problem('an event of type %d' % number)
                raise IndexError
            name, arguments, _, _ = self.schema[number]
            args = {}
            for key, kind in arguments:
                value = next_number()
                if kind == 'str':
                    value = self.text(value)
                elif kind == 'ticks':
                    value = value * block.tick_fs // 1000000
                elif kind in ('s', 'res'):
                    value = zigzag(value)
                elif kind == 'stk':
                    self._check(value in self.stacks, 'stack %d is not known' % value)
                elif kind == 'obj':
                    self._check(value == 0 or value in self.objects, 'object %d is not known' % value)
                elif key == 'order' and block.flags & STEPS and value:
                    slot = args['object'] % 16
                    value = orders[slot] = orders[slot] + zigzag(value - 1)
                args[key] = value
            ns = first + (t * length // span if span else 0)
            block.events.append(Event(ns, block.thread, number, name, args, block))
        self._check(t == span, 'differences of %d ticks in a span of %d' % (t, span))
        self.events += block.events
        return len(block.events)

    # questions

    def of(self, thread):
        return [e for e in self.events if e.thread == thread]

    def named(self, *names):
        return [e for e in self.events if e.name in names]

    def counts(self):
        return Counter(e.name for e in self.events)

    def lost(self):
        return sum(b.lost_before for b in self.blocks) + sum(e['count'] for e in self.named('lost'))

    def stack(self, number):
        found = []
        for word in self.stacks[number]:
            module, address = word >> 48, word & (1 << 48) - 1
            if module in self.modules:
                found.append((self.modules[module].path, address - self.modules[module].bias))
            else:
                found.append((self.text(address) if module == 0xffff else '', address))
        return found

    def thread_named(self, name):
        return [n for n, t in self.threads.items() if t.name == name]


def read(path):
    return Trace(path)


if __name__ == '__main__':
    import sys
    trace = read(sys.argv[1])
    for each in trace.events if len(sys.argv) > 2 else []:
        print(each)
    print(trace.header)
    print(trace.metadata, trace.end, len(trace.blocks), 'blocks', dict(trace.counts()), trace.problems)
