import { spawn } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { eventually } from './command.ts'

export interface DaemonOptions {
  /** The file that takes all it says. */
  readonly log: string
  /** Answers (anything but undefined) once the daemon serves. */
  readonly ready: () => Promise<unknown>
  readonly startTimeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
}

export interface Daemon extends AsyncDisposable {
  readonly pid: number
}

const stopTimeoutMs = 20_000

/**
 * A real server as a child of this process: it ends when this process does, however that ends.
 * @throws with the end of its log where it dies or does not serve in time.
 */
export async function startDaemon(argv: readonly string[], options: DaemonOptions): Promise<Daemon> {
  const log = await open(options.log, 'a')
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...argv], {
    stdio: ['ignore', log.fd, log.fd],
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  const ended = new Promise<string>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`ended with ${signal ?? `exit code ${code}`}`))
  })
  await log.close()
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(late)
  }
  try {
    let end: string | undefined
    void ended.then(how => (end = how))
    await eventually(`"${argv[0]}" to serve`, options.startTimeoutMs ?? 30_000, async () => {
      if (end !== undefined) return false
      return (await options.ready()) === undefined ? undefined : true
    })
    if (end !== undefined) throw new Error(`starting "${argv[0]}": it ${end}`)
    return { pid: child.pid ?? 0, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    const said = (await readFile(options.log, 'utf8')).trim().slice(-2000)
    throw new Error(`starting "${argv.join(' ')}": ${said}`, { cause: error })
  }
}

/** A port that was free a moment ago; another process may take it before its user does. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, address, () => {
      const bound = server.address()
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0))
    })
  })
}
