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
      'follow links inside the tree',
      [['real/', ['link', 'symlink', '/real']], ['link/x']],
      ['link', 'real/', 'real/x'],
    ],
    ['never leave the tree through a link', [[['up', 'symlink', '../../..']], ['up/x']], ['up', 'x']],
  ])('%s', (_, layers, expected) => {
    expect(merge(...layers)).toEqual(expected)
  })

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
