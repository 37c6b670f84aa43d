#!/usr/bin/env python3
"""Does libcprof.so bring nothing but libc into a host, and is jemalloc our own programs' alone? needed.py BUILD"""

import json
import os
import re
import subprocess
import sys

import tap

ALLOWED = re.compile(r'libc\.so\.6|ld-linux.*\.so\.\d+|ld64\.so\.\d+')
SANITIZER = re.compile(r'lib(a|t|ub|l)san\.so.*|libclang_rt.*')


def needed_by(path):
    text = subprocess.run(['readelf', '--dynamic', '--wide', path], check=True, stdout=subprocess.PIPE,
                          universal_newlines=True).stdout
    return re.findall(r'\(NEEDED\).*\[(.*)\]', text)


def has_jemalloc(build):
    """As meson found it."""
    with open(os.path.join(build, 'meson-info', 'intro-dependencies.json'), encoding='utf-8') as file:
        return any(d['name'] == 'jemalloc' for d in json.load(file))


def check_allocator(build):
    """A library that is loaded into others must not bring an allocator; a program of ours has jemalloc where there is one."""
    with_it = [('cli', 'cprof'), ('viewer', 'cprof-trace')] if has_jemalloc(build) else []
    problems = ['%s: not linked with jemalloc' % name for folder, name in with_it
                if not any('jemalloc' in n for n in needed_by(os.path.join(build, folder, name)))]
    for folder, name in (('preload', 'libcprof.so'), ('endpoint', 'libcprof-output.so')):
        path = os.path.join(build, folder, name)
        if os.path.exists(path):
            problems += ['%s needs %s' % (name, n) for n in needed_by(path) if 'malloc' in n]
    tap.point(problems, 'jemalloc is in our programs, and in no library')


def main():
    library = os.path.join(sys.argv[1], 'preload', 'libcprof.so')
    if not os.path.exists(library):
        tap.skip_all('libcprof.so is not built here')
    try:
        text = subprocess.run(['readelf', '--dynamic', '--wide', library], check=True,
                              stdout=subprocess.PIPE, universal_newlines=True).stdout
    except FileNotFoundError:
        tap.skip_all('readelf is not installed')
    needed = re.findall(r'\(NEEDED\).*\[(.*)\]', text)
    flags = ' '.join(re.findall(r'\(FLAGS(?:_1)?\)(.*)', text))
    if any(SANITIZER.fullmatch(name) for name in needed):
        tap.skip_all('a sanitizer is built in')

    tap.point(['it needs ' + name for name in needed if not ALLOWED.fullmatch(name)], 'libc only')
    # A handler must not look symbols up, and may outlive dlclose().
    tap.point([] if 'NOW' in flags else ['-z now is missing'], 'symbols are bound at load time')
    tap.point([] if 'NODELETE' in flags else ['-z nodelete is missing'], 'it stays loaded')
    tap.point(['text relocations'] if '(TEXTREL)' in text else [], 'its code is shared')
    check_allocator(sys.argv[1])
    tap.end()


main()
