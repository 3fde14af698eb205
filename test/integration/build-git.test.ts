import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { expectedTree } from '../support/expected-tree.ts'
import { gitIn, type GitServer, startGitServer } from '../support/git-server.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { strayFiles } from '../support/store-check.ts'
import { listTree, treeDifferences, type TreeListing } from '../support/tree-listing.ts'

let scratch: Scratch
let server: GitServer
let place: CloudimgPlace
let serial = 0
const commits = { first: '', second: '' }

const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  await mkdir(at('context'))
  await mkdir(at('served'))
  server = await startGitServer(at('served'))
  place = { home: at('home') }
  await makeRepositories()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

async function put(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true })
  await writeFile(at(path), content)
  await chmod(at(path), mode)
}

/** `main` at the second commit, the tag `v1` (annotated) and the branch `old` at the first; a submodule since the second. */
async function makeRepositories(): Promise<void> {
  await mkdir(at('part'))
  const part = gitIn(at('part'))
  await part('init', '-q', '.')
  await put('part/piece', 'piece\n')
  await part('add', '.')
  await part('commit', '-qm', 'piece')
  await mkdir(at('work'))
  const work = gitIn(at('work'))
  await work('init', '-q', '.')
  await put('work/readme', 'first\n')
  await put('work/sub/run', '#!/bin/sh\n', 0o755)
  // What git would do to files by their attributes: line ends yes, they are the repository's word; filters no.
  await put('work/.gitattributes', '*.txt text\n*.big filter=lfs\n*.own filter=own\n')
  await put('work/x.own', 'own\n')
  await put('work/x.txt', 'a\nb\n')
  await put('work/x.big', 'pointer\n')
  await symlink('sub/run', at('work/link'))
  await work('add', '.')
  await work('commit', '-qm', 'first')
  commits.first = await work('rev-parse', 'HEAD')
  await work('branch', 'old')
  await work('tag', '-a', 'v1', '-m', 'v1')
  await put('work/readme', 'second\n')
  await work('submodule', '--quiet', 'add', '../part', 'module')
  await work('config', '-f', '.gitmodules', 'submodule.module.url', '../part.git')
  await work('commit', '-qam', 'second')
  commits.second = await work('rev-parse', 'HEAD')
  await serve()
}

async function serve(): Promise<void> {
  for (const name of ['part', 'work']) {
    const git = gitIn(at(name))
    await git('push', '-q', '--mirror', at('served', `${name}.git`)).catch(async () => {
      await git('init', '-q', '--bare', at('served', `${name}.git`))
      await git('push', '-q', '--mirror', at('served', `${name}.git`))
    })
  }
}

const repository = (): string => `${server.url}/work.git`

interface Built {
  readonly tree: TreeListing
  readonly index: string
  readonly lock: string
}

async function build(lines: string, flags: readonly string[] = [], where = place, file?: string): Promise<Built> {
  const kubefile = file ?? at(`${++serial}.Kubefile`)
  await writeFile(kubefile, `FROM scratch\n${lines}\n`)
  const name = `git:${++serial}`
  const { index } = await cloudimgJson<{ index: string }>(
    ['build', '-f', kubefile, '-t', name, ...flags, at('context')],
    where,
  )
  await cloudimgJson(['unpack', name, at(`tree-${serial}`)], where)
  return { tree: listTree(at(`tree-${serial}`)), index, lock: await readFile(`${kubefile}.lock`, 'utf8') }
}

const first = [
  '.gitattributes = *.txt text\\n*.big filter=lfs\\n*.own filter=own\\n',
  'link -> sub/run',
  'readme = first\\n',
  'sub/',
  'sub/run 0755 = #!/bin/sh\\n',
  'x.big = pointer\\n',
  'x.own = own\\n',
  'x.txt = a\\nb\\n',
]

function below(directory: string, lines: readonly string[]): readonly string[] {
  return [`${directory}/`, ...lines.map(line => `${directory}/${line}`)]
}

