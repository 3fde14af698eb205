import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { suggest } from '../../core/suggest.ts'
import { type Availability, type Executor, type ExecutorName, executorNames } from './executor.ts'

/** Each is loaded when it is tried: a build without RUN needs none. */
const loaders: Readonly<Record<ExecutorName, () => Promise<Executor>>> = {
  unshare: async () => (await import('./unshare.ts')).unshareExecutor,
  bubblewrap: async () => (await import('./bubblewrap.ts')).bubblewrapExecutor,
  crun: async () => (await import('./oci-runtime.ts')).crunExecutor,
  runc: async () => (await import('./oci-runtime.ts')).runcExecutor,
  docker: async () => (await import('./engine-api.ts')).dockerExecutor,
  podman: async () => (await import('./engine-api.ts')).podmanExecutor,
  chroot: async () => (await import('./chroot.ts')).chrootExecutor,
}

/** @throws USAGE. */
export function parseExecutorName(text: string): ExecutorName {
  const name = executorNames.find(known => known === text)
  if (name !== undefined) return name
  const near = suggest(text, executorNames)
  throw new CloudimgError('USAGE', `reading --executor: "${text}" is no executor`, {
    hint: near === undefined ? `name one of ${executorNames.join(', ')}` : `did you mean ${near}?`,
  })
}

export interface ChosenExecutor {
  readonly executor: Executor
  readonly availability: Extract<Availability, { ok: true }>
}

/**
 * The one that is asked for, else the first that works here; says which one it is and why.
 * @throws EXECUTOR_UNAVAILABLE with the reason of each.
 */
export async function chooseExecutor(
  wish: ExecutorName | undefined,
  home: string,
  ctx: Context,
): Promise<ChosenExecutor> {
  const candidates = wish === undefined ? executorNames.filter(name => name !== 'chroot') : [wish]
  const reasons: string[] = []
  let hint: string | undefined
  for (const name of candidates) {
    const executor = await loaders[name]()
    const availability = await executor.probe(home, ctx)
    if (availability.ok) {
      const why = wish === undefined ? (reasons.length === 0 ? '' : `; ${reasons.join('; ')}`) : ', as told'
      ctx.events({ kind: 'note', message: `RUN uses ${name}: ${availability.how}${why}` })
      return { executor, availability }
    }
    reasons.push(`${name}: ${availability.reason}`)
    hint ??= availability.hint
  }
  throw new CloudimgError('EXECUTOR_UNAVAILABLE', `looking for a way to run commands: ${reasons.join('; ')}`, {
    hint: hint ?? 'cloudimg doctor says what each one needs; as root in a container there is --executor chroot',
  })
}

export interface ExecutorReport {
  readonly name: ExecutorName
  readonly availability: Availability
}

/** Tries all of them. */
export async function probeExecutors(home: string, ctx: Context): Promise<readonly ExecutorReport[]> {
  const reports: ExecutorReport[] = []
  for (const name of executorNames) {
    reports.push({ name, availability: await (await loaders[name]()).probe(home, ctx) })
  }
  return reports
}
