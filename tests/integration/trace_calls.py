#!/usr/bin/env python3
"""Files and system calls in the trace: what programs say that they did (tests/programs/files.c), and what it says."""

import os
import re
import subprocess
import tap
import trace_file
from cprof import BUILD, Box


def traced(box, *argv, spec='trace=syscalls'):
    r = box.run(*argv, spec=spec)
    tap.equal(r.status, 0, '%s: runs' % argv[0])
    t = trace_file.read(os.path.join(r.directory, 'trace.out'))
    tap.equal(t.problems, [], '%s: a whole trace' % argv[0])
    t.path = os.path.join(r.directory, 'trace.out')
    return r, t


def story(t):
    """What happened to files from /dev/zero on, in the words of the program."""
    numbers, said, has_begun = {}, [], False
    for e in t.named('fd.open', 'fd.close', 'fd.name'):
        has_begun = has_begun or e.args.get('name') == '/dev/zero'
        if e.name == 'fd.open':
            numbers[e['fd']] = e['number']
        if not has_begun or numbers[e['fd']] < 3:
            continue
        said.append({'fd.open': 'open %d %d %s', 'fd.close': 'close %d', 'fd.name': 'name %d %s'}[e.name] %
                    ((e['number'], e['kind'], e['name']) if e.name == 'fd.open' else
                     (numbers[e['fd']],) if e.name == 'fd.close' else (e['number'], e['name'])))
    return said


def files():
    box = Box()
    r, t = traced(box, 'files')
    wanted = r.out.splitlines()
    got = [re.sub(r'\[\d+\]$', '*', line) if w.endswith('*') else line for line, w in zip(story(t), wanted)]
    tap.equal(got, wanted, 'files: each is opened, named and closed, once')
    opened = {e['fd']: e for e in t.named('fd.open')}
    tap.equal(len(opened), len(t.named('fd.open')), 'files: each with a number of its own')
    names = {e['fd']: e['name'] for e in t.named('fd.open', 'fd.name')}
    tap.equal({fd: f.name for fd, f in t.files.items()}, names, 'files: the table has the last names')
    tap.equal({fd: (f.number, f.kind) for fd, f in t.files.items()},
              {fd: (e['number'], e['kind']) for fd, e in opened.items()}, 'files: and what they are')
    closes = [e for e in t.named('syscall') if e['number'] == 3 and e['result'] == 0 and e['fd'] != 0]
    tap.equal(len([e for e in closes if e['fd'] in opened]), len(closes), 'files: calls know theirs, closing ones, too')
    shown = subprocess.run([os.path.join(BUILD, 'viewer', 'cprof-trace'), t.path, 'events'], stdout=subprocess.PIPE)
    tap.ok(re.search(rb'number=connect .*fd=\d+:tcp', shown.stdout), 'files: and are shown with them', shown.stdout[-3000:])
    box.close()


tap.run(files)
