/* main: which view, of what; each change is one of the address, and each address a picture. */
import { ask, forget } from './ask.js';
import { byId, button, fill, make } from './dom.js';
import { asOptions, quote, showFilters } from './filters.js';
import { showFlame } from './flame.js';
import { buildHelp } from './help.js';
import { GESTURES, KEYS } from './keys.js';
import { VIEWS, exactly, question, read, write } from './link.js';
import { showPeek } from './peek.js';
import { find, isTyping } from './press.js';
import { showSource } from './source.js';
import { showTags } from './tags.js';
import { showTop } from './top.js';

const NAMES = { top: 'Top', flame: 'Flame', peek: 'Peek', source: 'Source', tags: 'Tags' };
const COMMANDS = { top: 'top', flame: 'flame', peek: 'peek', source: 'list', tags: 'tags' };
const DRAW = { top: showTop, peek: showPeek, source: showSource, tags: showTags };
const SOON_MS = 150; /* an answer that comes within it needs no sign that it is waited for */

class Page {
	constructor(meta) {
		this.meta = meta;
		this.state = read(window.location.hash);
		this.isOpen = false;
		this.systemDark = window.matchMedia('(prefers-color-scheme: dark)');
		byId('title').textContent = meta.base ? `${meta.base} → ${meta.title}` : meta.title;
		byId('title').title = byId('title').textContent;
		fill(byId('buttons'), button('About', 'a', () => this.actions().facts(), { id: 'facts-button', 'aria-expanded': 'false', 'aria-controls': 'facts' }),
			button('Link', 'l', () => this.actions().link()), button('Theme', 'T', () => this.actions().theme()),
			button('?', 'Help', () => this.actions().help(), { 'aria-label': 'Help: keys' }));
		buildHelp(KEYS, GESTURES, 'Every name is a link, every table has headings: a screen reader and Tab get everywhere.');
		this.listen();
		this.setTheme(this.systemDark.matches);
		this.show();
	}

	/* ---- what is shown ---- */

	/* As the link has it, or else the command line. */
	value(name) {
		const given = this.meta[name];

		if (this.state[name] !== undefined)
			return this.state[name];
		return given === true ? '1' : given === false || given === undefined ? '' : given;
	}

	href(what) {
		return write({ ...this.state, sort: undefined, ...what });
	}

	go(what) {
		const to = write({ ...this.state, ...what });

		if (to !== window.location.hash)
			window.location.hash = to;
		else
			this.show();
	}

	async show() {
		const { state } = this, draws = DRAW[state.view];

		this.tell();
		showFilters({ meta: this.meta, value: (n) => this.value(n), set: (what) => this.go(what), isOpen: this.isOpen, toggle: () => this.actions().more() });
		fill(byId('views'), VIEWS.map((view, i) => make('a', { href: write({ ...state, sort: undefined, view }), title: String(i + 1), ...(view === state.view ? { 'aria-current': 'page' } : {}) }, NAMES[view])));
		byId('view').dataset.view = state.view;
		if (state.view === 'flame') {
			forget();
			this.busy(true);
			this.marks = make('p', { className: 'marked' });
			this.marked('');
			fill(byId('view'), this.marks, showFlame(this, (name) => this.marked(name)));
			return;
		}
		const hasExpression = state.view === 'peek' || state.view === 'source';

		if (hasExpression && !state.expression) {
			forget();
			this.busy(false);
			fill(byId('view'), this.expression(), make('p', { className: 'note' }, 'Which function? Type some of its name, or click on one in Top.'));
			byId('expression').focus();
			return;
		}
		this.busy(true);
		try {
			const answer = await ask(question(state, state.view, hasExpression ? ['expression'] : []));

			if (answer === null)
				return;
			this.busy(false);
			this.draw = (from, more) => fill(byId('view'), hasExpression && this.expression(), draws(this, from, more));
			this.draw(answer, false);
			this.tell(answer.facts);
			byId('live').textContent = `${NAMES[state.view]} is shown`;
		} catch (error) {
			this.failed(error, hasExpression);
		}
	}

	failed(error, hasExpression = false) {
		this.busy(false);
		fill(byId('view'), hasExpression && this.expression(), make('p', { className: 'note', role: 'alert' }, error.message));
	}

	busy(is) {
		clearTimeout(this.later);
		byId('view').setAttribute('aria-busy', String(is));
		document.documentElement.toggleAttribute('data-ready', !is);
		if (is)
			this.later = setTimeout(() => document.documentElement.toggleAttribute('data-busy', true), SOON_MS);
		else
			document.documentElement.removeAttribute('data-busy');
	}

