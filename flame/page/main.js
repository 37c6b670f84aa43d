/* main: the state of the page, and what changes it. */
import { showChoices, showFacts } from './choices.js';
import { decode, unpack } from './data.js';
import { byId, button, fill, make } from './dom.js';
import { buildHelp } from './help.js';
import { GESTURES, KEYS } from './keys.js';
import { OTHERS, changeColour, moduleColour, rankModules } from './paint.js';
import { showPanel, tell } from './panel.js';
import { find, isTyping } from './press.js';
import { match, only } from './search.js';
import { Stage } from './stage.js';
import { Table } from './table.js';
import { found, isWithin, lay, shape, valuesOf } from './tree.js';
import { amount, changed, percent, plural } from './units.js';

const NEAR = 60; /* pixels: a box that is gone to is made at least so wide, when it can be */

class Page {
	constructor(data) {
		const { meta } = data;

		this.data = data;
		this.state = { column: meta.column, group: '', only: '', width: 'larger', inverted: meta.inverted, up: meta.up };
		this.query = '';
		this.hits = null;
		this.found = null;
		this.at = -1; /* of what was found */
		this.before = []; /* zooms to go back to */
		this.systemDark = window.matchMedia('(prefers-color-scheme: dark)');
		this.stage = new Stage({ clicked: (i) => this.clicked(i), hovered: (i, x, y) => this.tip(i, x, y) });
		this.table = new Table({
			amount: (v) => this.amount(v), names: () => this.t.names, module: (f) => data.modules[f] ?? '', isDiff: meta.diff,
			choose: (frame) => this.same(frame),
		});
		this.actions = this.makeActions();
		buildHelp(KEYS, GESTURES, 'What is marked is told to screen readers; the table has the same numbers as text.');
		this.listen();
		this.setTheme(this.systemDark.matches);
		this.build();
	}

	get t() {
		return this.stage.t;
	}

	amount(value) {
		return amount(value, this.data.meta.columns[this.state.column], this.data.meta.ratio);
	}

	/* ---- from the state to what is seen ---- */

	set(what) {
		const isShape = 'inverted' in what || 'group' in what;

		Object.assign(this.state, what);
		if (isShape)
			this.form = null;
		this.build();
	}

	/* All of it anew: where one was is kept, when it is there still. */
	build() {
		const { data, state } = this, wanted = state.only === '' ? null : JSON.parse(state.only);
		const values = wanted ? valuesOf(data, wanted[0]) : null;
		const last = this.t && this.form === this.t.shape ? [this.stage.zoom, this.stage.focus].map((i) => this.t.node[i]) : [0, 0];

		this.form ??= shape(data, state);
		const t = lay(data, this.form, { column: state.column, width: state.width, wants: values && ((set) => values[set] === wanted[1]) });

		this.stage.isUp = state.up;
		this.stage.set(t);
		this.modules = rankModules(data, t);
		this.before = [];
		this.stage.painter.prepare(data, t, this.modules, this.isDark);
		this.legend();
		showChoices(data, state, (what) => this.set(what), this.actions);
		showFacts(data, t);
		this.search(this.query);
		const [zoom, focus] = last.map((node) => Math.max(0, t.place[node]));

		this.stage.focus = isWithin(t, focus, zoom) ? focus : zoom;
		this.zoomed(zoom);
	}

	setTheme(isDark) {
		this.isDark = isDark;
		document.documentElement.toggleAttribute('data-dark', isDark);
		document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
		if (this.t) {
			this.stage.painter.prepare(this.data, this.t, this.modules, isDark);
			this.legend();
			this.stage.ask();
		}
	}

	legend() {
		const { meta } = this.data, parts = [];
		const add = (colour, text, title = '') => {
			const swatch = make('span', { className: 'swatch', 'aria-hidden': 'true' });

			swatch.style.background = colour;
			parts.push(make('span', { title }, swatch, text));
		};

		if (meta.diff) {
			for (const [share, text] of [[-1, 'gone'], [-0.5, 'less'], [0, 'the same'], [0.5, 'more'], [1, 'new']])
				add(changeColour(share, this.isDark), text);
			parts.push(make('span', { className: 'says' }, { larger: 'Width: the larger of before and now, stack by stack',
				now: 'Width: now', before: 'Width: before' }[this.state.width]));
		} else {
			for (const [i, module] of this.modules.ranked.entries())
				add(moduleColour(i, 0, this.isDark), `${module.split('/').pop() || 'no module'} ${percent(this.modules.has.get(module), this.modules.sum)}`, module);
			if (this.modules.has.size > OTHERS)
				add(moduleColour(OTHERS, 0, this.isDark), 'others');
			parts.push(make('span', { className: 'says' }, 'Colours: modules, by what they have themselves'));
		}
		fill(byId('legend'), parts);
	}

	/* ---- zoom ---- */

	clicked(i) {
		this.stage.focus = i;
		this.zoomTo(i);
		this.say(i);
	}

	zoomTo(i) {
		if (i !== this.stage.zoom)
			this.before.push(this.stage.zoom);
		if (!isWithin(this.t, this.stage.focus, i))
			this.stage.focus = i;
		this.zoomed(i);
	}

