/*
 * paint: colours, and boxes on a canvas.
 *
 * Modules have colours by how much they have themselves, with a shade by the function's name; differences go from blue, less, over grey
 * to orange, more, which people of every kind of sight tell apart, and say the change in words besides.
 */
import { change, firstBehind } from './tree.js';
import { changed } from './units.js';

export const ROW = 19;
const FONT = '12px system-ui, sans-serif', PAD = 4, NAMED = 22; /* pixels: narrower ones have no name */
const FAINT = 0x40 << 24, CLEAR = 0xbf << 24; /* how much is seen of what is narrower than a pixel */

const MODULES = {
	light: ['#f7b267', '#9ccbe8', '#8fd3ba', '#e3b4d3', '#efe287', '#bcc3f0', '#f0a58f', '#cfd4d9'],
	dark: ['#8a5313', '#23618a', '#1b6b50', '#7d3c68', '#6b6110', '#454f9c', '#8a3b24', '#4b525a'],
};
const CHANGES = {
	light: ['#4a9fe0', '#7fbbe9', '#aed3f1', '#d3e5f4', '#e4e6e8', '#fbe3cb', '#fbca9a', '#f6ac66', '#ee8a2d'],
	dark: ['#1468ad', '#20598a', '#284d6d', '#2f4252', '#3a3f45', '#553f2b', '#6e4522', '#8a4a14', '#a84f00'],
};
export const OTHERS = 7;
export const TEXT = { light: '#1b1f23', dark: '#f0f2f4' };

/* Four steps each way; what is within 2 % is the same. */
function stepOf(share) {
	const size = Math.abs(share), step = size < 0.02 ? 0 : Math.min(4, 1 + Math.floor(size * 4));

	return 4 + (share < 0 ? -step : step);
}

export function changeColour(share, isDark) {
	return CHANGES[isDark ? 'dark' : 'light'][stepOf(share)];
}

/* A colour as a pixel has it. */
function pixelOf(hex) {
	const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

	return r | g << 8 | b << 16;
}

/* A colour a little nearer to the page's, by @shade of 0 to 2. */
function shaded(hex, shade, isDark) {
	const to = isDark ? 22 : 255;

	return `#${[1, 3, 5].map((at) => {
		const c = parseInt(hex.slice(at, at + 2), 16);

		return Math.round(c + (to - c) * shade * 0.13).toString(16).padStart(2, '0');
	}).join('')}`;
}

export function moduleColour(module, shade, isDark) {
	return shaded(MODULES[isDark ? 'dark' : 'light'][module], shade, isDark);
}

export function hash(text) {
	let h = 2166136261;

	for (let i = 0; i < text.length; i++)
		h = Math.imul(h ^ text.charCodeAt(i), 16777619);
	return h >>> 0;
}

/* The modules that have most by themselves; of each frame, which of them. */
export function rankModules(data, t) {
	const has = new Map(), { samples } = data, values = samples.values[t.column];

	for (let s = 0; s < samples.n; s++) {
		const module = data.modules[data.frame[samples.node[s]]] ?? '';

		has.set(module, (has.get(module) ?? 0) + Math.abs(values[s]));
	}
	const ranked = [...has].sort((a, b) => b[1] - a[1]).slice(0, OTHERS).map(([module]) => module);
	const number = new Map(ranked.map((module, i) => [module, i]));
	let sum = 0;

	for (const value of has.values())
		sum += value;
	return { ranked, of: t.names.map((_, i) => number.get(data.modules[i] ?? '') ?? OTHERS), has, sum };
}

export class Painter {
	constructor(canvas) {
		this.canvas = canvas;
		this.c = canvas.getContext('2d');
		this.widths = new Map();
	}

