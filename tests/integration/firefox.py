"""
Reads an export in the form of Firefox's profiler without any of cprof's code, and looks whether it is what that form's types say
(version 58 of the processed profile format).

    p = firefox.Profile(data)
    p.problems          what is not as it should be: [] is right
    p.threads           each: name, tid, markers [Marker], samples [(ns, weight ns, stack)]; stacks are names, root first
"""

import gzip
import json

VERSION = 58
COLOURS = {'transparent', 'purple', 'green', 'orange', 'yellow', 'lightblue', 'blue', 'brown', 'magenta', 'red', 'lightred',
           'darkgrey', 'grey'}
FORMATS = {'url', 'file-path', 'sanitized-string', 'string', 'unique-string', 'flow-id', 'terminating-flow-id', 'duration',
           'time', 'seconds', 'milliseconds', 'microseconds', 'nanoseconds', 'bytes', 'percentage', 'integer', 'decimal',
           'hexadecimal', 'pid', 'tid', 'list'}
PLACES = {'marker-chart', 'marker-table', 'timeline-overview', 'timeline-memory', 'timeline-ipc', 'timeline-fileio',
          'timeline-network', 'stack-chart'}
TABLES = {
    'samples': ['stack', 'time', 'weight', 'threadCPUDelta'],
    'markers': ['data', 'name', 'startTime', 'endTime', 'phase', 'category'],
    'stackTable': ['frame', 'prefix'],
    'frameTable': ['address', 'inlineDepth', 'category', 'subcategory', 'func', 'nativeSymbol', 'innerWindowID', 'line',
                   'column'],
    'funcTable': ['name', 'isJS', 'relevantForJS', 'resource', 'source', 'lineNumber', 'columnNumber'],
    'resourceTable': ['lib', 'name', 'host', 'type'],
    'nativeSymbols': ['libIndex', 'address', 'name', 'functionSize'],
}
META = {'version': int, 'preprocessedProfileVersion': int, 'interval': int, 'startTime': (int, float), 'processType': int,
        'stackwalk': int, 'product': str, 'markerSchema': list, 'categories': list, 'symbolicated': bool, 'sampleUnits': dict}
INSTANT, INTERVAL, BEGIN = 0, 1, 2


def ns(ms):
    return round(ms * 1000000)


class Marker:
    def __init__(self, name, kind, begin, end, category, fields, stack):
        self.name, self.kind, self.begin, self.end, self.category = name, kind, begin, end, category
        self.fields, self.stack = fields, stack


class Thread:
    def __init__(self, name, tid):
        self.name, self.tid, self.markers, self.samples = name, tid, [], []

    def of(self, kind):
        return [m for m in self.markers if m.kind == kind]


