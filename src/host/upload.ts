import { posix } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { type Digest, hexOf } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { digestMismatch, verifying } from '../io/hash.ts'
import type { UploadFile } from './host.ts'
import { expectZero } from './posix-host.ts'
import type { Shell } from './shell.ts'

/** Below this a cut transfer simply starts again. */
const resumableBytes = 16 * MiB

// $1 target, $2 mode, $3 wanted sha256. Prints `equal`, or how many bytes of the temp file are there.
const lookScript = `if [ -f "$1" ] && [ "$(sha256sum < "$1" | cut -d ' ' -f 1)" = "$3" ]; then
  chmod "$2" "$1" && echo equal
elif [ -f "$4" ]; then wc -c < "$4"
else echo 0
fi`

// $1 temp file, $2 bytes that may stay. Secrets pass here, hence the umask.
const receiveScript = `set -e; umask 077; mkdir -p -m 0755 "$(dirname "$1")"
[ "$2" != 0 ] || : > "$1"
cat >> "$1"`

// $1 temp file, $2 target, $3 mode, $4 wanted sha256. Prints what was found where it differs.
const finishScript = `set -e
found=$(sha256sum < "$1" | cut -d ' ' -f 1)
if [ "$found" != "$4" ]; then rm -f "$1"; echo "$found"; exit 0; fi
chmod "$3" "$1"; sync "$1" 2>/dev/null || sync; mv -f "$1" "$2"; sync "$(dirname "$2")" 2>/dev/null || sync`

/** Sends a file unless the host has it: see `Host.upload`. @throws DIGEST_MISMATCH when what arrived is not what was meant. */
export async function uploadFile(
  shell: Shell,
  file: UploadFile,
  ctx: Context,
  onProgress?: (sent: number) => void,
): Promise<'sent' | 'unchanged'> {
  const there = await bytesThere(shell, file, ctx)
  if (there === 'equal') return 'unchanged'
  const offset = file.size >= resumableBytes && there <= file.size ? there : 0
  const found = await send(shell, file, offset, ctx, onProgress)
  if (found === undefined) return 'sent'
  // A resumed file may have had a damaged beginning: the whole of it once more, then it is an error.
  const again = offset === 0 ? found : await send(shell, file, 0, ctx, onProgress)
  if (again === undefined) return 'sent'
  throw digestMismatch(`"${file.to}" as it arrived on "${shell.name}"`, file.digest, again)
}

/** The digest in the name keeps a half-sent file of another version from being continued. */
export function temporaryOf(file: Pick<UploadFile, 'to' | 'digest'>): string {
  return posix.join(posix.dirname(file.to), `.${posix.basename(file.to)}.${hexOf(file.digest).slice(0, 12)}.part`)
}

function modeText(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

async function bytesThere(shell: Shell, file: UploadFile, ctx: Context): Promise<number | 'equal'> {
  const argv = [
    'sh',
    '-c',
    lookScript,
    'upload-look',
    file.to,
    modeText(file.mode),
    hexOf(file.digest),
    temporaryOf(file),
  ]
  const said = expectZero(shell.name, argv, await shell.run(argv, {}, ctx)).stdout.trim()
  return said === 'equal' ? 'equal' : Number(said)
}

async function send(
  shell: Shell,
  file: UploadFile,
  offset: number,
  ctx: Context,
  onProgress?: (sent: number) => void,
): Promise<Digest | undefined> {
  const temporary = temporaryOf(file)
  const receive = ['sh', '-c', receiveScript, 'upload', temporary, String(offset)]
  const input = await source(file, offset, ctx, onProgress)
  try {
    expectZero(shell.name, receive, await shell.run(receive, { input }, ctx))
  } finally {
    input.destroy()
  }
  const finish = [
    'sh',
    '-c',
    finishScript,
    'upload-finish',
    temporary,
    file.to,
    modeText(file.mode),
    hexOf(file.digest),
  ]
  const found = expectZero(shell.name, finish, await shell.run(finish, {}, ctx)).stdout.trim()
  if (found === '') return undefined
  if (!/^[0-9a-f]{64}$/.test(found))
    throw new CloudimgError('COMMAND_FAILED', `hashing "${file.to}" on "${shell.name}": no sha256 in "${found}"`)
  return `sha256:${found}`
}

/** A whole file is hashed here too, so that a broken source is told from a broken line. */
async function source(
  file: UploadFile,
  offset: number,
  ctx: Context,
  onProgress?: (sent: number) => void,
): Promise<Readable> {
  const body = await file.open(offset, ctx)
  const report = (sent: number): void => onProgress?.(sent)
  if (offset === 0) return verifying(body, { digest: file.digest, size: file.size }, `"${file.to}"`, report)
  return counting(body, offset, report)
}

function counting(body: Readable, from: number, report: (sent: number) => void): Readable {
  let sent = from
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.length
      report(sent)
      done(null, chunk)
    },
  })
  body.once('error', error => counter.destroy(error))
  return body.pipe(counter)
}
