#!/usr/bin/env python3
"""
Who waits and who makes them wait: the profiles "block" and "mutex" beside what programs measured themselves, and that whoever
locks and waits gets the same answers as without.
"""

import collections
import hashlib
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time

import tap
from cprof import LIBRARY, Box, program
from pprof import Profile

RULES = ('alone', 'mutex', 'givenup', 'rwlock', 'spin', 'cond', 'oldcond', 'sem', 'barrier', 'join', 'once', 'c11', 'futex',
         'cancel', 'jump', 'fork')
# None: preloaded and off
RULE_SPECS = (None, 'trace=locks', 'block=1ns,mutex=1', 'block,mutex', 'block=rate:100ns,mutex=1,block.io=on', 'cpu,wall', 'all')


def knows(word):
    """Whether this cprof has a profile of that name."""
    box = Box()
    r = box.command('run', '-p', word, '-o', os.path.join(box.root, 'o'), '--', 'true')
    box.close()
    return r.status == 0


def spoken(r):
    """Two threads, or two processes, speak as they come."""
    return r.status, sorted(r.out.splitlines()), r.own_err


def first_difference(mine, theirs):
    """The lines that only one of them has."""
    one, other = list(theirs[1]), []
    for line in mine[1]:
        if line in one:
            one.remove(line)
        else:
            other.append(line)
    return 'status %r, plain %r\nonly here: %s\nonly plain: %s\nerr: %s' % (
        mine[0], theirs[0], '\n  '.join(other[:8]), '\n  '.join(one[:8]), mine[2][:400])


def answers_of_locks():
    """Every result and errno of every function that locks or waits."""
    box = Box()
    has_block = knows('block')
    if not has_block:
        tap.skip('block and mutex', 'this cprof has no such profiles')
    names = [('lockrules', rule) for rule in RULES]
    if program('lockrules_cxx') != 'lockrules_cxx':
        names.append(('lockrules_cxx',))
    for argv in names:
        plain = spoken(box.plain(*argv))
        about = ' '.join(argv)
        tap.ok(plain[0] == 0 and len(plain[1]) > 5, about + ': runs', str(plain)[-600:])
        # what differs from run to run, by itself, would be no proof of anything
        again = spoken(box.plain(*argv))
        tap.ok(again == plain, about + ': the same twice', first_difference(again, plain))
        for spec in RULE_SPECS:
            if spec is None:
                r = box.plain(*argv, env={'LD_PRELOAD': LIBRARY})
            elif 'block' in spec and not has_block:
                continue
            else:
                r = box.run(*argv, spec=spec)
            mine = spoken(r)
            tap.ok(mine == plain, '%s, %s: the same' % (about, spec or 'preloaded'), first_difference(mine, plain))
    box.close()


def others_behind():
    """A library that counts the program's calls counts the same ones, and waits are seen all the same."""
    box = Box()
    plain = box.plain('behind')
    tap.ok(plain.status == 0 and 'pthread_mutex_lock: 102' in plain.out and 'trylock: 2' in plain.out, 'behind: runs',
           plain.show())
    for spec in RULE_SPECS:
        if spec is None:
            r = box.plain('behind', env={'LD_PRELOAD': LIBRARY})
        elif 'block' in spec and not knows('block'):
            continue
        else:
            r = box.run('behind', spec=spec)
        tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err),
                  'behind, %s: the same' % (spec or 'preloaded'))
        if spec == EXACT:
            for name in ('wait_for_mutex', 'wait_to_read'):
                count, ns = sums(at(profile(r, 'block'), name))
                tap.measured(count == 1 and 40e6 < ns < 1e9, 'behind: %s: one wait' % name, '%d, %d ns' % (count, ns))
            count, _ = sums(at(profile(r, 'block'), 'take_all'))
            tap.equal(count, 0, 'behind: a lock that is free is not waited for')
    box.close()


COLUMNS = [('contentions', 'count'), ('delay', 'nanoseconds')]
EXACT = 'block=1ns,mutex=1'


def profile(r, name):
    return Profile.read(os.path.join(r.directory, name + '.pb.gz'))


def at(p, function):
    return [s for s in p.samples if function in s.names]


def sums(samples):
    samples = list(samples)
    return sum(s.values[0] for s in samples), sum(s.values[1] for s in samples)


