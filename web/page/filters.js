/* filters: which samples and frames are looked at: the fields are the options of the same names of every cprof command. */
import { byId, button, fill, make } from './dom.js';

const TEXTS = [
	['focus', 'Focus', 'only stacks with a function that matches'],
	['ignore', 'Ignore', 'no stacks with a function that matches'],
	['hide', 'Hide', 'no frames that match; their callers take their place'],
];
const MORE = [
	['show', 'Show', 'only frames that match'],
	['show_from', 'Show from', 'stacks from the first function that matches on'],
	['tagfocus', 'Tag focus', 'only samples with such a label: value, or key=value'],
	['tagignore', 'Tag ignore', 'no samples with such a label'],
];
const FLAGS = [['noinlines', 'Inlined calls are their callers’'], ['idle', 'Also waiting that is idle']];
const GRANULARITIES = [['functions', 'functions'], ['filefunctions', 'functions of files'], ['files', 'files'], ['lines', 'lines'], ['addresses', 'addresses']];

function list(label, name, options, chosen, set) {
	const select = make('select', { name, on: { change: () => set({ [name]: select.value }) } },
		options.map(([value, text]) => make('option', { value, selected: value === chosen }, text)));

	return make('label', {}, label, select);
}

function field([name, label, say], value, set) {
	const input = make('input', { type: 'search', name, value, placeholder: 'expression', title: say, autocomplete: 'off', spellcheck: false, maxLength: 1000 });

	/* when it is left, or with Enter; and the cross of the field takes it back at once */
	input.addEventListener('change', () => set({ [name]: input.value }));
	input.addEventListener('search', () => input.value === '' && set({ [name]: '' }));
	return make('label', { className: value === '' ? '' : 'set' }, label, input);
}

/* @value(name): as it is, from the link or the command line; @set(what). */
export function showFilters({ meta, value, set, isOpen, toggle }) {
	const at = document.activeElement?.closest?.('#filters') ? document.activeElement.name : '';
	const flag = ([name, text]) => {
		const input = make('input', { type: 'checkbox', name, checked: value(name) === '1', on: { change: () => set({ [name]: input.checked ? '1' : '0' }) } });

		return make('label', {}, input, text);
	};

	fill(byId('filters'),
		meta.columns.length > 1 && list('Of', 'sample_index', meta.columns.map(([type]) => [type, type]), value('sample_index'), set),
		list('by', 'granularity', GRANULARITIES, value('granularity'), set),
		TEXTS.map((one) => field(one, value(one[0]), set)),
		isOpen && MORE.map((one) => field(one, value(one[0]), set)),
		isOpen && FLAGS.map(flag),
		button(isOpen ? 'Fewer' : 'More', 'm', toggle, { 'aria-expanded': String(isOpen) }),
		button('Clear', 'c', () => set(Object.fromEntries([...TEXTS, ...MORE].map(([name]) => [name, ''])))));
	/* who has the keyboard there has it still */
	if (at)
		byId('filters').elements[at]?.focus();
}

/* What is set, as options of a command. */
export function asOptions(meta, value) {
	const said = [...TEXTS, ...MORE].map(([name]) => [name, value(name)]).filter(([, text]) => text !== '');
	const column = value('sample_index'), by = value('granularity');

	if (meta.columns.length > 1 && column !== '')
		said.unshift(['sample_index', column]);
	return [...said.map(([name, text]) => quote(`-${name}=${text}`)), by !== 'functions' && `-${by}`, ...FLAGS.map(([name]) => value(name) === '1' && `-${name}`)]
		.filter(Boolean);
}

/* As a shell reads it. */
export function quote(word) {
	return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
