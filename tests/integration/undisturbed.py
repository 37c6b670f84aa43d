#!/usr/bin/env python3
"""A program under cprof does what it does without: output, status, errno, signals, files, limits."""

import glob
import json
import os
import re
import resource
import shutil
import subprocess
import sys

import tap
from cprof import LIBRARY, PROGRAMS, Box, program
from pprof import Profile

JEMALLOC = next(iter(glob.glob('/usr/lib/*/libjemalloc.so.2') + glob.glob('/usr/lib*/libjemalloc.so.2')), None)
RATES = ('cpu=1000', 'cpu=10000')


def both(box, *argv, spec='cpu=1000', env=None, before=None):
    """The program by itself and under cprof: everything the same. Returns the second."""
    plain = box.plain(*argv, env=env, before=before)
    r = box.run(*argv, spec=spec, env=env, before=before)
    about = ' '.join(os.path.basename(str(a)) for a in argv)[:60] + ' at ' + spec
    tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err), about + ': the same')
    return r


def waits():
    """No wait is cut short. The burners give some thousands of signals meanwhile."""
    box = Box()
    for spec in RATES + ('cpu',):
        r = both(box, 'guest', 'eintr', 1500, spec=spec)
        tap.ok(all(v == 0 for v in r.truth.values()), 'waits at %s: none interrupted' % spec, r.out)
    both(box, 'guest', 'sleepers')
    r = box.run('guest', 'eintr', 1500, launcher=[program('noperf')])
    tap.ok(all(v == 0 for v in r.truth.values()), 'waits without perf: none interrupted', r.out)
    box.close()


def small_things():
    box = Box()
    for spec in RATES:
        both(box, 'guest', 'errno', spec=spec)
    both(box, 'guest', 'resources')
    r = both(box, 'guest', 'altstack')
    tap.equal(r.truth, {'set': 0, 'damaged': 0, 'burnt': 1}, 'a small signal stack is not overrun')
    both(box, 'guest', 'altstack', spec='cpu=10000')
    both(box, 'guest', 'runpath')
    box.close()


def owners_of_signals():
    box = Box()
    for what in ('signal', 'sigwait', 'traps'):
        for spec in RATES:
            both(box, 'guest', what, spec=spec)
    # one that met a signal of ours on its way was lost: some hundred of these at wall=1000
    for spec in ('wall=1000', 'cpu=1000', 'cpu=1000,wall=1000'):
        r = both(box, 'guest', 'raises', 200000, spec=spec)
        tap.equal(r.truth, {'raise': 0, 'pthread_kill': 0}, 'raise() at %s: every signal comes' % spec)
    # whoever blocks them sees nothing of ours, wherever he looks, and is sampled again afterwards
    for spec in RATES:
        both(box, 'guest', 'signalfd', spec=spec)
        for what in ('pending', 'pendingboth'):
            r = both(box, 'guest', what, spec=spec)
            tap.equal(r.truth, {'pending': 0, 'lost': 0, 'cut_short': 0}, '%s at %s' % (what, spec))
            tap.between(r.profile().within('burn_b') / 400e6, 0.75, 1.25, '%s at %s: sampled again' % (what, spec))
        r = both(box, 'guest', 'blocksunseen', spec=spec)
        tap.between(r.profile().within('burn_b') / 300e6, 0.85, 1.15, 'a mask that nobody saw, at %s: sampled' % spec)
    r = box.run('guest', 'pendingboth', launcher=[program('noperf')])
    tap.equal(r.truth, {'pending': 0, 'lost': 0, 'cut_short': 0}, 'pending without perf')
    plain, r = box.plain('guest', 'profiler'), box.run('guest', 'profiler')
    mine, theirs = r.truth, plain.truth
    # The kernel counts ticks for it, of which a busy machine gives any number: as many as for the timer beside it, which we
    # have nothing to do with, and those that met the process in the kernel, some 4 of 100.
    for about, of in (('', mine), (' without us', theirs)):
        hits, virtual = of.pop('hits'), of.pop('virtual')
        tap.between(hits / max(1, virtual), 0.95, 1.15, 'the host\'s own profiler: its signals%s' % about)
    tap.equal((r.status, mine, r.own_err), (plain.status, theirs, plain.err), 'the host\'s own profiler: the same')
    tap.between(r.profile().total() / 1e9, 0.95, 1.1, 'the host\'s own profiler: ours counts beside it')
    box.close()