describe('ADD of a git repository', () => {
  it.each([['v1'], ['old'], ['refs/heads/old'], ['refs/tags/v1']])('at %s lays its tree down', async ref => {
    const { tree, lock } = await build(`ADD ${repository()}#${ref} /src`)
    expect(treeDifferences(tree, expectedTree(below('src', first)))).toEqual([])
    expect(lock).toContain(`commit: "${commits.first}"`)
  })

  it('at a commit, at HEAD with submodules, in part, and by the words of a query', async () => {
    const byCommit = await build(`ADD ${repository()}#${commits.first} /`)
    expect(treeDifferences(byCommit.tree, expectedTree(first))).toEqual([])
    const head = await build(`ADD ${repository()} /src/`)
    expect(head.tree.get('src/readme')!.size).toBe('second\n'.length)
    expect(head.tree.get('src/module/piece')!.size).toBe('piece\n'.length)
    expect([...head.tree.keys()].filter(path => path.includes('.git/') || path.endsWith('/.git'))).toEqual([])
    const part = await build(`ADD --chown=3:4 ${repository()}#v1:sub /bin`)
    expect(treeDifferences(part.tree, expectedTree(['bin/ 3:4', 'bin/run 0755 3:4 = #!/bin/sh\\n']))).toEqual([])
    const query = await build(`ADD ${repository()}?tag=v1&subdir=sub /bin`)
    expect([...query.tree.keys()]).toEqual(['bin', 'bin/run'])
  })

  it('keeps .git by a flag, which git can read, the same bytes in every store', async () => {
    const lines = `ADD --keep-git-dir=true ${repository()}#v1 /src`
    const { tree, index } = await build(lines)
    expect(tree.get('src/.git')!.type).toBe('directory')
    const git = gitIn(at(`tree-${serial}`, 'src'))
    expect(await git('-c', 'safe.directory=*', 'rev-parse', 'HEAD')).toBe(commits.first)
    expect(await git('-c', 'safe.directory=*', 'status', '--porcelain')).toBe('')
    expect(await git('-c', 'safe.directory=*', 'remote', 'get-url', 'origin')).toBe(repository())
    const other = await build(lines, [], { home: at('other-home') })
    expect(other.index).toBe(index)
  })

  it('compares the commit with --checksum, whole or its first digits', async () => {
    await build(`ADD --checksum=${commits.first} ${repository()}#v1 /`)
    await build(`ADD --checksum=${commits.first.slice(0, 8)} ${repository()}#v1 /`)
    await writeFile(at('wrong'), `ADD --checksum=${commits.second} ${repository()}#v1 /\n`)
    const failure = await cloudimgFailure(['build', '-f', at('wrong'), at('context')], place)
    expect(failure.code).toBe('DIGEST_MISMATCH')
    expect(failure.message).toContain(`wanted commit ${commits.second}, found ${commits.first}`)
  })

  it('is pinned: the lock holds while the branch moves on, offline too', async () => {
    const file = at('pinned.Kubefile')
    await gitIn(at('work'))('branch', '-f', 'moving', commits.first)
    await serve()
    const before = await build(`ADD ${repository()}#moving /`, [], place, file)
    await gitIn(at('work'))('branch', '-f', 'moving', commits.second)
    await serve()
    const asked = server.count()
    const after = await build(`ADD ${repository()}#moving /`, ['--locked', '--offline'], place, file)
    expect([after.index, server.count()]).toEqual([before.index, asked])
    // Another store has nothing of it yet.
    const elsewhere = { home: at('elsewhere') }
    const offline = await cloudimgFailure(['build', '-f', file, '--offline', at('context')], elsewhere)
    expect([offline.code, server.count()]).toEqual(['OFFLINE', asked])
    expect((await build(`ADD ${repository()}#moving /`, ['--locked'], elsewhere, file)).index).toBe(before.index)
    await cloudimgJson(['lock', '-f', file, '--update', `${repository()}#moving`, at('context')], place)
    expect(await readFile(`${file}.lock`, 'utf8')).toContain(commits.second)
    const updated = await build(`ADD ${repository()}#moving /`, ['--locked'], place, file)
    expect(updated.tree.get('readme')!.size).toBe('second\n'.length)
    await writeFile(at('unlocked'), `ADD ${repository()}#v1 /\n`)
    const locked = await cloudimgFailure(['build', '-f', at('unlocked'), '--locked', at('context')], place)
    expect(locked.code).toBe('LOCK_MISMATCH')
  })

  it('comes from a mirror of this machine without a connection', async () => {
    const lines = 'ADD https://git.invalid/work.git#v1 /'
    const { tree } = await build(lines, ['--offline', '--mirror', `https://git.invalid=file://${at('served')}`], {
      home: at('mirrored'),
    })
    expect(treeDifferences(tree, expectedTree(first))).toEqual([])
  })

  it('runs no hook and no filter of the user, and asks nothing', async () => {
    const home = at('hooked')
    await put('hooked/hooks/post-checkout', `#!/bin/sh\ntouch ${at('hook-ran')}\n`, 0o755)
    await put(
      'hooked/.gitconfig',
      `[core]\n\thooksPath = ${home}/hooks\n\tautocrlf = true\n[filter "lfs"]\n\tsmudge = touch ${at('hook-ran')}\n` +
        `[filter "own"]\n\tsmudge = touch ${at('hook-ran')}\n\trequired = true\n`,
    )
    const env = { GIT_DIR: at('work/.git'), GIT_INDEX_FILE: at('nothing') }
    const { tree } = await build(`ADD ${repository()}#v1 /`, [], { home, env })
    expect(treeDifferences(tree, expectedTree(first))).toEqual([])
    // Submodules have repositories of their own.
    const whole = await build(`ADD ${repository()} /`, [], { home, env })
    expect(whole.tree.get('module/piece')!.size).toBe('piece\n'.length)
    await expect(readFile(at('hook-ran'))).rejects.toThrow('ENOENT')
  })

  it.each([
    ['#none', 'ARTIFACT_UNAVAILABLE', 'it has no none'],
    ['#v1:nowhere', 'KUBEFILE_INVALID', 'has no directory "nowhere"'],
    ['#v1:readme', 'KUBEFILE_INVALID', 'has no directory "readme"'],
    [`#${'0'.repeat(40)}`, 'ARTIFACT_UNAVAILABLE', ''],
  ])('with %s is refused', async (fragment, code, message) => {
    await writeFile(at('refused'), `ADD ${repository()}${fragment} /\n`)
    const failure = await cloudimgFailure(['build', '-f', at('refused'), at('context')], { home: at('refusing') })
    expect([failure.code, failure.message]).toEqual([code, expect.stringContaining(message)])
    expect(strayFiles(storeOf({ home: at('refusing') }))).toEqual([])
  })
})
