/*
 * main: what the page knows, and when it is drawn and told anew. All else is functions of that.
 *
 *     input, bar ──→ actions ──→ selection, path ──→ App ──→ picture (draw), told (panel, list), tables, address
 *                                                     ↑
 *                                        loader: tiles, spans, columns, edges
 */
import { goTo, makeActions } from './actions.js';
import { readAddress, writeAddress } from './address.js';
import * as api from './api.js';
import { showBar } from './bar.js';
import { byId } from './dom.js';
import { buildHelp } from './help.js';
import { GESTURES, KEYS } from './keys.js';
import { Input } from './input.js';
import { Loader, prepareSpan } from './loader.js';
import { showMessage } from './panel.js';
import * as picture from './picture.js';
import { ROW, idOfThing, isBetterGrouped, layOut, rowOf, visible } from './rows.js';
import { Search } from './search.js';
import * as selection from './selection.js';
import { STATES } from './states.js';
import { Drawer } from './tables.js';
import * as told from './told.js';
import * as views from './view.js';

const GROUPED_FROM = 60;   /* threads: with more, those of one name are one row at first */
const LOCKS_SHOWN = 3;
const ARRIVALS_MS = 50;    /* answers that come within it are drawn at once */
const FIRST_MS = 100;      /* the first frame waits so long for the rows: one whole frame is sooner there than two */
const RANGE_REST_MS = 300; /* what takes a pass over the trace is asked for when the view rests */

class App {
	constructor(meta, tracks, isExact) {
		this.meta = meta;
		this.bounds = { from: meta.begin_ns, to: Math.max(meta.end_ns, meta.begin_ns + views.SPAN_MIN) };
		this.isReady = meta.index.state === 'ready';
		this.has = { states: {}, live: false, resident: false, counters: [], countersMore: 0 }; /* of the whole trace */
		this.setTracks(tracks, isExact);
		this.clear();
		this.theme = null;
		this.cursor = null;
		this.overview = null;
		this.summary = { rows: [], range: this.bounds };
		this.warnings = [];
		this.locks = []; /* things: those that are waited for most */
		this.rangeTexts = { key: '', sums: null, locks: null, calls: null };
		this.width = 800;
		this.height = 400;
		this.isDirty = false;
		this.stale = new Set(); /* canvases to be drawn anew; all of them when it is empty */
		this.arriving = null;
		this.isHeld = true; /* nothing is drawn yet */
		this.drawerName = null;
		this.latest = { span: new api.Latest(), range: new api.Latest(), list: new api.Latest(), histogram: new api.Latest(), source: new api.Latest(), path: new api.Latest() };
		this.timers = {};
		this.actions = makeActions(this);
		this.loader = new Loader({
			tiles: () => this.came('tracks'),
			spans: () => this.came('tracks'),
			edges: () => this.came('overlay'),
			columns: () => {
				const { columns, memory } = this.loader.columns;

				picture.showSummary(this, columns, memory);
			},
			failed: (error) => this.failed(error, true),
		});
		this.search = new Search({
			at: (direction) => (this.selection?.span ? direction > 0 ? this.selection.span.begin_ns : this.selection.span.begin_ns - 1 : this.view.from),
			toTrack: (id) => selection.selectTrack(this, id),
			toSpan: (span) => selection.selectSpan(this, prepareSpan(span, Number(span.id.split('.')[0])), true),
			query: (text) => {
				this.query = text;
				this.changed();
			},
		});
		this.drawer = new Drawer({
			range: () => told.tableRange(this),
			canPick: (row) => this.trackOfRow(row) !== null,
			picked: (row) => selection.selectTrack(this, this.trackOfRow(row)),
			opened: (name) => {
				this.drawerName = name;
				picture.resize(this);
				this.changed();
			},
		});
	}

	firstView() {
		return views.clamp({ from: this.meta.from_ns, to: this.meta.to_ns }, this.bounds);
	}

	/* What is seen and selected, as it is at first: an address says how it differs from that. */
	clear() {
		this.view = this.firstView();
		this.history = new views.History();
		this.pinned = new Set();
		this.hidden = new Set();
		this.open = new Set();
		this.laned = new Set(); /* tracks whose lanes are shown */
		this.added = [];        /* things that were given a row */
		this.showLocks = true;
		this.isGrouped = isBetterGrouped(this.tracks, GROUPED_FROM);
		this.showIdle = true;
		this.edgesMode = 'selection';
		this.clock = 'start';
		this.forced = null;
		this.selection = null; /* { track, at, span, details } */
		this.area = null;      /* { from, to, tracks or null } */
		this.isZooming = false;
		this.path = null;
		this.marks = [];
		this.query = '';
	}

