#!/usr/bin/env python3
"""An installation somewhere else: its pkg-config file, its library, its programs."""

import os
import shutil
import subprocess
import sys

import tap
from cprof import BUILD, Box
from pprof import Profile

PROGRAM = r'''
#include <cprof/cprof.h>
#include <fcntl.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	volatile unsigned long x = 1;
	int fd = open(argv[1], O_WRONLY | O_CREAT, 0600), r = cprof_cpu_start(fd);
	for (unsigned long i = 0; i < 200000000ul; i++)
		x = x * 3 + i;
	printf("%d %d\n", r, cprof_cpu_stop(fd));
	return 0;
}
'''


def run(*argv, **more):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def find(top, name, below=''):
    for directory, _, files in os.walk(top):
        if name in files and directory.endswith(below):
            return os.path.join(directory, name)
    return None


def install():
    box = Box()
    top = os.path.join(box.root, 'image')
    meson = os.environ.get('MESON') or shutil.which('meson')
    # what is built already is installed; nothing is built here
    done = run(meson, 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', top)
    if not tap.ok(done.returncode == 0, 'meson install', done.stderr.decode()[-500:]):
        return
    pc, header = find(top, 'cprof.pc'), find(top, 'cprof.h')
    cprof, library = find(top, 'cprof', 'bin'), find(top, 'libcprof.so.0')
    tap.ok(all((pc, header, cprof, library)), 'what is needed is there', str((pc, header, cprof, library)))
    trace = find(top, 'cprof-trace', 'bin')
    tap.ok(trace and run(trace, '--version').returncode == 0, 'the installed cprof-trace says its version')
    tap.ok(find(top, 'cprof-trace.out.5') or find(top, 'cprof-trace.out.5.gz'), 'the page of its format is there')
    tap.ok(find(top, 'libcprof-output.so.0') is not None, 'the output library is there')
    headers = [f for _, _, files in os.walk(os.path.join(top)) for f in files if f.endswith('.h')]
    tap.equal(headers, ['cprof.h'], 'one header')
    tap.ok(find(top, 'cprof.1') or find(top, 'cprof.1.gz'), 'a manual page is there')
    box.cprof = cprof
    r = box.run('/bin/sh', '-c', 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done')
    tap.ok(r.status == 0 and r.profile().total() > 20e6, 'the installed cprof runs a program', r.show())
    r = box.command('--version')
    tap.equal(r.status, 0, 'the installed cprof says its version')
    if pc is None or shutil.which('pkg-config') is None:
        tap.skip('pkg-config', 'no pkg-config here')
        return
    env = box.environment({'PKG_CONFIG_PATH': os.path.dirname(pc), 'PKG_CONFIG_SYSROOT_DIR': top,
                           'PKG_CONFIG_ALLOW_SYSTEM_CFLAGS': '1', 'PKG_CONFIG_ALLOW_SYSTEM_LIBS': '1'})
    ask = lambda *what: run('pkg-config', *what, 'cprof', env=env)
    flags = ask('--cflags', '--libs')
    tap.ok(flags.returncode == 0, 'pkg-config finds it', flags.stderr.decode())
    preload = ask('--variable=preload_library').stdout.decode().strip()
    bindir = ask('--variable=bindir').stdout.decode().strip()
    inside = lambda path: path if path.startswith(top) else top + path
    tap.ok(os.path.exists(inside(preload)), 'its preload_library is a file', preload)
    tap.ok(os.path.exists(os.path.join(inside(bindir), 'cprof')), 'its bindir has cprof', bindir)
    source, program = os.path.join(box.root, 'app.c'), os.path.join(box.root, 'app')
    with open(source, 'w') as f:
        f.write(PROGRAM)
    done = run('cc', '-O1', '-g', '-o', program, source, *flags.stdout.decode().split())
    tap.ok(done.returncode == 0, 'a program is built with it', done.stderr.decode())
    file = os.path.join(box.root, 'app.pb.gz')
    done = run(program, file, env=box.environment({'LD_LIBRARY_PATH': os.path.dirname(library)}))
    tap.equal((done.returncode, done.stdout), (0, b'0 0\n'), 'it runs (%s)' % done.stderr.decode().strip())
    tap.ok(os.path.exists(file) and Profile.read(file).total() > 50e6, 'and writes its profile')
    done = run(program, file, env=box.environment({'LD_PRELOAD': inside(preload), 'LD_LIBRARY_PATH': os.path.dirname(library)}))
    tap.equal(done.stdout, b'0 0\n', 'linked and preloaded at once')
    box.close()


tap.run(install)
