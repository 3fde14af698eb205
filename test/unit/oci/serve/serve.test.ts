import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Event } from '../../../../src/core/context.ts'
import { digestOf } from '../../../../src/core/digest.ts'
import { fileError } from '../../../../src/io/files.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import { type RunningRegistry, serveRegistry, type ServeOptions } from '../../../../src/oci/serve/serve.ts'
import { usersOf } from '../../../../src/oci/serve/users.ts'
import { memoryStore, type MemoryStore } from '../../../support/memory-store.ts'
import { jsonSample, sampleImage, sampleIndex } from '../../../support/sample-image.ts'

let store: MemoryStore
let registry: RunningRegistry

async function start(options: Partial<ServeOptions> = {}): Promise<void> {
  await registry?.close()
  registry = await serveRegistry({ store, ...options })
}

beforeEach(async () => {
  store = memoryStore()
  registry = await serveRegistry({ store })
})

afterEach(async () => {
  await registry.close()
})

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

async function ask(
  method: string,
  path: string,
  body?: Buffer | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(new URL(path, registry.url), {
    method,
    headers,
    ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }),
  })
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) }
}

function codeOf(answer: Answer): string {
  return (JSON.parse(answer.body.toString()) as { errors: { code: string }[] }).errors[0]!.code
}

async function session(): Promise<string> {
  const answer = await ask('POST', '/v2/r/x/blobs/uploads/')
  expect(answer.status).toBe(202)
  return answer.headers.get('location')!
}

/** A request whose connection breaks before its body is complete. */
async function cutOff(request: string, length: number, part: string): Promise<void> {
  const [host, port] = registry.host.split(':')
  await new Promise<void>(resolve => {
    const socket = connect(Number(port), host, () => {
      socket.write(`${request} HTTP/1.1\r\nhost: ${registry.host}\r\ncontent-length: ${length}\r\n\r\n${part}`)
      setTimeout(() => socket.destroy(), 50)
    })
    socket.on('close', () => resolve())
  })
}

const hello = Buffer.from('hello')
const helloDigest = digestOf(hello)

