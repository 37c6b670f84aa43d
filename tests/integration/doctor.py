#!/usr/bin/env python3
"""cprof doctor: what it says of this machine, of one where things are forbidden, of programs and processes, is what cprof run meets."""

import json
import os
import pwd
import resource
import signal
import subprocess
import time

import tap
from cprof import BUILD, Box, program, wait_for

NAMES = ['cpu', 'wall', 'heap', 'block', 'mutex', 'threads', 'threadcreate', 'trace']


class Said:
    """What doctor said, as JSON."""

    def __init__(self, result):
        self.result = result
        self.status = result.status
        data = json.loads(result.out)
        self.checks = data['checks']
        self.marks = {p['name']: p['mark'] for p in data['profiles']}
        self.names = [p['name'] for p in data['profiles']]

    def mark(self, part, what):
        return next((c['mark'] for c in self.checks if c['what'] == what and c['part'].startswith(part)), None)

    def text(self, part, what):
        return next((c['text'] + c['todo'] for c in self.checks if c['what'] == what and c['part'].startswith(part)), '')

    def bad(self):
        return {name: mark for name, mark in self.marks.items() if mark != 'ok'}


def doctor(box, *argv, env=None, before=None, launcher=()):
    done = subprocess.run(list(launcher) + [box.cprof, 'doctor', '-json', *argv], cwd=box.cwd, env=box.environment(env),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before,
                          timeout=120)

    class Result:
        status, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
    return Said(Result)


def machine():
    """Here, where the other tests pass."""
    box = Box()
    said = doctor(box)
    tap.equal(said.names, NAMES, 'one verdict for each profile')
    tap.equal({n: m for n, m in said.bad().items() if n not in ('cpu', 'trace')}, {}, 'what needs no perf events works')
    tap.equal(said.status, 1 if said.bad() else 0, 'the exit status is that of the verdicts')
    tap.equal([c['mark'] for c in said.checks if c['mark'] not in ('ok', 'note', 'partly', 'no')], [], 'four marks')
    tap.equal(box.leftovers(), [], 'nothing is left behind')
    plain = box.command('doctor')
    tap.equal((plain.status, plain.err), (said.status, ''), 'as text: the same status, nothing on stderr')
    tap.equal([line.split()[1] for line in plain.out.split('\nprofiles\n')[1].splitlines()], NAMES, 'and the same verdicts')
    box.close()


def forbidden():
    box = Box()
    said = doctor(box, launcher=[program('noperf')])
    tap.equal(said.bad(), {'trace': 'partly'}, 'without perf events the trace is partial, and nothing else is')
    tap.ok('perf_event_open is refused' in said.text('trial', 'switch records'), 'and it says why')
    tap.equal(said.status, 1, 'that is status 1')

    said = doctor(box, launcher=[program('noperf'), '--kill'])
    tap.equal(said.bad(), {'cpu': 'partly', 'trace': 'no'}, 'where a filter ends who asks for them')
    killed = Box()  # it leaves its session behind
    tap.equal(killed.run('burn', 'split', 50, 1, spec='trace', launcher=[program('noperf'), '--kill']).status, -31, 'cprof run is ended, too')
    tap.equal(killed.run('nothing', spec='cpu', launcher=[program('noperf'), '--kill']).status, 0, 'unless it takes no trace')
    killed.close()

    said = doctor(box, launcher=[program('noperf'), '--strict'])
    tap.equal(said.bad(), {name: 'no' for name in NAMES}, 'without shared memory and sockets nothing works')
    tap.equal([said.mark('machine', 'shared memory'), said.mark('machine', 'CPU timers'), said.mark('places', 'session')],
              ['no', 'no', 'no'], 'and each is told')
    tap.equal(box.leftovers(), [], 'nothing is left behind')
    box.close()


def limits():
    box = Box()
    said = doctor(box, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19)))
    tap.equal(said.bad(), {name: 'no' for name in NAMES}, 'a limit on files leaves nothing')
    tap.ok('ulimit -f' in said.text('trial', 'recording'), 'and it says which limit', said.result.out)
    said = doctor(box, before=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)))
    tap.ok(said.mark('machine', 'shared memory') == 'partly' and '32768 KiB' in said.text('machine', 'shared memory'),
           'a limit on address space leaves a thirty-second of it', said.text('machine', 'shared memory'))
    said = doctor(box, env={'XDG_RUNTIME_DIR': '/nowhere'})
    tap.ok('/tmp/cprof-' in said.text('places', 'session'), 'where there is no directory, sockets go to /tmp')
    box.close()


