/*
 * lanes: rows that are not a thread's states: what lies beneath them (regions, system calls, samples of the stack), and those of a lock,
 * a file or a task: who had it, and above it how much was waited for it. What is rare is a strip above the states.
 */
import { NAMES, SMALL, fit } from './draw.js';
import { ROW } from './rows.js';
import { STATES, colourOf, hueOf } from './states.js';
import { duration, grouped } from './time.js';
import { toX } from './view.js';

const DEPTHS = 3; /* of regions; what is deeper is drawn in the last of them */
const CALL = 4, LOCK = 2;
export const RARE = [
	{ flag: 1, say: 'a call that failed', colour: 'bad' },
	{ flag: 2, say: 'a message', colour: 'mark' },
	{ flag: 4, say: 'lost events', colour: 'text' },
];

function colourOfName(name, isDark) {
	return `hsl(${hueOf(name ?? '')} ${name === null ? 0 : 55}% ${isDark ? 34 : 76}%)`;
}

/* A bar with what can be written on it. */
function bar(c, o, item, y, height, colour, ink, text) {
	const a = Math.max(NAMES, NAMES + toX(o.view, o.width, item.begin_ns));
	const b = Math.min(NAMES + o.width, NAMES + toX(o.view, o.width, item.end_ns));

	if (b < NAMES || a > NAMES + o.width)
		return;
	c.fillStyle = colour;
	c.fillRect(a, y, Math.max(1, b - a - (b - a > 4 ? 1 : 0)), height);
	if (b - a < 22 || height < 9 || !text)
		return;
	const shown = fit(c, text, b - a - 6);

	c.fillStyle = ink;
	c.fillText(shown, a + 3, y + height / 2 + 0.5);
}

/* What an item says of itself: its name, and for how many it stands. */
export function sayItem(item) {
	return (item.label ?? '') + (item.count > 1 ? `${item.label ? ' ' : ''}${grouped(item.count)}×` : '');
}

/* @found: what the server said of the thread. */
export function drawLane(c, row, y, o, found) {
	const { theme } = o;

	c.font = SMALL;
	c.textBaseline = 'middle';
	if (row.lane === 'regions') {
		/* tasks are what regions are parts of */
		const first = found.tasks.length > 0 ? 1 : 0;
		const deepest = Math.min(DEPTHS, found.regions.reduce((n, r) => Math.max(n, r.depth + 1 + first), 1));
		const high = Math.floor((ROW - 4) / deepest);

		for (const item of found.tasks)
			bar(c, o, item, y + 2, high - 1, colourOfName(item.label, theme.isDark), theme.text, sayItem(item));
		for (const item of found.regions)
			bar(c, o, item, y + 2 + Math.min(item.depth + first, deepest - 1) * high, high - 1, colourOfName(item.label, theme.isDark), theme.text, sayItem(item));
		for (const item of found.marks) {
			const x = NAMES + toX(o.view, o.width, item.begin_ns);

			if (x < NAMES || x > NAMES + o.width)
				continue;
			c.fillStyle = theme.mark;
			c.beginPath();
			c.moveTo(x - 4, y + 1);
			c.lineTo(x + 4, y + 1);
			c.lineTo(x, y + 8);
			c.fill();
			c.fillRect(x, y + 1, 1, ROW - 2);
		}
	} else if (row.lane === 'calls') {
		for (const item of found.calls) {
			bar(c, o, item, y + 4, ROW - 8, colourOf(CALL, theme.isDark), theme.onState[CALL], sayItem(item));
			if (item.errors > 0)
				bar(c, o, item, y + ROW - 4, 2, theme.bad, theme.bad, null);
		}
	} else {
		c.fillStyle = theme.dim;
		for (const item of found.samples)
			bar(c, o, item, y + 5, ROW - 10, theme.dim, theme.page, sayItem(item));
	}
}

