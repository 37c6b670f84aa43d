// Opens speedscope's own page in a browser without a window, offline, with a profile, as `speedscope FILE` does.
//
//     node speedscope.mjs MODULES CHROMIUM SCRIPT [SCREENSHOT]
//
// MODULES has node_modules; SCRIPT hands the profile to the page. Prints what the page shows, as JSON: profiles by name, in their
// order; frames, the names in the table of each; errors.
import path from 'node:path'
import { createRequire } from 'node:module'

const [modules, executablePath, script, screenshot] = process.argv.slice(2)
const { chromium } = createRequire(modules + '/')('playwright-core')
const index = path.join(modules, 'node_modules/speedscope/dist/release/index.html')
const errors = []
const outside = []

const browser = await chromium.launch({
	executablePath,
	// a container has no other sandbox and no graphics
	args: ['--enable-unsafe-swiftshader', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
})
const page = await browser.newPage({ viewport: { width: 1400, height: 2000 } })
page.on('console', message => message.type() === 'error' && errors.push(message.text()))
page.on('pageerror', error => errors.push(error.message))
page.on('dialog', dialog => { errors.push(dialog.message()); dialog.dismiss() })
page.on('request', request => /^(file|data|blob):/.test(request.url()) || outside.push(request.url()))
await page.goto(`file://${index}#localProfilePath=${script}`)

// "worker-1 (4711) (2/5)"; one profile has no numbers
const title = async () => {
	const found = await page.waitForFunction(() => {
		const lines = document.body.innerText.split('\n')
		const at = lines.findIndex(line => line.includes('Time Order'))
		return at >= 0 && lines[at + 1]
	}, null, { timeout: 60000 })
	const text = await found.jsonValue()
	const [, name, at, of] = text.match(/^(.*?)(?: \((\d+)\/(\d+)\))?$/)
	return { name, at: Number(at ?? 1), of: Number(of ?? 1) }
}
const profiles = []
const frames = []
let shown = await title()
const n = shown.of

if (screenshot)
	await page.screenshot({ path: screenshot })
await page.keyboard.press('3') // the table of frames
for (let i = 1; i <= n && errors.length === 0; i++) {
	while ((shown = await title()).at !== i)
		await page.waitForTimeout(20)
	profiles.push(shown.name)
	const names = await page.waitForFunction(() => {
		// total with its share, self, name
		const rows = [...document.querySelectorAll('tr')].filter(row => /%\)/.test(row.cells[0]?.innerText))
		return rows.length > 0 && rows.map(row => row.cells[2].innerText.trim())
	})
	frames.push(await names.jsonValue())
	await page.keyboard.press('n')
}
await browser.close()
console.log(JSON.stringify({ n, profiles, frames, errors, outside }))
