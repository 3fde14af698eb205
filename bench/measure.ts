import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** What one command took: wall seconds, and the peak resident memory (10^6 bytes) of its largest process. */
export interface Cost {
  readonly seconds: number
  readonly peakMB: number
}

export interface Timed {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Runs a command under GNU time, which is small itself, so that the peak is the command's own. @throws where it fails. */
export function timed({ argv, env, cwd }: Timed): Cost {
  const scratch = mkdtempSync('/var/tmp/cloudimg-bench-time-')
  try {
    const out = join(scratch, 'time')
    const started = process.hrtime.bigint()
    const { status, stderr } = spawnSync('/usr/bin/time', ['-o', out, '-f', '%M', ...argv], {
      env: { ...env },
      maxBuffer: 1 << 26,
      ...(cwd === undefined ? {} : { cwd }),
    })
    const seconds = Number(process.hrtime.bigint() - started) / 1e9
    if (status !== 0) throw new Error(`running ${argv.join(' ')}: exit code ${status}: ${String(stderr).slice(-2000)}`)
    return { seconds, peakMB: (Number(readFileSync(out, 'utf8').trim().split('\n').at(-1)) * 1024) / 1e6 }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

export function sum(costs: readonly Cost[]): Cost {
  return {
    seconds: costs.reduce((total, { seconds }) => total + seconds, 0),
    peakMB: Math.max(...costs.map(({ peakMB }) => peakMB)),
  }
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One contender: `prepare` is not on the clock. */
export interface Contender {
  readonly name: string
  prepare?(): void | Promise<void>
  run(): Cost | Promise<Cost>
}

export interface Row {
  readonly name: string
  readonly seconds: number
  readonly peakMB: number
  readonly rounds: readonly number[]
}

/** Every contender once in each round, each round beginning with another one, so that none has the quiet moments to itself. */
export async function compare(contenders: readonly Contender[], rounds: number): Promise<readonly Row[]> {
  const costs = new Map<string, Cost[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(turn + round) % contenders.length]!
      await contender.prepare?.()
      costs.get(contender.name)!.push(await contender.run())
    }
  }
  return contenders.map(({ name }) => {
    const all = costs.get(name)!
    return {
      name,
      seconds: median(all.map(cost => cost.seconds)),
      peakMB: Math.max(...all.map(cost => cost.peakMB)),
      rounds: all.map(cost => cost.seconds),
    }
  })
}
