import { spawn } from 'node:child_process'
import type { Context } from '../core/context.ts'
import { CloudimgError, errnoOf, reasonOf } from '../core/error.ts'

const keptOfStderr = 4000

/**
 * What a program writes to its standard output, as it comes. Whoever stops reading ends the program.
 * @throws COMMAND_FAILED where it cannot be started or ends with another code than 0, with the last it said.
 */
export async function* readProgram(argv: readonly string[], ctx: Context): AsyncGenerator<Buffer> {
  const [program = '', ...args] = argv
  ctx.signal.throwIfAborted()
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = (): void => void child.kill('SIGKILL')
  ctx.signal.addEventListener('abort', stop, { once: true })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(-keptOfStderr)))
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? -1))
  })
  ended.catch(() => {})
  let whole = false
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) yield chunk
    const code = await ended
    whole = true
    ctx.signal.throwIfAborted()
    if (code !== 0) throw new CloudimgError('COMMAND_FAILED', `running "${program}": exit code ${code}: ${said.trim()}`)
  } catch (error) {
    ctx.signal.throwIfAborted()
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    const why = errno === 'ENOENT' ? 'no such program' : reasonOf(error)
    throw new CloudimgError('COMMAND_FAILED', `running "${program}": ${why}`, { cause: error, data: { errno } })
  } finally {
    ctx.signal.removeEventListener('abort', stop)
    if (!whole) stop()
  }
}
