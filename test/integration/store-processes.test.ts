import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgJson, type CloudimgPlace, cloudimgProgram, storeOf } from '../support/cloudimg.ts'
import { type CloudimgServer, startCloudimgServer } from '../support/cloudimg-server.ts'
import { must } from '../support/command.ts'
import { buildK3s, k3sBuildArgs } from '../support/k3s-build.ts'
import { noise, seededRandom } from '../support/noise.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { soakFactor } from '../support/soak.ts'
import { storeFaults, strayFiles } from '../support/store-check.ts'
import { makeTinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
/** The one store that all work on. */
const shared = (): CloudimgPlace => ({ home: at('shared'), timeoutMs: 300_000 })
/** Another store, behind a server, that has `k3s:1`. */
const far = (): CloudimgPlace => ({ home: at('far') })
let farServer: CloudimgServer
let sharedServer: CloudimgServer
let k3s: string

const contexts = 4

beforeAll(async () => {
  scratch = await makeScratch()
  await makeTinyRelease(at('release'), { binaryBytes: 1_000_000 })
  await mkdir(at('context'))
  await writeFile(at('context/file'), noise('context', 500_000))
  k3s = (await buildK3s({ directory: at('build'), context: at('context'), mirror: at('release') }, far())).index
  farServer = await startCloudimgServer(far(), at('far.log'))
  await cloudimgJson(['push', 'k3s:1', `${farServer.host}/k3s:1`], far())
  for (let i = 0; i < contexts; i++) {
    await mkdir(at(`context-${i}`))
    // Half of it is the same everywhere: layers that several images share.
    await writeFile(at(`context-${i}/own`), noise(`own ${i}`, 300_000))
    await writeFile(at(`context-${i}/large`), noise(`large ${i % 2}`, 4_500_000))
    await writeFile(at(`Kubefile-${i}`), 'FROM scratch\nCOPY . /\n')
  }
  await cloudimgJson(['save', '-o', at('archive.tar'), 'k3s:1'], far())
  sharedServer = await startCloudimgServer(shared(), at('shared.log'))
})
afterAll(async () => {
  await sharedServer[Symbol.asyncDispose]()
  await farServer[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

/** What one process does; `digest` is what it must answer, whatever the others do. */
interface Job {
  readonly name: string
  readonly args: readonly string[]
  readonly place: CloudimgPlace
  readonly digest?: string
  /** It may find that a name is gone: another process took it away. */
  readonly mayMiss?: boolean
}

const digests = new Map<number, string>()

async function jobs(worker: number, round: number, random: () => number): Promise<Job> {
  const i = Math.floor(random() * contexts)
  const place = shared()
  const one = { place, name: 'build' }
  const outside: CloudimgPlace = { home: at(`outside-${worker}-${round}`), timeoutMs: 300_000 }
  const all: readonly (readonly [weight: number, job: () => Promise<Job>])[] = [
    [
      4,
      async () => ({
        ...one,
        args: ['build', '-f', at(`Kubefile-${i}`), '-t', `c${i}:1`, at(`context-${i}`)],
        digest: digests.get(i)!,
      }),
    ],
    [
      2,
      async () => {
        const directory = at(`build-${worker}`)
        const args = await k3sBuildArgs({
          directory,
          context: at('context'),
          mirror: at('release'),
          tag: `k3s:${worker}`,
        })
        return { place, name: 'build k3s', args, digest: k3s }
      },
    ],
    [2, async () => ({ place, name: 'pull', args: ['pull', `${farServer.host}/k3s:1`], digest: k3s })],
    [1, async () => ({ place, name: 'load', args: ['load', '-i', at('archive.tar')], digest: k3s })],
    [
      1,
      async () => ({ place, name: 'save', args: ['save', '-o', at(`saved-${worker}.tar`), `c${i}:1`], mayMiss: true }),
    ],
    [
      1,
      async () => ({
        place,
        name: 'push',
        args: ['push', `c${i}:1`, `${farServer.host}/c${i}:1`],
        digest: digests.get(i)!,
        mayMiss: true,
      }),
    ],
    [
      1,
      async () => ({
        place: outside,
        name: 'pull from it',
        args: ['pull', `${sharedServer.host}/k3s:1`],
        digest: k3s,
        mayMiss: true,
      }),
    ],
    [
      1,
      async () => ({
        place: far(),
        name: 'push to it',
        args: ['push', 'k3s:1', `${sharedServer.host}/k3s:1`],
        digest: k3s,
      }),
    ],
    [
      2,
      async () => ({
        place,
        name: 'rmi',
        args: [
          'rmi',
          [`c${i}:1`, `k3s:${worker}`, `${farServer.host}/k3s:1`, `${sharedServer.host}/k3s:1`][
            Math.floor(random() * 4)
          ]!,
        ],
        mayMiss: true,
      }),
    ],
    [4, async () => ({ place, name: 'gc', args: ['gc'] })],
    [1, async () => ({ place, name: 'prune --cache', args: ['prune', '--cache', '--force'] })],
    [1, async () => ({ place, name: 'df', args: ['df'] })],
    [1, async () => ({ place, name: 'fsck', args: ['fsck'] })],
  ]
  let choice = random() * all.reduce((sum, [weight]) => sum + weight, 0)
  const [, job] = all.find(([weight]) => (choice -= weight) < 0)!
  return await job()
}

interface Outcome {
  readonly done: Map<string, number>
  readonly wrong: string[]
}

async function work(worker: number, until: number, { done, wrong }: Outcome): Promise<void> {
  const random = seededRandom(Number(process.env.CLOUDIMG_SEED ?? 4) * 100 + worker)
  for (let round = 0; Date.now() < until && wrong.length === 0; round++) {
    const job = await jobs(worker, round, random)
    const { code, stdout, stderr } = await cloudimg([...job.args, '--json'], job.place)
    const answer = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Readonly<Record<string, unknown>>
    const missed = job.mayMiss === true && (answer.error as { code?: string } | undefined)?.code === 'IMAGE_NOT_FOUND'
    const digest = answer.index ?? answer.digest ?? (answer.loaded as { digest: string }[] | undefined)?.[0]?.digest
    const right = code === 0 && (job.digest === undefined || digest === job.digest)
    if (!right && !missed) wrong.push(`${job.name} (${job.args.join(' ')}): exit code ${code}: ${stderr}\n${stdout}`)
    done.set(job.name, (done.get(job.name) ?? 0) + 1)
    if (job.place.home.startsWith(at('outside'))) {
      if (right) wrong.push(...(await storeFaults(storeOf(job.place))))
      await rm(job.place.home, { recursive: true, force: true })
    }
  }
}

describe('one store', () => {
  it('keeps what a process relies on from gc in others, at full speed', async () => {
    const home = storeOf({ home: at('fast') })
    const worker = join(import.meta.dirname, '../support/store-worker.ts')
    const time = soakFactor === undefined ? 5000 : 60_000
    const ended = await Promise.allSettled(
      Array.from({ length: 6 }, (_, number) =>
        must([cloudimgProgram[0]!, worker, home, String(number), String(time)], { timeoutMs: time + 120_000 }),
      ),
    )
    expect(ended.filter(({ status }) => status === 'rejected')).toEqual([])
    const said = ended.map(end => (end as PromiseFulfilledResult<string>).value)
    const sums = said.map(text => JSON.parse(text) as { taken: number; present: number; removed: number })
    const sum = (key: 'taken' | 'present' | 'removed'): number => sums.reduce((all, one) => all + one[key], 0)
    console.log(`taken ${sum('taken')}, present ${sum('present')}, removed ${sum('removed')}`)
    for (const key of ['taken', 'present', 'removed'] as const) expect(sum(key)).toBeGreaterThan(0)
    expect(await storeFaults(home)).toEqual([])
  })

  it('serves ten processes that build, pull, push, load, remove, collect garbage and check at once', async () => {
    for (let i = 0; i < contexts; i++) {
      const answer = await cloudimgJson<{ index: string }>(
        ['build', '-f', at(`Kubefile-${i}`), '-t', `c${i}:1`, at(`context-${i}`)],
        { home: at('alone') },
      )
      digests.set(i, answer.index)
    }
    const outcome: Outcome = { done: new Map(), wrong: [] }
    const until = Date.now() + (soakFactor === undefined ? 12_000 : 120_000)
    await Promise.all(Array.from({ length: 10 }, (_, worker) => work(worker, until, outcome)))
    console.log(
      `done: ${[...outcome.done]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => `${name} ${count}`)
        .join(', ')}`,
    )
    expect(outcome.wrong).toEqual([])
    expect(await cloudimgJson(['fsck'], shared())).toMatchObject({ ok: true, faults: [], unfinished: { files: 0 } })
    expect(await storeFaults(storeOf(shared()))).toEqual([])
    // Only the server still runs; what it had given away an hour counts as used.
    await sharedServer[Symbol.asyncDispose]()
    await cloudimgJson(['gc'], shared())
    expect(strayFiles(storeOf(shared()))).toEqual([])
    const usage = await cloudimgJson<{ groups: { unneeded: { count: number } } }>(['df'], shared())
    expect(usage.groups.unneeded.count).toBe(0)
    expect(await storeFaults(storeOf(shared()))).toEqual([])
  })
})