	zoomed(i) {
		this.stage.zoomTo(i);
		this.path(i);
		this.count();
		this.table.show(this.t, i, i === 0 ? 'all' : this.t.names[this.t.frame[i]]);
		this.details();
	}

	back() {
		if (this.before.length > 0)
			this.zoomed(this.before.pop());
		else if (this.stage.zoom !== 0)
			this.zoomed(0);
		else if (this.hits)
			this.search('');
		else
			this.zoomed(0);
	}

	path(i) {
		const { t } = this, ways = [];

		for (let up = i; up > 0; up = t.parent[up])
			ways.unshift(up);
		const name = (at) => (at === 0 ? 'all' : t.names[t.frame[at]]);
		/* the first and the last few: what is between can be seen in the picture */
		const shown = ways.length > 6 ? [0, ways[0], -1, ...ways.slice(-4)] : [0, ...ways];
		const whole = t.w[0] <= 0 ? 'Nothing to show: no sample has any of this.' : `${this.amount(t.now[i])}${i > 0 ? `, ${percent(t.now[i], t.now[0])} of all` : ''}`;

		fill(byId('path'), shown.flatMap((at, n) => [n > 0 && make('span', { 'aria-hidden': 'true' }, '›'),
			at < 0 ? make('span', {}, '…') : at === i ? make('span', { className: 'here', 'aria-current': 'location', title: name(at) }, name(at))
				: button(name(at), name(at), () => this.zoomTo(at))]),
		make('span', { className: 'share' }, whole, this.data.meta.diff && t.w[0] > 0 ? `, before ${this.amount(t.before[i])}, ${changed(t.now[i], t.before[i])}` : ''));
	}

	/* ---- search ---- */

	search(query) {
		this.query = query;
		byId('query').value = query;
		try {
			this.hits = match(this.data, this.t.names, query);
		} catch (error) {
			this.hits = null;
			this.wrong = `no regular expression: ${error.message.split(': ').pop()}`;
		}
		this.at = -1;
		this.stage.hits = this.hits;
		this.count();
		this.wrong = undefined;
		this.stage.ask();
	}

	/* Every box of one function, whatever else has its name in it. */
	same(frame) {
		this.search(this.t.names[frame].toLowerCase());
		this.query = byId('query').value = this.t.names[frame];
		this.hits = this.stage.hits = only(this.t.names, frame);
		this.count();
		this.stage.ask();
	}

	count() {
		const { t } = this, top = this.stage.zoom;

		this.found = this.hits ? found(t, top, this.hits) : null;
		byId('hits').textContent = this.wrong ?? (this.found === null ? ''
			: this.found.boxes.length === 0 ? 'not found'
				: `${plural(this.found.boxes.length, 'box', 'boxes')}, ${this.amount(this.found.now)}, ${percent(this.found.now, t.now[top])} of ${top === 0 ? 'all' : 'the view'}`);
	}

	toHit(by) {
		const boxes = this.found?.boxes ?? [];

		if (boxes.length === 0)
			return this.say(-1, this.hits ? 'nothing is found here' : 'nothing is searched');
		this.at = this.at < 0 ? (by > 0 ? 0 : boxes.length - 1) : (this.at + by + boxes.length) % boxes.length;
		this.go(boxes[this.at], `${this.at + 1} of ${boxes.length}: `);
	}

	/* ---- what is marked ---- */

	go(i, before = '') {
		const { stage, t } = this, [x0, x1] = stage.view;

		if (i < 0)
			return;
		stage.focus = i;
		/* what would not be seen is zoomed to, with as much around it as leaves it readable */
		if (t.x[i] + t.w[i] <= x0 || t.x[i] >= x1 || t.w[i] / (x1 - x0) * stage.width < 3) {
			let top = i;

			while (top > 0 && t.w[i] / t.w[t.parent[top]] * stage.width >= NEAR)
				top = t.parent[top];
			stage.slide(t.x[top], t.x[top] + t.w[top]);
		}
		stage.showRow(i);
		this.say(i, before);
		this.details();
	}

	/* @step: 1 towards the leaves. */
	deeper(step) {
		const { t, stage } = this, i = stage.focus, [x0, x1] = stage.view;

		if (step < 0)
			return this.go(t.parent[i]);
		/* the widest that is in view */
		for (let c = t.first[i]; c < t.first[i] + t.count[i]; c++)
			if (t.x[c] < x1 && t.x[c] + t.w[c] > x0)
				return this.go(c);
		this.say(-1, `nothing ${this.state.inverted ? 'calls this' : 'is called'} here`);
	}

	beside(step) {
		const { t, stage } = this, to = stage.focus + step, level = t.depth[stage.focus];

		if (to >= t.levels[level] && to < t.levels[level + 1] && isWithin(t, to, stage.zoom))
			this.go(to);
		else
			this.say(-1, 'the row ends here');
	}