/* @found: the server's answer for the lock, file or task; @names: track → name */
export function drawThing(c, row, y, o, found, names) {
	const { theme } = o;
	const n = found.columns, length = found.to_ns - found.from_ns;
	const most = found.waiting_ns.reduce((a, b) => Math.max(a, b), 0);

	c.save();
	c.beginPath();
	c.rect(NAMES, y, o.width, ROW);
	c.clip();
	if (most > 0) {
		c.fillStyle = colourOf(row.thing.kind === 'file' ? CALL : LOCK, theme.isDark);
		c.beginPath();
		c.moveTo(NAMES + toX(o.view, o.width, found.from_ns), y + 11);
		found.waiting_ns.forEach((ns, i) => {
			const level = y + 11 - Math.ceil(ns / most * 9);

			c.lineTo(NAMES + toX(o.view, o.width, found.from_ns + length * i / n), level);
			c.lineTo(NAMES + toX(o.view, o.width, found.from_ns + length * (i + 1) / n), level);
		});
		c.lineTo(NAMES + toX(o.view, o.width, found.to_ns), y + 11);
		c.fill();
	}
	c.restore();
	c.font = SMALL;
	c.textBaseline = 'middle';
	for (const use of found.uses) {
		const state = use.state ? STATES.findIndex((s) => s.name === use.state) : -1;
		const who = use.count > 1 && use.label === null ? `${grouped(use.count)}×` : names(use.track);

		bar(c, o, use, y + 12, ROW - 14, state >= 0 ? colourOf(state, theme.isDark) : colourOfName(names(use.track), theme.isDark),
			state >= 0 ? theme.onState[state] : theme.text, who + (use.label ? ` ${use.label}` : ''));
	}
}

/* What the row's own text has at its right. */
export function sayThing(row) {
	return row.thing.waited > 0 ? `L ${duration(row.thing.waited)}` : '';
}

/* One column of what is rare has a device pixel at least; of what is longer, a line, as only its end is known. */
export function drawRare(c, y, o, found) {
	const { theme } = o;
	const length = found.range.to - found.range.from;
	const xOf = (i) => NAMES + toX(o.view, o.width, found.range.from + length * i / found.columns);

	for (const { flag, colour } of RARE) {
		c.fillStyle = theme[colour];
		for (let k = 0; k < found.rare.length; k++) {
			if ((found.rare[k][1] & flag) === 0)
				continue;
			const begin = found.rare[k][0];

			while (k + 1 < found.rare.length && found.rare[k + 1][0] === found.rare[k][0] + 1 && (found.rare[k + 1][1] & flag) !== 0)
				k++;
			const a = Math.max(NAMES, xOf(begin)), b = Math.min(NAMES + o.width, xOf(found.rare[k][0] + 1));

			if (b <= NAMES || a >= NAMES + o.width)
				continue;
			c.fillRect(a, y + 1, Math.max(1, b - a), 1);
			c.fillRect(Math.max(a, b - 3), y, Math.max(1, Math.min(3, b - a)), 3);
		}
	}
}

/* What is rare at a moment, in words; '' for nothing. */
export function sayRare(found, ns) {
	const column = Math.floor((ns - found.range.from) / (found.range.to - found.range.from) * found.columns);
	const flags = found.rare.find(([at]) => at === column)?.[1] ?? 0;

	return RARE.filter(({ flag }) => flags & flag).map(({ say }) => say).join(', ');
}

/* The item of a lane or of a thing at a moment: one that is there, the innermost; else the nearest in @near ns. */
export function itemAt(items, ns, near) {
	const within = items.filter((i) => i.begin_ns <= ns && i.end_ns >= ns);

	if (within.length > 0)
		return within.reduce((a, b) => (b.end_ns - b.begin_ns <= a.end_ns - a.begin_ns ? b : a));
	return items.find((i) => i.begin_ns - near <= ns && i.end_ns + near >= ns) ?? null;
}
