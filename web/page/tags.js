/* tags: the labels of samples, and what each of their values stands for. */
import { button, make } from './dom.js';
import { cells } from './top.js';

const SHOWN = 200;

/* An expression that this value matches, and no other. */
function only(key, text) {
	return `${key}=^${text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`;
}

export function showTags(page, answer) {
	return [...answer.keys.map((k) => make('section', {},
		make('h2', {}, k.key),
		make('table', {},
			make('caption', {}, `${k.values.length} ${k.values.length === 1 ? 'value' : 'values'}, ${k.total[1]} in all`),
			make('tbody', {}, k.values.slice(0, SHOWN).map(([text, value]) => make('tr', {}, cells(value),
				make('th', { scope: 'row' }, button(text === '' ? '(empty)' : text, 'Only samples with this label', () => page.go({ view: 'top', tagfocus: only(k.key, text) }), { className: 'link' })))))),
		k.values.length > SHOWN && make('p', { className: 'note' }, `and ${k.values.length - SHOWN} smaller ones: cprof tags has all`))),
	answer.keys.length === 0 && make('p', { className: 'note' }, 'No sample has a label.')];
}
