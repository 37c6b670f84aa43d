/*
 * tiles: what is to be drawn of a row at a zoom. A tile is BUCKETS buckets of 2^level ns; its parent, one level up, has the same and
 * as much again. What has not arrived yet is drawn from the nearest parent that has, stretched.
 *
 *     level 21   │        0        │        1        │
 *     level 20   │   0    │   1    │   2    │   3    │
 */

export const BUCKETS = 512;
export const LEVEL_MAX = 40;

const VERSION = 1, HEADER = 32, STATES = 8, IS_ESTIMATE = 1;
const SIZE = HEADER + BUCKETS * STATES;

/* The finest level of which a bucket is at least a pixel of @width. */
export function levelOf(view, width) {
	const perPixel = (view.to - view.from) / Math.max(1, width);

	return Math.min(LEVEL_MAX, Math.max(0, Math.ceil(Math.log2(Math.max(1, perPixel)))));
}

export function bucketNs(level) {
	return 2 ** level;
}

export function tileNs(level) {
	return BUCKETS * 2 ** level;
}

/* Numbers of the tiles of @level that have some of @from to @to: [first, last]. They are aligned to the trace's own clock. */
export function tilesOf(from, to, level, origin) {
	const width = tileNs(level);

	return [Math.max(0, Math.floor((origin + from) / width)), Math.max(0, Math.ceil((origin + to) / width) - 1)];
}

/* When a tile begins. */
export function beginOf(level, n, origin) {
	return n * tileNs(level) - origin;
}

/* Of @level and number @n, what tile @up levels above has it, and which of its buckets: a part of it. */
export function parentOf(level, n, up) {
	const number = Math.floor(n / 2 ** up);
	const first = (n - number * 2 ** up) * BUCKETS / 2 ** up;

	return { level: level + up, n: number, first, count: BUCKETS / 2 ** up };
}

/*
 * Tiles as they come, one behind the other: [{ track, level, n, isEstimate, shares }]. Throws when they are not what this page
 * knows.
 */
export function decode(buffer) {
	const found = [];

	if (buffer.byteLength % SIZE !== 0)
		throw new Error(`tiles of ${buffer.byteLength} bytes: not a multiple of ${SIZE}`);
	for (let at = 0; at < buffer.byteLength; at += SIZE) {
		const head = new DataView(buffer, at, HEADER);

		if (head.getUint8(0) !== VERSION)
			throw new Error(`tiles of version ${head.getUint8(0)}, and this page knows ${VERSION}: load it again`);
		if (head.getUint8(2) !== STATES || head.getUint32(4, true) !== BUCKETS)
			throw new Error('tiles of another size');
		found.push({
			track: head.getUint32(8, true),
			level: head.getUint8(3),
			n: Number(head.getBigUint64(16, true)),
			isEstimate: (head.getUint8(1) & IS_ESTIMATE) !== 0,
			shares: new Uint8Array(buffer.slice(at + HEADER, at + SIZE)),
		});
	}
	return found;
}

export function keyOf(track, level, n) {
	return `${track}/${level}/${n}`;
}

/* So many tiles, the ones not used for longest go first. */
export class TileCache {
	constructor(limit = 4000) {
		this.limit = limit;
		this.map = new Map();
	}

	get(key) {
		const tile = this.map.get(key);

		if (tile !== undefined) {
			this.map.delete(key);
			this.map.set(key, tile);
		}
		return tile;
	}

	has(key) {
		return this.map.has(key);
	}

	set(key, tile) {
		this.map.delete(key);
		this.map.set(key, tile);
		while (this.map.size > this.limit)
			this.map.delete(this.map.keys().next().value);
	}

	clear() {
		this.map.clear();
	}

	/* The tile, or the nearest parent that is there: { tile, first, count, up }, of its buckets those that are meant. null: none. */
	nearest(track, level, n, levelMax = LEVEL_MAX) {
		for (let up = 0; level + up <= levelMax; up++) {
			const p = parentOf(level, n, up);
			const tile = this.get(keyOf(track, p.level, p.n));

			if (tile !== undefined)
				return { tile, first: p.first, count: p.count, up };
		}
		return null;
	}
}
