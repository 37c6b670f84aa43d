/*
 * panel: what is known of a span, or of a stretch of time; a sentence first. The numbers are the server's, which has them from where
 * the commands have theirs.
 */
import * as api from './api.js';
import { button, fill, make } from './dom.js';
import { swatch } from './draw.js';
import { questionOf } from './histogram.js';
import { sayMark } from './marks.js';
import { IDLE, STATES } from './states.js';
import { duration, grouped, moment, percent } from './time.js';

const FINDINGS = 3;

function facts(...pairs) {
	return make('dl', {}, ...pairs.filter((p) => p !== null && p[1] !== null && p[1] !== undefined)
		.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
}

/* What all wait for, one line for each place that held them up. @rows: the lock table by holder. */
function findings(rows, span) {
	/* not what costs little, nor what costs little beside the first; and somebody is to hold it */
	const held = rows.filter((row) => row.total_ns >= span / 100 && row.acquisitions > 0);
	const shown = held.filter((row) => row.total_ns >= held[0].total_ns / 20).slice(0, FINDINGS);

	return shown.map((row) => make('div', { className: 'finding' },
		make('p', {}, make('strong', {}, `${duration(row.total_ns)} of waiting for ${row.name}`), `, held in`),
		make('p', { className: 'mono' }, row.where),
		make('p', { className: 'dim' }, `${grouped(row.waits)} wait${row.waits === 1 ? '' : 's'}, the longest ${duration(row.max_ns)}` +
			(row.held_ns ? `; held ${duration(row.held_ns)} in all` : ''))));
}

function stateTable(states, theme) {
	const whole = STATES.reduce((sum, s) => sum + states[`${s.name}_ns`], 0);
	const rows = STATES.map((s, i) => ({ s, i, ns: states[`${s.name}_ns`] })).filter((r) => r.ns > 0).sort((a, b) => b.ns - a.ns);

	return make('table', {}, rows.map(({ s, i, ns }) => make('tr', {},
		make('td', {}, swatch(i, theme), `${s.letter} ${s.say}`),
		make('td', { className: 'number' }, percent(ns, whole)),
		make('td', { className: 'number' }, duration(ns)))));
}

/* What takes most of the time, idle threads left aside: ": 54 % of their time waiting for locks". */
function mostOf(states) {
	const values = STATES.map((s) => states[`${s.name}_ns`]);
	const whole = values.reduce((a, b) => a + b, 0), idle = values[IDLE];
	const says = ['running', 'wanting a processor', 'waiting for locks', 'waiting for others', 'in system calls', 'idle', 'spinning', 'unknown'];

	if (whole === 0)
		return ': nothing happened';
	values[IDLE] = 0;
	const best = values.indexOf(Math.max(...values));

	if (values[best] === 0)
		return ', all idle';
	return idle < whole / 20 ? `: ${percent(values[best], whole)} of their time ${says[best]}` :
		`, ${percent(idle, whole)} idle; of the rest, ${percent(values[best], whole - idle)} ${says[best]}`;
}

/* What only a server can make. */
function elsewhere(range) {
	return [make('h2', {}, 'Take it elsewhere'),
		make('p', {}, [['perfetto', 'Perfetto'], ['chrome-json', 'Chrome'], ['speedscope', 'speedscope'], ['csv', 'CSV']].flatMap(([form, name]) => [
			make('a', { href: `api/v1/export/${form}?from=${Math.floor(range.from)}&to=${Math.ceil(range.to)}`, download: '' }, name), ' ']))];
}

/*
 * A stretch of time. @o: range, isArea, sums, threads (how many), locks (rows or null: on their way), calls, warnings, theme,
 * actions, names (track → name), tables (a function that opens one)
 */
export function showRange(panel, o) {
	const { range, sums, actions } = o;
	const file = api.inFile();
	const length = range.to - range.from;
	const busiest = sums?.tracks.map((t) => ({ ...t, busy: STATES.reduce((n, s, i) => n + (i === IDLE ? 0 : t.states[`${s.name}_ns`]), 0) }))
		.sort((a, b) => b.states.lock_ns - a.states.lock_ns || b.busy - a.busy).slice(0, 8) ?? [];
	const sentence = sums ? `${grouped(o.threads)} thread${o.threads === 1 ? '' : 's'} in ${duration(length)}${mostOf(sums.states)}` :
		`${duration(length)}`;

	fill(panel,
		make('p', { className: 'sentence' }, sentence),
		make('p', { className: 'dim' }, `${o.isArea ? 'Selected' : 'In view'}: ${moment(range.from, length / 1000)} to ${moment(range.to, length / 1000)}`),
		file?.said.short_ns > 0 && make('p', { className: 'dim' }, file.notes()[0]),
		o.locks === null ? make('p', { className: 'dim' }, 'Looking for who holds others up …') : findings(o.locks, length),
		file && o.locks !== null && !file.isWhole(range) && make('p', { className: 'dim' }, 'Who holds others up in this stretch is not in this file: ',
			make('span', { className: 'mono' }, file.command('locks', { by: 'holder', from: range.from, to: range.to }))),
		o.warnings.length > 0 && make('h2', {}, 'Of the whole run'),
		o.warnings.slice(0, 4).map((w) => make('p', {}, make('span', { className: 'dim mono' }, w.id), ' ', w.text)),
		sums && make('h2', {}, 'Time of all threads'),
		sums && stateTable(sums.states, o.theme),
		busiest.length > 0 && make('h2', {}, 'Threads'),
		busiest.length > 0 && make('table', {}, busiest.map((t) => make('tr', {},
			make('td', {}, button(o.names(t.track), 'select its row', () => actions.selectTrack(t.track), { className: 'link' })),
			make('td', { className: 'number' }, t.states.lock_ns > 0 ? `L ${duration(t.states.lock_ns)}` : ''),
			make('td', { className: 'number' }, `R ${duration(t.states.running_ns)}`)))),
		o.calls?.length > 0 && make('h2', {}, 'System calls'),
		o.calls?.length > 0 && make('table', {}, o.calls.slice(0, 5).map((row) => make('tr', {},
			make('td', {}, row.name), make('td', { className: 'number' }, `${grouped(row.count)} times`),
			make('td', { className: 'number' }, duration(row.total_ns))))),
		make('div', { className: 'actions' },
			o.isArea && button('Zoom to it', 'r', actions.toRange),
			o.isArea && button('Mark it', 'M', actions.markRange),
			button('Critical path', 'c', actions.critical),
			button('Copy link', 'y', actions.copyLink),
			button('Copy as command', 'Y', actions.copyCommand)),
		make('h2', {}, 'Marks'),
		o.marks.length > 0 && make('ol', {}, o.marks.map((mark, i) => make('li', {}, button(sayMark(mark), `' ${i + 1}`, () => actions.goToMark(i),
			{ className: 'link' })))),
		make('div', { className: 'actions' },
			o.marks.length > 0 && button('Save marks', 'to a file', actions.saveMarks),
			button('Load marks', 'from a file', actions.loadMarks),
			o.marks.length > 0 && button('Forget marks', 'all of them', actions.forgetMarks)),
		file ? [make('h2', {}, 'This file'), ...file.notes().map((text) => make('p', { className: 'dim' }, text))] : elsewhere(range));
}

function edgeText(edge, names, isCause) {
	const other = names(isCause ? edge.from : edge.to);
	const late = edge.ran_ns - edge.from_ns;

	return `${other}, by ${edge.kind}${edge.label ? ` of ${edge.label}` : ''}` + (late > 0 ? `; ${duration(late)} later it ran` : '') +
		(edge.certainty === 'exact' ? '' : ` (${edge.certainty})`);
}

/* What a span is about that can have a row of its own. */
function thingsOf(span) {
	return [['lock', span.object, span.label], ['file', span.file, 'the file'], ['task', span.task, `task ${span.task}`]]
		.filter(([, id]) => id !== null && id !== undefined)
		.map(([kind, id, name]) => ({ kind, id: String(id), name: name ?? String(id) }));
}

/* Lines around the one that a frame is at. @found: what the server said. */
function sourceOf(found) {
	return make('pre', {}, found.lines.map((text, i) => make('span', { className: found.first + i === found.line ? 'here' : '' },
		`${String(found.first + i).padStart(5)} ${text}\n`)), found.is_newer && make('em', {}, 'This file is newer than the recording.'));
}

/* A span: what the server said of it so far. @o: span, details (or null), sources (by frame), track, theme, actions, names */
export function showSpan(panel, o) {
	const { span, details, actions } = o;
	const state = STATES[span.index];
	const length = span.end_ns - span.begin_ns;

	fill(panel,
		make('p', { className: 'sentence' }, details?.sentence ?? `${o.track.name}: ${state.say}${span.label ? ` ${span.label}` : ''} for ${duration(length)}`),
		facts(['Thread', `${o.track.name} (${o.track.tid})`],
			['State', make('span', {}, swatch(span.index, o.theme), `${state.letter} ${state.say}`)],
			['From', moment(span.begin_ns)],
			['To', moment(span.end_ns)],
			['Duration', `${duration(length)}, ${percent(length, o.track.end_ns - o.track.begin_ns)} of its life`],
			['Known', span.certainty],
			span.label ? ['On', span.label] : null,
			span.task ? ['Task', span.task] : null),
		details?.chain && [make('h2', {}, 'Chain'), make('p', {}, details.chain)],
		details?.cause && [make('h2', {}, 'Made to go on by'),
			make('p', {}, button(edgeText(details.cause, o.names, true), '[', actions.toCause, { className: 'link' }))],
		details?.effect && [make('h2', {}, 'Then made go on'),
			make('p', {}, button(edgeText(details.effect, o.names, false), ']', actions.toEffect, { className: 'link' }))],
		details?.frames?.length > 0 && [make('h2', {}, 'Where'),
			make('ol', {}, details.frames.map((f, i) => make('li', { className: 'mono', title: f.module ?? '' }, f.line && span.stack ?
				button(f.text, 'the lines of its source', () => actions.showSource(i), { className: 'link' }) : f.text,
				o.sources[i] && sourceOf(o.sources[i]))))],
		make('div', { id: 'histogram' }),
		details === null && make('p', { className: 'dim' }, 'Asking for more …'),
		details?.missing && make('p', { className: 'dim' }, details.missing),
		make('div', { className: 'actions' },
			button('Before', ',', actions.previousSpan), button('Next', '.', actions.nextSpan),
			thingsOf(span).map((thing) => button(`Row of ${thing.name}`, 'a row of its own, or no longer', () => actions.thing(thing))),
			questionOf(span) && button('Compare', 'how long others of its kind took', actions.compare),
			details?.previous_same && button('Same before', 'the last one of this state and object', () => actions.selectId(details.previous_same)),
			details?.next_same && button('Same next', 'the next one of this state and object', () => actions.selectId(details.next_same)),
			button('Zoom to it', 'r', actions.toRange), button('Critical path', 'c', actions.critical),
			button('Copy text', 'the sentence and the stack', actions.copyText),
			button('Copy link', 'y', actions.copyLink), button('Copy as command', 'Y', actions.copyCommand)));
}

/* Parts of one thread that did one thing at one place are one: { thread, what, where, took, count, longest }, the largest first. */
export function addUpPath(segments) {
	const found = new Map();

	for (const s of segments) {
		const key = JSON.stringify([s.thread, s.what, s.where]);
		const sum = found.get(key) ?? { thread: s.thread, what: s.what, where: s.where, took: 0, count: 0, longest: s };

		sum.took += s.took_ns;
		sum.count++;
		if (s.took_ns > sum.longest.took_ns)
			sum.longest = s;
		found.set(key, sum);
	}
	return [...found.values()].sort((a, b) => b.took - a.took);
}

/* The way through all threads. @o: took, segments, actions */
export function showPath(panel, o) {
	fill(panel,
		make('p', { className: 'sentence' }, `Critical path of ${duration(o.took)}: ${o.segments.length} part${o.segments.length === 1 ? '' : 's'}`),
		make('p', { className: 'dim' }, 'What made it take that long; nothing else did. A line leads to the longest of its parts.'),
		make('table', {}, addUpPath(o.segments).slice(0, 30).map((s) => make('tr', {},
			make('td', { className: 'number' }, percent(s.took, o.took)),
			make('td', { className: 'number' }, duration(s.took)),
			make('td', {}, button(`${s.thread} ${s.what}`, 'go to the longest', () => o.actions.showMoment(s.longest.begin_ns,
				s.longest.begin_ns + s.longest.took_ns), { className: 'link' }), s.count > 1 ? ` ${grouped(s.count)} times` : null,
			s.where ? make('span', { className: 'where' }, ` ${s.where}`) : null)))),
		make('div', { className: 'actions' }, button('Close', 'Esc', o.actions.clear)));
}

export function showMessage(panel, text) {
	fill(panel, make('p', { className: 'sentence' }, text));
}
