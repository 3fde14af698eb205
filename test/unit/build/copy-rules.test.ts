import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openContext } from '../../../src/build/context.ts'
import { copyFrom, type CopyRequest } from '../../../src/build/copy-rules.ts'
import { contextSource, contextSources, treeSource } from '../../../src/build/copy-source.ts'
import { parseFileMode } from '../../../src/build/file-mode.ts'
import { BuildTree, type TreeEntry } from '../../../src/build/tree.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cloudimg-context-'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** `a/b` a file that holds its own path, `a/` a directory, `a -> b` a link, `a 0755` a file with a mode. */
function make(...items: readonly string[]): void {
  for (const item of items) {
    const [path = '', arrow, target = ''] = item.split(' ')
    const full = join(root, path)
    mkdirSync(path.endsWith('/') ? full : dirname(full), { recursive: true })
    if (arrow === '->') symlinkSync(target, full)
    else if (!path.endsWith('/')) {
      writeFileSync(full, path)
      chmodSync(full, arrow === undefined ? 0o644 : Number.parseInt(arrow, 8))
    }
  }
}

const plain = {
  owner: undefined,
  mode: undefined,
  wellKnownNames: true,
  link: false,
  parents: false,
  exclude: [],
} as const satisfies Partial<CopyRequest>

const paths = (sources: readonly string[]): CopyRequest['sources'] => sources.map(path => ({ kind: 'path', path }))

async function copy(
  sources: readonly string[],
  target: string,
  more: Partial<CopyRequest> = {},
  tree = new BuildTree(),
) {
  const context = await openContext(root, undefined)
  const result = copyFrom(contextSource(context), tree, { ...plain, sources: paths(sources), target, ...more })
  for (const entry of result.entries) tree.put(entry)
  return { ...result, tree, paths: result.entries.map(shape).sort() }
}

function shape(entry: TreeEntry): string {
  if (entry.type === 'directory') return `${entry.path}/`
  return entry.type === 'symlink' ? `${entry.path} -> ${entry.linkTarget}` : entry.path
}

