/*
 * input: keys by the table of keys.js, and what a pointer does. It changes nothing itself: all goes to the actions, so that a key, a
 * button and a gesture can never mean two things.
 */
import { byId } from './dom.js';
import { NAMES } from './draw.js';
import { KEYS } from './keys.js';
import { find, isTyping } from './press.js';
import { hover } from './picture.js';
import { areaDone, setArea } from './selection.js';
import { span, toNs, toX } from './view.js';

const NEAR = 5; /* pixels: a click that moved less is one; an edge within it is taken */

export class Input {
	/* @app: model and actions */
	constructor(app) {
		this.app = app;
		this.drag = null;
		this.hasSpace = false;
		this.awaitsMark = false;
		this.x = null; /* where the pointer is, in the time's pixels; null: elsewhere */
		this.pointers = new Map();
		document.addEventListener('keydown', (event) => this.key(event));
		document.addEventListener('keyup', (event) => {
			if (event.code === 'Space')
				this.hasSpace = false;
		});
		window.addEventListener('blur', () => {
			this.hasSpace = false;
		});
		for (const id of ['rows', 'ruler', 'overview', 'summary']) {
			const element = byId(id);

			element.addEventListener('pointerdown', (event) => this.down(id, event));
			element.addEventListener('pointermove', (event) => this.move(id, event));
			element.addEventListener('pointerup', (event) => this.up(id, event));
			element.addEventListener('pointercancel', () => this.cancel());
			element.addEventListener('pointerleave', () => this.leave());
			element.addEventListener('wheel', (event) => this.wheel(id, event), { passive: false });
		}
		byId('rows').addEventListener('dblclick', (event) => {
			if (this.timeX(event) >= 0)
				app.actions.zoomTo(this.rowAt(event), this.nsAt(event));
		});
	}

	key(event) {
		if (isTyping(event.target)) {
			if (event.key === 'Escape')
				byId('rows').focus();
			return;
		}
		if (document.querySelector('dialog[open]') !== null && find(event, KEYS)?.entry.action !== 'help')
			return;
		if (this.awaitsMark) {
			this.awaitsMark = false;
			if (/^[1-9]$/.test(event.key)) {
				event.preventDefault();
				this.app.actions.goToMark(Number(event.key) - 1);
				return;
			}
		}
		if (event.code === 'Space' && !(event.target instanceof HTMLButtonElement)) {
			this.hasSpace = true;
			event.preventDefault();
			return;
		}
		/* arrows and the like are of whoever scrolls or chooses with them */
		if (event.target.closest?.('#drawer, #panel, a') && /^Arrow|^Page|^Home|^End/.test(event.key))
			return;
		const found = find(event, KEYS);

		if (found === null)
			return;
		event.preventDefault();
		if (found.entry.action === 'toMark') {
			this.awaitsMark = true;
			return;
		}
		this.app.actions[found.entry.action](found.times);
	}

	timeX(event) {
		return event.clientX - byId('stage').getBoundingClientRect().left - NAMES;
	}

	nsAt(event) {
		return toNs(this.app.view, this.app.width, this.timeX(event));
	}

	rowAt(event) {
		return this.app.rowAtY(event.clientY - byId('rows').getBoundingClientRect().top);
	}

	/* Of the overview, whose width is the whole trace. */
	wholeNs(event) {
		return toNs(this.app.bounds, this.app.width, this.timeX(event));
	}

	down(id, event) {
		const { app } = this;
		const x = this.timeX(event);

		this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
		if (event.pointerType === 'touch' && this.pointers.size === 2) {
			this.drag = { kind: 'pinch', view: app.view, start: this.spread() };
			return;
		}
		if (event.button !== 0 && event.button !== 1)
			return;
		if (id === 'rows') {
			/* the scrollbar is not ours */
			if (event.clientX - byId('rows').getBoundingClientRect().left >= byId('rows').clientWidth)
				return;
			byId('rows').focus({ preventScroll: true });
		}
		event.preventDefault();
		event.currentTarget.setPointerCapture(event.pointerId);
		const drag = { id, x, y: event.clientY, from: this.nsAt(event), row: id === 'rows' ? this.rowAt(event) : -1, view: app.view,
			top: byId('rows').scrollTop, hasMoved: false, kind: 'area' };

		if (id === 'overview') {
			drag.kind = this.overviewKind(event);
			drag.from = this.wholeNs(event);
		} else if (event.button === 1 || this.hasSpace) {
			drag.kind = 'pan';
		} else if (id === 'ruler') {
			drag.kind = 'zoom';
		} else if (app.area && !app.area.tracks) {
			const a = toX(app.view, app.width, app.area.from), b = toX(app.view, app.width, app.area.to);

			if (Math.abs(x - a) <= NEAR)
				Object.assign(drag, { kind: 'edge', from: app.area.to });
			else if (Math.abs(x - b) <= NEAR)
				Object.assign(drag, { kind: 'edge', from: app.area.from });
		}
		this.drag = drag;
	}

