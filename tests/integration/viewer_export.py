#!/usr/bin/env python3
"""cprof-trace pprof and export: whether what they write is what is in the trace, and whether others can read it."""

import base64
import csv
import gzip
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

import browser
import firefox
import perfetto
import tap
from cprof import BUILD, Box, program
from pprof import Profile

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
HERE = os.path.dirname(os.path.abspath(__file__))
FORMS = ('perfetto', 'chrome-json', 'speedscope', 'firefox', 'folded', 'csv')
SCHEDULES = ('queue', 'convoy', 'rwlock', 'barrier', 'sem', 'once', 'timed', 'join', 'pipe', 'nested')

root = tempfile.mkdtemp(prefix='cprof-export-test.')
box = Box()
traces = {}


def record(name, *argv, spec='trace', **more):
    r = box.run(*argv, spec=spec, **more)
    path = os.path.join(r.directory, 'trace.out')
    if not os.path.exists(path):
        raise RuntimeError(r.show())
    traces[name] = path
    return path


def run(*args, **more):
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, **more)
    r.said = r.stderr.decode(errors='replace')
    return r


def export(trace, form, *args):
    r = run(trace, 'export', form, *args)
    if r.returncode != 0:
        raise RuntimeError('%s: %s' % (form, r.said))
    return r.stdout


def profile(trace, kind, *args):
    path = os.path.join(root, 'profile.pb.gz')
    r = run(trace, 'pprof', kind, '-f', '-o', path, *args)
    if r.returncode != 0:
        raise RuntimeError('%s: %s' % (kind, r.said))
    return Profile.read(path)


def events(trace, *args):
    return json.loads(run(trace, 'events', '--json', *args).stdout)


def rows(trace, *args):
    out = list(csv.DictReader(io.StringIO(export(trace, 'csv', *args).decode('utf-8', 'surrogateescape'), newline='')))
    for row in out:
        row['ns'] = int(row['end_ns']) - int(row['begin_ns'])
    return out


def waits_of(trace, begin, ends):
    """(thread, begin, end) of each wait, out of the events alone."""
    found, open_ = [], {}
    for e in events(trace, '--type', ','.join([begin] + ends)):
        if e['type'] == begin:
            open_.setdefault(e['tid'], []).append(e)
        elif open_.get(e['tid']):
            b = open_[e['tid']].pop()
            found.append((e['tid'], b['time_ns'], e['time_ns']))
    return found


def begin():
    for name in SCHEDULES:
        record(name, 'schedules', name)
    record('marks', 'marks', 'say', 3, 20)
    record('burn', 'burn', 'split', 90, 2, spec='trace,cpu=1000')
    if shutil.which('sqlite3'):
        script = os.path.join(root, 'script.sql')
        with open(script, 'w') as file:
            file.write('create table t(a integer primary key, b text);\n' +
                       'begin;\n' + ''.join("insert into t(b) values('%d');\n" % i for i in range(2000)) + 'commit;\n'
                       'select count(*), max(b) from t;\n')
        with open(script) as file:
            record('sqlite3', shutil.which('sqlite3'), os.path.join(root, 'db'), stdin=file)
    record('python3', sys.executable, '-c', 'import threading, time\n'
           'l = threading.Lock()\n'
           'def f():\n    for i in range(20):\n        with l: time.sleep(0.001)\n'
           't = [threading.Thread(target=f) for i in range(3)]\n'
           '[x.start() for x in t]; [x.join() for x in t]')
    for name, args in (('sample', ['sample']), ('names', ['names']), ('big', ['big', '200000', '50'])):
        traces[name] = os.path.join(root, name)
        subprocess.run([MAKE, *args, traces[name]], check=True)


# ---- pprof ----

def waits():
    for name in ('convoy', 'rwlock', 'timed', 'python3'):
        trace = traces[name]
        found = waits_of(trace, 'lock.wait.begin', ['lock.acquired', 'lock.failed'])
        p = profile(trace, 'lock', '--include-idle')
        tap.equal((p.total(0), p.total(1)), (len(found), sum(e - b for _, b, e in found)), 'lock: the waits of %s' % name)
        q = profile(trace, 'lock', '--by', 'holder', '--include-idle')
        tap.equal((q.total(0), q.total(1)), (p.total(0), p.total(1)), 'the same by holder')
    p, q = profile(traces['convoy'], 'lock'), profile(traces['convoy'], 'lock', '--by', 'holder', '--label', 'holder,lock')
    tap.ok(all('pthread_mutex_lock' in s.names[0] or 'convoy_main' in s.names for s in p.samples),
           'stacks of who waits', [s.names for s in p.samples])
    tap.ok(any('convoy' in s.names or 'main' in s.names for s in q.samples) and
           all('pthread_mutex_unlock' in s.names[0] or 'convoy' in ' '.join(s.names) for s in q.samples),
           'stacks of who let go', [s.names for s in q.samples])
    tap.equal({s.labels.get('lock') for s in p.samples + q.samples}, {'one'}, 'label lock')
    tap.ok(all('holder' in s.labels for s in q.samples), 'label holder')
    tap.equal(p.types, [('contentions', 'count'), ('delay', 'nanoseconds')], 'as Go\'s trace tool has it')
    found = waits_of(traces['queue'], 'cond.wait.begin', ['cond.wait.end'])
    p = profile(traces['queue'], 'cond', '--include-idle')
    tap.equal((p.total(0), p.total(1)), (len(found), sum(e - b for _, b, e in found)), 'cond: the waits of queue')
    q = profile(traces['queue'], 'cond')
    idle = [re.search(r'left out: (\d+) idle ones, (\d+) ns', c) for c in q.comments]
    idle = [m for m in idle if m] or [re.match(r'(0)(0?)', '0')]
    tap.equal(q.total(0) + int(idle[0].group(1)), p.total(0), 'without the idle ones, which it counts')
    kinds = {s.labels.get('kind') for name in ('sem', 'barrier', 'join', 'once', 'convoy', 'queue')
             for s in profile(traces[name], 'sync', '--include-idle').samples}
    tap.ok({'sem', 'barrier', 'join', 'mutex', 'cond'} <= kinds, 'sync has all kinds: %s' % sorted(kinds))


