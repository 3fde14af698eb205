/** A header as nobody should write it: each field may be given as the very bytes. */
export interface RawHeader {
  readonly name: string | Buffer
  /** The type flag: `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` directory, `6` pipe … */
  readonly type?: string
  readonly link?: string | Buffer
  readonly mode?: number
  readonly uid?: number | Buffer
  readonly size?: number | Buffer
  readonly prefix?: string
  readonly device?: readonly [major: number, minor: number]
  /** Eight bytes; POSIX's unless told. */
  readonly magic?: string
  /** Makes the checksum wrong. */
  readonly broken?: boolean
}

/** A header, its content and the padding. The size is the content's unless told. */
export function rawEntry(header: RawHeader, content: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(content)
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512)
  return Buffer.concat([rawHeader({ size: bytes.length, ...header }), bytes, padding])
}

export function rawHeader(header: RawHeader): Buffer {
  const block = Buffer.alloc(512)
  const put = (value: string | Buffer, at: number, length: number): void =>
    void Buffer.from(value).copy(block, at, 0, length)
  const number = (value: number | Buffer, at: number, length: number): void =>
    put(Buffer.isBuffer(value) ? value : `${value.toString(8).padStart(length - 1, '0')}\0`, at, length)
  put(header.name, 0, 100)
  number(header.mode ?? 0o644, 100, 8)
  number(header.uid ?? 0, 108, 8)
  number(0, 116, 8)
  number(header.size ?? 0, 124, 12)
  number(0, 136, 12)
  block.fill(' ', 148, 156)
  put(header.type ?? '0', 156, 1)
  put(header.link ?? '', 157, 100)
  put(header.magic ?? 'ustar\x0000', 257, 8)
  number(header.device?.[0] ?? 0, 329, 8)
  number(header.device?.[1] ?? 0, 337, 8)
  put(header.prefix ?? '', 345, 155)
  const sum = block.reduce((total, byte) => total + byte, 0) + (header.broken === true ? 1 : 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return block
}

/** `LENGTH KEY=VALUE\n` */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** An extended header for what follows; as text where the records themselves lie. */
export function pax(records: Readonly<Record<string, string | Buffer>> | string, type = 'x'): Buffer {
  const body =
    typeof records === 'string'
      ? Buffer.from(records)
      : Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)))
  return rawEntry({ name: 'PaxHeader', type }, body)
}

/** GNU's long name (`L`) or link (`K`) for what follows. */
export function gnuLong(type: 'L' | 'K', text: string | Buffer): Buffer {
  return rawEntry(
    { name: '././@LongLink', type, magic: 'ustar  \0' },
    Buffer.concat([Buffer.from(text), Buffer.alloc(1)]),
  )
}

/** Binary numbers, as GNU and star write what octal cannot say. */
export function base256(value: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let left = BigInt.asUintN(length * 8, value)
  for (let at = length - 1; at >= 0; at--) {
    bytes[at] = Number(left & 255n)
    left >>= 8n
  }
  bytes[0] = value < 0n ? 255 : bytes[0]! | 128
  return bytes
}

export function rawTar(...entries: readonly Buffer[]): Buffer {
  return Buffer.concat([...entries, Buffer.alloc(1024)])
}
