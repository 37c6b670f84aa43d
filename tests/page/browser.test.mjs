/*
 * The page in a headless Chromium, on the mock's trace. Every line of the help has a check here: a key or gesture without one fails.
 *
 *     CPROF_SCREENSHOTS=DIR     pictures are put there
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test, { after, before, beforeEach } from 'node:test';

import { GESTURES, KEYS } from '../../viewer/page/keys.js';
import { END, HOSTILE, start } from './mock.mjs';


const { chromium } = createRequire(path.join(process.env.CPROF_NODE_MODULES, 'x'))('playwright-core');
const MS = 1e6;
const SHOWN = HOSTILE.replace('\u202e', '\\u202e'); /* what turns text around is seen */
const NAMES = 172, ROW = 26, TOP = 1; /* the row of the lock is above the threads' */
const VIEWPORT = { width: 1400, height: 800 };
let server, browser, context, page;
const asked = [], problems = [];

before(async () => {
	server = await start(asked);
	browser = await chromium.launch({ executablePath: process.env.CPROF_CHROMIUM, args: ['--no-sandbox'] });
});

after(async () => {
	await browser?.close();
	await server?.close();
});

/* The page, loaded anew. */
async function load(hash = '', options = {}, isReady = true) {
	await context?.close();
	context = await browser.newContext({ viewport: VIEWPORT, permissions: ['clipboard-read', 'clipboard-write'], ...options });
	page = await context.newPage();
	page.setDefaultTimeout(60000);
	problems.length = 0;
	page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
	page.on('pageerror', (e) => problems.push(String(e)));
	page.on('request', (r) => !r.url().startsWith(server.url) && !r.url().startsWith('data:') && problems.push(`asked ${r.url()}`));
	await page.goto(server.url + hash);
	if (!isReady)
		return;
	await page.waitForSelector('html[data-ready]');
	await settle();
}

/* The same page with another address: all that is seen is as that says. What only loading shows, load() does. */
async function open(hash = '') {
	if (page === undefined || page.isClosed())
		return load(hash);
	if (page.viewportSize().width !== VIEWPORT.width || page.viewportSize().height !== VIEWPORT.height)
		await page.setViewportSize(VIEWPORT);
	await page.mouse.move(5, 5);
	problems.length = 0;
	await page.evaluate((text) => {
		document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
		history.replaceState(null, '', text || '#');
		window.dispatchEvent(new HashChangeEvent('hashchange'));
		document.getElementById('rows').scrollTop = 0;
		document.getElementById('rows').focus();
	}, hash);
	await settle();
}

const frame = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

/* Until all that was asked for has come and is drawn. */
async function settle() {
	await until(() => window.cprof.isAtRest());
	await frame();
}

beforeEach(() => open());

const state = () => page.evaluate(() => {
	const a = window.cprof;

	return { view: a.view, area: a.area, track: a.selection?.track ?? null, span: a.selection?.span?.id ?? null, details: Boolean(a.selection?.details),
		marks: a.marks, rows: a.rows.map((r) => r.name), edges: a.edgesMode, clock: a.clock, idle: a.showIdle, drawer: a.drawerName, dark: a.theme.isDark,
		path: a.path !== null, width: a.width };
});
const until = (what, argument) => page.waitForFunction(what, argument, { timeout: 60000 }); /* for what hangs */
const span = (view) => view.to - view.from;

/* Where a moment of a row is on the page. */
async function at(ns, row) {
	const box = await page.locator('#rows').boundingBox();
	const { view, width } = await state();

	return [box.x + NAMES + (ns - view.from) / span(view) * width, box.y + (row + TOP + 0.5) * ROW];
}

async function click(ns, row) {
	await page.mouse.click(...await at(ns, row));
	await until(() => window.cprof.selection?.details);
}

async function drag(from, to, options = {}) {
	await page.mouse.move(...from);
	await page.mouse.down(options);
	await page.mouse.move((from[0] + to[0]) / 2, (from[1] + to[1]) / 2);
	await page.mouse.move(...to);
	await page.mouse.up(options);
}

/* The colour of a pixel of the rows: [red, green, blue], 0 for what is clear. */
async function pixel(ns, row, y = ROW / 2) {
	const { view, width } = await state();

	return page.evaluate(([x, py]) => {
		const canvas = document.getElementById('tracks'), scale = window.devicePixelRatio;
		const [r, g, b, a] = canvas.getContext('2d').getImageData(x * scale, py * scale, 1, 1).data;

		return a === 0 ? [0, 0, 0] : [r, g, b];
	}, [NAMES + (ns - view.from) / span(view) * width, (row + TOP) * ROW + y]);
}

