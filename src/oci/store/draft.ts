import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { writeFileAtomic } from '../../io/files.ts'
import { ownIdentity } from '../../io/process-identity.ts'
import type { StoreLayout } from './layout.ts'

/** A name for what is being written, which `clearAbandoned` finds should this process be killed. */
export function draftPath(layout: StoreLayout): string {
  return join(layout.temporary, `${ownIdentity()}.${randomBytes(8).toString('hex')}`)
}

/** A small file of the store, whole or not at all: nothing half written is ever among blobs, recipes or names. */
export async function writeStoreFile(layout: StoreLayout, path: string, content: string | Uint8Array): Promise<void> {
  await writeFileAtomic(path, content, 0o644, draftPath(layout))
}
