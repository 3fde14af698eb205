import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { type Grant, Swarm } from '../../../src/deploy/fanout/swarm.ts'

const file = digestOf('file')
const other = digestOf('other')
const none = new Set<string>()
const { signal } = new AbortController()

/** Turns as they come: `b<a` where a gives to b, `a<` where the operator does. */
function watch(swarm: Swarm) {
  const grants: Grant[] = []
  const ask = (receiver: string, avoid = none, digest = file, until = signal): void =>
    void swarm.ask(digest, receiver, avoid, until).then(
      grant => grants.push(grant),
      () => undefined,
    )
  const turns = async (): Promise<string> => {
    await new Promise(resolve => setImmediate(resolve))
    return grants.map(grant => `${grant.receiver}<${grant.peer ?? ''}`).join(' ')
  }
  return { grants, ask, turns }
}

describe('the swarm', () => {
  it('lets the operator send once, and whoever has it pass it on, to one at a time', async () => {
    const swarm = new Swarm(['a', 'b', 'c', 'd'])
    const { grants, ask, turns } = watch(swarm)
    for (const name of ['a', 'b', 'c', 'd']) ask(name)
    expect(await turns()).toBe('a<')
    swarm.have(file, 'a')
    swarm.end(grants[0]!, 'done')
    expect(await turns()).toBe('a< b<a')
    swarm.have(file, 'b')
    swarm.end(grants[1]!, 'done')
    expect(await turns()).toBe('a< b<a c<b d<a')
  })

  it('serves first those who will serve, and leaves them the operator', async () => {
    const swarm = new Swarm(['b', 'c'])
    const { grants, ask, turns } = watch(swarm)
    ask('a')
    expect(await turns()).toBe('')
    ask('b')
    ask('c')
    expect(await turns()).toBe('b<')
    swarm.have(file, 'b')
    swarm.end(grants[0]!, 'done')
    expect(await turns()).toBe('b< c<b')
    swarm.insist(other, 'a')
    expect(await turns()).toBe('b< c<b')
  })

  it('sends to one who can pass nothing on when it has waited for long', async () => {
    const swarm = new Swarm(['b'])
    const { ask, turns } = watch(swarm)
    ask('a')
    expect(await turns()).toBe('')
    swarm.insist(file, 'a')
    expect(await turns()).toBe('a<')
  })

  it('sends to a second one when the first takes too long, not to a third', async () => {
    const swarm = new Swarm(['a', 'b', 'c'])
    const { grants, ask, turns } = watch(swarm)
    for (const name of ['a', 'b', 'c']) ask(name)
    expect(await turns()).toBe('a<')
    swarm.overdue(grants[0]!)
    expect(await turns()).toBe('a< b<')
    swarm.overdue(grants[1]!)
    expect(await turns()).toBe('a< b<')
    swarm.end(grants[0]!, 'failed')
    expect(await turns()).toBe('a< b< c<')
  })

  it('lets a slow receiver keep its peer from nobody', async () => {
    const swarm = new Swarm(['a', 'b', 'c'])
    const { grants, ask, turns } = watch(swarm)
    swarm.have(file, 'a')
    ask('b')
    ask('c')
    expect(await turns()).toBe('b<a')
    swarm.overdue(grants[0]!)
    expect(await turns()).toBe('b<a c<a')
  })

  it('asks a liar never again, and one that fails two in a row', async () => {
    const swarm = new Swarm(['a', 'b', 'c', 'd', 'e'])
    const { grants, ask, turns } = watch(swarm)
    swarm.have(file, 'a')
    ask('b')
    expect(await turns()).toBe('b<a')
    swarm.end(grants[0]!, 'lied')
    ask('b', new Set(['a']))
    expect(await turns()).toBe('b<a b<')
    swarm.have(file, 'b')
    swarm.end(grants[1]!, 'done')
    ask('c')
    ask('d')
    expect(await turns()).toBe('b<a b< c<b')
    swarm.end(grants[2]!, 'failed')
    ask('c', new Set(['b']))
    expect(await turns()).toBe('b<a b< c<b d<b c<')
    swarm.end(grants[3]!, 'failed')
    ask('e')
    expect(await turns()).toBe('b<a b< c<b d<b c<')
  })

  it('gives up passing on where three could be reached by nobody', async () => {
    const swarm = new Swarm(['a', 'b', 'c', 'd', 'e', 'f'])
    const { ask, turns } = watch(swarm)
    for (const name of ['a', 'b', 'c']) {
      swarm.have(file, name)
      swarm.lose(name)
    }
    for (const name of ['d', 'e', 'f']) ask(name)
    expect(await turns()).toBe('d< e< f<')
  })

  it('forgets who is interrupted', async () => {
    const swarm = new Swarm(['a', 'b', 'c'])
    const { grants, ask, turns } = watch(swarm)
    const stop = new AbortController()
    ask('a')
    ask('b', none, file, stop.signal)
    ask('c')
    stop.abort()
    expect(await turns()).toBe('a<')
    swarm.have(file, 'a')
    swarm.end(grants[0]!, 'done')
    expect(await turns()).toBe('a< c<a')
  })
})
