import { describe, expect, it } from 'vitest'
import { CloudimgError } from '../../../src/core/error.ts'
import { retry } from '../../../src/io/retry.ts'
import { testContext } from '../../support/test-context.ts'

const passing = (): CloudimgError => new CloudimgError('NETWORK', 'cut', { data: { retryable: true } })
const quick = { attempts: 3, delayMs: 1 }

describe('retry', () => {
  it('tries again what may pass, and says so', async () => {
    const ctx = testContext()
    const tried: number[] = []
    const work = async (attempt: number): Promise<string> => {
      tried.push(attempt)
      if (attempt < 3) throw passing()
      return 'done'
    }
    expect(await retry('x', work, ctx, quick)).toBe('done')
    expect(tried).toEqual([1, 2, 3])
    expect(ctx.seen.map(event => event.kind)).toEqual(['retry', 'retry'])
  })

  it('does not try again what will not pass', async () => {
    let tried = 0
    const work = async (): Promise<never> => {
      tried++
      throw new CloudimgError('REGISTRY_AUTH', 'wrong password')
    }
    await expect(retry('x', work, testContext(), quick)).rejects.toMatchObject({ code: 'REGISTRY_AUTH' })
    expect(tried).toBe(1)
  })

  it('is not multiplied by another one around it', async () => {
    let tried = 0
    const work = async (): Promise<never> => {
      tried++
      throw passing()
    }
    const inner = (): Promise<never> => retry('inner', work, testContext(), quick)
    await expect(retry('outer', inner, testContext(), quick)).rejects.toMatchObject({ code: 'NETWORK' })
    expect(tried).toBe(3)
  })

  const busy = (retryAfterMs: number): CloudimgError =>
    new CloudimgError('REGISTRY_ERROR', '429', { data: { retryable: true, retryAfterMs } })

  it('waits as long as it was asked to, however short its own waits are', async () => {
    const ctx = testContext()
    const work = async (attempt: number): Promise<string> => {
      if (attempt === 1) throw busy(20)
      return 'done'
    }
    await retry('x', work, ctx, { ...quick, maxDelayMs: 5 })
    expect(ctx.seen).toMatchObject([{ kind: 'retry', delayMs: 20 }])
  })

  it('gives up at once where it would have to wait too long, and says how long', async () => {
    const ctx = testContext()
    const work = async (): Promise<never> => {
      throw busy(3_600_000)
    }
    await expect(retry('x', work, ctx, quick)).rejects.toMatchObject({
      code: 'REGISTRY_ERROR',
      hint: expect.stringContaining('60 minutes'),
    })
    expect(ctx.seen).toEqual([])
  })

  it('stops waiting when it is cancelled', async () => {
    const ctx = testContext()
    const work = async (): Promise<never> => {
      setImmediate(() => ctx.abort())
      throw passing()
    }
    await expect(retry('x', work, ctx, { attempts: 3, delayMs: 60_000 })).rejects.toMatchObject({ name: 'AbortError' })
  })
})
