"""The C and C++ files of the tree and what they include."""

import os
import re

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def files(root, suffixes=('.c', '.h', '.cpp', '.hpp')):
    """Paths from @root, without build directories and hidden ones."""
    found = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(d for d in below if not d.startswith('.') and
                          not os.path.isdir(os.path.join(folder, d, 'meson-private')))
        for name in sorted(names):
            if name.endswith(suffixes):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def includes(root, path):
    """(line number, '"' or '<', what is included) of each include line."""
    with open(os.path.join(root, path), encoding='utf-8', errors='replace') as lines:
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1), match.group(2)
