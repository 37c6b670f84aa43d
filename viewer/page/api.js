/*
 * api: what the server is asked (docs/viewer-api.md). Paths are relative to the page, whose own has the token. Where the page is a file
 * of its own, the file answers.
 */
import * as kept from './kept.js';
import { decode } from './tiles.js';

let here = null;

/* The file, when there is no server; known after the first answer. */
export function inFile() {
	return here;
}

export class ApiError extends Error {
	constructor(status, text) {
		super(text);
		this.status = status;
	}
}

const API = 'api/v1/';

function address(path, parameters) {
	const query = Object.entries(parameters ?? {})
		.filter(([, value]) => value !== undefined && value !== null)
		.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');

	return `${API}${path}${query ? '?' + query : ''}`;
}

function later(ms, signal) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(resolve, ms);

		signal?.addEventListener('abort', () => {
			clearTimeout(timer);
			reject(signal.reason);
		}, { once: true });
	});
}

export let onTheirWay = 0; /* questions */

async function ask(path, parameters, signal, read) {
	onTheirWay++;
	try {
		return await read(await answerTo(path, parameters, signal));
	} finally {
		onTheirWay--;
	}
}

async function answerTo(path, parameters, signal) {
	/* 503: too much to do, or no index yet */
	for (let tries = 0; ; tries++) {
		const answer = await fetch(address(path, parameters), { signal, credentials: 'omit' });

		if (answer.ok)
			return answer;
		let text = `${answer.status} ${answer.statusText}`;

		try {
			text = JSON.parse(unmask(await answer.text())).error ?? text;
		} catch {
			/* the status has to do */
		}
		if (answer.status !== 503 || tries >= 60)
			throw new ApiError(answer.status, text);
		await later(Math.min(2000, 250 * (tries + 1)), signal);
	}
}

/*
 * What is not seen but turns text around or hides it becomes seen: "\u202e". A name could otherwise pass for another, or for a
 * part of the sentence it stands in.
 */
export function unmask(text) {
	return text.replace(/[\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (c) => `\\\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

async function askFile(question, signal) {
	onTheirWay++;
	try {
		here = await kept.file(unmask);
		const answer = await question(here);

		signal?.throwIfAborted();
		return answer;
	} finally {
		onTheirWay--;
	}
}

/* What is asked first stands in the page, and is taken from it once: later it may be answered otherwise. */
let given = null;

function takeGiven(question) {
	given ??= JSON.parse(unmask(document.getElementById('given')?.textContent ?? '{}'));
	const answer = given[question];

	delete given[question];
	return answer;
}

export async function json(path, parameters, signal) {
	if (kept.file(unmask))
		return askFile((file) => file.json(path, parameters), signal);
	const answer = takeGiven(address(path, parameters).slice(API.length));

	if (answer !== undefined)
		return answer;
	return JSON.parse(unmask(await ask(path, parameters, signal, (answer) => answer.text())));
}

/*
 * Beside the picture: what the server needs a while for. A browser opens six connections to one, and should some wait for such answers, what is
 * answered at once would wait for them.
 */
const ASIDE_AT_ONCE = 2;
const aside = { running: 0, waiting: [] };

export async function jsonAside(path, parameters, signal) {
	if (aside.running === ASIDE_AT_ONCE)
		await new Promise((resolve) => aside.waiting.push(resolve)); /* whose place it gets */
	else
		aside.running++;
	try {
		signal?.throwIfAborted();
		return await json(path, parameters, signal);
	} finally {
		const next = aside.waiting.shift();

		if (next)
			next();
		else
			aside.running--;
	}
}

/* @wanted: [{ track, level, n }], 128 at most. */
export async function tiles(wanted, signal) {
	if (kept.file(unmask))
		return askFile((file) => file.tiles(wanted), signal);
	const list = wanted.map((t) => `${t.track}.${t.level}.${t.n}`).join(',');

	return decode(await ask('tiles', { list }, signal, (answer) => answer.arrayBuffer()));
}

export async function allTracks() {
	const tracks = [];
	let cursor = null, isExact = true;

	do {
		const page = await json('tracks', { limit: 10000, cursor });

		tracks.push(...page.tracks);
		isExact = page.is_exact;
		cursor = page.next;
	} while (cursor !== null);
	return { tracks, isExact };
}

export function isAborted(error) {
	return error?.name === 'AbortError';
}

/* Of several questions of one kind only the last one counts: asking ends those before it. */
export class Latest {
	constructor() {
		this.controller = null;
	}

	begin() {
		this.end();
		this.controller = new AbortController();
		return this.controller.signal;
	}

	end() {
		this.controller?.abort();
		this.controller = null;
	}
}
