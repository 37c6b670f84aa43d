"""LTTng-UST as a peer: a session of the user's own, where the daemon may run."""

import os
import re
import shutil
import subprocess

from place import library

WRAPPERS = ('liblttng-ust-pthread-wrapper.so.1', 'liblttng-ust-pthread-wrapper.so.0')
PTHREAD = 'lttng_ust_pthread:*'  # what the wrapper writes: three events for a lock and an unlock


def lttng_wrapper():
    """The path of the library that wraps locks, None when it is not installed."""
    return next(filter(None, map(library, WRAPPERS)), None)


def compressed(files):
    """Bytes that lz4 -1 makes of them."""
    return int(subprocess.run(['sh', '-c', 'cat "$@" </dev/null | lz4 -1 -c | wc -c', 'sh'] + files, check=True,
                              capture_output=True).stdout)


class Lttng:
    def __init__(self, place, *events):
        self.home, self.events = place.new(), events
        os.mkdir(self.home)
        self.env = {'LTTNG_HOME': self.home, 'HOME': self.home}
        self.daemon = None

    def call(self, *words):
        return subprocess.run(['lttng', '--no-sessiond'] + list(words), env={**os.environ, **self.env},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)

    def start(self):
        """None, or why there is none."""
        if shutil.which('lttng') is None or shutil.which('lttng-sessiond') is None:
            return 'lttng-tools is not installed'
        self.daemon = subprocess.Popen(['lttng-sessiond', '--no-kernel'], env={**os.environ, **self.env},
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if self.call('list').returncode == 0:
                break
            if self.daemon.poll() is not None:
                return 'lttng-sessiond does not run here'
            subprocess.run(['sleep', '0.1'])
        for words in [['create', 'bench', '--output', self.home + '/trace'],
                      ['enable-channel', '--userspace', '--num-subbuf=8', '--subbuf-size=1M', 'c']] + \
                     [['enable-event', '--userspace', '--channel', 'c', event] for event in self.events] + [['start']]:
            done = self.call(*words)
            if done.returncode != 0:
                return 'lttng %s: %s' % (words[0], done.stdout.decode().strip().splitlines()[-1:])
        return None

    def written(self):
        """What was recorded until now: bytes, bytes by lz4, and events that were discarded. The session records no more."""
        self.call('stop')
        found = re.findall(r'Discarded events: (\d+)', self.call('list', 'bench').stdout.decode())
        files = [os.path.join(where, name) for where, _, names in os.walk(self.home + '/trace') for name in names
                 if name != 'metadata' and not name.endswith('.idx')]
        return sum(map(os.path.getsize, files)), compressed(files), sum(map(int, found))

    def stop(self):
        if self.daemon is None:
            return
        self.call('destroy', '--all')
        self.daemon.terminate()
        try:
            self.daemon.wait(20)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
