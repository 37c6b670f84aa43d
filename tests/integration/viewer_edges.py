#!/usr/bin/env python3
"""
Who woke whom, as cprof-trace tells it: a thread that polls, on a program that says who wrote when (tests/programs/planted_ready.c), an
event loop of Python's; and its lock, whose waits that time out are none that are woken in vain.
"""

import json
import os
import subprocess
import sys

import tap
import trace_file
import trace_story as story
from cprof import BUILD, Box

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
FIT = 20e3  # ns by which stamps of the counter, fitted to the clock, may be beside it
TURNS = 20
FUTILE = 100  # from as many on there may be a warning

# Two threads that want Python's lock all the time, each for a while: the one without it asks for it every 5 ms.
LOCK = '''
import threading, time
def work(until):
    n = 0
    while time.thread_time() < until:
        for i in range(10000):
            n += i
threads = [threading.Thread(target=work, args=(0.75,)) for _ in range(2)]
for t in threads: t.start()
for t in threads: t.join()
'''

# A loop that sleeps in epoll_wait until another thread calls it. It says where it was each time: asleep, for it answered before.
LOOP = '''
import asyncio, json, os, threading, time
async def main():
    loop, answered, wakes = asyncio.get_running_loop(), threading.Semaphore(0), []
    me, done = threading.get_native_id(), asyncio.Event()
    def is_asleep():
        with open('/proc/self/task/%%d/stat' %% me) as f:
            return f.read().rpartition(')')[2].split()[0] == 'S'
    def other():
        for _ in range(%d):
            while not is_asleep():
                time.sleep(0.001)
            time.sleep(0.005)
            at = time.monotonic_ns()
            time.sleep(0.005)
            loop.call_soon_threadsafe(answered.release)
            wakes.append({'at': at, 'called': time.monotonic_ns()})
            answered.acquire()
        loop.call_soon_threadsafe(done.set)
    t = threading.Thread(target=other)
    t.start()
    await done.wait()
    t.join()
    print(json.dumps({'tid': me, 'other': t.native_id, 'wakes': wakes}))
asyncio.run(main())
''' % TURNS


def rows(path, *args):
    done = subprocess.run([VIEWER, path, *args, '--json'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=300)
    if done.returncode != 0 or done.stderr:
        tap.ok(False, ' '.join(args), done.stderr.decode())
    return json.loads(done.stdout.decode())


def chain(t, path, at, thread):
    """The first step of @thread's at @at, a moment of the program's clock."""
    return rows(path, 'chain', '--at', '%dns' % (at - t.header.monotonic_ns), '--thread', str(thread))[0]


def ready():
    box = Box()
    r = box.run('planted', 'ready', spec='trace=all')
    path, truth = os.path.join(r.directory, 'trace.out'), r.truth
    t = trace_file.read(path)
    tids = {each['name']: each['tid'] for each in truth['threads']}
    for each in truth['wakes']:
        step = chain(t, path, each['at'], tids[truth['woken']])
        about = each['name']
        tap.equal((step['why'], step['by'], step['woken_by']), ('call', truth['waker'], truth['waker']), about + ': who woke it')
        woken = (step['woken_ns'] or 0) + t.header.monotonic_ns
        tap.ok(each['writing'] - FIT <= woken <= each['written'] + FIT, about + ': when', (step, each))
        tap.ok(each['writing'] - FIT <= woken + (step['ran_after_ns'] or 0) <= each['read'] + FIT, about + ': and it ran before it read',
               (step, each))
    box.close()


def event_loop():
    box = Box()
    r = box.run(sys.executable, '-c', LOOP, spec='trace=all')
    path, truth = os.path.join(r.directory, 'trace.out'), r.truth
    t = trace_file.read(path)
    right = 0
    for each in truth['wakes']:
        step = chain(t, path, each['at'], truth['tid'])
        woken = (step['woken_ns'] or 0) + t.header.monotonic_ns
        is_other = (step['woken_by'] or '').endswith('/%d' % truth['other'])
        if step['name'] == 'epoll_wait':
            right += is_other and each['at'] - FIT <= woken <= each['called'] + FIT
        else:
            tap.note(step)
    tap.equal(right, TURNS, 'an event loop: who called it, each time')
    box.close()


def in_vain(t):
    """Who was woken while a third thread was faster: it waits for the same again, and has done nothing but take and free the mutex."""
    n = 0
    for events in story.own(t).values():
        before = None
        for e in events:
            if e.name == 'cond.wait.begin':
                n += before == e['object']
                before = None
            elif e.name == 'cond.wait.end':
                before = e['object'] if e['result'] == 0 else None
            elif e.name != 'lock.held':
                before = None
    return n


def interpreter():
    box = Box()
    r = box.run(sys.executable, '-c', LOCK, spec='trace=all')
    path = os.path.join(r.directory, 'trace.out')
    conditions = [each for each in rows(path, 'locks', '--include-idle', '--limit', '0') if each['kind'] == 'cond' and each['failed'] > 0]
    tap.ok(sum(each['failed'] for each in conditions) > FUTILE, 'the interpreter: waits for its lock whose time is up', conditions)
    tap.equal(sum(each['futile'] for each in conditions), in_vain(trace_file.read(path)),
              'the interpreter: those do not count as woken in vain')
    warnings = [each['id'] for each in rows(path, 'summary')['warnings']]
    tap.ok('CPT-FUTILE-WAKE' not in warnings, 'the interpreter: and no warning', warnings)
    box.close()


tap.run(ready, event_loop, interpreter)
