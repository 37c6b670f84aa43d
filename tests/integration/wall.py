#!/usr/bin/env python3
"""
Where time goes, running or waiting: the profile "wall" beside what the threads of programs with a timetable know of
themselves.

A look at a thread stands for the time since the look before, so a thread's total is its life, and what is off by chance is
the gap in which its state changes. Gaps are half to one and a half periods long; the change is anywhere in it, which gives
the two states 0.35 periods too much or too little (standard deviation), either way. Ten seconds of cycles of 80 to 160 ms
have 167 changes, which add up to 4.5 periods of 990, or 0.46 points. Two points, which is what is promised, are more than
four of these. On a busy machine there are fewer looks: chance() counts them.

Whether a thread that could run did so at the moment of a look, the kernel does not tell; its counters load a die.
"""

import concurrent.futures
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import tap
from cprof import Box, program, wait_for
from pprof import Profile, message

PERIOD = 1e9 / 99
STATES = re.compile(r'running|runnable|lock|cond|sem|barrier|join|futex|sleep|syscall:[a-z0-9_]+')
# The functions of the C library that each state is spent in, as its symbol tables and debug information name them.
LEAVES = {
    'lock': r'(mutex|rwlock).*lock|lll_lock|futex|rwlock',
    'cond': r'cond_|futex',
    'sem': r'sem_|futex',
    'barrier': r'barrier',
    'join': r'join',
    'futex': r'syscall',
    'sleep': r'sleep|syscall',
    'syscall:poll': r'poll',
    'syscall:read': r'read',
    'syscall:epoll_wait': r'epoll_wait',
    'syscall:wait4': r'wait',
}
# These wait by an instruction of the program itself.
OWN_CALLS = {'s_sleep', 'q_sleep', 'k_read'}


def wall(directory, *below):
    return Profile.read(os.path.join(directory, *below, 'wall.pb.gz'))


def truths(out):
    """Each line of JSON that was printed."""
    return [json.loads(line) for line in out.splitlines() if line.startswith('{')]


def of_thread(profile, name, state=None):
    return [s for s in profile.samples if s.labels.get('thread') == name and state in (None, s.labels.get('state'))]


def ns(samples):
    return sum(s.values[1] for s in samples)


def lateness(truth):
    """
    By how much a look may come late: eight times what the thread that looks waited for a processor on average. Such times
    are as good as exponential: one in three thousand is longer.
    """
    return 8 * truth.get('looker_late_ns', 0)


def check_life(about, profile, name, truth, slack=50e6, is_left=False):
    """
    From its first moment to its last, but for a look at each end, 15 ms at most; a busy machine looks late, and the main thread
    is there before main(), and others have its name at first. @is_left: it was there when the process ended, which was not
    before its life was told, nor after the profile's end.
    """
    got, life = ns(of_thread(profile, name)), truth['threads'][name]['life_ns']
    most = max(life, profile.duration_ns) if is_left else life
    if name == 'main':
        # each new thread may be met once before it has a name of its own, and such a look stands for 15 ms at most
        most += truth.get('namesakes_ns', 0) + truth.get('before_main_ns', 0) + 15e6 * (len(truth['threads']) - 1)
    slack += lateness(truth)
    return tap.measured(life - 0.01 * life - slack <= got <= most + 0.01 * life + slack,
                  '%s: %s is seen for %.3f s, lived %.3f s' % (about, name, got / 1e9, life / 1e9),
                  'the profile lasts %.3f s' % (profile.duration_ns / 1e9))


def states_of(truth):
    """state → (least, most) ns, functions. While it is late after a wait, a thread is in its call, and runnable."""
    late = sum(w['late_ns'] for w in truth['waits'])
    found = {'running': [truth['running_ns'], truth['running_ns'], set()],
             'runnable': [truth['runnable_ns'], truth['runnable_ns'] + late, set()]}
    for w in truth['waits']:
        state = found.setdefault(w['state'], [0, 0, set()])
        state[0] += w['ns'] - w['late_ns']
        state[1] += w['ns']
        state[2].add(w['function'])
    return found


def off_by(got, least, most):
    return got - most if got > most else got - least if got < least else 0.0


