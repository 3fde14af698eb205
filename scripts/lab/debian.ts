import { rm, writeFile } from 'node:fs/promises'
import type { Context } from '../../src/core/context.ts'
import { CloudimgError } from '../../src/core/error.ts'
import { statIfPresent } from '../../src/io/files.ts'
import { run } from '../../src/io/exec.ts'
import { findProgram } from '../../src/io/find-program.ts'

/** Receives one line about each thing that is done. */
export type Say = (line: string) => void

/** A program that tests call, and the Debian package that brings it. Any provider of the program will do. */
export interface DebianPart {
  readonly program: string
  readonly package: string
}

/** @throws EXECUTOR_UNAVAILABLE naming the package where the program is missing. */
export async function requireProgram(part: DebianPart): Promise<string> {
  const path = await findProgram(part.program)
  if (path !== undefined) return path
  throw new CloudimgError('EXECUTOR_UNAVAILABLE', `looking for "${part.program}": it is not installed`, {
    hint: `install the Debian package ${part.package}, or run node scripts/test-parts.ts as root`,
  })
}

/**
 * Installs the packages of the missing programs; nothing is touched where none is missing.
 * No service is started: policy-rc.d forbids it for as long as apt runs.
 * @throws HOST_UNSUITABLE where something is missing and cannot be installed from here.
 */
export async function ensureDebianParts(parts: readonly DebianPart[], say: Say, ctx: Context): Promise<void> {
  const missing = []
  for (const part of parts) if ((await findProgram(part.program)) === undefined) missing.push(part)
  if (missing.length === 0) return say(`programs: all ${parts.length} are here`)

  const packages = [...new Set(missing.map(part => part.package))]
  await refuseWhereAptCannot(packages)
  say(`installing from Debian packages: ${packages.join(' ')}`)
  await withServicesHeldBack(async () => {
    await aptGet(['update', '-qq'], ctx)
    await aptGet(['install', '-y', '-qq', '--no-install-recommends', ...packages], ctx)
  })
  for (const part of missing) await requireProgram(part)
}

async function refuseWhereAptCannot(packages: readonly string[]): Promise<void> {
  const command = `apt-get install --no-install-recommends ${packages.join(' ')}`
  if ((await findProgram('apt-get')) === undefined) {
    throw new CloudimgError('HOST_UNSUITABLE', `installing "${packages.join(' ')}": this machine has no apt-get`, {
      hint: 'install the programs of these Debian packages by hand, then run the same command again',
    })
  }
  if (process.getuid?.() !== 0) {
    throw new CloudimgError('HOST_UNSUITABLE', `installing "${packages.join(' ')}": only root can`, {
      hint: `run as root: ${command}`,
    })
  }
}

const policyFile = '/usr/sbin/policy-rc.d'

/** invoke-rc.d and deb-systemd-invoke ask this program; 101 means "forbidden by policy". An existing policy stays. */
async function withServicesHeldBack(work: () => Promise<void>): Promise<void> {
  if ((await statIfPresent(policyFile)) !== undefined) return await work()
  await writeFile(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await work()
  } finally {
    await rm(policyFile, { force: true })
  }
}

async function aptGet(args: readonly string[], ctx: Context): Promise<void> {
  const env = { ...definedEnvironment(), DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' }
  const lock = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Options::=--force-confold']
  const result = await run(['apt-get', ...lock, ...args], { env }, ctx)
  if (result.code === 0) return
  throw new CloudimgError('COMMAND_FAILED', `running "apt-get ${args.join(' ')}": ${lastLines(result.stderr)}`)
}

function definedEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter(entry => entry[1] !== undefined)) as Record<
    string,
    string
  >
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join('; ')
}
