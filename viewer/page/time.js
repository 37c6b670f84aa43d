/*
 * time: nanoseconds as people read and write them. All times of the page are whole ns since the trace's beginning, as numbers:
 * 104 days of them are exact.
 */

/* Three digits, cut where more would say nothing: 4.21, 42.1, 421. */
function threeDigits(value, unit) {
	const x = value / unit;

	return x.toFixed(x < 9.995 ? 2 : x < 99.95 ? 1 : 0);
}

/* "4.21ms", as the commands print it. */
export function duration(ns) {
	if (ns < 1000)
		return `${Math.round(ns)}ns`;
	if (ns < 999500)
		return `${threeDigits(ns, 1e3)}us`;
	if (ns < 999500000)
		return `${threeDigits(ns, 1e6)}ms`;
	return `${threeDigits(ns, 1e9)}s`;
}

export function bytes(n) {
	const units = ['KiB', 'MiB', 'GiB', 'TiB'];
	let scale = 1024, unit = 0;

	if (n < 1024)
		return `${n} bytes`;
	while (unit < 3 && n / scale >= 1000) {
		scale *= 1024;
		unit++;
	}
	return `${threeDigits(n, scale)} ${units[unit]}`;
}

export function percent(part, whole) {
	const share = whole > 0 ? part / whole * 100 : 0;

	if (share > 0 && share < 0.1)
		return '<0.1 %';
	return `${share < 9.95 && share > 0 ? share.toFixed(1) : share.toFixed(0)} %`;
}

/* 1234567 as 1,234,567. */
export function grouped(n) {
	return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/* A moment, with as many digits as tell steps of @stepNs apart: "1.204s", "250us". */
export function moment(ns, stepNs = 1) {
	const sign = ns < 0 ? '-' : '';
	let digits = 0, unit = 1e9, name = 's';

	ns = Math.round(Math.abs(ns));
	if (ns === 0)
		return '0s';
	if (ns < 1e3)
		[unit, name] = [1, 'ns'];
	else if (ns < 1e6)
		[unit, name] = [1e3, 'us'];
	else if (ns < 1e9)
		[unit, name] = [1e6, 'ms'];
	for (let part = unit; part > stepNs && part > 1; part /= 10)
		digits++;
	/* by hand: a number of 2^53 has no room for a fraction */
	const whole = Math.floor(ns / unit), rest = ns - whole * unit;
	const width = Math.round(Math.log10(unit));
	const fraction = String(rest).padStart(width, '0').slice(0, digits);

	return sign + whole + (digits > 0 ? '.' + fraction : '') + name;
}

/* For --from and --to: seconds, exact. */
export function seconds(ns) {
	ns = Math.max(0, Math.round(ns));
	return `${Math.floor(ns / 1e9)}.${String(ns % 1e9).padStart(9, '0')}s`;
}

/* The wall clock at @realtimeNs (since 1970), in UTC, with the digits that tell @stepNs apart. */
export function wall(realtimeMs, stepNs) {
	const date = new Date(realtimeMs);

	if (Number.isNaN(date.getTime()))
		return '?';
	return date.toISOString().slice(11, stepNs >= 1e9 ? 19 : 23);
}

/* The narrowest of 1, 2, 5 times a power of ten that is at least @ns. */
export function niceStep(ns) {
	let step = 1;

	while (step * 10 <= ns)
		step *= 10;
	for (const times of [1, 2, 5, 10]) {
		if (step * times >= ns)
			return step * times;
	}
	return step * 10;
}

/* Where a ruler of @width pixels has its marks, @apart pixels from one another at least. */
export function ticks(from, to, width, apart) {
	const step = niceStep(Math.max(1, (to - from) * apart / Math.max(1, width)));
	const found = [];

	for (let at = Math.ceil(from / step) * step; at <= to && found.length < 1000; at += step)
		found.push(at);
	return { step, at: found };
}

/* A length: "250ms", "1.5s", "3us"; a number alone is in seconds. null when it is none. */
export function parseDuration(text) {
	const match = /^(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|µs|ms|s|m|h|)$/.exec(text.trim());
	const units = { ns: 1, us: 1e3, 'µs': 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9, '': 1e9 };

	return match ? exact(match[1], units[match[2]]) : null;
}

/* Digits times a unit without the rounding of 0.1: "1.204118233" of 1e9 is 1204118233. */
function exact(digits, unit) {
	const [whole, fraction = ''] = digits.split('.');
	const width = Math.round(Math.log10(unit));

	if (10 ** width !== unit)
		return Math.round(Number(digits) * unit);
	return Number(whole || '0') * unit + Number(fraction.padEnd(width, '0').slice(0, width) || '0');
}

/* A moment as typed: "1.5s"; "+10ms" and "-10ms" from @now. null when it is none. */
export function parseMoment(text, now) {
	const trimmed = text.trim();
	const sign = trimmed[0] === '+' ? 1 : trimmed[0] === '-' ? -1 : 0;
	const ns = parseDuration(sign ? trimmed.slice(1) : trimmed);

	if (ns === null)
		return null;
	return sign ? now + sign * ns : ns;
}
