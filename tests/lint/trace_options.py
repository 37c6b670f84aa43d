#!/usr/bin/env python3
"""Is every option and subcommand of cprof-trace --help in its manual and in the completions? trace_options.py ROOT BUILD"""

import os
import re
import subprocess
import sys

import tap

COMPLETIONS = {'cprof-trace.bash': '--%s', '_cprof-trace': '--%s', 'cprof-trace.fish': '-l %s'}


def read(root, *path):
    try:
        with open(os.path.join(root, *path), encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def main():
    root, build = sys.argv[1], sys.argv[2]
    program = os.path.join(build, 'viewer', 'cprof-trace')
    if not os.path.exists(program):
        tap.skip_all('cprof-trace is not built here')

    def help_of(*words):
        return subprocess.run([program, *words, '--help'], check=True, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout

    commands = re.findall(r'^  ([a-z][a-z-]*) ', help_of(), re.MULTILINE)
    # (letter, name, what it takes) of each, by subcommand
    known = {c: re.findall(r'^  (?:-([a-z]),|   ) --([a-z-]+)(?: ([A-Z][A-Z:]*))?(?= )', help_of(c), re.MULTILINE)
             for c in commands}
    options = sorted({name for c in commands for _, name, _ in known[c]} | {'version'})
    tap.point([] if len(commands) > 3 and len(options) > 10 else ['--help has another shape now'], 'the help is read')
    manual = read(root, 'man', 'cprof-trace.1')
    tap.point(['man/cprof-trace.1: no Fl -%s' % o for o in options if not re.search(r'Fl -%s\b' % o, manual)] +
              ['man/cprof-trace.1: no .It Cm %s' % c for c in commands if '.It Cm %s\n' % c not in manual],
              'all of it is in cprof-trace(1)')
    told = re.findall(r'Fl -([a-z][a-z-]+)', manual)
    tap.point(['man/cprof-trace.1: --%s, which --help does not know' % o for o in told if o not in options],
              'and no more')
    forms = {}
    for c in commands:
        for letter, name, takes in known[c]:
            forms.setdefault(name, set()).add((letter, bool(takes)))
            forms.setdefault('-' + letter, set()).add(name)
    tap.point(['%s: %r' % (name, form) for name, form in forms.items() if len(form) > 1 and name != '-'],
              'an option is the same in every subcommand')
    for name, form in COMPLETIONS.items():
        text = read(root, 'completions', name)
        tap.point(['completions/%s: no %s' % (name, o) for o in options if not re.search(re.escape(form % o) + r'\b', text)] +
                  ['completions/%s: no %s' % (name, c) for c in commands if not re.search(r'\b%s\b' % c, text)],
                  'and in ' + name)
    tap.end()


main()
