/* actions: all that can be done. A key, a button and a gesture that do the same call the same. */
import * as address from './address.js';
import { byId } from './dom.js';
import * as marks from './marks.js';
import * as path from './path.js';
import { beneathAt, setTheme } from './picture.js';
import { idOfThing, rowOf } from './rows.js';
import * as selection from './selection.js';
import { moment, parseMoment } from './time.js';
import * as views from './view.js';

export function goTo(app, text) {
	const at = parseMoment(text, (app.view.from + app.view.to) / 2);

	if (at === null || at < app.bounds.from || at > app.bounds.to) {
		byId('when-wrong').textContent = at === null ? 'A time was expected, such as 1.5s or +10ms' :
			`The trace is from ${moment(app.bounds.from)} to ${moment(app.bounds.to)}`;
		return;
	}
	byId('goto').close();
	app.setView(views.centre(app.view, app.bounds, { from: at, to: at }), null);
}

const LANED_MAX = 200, ADDED_MAX = 12;

/* keys.js names those that have a key. */
export function makeActions(app) {
	const zoom = (factor) => app.setView(views.zoom(app.view, app.bounds, factor, app.anchor()), 'zoom');
	const pan = (part) => app.setView(views.pan(app.view, app.bounds, part), 'pan');
	const step = (which) => {
		const id = app.selection?.details?.[which];

		if (id)
			selection.selectId(app, id);
	};
	const follow = (which) => {
		const edge = app.selection?.details?.[which];

		if (!edge)
			app.toast(which === 'cause' ? 'It is not known who made it go on' : 'It made nobody go on');
		else if (which === 'cause')
			selection.select(app, edge.from, edge.from_ns, { isShown: true });
		else
			selection.select(app, edge.to, edge.begun_ns, { isShown: true });
	};
	const nextRow = (direction) => {
		const now = app.selection ? rowOf(app.rows, app.selection.track) : direction > 0 ? -1 : app.rows.length;

		for (let i = now + direction; i >= 0 && i < app.rows.length; i += direction) {
			if (app.rows[i].kind !== 'track')
				continue;
			const at = app.selection?.at;

			if (at !== undefined && at >= app.view.from && at <= app.view.to)
				selection.select(app, app.rows[i].id, at);
			else
				selection.selectTrack(app, app.rows[i].id);
			return;
		}
	};
	const toggle = (set, id) => {
		if (!set.delete(id))
			set.add(id);
		app.layOut();
	};
	/* who has it then */
	const pickThing = (row, ns) => {
		const use = ns === null ? null : beneathAt(app, row, ns);

		if (use)
			selection.select(app, use.track, Math.max(use.begin_ns, Math.min(ns, use.end_ns - 1)));
	};
	const actions = {
		zoomIn: (times) => zoom(0.8 ** times),
		zoomOut: (times) => zoom(1.25 ** times),
		panLeft: (times) => pan(-0.1 * times),
		panRight: (times) => pan(0.1 * times),
		zoomBy: (factor, x) => app.setView(views.zoom(app.view, app.bounds, factor, views.toNs(app.view, app.width, x)), 'wheel'),
		panBy: (part) => app.setView(views.pan(app.view, app.bounds, part), 'wheel'),
		centreAt: (ns) => app.setView(views.centre(app.view, app.bounds, { from: ns, to: ns }), null),
		fit: () => app.setView(app.bounds, null),
		focus: () => {
			const range = selection.selectedRange(app);

			if (!range)
				return;
			const centred = views.centre(app.view, app.bounds, range);

			app.setView(views.isSame(centred, app.view) ? views.around(range, app.bounds) : centred, null);
		},
		toRange: () => {
			const range = selection.selectedRange(app);

			if (range)
				app.setView(range, null);
		},
		zoomToArea: () => {
			const { area } = app;

			app.area = null;
			app.isZooming = false;
			if (area && area.to > area.from)
				app.setView(area, null);
			app.changed();
		},
		zoomTo: async (row, ns) => {
			const r = app.rows[row];

			if (r?.kind !== 'track')
				return;
			await selection.select(app, r.id, ns);
			if (app.selection?.span)
				app.setView(views.around({ from: app.selection.span.begin_ns, to: app.selection.span.end_ns }, app.bounds), null);
		},
		undo: () => {
			const view = app.history.undo(app.view);

			if (view)
				app.setView(view, undefined);
		},
		redo: () => {
			const view = app.history.redo(app.view);

			if (view)
				app.setView(view, undefined);
		},
		goTo: () => {
			byId('when').value = '';
			byId('when-wrong').textContent = '';
			byId('goto').showModal();
		},
		pick: (row, ns) => {
			const r = app.rows[row];

			if (!r)
				actions.clear();
			else if (r.kind === 'group')
				toggle(app.open, r.id);
			else if (r.kind === 'lane')
				ns === null ? selection.selectTrack(app, r.of) : selection.select(app, r.of, ns);
			else if (r.kind === 'thing')
				pickThing(r, ns);
			else if (ns === null)
				selection.selectTrack(app, r.id);
			else
				selection.select(app, r.id, ns);
		},
		nextTrack: () => nextRow(1),
		previousTrack: () => nextRow(-1),
		nextSpan: () => step('next'),
		previousSpan: () => step('previous'),
		toCause: () => follow('cause'),
		toEffect: () => follow('effect'),
		chain: () => {
			const chain = app.selection?.details?.chain;

			app.toast(chain ?? 'Nothing is selected that waits');
			if (chain)
				app.say(chain);
		},
		critical: () => path.showCritical(app),
		clear: () => {
			app.latest.span.end();
			app.latest.path.end();
			if (app.path)
				app.path = null;
			else if (app.selection || app.area)
				app.selection = app.area = null;
			else if (app.drawerName)
				app.drawer.close();
			app.rangeTexts.key = '';
			app.changed();
		},
		edges: () => {
			app.edgesMode = { selection: 'view', view: 'none', none: 'selection' }[app.edgesMode];
			app.toast({ selection: 'Arrows of the selection', view: 'Arrows of all in view', none: 'No arrows' }[app.edgesMode]);
			app.redraw();
		},
		idle: () => {
			app.showIdle = !app.showIdle;
			app.toast(app.showIdle ? 'Idle time is drawn' : 'Idle time is left blank');
			app.redraw();
		},
		groups: () => {
			app.isGrouped = !app.isGrouped;
			app.layOut();
			app.toast(app.isGrouped ? 'Threads of one name are together' : 'Each thread has a row');
		},
		lanes: () => app.selection && toggle(app.laned, app.selection.track),
		allLanes: () => {
			app.laned = app.laned.size > 0 ? new Set() : new Set(app.tracks.slice(0, LANED_MAX).map((t) => t.id));
			app.layOut();
		},
		locks: () => {
			app.showLocks = !app.showLocks;
			app.toast(app.showLocks ? 'Locks that are waited for most have a row' : 'No rows of locks');
			app.layOut();
		},
		/* its row, or no longer */
		thing: (thing) => {
			const id = idOfThing(thing);

			if (app.added.some((t) => idOfThing(t) === id))
				app.added = app.added.filter((t) => idOfThing(t) !== id);
			else if (app.added.length < ADDED_MAX)
				app.added.push(thing);
			app.layOut();
			byId('rows').scrollTop = 0;
		},
		pin: () => app.selection && toggle(app.pinned, app.selection.track),
		hide: () => {
			if (!app.selection)
				return;
			app.hidden.add(app.selection.track);
			app.selection = null;
			app.layOut();
		},
		unhide: () => {
			app.hidden.clear();
			app.layOut();
		},
		clock: () => {
			app.clock = { start: 'selection', selection: app.meta.began ? 'wall' : 'start', wall: 'start' }[app.clock];
			app.redraw();
		},
		drawer: () => app.drawer.toggle(),
		theme: () => {
			app.forced = app.theme.isDark ? 'light' : 'dark';
			setTheme(app);
		},
		search: () => app.search.focus(),
		nextHit: () => app.search.step(1),
		previousHit: () => app.search.step(-1),
		mark: () => {
			const at = Math.round(app.anchor());

			actions.addMark({ from: at, to: at });
		},
		markRange: () => {
			const range = selection.selectedRange(app);

			if (range)
				actions.addMark(range);
		},
		addMark: (mark) => {
			if (app.marks.length >= marks.MARKS_MAX) {
				app.toast('There are nine marks, and no digits for more');
				return;
			}
			app.marks.push(mark);
			app.toast(`Mark ${app.marks.length}`);
			app.changed();
		},
		goToMark: (i) => {
			const mark = app.marks[i];

			if (mark)
				app.setView(mark.to > mark.from ? views.around(mark, app.bounds) : views.centre(app.view, app.bounds, mark), null);
		},
		saveMarks: () => marks.save(`${app.meta.file}.marks.json`, marks.write(app.meta.file, app.marks)),
		loadMarks: async () => {
			try {
				const text = await marks.choose();

				if (text === null)
					return;
				app.marks = marks.read(text, app.bounds);
				app.toast(`${app.marks.length} mark${app.marks.length === 1 ? '' : 's'}`);
				app.changed();
			} catch (error) {
				app.failed(error);
			}
		},
		forgetMarks: () => {
			app.marks = [];
			app.changed();
		},
		compare: () => selection.fetchHistogram(app),
		/* of a frame of the selection's stack; once more, no longer */
		showSource: (frame) => selection.showSource(app, frame),
		showMoment: (from, to) => app.setView(views.around({ from, to }, app.bounds), null),
		selectArea: (area) => selection.setArea(app, area),
		selectTrack: (id) => selection.selectTrack(app, id),
		selectId: (id) => selection.selectId(app, id),
		copyLink: () => {
			address.writeAddress(app);
			address.copy(app, location.href, 'Link copied');
		},
		copyCommand: () => address.copy(app, address.command(app), 'Command copied'),
		copyText: () => {
			const details = app.selection?.details;

			if (details)
				address.copy(app, [details.sentence, ...details.frames.map((f) => `    ${f.text}`)].join('\n'), 'Text copied');
		},
		help: () => {
			if (byId('help').open)
				byId('help').close();
			else
				byId('help').showModal();
		},
	};

	return actions;
}
