import { each } from '../../core/each.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { formatReference, parseReference, type Reference } from '../../core/reference.ts'
import type { RemoteRepository } from '../../oci/remote/registry.ts'
import { remoteAccess } from '../remote-access.ts'
import { askYes } from '../secret-input.ts'
import type { Session } from '../session.ts'

export interface DeleteFlags {
  readonly insecure?: boolean
  readonly yes?: boolean
}

/** Tags that are asked what they stand for before a digest is deleted. */
const maxTags = 200

/** `cloudimg delete REF`: a tag alone, or with `@sha256:…` the image and every tag of it. It asks first. */
export async function remove(session: Session, text: string, flags: DeleteFlags): Promise<void> {
  const { ctx } = session
  // Without a tag nothing is guessed: what is deleted must be said.
  const ref = parseReference(text, null)
  const name = ref.digest ?? ref.tag
  if (name === undefined)
    throw new CloudimgError('USAGE', `deleting "${text}": it names no image`, {
      hint: `write ${text}:TAG to delete a tag, ${text}@sha256:… to delete an image with all its tags`,
    })
  const repository = (await remoteAccess(session, flags.insecure)).repository(ref)
  const found = await repository.resolve(name, ctx)
  if (found === undefined)
    throw new CloudimgError('IMAGE_NOT_FOUND', `deleting "${text}": ${ref.registry} has no such image`)
  const tags = ref.digest === undefined ? [name] : await tagsOf(repository, ref.digest, session)
  if (flags.yes !== true) await confirm(session, ref, tags)
  const gone = await repository.remove(name, ctx).catch(async (error: unknown) => {
    throw ref.digest === undefined ? await byDigestInstead(error, ref, repository, found.digest, session) : error
  })
  if (!gone) throw new CloudimgError('IMAGE_NOT_FOUND', `deleting "${text}": it is gone already`)
  session.answer(
    { deleted: formatReference(ref), digest: found.digest, tags },
    ref.digest === undefined
      ? `deleted the tag ${name}; the image ${found.digest} stays`
      : `deleted ${found.digest}${tags.length === 0 ? '' : ` and with it ${tags.join(', ')}`}`,
  )
}

// Never done unasked: other tags may stand for the same image.
async function byDigestInstead(
  error: unknown,
  { registry, repository: path }: Reference,
  repository: RemoteRepository,
  digest: Digest,
  session: Session,
): Promise<unknown> {
  if (!isCloudimgError(error, 'UNSUPPORTED')) return error
  const tags = await tagsOf(repository, digest, session)
  const command = `cloudimg delete ${formatReference({ registry, repository: path, digest })}`
  const hint = `this registry deletes no single tags; ${command} deletes the image with ${tags.join(', ')}`
  return new CloudimgError(error.code, error.message, { cause: error, hint })
}

/** The tags that would go with a digest, of the first 200. */
async function tagsOf(repository: RemoteRepository, digest: string, { ctx }: Session): Promise<readonly string[]> {
  const names: string[] = []
  for await (const tag of repository.tags(ctx)) if (names.push(tag) >= maxTags) break
  const targets = await each(names, 8, async tag => (await repository.resolve(tag, ctx))?.digest)
  return names.filter((_, i) => targets[i] === digest)
}

async function confirm({ terminal }: Session, ref: Reference, tags: readonly string[]): Promise<void> {
  const what =
    ref.digest === undefined
      ? `the tag ${formatReference(ref)}`
      : `the image ${formatReference({ registry: ref.registry, repository: ref.repository, digest: ref.digest })}${tags.length === 0 ? '' : ` and its tags ${tags.join(', ')}`}`
  if (!(await askYes(terminal, `Delete ${what}?`, '--yes'))) throw new CloudimgError('CANCELLED', 'nothing was deleted')
}
