/*
 * The page on a recording with a planted defect, from the server it is made for: what the mock cannot know. CPROF_BUILD is the build
 * directory.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';

const { chromium } = createRequire(path.join(process.env.CPROF_NODE_MODULES, 'x'))('playwright-core');
const BUILD = process.env.CPROF_BUILD;
const VIEWER = path.join(BUILD, 'viewer', 'cprof-trace');
const folder = mkdtempSync(path.join(os.tmpdir(), 'page'));
const trace = path.join(folder, 'lock', 'trace.out');
const environment = { ...process.env, XDG_CACHE_HOME: folder, XDG_RUNTIME_DIR: folder };
let server, browser, page, url = null, why = '';
const problems = [];

/* The URL, alone on a line of stdout; null when the program ends without one. */
function serve() {
	server = spawn(VIEWER, [trace, 'timeline', '--no-open', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
	return new Promise((resolve) => {
		let text = '';

		server.stderr.on('data', (data) => {
			why += data;
		});
		server.stdout.on('data', (data) => {
			text += data;
			if (text.includes('\n'))
				resolve(text.split('\n')[0]);
		});
		server.on('close', () => resolve(null));
	});
}

before(async () => {
	execFileSync(path.join(BUILD, 'cli', 'cprof'), ['run', '-p', 'trace=all', '-o', path.join(folder, 'lock'), '--',
		path.join(BUILD, 'tests', 'programs', 'planted'), 'lock'], { stdio: 'ignore', env: environment });
	url = await serve();
	if (!url)
		return;
	browser = await chromium.launch({ executablePath: process.env.CPROF_CHROMIUM, args: ['--no-sandbox'] });
	page = await browser.newPage({ viewport: { width: 1400, height: 800 } });
	page.setDefaultTimeout(60000); /* for what hangs */
	page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
	page.on('pageerror', (e) => problems.push(String(e)));
	page.on('response', (r) => r.status() >= 400 && problems.push(`${r.status()} ${r.url()}`));
	await page.goto(url);
	await page.waitForSelector('html[data-ready]', { timeout: 60000 });
});

after(async () => {
	await browser?.close();
	server?.kill('SIGINT');
	rmSync(folder, { recursive: true, force: true });
});

/* Without a server there is nothing to test; that it is not there for any other reason is a failure. */
function it(name, check) {
	test(name, async (t) => {
		if (!url && /libmicrohttpd/.test(why)) {
			t.skip('built without a server');
			return;
		}
		assert.ok(url, why);
		await check();
	});
}

const selected = (check, argument) => page.waitForFunction(check, argument, { timeout: 60000 });

it('the cause is told without a click: what was held, and in which function', async () => {
	await page.locator('.finding').first().waitFor({ timeout: 60000 });
	assert.match(await page.locator('.finding').first().textContent(), /of waiting for g_cache, held in\s*evict_all planted_locks\.c:\d+/);
	assert.match(await page.locator('#panel .sentence').textContent(), /waiting for locks$/);
});

it('numbers are those of the command', async () => {
	const rows = JSON.parse(execFileSync(VIEWER, [trace, 'threads', '--json'], { env: environment }));
	const tracks = await page.evaluate(() => window.cprof.tracks.map((x) => [x.tid, x.name, x.states]));

	assert.equal(tracks.length, rows.length);
	for (const row of rows) {
		const [, name, states] = tracks.find(([tid]) => tid === row.tid);

		assert.equal(name, row.name);
		for (const key of Object.keys(row.states))
			assert.equal(states[key], row.states[key], `${name} ${key}`);
	}
});

it('memory is among the numbers over time', async () => {
	await selected(() => window.cprof.summary.rows.some((row) => row.name === 'Resident' && row.values.some((v) => v > 2 ** 20)));
});

it('a wait for the lock, who has it, and who woke it', async () => {
	await page.fill('#query', 'g_cache');
	await page.keyboard.press('Enter');
	await selected(() => window.cprof.selection?.details && window.cprof.selection.span.label === 'g_cache');
	/* one of the long ones, which the evictor makes */
	await page.evaluate(async () => {
		const worker = window.cprof.tracks.find((x) => x.name === 'worker-0');
		const answer = await (await fetch(`api/v1/spans?tracks=${worker.track}&max=4096&from=0&to=${window.cprof.bounds.to}`)).json();
		const long = answer.tracks[0].spans.filter((s) => s.state === 'lock').sort((a, b) => (b.end_ns - b.begin_ns) - (a.end_ns - a.begin_ns))[0];

		window.cprof.actions.selectId(long.id);
	});
	await selected(() => window.cprof.selection?.details?.chain);
	assert.match(await page.locator('#panel .sentence').textContent(), /^worker-0 waited [\d.]+m?s for mutex g_cache/);
	assert.match(await page.locator('#panel').textContent(), /Chainworker-0 waits for mutex g_cache, held by evictor/);
	const track = await page.evaluate(() => window.cprof.selection.details.cause?.from);

	assert.ok(track > 0, 'somebody woke it');
	await page.keyboard.press('[');
	await selected((from) => window.cprof.selection?.track === from, track);
});

it('every table opens, with rows where there are some', async () => {
	for (const name of ['threads', 'locks', 'syscalls', 'tasks', 'regions', 'warnings']) {
		await page.evaluate((n) => {
			document.getElementById('table').replaceChildren();
			window.cprof.drawer.open(n);
		}, name);
		await page.locator(['tasks', 'regions'].includes(name) ? '#table p' : '#table tbody tr').first().waitFor({ timeout: 60000 });
		assert.equal(await page.locator('#table [role=alert]').count(), 0, name);
	}
});

it('the critical path adds up', async () => {
	await page.keyboard.press('Escape');
	await page.keyboard.press('Escape');
	await page.evaluate(() => window.cprof.actions.selectArea({ from: 50e6, to: 150e6, tracks: null }));
	await page.evaluate(() => window.cprof.actions.critical());
	await selected(() => window.cprof.path !== null);
	const [took, sum] = await page.evaluate(() => [window.cprof.path.took, window.cprof.path.segments.reduce((n, s) => n + s.took_ns, 0)]);

	assert.ok(took > 0);
	assert.equal(sum, took);
});

it('what the arrows show is in view', async () => {
	await page.evaluate(() => window.cprof.actions.clear());
	await page.keyboard.press('e');
	await selected(() => window.cprof.loader.edges?.edges.length > 0);
});

it('nothing was said on the console, and nothing refused', async () => {
	assert.deepEqual(problems, []);
});

it('pictures of what is seen at first', async () => {
	const pictures = process.env.CPROF_SCREENSHOTS;

	if (!pictures)
		return;
	mkdirSync(pictures, { recursive: true });
	for (const colorScheme of ['light', 'dark']) {
		const first = await browser.newPage({ viewport: { width: 1400, height: 620 }, colorScheme });

		await first.goto(url);
		await first.locator('.finding').first().waitFor({ timeout: 60000 });
		await first.waitForLoadState('networkidle');
		await first.screenshot({ path: path.join(pictures, `timeline-${colorScheme}.png`) });
		await first.close();
	}
});
