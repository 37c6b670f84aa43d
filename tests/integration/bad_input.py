#!/usr/bin/env python3
"""What cannot work says so in a sentence, with the status that env(1) would give, and leaves nothing behind."""

import glob
import gzip
import os
import shlex
import shutil
import socket
import stat
import time

import tap
from cprof import BUILD, LIBRARY, Box, program, wait_for


def dead_sessions():
    """Session directories of ours that nobody listens in. Other runs of cprof may be under way."""
    dead = []
    for directory in glob.glob('/tmp/cprof-??????'):
        try:
            if os.stat(directory).st_uid != os.geteuid():
                continue
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.join(directory, os.listdir(directory)[0]))
        except (OSError, IndexError):
            dead.append(directory)
    return dead


def none_in_tmp():
    # one that is just coming or going looks dead for a moment
    seen = set(dead_sessions()) - sessions_before
    return not seen or wait_for(lambda: not seen & set(dead_sessions()), 60)


sessions_before = set(dead_sessions())


def refused(box, r, status, words, about):
    """One sentence with each of @words, @status, and no file anywhere."""
    lines = r.err.splitlines()
    tap.equal(r.status, status, '%s: exit status' % about)
    tap.ok(lines and lines[0].startswith('cprof: ') and all(word in r.err for word in words),
           '%s: a sentence that says why' % about, r.show())
    tap.equal(r.out, '', '%s: nothing on stdout' % about)
    made = [p for p in (r.directory,) if p and os.path.lexists(p) and p not in box_made]
    tap.equal((made, box.leftovers()), ([], []), '%s: nothing left behind' % about)
    tap.ok(none_in_tmp(), '%s: nothing in /tmp' % about)


box_made = set()


def specs():
    box = Box()
    for spec, words in (('cup', ['cup', 'cpu']), ('cpu=0', ['cpu', '0']), ('cpu=10001', ['10001', '10000']),
                        ('cpu=fast', ['fast']), ('cpu,depth=x', ['depth']), ('', ['no profile']), ('cpu,,wall', []),
                        ('trace=al', ['trace', 'al']), ('depth=10', ['no profile']), ('cpu,memory=1', ['memory']),
                        ('block=rate:', ['block=rate:NS', 'block=rate:10us']), ('block=rate:0', ['block=rate:0', '1ns', 'block=rate:10us']),
                        ('block=rate:5x', ['block=rate:5x', 'nanoseconds', 'block=rate:10us']),
                        ('block=0', ['block=0', 'unit', 'block=10us']), ('mutex=0', ['mutex=0', '1 to', 'mutex=10']),
                        ('mutex=x', ['mutex=x', 'whole number', 'mutex=10']),
                        ('cpu=100,cpu=200', ['cpu']), ('cpu' * 3000, []), ('cpu,unwind=guess', ['unwind'])):
        refused(box, box.run('nothing', spec=spec), 125, words, '-p %.20s' % (spec or "''"))
    r = box.run('nothing', spec='block=rate:200000')
    tap.equal((r.status, r.out), (0, 'nothing\n'), '-p block=rate:200000, nanoseconds as in Go: %s' % r.err.strip())
    box.close()


def command_line():
    box = Box()
    for argv, words in ((['run'], ['no program']), (['run', '--nonsense', 'true'], ['--help']),
                        (['run', '-o', '', 'true'], ['empty']), (['walk'], ['walk']), ([], []),
                        (['run', '-p'], [])):
        r = box.command(*argv)
        tap.ok(r.status in (2, 125) and all(w in r.err for w in words), 'cprof %s' % ' '.join(argv), r.show())
    r = box.command('run', '--help')
    tap.ok(r.status == 0 and r.err == '' and r.out.startswith('usage: cprof run'), 'cprof run --help', r.show())
    r = box.command('--version')
    tap.ok(r.status == 0 and r.out.startswith('cprof '), 'cprof --version', r.show())
    tap.equal(box.leftovers(), [], 'command lines: nothing left behind')
    box.close()


