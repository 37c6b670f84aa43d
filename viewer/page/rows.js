/*
 * rows: which threads have a row, in which order, and where on the page. Rows have one height whatever is in view, so that moving in
 * time never moves them up or down.
 */

export const ROW = 26; /* pixels */

export const GROUP_MAX = 64; /* threads that a group's row is made of; of more, as many from all over it */
const GROUPS_LEAST = 4;

/* Those of a row that its picture is made of. */
export function sampleOf(members) {
	if (members.length <= GROUP_MAX)
		return members;
	return Array.from({ length: GROUP_MAX }, (_, i) => members[Math.floor(i * members.length / GROUP_MAX)]);
}

/* Are so many threads better seen by groups? Not when that leaves hardly any rows. */
export function isBetterGrouped(tracks, many) {
	const rows = new Set(tracks.map((t) => (t.group === null ? t.id : 'group ' + t.group)));

	return tracks.length > many && rows.size >= GROUPS_LEAST;
}

export const LANES = [['regions', 'tasks, regions'], ['calls', 'system calls'], ['samples', 'samples of stacks']];

/* A thing is a lock, a file or a task: { kind, id, name }. */
export function idOfThing(thing) {
	return `${thing.kind} ${thing.id}`;
}

/* Rows, with the lanes of those that have them (@laned, a Set of ids) beneath. */
function withLanes(rows, laned) {
	if (!laned || laned.size === 0)
		return rows;
	return rows.flatMap((row) => (row.kind !== 'track' || !laned.has(row.id) ? [row] : [row, ...LANES.map(([lane, name]) => ({
		id: `${lane} ${row.id}`, name, members: [], drawn: [], kind: 'lane', lane, of: row.id, depth: row.depth + 1 }))]));
}

/*
 * @tracks in their order; @options: pinned, hidden, laned (Sets of ids), isGrouped, open (a Set of groups' ids), things (that have a
 * row). Each row: { id, name, members (ids), drawn (those that its picture is made of), kind: 'track' | 'group' | 'lane' | 'thing', depth }.
 */
export function layOut(tracks, options) {
	const things = (options.things ?? []).map((thing) => ({ id: idOfThing(thing), get name() {
		return `${thing.kind} ${thing.name}`;
	}, members: [], drawn: [], kind: 'thing', thing, depth: 0 }));

	return things.concat(withLanes(rowsOfTracks(tracks, options), options.laned));
}

function rowsOfTracks(tracks, options) {
	const { pinned, hidden, isGrouped, open } = options;
	const shown = tracks.filter((t) => !hidden.has(t.id));
	const rowOf = (t, depth) => ({ id: t.id, name: t.name, members: [t.id], drawn: [t.id], kind: 'track', depth, track: t });
	const rows = shown.filter((t) => pinned.has(t.id)).map((t) => ({ ...rowOf(t, 0), isPinned: true }));
	const rest = shown.filter((t) => !pinned.has(t.id));
	const groups = new Map();

	if (!isGrouped)
		return rows.concat(rest.map((t) => rowOf(t, 0)));
	for (const t of rest) {
		/* nothing that a thread is called can be taken for a group */
		const key = t.group === null ? t.id : 'group ' + t.group;

		if (!groups.has(key))
			groups.set(key, []);
		groups.get(key).push(t);
	}
	for (const [key, members] of groups) {
		if (members.length === 1) {
			rows.push(rowOf(members[0], 0));
			continue;
		}
		const ids = members.map((t) => t.id);

		rows.push({ id: key, name: members[0].group, members: ids, drawn: sampleOf(ids), kind: 'group', depth: 0, isOpen: open.has(key) });
		if (open.has(key))
			rows.push(...members.map((t) => rowOf(t, 1)));
	}
	return rows;
}

/* Of @rows those that are between @top and @bottom pixels: [first, after the last]. */
export function visible(rows, top, bottom) {
	return [Math.max(0, Math.floor(top / ROW)), Math.min(rows.length, Math.ceil(bottom / ROW))];
}

/* The row that has @track, itself or in a closed group; -1: none. */
export function rowOf(rows, track) {
	const own = rows.findIndex((row) => row.kind === 'track' && row.id === track);

	return own >= 0 ? own : rows.findIndex((row) => row.members.includes(track));
}

const stacked = { n: 0, states: new Uint8Array(8), ys: new Int32Array(8), heights: new Int32Array(8) };

/*
 * The states of a bucket that are to be seen, stacked in @order: n, states[], ys[], heights[]: whole pixels that add up to @height. A state
 * that is there has a pixel, whatever its share: what is rare is not left out. There are thousands of buckets in a frame: it is the same
 * object each time.
 */
export function stack(shares, at, order, height, hidden = -1) {
	const { states, ys, heights } = stacked;
	let sum = 0, present = 0, found = 0, largest = 0, y = height;

	for (let s = 0; s < order.length; s++)
		sum += shares[at + s];
	for (let k = 0; k < order.length && sum > 0; k++) {
		const share = shares[at + order[k]];

		if (!(share > 0))
			continue;
		states[found] = order[k];
		heights[found] = Math.max(1, Math.round(share / sum * height));
		present += heights[found];
		if (heights[found] > heights[largest])
			largest = found;
		found++;
	}
	/* what rounding has over or lacks, the largest bears */
	if (found > 0)
		heights[largest] = Math.max(1, heights[largest] + height - present);
	stacked.n = 0;
	for (let k = 0; k < found; k++) {
		y -= heights[k];
		if (states[k] === hidden)
			continue;
		states[stacked.n] = states[k];
		heights[stacked.n] = heights[k];
		ys[stacked.n++] = y;
	}
	return stacked;
}

/* What several tiles show together: the mean of those that live. */
export function merge(list, out) {
	for (let i = 0; i < out.length; i += 8) {
		let living = 0;

		for (let s = 0; s < 8; s++)
			out[i + s] = 0;
		for (const { shares, first, count } of list) {
			/* of a parent, the bucket that has it */
			const bucket = first + Math.floor(i / 8 * count / (out.length / 8));
			let sum = 0;

			for (let s = 0; s < 8; s++)
				sum += shares[bucket * 8 + s];
			if (sum === 0)
				continue;
			living++;
			for (let s = 0; s < 8; s++)
				out[i + s] += shares[bucket * 8 + s];
		}
		for (let s = 0; s < 8 && living > 1; s++)
			out[i + s] /= living;
	}
	return out;
}
