import { readSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import { constants, zstdDecompress } from 'node:zlib'
import { KiB, MiB } from '../core/bytes.ts'
import { CloudimgError, reasonOf } from '../core/error.ts'
import type { Extent } from './pieces.ts'
import { frameBytes } from './zstd.ts'

const decompressFrame = promisify(zstdDecompress)

/** One frame, where it is in the file, and how long. */
export interface ZstdFrame {
  readonly offset: number
  readonly packed: number
  /** Unpacked; undefined where the frame does not say it. */
  readonly size: number | undefined
  /** No more than so many bytes come out of it. */
  readonly most: number
}

/** Larger ones are not unpacked in one piece. */
const mostInMemory = 32 * MiB
/** RFC 8878 §3.1.1.2.4 */
const mostOfBlock = 128 * KiB

/**
 * The frames of a zstd file by their headers (RFC 8878 §3.1), without unpacking: three bytes are read for each block of
 * 128 KiB. Undefined where a frame may be too large for memory, and for anything unusual: that is for the stream decoder, which
 * also says what is wrong.
 */
export async function listZstdFrames({ file, offset, length }: Extent): Promise<readonly ZstdFrame[] | undefined> {
  const handle = await open(file, 'r')
  try {
    const end = offset + length
    const frames: ZstdFrame[] = []
    for (let at = offset; at < end;) {
      const frame = readFrame(handle, at, end)
      if (frame === undefined) return undefined
      frames.push(frame)
      at += frame.packed
    }
    return frames
  } finally {
    await handle.close()
  }
}

const scratch = Buffer.alloc(18)

function readFrame(handle: FileHandle, offset: number, end: number): ZstdFrame | undefined {
  const got = readSync(handle.fd, scratch, 0, scratch.length, offset)
  if (got < 6 || scratch.readUInt32LE(0) !== 0xfd2fb528) return undefined
  const descriptor = scratch[4]!
  const single = (descriptor >> 5) & 1
  const dictionary = [0, 1, 2, 4][descriptor & 3]!
  if (dictionary !== 0) return undefined
  const sizeAt = 5 + (single === 1 ? 0 : 1)
  const field = [single, 2, 4, 8][descriptor >> 6]!
  const size = readSize(scratch, sizeAt, field)
  let at = offset + sizeAt + field
  let blocks = 0
  for (let last = false; !last; blocks++) {
    if (readSync(handle.fd, scratch, 0, 3, at) < 3) return undefined
    const header = scratch.readUIntLE(0, 3)
    last = (header & 1) === 1
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3)
  }
  at += (descriptor & 4) === 0 ? 0 : 4
  const most = size ?? blocks * mostOfBlock
  return at > end || most > mostInMemory ? undefined : { offset, packed: at - offset, size, most }
}

function readSize(header: Buffer, at: number, field: number): number | undefined {
  switch (field) {
    case 0:
      return undefined
    case 1:
      return header[at]!
    case 2:
      return header.readUInt16LE(at) + 256
    case 4:
      return header.readUInt32LE(at)
    default:
      return Number(header.readBigUInt64LE(at))
  }
}

/** Frames read and unpacked ahead, on the threads that Node has for it. */
const ahead = 4

/** The content of the frames, in order, each as one buffer. @throws ARCHIVE_INVALID for a broken frame. */
export async function* unpackZstdFrames(
  file: string,
  frames: readonly ZstdFrame[],
  what: string,
): AsyncGenerator<Buffer> {
  const handle = await open(file, 'r')
  const running: Promise<Buffer>[] = []
  try {
    for (const frame of frames) {
      const unpacking = unpack(handle, frame, what)
      // Looked at in its turn; until then it must not count as unhandled.
      unpacking.catch(() => undefined)
      running.push(unpacking)
      if (running.length === ahead) yield await running.shift()!
    }
    while (running.length > 0) yield await running.shift()!
  } finally {
    await Promise.allSettled(running)
    await handle.close()
  }
}

async function unpack(handle: FileHandle, { offset, packed, size, most }: ZstdFrame, what: string): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(packed)
  const { bytesRead } = await handle.read(buffer, 0, packed, offset)
  const content = await decompressFrame(buffer.subarray(0, bytesRead), {
    maxOutputLength: Math.max(1, most),
    // A little more than the content: a buffer that is filled exactly is followed by another one.
    chunkSize: (size ?? Math.min(most, frameBytes)) + 64,
    params: { [constants.ZSTD_d_windowLogMax]: 27 },
  }).catch((error: unknown) => {
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: broken zstd data (${reasonOf(error)})`, {
      cause: error,
    })
  })
  if (size !== undefined && content.length !== size)
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: a frame says ${size} bytes and has ${content.length}`)
  return content
}