const isNear = (a, b, within = 60) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) < within;
const LOCK = [0xd5, 0x5e, 0], RUNNING = [0, 0x9e, 0x73];
/* What @press puts there. */
async function clipboard(press) {
	await page.evaluate(() => navigator.clipboard.writeText(''));
	await press();
	return page.evaluate(async () => {
		for (;;) {
			const text = await navigator.clipboard.readText();

			if (text !== '')
				return text;
			await new Promise(requestAnimationFrame);
		}
	});
}

test('it loads, says nothing on the console, and asks nobody else', async () => {
	await load();
	assert.deepEqual(problems, []);
	const { rows, view } = await state();

	assert.deepEqual(rows, ['lock g_cache', 'main', 'worker-0', 'worker-1', 'evictor', SHOWN]);
	assert.deepEqual(view, { from: 0, to: END });
	assert.equal(await page.locator('#badge').textContent(), '3 lost');
	assert.match(await page.locator('#facts').textContent(), /1,234,567 events/);
});

test('the cause of the pile-up is told without a click', async () => {
	await load();
	await page.locator('.finding').waitFor();
	assert.match(await page.locator('#panel .sentence').textContent(), /5 threads in 1\.00s, 20 % idle; of the rest, 40 % waiting for locks/);
	assert.match(await page.locator('.finding').textContent(), /1\.60s of waiting for g_cache, held in\s*evict_all cache\.c:88/);
});

test('each state has its colour where it is', async () => {
	assert.ok(isNear(await pixel(77 * MS, 1, 5), LOCK), String(await pixel(77 * MS, 1, 5)));
	assert.ok(isNear(await pixel(70 * MS, 3), RUNNING), String(await pixel(70 * MS, 3)));
	assert.ok(isNear(await pixel(95 * MS, 1), RUNNING), String(await pixel(95 * MS, 1)));
});

test('names are text, whatever is in them', async () => {
	await page.fill('#query', 'img');
	await page.keyboard.press('Enter');
	await until(() => window.cprof.selection?.details);
	for (const tab of ['threads', 'warnings'])
		await page.evaluate((name) => window.cprof.drawer.open(name), tab);
	await settle();
	assert.equal(await page.evaluate(() => window.hit), undefined);
	assert.equal(await page.locator('img').count(), 0);
	assert.match(await page.locator('#panel').textContent(), /<img src=x/);
	assert.deepEqual(problems, []);
	await page.close();
});

