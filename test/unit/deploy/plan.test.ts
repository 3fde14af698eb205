import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { runAction } from '../../../src/deploy/actions/run.ts'
import { noEnvironment } from '../../../src/deploy/environment.ts'
import { makePlan, type Plan, type PlanInput, stepsOf } from '../../../src/deploy/plan.ts'
import { formatPlan } from '../../../src/deploy/plan-text.ts'
import { k3s } from '../../../src/runtime/k3s/k3s.ts'
import { sampleCluster, sampleFacts, sampleNode } from '../../support/sample-node.ts'

const golden = join(import.meta.dirname, '../../golden/plan')
const server = sampleNode()
const agent = sampleNode({}, 2)
const routeless = sampleNode({ facts: { ...sampleFacts(['init=systemd'], 2), defaultRoutes: [] } }, 2)

function input(more: Partial<PlanInput> = {}): PlanInput {
  return {
    image: { reference: 'registry.local/k3s:v1.31.4', digest: digestOf('index') },
    cluster: sampleCluster,
    runtime: k3s,
    nodes: [server],
    fixes: [],
    leaving: [],
    forgotten: [],
    members: [],
    wishes: {},
    launch: [],
    env: noEnvironment,
    ...more,
  }
}

const planRun = (given: PlanInput): Plan => makePlan(runAction, given)

const cases: readonly (readonly [string, PlanInput])[] = [
  ['one-server', input()],
  ['server-and-agent', input({ nodes: [server, agent] })],
  ['default-route-found', input({ nodes: [server, routeless] })],
  ['default-route-fixed', input({ nodes: [server, routeless], fixes: ['default-route'] })],
  ['already-staged', input({ nodes: [sampleNode({ staged: true })] })],
]

describe('planRun', () => {
  it.each(cases)('%s', async (name, given) => {
    const plan = planRun(given)
    const pending = stepsOf(plan).map(step => step.id)
    await expect(formatPlan(plan, pending)).toMatchFileSnapshot(join(golden, `${name}.txt`))
    await expect(`${JSON.stringify(plan, undefined, 2)}\n`).toMatchFileSnapshot(join(golden, `${name}.json`))
  })

  it('is the same for the same facts', () => expect(planRun(input())).toEqual(planRun(input())))

  it('names every step once', () => {
    const ids = stepsOf(planRun(input({ nodes: [server, routeless], fixes: ['default-route'] }))).map(step => step.id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('shows done steps in one line', () =>
    expect(formatPlan(planRun(input()), [])).toContain(
      '10.0.0.1: start k3s as the first server, node "node1" at 10.0.0.1 (done)\n',
    ))
})
