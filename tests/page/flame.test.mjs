/*
 * The page of cprof flame, in a headless Chromium and, for what computes, by node: sizes against sums done the plain way, every key of
 * the help, zoom, search, inversion, labels, differences, what a screen reader is told, both themes. CPROF_BUILD is the build directory.
 *
 *     CPROF_SCREENSHOTS=DIR     pictures are put there
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';

import { decode } from '../../flame/page/data.js';
import { GESTURES, KEYS } from '../../flame/page/keys.js';
import { TEXT, changeColour, moduleColour } from '../../flame/page/paint.js';
import { matcher } from '../../flame/page/search.js';
import { boxAt, change, eachLevel, everywhere, found, lay, shape, sums } from '../../flame/page/tree.js';
import { amount, changed, percent } from '../../flame/page/units.js';
import { contrast } from '../../viewer/page/states.js';
import { manyStacks, profile } from './profile.mjs';

const { chromium } = createRequire(path.join(process.env.CPROF_NODE_MODULES, 'x'))('playwright-core');
const CPROF = path.join(process.env.CPROF_BUILD, 'cli', 'cprof');
const folder = mkdtempSync(path.join(os.tmpdir(), 'flame'));
const HOSTILE = '</script><img src=x onerror=alert(1)>"\'&\u2028\u202e';
const SHOWN = '</script><img src=x onerror=alert(1)>"\'&\u2028\ufffd\ufffd\ufffd'; /* what turns text around is not */
const TYPES = [['samples', 'count'], ['cpu', 'nanoseconds']];
const F = (name, line, more = {}) => ({ name, file: 'demo.c', line, module: '/bin/demo', start: line - 3, ...more });
const MAIN = F('main', 10), PARSE = F('parse', 20), READ = F('read', 30, { module: '/lib/libc.so', file: '' }), DRAW = F('draw', 40), BLEND = F('blend', 50);
const STACKS = [
	{ frames: [MAIN, PARSE, READ], values: [3, 30e6], labels: { thread: 'w1' } },
	{ frames: [MAIN, PARSE], values: [1, 10e6], labels: { thread: 'w2' } },
	{ frames: [MAIN, DRAW, BLEND], values: [2, 20e6], labels: { thread: 'w2' } },
	{ frames: [MAIN, DRAW, BLEND, READ], values: [4, 4e6], labels: { thread: 'w1' } },
	{ frames: [MAIN, F(HOSTILE, 60)], values: [1, 1e6] },
];
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
let browser, context, page, files = 0;
const problems = [];

function save(types, stacks) {
	const to = path.join(folder, `${++files}.pb.gz`);

	writeFileSync(to, profile(types, stacks));
	return to;
}