describe('what COPY puts where (facts/oci.md §4.4)', () => {
  it.each<[string, readonly string[], readonly string[], string, readonly string[]]>([
    ['a file to a name', ['f'], ['f'], 'g', ['g']],
    ['a file to a new directory by the slash', ['f'], ['f'], 'd/', ['d/', 'd/f']],
    ['a file to the root', ['f'], ['f'], '.', ['f']],
    ['a file below directories that are made', ['f'], ['f'], '/a/b/g', ['a/', 'a/b/', 'a/b/g']],
    ['what is in a directory, not the directory', ['d/x', 'd/e/y'], ['d'], 'o', ['o/', 'o/e/', 'o/e/y', 'o/x']],
    ['the same with a slash behind the source', ['d/x'], ['d/'], 'o', ['o/', 'o/x']],
    ['the whole context', ['a', 'b/c'], ['.'], '.', ['a', 'b/', 'b/c']],
    ['several sources', ['a', 'b'], ['a', 'b'], 'd/', ['d/', 'd/a', 'd/b']],
    ['what a wildcard matches', ['a.txt', 'b.txt', 'c'], ['*.txt'], 'd/', ['d/', 'd/a.txt', 'd/b.txt']],
    ['a class', ['a1', 'a2', 'b1'], ['[ab]1'], 'd/', ['d/', 'd/a1', 'd/b1']],
    ['one match of a wildcard to a name', ['a.txt'], ['*.txt'], 'g', ['g']],
    ['a wildcard below a directory', ['d/x/f', 'd/y/f'], ['d/*/f'], '.', ['f']],
    ['two stars as one', ['d/x/f', 'd/x/y/f'], ['d/**/f'], '.', ['f']],
    ['a path that climbs is clamped to the context', ['f'], ['../../f'], 'g', ['g']],
    ['a leading slash is the context', ['f'], ['/f'], 'g', ['g']],
    ['links inside as links', ['d/f', 'd/l -> f'], ['d'], 'o', ['o/', 'o/f', 'o/l -> f']],
    ['the target of a link at the top', ['f', 'l -> f'], ['l'], 'd/', ['d/', 'd/l']],
    [
      'imageList into manifests/, though no slash says so',
      ['imageList'],
      ['imageList'],
      'manifests',
      ['manifests/', 'manifests/imageList'],
    ],
  ])('%s', async (_, files, sources, target, expected) => {
    make(...files)
    expect((await copy(sources, target)).paths).toEqual([...expected].sort())
  })

  it('puts a file into a directory that is there, slash or not', async () => {
    make('d/x', 'f')
    const { tree } = await copy(['d'], 'o')
    expect((await copy(['f'], 'o', {}, tree)).paths).toEqual(['o/f'])
  })

  it('takes manifests for a name only where nothing of that name is', async () => {
    make('imageList', 'f')
    const { tree } = await copy(['f'], 'manifests', { wellKnownNames: false })
    expect((await copy(['imageList'], 'manifests', {}, tree)).paths).toEqual(['manifests'])
  })

  it('keeps modes, whatever the umask, and replaces them by --chmod, directories too', async () => {
    make('d/s 4755', 'd/e/f 0600')
    const modes = (entries: readonly TreeEntry[]) =>
      Object.fromEntries(entries.map(entry => [entry.path, entry.mode.toString(8)]))
    chmodSync(join(root, 'd/e'), 0o711)
    chmodSync(join(root, 'd'), 0o755)
    expect(modes((await copy(['d'], 'o')).entries)).toEqual({ o: '755', 'o/s': '4755', 'o/e': '711', 'o/e/f': '600' })
    expect(modes((await copy(['d'], 'o', { mode: parseFileMode('0640') })).entries)).toEqual({
      o: '640',
      'o/s': '640',
      'o/e': '640',
      'o/e/f': '640',
    })
  })

  it('leaves out what .dockerignore names, and takes back its exceptions', async () => {
    make('a/x', 'a/keep', 'b', 'Kubefile.lock')
    writeFileSync(join(root, '.dockerignore'), 'a\n!a/keep\n.dockerignore\n')
    expect((await copy(['.'], '.')).paths).toEqual(['Kubefile.lock', 'a/keep', 'b'].concat('a/').sort())
  })

  it('never takes the lock of the Kubefile', async () => {
    make('Kubefile', 'Kubefile.lock', 'x')
    const context = await openContext(root, join(root, 'Kubefile'))
    const request = { ...plain, sources: paths(['.']), target: '.' }
    expect(copyFrom(contextSource(context), new BuildTree(), request).entries.map(shape)).toEqual(['Kubefile', 'x'])
  })

  it('warns of directories that a wildcard flattens, by name', async () => {
    make('rootfs/bin/x', 'rootfs/f')
    const { paths, warnings } = await copy(['rootfs/*'], '.')
    expect(paths).toEqual(['f', 'x'])
    expect(warnings).toEqual([
      expect.objectContaining({ code: 'wildcard-flattens', message: expect.stringContaining('rootfs/bin/') as string }),
    ])
  })
})

describe('what COPY refuses', () => {
  it.each<[string, readonly string[], readonly string[], string, RegExp]>([
    ['a source that is not there', ['f'], ['g'], '.', /copying "g": no such file/],
    ['a wildcard that matches nothing', ['f'], ['*.txt'], '.', /copying nothing/],
    ['an empty directory into the root', ['d/'], ['d'], '.', /copying nothing/],
    ['several sources to a name', ['a', 'b'], ['a', 'b'], 'c', /copying 2 sources to "c"/],
    ['a link out of the context', ['l -> /etc/hostname'], ['l'], '.', /leads outside/],
    ['a name that means deletion', ['.wh.x'], ['.wh.x'], '.', /mean deletion/],
  ])('%s', async (_, files, sources, target, message) => {
    make(...files)
    await expect(copy(sources, target)).rejects.toMatchObject({
      code: 'CONTEXT_INVALID',
      message: expect.stringMatching(message) as string,
    })
  })

  it.each<[string, readonly string[], string, readonly string[], string]>([
    ['a file over a directory', ['d/x/y', 'x'], 'o', ['d'], 'o/x'],
    ['a directory over a file', ['d/x', 'e/x/y'], 'o', ['d'], 'o'],
  ])('%s', async (_, files, target, first, second) => {
    make(...files)
    const { tree } = await copy(first, target)
    const sources = second === 'o' ? ['e'] : ['x']
    await expect(copy(sources, second === 'o' ? 'o' : 'o/', {}, tree)).rejects.toMatchObject({
      code: 'CONTEXT_INVALID',
    })
  })
})

