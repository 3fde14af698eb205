import { formatBytes } from '../../core/bytes.ts'
import { CloudimgError } from '../../core/error.ts'
import { formatPlatform, type Platform } from '../../core/platform.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { formatIndex, type IndexEntry, joinEntries, listEntries } from '../../oci/join-index.ts'
import { bringImage } from '../bring-image.ts'
import { findImage } from '../image-argument.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

export interface IndexFlags {
  /** Of two images for one platform the later one stays. */
  readonly replace?: boolean
  /** Ask the registry first, also where the store has an image of that name. */
  readonly pull?: boolean
  readonly isAddition?: boolean
}

/**
 * `cloudimg index create REF A B…`: one name for images of several platforms, built where each is at home. `index add` is
 * the same with what the name has already before them.
 */
export async function joinImages(
  session: Session,
  name: string,
  images: readonly string[],
  flags: IndexFlags,
): Promise<void> {
  const target = tagged(name)
  const entries = flags.isAddition === true ? [...(await storedEntries(session, name))] : []
  for (const image of images) entries.push(...(await broughtEntries(session, image, flags.pull === true)))
  await write(session, target, joinEntries(entries, { replace: flags.replace === true }))
}

/** `cloudimg index remove REF --platform …`: the name without these platforms. */
export async function removeFromIndex(session: Session, name: string, platforms: readonly Platform[]): Promise<void> {
  const target = tagged(name)
  const entries = await storedEntries(session, name)
  const unwanted = platforms.map(formatPlatform)
  const missing = unwanted.find(platform => !entries.some(entry => entry.platform === platform))
  if (missing !== undefined) {
    const has = entries.flatMap(({ platform }) => platform ?? []).join(', ')
    throw new CloudimgError('PLATFORM_MISSING', `removing ${missing} from "${name}": it has ${has}`)
  }
  const kept = entries.filter(({ platform }) => platform === undefined || !unwanted.includes(platform))
  if (!kept.some(({ platform }) => platform !== undefined))
    throw new CloudimgError('USAGE', `removing ${unwanted.join(', ')} from "${name}": nothing would be left`, {
      hint: `to remove the name itself, run cloudimg rmi ${name}`,
    })
  await write(session, target, joinEntries(kept, { replace: false }))
}

/** `cloudimg index ls REF`. */
export async function listIndex(session: Session, name: string): Promise<void> {
  const entries = await storedEntries(session, name)
  session.answer({ entries: entries.map(toRow) }, () =>
    formatTable(
      ['PLATFORM', 'DIGEST', 'SIZE'],
      entries.map(({ platform, descriptor }) => [platform ?? '-', descriptor.digest, formatBytes(descriptor.size)]),
    ),
  )
}

function toRow({ platform, descriptor: { mediaType, digest, size } }: IndexEntry): object {
  return { ...(platform === undefined ? {} : { platform }), digest, size, mediaType }
}

function tagged(name: string): Reference {
  const ref = parseReference(name)
  if (ref.digest !== undefined)
    throw new CloudimgError('USAGE', `naming an index "${name}": it is a digest`, { hint: 'give it a tag' })
  return ref
}

async function storedEntries(session: Session, name: string): Promise<readonly IndexEntry[]> {
  const store = await session.store()
  const { descriptor } = await findImage(store, name, session.ctx)
  return await listEntries(store, { name, descriptor }, session.ctx)
}

async function broughtEntries(session: Session, name: string, pull: boolean): Promise<readonly IndexEntry[]> {
  const store = await session.store()
  const { descriptor } = await bringImage(session, name, pull)
  return await listEntries(store, { name, descriptor }, session.ctx)
}

async function write(session: Session, target: Reference, entries: readonly IndexEntry[]): Promise<void> {
  const store = await session.store()
  const { bytes, mediaType } = formatIndex(entries)
  const index = await store.put(bytes, mediaType)
  await store.tag(formatReference(target), index, session.ctx)
  const name = familiarReference(target)
  session.answer({ name: formatReference(target), digest: index.digest, entries: entries.map(toRow) }, () =>
    session.quiet
      ? index.digest
      : [
          `${name}@${index.digest}`,
          ...entries.map(({ platform, descriptor }) => `  ${(platform ?? '-').padEnd(14)} ${descriptor.digest}`),
        ].join('\n'),
  )
}
