import type { Context } from '../../core/context.ts'
import { familiarReference } from '../../core/reference.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform } from '../../core/platform.ts'
import { compareBytes } from '../../io/files.ts'
import { encodeHeader, tarPadding, type TarType } from '../../io/tar.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobReader } from '../ends.ts'
import { blobPath } from './blob-path.ts'
import { deltaFile, formatDelta } from './delta.ts'
import { besideLayout, type DockerList, listForDocker, ofDocker } from './docker-list.ts'
import type { PlainLayer } from './plain-layer.ts'
import { type ArchiveOptions, type ArchivePlan, ociLayout } from './plan-archive.ts'

/** The forms of an archive that are one tar. */
export type ArchiveForm = 'hybrid' | 'oci-archive' | 'docker-archive'

/** What stands in the tar, in order. Layers that are unpacked stand last: their sizes may be known only when they are. */
export interface ArchiveEntries {
  readonly known: readonly KnownEntry[]
  readonly plain: readonly PlainLayer[]
}

export interface KnownEntry {
  readonly header: Buffer
  readonly content: Buffer | Descriptor
}

/** @throws UNSUPPORTED for a docker-archive of what docker cannot use; what the reader throws. */
export async function listEntries(
  reader: BlobReader,
  plan: ArchivePlan,
  form: ArchiveForm,
  options: ArchiveOptions,
  ctx: Context,
): Promise<ArchiveEntries> {
  // What leaves blobs out no other program can load: it needs no list for docker.
  const forDocker = form !== 'oci-archive' && plan.leftOut.length === 0
  const docker = forDocker
    ? await listForDocker(
        reader,
        plan.images,
        options.platform ?? hostPlatform(),
        form === 'hybrid' ? besideLayout : ofDocker,
        ctx,
      )
    : undefined
  if (form === 'docker-archive') return dockerEntries(docker!)
  return {
    known: [
      file('oci-layout', ociLayout),
      file('index.json', plan.indexJson),
      ...(docker === undefined ? [] : [file('manifest.json', docker.manifestJson)]),
      ...(plan.leftOut.length === 0 ? [] : [file(deltaFile, formatDelta(plan.leftOut))]),
      ...['blobs/', 'blobs/sha256/'].map(path => ({ header: header('directory', path, 0), content: Buffer.alloc(0) })),
      ...plan.blobs.map(blob => file(blobPath(blob.digest), plan.documents.get(blob.digest) ?? blob)),
    ],
    plain: docker?.plainLayers ?? [],
  }
}

function dockerEntries({ manifestJson, files, plainLayers, leftOut }: DockerList): ArchiveEntries {
  if (leftOut[0] !== undefined)
    throw new CloudimgError(
      'UNSUPPORTED',
      `saving "${familiarReference(leftOut[0])}" as docker-archive: it is no image of file system layers`,
      { hint: 'save it with --format oci-archive' },
    )
  const sorted = [...files].sort(([a], [b]) => compareBytes(a, b))
  return {
    known: [file('manifest.json', manifestJson), ...sorted.map(([path, blob]) => file(path, blob))],
    plain: plainLayers,
  }
}

function file(path: string, content: Buffer | Descriptor): KnownEntry {
  return { header: header('file', path, sizeOf(content)), content }
}

export function header(type: TarType, path: string, size: number): Buffer {
  return encodeHeader({ type, path, mode: type === 'directory' ? 0o755 : 0o644, uid: 0, gid: 0, size, mtime: 0 })
}

export function sizeOf(content: Buffer | Descriptor): number {
  return Buffer.isBuffer(content) ? content.length : content.size
}

/** What an entry takes in the tar. */
export function lengthOf({ header, content }: KnownEntry): number {
  return header.length + sizeOf(content) + tarPadding(sizeOf(content)).length
}