	setTracks(tracks, isExact) {
		this.tracks = tracks.map((t) => ({ ...t, id: t.track, name: t.name || `thread ${t.tid}` }));
		this.byId = new Map(this.tracks.map((t) => [t.id, t]));
		this.byName = new Map();
		for (const t of this.tracks)
			this.byName.set(t.name, this.byName.has(t.name) ? null : t.id);
		this.isExact = isExact;
		for (const { name } of STATES)
			this.has.states[`${name}_ns`] = this.tracks.reduce((sum, t) => sum + t.states[`${name}_ns`], 0);
	}

	trackOfRow(row) {
		if (typeof row.tid === 'number')
			return this.tracks.find((t) => t.tid === row.tid)?.id ?? null;
		return this.byName.get(row.thread ?? row.name) ?? null;
	}

	nameOf(track) {
		return this.byId.get(track)?.name ?? `thread ${track}`;
	}

	/* ---- rows ---- */

	layOut() {
		const isAdded = (lock) => this.added.some((t) => idOfThing(t) === idOfThing(lock));

		this.things = this.added.concat(this.showLocks ? this.locks.filter((lock) => !isAdded(lock)) : []);
		this.rows = layOut(this.tracks, this);
		byId('spacer').style.height = `${Math.max(this.rows.length * ROW, 1)}px`;
		this.changed();
	}

	rowAtY(y) {
		const i = Math.floor((y + byId('rows').scrollTop) / ROW);

		return i >= 0 && i < this.rows.length ? i : -1;
	}

	tracksBetween(first, last) {
		return [...new Set(this.rows.slice(first, last + 1).flatMap((row) => row.members))];
	}

	visibleRows() {
		const top = byId('rows').scrollTop;
		const [first, last] = visible(this.rows, top, top + this.height);

		return this.rows.slice(first, last);
	}

	scrollToTrack(track) {
		const i = rowOf(this.rows, track), rows = byId('rows');

		if (i < 0)
			return;
		if (i * ROW < rows.scrollTop)
			rows.scrollTop = i * ROW;
		else if ((i + 1) * ROW > rows.scrollTop + this.height)
			rows.scrollTop = (i + 1) * ROW - this.height;
	}

	/* ---- the view ---- */

	/* @kind: movements of one kind in a row are undone at once; null: each for itself; undefined: not to be undone */
	setView(view, kind) {
		const next = views.clamp(view, this.bounds);

		if (views.isSame(next, this.view))
			return;
		if (kind !== undefined)
			this.history.leave(this.view, kind, performance.now());
		this.view = next;
		this.changed();
	}

	/* Where to zoom: the pointer, the selection, the middle. */
	anchor() {
		const x = this.input?.x;

		if (x !== null && x !== undefined && x >= 0 && x <= this.width)
			return views.toNs(this.view, this.width, x);
		if (this.selection && this.selection.at >= this.view.from && this.selection.at <= this.view.to)
			return this.selection.at;
		return (this.view.from + this.view.to) / 2;
	}

	/* ---- what is told ---- */

	say(text) {
		byId('live').textContent = text;
	}

	toast(text) {
		byId('toast').textContent = text;
		byId('toast').hidden = false;
		clearTimeout(this.toastTimer);
		this.toastTimer = setTimeout(() => {
			byId('toast').hidden = true;
		}, 2500);
	}

	/* @isExtra: nobody has asked for it, and where it cannot be had nothing is said */
	failed(error, isExtra = false) {
		if (api.isAborted(error) || (isExtra && error.isMissing))
			return;
		this.toast(error.message);
	}

	/* Something that is seen or told has changed. */
	changed() {
		this.redraw();
		if (!this.theme)
			return;
		if (!this.selection && !this.path)
			this.later('range', RANGE_REST_MS, () => this.isReady && told.fetchRange(this));
		told.showPanel(this);
		this.later('list', RANGE_REST_MS, () => told.fetchList(this));
		this.later('address', 150, () => writeAddress(this));
		this.later('tables', RANGE_REST_MS, () => this.drawer.changed());
	}

	later(name, ms, action) {
		clearTimeout(this.timers[name]);
		this.timers[name] = setTimeout(() => {
			delete this.timers[name];
			action();
		}, ms);
	}

	/* Is all drawn and told, and nothing on its way? */
	isAtRest() {
		return !this.isHeld && !this.isDirty && this.arriving === null && api.onTheirWay === 0 && !this.loader.isWaiting() && Object.keys(this.timers).length === 0;
	}

	/* All of it. */
	redraw() {
		this.stale.clear();
		this.drawSoon();
	}

	/* The canvas @what alone. */
	redrawOnly(what) {
		this.spoil(what);
		this.drawSoon();
	}

