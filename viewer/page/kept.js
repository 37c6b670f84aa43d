/*
 * kept: the answers when the page is a file, and there is nobody to ask: docs/viewer-api.md, "In a file".
 *
 *     #kept      what was asked of the whole run when the file was written, word for word, and names
 *     #kept-0 …  pieces: the intervals of the tracks, from which any stretch is added up
 *
 * A piece is an interval, or several short ones in a row, as the time of each state. What needs the trace itself is not in here, and
 * says so, with the command that has it.
 */
import { quote } from './link.js';
import { BUCKETS, bucketNs, tileNs } from './tiles.js';
import { duration, seconds } from './time.js';

const FORM = 1;
const STATES = ['running', 'runnable', 'lock', 'wait', 'syscall', 'idle', 'spin', 'unknown'];
const CERTAINTIES = ['exact', 'inferred', 'proportional', 'unknown'];
const UNKNOWN = 7;
const MIXED = 0x08, CERTAINTY = 4, GAP = 0x40, MORE = 0x80;
const OBJECT = 1, CALL = 2, STACK = 4, OTHER = 8, TASK = 16, JOIN = 32, FILE = 64;

/* What is not in the file; @text says where it is. */
export class Missing extends Error {
	constructor(text) {
		super(text);
		this.status = 404;
		this.isMissing = true;
	}
}

/* ---- what was packed ---- */

async function unpack(id) {
	const text = document.getElementById(id).textContent;
	const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

	return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer());
}

/* Numbers of seven bits a byte, the lowest first. They are below 2^53, but for a task's. */
class Bytes {
	constructor(bytes, at) {
		this.bytes = bytes;
		this.at = at;
	}

	byte() {
		return this.bytes[this.at++];
	}

	number() {
		let value = 0, scale = 1;

		for (;;) {
			const byte = this.bytes[this.at++];

			value += (byte & 0x7f) * scale;
			if (!(byte >= 0x80))
				return value;
			scale *= 128;
		}
	}

	digits() {
		let value = 0n, shift = 0n;

		for (;;) {
			const byte = this.bytes[this.at++];

			value |= BigInt(byte & 0x7f) << shift;
			if (!(byte >= 0x80))
				return String(value);
			shift += 7n;
		}
	}
}

/* A track's pieces: when each begins and ends, and where the rest of it stands. */
export function readPieces(bytes, offset, count) {
	const p = { bytes, count, begin: new Float64Array(count), end: new Float64Array(count), at: new Uint32Array(count) };
	const from = new Bytes(bytes, offset);
	let now = 0;

	for (let i = 0; i < count; i++) {
		p.at[i] = from.at;
		const head = from.byte();

		now += head & GAP ? from.number() : 0;
		p.begin[i] = now;
		now += from.number();
		p.end[i] = now;
		if (head & MIXED) {
			const mask = from.byte();

			for (let k = 0; k < STATES.length; k++) {
				if (mask & 1 << k)
					from.number();
			}
			from.number();
		} else if (head & MORE) {
			const more = from.byte();

			for (const bit of [OBJECT, CALL, STACK, OTHER, TASK, FILE]) {
				if (more & bit)
					from.number();
			}
		}
	}
	return p;
}

function begun(p, i) {
	const from = new Bytes(p.bytes, p.at[i]);
	const head = from.byte();

	if (head & GAP)
		from.number();
	from.number();
	return [head, from];
}

function isMixed(p, i) {
	return (p.bytes[p.at[i]] & MIXED) !== 0;
}