def programs():
    box = Box()
    plain = os.path.join(box.root, 'plain')
    with open(plain, 'w') as f:
        f.write('not a program\n')
    noexec = os.path.join(box.root, 'noexec')
    shutil.copy(program('nothing'), noexec)
    os.chmod(noexec, 0o644)
    garbage = os.path.join(box.root, 'garbage')
    with open(garbage, 'wb') as f:
        f.write(b'\x7fELF' + bytes(range(256)) * 4)
    os.chmod(garbage, 0o755)
    script = os.path.join(box.root, 'script')
    with open(script, 'w') as f:
        f.write('#!%s\n' % program('nothing_static'))
    os.chmod(script, 0o755)
    lost = os.path.join(box.root, 'lost')
    with open(lost, 'w') as f:
        f.write('#!/nonexistent/interpreter\n')
    os.chmod(lost, 0o755)

    refused(box, box.run('/nonexistent/program'), 127, ['/nonexistent/program', 'no such program'], 'missing program')
    refused(box, box.run('no-such-program-anywhere'), 127, ['$PATH'], 'missing in $PATH')
    refused(box, box.run(plain), 126, ['permission'], 'not executable')
    refused(box, box.run(noexec), 126, ['permission'], 'program without the x bit')
    refused(box, box.run(box.root), 126, ['not a file'], 'directory')
    refused(box, box.run(garbage), 125, [garbage], 'ELF garbage')
    refused(box, box.run('nothing_musl'), 125, ['glibc', 'ld-musl'], 'another C library')
    if program('nothing_static') != 'nothing_static':
        refused(box, box.run('nothing_static'), 125, ['static', '-lcprof'], 'static program')
        refused(box, box.run(script), 125, ['static'], 'script of a static program')
    else:
        tap.skip('static program', 'cannot be linked here')
    r = box.run(lost)
    tap.ok(r.status in (126, 127) and r.err.startswith('cprof: cannot run'), 'script of a missing interpreter', r.show())
    tap.ok(not os.path.exists(r.directory), 'script of a missing interpreter: nothing left behind')
    if os.geteuid() == 0:
        setuid = os.path.join(box.root, 'setuid')
        shutil.copy(program('nothing'), setuid)
        os.chown(setuid, 65534, 65534)
        os.chmod(setuid, 0o4755)
        refused(box, box.run(setuid), 125, ['setuid'], 'setuid program')
    else:
        tap.skip('setuid program', 'only root can make one of another user')
    with open(plain, 'w') as f:
        f.write('echo no magic at all\n')
    os.chmod(plain, 0o755)
    r = box.run(plain)
    tap.equal(r.status, 126, 'file that the kernel refuses (%s)' % r.err.strip())
    box.close()


def outputs():
    box = Box()
    a_file = os.path.join(box.root, 'file')
    with open(a_file, 'w') as f:
        f.write('precious\n')
    box_made.add(a_file)
    refused(box, box.run('nothing', output=a_file), 125, [a_file], 'the output is a file')
    refused(box, box.run('nothing', output=a_file + '/below'), 125, [a_file], 'the output is below a file')
    with open(a_file) as f:
        tap.equal(f.read(), 'precious\n', 'the file is as it was')
    refused(box, box.run('nothing', output='/proc/nothing/here'), 125, ['/proc'], 'the output cannot be made')
    if os.geteuid() == 0:
        closed = os.path.join(box.root, 'closed')
        os.mkdir(closed, 0o555)
        box.publish()
        os.chmod(box.runtime, 0o777)

        def become():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        refused(box, box.run('true', output=os.path.join(closed, 'out'), before=become), 125, ['closed'],
                'no permission to make the output')
    else:
        tap.skip('no permission to make the output', 'needs a second user')
    # a link that somebody put where the file will be is replaced, never followed
    out = os.path.join(box.root, 'linked')
    os.mkdir(out)
    os.symlink(a_file, os.path.join(out, 'cpu.pb.gz'))
    box.cprof = os.path.join(BUILD, 'cli', 'cprof')
    r = box.run('burn', 'split', 50, '0.1', output=out)
    with open(a_file) as f:
        tap.equal(f.read(), 'precious\n', 'a symbolic link is not written through')
    tap.ok(r.status == 0 and not os.path.islink(os.path.join(out, 'cpu.pb.gz')), 'the profile replaces the link')
    tap.equal(stat.S_IMODE(os.stat(os.path.join(out, 'cpu.pb.gz')).st_mode), 0o600, 'it is for its owner only')
    # nor one where a child's directory will be; a link that the user has made and named is his own affair
    elsewhere, mine = os.path.join(box.root, 'elsewhere'), os.path.join(box.root, 'mine')
    os.mkdir(elsewhere)
    os.symlink('elsewhere', mine)
    script = 'for n in 1 2; do ln -s %s %s/burn.$$ && exec %s split 50 0.1; done' % (elsewhere, out, program('burn'))
    r = box.run('sh', '-c', 'sh -c %s; true' % shlex.quote(script), output=out)
    linked = [c for c in r.children() if os.path.islink(os.path.join(out, c))]
    tap.equal((r.status, len(linked), os.listdir(elsewhere)), (0, 1, []), 'a link in the place of a child\'s directory')
    tap.ok(linked and r.profile(linked[0] + '.2').total() > 0, 'its profile is beside it', str(r.children()))
    for path in [os.path.join(out, d) for d in os.listdir(out) if d != 'cpu.pb.gz']:
        os.unlink(path) if os.path.islink(path) else shutil.rmtree(path)
    for name in ('mine', 'mine/below/it'):
        r = box.run('burn', 'split', 50, '0.1', output=os.path.join(box.root, name))
        tap.ok(r.status == 0 and os.path.exists(os.path.join(elsewhere, name[5:], 'cpu.pb.gz')), '-o with an own link',
               r.show())
    if os.geteuid() == 0:
        # whoever may write where we do puts a link there beforehand
        victim, trap = os.path.join(box.root, 'victim'), os.path.join(box.root, 'trap')
        os.mkdir(victim)
        os.symlink(victim, trap)
        os.lchown(trap, 65534, 65534)
        box_made.update((trap, trap + '/'))
        for name in (trap, trap + '/', trap + '/below'):
            refused(box, box.run('nothing', output=name), 125, ['symbolic link', victim], '-o with another\'s link')
        r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu,out=' + trap})
        tap.ok(r.status == 0 and 'symbolic link' in r.err, 'out= with another\'s link', r.show())
        tap.equal(os.listdir(victim), [], 'another\'s link: nothing written')
    else:
        tap.skip('another\'s link', 'needs a second user')
    # a second run into the same directory replaces the first one's files
    first = os.stat(os.path.join(out, 'cpu.pb.gz')).st_ino
    r = box.run('burn', 'split', 50, '0.1', output=out)
    tap.equal((r.status, os.listdir(out)), (0, ['cpu.pb.gz']), 'a second run into the same directory')
    tap.ok(os.stat(os.path.join(out, 'cpu.pb.gz')).st_ino != first, 'its file is the new one')
    box.close()


