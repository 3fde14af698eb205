import { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Reference } from '../../core/reference.ts'
import { MiB } from '../../core/bytes.ts'
import { drain, readBody } from '../../io/http.ts'
import { sizeMismatch, verifying } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import type { RetryOptions } from '../../io/retry.ts'
import { type Descriptor, isIndexType, isManifestType } from '../descriptor.ts'
import type { BlobSource, ByteRange, ImageSource, ImageTarget, Place, Written } from '../ends.ts'
import { readRelation, type Relation } from '../relation.ts'
import { RegistryClient } from './client.ts'
import type { Credentials } from './credential.ts'
import { download } from './download.ts'
import { certificateFolders } from './endpoint.ts'
import { fetchManifest, putManifest, readWhole } from './manifests.ts'
import { nextPage } from './pages.ts'
import { addToReferrersTag, askApi, listReferrers, removeFromReferrersTag } from './referrers.ts'
import { removeManifest } from './remove-manifest.ts'
import { hasBlob } from './has-blob.ts'
import type { Side } from './registry-error.ts'
import { upload } from './upload.ts'

export interface RemoteOptions {
  readonly credentials: Credentials
  /** Take plain http and unverified certificates, as docker's `insecure-registries`; loopback addresses always do. */
  readonly insecure?: boolean
  /** Folders with `<host:port>/ca.crt`; docker's and podman's unless told. */
  readonly certificates?: readonly string[]
  /** PEM of a further authority to trust. */
  readonly authority?: string
  readonly retry?: RetryOptions
  /** Milliseconds without a byte before a request is given up; 60,000 unless told, 300,000 while uploading. */
  readonly stallMs?: number
  /** The first chunk size tried at registries that take no whole blob; 32 MiB unless told. */
  readonly chunkBytes?: number
}

/** One repository on one registry: an end of `copyImage`. Names are its tags and digests. */
export interface RemoteRepository extends ImageSource, ImageTarget {
  readonly place: Place
  tags(ctx: Context): AsyncIterable<string>
  /**
   * Deletes a tag alone, or by digest a manifest with every tag that stands for it. False where there is no such thing.
   * @throws UNSUPPORTED where the registry deletes nothing, or no tags.
   */
  remove(name: string, ctx: Context): Promise<boolean>
}

// Repositories opened with the same credentials share what was learnt about a registry: its address and its tokens.
const clients = new WeakMap<Credentials, Map<string, RegistryClient>>()

export function registryClient(registry: string, options: RemoteOptions): RegistryClient {
  const { credentials, insecure = false, certificates = certificateFolders, retry = {}, stallMs, authority } = options
  const known = clients.get(credentials) ?? new Map<string, RegistryClient>()
  clients.set(credentials, known)
  const key = JSON.stringify([registry, insecure, certificates, retry, stallMs, authority])
  const settings = {
    credentials,
    insecure,
    certificates,
    retry,
    ...(stallMs === undefined ? {} : { stallMs }),
    ...(authority && { authority }),
  }
  const client = known.get(key) ?? new RegistryClient(registry, settings)
  known.set(key, client)
  return client
}

/** No network is used before the first call of a method. */
export function remoteRepository(ref: Reference, options: RemoteOptions): RemoteRepository {
  return new Repository(ref, registryClient(ref.registry, options), options.chunkBytes ?? 32 * MiB)
}

/** They are small, and what they cost is the way there and back. */
const questionsAtOnce = 16

/** Documents kept at hand for `tag` and for a second reading: few and small. */
const keptDocuments = 64

class Repository implements RemoteRepository {
  readonly place: Place
  readonly #client: RegistryClient
  readonly #chunkBytes: number
  readonly #documents = new Map<Digest, Buffer>()
  // Two referrers of one subject written at once would overwrite each other's entry in the fallback tag.
  #referring: Promise<void> = Promise.resolve()
  #hasReferrersApi: boolean | undefined