describe('uploads', () => {
  it('takes a whole blob by POST and PUT', async () => {
    const put = await ask('PUT', `${await session()}?digest=${helloDigest}`, hello)
    expect(put.status).toBe(201)
    expect(put.headers.get('location')).toBe(`/v2/r/x/blobs/${helloDigest}`)
    expect(store.blobs.get(helloDigest)).toEqual(hello)
  })

  it('takes a whole blob by one POST', async () => {
    expect((await ask('POST', `/v2/r/x/blobs/uploads/?digest=${helloDigest}`, hello)).status).toBe(201)
    expect(store.blobs.has(helloDigest)).toBe(true)
  })

  it('takes chunks in order and tells where it stands', async () => {
    const place = await session()
    const first = await ask('PATCH', place, 'he', { 'content-range': '0-1' })
    expect([first.status, first.headers.get('range')]).toEqual([202, '0-1'])
    const wrong = await ask('PATCH', place, 'xx', { 'content-range': '3-4' })
    expect([wrong.status, wrong.headers.get('range'), codeOf(wrong)]).toEqual([416, '0-1', 'BLOB_UPLOAD_INVALID'])
    const state = await ask('GET', place)
    expect([state.status, state.headers.get('range')]).toEqual([204, '0-1'])
    expect((await ask('PATCH', place, 'll', { 'content-range': '2-3' })).headers.get('range')).toBe('0-3')
    expect((await ask('PUT', `${place}?digest=${helloDigest}`, 'o')).status).toBe(201)
    expect(store.blobs.get(helloDigest)).toEqual(hello)
    expect((await ask('GET', place)).status).toBe(404)
  })

  it('keeps the bytes that came before a connection was cut', async () => {
    const place = await session()
    await cutOff(`PATCH ${place}`, 5, 'hel')
    await expect.poll(async () => (await ask('GET', place)).headers.get('range')).toBe('0-2')
    await expect.poll(async () => (await ask('PUT', `${place}?digest=${helloDigest}`, 'lo')).status).toBe(201)
  })

  it('keeps the bytes of a PUT that was cut, and goes on from there', async () => {
    const place = await session()
    await cutOff(`PUT ${place}?digest=${helloDigest}`, 5, 'hel')
    await expect.poll(async () => (await ask('GET', place)).headers.get('range')).toBe('0-2')
    const rest = { 'content-range': '3-4' }
    await expect.poll(async () => (await ask('PUT', `${place}?digest=${helloDigest}`, 'lo', rest)).status).toBe(201)
    expect(store.blobs.get(helloDigest)).toEqual(hello)
  })

  it.each([
    ['another digest than promised', `sha256:${'0'.repeat(64)}`, 'DIGEST_INVALID'],
    ['no digest', '', 'DIGEST_INVALID'],
    ['an algorithm that it does not know', `sha512:${'0'.repeat(128)}`, 'DIGEST_INVALID'],
  ])('refuses %s', async (_what, digest, code) => {
    const put = await ask('PUT', `${await session()}?digest=${digest}`, hello)
    expect([put.status, codeOf(put)]).toEqual([400, code])
    expect(store.blobs.size).toBe(0)
  })

  it('refuses another digest than promised after chunks', async () => {
    const place = await session()
    await ask('PATCH', place, 'hell')
    const put = await ask('PUT', `${place}?digest=${digestOf('other')}`, 'o')
    expect([put.status, codeOf(put)]).toEqual([400, 'DIGEST_INVALID'])
  })

  it('mounts what it has and opens a session for what it has not', async () => {
    store.blobs.set(helloDigest, hello)
    expect((await ask('POST', `/v2/r/y/blobs/uploads/?mount=${helloDigest}&from=r/x`)).status).toBe(201)
    expect((await ask('POST', `/v2/r/y/blobs/uploads/?mount=${digestOf('no')}&from=r/x`)).status).toBe(202)
  })

  it('knows a session only in its own repository, and not after DELETE', async () => {
    const place = await session()
    expect((await ask('GET', place.replace('/r/x/', '/r/y/'))).status).toBe(404)
    expect((await ask('DELETE', place)).status).toBe(204)
    expect(codeOf(await ask('PATCH', place, 'x'))).toBe('BLOB_UPLOAD_UNKNOWN')
  })
})

describe('blobs', () => {
  beforeEach(() => store.blobs.set(helloDigest, hello))

  it.each([
    [undefined, 200, 'hello', null],
    ['bytes=1-3', 206, 'ell', 'bytes 1-3/5'],
    ['bytes=3-', 206, 'lo', 'bytes 3-4/5'],
    ['bytes=3-99', 206, 'lo', 'bytes 3-4/5'],
    ['bytes=-2', 206, 'lo', 'bytes 3-4/5'],
    ['bytes=-99', 206, 'hello', 'bytes 0-4/5'],
    ['bytes=0-0', 206, 'h', 'bytes 0-0/5'],
    ['bytes=0-1,3-4', 200, 'hello', null],
    ['bytes=3-1', 200, 'hello', null],
    ['items=0-1', 200, 'hello', null],
    ['bytes=5-', 416, '', 'bytes */5'],
    ['bytes=-0', 416, '', 'bytes */5'],
  ])('answers Range %s with %i', async (range, status, text, contentRange) => {
    const answer = await ask('GET', `/v2/r/x/blobs/${helloDigest}`, undefined, range === undefined ? {} : { range })
    expect([answer.status, answer.body.toString(), answer.headers.get('content-range')]).toEqual([
      status,
      text,
      contentRange,
    ])
  })

  it('answers HEAD with the size and no body', async () => {
    const answer = await ask('HEAD', `/v2/r/x/blobs/${helloDigest}`)
    expect([answer.status, answer.headers.get('content-length'), answer.body.length]).toEqual([200, '5', 0])
    expect(answer.headers.get('docker-content-digest')).toBe(helloDigest)
  })

  it('does not know an absent one', async () => {
    const answer = await ask('GET', `/v2/r/x/blobs/${digestOf('absent')}`)
    expect([answer.status, codeOf(answer)]).toEqual([404, 'BLOB_UNKNOWN'])
  })
})

