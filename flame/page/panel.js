/* panel: what there is to say about one box. */
import { byId, button, fill, make } from './dom.js';
import { everywhere } from './tree.js';
import { changed, percent, plural } from './units.js';

const VALUES = 5, BELOW = 6;

/* "parse.c:42, mostly" */
export function sourceOf(data, t, i) {
	const frame = t.frame[i], file = data.files[frame] ?? '';
	const node = t.shape.from ? t.shape.from[t.node[i]] : t.node[i], line = node >= 0 ? data.line[node] : 0;

	return { file, line, module: data.modules[frame] ?? '', start: data.starts[frame] ?? 0, isInlined: node >= 0 && data.inlined[node] === 1 };
}

/* What the box at @i has of each value of each label: [[key, [[value, amount], …]], …] */
function byLabel(data, t, i) {
	const { samples, meta } = data, values = samples.values[t.column], of = new Float64Array(meta.labels.length), end = t.x[i] + t.w[i];
	const keys = new Map();

	for (let s = 0; s < samples.n; s++) {
		const at = t.place[t.shape.end[s]];

		if (values[s] > 0 && at >= i && t.x[at] >= t.x[i] && t.x[at] < end)
			of[samples.labels[s]] += values[s];
	}
	meta.labels.forEach((set, n) => {
		for (const [key, value] of of[n] > 0 ? set : []) {
			if (!keys.has(key))
				keys.set(key, new Map());
			keys.get(key).set(value, (keys.get(key).get(value) ?? 0) + of[n]);
		}
	});
	return [...keys].map(([key, found]) => [key, [...found].sort((a, b) => b[1] - a[1])]);
}

function bars(rows, whole, amount) {
	return make('ul', {}, rows.map(([name, value, action]) => {
		const bar = make('span', { className: 'bar', 'aria-hidden': 'true' });

		bar.style.width = `${Math.min(100, whole > 0 ? value / whole * 100 : 0)}%`;
		return make('li', {}, bar, action ? button(name, 'Zoom to it', action, { className: 'link' }) : make('span', {}, name),
			make('span', { className: 'number' }, `${amount(value)} ${percent(value, whole)}`));
	}));
}

/* @o: data, t, i, zoom, amount(value), zoomTo(i), same(frame) */
export function showPanel(o) {
	const { data, t, i, zoom, amount } = o, source = sourceOf(data, t, i), all = t.now[0];
	const name = i === 0 ? 'all' : t.names[t.frame[i]], rows = [], isReal = i > 0 && t.frame[i] < data.names.length;
	const add = (what, text) => text && rows.push(make('dt', {}, what), make('dd', {}, text));

	add(data.meta.diff ? 'Now' : 'In all', `${amount(t.now[i])}, ${percent(t.now[i], all)} of all`);
	if (data.meta.diff) {
		add('Before', `${amount(t.before[i])}, ${percent(t.before[i], t.before[0])} of all`);
		add('Change', `${changed(t.now[i], t.before[i])}${t.now[i] !== t.before[i] ? `, ${t.now[i] > t.before[i] ? '+' : '−'}${amount(Math.abs(t.now[i] - t.before[i]))}` : ''}`);
	}
	add('Itself', `${amount(t.selfNow[i])}, ${percent(t.selfNow[i], all)}`);
	if (zoom > 0)
		add('Of the view', percent(t.now[i], t.now[zoom]));
	if (i > 0)
		add('Of its parent', percent(t.now[i], t.now[t.parent[i]]));
	if (isReal) {
		const sum = everywhere(t, t.frame[i]);

		add('Everywhere', `${amount(sum.total)}, itself ${amount(sum.self)}`);
		add('Source', source.file === '' ? 'not in the profile' : `${source.file}${source.line > 0 ? `:${source.line}` : ''}${source.start > 0 ? `, begins at ${source.start}` : ''}`);
		add('Module', source.module || 'not in the profile');
		add('Inlined', source.isInlined ? 'yes, into its caller' : '');
	}
	const below = Array.from({ length: Math.min(t.count[i], BELOW) }, (_, n) => t.first[i] + n);

	fill(byId('panel'),
		make('p', { className: 'name' }, name),
		make('dl', {}, rows),
		below.length > 0 && make('h2', {}, o.isInverted ? 'Called by' : 'Calls'),
		below.length > 0 && bars(below.map((b) => [t.names[t.frame[b]], t.now[b], () => o.zoomTo(b)]), t.now[i], amount),
		t.count[i] > BELOW && make('p', { className: 'dim' }, `and ${plural(t.count[i] - BELOW, 'other')}`),
		byLabel(data, t, i).flatMap(([key, values]) => [make('h2', {}, key), bars(values.slice(0, VALUES), t.now[i], amount),
			values.length > VALUES && make('p', { className: 'dim' }, `and ${plural(values.length - VALUES, 'other')}`)]),
		make('div', { className: 'actions' },
			i !== zoom && button('Zoom here', 'Enter', () => o.zoomTo(i)),
			isReal && button('Mark it everywhere', 's', () => o.same(t.frame[i]))));
}

/* The same in few words, for the pointer and for who listens. */
export function tell(o, i) {
	const { data, t, amount } = o, source = sourceOf(data, t, i), name = i === 0 ? 'all' : t.names[t.frame[i]];
	const size = `${amount(t.now[i])}, ${percent(t.now[i], t.now[0])} of all`;
	const more = [];

	if (data.meta.diff)
		more.push(`before ${amount(t.before[i])}, ${changed(t.now[i], t.before[i])}`);
	if (t.selfNow[i] !== 0 && t.count[i] > 0)
		more.push(`itself ${amount(t.selfNow[i])}`);
	const place = [source.file === '' ? '' : `${source.file}${source.line > 0 ? `:${source.line}` : ''}`,
		source.module, source.isInlined ? 'inlined' : ''].filter((text) => text !== '');

	return { name, size: [size, ...more].join('; '), place: place.join(' · ') };
}