/* What each action of the table changes. @key presses the key of the line. */
const checks = {
	async zoomIn(press) {
		const before = await state();

		await press();
		assert.ok(Math.abs(span((await state()).view) - span(before.view) * 0.8) < 2);
	},
	async zoomOut(press) {
		await open('#t=400ms+100ms');
		await press();
		assert.ok(Math.abs(span((await state()).view) - 125 * MS) < 2);
	},
	async panLeft(press) {
		await open('#t=400ms+100ms');
		await press();
		assert.deepEqual((await state()).view, { from: 390 * MS, to: 490 * MS });
	},
	async panRight(press) {
		await open('#t=400ms+100ms');
		await press();
		assert.deepEqual((await state()).view, { from: 410 * MS, to: 510 * MS });
	},
	async fit(press) {
		await open('#t=400ms+100ms');
		await press();
		assert.deepEqual((await state()).view, { from: 0, to: END });
	},
	async focus(press) {
		await open('#t=300ms+300ms&sel=2@350ms');
		await until(() => window.cprof.selection?.details);
		await press();
		assert.deepEqual((await state()).view, { from: 190 * MS, to: 490 * MS });
		await press();
		assert.deepEqual((await state()).view, { from: 292 * MS, to: 388 * MS });
	},
	async toRange(press) {
		await click(350 * MS, 1);
		await press();
		assert.deepEqual((await state()).view, { from: 300 * MS, to: 380 * MS });
	},
	async undo(press) {
		await page.keyboard.press('d');
		await page.keyboard.press('w');
		const left = await state();

		await page.keyboard.press('0');
		await press();
		assert.deepEqual((await state()).view, left.view);
	},
	async redo(press) {
		await page.keyboard.press('w');
		const { view } = await state();

		await page.keyboard.press('z');
		assert.deepEqual((await state()).view, { from: 0, to: END });
		await press();
		assert.deepEqual((await state()).view, view);
	},
	async goTo(press) {
		await open('#t=400ms+100ms');
		await press();
		await page.fill('#when', 'never');
		await page.keyboard.press('Enter');
		assert.match(await page.locator('#when-wrong').textContent(), /A time was expected/);
		await page.fill('#when', '700ms');
		await page.keyboard.press('Enter');
		assert.deepEqual((await state()).view, { from: 650 * MS, to: 750 * MS });
	},
	async nextTrack(press) {
		await press();
		assert.equal((await state()).track, 1);
		await press();
		assert.equal((await state()).track, 2);
	},
	async previousTrack(press) {
		await press();
		assert.equal((await state()).track, 5);
	},
	async nextSpan(press) {
		await click(350 * MS, 1);
		await press();
		await until(() => window.cprof.selection?.span?.id === '2.380000000');
	},
	async previousSpan(press) {
		await click(350 * MS, 1);
		await press();
		await until(() => window.cprof.selection?.span?.id === '2.290000000' || window.cprof.selection?.span?.id === '2.285000000');
	},
	async toCause(press) {
		await click(350 * MS, 1);
		await press();
		await until(() => window.cprof.selection?.track === 4 && window.cprof.selection.at === 380e6);
	},
	async toEffect(press) {
		await click(350 * MS, 3);
		await press();
		await until(() => window.cprof.selection?.track === 2 && window.cprof.selection?.span?.id === '2.300000000');
	},
	async chain(press) {
		await click(350 * MS, 1);
		await press();
		assert.match(await page.locator('#toast').textContent(), /worker-0 waits for mutex g_cache, held by evictor/);
	},
	async critical(press) {
		await click(350 * MS, 1);
		await press();
		await until(() => window.cprof.path !== null);
		assert.match(await page.locator('#panel .sentence').textContent(), /Critical path of 80\.0ms: 2 parts/);
	},
	async clear(press) {
		await click(350 * MS, 1);
		await press();
		assert.equal((await state()).track, null);
		await page.keyboard.press('b');
		await press();
		assert.equal((await state()).drawer, null);
	},
	async edges(press) {
		await press();
		assert.equal((await state()).edges, 'view');
		await page.waitForFunction(() => /20 arrows/.test(document.getElementById('says').textContent));
		await press();
		assert.equal((await state()).edges, 'none');
		await press();
		assert.equal((await state()).edges, 'selection');
	},
	async idle(press) {
		await page.keyboard.press('l'); /* so that its row is one of those without a ground */
		await settle();
		assert.ok(!isNear(await pixel(900 * MS, 4 - TOP), [0, 0, 0]));
		await press();
		await settle();
		assert.deepEqual(await pixel(900 * MS, 4 - TOP), [0, 0, 0]);
	},
	async groups(press) {
		await press();
		assert.deepEqual((await state()).rows, ['lock g_cache', 'main', 'worker', 'evictor', SHOWN]);
		await settle();
		assert.ok(isNear(await pixel(50 * MS, 1), LOCK), 'the group shows what its threads do');
	},
	async lanes(press) {
		await click(350 * MS, 1);
		await press();
		assert.deepEqual((await state()).rows.slice(TOP + 1, TOP + 6), ['worker-0', 'tasks, regions', 'system calls', 'samples of stacks', 'worker-1']);
		await settle();
		assert.ok(!isNear(await pixel(550 * MS, 2, 6), await pixel(650 * MS, 2, 6), 20), 'a region is drawn');
		assert.deepEqual(await pixel(650 * MS, 2, 6), await pixel(800 * MS, 2, 6));
		await press();
		assert.equal((await state()).rows.length, TOP + 5);
	},
	async allLanes(press) {
		await press();
		assert.equal((await state()).rows.length, TOP + 20);
		await press();
		assert.equal((await state()).rows.length, TOP + 5);
	},
	async locks(press) {
		await press();
		assert.equal((await state()).rows[0], 'main');
		await press();
		assert.equal((await state()).rows[0], 'lock g_cache');
	},
	async pin(press) {
		await click(350 * MS, 3);
		await press();
		assert.equal((await state()).rows[TOP], 'evictor');
	},
	async hide(press) {
		await click(350 * MS, 3);
		await press();
		assert.ok(!(await state()).rows.includes('evictor'));
	},
	async unhide(press) {
		await open('#hide=4,5');
		assert.equal((await state()).rows.length, TOP + 3);
		await press();
		assert.equal((await state()).rows.length, TOP + 5);
	},
	async clock(press) {
		const seen = [];

		for (let i = 0; i < 3; i++) {
			await press();
			seen.push((await state()).clock);
		}
		assert.deepEqual(seen, ['selection', 'wall', 'start']);
	},
	async drawer(press) {
		await press();
		await page.locator('#table tbody tr').first().waitFor();
		assert.equal((await state()).drawer, 'locks');
		await press();
		assert.ok(await page.locator('#drawer').isHidden());
	},
	async theme(press) {
		const { dark } = await state();

		await press();
		assert.equal((await state()).dark, !dark);
	},
	async search(press) {
		await press();
		await page.keyboard.type('worker');
		await page.keyboard.press('Enter');
		await until(() => window.cprof.selection?.track === 2);
		assert.match(await page.locator('#hits').textContent(), /thread 1 of 2/);
	},
	async nextHit(press) {
		await page.fill('#query', 'worker');
		await page.keyboard.press('Enter');
		await until(() => window.cprof.selection?.track === 2);
		await press();
		await until(() => window.cprof.selection?.track === 3);
	},
	async previousHit(press) {
		await page.fill('#query', 'g_cache');
		await page.keyboard.press('Enter');
		await until(() => window.cprof.selection?.span?.begin_ns === 100e6);
		await page.keyboard.press('n');
		await until(() => window.cprof.selection?.span?.begin_ns === 200e6);
		await press();
		await until(() => window.cprof.selection?.span?.begin_ns === 100e6);
	},
	async mark(press) {
		await page.mouse.move(...await at(250 * MS, 1));
		await press();
		const { marks } = await state();

		assert.ok(marks.length === 1 && Math.abs(marks[0].from - 250 * MS) < 2 * MS && marks[0].to === marks[0].from);
	},
	async markRange(press) {
		await click(350 * MS, 1);
		await press();
		assert.deepEqual((await state()).marks, [{ from: 300 * MS, to: 380 * MS }]);
	},
	async toMark(press) {
		await open('#t=0s+100ms&marks=200ms,800ms');
		await press();
		await page.keyboard.press('2');
		assert.deepEqual((await state()).view, { from: 750 * MS, to: 850 * MS });
	},
	async copyLink(press) {
		await click(350 * MS, 1);
		assert.match(await clipboard(press), /^http:\/\/127\.0\.0\.1:\d+\/token\/#sel=2@3[45]\d{7}(ns|us|ms)?/);
	},
	async copyCommand(press) {
		await click(350 * MS, 1);
		assert.equal(await clipboard(press), 'cprof-trace trace.out events --from 0.300000000s --to 0.380000000s --threads 4712');
	},
	async help(press) {
		await press();
		assert.ok(await page.locator('#help').isVisible());
		for (const entry of KEYS)
			assert.ok((await page.locator('#help').textContent()).includes(entry.say), entry.say);
		await press();
		assert.ok(await page.locator('#help').isHidden());
	},
};

for (const entry of KEYS) {
	const keys = [entry.code ? entry.code : entry.key, ...(entry.also ?? [])];

	for (const key of keys) {
		test(`${key}: ${entry.say}`, async () => {
			assert.ok(checks[entry.action], `${entry.action} has a check`);
			await checks[entry.action](() => page.keyboard.press(key));
			assert.deepEqual(problems, []);
		});
	}
	if (entry.shift) {
		test(`shift ${keys[0]}: ${entry.shift} times`, async () => {
			await open('#t=400ms+100ms');
			const { view } = await state();

			await page.keyboard.press(`Shift+${keys[0]}`);
			const after = (await state()).view;
			const factor = { zoomIn: 0.8 ** 5, zoomOut: 1.25 ** 5 }[entry.action] ?? 1;

			assert.ok(Math.abs(span(after) - span(view) * factor) < 4);
			const moved = (after.from + after.to - view.from - view.to) / 2;

			assert.ok(Math.abs(moved - ({ panLeft: -50 * MS, panRight: 50 * MS }[entry.action] ?? 0)) <= 1, `moved by ${moved}`);
		});
	}
}

const gestures = {
	async wheel() {
		await page.setViewportSize({ width: 1100, height: 420 });
		await settle();
		await page.mouse.move(...await at(500 * MS, 0));
		const before = await state();

		await page.mouse.wheel(0, 40);
		await until(() => document.getElementById('rows').scrollTop > 0);
		assert.deepEqual((await state()).view, before.view, 'the wheel alone moves rows, not time');
		await page.keyboard.down('Control');
		await page.mouse.wheel(0, -200);
		await page.keyboard.up('Control');
		await until(() => window.cprof.view.to - window.cprof.view.from < 9e8);
		const near = await state();
		const middle = (near.view.from + near.view.to) / 2;

		assert.ok(Math.abs(middle - 500 * MS) < 2 * MS, 'zooms at the pointer');
		await page.keyboard.down('Shift');
		await page.mouse.wheel(0, 100);
		await page.keyboard.up('Shift');
		await until((from) => window.cprof.view.from > from, near.view.from);
	},
	async drag() {
		await drag(await at(100 * MS, 0), await at(300 * MS, 0));
		let { area } = await state();

		assert.ok(Math.abs(area.from - 100 * MS) < 2 * MS && Math.abs(area.to - 300 * MS) < 2 * MS && area.tracks === null);
		await page.keyboard.press('Escape');
		await drag(await at(500 * MS, 1), await at(600 * MS, 2));
		({ area } = await state());
		assert.deepEqual(area.tracks, [2, 3]);
		await until(() => /2 threads in/.test(document.querySelector('#panel .sentence').textContent));
		await until(() => /Selected: /.test(document.getElementById('panel').textContent));
	},
	async 'drag with Space held, or the middle button'() {
		await open('#t=400ms+100ms');
		const [x, y] = await at(450 * MS, 1);

		await page.keyboard.down('Space');
		await drag([x, y], [x + 90, y]);
		await page.keyboard.up('Space');
		const { view, width, area } = await state();

		assert.ok(Math.abs(view.from - (400 * MS - 90 / width * 100 * MS)) < MS);
		assert.equal(area, null);
		await drag([x, y], [x - 90, y], { button: 'middle' });
		assert.ok(Math.abs((await state()).view.from - 400 * MS) < MS);
	},
	async 'drag on the ruler'() {
		const box = await page.locator('#ruler').boundingBox();
		const [a] = await at(200 * MS, 0), [b] = await at(400 * MS, 0);

		await drag([a, box.y + 15], [b, box.y + 15]);
		const { view, area } = await state();

		assert.ok(Math.abs(view.from - 200 * MS) < 2 * MS && Math.abs(view.to - 400 * MS) < 2 * MS);
		assert.equal(area, null);
	},
	async 'drag on the overview'() {
		await open('#t=400ms+200ms');
		const box = await page.locator('#overview').boundingBox();
		const { width } = await state();
		const x = (ms) => box.x + NAMES + ms / 1000 * width;

		await drag([x(500), box.y + 30], [x(600), box.y + 30]);
		assert.ok(Math.abs((await state()).view.from - 500 * MS) < 2 * MS, 'the window moves');
		await drag([x(700), box.y + 30], [x(900), box.y + 30]);
		const { view } = await state();

		assert.ok(Math.abs(view.from - 500 * MS) < 2 * MS && Math.abs(view.to - 900 * MS) < 2 * MS, 'its right edge alone');
		await page.mouse.click(x(200), box.y + 30);
		assert.ok(Math.abs((await state()).view.from) < 2 * MS, 'a click beside brings it there');
	},
	async click() {
		await click(350 * MS, 1);
		assert.equal((await state()).span, '2.300000000');
		await until(() => document.getElementById('live').textContent === 'worker-0 was lock for 80.0ms');
		assert.match(await page.locator('#panel').textContent(), /Made to go on by.*evictor, by release of g_cache; 5\.00ms later it ran/);
	},
	async 'double click'() {
		await page.mouse.dblclick(...await at(350 * MS, 1));
		await until(() => window.cprof.view.from === 292e6 && window.cprof.view.to === 388e6);
	},
};

for (const { show, say } of GESTURES) {
	test(`${show}: ${say}`, async () => {
		assert.ok(gestures[show], `${show} has a check`);
		await gestures[show]();
		assert.deepEqual(problems, []);
	});
}

test('the row of a lock: who had it, what was waited for it; a click leads to who had it', async () => {
	await settle();
	assert.ok(isNear(await pixel(40 * MS, -1, 9), LOCK), String(await pixel(40 * MS, -1, 9)));
	assert.ok((await pixel(40 * MS, -1, 18)).some((v) => v > 0), 'it is held');
	assert.deepEqual(await pixel(90 * MS, -1, 18), [0, 0, 0]);
	await page.mouse.move(...await at(40 * MS, -1));
	await until(() => /^lock g_cache: evictor evict_all cache.c:88 for 80.0ms$/.test(document.getElementById('tip').textContent));
	await page.mouse.click(...await at(40 * MS, -1));
	await until(() => window.cprof.selection?.track === 4 && window.cprof.selection.details);
});

test('a thing is given a row, and it stays in the link', async () => {
	await click(350 * MS, 1);
	await page.keyboard.press('l');
	await page.getByRole('button', { name: 'Row of g_cache' }).click();
	assert.equal((await state()).rows[0], 'lock g_cache');
	await page.keyboard.press('v');
	await until(() => /rows=lock\.5/.test(location.hash) && /lanes=2/.test(location.hash) && /locks=0/.test(location.hash));
	const { rows } = await state();

	await load(await page.evaluate(() => location.hash));
	assert.deepEqual((await state()).rows, rows);
	await page.getByRole('button', { name: 'Row of g_cache' }).click();
	assert.equal((await state()).rows[0], 'main');
});

test('one rare event is seen, however much there is', async () => {
	await settle();
	const { view, width } = await state();
	const strip = (row) => page.evaluate(([y, w]) => {
		const canvas = document.getElementById('tracks'), scale = window.devicePixelRatio;
		const { data } = canvas.getContext('2d').getImageData(172 * scale, y * scale, w * scale, 2 * scale);

		return [...Array(data.length / 4).keys()].filter((i) => data[i * 4 + 3] > 0).map((i) => i % Math.round(w * scale) / scale);
	}, [(row + TOP) * ROW, width]);
	const found = await strip(3);

	assert.ok(found.length > 0 && found.every((x) => Math.abs(x - 500 * MS / span(view) * width) < 4), String(found));
	assert.equal((await strip(1)).length, 0);
	await page.mouse.move(...await at(500.1 * MS, 3));
	await until(() => /in it a call that failed/.test(document.getElementById('tip').textContent));
});

test('how long others of its kind took, and the lines of its source', async () => {
	await click(350 * MS, 1);
	await until(() => /20 of them took 1\.60s: half up to 80\.0ms/.test(document.getElementById('histogram')?.textContent));
	assert.match(await page.locator('#histogram').textContent(), /longer than 63 %/);
	await page.locator('#panel ol button').first().click();
	await page.locator('#panel pre').waitFor();
	assert.match(await page.locator('#panel pre .here').textContent(), /^ +41 \treturn <img src=x/);
	assert.match(await page.locator('#panel pre').textContent(), /newer than the recording/);
	assert.equal(await page.locator('img').count(), 0);
	await page.locator('#panel ol button').first().click();
	assert.equal(await page.locator('#panel pre').count(), 0);
});

test('marks go to a file and come from one', async () => {
	await open('#marks=200ms,300ms+20ms');
	await page.getByRole('button', { name: 'Save marks' }).waitFor();
	const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save marks' }).click()]);

	assert.equal(file.suggestedFilename(), 'trace.out.marks.json');
	const saved = readFileSync(await file.path(), 'utf8');

	await page.getByRole('button', { name: 'Forget marks' }).click();
	assert.deepEqual((await state()).marks, []);
	const load_ = async (text) => {
		const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.getByRole('button', { name: 'Load marks' }).click()]);

		await chooser.setFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(text) });
	};

	await load_(saved);
	await until(() => window.cprof.marks.length === 2);
	assert.deepEqual((await state()).marks, [{ from: 200 * MS, to: 200 * MS }, { from: 300 * MS, to: 320 * MS }]);
	await load_('{"marks": 7}');
	await until(() => document.getElementById('toast').textContent === 'This is no file of marks');
	assert.equal((await state()).marks.length, 2);
});

