import { formatBytes } from '../../core/bytes.ts'
import { shortDigest } from '../../core/digest.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { type DiskUsage, measureUsage } from '../../oci/store/disk-usage.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg df`: what takes how much, and what would free it. */
export async function df(session: Session, flags: { readonly verbose?: boolean }): Promise<void> {
  const { layout } = await session.store()
  const usage = await measureUsage(layout, session.ctx)
  session.answer({ home: layout.home, ...usage }, () =>
    [...(flags.verbose === true ? [imageTable(usage), ''] : []), groupTable(usage)].join('\n'),
  )
}

function groupTable({ groups, bytes }: DiskUsage): string {
  const rows: readonly (readonly [what: string, group: keyof DiskUsage['groups'], freedBy: string])[] = [
    ['images', 'images', 'prune --all'],
    ['build cache', 'cache', 'prune --cache'],
    ['downloads', 'downloads', 'prune --cache'],
    ['nothing needs', 'unneeded', 'gc'],
    ['unfinished', 'unfinished', 'gc, prune --cache'],
  ]
  return formatTable(
    ['TYPE', 'COUNT', 'SIZE', 'FREED BY'],
    [
      ...rows.map(([what, group, freedBy]) => [
        what,
        String(groups[group].count),
        formatBytes(groups[group].bytes),
        groups[group].bytes === 0 ? '-' : freedBy,
      ]),
      ['in all', '', formatBytes(bytes)],
    ],
  )
}

function imageTable({ images }: DiskUsage): string {
  return formatTable(
    ['IMAGE', 'DIGEST', 'SIZE', 'SHARED', 'UNIQUE'],
    images.map(({ name, digest, bytes, unique }) => [
      familiarReference(parseReference(name)),
      shortDigest(digest),
      formatBytes(bytes),
      formatBytes(bytes - unique),
      formatBytes(unique),
    ]),
  )
}
