import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import type { RunResult } from '../../src/io/exec.ts'
import { attempt } from './command.ts'

const checkout = resolve(import.meta.dirname, '../..')

/** The argv prefix that is `cloudimg` for a user of this checkout, whatever the system's own Node is. */
export const cloudimgProgram: readonly string[] = [
  join(checkout, 'node_modules/.bin/node'),
  join(checkout, 'bin/cloudimg.js'),
]

/** Where and how one `cloudimg` runs; nothing of the developer's own settings, logins or images gets in. */
export interface CloudimgPlace {
  /** CLOUDIMG_HOME is `store` below it; HOME, XDG_* and DOCKER_CONFIG lie there too. */
  readonly home: string
  readonly cwd?: string
  /** Added to the clean environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array | Readable
  /** Runs the program through another one: `['strace', '-f']`. */
  readonly through?: readonly string[]
  /** SIGTERM after this; two minutes unless told. */
  readonly timeoutMs?: number
}

/** The store of a place. */
export function storeOf(place: Pick<CloudimgPlace, 'home'>): string {
  return join(place.home, 'store')
}

/** The environment that `cloudimg` gets in a place; for starting it by hand. */
export function cloudimgEnvironment({ home, env }: CloudimgPlace): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    HOME: home,
    CLOUDIMG_HOME: storeOf({ home }),
    XDG_CONFIG_HOME: join(home, 'xdg/config'),
    XDG_DATA_HOME: join(home, 'xdg/data'),
    XDG_CACHE_HOME: join(home, 'xdg/cache'),
    XDG_STATE_HOME: join(home, 'xdg/state'),
    XDG_RUNTIME_DIR: join(home, 'xdg/run'),
    DOCKER_CONFIG: join(home, 'docker'),
    NODE_COMPILE_CACHE: join(checkout, 'node_modules/.cache/cloudimg'),
    ...env,
  }
}

/** Runs `cloudimg ARGS` as a user would; any exit code is an answer. */
export async function cloudimg(args: readonly string[], place: CloudimgPlace): Promise<RunResult> {
  await mkdir(place.home, { recursive: true })
  return await attempt([...(place.through ?? []), ...cloudimgProgram, ...args], {
    env: cloudimgEnvironment(place),
    timeoutMs: place.timeoutMs ?? 120_000,
    ...(place.cwd === undefined ? {} : { cwd: place.cwd }),
    ...(place.input === undefined ? {} : { input: place.input }),
  })
}

/** Runs `cloudimg ARGS --json` and gives its one object, of the shape that the caller says. @throws at any exit code but 0. */
export async function cloudimgJson<T>(args: readonly string[], place: CloudimgPlace): Promise<T> {
  const { code, stdout, stderr } = await cloudimg([...args, '--json'], place)
  if (code !== 0) throw new Error(`running cloudimg ${args.join(' ')}: exit code ${code}: ${stderr.slice(-3000)}`)
  return JSON.parse(stdout) as T
}

export interface CloudimgFailure {
  readonly exit: number
  /** The ErrorCode. */
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  /** All that stderr said. */
  readonly stderr: string
}

/** Runs what must fail, and gives the error as `--json` and the exit code tell it. @throws where it succeeds. */
export async function cloudimgFailure(args: readonly string[], place: CloudimgPlace): Promise<CloudimgFailure> {
  const { code: exit, stdout, stderr } = await cloudimg([...args, '--json'], place)
  if (exit === 0) throw new Error(`running cloudimg ${args.join(' ')}: it should have failed: ${stdout}`)
  const { error } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as {
    error: { code: string; message: string; hint?: string }
  }
  return { exit, code: error.code, message: error.message, hint: error.hint, stderr }
}

/** As `cloudimgJson`, with the peak of the program's own memory in MB (10^6 bytes). */
export async function cloudimgPeak(args: readonly string[], place: CloudimgPlace): Promise<number> {
  const report = join(place.home, 'peak')
  const reporter = join(import.meta.dirname, 'report-peak.ts')
  await cloudimgJson(args, {
    ...place,
    env: { ...place.env, NODE_OPTIONS: `--import=${reporter}`, CLOUDIMG_TEST_PEAK: report },
  })
  return Number(await readFile(report, 'utf8')) / 1e6
}
