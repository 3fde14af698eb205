import { Readable } from 'node:stream'
import { z } from 'zod'
import { type Digest, digestOf, isDigest } from '../../core/digest.ts'
import { limits } from '../../io/limits.ts'
import { type Descriptor, isIndexType, isManifestType, mediaTypes } from '../descriptor.ts'
import { parseIndex, parseManifest } from '../document.ts'
import { readRelation } from '../relation.ts'
import { Refusal, sendEmpty } from './answer.ts'
import { type Exchange, isHead, refuseMethod, refuseWrites, served } from './exchange.ts'
import { isDigestName } from './route.ts'

/** GET, HEAD, PUT and DELETE on a manifest or index, by tag or digest. */
export async function answerManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  switch (exchange.request.method) {
    case 'GET':
    case 'HEAD':
      await sendManifest(exchange, repository, name)
      return
    case 'PUT':
      refuseWrites(exchange)
      await takeManifest(exchange, repository, name)
      return
    case 'DELETE':
      refuseWrites(exchange)
      await removeTag(exchange, repository, name)
      return
    default:
      throw refuseMethod('GET, HEAD, PUT, DELETE')
  }
}

async function sendManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  const { store, ctx, response } = exchange
  const byDigest = isDigestName(name)
  const target = byDigest ? undefined : await store.resolve(served(exchange, repository), name, ctx)
  const digest = byDigest ? (name as Digest) : target?.digest
  const size = digest === undefined ? undefined : await store.sizeOf(digest, ctx)
  const unknown = (): Refusal => new Refusal(404, 'MANIFEST_UNKNOWN', `no manifest "${name}" in ${repository}`)
  if (digest === undefined || size === undefined || size > limits.manifestBytes) throw unknown()
  const bytes = await readAll(await store.open(digest, size, ctx))
  const mediaType = target?.mediaType ?? documentType(bytes)
  if (mediaType === undefined) throw unknown()
  response.writeHead(200, {
    'content-type': mediaType,
    'content-length': bytes.length,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
  })
  response.end(isHead(exchange) ? undefined : bytes)
}

const shape = z.object({
  mediaType: z.string().optional(),
  manifests: z.unknown().optional(),
  layers: z.unknown().optional(),
})

/** What a stored document is: its own word, else its fields; undefined for a blob that is neither manifest nor index. */
export function documentType(bytes: Buffer): string | undefined {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  const parsed = shape.safeParse(json)
  if (!parsed.success) return undefined
  const { mediaType, manifests, layers } = parsed.data
  if (Array.isArray(manifests) === Array.isArray(layers)) return undefined
  const own = mediaType ?? (Array.isArray(manifests) ? mediaTypes.index : mediaTypes.manifest)
  return isIndexType(own) || isManifestType(own) ? own : undefined
}

async function takeManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  const { request, response, store, ctx } = exchange
  const byDigest = isDigestName(name)
  const mediaType = (request.headers['content-type'] ?? '').split(';')[0]!.trim()
  // Before a byte is read: a body that is left in the middle takes the connection, and our answer, with it.
  if (Number(request.headers['content-length'] ?? 0) > limits.manifestBytes) throw tooLarge()
  const bytes = await readAll(request)
  const digest = digestOf(bytes)
  if (byDigest && name !== digest) throw new Refusal(400, 'DIGEST_INVALID', `wanted ${name}, found ${digest}`)
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length }
  await wantChildren(exchange, childrenOf(descriptor, bytes))
  const relation = readRelation(descriptor, bytes)
  await store.ingest(Readable.from([bytes]), { digest, size: bytes.length }, ctx)
  const headers: Record<string, string> = {
    location: `/v2/${repository}/manifests/${digest}`,
    'docker-content-digest': digest,
  }
  if (relation !== undefined) {
    await store.addReferrer(relation, ctx)
    headers['oci-subject'] = relation.subject
  }
  if (!byDigest) await store.tag(served(exchange, repository), name, descriptor, ctx)
  sendEmpty(response, 201, headers)
}

function childrenOf({ mediaType, digest }: Descriptor, bytes: Buffer): readonly Descriptor[] {
  if (!isIndexType(mediaType) && !isManifestType(mediaType))
    throw new Refusal(400, 'MANIFEST_INVALID', `"${mediaType}" is neither a manifest nor an index`)
  const own = documentType(bytes)
  if (own !== mediaType)
    throw new Refusal(
      400,
      'MANIFEST_INVALID',
      `sent as "${mediaType}", but it is ${own === undefined ? 'none' : `"${own}"`}`,
    )
  if (isIndexType(mediaType)) return parseIndex(bytes, digest).manifests
  const manifest = parseManifest(bytes, digest)
  return [manifest.config, ...manifest.layers]
}

// Nobody may pull an image of which a part is missing. Layers that may not be distributed lie elsewhere.
async function wantChildren(exchange: Exchange, children: readonly Descriptor[]): Promise<void> {
  for (const child of children) {
    if (/[.+]foreign[.+]|nondistributable/.test(child.mediaType)) continue
    const size = await exchange.store.sizeOf(child.digest, exchange.ctx)
    if (size === undefined) throw new Refusal(404, 'MANIFEST_BLOB_UNKNOWN', `${child.digest} is not here`)
    if (size !== child.size)
      throw new Refusal(400, 'SIZE_INVALID', `${child.digest} has ${size} bytes, the manifest says ${child.size}`)
  }
}

// Blobs belong to all repositories of the store: `cloudimg rmi` and gc remove them, a client only takes a name away.
async function removeTag(exchange: Exchange, repository: string, name: string): Promise<void> {
  if (isDigest(name)) throw new Refusal(405, 'UNSUPPORTED', 'only tags can be deleted here')
  isDigestName(name)
  const removed = await exchange.store.untag(served(exchange, repository), name, exchange.ctx)
  if (!removed) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no tag "${name}" in ${repository}`)
  sendEmpty(exchange.response, 202, {})
}

async function readAll(source: Readable): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of source as AsyncIterable<Buffer>) {
    size += part.length
    if (size > limits.manifestBytes) throw tooLarge()
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function tooLarge(): Refusal {
  return new Refusal(413, 'SIZE_INVALID', `a manifest has at most ${limits.manifestBytes} bytes`)
}