	/* The field of peek and source. */
	expression() {
		const input = make('input', { type: 'search', id: 'expression', value: this.state.expression ?? '', placeholder: 'function, or an expression',
			'aria-label': 'Functions that match', autocomplete: 'off', spellcheck: false, maxLength: 1000 });

		return make('form', { className: 'expression', on: { submit: (e) => {
			e.preventDefault();
			this.go({ expression: input.value });
		} } }, input, make('button', { type: 'submit' }, 'Show'));
	}

	/* ---- places and where one can go from them ---- */

	place(node) {
		return make('a', { href: this.href({ view: 'peek', expression: exactly(node.name || node.text, node.name ? this.value('granularity') : 'functions') }) }, node.text);
	}

	ways(node) {
		const name = node.name, way = (text, what) => make('a', { href: this.href(what) }, text), to = exactly(name);

		if (!name)
			return [];
		return [['Peek', { view: 'peek', expression: exactly(name, this.value('granularity')) }], ['Source', { view: 'source', expression: to }], ['Focus', { focus: to }], ['Ignore', { ignore: to, view: 'top' }], ['Hide', { hide: to, view: 'top' }]]
			.filter(([, what]) => what.view !== this.state.view || what.view === 'top').flatMap(([text, what], i) => [i > 0 && ' · ', way(text, what)]);
	}

	/* In the flame graph. */
	marked(name) {
		fill(this.marks, name === '' ? 'Click on a box: what is known of its function.' : [make('b', {}, name), ' ', ...this.ways({ name })]);
	}

	/* ---- about ---- */

	tell(facts = this.facts ?? []) {
		const options = asOptions(this.meta, (n) => this.value(n)), { expression, view } = this.state;
		const words = ['cprof', COMMANDS[view], ...options, ...(expression && (view === 'peek' || view === 'source') ? [quote(expression)] : []), this.meta.command];

		this.facts = facts;
		this.command = words.join(' ');
		document.title = `${NAMES[view]} – ${byId('title').textContent}`;
		fill(byId('facts'), facts.map((line) => make('p', {}, line)), make('p', {}, 'The same as a command: ', make('code', { id: 'command' }, this.command)));
	}

	setTheme(isDark) {
		this.isDark = isDark;
		document.documentElement.toggleAttribute('data-dark', isDark);
		document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
		if (byId('flame'))
			this.dressFlame(byId('flame').contentWindow);
	}

	dressFlame(inside) {
		inside.document.documentElement.dataset.framed = '';
		inside.flame?.setTheme(this.isDark);
	}

	/* ---- keys ---- */

	actions() {
		return {
			focus: () => byId('filters').elements.focus.select(),
			clear: () => this.go({ focus: '', ignore: '', hide: '', show: '', show_from: '', tagfocus: '', tagignore: '' }),
			out: () => byId('view').focus(),
			more: () => {
				this.isOpen = !this.isOpen;
				this.show();
			},
			facts: () => {
				byId('facts').hidden = !byId('facts').hidden;
				byId('facts-button').setAttribute('aria-expanded', String(!byId('facts').hidden));
			},
			link: () => navigator.clipboard.writeText(window.location.href).then(() => {
				byId('live').textContent = 'the link is copied';
			}, () => {
				byId('live').textContent = 'it is in the address bar';
			}),
			theme: () => this.setTheme(!this.isDark),
			help: () => (byId('help').open ? byId('help').close() : byId('help').showModal()),
		};
	}

	/* @active: who has the keyboard; @others: actions of ours that it has for itself. */
	pressed(e, active, others = []) {
		const pressed = find(e, KEYS);

		if (isTyping(active) && e.key === 'Escape')
			return this.actions().out();
		if (pressed === null || isTyping(active) || others.includes(pressed.entry.action) || (byId('help').open && pressed.entry.action !== 'help'))
			return;
		e.preventDefault();
		if (pressed.entry.view)
			this.go({ view: pressed.entry.view, sort: undefined });
		else
			this.actions()[pressed.entry.action]();
	}

	listen() {
		document.addEventListener('keydown', (e) => this.pressed(e, document.activeElement));
		byId('filters').addEventListener('submit', (e) => e.preventDefault());
		window.addEventListener('hashchange', () => {
			this.state = read(window.location.hash);
			this.show();
		});
		this.systemDark.addEventListener('change', (e) => this.setTheme(e.matches));
	}
}

ask('api/v1/meta').then((meta) => {
	window.web = new Page(meta);
}).catch((error) => {
	fill(byId('view'), make('p', { className: 'note', role: 'alert' }, error.message));
	throw error;
});
