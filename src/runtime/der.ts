/** As much of DER (X.690) as certificates need. */
function wrap(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content)
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body])
  const length = Buffer.from(body.length.toString(16).padStart(body.length > 0xff ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body])
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => wrap(0x30, ...parts)
export const set = (...parts: readonly Uint8Array[]): Buffer => wrap(0x31, ...parts)
export const utf8 = (text: string): Buffer => wrap(0x0c, Buffer.from(text))
export const octets = (bytes: Uint8Array): Buffer => wrap(0x04, bytes)
export const bits = (bytes: Uint8Array, unused = 0): Buffer => wrap(0x03, Buffer.from([unused]), bytes)
export const truth = (): Buffer => Buffer.from([0x01, 0x01, 0xff])

/** A positive number, big-endian. */
export function integer(bytes: Uint8Array): Buffer {
  return wrap(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes)
}

/** `[number]` around parts (explicit), or instead of a primitive's own tag (implicit). */
export function tagged(number: number, kind: 'explicit' | 'implicit', ...parts: readonly Uint8Array[]): Buffer {
  return wrap((kind === 'explicit' ? 0xa0 : 0x80) | number, ...parts)
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return wrap(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(value: number): number[] {
  const digits = [value & 0x7f]
  for (let left = value >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80)
  return digits
}

/** UTCTime, which holds until 2049. */
export function utcTime(date: Date): Buffer {
  return wrap(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
}