def chance(samples, truth):
    """Four standard deviations of a state's share, in points."""
    changes = 2 * sum(w['count'] for w in truth['waits'])
    return 400 * 0.35 * changes ** 0.5 / max(1, sum(s.values[0] for s in samples))


def chance_of_die(samples, truth):
    """The same for the die that tells running from runnable."""
    could, runs = truth['running_ns'] + truth['runnable_ns'], truth['running_ns']
    if could == 0:
        return 0
    part = min(1, max(0, runs / could))
    return 400 * (could / truth['life_ns'] * part * (1 - part) / max(1, sum(s.values[0] for s in samples))) ** 0.5


POINTS = 2.0  # what is promised


def check_states(about, profile, name, truth, points=POINTS):
    samples = of_thread(profile, name)
    total, life = max(1, ns(samples)), truth['life_ns']
    wanted = states_of(truth)
    for state, (least, most, _) in sorted(wanted.items()):
        got = 100 * ns(s for s in samples if s.labels.get('state') == state) / total
        error = off_by(got, 100 * least / life, 100 * most / life)
        limit = max(points, chance(samples, truth))
        if state in ('running', 'runnable'):
            limit += chance_of_die(samples, truth)
        if max(got, 100 * most / life) > 0.5:
            tap.measured(abs(error) <= limit, '%s: %s is %s for %.2f %%, truly %.2f to %.2f %%' % (
                about, name, state, got, 100 * least / life, 100 * most / life),
                   'off by %.2f, may be by %.2f' % (error, limit))
    others = sum(s.values[1] for s in samples if s.labels.get('state') not in wanted)
    tap.measured(100 * others / total <= 1, '%s: %s is in no other state' % (about, name),
           str([(s.labels.get('state'), s.values, s.names) for s in samples if s.labels.get('state') not in wanted][:6]))


def check_stacks(about, profile, name, truth):
    """The function that waits is on the stack, and a function of the C library is its leaf."""
    for state, (_, most, functions) in sorted(states_of(truth).items()):
        samples = of_thread(profile, name, state)
        if not functions or most < 0.02 * truth['life_ns'] or not samples:
            continue
        inside = [s for s in samples if functions & set(s.names)]
        tap.ok(ns(inside) >= 0.98 * ns(samples), '%s: %s is %s in %s' % (about, name, state, '/'.join(sorted(functions))),
               str([(s.names, s.values) for s in samples if s not in inside][:4]))
        if functions & OWN_CALLS:
            right = [s for s in inside if s.names[0] == 'call_past_libc']
        else:
            right = [s for s in inside if re.search(LEAVES[state], ' '.join(line[0] for line in s.frames[0][1]))]
        tap.ok(ns(right) >= 0.98 * ns(inside), '%s: %s: the leaf of %s' % (about, name, state),
               str([(s.names[:3], s.values) for s in inside if s not in right][:4]))
    cut = [s for s in of_thread(profile, name) if '[truncated]' in s.names]
    tap.ok(ns(cut) <= 0.01 * ns(of_thread(profile, name)), '%s: %s: whole stacks' % (about, name),
           str([(s.names, s.values) for s in cut][:4]))


def check_header(about, directory, is_busy=False):
    """Columns, period and times, as fgprof has them. On a busy machine looks come late, and stand for more time."""
    with open(os.path.join(directory, 'wall.pb.gz'), 'rb') as file:
        top = message(gzip.decompress(file.read()))
    strings = [s.decode() for s in top[6]]
    profile = wall(directory)
    period_type = message(top[11][-1])
    tap.equal(profile.types, [('samples', 'count'), ('time', 'nanoseconds')], about + ': columns')
    tap.equal((strings[period_type[1][0]], strings[period_type[2][0]]), ('wallclock', 'nanoseconds'), about + ': period type')
    tap.equal(profile.period, int(PERIOD), about + ': period')
    tap.ok(14 not in top, about + ': no default column, so time is shown')
    tap.ok(abs(profile.time_ns / 1e9 - time.time()) < 600, about + ': the time it was made')
    tap.between(profile.total(0) * profile.period / profile.total(), 0.6 if is_busy else 0.95, 1.05,
                about + ': samples times period over time')
    bad = {s.labels.get('state') for s in profile.samples if not STATES.fullmatch(str(s.labels.get('state')))}
    tap.equal(bad, set(), about + ': every sample has a state that is in the manual')
    tap.ok(all(s.labels.get('thread') for s in profile.samples), about + ': every sample has the name of its thread')
    return profile


