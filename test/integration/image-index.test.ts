import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimgFailure, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'

interface Joined {
  readonly name: string
  readonly digest: string
  readonly entries: readonly { readonly platform: string; readonly digest: string }[]
}

let tools: ContainerTools
let registry: RealRegistry
let first: CloudimgPlace
let second: CloudimgPlace

const at = (...parts: string[]): string => join(tools.home, ...parts)

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  first = { home: at('first') }
  second = { home: at('second') }
  await mkdir(at('context'))
  await writeFile(at('context/Kubefile'), 'FROM scratch\nARG EXTRA\nCOPY <<arch /\n$TARGETARCH$EXTRA\narch\n')
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

async function build(name: string, platforms: string, place: CloudimgPlace, ...flags: readonly string[]) {
  const built = await cloudimgJson<{ index: string; platforms: readonly { manifest: string }[] }>(
    ['build', '-t', name, '--platform', platforms, ...flags, at('context')],
    place,
  )
  return { index: built.index, manifests: built.platforms.map(({ manifest }) => manifest) }
}

const platformsOf = ({ entries }: Pick<Joined, 'entries'>): readonly string[] => entries.map(({ platform }) => platform)

describe('cloudimg index', () => {
  it('joins what two machines have built to what one builds of both', async () => {
    const amd64 = `${registry.host}/join/k3s:amd64`
    const arm64 = `${registry.host}/join/k3s:arm64`
    await build(amd64, 'linux/amd64', first)
    await build(arm64, 'linux/arm64', second)
    await cloudimgJson(['push', arm64], second)
    // One lies in the store, the other in the registry.
    const joined = await cloudimgJson<Joined>(['index', 'create', `${registry.host}/join/k3s:1`, arm64, amd64], first)
    const both = await build('both', 'linux/amd64,linux/arm64', second)
    expect([joined.digest, platformsOf(joined)]).toEqual([both.index, ['linux/amd64', 'linux/arm64']])
    await cloudimgJson(['push', `${registry.host}/join/k3s:1`], first)
    const raw = await tools.skopeo(['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/join/k3s:1`])
    const { manifests } = JSON.parse(raw) as { manifests: readonly { digest: string; platform: object }[] }
    expect(manifests.map(({ digest }) => digest)).toEqual(both.manifests)
    await tools.podman(['pull', '-q', '--tls-verify=false', `${registry.host}/join/k3s:1`])
  })

  it('refuses two images for one platform, unless told that the later one stays', async () => {
    const { manifests: old } = await build('two:old', 'linux/amd64,linux/arm64', first)
    const { manifests: other } = await build('two:new', 'linux/arm64', first, '--build-arg', 'EXTRA=!')
    const failure = await cloudimgFailure(['index', 'create', 'two:both', 'two:old', 'two:new'], first)
    expect([failure.exit, failure.message]).toEqual([2, expect.stringContaining('two are for linux/arm64')])
    expect(failure.hint).toContain('--replace')
    expect((await cloudimgFailure(['index', 'ls', 'two:both'], first)).code).toBe('IMAGE_NOT_FOUND')
    const joined = await cloudimgJson<Joined>(['index', 'create', '--replace', 'two:both', 'two:old', 'two:new'], first)
    expect(joined.entries.map(({ digest }) => digest)).toEqual([old[0], other[0]])
  })

  it('adds images to a name, takes platforms out of it and lists what it has', async () => {
    await build('parts:amd64', 'linux/amd64', first)
    await build('parts:arm64', 'linux/arm64', first)
    await cloudimgJson(['index', 'create', 'parts:all', 'parts:amd64'], first)
    const added = await cloudimgJson<Joined>(['index', 'add', 'parts:all', 'parts:arm64'], first)
    expect(platformsOf(added)).toEqual(['linux/amd64', 'linux/arm64'])
    const less = await cloudimgJson<Joined>(['index', 'remove', 'parts:all', '--platform', 'linux/amd64'], first)
    expect(platformsOf(less)).toEqual(['linux/arm64'])
    expect(platformsOf(await cloudimgJson<Joined>(['index', 'ls', 'parts:all'], first))).toEqual(['linux/arm64'])
    const last = await cloudimgFailure(['index', 'remove', 'parts:all', '--platform', 'linux/arm64'], first)
    expect(last.message).toContain('nothing would be left')
    const none = await cloudimgFailure(['index', 'remove', 'parts:all', '--platform', 'linux/s390x'], first)
    expect([none.code, none.message]).toEqual(['PLATFORM_MISSING', expect.stringContaining('it has linux/arm64')])
  })

  it('takes an image without an index, as others build them', async () => {
    await writeFile(at('Plain'), 'FROM scratch\nCOPY Kubefile /\n')
    const name = `${registry.host}/join/plain:1`
    await tools.buildah(['bud', '-q', '--arch', 'arm64', '-f', at('Plain'), '-t', name, at('context')])
    await tools.buildah(['push', '-q', '--tls-verify=false', name])
    await build('mixed:amd64', 'linux/amd64', first)
    const joined = await cloudimgJson<Joined>(['index', 'create', 'mixed:1', 'mixed:amd64', name], first)
    expect(platformsOf(joined)).toEqual(['linux/amd64', 'linux/arm64'])
  })
})
