/*
 * data: what flame/data.c wrote: names as JSON, a NUL, then numbers of seven bits a byte, the lowest first.
 *
 *     nodes     each but the root: how much less its parent's number is, frame * 2 + inlined, line
 *     samples   how much more the node's number is than the last one's, labels, then for each column the value, zigzag
 */

/* What stands packed in the page. */
export async function unpack(id) {
	const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
	const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));

	return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function decode(bytes) {
	const end = bytes.indexOf(0);
	const meta = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
	let at = end + 1;

	if (meta.form !== 1)
		throw new Error(`the data has form ${meta.form}, which this page does not know`);
	/* values go up to 2^64, beyond what a number has exactly: the last digits are lost there, no more */
	const number = () => {
		let value = 0, scale = 1;

		for (;;) {
			const byte = bytes[at++];

			value += (byte & 0x7f) * scale;
			if (!(byte >= 0x80))
				return value;
			scale *= 128;
		}
	};
	const n = meta.nodes, m = meta.samples;
	const parent = new Int32Array(n), frame = new Int32Array(n), line = new Int32Array(n), inlined = new Uint8Array(n);
	const node = new Int32Array(m), labels = new Int32Array(m);
	const values = meta.columns.map(() => new Float64Array(m));

	parent[0] = frame[0] = -1;
	for (let i = 1; i < n; i++) {
		parent[i] = i - number();
		const word = number();

		frame[i] = word >>> 1;
		inlined[i] = word & 1;
		line[i] = number();
	}
	for (let i = 0, last = 0; i < m; i++) {
		node[i] = last += number();
		labels[i] = number();
		for (const column of values) {
			const word = number();

			column[i] = word % 2 === 0 ? word / 2 : -(word + 1) / 2;
		}
	}
	if (at !== bytes.length)
		throw new Error('the data ends elsewhere than it should: the file is damaged');
	const names = [], files = [], modules = [], starts = [];

	for (let i = 0; i < meta.frames.length; i += 4) {
		names.push(meta.texts[meta.frames[i]]);
		files.push(meta.texts[meta.frames[i + 1]]);
		modules.push(meta.texts[meta.frames[i + 2]]);
		starts.push(meta.frames[i + 3]);
	}
	return { meta, names, files, modules, starts, parent, frame, line, inlined, samples: { n: m, node, labels, values } };
}