  constructor(ref: Reference, client: RegistryClient, chunkBytes: number) {
    this.place = { registry: ref.registry, repository: ref.repository }
    this.#client = client
    this.#chunkBytes = chunkBytes
  }

  get #repository(): string {
    return this.place.repository
  }

  async has(blob: Descriptor, ctx: Context): Promise<boolean> {
    if (isDocument(blob)) return await this.#hasDocument(blob, 'source', ctx)
    return await hasBlob(this.#client, this.#repository, blob, 'source', ctx)
  }

  async missing(blobs: readonly Descriptor[], ctx: Context): Promise<ReadonlySet<Digest>> {
    const there = await each(blobs, questionsAtOnce, blob =>
      hasBlob(this.#client, this.#repository, blob, 'target', ctx),
    )
    return new Set(blobs.filter((_, i) => !there[i]).map(({ digest }) => digest))
  }

  async #hasDocument(blob: Descriptor, side: Side, ctx: Context): Promise<boolean> {
    const response = await this.#client.request(
      {
        method: 'HEAD',
        to: `/v2/${this.#repository}/manifests/${blob.digest}`,
        access: [{ repository: this.#repository, actions: side === 'source' ? 'pull' : 'pull,push' }],
        side,
        doing: `looking for manifest ${blob.digest} in ${this.#client.registry}/${this.#repository}`,
        headers: { accept: blob.mediaType },
        accept: [200, 404],
        follow: true,
      },
      ctx,
    )
    await drain(response)
    return response.status === 200
  }

  async open(blob: Descriptor, ctx: Context, range?: ByteRange): Promise<Readable> {
    if (isDocument(blob)) {
      const bytes = await this.#document(blob, ctx)
      const part = range === undefined ? bytes : bytes.subarray(range.offset, endOf(range))
      return Readable.from([part], { objectMode: false })
    }
    const doing = `reading blob ${blob.digest} of ${this.#client.registry}/${this.#repository}`
    const request = {
      to: `/v2/${this.#repository}/blobs/${blob.digest}`,
      access: [{ repository: this.#repository, actions: 'pull' }],
      side: 'source',
      doing,
    } as const
    const stream = await download(this.#client, request, blob.size, range, ctx)
    return range === undefined ? verifying(stream, blob, doing.replace(/^reading /, '')) : stream
  }

  async #document(blob: Descriptor, ctx: Context): Promise<Buffer> {
    const kept = this.#documents.get(blob.digest)
    if (kept !== undefined) return kept
    const found = await fetchManifest(this.#client, this.#repository, blob.digest, [blob.mediaType], ctx)
    if (found === undefined)
      throw new CloudimgError(
        'IMAGE_NOT_FOUND',
        `reading manifest ${blob.digest} of ${this.#client.registry}/${this.#repository}: not found at the source`,
        { data: { side: 'source', status: 404 } },
      )
    if (found.bytes.length !== blob.size) throw sizeMismatch(`manifest ${blob.digest}`, blob.size, found.bytes.length)
    this.#keep(blob.digest, found.bytes)
    return found.bytes
  }

  #keep(digest: Digest, bytes: Buffer): void {
    this.#documents.set(digest, bytes)
    const oldest = this.#documents.keys().next()
    if (this.#documents.size > keptDocuments && oldest.done !== true) this.#documents.delete(oldest.value)
  }

  async write(
    expected: Descriptor,
    source: BlobSource,
    ctx: Context,
    progress: (bytes: number) => void = () => undefined,
  ): Promise<Written> {
    if (isDocument(expected)) return await this.#writeDocument(expected, source, ctx)
    const what = { client: this.#client, repository: this.#repository, chunkBytes: this.#chunkBytes }
    return await upload({ ...what, blob: expected, source, progress }, ctx)
  }

  // A manifest with a subject is written even if it is there: an earlier try may have stopped before it was listed.
  async #writeDocument(expected: Descriptor, source: BlobSource, ctx: Context): Promise<Written> {
    const bytes = await readWhole(await source.open(), expected)
    const relation = readRelation(expected, bytes)
    this.#keep(expected.digest, bytes)
    if (relation === undefined && (await this.#hasDocument(expected, 'target', ctx))) return 'present'
    const document = { mediaType: expected.mediaType, bytes }
    const listed = await putManifest(this.#client, this.#repository, expected.digest, document, ctx)
    if (relation !== undefined) await this.#list(relation, listed, ctx)
    return 'written'
  }

  // Some registries say OCI-Subject and have no API to read the list: the API is asked once, too.
  async #list({ subject, referrer }: Relation, listed: boolean, ctx: Context): Promise<void> {
    if (listed) this.#hasReferrersApi ??= (await askApi(this.#client, this.#repository, subject, ctx)) !== undefined
    if (listed && this.#hasReferrersApi === true) return
    const before = this.#referring
    const mine = before
      .catch(() => undefined)
      .then(() => addToReferrersTag(this.#client, this.#repository, subject, referrer, ctx))
    this.#referring = mine
    await mine
  }

  async resolve(name: string, ctx: Context): Promise<Descriptor | undefined> {
    const found = await fetchManifest(this.#client, this.#repository, name, [], ctx)
    if (found === undefined) return undefined
    this.#keep(found.descriptor.digest, found.bytes)
    return found.descriptor
  }

  async tag(name: string, target: Descriptor, ctx: Context): Promise<void> {
    if (isDigest(name)) {
      if (name === target.digest) return
      throw new CloudimgError('USAGE', `naming ${target.digest} "${name}": another digest is no name for it`)
    }
    const bytes = await this.#document(target, ctx)
    await putManifest(this.#client, this.#repository, name, { mediaType: target.mediaType, bytes }, ctx)
  }

  async remove(name: string, ctx: Context): Promise<boolean> {
    const found = isDigest(name) ? await fetchManifest(this.#client, this.#repository, name, [], ctx) : undefined
    if (!(await removeManifest(this.#client, this.#repository, name, ctx))) return false
    const relation = found === undefined ? undefined : readRelation(found.descriptor, found.bytes)
    if (relation === undefined || (await askApi(this.#client, this.#repository, relation.subject, ctx)) !== undefined)
      return true
    await removeFromReferrersTag(this.#client, this.#repository, relation.subject, name as Digest, ctx)
    return true
  }

  async referrers(subject: Digest, ctx: Context): Promise<readonly Descriptor[]> {
    return await listReferrers(this.#client, this.#repository, subject, ctx)
  }

  async *tags(ctx: Context): AsyncGenerator<string> {
    const first = `/v2/${this.#repository}/tags/list?n=${tagsPerPage}`
    let next: string | URL | undefined = first
    let last: string | undefined
    while (next !== undefined) {
      const response = await this.#client.request(
        {
          method: 'GET',
          to: next,
          access: [{ repository: this.#repository, actions: 'pull' }],
          side: 'source',
          doing: `listing the tags of ${this.#client.registry}/${this.#repository}`,
          accept: [200],
          follow: true,
        },
        ctx,
      )
      const names = readTags(await readBody(response, limits.manifestBytes))
      yield* names
      // A full page without a link comes from a registry that pages by `last` alone, or that has no more.
      const end = names.length >= tagsPerPage && response.headers.link === undefined ? names.at(-1) : undefined
      next = nextPage(response) ?? (end === undefined || end === last ? undefined : `${first}&last=${end}`)
      last = end
    }
  }
}

const tagsPerPage = 1000

function readTags(body: Buffer): readonly string[] {
  const { tags } = JSON.parse(body.toString('utf8')) as { readonly tags?: unknown }
  return Array.isArray(tags) ? tags.filter(tag => typeof tag === 'string') : []
}

function isDocument(blob: Descriptor): boolean {
  return isIndexType(blob.mediaType) || isManifestType(blob.mediaType)
}

function endOf(range: ByteRange): number | undefined {
  return range.length === undefined ? undefined : range.offset + range.length
}
