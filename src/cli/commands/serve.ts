import { serveRegistry } from '../../oci/serve/serve.ts'
import { serveStore } from '../../oci/serve/store-adapter.ts'
import type { Session } from '../session.ts'

export interface ServeFlags {
  readonly host: string
  readonly port: number
  readonly readOnly: boolean
}

/** `cloudimg serve`: the local store as a registry, until it is interrupted. */
export async function serve(session: Session, flags: ServeFlags): Promise<void> {
  const { ctx } = session
  const registry = await serveRegistry({
    store: serveStore(await session.store()),
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
