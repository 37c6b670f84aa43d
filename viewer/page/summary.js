/* summary: rows of numbers over time. */
import { NAMES, SMALL, fit, prepare, widthOf } from './draw.js';
import { colourOf } from './states.js';
import { toX } from './view.js';

const ROW = 22; /* pixels */

/*
 * The rows of numbers: how many threads were in a state, memory, and the program's own counters. Which ones there are is a matter of the
 * whole trace (@has: states, live, resident, counters), so that what is below them never moves when the view does.
 */
export function summaryRows(columns, memory, has) {
	const n = columns?.columns ?? 0;
	const perColumn = n > 0 ? (columns.to_ns - columns.from_ns) / n : 1;
	const threads = (...names) => Float64Array.from({ length: n }, (_, i) => names.reduce((sum, name) => sum + columns.states[`${name}_ns`][i], 0) / perColumn);
	const rows = [['Running', 0, ['running']], ['Runnable', 1, ['runnable']], ['In locks', 2, ['lock', 'spin']], ['Waiting', 3, ['wait']],
		['In system calls', 4, ['syscall']]]
		.filter(([, , names]) => names.some((name) => has.states[`${name}_ns`] > 0))
		.map(([name, state, names]) => ({ name, state, values: threads(...names) }));

	for (const [key, name] of [['live', 'Heap'], ['resident', 'Resident']]) {
		if (has[key])
			rows.push({ name, isBytes: true, values: memory?.[key] ? hold(memory[key]) : new Float64Array(0) });
	}
	has.counters.forEach(({ name, isBytes }, i) => rows.push({ name, isBytes, isCounter: true, values: hold(memory?.counters[i].values ?? []) }));
	if (has.countersMore > 0)
		rows.push({ name: `${has.countersMore} counters more`, values: new Float64Array(0) });
	return rows;
}

/* Of those columns of @range that are in view the least, 0 at most, and the largest, 0 at least. */
function extremes(values, range, view) {
	const perColumn = (range.to - range.from) / Math.max(1, values.length);
	const first = Math.max(0, Math.floor((view.from - range.from) / perColumn)), last = Math.ceil((view.to - range.from) / perColumn);
	const seen = values.slice(first, Math.max(first + 1, last));

	return { least: seen.reduce((a, b) => Math.min(a, b), 0), most: seen.reduce((a, b) => Math.max(a, b), 0) };
}

/* A value holds until the next one. */
function hold(values) {
	let last = 0;

	return Float64Array.from(values, (v) => (last = v ?? last));
}

export function drawSummary(canvas, o) {
	const { theme, rows, range, view } = o;
	const c = prepare(canvas, NAMES + o.width, Math.max(1, rows.length * ROW));

	rows.forEach((row, i) => {
		const base = (i + 1) * ROW - 2, high = ROW - 5;

		c.font = SMALL;
		c.textBaseline = 'middle';
		c.fillStyle = theme.dim;
		const { least, most: peak } = extremes(row.values, range, view);
		/* of what is never above 0, how far below it goes */
		const most = row.values.length > 0 ? o.format(row, peak > 0 ? peak : least) : '';
		const width = widthOf(c, most);

		c.fillText(most, NAMES - 8 - width, base - high / 2);
		c.fillStyle = theme.text;
		c.fillText(fit(c, row.name, NAMES - 20 - width), 8, base - high / 2);
		if (peak <= least)
			return;
		const zero = base + least / (peak - least) * high;
		c.save();
		c.beginPath();
		c.rect(NAMES, 0, o.width, rows.length * ROW);
		c.clip();
		c.beginPath();
		c.moveTo(NAMES + toX(view, o.width, range.from), zero);
		row.values.forEach((value, k) => {
			/* beside the view it may be more */
			const y = zero - Math.min(peak, Math.max(least, value)) / (peak - least) * high;

			c.lineTo(NAMES + toX(view, o.width, range.from + (range.to - range.from) * k / row.values.length), y);
			c.lineTo(NAMES + toX(view, o.width, range.from + (range.to - range.from) * (k + 1) / row.values.length), y);
		});
		c.lineTo(NAMES + toX(view, o.width, range.to), zero);
		c.closePath();
		c.fillStyle = row.state === undefined ? theme.dim : colourOf(row.state, theme.isDark);
		c.globalAlpha = row.state === undefined ? 0.5 : 1;
		c.fill();
		c.restore();
	});
}
