#!/usr/bin/env python3
"""cprof-trace tasks, regions, critical-path: of a program that measures its tasks, and beside another reader of the trace."""

import csv
import io
import json
import os
import subprocess
import sys
from collections import defaultdict

import tap
import trace_file
from cprof import BUILD, Box

TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden', 'errand')
# Stamps are the processor's counter, and each block of them is fitted to the kernel's clock at its ends.
CLOCKS_NS = 100000

box = Box()


def view(path, *args, width=100):
    env = box.environment({'COLUMNS': str(width), 'NO_COLOR': '1'})
    r = subprocess.run([TRACE, path] + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                       timeout=300)
    r.text, r.said = r.stdout.decode(), r.stderr.decode()
    return r


def rows(path, *args):
    r = view(path, *args, '--json')
    if r.returncode != 0:
        raise RuntimeError(r.said)
    return json.loads(r.text)


class Task:
    def __init__(self, ns, parent, kind):
        self.begin, self.end, self.parent, self.type = ns, None, parent, kind
        self.workers, self.at, self.covered, self.worked, self.threads, self.at_once = 0, ns, 0, 0, set(), 0

    def settle(self, ns):
        if self.end is None and ns > self.at:
            self.covered += (ns - self.at) * (self.workers > 0)
            self.worked += (ns - self.at) * self.workers
            self.at = ns


def tasks_of(trace):
    """Latency, time that was worked and gaps of each task, by the events alone."""
    tasks, current = {}, defaultdict(int)

    def chain(number):
        while number in tasks:
            yield tasks[number]
            number = tasks[number].parent

    for e in sorted(trace.events, key=lambda e: e.ns):
        if e.name == 'task.begin':
            tasks[e['task']] = Task(e.ns, e['parent'], e['type'])
        elif e.name in ('task.switch', 'thread.exit'):
            new = e['task'] if e.name == 'task.switch' else 0
            for number, n in ((current[e.thread], -1), (new, 1)):
                for task in chain(number):
                    task.settle(e.ns)
                    task.workers += n
                    if n > 0 and task.end is None:
                        task.threads.add(e.thread)
                        task.at_once = max(task.at_once, task.workers)
            current[e.thread] = new
        elif e.name == 'task.end':
            tasks[e['task']].settle(e.ns)
            tasks[e['task']].end = e.ns
    return tasks


def regions_of(trace):
    """(name, total, self) of each region, in the order of their ends."""
    opened, found = defaultdict(list), []
    for e in trace.events:
        if e.name == 'region.begin':
            opened[e.thread].append([e['name'], e.ns, 0])
        elif e.name == 'region.end':
            name, begin, inside = opened[e.thread].pop()
            found.append((name, e.ns - begin, e.ns - begin - inside))
            if opened[e.thread]:
                opened[e.thread][-1][2] += e.ns - begin
    return found


def adds_up(row, whole):
    return sum(row['states'].values()) - row['overlap_ns'] + row['gap_ns'] == row[whole]


