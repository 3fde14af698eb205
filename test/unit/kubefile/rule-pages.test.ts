import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatDiagnostic } from '../../../src/core/diagnostic.ts'
import type { LintRule } from '../../../src/kubefile/lint/rule.ts'
import { lintRules } from '../../../src/kubefile/lint/rules.ts'
import { lintExample, parseRulePage, type RulePage } from '../../support/rule-page.ts'

const pages = join(import.meta.dirname, '../../../docs/rules')
const pathOf = ({ id }: LintRule): string => join(pages, `${id}.md`)

function render({ id, severity, summary, fixes }: LintRule, page: RulePage, output: string): string {
  const kinds = [severity, ...(fixes === true ? ['`--fix` mends it'] : [])].join('; ')
  return [
    `# ${id}`,
    `${summary.slice(0, 1).toUpperCase()}${summary.slice(1)}. *(${kinds})*`,
    `## Output\n\n\`\`\`text\n${output}\n\`\`\``,
    `## Why\n\n${page.why}`,
    `## Bad\n\n${page.sections.bad}`,
    `## Good\n\n${page.sections.good}\n`,
  ].join('\n\n')
}

it('has a page for each rule, and no page without a rule', () => {
  const names = readdirSync(pages).filter(name => name !== 'README.md')
  expect(names.sort()).toEqual(lintRules.map(({ id }) => `${id}.md`).sort())
  expect(new Set(names).size).toBe(lintRules.length)
})

/** `-u` writes the first lines and the output anew. */
describe.each(lintRules)('$id', rule => {
  const page = parseRulePage(readFileSync(pathOf(rule), 'utf8'))

  it('finds its bad example, alone, and the page shows what is said of it', async () => {
    const { left } = await lintExample(page.bad)
    expect(new Set(left.map(found => found.rule))).toEqual(new Set([rule.id]))
    const output = left.map(found => formatDiagnostic(found, page.bad.kubefile, 'Kubefile', found.rule)).join('\n\n')
    await expect(render(rule, page, output)).toMatchFileSnapshot(pathOf(rule))
  })

  it('finds nothing in its good example, and no other rule does', async () => {
    expect((await lintExample(page.good)).left).toEqual([])
  })

  it('explains itself', () => {
    expect(page.why.length).toBeGreaterThan(40)
  })
})

describe('--fix', () => {
  it.each(lintRules.filter(({ fixes }) => fixes))('of $id finds something to mend, and leaves nothing', async rule => {
    const page = parseRulePage(readFileSync(pathOf(rule), 'utf8'))
    // The page's example of k3s-version is one that only a person can mend.
    const kubefile = rule.id === 'k3s-version' ? 'FROM scratch\nBASE k3s@v1.31.4-k3s1\n' : page.bad.kubefile
    const { fixed, left, source } = await lintExample({ ...page.bad, kubefile }, true)
    expect(new Set(fixed.map(found => found.rule))).toEqual(new Set([rule.id]))
    expect(left.filter(found => found.rule === rule.id)).toEqual([])
    expect(source).not.toBe(kubefile)
  })
})
