/* path: the critical path, as the command has it, over the rows. */
import * as api from './api.js';
import { byId } from './dom.js';
import { selectedRange } from './selection.js';
import { duration } from './time.js';

export async function showCritical(app) {
	const range = selectedRange(app);
	const asked = range ? { from: Math.floor(range.from), to: Math.ceil(range.to) } : {};

	if (app.selection?.span)
		asked.thread = app.byId.get(app.selection.track).tid;
	app.toast('Looking for the critical path …');
	try {
		const answer = await api.json('table/critical-path', asked, app.latest.path.begin());
		const segments = answer.segments ?? [];

		app.path = { took: answer.took_ns, segments, steps: segments.map((s) => ({ track: app.trackOfRow(s) ?? -1, from: s.begin_ns,
			to: s.begin_ns + s.took_ns })).sort((a, b) => a.from - b.from) };
		app.say(`Critical path of ${duration(answer.took_ns)} in ${segments.length} parts`);
		byId('toast').hidden = true;
		app.changed();
	} catch (error) {
		app.failed(error);
	}
}
