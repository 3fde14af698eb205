import { expect, it } from 'vitest'
import { Gate } from '../../../src/core/gate.ts'

it('lets so many in at once, in their order, and the next one also after a failure', async () => {
  const gate = new Gate(2)
  const seen: string[] = []
  let inside = 0
  let most = 0
  const work = (name: string, fails = false) =>
    gate.run(async () => {
      most = Math.max(most, ++inside)
      seen.push(name)
      await new Promise(resolve => setImmediate(resolve))
      inside--
      if (fails) throw new Error(name)
      return name
    })
  const outcomes = await Promise.allSettled([work('a'), work('b', true), work('c'), work('d'), work('e')])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
  expect({ seen, most, inside }).toEqual({ seen: ['a', 'b', 'c', 'd', 'e'], most: 2, inside: 0 })
  expect(await gate.run(async () => 1)).toBe(1)
})
