#!/usr/bin/env python3
"""Is every option word, with its default, in the manual and in the completions? options_doc.py ROOT"""

import os
import re
import sys

import tap

ENTRY = re.compile(r'\.name = "([\w.]+)"(.*?)\n\t\}', re.DOTALL)
STANDARD = re.compile(r'\.standard = "([^"]*)"')
COMPLETIONS = ('cprof.bash', '_cprof', 'cprof.fish')


def read(root, *path):
    """The text of a file; a missing one lacks every word."""
    try:
        with open(os.path.join(root, *path), encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def manual_items(text):
    """{word: the text of its item}"""
    items = {}
    for part in text.split('\n.It Cm ')[1:]:
        head, _, body = part.partition('\n')
        items[re.split(r'[^\w.]', head, maxsplit=1)[0]] = head + '\n' + body
    return items


def main():
    root = sys.argv[1]
    words = ENTRY.findall(read(root, 'core', 'option_words.c'))
    tap.point([] if len(words) > 10 else ['the table has another shape now'], 'the table is read')

    items = manual_items(read(root, 'man', 'cprof.7'))
    tap.point(['man/cprof.7: no .It Cm %s' % word for word, _ in words if word not in items],
              'every word is in cprof(7)')
    problems = []
    for word, entry in words:
        standard = STANDARD.search(entry)
        if standard and word in items and standard.group(1) not in items[word]:
            problems.append('man/cprof.7: %s: the default %s is not there' %
                            (word, standard.group(1)))
    tap.point(problems, 'with its default')
    for name in COMPLETIONS:
        text = read(root, 'completions', name)
        tap.point(['completions/%s: no %s' % (name, word) for word, _ in words
                   if not re.search(r'\b%s\b' % re.escape(word), text)], 'every word is in ' + name)
    tap.end()


main()