def is_busy(threads):
    """Whether others kept threads from running for more than a tenth of what they ran."""
    kept = sum(of['runnable_ns'] + sum(w['late_ns'] for w in of['waits']) for of in threads.values())
    return kept > 0.1 * sum(of['running_ns'] for of in threads.values())


def check_timetable(about, r):
    if not tap.ok(r.status == 0 and r.closing is not None, about + ': runs', r.show()):
        return
    truth = truths(r.out)[-1]
    profile = check_header(about, r.directory, is_busy(truth['threads']))
    tap.ok(truth['is_right'], about + ': no wait was interrupted, and phases add up', r.out)
    for name, of in truth['threads'].items():
        check_life(about, profile, name, truth, is_left=name == 'main')
        # S and Q wait past the C library: that they have gone to sleep is found out, not told
        check_states(about, profile, name, of, 2 * POINTS if name in 'SQ' else POINTS)
        if name not in 'HQ':  # which hear no signal: where they compute is not known
            check_stacks(about, profile, name, of)
    known = sum(of['life_ns'] for of in truth['threads'].values())
    tap.between(profile.total() / known, 0.98, 1.03, about + ': the time of all threads')


def by_itself():
    """The programs, without cprof: they keep to their plan, and nobody interrupts them."""
    box = Box()
    for name in ('timetable', 'timetable_cxx', 'timetable_rust'):
        if program(name) == name:
            tap.skip(name, 'not built here')
            continue
        r = box.plain(name, 0.5)
        tap.ok(r.status == 0 and truths(r.out)[-1]['is_right'], '%s: keeps to its plan' % name, r.show())
    box.close()


def shares():
    box = Box()
    check_timetable('wall', box.run('timetable', 10, spec='wall'))
    box.close()


def shares_beside_cpu():
    """With the cpu profile at the same time, in which only what computes is."""
    box = Box()
    r = box.run('timetable', 10, spec='cpu,wall')
    check_timetable('cpu and wall', r)
    cpu, truth = r.profile(), truths(r.out)[-1]
    running = sum(of['running_ns'] for of in truth['threads'].values())
    # the CPU clock of threads that block the signal has no samples, but is accounted for
    tap.between(cpu.total() / running, 0.93, 1.15, 'cpu and wall: CPU time in cpu')
    computed = truth['threads']['A']['running_ns']
    # some 300 samples: gaps of half to one and a half periods make 5 of them
    tap.between(cpu.within('a_compute') / computed, 0.93, 1.07, 'cpu and wall: of A')
    box.close()


def pprof_reads_it():
    box = Box()
    if shutil.which('go') is None:
        tap.skip('go tool pprof', 'no go here')
        return
    r = box.run('timetable', 2, 'ABCDF', spec='wall')
    path = os.path.join(r.directory, 'wall.pb.gz')

    def pprof(*argv):
        done = subprocess.run(['go', 'tool', 'pprof'] + list(argv) + [path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, PPROF_BINARY_PATH='/nonexistent'), timeout=100)
        tap.ok(done.returncode == 0, 'go tool pprof ' + ' '.join(argv), done.stderr.decode())
        return done.stdout.decode()

    tags = pprof('-tags')
    for state in ('running', 'lock', 'sem', 'cond', 'sleep', 'join', 'syscall:poll'):
        tap.ok(re.search(r': %s$' % state, tags, re.MULTILINE), 'pprof -tags lists %s' % state, tags)
    for thread in 'ABCDF':
        tap.ok(re.search(r': %s$' % thread, tags, re.MULTILINE), 'pprof -tags lists thread %s' % thread, tags)
    locks = pprof('-top', '-nodecount=100', '-nodefraction=0', '-tagfocus=state=lock')
    tap.ok('b_lock' in locks and not re.search(r'b_turn|a_sleep|a_compute|d_poll|f_wait', locks),
           'pprof -tagfocus=state=lock: the waits for locks and nothing else', locks)
    total = re.search(r'Total samples = ([\d.]+)(m?s)', pprof('-top'))
    seconds = float(total.group(1)) * (1e-3 if total.group(2) == 'ms' else 1)
    tap.between(seconds / (wall(r.directory).total() / 1e9), 0.99, 1.01, 'pprof and we add up to the same')
    box.close()


