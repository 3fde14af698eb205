import { serveRegistry } from '../../oci/serve/serve.ts'
import { serveStore } from '../../oci/serve/store-adapter.ts'
import { openStore } from '../../oci/store/store.ts'
import type { Session } from '../session.ts'

export interface ServeFlags {
  readonly host: string
  readonly port: number
  readonly readOnly: boolean
}

/** A client that pushes has named what it pushed after this, or gc may have it. */
const pushMs = 60 * 60_000

/** `cloudimg serve`: the local store as a registry, until it is interrupted. */
export async function serve(session: Session, flags: ServeFlags): Promise<void> {
  const { ctx } = session
  const store = await openStore((await session.store()).layout.home, { forgetMs: pushMs })
  const registry = await serveRegistry({
    store: serveStore(store),
    host: flags.host,
    port: flags.port,
    readOnly: flags.readOnly,
    events: ctx.events,
  })
  session.answer(
    { url: registry.url, host: registry.host, readOnly: flags.readOnly },
    `serving the local store at ${registry.url}, Ctrl-C ends it`,
  )
  await new Promise<void>(resolve => {
    ctx.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await registry.close()
}
