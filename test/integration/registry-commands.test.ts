import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import type { BuildAnswer } from '../support/k3s-build.ts'
import { noise } from '../support/noise.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults } from '../support/store-check.ts'

let scratch: Scratch
let registry: RealRegistry
let tools: ContainerTools
let place: CloudimgPlace
let built: BuildAnswer

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry()
  tools = await openContainerTools()
  place = { home: join(scratch.path, 'home') }
  const context = join(scratch.path, 'context')
  await mkdir(context)
  await writeFile(join(context, 'large'), noise('large', 5_000_000))
  await writeFile(join(context, 'text'), 'a line that shrinks\n'.repeat(100_000))
  await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY . .\n')
  const flags = ['-t', 'local/image:1', '--platform', 'linux/amd64,linux/arm64']
  built = await cloudimgJson(['build', ...flags, context], place)
  await cloudimgJson(['push', 'local/image:1', image('a')], place)
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry.stop()
  await scratch[Symbol.asyncDispose]()
})

const image = (repository: string, tag = '1'): string => `${registry.host}/${repository}:${tag}`
const digestOf = async (name: string): Promise<string> =>
  (await cloudimgJson<{ digest: string }>(['digest', name], place)).digest

describe('what is in a registry', () => {
  it('is shown as it is', async () => {
    expect(await digestOf(image('a'))).toBe(built.index)
    const amd64 = built.platforms.find(({ platform }) => platform === 'linux/amd64')!
    const ofPlatform = await cloudimg(['digest', image('a'), '--platform', 'linux/amd64', '--full-ref'], place)
    expect(ofPlatform.stdout).toBe(`${registry.host}/a@${amd64.manifest}\n`)
    const raw = await cloudimg(['manifest', image('a')], place)
    expect(raw.stdout).toBe(await tools.skopeo(['inspect', '--raw', '--tls-verify=false', `docker://${image('a')}`]))
    const config = await cloudimg(['config', image('a'), '--platform', 'linux/amd64'], place)
    expect(`sha256:${createHash('sha256').update(config.stdout).digest('hex')}`).toBe(amd64.config)
    expect(await cloudimgJson(['tags', `${registry.host}/a`], place)).toMatchObject({ tags: ['1'] })
    const local = await cloudimg(['digest', '--local', 'local/image:1'], place)
    expect(local.stdout).toBe(`${built.index}\n`)
  })

  it('is told where it is not', async () => {
    const failure = await cloudimgFailure(['digest', image('a', 'other')], place)
    expect(failure).toMatchObject({ exit: 1, code: 'IMAGE_NOT_FOUND' })
    expect(failure.hint).toContain(`cloudimg tags ${registry.host}/a`)
    expect(await cloudimgFailure(['tags', image('a')], place)).toMatchObject({ exit: 2, code: 'USAGE' })
  })
})

