/*
 * told: what is told beside the picture: in the panel of the selection or of what is in view, in the list for who does not see it.
 */
import * as api from './api.js';
import { byId } from './dom.js';
import * as histogram from './histogram.js';
import * as link from './link.js';
import { showList } from './list.js';
import * as panel from './panel.js';
import * as selection from './selection.js';

const TRACKS_IN_QUERY = 500;

export function tableRange(app) {
	const range = app.area ?? app.view;
	const o = { from: Math.floor(range.from), to: Math.ceil(range.to) };

	if (app.area?.tracks && app.area.tracks.length <= TRACKS_IN_QUERY)
		o.threads = app.area.tracks.map((id) => app.byId.get(id).tid).join(',');
	return o;
}

export function livingIn(app, range) {
	const of = range.tracks ? range.tracks.map((id) => app.byId.get(id)) : app.tracks;

	return of.filter((t) => t.begin_ns < range.to && t.end_ns > range.from);
}

/* What is in view, or in the area. */
export async function fetchRange(app) {
	const range = app.area ?? app.view;
	const key = link.writeRange(range) + (app.area?.tracks?.join() ?? '');
	const signal = app.latest.range.begin();
	const tracks = app.area?.tracks?.slice(0, TRACKS_IN_QUERY).join(',');
	const asked = { from: Math.floor(range.from), to: Math.ceil(range.to) };

	try {
		if (key === app.rangeTexts.key)
			return;
		app.rangeTexts = { key: '', sums: app.rangeTexts.sums, locks: null, calls: null };
		const sums = await api.json('sums', { ...asked, tracks }, signal);

		app.rangeTexts = { key: '', sums, locks: null, calls: null };
		showPanel(app);
		const query = tableRange(app);
		const locks = await api.json('table/locks', { ...query, by: 'holder', limit: 20 }, signal);

		app.rangeTexts.locks = locks;
		showPanel(app);
		app.rangeTexts.calls = await api.json('table/syscalls', { ...query, limit: 5 }, signal);
		app.rangeTexts.key = key;
		showPanel(app);
	} catch (error) {
		if (!api.isAborted(error)) {
			app.rangeTexts.locks ??= [];
			showPanel(app);
			/* what a file does not have, the panel says */
			if (!error.isMissing)
				app.failed(error);
		}
	}
}

export async function fetchList(app) {
	const rows = app.visibleRows().filter((row) => row.kind === 'track');

	if (rows.length === 0 || !app.isReady)
		return;
	try {
		const answer = await api.json('sums', { from: Math.floor(app.view.from), to: Math.ceil(app.view.to),
			tracks: rows.map((r) => r.id).join(',') }, app.latest.list.begin());

		app.listSums = new Map(answer.tracks.map((t) => [t.track, t.states]));
		showList({ rows, sums: app.listSums, view: app.view, selected: app.selection?.track ?? null, select: (row) => selection.selectTrack(app, row.id) });
	} catch (error) {
		app.failed(error);
	}
}

export function showPanel(app) {
	const element = byId('panel');

	if (app.path) {
		panel.showPath(element, { ...app.path, actions: app.actions });
	} else if (app.selection) {
		const track = app.byId.get(app.selection.track);

		if (app.selection.span) {
			panel.showSpan(element, { span: app.selection.span, details: app.selection.details, sources: app.selection.sources, track, theme: app.theme, actions: app.actions,
				names: (id) => app.nameOf(id) });
			histogram.show(byId('histogram'), app.selection.histogram, app.selection.span, app.theme);
		} else {
			panel.showMessage(element, !app.isReady ? `${track.name}: the index is being made …` :
				app.selection.isNothing ? `${track.name} did not live then` : track.name);
		}
	} else {
		const range = app.area ?? app.view;

		panel.showRange(element, { range, isArea: app.area !== null, sums: app.rangeTexts.sums, locks: app.rangeTexts.locks,
			threads: livingIn(app, range).length, calls: app.rangeTexts.calls, warnings: app.warnings, marks: app.marks, theme: app.theme, actions: app.actions, names: (id) => app.nameOf(id) });
	}
}
