import { posix } from 'node:path'
import { encodeHeader } from '../../io/tar.ts'
import type { LayerEntry, TreeEntry } from '../tree.ts'

/** The headers of one tar, in order: of linked files the first one brings the content, the others point at it. */
export class EntryHeaders {
  readonly #epoch: number
  readonly #firstOf = new Map<string, string>()

  /** Seconds; every entry's mtime. */
  constructor(epoch: number) {
    this.#epoch = epoch
  }

  /** `hasContent`: whether the file's bytes follow. */
  next(entry: LayerEntry): { readonly header: Buffer; readonly hasContent: boolean } {
    if (entry.type === 'whiteout') return { header: this.#whiteout(entry.path), hasContent: false }
    const first = this.#firstLink(entry)
    const link = first === undefined ? (entry.type === 'symlink' ? entry.linkTarget : undefined) : first
    const header = encodeHeader({
      type: first === undefined ? entry.type : 'hardlink',
      path: entry.path,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: this.#epoch,
      size: entry.type === 'file' ? entry.size : 0,
      ...(link === undefined ? {} : { linkTarget: link }),
      ...('deviceMajor' in entry ? { deviceMajor: entry.deviceMajor ?? 0, deviceMinor: entry.deviceMinor ?? 0 } : {}),
      ...(entry.xattrs === undefined || first !== undefined ? {} : { xattrs: entry.xattrs }),
    })
    return { header, hasContent: entry.type === 'file' && first === undefined }
  }

  #firstLink(entry: TreeEntry): string | undefined {
    if (entry.type !== 'file' || entry.links === undefined) return undefined
    const first = this.#firstOf.get(entry.links)
    if (first === undefined) this.#firstOf.set(entry.links, entry.path)
    return first
  }

  /** image-spec, layer.md, "Whiteouts". */
  #whiteout(path: string): Buffer {
    const name = posix.join(posix.dirname(path), `.wh.${posix.basename(path)}`)
    return encodeHeader({ type: 'file', path: name, mode: 0, uid: 0, gid: 0, size: 0, mtime: this.#epoch })
  }
}