	say(i, before = '') {
		if (i < 0)
			return void (byId('live').textContent = before);
		const told = tell(this.told(), i);

		byId('live').textContent = `${before}${told.name}: ${told.size}. ${told.place}${told.place ? '. ' : ''}Row ${this.t.depth[i]}, ${plural(this.t.count[i], 'box', 'boxes')} ${this.state.up ? 'above' : 'below'}`;
	}

	told() {
		return { data: this.data, t: this.t, amount: (v) => this.amount(v) };
	}

	details() {
		/* for a page that has this one in a frame */
		window.dispatchEvent(new CustomEvent('mark', { detail: this.stage.focus > 0 ? this.t.names[this.t.frame[this.stage.focus]] : '' }));
		if (byId('panel').hidden)
			return;
		showPanel({ ...this.told(), i: this.stage.focus, zoom: this.stage.zoom, isInverted: this.state.inverted,
			zoomTo: (i) => this.clicked(i), same: (frame) => this.same(frame) });
	}

	tip(i, x, y) {
		const tip = byId('tip'), box = byId('stage').getBoundingClientRect();

		tip.hidden = i < 0;
		if (i < 0)
			return;
		if (this.tipped !== i || this.tippedTree !== this.t) {
			const told = tell(this.told(), i);

			[this.tipped, this.tippedTree] = [i, this.t];
			fill(tip, make('p', { className: 'name' }, told.name), make('p', {}, told.size), told.place && make('p', { className: 'dim' }, told.place));
		}
		const left = Math.max(4, Math.min(x - box.left + 12, box.width - tip.offsetWidth - 4));
		const below = y - box.top + 18, isAbove = below + tip.offsetHeight > box.height;

		tip.style.left = `${left}px`;
		tip.style.top = `${isAbove ? Math.max(4, y - box.top - tip.offsetHeight - 10) : below}px`;
	}

	/* ---- keys ---- */

	makeActions() {
		const { stage } = this;
		const open = (id) => {
			byId(id).hidden = !byId(id).hidden;
			showChoices(this.data, this.state, (what) => this.set(what), this.actions);
			this.zoomed(stage.zoom);
		};
		const middle = () => {
			const [x0, x1] = stage.view, x = this.t.x[stage.focus] + this.t.w[stage.focus] / 2;

			return x >= x0 && x <= x1 ? x : (x0 + x1) / 2;
		};

		return {
			down: () => this.deeper(this.state.up ? -1 : 1),
			up: () => this.deeper(this.state.up ? 1 : -1),
			left: () => this.beside(-1),
			right: () => this.beside(1),
			home: () => this.go(0),
			zoom: () => {
				this.zoomTo(stage.focus);
				this.say(stage.focus, 'zoomed to ');
			},
			back: () => {
				this.back();
				this.say(stage.zoom, 'back at ');
			},
			closer: () => stage.scale(2, middle()),
			farther: () => stage.scale(0.5, middle()),
			reset: () => {
				this.search('');
				this.before = [];
				stage.focus = 0;
				this.zoomed(0);
				this.say(0);
			},
			search: () => byId('query').select(),
			next: () => this.toHit(1),
			previous: () => this.toHit(-1),
			same: () => stage.focus > 0 && this.same(this.t.frame[stage.focus]),
			invert: () => this.set({ inverted: !this.state.inverted }),
			flip: () => this.set({ up: !this.state.up }),
			table: () => open('drawer'),
			details: () => open('panel'),
			theme: () => this.setTheme(!this.isDark),
			help: () => (byId('help').open ? byId('help').close() : byId('help').showModal()),
		};
	}

	listen() {
		document.addEventListener('keydown', (e) => {
			const pressed = find(e, KEYS);

			if (pressed === null || isTyping(document.activeElement) || (byId('help').open && pressed.entry.action !== 'help'))
				return;
			/* a button, a scrolled table have these for themselves */
			if (document.activeElement.matches('button, a, #table') && ['Enter', 'ArrowDown', 'ArrowUp', 'Home'].includes(e.key))
				return;
			e.preventDefault();
			this.actions[pressed.entry.action]();
		});
		byId('query').addEventListener('input', () => this.search(byId('query').value));
		byId('query').addEventListener('keydown', (e) => {
			if (e.key !== 'Escape')
				return;
			this.search('');
			byId('rows').focus();
		});
		byId('search').addEventListener('submit', (e) => {
			e.preventDefault();
			byId('rows').focus();
			this.toHit(1);
		});
		byId('facts-button').addEventListener('click', () => {
			byId('facts').hidden = !byId('facts').hidden;
			byId('facts-button').setAttribute('aria-expanded', String(!byId('facts').hidden));
		});
		this.systemDark.addEventListener('change', (e) => this.setTheme(e.matches));
	}
}

unpack('data').then((bytes) => {
	window.flame = new Page(decode(bytes));
	byId('rows').focus({ preventScroll: true });
	document.documentElement.dataset.ready = '';
	window.dispatchEvent(new Event('drawn'));
}).catch((error) => {
	fill(byId('path'), make('span', { role: 'alert' }, `This page cannot be shown: ${error.message}`));
	throw error;
});
