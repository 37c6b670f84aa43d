/*
 * mock: a server of docs/viewer-api.md whose trace is known by heart, for tests of the page alone.
 *
 *     0         100       200       300 ms …           1 s
 *     main      running   │ waits for the others (join)        │
 *     worker-0  waits for g_cache …  every 100 ms, 80 of them  │
 *     worker-1  the same
 *     evictor   holds it, running: 80 ms of every 100
 *     <b>…      a thread whose name is markup, asleep
 */
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../viewer/page');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };
const STATES = ['running', 'runnable', 'lock', 'wait', 'syscall', 'idle', 'spin', 'unknown'];
const LETTERS = 'RrLCSZX?';
const MS = 1e6;
export const HOSTILE = '<img src=x onerror="window.hit=1">\u202e';
export const ORIGIN = 2814749767106;
export const END = 1000 * MS;
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'";

function makeTracks() {
	const tracks = [
		{ track: 1, name: 'main', group: null, spans: [[0, 100, 'running'], [100, 1000, 'wait', 'evictor']] },
		{ track: 2, name: 'worker-0', group: 'worker', spans: [] },
		{ track: 3, name: 'worker-1', group: 'worker', spans: [] },
		{ track: 4, name: 'evictor', group: null, spans: [] },
		{ track: 5, name: HOSTILE, group: null, spans: [[0, 1000, 'idle', HOSTILE]] },
	];

	for (let at = 0; at < 1000; at += 100) {
		for (const i of [1, 2]) {
			tracks[i].spans.push([at, at + 80, 'lock', 'g_cache', 4], [at + 80, at + 80 + 5 * i, 'runnable', null, 4],
				[at + 80 + 5 * i, at + 100, 'running']);
		}
		tracks[3].spans.push([at, at + 80, 'running'], [at + 80, at + 100, 'syscall', 'read']);
	}
	return tracks.map((t) => ({ ...t, tid: 4710 + t.track, parent: t.track > 1 ? 1 : null, begin_ns: 0, end_ns: END, intervals: t.spans.length,
		spans: t.spans.map(([a, b, state, label = null, other = null]) => ({ id: `${t.track}.${a * MS}`, begin_ns: a * MS, end_ns: b * MS, state,
			certainty: state === 'runnable' ? 'inferred' : 'exact', label, object: label === 'g_cache' ? 5 : null, call: state === 'syscall' ? 'read' : null,
			stack: 7, file: null, other, task: null })) }));
}

const tracks = makeTracks();
const edges = tracks.filter((t) => t.group === 'worker').flatMap((t) => t.spans.filter((s) => s.state === 'lock').map((s) => ({ kind: 'release',
	certainty: 'exact', from: 4, from_ns: s.end_ns, to: t.track, to_ns: s.end_ns, begun_ns: s.begin_ns, ran_ns: s.end_ns + 5 * MS, object: 5,
	label: 'g_cache', stack: 9, to_stack: 7 })));

function statesOf(t, from, to) {
	const sums = Array(8).fill(0);

	for (const s of t.spans)
		sums[STATES.indexOf(s.state)] += Math.max(0, Math.min(to, s.end_ns) - Math.max(from, s.begin_ns));
	return sums;
}

function named(sums) {
	return Object.fromEntries(STATES.map((name, i) => [`${name}_ns`, sums[i]]));
}

function addUp(list) {
	return list.reduce((sum, x) => sum.map((v, i) => v + x[i]), Array(8).fill(0));
}

function tile(track, level, n) {
	const buffer = Buffer.alloc(4128);
	const t = tracks.find((x) => x.track === track);
	const begin = n * 2 ** (level + 9) - ORIGIN;

	if (!t)
		return null;
	buffer.writeUInt8(1, 0);
	buffer.writeUInt8(8, 2);
	buffer.writeUInt8(level, 3);
	buffer.writeUInt32LE(512, 4);
	buffer.writeUInt32LE(track, 8);
	buffer.writeBigUInt64LE(BigInt(n), 16);
	buffer.writeBigInt64LE(BigInt(begin), 24);
	for (let i = 0; i < 512; i++) {
		const sums = statesOf(t, begin + i * 2 ** level, begin + (i + 1) * 2 ** level);
		const whole = sums.reduce((a, b) => a + b, 0);
		let left = 255;

		for (let s = 0; s < 8 && whole > 0; s++) {
			const share = Math.min(left, Math.round(sums[s] / whole * 255));

			buffer[32 + i * 8 + s] = share;
			left -= share;
		}
		if (whole > 0)
			buffer[32 + i * 8 + sums.indexOf(Math.max(...sums))] += left;
	}
	return buffer;
}

