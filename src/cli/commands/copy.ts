import { CloudimgError } from '../../core/error.ts'
import type { Platform } from '../../core/platform.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { copyImage } from '../../oci/copy.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { remoteAccess } from '../remote-access.ts'
import { nameIn, parseRepository } from '../registry-image.ts'
import type { Session } from '../session.ts'

export interface CopyFlags {
  readonly platforms: readonly Platform[] | undefined
  readonly insecure?: boolean
  readonly concurrency: number | undefined
  readonly allTags?: boolean
  readonly referrers: boolean
}

/** `cloudimg copy FROM TO`: between registries, past the local store; within one registry blobs are mounted. */
export async function copy(session: Session, from: string, to: string, flags: CopyFlags): Promise<void> {
  if (flags.allTags === true) return await copyAllTags(session, from, to, flags)
  const source = parseReference(from)
  const target = withNameOf(parseReference(to, null), source)
  const copied = await copyOne(session, source, target, flags)
  session.answer(
    { from: formatReference(source), name: formatReference(target), digest: copied.digest },
    `copied ${familiarReference(source)} to ${familiarReference(target)}@${copied.digest}`,
  )
}

/** Without a tag of its own the copy is called as the original is. */
function withNameOf(to: Reference, from: Reference): Reference {
  if (to.digest !== undefined)
    throw new CloudimgError('USAGE', `copying to "${formatReference(to)}": a digest cannot be given to a copy`, {
      hint: 'leave out @sha256:…',
    })
  return to.tag !== undefined || from.tag === undefined ? to : { ...to, tag: from.tag }
}

async function copyOne(session: Session, from: Reference, to: Reference, flags: CopyFlags): Promise<Descriptor> {
  const access = await remoteAccess(session, flags.insecure)
  const { platforms, concurrency, referrers } = flags
  const options = {
    referrers,
    title: `copying ${familiarReference(from)}`,
    ...(platforms === undefined ? {} : { platforms }),
    ...(concurrency === undefined ? {} : { concurrency }),
  }
  return await copyImage(access.source(from), nameIn(from), access.repository(to), to.tag, options, session.ctx)
}

async function copyAllTags(session: Session, from: string, to: string, flags: CopyFlags): Promise<void> {
  const [source, target] = [parseRepository(from), parseRepository(to)]
  const names = await Array.fromAsync(
    (await remoteAccess(session, flags.insecure)).repository(source).tags(session.ctx),
  )
  if (names.length === 0) throw new CloudimgError('IMAGE_NOT_FOUND', `copying "${from}": it has no tags`)
  const copied: { readonly tag: string; readonly digest: string }[] = []
  // One after the other: each finds what the one before brought.
  for (const tag of names) {
    const { digest } = await copyOne(session, { ...source, tag }, { ...target, tag }, flags)
    copied.push({ tag, digest })
  }
  session.answer(
    { from: formatReference(source), to: formatReference(target), copied },
    copied.map(({ tag, digest }) => `${tag}@${digest}`).join('\n'),
  )
}
