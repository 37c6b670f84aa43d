#!/usr/bin/env python3
"""
cprof symbolize: names for profiles that have addresses alone.

The places are all of a small program's code, compiled here; what is at each is asked of llvm-symbolizer and addr2line. The same places lie at
other addresses, in other mappings, with the program in other files: the answer stays.
"""

import ctypes
import functools
import gzip
import http.server
import os
import re
import shutil
import subprocess
import threading

import profiles_made
import symbols_oracle
import tap
from cprof import Box
from pprof import Profile, message

SOURCE = r'''
#include <stdio.h>
static inline __attribute__((always_inline)) unsigned mix(unsigned a, unsigned b)
{
	return (a ^ b) * 2654435761u;
}
static inline __attribute__((always_inline)) unsigned twice(unsigned a)
{
	return mix(mix(a, 3),
		   a >> 7);
}
__attribute__((noinline)) unsigned work(unsigned n)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += twice(i);
	return sum;
}
namespace ns {
template <class T> struct box {
	__attribute__((noinline)) T get(T t, const char *) { return work(t) + 1; }
};
}
int main(int argc, char **)
{
	ns::box<unsigned> b;
	printf("%u\n", b.get(argc, ""));
	return 0;
}
'''
box = Box()


def at(*names):
    return os.path.join(box.root, *names)


def call(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=box.root).stdout.decode()


def build(name, *flags):
    with open(at('small.cc'), 'w') as f:
        f.write(SOURCE)
    call('g++', '-O2', '-g', '-Wl,--build-id', *flags, '-o', at(name), at('small.cc'))
    return at(name)


def build_id(program):
    return re.search(r'Build ID: (\w+)', call('readelf', '-n', program))[1]


def code_segment(program):
    """offset, vaddr, size of the part that is run."""
    m = re.search(r'LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x\w+ R E', call('readelf', '-lW', program))
    return [int(g, 16) for g in m.groups()]


def places_of(program):
    """Each instruction of what is compiled here."""
    out, places = call('objdump', '-d', '--no-show-raw-insn', program), []
    for name, body in re.findall(r'<(\w+)>:\n((?: .*\n)+)', out):
        if name == 'main' or name.startswith('_Z'):
            places += [int(m, 16) for m, code in re.findall(r'^ +(\w+):(.*)', body, re.MULTILINE)
                       if 'nop' not in code and 'xchg   %ax,%ax' not in code]  # between functions
    return places


def lines_by_addr2line(program, places):
    """Files and lines alone: its name of an inlined function is that of the function around it."""
    done = subprocess.run(['addr2line', '-ai', '-e', program], input='\n'.join('0x%x' % p for p in places), check=True,
                          stdout=subprocess.PIPE, universal_newlines=True)
    answers = []
    for line in done.stdout.splitlines():
        if re.match('0x[0-9a-f]+$', line):
            answers.append([])
        else:
            file, number = re.match(r'(.*):(\d+|\?)', line).groups()
            answers[-1].append((os.path.basename(file), int(number.replace('?', '0'))))
    return answers


def wanted(program, places):
    """What is at each place, innermost first: linker's names, base names of files, lines."""
    return symbols_oracle.answers(['llvm-symbolizer', '--inlines', '--no-demangle', '--functions=linkage'], program, places)


class Bare:
    """A profile of all places of a program, each a sample of its own, without a name."""

    def __init__(self, program, base=None, file=None, flags=0, mapping=None, with_id=True, named=()):
        offset, vaddr, size = code_segment(program)
        self.places = places_of(program)
        page = vaddr & ~0xfff
        base = 0 if base is None else base
        end = (vaddr + size + 0xfff) & ~0xfff
        p = profiles_made.Profile()
        p.sample_type('cpu', 'nanoseconds')
        start, limit, at_offset = mapping or (base + page, base + end, offset & ~0xfff)
        p.mapping(1, start, limit, at_offset, file if file is not None else program, build_id(program) if with_id else '',
                  flags)
        if named:
            p.function(1, 'known')
        for i, place in enumerate(self.places, 1):
            p.location(i, 1, base + place, [(1, 5)] if place in named else [])
            p.sample([i], [i])
        p.header()
        self.path = at('bare.pb.gz')
        p.write(self.path)

    def names(self, *arguments, status=0, env=None):
        """What cprof symbolize makes of it, in the order of the places."""
        out = at('named.pb.gz')
        r = box.command('symbolize', '-o', out, *arguments, self.path, env=env)
        if r.status != status:
            tap.ok(False, 'cprof symbolize %s' % ' '.join(arguments), r.show())
        self.said = r.err
        self.profile = Profile.read(out)
        got = {s.values[0]: s.frames[0][1] for s in self.profile.samples}
        return [[(name, os.path.basename(file), line) for name, file, line in got[i]]
                for i in range(1, len(self.places) + 1)]


