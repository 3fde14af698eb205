import { mkdir, rm } from 'node:fs/promises'
import { withFileErrors } from '../../io/files.ts'
import { draftPath } from './draft.ts'
import type { StoreLayout } from './layout.ts'

/** A directory for what is unpacked on the way; gone at the end, and `clearAbandoned` finds it should this process be killed. */
export interface ScratchDirectory extends AsyncDisposable {
  readonly path: string
}

export async function openScratchDirectory(layout: StoreLayout): Promise<ScratchDirectory> {
  const path = draftPath(layout)
  await withFileErrors('making', path, () => mkdir(path, { mode: 0o700 }))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