def two_on_one_processor():
    """
    G1 and G2 share a processor and never wait: half of the time each is runnable. Which it is at a look is a die that the
    kernel's counters load. 5 s have 495 looks at each, 990 in all: a standard deviation of 1.6 points. 6 are nearly four.
    """
    box = Box()
    r = box.run('timetable', 5, 'G', spec='wall')
    profile, whole = wall(r.directory), truths(r.out)[-1]
    truth = whole['threads']
    for name in ('G1', 'G2'):
        check_life('one processor', profile, name, whole)
    both = of_thread(profile, 'G1') + of_thread(profile, 'G2')
    known = (truth['G1'], truth['G2'])
    for state in ('running', 'runnable'):
        got = 100 * ns(s for s in both if s.labels['state'] == state) / ns(both)
        wanted = 100 * sum(of[state + '_ns'] for of in known) / sum(of['life_ns'] for of in known)
        tap.measured(abs(got - wanted) <= 6, 'one processor: %s for %.2f %%, truly %.2f %%' % (state, got, wanted))
    computing = [s for s in both if 'g_compute' in s.names]
    tap.measured(ns(computing) > 0.97 * ns(both), 'one processor: both compute',
           str([s.names for s in both if s not in computing][:4]))
    box.close()


ENDS = {'exit': 0, '_exit': 7, 'kill': -signal.SIGKILL, 'term': -signal.SIGTERM, 'mainleaves': 0}
WAITING = {'D': 'syscall:poll', 'E': 'syscall:read', 'F': 'cond', 'K': 'syscall:read'}
# K does not say that it waits: one that stays so is looked at every eighth time, and may end before its turn comes
SILENT_SLACK = 30e6 + 8 * PERIOD


def endings():
    """
    However it ends, what was seen up to then is there. Those that wait have been where they are for all of it. With A, or
    with nobody who moves before the end.
    """
    box = Box()

    def one(way_and_letters):
        way, letters = way_and_letters
        begun = time.monotonic()
        r = box.run('timetable', 2.5, letters, way, spec='wall', output=os.path.join(box.root, way + letters))
        r.took_ns = (time.monotonic() - begun) * 1e9
        return r

    runs = [(way, letters) for letters in ('ADEFK', 'DEF', 'DEFK') for way in ENDS]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        for (way, letters), r in zip(runs, pool.map(one, runs)):
            about = '%s of %s' % (way, letters)
            is_right = r.status == ENDS[way] and r.own_err == '' and r.closing is not None
            if not tap.ok(is_right, about + ': its status', r.show()):
                continue
            profile, whole = wall(r.directory), truths(r.out)[-1]
            truth = whole['threads']
            tap.ok(profile.duration_ns <= r.took_ns, about + ': it lasts no longer than its run')
            for name in truth:
                # A may be about to answer
                check_life(about, profile, name, whole,
                           SILENT_SLACK if name == 'K' else 60e6 if name == 'A' else 30e6,
                           way in ('_exit', 'kill', 'term') or name == ('last' if way == 'mainleaves' else 'main'))
            for name in WAITING.keys() & truth.keys():
                samples = of_thread(profile, name)
                inside = ns(of_thread(profile, name, WAITING[name]))
                tap.ok(samples and inside > 0.97 * ns(samples), '%s: %s is in %s' % (about, name, WAITING[name]),
                       str([(s.labels, s.values) for s in samples]))
            if 'A' in letters and way in ('exit', 'mainleaves'):  # the others leave it in a phase that it has not counted
                check_states(about, profile, 'A', truth['A'])
    tap.equal(box.leftovers(), [], 'endings: nothing left behind')
    box.close()


