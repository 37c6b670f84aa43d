/* tracks: the rows of threads: tiles, spans that are wide enough over them, names. */
import { FONT, Fills, NAMES, SMALL, STRIP, fit, prepare, widthOf } from './draw.js';
import { drawLane, drawRare, drawThing, sayThing } from './lanes.js';
import { ROW, merge, stack } from './rows.js';
import { IDLE, ORDER, STATES, colourOf } from './states.js';
import { BUCKETS, beginOf, bucketNs, tilesOf } from './tiles.js';
import { toX } from './view.js';

function isEqual(shares, a, b) {
	for (let s = 0; s < 8; s++) {
		if (shares[a + s] !== shares[b + s])
			return false;
	}
	return true;
}

/*
 * The buckets of one tile, or of a part of it stretched to all of that time. Neighbours that are the same are one rectangle; a
 * bucket that has less than a device pixel goes with the one before.
 */
function drawShares(fills, shares, first, count, from, to, place) {
	const { view, width, scale, y, height, hidden } = place;
	const begin = Math.max(0, Math.floor((view.from - from) / (to - from) * count) - 1);
	const end = Math.min(count, Math.ceil((view.to - from) / (to - from) * count) + 1);
	const left = Math.round(NAMES * scale), right = Math.round((NAMES + width) * scale);
	const xOf = (i) => Math.min(right, Math.max(left, Math.round((NAMES + toX(view, width, from + (to - from) * i / count)) * scale)));

	for (let i = begin; i < end;) {
		const at = (first + i) * 8;
		let next = i + 1;

		while (next < end && isEqual(shares, at, (first + next) * 8))
			next++;
		const x0 = xOf(i), x1 = xOf(next);

		if (x1 > x0) {
			const { n, states, ys, heights } = stack(shares, at, ORDER, height, hidden);

			for (let k = 0; k < n; k++)
				fills.add(states[k], x0, y + ys[k], x1, heights[k]);
		}
		i = next;
	}
}

const merged = new Float32Array(BUCKETS * 8);

function drawRowTiles(fills, row, o, place) {
	const members = row.drawn;
	const [first, last] = tilesOf(o.view.from, o.view.to, o.level, o.origin);

	for (let n = first; n <= last; n++) {
		const from = beginOf(o.level, n, o.origin), to = from + BUCKETS * bucketNs(o.level);
		const found = members.map((id) => o.cache.nearest(id, o.level, n)).filter((t) => t !== null);

		if (found.length === 0)
			continue;
		if (members.length === 1) {
			drawShares(fills, found[0].tile.shares, found[0].first, found[0].count, from, to, place);
			continue;
		}
		merge(found.map((f) => ({ shares: f.tile.shares, first: f.first, count: f.count })), merged);
		drawShares(fills, merged, 0, BUCKETS, from, to, place);
	}
}

/* Spans that are wide enough to be seen as such, over the tiles: their edges and labels. */
function drawSpans(c, fills, spans, o, place, labels) {
	const { view, width, scale } = place;

	for (const span of spans) {
		if (span.end_ns <= view.from || span.begin_ns >= view.to)
			continue;
		const a = NAMES + Math.max(0, toX(view, width, span.begin_ns));
		const b = NAMES + Math.min(width, toX(view, width, span.end_ns));

		if (b - a < 3 || (span.index === IDLE && place.hidden === IDLE))
			continue;
		fills.add(span.index, Math.round(a * scale), place.y, Math.round(b * scale), place.height);
		labels.push({ a, b, y: place.y / scale, span });
	}
}

function putLabels(c, labels, theme, height) {
	c.textBaseline = 'middle';
	for (const { a, b, y, span } of labels) {
		if (b - a >= 5) {
			c.fillStyle = theme.page;
			c.fillRect(b - 1, y, 1, height);
		}
		if (span.certainty !== 'exact' && b - a > 12) {
			c.strokeStyle = theme.text;
			c.globalAlpha = 0.55;
			c.setLineDash([3, 3]);
			c.strokeRect(a + 0.5, y + 0.5, b - a - 2, height - 1);
			c.setLineDash([]);
			c.globalAlpha = 1;
		}
		if (b - a < 22)
			continue;
		const state = STATES[span.index];
		const text = span.label ? `${state.letter} ${span.label}` : state.letter;

		c.font = SMALL;
		const shown = fit(c, text, b - a - 8);

		if (shown === '')
			continue;
		/* behind the text its state's colour, plain: patterns are no ground to read from */
		c.fillStyle = colourOf(span.index, theme.isDark);
		c.fillRect(a + 2, y + 3, Math.min(b - a - 4, widthOf(c, shown) + 4), height - 6);
		c.fillStyle = theme.onState[span.index];
		c.fillText(shown, a + 4, y + height / 2 + 0.5);
	}
}