function flame(from, ...options) {
	const to = path.join(folder, `${++files}.html`);

	execFileSync(CPROF, ['flame', from, '-o', to, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
	return to;
}

function dataOf(file) {
	return decode(new Uint8Array(gunzipSync(Buffer.from(/id="data">([^<]*)</.exec(readFileSync(file, 'utf8'))[1], 'base64'))));
}

let demo, difference;

before(async () => {
	browser = await chromium.launch({ executablePath: process.env.CPROF_CHROMIUM, args: ['--no-sandbox'] });
	const now = save(TYPES, STACKS);
	const was = save(TYPES, [{ frames: [MAIN, PARSE, READ], values: [1, 10e6] }, { frames: [MAIN, DRAW, BLEND], values: [2, 20e6] },
		{ frames: [MAIN, F('wait', 70)], values: [1, 15e6] }]);

	demo = flame(now);
	difference = flame(now, `-diff_base=${was}`);
});

after(async () => {
	await browser?.close();
	rmSync(folder, { recursive: true, force: true });
});

async function open(file, options = {}) {
	await context?.close();
	context = await browser.newContext({ viewport: { width: 1200, height: 700 }, reducedMotion: 'reduce', ...options });
	page = await context.newPage();
	problems.length = 0;
	page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
	page.on('pageerror', (e) => problems.push(String(e)));
	page.on('dialog', (d) => problems.push(d.message()));
	page.on('request', (r) => r.url() !== pathToFileURL(file).href && !r.url().startsWith('data:') && problems.push(r.url()));
	await page.goto(pathToFileURL(file).href);
	await page.waitForSelector('html[data-ready]');
	await frame();
}

const frame = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

const state = () => page.evaluate(() => {
	const f = window.flame, { stage, t } = f, name = (i) => (i <= 0 ? 'all' : t.names[t.frame[i]]);

	return { zoom: name(stage.zoom), focus: name(stage.focus), view: stage.view.map((x) => x / t.w[0]), query: f.query, dark: f.isDark, ...f.state,
		table: !document.getElementById('drawer').hidden, details: !document.getElementById('panel').hidden, help: document.getElementById('help').open,
		active: document.activeElement.id, boxes: Array.from({ length: t.n }, (_, i) => [name(i), t.depth[i], t.now[i]]) };
});
const said = () => page.textContent('#live');
const text = (selector) => page.textContent(selector);

/* Where the first box of that name is. */
const pointOf = (name) => page.evaluate((n) => {
	const { t, stage } = window.flame;

	return stage.pointOf(Array.from(t.frame).findIndex((f) => t.names[f] === n));
}, name);

async function click(name) {
	await page.mouse.click(...await pointOf(name));
	await frame();
}

async function press(...keys) {
	for (const key of keys)
		await page.keyboard.press(key);
	await frame();
}

async function picture(name) {
	if (!process.env.CPROF_SCREENSHOTS)
		return;
	mkdirSync(process.env.CPROF_SCREENSHOTS, { recursive: true });
	await page.screenshot({ path: path.join(process.env.CPROF_SCREENSHOTS, `${name}.png`) });
}

/* ---- what computes ---- */

test('sizes are those of sums done the plain way', () => {
	const stacks = manyStacks(3000, seed).map((s, i) => (i % 5 === 0 ? { ...s, values: s.values.map((v) => -v) } : s));
	const data = dataOf(flame(save(TYPES, stacks)));

	assert.equal(data.meta.diff, true, `seed ${seed}`);
	for (const options of [{}, { inverted: true }, { group: 'thread' }, { inverted: true, group: 'thread' }]) {
		const form = shape(data, options), t = lay(data, form, { column: 1 }), plain = new Map();

		for (const { frames, values: [, value], labels } of stacks) {
			const names = frames.map((f) => f.name);

			if (options.inverted)
				names.reverse();
			if (options.group)
				names.unshift(`thread: ${labels.thread}`);
			for (let n = 0; n <= names.length; n++) {
				const key = names.slice(0, n).join('\n'), has = plain.get(key) ?? [0, 0];

				has[value < 0 ? 1 : 0] += Math.abs(value);
				plain.set(key, has);
			}
		}
		const keys = [''];

		for (let i = 0; i < t.n; i++) {
			if (i > 0)
				keys[i] = (t.parent[i] > 0 ? `${keys[t.parent[i]]}\n` : '') + t.names[t.frame[i]];
			const [now, was] = plain.get(keys[i]) ?? [-1, -1];

			assert.ok(t.now[i] === now && t.before[i] === was, `seed ${seed}: ${keys[i]}: ${t.now[i]} ${t.before[i]}, not ${now} ${was}`);
			if (i > 0)
				assert.ok(t.x[i] >= t.x[t.parent[i]] && t.x[i] + t.w[i] <= t.x[t.parent[i]] + t.w[t.parent[i]], 'a box is within its parent');
		}
		assert.equal(t.n, plain.size);
		for (let level = 0; level + 1 < t.levels.length; level++)
			for (let i = t.levels[level]; i < t.levels[level + 1]; i++) {
				assert.equal(t.depth[i], level);
				assert.ok(i === t.levels[level] || t.x[i] >= t.x[i - 1] + t.w[i - 1], 'boxes of a row follow each other');
				assert.equal(boxAt(t, level, t.x[i]), i);
			}
		let reached = 0;

		eachLevel(t, 0, (from, to) => (reached += to - from));
		assert.equal(reached, t.n, 'every box is below the root');
	}
});

test('what is found counts each stack once, and functions count recursion once', () => {
	const stacks = [{ frames: ['a', 'b', 'a', 'b', 'a'], values: [1, 8] }, { frames: ['a', 'c'], values: [1, 4] }, { frames: ['c', 'b'], values: [1, 2] }];
	const data = dataOf(flame(save(TYPES, stacks))), t = lay(data, shape(data, {}), { column: 1 });
	const hits = (name) => Uint8Array.from(t.names, (n) => (n === name ? 1 : 0));

	assert.equal(found(t, 0, hits('a')).now, 12);
	assert.equal(found(t, 0, hits('b')).now, 10);
	assert.deepEqual(found(t, 0, hits('b')).boxes.map((i) => t.now[i]), [8, 2]);
	assert.equal(found(t, 0, hits('none')).boxes.length, 0);
	const of = Object.fromEntries(sums(t, 0).map((r) => [t.names[r.frame], [r.self, r.total]]));

	assert.deepEqual(of, { a: [8, 12], b: [2, 10], c: [4, 6] });
	for (const [name, [self, total]] of Object.entries(of))
		assert.deepEqual(everywhere(t, t.names.indexOf(name)), { self, total });
	const inverted = lay(data, shape(data, { inverted: true }), { column: 1 });

	assert.deepEqual(Object.fromEntries(sums(inverted, 0).map((r) => [inverted.names[r.frame], [r.self, r.total]])), of, 'turned around, too');
});

test('values beyond 2^53 and texts of all kinds arrive', () => {
	const data = dataOf(flame(save(TYPES, [{ frames: [HOSTILE], values: [1, 2n ** 62n], labels: { [HOSTILE]: HOSTILE } }])));

	assert.equal(data.samples.values[1][0], 2 ** 62);
	assert.equal(data.names[0], SHOWN);
	assert.deepEqual(data.meta.labels[1], [[SHOWN, SHOWN]]);
});

test('numbers are said in units', () => {
	assert.equal(amount(1234567, TYPES[1]), '1.23 ms');
	assert.equal(amount(0, TYPES[1]), '0');
	assert.equal(amount(90e9, TYPES[1]), '90 s');
	assert.equal(amount(1234567, TYPES[0]), '1,234,567');
	assert.equal(amount(3 * 1048576, ['space', 'bytes']), '3 MB');
	assert.equal(amount(7, ['x', 'widgets']), '7 widgets');
	assert.equal(amount(5e6, [...TYPES[1], 1e-6, 'ms']), '5 ms');
	assert.deepEqual([percent(1, 3), percent(1, 1), percent(1, 1e6), percent(0, 5), percent(1, 0)], ['33.3 %', '100 %', '< 0.01 %', '0.00 %', '0 %']);
	assert.deepEqual([changed(2, 1), changed(1, 2), changed(1, 0), changed(0, 1), changed(1, 1)], ['+100 %', '−50 %', 'new', 'gone', 'the same']);
	assert.deepEqual([change(2, 1), change(0, 1), change(0, 0)], [0.5, -1, 0]);
	assert.equal(matcher('parse')('Parse'), true);
	assert.equal(matcher('Parse')('parse'), false);
	assert.equal(matcher('/^pa.se$/')('PARSE'), true);
	assert.equal(matcher('a(b')('xa(b'), true);
});

test('names can be read on every colour', () => {
	for (const [theme, isDark] of [['light', false], ['dark', true]]) {
		for (let module = 0; module < 8; module++)
			for (const shade of [0, 1, 2])
				assert.ok(contrast(TEXT[theme], moduleColour(module, shade, isDark)) >= 4.5, `${theme} ${module} ${shade}`);
		for (let share = -1; share <= 1; share += 0.125)
			assert.ok(contrast(TEXT[theme], changeColour(share, isDark)) >= 4.5, `${theme} ${share} ${contrast(TEXT[theme], changeColour(share, isDark))}`);
	}
});

/* ---- the page ---- */

test('it opens, says nothing on the console, and asks nobody', async () => {
	await open(demo);
	const s = await state();

	assert.deepEqual(problems, []);
	assert.deepEqual(s.boxes.slice(0, 4), [['all', 0, 65e6], ['main', 1, 65e6], ['parse', 2, 40e6], ['draw', 2, 24e6]]);
	assert.equal(await text('#path .share'), '65 ms');
	assert.match(await text('#facts'), /File: demo.*5 stacks, 7 boxes, up to 4 levels deep/);
	assert.match(await text('#legend'), /demo 47\.7 %/);
	await picture('light');
});

test('a click zooms, Escape goes back, the path leads out', async () => {
	await open(demo);
	await click('draw');
	assert.deepEqual((await state()).view, [40 / 65, 64 / 65]);
	assert.equal((await state()).zoom, 'draw');
	assert.equal(await text('#path .here'), 'draw');
	assert.equal(await text('#path .share'), '24 ms, 36.9 % of all');
	await click('blend');
	assert.equal((await state()).zoom, 'blend');
	await press('Escape');
	assert.equal((await state()).zoom, 'draw');
	await page.click('#path button >> text=main');
	assert.deepEqual((await state()).view, [0, 1]);
	assert.equal((await state()).zoom, 'main');
	await press('Escape', 'Escape');
	assert.equal((await state()).zoom, 'all');
});

test('it slides where things may move, and ends where it should', async () => {
	await open(demo, { reducedMotion: 'no-preference' });
	await page.mouse.click(...await pointOf('draw'));
	await page.waitForFunction(() => window.flame.stage.target === null && window.flame.stage.zoom > 0);
	assert.deepEqual(await page.evaluate(() => [window.flame.stage.x0, window.flame.stage.x1]), [40e6, 64e6]);
});

test('the pointer is told what it is on', async () => {
	await open(demo);
	await page.mouse.move(...await pointOf('parse'));
	await frame();
	assert.equal(await text('#tip'), 'parse40 ms, 61.5 % of all; itself 10 msdemo.c:20 · /bin/demo');
	await page.mouse.move(...await pointOf('read'));
	await frame();
	assert.match(await text('#tip'), /read.*libc\.so/);
	await page.mouse.move(10, 5);
	assert.equal(await page.isHidden('#tip'), true);
});

test('the panel has numbers, source, module, callees and labels', async () => {
	await open(demo);
	await click('parse');
	const said_ = await text('#panel');

	for (const part of ['40 ms, 61.5 % of all', '10 ms, 15.4 %', 'demo.c:20, begins at 17', '/bin/demo', 'read', 'w1', '30 ms 75.0 %', 'w2', '10 ms 25.0 %'])
		assert.ok(said_.includes(part), `${part} in ${said_}`);
	await page.click('#panel button >> text=read');
	assert.equal((await state()).zoom, 'read');
});

test('the share of what is found is said, of all and of the view', async () => {
	await open(demo);
	await press('/');
	await page.keyboard.type('read');
	assert.equal(await text('#hits'), '2 boxes, 34 ms, 52.3 % of all');
	await press('Enter');
	assert.equal(await said(), '1 of 2: read: 30 ms, 46.2 % of all. /lib/libc.so. Row 3, 0 boxes below');
	await press('n');
	assert.match(await said(), /^2 of 2: read: 4 ms/);
	await press('n');
	assert.match(await said(), /^1 of 2/);
	await press('N');
	assert.match(await said(), /^2 of 2/);
	await picture('search');
	await click('draw');
	assert.equal(await text('#hits'), '1 box, 4 ms, 16.7 % of the view');
	for (const [query, says] of [['/^(read|blend)$/', '1 box, 24 ms, 100 % of the view'], ['libc', '1 box, 4 ms, 16.7 % of the view'], ['nowhere', 'not found'],
		['/(/', /^no regular expression: /]]) {
		await page.fill('#query', query);
		assert.match(await text('#hits'), says instanceof RegExp ? says : new RegExp(`^${says}$`), query);
	}
	await page.focus('#query');
	await press('Escape');
	assert.equal((await state()).query, '');
	assert.equal((await state()).active, 'rows');
});

test('what is far too narrow is zoomed to when it is gone to', async () => {
	await open(flame(save(TYPES, [{ frames: ['a', 'b', 'c', 'wide'], values: [1, 1e12] }, { frames: ['a', 'b', 'needle', 'eye'], values: [1, 1e3] }])));
	await press('/');
	await page.keyboard.type('needle');
	await press('Enter');
	const [x0, x1] = await page.evaluate(() => window.flame.stage.view);

	assert.ok(x0 >= 1e12 && x1 - x0 <= 1e3 + 1, `${x0} ${x1}`);
	assert.equal((await state()).focus, 'needle');
});

test('inverted, callers are below what they call', async () => {
	await open(demo);
	await page.click('button >> text=Inverted');
	let s = await state();

	assert.equal(s.inverted, true);
	assert.deepEqual(s.boxes.slice(0, 4), [['all', 0, 65e6], ['read', 1, 34e6], ['blend', 1, 20e6], ['parse', 1, 10e6]]);
	await click('read');
	await press('ArrowDown');
	assert.equal((await state()).focus, 'parse');
	await picture('inverted');
	await press('i');
	s = await state();
	assert.equal(s.inverted, false);
	assert.deepEqual(s.boxes[2], ['parse', 2, 40e6]);
	await open(flame(save(TYPES, STACKS), '-inverted', '-flames'));
	s = await state();
	assert.deepEqual([s.inverted, s.up], [true, true]);
});

test('as flames, roots are at the bottom', async () => {
	await open(demo);
	const onTop = await pointOf('parse');

	await press('f');
	const [, root] = await pointOf('main'), [, leaf] = await pointOf('parse');

	assert.ok(onTop[1] < leaf && leaf < root);
	await press('Home', 'ArrowUp', 'ArrowUp');
	assert.equal((await state()).focus, 'parse');
	await picture('flames');
});

test('columns and labels are chosen', async () => {
	await open(demo);
	await page.selectOption('#choices select >> nth=0', { label: 'samples' });
	assert.deepEqual((await state()).boxes.slice(0, 4), [['all', 0, 11], ['main', 1, 11], ['draw', 2, 6], ['parse', 2, 4]]);
	assert.equal(await text('#path .share'), '11');
	await page.selectOption('#choices select >> nth=1', 'thread');
	assert.deepEqual((await state()).boxes.slice(0, 4), [['all', 0, 11], ['thread: w1', 1, 7], ['thread: w2', 1, 3], ['no thread', 1, 1]]);
	await page.selectOption('#choices select >> nth=1', '');
	await page.selectOption('#choices select >> nth=2', { label: 'thread: w2' });
	assert.deepEqual((await state()).boxes, [['all', 0, 3], ['main', 1, 3], ['draw', 2, 2], ['parse', 2, 1], ['blend', 3, 2]]);
});

test('the table has what is zoomed to, and can be sorted', async () => {
	await open(demo);
	await press('t');
	const rows = () => page.$$eval('#table tbody tr', (list) => list.map((tr) => [...tr.children].map((td) => td.textContent)));

	assert.deepEqual((await rows())[0], ['34 ms', '52.3 %', '34 ms', '52.3 %', 'read', 'libc.so']);
	assert.equal(await text('#table caption'), '6 functions in all');
	await page.click('#table thead button >> text=In all');
	assert.deepEqual((await rows())[0].slice(2, 5), ['65 ms', '100 %', 'main']);
	assert.equal(await page.getAttribute('#table th:has([data-by=total])', 'aria-sort'), 'descending');
	await page.click('#table thead button >> text=In all');
	assert.equal(await page.getAttribute('#table th:has([data-by=total])', 'aria-sort'), 'ascending');
	await click('draw');
	assert.equal(await text('#table caption'), '3 functions in draw');
	await page.click('#table tbody button >> text=read');
	assert.equal(await text('#hits'), '1 box, 4 ms, 16.7 % of the view');
	await picture('table');
});

test('a difference: sizes, words and colours of both', async () => {
	await open(difference);
	const s = await state();

	assert.deepEqual(problems, []);
	assert.equal(await text('#path .share'), '65 ms, before 45 ms, +44.4 %');
	assert.deepEqual(s.boxes.filter(([name]) => name === 'wait'), [['wait', 2, 0]]);
	await click('wait');
	assert.match(await text('#panel'), /Now0, 0.00 % of allBefore15 ms, 33.3 % of allChangegone, −15 ms/);
	await press('r');
	await page.mouse.move(10, 5);
	/* the middle of a box is its colour; names stand on the left of it */
	const colourOf = async (name) => {
		const [x, y] = await pointOf(name);

		return page.evaluate(([px, py]) => {
			const box = document.getElementById('rows').getBoundingClientRect(), canvas = document.getElementById('boxes');
			const [r, g, b] = canvas.getContext('2d').getImageData(Math.round(px - box.left), Math.round(py - box.top + 7), 1, 1).data;

			return `#${[r, g, b].map((c) => c.toString(16).padStart(2, '0')).join('')}`;
		}, [x, y]);
	};
	assert.equal(await colourOf('wait'), changeColour(-1, false));
	assert.equal(await colourOf('read'), changeColour(2 / 3, false));
	assert.equal(await colourOf(SHOWN), changeColour(1, false));
	assert.match(await text('#legend'), /gone.*less.*the same.*more.*new.*the larger of before and now/);
	await picture('difference');
	await page.selectOption('#choices select >> nth=-1', 'now');
	assert.equal((await state()).boxes.some(([name]) => name === 'wait'), false);
	await page.selectOption('#choices select >> nth=-1', 'before');
	assert.equal((await state()).boxes.some(([name]) => name === 'parse'), true);
});

test('names are text, whatever is in them', async () => {
	await open(demo);
	await click(SHOWN);
	assert.equal(await text('#panel .name'), SHOWN);
	await press('t');
	assert.equal(await page.locator('img').count(), 0);
	assert.deepEqual(problems, []);
	assert.equal(readFileSync(demo, 'utf8').includes('onerror=alert'), false);
});

test('a profile in which nothing is wanted says so', async () => {
	await open(demo);
	await page.evaluate(() => window.flame.set({ only: JSON.stringify(['thread', 'nobody']) }));
	await frame();
	assert.equal(await text('#path .share'), 'Nothing to show: no sample has any of this.');
	await press('ArrowDown', 'Enter', 'n', 't', 'i', '+', '-', 'r');
	assert.deepEqual(problems, []);
});

test('wheel and drag move the view', async () => {
	await open(demo);
	await page.mouse.move(...await pointOf('draw'));
	await page.keyboard.down('Control');
	await page.mouse.wheel(0, -200);
	await page.keyboard.up('Control');
	await page.waitForFunction(() => window.flame.stage.x1 - window.flame.stage.x0 < 40e6);
	const [x0, x1] = (await state()).view, [x, y] = await pointOf('draw');

	assert.ok(x0 > 0.2 && x1 <= 1 && x1 - x0 < 0.5);
	await page.mouse.move(x, y);
	await page.mouse.down();
	await page.mouse.move(x + 100, y);
	await page.mouse.up();
	const moved = (await state()).view;

	assert.ok(moved[0] < x0 && Math.abs(moved[1] - moved[0] - (x1 - x0)) < 1e-9, 'to the left, as wide as before');
	assert.equal((await state()).zoom, 'all', 'and that is no click');
	await page.mouse.wheel(200, 0);
	await page.waitForFunction((from) => window.flame.stage.x0 > from, moved[0] * 65e6);
	assert.equal(GESTURES.length, 3);
});

test('every key of the help does what it says', async () => {
	const same = (a, b) => assert.deepEqual(a, b);
	const keys = {
		down: async () => same((await state()).focus, 'main'),
		up: async () => same((await state()).focus, 'all'),
		right: async () => same((await state()).focus, 'draw'),
		left: async () => same((await state()).focus, 'parse'),
		home: async () => same((await state()).focus, 'all'),
		zoom: async () => same((await state()).zoom, 'parse'),
		back: async () => same((await state()).zoom, 'all'),
		closer: async () => same((await state()).view[1] - (await state()).view[0], 0.5),
		farther: async () => same((await state()).view, [0, 1]),
		reset: async () => same([(await state()).zoom, (await state()).query], ['all', '']),
		search: async () => same((await state()).active, 'query'),
		next: async () => assert.match(await said(), /^1 of 2: read/),
		previous: async () => assert.match(await said(), /^2 of 2: read/),
		same: async () => same((await state()).query, 'parse'),
		invert: async () => same((await state()).inverted, true),
		flip: async () => same((await state()).up, true),
		table: async () => same((await state()).table, true),
		details: async () => same((await state()).details, false),
		theme: async () => same((await state()).dark, true),
		help: async () => same((await state()).help, true),
	};
	const first = { up: ['ArrowDown'], right: ['ArrowDown', 'ArrowDown'], left: ['ArrowDown', 'ArrowDown', 'ArrowRight'], home: ['ArrowDown'],
		zoom: ['ArrowDown', 'ArrowDown'], back: ['ArrowDown', 'ArrowDown', 'Enter'], farther: ['+'], reset: ['ArrowDown', 'ArrowDown', 's', 'Enter'],
		same: ['ArrowDown', 'ArrowDown'] };

	await open(demo);
	assert.deepEqual(KEYS.map((k) => k.action).sort(), Object.keys(keys).sort(), 'a key without a check');
	for (const entry of KEYS) {
		for (const key of [entry.key, ...(entry.also ?? [])]) {
			await page.reload();
			await page.waitForSelector('html[data-ready]');
			await press(...first[entry.action] ?? []);
			if (entry.action === 'next' || entry.action === 'previous')
				await page.evaluate(() => window.flame.search('read'));
			await press(key);
			await keys[entry.action]();
		}
	}
	assert.deepEqual(problems, []);
	const shown = await text('#help');

	for (const entry of KEYS)
		assert.ok(shown.includes(entry.say), entry.say);
	await picture('help');
});

test('who cannot see it is told', async () => {
	await open(demo);
	assert.equal(await page.getAttribute('#rows', 'aria-describedby'), 'live');
	await press('ArrowDown', 'ArrowDown');
	assert.equal(await said(), 'parse: 40 ms, 61.5 % of all; itself 10 ms. demo.c:20 · /bin/demo. Row 2, 1 box below');
	await press('Enter');
	assert.match(await said(), /^zoomed to parse/);
	await press('ArrowLeft');
	assert.equal(await said(), 'the row ends here');
	await press('ArrowDown', 'ArrowDown');
	assert.equal(await said(), 'nothing is called here');
	await page.focus('#choices button >> text=Flames');
	await press('Enter');
	assert.equal((await state()).up, true);
	assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Flames');
	await press('f', 't');
	/* all that can be used has a name */
	const nameless = await page.$$eval('button, select, input, [tabindex="0"]', (list) => list.filter((e) => e.offsetParent !== null &&
		!(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || e.querySelector('caption'))).map((e) => e.outerHTML));

	assert.deepEqual(nameless, []);
	assert.equal(await page.locator('#table th[scope=col]').count(), 6);
	assert.equal(await page.locator('#table th[scope=row]').count(), 2);
	const snapshot = await page.locator('body').ariaSnapshot();

	for (const part of ['- main "Flame graph"', '- navigation "Zoomed to"', '- complementary "Details"', '- region "Functions"', 'columnheader', '- searchbox "Search functions'])
		assert.ok(snapshot.includes(part), `${part} in\n${snapshot}`);
});

test('light and dark, by the system and by choice', async () => {
	const backOf = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

	await open(demo, { colorScheme: 'dark' });
	assert.equal(await backOf(), 'rgb(22, 24, 27)');
	await picture('dark');
	await press('T');
	assert.equal(await backOf(), 'rgb(255, 255, 255)');
	await page.emulateMedia({ colorScheme: 'light' });
	/* the page hears of it when a frame is drawn: two changes in one frame are none */
	await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
	await page.emulateMedia({ colorScheme: 'dark' });
	await page.waitForFunction(() => window.flame.isDark);
	assert.equal(await backOf(), 'rgb(22, 24, 27)');
	await open(demo, { colorScheme: 'light' });
	assert.equal(await backOf(), 'rgb(255, 255, 255)');
});

test('in a narrow window, too', async () => {
	await open(demo, { viewport: { width: 420, height: 700 } });
	assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 420);
	await click('parse');
	assert.equal((await state()).zoom, 'parse');
	await picture('narrow');
});

test('a picture of many stacks has no more than the window has room for', async () => {
	await open(flame(save(TYPES, manyStacks(20000, seed))));
	const { boxes, drawn, room } = await page.evaluate(() => ({ boxes: window.flame.t.n, drawn: window.flame.stage.drawn,
		room: (window.flame.stage.width + 1) * window.flame.t.levels.length }));

	assert.ok(boxes > drawn && drawn <= room, `${drawn} of ${boxes} drawn, room for ${room}`);
	await picture('many');
	assert.deepEqual(problems, []);
});
