import { describe, expect, it } from 'vitest'
import { problems } from '../../../scripts/preflight-problems.ts'
import { asIgnored, ignorableFindings } from '../../../src/deploy/ignore-findings.ts'
import { findingsOf, redCases } from '../../support/preflight-cases.ts'
import { sampleNode } from '../../support/sample-node.ts'

describe('what is found before anything is changed', () => {
  it('is nothing on machines that are well', () => expect(findingsOf([sampleNode(), sampleNode({}, 2)])).toEqual([]))

  it.each(Object.entries(redCases))('is "%s" where it is so, with a way out', (id, judged) => {
    const found = judged().filter(finding => finding.id === id)
    expect(found).not.toEqual([])
    for (const { host, message, fix } of found) expect([host, message, fix]).not.toContain('')
  })

  it('does not refuse what may be ignored where it shall be', () => {
    for (const id of ignorableFindings) {
      const found = redCases[id]!().find(finding => finding.id === id && finding.severity === 'error')
      expect(asIgnored(found!, [id]).severity).toBe('warning')
      expect(asIgnored(found!, []).severity).toBe('error')
    }
    const foreign = redCases['foreign-k3s']!()[0]!
    expect(asIgnored(foreign, ['foreign-k3s']).severity).toBe('error')
  })
})

describe('docs/preflight.md', () => {
  it('has every row of the facts', () => {
    const named = new Set(problems.map(problem => problem.facts))
    const rows = Array.from({ length: 42 }, (_, at) => `k3s.md §10 ${at + 1}`)
    const observed = Array.from({ length: 22 }, (_, at) => `k3s-observed.md ${at + 1}`)
    expect([...rows, ...observed].filter(row => !named.has(row))).toEqual([])
  })

  it('names findings that there are, and all of them but those about the command itself', () => {
    const named = new Set(problems.flatMap(problem => (problem.when === 'before' ? problem.ids : [])))
    const known = new Set(Object.keys(redCases))
    expect([...named].filter(id => !known.has(id))).toEqual([])
    const ofCommand = ['even-servers', 'other-cluster', 'registry-push', 'role', 'stand-in', 'upgrade']
    expect([...known].filter(id => !named.has(id)).sort()).toEqual(ofCommand)
  })
})
