/* The page's modules that compute and do not draw. Run by node --test. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';

import * as api from '../../viewer/page/api.js';
import * as histogram from '../../viewer/page/histogram.js';
import * as keys from '../../viewer/page/keys.js';
import * as pressing from '../../viewer/page/press.js';
import * as lanes from '../../viewer/page/lanes.js';
import * as link from '../../viewer/page/link.js';
import * as marks from '../../viewer/page/marks.js';
import * as rows from '../../viewer/page/rows.js';
import * as states from '../../viewer/page/states.js';
import * as tiles from '../../viewer/page/tiles.js';
import * as time from '../../viewer/page/time.js';
import * as view from '../../viewer/page/view.js';

/* A generator of the same numbers in every run. */
function dice(seed) {
	let s = seed >>> 0;

	return (below) => {
		s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
		return Math.floor(s / 2 ** 32 * below);
	};
}

test('durations have a unit and three digits, as the commands print them', () => {
	for (const [ns, text] of [[0, '0ns'], [999, '999ns'], [1000, '1.00us'], [4210, '4.21us'], [42100, '42.1us'], [421000, '421us'],
		[999499, '999us'], [999500, '1.00ms'], [9994000, '9.99ms'], [9996000, '10.0ms'], [4.2e9, '4.20s'], [61e9, '61.0s']])
		assert.equal(time.duration(ns), text);
});

test('moments have as many digits as tell the steps apart, and none is rounded up', () => {
	assert.equal(time.moment(1204118233, 1), '1.204118233s');
	assert.equal(time.moment(1204118233, 1e6), '1.204s');
	assert.equal(time.moment(1999999999, 1e9), '1s');
	assert.equal(time.moment(250e3, 1e3), '250us');
	assert.equal(time.moment(2.5e6, 1e5), '2.5ms');
	assert.equal(time.moment(0), '0s');
	assert.equal(time.moment(-2e9, 1e9), '-2s');
	assert.equal(time.moment(9007199254740991, 1), '9007199.254740991s');
});

test('what is typed is read exactly', () => {
	assert.equal(time.parseDuration('1.204118233s'), 1204118233);
	assert.equal(time.parseDuration('0.1us'), 100);
	assert.equal(time.parseDuration('3'), 3e9);
	assert.equal(time.parseDuration(' 18ms '), 18e6);
	assert.equal(time.parseDuration('.5s'), 5e8);
	for (const bad of ['', 's', '1x', '1 2', '-1s', '1e9', 'NaN', '0x10'])
		assert.equal(time.parseDuration(bad), null, bad);
	assert.equal(time.parseMoment('+10ms', 5e6), 15e6);
	assert.equal(time.parseMoment('-10ms', 5e7), 4e7);
	assert.equal(time.parseMoment('2s', 5e7), 2e9);
});

test('text that would turn others around is seen as what it is', () => {
	const name = 'a\u202eb\u200bc \u05d0 é \\u202e "';

	assert.equal(JSON.parse(api.unmask(JSON.stringify({ name }))).name, 'a\\u202eb\\u200bc \u05d0 é \\u202e "');
});

test('the ruler has round steps and enough room', () => {
	for (const [ns, step] of [[1, 1], [3, 5], [7, 10], [11, 20], [1e6, 1e6], [1.1e6, 2e6], [6e8, 1e9]])
		assert.equal(time.niceStep(ns), step);
	const { step, at } = time.ticks(1.5e9, 2.5e9, 1000, 80);

	assert.equal(step, 1e8);
	assert.deepEqual(at.slice(0, 2), [1.5e9, 1.6e9]);
	assert.equal(at.length, 11);
});

