import { Readable } from 'node:stream'
import * as z from 'zod'
import { type Digest, digestOf, isDigest } from '../../core/digest.ts'
import { parseJson } from '../../core/json.ts'
import { limits } from '../../io/limits.ts'
import { type Descriptor, isIndexType, isManifestType, mediaTypes } from '../descriptor.ts'
import { parseIndex, parseManifest } from '../document.ts'
import { readRelation } from '../relation.ts'
import { Refusal, sendEmpty } from './answer.ts'
import { accepts, isUnchanged } from './conditions.ts'
import { bringBack, type Exchange, isHead, refuseMethod, refuseWrites, served, sizeHere } from './exchange.ts'
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
      await (isDigestName(name) ? removeManifest(exchange, repository, name) : removeTag(exchange, repository, name))
      return
    default:
      throw refuseMethod('GET, HEAD, PUT, DELETE')
  }
}

async function sendManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  const { response, request } = exchange
  const { digest, mediaType, bytes } = await readStored(exchange, repository, name)
  // By digest a client knows what it asks for. By tag it gets what it can read or learns why not, as from distribution.
  if (!isDigest(name) && !accepts(request, mediaType))
    throw new Refusal(404, 'MANIFEST_UNKNOWN', `"${name}" is "${mediaType}", which the Accept header does not list`)
  const headers = { 'content-type': mediaType, 'docker-content-digest': digest, etag: `"${digest}"` }
  if (isUnchanged(request, digest)) {
    response.writeHead(304, headers).end()
    return
  }
  response.writeHead(200, { ...headers, 'content-length': bytes.length })
  response.end(isHead(exchange) ? undefined : bytes)
}

/** @throws Refusal MANIFEST_UNKNOWN for what is not here, or is neither manifest nor index. */
async function readStored(
  exchange: Exchange,
  repository: string,
  name: string,
): Promise<{ readonly digest: Digest; readonly mediaType: string; readonly bytes: Buffer }> {
  const { store, ctx } = exchange
  const target = isDigestName(name) ? undefined : await store.resolve(served(exchange, repository), name, ctx)
  const digest = isDigest(name) ? name : target?.digest
  const size = digest === undefined ? undefined : await sizeHere(exchange, repository, digest)
  const unknown = (): Refusal => new Refusal(404, 'MANIFEST_UNKNOWN', `no manifest "${name}" in ${repository}`)
  if (digest === undefined || size === undefined || size > limits.manifestBytes) throw unknown()
  const bytes = await readAll(await store.open(digest, size, ctx))
  const mediaType = target?.mediaType ?? documentType(bytes)
  if (mediaType === undefined) throw unknown()
  return { digest, mediaType, bytes }
}

const shape = z.object({
  mediaType: z.string().optional(),
  manifests: z.array(z.unknown()).optional(),
  layers: z.array(z.unknown()).optional(),
})

/**
 * What a document is: its own word, else what it was sent as, else by its fields an OCI manifest or index; undefined for
 * what is neither, and where those contradict each other.
 */
export function documentType(bytes: Buffer, sentAs?: string): string | undefined {
  const parsed = shape.safeParse(parseJson(bytes.toString('utf8')))
  if (!parsed.success) return undefined
  const { mediaType, manifests, layers } = parsed.data
  if ((manifests === undefined) === (layers === undefined)) return undefined
  const own = mediaType ?? sentAs ?? (manifests === undefined ? mediaTypes.manifest : mediaTypes.index)
  if (sentAs !== undefined && own !== sentAs) return undefined
  return (manifests === undefined ? isManifestType(own) : isIndexType(own)) ? own : undefined
}

async function takeManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  const { request, response, store, ctx } = exchange
  const byDigest = isDigestName(name)
  // Before a byte is read: a body that is left in the middle takes the connection, and our answer, with it.
  if (Number(request.headers['content-length'] ?? 0) > limits.manifestBytes) throw tooLarge()
  const bytes = await readAll(request)
  const digest = digestOf(bytes)
  if (byDigest && name !== digest) throw new Refusal(400, 'DIGEST_INVALID', `wanted ${name}, found ${digest}`)
  const mediaType = wantType(bytes, request.headers['content-type'])
  const descriptor: Descriptor = { mediaType, digest, size: bytes.length }
  await wantChildren(exchange, repository, childrenOf(descriptor, bytes))
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
  await bringBack(exchange, repository, digest)
  if (!byDigest) await store.tag(served(exchange, repository), name, descriptor, ctx)
  sendEmpty(response, 201, headers)
}

/** @throws Refusal MANIFEST_INVALID. */
function wantType(bytes: Buffer, header: string | undefined): string {
  const sentAs = header?.split(';')[0]!.trim()
  if (sentAs !== undefined && !isIndexType(sentAs) && !isManifestType(sentAs))
    throw new Refusal(400, 'MANIFEST_INVALID', `"${sentAs}" is neither a manifest nor an index`)
  const mediaType = documentType(bytes, sentAs)
  if (mediaType !== undefined) return mediaType
  const own = documentType(bytes)
  const found = own === undefined ? 'neither manifest nor index' : `"${own}"`
  throw new Refusal(400, 'MANIFEST_INVALID', `sent as "${sentAs ?? ''}", but it is ${found}`)
}

function childrenOf({ mediaType, digest }: Descriptor, bytes: Buffer): readonly Descriptor[] {
  if (isIndexType(mediaType)) return parseIndex(bytes, digest).manifests
  const manifest = parseManifest(bytes, digest)
  return [manifest.config, ...manifest.layers]
}

// Nobody may pull an image of which a part is missing. Layers that may not be distributed lie elsewhere.
async function wantChildren(exchange: Exchange, repository: string, children: readonly Descriptor[]): Promise<void> {
  for (const child of children) {
    if (/[.+]foreign[.+]|nondistributable/.test(child.mediaType)) continue
    const size = await sizeHere(exchange, repository, child.digest)
    if (size === undefined) throw new Refusal(404, 'MANIFEST_BLOB_UNKNOWN', `${child.digest} is not here`)
    if (size !== child.size)
      throw new Refusal(400, 'SIZE_INVALID', `${child.digest} has ${size} bytes, the manifest says ${child.size}`)
  }
}

async function removeTag(exchange: Exchange, repository: string, tag: string): Promise<void> {
  const removed = await exchange.store.untag(served(exchange, repository), tag, exchange.ctx)
  if (!removed) throw new Refusal(404, 'MANIFEST_UNKNOWN', `no tag "${tag}" in ${repository}`)
  sendEmpty(exchange.response, 202, {})
}

/** With the tags that lead to it. */
async function removeManifest(exchange: Exchange, repository: string, name: string): Promise<void> {
  const { store, ctx, response } = exchange
  const { digest } = await readStored(exchange, repository, name)
  const here = served(exchange, repository)
  for (const tag of await store.tags(here, ctx)) {
    if ((await store.resolve(here, tag, ctx))?.digest === digest) await store.untag(here, tag, ctx)
  }
  await store.setDeleted(here, digest, true, ctx)
  sendEmpty(response, 202, {})
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
