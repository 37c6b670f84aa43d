#!/usr/bin/env python3
"""
Profiles that nobody made in earnest: each command that reads them ends with its output or with one sentence, in bounded memory, and
leaves no half of a file.
"""

import gzip
import os
import random
import resource
import subprocess
import zlib

import profiles_made
import tap
from cprof import Box
from profiles_made import chunk, number, varint

COMMANDS = [['merge'], ['symbolize'], ['export', '-format=folded'], ['export', '-format=speedscope'], ['export', '-format=firefox'],
            ['export', '-format=callgrind'], ['check'], ['top']]
MEMORY = 3 << 30  # address space: the limits of what is read, and room for the program
SECONDS = 60  # for what hangs
box = Box()


def at(name):
    return os.path.join(box.root, name)


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command, path):
    out = at('out')
    if os.path.exists(out):
        os.unlink(out)
    words = command + (['-o', out] if command[0] not in ('check', 'top') else []) + [path]
    try:
        r = box.command(*words, timeout=SECONDS, before=limit)
    except subprocess.TimeoutExpired:
        tap.ok(False, '%s of %s ends' % (' '.join(command), os.path.basename(path)))
        return None
    return r


def refused(about, data, commands=COMMANDS):
    """Every command has one sentence about it."""
    path, wrong, said = at('bad'), [], ''
    with open(path, 'wb') as f:
        f.write(data)
    for command in commands:
        r = run(command, path)
        if r is None or r.status not in (1, 3) or r.err.count('\n') != 1 or path not in r.err or os.path.exists(at('out')):
            if not (command == ['check'] and r is not None and r.status == 1 and r.out.count(path) > 0):
                wrong.append((command, r and r.show()))
        elif command != ['check']:
            said = r.err.strip().split(path)[-1]
    tap.ok(not wrong, about + said[:100], '\n'.join('%s: %s' % w for w in wrong[:2]))
    tap.equal([n for n in os.listdir(box.root) if n.endswith('.part')], [], '%s: nothing is left' % about)


def survived(about, profile, commands=COMMANDS):
    """Whatever is said of it, no command dies, hangs or needs much memory."""
    path, wrong = at('odd'), []
    profile.write(path)
    for command in commands:
        r = run(command, path)
        if r is None or r.status not in (0, 1, 2, 3) or (r.status and not r.err and command != ['check']):
            wrong.append((command, r and r.show()))
    tap.ok(not wrong, about, '\n'.join('%s: %s' % w for w in wrong[:2]))


def simple(values=(5,), stack=(1,)):
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    p.mapping(1, 0x1000, 0x9000, 0, '/bin/x')
    p.function(1, 'f', file='f.c')
    p.location(1, 1, 0x1234, [(1, 3)])
    for v in values:
        p.sample(list(stack), [v])
    p.header()
    return p


def bytes_of(profile):
    profile.write(at('made'), False)
    with open(at('made'), 'rb') as f:
        return f.read()


