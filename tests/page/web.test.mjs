/*
 * The page of cprof web, in a headless Chromium: each view, each filter, every key of the help, links and the way back, from the flame
 * graph to the other views, names that are markup, both themes, and a server that is gone. CPROF_BUILD is the build directory.
 *
 *     CPROF_SCREENSHOTS=DIR     pictures are put there
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test, { after, before } from 'node:test';

import { KEYS } from '../../web/page/keys.js';
import { FILTERS, exactly, question, read, write } from '../../web/page/link.js';
import { profile } from './profile.mjs';

const { chromium } = createRequire(path.join(process.env.CPROF_NODE_MODULES, 'x'))('playwright-core');
const CPROF = path.join(process.env.CPROF_BUILD, 'cli', 'cprof');
const folder = mkdtempSync(path.join(os.tmpdir(), 'web'));
const HOSTILE = '</script><img src=x onerror=alert(1)>"\'&';
const F = (name, line, more = {}) => ({ name, file: path.join(folder, 'demo.c'), line, module: '/bin/demo', start: 1, ...more });
const MAIN = F('main', 2), PARSE = F('parse', 4), READ = F('read', 30, { module: '/lib/libc.so', file: '' }), DRAW = F('draw', 6);
const STACKS = [
	{ frames: [MAIN, PARSE, READ], values: [3, 30e6], labels: { thread: 'w1' } },
	{ frames: [MAIN, PARSE], values: [1, 10e6], labels: { thread: 'w2' } },
	{ frames: [MAIN, DRAW], values: [2, 20e6], labels: { thread: 'w2' } },
	{ frames: [MAIN, F(HOSTILE, 60, { file: '' })], values: [1, 1e6] },
];
const problems = [];
let browser, context, page, server, url;

async function serve(...args) {
	const child = spawn(CPROF, ['web', '-no_browser', ...args], { stdio: ['ignore', 'pipe', 'inherit'], cwd: folder });
	const [line] = await once(createInterface({ input: child.stdout }), 'line');

	return { child, url: line };
}

async function end({ child }) {
	child.kill('SIGTERM');
	if (child.exitCode === null)
		await once(child, 'exit');
	return child.exitCode;
}

before(async () => {
	writeFileSync(path.join(folder, 'demo.pb.gz'), profile([['samples', 'count'], ['cpu', 'nanoseconds']], STACKS));
	writeFileSync(path.join(folder, 'demo.c'), 'int main(void)\n{ parse(); }\nvoid parse(void)\n{ read(<b>); }\nvoid draw(void)\n{ }\n');
	server = await serve('demo.pb.gz');
	url = server.url;
	browser = await chromium.launch({ executablePath: process.env.CPROF_CHROMIUM, args: ['--no-sandbox'] });
});

after(async () => {
	await browser?.close();
	await end(server);
	rmSync(folder, { recursive: true, force: true });
});

async function open(hash = '', options = {}) {
	await context?.close();
	context = await browser.newContext({ viewport: { width: 1200, height: 700 }, reducedMotion: 'reduce', ...options });
	page = await context.newPage();
	problems.length = 0;
	page.on('console', (m) => m.type() === 'error' && problems.push(m.text()));
	page.on('pageerror', (e) => problems.push(String(e)));
	page.on('dialog', (d) => problems.push(d.message()));
	page.on('request', (r) => !r.url().startsWith(url.replace(/#.*/, '')) && !r.url().startsWith('data:') && problems.push(r.url()));
	await page.goto(url + hash);
	await ready();
}

const ready = () => page.waitForSelector('html[data-ready]');
/* What follows from it is there: another address, and then its picture. */
async function then(act, view) {
	const was = page.url();

	await act();
	await page.waitForFunction((u) => window.location.href !== u, was);
	await ready();
	if (view)
		await page.waitForSelector(`#view[data-view=${view}]`);
}

const rows = () => page.$$eval('#view tbody tr', (all) => all.map((r) => [...r.cells].map((c) => c.textContent)));
const names = () => page.$$eval('#view tbody th a', (all) => all.map((a) => a.textContent));
const facts = () => page.$eval('#facts', (f) => f.textContent);

async function picture(name) {
	if (!process.env.CPROF_SCREENSHOTS)
		return;
	mkdirSync(process.env.CPROF_SCREENSHOTS, { recursive: true });
	await page.screenshot({ path: path.join(process.env.CPROF_SCREENSHOTS, `${name}.png`) });
}

