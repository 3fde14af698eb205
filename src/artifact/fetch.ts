import type { Context, Task } from '../core/context.ts'
import { withTask } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import type { RetryOptions } from '../io/retry.ts'
import { Download } from './download.ts'
import type { LockEntryOf } from './lock.ts'
import { lockMismatch, type LockView } from './lock-view.ts'
import { describeLocation, type Mirror, rewrite } from './mirror.ts'
import type { DownloadPool, PartialDownload } from './pool.ts'

/** What every fetch of a run shares. */
export interface FetchEnvironment {
  readonly pool: DownloadPool
  readonly lock: LockView
  readonly mirrors: readonly Mirror[]
  /** Opens no network socket; the cache and file: places still serve. */
  readonly offline: boolean
  readonly retry?: RetryOptions
}

/** One file from outside. */
export interface FetchRequest {
  /** For people: `k3s v1.31.4+k3s1 (linux/arm64)`. */
  readonly what: string
  /** What the lock calls it. */
  readonly locator: string
  readonly platform: string
  /** Tried in order. */
  readonly locations: readonly URL[]
  /** What somebody else than the source says it hashes to: upstream's checksum file, `--checksum`. */
  readonly expected?: Digest | undefined
  /** Said with the pin. */
  readonly remark?: string
  /** Nobody need have it: that it was looked for in vain is no failure to show. */
  readonly isOptional?: boolean
  /** What to do when no place has it. */
  readonly hint?: string
}

export interface Fetched {
  readonly digest: Digest
  readonly size: number
  readonly outcome: 'fetched' | 'cached'
}

// Per pool: what is being fetched right now, so that two platforms that want one file fetch it once.
const underWay = new WeakMap<DownloadPool, Map<string, Promise<Fetched>>>()

/**
 * Brings one file into the pool: from the lock's or upstream's word if it is there already, else from the first place that
 * has it. What arrives is compared with upstream's checksum, then with the lock, before it becomes a blob.
 * @throws DIGEST_MISMATCH, SIZE_MISMATCH, LOCK_MISMATCH, OFFLINE, ARTIFACT_UNAVAILABLE, NETWORK, DISK_FULL
 */
export function fetchFile(request: FetchRequest, env: FetchEnvironment, ctx: Context): Promise<Fetched> {
  const flights = underWay.get(env.pool) ?? new Map<string, Promise<Fetched>>()
  underWay.set(env.pool, flights)
  const key = `${request.locator}\0${request.platform}\0${request.expected ?? ''}`
  const joined = flights.get(key)
  if (joined !== undefined) return joined
  const flight = fetchOnce(request, env, ctx).finally(() => flights.delete(key))
  flights.set(key, flight)
  return flight
}

/**
 * Any URL, under the name that it has: what `ADD https://…` and the toolbox's curl ask for.
 * @throws USAGE for one with a password: it would stand in the lock. Else as `fetchFile` does.
 */
export async function fetchUrl(url: URL, env: FetchEnvironment, ctx: Context, expected?: Digest): Promise<Fetched> {
  if (url.username !== '' || url.password !== '') {
    throw new CloudimgError('USAGE', `fetching "${describeLocation(url)}": the URL has credentials in it`, {
      hint: 'name a mirror that needs none with --mirror, or fetch the file beforehand and COPY it',
    })
  }
  return await fetchFile(
    {
      what: `"${describeLocation(url)}"`,
      locator: url.href,
      platform: 'any',
      locations: rewrite(url, env.mirrors),
      expected,
      hint: `check the address, or name another place: --mirror ${url.origin}=URL`,
    },
    env,
    ctx,
  )
}

async function fetchOnce(request: FetchRequest, env: FetchEnvironment, ctx: Context): Promise<Fetched> {
  const pin = env.lock.find('artifact', request.locator, request.platform)
  refuseOtherPin(request, pin)
  return withTask(ctx, `fetch ${request.what}`, async task => {
    const cached = await findCached(request, pin, env)
    const fetched = cached ?? (await download(request, pin, env, task, ctx).catch(skipOptional(request, task)))
    const { digest, size } = fetched
    const { locator, platform, remark } = request
    env.lock.record({ kind: 'artifact', locator, platform, digest, size }, ctx, remark)
    task.end(fetched.outcome === 'cached' ? 'cached' : 'done')
    return fetched
  })
}

function skipOptional(request: FetchRequest, task: Task): (error: unknown) => never {
  return error => {
    if (request.isOptional === true && isUnavailable(error) && error.data.notFound === true) task.end('skipped')
    throw error
  }
}

// Upstream changed a release after it was pinned: said before anything large is fetched.
function refuseOtherPin(request: FetchRequest, pin: LockEntryOf<'artifact'> | undefined): void {
  if (pin === undefined || request.expected === undefined || pin.digest === request.expected) return
  throw new CloudimgError(
    'LOCK_MISMATCH',
    `comparing ${request.what} with the lock: wanted ${pin.digest}, found ${request.expected} in upstream's checksum file`,
    {
      hint: `if the change is meant, run cloudimg lock --update ${request.locator}`,
      data: { locator: request.locator, platform: request.platform, wanted: pin.digest, found: request.expected },
    },
  )
}

async function findCached(
  request: FetchRequest,
  pin: LockEntryOf<'artifact'> | undefined,
  { pool }: FetchEnvironment,
): Promise<Fetched | undefined> {
  const digest = pin?.digest ?? request.expected
  const size = digest === undefined ? undefined : await pool.has(digest)
  if (digest === undefined || size === undefined || (pin !== undefined && pin.size !== size)) return undefined
  return { digest, size, outcome: 'cached' }
}

