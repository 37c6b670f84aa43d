/* overview: the whole trace in one strip, and the ruler; both have the flags of marks. */
import { Fills, NAMES, SMALL, fit, prepare } from './draw.js';
import { stack } from './rows.js';
import { ORDER, STATES } from './states.js';
import { moment, ticks, wall } from './time.js';
import { toX } from './view.js';

const TOP = 12, HEIGHT = 54; /* pixels: of the flags, and of all */
const made = new WeakMap();  /* by canvas: the columns as they were filled last */

function fillColumns(canvas, { width, theme, columns, bounds }) {
	const fills = new Fills(canvas, theme), { scale } = theme;
	const n = columns.columns, high = HEIGHT - TOP - 2;
	const arrays = STATES.map((s) => columns.states[`${s.name}_ns`]);
	const shares = new Float64Array(8), sums = new Float64Array(n);
	/* the outermost may reach beyond the trace */
	const edge = (i) => Math.round((NAMES + Math.min(width, Math.max(0, toX(bounds, width, columns.from_ns + (columns.to_ns - columns.from_ns) * i / n)))) * scale);
	let most = 0;

	for (let i = 0; i < n; i++) {
		for (let s = 0; s < 8; s++)
			sums[i] += arrays[s][i];
		most = Math.max(most, sums[i]);
	}
	for (let i = 0; i < n && most > 0; i++) {
		const x0 = edge(i), x1 = edge(i + 1);

		for (let s = 0; s < 8; s++)
			shares[s] = arrays[s][i];
		const full = Math.round(high * scale * sums[i] / most);
		const { n: parts, states, ys, heights } = stack(shares, 0, ORDER, full);

		for (let k = 0; k < parts; k++)
			fills.add(states[k], x0, Math.round((TOP + high) * scale) - full + ys[k], x1, heights[k]);
	}
	return fills;
}

/* What drawOverview() draws of @o.columns, which is the same in most frames; also beforehand. */
export function fillsOfOverview(canvas, o) {
	const { columns, theme, width } = o;
	let last = made.get(canvas);

	prepare(canvas, NAMES + width, HEIGHT);
	if (last?.columns !== columns || last.theme !== theme || last.width !== width) {
		last = { columns, theme, width, fills: fillColumns(canvas, o) };
		made.set(canvas, last);
	}
	return last.fills;
}

/* A column of states stacked, of all threads. @columns: what the server told of a range. */
export function drawOverview(canvas, o) {
	const { theme, columns, bounds, view } = o;
	const fills = columns ? fillsOfOverview(canvas, o) : null;
	const c = prepare(canvas, NAMES + o.width, HEIGHT);
	const top = TOP, high = HEIGHT - top - 2;

	c.font = SMALL;
	c.textBaseline = 'middle';
	c.fillStyle = theme.dim;
	c.fillText('All threads', 8, top + high / 2 - 7);
	c.fillText(fit(c, o.says, NAMES - 16), 8, top + high / 2 + 8);
	fills?.paint(c);
	/* what is not in view is under a veil */
	const a = NAMES + toX(bounds, o.width, view.from), b = NAMES + Math.max(toX(bounds, o.width, view.to), toX(bounds, o.width, view.from) + 3);

	c.fillStyle = theme.page;
	c.globalAlpha = 0.6;
	c.fillRect(NAMES, top, a - NAMES, high);
	c.fillRect(b, top, NAMES + o.width - b, high);
	c.globalAlpha = 1;
	c.strokeStyle = theme.accent;
	c.lineWidth = 2;
	c.strokeRect(a + 1, top - 1, Math.max(1, b - a - 2), high + 1);
	c.lineWidth = 1;
	drawFlags(c, o.marks, theme, (ns) => NAMES + toX(bounds, o.width, ns), 0, 11);
}

function drawFlags(c, marks, theme, xOf, y, height) {
	c.font = SMALL;
	c.textBaseline = 'middle';
	marks.forEach((mark, i) => {
		const x = xOf(mark.from), end = xOf(mark.to);

		c.fillStyle = theme.mark;
		c.fillRect(x, y, 1, height);
		if (end > x)
			c.fillRect(x, y + height - 2, end - x, 2);
		c.fillRect(x, y, 12, height - 2);
		c.fillStyle = theme.page;
		c.fillText(String(i + 1), x + 3, y + height / 2 - 0.5);
	});
}

/* @o: view, width, clock ('start', 'selection' or 'wall'), origin of that clock, marks, cursor (ns or null), theme */
export function drawRuler(canvas, o) {
	const height = 26;
	const c = prepare(canvas, NAMES + o.width, height);
	const { theme, view, width } = o;
	const zero = o.clock === 'selection' ? o.zero : 0;
	const { step, at } = ticks(view.from - zero, view.to - zero, width, 92);

	c.font = SMALL;
	c.textBaseline = 'middle';
	c.fillStyle = theme.dim;
	c.fillText(fit(c, { start: 'from the beginning', selection: 'from the selection', wall: 'wall clock, UTC' }[o.clock], NAMES - 16), 8, 17);
	c.save();
	c.beginPath();
	c.rect(NAMES, 0, width, height);
	c.clip();
	for (const ns of at) {
		const x = Math.round(NAMES + toX(view, width, ns + zero));
		const text = o.clock === 'wall' ? wall(o.realtimeMs + ns / 1e6, step) : moment(ns, step);

		c.fillStyle = theme.line;
		c.fillRect(x, 12, 1, height - 12);
		c.fillStyle = theme.text;
		c.fillText(text, x + 4, 18);
	}
	drawFlags(c, o.marks, theme, (ns) => NAMES + toX(view, width, ns), 0, 11);
	c.restore();
}
