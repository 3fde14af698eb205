/**
 * How far a build is from the least that any tool must do: read every byte, hash it, write it. Both run in turn, each as a
 * process of its own, and the best of the rounds counts: times on a shared machine differ by a factor, ratios do not.
 *   node bench/floor.ts [ROUNDS]
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { writeNoise } from '../test/support/noise.ts'
import { makeTinyRelease, tinyVersion } from '../test/support/tiny-release.ts'

const MB = 1_000_000
/** A k3s binary, an air-gap archive, and some scripts. */
const sizes = { k3s: 70 * MB, images: 300 * MB }
const total = sizes.k3s + sizes.images
const scripts = 60

/** `build`: from files of the context, which are copied. `release`: as many bytes by BASE from a release directory. */
const rows = ['floor', 'floor, synced', 'build', 'build again', 'release', 'release again', 'start'] as const

/** The bare loop: nothing is remembered, checked or renamed. */
function floor(source: string, target: string, sync: boolean): void {
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (const name of readdirSync(source)) {
    const [input, output] = [openSync(join(source, name), 'r'), openSync(join(target, name), 'w')]
    const hash = createHash('sha256')
    for (let bytes = 0; (bytes = readSync(input, buffer)) > 0;) {
      hash.update(buffer.subarray(0, bytes))
      writeSync(output, buffer, 0, bytes)
    }
    hash.digest()
    if (sync) fsyncSync(output)
    closeSync(input)
    closeSync(output)
  }
}

/** Seconds of a process from its start to its end. */
function timed(argv: readonly string[], env: Record<string, string> = {}): number {
  const started = process.hrtime.bigint()
  const { status, stderr } = spawnSync(argv[0]!, argv.slice(1), { env: { ...process.env, ...env } })
  if (status !== 0) throw new Error(`running ${argv.join(' ')}: ${String(stderr)}`)
  return Number(process.hrtime.bigint() - started) / 1e9
}

async function compare(rounds: number): Promise<void> {
  const scratch = mkdtempSync('/var/tmp/cloudimg-bench-')
  try {
    const context = join(scratch, 'context')
    mkdirSync(context)
    for (const [name, bytes] of Object.entries(sizes)) await writeNoise(join(context, name), bytes)
    for (let number = 0; number < scripts; number++)
      writeFileSync(join(context, `script-${number}`), `echo ${number}\n`)
    writeFileSync(join(scratch, 'Kubefile'), 'FROM scratch\nCOPY . .\n')
    await makeTinyRelease(join(scratch, 'release'), { arches: ['amd64', 'arm64'], binaryBytes: total })
    writeFileSync(join(scratch, 'Releasefile'), `FROM scratch\nBASE k3s@${tinyVersion}\n`)
    report(measure(scratch, context, rounds))
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

type Times = Record<(typeof rows)[number], number>

function measure(scratch: string, context: string, rounds: number): Times {
  const cloudimg = [process.execPath, join(import.meta.dirname, '../bin/cloudimg.js')]
  const home = join(scratch, 'home')
  const out = join(scratch, 'out')
  const best = Object.fromEntries(rows.map(name => [name, Infinity])) as Times
  const take = (name: keyof Times, seconds: number): void => void (best[name] = Math.min(best[name], seconds))
  const bare = (mode: string): number => {
    rmSync(out, { recursive: true, force: true })
    mkdirSync(out)
    return timed([process.execPath, import.meta.filename, mode, context, out])
  }
  const build = (...args: readonly string[]): number =>
    timed([...cloudimg, 'build', '-q', '-t', 'bench:1', ...args], { CLOUDIMG_HOME: home })
  const files = ['-f', join(scratch, 'Kubefile'), context]
  const release = ['-f', join(scratch, 'Releasefile'), '--mirror', `k3s=${join(scratch, 'release')}`, scratch]
  for (let round = 0; round < rounds; round++) {
    take('floor', bare('floor'))
    take('floor, synced', bare('synced'))
    rmSync(home, { recursive: true, force: true })
    take('build', build(...files))
    take('build again', build(...files))
    rmSync(home, { recursive: true, force: true })
    take('release', build(...release))
    take('release again', build(...release))
    take('start', timed([...cloudimg, '--version']))
  }
  return best
}

function report(best: Times): void {
  for (const [name, seconds] of Object.entries(best)) {
    const rate = name === 'start' || name.endsWith('again') ? '' : `${Math.round(total / MB / seconds)} MB/s`
    console.log(
      `${name.padEnd(14)} ${seconds.toFixed(2).padStart(6)} s  ${rate.padStart(10)}  × ${(seconds / best.floor).toFixed(2)}`,
    )
  }
}

const [mode, source, target] = process.argv.slice(2)
if (mode === 'floor' || mode === 'synced') floor(source!, target!, mode === 'synced')
else await compare(Number(mode ?? 3))