def states():
    for name in ('convoy', 'queue', 'sqlite3', 'python3', 'burn', 'big'):
        if name not in traces:
            tap.skip('states of ' + name, 'it is not installed')
            continue
        trace = traces[name]
        by_state = {}
        for row in rows(trace):
            by_state[row['state']] = by_state.get(row['state'], 0) + row['ns']
        off = sum(by_state.get(s, 0) for s in ('runnable', 'lock', 'wait', 'syscall', 'idle'))
        got = [profile(trace, kind).total(1) for kind in ('offcpu', 'sched', 'idle', 'all')]
        tap.equal(got, [off, by_state.get('runnable', 0), by_state.get('idle', 0), sum(by_state.values())],
                  'offcpu, sched, idle and all are the intervals of %s' % name)
        p = profile(trace, 'all')
        tap.equal({s: p.labelled('kind', s) for s in by_state}, by_state, 'label kind is the state')


TWICE = ('clone', 'clone3', 'vfork')  # hardly anybody writes down when they return


def calls_of(trace):
    """How often each system call was made, how long all of those took that have an end, and the names of the others."""
    n, ns, begun, opened = {}, 0, {}, []
    for e in events(trace, '--type', 'syscall,syscall.begin,syscall.end'):
        number = e['args']['number']
        if e['tid'] in begun and begun[e['tid']]['args']['number'] in TWICE and \
                not (e['type'] == 'syscall.end' and number == begun[e['tid']]['args']['number']):
            opened.append(begun.pop(e['tid'])['args']['number'])
        if e['type'] == 'syscall.begin':
            begun[e['tid']] = e
            continue
        n[number] = n.get(number, 0) + 1
        if e['type'] == 'syscall':
            ns += e['args']['took_ns']
        elif e['tid'] in begun and begun[e['tid']]['args']['number'] == number:
            ns += e['time_ns'] - begun.pop(e['tid'])['time_ns']
    opened += [e['args']['number'] for e in begun.values()]
    for number in opened:  # the story tells of it until its thread ends
        n[number] = n.get(number, 0) + 1
    return n, ns, opened


def calls():
    for name in ('sqlite3', 'queue', 'pipe', 'python3'):
        if name not in traces:
            continue
        trace = traces[name]
        n, ns, opened = calls_of(trace)
        p = profile(trace, 'syscall', '--include-idle', '--label', 'syscall')
        got = {}
        for s in p.samples:
            got[s.labels['syscall']] = got.get(s.labels['syscall'], 0) + s.values[0]
        tap.equal(got, n, 'system calls of %s: each as often as it was made' % name)
        closed = sum(s.values[1] for s in p.samples if s.labels['syscall'] not in opened)
        if not opened:
            tap.equal(closed, ns, 'and as long')
        else:
            tap.ok(closed <= ns <= p.total(1), 'and as long, but for those that never ended: %s' % opened)
    paths = {s.labels.get('path', '') for s in profile(traces['python3'], 'syscall', '--label', 'path').samples}
    tap.ok(any(p.endswith('.so') or '.so.' in p for p in paths), 'label path')
    p = profile(traces['convoy'], 'sleep')
    tap.equal(p.total(0), 5, 'sleep')
    tap.ok(p.total(1) >= 60e6, 'as long as it asked for')


def samples():
    trace = traces['burn']
    found = events(trace, '--type', 'sample.cpu')
    p = profile(trace, 'cpu')
    tap.equal((p.total(0), p.total(1)), (len(found), sum(e['args']['weight_ns'] for e in found)), 'cpu: all samples')
    whole = Profile.read(os.path.join(os.path.dirname(trace), 'cpu.pb.gz'))
    tap.equal(p.total(1), whole.total(1), 'as much as the cpu profile beside it')
    for name in ('burn_a', 'burn_b'):
        tap.equal(p.within(name), whole.within(name), 'and of %s' % name)
    tap.equal(p.types, [('samples', 'count'), ('cpu', 'nanoseconds')], 'its types')


