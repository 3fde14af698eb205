import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import { formatInstruction, formatKubefile } from '../../../src/kubefile/print.ts'
import { withoutPlaces } from './without-places.ts'

const cases = join(import.meta.dirname, '../../golden/kubefile')
const good = readdirSync(cases).flatMap(name => {
  const { kubefile } = parseKubefile(readFileSync(join(cases, name, 'Kubefile'), 'utf8'))
  return kubefile === undefined ? [] : [{ name, kubefile }]
})

it.each(good)('prints the golden case $name to the same AST', ({ kubefile }) => {
  expect(withoutPlaces(parseKubefile(formatKubefile(kubefile)).kubefile)).toEqual(withoutPlaces(kubefile))
})

it.each<readonly [what: string, source: string, printed: string]>([
  ['single blanks and upper case', 'from   scratch\n\n\ncopy \\\n a\tb\n', 'FROM scratch\nCOPY a b\n'],
  ['JSON in one layout', 'FROM scratch\nRUN ["a" ,"b\\u0063"]\n', 'FROM scratch\nRUN ["a", "bc"]\n'],
  ['JSON with blanks of its own', 'FROM scratch\nLAUNCH ["a"\f, "b"]\n', 'FROM scratch\nLAUNCH ["a", "b"]\n'],
  ['comments above', 'FROM scratch\nRUN a \\\n # why\n b\n#end', 'FROM scratch\n# why\nRUN a  b\n\n# end\n'],
  ['stages apart', 'ARG A\nFROM a\nRUN x\nFROM b\n', 'ARG A\n\nFROM a\nRUN x\n\nFROM b\n'],
  ['directives first', '#escape = `\nFROM scratch\n', '# escape=`\n\nFROM scratch\n'],
  ['a comment that is no directive', '\n# escape=`\nFROM scratch\n', '\n# escape=`\nFROM scratch\n'],
  ['arguments like flags', 'FROM scratch\nRUN -- --x\n', 'FROM scratch\nRUN -- --x\n'],
  ['BASE with cache', 'BASE k3s@v1.31.4+k3s1   CACHE\n', 'BASE k3s@v1.31.4+k3s1 cache\n'],
  [
    'heredocs with their bodies',
    'FROM scratch\nCOPY <<a <<-b /x/\n\t1\na\n\t2\n\tb\n',
    'FROM scratch\nCOPY <<a <<-b /x/\n\t1\na\n2\nb\n',
  ],
])('prints %s', (_, source, printed) => {
  expect(formatKubefile(parseKubefile(source).kubefile!)).toBe(printed)
})

it('prints one instruction alone', () => {
  const { kubefile } = parseKubefile('FROM scratch\n# note\nENV A=1   B="2 3"\n')
  expect(formatInstruction(kubefile!.stages[0]!.instructions[0]!)).toBe('# note\nENV A=1 B="2 3"\n')
})