class Profile:
    def __init__(self, data):
        self.problems, self.threads = [], []
        if data[4:8] != b'\0\0\0\0':
            self.wrong('the packed file has a time: it differs from one to the next')
        self.whole = json.loads(gzip.decompress(data).decode('utf-8'))
        shared, meta = self.whole['shared'], self.whole['meta']
        self.strings = shared['stringArray']
        self.check(all(isinstance(s, str) for s in self.strings), 'a string is none')
        self.check(set(self.whole) == {'meta', 'libs', 'counters', 'threads', 'shared'}, 'keys %s', sorted(self.whole))
        self.meta(meta)
        sources = shared['sources']
        self.columns('sources', sources, ['uuid', 'filename'])
        self.indices('source file', sources['filename'], len(self.strings))
        for lib in self.whole['libs']:
            self.check(set(lib) == {'arch', 'name', 'path', 'debugName', 'debugPath', 'breakpadId', 'codeId'}, 'library %s', lib)
            self.check(len(lib['breakpadId']) == 33, 'breakpad id %s', lib['breakpadId'])
        for t in self.whole['threads']:
            self.thread(t)
        self.counters = {}
        for c in self.whole['counters']:
            self.counter(c)

    def wrong(self, form, *args):
        if len(self.problems) < 20:
            self.problems.append(form % args)

    def check(self, right, form, *args):
        if not right:
            self.wrong(form, *args)

    def columns(self, name, table, columns):
        n = table['length']
        for column in columns:
            got = table.get(column)
            if not isinstance(got, list) or len(got) != n:
                self.wrong('%s.%s has not %d rows', name, column, n)
        extra = set(table) - set(columns) - {'length', 'weightType'}
        self.check(not extra, '%s has also %s', name, extra)

    def indices(self, name, column, n, otherwise=()):
        for i in column:
            if i in otherwise and not isinstance(i, bool):
                continue
            if type(i) is not int or not 0 <= i < n:
                self.wrong('%s: %r of %d', name, i, n)
                return

    def meta(self, meta):
        for key, kind in META.items():
            self.check(isinstance(meta.get(key), kind), 'meta.%s is %r', key, meta.get(key))
        self.check(meta['preprocessedProfileVersion'] == VERSION, 'version %r', meta['preprocessedProfileVersion'])
        self.check(meta['sampleUnits'] == {'time': 'ms', 'eventDelay': 'ms', 'threadCPUDelta': 'ns'}, 'sampleUnits')
        self.categories = [c['name'] for c in meta['categories']]
        self.check(any(c['color'] == 'grey' for c in meta['categories']), 'there is no default category')
        for c in meta['categories']:
            self.check(c['color'] in COLOURS and c['subcategories'][:1] == ['Other'], 'category %s', c)
        self.schemas = {}
        for s in meta['markerSchema']:
            self.check(s['name'] not in self.schemas, 'schema %s is there twice', s['name'])
            self.schemas[s['name']] = s
            self.check(set(s['display']) <= PLACES and s['display'], 'schema %s: display', s['name'])
            self.check(not set(s) - {'name', 'display', 'fields', 'description', 'isStackBased', 'graphs', 'tableLabel',
                                     'chartLabel', 'tooltipLabel', 'colorField'}, 'schema %s: %s', s['name'], sorted(s))
            for f in s['fields']:
                self.check(f['format'] in FORMATS and set(f) == {'key', 'label', 'format'}, 'field %s', f)
            for g in s.get('graphs', []):
                self.check(g['key'] in [f['key'] for f in s['fields']] and g['type'] in ('bar', 'line', 'line-filled'), 'graph %s', g)

    def thread(self, t):
        for key, kind in (('name', str), ('pid', str), ('tid', int), ('isMainThread', bool), ('processType', str),
                          ('processName', str), ('pausedRanges', list), ('showMarkersInTimeline', bool)):
            self.check(isinstance(t.get(key), kind), 'thread: %s is %r', key, t.get(key))
        for key in ('processStartupTime', 'registerTime'):
            self.check(isinstance(t.get(key), (int, float)), 'thread: %s is %r', key, t.get(key))
        for name, columns in TABLES.items():
            self.columns(name, t[name], [c for c in columns if c != 'threadCPUDelta' or c in t[name]])
        if self.problems:
            return
        strings, frames, functions = len(self.strings), t['frameTable'], t['funcTable']
        stacks, resources, categories = t['stackTable'], t['resourceTable'], len(self.categories)
        self.indices('frame', stacks['frame'], frames['length'])
        for i, prefix in enumerate(stacks['prefix']):
            self.check(prefix is None or 0 <= prefix < i, 'stack %d is called by %r', i, prefix)
        self.check(len(set(zip(stacks['prefix'], stacks['frame']))) == stacks['length'], 'a stack is there twice')
        self.indices('function', frames['func'], functions['length'])
        self.indices('category', frames['category'], categories)
        self.check(all(a >= -1 for a in frames['address']) and all(d >= 0 for d in frames['inlineDepth']), 'frames')
        self.check(all(n is None or n > 0 for n in frames['line']), 'a line')
        self.indices('name', functions['name'], strings)
        self.indices('source', functions['source'], self.whole['shared']['sources']['length'], (None,))
        self.indices('resource', functions['resource'], resources['length'], (-1,))
        self.indices('library', resources['lib'], len(self.whole['libs']))
        self.indices('name', resources['name'], strings)
        self.check(all(k == 1 for k in resources['type']), 'resources')
        if self.problems:
            return
        names = []  # root first
        for frame, prefix in zip(stacks['frame'], stacks['prefix']):
            names.append((names[prefix] if prefix is not None else []) + [self.strings[functions['name'][frames['func'][frame]]]])
        out = Thread(t['name'], t['tid'])
        self.samples(t['samples'], names, out)
        self.markers(t['markers'], names, out)
        self.threads.append(out)

    def samples(self, table, names, out):
        self.indices('stack', table['stack'], len(names), (None,))
        kind = table.get('weightType')
        self.check(kind in ('tracing-ms', 'bytes', 'samples'), 'weightType %r', kind)
        weights = [ns(w) if kind == 'tracing-ms' else w for w in table['weight']]
        last = 0
        for stack, time, weight, cpu in zip(table['stack'], table['time'], weights, table.get('threadCPUDelta', weights)):
            self.check(ns(time) >= last and type(cpu) is int and weight == cpu, 'sample at %r', time)
            last = ns(time)
            out.samples.append((ns(time), cpu, names[stack] if stack is not None else []))

    def markers(self, table, names, out):
        self.indices('name', table['name'], len(self.strings))
        self.indices('category', table['category'], len(self.categories))
        ends, nested = {}, []
        for data, name, begin, end, phase, category in zip(*(table[c] for c in TABLES['markers'])):
            schema = self.schemas.get(data.get('type'))
            if schema is None:
                self.wrong('a marker of type %r', data.get('type'))
                continue
            self.check(type(phase) is int and phase in (INSTANT, INTERVAL, BEGIN), 'phase %r', phase)
            self.check((end is not None) == (phase == INTERVAL), 'phase %r ends at %r', phase, end)
            self.check(begin is not None and begin >= 0 and (end is None or ns(end) >= ns(begin)), '%s: %r to %r', name, begin, end)
            fields, formats = {}, {f['key']: f['format'] for f in schema['fields']}
            for key, value in data.items():
                if key in ('type', 'cause'):
                    continue
                self.check(key in formats and type(value) is int, '%s.%s is %r', schema['name'], key, value)
                if formats.get(key) == 'unique-string':
                    self.indices(key, [value], len(self.strings))
                    value = self.strings[value]
                fields[key] = value
            stack = []
            if 'cause' in data:
                self.indices('cause', [data['cause']['stack']], len(names))
                stack = names[data['cause']['stack']]
            m = Marker(self.strings[name], schema['name'], ns(begin), ns(end) if end is not None else None,
                       self.categories[category], fields, stack)
            out.markers.append(m)
            if phase == INTERVAL:
                self.check(m.kind == 'task' or m.end >= ends.get(m.kind, 0), '%s at %d: out of order', m.name, m.begin)
                ends[m.kind] = m.end
            if schema['isStackBased'] and m.kind != 'state':
                nested.append(m)
        self.nest(nested)
        self.nest([m for m in out.markers if m.kind == 'state'])

    def nest(self, markers):
        open_ = []
        for m in sorted(markers, key=lambda m: (m.begin, -(m.end if m.end is not None else 1 << 62))):
            end = m.end if m.end is not None else 1 << 62
            while open_ and open_[-1] <= m.begin:
                open_.pop()
            self.check(not open_ or end <= open_[-1], '%s %d to %d overlaps another in part', m.name, m.begin, end)
            open_.append(end)

    def counter(self, c):
        self.check(set(c) == {'name', 'category', 'description', 'pid', 'mainThreadIndex', 'samples'}, 'counter %s', sorted(c))
        self.indices('main thread', [c['mainThreadIndex']], len(self.whole['threads']))
        self.columns('counter', c['samples'], ['time', 'count'])
        total, values = 0, []
        for time, count in zip(c['samples']['time'], c['samples']['count']):
            total += count
            values.append((ns(time), total))
        self.check(all(a[0] <= b[0] for a, b in zip(values, values[1:])), 'counter %s goes back', c['name'])
        self.counters[c['name']] = values