	/* Colours of all frames, for a theme. */
	prepare(data, t, modules, isDark) {
		const style = getComputedStyle(document.documentElement);

		this.isDark = isDark;
		this.isDiff = data.meta.diff;
		for (const name of ['page', 'text', 'dim', 'line', 'accent', 'mark'])
			this[name] = style.getPropertyValue(`--${name}`).trim();
		this.onBox = TEXT[isDark ? 'dark' : 'light'];
		const shades = Array.from({ length: OTHERS + 1 }, (_, m) => [0, 1, 2].map((s) => moduleColour(m, s, isDark)));

		this.colours = t.names.map((name, i) => shades[modules.of[i]][hash(name) % 3]);
		this.pixels = Uint32Array.from(this.colours, pixelOf);
		this.changes = CHANGES[isDark ? 'dark' : 'light'].map(pixelOf);
		this.hit = pixelOf(this.mark);
		this.root = isDark ? '#33393f' : '#e4e6e8';
	}

	colourOf(t, i) {
		if (this.isDiff)
			return changeColour(change(t.now[i], t.before[i]), this.isDark);
		return i === 0 ? this.root : this.colours[t.frame[i]];
	}

	widthOf(text) {
		let width = this.widths.get(text);

		if (width === undefined) {
			width = this.c.measureText(text).width;
			if (this.widths.size > 50000)
				this.widths.clear();
			this.widths.set(text, width);
		}
		return width;
	}

	/* What is narrower than a pixel, a row of pixels for each level: thousands of them are one picture, not thousands of boxes. */
	prepareStrips(v) {
		const width = Math.max(1, Math.ceil(v.width)), height = Math.ceil(v.height / ROW) + 2;

		if (this.strips?.width !== width || this.strips.height !== height) {
			this.stripCanvas = new OffscreenCanvas(width, height);
			this.strips = new ImageData(width, height);
			this.strip = new Uint32Array(this.strips.data.buffer);
		}
		this.strip.fill(0);
		this.stripped = []; /* where each row of them goes */
	}

	drawStrips() {
		const { c } = this, { width } = this.strips;

		if (this.stripped.length === 0)
			return;
		this.stripCanvas.getContext('2d').putImageData(this.strips, 0, 0);
		c.imageSmoothingEnabled = false;
		for (const [row, y] of this.stripped.entries())
			c.drawImage(this.stripCanvas, 0, row, width, 1, 0, y, width, ROW - 1);
	}

	/* What of a name has room: all of it, its last part, or its beginning. */
	fit(text, room) {
		const width = this.widthOf(text);

		if (width <= room)
			return text;
		const slash = text.lastIndexOf('/');

		if (slash >= 0 && slash + 1 < text.length && width * (text.length - slash) / text.length <= room * 1.1)
			return this.fit(text.slice(slash + 1), room);
		let letters = Math.floor(text.length * room / width);

		while (letters > 0 && this.widthOf(`${text.slice(0, letters)}…`) > room)
			letters--;
		return letters < 1 ? '' : `${text.slice(0, letters)}…`;
	}

	/*
	 * What the view shows: { t, x0, x1, top (pixels above), width, height, up (its whole height, when roots are below; else 0),
	 * hits (by frame) or null, focus, hover, zoom }. Returns how many boxes were drawn.
	 */
	draw(v) {
		const { c } = this, scale = window.devicePixelRatio || 1;
		const w = Math.round(v.width * scale), h = Math.round(v.height * scale);

		if (this.canvas.width !== w || this.canvas.height !== h) {
			this.canvas.width = w;
			this.canvas.height = h;
			this.canvas.style.width = `${v.width}px`;
			this.canvas.style.height = `${v.height}px`;
		}
		c.setTransform(scale, 0, 0, scale, 0, 0);
		c.clearRect(0, 0, v.width, v.height);
		c.font = FONT;
		c.textBaseline = 'middle';
		let drawn = 0;

		this.prepareStrips(v);
		for (let level = 0; level + 1 < v.t.levels.length; level++) {
			const y = this.yOf(v, level);

			if (y + ROW > 0 && y < v.height)
				drawn += this.level(v, level, y);
		}
		this.drawStrips();
		if (v.hover >= 0)
			this.outline(v, v.hover, this.text, 1);
		if (v.focus >= 0) {
			this.outline(v, v.focus, this.page, 3);
			this.outline(v, v.focus, this.accent, 2);
		}
		return drawn;
	}

