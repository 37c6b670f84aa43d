/* overview: the whole trace in one strip, and the ruler; both have the flags of marks. */
import { Batches, NAMES, SMALL, fit, prepare } from './draw.js';
import { stack } from './rows.js';
import { ORDER, STATES } from './states.js';
import { moment, ticks, wall } from './time.js';
import { toX } from './view.js';

/* A column of states stacked, of all threads. @columns: what the server told of a range. */
export function drawOverview(canvas, o) {
	const height = 54;
	const c = prepare(canvas, NAMES + o.width, height);
	const { theme, columns, bounds, view } = o;
	const scale = theme.scale;
	const batches = new Batches(theme.fills);
	const top = 12, high = height - top - 2;

	c.font = SMALL;
	c.textBaseline = 'middle';
	c.fillStyle = theme.dim;
	c.fillText('All threads', 8, top + high / 2 - 7);
	c.fillText(fit(c, o.says, NAMES - 16), 8, top + high / 2 + 8);
	if (columns) {
		const n = columns.columns;
		const arrays = STATES.map((s) => columns.states[`${s.name}_ns`]);
		const shares = new Float64Array(8);
		/* the outermost may reach beyond the trace */
		const edge = (i) => Math.round((NAMES + Math.min(o.width, Math.max(0, toX(bounds, o.width, columns.from_ns + (columns.to_ns - columns.from_ns) * i / n)))) * scale);
		let most = 0;

		for (let i = 0; i < n; i++)
			most = Math.max(most, arrays.reduce((sum, a) => sum + a[i], 0));
		for (let i = 0; i < n && most > 0; i++) {
			const x0 = edge(i), x1 = edge(i + 1);
			let sum = 0;

			for (let s = 0; s < 8; s++) {
				shares[s] = arrays[s][i];
				sum += shares[s];
			}
			const full = Math.round(high * scale * sum / most);

			for (const [state, y, h] of stack(shares, 0, ORDER, full))
				batches.add(state, x0, Math.round((top + high) * scale) - full + y, x1, h);
		}
		batches.paint(c);
	}
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
