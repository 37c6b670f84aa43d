#!/usr/bin/env python3
"""
Every thread, once, with what it does: the profile "threads", in its three formats, of a program that asks for it and under
`cprof run`; stacks at which threads pile up; and the profile "threadcreate", with exact counts.
"""

import collections
import gzip
import json
import os
import re
import resource
import shutil
import signal
import subprocess

import tap
from cprof import Box, program, wait_for
from pprof import Profile, message

MANY = 10000
DEAF = 2
HEAD = re.compile(r'^thread (\d+) \[([^\]]*)\] "(.*)":$')
KINDS = [('in_poll', 'syscall:poll')] * 4 + [('in_cond', 'cond'), ('in_asm', 'sleep'), ('in_sem', 'sem'),
                                             ('in_read', 'syscall:read')]
PPROF = shutil.which('go')


def pprof(*argv):
    done = subprocess.run(['go', 'tool', 'pprof'] + list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(os.environ, PPROF_BINARY_PATH='/nonexistent'), timeout=100)
    tap.ok(done.returncode == 0, 'go tool pprof ' + ' '.join(os.path.basename(a) for a in argv), done.stderr.decode()[:800])
    return done.stdout.decode()


def check_header(about, path, name):
    with open(path, 'rb') as file:
        top = message(gzip.decompress(file.read()))
    strings = [s.decode() for s in top[6]]
    period_type = message(top[11][-1])
    tap.equal(Profile.read(path).types, [(name, 'count')], about + ': one column')
    tap.equal((strings[period_type[1][0]], strings[period_type[2][0]], top[12][-1]), (name, 'count', 1), about + ': period')
    tap.ok(9 in top and 14 not in top, about + ': the time it was made, and no default column')


def is_state(state, wanted, is_late):
    """A thread that waited before anybody looked has not said for what: the kernel knows of a futex."""
    return state == wanted or is_late and wanted in ('cond', 'sem') and state == 'futex'


def is_unseen(text):
    """What stands for the stack of a thread that was not looked at in time."""
    return '[not looked at: out of time]' in text or '[no answer: waits for a processor]' in text


ENOUGH = 70e3  # ns for each thread, of the looker's own time: twice what it takes where nobody else wants the processors
FINDING = 20e3  # and what it takes to find each, before the first is looked at
UNTOUCHED = 50e6  # ns: with no more than that spent waiting for a processor, all are to be there
SOON = 0.4e9  # ns: and when it was done by then, half of what it gives itself


def check_unseen(about, unseen, total, given):
    """
    A snapshot keeps its time: on a busy machine it leaves out whom it could not look at by then, and says so. @given: how
    long its thread ran and how long it waited for a processor. What it had time for must be there.
    """
    ran, waited = given
    part = 0.999
    if waited > UNTOUCHED and ran + waited > SOON:
        part = min(part, max(0, ran / total - FINDING) / ENOUGH)
    unseen = min(unseen, total)  # the main thread may be one of them
    return tap.measured(total - unseen >= part * total, about + ': as many were looked at as there was time for',
                  '%d of %d not, who looks ran for %.3f s and waited for %.3f s' % (unseen, total, ran / 1e9, waited / 1e9))


def check_profile(about, path, tids, given, is_late=False):
    """@tids: name → tid of all but the main thread."""
    profile = Profile.read(path)
    check_header(about, path, 'threads')
    seen = collections.Counter()
    wrong, unseen, unnamed = [], 0, 0
    for s in profile.samples:
        if is_unseen(s.names):
            unseen += s.values[0]
            if 'thread' not in s.labels:  # there was no time for its name either
                unnamed += s.values[0]
                continue
        seen[s.labels.get('thread')] += s.values[0]
        if is_unseen(s.names):
            continue
        kind, number = str(s.labels.get('thread')).split('-') if '-' in str(s.labels.get('thread')) else ('', 0)
        if kind == 's':
            function, state = KINDS[int(number) % 8]
            if function not in s.names or not is_state(s.labels.get('state'), state, is_late):
                wrong.append((s.labels, s.names))
    mains = {name: n for name, n in seen.items() if name not in tids}
    check_unseen(about, unseen, len(tids), given)
    tap.equal(len(tids.keys() - seen.keys()), unnamed, about + ': every thread is there')
    tap.equal({n for name, n in seen.items() if name in tids} | {1}, {1}, about + ': once')
    tap.equal(mains, {'crowd_asleep': 1}, about + ': the main thread, too, and none of ours')
    # the signal may find a thread on its way back from a look before
    tap.ok(len(wrong) <= len(tids) / 1000, about + ': states, and stacks', '%d wrong: %s' % (len(wrong), wrong[:4]))
    deaf = [s for s in profile.samples if str(s.labels.get('thread')).startswith('d-')]
    tap.ok(all(s.names[0].startswith('[no answer') or 'in_asm' in s.names or is_unseen(s.names) for s in deaf),
           about + ': those that hear no signal', str([(s.labels, s.names) for s in deaf]))
    return profile


