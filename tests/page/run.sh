#!/bin/sh
# The page's tests, TAP: tests/page/run.sh units | browser BUILD | server BUILD | file BUILD | flame BUILD | web BUILD. What it takes is looked for; without it the test is skipped
# and says why.
#
#     CPROF_NODE_MODULES=DIR    where playwright-core is; else it is installed into BUILD
#     CPROF_CHROMIUM=FILE       the browser; else chromium of PATH
set -eu

here=$(dirname "$0")
CPROF_CHROMIUM=${CPROF_CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || :)}
export CPROF_CHROMIUM

skip()
{
	echo "1..0 # SKIP $*"
	exit 0
}

node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || skip "node 20 or newer is not there"
if [ "$1" != units ]; then
	[ -n "$CPROF_CHROMIUM" ] || skip "no chromium"
	CPROF_BUILD=$2
	CPROF_NODE_MODULES=${CPROF_NODE_MODULES:-$(python3 -B "$here/../integration/browser.py" "$2" playwright-core)/node_modules}
	[ -d "$CPROF_NODE_MODULES/playwright-core" ] || skip "npm cannot install playwright-core here"
	export CPROF_BUILD CPROF_NODE_MODULES
fi
exec node --test --test-reporter=tap "$here/$1.test.mjs"