const without = (t) => Object.fromEntries(Object.entries(t).filter(([key]) => key !== 'spans'));
const spanAt = (t, ns) => t.spans.findIndex((s) => s.begin_ns <= ns && s.end_ns > ns);

/* What each path answers: an object, a Buffer, or null for 404. */
function answer(name, q, rest, isMaking) {
	const from = Number(q.get('from') ?? 0), to = Number(q.get('to') ?? END);
	const wanted = q.get('tracks') ? tracks.filter((t) => q.get('tracks').split(',').includes(String(t.track))) : tracks;

	switch (name) {
	case 'meta':
		return { api: 1, version: '0.1.0', file: 'trace.out', program: HOSTILE, pid: 4711, began: '2026-11-22T06:08:48.123456789Z', begin_ns: 0,
			end_ns: END, origin: ORIGIN, from_ns: 0, to_ns: END, threads: 5, events: 1234567, lost_events: 3, gaps: 1, is_damaged: false,
			is_complete: true, has: ['switches'], missing: [], states: STATES.map((s, i) => ({ name: s, letter: LETTERS[i] })), tables: [],
			index: isMaking ? { state: 'making', done: 0 } : { state: 'ready', done: 1 } };
	case 'tracks':
		return { is_exact: !isMaking, next: null, tracks: tracks.map((t) => ({ ...without(t), intervals: isMaking ? null : t.intervals, states: named(statesOf(t, 0, END)) })) };
	case 'tiles':
		return Buffer.concat(q.get('list').split(',').map((x) => tile(...x.split('.').map(Number))));
	case 'spans':
		return { tracks: wanted.map((t) => {
			const found = t.spans.filter((s) => s.end_ns > from && s.begin_ns < to);
			const max = Number(q.get('max') ?? 512);

			return { track: t.track, more: found.length > max, spans: found.slice(0, max) };
		}) };
	case 'span': {
		const [track, at] = rest[0].split('.').map(Number);
		const t = tracks.find((x) => x.track === track);
		const i = t ? spanAt(t, at) : -1;

		if (i < 0)
			return null;
		const s = t.spans[i];

		return { span: s, thread: t.name, tid: t.tid, sentence: `${t.name} was ${s.state} for ${(s.end_ns - s.begin_ns) / MS}.0ms`,
			frames: [{ text: `${HOSTILE} cache.c:41`, function: 'cache_get', file: 'cache.c', line: 41, module: '/bin/app', address: '0x1', inlined: false }],
			previous: t.spans[i - 1]?.id ?? null, next: t.spans[i + 1]?.id ?? null, previous_same: null, next_same: null,
			cause: edges.find((e) => e.to === track && e.begun_ns === s.begin_ns) ?? null,
			effect: edges.find((e) => e.from === track && e.from_ns >= s.begin_ns) ?? null,
			chain: s.state === 'lock' ? `${t.name} waits for mutex g_cache, held by evictor, which runs` : null };
	}
	case 'edges': {
		const found = edges.filter((e) => e.to_ns >= from && e.begun_ns <= to);

		return { left_out: found.length - Math.min(found.length, Number(q.get('max'))), edges: found.slice(0, Number(q.get('max'))) };
	}
	case 'sums': {
		const list = wanted.map((t) => ({ track: t.track, states: statesOf(t, from, to) }));

		return { from_ns: from, to_ns: to, states: named(addUp(list.map((t) => t.states))), tracks: list.map((t) => ({ ...t, states: named(t.states) })) };
	}
	case 'columns': {
		const n = Number(q.get('columns') ?? 512);
		const at = (i) => from + Math.floor((to - from) * i / n);
		const sums = Array.from({ length: n }, (_, i) => addUp(wanted.map((t) => statesOf(t, at(i), at(i + 1)))));

		return { from_ns: from, to_ns: to, columns: n, is_exact: true, states: Object.fromEntries(STATES.map((s, i) => [`${s}_ns`, sums.map((x) => x[i])])) };
	}
	case 'memory': {
		const n = Number(q.get('columns') ?? 512);

		return { from_ns: from, to_ns: to, columns: n, live: Array.from({ length: n }, (_, i) => (i % 10 ? null : 4096 * (i + 1))), resident: null,
			counters: [{ name: `debts ${HOSTILE}`, is_bytes: false, values: Array.from({ length: n }, (_, i) => (i < 20 ? null : i % 50 - 40)) },
				{ name: 'jemalloc.active', is_bytes: true, values: Array.from({ length: n }, (_, i) => 1 << 20 + i % 3) }], left_out: 0 };
	}
	case 'contended':
		return { locks: [{ object: 5, name: 'g_cache', waited_ns: 1600 * MS }, { object: 6, name: 'g_small', waited_ns: MS }], locks_in_all: 2 };
	case 'rare': {
		const n = Number(q.get('columns'));

		/* one call that failed, at 500 ms of the evictor */
		return { from_ns: from, to_ns: to, columns: n, tracks: wanted.map((t) => ({ track: t.track,
			rare: t.track === 4 && from <= 500 * MS && to > 500 * MS ? [[Math.floor((500 * MS - from) / (to - from) * n), 1]] : [] })) };
	}
	case 'lanes':
		return { from_ns: from, to_ns: to, columns: Number(q.get('columns')), is_whole: true, left_out: 0, tracks: wanted.map((t) => ({ track: t.track,
			regions: [{ begin_ns: 0, end_ns: 600 * MS, count: 1, label: `parse ${HOSTILE}`, depth: 0, is_open: false },
				{ begin_ns: 100 * MS, end_ns: 300 * MS, count: 1, label: 'read', depth: 1, is_open: false }],
			calls: t.spans.filter((s) => s.state === 'syscall').map((s) => ({ begin_ns: s.begin_ns, end_ns: s.end_ns, count: 1, label: 'read', is_open: false,
				errors: s.begin_ns === 480 * MS ? 1 : 0 })),
			samples: Array.from({ length: 10 }, (_, i) => ({ begin_ns: i * 100 * MS, end_ns: i * 100 * MS, count: 1, label: 'cache_get cache.c:41', stack: 7 })),
			tasks: [],
			marks: [{ begin_ns: 700 * MS, end_ns: 700 * MS, count: 1, label: 'cache is full' }] })) };
	case 'lock':
		return rest[0] !== '5' ? null : { from_ns: from, to_ns: to, columns: 10, is_whole: true, kind: 'lock', left_out: 0, name: 'g_cache',
			waiting_ns: Array(10).fill(160 * MS), uses: Array.from({ length: 10 }, (_, i) => ({ begin_ns: i * 100 * MS, end_ns: (i * 100 + 80) * MS, track: 4,
				count: 1, state: null, label: 'evict_all cache.c:88' })) };
	case 'histogram':
		return q.get('lock') !== '5' ? null : { count: 20, total_ns: 1600 * MS, p50_ns: 80 * MS, p99_ns: 80 * MS, max_ns: 80 * MS,
			buckets: [[64 * MS, 72 * MS, 5], [72 * MS, 88 * MS, 15]] };
	case 'source':
		return { file: '/src/cache.c', line: 41, first: 40, is_newer: true, lines: ['{', `\treturn ${HOSTILE};`, '}'] };
	case 'names': {
		const all = [...tracks.map((t) => ({ kind: 'thread', name: t.name, id: t.track })), { kind: 'object', name: 'g_cache', id: 5 }];

		return { more: false, names: all.filter((x) => x.name.toLowerCase().includes(q.get('q').toLowerCase())) };
	}
	case 'find': {
		const all = tracks.flatMap((t) => t.spans.map((s) => ({ span: s, thread: t.name }))).filter((x) => x.span.label?.includes(q.get('q')))
			.sort((a, b) => a.span.begin_ns - b.span.begin_ns);
		const at = Number(q.get('at'));

		return (q.get('direction') === 'previous' ? all.filter((x) => x.span.begin_ns <= at).pop() : all.find((x) => x.span.begin_ns > at)) ?? { span: null };
	}
	case 'table':
		switch (rest[0]) {
		case 'locks':
			return [{ name: 'g_cache', where: 'evict_all cache.c:88 < evictor_main cache.c:120', kind: 'mutex', total_ns: Math.round((to - from) * 1.6), waits: 20,
				mean_ns: 80 * MS, p50_ns: 80 * MS, p99_ns: 80 * MS, max_ns: 80 * MS, acquisitions: 10, held_ns: 800 * MS }];
		case 'summary':
			return { warnings: [{ id: 'CPT-LONG-HOLD', text: `g_cache was held for 10.0ms or longer, ${HOSTILE}`, next: 'locks', count: 1 }] };
		case 'threads':
			return tracks.map((t) => ({ name: t.name, tid: t.tid, life_ns: END, states: named(statesOf(t, from, to)) }));
		case 'critical-path':
			return { begin_ns: from, took_ns: to - from, segments: [{ begin_ns: from, took_ns: (to - from) / 2, share: 0.5, thread: 'evictor', tid: 4714, state: 'running',
				certainty: 'exact', what: 'ran', where: 'evict_all cache.c:88' }, { begin_ns: from + (to - from) / 2, took_ns: (to - from) / 2, share: 0.5,
				thread: 'worker-0', tid: 4712, state: 'running', certainty: 'exact', what: 'ran', where: null }] };
		default:
			return Array.from({ length: 700 }, (_, i) => ({ name: `${rest[0]} ${i}`, count: i, total_ns: i * 1000 }));
		}
	}
	return null;
}

