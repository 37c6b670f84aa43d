/* search: which frames a text is found in, and which of their boxes is marked. */

/* /…/ is a regular expression, anything else is found as it is; small letters find large ones, too. Throws what is wrong with it. */
export function matcher(query) {
	if (query.length > 2 && query.startsWith('/') && query.endsWith('/')) {
		const expression = new RegExp(query.slice(1, -1), /[A-Z]/.test(query) ? 'u' : 'iu');

		return (text) => expression.test(text);
	}
	if (/[A-Z]/.test(query))
		return (text) => text.includes(query);
	return (text) => text.toLowerCase().includes(query);
}

/* 1 for each frame that has it in its name, file or module; null: nothing is looked for. */
export function match(data, names, query) {
	if (query === '')
		return null;
	const is = matcher(query), hits = new Uint8Array(names.length), known = new Map();
	const has = (text) => {
		if (!known.has(text))
			known.set(text, is(text));
		return known.get(text);
	};

	for (let i = 0; i < names.length; i++)
		hits[i] = has(names[i]) || (i < data.files.length && (has(data.files[i]) || has(data.modules[i]))) ? 1 : 0;
	return hits;
}

/* The same for one frame, wherever it is. */
export function only(names, frame) {
	const hits = new Uint8Array(names.length);

	hits[frame] = 1;
	return hits;
}
