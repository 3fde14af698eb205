import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CloudimgError, errnoOf, reasonOf } from '../core/error.ts'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EMFILE: 'too many open files',
  ELOOP: 'too many symbolic links',
}

/** A file-system error in the house's words: `doing` is "writing blob", `path` the thing. Full disks have a code of their own. */
export function fileError(doing: string, path: string, error: unknown): CloudimgError {
  if (error instanceof CloudimgError) return error
  const errno = errnoOf(error)
  const why = (errno === undefined ? undefined : reasons[errno]) ?? reasonOf(error)
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new CloudimgError('DISK_FULL', `${doing} "${path}": ${why}`, {
      cause: error,
      hint: 'free some space or point CLOUDIMG_HOME at a larger disk, then run the same command again',
      data: { path },
    })
  }
  const hint = errno === 'EROFS' ? { hint: 'name a place that can be written; the store lies at CLOUDIMG_HOME' } : {}
  return new CloudimgError('FILE_ERROR', `${doing} "${path}": ${why}`, { cause: error, data: { path }, ...hint })
}

/** Whether something could not be written because its file system takes no writes. */
export function isReadOnlyDisk(error: unknown): error is CloudimgError {
  return error instanceof CloudimgError && errnoOf(error.cause) === 'EROFS'
}

/** Runs `work`, turning what Node throws into a FILE_ERROR or DISK_FULL that says what was being done. */
export async function withFileErrors<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw errnoOf(error) === undefined ? error : fileError(doing, path, error)
  }
}

/** A name beside `path` that no other process uses; what a crash leaves behind is found by its suffix. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`)
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Readers see the old content or the new one, never a part: temporary file (beside, unless told), fsync, rename, fsync of the
 * directory.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
  temporary = temporaryBeside(path),
): Promise<void> {
  await withFileErrors('writing', path, async () => {
    await mkdir(dirname(path), { recursive: true })
    try {
      const handle = await open(temporary, 'wx', mode)
      try {
        await handle.writeFile(content)
        await handle.chmod(mode)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(temporary, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  })
}

/** Undefined where there is no such file; any other trouble is thrown. */
export async function readFileIfPresent(
  path: string,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<Buffer | undefined> {
  return await withFileErrors('reading', path, () => absentAsUndefined(readBounded(path, maxBytes)))
}

async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  const { size } = await stat(path)
  if (size > maxBytes)
    throw new CloudimgError('SIZE_MISMATCH', `reading "${path}": ${size} bytes, at most ${maxBytes} are taken`)
  return await readFile(path)
}

export async function statIfPresent(path: string): Promise<Stats | undefined> {
  return absentAsUndefined(stat(path))
}

export async function lstatIfPresent(path: string): Promise<Stats | undefined> {
  return absentAsUndefined(lstat(path))
}

export async function readdirIfPresent(path: string): Promise<string[]> {
  return (await absentAsUndefined(readdir(path))) ?? []
}

async function absentAsUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined
    throw error
  }
}

/** Byte order of names, whatever the locale: what makes listings, tars and digests the same everywhere. */
export function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (left === right) continue
    // Where UTF-16 and UTF-8 disagree: halves of characters beyond 16 bits.
    return left < 0xd800 || right < 0xd800 ? left - right : Buffer.compare(Buffer.from(a), Buffer.from(b))
  }
  return a.length - b.length
}
