import { posix } from 'node:path'
import type { BuildTree } from '../tree.ts'

/** Whether a program is there, looked for as execvp(3) does. */
export function hasProgram(
  tree: BuildTree,
  program: string,
  { path, workdir }: { readonly path: string; readonly workdir: string },
): boolean {
  if (program === '') return false
  const candidates = program.includes('/')
    ? [posix.resolve(workdir, program)]
    : path.split(':').map(directory => posix.resolve(workdir, directory, program))
  return candidates.some(candidate => tree.get(tree.resolve(candidate))?.type === 'file')
}
