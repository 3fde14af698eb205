import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { digestOf, hexOf } from '../../src/core/digest.ts'
import { encodeHeader, tarEnd, tarPadding, type TarEntry } from '../../src/io/tar.ts'
import type { ImageConfig, Manifest } from '../../src/oci/image.ts'
import { cloudimgFailure, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeTinyRelease, tinyVersion } from '../support/tiny-release.ts'
import { listTree, treeDifferences } from '../support/tree-listing.ts'

interface Inspected {
  readonly digest: string
  readonly platforms: readonly {
    readonly platform: string
    readonly digest: string
    readonly manifest: Manifest
    readonly config: ImageConfig
  }[]
}

let tools: ContainerTools
let registry: RealRegistry
let place: CloudimgPlace
let serial = 0

const at = (...parts: string[]): string => join(tools.home, ...parts)

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  place = { home: at('cloudimg') }
  await mkdir(at('context/d'), { recursive: true })
  await writeFile(at('context/one'), '1')
  await writeFile(at('context/d/two'), '2')
  await pushBase()
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

const base = (tag = '1'): string => `${registry.host}/from/base:${tag}`

/** Three layers by buildah, the last of which deletes what the first brought; two platforms. */
async function pushBase(): Promise<void> {
  await mkdir(at('base'))
  await writeFile(at('base/keep'), 'keep')
  await writeFile(at('base/gone'), 'gone')
  await tools.buildah(['manifest', 'create', base()])
  for (const arch of ['amd64', 'arm64']) {
    await writeFile(at('base/arch'), arch)
    await writeFile(at('Base'), 'FROM scratch\nCOPY . /old/\nCOPY arch /arch\n')
    const name = `localhost/step-${arch}`
    await tools.buildah([
      'bud',
      '-q',
      '--layers',
      '--platform',
      `linux/${arch}`,
      '-f',
      at('Base'),
      '-t',
      name,
      at('base'),
    ])
    const working = await tools.buildah(['from', '--pull-never', '--platform', `linux/${arch}`, name])
    const mount = await tools.buildah(['mount', working])
    await rm(`${mount}/old/gone`)
    await tools.buildah(['config', '--workingdir', '/old', working])
    await tools.buildah(['commit', '-q', '--manifest', base(), working])
  }
  await tools.buildah(['manifest', 'push', '-q', '--all', '--tls-verify=false', base(), `docker://${base()}`])
}

async function build(
  lines: string,
  flags: readonly string[] = [],
  where = place,
): Promise<{ name: string; lock: string }> {
  const name = `from:${++serial}`
  const file = at(`${serial}.Kubefile`)
  await writeFile(file, lines)
  await cloudimgJson(['build', '-f', file, '-t', name, ...flags, at('context')], where)
  return { name, lock: `${file}.lock` }
}

async function inspect(name: string, where = place): Promise<Inspected> {
  return await cloudimgJson<Inspected>(['inspect', name], where)
}

async function treeOf(name: string, where = place): Promise<ReturnType<typeof listTree>> {
  const target = at(`tree-${++serial}`)
  await cloudimgJson(['unpack', name, target], where)
  return listTree(target)
}

const remote = async (): Promise<{ digest: string; manifest: Manifest; config: ImageConfig }> => {
  const raw = async (...args: string[]): Promise<string> =>
    await tools.skopeo(['inspect', '--tls-verify=false', ...args])
  const index = JSON.parse(await raw('--raw', `docker://${base()}`)) as {
    manifests: { digest: string; platform: { architecture: string } }[]
  }
  const { digest } = index.manifests.find(({ platform }) => platform.architecture === 'amd64')!
  const image = `docker://${registry.host}/from/base@${digest}`
  return {
    digest: await raw('--format', '{{.Digest}}', `docker://${base()}`),
    manifest: JSON.parse(await raw('--raw', image)) as Manifest,
    config: JSON.parse(await raw('--raw', '--config', image)) as ImageConfig,
  }
}

