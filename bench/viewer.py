"""
Opening traces of 1, 10 and 100 million events: the first picture, the index and its views, the page in a browser, and the tables that
read everything; beside Go's trace viewer and babeltrace2, each with traces of its own.
"""

import os
import re
import shutil
import statistics
import subprocess

import page
from gotrace import Go
from lttng import PTHREAD, Lttng, lttng_wrapper
from place import gone, note
from rounds import Rounds, in_turn, run, spread

MILLION = 1000000
SIZES = (1, 10, 100)  # million events
ROUNDS = {1: 5, 10: 3, 100: 3}
PEERS_UP_TO = 10  # million events: go tool trace takes some 400 MB for each
FREE_BYTES = 3 << 30  # that 100 million events may take, with their index
VIEWS = 1000
# what is asked of cprof-trace, by way
FIRST = ['timeline', '--text', '--width', '160']
COMMANDS = {'summary': ['summary'], 'locks': ['locks'], 'syscalls': ['syscalls'], 'critical-path': ['critical-path'],
            'events as text': ['events']}
LONG = ('index', *COMMANDS)  # with 100 million events, once
UP_TO = {'events as text': 10, 'critical-path': 1}  # million events: the latter refuses more intervals than it keeps, unless told to
GO, READ, TEXT = 'go tool trace', 'babeltrace2', 'babeltrace2, as text'
# who is held against which peer
AGAINST = {'first picture': GO, 'summary': READ, 'events as text': TEXT}
FIRST_LIMIT = {10: 0.3, 100: 1}
INDEX_LIMIT, MEMORY_LIMIT, VIEW_LIMIT = 15, 512, 50
PAGE = 'page'
GO_LIMIT, GO_MEMORY_LIMIT = 1 / 50, 1 / 20


def spent(place, command, env=None):
    """Seconds until a command has ended, and the peak of its memory in MB. What it prints is nobody's."""
    out = place.new()
    run(['sh', '-c', 'exec "$@" >/dev/null', 'sh', place.program('spend'), out] + command, env)
    with open(out) as f:
        words = f.read().split()
    os.remove(out)
    return int(words[1]) / 1e9, int(words[3]) / 1024


class Ours:
    """One trace, with a cache of its own for its index."""

    def __init__(self, place, millions):
        self.place, self.path, self.cache = place, place.new(), place.new()
        self.views, self.screens, self.index_bytes = [], [], 0
        # the index is named after the trace, and its name is made of the seed
        run([place.program('trace_make'), millions * MILLION, self.path, millions])
        self.bytes = os.path.getsize(self.path)
        self.events = place.info(self.path)['events']

    def look(self, views, what='tiles'):
        """What bench/views.c says."""
        said = run([self.place.program('views'), what, self.path, views], {'XDG_CACHE_HOME': self.cache})
        return {word: values for word, *values in map(str.split, said.splitlines())}

    def measure(self, way):
        """Seconds and MB."""
        if way == 'index':
            gone(self.cache)
            said = self.look(1)
            self.index_bytes = sum(entry.stat().st_size for entry in os.scandir(self.cache + '/cprof'))
            return float(said['opened'][0]) / 1e9, int(said['making'][0]) / 1024
        if way == 'index found':
            said = self.look(VIEWS)
            if said['opened'][1] != 'found':
                raise RuntimeError('the index of %s is not found again' % self.path)
            self.views.append([float(ns) / 1e6 for ns in said['views']])
            self.screens.append([float(ns) / 1e6 for ns in self.look(VIEWS, 'screens')['views']])
            return float(said['opened'][0]) / 1e9, int(said['memory'][0]) / 1024
        if way == 'first picture':
            cache = self.place.new()
            result = spent(self.place, [self.place.viewer, self.path] + FIRST, {'XDG_CACHE_HOME': cache})
            gone(cache)
            return result
        words = FIRST if way == 'first picture, index there' else COMMANDS[way]
        return spent(self.place, [self.place.viewer, self.path] + words, {'XDG_CACHE_HOME': self.cache})

    def remove(self):
        gone(self.path)
        gone(self.cache)


