#!/usr/bin/env python3
"""Do documents call what is in a trace as tracer/format.h does? trace_names.py ROOT"""

import os
import re
import sys

import tap

BLOCKS = re.compile(r'^enum trace_block_kind \{(.*?)^\};', re.DOTALL | re.MULTILINE)
FLAGS = re.compile(r'TRACE_BLOCK_(\w+) = 1 << (\d+)')


def read(root, *path):
    with open(os.path.join(root, *path), encoding='utf-8') as file:
        return file.read()


def main():
    root = sys.argv[1]
    header = read(root, 'tracer', 'format.h')
    manual, document = read(root, 'man', 'cprof-trace.out.5'), read(root, 'docs', 'trace-format.md')
    events = {name: arguments for name, arguments in
              re.findall(r'X\(\d+, \w+, "([^"]+)", \w+, \d+,\s*((?:(?:\\\s*)?"[^"]*"\s*)+)\)', header.replace('\\\n', ' '))}
    tap.point([] if len(events) > 60 else ['only %d events are found' % len(events)], 'the list of events is read')
    named = set(re.findall(r'`([a-z]+(?:\.[a-z]+)+)`', document)) - {'trace.out'}
    tap.point(sorted(named - set(events)), 'docs/trace-format.md: every event that it names is one')
    rows = re.findall(r'^\| ((?:`[a-z.]+`(?:, )?)+) \| (.*) \|$', document, re.MULTILINE)
    tap.point([name for names, _ in rows for name in re.findall(r'`([a-z.]+)`', names) if name not in events],
              'docs/trace-format.md: its tables, too')
    kinds = re.findall(r'^\tTRACE_BLOCK_(\w+)', BLOCKS.search(header).group(1), re.MULTILINE)
    wanted = ['%d %s' % (i + 1, name.lower()) for i, name in enumerate(kinds) if name != 'KINDS']
    found = re.findall(r'^\.It (\d+ [a-z]+)$', manual, re.MULTILINE)
    tap.point(sorted(set(wanted) ^ set(found)), 'cprof-trace.out(5): kinds of blocks')
    bits = {1 << int(bit) for _, bit in FLAGS.findall(header)}
    said = re.search(r'kind, flags \((.*?)\)', manual).group(1)
    tap.point([str(n) for n in sorted(bits ^ {int(n) for n in re.findall(r'\b\d+\b', said)})], 'cprof-trace.out(5): flags of blocks')
    tap.end()


main()
