import { join } from 'node:path'
import * as z from 'zod'
import { offlineErrorFor, type FetchEnvironment } from '../artifact/fetch.ts'
import { rewrite } from '../artifact/mirror.ts'
import { type Context, withTask } from '../core/context.ts'
import { digestOf, isDigest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { parseJson } from '../core/json.ts'
import { readFileIfPresent } from '../io/files.ts'
import { readTar } from '../io/tar.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'
import { MergedTree } from '../oci/merged-tree.ts'
import { writeStoreFile } from '../oci/store/draft.ts'
import { openScratchDirectory } from '../oci/store/scratch-directory.ts'
import type { Store } from '../oci/store/store.ts'
import { refuseWhiteoutName } from './copy-rules.ts'
import { contextSource } from './copy-source.ts'
import { Git, type GitPlace } from './git-checkout.ts'
import { gitLocator, type GitSource, isFullCommit } from './git-source.ts'
import { makeLayer } from './layers/make-layer.ts'
import { treeOfTars } from './stored-tar.ts'
import type { BuildTree, TreeEntry } from './tree.ts'

/** A commit's tree, in the pool. */
export interface GitTree {
  readonly commit: string
  /** The whole repository's; `.git` is in it where the source keeps it. */
  readonly tree: BuildTree
  /** The plain tars that it is made of. */
  readonly tars: readonly Descriptor[]
}

/**
 * The tree that a git source stands for, from the pool where the lock's commit is there already. Commit and content are
 * pinned. @throws OFFLINE, LOCK_MISMATCH, DIGEST_MISMATCH for another commit than `--checksum` says, ARTIFACT_UNAVAILABLE,
 * UNSUPPORTED without git.
 */
export async function fetchGitTree(
  source: GitSource,
  store: Store,
  env: FetchEnvironment,
  ctx: Context,
): Promise<GitTree> {
  const locator = gitLocator(source)
  const pin = env.lock.find('git', locator, 'any')
  return await withTask(ctx, `git ${locator}`, async task => {
    const known = pin?.commit ?? (source.ref !== undefined && isFullCommit(source.ref) ? source.ref : undefined)
    const cached = known === undefined ? undefined : await recall(store, source, known, ctx)
    const found = cached ?? (await fetchAnywhere(source, known, store, env, ctx))
    refuseOtherCommit(source, locator, found.commit)
    const { commit, tars } = found
    env.lock.record({ kind: 'git', locator, platform: 'any', commit, digest: tars[0]!.digest }, ctx)
    task.end(cached === undefined ? 'done' : 'cached')
    return { commit, tars, tree: await readTree(store, tars, ctx) }
  })
}

function refuseOtherCommit({ checksum }: GitSource, locator: string, commit: string): void {
  if (checksum === undefined || commit.startsWith(checksum)) return
  throw new CloudimgError('DIGEST_MISMATCH', `taking git "${locator}": wanted commit ${checksum}, found ${commit}`, {
    hint: 'correct --checksum, or name the commit behind the "#"',
    data: { wanted: checksum, found: commit },
  })
}

interface Fetched {
  readonly commit: string
  readonly tars: readonly Descriptor[]
}

async function fetchAnywhere(
  source: GitSource,
  known: string | undefined,
  store: Store,
  env: FetchEnvironment,
  ctx: Context,
): Promise<Fetched> {
  const places = placesOf(source, env)
  if (places.length === 0) throw offlineErrorFor([`git ${gitLocator(source)}`])
  let failure: unknown
  for (const place of places) {
    try {
      return await fetchFrom(place, source, known, store, ctx)
    } catch (error) {
      ctx.signal.throwIfAborted()
      failure ??= error
    }
  }
  throw failure
}

const remoteProtocols = ['https', 'http', 'ssh', 'git']

/** The repository's own address, or those that `--mirror` puts in its place; offline only what this machine has. */
function placesOf({ remote }: GitSource, { mirrors, offline }: FetchEnvironment): readonly GitPlace[] {
  const urls = /^https?:/i.test(remote) ? rewrite(new URL(remote), mirrors) : []
  const addresses = urls.length === 0 ? [remote] : urls.map(url => url.href)
  return addresses.flatMap(address => {
    const isLocal = address.startsWith('file:')
    if (offline && !isLocal) return []
    return [{ address, protocols: [...(offline ? [] : remoteProtocols), ...(isLocal ? ['file'] : [])] }]
  })
}

async function fetchFrom(
  place: GitPlace,
  source: GitSource,
  known: string | undefined,
  store: Store,
  ctx: Context,
): Promise<Fetched> {
  await using scratch = await openScratchDirectory(store.layout)
  const work = join(scratch.path, 'work')
  const git = await Git.open(place, work, ctx)
  const commit = known ?? (await git.resolve(source.ref, ctx))
  const cached = await recall(store, source, commit, ctx)
  if (cached !== undefined) return cached
  await git.checkOut(commit, ctx)
  const tars = [await packTree(store, work, path => !isGitPath(path), ctx)]
  if (source.keepGitDir) {
    const kept = join(scratch.path, 'kept')
    await git.writeGitDirectory(commit, kept, source.remote, ctx)
    tars.push(await packTree(store, kept, isGitPath, ctx))
  }
  await remember(store, source, commit, tars)
  return { commit, tars }
}

/** `.git` and what is in it, that of submodules too. */
function isGitPath(path: string): boolean {
  return path.split('/').includes('.git')
}

/** As one plain tar in the pool: of modes only that counts which git knows, whatever the umask. */
async function packTree(
  store: Store,
  root: string,
  takes: (path: string) => boolean,
  ctx: Context,
): Promise<Descriptor> {
  const entries: TreeEntry[] = []
  for (const entry of contextSource({ root, ignore: [] }).walk('')) {
    if (!takes(entry.path)) continue
    refuseWhiteoutName(entry.path)
    const mode = entry.type === 'directory' || (entry.mode & 0o100) !== 0 ? 0o755 : 0o644
    entries.push(entry.type === 'symlink' ? entry : { ...entry, mode })
  }
  const options = { epoch: 0, compression: 'none', wantsDigest: () => false } as const
  return (await makeLayer(store, { entries, createdBy: 'git' }, options, ctx)).descriptor
}

async function readTree(store: Store, tars: readonly Descriptor[], ctx: Context): Promise<BuildTree> {
  const merged = new MergedTree()
  for (const tar of tars) {
    merged.beginLayer()
    for await (const entry of readTar((await store.open(tar, ctx)) as AsyncIterable<Buffer>, 'git tree'))
      merged.add(entry, 'git tree')
  }
  return treeOfTars(
    merged,
    tars.map(blob => ({ blob, diffId: blob.digest })),
  )
}

const record = z.object({
  tars: z.array(z.object({ digest: z.string().refine(isDigest), size: z.number() })).min(1),
})

function recordPath(store: Store, { remote, keepGitDir }: GitSource, commit: string): string {
  const key = digestOf(JSON.stringify([remote, commit, keepGitDir])).slice('sha256:'.length)
  return join(store.layout.cache, 'git', `${key}.json`)
}

async function remember(store: Store, source: GitSource, commit: string, tars: readonly Descriptor[]): Promise<void> {
  const content = { tars: tars.map(({ digest, size }) => ({ digest, size })) }
  await writeStoreFile(store.layout, recordPath(store, source, commit), JSON.stringify(content))
}

async function recall(store: Store, source: GitSource, commit: string, ctx: Context): Promise<Fetched | undefined> {
  const text = await readFileIfPresent(recordPath(store, source, commit))
  const parsed = record.safeParse(text === undefined ? undefined : parseJson(text.toString('utf8')))
  if (!parsed.success) return undefined
  const tars = parsed.data.tars.map(({ digest, size }) => ({
    mediaType: mediaTypes.layer,
    digest,
    size,
  }))
  const present = await Promise.all(tars.map(tar => store.has(tar, ctx)))
  return present.includes(false) ? undefined : { commit, tars }
}
