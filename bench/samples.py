"""Samples in what profilers write: each is (columns, addresses from the leaf)."""

import gzip
import re
import struct


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of a protobuf message: integers, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            value = data[at:at + size]
            at += size
        else:
            raise ValueError('wire type %d' % (key & 7))
        yield key >> 3, value


def packed(data):
    if isinstance(data, int):
        return [data]
    numbers, at = [], 0
    while at < len(data):
        number, at = varint(data, at)
        numbers.append(number)
    return numbers


def of_pprof(path):
    """Samples, and how many signals they came from (cprof says so in a comment)."""
    with gzip.open(path) as f:
        message = list(fields(f.read()))
    strings = [value.decode() for number, value in message if number == 6]
    address = {}
    for number, value in message:
        if number == 4:
            location = dict(fields(value))
            address[location[1]] = location.get(3, 0)
    samples = []
    for number, value in message:
        if number == 2:
            parts = list(fields(value))
            where = [i for n, v in parts if n == 1 for i in packed(v)]
            columns = [i for n, v in parts if n == 2 for i in packed(v)]
            samples.append((columns, [address[i] for i in where]))
    signals = None
    for number, value in message:
        if number == 13:
            for index in packed(value):
                match = re.match(r'(\d+) signals at', strings[index])
                signals = int(match.group(1)) if match else signals
    return samples, signals


def of_gperftools(path):
    """The words of its CPU profile: a header, then count, depth and addresses of each stack."""
    with open(path, 'rb') as f:
        data = f.read()
    words = struct.unpack('<%dQ' % (len(data) // 8), data[:len(data) // 8 * 8])
    at, samples = 2 + words[1], []
    while at + 1 < len(words) and words[at] != 0:
        depth = words[at + 1]
        samples.append(([words[at]], words[at + 2:at + 2 + depth]))
        at += 2 + depth
    return samples
