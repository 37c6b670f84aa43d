/* picture: what the canvases are given to draw, the legend, and what the pointer is told. */
import { byId, fill, make } from './dom.js';
import { NAMES, Theme, swatch } from './draw.js';
import { RARE, itemAt, sayItem, sayRare } from './lanes.js';
import { drawOverlay } from './overlay.js';
import { drawOverview, drawRuler, fillsOfOverview } from './overview.js';
import { ROW, rowOf } from './rows.js';
import { selectedRange } from './selection.js';
import { STATES } from './states.js';
import { drawSummary, summaryRows } from './summary.js';
import { levelOf } from './tiles.js';
import { bytes, duration, grouped, moment } from './time.js';
import { drawTracks } from './tracks.js';

export function showSummary(app, columns, memory) {
	for (const key of ['live', 'resident'])
		app.has[key] ||= memory?.[key]?.some((v) => v > 0) ?? false;
	if (memory) {
		app.has.counters = memory.counters.map(({ name, is_bytes: isBytes }) => ({ name, isBytes }));
		app.has.countersMore = memory.left_out;
	}
	const had = app.summary.rows.length;

	app.summary = { rows: summaryRows(columns, memory, app.has),
		range: columns ? { from: columns.from_ns, to: columns.to_ns } : app.bounds };
	if (app.summary.rows.length !== had)
		resize(app);
	else
		app.came('summary');
}

export function setTheme(app) {
	const isDark = app.forced ? app.forced === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	const root = document.documentElement;

	root.toggleAttribute('data-dark', isDark);
	if (app.forced)
		root.dataset.theme = app.forced;
	else
		delete root.dataset.theme;
	app.theme = new Theme(isDark);
	showLegend(app);
	app.changed();
}

export function showLegend(app) {
	fill(byId('legend'), STATES.map((s, i) => make('span', {}, swatch(i, app.theme), `${s.letter} ${s.name === 'wait' ? 'waits' : s.say}`)),
		RARE.map(({ say, colour }) => make('span', {}, make('span', { className: `strip ${colour}`, 'aria-hidden': 'true' }), say)),
		make('span', { className: 'says', id: 'says' }));
}

export function resize(app) {
	const stage = byId('stage').clientWidth;

	/* without what the scrollbar takes, so that all canvases end where the rows do */
	byId('summary').hidden = app.summary.rows.length === 0 || app.hidesSummary;
	app.width = Math.max(100, Math.min(stage, byId('rows').clientWidth) - NAMES);
	app.height = byId('rows').clientHeight;
	app.redraw();
}

/* @stale: ids of canvases; empty: all */
export function paint(app, stale) {
	if (!app.theme)
		return;
	const is = (id) => stale.size === 0 || stale.has(id);
	const { theme, view, width, bounds } = app;

	if (is('overview'))
		drawOverview(byId('overview'), { width, theme, columns: app.overview, bounds, view, marks: app.marks,
			says: `${duration(bounds.to - bounds.from)} in all` });
	if (is('ruler'))
		drawRuler(byId('ruler'), { width, theme, view, clock: app.clock, zero: selectedRange(app)?.from ?? 0,
			realtimeMs: Date.parse(app.meta.began ?? ''), marks: app.marks });
	if (is('summary') && !byId('summary').hidden)
		drawSummary(byId('summary'), { width, theme, view, rows: app.summary.rows, range: app.summary.range,
			format: (row, most) => (row.isBytes ? bytes(most) : row.isCounter || most >= 9.95 ? grouped(most) : most.toFixed(1)) });
	app.height = byId('rows').clientHeight;
	if (is('tracks'))
		drawRows(app);
	if (is('overlay'))
		drawOver(app);
	want(app);
}

function drawRows(app) {
	const level = levelOf(app.view, app.width);
	const selected = app.selection ? rowOf(app.rows, app.selection.track) : -1;

	drawTracks(byId('tracks'), { rows: app.rows, top: byId('rows').scrollTop, height: app.height, width: app.width, view: app.view, level,
		origin: app.meta.origin, cache: app.loader.cache, spans: (id) => app.loader.spans.get(id), theme: app.theme, selected,
		showIdle: app.showIdle, lanes: (id) => app.loader.lanes.get(id), things: (id) => app.loader.things.get(id),
		rare: (id) => app.loader.rare.get(id), names: (id) => app.nameOf(id) });
}

/* While the first answers are on their way. */
export function paintBeforehand(app) {
	if (app.overview)
		fillsOfOverview(byId('overview'), { width: app.width, theme: app.theme, columns: app.overview, bounds: app.bounds });
}

