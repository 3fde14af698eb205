import * as z from 'zod'
import { KiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { parseJson } from '../core/json.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { decompress, detectCompression } from '../io/compression.ts'
import { compareBytes } from '../io/files.ts'
import { limits } from '../io/limits.ts'
import { readFileRange } from '../io/read-file.ts'
import { type ReadEntry, readTar } from '../io/tar.ts'

const dockerManifest = z.array(z.looseObject({ RepoTags: z.array(z.string()).nullish() }))
const imageConfig = z.looseObject({ architecture: z.string(), rootfs: z.looseObject({}) })
const ociIndex = z.looseObject({
  manifests: z.array(z.looseObject({ annotations: z.record(z.string(), z.string()).nullish() })),
})

/**
 * The images in an archive as `docker save` or `ctr images export` writes it, plain or compressed with gzip or zstd: the
 * names under which containerd imports them, in full, sorted. Where both forms' metadata are present, OCI's counts, as in
 * containerd. The whole archive is read, in constant memory.
 * @throws ARCHIVE_INVALID for what is no image archive; UNSAFE_ARCHIVE beyond a limit.
 */
export async function listArchiveImages(path: string, ctx: Context): Promise<readonly string[]> {
  return (await readImageArchive(readFileRange(path), `image archive "${path}"`, ctx)).names
}

export interface ImageArchive {
  readonly names: readonly string[]
  /** Of the configs in it, as those spell them: `amd64`. */
  readonly architectures: readonly string[]
}

/** The same of an archive's bytes. */
export async function readImageArchive(body: AsyncIterable<Buffer>, what: string, ctx: Context): Promise<ImageArchive> {
  const source = body[Symbol.asyncIterator]()
  try {
    const { documents, architectures } = await readMetadata({ [Symbol.asyncIterator]: () => source }, what, ctx)
    const index = documents.get('index.json')
    const manifest = documents.get('manifest.json')
    if (index === undefined && manifest === undefined) {
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: it has neither index.json nor manifest.json`)
    }
    const names = index === undefined ? dockerNames(manifest ?? '', what) : ociNames(index, what)
    return { names: [...new Set(names.flatMap(fullName))].sort(compareBytes), architectures: [...architectures].sort() }
  } finally {
    // What reads it may have thrown in the middle: the file is closed here whatever happened.
    await source.return?.(undefined)
  }
}

async function readMetadata(
  file: AsyncIterable<Buffer>,
  what: string,
  ctx: Context,
): Promise<{ readonly documents: ReadonlyMap<string, string>; readonly architectures: ReadonlySet<string> }> {
  const { compression, body } = await detectCompression(file)
  const documents = new Map<string, string>()
  const architectures = new Set<string>()
  for await (const entry of readTar(bounded(decompress(body, compression, what), what, ctx), what)) {
    const name = entry.path.replace(/^\.\//, '')
    if (name === 'index.json' || name === 'manifest.json') documents.set(name, await readText(entry, what))
    else if (entry.type === 'file' && entry.size < largestConfig && mayBeConfig(name)) {
      const architecture = architectureOf(await readText(entry, what))
      if (architecture !== undefined) architectures.add(architecture)
    }
  }
  return { documents, architectures }
}

const largestConfig = 256 * KiB

/** `HEX.json` in docker's form, a blob in OCI's. */
function mayBeConfig(name: string): boolean {
  return /^(?:[0-9a-f]{64}\.json|blobs\/sha256\/[0-9a-f]{64})$/.test(name)
}

function architectureOf(text: string): string | undefined {
  if (!text.startsWith('{')) return undefined
  const parsed = imageConfig.safeParse(parseJson(text))
  return parsed.success ? parsed.data.architecture : undefined
}

/**
 * Holds the list that upstream publishes beside its archive against the archive itself.
 * @throws ARCHIVE_INVALID naming what one has and the other lacks.
 */
export function checkImageList(listed: readonly string[], archived: readonly string[], what: string): void {
  const inList = new Set(listed.flatMap(fullName))
  const inArchive = new Set(archived)
  const missing = [...inList].filter(name => !inArchive.has(name))
  const surplus = archived.filter(name => !inList.has(name))
  if (missing.length === 0 && surplus.length === 0) return
  const reasons = [
    ...(missing.length === 0 ? [] : [`the archive lacks ${missing.map(name => `"${name}"`).join(', ')}`]),
    ...(surplus.length === 0 ? [] : [`the list lacks ${surplus.map(name => `"${name}"`).join(', ')}`]),
  ]
  throw new CloudimgError('ARCHIVE_INVALID', `comparing ${what} with its image list: ${reasons.join('; ')}`, {
    hint: 'the two are not of the same release: check the mirror or the release directory they came from',
  })
}

/** The references of `k3s-images.txt`: one for each line, blank lines passed over. */
export function parseReleaseImages(text: string): readonly string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
}

async function* bounded(source: AsyncIterable<Buffer>, what: string, ctx: Context): AsyncGenerator<Buffer> {
  let size = 0
  for await (const chunk of source) {
    ctx.signal.throwIfAborted()
    size += chunk.length
    if (size > limits.archiveBytes) {
      throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: more than ${limits.archiveBytes} bytes when unpacked`)
    }
    yield chunk
  }
}

async function readText(entry: ReadEntry, what: string): Promise<string> {
  if (entry.size > limits.manifestBytes) {
    throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: ${entry.path} has ${entry.size} bytes`)
  }
  const parts: Buffer[] = []
  for await (const part of entry.content()) parts.push(Buffer.from(part))
  return Buffer.concat(parts).toString('utf8')
}

function dockerNames(text: string, what: string): readonly string[] {
  return parseAs(dockerManifest, text, `${what}: manifest.json`).flatMap(image => image.RepoTags ?? [])
}

// containerd takes the first of these annotations, as it stands; an image without either gets no name.
function ociNames(text: string, what: string): readonly string[] {
  return parseAs(ociIndex, text, `${what}: index.json`).manifests.flatMap(({ annotations }) => {
    const name = annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name']
    return name === undefined ? [] : [name]
  })
}

function parseAs<T extends z.ZodType>(schema: T, text: string, what: string): z.output<T> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: not JSON`, { cause: error })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

// A name that is no reference cannot be what a pod asks for.
function fullName(name: string): readonly string[] {
  try {
    return [formatReference(parseReference(name))]
  } catch {
    return []
  }
}
