import { join } from 'node:path'
import { homedir } from 'node:os'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { compareBytes, readdirIfPresent, readFileIfPresent } from '../../io/files.ts'
import { drain, type HttpResponse, send, type Trust } from '../../io/http.ts'
import { isLoopback } from '../../io/loopback.ts'
import { registryError, retryableStatus } from './registry-error.ts'

/** Where a registry's API answers, and how its certificate is judged. */
export interface Endpoint {
  /** As in references: `docker.io`, `registry.local:5000`. */
  readonly registry: string
  /** `https://registry-1.docker.io`, without a path. */
  readonly base: URL
  readonly trust: Trust
  /** Plain http or an unverified certificate is accepted: the user said so, or it is this machine. */
  readonly insecure: boolean
  /** Milliseconds without a byte that are borne; `send`'s own unless told. */
  readonly stallMs?: number
  /** WWW-Authenticate of the answer to `GET /v2/`; undefined where that needs no authentication. */
  readonly challenge: string | undefined
}

/** Where docker, podman and containers tools keep the certificates of registries, below `<host:port>`. */
export const certificateFolders: readonly string[] = [
  '/etc/docker/certs.d',
  '/etc/containers/certs.d',
  join(homedir(), '.config/containers/certs.d'),
]

/** The host of a registry's API. */
export function apiHost(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry
}

/**
 * Finds out whether the registry speaks https or, where that is acceptable, http: as docker does, loopback addresses and
 * registries marked insecure are tried by unverified https first and then by http.
 */
export async function findEndpoint(
  registry: string,
  options: {
    readonly insecure: boolean
    readonly certificates: readonly string[]
    readonly authority?: string
    readonly stallMs?: number
  },
  ctx: Context,
): Promise<Endpoint> {
  const host = apiHost(registry)
  const insecure = options.insecure || isLoopback(new URL(`http://${host}`).hostname)
  const found = await readTrust([registry, host], options.certificates)
  const authorities = [found.ca, options.authority].filter(text => text !== undefined)
  const trust: Trust = {
    ...found,
    ...(authorities.length === 0 ? {} : { ca: authorities.join('\n') }),
    ...(insecure ? { insecure } : {}),
  }
  const known = { registry, trust, insecure, ...(options.stallMs === undefined ? {} : { stallMs: options.stallMs }) }
  const secure = new URL(`https://${host}`)
  if (!insecure) return await ping({ ...known, base: secure }, ctx)
  try {
    return await ping({ ...known, base: secure }, ctx)
  } catch (error) {
    if (!isCloudimgError(error, 'NETWORK')) throw error
    return await ping({ ...known, base: new URL(`http://${host}`) }, ctx)
  }
}

async function ping(endpoint: Omit<Endpoint, 'challenge'>, ctx: Context): Promise<Endpoint> {
  const { trust, stallMs } = endpoint
  const patience = stallMs === undefined ? {} : { stallMs }
  const response = await send({ method: 'GET', url: new URL('/v2/', endpoint.base), trust, ...patience }, ctx)
  await rejectTransient(response, endpoint)
  return { ...endpoint, challenge: response.status === 401 ? response.headers['www-authenticate'] : undefined }
}

// A registry that is overloaded says so before it says what it wants to see: nothing may be concluded from that answer.
async function rejectTransient(response: HttpResponse, endpoint: Omit<Endpoint, 'challenge'>): Promise<void> {
  if (retryableStatus(response.status)) {
    throw await registryError(response, `contacting registry "${endpoint.registry}"`, 'source')
  }
  await drain(response)
}

/** `*.crt` are authorities; the first `NAME.cert` with its `NAME.key` is what this side shows. */
export async function readTrust(hosts: readonly string[], folders: readonly string[]): Promise<Trust> {
  const authorities: string[] = []
  let client: { readonly cert: string; readonly key: string } | undefined
  for (const folder of folders.flatMap(folder => [...new Set(hosts)].map(host => join(folder, host)))) {
    for (const name of (await readdirIfPresent(folder)).sort(compareBytes)) {
      if (name.endsWith('.crt')) authorities.push(await readPem(join(folder, name)))
      if (name.endsWith('.cert') && client === undefined) {
        const stem = join(folder, name.slice(0, -'.cert'.length))
        client = { cert: await readPem(`${stem}.cert`), key: await readKey(`${stem}.key`, `${stem}.cert`) }
      }
    }
  }
  return {
    ...(authorities.length === 0 ? {} : { ca: authorities.join('\n') }),
    ...(client === undefined ? {} : { client }),
  }
}

async function readKey(path: string, certificate: string): Promise<string> {
  const key = await readPem(path)
  if (key !== '') return key
  throw new CloudimgError(
    'FILE_ERROR',
    `reading the client certificate "${certificate}": its key "${path}" is not there`,
  )
}

async function readPem(path: string): Promise<string> {
  return (await readFileIfPresent(path, MiB))?.toString('utf8') ?? ''
}
