import { realpath, stat } from 'node:fs/promises'
import { withFileErrors, writeFileAtomic } from '../io/files.ts'
import { findKubefile, readSource } from './build-input.ts'
import type { Session } from './session.ts'

/** A Kubefile as a command reads it: by name, or from stdin. */
export interface KubefileSource {
  /** As messages have it. */
  readonly filename: string
  /** Undefined for stdin. */
  readonly path: string | undefined
  readonly source: string
}

/** `-f`, or Kubefile in the context; `-` is stdin. */
export async function readKubefileSource(
  { terminal }: Session,
  contextDirectory: string,
  wish: string | undefined,
): Promise<KubefileSource> {
  const file = await findKubefile(contextDirectory, wish)
  const source = await readSource(file, terminal.stdin)
  return file === '-' ? { filename: 'stdin', path: undefined, source } : { filename: file, path: file, source }
}

/** In its place, with the mode that it has; a link stays one. */
export async function writeKubefile(path: string, source: string): Promise<void> {
  const real = await withFileErrors('writing', path, () => realpath(path))
  const { mode } = await withFileErrors('writing', path, () => stat(real))
  await writeFileAtomic(real, source, mode & 0o777)
}
