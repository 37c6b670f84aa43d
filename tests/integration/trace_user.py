#!/usr/bin/env python3
"""What programs say of themselves in a trace, and what becomes of the process: by a plan, event by event."""

import os

import tap
import trace_file
from cprof import PROGRAMS, Box

USER = ('task.', 'region.', 'flow.', 'attribute', 'labels', 'log', 'counter')
SIGNALS = {'USR1': 10, 'RTMIN3': 34 + 3, 'HUP': 1, 'INT': 2, 'USR2': 12}


def traced(box, *argv, spec='trace=threads', about=None):
    """Runs a program of tests/programs, and reads its trace."""
    r = box.run(*argv, spec=spec)
    about = about or ' '.join(str(a) for a in argv[:2])
    tap.ok(r.status == 0, '%s: the program finds everything as it should be' % about, r.show())
    trace = trace_file.read(os.path.join(r.directory, 'trace.out'))
    tap.equal(trace.problems, [], '%s: the file is whole' % about)
    tap.equal(trace.lost(), 0, '%s: nothing is lost' % about)
    return r, trace


def said(trace, thread, names=USER):
    """What one thread said: (name, arguments without stacks), in order."""
    return [(e.name, {k: v for k, v in e.args.items() if k != 'stack'}) for e in trace.of(thread)
            if e.name.startswith(names)]


def planned(me, i, whole, task):
    """A round of marks.c."""
    name, flow = 'marks%d' % me, {'flow': me * 1000000 + i, 'name': 'flow'}
    return [
        ('task.begin', {'task': task, 'parent': whole, 'type': 'request'}),
        ('flow.begin', flow),
        ('task.switch', {'task': task}),
        ('region.begin', {'name': 'outer', 'task': task}),
        ('attribute', {'key': 'round', 'value': str(i)}),
        ('labels', {'labels': 'round=%d thread=%s' % (i, name)}),
        ('region.begin', {'name': 'inner', 'task': task}),
        ('log', {'category': 'plan', 'message': 'thread %d round %d' % (me, i), 'task': task}),
        ('counter', {'name': name, 'value': -i}),
        ('region.end', {'name': 'inner'}),
        ('labels', {'labels': ''}),
        ('flow.step', flow),
        ('region.end', {'name': 'outer'}),
        ('task.switch', {'task': 0}),
        ('flow.end', flow),
        ('task.end', {'task': task}),
    ]


def difference(got, wanted):
    """The first place where two lists differ."""
    for i, (a, b) in enumerate(zip(got, wanted)):
        if a != b:
            return 'at %d: got %r, wanted %r' % (i, a, b)
    return '%d, not %d' % (len(got), len(wanted))


def plan():
    threads, rounds = 4, 200
    box = Box()
    r, trace = traced(box, 'marks', 'say', threads, rounds)
    tap.equal(r.truth['there'], 1, 'the library is there')
    main = trace.thread_named('marks')[0]
    whole = trace.of(main)
    begun = [e for e in whole if e.name == 'task.begin']
    tap.equal(said(trace, main), [('task.begin', {'task': begun[0]['task'], 'parent': 0, 'type': 'whole'}),
                                  ('task.end', {'task': begun[0]['task']})], 'what the first thread says')
    tasks = set()
    for me in range(threads):
        thread = trace.thread_named('marks%d' % me)
        tap.equal(len(thread), 1, 'thread %d: has its name' % me)
        got = said(trace, thread[0])
        numbers = [args['task'] for name, args in got if name == 'task.begin']
        wanted = [event for i, task in enumerate(numbers) for event in planned(me, i, begun[0]['task'], task)]
        tap.ok(got == wanted and len(numbers) == rounds, 'thread %d: every event, in order' % me, difference(got, wanted))
        tasks.update(numbers)
    tap.equal(len(tasks), threads * rounds, 'each task has a number of its own')
    stacks = [trace.stack(e['stack']) for e in trace.named('region.begin', 'task.begin')]
    tap.ok(all(s and s[0][0] == os.path.join(PROGRAMS, 'marks') for s in stacks),
           'stacks begin with what called', next((s for s in stacks if not s or not s[0][0].endswith('marks')), None))
    box.close()
    box = Box()
    r = box.plain('marks', 'say', 2)
    tap.equal((r.status, r.truth), (0, {'failures': 0, 'there': 0}), 'without the library: nothing happens')
    r = box.run('marks', 'say', 2, spec='cpu')
    tap.equal((r.status, r.truth['there']), (0, 1), 'without a trace: the same')
    box.close()


def misordered():
    box = Box()
    _, trace = traced(box, 'marks', 'misorder')
    main = trace.thread_named('marks')[0]
    tap.equal(said(trace, main, ('region.', 'labels')), [
        ('region.end', {'name': ''}),
        ('region.begin', {'name': 'never ended', 'task': 0}),
        ('region.begin', {'name': 'ended', 'task': 0}),
        ('region.end', {'name': 'ended'}),
        ('labels', {'labels': 'who="a b"'}),
        ('labels', {'labels': ''}),
    ], 'an end too many and one too few are as they were')
    other = trace.of(trace.thread_named('inherits')[0])
    tap.equal([(e.name, e.args.get('labels')) for e in other][:2],
              [('thread.start', None), ('labels', 'who="a b"')], 'inherited labels come first')
    box.close()


