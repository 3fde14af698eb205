import { createHash } from 'node:crypto'
import { parseReference } from '../../src/core/reference.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import type { Credentials } from '../../src/oci/remote/credential.ts'
import { remoteRepository } from '../../src/oci/remote/registry.ts'
import { quietContext } from './command.ts'
import { idleProgram } from './idle-program.ts'
import { noise } from './noise.ts'
import { jsonSample, type Sample, sample } from './sample-image.ts'
import { anonymous } from '../../src/oci/remote/credential.ts'

export interface WorkloadImage {
  /** Index first, then the manifests in the order of `arches`. */
  readonly index: Sample
  readonly manifests: readonly Sample[]
  /** Children before parents. */
  readonly all: readonly Sample[]
}

export interface WorkloadImageOptions {
  readonly arches?: readonly string[]
  /** One layer for each: its seed, and bytes that do not compress. A seed is a layer's content: equal ones are one blob. */
  readonly layers: readonly (readonly [seed: string, bytes: number])[]
  /** One more layer, with what `Cmd` names: then a pod of it runs, on amd64. */
  readonly runs?: boolean
}

/** An image of noise for several platforms. The same options give the same bytes; `{arch}` in a seed differs by platform. */
export function workloadImage({ arches = ['amd64', 'arm64'], layers, runs }: WorkloadImageOptions): WorkloadImage {
  const all: Sample[] = []
  const manifests = arches.map(architecture => {
    const tars = layers.map(([seed, bytes]) => layerOf(seed.replaceAll('{arch}', architecture), bytes))
    if (runs === true) tars.push(layerOfFile('sample', idleProgram(), 0o755))
    const rootfs = { type: 'layers', diff_ids: tars.map(tar => tar.descriptor.digest) }
    const config = jsonSample({ architecture, os: 'linux', config: { Cmd: ['/sample'] }, rootfs }, mediaTypes.config)
    const document = { schemaVersion: 2, mediaType: mediaTypes.manifest, config: config.descriptor }
    const manifest = jsonSample({ ...document, layers: tars.map(tar => tar.descriptor) }, mediaTypes.manifest)
    all.push(...tars, config, manifest)
    return manifest
  })
  const entries = manifests.map(({ descriptor }, i) => ({
    ...descriptor,
    platform: { os: 'linux', architecture: arches[i]! },
  }))
  const index = jsonSample({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: entries }, mediaTypes.index)
  return { index, manifests, all: [...all, index] }
}

function layerOf(seed: string, bytes: number): Sample {
  return layerOfFile(createHash('sha256').update(seed).digest('hex').slice(0, 8), noise(seed, bytes), 0o644)
}

function layerOfFile(path: string, content: Buffer, mode: number): Sample {
  const entry = { type: 'file', path, mode, uid: 0, gid: 0, size: content.length, mtime: 0 } as const
  return sample(Buffer.concat([encodeHeader(entry), content, tarPadding(content.length), tarEnd]))
}

/** To a registry, under the name's tag. Gives the index's digest. */
export async function pushWorkloadImage(
  name: string,
  image: WorkloadImage,
  credentials: Credentials = { ...anonymous },
): Promise<string> {
  const ctx = quietContext(120_000)
  const ref = parseReference(name)
  const repository = remoteRepository(ref, { credentials })
  for (const { descriptor, source } of image.all) await repository.write(descriptor, source, ctx)
  await repository.tag(ref.tag ?? 'latest', image.index.descriptor, ctx)
  return image.index.descriptor.digest
}