def closed_files():
    box = Box()
    r = box.run('guest', 'closes')
    plain = box.plain('guest', 'closes')
    tap.equal((r.status, r.out.splitlines()[0], r.own_err), (plain.status, plain.out.splitlines()[0], plain.err),
              'closes all files: the same')
    # until it is noticed that a perf file is gone, some 60 ms of a thread may be without a sample; later ones stand for it
    tap.between(r.profile().total() / r.truth['process_ns'], 0.95, 1.03, 'closes all files: still sampled')
    box.close()


def limits():
    box = Box()
    burn = program('burn')
    for limit in ('-n 16', '-n 8', '-f 0', '-f 100000', '-i 0', '-s unlimited', '-s 64', '-v 300000', '-v 30000', '-c 0',
                  '-u 400', '-l 0', '-t 60'):
        script = 'ulimit %s || exit 77; exec %s split 50 0.3' % (limit, burn)
        plain = box.plain('bash', '-c', script)
        r = box.run('bash', '-c', script)
        if plain.status == 77:
            tap.skip('ulimit ' + limit, 'not allowed here')
            continue
        said = [line for line in r.own_err.splitlines() if not line.startswith('cprof: ')]
        keys = lambda text: re.sub(r'\d+', '', text)
        tap.equal((r.status, keys(r.out), said), (plain.status, keys(plain.out), plain.err.splitlines()),
                  'ulimit %s: the same' % limit)
        tap.ok(len(r.err.splitlines()) <= 3, 'ulimit %s: few words' % limit, r.err)
        total = r.profile().total() if os.path.exists(os.path.join(r.directory, 'cpu.pb.gz')) else 0
        tap.note('ulimit %s: %.3f s in the profile%s' % (limit, total / 1e9, '; ' + r.own_err if r.own_err else ''))
        if plain.status == 0 and limit in ('-n 16', '-s unlimited', '-s 64', '-v 300000', '-c 0', '-u 400', '-l 0',
                                           '-t 60', '-f 100000'):
            tap.between(total / r.truth['process_ns'], 0.93, 1.05, 'ulimit %s: profiled' % limit)
    box.close()


def locked_memory():
    """mlockall() is for the host's memory: ours is not filled, and not counted against the host's limit."""
    box = Box()
    names = {1: 'MCL_CURRENT', 2: 'MCL_FUTURE', 3: 'both', 4: 'MCL_ONFAULT alone', 5: 'MCL_CURRENT on fault',
             7: 'both on fault', 8: 'an unknown flag'}
    for flags in names:
        r = both(box, 'guest', 'mlockall', flags)
        tap.equal((r.truth['much_locked'], r.truth['much_shared']), (0, 0), 'mlockall, %s: of ours nothing' % names[flags])
        tap.ok(r.profile().total() > 0.28e9, 'mlockall, %s: profiled' % names[flags], r.show())
    if os.geteuid() == 0:
        box.publish()
        guest = os.path.join(box.root, 'guest')
        shutil.copy2(program('guest'), guest)
        shutil.copytree(os.path.join(PROGRAMS, 'plugins'), os.path.join(box.root, 'plugins'))

        def become(limit):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        out = os.path.join(box.root, 'by-nobody')
        os.mkdir(out)
        os.chown(out, 65534, 65534)
        for limit in (0, 4 << 20, 8 << 20):
            for flags in (1, 3, 5, 7):
                before = lambda: become(limit)
                plain = box.plain(guest, 'mlockall', flags, before=before)
                r = box.run(guest, 'mlockall', flags, before=before, output=os.path.join(out, '%d.%d' % (limit, flags)),
                            env={'XDG_RUNTIME_DIR': ''})
                tap.equal((r.status, r.out, r.own_err), (plain.status, plain.out, plain.err),
                          'mlockall, %s, limit %d MiB: the same' % (names[flags], limit >> 20))
    else:
        tap.skip('mlockall with a limit', 'needs a second user')
    # a host that starts us when all it maps is locked already
    r = box.plain('linked', 'locked', os.path.join(box.root, 'linked.pb.gz'))
    tap.equal((r.status, r.truth), (0, {'much_locked': 0, 'much_shared': 0, 'started': 0}), 'started after mlockall')
    box.close()


