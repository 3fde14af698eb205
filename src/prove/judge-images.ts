import type { Context } from '../core/context.ts'
import { isCloudimgError } from '../core/error.ts'
import { formatPlatform } from '../core/platform.ts'
import { nodeName, parseReference } from '../core/reference.ts'
import { readImageArchive } from '../artifact/archive-images.ts'
import { runtimeListPath } from '../workload/discover-images.ts'
import type { Discovery, Place } from '../workload/discovery.ts'
import { isReference } from '../workload/image-name.ts'
import { describeAsker, type ImageRequest } from '../workload/image-request.ts'
import type { Bundle } from './bundle.ts'
import { type Gaps, parsePlace } from './gaps.ts'
import type { ScriptImage } from './judge-scripts.ts'

const archivePattern = /^images\/[a-z0-9]+-airgap-images-([a-z0-9]+)\.tar(?:\.(?:gz|zst))?$/

/** What the runtime imports by itself on the bundle's machines. */
export interface RuntimeArchive {
  readonly names: ReadonlySet<string>
  /** One that the Metadata lists is gone: then so is whatever the runtime needs, and that is no news. */
  readonly isMissing: boolean
}

export async function readRuntimeArchive(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<RuntimeArchive> {
  const names = new Set<string>()
  const { arch } = bundle.platform
  const isOurs = (path: string): boolean => archivePattern.exec(path)?.[1] === arch
  for (const file of bundle.files().filter(({ path }) => isOurs(path))) {
    const place = { file: file.path, line: 0, field: '' }
    try {
      const body = (await file.open(ctx)) as AsyncIterable<Buffer>
      const archive = await readImageArchive(body, `"/${file.path}"`, ctx)
      for (const name of archive.names) names.add(nodeName(parseReference(name)))
      const { architectures } = archive
      if (architectures.length > 0 && !architectures.includes(arch)) {
        const why = `its images are for ${architectures.join(', ')}, the bundle for ${formatPlatform(bundle.platform)}`
        gaps.add('architecture', file.path, why, place)
      }
    } catch (error) {
      if (!isCloudimgError(error) || ctx.signal.aborted) throw error
      gaps.add('unreadable', file.path, error.message, place)
    }
  }
  const isMissing = bundle.metadata.artifacts.some(({ path }) => isOurs(path) && bundle.file(path) === undefined)
  return { names, isMissing }
}

export interface ImageSupply {
  /** Names in the layout of collected images. */
  readonly laid: ReadonlySet<string>
  readonly archive: RuntimeArchive
}

/** Every container image that somebody asks for must lie in the bundle under the very name that a node looks for. */
export function judgeImages(
  bundle: Bundle,
  discovery: Discovery,
  scriptImages: readonly ScriptImage[],
  supply: ImageSupply,
  gaps: Gaps,
): number {
  const { metadata } = bundle
  const wanted = new Map<string, Place[]>()
  const want = (image: string, ...askers: readonly Place[]): void => {
    if (!isReference(image)) return
    const name = nodeName(parseReference(image))
    wanted.set(name, [...(wanted.get(name) ?? []), ...askers])
  }
  for (const image of metadata.images) want(image, { file: 'Metadata', line: 0, field: 'images' })
  for (const { name, askedBy } of metadata.collected ?? []) want(name, ...askedBy.map(parsePlace))
  for (const { image, ...place } of scriptImages) want(image, place)
  for (const request of discovery.requests)
    if (request.source === undefined) want(request.image, request)
    else judgeLocal(request, bundle, gaps)
  const own = new Set(metadata.images.map(image => nodeName(parseReference(image))))
  for (const [name, askers] of wanted) {
    if (supply.laid.has(name) || supply.archive.names.has(name)) continue
    if (supply.archive.isMissing && own.has(name)) continue
    gaps.add('image', name, explain(name, askers, supply), ...askers)
  }
  return wanted.size
}

function explain(name: string, askers: readonly Place[], { laid, archive }: ImageSupply): string {
  const { registry, repository } = parseReference(name)
  const near = [...laid, ...archive.names].filter(other => {
    const ref = parseReference(other)
    return ref.registry === registry && ref.repository === repository
  })
  const isRuntimes = askers.some(({ file }) => file === runtimeListPath)
  const where = isRuntimes ? 'neither in the air-gap archive nor among the collected images' : 'not in the bundle'
  return near.length === 0 ? where : `${where} under this name; there is ${near.join(', ')}`
}

/** A line that names an archive or the daemon: the build wrote down what it took for that line. */
function judgeLocal(request: ImageRequest, { metadata }: Bundle, gaps: Gaps): void {
  const asker = describeAsker(request)
  if ((metadata.collected ?? []).some(({ askedBy }) => askedBy.includes(asker))) return
  gaps.add('image', request.image, 'nothing was collected for this line', request)
}
