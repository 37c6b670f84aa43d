/* units: numbers as people read them, in the units of pprof. */

const TIME = { nanoseconds: 1, ns: 1, microseconds: 1e3, us: 1e3, milliseconds: 1e6, ms: 1e6, seconds: 1e9, s: 1e9 };
const BYTES = { bytes: 1, b: 1, byte: 1, kb: 1024, kilobytes: 1024, mb: 1048576, megabytes: 1048576, gb: 1073741824 };

function trimmed(value) {
	const size = Math.abs(value);
	const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);

	return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function grouped(value) {
	return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function scaled(value, steps) {
	let best = steps[0];

	for (const step of steps)
		if (Math.abs(value) >= step[0] * 0.9995)
			best = step;
	return `${trimmed(value / best[0])} ${best[1]}`;
}

/* @column: [type, unit], and when a unit is asked for, what one is of it, and its name. */
export function amount(value, column, ratio = 1) {
	const [, unit, factor, shown] = column, key = unit.toLowerCase();

	value *= ratio;
	if (factor !== undefined)
		return `${trimmed(value * factor)} ${shown}`.trim();
	if (value === 0)
		return '0';
	if (key in TIME)
		return scaled(value * TIME[key], [[1, 'ns'], [1e3, 'µs'], [1e6, 'ms'], [1e9, 's'], [3.6e12, 'h']]);
	if (key in BYTES)
		return scaled(value * BYTES[key], [[1, 'B'], [1024, 'kB'], [1048576, 'MB'], [1073741824, 'GB'], [1099511627776, 'TB']]);
	return unit === '' || unit === 'count' ? grouped(value) : `${grouped(value)} ${unit}`;
}

export function percent(part, whole) {
	if (whole === 0)
		return '0 %';
	const share = part / whole * 100, size = Math.abs(share);

	return `${size >= 99.995 ? share.toFixed(0) : size >= 9.995 ? share.toFixed(1) : size >= 0.01 || size === 0 ? share.toFixed(2) : '< 0.01'} %`;
}

/* "+12 %", "new", "gone", "the same" */
export function changed(now, before) {
	if (now === before)
		return 'the same';
	if (before === 0)
		return 'new';
	if (now === 0)
		return 'gone';
	const share = (now / before - 1) * 100;

	return `${share > 0 ? '+' : '−'}${Math.abs(share) >= 9999.5 ? '> 9,999' : trimmed(Math.abs(share))} %`;
}

export const plural = (n, one, more = `${one}s`) => `${grouped(n)} ${n === 1 ? one : more}`;