describe('manifests', () => {
  const { all, index, images } = sampleIndex(['amd64', 'arm64'])

  async function pushBlobs(): Promise<void> {
    for (const { descriptor, bytes } of images.flatMap(image => [image.layer, image.config]))
      await ask('POST', `/v2/r/x/blobs/uploads/?digest=${descriptor.digest}`, bytes)
  }

  async function put(name: string, bytes: Buffer, mediaType: string): Promise<Answer> {
    return await ask('PUT', `/v2/r/x/manifests/${name}`, bytes, { 'content-type': mediaType })
  }

  it('takes an image, keeps its name as the client spelled the host, and gives it back', async () => {
    await pushBlobs()
    for (const { manifest } of images)
      expect((await put(manifest.descriptor.digest, manifest.bytes, mediaTypes.manifest)).status).toBe(201)
    expect((await put('v1', index.bytes, mediaTypes.index)).status).toBe(201)
    expect(store.names.get(`${registry.host}/r/x:v1`)).toEqual(index.descriptor)
    expect(all.every(({ descriptor }) => store.blobs.has(descriptor.digest))).toBe(true)
    for (const name of ['v1', index.descriptor.digest]) {
      const got = await ask('GET', `/v2/r/x/manifests/${name}`)
      expect([got.status, got.headers.get('content-type'), got.body]).toEqual([200, mediaTypes.index, index.bytes])
    }
    const head = await ask('HEAD', '/v2/r/x/manifests/v1')
    expect([head.headers.get('docker-content-digest'), head.body.length]).toEqual([index.descriptor.digest, 0])
  })

  it('refuses an image of which a part is missing', async () => {
    const { manifest } = images[0]!
    const answer = await put('v1', manifest.bytes, mediaTypes.manifest)
    expect([answer.status, codeOf(answer)]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    await pushBlobs()
    const early = await put('v1', index.bytes, mediaTypes.index)
    expect([early.status, codeOf(early)]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    expect(store.names.size).toBe(0)
  })

  it.each([
    ['no JSON', 'v1', Buffer.from('{'), mediaTypes.manifest, 400, 'MANIFEST_INVALID'],
    [
      'another media type than the document says',
      'v1',
      images[0]!.manifest.bytes,
      mediaTypes.index,
      400,
      'MANIFEST_INVALID',
    ],
    ['a media type that is no manifest', 'v1', images[0]!.manifest.bytes, 'application/json', 400, 'MANIFEST_INVALID'],
    ['another digest', digestOf('x'), images[0]!.manifest.bytes, mediaTypes.manifest, 400, 'DIGEST_INVALID'],
    ['a bad tag', '-v1', images[0]!.manifest.bytes, mediaTypes.manifest, 400, 'MANIFEST_INVALID'],
    ['too large a document', 'v1', Buffer.alloc(4 * 1024 * 1024 + 1, 32), mediaTypes.manifest, 413, 'SIZE_INVALID'],
  ])('refuses %s', async (_what, name, bytes, mediaType, status, code) => {
    await pushBlobs()
    const answer = await put(name, bytes, mediaType)
    expect([answer.status, codeOf(answer)]).toEqual([status, code])
  })

  it('sets no name of a registry that it is not', async () => {
    await pushBlobs()
    const { manifest } = images[0]!
    const [host, port] = registry.host.split(':')
    const answer = await new Promise<string>(resolve => {
      const socket = connect(Number(port), host, () => {
        socket.write(
          `PUT /v2/library/alpine/manifests/3 HTTP/1.1\r\nhost: docker.io\r\nconnection: close\r\ncontent-type: ${mediaTypes.manifest}\r\ncontent-length: ${manifest.bytes.length}\r\n\r\n`,
        )
        socket.write(manifest.bytes)
      })
      let text = ''
      socket.on('data', chunk => (text += chunk.toString())).on('close', () => resolve(text))
    })
    expect(answer).toMatch(/^HTTP\/1.1 201/)
    expect([...store.names.keys()]).toEqual([`${registry.host}/library/alpine:3`])
  })

  it('takes a tag away and keeps the rest', async () => {
    await pushBlobs()
    await put('v1', images[0]!.manifest.bytes, mediaTypes.manifest)
    expect((await ask('DELETE', '/v2/r/x/manifests/v1')).status).toBe(202)
    expect((await ask('DELETE', '/v2/r/x/manifests/v1')).status).toBe(404)
    expect((await ask('GET', `/v2/r/x/manifests/${images[0]!.manifest.descriptor.digest}`)).status).toBe(200)
  })

  it('lists what refers to an image', async () => {
    await pushBlobs()
    const { manifest, config } = images[0]!
    await put('v1', manifest.bytes, mediaTypes.manifest)
    const signature = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType: 'application/x.signature',
        config: config.descriptor,
        layers: [],
        subject: manifest.descriptor,
        annotations: { by: 'me' },
      },
      mediaTypes.manifest,
    )
    const answer = await put(signature.descriptor.digest, signature.bytes, mediaTypes.manifest)
    expect(answer.headers.get('oci-subject')).toBe(manifest.descriptor.digest)
    const listed = await ask('GET', `/v2/r/x/referrers/${manifest.descriptor.digest}`)
    expect(listed.headers.get('content-type')).toBe(mediaTypes.index)
    expect(JSON.parse(listed.body.toString())).toMatchObject({
      manifests: [
        { digest: signature.descriptor.digest, artifactType: 'application/x.signature', annotations: { by: 'me' } },
      ],
    })
    const other = await ask('GET', `/v2/r/x/referrers/${manifest.descriptor.digest}?artifactType=application/y`)
    expect(other.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(JSON.parse(other.body.toString())).toMatchObject({ manifests: [] })
  })
})

describe('listings', () => {
  beforeEach(() => {
    const { manifest } = sampleImage('amd64')
    for (const tag of ['a', 'b', 'c']) store.names.set(`${registry.host}/r/x:${tag}`, manifest.descriptor)
    store.names.set(`${registry.host}/q:a`, manifest.descriptor)
  })

  it('lists tags by pages', async () => {
    const first = await ask('GET', '/v2/r/x/tags/list?n=2')
    expect(JSON.parse(first.body.toString())).toEqual({ name: 'r/x', tags: ['a', 'b'] })
    expect(first.headers.get('link')).toBe('</v2/r/x/tags/list?n=2&last=b>; rel="next"')
    const second = await ask('GET', '/v2/r/x/tags/list?n=2&last=b')
    expect([JSON.parse(second.body.toString()).tags, second.headers.get('link')]).toEqual([['c'], null])
  })

  it('lists repositories', async () => {
    const answer = await ask('GET', '/v2/_catalog')
    expect(JSON.parse(answer.body.toString())).toEqual({ repositories: ['q', 'r/x'] })
  })

  it('answers for the registry that a mirror stands for', async () => {
    const { manifest } = sampleImage('amd64')
    store.blobs.set(manifest.descriptor.digest, manifest.bytes)
    store.names.set('registry.local/k3s:v1', manifest.descriptor)
    expect((await ask('GET', '/v2/k3s/manifests/v1')).status).toBe(404)
    expect((await ask('GET', '/v2/k3s/manifests/v1?ns=registry.local')).status).toBe(200)
  })
})

describe('who may do what', () => {
  it('asks for a user where there are users', async () => {
    await start({ users: usersOf([{ username: 'u', password: 'p:w' }]) })
    const anonymous = await ask('GET', '/v2/')
    expect([anonymous.status, codeOf(anonymous)]).toEqual([401, 'UNAUTHORIZED'])
    expect(anonymous.headers.get('www-authenticate')).toBe('Basic realm="cloudimg"')
    const basic = (text: string): Record<string, string> => ({ authorization: `Basic ${btoa(text)}` })
    expect((await ask('GET', '/v2/', undefined, basic('u:wrong'))).status).toBe(401)
    expect((await ask('GET', '/v2/', undefined, basic('u:p:w'))).status).toBe(200)
  })

  it.each([
    ['POST', '/v2/r/x/blobs/uploads/'],
    ['PUT', '/v2/r/x/manifests/v1'],
    ['DELETE', '/v2/r/x/manifests/v1'],
  ])('a read-only registry refuses %s %s', async (method, path) => {
    await start({ readOnly: true })
    const answer = await ask(method, path)
    expect([answer.status, codeOf(answer)]).toEqual([405, 'UNSUPPORTED'])
  })

  it.each([
    ['/v2', 200],
    ['/', 404],
    ['/v2/R/manifests/x', 400],
    ['/v2/a%2F..%2Fb/manifests/x', 400],
    ['/v2/%ff/manifests/x', 400],
    ['/v2/x/unknown', 404],
  ])('answers GET %s with %i', async (path, status) => {
    expect((await ask('GET', path)).status).toBe(status)
  })
})

it('says that the port is in use', async () => {
  const port = Number(registry.host.split(':')[1])
  await expect(serveRegistry({ store, port })).rejects.toMatchObject({
    code: 'NETWORK',
    hint: expect.stringContaining('--port'),
  })
})

describe('the end', () => {
  function slowUpload(): { readonly started: Promise<void>; readonly finish: () => Promise<string> } {
    const [host, port] = registry.host.split(':')
    const socket = connect(Number(port), host)
    let said = ''
    socket.on('data', chunk => (said += chunk.toString())).on('error', () => {})
    const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
    const head = `POST /v2/r/x/blobs/uploads/?digest=${helloDigest} HTTP/1.1\r\nhost: ${registry.host}\r\n`
    const started = new Promise<void>(resolve =>
      socket.on('connect', () => socket.write(`${head}content-length: 5\r\n\r\nhel`, () => resolve())),
    )
    const finish = async (): Promise<string> => {
      socket.write('lo')
      await closed
      return said
    }
    return { started, finish }
  }

  it('waits for what is under way and takes nothing new', async () => {
    const upload = slowUpload()
    await upload.started
    await ask('GET', '/v2/')
    const closing = registry.close(60_000)
    await expect(ask('GET', '/v2/')).rejects.toThrow('fetch failed')
    expect(await upload.finish()).toMatch(/^HTTP\/1.1 201/)
    await closing
    expect(store.blobs.has(helloDigest)).toBe(true)
  })

  it('cuts what takes too long', async () => {
    const upload = slowUpload()
    await upload.started
    await registry.close(50)
    expect(await upload.finish()).toBe('')
    expect(store.blobs.size).toBe(0)
  })
})

it('says what is wrong with a certificate', async () => {
  await expect(serveRegistry({ store, tls: { cert: 'x', key: 'y' } })).rejects.toMatchObject({ code: 'USAGE' })
})

describe('a disk that cannot be written', () => {
  const broken = (code: string): Partial<ServeOptions> => ({
    store: {
      ...store,
      ingest: async body => {
        body.resume()
        throw fileError('writing', '/store/x', Object.assign(new Error(code), { code }))
      },
    },
  })

  it.each([
    ['EROFS', 405, 'UNSUPPORTED', 'the file system is read-only'],
    ['ENOSPC', 507, 'UNKNOWN', 'no space left on the device'],
    ['EIO', 500, 'UNKNOWN', 'EIO'],
  ])('%s: the client is told %i, and the operator why', async (code, status, word, why) => {
    const events: Event[] = []
    await start({ ...broken(code), events: event => void events.push(event) })
    const answer = await ask('POST', `/v2/r/x/blobs/uploads/?digest=${helloDigest}`, hello)
    expect([answer.status, codeOf(answer)]).toEqual([status, word])
    expect(events).toEqual([
      {
        kind: 'warning',
        code: 'serve-failed',
        message: `POST /v2/r/x/blobs/uploads/: ${status}: writing "/store/x": ${why}`,
      },
    ])
    expect((await ask('GET', '/v2/')).status).toBe(200)
  })

  it('says nothing of what clients ask wrongly', async () => {
    const events: Event[] = []
    await start({ events: event => void events.push(event) })
    expect((await ask('GET', '/v2/r/x/manifests/absent')).status).toBe(404)
    expect(events).toEqual([])
  })
})