def full_disk():
    """A file system of one page: the program runs on, the profile is not half-written."""
    box = Box()
    disk = os.path.join(box.root, 'disk')
    os.mkdir(disk)
    script = ('mount -t tmpfs -o size=4k,nr_inodes=20 none "$1" || exit 99; head -c 4096 /dev/zero > "$1/full"; shift; '
              '"$@"; status=$?; find "$(dirname "$6")" -type f; exit $status')
    command = ['unshare', '-m', 'sh', '-c', script, 'sh', disk, box.cprof, 'run', '-p', 'cpu=1000', '-o',
               os.path.join(disk, 'out'), '--', program('burn'), 'split', '50', '0.3']
    r = box.plain(*command)
    if r.status in (99, 1, 127):
        tap.skip('a full disk', 'no permission to mount one')
    else:
        tap.equal(r.status, 0, 'a full disk: the program\'s status')
        tap.ok('No space left on device' in r.err and disk in r.err, 'a full disk: said, with the file\'s name', r.err)
        files = [line for line in r.out.splitlines() if line.startswith('/')]
        tap.equal(files, [os.path.join(disk, 'full')], 'a full disk: nothing half-written')
    tap.equal(box.leftovers(), [], 'a full disk: nothing left behind')
    box.close()


def sessions():
    """No $XDG_RUNTIME_DIR that can be written: /tmp serves."""
    box = Box()
    for value in ('/nonexistent/runtime', '', 'relative', '/proc', '/' + 'x' * 300):
        r = box.run('burn', 'split', 50, '0.1', env={'XDG_RUNTIME_DIR': value})
        tap.ok(r.status == 0 and r.profile().total() > 0, 'XDG_RUNTIME_DIR=%.20s' % value, r.show())
    tap.ok(none_in_tmp(), 'nothing left in /tmp')
    box.close()