def labels():
    p = profile(traces['marks'], 'syscall', '--label', 'task_type,thread', '--include-idle')
    tap.ok({s.labels.get('task_type') for s in p.samples} <= {'request', 'whole', None}, 'label task_type')
    p = profile(traces['convoy'], 'sync', '--label', 'none')
    tap.equal([s.labels for s in p.samples], [{}] * len(p.samples), '--label none')
    r = run(traces['convoy'], 'pprof', 'sync', '--label', 'thread,color')
    tap.ok(r.returncode == 2 and 'color' in r.said and 'task_type' in r.said, 'a label that is none', r.said)
    for args in (['colour'], ['cond', '--by', 'holder'], ['lock', '--by', 'nobody'], []):
        r = run(traces['convoy'], 'pprof', *args)
        tap.ok(r.returncode == 2 and not r.stdout and r.said, 'usage: pprof %s' % ' '.join(args), r.said)
    whole = sum(e - b for _, b, e in waits_of(traces['convoy'], 'lock.wait.begin', ['lock.acquired']))
    first = profile(traces['convoy'], 'lock', '--to', '20ms').total(1)
    rest = profile(traces['convoy'], 'lock', '--from', '20ms').total(1)
    tap.equal(first + rest, whole, '--from and --to cut waits, and lose nothing')
    mapped = profile(traces['convoy'], 'lock')
    tap.ok(mapped.mappings[0]['file'].endswith('schedules') and re.match('[0-9a-f]{40}$', mapped.mappings[0]['build_id']),
           'the program is the first mapping, with its build id', mapped.mappings)
    tap.ok(all(address for s in mapped.samples for _, _, address in s.frames), 'locations have addresses')
    tap.ok(mapped.time_ns > 1600000000 * 10**9 and mapped.duration_ns > 40 * 10**6, 'time and duration')