def programs():
    box = Box()
    said = doctor(box, program('burn'))
    tap.equal([said.mark('program', w) for w in ('run', 'names', 'build id', 'stacks')], ['ok'] * 4, 'burn: all is well')
    said = doctor(box, program('burn_stripped'))
    tap.ok(said.mark('program', 'names') == 'partly' and 'stripped' in said.text('program', 'names'), 'a stripped one')
    if os.path.exists(program('burn_split')):
        tap.ok('separate debug file was found' in doctor(box, program('burn_split')).text('program', 'names'),
               'one whose debug file lies beside it')
    if os.path.exists(program('burn_fp')):
        text = doctor(box, program('burn_fp')).text('program', 'stacks')
        with_frame, looked_at = [int(word) for word in text.split('frame pointers: in ')[1].split() if word.isdigit()]
        tap.ok(with_frame * 2 > looked_at, 'one with frame pointers', text)
    for name, words in (('nothing_static', 'statically linked'), ('nothing_musl', 'another C library')):
        if os.path.exists(program(name)):
            said = doctor(box, program(name))
            tap.equal((said.status, said.bad()), (1, {n: 'no' for n in NAMES}), '%s: nothing works' % name)
            r = box.run(name)
            tap.ok(words in said.text('program', 'run') and words in r.err, 'in the words of cprof run', r.show())
    own = os.path.join(box.cwd, 'own')
    source = 'static char a[99]; void *malloc(unsigned long n) { return n < 99 ? a : 0; } int main(void) { return 0; }'
    if subprocess.run(['cc', '-x', 'c', '-fno-builtin', '-w', '-o', own, '-'], input=source.encode()).returncode == 0:
        tap.equal(doctor(box, own).bad().get('heap'), 'no', 'one with a malloc of its own: no heap profile')
        tap.ok('malloc() is that of' in box.run(own, spec='heap').err, 'and so says cprof run')
    if os.path.exists(program('served_go')):
        tap.ok(doctor(box, program('served_go')).mark('program', 'Go') == 'partly', "a program of Go's")
    box.close()


def others():
    """What is no program, or not one of ours."""
    box = Box()

    def put(name, data, mode=0o755):
        path = os.path.join(box.cwd, name)
        with open(path, 'wb') as f:
            f.write(data)
        os.chmod(path, mode)
        return path

    with open(program('nothing'), 'rb') as f:
        nothing = f.read()
    script = put('script', b'#!%s -x\n' % os.fsencode(program('nothing')))
    said = doctor(box, script)
    tap.ok(said.mark('program', 'script') == 'note' and program('nothing') in said.text('program', 'script') and
           said.mark('program', 'run') == 'ok', 'a script: of which program')
    said = doctor(box, put('small', nothing[:4] + b'\1' + nothing[5:]))
    tap.ok('not an x86-64 program' in said.text('program', 'run'), 'one of 32 bits')
    said = doctor(box, put('arm', nothing[:18] + b'\xb7\0' + nothing[20:]))
    tap.ok('not an x86-64 program' in said.text('program', 'run'), 'one of another processor')
    said = doctor(box, put('cut', nothing[:3000]))
    tap.ok(said.status in (0, 1), 'one that is cut off', said.result.err)
    said = doctor(box, put('text', b'hello\n'))
    tap.equal(said.mark('program', 'file'), 'note', 'a text')
    said = doctor(box, put('data', nothing, 0o644) + 'x')
    tap.equal((said.status, said.bad()), (1, {n: 'no' for n in NAMES}), 'one that is not there')
    fifo = os.path.join(box.cwd, 'fifo')
    os.mkfifo(fifo, 0o755)
    tap.equal(doctor(box, fifo).mark('program', 'run'), 'no', 'a FIFO, which is not opened')
    if os.geteuid() == 0:
        path = put('setuid', nothing)
        os.chown(path, pwd.getpwnam('nobody').pw_uid, -1)
        os.chmod(path, 0o4755)
        tap.ok('raises privileges' in doctor(box, path).text('program', 'run'), 'a set-user-ID program')
    box.close()