async function download(
  request: FetchRequest,
  pin: LockEntryOf<'artifact'> | undefined,
  env: FetchEnvironment,
  task: Task,
  ctx: Context,
): Promise<Fetched> {
  const places = env.offline ? request.locations.filter(url => url.protocol === 'file:') : request.locations
  const isCut = places.length < request.locations.length
  if (places.length === 0) throw isCut ? offlineError(request) : nowhere(request, [])
  const partial = await env.pool.openPartial(request.locator)
  const session = new Download(partial, {
    what: request.what,
    isVerified: (pin?.digest ?? request.expected) !== undefined,
    // Without upstream's word a wrong size is the lock's to refuse, and the digest says so.
    size: request.expected === undefined ? undefined : pin?.size,
    retry: env.retry,
    progress: (done, total) => task.progress(done, total),
  })
  try {
    const found = await takeFromFirst(request, pin, places, session, ctx)
    await session.close()
    await partial.commit(found.digest)
    return { ...found, outcome: 'fetched' }
  } catch (error) {
    await session.close()
    await letGo(partial, error)
    throw isCut && isUnavailable(error) ? offlineError(request) : error
  }
}

// What was proved wrong is no start for a later try; neither is it worth keeping where the disk is full.
async function letGo(partial: PartialDownload, error: unknown): Promise<void> {
  const spoilt = ['DIGEST_MISMATCH', 'SIZE_MISMATCH', 'LOCK_MISMATCH', 'DISK_FULL', 'BUG']
  if (error instanceof CloudimgError && spoilt.includes(error.code)) await partial.discard()
  else await partial.keep()
}

async function takeFromFirst(
  request: FetchRequest,
  pin: LockEntryOf<'artifact'> | undefined,
  places: readonly URL[],
  session: Download,
  ctx: Context,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const failures: CloudimgError[] = []
  for (const url of places) {
    try {
      const found = await takeVerified(request, pin, url, session, ctx)
      noteOtherPlace(request, url, failures, ctx)
      return found
    } catch (error) {
      if (!isUnavailable(error)) throw error
      failures.push(error)
    }
  }
  throw nowhere(request, failures)
}

async function takeVerified(
  request: FetchRequest,
  pin: LockEntryOf<'artifact'> | undefined,
  url: URL,
  session: Download,
  ctx: Context,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const found = await session.take(url, ctx)
  const wrong = compare(request, pin, url, found)
  if (wrong === undefined) return found
  if (!session.isResumed) throw wrong
  // The part that was there before may be the wrong one: once more, from the first byte.
  ctx.events({ kind: 'note', message: `${request.what}: the resumed download does not match, fetching it whole` })
  await session.restart()
  const again = await session.take(url, ctx)
  const still = compare(request, pin, url, again)
  if (still !== undefined) throw still
  return again
}

function compare(
  request: FetchRequest,
  pin: LockEntryOf<'artifact'> | undefined,
  url: URL,
  found: { readonly digest: Digest; readonly size: number },
): CloudimgError | undefined {
  const place = describeLocation(url)
  if (request.expected !== undefined && found.digest !== request.expected) {
    return new CloudimgError(
      'DIGEST_MISMATCH',
      `fetching ${request.what} from "${place}": wanted ${request.expected}, found ${found.digest}`,
      {
        hint: 'the file is not what upstream published: check the mirror or the release directory, then run the same command again',
        data: { url: place, wanted: request.expected, found: found.digest, size: found.size },
      },
    )
  }
  if (pin === undefined || found.digest === pin.digest) return undefined
  return lockMismatch(pin, { kind: 'artifact', locator: request.locator, platform: request.platform, ...found }, place)
}

function isUnavailable(error: unknown): error is CloudimgError {
  return isCloudimgError(error, 'ARTIFACT_UNAVAILABLE') || isCloudimgError(error, 'NETWORK')
}

function noteOtherPlace(request: FetchRequest, url: URL, failures: readonly CloudimgError[], ctx: Context): void {
  const [first] = failures
  if (first === undefined || url.protocol === 'file:' || url.origin === request.locations[0]?.origin) return
  ctx.events({ kind: 'note', message: `${request.what} comes from ${url.host}: ${whyOf(first)}` })
}

function nowhere(request: FetchRequest, failures: readonly CloudimgError[]): CloudimgError {
  const tried = failures.map(whyOf)
  const code =
    failures.length > 0 && failures.every(({ code: own }) => own === 'NETWORK') ? 'NETWORK' : 'ARTIFACT_UNAVAILABLE'
  const why = tried.length === 0 ? 'no place to fetch it from is known' : `tried ${tried.join('; ')}`
  return new CloudimgError(code, `fetching ${request.what}: ${why}`, {
    ...(request.hint === undefined ? {} : { hint: request.hint }),
    cause: failures.at(-1),
    data: { tried: failures.length, notFound: failures.every(failure => failure.data.notFound === true) },
  })
}

function whyOf(failure: CloudimgError): string {
  const { url, why } = failure.data
  return url === undefined || why === undefined ? failure.message : `"${String(url)}": ${String(why)}`
}

function offlineError(request: FetchRequest): CloudimgError {
  const missing = `${request.what} (${request.locator})`
  return offlineErrorFor([missing])
}

/** One error for all that an offline run lacks. */
export function offlineErrorFor(missing: readonly string[]): CloudimgError {
  return new CloudimgError('OFFLINE', `fetching nothing, as --offline says: not in the cache: ${missing.join(', ')}`, {
    hint: 'run once without --offline, or name a release directory with --mirror k3s=DIRECTORY',
    data: { missing: missing.join(', ') },
  })
}
