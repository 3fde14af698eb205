import { mkdir } from 'node:fs/promises'
import { cloudimgEnvironment, type CloudimgPlace, cloudimgProgram } from './cloudimg.ts'
import { attempt } from './command.ts'
import { freePort, startDaemon } from './daemon.ts'

export interface CloudimgServer extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
}

/** `cloudimg serve` on the store of a place, as a process of its own. */
export async function startCloudimgServer(
  place: CloudimgPlace,
  log: string,
  flags: readonly string[] = [],
): Promise<CloudimgServer> {
  await mkdir(place.home, { recursive: true })
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const scheme = flags.includes('--tls-cert') ? 'https' : 'http'
  // Who asks for a login serves, too.
  const ready = async (): Promise<true | undefined> =>
    (await attempt(['curl', '-sk', '-o', '/dev/null', `${scheme}://${host}/v2/`])).code === 0 ? true : undefined
  const daemon = await startDaemon([...cloudimgProgram, 'serve', '--port', String(port), ...flags], {
    log,
    ready,
    env: cloudimgEnvironment(place),
  })
  return { host, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() }
}