def go():
    if not shutil.which('go'):
        tap.skip('go tool pprof', 'there is no go')
        return
    for kind in ('sync', 'syscall', 'offcpu', 'cpu', 'all'):
        path = os.path.join(root, 'go.pb.gz')
        name = 'burn' if kind == 'cpu' else 'convoy'
        run(traces[name], 'pprof', kind, '-f', '-o', path, check=True)
        env = dict(os.environ, HOME=root, PPROF_TMPDIR=root)
        top = subprocess.run(['go', 'tool', 'pprof', '-top', '-unit=ns', '-nodefraction=0', path], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=env)
        raw = subprocess.run(['go', 'tool', 'pprof', '-raw', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        total = re.search(r'([\d.]+)ns total', top.stdout.decode())
        want = Profile.read(path).total(1)
        tap.ok(top.returncode == 0 and raw.returncode == 0 and total and float(total.group(1)) == want,
               'go tool pprof reads %s, and sees as much' % kind, '%s %s' % (top.stdout[:300], top.stderr))


# ---- export ----

def protoc(data, name):
    if not shutil.which('protoc'):
        tap.skip('protoc', 'it is not installed')
        return
    r = subprocess.run(['protoc', '--decode_raw'], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tap.ok(r.returncode == 0, 'perfetto of %s: protoc reads it' % name, r.stderr[:300])
    r = subprocess.run(['protoc', '--proto_path=' + HERE, '--decode=perfetto.protos.Trace', 'perfetto.proto'], input=data,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unknown = re.findall(rb'^ *\d+[:{ ].*', r.stdout, re.MULTILINE)
    tap.ok(r.returncode == 0 and not unknown and not r.stderr, 'and knows every field', '%s %s' % (unknown[:5], r.stderr[:300]))


def perfetto_rules():
    for name, trace in traces.items():
        data = export(trace, 'perfetto')
        t = perfetto.Trace(data)
        tap.equal(t.problems, [], 'perfetto of %s keeps the rules: %d packets, %d flows' % (name, t.packets, len(t.flows)))
        if name in ('convoy', 'marks', 'names', 'sample', 'burn'):
            protoc(data, name)


def perfetto_facts():
    t = perfetto.Trace(export(traces['convoy'], 'perfetto'))
    found = sorted((b, e) for _, b, e in waits_of(traces['convoy'], 'lock.wait.begin', ['lock.acquired']))
    begun = min(t.clocks[0][3] for _ in [0])
    slices = sorted((s.begin - begun, s.end - begun) for track in t.tracks.values() for s in track.slices if s.name == 'lock one')
    tap.equal(slices, found, 'the waits of the convoy, to the nanosecond')
    tap.ok(all(track.kind == 'thread' for track in t.tracks.values() if any(s.name == 'lock one' for s in track.slices)),
           'on threads')
    held = [track for track in t.tracks.values() if any(s.category == 'held' for s in track.slices)]
    tap.equal([track.name for track in held], ['one'], 'a track for the lock')
    tap.equal(len(held[0].slices), 5, 'with all who held it')
    tap.equal(sum(1 for n in t.flows.values() if n >= 2) >= 8, True, 'wakes are flows: %d' % len(t.flows))
    wait = next(s for track in t.tracks.values() for s in track.slices if s.name == 'lock one')
    tap.ok(wait.notes.get('object') == 'one' and 'woken by' in wait.notes and 'convoy_main' in wait.stack,
           'a wait says for what, and where', '%s %s' % (wait.notes, wait.stack))
    # the states are the intervals
    for name in ('convoy', 'python3', 'queue', 'big'):
        t, want, total = perfetto.Trace(export(traces[name], 'perfetto')), {}, {}
        begun = t.clocks[0][3]
        for row in rows(traces[name]):
            last = want.setdefault(int(row['tid']), [])
            total['threads ' + row['state']] = total.get('threads ' + row['state'], 0) + row['ns']
            if not last or last[-1][1] != row['state']:
                last.append((int(row['begin_ns']), row['state']))
        got = {}
        for track in t.tracks.values():
            if track.kind == 'state' and track.states:
                got[t.tracks[track.parent].tid] = [(ns - begun, s) for ns, s in track.states if s]
        if name != 'big':  # where several have one number
            tap.equal(got, want, 'the states of %s are its intervals' % name)
        levels = {}
        for track in t.tracks.values():
            if track.kind == 'counter' and track.name.startswith('threads '):
                levels[track.name] = sum(n * (next_[0] - ns) for (ns, n), next_ in zip(track.counters, track.counters[1:]))
        tap.equal({k: round(v) for k, v in levels.items()}, total, 'and so many threads are in each at a time')
    t = perfetto.Trace(export(traces['marks'], 'perfetto'))
    regions = [s for track in t.tracks.values() for s in track.slices if s.category == 'region']
    tap.equal(sorted({(s.name, s.depth) for s in regions}), [('inner', 1), ('outer', 0)], 'regions nest')
    tap.equal(len(regions), 3 * 20 * 2, 'all of them')
    tasks = [s for track in t.tracks.values() for s in track.slices if s.category == 'task']
    tap.equal((len([s for s in tasks if s.name == 'request']), all(s.end for s in tasks)), (60, True), 'tasks')
    logs = [i for track in t.tracks.values() for i in track.instants if i[2] == 'log']
    tap.equal((len(logs), {i[3].get('category') for i in logs}), (60, {'plan'}), 'logs')
    counters = [c for track in t.tracks.values() if track.name in ('marks0', 'marks1', 'marks2') and track.kind == 'counter'
                for c in track.counters]
    tap.equal(sorted(v for _, v in counters), sorted(list(range(-19, 1)) * 3), 'counters')
    t = perfetto.Trace(export(traces['burn'], 'perfetto'))
    found = [e for e in events(traces['burn'], '--type', 'sample.cpu')]
    tap.equal((len(t.samples), sum(s[3] for s in t.samples)), (len(found), sum(e['args']['weight_ns'] for e in found)), 'samples')
    tap.ok(any('burn_a' in s[2] for s in t.samples), 'with their stacks')
    tap.ok(t.dropped == 0, 'nothing was lost')
    t = perfetto.Trace(export(traces['sample'], 'perfetto'))
    tap.ok(t.dropped > 0 and any('lost' in i[1] for track in t.tracks.values() for i in track.instants), 'what was lost is told')


def slices():
    """Every call is in every form that has slices."""
    for name in ('convoy', 'queue', 'pipe', 'python3', 'sqlite3'):
        if name not in traces:
            continue
        want, _, _ = calls_of(traces[name])
        t = perfetto.Trace(export(traces[name], 'perfetto'))
        c = json.loads(export(traces[name], 'chrome-json'))
        f = firefox.Profile(export(traces[name], 'firefox'))
        for form, found in (('perfetto', [s.name for track in t.tracks.values() for s in track.slices]),
                            ('chrome-json', [e['name'] for e in c['traceEvents'] if e['ph'] == 'B']),
                            ('firefox', [m.name for thread in f.threads for m in thread.of('syscall')])):
            tap.equal({n: found.count(n) for n in want}, want, '%s of %s has every call' % (form, name))


def moments():
    """So is every log, signal, attribute, and the end of the process."""
    types = {'log': 'log', 'signal': 'signal', 'attribute': 'attribute', 'labels': 'labels', 'process.exit': 'exit'}
    found = set()
    for name in ('convoy', 'marks', 'sample', 'names'):
        want = {}
        for e in events(traces[name], '--type', ','.join(types)):
            want[types[e['type']]] = want.get(types[e['type']], 0) + 1
        found |= set(want)
        t = perfetto.Trace(export(traces[name], 'perfetto'))
        c = json.loads(export(traces[name], 'chrome-json'))
        for form, got in (('perfetto', [i[2] for track in t.tracks.values() for i in track.instants]),
                          ('chrome-json', [e['cat'] for e in c['traceEvents'] if e['ph'] == 'i'])):
            tap.equal({k: got.count(k) for k in types.values() if k in got}, want, '%s of %s: moments' % (form, name))
    tap.ok({'log', 'exit'} <= found, 'of several kinds', found)


def chrome():
    for name, trace in traces.items():
        data = json.loads(export(trace, 'chrome-json').decode('utf-8'))
        problems, stacks, flows, spans, named, begun = [], {}, {}, {}, set(), {}
        listed = data['traceEvents']
        for e in listed:
            if e['ph'] == 'M' and e['name'] == 'thread_name':
                named.add(e['tid'])
            elif e['tid'] not in named and e['tid'] != 0:
                problems.append('tid %d has no name' % e['tid'])
        for e in sorted((e for e in listed if e['ph'] != 'M'), key=lambda e: round(e['ts'] * 1000)):
            stack, key = stacks.setdefault(e['tid'], []), (e.get('cat'), e.get('id'))
            if e['ph'] == 'B':
                stack.append(e)
            elif e['ph'] == 'E' and not stack:
                problems.append('an end without a begin at %f' % e['ts'])
            elif e['ph'] == 'E':
                stack.pop()
            elif e['ph'] in 'sf':
                flows.setdefault(key, []).append(e['ph'])
                if not stack:
                    problems.append('a flow that is bound to nothing at %f' % e['ts'])
            elif e['ph'] in 'be':
                spans[key] = spans.get(key, 0) + (1 if e['ph'] == 'b' else -1)
                begun.setdefault(key, []).append(e)
            elif e['ph'] not in 'iC':
                problems.append('phase %s' % e['ph'])
        problems += ['%d open on %d' % (len(s), t) for t, s in stacks.items() if s]
        problems += ['flow %s: %s' % (k, f) for k, f in flows.items() if sorted(f) != ['f', 's']]
        problems += ['%s is not closed' % (k,) for k, n in spans.items() if n < 0 or (n > 0 and k[0] != 'task')]
        tap.equal(problems[:5], [], 'chrome-json of %s: nests, and is whole: %d events' % (name, len(listed)))
    data = json.loads(export(traces['convoy'], 'chrome-json'))
    found = sorted((b, e) for _, b, e in waits_of(traces['convoy'], 'lock.wait.begin', ['lock.acquired']))
    got, open_ = [], {}
    for e in data['traceEvents']:
        if e['ph'] == 'B':
            open_.setdefault(e['tid'], []).append(e)
        elif e['ph'] == 'E':
            b = open_[e['tid']].pop()
            if b['name'] == 'lock one':
                got.append((round(b['ts'] * 1000), round(e['ts'] * 1000)))
    tap.equal(sorted(got), found, 'the waits of the convoy, to the nanosecond')
    text = export(traces['convoy'], 'chrome-json').decode()
    tap.ok(all(re.search(r'"ts":-?\d+\.\d{3}[,}]', line) for line in text.splitlines() if line.startswith('{"ph"')),
           'times have three digits behind the point')


def speedscope():
    for name, trace in traces.items():
        data = json.loads(export(trace, 'speedscope').decode('utf-8'))
        problems, frames = [], data['shared']['frames']
        want = {}
        for row in rows(trace):
            key = '%s (%s)' % (row['thread'], row['tid'])
            want.setdefault(key, {})
            want[key][row['state']] = want[key].get(row['state'], 0) + row['ns']
        got = {}
        for p in data['profiles']:
            if p['type'] == 'sampled':
                continue
            last, stack, total = p['startValue'], [], {}
            for e in p['events']:
                if e['at'] < last or e['at'] > p['endValue']:
                    problems.append('at %d behind %d' % (e['at'], last))
                if len(stack) > 0:
                    state = frames[stack[0]]['name']
                    total[state] = total.get(state, 0) + e['at'] - last
                last = e['at']
                if e['type'] == 'O':
                    stack.append(e['frame'])
                elif not stack or stack.pop() != e['frame']:
                    problems.append('closed what is not open')
            if stack:
                problems.append('%d left open' % len(stack))
            got[p['name']] = total
        tap.equal(problems[:5], [], 'speedscope of %s is balanced: %d profiles' % (name, len(data['profiles'])))
        if name not in ('names', 'sample', 'big'):  # names that are written in two ways; one for several
            tap.equal(got, want, 'and has the states of %s' % name)
    data = json.loads(export(traces['marks'], 'speedscope'))
    names = [f['name'] for f in data['shared']['frames']]
    tap.ok('outer' in names and 'inner' in names, 'regions')
    data = json.loads(export(traces['burn'], 'speedscope'))
    names = [f['name'] for f in data['shared']['frames']]
    sampled = [p for p in data['profiles'] if p['type'] == 'sampled']
    found = events(traces['burn'], '--type', 'sample.cpu')
    tap.equal((sum(len(p['samples']) for p in sampled), sum(sum(p['weights']) for p in sampled),
               sum(p['endValue'] for p in sampled)), (len(found), *[sum(e['args']['weight_ns'] for e in found)] * 2), 'samples')
    code = [(f['name'], f['file']) for f in data['shared']['frames'] if 'file' in f]
    tap.ok(len(code) > 3 and len(set(code)) == len(code), 'a function is one frame, whichever its line', code)
    tap.ok(all(len(p['samples']) == len(p['weights']) and p['name'].endswith(' cpu') for p in sampled), 'a weight each')
    whole = profile(traces['burn'], 'cpu')
    for name in ('burn_a', 'burn_b'):
        tap.equal(sum(w for p in sampled for s, w in zip(p['samples'], p['weights']) if any(names[f] == name for f in s)),
                  whole.within(name), 'of %s as in the profile' % name)


def schema():
    """The schema that speedscope comes with."""
    modules = browser.modules('speedscope', 'ajv')
    if not modules:
        tap.skip('speedscope\'s schema', browser.missing)
        return
    files = []
    for name in ('convoy', 'marks', 'burn', 'names', 'sample'):
        files.append(os.path.join(root, name + '.speedscope.json'))
        run(traces[name], 'export', 'speedscope', '-f', '-o', files[-1], check=True)
    check = os.path.join(root, 'check.js')
    r = browser.speedscope_schema(modules, check, files)
    tap.ok(r.returncode == 0, 'speedscope\'s own schema has nothing against it', r.stdout.decode()[:500])
    broken = os.path.join(root, 'broken.json')
    with open(broken, 'w') as file:
        file.write('{"$schema": "https://www.speedscope.app/file-format-schema.json", "profiles": [{"type": "evented"}]}')
    r = browser.speedscope_schema(modules, check, [broken])
    tap.ok(r.returncode == 1, 'and would have', r.stdout.decode()[:300])


def speedscope_page():
    """speedscope itself, in a browser."""
    modules, chromium = browser.modules('speedscope', 'playwright-core'), browser.chromium()
    if not modules or not chromium:
        tap.skip('speedscope in a browser', browser.missing)
        return
    for name in ('convoy', 'marks', 'burn', 'names'):
        data = export(traces[name], 'speedscope')
        script = os.path.join(root, name + '.js')
        with open(script, 'w') as file:
            file.write('speedscope.loadFileFromBase64("%s", "%s")' % (name, base64.b64encode(data).decode()))
        r = subprocess.run(['node', os.path.join(HERE, 'speedscope.mjs'), modules, chromium, script], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=300)
        if not tap.ok(r.returncode == 0, 'speedscope opens %s' % name, r.stderr.decode()[:500]):
            continue
        page, data = json.loads(r.stdout), json.loads(data)
        tap.equal((page['errors'], page['outside']), ([], []), 'without an error, and asks nobody')
        # a line of text has no line breaks and no others of what is no letter
        plain = [re.sub(r'\s+', ' ', p['name']).strip() for p in data['profiles']]
        tap.equal((page['n'], [re.sub(r'\s+', ' ', p).strip() for p in page['profiles']]) if name != 'names' else page['n'],
                  (len(plain), plain) if name != 'names' else len(plain), 'its profiles')
        for shown, p in zip(page['frames'], data['profiles']):
            want = {data['shared']['frames'][f]['name'] for f in
                    ([e['frame'] for e in p['events']] if p['type'] == 'evented' else sum(p['samples'], []))}
            if name != 'names':
                tap.ok(set(shown) == want, 'the frames of %s' % p['name'], sorted(want ^ set(shown)))


def firefox_rules():
    for name, trace in traces.items():
        p = firefox.Profile(export(trace, 'firefox'))
        tap.equal(p.problems, [], 'firefox of %s keeps the rules: %d threads, %d markers' %
                  (name, len(p.threads), sum(len(t.markers) for t in p.threads)))


def firefox_facts():
    for name in ('convoy', 'python3', 'queue', 'burn'):
        p, want = firefox.Profile(export(traces[name], 'firefox')), {}
        for row in rows(traces[name]):
            want.setdefault(int(row['tid']), []).append((int(row['begin_ns']), int(row['end_ns']), row['state']))
        got = {t.tid: [(m.begin, m.end, m.name) for m in t.of('state')] for t in p.threads if t.of('state')}
        tap.equal(got, want, 'firefox: the states of %s are its intervals, to the nanosecond' % name)
        tap.ok(all(m.category == m.name for t in p.threads for m in t.of('state')), 'each with its colour')
    p = firefox.Profile(export(traces['convoy'], 'firefox'))
    found = sorted((b, e) for _, b, e in waits_of(traces['convoy'], 'lock.wait.begin', ['lock.acquired']))
    waits_ = [m for t in p.threads for m in t.of('wait') if m.name == 'lock one']
    tap.equal(sorted((m.begin, m.end) for m in waits_), found, 'the waits of the convoy')
    tap.ok(all(m.fields.get('object') == 'one' and 'holder' in m.fields and 'waker' in m.fields and 'convoy_main' in m.stack and
               m.category == 'lock' for m in waits_), 'with what they are for, who had it, and where', [m.fields for m in waits_])
    wakes = [m for t in p.threads for m in t.of('wake')]
    tap.equal(sum(1 for m in wakes if m.name == 'release wakes' and m.fields.get('object') == 'one'), len(waits_),
              'who let them go on')
    tap.equal(sum(1 for m in wakes if m.name == 'create'), 4, 'who was started')
    p = firefox.Profile(export(traces['marks'], 'firefox'))
    kinds = {kind: [m for t in p.threads for m in t.of(kind)] for kind in ('region', 'task', 'mark', 'counter')}
    tap.equal(sorted({m.name for m in kinds['region']}), ['inner', 'outer'], 'regions')
    tap.equal(len(kinds['region']), 3 * 20 * 2, 'all of them')
    tap.equal(len([m for m in kinds['task'] if m.name == 'request' and m.end is not None]), 60, 'tasks')
    logs = [m for m in kinds['mark'] if m.name == 'log']
    tap.equal((len(logs), {m.fields.get('category') for m in logs}), (60, {'plan'}), 'logs')
    tap.equal(sorted(m.fields['value'] for m in kinds['counter']), sorted(list(range(-19, 1)) * 3), 'counters')
    p = firefox.Profile(export(traces['burn'], 'firefox'))
    found = events(traces['burn'], '--type', 'sample.cpu')
    tap.equal((sum(len(t.samples) for t in p.threads), sum(s[1] for t in p.threads for s in t.samples)),
              (len(found), sum(e['args']['weight_ns'] for e in found)), 'samples')
    tap.ok(any('burn_a' in s[2] for t in p.threads for s in t.samples), 'with their stacks')
    want = [(e['time_ns'], e['args']['rss_bytes']) for e in events(traces['burn'], '--type', 'heap')]
    tap.equal(p.counters.get('resident'), want, 'what was resident, when')
    main = next(m for m in p.whole['libs'] if m['name'] == 'burn')
    tap.ok(re.match('[0-9a-f]{40}$', main['codeId'] or ''), 'libraries have their build ids', main)
    p = firefox.Profile(export(traces['sample'], 'firefox'))
    tap.ok(any(m.fields['events'] > 0 for t in p.threads for m in t.of('lost')), 'what was lost is told')


def folded():
    for name, trace in traces.items():
        want, got, problems = {}, {}, []
        for row in rows(trace):
            want[row['state']] = want.get(row['state'], 0) + row['ns']
        for line in export(trace, 'folded').decode('utf-8').splitlines():
            m = re.match(r'([^;]*);([a-z]+)((?:;[^;]+)*) (\d+)$', line)
            if not m:
                problems.append(line)
                continue
            got[m.group(2)] = got.get(m.group(2), 0) + int(m.group(4))
        tap.equal((problems[:3], got), ([], want), 'folded of %s adds up' % name)
    text = export(traces['convoy'], 'folded').decode()
    tap.ok(re.search(r'^schedules;\w+;.*convoy_main;.*pthread_mutex_lock[^;]*;\[one\] \d+$', text, re.MULTILINE), 'root first', text)


def csv_rows():
    lives = {t['tid']: t['life_ns'] for t in json.loads(run(traces['queue'], 'threads', '--json').stdout)}
    got = {}
    for row in rows(traces['queue']):
        got[int(row['tid'])] = got.get(int(row['tid']), 0) + row['ns']
    tap.equal(got, lives, 'csv: intervals fill the lives of their threads')
    for name in ('queue', 'python3', 'big'):
        last, problems = {}, []
        for row in rows(traces[name]):
            at = last.get(row['tid'])
            if at is not None and at != row['begin_ns']:
                problems.append((row['tid'], at, row['begin_ns']))
            last[row['tid']] = row['end_ns']
        tap.equal(problems[:3], [], 'one behind the other: %s' % name)


def hostile():
    """Names that want to be something else."""
    for form in FORMS:
        data = export(traces['names'], form)
        if form == 'firefox':
            data = gzip.decompress(data)
        if form not in ('perfetto', 'csv'):
            text = data.decode('utf-8')
            tap.ok('\x1b' not in text and '\x00' not in text, '%s: nothing for a terminal in it' % form)
    found = rows(traces['names'])
    tap.ok(any('"' in r['thread'] and '\n' in r['thread'] and ';' in r['thread'] for r in found), 'csv keeps them', found[:2])
    data = json.loads(export(traces['names'], 'chrome-json'))
    names = {e['args']['name'] for e in data['traceEvents'] if e['ph'] == 'M' and e['name'] == 'thread_name'}
    tap.ok(any('"' in n and '\n' in n for n in names), 'JSON too', names)
    p = profile(traces['names'], 'sync', '--label', 'thread,lock,holder,task_type,path')
    tap.ok(any('"' in s.labels.get('thread', '') for s in p.samples), 'and profiles', [s.labels for s in p.samples])


def outputs():
    trace = traces['convoy']
    for args in (['pprof', 'sync'], *(['export', form] for form in FORMS)):
        there = os.path.join(root, 'there')
        with open(there, 'w') as file:
            file.write('mine')
        r = run(trace, *args, '-o', there)
        with open(there) as file:
            tap.ok(r.returncode == 1 and '-f' in r.said and file.read() == 'mine', '%s leaves alone what is there' % ' '.join(args), r.said)
        r = run(trace, *args, '-q', '-f', '-o', there)
        with open(there, 'rb') as file:
            data = file.read()
        tap.ok(r.returncode == 0 and data != b'mine' and r.said == '' and stat.S_IMODE(os.stat(there).st_mode) == 0o600,
               '-f replaces it', r.said)
        tap.equal(run(trace, *args).stdout, data, 'the same bytes again, on standard output')
        if os.path.exists('/dev/full'):
            with open('/dev/full', 'wb') as full:
                r = subprocess.run([TRACE, trace, *args], stdout=full, stderr=subprocess.PIPE)
            tap.ok(r.returncode == 1 and b'cannot be written' in r.stderr, 'a full disk is a failure', r.stderr)
    for form in FORMS:
        p = subprocess.Popen([TRACE, traces['big'], 'export', form, '-q'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.read(10)
        p.stdout.close()
        said = p.stderr.read()
        tap.ok(p.wait(timeout=200) == 0 and said == b'', 'a closed pipe: %s' % form, said)
    r = run(traces['convoy'], 'export', 'gif')
    tap.ok(r.returncode == 2 and 'gif' in r.said and 'speedscope' in r.said, 'a form that is none', r.said)
    r = run(traces['big'], 'export', 'speedscope', env=dict(os.environ, TMPDIR=os.path.join(root, 'none')))
    tap.ok(r.returncode == 1 and 'TMPDIR' in r.said, 'no room to spool', r.said)
    tap.equal([n for n in os.listdir(root) if 'part' in n], [], 'nothing is left behind')


def selection():
    t = perfetto.Trace(export(traces['convoy'], 'perfetto', '--from', '20ms', '--to', '50ms'))
    begun = t.clocks[0][3]
    times = [ns - begun for track in t.tracks.values() if track.kind == 'state' for ns, _ in track.states]
    tap.ok(t.problems == [] and times and min(times) >= 20 * 10**6 and max(times) <= 50 * 10**6, '--from and --to', t.problems)
    tid = rows(traces['convoy'])[0]['tid']
    t = firefox.Profile(export(traces['convoy'], 'firefox', '--threads', tid, '--from', '20ms', '--to', '50ms'))
    times = [ns for x in t.threads for m in x.of('state') for ns in (m.begin, m.end)]
    tap.ok(t.problems == [] and [x.tid for x in t.threads] == [int(tid)] and min(times) >= 20 * 10**6 and
           max(times) <= 50 * 10**6, 'firefox, too', t.problems)
    for form in FORMS:
        export(traces['convoy'], form, '--threads', tid)
    tap.equal({r['tid'] for r in rows(traces['convoy'], '--threads', tid)}, {tid}, '--threads')
    t = perfetto.Trace(export(traces['convoy'], 'perfetto', '--threads', tid))
    tap.equal((t.problems, {x.tid for x in t.tracks.values() if x.kind == 'thread'}), ([], {int(tid)}), 'of one thread')
    with open(traces['queue'], 'rb') as file:
        whole = file.read()
    cut = os.path.join(root, 'cut')
    with open(cut, 'wb') as file:
        file.write(whole[:-60])
    for form in FORMS:
        r = run(cut, 'export', form)
        tap.ok(r.returncode == 0 and r.stdout and ('no end' in r.said or 'damaged' in r.said), '%s of a trace that was cut' % form,
               r.said)
    tap.equal(perfetto.Trace(export(cut, 'perfetto')).problems, [], 'keeps the rules, too')
    tap.equal(run(cut, 'export', 'csv', '--strict', '-q').returncode, 3, '--strict')


def memory():
    if not os.path.exists('/usr/bin/time'):
        tap.skip('memory', 'there is no time(1)')
        return
    sizes = {}
    for events_n in (100000, 1600000):
        path = os.path.join(root, 'events')
        subprocess.run([MAKE, 'big', str(events_n), '20', path], check=True)
        for args in (['pprof', 'all'], *(['export', form] for form in FORMS)):
            r = subprocess.run(['/usr/bin/time', '-f', '%M', TRACE, path, *args, '-q'], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
            sizes.setdefault(' '.join(args), []).append(int(r.stderr.split()[-1]))
    for what, (small, large) in sizes.items():
        tap.ok(large < small + (40 << 10), '%s: %d KiB for 100,000 events, %d for 16 times as many' % (what, small, large))


def end():
    box.close()
    shutil.rmtree(root)


tap.run(begin, waits, states, calls, samples, labels, go, perfetto_rules, perfetto_facts, slices, moments, chrome, speedscope, schema,
        speedscope_page, firefox_rules, firefox_facts, folded, csv_rows, hostile, outputs, selection, memory, end)
