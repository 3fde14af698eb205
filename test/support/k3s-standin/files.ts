import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Whole or not at all, also over a power cut: temp file, sync, rename. Directories are made with mode 0700 unless told. */
export function writeWhole(path: string, content: string | Uint8Array, mode = 0o600, directoryMode = 0o700): void {
  mkdirSync(dirname(path), { recursive: true, mode: directoryMode })
  const temp = `${path}.tmp-${process.pid}`
  const handle = openSync(temp, 'w', mode)
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content
    for (let at = 0; at < bytes.length;) at += writeSync(handle, bytes, at)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
  renameSync(temp, path)
}

export function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