test('zooming keeps what is under the pointer, and nothing leaves the bounds', () => {
	const bounds = { from: 0, to: 1e9 };
	const near = view.zoom({ from: 2e8, to: 6e8 }, bounds, 0.5, 3e8);

	assert.deepEqual(near, { from: 25e7, to: 45e7 });
	assert.deepEqual(view.zoom(bounds, bounds, 4, 1e8), bounds);
	assert.deepEqual(view.pan({ from: 1e8, to: 2e8 }, bounds, -5), { from: 0, to: 1e8 });
	assert.deepEqual(view.pan({ from: 1e8, to: 2e8 }, bounds, 50), { from: 9e8, to: 1e9 });
	const random = dice(7);
	let v = { ...bounds };

	for (let i = 0; i < 20000; i++) {
		const at = v.from + random(1001) / 1000 * (v.to - v.from);
		const before = (at - v.from) / view.span(v);
		const w = random(2) ? view.zoom(v, bounds, [0.1, 0.8, 1.25, 10][random(4)], at) : view.pan(v, bounds, (random(21) - 10) / 10);

		assert.ok(w.from >= bounds.from && w.to <= bounds.to, JSON.stringify(w));
		assert.ok(view.span(w) >= view.SPAN_MIN && Number.isInteger(w.from) && Number.isInteger(w.to));
		if (view.span(w) < view.span(v) && view.span(w) > view.SPAN_MIN)
			assert.ok(Math.abs((at - w.from) / view.span(w) - before) * view.span(w) <= 1.01, 'moved at the pointer');
		v = w;
	}
});

test('a trace shorter than the least view is seen whole', () => {
	assert.deepEqual(view.clamp({ from: 0, to: 1 }, { from: 5, to: 6 }), { from: 5, to: 5 + view.SPAN_MIN });
});

test('undo goes back through all views, one step for one movement', () => {
	const history = new view.History(3);
	const at = (n) => ({ from: n, to: n + 100 });

	history.leave(at(0), 'pan', 0);
	history.leave(at(1), 'pan', 500);
	history.leave(at(2), 'zoom', 600);
	assert.deepEqual(history.undo(at(3)), at(2));
	assert.deepEqual(history.undo(at(2)), at(0));
	assert.equal(history.undo(at(0)), null);
	assert.deepEqual(history.redo(at(0)), at(2));
	assert.deepEqual(history.redo(at(2)), at(3));
	assert.equal(history.redo(at(3)), null);
	history.leave(at(9), null, 5000);
	assert.equal(history.redo(at(4)), null, 'a new way forgets the old one');
	for (let i = 0; i < 9; i++)
		history.leave(at(i), null, 9000);
	assert.equal(history.past.length, 3);
});

test('a bucket is at least a pixel, and less than two', () => {
	const random = dice(3);

	for (let i = 0; i < 2000; i++) {
		const width = 300 + random(4000), ns = 1000 + random(2 ** 31) * (1 + random(2 ** 12));
		const bucket = tiles.bucketNs(tiles.levelOf({ from: 0, to: ns }, width));

		assert.ok(bucket * width >= ns && (bucket === 1 || bucket / 2 * width < ns), `${ns} in ${width}: ${bucket}`);
	}
});

test('a parent has the whole of its child', () => {
	const random = dice(5);

	for (let i = 0; i < 2000; i++) {
		const level = random(20), n = random(1 << 20), up = random(9);
		const p = tiles.parentOf(level, n, up);
		const from = p.n * tiles.tileNs(p.level) + p.first * tiles.bucketNs(p.level);

		assert.equal(from, n * tiles.tileNs(level));
		assert.equal(p.count * tiles.bucketNs(p.level), tiles.tileNs(level));
	}
	assert.deepEqual(tiles.tilesOf(0, tiles.tileNs(3), 3, 0), [0, 0]);
	assert.deepEqual(tiles.tilesOf(1, tiles.tileNs(3) + 1, 3, 0), [0, 1]);
	assert.deepEqual(tiles.tilesOf(0, tiles.tileNs(3), 3, 5000), [1, 2]);
	assert.equal(tiles.beginOf(3, 1, 5000), 4096 - 5000, 'the first begins before the trace');
});