describe('a copy', () => {
  it('within a registry mounts every blob and keeps the digest', async () => {
    const copied = await cloudimg(['copy', image('a'), `${registry.host}/b`], place)
    expect(copied.stderr).toMatch(/✓ copying .*: \d+ mounted/)
    expect(copied.stderr).not.toContain('copied (')
    expect(await digestOf(image('b'))).toBe(built.index)
  })

  it('to another registry brings all, and nothing a second time', async () => {
    await using other = await startRealRegistry()
    const to = `${other.host}/c:2`
    const first = await cloudimg(['copy', image('a'), to], place)
    expect(first.stderr).toMatch(/: \d+ copied \(/)
    expect(await cloudimgJson(['digest', to], place)).toMatchObject({ digest: built.index })
    const second = await cloudimg(['copy', image('a'), to], place)
    expect(second.stderr).toMatch(/: \d+ already there \(/)
    const part = await cloudimgJson<{ digest: string }>(
      ['copy', image('a'), `${other.host}/c:arm`, '--platform', 'linux/arm64'],
      place,
    )
    expect(part.digest).toBe(built.platforms.find(({ platform }) => platform === 'linux/arm64')!.manifest)
    await cloudimgJson(['copy', '--all-tags', `${other.host}/c`, `${registry.host}/all`], place)
    const listed = await cloudimgJson<{ tags: string[] }>(['tags', `${registry.host}/all`], place)
    expect(listed.tags.sort()).toEqual(['2', 'arm'])
  })

  it('takes what is about the image along, unless told not to', async () => {
    await attest(image('a'))
    await cloudimgJson(['copy', image('a'), image('with')], place)
    await cloudimgJson(['copy', '--no-referrers', image('a'), image('without')], place)
    const found = async (name: string) =>
      (await cloudimgJson<{ referrers: { artifactType: string }[] }>(['referrers', name], place)).referrers
    expect(await found(image('with'))).toMatchObject([{ artifactType: 'application/spdx+json' }])
    expect(await found(image('without'))).toEqual([])
    const other = ['referrers', image('with'), '--artifact-type', 'application/vnd.cyclonedx+json']
    expect(await cloudimgJson(other, place)).toMatchObject({ referrers: [] })
  })
})

/** Lays an SBOM beside an image by hand, as a client of a registry without the referrers API does. */
async function attest(name: string): Promise<void> {
  const { digest, size, mediaType } = await cloudimgJson<{ digest: string; size: number; mediaType: string }>(
    ['digest', name],
    place,
  )
  const config = '{}'
  const repository = name.slice(0, name.lastIndexOf(':')).slice(registry.host.length + 1)
  const api = `${registry.url}/v2/${repository}`
  const sha = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha(config), size: 2 }
  const manifestType = 'application/vnd.oci.image.manifest.v1+json'
  const artifactType = 'application/spdx+json'
  const sbom = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType,
    config: empty,
    layers: [],
    subject: { mediaType, digest, size },
  })
  const entry = { mediaType: manifestType, digest: sha(sbom), size: sbom.length, artifactType }
  const indexType = 'application/vnd.oci.image.index.v1+json'
  const list = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [entry] })
  const upload = await must(['curl', '-sf', '-X', 'POST', '-D', '-', '-o', '/dev/null', `${api}/blobs/uploads/`])
  const location = /^location: (\S+)/im.exec(upload)![1]!
  const put = (url: string, type: string, body: string): Promise<unknown> =>
    must(['curl', '-sf', '-X', 'PUT', '-H', `content-type: ${type}`, '--data-binary', body, url])
  await put(`${location}&digest=${empty.digest}`, 'application/octet-stream', config)
  await put(`${api}/manifests/${entry.digest}`, manifestType, sbom)
  await put(`${api}/manifests/${digest.replace(':', '-')}`, indexType, list)
}

describe('an annotation', () => {
  it('makes a new image of the same blobs, and can be taken back', async () => {
    await cloudimgJson(['copy', '--no-referrers', image('a'), image('note')], place)
    const set = await cloudimgJson<{ digest: string; before: string }>(
      ['annotate', image('note'), 'org.example.site=north', '--all'],
      place,
    )
    expect(set.before).toBe(built.index)
    expect(set.digest).not.toBe(built.index)
    const index = await cloudimgJson<{ manifest: { annotations: object } }>(['manifest', image('note')], place)
    expect(index.manifest.annotations).toMatchObject({ 'org.example.site': 'north' })
    expect(await cloudimgJson(['validate', image('note')], place)).toMatchObject({ valid: true })
    await cloudimgJson(['annotate', image('note'), 'org.example.site-', '--all', '--tag', 'plain'], place)
    expect(await digestOf(image('note', 'plain'))).toBe(built.index)
    expect(await digestOf(image('note'))).toBe(set.digest)
  })

  it('that is none is refused', async () => {
    expect(await cloudimgFailure(['annotate', image('a'), 'nothing'], place)).toMatchObject({ exit: 2, code: 'USAGE' })
  })
})

describe('validate', () => {
  it('reads all of a sound image, in the registry and in the store', async () => {
    const sound = await cloudimgJson<{ blobs: number; bytes: number }>(['validate', image('a')], place)
    expect(sound).toMatchObject({ valid: true, faults: [] })
    expect(sound.bytes).toBeGreaterThan(5_000_000)
    expect(await cloudimgJson(['validate', '--local', 'local/image:1'], place)).toMatchObject({ valid: true })
  })

  it('finds a byte that turned in the registry’s storage', async () => {
    await using rotten = await startRealRegistry()
    const name = `${rotten.host}/x:1`
    await cloudimgJson(['copy', '--no-referrers', image('a'), name], place)
    const digest = built.platforms[0]!.layers[0]!.digest
    const hex = digest.slice('sha256:'.length)
    const data = join(rotten.storage, `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`)
    await must(['sh', '-c', `printf x | dd of='${data}' bs=1 seek=100000 conv=notrunc status=none`])
    const { code, stdout } = await cloudimg(['validate', name, '--json'], place)
    expect(code).toBe(5)
    expect(JSON.parse(stdout)).toMatchObject({ valid: false, faults: [{ what: digest }] })
    expect((await cloudimg(['validate', '--fast', name], place)).code).toBe(0)
  })
})

