#!/usr/bin/env python3
"""
What README shows of sentences is what a program says of itself: they have the form of viewer/sentence.c and cmd_chain.c, and name no
function of a library that only does the waiting. Its pictures are there.

    sentences.py SOURCE
"""
import os
import re
import sys

import tap

DURATION = r'(\d+ns|\d+(\.\d+)?(us|ms|s))'
FORMS = re.compile(
    r'\S+ (waited|spun) %(d)s( for .+)?(, held by \S+)?, at .+'
    r'|\S+ was %(d)s in \w+( of \d+:\S+)?, at .+'
    r'|\S+ waits( %(d)s)? for .+ at .+, held by .+'
    r'|\S+ wants a processor since %(d)s, (it was preempted|woken by \S+)'
    r'|\S+ goes on %(d)s later: .+' % {'d': DURATION})
WAITERS = re.compile(r'\bat (__|pthread_|futex_|lll_|sem_|uv_|std::|clock_nanosleep|fdatasync|fsync|read|write|poll|epoll_)')
VERBS = re.compile(r'^\S+ (waited|spun|was|waits|wants|goes on) .*\b%s' % DURATION)


def sentences(text):
    """Indented blocks; a line that is indented more goes on with the one before it, as the summary breaks them."""
    found = []
    for line in re.findall(r'^    (.*)$', text, re.M):
        line = line.replace('WORST WAIT  ', '')
        if VERBS.match(line):
            found.append(line)
        elif found and re.match(r'    \S', line) and not line.strip().startswith('cprof-trace') and found[-1].endswith(' at'):
            found[-1] += ' ' + line.strip()
    return found


def main():
    root = sys.argv[1]
    with open(os.path.join(root, 'README.md')) as file:
        text = file.read()
    found = sentences(text)
    tap.point([] if found else ['README.md has none'], 'there are sentences')
    tap.point([line for line in found if not FORMS.fullmatch(line)], 'they have the form of what is said')
    tap.point([line for line in found if WAITERS.search(line)], 'and say where in the program')
    tap.point([path for path in re.findall(r'(?:src|srcset)="([^"]+)"', text)
               if not os.path.exists(os.path.join(root, path))], 'its pictures are there')
    tap.end()


main()
