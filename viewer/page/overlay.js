/* overlay: what lies over all of it. */
import { NAMES, SMALL, prepare, widthOf } from './draw.js';
import { ROW } from './rows.js';
import { duration, moment, niceStep } from './time.js';
import { toX } from './view.js';

function arrow(c, x0, y0, x1, y1, isDashed) {
	const bend = Math.min(60, Math.max(14, Math.abs(x1 - x0) / 2));
	const steep = Math.abs(x1 - x0) < 6;
	const cx = steep ? 16 : 0;

	c.setLineDash(isDashed ? [4, 3] : []);
	c.beginPath();
	c.moveTo(x0, y0);
	c.bezierCurveTo(x0 + (steep ? cx : bend), y0, x1 - (steep ? -cx : bend), y1, x1, y1);
	c.stroke();
	c.setLineDash([]);
	c.beginPath();
	c.moveTo(x1, y1);
	const d = steep ? 1 : -1;

	c.lineTo(x1 + d * 7, y1 - 4);
	c.lineTo(x1 + d * 7, y1 + 4);
	c.closePath();
	c.fill();
}

/*
 * What lies over all of it: the pointer's line, the area, the selected span, arrows. @o.top is where the rows begin in the stage,
 * @o.yOf(track) the middle of a track's row or null, @o.areaRows those of the area's rows (null: all), @o.edges those to draw.
 */
export function drawOverlay(canvas, o) {
	const c = prepare(canvas, o.stageWidth, o.stageHeight);
	const { theme, view, width } = o;
	const xOf = (ns) => NAMES + toX(view, width, ns);

	c.save();
	c.beginPath();
	c.rect(NAMES, o.rulerTop, width, o.bottom - o.rulerTop);
	c.clip();
	if (o.area) {
		const a = xOf(o.area.from), b = xOf(o.area.to);

		c.fillStyle = theme.accent;
		c.globalAlpha = 0.14;
		if (o.areaRows) {
			for (const y of o.areaRows.filter((middle) => middle > o.top - ROW && middle < o.bottom + ROW))
				c.fillRect(a, Math.max(o.top, y - ROW / 2), b - a, ROW);
		} else {
			c.fillRect(a, o.rulerTop, b - a, o.bottom - o.rulerTop);
		}
		c.globalAlpha = 1;
		c.fillRect(Math.round(a), o.rulerTop, 1, o.bottom - o.rulerTop);
		c.fillRect(Math.round(b), o.rulerTop, 1, o.bottom - o.rulerTop);
		c.font = SMALL;
		const text = duration(o.area.to - o.area.from);
		const wide = c.measureText(text).width + 8;

		c.fillRect((a + b) / 2 - wide / 2, o.rulerTop, wide, 14);
		c.fillStyle = theme.page;
		c.textBaseline = 'middle';
		c.fillText(text, (a + b) / 2 - wide / 2 + 4, o.rulerTop + 7.5);
	}
	if (o.cursor !== null) {
		const x = Math.round(xOf(o.cursor));
		const text = moment(o.cursor, niceStep((view.to - view.from) / width));

		c.fillStyle = theme.dim;
		c.globalAlpha = 0.7;
		c.fillRect(x, o.rulerTop, 1, o.bottom - o.rulerTop);
		c.globalAlpha = 1;
		c.font = SMALL;
		const wide = widthOf(c, text) + 8;
		const left = Math.min(Math.max(NAMES, x - wide / 2), NAMES + width - wide);

		c.fillStyle = theme.text;
		c.fillRect(left, o.rulerTop + 12, wide, 14);
		c.fillStyle = theme.page;
		c.textBaseline = 'middle';
		c.fillText(text, left + 4, o.rulerTop + 19.5);
	}
	c.beginPath();
	c.rect(NAMES, o.top, width, o.bottom - o.top);
	c.clip();
	if (o.path) {
		/* all else is dimmed; the way is one line */
		c.fillStyle = theme.page;
		c.globalAlpha = 0.55;
		c.fillRect(NAMES, o.top, width, o.bottom - o.top);
		c.globalAlpha = 1;
		c.strokeStyle = c.fillStyle = theme.accent;
		c.lineWidth = 3;
		c.beginPath();
		o.path.forEach((step, i) => {
			const y = o.yOf(step.track);

			if (y === null)
				return;
			c[i === 0 ? 'moveTo' : 'lineTo'](xOf(step.from), y);
			c.lineTo(xOf(step.to), y);
		});
		c.stroke();
		c.lineWidth = 1;
	}
	if (o.span) {
		const y = o.yOf(o.span.track);

		if (y !== null) {
			const a = Math.max(NAMES - 2, xOf(o.span.begin_ns)), b = Math.min(NAMES + width + 2, xOf(o.span.end_ns));

			c.strokeStyle = theme.page;
			c.lineWidth = 4;
			c.strokeRect(a, y - ROW / 2 + 2, Math.max(2, b - a), ROW - 4);
			c.strokeStyle = theme.accent;
			c.lineWidth = 2;
			c.strokeRect(a, y - ROW / 2 + 2, Math.max(2, b - a), ROW - 4);
		}
	}
	c.lineWidth = 1.5;
	for (const edge of o.edges) {
		const y0 = o.yOf(edge.from), y1 = o.yOf(edge.to);

		if (y0 === null || y1 === null)
			continue;
		c.strokeStyle = c.fillStyle = theme.page;
		c.lineWidth = 4;
		arrow(c, xOf(edge.from_ns), y0, xOf(edge.to_ns), y1, false);
		c.strokeStyle = c.fillStyle = theme.arrow;
		c.lineWidth = 1.5;
		arrow(c, xOf(edge.from_ns), y0, xOf(edge.to_ns), y1, edge.certainty !== 'exact');
	}
	c.restore();
}