test('of the tiles that are there the nearest is drawn, and the oldest goes', () => {
	const cache = new tiles.TileCache(2);

	assert.equal(cache.nearest(1, 4, 5), null);
	cache.set(tiles.keyOf(1, 6, 1), 'grandparent');
	assert.deepEqual(cache.nearest(1, 4, 5), { tile: 'grandparent', first: 128, count: 128, up: 2 });
	cache.set(tiles.keyOf(1, 4, 5), 'itself');
	assert.deepEqual(cache.nearest(1, 4, 5), { tile: 'itself', first: 0, count: 512, up: 0 });
	assert.equal(cache.nearest(2, 4, 5), null, 'of another row');
	cache.get(tiles.keyOf(1, 6, 1));
	cache.set('other', 'x');
	assert.equal(cache.has(tiles.keyOf(1, 4, 5)), false);
	assert.equal(cache.has(tiles.keyOf(1, 6, 1)), true);
});

test('tiles are read as they are written, and others are refused', () => {
	const make = (version = 1, buckets = 512) => {
		const buffer = new ArrayBuffer(4128), head = new DataView(buffer);

		head.setUint8(0, version);
		head.setUint8(1, 1);
		head.setUint8(2, 8);
		head.setUint8(3, 21);
		head.setUint32(4, buckets, true);
		head.setUint32(8, 7, true);
		head.setBigUint64(16, 2n ** 40n + 3n, true);
		new Uint8Array(buffer)[32 + 511 * 8 + 7] = 255;
		return buffer;
	};
	const two = new Uint8Array(2 * 4128);

	two.set(new Uint8Array(make()), 4128);
	two.set(new Uint8Array(make()), 0);
	const [, tile] = tiles.decode(two.buffer);

	assert.deepEqual([tile.track, tile.level, tile.n, tile.isEstimate, tile.shares.length, tile.shares[4095]],
		[7, 21, 2 ** 40 + 3, true, 4096, 255]);
	assert.throws(() => tiles.decode(make(2)), /version 2/);
	assert.throws(() => tiles.decode(make(1, 256)), /another size/);
	assert.throws(() => tiles.decode(new ArrayBuffer(100)), /multiple/);
	assert.deepEqual(tiles.decode(new ArrayBuffer(0)), []);
});

test('a group shows the mean of its threads that live', () => {
	const tile = (...shares) => ({ shares: Uint8Array.from([...shares, ...Array(4096 - shares.length).fill(0)]), first: 0, count: 512 });
	const merged = rows.merge([tile(255), tile(55, 0, 200), tile()], new Float32Array(4096));

	assert.deepEqual([...merged.slice(0, 4)], [155, 0, 100, 0]);
	/* half of a parent's buckets are as wide as a whole child */
	const parent = { ...tile(255, 0, 0, 0, 0, 0, 0, 0, 0, 255), first: 0, count: 256 };
	const half = rows.merge([parent], new Float32Array(4096));

	assert.deepEqual([half[0], half[8], half[16 + 1], half[24 + 1], half[32]], [255, 255, 255, 255, 0]);
});

/* [[state, y, height]…] */
function stacked(...what) {
	const { n, states: of, ys, heights } = rows.stack(what[0], what[1], states.ORDER, ...what.slice(2));

	return [...of.slice(0, n)].map((state, k) => [state, ys[k], heights[k]]);
}

test('states of a bucket fill the row, each in its share and none left out', () => {
	const random = dice(11);

	for (let i = 0; i < 3000; i++) {
		const shares = new Uint8Array(16);
		const height = 12 + random(40);

		for (let k = 0; k < 8; k++)
			shares[8 + k] = random(3) ? 0 : random(255);
		const parts = stacked(shares, 8, height);
		const present = [...shares.slice(8)].filter((s) => s > 0).length;

		assert.equal(parts.length, present);
		assert.equal(parts.reduce((sum, p) => sum + p[2], 0), present > 0 ? height : 0);
		assert.deepEqual(parts.map((p) => p[0]), states.ORDER.filter((s) => shares[8 + s] > 0));
		for (let p = 1; p < parts.length; p++)
			assert.equal(parts[p][1] + parts[p][2], parts[p - 1][1], 'one on the other');
	}
	assert.deepEqual(stacked(Uint8Array.of(127, 0, 128, 0, 0, 0, 0, 0), 0, 20), [[0, 10, 10], [2, 0, 10]]);
	assert.deepEqual(stacked(Uint8Array.of(0, 0, 0, 0, 0, 255, 0, 0), 0, 20, 5), [], 'idle, when that is not drawn');
	assert.deepEqual(stacked(Uint8Array.of(127, 0, 0, 0, 0, 128, 0, 0), 0, 20, 5).length, 1, 'and the rest is');
});

