#!/usr/bin/env python3
"""Hosts that do what is awkward to be traced: they are not disturbed, and the trace is right. trace_hosts.py BUILD [CASE…]"""

import collections
import os
import shutil

import tap
import trace_file
from cprof import Box, program

GETUID, EXIT_GROUP = 102, 231
SPECS = ('trace=all', 'trace=syscalls:full')


def traces(result):
    """Of the program and of all its children."""
    for directory, _, names in os.walk(result.directory):
        if 'trace.out' in names:
            yield trace_file.read(os.path.join(directory, 'trace.out'))


def same(case, host='awkward', specs=SPECS):
    """By itself and traced: everything the same. Returns [(spec, traces)]."""
    box = Box()
    plain = box.plain(host, case)
    tap.equal((plain.status, plain.err), (0, ''), '%s: by itself' % case)
    found = []
    for spec in specs:
        r = box.run(host, case, spec=spec)
        tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), '%s at %s: the same' % (case, spec))
        found.append((spec, list(traces(r))))
        tap.equal([t.problems[:3] for t in found[-1][1] if t.problems][:3], [], '%s at %s: traces as the format has it'
                  % (case, spec))
    box.close()
    return found


def vectors():
    for spec, (trace,) in same('vectors'):
        tap.ok(trace.counts()['fd.open'] > 2000, 'vectors at %s: files were looked up' % spec, trace.counts())


def forked():
    for spec, all_traces in same('forked'):
        tap.equal(len(all_traces), 61, 'forked at %s: each child is followed' % spec)


def small_stacks():
    same('small_stacks')


def left():
    """Writers that a handler of a handler has left for good, on the signal stack: nothing is amiss afterwards."""
    for spec, (trace,) in same('left'):
        after = [e for e in trace.named('syscall') if e['number'] == GETUID]
        tap.equal(len(after), 20000, 'left at %s: all that came behind' % spec)


def steps():
    """A handler after every instruction, ours too."""
    for spec, (trace,) in same('steps'):
        tap.ok(trace.lost() > 0, 'steps at %s: what no writer came to the end of is counted' % spec)


def stacks():
    same('stacks')


def shared_memory():
    same('shared_memory')


def confined():
    """After a filter is set nothing of ours calls, and nothing is called from elsewhere."""
    same('confined', 'syscalls_host', SPECS + ('cpu',))


def nested_vforks():
    for spec, (trace,) in same('nested_vforks'):
        counts = collections.Counter(e['number'] for e in trace.named('syscall', 'syscall.begin'))
        tap.equal((counts[GETUID], counts[EXIT_GROUP]), (1000, 1), 'nested vforks at %s: the parent\'s own calls' % spec)


def dispatches():
    """A program with syscall user dispatch of its own."""
    same('dispatches')


def debugged():
    """Breakpoints that are there before the code is changed: all counted, and nothing is in their place but themselves."""
    if shutil.which('gdb') is None:
        tap.skip('debugged', 'gdb is not installed')
        return
    box = Box()
    commands = ['set pagination off', 'set confirm off', 'set startup-with-shell off', 'set breakpoint pending on',
                'handle SIGSYS nostop noprint pass']
    for name in ('getppid', 'read', 'write', 'getuid'):
        commands += ['break ' + name, 'commands', 'silent', 'continue', 'end']
    script = os.path.join(box.root, 'script')
    with open(script, 'w') as file:
        file.write('\n'.join(commands + ['run', '']))
    for spec in SPECS:
        r = box.run('gdb', '-q', '-batch', '-nx', '-x', script, '--args', program('awkward'), 'simple', spec=spec)
        tap.ok('simple 60\n' in r.out and 'exited normally' in r.out, 'debugged at %s: the program is as it was' % spec, r.show())
    box.close()


def translated():
    """valgrind has its own copy of the code, and of what can be known of it."""
    if shutil.which('valgrind') is None:
        tap.skip('translated', 'valgrind is not installed')
        return
    box = Box()
    for spec in SPECS:
        r = box.run('valgrind', '-q', program('awkward'), 'simple', spec=spec)
        tap.equal((r.status, r.out), (0, 'simple 60\n'), 'translated at %s: the program is as it was' % spec)
    box.close()


tap.run(confined, vectors, small_stacks, left, steps, forked, stacks, shared_memory, nested_vforks, dispatches, debugged,
        translated)
