/* selection: what is selected, a moment of a thread or an area; what the server knows of it. */
import * as api from './api.js';
import { questionOf } from './histogram.js';
import { prepareSpan } from './loader.js';
import { duration, moment } from './time.js';
import * as views from './view.js';

const HISTOGRAM_REST_MS = 400;
const HISTOGRAM_EVENTS = 3e6; /* a second or so */

export function selectedRange(app) {
	if (app.area)
		return { from: app.area.from, to: app.area.to };
	if (app.selection?.span)
		return { from: app.selection.span.begin_ns, to: app.selection.span.end_ns };
	return null;
}

/* So that it is seen: the zoom stays, unless it is far larger than the page. */
export function reveal(app, range) {
	if (range.to > app.view.from && range.from < app.view.to && (range.from >= app.view.from || range.to <= app.view.to))
		return;
	app.setView(views.centre(app.view, app.bounds, range), null);
}

export function setArea(app, area, isZooming = false) {
	app.area = { ...area, from: Math.max(app.bounds.from, Math.floor(area.from)), to: Math.min(app.bounds.to, Math.ceil(area.to)) };
	app.isZooming = isZooming;
	app.selection = null;
	app.path = null;
	app.redraw();
}

export function areaDone(app) {
	if (app.area.to <= app.area.from) {
		app.area = null;
	} else {
		const tracks = app.area.tracks;

		app.say(`Selected ${duration(app.area.to - app.area.from)} from ${moment(app.area.from)}` + (tracks ? ` of ${tracks.length} threads` : ''));
	}
	app.changed();
}

export async function select(app, track, at, more = {}) {
	if (!app.byId.has(track))
		return;
	const signal = app.latest.span.begin();

	app.area = null;
	app.path = null;
	app.selection = { track, at: Math.round(at), span: more.span ?? null, details: null, sources: {} };
	app.scrollToTrack(track);
	app.changed();
	if (!app.isReady)
		return;
	try {
		let span = more.span;

		if (!span) {
			const answer = await api.json('spans', { tracks: track, from: app.selection.at, to: app.selection.at + 1, max: 1 }, signal);

			if (answer.tracks[0]?.spans.length > 0)
				span = prepareSpan(answer.tracks[0].spans[0], track);
			app.selection.span = span ?? null;
			app.selection.isNothing = !span;
			app.changed();
		}
		if (!span)
			return;
		if (more.isShown)
			reveal(app, { from: span.begin_ns, to: span.end_ns });
		const { selection } = app;
		const details = await api.json(`span/${span.id}`, {}, signal);

		if (selection !== app.selection)
			return;
		app.selection.details = details;
		app.say(details.sentence);
		app.changed();
		/* a pass over the trace: when somebody stays with it, and of a long one when somebody asks */
		if (app.meta.events <= HISTOGRAM_EVENTS)
			app.later('histogram', HISTOGRAM_REST_MS, () => fetchHistogram(app));
	} catch (error) {
		app.failed(error);
	}
}

export async function fetchHistogram(app) {
	const { selection } = app;
	const question = selection?.span ? questionOf(selection.span) : null;

	if (question === null)
		return;
	try {
		const found = await api.json('histogram', question, app.latest.histogram.begin());

		if (selection !== app.selection)
			return;
		selection.histogram = found;
		app.changed();
	} catch (error) {
		/* what a file does not have, the panel says */
		if (error.isMissing && selection.details)
			selection.details.missing ??= error.message;
		app.failed(error, true);
		app.changed();
	}
}

/* Of frame @at of the stack; once more, no longer. */
export async function showSource(app, at) {
	const { selection } = app;

	if (selection.sources[at]) {
		delete selection.sources[at];
		app.changed();
		return;
	}
	try {
		selection.sources[at] = await api.json('source', { stack: selection.span.stack, frame: at }, app.latest.source.begin());
		app.changed();
	} catch (error) {
		app.failed(error);
	}
}

export function selectSpan(app, span, isShown) {
	return select(app, span.track, span.begin_ns, { span, isShown });
}

/* "4.1204118233": of a track, what begins then */
export function selectId(app, id) {
	const [track, at] = id.split('.').map(Number);

	return select(app, track, at, { isShown: true });
}

export function selectTrack(app, track) {
	const t = app.byId.get(track);

	if (!t)
		return;
	if (app.hidden.delete(track))
		app.layOut();
	/* what it does in the middle of what is seen of it */
	const from = Math.max(app.view.from, t.begin_ns), to = Math.min(app.view.to, t.end_ns);

	select(app, track, from < to ? (from + to) / 2 : t.begin_ns, { isShown: from >= to });
}