test('rows are pinned, hidden, put together and found', () => {
	const tracks = ['main', 'worker-1', 'worker-2', 'io', 'worker-10'].map((name, id) => ({ id, name, group: name.startsWith('worker') ? 'worker' : null }));
	const none = { pinned: new Set(), hidden: new Set(), isGrouped: false, open: new Set() };
	const names = (options) => rows.layOut(tracks, { ...none, ...options }).map((r) => r.name);

	assert.deepEqual(names({}), ['main', 'worker-1', 'worker-2', 'io', 'worker-10']);
	assert.deepEqual(names({ pinned: new Set([3]) }), ['io', 'main', 'worker-1', 'worker-2', 'worker-10']);
	assert.deepEqual(names({ hidden: new Set([0, 3]) }), ['worker-1', 'worker-2', 'worker-10']);
	assert.deepEqual(names({ isGrouped: true }), ['main', 'worker', 'io']);
	assert.deepEqual(names({ isGrouped: true, open: new Set(['group worker']) }),
		['main', 'worker', 'worker-1', 'worker-2', 'worker-10', 'io']);
	const grouped = rows.layOut(tracks, { ...none, isGrouped: true });

	assert.equal(rows.isBetterGrouped(tracks, 4), false, 'three rows are too few');
	assert.equal(rows.isBetterGrouped([...tracks, { id: 9, group: null }], 5), true);
	assert.equal(rows.isBetterGrouped([...tracks, { id: 9, group: null }], 6), false);
	assert.deepEqual(rows.sampleOf([1, 2, 3]), [1, 2, 3]);
	const sample = rows.sampleOf(Array.from({ length: 1000 }, (_, i) => i));

	assert.ok(sample.length === rows.GROUP_MAX && new Set(sample).size === sample.length && sample[0] === 0 && sample.at(-1) > 980);
	assert.equal(rows.rowOf(grouped, 4), 1);
	assert.equal(rows.rowOf(grouped, 3), 2);
	assert.equal(rows.rowOf(grouped, 9), -1);
	assert.deepEqual(rows.visible(grouped, rows.ROW, rows.ROW * 2 + 1), [1, 3]);
});

test('lanes are beneath their thread, things above all', () => {
	const tracks = [1, 2].map((id) => ({ id, name: `t-${id}`, group: null }));
	const thing = { kind: 'lock', id: 5, name: 'a' };
	const found = rows.layOut(tracks, { pinned: new Set(), hidden: new Set(), isGrouped: false, open: new Set(), laned: new Set([1]), things: [thing] });

	assert.deepEqual(found.map((r) => r.kind), ['thing', 'track', 'lane', 'lane', 'lane', 'track']);
	assert.deepEqual(found.slice(2, 5).map((r) => [r.lane, r.of, r.depth]), [['regions', 1, 1], ['calls', 1, 1], ['samples', 1, 1]]);
	assert.equal(rows.rowOf(found, 2), 5);
	/* the server may have a better name, later */
	thing.name = 'b';
	assert.equal(found[0].name, 'lock b');
});

test('of a lane the innermost is meant, else what is near', () => {
	const items = [{ begin_ns: 0, end_ns: 100 }, { begin_ns: 40, end_ns: 60 }, { begin_ns: 200, end_ns: 200 }];

	assert.equal(lanes.itemAt(items, 50, 0), items[1]);
	assert.equal(lanes.itemAt(items, 70, 0), items[0]);
	assert.equal(lanes.itemAt(items, 195, 4), null);
	assert.equal(lanes.itemAt(items, 195, 5), items[2]);
	const rare = { range: { from: 100, to: 200 }, columns: 10, rare: [[3, 1], [4, 6]] };

	assert.deepEqual([129, 130, 139, 140, 150].map((ns) => lanes.sayRare(rare, ns)), ['', 'a call that failed', 'a call that failed', 'a message, lost events', '']);
});

