/*
 * states: what a thread can be doing, in the order of the trace's own numbers; how each is painted. Colours are those of Okabe and
 * Ito, which people of every kind of sight tell apart; each has a pattern and a letter besides, for a print in grey.
 */

export const STATES = [
	{ name: 'running', letter: 'R', say: 'running', colour: '#009e73', dark: '#00a87b', pattern: 'solid' },
	{ name: 'runnable', letter: 'r', say: 'wants a processor', colour: '#f0e442', dark: '#f0e442', pattern: 'dots' },
	{ name: 'lock', letter: 'L', say: 'waits for a lock', colour: '#d55e00', dark: '#e06a10', pattern: 'diagonal' },
	{ name: 'wait', letter: 'C', say: 'waits for a condition, semaphore, barrier or thread', colour: '#cc79a7', dark: '#cc79a7',
		pattern: 'back' },
	{ name: 'syscall', letter: 'S', say: 'in a system call', colour: '#0072b2', dark: '#2b8fd0', pattern: 'dashes' },
	{ name: 'idle', letter: 'Z', say: 'idle', colour: '#c4e6f8', dark: '#24404f', pattern: 'horizontal' },
	{ name: 'spin', letter: 'X', say: 'spins', colour: '#e69f00', dark: '#e69f00', pattern: 'vertical' },
	{ name: 'unknown', letter: '?', say: 'not known', colour: '#b3b3b3', dark: '#6f6f6f', pattern: 'cross' },
];

export const IDLE = 5;

/* From the bottom of a row to its top: what works below, what waits above it. */
export const ORDER = [0, 4, 6, 1, 2, 3, 5, 7];

export function colourOf(state, isDark) {
	const s = STATES[state] ?? STATES[7];

	return isDark ? s.dark : s.colour;
}

function channel(hex, at) {
	const c = parseInt(hex.slice(at, at + 2), 16) / 255;

	return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
}

export function luminance(hex) {
	return 0.2126 * channel(hex, 1) + 0.7152 * channel(hex, 3) + 0.0722 * channel(hex, 5);
}

export function contrast(a, b) {
	const x = luminance(a), y = luminance(b);

	return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/* Black or white, whichever is read better on it. */
export function textOn(hex) {
	return contrast(hex, '#000000') >= contrast(hex, '#ffffff') ? '#000000' : '#ffffff';
}

/* The same name has the same colour in every trace: a hue by hash, of fixed lightness. */
export function hueOf(name) {
	let hash = 2166136261;

	for (let i = 0; i < name.length; i++)
		hash = Math.imul(hash ^ name.charCodeAt(i), 16777619) >>> 0;
	return hash % 360;
}

/* Lines of a pattern in a square of 8: [x0, y0, x1, y1]. They meet at its edges. */
const LINES = {
	diagonal: [[-2, 2, 2, -2], [-2, 10, 10, -2], [6, 10, 10, 6]],
	back: [[-2, 6, 2, 10], [-2, -2, 10, 10], [6, -2, 10, 2]],
	vertical: [[2, 0, 2, 8], [6, 0, 6, 8]],
	horizontal: [[0, 4, 8, 4]],
	dashes: [[1, 2, 4, 2], [5, 6, 8, 6]],
	cross: [[-2, 2, 2, -2], [-2, 10, 10, -2], [6, 10, 10, 6], [-2, 6, 2, 10], [-2, -2, 10, 10], [6, -2, 10, 2]],
};

/* What a row is filled with: a square tile for each state, @scale device pixels to one of the page: { tile, size, pixels }. */
export function makeFills(isDark, scale) {
	return STATES.map((s, i) => {
		const colour = colourOf(i, isDark);
		const tile = document.createElement('canvas');
		const size = Math.max(8, Math.round(8 * scale));

		tile.width = tile.height = size;
		const c = tile.getContext('2d', { willReadFrequently: true });

		c.scale(size / 8, size / 8);
		c.fillStyle = colour;
		c.fillRect(0, 0, 8, 8);
		c.strokeStyle = c.fillStyle = textOn(colour) === '#000000' ? 'rgba(0,0,0,0.34)' : 'rgba(255,255,255,0.45)';
		c.lineWidth = 1.1;
		if (s.pattern === 'dots') {
			for (const [x, y] of [[2, 2], [6, 6]]) {
				c.beginPath();
				c.arc(x, y, 0.9, 0, 7);
				c.fill();
			}
		}
		for (const [x0, y0, x1, y1] of LINES[s.pattern] ?? []) {
			c.beginPath();
			c.moveTo(x0, y0);
			c.lineTo(x1, y1);
			c.stroke();
		}
		return { tile, size, pixels: new Uint32Array(c.getImageData(0, 0, size, size).data.buffer) };
	});
}
