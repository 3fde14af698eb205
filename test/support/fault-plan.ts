import { seededRandom } from './noise.ts'

/** What a request is for. `elsewhere` is what went to the other host after a redirect. */
export type RequestKind =
  | 'ping'
  | 'token'
  | 'manifest-read'
  | 'manifest-write'
  | 'blob-read'
  | 'blob-look'
  | 'upload-start'
  | 'upload-body'
  | 'upload-state'
  | 'elsewhere'

const anywhere = ['reset', 'refuse', 'lose-answer', 'expire', 'stall-answer'] as const
const whileReading = [
  'cut-answer',
  'truncate-answer',
  'short-answer',
  'long-answer',
  'flip-answer',
  'more-than-told',
  'less-than-told',
] as const
const whileWriting = ['cut-body', 'stall-body', 'flip-body'] as const

/** Which faults make sense where; what is drawn is drawn from here. */
export const faultsOf = {
  ping: ['reset', 'refuse', 'stall-answer'],
  token: [...anywhere, 'short-answer', 'flip-answer'],
  'manifest-read': [...anywhere, ...whileReading, 'other-digest'],
  'manifest-write': [...anywhere, ...whileWriting, 'other-digest'],
  'blob-read': [...anywhere, ...whileReading, 'other-range', 'wrong-range', 'no-range', 'redirect'],
  'blob-look': [...anywhere, 'redirect'],
  'upload-start': [...anywhere, 'location-elsewhere'],
  'upload-body': [...anywhere, ...whileWriting, 'redirect'],
  'upload-state': anywhere,
  elsewhere: ['reset', 'refuse', 'lose-answer', ...whileReading, ...whileWriting],
} as const satisfies Record<RequestKind, readonly string[]>

export type FaultName = (typeof faultsOf)[RequestKind][number]

export interface Fault {
  readonly on: RequestKind
  readonly what: FaultName
  /** Requests of that kind that pass before it. */
  readonly after: number
  /** Requests in a row that it hits. */
  readonly times: number
  /** Where in the body, 0 to 1. */
  readonly at: number
  /** Of `refuse`. */
  readonly status: number
}

export type Operation = 'push' | 'pull' | 'copy'
export const registryKinds = ['open', 'basic', 'token', 'tls', 'embedded'] as const
export type RegistryKind = (typeof registryKinds)[number]

/** One run: what is done, against which registry, and what goes wrong meanwhile. */
export interface FaultRun {
  readonly number: number
  readonly operation: Operation
  readonly registry: RegistryKind
  readonly faults: readonly Fault[]
}

const kindsOf: Readonly<Record<Operation, readonly RequestKind[]>> = {
  pull: ['ping', 'token', 'manifest-read', 'blob-read', 'blob-read', 'blob-read', 'blob-read'],
  push: ['ping', 'token', 'blob-look', 'upload-start', 'upload-body', 'upload-body', 'upload-body', 'manifest-write'],
  copy: ['token', 'manifest-read', 'blob-read', 'blob-read', 'upload-start', 'upload-body', 'manifest-write'],
}

const statuses = [429, 500, 502, 503, 504]

/** The run of that number: the same one each time. */
export function faultRun(number: number): FaultRun {
  const random = seededRandom(number * 7919 + 17)
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!
  const operation = pick(['push', 'pull', 'copy'] as const)
  const registry = registryKinds[number % registryKinds.length]!
  const faults: Fault[] = []
  const count = 1 + Math.floor(random() * 4)
  for (let i = 0; i < count; i++) {
    const on = pick(kindsOf[operation])
    const what = pick<FaultName>(faultsOf[on])
    // Most pass, as on a bad line; some stay, as at a broken registry.
    const times = random() < 0.15 ? Number.POSITIVE_INFINITY : 1 + Math.floor(random() * 2)
    faults.push({ on, what, after: Math.floor(random() * 3), times, at: random(), status: pick(statuses) })
    // A redirect leads to a host that has faults of its own.
    if ((what === 'redirect' || what === 'location-elsewhere') && random() < 0.5)
      faults.push({ on: 'elsewhere', what: pick(faultsOf.elsewhere), after: 0, times: 1, at: random(), status: 503 })
  }
  return { number, operation, registry, faults }
}
