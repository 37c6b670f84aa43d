#!/usr/bin/env python3
"""cprof-trace timeline --html: what is written, by whose rules, what stands in it, and where --at and --select open a page. Whether the
page works is for tests/page/file.test.mjs."""

import base64
import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

import tap

BUILD = os.path.abspath(sys.argv[1])
TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
DATA = re.compile(rb'<script type="application/octet-stream" id="([^"]+)">([^<]*)</script>')

root = tempfile.mkdtemp(prefix='cprof-html-test.')


def made(name, *what):
    path = os.path.join(root, name)
    subprocess.run([MAKE, *what, path], check=True)
    return path


sample = made('trace.out', 'timeline')


def run(*args, env=None):
    e = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY', 'SSH_CONNECTION', 'LD_PRELOAD')}
    e.update(XDG_CACHE_HOME=os.path.join(root, 'cache'), TMPDIR=root)
    e.update(env or {})
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=e, timeout=300)
    r.said = r.stderr.decode()
    return r


def page(trace, *options):
    path = os.path.join(root, 'page.html')
    r = run(trace, 'timeline', '--html', path, '-f', *options)
    if r.returncode != 0:
        tap.ok(False, 'a page is written', r.said)
    with open(path, 'rb') as file:
        return file.read()


def kept(text):
    return json.loads(gzip.decompress(base64.b64decode(dict(DATA.findall(text))[b'kept'])))


def files():
    before = os.umask(0)
    os.umask(before)
    path = os.path.join(root, 'new.html')
    r = run(sample, 'timeline', '--html', path)
    tap.ok(r.returncode == 0 and r.stdout == b'' and 'has all 133 intervals' in r.said, 'it is written, and says what is in it', r.said)
    tap.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, 'for its owner')
    with open(path, 'rb') as file:
        first = file.read()
    r = run(sample, 'timeline', '--html', path)
    tap.ok(r.returncode == 1 and 'is there already' in r.said, 'what is there stays', r.said)
    r = run(sample, 'timeline', '--html', path, '-f', '-q')
    tap.ok(r.returncode == 0 and r.said == '', '-f replaces it, -q says nothing', r.said)
    with open(path, 'rb') as file:
        again = file.read()
    same = [re.sub(rb'(nonce[-=]"?)[0-9a-f]{32}', rb'\1', text) for text in (first, again)]
    tap.ok(first != again and same[0] == same[1], 'the same twice, but for the number that scripts are known by')
    r = run(sample, 'timeline', '--html', '-')
    tap.ok(r.returncode == 0 and r.stdout.startswith(b'<!doctype html>') and r.stdout.endswith(b'</html>\n'), '- is standard output',
           r.said)
    r = run(sample, 'timeline', '--html', sample, '-f')
    tap.ok(r.returncode == 1 and 'the trace itself' in r.said, 'never over the trace', r.said)
    link = os.path.join(root, 'link.html')
    os.symlink(os.path.join(root, 'other.html'), link)
    run(sample, 'timeline', '--html', link, '-f')
    tap.ok(not os.path.islink(link) and not os.path.exists(os.path.join(root, 'other.html')), 'nor through a link')
    r = run(sample, 'timeline', '--html', os.path.join(root, 'small.html'), '--html-size', '50k')
    tap.ok(r.returncode == 1 and '--html-size is too little' in r.said, 'a bound that cannot be kept', r.said)
    left = [name for name in os.listdir(root) if name not in ('trace.out', 'cache', 'new.html', 'link.html')]
    tap.equal(left, [], 'nothing is left beside')


