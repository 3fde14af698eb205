import { Header } from 'tar'
import { CloudimgError } from '../core/error.ts'
import { limits } from './limits.ts'

/** The kinds of entry that image layers have. */
export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character-device' | 'block-device' | 'fifo'

export interface TarEntry {
  readonly type: TarType
  /** As in the archive: relative, directories with or without a trailing slash. */
  readonly path: string
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content; 0 but for files. */
  readonly size: number
  /** Seconds. */
  readonly mtime: number
  readonly linkTarget?: string
  readonly deviceMajor?: number
  readonly deviceMinor?: number
  /** Extended attributes by full name (`security.capability`), as PAX `SCHILY.xattr.` records. */
  readonly xattrs?: Readonly<Record<string, Buffer>>
}

const typeNames = {
  file: 'File',
  directory: 'Directory',
  symlink: 'SymbolicLink',
  hardlink: 'Link',
  'character-device': 'CharacterDevice',
  'block-device': 'BlockDevice',
  fifo: 'FIFO',
} as const

const typesByName: Readonly<Record<string, TarType>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'symlink',
  Link: 'hardlink',
  CharacterDevice: 'character-device',
  BlockDevice: 'block-device',
  FIFO: 'fifo',
}

export const tarBlock = 512
/** Two zero blocks close an archive; no further padding (facts/oci.md §5). */
export const tarEnd: Buffer = Buffer.alloc(2 * tarBlock)

/** The zero bytes that follow content of that size. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((tarBlock - (size % tarBlock)) % tarBlock)
}

/**
 * The header block or blocks before an entry's content: ustar, and a PAX header before it only where ustar cannot say it.
 * The same entry gives the same bytes on every machine: no names of owners, no atime, ctime or process id.
 */
export function encodeHeader(entry: TarEntry): Buffer {
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path
  const pax = paxRecords(entry, path)
  const main = headerBlock(entry, path)
  if (pax.length === 0) return main
  const body = Buffer.concat(pax)
  const head = headerBlock(
    { type: 'file', mode: 0o644, uid: 0, gid: 0, size: body.length, mtime: 0 },
    'PaxHeader',
    'ExtendedHeader',
  )
  return Buffer.concat([head, body, tarPadding(body.length), main])
}

function headerBlock(entry: Omit<TarEntry, 'path'>, path: string, type?: 'ExtendedHeader'): Buffer {
  const block = Buffer.alloc(tarBlock)
  const header = new Header({
    path: fitPath(path),
    mode: entry.mode & 0o7777,
    uid: Math.min(entry.uid, 0o7777777),
    gid: Math.min(entry.gid, 0o7777777),
    size: entry.type === 'file' ? Math.min(entry.size, 0o77777777777) : 0,
    mtime: new Date(Math.max(0, Math.floor(entry.mtime)) * 1000),
    type: type ?? typeNames[entry.type],
    linkpath: truncateUtf8(entry.linkTarget ?? '', 100),
    uname: '',
    gname: '',
    devmaj: entry.deviceMajor ?? 0,
    devmin: entry.deviceMinor ?? 0,
  })
  header.encode(block, 0)
  return block
}

// node-tar splits a long ASCII path between prefix and name as GNU tar does; one that cannot be split is cut, PAX says it whole.
function fitPath(path: string): string {
  return fitsUstar(path) ? path : truncateUtf8(path, 100)
}

function truncateUtf8(text: string, bytes: number): string {
  let cut = text
  while (Buffer.byteLength(cut) > bytes) cut = cut.slice(0, -1)
  return cut
}

function fitsUstar(path: string): boolean {
  if (!isAscii(path)) return false
  if (path.length <= 100) return true
  for (let slash = path.indexOf('/'); slash >= 0 && slash <= 155; slash = path.indexOf('/', slash + 1)) {
    const name = path.length - slash - 1
    if (slash > 0 && name > 0 && name <= 100) return true
  }
  return false
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length
}

function paxRecords(entry: TarEntry, path: string): Buffer[] {
  const records: [string, Buffer][] = []
  const add = (key: string, value: string | number | Buffer): void => {
    records.push([key, Buffer.isBuffer(value) ? value : Buffer.from(String(value))])
  }
  if (!fitsUstar(path)) add('path', path)
  const link = entry.linkTarget ?? ''
  if (link.length > 100 || !isAscii(link)) add('linkpath', link)
  if (entry.size > 0o77777777777) add('size', entry.size)
  if (entry.uid > 0o7777777) add('uid', entry.uid)
  if (entry.gid > 0o7777777) add('gid', entry.gid)
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) add(`SCHILY.xattr.${name}`, value)
  return records
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([key, value]) => paxRecord(key, value))
}

