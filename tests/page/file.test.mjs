/*
 * The page as a file: cprof-trace FILE timeline --html. Its answers are those of the server, of the same trace and any stretch of it; in a
 * browser without a network it asks nobody, and says what it does not have. CPROF_BUILD is the build directory.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { pathToFileURL } from 'node:url';

import { unmask } from '../../viewer/page/api.js';
import { decode } from '../../viewer/page/tiles.js';

const { chromium } = createRequire(path.join(process.env.CPROF_NODE_MODULES, 'x'))('playwright-core');
const BUILD = process.env.CPROF_BUILD;
const VIEWER = path.join(BUILD, 'viewer', 'cprof-trace');
const folder = mkdtempSync(path.join(os.tmpdir(), 'file'));
const environment = { ...process.env, XDG_CACHE_HOME: folder, XDG_RUNTIME_DIR: folder };
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const servers = [];
let browser, copies = 0;

function dice(s) {
	return (below) => {
		s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
		return Math.floor(s / 2 ** 32 * below);
	};
}

function make(name, what) {
	const trace = path.join(folder, `${name}.out`);

	execFileSync(path.join(BUILD, 'tests', 'programs', 'make_trace'), [what, trace]);
	return trace;
}

function write(trace, ...options) {
	const to = path.join(folder, `page-${++copies}.html`);

	execFileSync(VIEWER, [trace, 'timeline', '--html', to, ...options], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
	return to;
}

/* The module that answers, with a file of its own. */
async function answers(file) {
	const text = readFileSync(file, 'utf8');
	const parts = new Map([...text.matchAll(/<script type="application\/octet-stream" id="([^"]+)">([^<]*)</g)].map(([, id, data]) => [id, data]));
	const kept = await import(`../../viewer/page/kept.js?${path.basename(file)}`);

	globalThis.document = { getElementById: (id) => (parts.has(id) ? { textContent: parts.get(id) } : null) };
	const answering = await kept.file(unmask);

	/* now, for there may be another file later */
	await Promise.all(Array.from({ length: answering.said.chunks }, (_, i) => answering.chunk(i)));
	return answering;
}

/* Asks the server of @trace: (path, parameters) → JSON, tiles(list) */
function serve(trace) {
	const server = spawn(VIEWER, [trace, 'timeline', '--no-open', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'], env: environment });

	servers.push(server);
	return new Promise((resolve, reject) => {
		let text = '';

		server.stdout.on('data', async (data) => {
			text += data;
			if (!text.includes('\n'))
				return;
			const get = (what, o) => fetch(`${text.split('\n')[0]}api/v1/${what}?${new URLSearchParams(o)}`);
			const json = async (what, o = {}) => JSON.parse(unmask(await (await get(what, o)).text()));

			while ((await json('progress')).state !== 'ready')
				await new Promise((r) => setTimeout(r, 20));
			resolve({ json, tiles: async (list) => decode(await (await get('tiles', { list: list.map((t) => `${t.track}.${t.level}.${t.n}`).join(',') })).arrayBuffer()) });
		});
		server.on('close', () => reject(new Error('there is no server')));
	});
}

async function open(file, hash = '', options = {}) {
	const context = await browser.newContext({ viewport: { width: 1400, height: 800 }, offline: true, ...options });
	const page = await context.newPage();
	const problems = [];
	const url = pathToFileURL(file).href;

	page.setDefaultTimeout(60000); /* for what hangs */
	page.on('console', (m) => problems.push(m.text()));
	page.on('pageerror', (e) => problems.push(String(e)));
	page.on('request', (r) => r.url().split('#')[0] !== url && !r.url().startsWith('data:') && problems.push(`asked for ${r.url().slice(0, 100)}`));
	await page.goto(url + hash);
	await page.waitForSelector('html[data-ready]');
	return { page, problems, context };
}

let recorded, sample;

before(async () => {
	execFileSync(path.join(BUILD, 'cli', 'cprof'), ['run', '-p', 'trace=all', '-o', path.join(folder, 'lock'), '--',
		path.join(BUILD, 'tests', 'programs', 'planted'), 'lock'], { stdio: 'ignore', env: environment });
	recorded = path.join(folder, 'lock', 'trace.out');
	sample = make('sample', 'timeline');
	browser = await chromium.launch({ executablePath: process.env.CPROF_CHROMIUM, args: ['--no-sandbox'] });
});

after(async () => {
	await browser?.close();
	servers.forEach((s) => s.kill('SIGINT'));
	rmSync(folder, { recursive: true, force: true });
});

const TABLES = ['threads', 'locks', 'syscalls', 'tasks', 'regions', 'summary', 'critical-path'];

for (const [name, of] of [['a recording', () => recorded], ['a trace made by hand', () => sample], ['names of all kinds', () => make('names', 'names')]]) {
	test(`the file answers as the server does: ${name}`, async (t) => {
		const trace = of();
		let server;

		try {
			server = await serve(trace);
		} catch {
			t.skip('built without a server');
			return;
		}
		const file = await answers(write(trace)), random = dice(seed);
		const meta = await server.json('meta');
		const begin = meta.begin_ns, length = meta.end_ns - meta.begin_ns;
		const same = async (what, o) => assert.deepEqual(await file.json(what, o), await server.json(what, o), `${what} ${JSON.stringify(o)} (seed ${seed})`);

		assert.deepEqual(await file.json('meta'), meta);
		await same('tracks');
		const { tracks } = await server.json('tracks');

		for (const table of TABLES)
			await same(`table/${table}`, {});
		await same('table/locks', { by: 'holder', limit: 20 });
		const whole = { from: begin, to: meta.end_ns, columns: 1000 }, ids = tracks.map((x) => x.track).join(',');
		const { locks } = await file.json('contended', { max: 8 });

		assert.deepEqual(locks, (await server.json('contended', { max: 64 })).locks.filter((l) => locks.some((x) => x.object === l.object)));
		await same('rare', { ...whole, tracks: ids });
		await same('lanes', { ...whole, tracks: ids });
		for (const { object } of locks) {
			await same(`lock/${object}`, whole);
			await same('histogram', { lock: object });
		}
		await same('columns', {});
		await same('columns', { from: begin, to: meta.end_ns, columns: 777 });
		await same('edges', { from: begin, to: meta.end_ns, max: 100 });
		for (let i = 0; i < 40; i++) {
			const from = begin + random(length - 1), to = from + 1 + random(random(2) ? length : Math.ceil(length / 1000));
			const some = tracks.filter(() => random(2)).map((x) => x.track).join(',') || String(tracks[0].track);

			await same('sums', { from, to });
			await same('sums', { from, to, tracks: some });
			await same('spans', { from, to, tracks: some, max: 1 + random(200) });
			await same('columns', { from, to, columns: 1 + random(50) });
			await same('columns', { from, to });
			const search = { q: random(2) ? 'c' : '/', at: from, direction: random(2) ? 'next' : 'previous' };
			const [{ span: here }, { span: there }] = [await file.json('find', search), await server.json('find', search)];

			assert.deepEqual(here, there, `find ${JSON.stringify(search)} (seed ${seed})`);
			const level = random(Math.ceil(Math.log2(length)) + 1);
			const wanted = tracks.map(({ track }) => ({ track, level, n: Math.floor((meta.origin + from) / 2 ** (level + 9)) }));
			const [mine, theirs] = [await file.tiles(wanted), await server.tiles(wanted)];

			assert.deepEqual(mine, theirs, `tiles of level ${level} (seed ${seed})`);
		}
		/* a wait that is told in full, and one that is not */
		const spans = (await server.json('spans', { tracks: tracks.map((x) => x.track).join(','), from: begin, to: meta.end_ns + 1, max: 4096 })).tracks
			.flatMap((x) => x.spans);

		for (let i = 0; i < 20; i++) {
			const { id } = spans[random(spans.length)];
			const [mine, theirs] = [await file.json(`span/${id}`), await server.json(`span/${id}`)];

			if (mine.missing) {
				assert.match(mine.missing, /is not in this file: cprof-trace \S+ chain --at /);
				for (const key of ['span', 'thread', 'tid', 'previous', 'next', 'previous_same', 'next_same', 'frames'])
					assert.deepEqual(mine[key], theirs[key], `${key} of ${id} (seed ${seed})`);
			} else {
				assert.deepEqual(mine, theirs, `${id} (seed ${seed})`);
			}
		}
		await assert.rejects(file.json('table/locks', { from: begin + 1, to: begin + 2 }), /is not in this file: cprof-trace \S+ locks --from/);
		await assert.rejects(file.json('export/perfetto'), /is not in this file: cprof-trace/);
	});
}

test('a file with a bound has all the time still, and says what it put together', async () => {
	const whole = write(recorded), size = statSync(whole).size - 8000;
	const small = write(recorded, '--html-size', String(size));
	const [all, some] = [await answers(whole), await answers(small)], random = dice(seed);
	const { tracks } = await all.json('tracks');
	const end = all.meta.end_ns;

	assert.ok(statSync(small).size <= size);
	assert.ok(some.said.pieces < all.said.pieces && some.said.short_ns > 0);
	assert.match(some.notes()[0], /^The finest of this file is .* is put together with its neighbours/);
	for (let i = 0; i < 50; i++) {
		const from = random(end - 1), to = from + 1 + random(end - from);

		for (const { track } of tracks) {
			const [mine, theirs] = await Promise.all([some, all].map(async (f) => (await f.json('sums', { from, to, tracks: track })).tracks[0]?.states));
			const sum = (o) => Object.values(o).reduce((a, b) => a + b, 0);

			assert.equal(mine === undefined, theirs === undefined);
			if (mine === undefined)
				continue;
			assert.equal(sum(mine), sum(theirs), 'all of the time');
			/* what is cut at either end is shorter than two of the short ones */
			for (const key of Object.keys(mine))
				assert.ok(Math.abs(mine[key] - theirs[key]) <= 4 * some.said.short_ns, `${key} ${mine[key]} ${theirs[key]} (seed ${seed})`);
		}
	}
	const cut = (await some.json('spans', { tracks: tracks.map((x) => x.track).join(','), from: 0, to: end, max: 4096 })).tracks;

	assert.ok(cut.some((x) => x.more), 'where they are together, tiles are drawn');
});

test('it opens without a network, and asks for nothing', async () => {
	const { page, problems, context } = await open(write(recorded));

	await page.locator('.finding').first().waitFor();
	assert.match(await page.locator('.finding').first().textContent(), /of waiting for g_cache, held in\s*evict_all planted_locks\.c:\d+/);
	assert.match(await page.locator('#panel').textContent(), /This file.*All [\d,]+ intervals are in this file/);
	assert.equal(await page.locator('#panel a[href]').count(), 0, 'no link to what is not there');
	for (const tab of ['threads', 'locks', 'syscalls', 'warnings']) {
		await page.evaluate((n) => {
			document.getElementById('table').replaceChildren();
			window.cprof.drawer.open(n);
		}, tab);
		await page.locator('#table tbody tr').first().waitFor();
	}
	await page.evaluate(() => window.cprof.drawer.close());
	/* a wait, and who ended it */
	await page.fill('#query', 'g_cache');
	await page.keyboard.press('Enter');
	await page.waitForFunction(() => window.cprof.selection?.details?.sentence && window.cprof.selection.span.label === 'g_cache');
	await page.waitForFunction(() => window.cprof.isAtRest());
	assert.equal(await page.locator('#toast').isHidden(), true, 'nothing was missing');
	await page.keyboard.press('Escape');
	/* closer, the rest is somewhere else */
	await page.keyboard.press('w');
	await page.waitForFunction(() => /in this stretch is not in this file: cprof-trace trace.out locks --by holder --from/.test(document.getElementById('panel').textContent));
	await page.evaluate(() => window.cprof.drawer.open('locks'));
	await page.locator('#table [role=alert]').waitFor();
	assert.match(await page.locator('#table [role=alert]').textContent(), /is not in this file: cprof-trace trace.out locks --from/);
	assert.deepEqual(problems, []);
	await context.close();
});

test('its policy forbids every connection, and scripts that are not its own', async () => {
	const { page, problems, context } = await open(write(sample), '', { offline: false });

	assert.equal(await page.evaluate(() => fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')), 'refused');
	assert.equal(await page.evaluate(() => {
		const script = document.createElement('script');

		script.textContent = 'window.hit = 1';
		document.body.append(script);
		return window.hit;
	}), undefined);
	assert.ok(problems.length >= 2 && problems.every((text) => /Content Security Policy|Failed to fetch|asked for http:\/\/127.0.0.1:9/.test(text)), problems.join('\n'));
	await context.close();
});

test('what a link says is seen, and the link says what is seen', async () => {
	const file = write(sample);
	const { page, context } = await open(file, '#t=1.2s+300ms&sel=3@1.5s&theme=dark');

	await page.waitForFunction(() => window.cprof.selection?.details);
	assert.deepEqual(await page.evaluate(() => window.cprof.view), { from: 1.2e9, to: 1.5e9 });
	assert.equal(await page.evaluate(() => window.cprof.selection.span.id), '3.1400000000');
	assert.match(await page.locator('#panel .sentence').textContent(), /^worker-1 waited 250ms for mutex g_cache\.lock/);
	assert.equal(await page.evaluate(() => window.cprof.theme.isDark), true);
	await page.waitForFunction(() => location.hash.includes('t=1200ms+300ms'));
	await context.close();
});

test('--at and --select say where it opens', async () => {
	const at = await open(write(sample, '--at', '2.4s'));

	assert.deepEqual(await at.page.evaluate(() => [window.cprof.view, window.cprof.marks]),
		[{ from: 2.376e9, to: 2.424e9 }, [{ from: 2.4e9, to: 2.4e9 }]]);
	await at.context.close();
	const select = await open(write(sample, '--select', '1s..+500ms'));

	assert.deepEqual(await select.page.evaluate(() => [window.cprof.view, window.cprof.area]),
		[{ from: 0.95e9, to: 1.55e9 }, { from: 1e9, to: 1.5e9, tracks: null }]);
	await select.context.close();
});

test('names are text, whatever is in them', async () => {
	for (const what of ['names', 'timeline']) {
		const { page, problems, context } = await open(write(make(`hostile-${what}`, what)));

		for (const tab of ['threads', 'locks', 'regions', 'warnings'])
			await page.evaluate((name) => window.cprof.drawer.open(name), tab);
		await page.locator('#table tbody tr, #table p').first().waitFor();
		assert.equal(await page.locator('img').count(), 0);
		assert.deepEqual(problems, []);
		await context.close();
	}
});

test('both themes', async () => {
	const file = write(recorded), pictures = process.env.CPROF_SCREENSHOTS;

	for (const colorScheme of ['light', 'dark']) {
		const { page, context, problems } = await open(file, '', { colorScheme });

		await page.locator('.finding').first().waitFor();
		assert.equal(await page.evaluate(() => window.cprof.theme.isDark), colorScheme === 'dark');
		assert.deepEqual(problems, []);
		if (pictures) {
			mkdirSync(pictures, { recursive: true });
			await page.screenshot({ path: path.join(pictures, `file-${colorScheme}.png`) });
		}
		await context.close();
	}
});