/* Asks for what the rows in view show. */
export function want(app) {
	const rows = app.visibleRows(), { view, width, bounds } = app;

	app.loader.want({ view, width, bounds, tracks: rows.flatMap((row) => row.drawn), byId: app.byId,
		lanesOf: [...new Set(rows.filter((row) => row.kind === 'lane').map((row) => row.of))],
		things: rows.filter((row) => row.kind === 'thing').map((row) => row.thing),
		origin: app.meta.origin, isReady: app.isReady, withEdges: app.edgesMode === 'view' });
}

export function edgesShown(app) {
	if (app.edgesMode === 'none')
		return [];
	if (app.edgesMode === 'view')
		return app.loader.edges?.edges ?? [];
	return [app.selection?.details?.cause, app.selection?.details?.effect].filter((e) => e);
}

export function drawOver(app) {
	const top = byId('rows').offsetTop, scroll = byId('rows').scrollTop;
	const yOf = (track) => {
		const i = rowOf(app.rows, track);

		return i < 0 ? null : top + i * ROW - scroll + ROW / 2;
	};
	const left = app.loader.edges?.left_out ?? 0;

	drawOverlay(byId('overlay'), { theme: app.theme, view: app.view, width: app.width, stageWidth: byId('stage').clientWidth,
		stageHeight: byId('stage').clientHeight, rulerTop: byId('ruler').offsetTop, top, bottom: top + app.height, area: app.area,
		areaRows: app.area?.tracks?.map(yOf).filter((y) => y !== null) ?? null, cursor: app.cursor, span: app.selection?.span ?? null,
		edges: edgesShown(app), yOf, path: app.path?.steps ?? null });
	byId('says').textContent = app.edgesMode === 'view' && app.loader.edges ?
		`${app.loader.edges.edges.length} arrows${left > 0 ? `, ${grouped(left)} left out` : ''}` :
		!app.isReady ? 'the index is being made: this is an estimate' : '';
}

function saySpan(app, row, span, ns) {
	const rare = app.loader.rare.get(row.id);
	const also = rare ? sayRare(rare, ns) : '';

	return `${row.name}: ${STATES[span.index].say}${span.label ? ` ${span.label}` : ''}` +
		(span.other !== null && span.other !== undefined && app.byId.has(span.other) ? `, ${span.index === 1 ? 'woken' : 'held'} by ${app.nameOf(span.other)}` : '') +
		` for ${duration(span.end_ns - span.begin_ns)}` + (also ? `; in it ${also}` : '');
}

/* What a row that is not a thread's has at @ns; '' for nothing. */
function sayBeneath(app, row, ns) {
	const item = beneathAt(app, row, ns);

	if (item === null)
		return '';
	const took = item.end_ns > item.begin_ns ? ` for ${duration(item.end_ns - item.begin_ns)}` : ` at ${moment(item.begin_ns)}`;

	return `${row.name}: ${item.track !== undefined ? `${app.nameOf(item.track)} ` : ''}${sayItem(item)}${item.errors > 0 ? `, ${grouped(item.errors)} failed` : ''}${took}`;
}

/* The item of a lane or of a thing under the pointer, or null. */
export function beneathAt(app, row, ns) {
	const near = (app.view.to - app.view.from) / app.width * 4;

	if (row.kind === 'thing')
		return itemAt(app.loader.things.get(row.id)?.uses ?? [], ns, near);
	if (row.kind !== 'lane')
		return null;
	const found = app.loader.lanes.get(row.of);

	return itemAt(found ? row.lane === 'regions' ? [...found.tasks, ...found.marks, ...found.regions] : found[row.lane] : [], ns, near);
}

/* @ns: under the pointer, or null */
export function hover(app, ns, row, event, isQuiet) {
	app.cursor = ns;
	if (app.theme)
		app.redrawOnly('overlay');
	const tip = byId('tip');
	const r = ns !== null && row >= 0 ? app.rows[row] : null;
	const span = r?.kind === 'track' && !isQuiet ? app.loader.spans.get(r.id)?.find((s) => s.begin_ns <= ns && s.end_ns > ns) : null;

	/* what is selected, the panel tells */
	const text = isQuiet || r === null ? '' : span ? (span.id === app.selection?.span?.id ? '' : saySpan(app, r, span, ns)) : sayBeneath(app, r, ns);

	tip.hidden = text === '';
	if (tip.hidden)
		return;
	const stage = byId('stage').getBoundingClientRect();

	tip.textContent = text;
	tip.style.left = `${Math.min(event.clientX - stage.left + 14, stage.width - tip.offsetWidth - 6)}px`;
	tip.style.top = `${event.clientY - stage.top + 18}px`;
}