test('a link has all that is set, and gives it back', () => {
	for (const view of ['top', 'flame', 'peek', 'source', 'tags']) {
		const state = { view, expression: '^a&b=c#%+ d$', sort: '-flat', inverted: '1' };

		for (const name of FILTERS)
			state[name] = `${name} & = # % + ü`;
		assert.deepEqual(read(write(state)), state);
	}
	assert.deepEqual(read('#view=passwd&x=1'), { view: 'top' });
	assert.equal(question({ view: 'top', focus: 'a b' }, 'top'), 'api/v1/top?focus=a+b');
	for (const name of ['operator()', 'a[0]', 'x|y', '^$', 'a.b*c+?{1}\\'])
		assert.ok(new RegExp(exactly(name)).test(name) && !new RegExp(exactly(name)).test(`x${name}`), name);
});

test('top: values, shares, order; a heading sorts, and the address says so', async () => {
	await open();
	assert.deepEqual(await rows(), [
		['30ms', '49.18%', '30ms', '49.18%', 'read'], ['20ms', '32.79%', '20ms', '32.79%', 'draw'],
		['10ms', '16.39%', '40ms', '65.57%', 'parse'], ['1ms', '1.64%', '1ms', '1.64%', HOSTILE], ['', '', '61ms', '100%', 'main']]);
	await picture('web-top');
	await then(() => page.click('button[data-by=cum]'));
	assert.deepEqual(await names(), ['main', 'parse', 'read', 'draw', HOSTILE]);
	await then(() => page.click('button[data-by=cum]'));
	assert.deepEqual((await names())[0], HOSTILE);
	assert.equal(await page.getAttribute('th[aria-sort=ascending]', 'aria-sort'), 'ascending');
	await then(() => page.click('button[data-by=name]'));
	assert.deepEqual((await names()).slice(1), ['draw', 'main', 'parse', 'read']);
	assert.deepEqual(problems, []);
});

test('filters are those of the commands; the command is said; the way back leads back', async () => {
	await open();
	await then(async () => {
		await page.fill('input[name=focus]', 'parse');
		await page.press('input[name=focus]', 'Enter');
	});
	assert.deepEqual(await names(), ['read', 'parse', 'main']);
	assert.equal(await page.evaluate(() => document.activeElement.name), 'focus', 'who types goes on');
	assert.match(await facts(), /Active filters:\s+focus=parse.*cprof top -sample_index=cpu -focus=parse demo\.pb\.gz/s);
	await then(async () => {
		await page.fill('input[name=hide]', 'read');
		await page.press('input[name=hide]', 'Tab');
	});
	assert.deepEqual(await names(), ['parse', 'main']);
	await then(() => page.selectOption('select[name=sample_index]', 'samples'));
	assert.deepEqual((await rows())[0].slice(0, 3), ['4', '57.14%', '4']);
	await then(() => page.goBack());
	await then(() => page.goBack());
	assert.deepEqual(await names(), ['read', 'parse', 'main']);
	assert.equal(await page.inputValue('input[name=hide]'), '');
	await then(() => page.selectOption('select[name=granularity]', 'lines'));
	assert.deepEqual((await names())[1], `parse ${folder}/demo.c:4`);
	await then(async () => {
		await page.fill('input[name=focus]', '(');
		await page.press('input[name=focus]', 'Enter');
	});
	assert.match(await page.textContent('[role=alert]'), /focus/);
	await then(() => page.press('#view', 'c'));
	assert.equal((await names()).length, 5);
	assert.equal(problems.filter((p) => !p.includes('400')).length, 0, problems.join('\n'));
});

test('peek, source and tags: from a name to who calls it, to its lines, to a label', async () => {
	await open();
	await then(() => page.click('tbody th a:text-is("parse")'), 'peek');
	assert.deepEqual(await rows(), [['Called by'], ['40ms', '100%', 'main'], ['Calls'], ['30ms', '75.00%', 'read']]);
	await picture('web-peek');
	await then(() => page.click('#view section a:text-is("Source")'), 'source');
	assert.deepEqual(await rows(), [['1', '', '', 'int main(void)'], ['2', '', '', '{ parse(); }'], ['3', '', '', 'void parse(void)'],
		['4', '10ms', '40ms', '{ read(<b>); }'], ['5', '', '', 'void draw(void)'], ['6', '', '', '{ }']]);
	await picture('web-source');
	await then(async () => {
		await page.fill('#expression', 'zzz');
		await page.press('#expression', 'Enter');
	});
	assert.match(await page.textContent('[role=alert]'), /zzz/);
	await then(() => page.press('#views', '5'), 'tags');
	assert.deepEqual(await rows(), [['30ms', '50.00%', 'w1'], ['30ms', '50.00%', 'w2']]);
	await picture('web-tags');
	await then(() => page.click('button:text-is("w2")'), 'top');
	assert.deepEqual(await names(), ['draw', 'parse', 'main']);
	await then(() => page.click('#views a:text-is("Peek")'), 'peek');
	assert.equal(problems.filter((p) => !p.includes('404')).length, 0, problems.join('\n'));
});

