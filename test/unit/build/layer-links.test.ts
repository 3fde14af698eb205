import { expect, it } from 'vitest'
import { EntryHeaders } from '../../../src/build/layers/entry-header.ts'
import { packLayers, splitLayers } from '../../../src/build/layers/layer-spec.ts'
import type { LayerEntry, TreeFile } from '../../../src/build/tree.ts'
import { readTar, tarEnd } from '../../../src/io/tar.ts'

const file = (path: string, more: Partial<TreeFile> = {}): TreeFile => ({
  type: 'file',
  path,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  content: { from: 'memory', bytes: Buffer.alloc(0) },
  ...more,
})
const gone = (path: string): LayerEntry => ({ type: 'whiteout', path })
const shown = (entries: readonly LayerEntry[]): readonly string[] =>
  entries.map(({ type, path }) => (type === 'whiteout' ? `-${path}` : path))

it('links point at the first of them, and stay in its layer whatever their size', async () => {
  const size = 5 * 1024 * 1024
  const [spec, ...rest] = splitLayers(
    [file('z', { size, links: 'l' }), file('a', { size, links: 'l' }), file('m')],
    'RUN x',
  )
  expect([shown(spec!.entries), rest]).toEqual([['a', 'm', 'z'], []])
  const headers = new EntryHeaders(0)
  expect(spec!.entries.map(entry => headers.next(entry).hasContent)).toEqual([true, true, false])
})

it('deletions are written as image-spec has them', async () => {
  const headers = new EntryHeaders(0)
  const bytes = ['a/b', 'c'].map(path => headers.next(gone(path)).header)
  const source = (async function* () {
    yield Buffer.concat([...bytes, tarEnd])
  })()
  const names: string[] = []
  for await (const entry of readTar(source, 'test')) names.push(`${entry.path} ${entry.size} ${entry.mode}`)
  expect(names).toEqual(['a/.wh.b 0 0', '.wh.c 0 0'])
})

it('joined layers forget what the later one deletes or replaces, and still delete it below', () => {
  const one = { entries: [file('a/x'), file('a/y'), file('b'), file('c/d')], createdBy: '1' }
  const two = { entries: [gone('a/x'), file('b'), file('c')], createdBy: '2' }
  const three = { entries: [file('a/x')], createdBy: '3' }
  const [joined] = packLayers([one, two, three], 1)
  expect(shown(joined!.entries)).toEqual(['-a/x', 'a/x', 'a/y', 'b', 'c'])
})
