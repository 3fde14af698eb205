import { gunzipSync } from 'node:zlib'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { Support, SupportPart } from '../../runtime/runtime.ts'
import type { Bundle } from './bundle.ts'
import { redactObjects, type Redactor } from './redactor.ts'

/** Of each part that much is taken, its end. */
const partBytes = 16 * MiB

export interface GatheredPart {
  readonly path: string
  readonly bytes: number
  /** Its last command's exit code; 124 where it took more than a minute. */
  readonly code: number
  /** Only its end is there. */
  readonly cut: boolean
}

export interface Gathering {
  readonly bundle: Bundle
  readonly redactor: Redactor
  /** Since when journals are wanted, as journalctl reads it. */
  readonly since: string
  /** Of the host, in the bundle. */
  readonly directory: string
}

// $1 time, $2 lines for the shell. What a part says of its own troubles belongs into it; one more byte tells that it was longer.
const partScript = `{ timeout 60 sh -c "$2" collect-lines "$1" 2>&1; echo "code $?" >&3; } 3>&2 | tail -c ${partBytes + 1} | gzip -c | base64`

/** Brings the parts of one host into the bundle. Changes nothing there. */
export async function gatherParts(
  host: ReadonlyHost,
  parts: readonly SupportPart[],
  { bundle, redactor, since, directory }: Gathering,
  ctx: Context,
): Promise<readonly GatheredPart[]> {
  const gathered: GatheredPart[] = []
  for (const { path, script, objects = false } of parts) {
    const { stdout, stderr } = await host.look(['sh', '-c', partScript, 'collect-part', since, script], ctx)
    const whole = unpack(stdout)
    const cut = whole.length > partBytes
    const text = whole.subarray(cut ? 1 : 0).toString('utf8')
    const content = redactor.redact(objects ? redactObjects(text) : text)
    await bundle.add(`${directory}/${path}`, content)
    const code = Number(/^code (\d+)$/m.exec(stderr)?.[1] ?? 1)
    gathered.push({ path, bytes: Buffer.byteLength(content), code, cut })
  }
  return gathered
}

/** A look brings its last mebibytes only: what does not even fit when it is packed is no text that anybody would read. */
function unpack(base64: string): Buffer {
  try {
    return gunzipSync(Buffer.from(base64, 'base64'))
  } catch {
    return Buffer.from('left out: it is too large\n')
  }
}

// $1 patterns of files, without blanks.
const secretScript = `for file in $1; do [ -f "$file" ] && cat "$file" && echo; done; exit 0`

/** Teaches the redactor what this host keeps secret. Nothing of it is kept anywhere else. */
export async function learnSecrets(
  host: ReadonlyHost,
  { secretFiles, tokenFiles }: Support,
  redactor: Redactor,
  ctx: Context,
): Promise<void> {
  const read = async (files: readonly string[]): Promise<string> =>
    (await host.look(['sh', '-c', secretScript, 'collect-secrets', files.join(' ')], ctx)).stdout
  redactor.learn(await read(secretFiles))
  const tokens = await read(tokenFiles)
  redactor.learn(tokens)
  for (const line of tokens.split('\n')) redactor.add(line)
}