// "LENGTH KEY=VALUE\n", where LENGTH counts its own digits too.
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = 1 + Buffer.byteLength(key) + 1 + value.length + 1
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length++
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')])
}

/** An entry met while reading, with where its content begins in the (uncompressed) archive. */
export interface ReadEntry extends TarEntry {
  readonly contentOffset: number
  /** The content, in order; must be read to its end or not at all before the next entry is asked for. */
  readonly content: () => AsyncGenerator<Buffer>
}

/** Bytes of which some can be passed over without being read: a file's. */
export interface SeekableBytes extends AsyncIterable<Uint8Array> {
  /** Goes on so many bytes further on; beyond the end there are none. */
  seek(count: number): void
}

/**
 * Reads a tar from its bytes, one entry after another, bounded in all it keeps. PAX and GNU long names are applied.
 * @throws ARCHIVE_INVALID for what is no tar or ends early; UNSAFE_ARCHIVE beyond a limit.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array> | SeekableBytes,
  what: string,
): AsyncGenerator<ReadEntry> {
  const bytes = new ByteQueue(source, what)
  try {
    yield* readEntries(bytes, what)
    await bytes.rest()
  } finally {
    await bytes.close()
  }
}

async function* readEntries(bytes: ByteQueue, what: string): AsyncGenerator<ReadEntry> {
  let extra: Extensions = {}
  let zeroBlocks = 0
  for (let entries = 0; ;) {
    const block = await bytes.take(tarBlock, zeroBlocks > 0)
    if (block === undefined) return
    if (isZero(block)) {
      if (++zeroBlocks === 2) break
      continue
    }
    zeroBlocks = 0
    const header = decode(block, what)
    if (isExtension(header.type)) {
      extra = { ...extra, ...(await readExtension(header, bytes, what)) }
      continue
    }
    if (++entries > limits.archiveEntries)
      throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: more than ${limits.archiveEntries} entries`)
    const entry = toEntry(header, extra, what)
    extra = {}
    if (entry === undefined) continue
    const start = bytes.offset
    let left = entry.size
    yield {
      ...entry,
      contentOffset: start,
      async *content() {
        if (bytes.offset !== start) throw new CloudimgError('BUG', `reading ${what}: content asked for twice`)
        while (left > 0) {
          const chunk = await bytes.some(left)
          left -= chunk.length
          yield chunk
        }
      },
    }
    await bytes.skip(left + tarPadding(entry.size).length)
  }
}

interface Extensions {
  readonly path?: string
  readonly linkpath?: string
  readonly size?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly xattrs?: Readonly<Record<string, Buffer>>
}

function isExtension(type: string): boolean {
  return [
    'ExtendedHeader',
    'OldExtendedHeader',
    'GlobalExtendedHeader',
    'NextFileHasLongPath',
    'NextFileHasLongLinkpath',
  ].includes(type)
}

function decode(block: Buffer, what: string): Header {
  const header = new Header(block, 0)
  if (!header.cksumValid)
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: not a tar archive (a header's checksum is wrong)`)
  return header
}

async function readExtension(header: Header, bytes: ByteQueue, what: string): Promise<Extensions> {
  const size = header.size ?? 0
  if (size > limits.archiveExtensionBytes)
    throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: an extended header of ${size} bytes`)
  const body = (await bytes.take(size)) ?? Buffer.alloc(0)
  await bytes.skip(tarPadding(size).length)
  if (header.type === 'NextFileHasLongPath') return { path: untilNul(body) }
  if (header.type === 'NextFileHasLongLinkpath') return { linkpath: untilNul(body) }
  return header.type === 'GlobalExtendedHeader' ? {} : parsePax(body, what)
}

function untilNul(body: Buffer): string {
  const end = body.indexOf(0)
  return body.toString('utf8', 0, end < 0 ? body.length : end)
}

function parsePax(body: Buffer, what: string): Extensions {
  const out: { -readonly [K in keyof Extensions]: Extensions[K] } = {}
  const xattrs: Record<string, Buffer> = {}
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const length = Number(body.toString('latin1', at, Math.max(at, space)))
    const equals = body.indexOf(0x3d, space)
    if (
      space < 0 ||
      equals < 0 ||
      !Number.isInteger(length) ||
      length <= 0 ||
      at + length > body.length ||
      equals >= at + length
    ) {
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: a broken PAX header`)
    }
    const key = body.toString('utf8', space + 1, equals)
    const value = body.subarray(equals + 1, at + length - 1)
    at += length
    if (key.startsWith('SCHILY.xattr.')) xattrs[key.slice('SCHILY.xattr.'.length)] = Buffer.from(value)
    else if (key === 'path' || key === 'linkpath') out[key] = value.toString('utf8')
    else if (key === 'size' || key === 'uid' || key === 'gid' || key === 'mtime')
      out[key] = Number(value.toString('latin1'))
    else if (key.startsWith('GNU.sparse.'))
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: sparse files are not supported`)
  }
  return Object.keys(xattrs).length === 0 ? out : { ...out, xattrs }
}

function toEntry(header: Header, extra: Extensions, what: string): TarEntry | undefined {
  const path = extra.path ?? header.path ?? ''
  const slash = path.endsWith('/')
  const named = typesByName[header.type]
  if (named === undefined)
    throw new CloudimgError(
      'ARCHIVE_INVALID',
      `reading ${what}: entry "${path}" has the unsupported type "${header.type}"`,
    )
  const type = named === 'file' && slash ? 'directory' : named
  const size = type === 'file' ? (extra.size ?? header.size ?? 0) : 0
  if (!Number.isSafeInteger(size) || size < 0)
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: entry "${path}" has no valid size`)
  if (Buffer.byteLength(path) > limits.pathBytes)
    throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: a path of more than ${limits.pathBytes} bytes`)
  const link = extra.linkpath ?? header.linkpath
  return {
    type,
    path,
    mode: (header.mode ?? 0o644) & 0o7777,
    uid: extra.uid ?? header.uid ?? 0,
    gid: extra.gid ?? header.gid ?? 0,
    size,
    mtime: Math.floor(extra.mtime ?? (header.mtime?.getTime() ?? 0) / 1000),
    ...(type === 'symlink' || type === 'hardlink' ? { linkTarget: link ?? '' } : {}),
    ...(type === 'character-device' || type === 'block-device'
      ? { deviceMajor: header.devmaj ?? 0, deviceMinor: header.devmin ?? 0 }
      : {}),
    ...(extra.xattrs === undefined ? {} : { xattrs: extra.xattrs }),
  }
}

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every(byte => byte === 0)
}

/** Bytes of an async source by count, keeping no more than what was asked for and one chunk. */
class ByteQueue {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #seek: SeekableBytes['seek'] | undefined
  readonly #what: string
  #chunk: Buffer = Buffer.alloc(0)
  offset = 0