def scopes():
    box = Box()
    r, trace = traced(box, 'marks_cxx', 'scopes')
    whole = r.truth['task']
    other = next(t for t in trace.threads if any(e.name == 'region.begin' for e in trace.of(t)))
    part = next(e['task'] for e in trace.of(other) if e.name == 'task.begin')
    tap.equal(said(trace, other), [
        ('task.switch', {'task': whole}),
        ('region.begin', {'name': 'serve', 'task': whole}),
        ('task.begin', {'task': part, 'parent': whole, 'type': 'part'}),
        ('task.switch', {'task': part}),
        ('region.begin', {'name': 'throws', 'task': part}),
        ('region.end', {'name': 'throws'}),
        ('log', {'category': 'error', 'message': 'left by an exception', 'task': part}),
        ('task.switch', {'task': whole}),
        ('task.end', {'task': part}),
        ('region.end', {'name': 'serve'}),
        ('task.switch', {'task': 0}),
    ], 'C++: a scope ends what it began, also by an exception')
    box.close()


def samples():
    box = Box()
    for argv, spec in ((('marks', 'burn', 300), 'cpu=1000,trace'), (('marks', 'burn', 500), 'cpu,trace'),
                       (('crowd', 'plain', 50), 'cpu=1000,trace')):
        r, trace = traced(box, *argv, spec=spec, about='%s, %s' % (argv[0], spec))
        weights = trace.named('sample.cpu')
        tap.equal(sum(e['weight'] for e in weights), r.profile().total(1),
                  '%s, %s: samples weigh as much as the profile' % (argv[0], spec))
        tap.ok(weights and all(e['stack'] != 0 for e in weights), '%s: and have stacks' % spec)
        tap.ok(all(e['cpu'] < os.cpu_count() for e in weights), '%s: and processors' % spec)
        tap.ok(trace.header.flags & trace_file.HAS['samples'], '%s: the header says that there are some' % spec)
    box.close()


def children():
    for spec in ('trace=threads', 'trace'):
        children_of(spec)


def children_of(spec):
    box = Box()
    r, _ = traced(box, 'marks', 'children', spec=spec)
    # the program that it becomes in the end has the first place
    before = [d for d in r.children() if d.startswith('marks.') and int(d[6:]) not in r.truth['children']]
    tap.equal(len(before), 1, 'what it was before the last exec')
    trace = trace_file.read(os.path.join(r.directory, before[0], 'trace.out'))
    main = trace.thread_named('marks')[0]
    pids = [e['pid'] for e in trace.of(main) if e.name == 'fork']
    wanted = r.truth['children']
    if spec == 'trace':
        # the one that found no program has been there, too
        tap.ok(pids.pop(5) not in wanted, 'one that exec failed in')
        tap.equal((pids[-1] % 251, pids[-1] > 0), (r.truth['shell'], True), 'what system() made')
    else:
        wanted[5] = pids[-1] = 0
    # that of popen() is not known where no system calls are seen
    tap.equal(pids[:-1], wanted, '%s: each child, that of vfork() too, once' % spec)
    tap.equal(len(pids), len(wanted) + 1, '%s: and no other' % spec)
    made = [any(path.endswith('/marks') for path, _ in trace.stack(e['stack'])) for e in trace.named('fork')]
    made.pop(3)
    tap.equal(set(made), {True}, '%s: and who made it' % spec)
    tap.ok(trace.stack(trace.named('fork')[3]['stack']), '%s: that of vfork(), too' % spec)
    tap.equal([(e['path'], e['result']) for e in trace.named('exec')],
              [('/nowhere/at/all', 0), ('/nowhere/at/all', 2), ('/', 0), ('/', 13), ('/bin/true', 0)],
              'each exec, and why it came back')
    box.close()


def libraries():
    box = Box()
    path = os.path.join(PROGRAMS, 'plugins', 'libplugin_one.so')
    _, trace = traced(box, 'marks', 'library', path)
    seen = [(e['opened'], e['path']) for e in trace.named('library')]
    tap.equal(seen, [(2, '/nowhere/libnothing.so'), (2, path), (1, path), (0, path)],
              'a library: asked for, opened, closed')
    box.close()


def signals():
    box = Box()
    r, trace = traced(box, 'marks', 'signals')
    main = trace.thread_named('marks')[0]
    numbers = [e['number'] for e in trace.of(main) if e.name == 'signal']
    wanted = [SIGNALS['USR1']] + [SIGNALS['RTMIN3']] * 5 + [SIGNALS['HUP']] + [SIGNALS['INT']] * 3
    tap.equal(numbers, wanted, 'each signal that a handler had')
    others = [e['number'] for e in trace.named('signal') if e.thread != main]
    tap.equal(others, [SIGNALS['USR2']] * 50, 'on another stack, out of which it jumps')
    r = box.plain('marks', 'signals')
    tap.ok(r.status == 0, 'without us the same', r.show())
    box.close()


tap.run(plan, misordered, scopes, samples, children, libraries, signals)
