import type { Readable } from 'node:stream'
import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { parseJson } from '../../core/json.ts'
import { type Digest, digestOf, isDigest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { drain, type HttpResponse, readBody } from '../../io/http.ts'
import { digestMismatch, sizeMismatch } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import { type Descriptor, isIndexType, isManifestType, manifestAccept } from '../descriptor.ts'
import type { RegistryClient } from './client.ts'

/** A manifest or index as the registry gave it: the descriptor was computed from the very bytes. */
export interface RemoteManifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly etag: string | undefined
}

const shape = z.object({
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  manifests: z.unknown().optional(),
  layers: z.unknown().optional(),
  fsLayers: z.unknown().optional(),
})

/**
 * `GET /manifests/<tag or digest>`; undefined for 404. Digest and size are computed here and held against what the
 * registry claims and what was asked for. @throws DIGEST_MISMATCH, IMAGE_INVALID.
 */
export async function fetchManifest(
  client: RegistryClient,
  repository: string,
  name: string,
  accept: readonly string[],
  ctx: Context,
): Promise<RemoteManifest | undefined> {
  const doing = `reading manifest "${name}" of ${client.registry}/${repository}`
  const response = await client.request(
    {
      method: 'GET',
      to: `/v2/${repository}/manifests/${name}`,
      access: [{ repository, actions: 'pull' }],
      side: 'source',
      doing,
      headers: { accept: [...new Set([...accept, ...manifestAccept])].join(', ') },
      accept: [200, 404],
      follow: true,
    },
    ctx,
  )
  if (response.status === 404) {
    await drain(response)
    return undefined
  }
  const bytes = await readBody(response, limits.manifestBytes)
  const digest = checkedDigest(bytes, response, name, doing)
  const mediaType = checkedMediaType(bytes, response, doing)
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes, etag: response.headers.etag }
}

function checkedDigest(bytes: Buffer, response: HttpResponse, name: string, doing: string): Digest {
  const found = digestOf(bytes)
  if (isDigest(name) && name !== found) throw digestMismatch(doing.replace(/^reading /, ''), name, found)
  const claimed = response.headers['docker-content-digest']
  if (claimed !== undefined && isDigest(claimed) && claimed !== found)
    throw digestMismatch(doing.replace(/^reading /, ''), claimed, found)
  return found
}

// A document that could be read as two things is refused (advisory GHSA-77vh-xpmg-72qh): the header, the document's own
// mediaType and the fields it has must agree.
function checkedMediaType(bytes: Buffer, response: HttpResponse, doing: string): string {
  const header = (response.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  const parsed = shape.safeParse(parseJson(bytes))
  const invalid = (why: string): never => {
    throw new CloudimgError('IMAGE_INVALID', `${doing}: ${why}`)
  }
  if (!parsed.success) return invalid('not a JSON document')
  const { mediaType, manifests, layers, fsLayers } = parsed.data
  if (fsLayers !== undefined || header.startsWith('application/vnd.docker.distribution.manifest.v1+'))
    return invalid('an image of the old Docker schema 1, which is not supported')
  if (manifests !== undefined && layers !== undefined) return invalid('it is both an index and a manifest')
  const own = mediaType ?? header
  if (isKnown(header) && own !== header) return invalid(`sent as "${header}", but it says "${own}"`)
  if (!isKnown(own)) return invalid(`"${own}" is neither a manifest nor an index`)
  if (isIndexType(own) !== (manifests !== undefined)) return invalid(`its fields are not those of "${own}"`)
  return own
}

function isKnown(mediaType: string): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType)
}

/** `PUT /manifests/<tag or digest>`; true where the registry says that it listed the manifest as a referrer. */
export async function putManifest(
  client: RegistryClient,
  repository: string,
  name: string,
  manifest: { readonly mediaType: string; readonly bytes: Uint8Array },
  ctx: Context,
  headers: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  const doing = `writing manifest "${name}" to ${client.registry}/${repository}`
  const response = await client.request(
    {
      method: 'PUT',
      to: `/v2/${repository}/manifests/${name}`,
      access: [{ repository, actions: 'pull,push' }],
      side: 'target',
      doing,
      headers: { 'content-type': manifest.mediaType, ...headers },
      body: async () => manifest.bytes,
      accept: [200, 201, 202],
    },
    ctx,
  )
  await drain(response)
  const claimed = response.headers['docker-content-digest']
  const digest = digestOf(manifest.bytes)
  if (claimed !== undefined && isDigest(claimed) && claimed !== digest)
    throw new CloudimgError('DIGEST_MISMATCH', `${doing}: wanted ${digest}, the registry keeps ${claimed}`)
  return response.headers['oci-subject'] !== undefined
}

/** Reads a document that is about to be written, and holds it against its descriptor. */
export async function readWhole(stream: Readable, expected: Descriptor): Promise<Buffer> {
  const what = `manifest ${expected.digest}`
  if (expected.size > limits.manifestBytes) throw sizeMismatch(what, limits.manifestBytes, expected.size)
  const parts: Buffer[] = []
  let size = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    size += part.length
    if (size > expected.size) throw sizeMismatch(what, expected.size, `more than ${expected.size}`)
    parts.push(part)
  }
  if (size !== expected.size) throw sizeMismatch(what, expected.size, size)
  const bytes = Buffer.concat(parts)
  const found = digestOf(bytes)
  if (found !== expected.digest) throw digestMismatch(what, expected.digest, found)
  return bytes
}
