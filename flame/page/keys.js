/* keys: every key and gesture there is, in one table: the key handler goes by it, the help prints it, the tests press it. */

export const KEYS = [
	{ group: 'Go', key: 'ArrowDown', action: 'down', say: 'to the box below' },
	{ group: 'Go', key: 'ArrowUp', action: 'up', say: 'to the box above' },
	{ group: 'Go', key: 'ArrowLeft', action: 'left', say: 'to the box on the left, of the same row' },
	{ group: 'Go', key: 'ArrowRight', action: 'right', say: 'to the box on the right' },
	{ group: 'Go', key: 'Home', action: 'home', say: 'to the root' },

	{ group: 'Zoom', key: 'Enter', action: 'zoom', say: 'to the box that is marked' },
	{ group: 'Zoom', key: 'Escape', show: 'Esc', also: ['Backspace'], action: 'back', say: 'out again, a step; then the search is cleared' },
	{ group: 'Zoom', key: '+', also: ['='], action: 'closer', say: 'closer, at what is marked' },
	{ group: 'Zoom', key: '-', action: 'farther', say: 'farther' },
	{ group: 'Zoom', key: 'r', action: 'reset', say: 'all of it, and no search' },

	{ group: 'Find', key: '/', action: 'search', say: 'search functions, files, modules; /…/ is a regular expression' },
	{ group: 'Find', key: 'n', action: 'next', say: 'the next one found, the widest first' },
	{ group: 'Find', key: 'N', action: 'previous', say: 'the one before' },
	{ group: 'Find', key: 's', action: 'same', say: 'search what is marked, wherever it is' },

	{ group: 'Show', key: 'i', action: 'invert', say: 'inverted: callers below what they call' },
	{ group: 'Show', key: 'f', action: 'flip', say: 'roots on top, or at the bottom as in flames' },
	{ group: 'Show', key: 't', action: 'table', say: 'functions as a table, of what is zoomed to' },
	{ group: 'Show', key: 'd', action: 'details', say: 'details of the box that is marked' },
	{ group: 'Show', key: 'T', action: 'theme', say: 'light or dark' },
	{ group: 'Show', key: '?', also: ['F1'], action: 'help', say: 'this help' },
];

export const GESTURES = [
	{ show: 'click', say: 'zooms to a box, or out to one above' },
	{ show: 'wheel', say: 'up and down; with Ctrl closer or farther at the pointer; with Shift left and right' },
	{ show: 'drag', say: 'left and right, when it is zoomed' },
];
