"""
What others demand of a profile before they take it: pprof's CheckValid, Parca's ids, what Pyroscope lets in. None of cprof's code.

    problems(body)     a list of texts, empty for a profile that everybody takes
"""

import gzip
import time
import zlib

from pprof import message, numbers

HOUR, MINUTE = 3600, 60
# Pyroscope's default limits
BYTES, SAMPLES, LABELS, DEPTH, STRING = 4 << 20, 16000, 100, 1000, 65535


def unpacked(body):
    return gzip.decompress(body) if body[:2] == b'\x1f\x8b' else body


def one(fields, number):
    return fields.get(number, [0])[-1]


def parts(top, number):
    return [message(m) for m in top.get(number, [])]


def strings_of(top, found):
    """The string table, and that every index into it is of something."""
    texts = []
    for raw in top.get(6, []):
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError:
            found.append('a string is not UTF-8: %r' % raw)
            texts.append(repr(raw))
        if len(raw) > STRING:
            found.append('a string of %d bytes' % len(raw))
    if not texts or texts[0] != '':
        found.append('string_table[0] is not empty')
    return texts


def tables(top, texts, found):
    """Mappings, functions and locations: ids from 1 on in order, and what they name is there."""
    def text(fields, number, what):
        index = one(fields, number)
        if index >= len(texts):
            found.append('%s: string %d of %d' % (what, index, len(texts)))

    mappings, functions, locations = parts(top, 3), parts(top, 5), parts(top, 4)
    for what, table in (('mapping', mappings), ('function', functions), ('location', locations)):
        ids = [one(m, 1) for m in table]
        if ids != list(range(1, len(ids) + 1)):
            found.append('ids of a %s are not 1 to %d: %r' % (what, len(ids), ids[:10]))
    for m in mappings:
        text(m, 5, 'mapping'), text(m, 6, 'mapping')
        if one(m, 2) > one(m, 3):
            found.append('a mapping ends before it begins')
    for m in functions:
        text(m, 2, 'function'), text(m, 3, 'function'), text(m, 4, 'function')
    for m in locations:
        if one(m, 2) > len(mappings):
            found.append('location %d is in mapping %d, which is not there' % (one(m, 1), one(m, 2)))
        elif one(m, 2) and one(m, 3):
            mapping = mappings[one(m, 2) - 1]
            if not one(mapping, 2) <= one(m, 3) < (one(mapping, 3) or 1 << 64):
                found.append('location %d at 0x%x is outside its mapping' % (one(m, 1), one(m, 3)))
        for line in parts(m, 4):
            if not 1 <= one(line, 1) <= len(functions):
                found.append('location %d: a line has function %d of %d' % (one(m, 1), one(line, 1), len(functions)))
    return len(locations)


def samples_of(top, texts, location_count, found):
    types = parts(top, 1)
    for t in types:
        if max(one(t, 1), one(t, 2)) >= len(texts):
            found.append('a sample type has no name')
        elif '-' in texts[one(t, 1)]:
            found.append('a sample type with "-": ' + texts[one(t, 1)])
    samples = parts(top, 2)
    if not types:
        found.append('missing sample type information')
    for s in samples:
        values, stack = numbers(s.get(2, [])), numbers(s.get(1, []))
        if len(values) != len(types):
            found.append('mismatch: sample has %d values vs. %d types' % (len(values), len(types)))
        if any(not 1 <= l <= location_count for l in stack):
            found.append('sample has a location that is not there')
        if len(stack) > DEPTH:
            found.append('a stack of %d' % len(stack))
        labels = parts(s, 3)
        keys = [one(l, 1) for l in labels]
        if len(labels) > LABELS or len(set(keys)) != len(keys):
            found.append('%d labels, of %d keys' % (len(keys), len(set(keys))))
        for l in labels:
            if not 0 < one(l, 1) < len(texts) or one(l, 2) >= len(texts):
                found.append('a label without a key')
            elif one(l, 2) and (one(l, 3) or one(l, 4)):
                found.append('label %s is a text and a number' % texts[one(l, 1)])
    if len(samples) > SAMPLES:
        found.append('%d samples' % len(samples))


def problems(body, now=None):
    if not body:
        return ['empty']
    try:
        data = unpacked(body)
        top = message(data)
        found = []
        texts = strings_of(top, found)
        samples_of(top, texts, tables(top, texts, found), found)
    except (OSError, EOFError, zlib.error, ValueError, IndexError, TypeError, AttributeError) as error:
        return ['no profile: %r, from %r' % (error, body[:60])]
    if len(data) > BYTES:
        found.append('%d bytes' % len(data))
    taken, now = one(top, 9) / 1e9, now or time.time()
    if not now - HOUR < taken < now + 10 * MINUTE:
        found.append('taken at %r' % taken)
    for period in parts(top, 11):
        if max(one(period, 1), one(period, 2)) >= len(texts):
            found.append('the period has no name')
    if one(top, 14) >= len(texts):
        found.append('the default type has no name')
    return found
