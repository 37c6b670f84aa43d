/*
 * tree: from the stacks to boxes.
 *
 *     shape()    which boxes there are: as they are written, turned around, or below the values of a label
 *     lay()      how large each is, for one column and the samples that are wanted
 *
 * Boxes are numbered level by level, from left to right: a level is a stretch of numbers in which x only grows, so what a window shows of
 * it is found by halving, however many there are.
 */

const FEW = 12;

/* (parent, frame) → number, for as many as there are. */
class Ways {
	constructor() {
		this.room = 1 << 12;
		this.slots = new Int32Array(this.room * 2);
		this.parent = new Int32Array(this.room);
		this.frame = new Int32Array(this.room);
		this.from = new Int32Array(this.room); /* the node of the file that it was first made of */
		this.parent[0] = this.frame[0] = this.from[0] = -1;
		this.n = 1;
	}

	slot(parent, frame) {
		const mask = this.slots.length - 1;
		let at = Math.imul(Math.imul(parent + 1, 0x9e3779b1) ^ frame, 0x85ebca6b);

		at = (at ^ at >>> 15) & mask;
		for (;;) {
			const i = this.slots[at];

			if (i === 0 || (this.parent[i] === parent && this.frame[i] === frame))
				return at;
			at = (at + 1) & mask;
		}
	}

	grow() {
		this.room *= 2;
		for (const name of ['parent', 'frame', 'from']) {
			const larger = new Int32Array(this.room);

			larger.set(this[name]);
			this[name] = larger;
		}
		this.slots = new Int32Array(this.room * 2);
		for (let i = 1; i < this.n; i++)
			this.slots[this.slot(this.parent[i], this.frame[i])] = i;
	}

	step(parent, frame, from) {
		if (this.n === this.room)
			this.grow();
		const at = this.slot(parent, frame);

		if (this.slots[at] === 0) {
			this.parent[this.n] = parent;
			this.frame[this.n] = frame;
			this.from[this.n] = from;
			this.slots[at] = this.n++;
		}
		return this.slots[at];
	}
}

/* The value of @key in each set of labels; '' where there is none. */
export function valuesOf(data, key) {
	return data.meta.labels.map((set) => set.filter((l) => l[0] === key).map((l) => l[1]).join(', '));
}

/*
 * { parent, frame, from, end (of each sample), names (of frames, and of what stands above them), leaves: the level that has what is
 * spent in the functions themselves, when it is turned around }
 */
export function shape(data, { inverted, group }) {
	const { parent, frame, samples } = data;

	if (!inverted && !group)
		return { n: parent.length, parent, frame, from: null, end: samples.node, names: data.names, leaves: 0 };
	const ways = new Ways(), end = new Int32Array(samples.n), known = new Map(), names = data.names.slice(), tops = new Map();
	const values = group ? valuesOf(data, group) : null, path = [];

	for (let i = 0; i < samples.n; i++) {
		const node = samples.node[i], value = values ? values[samples.labels[i]] : '';
		let top = 0;

		if (values) {
			if (!tops.has(value)) {
				tops.set(value, ways.step(0, names.length, -1));
				names.push(value === '' ? `no ${group}` : `${group}: ${value}`);
			}
			top = tops.get(value);
		}
		const key = top * parent.length + node;
		let at = known.get(key);

		if (at === undefined) {
			at = top;
			path.length = 0;
			for (let up = node; up > 0; up = parent[up])
				path.push(up);
			if (!inverted)
				path.reverse();
			for (const step of path)
				at = ways.step(at, frame[step], step);
			known.set(key, at);
		}
		end[i] = at;
	}
	return { n: ways.n, parent: ways.parent, frame: ways.frame, from: ways.from, end, names, leaves: inverted ? (group ? 2 : 1) : 0 };
}

/* A stretch of a list. Nearly all are short, where a sort in place is many times faster than asking the language's. */
function sort(list, from, to, compare) {
	if (to - from > FEW)
		return void list.subarray(from, to).sort(compare);
	for (let i = from + 1; i < to; i++) {
		const one = list[i];
		let at = i;

		for (; at > from && compare(list[at - 1], one) > 0; at--)
			list[at] = list[at - 1];
		list[at] = one;
	}
}

