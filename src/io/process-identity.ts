import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** `gone` is certain; of a process on another machine or in another container nothing can be said. */
export type ProcessState = 'running' | 'gone' | 'elsewhere'

let own: string | undefined

/** `PID-START-MACHINE`: names this process among all that ever share a directory, since a bare number is given out again. */
export function ownIdentity(): string {
  own ??= `${process.pid}-${startOf(process.pid) ?? '0'}-${machine()}`
  return own
}

/** The number of a process, out of its identity: for messages. */
export function pidOf(identity: string): number {
  return Number(identity.split('-')[0])
}

export function processState(identity: string): ProcessState {
  const [pid, start, where] = identity.split('-')
  if (where !== machine()) return 'elsewhere'
  return startOf(Number(pid)) === start ? 'running' : 'gone'
}

// Field 22 of proc_pid_stat(5), counted behind the name, which may hold blanks. A zombie does nothing any more.
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

let known: string | undefined

/** One boot of one machine, and one space of process numbers in it. */
function machine(): string {
  const parts = [
    () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'),
    () => readlinkSync('/proc/self/ns/pid'),
  ]
  known ??= createHash('sha256')
    .update(parts.map(part => attempt(part) ?? hostname()).join('\n'))
    .digest('hex')
    .slice(0, 12)
  return known
}

function attempt(work: () => string): string | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
