"""
Runs programs under cprof, each in a directory of its own that is looked through afterwards.

    box = Box()
    r = box.run('burn', 'split', '90', '2')         a program of tests/programs, under `cprof run`
    r.status, r.out, r.err, r.profile(), r.truth    the last: the JSON that the program printed
    box.close()
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from pprof import Profile

BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.getcwd()
CPROF = os.path.join(BUILD, 'cli', 'cprof')
LIBRARY = os.path.join(BUILD, 'preload', 'libcprof.so.0')
PROGRAMS = os.path.join(BUILD, 'tests', 'programs')
CLOSING = re.compile(r'^cprof: ([\d,]+) (?:samples|waits|events)(?:, [\d,]+ (?:waits|events))*, ([\d,]+) lost.*\n?', re.MULTILINE)
# a shell that starts the tests in the background has these ignored, and so would all programs
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
TIMEOUT = 300  # seconds, for what hangs: 10 s of CPU time took 125 where twenty others wanted the processors


def program(name):
    path = os.path.join(PROGRAMS, name)
    return path if os.path.exists(path) else name


class Result:
    def __init__(self, status, out, err, directory):
        self.status = status  # as subprocess has it: negative for a signal
        self.out, self.err, self.directory = out, err, directory
        self.closing = CLOSING.search(err)

    @property
    def truth(self):
        """The last line of JSON that the program printed."""
        lines = [line for line in self.out.splitlines() if line.startswith('{')]
        return json.loads(lines[-1])

    @property
    def own_err(self):
        """Standard error without our closing line."""
        return CLOSING.sub('', self.err, count=1)

    def profile(self, *below):
        return Profile.read(os.path.join(self.directory, *below, 'cpu.pb.gz'))

    def children(self):
        """NAME.PID of each child, in the order of their numbers."""
        if not os.path.isdir(self.directory):
            return []
        found = [d for d in os.listdir(self.directory) if os.path.isdir(os.path.join(self.directory, d))]
        return sorted(found, key=lambda d: [int(n) for n in re.findall(r'\d+', d)][-1:])

    def show(self):
        return 'status %r\nout: %s\nerr: %s' % (self.status, self.out[-2000:], self.err[-2000:])


class Box:
    """A directory for one test: working directory, session sockets, output."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix='ct')
        os.chmod(self.root, 0o755)
        self.cwd = os.path.join(self.root, 'cwd')
        self.runtime = os.path.join(self.root, 'run')
        os.mkdir(self.cwd)
        os.mkdir(self.runtime, 0o711)  # root's sessions are passed by others
        self.count = 0
        self.cprof = CPROF

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith('CPROF')
               and k not in ('LD_PRELOAD', 'LD_LIBRARY_PATH')}  # meson sets the latter for its tests
        env['XDG_RUNTIME_DIR'] = self.runtime
        env.update(extra or {})
        return env

    def plain(self, *argv, stdin=None, env=None, timeout=TIMEOUT, before=None, cwd=None):
        """Without cprof."""
        argv = [program(argv[0])] + [str(a) for a in argv[1:]]
        done = subprocess.run(argv, cwd=cwd or self.cwd, env=self.environment(env), timeout=timeout,
                              stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=before)
        return Result(done.returncode, done.stdout.decode('utf-8', 'replace'),
                      done.stderr.decode('utf-8', 'replace'), None)

    def run(self, *argv, spec='cpu=1000', output=None, stdin=None, env=None, timeout=TIMEOUT, before=None,
            launcher=(), cwd=None):
        """Under `cprof run`; @launcher stands before it."""
        self.count += 1
        output = output or os.path.join(self.root, 'out%d' % self.count)
        command = list(launcher) + [self.cprof, 'run', '-p', spec, '-o', output, '--', program(argv[0])]
        command += [str(a) for a in argv[1:]]
        done = subprocess.run(command, cwd=cwd or self.cwd, env=self.environment(env), timeout=timeout,
                              stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=before)
        return Result(done.returncode, done.stdout.decode('utf-8', 'replace'),
                      done.stderr.decode('utf-8', 'replace'), output)

    def command(self, *argv, env=None, timeout=TIMEOUT, before=None):
        """Any other call of cprof."""
        done = subprocess.run([self.cprof] + [str(a) for a in argv], cwd=self.cwd, env=self.environment(env),
                              timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=before)
        return Result(done.returncode, done.stdout.decode('utf-8', 'replace'),
                      done.stderr.decode('utf-8', 'replace'), None)

    def leftovers(self):
        """What lies in the working directory and beside the session sockets."""
        found = []
        for top in (self.cwd, self.runtime):
            for directory, names, files in os.walk(top):
                found += [os.path.relpath(os.path.join(directory, n), self.root) for n in names + files]
        return sorted(found)

    def publish(self):
        """Copies what cprof and the programs need to where every user may read it."""
        there = os.path.join(self.root, 'pub')
        for part, names in (('cli', ['cprof']), ('preload', ['libcprof.so.0']),
                            ('endpoint', ['libcprof-output.so.0'])):
            os.makedirs(os.path.join(there, part))
            for name in names:
                source = os.path.join(BUILD, part, name)
                if os.path.exists(source):
                    shutil.copy2(os.path.realpath(source), os.path.join(there, part, name))
        self.cprof = os.path.join(there, 'cli', 'cprof')
        return there


def is_perf_permitted(uid=None):
    """Whether cprof can have a perf clock; what it does is asked of a program that tries the same."""
    done = subprocess.run([program('noperf'), '--probe'], stdout=subprocess.PIPE,
                          preexec_fn=(lambda: os.setuid(uid)) if uid else None)
    return done.stdout.strip() == b'yes'


def signal_name(status):
    return signal.Signals(-status).name if status < 0 else str(status)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
