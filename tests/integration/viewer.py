#!/usr/bin/env python3
"""cprof-trace on traces that no recorder wrote: what it prints, what it refuses, and how it ends."""

import csv
import io
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile

import tap

BUILD = os.path.abspath(sys.argv[1])
TRACE = os.path.join(BUILD, 'viewer', 'cprof-trace')
MAKE = os.path.join(BUILD, 'tests', 'programs', 'make_trace')
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden', 'trace-1.0')
BEGUN = 72  # bytes of the file's header

# a shell that starts the tests in the background has it ignored, and so would all programs
signal.signal(signal.SIGINT, signal.default_int_handler)
root = tempfile.mkdtemp(prefix='cprof-trace-test.')
sample = os.path.join(root, 'trace.out')


def run(*args, stdin=None, env=None, **more):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ('NO_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'TMPDIR', 'LD_PRELOAD')}
    environment.update(env or {})
    r = subprocess.run([TRACE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=stdin, env=environment,
                       timeout=300, **more)
    r.text, r.said = r.stdout.decode(errors='replace'), r.stderr.decode(errors='replace')
    return r


def write(name, data):
    path = os.path.join(root, name)
    with open(path, 'wb') as file:
        file.write(data)
    return path


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def lz4(path):
    return subprocess.run(['lz4', '-t', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode


def golden():
    wanted = read(GOLDEN + '.events').decode()
    r = run(GOLDEN + '.out', 'events')
    tap.ok(r.text == wanted and r.returncode == 0 and r.said == '', 'events of the golden trace', r.text + r.said)
    tap.equal(run('events', GOLDEN + '.out').text, wanted, 'SUBCOMMAND FILE is understood, too')
    tap.equal(run('-', 'events', stdin=read(GOLDEN + '.out')).text, wanted, 'through a pipe')
    with open(GOLDEN + '.out', 'rb') as file:
        r = subprocess.run([TRACE, '-', 'events'], stdin=file, stdout=subprocess.PIPE)
    tap.equal(r.stdout.decode(), wanted, 'from standard input that is a file')
    tap.equal(read(sample), read(GOLDEN + '.out'), 'the sample is the golden trace')


def selection():
    def types(*args):
        r = run(sample, 'events', *args)
        return [line.split('  ')[3] for line in r.text.splitlines() if not line.startswith(' ')]

    tap.equal(types('--type', 'lock.*,log'), ['log', 'lock.acquired', 'lock.wait.begin', 'lock.released', 'lock.acquired'],
              '--type')
    tap.equal(len(types('--threads', '4711')), 22, '--threads by id')
    tap.equal(len(types('--threads=worker-1,main')), 32, '--threads by name')
    tap.equal(types('--from', '3.0000011s'), ['sem.wait.end', 'thread.exit', 'task.end', 'process.exit'], '--from')
    tap.equal(types('--from=2.9', '--to', '+100.0006ms'),
              ['clock.sync', 'thread.status', 'status.held', 'status.region', 'lost', 'sem.post', 'futex.wake', 'sample.cpu',
               'sample.wall'], '--to from --from on')
    tap.equal(types('--from', '@request', '--limit', '2'), ['task.begin', 'syscall'], '@TEXT and --limit')
    tap.equal(types('-t', 'thread.exit', '--to', '2026-09-21T14:13:21Z'), ['thread.exit'], 'a wall clock')
    rows = json.loads(run(sample, 'events', '--json', '--stacks').text)
    tap.equal((len(rows), rows[3]['stack'][0], rows[-1]['args']), (44, 'inlined cache.c:12', {'code': -1, 'signal': 9}), 'JSON')
    rows = list(csv.reader(io.StringIO(run(sample, 'events', '--csv').stdout.decode(), newline='')))
    tap.equal((len(rows), {len(r) for r in rows}, rows[0][:3]), (45, {7}, ['time_ns', 'thread', 'tid']), 'CSV')
    tap.equal(json.loads(run(sample, 'events', '--json', '--type', 'once.*').text), [], 'JSON of nothing')
    info = json.loads(run(sample, 'info', '--json').text)
    tap.equal((info['events'], info['pid'], info['complete'], len(info['threads']), info['end']),
              (44, 4711, True, 3, {'reason': 'exited', 'value': 7}), 'info as JSON')
    tap.ok('\x1b' not in run(sample, 'events').text + run(sample).text, 'what a name has for a terminal does not come out')
    tap.ok('server' in run(sample, 'info').text and 'events by type' in run(sample, 'info').text, 'info')


def usage():
    for args, words in (([sample, 'evnts'], ['evnts', 'events']), ([sample, 'events', '--tpye', 'x'], ['--tpye', '--type']),
                        ([sample, 'events', '--type', 'lokc'], ['lokc']), ([sample, 'events', '--from', 'noon'], ['noon']),
                        ([sample, 'events', '--limit', '-3'], ['-3']), ([sample, 'check', '--raw'], ['--raw', 'check']),
                        ([sample, 'repair'], ['-o']), ([sample, 'info', 'x'], ['x']), ([sample, 'check', 'x', 'y'], []),
                        ([], ['usage']), (['check'], ['which trace']), ([sample, '--color', 'red'], ['red', 'never']),
                        ([sample, 'events', '--from', '@nothing'], ['nothing']), ([sample, 'events', '--threads', '('], ['(']),
                        ([sample, 'events', '--limit'], ['--limit', 'N']), ([sample, '--strict=1'], ['--strict'])):
        r = run(*args)
        tap.ok(r.returncode == 2 and r.stdout == b'' and all(w in r.said for w in words),
               'usage: %s' % ' '.join(os.path.basename(a) for a in args), '%d %s' % (r.returncode, r.said))
    for args in (['--help'], ['-h'], ['help'], [sample, 'check', '--help'], ['events', '--help'], ['repair', '-h'], ['--version']):
        r = run(*args)
        tap.ok(r.returncode == 0 and r.stdout and not r.stderr, 'help: %s' % ' '.join(os.path.basename(a) for a in args))
    tap.ok(all(len(line) <= 100 for line in run('events', '--help').text.splitlines()), 'in 100 columns')


def refused():
    whole = read(sample)
    newer = whole[:16] + struct.pack('<H', 3) + whole[18:]
    newer = newer[:68] + struct.pack('<I', crc(newer[8:68])) + newer[72:]
    for data, words in ((b'', ['empty']), (b'x' * 5000, ['no trace', 'offset 0']), (b'\x1f\x8b' + bytes(50), ['gzip']),
                        (newer, ['3.0', 'versions 1 to 2'])):
        path = write('bad', data)
        r = run(path)
        tap.ok(r.returncode == 1 and path in r.said and all(w in r.said for w in words) and r.said.count('\n') == 1,
               'refused: %s' % r.said.strip().replace(root, ''), r.said)
    for path in (os.path.join(root, 'none'), root):
        r = run(path)
        tap.ok(r.returncode == 1 and path in r.said, 'refused: %s' % r.said.strip().replace(root, ''))


def crc(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def damaged():
    whole = read(sample)
    r = run(sample, 'check')
    tap.ok(r.returncode == 0 and 'ok' in r.text and '44 events' in r.text, 'check of a whole trace', r.text)
    tap.equal(run(sample, 'check', '--strict').returncode, 3, 'which tells of events that were lost: --strict')
    at = len(whole) // 2
    path = write('flipped', whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1:])
    r = run(path, 'check')
    tap.ok(r.returncode == 3 and 'offset' in r.text and 'repair' in r.text, 'check of a damaged one', r.text)
    found = json.loads(run(path, 'check', '--json').text)
    tap.ok(found['damaged'] and found['damages'][0]['offset'] <= at <= found['damages'][0]['offset'] +
           found['damages'][0]['bytes'], 'it says where')
    tap.equal(run(path, 'check', '-q').text.count('\n'), 1, '-q is one line')
    for command in ('events', 'info'):
        r = run(path, command)
        tap.ok(r.returncode == 0 and r.stdout and 'damaged' in r.said and 'check' in r.said, '%s warns' % command, r.said)
        r = run(path, command, '-q', '--strict')
        tap.ok(r.returncode == 3 and r.stdout and r.said == '', '%s --strict' % command)
    cut = write('cut', whole[:-60])
    r = run(cut, 'check')
    tap.ok(r.returncode == 3 and 'no end' in r.text, 'check of one that was cut', r.text)
    for name in ('flipped', 'cut'):
        new = os.path.join(root, name + '.new')
        r = run(os.path.join(root, name), 'repair', '-o', new)
        tap.ok(r.returncode == 0 and new in r.said and r.stdout == b'', 'repair: %s' % r.said.strip().replace(root, ''), r.said)
        tap.equal((run(new, 'check').returncode, stat.S_IMODE(os.stat(new).st_mode)), (0, 0o600), 'it is whole, and its owner\'s')
        before, after = run(os.path.join(root, name), 'events').text, run(new, 'events').text
        tap.equal(after, before, 'with the same events')
        tap.ok('repaired' in run(new, 'info').text, 'and says so')
        if shutil.which('lz4'):
            tap.equal(lz4(new), 0, 'lz4 -t has nothing against it')
    tap.equal(read(os.path.join(root, 'cut')), whole[:-60], 'the old one is as it was')
    r = run(cut, 'repair', '-o', '-')
    tap.equal(run('-', 'check', stdin=r.stdout).returncode, 0, 'repair into a pipe')
    r = run('-', 'repair', '-o', os.path.join(root, 'piped'), stdin=whole[:-60])
    tap.equal(run(os.path.join(root, 'piped'), 'check').returncode, 0, 'and out of one')
    # a trace that lost its header
    path = write('headless', bytes(BEGUN) + whole[BEGUN:])
    r = run(path, 'events')
    tap.ok(r.returncode == 0 and r.text.count('\n') == 44, 'without a header, events are there')
    tap.equal(run(path, 'repair', '-o', path + '.new').returncode, 0, 'it can be repaired')
    tap.equal(run(path + '.new', 'check').returncode, 0, 'and is whole')


def outputs():
    there = write('there', b'mine')
    r = run(sample, 'events', '-o', there)
    tap.ok(r.returncode == 1 and read(there) == b'mine' and '-f' in r.said, '-o leaves alone what is there', r.said)
    tap.ok(run(sample, 'events', '-o', there, '-f').returncode == 0 and b'lock.released' in read(there), '-f replaces it')
    r = run(sample, 'repair', '-f', '-o', sample)
    tap.ok(r.returncode == 1 and 'itself' in r.said, 'never in place', r.said)
    os.link(sample, os.path.join(root, 'alias'))
    r = run(sample, 'repair', '-f', '-o', os.path.join(root, 'alias'))
    tap.ok(r.returncode == 1 and read(sample) == read(GOLDEN + '.out'), 'nor by another name')
    r = run(sample, 'events', '-o', os.path.join(root, 'no', 'such'))
    tap.ok(r.returncode == 1 and 'no' in r.said, 'a directory that is not there', r.said)
    target = write('target', b'theirs')
    os.symlink(target, os.path.join(root, 'link'))
    run(sample, 'events', '-f', '-o', os.path.join(root, 'link'))
    tap.equal(read(target), b'theirs', 'nothing is written through a link')
    pipe = os.path.join(root, 'pipe')
    os.mkfifo(pipe)
    r = run(sample, 'events', '-f', '-o', pipe)
    tap.ok(r.returncode == 1 and 'no regular file' in r.said and not os.path.isfile(pipe), 'nor in place of what is no file', r.said)
    tap.equal([n for n in os.listdir(root) if 'part' in n], [], 'nothing is left behind')
    r = run(sample, 'events', env={'CLICOLOR_FORCE': '1'})
    tap.ok('\x1b[1m' in r.text, 'CLICOLOR_FORCE')
    tap.ok('\x1b[1m' not in run(sample, 'events', env={'CLICOLOR_FORCE': '1', 'NO_COLOR': '1'}).text, 'NO_COLOR is stronger')
    tap.ok('\x1b[1m' in run(sample, 'events', '--color=always', env={'NO_COLOR': '1'}).text, '--color is the strongest')
    tap.ok('\x1b' not in run(sample, 'events', '--json', '--color=always').text, 'never in JSON')
    if os.path.exists('/dev/full'):
        with open('/dev/full', 'w') as full:
            r = subprocess.run([TRACE, sample, 'events'], stdout=full, stderr=subprocess.PIPE)
        tap.ok(r.returncode == 1 and b'cannot be written' in r.stderr, 'a full disk is a failure')


def large():
    big = os.path.join(root, 'big')
    subprocess.run([MAKE, 'big', '3000000', '200', big], check=True)
    for args in (['events'], ['events', '--json'], ['events', '--csv']):
        p = subprocess.Popen([TRACE, big, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.readline()
        p.stdout.close()
        status, said = p.wait(timeout=100), p.stderr.read()
        tap.ok(status == 0 and said == b'', 'a closed pipe: %s' % ' '.join(args), said)
    r = run(big, 'check', '--json')
    found = json.loads(r.text)
    tap.equal((r.returncode, found['events'], found['damages']), (3, 3000000, []), 'three million events, and no end')
    lines = 0
    p = subprocess.Popen([TRACE, big, 'events', '-q'], stdout=subprocess.PIPE)
    last, in_order = '', True
    for line in p.stdout:
        at = line[:line.index(b' ')]
        in_order = in_order and (len(last), last) <= (len(at), at) if last else True
        last = at
        lines += 1
    tap.equal((p.wait(), lines, in_order), (0, 3000000, True), 'all of them in order')
    if os.path.exists('/usr/bin/time'):
        r = subprocess.run(['/usr/bin/time', '-f', '%M', TRACE, big, 'events', '-q', '-o', os.path.join(root, 'text')],
                           stderr=subprocess.PIPE)
        tap.ok(int(r.stderr.split()[-1]) < 300 << 10, 'in less than 300 MiB: %d KiB' % int(r.stderr.split()[-1]))
    p = subprocess.Popen([TRACE, big, 'events'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=100)
    tap.ok(p.returncode == 1 and out.endswith(b'\n') and b'interrupted' in err, 'an interrupt ends it with what is known',
           '%d %r' % (p.returncode, err))


def begin():
    subprocess.run([MAKE, 'sample', sample], check=True)


def end():
    shutil.rmtree(root)


tap.run(begin, golden, selection, usage, refused, damaged, outputs, large, end)