test('peek without a function asks for one', async () => {
	await open('#view=peek');
	assert.equal(await page.evaluate(() => document.activeElement.id), 'expression');
	await then(async () => {
		await page.keyboard.type('draw');
		await page.keyboard.press('Enter');
	});
	assert.equal(await page.textContent('#view h2'), 'draw');
});

test('flame: the page in a frame; what is marked there leads to the other views; themes go together', async () => {
	await open('#view=flame&ignore=draw');
	const inside = page.frames().find((f) => f !== page.mainFrame());

	await inside.waitForSelector('html[data-ready]');
	assert.deepEqual(await inside.evaluate(() => Array.from(window.flame.t.frame, (f) => (f < 0 ? 'all' : window.flame.t.names[f]))), ['all', 'main', 'parse', HOSTILE, 'read']);
	await inside.evaluate(() => window.flame.go(2));
	assert.match(await page.textContent('.marked'), /^parse Peek · Source · Focus/);
	await picture('web-flame');
	await page.press('#views', 'T');
	assert.equal(await inside.evaluate(() => window.flame.isDark), await page.evaluate(() => window.web.isDark));
	await then(() => page.click('.marked a:text-is("Peek")'), 'peek');
	assert.equal(await page.textContent('#view h2'), 'parse');
	assert.deepEqual(problems, []);
});

test('every key of the help does what it says', async () => {
	await open();
	for (const { key, view } of KEYS.filter((k) => k.view && k.view !== 'top')) {
		await then(() => page.press('#views', key), view);
		await page.keyboard.press('Escape'); /* peek and source ask for a function */
		await then(() => page.keyboard.press('1'), 'top');
	}
	const does = {
		'/': async () => assert.equal(await page.evaluate(() => document.activeElement.name), 'focus'),
		'c': async () => assert.match(page.url(), /focus=&/),
		'Escape': async () => {
			await page.focus('input[name=hide]');
			await page.keyboard.press('Escape');
			assert.equal(await page.evaluate(() => document.activeElement.id), 'view');
		},
		'm': async () => assert.ok(await page.isVisible('input[name=tagfocus]')),
		'a': async () => assert.ok(await page.isVisible('#command')),
		'l': async () => assert.match(await page.textContent('#live'), /link is copied|address bar/),
		'T': async () => assert.equal(await page.getAttribute('html', 'data-theme'), 'dark'),
		'?': async () => assert.ok(await page.isVisible('#help')),
	};

	assert.deepEqual(Object.keys(does), KEYS.filter((k) => !k.view).map((k) => k.key));
	for (const [key, check] of Object.entries(does)) {
		await open('', { colorScheme: 'light' });
		await page.press('#views', key);
		await page.waitForTimeout(50);
		await ready();
		await check();
	}
	assert.equal(await page.$$eval('#help dt', (all) => all.length), KEYS.length + 3);
	await picture('web-help');
});

test('dark, narrow, zoomed: nothing is lost', async () => {
	await open('', { colorScheme: 'dark', viewport: { width: 420, height: 700 } });
	assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
	assert.ok(await page.$eval('body', (b) => b.scrollWidth <= b.clientWidth + 1), 'as wide as the window');
	await picture('web-dark-narrow');
	await open('', { colorScheme: 'dark' });
	await picture('web-dark');
});

test('a difference: what is less is below zero, and both are named', async () => {
	writeFileSync(path.join(folder, 'old.pb.gz'), profile([['samples', 'count'], ['cpu', 'nanoseconds']], [{ frames: [MAIN, DRAW], values: [9, 90e6] }]));
	const other = await serve('-diff_base=old.pb.gz', 'demo.pb.gz'), was = url;

	url = other.url;
	try {
		await open();
		assert.equal(await page.textContent('#title'), 'old.pb.gz → demo.pb.gz');
		assert.deepEqual((await rows())[0].slice(0, 2), ['-70ms', '77.78%']);
		assert.match(await facts(), /-diff_base=old\.pb\.gz demo\.pb\.gz/);
	} finally {
		url = was;
		assert.equal(await end(other), 0);
	}
});

test('a server that is gone: a sentence', async () => {
	const other = await serve('demo.pb.gz'), was = url;

	url = other.url;
	await open();
	await end(other);
	await page.press('#views', '5');
	await page.waitForSelector('[role=alert]');
	assert.match(await page.textContent('[role=alert]'), /server does not answer/);
	url = was;
});
