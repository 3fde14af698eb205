import { rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { componentsOf } from '../../../src/artifact/components.ts'
import { artifactsOf } from '../../../src/artifact/distribution.ts'
import { type FetchedArtifact, fetchAll, readSmall } from '../../../src/artifact/fetch-artifact.ts'
import type { FetchEnvironment } from '../../../src/artifact/fetch.ts'
import { formatLock } from '../../../src/artifact/lock.ts'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import type { Platform } from '../../../src/core/platform.ts'
import { type SeenRequest, startServer, type TestServer } from '../../support/http-server.ts'
import { testContext } from '../../support/test-context.ts'
import {
  amd64,
  arm64,
  images,
  makeRelease,
  serveFile,
  sha256,
  tag,
  Workbench,
  writeRelease,
} from './release-fixture.ts'

let k3s: Template
let bench: Workbench
const servers: TestServer[] = []

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})
beforeEach(async () => {
  bench = await Workbench.open()
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
  await bench.dispose()
})

async function serve(answer: (request: SeenRequest, response: ServerResponse) => void): Promise<TestServer> {
  const server = await startServer(answer)
  servers.push(server)
  return server
}

/** Serves releases as GitHub does, and the tag's sources beside them. */
function serveUpstream(...releases: readonly ReadonlyMap<string, Buffer>[]): Promise<TestServer> {
  const all = new Map(releases.flatMap(release => [...release]))
  return serve((request, response) => {
    const [, owner, name] =
      /^\/(dl|raw)\/k3s-io\/k3s\/(?:releases\/download\/)?v1\.31\.4%2Bk3s1\/(.+)$/.exec(request.path) ?? []
    serveFile(
      request,
      response,
      owner === undefined || (owner === 'raw') !== (name === 'install.sh') ? undefined : all.get(name!),
    )
  })
}

function upstreamMirrors(server: TestServer): string[] {
  return [
    `https://github.com=${server.url}/dl`,
    `https://raw.githubusercontent.com=${server.url}/raw`,
    `https://rancher-mirror.rancher.cn=${server.url}/cn`,
  ]
}

function fetchRelease(
  env: FetchEnvironment,
  platform: Platform = amd64,
  ctx = testContext(),
): Promise<readonly FetchedArtifact[]> {
  return fetchAll(artifactsOf(k3s, tag, platform), env, ctx)
}

function takenNames(fetched: readonly FetchedArtifact[]): readonly string[] {
  return fetched.map(({ file }) => file.asset)
}

const whole = ['k3s', 'k3s-airgap-images-amd64.tar.zst', 'k3s-images.txt', 'install.sh']

describe('a whole release', () => {
  it('comes from upstream, verified by its checksum file', async () => {
    const release = makeRelease()
    const server = await serveUpstream(release)
    const env = bench.environment({ mirrors: upstreamMirrors(server) })
    const ctx = testContext()
    const fetched = await fetchRelease(env, amd64, ctx)
    expect(takenNames(fetched)).toEqual(whole)
    for (const { file, digest, size } of fetched) {
      expect(digest).toBe(`sha256:${sha256(release.get(file.asset)!)}`)
      expect(size).toBe(release.get(file.asset)!.length)
    }
    expect(await bench.blobs()).toHaveLength(5)
    const firstUse = ctx.seen.filter(event => event.kind === 'note' && event.message.includes('on first use'))
    expect(firstUse).toHaveLength(2)
  })

  it('is fetched once: the second time asks nobody', async () => {
    const server = await serveUpstream(makeRelease())
    const first = bench.environment({ mirrors: upstreamMirrors(server) })
    await fetchRelease(first)
    const asked = server.seen.length
    const again = bench.environment({ mirrors: upstreamMirrors(server), lock: first.lock.result(), locked: true })
    const fetched = await fetchRelease(again)
    expect(fetched.every(({ outcome }) => outcome === 'cached')).toBe(true)
    expect(server.seen).toHaveLength(asked)
    expect(formatLock(again.lock.result({ prune: true }))).toBe(formatLock(first.lock.result()))
  })

  it('shares what all platforms share', async () => {
    const server = await serveUpstream(makeRelease('amd64'), makeRelease('arm64'))
    const env = bench.environment({ mirrors: upstreamMirrors(server) })
    const [, arm] = await Promise.all([fetchRelease(env, amd64), fetchRelease(env, arm64)])
    expect(takenNames(arm)).toEqual(['k3s-arm64', 'k3s-airgap-images-arm64.tar.zst', 'k3s-images.txt', 'install.sh'])
    expect(server.seen.filter(({ path }) => path.endsWith('install.sh'))).toHaveLength(1)
    expect(
      env.lock
        .result()
        .entries.map(({ platform }) => platform)
        .sort(),
    ).toEqual(['any', 'any', ...Array<string>(3).fill('linux/amd64'), ...Array<string>(3).fill('linux/arm64')])
  })
})

