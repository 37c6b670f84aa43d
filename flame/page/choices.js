/* choices: the bar's lists and buttons, of what this profile has. */
import { byId, button, fill, make } from './dom.js';
import { plural } from './units.js';

const VALUES = 300;

function list(label, options, chosen, action) {
	const select = make('select', { on: { change: () => action(select.value) } },
		options.map(([value, text]) => make('option', { value, selected: value === chosen }, text)));

	return make('label', {}, label, select);
}

/* The values of labels, those that most samples have first. */
function labelValues(data) {
	const counts = new Map(), sets = new Float64Array(data.meta.labels.length);

	for (let s = 0; s < data.samples.n; s++)
		sets[data.samples.labels[s]]++;
	data.meta.labels.forEach((set, i) => {
		for (const [key, value] of set) {
			const id = JSON.stringify([key, value]);

			counts.set(id, (counts.get(id) ?? 0) + sets[i]);
		}
	});
	return [...counts].sort((a, b) => b[1] - a[1]).slice(0, VALUES).map(([id]) => id);
}

/* @state: column, group, only, width, inverted, up; @set(what) changes some of it. */
export function showChoices(data, state, set, actions) {
	const { meta } = data, keys = [...new Set(meta.labels.flat().map(([key]) => key))].sort();

	const inputs = () => [...byId('choices').querySelectorAll('button, select')], at = inputs().indexOf(document.activeElement);

	fill(byId('choices'),
		list('Show', meta.columns.map((c, i) => [String(i), c[0]]), String(state.column),
			(v) => set({ column: Number(v) })),
		keys.length > 0 && list('by', [['', 'no label'], ...keys.map((key) => [key, key])], state.group, (v) => set({ group: v })),
		keys.length > 0 && list('only', [['', 'all labels'], ...labelValues(data).map((id) => [id, JSON.parse(id).join(': ')])], state.only,
			(v) => set({ only: v })),
		meta.diff && list('Width', [['larger', 'the larger'], ['now', 'now'], ['before', 'before']], state.width, (v) => set({ width: v })),
		button('Inverted', 'i', actions.invert, { 'aria-pressed': String(state.inverted) }),
		button('Flames', 'f', actions.flip, { 'aria-pressed': String(state.up) }),
		button('Table', 't', actions.table, { 'aria-pressed': String(!byId('drawer').hidden), 'aria-controls': 'drawer' }),
		button('Details', 'd', actions.details, { 'aria-pressed': String(!byId('panel').hidden), 'aria-controls': 'panel' }),
		button('Reset', 'r', actions.reset),
		button('Theme', 'T', actions.theme),
		button('?', 'Help', actions.help, { 'aria-label': 'Help: keys and gestures' }));
	/* who has the keyboard there has it still */
	if (at >= 0)
		inputs()[at]?.focus();
}

export function showFacts(data, t) {
	const { meta } = data;

	byId('title').textContent = meta.base ? `${meta.base} → ${meta.title}` : meta.title;
	document.title = `${byId('title').textContent} – flame graph`;
	fill(byId('facts'), [...meta.facts, `${plural(data.samples.n, 'stack')}, ${plural(t.n - 1, 'box', 'boxes')}, up to ${plural(t.levels.length - 2, 'level')} deep`]
		.map((line) => make('p', {}, line)));
}
