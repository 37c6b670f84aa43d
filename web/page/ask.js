/* ask: questions to the server that the page comes from. A new one takes the place of the one before. */

let last = null;

/* The answer, or an error that says in a sentence what is wrong; null: another was asked meanwhile. */
export async function ask(question) {
	const mine = new AbortController();

	last?.abort();
	last = mine;
	try {
		const response = await fetch(question, { signal: mine.signal });
		const answer = await response.json();

		if (!response.ok)
			throw new Error(answer.error ?? `the server says ${response.status}`);
		return answer;
	} catch (error) {
		if (mine.signal.aborted)
			return null;
		throw error instanceof TypeError ? new Error('the server does not answer: has it ended? Then type the command again.') : error;
	} finally {
		if (last === mine)
			last = null;
	}
}

/* There is nothing more to come of it. */
export function forget() {
	last?.abort();
}