def is_within(got, least, most):
    return least * 0.98 - 1e6 <= got <= most * 1.02 + 1e6


def is_close(got, wanted):
    return is_within(got, wanted, wanted)


def is_there(about):
    if knows('block') and knows('mutex'):
        return True
    tap.skip(about, 'this cprof has no profiles "block" and "mutex"')
    return False


def other_processes():
    """Who waits for another process makes nobody else responsible for it."""
    if not is_there('a lock of two processes'):
        return
    box = Box()
    r = box.run('lockshared', spec=EXACT)
    truth = r.truth
    _, waited = sums(at(profile(r, 'block'), 'wait_for_child'))
    tap.measured(is_close(waited, truth['waited_ns']), 'a lock of two processes: waited for the other', '%s: %d' % (truth, waited))
    _, charged = sums(at(profile(r, 'mutex'), 'hold_a_little'))
    tap.measured(charged <= truth['held_ns'] + 1e6, 'a lock of two processes: charged with what was its own',
           '%d of %s' % (charged, truth))
    box.close()


# ---- the timetable ----

def check_waiters(about, block, name, of):
    """How often, how long, of what kind, and for which lock."""
    samples = at(block, name)
    count, ns = sums(samples)
    labels = '%s' % [(s.labels, s.values) for s in samples][:6]
    if 'count' in of:
        tap.equal(count, of['count'], '%s: %s: as often' % (about, name))
    else:
        tap.ok(count >= of['at_least'], '%s: %s: at least as often' % (about, name),
               '%d, truly %d' % (count, of['at_least']))
    # a call is over somewhere on the way from the moment when others let go to the waiter's next look at its clock
    tap.measured(is_within(ns, of.get('held_ns') or of['ns'], of['ns']), '%s: %s: as long' % (about, name),
           '%.3f ms, truly %.3f ms; %s' % (ns / 1e6, of['ns'] / 1e6, labels))
    # a wait for a condition that has to take its mutex again, when another is just letting go of it, has two
    kinds = collections.Counter()
    for s in samples:
        kinds[s.labels.get('kind')] += s.values[1]
    most = kinds.most_common(1)[0][0] if kinds else None
    tap.ok(most == of['kind'] and (len(kinds) == 1 or 'at_least' in of), '%s: %s: kind %s' % (about, name, of['kind']),
           labels)
    wanted = of['lock']
    if wanted:
        names = {s.labels.get('lock') for s in samples if s.labels.get('kind') == of['kind']}
        is_right = names == {wanted}
        if wanted.endswith(':'):  # a creation site
            is_right = len(names) == 1 and re.match(re.escape(wanted) + r'\d+$', str(list(names)[0])) is not None
        tap.ok(is_right, '%s: %s: lock %s' % (about, name, wanted), str(names))


def check_holder(about, mutex, name, of):
    """Who let go has what the others waited for it, whether or not the way back to a processor is in it."""
    count, ns = sums(at(mutex, of['holder']))
    of = dict(of, held_ns=of['held_ns'] or of['ns'])  # nobody came: all of it
    tap.measured(is_within(ns, of['held_ns'], of['ns']), '%s: %s made others wait' % (about, of['holder']),
           '%.3f ms; truly %.3f to %.3f ms' % (ns / 1e6, of['held_ns'] / 1e6, of['ns'] / 1e6))
    if name != 'w_three':
        tap.equal(count, of['count'], '%s: %s: as often' % (about, of['holder']))


def in_ms(text):
    """A duration of a text, "1.34s" or "838.63ms" or "0"."""
    number, unit = re.fullmatch(r'([\d.]+)([a-z]*)', text).groups()
    return float(number) * {'s': 1000, 'ms': 1, 'us': 0.001, 'ns': 1e-6, '': 1}[unit]


