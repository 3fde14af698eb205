import { createHash } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { expectZero } from '../host/posix-host.ts'
import type { ReadonlyHost } from '../host/host.ts'
import { hashFile } from '../io/hash.ts'
import {
  readFileIfPresent,
  statIfPresent,
  syncDirectory,
  temporaryBeside,
  withFileErrors,
  writeFileAtomic,
} from '../io/files.ts'

/** What an operation brings to the operator: `<directory>/<name>`, 0600, with its sha256 beside it. */
export class Keep {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** True where the file is there, and whole. */
  async has(name: string): Promise<boolean> {
    const path = join(this.directory, name)
    const sum = (await readFileIfPresent(`${path}.sha256`))?.toString('utf8').slice(0, 64)
    if (sum === undefined || (await statIfPresent(path)) === undefined) return false
    return (await hashFile(path)).digest === `sha256:${sum}`
  }

  /** Takes a file from a host. Never half a file, and never another's: hashed at both ends. */
  async fetch(host: ReadonlyHost, path: string, name: string, ctx: Context): Promise<void> {
    const target = join(this.directory, name)
    const wanted = await sumOf(host, path, ctx)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    const found = await receive(host, path, target, ctx)
    if (found !== wanted)
      throw new CloudimgError(
        'DIGEST_MISMATCH',
        `bringing "${path}" from "${host.name}": expected sha256 ${wanted}, found ${found}`,
        {
          hint: 'run the same command again',
        },
      )
    await writeFileAtomic(`${target}.sha256`, `${wanted}  ${name}\n`, 0o600)
  }
}

const partBytes = 2 * MiB

// Text is what a shell brings home safely. $1 path, $2 which part.
const partScript = `dd if="$1" bs=${partBytes} skip="$2" count=1 2>/dev/null | base64 | tr -d '\\n'`

async function receive(host: ReadonlyHost, path: string, target: string, ctx: Context): Promise<string> {
  const temporary = temporaryBeside(target)
  const hash = createHash('sha256')
  return await withFileErrors('writing', target, async () => {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      for (let part = 0; ; part++) {
        const argv = ['sh', '-c', partScript, 'read-part', path, String(part)]
        const bytes = Buffer.from(expectZero(host.name, argv, await host.look(argv, ctx)).stdout, 'base64')
        hash.update(bytes)
        await handle.write(bytes)
        if (bytes.length < partBytes) break
      }
      await handle.sync()
      await rename(temporary, target)
      await syncDirectory(dirname(target))
      return hash.digest('hex')
    } finally {
      await handle.close()
      await rm(temporary, { force: true })
    }
  })
}

async function sumOf(host: ReadonlyHost, path: string, ctx: Context): Promise<string> {
  const argv = ['sha256sum', path]
  return expectZero(host.name, argv, await host.look(argv, ctx)).stdout.slice(0, 64)
}
