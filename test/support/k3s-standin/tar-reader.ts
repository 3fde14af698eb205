import { createHash } from 'node:crypto'

/** One file of an archive; its content is either read by the caller through `content`, or passed over. */
export interface TarFile {
  readonly name: string
  readonly size: number
  /** Name of what a symlink or hard link stands for. */
  readonly linkTarget: string | undefined
  readonly content: AsyncIterable<Buffer>
}

const block = 512

/** Reads ustar, PAX and GNU long names, one file after the other. A cut archive is an error, as it is for containerd. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile> {
  const input = new ByteReader(source)
  let longName: string | undefined
  let longLink: string | undefined
  let pax: Readonly<Record<string, string>> = {}
  for (;;) {
    const header = await input.take(block, true)
    if (header === undefined || header.every(byte => byte === 0)) return
    checkHeader(header)
    const kind = String.fromCharCode(header[156] ?? 0)
    const size = Number(pax['size'] ?? numberAt(header, 124, 12))
    const padding = (block - (size % block)) % block
    if ('xgLK'.includes(kind)) {
      const body = (await input.take(size + padding))!.subarray(0, size)
      if (kind === 'x') pax = parsePax(body)
      if (kind === 'L') longName = textAt(body, 0, size)
      if (kind === 'K') longLink = textAt(body, 0, size)
      continue
    }
    const body = new Body(input, size)
    yield {
      name: cleanName(pax['path'] ?? longName ?? ustarName(header)),
      size,
      linkTarget: '12'.includes(kind) ? (pax['linkpath'] ?? longLink ?? textAt(header, 157, 100)) : undefined,
      content: body,
    }
    await body.rest()
    await input.take(padding)
    longName = longLink = undefined
    pax = {}
  }
}

/** Reads the whole content; digest as OCI spells it. What is larger than `keep` is hashed only. */
export async function digestOf(file: TarFile, keep: number): Promise<{ digest: string; bytes: Buffer | undefined }> {
  const hash = createHash('sha256')
  const kept: Buffer[] = []
  for await (const chunk of file.content) {
    hash.update(chunk)
    if (file.size <= keep) kept.push(chunk)
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes: file.size <= keep ? Buffer.concat(kept) : undefined }
}

function cleanName(name: string): string {
  return name.replace(/^(?:\.?\/)+/, '')
}

function ustarName(header: Buffer): string {
  const name = textAt(header, 0, 100)
  const prefix = textAt(header, 257, 5) === 'ustar' ? textAt(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function textAt(bytes: Buffer, start: number, length: number): string {
  const field = bytes.subarray(start, start + length)
  const end = field.indexOf(0)
  return field.subarray(0, end < 0 ? length : end).toString('utf8')
}

/** Octal text, or GNU's binary form for what does not fit. */
function numberAt(bytes: Buffer, start: number, length: number): number {
  const field = bytes.subarray(start, start + length)
  if (((field[0] ?? 0) & 0x80) !== 0) return Number(BigInt(`0x${field.subarray(1).toString('hex')}`))
  return Number.parseInt(textAt(bytes, start, length).trim() || '0', 8)
}

function checkHeader(header: Buffer): void {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0)
  if (sum !== numberAt(header, 148, 8)) throw new Error('archive/tar: invalid tar header')
}

function parsePax(body: Buffer): Readonly<Record<string, string>> {
  const records: Record<string, string> = {}
  for (let at = 0; at < body.length;) {
    const blank = body.indexOf(0x20, at)
    const length = Number(body.subarray(at, blank).toString())
    if (blank < 0 || !(length > 0)) throw new Error('archive/tar: invalid tar header')
    const [key = '', ...value] = body
      .subarray(blank + 1, at + length - 1)
      .toString('utf8')
      .split('=')
    records[key] = value.join('=')
    at += length
  }
  return records
}

class Body implements AsyncIterable<Buffer> {
  private readonly input: ByteReader
  private left: number
  constructor(input: ByteReader, size: number) {
    this.input = input
    this.left = size
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.left > 0) {
      const chunk = await this.input.some(this.left)
      this.left -= chunk.length
      yield chunk
    }
  }
  async rest(): Promise<void> {
    while (this.left > 0) this.left -= (await this.input.some(this.left)).length
  }
}

class ByteReader {
  private readonly source: AsyncIterator<Uint8Array>
  private pending: Buffer = Buffer.alloc(0)
  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]()
  }

  /** At least one byte, at most `most`. */
  async some(most: number): Promise<Buffer> {
    if (this.pending.length === 0 && !(await this.more())) throw new Error('unexpected EOF')
    const chunk = this.pending.subarray(0, most)
    this.pending = this.pending.subarray(chunk.length)
    return chunk
  }

  /** Exactly `count` bytes; undefined only where `endAllowed` and nothing is left. */
  async take(count: number, endAllowed = false): Promise<Buffer | undefined> {
    const parts: Buffer[] = []
    for (let left = count; left > 0;) {
      if (this.pending.length === 0 && !(await this.more())) {
        if (endAllowed && left === count) return undefined
        throw new Error('unexpected EOF')
      }
      const chunk = this.pending.subarray(0, left)
      this.pending = this.pending.subarray(chunk.length)
      parts.push(chunk)
      left -= chunk.length
    }
    return Buffer.concat(parts)
  }

  private async more(): Promise<boolean> {
    const next = await this.source.next()
    if (next.done === true) return false
    this.pending = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    return true
  }
}
