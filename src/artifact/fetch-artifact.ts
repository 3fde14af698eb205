import { readFile } from 'node:fs/promises'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { each } from '../core/each.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { withFileErrors } from '../io/files.ts'
import { type Artifact, type ArtifactFile, describeArtifact, platformKey } from './artifact.ts'
import { parseChecksums } from './checksums.ts'
import { type FetchEnvironment, type Fetched, fetchFile, offlineErrorFor } from './fetch.ts'
import { locationsOf } from './mirror.ts'
import type { DownloadPool } from './pool.ts'

/** An artifact in the pool: which of its forms was taken, and its bytes' digest. */
export interface FetchedArtifact extends Fetched {
  readonly artifact: Artifact
  readonly file: ArtifactFile
}

/**
 * Fetches all of them, at most `concurrency` at once. Optional ones that nobody has are left out; the rest stands in order.
 * Where several cannot be had, the first in order is the one to hear of; offline, all that is missing is named at once.
 */
export async function fetchAll(
  artifacts: readonly Artifact[],
  env: FetchEnvironment,
  ctx: Context,
  concurrency = 4,
): Promise<readonly FetchedArtifact[]> {
  const wasBuilt = artifacts.some(artifact => isPinnedBefore(artifact, env))
  const results = await each(artifacts, concurrency, async artifact => {
    if (artifact.optional && isAbsent(artifact, env, wasBuilt)) return undefined
    try {
      return await fetchArtifact(artifact, env, ctx)
    } catch (error) {
      if (!isCloudimgError(error, 'ARTIFACT_UNAVAILABLE') && !isCloudimgError(error, 'OFFLINE')) throw error
      const isDispensable = artifact.optional && !isPinned(artifact, env)
      const isMissing = error.data.notFound === true || error.code === 'OFFLINE'
      return isDispensable && isMissing ? undefined : error
    }
  })
  const failures = results.filter(result => result instanceof CloudimgError)
  const missing = failures.filter(failure => failure.code === 'OFFLINE').map(({ data }) => String(data.missing))
  if (missing.length > 0) throw offlineErrorFor([...new Set(missing)].sort())
  if (failures[0] !== undefined) throw failures[0]
  return results.flatMap(result => (result === undefined || result instanceof CloudimgError ? [] : [result]))
}

/** @throws what `fetchFile` throws; ARTIFACT_UNAVAILABLE where upstream's checksum file names none of the forms. */
export async function fetchArtifact(artifact: Artifact, env: FetchEnvironment, ctx: Context): Promise<FetchedArtifact> {
  const platform = platformKey(artifact.platform)
  const pinned = artifact.forms.find(form => env.lock.peek('artifact', form.locator, platform) !== undefined)
  if (pinned !== undefined && (await isInPool(artifact, pinned, env))) {
    // Pinned and there: upstream's checksum file has been heard when it was pinned, and stays in use.
    if (artifact.checksums !== undefined) env.lock.peek('artifact', artifact.checksums.locator, platform)
    return { artifact, file: pinned, ...(await fetchForm(artifact, pinned, undefined, env, ctx)) }
  }
  const sums =
    artifact.checksums === undefined ? undefined : await fetchChecksums(artifact, artifact.checksums, env, ctx)
  const forms = pinned === undefined ? listedForms(artifact, sums) : [pinned]
  return firstForm(artifact, forms, sums, env, ctx)
}

// The checksum file tells which forms the release has. One that a mirror lacks gives way to the next.
async function firstForm(
  artifact: Artifact,
  forms: readonly ArtifactFile[],
  sums: ReadonlyMap<string, Digest> | undefined,
  env: FetchEnvironment,
  ctx: Context,
): Promise<FetchedArtifact> {
  const failures: CloudimgError[] = []
  for (const file of forms) {
    try {
      return { artifact, file, ...(await fetchForm(artifact, file, expectedOf(artifact, file, sums), env, ctx)) }
    } catch (error) {
      if (!isCloudimgError(error, 'ARTIFACT_UNAVAILABLE') || error.data.notFound !== true) throw error
      failures.push(error)
    }
  }
  const [only] = failures
  if (only !== undefined && failures.length === 1) throw only
  throw new CloudimgError('ARTIFACT_UNAVAILABLE', failures.map(({ message }) => message).join('; '), {
    ...(only?.hint === undefined ? {} : { hint: only.hint }),
    data: { notFound: true },
  })
}