def children():
    box = Box()
    for way in ('fork', 'forkexec'):
        r = box.run('timetable', 2, 'ADI', way, spec='wall')
        if not tap.ok(r.status == 0 and r.own_err == '', way + ': runs', r.show()):
            continue
        spoken = {t['what']: t for t in truths(r.out)}
        parent, child = spoken[way], spoken['child' if way == 'fork' else 'exit']
        profile = wall(r.directory)
        check_life(way, profile, 'A', parent)
        waiting = ns(of_thread(profile, 'main', 'syscall:wait4'))
        truly = sum(w['ns'] for w in parent['threads']['main']['waits'] if w['state'] == 'syscall:wait4')
        tap.measured(abs(waiting - truly) < 0.01 * truly + 30e6 + lateness(parent),
               '%s: the parent waits for its child for %.3f s, truly %.3f s' % (way, waiting / 1e9, truly / 1e9))
        tap.ok(any('main_wait' in s.names for s in of_thread(profile, 'main', 'syscall:wait4')), way + ': in main_wait')
        # the image that only calls exec is there for some milliseconds, and may have a file, too: NAME.PID, the next NAME.PID.2
        below = sorted(c for c in r.children() if re.search(r'\.%d(\.\d+)?$' % child['pid'], c))
        if not tap.ok(below, way + ': the child has a directory', str(r.children())):
            continue
        profile = wall(r.directory, below[-1])
        for name, state in (('D', 'syscall:poll'), ('main', 'join')):
            check_life(way + ', child', profile, name, child, 60e6, name == 'main')
            tap.measured(ns(of_thread(profile, name, state)) > 0.95 * ns(of_thread(profile, name)),
                   '%s, child: %s in %s' % (way, name, state))
        check_life(way + ', child', profile, 'A', child, 60e6)
        tap.equal(ns(s for s in profile.samples if 'main_wait' in s.names), 0, way + ', child: nothing of the parent')
    tap.equal(box.leftovers(), [], 'children: nothing left behind')
    box.close()


def check_language(name, r):
    if not tap.ok(r.status == 0 and r.own_err == '', name + ': runs', r.show()):
        return
    truth = truths(r.out)[-1]
    profile = check_header(name, r.directory, True)
    tap.ok(truth['is_right'], name + ': no wait was interrupted', r.out)
    for thread, of in truth['threads'].items():
        if thread == 'main' and name == 'timetable_rust':  # whose main thread has the program's name
            samples = [s for s in profile.samples if 'join' in str(s.names) and s.labels['state'] == 'join']
            tap.between(ns(samples) / of['life_ns'], 0.95, 1.05, name + ': the main thread joins')
            continue
        check_life(name, profile, thread, truth, is_left=thread == 'main')
        if name == 'timetable_rust':
            # it has no clock for what its threads run, nor for how late they were woken
            for s in of_thread(profile, thread, 'runnable'):
                s.labels['state'] = 'running'
        check_states(name, profile, thread, of, 3 * POINTS if name == 'timetable_rust' else POINTS)
        for state, (_, most, functions) in states_of(of).items():
            samples = of_thread(profile, thread, state)
            if not functions or most < 0.05 * of['life_ns']:
                continue
            inside = [s for s in samples if any(re.search(r'\b%s\b' % f, n) for f in functions for n in s.names)]
            tap.ok(samples and ns(inside) > 0.97 * ns(samples),
                   '%s: %s is %s in %s' % (name, thread, state, '/'.join(sorted(functions))),
                   str([s.names for s in samples if s not in inside][:3]))
    cut = ns(s for s in profile.samples if '[truncated]' in s.names)
    tap.ok(cut < 0.01 * profile.total(), name + ': whole stacks', '%d ns' % cut)


PYTHON = '''
import json, threading, time
end = time.monotonic() + 4
lock, spent = threading.Lock(), {'kept': 0}
def counted(main):
    def run():
        main()
        try:  # how long it was kept from running
            with open('/proc/thread-self/schedstat') as f:
                spent['kept'] += int(f.read().split()[1]) / 1e9
        except OSError:
            pass
    return run
def sleeper():
    spent['sleep'] = time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.05)
    spent['sleep'] = time.monotonic() - spent['sleep']
def owner():
    while time.monotonic() < end:
        with lock:
            time.sleep(0.04)
        time.sleep(0.01)
def locker():
    spent['lock'] = 0
    while time.monotonic() < end:
        begun = time.monotonic()
        lock.acquire()
        spent['lock'] += time.monotonic() - begun
        lock.release()
        time.sleep(0.005)
def computer():
    x, begun = 1, time.thread_time()
    while time.monotonic() < end:
        for _ in range(10000):
            x = x * 5 % 1000003
    spent['compute'] = time.thread_time() - begun
threads = [threading.Thread(target=counted(f)) for f in (sleeper, owner, locker, computer)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(spent))
'''


