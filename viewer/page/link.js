/*
 * link: all that is visible, in the fragment of the page's address, and as a command.
 *
 *     #t=1.204s+18ms&sel=12@1.2s+4ms&threads=7,9&area=…&view=locks&q=…&theme=dark
 *
 * Who opens it sees the same. What it says is text from anywhere: whatever is not understood is as if it were not there.
 */
import { parseDuration } from './time.js';

const LIMIT = 4096; /* characters */
const VIEWS = ['threads', 'locks', 'syscalls', 'tasks', 'regions', 'warnings'];
const THEMES = ['light', 'dark'];

/* Exact, and as short as that goes. */
export function writeTime(ns) {
	ns = Math.round(ns);
	for (const [unit, name] of [[1e9, 's'], [1e6, 'ms'], [1e3, 'us']]) {
		if (ns !== 0 && ns % unit === 0)
			return ns / unit + name;
	}
	return ns === 0 ? '0s' : ns + 'ns';
}

export function writeRange(range) {
	return `${writeTime(range.from)}+${writeTime(range.to - range.from)}`;
}

export function readRange(text) {
	const [first, second] = text.split('+');
	const from = parseDuration(first ?? ''), length = parseDuration(second ?? '');

	if (from === null || length === null || length <= 0 || !Number.isSafeInteger(from + length))
		return null;
	return { from, to: from + length };
}

function readNumbers(text) {
	return text.split(',').filter((word) => /^\d{1,9}$/.test(word)).map(Number);
}

export function write(state) {
	const words = [];
	const add = (key, value) => words.push(`${key}=${encodeURIComponent(value).replace(/%2C/g, ',').replace(/%40/g, '@')
		.replace(/%2B/g, '+')}`);

	if (state.view)
		add('t', writeRange(state.view));
	if (state.selection)
		add('sel', `${state.selection.track}@${writeTime(state.selection.at)}`);
	if (state.area)
		add('area', writeRange(state.area) + (state.area.tracks ? '@' + state.area.tracks.join(',') : ''));
	for (const [key, list] of [['pin', state.pinned], ['hide', state.hidden], ['lanes', state.laned]]) {
		if (list?.length > 0)
			add(key, list.join(','));
	}
	if (state.added?.length > 0)
		add('rows', state.added.map((t) => `${t.kind}.${t.id}`).join(','));
	if (state.noLocks)
		add('locks', '0');
	if (state.marks?.length > 0)
		add('marks', state.marks.map((m) => (m.to > m.from ? writeRange(m) : writeTime(m.from))).join(','));
	if (state.drawer)
		add('view', state.drawer);
	if (state.query)
		add('q', state.query);
	if (state.theme)
		add('theme', state.theme);
	return '#' + words.join('&');
}

export function read(hash) {
	const state = {};

	for (const word of hash.replace(/^#/, '').slice(0, LIMIT).split('&')) {
		const cut = word.indexOf('=');
		let value;

		try {
			value = decodeURIComponent(word.slice(cut + 1));
		} catch {
			continue;
		}
		switch (cut < 0 ? '' : word.slice(0, cut)) {
		case 't':
			state.view = readRange(value) ?? undefined;
			break;
		case 'sel': {
			const [track, time] = value.split('@');
			const at = parseDuration(time ?? '');

			if (/^\d{1,9}$/.test(track) && at !== null)
				state.selection = { track: Number(track), at };
			break;
		}
		case 'area': {
			const [range, tracks] = value.split('@');
			const area = readRange(range);

			if (area)
				state.area = { ...area, tracks: tracks === undefined ? null : readNumbers(tracks) };
			break;
		}
		case 'pin':
			state.pinned = readNumbers(value);
			break;
		case 'hide':
			state.hidden = readNumbers(value);
			break;
		case 'lanes':
			state.laned = readNumbers(value);
			break;
		case 'rows':
			/* what it is called, the server tells */
			state.added = value.split(',').slice(0, 12).map((text) => /^(lock|file|task)\.(\d{1,20})$/.exec(text)).filter((m) => m !== null)
				.map(([, kind, id]) => ({ kind, id, name: id }));
			break;
		case 'locks':
			state.noLocks = value === '0';
			break;
		case 'marks':
			state.marks = value.split(',').slice(0, 9).map((text) => {
				const at = parseDuration(text);

				return at !== null ? { from: at, to: at } : readRange(text);
			}).filter((m) => m !== null);
			break;
		case 'view':
			if (VIEWS.includes(value))
				state.drawer = value;
			break;
		case 'q':
			state.query = value.slice(0, 200);
			break;
		case 'theme':
			if (THEMES.includes(value))
				state.theme = value;
			break;
		}
	}
	return state;
}

/* A word of a shell's command line. */
export function quote(word) {
	return /^[A-Za-z0-9_./:@%+=-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`;
}
