/*
 * draw: what all pictures on canvases are made with. Pictures are given all that they show, and keep nothing. Everything is put on
 * whole device pixels.
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
		this.fills = makeFills(isDark, this.scale);
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

/*
 * Rectangles of states, in device pixels, one over another, put onto @canvas all at once. A frame has up to a hundred thousand: as pixels they
 * take milliseconds, as paths to be filled some hundred.
 */
const pictures = new WeakMap(); /* by canvas */

export class Fills {
	constructor(canvas, theme) {
		this.patterns = theme.fills.map((fill) => fill.pixels);
		this.size = theme.fills[0].size;
		this.own = pictures.get(canvas);
		if (this.own?.image.width !== canvas.width || this.own.image.height !== canvas.height) {
			const between = document.createElement('canvas');

			between.width = canvas.width;
			between.height = canvas.height;
			const c = between.getContext('2d', { willReadFrequently: true }), image = c.createImageData(canvas.width, canvas.height);

			this.own = { between, c, image, pixels: new Uint32Array(image.data.buffer) };
			pictures.set(canvas, this.own);
		}
		this.own.pixels.fill(0);
	}

	add(state, x0, y, x1, height) {
		const { image: { width, height: most }, pixels } = this.own, { size } = this, pattern = this.patterns[state];
		const top = Math.max(0, y), bottom = Math.min(most, y + height), left = Math.max(0, x0), right = Math.min(width, x1);

		for (let row = top; row < bottom; row++) {
			const line = row % size * size;
			let column = left % size;

			for (let at = row * width + left, end = row * width + right; at < end; at++) {
				pixels[at] = pattern[line + column];
				if (++column === size)
					column = 0;
			}
		}
	}

	paint(c) {
		this.own.c.putImageData(this.own.image, 0, 0);
		c.save();
		c.setTransform(1, 0, 0, 1, 0, 0);
		c.drawImage(this.own.between, 0, 0);
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
	c.fillStyle = c.createPattern(theme.fills[state].tile, 'repeat');
	c.fillRect(0, 0, canvas.width, canvas.height);
	c.restore();
	return canvas;
}
