/* table: the functions of what is zoomed to, as rows that can be read, heard and sorted. */
import { byId, button, fill, make } from './dom.js';
import { sums } from './tree.js';
import { changed, percent, plural } from './units.js';

const ROWS = 200, MANY = 100000, SOON_MS = 250; /* boxes whose sums would be felt in a zoom, and when it is over */

export class Table {
	/* @o: amount(value), names(), module(frame), isDiff, choose(frame) */
	constructor(o) {
		this.o = o;
		this.by = 'self';
		this.isUp = false;
	}

	get isOpen() {
		return !byId('drawer').hidden;
	}

	/* Of @t within @top; only when somebody sees it. */
	show(t, top, title) {
		if (!this.isOpen)
			return;
		this.t = t;
		this.top = top;
		this.title = title;
		clearTimeout(this.later);
		const add = () => {
			this.rows = sums(t, top);
			this.print();
		};

		if (t.n < MANY)
			add();
		else
			this.later = setTimeout(add, SOON_MS);
	}

	columns() {
		const difference = [['change', 'Change', (r) => r.total - r.totalBefore], ['before', 'Before', (r) => r.totalBefore]];

		return [['self', 'Itself', (r) => r.self], ['total', 'In all', (r) => r.total], ...(this.o.isDiff ? difference : [])];
	}

	sort(by) {
		this.isUp = this.by === by && !this.isUp;
		this.by = by;
		this.print();
		byId('table').querySelector(`[data-by=${by}]`).focus();
	}

	heading(by, text, isNumber = true) {
		const sort = this.by === by ? (this.isUp ? 'ascending' : 'descending') : 'none';

		return make('th', { scope: 'col', className: isNumber ? 'number' : '', 'aria-sort': sort },
			button(text + (sort === 'none' ? '' : this.isUp ? ' ▲' : ' ▼'), `Sort by: ${text}`, () => this.sort(by), { 'data-by': by }));
	}

	print() {
		const { o } = this, columns = this.columns(), names = o.names(), whole = this.t.now[this.top];
		const value = columns.find(([by]) => by === this.by)?.[2];
		const order = this.by === 'name' ? (a, b) => (names[a.frame] < names[b.frame] ? 1 : -1) : (a, b) => Math.abs(value(b)) - Math.abs(value(a));
		const rows = this.rows.slice().sort((a, b) => (this.isUp ? -1 : 1) * (order(a, b) || (names[a.frame] < names[b.frame] ? -1 : 1)));

		fill(byId('table'), make('table', {},
			make('caption', {}, `${plural(rows.length, 'function')} in ${this.title}${rows.length > ROWS ? `, the first ${ROWS} of them` : ''}`),
			make('thead', {}, make('tr', {}, columns.flatMap(([by, text]) => [this.heading(by, text), by === 'self' || by === 'total'
				? make('th', { scope: 'col', className: 'number' }, '%') : null]), this.heading('name', 'Function', false),
			make('th', { scope: 'col' }, 'Module'))),
			make('tbody', {}, rows.slice(0, ROWS).map((r) => make('tr', {},
				columns.flatMap(([by, , of]) => [
					make('td', { className: 'number' }, by === 'change' ? changed(r.total, r.totalBefore) : o.amount(of(r))),
					by === 'self' || by === 'total' ? make('td', { className: 'number' }, percent(of(r), whole)) : null]),
				make('th', { scope: 'row' }, button(names[r.frame], 'Mark it wherever it is', () => o.choose(r.frame), { className: 'link' })),
				make('td', { className: 'module', title: o.module(r.frame) }, o.module(r.frame).split('/').pop() || '–'))))));
	}
}
