import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import { reformatSource } from '../../../src/kubefile/reformat.ts'
import { withoutPlaces } from './without-places.ts'

const cases = join(import.meta.dirname, '../../golden/kubefile')
const good = readdirSync(cases).flatMap(name => {
  const source = readFileSync(join(cases, name, 'Kubefile'), 'utf8')
  return parseKubefile(source).kubefile === undefined ? [] : [{ name, source }]
})

it.each(good)('leaves the AST of the golden case $name as it is, and does so once', ({ source }) => {
  const formatted = reformatSource(source)
  expect(withoutPlaces(parseKubefile(formatted).kubefile)).toEqual(withoutPlaces(parseKubefile(source).kubefile))
  expect(reformatSource(formatted)).toBe(formatted)
})

const lines = (...parts: readonly string[]): string => `${parts.join('\n')}\n`

it.each<readonly [what: string, source: string, formatted: string]>([
  ['capitals and single blanks', 'from  scratch  as  x\n\tcopy\ta   b\n', 'FROM scratch AS x\nCOPY a b\n'],
  ['flags', 'FROM scratch\ncopy  --link   --chmod=0755  a b\n', 'FROM scratch\nCOPY --link --chmod=0755 a b\n'],
  ['what a shell reads', 'FROM scratch\nRUN  echo   "a  b"  |  c\n', 'FROM scratch\nRUN echo   "a  b"  |  c\n'],
  [
    'continued arguments',
    lines('FROM scratch', 'COPY a   \\  ', '  # why', 'b \\', '', '\tc \\', 'd/', ''),
    lines('FROM scratch', 'COPY a \\', '    # why', '    b \\', '    c \\', '    d/'),
  ],
  [
    'a continued script',
    lines('FROM scratch', 'run set -e; \\ ', '  # first', '\tone && \\', '', '      two', ''),
    lines('FROM scratch', 'RUN set -e; \\', '  # first', '\tone && \\', '      two'),
  ],
  ['a word that goes on', 'FROM scratch\nENV A="x \\\n   y"   B=1\n', 'FROM scratch\nENV A="x \\\n   y" B=1\n'],
  ['arrays', 'FROM scratch\nCMD ["a" ,"\\u0062" , "c d"]\n', 'FROM scratch\nCMD ["a", "\\u0062", "c d"]\n'],
  [
    'an array behind a name',
    'FROM scratch\napp x ["local://a" ,"local://b"]\n',
    'FROM scratch\nAPP x ["local://a", "local://b"]\n',
  ],
  ['old ENV', 'FROM scratch\nENV  A   b   c\n', 'FROM scratch\nENV A b   c\n'],
  [
    'here-documents',
    lines('FROM scratch', 'copy  <<a  <<-b  /x/', '  1  ', '', 'a', '\t2', '\tb', 'RUN  <<EOF', 'a', 'EOF'),
    lines('FROM scratch', 'COPY <<a <<-b /x/', '  1  ', '', 'a', '\t2', '\tb', 'RUN <<EOF', 'a', 'EOF'),
  ],
  [
    'blank lines and comments',
    lines(
      '',
      '',
      '#a',
      '  # b  ',
      '',
      '',
      'FROM scratch',
      '',
      '',
      'COPY a b',
      '# above',
      'FROM scratch',
      'COPY c d',
      '',
      '',
    ),
    lines('#a', '# b', '', 'FROM scratch', '', 'COPY a b', '', '# above', 'FROM scratch', 'COPY c d'),
  ],
  ['directives', '#escape = `\nFROM scratch\nCOPY a `\n  b\n', '# escape=`\nFROM scratch\nCOPY a `\n    b\n'],
  ['a comment that is no directive', '\n# escape=`\nFROM scratch\n', '\n# escape=`\nFROM scratch\n'],
  ['line ends', 'FROM scratch\r\nCOPY a \\\r\n b\r\n', 'FROM scratch\r\nCOPY a \\\r\n    b\r\n'],
  ['a byte order mark', '\uFEFFFROM scratch\n', 'FROM scratch\n'],
  ['a missing line end', 'FROM scratch', 'FROM scratch\n'],
  ['arguments like flags', 'FROM scratch\nRUN  --  --x\n', 'FROM scratch\nRUN -- --x\n'],
  ['deferred instructions', 'FROM scratch\nonbuild  copy  a   b\n', 'FROM scratch\nONBUILD COPY a b\n'],
  [
    'HEALTHCHECK',
    'FROM scratch\nhealthcheck --retries=3  cmd  a  b\n',
    'FROM scratch\nHEALTHCHECK --retries=3 CMD a  b\n',
  ],
  ['BASE', 'base  k3s@v1.31.4+k3s1  CACHE\n', 'BASE k3s@v1.31.4+k3s1 cache\n'],
  ['what looks like an array and is text', 'FROM scratch\nLABEL a  ["x" ,"y"]\n', 'FROM scratch\nLABEL a ["x" ,"y"]\n'],
  ['mixed line ends', '\r\nFROM scratch\\\n# note\nx\\\n\n', 'FROM scratch\\\r\n# note\r\nx\\\r\n'],
  ['a continuation into nothing', 'FROM scratch\n  RUN a \\\n# end\n', 'FROM scratch\nRUN a \\\n# end\n'],
  ['a continuation before the keyword', '\\\n \\\n# note\n\nFROM scratch', '# note\n\nFROM scratch\n'],
  [
    'a broken end of flags',
    'FROM scratch\nMAINTAINER \\\n -\\\n# note\n-  me\n',
    'FROM scratch\nMAINTAINER \\\n -\\\n# note\n-  me\n',
  ],
  [
    'a broken word of the grammar',
    'FROM scratch\nHEALTHCHECK N\\\n# note\nONE\n',
    'FROM scratch\nHEALTHCHECK N\\\n# note\nONE\n',
  ],
  [
    'a script in a here-document before a stage',
    lines('FROM scratch', 'COPY <<x /', '#!/bin/sh', 'x', 'FROM scratch'),
    lines('FROM scratch', 'COPY <<x /', '#!/bin/sh', 'x', '', 'FROM scratch'),
  ],
  [
    'a comment behind directives that is none',
    '# syntax=x\n\\\n# escape=`\nARG a\n',
    '# syntax=x\n\n# escape=`\nARG a\n',
  ],
  ['words that look like an array', 'FROM scratch\nCOPY a ["b"  ,"c"]\n', 'FROM scratch\nCOPY a ["b" ,"c"]\n'],
  ['nothing', '', ''],
])('formats %s', (_, source, formatted) => {
  expect(reformatSource(source)).toBe(formatted)
  expect(reformatSource(formatted)).toBe(formatted)
})
