import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as z from 'zod'
import { MiB } from '../core/bytes.ts'
import { type Context, withTask } from '../core/context.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { suggest } from '../core/suggest.ts'
import { fileError, statIfPresent } from '../io/files.ts'
import { drain, readBody, retryAfterMs, send, sendFollowing } from '../io/http.ts'
import { retry } from '../io/retry.ts'
import { type FetchEnvironment, offlineErrorFor } from './fetch.ts'
import { decodePercent, describeLocation, mirroredChannels, rewrite } from './mirror.ts'
import type { TemplateData } from './template-schema.ts'
import { matchVersion, parseVersion } from './version.ts'

type Versioned = Pick<TemplateData, 'name' | 'versions'>
type Resolution = Pick<FetchEnvironment, 'lock' | 'mirrors' | 'offline' | 'retry'>

/** Channel → the version it stands for now. */
type Channels = ReadonlyMap<string, string>

const document = z.looseObject({
  data: z.array(
    z.looseObject({ id: z.string().optional(), name: z.string().optional(), latest: z.string().nullish() }),
  ),
})

/**
 * The version that `BASE name@wish` means: itself, or what a channel stands for (no wish: the template's default channel).
 * A channel is asked once and pinned in the lock.
 * Undefined for a template without versions. @throws ARTIFACT_UNKNOWN, LOCK_MISMATCH, OFFLINE, ARTIFACT_UNAVAILABLE, NETWORK
 */
export async function resolveVersion(
  template: Versioned,
  wish: string | undefined,
  env: Resolution,
  ctx: Context,
): Promise<string | undefined> {
  const channels = template.versions?.channels
  if (template.versions === undefined && wish === undefined) return undefined
  const channel = wish ?? channels?.default
  if (channel !== undefined && channels !== undefined && new RegExp(channels.names).test(channel)) {
    return resolveChannel(template, channels.url, channel, env, ctx)
  }
  if (wish !== undefined) return parseVersion(template, wish).text
  throw new CloudimgError('ARTIFACT_UNKNOWN', `reading BASE ${template.name}: it names no version`, {
    hint: `write BASE ${template.name}@${template.versions?.example}`,
  })
}

async function resolveChannel(
  template: Versioned,
  url: string,
  channel: string,
  env: Resolution,
  ctx: Context,
): Promise<string> {
  const locator = `${url}/${channel}`
  const pin = env.lock.find('channel', locator, 'any')
  if (pin !== undefined) return parseVersion(template, pin.version).text
  return withTask(ctx, `look up ${template.name} channel ${channel}`, async () => {
    const found = await askChannel(template, url, channel, env, ctx)
    const version = parseVersion(template, found).text
    env.lock.record({ kind: 'channel', locator, platform: 'any', version }, ctx)
    return version
  })
}

async function askChannel(
  template: Versioned,
  url: string,
  channel: string,
  env: Resolution,
  ctx: Context,
): Promise<string> {
  const places = mirroredChannels(template.name, env.mirrors) ?? rewrite(new URL(url), env.mirrors)
  const usable = env.offline ? places.filter(place => place.protocol === 'file:') : places
  if (usable.length === 0) throw offlineErrorFor([`${template.name} channel "${channel}"`])
  const failures: CloudimgError[] = []
  for (const place of usable) {
    try {
      return await askPlace(template, place, channel, env, ctx)
    } catch (error) {
      if (!isCloudimgError(error, 'ARTIFACT_UNAVAILABLE') && !isCloudimgError(error, 'NETWORK')) throw error
      failures.push(error)
    }
  }
  const isNetwork = failures.every(({ code }) => code === 'NETWORK')
  throw new CloudimgError(
    isNetwork ? 'NETWORK' : 'ARTIFACT_UNAVAILABLE',
    `looking up ${template.name} channel "${channel}": ${failures.map(({ message }) => message).join('; ')}`,
    { hint: `name a version, such as ${template.name}@${template.versions?.example}`, cause: failures.at(-1) },
  )
}

