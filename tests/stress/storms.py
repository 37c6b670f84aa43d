#!/usr/bin/env python3
"""Ten seconds of everything at once at 10 kHz: it ends as it would by itself, and its profile can be read."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

import tap
from cprof import BUILD, PROGRAMS, Box, program

STORM = os.path.join(BUILD, 'tests', 'stress', 'sigstorm')
PLUGINS = [os.path.join(PROGRAMS, 'plugins', 'libplugin_%s.so' % n) for n in ('one', 'two')]


def storm(spec, seconds, launcher=()):
    box = Box()
    r = box.run(STORM, seconds, *PLUGINS, spec=spec, launcher=launcher, timeout=100)
    about = spec + (' without perf' if launcher else '')
    if tap.ok(r.status == 0 and r.own_err == '', '%s: ends well' % about, r.show()):
        truth, p = r.truth, r.profile()
        tap.ok(truth['threads'] > 100 and truth['opened'] > 20 and truth['forks'] > 20, '%s: there was a storm' % about)
        tap.ok(p.total() > 0.5e9, '%s: a profile' % about, '%d ns' % p.total())
        tap.note('%s; %s; %.3f %% truncated; %s' % (r.out.strip(), r.err.strip().splitlines()[-1][:80],
                                                    100 * p.truncated(), p.comments))
        check = box.command('check', os.path.join(r.directory, 'cpu.pb.gz'))
        tap.equal(check.status, 0, '%s: cprof check (%s)' % (about, (check.out + check.err)[:200]))
    tap.equal(box.leftovers(), [], '%s: nothing left behind' % about)
    box.close()


def ten_kilohertz():
    storm('cpu=10000', 10)


def one_kilohertz():
    storm('cpu=1000', 5)


def ticks():
    storm('cpu=10000', 5, launcher=[program('noperf')])


def small_memory():
    """A segment that is full soon: samples are lost and counted, nothing breaks."""
    storm('cpu=10000,memory=2m', 4)


tap.run(ten_kilohertz, one_kilohertz, ticks, small_memory)
