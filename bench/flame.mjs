/*
 * flame: what a flame graph of many stacks takes: flame.mjs CPROF CHROMIUM MODULES [STACKS]
 *
 *     write    s of cprof flame, and MB of the file
 *     first    ms from opening the file to its first picture
 *     change   ms until everything is drawn anew: inverted, another column, searched
 *     frame    ms of script for a picture, while it is zoomed in and out and scrolled: the middle one, of 100 the 95th, the worst;
 *              and between two pictures
 *
 * MODULES is where playwright-core is.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { manyStacks, profile } from '../tests/page/profile.mjs';

const [cprof, chromium, modules, stacks = '100000'] = process.argv.slice(2);
const { chromium: browsers } = createRequire(path.resolve(modules, 'x'))('playwright-core');
const folder = mkdtempSync(path.join(os.tmpdir(), 'flame'));
const file = path.join(folder, 'many.pb.gz'), page = path.join(folder, 'many.html');

const show = (name, text) => console.log(`${name.padEnd(10)}${text}`);
const ms = (x) => `${x.toFixed(1)} ms`;

function middle(list) {
	const sorted = list.slice().sort((a, b) => a - b), at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

	return `${ms(at(0.5))}, 95 of 100 within ${ms(at(0.95))}, worst ${ms(sorted[sorted.length - 1])} (${sorted.length})`;
}

/* In the page: walks through it, and says what each frame took. */
async function walk() {
	const f = window.flame, { stage } = f, spent = [], between = [], draw = stage.draw.bind(stage);
	let last = 0;

	stage.draw = (now) => {
		const begun = performance.now();

		draw(now);
		spent.push(performance.now() - begun);
		if (last > 0)
			between.push(now - last);
		last = now;
	};
	const still = async () => {
		while (stage.target !== null || stage.asked)
			await new Promise(requestAnimationFrame);
		last = 0;
	};
	let at = 0;

	for (let turn = 0; turn < 12; turn++) {
		for (let step = 0; step < 4 && f.t.count[at] > 0; step++)
			at = f.t.first[at] + Math.floor(f.t.count[at] * ((turn * 7 + step * 3) % 10) / 10);
		f.zoomTo(at);
		await still();
		for (let step = 0; step < 10; step++) {
			stage.rows.scrollTop = step * 40;
			stage.ask();
			await still();
		}
		at = 0;
		f.zoomTo(0);
		await still();
	}
	return { spent, between };
}

const begun = performance.now();

writeFileSync(file, profile([['samples', 'count'], ['cpu', 'nanoseconds']], manyStacks(Number(stacks))));
show('made', `${stacks} stacks in ${((performance.now() - begun) / 1000).toFixed(1)} s, ${(statSync(file).size / 1e6).toFixed(2)} MB of profile`);
const written = performance.now();

execFileSync(cprof, ['flame', file, '-o', page], { stdio: ['ignore', 'ignore', 'inherit'] });
show('write', `${((performance.now() - written) / 1000).toFixed(2)} s, ${(statSync(page).size / 1e6).toFixed(2)} MB of page`);
const browser = await browsers.launch({ executablePath: chromium, args: ['--no-sandbox'] });

try {
	const tab = await browser.newPage({ viewport: { width: 1400, height: 900 } });

	await tab.goto(pathToFileURL(page).href);
	await tab.waitForSelector('html[data-ready]', { timeout: 120000 });
	show('first', ms(await tab.evaluate(() => performance.now())));
	show('boxes', await tab.evaluate(() => `${window.flame.t.n}, ${window.flame.t.levels.length - 1} rows; ${window.flame.stage.drawn} drawn`));
	for (const [name, what] of [['column', '{ column: 0 }'], ['column', '{ column: 1 }'], ['inverted', '{ inverted: true }'],
		['upright', '{ inverted: false }'], ['by label', '{ group: \'thread\' }'], ['by none', '{ group: \'\' }']])
		show(name, ms(await tab.evaluate(`(() => { const b = performance.now(); window.flame.set(${what}); return performance.now() - b; })()`)));
	show('search', ms(await tab.evaluate(() => {
		const b = performance.now();

		window.flame.search('function_12');
		return performance.now() - b;
	})));
	for (const searched of ['', 'function_12']) {
		await tab.evaluate((query) => window.flame.search(query), searched);
		const { spent, between } = await tab.evaluate(walk);

		show('frame', `${middle(spent)}${searched && ', with a search'}`);
		show('between', middle(between));
	}
} finally {
	await browser.close();
	rmSync(folder, { recursive: true, force: true });
}
