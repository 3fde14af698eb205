import { readIfPresent, writeWhole } from './files.ts'
import { faultsFile, faultsUsedFile } from './paths.ts'

/** `true`: every time; a number: the first so many times. */
type Times = boolean | number

/** What a test can make go wrong: JSON in /var/lib/cloudimg-standin-faults.json on the host, or in the variable K3S_STANDIN_FAULTS. */
export interface Faults {
  /** Multiplies every pause of the stand-in; 1 unless told (about a second from start to Ready). */
  readonly timeScale?: number
  /** k3s exits with code 1 in the middle of the image import. */
  readonly exitAtImport?: Times
  /** READY is never sent: the unit stays `activating`, everything else works. */
  readonly hangAtNotify?: Times
  /** Additional milliseconds (not scaled) that each archive's import takes. */
  readonly slowImportMs?: number
  /** An agent or joining server is killed with SIGKILL once it was let in and before it is registered. */
  readonly killAtJoin?: Times
  /** How often the node turns NotReady and Ready again after it was first Ready. */
  readonly readyFlapping?: number
}

const kinds: Readonly<Record<keyof Faults, readonly string[]>> = {
  timeScale: ['number'],
  exitAtImport: ['boolean', 'number'],
  hangAtNotify: ['boolean', 'number'],
  slowImportMs: ['number'],
  killAtJoin: ['boolean', 'number'],
  readyFlapping: ['number'],
}

/** @throws where a name is unknown or a value of the wrong kind: a misspelt fault must not make a test green. */
export function parseFaults(text: string): Faults {
  const faults = JSON.parse(text) as Record<string, unknown>
  for (const [name, value] of Object.entries(faults)) {
    const allowed = name in kinds ? kinds[name as keyof Faults] : undefined
    if (allowed === undefined) throw new Error(`reading the stand-in's faults: there is no fault "${name}"`)
    if (!allowed.includes(typeof value))
      throw new Error(`reading the stand-in's faults: "${name}" must be a ${allowed.join(' or ')}`)
  }
  return faults
}

export function readFaults(): Faults {
  return parseFaults(process.env['K3S_STANDIN_FAULTS'] ?? readIfPresent(faultsFile) ?? '{}')
}

/** True where the fault is to happen now; counts it, so that "the first n times" holds over restarts. */
export function strikes(name: 'exitAtImport' | 'hangAtNotify' | 'killAtJoin'): boolean {
  const wanted = readFaults()[name]
  if (wanted === undefined || typeof wanted === 'boolean') return wanted === true
  const used = JSON.parse(readIfPresent(faultsUsedFile) ?? '{}') as Record<string, number>
  const before = used[name] ?? 0
  if (before >= wanted) return false
  writeWhole(faultsUsedFile, JSON.stringify({ ...used, [name]: before + 1 }))
  return true
}

/** Waits the given milliseconds of the stand-in's time. */
export async function pause(ms: number): Promise<void> {
  const scaled = ms * (readFaults().timeScale ?? 1)
  await new Promise(resolve => {
    setTimeout(resolve, scaled)
  })
}
