import { describe, expect, it } from 'vitest'
import { applyStep, type Door } from '../../../src/deploy/door.ts'
import { Holes } from '../../../src/deploy/holes.ts'
import type { JournalEntry } from '../../../src/deploy/journal.ts'
import { Keep } from '../../../src/deploy/keep.ts'
import { Sources } from '../../../src/deploy/sources.ts'
import { type DeployStep, hole } from '../../../src/runtime/step.ts'
import { SimClock, simPace } from '../../support/sim-clock.ts'
import { type Expectation, FakeHost } from '../../support/fake-host.ts'
import { testContext } from '../../support/test-context.ts'

const step: DeployStep = {
  id: 's',
  host: 'h',
  sentence: 'touch it',
  do: [{ op: 'exec', argv: ['touch', 'it'] }],
  done: { probe: 'command', argv: ['test', '-e', 'it'], expect: 'zero' },
  assumes: { probe: 'command', argv: ['test', '-d', '.'], expect: 'zero' },
  undo: 'none',
}
const no = { code: 1 }

function door(): Door & { readonly entries: JournalEntry[] } {
  const entries: JournalEntry[] = []
  return {
    entries,
    journal: {
      write: entry => {
        entries.push(entry)
        return Promise.resolve({ v: 1, op: 'op', seq: entries.length, t: 0, ...entry })
      },
    },
    mirror: () => Promise.resolve(),
    holes: new Holes([], new Map()),
    hosts: new Map(),
    keep: new Keep('/nowhere'),
    pace: simPace(new SimClock()),
    sources: new Sources([]),
    lease: { op: 'op', epoch: 1 },
    onChange: () => void entries.push({ event: 'resume', message: 'changing' }),
  }
}

async function apply(script: readonly Expectation[], what: DeployStep = step) {
  const host = new FakeHost('h', script)
  const used = door()
  const ctx = testContext()
  const outcome = await applyStep(what, host, used, ctx).catch((error: unknown) => error)
  host.finish()
  return {
    outcome,
    events: used.entries.map(entry => entry.message ?? entry.event),
    heard: host.heard,
    inputs: host.inputs,
  }
}

describe('applyStep', () => {
  it('only looks where the step is done', async () => {
    expect(await apply([{ on: 'look test -e it' }])).toMatchObject({ outcome: 'unchanged', events: [] })
  })

  it('probes, writes, does, probes, writes', async () => {
    const script = [
      { on: 'look test -e it', answer: no },
      { on: 'look test -d .' },
      { on: 'exec touch it' },
      { on: 'look test -e it' },
    ]
    expect(await apply(script)).toMatchObject({ outcome: 'changed', events: ['start', 'changing', 'done'] })
  })

  it('touches nothing when the host is not as the plan saw it', async () => {
    const script = [
      { on: 'look test -e it', answer: no },
      { on: 'look test -d .', answer: no },
    ]
    expect(await apply(script)).toMatchObject({ outcome: { code: 'PLAN_STALE' }, events: [] })
  })

  it('believes the probe, not the exit code', async () => {
    const never = Array.from({ length: 30 }, () => ({ on: /look/, answer: no }))
    const script = [{ on: /look/, answer: no }, { on: /look/ }, { on: /exec/ }, ...never]
    const { outcome, events } = await apply(script)
    expect(outcome).toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('not as it should be') as string,
    })
    expect(events.slice(0, 2)).toEqual(['start', 'changing'])
    expect(events).toHaveLength(3)
  })

  it('writes a failure down', async () => {
    const script = [{ on: /look/, answer: no }, { on: /look/ }, { on: /exec/, answer: new Error('broken') }]
    expect(await apply(script)).toMatchObject({
      outcome: { message: 'broken' },
      events: ['start', 'changing', 'broken'],
    })
  })

  it('fills holes at the last moment, through stdin only', async () => {
    const host = new FakeHost('h', [
      { on: 'read /c', value: undefined },
      { on: 'read /c', value: undefined },
      { on: 'exec write-file /c 600' },
      { on: 'read /c', value: 'token: "made"\n' },
    ])
    const made = { hole: 'token', host: 'h', path: '/c', find: () => undefined, make: () => 'made' }
    const content = ['token: "', hole('token'), '"\n']
    const { assumes: _, ...rest } = step
    const secret: DeployStep = {
      ...rest,
      do: [{ op: 'file', path: '/c', mode: 0o600, content }],
      done: { probe: 'content', path: '/c', content },
    }
    await applyStep(secret, host, { ...door(), holes: new Holes([made], new Map([['h', host]])) }, testContext())
    host.finish()
    expect(host.inputs).toEqual(['token: "made"\n'])
    expect(host.heard.join()).not.toContain('made')
  })
})
