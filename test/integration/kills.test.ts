import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  cloudimg,
  cloudimgEnvironment,
  cloudimgJson,
  type CloudimgPlace,
  cloudimgProgram,
  storeOf,
} from '../support/cloudimg.ts'
import { type CloudimgServer, startCloudimgServer } from '../support/cloudimg-server.ts'
import { buildK3s, type K3sBuild, k3sBuildArgs } from '../support/k3s-build.ts'
import { noise, seededRandom } from '../support/noise.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { soakFactor } from '../support/soak.ts'
import { storeFaults } from '../support/store-check.ts'
import { makeTinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
/** Has `k3s:1` and `old:1`, what building them left in its cache, and an image that lost its name. */
const full = (): CloudimgPlace => ({ home: at('full') })
let index: string
let archive: { readonly path: string; readonly sha256: string }
/** Serves the image for pulls. */
let source: CloudimgServer

const buildAt = (directory: string): K3sBuild => ({ directory, context: at('context'), mirror: at('release') })

beforeAll(async () => {
  scratch = await makeScratch()
  await makeTinyRelease(at('release'), { binaryBytes: 3_000_000 })
  await mkdir(at('context/data'), { recursive: true })
  await writeFile(at('context/data/noise'), noise('context', 6_000_000))
  await writeFile(at('context/data/words'), 'again and again\n'.repeat(100_000))
  index = (await buildK3s(buildAt(at('build')), full())).index
  await mkdir(at('small'))
  await writeFile(at('small/noise'), noise('small', 5_000_000))
  await writeFile(at('Kubefile'), 'FROM scratch\nARG NAME\nLABEL name=$NAME\nCOPY small /\n')
  for (const name of ['old:1', 'gone:1'])
    await cloudimgJson(['build', '-f', at('Kubefile'), '-t', name, '--build-arg', `NAME=${name}`, scratch.path], full())
  await cloudimgJson(['rmi', 'gone:1'], full())
  const path = at('good.tar')
  await cloudimgJson(['save', '-o', path, 'k3s:1'], full())
  archive = { path, sha256: await sha256(path) }
  await cp(storeOf(full()), storeOf({ home: at('served') }), { recursive: true })
  source = await startCloudimgServer({ home: at('served') }, at('served.log'))
  await cloudimgJson(['push', 'k3s:1', `${source.host}/k3s:1`], full())
})
afterAll(async () => {
  await source[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** A command that dies, and what must hold when it is given again. */
interface Victim {
  /** The store that it begins with. */
  readonly begins: 'empty' | 'full'
  args(place: CloudimgPlace): Promise<readonly string[]>
  /** Runs it to its end and says what came of it: always the same. */
  outcome(place: CloudimgPlace): Promise<unknown>
}

const answerOf = async (victim: Pick<Victim, 'args'>, place: CloudimgPlace): Promise<Record<string, unknown>> =>
  await cloudimgJson(await victim.args(place), place)

/** The server that a push goes to, by the place that pushes. */
const targets = new Map<string, CloudimgServer>()
const targetPlace = ({ home }: CloudimgPlace): CloudimgPlace => ({ home: `${home}-target` })

async function targetOf(place: CloudimgPlace): Promise<CloudimgServer> {
  const known = targets.get(place.home)
  if (known !== undefined) return known
  const server = await startCloudimgServer(targetPlace(place), `${place.home}-target.log`)
  targets.set(place.home, server)
  return server
}

const victims: Readonly<Record<string, Victim>> = {
  build: {
    begins: 'empty',
    args: place => k3sBuildArgs(buildAt(join(place.home, 'build'))),
    outcome: async place => (await answerOf(victims.build!, place)).index,
  },
  push: {
    begins: 'full',
    args: async place => ['push', 'k3s:1', `${(await targetOf(place)).host}/k3s:1`],
    outcome: async place => {
      const { digest } = await answerOf(victims.push!, place)
      expect(await faultsOf(targetPlace(place))).toEqual([])
      return digest
    },
  },
  pull: {
    begins: 'empty',
    args: async () => ['pull', `${source.host}/k3s:1`],
    outcome: async place => (await answerOf(victims.pull!, place)).digest,
  },
  save: {
    begins: 'full',
    args: async place => ['save', '-o', join(place.home, 'saved.tar'), 'k3s:1'],
    outcome: async place => {
      // Under its name is the whole, or nothing.
      const path = join(place.home, 'saved.tar')
      if ((await stat(path).catch(() => undefined)) !== undefined && (await sha256(path)) !== archive.sha256)
        throw new Error(`${path} is half written`)
      await answerOf(victims.save!, place)
      return (await sha256(path)) === archive.sha256 ? index : 'another archive'
    },
  },
  load: {
    begins: 'empty',
    args: async () => ['load', '-i', archive.path],
    outcome: async place => {
      const { loaded } = (await answerOf(victims.load!, place)) as { loaded: { digest: string }[] }
      return loaded[0]?.digest
    },
  },
  gc: {
    begins: 'full',
    args: async () => ['prune', '--cache', '--force'],
    outcome: async place => {
      await answerOf(victims.gc!, place)
      const { images } = await cloudimgJson<{ images: { name: string; digest: string }[] }>(['images'], place)
      expect(images.map(({ name }) => name)).toEqual(['k3s:1', 'old:1'])
      await cloudimgJson(['rmi', 'old:1'], place)
      await cloudimgJson(['gc'], place)
      return images[0]?.digest
    },
  },
}

async function prepare(name: string, victim: Victim): Promise<CloudimgPlace> {
  const place = { home: at(name) }
  if (victim.begins === 'full') await cp(storeOf(full()), storeOf(place), { recursive: true })
  else await mkdir(place.home, { recursive: true })
  return place
}

async function clear(place: CloudimgPlace): Promise<void> {
  await targets.get(place.home)?.[Symbol.asyncDispose]()
  targets.delete(place.home)
  for (const home of [place.home, targetPlace(place).home]) await rm(home, { recursive: true, force: true })
}

/** By fsck's word and by a check that shares no code with it. */
async function faultsOf(place: CloudimgPlace): Promise<readonly unknown[]> {
  const { code, stdout, stderr } = await cloudimg(['fsck', '--json'], place)
  if (code !== 0 && code !== 5) throw new Error(stderr)
  const { faults } = JSON.parse(stdout) as { faults: readonly unknown[] }
  return [...faults, ...(await storeFaults(storeOf(place)))]
}

async function runAndKill(victim: Victim, place: CloudimgPlace, afterMs: number): Promise<void> {
  const child = spawn(cloudimgProgram[0]!, [...cloudimgProgram.slice(1), ...(await victim.args(place))], {
    env: cloudimgEnvironment(place),
    stdio: 'ignore',
  })
  const ended = new Promise(resolve => child.once('exit', resolve))
  const kill = setTimeout(() => child.kill('SIGKILL'), afterMs)
  await ended
  clearTimeout(kill)
}

const times = new Map<string, number>()

/** Milliseconds that it takes when nobody kills it. */
async function timeOf(name: string, victim: Victim): Promise<number> {
  const known = times.get(name)
  if (known !== undefined) return known
  const place = await prepare(`time-${name}`, victim)
  const args = await victim.args(place)
  const started = Date.now()
  await cloudimg(args, place)
  const taken = Date.now() - started
  times.set(name, taken)
  await clear(place)
  return taken
}

describe('kill -9', () => {
  const names = Object.keys(victims)
  const count = soakFactor === undefined ? names.length : 10 * soakFactor
  const seed = Number(process.env.CLOUDIMG_SEED ?? 20_240_608)
  const random = seededRandom(seed)
  // Loading the program takes a good part; what matters comes after it.
  const moments = Array.from({ length: count }, (_, i) => [i, names[i % names.length]!, 0.2 + 0.8 * random()] as const)

  it.each(moments)(
    'number %i, of %s, leaves a sound store, and the same command then does its work',
    async (i, name, share) => {
      const victim = victims[name]!
      const place = await prepare(`killed-${i}`, victim)
      await runAndKill(victim, place, share * (await timeOf(name, victim)))
      expect(await faultsOf(place)).toEqual([])
      expect(await victim.outcome(place)).toBe(index)
      expect(await faultsOf(place)).toEqual([])
      // Of what was left nothing stands in the way of gc, and nothing is held by the dead.
      await cloudimgJson(['gc'], place)
      expect(await readdir(join(storeOf(place), 'leases'))).toEqual([])
      await clear(place)
    },
  )
})
