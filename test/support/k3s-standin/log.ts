/** One line as k3s logs it, to stderr (the journal). */
export function log(level: 'info' | 'warning' | 'error' | 'fatal', message: string): void {
  process.stderr.write(`time="${new Date().toISOString()}" level=${level} msg=${JSON.stringify(message)}\n`)
}

/** Ends a command: what it says goes to stderr as it is, the code to the caller. */
export class Exit extends Error {
  readonly code: number
  constructor(code: number, message = '') {
    super(message)
    this.code = code
  }
}

/** Ends `server` or `agent` the way k3s does. */
export class Fatal extends Error {}

/** A command or flag that the real k3s has and this stand-in lacks; never a silent success. */
export function unknownToStandIn(what: string): Exit {
  return new Exit(2, `k3s stand-in: ${what}: the stand-in does not know this`)
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
