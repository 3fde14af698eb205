import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { drain } from '../../io/http.ts'
import { retry } from '../../io/retry.ts'
import type { Written } from '../ends.ts'
import { findKept, type Kept, uploadChunks } from './chunks.ts'
import { hasBlob } from './has-blob.ts'
import { closingUrl, bodyOf, doingOf, type Session, sessionOf, type Upload, uploadRequest } from './upload-session.ts'

/**
 * Brings a blob in by what costs least: it is there, it can be mounted, one PUT, and only for registries that take no
 * PUT of that size (413, 416, or a connection cut twice) in chunks: that is where registries have their faults. A PUT that
 * broke is taken up behind the bytes that the registry kept of it.
 */
export async function upload(upload: Upload, ctx: Context): Promise<Written> {
  if (upload.source.isMissing !== true && (await isThere(upload, ctx))) return 'present'
  const mounted = await mount(upload, ctx)
  if (mounted === 'mounted') return 'mounted'
  const state: State = { opened: mounted, broken: undefined, cuts: 0 }
  try {
    await retry(doingOf(upload), () => attempt(upload, state, ctx), ctx, upload.client.retryOptions)
  } catch (error) {
    if (state.broken !== undefined) await cancelSession(upload, state.broken, ctx)
    throw error
  }
  upload.progress(upload.blob.size)
  return 'written'
}

function isThere({ client, repository, blob }: Upload, ctx: Context): Promise<boolean> {
  return hasBlob(client, repository, blob, 'target', ctx)
}

/** What one try leaves to the next. */
interface State {
  /** A session that nothing was sent to yet. */
  opened: Session | undefined
  /** One whose connection was cut: the registry may have kept a part. */
  broken: Session | undefined
  cuts: number
}

async function attempt(upload: Upload, state: State, ctx: Context): Promise<void> {
  let kept: Kept | undefined
  if (state.broken !== undefined) {
    // What was cut may have been nothing but the answer.
    if (await isThere(upload, ctx)) return
    kept = await findKept(upload, state.broken, ctx)
    if (kept === undefined) await cancelSession(upload, state.broken, ctx)
    state.broken = undefined
  }
  const session = kept?.session ?? state.opened ?? (await startSession(upload, ctx))
  state.opened = undefined
  try {
    if (kept !== undefined) await uploadChunks(upload, session, kept.offset, ctx)
    else if (state.cuts >= 2) await uploadChunks(upload, session, 0, ctx)
    else if (!(await putWhole(upload, session, ctx))) {
      await cancelSession(upload, session, ctx)
      await uploadChunks(upload, await startSession(upload, ctx), 0, ctx)
    }
  } catch (error) {
    if (isCloudimgError(error, 'NETWORK')) {
      state.cuts++
      state.broken = session
    } else await cancelSession(upload, session, ctx)
    throw kept === undefined ? error : againFromTheStart(error)
  }
}

// The registry's word about what it kept may be wrong: it then refuses the digest, and a new session has no such past.
function againFromTheStart(error: unknown): unknown {
  if (!isCloudimgError(error, 'REGISTRY_ERROR') || error.data.status !== 400) return error
  return new CloudimgError(error.code, error.message, { cause: error, data: { ...error.data, retryable: true } })
}

// 201: the blob is ours too. 202: no mount, but an upload session was opened, which is used then. A refusal means no more
// than that there is no shortcut.
async function mount(upload: Upload, ctx: Context): Promise<'mounted' | Session | undefined> {
  const { client, repository, blob, source } = upload
  const { from } = source
  if (from === undefined || from.registry !== client.registry || from.repository === repository) return undefined
  const query = `mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(from.repository)}`
  const request = uploadRequest(upload)
  try {
    const response = await client.request(
      {
        ...request,
        method: 'POST',
        to: `/v2/${repository}/blobs/uploads/?${query}`,
        access: [...request.access, { repository: from.repository, actions: 'pull' }],
        headers: { 'content-length': '0' },
        accept: [201, 202],
      },
      ctx,
    )
    await drain(response)
    return response.status === 201 ? 'mounted' : await sessionOf(upload, response, undefined, ctx)
  } catch (error) {
    ctx.signal.throwIfAborted()
    if (isCloudimgError(error)) return undefined
    throw error
  }
}

async function startSession(upload: Upload, ctx: Context): Promise<Session> {
  const response = await upload.client.request(
    {
      ...uploadRequest(upload),
      method: 'POST',
      to: `/v2/${upload.repository}/blobs/uploads/`,
      headers: { 'content-length': '0' },
      accept: [202],
    },
    ctx,
  )
  await drain(response)
  return await sessionOf(upload, response, undefined, ctx)
}

// False where the registry refuses a body of that size.
async function putWhole(upload: Upload, session: Session, ctx: Context): Promise<boolean> {
  const { client, blob, source } = upload
  const response = await client.request(
    {
      ...uploadRequest(upload),
      method: 'PUT',
      to: closingUrl(session, blob),
      headers: { 'content-type': 'application/octet-stream' },
      body: async () => bodyOf(await source.open(), blob.size, `blob ${blob.digest}`, upload.progress),
      accept: [201, 204, 413, 416],
    },
    ctx,
  )
  await drain(response)
  return response.status < 400
}

/** Frees the session at the registry, as far as that is possible: what counts is the error that led here. */
async function cancelSession(upload: Upload, session: Session, ctx: Context): Promise<void> {
  try {
    const request = { ...uploadRequest(upload), method: 'DELETE', to: session.location, stallMs: 5000 } as const
    await drain(await upload.client.request({ ...request, accept: [200, 202, 204, 404, 405] }, ctx))
  } catch {
    return
  }
}