def check_python(r):
    """An interpreter with threads: its locks are semaphores, and its one lock for all is a condition variable."""
    if not tap.ok(r.status == 0 and r.own_err == '', 'python3: runs', r.show()):
        return
    truth = truths(r.out)[-1]
    profile = check_header('python3', r.directory, True)
    by_state = {}
    for s in profile.samples:
        by_state[s.labels['state']] = by_state.get(s.labels['state'], 0) + s.values[1] / 1e9
    tap.note('python3: ' + ', '.join('%s %.2f s' % item for item in sorted(by_state.items(), key=lambda i: -i[1])))
    # five threads of 4 s and what comes before and after
    tap.between(profile.total() / 1e9, 19.5, 22.5, 'python3: time of all threads')
    # Two threads sleep; they wait for the interpreter's lock, 5 ms and more, each time they wake: all the longer when whoever
    # has it is kept from running. While they are kept from that themselves, they do neither.
    kept = truth['kept']
    tap.note('python3: kept from running for %.2f s, computed for %.2f s' % (kept, truth['compute']))
    sleeping = sum(by_state.get(state, 0) for state in ('sleep', 'syscall:select', 'syscall:pselect6'))
    tap.between(sleeping, 5 - 2 * kept, 8.6, 'python3: sleeping')
    tap.between(by_state.get('cond', 0), 0.3, 8 + kept, 'python3: waiting for the interpreter\'s lock')
    # the locker, and the main thread which joins by a lock
    tap.between(by_state.get('sem', 0) + by_state.get('futex', 0), truth['lock'] + 3 - kept, truth['lock'] + 4.8,
                'python3: waiting for locks')
    # which of running and runnable it is at a look, a die decides
    running, could = by_state.get('running', 0), truth['compute'] + kept
    part = truth['compute'] / max(could, 1e-3)
    chance = 4 * (could * part * (1 - part) * PERIOD / 1e9) ** 0.5
    tap.between(running, 0.8 * truth['compute'] - chance, 1.2 * truth['compute'] + 0.4 + chance, 'python3: running')
    tap.ok(any(re.search('acquire|lock', n) for s in profile.samples if s.labels['state'] == 'sem' for n in s.names),
           'python3: in a function that takes a lock')


def languages():
    box = Box()
    python3 = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
    runs = {name: (name, 4) for name in ('timetable_cxx', 'timetable_rust') if program(name) != name}
    runs['python3'] = (python3, '-c', PYTHON)

    def one(name):
        return box.run(*runs[name], spec='wall', output=os.path.join(box.root, name))

    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        for name, r in zip(runs, pool.map(one, runs)):
            if name == 'python3':
                check_python(r)
            else:
                check_language(name, r)
    for name in ('timetable_cxx', 'timetable_rust'):
        if name not in runs:
            tap.skip(name, 'not built here')
    box.close()


def in_parallel(box, programs, with_plain=True):
    """(argv, result by itself, result under wall) of each; they sleep more than they work."""
    def one(number):
        argv = programs[number]
        return (argv, box.plain(*argv) if with_plain else None,
                box.run(*argv, spec='wall', output=os.path.join(box.root, 'same%d' % number)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(len(programs))))


def is_same(argv, plain, r, change=lambda text: text):
    return tap.equal((r.status, change(r.out), change(r.own_err)), (plain.status, change(plain.out), change(plain.err)),
                     ' '.join(os.path.basename(str(a)) for a in argv)[:60] + ' under wall: the same')


