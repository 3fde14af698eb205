import { join } from 'node:path/posix'
import { MiB } from '../core/bytes.ts'
import type { Digest } from '../core/digest.ts'
import { hexOf } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import type { SituatedNode } from './situation.ts'

type Regular = Extract<RootfsFile, { type: 'file' }>

/** Files of this size and more travel one by one, with progress and resume; the rest in one stream. */
export const largeBytes = 4 * MiB

export interface MissingFiles {
  /** Another rootfs on the same host has these bytes. */
  readonly copies: readonly { readonly file: Regular; readonly from: string }[]
  readonly large: readonly Regular[]
  readonly small: readonly Regular[]
}

/** What a host lacks of its rootfs, by digest. */
export function missingFiles(node: SituatedNode): MissingFiles {
  if (node.staged) return { copies: [], large: [], small: [] }
  const missing = node.tree.filter(
    (file): file is Regular => file.type === 'file' && node.present.get(file.path) !== file.digest,
  )
  const elsewhere = (file: Regular): string | undefined => {
    const path = node.facts.cloudimg.files[file.digest]
    return path === undefined || path.startsWith(`${node.rootfs.directory}/`) ? undefined : path
  }
  const sent = missing.filter(file => elsewhere(file) === undefined)
  return {
    copies: missing.flatMap(file => {
      const from = elsewhere(file)
      return from === undefined ? [] : [{ file, from }]
    }),
    large: sent.filter(file => file.size >= largeBytes),
    small: sent.filter(file => file.size < largeBytes),
  }
}

/** Bytes that will be written below the rootfs directory. */
export function pendingBytes(node: SituatedNode): number {
  const { copies, large, small } = missingFiles(node)
  return [...copies.map(copy => copy.file), ...large, ...small].reduce((sum, file) => sum + file.size, 0)
}

/** The list that the installer verifies a rootfs against, as `sha256sum -c` reads it. */
export function checksumList(tree: readonly RootfsFile[]): string {
  return tree
    .filter((file): file is Regular => file.type === 'file')
    .map(file => `${hexOf(file.digest)}  ${file.path}\n`)
    .join('')
}

export function rootfsDirectory(digest: Digest): string {
  return join('/var/lib/cloudimg/rootfs', hexOf(digest))
}

/** Nodes for which it is the same are to have the very same files. */
export function treeName({ rootfs, pulls }: SituatedNode): string {
  return pulls === true ? `${rootfs.digest} without pulled images` : rootfs.digest
}

/** Where a host keeps the small files as one, while it may pass them on. */
export function packPath(directory: string): string {
  return `${directory}.pack`
}

/** sha256sum writes such names in a quoted form of its own, so a host could not verify them. @throws IMAGE_INVALID */
export function refuseOddNames(tree: readonly RootfsFile[], reference: string): void {
  const odd = tree.find(file => /[\n\\]/.test(file.path))
  if (odd === undefined) return
  throw new CloudimgError(
    'IMAGE_INVALID',
    `deploying "${reference}": the file name ${JSON.stringify(odd.path)} has a line break or a backslash`,
    {
      hint: 'rename the file and build the image again',
    },
  )
}