def processes():
    box = Box()
    recorded = subprocess.Popen([box.cprof, 'run', '-p', 'cpu,heap', '-o', os.path.join(box.root, 'out'), '--', 'sleep', '100'],
                                env=box.environment(), stderr=subprocess.DEVNULL)

    def child():
        with open('/proc/%d/task/%d/children' % (recorded.pid, recorded.pid)) as f:
            for pid in f.read().split():
                with open('/proc/%s/comm' % pid) as c:
                    if c.read() == 'sleep\n':
                        return pid
        return None

    if not wait_for(lambda: child() is not None and box.command('ctl', child(), 'status').status == 0):
        tap.ok(False, 'a process runs under cprof')
        return
    pid = child()
    said = doctor(box, pid)
    tap.equal([said.mark('process', w) for w in ('recording', 'endpoint')], ['ok', 'ok'], 'one that is recorded answers')
    on = [c['text'].split()[1] for c in said.checks if c['what'] == 'profile' and c['text'].startswith('on ')]
    tap.equal(on, ['cpu=100', 'heap=524288'], 'and says what is on')
    plain = subprocess.Popen(['sleep', '100'])
    said = doctor(box, str(plain.pid))
    tap.equal((said.mark('process', 'recording'), said.bad()), ('no', {n: 'no' for n in NAMES}), 'one that is not')
    tap.ok('cprof run' in said.text('process', 'recording'), 'and what to do')
    plain.kill()
    plain.wait()
    said = doctor(box, str(plain.pid))
    tap.ok('no process' in said.text('process', 'process'), 'one that is gone')
    os.kill(int(pid), 15)
    recorded.wait()
    box.close()


def interrupted():
    box = Box()
    said = subprocess.Popen([box.cprof, 'doctor'], env=box.environment(), stdout=subprocess.DEVNULL, start_new_session=True)
    tap.ok(wait_for(lambda: len(box.leftovers()) > 0 or said.poll() is not None, 120), 'the doctor is at work')
    if said.poll() is None:
        os.killpg(said.pid, signal.SIGINT)
    tap.ok(said.wait() in (-signal.SIGINT, 0, 1), 'Ctrl-C ends it')
    # an attempt that hangs is given up after 30 s
    tap.ok(wait_for(lambda: box.leftovers() == [], 60), 'and nothing is left behind', box.leftovers())

    # one hangs, and the doctor is gone when it is given up
    said = subprocess.Popen([box.cprof, 'doctor'], env=box.environment(), stdout=subprocess.DEVNULL)
    hung = None
    while hung is None and said.poll() is None:
        hung = hold_one(said.pid, box)
    said.kill()
    said.wait()
    if tap.ok(hung is not None, 'an attempt is held with its socket'):
        os.kill(hung, signal.SIGALRM)
        os.kill(hung, signal.SIGCONT)
    tap.ok(wait_for(lambda: box.leftovers() == []), 'nothing is left of it', box.leftovers())
    box.close()


def state_of(pid):
    with open('/proc/%d/stat' % pid) as f:
        return f.read().rsplit(')', 1)[1].split()[0]


def hold_one(doctor_pid, box):
    """The attempt that is under way, stopped; None when there is none, or it has no socket now."""
    with open('/proc/%d/task/%d/children' % (doctor_pid, doctor_pid)) as f:
        tried = [int(pid) for pid in f.read().split()]
    if not box.leftovers():
        return None
    time.sleep(0.01)  # it knows where its socket is by then
    for pid in tried:
        try:
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda p=pid: state_of(p) in 'TZ')
            is_held = state_of(pid) == 'T'
        except OSError:
            continue
        if is_held and box.leftovers():
            return pid
        os.kill(pid, signal.SIGCONT)
    return None


def usage():
    box = Box()
    for argv, words in ((('a', 'b'), 'one program'), (('-foo',), 'no option -foo')):
        r = box.command('doctor', *argv)
        tap.ok(r.status == 2 and words in r.err and r.out == '', 'cprof doctor %s' % ' '.join(argv), r.show())
    r = box.command('doctor', '--help')
    tap.ok(r.status == 0 and r.out.startswith('usage: cprof doctor'), '--help')
    with open('/dev/full', 'w') as full:
        r = subprocess.run([box.cprof, 'doctor'], stdout=full, stderr=subprocess.PIPE, env=box.environment())
    tap.ok(r.returncode == 1 and b'not taken' in r.stderr, 'a full disk is told')
    tap.equal(box.leftovers(), [], 'nothing is left behind')
    box.close()


assert BUILD
tap.run(machine, forbidden, limits, programs, others, processes, interrupted, usage)