/* Sizes of all boxes. @width: 'larger', 'now' or 'before'. @wants(labels): whether samples with this set of labels count; or null. */
export function lay(data, form, { column, width = 'larger', wants = null }) {
	const { n, parent, frame, end, names } = form, values = data.samples.values[column];
	const now = new Float64Array(n), before = new Float64Array(n), wide = new Float64Array(n);
	const allowed = wants ? data.meta.labels.map((_, i) => wants(i)) : null;

	for (let i = 0; i < end.length; i++) {
		if (allowed && !allowed[data.samples.labels[i]])
			continue;
		const value = values[i];

		if (value >= 0)
			now[end[i]] += value;
		else
			before[end[i]] -= value;
	}
	const selfNow = now.slice(), selfBefore = before.slice(), children = new Int32Array(n + 1);

	for (let i = n - 1; i >= 0; i--) {
		wide[i] += width === 'now' ? selfNow[i] : width === 'before' ? selfBefore[i] : Math.max(selfNow[i], selfBefore[i]);
		if (i === 0 || wide[i] <= 0)
			continue;
		const up = parent[i];

		now[up] += now[i];
		before[up] += before[i];
		wide[up] += wide[i];
		children[up + 1]++;
	}
	for (let i = 0; i < n; i++)
		children[i + 1] += children[i];
	const kept = children[n] + 1, next = children.slice(0, n), list = new Int32Array(kept - 1);

	for (let i = 1; i < n; i++)
		if (wide[i] > 0)
			list[next[parent[i]]++] = i;
	const compare = (a, b) => wide[b] - wide[a] || (names[frame[a]] < names[frame[b]] ? -1 : 1);

	for (let i = 0; i < n; i++)
		sort(list, children[i], children[i + 1], compare);
	/* level by level */
	const t = {
		n: kept, names, shape: form, column,
		node: new Int32Array(kept), parent: new Int32Array(kept), frame: new Int32Array(kept), first: new Int32Array(kept),
		count: new Int32Array(kept), x: new Float64Array(kept), w: new Float64Array(kept), now: new Float64Array(kept),
		before: new Float64Array(kept), selfNow: new Float64Array(kept), selfBefore: new Float64Array(kept),
		levels: [0], place: new Int32Array(n).fill(-1), depth: new Int32Array(kept),
	};
	let to = 1;

	t.parent[0] = t.frame[0] = -1;
	for (let i = 0; i < to; i++) {
		const node = t.node[i];
		let x = t.x[i];

		if (i === t.levels[t.levels.length - 1])
			t.levels.push(to);
		t.place[node] = i;
		t.frame[i] = frame[node];
		t.w[i] = wide[node];
		t.now[i] = now[node];
		t.before[i] = before[node];
		t.selfNow[i] = selfNow[node];
		t.selfBefore[i] = selfBefore[node];
		t.first[i] = to;
		t.count[i] = children[node + 1] - children[node];
		for (let c = children[node]; c < children[node + 1]; c++) {
			t.node[to] = list[c];
			t.parent[to] = i;
			t.depth[to] = t.depth[i] + 1;
			t.x[to] = x;
			x += wide[list[c]];
			to++;
		}
	}
	for (let i = 0; form.leaves > 0 && i < kept; i++) {
		const isLeaf = t.depth[i] === form.leaves;

		t.selfNow[i] = isLeaf ? t.now[i] : 0;
		t.selfBefore[i] = isLeaf ? t.before[i] : 0;
	}
	return t;
}