class Babeltrace:
    """A trace that LTTng-UST has written: locks, and a tracepoint with two numbers."""

    def __init__(self, place, events):
        self.place, self.why, self.events = place, None, 0
        session = Lttng(place, PTHREAD, 'bench:event')
        self.path = session.home
        try:
            self.why = session.start()
            if self.why is None:
                run([place.program('events-lttng'), 'mixed', events // 4], {**session.env, 'LD_PRELOAD': lttng_wrapper()})
                session.call('stop')
        finally:
            session.stop()
        if self.why is not None:
            return
        files = [os.path.join(where, name) for where, _, names in os.walk(self.path + '/trace') for name in names]
        self.bytes = sum(map(os.path.getsize, files))
        try:
            said = re.search(r'(\d+) Event messages', run(self.command(READ)))
        except subprocess.CalledProcessError as e:
            self.why = 'it ended with status %d: %s' % (e.returncode, e.stderr.decode(errors='replace').strip()[-200:])
            return
        self.events = int(said.group(1)) if said else 0
        if self.events == 0:
            self.why = 'lttng has written no events'

    def command(self, way):
        counter = ['--component=sink.utils.counter', '--params=step=+0']  # no more than the sums at the end
        return ['babeltrace2', self.path + '/trace'] + (counter if way == READ else [])

    def measure(self, way):
        return spent(self.place, self.command(way))

    def remove(self):
        gone(self.path)

    @staticmethod
    def is_here(place):
        if shutil.which('babeltrace2') is None:
            note('babeltrace2 is not installed: it is left out')
        elif not os.path.exists(place.program('events-lttng')) or lttng_wrapper() is None:
            note('liblttng-ust-dev is not installed: babeltrace2 has nothing to read')
        else:
            return True
        return False


def of_all(views):
    return [statistics.median(view[0] for view in views), statistics.median(view[1] for view in views), max(view[2] for view in views)]


def measure_size(place, millions, tool, has_babeltrace, browser, is_quick):
    """{events, bytes, index_bytes, views: [ms], ways: {way: {s, mb, events}}, whose, against: {way: ratio}, page: page.measure()}"""
    traces, whose, failed = [], {}, set()

    def make(name, kind, *ways):
        traces.append(kind)
        whose.update({way: (name, kind) for way in ways})

    try:
        ours = Ours(place, millions)
        make('cprof', ours, 'index', 'index found', 'first picture', 'first picture, index there', *COMMANDS)
        if tool is not None and millions <= PEERS_UP_TO:
            make('Go', Go(place, millions * MILLION), GO)
        if has_babeltrace and millions <= PEERS_UP_TO:
            lttng = Babeltrace(place, millions * MILLION)
            if lttng.why is None:
                make('lttng', lttng, READ, TEXT)
            else:
                traces.append(lttng)
                note('babeltrace2 has nothing to read: %s' % lttng.why)
        seconds, memory = Rounds(), Rounds()
        ways = [way for way in whose if millions <= UP_TO.get(way, millions)]
        if len(ways) < len(whose):
            note('%d million events are not asked for: %s' % (millions, ', '.join(way for way in whose if way not in ways)))
        rounds = {1: 3, 10: 1}[millions] if is_quick else ROUNDS[millions]
        for number, way in in_turn(ways, rounds):
            if way in failed or (millions > PEERS_UP_TO and way in LONG and number > 0):
                continue
            found = whose[way][1].measure(tool if way == GO else way)
            if isinstance(found, str):
                note(found)
                failed.add(way)
                continue
            seconds.add(way, found[0])
            memory.add(way, found[1])
        ways = [way for way in ways if way not in failed]
        result = {'events': ours.events, 'bytes': ours.bytes, 'index_bytes': ours.index_bytes,
                  'views': of_all(ours.views), 'screens': of_all(ours.screens),
                  'whose': {name: {'events': of.events, 'bytes': of.bytes} for way in ways for name, of in [whose[way]]},
                  'ways': {way: {'s': spread(seconds.values[way]), 'mb': max(memory.values[way]),
                                 'events': whose[way][1].events} for way in ways}, 'against': {}, 'memory': {}}
        for way, peer in AGAINST.items():
            if peer in ways and whose[peer][1].events > 0:
                # for as many events
                scale = whose[peer][1].events / ours.events
                result['against'][way] = [value * scale for value in seconds.ratio(way, peer)]
                result['memory'][way] = result['ways'][way]['mb'] / result['ways'][peer]['mb'] * scale
        if browser is not None:
            result[PAGE] = page.measure(place, ours.path, whose[GO][1].path if GO in ways else None, tool, browser)
        return result
    finally:
        for trace in traces:
            trace.remove()


def part_viewer(place, is_quick):
    """{million events: what measure_size() says}"""
    result, tool, has_babeltrace, browser = {}, Go.tool(place), Babeltrace.is_here(place), page.browser(place)
    only = [int(word) for word in os.environ.get('MILLIONS', '').split()]
    print('\nOpening a trace: seconds, million events a second, peak of memory, against the peer for as many events')
    for millions in SIZES:
        if millions not in only if only else is_quick and millions > PEERS_UP_TO:
            continue
        if millions > PEERS_UP_TO and shutil.disk_usage(place.work).free < FREE_BYTES:
            note('less than %d GB are free in %s: no %d million events' % (FREE_BYTES >> 30, place.work, millions))
            continue
        of = result[str(millions)] = measure_size(place, millions, tool, has_babeltrace, browser, is_quick)
        print('%d million events: %s' % (millions, ', '.join(
            '%s %d in %.1f bytes each' % (name, who['events'], who['bytes'] / max(who['events'], 1))
            for name, who in of['whose'].items())))
        for row in rows_of(of):
            print('  %-28s%12s%12s%12s%24s' % tuple(row))
        print('  %-28s%s' % ('%d views of a page' % VIEWS, views_text(of['views'])))
        print('  %-28s%s' % ('and of a terminal', views_text(of['screens'])), flush=True)
        if PAGE in of:
            print('  in a browser: %s; median / 99 %% / slowest' % ', '.join(page.HEAD[1:]))
            for row in page.rows_of(of[PAGE]):
                print('    %-26s%s' % (row[0], ', '.join(row[1:])))
            print('    %-26s%s' % ('by question', ', '.join('%s %s' % (kind, page.ms_text(ms))
                                                          for kind, ms in of[PAGE]['cprof']['by_kind'].items())), flush=True)
    return result


def seconds_text(s):
    return '%.*f s' % (2 if s >= 1 else 3, s)


def views_text(ms):
    return 'median %.2f ms, 99 %% %.1f ms, slowest %.1f ms' % tuple(ms)


def rows_of(of):
    """[way, seconds, million events a second, MB, ratio]"""
    for way, cell in of['ways'].items():
        s = cell['s'][0]
        reads_all = way in COMMANDS or way in ('index', READ, TEXT)
        against = '-'
        if way in of['against']:
            against = '%s, memory %s' % (ratio_text(of['against'][way][0]), ratio_text(of['memory'][way]))
        yield [way, seconds_text(s), '%.1f' % (cell['events'] / s / MILLION) if reads_all else '-', '%.0f MB' % cell['mb'], against]


def ratio_text(ratio):
    return '%.4f' % ratio if ratio < 0.1 else '%.2f' % ratio


def viewer_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for millions, limit in FIRST_LIMIT.items():
        of = r['viewer'].get(str(millions))
        if of is None:
            continue
        words = 'viewer, %d M events: ' % millions
        beside = ', '.join('%s %.1f s' % (way, of['ways'][way]['s'][0]) for way in (GO, READ, TEXT) if way in of['ways'])
        yield target(words + 'first picture', of['ways']['first picture']['s'][0], limit, beside, unit=' s')
        if 'first picture' in of['against']:
            yield target(words + 'the same against go tool trace', of['against']['first picture'][0], GO_LIMIT, '', 4)
            yield target(words + 'memory against go tool trace', of['memory']['first picture'], GO_MEMORY_LIMIT,
                         '%.0f MB, %.0f MB' % (of['ways']['first picture']['mb'], of['ways'][GO]['mb']), 4)
        if millions > PEERS_UP_TO:
            yield target(words + 'index', of['ways']['index']['s'][0], INDEX_LIMIT, '', 1, unit=' s')
            most = max(of['ways'], key=lambda way: of['ways'][way]['mb'])
            yield target(words + 'resident memory', of['ways'][most]['mb'], MEMORY_LIMIT, 'the most: ' + most, 0, unit=' MB')
            yield target(words + 'slowest of %d views' % VIEWS, of['views'][2], VIEW_LIMIT,
                         'median %.2f ms, 99 %% %.1f ms' % tuple(of['views'][:2]), 1, unit=' ms')
        if PAGE in of:
            cell = of[PAGE]['cprof']
            yield target(words + 'first picture in a browser', cell['first'], limit, beside_page(of), 2, unit=' s')
            for what, of_all_keys in (('', cell['again']), (', while the browser draws', cell['answers'])):
                yield target(words + 'a pan or zoom answered%s, 99 %%' % what, of_all_keys[1], VIEW_LIMIT,
                             'median %.1f ms, slowest %.1f ms' % (of_all_keys[0], of_all_keys[2]), 1, unit=' ms')


def beside_page(of):
    slowest = 'slowest of %d: %.2f s' % (page.FIRSTS, of[PAGE]['cprof']['slowest_first'])
    return '%s; %s %.1f s' % (slowest, GO, of[PAGE][GO]['first']) if GO in of[PAGE] else slowest


def page_viewer(r, table):
    yield '## The viewer\n'
    yield ('Traces of a server that never was (`bench/trace_make.c`): system calls, locks, switches, samples, tasks. The first '
           'picture is `cprof-trace FILE timeline --text` from its start to its end, without an index and with one; the commands '
           'read all events. Beside them, each with a trace of its own of about as many events: Go\'s viewer from its start until '
           'it has sent all that its first page loads (what a browser then does with it is not counted), and babeltrace2, which '
           'reads all of LTTng\'s events and does nothing with them, or prints them, as `events` does. Ratios are for as many '
           'events, in turns; times are medians, memory is the peak. Files are in the page cache.\n')
    for millions, of in r['viewer'].items():
        yield '%s million events: %s; index %.0f MB.\n' % (millions, ', '.join(
            '%s %d in %.1f bytes each' % (name, who['events'], who['bytes'] / max(who['events'], 1))
            for name, who in of['whose'].items()), of['index_bytes'] / 2**20)
        yield table(['', 'time', 'million events a second', 'memory', 'against the peer'], list(rows_of(of)))
        yield ('%d views of all threads, at random places and zooms, from the index, nothing of them kept: %s; as a terminal draws '
               'them: %s.\n' % (VIEWS, views_text(of['views']), views_text(of['screens'])))
        if PAGE not in of:
            continue
        yield ('In a headless Chromium that runs already: from the start of the server to the first picture, all of the trace and every '
               'row in view, without an index, by the clock of the page (median of %d; neither what drives the browser nor its start are in it); and what comes '
               'of keys that pan and zoom, from all of the trace to some microseconds: median / 99 %% / slowest; and the same questions once more by a '
               'client that draws nothing, as the browser takes the processors from the server. Go\'s shows the first of the parts '
               'that it cuts a trace into, and asks nobody for a pan or a zoom.\n' % page.FIRSTS)
        yield table(page.HEAD, list(page.rows_of(of[PAGE])))


def time_groups(r):
    """(heading, target, [(label, seconds, is ours)]) for the picture."""
    for millions, of in r['viewer'].items():
        yield '%s M events' % millions, FIRST_LIMIT.get(int(millions)), [
            (('' if way in (GO, READ, TEXT) else 'cprof, ') + way, of['ways'][way]['s'][0], way not in (GO, READ, TEXT))
            for way in ('first picture', 'index', 'summary', GO, READ, TEXT) if way in of['ways']]


def memory_groups(r):
    for millions, of in r['viewer'].items():
        yield '%s M events' % millions, MEMORY_LIMIT if int(millions) > PEERS_UP_TO else None, [
            (('' if way in (GO, READ) else 'cprof, ') + way, of['ways'][way]['mb'], way not in (GO, READ))
            for way in ('first picture', 'index', 'summary', GO, READ) if way in of['ways']]
