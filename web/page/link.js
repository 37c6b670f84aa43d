/* link: what the page shows, in its address: #view=peek&expression=^parse$&focus=main. A link, the way back and a bookmark are all the same. */

export const VIEWS = ['top', 'flame', 'peek', 'source', 'tags'];
export const FILTERS = ['sample_index', 'granularity', 'focus', 'ignore', 'hide', 'show', 'show_from', 'tagfocus', 'tagignore', 'noinlines', 'idle', 'trim'];
const OF_VIEWS = ['expression', 'sort', 'inverted'];

/* { view, focus … }: what is not there is as the command line has it. */
export function read(hash) {
	const from = new URLSearchParams(hash.replace(/^#/, '')), state = {};

	for (const key of [...FILTERS, ...OF_VIEWS])
		if (from.has(key))
			state[key] = from.get(key);
	state.view = VIEWS.includes(from.get('view')) ? from.get('view') : 'top';
	return state;
}

function text(state, keys) {
	const to = new URLSearchParams();

	for (const key of keys)
		if (state[key] !== undefined)
			to.set(key, state[key]);
	return to.toString();
}

export function write(state) {
	return `#${text(state, ['view', ...FILTERS, ...OF_VIEWS])}`;
}

/* What a view asks for: "api/v1/top?focus=parse". */
export function question(state, view, own = []) {
	const query = text(state, [...FILTERS, ...own]);

	return `api/v1/${view}${query === '' ? '' : '?'}${query}`;
}

/* An expression that a name matches, and no other name: places have more behind it. */
export function exactly(name, granularity) {
	const plain = name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

	return granularity === undefined || granularity === 'functions' ? `^${plain}$` : `^${plain}( |$)`;
}
