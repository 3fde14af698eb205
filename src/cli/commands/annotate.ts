import { CloudimgError } from '../../core/error.ts'
import type { Platform } from '../../core/platform.ts'
import { familiarReference, formatReference, parseReference } from '../../core/reference.ts'
import { annotateImage, type Annotations } from '../../oci/annotate-image.ts'
import { nameIn } from '../registry-image.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'

export interface AnnotateFlags {
  readonly insecure?: boolean
  readonly platforms: readonly Platform[] | undefined
  readonly all?: boolean
  readonly tag?: string
}

/** `cloudimg annotate REF KEY=VALUE… KEY-…`: new documents over the same blobs; the tag moves to them. */
export async function annotate(
  session: Session,
  text: string,
  pairs: readonly string[],
  flags: AnnotateFlags,
): Promise<void> {
  const ref = parseReference(text)
  const toTag = flags.tag ?? ref.tag
  if (toTag === undefined)
    throw new CloudimgError('USAGE', `annotating "${text}": a digest stays what it is; the result needs a tag`, {
      hint: 'name one with --tag',
    })
  const repository = (await remoteAccess(session, flags.insecure)).repository(ref)
  const root = await repository.resolve(nameIn(ref), session.ctx)
  if (root === undefined)
    throw new CloudimgError('IMAGE_NOT_FOUND', `annotating "${text}": ${ref.registry} has no such image`)
  const what = flags.all === true ? 'all' : (flags.platforms ?? 'root')
  const annotated = await annotateImage(repository, root, parseAnnotations(pairs), what, toTag, session.ctx)
  if (annotated.digest !== root.digest) await warnOfReferrers(session, repository, root.digest)
  const { registry, repository: path } = ref
  const named = { registry, repository: path, tag: toTag }
  session.answer(
    { name: formatReference(named), digest: annotated.digest, before: root.digest },
    `${familiarReference(named)}@${annotated.digest}${annotated.digest === root.digest ? ' (unchanged)' : ''}`,
  )
}

async function warnOfReferrers(
  { ctx }: Session,
  repository: { referrers: (subject: `sha256:${string}`, ctx: Session['ctx']) => Promise<readonly unknown[]> },
  digest: `sha256:${string}`,
): Promise<void> {
  const { length } = await repository.referrers(digest, ctx)
  if (length === 0) return
  ctx.events({
    kind: 'warning',
    code: 'referrers-left',
    message: `${length} signatures or SBOMs are about ${digest} and do not speak for the annotated image`,
    hint: 'sign it again',
  })
}

/** `key=value` sets, `key-` removes, as kubectl annotate writes them. @throws USAGE. */
function parseAnnotations(pairs: readonly string[]): Annotations {
  return Object.fromEntries(
    pairs.map(pair => {
      const equals = pair.indexOf('=')
      if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)]
      if (equals < 0 && pair.length > 1 && pair.endsWith('-')) return [pair.slice(0, -1), undefined]
      throw new CloudimgError('USAGE', `reading annotation "${pair}": neither KEY=VALUE nor KEY-`, {
        hint: 'write org.opencontainers.image.title=TEXT, or org.opencontainers.image.title- to remove it',
      })
    }),
  )
}
