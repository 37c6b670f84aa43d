/* list: what the canvases show, as a table for those who do not see them. */
import { byId, button, fill, make } from './dom.js';
import { STATES } from './states.js';
import { duration, percent } from './time.js';

/* @o: rows (visible ones), sums (track → states), view, selected (a track or null), select(track) */
export function showList(o) {
	const shown = STATES.filter((s) => o.rows.some((row) => (o.sums.get(row.id)?.[`${s.name}_ns`] ?? 0) > 0));
	const length = o.view.to - o.view.from;

	fill(byId('list'), make('table', {},
		make('caption', {}, `Threads in view, over ${duration(length)}`),
		make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'Thread'), shown.map((s) => make('th', { scope: 'col' }, s.say)))),
		make('tbody', {}, o.rows.map((row) => {
			const states = o.sums.get(row.id);

			return make('tr', { 'aria-current': String(row.id === o.selected) },
				make('th', { scope: 'row' }, button(row.name, 'select', () => o.select(row), { tabIndex: -1 })),
				shown.map((s) => make('td', {}, states ? percent(states[`${s.name}_ns`], length) : '-')));
		}))));
}
