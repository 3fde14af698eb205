import { describe, expect, it } from 'vitest'
import { diffNames, type NamedImage } from '../../../src/prove/diff-images.ts'

const image = (name: string, seed?: string): NamedImage =>
  seed === undefined ? { name } : { name, digest: `sha256:${seed.padStart(64, '0')}` }

describe('diffNames', () => {
  it.each<[what: string, before: readonly NamedImage[], after: readonly NamedImage[], found: readonly string[]]>([
    ['nothing', [image('a.b/c:1', '1')], [image('a.b/c:1', '1')], []],
    ['added', [], [image('a.b/c:1', '1')], ['+ a.b/c:1']],
    ['removed', [image('a.b/c:1', '1')], [], ['- a.b/c:1']],
    ['another digest under the name', [image('a.b/c:1', '1')], [image('a.b/c:1', '2')], ['~ a.b/c:1 a.b/c:1']],
    ['another tag of the repository', [image('a.b/c:1', '1')], [image('a.b/c:2', '2')], ['~ a.b/c:1 a.b/c:2']],
    ['the same name on another registry', [image('a.b/c:1')], [image('x.y/c:1')], ['+ x.y/c:1', '- a.b/c:1']],
    [
      'several tags of one repository: nobody knows which became which',
      [image('a.b/c:1')],
      [image('a.b/c:2'), image('a.b/c:3')],
      ['+ a.b/c:2', '+ a.b/c:3', '- a.b/c:1'],
    ],
  ])('%s', (_, before, after, found) => {
    const { added, removed, moved } = diffNames(before, after)
    expect([
      ...added.map(({ name }) => `+ ${name}`),
      ...removed.map(({ name }) => `- ${name}`),
      ...moved.map(pair => `~ ${pair.before.name} ${pair.after.name}`),
    ]).toEqual(found)
  })
})