def plain(frames):
    """As profiles have names: demangled."""
    table = {'_ZN2ns3boxIjE3getEjPKc': 'ns::box::get', '_Z4workj': 'work', '_ZL3mixjj': 'mix', '_ZL5twicej': 'twice'}
    return [(table.get(name, name), file, line) for name, file, line in frames]


def compare(bare, program, about, *arguments, env=None):
    want = [plain(frames) for frames in wanted(program, bare.places)]
    got = bare.names(*arguments, env=env)
    wrong = [(hex(p), g, w) for p, g, w in zip(bare.places, got, want) if g != w]
    tap.equal(wrong[:3], [], '%s: all %d places as llvm-symbolizer has them' % (about, len(want)))
    return got


def addresses():
    """Where a program lies, and how its file is cut into segments."""
    for about, flags in (('position independent', ('-fPIE', '-pie')), ('at a fixed address', ('-fno-pie', '-no-pie')),
                         ('by lld', ('-fuse-ld=lld',)), ('one segment', ('-Wl,-z,noseparate-code',))):
        try:
            program = build('small', *flags)
        except subprocess.CalledProcessError as e:
            tap.skip(about, e.stdout.decode().splitlines()[0])
            continue
        base = 0 if 'fixed' in about else 0x5555_4321_0000
        got = compare(Bare(program, base), program, about)
        tap.equal([[frame[1:] for frame in frames] for frames in got], lines_by_addr2line(program, places_of(program)),
                  '%s: lines as addr2line has them' % about)
        tap.ok(max(map(len, got)) == 3, '%s: with calls inlined into inlined ones' % about)
        compare(Bare(program, mapping=(0, 0, 0)), program, about + ', addresses of the file itself')
    program = build('small', '-pie')
    bare = Bare(program, 0x7000_0000_0000)
    bare.names()
    tap.equal([(t, u) for t, u in bare.profile.types] + [m['file'] for m in bare.profile.mappings],
              [('cpu', 'nanoseconds'), program], 'all else stays')
    tap.ok('places, in 1 of 1 programs' in bare.said, 'it says how much has names now', bare.said)
    r = box.command('check', at('named.pb.gz'))
    tap.ok(r.status == 0, 'and it is sound', r.show())


def rules():
    """What is left alone, as pprof does."""
    program = build('small', '-pie')
    nothing = [[] for _ in places_of(program)]
    base = 0x5555_0000_0000
    for bit, flag in enumerate(('functions', 'file names', 'line numbers')):
        bare = Bare(program, base, flags=1 << bit)
        tap.equal(bare.names(), nothing, 'a mapping that has %s already' % flag)
    compare(Bare(program, base, flags=7), program, '-force', '-force')
    for file in ('[heap]', '/dev/dri/card0', '/memfd:jit', '//anon', '', 'linux-vdso.so.1'):
        bare = Bare(program, base, file=file)
        tap.equal(bare.names(), nothing, 'no file: %r' % file)
    bare = Bare(program, base, file='http://host/program', with_id=False)
    tap.equal(bare.names(), nothing, 'an address on the net')
    compare(Bare(program, base, file=program + ' (deleted)'), program, 'deleted and there again')
    tap.equal([m['file'] for m in Profile.read(at('named.pb.gz')).mappings], [program], '"(deleted)" is no part of the name')
    other = build('other', '-pie', '-DOTHER')
    call('objcopy', '--remove-section=.note.gnu.build-id', other)
    bare = Bare(program, base, file=shutil.copy('/bin/true', at('replaced')))
    tap.equal(bare.names(), nothing, 'a file with another build id')
    tap.ok('build id' in bare.said and 'replaced' in bare.said, 'it says so', bare.said)
    compare(Bare(program, base, file=at('gone'), with_id=False), program, 'a program before the profile', program)
    # outside of the mapping, or of the file's code
    for mapping in ((base, base + 0x1000, 0), (base, base + 0x100000, 0x10000000)):
        tap.equal(Bare(program, base, mapping=mapping).names(), nothing, 'places that are not in the file: %#x' % mapping[2])
    bare = Bare(program, base, named=set(places_of(program)[5:8]))
    bare.names()
    tap.equal([s for s in bare.profile.samples if s.names == ['known']], [], 'without flags all of a mapping is named anew')