def check_lines(about, block):
    """A creation site has the line at which the lock was made."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'programs', 'locks.c')) as f:
        made = [str(n) for n, line in enumerate(f, 1) if '/* made here */' in line]
    lines = {s.labels['lock'].split(':')[-1] for s in block.samples if 'locks.c:' in s.labels.get('lock', '')}
    tap.equal(sorted(lines), made, about + ': the lines of creation sites')


def timetable():
    if not is_there('timetable'):
        return
    box = Box()
    names = ['locks'] + [name for name in ('lockscxx', 'locks_rust') if program(name) != name]
    for name in ('lockscxx', 'locks_rust'):
        if name not in names:
            tap.skip(name, 'not built here')
    for name in names:
        r = box.run(name, *(['timetable'] if name == 'locks' else []), spec=EXACT)
        if not tap.ok(r.status == 0 and r.own_err == '', name + ': runs', r.show()):
            continue
        block, mutex, truth = profile(r, 'block'), profile(r, 'mutex'), r.truth['sites']
        tap.equal((block.types, mutex.types), (COLUMNS, COLUMNS), name + ': columns')
        tap.equal([n for n, of in truth.items() if of['wrong']], [], name + ': the results are right')
        for site, of in truth.items():
            check_waiters(name, block, site, of)
            if of['holder']:
                check_holder(name, mutex, site, of)
        if name == 'locks':
            check_lines(name, block)
            holders = {of['holder'] for of in truth.values()}
            # pass_on lets go of it for the next one of three
            others = [s for s in mutex.samples if not (holders | {'pass_on'}) & set(s.names)]
            tap.measured(sums(others)[1] < 5e6, name + ': nobody else made others wait',
                   str([(s.names[:5], s.values) for s in others if s.values[1] > 1e5]))
        others = [s for s in block.samples if not any(n.startswith('w_') for n in s.names)]
        tap.ok(all(s.labels.get('kind') != 'io' for s in block.samples), name + ': no files unless asked for',
               str([s.names[:4] for s in block.samples if s.labels.get('kind') == 'io'][:3]))
        tap.note('%s: elsewhere: %s' % (name, [(s.names[:4], s.labels.get('kind'), s.values) for s in others][:6]))
        cut = sums(s for s in block.samples + mutex.samples if '[truncated]' in s.names)
        tap.equal(cut, (0, 0), name + ': whole stacks')
    r = box.run('locks', 'uncontended', 2000, spec=EXACT)
    for what in ('block', 'mutex'):
        p = profile(r, what)
        tap.equal(sums(p.samples), (0, 0), what + ': what nobody waits for is not counted')
    box.close()


def waits_in_files():
    """Kind "io", when it is asked for."""
    if not is_there('io'):
        return
    box = Box()
    r = box.run('timetable', 2, 'DEL', spec='block,block.io=on')
    if tap.ok(r.status == 0 and r.own_err == '', 'block.io=on: runs', r.show()):
        p = profile(r, 'block')
        for function, name in (('d_poll', 'D'), ('e_read', 'E'), ('l_wait', 'L')):
            samples = at(p, function)
            count, ns = sums(samples)
            truly = r.truth['threads'][name]['waits'][0]
            tap.equal(count, truly['count'], 'io: %s: as often' % function)
            tap.measured(is_close(ns, truly['ns']), 'io: %s: as long' % function,
                   '%.1f ms, truly %.1f' % (ns / 1e6, truly['ns'] / 1e6))
            tap.equal({s.labels.get('kind') for s in samples}, {'io'}, 'io: %s: its kind' % function)
    box.close()


# ---- rates ----

SEED = 20240229


def short(box, spec, count, seed):
    r = box.run('locks', 'short', count, seed, spec=spec)
    tap.ok(r.status == 0 and r.own_err == '', '%s: runs' % spec, r.show()[-600:])
    return r, r.truth


def check_threshold(box, threshold_ns, text):
    r, truth = short(box, 'block=%s,mutex=1' % text, 1500, SEED)
    p = profile(r, 'block')
    # cprof's clocks are between those of the program; a preemption between two of them is rare, and may be of any length
    slack = 30000 + threshold_ns // 50
    waits = collections.defaultdict(list)
    for place, ns, held in truth['waits']:
        waits['w_short_%d' % place].append((ns, held))
    wrong = 0
    for site, of in waits.items():
        count, ns = sums(at(p, site))
        sure = [held for w, held in of if w >= threshold_ns + slack]
        maybe = [w for w, _ in of if w >= threshold_ns]
        # a call is over between the moment when the other let go and the waiter's next look at its clock
        least_ns = sum(sure) * 0.98 - 1e6 - (0 if count >= len(sure) else 6e6)
        if not tap.measured(len(sure) - 1 <= count <= len(maybe) and least_ns <= ns <= sum(maybe) * 1.02 + 1e6,
                      'block=%s: %s has those and no others' % (text, site),
                      '%d of %.3f ms; %d to %d of %.3f to %.3f ms' % (count, ns / 1e6, len(sure), len(maybe),
                                                                      sum(sure) / 1e6, sum(maybe) / 1e6)):
            wrong += 1
        if count < len(sure):
            wrong += 0.5
    tap.measured(wrong <= 0.5, 'block=%s: all of them' % text, str(wrong))
    return p


def thresholds():
    if not is_there('thresholds'):
        return
    box = Box()
    for ns, text in ((1, '1ns'), (100000, '100us'), (500000, '500us'), (1000000, '1ms')):
        check_threshold(box, ns, text)
    box.close()


def within(got, wanted, variance, about, slack=0.0):
    sigma = math.sqrt(variance)
    tap.measured(abs(got - wanted) <= 5 * sigma + slack, '%s (%+.2f sigma)' % (about, (got - wanted) / max(sigma, 1e-9)),
           'got %.6g, truly %.6g, sigma %.4g' % (got, wanted, sigma))


def sampled():
    """What is sampled is right on average: sums of several thousand, by chance off by less than five times their deviation."""
    if not is_there('sampled'):
        return
    box = Box()
    for rate in (200000, 1000000):
        r, truth = short(box, 'block=rate:%dns' % rate, 4000, SEED + rate)
        p = profile(r, 'block')
        by_place = collections.defaultdict(list)
        for place, ns, _ in truth['waits']:
            by_place['w_short_%d' % place].append(ns)
            by_place[None].append(ns)
        for site, waits in by_place.items():
            count, ns = sums(at(p, site) if site else p.samples)
            if site is None:
                count, ns = sums(s for s in p.samples if any(n.startswith('w_short_') for n in s.names))
            about = 'block=rate:%d: %s' % (rate, site or 'all')
            # d < r: with probability d / r, as r / d waits of r together
            variance = sum(rate / d - 1 for d in waits if d < rate)
            # whole numbers only: r / d may be cut or rounded, half a wait for each that was kept
            kept = sum(d / rate for d in waits if d < rate)
            within(count, len(waits), variance, about + ': how often',
                   0.5 * kept + 1 if site else 0.02 * len(waits))
            variance = sum(rate * d - d * d for d in waits if d < rate)
            within(ns, sum(waits), variance, about + ': how long', 1e6 + 0.02 * sum(waits))
    exact, truth_of_one = short(box, 'block=1ns,mutex=1', 4000, SEED)
    tenth, truth = short(box, 'block=1ns,mutex=10', 4000, SEED)
    waits = [ns for _, ns, _ in truth['waits']]
    held = sum(of['held_ns'] for of in truth['sites'].values())
    count, ns = sums(profile(tenth, 'mutex').samples)
    within(count, len(waits), 9 * len(waits), 'mutex=10: how often')
    within(ns, (held + sum(waits)) / 2, 9 * sum(w * w for w in waits), 'mutex=10: how long',
           1e6 + 0.02 * sum(waits) + (sum(waits) - held) / 2)
    count, ns = sums(profile(exact, 'mutex').samples)
    waits = [ns for _, ns, _ in truth_of_one['waits']]
    held = sum(of['held_ns'] for of in truth_of_one['sites'].values())
    tap.equal(count, len(waits), 'mutex=1: how often')
    tap.between(ns, held * 0.98 - 1e6, sum(waits) * 1.02 + 1e6, 'mutex=1: how long')
    box.close()


# ---- idle ----

def parked():
    """A pool that waits for work is not what makes a program slow."""
    if not is_there('idle'):
        return
    box = Box()
    r = box.run('locks', 'pool', spec=EXACT)
    if not tap.ok(r.status == 0 and r.own_err == '', 'pool: runs', r.show()):
        return
    p, truth = profile(r, 'block'), r.truth
    waits = [s for s in at(p, 'pool_take') if s.labels.get('kind') == 'cond']
    total = sums(waits)[1]
    tap.measured(is_close(total, truth['parked_ns']), 'pool: all of its waits',
           '%.1f ms, truly %.1f' % (total / 1e6, truth['parked_ns'] / 1e6))
    idle = sums(s for s in waits if s.labels.get('idle') == 'yes')[1]
    # the first waits of a thread do not tell yet
    tap.between(idle / max(total, 1), 0.6, 1, 'pool: the part of it that is idle')
    others = [s for s in p.samples if 'pool_take' not in s.names]
    tap.equal([s.names[:4] for s in others if s.labels.get('idle')], [], 'pool: nobody else is idle')
    contended = at(p, 'contender_lock')
    tap.measured(is_close(sums(contended)[1], truth['contended_ns']), 'pool: those that contend are not',
           '%.1f ms, truly %.1f' % (sums(contended)[1] / 1e6, truth['contended_ns'] / 1e6))
    tap.equal({s.labels.get('lock') for s in contended}, {'g_cache'}, 'pool: for which lock')
    names = at(profile(r, 'mutex'), 'contender_unlock')
    tap.measured(sums(names)[1] > 0.9 * truth['contended_ns'] - 1e6, 'pool: who makes them wait')
    top = box.command('top', os.path.join(r.directory, 'block.pb.gz'))
    rows = {line.split()[-1]: line.split()[-3] for line in top.out.splitlines() if re.match(r'\s*[\d.]', line)}
    tap.measured('contender_lock' in rows and abs(in_ms(rows.get('pool_take', '0')) - (total - idle) / 1e6) <= 10,
           'cprof top leaves idle waits out', '%.2f ms are not\n%s' % ((total - idle) / 1e6, top.show()))
    tap.ok('idle' in (top.out + top.err).lower(), 'cprof top says how much it left out', top.show())
    box.close()


# ---- edges ----

def check_known(about, p, known):
    """Who is known to have let others wait, or to have waited, has just that; and those that did not have nothing."""
    for function, of in known.items():
        samples = at(p, function)
        count, ns = sums(samples)
        tap.equal(count, of['count'], '%s: %s: as often' % (about, function))
        tap.measured(of['least_ns'] * 0.98 - 1e6 * (of['count'] > 0) <= ns <= of['most_ns'] * 1.02 + 1e6 * (of['count'] > 0),
               '%s: %s: as long' % (about, function),
               '%.3f ms; truly %.3f to %.3f ms' % (ns / 1e6, of['least_ns'] / 1e6, of['most_ns'] / 1e6))
        cut = [s.names for s in samples if '[truncated]' in s.names]
        tap.equal(cut, [], '%s: %s: whole stacks' % (about, function))


def releases_in_waits():
    """To wait for a condition releases its mutex: not one that is held more than once, and also when the wait is left."""
    if not is_there('releases in waits'):
        return
    box = Box()
    r = box.run('lockedges', 'conditions', spec=EXACT)
    if tap.ok(r.status == 0 and r.own_err == '' and len(r.out.splitlines()) == 1, 'conditions: runs', r.show()):
        p, known = profile(r, 'mutex'), r.truth['mutex']
        check_known('conditions', p, known)
        others = [s for s in p.samples if not set(known) & set(s.names)]
        tap.measured(sums(others)[1] < 5e6, 'conditions: nobody else made others wait',
               str([(s.names[:5], s.values) for s in others]))
        # the function that released stands on top, whoever ended it
        for name in ('c_cancelled', 'c_jumped', 'c_exited', 'c_stayed'):
            tap.equal({tuple(s.names[:2]) for s in at(p, name)},
                      {('pthread_cond_wait', name)}, 'conditions: %s: its stack' % name)
    box.close()


def initializations():
    """What a child of fork does anew it does not wait for, nor does who goes on with what another has begun."""
    if not is_there('initializations'):
        return
    box = Box()
    for spec in (EXACT, EXACT + ',wall'):
        r = box.run('lockedges', 'once', spec=spec)
        about = 'once, ' + spec
        if not tap.ok(r.status == 0 and r.own_err == '', about + ': runs', r.show()):
            continue
        tap.equal(r.out.splitlines()[0], "the child's status: 0", about + ': its child, too')
        known = r.truth['block']
        child = Profile.read(os.path.join(r.directory, r.children()[0], 'block.pb.gz'))
        check_known(about, profile(r, 'block'), {'o_taken_over': known['o_taken_over']})
        check_known(about + ', child', child, {f: of for f, of in known.items() if f != 'o_taken_over'})
        for p in (child, profile(r, 'block')):
            kinds = {s.labels.get('kind') for s in p.samples if any(n.startswith('o_') for n in s.names)}
            tap.equal(kinds, {'once'}, about + ': their kind')
    box.close()


def readers_that_leave_at_once():
    """A release is charged for each time that a writer waited, and it is one."""
    if not is_there('readers'):
        return
    box = Box()
    for n, rounds in ((2, 3000), (3, 1000), (8, 300)):
        r = box.run('lockedges', 'readers', rounds, n, spec=EXACT)
        about = '%d readers' % n
        if tap.ok(r.status == 0 and r.own_err == '' and len(r.out.splitlines()) == 1, about + ': runs', r.show()):
            check_known(about, profile(r, 'mutex'), r.truth['mutex'])
    box.close()


# ---- real programs ----

SQLITE = '''
import sqlite3, sys, threading
db = sqlite3.connect(':memory:', check_same_thread=False)
db.execute('create table t(a integer primary key, b text)')
db.executemany('insert into t values(?, ?)', ((i, 'x' * (i % 97)) for i in range(3000)))
sums = [0] * 3
def asks(number):
    for i in range(int(sys.argv[1])):
        cursor = db.cursor()
        cursor.execute('select sum(length(replace(b, ?, ?))) from t where a % 7 != ?', ('x', 'yz', i % 7))
        sums[number] += cursor.fetchone()[0]
threads = [threading.Thread(target=asks, args=(i,)) for i in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(sums)
'''


def share(samples, of):
    return sums(samples)[1] / max(1, sums(of)[1])


def seen_by_gdb(box, argv):
    """Of the threads that wait for a mutex, as a debugger sees them: (how many, how many of those inside SQLite)."""
    p = subprocess.Popen(argv, cwd=box.cwd, env=box.environment(), stdout=subprocess.DEVNULL)
    waiting = inside = 0
    try:
        for _ in range(8):
            time.sleep(0.1)
            if p.poll() is not None:
                break
            command = ['gdb', '-q', '-nx', '-batch', '-p', str(p.pid), '-ex', 'thread apply all bt 12']
            out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
            out = out.decode('utf-8', 'replace')
            for thread in out.split('\nThread ')[1:]:
                if 'lll_lock_wait' in thread or 'pthread_mutex_lock' in thread:
                    waiting += 1
                    inside += 'sqlite3_' in thread
    finally:
        if p.poll() is None:
            p.kill()
        p.wait()
    return waiting, inside


def database():
    """Threads that share a connection wait for its mutex, in sqlite3_step() and its like, and hold it there."""
    box = Box()
    python3 = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
    argv = (python3, '-c', SQLITE, '60')
    plain, r = box.plain(*argv), box.run(*argv, spec=EXACT)
    tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), 'SQLite with threads: the same')
    block, mutex = profile(r, 'block'), profile(r, 'mutex')
    of_mutexes = [s for s in block.samples if s.labels.get('kind') == 'mutex']
    inside = [s for s in of_mutexes if any(n.startswith('sqlite3_') for n in s.names)]
    tap.note('mutexes: %.1f ms, in SQLite %.1f ms' % (sums(of_mutexes)[1] / 1e6, sums(inside)[1] / 1e6))
    if not tap.ok(inside, 'SQLite with threads: they wait for it'):
        return
    # short waits for the interpreter's own mutex are many
    tap.ok(share(inside, of_mutexes) > 0.5, 'SQLite with threads: its mutex is the one that is waited for',
           str(collections.Counter(s.names[1] for s in of_mutexes)))
    by_lock = collections.Counter()
    for s in inside:
        by_lock[s.labels.get('lock')] += s.values[1]
    name = str(by_lock.most_common(1)[0][0])
    tap.ok(re.search('[A-Za-z_]{4}', name) and not re.match('(data|init):', name), 'SQLite with threads: it has a name',
           str(by_lock))
    holders = collections.Counter()
    for s in mutex.samples:
        holders[next((n for n in s.names if n.startswith('sqlite3_') and 'mutex' not in n), s.names[0])] += s.values[1]
    tap.ok(holders and holders.most_common(1)[0][0].startswith('sqlite3_'), 'SQLite with threads: who holds it',
           str(holders.most_common(4)))
    tap.note('holders: %s' % [(n, '%.1f ms' % (v / 1e6)) for n, v in holders.most_common(4)])
    if shutil.which('gdb') is None:
        tap.skip('gdb sees the same', 'no gdb here')
    else:
        waiting, inside = seen_by_gdb(box, argv[:-1] + ('100000',))
        tap.note('gdb: %d waits for a mutex, %d of them inside SQLite' % (waiting, inside))
        if waiting < 3:
            tap.skip('gdb sees the same', 'too few waits were met: %d' % waiting)
        else:
            tap.ok(inside > waiting / 2, 'gdb sees the same', '%d of %d' % (inside, waiting))
    box.close()


CLOSURES = '''
use threads;
sub closures { my $n = shift; my $sum = 0; for my $i (1 .. $n) { my $f = sub { $i }; $sum += $f->(); } return $sum }
my @t = map { threads->create(\\&closures, $ARGV[0]) } 1 .. 4;
my $sum = 0;
$sum += $_->join for @t;
print "$sum\\n";
'''
# perl counts who uses a piece of code, for all threads under one lock: closures are made and thrown away by these
CLOSURE_LOCK, CLOSURE_HOLDERS = 'PL_op_mutex', ('Perl_pp_anoncode', 'Perl_cv_undef_flags')


def address_of(pid, path, symbol):
    """Where @symbol of @path is in the process; None."""
    out = subprocess.run(['nm', '-D', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    value = [line.split()[0] for line in out.splitlines() if line.endswith(' ' + symbol)]
    with open('/proc/%d/maps' % pid) as f:
        start = [line.split('-')[0] for line in f if line.rstrip().endswith(os.path.realpath(path))]
    return int(value[0], 16) + int(start[0], 16) if value and start else None


def seen_by_strace(box, argv, seconds):
    """[(how often waited for, woken by: stack) by address], and the address of the lock; the process runs on its own."""
    log = os.path.join(box.root, 'strace')
    p = subprocess.Popen(argv, cwd=box.cwd, env=box.environment(), stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        address = address_of(p.pid, argv[0], CLOSURE_LOCK)
        subprocess.run(['timeout', '-s', 'INT', str(seconds), 'strace', '-f', '-k', '-q', '-e', 'trace=futex', '-o', log, '-p',
                        str(p.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    finally:
        p.kill()
        p.wait()
    waited, wakers = collections.Counter(), []
    begun, stack = {}, None  # by thread; the stack that is being read
    with open(log, errors='replace') as f:
        for line in f:
            if line.startswith(' > '):
                if stack is not None:
                    stack.append(re.sub(r'.*\((\w*).*', r'\1', line.strip()))
                continue
            stack = None
            tid = line.split()[0]
            call = re.search(r'futex\((0x[0-9a-f]+), FUTEX_(WAIT|WAKE)', line)
            if call:
                begun[tid] = int(call.group(1), 16), call.group(2)
                waited[begun[tid][0]] += call.group(2) == 'WAIT'
            if '<unfinished' not in line and begun.get(tid, (0, ''))[1] == 'WAKE':
                stack = []
                wakers.append((begun[tid][0], stack))
    return waited, wakers, address


def interpreter():
    """Threads of perl make closures, and wait for the lock on what they share: by name, with who holds it."""
    perl = '/usr/bin/perl'
    box = Box()
    if not os.path.exists(perl) or box.plain(perl, '-Mthreads', '-e', '1').status != 0:
        tap.skip('perl with threads', 'not installed')
        return
    argv = (perl, '-e', CLOSURES, '150000')
    plain, r = box.plain(*argv), box.run(*argv, spec=EXACT)
    tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), 'perl: the same')
    block, mutex = profile(r, 'block'), profile(r, 'mutex')
    locks = collections.Counter()
    for s in block.samples:
        if s.labels.get('kind') == 'mutex':
            locks[s.labels.get('lock')] += s.values[1]
    tap.note('perl: locks: %s' % [(n, '%.1f ms' % (v / 1e6)) for n, v in locks.most_common(3)])
    if os.cpu_count() == 1 and not locks:
        tap.skip('perl: its lock', 'one processor, and nobody had to wait')
        return
    tap.ok(locks and locks.most_common(1)[0][0] == CLOSURE_LOCK, 'perl: its lock is on top, by name', str(locks))
    holders = collections.Counter()
    for s in mutex.samples:
        if s.labels.get('lock') == CLOSURE_LOCK:
            holders[next((n for n in s.names if n in CLOSURE_HOLDERS), s.names[0])] += s.values[1]
    tap.note('perl: holders: %s' % [(n, '%.1f ms' % (v / 1e6)) for n, v in holders.most_common(4)])
    tap.ok(holders and holders.most_common(1)[0][0] in CLOSURE_HOLDERS, 'perl: and who holds it', str(holders))
    tap.ok(sum(holders[n] for n in CLOSURE_HOLDERS) > 0.95 * sum(holders.values()), 'perl: nearly nobody else does',
           str(holders))
    for name, p in (('block', block), ('mutex', mutex)):
        top = box.command('top', '-tagfocus=lock=' + CLOSURE_LOCK, os.path.join(r.directory, name + '.pb.gz'))
        tap.ok(any(n in top.out for n in CLOSURE_HOLDERS), 'perl: cprof top of %s shows them' % name, top.show())
    # what the kernel was asked for, and from where
    if shutil.which('strace') is None or shutil.which('nm') is None:
        tap.skip('strace sees the same', 'no strace or no nm here')
    elif b'stack-trace' not in subprocess.run(['strace', '-V'], stdout=subprocess.PIPE).stdout:
        tap.skip('strace sees the same', 'this strace cannot show stacks')
    else:
        waited, wakers, address = seen_by_strace(box, argv[:-1] + ('100000000',), 3)
        ours = [stack for at_address, stack in wakers if at_address == address and stack]
        named = [stack for stack in ours if any(n in CLOSURE_HOLDERS for n in stack)]
        tap.note('strace: waits %s, %s at %#x; woken %d times, by these holders %d' %
                 (waited.most_common(2), CLOSURE_LOCK, address or 0, len(ours), len(named)))
        if sum(waited.values()) < 10 or address is None or len(ours) < 5:
            tap.skip('strace sees the same', 'too few waits were met: %d' % sum(waited.values()))
        else:
            tap.equal(waited.most_common(1)[0][0], address, 'strace: the lock that is waited for most is the same')
            tap.ok(len(named) > 0.9 * len(ours), 'strace: and it is let go of by the same functions', str(ours[:3]))
    box.close()


def compressors():
    """Same output, byte by byte; their pools wait for work."""
    box = Box()
    source = os.path.join(box.root, 'text')
    with open(source, 'wb') as f:
        state = hashlib.sha256(b'locks').digest()
        for _ in range(40000):
            state = hashlib.sha256(state).digest()
            f.write(state[:4].hex().encode() * 9 + state)
    for name, argv in (('xz', ['xz', '-T2', '--block-size=1MiB', '-1', '-c', source]),
                       ('zstd', ['zstd', '-q', '-T2', '-3', '-B1048576', '-c', source]),
                       ('pigz', ['pigz', '-n', '-p2', '-c', source])):
        if shutil.which(name) is None:
            tap.skip(name, 'not installed')
            continue
        command = ['sh', '-c', 'exec "$@" | sha256sum', 'sh'] + argv
        plain, r = box.plain(*command), box.run(*command, spec='block=1ns,mutex=1')
        tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), name + ': the same')
        found = []
        for below in [[]] + [[c] for c in r.children()]:
            path = os.path.join(r.directory, *below, 'block.pb.gz')
            if os.path.exists(path):
                found += [s for s in Profile.read(path).samples if s.values[1] > 0]
        tap.ok(any(s.labels.get('kind') == 'cond' for s in found), name + ': its threads wait for work')
        kinds = collections.Counter()
        for s in found:
            kinds[s.labels.get('kind'), s.labels.get('idle', 'no')] += s.values[1] // 1000
        tap.note('%s: us by kind and idleness: %s' % (name, dict(kinds)))
    box.close()


def real_programs():
    if is_there('real programs'):
        database()
        interpreter()
        compressors()


GROUPS = {
    'real': (real_programs,),
    'timetable': (timetable, waits_in_files, other_processes),
    'rates': (thresholds, sampled),
    'idle': (parked,),
    'edges': (releases_in_waits, initializations, readers_that_leave_at_once),
    'same': (answers_of_locks, others_behind),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
