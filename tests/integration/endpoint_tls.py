#!/usr/bin/env python3
"""
The endpoint with a token and TLS: for who shows the token and nobody else, by our own client, Go's and a plain one; on this machine's
own address, and in a network of its own at one that others could reach.
"""

import base64
import fcntl
import gzip
import http.client
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading

import tap
from cprof import Box, wait_for
from endpoint import BASE, Ours

TOKEN = 'a secret of more than sixteen letters'
ELSEWHERE = '192.0.2.7'  # of a network that is for examples
INSIDE = 'CPROF_TEST_NETWORK'


def make(box, name, host):
    paths = [os.path.join(box.root, name + end) for end in ('.crt', '.key')]
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-out',
                    paths[0], '-keyout', paths[1], '-subj', '/CN=' + name, '-addext', 'subjectAltName=' + host],
                   stderr=subprocess.DEVNULL, check=True)
    return paths


def written(box, name, text):
    path = os.path.join(box.root, name)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), 'w') as file:
        file.write(text)
    return path


def get(host, port, authority, path, headers=None, seconds=60):
    """(status, headers, body)"""
    context = ssl.create_default_context(cafile=authority)
    c = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    c.request('GET', path, headers=headers or {})
    a = c.getresponse()
    body = a.read()
    c.close()
    return a.status, a.headers, body


BEARER = {'Authorization': 'Bearer ' + TOKEN}
BASIC = {'Authorization': 'Basic ' + base64.b64encode(('anybody:' + TOKEN).encode()).decode()}


def asked(host, server, pair, other, box):
    """All that can be asked of @server at @host."""
    port = server.address
    for about, headers in (('Bearer', BEARER), ('Basic', BASIC)):
        status, _, body = get(host, port, pair[0], BASE + 'heap', headers)
        tap.ok(status == 200 and len(gzip.decompress(body)) > 100, '%s: %s: a profile' % (host, about), (status, body[:100]))
    status, _, body = get(host, port, pair[0], BASE + 'profile?seconds=1', BEARER)
    tap.ok(status == 200 and len(gzip.decompress(body)) > 100, '%s: a window' % host, (status, body[:100]))
    for about, headers in (('no token', {}), ('a wrong one', {'Authorization': 'Bearer ' + TOKEN[:-1]})):
        status, more, body = get(host, port, pair[0], BASE + 'heap', headers)
        tap.ok(status == 401 and more['WWW-Authenticate'] and TOKEN.encode() not in body, '%s: %s: refused' % (host, about), (status, body[:100]))
    try:
        get(host, port, other[0], BASE + 'heap', BEARER)
        is_known = True
    except ssl.SSLError:
        is_known = False
    tap.ok(not is_known, '%s: it proves who it is, by its own certificate' % host)
    with socket.create_connection((host, port), timeout=60) as plain:
        plain.sendall(b'GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' % (BASE.encode() + b'heap', TOKEN.encode()))
        try:
            said = plain.recv(1000)
        except ConnectionError:
            said = b''
        tap.ok(b'200' not in said and b'HTTP' not in said, '%s: without TLS nothing is said' % host, said)
    r = box.command('top', '-tls_ca', pair[0], 'https://x:%s@%s:%d%sprofile?seconds=1' % (TOKEN.replace(' ', '%20'), host, port, BASE))
    tap.ok(r.status == 0 and 'Type: cpu' in r.out and TOKEN not in r.err, '%s: cprof top' % host, r.show())
    r = box.command('top', '-tls_ca', other[0], 'https://x:y@%s:%d%sheap' % (host, port, BASE))
    tap.ok(r.status == 1 and 'is not proved' in r.err, '%s: cprof top, who does not know it' % host, r.show())
    if shutil.which('go'):
        # its own way to fetch knows nothing of -tls_ca
        r = box.plain(shutil.which('go'), 'tool', 'pprof', '-top',
                      'https+insecure://x:%s@%s:%d%sprofile?seconds=1' % (TOKEN.replace(' ', '%20'), host, port, BASE),
                      env=dict(os.environ, HOME=box.root, PPROF_TMPDIR=box.root))
        tap.ok(r.status == 0 and 'Type: cpu' in r.out, '%s: go tool pprof' % host, r.show())


