"""
What tests of pages need: packages of npm, and a browser.

    modules = browser.modules('speedscope')    the directory that has node_modules, or None
    browser.missing                            why it is None

    browser.py BUILD NAME…                     prints that directory, or nothing

They are installed into the build directory, once. Versions are these, so that a new one somewhere breaks nothing here.
"""

import fcntl
import os
import shutil
import subprocess
import sys

from cprof import BUILD

PACKAGES = {'speedscope': '1.25.0', 'ajv': '8.20.0', 'playwright-core': '1.65.1'}
PLACE = os.path.join(BUILD, 'tests', 'npm')

missing = None


def _has(name):
    path = os.path.join(PLACE, 'node_modules', name, 'package.json')
    if not os.path.exists(path):
        return False
    with open(path) as file:
        return '"version": "%s"' % PACKAGES[name] in file.read()


def modules(*names):
    global missing
    for program in ('node', 'npm'):
        if not shutil.which(program):
            missing = 'there is no ' + program
            return None
    os.makedirs(PLACE, exist_ok=True)
    with open(os.path.join(PLACE, 'lock'), 'w') as lock:  # tests run beside each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(_has(name) for name in names):
            try:
                subprocess.run(['npm', 'install', '--prefix', PLACE, '--no-audit', '--no-fund', '--ignore-scripts',
                                '--fetch-retries=1', '--fetch-timeout=30000', *('%s@%s' % p for p in PACKAGES.items())],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, cwd=PLACE)
            except subprocess.TimeoutExpired:
                pass
        if not all(_has(name) for name in names):
            missing = 'npm cannot install %s here' % ', '.join(names)
            return None
    return PLACE


def chromium():
    global missing
    for name in ('chromium', 'chromium-browser', 'google-chrome'):
        if shutil.which(name):
            return shutil.which(name)
    missing = 'there is no chromium'
    return None


def speedscope_schema(modules, script, files):
    """Applies the schema that speedscope comes with; status 0 when it has nothing against the files. @script is written."""
    with open(script, 'w') as file:
        file.write("const fs = require('fs'), require_ = require('module').createRequire(process.argv[2] + '/'), Ajv = require_('ajv');\n"
                   "const schema = JSON.parse(fs.readFileSync(require_.resolve('speedscope/package.json').replace('package.json',"
                   " 'dist/release/file-format-schema.json')));\n"
                   "const ajv = new Ajv({strict: false}), validate = ajv.compile(schema);\n"
                   "for (const f of process.argv.slice(3)) {\n"
                   "  if (!validate(JSON.parse(fs.readFileSync(f)))) { console.log(f, validate.errors.slice(0, 3)); process.exit(1); }\n"
                   "}\n")
    return subprocess.run(['node', script, modules, *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


if __name__ == '__main__':
    print(modules(*sys.argv[2:]) or '')
