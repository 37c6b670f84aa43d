#!/usr/bin/env python3
"""redis-server under cprof, its load generator at work, and every path of the endpoint asked for meanwhile."""

import os
import re
import shutil
import subprocess
import tempfile
import threading

import tap
from cprof import BUILD, CPROF, LIBRARY, Box, wait_for
from endpoint import BASE, NAMED, SECONDS, Proxy, ask, is_open, pprof, sockets_of
from pprof import Profile
from pprof_rules import problems, unpacked

VIEWER = os.path.join(BUILD, 'viewer', 'cprof-trace')
BINARY = [n + w for n in NAMED + ('threads', 'wall') for w in ('', '?seconds=1')] + \
         ['profile?seconds=2', 'delta_heap', 'delta_block', 'delta_mutex', 'heap?gc=1', '/debug/fgprof?seconds=1']
TEXTS = [n + '?debug=1' for n in NAMED + ('threads', 'wall')] + ['goroutine?debug=2', 'threads?debug=2', '', 'cmdline', 'symbol?0x1']
LOAD = ['-c', '20', '-d', '300', '-P', '4', '-r', '10000', '-t', 'set,get,lpush,lrange_100,mset', '-q']


class Load(threading.Thread):
    """redis-benchmark, again and again until it is enough."""

    def __init__(self, sock):
        super().__init__()
        self.command = ['redis-benchmark', '-s', sock, '-n', '2000', *LOAD]
        self.enough, self.rounds, self.errors = threading.Event(), 0, []

    def run(self):
        while not self.enough.is_set():
            done = subprocess.run(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS)
            self.rounds += 1
            if done.returncode != 0 or done.stderr or b'rror' in done.stdout:
                self.errors.append((done.returncode, done.stdout[-300:], done.stderr[-300:]))
                return


def fetched(address, about):
    for path in BINARY:
        a = ask(address, path if path.startswith('/') else BASE + path)
        wrong = problems(a.body) if a.status == 200 else [a.show()]
        tap.ok(not wrong, '%s: %s' % (about, path), wrong[:3])
        if path.startswith('profile') and not wrong:
            tap.ok(Profile(unpacked(a.body)).total(0) > 0, about + ': and there are samples')
    for path in TEXTS:
        a = ask(address, BASE + path)
        tap.ok(a.status == 200 and a.body, '%s: %s' % (about, path or 'index'), a.show())
    a = ask(address, BASE + 'trace?seconds=1')
    with tempfile.NamedTemporaryFile() as f:
        f.write(a.body)
        f.flush()
        for command in (['check'], ['summary'], ['syscalls']):
            done = subprocess.run([VIEWER, f.name, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            tap.ok(a.status == 200 and done.returncode == 0, '%s: cprof-trace %s of trace' % (about, command[0]),
                   a.show() + done.stdout.decode('utf-8', 'replace')[-300:])


def by_pprof(address, about):
    if shutil.which('go') is None:
        tap.skip(about + ': go tool pprof', 'no go here')
        return
    with Proxy(address) as proxy:
        url = 'http://127.0.0.1:%d%s' % (proxy.port, BASE)
        for options, what in ((['-top', '-seconds', '1'], 'profile'), (['-top'], 'heap'), (['-top', '-sample_index=alloc_space'], 'allocs'),
                              (['-traces'], 'goroutine'), (['-top'], 'block'), (['-top'], 'mutex'), (['-top'], 'allocs?seconds=1'),
                              (['-top', '-base', url + 'heap'], 'heap')):
            status, out, err = pprof(*options, url + what)
            tap.ok(status == 0, '%s: go tool pprof %s %s' % (about, options[0], what), (out + err)[-400:])


def redis(about, is_launched):
    for needed in ('redis-server', 'redis-benchmark', 'redis-cli'):
        if shutil.which(needed) is None:
            tap.skip(about, needed + ' is not installed')
            return
    box = Box()
    sock, out = os.path.join(box.root, 'redis'), os.path.join(box.root, 'out')
    command = ['redis-server', '--port', '0', '--unixsocket', sock, '--save', '', '--appendonly', 'no', '--daemonize', 'no']
    env, address = box.environment(), os.path.join(box.root, 'http')
    if is_launched:
        command = [CPROF, 'run', '-p', 'all', '-o', out, '--'] + command
    else:
        env.update(LD_PRELOAD=LIBRARY, CPROF='all,out=%s,http=unix:%s' % (out, address))
    server = subprocess.Popen(command, cwd=box.cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = []
    readers = [threading.Thread(target=lambda f=f: said.append(f.read())) for f in (server.stdout, server.stderr)]
    for reader in readers:
        reader.start()
    load = Load(sock)
    try:
        there = wait_for(lambda: is_open(sock), SECONDS)
        tap.ok(there, about + ': redis answers')
        if is_launched:
            wait_for(lambda: sockets_of(box))
            address = sockets_of(box)[0]
            tap.equal(os.stat(address).st_mode & 0o777, 0o600, about + ': the socket is ours alone')
            tap.equal(os.stat(os.path.dirname(address)).st_mode & 0o777, 0o700, about + ': so is where it lies')
        if tap.ok(wait_for(lambda: is_open(address)), about + ': so does the endpoint'):
            load.start()
            fetched(address, about)
            by_pprof(address, about)
    finally:
        load.enough.set()
        if load.ident is not None:
            load.join()
        subprocess.run(['redis-cli', '-s', sock, 'shutdown', 'nosave'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
        for reader in readers:
            reader.join()
    tap.ok(load.rounds > 0 and not load.errors, '%s: redis-benchmark saw no error, %d times' % (about, load.rounds), load.errors)
    tap.equal(server.returncode, 0, about + ': redis ends well')
    text = b''.join(said).decode('utf-8', 'replace')
    ours = [l for l in text.splitlines() if l.startswith('cprof: ') and not re.search(r' lost|written|wrote|next', l, re.I)]
    tap.equal(ours, [], about + ': cprof has nothing to say but its closing line')
    tap.equal([f for f in box.leftovers() if 'sock' in f], [], about + ': no socket is left')
    box.close()


def launched():
    redis('cprof run', True)


def in_process():
    redis('http=unix', False)


tap.run(launched, in_process)