def check_all(about, path, tids, given, is_late=False):
    """One block for each thread."""
    with open(path) as file:
        blocks = [block.splitlines() for block in file.read().strip().split('\n\n')]
    heads = [HEAD.match(block[0]) for block in blocks]
    others = [block[0] for block, head in zip(blocks, heads) if not head]
    if not tap.ok(others == [], about + ': each block begins with its thread', str(others[:4])):
        return
    names = {tid: name for name, tid in tids.items()}
    listed = collections.Counter(int(h.group(1)) for h in heads)
    tap.equal((set(names) - set(listed), set(listed.values())), (set(), {1}), about + ': each tid once')
    tap.equal(len(listed), len(tids) + 1, about + ': and no other')
    wrong, unlined = [], []
    unseen = [head.group(1) for head, block in zip(heads, blocks) if is_unseen('\n'.join(block[1:]))]
    check_unseen(about, len(unseen), len(tids), given)
    for head, block in zip(heads, blocks):
        name = names.get(int(head.group(1)))
        if name is None or head.group(1) in unseen:
            continue
        body = '\n'.join(block[1:])
        if head.group(3) != name:
            wrong.append(block[0])
        if name[0] != 's':
            continue
        function, state = KINDS[int(name[2:]) % 8]
        has_time = re.search(r', [\d.]+(ns|us|ms|s| minutes)$', head.group(2))
        has_state = is_state(head.group(2).split(', ')[0], state, is_late)
        if not has_state or not has_time and not is_late and function != 'in_asm':
            wrong.append(block[0])
        if not re.search(r'^%s\(.*\n\t\S*crowd_asleep\.c:\d+' % function, body, re.MULTILINE):
            unlined.append(block)
    tap.ok(len(wrong) <= len(tids) / 1000, about + ': names, states and times', '%d wrong: %s' % (len(wrong), wrong[:4]))
    tap.ok(len(unlined) <= len(tids) / 1000, about + ': stacks have files and lines',
           '%d have none: %s' % (len(unlined), unlined[:2]))
    for head, block in zip(heads, blocks):
        name = names.get(int(head.group(1)), '')
        if name.startswith('d-') and head.group(1) not in unseen:
            tap.note(' | '.join(block[:2]))
            if int(name[2:]) % 2 == 0:
                tap.ok(head.group(2).startswith('running') and 'blocked' in head.group(2),
                       about + ': %s computes and does not answer' % name, block[0])
            else:
                tap.ok(head.group(2).startswith('sleep'), about + ': %s sleeps' % name, block[0])


