/* A profile out of stacks, as profile.proto has it, for tests and measurements that need one of a known shape. */
import { gzipSync } from 'node:zlib';

function varint(n) {
	const bytes = [];

	if (Number.isInteger(n) && n >= 0 && n < 2 ** 31) {
		for (; n >= 0x80; n >>= 7)
			bytes.push(n & 0x7f | 0x80);
		return [...bytes, n];
	}
	let rest = BigInt.asUintN(64, BigInt(n));

	for (; rest >= 0x80n; rest >>= 7n)
		bytes.push(Number(rest & 0x7fn) | 0x80);
	bytes.push(Number(rest));
	return bytes;
}

const number = (field, n) => [...varint(field << 3), ...varint(n)];
const bytes = (field, data) => [...varint(field << 3 | 2), ...varint(data.length), ...data];

/*
 * @types: [['cpu', 'nanoseconds'] …]; @stacks: [{ frames: ['main', 'parse' …], from the root on; values: [1 …]; labels: { key: 'value' } }].
 * The linker's names are others: a name that is the same is cut as pprof does. A frame is a name, or { name, file, line, module, start }.
 */
export function profile(types, stacks) {
	const strings = new Map([['', 0]]), functions = new Map(), modules = new Map(), out = [];
	const text = (s) => {
		if (!strings.has(s))
			strings.set(s, strings.size);
		return strings.get(s);
	};
	const put = (data) => out.push(Buffer.from(data));
	const mapping = (file) => {
		if (!modules.has(file)) {
			modules.set(file, modules.size + 1);
			const start = modules.size * 0x1000000;

			put(bytes(3, [...number(1, modules.size), ...number(2, start), ...number(3, start + 0x1000000), ...number(5, text(file)), ...number(7, 1)]));
		}
		return modules.get(file);
	};
	const ids = new Map(); /* by the object, for there may be millions */
	const location = (frame) => {
		const id = ids.get(frame) ?? make(frame);

		ids.set(frame, id);
		return id;
	};
	const make = (frame) => {
		const f = typeof frame === 'string' ? { name: frame } : frame, key = JSON.stringify(f);

		if (!functions.has(key)) {
			const id = functions.size + 1, module = mapping(f.module ?? '/bin/program');

			functions.set(key, id);
			put(bytes(5, [...number(1, id), ...number(2, text(f.name)), ...number(3, text(`linked ${f.name}`)), ...number(4, text(f.file ?? '')), ...number(5, f.start ?? 0)]));
			put(bytes(4, [...number(1, id), ...number(2, module), ...number(3, module * 0x1000000 + id * 16),
				...bytes(4, [...number(1, id), ...number(2, f.line ?? 0)])]));
		}
		return functions.get(key);
	};

	for (const [type, unit] of types)
		put(bytes(1, [...number(1, text(type)), ...number(2, text(unit))]));
	for (const { frames, values, labels = {} } of stacks)
		put(bytes(2, [...bytes(1, frames.map(location).reverse().flatMap(varint)), ...bytes(2, values.flatMap(varint)),
			...Object.entries(labels).flatMap(([key, value]) => bytes(3, [...number(1, text(key)), ...number(2, text(value))]))]));
	for (const s of strings.keys())
		out.push(Buffer.from([...varint(6 << 3 | 2), ...varint(Buffer.byteLength(s))]), Buffer.from(s));
	return gzipSync(Buffer.concat(out), { level: 1 });
}

/* @n stacks, all different, of up to 40 frames, from a seed. */
export function manyStacks(n, seed = 1) {
	let s = seed;
	const dice = (below) => {
		s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
		return Math.floor(s / 2 ** 32 * below);
	};
	const frames = Array.from({ length: 4000 }, (_, i) => ({
		name: `namespace_${i % 37}::function_${i}`, file: `source/file_${i % 311}.cc`, line: i % 900 + 1, module: `/usr/lib/module_${i % 12}.so`,
	}));
	const stacks = [], seen = new Set();
	let path = [];

	while (stacks.length < n) {
		/* most of a stack is as the last one's */
		path = path.slice(0, Math.max(1, path.length - 1 - dice(dice(4) === 0 ? 30 : 6)));
		for (let more = 1 + dice(8); more > 0 && path.length < 40; more--)
			path.push(dice(dice(3) === 0 ? 4000 : 60));
		const key = path.join();

		if (seen.has(key))
			continue;
		seen.add(key);
		stacks.push({ frames: path.map((i) => frames[i]), values: [1, 1e6 * (1 + dice(dice(20) === 0 ? 200 : 3))], labels: { thread: `worker-${dice(8)}` } });
	}
	return stacks;
}