describe('COPY --parents', () => {
  it.each<[string, readonly string[], readonly string[], string, readonly string[]]>([
    [
      'keeps the directories of a file',
      ['x/a.txt', 'y/a.txt'],
      ['./x/a.txt', './y/a.txt'],
      '/p/',
      ['p/', 'p/x/', 'p/x/a.txt', 'p/y/', 'p/y/a.txt'],
    ],
    ['keeps those of a directory', ['x/d/f'], ['x/d'], '/', ['x/', 'x/d/', 'x/d/f']],
    ['begins at the pivot', ['x/y/z/f'], ['x/./y/z/f'], 'p', ['p/', 'p/y/', 'p/y/z/', 'p/y/z/f']],
    [
      'begins at the pivot, its own directory left out',
      ['x/y/f', 'x/g'],
      ['x/./*'],
      'p',
      ['p/', 'p/g', 'p/y/', 'p/y/f'],
    ],
    [
      'takes ** for any number of directories',
      ['a/go.mod', 'b/c/go.mod', 'b/x', 'go.mod'],
      ['**/go.mod'],
      '/',
      ['a/', 'a/go.mod', 'b/', 'b/c/', 'b/c/go.mod', 'go.mod'],
    ],
    ['takes one * for one', ['a/f', 'a/b/f'], ['a/*/f'], '/', ['a/', 'a/b/', 'a/b/f']],
    ['takes everything', ['a/f', 'g'], ['.'], 'p', ['p/', 'p/a/', 'p/a/f', 'p/g']],
  ])('%s', async (_, files, sources, target, expected) => {
    make(...files)
    expect((await copy(sources, target, { parents: true })).paths).toEqual([...expected].sort())
  })

  it('gives parents the modes that they have in the source', async () => {
    make('a/b/f')
    chmodSync(join(root, 'a'), 0o750)
    const { entries } = await copy(['a/b/f'], 'p/', { parents: true })
    expect(entries.map(entry => [entry.path, entry.mode.toString(8)])).toContainEqual(['p/a', '750'])
    expect(entries.map(entry => [entry.path, entry.mode.toString(8)])).toContainEqual(['p', '755'])
  })

  it('refuses a source that is not there', async () => {
    make('f')
    await expect(copy(['a/g'], '/', { parents: true })).rejects.toMatchObject({
      message: expect.stringMatching(/^copying "a\/g": no such file/) as string,
    })
  })
})

describe('COPY --exclude', () => {
  it.each<[string, readonly string[], readonly string[], readonly string[], readonly string[]]>([
    ['what is directly in a directory', ['d/a.md', 'd/e/b.md', 'd/c'], ['d'], ['*.md'], ['o/c', 'o/e/', 'o/e/b.md']],
    ['at any depth', ['d/a.md', 'd/e/b.md', 'd/c'], ['d'], ['**/*.md'], ['o/c', 'o/e/']],
    ['a directory with all in it', ['d/e/b', 'd/c'], ['d'], ['e'], ['o/c']],
    ['but what an exception takes back', ['d/a.md', 'd/b.md'], ['d'], ['*.md', '!b.md'], ['o/b.md']],
    ['files by their names', ['a.md', 'a.txt'], ['a.*'], ['*.md'], ['o/a.txt']],
  ])('leaves out %s', async (_, files, sources, exclude, expected) => {
    make(...files)
    expect((await copy(sources, 'o/', { exclude })).paths).toEqual(['o/', ...expected].sort())
  })

  it('holds for --parents too', async () => {
    make('d/a.md', 'd/b')
    expect((await copy(['d'], '/', { exclude: ['**/*.md'], parents: true })).paths).toEqual(['d/', 'd/b'])
  })
})

