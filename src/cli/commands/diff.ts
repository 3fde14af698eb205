import { formatBytes } from '../../core/bytes.ts'
import { shortDigest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { formatPlatform, type Platform, samePlatform } from '../../core/platform.ts'
import { familiarReference } from '../../core/reference.ts'
import { diffImages, type ImageDifference, type NamedImage } from '../../prove/diff-images.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { platformImages } from './explain.ts'

export interface DiffFlags {
  readonly platform: Platform | undefined
  readonly exitCode?: boolean
}

/** `cloudimg diff A B`: what is different in B; 9 with `--exit-code` where anything is. */
export async function diff(
  session: Session,
  a: string | undefined,
  b: string | undefined,
  flags: DiffFlags,
): Promise<number> {
  if (a === undefined || b === undefined)
    throw new CloudimgError('USAGE', 'comparing images: two of them are needed', { hint: 'write: cloudimg diff A B' })
  const [before, after] = [await bringImage(session, a, false), await bringImage(session, b, false)]
  const store = await session.store()
  const old = await platformImages(session, before.descriptor, flags.platform)
  const fresh = await platformImages(session, after.descriptor, flags.platform)
  const platforms: ImageDifference[] = []
  for (const image of fresh) {
    const was = old.find(({ platform }) => samePlatform(platform, image.platform))
    if (was !== undefined) platforms.push(await diffImages(store, was, image, session.ctx))
  }
  const names = (images: typeof old, others: typeof old): readonly string[] =>
    images
      .filter(({ platform }) => !others.some(other => samePlatform(other.platform, platform)))
      .map(({ platform }) => formatPlatform(platform))
  const [platformsAdded, platformsRemoved] = [names(fresh, old), names(old, fresh)]
  const same = [...platformsAdded, ...platformsRemoved].length === 0 && platforms.every(platform => platform.same)
  const value = {
    a: { name: familiarReference(before.ref), digest: before.descriptor.digest },
    b: { name: familiarReference(after.ref), digest: after.descriptor.digest },
    same,
    platformsAdded,
    platformsRemoved,
    platforms,
  }
  session.answer(value, () =>
    [
      ...platformsAdded.map(name => `+ platform ${name}`),
      ...platformsRemoved.map(name => `- platform ${name}`),
      ...platforms.map(formatDifference),
    ].join('\n\n'),
  )
  return !same && flags.exitCode === true ? 9 : 0
}

function formatDifference(found: ImageDifference): string {
  const { platform, same, push, upgrade } = found
  const parts = [`${platform}: ${same ? 'nothing inside is different' : 'different'}`]
  const records = [...found.versions, ...found.config].map(({ key, before, after }) => [
    key,
    before ?? '-',
    after ?? '-',
  ])
  if (records.length > 0) parts.push(formatTable(['KEY', 'BEFORE', 'AFTER'], records))
  const images = [
    ...found.images.added.map(image => ['+', '', describeImage(image)]),
    ...found.images.removed.map(image => ['-', describeImage(image), '']),
    ...found.images.moved.map(({ before, after }) => ['~', describeImage(before), describeImage(after)]),
  ]
  if (images.length > 0) parts.push(formatTable(['', 'CONTAINER IMAGE', 'NOW'], images))
  const files = [
    ...found.files.added.map(({ path, size }) => ['+', path, '', formatBytes(size)]),
    ...found.files.removed.map(({ path, size }) => ['-', path, formatBytes(size), '']),
    ...found.files.changed.map(({ path, before, after }) => ['~', path, formatBytes(before), formatBytes(after)]),
  ]
  if (files.length > 0) parts.push(formatTable(['', 'FILE', 'BEFORE', 'AFTER'], files))
  parts.push(
    `a push ships ${formatBytes(push.bytes)} of ${formatBytes(push.of)} (${push.blobs} blobs); ` +
      `an upgrade sends each node ${formatBytes(upgrade.bytes)} (${upgrade.files} files)`,
  )
  return parts.join('\n\n')
}

function describeImage({ name, digest }: NamedImage): string {
  return digest === undefined || name.includes('@') ? name : `${name} (${shortDigest(digest)})`
}
