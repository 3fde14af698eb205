/**
 * What distribution-spec 1.1 asks of a registry, sentence by sentence: each row cites the section, says the rule in short, and
 * is a check against the embedded registry over a real store.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../src/core/digest.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import { type RunningRegistry, serveRegistry } from '../../../../src/oci/serve/serve.ts'
import { serveStore } from '../../../../src/oci/serve/store-adapter.ts'
import { usersOf } from '../../../../src/oci/serve/users.ts'
import { openStore, type Store } from '../../../../src/oci/store/store.ts'
import { jsonSample, type Sample, sampleImage, sampleIndex } from '../../../support/sample-image.ts'

let home: string
let store: Store
let open: RunningRegistry
let readOnly: RunningRegistry
let closed: RunningRegistry

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-spec-'))
  store = await openStore(home)
  open = await serveRegistry({ store: serveStore(store) })
  readOnly = await serveRegistry({ store: serveStore(store), readOnly: true })
  closed = await serveRegistry({ store: serveStore(store), users: usersOf([{ username: 'u', password: 'p' }]) })
})
afterAll(async () => {
  await Promise.all([open, readOnly, closed].map(registry => registry?.close()))
  await rm(home, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly header: (name: string) => string | null
  readonly body: Buffer
  readonly json: () => Record<string, unknown>
}

type Headers = Readonly<Record<string, string>>

async function askOf(
  registry: RunningRegistry,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Headers = {},
): Promise<Answer> {
  const response = await fetch(new URL(path, registry.url), {
    method,
    headers,
    ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  return {
    status: response.status,
    header: name => response.headers.get(name),
    body: bytes,
    json: () => JSON.parse(bytes.toString()) as Record<string, unknown>,
  }
}

const ask = (method: string, path: string, body?: string | Buffer, headers?: Headers): Promise<Answer> =>
  askOf(open, method, path, body, headers)

let serial = 0
/** A repository of the row's own. */
const fresh = (): string => `spec/r${++serial}`
const absent = digestOf('absent')
/** Bytes that no other row has. */
const novel = (): Buffer => randomBytes(32)

