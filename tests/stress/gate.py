#!/usr/bin/env python3
"""
The gate on real runs: how often it sees something where nothing has changed, and how often what was planted.

    gate.py BUILD [--pairs N] [--rounds N] [--runs N] [--long N] [--comparisons N]

N pairs of runs of the same program, one file a side, and no more than 5 in 100 may have any function that is said to differ at
alpha 0.05; then two heaps of longer runs, with and without a function that makes the whole 5 % slower, out of which ten a side are
drawn by chance: 95 in 100 must be found, and of as many draws from the first heap alone no more than 5 in 100 may alarm. Not part
of a test suite: it takes half an hour, and what it finds is a matter of chance by itself.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

FAIL_ON = ['-fail-on', 'flat_share>+1pp']


class Gate:
    def __init__(self, args):
        self.args = args
        self.cprof = os.path.join(args.build, 'cli', 'cprof')
        self.program = os.path.join(args.build, 'tests', 'stress', 'gated')
        self.root = tempfile.mkdtemp(prefix='gate')

    def run(self, name, rounds, percent):
        directory = os.path.join(self.root, name)
        subprocess.run([self.cprof, 'run', '-p', 'cpu=1000', '-o', directory, '--', self.program, str(rounds), str(percent)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return os.path.join(directory, 'cpu.pb.gz')

    def diff(self, base, new, *options):
        done = subprocess.run([self.cprof, 'diff', '-json', *options, '-base', *base, '-new', *new],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode not in (0, 1):
            sys.exit('status %d: %s %s' % (done.returncode, done.stdout, done.stderr))
        return done.returncode, json.loads(done.stdout)

    def pairs(self):
        differ = failed = 0
        for i in range(1, self.args.pairs + 1):
            base = self.run('a%d' % i, self.args.rounds, 0)
            new = self.run('b%d' % i, self.args.rounds, 0)
            _, found = self.diff([base], [new])
            status, _ = self.diff([base], [new], *FAIL_ON)
            differ += any(row['verdict'] in ('more', 'less') for row in found['rows'])
            failed += status == 1
            if i % 20 == 0 or i == self.args.pairs:
                print('%d pairs of runs of %.0f samples: %d with a difference (%.1f %%), %d fail %s' %
                      (i, found['base']['samples'], differ, 100 * differ / i, failed, FAIL_ON[1]), flush=True)
        return differ <= 0.05 * self.args.pairs

    def planted(self):
        """What to ask of the program so that it takes 5 % longer here: machines differ in what a step costs."""
        took = {}
        for percent in (0, 20):
            took[percent] = []
            for i in range(5):
                path = self.run('e%d_%d' % (percent, i), self.args.long, percent)
                took[percent].append(self.diff([path], [path])[1]['base']['total'])
        longer = 100 * (sorted(took[20])[2] / sorted(took[0])[2] - 1)
        return 20 * 5 / longer

    def drawn(self):
        percent = self.planted()
        base, new = [], []
        for i in range(self.args.runs):  # in turns: what the machine does meanwhile happens to both
            base.append(self.run('c%d' % i, self.args.long, 0))
            new.append(self.run('d%d' % i, self.args.long, percent))
        alarms = by_chance = named = 0
        chance = random.Random(1)
        for _ in range(self.args.comparisons):
            a, b = chance.sample(base, 10), chance.sample(new, 10)
            status, found = self.diff(a, b, *FAIL_ON)
            alarms += status == 1 and any(r['failed'] and r['function'] == 'lookup' for r in found['rows'])
            named += self.diff(a, b, '-fail-on', 'flat:lookup>+1pp')[0]
            mixed = chance.sample(base, len(base))
            half = min(10, len(base) // 2)
            by_chance += self.diff(mixed[:half], mixed[half:2 * half], '-fail-on', 'flat_share>0%')[0]
        n = self.args.comparisons
        print('%d draws of 10 runs a side (of %d each, %.0f samples, the planted ones %.1f %% longer): what is planted is found in %.1f %% by %s, in %.1f %% by '
              'flat:lookup>+1pp; where nothing is planted, flat_share>0%% fails in %.1f %%' %
              (n, self.args.runs, found['base']['samples'], 100 * (found['new']['total'] / found['base']['total'] - 1), 100 * alarms / n, FAIL_ON[1], 100 * named / n, 100 * by_chance / n))
        return alarms >= 0.95 * n and by_chance <= 0.05 * n


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--pairs', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=10000, help='of a run of a pair')
    parser.add_argument('--runs', type=int, default=40, help='in each heap, 20 or more for ten a side of equals; 0: none')
    parser.add_argument('--long', type=int, default=30000, help='rounds of theirs')
    parser.add_argument('--comparisons', type=int, default=100)
    args = parser.parse_args()
    if 0 < args.runs < 12:
        parser.error('--runs: 12 or more, or 0, were expected')
    gate = Gate(args)
    try:
        is_good = gate.pairs()
        if args.runs > 0:
            is_good &= gate.drawn()
    finally:
        shutil.rmtree(gate.root, ignore_errors=True)
    sys.exit(0 if is_good else 1)


main()
