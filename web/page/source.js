/* source: lines, with what each is the cause of. */
import { make } from './dom.js';

const FAR = 40; /* lines without anything between two that have: they are folded */

function line(page, [number, flat, cum, text]) {
	const cell = (v, title) => make('td', { className: 'number', title: v ? `${v[2]} ${title}` : '' }, v ? v[1] : '');
	const row = make('tr', { className: cum || flat ? 'hot' : '' }, make('td', { className: 'number dim' }, String(number)), cell(flat, 'in the line itself'), cell(cum, 'in it and what it called'),
		make('td', { className: 'code' }, make('code', {}, text)));

	/* how much of the function: a shade, and the number beside it */
	if (cum)
		row.style.setProperty('--heat', `${Math.min(60, Math.abs(Number.parseFloat(cum[2])) * 0.6)}%`);
	return row;
}

function lines(page, f) {
	const near = new Set(), rows = [];
	let hidden = 0;

	f.lines.forEach(([, flat, cum], i) => {
		if (flat || cum)
			for (let j = i - FAR / 2; j <= i + FAR / 2; j++)
				near.add(j);
	});
	f.lines.forEach((l, i) => {
		if (near.has(i)) {
			if (hidden > 0)
				rows.push(make('tr', {}, make('td', { colSpan: 4, className: 'dim fold' }, `⋯ ${hidden} lines without anything ⋯`)));
			hidden = 0;
			rows.push(line(page, l));
		} else {
			hidden++;
		}
	});
	return rows;
}

export function showSource(page, answer) {
	return [...answer.functions.map((f) => make('section', {},
		make('h2', {}, f.name),
		make('p', {}, f.file ? [make('code', {}, f.file), `: ${f.flat[1]} (${f.flat[2]}) itself, ${f.cum[1]} (${f.cum[2]}) with all that it called. `] : 'No source lines are known of it. ', page.ways(f)),
		f.error && make('p', { className: 'note' }, f.error),
		f.lines.length > 0 && make('table', { className: 'source' },
			make('thead', {}, make('tr', {}, ['Line', 'Flat', 'Cum'].map((t) => make('th', { scope: 'col', className: 'number' }, t)), make('th', { scope: 'col' }, 'Source'))),
			make('tbody', {}, lines(page, f))))),
	answer.advice && make('p', { className: 'note' }, answer.advice)];
}