/* The first piece that ends behind @ns. */
function firstOf(p, ns) {
	let low = 0, high = p.count;

	while (low < high) {
		const middle = low + high >> 1;

		if (p.end[middle] <= ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Adds what piece @i has between @from and @to: of short ones in a row a part, as long as the stretch is. */
function addPiece(p, i, from, to, sums) {
	const first = Math.max(from, p.begin[i]), last = Math.min(to, p.end[i]);
	const head = p.bytes[p.at[i]];

	if (last <= first)
		return;
	if (!(head & MIXED)) {
		sums[head & 7] += last - first;
		return;
	}
	const [, rest] = begun(p, i);
	const mask = rest.byte();
	const length = p.end[i] - p.begin[i];
	let left = last - first, largest = 0, most = -1;

	for (let k = 0; k < STATES.length; k++) {
		if (!(mask & 1 << k))
			continue;
		const ns = rest.number();
		const part = Math.floor(ns * ((last - first) / length));

		sums[k] += part;
		left -= part;
		if (ns > most)
			[most, largest] = [ns, k];
	}
	sums[largest] += left;
}

export function sumOf(p, from, to, sums = new Array(STATES.length).fill(0)) {
	for (let i = firstOf(p, from); i < p.count && p.begin[i] < to; i++)
		addPiece(p, i, from, to, sums);
	return sums;
}

/* Shares of 255, as the server has them. */
export function sharesOf(sums, to, at) {
	const all = sums.reduce((a, b) => a + b, 0);
	let left = 255, largest = UNKNOWN;

	if (all === 0)
		return;
	for (let k = 0; k < STATES.length; k++) {
		if (sums[k] > sums[largest])
			largest = k;
		to[at + k] = Math.floor(sums[k] / all * 255);
		left -= to[at + k];
	}
	to[at + largest] += left;
}

/* Calls @each(column, sums) for columns of @width ns from @from on that have something. */
function eachColumn(p, from, width, count, each) {
	let i = firstOf(p, from);

	for (let c = i < p.count ? Math.max(0, Math.floor((p.begin[i] - from) / width)) : count; c < count; c++) {
		const begin = from + c * width, end = begin + width;
		const sums = new Array(STATES.length).fill(0);

		while (i < p.count && p.end[i] <= begin)
			i++;
		if (i === p.count)
			return;
		for (let k = i; k < p.count && p.begin[k] < end; k++)
			addPiece(p, k, begin, end, sums);
		each(c, sums);
	}
}

function states(sums) {
	return Object.fromEntries(STATES.map((name, i) => [`${name}_ns`, sums[i]]));
}

/* ---- the file ---- */

class File {
	constructor(said) {
		this.said = said;
		this.meta = said.answers.meta;
		this.fragment = said.fragment; /* where it opens */
		this.chunks = new Map();
		this.pieces = new Map();
		this.tracks = Object.keys(said.answers).filter((key) => /^tracks(\?|$)/.test(key)).flatMap((key) => said.answers[key].tracks);
		this.byTrack = new Map(this.tracks.map((t) => [t.track, t]));
		this.places = new Map(said.tracks.map((t) => [t[0], t]));
	}

	chunk(n) {
		if (!this.chunks.has(n))
			this.chunks.set(n, unpack(`kept-${n}`));
		return this.chunks.get(n);
	}

	async of(track) {
		if (!this.pieces.has(track)) {
			const place = this.places.get(track);

			if (place === undefined)
				throw new Missing(`there is no track ${track}`);
			const bytes = await this.chunk(place[1]);

			this.pieces.set(track, readPieces(bytes, place[2], place[3]));
		}
		return this.pieces.get(track);
	}

	/* "cprof-trace trace.out locks --from 1.2s": what has the answer */
	command(name, parameters) {
		const words = ['cprof-trace', this.meta.file, ...name.split(' ')];

		for (const [key, value] of Object.entries(parameters)) {
			if (['from', 'to', 'at'].includes(key))
				words.push(`--${key}`, seconds(Number(value)));
			else if (['threads', 'thread', 'by'].includes(key))
				words.push(`--${key}`, String(value));
		}
		return words.map(quote).join(' ');
	}

	/* @what: "That is" */
	missing(what, name, parameters) {
		throw new Missing(`${what} not in this file: ${this.command(name, parameters)}`);
	}

	isWhole({ from, to }) {
		return (from === undefined || from <= this.meta.begin_ns) && (to === undefined || to >= this.meta.end_ns);
	}

	/* What was asked when the file was written, or undefined. */
	answer(key) {
		const answer = Object.hasOwn(this.said.answers, key) ? this.said.answers[key] : undefined;

		if (answer?.['!'] !== undefined)
			throw new Missing(answer['!'].error ?? answer['!']);
		return answer;
	}

	range(o) {
		return [Number(o.from ?? this.meta.begin_ns), Number(o.to ?? this.meta.end_ns)];
	}

	tracksOf(o) {
		return o.tracks === undefined ? this.tracks.map((t) => t.track) : String(o.tracks).split(',').map(Number);
	}

	/* As the server has it; and the numbers of its object, file and call. */
	read(track, p, i) {
		const [head, rest] = begun(p, i);
		const more = head & MORE ? rest.byte() : 0;
		const object = more & OBJECT ? rest.number() : 0;
		const number = more & CALL ? rest.number() : null;
		const call = number === null ? null : this.said.calls[number] ?? null;
		const stack = more & STACK ? rest.number() : 0;
		const other = more & OTHER ? rest.number() : 0;
		const task = more & TASK ? rest.digits() : null;
		const file = more & FILE ? rest.number() : 0;
		const label = more & JOIN && other ? this.byTrack.get(other)?.name ?? null : object ? this.said.objects[object] ?? null :
			number !== null ? call ?? String(number) : null;

		return { object, file, number, span: { id: `${track}.${p.begin[i]}`, begin_ns: p.begin[i], end_ns: p.end[i], state: STATES[head & 7],
			certainty: CERTAINTIES[head >> CERTAINTY & 3], label, object: object || null, file: file || null, call, stack: stack || null, other: other || null, task } };
	}

	span(track, p, i) {
		return this.read(track, p, i).span;
	}

	/* ---- questions: by the path's name ---- */

	async spans(o) {
		const [from, to] = this.range(o);
		const max = Number(o.max ?? 512);
		const tracks = [];

		for (const track of this.tracksOf(o)) {
			const p = await this.of(track);
			const spans = [];
			let i = firstOf(p, from), isMore = false;

			for (; i < p.count && p.begin[i] < to && spans.length < max && !isMore; i++) {
				if (isMixed(p, i))
					isMore = true;
				else
					spans.push(this.span(track, p, i));
			}
			tracks.push({ track, more: isMore || (i < p.count && p.begin[i] < to), spans });
		}
		return { tracks };
	}

	/* The server's words where they are here, else what the intervals say. */
	async 'span/'(id) {
		const kept = this.answer(`span/${id}`);

		if (kept !== undefined)
			return kept;
		const [track, at] = id.split('.').map(Number);
		const p = await this.of(track);
		const i = firstOf(p, at);

		if (i === p.count || p.begin[i] > at || isMixed(p, i))
			throw new Missing(`what ${this.byTrack.get(track).name} did just then is not in this file: ` +
				this.command('events', { from: at, to: at + 1000, threads: this.byTrack.get(track).tid }));
		const { span, number } = this.read(track, p, i), thread = this.byTrack.get(track);
		const idAt = (k) => (k >= 0 && k < p.count ? `${track}.${p.begin[k]}` : null);
		const same = (step) => {
			for (let k = i + step, n = 0; k >= 0 && k < p.count && n < 4096; k += step, n++) {
				if (isMixed(p, k))
					continue;
				const other = this.read(track, p, k);

				if (other.span.state === span.state && other.span.object === span.object && other.number === number)
					return other.span.id;
			}
			return null;
		};
		const frames = span.stack ? this.said.stacks[span.stack]?.frames ?? [] : [];

		return { span, thread: thread.name, tid: thread.tid,
			sentence: `${thread.name}: ${span.state}${span.label ? ` ${span.label}` : ''} for ${duration(span.end_ns - span.begin_ns)}`, frames, previous: idAt(i - 1), next: idAt(i + 1),
			previous_same: same(-1), next_same: same(1), cause: null, effect: null, chain: null,
			missing: `Who made it go on is not in this file: ${this.command('chain', { at: span.begin_ns, thread: thread.tid })}` };
	}

	async sums(o) {
		const [from, to] = this.range(o);
		const all = new Array(STATES.length).fill(0), tracks = [];

		if (o.tracks === undefined && this.isWhole(o))
			return this.answer('sums');
		for (const track of this.tracksOf(o)) {
			const t = this.byTrack.get(track);

			if (t === undefined || t.end_ns <= from || t.begin_ns >= to)
				continue;
			const sums = sumOf(await this.of(track), from, to);

			sums.forEach((ns, k) => {
				all[k] += ns;
			});
			if (tracks.length < 1000)
				tracks.push({ track, states: states(sums) });
		}
		return { from_ns: from, to_ns: to, tracks, states: states(all) };
	}

	/* As the server chooses them: 2^n ns each, no more than suits the number of threads. */
	chooseColumns(from, to) {
		const most = Math.min(1400, Math.max(100, Math.floor(150000 / (this.byTrack.size + 1))));
		let width = 1;

		while (Math.floor((to - from) / width) >= most)
			width *= 2;
		const begin = from - from % width, count = Math.ceil((to - begin) / width);

		return [begin, begin + count * width, count];
	}

	async columns(o) {
		const asked = this.range(o);
		const [from, to, count] = o.columns === undefined ? this.chooseColumns(...asked) : [...asked, Number(o.columns)];
		/* the product may be more than a number has room for */
		const edge = (i) => from + Number(BigInt(to - from) * BigInt(i) / BigInt(count));
		const all = STATES.map(() => new Array(count).fill(0));

		if (o.tracks === undefined && o.columns === undefined && this.isWhole(o))
			return this.answer('columns');
		for (const track of this.tracksOf(o)) {
			const t = this.byTrack.get(track);

			if (t === undefined || t.end_ns <= from || t.begin_ns >= to)
				continue;
			const p = await this.of(track);

			for (let i = firstOf(p, from), c = 0; c < count && i < p.count; c++) {
				const begin = edge(c), end = edge(c + 1), sums = new Array(STATES.length).fill(0);

				while (i < p.count && p.end[i] <= begin)
					i++;
				for (let k = i; k < p.count && p.begin[k] < end; k++)
					addPiece(p, k, begin, end, sums);
				sums.forEach((ns, k) => {
					all[k][c] += ns;
				});
			}
		}
		return { from_ns: from, to_ns: to, columns: count, is_exact: this.said.short_ns === 0,
			states: Object.fromEntries(STATES.map((name, k) => [`${name}_ns`, all[k]])) };
	}

	/* Those whose row is in the file. */
	contended(o) {
		const kept = this.answer('contended');

		return { ...kept, locks: kept.locks.filter((l) => this.said.answers[`lock/${l.object}`] !== undefined).slice(0, Number(o.max ?? 8)) };
	}

	/* In steps of the whole run, whatever part of it is asked for: what there is of some tracks each. */
	byTracks(what, o) {
		const all = Object.keys(this.said.answers).filter((key) => key.startsWith(`${what}/`)).map((key) => this.answer(key));
		const wanted = new Set(this.tracksOf(o));
		const tracks = all.flatMap((answer) => answer.tracks).filter((t) => wanted.has(t.track));

		if (all.length === 0 || tracks.length < wanted.size)
			this.missing('That is', 'timeline', {});
		return { ...all[0], tracks };
	}

	rare(o) {
		return this.byTracks('rare', o);
	}

	lanes(o) {
		return this.byTracks('lanes', o);
	}

	/* In steps of the whole run: the last one that is over by the end of each column. */
	memory(o) {
		const [from, to] = this.range(o);
		const kept = this.answer('memory');
		const count = Number(o.columns ?? 512);
		const width = (kept.to_ns - kept.from_ns) / kept.columns;
		const values = (list) => list && Array.from({ length: count }, (_, i) => {
			const step = Math.floor((from + (to - from) * (i + 1) / count - kept.from_ns) / width) - 1;

			return step < 0 ? null : list[Math.min(step, list.length - 1)];
		});

		return { from_ns: from, to_ns: to, columns: count, live: values(kept.live), resident: values(kept.resident),
			counters: kept.counters.map((c) => ({ ...c, values: values(c.values) })), left_out: kept.left_out };
	}

	/* Of those that were waited for longest in the whole run. */
	edges(o) {
		const [from, to] = this.range(o);
		const kept = this.answer('edges');
		const tracks = o.tracks === undefined ? null : new Set(this.tracksOf(o));
		const found = kept.edges.filter((e) => Math.min(e.begun_ns, e.from_ns) <= to && Math.max(e.to_ns, e.ran_ns) >= from &&
			(tracks === null || tracks.has(e.from) || tracks.has(e.to)));
		const max = Number(o.max ?? 200);

		return { left_out: Math.max(0, found.length - max) + kept.left_out, edges: found.slice(0, max) };
	}

	names(o) {
		const text = o.q.toLowerCase(), max = Number(o.max ?? 50);
		const all = [...this.tracks.map((t) => ({ kind: 'thread', name: t.name, id: t.track })),
			...Object.entries(this.said.objects).map(([id, name]) => ({ kind: 'object', name: name ?? '', id: Number(id) }))];
		const found = all.filter((n) => n.name.toLowerCase().includes(text));

		return { names: found.slice(0, max), more: found.length > max };
	}

	/* The nearest that begins behind @at, or before it, of a lock, a file or a function of that name. */
	async find(o) {
		const text = o.q.toLowerCase(), at = Number(o.at ?? 0), isBack = o.direction === 'previous';
		const named = (names) => new Set(Object.entries(names).filter(([, name]) => name?.toLowerCase().includes(text)).map(([id]) => Number(id)));
		const objects = named(this.said.objects), files = named(this.said.files);
		const stacks = new Set(Object.values(this.said.stacks).filter((s) => s.frames?.some((f) => f.function?.toLowerCase().includes(text))).map((s) => s.stack));
		let best = null;

		for (const { track, name } of this.tracks) {
			const p = await this.of(track);

			for (let i = Math.min(firstOf(p, at), p.count - (isBack ? 1 : 0)); i >= 0 && i < p.count; i += isBack ? -1 : 1) {
				if (best !== null && (isBack ? p.begin[i] <= best.span.begin_ns : p.begin[i] >= best.span.begin_ns))
					break;
				if (isMixed(p, i) || (isBack ? p.begin[i] >= at : p.begin[i] <= at))
					continue;
				const { span, object, file } = this.read(track, p, i);

				if (!objects.has(object) && !files.has(file) && !stacks.has(span.stack))
					continue;
				best = { span, thread: name };
				break;
			}
		}
		return best ?? { span: null };
	}

	'stack/'(id) {
		return this.said.stacks[id] ?? this.missing(`Stack ${id} is`, 'events', {});
	}

	/* How long others of its kind took. */
	histogram(o) {
		const [[key, value]] = Object.entries(o).filter(([k]) => ['lock', 'call'].includes(k));

		return (this.isWhole(o) ? this.answer(`histogram?${key}=${value}`) : undefined) ??
			this.missing('How long others of its kind took is', key === 'lock' ? 'locks' : 'syscalls', o);
	}

	/* Of the whole run only. */
	'table/'(name, o) {
		const key = `table/${name}${o.by === undefined ? '' : `?by=${o.by}`}`;
		const others = Object.keys(o).filter((k) => !['from', 'to', 'by', 'limit'].includes(k));
		const answer = others.length === 0 && this.isWhole(o) ? this.answer(key) : undefined;

		if (answer === undefined)
			this.missing('That table is', name, o);
		return Array.isArray(answer) && Number(o.limit) > 0 ? answer.slice(0, Number(o.limit)) : answer;
	}

	async json(path, parameters) {
		const o = Object.fromEntries(Object.entries(parameters ?? {}).filter(([, v]) => v !== undefined && v !== null));
		const cut = path.indexOf('/') + 1;
		const question = path.slice(0, cut) || path;

		if (['spans', 'span/', 'sums', 'columns', 'memory', 'edges', 'contended', 'rare', 'lanes', 'histogram', 'names', 'find', 'stack/', 'table/'].includes(question))
			return cut > 0 ? this[question](path.slice(cut), o) : this[question](o);
		const kept = this.answer(path + (o.cursor === undefined ? '' : `?cursor=${o.cursor}`));

		if (kept === undefined)
			this.missing('That is', 'timeline', {});
		return kept;
	}

	/* As decode() of tiles.js has them. */
	async tiles(wanted) {
		const found = [];

		for (const { track, level, n } of wanted) {
			const p = await this.of(track);
			const shares = new Uint8Array(BUCKETS * STATES.length);

			eachColumn(p, n * tileNs(level) - this.meta.origin, bucketNs(level), BUCKETS,
				(c, sums) => sharesOf(sums, shares, c * STATES.length));
			found.push({ track, level, n, isEstimate: false, shares });
		}
		return found;
	}

	/* What is not as the server would have it. */
	notes() {
		const { said } = this;
		const notes = [];

		notes.push(said.short_ns === 0 ? `All ${said.intervals.toLocaleString('en')} intervals are in this file: states, times and their sums are exact.` :
			`The finest of this file is ${said.short_ns >= 1e6 ? `${said.short_ns / 1e6} ms` : `${said.short_ns / 1e3} us`}: what is shorter is ` +
			`put together with its neighbours, ${said.intervals.toLocaleString('en')} intervals in ${said.pieces.toLocaleString('en')} pieces.`);
		notes.push(`Tables are of the whole run, with ${said.rows.toLocaleString('en')} rows at most; who woke whom is told of the ` +
			`${said.details} longest waits of each kind, and arrows are the ${said.edges.toLocaleString('en')} longest; memory has ` +
			`${said.steps.toLocaleString('en')} steps, and what is rare, in lanes (of the first 128 threads) or along the locks waited for longest, 1,000.`);
		notes.push(`The rest: ${this.command('timeline', {})}`);
		return notes;
	}
}

let opened = null;

/* The file that the page is in, or null: it has a server. @clean: what becomes of its text before it is read. */
export function file(clean) {
	if (typeof document === 'undefined' || document.getElementById('kept') === null)
		return null;
	opened ??= unpack('kept').then((bytes) => {
		const said = JSON.parse(clean(new TextDecoder().decode(bytes)));

		if (said.form !== FORM)
			throw new Error(`this file has form ${said.form}, and its page knows ${FORM}`);
		return new File(said);
	});
	return opened;
}
