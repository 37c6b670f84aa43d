/* peek: places between those that call them and those that they call. */
import { make } from './dom.js';
import { cells } from './top.js';

const SHOWN = 40; /* edges of one place; the rest is in the terminal's */

function edges(page, label, all) {
	return [make('tr', { className: 'group' }, make('th', { colSpan: 3, scope: 'colgroup' }, all.length === 0 ? `${label}: none` : `${label}`)),
		...all.slice(0, SHOWN).map((e) => make('tr', {}, cells(e.calls), make('th', { scope: 'row' }, page.place(e), make('span', { className: 'dim' }, e.mark)))),
		all.length > SHOWN && make('tr', {}, make('td', { colSpan: 3, className: 'dim' }, `and ${all.length - SHOWN} smaller ones`))];
}

export function showPeek(page, answer) {
	return [...answer.places.map((p) => make('section', { className: 'peek' },
		make('h2', {}, p.text),
		make('p', {}, `${p.flat[1]} (${p.flat[2]}) itself, ${p.cum[1]} (${p.cum[2]}) with all that it called. `, page.ways(p)),
		make('table', {}, make('tbody', {}, edges(page, 'Called by', p.callers)), make('tbody', {}, edges(page, 'Calls', p.callees))))),
	answer.left_out > 0 && make('p', { className: 'note' }, `${answer.left_out} more match: say more of the name.`)];
}
