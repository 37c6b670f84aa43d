#!/usr/bin/env python3
"""System calls as tracer/syscalls sees them: all that strace sees, and the host notices nothing. syscalls.py BUILD [CASE…]

The library under test is tests/programs/libsyscalls_seen.so, which counts calls by number in a file.
"""

import collections
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import tap

BUILD = sys.argv[1]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
PROGRAMS = os.path.join(BUILD, 'tests', 'programs')
LIBRARY = os.path.join(PROGRAMS, 'libsyscalls_seen.so')
HOST = os.path.join(PROGRAMS, 'syscalls_host')
PLUGIN = os.path.join(PROGRAMS, 'plugins', 'libsyscalls_plugin.so')
NUMBERS = 512  # as in syscalls_seen.h
FIELDS = ('unpaired', 'childs', 'starts', 'starts_failed', 'stops', 'start_ns', 'files', 'found', 'in_place', 'in_stub',
          'by_dispatch')

Seen = collections.namedtuple('Seen', ('entered', 'left', 'left_out') + FIELDS)


def read_seen(path):
    with open(path, 'rb') as file:
        data = file.read()
    words = struct.unpack('<%dQ' % (len(data) // 8), data)
    rest = words[2 * NUMBERS:]
    return Seen(words[:NUMBERS], words[NUMBERS:2 * NUMBERS], rest[len(FIELDS):], *rest[:len(FIELDS)])


class Box:
    """A directory for what a test leaves behind."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix='cprof-syscalls-')
        self.count = 0

    def close(self):
        shutil.rmtree(self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def env(self, **more):
        self.count += 1
        seen = self.path('seen.%d' % self.count)
        return seen, dict(os.environ, LD_PRELOAD=LIBRARY, SYSCALLS_SEEN=seen, SYSCALLS_PLUGIN=PLUGIN, **more)

    def watch(self, *command, **more):
        seen, env = self.env(**more)
        done = run(*command, env=env, cwd=self.root)
        return done, read_seen(seen) if os.path.exists(seen) else None

    def plain(self, *command):
        return run(*command, env=dict(os.environ, SYSCALLS_PLUGIN=PLUGIN), cwd=self.root)


def run(*command, env=None, cwd=None):
    return subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, errors='replace', timeout=300)


def numbers():
    """{name: number} of this kernel's system calls, as the headers have them."""
    text = run('cc', '-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null').stdout
    return {name: int(number) for name, number in re.findall(r'#define __NR_(\w+) (\d+)', text)}


# ---- the host --------------------------------------------------------------------------------------------------

def host_cases(box, **more):
    for case in box.plain(HOST).stdout.split():
        plain = box.plain(HOST, case)
        done, seen = box.watch(HOST, case, **more)
        tap.equal((done.returncode, done.stdout, done.stderr), (plain.returncode, plain.stdout, plain.stderr), case)
        if seen is not None and seen.starts_failed == 0:
            tap.equal(seen.unpaired, 0, case + ': each call is left with what it was entered with')


def host():
    box = Box()
    host_cases(box)
    done, seen = box.watch(HOST, 'storm')
    tap.ok(seen.in_place + seen.in_stub >= 0.95 * seen.found, '95 % of the sites are patched', seen)
    box.close()


def full():
    box = Box()
    done, seen = box.watch(HOST, 'forks', SYSCALLS_FULL='1', SYSCALLS_SAY='1')
    if seen.starts == 0:
        tap.skip_all(done.stderr)
    host_cases(box, SYSCALLS_FULL='1')
    for name, command in {'python3': [sys.executable, '-I', '-c', 'import subprocess; print(subprocess.run(["ls", "/"]))'],
                          'bash': ['bash', '-c', 'for i in 1 2 3; do ls / | sort -r; done; (sleep 0.1) & wait'],
                          'perl': ['perl', '-e', 'print `ls /`; fork() or exit 3; wait; print $?>>8, "\\n"'],
                          'gcc': ['gcc', '-O1', '-D_GNU_SOURCE', '-I', ROOT, '-S', '-o', '-', os.path.join(ROOT, 'core', 'mem.c')]}.items():
        same(box, name, *command, SYSCALLS_FULL='1')
    box.close()


# ---- strace ----------------------------------------------------------------------------------------------------

LINE = re.compile(r'^(\d+) +(\w+)\((.*)')
# What the engine does by itself when a library comes: it writes by this file, and asks whether it may.
OWN = re.compile(r'"/proc/self/(mem|task)"|^0xffffffff /\*')


RESUMED = re.compile(r'^(\d+) +<\.\.\. (\w+) resumed>(.*)')


def whole_calls(path):
    """(tid, name, arguments and result) of each call, where it ended; where it did not, at the end."""
    begun = {}
    with open(path, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            match, resumed = LINE.match(line), RESUMED.match(line)
            if match and '<unfinished ...>' in line:
                begun[match.group(1)] = match.groups()
            elif match:
                yield match.groups()
            elif resumed and resumed.group(1) in begun:
                tid, name, rest = begun.pop(resumed.group(1))
                yield tid, name, rest.replace('<unfinished ...>', '').rstrip() + resumed.group(3)
    yield from begun.values()


def by_strace(path):
    """{name: calls} of all processes, each from the moment on when the library watches."""
    calls, off, own_fd, restarting = collections.Counter(), None, {}, {}
    for tid, name, rest in whole_calls(path):
        if off is None:
            off = {tid}
        if name == 'prctl' and '0x63707266' in rest:
            off.discard(tid)
            continue
        if tid in off:
            continue
        if OWN.search(rest):
            opened = re.search(r'/proc/self/mem.* = (\d+)$', rest.rstrip())
            if opened:
                own_fd[tid] = opened.group(1)
            continue
        if tid in own_fd and name in ('pwrite64', 'pread64', 'close') and re.match(own_fd[tid] + r'\b', rest):
            if name == 'close':
                del own_fd[tid]
            continue
        if name == restarting.pop(tid, None):
            continue  # begun anew by the kernel: entered once
        if 'ERESTARTSYS' in rest or 'ERESTARTNOINTR' in rest:
            restarting[tid] = name
        calls[name] += 1
        if name == 'execve' and rest.rstrip().endswith(' = 0'):
            off.add(tid)
    return calls


def compared(box, about, *command):
    if shutil.which(command[0]) is None:
        tap.skip(about, command[0] + ' is not installed')
        return
    log = box.path('strace')
    seen_path, env = box.env()
    env['LD_PRELOAD'] = ''
    done = run('strace', '-f', '-qq', '-s', '64', '-o', log, '-E', 'LD_PRELOAD=' + LIBRARY, *command, env=env, cwd=box.root)
    plain = box.plain(*command)
    tap.equal((done.returncode, done.stdout, done.stderr), (plain.returncode, plain.stdout, plain.stderr), about + ': the same')
    seen, table = read_seen(seen_path), numbers()
    want = by_strace(log)
    # the engine asks for the thread's number around vfork(); the return from a handler is not seen at all
    for name in ('gettid', 'rt_sigreturn', 'restart_syscall'):
        want.pop(name, None)
    differ = ['%s: %d seen, strace has %d' % (name, seen.entered[number], want[name]) for name, number in table.items()
              if number < NUMBERS and name not in ('gettid', 'restart_syscall') and seen.entered[number] != want[name]]
    tap.equal(differ, [], '%s: as many as strace has, of each (%d calls)' % (about, sum(want.values())))
    tap.equal(seen.unpaired, 0, about + ': paired')


def strace():
    if shutil.which('strace') is None:
        tap.skip_all('strace is not installed')
    box = Box()
    if run('strace', '-qq', '-o', '/dev/null', 'true').returncode != 0:
        tap.skip_all('strace may not trace here')
    with open(box.path('numbers'), 'w') as file:
        file.writelines('%d\n' % (i * 7919 % 100003) for i in range(100003))
    compared(box, 'sort', 'sort', '-n', 'numbers')
    compared(box, 'sqlite3', 'sqlite3', 'data.db',
             'create table t(a); insert into t select value from generate_series(1,20000); select sum(a) from t; drop table t;')
    compared(box, 'gcc', 'gcc', '-O1', '-D_GNU_SOURCE', '-I', ROOT, '-c', '-o', 'x.o', os.path.join(ROOT, 'core', 'mem.c'))
    compared(box, 'python3', sys.executable, '-I', '-c',
             'import json, subprocess, threading\n'
             'print(subprocess.run(["/bin/echo", "x"], stdout=subprocess.PIPE).stdout)\n'
             't = [threading.Thread(target=lambda: open("numbers").read()) for i in range(4)]\n'
             '[x.start() for x in t]; [x.join() for x in t]')
    compared(box, 'sh', 'sh', '-c', 'for i in 1 2 3; do ls / | wc -l; done; (exit 3); echo $?')
    box.close()


# ---- programs --------------------------------------------------------------------------------------------------

def same(box, about, *command, **more):
    if shutil.which(command[0]) is None:
        tap.skip(about, command[0] + ' is not installed')
        return
    plain = box.plain(*command)
    done, seen = box.watch(*command, **more)
    tap.equal((done.returncode, done.stdout, done.stderr), (plain.returncode, plain.stdout, plain.stderr), about)
    tap.ok(seen is not None and seen.starts > 0 and seen.unpaired == 0, about + ': watched', seen and seen[3:])


def programs():
    box = Box()
    same(box, 'perl', 'perl', '-e', 'print `ls /`; fork() or exit 3; wait; print $?>>8, "\\n"')
    same(box, 'bash', 'bash', '-c', 'for i in 1 2 3; do ls / | sort -r; done; (sleep 0.1) & wait; coproc cat; kill %1')
    same(box, 'make', 'make', '-s', '-f', '/dev/null', '--eval', 'all:;@echo a; echo b')
    same(box, 'rustc', 'rustc', '--version')
    same(box, 'go', 'go', 'version')
    same(box, 'git', 'git', '-C', ROOT, 'log', '--oneline', '-3')
    for name in ('nothing_static', 'nothing'):
        path = os.path.join(PROGRAMS, name)
        if os.path.exists(path):
            done, seen = box.watch(path)
            tap.equal((done.returncode, done.stdout, done.stderr), (0, 'nothing\n', ''), name)
    box.close()


# prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), then the program
STRICT = 'import ctypes, os, sys\nif ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)\nos.environ["LD_PRELOAD"] = sys.argv[1]\n' \
         'os.execv(sys.argv[2], sys.argv[2:])'


def places():
    """Where code may not be changed in one way or the other."""
    box = Box()
    seen, env = box.env()
    env['LD_PRELOAD'] = ''
    for case in ('storm', 'stopped', 'dlopens'):
        done = run(sys.executable, '-I', '-c', STRICT, LIBRARY, HOST, case, env=env, cwd=box.root)
        if done.returncode == 77:
            tap.skip('code that cannot become executable', 'the kernel does not know of it')
            break
        tap.equal((done.returncode, done.stdout, done.stderr), (0, 'done\n', ''), 'code that cannot become executable: ' + case)
        tap.ok(read_seen(seen).in_place > 400, '… is patched all the same', read_seen(seen)[3:])
    for case in ('storm', 'clones', 'cancels'):
        seen, env = box.env()
        env['LD_PRELOAD'] = ''
        script = 'umount -l /proc || exit 77; LD_PRELOAD=%s exec %s %s' % (LIBRARY, HOST, case)
        done = run('unshare', '-m', 'sh', '-c', script, env=env, cwd=box.root)
        if 'unshare' in done.stderr or done.returncode == 77:
            tap.skip('without /proc', 'it cannot be taken away here')
            break
        plain = box.plain(HOST, case)
        tap.equal((done.returncode, done.stdout), (plain.returncode, plain.stdout), 'without /proc: ' + case)
        tap.ok(read_seen(seen).in_place > 400, '… is patched all the same', read_seen(seen)[3:])
    box.close()


def sanitizers():
    box = Box()
    source = [os.path.join(ROOT, 'tests', 'programs', name) for name in ('syscalls_host.c', 'syscalls_host_asm.c')]
    for compiler in ('gcc', 'clang'):
        for sanitizer in ('address', 'thread', 'undefined'):
            path = box.path('%s-%s' % (compiler, sanitizer))
            about = '%s -fsanitize=%s' % (compiler, sanitizer)
            if shutil.which(compiler) is None or run(
                    compiler, '-D_GNU_SOURCE', '-g', '-O1', '-fexceptions', '-w', '-I', ROOT, '-fsanitize=' + sanitizer, '-o', path,
                    *source, '-lpthread', '-ldl', '-rdynamic').returncode != 0:
                tap.skip(about, 'not to be had here')
                continue
            # a child of many threads under the thread sanitizer may stand still in a lock of its runtime's, watched or not
            for case in ('sigreturns', 'restarts', 'storm') if sanitizer == 'thread' else ('forks', 'sigreturns', 'restarts', 'storm'):
                env = {'ASAN_OPTIONS': 'verify_asan_link_order=0', 'TSAN_OPTIONS': 'report_bugs=0'}
                plain = run(path, case, env=dict(os.environ, **env))
                done, seen = box.watch(path, case, **env)
                if plain.returncode != 0:
                    tap.skip('%s, %s' % (about, case), 'does not work by itself')
                    continue
                tap.equal((done.returncode, done.stdout, done.stderr), (plain.returncode, plain.stdout, plain.stderr),
                          '%s, %s' % (about, case))
    box.close()


tap.run(host, full, strace, programs, places, sanitizers)
