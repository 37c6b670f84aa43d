/*
 * page: what a page of a trace takes in a headless Chromium: page.mjs ours|go URL CHROMIUM MODULES SERVER_PID TURNS
 *
 *     first    ms from asking for the page to its first picture, by the page's own clock: all of the trace, and every row in view. Ours may
 *              be an estimate, and says so. The browser runs already, as its user's does
 *     frames   ms from a key that pans or zooms to the frame that has it, one by one
 *     answers  ms that each question took that the picture needs, of those that came of such a key, or of the whole trace at first: { tiles: […], spans: […] …}; ours
 *              alone
 *     exact    ms from the key until all of them were there
 *     asked    by key, all that was asked because of it, beside the picture, too: paths
 *     page     MB: the peak of the process that draws; server: that of the other one
 *
 * As JSON. The keys are W, S, A, D and 0 as people press them: from all of the trace to some microseconds of it, along and back. Ours is
 * asked when its index is there. TURNS 0: no keys.
 */
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const [, , kind, url, executablePath, modules, server, turns] = process.argv;
const { chromium } = createRequire(path.join(modules, 'x'))('playwright-core');
const PATIENCE_MS = 600000; /* for what hangs */
const OURS = kind === 'ours';
const AT_REST_MS = 3000; /* until a browser has begun */
const LOOK_MS = 1000;    /* how often it is asked whether its picture is there: being asked takes the page some time */
/* Closer five times at once, along it on some levels, and back. */
const KEYS = ['W', 'D', 'W', 'a', 'W', 'D', 'W', 'W', 'A', 'W', 'd', 'W', 'W', 'D', 'w', 'S', 'S', 'D', 'S', 'S', 'a', 'S', 'S', 'S', ...OURS ? ['0'] : []];

/* The peak of a process' memory, in MB. */
function peak(pid) {
	return Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) / 1024;
}

/* Runs in the page: counts the questions of the picture that are on their way. Tables and the like are read beside it. */
function count() {
	const { fetch } = window;

	window.isPicture = (url) => /api\/v1\/(tiles?|spans|columns|memory)\b/.exec(url)?.[1];
	window.flying = 0;
	performance.setResourceTimingBufferSize(1000000);
	window.fetch = async (...what) => {
		if (!window.isPicture(what[0]))
			return fetch(...what);
		window.flying++;
		try {
			const answer = await fetch(...what), whole = await answer.clone().blob();

			return new Response(whole, { status: answer.status, headers: answer.headers });
		} finally {
			window.flying--;
		}
	};
}

/* Runs in the page: notes by its clock when the frame is there that ours says is its first whole one, or Go's has drawn. */
function picture(isOurs) {
	const note = () => {
		const channel = new MessageChannel(); /* behind what is drawn in it */

		channel.port1.onmessage = () => {
			window.pictured = performance.now();
		};
		channel.port2.postMessage(0);
	};

	if (isOurs) {
		new MutationObserver((_, observer) => {
			observer.disconnect();
			note();
		}).observe(document, { attributes: true, subtree: true, attributeFilter: ['data-drawn'] });
		return;
	}
	const timer = setInterval(() => {
		if (document.querySelector('tr-ui-timeline-view')?.model?.bounds?.isEmpty === false) {
			clearInterval(timer);
			note();
		}
	}, 20);
}

/* Runs in the page, before a key: notes when its frame is there. */
function watch() {
	window.frame = new Promise((resolve) => {
		addEventListener('keydown', (event) => {
			requestAnimationFrame(() => {
				/* behind what is drawn in it */
				const channel = new MessageChannel();

				channel.port1.onmessage = () => resolve(performance.now() - event.timeStamp);
				channel.port2.postMessage(0);
			});
		}, { once: true, capture: true });
	});
	window.pressed = performance.now();
}

/* Runs in the page: until nothing is on its way, and nothing is about to be. What was asked since the key: [[path, ms]], and in all. */
async function settle() {
	const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

	for (let quiet = 0; quiet < 6; quiet = window.flying > 0 ? 0 : quiet + 1)
		await rest(30);
	const asked = performance.getEntriesByType('resource').filter((e) => e.startTime >= (window.pressed ?? 0) && window.isPicture(e.name));
	const took = asked.map((e) => [window.isPicture(e.name), e.responseEnd - e.startTime]);

	const paths = performance.getEntriesByType('resource').filter((e) => e.startTime >= (window.pressed ?? 0) && e.name.includes('/api/v1/'))
		.map((e) => new URL(e.name).pathname + new URL(e.name).search);

	return { took, paths, exact: Math.max(0, ...asked.map((e) => e.responseEnd - window.pressed)) };
}

async function indexed(page) {
	await page.waitForFunction(async () => (await (await fetch('api/v1/progress')).json()).state !== 'making', null, { timeout: PATIENCE_MS, polling: 250 });
}

function note(said, answers) {
	answers.took.forEach(([name, ms]) => (said.answers[name] ??= []).push(ms));
}

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

try {
	const session = await browser.newBrowserCDPSession();
	const page = await browser.newPage({ viewport: { width: 1400, height: 800 } });
	const said = { frames: [], answers: {}, exact: [], asked: [] };

	page.setDefaultTimeout(PATIENCE_MS);
	if (OURS && turns > 0)
		await page.addInitScript(count);
	await page.addInitScript(picture, OURS);
	await page.waitForTimeout(AT_REST_MS);
	await page.goto(url, { timeout: PATIENCE_MS });
	do {
		await page.waitForTimeout(LOOK_MS);
		said.first = await page.evaluate(() => window.pictured);
	} while (said.first === undefined);
	if (OURS && turns > 0) {
		await indexed(page);
		note(said, await page.evaluate(settle));
	}
	for (let turn = 0; turn < turns; turn++) {
		/* closer to another place each time */
		await page.mouse.move(300 + 1000 * (turn + 0.5) / turns, 400);
		for (const key of KEYS) {
			await page.evaluate(watch);
			await page.keyboard.press(key >= 'A' && key <= 'Z' ? `Shift+${key}` : key);
			said.frames.push(await page.evaluate(() => window.frame));
			if (!OURS)
				continue;
			const answers = await page.evaluate(settle);

			note(said, answers);
			said.exact.push(answers.exact);
			said.asked.push(answers.paths);
		}
	}
	const { processInfo } = await session.send('SystemInfo.getProcessInfo');

	said.page = Math.max(...processInfo.filter((p) => p.type === 'renderer').map((p) => peak(p.id)));
	said.server = peak(server);
	console.log(JSON.stringify(said));
} finally {
	await browser.close();
}
