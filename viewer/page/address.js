/* address: what is seen, in the page's own address and back, and as a command. */
import { byId } from './dom.js';
import * as api from './api.js';
import * as link from './link.js';
import { setTheme } from './picture.js';
import * as selection from './selection.js';
import { seconds } from './time.js';
import * as views from './view.js';

export function state(app) {
	return { view: views.isSame(app.view, app.firstView()) ? null : app.view, selection: app.selection, area: app.area, pinned: [...app.pinned], hidden: [...app.hidden],
		laned: [...app.laned], added: app.added, noLocks: !app.showLocks, marks: app.marks, drawer: app.drawerName, query: app.query, theme: app.forced };
}

export function writeAddress(app) {
	const text = link.write(state(app));

	if (text !== (location.hash || '#'))
		history.replaceState(null, '', text);
}

export function readAddress(app) {
	const state = link.read(location.hash || (api.inFile()?.fragment ?? ''));
	const known = (list) => new Set((list ?? []).filter((id) => app.byId.has(id)));

	for (const name of ['span', 'path'])
		app.latest[name].end();
	app.clear();
	app.pinned = known(state.pinned);
	app.hidden = known(state.hidden);
	app.laned = known(state.laned);
	app.added = state.added ?? [];
	app.showLocks = !state.noLocks;
	app.marks = state.marks ?? [];
	app.forced = state.theme ?? null;
	setTheme(app);
	app.layOut();
	if (state.view)
		app.setView(state.view, null);
	app.search.clear();
	if (state.query) {
		byId('query').value = state.query;
		app.search.look(state.query);
	}
	if ((state.drawer ?? null) !== app.drawerName)
		app.drawer.show(state.drawer ?? null);
	if (state.area) {
		selection.setArea(app, { ...state.area, tracks: state.area.tracks ? [...known(state.area.tracks)] : null });
		selection.areaDone(app);
	} else if (state.selection && app.byId.has(state.selection.track)) {
		selection.select(app, state.selection.track, state.selection.at);
	}
}

/* What a terminal shows of the same. */
export function command(app) {
	const range = selection.selectedRange(app) ?? app.view;
	const words = ['cprof-trace', app.meta.file, app.selection?.span ? 'events' : 'summary', '--from', seconds(range.from), '--to', seconds(range.to)];

	if (app.selection?.span)
		words.push('--threads', String(app.byId.get(app.selection.track).tid));
	else if (app.area?.tracks)
		words.push('--threads', app.area.tracks.map((id) => app.byId.get(id).tid).join(','));
	return words.map(link.quote).join(' ');
}

export async function copy(app, text, says) {
	try {
		await navigator.clipboard.writeText(text);
		app.toast(says);
	} catch {
		/* without the right to, or over plain http to another address: it can be taken from here */
		app.toast(text);
	}
	app.say(text);
}
