import { describe, expect, it } from 'vitest'
import { agreedBy, agreedToRestart } from '../../../src/cli/consent.ts'
import type { Session } from '../../../src/cli/session.ts'
import type { Plan } from '../../../src/deploy/plan.ts'

const offTerminal = { terminal: { stdin: { isTTY: false } } } as Session
const plan = { action: 'run', cluster: 'c-1', restarts: ['node1', 'node2'] } as unknown as Plan

describe('off a terminal', () => {
  it('a restart is refused, naming what is asked and the flag that says yes', async () => {
    await expect(agreedToRestart(offTerminal, false)(plan)).rejects.toMatchObject({
      code: 'USAGE',
      hint: 'give it with --yes',
      message: expect.stringContaining('restart k3s on 2 hosts of cluster c-1') as string,
    })
  })

  it('nothing is asked where nothing is restarted, or where yes was said', async () => {
    await expect(agreedToRestart(offTerminal, false)({ ...plan, restarts: [] })).resolves.toBeUndefined()
    await expect(agreedToRestart(offTerminal, true)(plan)).resolves.toBeUndefined()
  })

  it('an upgrade is refused too', async () => {
    await expect(agreedBy(offTerminal, false)(plan)).rejects.toMatchObject({ hint: 'give it with --yes' })
  })
})
