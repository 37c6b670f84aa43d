/* keys: every key there is, in one table: the key handler goes by it, the help prints it, the tests press it. */

export const KEYS = [
	{ group: 'Views', key: '1', view: 'top', say: 'Top: which functions use most' },
	{ group: 'Views', key: '2', view: 'flame', say: 'Flame: stacks as a picture, with keys of its own: ? there lists them' },
	{ group: 'Views', key: '3', view: 'peek', say: 'Peek: who calls a function, and what it calls' },
	{ group: 'Views', key: '4', view: 'source', say: 'Source: its lines' },
	{ group: 'Views', key: '5', view: 'tags', say: 'Tags: labels and their values' },

	{ group: 'Filters', key: '/', action: 'focus', say: 'focus: only stacks with a function that matches' },
	{ group: 'Filters', key: 'c', action: 'clear', say: 'clear all filters' },
	{ group: 'Filters', key: 'Escape', show: 'Esc', action: 'out', say: 'out of a field' },
	{ group: 'Filters', key: 'm', action: 'more', say: 'more filters, or fewer' },

	{ group: 'Show', key: 'a', action: 'facts', say: 'about this profile, and the same as a command' },
	{ group: 'Show', key: 'l', action: 'link', say: 'copy a link to what is shown; it works as long as the server runs' },
	{ group: 'Show', key: 'T', action: 'theme', say: 'light or dark' },
	{ group: 'Show', key: '?', also: ['F1'], action: 'help', say: 'this help' },
];

export const GESTURES = [
	{ show: 'click on a name', say: 'who calls it, and what it calls' },
	{ show: 'click on a heading', say: 'sorts by it, once more the other way' },
	{ show: 'click on a label', say: 'only samples that have it' },
];
