/* bar: what the trace is, and the buttons. */
import { byId, button, fill } from './dom.js';
import { KEYS } from './keys.js';
import { duration, grouped } from './time.js';

export function showBar(app) {
	const { meta } = app;
	const badge = byId('badge');
	const isBad = meta.lost_events > 0 || meta.gaps > 0 || meta.is_damaged || !meta.is_complete;

	document.title = `${meta.program} ${meta.file}`;
	byId('program').textContent = meta.program || meta.file;
	byId('facts').textContent = `${meta.file}  ${duration(meta.end_ns - meta.begin_ns)}  ${grouped(meta.threads)} threads  ${grouped(meta.events)} events`;
	badge.hidden = false;
	badge.className = isBad ? 'bad' : '';
	badge.textContent = meta.is_damaged ? 'damaged' : meta.lost_events > 0 ? `${grouped(meta.lost_events)} lost` : meta.gaps > 0 ? `${meta.gaps} gaps` :
		meta.is_complete ? 'complete' : 'no end';
	badge.title = meta.missing.length > 0 ? `not recorded: ${meta.missing.join(', ')}` : '';
	const buttons = [['Fit', 'fit'], ['Undo', 'undo'], ['Redo', 'redo'], ['Mark', 'mark'], ['Arrows', 'edges'], ['Critical path', 'critical'],
		['Groups', 'groups'], ['Tables', 'drawer'], ['Theme', 'theme'], ['Help', 'help']];

	fill(byId('buttons'), buttons.map(([text, action]) => {
		const key = KEYS.find((k) => k.action === action);

		return button(text, `${key.say} (${key.key})`, () => app.actions[action](1), { id: `do-${action}` });
	}));
}
