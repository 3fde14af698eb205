import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Span, formatDiagnostic } from '../../../src/core/diagnostic.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'

const cases = join(import.meta.dirname, '../../golden/kubefile')

/** Each folder is a case: a Kubefile with what it must parse to, and what must be said of it. `-u` writes them anew. */
it.each(readdirSync(cases).sort())('%s', async name => {
  const folder = join(cases, name)
  const source = readFileSync(join(folder, 'Kubefile'), 'utf8')
  const { kubefile, diagnostics } = parseKubefile(source)
  const outcome: [file: string, text: string][] = []
  if (kubefile !== undefined) outcome.push(['ast.json', formatJson({ ...kubefile, source: undefined })])
  const said = diagnostics.map(diagnostic => formatDiagnostic(diagnostic, source, 'Kubefile'))
  if (said.length > 0) outcome.push(['diagnostics.txt', said.join('\n\n')])

  for (const [file, text] of outcome) await expect(`${text}\n`).toMatchFileSnapshot(join(folder, file))
  const stale = ['ast.json', 'diagnostics.txt'].filter(file => !outcome.some(([written]) => written === file))
  expect(stale.filter(file => existsSync(join(folder, file)))).toEqual([])
})

/** JSON with spans as `line:column-line:column`, and everything short on one line. */
function formatJson(value: unknown, indent = ''): string {
  if (isSpan(value)) return JSON.stringify(formatSpan(value))
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  const isArray = Array.isArray(value)
  const items = isArray
    ? value.map(item => formatJson(item, inner))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => `${JSON.stringify(key)}: ${formatJson(item, inner)}`)
  const [open, close] = isArray ? '[]' : '{}'
  const line = `${open}${items.join(', ')}${close}`
  if (line.length + indent.length <= 110 && !line.includes('\n')) return line
  return `${open}\n${items.map(item => `${inner}${item}`).join(',\n')}\n${indent}${close}`
}

function isSpan(value: unknown): value is Span {
  return typeof value === 'object' && value !== null && 'start' in value && 'end' in value
}

function formatSpan({ start, end }: Span): string {
  return `${start.line}:${start.column}-${end.line}:${end.column}`
}
