import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createProgram } from '../../../src/cli/program.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'
import { planCluster } from '../../../src/deploy/actions/run.ts'
import { formatPlan } from '../../../src/deploy/plan-text.ts'
import { realSizedImage } from '../../support/real-sized-image.ts'
import { sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/distribution.md'), 'utf8')
const [commands = '', excerpt = ''] = [...page.matchAll(/^```(?:sh)?\n([\s\S]*?)^```$/gm)].map(match => match[1]!)

it.each(commands.trim().split('\n'))('the page has commands that are taken: %s', async line => {
  const stream = { write: () => true, columns: 100 } as unknown as NodeJS.WriteStream
  const terminal: Terminal = { stdout: stream, stderr: stream, stdin: process.stdin, env: {} }
  const program = createProgram(terminal, { code: 0 })
  const [name, ...argv] = line.split(' ')
  let fanout: unknown
  for (const command of program.commands) command.action(() => void (fanout = command.opts().fanout))
  await program.parseAsync(argv, { from: 'user' })
  expect([name, fanout]).toEqual(['cloudimg', true])
})

it('the page shows what the plan says', async () => {
  const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']
  const world = new SimWorld(names, sampleImages)
  await using operator = await makeSimOperator(world)
  for (const host of world.hosts.values()) host.http = { clients: ['wget'], servers: ['busybox'] }
  world.hosts.get('10.0.0.4')!.http = { clients: [], servers: ['python3'] }
  const hosts = { servers: names.slice(0, 1), agents: names.slice(1) }
  const options = { image: realSizedImage(), hosts, stateHome: operator.stateHome, wishes: { fanOut: true } }
  const { plan, pending } = await planCluster(options, testContext(), operator.ends)
  const shown = formatPlan(plan, pending)
    .split('\n')
    .filter(line => line === '==> Send' || line.includes(': send bin/k3s'))
  expect(`${shown.join('\n')}\n`).toBe(excerpt)
})
