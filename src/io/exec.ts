import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError, errnoOf, reasonOf } from '../core/error.ts'

export interface RunOptions {
  readonly input?: string | Uint8Array | Readable
  /** The whole environment; this process's own where absent. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Each stream is kept up to this many bytes (its end, not its start); 4 MiB unless told. */
  readonly maxOutputBytes?: number
  /** What ends it when the context is cancelled; SIGTERM unless told. */
  readonly killSignal?: NodeJS.Signals
  /** When it has ended, though what it started may still hold its output open. */
  readonly onExit?: () => void
  /** Sees the output as it comes. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', text: string) => void
}

export interface RunResult {
  /** 128 + signal number where a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a program by argv, no shell between. Any exit code is an answer.
 * @throws COMMAND_FAILED where the program cannot be started (`data.errno` tells why); CANCELLED when the context is.
 */
export async function run(argv: readonly string[], options: RunOptions, ctx: Context): Promise<RunResult> {
  const [program, ...args] = argv
  if (program === undefined) throw new CloudimgError('BUG', 'running a program: no argv')
  ctx.signal.throwIfAborted()
  const child = spawn(program, args, {
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  const stop = (): void => void child.kill(options.killSignal ?? 'SIGTERM')
  ctx.signal.addEventListener('abort', stop, { once: true })
  if (options.onExit !== undefined) child.once('exit', options.onExit)
  const max = options.maxOutputBytes ?? 4 * MiB
  const stdout = collect(child.stdout!, max, text => options.onOutput?.('stdout', text))
  const stderr = collect(child.stderr!, max, text => options.onOutput?.('stderr', text))
  try {
    const feeding = feed(child.stdin, options.input)
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status, signal) =>
        resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])),
      )
    })
    const fed = await feeding
    if (ctx.signal.aborted) throw new CloudimgError('CANCELLED', `running "${program}": cancelled`)
    // A program may close its input early and still succeed; a source that broke is our trouble whatever it says.
    if (fed instanceof Error && errnoOf(fed) !== 'EPIPE' && errnoOf(fed) !== 'ERR_STREAM_PREMATURE_CLOSE') throw fed
    return { code, stdout: stdout(), stderr: stderr() }
  } catch (error) {
    if (error instanceof CloudimgError) throw error
    const errno = errnoOf(error)
    const why = errno === 'ENOENT' ? 'no such program' : reasonOf(error)
    throw new CloudimgError('COMMAND_FAILED', `running "${program}": ${why}`, {
      cause: error,
      data: { errno: errno ?? '' },
    })
  } finally {
    ctx.signal.removeEventListener('abort', stop)
  }
}

async function feed(stdin: NodeJS.WritableStream | null, input: RunOptions['input']): Promise<Error | undefined> {
  if (stdin === null || input === undefined) return undefined
  try {
    if (typeof input === 'string' || input instanceof Uint8Array) {
      await new Promise<void>((resolve, reject) => {
        stdin.once('error', reject)
        stdin.end(input, () => resolve())
      })
    } else await pipeline(input, stdin)
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function collect(stream: Readable, max: number, see: (text: string) => void): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    while (size - chunks[0]!.length >= max) size -= chunks.shift()!.length
    see(chunk.toString('utf8'))
  })
  return () => Buffer.concat(chunks).toString('utf8')
}
