import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { within } from '../../../src/deploy/waiting.ts'
import { SimClock } from '../../support/sim-clock.ts'

it('is the only time of the deploy room', () => {
  const room = join(import.meta.dirname, '../../../src/deploy')
  const clocks = /\bDate\.now\b|\bsetTimeout\b|\bsetInterval\b|AbortSignal\.timeout|new Date\(\)|performance\.now/
  const files = readdirSync(room, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))
  const users = files.filter(name => clocks.test(readFileSync(join(room, name), 'utf8')))
  expect(users.sort()).toEqual(['ends.ts', 'waiting.ts'])
})

it('leaps from one who waits to the next', async () => {
  const clock = new SimClock()
  const order: string[] = []
  const wait = async (seconds: number): Promise<void> => {
    await clock.sleep(seconds * 1000)
    order.push(`${seconds} at ${clock.seconds}`)
  }
  await Promise.all([wait(3600), wait(1), wait(60), wait(0)])
  expect(order).toEqual(['0 at 0', '1 at 1', '60 at 60', '3600 at 3600'])
})

it('does not pass while the disk is at work', async () => {
  const clock = new SimClock()
  const tick = clock.sleep(1)
  await import('node:fs/promises').then(fs => fs.readFile(import.meta.filename))
  expect(clock.seconds).toBe(0)
  await tick
  expect(clock.seconds).toBe(0.001)
})

it('ends what takes too long, and forgets the end of what does not', async () => {
  const clock = new SimClock()
  const late = within(1000, clock, signal => clock.sleep(5000, signal))
  await expect(late).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(clock.seconds).toBe(1)
  expect(await within(1000, clock, () => Promise.resolve('soon'))).toBe('soon')
  expect(clock.seconds).toBe(1)
})