def rights():
    """Calls that mind a second thread, and whose rights all threads have."""
    box = Box()
    whats = ('drop', 'capabilities', 'back', 'namespaces', 'numbers', 'setns', 'nonew', 'fork', 'newpid', 'daemon', 'exec')
    for argv, plain, r in in_parallel(box, [('rights', what) for what in whats]):
        is_same(argv, plain, r)
        if argv[1] == 'exec':
            continue
        # it sleeps for 0.1 s; but the kernel makes no thread for a process whose children will be in another namespace
        there = os.path.exists(os.path.join(r.directory, 'wall.pb.gz'))
        total = ns(s for s in wall(r.directory).samples if 'sleep_ms' in s.names) if there else 0
        tap.measured(total > (40e6 if argv[1] == 'newpid' else 70e6), 'rights %s: looked at before and after' % argv[1],
               '%d ns' % total)
    tap.equal(box.leftovers(), [], 'rights: nothing left behind')
    box.close()


def families():
    """Programs that make others, in every way, say the same; their children have files."""
    box = Box()
    # in any order, with any numbers
    change = lambda text: sorted(re.sub(r'\d+', 'N', text).splitlines())
    ways = ('fork', 'forkexec', 'vfork', 'vforkfail', 'spawn', 'system', 'popen', 'thread', 'double', 'killed')
    for argv, plain, r in in_parallel(box, [('family', way, 50) for way in ways]):
        is_same(argv, plain, r, change)
        files = [os.path.join(r.directory, *b, 'wall.pb.gz') for b in [[]] + [[c] for c in r.children()]]
        tap.ok(all(os.path.exists(f) for f in files), 'family %s: a file each' % argv[1], str(files))
        if argv[1] != 'vforkfail':
            tap.ok(len(files) > 1, 'family %s: a child has one' % argv[1])
    for argv, plain, r in in_parallel(box, [('death', way, 30) for way in ('exec', 'execfail', 'thread', 'atexit', 'abort')]):
        is_same(argv, plain, r, change)
    r = box.run('family', 'daemon', 200, spec='wall')
    tap.equal(r.status, 0, 'daemon: the launcher does not wait for it')
    there = lambda: [c for c in r.children() if os.path.exists(os.path.join(r.directory, c, 'wall.pb.gz'))]
    tap.ok(wait_for(there), 'daemon: its file comes later', str(r.children()))
    tap.ok(wait_for(lambda: box.leftovers() == []), 'families: nothing left behind', box.leftovers())
    box.close()


def guests():
    """Programs that notice when somebody is in their process. Waits have a test of their own."""
    box = Box()
    whats = ('errno', 'resources', 'altstack', 'signal', 'sigwait', 'traps', 'sleepers')
    for argv, plain, r in in_parallel(box, [('guest', what) for what in whats]):
        is_same(argv, plain, r)
    whats = ('plain', 'blocked', 'blockedraw', 'leaving', 'mainleaves', 'small', 'clone', 'instruction', 'destructor')
    for argv, _, r in in_parallel(box, [('crowd', what, 60 if what in ('plain', 'small') else 200) for what in whats], False):
        if not tap.ok(r.status == 0 and r.own_err == '', 'crowd %s under wall: runs' % argv[1], r.show()):
            continue
        profile = wall(r.directory)
        burning = ns(s for s in profile.samples if 'burn_a' in s.names or '[no answer' in s.names[0])
        # it takes at least as long as it computes; a thread that nobody tells of is found after a tenth of a second
        least = 0.4 if argv[1] in ('clone', 'instruction') else 0.7
        tap.ok(burning > least * r.truth['burn_a'], 'crowd %s: its threads are seen where they compute' % argv[1],
               '%d of %d ns' % (burning, r.truth['burn_a']))
    box.close()


def short_runs():
    box = Box()
    ends = set()
    plain = box.plain('true')

    def one(number):
        r = box.run('true', spec='wall', output=os.path.join(box.root, 'run%d' % number))
        return r.status, r.out, r.own_err, r.closing is not None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ends = set(pool.map(one, range(200)))
    tap.equal(ends, {(0, '', '', True)}, '200 runs of /bin/true: status and output')
    tap.equal(plain.status, 0, '/bin/true by itself')
    tap.equal(box.leftovers(), [], '200 runs: nothing left behind')
    box.close()


GROUPS = {
    'shares': (by_itself, shares, shares_beside_cpu, two_on_one_processor),
    'ends': (endings, children, pprof_reads_it),
    'languages': (languages,),
    'same': (rights, families, guests, short_runs),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
