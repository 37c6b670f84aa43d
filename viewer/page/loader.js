/*
 * loader: gets what the view needs and does not have: tiles at once, the rest when the view has come to rest. What is no longer
 * needed is not asked for; at most a few questions are on their way.
 */
import * as api from './api.js';
import { idOfThing } from './rows.js';
import { STATES } from './states.js';
import { LEVEL_MAX, TileCache, keyOf, levelOf, tilesOf } from './tiles.js';

const AT_ONCE = 3;      /* requests for tiles */
const TILES_MAX = 48;   /* of a request */
const SPANS_MAX = 2000; /* of a row: more are no use on a page */
const SPANS_ALL = 12000; /* of all: some MB of text */
const SPAN_ROWS = 128;
const LANES_MAX = 32;  /* threads whose lanes are asked for at once */
const THINGS_MAX = 12; /* each is a question of its own */
const REST_MS = 110;

const INDEX_OF = Object.fromEntries(STATES.map((s, i) => [s.name, i]));

export function prepareSpan(span, track) {
	return { ...span, track, index: INDEX_OF[span.state] ?? 7 };
}

export class Loader {
	/* @events: tiles(), spans(), columns(), edges(), failed(error) */
	constructor(events) {
		this.events = events;
		this.cache = new TileCache();
		this.flying = new Set();
		this.requests = 0;
		this.queue = [];
		this.spans = new Map();
		this.columns = null; /* of the view, more or less: { columns, memory } */
		this.edges = null;
		this.lanes = new Map();  /* by track: regions, calls, samples, marks */
		this.things = new Map(); /* by id of the row: the use of a lock, a file, a task */
		this.rare = new Map();   /* by track: { range, columns, rare } */
		this.latest = Object.fromEntries(['spans', 'columns', 'edges', 'lanes', 'things', 'rare'].map((name) => [name, new api.Latest()]));
		this.timer = null;
		this.asked = '';
		this.hasMemory = true;
	}

	forget() {
		this.cache.clear();
		this.spans.clear();
		this.rare.clear();
		this.asked = '';
	}

	/* @o: view, width, tracks (ids that are to be seen), lanesOf (those whose lanes are), things, byId, origin, isReady, withEdges */
	want(o) {
		const level = levelOf(o.view, o.width);
		const wanted = [];

		/* a coarse one first: there is something to see soon, and when the view moves on */
		for (const l of [Math.min(LEVEL_MAX, level + 3), level]) {
			const [first, last] = tilesOf(o.view.from, o.view.to, l, o.origin);

			for (const track of o.tracks) {
				for (let n = first; n <= last; n++) {
					const key = keyOf(track, l, n);

					if (!this.cache.has(key) && !this.flying.has(key))
						wanted.push({ track, level: l, n, key });
				}
			}
		}
		this.queue = wanted;
		this.pump();

		const asked = JSON.stringify([o.view, o.tracks, o.lanesOf, o.things.map(idOfThing), o.isReady, o.withEdges]);

		if (asked === this.asked)
			return;
		this.asked = asked;
		clearTimeout(this.timer);
		this.timer = setTimeout(() => {
			this.timer = null;
			this.rest(o);
		}, REST_MS);
	}

	/* Of all rows that were asked for. */
	hasTiles() {
		return this.requests === 0 && this.queue.length === 0;
	}

	/* Will it ask for more? */
	isWaiting() {
		return this.timer !== null || this.queue.length > 0;
	}

	pump() {
		while (this.requests < AT_ONCE && this.queue.length > 0)
			this.fetchTiles(this.queue.splice(0, TILES_MAX));
	}

	async fetchTiles(batch) {
		batch.forEach((t) => this.flying.add(t.key));
		this.requests++;
		try {
			for (const tile of await api.tiles(batch))
				this.cache.set(keyOf(tile.track, tile.level, tile.n), tile);
		} catch (error) {
			this.events.failed(error);
		} finally {
			this.requests--;
			batch.forEach((t) => this.flying.delete(t.key));
			this.pump();
		}
		this.events.tiles();
	}

	/* The view stands still: the picture first, and then what the server needs a while for, unless it moves on. */
	async rest(o) {
		const { asked } = this;

		await Promise.all([this.fetchColumns(o), o.isReady ? this.fetchSpans(o) : null]);
		if (!o.isReady || asked !== this.asked)
			return;
		this.fetchRare(o);
		this.fetchLanes(o);
		this.fetchThings(o);
		if (o.withEdges) {
			this.fetchEdges(o);
		} else {
			this.latest.edges.end();
			this.edges = null;
		}
	}

