import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Diagnostic, formatDiagnostic } from '../../../src/core/diagnostic.ts'
import type { Escape, Kubefile } from '../../../src/kubefile/ast.ts'
import { ExpansionError, expandWord } from '../../../src/kubefile/expand.ts'
import { instructions } from '../../../src/kubefile/instructions.ts'
import { fixKubefile } from '../../../src/kubefile/lint/fix.ts'
import { lintKubefile } from '../../../src/kubefile/lint/lint.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import { formatKubefile } from '../../../src/kubefile/print.ts'
import { reformatSource } from '../../../src/kubefile/reformat.ts'
import { soakFactor } from '../../support/soak.ts'
import { withoutPlaces } from './without-places.ts'

/** `inCi` cases with a new seed each time; in a soak `inSoak`, a million of all kinds together, CLOUDIMG_SOAK/20 times. */
const runs = (inCi: number, inSoak: number) => ({
  numRuns: soakFactor === undefined ? inCi : Math.round((inSoak * soakFactor) / 20),
  ...(process.env.CLOUDIMG_SEED === undefined ? {} : { seed: Number(process.env.CLOUDIMG_SEED) }),
})
const timeout = soakFactor === undefined ? 120_000 : 7_200_000
/** Milliseconds for one input of a few hundred characters, on a machine that does much else. */
const longestParse = 10_000

const cases = join(import.meta.dirname, '../../golden/kubefile')
const corpus = readdirSync(cases).map(name => readFileSync(join(cases, name, 'Kubefile'), 'utf8'))

const keywords = Array.from(instructions.keys())
const flags = Array.from(new Set([...instructions.values()].flatMap(spec => spec.flags.map(({ name }) => `--${name}`))))

const sharp = ['\\', '`', '"', "'", '$', '${', '}', '#', '=', '@', '<<', '<<-', '[', ']', ',', '--', ':', '/', '*', '?']
const blanks = [
  ' ',
  ' ',
  '  ',
  '\t',
  '\\\n',
  '`\n',
  '\\\n# note\n',
  '\\\n\n',
  '\n',
  '\r\n',
  '\n\n',
  '\r',
  '\f',
  '\u00A0',
]
const arguments_ = [
  'scratch',
  'AS',
  'cache',
  'rootfs',
  'k3s@v1.31.4+k3s1',
  'NONE',
  'CMD',
  'a',
  'b',
  'x=1',
  'k="v w"',
  './d',
  '.',
]
const forms = [
  '["a", "b"]',
  '["a"',
  '[1]',
  '[]',
  "['a']",
  'body',
  '${A:-b}',
  '${A//x/y}',
  '\u2028',
  '🚀',
  '\uD800',
  'local://f',
]
const heredocs = ['<<EOF', '<<-EOF', '<<"E F"', '3<<EOF', '\nEOF\n', '\n\tEOF\n']
const comments = ['# escape=`\n', '# escape=\\\n', '# syntax=x\n', '#\n', '# note\n', '\uFEFF']
const pieces = [...arguments_, ...forms, ...heredocs, ...comments]

const token = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...keywords).map(word => `\n${word} `) },
  { weight: 1, arbitrary: fc.constantFrom(...keywords).map(word => word.toLowerCase()) },
  { weight: 2, arbitrary: fc.constantFrom(...flags) },
  { weight: 3, arbitrary: fc.constantFrom(...sharp) },
  { weight: 5, arbitrary: fc.constantFrom(...blanks) },
  { weight: 6, arbitrary: fc.constantFrom(...pieces) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 4 }) },
)
const soup = fc.array(token, { maxLength: 40 }).map(tokens => tokens.join(''))

/** Lines that mostly parse, so that the printer has something to print. */
const word = fc.oneof(
  fc.constantFrom(...arguments_, ...forms),
  fc.constantFrom('"a b"', "'$x'", 'a\\ b', '"\\""', '$x', '${y:-z w}', '--looks-like', 'c:d', '=', 'a=', '"q"=1', '#'),
)
const heredoc = fc.constantFrom('<<EOF', '<<-EOF', "<<'EOF'", '3<<EOF').map(start => `${start} \\\n`)
const line = fc
  .tuple(
    fc.constantFrom(...keywords),
    fc.array(fc.constantFrom(...flags.map(flag => `${flag}=x`), '--link', '--parents=true', '--'), { maxLength: 1 }),
    fc.array(fc.oneof({ weight: 12, arbitrary: word }, { weight: 1, arbitrary: heredoc }), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.constantFrom(' ', '  ', ' \\\n ', ' \\\n# inside\n', '\t'),
    fc.constantFrom('', '\n', '\n# above', '\n\tbody $x\n\tEOF', '\r'),
  )
  .map(([keyword, some, words, blank, end]) => [keyword, ...some, ...words].join(blank) + end)
const header = fc.constantFrom('', '\n# escape=`\n', '# escape=`\n', '# syntax=x\n\n# escape=`\n', '#\n')
const kubefile = fc
  .tuple(header, fc.array(line, { minLength: 1, maxLength: 3 }))
  .map(([header, lines]) => `${header}${lines.join('\n')}\n`)
const parses = (source: string): boolean => parseKubefile(source).kubefile !== undefined
const goodLine = line.filter(source => parses(`FROM scratch\n${source}\n`))
const goodKubefile = fc
  .tuple(header, fc.array(goodLine, { minLength: 1, maxLength: 6 }))
  .map(([header, lines]) => `${header}FROM scratch\n${lines.join('\n')}\n`)

/** Beginnings and ends of two golden cases. */
const spliced = fc
  .tuple(fc.constantFrom(...corpus), fc.constantFrom(...corpus), fc.nat(400), fc.nat(400))
  .map(([a, b, end, start]) => a.slice(0, end) + b.slice(start))

/** A few characters of a text deleted, doubled or replaced. */
const mutated = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: kubefile },
      { weight: 1, arbitrary: goodKubefile },
      { weight: 3, arbitrary: soup },
      { weight: 4, arbitrary: spliced },
    ),
    fc.array(fc.tuple(fc.nat(400), fc.nat(5), fc.constantFrom('', ...sharp, ...blanks)), { maxLength: 4 }),
  )
  .map(([text, edits]) =>
    edits.reduce((now, [at, length, put]) => {
      const index = now.length === 0 ? 0 : at % now.length
      return now.slice(0, index) + put + now.slice(index + length)
    }, text),
  )

