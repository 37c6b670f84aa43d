/* help: every key and gesture, out of the tables that the key handler goes by. */
import { byId, button, fill, make } from './dom.js';
import { labels } from './press.js';

export function buildHelp(keys, gestures, note) {
	const groups = [...new Set(keys.map((k) => k.group))];

	fill(byId('help'),
		make('div', { className: 'top' }, make('h1', { id: 'help-title' }, 'Keys and gestures'), button('Close', 'Esc', () => byId('help').close())),
		make('div', { className: 'columns' },
			groups.map((group) => make('section', {}, make('h2', {}, group),
				make('dl', {}, keys.filter((k) => k.group === group).flatMap((k) => [
					make('dt', {}, labels(k).flatMap((key) => [make('kbd', {}, key), ' '])),
					make('dd', {}, k.say + (k.shift ? `; with shift ${k.shift} times` : ''))])))),
			make('section', {}, make('h2', {}, 'Pointer'),
				make('dl', {}, gestures.flatMap((g) => [make('dt', {}, g.show), make('dd', {}, g.say)])))),
		make('p', { className: 'dim' }, note));
}