describe('FROM an image of a registry', () => {
  it('keeps its layers, their diff_ids and its history, and adds its own behind them', async () => {
    const { name, lock } = await build(`FROM ${base()}\nCOPY one .\nLABEL a=b\n`)
    const [ours] = (await inspect(name)).platforms
    const theirs = await remote()
    expect(ours!.manifest.layers.slice(0, -1)).toEqual(theirs.manifest.layers)
    expect(ours!.config.rootfs.diff_ids.slice(0, -1)).toEqual(theirs.config.rootfs.diff_ids)
    expect(ours!.config.history?.slice(0, -2)).toEqual(theirs.config.history)
    expect(ours!.config.history?.slice(-2).map(entry => [entry.created_by, entry.empty_layer ?? false])).toEqual([
      ['COPY one .', false],
      ['LABEL a=b', true],
    ])
    expect(ours!.manifest.annotations).toMatchObject({ 'org.opencontainers.image.base.name': base() })
    const pins = await readFile(lock, 'utf8')
    expect(pins).toContain(`locator: ${JSON.stringify(base())}`)
    expect(pins).toContain(`digest: ${theirs.digest}`)
    const tree = await treeOf(name)
    expect([...tree.keys()]).toEqual(['arch', 'old', 'old/arch', 'old/keep', 'old/one'])
    // What podman makes of it, whiteouts and all.
    await cloudimgJson(['push', name, `${registry.host}/from/ours:1`], place)
    await tools.podman(['pull', '-q', '--tls-verify=false', `${registry.host}/from/ours:1`])
    const mount = await tools.podman(['image', 'mount', `${registry.host}/from/ours:1`])
    expect(treeDifferences(tree, listTree(mount))).toEqual([])
    await tools.podman(['image', 'unmount', `${registry.host}/from/ours:1`])
  })

  it('takes each platform its own, and --platform another', async () => {
    const both = await build(`FROM ${base()}\nCOPY one /\n`, ['--platform', 'linux/amd64,linux/arm64'])
    const { platforms } = await inspect(both.name)
    expect(platforms.map(({ platform }) => platform)).toEqual(['linux/amd64', 'linux/arm64'])
    expect(platforms[0]!.manifest.layers[0]).not.toEqual(platforms[1]!.manifest.layers[0])
    const other = await build(`FROM --platform=linux/arm64 ${base()} AS a\nFROM scratch\nCOPY --from=a /arch /\n`)
    const target = at('other-platform')
    await cloudimgJson(['unpack', other.name, target], place)
    expect(await readFile(join(target, 'arch'), 'utf8')).toBe('arm64')
  })

  it('needs no network once it is pinned, and another digest than the lock’s is not taken', async () => {
    const own = { home: at('pinned') }
    const { name, lock } = await build(`FROM ${base()}\nCOPY one /\n`, [], own)
    const before = await inspect(name, own)
    await cloudimgJson(
      ['build', '--offline', '--locked', '-f', lock.replace(/\.lock$/, ''), '-t', name, at('context')],
      own,
    )
    expect((await inspect(name, own)).digest).toBe(before.digest)
    const failure = await cloudimgFailure(['build', '--offline', '-f', lock.replace(/\.lock$/, ''), at('context')], {
      home: at('empty'),
    })
    expect(failure.code).toBe('OFFLINE')
    await writeFile(lock, (await readFile(lock, 'utf8')).replace(/digest: sha256:.{4}/, 'digest: sha256:0000'))
    const other = await cloudimgFailure(['build', '-f', lock.replace(/\.lock$/, ''), at('context')], own)
    expect(other.code).toBe('IMAGE_NOT_FOUND')
  })

  it('goes by digest', async () => {
    const { digest } = await remote()
    const { name } = await build(`FROM ${registry.host}/from/base@${digest}\nCOPY one /\n`)
    expect([...(await treeOf(name)).keys()]).toContain('old/keep')
  })

  it('says what is not there', async () => {
    await writeFile(at('missing.Kubefile'), `FROM ${registry.host}/from/nothing:1\n`)
    const failure = await cloudimgFailure(['build', '-f', at('missing.Kubefile'), at('context')], place)
    expect(failure.code).toBe('IMAGE_NOT_FOUND')
    expect(failure.message).toContain(`${registry.host}/from/nothing:1`)
  })
})