test('keys are letters in a text field', async () => {
	await page.focus('#query');
	await page.keyboard.type('wasd0?');
	assert.equal(await page.inputValue('#query'), 'wasd0?');
	assert.deepEqual((await state()).view, { from: 0, to: END });
	await page.keyboard.press('Escape');
	await page.keyboard.press('w');
	assert.ok(span((await state()).view) < END);
});

test('a link shows the same to whoever opens it', async () => {
	await open('#t=250ms+300ms&pin=4&hide=5&marks=100ms,300ms+20ms&theme=dark');
	await click(350 * MS, 2);
	await page.keyboard.press('b');
	await page.fill('#query', 'g_cache');
	await settle();
	await page.evaluate(() => window.cprof.search.look('g_cache'));
	await until(() => /q=g_cache/.test(location.hash) && /view=locks/.test(location.hash) && /sel=/.test(location.hash));
	const first = await state(), hash = await page.evaluate(() => location.hash);

	await load(hash);
	await until(() => window.cprof.selection?.details);
	assert.deepEqual(await state(), first);
	assert.equal(await page.evaluate(() => location.hash), hash);
	assert.equal(await page.inputValue('#query'), 'g_cache');
});

test('a link to an area, and one that means nothing', async () => {
	await open('#area=100ms+50ms@2,3,99');
	assert.deepEqual((await state()).area, { from: 100 * MS, to: 150 * MS, tracks: [2, 3] });
	await open('#t=%zz&sel=99@1s&area=x&hide=%3Cb%3E,77&theme=pink&view=../etc');
	assert.deepEqual(problems, []);
	assert.deepEqual((await state()).rows.length, TOP + 5);
});

