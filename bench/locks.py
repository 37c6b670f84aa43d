"""What a lock costs: plain, with cprof there and off, with its block and mutex profiles, and beside lttng-ust's wrapper."""

import os
import shutil
import subprocess

from place import library, note
from rounds import Rounds, in_turn, run

# words, arguments, limit by way
LOADS = (
    ('one thread', ['pair', 400000], {'off': 1.2, 'block, mutex': 1.35}),
    ('2 threads that contend', ['contended', 2, 40000], {}),
    ('8 threads that contend', ['contended', 8, 10000], {}),
)
WRAPPERS = ('liblttng-ust-pthread-wrapper.so.1', 'liblttng-ust-pthread-wrapper.so.0')
PEERS = ('lttng, idle', 'lttng, recording')


class Lttng:
    """A session of the user's own, where the daemon may run."""

    def __init__(self, place, wrapper):
        self.home = place.new()
        os.mkdir(self.home)
        self.env = {'LTTNG_HOME': self.home, 'HOME': self.home, 'LD_PRELOAD': wrapper}
        self.env_of_tools = {**os.environ, 'LTTNG_HOME': self.home, 'HOME': self.home}
        self.daemon = None

    def call(self, *words):
        return subprocess.run(['lttng', '--no-sessiond'] + list(words), env=self.env_of_tools,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)

    def start(self):
        """None, or why there is none."""
        if shutil.which('lttng') is None or shutil.which('lttng-sessiond') is None:
            return 'lttng-tools is not installed'
        self.daemon = subprocess.Popen(['lttng-sessiond', '--no-kernel'], env=self.env_of_tools,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if self.call('list').returncode == 0:
                break
            if self.daemon.poll() is not None:
                return 'lttng-sessiond does not run here'
            subprocess.run(['sleep', '0.1'])
        for words in (['create', 'bench', '--output', self.home + '/trace'],
                      ['enable-channel', '--userspace', '--num-subbuf=8', '--subbuf-size=1M', 'c'],
                      ['enable-event', '--userspace', '--channel', 'c', 'lttng_ust_pthread:*'], ['start']):
            done = self.call(*words)
            if done.returncode != 0:
                return 'lttng %s: %s' % (words[0], done.stdout.decode().strip().splitlines()[-1:])
        return None

    def stop(self):
        if self.daemon is None:
            return
        self.call('destroy', '--all')
        self.daemon.terminate()
        try:
            self.daemon.wait(20)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()


def measure(place, way, arguments, lttng):
    """Nanoseconds a pair."""
    env, before, out = {}, [], None
    if way == 'off':
        env = {'LD_PRELOAD': place.library}
    elif way == 'block, mutex':
        out = place.new()
        before = [place.cprof, 'run', '-p', 'block,mutex', '-o', out, '--']
    elif way == 'lttng, idle':
        # no daemon at its home: registered nowhere, and not waited for
        env = {'LD_PRELOAD': lttng['wrapper'], 'LTTNG_HOME': '/nonexistent', 'HOME': '/nonexistent',
               'LTTNG_UST_REGISTER_TIMEOUT': '0'}
    elif way == 'lttng, recording':
        env = lttng['session'].env
    said = run(before + [place.program('locks')] + arguments, env, cpu=0 if arguments[0] == 'pair' else None)
    if out:
        shutil.rmtree(out, ignore_errors=True)
    return float(said.split()[0])


def part_locks(place, is_quick):
    """{words: {way: {ns, ratio: [median, low, high]}}}"""
    ways = ['none', 'off', 'block, mutex']
    wrapper = next(filter(None, map(library, WRAPPERS)), None)
    lttng = {'wrapper': wrapper}
    if wrapper is None:
        note('liblttng-ust-pthread-wrapper.so is not installed: lttng is left out')
    else:
        ways.append('lttng, idle')
        lttng['session'] = Lttng(place, wrapper)
        why = lttng['session'].start()
        if why is None:
            ways.append('lttng, recording')
        else:
            note('lttng records nothing here (%s): its wrapper is measured idle only' % why)
    ways.append('none again')
    result = {}
    print('\nA lock and an unlock, ns (ratio to none in the same round, middle half of the rounds)')
    try:
        for words, arguments, _ in LOADS:
            values = Rounds()
            arguments = arguments[:-1] + [arguments[-1] // (5 if is_quick else 1)]
            for _, way in in_turn(ways, 5 if is_quick else 15):
                slow = 10 if way in PEERS else 1
                values.add(way, measure(place, way, arguments[:-1] + [arguments[-1] // slow], lttng))
            result[words] = {way: {'ns': values.median(way), 'ratio': values.ratio(way, 'none')} for way in ways}
            print(words)
            for way, cell in result[words].items():
                print('  %-20s %9.1f ns   x %.3f  [%.3f .. %.3f]' % (way, cell['ns'], *cell['ratio']))
    finally:
        if 'session' in lttng:
            lttng['session'].stop()
    return result


def locks_targets(r, target):
    """Yields target(work, measured, limit, peer, digits) for each promise."""
    for words, _, limits in LOADS:
        of = r['locks'].get(words)
        if of is None:
            continue
        beside = ', '.join('%s %.1f' % (way, of[way]['ratio'][0]) for way in PEERS + ('none again',) if way in of)
        for way, limit in limits.items():
            yield target('lock and unlock, %s, %s' % (words, way), of[way]['ratio'][0], limit, beside, 3)


def page_locks(r, table):
    yield '## Locks\n'
    yield ('A lock and an unlock of a mutex against the same program alone, median of the rounds (their middle half), and '
           'the median time. Off: preloaded, and nothing asked for. The peer is lttng-ust\'s wrapper of the same functions, '
           'with nobody who records and with a session that does.\n')
    ways = list(dict.fromkeys(way for of in r['locks'].values() for way in of))
    yield table(['against none'] + list(r['locks']),
                [[way] + ['%.2f (%.2f to %.2f), %.1f ns' % (*of[way]['ratio'], of[way]['ns']) if way in of else '-'
                          for of in r['locks'].values()] for way in ways])


def locks_groups(r):
    """(heading, target, [(label, ratio, is ours)]) for the picture."""
    for words, _, limits in LOADS:
        of = r['locks'].get(words)
        if of is not None:
            yield words, limits.get('block, mutex'), [
                (way if way in PEERS + ('none again',) else 'cprof, ' + way, cell['ratio'][0], way in ('off', 'block, mutex'))
                for way, cell in of.items() if way != 'none']