describe('FROM an image of the store', () => {
  it('comes before the registry, whatever its layers are', async () => {
    await writeFile(at('context/large'), 'some words, again and again\n'.repeat(300_000))
    for (const compression of ['zstd', 'gzip', 'none']) {
      const local = await build('FROM scratch\nCOPY large one /d/\n', ['--compression', compression])
      const { name } = await build(
        `FROM ${local.name} AS a\nFROM ${local.name}\nCOPY --from=a /d/one /d/large /copy/\n`,
      )
      const tree = await treeOf(name)
      expect(tree.get('copy/large')).toEqual(tree.get('d/large'))
      expect(tree.get('copy/one')).toEqual(tree.get('d/one'))
      const [below] = (await inspect(local.name)).platforms
      const [above] = (await inspect(name)).platforms
      expect(above!.manifest.layers.slice(0, below!.manifest.layers.length)).toEqual(below!.manifest.layers)
    }
  })

  it('counts its layers: no more than 100 in all', async () => {
    const lines = Array.from({ length: 80 }, (_, index) => `COPY one /${index}`).join('\n')
    const below = await build(`FROM scratch\n${lines}\n`)
    const { name } = await build(`FROM ${below.name}\n${lines.replaceAll(' /', ' /again/')}\n`)
    const [image] = (await inspect(name)).platforms
    expect(image!.manifest.layers.length).toBeLessThanOrEqual(100)
    expect(image!.config.history?.filter(entry => entry.empty_layer !== true)).toHaveLength(
      image!.manifest.layers.length,
    )
    expect((await treeOf(name)).size).toBe(161)
  })
})

type Item = readonly [path: string, content: string | { link: string } | undefined, mode?: number]

function tarOf(items: readonly Item[]): Buffer {
  const parts = items.flatMap(([path, content, mode]) => {
    const bytes = Buffer.from(typeof content === 'string' ? content : '')
    const type = content === undefined ? 'directory' : typeof content === 'string' ? 'file' : 'symlink'
    const entry: TarEntry = {
      type,
      path,
      mode: mode ?? (type === 'directory' ? 0o755 : 0o644),
      uid: 3,
      gid: 4,
      size: bytes.length,
      mtime: 0,
    }
    const link = typeof content === 'object' ? { linkTarget: content.link } : {}
    return [encodeHeader({ ...entry, ...link }), bytes, tarPadding(bytes.length)]
  })
  return Buffer.concat([...parts, tarEnd])
}

