import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseReference } from '../../src/core/reference.ts'
import { closeConnections, drain, send, sendFollowing } from '../../src/io/http.ts'
import { copyImage } from '../../src/oci/copy.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import { checkLogin } from '../../src/oci/remote/check-login.ts'
import type { Credentials } from '../../src/oci/remote/credential.ts'
import { readTrust } from '../../src/oci/remote/endpoint.ts'
import { type RemoteOptions, type RemoteRepository, remoteRepository } from '../../src/oci/remote/registry.ts'
import { type RunningRegistry, serveRegistry } from '../../src/oci/serve/serve.ts'
import { serveStore } from '../../src/oci/serve/store-adapter.ts'
import { usersOf } from '../../src/oci/serve/users.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { quietContext } from '../support/command.ts'
import { type ContainerTools, openContainerTools } from '../support/engines.ts'
import { makeCertificates } from '../support/certificates.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { jsonSample, sampleIndex } from '../support/sample-image.ts'
import { anonymous } from '../../src/oci/remote/credential.ts'

const ctx = quietContext(600_000)
const { index, images, all } = sampleIndex(['amd64', 'arm64'], Buffer.alloc(3_000_000, 'some content'))

function repository(host: string, path: string, options: Partial<RemoteOptions> = {}): RemoteRepository {
  return remoteRepository(parseReference(`${host}/${path}`), { credentials: { ...anonymous }, ...options })
}

async function push(to: RemoteRepository): Promise<void> {
  for (const { descriptor, source } of all) await to.write(descriptor, source, ctx)
  await to.tag('v1', index.descriptor, ctx)
}

/** The digest of the index, once every byte below it was read and compared. */
async function readBack(from: RemoteRepository): Promise<string | undefined> {
  const found = await from.resolve('v1', ctx)
  for (const { descriptor, bytes } of all)
    expect((await buffer(await from.open(descriptor, ctx))).equals(bytes)).toBe(true)
  return found?.digest
}

function login(registry: RealRegistry, password = registry.credentials.password): Credentials {
  return { find: async () => ({ kind: 'basic', username: registry.credentials.user, password }) }
}

let tools: ContainerTools
beforeAll(async () => {
  tools = await openContainerTools()
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
})

describe('docker-registry', () => {
  let registry: RealRegistry
  beforeAll(async () => {
    registry = await startRealRegistry()
  })
  afterAll(async () => {
    await registry.stop()
  })

  it('takes an index and gives it back', async () => {
    await push(repository(registry.host, 'a/b'))
    expect(await readBack(repository(registry.host, 'a/b'))).toBe(index.descriptor.digest)
    expect(await Array.fromAsync(repository(registry.host, 'a/b').tags(ctx))).toEqual(['v1'])
    expect(await repository(registry.host, 'a/b').resolve('v2', ctx)).toBeUndefined()
  })

  it('has everything the second time', async () => {
    const to = repository(registry.host, 'a/b')
    for (const { descriptor, source } of all) expect(await to.write(descriptor, source, ctx)).toBe('present')
  })

  it('mounts what another of its repositories has', async () => {
    const { layer } = images[0]!
    const from = { registry: registry.host, repository: 'a/b' }
    const written = await repository(registry.host, 'mounted').write(layer.descriptor, { ...layer.source, from }, ctx)
    expect(written).toBe('mounted')
  })

  it('opens a session where the other repository lacks the blob, and that is used', async () => {
    const { layer } = images[0]!
    const from = { registry: registry.host, repository: 'nowhere' }
    const written = await repository(registry.host, 'unmounted').write(layer.descriptor, { ...layer.source, from }, ctx)
    expect(written).toBe('written')
  })

  it('reads ranges', async () => {
    const { layer } = images[0]!
    const part = await repository(registry.host, 'a/b').open(layer.descriptor, ctx, { offset: 100_000, length: 5000 })
    expect((await buffer(part)).equals(layer.bytes.subarray(100_000, 105_000))).toBe(true)
  })

  it('lists referrers under the fallback tag', async () => {
    const { manifest, config } = images[0]!
    const sbom = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType: 'application/spdx+json',
        config: config.descriptor,
        layers: [],
        subject: manifest.descriptor,
      },
      mediaTypes.manifest,
    )
    const to = repository(registry.host, 'a/b')
    await to.write(sbom.descriptor, sbom.source, ctx)
    const listed = await repository(registry.host, 'a/b').referrers(manifest.descriptor.digest, ctx)
    expect(listed).toMatchObject([{ digest: sbom.descriptor.digest, artifactType: 'application/spdx+json' }])
    const copied = repository(registry.host, 'copied')
    await copyImage(repository(registry.host, 'a/b'), 'v1', copied, 'v1', {}, ctx)
    expect(await copied.referrers(manifest.descriptor.digest, ctx)).toEqual(listed)
  })

  it('is read by skopeo as we wrote it', async () => {
    const raw = await tools.skopeo(['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/a/b:v1`])
    expect(raw).toBe(index.bytes.toString())
  })
})

