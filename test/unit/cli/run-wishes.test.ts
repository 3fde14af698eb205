import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { OutputRelay, refuseSecrets } from '../../../src/build/executor/secrets.ts'
import { parseSecrets, runWishes } from '../../../src/cli/run-wishes.ts'

describe('--secret', () => {
  it.each([
    ['id=a,src=f', { from: 'file', path: resolve('f') }],
    ['source=f,id=a', { from: 'file', path: resolve('f') }],
    ['id=a,env=B', { from: 'environment', name: 'B' }],
    ['type=env,id=a', { from: 'environment', name: 'a' }],
    ['type=file,id=HERE', { from: 'file', path: resolve('HERE') }],
    ['id=HERE', { from: 'environment', name: 'HERE' }],
    ['id=a', { from: 'file', path: resolve('a') }],
  ])('%s', (value, source) => {
    expect([...parseSecrets([value], { HERE: 'x' }).values()]).toEqual([source])
  })

  it.each(['src=f', 'id=a,file=f', 'open-sesame'])('%s is refused, and not shown', value => {
    expect(() => parseSecrets([value], {})).toThrow(/reading --secret/)
    expect(() => parseSecrets(['id=a,word=open-sesame'], {})).not.toThrow(/open-sesame/)
  })
})

it('executors and toolboxes are looked up by name', () => {
  expect(runWishes({ executor: 'runc', toolbox: 'alpine:3' }, {})).toMatchObject({
    executor: 'runc',
    toolbox: 'docker.io/library/alpine:3',
  })
  expect(() => runWishes({ executor: 'bubblewarp' }, {})).toThrow(
    expect.objectContaining({ code: 'USAGE', hint: 'did you mean bubblewrap?' }),
  )
})

describe('secrets in what a command says and leaves', () => {
  it('are taken out, also where they come in pieces', () => {
    const said: string[] = []
    const relay = new OutputRelay([Buffer.from('sesame-4711\nsecond line\n')], (_, text) => said.push(text))
    for (const piece of ['open ses', 'ame-4', '711 now\nthen the second', ' line\nand no', ' end'])
      relay.push('stdout', piece)
    relay.flush()
    expect(said.join('')).toBe('open [redacted] now\nthen the [redacted]\nand no end')
  })

  it('are found across chunks', async () => {
    const inspect = refuseSecrets(new Map([['word', Buffer.from('sesame-4711\n')]]))
    const read = async (...chunks: string[]): Promise<number> => {
      let count = 0
      for await (const chunk of inspect(
        'etc/x',
        (async function* () {
          for (const chunk of chunks) yield Buffer.from(chunk)
        })(),
      ))
        count += chunk.length
      return count
    }
    expect(await read('sesame', ' 4711')).toBe(11)
    await expect(read('xx ses', 'ame-', '4711 yy')).rejects.toThrow('the command wrote the secret "word" into it')
  })
})
