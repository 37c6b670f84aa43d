"""Go's trace viewer as a peer: a trace of goroutines, and how long it takes to its first picture."""

import html
import os
import re
import subprocess
import time
import urllib.request

from place import go_tool, gone, note
from rounds import run

EVENTS_A_JOB = 6.0  # of gotrace.go, until a trace of it was counted


def go_events(path):
    """How many events a trace of Go's has; 0 when its own tools cannot read it."""
    for flag in ('-d=parsed', '-d'):  # since 1.22, before
        # an event's line; those of its stacks begin otherwise
        done = subprocess.run(['sh', '-c', 'go tool trace %s "$1" 2>/dev/null | grep -c "^[0-9M]"' % flag, 'sh', path],
                              stdout=subprocess.PIPE, check=False)
        if int(done.stdout or 0) > 0:
            return int(done.stdout)
    return 0


def get(url):
    """The bytes of an answer, which nobody stands between."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=600) as answer:
        return answer.read()


class Go:
    """One trace, and what opening it takes."""
    per_job = EVENTS_A_JOB

    def __init__(self, place, events):
        self.path, self.events = place.new(), 0
        run([place.program('gotrace'), 'server', round(events / Go.per_job), self.path])
        self.bytes = os.path.getsize(self.path)
        self.events = go_events(self.path)
        if self.events > 0:
            Go.per_job *= self.events / events

    @staticmethod
    def tool(place):
        """The viewer itself, without the go command before it; None, with a note, where there is none."""
        if not os.path.exists(place.program('gotrace')):
            note('golang-go is not installed: its trace viewer is left out')
            return None
        return go_tool('trace')

    def measure(self, tool):
        """Seconds to the end of what its first page has to load, and MB; or why not."""
        begun, url = time.monotonic(), None
        # a browser that ends at once, lest it should find one to open
        viewer = subprocess.Popen([tool, '-http=127.0.0.1:0', self.path], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, env={**os.environ, 'BROWSER': 'true'})
        try:
            for line in viewer.stderr:
                found = re.search(rb'listening on (http://\S+)', line)
                if found:
                    url = found.group(1).decode()
                    break
            if url is None:
                return 'go tool trace ended with status %d' % viewer.wait()
            link = re.search(r'href="(/trace\b[^"]*)"', get(url).decode())
            if link is None:
                return 'go tool trace has no view of the trace'
            view = html.unescape(link.group(1))
            get(url + view)
            get(url + view.replace('/trace', '/jsontrace', 1))
            seconds = time.monotonic() - begun
            with open('/proc/%d/status' % viewer.pid) as f:
                return seconds, int(re.search(r'VmHWM:\s*(\d+)', f.read()).group(1)) / 1024
        except OSError as e:
            return 'go tool trace: %s' % e
        finally:
            viewer.kill()
            viewer.wait()
            viewer.stderr.close()

    def remove(self):
        gone(self.path)