	async fetchSpans(o) {
		const width = o.view.to - o.view.from;
		const from = Math.max(o.bounds.from, Math.floor(o.view.from - width / 4)), to = Math.min(o.bounds.to, Math.ceil(o.view.to + width / 4));
		const max = Math.max(100, Math.min(SPANS_MAX, Math.floor(SPANS_ALL / Math.max(1, o.tracks.length))));
		/* those of which there are few enough to be seen one by one */
		const tracks = o.tracks.filter((id) => {
			const t = o.byId.get(id);
			const lived = Math.max(1, t.end_ns - t.begin_ns);

			return t.intervals === null || t.intervals * Math.min(1, (to - from) / lived) < max * 2;
		}).slice(0, SPAN_ROWS);

		if (tracks.length === 0)
			return;
		try {
			const answer = await api.json('spans', { tracks: tracks.join(','), from, to: Math.max(to, from + 1), max },
				this.latest.spans.begin());

			this.spans.clear();
			for (const t of answer.tracks) {
				if (!t.more)
					this.spans.set(t.track, t.spans.map((s) => prepareSpan(s, t.track)));
			}
			this.events.spans();
		} catch (error) {
			this.fail(error);
		}
	}

	/* The view and a quarter of it on both sides, by columns of a pixel. */
	around(o) {
		const width = o.view.to - o.view.from;
		const from = Math.max(o.bounds.from, Math.floor(o.view.from - width / 4)), to = Math.min(o.bounds.to, Math.ceil(o.view.to + width / 4));

		return { from, to: Math.max(to, from + 1), columns: Math.max(1, Math.min(1000, Math.ceil(o.width * 1.5), to - from)) };
	}

	async fetchRare(o) {
		const tracks = o.tracks.slice(0, SPAN_ROWS);

		if (tracks.length === 0)
			return;
		try {
			const answer = await api.jsonAside('rare', { tracks: tracks.join(','), ...this.around(o) }, this.latest.rare.begin());

			this.rare = new Map(answer.tracks.map((t) => [t.track, { range: { from: answer.from_ns, to: answer.to_ns }, columns: answer.columns, rare: t.rare }]));
			this.events.spans();
		} catch (error) {
			this.fail(error);
		}
	}

	async fetchLanes(o) {
		if (o.lanesOf.length === 0)
			return;
		try {
			const answer = await api.jsonAside('lanes', { tracks: o.lanesOf.slice(0, LANES_MAX).join(','), ...this.around(o) }, this.latest.lanes.begin());

			this.lanes = new Map(answer.tracks.map((t) => [t.track, { ...t, is_whole: answer.is_whole }]));
			this.events.spans();
		} catch (error) {
			this.fail(error);
		}
	}

	async fetchThings(o) {
		const signal = this.latest.things.begin();

		try {
			for (const thing of o.things.slice(0, THINGS_MAX)) {
				const answer = await api.jsonAside(`${thing.kind}/${thing.id}`, this.around(o), signal);

				this.things.set(idOfThing(thing), answer);
				thing.name = answer.name;
				this.events.spans();
			}
		} catch (error) {
			this.fail(error);
		}
	}

	async fetchColumns(o) {
		const width = o.view.to - o.view.from;
		const from = Math.max(o.bounds.from, Math.floor(o.view.from - width / 2)), to = Math.min(o.bounds.to, Math.ceil(o.view.to + width / 2));
		const signal = this.latest.columns.begin();

		try {
			const columns = await api.json('columns', { from, to: Math.max(to, from + 1) }, signal);
			const range = { from: columns.from_ns, to: columns.to_ns, columns: columns.columns };

			this.columns = { columns, memory: null };
			this.events.columns();
			if (!this.hasMemory)
				return;
			const memory = await api.json('memory', range, signal);

			this.columns = { columns, memory };
			this.events.columns();
		} catch (error) {
			this.fail(error);
		}
	}

	async fetchEdges(o) {
		try {
			const range = { from: Math.floor(o.view.from), to: Math.ceil(o.view.to), max: 100 };

			if (o.tracks.length <= 200)
				range.tracks = o.tracks.join(',');
			this.edges = await api.jsonAside('edges', range, this.latest.edges.begin());
			this.events.edges();
		} catch (error) {
			this.fail(error);
		}
	}

	fail(error) {
		if (!api.isAborted(error))
			this.events.failed(error);
	}
}