	yOf(v, level) {
		return v.up ? v.up - (level + 1) * ROW - v.top : level * ROW - v.top;
	}

	level(v, level, y) {
		const { t } = v, scale = v.width / (v.x1 - v.x0), end = t.levels[level + 1];
		const row = this.stripped.length * this.strips.width;
		let i = firstBehind(t, t.levels[level], end, v.x0), drawn = 0, has = false;

		while (i < end && t.x[i] < v.x1) {
			const left = (t.x[i] - v.x0) * scale, width = t.w[i] * scale;

			if (width < 1) {
				/* as many as begin before the next pixel are one */
				const next = this.behind(t, i + 1, end, v.x0 + (Math.floor(left) + 1) / scale);
				let isHit = false;

				for (let j = i; v.hits && !isHit && j < next && j < i + 50; j++)
					isHit = v.hits[t.frame[j]] === 1;
				const pixel = isHit ? this.hit : this.isDiff ? this.changes[stepOf(change(t.now[i], t.before[i]))] : this.pixels[t.frame[i]];

				this.strip[row + Math.max(0, Math.floor(left))] = pixel | (v.hits && !isHit ? FAINT : CLEAR);
				has = true;
				i = next;
			} else {
				this.box(v, i, Math.max(left, -2), Math.min(left + width, v.width + 2), y);
				i++;
			}
			drawn++;
		}
		if (has)
			this.stripped.push(y);
		return drawn;
	}

	/* As firstBehind(), where it is likely to be one of the next. */
	behind(t, from, end, x) {
		let step = 1;

		while (from + step < end && t.x[from + step] + t.w[from + step] <= x)
			step *= 2;
		return firstBehind(t, from + (step >> 1), Math.min(end, from + step + 1), x);
	}

	box(v, i, left, right, y) {
		const { t } = v, { c } = this, isHit = v.hits !== null && i > 0 && v.hits[t.frame[i]] === 1;
		const gap = right - left > 3 ? 1 : 0.3, isAbove = v.zoom > 0 && t.depth[i] < t.depth[v.zoom];

		c.globalAlpha = v.hits && !isHit ? 0.4 : isAbove ? 0.6 : 1;
		c.fillStyle = isHit ? this.mark : this.colourOf(t, i);
		c.fillRect(left, y, right - left - gap, ROW - 1);
		c.globalAlpha = 1;
		const from = Math.max(left, 0) + PAD, room = Math.min(right, v.width) - from - PAD;

		if (room < NAMED)
			return;
		let name = i === 0 ? 'all' : t.names[t.frame[i]], says = '';

		if (this.isDiff && room > 90 && t.now[i] !== t.before[i])
			says = `  ${changed(t.now[i], t.before[i])}`;
		name = this.fit(name + says, room);
		c.fillStyle = isHit ? this.page : v.hits ? this.dim : this.onBox;
		if (isAbove && !isHit)
			c.fillStyle = this.text;
		c.fillText(name, from, y + ROW / 2);
	}

	outline(v, i, colour, width) {
		const { t } = v, scale = v.width / (v.x1 - v.x0), y = this.yOf(v, t.depth[i]);
		const left = Math.max((t.x[i] - v.x0) * scale, 0), right = Math.min((t.x[i] + t.w[i] - v.x0) * scale, v.width);

		if (right < 0 || left > v.width)
			return;
		this.c.strokeStyle = colour;
		this.c.lineWidth = width;
		this.c.strokeRect(left + width / 2, y + width / 2, Math.max(right - left - width, 2), ROW - 1 - width);
	}
}
