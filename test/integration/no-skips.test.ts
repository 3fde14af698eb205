import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { attempt } from '../support/command.ts'
import { makeScratch } from '../support/scratch.ts'

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const reporter = new URL('../support/no-skips-reporter.ts', import.meta.url).href
const config = `import { NoSkipsReporter } from ${JSON.stringify(fileURLToPath(reporter))}
export default { test: { globals: true, reporters: ['default', new NoSkipsReporter()] } }`

it.each([
  ['passes', `it('a', () => {})`, [], 0, '1 0 0'],
  ['has a failed test', `it('a', () => { throw new Error('x') })`, [], 1, '0 1 0'],
  ['has a skipped test', `it.skip('a', () => {}); it('b', () => {})`, [], 1, '1 0 1'],
  ['has a test to do', `it.todo('a'); it('b', () => {})`, [], 1, '1 0 1'],
  ['skips on a condition', `it.skipIf(true)('a', () => {}); it('b', () => {})`, [], 1, '1 0 1'],
  ['skips from within', `it('a', ctx => ctx.skip()); it('b', () => {})`, [], 1, '1 0 1'],
  ['has a broken hook', `beforeAll(() => { throw new Error('x') }); it('a', () => {})`, [], 1, '0 1 1'],
  ['does not load', `import './missing.ts'`, [], 1, '0 1 0'],
  ['was asked for some by name', `it('a', () => {}); it('b', () => {})`, ['-t', 'a'], 0, '1 0 1'],
])('a run that %s', async (_, source, args, code, counts) => {
  await using scratch = await makeScratch()
  await writeFile(join(scratch.path, 'vitest.config.ts'), config)
  await writeFile(join(scratch.path, 'some.test.ts'), source)
  const file = join(scratch.path, 'counts')
  const env = { PATH: process.env.PATH ?? '', CI: 'true', CLOUDIMG_TEST_COUNTS: file }
  const result = await attempt([process.execPath, vitest, 'run', ...args], { cwd: scratch.path, env })
  expect(await readFile(file, 'utf8')).toBe(`${counts}\n`)
  expect(result.code).toBe(code)
})
