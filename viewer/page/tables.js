/*
 * tables: the drawer with the tables of the commands, of the selection or of the whole trace. A table is asked for and shown a page
 * at a time, whatever is in it.
 */
import * as api from './api.js';
import { byId, button, fill, make } from './dom.js';
import { duration, grouped } from './time.js';

export const TABLES = [
	{ name: 'threads', say: 'Threads' },
	{ name: 'locks', say: 'Locks' },
	{ name: 'syscalls', say: 'System calls' },
	{ name: 'tasks', say: 'Tasks' },
	{ name: 'regions', say: 'Regions' },
	{ name: 'warnings', say: 'Warnings' },
];
const PAGE = 100; /* rows */

/* Rows of any table as lists of [column, value], with what is an object spread out. */
export function flatten(row) {
	return Object.entries(row).flatMap(([key, value]) => (value !== null && typeof value === 'object' && !Array.isArray(value) ?
		Object.entries(value).map(([inner, v]) => [inner, v]) : [[key, value]]));
}

/* "total_ns" is "total"; times are not counts. */
export function headerOf(column) {
	return column.replace(/_ns$/, '').replace(/_/g, ' ');
}

export function cellOf(column, value) {
	if (value === null || value === undefined)
		return '-';
	if (column.endsWith('_ns') && typeof value === 'number')
		return duration(value);
	if (typeof value === 'number')
		return /tid$|^task$|^id$/.test(column) ? String(value) : Number.isInteger(value) ? grouped(value) : value.toPrecision(3);
	if (Array.isArray(value))
		return value.map((v) => (typeof v === 'object' ? JSON.stringify(v) : String(v))).join(', ').slice(0, 400);
	return String(value);
}

/* The rows there are: some tables are an object with one list of them. */
export function rowsOf(answer) {
	if (Array.isArray(answer))
		return answer;
	return Object.values(answer).find((v) => Array.isArray(v) && typeof v[0] === 'object') ?? [];
}

export class Drawer {
	/* @o: range() → { from, to, threads } or null for all; picked(row), opened(name or null) */
	constructor(o) {
		this.o = o;
		this.name = null;
		this.last = 'locks';
		this.isLinked = true;
		this.latest = new api.Latest();
		this.rows = [];
		this.shown = 0;
		this.sort = null;
		this.buildTabs();
	}

	buildTabs() {
		const linked = make('input', { type: 'checkbox', id: 'linked', checked: true, on: { change: () => {
			this.isLinked = linked.checked;
			this.load();
		} } });

		this.tabs = TABLES.map((t) => button(t.say, t.name, () => this.open(t.name), { role: 'tab', id: `tab-${t.name}` }));
		fill(byId('tabs'), this.tabs, make('label', { for: 'linked' }, linked, ' only what is selected or in view'),
			button('✕', 'close the tables', () => this.close(), { 'aria-label': 'Close the tables' }));
	}

	open(name) {
		this.name = this.last = name;
		byId('drawer').hidden = false;
		this.tabs.forEach((tab, i) => tab.setAttribute('aria-selected', String(TABLES[i].name === name)));
		this.sort = null;
		this.load();
		this.o.opened(name);
	}

	close() {
		this.name = null;
		this.latest.end();
		byId('drawer').hidden = true;
		this.o.opened(null);
	}

	/* @name: null for none */
	show(name) {
		if (name !== null)
			this.open(name);
		else
			this.close();
	}

	toggle() {
		this.show(this.name === null ? this.last : null);
	}

	/* The selection is another one. */
	changed() {
		if (this.name !== null && this.isLinked)
			this.load();
	}

	async load() {
		const { name } = this;
		const range = this.isLinked ? this.o.range() : null;
		const of = name === 'warnings' ? 'summary' : name;

		if (name === null)
			return;
		try {
			const answer = await api.json(`table/${of}`, range ?? {}, this.latest.begin());

			this.rows = name === 'warnings' ? answer.warnings ?? [] : rowsOf(answer);
			this.shown = PAGE;
			this.fill();
		} catch (error) {
			if (!api.isAborted(error))
				fill(byId('table'), make('p', { role: 'alert' }, error.message));
		}
	}

	sorted() {
		if (this.sort === null)
			return this.rows;
		const { column, isReverse } = this.sort;
		const value = (row) => flatten(row).find(([key]) => key === column)?.[1] ?? null;

		return this.rows.map((row) => [value(row), row]).sort(([a], [b]) => {
			const order = typeof a === 'number' && typeof b === 'number' ? a - b : String(a ?? '').localeCompare(String(b ?? ''));

			return isReverse ? -order : order;
		}).map(([, row]) => row);
	}

	sortBy(column) {
		/* the largest first; once more, the smallest */
		this.sort = { column, isReverse: !(this.sort?.column === column && this.sort.isReverse) };
		this.fill();
	}

	fill() {
		const rows = this.sorted();
		const columns = [...new Set(rows.slice(0, 50).flatMap((row) => flatten(row).map(([key]) => key)))];

		if (rows.length === 0) {
			fill(byId('table'), make('p', { className: 'dim' }, 'There are none here.'));
			return;
		}
		const isNumber = Object.fromEntries(columns.map((c) => [c, rows.some((row) => typeof flatten(row).find(([key]) => key === c)?.[1] === 'number')]));
		const sortOf = (c) => (this.sort?.column === c ? this.sort.isReverse ? 'descending' : 'ascending' : 'none');
		const head = make('tr', {}, columns.map((c) => make('th', { scope: 'col', className: isNumber[c] ? 'number' : '', 'aria-sort': sortOf(c) },
			button(headerOf(c) + { descending: ' ▾', ascending: ' ▴', none: '' }[sortOf(c)], 'sort', () => this.sortBy(c)))));
		const body = rows.slice(0, this.shown).map((row) => {
			const cells = new Map(flatten(row));

			return make('tr', {}, columns.map((c, i) => {
				const text = cellOf(c, cells.get(c));
				const where = this.o.canPick(row) && i === 0;

				return make('td', { className: isNumber[c] ? 'number' : '', title: text },
					where ? button(text, 'find it in the picture', () => this.o.picked(row), { className: 'link' }) : text);
			}));
		});

		fill(byId('table'), make('table', {}, make('thead', {}, head), make('tbody', {}, body)),
			rows.length > this.shown && button(`${grouped(rows.length - this.shown)} more`, 'show the next ones', () => {
				this.shown += PAGE * 5;
				this.fill();
			}));
	}
}
