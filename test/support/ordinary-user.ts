import { appendFile, chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { RunResult } from '../../src/io/exec.ts'
import { type CloudimgPlace, cloudimgEnvironment } from './cloudimg.ts'
import { attempt, must } from './command.ts'

const checkout = resolve(import.meta.dirname, '../..')
const uid = 23_456

/** A user who is none of this machine: passwd and subordinate ids are laid over the machine's for its processes alone. */
export interface OrdinaryUser {
  /** `cloudimg ARGS`, from a view of the checkout that the user can read. */
  cloudimg(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<RunResult>
  readonly place: CloudimgPlace
}

/** `subordinates`: how many ids of its own the user has. All of it lies below `directory`. */
export async function makeOrdinaryUser(
  directory: string,
  { subordinates }: { readonly subordinates: number },
): Promise<OrdinaryUser> {
  const at = (name: string): string => join(directory, name)
  for (const name of ['home', 'checkout', 'etc']) await mkdir(at(name), { recursive: true })
  await chmod(directory, 0o755)
  await copyFile('/etc/passwd', at('etc/passwd'))
  await appendFile(at('etc/passwd'), `tester:x:${uid}:${uid}::${at('home')}:/bin/sh\n`)
  for (const name of ['subuid', 'subgid']) {
    await writeFile(at(`etc/${name}`), subordinates === 0 ? '' : `tester:700000:${subordinates}\n`)
  }
  await must(['chown', '-R', `${uid}:${uid}`, at('home')])
  const place = { home: at('home') }
  const script = [
    'set -e; d=$1; shift',
    'for name in passwd subuid subgid; do mount --bind "$d/etc/$name" "/etc/$name"; done',
    'mount --bind "$0" "$d/checkout"',
    `exec setpriv --reuid ${uid} --regid ${uid} --clear-groups -- "$d/checkout/node_modules/.bin/node" "$d/checkout/bin/cloudimg.js" "$@"`,
  ].join('\n')
  return {
    place,
    cloudimg: (args, env = {}) =>
      attempt(
        ['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-c', script, checkout, directory, ...args],
        {
          env: { ...cloudimgEnvironment(place), ...env },
          cwd: at('home'),
          timeoutMs: 240_000,
        },
      ),
  }
}
