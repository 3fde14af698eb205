import { isUtf8 } from 'node:buffer'
import { Header } from 'tar/header'
import { CloudimgError, reasonOf } from '../core/error.ts'
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
  let names = 0
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
    if (++entries > limits.archiveEntries) throw unsafe(what, `more than ${limits.archiveEntries} entries`)
    const entry = toEntry(header, block, extra, what)
    extra = {}
    names += nameBytes(entry)
    if (names > limits.archiveNameBytes)
      throw unsafe(what, `its names alone take more than ${limits.archiveNameBytes} bytes`)
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
  let header: Header
  try {
    header = new Header(block, 0)
  } catch (error) {
    throw invalid(what, `a header with impossible numbers (${reasonOf(error)})`)
  }
  if (!header.cksumValid) throw invalid(what, "not a tar archive (a header's checksum is wrong)")
  return header
}

function invalid(what: string, why: string): CloudimgError {
  return new CloudimgError('ARCHIVE_INVALID', `reading ${what}: ${why}`)
}

function unsafe(what: string, why: string): CloudimgError {
  return new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: ${why}`)
}

function nameBytes({ path, linkTarget, xattrs }: TarEntry): number {
  const values = Object.entries(xattrs ?? {}).reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  return path.length + (linkTarget?.length ?? 0) + values
}

/** Up to its first NUL. Names that are no UTF-8 would become other names, and two of them one. */
function decodeName(bytes: Buffer, what: string): string {
  const nul = bytes.indexOf(0)
  const text = bytes.toString('utf8', 0, nul < 0 ? bytes.length : nul)
  if (text.includes('\uFFFD') && !isUtf8(bytes.subarray(0, nul < 0 ? bytes.length : nul)))
    throw invalid(what, `the name "${text.slice(0, 100)}" is not UTF-8`)
  return text
}

async function readExtension(header: Header, bytes: ByteQueue, what: string): Promise<Extensions> {
  const { size } = header
  if (size === undefined) throw invalid(what, 'an extended header has no valid size')
  if (size > limits.archiveExtensionBytes)
    throw unsafe(what, `an extended header of more than ${limits.archiveExtensionBytes} bytes`)
  const body = (await bytes.take(size)) ?? Buffer.alloc(0)
  await bytes.skip(tarPadding(size).length)
  if (header.type === 'NextFileHasLongPath') return { path: decodeName(body, what) }
  if (header.type === 'NextFileHasLongLinkpath') return { linkpath: decodeName(body, what) }
  // Global ones hold for nothing that we take over, as in Go's reader and so in every engine.
  return header.type === 'GlobalExtendedHeader' ? {} : parsePax(body, what)
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
      body[at + length - 1] !== 0x0a ||
      equals >= at + length
    ) {
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: a broken PAX header`)
    }
    const key = body.toString('utf8', space + 1, equals)
    const value = body.subarray(equals + 1, at + length - 1)
    at += length
    if (key.startsWith('SCHILY.xattr.')) xattrs[key.slice('SCHILY.xattr.'.length)] = Buffer.from(value)
    else if (key === 'path' || key === 'linkpath') {
      if (value.includes(0)) throw unsafe(what, 'a name with a NUL in it')
      out[key] = decodeName(value, what)
    } else if (key === 'size' || key === 'uid' || key === 'gid' || key === 'mtime')
      out[key] = decimal(key, value.toString('latin1'), what)
    else if (key.startsWith('GNU.sparse.'))
      throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: sparse files are not supported`)
  }
  return Object.keys(xattrs).length === 0 ? out : { ...out, xattrs }
}

// Number() would take hex, blanks and nothing at all; POSIX knows decimals (pax, "Extended Header").
function decimal(key: string, text: string, what: string): number {
  if (/^-?\d{1,16}(?:\.\d*)?$/.test(text)) return Number(text)
  throw invalid(what, `a PAX header with ${key}=${text.slice(0, 40)}`)
}

// Not node-tar's: it reads on behind a NUL and a line feed. Asked for only where nothing stands for it: tools that write
// PAX names cut this one in the middle of a letter.
function plainName(block: Buffer, what: string): string {
  const name = decodeName(block.subarray(0, 100), what)
  // The field of POSIX alone: GNU and star have other things there, too.
  if (block.toString('latin1', 257, 263) !== 'ustar\0') return name
  const isStar = block.toString('latin1', 508, 512) === 'tar\0'
  const prefix = decodeName(block.subarray(345, isStar ? 476 : 500), what)
  return prefix === '' ? name : `${prefix}/${name}`
}

function toEntry(header: Header, block: Buffer, extra: Extensions, what: string): TarEntry {
  const path = extra.path ?? plainName(block, what)
  const slash = path.endsWith('/')
  const named = typesByName[header.type]
  if (named === undefined)
    throw new CloudimgError(
      'ARCHIVE_INVALID',
      `reading ${what}: entry "${path}" has the unsupported type "${header.type}"`,
    )
  const type = named === 'file' && slash ? 'directory' : named
  const size = type === 'file' ? (extra.size ?? header.size ?? -1) : 0
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(what, `entry "${path}" has no valid size`)
  const link = extra.linkpath ?? decodeName(block.subarray(157, 257), what)
  for (const name of [path, link])
    if (Buffer.byteLength(name) > limits.pathBytes) throw unsafe(what, `a path of more than ${limits.pathBytes} bytes`)
  const [uid, gid] = [extra.uid ?? header.uid ?? 0, extra.gid ?? header.gid ?? 0]
  if (!isOwner(uid) || !isOwner(gid)) throw invalid(what, `entry "${path}" belongs to ${uid}:${gid}, which cannot be`)
  const mtime = Math.floor(extra.mtime ?? (header.mtime?.getTime() ?? 0) / 1000)
  return {
    type,
    path,
    mode: (header.mode ?? 0o644) & 0o7777,
    uid,
    gid,
    size,
    // Beyond what file systems keep; no reason to refuse an image.
    mtime: Number.isSafeInteger(mtime) ? Math.min(Math.max(mtime, -maxSeconds), maxSeconds) : 0,
    ...(type === 'symlink' || type === 'hardlink' ? { linkTarget: link } : {}),
    ...(type === 'character-device' || type === 'block-device'
      ? { deviceMajor: header.devmaj ?? 0, deviceMinor: header.devmin ?? 0 }
      : {}),
    ...(extra.xattrs === undefined ? {} : { xattrs: extra.xattrs }),
  }
}

/** Year 2446, where ext4 ends. */
const maxSeconds = 15_032_385_535

// The last number of 32 bits stands for "leave it as it is" in chown(2).
function isOwner(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 0xffff_ffff
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

/** Whether a tar may begin with that block: its checksum is right, whatever else is wrong. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length !== tarBlock || isZero(block)) return false
  const told = Number.parseInt(block.toString('latin1', 148, 156).replace(/^[ \0]+/, ''), 8)
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  return told === sum
}