test('marks come back from their file, and what is none is refused', () => {
	const bounds = { from: 0, to: 1000 };
	const some = [{ from: 1, to: 1 }, { from: 5, to: 1000 }];

	assert.deepEqual(marks.read(marks.write('trace.out', some), bounds), some);
	assert.deepEqual(marks.read(JSON.stringify({ cprof_marks: 1, marks: [{ from_ns: 5, to_ns: 1001 }, { from_ns: 5, to_ns: 4 }, { from_ns: -1, to_ns: 4 },
		{ from_ns: 0.5, to_ns: 4 }, { from_ns: '1', to_ns: 4 }, null, 7, { from_ns: 2, to_ns: 3 }] }), bounds), [{ from: 2, to: 3 }]);
	assert.equal(marks.read(JSON.stringify({ cprof_marks: 1, marks: Array(50).fill({ from_ns: 1, to_ns: 1 }) }), bounds).length, marks.MARKS_MAX);
	for (const text of ['', 'x', 'null', '7', '[]', '{}', '{"cprof_marks": 2, "marks": []}', '{"cprof_marks": 1, "marks": {}}'])
		assert.throws(() => marks.read(text, bounds), /no file of marks/, text);
});

test('where one is among all', () => {
	const found = { buckets: [[0, 10, 5], [10, 20, 10], [40, 80, 5]] };

	assert.deepEqual([0, 10, 15, 20, 40, 60, 80, 1000].map((ns) => histogram.below(found, ns)), [0, 5, 10, 15, 15, 17.5, 20, 20]);
	assert.deepEqual(histogram.questionOf({ state: 'lock', object: 5, call: 'futex' }), { lock: 5 });
	assert.deepEqual(histogram.questionOf({ state: 'syscall', object: null, call: 'read' }), { call: 'read' });
	assert.equal(histogram.questionOf({ state: 'running', object: null, call: null }), null);
});

