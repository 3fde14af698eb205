import type { Digest } from '../core/digest.ts'
import { type Descriptor, isIndexType, isManifestType } from './descriptor.ts'
import { parseIndex, parseManifest } from './document.ts'

/** What a document is about, and how a list of referrers describes it (distribution-spec 1.1, "Listing Referrers"). */
export interface Relation {
  readonly subject: Digest
  readonly referrer: Descriptor
}

/** Undefined for what is no manifest or index, or has no subject. @throws IMAGE_INVALID. */
export function readRelation(descriptor: Descriptor, bytes: Uint8Array): Relation | undefined {
  const { mediaType, digest, size } = descriptor
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) return undefined
  const document = isIndexType(mediaType) ? parseIndex(bytes, digest) : parseManifest(bytes, digest)
  if (document.subject === undefined) return undefined
  const artifactType = document.artifactType ?? ('config' in document ? document.config.mediaType : undefined)
  const annotations = document.annotations ?? undefined
  const described = {
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  return { subject: document.subject.digest, referrer: { mediaType, digest, size, ...described } }
}
