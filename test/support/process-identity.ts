import { readFileSync } from 'node:fs'

/** Names this process for as long as the machine runs: `PID-START`, since an id alone may be given to another one later. */
export function processIdentity(): string {
  return identityOf(process.pid) ?? `${process.pid}-0`
}

/** Whether the process of that identity still runs. */
export function isAlive(identity: string): boolean {
  return identityOf(Number(identity.split('-')[0])) === identity
}

function identityOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 22 of proc_pid_stat(5), counted behind the name, which may hold blanks.
    return `${pid}-${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return undefined
  }
}
