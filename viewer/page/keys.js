/*
 * keys: every key and gesture there is, in one table. The key handler goes by it, the help overlay prints it, the tests press it.
 *
 * Those that move (code) are where W A S D are on any keyboard, whatever is printed on them; all others (key) are characters.
 * An action gets how often (5 with shift, where it says so).
 */

export const KEYS = [
	{ group: 'Move', code: 'KeyW', show: 'W', also: ['+', '='], action: 'zoomIn', say: 'closer, at the pointer', shift: 5 },
	{ group: 'Move', code: 'KeyS', show: 'S', also: ['-'], action: 'zoomOut', say: 'farther', shift: 5 },
	{ group: 'Move', code: 'KeyA', show: 'A', also: ['ArrowLeft'], action: 'panLeft', say: 'to the left', shift: 5 },
	{ group: 'Move', code: 'KeyD', show: 'D', also: ['ArrowRight'], action: 'panRight', say: 'to the right', shift: 5 },
	{ group: 'Move', key: '0', action: 'fit', say: 'the whole trace' },
	{ group: 'Move', key: 'f', action: 'focus', say: 'the selection in the middle; once more, as large as fits' },
	{ group: 'Move', key: 'r', action: 'toRange', say: 'the selection is the view' },
	{ group: 'Move', key: 'z', action: 'undo', say: 'the view before' },
	{ group: 'Move', key: 'Z', action: 'redo', say: 'the view after' },
	{ group: 'Move', key: 'g', action: 'goTo', say: 'go to a time: 1.5s, 250ms, +10ms' },

	{ group: 'Select', key: 'j', also: ['ArrowDown'], action: 'nextTrack', say: 'next row' },
	{ group: 'Select', key: 'k', also: ['ArrowUp'], action: 'previousTrack', say: 'row before' },
	{ group: 'Select', key: '.', action: 'nextSpan', say: 'what the thread did next' },
	{ group: 'Select', key: ',', action: 'previousSpan', say: 'what it did before' },
	{ group: 'Select', key: '[', action: 'toCause', say: 'to who made it go on' },
	{ group: 'Select', key: ']', action: 'toEffect', say: 'to whom it made go on' },
	{ group: 'Select', key: 'L', action: 'chain', say: 'who holds the lock that it waits for, and what holds that one up' },
	{ group: 'Select', key: 'c', action: 'critical', say: 'critical path of the selection' },
	{ group: 'Select', key: 'Escape', show: 'Esc', action: 'clear', say: 'select nothing; close what is open' },

	{ group: 'Show', key: 'e', action: 'edges', say: 'arrows: of the selection, of all in view, none' },
	{ group: 'Show', key: 'i', action: 'idle', say: 'idle time: drawn, or left blank' },
	{ group: 'Show', key: 'x', action: 'groups', say: 'threads of one name together, or apart' },
	{ group: 'Show', key: 'v', action: 'lanes', say: 'what lies beneath this row: tasks, regions, system calls, samples' },
	{ group: 'Show', key: 'V', action: 'allLanes', say: 'the same of all rows' },
	{ group: 'Show', key: 'l', action: 'locks', say: 'rows of the locks that are waited for most' },
	{ group: 'Show', key: 'p', action: 'pin', say: 'this row stays on top, or no longer' },
	{ group: 'Show', key: 'h', action: 'hide', say: 'hide this row' },
	{ group: 'Show', key: 'H', action: 'unhide', say: 'show what was hidden' },
	{ group: 'Show', key: 't', action: 'clock', say: 'times: from the beginning, from the selection, of the wall clock' },
	{ group: 'Show', key: 'b', action: 'drawer', say: 'tables' },
	{ group: 'Show', key: 'T', action: 'theme', say: 'light or dark' },

	{ group: 'Find', key: '/', action: 'search', say: 'search threads, locks, files, functions' },
	{ group: 'Find', key: 'n', action: 'nextHit', say: 'next one found' },
	{ group: 'Find', key: 'N', action: 'previousHit', say: 'the one before' },
	{ group: 'Find', key: 'm', action: 'mark', say: 'mark the moment under the pointer' },
	{ group: 'Find', key: 'M', action: 'markRange', say: 'mark the selection' },
	{ group: 'Find', key: '\'', show: '\' 1-9', action: 'toMark', say: 'then a digit: go to that mark' },

	{ group: 'Take along', key: 'y', action: 'copyLink', say: 'copy a link to what is seen' },
	{ group: 'Take along', key: 'Y', action: 'copyCommand', say: 'copy as a command' },
	{ group: 'Take along', key: '?', also: ['F1'], action: 'help', say: 'this help' },
];

export const GESTURES = [
	{ show: 'wheel', say: 'up and down; with Ctrl closer or farther at the pointer; with Shift left and right' },
	{ show: 'drag', say: 'selects an area; up or down over several rows, only these' },
	{ show: 'drag with Space held, or the middle button', say: 'moves both ways' },
	{ show: 'drag on the ruler', say: 'zooms to what is between' },
	{ show: 'drag on the overview', say: 'moves the view; at its edges, makes it wider or narrower' },
	{ show: 'click', say: 'selects what is under the pointer' },
	{ show: 'double click', say: 'selects and zooms to it' },
];