test('arrows of the selection are drawn from when they happened', async () => {
	const painted = () => page.evaluate(() => {
		const canvas = document.getElementById('overlay');
		const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
		let n = 0;

		for (let i = 3; i < data.length; i += 4)
			n += data[i] > 0;
		return n;
	});

	await page.mouse.move(5, 5);
	await click(350 * MS, 1);
	await page.mouse.move(5, 5);
	await settle();
	const with_ = await painted();

	await page.evaluate(() => {
		window.cprof.edgesMode = 'none';
		window.cprof.redraw();
	});
	await settle();
	assert.ok(with_ > await painted() + 100, 'an arrow is some pixels');
});

test('before the index is there it shows what is known, and says so', async () => {
	const usual = server;

	server = await start([], true);
	try {
		await load('', {}, false);
		await until(() => document.getElementById('says')?.textContent === 'the index is being made: this is an estimate');
		await until(() => document.getElementById('badge').textContent === 'index 50 %');
		server.makeIndex();
		await page.waitForSelector('html[data-ready]');
		await page.locator('.finding').waitFor();
		assert.equal(await page.locator('#says').textContent(), '');
		assert.equal(await page.locator('#badge').textContent(), '3 lost');
		assert.deepEqual(problems, []);
	} finally {
		await page.close();
		await server.close();
		server = usual;
	}
});

