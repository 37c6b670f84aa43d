/* top: the functions, those with most first. */
import { button, make } from './dom.js';

const SHOWN = 500; /* rows: more are drawn when they are asked for */
const VALUE = { flat: (r) => r.flat[0], cum: (r) => r.cum[0] };

/* A cell of how much, and how much of all, with a bar behind it. */
export function cells([value, text, share]) {
	const bar = make('span', { className: 'bar', 'aria-hidden': 'true' });

	/* the cell has 12px on its right */
	bar.style.width = `calc((100% - 12px) * ${Math.min(1, Math.abs(Number.parseFloat(share) || 0) / 100)})`;
	return [make('td', { className: `number${value < 0 ? ' below' : ''}` }, value === 0 ? '' : text), make('td', { className: 'number share' }, bar, make('span', {}, value === 0 ? '' : share))];
}

/* @page: href(what), go(what), say(text), value(name), exactly(name). */
export function showTop(page, answer, more = false) {
	const by = page.state.sort?.replace('-', '') === 'flat' ? 'flat' : 'cum';
	const chosen = page.state.sort === undefined ? 'flat' : page.state.sort.startsWith('name') || page.state.sort.startsWith('-name') ? 'name' : by;
	const isUp = page.state.sort?.startsWith('-') ?? false;
	const order = chosen === 'name' ? (a, b) => (a.text < b.text ? -1 : 1) : (a, b) => Math.abs(VALUE[chosen](b)) - Math.abs(VALUE[chosen](a));
	const rows = answer.rows.map((row, i) => ({ row, i })).sort((a, b) => (isUp ? -1 : 1) * order(a.row, b.row) || a.i - b.i).map(({ row }) => row);
	const heading = (key, text, about) => make('th', { scope: 'col', colSpan: key === 'name' ? 1 : 2, className: key === 'name' ? '' : 'number',
		'aria-sort': chosen !== key ? 'none' : isUp === (key === 'name') ? 'descending' : 'ascending' },
	button(`${text}${chosen === key ? (isUp ? ' ▲' : ' ▼') : ''}`, about, () => page.go({ sort: chosen === key && !isUp ? `-${key}` : key }), { 'data-by': key }));
	const drawn = more ? rows : rows.slice(0, SHOWN);

	return [
		make('table', { className: 'top' },
			make('caption', {}, `${answer.rows.length} ${answer.rows.length === 1 ? 'place' : 'places'}, ${answer.total[1]} in all`,
				answer.left_out > 0 && [`; ${answer.left_out} smaller ones are left out `, button('show all', 'However small they are', () => page.go({ trim: '0' }), { className: 'link' })],
				page.state.trim === '0' && ['; ', button('only what counts', 'No less than 0.5 % of all', () => page.go({ trim: undefined }), { className: 'link' })]),
			make('thead', {}, make('tr', {}, heading('flat', 'Flat', 'In the function itself'), heading('cum', 'Cum', 'In it, and in all that it called'), heading('name', 'Where', 'By name'))),
			make('tbody', {}, drawn.map((r) => make('tr', {}, cells(r.flat), cells(r.cum),
				make('th', { scope: 'row' }, page.place(r), make('span', { className: 'dim' }, r.mark)))))),
		drawn.length < rows.length && make('p', {}, button(`The other ${rows.length - drawn.length} rows`, '', () => page.draw(answer, true))),
		answer.rows.length === 0 && make('p', { className: 'note' }, 'Nothing to show: no sample has any of this.'),
	];
}