async function pushBlob(repository: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes)
  expect((await ask('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, bytes)).status).toBe(201)
  return digest
}

async function start(repository: string): Promise<string> {
  const answer = await ask('POST', `/v2/${repository}/blobs/uploads/`)
  expect(answer.status).toBe(202)
  return answer.header('location')!
}

const put = (repository: string, name: string, { bytes, descriptor }: Sample): Promise<Answer> =>
  ask('PUT', `/v2/${repository}/manifests/${name}`, bytes, { 'content-type': descriptor.mediaType })

/** An image of its own in that repository, under these tags. */
async function pushImage(repository: string, ...tags: readonly string[]): Promise<Sample> {
  const { layer, config, manifest } = sampleImage('amd64', randomBytes(16))
  for (const { bytes } of [layer, config]) await pushBlob(repository, bytes)
  for (const tag of tags) expect((await put(repository, tag, manifest)).status).toBe(201)
  return manifest
}

/** A manifest about another one. */
async function pushReferrer(
  repository: string,
  subject: Sample['descriptor'],
  fields: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly referrer: Sample; readonly answer: Answer }> {
  const config = jsonSample({ nonce: randomBytes(8).toString('hex') }, 'application/vnd.example.config+json')
  await pushBlob(repository, config.bytes)
  const value = { schemaVersion: 2, mediaType: mediaTypes.manifest, ...fields }
  const referrer = jsonSample({ ...value, config: config.descriptor, layers: [], subject }, mediaTypes.manifest)
  return { referrer, answer: await put(repository, referrer.descriptor.digest, referrer) }
}

const codeOf = (answer: Answer): unknown => (answer.json().errors as { code: string }[])[0]!.code

const rules: readonly (readonly [
  section: string,
  level: 'MUST' | 'SHOULD' | 'MAY',
  rule: string,
  check: () => Promise<void>,
])[] = [
  [
    'Determining Support',
    'MUST',
    'GET /v2/ answers 200',
    async () => {
      expect((await ask('GET', '/v2/')).status).toBe(200)
    },
  ],
  [
    'Determining Support',
    'MUST',
    'where a login is needed GET /v2/ answers 401 and says how',
    async () => {
      const answer = await askOf(closed, 'GET', '/v2/')
      expect([answer.status, codeOf(answer)]).toEqual([401, 'UNAUTHORIZED'])
      expect(answer.header('www-authenticate')).toMatch(/^Basic realm=/)
    },
  ],

  [
    'Pulling Manifests',
    'MUST',
    'a name is of the grammar; another one is NAME_INVALID',
    async () => {
      for (const name of ['UPPER', 'a//b', 'a/-b', 'a..b', 'a/_b', 'ä']) {
        const answer = await ask('GET', `/v2/${encodeURI(name)}/manifests/v1`)
        expect([name, answer.status, codeOf(answer)]).toEqual([name, 400, 'NAME_INVALID'])
      }
    },
  ],
  [
    'Pulling Manifests',
    'MUST',
    'a tag has at most 128 characters of the grammar',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository)
      expect((await put(repository, 't'.repeat(128), manifest)).status).toBe(201)
      expect((await put(repository, '_A.b-9', manifest)).status).toBe(201)
      for (const tag of ['t'.repeat(129), '.t', '-t', 'a+b'])
        expect((await put(repository, tag, manifest)).status).toBe(400)
    },
  ],
  [
    'Pulling Manifests',
    'MUST',
    'GET on a manifest, by tag or digest, answers 200 with its very bytes',
    async () => {
      const repository = fresh()
      const { bytes, descriptor } = await pushImage(repository, 'v1')
      for (const name of ['v1', descriptor.digest]) {
        const answer = await ask('GET', `/v2/${repository}/manifests/${name}`)
        expect([answer.status, answer.body]).toEqual([200, bytes])
      }
    },
  ],
  [
    'Pulling Manifests',
    'SHOULD',
    'Docker-Content-Digest is the digest of the body',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'v1')
      const answer = await ask('GET', `/v2/${repository}/manifests/v1`)
      expect(answer.header('docker-content-digest')).toBe(digestOf(answer.body))
    },
  ],
  [
    'Pulling Manifests',
    'SHOULD',
    'Content-Type is the mediaType of the manifest, without parameters',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'v1')
      expect((await ask('GET', `/v2/${repository}/manifests/v1`)).header('content-type')).toBe(mediaTypes.manifest)
    },
  ],
  [
    'Pulling Manifests',
    'SHOULD',
    'the Accept header tells what the client takes: an index is not sent to who takes manifests only',
    async () => {
      const repository = fresh()
      const { index, images } = sampleIndex(['amd64', 'arm64'], randomBytes(16))
      for (const image of images) {
        for (const { bytes } of [image.layer, image.config]) await pushBlob(repository, bytes)
        await put(repository, image.manifest.descriptor.digest, image.manifest)
      }
      await put(repository, 'v1', index)
      const get = async (accept: string): Promise<number> =>
        (await ask('GET', `/v2/${repository}/manifests/v1`, undefined, { accept })).status
      expect(await get(mediaTypes.manifest)).toBe(404)
      expect(await get(`${mediaTypes.index};q=0, ${mediaTypes.manifest}`)).toBe(404)
      for (const accept of [`${mediaTypes.manifest}, ${mediaTypes.index}`, '*/*', 'application/*', ''])
        expect(await get(accept)).toBe(200)
    },
  ],
  [
    'Pulling Manifests',
    'MUST',
    'a manifest that is not there is 404, and so is a repository that is not there',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'v1')
      for (const path of [
        `${repository}/manifests/v2`,
        `${repository}/manifests/${absent}`,
        `${fresh()}/manifests/v1`,
      ]) {
        const answer = await ask('GET', `/v2/${path}`)
        expect([answer.status, codeOf(answer)]).toEqual([404, 'MANIFEST_UNKNOWN'])
      }
    },
  ],
  [
    'Pulling Blobs',
    'MUST',
    'GET on a blob answers 200 with its bytes',
    async () => {
      const repository = fresh()
      const bytes = novel()
      const answer = await ask('GET', `/v2/${repository}/blobs/${await pushBlob(repository, bytes)}`)
      expect([answer.status, answer.body]).toEqual([200, bytes])
    },
  ],
  [
    'Pulling Blobs',
    'SHOULD',
    'Docker-Content-Digest matches the body',
    async () => {
      const repository = fresh()
      const answer = await ask('GET', `/v2/${repository}/blobs/${await pushBlob(repository, novel())}`)
      expect(answer.header('docker-content-digest')).toBe(digestOf(answer.body))
    },
  ],
  [
    'Pulling Blobs',
    'MUST',
    'a blob that is not there is 404 BLOB_UNKNOWN',
    async () => {
      const answer = await ask('GET', `/v2/${fresh()}/blobs/${absent}`)
      expect([answer.status, codeOf(answer)]).toEqual([404, 'BLOB_UNKNOWN'])
    },
  ],
  [
    'Pulling Blobs',
    'SHOULD',
    'Range is honoured as RFC 9110 has it: 206, Content-Range, 416 beyond the end, If-Range',
    async () => {
      const repository = fresh()
      const digest = await pushBlob(repository, Buffer.from(`0123456789${repository}`))
      const get = (headers: Headers): Promise<Answer> =>
        ask('GET', `/v2/${repository}/blobs/${digest}`, undefined, headers)
      const part = await get({ range: 'bytes=2-4' })
      expect([part.status, part.body.toString()]).toEqual([206, '234'])
      expect(part.header('content-range')).toMatch(/^bytes 2-4\/\d+$/)
      expect((await get({ range: 'bytes=9999-' })).status).toBe(416)
      expect((await get({ range: 'bytes=2-4', 'if-range': `"${digest}"` })).status).toBe(206)
      expect((await get({ range: 'bytes=2-4', 'if-range': '"other"' })).status).toBe(200)
    },
  ],
  [
    'Pulling Blobs',
    'SHOULD',
    'a range of a layer that the store puts together from parts is the same bytes',
    async () => {
      const part = await store.put(randomBytes(5000), 'application/octet-stream')
      const inline = [randomBytes(512), randomBytes(1024)] as const
      const whole = Buffer.concat([inline[0], await store.read(part, 5000, neverAborted), inline[1]])
      const digest = digestOf(whole)
      const segments = [{ inline: inline[0] }, { blob: part.digest, offset: 0, length: 5000 }, { inline: inline[1] }]
      await store.putRecipe(digest, { size: whole.length, segments })
      const path = `/v2/${fresh()}/blobs/${digest}`
      expect((await ask('GET', path)).body).toEqual(whole)
      const answer = await ask('GET', path, undefined, { range: 'bytes=500-5600' })
      expect([answer.status, answer.body]).toEqual([206, whole.subarray(500, 5601)])
    },
  ],
  [
    'Checking if content exists',
    'MUST',
    'HEAD on a manifest and a blob answers 200, without a body',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'v1')
      const digest = await pushBlob(repository, novel())
      for (const path of [`manifests/v1`, `blobs/${digest}`]) {
        const answer = await ask('HEAD', `/v2/${repository}/${path}`)
        expect([answer.status, answer.body.length]).toEqual([200, 0])
      }
    },
  ],
  [
    'Checking if content exists',
    'SHOULD',
    'HEAD says the size in Content-Length and the digest in Docker-Content-Digest',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      const answer = await ask('HEAD', `/v2/${repository}/manifests/v1`)
      expect(answer.header('content-length')).toBe(String(descriptor.size))
      expect(answer.header('docker-content-digest')).toBe(descriptor.digest)
      const digest = await pushBlob(repository, novel())
      expect((await ask('HEAD', `/v2/${repository}/blobs/${digest}`)).header('content-length')).toBe('32')
    },
  ],
  [
    'Checking if content exists',
    'MUST',
    'HEAD on what is not there is 404',
    async () => {
      expect((await ask('HEAD', `/v2/${fresh()}/manifests/v1`)).status).toBe(404)
      expect((await ask('HEAD', `/v2/${fresh()}/blobs/${absent}`)).status).toBe(404)
    },
  ],

  [
    'POST then PUT',
    'MUST',
    'POST answers 202 with a Location that has a session of its own',
    async () => {
      const repository = fresh()
      const places = [await start(repository), await start(repository)]
      for (const place of places) expect(place).toMatch(/[0-9a-f]{8}-[0-9a-f-]{27}$/)
      expect(places[0]).not.toBe(places[1])
    },
  ],
  [
    'POST then PUT',
    'MUST',
    'PUT with the digest answers 201 with the Location of a blob that can be pulled',
    async () => {
      const bytes = novel()
      const answer = await ask('PUT', `${await start(fresh())}?digest=${digestOf(bytes)}`, bytes)
      expect(answer.status).toBe(201)
      expect((await ask('GET', answer.header('location')!)).body).toEqual(bytes)
    },
  ],
  [
    'POST then PUT',
    'MUST',
    'bytes that do not match the digest are refused and not kept',
    async () => {
      const repository = fresh()
      const bytes = novel()
      const answer = await ask('PUT', `${await start(repository)}?digest=${absent}`, bytes)
      expect([answer.status, codeOf(answer)]).toEqual([400, 'DIGEST_INVALID'])
      expect((await ask('HEAD', `/v2/${repository}/blobs/${digestOf(bytes)}`)).status).toBe(404)
    },
  ],
  [
    'POST then PUT',
    'MUST',
    'PUT without a digest is refused',
    async () => {
      expect((await ask('PUT', await start(fresh()), novel())).status).toBe(400)
    },
  ],
  [
    'Single POST',
    'MUST',
    'POST with the digest and all bytes answers 201 with a Location that can be pulled',
    async () => {
      const bytes = novel()
      const answer = await ask('POST', `/v2/${fresh()}/blobs/uploads/?digest=${digestOf(bytes)}`, bytes)
      expect(answer.status).toBe(201)
      expect((await ask('GET', answer.header('location')!)).body).toEqual(bytes)
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'each PATCH answers 202 with Location and Range, the PUT 201 with the blob’s Location',
    async () => {
      const bytes = novel()
      let place = await start(fresh())
      for (const [from, to] of [
        [0, 9],
        [10, 19],
      ] as const) {
        const answer = await ask('PATCH', place, bytes.subarray(from, to + 1), { 'content-range': `${from}-${to}` })
        expect([answer.status, answer.header('range')]).toEqual([202, `0-${to}`])
        place = answer.header('location')!
      }
      const last = { 'content-range': `20-${bytes.length - 1}` }
      const answer = await ask('PUT', `${place}?digest=${digestOf(bytes)}`, bytes.subarray(20), last)
      expect(answer.status).toBe(201)
      expect((await ask('GET', answer.header('location')!)).body).toEqual(bytes)
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'the closing PUT may have no body',
    async () => {
      const bytes = novel()
      const place = (await ask('PATCH', await start(fresh()), bytes)).header('location')!
      expect((await ask('PUT', `${place}?digest=${digestOf(bytes)}`)).status).toBe(201)
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'a chunk out of order, or no range at all, is 416; so is such a closing PUT',
    async () => {
      const bytes = novel()
      const place = await start(fresh())
      await ask('PATCH', place, bytes.subarray(0, 10), { 'content-range': '0-9' })
      for (const range of ['20-29', '0-9', '9-18', 'x-y', '12-10'])
        expect((await ask('PATCH', place, bytes.subarray(0, 10), { 'content-range': range })).status).toBe(416)
      const closing = `${place}?digest=${digestOf(bytes)}`
      expect((await ask('PUT', closing, bytes.subarray(20), { 'content-range': '20-31' })).status).toBe(416)
      expect((await ask('PUT', closing, bytes.subarray(10), { 'content-range': '10-31' })).status).toBe(201)
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'a Content-Range that is not as long as the body is refused',
    async () => {
      const answer = await ask('PATCH', await start(fresh()), novel(), { 'content-range': '0-9' })
      expect([answer.status, codeOf(answer)]).toEqual([400, 'SIZE_INVALID'])
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'GET on the session answers 204 with Location and Range',
    async () => {
      const place = await start(fresh())
      await ask('PATCH', place, Buffer.alloc(10))
      const answer = await ask('GET', place)
      expect([answer.status, answer.header('range')]).toEqual([204, '0-9'])
      expect(answer.header('location')).toBe(place)
    },
  ],
  [
    'Pushing a blob in chunks',
    'MUST',
    'a session that is not there, or is over, or was cancelled by DELETE, is 404 BLOB_UPLOAD_UNKNOWN',
    async () => {
      const repository = fresh()
      const cancelled = await start(repository)
      expect((await ask('DELETE', cancelled)).status).toBe(204)
      const over = await start(repository)
      const bytes = novel()
      await ask('PUT', `${over}?digest=${digestOf(bytes)}`, bytes)
      for (const place of [cancelled, over, `/v2/${repository}/blobs/uploads/none`]) {
        const answer = await ask('PATCH', place, 'x')
        expect([answer.status, codeOf(answer)]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
      }
    },
  ],
  [
    'Mounting a blob from another repository',
    'MUST',
    'a mount answers 201 with the Location of the blob, which can be pulled',
    async () => {
      const from = fresh()
      const bytes = novel()
      const digest = await pushBlob(from, bytes)
      const answer = await ask('POST', `/v2/${fresh()}/blobs/uploads/?mount=${digest}&from=${from}`)
      expect(answer.status).toBe(201)
      expect((await ask('GET', answer.header('location')!)).body).toEqual(bytes)
    },
  ],
  [
    'Mounting a blob from another repository',
    'MUST',
    'a `from` that is no name is NAME_INVALID, and leads nowhere',
    async () => {
      const digest = await pushBlob(fresh(), novel())
      const answer = await ask('POST', `/v2/${fresh()}/blobs/uploads/?mount=${digest}&from=../../../etc`)
      expect([answer.status, codeOf(answer)]).toEqual([400, 'NAME_INVALID'])
    },
  ],
  [
    'Mounting a blob from another repository',
    'MAY',
    'a mount needs no `from`',
    async () => {
      const digest = await pushBlob(fresh(), novel())
      expect((await ask('POST', `/v2/${fresh()}/blobs/uploads/?mount=${digest}`)).status).toBe(201)
    },
  ],
  [
    'Mounting a blob from another repository',
    'SHOULD',
    'where nothing can be mounted a session is opened: 202, Location, and it takes the blob',
    async () => {
      const bytes = novel()
      const digest = digestOf(bytes)
      const answer = await ask('POST', `/v2/${fresh()}/blobs/uploads/?mount=${digest}&from=${fresh()}`)
      expect(answer.status).toBe(202)
      expect((await ask('PUT', `${answer.header('location')}?digest=${digest}`, bytes)).status).toBe(201)
    },
  ],

  [
    'Pushing Manifests',
    'MUST',
    'PUT answers 201 with a Location that can be pulled, byte for byte',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository)
      const spaced = { ...manifest, bytes: Buffer.from(JSON.stringify(JSON.parse(manifest.bytes.toString()), null, 3)) }
      const answer = await put(repository, 'v1', spaced)
      expect(answer.status).toBe(201)
      expect((await ask('GET', answer.header('location')!)).body).toEqual(spaced.bytes)
    },
  ],
  [
    'Pushing Manifests',
    'MUST',
    'Docker-Content-Digest is the digest that the client computes',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository)
      expect((await put(repository, 'v1', manifest)).header('docker-content-digest')).toBe(manifest.descriptor.digest)
    },
  ],
  [
    'Pushing Manifests',
    'MUST',
    'by digest it takes what has that digest only',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository)
      expect((await put(repository, manifest.descriptor.digest, manifest)).status).toBe(201)
      const answer = await put(repository, absent, manifest)
      expect([answer.status, codeOf(answer)]).toEqual([400, 'DIGEST_INVALID'])
    },
  ],
  [
    'Pushing Manifests',
    'SHOULD',
    'a manifest may say its type by Content-Type alone or by mediaType alone; contradictions are MANIFEST_INVALID',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository)
      const { mediaType: _type, ...bare } = JSON.parse(manifest.bytes.toString()) as Record<string, unknown>
      const docker = jsonSample(bare, mediaTypes.dockerManifest)
      expect((await put(repository, 'docker', docker)).status).toBe(201)
      const got = await ask('GET', `/v2/${repository}/manifests/docker`)
      expect(got.header('content-type')).toBe(mediaTypes.dockerManifest)
      expect((await ask('PUT', `/v2/${repository}/manifests/bare`, manifest.bytes)).status).toBe(201)
      const wrong = { 'content-type': mediaTypes.index }
      const answer = await ask('PUT', `/v2/${repository}/manifests/wrong`, manifest.bytes, wrong)
      expect([answer.status, codeOf(answer)]).toEqual([400, 'MANIFEST_INVALID'])
    },
  ],
  [
    'Pushing Manifests',
    'MUST',
    'an unknown artifactType, config or layer media type is no reason to refuse',
    async () => {
      const repository = fresh()
      const parts = [jsonSample({}, 'application/x.config'), jsonSample({ a: serial }, 'application/x.layer')] as const
      for (const { bytes } of parts) await pushBlob(repository, bytes)
      const value = { schemaVersion: 2, mediaType: mediaTypes.manifest, artifactType: 'application/x.thing' }
      const [config, layer] = parts
      const artifact = jsonSample(
        { ...value, config: config.descriptor, layers: [layer.descriptor] },
        mediaTypes.manifest,
      )
      expect((await put(repository, 'v1', artifact)).status).toBe(201)
    },
  ],
  [
    'Pushing Manifests',
    'MAY',
    'a manifest whose blobs, or an index whose manifests, are not here is refused: 404 MANIFEST_BLOB_UNKNOWN',
    async () => {
      const { manifest } = sampleImage('amd64', randomBytes(16))
      const { index } = sampleIndex(['amd64'], randomBytes(16))
      for (const document of [manifest, index]) {
        const answer = await put(fresh(), 'v1', document)
        expect([answer.status, codeOf(answer)]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
      }
    },
  ],
  [
    'Pushing Manifests',
    'SHOULD',
    'a manifest of 4 MiB is taken, a larger one is 413',
    async () => {
      const repository = fresh()
      const config = jsonSample({ of: repository }, mediaTypes.config)
      await pushBlob(repository, config.bytes)
      const padded = (size: number): Sample => {
        const value = { schemaVersion: 2, mediaType: mediaTypes.manifest, config: config.descriptor, layers: [] }
        const length = JSON.stringify({ ...value, annotations: { pad: '' } }).length
        return jsonSample({ ...value, annotations: { pad: 'x'.repeat(size - length) } }, mediaTypes.manifest)
      }
      const most = 4 * 1024 * 1024
      expect((await put(repository, 'v1', padded(most))).status).toBe(201)
      expect((await put(repository, 'v2', padded(most + 1))).status).toBe(413)
    },
  ],
  [
    'Pushing Manifests with Subject',
    'MUST',
    'the answer says OCI-Subject, also where the subject is not here',
    async () => {
      const repository = fresh()
      const subject = { mediaType: mediaTypes.manifest, digest: digestOf(repository), size: 7 }
      const { answer } = await pushReferrer(repository, subject)
      expect([answer.status, answer.header('oci-subject')]).toEqual([201, subject.digest])
    },
  ],

  [
    'Listing Tags',
    'MUST',
    'the answer is 200 with name and tags in case-insensitive order',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'b', 'A', 'c', 'B', 'a1')
      const answer = await ask('GET', `/v2/${repository}/tags/list`)
      expect([answer.status, answer.json()]).toEqual([200, { name: repository, tags: ['A', 'a1', 'B', 'b', 'c'] }])
    },
  ],
  [
    'Listing Tags',
    'MUST',
    '`n` gives so many, with a Link to the rest; following it gives every tag once',
    async () => {
      const repository = fresh()
      const tags = ['a', 'B', 'b', 'C', 'd']
      await pushImage(repository, ...tags)
      const seen: unknown[] = []
      let path: string | undefined = `/v2/${repository}/tags/list?n=2`
      for (let pages = 0; path !== undefined && pages < 9; pages++) {
        const answer: Answer = await ask('GET', path)
        seen.push(answer.json().tags)
        path = /^<(.*)>; rel="next"$/.exec(answer.header('link') ?? '')?.[1]
      }
      expect(seen).toEqual([['a', 'B'], ['b', 'C'], ['d']])
    },
  ],
  [
    'Listing Tags',
    'MUST',
    '`n=0` gives an empty list and no Link',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'a')
      const answer = await ask('GET', `/v2/${repository}/tags/list?n=0`)
      expect([answer.json().tags, answer.header('link')]).toEqual([[], null])
    },
  ],
  [
    'Listing Tags',
    'MUST',
    '`last` begins behind that tag, whether it is there or not, and needs no `n`',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'a', 'c', 'e')
      const after = async (last: string): Promise<unknown> =>
        (await ask('GET', `/v2/${repository}/tags/list?last=${last}`)).json().tags
      expect([await after('a'), await after('b'), await after('e')]).toEqual([['c', 'e'], ['c', 'e'], []])
    },
  ],
  [
    'Listing Tags',
    'MUST',
    'a repository that is not there is 404 NAME_UNKNOWN; an `n` that is no number is refused',
    async () => {
      const answer = await ask('GET', `/v2/${fresh()}/tags/list`)
      expect([answer.status, codeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
      expect((await ask('GET', `/v2/${fresh()}/tags/list?n=-1`)).status).toBe(400)
    },
  ],
  [
    'Listing Referrers',
    'MUST',
    'never 404: an empty index where nothing refers, its Content-Type that of an index',
    async () => {
      const answer = await ask('GET', `/v2/${fresh()}/referrers/${absent}`)
      expect([answer.status, answer.header('content-type')]).toEqual([200, mediaTypes.index])
      expect(answer.json()).toEqual({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] })
    },
  ],
  [
    'Listing Referrers',
    'MUST',
    'a digest that is none is 400',
    async () => {
      expect((await ask('GET', `/v2/${fresh()}/referrers/sha256:xyz`)).status).toBe(400)
    },
  ],
  [
    'Listing Referrers',
    'MUST',
    'descriptors have artifactType (else the config’s mediaType) and the annotations of the manifest',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      const typed = await pushReferrer(repository, descriptor, { artifactType: 'a/b', annotations: { k: 'v' } })
      const untyped = await pushReferrer(repository, descriptor)
      const { manifests } = (await ask('GET', `/v2/${repository}/referrers/${descriptor.digest}`)).json()
      const listed = [
        { ...typed.referrer.descriptor, artifactType: 'a/b', annotations: { k: 'v' } },
        { ...untyped.referrer.descriptor, artifactType: 'application/vnd.example.config+json' },
      ]
      expect(new Set(manifests as object[])).toEqual(new Set(listed))
    },
  ],
  [
    'Listing Referrers',
    'MUST',
    'what was pushed before its subject is listed',
    async () => {
      const repository = fresh()
      const { layer, config, manifest } = sampleImage('amd64', randomBytes(16))
      const { referrer } = await pushReferrer(repository, manifest.descriptor)
      for (const { bytes } of [layer, config]) await pushBlob(repository, bytes)
      await put(repository, 'v1', manifest)
      const answer = await ask('GET', `/v2/${repository}/referrers/${manifest.descriptor.digest}`)
      expect(answer.json().manifests).toMatchObject([{ digest: referrer.descriptor.digest }])
    },
  ],
  [
    'Listing Referrers',
    'SHOULD',
    'artifactType filters, and OCI-Filters-Applied says so',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      await pushReferrer(repository, descriptor, { artifactType: 'a/b' })
      const { referrer } = await pushReferrer(repository, descriptor, { artifactType: 'c/d' })
      const path = `/v2/${repository}/referrers/${descriptor.digest}`
      const answer = await ask('GET', `${path}?artifactType=${encodeURIComponent('c/d')}`)
      expect(answer.header('oci-filters-applied')).toBe('artifactType')
      expect(answer.json().manifests).toMatchObject([{ digest: referrer.descriptor.digest }])
      expect((await ask('GET', path)).header('oci-filters-applied')).toBeNull()
    },
  ],

  [
    'Deleting tags',
    'MUST',
    'DELETE by tag answers 202, the tag is 404 then, the manifest and its other tags stay',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1', 'v2')
      expect((await ask('DELETE', `/v2/${repository}/manifests/v1`)).status).toBe(202)
      expect((await ask('GET', `/v2/${repository}/manifests/v1`)).status).toBe(404)
      for (const name of ['v2', descriptor.digest])
        expect((await ask('GET', `/v2/${repository}/manifests/${name}`)).status).toBe(200)
    },
  ],
  [
    'Deleting Manifests',
    'MUST',
    'DELETE by digest answers 202; the digest and every tag of it are 404 then, in this repository only',
    async () => {
      const repository = fresh()
      const manifest = await pushImage(repository, 'v1', 'v2')
      const other = fresh()
      await put(other, 'v1', manifest)
      const { digest } = manifest.descriptor
      expect((await ask('DELETE', `/v2/${repository}/manifests/${digest}`)).status).toBe(202)
      for (const name of ['v1', 'v2', digest])
        expect((await ask('GET', `/v2/${repository}/manifests/${name}`)).status).toBe(404)
      expect((await ask('GET', `/v2/${other}/manifests/v1`)).status).toBe(200)
      expect((await put(repository, 'v1', manifest)).status).toBe(201)
      expect((await ask('GET', `/v2/${repository}/manifests/${digest}`)).status).toBe(200)
    },
  ],
  [
    'Deleting Manifests',
    'MUST',
    'what is not there is 404, and a deleted one too',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      const path = `/v2/${repository}/manifests/${descriptor.digest}`
      expect((await ask('DELETE', path)).status).toBe(202)
      for (const name of [path, `/v2/${repository}/manifests/v9`, `/v2/${fresh()}/manifests/${absent}`])
        expect((await ask('DELETE', name)).status).toBe(404)
    },
  ],
  [
    'Deleting Manifests',
    'MUST',
    'a deleted manifest is no longer listed as a referrer',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      const { referrer } = await pushReferrer(repository, descriptor)
      await ask('DELETE', `/v2/${repository}/manifests/${referrer.descriptor.digest}`)
      const answer = await ask('GET', `/v2/${repository}/referrers/${descriptor.digest}`)
      expect(answer.json().manifests).toEqual([])
    },
  ],
  [
    'Deleting Blobs',
    'MUST',
    'DELETE answers 202 and the blob is 404 then, until it is pushed or mounted again',
    async () => {
      const repository = fresh()
      const bytes = novel()
      const path = `/v2/${repository}/blobs/${await pushBlob(repository, bytes)}`
      expect((await ask('DELETE', path)).status).toBe(202)
      for (const method of ['GET', 'HEAD', 'DELETE']) expect((await ask(method, path)).status).toBe(404)
      const mount = `uploads/?mount=${digestOf(bytes)}&from=`
      expect((await ask('POST', `/v2/${fresh()}/blobs/${mount}${repository}`)).status).toBe(202)
      await pushBlob(repository, bytes)
      expect((await ask('GET', path)).status).toBe(200)
    },
  ],
  [
    'Deleting Blobs',
    'MUST',
    'a blob that is not there is 404',
    async () => {
      expect((await ask('DELETE', `/v2/${fresh()}/blobs/${absent}`)).status).toBe(404)
    },
  ],
  [
    'Deleting Blobs',
    'MUST',
    'where deleting (and pushing) is disabled the answer is 405 UNSUPPORTED with Allow',
    async () => {
      const repository = fresh()
      const { descriptor } = await pushImage(repository, 'v1')
      for (const [method, path] of [
        ['DELETE', 'manifests/v1'],
        ['DELETE', `manifests/${descriptor.digest}`],
        ['DELETE', `blobs/${descriptor.digest}`],
        ['PUT', 'manifests/v1'],
        ['POST', 'blobs/uploads/'],
      ] as const) {
        const answer = await askOf(readOnly, method, `/v2/${repository}/${path}`)
        expect([answer.status, codeOf(answer), answer.header('allow')]).toEqual([405, 'UNSUPPORTED', 'GET, HEAD'])
      }
    },
  ],

  [
    'Error Codes',
    'MUST',
    'errors are {errors: [{code, message}]}, codes of capital letters and underscores',
    async () => {
      for (const [method, path] of [
        ['GET', `/v2/${fresh()}/blobs/${absent}`],
        ['GET', '/v2/a/blobs/sha512:00'],
        ['POST', '/v2/'],
        ['DELETE', '/v2/_catalog'],
        ['GET', '/nowhere'],
      ] as const) {
        const answer = await ask(method, path)
        expect(answer.header('content-type')).toBe('application/json')
        const errors = answer.json().errors as { code: string; message: string }[]
        expect(errors).toHaveLength(1)
        expect(errors[0]!.code).toMatch(/^[A-Z_]+$/)
        expect(errors[0]!.message).not.toBe('')
      }
    },
  ],
  [
    'Error Codes',
    'SHOULD',
    'a digest of an algorithm that the store does not have is refused as DIGEST_INVALID',
    async () => {
      const digest = `sha512:${'0'.repeat(128)}`
      for (const path of [`blobs/${digest}`, `referrers/${digest}`]) {
        const answer = await ask('GET', `/v2/${fresh()}/${path}`)
        expect([answer.status, codeOf(answer)]).toEqual([400, 'DIGEST_INVALID'])
      }
    },
  ],
  [
    'RFC 9110 §13',
    'SHOULD',
    'If-None-Match with the ETag is 304, for manifests and blobs',
    async () => {
      const repository = fresh()
      await pushImage(repository, 'v1')
      const digest = await pushBlob(repository, novel())
      for (const path of ['manifests/v1', `blobs/${digest}`]) {
        const etag = (await ask('HEAD', `/v2/${repository}/${path}`)).header('etag')!
        const get = async (tag: string): Promise<number> =>
          (await ask('GET', `/v2/${repository}/${path}`, undefined, { 'if-none-match': tag })).status
        expect([await get(etag), await get(`"x", W/${etag}`), await get('"x"')]).toEqual([304, 304, 200])
      }
    },
  ],
]

const neverAborted = { signal: new AbortController().signal, events: () => {} }

describe.each([...Map.groupBy(rules, ([section]) => section)])('%s', (_section, group) => {
  it.each(group.map(([, level, rule, check]) => [level, rule, check] as const))(
    '%s: %s',
    async (_level, _rule, check) => {
      await expect(check()).resolves.toBeUndefined()
    },
  )
})

describe('_catalog, as distribution has it', () => {
  it.each([
    ['?n=1', 200, true, 'repositories'],
    ['?n=0', 200, false, 'repositories'],
    ['?n=1000', 200, false, 'repositories'],
    ['?n=1001', 400, false, 'PAGINATION_NUMBER_INVALID'],
    ['?n=x', 200, false, 'repositories'],
  ])('%s', async (query, status, more, said) => {
    await pushImage('catalog/a', 'v1')
    await pushImage('catalog/b', 'v1')
    const answer = await ask('GET', `/v2/_catalog${query}`)
    expect([answer.status, answer.header('link') !== null]).toEqual([status, more])
    expect(answer.body.toString()).toContain(said)
  })
})