test('rows stay where they are, whatever is in view', async () => {
	const top = () => page.evaluate(() => document.getElementById('rows').offsetTop);
	const before = await top();

	/* nobody wants a processor then */
	await page.evaluate(() => window.cprof.setView({ from: 10e6, to: 60e6 }, null));
	await settle();
	await page.waitForFunction(() => window.cprof.summary.range.to < 1e9);
	assert.equal(await top(), before);
});

test('what the program counts has rows of its own, below zero too', async () => {
	await load();
	await page.waitForFunction(() => window.cprof.summary.rows.some((row) => row.isCounter));
	const rows = await page.evaluate(() => window.cprof.summary.rows.filter((row) => row.isCounter).map((row) => ({ name: row.name, isBytes: row.isBytes,
		least: Math.min(...row.values), most: Math.max(...row.values) })));

	assert.deepEqual(rows.map((row) => [row.isBytes, row.least, row.most]), [[false, -40, 9], [true, 1 << 20, 4 << 20]]);
	assert.match(rows[0].name, /^debts /);
	/* filled from zero on: of 40 below it and 9 above, most of what is coloured lies in the lower part of the row */
	const filled = await page.evaluate(() => {
		const canvas = document.getElementById('summary'), scale = canvas.width / canvas.clientWidth;
		const row = window.cprof.summary.rows.findIndex((r) => r.isCounter && !r.isBytes);
		const of = (from, to) => {
			const { data } = canvas.getContext('2d').getImageData(NAMES * scale, Math.round((row * 22 + from) * scale), canvas.width - NAMES * scale, Math.max(1, Math.round((to - from) * scale)));
			let n = 0;

			for (let i = 3; i < data.length; i += 4)
				n += data[i] > 40;
			return n;
		};
		const NAMES = canvas.clientWidth - window.cprof.width;

		return [of(3, 6), of(7, 20)];
	});

	assert.ok(filled[1] > 4 * filled[0] && filled[0] > 0, `${filled}`);
});

