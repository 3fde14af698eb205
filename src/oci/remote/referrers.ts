import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { drain, readBody } from '../../io/http.ts'
import { limits } from '../../io/limits.ts'
import { type Descriptor, mediaTypes } from '../descriptor.ts'
import { parseIndex } from '../document.ts'
import { nextPage } from './pages.ts'
import type { RegistryClient } from './client.ts'
import { fetchManifest, putManifest } from './manifests.ts'

/** Pages of referrers that are read at most. */
const maxPages = 100

/** The tag under which registries without the referrers API keep the list (distribution-spec 1.1, "Referrers Tag Schema"). */
export function referrersTag(subject: Digest): string {
  return subject.replace(':', '-')
}

/** The manifests whose subject is that digest: by the API, or by the fallback tag where the registry has none. */
export async function listReferrers(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  ctx: Context,
): Promise<readonly Descriptor[]> {
  const byApi = await askApi(client, repository, subject, ctx)
  if (byApi !== undefined) return byApi
  const kept = await fetchManifest(client, repository, referrersTag(subject), [mediaTypes.index], ctx)
  return kept?.descriptor.mediaType === mediaTypes.index ? parseIndex(kept.bytes, kept.descriptor.digest).manifests : []
}

/** Undefined where the registry does not know the API: 404, or an answer that is no index. */
export async function askApi(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  ctx: Context,
): Promise<readonly Descriptor[] | undefined> {
  const found: Descriptor[] = []
  let next: string | URL | undefined = `/v2/${repository}/referrers/${subject}`
  for (let page = 0; next !== undefined && page < maxPages; page++) {
    const response = await client.request(
      {
        method: 'GET',
        to: next,
        access: [{ repository, actions: 'pull' }],
        side: 'source',
        doing: `listing what refers to ${subject} in ${client.registry}/${repository}`,
        headers: { accept: mediaTypes.index },
        accept: [200, 400, 404, 405, 406, 501],
        follow: true,
      },
      ctx,
    )
    if (response.status !== 200 || !(response.headers['content-type'] ?? '').startsWith(mediaTypes.index)) {
      await drain(response)
      return undefined
    }
    found.push(...parseIndex(await readBody(response, limits.manifestBytes), `referrers of ${subject}`).manifests)
    next = nextPage(response)
  }
  return found
}

/** Adds a manifest to its subject's fallback tag, unless it is listed there already. */
export async function addToReferrersTag(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  referrer: Descriptor,
  ctx: Context,
): Promise<void> {
  const tag = referrersTag(subject)
  const kept = await fetchManifest(client, repository, tag, [mediaTypes.index], ctx)
  if (kept !== undefined && kept.descriptor.mediaType !== mediaTypes.index)
    throw new CloudimgError('REGISTRY_ERROR', `listing a referrer of ${subject}: the tag "${tag}" is taken by an image`)
  const listed = kept === undefined ? [] : parseIndex(kept.bytes, kept.descriptor.digest).manifests
  if (listed.some(entry => entry.digest === referrer.digest)) return
  await putList(client, repository, tag, [...listed, referrer], kept?.etag, ctx)
}

/** Takes a manifest that was deleted off its subject's fallback tag, where it is listed there. */
export async function removeFromReferrersTag(
  client: RegistryClient,
  repository: string,
  subject: Digest,
  referrer: Digest,
  ctx: Context,
): Promise<void> {
  const tag = referrersTag(subject)
  const kept = await fetchManifest(client, repository, tag, [mediaTypes.index], ctx)
  if (kept?.descriptor.mediaType !== mediaTypes.index) return
  const { manifests: listed } = parseIndex(kept.bytes, kept.descriptor.digest)
  const manifests = listed.filter(entry => entry.digest !== referrer)
  if (manifests.length === listed.length) return
  await putList(client, repository, tag, manifests, kept.etag, ctx)
}

async function putList(
  client: RegistryClient,
  repository: string,
  tag: string,
  manifests: readonly Descriptor[],
  etag: string | undefined,
  ctx: Context,
): Promise<void> {
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests }
  const bytes = Buffer.from(JSON.stringify(index))
  const headers: Record<string, string> = etag === undefined ? {} : { 'if-match': etag }
  await putManifest(client, repository, tag, { mediaType: mediaTypes.index, bytes }, ctx, headers)
}