describe('ADD', () => {
  const tar = tarOf([
    ['x', undefined, 0o700],
    ['x/run', 'run', 0o755],
    ['x/link', { link: 'run' }],
    ['y', 'y'.repeat(5000)],
  ])
  let server: Server
  let url: string
  let asked = 0

  beforeAll(async () => {
    await writeFile(at('context/a.tar'), tar)
    await writeFile(at('context/a.tgz'), gzipSync(tar))
    await writeFile(at('context/a.tar.zst'), zstdCompressSync(tar))
    server = createServer((request, response) => {
      asked++
      response.writeHead(request.url?.startsWith('/a.tgz') === true ? 200 : 404).end(gzipSync(tar))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => server.close())

  it.each(['a.tar', 'a.tgz', 'a.tar.zst'])('unpacks %s as buildah does, if it is told to', async file => {
    const ours = await treeOf((await build(`FROM scratch\nADD --unpack=true ${file} /d/\n`)).name)
    await writeFile(at('Add'), `FROM scratch\nADD ${file.replace('.tar.zst', '.tar')} /d/\n`)
    await tools.buildah(['bud', '-q', '-f', at('Add'), '-t', 'localhost/add', at('context')])
    const mount = await tools.podman(['image', 'mount', 'localhost/add'])
    expect(treeDifferences(ours, listTree(mount))).toEqual([])
    await tools.podman(['image', 'unmount', 'localhost/add'])
  })

  it('leaves archives whole otherwise, and takes other files as they are', async () => {
    const { name } = await build('FROM scratch\nADD a.tgz /d/\nADD --unpack=true one d /e/\n')
    expect([...(await treeOf(name)).keys()]).toEqual(['d', 'd/a.tgz', 'e', 'e/one', 'e/two'])
  })

  it('fetches a URL once, for its owner alone, pinned and checked', async () => {
    const sha256 = createHash('sha256').update(gzipSync(tar)).digest('hex')
    asked = 0
    const { name, lock } = await build(
      `FROM scratch\nADD --checksum=sha256:${sha256} ${url}/a.tgz?v=1 /d/\nADD --chmod=0644 ${url}/a.tgz?v=1 /e\nADD --unpack=true ${url}/a.tgz?v=1 /f/\n`,
    )
    const tree = await treeOf(name)
    expect([tree.get('d/a.tgz')?.mode, tree.get('e')?.mode, tree.get('f/x/run')?.mode]).toEqual([
      '0600',
      '0644',
      '0755',
    ])
    expect(tree.get('d/a.tgz')?.sha256).toBe(sha256)
    expect(asked).toBe(1)
    expect(await readFile(lock, 'utf8')).toContain(`digest: sha256:${sha256}`)
    await writeFile(
      at('wrong.Kubefile'),
      `FROM scratch\nADD --checksum=sha256:${'0'.repeat(64)} ${url}/a.tgz?v=2 /d/\n`,
    )
    const failure = await cloudimgFailure(['build', '-f', at('wrong.Kubefile'), at('context')], place)
    expect(failure.code).toBe('DIGEST_MISMATCH')
  })

  it.each<[name: string, items: readonly Item[], code: string]>([
    ['climbs', [['../../etc/cron.d/x', 'x']], 'UNSAFE_ARCHIVE'],
    ['climbs in the middle', [['a/../../x', 'x']], 'UNSAFE_ARCHIVE'],
    ['means deletion', [['a/.wh.x', '']], 'KUBEFILE_INVALID'],
    [
      'goes over a file of the tree by a directory',
      [
        ['taken', undefined],
        ['taken/x', 'x'],
      ],
      'KUBEFILE_INVALID',
    ],
  ])('refuses an archive that %s', async (_, items, code) => {
    await writeFile(at('context/bad.tar'), tarOf(items))
    await writeFile(at('bad.Kubefile'), 'FROM scratch\nCOPY one /d/taken\nADD --unpack=true bad.tar /d/\n')
    expect((await cloudimgFailure(['build', '-f', at('bad.Kubefile'), at('context')], place)).code).toBe(code)
  })

  it('keeps what goes through an archive’s link to /etc inside the target', async () => {
    await writeFile(
      at('context/link.tar'),
      tarOf([
        ['out', { link: '/etc' }],
        ['out/x', 'x'],
      ]),
    )
    const { name } = await build('FROM scratch\nADD --unpack=true link.tar /d/\n')
    expect([...(await treeOf(name)).keys()]).toEqual(['d', 'd/etc', 'd/etc/x', 'd/out'])
  })

  it('refuses a bomb', async () => {
    const zeros = Buffer.alloc(300 * 1024 * 1024)
    await writeFile(at('context/bomb.tar.zst'), zstdCompressSync(Buffer.concat([tarOf([['a', 'a']]), zeros])))
    await writeFile(at('bomb.Kubefile'), 'FROM scratch\nADD --unpack=true bomb.tar.zst /d/\n')
    const { code } = await cloudimgFailure(['build', '-f', at('bomb.Kubefile'), at('context')], place)
    expect(code).toBe('UNSAFE_ARCHIVE')
  })
})

describe('save', () => {
  it('takes from the registry what the store lacks, and --pull what is newer there', async () => {
    const own = { home: at('save') }
    await cloudimgJson(['save', '-o', at('saved.tar'), base()], own)
    const { digest } = await remote()
    expect((await inspect(base(), own)).digest).toBe(digest)
    const { name } = await build('FROM scratch\nCOPY one /\n', [], own)
    await cloudimgJson(['tag', name, base()], own)
    await cloudimgJson(['save', '-o', at('saved.tar'), base()], own)
    expect((await inspect(base(), own)).digest).not.toBe(digest)
    await cloudimgJson(['save', '--pull', '-o', at('saved.tar'), base()], own)
    expect((await inspect(base(), own)).digest).toBe(digest)
  })
})

describe('FROM a cluster image', () => {
  it('is a cluster image with the same runtime, artifacts and components', async () => {
    const release = await makeTinyRelease(at('release'), { binaryBytes: 5_000_000 })
    const flags = ['--mirror', `k3s=${release.directory}`]
    const below = await build(`FROM scratch\nBASE k3s@${tinyVersion}\n`, flags)
    const { name } = await build(`FROM ${below.name}\nCOPY one /etc/mine\n`)
    const metadata = async (image: string): Promise<ClusterMetadata> => {
      const target = at(`metadata-${++serial}`)
      await cloudimgJson(['unpack', image, target], place)
      return JSON.parse(await readFile(join(target, 'Metadata'), 'utf8')) as ClusterMetadata
    }
    const files = [{ path: 'etc/mine', sha256: hexOf(digestOf('1')), size: 1 }]
    expect(await metadata(name)).toEqual({ ...(await metadata(below.name)), files })
    expect((await treeOf(name)).get('etc/mine')?.size).toBe(1)
  })
})
