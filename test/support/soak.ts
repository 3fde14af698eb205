import { crc32 } from 'node:zlib'
import { seededRandom } from './noise.ts'

/** `npm run soak` sets it: everything is tried, not a sample. Its number says how many times as many random cases. */
export const soakFactor: number | undefined =
  process.env.CLOUDIMG_SOAK === undefined ? undefined : Number(process.env.CLOUDIMG_SOAK)

/** Of every sample in this run; CLOUDIMG_SEED gives the same ones again. */
const seed = Number(process.env.CLOUDIMG_SEED ?? Math.floor(Math.random() * 1_000_000))

/**
 * All of them in a soak, else `count`, one at random from each of as many equal stretches, and a line that says how to have the same
 * again. CLOUDIMG_SAMPLE overrides the count, in a soak too.
 */
export function sample<T>(what: string, all: readonly T[], count: number): readonly T[] {
  const wanted = process.env.CLOUDIMG_SAMPLE === undefined ? undefined : Number(process.env.CLOUDIMG_SAMPLE)
  const size = Math.min(all.length, wanted ?? (soakFactor === undefined ? count : all.length))
  if (size === all.length) return all
  const random = seededRandom(seed ^ crc32(what))
  const chosen = Array.from({ length: size }, (_, index) => Math.floor(((index + random()) * all.length) / size))
  const places = chosen.map(index => index + 1).join(', ')
  console.log(`${what}: ${size} of ${all.length} (${places}); CLOUDIMG_SEED=${seed} gives the same, npm run soak all`)
  return chosen.map(index => all[index]!)
}
