/*
 * draw: what all pictures on canvases are made with. Pictures are given all that they show, and keep nothing. Everything is put on
 * whole device pixels, and what has one fill is filled at once.
 */
import { STATES, colourOf, makeFills, textOn } from './states.js';

export const NAMES = 172; /* pixels, for the names of rows */
export const STRIP = 3;   /* above the states of a row, and below */
export const FONT = '12px system-ui, sans-serif';
export const SMALL = '11px system-ui, sans-serif';

/* A canvas of @width by @height pixels of the page, cleared. */
export function prepare(canvas, width, height) {
	const scale = window.devicePixelRatio || 1;
	const w = Math.round(width * scale), h = Math.round(height * scale);

	if (canvas.width !== w || canvas.height !== h) {
		canvas.width = w;
		canvas.height = h;
		canvas.style.width = `${width}px`;
		canvas.style.height = `${height}px`;
	}
	const c = canvas.getContext('2d');

	c.setTransform(1, 0, 0, 1, 0, 0);
	c.clearRect(0, 0, w, h);
	c.setTransform(scale, 0, 0, scale, 0, 0);
	return c;
}

/* Colours of the page's style, read once for a theme. */
export class Theme {
	constructor(isDark) {
		const style = getComputedStyle(document.documentElement);

		this.isDark = isDark;
		this.scale = window.devicePixelRatio || 1;
		for (const name of ['page', 'panel', 'text', 'dim', 'line', 'zebra', 'hover', 'accent', 'mark', 'arrow', 'bad'])
			this[name] = style.getPropertyValue(`--${name}`).trim();
		this.fills = makeFills(document.createElement('canvas').getContext('2d'), isDark, this.scale);
		this.onState = STATES.map((s, i) => textOn(colourOf(i, isDark)));
	}
}

/* Text in @width pixels; what is cut ends with "…". Widths are remembered: measuring is slow. */
const widths = new Map();

export function widthOf(c, text) {
	const key = c.font + text;
	let width = widths.get(key);

	if (width === undefined) {
		width = c.measureText(text).width;
		if (widths.size > 20000)
			widths.clear();
		widths.set(key, width);
	}
	return width;
}

export function fit(c, text, width) {
	if (widthOf(c, text) <= width)
		return text;
	let low = 0, high = Math.min(text.length, 400);

	while (low < high) {
		const middle = (low + high + 1) >> 1;

		if (widthOf(c, text.slice(0, middle) + '…') <= width)
			low = middle;
		else
			high = middle - 1;
	}
	return low > 0 ? text.slice(0, low) + '…' : '';
}

/* Rectangles of one fill each, in device pixels, filled together at the end. */
export class Batches {
	constructor(fills) {
		this.fills = fills;
		this.rects = fills.map(() => []);
	}

	add(state, x0, y, x1, height) {
		if (x1 > x0)
			this.rects[state].push(x0, y, x1 - x0, height);
	}

	paint(c) {
		c.save();
		c.setTransform(1, 0, 0, 1, 0, 0);
		this.rects.forEach((list, state) => {
			if (list.length === 0)
				return;
			c.fillStyle = this.fills[state];
			c.beginPath();
			for (let i = 0; i < list.length; i += 4)
				c.rect(list[i], list[i + 1], list[i + 2], list[i + 3]);
			c.fill();
		});
		c.restore();
	}
}

/* A square of a state's fill, for lists. */
export function swatch(state, theme) {
	const canvas = document.createElement('canvas');
	const c = prepare(canvas, 16, 12);

	canvas.className = 'swatch';
	canvas.setAttribute('aria-hidden', 'true');
	c.save();
	c.setTransform(1, 0, 0, 1, 0, 0);
	c.fillStyle = theme.fills[state];
	c.fillRect(0, 0, canvas.width, canvas.height);
	c.restore();
	return canvas;
}
