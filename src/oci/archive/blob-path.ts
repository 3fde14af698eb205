import type { Digest } from '../../core/digest.ts'

/** `blobs/sha256/<hex>`, in archives and layout directories alike. */
export function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`
}