  constructor(source: AsyncIterable<Uint8Array> | SeekableBytes, what: string) {
    this.#iterator = source[Symbol.asyncIterator]()
    this.#seek = 'seek' in source ? count => source.seek(count) : undefined
    this.#what = what
  }

  async #more(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#iterator.next()
      if (next.done === true) return false
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
    return true
  }

  /** Up to `max` bytes, at least one. */
  async some(max: number): Promise<Buffer> {
    if (!(await this.#more()))
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${this.#what}: it ends in the middle of an entry`)
    const part = this.#chunk.subarray(0, max)
    this.#chunk = this.#chunk.subarray(part.length)
    this.offset += part.length
    return part
  }

  /** Exactly `count` bytes; undefined at the very end of the source where `mayEnd`. */
  async take(count: number, mayEnd = false): Promise<Buffer | undefined> {
    if (mayEnd && !(await this.#more())) return undefined
    if (this.#chunk.length >= count) return this.some(count)
    const parts: Buffer[] = []
    for (let left = count; left > 0;) {
      const part = await this.some(left)
      parts.push(part)
      left -= part.length
    }
    return Buffer.concat(parts)
  }

  async skip(count: number): Promise<void> {
    let left = count
    if (this.#seek !== undefined && left > this.#chunk.length) {
      left -= this.#chunk.length
      this.#chunk = Buffer.alloc(0)
      this.#seek(left)
      this.offset += count
      return
    }
    while (left > 0) left -= (await this.some(left)).length
  }

  /** Lets the source close what it has open, however far it was read. */
  async close(): Promise<void> {
    await this.#iterator.return?.()
  }

  /** Reads to the end, so that digests over the whole stream are checked; padding after the end marker is legal. */
  async rest(): Promise<void> {
    while (await this.#more()) this.#chunk = Buffer.alloc(0)
  }
}

/** Whether a tar may begin with that block: its checksum is right. */
export function isTarHeader(block: Buffer): boolean {
  return block.length === tarBlock && !isZero(block) && new Header(block, 0).cksumValid
}
