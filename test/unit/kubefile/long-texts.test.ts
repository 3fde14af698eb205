import { expect, it } from 'vitest'
import { expandWord, expandWords } from '../../../src/kubefile/expand.ts'
import { isIgnored, parseIgnore } from '../../../src/kubefile/ignore.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import { matchPattern } from '../../../src/kubefile/pattern.ts'

const many = 20_000

// What breaks parsers that recurse, spread arguments or backtrack.
it.each<readonly [name: string, source: string]>([
  ['nested ONBUILD', 'ONBUILD '.repeat(many)],
  ['nested variables', `ENV A=${'${a:-'.repeat(many)}`],
  ['nested arrays', `RUN ${'['.repeat(many)}${']'.repeat(many)}`],
  ['a long JSON string', `RUN ["${'\\"'.repeat(many)}"]`],
  ['many JSON strings', `RUN [${'"a", '.repeat(many)}"b"]`],
  ['escaped blanks', `RUN ${'\\ '.repeat(many)}`],
  ['blanks in a directive', `# escape =${' '.repeat(many)}x`],
  ['many continuations', `RUN a ${'\\\n'.repeat(many)}`],
  ['many heredocs', `RUN ${'<<A '.repeat(500)}`],
  ['many mistakes', 'X\n'.repeat(2000)],
  ['a long image name', `FROM ${'a-'.repeat(many)}!`],
  ['many flags', `RUN ${'--mount=a '.repeat(many)}x`],
])('parses %s', (_, source) => {
  expect(() => parseKubefile(source)).not.toThrow()
})

it('splits a value of very many words', () => {
  expect(expandWords('$A', () => 'a '.repeat(200_000)).values).toHaveLength(200_000)
})

it('matches patterns without backtracking', () => {
  const value = 'a'.repeat(5000)
  expect(expandWord('${A##*a*a*a*a*b}', () => value).value).toBe(value)
  expect(expandWord('${A//*b/x}', () => value).value).toBe(value)
  expect(matchPattern('*a*a*a*a*a*a*a*a*b', value)).toBe(false)
  expect(isIgnored(parseIgnore('**/**/**/x**y**z'), 'a/'.repeat(1000))).toBe(false)
})
