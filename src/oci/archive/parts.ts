import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { parseJson } from '../../core/json.ts'
import { readFileIfPresent, statIfPresent } from '../../io/files.ts'
import { hashFile } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import type { Extent } from '../../io/pieces.ts'

/** What an archive in parts consists of: `NAME.parts.json` beside `NAME.001`, `NAME.002` … */
export interface PartsList {
  readonly schemaVersion: 1
  readonly archive: string
  /** Bytes of the whole. */
  readonly size: number
  readonly parts: readonly Part[]
}

export interface Part {
  readonly name: string
  readonly size: number
  /** 64 hex digits. */
  readonly sha256: string
}

const listSuffix = '.parts.json'

export function partsListPath(archive: string): string {
  return `${archive}${listSuffix}`
}

/** `k3s.tar.001`; more digits where there are more than 999. */
export function partName(archive: string, index: number): string {
  return `${archive}.${String(index + 1).padStart(3, '0')}`
}

const schema = z.object({
  schemaVersion: z.literal(1),
  archive: z.string(),
  size: z.number().int().nonnegative(),
  parts: z
    .array(
      z.object({
        name: z.string().refine(name => name === basename(name) && name !== '..' && name !== '.', 'not a file name'),
        size: z.number().int().nonnegative(),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .min(1),
})

/** A part that was found, and where. */
export interface FoundPart extends Part {
  readonly file: string
}

/** @throws ARCHIVE_INVALID. */
export async function readPartsList(path: string): Promise<PartsList> {
  const parsed = schema.safeParse(parseJson((await readFileIfPresent(path, limits.manifestBytes)) ?? ''))
  if (parsed.success) return parsed.data
  throw new CloudimgError('ARCHIVE_INVALID', `reading "${path}": it is no list of an archive's parts`)
}

/**
 * Which archives the given files are. A list of parts, or a part with the list beside it, stands for all parts of its
 * archive: those given, in any order and wherever they lie, and for the others those beside the list. Everything else
 * stands for itself. @throws ARCHIVE_INVALID, and IMAGE_NOT_FOUND naming the parts that are missing.
 */
export async function findArchives(
  paths: readonly string[],
  ctx: Context,
): Promise<readonly (string | readonly FoundPart[])[]> {
  const lists = new Map<string, PartsList>()
  const named = new Set<string>()
  const loose = new Set<string>()
  for (const path of paths) {
    const list = path.endsWith(listSuffix) ? path : await listBeside(path, paths)
    if (list === undefined) loose.add(path)
    else {
      lists.set(list, lists.get(list) ?? (await readPartsList(list)))
      if (list !== path) named.add(path)
    }
  }
  const inParts: FoundPart[][] = []
  for (const [list, { parts }] of lists) {
    const found = await findParts(list, parts, [...named, ...loose], ctx)
    for (const { file } of found) loose.delete(file)
    inParts.push(found)
  }
  return [...loose, ...inParts]
}

// A part is told by its name: the first one is the beginning of a tar like any other.
async function listBeside(path: string, given: readonly string[]): Promise<string | undefined> {
  const archive = /^(.*)\.\d{3,}$/.exec(path)?.[1]
  const present = (await statIfPresent(path)) !== undefined
  if (archive === undefined) {
    // `load -i k3s.tar` where there are only its parts.
    return !present && (await statIfPresent(partsListPath(path))) !== undefined ? partsListPath(path) : undefined
  }
  const name = partsListPath(basename(archive))
  const among = given.find(other => basename(other) === name)
  return among ?? ((await statIfPresent(partsListPath(archive))) === undefined ? undefined : partsListPath(archive))
}

async function findParts(
  list: string,
  parts: readonly Part[],
  given: readonly string[],
  ctx: Context,
): Promise<FoundPart[]> {
  const found: FoundPart[] = []
  const missing: string[] = []
  const others = given.filter(path => !parts.some(part => part.name === basename(path)))
  for (const part of parts) {
    const named = given.find(path => basename(path) === part.name) ?? join(dirname(list), part.name)
    const file = (await statIfPresent(named)) === undefined ? await findByContent(part, others, ctx) : named
    if (file === undefined) missing.push(part.name)
    else found.push({ ...part, file })
  }
  if (missing.length > 0)
    throw new CloudimgError('IMAGE_NOT_FOUND', `loading "${list}": missing ${missing.join(', ')}`, {
      hint: `put it beside the list, or name it too: --input PATH/${missing[0]}`,
      data: { missing: missing.join(',') },
    })
  for (const part of found) await wantSize(part)
  return found
}

/** A part under another name. */
async function findByContent(part: Part, paths: readonly string[], ctx: Context): Promise<string | undefined> {
  for (const path of paths) {
    if ((await statIfPresent(path))?.size !== part.size) continue
    if ((await hashFile(path, ctx.signal)).digest === `sha256:${part.sha256}`) return path
  }
  return undefined
}

async function wantSize({ file, name, size }: FoundPart): Promise<void> {
  const found = (await stat(file)).size
  if (found !== size)
    throw new CloudimgError('SIZE_MISMATCH', `loading the part "${file}": wanted ${size} bytes, found ${found}`, {
      hint: `copy ${name} again`,
      data: { path: file, wanted: size, found },
    })
}

export function extentsOf(parts: readonly FoundPart[]): readonly Extent[] {
  return parts.map(({ file, size }) => ({ file, offset: 0, length: size }))
}

/**
 * Reads all parts. They are not hashed before they are used, since every blob in them is: only where something was wrong
 * does this say which part to copy again. @throws DIGEST_MISMATCH naming the first broken part.
 */
export async function checkParts(parts: readonly FoundPart[], ctx: Context): Promise<void> {
  for (const { file, name, sha256 } of parts) {
    const { digest } = await hashFile(file, ctx.signal)
    if (digest === `sha256:${sha256}`) continue
    throw new CloudimgError('DIGEST_MISMATCH', `loading the part "${file}": wanted sha256:${sha256}, found ${digest}`, {
      hint: `copy ${name} again`,
      data: { path: file, wanted: `sha256:${sha256}`, found: digest },
    })
  }
}
