import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openContext } from '../../../src/build/context.ts'
import { copyFromContext, type CopyRequest } from '../../../src/build/copy-rules.ts'
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

async function copy(
  sources: readonly string[],
  target: string,
  more: Partial<CopyRequest> = {},
  tree = new BuildTree(),
) {
  const context = await openContext(root, undefined)
  const request = { sources, target, owner: { uid: 0, gid: 0 }, mode: undefined, wellKnownNames: true, ...more }
  const result = copyFromContext(context, tree, request)
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
    expect(modes((await copy(['d'], 'o', { mode: 0o640 })).entries)).toEqual({
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
    const request = { sources: ['.'], target: '.', owner: { uid: 0, gid: 0 }, mode: undefined, wellKnownNames: true }
    expect(copyFromContext(context, new BuildTree(), request).entries.map(shape)).toEqual(['Kubefile', 'x'])
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