def says_why():
    """What could not be recorded: the closing lines are true, and advise nothing that leads nowhere."""
    box = Box()
    burn = program('burn')
    for limit in ('-f 0', '-f 512'):
        for script in ('ulimit %s; exec %s split 50 0.3', 'ulimit %s; %s split 50 0.3; true'):
            r = box.run('bash', '-c', script % (limit, burn))
            about = 'ulimit %s, %s' % (limit, 'exec' if 'exec' in script else 'a child')
            tap.equal(r.status, 0, about + ': status')
            tap.ok('is not recorded' in r.err and 'ulimit -f' in r.err and '1024' in r.err, about + ': says why', r.err)
            tap.ok('dropped LD_PRELOAD' not in r.err, about + ': and nothing else', r.err)
            named = re.search(r'next: cprof top (\S+)', r.err)
            exists = named and all(os.path.exists(p) for p in [named.group(1)] if '*' not in p)
            # bash itself may have been met by a sample
            tap.ok((named is not None and exists) == (r.closing is not None and r.closing.group(1) != '0'),
                   about + ': the next command only where it shows something', r.err)
            if r.closing is None:
                tap.ok(not os.path.exists(r.directory), about + ': no empty directory', r.err)
    # a limit that the launcher has, too
    limited = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    plain, r = box.plain('burn', 'split', 50, 0.3, before=limited), box.run('burn', 'split', 50, 0.3, before=limited)
    tap.equal((plain.status, r.status), (0, 0), 'ulimit -f 0 for both: status')
    tap.ok('ulimit -f' in r.err and not os.path.exists(r.directory), 'ulimit -f 0 for both: says why', r.err)
    r = box.run('sh', '-c', 'sleep 0.1; ulimit -S -f 0; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
    tap.ok(r.closing is not None and r.profile().total() > 50e6, 'ulimit -f 0 later on: recorded', r.show())
    # the library's own limit, from within
    r = box.plain('burn', 'split', 50, 0.1, before=limited, env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu'})
    tap.ok(r.status == 0 and 'ulimit -f' in r.err and len(r.err.splitlines()) == 1, 'ulimit -f 0 without a launcher', r.err)
    # a filter that takes all we need: only its setter's part is there, as a rule with no sample yet
    command = [program('noperf'), '--strict', program('burn'), 'split', '50', '0.3']
    r = box.run(*command)
    tap.ok('seccomp' in r.err and ('next:' in r.err) != ('cprof: 0 samples' in r.err) and 'comments' not in r.err,
           'strict seccomp: true words', r.err)
    # a program that ends at once, and one that hides from us
    r = box.run('nothing', spec='cpu=1')
    tap.ok(r.err.startswith('cprof: 0 samples, 0 lost in ') and 'next:' not in r.err, 'no samples: no next command', r.err)
    r = box.run('env', '-u', 'LD_PRELOAD', program('nothing'))
    tap.ok(r.closing is not None, 'LD_PRELOAD dropped: what ran before is there', r.err)
    tap.equal(box.leftovers(), [], 'says why: nothing left behind')
    box.close()


def other_rights():
    if os.geteuid() != 0:
        tap.skip('setuid, chroot', 'only root can')
        return
    box = Box()
    os.chmod(box.root, 0o755)
    r = both(box, 'guest', 'drops')
    tap.between(r.profile().total() / 400e6, 0.95, 1.1, 'drops its rights: profiled before and after')
    tap.equal(len(r.children()), 1, 'drops its rights: its child is recorded')
    tap.between(r.profile(r.children()[0]).within('burn_b') / 200e6, 0.9, 1.1, 'drops its rights: its child\'s time')
    box.publish()
    burn = os.path.join(box.root, 'burn')
    shutil.copy2(program('burn'), burn)
    for runtime in (box.runtime, '/nonexistent', '/tmp'):
        r = box.run('guest', 'drops', burn, 'split', '50', '0.3', env={'XDG_RUNTIME_DIR': runtime})
        tap.equal((r.status, r.own_err), (0, ''), 'drops its rights and runs another: the same')
        burnt = r.truth['burn_a'] + r.truth['burn_b']
        tap.between(r.profile().total() / burnt, 0.9, 1.1, 'drops its rights and runs another: followed')
    tap.equal(box.leftovers(), [], 'drops its rights: nothing left behind')

    def as_nobody(*argv):
        return subprocess.run(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', *argv],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()

    # what others see of a session of root's: not the way in
    out = os.path.join(box.root, 'open')
    p = subprocess.Popen([box.cprof, 'run', '-o', out, '--', 'sh', '-c', 'echo $CPROF_SESSION; read x'], cwd=box.cwd,
                         env=box.environment({'XDG_RUNTIME_DIR': '/tmp'}), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    path = p.stdout.readline().decode().strip()
    seen = as_nobody('sh', '-c', 'ls -la %s; cat /proc/net/unix' % os.path.dirname(path))
    tap.ok(len(os.path.basename(path)) == 32 and os.path.exists(path) and os.path.basename(path) not in seen,
           'the way to a session of root\'s is known to the program alone', path + '\n' + seen)
    p.communicate(b'\n')
    for user in (65534,):
        r = box.plain('setpriv', '--reuid', user, '--regid', user, '--clear-groups', box.cprof, 'run', '-o',
                      os.path.join('/tmp', os.path.basename(box.root) + '-nobody'), '--', 'sh', '-c',
                      'stat -c %a "$(dirname $CPROF_SESSION)"', env={'XDG_RUNTIME_DIR': '/nonexistent'})
        tap.equal(r.out, '700\n', 'a session of anybody else is his own')
        shutil.rmtree(os.path.join('/tmp', os.path.basename(box.root) + '-nobody'), ignore_errors=True)
    jail = os.path.join(box.root, 'jail')
    os.mkdir(jail)
    r = both(box, 'guest', 'chroot', jail)
    profile = r.profile()
    tap.measured(profile.within('burn_a') > 250e6 and profile.within('burn_b') > 150e6, 'chroot: profiled, with names',
           '%d and %d ns' % (profile.within('burn_a'), profile.within('burn_b')))
    box.close()


def other_preloads():
    box = Box()
    mine = os.path.join(PROGRAMS, 'plugins', 'libplugin_one.so')
    r = box.run('sh', '-c', 'echo $LD_PRELOAD; grep -c plugin_one /proc/self/maps', env={'LD_PRELOAD': mine})
    preload = r.out.splitlines()[0].split(':')
    tap.ok(len(preload) == 2 and preload[1] == mine and 'libcprof' in preload[0], 'LD_PRELOAD keeps what it had', r.out)
    tap.ok(int(r.out.splitlines()[1]) > 0, 'and it is loaded')
    r = box.run('cat', '/nonexistent', env={'LD_PRELOAD': '/nonexistent/lib.so'})
    tap.ok('lib.so' in r.err and r.status == 1, 'a missing preload is the loader\'s to complain of', r.show())
    box.close()


def strict_seccomp():
    """No perf, no timers, no memfd, no sockets: nothing can be recorded, said once, and the program runs."""
    box = Box()
    command = [program('noperf'), '--strict', program('burn'), 'split', '50', '0.3']
    plain, r = box.plain(*command), box.run(*command)
    tap.equal(r.status, plain.status, 'strict seccomp: status')
    lines = r.err.splitlines()
    tap.ok(len(lines) <= 3 and all(line.startswith('cprof: ') for line in lines), 'strict seccomp: few words', r.err)
    tap.note(r.err)
    box.close()


def libraries():
    box = Box()
    paths = [os.path.join(PROGRAMS, 'plugins', 'libplugin_%s.so' % n) for n in ('one', 'two')]
    for spec in RATES:
        r = box.run('guest', 'libraries', *paths, 1500, spec=spec)
        tap.equal((r.status, r.truth), (0, {'failed': 0}), 'dlopen and dlclose at %s' % spec)
        p = r.profile()
        tap.between(p.total() / p.within('libraries'), 1.0, 3.0, 'dlopen and dlclose at %s: a profile' % spec)
        tap.note('%s; plugin_work %.2f of libraries; %.4f truncated' % (
            r.err.splitlines()[0], p.within('plugin_work') / p.within('libraries'), p.truncated()))
    box.close()


def debuggers():
    box = Box()

    def burnt(profile):
        return profile.within('burn_a') + profile.within('burn_b')

    def is_profiled(r, about):
        """Of what the program burnt, by its own clock, nothing is missing: neither what a debugger's way with signals takes."""
        truth = json.loads(re.search(r'\{"burn_a".*\}', r.out).group(0))
        total = max(burnt(r.profile(child)) for child in r.children()) if r.children() else burnt(r.profile())
        tap.between(total / (truth['burn_a'] + truth['burn_b']), 0.95, 1.05, about + ': the program is profiled')

    if shutil.which('strace') is None:
        tap.skip('strace', 'not installed')
    else:
        trace = os.path.join(box.root, 'trace')
        r = box.run('burn', 'split', 50, '2', launcher=['strace', '-f', '-o', trace])
        tap.ok(r.status == 0 and r.closing is not None, 'strace -f cprof run', r.show())
        is_profiled(r, 'strace -f cprof run')
        r = box.run('strace', '-o', trace, program('burn'), 'split', '50', '0.5')
        tap.ok(r.status == 0, 'cprof run strace', r.show())
        is_profiled(r, 'cprof run strace')
    if shutil.which('gdb') is None:
        tap.skip('gdb', 'not installed')
    else:
        r = box.run('gdb', '-q', '-nx', '-batch', '-ex', 'run', '--args', program('burn'), 'split', '50', '0.5')
        tap.ok(r.status == 0 and 'exited normally' in r.out and 'SIGTRAP' not in r.out,
               'cprof run gdb: the program is not stopped', r.show())
        is_profiled(r, 'cprof run gdb')
    box.close()


WALLS = ('wall', 'wall,cpu=1000', 'wall=1000')


def every_wait():
    """Of all that wait there are some hundreds each: none ends early, whoever looks."""
    box = Box()
    plain = box.plain('waiter', 4000)
    if plain.status == 77:
        tap.skip('waiter', plain.err)
        return
    programs = [('waiter', None)]
    if os.path.exists(program('waiter_jemalloc')):
        programs.append(('waiter_jemalloc', None))
    if JEMALLOC:
        programs.append(('waiter', {'LD_PRELOAD': JEMALLOC}))
    for spec in WALLS + ('cpu=1000',):
        for name, env in programs if spec == 'wall' else programs[:1]:
            r = box.run(name, 4000, spec=spec, env=env)
            truth, about = r.truth, '%s at %s%s' % (name, spec, ' with jemalloc' if env else '')
            tap.equal((r.status, r.own_err), (0, ''), about + ': runs')
            for key in ('interrupted', 'early', 'wrong'):
                tap.equal(truth[key], {}, '%s: none %s' % (about, key))
            tap.equal(sorted(truth['rounds']), sorted(plain.truth['rounds']), about + ': every kind')
            tap.note('%d waits, %d without cprof; more than a second late: %s, %s' % (
                sum(truth['rounds'].values()), sum(plain.truth['rounds'].values()), truth['late'], plain.truth['late']))
    box.close()


def answers():
    """The same results and errno of every call that waits, also where it is preloaded and off."""
    box = Box()
    for name in ('answers', 'answers_checked', 'answers_jemalloc', 'early', 'old_cond'):
        if not os.path.exists(program(name)):
            tap.skip(name, 'not built')
            continue
        plain = box.plain(name)
        if plain.status == 77:
            tap.skip(name, 'no message queues here')
            continue
        off = box.plain(name, env={'LD_PRELOAD': LIBRARY})
        tap.equal((off.status, off.out, off.err), (plain.status, plain.out, plain.err), name + ', off: the same')
        for spec in WALLS[:2] if name == 'answers' else WALLS[:1]:
            both(box, name, spec=spec)
        both(box, name, spec='block=1ns,mutex=1,block.io=on')
        if JEMALLOC:
            both(box, name, spec='wall', env={'LD_PRELOAD': JEMALLOC})
    box.close()


def leavers():
    """Who leaves a wait for good is not said to be in it any more."""
    box = Box()
    programs = [('burn_cleanup', ['leaver', 'cancel']), ('burn_after', ['leaver', 'longjmp', 1000])]
    if os.path.exists(program('leaver_cxx')):
        programs.append(('burn_cleanup', ['leaver_cxx']))
    for function, argv in programs:
        about = ' '.join(str(a) for a in argv[:2])
        plain, r = box.plain(*argv), box.run(*argv, spec='wall=500')
        steady = lambda r: re.sub(r'"burn_after": \d+', '', r.out)
        tap.equal((r.status, steady(r), r.own_err), (plain.status, steady(plain), plain.err), about + ': the same')
        states = {}
        for s in Profile.read(os.path.join(r.directory, 'wall.pb.gz')).samples:
            if function in s.names:
                state = s.labels.get('state')
                states[state] = states.get(state, 0) + s.values[1]
        right = states.get('running', 0) + states.get('runnable', 0)
        tap.between(right / max(sum(states.values()), 1), 0.97, 1, about + ': what it does after counts as running')
        tap.note(states)
    box.close()


GROUPS = {
    'waits': (every_wait, answers, leavers),
    'signals': (waits, small_things, owners_of_signals, closed_files),
    'places': (limits, locked_memory, says_why, other_rights, other_preloads, strict_seccomp, libraries, debuggers),
}
if len(sys.argv) == 3 and sys.argv[2] in GROUPS:
    group = GROUPS[sys.argv.pop()]
else:
    group = [test for tests in GROUPS.values() for test in tests]
tap.run(*group)