test('while their values are on the way the rows of counters stay, and at rest nothing is asked', async () => {
	await load();
	await page.waitForFunction(() => window.cprof.summary.rows.some((row) => row.isCounter && row.values.length > 0));
	await settle();
	const names = () => page.evaluate(() => window.cprof.summary.rows.map((row) => row.name));
	const before = await names();
	const asked = [];
	const note = (request) => asked.push(request.url());
	const held = [];

	page.on('request', note);
	await page.waitForTimeout(600);
	assert.deepEqual(asked, []);
	await page.route('**/memory?*', (route) => held.push(route));
	await page.evaluate(() => window.cprof.setView({ from: 10e6, to: 60e6 }, null));
	await page.waitForFunction(() => window.cprof.summary.range.to < 1e9);
	assert.deepEqual(await names(), before);
	while (held.length === 0)
		await page.waitForTimeout(20);
	await page.unroute('**/memory?*');
	/* one that is not wanted any more is gone */
	await Promise.all(held.map((route) => route.continue().catch(() => {})));
	await page.waitForFunction(() => window.cprof.summary.rows.some((row) => row.isCounter && row.values.length > 0));
	await page.waitForTimeout(600);
	page.off('request', note);
	/* the ranges before and the new one; not again and again */
	assert.ok(asked.filter((url) => url.includes('/memory?')).length <= 2, `${asked}`);
});

test('a parent is drawn, stretched, until the tile itself is there', async () => {
	await load();
	const held = [];
	let isOver = false;
	const hold = (route) => isOver ? route.continue() : held.push(route);

	await page.route('**/tiles?*', hold);
	await page.route('**/spans?*', hold);
	await page.evaluate(() => window.cprof.loader.spans.clear());
	await page.evaluate(() => window.cprof.setView({ from: 310e6, to: 330e6 }, null));
	await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
	assert.ok(isNear(await pixel(320 * MS, 1, 5), LOCK) || isNear(await pixel(322 * MS, 1, 5), LOCK));
	assert.ok(isNear(await pixel(320 * MS, 3), RUNNING));
	isOver = true;
	await Promise.all(held.map((route) => route.continue()));
});