describe('a release directory', () => {
  it.each(['v1.31.4+k3s1', 'v1.31.4%2Bk3s1', 'v1.31.4-k3s1', '.'])('laid out as BASE/%s/ASSET', async folder => {
    await writeRelease(bench.path(`mirror/${folder}`), makeRelease())
    const env = bench.environment({ mirrors: ['k3s=mirror'], offline: true })
    expect(takenNames(await fetchRelease(env))).toEqual(whole)
  })

  it('never enters the lock', async () => {
    await writeRelease(bench.path('mirror'), makeRelease())
    const server = await serveUpstream(makeRelease())
    const mirrored = bench.environment({ mirrors: ['k3s=mirror'] })
    await fetchRelease(mirrored)
    const upstream = bench.environment({ mirrors: upstreamMirrors(server) })
    await fetchRelease(upstream)
    expect(formatLock(mirrored.lock.result())).toBe(formatLock(upstream.lock.result()))
    expect(formatLock(mirrored.lock.result())).not.toContain('mirror')
  })

  it('may have a smaller choice of archives', async () => {
    const release = makeRelease()
    release.delete('k3s-airgap-images-amd64.tar.zst')
    await writeRelease(bench.path('mirror'), release)
    const env = bench.environment({ mirrors: ['k3s=mirror'] })
    expect(takenNames(await fetchRelease(env))).toContain('k3s-airgap-images-amd64.tar.gz')
    await writeRelease(bench.path('mirror'), makeRelease())
    const pinned = bench.environment({ mirrors: ['k3s=mirror'], lock: env.lock.result() })
    expect(takenNames(await fetchRelease(pinned))).toContain('k3s-airgap-images-amd64.tar.gz')
  })

  it('is asked for nothing that its checksum file does not list', async () => {
    const release = makeRelease()
    release.set('sha256sum-amd64.txt', Buffer.from(`${sha256(release.get('k3s')!)}  k3s\n`))
    await writeRelease(bench.path('mirror'), release)
    await expect(fetchRelease(bench.environment({ mirrors: ['k3s=mirror'] }))).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: expect.stringMatching(
        /"sha256sum-amd64.txt" has no checksum for "k3s-airgap-images-amd64.tar.zst" or/,
      ) as string,
    })
  })

  it('may bring release notes, which name more components', async () => {
    const release = makeRelease()
    const notes =
      '## Embedded Component Versions\n| Component | Version |\n|---|---|\n| Etcd | [v3.5.16-k3s1](https://x) |\n'
    release.set('release-notes.md', Buffer.from(notes))
    await writeRelease(bench.path('mirror'), release)
    const env = bench.environment({ mirrors: ['k3s=mirror'] })
    const fetched = await fetchRelease(env)
    expect(takenNames(fetched)).toEqual([...whole, 'release-notes.md'])
    const found = fetched.find(({ artifact }) => artifact.role === 'release-notes')
    expect(
      componentsOf(k3s, { version: tag, images, notes: await readSmall(env.pool, found!.digest, 10_000) }),
    ).toEqual([
      { name: 'coredns', version: '1.12.0', source: 'image-list' },
      { name: 'etcd', version: 'v3.5.16-k3s1', source: 'release-notes' },
      { name: 'kubernetes', version: 'v1.31.4', source: 'version' },
      { name: 'pause', version: '3.6', source: 'image-list' },
    ])
  })

  it('adds no release notes to a release that was pinned without them', async () => {
    await writeRelease(bench.path('mirror'), makeRelease())
    const first = bench.environment({ mirrors: ['k3s=mirror'] })
    await fetchRelease(first)
    await writeRelease(bench.path('mirror'), new Map([['release-notes.md', Buffer.from('later')]]))
    const again = bench.environment({ mirrors: ['k3s=mirror'], lock: first.lock.result() })
    expect(takenNames(await fetchRelease(again))).toEqual(whole)
  })
})

