/* flame: the page of `cprof flame`, in a frame: it is the same, and has its own keys. */
import { make } from './dom.js';
import { question } from './link.js';

/* The frame; @marked(name): of the box that is gone to there. */
export function showFlame(page, marked) {
	const frame = make('iframe', { src: question(page.state, 'flame', ['inverted']), title: 'Flame graph', id: 'flame' });

	frame.addEventListener('load', async () => {
		const inside = frame.contentWindow, begin = () => {
			page.busy(false);
			page.dressFlame(inside);
			inside.addEventListener('mark', (e) => marked(e.detail));
			/* it takes the keyboard, and search and help are its own there */
			inside.addEventListener('keydown', (e) => page.pressed(e, inside.document.activeElement, ['focus', 'help']));
		};

		if (inside.flame)
			begin();
		else if (inside.document.getElementById('data'))
			inside.addEventListener('drawn', begin);
		else
			page.failed(new Error(JSON.parse(inside.document.body.textContent).error));
	});
	return frame;
}
