import { readFile } from 'node:fs/promises'
import { CloudimgError } from '../../core/error.ts'
import { redactSecrets } from '../../core/redact.ts'
import { withFileErrors } from '../../io/files.ts'

/** Where a secret comes from; it is read when a command asks for it, and kept nowhere. */
export type SecretSource =
  { readonly from: 'file'; readonly path: string } | { readonly from: 'environment'; readonly name: string }

export type Secrets = ReadonlyMap<string, SecretSource>

/** As docker: a secret is no file transfer. */
const largestSecret = 500 * 1024

/** @throws FILE_ERROR, USAGE for one that is too large or a variable that is not set. */
export async function readSecret(
  id: string,
  source: SecretSource,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Buffer> {
  const bytes = source.from === 'file' ? await readSecretFile(source.path) : Buffer.from(env[source.name] ?? '')
  if (source.from === 'environment' && env[source.name] === undefined) {
    throw new CloudimgError('USAGE', `reading the secret "${id}": the variable ${source.name} is not set`)
  }
  if (bytes.length <= largestSecret) return bytes
  throw new CloudimgError('USAGE', `reading the secret "${id}": ${bytes.length} bytes, at most ${largestSecret}`)
}

async function readSecretFile(path: string): Promise<Buffer> {
  return await withFileErrors('reading the secret', path, () => readFile(path))
}

/** So short a line is a word of everyday output. */
const shortestShown = 4
/** What must not be in a layer is at least so long: shorter things are found anywhere. */
const shortestSought = 8

/** A command's output without the secrets that it was given, in whole lines. */
export class OutputRelay {
  readonly #secrets: readonly string[]
  readonly #emit: (stream: 'stdout' | 'stderr', text: string) => void
  readonly #rest = { stdout: '', stderr: '' }

  constructor(secrets: readonly Buffer[], emit: (stream: 'stdout' | 'stderr', text: string) => void) {
    const lines = secrets.flatMap(secret =>
      secret
        .toString('utf8')
        .split('\n')
        .map(line => line.trim()),
    )
    this.#secrets = lines.filter(line => line.length >= shortestShown)
    this.#emit = emit
  }

  push(stream: 'stdout' | 'stderr', text: string): void {
    const whole = this.#rest[stream] + text
    const end = whole.lastIndexOf('\n') + 1
    // A line without end is given out all the same when it grows beyond reason.
    const cut = end === 0 && whole.length > 65_536 ? whole.length : end
    this.#rest[stream] = whole.slice(cut)
    if (cut > 0) this.#emit(stream, this.redact(whole.slice(0, cut)))
  }

  flush(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#rest[stream] !== '') this.#emit(stream, this.redact(this.#rest[stream]))
      this.#rest[stream] = ''
    }
  }

  redact(text: string): string {
    return redactSecrets(text, this.#secrets)
  }
}

/** Passes on what a command wrote, unless a secret that it was given is in it. @throws RUN_FAILED. */
export function refuseSecrets(
  secrets: ReadonlyMap<string, Buffer>,
): (path: string, bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer> {
  const sought = [...secrets]
    .map(([id, secret]) => [id, Buffer.from(secret.toString('latin1').trim(), 'latin1')] as const)
    .filter(([, secret]) => secret.length >= shortestSought)
  const overlap = Math.max(0, ...sought.map(([, secret]) => secret.length - 1))
  return async function* inspect(path, bytes) {
    let before: Buffer = Buffer.alloc(0)
    for await (const chunk of bytes) {
      const window = Buffer.concat([before, chunk])
      for (const [id, secret] of sought) if (window.includes(secret)) throw leaked(id, path)
      before = window.subarray(Math.max(0, window.length - overlap))
      yield chunk
    }
  }
}

function leaked(id: string, path: string): CloudimgError {
  return new CloudimgError('RUN_FAILED', `keeping "/${path}": the command wrote the secret "${id}" into it`, {
    hint: 'let the command use the secret where it is mounted, and remove what it copied',
  })
}
