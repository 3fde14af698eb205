import { describe, expect, it } from 'vitest'
import type { ReadEntry } from '../../../src/io/tar.ts'
import { MergedTree } from '../../../src/oci/merged-tree.ts'

type Short = string | [path: string, type: ReadEntry['type'], link?: string]

function entry(short: Short): ReadEntry {
  const [path, type, linkTarget] =
    typeof short === 'string' ? [short, short.endsWith('/') ? ('directory' as const) : ('file' as const)] : short
  return {
    path,
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    contentOffset: 0,
    ...(linkTarget === undefined ? {} : { linkTarget }),
    async *content() {},
  }
}

function merge(...layers: readonly (readonly Short[])[]): string[] {
  const tree = new MergedTree()
  for (const layer of layers) {
    tree.beginLayer()
    for (const short of layer) tree.add(entry(short), 'test')
  }
  return [...tree.entries()].map(([path, node]) => (node.type === 'directory' ? `${path}/` : path))
}

describe('layers applied in order', () => {
  it.each<[string, readonly (readonly Short[])[], readonly string[]]>([
    ['add up', [['a/', 'a/x'], ['a/y']], ['a/', 'a/x', 'a/y']],
    ['make missing parents', [['a/b/c']], ['a/', 'a/b/', 'a/b/c']],
    ['keep children under a directory that comes again', [['a/', 'a/x'], ['a/']], ['a/', 'a/x']],
    ['replace a directory by a file, children and all', [['a/', 'a/x'], ['a']], ['a']],
    ['replace a file by a directory', [['a'], ['a/', 'a/x']], ['a/', 'a/x']],
    ['delete by whiteout', [['a/', 'a/x', 'a/y'], ['a/.wh.x']], ['a/', 'a/y']],
    ['delete a directory by whiteout', [['a/', 'a/b/', 'a/b/x'], ['a/.wh.b']], ['a/']],
    [
      'hide all of a directory by an opaque mark',
      [
        ['a/', 'a/x', 'a/b/', 'a/b/y'],
        ['a/', 'a/.wh..wh..opq', 'a/z'],
      ],
      ['a/', 'a/z'],
    ],
    ['keep what the same layer brings, whiteout first', [['a/x'], ['a/.wh.x', 'a/x']], ['a/', 'a/x']],
    ['keep what the same layer brings, whiteout last', [['a/x'], ['a/x', 'a/.wh.x']], ['a/', 'a/x']],
    [
      'keep what the same layer brings, opaque mark last',
      [
        ['a/x', 'a/y'],
        ['a/y', 'a/.wh..wh..opq'],
      ],
      ['a/', 'a/y'],
    ],
    ['take a whiteout of nothing', [['a'], ['.wh.b']], ['a']],
    [
      'take a whiteout through a link',
      [['real/', 'real/x', ['link', 'symlink', 'real']], ['link/.wh.x']],
      ['link', 'real/'],
    ],
    ['delete a link by whiteout, not what it leads to', [['d/x', ['l', 'symlink', 'd']], ['.wh.l']], ['d/', 'd/x']],
    [
      'keep a hard link of the same layer to a lower file, whiteout last',
      [['a'], [['b', 'hardlink', 'a'], '.wh.b', '.wh.a']],
      ['b'],
    ],
    [
      'keep such a link, too, where its directory comes again',
      [
        ['d/', 'd/a'],
        [['d/b', 'hardlink', 'd/a'], 'd/', 'd/.wh.b'],
      ],
      ['d/', 'd/a', 'd/b'],
    ],
    ['delete one name of two hard links', [['a', ['b', 'hardlink', 'a']], ['.wh.a']], ['b']],
    [
      'replace one name of two hard links',
      [
        ['a', ['b', 'hardlink', 'a']],
        ['b/', 'b/x'],
      ],
      ['a', 'b/', 'b/x'],
    ],
    [
      'make a hard link through a linked directory',
      [['real/', 'real/x', ['link', 'symlink', 'real'], ['h', 'hardlink', 'link/x']]],
      ['h', 'link', 'real/', 'real/x'],
    ],
    [
      'replace a linked directory by a directory',
      [
        ['real/x', ['d', 'symlink', 'real']],
        ['d/', 'd/y'],
      ],
      ['d/', 'd/y', 'real/', 'real/x'],
    ],
    ['replace a lower file by the directory above an entry', [['a'], ['a/x']], ['a/', 'a/x']],
    [
      'hide deep, keep what is deeper in the same layer',
      [['a/b/c/x'], ['a/b/c/y', 'a/.wh..wh..opq']],
      ['a/', 'a/b/', 'a/b/c/', 'a/b/c/y'],
    ],
    [
      'hide at the root',
      [
        ['a', 'b/', 'b/x'],
        ['.wh..wh..opq', 'c'],
      ],
      ['c'],
    ],
    ['give a name three layers long', [['a'], ['.wh.a'], ['a/', 'a/x']], ['a/', 'a/x']],
    [
      'order names by bytes',
      [['a-', 'a/', 'a/x', 'a.', 'Z', '\u{1F600}', '\uFFFD']],
      ['Z', 'a/', 'a/x', 'a-', 'a.', '\uFFFD', '\u{1F600}'],
    ],
    [
      'follow links inside the tree',
      [['real/', ['link', 'symlink', '/real']], ['link/x']],
      ['link', 'real/', 'real/x'],
    ],
    ['never leave the tree through a link', [[['up', 'symlink', '../../..']], ['up/x']], ['up', 'x']],
  ])('%s', (_, layers, expected) => {
    expect(merge(...layers)).toEqual(expected)
  })

  it.each<[string, readonly (readonly Short[])[], string, number]>([
    ['by the last entry', [['d/'], ['d/']], 'd', 0o644],
    ['plain, where nobody says', [['d/x']], 'd', 0o755],
    [
      'plain, where only a lower layer said and an opaque mark hid that',
      [
        ['d/', 'd/e/', 'd/e/x'],
        ['d/e/y', 'd/.wh..wh..opq'],
      ],
      'd/e',
      0o755,
    ],
    [
      'plain again after a whiteout',
      [
        ['d/', 'd/x'],
        ['d/y', '.wh.d'],
      ],
      'd',
      0o755,
    ],
    ['as the lower layer said, where only its children change', [['d/', 'd/x'], ['d/y']], 'd', 0o644],
  ])('gives directories their mode %s', (_, layers, path, mode) => {
    const tree = new MergedTree()
    for (const layer of layers) {
      tree.beginLayer()
      for (const short of layer) tree.add(entry(short), 'test')
    }
    expect(tree.lookup(path.split('/'))).toMatchObject({ type: 'directory', mode })
  })

  it('is quick where everything is hidden again and again', () => {
    const tree = new MergedTree()
    tree.beginLayer()
    for (let i = 0; i < 20_000; i++) tree.add(entry(`d/${i}`), 'test')
    tree.beginLayer()
    for (let i = 0; i < 20_000; i++) {
      tree.add(entry(`d/new${i}`), 'test')
      tree.add(entry('d/.wh..wh..opq'), 'test')
      tree.add(entry('.wh.d'), 'test')
    }
    expect([...tree.entries()]).toHaveLength(20_001)
  }, 60_000)

  it('lists what is wider and deeper than a stack', () => {
    const tree = new MergedTree()
    tree.beginLayer()
    for (let i = 0; i < 130_000; i++) tree.add(entry(`w/${i}`), 'test')
    tree.add(entry(`${'d/'.repeat(2000)}x`), 'test')
    expect([...tree.entries()]).toHaveLength(132_002)
  }, 60_000)

  it('lets hard links share a node', () => {
    const tree = new MergedTree()
    tree.beginLayer()
    for (const short of ['a', ['b', 'hardlink', 'a']] as Short[]) tree.add(entry(short), 'test')
    expect(tree.lookup(['a'])).toBe(tree.lookup(['b']))
  })

  it.each<[string, Short, string]>([
    ['a path upward', '../x', 'UNSAFE_ARCHIVE'],
    ['a path upward inside', 'a/../../x', 'UNSAFE_ARCHIVE'],
    ['a hard link upward', ['x', 'hardlink', '../../etc/passwd'], 'UNSAFE_ARCHIVE'],
    ['a hard link to nothing', ['x', 'hardlink', 'nothing'], 'IMAGE_INVALID'],
    ['a NUL in a name', 'a\0b', 'UNSAFE_ARCHIVE'],
    ['a name that no file system takes', 'n'.repeat(300), 'UNSAFE_ARCHIVE'],
    ['a whiteout without a name', '.wh.', 'IMAGE_INVALID'],
  ])('refuses %s', (_, short, code) => {
    expect(() => merge([short])).toThrow(expect.objectContaining({ code }))
  })

  it('refuses links that run in circles', () => {
    expect(() => merge([['a', 'symlink', 'b'], ['b', 'symlink', 'a'], 'a/x'] as Short[])).toThrow(
      expect.objectContaining({ code: 'UNSAFE_ARCHIVE' }),
    )
  })
})