	spoil(what) {
		/* else all is to be drawn already */
		if (!this.isDirty || this.stale.size > 0)
			this.stale.add(what);
	}

	drawSoon() {
		if (this.isDirty || this.isHeld)
			return;
		this.isDirty = true;
		requestAnimationFrame(() => {
			const { stale } = this;

			this.isDirty = false;
			this.stale = new Set();
			picture.paint(this, stale);
			/* all of the trace, and every row in view: an estimate at least */
			if (this.overview && this.loader.hasTiles())
				document.documentElement.dataset.drawn = '';
		});
	}

	/*
	 * An answer has come that changes the canvas @what: it is drawn with those that come soon after it. A frame can take as long as many an
	 * answer.
	 */
	came(what) {
		if (this.isHeld && this.overview && this.loader.hasTiles())
			this.drawFirst();
		this.spoil(what);
		this.arriving ??= setTimeout(() => {
			this.arriving = null;
			if (this.stale.size > 0)
				this.drawSoon();
		}, ARRIVALS_MS);
	}

	/* ---- the beginning ---- */

	drawFirst() {
		this.isHeld = false;
		this.redraw();
	}

	async begin() {
		buildHelp(KEYS, GESTURES, 'W A S D are where they are on any keyboard; the others are characters.');
		showBar(this);
		this.rows = [];
		this.input = new Input(this);
		byId('rows').addEventListener('scroll', () => {
			this.redraw();
			this.later('list', RANGE_REST_MS, () => told.fetchList(this));
		});
		const observer = new ResizeObserver(() => picture.resize(this));

		observer.observe(byId('stage'));
		observer.observe(byId('rows'));
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => picture.setTheme(this));
		window.addEventListener('hashchange', () => readAddress(this));
		byId('goto').addEventListener('close', () => byId('rows').focus());
		byId('help').addEventListener('close', () => byId('rows').focus());
		byId('goto').querySelector('form').addEventListener('submit', (event) => {
			event.preventDefault();
			goTo(this, byId('when').value);
		});
		readAddress(this);
		picture.showSummary(this, null, null);
		picture.resize(this);
		picture.want(this); /* and not behind the first frame */
		byId('rows').focus({ preventScroll: true });
		setTimeout(() => this.isHeld && picture.paintBeforehand(this));
		setTimeout(() => this.isHeld && this.drawFirst(), FIRST_MS);
		this.fetchWhole();
		if (!this.isReady) {
			await this.awaitIndex();
			this.fetchWhole();
		}
		await this.fetchLocks();
	}

	/* The locks that are worth a row, in all of the trace: what is in view does not change it. */
	async fetchLocks() {
		const least = (this.bounds.to - this.bounds.from) / 100;

		try {
			const { locks } = await api.json('contended', { max: LOCKS_SHOWN });

			this.locks = locks.filter((l) => l.waited_ns >= least).map((l) => ({ kind: 'lock', id: l.object, name: l.name, waited: l.waited_ns }));
			this.layOut();
		} catch (error) {
			this.failed(error, true);
		}
	}

	async awaitIndex() {
		for (;;) {
			const progress = await api.json('progress');

			if (progress.state === 'failed')
				throw new Error(progress.error ?? 'the index could not be made');
			if (progress.state === 'ready')
				break;
			byId('badge').hidden = false;
			byId('badge').textContent = `index ${Math.round(progress.done * 100)} %`;
			await new Promise((resolve) => setTimeout(resolve, 250));
		}
		const { tracks, isExact } = await api.allTracks();

		this.isReady = true;
		this.setTracks(tracks, isExact);
		this.loader.forget();
		showBar(this);
		this.layOut();
		if (this.selection)
			selection.select(this, this.selection.track, this.selection.at);
	}

	async fetchWhole() {
		try {
			this.overview = await api.json('columns');
			this.redraw();
			/* once, and not in the way of the index */
			if (!this.isReady || this.warnings.length > 0)
				return;
			this.warnings = (await api.json('table/summary')).warnings ?? [];
			told.showPanel(this);
		} catch (error) {
			this.failed(error);
		}
	}
}

async function main() {
	try {
		const [meta, { tracks, isExact }] = await Promise.all([api.json('meta'), api.allTracks()]);

		if (meta.api !== 1)
			throw new Error(`The server speaks version ${meta.api} and this page 1: load it again`);
		const app = new App(meta, tracks, isExact);

		window.cprof = app; /* for the console, and tests */
		await app.begin();
		document.documentElement.dataset.ready = '';
	} catch (error) {
		showMessage(byId('panel'), error.message);
		throw error;
	}
}

main();
