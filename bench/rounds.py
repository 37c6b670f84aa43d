"""Measuring side by side: variants take turns, and what counts is their ratio in the same round."""

import os
import statistics
import subprocess


class Rounds:
    """Values by variant and round."""

    def __init__(self):
        self.values = {}

    def add(self, name, value):
        self.values.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.values[name])

    def ratio(self, name, *bases):
        """(median, low, high) of @name against the mean of @bases, round by round. The range is the middle half."""
        by_round = zip(self.values[name], *(self.values[base] for base in bases))
        return spread([row[0] * len(bases) / sum(row[1:]) for row in by_round])


def spread(values):
    values = sorted(values)
    quarter = len(values) // 4
    return statistics.median(values), values[quarter], values[-1 - quarter]


def told(words, values, ways):
    """{way: {ns, ratio to none}}, which is printed, too."""
    result = {way: {'ns': values.median(way), 'ratio': values.ratio(way, 'none')} for way in ways}
    print(words)
    for way, cell in result.items():
        print('  %-24s %10.1f ns   x %.3f  [%.3f .. %.3f]' % (way, cell['ns'], *cell['ratio']), flush=True)
    return result


def in_turn(variants, count):
    """Yields (round, variant); every other round runs backwards, so that drift hits all alike."""
    for number in range(count):
        for variant in variants if number % 2 == 0 else reversed(variants):
            yield number, variant


def run(command, env=None, cpu=None, cwd=None):
    """Standard output of a command, pinned to @cpu. Raises when it fails."""
    def pin():
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, **(env or {})}, preexec_fn=pin, check=True, cwd=cwd).stdout.decode(errors='replace')