describe('docker-registry with TLS and passwords', () => {
  let registry: RealRegistry
  beforeAll(async () => {
    registry = await startRealRegistry({ auth: 'basic', tls: true })
  })
  afterAll(async () => {
    await registry.stop()
  })

  it('takes an index from who knows the password', async () => {
    await push(repository(registry.host, 'a', { credentials: login(registry) }))
    expect(await readBack(repository(registry.host, 'a', { credentials: login(registry) }))).toBe(
      index.descriptor.digest,
    )
  })

  // A loopback address is taken unverified, as docker does; what a folder of certs.d gives is tried on the connection itself.
  it('is trusted by the authority that certs.d names, and not without it', async () => {
    const folder = join(tools.home, 'certs.d')
    await mkdir(join(folder, registry.host), { recursive: true })
    await copyFile(registry.caFile!, join(folder, registry.host, 'ca.crt'))
    const trust = await readTrust([registry.host], [folder])
    const url = new URL('/v2/', registry.url)
    const response = await send({ method: 'GET', url, trust }, ctx)
    await drain(response)
    expect(response.status).toBe(401)
    await expect(send({ method: 'GET', url }, ctx)).rejects.toMatchObject({
      code: 'NETWORK',
      data: { retryable: false },
      hint: expect.stringContaining('certs.d'),
    })
  })

  it('is shown the client certificate of certs.d, which a redirect leaves behind', async () => {
    const folder = join(tools.home, 'client-certs')
    const server = { folder: join(tools.home, 'server-certs'), shown: [] as string[] }
    await mkdir(server.folder)
    const { caFile, certFile, keyFile } = await makeCertificates(server.folder, '127.0.0.1')
    const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map(file => readFile(file, 'utf8')))
    const https = createServer(
      { cert: cert!, key: key!, ca: ca!, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const peer = (request.socket as TLSSocket).getPeerCertificate()
        server.shown.push(`${request.url} ${String(peer.subject?.CN ?? 'nobody')}`)
        if (request.url === '/away') response.writeHead(307, { location: `https://localhost:${port()}/there` }).end()
        else response.end()
      },
    )
    const port = (): number => (https.address() as AddressInfo).port
    await new Promise<void>(resolve => {
      https.listen(0, '127.0.0.1', resolve)
    })
    try {
      const host = `127.0.0.1:${port()}`
      await mkdir(join(folder, host), { recursive: true })
      await copyFile(caFile, join(folder, host, 'ca.crt'))
      await copyFile(certFile, join(folder, host, 'client.cert'))
      await expect(readTrust([host], [folder])).rejects.toMatchObject({
        code: 'FILE_ERROR',
        message: expect.stringContaining('client.key'),
      })
      await copyFile(keyFile, join(folder, host, 'client.key'))
      const trust = await readTrust([host], [folder])
      await drain(await sendFollowing({ method: 'GET', url: new URL(`https://${host}/away`), trust }, ctx))
      expect(server.shown).toEqual(['/away cloudimg test server', '/there nobody'])
    } finally {
      await closeConnections()
      https.close()
    }
  })

  it('refuses who does not', async () => {
    const wrong = repository(registry.host, 'a', { credentials: login(registry, 'wrong') })
    await expect(wrong.resolve('v1', ctx)).rejects.toMatchObject({ code: 'REGISTRY_AUTH' })
    await expect(repository(registry.host, 'a').resolve('v1', ctx)).rejects.toMatchObject({ code: 'REGISTRY_AUTH' })
    const credential = { kind: 'basic', username: registry.credentials.user, password: 'wrong' } as const
    await expect(checkLogin(registry.host, credential, {}, ctx)).rejects.toMatchObject({ code: 'REGISTRY_AUTH' })
  })

  it('lets a right login pass', async () => {
    const credential = (await login(registry).find(registry.host, '', ctx))!
    await expect(checkLogin(registry.host, credential, {}, ctx)).resolves.toBeUndefined()
  })
})

