"""
Reads profile.proto without any of cprof's code: what cprof writes must make sense to somebody else.

    p = Profile.read('prof/cpu.pb.gz')
    p.total()                         nanoseconds of all samples
    p.share('burn_a')                 part of it with burn_a anywhere on the stack
    for s in p.samples: s.names       function names, leaf first; s.values; s.labels
"""

import gzip


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7


def fields(data):
    """(number, value) of each field: an int, or the bytes of a length-delimited one."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value = data[at:at + size]
            if len(value) != size:
                raise ValueError('a field of %d bytes is cut' % size)
            at += size
        elif wire == 1:
            value, at = int.from_bytes(data[at:at + 8], 'little'), at + 8
        elif wire == 5:
            value, at = int.from_bytes(data[at:at + 4], 'little'), at + 4
        else:
            raise ValueError('wire type %d' % wire)
        yield key >> 3, value


def message(data):
    """number → list of its values."""
    out = {}
    for number, value in fields(data):
        out.setdefault(number, []).append(value)
    return out


def numbers(values):
    """A repeated integer field, packed or not."""
    out = []
    for value in values:
        if isinstance(value, int):
            out.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            out.append(number)
    return out


def signed(number):
    return number - (1 << 64) if number >> 63 else number


class Sample:
    def __init__(self, names, values, labels, frames):
        self.names, self.values, self.labels, self.frames = names, values, labels, frames


class Profile:
    @classmethod
    def read(cls, path):
        with open(path, 'rb') as file:
            return cls(gzip.decompress(file.read()))

    def __init__(self, data):
        top = message(data)
        strings = [s.decode('utf-8', 'surrogateescape') for s in top.get(6, [])]
        if not strings or strings[0] != '':
            raise ValueError('the string table does not begin with ""')

        def one(fields_of, number):
            return fields_of.get(number, [0])[-1]

        def text(fields_of, number):
            return strings[one(fields_of, number)]

        self.types = [(text(m, 1), text(m, 2)) for m in map(message, top.get(1, []))]
        self.mappings = [{'id': one(m, 1), 'start': one(m, 2), 'limit': one(m, 3), 'file': text(m, 5),
                          'build_id': text(m, 6)} for m in map(message, top.get(3, []))]
        functions = {one(m, 1): m for m in map(message, top.get(5, []))}
        locations = {}
        for m in map(message, top.get(4, [])):
            lines = []
            for line in map(message, m.get(4, [])):
                function = functions[one(line, 1)]
                lines.append((text(function, 2), text(function, 4), one(line, 2)))
            locations[one(m, 1)] = (one(m, 2), lines, one(m, 3))
        known = {m['id'] for m in self.mappings} | {0}
        for mapping, _, _ in locations.values():
            if mapping not in known:
                raise ValueError('a location is in mapping %d, which is not there' % mapping)
        self.samples = []
        for m in map(message, top.get(2, [])):
            values = [signed(v) for v in numbers(m.get(2, []))]
            if len(values) != len(self.types):
                raise ValueError('%d values for %d types' % (len(values), len(self.types)))
            labels = {}
            for label in map(message, m.get(3, [])):
                labels[text(label, 1)] = text(label, 2) if one(label, 2) else one(label, 3)
            frames = [locations[i] for i in numbers(m.get(1, []))]
            names = [name for _, lines, address in frames
                     for name in ([line[0] for line in lines] or ['0x%x' % address])]
            self.samples.append(Sample(names, values, labels, frames))
        self.time_ns, self.duration_ns = one(top, 9), one(top, 10)
        self.period = one(top, 12)
        self.period_type = [(text(m, 1), text(m, 2)) for m in map(message, top.get(11, []))]
        self.default_type = text(top, 14)
        self.comments = [strings[i] for i in numbers(top.get(13, []))]
        self.signals = 0
        for comment in self.comments:
            if ' signals at ' in comment:
                self.signals = int(comment.split()[0])

    def total(self, column=1):
        return sum(s.values[column] for s in self.samples)

    def within(self, name, column=1):
        """The part with @name anywhere on the stack."""
        return sum(s.values[column] for s in self.samples if name in s.names)

    def share(self, name, column=1):
        return self.within(name, column) / max(1, self.total(column))

    def truncated(self):
        """The part of the samples whose walk could not reach the first frame."""
        return self.share('[truncated]', 0)

    def labelled(self, key, value, column=1):
        return sum(s.values[column] for s in self.samples if s.labels.get(key) == value)