/*
 * @asked: every path that is asked for is put there. @isMaking: there is no index before makeIndex().
 * → { url, makeIndex, close }
 */
export async function start(asked = [], isMaking = false) {
	const needIndex = ['spans', 'span', 'sums'];
	const server = createServer((request, response) => {
		const url = new URL(request.url, 'http://localhost');
		const parts = url.pathname.split('/').slice(1);

		asked.push(request.url);
		response.setHeader('Content-Security-Policy', CSP);
		response.setHeader('X-Content-Type-Options', 'nosniff');
		response.setHeader('Referrer-Policy', 'no-referrer');
		if (parts[0] !== 'token') {
			response.writeHead(404).end();
			return;
		}
		if (parts[1] === 'api') {
			if (isMaking && needIndex.includes(parts[3])) {
				response.writeHead(503, { 'Retry-After': '1' }).end(JSON.stringify({ error: 'no index', index: 'making' }));
				return;
			}
			const found = parts[3] === 'progress' ? { state: isMaking ? 'making' : 'ready', done: isMaking ? 0.5 : 1 } :
				answer(parts[3], url.searchParams, parts.slice(4), isMaking);

			response.setHeader('Content-Type', Buffer.isBuffer(found) ? 'application/octet-stream' : 'application/json');
			response.writeHead(found === null ? 404 : 200);
			response.end(Buffer.isBuffer(found) ? found : JSON.stringify(found ?? { error: 'there is none' }));
			return;
		}
		const file = path.join(PAGE, path.basename(parts[1] || 'index.html'));

		if (!existsSync(file)) {
			response.writeHead(404).end();
			return;
		}
		response.setHeader('Content-Type', TYPES[path.extname(file)] ?? 'application/octet-stream');
		response.writeHead(200);
		createReadStream(file).pipe(response);
	});

	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	return { url: `http://127.0.0.1:${server.address().port}/token/`, makeIndex: () => {
		isMaking = false;
	}, close: () => new Promise((resolve) => {
		server.closeAllConnections();
		server.close(resolve);
	}) };
}
