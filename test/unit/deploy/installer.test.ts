import { describe, expect, it } from 'vitest'
import { callInstaller } from '../../../src/deploy/installer.ts'
import { CloudimgError } from '../../../src/core/error.ts'
import { SimClock } from '../../support/sim-clock.ts'
import { type Expectation, FakeHost } from '../../support/fake-host.ts'
import { testContext } from '../../support/test-context.ts'

const call = { verb: 'init', rootfs: '/r', args: ['--config', '/c'], timeoutSeconds: 9 }
const lease = { op: 'op1', epoch: 2 }
const start =
  'exec installer-start cloudimg-op1-init /run/cloudimg-deploy /bin/sh /r/scripts/cloudimg-node init --config /c --rootfs /r --op op1 --epoch 2 --timeout 9'
const wait = (seen: number): string => `look installer-wait cloudimg-op1-init /run/cloudimg-deploy ${seen} 3`

function result(more: object): string {
  return JSON.stringify({
    v: 1,
    verb: 'init',
    ok: true,
    changed: true,
    code: 0,
    message: 'up',
    fix: '',
    version: 'v1',
    state: 'running',
    ...more,
  })
}

async function run(script: readonly Expectation[]) {
  const host = new FakeHost('h', script)
  const ctx = testContext()
  const task = { id: 1, progress: () => undefined, end: () => undefined }
  const outcome = await callInstaller(host, call, { lease, pace: new SimClock() }, ctx, task).catch(
    (error: unknown) => error,
  )
  host.finish()
  return { outcome, log: ctx.seen.flatMap(event => (event.kind === 'task.output' ? [event.text] : [])).join('') }
}

describe('callInstaller', () => {
  it('follows the log to the end and returns the last word', async () => {
    const { outcome, log } = await run([
      { on: start, answer: { stdout: 'started\n' } },
      { on: wait(0), answer: { stdout: 'running 4\none\n' } },
      { on: wait(4), answer: { stdout: 'running 4\n' } },
      { on: wait(4), answer: { stdout: `ended 8\n${result({})}\ntwo\n` } },
    ])
    expect(outcome).toMatchObject({ ok: true, changed: true, version: 'v1' })
    expect(log).toBe('h: one\nh: two\n')
  })

  it.each([
    [1, 'COMMAND_FAILED'],
    [2, 'BUG'],
    [3, 'HOST_UNSUITABLE'],
    [4, 'DIGEST_MISMATCH'],
    [5, 'COMMAND_FAILED'],
    [6, 'HOST_UNSUITABLE'],
    [75, 'CLUSTER_LOCKED'],
  ])('exit code %i is %s, with its fix as the hint', async (code, expected) => {
    const stdout = `ended 0\n${result({ ok: false, code, message: 'because', fix: 'do that' })}\n`
    const { outcome } = await run([{ on: start }, { on: wait(0), answer: { stdout } }])
    expect(outcome).toMatchObject({
      code: expected,
      hint: 'do that',
      message: 'running cloudimg-node init on "h": because',
    })
  })

  it('says that the host went down', async () => {
    const { outcome } = await run([{ on: start }, { on: wait(0), answer: { stdout: 'gone 0\n' } }])
    expect(outcome).toMatchObject({ code: 'COMMAND_FAILED', data: { interrupted: true } })
  })

  it('refuses an end without a last word', async () => {
    const { outcome } = await run([{ on: start }, { on: wait(0), answer: { stdout: 'ended 0\nSegmentation fault\n' } }])
    expect(outcome).toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('did not report') as string,
    })
  })

  it('gives up at once where the host refuses us', async () => {
    const refused = new CloudimgError('HOST_UNREACHABLE', 'no', { data: { reason: 'authentication' } })
    expect((await run([{ on: start }, { on: wait(0), answer: refused }])).outcome).toBe(refused)
  })
})
