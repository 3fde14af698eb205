import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { drain, type HttpResponse } from '../../io/http.ts'
import { retry } from '../../io/retry.ts'
import { isTransient } from './client.ts'
import { closingUrl, bodyOf, doingOf, type Session, sessionOf, type Upload, uploadRequest } from './upload-session.ts'

/** No chunk is made smaller than this, unless the registry's own minimum is. */
const smallestChunkBytes = MiB

/** A session and how many bytes the registry has of it. */
export interface Kept {
  readonly session: Session
  readonly offset: number
}

interface Progress extends Kept {
  readonly chunkBytes: number
}

/**
 * Uploads in order, PATCH by PATCH, each held against what the registry says it has: some drop a chunk and still answer
 * well. A refused or broken chunk is taken up where the registry says it stands; a refused size is quartered. `offset`
 * bytes are there already.
 */
export async function uploadChunks(upload: Upload, session: Session, offset: number, ctx: Context): Promise<void> {
  let at: Progress = { session, offset, chunkBytes: Math.max(upload.chunkBytes, session.minChunkBytes) }
  while (at.offset < upload.blob.size) {
    const before = at
    at = await retry(
      doingOf(upload),
      async attempt =>
        attempt === 1
          ? await sendChunk(upload, before, ctx)
          : await sendChunk(upload, await whereWeAre(upload, before, ctx), ctx),
      ctx,
      upload.client.retryOptions,
    )
    if (at.offset <= before.offset && at.chunkBytes >= before.chunkBytes) throw stuck(upload, at.offset)
    upload.progress(at.offset)
  }
  const response = await upload.client.request(
    {
      ...uploadRequest(upload),
      method: 'PUT',
      to: closingUrl(at.session, upload.blob),
      headers: { 'content-length': '0', 'content-type': 'application/octet-stream' },
      accept: [201, 204],
    },
    ctx,
  )
  await drain(response)
}

async function sendChunk(upload: Upload, at: Progress, ctx: Context): Promise<Progress> {
  const length = Math.min(at.chunkBytes, upload.blob.size - at.offset)
  if (length === 0) return at
  const end = at.offset + length
  const response = await upload.client.request(
    {
      ...uploadRequest(upload),
      method: 'PATCH',
      to: at.session.location,
      headers: { 'content-type': 'application/octet-stream', 'content-range': `${at.offset}-${end - 1}` },
      body: async () => {
        const part = await upload.source.open({ offset: at.offset, length })
        return bodyOf(part, length, `blob ${upload.blob.digest}`, upload.progress, at.offset)
      },
      accept: [200, 201, 202, 204, 413, 416],
    },
    ctx,
  )
  await drain(response)
  if (response.status >= 400) return await afterRefusal(upload, at, ctx)
  const session = await sessionOf(upload, response, at.session, ctx)
  const offset = heldBytes(response, end) ?? end
  if (offset > end) throw stuck(upload, offset)
  return { ...at, session, offset }
}

// 413 and 416 mean "too large" or "not at this place": the registry is asked where it stands, and if it stands where we
// thought, the chunk was too large.
async function afterRefusal(upload: Upload, at: Progress, ctx: Context): Promise<Progress> {
  const now = await whereWeAre(upload, at, ctx)
  if (now.offset !== at.offset) return now
  const floor = Math.max(at.session.minChunkBytes, smallestChunkBytes)
  const chunkBytes = Math.max(floor, Math.floor(at.chunkBytes / 4))
  if (chunkBytes >= at.chunkBytes)
    throw new CloudimgError(
      'REGISTRY_ERROR',
      `${doingOf(upload)}: the registry takes no chunk of ${at.chunkBytes} bytes`,
    )
  return { ...now, chunkBytes }
}

/**
 * Where a session stands that broke in the middle of one PUT; undefined where the registry kept nothing of it, lost it, or
 * cannot tell. @throws what may be tried again.
 */
export async function findKept(upload: Upload, session: Session, ctx: Context): Promise<Kept | undefined> {
  const nothing = { session, offset: 0, chunkBytes: 0 }
  const { session: moved, offset } = await whereWeAre(upload, nothing, ctx)
  return offset > 0 && offset <= upload.blob.size ? { session: moved, offset } : undefined
}

/** `GET` on the session: 204 and Range. Where the registry cannot tell, we believe ourselves. */
async function whereWeAre(upload: Upload, at: Progress, ctx: Context): Promise<Progress> {
  try {
    const response = await upload.client.request(
      { ...uploadRequest(upload), method: 'GET', to: at.session.location, accept: [200, 202, 204] },
      ctx,
    )
    await drain(response)
    const session = await sessionOf(upload, response, at.session, ctx)
    return { ...at, session, offset: heldBytes(response, at.offset) ?? at.offset }
  } catch (error) {
    if (isTransient(error) || !isCloudimgError(error, 'REGISTRY_ERROR')) throw error
    return at
  }
}

// `Range: 0-<last byte>`, some with `bytes=`. `0-0` stands for nothing as well as for one byte: the expected one decides.
function heldBytes(response: HttpResponse, expected: number): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.range?.trim() ?? '')?.[1]
  if (last === undefined) return undefined
  return last === '0' && expected !== 1 ? 0 : Number(last) + 1
}

function stuck(upload: Upload, offset: number): CloudimgError {
  return new CloudimgError(
    'REGISTRY_ERROR',
    `${doingOf(upload)}: the registry takes chunks but does not keep them (it has ${offset} bytes)`,
  )
}
