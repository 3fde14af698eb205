import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cloudimgPeak } from '../support/cloudimg.ts'
import { writeNoise } from '../support/noise.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'

const GiB = 1 << 30
/** MB (10^6 bytes). */
const most = 250

let scratch: Scratch
let registry: RealRegistry
const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry()
  await mkdir(at('context'))
  await writeNoise(at('context/noise'), 2 * GiB)
  await writeFile(at('Kubefile'), 'FROM scratch\nCOPY . .\n')
})
afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

it(`a file of 2 GiB is built, pushed, pulled, saved, loaded and unpacked in less than ${most} MB`, async () => {
  const [one, two] = [{ home: at('one') }, { home: at('two') }]
  const image = `${registry.host}/large:1`
  const peaks: Record<string, number> = {}
  peaks.build = await cloudimgPeak(['build', '-f', at('Kubefile'), '-t', image, at('context')], one)
  await rm(at('context'), { recursive: true })
  peaks.push = await cloudimgPeak(['push', image], one)
  peaks.save = await cloudimgPeak(['save', '-o', at('saved.tar'), image], one)
  expect((await stat(at('saved.tar'))).size).toBeGreaterThan(2 * GiB)
  await rm(one.home, { recursive: true })
  peaks.load = await cloudimgPeak(['load', '-i', at('saved.tar')], two)
  await rm(two.home, { recursive: true })
  await rm(at('saved.tar'))
  peaks.pull = await cloudimgPeak(['pull', image], two)
  peaks.unpack = await cloudimgPeak(['unpack', image, at('tree')], two)
  expect((await stat(at('tree/noise'))).size).toBe(2 * GiB)
  console.log(
    `peak MB: ${Object.entries(peaks)
      .map(([name, peak]) => `${name} ${Math.round(peak)}`)
      .join(', ')}`,
  )
  expect(Object.entries(peaks).filter(([, peak]) => peak >= most)).toEqual([])
})