function fetchForm(
  artifact: Artifact,
  file: ArtifactFile,
  expected: Digest | undefined,
  env: FetchEnvironment,
  ctx: Context,
): Promise<Fetched> {
  const named = { ...artifact, name: artifact.forms.length > 1 ? file.asset : artifact.name }
  const isVouched = artifact.checksums !== undefined || artifact.role === 'checksums'
  return fetchFile(
    {
      what: describeArtifact(named),
      locator: file.locator,
      platform: platformKey(artifact.platform),
      locations: locationsOf(file, artifact, env.mirrors),
      expected,
      isOptional: artifact.optional,
      remark: isVouched ? '' : ' on first use: upstream publishes no checksum for it',
      hint: `check that the version exists, or name a place that has it: --mirror ${artifact.template}=BASE`,
    },
    env,
    ctx,
  )
}

async function fetchChecksums(
  artifact: Artifact,
  file: ArtifactFile,
  env: FetchEnvironment,
  ctx: Context,
): Promise<ReadonlyMap<string, Digest>> {
  const asArtifact: Artifact = { ...artifact, name: file.asset, role: 'checksums', forms: [file], checksums: undefined }
  const { digest } = await fetchForm(asArtifact, file, undefined, env, ctx)
  const text = await readSmall(env.pool, digest, MiB)
  return parseChecksums(text, `"${file.asset}" of ${artifact.template} ${artifact.version}`)
}

/** A small blob as text. @throws SIZE_MISMATCH beyond `maxBytes`. */
export async function readSmall(pool: DownloadPool, digest: Digest, maxBytes: number): Promise<string> {
  const path = pool.path(digest)
  const size = await pool.has(digest)
  if (size !== undefined && size > maxBytes) {
    throw new CloudimgError('SIZE_MISMATCH', `reading "${path}": ${size} bytes, at most ${maxBytes} are taken`)
  }
  return withFileErrors('reading', path, () => readFile(path, 'utf8'))
}

function listedForms(artifact: Artifact, sums: ReadonlyMap<string, Digest> | undefined): readonly ArtifactFile[] {
  if (sums === undefined) return artifact.forms
  const listed = artifact.forms.filter(form => sums.has(form.asset))
  if (listed.length > 0) return listed
  const names = artifact.forms.map(form => `"${form.asset}"`).join(' or ')
  throw new CloudimgError(
    'ARTIFACT_UNAVAILABLE',
    `fetching ${describeArtifact(artifact)}: "${artifact.checksums?.asset}" has no checksum for ${names}`,
    { hint: 'check that this release has the artifact for this platform' },
  )
}

function expectedOf(
  artifact: Artifact,
  file: ArtifactFile,
  sums: ReadonlyMap<string, Digest> | undefined,
): Digest | undefined {
  const digest = sums?.get(file.asset)
  if (sums !== undefined && digest === undefined) listedForms({ ...artifact, forms: [file] }, sums)
  return digest
}

async function isInPool(artifact: Artifact, form: ArtifactFile, env: FetchEnvironment): Promise<boolean> {
  const pin = env.lock.peek('artifact', form.locator, platformKey(artifact.platform))
  return pin !== undefined && (await env.pool.has(pin.digest)) === pin.size
}

function isPinned(artifact: Artifact, { lock }: FetchEnvironment): boolean {
  const platform = platformKey(artifact.platform)
  return artifact.forms.some(form => lock.peek('artifact', form.locator, platform) !== undefined)
}

function isPinnedBefore(artifact: Artifact, { lock }: FetchEnvironment): boolean {
  return (
    !artifact.optional &&
    artifact.forms.some(form => lock.wasPinned('artifact', form.locator, platformKey(artifact.platform)))
  )
}

// The lock knows the release and not this file: it was absent when the release was pinned, and stays so, wherever we build.
function isAbsent(artifact: Artifact, env: FetchEnvironment, wasBuilt: boolean): boolean {
  const [form] = artifact.forms
  if (env.lock.peek('artifact', form.locator, platformKey(artifact.platform)) !== undefined) return false
  return wasBuilt || env.lock.locked || locationsOf(form, artifact, env.mirrors).length === 0
}