// The list of all channels is one request; where it is none, the channel's own address redirects to its release.
async function askPlace(
  template: Versioned,
  place: URL,
  channel: string,
  env: Resolution,
  ctx: Context,
): Promise<string> {
  const channels = place.protocol === 'file:' ? await readChannels(place) : await loadChannels(place, env, ctx)
  if (channels === undefined) return followChannel(template, place, channel, env, ctx)
  const version = channels.get(channel)
  if (version !== undefined) return version
  const near = suggest(channel, channels.keys())
  throw new CloudimgError('ARTIFACT_UNKNOWN', `looking up ${template.name} channel "${channel}": there is none`, {
    hint: near === undefined ? `use one of ${[...channels.keys()].join(', ')}` : `did you mean ${near}?`,
  })
}

async function readChannels(place: URL): Promise<Channels> {
  const path = fileURLToPath(place)
  try {
    const stats = await statIfPresent(path)
    if (stats === undefined) throw unavailable(place, 'no such file')
    if (stats.size > MiB) throw unavailable(place, 'too large for a list of channels')
    const channels = parseChannels(await readFile(path, 'utf8'))
    if (channels === undefined) throw unavailable(place, 'not a list of channels')
    return channels
  } catch (error) {
    throw fileError('reading', path, error)
  }
}

/** Undefined where the answer is no list of channels. */
async function loadChannels(place: URL, env: Resolution, ctx: Context): Promise<Channels | undefined> {
  return retry(
    'looking up channels',
    async () => {
      const headers = { accept: 'application/json' }
      const response = await sendFollowing({ method: 'GET', url: place, headers }, ctx)
      if (isTransient(response.status)) {
        await drain(response)
        throw unavailable(place, `it answers ${response.status}`, retryAfterMs(response), true)
      }
      if (response.status === 200) return parseChannels((await readBody(response, MiB)).toString('utf8'))
      await drain(response)
      return undefined
    },
    ctx,
    env.retry,
  )
}

async function followChannel(
  template: Versioned,
  place: URL,
  channel: string,
  env: Resolution,
  ctx: Context,
): Promise<string> {
  const url = new URL(place)
  url.pathname = `${url.pathname.replace(/\/(?:channels\.json)?$/, '')}/${channel}`
  const response = await retry(`looking up channel ${channel}`, () => send({ method: 'GET', url }, ctx), ctx, env.retry)
  await drain(response)
  const version = versionOfRelease(response.headers.location)
  if (version !== undefined && matchVersion(template, version) !== undefined) return version
  throw unavailable(url, `it answers ${response.status} and names no release`)
}

/** `https://github.com/k3s-io/k3s/releases/tag/v1.31.4%2Bk3s1` → `v1.31.4+k3s1`. */
export function versionOfRelease(location: string | undefined): string | undefined {
  const last = location
    ?.replace(/[?#].*$/, '')
    .split('/')
    .at(-1)
  return last === undefined ? undefined : decodePercent(last)
}

/** What update.k3s.io/v1-release/channels answers; undefined for anything else. */
export function parseChannels(text: string): Channels | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  const parsed = document.safeParse(json)
  if (!parsed.success) return undefined
  return new Map(
    parsed.data.data.flatMap(({ id, name, latest }) => {
      const known = name ?? id
      return known === undefined || typeof latest !== 'string' || latest === ''
        ? []
        : [[known, decodePercent(latest) ?? latest] as const]
    }),
  )
}

function isTransient(status: number): boolean {
  return status >= 500 || status === 408 || status === 429
}

function unavailable(place: URL, why: string, wait?: number, retryable = false): CloudimgError {
  return new CloudimgError('ARTIFACT_UNAVAILABLE', `reading "${describeLocation(place)}": ${why}`, {
    data: { retryable, ...(wait === undefined ? {} : { retryAfterMs: wait }) },
  })
}