test('a link comes back as it was', () => {
	const state = { view: { from: 1204e6, to: 1222e6 }, selection: { track: 7, at: 1204118233 },
		area: { from: 5, to: 1005, tracks: [1, 2] }, pinned: [3], hidden: [4, 5], drawer: 'locks', query: 'a&b=c #%é', theme: 'dark',
		marks: [{ from: 3e9, to: 3e9 }, { from: 1, to: 8 }] };
	const text = link.write(state);

	assert.match(text, /^#t=1204ms\+18ms&sel=7@1204118233ns&/);
	assert.deepEqual(link.read(text), state);
	assert.deepEqual(link.read(link.write({ area: { from: 0, to: 7, tracks: null } })), { area: { from: 0, to: 7, tracks: null } });
});

test('a link may be anything', () => {
	for (const text of ['#t=1s', '#t=1s+0s', '#t=x+y', '#sel=1', '#sel=a@1s', '#view=nothing', '#theme=<b>', '#%', '#=', '#t=%E0%A4%A', '#&&&',
		'#area=1s', '#t=9999999999999s+1s'])
		assert.deepEqual(Object.values(link.read(text)).filter((v) => v !== undefined), [], text);
	const random = dice(13);

	for (let i = 0; i < 5000; i++)
		link.read('#' + Array.from({ length: random(40) }, () => 't=sel@area+,&%#1sm.x'[random(20)]).join(''));
});

test('parts of a critical path that are one place are one line', async () => {
	/* what is drawn with is not there, and not needed */
	const { addUpPath } = await import('../../viewer/page/panel.js');
	const part = (thread, where, took_ns, begin_ns) => ({ thread, what: 'ran', where, took_ns, begin_ns });
	const sums = addUpPath([part('a', 'f', 5, 0), part('b', 'f', 30, 5), part('a', 'f', 40, 35), part('a', 'g', 1, 75)]);

	assert.deepEqual(sums.map((s) => [s.thread, s.where, s.took, s.count, s.longest.begin_ns]), [['a', 'f', 45, 2, 35], ['b', 'f', 30, 1, 5],
		['a', 'g', 1, 1, 75]]);
});

test('words of a command are quoted', () => {
	assert.equal(link.quote('1.5s'), '1.5s');
	assert.equal(link.quote('my thread'), '\'my thread\'');
	assert.equal(link.quote('a\'b'), '\'a\'\\\'\'b\'');
	assert.equal(link.quote('$(x)'), '\'$(x)\'');
});

test('each key means one thing, and the table says so', () => {
	const press = (key, more = {}) => pressing.find({ key, code: '', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more }, keys.KEYS);

	for (const entry of keys.KEYS) {
		assert.ok(entry.say.length > 0 && entry.action.length > 0);
		for (const key of [entry.key, ...(entry.also ?? [])].filter((k) => k !== undefined))
			assert.equal(press(key)?.entry, entry, key);
	}
	assert.equal(press('z', { code: 'KeyW' }).entry.action, 'zoomIn', 'W is where it is on any keyboard');
	assert.equal(press('W', { code: 'KeyW', shiftKey: true }).times, 5);
	assert.equal(press('w', { code: 'KeyW', ctrlKey: true }), null, 'keys of the browser stay its own');
	assert.equal(new Set(keys.KEYS.map((k) => k.action)).size, keys.KEYS.length);
});

test('colours are told apart, and what is written on them is read', () => {
	for (let s = 0; s < states.STATES.length; s++) {
		for (const isDark of [false, true]) {
			const colour = states.colourOf(s, isDark);

			assert.ok(states.contrast(colour, states.textOn(colour)) >= 4.5, `${states.STATES[s].name} ${colour}`);
		}
	}
	assert.equal(new Set(states.STATES.map((s) => s.letter)).size, 8);
	assert.deepEqual([...states.ORDER].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
	assert.equal(states.hueOf('a'), states.hueOf('a'));
});

/* What people with one kind of cone missing see, after Machado, Oliveira and Fernandes (2009). */
const SIGHT = {
	protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
	deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
	tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

test('those that some people see as one colour differ in their pattern', () => {
	const rgb = (hex) => [1, 3, 5].map((i) => (parseInt(hex.slice(i, i + 2), 16) / 255) ** 2.2);
	const seen = (matrix, c) => matrix.map((r) => Math.min(1, Math.max(0, r[0] * c[0] + r[1] * c[1] + r[2] * c[2])) ** (1 / 2.2));
	let alike = 0;

	for (const [sight, matrix] of Object.entries(SIGHT)) {
		for (const isDark of [false, true]) {
			for (let a = 0; a < states.STATES.length; a++) {
				for (let b = a + 1; b < states.STATES.length; b++) {
					const p = seen(matrix, rgb(states.colourOf(a, isDark))), q = seen(matrix, rgb(states.colourOf(b, isDark)));
					const apart = Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);

					alike += apart < 0.22;
					assert.ok(apart >= 0.22 || states.STATES[a].pattern !== states.STATES[b].pattern,
						`${states.STATES[a].name} and ${states.STATES[b].name}, ${sight}: ${apart}`);
				}
			}
		}
	}
	assert.ok(alike > 0, 'running and system calls are alike without blue cones');
});

test('the page makes no markup of text, asks no other host, and is built in whole', () => {
	const folder = new URL('../../viewer/page/', import.meta.url);
	const files = readdirSync(folder).filter((name) => name !== 'meson.build');
	const listed = readFileSync(new URL('meson.build', folder), 'utf8').match(/'[^']+'/g).map((name) => name.slice(1, -1));

	assert.deepEqual([...listed].sort(), files.sort());
	for (const name of files) {
		const text = readFileSync(new URL(name, folder), 'utf8');

		assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment/, name);
		assert.doesNotMatch(text, /https?:\/\//, name);
		/* what the Content-Security-Policy would refuse */
		if (name.endsWith('.html'))
			assert.doesNotMatch(text, /\sstyle=|\son[a-z]+=|<style|<script(?![^>]* src=)/);
	}
});
