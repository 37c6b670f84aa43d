/* press: what a key means, by a table such as that of keys.js. */

/* The line of the table that a key means, and how often: { entry, times }, or null. */
export function find(event, keys) {
	if (event.ctrlKey || event.metaKey || event.altKey)
		return null;
	for (const entry of keys) {
		if (entry.code !== undefined && entry.code === event.code)
			return { entry, times: event.shiftKey ? entry.shift ?? 1 : 1 };
	}
	for (const entry of keys) {
		if (entry.key === event.key)
			return { entry, times: 1 };
		if (entry.also?.includes(event.key))
			return { entry, times: event.shiftKey && event.key.startsWith('Arrow') ? entry.shift ?? 1 : 1 };
	}
	return null;
}

/* Does whoever has the focus want the keys for itself? */
export function isTyping(element) {
	return element !== null && element.matches?.('input:not([type=checkbox]), textarea, select, [contenteditable=true]') === true;
}

/* The keys of a line, as people read them. */
export function labels(entry) {
	const names = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓' };

	return [entry.show ?? entry.key, ...(entry.also ?? [])].map((k) => names[k] ?? k);
}