def many(host, server, pair):
    """Some who begin to talk and stop, and others at the same time who want something."""
    stuck, answers = [], []
    for i in range(30):
        s = socket.create_connection((host, server.address))
        s.sendall(bytes.fromhex('16030100f5010000f10303')[:1 + i % 11])
        stuck.append(s)
    workers = [threading.Thread(target=lambda: answers.append(get(host, server.address, pair[0], BASE + 'heap', BEARER)[0])) for _ in range(20)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    tap.equal(answers, [200] * 20, '%s: twenty at once beside thirty who say nothing' % host)
    for s in stuck:
        s.close()
    begun = server.done()[0]
    tap.ok(wait_for(lambda: server.done()[0] > begun + 100), '%s: and the program works on' % host)


def here(host='127.0.0.1'):
    if not shutil.which('openssl'):
        tap.skip('TLS', 'there is no openssl')
        return
    box = Box()
    pair, other = make(box, 'here', 'IP:' + host), make(box, 'other', 'IP:' + host)
    token = written(box, 'token', TOKEN + '\n')
    server = Ours(box, 'cpu,heap=1', 'tcp?token=%s&cert=%s&key=%s' % (token, *pair))
    try:
        asked(host, server, pair, other, box)
        many(host, server, pair)
    finally:
        server.end()
        box.close()


# ---- at an address that others could reach ----

def set_up():
    """A network with nothing but an interface of ours. By ioctl, as there may be no ip(8)."""
    up, address, flags = 0x8914, 0x8916, struct.pack('16sH14x', b'lo', 1 | 64)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, up, flags)
        fcntl.ioctl(s, address, struct.pack('16sHH4s8x', b'lo:1', socket.AF_INET, 0, socket.inet_aton(ELSEWHERE)))


def elsewhere():
    """There it is refused without a token, and with all three it is asked as here."""
    if INSIDE not in os.environ:
        command = ['unshare', '-n' if os.geteuid() == 0 else '-rn', sys.executable, '-B', os.path.abspath(__file__), sys.argv[1], 'elsewhere']
        try:
            done = subprocess.run(command, env=dict(os.environ, **{INSIDE: '1'}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        except FileNotFoundError:
            tap.skip('a network of its own', 'there is no unshare')
            return
        if b'ok 1' not in done.stdout:
            tap.skip('a network of its own', 'it cannot be had here: %s' % done.stderr.decode(errors='replace').strip()[-200:])
            return
        for line in done.stdout.decode(errors='replace').splitlines():
            if line.startswith(('ok ', 'not ok ')):
                tap.ok(line.startswith('ok '), line.split(' - ', 1)[-1])
            elif line.startswith('#'):
                tap.note(line[2:])
        return
    set_up()
    box = Box()
    pair, other = make(box, 'there', 'IP:' + ELSEWHERE), make(box, 'other', 'IP:' + ELSEWHERE)
    token = written(box, 'token', TOKEN + '\n')
    output = os.path.join(box.root, 'refused')
    for about, more in (('nothing', ''), ('a token alone', '?token=' + token), ('TLS alone', '?cert=%s&key=%s' % tuple(pair))):
        r = box.command('run', '-p', 'cpu,http=%s:6443%s' % (ELSEWHERE, more), '-o', output, '--', 'sleep', '1')
        tap.ok('needs ?token=FILE&cert=FILE&key=FILE' in r.err or 'token' in r.err or 'cert' in r.err, '%s with %s: refused' % (ELSEWHERE, about), r.show())
    server = Ours(box, 'cpu,heap=1', 'tcp?token=%s&cert=%s&key=%s' % (token, *pair), ELSEWHERE)
    try:
        asked(ELSEWHERE, server, pair, other, box)
        many(ELSEWHERE, server, pair)
    finally:
        server.end()
        box.close()


tap.run(here, elsewhere)
