import { execFileSync } from 'node:child_process'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'
import type { Row } from './measure.ts'

/** One comparison: `against` is the row that ratios are taken to, `most` the most that is aimed at for it. */
export interface Section {
  readonly title: string
  readonly rows: readonly Row[]
  readonly targets: readonly Target[]
}

export interface Target {
  readonly what: string
  readonly found: number
  readonly most: number
  readonly unit: '×' | 'ms' | 'MB'
}

/** `row`'s time as a share of `against`'s. */
export function ratio(rows: readonly Row[], row: string, against: string, most: number): Target[] {
  const [a, b] = [rows.find(({ name }) => name === row), rows.find(({ name }) => name === against)]
  if (a === undefined || b === undefined) return []
  return [{ what: `${row} ÷ ${against}`, found: a.seconds / b.seconds, most, unit: '×' }]
}

export function milliseconds(rows: readonly Row[], row: string, most: number): Target[] {
  const found = rows.find(({ name }) => name === row)
  return found === undefined ? [] : [{ what: row, found: found.seconds * 1000, most, unit: 'ms' }]
}

export function formatSection({ title, rows, targets }: Section): string {
  const width = Math.max(...rows.map(({ name }) => name.length), ...targets.map(({ what }) => what.length), 20)
  const lines = rows.map(
    ({ name, seconds, peakMB }) =>
      `  ${name.padEnd(width)} ${seconds.toFixed(seconds < 1 ? 3 : 2).padStart(8)} s ${Math.round(peakMB).toString().padStart(6)} MB`,
  )
  const kept = targets.map(
    ({ what, found, most, unit }) =>
      `  ${what.padEnd(width)} ${formatNumber(found, unit).padStart(8)} ${unit.padEnd(2)} ${found <= most ? 'within' : 'OVER'} ${formatNumber(most, unit)}`,
  )
  return [title, ...lines, ...kept].join('\n')
}

function formatNumber(value: number, unit: Target['unit']): string {
  return unit === '×' ? value.toFixed(3) : Math.round(value).toString()
}

/** What this machine is, for whoever compares two reports. */
export function machineFacts(): Readonly<Record<string, string | number>> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    arch: arch(),
    memoryGB: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.version,
    load: loadavg()[0]!.toFixed(1),
    ...Object.fromEntries(peers.map(([name, argv]) => [name, versionOf(argv)])),
  }
}

const peers: readonly (readonly [string, readonly string[]])[] = [
  ['buildah', ['buildah', '--version']],
  ['podman', ['podman', '--version']],
  ['skopeo', ['skopeo', '--version']],
  ['docker', ['dockerd', '--version']],
  ['registry', ['docker-registry', '--version']],
]

function versionOf([program, ...args]: readonly string[]): string {
  try {
    return execFileSync(program!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n')[0]!
  } catch {
    return 'not here'
  }
}
