import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { differenceOf } from '../../../../src/build/executor/difference.ts'
import type { ReadableTree, RunResult } from '../../../../src/build/executor/executor.ts'
import { engineMade } from '../../../../src/build/executor/skeleton.ts'
import { BuildTree, type LayerEntry, type TreeEntry } from '../../../../src/build/tree.ts'
import { readContent } from '../../../../src/build/tree-content.ts'
import { encodeHeader, type TarEntry, tarEnd, tarPadding } from '../../../../src/io/tar.ts'
import { openStore, type Store } from '../../../../src/oci/store/store.ts'
import { testContext } from '../../../support/test-context.ts'

let home: string
let store: Store

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'difference-'))
  store = await openStore(home)
})
afterAll(async () => {
  await rm(home, { recursive: true })
})

type Left = Partial<TarEntry> & Pick<TarEntry, 'path'> & { readonly text?: string }

function entryOf(left: Left): TarEntry {
  const type = left.type ?? (left.path.endsWith('/') ? 'directory' : 'file')
  const mode = type === 'directory' ? 0o755 : 0o644
  return { mode, uid: 0, gid: 0, mtime: 12_345, size: Buffer.byteLength(left.text ?? ''), ...left, type }
}

async function* tarOf(entries: readonly Left[]): AsyncGenerator<Buffer> {
  for (const left of entries) {
    const { text = '' } = left
    yield encodeHeader({ ...entryOf(left), path: `./${left.path}` })
    if (text !== '') yield Buffer.concat([Buffer.from(text), tarPadding(Buffer.byteLength(text))])
  }
  yield tarEnd
}

function treeOf(entries: readonly Left[]): ReadableTree {
  const tree = new BuildTree()
  for (const left of entries) {
    const { type, mode, uid, gid, xattrs } = entryOf(left)
    const path = left.path.replace(/\/$/, '')
    const attributes = { path, mode, uid, gid, ...(xattrs === undefined ? {} : { xattrs }) }
    const bytes = Buffer.from(left.text ?? '')
    if (type === 'directory') tree.put({ ...attributes, type })
    else if (type === 'symlink') tree.put({ ...attributes, mode: 0o777, type, linkTarget: left.linkTarget ?? '' })
    else tree.put({ ...attributes, type: 'file', size: bytes.length, content: { from: 'memory', bytes } })
  }
  const read: ReadableTree['read'] = (file, ctx) => readContent(store, file, { offset: 0, length: file.size }, ctx)
  return { tree, read }
}

interface Case {
  readonly before: readonly Left[]
  readonly after: readonly Left[]
  readonly result?: Partial<RunResult>
  readonly places?: readonly string[]
}

async function difference({ before, after, result = {}, places = [] }: Case): Promise<readonly LayerEntry[]> {
  const isEngineMade = engineMade([], { isToolbox: false })
  const base = { kind: 'upper', owners: 'all', hasDevices: true, tar: tarOf(after) } as const
  const request = { result: { ...base, ...result }, before: treeOf(before), isEngineMade, places: new Set(places) }
  return await differenceOf(request, store, testContext())
}

const shown = (entries: readonly LayerEntry[]): readonly string[] =>
  entries.map(entry => (entry.type === 'whiteout' ? `-${entry.path}` : entry.path))

const base: readonly Left[] = [
  { path: 'a/' },
  { path: 'a/one', text: 'one' },
  { path: 'a/two', text: 'two' },
  { path: 'a/sub/' },
  { path: 'a/sub/x', text: 'x' },
  { path: 'link', type: 'symlink', linkTarget: 'a' },
]
const gone = { type: 'character-device', deviceMajor: 0, deviceMinor: 0 } as const
const opaque = { xattrs: { 'user.overlay.opaque': Buffer.from('y') } }
const capability = { xattrs: { 'security.capability': Buffer.from('0100000200040000', 'hex') } }