describe('a release that is not right', () => {
  it.each([
    ['a flipped byte', (data: Buffer) => Buffer.from(data.map((byte, index) => (index === 7 ? byte ^ 1 : byte)))],
    ['a truncated file', (data: Buffer) => data.subarray(0, data.length - 1)],
  ])('with %s in k3s is refused, and the next good run succeeds', async (_name, spoil) => {
    const release = makeRelease()
    await writeRelease(bench.path('mirror'), new Map([...release, ['k3s', spoil(release.get('k3s')!)]]))
    const env = bench.environment({ mirrors: ['k3s=mirror'] })
    await expect(fetchRelease(env)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      data: { wanted: `sha256:${sha256(release.get('k3s')!)}`, url: bench.path('mirror/k3s') },
    })
    expect(await bench.downloads()).toEqual([])
    await writeRelease(bench.path('mirror'), release)
    expect(takenNames(await fetchRelease(bench.environment({ mirrors: ['k3s=mirror'] })))).toEqual(whole)
  })

  it('changed since it was pinned is a matter of the lock', async () => {
    await writeRelease(bench.path('mirror'), makeRelease())
    const first = bench.environment({ mirrors: ['k3s=mirror'] })
    await fetchRelease(first)
    await rm(bench.home, { recursive: true })
    await writeRelease(bench.path('mirror'), new Map([['install.sh', Buffer.from('#!/bin/sh\necho other\n')]]))
    const again = bench.environment({ mirrors: ['k3s=mirror'], lock: first.lock.result() })
    await expect(fetchRelease(again)).rejects.toMatchObject({
      code: 'LOCK_MISMATCH',
      message: expect.stringMatching(/install\.sh/) as string,
    })
  })

  it('does not exist: every place is named', async () => {
    const server = await serveUpstream()
    const env = bench.environment({ mirrors: upstreamMirrors(server) })
    await expect(fetchRelease(env)).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: expect.stringMatching(
        /sha256sum-amd64\.txt.*\/dl\/.*answers 404; .*\/cn\/k3s\/v1\.31\.4-k3s1\/.*answers 404/,
      ) as string,
      hint: 'check that the version exists, or name a place that has it: --mirror k3s=BASE',
    })
  })
})

it('offline, names all that is missing at once', async () => {
  const env = bench.environment({ offline: true })
  await expect(fetchRelease(env)).rejects.toMatchObject({
    code: 'OFFLINE',
    message: expect.stringMatching(
      /install\.sh v1\.31\.4\+k3s1 .*k3s-images\.txt v1\.31\.4\+k3s1 .*sha256sum-amd64\.txt v1\.31\.4\+k3s1/,
    ) as string,
  })
})

it('reads a small blob, and refuses a large one', async () => {
  await writeRelease(bench.path('mirror'), makeRelease())
  const env = bench.environment({ mirrors: ['k3s=mirror'] })
  const [binary, , list] = await fetchRelease(env)
  expect(await readSmall(env.pool, list!.digest, 1000)).toBe(`${images.join('\n')}\n`)
  await expect(readSmall(env.pool, binary!.digest, 1000)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
})
