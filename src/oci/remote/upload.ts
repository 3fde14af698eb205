import type { Context } from '../../core/context.ts'
import { isCloudimgError } from '../../core/error.ts'
import { drain } from '../../io/http.ts'
import { retry } from '../../io/retry.ts'
import type { Written } from '../ends.ts'
import { uploadChunks } from './chunks.ts'
import { hasBlob } from './has-blob.ts'
import { closingUrl, bodyOf, doingOf, type Session, sessionOf, type Upload, uploadRequest } from './upload-session.ts'

/**
 * Brings a blob in by what costs least: it is there, it can be mounted, one PUT, and only for registries that take no
 * PUT of that size (413, 416, or a connection cut twice) in chunks: that is where registries have their faults.
 */
export async function upload(upload: Upload, ctx: Context): Promise<Written> {
  if (await hasBlob(upload.client, upload.repository, upload.blob, 'target', ctx)) return 'present'
  const mounted = await mount(upload, ctx)
  if (mounted === 'mounted') return 'mounted'
  let opened = mounted
  let cuts = 0
  await retry(
    doingOf(upload),
    async () => {
      const session = opened ?? (await startSession(upload, ctx))
      opened = undefined
      try {
        if (cuts < 2 && (await putWhole(upload, session, ctx))) return
        if (cuts < 2) await cancelSession(upload, session, ctx)
        await uploadChunks(upload, cuts < 2 ? await startSession(upload, ctx) : session, ctx)
      } catch (error) {
        await cancelSession(upload, session, ctx)
        if (isCloudimgError(error, 'NETWORK')) cuts++
        throw error
      }
    },
    ctx,
    upload.client.retryOptions,
  )
  upload.progress(upload.blob.size)
  return 'written'
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
