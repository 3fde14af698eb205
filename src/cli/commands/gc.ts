import { formatBytes } from '../../core/bytes.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { collectGarbage, type GarbageReport } from '../../oci/store/collect-garbage.ts'
import type { Session } from '../session.ts'

/** `cloudimg gc`: what nothing needs goes; names and caches stay. */
export async function gc(session: Session, flags: { readonly dryRun?: boolean }): Promise<void> {
  const dryRun = flags.dryRun === true
  const { layout } = await session.store()
  const report = await collectGarbage(layout, { dryRun }, session.ctx)
  session.answer({ dryRun, ...report }, () => describeGarbage(report, dryRun))
}

const nouns: Readonly<Record<string, string>> = {
  layers: 'cached layer',
  downloads: 'download',
  bases: 'cached base image',
}

export function describeGarbage(report: GarbageReport, dryRun: boolean): string {
  const untagged = dryRun ? 'would untag' : 'untagged'
  const lines = report.names.map(name => `${untagged}: ${familiarReference(parseReference(name))}`)
  const parts = [
    counted(report.blobs.length, 'blob'),
    ...Object.entries(report.cache).map(([kind, count]) => counted(count, nouns[kind] ?? `${kind} record`)),
    ...(report.leftovers === 0 ? [] : [counted(report.leftovers, 'unfinished or quarantined file')]),
  ]
  lines.push(`${dryRun ? 'would remove' : 'removed'} ${parts.join(', ')}: ${formatBytes(report.bytes)}`)
  const { bytes, processes } = report.kept
  if (processes.length > 0) lines.push(`kept ${formatBytes(bytes)} for running processes: ${processes.join(', ')}`)
  return lines.join('\n')
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
