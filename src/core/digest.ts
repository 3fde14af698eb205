import { createHash } from 'node:crypto'

/** `sha256:` and 64 lower-case hex digits (image-spec, descriptor.md §digests). */
export type Digest = `sha256:${string}`

const pattern = /^sha256:[0-9a-f]{64}$/

export function isDigest(text: string): text is Digest {
  return pattern.test(text)
}

/** The digest of bytes that are in memory already; streams go through `io/hash.ts`. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The 64 hex digits alone, as file names and checksum files have them. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length)
}

/** A text for people: of whole digests in it they see the first 12 hex digits. */
export function shortenDigests(text: string): string {
  return text.replaceAll(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, '$1…')
}

/** The form for people: the first 12 hex digits, as docker shows them. */
export function shortDigest(digest: Digest): string {
  return hexOf(digest).slice(0, 12)
}