def measured():
    n = 200
    for spec in ('trace', 'trace=threads'):
        r = box.run('errands', n, spec=spec)
        tap.ok(r.status == 0, '%s: the program runs' % spec, r.show())
        path = os.path.join(r.directory, 'trace.out')
        trace = trace_file.read(path)
        tap.equal((trace.problems, trace.lost()), ([], 0), '%s: the trace is whole' % spec)
        by_type(path, spec, n)
        one_by_one(path, spec, trace, r.truth['errands'])
        by_name(path, spec, trace, r.truth['errands'])
        story(path, spec, r.truth['errands'][n // 2][0])
        ways(path, spec, r.truth['errands'])


def by_type(path, spec, n):
    found = {row['type']: row for row in rows(path, 'tasks')}
    tap.equal({k: (v['count'], v['open']) for k, v in found.items()}, {'errand': (n, 0), 'part': (n, 0)},
              '%s: tasks of each type' % spec)
    tap.ok(all(adds_up(row, 'total_ns') for row in found.values()), '%s: states, gaps and overlap are the total' % spec, found)
    tap.ok(all(row['p50_ns'] <= row['p99_ns'] <= row['max_ns'] for row in found.values()), '%s: percentiles ascend' % spec)
    tap.equal([row['type'] for row in rows(path, 'tasks', '--type', '^err')], ['errand'], '%s: --type' % spec)
    buckets = [row for row in rows(path, 'tasks', '--histogram') if row['name'] == 'errand']
    tap.equal(sum(row['count'] for row in buckets), n, '%s: the histogram has each' % spec)


def one_by_one(path, spec, trace, truth):
    wanted, found = tasks_of(trace), {row['task']: row for row in rows(path, 'tasks', '--slowest', 10000)}
    tap.equal(set(found), set(wanted), '%s: each task' % spec)
    wrong = []
    for number, task in wanted.items():
        row, latency = found[number], task.end - task.begin
        got = (row['latency_ns'], row['gap_ns'], row['overlap_ns'], row['threads'], row['at_once'], sum(row['states'].values()))
        if got != (latency, latency - task.covered, task.worked - task.covered, len(task.threads), task.at_once, task.worked) \
                or not adds_up(row, 'latency_ns'):
            wrong.append((number, got, latency, task.covered, task.worked, len(task.threads), task.at_once))
    tap.ok(not wrong, '%s: latency, gaps, work and overlap of each, to the ns' % spec, wrong[:3])
    outside = []
    for number, begun, after_begin, before_end, ended, *_ in truth:
        if not before_end - after_begin - CLOCKS_NS <= found[number]['latency_ns'] <= ended - begun + CLOCKS_NS:
            outside.append((found[number]['latency_ns'], before_end - after_begin, ended - begun))
    tap.ok(not outside, '%s: as the program measured them' % spec, outside[:3])
    latencies = [row['latency_ns'] for row in rows(path, 'tasks', '--slowest', 7)]
    tap.equal(latencies, sorted((t.end - t.begin for t in wanted.values()), reverse=True)[:7], '%s: --slowest' % spec)


def by_name(path, spec, trace, truth):
    wanted, found = defaultdict(list), {row['name']: row for row in rows(path, 'regions')}
    for name, total, own in regions_of(trace):
        wanted[name].append((total, own))
    tap.equal({name: (row['count'], row['total_ns'], row['self_ns'], row['open'], row['disordered'], row['threads'])
               for name, row in found.items()},
              {name: (len(each), sum(t for t, _ in each), sum(s for _, s in each), 0, 0, 1) for name, each in wanted.items()},
              '%s: regions by name, to the ns' % spec)
    tap.ok(all(sum(row['states'].values()) == row['total_ns'] for row in found.values()), '%s: states are the total' % spec, found)
    took = {row['task']: row['took_ns'] for row in rows(path, 'regions', '--type', '^look', '--slowest', 10000)}
    outside = [(took[e[0]], e[5:]) for e in truth
               if not e[7] - e[6] - CLOCKS_NS <= took[e[0]] <= e[8] - e[5] + CLOCKS_NS]
    tap.ok(not outside, '%s: as the program measured them' % spec, outside[:3])
    task = truth[0][0]
    tap.equal([row['name'] for row in rows(path, 'regions', '--task', task, '--slowest', 5)], ['serve', 'look up'],
              '%s: --task' % spec)


def story(path, spec, task):
    row = next(row for row in rows(path, 'tasks', '--slowest', 10000) if row['task'] == task)
    lines = rows(path, 'tasks', '--task', task)
    tap.equal(sum(line['took_ns'] or 0 for line in lines), row['latency_ns'] + row['overlap_ns'], '%s: the lines add up' % spec)
    kinds = [line['kind'] for line in lines]
    tap.equal((kinds[0], kinds[-1], kinds.count('region.begin'), kinds.count('region.end'), kinds.count('part.begin'),
               kinds.count('log')), ('begin', 'end', 2, 2, 1, 1), '%s: what the program said is in it' % spec)
    tap.equal({line['thread'] for line in lines} - {None}, {'first', 'worker', 'last'}, '%s: and every thread' % spec)
    tap.equal([line['time_ns'] for line in lines], sorted(line['time_ns'] for line in lines), '%s: in order' % spec)


def ways(path, spec, truth):
    latencies = {row['task']: row for row in rows(path, 'tasks', '--slowest', 10000)}
    wrong, threads = [], set()
    for task in [e[0] for e in truth][::20]:
        way, row = rows(path, 'critical-path', '--task', task), latencies[task]
        at = way['begin_ns']
        for segment in way['segments']:
            if segment['begin_ns'] != at:
                wrong.append((task, segment))
            at += segment['took_ns']
        threads.update(segment['thread'] for segment in way['segments'])
        caused = sum(cause['total_ns'] for cause in way['causes'])
        most = max(cause['saved_at_most_ns'] for cause in way['causes'])
        if (way['begin_ns'], at - way['begin_ns'], way['took_ns'], caused) != (row['begin_ns'],) + (row['latency_ns'],) * 3 \
                or way['segments'][-1]['thread'] != 'last' or most > row['latency_ns']:
            wrong.append((task, row['latency_ns'], way))
    tap.ok(not wrong, '%s: critical paths are as long as their tasks, without a gap' % spec, wrong[:2])
    if spec == 'trace':
        tap.ok('worker' in threads and 'last' in threads, 'the way goes to who hands on', threads)
    way = rows(path, 'critical-path')
    tap.equal(sum(s['took_ns'] for s in way['segments']), way['took_ns'], '%s: of the run' % spec)
    slowest = rows(path, 'regions', '--type', 'serve', '--slowest', 1)[0]
    way = rows(path, 'critical-path', '--region', 'serve')
    tap.equal((way['begin_ns'], way['took_ns']), (slowest['begin_ns'], slowest['took_ns']), '%s: of the slowest region' % spec)
    r = view(path, 'critical-path', '--task', truth[0][0], '--intervals', 1)
    tap.ok(r.returncode == 1 and r.stdout == b'' and '--intervals' in r.said, '%s: too many to keep are told' % spec, r.said)


def golden():
    path = os.path.join(box.root, 'errand.out')
    subprocess.run([MAKE, 'errand', path], check=True)
    commands = ('tasks', 'tasks --slowest 2', 'tasks --histogram', 'tasks --task 7', 'regions', 'regions --slowest 2',
                'critical-path', 'critical-path --task 7', 'critical-path --region parse --causes',
                'critical-path --from 2ms --to 10ms --thread worker-1')
    for width in (80, 200):
        text = ''
        for command in commands:
            r = view(path, *command.split(), width=width)
            text += '$ %s\n%s%s\n' % (command, r.text, r.said)
        if os.environ.get('CPROF_GOLDEN'):
            with open('%s.%d' % (GOLDEN, width), 'w') as file:
                file.write(text)
        with open('%s.%d' % (GOLDEN, width)) as file:
            wanted = file.read()
        tap.ok(text == wanted, 'text, %d columns wide' % width, text)
        tap.ok('\x1b' not in text, 'what a name has for a terminal does not come out')
    for command in ('tasks', 'regions', 'critical-path', 'critical-path --causes', 'tasks --task 7'):
        table = list(csv.reader(io.StringIO(view(path, *command.split(), '--csv').stdout.decode(), newline='')))
        tap.ok(len(table) > 1 and len({len(row) for row in table}) == 1, 'CSV: %s' % command, table)
    tap.equal([row['task'] for row in rows(path, 'tasks', '--slowest', 5, '--from', '14.3ms')], [8], '--from')
    tap.equal([row['task'] for row in rows(path, 'tasks', '--slowest', 5, '--threads', 'worker')], [7], '--threads')
    tap.equal([row['name'] for row in rows(path, 'regions', '--threads', 'worker-2')], ['answer'], '--threads of regions')
    tap.equal([row['name'] for row in rows(path, 'regions', '--min', '7ms')], ['parse'], '--min')
    tap.equal(rows(path, 'critical-path', '--region', 'a', '--nth', 2)['begin_ns'], 9950000, '--nth')
    for command, status, word in (('tasks --type (', 2, '--type'), ('tasks --task 99', 1, '99'), ('regions --type x', 0, ''),
                                  ('critical-path --region x', 1, 'x'), ('critical-path --thread worker', 2, 'more than one'),
                                  ('critical-path --task 7 --region a', 2, 'one of'), ('critical-path --nth 2', 2, '--region'),
                                  ('critical-path --region a --nth 9', 1, '9'), ('tasks --slowest 100001', 2, '100000'),
                                  ('critical-path --thread nobody', 2, 'nobody'), ('tasks --sort x', 2, 'x')):
        r = view(path, *command.split())
        tap.ok(r.returncode == status and word in r.said, '%s: %s' % (command, r.said.strip().replace(box.root, '')),
               '%d %s' % (r.returncode, r.said))
    tap.equal(view(path, 'regions', '--type', 'x').text.splitlines()[0], 'no regions', 'a table of none')


tap.run(measured, golden)
