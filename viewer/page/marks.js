/* marks: moments and stretches that are kept, with a digit each; to a file and from one. */
import { duration, moment } from './time.js';

export const MARKS_MAX = 9;
const VERSION = 1, FILE_MAX = 1 << 20;

export function sayMark(mark) {
	return mark.to > mark.from ? `${moment(mark.from)}, ${duration(mark.to - mark.from)}` : moment(mark.from);
}

export function write(file, marks) {
	return JSON.stringify({ cprof_marks: VERSION, file, marks: marks.map((m) => ({ from_ns: m.from, to_ns: m.to })) }, null, '\t') + '\n';
}

/* Those of a file, within @bounds. Throws when it is none. */
export function read(text, bounds) {
	let found;

	try {
		found = JSON.parse(text);
	} catch {
		throw new Error('This is no file of marks');
	}
	if (found?.cprof_marks !== VERSION || !Array.isArray(found.marks))
		throw new Error('This is no file of marks');
	return found.marks.slice(0, MARKS_MAX).map((m) => ({ from: m?.from_ns, to: m?.to_ns }))
		.filter((m) => Number.isSafeInteger(m.from) && Number.isSafeInteger(m.to) && m.from >= bounds.from && m.from <= m.to && m.to <= bounds.to);
}

/* As if it were downloaded. */
export function save(name, text) {
	const link = document.createElement('a');

	link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
	link.download = name;
	link.click();
	URL.revokeObjectURL(link.href);
}

/* The text of a file that somebody chooses, or null. */
export function choose() {
	const input = document.createElement('input');

	input.type = 'file';
	input.accept = '.json,application/json';
	return new Promise((resolve, reject) => {
		input.addEventListener('cancel', () => resolve(null));
		input.addEventListener('change', () => {
			const [file] = input.files;

			if (!file)
				resolve(null);
			else if (file.size > FILE_MAX)
				reject(new Error('This is no file of marks'));
			else
				file.text().then(resolve, reject);
		});
		input.click();
	});
}
