import { readFile } from 'node:fs/promises'
import { CloudimgError } from '../../core/error.ts'
import { withFileErrors } from '../../io/files.ts'
import { isLoopback } from '../../io/loopback.ts'
import { readHtpasswd } from '../../oci/serve/htpasswd.ts'
import { serveRegistry } from '../../oci/serve/serve.ts'
import { serveStore } from '../../oci/serve/store-adapter.ts'
import { openStore } from '../../oci/store/store.ts'
import type { Session } from '../session.ts'

export interface ServeFlags {
  readonly host: string
  readonly port: number
  readonly readOnly: boolean
  readonly htpasswd?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** How long clients may finish what they began when the registry is told to stop. */
const graceMs = 30_000

/** A client that pushes has named what it pushed after this, or gc may have it. */
const pushMs = 60 * 60_000

/** `cloudimg serve`: the local store as a registry, until it is interrupted. */
export async function serve(session: Session, flags: ServeFlags): Promise<void> {
  const { ctx } = session
  const tls = await readTls(flags)
  const users = flags.htpasswd === undefined ? undefined : await readHtpasswd(flags.htpasswd)
  const store = await openStore((await session.store()).layout.home, { forgetMs: pushMs })
  const registry = await serveRegistry({
    store: serveStore(store),
    host: flags.host,
    port: flags.port,
    readOnly: flags.readOnly,
    events: ctx.events,
    ...(users === undefined ? {} : { users }),
    ...(tls === undefined ? {} : { tls }),
  })
  if (!isLoopback(flags.host)) warnOfOthers(session, flags)
  session.answer(
    { url: registry.url, host: registry.host, readOnly: flags.readOnly },
    `serving the local store at ${registry.url}, Ctrl-C ends it`,
  )
  await new Promise<void>(resolve => {
    ctx.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await registry.close(graceMs)
}

function warnOfOthers({ ctx }: Session, { host, htpasswd, tlsCert, readOnly }: ServeFlags): void {
  const warn = (message: string, hint: string): void =>
    ctx.events({ kind: 'warning', code: 'OPEN_REGISTRY', message, hint })
  if (htpasswd === undefined && !readOnly)
    warn(`everybody who reaches ${host} can push and delete images`, 'add --read-only, or --htpasswd FILE')
  if (htpasswd !== undefined && tlsCert === undefined)
    warn(`passwords cross the network to ${host} in the clear`, 'add --tls-cert FILE --tls-key FILE')
}

async function readTls({ tlsCert, tlsKey }: ServeFlags): Promise<{ cert: string; key: string } | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined) {
    const lacking = tlsCert === undefined ? '--tls-cert' : '--tls-key'
    throw new CloudimgError('USAGE', `serving by TLS: ${lacking} is missing`, { hint: `add ${lacking} FILE` })
  }
  const [cert, key] = await Promise.all([tlsCert, tlsKey].map(readPem))
  return { cert: cert!, key: key! }
}

async function readPem(path: string): Promise<string> {
  return await withFileErrors('reading', path, () => readFile(path, 'utf8'))
}
