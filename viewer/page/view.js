/*
 * view: which stretch of time is seen, and how it moves. A view is {from, to} in whole ns, within the bounds of the trace; these
 * functions make a new one and never change theirs.
 */

export const SPAN_MIN = 64; /* ns across the page: below, a pixel is less than a clock tells apart */

export function span(view) {
	return view.to - view.from;
}

/* Into the bounds, with its width kept as far as they allow. */
export function clamp(view, bounds) {
	const whole = Math.max(SPAN_MIN, bounds.to - bounds.from);
	const width = Math.min(Math.max(Math.round(span(view)), SPAN_MIN), whole);
	let from = Math.round(view.from);

	from = Math.min(Math.max(from, bounds.from), bounds.from + whole - width);
	return { from, to: from + width };
}

/* @factor below 1 is closer. What is at @at stays where it is. */
export function zoom(view, bounds, factor, at) {
	const width = Math.min(Math.max(span(view) * factor, SPAN_MIN), Math.max(SPAN_MIN, bounds.to - bounds.from));
	const share = span(view) > 0 ? (at - view.from) / span(view) : 0.5;
	const from = at - share * width;

	return clamp({ from, to: from + width }, bounds);
}

/* By a part of its width: 0.1 is a tenth to the right. */
export function pan(view, bounds, part) {
	const by = span(view) * part;

	return clamp({ from: view.from + by, to: view.to + by }, bounds);
}

/* In the middle, as wide as before. */
export function centre(view, bounds, range) {
	const middle = (range.from + range.to) / 2, half = span(view) / 2;

	return clamp({ from: middle - half, to: middle + half }, bounds);
}

/* The range with a tenth of it on both sides. */
export function around(range, bounds) {
	const margin = Math.max(SPAN_MIN / 2, (range.to - range.from) / 10);

	return clamp({ from: range.from - margin, to: range.to + margin }, bounds);
}

export function isSame(a, b) {
	return a.from === b.from && a.to === b.to;
}

export function toX(view, width, ns) {
	return (ns - view.from) / span(view) * width;
}

export function toNs(view, width, x) {
	return view.from + x / width * span(view);
}

/* Views that were left, to go back to. Steps of one movement (@kind, within a second) are one. */
export class History {
	constructor(limit = 200) {
		this.limit = limit;
		this.past = [];
		this.future = [];
		this.kind = null;
		this.at = 0;
	}

	/* @left is about to be left. */
	leave(left, kind, atMs) {
		const isSameMove = kind !== null && kind === this.kind && atMs - this.at < 1000;

		this.kind = kind;
		this.at = atMs;
		this.future = [];
		if (isSameMove && this.past.length > 0)
			return;
		this.past.push(left);
		if (this.past.length > this.limit)
			this.past.shift();
	}

	/* What was seen before @now, or null. */
	undo(now) {
		if (this.past.length === 0)
			return null;
		this.kind = null;
		this.future.push(now);
		return this.past.pop();
	}

	redo(now) {
		if (this.future.length === 0)
			return null;
		this.kind = null;
		this.past.push(now);
		return this.future.pop();
	}
}
