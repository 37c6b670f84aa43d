"""The page of a trace in a browser: its first picture, what a pan and a zoom take, and memory; beside that of go tool trace."""

import html
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
import urllib.parse
import urllib.request

from place import gone, note
from rounds import run

MS = 1000
TURNS = 2  # through the keys of page.mjs
FIRSTS = 5  # times that the first picture is looked at
CONNECTIONS = 6  # that a browser opens to a server


def browser(place):
    """(chromium, where playwright-core is), or None with a note."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in ('chromium', 'chromium-browser', 'google-chrome'):
        if shutil.which(name) and shutil.which('node'):
            modules = run(['python3', '-B', root + '/tests/integration/browser.py', place.build, 'playwright-core']).strip()
            if modules:
                return shutil.which(name), modules + '/node_modules', root + '/bench/page.mjs'
            break
    note('no chromium, node or playwright-core: no times of the page')
    return None


class Served:
    """A server with its page, from its start to its end: what it says until then is the URL."""

    def __init__(self, command, find, stream, env=None):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, env={**os.environ, 'BROWSER': 'true', **(env or {})},
                                        **{'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL, stream: subprocess.PIPE})
        self.stream, self.url = getattr(self.process, stream), None
        for line in self.stream:
            found = re.search(find, line)
            if found:
                self.url = found.group(1).decode()
                break
        self.ms = (time.monotonic() - self.begun) * MS

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.stream.close()

    def look(self, kind, url, turns, chromium, modules, script):
        """What page.mjs says; first is from the server's start on."""
        said = json.loads(run(['node', script, kind, url, chromium, modules, self.process.pid, turns]))
        said['first'] += self.ms
        return said


def spread(values):
    """[median, 99th percentile, slowest]"""
    values = sorted(values)
    return [values[len(values) // 2], values[-1 - len(values) // 100], values[-1]] if values else [0, 0, 0]


def told(said):
    answers = said['answers']
    return {'first': said['first'] / MS, 'frames': spread(said['frames']), 'exact': spread(said['exact']),
            'answers': spread([ms for times in answers.values() for ms in times]),
            'by_kind': {kind: spread(times) for kind, times in sorted(answers.items())},
            'page_mb': said['page'], 'server_mb': said['server']}


def ask_again(url, asked):
    """
    The same questions, those of a key at once, by a client that does nothing with the answers: ms of each that the picture needs. So
    what the browser does with the processors meanwhile is not in it.
    """
    at, times = urllib.parse.urlsplit(url), []

    def ask(line):
        connection = http.client.HTTPConnection(at.hostname, at.port)
        for path in iter(lambda: line.pop(0) if line else None, None):
            begun = time.monotonic()
            connection.request('GET', path)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200 and re.search(r'/api/v1/(tiles?|spans|columns|memory)\b', path):
                times.append((time.monotonic() - begun) * MS)
        connection.close()

    for paths in asked:
        line = list(paths)
        clients = [threading.Thread(target=ask, args=(line,)) for _ in range(CONNECTIONS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    return spread(times)


def ours(place, trace, how):
    """First pictures without an index, and with it, and then the keys. {first, found, frames, answers, again …}"""
    cache, none = place.new(), place.new()
    command = [place.viewer, trace, 'timeline', '--no-open', '--port', '0']
    firsts, most = {cache: [], none: []}, 0
    try:
        run([place.program('views'), 'tiles', trace, 1], {'XDG_CACHE_HOME': cache})
        for _ in range(FIRSTS):
            for where in (none, cache):
                with Served(command, rb'(http://\S+)', 'stdout', {'XDG_CACHE_HOME': where}) as served:
                    looked = told(served.look('ours', served.url, 0, *how))
                firsts[where].append(looked['first'])
                most = max(most, looked['server_mb'])
            gone(none)
        with Served(command, rb'(http://\S+)', 'stdout', {'XDG_CACHE_HOME': cache}) as served:
            looked = served.look('ours', served.url, TURNS, *how)
            again = ask_again(served.url, looked['asked'])
        looked = told(looked)
    finally:
        gone(cache)
        gone(none)
    return {**looked, 'again': again, 'first': statistics.median(firsts[none]), 'found': statistics.median(firsts[cache]),
            'slowest_first': max(firsts[none]), 'server_mb': max(most, looked['server_mb'])}


def go(tool, trace, how):
    """The same of Go's, of its first part: its traces are cut into such as a browser can take."""
    with Served([tool, '-http=127.0.0.1:0', trace], rb'listening on (http://\S+)', 'stderr') as served:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(served.url, timeout=600) as answer:
            link = re.search(r'href="(/trace\b[^"]*)"', answer.read().decode())
        served.ms = (time.monotonic() - served.begun) * MS
        return told(served.look('go', served.url + html.unescape(link.group(1)), TURNS, *how))


def measure(place, trace, peer, tool, how):
    """{cprof: …, go tool trace: …}: @peer, a trace of Go's, and @tool may be None."""
    result = {'cprof': ours(place, trace, how)}
    if peer is not None and tool is not None:
        try:
            result['go tool trace'] = go(tool, peer, how)
        except (subprocess.CalledProcessError, OSError, AttributeError) as e:
            said = getattr(e, 'stderr', b'') or str(e).encode()
            note('no page of go tool trace: %s' % said.decode(errors='replace').strip()[-300:])
    return result


def ms_text(values):
    return '%.1f / %.1f / %.1f ms' % tuple(values)


HEAD = ['', 'first picture', 'a key to its frame', 'an answer', 'the same, asked without a browser', 'a key to the exact picture', 'memory of the page', 'of the server']


def rows_of(of):
    """Rows below HEAD."""
    for name, cell in of.items():
        is_ours = name == 'cprof'
        first = '%.2f s' % cell['first'] + (', %.2f s with an index' % cell['found'] if is_ours else '')
        yield [name, first, ms_text(cell['frames']), ms_text(cell['answers']) if is_ours else '-',
               ms_text(cell['again']) if is_ours else '-', ms_text(cell['exact']) if is_ours else '-', '%.0f MB' % cell['page_mb'], '%.0f MB' % cell['server_mb']]
