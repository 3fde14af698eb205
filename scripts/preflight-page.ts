import { ignorableFindings } from '../src/deploy/ignore-findings.ts'
import { redCases } from '../test/support/preflight-cases.ts'
import { type Problem, problems } from './preflight-problems.ts'

/** docs/preflight.md: what the judges say in the cases of their tests, and the rows of the facts. */
export function preflightPage(): string {
  return [
    '# Preflight',
    '`cloudimg preflight` looks at machines and says what keeps them from being nodes; `run`, `join`, `replace` and `apply` do the same first. Nothing is changed by it. An error refuses, a warning is told. `--ignore ID` makes a warning of an error where the table says so; the journal keeps it. `cloudimg-node preflight` is the same on the machine itself, with ids of its own.',
    '## Findings',
    table(['id', 'severity', 'example', 'fix', '`--ignore`'], Object.keys(redCases).sort().map(findingRow)),
    '## Everything that is known to go wrong',
    'What the facts tell (facts/k3s.md §9 and §10, facts/k3s-observed.md), and what looks for it. *Prevented*: it cannot come about in a cluster that cloudimg makes.',
    table(['facts', 'what', 'when', 'id or check', 'severity', 'fix'], problems.map(problemRow)),
  ].join('\n\n')
}

function findingRow(id: string): readonly string[] {
  const found = foundBy(id)
  const severities = [...new Set(found.map(({ severity }) => severity))].join(', ')
  const [first] = found
  return [`\`${id}\``, severities, first?.message ?? '', first?.fix ?? '', ignorableFindings.includes(id) ? 'yes' : '']
}

function problemRow(problem: Problem): readonly string[] {
  const { facts, what, when } = problem
  if (problem.when === 'before') {
    const severities = new Set(problem.ids.flatMap(id => foundBy(id).map(({ severity }) => severity)))
    return [facts, what, when, problem.ids.map(id => `\`${id}\``).join(' '), [...severities].join(', '), 'above']
  }
  if (problem.when !== 'after-start') return [facts, what, when, '', '', problem.fix]
  return [
    facts,
    what,
    when,
    problem.check ?? 'not checked yet',
    problem.check?.startsWith('Verify') === true ? 'error' : 'warning',
    problem.fix,
  ]
}

function foundBy(id: string) {
  return (redCases[id]?.() ?? []).filter(finding => finding.id === id)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