def damaged():
    whole = bytes_of(simple())
    packed = gzip.compress(whole, mtime=0)
    for about, data in (
            ('nothing', b''), ('cut off', whole[:len(whole) * 2 // 3]), ('gzip that is cut off', packed[:-9]),
            ('a damaged checksum', packed[:-5] + b'\0\0\0\0\0'), ('gzip of nothing', gzip.compress(b'')),
            ('gzip in gzip', gzip.compress(packed)), ('two of them', bytes_of(timed()) * 2),
            ('a string that is not there', whole + chunk(2, chunk(3, number(1, 99)))),
            ('a location that is not there', whole + chunk(2, chunk(1, varint(77)) + chunk(2, varint(1)))),
            ('a length of 2^62', whole + b'\x12' + varint(1 << 62)), ('a wire type that is none', whole + b'\x0f'),
            ('noise', random.Random(3).randbytes(3000))):
        refused(about, data)


def timed():
    p = simple()
    p.header(time=5)
    return p


def bombs():
    """A gigabyte and more out of little."""
    packer = zlib.compressobj(9, wbits=31)
    piece = packer.compress(b'\x12\0' * (1 << 22))
    for _ in range(140):
        piece += packer.compress(b'\x12\0' * (1 << 22))
    refused('1.1 GiB of empty samples', piece + packer.flush(), commands=COMMANDS[:1])


def large_numbers():
    for about, values in (('2^60', [1 << 60]), ('-2^63', [-(1 << 63)]), ('2^63-1', [(1 << 63) - 1])):
        survived('a value of %s' % about, simple(values))
    path = at('wraps')
    simple([1 << 62] * 3).write(path)
    for command in COMMANDS[:1] + COMMANDS[2:6]:
        r = run(command, path)
        tap.ok(r.status == 1 and '63 bits' in r.err and not os.path.exists(at('out')), '%s: sums past 63 bits' % ' '.join(command), r.show())
    p = simple()
    p.header(time=(1 << 63) - 1, duration=-(1 << 63), period=-(1 << 63), period_type=('cpu', 'nanoseconds'))
    survived('times of 2^63', p)
    p = profiles_made.Profile()
    p.sample_type('t', 'hour')
    p.function(1, 'f', start=-(1 << 63))
    p.location(1, 0, (1 << 64) - 1, [(1, -(1 << 63))])
    p.sample([1], [1 << 60])
    p.header()
    survived('2^60 hours at a line of -2^63', p)


def shapes():
    """Cycles, depths, widths."""
    survived('a stack of 200,000 times one place', simple(stack=[1] * 200000))
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    for i in range(1, 4):
        p.function(i, 'f%d' % i)
    p.location(1, 0, 1, [(1, 1), (2, 2), (1, 1), (3, 3)] * 500)
    p.location(2, 0, 2, [(3, 1), (1, 2)])
    p.sample([1, 2, 1, 2, 1], [7])
    p.sample([2, 1, 2], [9])
    p.header()
    survived('a place of 2,000 calls inlined into each other in a circle', p)
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    p.function(1, 'f')
    p.location(1, 0, 1, [(1, 1)] * 60000)
    p.sample([1] * 60000, [1])
    p.header()
    survived('3.6 billion frames out of a small file', p, commands=COMMANDS[2:3])
    p = simple()
    for i in range(2, 6000):
        p.mapping(i, i << 20, (i << 20) + 0x1000, 0, '/lib/no-such-file-%d.so' % i, '%040x' % i)
        p.location(i, i, (i << 20) + 5)
        p.sample([i], [1])
    survived('6,000 libraries', p, commands=COMMANDS[:3])
    p = simple()
    for i, file in enumerate(('/dev/zero', '/dev/stdin', '/proc/self/mem', box.root, fifo(), '/dev/tty', 'x' * 10000, '../' * 2000), 2):
        p.mapping(i, i << 20, (i << 20) + 0x1000, 0, file)
        p.location(i, i, (i << 20) + 5)
        p.sample([i], [1])
    survived('files that are none', p)
    p = simple()
    p.mapping(2, 0x100000, 0x200000, 0, '/bin/x', '../../../../etc/passwd')
    p.mapping(3, (1 << 64) - 1, 1, (1 << 64) - 1, os.path.realpath('/bin/sh'))
    p.location(2, 2, 0x100005)
    p.location(3, 3, 0)
    p.location(4, 3, (1 << 64) - 1)
    p.sample([2, 3, 4], [1])
    survived('build ids and mappings that are none', p)
    p = profiles_made.Profile()
    for i in range(5000):
        p.sample_type('t%d' % i, 'count')
    p.function(1, 'f')
    p.location(1, 0, 1, [(1, 1)])
    p.sample([1], [1] * 5000)
    p.header()
    survived('5,000 columns', p)
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    p.function(1, 'n' * 200000)
    for i in range(1, 201):
        p.location(i, 0, i, [(1, i)])
        p.sample([i], [1])
    p.header()
    survived('a name of 200 kB at 200 places', p, commands=COMMANDS[:1] + COMMANDS[2:3] + COMMANDS[4:6])


def fifo():
    if not os.path.exists(at('fifo')):
        os.mkfifo(at('fifo'))
    return at('fifo')


tap.run(damaged, bombs, large_numbers, shapes, box.close)