describe('delete', () => {
  it('asks, and off a terminal wants to be told', async () => {
    expect(await cloudimgFailure(['delete', image('a')], place)).toMatchObject({ exit: 2, code: 'USAGE' })
    expect(await cloudimgFailure(['delete', '--yes', `${registry.host}/a`], place)).toMatchObject({ code: 'USAGE' })
    expect(await digestOf(image('a'))).toBe(built.index)
  })

  it('deletes by digest, and says which tags went', async () => {
    await cloudimgJson(['copy', image('a'), image('gone', 'one')], place)
    await cloudimgJson(['copy', image('a'), image('gone', 'two')], place)
    const tag = await cloudimgFailure(['delete', '--yes', image('gone', 'one')], place)
    expect(tag).toMatchObject({ code: 'UNSUPPORTED' })
    expect(tag.hint).toContain(`cloudimg delete ${registry.host}/gone@${built.index}`)
    expect(tag.hint).toContain('one, two')
    const deleted = await cloudimgJson<{ tags: string[] }>(
      ['delete', '--yes', `${registry.host}/gone@${built.index}`],
      place,
    )
    expect(deleted.tags.sort()).toEqual(['one', 'two'])
    expect(await cloudimgFailure(['digest', image('gone', 'two')], place)).toMatchObject({ code: 'IMAGE_NOT_FOUND' })
  })

  it('takes an SBOM off the list of what is about its image', async () => {
    await cloudimgJson(['copy', image('with'), image('less')], place)
    const listed = await cloudimgJson<{ referrers: { digest: string }[] }>(['referrers', image('less')], place)
    expect(listed.referrers).toHaveLength(1)
    await cloudimgJson(['delete', '--yes', `${registry.host}/less@${listed.referrers[0]!.digest}`], place)
    expect(await cloudimgJson(['referrers', image('less')], place)).toMatchObject({ referrers: [] })
  })
})

describe('a configured registry', () => {
  const configured = async (name: string, config: object): Promise<CloudimgPlace> => {
    const home = join(scratch.path, name)
    await mkdir(join(home, 'xdg/config/cloudimg'), { recursive: true })
    await writeFile(join(home, 'xdg/config/cloudimg/config.yaml'), JSON.stringify(config))
    return { home }
  }

  it('is read through its mirror, under its own name', async () => {
    const mirrors = [`127.0.0.1:1/dead`, registry.host]
    const site = await configured('mirrored', { registries: { 'upstream.example': { mirrors } } })
    const pulled = await cloudimg(['pull', 'upstream.example/a:1'], site)
    expect(pulled.stdout).toBe(`pulled upstream.example/a:1@${built.index}\n`)
    expect(pulled.stderr).toContain('the mirror "127.0.0.1:1/dead/a" is passed over')
    expect(await storeFaults(storeOf(site))).toEqual([])
  })

  it('is read through a mirror that podman was told of', async () => {
    const site = await configured('podman', {})
    const conf = join(site.home, 'registries.conf')
    await writeFile(conf, `[[registry]]\nprefix = "hub.example"\nlocation = "${registry.host}"\ninsecure = true\n`)
    const with_ = { ...site, env: { CONTAINERS_REGISTRIES_CONF: conf } }
    expect(await cloudimgJson(['digest', 'hub.example/a:1'], with_)).toMatchObject({ digest: built.index })
  })

  it('that is written wrongly is told with its place', async () => {
    const site = await configured('wrong', { registries: { 'upstream.example': { mirors: [] } } })
    const failure = await cloudimgFailure(['digest', 'upstream.example/a:1'], site)
    expect(failure).toMatchObject({ exit: 2, code: 'USAGE' })
    expect(failure.message).toContain('registries.upstream.example')
  })
})

describe('completion', () => {
  it('knows the images in the store', async () => {
    const { stdout } = await cloudimg(['__complete', '--', 'push', 'local/'], place)
    expect(stdout).toBe('local/image:1\n')
  })

  it.each(['bash', 'zsh', 'fish'])('is written for %s', async shell => {
    expect((await cloudimg(['completion', shell], place)).stdout).toContain('__complete')
  })
})

it('a push mounts what another repository of the registry has, as the store knows', async () => {
  await cloudimgJson(['tag', 'local/image:1', image('a')], place)
  const pushed = await cloudimg(['push', 'local/image:1', image('fresh')], place)
  expect(pushed.stderr).toMatch(/✓ pushing .*: (\d+ copied \(\d+ B\), |\d+ copied \([\d.]+ KiB\), )?\d+ mounted/)
})
