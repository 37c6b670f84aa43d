/*
 * stage: what of the boxes is in view, and the pointer over them.
 *
 * A frame draws the rows that are seen, and of each what the window has room for: its cost does not grow with the profile.
 */
import { byId } from './dom.js';
import { Painter, ROW } from './paint.js';
import { boxAt } from './tree.js';

const SLIDE_MS = 170, FOOT = 12, MOVED = 4; /* pixels, after which a press is no click */
const LEAST = 1e-12; /* of all: what is narrower is all the same to a number's digits */

export class Stage {
	/* @o: clicked(i), hovered(i, x, y), closer(factor, x) */
	constructor(o) {
		this.o = o;
		this.rows = byId('rows');
		this.painter = new Painter(byId('boxes'));
		this.t = null;
		this.x0 = 0;
		this.x1 = 1;
		this.zoom = 0;
		this.focus = 0;
		this.hover = -1;
		this.hits = null;
		this.isUp = false;
		this.target = null;
		this.frames = 0;
		this.drawn = 0;
		this.rows.addEventListener('scroll', () => this.ask());
		new ResizeObserver(() => this.resize()).observe(this.rows);
		this.listen();
	}

	set(t) {
		this.t = t;
		this.x0 = 0;
		this.x1 = t.w[0];
		this.target = null;
		this.zoom = this.focus = 0;
		this.hover = -1;
		this.resize();
		this.rows.scrollTop = this.isUp ? this.whole : 0;
	}

	resize() {
		if (this.t === null)
			return;
		this.width = this.rows.clientWidth;
		this.height = this.rows.clientHeight;
		this.whole = Math.max(this.height, (this.t.levels.length - 1) * ROW + FOOT);
		byId('spacer').style.height = `${this.whole}px`;
		this.ask();
	}

	/* A picture, in the next frame. */
	ask() {
		if (this.asked)
			return;
		this.asked = true;
		requestAnimationFrame((now) => {
			this.asked = false;
			this.draw(now);
		});
	}

	draw(now) {
		if (this.t === null || this.t.w[0] <= 0)
			return this.painter.c.clearRect(0, 0, this.width, this.height);
		if (this.target !== null) {
			const { from, to, begun } = this.target, done = Math.min(1, (now - begun) / SLIDE_MS), part = 1 - (1 - done) ** 3;

			this.x0 = from[0] + (to[0] - from[0]) * part;
			this.x1 = from[1] + (to[1] - from[1]) * part;
			if (done < 1)
				this.ask();
			else
				[this.x0, this.x1, this.target] = [...to, null];
		}
		this.frames++;
		this.drawn = this.painter.draw({
			t: this.t, x0: this.x0, x1: this.x1, top: this.rows.scrollTop, width: this.width, height: this.height,
			up: this.isUp ? this.whole : 0, hits: this.hits, focus: this.focus, hover: this.hover, zoom: this.zoom,
		});
		byId('boxes').dataset.boxes = this.drawn;
	}

	/* Shows [x0, x1), in a moment, or at once for who does not want things to move. */
	slide(x0, x1) {
		const all = this.t.w[0], least = all * LEAST;

		if (x1 - x0 < least)
			[x0, x1] = [x0 - least / 2, x0 + least / 2];
		x0 = Math.max(0, Math.min(x0, all - (x1 - x0)));
		x1 = Math.min(all, x1);
		if (window.matchMedia('(prefers-reduced-motion: reduce)').matches)
			[this.x0, this.x1, this.target] = [x0, x1, null];
		else
			this.target = { from: [this.x0, this.x1], to: [x0, x1], begun: performance.now() };
		this.ask();
	}

	/* Where the view is or is on its way to. */
	get view() {
		return this.target ? this.target.to : [this.x0, this.x1];
	}

	zoomTo(i) {
		this.zoom = i;
		this.slide(this.t.x[i], this.t.x[i] + this.t.w[i]);
		this.showRow(i);
	}

	/* Both by @factor around @x, which stays where it is. */
	scale(factor, x) {
		const [x0, x1] = this.view, span = Math.min(this.t.w[0], (x1 - x0) / factor);

		this.slide(x - (x - x0) / (x1 - x0) * span, x - (x - x0) / (x1 - x0) * span + span);
	}

	move(by) {
		const all = this.t.w[0], span = this.x1 - this.x0, x0 = Math.max(0, Math.min(all - span, this.x0 + by));

		[this.x0, this.x1, this.target] = [x0, x0 + span, null];
		this.ask();
	}

	yOf(i) {
		return this.isUp ? this.whole - (this.t.depth[i] + 1) * ROW : this.t.depth[i] * ROW;
	}

	/* Scrolls so far that the row of @i is seen, with some around it. */
	showRow(i) {
		const y = this.yOf(i), room = Math.min(4 * ROW, this.height / 3);

		if (y - room < this.rows.scrollTop)
			this.rows.scrollTop = y - room;
		else if (y + ROW + room > this.rows.scrollTop + this.height)
			this.rows.scrollTop = y + ROW + room - this.height;
		this.ask();
	}

	xAt(px) {
		return this.x0 + (this.x1 - this.x0) * px / this.width;
	}

	boxUnder(event) {
		const box = this.rows.getBoundingClientRect(), y = event.clientY - box.top + this.rows.scrollTop;
		const level = Math.floor((this.isUp ? this.whole - y : y) / ROW);

		return this.t === null ? -1 : boxAt(this.t, level, this.xAt(event.clientX - box.left));
	}

	/* Where a box's middle is in the window: for tests, and for what is drawn over it. */
	pointOf(i) {
		const box = this.rows.getBoundingClientRect(), scale = this.width / (this.x1 - this.x0);
		const left = Math.max(0, (this.t.x[i] - this.x0) * scale), right = Math.min(this.width, (this.t.x[i] + this.t.w[i] - this.x0) * scale);

		return [box.left + (left + right) / 2, box.top + this.yOf(i) - this.rows.scrollTop + ROW / 2];
	}

	listen() {
		const { rows } = this;
		let pressed = null;

		rows.addEventListener('pointerdown', (e) => {
			if (e.button === 0)
				pressed = { x: e.clientX, last: e.clientX, moved: false };
		});
		rows.addEventListener('pointermove', (e) => {
			if (pressed && (pressed.moved || Math.abs(e.clientX - pressed.x) > MOVED)) {
				if (!pressed.moved)
					rows.setPointerCapture(e.pointerId);
				pressed.moved = true;
				this.move((pressed.last - e.clientX) / this.width * (this.x1 - this.x0));
				pressed.last = e.clientX;
			}
			this.point(pressed?.moved ? -1 : this.boxUnder(e), e);
		});
		rows.addEventListener('pointerup', (e) => {
			const i = pressed && !pressed.moved ? this.boxUnder(e) : -1;

			pressed = null;
			if (i >= 0)
				this.o.clicked(i);
		});
		rows.addEventListener('pointercancel', () => (pressed = null));
		rows.addEventListener('pointerleave', (e) => this.point(-1, e));
		rows.addEventListener('wheel', (e) => {
			if (e.ctrlKey || e.metaKey) {
				e.preventDefault();
				this.scale(Math.exp(-e.deltaY / 200), this.xAt(e.clientX - rows.getBoundingClientRect().left));
			} else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
				e.preventDefault();
				this.move((e.deltaX || e.deltaY) / this.width * (this.x1 - this.x0));
			}
		}, { passive: false });
	}

	point(i, event) {
		if (i !== this.hover) {
			this.hover = i;
			this.ask();
		}
		this.o.hovered(i, event.clientX, event.clientY);
	}
}
