"""Where the programs are, what is installed, and what a command costs."""

import json
import os
import shutil
import subprocess
import tempfile
import threading

from rounds import run

NOTES = []


def note(text):
    NOTES.append(text)
    print('  note: ' + text, flush=True)


def library(name):
    """The path by which the loader knows a library, None when it is not installed."""
    for line in subprocess.run(['ldconfig', '-p'], capture_output=True, text=True).stdout.splitlines():
        if line.strip().startswith(name + ' '):
            return line.split('=>')[1].strip()
    return None


def gone(path):
    """Removes a file or a directory, if it is there."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.remove(path)


def go_tool(name):
    """One of Go's tools itself, without the go command before it; None, with a note, where there is none."""
    if shutil.which('go') is None:
        note('golang-go is not installed: go tool %s is left out' % name)
        return None
    done = subprocess.run(['go', 'tool', '-n', name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    path = done.stdout.decode().strip()
    if done.returncode != 0 or not os.path.exists(path):
        note('"go tool %s" is not installed: it is left out' % name)
        return None
    return path


class Place:
    """Where everything is, in a directory that any user may read: profiles of an unprivileged user need that."""

    def __init__(self, build, programs):
        self.work = tempfile.mkdtemp(prefix='cprof-bench-', dir='/tmp')
        os.chmod(self.work, 0o755)
        os.mkdir(self.work + '/cli')
        os.mkdir(self.work + '/preload')
        self.out = self.work + '/out'
        os.mkdir(self.out)
        os.chmod(self.out, 0o1777)
        self.cprof = shutil.copy(build + '/cli/cprof', self.work + '/cli/cprof')
        self.library = shutil.copy(build + '/preload/libcprof.so.0', self.work + '/preload/libcprof.so.0')
        self.build, self.viewer = build, build + '/viewer/cprof-trace'
        for name in ('load', 'work', 'spend', 'noperf', 'stacks', 'stacks-fp', 'nothing', 'sleepers', 'heap', 'locks', 'sched',
                     'syscalls', 'events', 'events-lttng', 'gotrace', 'trace_make', 'profile_make', 'views', 'tcmalloc.so'):
            if os.path.exists(programs + '/' + name):
                shutil.copy(programs + '/' + name, self.work + '/' + name)
        self.libprofiler = library('libprofiler.so.0')
        if self.libprofiler is None:
            note('gperftools is not installed: libprofiler is left out')
        self.number = 0
        self.lock = threading.Lock()

    def program(self, name):
        return self.work + '/' + name

    def new(self):
        """A path that nothing is at yet."""
        with self.lock:
            self.number += 1
            return '%s/%d' % (self.out, self.number)

    def info(self, path):
        """What `cprof-trace info` says of a trace."""
        return json.loads(run([self.viewer, path, 'info', '--json']))

    def trace(self, out):
        """The same of the trace in the directory @out."""
        return self.info(out + '/trace.out')

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)


def spent(place, before, command, env=None, total=False):
    """CPU seconds of the program alone, and of all that ran."""
    inner, outer = place.new(), place.new()
    run([place.program('spend'), outer] + before +
        (['env'] + ['%s=%s' % item for item in env.items()] if env else []) +
        [place.program('spend'), inner] + command, cpu=0)
    with open(inner) as f, open(outer) as g:
        return int(f.read().split()[0]) / 1e9, int(g.read().split()[0]) / 1e9
