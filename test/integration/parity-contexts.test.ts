import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { buildahCases } from '../parity/buildah-cases.ts'
import { kubefileCases, kubefileContext } from '../parity/kubefile-cases.ts'
import { type BuildHere, buildHere, type BuiltHere } from '../support/build-here.ts'
import { buildWithBuildah } from '../support/buildah-batch.ts'
import { writeContextFiles } from '../support/context-files.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { pushParityBase, withParityBase } from '../support/parity-base.ts'
import { configDifferences, isKnownEverywhere, knownDifferences, unknownCases } from '../support/parity.ts'
import { parityCases } from '../support/parity-corpus.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import type { SharedCase } from '../support/shared-case.ts'
import { treeDifferences } from '../support/tree-listing.ts'

const cases = [...buildahCases, ...kubefileCases]

let tools: ContainerTools
let registry: RealRegistry
let store: Store
let theirs: ReadonlyMap<string, BuiltHere>
const usedEverywhere = new Set<string>()

const at = (...parts: string[]): string => join(tools.home, ...parts)

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  store = await openStore(at('store'))
  writeContextFiles(at('contexts/kubefile'), kubefileContext)
  for (const { name, files } of buildahCases) writeContextFiles(at('contexts', name), files)
  await pushParityBase(tools, registry.host, at('contexts/kubefile'))
  theirs = await buildWithBuildah(
    tools,
    cases.map(one => ({ name: one.name, ...buildOf(one) })),
  )
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

function buildOf({ name, files, lines, buildArgs = {}, target }: SharedCase): BuildHere {
  const named = (text: string): string => withParityBase(text, registry.host)
  return {
    lines: named(/^FROM /im.test(lines) ? lines : `FROM scratch\n${lines}`),
    context: at('contexts', files === kubefileContext ? 'kubefile' : name),
    buildArgs: Object.fromEntries(Object.entries(buildArgs).map(([arg, value]) => [arg, named(value)])),
    ...(target === undefined ? {} : { target }),
  }
}

describe('the tree and the config are those that buildah makes of the same lines', () => {
  it.each(cases.map(one => [one.name, one] as const))('%s', async (name, one) => {
    const ours = await buildHere(store, buildOf(one), at('trees', name))
    const other = theirs.get(name)!
    const trees = treeDifferences(ours.tree, other.tree).map(found => ({ ...found, path: `${name}:${found.path}` }))
    const configs = configDifferences(ours, other).map(found => ({ ...found, path: `${name}:config` }))
    const found = [...trees, ...configs].filter(difference => !isKnownEverywhere(difference, usedEverywhere))
    expect(found).toEqual(knownDifferences(name))
  })

  it('of a hundred contexts and more, and no difference is allowed that does not occur', () => {
    expect(cases.length).toBeGreaterThanOrEqual(100)
    const names = [...cases, ...parityCases].map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(unknownCases([...names, ...usedEverywhere])).toEqual([])
  })
})