describe('what an overlay has above the tree', () => {
  it.each<[name: string, after: readonly Left[], expected: readonly string[]]>([
    ['nothing', [], []],
    ['a touched file', [{ path: 'a/' }, { path: 'a/one', text: 'one' }], []],
    ['another content of the same size', [{ path: 'a/' }, { path: 'a/one', text: 'eno' }], ['a/one']],
    ['another mode', [{ path: 'a/', mode: 0o700 }], ['a']],
    ['another owner', [{ path: 'a/one', text: 'one', gid: 5 }], ['a/one']],
    ['a capability', [{ path: 'a/one', text: 'one', ...capability }], ['a/one']],
    ['an attribute that layers do not keep', [{ path: 'a/', xattrs: { 'user.overlay.impure': Buffer.from('y') } }], []],
    ['another link target', [{ path: 'link', type: 'symlink', linkTarget: 'b' }], ['link']],
    ['the same link, whatever its mode', [{ path: 'link', type: 'symlink', linkTarget: 'a', mode: 0o600 }], []],
    ['deletions', [{ path: 'a/' }, { path: 'a/one', ...gone }, { path: 'a/sub', ...gone }], ['-a/one', '-a/sub']],
    ['a deletion of what no layer has', [{ path: 'never', ...gone }], []],
    [
      'a directory anew',
      [
        { path: 'a/', ...opaque },
        { path: 'a/one', text: 'one' },
      ],
      ['-a/sub', '-a/two'],
    ],
    ['a directory anew, in depth', [{ path: 'a/', ...opaque }, { path: 'a/sub/' }], ['-a/one', '-a/sub/x', '-a/two']],
    ['a file for a directory', [{ path: 'a', text: 'now a file' }], ['a']],
    [
      'a directory for a file',
      [{ path: 'a/' }, { path: 'a/one/' }, { path: 'a/one/y', text: 'y' }],
      ['a/one', 'a/one/y'],
    ],
    ['what engines mount', [{ path: 'proc/' }, { path: 'dev/' }, { path: 'dev/pts/' }, { path: 'sys/' }], []],
    [
      'links',
      [
        { path: 'n1', text: 'n' },
        { path: 'n2', type: 'hardlink', linkTarget: './n1' },
      ],
      ['n1', 'n2'],
    ],
  ])('%s', async (_, after, expected) => {
    expect(shown(await difference({ before: base, after }))).toEqual(expected)
  })

  it('ties links to each other, and keeps the bytes of both', async () => {
    const after: Left[] = [
      { path: 'z', text: 'linked' },
      { path: 'b', type: 'hardlink', linkTarget: './z' },
    ]
    const [first, second] = await difference({ before: base, after })
    expect([first, second]).toMatchObject([
      { path: 'b', type: 'file', size: 6 },
      { path: 'z', type: 'file', size: 6 },
    ])
    expect((first as TreeEntry & { links?: string }).links).toBe((second as TreeEntry & { links?: string }).links)
    const parts: Buffer[] = []
    if (second?.type === 'file') {
      for await (const part of readContent(store, second, { offset: 0, length: 6 }, testContext())) parts.push(part)
    }
    expect(Buffer.concat(parts).toString()).toBe('linked')
  })
})

describe('what a whole tree is afterwards', () => {
  const merged = { kind: 'merged' } as const
  const whole = base.map(left => ({ ...left }))

  it('is the same difference', async () => {
    expect(await difference({ before: base, after: whole, result: merged })).toEqual([])
    const after = whole.filter(({ path }) => path !== 'a/one' && !path.startsWith('a/sub'))
    expect(shown(await difference({ before: base, after, result: merged }))).toEqual(['-a/one', '-a/sub'])
  })

  it('has no device where none could be laid down', async () => {
    const before = treeOf(base)
    before.tree.put({
      type: 'character-device',
      path: 'node',
      mode: 0o600,
      uid: 0,
      gid: 0,
      deviceMajor: 1,
      deviceMinor: 3,
    })
    const request = { before, isEngineMade: () => false, places: new Set<string>() }
    const result = { ...merged, owners: 'all', tar: tarOf(whole) } as const
    expect(await differenceOf({ ...request, result: { ...result, hasDevices: false } }, store, testContext())).toEqual(
      [],
    )
    const again = { ...result, tar: tarOf(whole), hasDevices: true }
    expect(shown(await differenceOf({ ...request, result: again }, store, testContext()))).toEqual(['-node'])
  })

  it('keeps the owners that nobody could set', async () => {
    const owned = base.map(left => ({ ...left, uid: 7 }))
    const after = [
      ...whole.slice(0, 1),
      { path: 'a/one', text: 'changed' },
      ...whole.slice(2),
      { path: 'new', text: '' },
    ]
    const entries = await difference({ before: owned, after, result: { ...merged, owners: 'one' } })
    expect(entries).toMatchObject([
      { path: 'a/one', uid: 7 },
      { path: 'new', uid: 0 },
    ])
  })

  it('has places for mounts only where something else is in them', async () => {
    const places = ['etc', 'run', 'run/x']
    const empty: Left[] = [{ path: 'etc/' }, { path: 'run/' }, { path: 'run/x/' }]
    expect(await difference({ before: [], after: empty, places, result: merged })).toEqual([])
    const filled = [...empty, { path: 'run/x/file', text: '' }]
    expect(shown(await difference({ before: [], after: filled, places, result: merged }))).toEqual([
      'run',
      'run/x',
      'run/x/file',
    ])
  })

  it('has an engine’s marks only where the tree had them', async () => {
    const marks = ['etc/mtab', '.dockerenv']
    const after: Left[] = [
      { path: '.dockerenv' },
      { path: 'etc/' },
      { path: 'etc/mtab', type: 'symlink', linkTarget: '/proc/mounts' },
    ]
    expect(await difference({ before: [], after, result: { ...merged, marks } })).toEqual([])
  })

  it('may lie below a directory of the tar', async () => {
    const after = [{ path: 'usr/' }, { path: 'rootfs/' }, { path: 'rootfs/new', text: 'n' }]
    expect(shown(await difference({ before: [], after, result: { ...merged, prefix: 'rootfs' } }))).toEqual(['new'])
  })
})

it.each(['.wh.x', 'a/.wh..wh..opq'])('refuses "%s", which means something in layers', async path => {
  await expect(difference({ before: base, after: [{ path, text: '' }] })).rejects.toMatchObject({
    code: 'CONTEXT_INVALID',
  })
})
