/* dom: elements out of text. Names come from a trace and may be anything, so nothing here ever reads markup. */

/* make('p', { className: 'x' }, 'text', element, null …) */
export function make(tag, properties = {}, ...children) {
	const element = document.createElement(tag);

	for (const [key, value] of Object.entries(properties)) {
		if (key === 'on') {
			for (const [event, handler] of Object.entries(value))
				element.addEventListener(event, handler);
		} else if (key.includes('-') || key === 'role' || key === 'for') {
			element.setAttribute(key, value);
		} else {
			element[key] = value;
		}
	}
	element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
	return element;
}

export function byId(id) {
	return document.getElementById(id);
}

export function fill(element, ...children) {
	element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

export function button(text, title, action, more = {}) {
	return make('button', { type: 'button', title, on: { click: action }, ...more }, text);
}
