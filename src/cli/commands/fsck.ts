import { formatBytes } from '../../core/bytes.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import type { Fault } from '../../oci/store/fsck/fault.ts'
import { checkStore, type FsckReport } from '../../oci/store/fsck/fsck.ts'
import { repairStore } from '../../oci/store/fsck/repair.ts'
import type { Session } from '../session.ts'
import { counted } from './gc.ts'

type Told = Omit<Fault, 'path'> & { readonly repaired: boolean }

/** `cloudimg fsck`: 0 where nothing is wrong any more, else 5. */
export async function fsck(session: Session, flags: { readonly repair?: boolean }): Promise<number> {
  const store = await session.store()
  const report = await checkStore(store, session.ctx)
  const cured = new Set(flags.repair === true ? await repairStore(store.layout, report.faults, session.ctx) : [])
  const faults: readonly Told[] = report.faults.map(fault => ({ ...fault, repaired: cured.has(fault) }))
  const ok = faults.every(({ repaired }) => repaired)
  const { checked, unfinished } = report
  session.answer({ ok, faults, checked, unfinished }, () => describe(report, faults, flags.repair === true))
  return ok ? 0 : 5
}

function describe({ checked, unfinished }: FsckReport, faults: readonly Told[], repair: boolean): string {
  const lines = faults.map(fault => {
    const names = fault.names.length === 0 ? '' : ` (${fault.names.map(familiar).join(', ')})`
    return `${fault.kind}: ${fault.message}${names}${fault.repaired ? ' … moved to quarantine' : ''}`
  })
  const { blobs, recipes, names, bytes } = checked
  const what = [counted(blobs, 'blob'), counted(recipes, 'recipe'), counted(names, 'name'), formatBytes(bytes)].join(
    ', ',
  )
  const found = faults.length === 0 ? 'no fault' : counted(faults.length, 'fault')
  const repaired = faults.filter(fault => fault.repaired).length
  lines.push(`checked ${what}: ${found}${repaired === 0 ? '' : `, ${repaired} moved to quarantine`}`)
  if (unfinished.files > 0) {
    const size = formatBytes(unfinished.bytes)
    lines.push(
      `beside them ${counted(unfinished.files, 'unfinished file')}, ${size}: downloads, drafts of running or killed programs`,
    )
  }
  if (faults.length > 0 && !repair) lines.push('next: cloudimg fsck --repair')
  for (const name of new Set(faults.flatMap(({ names }) => names)))
    lines.push(`to have ${familiar(name)} whole again: cloudimg pull ${familiar(name)}, or load or build it again`)
  return lines.join('\n')
}

function familiar(name: string): string {
  return familiarReference(parseReference(name))
}
