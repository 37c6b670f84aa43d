/* histogram: how long all calls or waits of one kind took, and where one of them is among these. */
import { fill, make } from './dom.js';
import { prepare } from './draw.js';
import { duration, grouped, percent } from './time.js';

const WIDTH = 280, HEIGHT = 60;

/* What to ask for a span, or null: calls are known by their names, waits by what was waited for. */
export function questionOf(span) {
	if (span.state === 'lock' && span.object !== null)
		return { lock: span.object };
	return span.call ? { call: span.call } : null;
}

/* How many of @found took less than @ns, as far as buckets tell. */
export function below(found, ns) {
	return found.buckets.reduce((n, [begin, end, count]) => n + (end <= ns ? count : begin < ns ? count * (ns - begin) / (end - begin) : 0), 0);
}

export function sentence(found, span) {
	const took = span.end_ns - span.begin_ns;

	return `${grouped(found.count)} of them took ${duration(found.total_ns)}: half up to ${duration(found.p50_ns)}, one in a hundred more than ` +
		`${duration(found.p99_ns)}, at most ${duration(found.max_ns)}. This one is longer than ${percent(below(found, took), found.count)}.`;
}

function draw(canvas, found, span, theme) {
	const c = prepare(canvas, WIDTH, HEIGHT);
	const log = (ns) => Math.log2(Math.max(1, ns));
	const first = log(found.buckets[0][0]), last = Math.max(first + 1, log(found.buckets.at(-1)[1]));
	const xOf = (ns) => (Math.min(last, Math.max(first, log(ns))) - first) / (last - first) * WIDTH;
	const most = found.buckets.reduce((n, [, , count]) => Math.max(n, count), 1);

	c.fillStyle = theme.dim;
	for (const [begin, end, count] of found.buckets) {
		const high = Math.max(1, count / most * (HEIGHT - 10));

		c.fillRect(xOf(begin), HEIGHT - high, Math.max(1, xOf(end) - xOf(begin) - 0.5), high);
	}
	c.fillStyle = theme.accent;
	c.fillRect(Math.round(xOf(span.end_ns - span.begin_ns)) - 1, 0, 2, HEIGHT);
}

/* Into @element: what was found, or that it is on its way. */
export function show(element, found, span, theme) {
	if (!found || found.count === 0) {
		fill(element);
		return;
	}
	const canvas = make('canvas', { 'aria-hidden': 'true' });

	draw(canvas, found, span, theme);
	fill(element, make('h2', {}, 'Among all of its kind'), canvas, make('p', {}, sentence(found, span)));
}