	overviewKind(event) {
		const x = this.timeX(event);
		const a = toX(this.app.bounds, this.app.width, this.app.view.from), b = toX(this.app.bounds, this.app.width, this.app.view.to);

		if (b - a > 4 * NEAR) {
			if (Math.abs(x - a) <= NEAR)
				return 'left';
			if (Math.abs(x - b) <= NEAR)
				return 'right';
		}
		if (x < a || x > b)
			this.app.actions.centreAt(this.wholeNs(event));
		return 'window';
	}

	spread() {
		const [a, b] = [...this.pointers.values()];
		const left = byId('stage').getBoundingClientRect().left + NAMES;

		return { apart: Math.max(20, Math.abs(a.x - b.x)), x: (a.x + b.x) / 2 - left };
	}

	move(id, event) {
		const { app, drag } = this;

		if (this.pointers.has(event.pointerId))
			this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
		this.x = this.timeX(event);
		if (id !== 'overview')
			hover(app, this.x >= 0 ? this.nsAt(event) : null, id === 'rows' ? this.rowAt(event) : -1, event, drag !== null);
		else
			hover(app, null, -1, event, true);
		if (drag === null)
			return;
		if (drag.kind === 'pinch') {
			if (this.pointers.size < 2)
				return;
			const now = this.spread();
			const at = toNs(drag.view, app.width, drag.start.x);
			const width = span(drag.view) * drag.start.apart / now.apart;

			app.setView({ from: at - now.x / app.width * width, to: at + (1 - now.x / app.width) * width }, 'pinch');
			return;
		}
		if (!drag.hasMoved && Math.hypot(this.x - drag.x, event.clientY - drag.y) < NEAR)
			return;
		drag.hasMoved = true;
		const by = (this.x - drag.x) / app.width;

		switch (drag.kind) {
		case 'pan':
			app.setView({ from: drag.view.from - by * span(drag.view), to: drag.view.to - by * span(drag.view) }, 'drag');
			byId('rows').scrollTop = drag.top - (event.clientY - drag.y);
			break;
		case 'window': {
			const shift = this.wholeNs(event) - drag.from;
			const from = drag.centred ?? drag.view;

			app.setView({ from: from.from + shift, to: from.to + shift }, 'drag');
			break;
		}
		case 'left':
			app.setView({ from: Math.min(this.wholeNs(event), drag.view.to - 64), to: drag.view.to }, 'drag');
			break;
		case 'right':
			app.setView({ from: drag.view.from, to: Math.max(this.wholeNs(event), drag.view.from + 64) }, 'drag');
			break;
		default:
			setArea(app, this.areaOf(drag, event), drag.kind === 'zoom');
		}
	}

	areaOf(drag, event) {
		const ns = this.nsAt(event);
		const rowsOf = (a, b) => this.app.tracksBetween(Math.min(a, b), Math.max(a, b));
		const row = drag.id === 'rows' ? this.rowAt(event) : -1;

		return { from: Math.min(drag.from, ns), to: Math.max(drag.from, ns),
			tracks: drag.kind === 'area' && drag.row >= 0 && row >= 0 && row !== drag.row ? rowsOf(drag.row, row) : null };
	}

	up(id, event) {
		const { app, drag } = this;

		this.pointers.delete(event.pointerId);
		this.drag = null;
		if (drag === null || drag.kind === 'pinch')
			return;
		if (drag.kind === 'zoom' && drag.hasMoved)
			app.actions.zoomToArea();
		else if (['area', 'edge'].includes(drag.kind) && drag.hasMoved)
			areaDone(app);
		else if (id === 'rows' && !drag.hasMoved && drag.kind !== 'pan')
			app.actions.pick(drag.row, drag.x >= 0 ? drag.from : null);
	}

	cancel() {
		this.pointers.clear();
		this.drag = null;
	}

	leave() {
		if (this.drag !== null)
			return;
		this.x = null;
		hover(this.app, null, -1, null, true);
	}

	wheel(id, event) {
		const { app } = this;
		const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;

		if (event.ctrlKey || id === 'overview' || id === 'ruler') {
			event.preventDefault();
			app.actions.zoomBy(Math.exp(Math.max(-1, Math.min(1, event.deltaY * unit * 0.003))), Math.max(0, this.timeX(event)));
		} else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
			event.preventDefault();
			app.actions.panBy((event.deltaX || event.deltaY) * unit / app.width);
		} else if (id !== 'rows') {
			byId('rows').scrollTop += event.deltaY * unit;
		}
	}
}