function check(source: string): void {
  const began = performance.now()
  const { kubefile, diagnostics } = parseKubefile(source)
  expect(performance.now() - began).toBeLessThan(longestParse)
  expect(kubefile === undefined).toBe(diagnostics.some(({ severity }) => severity === 'error'))
  const found = lintKubefile(source, 'Kubefile')
  expect(found.filter(diagnostic => !isPlaced(diagnostic, source))).toEqual([])
  if (kubefile === undefined) return
  expectSameWhenPrinted(kubefile)
  expectSameWhenFormatted(kubefile)
}

/** Whether it and its fix point into the text, and it can be shown. */
function isPlaced(diagnostic: Diagnostic, source: string): boolean {
  const { span, fix = [], message } = diagnostic
  const ranges = [{ start: span.start.offset, end: span.end.offset }, ...fix]
  return (
    ranges.every(({ start, end }) => start >= 0 && start <= end && end <= source.length) &&
    formatDiagnostic(diagnostic, source, 'Kubefile').includes(message)
  )
}

function expectSameWhenPrinted(kubefile: Kubefile): void {
  const printed = formatKubefile(kubefile)
  const again = parseKubefile(printed)
  expect(again.diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
  expect(withoutPlaces(again.kubefile)).toEqual(withoutPlaces(kubefile))
  expect(formatKubefile(again.kubefile!)).toBe(printed)
}

function expectSameWhenFormatted({ source }: Kubefile): void {
  const formatted = reformatSource(source)
  expect(withoutPlaces(parseKubefile(formatted).kubefile)).toEqual(withoutPlaces(parseKubefile(source).kubefile))
  expect(reformatSource(formatted)).toBe(formatted)
}

describe('parseKubefile', () => {
  it(
    'ends without a throw on any text',
    () => fc.assert(fc.property(fc.string({ maxLength: 200 }), check), runs(500, 100_000)),
    timeout,
  )
  it(
    'ends without a throw on the words of the language in any order',
    () => fc.assert(fc.property(soup, check), runs(1500, 440_000)),
    timeout,
  )
  it(
    'ends without a throw on damaged Kubefiles',
    () => fc.assert(fc.property(mutated, check), runs(1500, 450_000)),
    timeout,
  )
  it(
    'prints what it parses to the same AST',
    () => fc.assert(fc.property(goodKubefile, check), runs(500, 10_000)),
    timeout,
  )

  it(
    'mends nothing into an error, and is done at once',
    () => {
      const mends = (source: string): void => {
        const { source: mended, left } = fixKubefile(source, 'Kubefile')
        expect(left.filter(({ fix = [] }) => fix.length > 0)).toEqual([])
        expect(parses(mended) || !parses(source)).toBe(true)
        expect(fixKubefile(mended, 'Kubefile').fixed).toEqual([])
      }
      fc.assert(fc.property(goodKubefile, mends), runs(200, 5_000))
    },
    timeout,
  )

  it('generates Kubefiles that parse, or the property above would say nothing', () => {
    const parsed = fc.sample(goodKubefile, { numRuns: 400, seed: 1 }).filter(parses)
    expect(parsed.length).toBeGreaterThan(100)
    const kinds = parsed.flatMap(text =>
      parseKubefile(text).kubefile!.stages.flatMap(stage => stage.instructions.map(({ kind }) => kind)),
    )
    expect(new Set(kinds).size).toBeGreaterThan(20)
  })
})

describe('expandWord', () => {
  const variables: Readonly<Record<string, string>> = { A: 'value', B: '', C: 'a/b/c', D: '*' }
  const part = fc.constantFrom(
    ...sharp,
    ':-',
    ':+',
    ':?',
    '##',
    '%%',
    '//',
    'A',
    'B',
    'C',
    'D',
    '_',
    '1',
    ' ',
    '${A',
    '${C//',
    '🚀',
    '\uD83D',
  )
  const text = fc.array(part, { maxLength: 25 }).map(parts => parts.join(''))

  const expansionOf = (source: string, escape: Escape): { readonly index: number; readonly end: number } => {
    try {
      expandWord(source, name => variables[name], { escape })
      return { index: 0, end: 0 }
    } catch (error) {
      if (error instanceof ExpansionError) return error
      throw error
    }
  }

  it(
    'gives a value or an ExpansionError inside the text',
    () => {
      fc.assert(
        fc.property(text, fc.constantFrom('\\' as const, '`' as const), (source, escape) => {
          const outcome = expansionOf(source, escape)
          expect(outcome.end).toBeLessThanOrEqual(Math.max(1, source.length))
          expect(outcome.index).toBeGreaterThanOrEqual(0)
        }),
        runs(3000, 60_000),
      )
    },
    timeout,
  )

  it('gives back any text in single quotes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter(source => !source.includes("'")),
        source => {
          expect(expandWord(`'${source}'`, () => undefined).value).toBe(source)
        },
      ),
    )
  })
})
