import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseJson } from '../../core/json.ts'
import { run } from '../../io/exec.ts'

/** What outlives this process: written down before it is made, so that the next build can end it. */
export type EngineNote =
  | { readonly kind: 'runtime'; readonly program: string; readonly root: string; readonly id: string }
  | { readonly kind: 'engine'; readonly socket: string; readonly container: string; readonly image: string }

const suffix = '.engine.json'

/** @returns the note's file, to be removed when the thing is gone. */
export async function writeEngineNote(workspace: string, name: string, note: EngineNote): Promise<string> {
  const path = join(workspace, `${name}${suffix}`)
  await writeFile(path, JSON.stringify(note))
  return path
}

/** Ends what the notes of a workspace name, and forgets them. */
export async function releaseEngines(workspace: string): Promise<void> {
  for (const name of await readdir(workspace).catch(() => [])) {
    if (/^run-\d+$/.test(name)) await releaseEngines(join(workspace, name))
    if (!name.endsWith(suffix)) continue
    const note = parseJson(await readFile(join(workspace, name), 'utf8').catch(() => '')) as EngineNote | undefined
    if (note?.kind === 'runtime') {
      const ctx = { signal: AbortSignal.timeout(30_000), events: () => {} }
      await run([note.program, '--root', note.root, 'delete', '--force', note.id], {}, ctx).catch(() => undefined)
    }
    if (note?.kind === 'engine') {
      const { removeFromEngine } = await import('./engine-api.ts')
      await removeFromEngine(note).catch(() => undefined)
    }
    await rm(join(workspace, name), { force: true })
  }
}
