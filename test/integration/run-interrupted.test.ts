import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBaseTree } from '../support/base-tree.ts'
import { cloudimgEnvironment, cloudimgJson, cloudimgProgram, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { attempt, eventually } from '../support/command.ts'
import { RunBuilder, runLeftovers } from '../support/run-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { strayFiles } from '../support/store-check.ts'

let scratch: Scratch
let place: CloudimgPlace
let builder: RunBuilder

const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  place = { home: at('home') }
  builder = new RunBuilder(place)
  await makeBaseTree(at('base'))
  await writeFile(at('base/Kubefile'), 'FROM scratch\nCOPY . /\n')
  await cloudimgJson(['build', at('base'), '-t', 'base'], place)
  await writeFile(at('secret'), 'open-sesame-4711')
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

/** A name that no other process has. */
const mark = `48${process.pid}`

async function marked(): Promise<string> {
  return (await attempt(['pgrep', '-f', `sleep ${mark}`])).stdout.trim()
}

async function mountsOfStore(): Promise<readonly string[]> {
  const lines: string[] = []
  for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
    const text = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
    lines.push(...text.split('\n').filter(line => line.includes(storeOf(place))))
  }
  return lines
}

/** A build that stands in the middle of a command with processes, mounts and a secret. */
async function startBuild(executor: string): Promise<ChildProcess> {
  const lines = [
    `RUN --mount=type=secret,id=s --mount=type=cache,target=/c --mount=target=/ctx echo ${executor} >/half && (sleep ${mark} &) && sleep ${mark}`,
  ]
  const args = await builder.args(lines, ['--executor', executor, '--secret', `id=s,src=${at('secret')}`])
  const [program, ...rest] = [...cloudimgProgram, ...args]
  const child = spawn(program!, rest, {
    env: cloudimgEnvironment(place),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  await eventually('the command to sleep', 120_000, async () =>
    (await marked()).split('\n').length >= 2 ? true : undefined,
  )
  return child
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return await new Promise(resolve => child.once('exit', code => resolve(code)))
}

describe.each(['unshare', 'bubblewrap', 'runc', 'chroot'])('a RUN by %s', executor => {
  it('that is interrupted ends with all its processes, and leaves no mount and no half layer', async () => {
    const child = await startBuild(executor)
    child.kill('SIGINT')
    expect(await ended(child)).toBe(130)
    expect([await marked(), await mountsOfStore(), await runLeftovers(place)]).toEqual(['', [], []])
    expect(strayFiles(storeOf(place))).toEqual([])
  })

  it('whose build is killed is gone after the next command', async () => {
    const child = await startBuild(executor)
    child.kill('SIGKILL')
    await ended(child)
    await mkdir(at('next'), { recursive: true })
    await writeFile(at('next/Kubefile'), 'FROM scratch\nCOPY . /\n')
    await cloudimgJson(['build', at('next')], place)
    await eventually('the processes to be gone', 30_000, async () => ((await marked()) === '' ? true : undefined))
    expect([await mountsOfStore(), await runLeftovers(place)]).toEqual([[], []])
    // What it was writing was never a result.
    const built = await builder.build([`RUN [ ! -e /half ] && echo whole >/half`], ['--executor', executor])
    expect(await builder.topLayer(built)).toEqual(['-rw-r--r-- 0/0 half'])
  })
})