describe('docker-registry with tokens', () => {
  let registry: RealRegistry
  beforeAll(async () => {
    registry = await startRealRegistry({ auth: 'token', anonymousPull: true })
  })
  afterAll(async () => {
    await registry.stop()
  })

  it('takes an index with one token for each set of scopes', async () => {
    const before = registry.tokens!.requests.length
    await push(repository(registry.host, 'a/b', { credentials: login(registry) }))
    const asked = registry.tokens!.requests.slice(before).map(({ scopes }) => scopes.join(' '))
    expect(asked).toEqual([...new Set(asked)])
    expect(asked).toContain('repository:a/b:pull,push')
  })

  it('mounts with the right to read there', async () => {
    const { layer } = images[0]!
    const from = { registry: registry.host, repository: 'a/b' }
    const to = repository(registry.host, 'c', { credentials: login(registry) })
    expect(await to.write(layer.descriptor, { ...layer.source, from }, ctx)).toBe('mounted')
  })

  it('gives to everybody and takes from nobody unknown', async () => {
    expect(await readBack(repository(registry.host, 'a/b'))).toBe(index.descriptor.digest)
    const { layer } = images[0]!
    const writing = repository(registry.host, 'd').write(layer.descriptor, layer.source, ctx)
    await expect(writing).rejects.toMatchObject({ code: expect.stringMatching(/REGISTRY_(AUTH|DENIED)/) })
  })

  it('takes an identity token', async () => {
    const find: Credentials['find'] = async () => ({ kind: 'identity-token', token: 'not one of its own' })
    await expect(repository(registry.host, 'a/b', { credentials: { find } }).resolve('v1', ctx)).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
    })
  })
})

describe('the embedded registry over the store', () => {
  let store: Store
  let registry: RunningRegistry

  beforeAll(async () => {
    store = await openStore(join(tools.home, 'home'))
    registry = await serveRegistry({ store: serveStore(store) })
  })
  afterAll(async () => {
    await registry.close()
  })

  const copy = async (from: string, to: string): Promise<string> =>
    await tools.skopeo([
      'copy',
      '--insecure-policy',
      '--all',
      '--preserve-digests',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      from,
      to,
    ])

  it('gives skopeo what was pushed, and takes the same from skopeo', async () => {
    await push(repository(registry.host, 'r/x'))
    expect((await store.refs()).map(({ name }) => name)).toEqual([`${registry.host}/r/x:v1`])
    const folder = `dir:${join(tools.home, 'dir')}`
    await copy(`docker://${registry.host}/r/x:v1`, folder)
    expect(await readFile(join(tools.home, 'dir/manifest.json'))).toEqual(index.bytes)
    await copy(folder, `docker://${registry.host}/from/skopeo:v2`)
    await readBackAs(repository(registry.host, 'from/skopeo'), 'v2')
  })

  const readBackAs = async (from: RemoteRepository, tag: string): Promise<void> => {
    expect(await from.resolve(tag, ctx)).toEqual(index.descriptor)
  }

  it('lists tags for skopeo', async () => {
    const listed = await tools.skopeo(['list-tags', '--tls-verify=false', `docker://${registry.host}/r/x`])
    expect(JSON.parse(listed)).toMatchObject({ Tags: ['v1'] })
  })

  it('gives images of other registries by their full name', async () => {
    await store.tag('registry.local/k3s:v1', index.descriptor, ctx)
    await copy(`docker://${registry.host}/registry.local/k3s:v1`, `dir:${join(tools.home, 'k3s')}`)
    expect(await readFile(join(tools.home, 'k3s/manifest.json'))).toEqual(index.bytes)
  })

  it('copies between itself and docker-registry', async () => {
    const real = await startRealRegistry()
    try {
      await copyImage(repository(registry.host, 'r/x'), 'v1', repository(real.host, 'y'), 'v1', {}, ctx)
      expect(await readBack(repository(real.host, 'y'))).toBe(index.descriptor.digest)
    } finally {
      await real.stop()
    }
  })

  it('is closed to skopeo without the password', async () => {
    const closed = await serveRegistry({
      store: serveStore(store),
      users: usersOf([{ username: 'u', password: 'p:w' }]),
    })
    try {
      await store.tag(`${closed.host}/r/x:v1`, index.descriptor, ctx)
      const inspect = ['inspect', '--raw', '--tls-verify=false', `docker://${closed.host}/r/x:v1`]
      await expect(tools.skopeo(inspect)).rejects.toThrow(/unauthorized|authentication required/)
      expect(await tools.skopeo([...inspect, '--creds', 'u:p:w'])).toBe(index.bytes.toString())
    } finally {
      await closed.close()
    }
  })
})
