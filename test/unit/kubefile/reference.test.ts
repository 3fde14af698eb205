import { expect, it } from 'vitest'
import { planBuild } from '../../../src/build/plan-build.ts'
import { instructions } from '../../../src/kubefile/instructions.ts'
import { lintKubefile } from '../../../src/kubefile/lint/lint.ts'
import { parseKubefile } from '../../../src/kubefile/parse.ts'
import { reformatSource } from '../../../src/kubefile/reformat.ts'
import { referenceBlocks } from '../../support/reference-blocks.ts'

const blocks = referenceBlocks()
const amd64 = { os: 'linux', arch: 'amd64' } as const
/** What an example that is one line cannot help. */
const ofOneLine = new Set(['deprecated-maintainer', 'unused-arg', 'application', 'exec-form', 'not-built-yet'])

it('has an example of every instruction', () => {
  const shown = new Set(blocks.map(({ name }) => name.split(' ')[0]))
  expect([...instructions.keys()].filter(kind => !shown.has(kind))).toEqual([])
})

it.each(blocks)(
  'the example $name parses, is planned, is canonical, and no rule finds anything in it',
  ({ source }) => {
    const { kubefile } = parseKubefile(source)
    const isLine = source.trimEnd().split('\n').length === 1
    const found = lintKubefile(source, 'Kubefile').filter(({ rule }) => !isLine || !ofOneLine.has(rule))
    expect(found).toEqual([])
    const request = { platform: amd64, buildPlatform: amd64, buildArgs: {}, bases: new Map() }
    const { diagnostics } = planBuild(kubefile!, request)
    expect(diagnostics.filter(({ rule }) => rule !== 'not-built-yet' && !(isLine && ofOneLine.has(rule)))).toEqual([])
    expect(reformatSource(source)).toBe(source)
  },
)
