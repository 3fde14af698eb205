import { createCipheriv, createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { MiB } from '../../src/core/bytes.ts'

/** Bytes that no compressor shrinks; the same seed gives the same ones. */
export function noise(seed: string, bytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
}

const blockBytes = 64 * MiB

/** A large file of noise. Its blocks differ in their first bytes only: cheap to make, and beyond any compressor's window. */
export async function writeNoise(path: string, bytes: number, seed = 'a block'): Promise<void> {
  const block = noise(seed, Math.min(blockBytes, bytes))
  const handle = await open(path, 'w')
  try {
    for (let at = 0; at < bytes; at += block.length) {
      block.writeBigUInt64LE(BigInt(at), 0)
      await handle.writeFile(block.subarray(0, Math.min(block.length, bytes - at)))
    }
  } finally {
    await handle.close()
  }
}

/** Numbers from 0 to 1 in an order that the seed alone decides. */
export function seededRandom(seed: number): () => number {
  // mulberry32
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