def check_text(about, path, total, given):
    with open(path) as file:
        text = file.read()
    tap.equal(text.splitlines()[0], 'threads profile: total %d' % total, about + ': its first line')
    counts = [int(n) for n in re.findall(r'^(\d+) @', text, re.MULTILINE)]
    tap.equal(sum(counts), total, about + ': counts add up')
    tap.equal(counts, sorted(counts, reverse=True), about + ': the largest first')
    entries = [e for e in text.split('\n\n') if is_unseen(e)]
    unseen = sum(int(n) for n in re.findall(r'^(\d+) @', '\n'.join(entries), re.MULTILINE))
    check_unseen(about, unseen, total - 1, given)
    line = re.search(r'^#\t0x[0-9a-f]+\tin_poll\+0x[0-9a-f]+\t\S*crowd_asleep\.c:\d+', text, re.MULTILINE)
    tap.ok(line or unseen > total / 2, about + ': functions and lines', text[:600])
    # half of them are in poll(), by one way: whoever reads this wants one number for them
    tap.ok(max(counts) >= total / 2 - 2 * DEAF - unseen, about + ': one entry for all that are at the same place',
           'the largest of %d is %d' % (len(counts), max(counts)))
    if PPROF is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    top = pprof('-top', '-nodecount=300', '-nodefraction=0', path)
    tap.ok(re.search(r'Showing nodes accounting for .* of %d total' % total, top), about + ': pprof reads all of it',
           top[:400])


def whom(first_line):
    truth = json.loads(first_line)
    tids = {'s-%d' % i: tid for i, tid in enumerate(truth['sleepers'])}
    tids.update({'d-%d' % i: tid for i, tid in enumerate(truth['deaf'])})
    tap.note('%d threads' % len(tids))
    return tids


def linked(n, how='snapshots'):
    box = Box()
    is_late = how == 'late'
    r = box.plain('crowd_asleep', n, DEAF, how, box.root)
    if not tap.ok(r.status == 0 and r.err == '', 'a crowd of %d: runs' % n, r.show()[-1500:]):
        box.close()
        return None
    tids, end = whom(r.out.splitlines()[0]), r.truth
    about = '%d threads, %scprof_write' % (n, 'late ' if is_late else '')
    tap.equal(end['interrupted'], 0, about + ': nobody\'s wait was interrupted')
    given = {k: (v['ran_ns'], v['waited_ns']) for k, v in end.items() if isinstance(v, dict)}
    for key in ('first', 'again', 'text', 'all'):
        tap.note('%s, %s took %.0f ms; who looks ran %.0f ms and waited %.0f ms' % (
            about, key, end[key]['ns'] / 1e6, given[key][0] / 1e6, given[key][1] / 1e6))
    check_profile(about, os.path.join(box.root, 'first.pb.gz'), tids, given['first'], is_late)
    check_profile(about + ' again', os.path.join(box.root, 'again.pb.gz'), tids, given['again'], is_late)
    check_text(about + ', debug=1', os.path.join(box.root, 'text'), len(tids) + 1, given['text'])
    check_all(about + ', debug=2', os.path.join(box.root, 'all'), tids, given['all'], is_late)
    box.close()
    return end


def ten_thousand():
    """
    The whole never takes longer than 1 s. Around cprof_write() lies more than the snapshot: opening libraries, reading
    symbols, writing. A crowd of ten does all of that, too, for the same few stacks; what 10,000 take longer is the
    snapshot and the text, so this is more than what is promised. Time that the caller waits for a processor is not counted.
    """
    for how in ('snapshots', 'late'):
        many, few = linked(MANY, how), linked(10, how)
        if many and few:
            for key in ('first', 'again'):
                tap.between((many[key]['ns'] - few[key]['ns']) / 1e9, -1, 1.0,
                            '10,000 threads more, %s: seconds, %s' % (how, key))