/* What takes most of a row's time, the running left aside when there is more: "L 54 %". */
function shareText(states) {
	let best = -1, sum = 0;
	const values = STATES.map((s) => states[`${s.name}_ns`] ?? 0);

	values.forEach((ns, i) => {
		sum += ns;
		if (best < 0 || ns > values[best])
			best = i;
	});
	return sum > 0 ? `${STATES[best].letter} ${Math.round(values[best] / sum * 100)} %` : '';
}

/* A row that is not a thread's. */
function drawBeneath(c, row, y, o) {
	const found = row.kind === 'lane' ? o.lanes(row.of) : row.kind === 'thing' ? o.things(row.id) : undefined;

	if (found?.is_whole === false && !found.waiting_ns?.some((ns) => ns > 0)) {
		c.font = SMALL;
		c.textBaseline = 'middle';
		c.fillStyle = o.theme.dim;
		c.fillText('too many events: come closer', NAMES + 6, y + ROW / 2);
	} else if (found && row.kind === 'lane') {
		drawLane(c, row, y, o, found);
	} else if (found) {
		drawThing(c, row, y, o, found, o.names);
	}
}

/*
 * @o: rows, top (scrolled by), height, width (of the time), view, level, origin, cache, spans (track → list or undefined), theme,
 * selected (index of a row or -1), showIdle, lanes (of a track, or undefined), things (of an id, or undefined), rare (of a track, or
 * undefined), names (track → name)
 */
export function drawTracks(canvas, o) {
	const c = prepare(canvas, NAMES + o.width, o.height);
	const { theme } = o;
	const scale = theme.scale;
	const fills = new Fills(canvas, theme);
	const labels = [];
	const first = Math.max(0, Math.floor(o.top / ROW)), last = Math.min(o.rows.length, Math.ceil((o.top + o.height) / ROW));
	const high = ROW - 2 * STRIP;

	for (let i = first; i < last; i++) {
		const row = o.rows[i], y = i * ROW - o.top;
		const place = { view: o.view, width: o.width, scale, y: Math.round((y + STRIP) * scale), height: Math.round(high * scale),
			hidden: o.showIdle ? -1 : IDLE };

		if (i === o.selected || i % 2 === 1) {
			c.fillStyle = i === o.selected ? theme.hover : theme.zebra;
			c.fillRect(0, y, NAMES + o.width, ROW);
		}
		drawRowTiles(fills, row, o, place);
		drawBeneath(c, row, y, o);
		const spans = row.kind === 'track' ? o.spans(row.id) : undefined;

		if (spans !== undefined)
			drawSpans(c, fills, spans, o, place, labels);
	}
	fills.paint(c);
	putLabels(c, labels, theme, high);
	for (let i = first; i < last; i++) {
		for (const found of o.rows[i].drawn.map(o.rare).filter((f) => f !== undefined))
			drawRare(c, i * ROW - o.top, o, found);
	}
	c.textBaseline = 'middle';
	for (let i = first; i < last; i++) {
		const row = o.rows[i], y = i * ROW - o.top + ROW / 2;
		const indent = 8 + row.depth * 14;
		let name = row.name;

		if (row.kind === 'group')
			name = `${row.isOpen ? '▾' : '▸'} ${name} (${row.members.length > row.drawn.length ? `${row.drawn.length} of ` : ''}${row.members.length})`;
		if (row.isPinned)
			name = `📌 ${name}`;
		c.font = SMALL;
		const share = row.track ? shareText(row.track.states) : row.kind === 'thing' ? sayThing(row) : '';
		const shareWidth = widthOf(c, share);

		c.fillStyle = theme.dim;
		c.fillText(share, NAMES - 8 - shareWidth, y);
		c.font = FONT;
		c.fillStyle = row.kind === 'lane' ? theme.dim : theme.text;
		c.fillText(fit(c, name, NAMES - 22 - indent - shareWidth), indent, y);
	}
	c.fillStyle = theme.line;
	c.fillRect(NAMES - 1, 0, 1, o.height);
}