/* The first box of [from, to) that ends behind @x. */
export function firstBehind(t, from, to, x) {
	while (from < to) {
		const middle = (from + to) >>> 1;

		if (t.x[middle] + t.w[middle] > x)
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

/* The box of a level that has @x in it, or -1. */
export function boxAt(t, level, x) {
	if (level < 0 || level + 1 >= t.levels.length)
		return -1;
	const i = firstBehind(t, t.levels[level], t.levels[level + 1], x);

	return i < t.levels[level + 1] && t.x[i] <= x ? i : -1;
}

export function isWithin(t, i, top) {
	while (i > top)
		i = t.parent[i];
	return i === top;
}

/* Calls @take(first, end) with the boxes of each level below and with @top. */
export function eachLevel(t, top, take) {
	let from = top, to = top + 1;

	while (from < to) {
		take(from, to);
		/* children of neighbours are neighbours */
		const last = to - 1, begin = t.first[from], end = t.first[last] + t.count[last];

		from = begin;
		to = end;
	}
}

/* What boxes with a frame that @hits have, each stack once: { now, before, w, boxes: the outermost, widest first }. */
export function found(t, top, hits) {
	const covered = new Uint8Array(t.n), boxes = [];
	let now = 0, before = 0, w = 0;

	for (let up = t.parent[top]; up > 0; up = t.parent[up])
		if (hits[t.frame[up]])
			covered[top] = 1;
	if (covered[top]) /* all of it is below one */
		return { now: t.now[top], before: t.before[top], w: t.w[top], boxes: [top] };
	eachLevel(t, top, (from, to) => {
		for (let i = from; i < to; i++) {
			if (i !== top && covered[t.parent[i]]) {
				covered[i] = 1;
			} else if (i > 0 && hits[t.frame[i]]) {
				covered[i] = 1;
				now += t.now[i];
				before += t.before[i];
				w += t.w[i];
				boxes.push(i);
			}
		}
	});
	boxes.sort((a, b) => t.w[b] - t.w[a] || a - b);
	return { now, before, w, boxes };
}

/* What each frame has within @top, by itself and in all, recursion once: [{ frame, self, total, selfBefore, totalBefore }] */
export function sums(t, top) {
	const rows = new Map(), open = new Map(), stack = [top];

	while (stack.length > 0) {
		let i = stack.pop();

		if (i < 0) { /* all below it is done */
			i = ~i;
			open.set(t.frame[i], open.get(t.frame[i]) - 1);
			continue;
		}
		if (i > 0) {
			const frame = t.frame[i], depth = open.get(frame) ?? 0;
			let row = rows.get(frame);

			if (row === undefined)
				rows.set(frame, row = { frame, self: 0, total: 0, selfBefore: 0, totalBefore: 0 });
			row.self += t.selfNow[i];
			row.selfBefore += t.selfBefore[i];
			if (depth === 0) {
				row.total += t.now[i];
				row.totalBefore += t.before[i];
			}
			open.set(frame, depth + 1);
			stack.push(~i);
		}
		for (let c = t.first[i], end = c + t.count[i]; c < end; c++)
			stack.push(c);
	}
	return [...rows.values()];
}

/* What one frame has in all of it: { self, total }. Asked of each box that is marked, so it looks at that frame's boxes alone. */
export function everywhere(t, frame) {
	if (t.ofFrame === undefined) {
		const begin = new Int32Array(t.names.length + 1), next = new Int32Array(t.names.length + 1), boxes = new Int32Array(t.n);

		for (let i = 1; i < t.n; i++)
			begin[t.frame[i] + 1]++;
		for (let f = 0; f < t.names.length; f++)
			begin[f + 1] += begin[f];
		next.set(begin);
		for (let i = 1; i < t.n; i++)
			boxes[next[t.frame[i]]++] = i;
		t.ofFrame = { begin, boxes };
	}
	const { begin, boxes } = t.ofFrame, sum = { self: 0, total: 0 };

	for (let at = begin[frame]; at < begin[frame + 1]; at++) {
		let up = t.parent[boxes[at]];

		sum.self += t.selfNow[boxes[at]];
		while (up > 0 && t.frame[up] !== frame)
			up = t.parent[up];
		if (up <= 0)
			sum.total += t.now[boxes[at]];
	}
	return sum;
}

/* From -1, gone, to 1, new. */
export function change(now, before) {
	const most = Math.max(now, before);

	return most === 0 ? 0 : (now - before) / most;
}