def twins():
    """A place that has no name goes into a mapping that does not say it has some."""
    program = build('small', '-pie')
    offset, vaddr, size = code_segment(program)
    p = profiles_made.Profile()
    p.sample_type('cpu', 'nanoseconds')
    start, limit = 0x10000 + (vaddr & ~0xfff), 0x10000 + ((vaddr + size + 0xfff) & ~0xfff)
    p.mapping(1, start, limit, offset & ~0xfff, program, build_id(program))
    p.location(1, 1, 0x10000 + places_of(program)[0])
    p.location(2, 1, limit - 1)
    p.sample([1, 2], [1])
    p.header()
    p.write(at('bare.pb.gz'))
    r = box.command('symbolize', '-o', at('named.pb.gz'), at('bare.pb.gz'))
    q = Profile.read(at('named.pb.gz'))
    (one, first, _), (two, second, _) = q.samples[0].frames
    tap.ok(first and not second and one != two, 'what has no name is in another mapping', r.show())
    with open(at('named.pb.gz'), 'rb') as f:
        mappings = [message(m) for m in message(gzip.decompress(f.read()))[3]]
    tap.equal([[m.get(flag, [0])[0] for flag in (7, 8, 9, 10)] for m in mappings], [[1, 1, 1, 1], [0, 0, 0, 0]],
              'and only the other one says it has names')


def directories():
    """Where else a file is looked for."""
    program = build('small', '-pie')
    identity, base = build_id(program), 0x5555_0000_0000
    call('objcopy', '--only-keep-debug', program, at('small.debug'))
    keep = shutil.copy(program, at('keep'))
    os.unlink(program)
    layouts = {'.build-id/%s/%s.debug' % (identity[:2], identity[2:]): 'small.debug',
               '%s/%s.debug' % (identity[:2], identity[2:]): 'small.debug', identity + '/debuginfo': 'small.debug',
               identity + '/executable': 'keep', identity + '/small': 'keep', 'small': 'keep', program.lstrip('/'): 'keep'}

    def bare(with_id=True):
        made = Bare.__new__(Bare)
        shutil.copy(keep, program)
        made.__init__(program, base, with_id=with_id)
        os.unlink(program)
        return made

    b = bare()
    tap.ok(b.names() == [[] for _ in b.places] and 'No such file' in b.said, 'a program that is gone', b.said)
    for i, (layout, source) in enumerate(layouts.items()):
        directory = at('symbols%d' % i)
        os.makedirs(os.path.dirname(os.path.join(directory, layout)))
        shutil.copy(at(source), os.path.join(directory, layout))
        compare(bare(), keep, layout.replace(identity, 'ID').replace(identity[2:], 'ID'), '-build-id-dir=' + directory)
    compare(bare(), keep, 'the second directory', '-build-id-dir', at('none'), '--build-id-dir', at('symbols0'))
    compare(bare(with_id=False), keep, 'without a build id, by name', '-build-id-dir', at('symbols5'))
    os.mkdir(at('wrong'))
    shutil.copy('/bin/true', at('wrong', 'small'))
    b = bare()
    tap.equal(b.names('-build-id-dir', at('wrong')), [[] for _ in b.places], 'by name, with another build id')


def servers():
    program = build('small', '-pie')
    identity = build_id(program)
    bare = Bare(program, 0x5555_0000_0000)
    keep = shutil.copy(program, at('keep'))
    os.unlink(program)
    r = box.command('symbolize', '-debuginfod', '-o', at('x'), bare.path, env={'DEBUGINFOD_URLS': ''})
    tap.ok(r.status == 2 and 'DEBUGINFOD_URLS' in r.err and not os.path.exists(at('x')), 'no server is named', r.show())
    try:
        ctypes.CDLL('libdebuginfod.so.1')
    except OSError:
        tap.skip('servers', 'there is no libdebuginfod')
        return
    served = at('served', 'buildid', identity)
    os.makedirs(served)
    shutil.copy(keep, os.path.join(served, 'debuginfo'))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=at('served')))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {'DEBUGINFOD_URLS': 'http://127.0.0.1:%d' % server.server_port, 'DEBUGINFOD_CACHE_PATH': at('cache')}
    tap.equal(bare.names(env=env), [[] for _ in bare.places], 'a server is not asked by itself')
    compare(bare, keep, 'from a server', '-debuginfod', env=env)
    server.shutdown()


def refused():
    for about, arguments, status in (('no profile', ['-o', at('x')], 2), ('an option that is none', ['-build-id', '/'], 2),
                                     ('no such file', ['-o', at('x'), '/nonexistent'], 1)):
        r = box.command('symbolize', *arguments)
        tap.ok(r.status == status and r.err.count('\n') == 1 and not os.path.exists(at('x')), about, r.show())


for tool in ('g++', 'addr2line', 'llvm-symbolizer', 'objcopy'):
    if shutil.which(tool) is None:
        tap.skip_all('there is no ' + tool)
tap.run(addresses, rules, twins, directories, servers, refused, box.close)
