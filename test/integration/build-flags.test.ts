import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ImageConfig, Manifest } from '../../src/oci/image.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { writeContextFiles } from '../support/context-files.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { expectedTree } from '../support/expected-tree.ts'
import { gitIn, type GitServer, startGitServer } from '../support/git-server.ts'
import { startServer, type TestServer } from '../support/http-server.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { strayFiles } from '../support/store-check.ts'
import { listTree, treeDifferences } from '../support/tree-listing.ts'

interface Inspected {
  readonly digest: string
  readonly platforms: readonly { readonly manifest: Manifest; readonly config: ImageConfig }[]
}

let tools: ContainerTools
let registry: RealRegistry
let git: GitServer
let files: TestServer
let place: CloudimgPlace
let serial = 0

const at = (...parts: string[]): string => join(tools.home, ...parts)
const kubefile = String.raw`Kubefile = FROM scratch\nCOPY one d /app/\n`
const app = ['app/', 'app/one < one', 'app/two 0600 < d/two']

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  place = { home: at('home') }
  writeContextFiles(at('context'), ['one', 'd/two 0600', kubefile])
  await must(['tar', '-C', at('context'), '-cf', at('context.tar'), '.'])
  await writeFile(at('context.tgz'), gzipSync(await readFile(at('context.tar'))))
  await mkdir(at('served'))
  git = await startGitServer(at('served'))
  files = await startServer(async (request, response) => void response.end(await readFile(at(request.path.slice(1)))))
  writeContextFiles(at('repository'), [
    'deep/one',
    'deep/d/two 0600',
    `deep/${kubefile}`,
    'Other = FROM scratch\\nCOPY deep /app/\\n',
  ])
  const inRepository = gitIn(at('repository'))
  await inRepository('init', '-q', '.')
  await inRepository('add', '.')
  await inRepository('commit', '-qm', 'one')
  await inRepository('clone', '-q', '--bare', '.', at('served/cluster.git'))
})
afterAll(async () => {
  await files.close()
  await git[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
  await tools[Symbol.asyncDispose]()
})

async function treeOf(name: string): Promise<ReturnType<typeof listTree>> {
  const target = at(`tree-${++serial}`)
  await cloudimgJson(['unpack', name, target], place)
  return listTree(target)
}

async function buildTree(flags: readonly string[], where: CloudimgPlace = place) {
  const name = `flags:${++serial}`
  await cloudimgJson(['build', '-t', name, ...flags], where)
  return await treeOf(name)
}

type Tree = ReturnType<typeof listTree>

/** What is not as the lines of the Kubefile say. */
const otherThanApp = (tree: Tree): readonly object[] => treeDifferences(tree, expectedTree(app))

describe('the context is', () => {
  it('a tar on standard input, plain or packed, with the Kubefile inside', async () => {
    expect(otherThanApp(await buildTree(['-'], { ...place, input: await readFile(at('context.tar')) }))).toEqual([])
    expect(otherThanApp(await buildTree(['-'], { ...place, input: await readFile(at('context.tgz')) }))).toEqual([])
  })

  it('nothing, and standard input the Kubefile', async () => {
    const tree = await buildTree(['-'], { ...place, input: 'FROM scratch\nCOPY <<f /\ntext\nf\n' })
    expect([...tree.keys()]).toEqual(['f'])
  })

  it('a tar archive, here or at a URL; a URL of a Kubefile', async () => {
    expect(otherThanApp(await buildTree([at('context.tgz')]))).toEqual([])
    expect(otherThanApp(await buildTree([`${files.url}/context.tar`]))).toEqual([])
    await writeFile(at('Remote'), 'FROM scratch\nCOPY <<f /\ntext\nf\n')
    expect([...(await buildTree([`${files.url}/Remote`])).keys()]).toEqual(['f'])
  })

  it('a git repository, a directory of it, another Kubefile of it', async () => {
    const deep = await buildTree([`${git.url}/cluster.git#main:deep`])
    expect(treeDifferences(deep, expectedTree(['app/', 'app/one < deep/one', 'app/two < deep/d/two']))).toEqual([])
    const other = await buildTree(['-f', 'Other', `${git.url}/cluster.git`])
    expect([...other.keys()]).toEqual(['app', 'app/Kubefile', 'app/d', 'app/d/two', 'app/one'])
    expect(strayFiles(storeOf(place))).toEqual([])
  })

  it.each<[string, () => readonly string[], string]>([
    ['a file that is no archive', () => [at('context/one')], 'neither a directory nor a tar archive'],
    ['nowhere', () => [at('nowhere')], 'no such file'],
    ['a directory without a Kubefile', () => [at('context/d')], 'no such file'],
    ['an archive that has no such Kubefile', () => ['-f', '../secret', at('context.tar')], 'no such file'],
    ['standard input twice', () => ['-f', '-', '-'], 'cannot be both'],
    ['a Kubefile, and -f names another', () => ['-f', 'x', `${files.url}/Remote`], 'a Kubefile itself'],
  ])('not %s', async (_, args, message) => {
    await writeFile(at('secret'), 'FROM scratch\n')
    const failure = await cloudimgFailure(['build', ...args()], { ...place, input: 'FROM scratch\n' })
    expect(failure.message).toContain(message)
  })
})

describe('--build-context', () => {
  it('is a directory with its own .dockerignore, an archive, a URL or a git repository for COPY --from', async () => {
    writeContextFiles(at('more'), ['.dockerignore = gone\\n', 'kept', 'gone'])
    await writeFile(
      at('Named'),
      'FROM scratch\nCOPY --from=a . /a/\nCOPY --from=b one /b\nCOPY --from=c one /c\nCOPY --from=e deep/one /e\n',
    )
    const contexts = [
      `a=${at('more')}`,
      `b=${at('context.tgz')}`,
      `c=${files.url}/context.tar`,
      `e=${git.url}/cluster.git#main`,
    ]
    const flags = contexts.flatMap(context => ['--build-context', context])
    const tree = await buildTree([...flags, '-f', at('Named'), at('context')])
    const expected = ['a/', 'a/.dockerignore = gone\\n', 'a/kept < kept', 'b < one', 'c < one', 'e < deep/one']
    expect(treeDifferences(tree, expectedTree(expected))).toEqual([])
    // What came from outside is pinned.
    expect(await readFile(at('Named.lock'), 'utf8')).toMatch(/context\.tar"[\s\S]*gits:[\s\S]*cluster\.git#main/)
  })

  it('is an image of a registry or a layout for FROM and COPY, and comes before a stage of that name', async () => {
    const image = `${registry.host}/flags/base:1`
    await cloudimgJson(['build', '-t', image, at('context')], place)
    await cloudimgJson(['push', image], place)
    await cloudimgJson(['save', '-o', at('base.tar'), image], place)
    await cloudimgJson(['save', '--format', 'oci-dir', '-o', at('layout'), image], place)
    const fresh = { home: at('fresh') }
    await writeFile(
      at('Based'),
      'FROM scratch AS base\nCOPY nothing /\nFROM base\nCOPY --from=other /app/one /copied\n',
    )
    for (const [base, other] of [
      [`docker-image://${image}`, `oci-layout://${at('layout')}`],
      [`oci-layout://${at('layout')}:1`, `oci-layout://${at('base.tar')}`],
    ]) {
      const flags = [
        '--build-context',
        `base=${base}`,
        '--build-context',
        `other=${other}`,
        '--lock-file',
        at(`${++serial}.lock`),
      ]
      await cloudimgJson(['build', '-t', 'based', ...flags, '-f', at('Based'), at('context')], fresh)
      const target = at(`tree-${++serial}`)
      await cloudimgJson(['unpack', 'based', target], fresh)
      expect(treeDifferences(listTree(target), expectedTree([...app, 'copied < one']))).toEqual([])
    }
  })

  it.each<[string, string]>([
    ['a', 'it has not the form NAME=PLACE'],
    ['a=ftp://x', '"ftp" is no kind of place'],
    ['a=/no/where', 'no such file or directory'],
    ['a=-', 'standard input is no named context'],
  ])('%s is refused', async (flag, message) => {
    const failure = await cloudimgFailure(['build', '--build-context', flag, at('context')], place)
    expect(failure.message).toContain(message)
  })

  it('of a directory is no base', async () => {
    await writeFile(at('FromDirectory'), 'FROM a\n')
    const failure = await cloudimgFailure(
      ['build', '--build-context', `a=${at('context')}`, '-f', at('FromDirectory'), at('context')],
      place,
    )
    expect(failure.message).toContain('has "a" as a directory')
  })
})

describe('what the image says', () => {
  it('has the labels and annotations of the command line, over those of the Kubefile', async () => {
    await writeFile(at('Labelled'), 'FROM scratch\nCOPY one /\nLABEL a=kubefile b=kubefile\n')
    const annotations = [
      'x=1',
      'index:y=2',
      'index,manifest:z=3',
      'manifest-descriptor:w=4',
      'manifest[linux/arm64]:v=5',
      'manifest[linux/amd64]:u=6',
    ]
    const { index } = await cloudimgJson<{ index: `sha256:${string}` }>(
      [
        'build',
        '-t',
        'labelled',
        '-f',
        at('Labelled'),
        '--label',
        'a=flag',
        '--label',
        'c',
        '--platform',
        'linux/amd64',
        ...annotations.flatMap(text => ['--annotation', text]),
        at('context'),
      ],
      place,
    )
    const { platforms } = await cloudimgJson<Inspected>(['inspect', 'labelled'], place)
    expect(platforms[0]!.config.config?.Labels).toEqual({ a: 'flag', b: 'kubefile', c: '' })
    expect(platforms[0]!.manifest.annotations).toEqual({ x: '1', z: '3', u: '6' })
    const document = JSON.parse(await readFile(join(storeOf(place), 'blobs/sha256', index.slice(7)), 'utf8')) as {
      annotations: object
      manifests: readonly { annotations: object }[]
    }
    expect([document.annotations, document.manifests[0]!.annotations]).toEqual([{ y: '2', z: '3' }, { w: '4' }])
  })

  it.each([
    ['--annotation', 'x', 'it has not the form NAME=VALUE'],
    ['--annotation', 'layer:x=1', '"layer" is none of'],
    ['--label', '=x', 'the name is missing'],
    ['--output', 'type=zip,dest=x', 'type is none of'],
    ['--output', 'type=local', 'needs dest'],
    ['--no-cache-filter', 'none', 'has no stage "none"'],
  ])('%s %s is refused', async (flag, value, message) => {
    const failure = await cloudimgFailure(['build', flag, value, at('context')], place)
    expect([failure.exit, failure.message]).toEqual([2, expect.stringContaining(message)])
  })
})

describe('--output', () => {
  it('writes the tree as files, over those that are there, each platform by itself where there are several', async () => {
    await cloudimgJson(['build', '-o', at('out'), at('context')], place)
    expect(otherThanApp(listTree(at('out')))).toEqual([])
    await writeFile(at('out/app/one'), 'another')
    await writeFile(at('out/mine'), 'mine')
    await cloudimgJson(['build', '--output', `type=local,dest=${at('out')}`, at('context')], place)
    expect(treeDifferences(listTree(at('out')), expectedTree([...app, 'mine < mine']))).toEqual([])
    await cloudimgJson(['build', '-o', at('both'), '--platform', 'linux/amd64,linux/arm64', at('context')], place)
    for (const platform of ['linux_amd64', 'linux_arm64'])
      expect(otherThanApp(listTree(at('both', platform)))).toEqual([])
    await rm(at('out/app'), { recursive: true })
    await writeFile(at('out/app'), 'in the way')
    const failure = await cloudimgFailure(['build', '-o', at('out'), at('context')], place)
    expect(failure.message).toContain('a file is there, and the image has a directory')
    expect((await readFile(at('out/app'), 'utf8')).trim()).toBe('in the way')
  })

  it('writes the tree as a tar, to a file or to standard output, and nothing beside', async () => {
    await cloudimgJson(['build', '-o', `type=tar,dest=${at('out.tar')}`, at('context')], place)
    const { stdout, code } = await cloudimg(['build', '-o', '-', at('context')], place)
    expect([code, Buffer.from(stdout).equals(await readFile(at('out.tar')))]).toEqual([0, true])
    await mkdir(at('untarred'))
    await must(['tar', '-C', at('untarred'), '-xpf', at('out.tar')])
    expect(otherThanApp(listTree(at('untarred')))).toEqual([])
  })

  it('writes an OCI archive or layout that skopeo reads', async () => {
    const { index } = await cloudimgJson<{ index: string }>(
      [
        'build',
        '-t',
        'archived:1',
        '-o',
        `type=oci,dest=${at('oci.tar')}`,
        '-o',
        `type=oci,tar=false,dest=${at('oci')}`,
        at('context'),
      ],
      place,
    )
    for (const image of [`oci-archive:${at('oci.tar')}`, `oci:${at('oci')}:1`])
      expect(JSON.parse(await tools.skopeo(['inspect', '--raw', image]))).toMatchObject({ schemaVersion: 2 })
    expect(await readFile(at('oci/index.json'), 'utf8')).toContain(index)
  })
})

describe('what a build leaves for scripts', () => {
  it('is the digest in a file, JSON in a file, and with -q the digest alone', async () => {
    const flags = ['--iidfile', at('iid'), '--metadata-file', at('metadata.json')]
    const { index } = await cloudimgJson<{ index: string }>(['build', '-t', 'left', ...flags, at('context')], place)
    expect(await readFile(at('iid'), 'utf8')).toBe(index)
    expect(JSON.parse(await readFile(at('metadata.json'), 'utf8'))).toMatchObject({
      'containerimage.digest': index,
      'image.name': 'left:latest',
      'cloudimg.build': { index, tags: ['left:latest'] },
    })
    const { stdout } = await cloudimg(['build', '-q', at('context')], place)
    expect(stdout.trim()).toBe(index)
  })
})

describe('--no-cache', () => {
  it('makes every layer anew, or those of a stage, to the same digests', async () => {
    await writeFile(at('Staged'), 'FROM scratch AS low\nCOPY one /one\nFROM low\nCOPY d /d\n')
    const cachedBy = async (...flags: string[]) => {
      const { index, platforms } = await cloudimgJson<{ index: string; platforms: readonly { cached: number }[] }>(
        ['build', ...flags, '-f', at('Staged'), at('context')],
        place,
      )
      return [index, platforms[0]!.cached] as const
    }
    const [index] = await cachedBy()
    expect(await cachedBy()).toEqual([index, 2])
    expect(await cachedBy('--no-cache')).toEqual([index, 0])
    expect(await cachedBy('--no-cache-filter', 'low')).toEqual([index, 1])
    expect(await cachedBy('--no-cache-filter', 'low,1')).toEqual([index, 0])
  })
})