describe('links in the tree', () => {
  const tree = (): BuildTree => {
    const made = new BuildTree()
    const attributes = { uid: 0, gid: 0 }
    for (const path of ['usr', 'usr/bin', 'tmp']) made.put({ type: 'directory', path, mode: 0o1777, ...attributes })
    for (const [path, linkTarget] of [
      ['bin', 'usr/bin'],
      ['up', '../../../tmp'],
      ['abs', '/usr'],
      ['round', 'round'],
    ] as const)
      made.put({ type: 'symlink', path, linkTarget, mode: 0o777, ...attributes })
    return made
  }

  it.each([
    ['bin/', ['usr/bin/f']],
    ['bin', ['usr/bin/f']],
    ['bin/new', ['usr/bin/new']],
    ['up/', ['tmp/f']],
    ['abs/bin/x/', ['usr/bin/x/', 'usr/bin/x/f']],
  ])('are followed, inside the tree: %s', async (target, expected) => {
    make('f')
    expect((await copy(['f'], target, {}, tree())).paths).toEqual(expected)
  })

  it('that run in a circle are an error', async () => {
    make('f')
    await expect(copy(['f'], 'round/', {}, tree())).rejects.toMatchObject({ code: 'CONTEXT_INVALID' })
  })

  it('are not followed by --link, which brings all parents along and loses nothing', async () => {
    make('f')
    const { entries } = await copy(['f'], 'usr/bin/x/', { link: true }, tree())
    expect(entries.map(entry => [shape(entry), entry.mode.toString(8)])).toEqual([
      ['usr/', '755'],
      ['usr/bin/', '755'],
      ['usr/bin/x/', '755'],
      ['usr/bin/x/f', '644'],
    ])
    await expect(copy(['f'], 'bin/', { link: true }, tree())).rejects.toMatchObject({ code: 'CONTEXT_INVALID' })
  })
})

describe('another tree as the source', () => {
  it('keeps owners and attributes, follows links at the top, and takes wildcards', async () => {
    const from = new BuildTree()
    const content = { from: 'memory', bytes: Buffer.from('x') } as const
    const xattrs = { 'security.capability': Buffer.from([1]) }
    from.put({ type: 'directory', path: 'd', mode: 0o700, uid: 5, gid: 6 })
    from.put({ type: 'file', path: 'd/f', mode: 0o755, uid: 7, gid: 8, size: 1, content, xattrs })
    from.put({ type: 'symlink', path: 'l', linkTarget: '/d', mode: 0o777, uid: 0, gid: 0 })
    const request = { ...plain, sources: paths(['l', 'd/*']), target: 'o/' }
    const { entries } = copyFrom(treeSource(from, 'stage "a"'), new BuildTree(), request)
    expect(entries).toEqual([
      { type: 'directory', path: 'o', mode: 0o755, uid: 0, gid: 0 },
      { type: 'file', path: 'o/f', mode: 0o755, uid: 7, gid: 8, size: 1, content, xattrs },
    ])
    const owned = copyFrom(treeSource(from, 'stage "a"'), new BuildTree(), { ...request, owner: { uid: 1, gid: 2 } })
    expect(owned.entries.map(({ uid, gid }) => [uid, gid])).toEqual([
      [1, 2],
      [1, 2],
    ])
    expect(() =>
      copyFrom(treeSource(from, 'stage "a"'), new BuildTree(), { ...request, sources: paths(['no']) }),
    ).toThrow('copying "no": no such file or directory in stage "a"')
  })
})

it('an ignored directory from which something is taken back has its own mode', async () => {
  make('a/x', 'a/keep', 'a/b/c/keep')
  chmodSync(join(root, 'a'), 0o700)
  chmodSync(join(root, 'a/b'), 0o711)
  writeFileSync(join(root, '.dockerignore'), 'a\n!a/b/c/keep\n.dockerignore\n')
  const { entries } = await copy(['.'], '.')
  expect(entries.map(entry => [shape(entry), entry.mode.toString(8)])).toEqual([
    ['a/', '700'],
    ['a/b/', '711'],
    ['a/b/c/', '755'],
    ['a/b/c/keep', '644'],
  ])
})

it('a build looks at a directory once, whatever number of platforms copy it; the next build looks again', async () => {
  make('a', 'b/c')
  const context = await openContext(root, undefined)
  const request = { ...plain, sources: paths(['.']), target: '/' }
  const [build, next] = [contextSources(), contextSources()]
  const copied = (sources: typeof build): readonly TreeEntry[] =>
    copyFrom(sources(context), new BuildTree(), request).entries
  const first = copied(build)
  make('d')
  expect(copied(build)).toEqual(first)
  expect(copied(build).find(({ path }) => path === 'a')).toBe(first.find(({ path }) => path === 'a'))
  expect(copied(next).map(shape).sort()).toEqual(['a', 'b/', 'b/c', 'd'])
})