def strangers():
    """What no library of ours would say to the launcher: refused, and forgotten, and the program is recorded."""
    box = Box()
    for what in ('two', 'many', 'none', 'short', 'magic', 'text', 'file', 'unsealed', 'huge', 'lies', 'grown', 'empty', 'noise'):
        r = box.run('hostile', what)
        tap.equal((r.status, r.out), (5, '{"kept": 0}\n'), 'hostile, %s: the launcher keeps nothing open' % what)
        tap.ok(r.closing is not None and r.profile().within('burn_a') > 0.15e9,
               'hostile, %s: the program is recorded' % what, r.show())
        tap.ok(len(r.err.splitlines()) <= 5 and all(line.startswith('cprof: ') for line in r.err.splitlines()),
               'hostile, %s: few words' % what, r.err)
        # its senders are processes that may have been sampled, too, once or twice
        tap.equal([c for c in r.children() if r.profile(c).total() > 10e6], [], 'hostile, %s: nothing else written' % what)
    r = box.run('hostile', 'text')
    tap.ok(all(c.isprintable() or c == '\n' for c in r.err), 'hostile, text: nothing for the terminal')
    begun = time.monotonic()
    r = box.run('hostile', 'silent', 200)
    tap.ok(r.status == 5 and r.profile().within('burn_a') > 0.15e9, 'hostile, silent: the program is recorded', r.show())
    tap.between(time.monotonic() - begun, 0, 5, 'hostile, silent: nobody waits for 200 who say nothing, seconds')
    tap.equal(box.leftovers(), [], 'hostile: nothing left behind')
    box.close()


def profiles():
    box = Box()
    good = box.run('burn', 'split', 50, '0.2')
    with open(os.path.join(good.directory, 'cpu.pb.gz'), 'rb') as f:
        whole = f.read()
    raw = gzip.decompress(whole)

    def file(name, data):
        path = os.path.join(box.root, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    bad = {
        'missing file': '/nonexistent/profile', 'directory': box.root,
        'empty file': file('empty', b''), 'truncated file': file('cut', whole[:len(whole) // 2]),
        'gzip of nothing': file('gznone', gzip.compress(b'')), 'text': file('text', b'flat flat% sum%\n' * 50),
        'cut inside': file('cutraw', raw[:len(raw) * 2 // 3]),
        'garbage at the end': file('tail', raw + b'\xff' * 40),
        'a damaged byte': file('flip', whole[:200] + bytes([whole[200] ^ 0x55]) + whole[201:]),
        'an ELF file': program('nothing'),
    }
    for about, path in bad.items():
        for command, status in (('top', 1), ('check', 3)):
            r = box.command(command, path)
            tap.ok(r.status == status and r.err.startswith('cprof: ') and r.out == '',
                   'cprof %s of %s is refused' % (command, about), r.show())
            tap.ok(os.path.basename(path) in r.err and len(r.err.splitlines()) == 1,
                   'cprof %s of %s: one sentence that names it' % (command, about), r.err)
    r = box.command('top', os.path.join(good.directory, 'cpu.pb.gz'))
    tap.ok(r.status == 0 and 'burn_a' in r.out, 'cprof top of the whole file', r.show())
    r = box.command('check', os.path.join(good.directory, 'cpu.pb.gz'))
    tap.equal(r.status, 0, 'cprof check of the whole file (%s)' % (r.out + r.err).strip()[:100])
    box.close()


def environment():
    """A bad CPROF= in the environment of a preloaded program: said once, and the program goes on."""
    box = Box()
    r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu=0'})
    tap.ok(r.status == 0 and r.out == 'nothing\n' and r.err.startswith('cprof: ') and len(r.err.splitlines()) == 1,
           'CPROF=cpu=0', r.show())
    r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY})
    tap.equal((r.status, r.out, r.err), (0, 'nothing\n', ''), 'preloaded without CPROF: nothing happens')
    r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY, 'CPROF': ''})
    tap.equal((r.status, r.out, r.err), (0, 'nothing\n', ''), 'CPROF= is the same')
    r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu,out=/proc/nowhere/%p'})
    tap.ok(r.status == 0 and r.out == 'nothing\n' and 'not written' in r.err, 'out= that cannot be made', r.show())
    r = box.plain('nothing', env={'LD_PRELOAD': LIBRARY, 'CPROF': 'cpu,out=' + os.path.join(box.root, 'late'),
                                  'CPROF_SESSION': '/nonexistent/socket'})
    tap.equal((r.status, r.out, r.err), (0, 'nothing\n', ''), 'a session that has ended')
    tap.ok(not os.path.exists(os.path.join(box.root, 'late')), 'a session that has ended: its directory is not ours')
    tap.equal(box.leftovers(), [], 'environment: nothing left behind')
    box.close()


tap.run(specs, command_line, programs, outputs, full_disk, sessions, strangers, profiles, environment)