test('what is asked for again and again is asked for once', async () => {
	await load();
	asked.length = 0;
	for (let i = 0; i < 20; i++)
		await page.keyboard.press(i % 2 ? 'a' : 'd');
	await page.keyboard.press('0');
	await settle();
	const tiles = asked.filter((url) => url.includes('/tiles?')).flatMap((url) => new URL(url, 'http://x').searchParams.get('list').split(','));

	assert.equal(new Set(tiles).size, tiles.length, 'no tile twice');
});

test('a screen reader has the rows as a table, and all by the keyboard', async () => {
	await page.locator('#list tbody tr').first().waitFor({ state: 'attached' });
	assert.equal(await page.locator('#list tbody tr').count(), 5);
	await until(() => /worker-0.*80 %/.test(document.getElementById('list').textContent));
	assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('button, input, a, [tabindex="0"]')].filter((e) =>
		!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.closest('[role=tabpanel]') || e.id === 'table')).map((e) => e.outerHTML)), []);
	await page.focus('#do-fit');
	for (let i = 0; i < 12; i++)
		await page.keyboard.press('Tab');
	assert.equal(await page.evaluate(() => document.body.contains(document.activeElement) && document.activeElement !== document.body), true);
	await page.focus('#do-drawer');
	await page.keyboard.press('Enter');
	assert.equal((await state()).drawer, 'locks', 'a button with the focus keeps its keys');
});

test('a table is sorted, shown a page at a time, and leads to rows', async () => {
	await page.evaluate(() => window.cprof.drawer.open('syscalls'));
	await until(() => document.querySelectorAll('#table tbody tr').length === 100); /* until then those of another table may be there */
	await page.locator('#table th button', { hasText: 'count' }).click();
	await until(() => document.querySelector('#table tbody td')?.textContent === 'syscalls 699');
	await settle(); /* rows that come anew are shown from the first page on */
	await page.getByText('600 more').click();
	await until(() => document.querySelectorAll('#table tbody tr').length === 600);
	await page.evaluate(() => window.cprof.drawer.open('threads'));
	await page.locator('#table button', { hasText: 'worker-1' }).click();
	assert.equal((await state()).track, 3);
});

test('in a narrow window all is still there', async () => {
	await page.setViewportSize({ width: 640, height: 700 });
	await settle();
	const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);

	assert.ok(overflow <= 0, `${overflow} pixels too wide`);
	assert.ok(await page.locator('#panel').isVisible());
});

test('it follows the theme of the system, and can be told', async () => {
	await load('', { colorScheme: 'dark' });
	assert.equal((await state()).dark, true);
	await page.emulateMedia({ colorScheme: 'light' });
	await until(() => !window.cprof.theme.isDark);
	await load('#theme=dark', { colorScheme: 'light' });
	assert.equal((await state()).dark, true);
});

test('text can be read in both themes', async () => {
	for (const theme of ['light', 'dark']) {
		await open(`#theme=${theme}`);
		const ratios = await page.evaluate(() => {
			const style = getComputedStyle(document.documentElement);
			const channels = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/g).map((h) => {
				const c = parseInt(h, 16) / 255;

				return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
			});
			const light = (name) => {
				const [r, g, b] = channels(name);

				return 0.2126 * r + 0.7152 * g + 0.0722 * b;
			};
			const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

			return ['--text', '--dim', '--accent', '--good', '--bad'].flatMap((text) => ['--page', '--panel', '--zebra'].map((page) => [text, page, ratio(text, page)]))
				.concat([['--bad', '--bad-page', ratio('--bad', '--bad-page')], ['--dim', '--bad-page', ratio('--dim', '--bad-page')]]);
		});

		for (const [text, page, ratio] of ratios)
			assert.ok(ratio >= 4.5, `${theme}: ${text} on ${page} is ${ratio.toFixed(2)}`);
	}
});

test('pictures', async (t) => {
	const folder = process.env.CPROF_SCREENSHOTS;

	if (!folder) {
		t.skip('CPROF_SCREENSHOTS is not set');
		return;
	}
	mkdirSync(folder, { recursive: true });
	for (const theme of ['light', 'dark']) {
		const shoot = (name) => page.screenshot({ path: path.join(folder, `${name}-${theme}.png`) });

		await open(`#theme=${theme}`);
		await page.locator('.finding').waitFor();
		await shoot('whole');
		await click(350 * MS, 1);
		await settle();
		await shoot('selected');
		await page.keyboard.press('e');
		await page.keyboard.press('b');
		await settle();
		await shoot('arrows');
		await page.keyboard.press('?');
		await shoot('help');
	}
});
