#!/usr/bin/env python3
"""Does libcprof.so bring nothing but libc into a host? needed.py BUILD"""

import os
import re
import subprocess
import sys

import tap

ALLOWED = re.compile(r'libc\.so\.6|ld-linux.*\.so\.\d+|ld64\.so\.\d+')
SANITIZER = re.compile(r'lib(a|t|ub|l)san\.so.*|libclang_rt.*')


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
    tap.end()


main()