def refused():
    for words, says in ((('--html', 'x', '--text'), 'not for --text'), (('--at', '1s', '--interactive'), 'not for --text'),
                        (('--html', 'x', '--html-size', '0'), 'a size was expected'),
                        (('--html', 'x', '--html-size', '20q'), 'a size was expected'),
                        (('--html', 'x', '--html-size', '99999999999999999999g'), 'a size was expected'),
                        (('--html', 'x', '--at', '500s'), 'the trace is from'), (('--html', 'x', '--at', 'soon'), ''),
                        (('--html', 'x', '--select', '1s'), 'A..B was expected'),
                        (('--html', 'x', '--select', '2s..1s'), 'behind the first'),
                        (('--html', 'x', '--select', '900s..+1s'), 'the trace is from'),
                        (('--html', 'x', '--open', '--no-open'), 'one of them'), (('--html', 'x', '-o', 'y'), '-o are for'),
                        (('--html', ''), '')):
        r = run(sample, 'timeline', *words)
        tap.ok(r.returncode in (1, 2) and says in r.said and r.said != '', 'refused: ' + ' '.join(words), r.said)


def opens():
    for words, fragment in (((), ''), (('--from', '1s'), ''), (('--at', '2.4s'), 't=2376000000ns+48000000ns&marks=2400000000ns'),
                            (('--select', '1s..+500ms'), 't=950000000ns+600000000ns&area=1000000000ns+500000000ns'),
                            (('--select', '1s..1.5s', '--at', '1.2s'),
                             't=1176000000ns+48000000ns&area=1000000000ns+500000000ns&marks=1200000000ns'),
                            (('--select', '1s..1.5s', '--from', '500ms', '--to', '2s'),
                             't=500000000ns+1500000000ns&area=1000000000ns+500000000ns')):
        said = kept(page(sample, *words))
        tap.equal(said['fragment'], fragment, 'where it opens: ' + ' '.join(words))
    meta = kept(page(sample, '--from', '1s', '--to', '2s'))['answers']['meta']
    tap.equal((meta['from_ns'], meta['to_ns']), (10 ** 9, 2 * 10 ** 9), '--from and --to')
    r = subprocess.Popen([TRACE, sample, 'timeline', '--no-open', '--at', '2.4s'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(os.environ, XDG_CACHE_HOME=os.path.join(root, 'cache')))
    url = r.stdout.readline().decode()
    r.terminate()
    said = r.communicate()[1].decode()
    if 'libmicrohttpd' in said:
        tap.skip('a URL', 'built without a server')
    else:
        tap.ok(url.endswith('/#t=2376000000ns+48000000ns&marks=2400000000ns\n'), 'the URL of a server has it, too', url + said)


def contents():
    text = page(sample)
    said = kept(text)
    for name, words in (('threads', ()), ('locks', ()), ('locks?by=holder', ('--by', 'holder')), ('syscalls', ()), ('tasks', ()),
                        ('regions', ()), ('summary', ()), ('critical-path', ())):
        want = json.loads(run(sample, name.split('?')[0], '--json', *words).stdout)
        tap.equal(said['answers']['table/' + name], want, 'the table of ' + name)
    data = dict(DATA.findall(text))
    tap.equal(sorted(data), [b'kept'] + [b'kept-%d' % i for i in range(said['chunks'])], 'chunks')
    pieces = [gzip.decompress(base64.b64decode(data[b'kept-%d' % i])) for i in range(said['chunks'])]
    tap.ok(all(place[2] < len(pieces[place[1]]) for place in said['tracks']), 'each track has its place in one')
    bare = DATA.sub(b'', text)
    tap.ok(not re.search(rb'\b(src|href)="(?!data:)', bare) and not re.search(rb'url\(|@import|https?:', bare.split(b'<script')[0]),
           'nothing in it is elsewhere')
    tap.equal(len(re.findall(rb'<script', bare)), 1, 'and one script')
    names = made('names.out', 'names')
    hostile = DATA.sub(b'', page(names))
    tap.equal(re.sub(rb'[0-9a-f]{32}', b'', hostile), re.sub(rb'[0-9a-f]{32}', b'', bare), 'names of a trace stand nowhere but in the data')
    empty = kept(page(made('empty.out', 'empty')))
    tap.equal((empty['intervals'], empty['tracks'], empty['chunks']), (0, [], 0), 'a trace without anything')
    threads = page(made('threads.out', 'threads', '300'))
    tap.equal(len(kept(threads)['tracks']), 300, 'many threads')


def end():
    shutil.rmtree(root)


tap.run(files, refused, opens, contents, end)