def child_of(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return int(f.read().split()[0])


def given_to_looker(pid):
    """(ran, waited) in ns of the thread that looks in this process, since its start."""
    for tid in os.listdir('/proc/%d/task' % pid):
        try:
            with open('/proc/%d/task/%s/comm' % (pid, tid)) as f:
                if f.read() != 'cprof\n':
                    continue
            with open('/proc/%d/task/%s/schedstat' % (pid, tid)) as f:
                return tuple(int(n) for n in f.read().split()[:2])
        except OSError:
            pass
    return 0, 0


class Held:
    """A program under `cprof run -p threads` that is talked to."""

    def __init__(self, box, *argv, spec='threads'):
        self.directory = os.path.join(box.root, 'held%d' % box.count)
        box.count += 1
        command = [box.cprof, 'run', '-p', spec, '-o', self.directory, '--', program(argv[0])] + [str(a) for a in argv[1:]]
        self.err = open(self.directory + '.err', 'w+')
        self.p = subprocess.Popen(command, cwd=box.cwd, env=box.environment(), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.err)

    def line(self):
        return self.p.stdout.readline().decode()

    def path(self, name):
        return os.path.join(self.directory, name)

    def ask(self, number):
        self.p.send_signal(signal.SIGQUIT)
        names = ['threads.%d.%s' % (number, suffix) for suffix in ('pb.gz', 'txt')]
        return tap.ok(wait_for(lambda: all(os.path.exists(self.path(n)) for n in names)),
                      'SIGQUIT to the launcher writes ' + ' and '.join(names), self.said())

    def said(self):
        self.err.seek(0)
        return self.err.read()

    def end(self):
        out, _ = self.p.communicate(timeout=60)
        return self.p.returncode, out.decode()


def under_the_launcher():
    box = Box()
    held = Held(box, 'crowd_asleep', MANY, DEAF, 'hold')
    tids = whom(held.line())
    about = '%d threads, SIGQUIT' % len(tids)
    before, before_exit = given_to_looker(child_of(held.p.pid)), (0, 0)
    for number in (1, 2):
        if held.ask(number):
            now = given_to_looker(child_of(held.p.pid))
            given = (now[0] - before[0], now[1] - before[1])
            check_profile(about, held.path('threads.%d.pb.gz' % number), tids, given)
            check_all(about, held.path('threads.%d.txt' % number), tids, given)
            before, before_exit = now, given
    status, out = held.end()
    tap.equal((status, json.loads(out)['interrupted']), (0, 0), about + ': the program goes on, and its waits, too')
    said = [line for line in held.said().splitlines()]
    tap.ok(len(said) == 3 and all(line.startswith('cprof: ') for line in said),
           about + ': a line for each, and one at the end', '\n'.join(said))
    # nobody can be asked any more what this one was given; the one before it will do
    check_profile('%d threads, at exit' % len(tids), held.path('threads.pb.gz'), tids, before_exit)
    tap.equal(sorted(os.listdir(held.directory)), ['threads.1.pb.gz', 'threads.1.txt', 'threads.2.pb.gz', 'threads.2.txt',
                                                   'threads.pb.gz', 'threads.txt'], about + ': these files')
    tap.equal(box.leftovers(), [], about + ': nothing left behind')
    box.close()


def quit_is_the_programs():
    """Where no threads were asked for, SIGQUIT goes to the program as ever."""
    box = Box()
    held = Held(box, 'pile', '-', spec='cpu')
    held.line()
    held.p.send_signal(signal.SIGQUIT)
    # the signal is on its way for a while: a program whose input ends before that may end well
    try:
        held.p.wait(20)
    except subprocess.TimeoutExpired:
        tap.note('SIGQUIT has not come for 20 s')
    tap.equal(held.end()[0], -signal.SIGQUIT, 'without threads, SIGQUIT is passed on')
    box.close()


def check_pile(about, first, second):
    one, two = Profile.read(first), Profile.read(second)
    for p, pile, stay in ((one, 10, 20), (two, 60, 15)):
        tap.equal((p.within('pile_up', 0), p.within('steady', 0)), (pile, stay),
                  about + ': %d pile up, %d stay' % (pile, stay))
    if PPROF is None:
        tap.skip(about + ': go tool pprof -base', 'no go here')
        return
    top = pprof('-top', '-cum', '-nodefraction=0', '-base', first, second)
    rows = [line.split() for line in top.splitlines()]
    cum = {row[-1]: int(row[3]) for row in rows if len(row) >= 6 and row[3].lstrip('-').isdigit()}
    tap.ok((cum.get('pile_up'), cum.get('steady')) == (50, -5), about + ': pprof -base shows where they pile up', top)
    base = pprof('-top', '-cum', '-nodefraction=0', '-diff_base', first, second)
    row = [line.split() for line in base.splitlines() if line.endswith(' pile_up')]
    # 50 of the 31 that were there
    tap.ok(row and row[0][3] == '50' and abs(float(row[0][4].rstrip('%')) - 100 * 50 / 31) < 0.1,
           about + ': pprof -diff_base, too', base)
    peek = pprof('-peek', 'pile_up', '-base', first, second)
    tap.ok('pile_main' in peek, about + ': with the stack', peek)


def piles():
    box = Box()
    r = box.plain('pile', box.root)
    if tap.ok(r.status == 0 and r.err == '', 'pile: runs', r.show()):
        check_pile('pile', os.path.join(box.root, '1.pb.gz'), os.path.join(box.root, '2.pb.gz'))
        for number, total in ((1, 31), (2, 76)):
            with open(os.path.join(box.root, '%d.txt' % number)) as f:
                text = f.read()
            tap.ok(text.startswith('threads profile: total %d\n' % total), 'pile: text %d counts all' % number, text[:200])
        if PPROF is not None:
            # of the text it reads addresses only, and no names for them in C programs: the change in numbers is the same
            top = pprof('-top', '-base', os.path.join(box.root, '1.txt'), os.path.join(box.root, '2.txt'))
            tap.ok(re.search(r'\n *45 ', top), 'pile: pprof -base of two texts', top)
    held = Held(box, 'pile', '-')
    held.line()
    if held.ask(1):
        held.p.stdin.write(b'\n')
        held.p.stdin.flush()
        held.line()
        if held.ask(2):
            check_pile('pile, by SIGQUIT', held.path('threads.1.pb.gz'), held.path('threads.2.pb.gz'))
    tap.equal(held.end()[0], 0, 'pile: its status')
    box.close()


def running_threads():
    """A snapshot of threads that compute finds them there, and a running thread loses no time to it."""
    box = Box()
    r = box.run('crowd', 'plain', 100, spec='threads')
    tap.equal((r.status, r.own_err), (0, ''), 'threads of a program that computes: runs')
    p = Profile.read(os.path.join(r.directory, 'threads.pb.gz'))
    # at its end there is the main thread only, on its way out
    tap.equal(p.total(0), 1, 'at exit: the threads that are there then')
    names = p.samples[0].names
    tap.ok('main' in names or any('exit' in n for n in names), 'at exit: where it ends', str(names))
    box.close()


def thread_create():
    box = Box()
    for name in ('starts', 'starts_cxx'):
        if program(name) == name:
            tap.skip(name, 'not built here')
            continue
        r = box.run(name, spec='threadcreate')
        if not tap.ok(r.status == 0 and r.own_err == '', name + ': runs', r.show()):
            continue
        path = os.path.join(r.directory, 'threadcreate.pb.gz')
        p, truth = Profile.read(path), r.truth
        check_header(name, path, 'threadcreate')
        for function, count in truth.items():
            tap.equal(p.within(function, 0), count, '%s: %s started %d threads' % (name, function, count))
        nested = truth.get('start_nested', 0)
        tap.equal(p.total(0), sum(truth.values()) - nested, name + ': and that is all')
        leaves = {s.names[0] for s in p.samples}
        tap.ok(all(leaf in truth or re.search('pthread_create|thrd_create|start_thread', leaf) for leaf in leaves),
               name + ': the leaf is what creates threads', str(leaves))
        tap.ok(p.truncated() == 0, name + ': whole stacks')
        if PPROF is not None:
            top = pprof('-top', '-cum', '-nodefraction=0', path)
            missing = [function for function, count in truth.items() if count > 0 and
                       not re.search(r'\b%d .*\b%s$' % (count, function), top, re.MULTILINE)]
            tap.ok(missing == [], name + ': go tool pprof counts the same', top)
    plain = box.plain('crowd', 'storm', 2000)
    r = box.run('crowd', 'storm', 2000, spec='threadcreate')
    p = Profile.read(os.path.join(r.directory, 'threadcreate.pb.gz'))
    tap.equal((r.status, r.own_err, p.within('storm', 0)), (plain.status, '', 2000), 'a storm of threads: each is counted')
    box.close()


soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
if hard == resource.RLIM_INFINITY or hard > soft:
    resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
tap.run(ten_thousand, under_the_launcher, quit_is_the_programs, piles, running_threads, thread_create)
