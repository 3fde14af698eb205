import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'

const line = /^([0-9a-f]{64}) [ *](.+)$/i

/**
 * A file as `sha256sum` writes it: digest, a space, a space or `*`, a name. Empty lines are passed over.
 * @throws ARCHIVE_INVALID for any other line, and where a name has two digests: half a checksum file is none.
 */
export function parseChecksums(text: string, what: string): ReadonlyMap<string, Digest> {
  const sums = new Map<string, Digest>()
  for (const [index, raw] of text.split('\n').entries()) {
    const content = raw.trimEnd()
    if (content === '') continue
    const [, hex, name] = line.exec(content) ?? []
    if (hex === undefined || name === undefined) {
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: line ${index + 1} is not "<sha256>  <name>"`)
    }
    const digest: Digest = `sha256:${hex.toLowerCase()}`
    const plain = name.replace(/^\.\//, '')
    if ((sums.get(plain) ?? digest) !== digest) {
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: "${plain}" has two different checksums`)
    }
    sums.set(plain, digest)
  }
  return sums
}
