/* search: threads by their names, and where locks, files and functions are that have the text in theirs; one after the other. */
import * as api from './api.js';
import { byId } from './dom.js';
import { grouped } from './time.js';

export class Search {
	/* @o: at() → ns, toTrack(id), toSpan(span), query(text) */
	constructor(o) {
		this.o = o;
		this.text = '';
		this.threads = [];
		this.at = -1;
		this.latest = new api.Latest();
		byId('search').addEventListener('submit', (event) => {
			event.preventDefault();
			this.begin(byId('query').value.trim());
		});
	}

	focus() {
		byId('query').focus();
		byId('query').select();
	}

	clear() {
		this.text = '';
		byId('query').value = '';
		byId('hits').textContent = '';
		this.latest.end();
	}

	async begin(text) {
		if (text === '') {
			this.clear();
			this.o.query('');
			return;
		}
		if (text !== this.text && !await this.look(text))
			return;
		byId('rows').focus();
		await this.step(1);
	}

	async look(text) {
		try {
			const { names, more } = await api.json('names', { q: text, max: 1000 }, this.latest.begin());
			const count = (kind) => names.filter((n) => n.kind === kind).length;

			this.text = text;
			this.o.query(text);
			this.threads = names.filter((n) => n.kind === 'thread').map((n) => n.id);
			this.at = -1;
			const parts = [['thread', 'thread', 'threads'], ['object', 'lock or the like', 'locks and the like'], ['file', 'file', 'files']]
				.map(([kind, one, many]) => [count(kind), one, many]).filter(([n]) => n > 0)
				.map(([n, one, many]) => `${grouped(n)} ${n === 1 ? one : many}`);

			byId('hits').textContent = parts.length > 0 ? parts.join(', ') + (more ? ' or more' : '') : '';
			return true;
		} catch (error) {
			if (!api.isAborted(error))
				byId('hits').textContent = error.message;
			return false;
		}
	}

	/* @direction: 1 the next one, -1 the one before. Threads come first, then what is of that name, by time. */
	async step(direction) {
		if (this.text === '')
			return;
		if (this.at + direction >= 0 && this.at + direction < this.threads.length) {
			this.at += direction;
			this.o.toTrack(this.threads[this.at]);
			byId('hits').textContent = `thread ${this.at + 1} of ${this.threads.length}`;
			return;
		}
		this.at = this.threads.length;
		try {
			const answer = await api.json('find', { q: this.text, at: Math.max(0, Math.floor(this.o.at(direction))),
				direction: direction > 0 ? 'next' : 'previous' }, this.latest.begin());

			byId('hits').textContent = answer.span ? `at ${answer.thread}` : `nothing of that name ${direction > 0 ? 'behind' : 'before'}`;
			if (answer.span)
				this.o.toSpan(answer.span);
			else if (direction > 0)
				this.at = -1; /* threads once more */
		} catch (error) {
			if (!api.isAborted(error))
				byId('hits').textContent = error.message;
		}
	}
}
