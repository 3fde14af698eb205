import { formatBytes } from '../../core/bytes.ts'
import { hostPlatform, type Platform } from '../../core/platform.ts'
import { formatReference } from '../../core/reference.ts'
import { isIndexType } from '../../oci/descriptor.ts'
import { imageFor, readDocument } from '../../oci/document.ts'
import { limits } from '../../io/limits.ts'
import { documentFor, type ImageFlags, openImage, parseRepository } from '../registry-image.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

export interface LookFlags extends ImageFlags {
  readonly platform: Platform | undefined
}

/** `cloudimg tags REPOSITORY`: one a line, as the registry orders them. */
export async function tags(session: Session, text: string, flags: { readonly insecure?: boolean }): Promise<void> {
  const ref = parseRepository(text)
  const repository = (await remoteAccess(session, flags.insecure)).repository(ref)
  const names = await Array.fromAsync(repository.tags(session.ctx))
  session.answer({ repository: formatReference(ref), tags: names }, names.join('\n'))
}

/** `cloudimg digest REF`. */
export async function digest(
  session: Session,
  text: string,
  flags: LookFlags & { readonly fullRef?: boolean },
): Promise<void> {
  const image = await openImage(session, text, flags)
  const found = await documentFor(image, flags.platform, session)
  const name = formatReference({ registry: image.ref.registry, repository: image.ref.repository, digest: found.digest })
  session.answer(
    { name, digest: found.digest, mediaType: found.mediaType, size: found.size },
    flags.fullRef === true ? name : found.digest,
  )
}

/** `cloudimg manifest REF`: the very bytes that the digest covers, nothing added. */
export async function manifest(session: Session, text: string, flags: LookFlags): Promise<void> {
  const image = await openImage(session, text, flags)
  const found = await documentFor(image, flags.platform, session)
  answerBytes(session, await readDocument(image.source, found, session.ctx), { digest: found.digest }, 'manifest')
}

/** `cloudimg config REF`: one platform's config, the very bytes. */
export async function config(session: Session, text: string, flags: LookFlags): Promise<void> {
  const { source, root } = await openImage(session, text, flags)
  const platform = flags.platform ?? hostPlatform()
  const { config: target } = (await imageFor(source, root, platform, session.ctx)).manifest
  const bytes = await readDocument(source, target, session.ctx, limits.configBytes)
  answerBytes(session, bytes, { digest: target.digest }, 'config')
}

function answerBytes(session: Session, bytes: Buffer, about: { readonly digest: string }, field: string): void {
  if (session.json) session.answer({ ...about, [field]: JSON.parse(bytes.toString('utf8')) as unknown }, '')
  else session.answerBytes(bytes)
}

/** `cloudimg referrers REF`: signatures, SBOMs and whatever else names the image as its subject. */
export async function referrers(
  session: Session,
  text: string,
  flags: LookFlags & { readonly artifactType?: string },
): Promise<void> {
  const image = await openImage(session, text, flags)
  const subject = await documentFor(image, flags.platform, session)
  const all = await image.source.referrers(subject.digest, session.ctx)
  const found = all.filter(
    ({ artifactType }) => flags.artifactType === undefined || artifactType === flags.artifactType,
  )
  const rows = found.map(({ artifactType, mediaType, digest: itself, size }) => [
    artifactType ?? mediaType,
    itself,
    formatBytes(size),
  ])
  session.answer({ subject: subject.digest, referrers: found }, () => {
    if (rows.length > 0) return formatTable(['ARTIFACT TYPE', 'DIGEST', 'SIZE'], rows)
    const kind = isIndexType(subject.mediaType) ? 'index' : 'manifest'
    return `nothing refers to the ${kind} ${subject.digest}`
  })
}
