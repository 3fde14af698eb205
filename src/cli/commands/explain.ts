import { formatBytes } from '../../core/bytes.ts'
import { shortDigest } from '../../core/digest.ts'
import type { Platform } from '../../core/platform.ts'
import { samePlatform } from '../../core/platform.ts'
import { familiarReference } from '../../core/reference.ts'
import { imageFor, listManifests, type PlatformImage, readImage } from '../../oci/document.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Explanation, explainImage } from '../../prove/explain-image.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg explain REF`: what is inside, and which line or file asked for it. */
export async function explain(session: Session, reference: string, platform: Platform | undefined): Promise<void> {
  const { ref, descriptor } = await bringImage(session, reference, false)
  const store = await session.store()
  const platforms: Explanation[] = []
  for (const image of await platformImages(session, descriptor, platform))
    platforms.push(await explainImage(store, image, session.ctx))
  const name = familiarReference(ref)
  session.answer({ name, digest: descriptor.digest, platforms }, () =>
    [`${name} ${descriptor.digest}`, ...platforms.map(formatExplanation)].join('\n\n'),
  )
}

/** The one that is named, or all of them. @throws PLATFORM_MISSING. */
export async function platformImages(
  session: Session,
  root: Descriptor,
  platform: Platform | undefined,
): Promise<readonly PlatformImage[]> {
  const store = await session.store()
  if (platform !== undefined) return [await imageFor(store, root, platform, session.ctx)]
  const images: PlatformImage[] = []
  for (const descriptor of await listManifests(store, root, session.ctx)) {
    const image = await readImage(store, descriptor, session.ctx)
    if (!images.some(known => samePlatform(known.platform, image.platform))) images.push(image)
  }
  return images
}

function formatExplanation(found: Explanation): string {
  const { platform, runtime, version, sealed, unsealed, layers, artifacts, images, runtimeImages, totals } = found
  const what =
    runtime === undefined ? 'no cluster image' : [runtime, version].filter(text => text !== undefined).join(' ')
  const seal = sealed === undefined ? '' : sealed ? ', sealed' : `, not sealed: ${unsealed.join('; ')}`
  const parts = [`${platform}: ${what}${seal}`]
  const lineOf = ({ line }: { readonly line?: number }): string => (line === undefined ? '-' : `Kubefile:${line}`)
  const layerRows = layers.map(layer => [
    shortDigest(layer.digest),
    formatBytes(layer.size),
    String(layer.files),
    lineOf(layer),
    shorten(layer.createdBy),
  ])
  parts.push(formatTable(['LAYER', 'SIZE', 'FILES', 'LINE', 'INSTRUCTION'], layerRows))
  if (artifacts.length > 0) {
    const rows = artifacts.map(artifact => [
      artifact.path,
      artifact.version ?? '-',
      formatBytes(artifact.size),
      lineOf(artifact),
      artifact.sha256,
    ])
    parts.push(formatTable(['ARTIFACT', 'VERSION', 'SIZE', 'LINE', 'SHA256'], rows))
  }
  const imageRows = [
    ...images.map(({ name, digest, size, askedBy }) => [
      name,
      shortDigest(digest),
      formatBytes(size),
      askedBy.join(', '),
    ]),
    ...runtimeImages.map(name => [name, '-', '-', 'images/k3s-images.txt']),
  ]
  if (imageRows.length > 0) parts.push(formatTable(['CONTAINER IMAGE', 'DIGEST', 'SIZE', 'ASKED FOR BY'], imageRows))
  parts.push(...applicationTable(found))
  parts.push(
    `${formatBytes(totals.imageBytes)} in ${layers.length} layers; ${totals.files} files of ${formatBytes(totals.fileBytes)}; ` +
      `${totals.containerImages} container images, ${formatBytes(totals.containerImageBytes)} of them collected`,
  )
  return parts.join('\n\n')
}

function applicationTable({ applications, launch }: Explanation): readonly string[] {
  const started = new Set(launch?.applications)
  const rows = [
    ...applications.map(({ name, type, files, command }) => [
      name,
      type ?? '-',
      started.has(name) ? 'yes' : 'no',
      command === undefined ? files.join(', ') : command.join(' '),
    ]),
    ...(launch?.commands ?? []).map(command => ['-', 'command', 'yes', shorten(command)]),
  ]
  return rows.length === 0 ? [] : [formatTable(['APPLICATION', 'TYPE', 'LAUNCHED', 'WHAT'], rows)]
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}
