import type { Context } from '../core/context.ts'
import { type Digest, isDigest } from '../core/digest.ts'
import { isCloudimgError } from '../core/error.ts'
import { formatPlatform, normalisePlatform } from '../core/platform.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'
import { parseConfig, parseIndex, parseManifest } from '../oci/document.ts'
import type { Place } from '../workload/discovery.ts'
import {
  type LaidImage,
  layoutBlobPath,
  layoutDirectory,
  layoutListPath,
  parseLayoutList,
} from '../workload/image-layout.ts'
import type { Bundle } from './bundle.ts'
import { type Gaps, parsePlace } from './gaps.ts'

const indexPath = `${layoutDirectory}/index.json`
const markerPath = `${layoutDirectory}/oci-layout`

/** What a layout has, whatever may be wrong with its parts. */
export interface Layout {
  /** Full names. */
  readonly names: ReadonlySet<string>
  readonly blobs: number
}

/** The OCI layout of the collected container images: every part there, as its digest says, for the right machines. */
export async function judgeLayout(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<Layout> {
  const collected = bundle.metadata.collected ?? []
  const files = [layoutListPath, indexPath, markerPath]
  if (collected.length === 0 && files.every(path => !bundle.has(path))) return { names: new Set(), blobs: 0 }
  for (const path of files)
    if (bundle.file(path) === undefined)
      gaps.add('file', path, 'the collected container images cannot be found without it', {
        file: 'Metadata',
        line: 0,
        field: 'collected',
      })
  const [list, index] = [await readList(bundle, gaps, ctx), await readIndex(bundle, gaps, ctx)]
  const laid = list ?? index ?? []
  const others = new Set((index ?? laid).map(({ name }) => name))
  const judge = new LayoutJudge(bundle, gaps)
  for (const image of laid) {
    ctx.signal.throwIfAborted()
    await judge.image(image, ctx)
  }
  const names = laid.map(({ name }) => name).filter(name => others.has(name))
  return { names: new Set(names), blobs: judge.blobs }
}

async function readList(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<readonly LaidImage[] | undefined> {
  return await attempt(layoutListPath, bundle, gaps, ctx, bytes => parseLayoutList(bytes.toString('utf8')))
}

async function readIndex(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<readonly LaidImage[] | undefined> {
  return await attempt(indexPath, bundle, gaps, ctx, bytes =>
    parseIndex(bytes, indexPath).manifests.flatMap(manifest => {
      const name = manifest.annotations?.['io.containerd.image.name']
      return name === undefined ? [] : [{ name, manifest, blobs: [] }]
    }),
  )
}

async function attempt<T>(
  path: string,
  bundle: Bundle,
  gaps: Gaps,
  ctx: Context,
  parse: (bytes: Buffer) => T,
): Promise<T | undefined> {
  const bytes = await bundle.read(path, ctx)
  if (bytes === undefined) return undefined
  try {
    return parse(bytes)
  } catch (error) {
    if (!isCloudimgError(error)) throw error
    gaps.add('unreadable', path, error.message, { file: path, line: 1, field: '' })
    return undefined
  }
}

class LayoutJudge {
  readonly #bundle: Bundle
  readonly #gaps: Gaps
  readonly #askers: ReadonlyMap<string, readonly Place[]>
  readonly #seen = new Set<Digest>()

  constructor(bundle: Bundle, gaps: Gaps) {
    this.#bundle = bundle
    this.#gaps = gaps
    const { collected = [] } = bundle.metadata
    this.#askers = new Map(collected.map(({ name, askedBy }) => [name, askedBy.map(parsePlace)]))
  }

  get blobs(): number {
    return this.#seen.size
  }

  async image({ name, manifest, blobs }: LaidImage, ctx: Context): Promise<void> {
    this.#blob(manifest, name)
    const listed = blobs.map(digest => ({ digest }))
    const parts = await this.#parts(manifest.digest, name, ctx)
    for (const part of [...(parts === undefined ? [] : [parts.config, ...parts.layers]), ...listed])
      this.#blob(part, name)
    if (parts !== undefined) await this.#platform(parts.config, name, ctx)
  }

  /** True where it is there, and what it should be. */
  #blob({ digest, size }: { readonly digest: Digest; readonly size?: number }, image: string): boolean {
    this.#seen.add(digest)
    const path = layoutBlobPath(digest)
    const file = this.#bundle.file(path)
    const why =
      file === undefined
        ? `a part of ${image}`
        : file.digest !== digest
          ? `a part of ${image}; it has ${file.digest}`
          : size !== undefined && file.size !== size
            ? `a part of ${image}; it has ${file.size} bytes, not ${size}`
            : undefined
    if (why !== undefined) this.#gaps.add('blob', path, why, ...(this.#askers.get(image) ?? []))
    return why === undefined
  }

  async #parts(
    digest: Digest,
    image: string,
    ctx: Context,
  ): Promise<{ readonly config: Descriptor; readonly layers: readonly Descriptor[] } | undefined> {
    return await this.#parsed(digest, image, ctx, parseManifest)
  }

  async #platform(config: Descriptor, image: string, ctx: Context): Promise<void> {
    // Other artifacts have configs of their own kinds.
    if (config.mediaType !== mediaTypes.config && config.mediaType !== mediaTypes.dockerConfig) return
    const found = await this.#parsed(config.digest, image, ctx, parseConfig)
    if (found === undefined) return
    const { platform } = this.#bundle
    if (normalisePlatform(found)?.arch === platform.arch) return
    const why = `it is for ${found.os}/${found.architecture}, the bundle for ${formatPlatform(platform)}`
    this.#gaps.add('architecture', image, why, ...(this.#askers.get(image) ?? []))
  }

  async #parsed<T>(
    digest: Digest,
    image: string,
    ctx: Context,
    parse: (bytes: Uint8Array, what: string) => T,
  ): Promise<T | undefined> {
    const path = layoutBlobPath(digest)
    if (!isDigest(digest) || this.#bundle.file(path)?.digest !== digest) return undefined
    try {
      return parse((await this.#bundle.read(path, ctx))!, path)
    } catch (error) {
      if (!isCloudimgError(error)) throw error
      this.#gaps.add('blob', path, `a part of ${image}: ${error.message}`, ...(this.#askers.get(image) ?? []))
      return undefined
    }
  }
}
